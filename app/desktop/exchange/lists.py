"""Counts of an import as tiles, and the pictures behind each a click away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel, QPlainTextEdit, QWidget

from app.desktop import widgets
from app.desktop.exchange.words import HOW, WITHOUT
from app.desktop.models.asking import Segments
from app.desktop.widgets import button, column, frame, label, number, row, say
from app.i18n import tr


class Figures(QWidget):
    """Large numbers side by side, each with what it counts under it."""

    def __init__(self) -> None:
        super().__init__()
        self._line = row(self, gap=10)

    def show_figures(self, figures: Sequence[tuple[str, int, bool]]) -> None:
        """(what it counts, in the person's language; the number; whether it is something to look at)."""
        widgets.clear(self._line)
        for text, n, odd in figures:
            tile = frame("inset")
            inside = column(tile, gap=2, margins=(14, 10, 14, 10))
            shown = label(kind="figure", tone="accent" if odd else "")
            shown.setText(number(n))
            inside.addWidget(shown)
            under = QLabel(text)
            widgets.look(under, "small")
            under.setWordWrap(True)
            inside.addWidget(under)
            tile.setAccessibleName(f"{text}: {n}")
            self._line.addWidget(tile, 1)


class Lists(QWidget):
    """What has no picture, by reason; hidden while there is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._lists: Mapping[str, Sequence[str]] = {}
        self._counts: Mapping[str, int] = {}
        self._box = column(self, gap=8)
        self._head = row(gap=8)
        self._box.addLayout(self._head)
        self.kinds: Segments | None = None
        self.text = say(QPlainTextEdit(), spoken="Pictures of the file without one in the dataset")
        self.text.setReadOnly(True)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setTabChangesFocus(True)
        self._box.addWidget(self.text, 1)
        self.hide()

    def show_lists(self, counts: Mapping[str, int], lists: Mapping[str, Sequence[str]]) -> None:
        """Args: counts: by reason. lists: the first of each."""
        self._lists, self._counts = lists, counts
        found = [kind for kind in WITHOUT if counts.get(kind)]
        self.setVisible(bool(found))
        widgets.clear(self._head)
        self.kinds = None
        if not found:
            return
        options = [(kind, f"{tr(HOW[kind])} {number(counts[kind])}") for kind in found]
        self.kinds = Segments(options, found[0], spoken=tr("Without a picture"))
        self.kinds.chosen.connect(self._fill)
        self._head.addWidget(self.kinds, 1)
        self._head.addWidget(button("Copy the list", self._copy, kind="link"), 0, Qt.AlignmentFlag.AlignTop)
        self._fill(found[0])

    def _fill(self, kind: str) -> None:
        listed = list(self._lists.get(kind, ()))
        rest = self._counts.get(kind, 0) - len(listed)
        more = [tr("… and {n} more", n=number(rest))] if rest > 0 else []
        self.text.setPlainText("\n".join([*listed, *more]))

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.text.toPlainText())

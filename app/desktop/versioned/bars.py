"""What happened to each class between two versions, as bars that grow to either side: fewer to the left, more to the right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFontMetrics, QPainter, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.desktop import theme
from app.desktop.painted import painted
from app.desktop.widgets import number
from app.i18n import tr

if TYPE_CHECKING:
    from app.services.versions.differing import Label

ROW_PX = 44
FIGURES_PX = 96
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class ClassBars(QWidget):
    """See the module. Added is a full bar, removed a hatched one, changed an open one: told apart without colour."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[tuple[str, str, Label, tuple[int, int] | None]] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(ROW_PX)

    def show_labels(
        self,
        found: Mapping[str, Label],
        name: Callable[[str], str],
        colour: Callable[[str], str],
        totals: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        """Draw the classes of a difference, those with most changes first; totals: objects before and after."""
        self._rows = [
            (name(code), colour(code), n, None if totals is None else totals.get(code, (0, 0)))
            for code, n in sorted(found.items(), key=lambda item: (-_size(item[1]), item[0]))
        ]
        self.setFixedHeight(max(1, len(self._rows)) * ROW_PX)
        self.setAccessibleName(tr("Objects by class"))
        told = "\n".join(f"{title}: {_words(n, both)}" for title, _, n, both in self._rows)
        self.setAccessibleDescription(told)
        self.setToolTip(told)
        self.update()

    def paintEvent(self, event) -> None:
        with painted(self) as p:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            if not self._rows:
                p.setFont(theme.font(12))
                p.setPen(QColor(theme.current().second))
                p.drawText(self.rect(), int(_LEFT), tr("No object differs."))
            most = max((max(_fewer(n), _more(n), _other(n)) for _, _, n, _ in self._rows), default=1) or 1
            for i, (title, colour, n, both) in enumerate(self._rows):
                self._row(p, i * ROW_PX, title, colour, n, both, most)

    def _row(
        self, p: QPainter, y: int, title: str, colour: str, n: Label, both: tuple[int, int] | None, most: int
    ) -> None:
        t, wide = theme.current(), self.width()
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(QColor(colour))
        p.drawRoundedRect(QRectF(0, y + 6, 10, 10), 3, 3)
        p.setFont(theme.font(12))
        figures = f"{number(both[0])} → {number(both[1])}" if both else _signed(n.change)
        room = QFontMetrics(p.font()).horizontalAdvance(figures) + 8
        p.setPen(QColor(t.second))
        p.drawText(QRectF(wide - room, y, room, 22), int(_RIGHT), figures)
        p.setPen(QColor(t.text))
        shown = QFontMetrics(p.font()).elidedText(title, Qt.TextElideMode.ElideRight, wide - room - 24)
        p.drawText(QRectF(18, y, wide - room - 18, 22), int(_LEFT), shown)
        text = "  ".join(
            f"{sign}{number(x)}" for sign, x in (("+", _more(n)), ("−", _fewer(n)), ("~", _other(n))) if x
        )
        p.setFont(theme.font(11))
        said = FIGURES_PX
        p.setPen(QColor(t.second))
        p.drawText(QRectF(wide - said, y + 22, said, 16), int(_RIGHT), text)
        half = (wide - said - 18) / 2
        middle = 18 + half
        p.setPen(QPen(QColor(t.line), 1))
        p.drawLine(int(middle), y + 22, int(middle), y + 38)
        if fewer := _fewer(n):
            bar = max(3.0, half * fewer / most)
            p.setPen(QPen(QColor(t.red), 1))
            p.setBrush(QBrush(QColor(t.red), Qt.BrushStyle.BDiagPattern))
            p.drawRect(QRectF(middle - bar, y + 24, bar, 6))
        if more := _more(n):
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(t.green))
            p.drawRect(QRectF(middle, y + 24, max(3.0, half * more / most), 6))
        if other := _other(n):
            p.setPen(QPen(QColor(t.blue), 1))
            p.setBrush(Qt.BrushStyle.NoBrush)
            p.drawRect(QRectF(middle, y + 33, max(3.0, half * other / most), 4))


def _more(n: Label) -> int:
    return n.added + n.gained


def _fewer(n: Label) -> int:
    return n.removed + n.lost


def _other(n: Label) -> int:
    return n.moved + n.reshaped + n.details


def _size(n: Label) -> int:
    return _more(n) + _fewer(n) + _other(n)


def _signed(n: int) -> str:
    return f"+{number(n)}" if n > 0 else f"−{number(-n)}" if n < 0 else "±0"


def _words(n: Label, both: tuple[int, int] | None) -> str:
    parts = [
        f"{tr(word)} {number(x)}"
        for word, x in (
            ("added", n.added), ("removed", n.removed), ("moved", n.moved), ("reshaped", n.reshaped), ("details", n.details),
            ("gained", n.gained), ("lost", n.lost),
        )
        if x
    ]  # fmt: skip
    return " · ".join([*parts, *([f"{number(both[0])} → {number(both[1])}"] if both else [])])

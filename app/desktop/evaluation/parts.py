"""Parts of the evaluation page: a tile with a figure, a picture that costs much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from app.desktop import theme
from app.desktop.desk import Desk
from app.desktop.home import Cover
from app.desktop.widgets import Elided, Painted, column, frame, label, number, row
from app.i18n import tr


def toned(made: QLabel, tone: str) -> None:
    """Another tone for a label that is drawn already."""
    made.setProperty("tone", tone)
    made.style().unpolish(made)
    made.style().polish(made)


class Tile(QWidget):
    """One figure: caption, the figure of each model, and what stands below."""

    def __init__(self, caption: str) -> None:
        super().__init__()
        card = frame("card")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        outer = column(self)
        outer.addWidget(card)
        inside = column(card, gap=2, margins=(16, 12, 16, 12))
        inside.addWidget(label(caption, "caption"))
        line = row(gap=14)
        self._figures = [label(kind="figure", tone="accent"), label(kind="figure", tone="blue")]
        for one in self._figures:
            line.addWidget(one)
        line.addStretch()
        inside.addLayout(line)
        self._below = Elided("", "small")
        inside.addWidget(self._below)

    def show_figures(self, figures: Sequence[float | None], below: str = "", *, digits: int = 3) -> None:
        """One or two figures; None = not defined. One alone is drawn as plain text."""
        for made, value in zip(self._figures, [*figures, None][:2], strict=True):
            made.setText("–" if value is None else f"{value:.{digits}f}")
        self._figures[1].setVisible(len(figures) > 1)
        toned(self._figures[0], "accent" if len(figures) > 1 else "")
        self._below.setText(below)


class Worst(Painted):
    """A picture that costs much: its thumbnail with what was missed and invented."""

    def __init__(self, desk: Desk, found: Mapping[str, Any]) -> None:
        super().__init__(122)
        self.setFixedWidth(132)
        self.cover = Cover(desk)
        self.cover.asset_id = int(found["picture"])
        self.cover.setParent(self)
        self.cover.move(0, 0)
        self.cover.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        parts = [(found["missed"], "{n} missed"), (found["false"], "{n} false")]
        self.said = " · ".join(tr(text, n=number(n)) for n, text in parts if n) or tr(
            "{off} off", off=f"{found['off']:.2f}"
        )
        self.setAccessibleName(tr("picture {n}: {what}", n=number(int(found["picture"])), what=self.said))
        self.setToolTip(self.accessibleName())

    def draw(self, p: QPainter) -> None:
        t = theme.current()
        p.setFont(theme.font(11))
        p.setPen(QColor(t.text if self._hot else t.second))
        p.drawText(
            self.rect().adjusted(2, 98, -2, 0),
            int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter),
            self.said,
        )

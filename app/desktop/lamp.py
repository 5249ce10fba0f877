"""The lamp, and the window that shows it while the rest of the program is being loaded. Imports nothing heavy."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app.desktop import theme
from app.desktop.painted import painted


class Lamp(QWidget):
    """The lamp: a disc with its halo."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.setFixedSize(side, side)

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            draw(p, 0, 0, self.width())


def draw(p: QPainter, x: int, y: int, side: int) -> None:
    """Paint the lamp into a square."""
    p.setRenderHint(QPainter.RenderHint.Antialiasing)
    p.setPen(Qt.PenStyle.NoPen)
    halo = QColor(theme.current().accent)
    halo.setAlphaF(0.25)
    p.setBrush(halo)
    p.drawEllipse(x, y, side, side)
    p.setBrush(QColor(theme.current().accent))
    inset = round(side * 0.18)
    p.drawEllipse(x + inset, y + inset, side - 2 * inset, side - 2 * inset)


class Waiting(QWidget):
    """The frame of the desk with nothing in it yet: bar, ground, status line, lamp. Replaced by the desk in its place."""

    SIDE = 56

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("灯房 Lamproom")
        self.setAccessibleName("灯房 Lamproom")
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.resize(1440, 900)

    def paintEvent(self, event: QPaintEvent) -> None:
        t = theme.current()
        with painted(self) as p:
            p.fillRect(self.rect(), QColor(t.background))
            for y, height in ((0, theme.BAR_PX), (self.height() - theme.STATUS_PX, theme.STATUS_PX)):
                p.fillRect(0, y, self.width(), height, QColor(t.panel))
            draw(p, (self.width() - self.SIDE) // 2, self.height() // 2 - self.SIDE, self.SIDE)

"""What is painted over picture and overlay while the mouse moves: outlines in hand, handles, cross-hair, map, hint."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPen, QPolygonF

from app.desktop import theme

_CASING = QColor(20, 22, 26, 170)
_INK = "#e7e9ec"


def outline(
    p: QPainter, line: QPolygonF, colour: str, *, closed: bool, fill: bool = True, dashed: bool = False
) -> None:
    """An outline in screen pixels: dark casing, colour, soft fill; dashed for a prediction."""
    if closed:
        line.append(line.first())
    if fill and closed:
        soft = QColor(colour)
        soft.setAlphaF(0.16)
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(soft)
        p.drawPolygon(line)
    p.setBrush(Qt.BrushStyle.NoBrush)
    p.setPen(QPen(_CASING, 4.0))
    p.drawPolyline(line)
    pen = QPen(QColor(colour), 2.0)
    if dashed:
        pen.setDashPattern([3, 2])
    p.setPen(pen)
    p.drawPolyline(line)


def handle(p: QPainter, x: float, y: float, *, hot: bool = False, taken: bool = False) -> None:
    """A white handle; filled with the accent when it is taken in hand."""
    side = 5.0 if hot or taken else 4.0
    p.setPen(QPen(QColor(theme.DARK.accent if hot else theme.DARK.background), 1.5))
    p.setBrush(QColor(theme.DARK.accent if taken else "#ffffff"))
    p.drawRoundedRect(QRectF(x - side, y - side, 2 * side, 2 * side), 1.5, 1.5)


def joint(p: QPainter, x: float, y: float, colour: str, *, seen: bool = True, side: float = 4.0) -> None:
    """A point of a skeleton, or a loose one: full when it is seen, a ring when it is hidden."""
    p.setPen(QPen(_CASING, 1.5))
    p.setBrush(QColor(colour) if seen else _CASING)
    p.drawEllipse(QPointF(x, y), side, side)
    if not seen:
        p.setPen(QPen(QColor(colour), 1.8))
        p.setBrush(Qt.BrushStyle.NoBrush)
        p.drawEllipse(QPointF(x, y), side - 1, side - 1)


def guide(p: QPainter, points: list[QPointF]) -> None:
    """A helping line: dashed white in dark."""
    p.setBrush(Qt.BrushStyle.NoBrush)
    p.setPen(QPen(_CASING, 3.0))
    p.drawPolyline(points)
    pen = QPen(QColor("#ffffff"), 1.4)
    pen.setDashPattern([4, 3])
    p.setPen(pen)
    p.drawPolyline(points)


def arrow(p: QPainter, a: QPointF, b: QPointF, colour: str, text: str = "") -> None:
    """A link from a to b, its relation written at the middle."""
    along = b - a
    long = max(1.0, (along.x() ** 2 + along.y() ** 2) ** 0.5)
    ux, uy = along.x() / long, along.y() / long
    tip = QPolygonF(
        [
            b,
            QPointF(b.x() - 11 * ux + 5 * uy, b.y() - 11 * uy - 5 * ux),
            QPointF(b.x() - 11 * ux - 5 * uy, b.y() - 11 * uy + 5 * ux),
        ]
    )
    for pen in (QPen(_CASING, 4.0), QPen(QColor(colour), 1.8)):
        p.setPen(pen)
        p.setBrush(Qt.BrushStyle.NoBrush)
        p.drawLine(a, b)
        p.setBrush(pen.color())
        p.drawPolygon(tip)
    p.setPen(QPen(_CASING, 1.5))
    p.setBrush(QColor(colour))
    p.drawEllipse(a, 4, 4)
    if text and long > 60:
        face = theme.font(11, bold=True)
        wide = QFontMetrics(face).horizontalAdvance(text) + 12
        box = QRectF((a.x() + b.x()) / 2 - wide / 2, (a.y() + b.y()) / 2 - 9, wide, 18)
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(QColor(12, 13, 16, 215))
        p.drawRoundedRect(box, 9, 9)
        p.setFont(face)
        p.setPen(QColor(_INK))
        p.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def crosshair(p: QPainter, size: QSize, mouse: QPointF) -> None:
    """Two thin lines through the mouse, readable on dark and bright."""
    x, y = round(mouse.x()) + 0.5, round(mouse.y()) + 0.5
    for shade, shift in ((QColor(0, 0, 0, 90), 1), (QColor(255, 255, 255, 110), 0)):
        p.setPen(QPen(shade, 1))
        p.drawLine(QPointF(x + shift, 0), QPointF(x + shift, size.height()))
        p.drawLine(QPointF(0, y + shift), QPointF(size.width(), y + shift))


def hint(p: QPainter, width: int, text: str) -> None:
    """The two or three keys that matter now, on a dark pill."""
    face = theme.font(12)
    metrics = QFontMetrics(face)
    shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, width - 60)
    box = QRectF(16, 12, metrics.horizontalAdvance(shown) + 28, 28)
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(QColor(12, 13, 16, 205))
    p.drawRoundedRect(box, 14, 14)
    p.setFont(face)
    p.setPen(QColor(_INK))
    p.drawText(box, Qt.AlignmentFlag.AlignCenter, shown)

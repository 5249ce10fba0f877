"""What is painted over the panes for finding one's way: the small map, the loupe with true values, rulers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter, QPen

from app.desktop import theme
from app.desktop.canvas.camera import Camera, Rect

MAP_PX = (132, 96)
LOUPE_CELLS, LOUPE_PX = 11, 15
RULER_PX = 18
_EDGE = 16


def map_rect(size: tuple[int, int], wh: tuple[int, int]) -> QRectF:
    """Where the small map of a picture lies on a canvas: lower right."""
    factor = min(MAP_PX[0] / wh[0], MAP_PX[1] / wh[1])
    w, h = wh[0] * factor, wh[1] * factor
    return QRectF(size[0] - w - _EDGE, size[1] - h - _EDGE, w, h)


def on_map(box: QRectF, wh: tuple[int, int], at: QPointF) -> tuple[float, float]:
    """A place on the map in source pixels."""
    return (at.x() - box.x()) / box.width() * wh[0], (at.y() - box.y()) / box.height() * wh[1]


def paint_map(p: QPainter, box: QRectF, wh: tuple[int, int], image: QImage, seen: Rect) -> None:
    """The whole picture, and the rectangle of it that is in view."""
    factor = box.width() / wh[0]
    p.setPen(QPen(QColor(0, 0, 0, 200), 4))
    p.setBrush(Qt.BrushStyle.NoBrush)
    p.drawRoundedRect(box, 2, 2)
    p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    p.drawImage(box, image)
    shade = QColor(0, 0, 0, 90)
    x0, y0, x1, y1 = seen
    inner = QRectF(box.x() + x0 * factor, box.y() + y0 * factor, (x1 - x0) * factor, (y1 - y0) * factor)
    p.fillRect(QRectF(box.left(), box.top(), box.width(), inner.top() - box.top()), shade)
    p.fillRect(QRectF(box.left(), inner.bottom(), box.width(), box.bottom() - inner.bottom()), shade)
    p.fillRect(QRectF(box.left(), inner.top(), inner.left() - box.left(), inner.height()), shade)
    p.fillRect(QRectF(inner.right(), inner.top(), box.right() - inner.right(), inner.height()), shade)
    p.setPen(QPen(QColor(theme.DARK.accent), 1.5))
    p.drawRect(inner)


def paint_pill(p: QPainter, bottom: float, text: str) -> None:
    """A word or two in the lower left corner, ending at `bottom`."""
    face = theme.font(12)
    wide = QFontMetrics(face).horizontalAdvance(text) + 28
    box = QRectF(_EDGE, bottom - 28, wide, 28)
    p.setRenderHint(QPainter.RenderHint.Antialiasing)
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(QColor(12, 13, 16, 205))
    p.drawRoundedRect(box, 14, 14)
    p.setFont(face)
    p.setPen(QColor(theme.DARK.accent))
    p.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def loupe_rect(size: tuple[int, int], mouse: QPointF, lines: int) -> QRectF:
    """Where the loupe lies: upper right, or upper left while the mouse is there."""
    side = LOUPE_CELLS * LOUPE_PX
    high = side + 12 + 18 * lines
    left = size[0] - side - _EDGE
    if mouse.x() > left - 40 and mouse.y() < high + 80:
        left = _EDGE
    return QRectF(left, 52, side, high)


def paint_loupe(p: QPainter, box: QRectF, cells: QImage, lines: Sequence[str]) -> None:
    """LOUPE_CELLS² source pixels, large, the one under the mouse framed; below it what they are."""
    t = theme.DARK
    p.setRenderHint(QPainter.RenderHint.Antialiasing)
    p.setPen(QPen(QColor(0, 0, 0, 160), 1))
    p.setBrush(QColor(12, 13, 16, 225))
    p.drawRoundedRect(box.adjusted(-5, -5, 5, 5), 8, 8)
    side = box.width()
    p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
    p.drawImage(QRectF(box.left(), box.top(), side, side), cells)
    middle = LOUPE_CELLS // 2 * LOUPE_PX
    one = QRectF(box.left() + middle, box.top() + middle, LOUPE_PX, LOUPE_PX)
    p.setBrush(Qt.BrushStyle.NoBrush)
    p.setPen(QPen(QColor(0, 0, 0, 200), 3))
    p.drawRect(one)
    p.setPen(QPen(QColor(t.accent), 1.5))
    p.drawRect(one)
    face = theme.font(11)
    p.setFont(face)
    top = box.top() + side + 8
    for i, text in enumerate(lines):
        p.setPen(QColor(t.text if i else t.second))
        shown = QFontMetrics(face).elidedText(text, Qt.TextElideMode.ElideRight, int(side))
        p.drawText(QRectF(box.left() + 2, top + 18 * i, side, 18), int(Qt.AlignmentFlag.AlignVCenter), shown)


def tick_step(scale: float, least_px: float = 64.0) -> int:
    """Source pixels between two numbers of a ruler: 1, 2 or 5 times a power of ten, at least `least_px` apart."""
    wanted = max(1.0, least_px / scale)
    power = 10 ** math.floor(math.log10(wanted))
    return int(next(m * power for m in (1, 2, 5, 10) if m * power >= wanted))


def paint_rulers(
    p: QPainter, size: tuple[int, int], camera: Camera, wh: tuple[int, int], mouse: QPointF | None
) -> None:
    """Source pixels along the upper and the left edge, the mouse marked on both."""
    t = theme.current()
    p.fillRect(QRectF(0, 0, size[0], RULER_PX), QColor(t.panel))
    p.fillRect(QRectF(0, 0, RULER_PX, size[1]), QColor(t.panel))
    step = tick_step(camera.scale)
    small = step / 5 if step >= 5 else step
    p.setFont(theme.font(10))
    p.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    x0, y0, x1, y1 = camera.seen(size)
    for along in (0, 1):
        low, high = (x0, x1) if along == 0 else (y0, y1)
        k = math.floor(max(low, 0) / small)
        while k * small <= min(high, wh[along]):
            value = k * small
            at = camera.to_screen(value, value)[along]
            large = abs(value / step - round(value / step)) < 1e-6
            p.setPen(QPen(QColor(t.second if large else t.line), 1))
            reach = RULER_PX - (7 if large else 4)
            if at > RULER_PX:
                if along == 0:
                    p.drawLine(QPointF(at, reach), QPointF(at, RULER_PX))
                    if large:
                        p.drawText(QPointF(at + 3, 10), f"{value:.0f}")
                else:
                    p.drawLine(QPointF(reach, at), QPointF(RULER_PX, at))
                    if large:
                        p.save()
                        p.translate(10, at - 3)
                        p.rotate(-90)
                        p.drawText(QPointF(0, 0), f"{value:.0f}")
                        p.restore()
            k += 1
    p.fillRect(QRectF(0, 0, RULER_PX, RULER_PX), QColor(t.raised))
    if mouse is not None:
        p.setPen(QPen(QColor(t.accent), 1))
        p.drawLine(QPointF(mouse.x(), 0), QPointF(mouse.x(), RULER_PX))
        p.drawLine(QPointF(0, mouse.y()), QPointF(RULER_PX, mouse.y()))

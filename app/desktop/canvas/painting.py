"""What a paint event of the canvas puts down, layer by layer. Functions on the canvas; nothing here changes it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from annotation.core import Shape
from app.desktop import theme
from app.desktop.canvas import live, shapes

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas

log = logging.getLogger(__name__)

_PIXELS_FROM = 8.0
"""From this scale on the pixels themselves are shown, unsmoothed."""


def paint(canvas: Canvas, p: QPainter, dirty: QRect) -> None:
    """Everything, from the ground to the hint."""
    t = theme.current()
    p.fillRect(dirty, QColor(t.well))
    if canvas.picture_wh is None:
        p.setFont(theme.font(13))
        p.setPen(QColor(t.second))
        p.drawText(canvas.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, canvas.note)
        return
    _picture(canvas, p)
    canvas.settled.paint(p)
    p.setRenderHint(QPainter.RenderHint.Antialiasing)
    for layer in canvas.layers:
        _guarded(canvas, layer, p)
    _in_hand(canvas, p)
    canvas.tool.paint(p)
    if canvas.tool.crosshair and canvas.mouse is not None and not canvas.panning:
        live.crosshair(p, canvas.size(), canvas.mouse)
    if not canvas.camera.fitted:
        _map(canvas, p)
    if canvas.hint:
        live.hint(p, canvas.width(), canvas.hint)


def _guarded(canvas: Canvas, layer, p: QPainter) -> None:
    """A layer of somebody else: its fault is logged, it is laid aside, and the rest is painted."""
    p.save()
    try:
        layer(p)
    except Exception:
        log.exception("painting %r; it is left out from now on", layer)
        canvas.layers.remove(layer)
    finally:
        p.restore()


def _picture(canvas: Canvas, p: QPainter) -> None:
    """The part of the picture in view, from the level that fits the scale, and its border."""
    wh, camera = canvas.picture_wh, canvas.camera
    assert wh is not None
    w, h = wh
    if canvas.mips is None:
        assert canvas.thumb is not None
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        p.drawImage(QRectF(camera.ox, camera.oy, w * camera.scale, h * camera.scale), canvas.thumb)
        return
    image, _ = canvas.mips.level(camera.scale * canvas.devicePixelRatioF())
    x0, y0, x1, y1 = camera.seen((canvas.width(), canvas.height()))
    fx, fy = image.width() / w, image.height() / h
    a, b = max(0, int(x0 * fx) - 1), max(0, int(y0 * fy) - 1)
    c, d = min(image.width(), int(x1 * fx) + 2), min(image.height(), int(y1 * fy) + 2)
    if a < c and b < d:
        left, top = camera.to_screen(a / fx, b / fy)
        right, bottom = camera.to_screen(c / fx, d / fy)
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, camera.scale < _PIXELS_FROM)
        p.drawImage(QRectF(left, top, right - left, bottom - top), image, QRectF(a, b, c - a, d - b))
    # Objects may reach outside: where the picture ends must be seen on a dark picture too.
    p.setBrush(Qt.BrushStyle.NoBrush)
    p.setPen(QPen(QColor(theme.current().line), 1))
    left, top = camera.to_screen(0, 0)
    p.drawRect(QRectF(round(left) - 0.5, round(top) - 0.5, w * camera.scale + 1, h * camera.scale + 1))


def _in_hand(canvas: Canvas, p: QPainter) -> None:
    """What is under the mouse, what is being changed, and the handles of the one selected object."""
    style = canvas.settled.style
    if canvas.hovered and canvas.hovered not in canvas.live:
        found = canvas.scene.get(canvas.hovered)
        if found is not None:
            dashed = found.origin == "model"
            outline(canvas, p, found.shape, style.colour(found.label), fill=False, dashed=dashed)
    for annotation in canvas.live.values():
        outline(canvas, p, annotation.shape, style.colour(annotation.label))
    if (one := canvas.one_chosen()) is not None:
        shown = canvas.live.get(one.uid, one)
        for handle, x, y in canvas.handles(shown.shape):
            live.handle(p, *canvas.to_screen(x, y), hot=handle == canvas.hot_handle)


def outline(
    canvas: Canvas, p: QPainter, shape: Shape, colour: str, *, fill: bool = True, dashed: bool = False
) -> None:
    """A shape in hand or under the mouse."""
    for ring, closed in shapes.rings(shape):
        line = QPolygonF([QPointF(*canvas.to_screen(float(x), float(y))) for x, y in ring])
        live.outline(p, line, colour, closed=closed, fill=fill, dashed=dashed)


def _map(canvas: Canvas, p: QPainter) -> None:
    """The whole picture in a corner, with what is in view."""
    wh = canvas.picture_wh
    if canvas.mips is not None and wh is not None:
        x0, y0, x1, y1 = canvas.camera.seen((canvas.width(), canvas.height()))
        seen = (*canvas.inside(x0, y0), *canvas.inside(x1, y1))
        live.small_map(p, canvas.size(), canvas.mips.levels[-1], wh, seen)

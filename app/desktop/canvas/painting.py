"""What a paint event of the canvas puts down, layer by layer. Functions on the canvas; nothing here changes it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRect, Qt
from PySide6.QtGui import QColor, QPainter, QPolygonF

from annotation.core import Keypoints, Points, Shape
from app.desktop import theme
from app.desktop.canvas import chips, live, shapes
from app.desktop.canvas import layer as layers
from app.desktop.canvas.ground import DENSE_FROM
from app.desktop.canvas.layer import Pane

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas

log = logging.getLogger(__name__)


def paint(canvas: Canvas, p: QPainter, dirty: QRect) -> None:
    """Everything, from the ground to the hint."""
    t = theme.current()
    p.fillRect(dirty, QColor(t.well))
    layer = canvas.layer
    if layer.broken is not None and canvas.mips is None:
        layers.paint_broken(p, canvas.rect(), layer.broken)
        return
    if canvas.picture_wh is None:
        p.setFont(theme.font(13))
        p.setPen(QColor(t.second))
        p.drawText(canvas.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, canvas.note)
        return
    for pane in layer.panes(canvas.width()):
        p.save()
        p.setClipRect(QRect(pane.x, 0, pane.width, canvas.height()))
        p.translate(pane.x, 0)
        _pane(canvas, p, pane)
        p.restore()
    layer.paint_frame(p, canvas.width(), canvas.height())
    chips.paint(canvas, p)
    for instrument in canvas.instruments:
        _guarded(canvas, instrument, p, canvas.instruments)
    if canvas.hint:
        live.hint(p, canvas.width(), canvas.hint)


def _pane(canvas: Canvas, p: QPainter, pane: Pane) -> None:
    """The picture of a pane, or its partner, under the same objects."""
    size = (pane.width, canvas.height())

    def compose(q: QPainter, ratio: float) -> None:
        assert canvas.picture_wh is not None
        canvas.layer.paint(
            q, pane, canvas.camera, size, ratio, wh=canvas.picture_wh, mips=canvas.mips, thumb=canvas.thumb
        )
        canvas.settled.paint(q)

    ratio = canvas.devicePixelRatioF()
    motion = None if canvas.layer.comparing or ratio < DENSE_FROM else canvas.motion
    if motion == "push":
        canvas.ground.pushed(p, canvas.camera, size, ratio, compose)
    elif motion == "zoom":
        canvas.ground.zoomed(p, size, compose)
    else:
        compose(p, ratio)
    p.setRenderHint(QPainter.RenderHint.Antialiasing)
    for layer in tuple(canvas.layers):
        _guarded(canvas, layer, p, canvas.layers)
    _in_hand(canvas, p)
    canvas.tool.paint(p)
    if (canvas.tool.crosshair or canvas.crosshair) and canvas.mouse is not None and not canvas.panning:
        live.crosshair(p, canvas.size(), canvas.mouse)


def _guarded(canvas: Canvas, layer, p: QPainter, among: list) -> None:
    """A layer of somebody else: its fault is logged, it is laid aside, and the rest is painted."""
    p.save()
    try:
        layer(p)
    except Exception:
        log.exception("painting %r; it is left out from now on", layer)
        among.remove(layer)
    finally:
        p.restore()


def _in_hand(canvas: Canvas, p: QPainter) -> None:
    """What is under the mouse, what is being changed, and the handles of the one selected object."""
    style = canvas.settled.style
    if canvas.hovered and canvas.hovered not in canvas.live:
        found = canvas.scene.get(canvas.hovered)
        if found is not None:
            dashed = found.origin == "model"
            edges = style.edges.get(found.label, ())
            outline(canvas, p, found.shape, style.colour(found.label), fill=False, dashed=dashed, edges=edges)
    for a in canvas.live.values():
        outline(canvas, p, a.shape, style.colour(a.label), edges=style.edges.get(a.label, ()))
    if (one := canvas.one_chosen()) is not None:
        shown = canvas.live.get(one.uid, one)
        for handle, x, y in canvas.handles(shown.shape):
            live.handle(p, *canvas.to_screen(x, y), hot=handle == canvas.hot_handle)


def outline(
    canvas: Canvas,
    p: QPainter,
    shape: Shape,
    colour: str,
    *,
    fill: bool = True,
    dashed: bool = False,
    edges: Sequence[tuple[int, int]] = (),
) -> None:
    """A shape in hand or under the mouse; `edges` of its skeleton, when it has one."""
    if isinstance(shape, Points | Keypoints):
        flat = shape.points
        at = [QPointF(*canvas.to_screen(x, y)) for x, y in zip(flat[::2], flat[1::2], strict=True)]
        seen = shape.visibility if isinstance(shape, Keypoints) else (2,) * len(at)
        for i, j in edges:
            if i < len(at) and j < len(at) and seen[i] and seen[j]:
                live.outline(p, QPolygonF([at[i], at[j]]), colour, closed=False, fill=False, dashed=dashed)
        for point, v in zip(at, seen, strict=True):
            if v:
                live.joint(p, point.x(), point.y(), colour, seen=v == 2, side=5.0)
        return
    for ring, closed in shapes.rings(shape):
        line = QPolygonF([QPointF(*canvas.to_screen(x, y)) for x, y in ring.tolist()])
        live.outline(p, line, colour, closed=closed, fill=fill, dashed=dashed)

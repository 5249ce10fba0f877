"""Layers over the settled objects: loose points and skeletons with their edges, and links as arrows.

Both have a size on the screen, not on the picture, so the overlay of outlines cannot draw them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF
from PySide6.QtGui import QColor, QPainter, QPen

from annotation import marks
from annotation.core import Annotation, Keypoints, Points
from app.desktop.canvas import live, shapes

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas

Edges = Callable[[str], tuple[tuple[int, int], ...]]
"""The edges of a class's skeleton, pairs of point numbers."""

_AT_MOST = 400
"""Figures and links drawn at once; more would be a blot and cost a frame."""


def in_view(canvas: Canvas) -> list[Annotation]:
    """The objects that are drawn now and lie in view, the changed ones as they are in hand."""
    doc, scene = canvas.document, canvas.scene
    if not len(scene.boxes):
        return []
    x0, y0 = canvas.to_source(0, 0)
    x1, y1 = canvas.to_source(canvas.width(), canvas.height())
    b = scene.boxes
    with np.errstate(invalid="ignore"):
        seen = np.flatnonzero((b[:, 2] >= x0) & (b[:, 0] <= x1) & (b[:, 3] >= y0) & (b[:, 1] <= y1))
    found = (scene.annotations[i] for i in seen.tolist())
    return [canvas.live.get(a.uid, a) for a in found if not doc.is_hidden(a)]


def points_layer(canvas: Canvas, edges: Edges) -> Callable[[QPainter], None]:
    """Draws loose points and skeletons."""

    def paint(p: QPainter) -> None:
        shown = [a for a in in_view(canvas) if isinstance(a.shape, Points | Keypoints)][:_AT_MOST]
        for a in shown:
            assert isinstance(a.shape, Points | Keypoints)
            flat = a.shape.points
            at = [QPointF(*canvas.to_screen(x, y)) for x, y in zip(flat[::2], flat[1::2], strict=True)]
            seen = a.shape.visibility if isinstance(a.shape, Keypoints) else (2,) * len(at)
            colour = canvas.settled.style.colour(a.label)
            lit = a.uid in canvas.document.selection or a.uid == canvas.hovered
            if isinstance(a.shape, Keypoints):
                pen = QPen(QColor(colour), 2.4 if lit else 1.6)
                if a.origin == "model":
                    pen.setDashPattern([3, 2])
                p.setPen(pen)
                for i, j in edges(a.label):
                    if i < len(at) and j < len(at) and seen[i] and seen[j]:
                        p.drawLine(at[i], at[j])
            for point, v in zip(at, seen, strict=True):
                if v:
                    live.joint(p, point.x(), point.y(), colour, seen=v == 2, side=5.0 if lit else 4.0)

    return paint


def links_layer(canvas: Canvas) -> Callable[[QPainter], None]:
    """Draws an arrow for every link between two objects that are shown."""

    def paint(p: QPainter) -> None:
        drawn = 0
        for a in canvas.scene.linked:
            if canvas.document.is_hidden(a):
                continue
            begin = shapes.middle(canvas.live.get(a.uid, a).shape)
            for relation, uid in marks.links(a):
                other = canvas.live.get(uid) or canvas.scene.get(uid)
                if other is None or begin is None or canvas.document.is_hidden(other):
                    continue
                end = shapes.middle(other.shape)
                if end is None or drawn >= _AT_MOST:
                    continue
                drawn += 1
                lit = {a.uid, uid} & set(canvas.document.selection)
                colour = canvas.settled.style.colour(a.label) if lit else "#98a1ac"
                live.arrow(
                    p, QPointF(*canvas.to_screen(*begin)), QPointF(*canvas.to_screen(*end)), colour, relation
                )

    return paint

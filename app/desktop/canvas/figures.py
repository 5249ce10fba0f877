"""A layer over the settled objects: links as arrows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF
from PySide6.QtGui import QPainter

from annotation import marks
from app.desktop.canvas import live, shapes

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas

_AT_MOST = 400
"""Links drawn at once; more would be a blot and cost a frame."""


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

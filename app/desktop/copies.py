"""Copies of objects: duplicate, copy, cut and paste within a picture and across pictures, all of the picture before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from annotation import edits, rle, rows
from annotation.core import Annotation, Mask, Shape
from annotation.errors import LamproomError
from app import i18n
from app.desktop.canvas import shapes
from app.i18n import tr
from app.services import labelling

if TYPE_CHECKING:
    from app.desktop.editing import Editing

_PASTE_PX = 12.0
"""A copy on its own picture is set off so far on the screen."""


class Copies:
    """See the module. What was copied is kept for this sitting."""

    def __init__(self, editing: Editing) -> None:
        self.editing = editing
        self.previous: Callable[[], int | None] = lambda: None
        """The picture before the open one."""
        self._clip: tuple[tuple[Annotation, ...], int | None] = ((), None)

    def duplicate(self) -> None:
        """A copy beside each selected object."""
        self._add_copies(tuple(self.editing.chosen()), _PASTE_PX / self.editing.canvas.scale, "duplicate")

    def copy(self) -> None:
        """Remember the selected objects."""
        chosen = self.editing.doc.chosen()
        if chosen:
            self._clip = tuple(chosen), self.editing.doc.asset_id
            self.editing.tell(tr("{n} copied · Ctrl+V puts them here or on another picture", n=len(chosen)))

    def cut(self) -> None:
        """Remember the selected objects and delete them."""
        self.copy()
        wanted = self.editing.uids()
        self.editing.apply(lambda old: edits.remove(old, wanted), "cut")

    def paste(self) -> None:
        """Put what is remembered on this picture, beside the original when that is the same picture."""
        clip, asset = self._clip
        if not clip:
            self.editing.tell(tr("Nothing is copied yet"))
            return
        there = {a.uid for a in self.editing.doc.annotations}
        beside = asset == self.editing.doc.asset_id and any(a.uid in there for a in clip)
        self._add_copies(clip, _PASTE_PX / self.editing.canvas.scale if beside else 0.0, "paste")

    def copy_previous(self) -> None:
        """Everything people drew on the picture before, onto this one."""
        ws, before, here = self.editing.desk.ws, self.previous(), self.editing.doc.asset_id
        if ws is None or before is None:
            self.editing.tell(tr("There is no picture before this one"))
            return

        def done(page: labelling.Page) -> None:
            if self.editing.doc.asset_id == here:
                found = tuple(a for a in page.annotations if a.origin != "model")
                if found:
                    self._add_copies(found, 0.0, "copy from previous")
                else:
                    self.editing.tell(tr("Nothing is drawn on the picture before"))

        self.editing.desk.ask(lambda: labelling.load(ws, before), done)

    def _add_copies(self, originals: tuple[Annotation, ...], off: float, verb: str) -> None:
        known = {label.code for label in self.editing.desk.labels()}
        usable = tuple(a for a in originals if a.label in known)
        if len(usable) < len(originals):
            self.editing.tell(
                tr("{n} left out: their class is not in this dataset", n=len(originals) - len(usable))
            )
        if not usable or self.editing.canvas.picture_wh is None:
            return
        w, h = self.editing.canvas.picture_wh
        wanted = [a.uid for a in usable]
        try:
            both, new = edits.duplicate(usable, wanted, 0.0, 0.0)
        except LamproomError as fault:
            self.editing.tell(i18n.tr_fault(fault))
            return
        fresh = [a for a in both if a.uid in set(new)]
        fresh = [replace(a, shape=_on_picture(a.shape, w, h)) for a in fresh]
        if off:
            dx, dy = (
                self.editing.canvas.limit_shift(fresh, off, off) if any(map(_placed, fresh)) else (0.0, 0.0)
            )
            fresh = [replace(a, shape=rows.snapped(shapes.moved(a.shape, dx, dy))) for a in fresh]
        if self.editing.apply(lambda old: edits.add(old, *fresh), verb):
            self.editing.doc.select([a.uid for a in fresh])


def _placed(a: Annotation) -> bool:
    return shapes.bounds(a.shape) is not None


def _on_picture(shape: Shape, w: int, h: int) -> Shape:
    """A copy fits the picture it comes to: a mask takes its size, what lies wholly outside is shifted in."""
    if isinstance(shape, Mask):
        if (shape.w, shape.h) == (w, h):
            return shape
        part, x0, y0 = rle.crop(shape)
        return rle.encode(part, at=(x0, y0), wh=(w, h))
    box = shapes.bounds(shape)
    if box is None or (box[0] < w and box[1] < h and box[2] > 0 and box[3] > 0):
        return shape
    dx = min(0.0, w - box[2]) if box[0] >= w else max(0.0, -box[0]) if box[2] <= 0 else 0.0
    dy = min(0.0, h - box[3]) if box[1] >= h else max(0.0, -box[1]) if box[3] <= 0 else 0.0
    return rows.snapped(shapes.moved(shape, dx, dy))

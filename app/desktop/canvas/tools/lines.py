"""Tools that take points one by one: polygon with holes and parts, polyline, quadrilateral, loose points, slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QPainter

from annotation.core import Annotation, Coords, Mask, Points, Polygon, Polyline, Quad, Shape
from app.desktop.canvas import live, shapes
from app.desktop.canvas.tools.base import REACH_PX, SNAP_PX, Clicked, Point, Tool, flat, straight
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas

SIMPLE_PX = 1.2
"""How far a freehand line may be simplified away from the hand, in screen pixels."""
_STEP_PX = 2.0


def simplified(points: list[Point], tolerance: float) -> list[Point]:
    """A line with fewer points that stays within the tolerance (Douglas-Peucker)."""
    if len(points) < 3:
        return points
    kept = cv2.approxPolyDP(np.asarray(points, np.float32).reshape(-1, 1, 2), tolerance, False)
    return [(float(x), float(y)) for x, y in kept.reshape(-1, 2)]


class LineTool(Clicked):
    """Clicks for vertices and drags for freehand pieces, in one line; Backspace takes the last click or piece back."""

    name = "polyline"
    least = 2

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self._free: list[Point] = []
        self._counts: list[int] = []
        """Points that each click or piece has added."""

    def press(self, x: float, y: float, *, add: bool) -> None:
        if not self._points and (self.picks(x, y) or self._grab(x, y)):
            return
        at = self.place(x, y)
        if add and self._points:
            at = straight(self._points[-1], at)
        if self.closed and len(self._points) >= 3 and not self.far(at, self._points[0], REACH_PX):
            self.enter()
            return
        self._free = [at]
        if self._points and not self.far(at, self._points[-1], 1.5):
            return
        self._points.append(at)
        self._counts.append(1)
        self._mouse = at
        self.stepped()

    def move(self, x: float, y: float, *, square: bool) -> None:
        if self._handle is None and self._free and not square:
            at = self.place(x, y)
            if self.far(at, self._free[-1], _STEP_PX):
                self._free.append(at)
            self._mouse = at
            self.canvas.update()
            return
        super().move(x, y, square=square)

    def release(self, x: float, y: float) -> None:
        free, self._free = self._free, []
        if self._handle is not None:
            super().release(x, y)
        elif len(free) > 2 and any(self.far(free[0], at) for at in free):
            piece = simplified(free, SIMPLE_PX / self.canvas.scale)[1:]
            self._points += piece
            self._counts.append(len(piece))
            closes = self.closed and len(self._points) >= 3 and len(self._counts) == 2
            if closes and not self.far(free[-1], self._points[0], 3 * REACH_PX):
                self.enter()  # a lasso drawn round in one go
                return
            self.stepped()

    def back(self) -> bool:
        if not self._points:
            return False
        for _ in range(self._counts.pop() if self._counts else 1):
            self._points.pop()
        self._free = []
        self.stepped()
        return True

    def cancel(self) -> bool:
        self._free, self._counts = [], []
        return super().cancel()

    def shape(self, points: list[Point]) -> Shape:
        return Polyline(flat(points))

    def paint(self, p: QPainter) -> None:
        if len(self._free) > 1:
            shown = [*self._points, *self._free[1:]]
            live.outline(p, self.screen(shown), self.canvas.label_colour(), closed=False)
            self.paint_points(p, self._points)
            return
        super().paint(p)

    def hint(self, label: str) -> str:
        if not self._points:
            return tr("Click or drag along the line · {label}", label=label)
        return tr("Enter or right click ends · Backspace takes one back · Shift straight")


class PolygonTool(LineTool):
    """A click on the first vertex closes. Into the selected polygon it can draw a hole or another part."""

    name = "polygon"
    least = 3
    closed = True

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.into = "new"
        """What the next outline becomes: "new", or "hole" or "part" of the selected area."""
        self.add_ring: Callable[[str, str, Coords], object] = lambda _into, _uid, _ring: None
        """("hole" or "part", uid, ring); set by the editing commands."""

    def shape(self, points: list[Point]) -> Shape:
        drawn = Polygon(((flat(points),),))
        if not self.canvas.ways.snap:
            return drawn
        return shapes.snapped_border(self.canvas.scene, drawn, SNAP_PX / self.canvas.scale)

    def target(self) -> Annotation | None:
        """The polygon or mask that a hole or part goes into."""
        one = self.canvas.one_chosen()
        if self.into == "new" or one is None or self.canvas.document.out_of_reach(one):
            return None
        return one if isinstance(one.shape, Polygon | Mask) else None

    def press(self, x: float, y: float, *, add: bool) -> None:
        if self.into != "new" and self.target() is None:
            self.choose_at(x, y)
            return
        if self.into != "new" and not self._points:
            self._handle = None  # the new outline may begin on a vertex of the old one
            at = self.place(x, y)
            self._free, self._points, self._counts, self._mouse = [at], [at], [1], at
            self.stepped()
            return
        super().press(x, y, add=add)

    def enter(self) -> bool:
        target = self.target()
        if self.into == "new" or target is None or len(self._points) < self.least:
            return super().enter()
        ring = flat(self._points)
        self.cancel()
        self.add_ring(self.into, target.uid, ring)
        return True

    def cancel(self) -> bool:
        had = super().cancel()
        if not had and self.into != "new":
            self.set_into("new")
            return True
        return had

    def set_into(self, into: str) -> None:
        """What the next outline becomes."""
        self.into = into
        self.stepped()

    def paint(self, p: QPainter) -> None:
        super().paint(p)
        if len(self._points) >= 3 and self._mouse is not None and not self._free:
            hot = not self.far(self._mouse, self._points[0], REACH_PX)
            self.paint_points(p, self._points, hot=0 if hot else -1)

    def hint(self, label: str) -> str:
        if self.into != "new" and self.target() is None:
            return tr("Click the polygon first · Esc ends")
        if self._points:
            return tr("Enter or the first corner closes · Backspace takes one back · Shift straight")
        if self.into == "hole":
            return tr("Draw the hole in the selected polygon · Esc ends")
        if self.into == "part":
            return tr("Draw another part of the selected polygon · Esc ends")
        return tr("Click the corners or drag around it · {label}", label=label)


class QuadTool(Clicked):
    """Four clicks, the first on the object's own top left, then clockwise."""

    name = "quad"
    least = most = 4
    closed = True

    def shape(self, points: list[Point]) -> Shape:
        return Quad(flat(points))

    def hint(self, label: str) -> str:
        if not self._points:
            return tr("Click the four corners, its top left first · {label}", label=label)
        return tr("Corner {n} of 4 · Backspace takes one back", n=len(self._points) + 1)


class PointsTool(Clicked):
    """A click makes a point at once; with Shift several points become one object when Enter ends it."""

    name = "points"

    def press(self, x: float, y: float, *, add: bool) -> None:
        several = add or bool(self._points)
        super().press(x, y, add=add)
        if not several and self._points:
            self.enter()

    def shape(self, points: list[Point]) -> Shape:
        return Points(flat(points))

    def paint(self, p: QPainter) -> None:
        self.paint_points(p, self._points)

    def hint(self, label: str) -> str:
        if self._points:
            return tr("{n} points · click more · Enter ends · Backspace takes one back", n=len(self._points))
        return tr("Click for a point · {label} · with Shift several become one object", label=label)


class SliceTool(Clicked):
    """A line across the selected objects (else across all it meets); the pieces become objects of their own."""

    name = "slice"
    least = 2

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.cut: Callable[[list[Point]], object] = lambda _points: None
        """Set by the editing commands: does the cut."""

    def press(self, x: float, y: float, *, add: bool) -> None:
        at = (x, y)  # a cut may begin outside the picture
        if not self._points or self.far(at, self._points[-1], 1.5):
            self._points.append(at)
            self._mouse = at
            self.stepped()

    def release(self, x: float, y: float) -> None:
        if len(self._points) == 1 and self.far(self._points[0], (x, y), 2 * REACH_PX):
            self._points.append((x, y))
            self.enter()

    def enter(self) -> bool:
        if len(self._points) < 2:
            return bool(self._points)
        points = list(self._points)
        self.cancel()
        self.cut(points)
        return True

    def paint(self, p: QPainter) -> None:
        if self._points:
            shown = [*self._points, *([self._mouse] if self._mouse else [])]
            self.canvas.paint_line(p, shown)

    def hint(self, label: str) -> str:
        if self._points:
            return tr("Click on · Enter cuts · Backspace takes one back · Esc back")
        return tr("Drag or click a line across the objects to cut · Esc ends")


class LinkTool(Tool):
    """A click on a second object links the first to it; the name of the relation is asked for afterwards."""

    name = "link"
    cursor = Qt.CursorShape.PointingHandCursor

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.linked: Callable[[str, str], object] = lambda _a, _b: None
        """Set by the editing commands: (from, to) were clicked."""
        self._mouse: Point | None = None

    def press(self, x: float, y: float, *, add: bool) -> None:
        doc = self.canvas.document
        uid = self.canvas.object_at(x, y)
        if len(doc.selection) != 1:
            doc.select((uid,) if uid else ())
            self.stepped()
        elif uid is not None and uid != doc.selection[0]:
            self.linked(doc.selection[0], uid)

    def move(self, x: float, y: float, *, square: bool) -> None:
        self._mouse = (x, y)
        self.canvas.update()

    def paint(self, p: QPainter) -> None:
        chosen = self.canvas.document.chosen()
        if (
            len(chosen) == 1
            and self._mouse is not None
            and (at := shapes.middle(chosen[0].shape)) is not None
        ):
            self.canvas.paint_line(p, [at, self._mouse])

    def hint(self, label: str) -> str:
        if len(self.canvas.document.selection) == 1:
            return tr("Click the object it is linked to · Esc ends")
        return tr("Click the object the link begins at · Esc ends")

"""What the mouse does on the canvas: select and reshape, draw a box, draw a polygon. One small class a tool.

A tool gets positions in source pixels, keeps only the gesture in hand, shows it through `canvas.show_live`, and ends it
with one commit. Escape puts everything back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from annotation.core import Annotation, Box, Polygon, Shape
from app.desktop import document, theme
from app.desktop.canvas import live, shapes
from app.desktop.canvas import scene as scenes

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas

START_PX = 4.0
"""The mouse must travel this far on the screen before a press becomes a drag."""
REACH_PX = 6.0


class Tool:
    """Base: reshaping what is selected, which every tool can do."""

    name = ""
    cursor = Qt.CursorShape.ArrowCursor
    crosshair = False

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self._at: tuple[float, float] | None = None
        self._handle: shapes.Handle | None = None
        self._held: Annotation | None = None

    @property
    def busy(self) -> bool:
        """A gesture is in hand."""
        return self._at is not None

    def press(self, x: float, y: float, *, add: bool) -> None:
        """The left button went down at (x, y); `add` = with Shift."""

    def move(self, x: float, y: float, *, square: bool) -> None:
        """The mouse moved; `square` = with Shift."""
        if self._handle is not None and self._held is not None:
            x, y = self.canvas.inside(x, y)
            shape = shapes.with_handle(self._held.shape, self._handle, x, y)
            self.canvas.show_live([replace(self._held, shape=shape)])

    def release(self, x: float, y: float) -> None:
        """The left button went up."""
        if self._handle is not None:
            self.canvas.commit_live("reshape")
        self.cancel()

    def double(self, x: float, y: float) -> None:
        """A double click."""

    def enter(self) -> bool:
        """Return was pressed; True when the tool used it."""
        return False

    def back(self) -> bool:
        """Backspace was pressed; True when the tool used it."""
        return False

    def cancel(self) -> bool:
        """Escape: put everything back. True when there was something."""
        had = self.busy
        self._at = self._handle = self._held = None
        self.canvas.drop_live()
        return had

    def paint(self, p: QPainter) -> None:
        """Draw the gesture in hand, in screen pixels."""

    def _grab(self, x: float, y: float) -> bool:
        """Take the handle of the selected object under the mouse."""
        found = self.canvas.handle_at(x, y)
        if found is None:
            return False
        self._held, self._handle = found
        self._at = (x, y)
        return True


class Select(Tool):
    """Choose, move, reshape; a drag on nothing chooses what lies in the rectangle."""

    name = "select"

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self._moving: list[Annotation] = []
        self._band: tuple[float, float, float, float] | None = None
        self._add = False

    def press(self, x: float, y: float, *, add: bool) -> None:
        if self._grab(x, y):
            return
        doc = self.canvas.document
        uid = self.canvas.object_at(x, y)
        self._at, self._add = (x, y), add
        if uid is None:
            self._band = (x, y, x, y)
            return
        if add:
            rest = tuple(u for u in doc.selection if u != uid)
            doc.select(rest if uid in doc.selection else (*doc.selection, uid))
        elif uid not in doc.selection:
            doc.select((uid,))
        self._moving = [a for a in doc.chosen() if shapes.editable(a.shape)] if uid in doc.selection else []

    def move(self, x: float, y: float, *, square: bool) -> None:
        if self._handle is not None:
            super().move(x, y, square=square)
        elif self._at is not None and self._band is not None:
            self._band = (*self._band[:2], x, y)
            self.canvas.update()
        elif self._at is not None and self._moving:
            dx, dy = x - self._at[0], y - self._at[1]
            if self.canvas.has_live or max(abs(dx), abs(dy)) * self.canvas.scale >= START_PX:
                dx, dy = self.canvas.limit_shift(self._moving, dx, dy)
                self.canvas.show_live([replace(a, shape=shapes.moved(a.shape, dx, dy)) for a in self._moving])

    def release(self, x: float, y: float) -> None:
        doc = self.canvas.document
        if self._handle is not None:
            self.canvas.commit_live("reshape")
        elif self._band is not None:
            a, b, c, d = self._band
            box = (min(a, c), min(b, d), max(a, c), max(b, d))
            large = max(box[2] - box[0], box[3] - box[1]) * self.canvas.scale >= START_PX
            found = scenes.inside(self.canvas.scene, *box) if large else []
            doc.select((*doc.selection, *found) if self._add else found)
        elif self.canvas.has_live:
            self.canvas.commit_live("move")
        self.cancel()

    def double(self, x: float, y: float) -> None:
        chosen = self.canvas.document.chosen()
        if len(chosen) != 1 or not isinstance(chosen[0].shape, Polygon):
            return
        ring, after, distance = shapes.nearest_edge(chosen[0].shape, x, y)
        if distance * self.canvas.scale <= REACH_PX + 2:
            shape = shapes.insert_vertex(chosen[0].shape, ring, after, *self.canvas.inside(x, y))
            self.canvas.document.commit(document.change([replace(chosen[0], shape=shape)]), "reshape")

    def cancel(self) -> bool:
        had = super().cancel()
        self._moving, self._band = [], None
        self.canvas.update()
        return had

    def paint(self, p: QPainter) -> None:
        if self._band is not None:
            a, b = self.canvas.to_screen(*self._band[:2])
            c, d = self.canvas.to_screen(*self._band[2:])
            colour = QColor(theme.current().accent)
            p.setPen(QPen(colour, 1, Qt.PenStyle.DashLine))
            colour.setAlphaF(0.12)
            p.setBrush(colour)
            p.drawRect(QRectF(QPointF(a, b), QPointF(c, d)).normalized())


class BoxTool(Tool):
    """Press, drag, release: a box. A click without a drag chooses what is under it."""

    name = "box"
    cursor = Qt.CursorShape.CrossCursor
    crosshair = True

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self._box: Box | None = None

    def press(self, x: float, y: float, *, add: bool) -> None:
        if not self._grab(x, y):
            self._at = self.canvas.inside(x, y)

    def move(self, x: float, y: float, *, square: bool) -> None:
        if self._handle is not None:
            super().move(x, y, square=square)
            return
        if self._at is None:
            return
        a, b = self._at
        x, y = self.canvas.inside(x, y)
        if square:
            side = min(abs(x - a), abs(y - b))
            x, y = a + (side if x >= a else -side), b + (side if y >= b else -side)
        self._box = Box(min(a, x), min(b, y), max(a, x), max(b, y))
        self.canvas.update()

    def release(self, x: float, y: float) -> None:
        if self._handle is None and self._at is not None:
            box, scale = self._box, self.canvas.scale
            if box is not None and min(box.x1 - box.x0, box.y1 - box.y0) * scale >= START_PX:
                self.canvas.make(box)
            else:
                uid = self.canvas.object_at(x, y)
                self.canvas.document.select((uid,) if uid else ())
        super().release(x, y)

    def cancel(self) -> bool:
        had = super().cancel()
        self._box = None
        self.canvas.update()
        return had

    def paint(self, p: QPainter) -> None:
        if self._box is not None:
            self.canvas.paint_shape(p, self._box, self.canvas.label_colour())


class PolygonTool(Tool):
    """A click for every vertex; Enter, a double click or a click on the first vertex closes, Backspace takes one back."""

    name = "polygon"
    cursor = Qt.CursorShape.CrossCursor
    crosshair = True

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self._points: list[tuple[float, float]] = []
        self._mouse: tuple[float, float] | None = None

    @property
    def busy(self) -> bool:
        return bool(self._points) or super().busy

    def press(self, x: float, y: float, *, add: bool) -> None:
        if not self._points and self._grab(x, y):
            return
        x, y = self.canvas.inside(x, y)
        if self._points:
            fx, fy = self._points[0]
            lx, ly = self._points[-1]
            near = REACH_PX / self.canvas.scale
            if len(self._points) >= 3 and max(abs(x - fx), abs(y - fy)) <= near:
                self.enter()
                return
            if max(abs(x - lx), abs(y - ly)) * self.canvas.scale < 1.5:
                return
        self._points.append((x, y))
        self._mouse = (x, y)
        self.canvas.update()

    def move(self, x: float, y: float, *, square: bool) -> None:
        if self._handle is not None:
            super().move(x, y, square=square)
            return
        self._mouse = self.canvas.inside(x, y)
        if self._points:
            self.canvas.update()

    def release(self, x: float, y: float) -> None:
        if self._handle is not None:
            super().release(x, y)

    def double(self, x: float, y: float) -> None:
        self.enter()

    def enter(self) -> bool:
        if len(self._points) < 3:
            return bool(self._points)
        ring = tuple(v for point in self._points for v in point)
        self._points = []
        self.canvas.make(Polygon(((ring,),)))
        self.cancel()
        return True

    def back(self) -> bool:
        if not self._points:
            return False
        self._points.pop()
        self.canvas.update()
        return True

    def cancel(self) -> bool:
        had = self.busy
        super().cancel()
        self._points, self._mouse = [], None
        self.canvas.update()
        return had

    def paint(self, p: QPainter) -> None:
        if not self._points:
            return
        colour = self.canvas.label_colour()
        shown = [*self._points, *([self._mouse] if self._mouse else [])]
        line = QPolygonF([QPointF(*self.canvas.to_screen(x, y)) for x, y in shown])
        live.outline(p, line, colour, closed=False)
        first_hot = len(self._points) >= 3 and self._mouse is not None and self._near_first()
        for i, (x, y) in enumerate(self._points):
            live.handle(p, *self.canvas.to_screen(x, y), hot=i == 0 and first_hot)

    def _near_first(self) -> bool:
        assert self._mouse is not None
        (fx, fy), (x, y) = self._points[0], self._mouse
        return max(abs(x - fx), abs(y - fy)) * self.canvas.scale <= REACH_PX


TOOLS: dict[str, type[Tool]] = {"select": Select, "box": BoxTool, "polygon": PolygonTool}


def kind_of(shape: Shape) -> str:
    """The kind of a shape a tool can draw."""
    return "polygon" if isinstance(shape, Polygon) else "box"

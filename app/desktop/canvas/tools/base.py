"""What every tool has: the ways of drawing, reshaping what is selected, and the calls the canvas makes.

A tool gets positions in source pixels, keeps only the gesture in hand, shows it through `canvas.show_live` or its own
`paint`, and ends it with one commit. Escape puts everything back, Enter finishes, Backspace takes one step back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QPainter, QPolygonF

from annotation.core import Annotation, Coords, Shape
from app.desktop.canvas import live, shapes

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas

START_PX = 4.0
"""The mouse must travel this far on the screen before a press becomes a drag."""
REACH_PX = 6.0
SNAP_PX = 8.0
"""A neighbour's border this near on the screen takes the point, while snapping is on."""

Point = tuple[float, float]


@dataclass(slots=True)
class Ways:
    """How things are drawn: one value for all tools of a canvas, remembered in the settings.

    Attributes:
        outside: points may lie outside the picture (truncated objects).
        snap: points go to the border of a neighbour when they come near.
        brush: diameter of the brush in source pixels.
        brush_form: "round", "square", or "area": a drawn outline is filled.
        erase: the brush takes away.
    """

    outside: bool = False
    snap: bool = False
    brush: float = 24.0
    brush_form: str = "round"
    erase: bool = False


class Tool:
    """Base: reshaping what is selected, which every tool can do."""

    name = ""
    cursor = Qt.CursorShape.ArrowCursor
    crosshair = False
    hover = True
    """Objects under the mouse light up."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self._at: Point | None = None
        self._handle: shapes.Handle | None = None
        self._held: Annotation | None = None

    @property
    def busy(self) -> bool:
        """A gesture is in hand."""
        return self._at is not None

    # --- what the canvas calls -----------------------------------------------------------------------------------

    def press(self, x: float, y: float, *, add: bool) -> None:
        """The left button went down at (x, y); `add` = with Shift."""

    def move(self, x: float, y: float, *, square: bool) -> None:
        """The mouse moved; `square` = with Shift."""
        if self._handle is not None and self._held is not None:
            x, y = self.place(x, y)
            shape = shapes.with_handle(self._held.shape, self._handle, x, y)
            self.canvas.show_live([replace(self._held, shape=shape)])

    def release(self, x: float, y: float) -> None:
        """The left button went up."""
        if self._handle is not None:
            self.canvas.commit_live("reshape")
        self.cancel()

    def double(self, x: float, y: float) -> None:
        """A double click."""

    def right(self, x: float, y: float) -> bool:
        """The right button went down; True when the tool used it, else the menu opens."""
        return self.enter() if self.busy else False

    def wheel(self, step: float) -> bool:
        """The wheel turned by so many notches with Ctrl or Alt, or a size key was pressed; True when the tool has a size."""
        return False

    def turn(self, degrees: float) -> bool:
        """A turning key was pressed; True when the gesture in hand can be turned."""
        return False

    def skip(self) -> bool:
        """The skip key was pressed; True when the tool used it."""
        return False

    def enter(self) -> bool:
        """Return was pressed; True when the tool used it."""
        return False

    def back(self) -> bool:
        """Backspace was pressed, or Ctrl+Z with a gesture in hand; True when the tool used it."""
        return False

    def cancel(self) -> bool:
        """Escape: put everything back. True when there was something."""
        had = self.busy
        self._at = self._handle = self._held = None
        self.canvas.drop_live()
        return had

    def named(self, code: str) -> bool:
        """A class was chosen; True when that was for the tool and not for the selected objects."""
        return False

    def taken(self) -> None:
        """The tool was taken in hand."""

    def finish(self) -> None:
        """Another picture is about to open or the window to close: end what is on its way to the record."""

    def settled(self) -> None:
        """The view, the annotations or the selection changed under the tool."""

    def hint(self, label: str) -> str:
        """The two or three keys that matter now; "" leaves the line to the page. `label`: the class in hand."""
        return ""

    def paint(self, p: QPainter) -> None:
        """Draw the gesture in hand, in screen pixels."""

    # --- what tools use ------------------------------------------------------------------------------------------

    def place(self, x: float, y: float) -> Point:
        """Where a point goes: on a neighbour's border while snapping is on, inside the picture unless outside is on."""
        if self.canvas.ways.snap:
            busy = {self._held.uid} if self._held is not None else set()
            found = shapes.snap(self.canvas.scene, x, y, SNAP_PX / self.canvas.scale, without=busy)
            if found is not None:
                return found
        return (x, y) if self.canvas.ways.outside else self.canvas.inside(x, y)

    def stepped(self) -> None:
        """The gesture went on: paint it and say what comes next."""
        self.canvas.update()
        self.canvas.stepped.emit()

    def far(self, a: Point, b: Point, px: float = START_PX) -> bool:
        """Whether two points are at least so many screen pixels apart."""
        return max(abs(a[0] - b[0]), abs(a[1] - b[1])) * self.canvas.scale >= px

    def choose_at(self, x: float, y: float) -> None:
        """Choose what lies under a point, or nothing."""
        uid = self.canvas.object_at(x, y)
        self.canvas.document.select((uid,) if uid else ())

    def picks(self, x: float, y: float) -> bool:
        """A click with Ctrl chooses what is there, whatever tool is in hand."""
        if not self.canvas.modifiers & Qt.KeyboardModifier.ControlModifier:
            return False
        self.choose_at(x, y)
        return True

    def _grab(self, x: float, y: float) -> bool:
        """Take the handle of the selected object under the mouse."""
        found = self.canvas.handle_at(x, y)
        if found is None:
            return False
        self._held, self._handle = found
        self._at = (x, y)
        return True

    def screen(self, points: list[Point]) -> QPolygonF:
        """Points as a line on the screen."""
        return QPolygonF([QPointF(*self.canvas.to_screen(x, y)) for x, y in points])

    def paint_points(self, p: QPainter, points: list[Point], *, hot: int = -1) -> None:
        """White handles on points; one of them under the mouse."""
        for i, (x, y) in enumerate(points):
            live.handle(p, *self.canvas.to_screen(x, y), hot=i == hot)


class Clicked(Tool):
    """Base of the tools that take a click for every point. `least` points are needed; at `most` the shape is done."""

    cursor = Qt.CursorShape.CrossCursor
    crosshair = True
    least, most = 1, 0
    closed = False

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self._points: list[Point] = []
        self._mouse: Point | None = None

    @property
    def busy(self) -> bool:
        return bool(self._points) or super().busy

    def shape(self, points: list[Point]) -> Shape:
        """What the points make."""
        raise NotImplementedError

    def press(self, x: float, y: float, *, add: bool) -> None:
        if not self._points and (self.picks(x, y) or self._grab(x, y)):
            return
        at = self.place(x, y)
        if self._points and not self.far(at, self._points[-1], 1.5):
            return
        self._points.append(at)
        self._mouse = at
        if self.most and len(self._points) >= self.most:
            self.enter()
        self.stepped()

    def move(self, x: float, y: float, *, square: bool) -> None:
        if self._handle is not None:
            super().move(x, y, square=square)
            return
        self._mouse = self.place(x, y)
        if square and self._points:
            self._mouse = straight(self._points[-1], self._mouse)
        if self._points:
            self.canvas.update()

    def release(self, x: float, y: float) -> None:
        if self._handle is not None:
            super().release(x, y)

    def double(self, x: float, y: float) -> None:
        self.enter()

    def enter(self) -> bool:
        if not self._points:
            return False
        if len(self._points) >= self.least:
            shape = self.shape(self._points)
            self.cancel()
            self.canvas.make(shape)
        return True

    def back(self) -> bool:
        if not self._points:
            return False
        self._points.pop()
        self.stepped()
        return True

    def cancel(self) -> bool:
        had = self.busy
        super().cancel()
        self._points, self._mouse = [], None
        self.stepped()
        return had

    def paint(self, p: QPainter) -> None:
        if not self._points:
            return
        shown = [*self._points, *([self._mouse] if self._mouse else [])]
        closed = self.closed and len(shown) > 2
        live.outline(p, self.screen(shown), self.canvas.label_colour(), closed=closed)
        self.paint_points(p, self._points)


def straight(origin: Point, at: Point) -> Point:
    """The point moved so that the line to it lies at a multiple of 45 degrees (Shift)."""
    dx, dy = at[0] - origin[0], at[1] - origin[1]
    if abs(dx) > 2.414 * abs(dy):
        return at[0], origin[1]
    if abs(dy) > 2.414 * abs(dx):
        return origin[0], at[1]
    side = (abs(dx) + abs(dy)) / 2
    return origin[0] + (side if dx >= 0 else -side), origin[1] + (side if dy >= 0 else -side)


def flat(points: list[Point]) -> Coords:
    """Points as the values hold them."""
    return tuple(v for point in points for v in point)

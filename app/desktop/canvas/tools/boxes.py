"""Tools for shapes that a drag or two clicks span: box, rotated box, ellipse, cuboid."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QPainter

from annotation.core import Box, Cuboid, Ellipse, RotatedBox, Shape
from app.desktop.canvas.tools.base import START_PX, Point, Tool, flat
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas


class BoxTool(Tool):
    """Drag from corner to corner, or click two corners. A click on the same place twice chooses what is there."""

    name = "box"
    cursor = Qt.CursorShape.CrossCursor
    crosshair = True

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self._first: Point | None = None
        self._end: Point | None = None
        self._second_press = False

    @property
    def busy(self) -> bool:
        return self._first is not None or super().busy

    def press(self, x: float, y: float, *, add: bool) -> None:
        if self._first is not None:
            self._second_press = True
            self._stretch(x, y, add)
        elif not self.picks(x, y) and not self._grab(x, y):
            self._first = self._end = self.place(x, y)
            self.stepped()

    def move(self, x: float, y: float, *, square: bool) -> None:
        if self._handle is not None:
            super().move(x, y, square=square)
        elif self._first is not None:
            self._stretch(x, y, square)

    def release(self, x: float, y: float) -> None:
        if self._handle is not None or self._first is None:
            super().release(x, y)
            return
        assert self._end is not None
        if self.far(self._first, self._end) or self._second_press:
            self.spanned(x, y)

    def spanned(self, x: float, y: float) -> None:
        """Both corners are given."""
        shape = self.shape()
        self.cancel()
        if shape is None:
            self.choose_at(x, y)
        else:
            self.canvas.make(shape)

    def shape(self) -> Shape | None:
        """The shape between the corners, None while it is too small to be meant."""
        box = self.box()
        if box is None or min(box.x1 - box.x0, box.y1 - box.y0) * self.canvas.scale < START_PX:
            return None
        return self.fitted(box)

    def fitted(self, box: Box) -> Shape:
        """The tool's own shape in the dragged box."""
        return box

    def box(self) -> Box | None:
        """The box between the corners."""
        if self._first is None or self._end is None:
            return None
        (a, b), (x, y) = self._first, self._end
        return Box(min(a, x), min(b, y), max(a, x), max(b, y))

    def double(self, x: float, y: float) -> None:
        if self._first is None:
            self.choose_at(x, y)
        else:
            self.release(x, y)

    def enter(self) -> bool:
        if self._first is None:
            return False
        self.spanned(*self._first)
        return True

    def back(self) -> bool:
        return self._first is not None and self.cancel()

    def cancel(self) -> bool:
        had = super().cancel() or self._first is not None
        self._first = self._end = None
        self._second_press = False
        self.stepped()
        return had

    def paint(self, p: QPainter) -> None:
        if (shape := self.shape()) is not None:
            self.canvas.paint_shape(p, shape, self.canvas.label_colour())

    def hint(self, label: str) -> str:
        if self._first is None:
            return tr("Drag a box or click two corners · {label} · a digit changes the class", label=label)
        return tr("Click the other corner · Shift square · Esc back")

    def _stretch(self, x: float, y: float, square: bool) -> None:
        assert self._first is not None
        a, b = self._first
        x, y = self.place(x, y)
        if square:
            side = min(abs(x - a), abs(y - b))
            x, y = a + (side if x >= a else -side), b + (side if y >= b else -side)
        self._end = (x, y)
        self.canvas.update()


class EllipseTool(BoxTool):
    """Drag the box around it; Shift makes a circle."""

    name = "ellipse"

    def fitted(self, box: Box) -> Shape:
        return Ellipse(
            (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2, (box.x1 - box.x0) / 2, (box.y1 - box.y0) / 2
        )

    def hint(self, label: str) -> str:
        if self._first is None:
            return tr("Drag the box around it · {label} · Shift a circle", label=label)
        return tr("Click the other corner · Shift a circle · Esc back")


class RotatedBoxTool(BoxTool):
    """Drag a box and turn it, or click both ends of one edge and then the width."""

    name = "rotated_box"

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self._turning: RotatedBox | None = None
        self._edge: tuple[Point, Point] | None = None
        self._bearing = self._free_turn = 0.0

    @property
    def busy(self) -> bool:
        return self._turning is not None or super().busy

    def press(self, x: float, y: float, *, add: bool) -> None:
        if self._turning is None:
            super().press(x, y, add=add)
            return
        if self._edge is not None:
            self.move(x, y, square=False)
        self.enter()

    def release(self, x: float, y: float) -> None:
        if self._turning is None:
            super().release(x, y)

    def spanned(self, x: float, y: float) -> None:
        assert self._first is not None and self._end is not None
        first, end, clicked = self._first, self._end, self._second_press
        box = self.box()
        small = self.shape() is None
        self._first = self._end = None
        self._second_press = False
        if clicked and self.far(first, end):
            self._edge = (first, end)
            self._turning = over_edge(first, end, end)
        elif small or box is None:
            self.cancel()
            self.choose_at(x, y)
            return
        else:
            w, h = box.x1 - box.x0, box.y1 - box.y0
            self._turning = RotatedBox((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2, w, h, 0.0)
            self._bearing = math.degrees(math.atan2(y - self._turning.cy, x - self._turning.cx))
            self._free_turn = 0.0
        self.stepped()

    def move(self, x: float, y: float, *, square: bool) -> None:
        if self._turning is None:
            super().move(x, y, square=square)
        elif self._edge is not None:
            self._turning = over_edge(*self._edge, self.place(x, y))
            self.canvas.update()
        else:
            now = math.degrees(math.atan2(y - self._turning.cy, x - self._turning.cx))
            self._free_turn += now - self._bearing  # relative: what keys have turned stays turned
            self._bearing = now
            self._set_turn(round(self._free_turn / 15) * 15 if square else self._free_turn)

    def turn(self, degrees: float) -> bool:
        if self._turning is None or self._edge is not None:
            return False
        self._free_turn += degrees
        self._set_turn(self._turning.degrees + degrees)
        return True

    def _set_turn(self, degrees: float) -> None:
        assert self._turning is not None
        old = self._turning
        self._turning = RotatedBox(old.cx, old.cy, old.w, old.h, degrees % 360.0)
        self.canvas.update()

    def enter(self) -> bool:
        if self._turning is None:
            return super().enter()
        made = self._turning
        self.cancel()
        if min(made.w, made.h) * self.canvas.scale >= START_PX:
            self.canvas.make(made)
        return True

    def cancel(self) -> bool:
        had = self._turning is not None
        self._turning = self._edge = None
        return super().cancel() or had

    def back(self) -> bool:
        return self.busy and self._handle is None and self.cancel()

    def paint(self, p: QPainter) -> None:
        if self._turning is not None:
            self.canvas.paint_shape(p, self._turning, self.canvas.label_colour())
        elif self._first is not None and self._end is not None and self._second_press:
            self.canvas.paint_line(p, [self._first, self._end])
        else:
            super().paint(p)

    def hint(self, label: str) -> str:
        if self._edge is not None:
            return tr("Move to give the width · click or Enter ends · Esc back")
        if self._turning is not None:
            return tr("Move to turn, Shift by 15° · Z and Shift+Z by 1° · click or Enter ends")
        return tr("Drag a box, then turn it, or click both ends of an edge · {label}", label=label)


def over_edge(a: Point, b: Point, at: Point) -> RotatedBox:
    """The rotated box over the edge from a to b that reaches as far as the point."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    long = math.hypot(dx, dy)
    away = ((at[1] - a[1]) * dx - (at[0] - a[0]) * dy) / max(long, 1e-9)
    cx = (a[0] + b[0]) / 2 - dy / max(long, 1e-9) * away / 2
    cy = (a[1] + b[1]) / 2 + dx / max(long, 1e-9) * away / 2
    return RotatedBox(cx, cy, long, abs(away), math.degrees(math.atan2(dy, dx)) % 360.0)


class CuboidTool(BoxTool):
    """Drag the front face, then move to where its back is; a click or Enter ends."""

    name = "cuboid"

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self._front: Box | None = None
        self._deep: Point = (0.0, 0.0)
        self._small = 1.0

    @property
    def busy(self) -> bool:
        return self._front is not None or super().busy

    def press(self, x: float, y: float, *, add: bool) -> None:
        if self._front is None:
            super().press(x, y, add=add)
        else:
            self.move(x, y, square=add)
            self.enter()

    def release(self, x: float, y: float) -> None:
        if self._front is None:
            super().release(x, y)

    def spanned(self, x: float, y: float) -> None:
        shape, box = self.shape(), self.box()
        self._first = self._end = None
        self._second_press = False
        if shape is None or box is None:
            self.cancel()
            self.choose_at(x, y)
            return
        self._front = box
        self._deep = ((box.x1 - box.x0) * 0.3, -(box.y1 - box.y0) * 0.3)
        self.stepped()

    def move(self, x: float, y: float, *, square: bool) -> None:
        if self._front is None:
            super().move(x, y, square=square)
            return
        f = self._front
        x, y = self.place(x, y)
        # The mouse leads the far corner that it is nearest to.
        corner = (f.x1 if x >= (f.x0 + f.x1) / 2 else f.x0, f.y1 if y >= (f.y0 + f.y1) / 2 else f.y0)
        self._deep, self._small = (x - corner[0], y - corner[1]), 1.0
        if square:  # towards a vanishing point: the back is smaller
            reach = max(f.x1 - f.x0, f.y1 - f.y0)
            self._small = max(0.2, 1.0 - math.hypot(*self._deep) / (3.0 * reach))
        self.canvas.update()

    def enter(self) -> bool:
        if self._front is None:
            return super().enter()
        made = self._cuboid()
        self.cancel()
        self.canvas.make(made)
        return True

    def back(self) -> bool:
        return self.busy and self._handle is None and self.cancel()

    def cancel(self) -> bool:
        had = self._front is not None
        self._front = None
        return super().cancel() or had

    def paint(self, p: QPainter) -> None:
        if self._front is not None:
            self.canvas.paint_shape(p, self._cuboid(), self.canvas.label_colour())
        else:
            super().paint(p)

    def hint(self, label: str) -> str:
        if self._front is not None:
            return tr("Move to where its back is · Shift smaller behind · click or Enter ends")
        return tr("Drag the front face · {label} · then its depth", label=label)

    def _cuboid(self) -> Cuboid:
        assert self._front is not None
        f, (dx, dy), k = self._front, self._deep, self._small
        front = [(f.x0, f.y0), (f.x1, f.y0), (f.x1, f.y1), (f.x0, f.y1)]
        cx, cy = (f.x0 + f.x1) / 2, (f.y0 + f.y1) / 2
        behind = [(cx + (x - cx) * k + dx, cy + (y - cy) * k + dy) for x, y in front]
        return Cuboid(flat([*front, *behind]))

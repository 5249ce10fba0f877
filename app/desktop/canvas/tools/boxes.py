"""Tools for shapes that a drag makes: box."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QPainter

from annotation.core import Box
from app.desktop.canvas.tools.base import START_PX, Tool


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

"""Tools that take a click for every vertex: polygon."""

from __future__ import annotations

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QPainter, QPolygonF

from annotation.core import Polygon
from app.desktop.canvas import live
from app.desktop.canvas.tools.base import REACH_PX, Tool


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

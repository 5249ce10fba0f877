"""The skeleton tool: the points of the class's template one after the other, or all at once in a dragged box."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from annotation.core import Box, Keypoints
from annotation.schema import Skeleton
from annotation.skeletons import in_box
from app import i18n
from app.desktop.canvas import live
from app.desktop.canvas.tools.base import Point, Tool, flat
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas

ABSENT, HIDDEN, SEEN = 0, 1, 2


class SkeletonTool(Tool):
    """Left click: the point is seen there; right click: it is there, but hidden; the skip key: it is absent. A drag
    before the first point lays the whole skeleton into the box."""

    name = "keypoints"
    cursor = Qt.CursorShape.CrossCursor
    crosshair = True

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.template: Callable[[str], Skeleton | None] = lambda _label: None
        """The skeleton of a class; set by the desk."""
        self._placed: list[tuple[Point, int]] = []
        self._mouse: Point | None = None
        self._first: Point | None = None

    @property
    def busy(self) -> bool:
        return bool(self._placed) or self._first is not None or super().busy

    @property
    def skeleton(self) -> Skeleton | None:
        """The skeleton of the class in hand."""
        return self.template(self.canvas.label or "")

    def press(self, x: float, y: float, *, add: bool) -> None:
        if not self._placed and (self.picks(x, y) or self._grab(x, y)):
            return
        if self.skeleton is None:
            self.canvas.refused.emit("keypoints")
        elif self._placed:
            self._put(self.place(x, y), SEEN)
        else:
            self._first = self._mouse = self.place(x, y)
            self.stepped()

    def move(self, x: float, y: float, *, square: bool) -> None:
        if self._handle is not None:
            super().move(x, y, square=square)
            return
        self._mouse = self.place(x, y)
        if self.busy:
            self.canvas.update()

    def release(self, x: float, y: float) -> None:
        if self._handle is not None:
            super().release(x, y)
            return
        first, self._first = self._first, None
        if first is None:
            return
        whole = self._in_box(first, self.place(x, y))
        if whole is None:
            self._put(first, SEEN)
        else:
            self.cancel()
            self.canvas.make(whole)

    def right(self, x: float, y: float) -> bool:
        if self.skeleton is None or (not self._placed and self.canvas.handle_at(x, y) is not None):
            return False
        self._put(self.place(x, y), HIDDEN)
        return True

    def skip(self) -> bool:
        if self.skeleton is None:
            return False
        self._put((0.0, 0.0), ABSENT)
        return True

    def _put(self, at: Point, seen: int) -> None:
        template = self.skeleton
        if template is None:
            return
        self._placed.append((at, seen))
        if len(self._placed) >= len(template.points):
            self.enter()
        self.stepped()

    def enter(self) -> bool:
        template = self.skeleton
        if not self._placed or template is None:
            return False
        placed = self._placed + [((0.0, 0.0), ABSENT)] * (len(template.points) - len(self._placed))
        self.cancel()
        if any(seen for _, seen in placed):
            self.canvas.make(Keypoints(flat([at for at, _ in placed]), tuple(seen for _, seen in placed)))
        return True

    def back(self) -> bool:
        if not self._placed:
            return False
        self._placed.pop()
        self.stepped()
        return True

    def cancel(self) -> bool:
        had = super().cancel() or bool(self._placed) or self._first is not None
        self._placed, self._first = [], None
        self.stepped()
        return had

    def _in_box(self, a: Point, b: Point) -> Keypoints | None:
        template = self.skeleton
        if template is None or not self.far(a, b, 12.0):
            return None
        box = Box(min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1]))
        if min(box.x1 - box.x0, box.y1 - box.y0) * self.canvas.scale < 6:
            return None
        return in_box(template, box)

    def paint(self, p: QPainter) -> None:
        template = self.skeleton
        if template is None:
            return
        colour = self.canvas.label_colour()
        if self._first is not None and self._mouse is not None:
            whole = self._in_box(self._first, self._mouse)
            if whole is not None:
                self.canvas.paint_shape(
                    p, Box(*sorted_box(self._first, self._mouse)), colour, fill=False, dashed=True
                )
                points = list(zip(whole.points[::2], whole.points[1::2], strict=True))
                self._paint_figure(p, list(zip(points, whole.visibility, strict=True)), template, colour)
            return
        if self._placed:
            self._paint_figure(p, self._placed, template, colour)
        if self._mouse is not None and len(self._placed) < len(template.points):
            for i, j in template.edges:  # where the next point will hang
                n = len(self._placed)
                other = j if i == n else i if j == n else None
                if other is not None and other < n and self._placed[other][1]:
                    self.canvas.paint_line(p, [self._placed[other][0], self._mouse])

    def _paint_figure(
        self, p: QPainter, placed: list[tuple[Point, int]], template: Skeleton, colour: str
    ) -> None:
        at = [QPointF(*self.canvas.to_screen(*point)) for point, _ in placed]
        p.setPen(QPen(QColor(colour), 2.0))
        for i, j in template.edges:
            if i < len(placed) and j < len(placed) and placed[i][1] and placed[j][1]:
                p.drawLine(at[i], at[j])
        for point, (_, seen) in zip(at, placed, strict=True):
            if seen:
                live.joint(p, point.x(), point.y(), colour, seen=seen == SEEN)

    def hint(self, label: str) -> str:
        template = self.skeleton
        if template is None:
            return tr("{label} has no skeleton: choose another class", label=label)
        n = len(self._placed)
        if n == 0 and self._first is None:
            first = _name(template, 0)
            return tr(
                "{label}: click {point}, or drag a box for the whole skeleton", label=label, point=first
            )
        if n >= len(template.points):
            return ""
        return tr(
            "{n}/{all} click {point} · right click hidden · . absent · Backspace one back · Enter ends",
            n=n + 1,
            all=len(template.points),
            point=_name(template, n),
        )


def _name(template: Skeleton, i: int) -> str:
    _code, zh, en = template.points[i]
    return zh if i18n.language().startswith("zh") else en


def sorted_box(a: Point, b: Point) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 between two corners."""
    return min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])

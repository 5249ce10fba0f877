"""Select: choose, move, reshape; a drag on nothing chooses what lies in the rectangle, with Ctrl the vertices in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from annotation.core import Annotation, Keypoints, Polygon, Polyline
from app.desktop import document, theme
from app.desktop.canvas import live, shapes
from app.desktop.canvas.tools.base import REACH_PX, START_PX, Point, Tool
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas


class Select(Tool):
    """Choose, move, reshape. Vertices taken by Ctrl and a rectangle move, nudge and go together."""

    name = "select"

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self._moving: list[Annotation] = []
        self._band: tuple[float, float, float, float] | None = None
        self._add = False
        self._pulling = False
        self._for_vertices = False
        self._owner = ""
        self._vertices: frozenset[shapes.Handle] = frozenset()

    @property
    def vertices(self) -> frozenset[shapes.Handle]:
        """The vertices in hand of the one selected object."""
        one = self.canvas.one_chosen()
        return self._vertices if one is not None and one.uid == self._owner else frozenset()

    def take_vertices(self, taken: frozenset[shapes.Handle]) -> None:
        """Take these vertices of the one selected object in hand."""
        one = self.canvas.one_chosen()
        self._owner, self._vertices = (one.uid, taken) if one is not None else ("", frozenset())
        self.stepped()

    def press(self, x: float, y: float, *, add: bool) -> None:
        ctrl = bool(self.canvas.modifiers & Qt.KeyboardModifier.ControlModifier)
        doc = self.canvas.document
        found = self.canvas.handle_at(x, y)
        if found is not None and ctrl:
            self.take_vertices(self.vertices ^ {found[1]})
            return
        if found is not None and found[1] in self.vertices:
            self._held, self._at, self._pulling = found[0], (x, y), True
            return
        if self._grab(x, y):
            self._vertices = frozenset()
            return
        uid = self.canvas.object_at(x, y)
        self._at, self._add = (x, y), add
        one = self.canvas.one_chosen()
        if ctrl and one is not None and shapes.handles(one.shape):
            self._band, self._for_vertices = (x, y, x, y), True
            return
        if uid is None:
            self._band = (x, y, x, y)
            return
        if add or ctrl:
            rest = tuple(u for u in doc.selection if u != uid)
            doc.select(rest if uid in doc.selection else (*doc.selection, uid))
        elif uid not in doc.selection:
            doc.select((uid,))
        movable = [a for a in doc.chosen() if shapes.editable(a.shape) and not doc.out_of_reach(a)]
        self._moving = movable if uid in doc.selection else []

    def move(self, x: float, y: float, *, square: bool) -> None:
        if self._at is None:
            return
        dx, dy = x - self._at[0], y - self._at[1]
        if self._handle is not None:
            super().move(x, y, square=square)
        elif self._pulling and self._held is not None:
            shape = shapes.shifted(self._held.shape, self.vertices, dx, dy)
            self.canvas.show_live([replace(self._held, shape=shape)])
        elif self._band is not None:
            self._band = (*self._band[:2], x, y)
            self.canvas.update()
        elif self._moving:
            if square:  # along one axis
                dx, dy = (dx, 0.0) if abs(dx) >= abs(dy) else (0.0, dy)
            if self.canvas.has_live or max(abs(dx), abs(dy)) * self.canvas.scale >= START_PX:
                dx, dy = self.canvas.limit_shift(self._moving, dx, dy)
                self.canvas.show_live([replace(a, shape=shapes.moved(a.shape, dx, dy)) for a in self._moving])

    def release(self, x: float, y: float) -> None:
        doc = self.canvas.document
        if self._handle is not None or self._pulling:
            self.canvas.commit_live("reshape")
        elif self._band is not None:
            a, b, c, d = self._band
            box = (min(a, c), min(b, d), max(a, c), max(b, d))
            large = max(box[2] - box[0], box[3] - box[1]) * self.canvas.scale >= START_PX
            if self._for_vertices:
                self._take_band(box, large, (x, y))
            else:
                found = self.canvas.objects_in(*box) if large else []
                doc.select((*doc.selection, *found) if self._add else found)
        elif self.canvas.has_live:
            self.canvas.commit_live("move")
        self.cancel_gesture()

    def _take_band(self, box: tuple[float, float, float, float], large: bool, at: Point) -> None:
        one = self.canvas.one_chosen()
        if one is None:
            return
        if not large:  # Ctrl and a click: choose another object too
            uid = self.canvas.object_at(*at)
            doc = self.canvas.document
            if uid is not None:
                doc.select(
                    [u for u in doc.selection if u != uid] if uid in doc.selection else [*doc.selection, uid]
                )
            return
        inside = [
            handle
            for handle, x, y in shapes.handles(one.shape, self.canvas.scale)
            if box[0] <= x <= box[2] and box[1] <= y <= box[3]
        ]
        self.take_vertices(frozenset(inside) | (self.vertices if self._add else frozenset()))

    def double(self, x: float, y: float) -> None:
        one = self.canvas.one_chosen()
        if (
            one is None
            or not isinstance(one.shape, Polygon | Polyline)
            or self.canvas.document.out_of_reach(one)
        ):
            return
        handle, distance = shapes.nearest_edge(one.shape, x, y)
        if distance * self.canvas.scale <= REACH_PX + 2:
            shape = shapes.insert_vertex(one.shape, handle, *self.place(x, y))
            changed = replace(one, shape=shape, origin="human", score=None)
            self.canvas.document.commit(document.change([changed]), "reshape")

    def right(self, x: float, y: float) -> bool:
        found = self.canvas.handle_at(x, y)
        if found is None or not isinstance(found[0].shape, Keypoints):
            uid = self.canvas.object_at(x, y)
            if uid is not None and uid not in self.canvas.document.selection:
                self.canvas.document.select((uid,))
            return False
        self.toggle_seen(found[0], {found[1][1]})
        return True

    def toggle_seen(self, a: Annotation, points: set[int]) -> None:
        """Keypoints seen become hidden, hidden ones seen."""
        assert isinstance(a.shape, Keypoints)
        seen = tuple({2: 1, 1: 2}.get(v, v) if i in points else v for i, v in enumerate(a.shape.visibility))
        changed = replace(a, shape=Keypoints(a.shape.points, seen), origin="human", score=None)
        self.canvas.document.commit(document.change([changed]), "visibility")

    def cancel(self) -> bool:
        had = self.cancel_gesture()
        if not had and self.vertices:
            self.take_vertices(frozenset())
            return True
        return had

    def cancel_gesture(self) -> bool:
        """Put back what the mouse holds; the vertices in hand stay in hand."""
        had = super().cancel()
        self._moving, self._band = [], None
        self._pulling = self._for_vertices = False
        self.canvas.update()
        return had

    def paint(self, p: QPainter) -> None:
        if (taken := self.vertices) and (one := self.canvas.one_chosen()) is not None:
            shown = self.canvas.live.get(one.uid, one)
            for handle, x, y in shapes.handles(shown.shape, self.canvas.scale):
                if handle in taken:
                    live.handle(p, *self.canvas.to_screen(x, y), taken=True)
        if self._band is not None:
            a, b = self.canvas.to_screen(*self._band[:2])
            c, d = self.canvas.to_screen(*self._band[2:])
            colour = QColor(theme.current().accent)
            p.setPen(QPen(colour, 1, Qt.PenStyle.DashLine))
            colour.setAlphaF(0.12)
            p.setBrush(colour)
            p.drawRect(QRectF(QPointF(a, b), QPointF(c, d)).normalized())

    def hint(self, label: str) -> str:
        if n := len(self.vertices):
            return tr("{n} corners in hand · drag or arrows move them · Del deletes them · Esc lets go", n=n)
        return ""

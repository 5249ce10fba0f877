"""Select: choose, move, reshape; a drag on nothing chooses what lies in the rectangle."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from annotation.core import Annotation, Polygon
from app.desktop import document, theme
from app.desktop.canvas import shapes
from app.desktop.canvas.tools.base import REACH_PX, START_PX, Tool


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
            found = self.canvas.objects_in(*box) if large else []
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

"""The graph itself: painted cells and lines, moved and zoomed by mouse and keys, one cell in hand."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFontMetricsF,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from app.desktop import theme
from app.desktop.lineage.layers import HIGH, WIDE, Cell, Picture, picture, towards
from app.desktop.painted import painted
from app.desktop.widgets import number
from app.i18n import tr
from app.services import lineagetext
from app.services.lineage import Lineage

LEAST, MOST = 0.15, 2.0
READABLE = 0.8
"""Zoom below which a lineage is not shown at first: better a part that can be read; F shows all."""
_ROOM = 28
"""Room around the graph, px."""
_SHARP = 2.0
"""Dots of a saved picture for each of the screen."""
_MOST_PX = 8000


class Graph(QWidget):
    """See the module. `chosen` tells the cell in hand, `opened` one that was asked for (Enter, double click)."""

    chosen = Signal(str)
    opened = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.found: Lineage | None = None
        self.drawn: Picture | None = None
        self.agents: Mapping[str, list[str]] = {}
        self.fans: set[str] = set()
        self.now = ""
        self.zoom = 1.0
        self._shift = QPointF(0, 0)
        self._held: QPointF | None = None
        self._moved = self._fitted = self._first = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(320, 240)
        self.setMouseTracking(True)

    # --- what is shown -----------------------------------------------------------------------------------------------

    def show_lineage(self, found: Lineage) -> None:
        """Draw a lineage with its subject in hand, as much of it in sight as can be read."""
        self.found, self.fans = found, set()
        self.agents = lineagetext.actors(found)
        self.drawn = picture(found)
        self.now = found.subject
        self.begin()
        self.choose(found.subject)

    def choose(self, id: str) -> None:
        """Take a cell in hand and bring it into sight."""
        if self.drawn is None or id not in self.drawn.cells:
            return
        if id != self.now:
            self._first = False
        self.now = id
        self.setAccessibleDescription(self.spoken(self.drawn.cells[id]))
        self._reveal(self.drawn.cells[id])
        self.chosen.emit(id)
        self.update()

    def unfold(self, id: str) -> None:
        """Draw each member of a fan."""
        if self.drawn is None or self.found is None or not self.drawn.cells[id].members:
            return
        first = self.drawn.cells[id].members[0]
        self.fans.add(id)
        self.drawn = picture(self.found, self.fans)
        self.choose(first)

    def spoken(self, cell: Cell) -> str:
        """A cell in words."""
        if cell.node is None:
            return tr("{n} more: {type}", n=number(len(cell.members)), type=lineagetext.kind(cell.type))
        parts = [
            lineagetext.kind(cell.type),
            lineagetext.title(cell.node),
            *lineagetext.details(cell.node, self.agents),
        ]
        return " · ".join(p for p in parts if p)

    # --- where it is looked at ----------------------------------------------------------------------------------------

    def fit(self) -> None:
        """All of it, not larger than drawn."""
        if self.drawn is None:
            return
        room_w, room_h = max(1, self.width() - 2 * _ROOM), max(1, self.height() - 2 * _ROOM)
        whole = min(1.0, room_w / self.drawn.width, room_h / self.drawn.height)
        self.zoom = max(LEAST, whole)
        self._fitted, self._first = True, False
        self._shift = QPointF(
            (self.width() - self.drawn.width * self.zoom) / 2,
            (self.height() - self.drawn.height * self.zoom) / 2,
        )
        if self.zoom > whole and self.drawn.subject in self.drawn.cells:
            self._reveal(self.drawn.cells[self.drawn.subject])
        self.update()

    def begin(self) -> None:
        """As at first: all of it where that can be read, else the subject at its edge."""
        self.fit()
        if self.drawn is not None and self.zoom < READABLE:
            self.zoom, me = READABLE, self.drawn.cells[self.drawn.subject]
            back = me.x > 0
            edge = self.width() - _ROOM - WIDE * self.zoom if back else _ROOM
            middle = (self.height() - HIGH * self.zoom) / 2
            self._shift = QPointF(edge - me.x * self.zoom, middle - me.y * self.zoom)
        self._first = True

    def zoom_by(self, factor: float, at: QPointF | None = None) -> None:
        """Larger or smaller, with the point under `at` (or the middle) kept in place."""
        at = at or QPointF(self.width() / 2, self.height() / 2)
        zoom = min(MOST, max(LEAST, self.zoom * factor))
        self._shift = at - (at - self._shift) * (zoom / self.zoom)
        self.zoom, self._fitted, self._first = zoom, False, False
        self.update()

    def _reveal(self, cell: Cell) -> None:
        box = self._on_screen(cell)
        view = QRectF(self.rect()).adjusted(12, 12, -12, -12)
        dx = max(0.0, view.left() - box.left()) - max(0.0, box.right() - view.right())
        dy = max(0.0, view.top() - box.top()) - max(0.0, box.bottom() - view.bottom())
        self._shift += QPointF(dx, dy)

    def _on_screen(self, cell: Cell) -> QRectF:
        return QRectF(
            self._shift.x() + cell.x * self.zoom,
            self._shift.y() + cell.y * self.zoom,
            WIDE * self.zoom,
            HIGH * self.zoom,
        )

    def at(self, point: QPointF) -> str | None:
        """The cell at a place of the widget."""
        cells = self.drawn.cells.values() if self.drawn is not None else ()
        return next((c.id for c in cells if self._on_screen(c).contains(point)), None)

    # --- hands ---------------------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        if self._first:
            self.begin()
        elif self._fitted:
            self.fit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        self.zoom_by(1.0015 ** event.angleDelta().y(), event.position())
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._held, self._moved = event.position(), False
        if found := self.at(event.position()):
            self.choose(found)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._held is not None:
            step = event.position() - self._held
            if self._moved or step.manhattanLength() > 4:
                self._moved, self._fitted, self._first = True, False, False
                self._shift += step
                self._held = event.position()
                self.update()
            return
        over = self.at(event.position())
        self.setCursor(Qt.CursorShape.PointingHandCursor if over else Qt.CursorShape.OpenHandCursor)
        self.setToolTip(self.spoken(self.drawn.cells[over]) if over and self.drawn else "")

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._held = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if found := self.at(event.position()):
            self.go(found)

    def go(self, id: str) -> None:
        """Unfold a fan, or ask for what a cell stands for."""
        if self.drawn is not None and self.drawn.cells[id].members:
            self.unfold(id)
        else:
            self.opened.emit(id)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if self.drawn is None or not self.now:
            event.ignore()
            return
        arrows = {
            Qt.Key.Key_Left: (-1, 0),
            Qt.Key.Key_Right: (1, 0),
            Qt.Key.Key_Up: (0, -1),
            Qt.Key.Key_Down: (0, 1),
        }
        key = Qt.Key(event.key())
        if key in arrows:
            self.choose(towards(self.drawn, self.now, *arrows[key]))
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.go(self.now)
        elif key == Qt.Key.Key_Home:
            self.choose(self.drawn.subject)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom_by(1.25)
        elif key == Qt.Key.Key_Minus:
            self.zoom_by(0.8)
        elif key in (Qt.Key.Key_F, Qt.Key.Key_0):
            self.fit()
        else:
            event.ignore()

    def focusInEvent(self, event: QFocusEvent) -> None:
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self.update()

    # --- paint ---------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            t = theme.current()
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            p.fillRect(self.rect(), QColor(t.well))
            if self.drawn is None:
                return
            p.translate(self._shift)
            p.scale(self.zoom, self.zoom)
            self._paint(p, self.drawn)

    def image(self) -> QImage:
        """The whole graph as a picture, as it is unfolded now."""
        assert self.drawn is not None
        w, h = self.drawn.width + 2 * _ROOM, self.drawn.height + 2 * _ROOM
        scale = min(_SHARP, _MOST_PX / w, _MOST_PX / h)
        out = QImage(max(1, round(w * scale)), max(1, round(h * scale)), QImage.Format.Format_RGB32)
        out.fill(QColor(theme.current().well))
        p = QPainter(out)
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        p.scale(scale, scale)
        p.translate(_ROOM, _ROOM)
        self._paint(p, self.drawn)
        p.end()
        return out

    def _paint(self, p: QPainter, drawn: Picture) -> None:
        t = theme.current()
        for lit in (False, True):  # those of the cell in hand over the others
            for tie in drawn.ties:
                if (self.now in (tie.near, tie.far)) == lit:
                    pen = QPen(
                        QColor(t.accent if lit else theme.mix(t.line, t.second, 0.35)), 1.8 if lit else 1.2
                    )
                    p.setPen(pen)
                    p.setBrush(Qt.BrushStyle.NoBrush)
                    p.drawPath(_curve(drawn.cells[tie.near], drawn.cells[tie.far]))
        for cell in drawn.cells.values():
            self._cell(p, cell, drawn)

    def _cell(self, p: QPainter, cell: Cell, drawn: Picture) -> None:
        t = theme.current()
        box = QRectF(cell.x, cell.y, WIDE, HIGH)
        here, mine = cell.id == self.now, cell.id == drawn.subject
        if cell.members:  # a pile
            p.setPen(QPen(QColor(t.line), 1))
            p.setBrush(QColor(t.raised))
            for off in (6.0, 3.0):
                p.drawRoundedRect(box.translated(off, off), theme.RADIUS, theme.RADIUS)
        p.setBrush(QColor(t.strong if here else t.raised if mine else t.panel))
        edge = t.accent if here or mine else t.line
        p.setPen(QPen(QColor(edge), 2 if here and self.hasFocus() else 1.2 if here or mine else 1))
        p.drawRoundedRect(box, theme.RADIUS, theme.RADIUS)
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(QColor(tone(cell)))
        p.drawRoundedRect(QRectF(cell.x + 7, cell.y + 9, 3, HIGH - 18), 1.5, 1.5)
        room = WIDE - 28
        kind, name, more = self._texts(cell)
        for text, y, size, colour, bold in (
            (kind, 6, 10, t.second, False),
            (name, 19, 12, t.text, True),
            (more, 35, 10, t.second, False),
        ):
            font = theme.font(size, bold=bold)
            p.setFont(font)
            p.setPen(QColor(colour))
            mode = Qt.TextElideMode.ElideMiddle if bold else Qt.TextElideMode.ElideRight
            shown = QFontMetricsF(font).elidedText(text, mode, room)
            p.drawText(
                QRectF(cell.x + 18, cell.y + y, room, 17),
                int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter),
                shown,
            )

    def _texts(self, cell: Cell) -> tuple[str, str, str]:
        kind = lineagetext.kind(cell.type)
        if cell.node is None:
            return kind, f"× {number(len(cell.members))}", tr("Enter shows each of them")
        title = lineagetext.title(cell.node)
        details = lineagetext.details(cell.node, self.agents)
        if not title and details:
            title, details = details[0], details[1:]
        return kind, title or kind, " · ".join(details)


def tone(cell: Cell) -> str:
    """The colour of a cell's mark: what it is by its sort, never by the colour alone."""
    t = theme.current()
    kind = cell.node.kind if cell.node is not None else ""
    if cell.type in ("model",):
        return t.violet
    if kind == "activity" or cell.type in ("revision", "revisions"):
        return t.accent
    if kind == "agent":
        return t.green
    if cell.type in ("version", "package", "dataset"):
        return t.cyan
    return t.blue


def _curve(near: Cell, far: Cell) -> QPainterPath:
    left, right = (near, far) if near.x < far.x else (far, near)
    a = QPointF(left.x + WIDE, left.y + HIGH / 2)
    b = QPointF(right.x, right.y + HIGH / 2)
    path = QPainterPath(a)
    if left.x == right.x:
        a = QPointF(near.x + WIDE, near.y + HIGH / 2)
        path = QPainterPath(a)
        b = QPointF(far.x + WIDE, far.y + HIGH / 2)
        path.cubicTo(a + QPointF(30, 0), b + QPointF(30, 0), b)
        return path
    reach = max(36.0, (b.x() - a.x()) / 2)
    path.cubicTo(a + QPointF(reach, 0), b - QPointF(reach, 0), b)
    return path

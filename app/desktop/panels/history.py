"""What happened to the picture or to the selected object: who, when, which model, before and after; one click restores.

A line under the mouse or with the focus shows the place before and after that change, drawn from the record.
"""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter, QPaintEvent, QPolygonF
from PySide6.QtWidgets import QFrame, QWidget

from annotation.core import Annotation, AnnotationSet
from annotation.errors import LamproomError
from app.desktop import document, theme, widgets
from app.desktop.canvas import live, shapes
from app.desktop.canvas.overlay import Style
from app.desktop.desk import Desk
from app.desktop.painted import painted
from app.desktop.said import ago, review_text, verb_text
from app.desktop.widgets import Painted, column, label, row
from app.i18n import tr
from app.services import labelling
from app.services.labelling import HistoryRow, ItemEvent

_SHOWN = 14
_SIDE_PX = QSize(236, 176)
_REST_MS = 180
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the history; without `objects` it is about the picture as a whole and a click does nothing."""

    rev: int
    what: str
    under: str
    objects: tuple[str, ...] = ()


class Line(Painted):
    """An event: dot and thread, what, who, when, revision."""

    looked = Signal(bool)
    """The mouse or the focus came (True) or left."""

    def __init__(self, event: Event, first: bool, last: bool) -> None:
        super().__init__(40)
        self.event_shown, self._first, self._last = event, first, last
        self.setText(event.what)
        self.setAccessibleName(f"{event.what} · {event.under}")
        self.setToolTip(self.accessibleName())

    def enterEvent(self, event) -> None:
        super().enterEvent(event)
        self.looked.emit(True)

    def leaveEvent(self, event) -> None:
        super().leaveEvent(event)
        self.looked.emit(False)

    def focusInEvent(self, event) -> None:
        super().focusInEvent(event)
        self.looked.emit(True)

    def focusOutEvent(self, event) -> None:
        super().focusOutEvent(event)
        self.looked.emit(False)

    def draw(self, p: QPainter) -> None:
        t = theme.current()
        p.setPen(QColor(t.line))
        if not self._last:
            p.drawLine(QPoint(8, 14), QPoint(8, self.height()))
        if not self._first:
            p.drawLine(QPoint(8, 0), QPoint(8, 10))
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(QColor(t.accent if self._first else t.second))
        p.drawEllipse(QPoint(8, 11), 4, 4)
        room = self.width() - 24
        p.setFont(theme.font(12, bold=True))
        p.setPen(QColor(t.blue if self._hot and self.event_shown.objects else t.text))
        _cut(p, QRect(24, 2, room, 18), self.event_shown.what)
        p.setFont(theme.font(11))
        p.setPen(QColor(t.second))
        _cut(p, QRect(24, 20, room, 16), self.event_shown.under)


def _cut(p: QPainter, box: QRect, text: str) -> None:
    p.drawText(box, _LEFT, QFontMetrics(p.font()).elidedText(text, Qt.TextElideMode.ElideRight, box.width()))


class History(QWidget):
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self._ticket = 0
        self._events: list[Event] = []
        self._rows: list[HistoryRow] = []
        self._items: list[ItemEvent] = []
        self._uid: str | None = None
        self.head = label("History", "head")
        self.note = label(kind="small")
        self._body = QWidget()
        self._box = column(self._body, gap=0)
        box = column(self, gap=8, margins=(16, 12, 16, 12))
        top = row()
        top.addWidget(self.head)
        top.addStretch()
        top.addWidget(self.note)
        box.addLayout(top)
        box.addWidget(self._body)
        self._sides: BeforeAfter | None = None
        self._asked: Line | None = None
        self._rest = QTimer(self, singleShot=True, interval=_REST_MS)
        self._rest.timeout.connect(self._compare)
        doc = desk.document
        doc.opened.connect(self._read)
        doc.selected.connect(self._read)
        doc.saved.connect(lambda _: self._read())
        doc.changed.connect(self._read)
        desk.tasks.changed.connect(lambda _: self._read())

    def retranslate(self) -> None:
        """Draw again in the language in use."""
        self._fill()

    def _read(self) -> None:
        self._ticket += 1
        ticket, doc, ws, data = self._ticket, self.desk.document, self.desk.ws, self.desk.dataset
        asset_id = doc.asset_id
        if ws is None or asset_id is None or data is None:
            self._rows, self._items = [], []
            self._fill()
            return
        if not doc.loaded or doc.pending:
            return
        uid = doc.selection[0] if len(doc.selection) == 1 else None

        def work() -> tuple[list[HistoryRow], list[ItemEvent]]:
            found = labelling.history(ws, asset_id=asset_id, uid=uid, limit=60)
            return found, [] if uid else labelling.item_events(ws, asset_id, data.id)

        def done(got: tuple[list[HistoryRow], list[ItemEvent]]) -> None:
            if ticket == self._ticket:
                self._rows, self._items = got
                self._uid = uid
                self._fill()

        self.desk.tasks.readers.submit(work, done, self._lost, key="history")

    def _lost(self, fault: BaseException) -> None:
        if not isinstance(fault, LamproomError):
            raise fault

    def _fill(self) -> None:
        self._hide()
        widgets.clear(self._box)
        self._events = self._said()[:_SHOWN]
        self.note.setText(tr("click restores") if sum(bool(e.objects) for e in self._events) > 1 else "")
        for i, event in enumerate(self._events):
            made = Line(event, i == 0, i == len(self._events) - 1)
            if event.objects:
                made.clicked.connect(lambda _=False, rev=event.rev: self._restore(rev))
            made.looked.connect(lambda here, made=made: self._look(made if here else None))
            self._box.addWidget(made)
        self.setVisible(bool(self._events))

    def _said(self) -> list[Event]:
        """Changes of objects and of the picture's review, newest first."""
        by_rev: dict[int, list[HistoryRow]] = {}
        for found in self._rows:
            by_rev.setdefault(found.rev, []).append(found)
        events = []
        for rev, rows in by_rev.items():
            first = rows[0]
            what = verb_text(first.verb, first.op)
            what += f" · {self.desk.label_name(first.label)}" if len(rows) == 1 else f" · {len(rows)}"
            by = tr("{agent} (model)", agent=first.agent) if first.model else first.agent
            events.append(Event(rev, what, f"{by} · {ago(first.at_ms)} · r{rev}", tuple(r.uid for r in rows)))
        events += [
            Event(i.rev, review_text(i.verb, i.op, i.assignee), f"{i.agent} · {ago(i.at_ms)} · r{i.rev}")
            for i in self._items
        ]
        return sorted(events, key=lambda e: -e.rev)

    def _restore(self, revision: int) -> None:
        """Bring the selected object, or the whole picture, back to how that revision left it."""
        ws, doc, uid = self.desk.ws, self.desk.document, self._uid
        asset_id = doc.asset_id
        if ws is None or asset_id is None:
            return

        def done(page: labelling.Page) -> None:
            if doc.asset_id != asset_id:
                return
            if uid is None:
                doc.commit(lambda _: page.annotations, "restore")
                return
            then = next((a for a in page.annotations if a.uid == uid), None)
            doc.commit(document.put(then) if then is not None else document.drop([uid]), "restore")

        self.desk.ask(lambda: labelling.load(ws, asset_id, revision=revision), done)

    # --- before and after --------------------------------------------------------------------------------------------

    def _look(self, line: Line | None) -> None:
        self._asked = line
        if line is None or not line.event_shown.objects:
            self._hide()
        else:
            self._rest.start()

    def _hide(self) -> None:
        self._rest.stop()
        if self._sides is not None:
            self._sides.hide()

    def _compare(self) -> None:
        ws, asset_id, line = self.desk.ws, self.desk.document.asset_id, self._asked
        if ws is None or asset_id is None or line is None:
            return
        rev, uids = line.event_shown.rev, set(line.event_shown.objects)

        def work() -> tuple[AnnotationSet, AnnotationSet]:
            before = labelling.load(ws, asset_id, revision=rev - 1).annotations
            after = labelling.load(ws, asset_id, revision=rev).annotations
            return tuple(a for a in before if a.uid in uids), tuple(a for a in after if a.uid in uids)

        def done(got: tuple[AnnotationSet, AnnotationSet]) -> None:
            if self._asked is not line or self.desk.document.asset_id != asset_id or not line.isVisible():
                return
            picture = self.desk.pictures.get(asset_id)
            if picture is None:
                return
            if self._sides is None:
                self._sides = BeforeAfter(self.window())
            image = picture.levels[min(1, len(picture.levels) - 1)]
            self._sides.show_beside(line, image, picture.wh, *got, self.desk.style())

        self.desk.tasks.readers.submit(work, done, self._lost, key="before-after")

    def hideEvent(self, event) -> None:
        self._hide()
        super().hideEvent(event)


class BeforeAfter(QFrame):
    """The place of a change, before it and after it, side by side."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        widgets.look(self, "float")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        box = column(self, gap=6, margins=(12, 10, 12, 12))
        captions = row(gap=8)
        for text in ("Before", "After"):
            made = label(text, "caption")
            made.setFixedWidth(_SIDE_PX.width())
            captions.addWidget(made)
        box.addLayout(captions)
        pair = row(gap=8)
        self._parts = (_Part(), _Part())
        for part in self._parts:
            pair.addWidget(part)
        box.addLayout(pair)

    def show_beside(
        self,
        line: QWidget,
        image: QImage,
        wh: tuple[int, int],
        before: AnnotationSet,
        after: AnnotationSet,
        style: Style,
    ) -> None:
        """Show both states of some objects left of their line; wh is the picture's size in source pixels."""
        focus = _focus((*before, *after), wh)
        for part, shown in zip(self._parts, (before, after), strict=True):
            part.show_state(image, wh, focus, shown, style)
        self.adjustSize()
        at = line.mapTo(line.window(), QPoint(0, 0))
        y = min(max(8, at.y() - self.height() // 2), line.window().height() - self.height() - 8)
        self.move(at.x() - self.width() - 24, y)
        self.show()
        self.raise_()


def _focus(shown: AnnotationSet, wh: tuple[int, int]) -> QRectF:
    """The part of the picture that holds the objects with air around, in the shape of a side; source pixels."""
    area = QRectF()
    for a in shown:
        if (b := shapes.bounds(a.shape)) is not None:
            area = area.united(QRectF(QPointF(b[0], b[1]), QPointF(b[2], b[3])))
    if area.isEmpty():
        return QRectF(0, 0, *wh)
    want = _SIDE_PX.width() / _SIDE_PX.height()
    wide = max(area.width() * 1.5, area.height() * 1.5 * want, 64.0)
    made = QRectF(0, 0, wide, wide / want)
    made.moveCenter(area.center())
    return made


class _Part(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self.setFixedSize(_SIDE_PX)
        self._image = QImage()
        self._wh, self._focus = (1, 1), QRectF()
        self._shown: tuple[Annotation, ...] = ()
        self._style = Style()

    def show_state(
        self, image: QImage, wh: tuple[int, int], focus: QRectF, shown: AnnotationSet, style: Style
    ) -> None:
        self._image, self._wh, self._focus, self._shown, self._style = image, wh, focus, shown, style
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            self._draw(p)

    def _draw(self, p: QPainter) -> None:
        t = theme.current()
        p.fillRect(self.rect(), QColor(t.well))
        if self._image.isNull():
            return
        scale = self.width() / self._focus.width()
        fx, fy = self._image.width() / self._wh[0], self._image.height() / self._wh[1]
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        whole = QRectF(0, 0, *self._wh)
        part = self._focus.intersected(whole)
        p.drawImage(
            QRectF((part.x() - self._focus.x()) * scale, (part.y() - self._focus.y()) * scale,
                   part.width() * scale, part.height() * scale),
            self._image,
            QRectF(part.x() * fx, part.y() * fy, part.width() * fx, part.height() * fy),
        )  # fmt: skip
        for a in self._shown:
            for ring, closed in shapes.rings(a.shape):
                line = QPolygonF(
                    [
                        QPointF((x - self._focus.x()) * scale, (y - self._focus.y()) * scale)
                        for x, y in ring.tolist()
                    ]
                )
                live.outline(p, line, self._style.colour(a.label), closed=closed, dashed=a.origin == "model")
        if not self._shown:
            p.setPen(QColor("#e7e9ec"))
            p.setFont(theme.font(12))
            p.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, tr("not there"))

"""Remarks on the open picture: threads in the list, pins on the canvas, and the tool that sets a pin."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QLineEdit, QWidget

from app.desktop import theme, widgets
from app.desktop.canvas import shapes
from app.desktop.canvas.tools.remark import RemarkTool
from app.desktop.canvas.view import Canvas
from app.desktop.desk import Desk
from app.desktop.said import ago
from app.desktop.widgets import button, column, frame, label, row, say
from app.events import Changes
from app.i18n import tr
from app.services import remarks
from app.services.remarks import Remark

_PIN_PX = 11.0


class Remarks(QWidget):
    """See the module."""

    def __init__(self, desk: Desk, canvas: Canvas) -> None:
        super().__init__()
        self.desk, self.canvas = desk, canvas
        self.found: list[Remark] = []
        self.chosen: str | None = None
        self._answering: str | None = None
        self._place: tuple[float, float, str | None] | None = None
        self._ticket = 0
        box = column(self, gap=8, margins=(16, 12, 16, 12))
        head = row()
        self.head = label(kind="head")
        head.addWidget(self.head)
        head.addStretch()
        self.add = button("Pin a remark", lambda: canvas.set_tool("remark"), kind="link")
        head.addWidget(self.add)
        box.addLayout(head)
        self._body = QWidget()
        self._box = column(self._body, gap=8)
        box.addWidget(self._body)
        self.edit = say(QLineEdit(), hint="A remark on the picture…")
        self.edit.returnPressed.connect(self._send)
        self.edit.installEventFilter(self)
        box.addWidget(self.edit)
        canvas.layers.append(self._paint)
        canvas.installEventFilter(self)
        tool = canvas.tools["remark"]
        assert isinstance(tool, RemarkTool)
        tool.placed = self.ask
        desk.document.opened.connect(self._opened)
        desk.document.saved.connect(lambda _: self.read())
        desk.tasks.changed.connect(lambda _: self.read())

    @property
    def threads(self) -> list[Remark]:
        """Remarks that are no answers, oldest first."""
        return [r for r in self.found if r.parent is None]

    def _opened(self) -> None:
        self.found, self.chosen = [], None
        self._drop_place()
        self.edit.clear()
        self._fill()
        self.read()

    def read(self) -> None:
        """What is said on the picture now."""
        self._ticket += 1
        ticket, ws, asset_id = self._ticket, self.desk.ws, self.desk.document.asset_id
        if ws is None or asset_id is None:
            return

        def done(found: list[Remark]) -> None:
            if ticket == self._ticket and found != self.found:
                self.found = found
                self._fill()
                self.canvas.update()

        self.desk.tasks.readers.submit(
            lambda: remarks.listing(ws, asset_id), done, self.desk.fault, key="remarks"
        )

    # --- saying something --------------------------------------------------------------------------------------------

    def ask(self, x: float, y: float, object_uid: str | None) -> None:
        """A pin was set at a place of the picture: ask what is to be said there."""
        self._place, self._answering = (x, y, object_uid), None
        say(self.edit, hint="What is to be said here?")
        self.edit.setFocus(Qt.FocusReason.OtherFocusReason)
        self.canvas.update()

    def answer(self, uid: str) -> None:
        """Answer a thread."""
        self._drop_place()
        self._answering = uid
        say(self.edit, hint="Your answer…")
        self.edit.setFocus(Qt.FocusReason.OtherFocusReason)

    def _drop_place(self) -> None:
        self._place = self._answering = None
        say(self.edit, hint="A remark on the picture…")
        self.canvas.update()

    def _send(self) -> None:
        ws, asset_id, text = self.desk.ws, self.desk.document.asset_id, self.edit.text().strip()
        if ws is None or asset_id is None or not text:
            return
        x, y, uid = self._place or (None, None, None)
        parent = self._answering
        self.edit.clear()
        self._drop_place()

        def lost() -> None:
            """The words come back into the line, as long as nothing else was begun there."""
            if self.desk.ws is ws and self.desk.document.asset_id == asset_id and not self.edit.text():
                self.edit.setText(text)
                self._place, self._answering = (
                    (x, y, uid) if x is not None and y is not None else None,
                    parent,
                )
                self.canvas.update()

        self._write(lambda: remarks.add(ws, asset_id, text, x=x, y=y, object_uid=uid, parent=parent), lost)
        self.canvas.setFocus()

    def _write(self, work: Callable[[], Changes], lost: Callable[[], None] = lambda: None) -> None:
        """A remark is a change like any other: in the order of the gestures, then read back."""

        def failed(fault: BaseException) -> None:
            lost()
            self.desk.fault(fault)

        self.desk.tasks.writer.submit(work, self.desk.tasks.changed.emit, failed)

    def resolve(self, uid: str, resolved: bool) -> None:
        """Call a thread settled, or open it again."""
        ws = self.desk.ws
        if ws is not None:
            self._write(lambda: remarks.resolve(ws, uid, resolved))

    def delete(self, uid: str) -> None:
        """Take a remark away; Ctrl+Z brings it back."""
        ws = self.desk.ws
        if ws is not None:
            self._write(lambda: remarks.delete(ws, uid))

    def choose(self, uid: str) -> None:
        """Show a thread's place."""
        self.chosen = uid
        self._fill()
        found = next((r for r in self.found if r.uid == uid), None)
        if found is None:
            return
        if (at := self._at(found)) is not None:
            self.canvas.show_box(at[0] - 40, at[1] - 40, at[0] + 40, at[1] + 40)
        if found.object_uid and self.desk.document.get(found.object_uid) is not None:
            self.desk.document.select((found.object_uid,))
        self.canvas.update()

    # --- what is shown -----------------------------------------------------------------------------------------------

    def retranslate(self) -> None:
        """The list again."""
        self._fill()

    def _fill(self) -> None:
        widgets.clear(self._box)
        threads = self.threads
        waiting = sum(not r.resolved for r in threads)
        self.head.setText(tr("Remarks {n}", n=waiting) if threads else tr("Remarks"))
        self.setVisible(self.desk.document.asset_id is not None)
        for number, r in enumerate(threads, 1):
            self._box.addWidget(self._thread(number, r))

    def _thread(self, number: int, r: Remark) -> QWidget:
        answers = [a for a in self.found if a.parent == r.uid]
        made = frame("inset" if r.resolved else "warned")
        box = column(made, gap=4, margins=(10, 8, 8, 6))
        self._said(box, r, f"{number}  ")
        for a in answers:
            inner = QWidget()
            held = column(inner, gap=2, margins=(16, 4, 0, 0))
            self._said(held, a, "")
            box.addWidget(inner)
        line = row(gap=4)
        if r.x is not None or r.object_uid:
            line.addWidget(button("Show", lambda: self.choose(r.uid), kind="link"))
        line.addStretch()
        if not r.resolved:
            line.addWidget(button("Answer", lambda: self.answer(r.uid), kind="link"))
            line.addWidget(button("Resolve", lambda: self.resolve(r.uid, True), kind="link"))
        else:
            line.addWidget(button("Open again", lambda: self.resolve(r.uid, False), kind="link"))
        line.addWidget(button("Delete", lambda: self.delete(r.uid), kind="link"))
        box.addLayout(line)
        return made

    def _said(self, box, r: Remark, lead: str) -> None:
        text = label(kind="second" if r.resolved else "", wrap=True)
        text.setText(lead + r.text)
        text.setAccessibleName(text.text())
        box.addWidget(text)
        by = label(kind="small")
        settled = f" · {tr('resolved')}" if r.resolved and r.parent is None else ""
        by.setText(f"{r.author} · {ago(r.at_ms)}{settled}")
        box.addWidget(by)

    def _at(self, r: Remark) -> tuple[float, float] | None:
        """Where a remark is pinned: at its object as it lies now, else at its place."""
        if r.object_uid and r.x is None:
            found = self.desk.document.get(r.object_uid)
            box = shapes.bounds(found.shape) if found is not None else None
            return (box[2], box[1]) if box else None
        return (r.x, r.y) if r.x is not None and r.y is not None else None

    def _paint(self, p: QPainter) -> None:
        t = theme.current()
        for number, r in enumerate(self.threads, 1):
            if (at := self._at(r)) is not None:
                self._pin(p, at, str(number), t.second if r.resolved else t.accent, r.uid == self.chosen)
        if self._place is not None:
            self._pin(p, self._place[:2], "+", t.accent, True)

    def _pin(self, p: QPainter, at: tuple[float, float], text: str, colour: str, chosen: bool) -> None:
        x, y = self.canvas.to_screen(*at)
        p.setPen(QPen(QColor("#ffffff" if chosen else "#14161a"), 2))
        p.setBrush(QColor(colour))
        p.drawEllipse(QPointF(x, y), _PIN_PX, _PIN_PX)
        p.setPen(QColor(theme.ink_on(colour)))
        p.setFont(theme.font(11, bold=True))
        p.drawText(
            QRectF(x - _PIN_PX, y - _PIN_PX, 2 * _PIN_PX, 2 * _PIN_PX), Qt.AlignmentFlag.AlignCenter, text
        )

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """A click on a pin shows its thread; Escape in the line puts the pin in hand away."""
        if (
            watched is self.canvas
            and event.type() == QEvent.Type.MouseButtonPress
            and isinstance(event, QMouseEvent)
            and event.button() == Qt.MouseButton.LeftButton
            and self.canvas.tool.name in ("select", "remark")
        ):
            for r in self.threads:
                if (at := self._at(r)) is None:
                    continue
                x, y = self.canvas.to_screen(*at)
                if max(abs(event.position().x() - x), abs(event.position().y() - y)) <= _PIN_PX:
                    self.choose(r.uid)
                    return True
        if (
            watched is self.edit and event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Escape  # type: ignore[attr-defined]
        ):
            self._drop_place()
            self.edit.clear()
            self.canvas.setFocus()
            return True
        return False

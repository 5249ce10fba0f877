"""Review (质检): the way of a picture from draft over submitted to accepted or returned, at the desk.

It is the same picture, canvas and tools as in Annotate: a reviewer can mend a small thing at once. What differs is the
left side (who submitted what) and the bar over the canvas (what the labels are made of, accept, return).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit, QPushButton, QWidget

from annotation import checks
from app.desktop import actions, widgets
from app.desktop.desk import Desk
from app.desktop.panels.flow import Flow
from app.desktop.widgets import Pill, Row, button, column, frame, label, look, number, row, say
from app.events import Changes
from app.i18n import tr
from app.services import review
from app.services.browse import Query
from app.services.review import Makeup

if TYPE_CHECKING:
    from app.desktop.annotate import Annotate

STATES = {"draft": "Draft", "submitted": "Submitted", "accepted": "Accepted", "returned": "Returned"}
TONES = {"draft": "second", "submitted": "blue", "accepted": "green", "returned": "red"}
_REASONS = ("An object is missing", "The outline is loose", "Wrong class", "Wrong attribute", "Not an object")


class Side(QWidget):
    """The queues of the reviewer: by state, and of what is submitted by person."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        box = column(self, gap=8)
        head = label("To review", "caption")
        head.setContentsMargins(8, 0, 0, 0)
        box.addWidget(head)
        states = column(gap=2)
        box.addLayout(states)
        self._states: dict[str, Row] = {}
        for state, text in (("submitted", "Submitted"), ("returned", "Returned"), ("accepted", "Accepted")):
            made = say(Row(tone=TONES[state]), text)
            made.clicked.connect(lambda _=False, state=state: self._pick(state, None))
            self._states[state] = made
            states.addWidget(made)
        box.addSpacing(8)
        self._by = label("Submitted by", "caption")
        self._by.setContentsMargins(8, 0, 0, 0)
        box.addWidget(self._by)
        inner = QWidget()
        self._people = column(inner, gap=2)
        self._people.setAlignment(Qt.AlignmentFlag.AlignTop)
        box.addWidget(widgets.scroll(inner), 1)
        self._rows: dict[int | None, Row] = {}
        desk.counted.connect(self.retranslate)
        desk.queried.connect(self.retranslate)
        desk.dataset_changed.connect(self.retranslate)

    def retranslate(self) -> None:
        """Counts and names again."""
        found = self.desk.standings
        query = self.desk.query
        for state, made in self._states.items():
            made.count = number(sum(s.n for s in found if s.review == state))
            made.setChecked(query is not None and query.review == state and query.assignee is None)
            made.update()
        people: dict[int | None, tuple[str, int]] = {}
        for s in found:
            if s.review == "submitted":
                people[s.assignee_id] = (s.assignee or "", people.get(s.assignee_id, ("", 0))[1] + s.n)
        self._by.setVisible(bool(people))
        if people.keys() != self._rows.keys():
            widgets.clear(self._people)
            self._rows = {}
            for who in people:
                made = Row()
                made.clicked.connect(lambda _=False, who=who: self._pick("submitted", who))
                self._rows[who] = made
                self._people.addWidget(made)
        for who, (name, n) in people.items():
            made = self._rows[who]
            made.setText(name or tr("Nobody"))
            made.setAccessibleName(made.text())
            made.count = number(n)
            made.setChecked(query is not None and query.review == "submitted" and query.assignee == who)
            made.update()

    def _pick(self, state: str, who: int | None) -> None:
        if self.desk.dataset is not None:
            self.desk.look_at(Query(self.desk.dataset.id, review=state, assignee=who))
            self.retranslate()


class Bar(QWidget):
    """Over the canvas: where the picture stands, what its labels are made of, and what can be done with it."""

    def __init__(self, reviewing: Reviewing) -> None:
        super().__init__()
        self.reviewing = reviewing
        inset = frame("top")
        outer = column(self, gap=0)
        outer.addWidget(inset)
        box = column(inset, gap=8, margins=(16, 8, 16, 8))
        line = row(gap=12)
        self.state = Pill()
        line.addWidget(self.state)
        self.about = widgets.Elided("", "second")
        line.addWidget(self.about, 1)
        self.undo = button("Undo", reviewing.take_back, kind="link")
        line.addWidget(self.undo)
        self.back = button("Return…", reviewing.ask_why, icon="back")
        line.addWidget(self.back)
        self.done = button("Accept the picture", reviewing.done, kind="primary", icon="verify")
        line.addWidget(self.done)
        box.addLayout(line)
        self._why = QWidget()
        why = column(self._why, gap=8)
        flow = QWidget()
        chips = Flow(gap=6)
        flow.setLayout(chips)
        for text in _REASONS:
            made = say(look(QPushButton(), "choice"), text)
            made.clicked.connect(lambda _=False, text=text: self._reason(tr(text)))
            chips.addWidget(made)
        why.addWidget(flow)
        last = row(gap=8)
        self.note = say(QLineEdit(), hint="What is to be done? It becomes a remark on the picture")
        self.note.returnPressed.connect(self.send)
        last.addWidget(self.note, 1)
        last.addWidget(button("Cancel", self.close_note))
        self.send_button = button("Return to its author", self.send, kind="danger")
        last.addWidget(self.send_button)
        why.addLayout(last)
        box.addWidget(self._why)
        self._why.hide()

    def retranslate(self) -> None:
        """Texts that are made of data."""
        self.reviewing.retranslate()

    def _reason(self, text: str) -> None:
        now = self.note.text().strip()
        self.note.setText(f"{now}；{text}" if now else text)
        self.note.setFocus()

    def open_note(self) -> None:
        """Ask why, with the keyboard in the line."""
        self.note.clear()
        self._why.show()
        self.note.setFocus()

    def close_note(self) -> None:
        """Put the question away."""
        self._why.hide()
        self.reviewing.annotate.canvas.setFocus()

    def send(self) -> None:
        """Return the picture with the note."""
        text = self.note.text()
        self.close_note()
        self.reviewing.send_back(text)

    def keyPressEvent(self, event) -> None:
        if event.key() == Qt.Key.Key_Escape and self._why.isVisible():
            self.close_note()
            event.accept()
            return
        super().keyPressEvent(event)


class Reviewing:
    """What the bar and the keys do with the open picture, in both modes: labelling submits, reviewing judges."""

    def __init__(self, desk: Desk, annotate: Annotate) -> None:
        self.desk, self.annotate = desk, annotate
        self.mode = "label"
        self.side = Side(desk)
        self.bar = Bar(self)
        self.pill = Pill()
        self.submit = button("Submit", self.done)
        self.submit.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._ticket = 0
        self._sure: int | None = None
        self._last: tuple[int, str] | None = None
        self._makeup = Makeup()
        doc = desk.document
        doc.opened.connect(self._read)
        doc.saved.connect(lambda _: self._read())
        desk.opened.connect(self._workspace)
        desk.counted.connect(self.retranslate)
        annotate.route.changed.connect(self.retranslate)

    def set_mode(self, mode: str) -> None:
        """ "label" or "review": what the left side shows and what Ctrl+Enter means."""
        if mode == self.mode or self.desk.dataset is None:
            self.mode = mode
            return
        self.mode = mode
        if mode == "review":
            self.desk.look_at(Query(self.desk.dataset.id, review="submitted"))
        else:
            self.desk.look_at(Query(self.desk.dataset.id))
        self.annotate.close_picture()
        self.annotate.ensure_picture()
        self._read()

    def _workspace(self) -> None:
        """Steps are numbered anew in every workspace: what was judged in another cannot be taken back here."""
        self._last, self._makeup = None, Makeup()
        self._read()

    # --- what is said ------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        self._ticket += 1
        ticket, ws, asset_id = self._ticket, self.desk.ws, self.desk.document.asset_id
        self._sure = None
        if ws is None or asset_id is None or self.desk.document.pending:
            self.retranslate()
            return

        def done(found: Makeup) -> None:
            if ticket == self._ticket:
                self._makeup = found
                self.retranslate()

        self.desk.tasks.readers.submit(
            lambda: review.makeup(ws, asset_id), done, self.desk.fault, key="makeup"
        )

    def retranslate(self) -> None:
        """The bar again."""
        bar, now = self.bar, self.annotate.route.row
        reviewing = self.mode == "review"
        bar.setVisible(reviewing and now is not None)
        self.pill.setVisible(not reviewing and now is not None)
        self.submit.setVisible(not reviewing and now is not None)
        if now is None:
            return
        key = actions.key("picture.done")
        for pill in (bar.state, self.pill):
            pill.set(tr(STATES[now.review]), TONES[now.review])
        self.submit.setText(f"{tr('Submit')}  {key}".rstrip())
        parts = [tr("with {person}", person=now.assignee)] if now.assignee else []
        parts += [text for text in _made_of(self._makeup) if text]
        bar.about.setText(" · ".join(parts))
        bar.about.setToolTip(bar.about.text())
        bar.done.setText(f"{tr('Accept the picture')}  {key}".rstrip())
        bar.back.setText(f"{tr('Return…')}  {actions.key('picture.return')}".rstrip())
        if self._last is not None:
            bar.undo.setText(tr("{what} · undo", what=self._last[1]))
        bar.undo.setVisible(self._last is not None)

    # --- what is done ------------------------------------------------------------------------------------------------

    def done(self) -> None:
        """Labelling: submit the picture; reviewing: accept it. Then the next one of the queue."""
        state = "accepted" if self.mode == "review" else "submitted"
        if state == "submitted" and not self._clean():
            return
        self._judge(state, "")

    def _clean(self) -> bool:
        """False when the picture has faults the person was not told of yet: a second press submits all the same."""
        doc, schema = self.desk.document, self.desk.schema
        if doc.asset_id is None or not doc.loaded or schema is None or doc.asset is None:
            return False
        waiting = sum(a.origin == "model" for a in doc.annotations)
        wh = (doc.asset.width_px or 0, doc.asset.height_px or 0)
        truth = tuple(a for a in doc.annotations if a.origin != "model")
        wrong = (
            sum(i.severity == "error" for i in checks.check(truth, schema, wh)) if len(truth) <= 2000 else 0
        )
        if self._sure == doc.asset_id or not (waiting or wrong):
            return True
        self._sure = doc.asset_id
        said = [tr("{n} predictions wait", n=waiting)] if waiting else []
        said += [tr("{n} problems", n=wrong)] if wrong else []
        key = actions.key("picture.done")
        self.annotate.canvas.hint = tr(
            "{what}: {key} again submits all the same", what=" · ".join(said), key=key
        )
        self.annotate.canvas.update()
        return False

    def ask_why(self) -> None:
        """Open the line for what is to be done."""
        if self.desk.document.asset_id is not None:
            self.bar.open_note()

    def send_back(self, note: str) -> None:
        """Return the picture to its author, with a remark when there is something to say."""
        self._judge("returned", note)

    def reopen(self) -> None:
        """Back to draft."""
        self._judge("draft", "")

    def take_back(self) -> None:
        """Undo the last judgement made here."""
        if self._last is not None:
            self.desk.undo_step(self._last[0])
            self._last = None
            self.retranslate()

    def _judge(self, state: str, note: str) -> None:
        ws, data, doc = self.desk.ws, self.desk.dataset, self.desk.document
        if ws is None or data is None or doc.asset_id is None:
            return
        asset_id, now = doc.asset_id, self.annotate.route.row
        name = now.path.rsplit("/", 1)[-1] if now else str(asset_id)

        def done(made: Changes) -> None:
            # The last gesture of this page is committed before: the writer keeps the order.
            if ws is not self.desk.ws:
                return
            self._last = (made.revision, f"{tr(STATES[state])} · {name}")
            self.annotate.route.changed_row(asset_id, judged=True)
            self.desk.tasks.changed.emit(made)
            self.retranslate()

        def failed(fault: BaseException) -> None:
            self.annotate.route.changed_row(asset_id, judged=True)
            self.desk.fault(fault)

        self.desk.tasks.writer.submit(
            lambda: review.judge(ws, data.id, [asset_id], state, note=note), done, failed
        )
        self.annotate.route.judged(asset_id, state)
        if state != "draft":
            self.annotate.leave_for_next()


def _made_of(m: Makeup) -> list[str]:
    """The parts of a sentence on what the labels are made of."""
    texts = (
        (m.drawn, "{n} drawn"),
        (m.kept, "{n} kept from the model"),
        (m.corrected, "{n} corrected"),
        (m.relabelled, "{n} given another class"),
        (m.imported, "{n} imported"),
        (m.waiting, "{n} predictions wait"),
        (m.rejected, "{n} rejected or deleted predictions"),
    )
    return [tr(text, n=number(n)) for n, text in texts if n] or [tr("no objects")]

"""The audit log: the newest lines by verb and person, and its proof against every signed version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from app import i18n
from app.desktop import widgets
from app.desktop.models.asking import Combo
from app.desktop.overlaid import Sheet
from app.desktop.rights.parts import line, moment, said
from app.desktop.tasks import Task
from app.desktop.widgets import Elided, Pill, column, frame, label, number, row, say
from app.i18n import tr, tr_sentence

if TYPE_CHECKING:
    from app.desktop.window import Window
    from app.services.auditing import Entry

NEWEST = 500
"""Lines that are read."""
SHOWN = 120
BODY_PX = 430
VERBS = {
    "tag": "tag", "override": "override", "redact": "redact", "freeze": "freeze", "export": "export", "publish": "publish",
    "shuttle": "shuttle", "receive": "receive", "receipt": "receipt", "import": "import", "hub add": "hub added",
    "hub remove": "hub removed", "keys trust": "key trusted", "submit": "submit", "collect": "collect", "cancel": "cancel",
}  # fmt: skip
TONES = {"override": "red", "tag": "accent", "redact": "violet", "keys trust": "accent"}
"""Deeds that change what may leave, or let it out against its tags, stand out."""


class AuditSheet(Sheet):
    """See the module."""

    def __init__(self, window: Window) -> None:
        super().__init__(
            window.body,
            "Audit log",
            "Who let what leave, and who changed rights. Each line seals the one before; every signed version names the newest.",
            "Verify the log",
            self._verify,
            width=max(820, min(1040, window.body.width() - 48)),
        )
        say(self.cancel, "Close")
        self.desk = window.desk
        self.entries: list[Entry] = []
        top = row(gap=12)
        self.verb_box, self.person = say(Combo(), spoken="What was done"), say(Combo(), spoken="By whom")
        for box, everything in ((self.verb_box, "Everything"), (self.person, "Everybody")):
            box.addItem(tr(everything), "")
            box.setMinimumWidth(180)
            box.activated.connect(lambda _: self.retranslate())
            top.addWidget(box)
        top.addStretch()
        self.state = Pill()
        self.state.hide()
        top.addWidget(self.state)
        self.count = label(kind="second")
        top.addWidget(self.count)
        self.body.addLayout(top)
        self._faults = column(gap=6)
        self.body.addLayout(self._faults)
        held = QWidget()
        self._list = column(held, gap=6, margins=(0, 0, 10, 0))
        self._list.setAlignment(Qt.AlignmentFlag.AlignTop)
        area = widgets.scroll(held)
        area.setFixedHeight(BODY_PX)
        self.body.addWidget(area)
        self._read()

    def _read(self) -> None:
        ws = self.desk.ws
        if ws is None:
            return

        def work() -> list[Entry]:
            from app.services import auditing

            return auditing.listing(ws, limit=NEWEST)[::-1]

        def came(found: list[Entry]) -> None:
            self.entries = found
            for box, values in (
                (self.verb_box, {e.verb: tr(VERBS.get(e.verb, e.verb)) for e in found}),
                (self.person, {e.agent: e.agent for e in found}),
            ):
                for code, shown in values.items():
                    if box.findData(code) < 0:
                        box.addItem(shown, code)
            self.retranslate()

        self.desk.ask(work, self.while_open(came))

    @property
    def shown(self) -> list[Entry]:
        """The lines that meet what is chosen, newest first."""
        verb, person = self.verb_box.currentData(), self.person.currentData()
        return [e for e in self.entries if verb in ("", e.verb) and person in ("", e.agent)]

    def retranslate(self) -> None:
        """The lines again."""
        for box, everything in ((self.verb_box, "Everything"), (self.person, "Everybody")):
            box.setItemText(0, tr(everything))
        for i in range(1, self.verb_box.count()):
            code = str(self.verb_box.itemData(i))
            self.verb_box.setItemText(i, tr(VERBS.get(code, code)))
        widgets.clear(self._list)
        found = self.shown
        self.count.setText(tr("{n} lines", n=number(len(found))))
        for entry in found[:SHOWN]:
            self._list.addWidget(self._line(entry))
        if not found:
            self._list.addWidget(
                line(tr("Nothing has left, and nobody has changed a right yet.") if not self.entries else tr("No such line."), "second")
            )  # fmt: skip
        if len(found) > SHOWN:
            self._list.addWidget(
                line(tr("{n} older ones are not shown", n=number(len(found) - SHOWN)), "small")
            )

    def _line(self, entry: Entry) -> QWidget:
        made = frame("inset")
        inside = column(made, gap=2, margins=(14, 8, 14, 8))
        head = row(gap=10)
        seq = label(kind="small")
        seq.setText(f"{entry.seq}")
        seq.setFixedWidth(36)
        head.addWidget(seq)
        pill = Pill()
        pill.set(tr(VERBS.get(entry.verb, entry.verb)), TONES.get(entry.verb, "blue"))
        head.addWidget(pill)
        subject = Elided(subject_of(entry), "strong")
        subject.setToolTip(entry.subject)
        head.addWidget(subject, 1)
        who = label(kind="second")
        who.setText(f"{entry.agent} · {moment(entry.at_ms)}")
        head.addWidget(who)
        inside.addLayout(head)
        if text := told_of(entry):
            told = Elided(text, "small")
            told.setToolTip("\n".join(f"{k}: {v}" for k, v in entry.detail.items()))
            under = row()
            under.addSpacing(46)
            under.addWidget(told, 1)
            inside.addLayout(under)
        made.setToolTip(entry.digest.hex())
        made.setAccessibleName(f"{entry.seq} {entry.verb} {entry.subject} {entry.agent}")
        return made

    # --- the proof -----------------------------------------------------------------------------------------------

    def _verify(self) -> None:
        ws = self.desk.ws
        if ws is None:
            return

        def work():  # type: ignore[no-untyped-def]
            from app.services import auditing

            return auditing.verify(ws)

        self.verb.setEnabled(False)
        self.desk.start(lambda: tr("Verify the audit log"), work, self.while_open(self._proved))

    def _proved(self, task: Task) -> None:
        self.verb.setEnabled(True)
        widgets.clear(self._faults)
        self.state.show()
        if task.state != "finished":
            self.state.hide()
            self.show_fault(i18n.tr_sentence(task.fault) if task.fault else "")
            return
        sound = bool(task.result.get("sound"))
        lines, anchors = (int(str(task.result.get(k) or 0)) for k in ("lines", "anchors"))
        self.state.set(
            tr("sound") if sound else tr("{n} faults", n=number(task.problems)), "green" if sound else "red"
        )
        text = tr(
            "{n} lines follow one another; {anchors} signed versions name them.",
            n=number(lines),
            anchors=number(anchors),
        )
        if not anchors:
            text = tr(
                "{n} lines follow one another; no signed version names one yet, so a cut end would not be seen.",
                n=number(lines),
            )
        if sound:
            self._faults.addWidget(line(text, "second"))
        named = task.result.get("versions")
        if isinstance(named, dict) and named:
            shown = [f"{ref} → {n}" for ref, n in list(named.items())[-12:]]
            self._faults.addWidget(
                line(tr("Versions and the line each names: {names}", names=", ".join(shown)), "small")
            )
        for fault in task.warned[:8]:
            box = frame("wrong")
            inside = row(box, gap=12, margins=(14, 8, 14, 8))
            inside.addWidget(line(f"{fault.where}: {tr_sentence(fault.what)}"), 1)
            self._faults.addWidget(box)


def subject_of(entry: Entry) -> str:
    """What a line is about; a tag's scope in words."""
    scope, _, name = entry.subject.partition(" ")
    known = {"source": tr("source"), "asset": tr("picture"), "version": tr("version")}
    return f"{known[scope]} {name}" if entry.verb == "tag" and scope in known else entry.subject


def told_of(entry: Entry) -> str:
    """The details of a line as one."""
    from app.services import gate

    if entry.verb == "tag" and isinstance(text := entry.detail.get("tag"), str):
        tag = gate.read_tag(text)
        return tr("no tag any more") if tag == gate.FREE else said(tag)
    return " · ".join(
        f"{k} {_plain(v)}" for k, v in entry.detail.items() if v not in ("", None, {}, [], "{}")
    )


def _plain(value: object) -> str:
    """A value of a line without its brackets."""
    match value:
        case dict():
            return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
        case list() | tuple():
            return "; ".join(map(_plain, value))
    return str(value)


def show(window: Window) -> None:
    """Open the log over the window."""
    if window.desk.ws is None:
        return
    made = AuditSheet(window)
    window.sheets.hold(made)
    made.present(made.verb)

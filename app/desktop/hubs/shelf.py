"""The hubs of the workspace: where each is, what it can do, what is published there and what is on its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QWidget

from annotation.errors import LamproomError
from app import i18n
from app.desktop import widgets
from app.desktop.desk import Desk
from app.desktop.models.machine import resume
from app.desktop.overlaid import Sheet
from app.desktop.tasks import Task
from app.desktop.widgets import Elided, Meter, Pill, Row, button, column, frame, label, number, row, rule, say
from app.i18n import tr, tr_sentence

if TYPE_CHECKING:
    from app.services.hubs import Hub, Probed
    from app.services.publish import Queued

BODY_PX = 460
KINDS = {"folder": "Folder", "s3": "S3 store", "shuttle": "Shuttle disk"}
STATES = {
    "finished": "green",
    "waiting": "blue",
    "running": "accent",
    "incomplete": "accent",
    "failed": "red",
}


class HubsSheet(Sheet):
    """See the module. `add`: opens the form for another one."""

    def __init__(self, parent: QWidget, desk: Desk, add: Callable[[], None]) -> None:
        super().__init__(
            parent,
            "Hubs",
            "Where versions are sent. Secrets lie in the system's key store, never in the record.",
            "Add a hub…",
            add,
            width=max(720, min(980, parent.width() - 48)),
        )
        say(self.cancel, "Close")
        self.desk = desk
        self.hubs: list[Hub] = []
        self.places: dict[str, str] = {}
        self.queue: list[Queued] = []
        self.probed: dict[str, Probed] = {}
        self.faults: dict[str, str] = {}
        self.chosen = ""
        self.rows: dict[str, Row] = {}
        self._asked = self._probing = ""
        self._list, self._detail = self.list_and_detail(280, BODY_PX, gap=14)
        desk.tasks.ended.connect(self._task_moved)
        desk.tasks.started.connect(self._task_moved)
        self._read()

    def _task_moved(self, _: Task) -> None:
        if not self.gone:
            self._read()

    def _read(self) -> None:
        ws = self.desk.ws
        if ws is None:
            return

        def work() -> tuple[list[Hub], dict[str, str], list[Queued]]:
            from app.services import hubs, publish

            found = hubs.listing(ws)
            return found, {h.name: hubs.place(h) for h in found}, publish.queue(ws)

        self.desk.ask(work, self.while_open(self._came))

    def _came(self, found: tuple[list[Hub], dict[str, str], list[Queued]]) -> None:
        self.hubs, self.places, self.queue = found
        if self.chosen not in self.places:
            self.chosen = self.hubs[0].name if self.hubs else ""
        self.retranslate()

    def choose(self, name: str) -> None:
        """Show a hub."""
        self.chosen, self._asked = name, ""
        for known, line in self.rows.items():
            line.setChecked(known == name)
        self._show()

    def retranslate(self) -> None:
        """List and detail again."""
        focused = next((n for n, line in self.rows.items() if line.hasFocus()), "")
        widgets.clear(self._list)
        self.rows = {}
        for hub in self.hubs:
            under = tr(KINDS.get(hub.kind, hub.kind))
            line = Row(hub.name, under=f"{under} · {self.places[hub.name]}")
            line.setChecked(hub.name == self.chosen)
            line.setAccessibleName(f"{hub.name} · {under}")
            line.clicked.connect(lambda _=False, name=hub.name: self.choose(name))
            self.rows[hub.name] = line
            self._list.addWidget(line)
        if focused in self.rows:
            self.rows[focused].setFocus()
        self._show()

    def _show(self) -> None:
        widgets.clear(self._detail)
        hub = next((h for h in self.hubs if h.name == self.chosen), None)
        if hub is None:
            self._detail.addWidget(label("No hub yet", "head"))
            self._detail.addWidget(
                label(
                    "Add a folder on a shared disk, or a bucket of an S3-compatible store.",
                    "second",
                    wrap=True,
                )
            )
        else:
            self._about(hub)
        self._on_their_way()
        self._detail.addStretch()
        widgets.repaint_icons(self)

    def _about(self, hub: Hub) -> None:
        head = row(gap=12)
        head.addWidget(Elided(hub.name, "title"), 1)
        pill = Pill()
        pill.set(tr(KINDS.get(hub.kind, hub.kind)), "blue")
        head.addWidget(pill)
        self._detail.addLayout(head)
        where = Elided(self.places[hub.name], "second")
        where.setToolTip(self.places[hub.name])
        self._detail.addWidget(where)
        verbs = row(gap=8)
        probe = button("Try what it can do", lambda: self._probe(hub.name), icon="verify")
        probe.setEnabled(not self._probing)
        verbs.addWidget(probe)
        verbs.addStretch()
        if self._asked == hub.name:
            verbs.addWidget(label("What is published there stays.", "small"))
            verbs.addWidget(button("Remove it", lambda: self._remove(hub.name), kind="danger"))
            verbs.addWidget(button("Keep it", lambda: self._ask(""), kind="link"))
        else:
            verbs.addWidget(button("Remove…", lambda: self._ask(hub.name), kind="link"))
        self._detail.addLayout(verbs)
        self._detail.addWidget(rule())
        if self._probing == hub.name:
            self._detail.addWidget(label("Asking it with tiny objects…", "second"))
        elif fault := self.faults.get(hub.name):
            line = label(kind="second", tone="red", wrap=True)
            line.setText(fault)
            self._detail.addWidget(line)
        elif (found := self.probed.get(hub.name)) is not None:
            self._told(found)

    def _told(self, found: Probed) -> None:
        from app.services import hubs

        box = frame("inset")
        inside = column(box, gap=6, margins=(16, 12, 16, 12))
        head = row(gap=12)
        head.addWidget(label("What it can do", "caption"))
        head.addStretch()
        pill = Pill()
        if found.abilities.weak:
            pill.set(tr("read back and hashed"), "accent")
        else:
            pill.set(tr("checks what arrives"), "green")
        head.addWidget(pill)
        inside.addLayout(head)
        said = hubs.told(found.abilities)
        if found.unfinished:
            said.append(tr("{n} uploads were begun and not ended.", n=number(found.unfinished)))
        if found.versions:
            said.append(
                tr("Published there: {names}", names=", ".join(f"{d}@{t}" for d, t in found.versions))
            )
        for text in said:
            line = label(kind="", wrap=True)
            line.setText(text)
            inside.addWidget(line)
        self._detail.addWidget(box)

    def _on_their_way(self) -> None:
        rows = [
            q
            for q in self.queue
            if not self.chosen or q.hub == self.chosen or q.state not in ("finished", "cancelled")
        ]
        if not rows:
            return
        self._detail.addWidget(label("Publishings", "caption"))
        for q in rows[:12]:
            box = frame("inset")
            inside = column(box, gap=4, margins=(14, 8, 10, 8))
            line = row(gap=12)
            line.addWidget(Elided(f"{q.ref} → {q.hub}", "strong"), 1)
            pill = Pill()
            pill.set(tr(q.state), STATES.get(q.state, "second"))
            line.addWidget(pill)
            if q.state in ("waiting", "incomplete"):
                line.addWidget(button("Resume", lambda q=q: self._resume(q)))
                line.addWidget(button("End it for good", lambda q=q: self._end(q.job), kind="link"))
            inside.addLayout(line)
            if q.total and q.state not in ("finished", "cancelled"):
                meter = Meter("accent")
                meter.set_share(q.done / q.total)
                inside.addWidget(meter)
            if q.note:
                note = label(kind="small", wrap=True)
                note.setText(tr_sentence(q.note))
                inside.addWidget(note)
            self._detail.addWidget(box)

    # --- deeds ---------------------------------------------------------------------------------------------------

    def _ask(self, name: str) -> None:
        self._asked = name
        self._show()

    def _probe(self, name: str) -> None:
        ws = self.desk.ws
        if ws is None:
            return

        def work() -> Probed:
            from app.services import hubs

            return hubs.probe(ws, name)

        def came(found: Probed) -> None:
            self._probing = ""
            self.faults.pop(name, None)
            self.probed[name] = found
            self._show()

        def failed(fault: BaseException) -> None:
            self._probing = ""
            if not isinstance(fault, LamproomError):
                raise fault
            self.faults[name] = i18n.tr_fault(fault)
            self._show()

        self._probing = name
        self._show()
        self.desk.ask_far(work, self.while_open(came), self.while_open(failed))

    def _remove(self, name: str) -> None:
        self._then_read(lambda ws: _hubs().remove(ws, name))

    def _end(self, job: int) -> None:
        self._then_read(lambda ws: _jobs().cancel(ws, job))

    def _then_read(self, work: Callable[[Any], Any]) -> None:
        ws = self.desk.ws

        def failed(fault: BaseException) -> None:
            if not isinstance(fault, LamproomError):
                raise fault
            self.show_fault(i18n.tr_fault(fault))

        if ws is not None:
            self.desk.ask_far(
                lambda: work(ws), self.while_open(lambda _: self._read()), self.while_open(failed)
            )

    def _resume(self, q: Queued) -> None:
        task = resume(self.desk, q.job, lambda: tr("Publish · {name}", name=q.ref))
        if task is not None:
            self.finish()


def _hubs() -> Any:
    from app.services import hubs

    return hubs


def _jobs() -> Any:
    from app.services import jobs

    return jobs

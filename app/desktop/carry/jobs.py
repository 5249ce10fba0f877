"""Work at a hub: the jobs and how they stand, followed while the sheet is open; results collected, work cancelled, more ordered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QLineEdit, QPlainTextEdit, QWidget

from annotation.errors import LamproomError
from app import i18n
from app.desktop import widgets
from app.desktop.models import words
from app.desktop.models.asking import Combo, Segments
from app.desktop.overlaid import Sheet
from app.desktop.rights.parts import line, moment
from app.desktop.rights.refusals import Refusals
from app.desktop.tasks import Task
from app.desktop.widgets import Elided, Pill, Row, button, column, label, look, number, row, rule, say
from app.i18n import tr, tr_sentence

if TYPE_CHECKING:
    from app.desktop.window import Window
    from app.services.gate import Reason
    from app.services.hubjobs import Estimate, Shown

EVERY_MS = 4_000
"""Between two looks at what still runs."""
BODY_PX = 420
TONES = {
    "written": "second", "waiting": "blue", "running": "accent", "finished": "green", "failed": "red", "lost": "red",
    "cancelled": "second", "collected": "green",
}  # fmt: skip
OPEN = ("written", "waiting", "running", "finished", "failed", "lost")
"""States of jobs that are not done with."""


class JobsAtHubsSheet(Sheet):
    """See the module. job: the one that is shown at first."""

    def __init__(self, window: Window, job: int = 0) -> None:
        super().__init__(
            window.body,
            "Work at the hub",
            "Finished is what the results say, not the scheduler: every output must be there and be the file it names.",
            "Order work…",
            lambda: submit(window),
            width=max(840, min(1020, window.body.width() - 48)),
        )
        say(self.cancel, "Close")
        self.window_, self.desk = window, window.desk
        self.jobs: list[Shown] = []
        self.chosen = job
        self.rows: dict[int, Row] = {}
        self._asking, self._known, self._shown = False, False, ""
        self._list, self._detail = self.list_and_detail(320, BODY_PX, gap=12)
        self.name, self.judged = QLineEdit(), Combo()
        self._timer = QTimer(self, interval=EVERY_MS)
        self._timer.timeout.connect(self.follow)
        self._timer.start()
        self.follow()

    def follow(self) -> None:
        """Look how they stand; on the thread that waits for other machines."""
        ws = self.desk.ws
        if ws is None or self._asking or self.gone:
            return
        self._asking = True

        def work() -> list[Shown]:
            from app.services import hubjobs

            return hubjobs.listing(ws)

        def failed(fault: BaseException) -> None:
            self._asking = False
            self._refused(fault)

        self.desk.ask_far(work, self.while_open(self._came), self.while_open(failed))

    def _came(self, found: list[Shown]) -> None:
        self._asking = False
        if found == self.jobs and self._known:
            return
        self._known, self.jobs = True, found
        if all(j.id != self.chosen for j in found):
            self.chosen = found[0].id if found else 0
        self.retranslate()

    def choose(self, job: int) -> None:
        """Show one."""
        self.chosen = job
        for known, made in self.rows.items():
            made.setChecked(known == job)
        self._show()

    def retranslate(self) -> None:
        """List and detail again."""
        focused = next((n for n, made in self.rows.items() if made.hasFocus()), 0)
        widgets.clear(self._list)
        self.rows = {}
        for j in self.jobs:
            made = Row(
                j.name,
                under=f"{j.version} · {j.hub} · {moment(j.submitted_ms)}",
                count=tr(j.state),
                tone=TONES[j.state],
            )
            made.setChecked(j.id == self.chosen)
            made.setAccessibleName(f"{j.name} · {tr(j.state)}")
            made.clicked.connect(lambda _=False, job=j.id: self.choose(job))
            self.rows[j.id] = made
            self._list.addWidget(made)
        if focused in self.rows:
            self.rows[focused].setFocus()
        self._show()

    def _show(self) -> None:
        widgets.clear(self._detail)
        job = next((j for j in self.jobs if j.id == self.chosen), None)
        if job is None:
            self._detail.addWidget(label("No work was ordered yet", "head"))
            self._detail.addWidget(
                label("Training and other work is ordered on a published version; a TOML file says what is to run.", "second", wrap=True)
            )  # fmt: skip
        else:
            self._about(job)
        self._detail.addStretch()
        widgets.repaint_icons(self)

    def _about(self, job: Shown) -> None:
        head = row(gap=12)
        head.addWidget(Elided(job.name, "title"), 1)
        pill = Pill()
        pill.set(tr(job.state), TONES[job.state])
        head.addWidget(pill)
        self._detail.addLayout(head)
        for caption, text in (
            ("Version", job.version), ("Hub", job.hub), ("What for", tr(job.purpose)), ("Runner", job.runner),
            ("Ordered", moment(job.submitted_ms)), ("Its folder", job.folder),
        ):  # fmt: skip
            across = row(gap=8)
            left = label(caption, "second")
            left.setFixedWidth(88)
            across.addWidget(left)
            value = Elided(text)
            value.setToolTip(text)
            across.addWidget(value, 1)
            self._detail.addLayout(across)
        if job.why:
            self._detail.addWidget(line(tr_sentence(job.why), tone="red"))
        if job.state == "written":
            self._detail.addWidget(
                line(
                    tr("Nobody runs it yet: `lamproom hubjob run` with its folder does, on any node."),
                    "second",
                )
            )
        if job.state == "finished":
            self._collecting(job)
        if job.state in OPEN:
            verbs = row(gap=8)
            verbs.addWidget(button("Cancel the job", lambda: self._cancel(job.id), kind="danger"))
            verbs.addStretch()
            self._detail.addLayout(verbs)

    def _collecting(self, job: Shown) -> None:
        self._detail.addWidget(rule())
        outer, self.body = self.body, self._detail
        self.name = self.text_field(
            "What the trained model is called here", job.name, hint="By default the job's name"
        )
        self.judged = say(Combo(), spoken="Judge it at once on")
        self.judged.addItem(tr("Not now"), "")
        for data in self.desk.datasets:
            self.judged.addItem(data.name, data.name)
        self.field(
            "Judge it at once on",
            self.judged,
            note="A dataset with truth; the evaluation is kept with the model.",
        )
        self.body = outer
        verbs = row()
        verbs.addWidget(
            button("Collect the results", lambda: self._collect(job.id), kind="primary", icon="import")
        )
        verbs.addStretch()
        self._detail.addLayout(verbs)

    # --- deeds ---------------------------------------------------------------------------------------------------

    def _collect(self, job: int) -> None:
        ws, name, judged = self.desk.ws, self.name.text().strip(), str(self.judged.currentData() or "")
        if ws is None:
            return

        def work() -> Any:
            from app.services import hubjobs

            return hubjobs.collect(ws, job, name=name, evaluate_on=judged)

        def done(task: Task) -> None:
            if task.state == "failed":
                self.show_fault(i18n.tr_sentence(task.fault))
            self.follow()

        self.desk.start(lambda: tr("Collect · {name}", name=name or str(job)), work, self.while_open(done))

    def _cancel(self, job: int) -> None:
        ws = self.desk.ws
        if ws is None:
            return

        def work() -> None:
            from app.services import hubjobs

            hubjobs.cancel(ws, job)

        self.desk.ask_far(work, self.while_open(lambda _: self.follow()), self.while_open(self._refused))

    def _refused(self, fault: BaseException) -> None:
        if not isinstance(fault, LamproomError):
            raise fault
        self.show_fault(i18n.tr_fault(fault))


class SubmitSheet(Sheet):
    """Order work: a version, where it is published, the TOML file with its content, what it would need."""

    def __init__(self, window: Window, refs: list[str], hubs: list[str]) -> None:
        super().__init__(
            window.body,
            "Order work",
            "A folder for the job is written where the cluster sees it; Slurm is started at once.",
            "Order it",
            self._go,
            width=max(840, min(980, window.body.width() - 48)),
        )
        self.window_, self.desk = window, window.desk
        self.told: Any = None
        self._ticket = 0
        across = row(gap=28)
        outer = self.body
        left, right = QWidget(), QWidget()
        self.body = column(left, gap=12)
        self.version = say(Combo(), spoken="Version")
        for ref in refs:
            self.version.addItem(ref, ref)
        self.version.activated.connect(lambda _: self._estimate())
        self.field("Version", self.version)
        self.hub = say(Combo(), spoken="Hub")
        for name in hubs:
            self.hub.addItem(name, name)
        self.hub.setEditable(not hubs)
        self.hub.currentTextChanged.connect(lambda _: self._estimate())
        self.field("Hub", self.hub, note="Where the version is published: a hub's name, or a folder.")
        self.file = self.path_field("Job file", hint="A TOML file", files=True, folders=False)
        self.file.textChanged.connect(lambda _: self._read())
        self.scratch = self.path_field("Folder that the cluster sees", hint="The job's folder is made in it")
        self.scratch.textChanged.connect(lambda _: self._check())
        self.runner = Segments(
            [("slurm", "Slurm"), ("files", tr("only write the files"))], "slurm", spoken=tr("Runner")
        )
        self.runner.chosen.connect(lambda _: self._check())
        self.field("Runner", self.runner)
        self.options = self.text_field("Options for sbatch", hint="as --partition=gpu --account=mine")
        self.body.addStretch()
        self.body = column(right, gap=12)
        self.content = look(say(QPlainTextEdit(), spoken="What is to run"), "field")
        self.content.setReadOnly(True)
        self.content.setTabChangesFocus(True)
        self.content.setMinimumHeight(180)
        self.body.addWidget(label("What is to run", "caption"))
        self.body.addWidget(self.content, 1)
        self.body.addWidget(label("What it would need", "caption"))
        self.needs = label(kind="second", wrap=True)
        self.needs.setMinimumHeight(54)
        self.needs.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.body.addWidget(self.needs)
        self.gate = Refusals(self._show_pictures)
        self.body.addWidget(self.gate)
        self.reason = self.text_field(
            "Your reason to let it leave against its policy tags", hint="empty: what may not leave is refused"
        )
        self.body = outer
        across.addWidget(left, 1)
        across.addWidget(right, 1)
        outer.addLayout(across)
        self._check()

    def _check(self) -> None:
        self.options.setEnabled(self.runner.value == "slurm")
        self.verb.setEnabled(
            self.told is not None
            and bool(self.scratch.text().strip())
            and bool(self.hub.currentText().strip())
        )

    def _read(self) -> None:
        """The file's content, and whether it is a job."""
        self._ticket += 1
        ticket, self.told = self._ticket, None
        file = Path(self.file.text().strip()).expanduser()
        self._check()

        def work() -> tuple[str, Any, str]:
            from app.services import hubjobs

            text = ""
            if file.is_file() and file.stat().st_size <= hubjobs.MAX_SPEC_BYTES:
                text = file.read_bytes().decode("utf-8", "replace")
            try:
                return text, hubjobs.read_spec(file), ""
            except LamproomError as fault:
                return text, None, i18n.tr_fault(fault)

        def came(got: tuple[str, Any, str]) -> None:
            if ticket != self._ticket:
                return
            text, self.told, fault = got
            self.content.setPlainText(text)
            self.show_fault(fault if self.file.text().strip() else "")
            self._check()
            self._estimate()

        self.desk.tasks.readers.submit(work, self.while_open(came), self.desk.fault, key="job file")

    def _estimate(self) -> None:
        ws, told, ref, hub = (
            self.desk.ws,
            self.told,
            str(self.version.currentData() or ""),
            self.hub.currentText().strip(),
        )
        self.needs.setText("")
        self.gate.tell(())
        self._check()
        if ws is None or told is None or not ref or not hub:
            return
        self._ask_gate(ref, told)
        self._ticket += 1
        ticket = self._ticket
        self.needs.setText(tr("Asking the hub what it lacks…"))

        def work() -> Estimate:
            from app.services import hubjobs

            return hubjobs.estimate(ws, ref, hub, told)

        def came(found: Estimate) -> None:
            if ticket == self._ticket:
                self.needs.setText(needs(found))

        def failed(fault: BaseException) -> None:
            if not isinstance(fault, LamproomError):
                raise fault
            if ticket == self._ticket:
                self.needs.setText(i18n.tr_fault(fault))

        self.desk.ask_far(work, self.while_open(came), self.while_open(failed))

    def _ask_gate(self, ref: str, told: Any) -> None:
        """Whether the version may be used for this; asked on another thread."""
        ws, purpose = self.desk.ws, "evaluation" if told.purpose == "evaluation" else "training"
        if ws is None:
            return

        def work() -> list[Reason]:
            from app.services import publish
            from app.services.gate import OUTSIDE, Ask

            return publish.may_leave(ws, ref, Ask(OUTSIDE.audience, purpose))

        def came(found: list[Reason]) -> None:
            if told is self.told and ref == str(self.version.currentData() or ""):
                self.gate.tell(found)

        self.desk.ask(work, self.while_open(came))

    def _show_pictures(self, query: str) -> None:
        window = self.window_
        self.finish()
        window.show_query(query)

    def _go(self) -> None:
        ws, told, ref, hub = (
            self.desk.ws,
            self.told,
            str(self.version.currentData() or ""),
            self.hub.currentText().strip(),
        )
        scratch, runner, window = (
            Path(self.scratch.text().strip()).expanduser(),
            self.runner.value,
            self.window_,
        )
        options = tuple(self.options.text().split()) if runner == "slurm" else ()
        reason = self.reason.text().strip()
        if ws is None or told is None:
            return

        def work() -> Any:
            from app.services import hubjobs

            return hubjobs.submit(
                ws, ref, hub, told, scratch=scratch, runner=runner, options=options, override=reason
            )

        def done(task: Task) -> None:
            self.verb.setEnabled(True)
            if task.state == "failed":
                self.show_fault(i18n.tr_sentence(task.fault))
            elif task.state == "finished":
                show(window, int(str(task.result.get("job") or 0)))

        self.verb.setEnabled(False)
        self.desk.start(lambda: tr("Order work · {name}", name=told.name), work, self.while_open(done))


def needs(found: Estimate) -> str:
    """An estimate in sentences."""
    if found.objects:
        out = [
            tr(
                "{n} objects, {size} are still to be sent",
                n=number(found.objects),
                size=words.size(found.size),
            )
        ]
        out.append(
            tr("{time} at the measured rate", time=words.duration(found.hours * 3600)) if found.hours is not None
            else tr("nobody measured this line yet")
        )  # fmt: skip
    else:
        out = [tr("The hub holds all of it already.")]
    out.append(tr("{time} of work at most", time=words.duration(found.job_hours * 3600)))
    if found.cost is not None:
        out.append(tr("about {cost} {currency}", cost=f"{found.cost:.2f}", currency=found.currency).strip())
    if found.capacity:
        out.append(found.capacity)
    return " · ".join(out)


def show(window: Window, job: int = 0) -> None:
    """Open the list over the window."""
    if window.desk.ws is None:
        return
    made = JobsAtHubsSheet(window, job)
    window.sheets.hold(made)
    made.present(made.verb)


def submit(window: Window) -> None:
    """Open the form over the window; without a version, one is frozen first."""
    ws, data = window.desk.ws, window.desk.dataset
    if ws is None or data is None:
        return
    if data.last_tag is None:
        window.sheets.freeze()
        return

    def read() -> tuple[list[str], list[str]]:
        from app.services import hubs, versions

        return [v.ref for v in reversed(versions.listing(ws, data.name))], [h.name for h in hubs.listing(ws)]

    def known(found: tuple[list[str], list[str]]) -> None:
        if window.desk.ws is ws:
            made = SubmitSheet(window, *found)
            window.sheets.hold(made)
            made.present(made.file)

    window.desk.ask(read, known)

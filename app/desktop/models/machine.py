"""Machine work: how a job goes or went, with pause, resume and undo; and the list of all jobs of the workspace."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QWidget

from annotation.errors import LamproomError
from app import i18n
from app.desktop import widgets
from app.desktop.activity import remaining
from app.desktop.desk import Desk
from app.desktop.models import words
from app.desktop.models.stages import StageBar, stage_name
from app.desktop.overlaid import Sheet
from app.desktop.said import ago
from app.desktop.tasks import Task
from app.desktop.widgets import Elided, Meter, Pill, button, column, frame, label, number, row, say
from app.i18n import tr, tr_sentence

if TYPE_CHECKING:
    from app.events import Work
    from app.services.jobs import JobRow

FIGURES = {
    "pictures": "Pictures", "predictions": "Predictions", "rate": "Pictures a second", "time": "Time",
}  # fmt: skip
OUTCOMES = {"running": ("runs", "accent"), "cancelling": ("is being stopped", "accent"), "finished": ("done", "green"),
            "cancelled": ("paused", "blue"), "failed": ("failed", "red")}  # fmt: skip
KEPT = ("undo", "ingest")
"""Kinds of job that no undo is offered for here: it would pull the ground from under the rest."""
_WARNED = 60


def resume(
    desk: Desk, job: int, titled: Callable[[], str], done: Callable[[Task], None] | None = None
) -> Task | None:
    """Go on with a job as a task."""
    ws = desk.ws
    if ws is None:
        return None

    def work() -> Work:
        from app.services import jobs

        yield from jobs.resume(ws, job)

    return desk.start(titled, work, done)


class ReportSheet(Sheet):
    """A task's figures while it runs, and its report afterwards."""

    def __init__(self, parent: QWidget, desk: Desk, task: Task) -> None:
        super().__init__(
            parent, "Report", "", "Close", self.finish, width=max(640, min(760, parent.width() - 48))
        )
        self.cancel.hide()
        self.desk, self.task = desk, task
        self._undone = False
        head = row(gap=12)
        self.caption = Elided("", "head")
        head.addWidget(self.caption, 1)
        self.pill = Pill()
        head.addWidget(self.pill)
        self.body.addLayout(head)
        self.meter = Meter("accent")
        self.body.addWidget(self.meter)
        figures = row(gap=12)
        self.figures: dict[str, Any] = {}
        for code, text in FIGURES.items():
            card = frame("inset")
            inside = column(card, gap=2, margins=(14, 10, 14, 10))
            inside.addWidget(label(text, "small"))
            self.figures[code] = label(kind="title")
            inside.addWidget(self.figures[code])
            figures.addWidget(card, 1)
        self.body.addLayout(figures)
        self.stages = StageBar()
        self.body.addWidget(self.stages)
        self.told = label(kind="second", wrap=True)
        self.body.addWidget(self.told)
        held = QWidget()
        self._warned = column(held, gap=2, margins=(0, 0, 12, 0))
        self._warned.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.area = widgets.scroll(held)
        self.area.setFixedHeight(132)
        self.body.addWidget(self.area)
        verbs = row(gap=8)
        self.pause = button("Pause", self._pause)
        self.go_on = button("Resume", self._resume, kind="primary")
        self.end = button("End it for good", self._end)
        self.undo = button("Take all of it back", self._undo, icon="undo")
        for one in (self.pause, self.go_on, self.end, self.undo):
            verbs.addWidget(one)
        verbs.addStretch()
        self.body.addLayout(verbs)
        self._n_warned = -1
        self._watch(task)

    def _watch(self, task: Task) -> None:
        self.task = task
        task.moved.connect(self._show)
        self._show()

    def retranslate(self) -> None:
        """The figures again."""
        self._show()

    def _show(self) -> None:
        if self.gone:
            return
        task = self.task
        said, tone = OUTCOMES[task.state]
        self.caption.setText(task.caption)
        self.pill.set(tr(said), tone)
        self.meter.tone = tone
        self.meter.set_share(1.0 if task.state == "finished" else task.share)
        total = f" / {number(task.total)}" if task.total else ""
        self.figures["pictures"].setText(f"{number(task.done)}{total}")
        found = task.work.get("predictions")
        self.figures["predictions"].setText(number(found) if isinstance(found, int) else "–")
        rate = task.work.get("pictures_per_s")
        self.figures["rate"].setText(f"{rate:.1f}" if isinstance(rate, int | float) and rate else "–")
        spent = (task.ended or 0.0) - task.began
        left = task.seconds_left
        self.figures["time"].setText(
            remaining(left)
            if task.alive and left is not None
            else words.duration(spent)
            if not task.alive
            else "…"
        )
        self.stages.show_busy(task.work.get("busy"))
        self.told.setText("\n".join(self._lines()))
        self._warnings()
        paused = task.state in ("cancelled", "failed") and task.job is not None
        self.pause.setVisible(task.alive and task.job is not None)
        self.pause.setEnabled(task.state == "running")
        self.go_on.setVisible(paused)
        self.end.setVisible(paused)
        self.undo.setVisible(not task.alive and self._step is not None and not self._undone)

    def _lines(self) -> list[str]:
        work, lines = self.task.work, list[str]()
        if self.task.fault:
            lines.append(tr_sentence(self.task.fault))
        if provider := work.get("provider"):
            lines.append(tr("It ran on: {provider}", provider=str(provider).upper()))
        passed: Any = work.get("passed_over") or ()
        lines += [tr_sentence(f"{name} is passed over: {why}") for name, why in passed]
        if bottleneck := work.get("bottleneck"):
            lines.append(tr("Bottleneck: {stage}", stage=stage_name(bottleneck)))
        facts = (
            ("already_truth", tr("{n} agree with what people confirmed")), ("rejected_before", tr("{n} had been rejected and stay away")),
            ("undecodable", tr("{n} pictures cannot be decoded")), ("tracks", tr("{n} tracks")),
        )  # fmt: skip
        told = [text.format(n=number(int(str(work[key])))) for key, text in facts if work.get(key)]
        return [*lines, *([" · ".join(told)] if told else [])]

    def _warnings(self) -> None:
        warned = self.task.warned
        self.area.setVisible(bool(warned))
        if len(warned) == self._n_warned:
            return
        self._n_warned = len(warned)
        widgets.clear(self._warned)
        for one in warned[:_WARNED]:
            line = label(kind="small", wrap=True)
            line.setText(" · ".join(part for part in (one.where, tr_sentence(one.what)) if part))
            self._warned.addWidget(line)
        if len(warned) > _WARNED:
            rest = label(kind="small")
            rest.setText(tr("and {n} more", n=number(len(warned) - _WARNED)))
            self._warned.addWidget(rest)

    # --- deeds ---------------------------------------------------------------------------------------------------

    @property
    def _step(self) -> int | None:
        found = self.task.result.get("step")
        return int(str(found)) if found else None

    def _pause(self) -> None:
        self.task.cancel()

    def _resume(self) -> None:
        task = self.task
        if task.job is not None and (made := resume(self.desk, int(task.job), task.titled)) is not None:
            self._watch(made)

    def _end(self) -> None:
        ws, job = self.desk.ws, self.task.job
        if ws is None or job is None:
            return

        def work() -> Any:
            from app.services import jobs

            return jobs.cancel(ws, int(job))

        self.desk.ask(work, self.while_open(lambda _: self.finish()), self.while_open(self._refused))

    def _undo(self) -> None:
        step = self._step
        if step is not None:
            self._undone = True
            self.undo.hide()
            self.desk.undo_step(step, skip_changed=True)

    def _refused(self, fault: BaseException) -> None:
        if not isinstance(fault, LamproomError):
            raise fault
        self.show_fault(i18n.tr_fault(fault))


class JobsSheet(Sheet):
    """Every job of the workspace, newest first."""

    def __init__(self, parent: QWidget, desk: Desk) -> None:
        super().__init__(
            parent,
            "Machine work",
            "What waits goes on where it stopped; what a job did is undone as one step.",
            "Do what waits",
            self._all,
            width=max(720, min(900, parent.width() - 48)),
        )
        say(self.cancel, "Close")
        self.desk = desk
        self.rows: list[JobRow] = []
        held = QWidget()
        self._list = column(held, gap=8, margins=(0, 0, 12, 0))
        self._list.setAlignment(Qt.AlignmentFlag.AlignTop)
        area = widgets.scroll(held)
        area.setFixedHeight(420)
        self.body.addWidget(area)
        self.verb.setEnabled(False)
        desk.tasks.ended.connect(self._ended)
        self._read()

    def _ended(self, _: Task) -> None:
        if not self.gone:
            self._read()

    def _read(self) -> None:
        ws = self.desk.ws
        if ws is None:
            return

        def work() -> list[JobRow]:
            from app.services import jobs

            return jobs.listing(ws, limit=60)

        self.desk.ask(work, self.while_open(self._came))

    def _came(self, rows: list[JobRow]) -> None:
        self.rows = rows
        self.retranslate()

    def retranslate(self) -> None:
        """The list again."""
        widgets.clear(self._list)
        self.verb.setEnabled(any(r.state in ("waiting", "incomplete") for r in self.rows))
        if not self.rows:
            self._list.addWidget(label("No machine work yet.", "second"))
        for r in self.rows:
            self._list.addWidget(self._card(r))
        widgets.repaint_icons(self)

    def _card(self, r: JobRow) -> QWidget:
        made = frame("inset")
        line = row(made, gap=12, margins=(14, 8, 10, 8))
        texts = QGridLayout()
        texts.setHorizontalSpacing(10)
        texts.setVerticalSpacing(2)
        title = Elided(_title(r), "strong")
        texts.addWidget(title, 0, 0)
        parts = [f"{number(r.done)}{f' / {number(r.total)}' if r.total else ''}", ago(r.started_ms)]
        parts += [part for part in (r.window, tr_sentence(r.note)) if part]
        if r.priority:
            parts.append(tr("priority {n}", n=r.priority))
        texts.addWidget(Elided(" · ".join(parts), "small"), 1, 0)
        line.addLayout(texts, 1)
        tones = {"finished": "green", "waiting": "blue", "running": "accent", "incomplete": "accent"}
        pill = Pill()
        pill.set(tr(r.state.partition(":")[0]), tones.get(r.state, "second"))
        line.addWidget(pill)
        waits = r.state in ("waiting", "incomplete")
        if waits:
            line.addWidget(button("Resume", lambda: self._resume(r)))
            line.addWidget(button("End it for good", lambda: self._end(r.id), kind="link"))
        elif r.step is not None and r.ended_ms is not None and r.kind not in KEPT:
            line.addWidget(button("Take all of it back", lambda: self._undo(r.step), kind="link"))
        return made

    def _resume(self, r: JobRow) -> None:
        task = resume(self.desk, r.id, lambda: _title(r))
        if task is not None:
            self.finish()
            self.desk.report_asked.emit(task)

    def _end(self, job: int) -> None:
        ws = self.desk.ws
        if ws is None:
            return

        def work() -> Any:
            from app.services import jobs

            return jobs.cancel(ws, job)

        def failed(fault: BaseException) -> None:
            if not isinstance(fault, LamproomError):
                raise fault
            self.show_fault(i18n.tr_fault(fault))

        self.desk.ask(work, self.while_open(lambda _: self._read()), self.while_open(failed))

    def _undo(self, step: int | None) -> None:
        if step is not None:
            self.desk.undo_step(step, skip_changed=True)

    def _all(self) -> None:
        ws = self.desk.ws
        if ws is None:
            return

        def work() -> Work:
            from app.services import jobs

            yield from jobs.work_off(ws)

        task = self.desk.start(lambda: tr("Machine work"), work)
        self.finish()
        self.desk.report_asked.emit(task)


def _title(r: JobRow) -> str:
    kind = tr(r.kind)
    return " · ".join(part for part in (kind[:1].upper() + kind[1:], r.dataset) if part)

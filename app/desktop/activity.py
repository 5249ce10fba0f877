"""Tasks with their progress and cancel, and the list of problems: a drawer over the desk, never in the way."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QFrame, QWidget

from app.desktop import widgets
from app.desktop.desk import Desk
from app.desktop.models.stages import StageBar, stage_name
from app.desktop.tasks import Task
from app.desktop.widgets import Elided, Meter, button, column, frame, label, number, row, say
from app.i18n import tr, tr_sentence

_PROBLEMS_SHOWN = 60


def remaining(seconds: float) -> str:
    """A duration in one unit."""
    if seconds < 90:
        return tr("{n} s left", n=max(1, round(seconds)))
    if seconds < 5400:
        return tr("{n} min left", n=round(seconds / 60))
    return tr("{n} h left", n=round(seconds / 3600))


def summary(task: Task) -> str:
    """What a task says now, in one line."""
    if task.state == "failed":
        return tr_sentence(task.fault)
    if task.state == "cancelled":
        return (
            tr("paused · what is done stays")
            if task.job is not None
            else tr("cancelled · what is done stays")
        )
    if task.state == "cancelling":
        return tr("stopping after this piece…")
    if task.state == "finished":
        text = tr("done · {n}", n=number(task.done)) if task.done else tr("done")
        return f"{text} · {tr('{n} problems', n=number(task.problems))}" if task.problems else text
    parts = []
    if task.total:
        parts.append(f"{number(task.done)} / {number(task.total)}")
    elif task.done:
        parts.append(number(task.done))
    if (left := task.seconds_left) is not None:
        parts.append(remaining(left))
    rate = task.work.get("pictures_per_s")
    if isinstance(rate, float) and task.work.get("bottleneck"):
        parts.append(f"{rate:.1f}/s · {stage_name(task.work['bottleneck'])}")
    elif task.note:
        parts.append(tr_sentence(task.note))
    return " · ".join(parts) or tr("beginning…")


class TaskCard(QWidget):
    """One task: what, bar, figures, the share of each stage, cancel or pause, and the way to its report."""

    def __init__(self, task: Task, report: Callable[[Task], object]) -> None:
        super().__init__()
        self.task = task
        box = column(self, gap=4, margins=(0, 4, 0, 4))
        top = row(gap=8)
        self.caption = Elided("", "strong")
        top.addWidget(self.caption, 1)
        self.more = button("Report", lambda: report(task), kind="link")
        top.addWidget(self.more)
        self.cancel = button("Cancel", task.cancel, kind="link")
        top.addWidget(self.cancel)
        box.addLayout(top)
        self.meter = Meter("accent")
        box.addWidget(self.meter)
        self.text = Elided("", "second")
        box.addWidget(self.text)
        self.stages = StageBar(names=False)
        box.addWidget(self.stages)
        task.moved.connect(self.retranslate)
        self.retranslate()

    def retranslate(self) -> None:
        """Show the task as it is."""
        task = self.task
        self.caption.setText(task.caption)
        self.text.setText(summary(task))
        self.text.setToolTip(summary(task))
        self.cancel.setVisible(task.alive)
        self.cancel.setEnabled(task.state == "running")
        say(self.cancel, "Pause" if task.job is not None else "Cancel")
        self.more.setVisible(task.job is not None)
        self.stages.show_busy(task.work.get("busy") if task.alive else None)
        tones = {"finished": "green", "failed": "red", "cancelled": "second"}
        self.meter.tone = tones.get(task.state, "accent")
        self.meter.set_share(1.0 if task.state == "finished" else task.share)
        if task.state in ("failed", "cancelled") and task.share is None:
            self.meter.set_share(0.0)
        self.meter.update()


class Activity(QFrame):
    """The drawer: running and past tasks, then problems, each with its place."""

    picture = Signal(int)

    def __init__(self, parent: QWidget, desk: Desk) -> None:
        super().__init__(parent)
        self.desk, self._over = desk, parent
        widgets.look(self, "float")
        box = column(self, gap=8, margins=(20, 16, 8, 12))
        head = row(margins=(0, 0, 8, 0))
        head.addWidget(label("Tasks", "head"))
        head.addStretch()
        head.addWidget(button("Close", self.hide, kind="link"))
        box.addLayout(head)
        inner = QWidget()
        self._box = column(inner, gap=4, margins=(0, 0, 12, 0))
        self._tasks_box = column(gap=4)
        self._none = label("Nothing runs at the moment.", "second")
        self._box.addWidget(self._none)
        self._box.addLayout(self._tasks_box)
        self._box.addSpacing(12)
        second = row()
        self.problems_head = label(kind="head")
        second.addWidget(self.problems_head)
        second.addStretch()
        self.forget = button("Clear", desk.forget_problems, kind="link")
        second.addWidget(self.forget)
        self._box.addLayout(second)
        self._problems_box = column(gap=4)
        self._box.addLayout(self._problems_box)
        self._box.addStretch()
        box.addWidget(widgets.scroll(inner))
        self._cards: list[TaskCard] = []
        self._soon = QTimer(self, singleShot=True, interval=100)
        self._soon.timeout.connect(self.retranslate)
        desk.tasks.started.connect(self._started)
        desk.tasks.ended.connect(lambda _: self._soon.start())
        desk.problems_changed.connect(self._soon.start)
        self.hide()
        self.retranslate()

    def place(self) -> None:
        """Right above the status line."""
        parent = self._over
        wide, high = min(440, parent.width() - 32), min(560, parent.height() - 32)
        self.setGeometry(parent.width() - wide - 16, parent.height() - high - 12, wide, high)

    def showEvent(self, event) -> None:
        self.retranslate()

    def _started(self, task: Task) -> None:
        card = TaskCard(task, self.desk.report_asked.emit)
        self._cards.insert(0, card)
        self._tasks_box.insertWidget(0, card)
        for old in self._cards[8:]:
            old.hide()
            old.deleteLater()
        del self._cards[8:]
        self._none.hide()

    def retranslate(self) -> None:
        """The problems again."""
        found = self.desk.problems
        self._none.setVisible(not self._cards)
        self.problems_head.setText(tr("Problems {n}", n=number(len(found))))
        self.forget.setVisible(any(t.at for t in found))
        if not self.isVisible():
            return
        widgets.clear(self._problems_box)
        if not found:
            self._problems_box.addWidget(
                label("None. Files that cannot be used are listed here with the reason.", "second", wrap=True)
            )
        for trouble in found[:_PROBLEMS_SHOWN]:
            line = frame("wrong")
            inside = row(line, gap=8, margins=(10, 6, 6, 6))
            inside.addWidget(widgets.Dot("red"))
            texts = column(gap=0)
            what = label(kind="second", wrap=True)
            what.setText(tr_sentence(trouble.what))
            texts.addWidget(what)
            if trouble.where:
                where = Elided(trouble.where, "small")
                where.setToolTip(trouble.where)
                texts.addWidget(where)
            inside.addLayout(texts, 1)
            if trouble.asset_id is not None:
                inside.addWidget(button("Show", lambda i=trouble.asset_id: self.picture.emit(i), kind="link"))
            self._problems_box.addWidget(line)
        if len(found) > _PROBLEMS_SHOWN:
            rest = label(kind="small")
            rest.setText(tr("and {n} more", n=number(len(found) - _PROBLEMS_SHOWN)))
            self._problems_box.addWidget(rest)

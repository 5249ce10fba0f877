"""The gallery's cleaning panel: what is ticked is what the gallery shows, and what one button takes out of the dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QPushButton, QSlider, QWidget

from app import i18n
from app.desktop import widgets
from app.desktop.gallery.threshold import Threshold, Tick
from app.desktop.tasks import Task
from app.desktop.widgets import button, column, frame, label, look, number, row, say
from app.i18n import tr
from app.services import cleaning, listing
from app.services.browse import Query
from app.services.cleaning import DULL, LIKENESS, Count, Overview, Pass, Values, Wanted
from app.services.listing import Sort

if TYPE_CHECKING:
    from app.desktop.gallery.page import Gallery

WIDTH = 320
BARS = 50
_DULL = (("blurred", "Blurred"), ("dark", "Too dark"), ("glare", "Glare"), ("haze", "Dust or fog"))
_KINDS = (
    ("exact", "Equal bytes"), ("near", "Near copies"), ("alike", "Alike to a model"), ("maybe", "Perhaps alike: look"),
    ("frozen", "Stuck camera"),
)  # fmt: skip
_RULES = (
    ("every", "Every n-th", 2, 100, 10),
    ("apart_s", "By time", 1, 600, 10),
    ("scene", "By scene", 2, 32, 8),
)
"""Thinning: field of Wanted, name, least, most, offered first."""
_WORST_FIRST = {
    "blurred": Sort("sharp"),
    "dark": Sort("bright"),
    "glare": Sort("glare", True),
    "haze": Sort("haze", True),
}


class Cleaning(QWidget):
    """See the module. Hidden until it is asked for; while it is open the query line says what would leave."""

    def __init__(self, gallery: Gallery) -> None:
        super().__init__()
        self.gallery, self.desk = gallery, gallery.desk
        self.overview: Overview | None = None
        self.counts: dict[str, Count] = {}
        """Of what no histogram tells: copies, frames, corrupt ones."""
        self.values: dict[str, Values] = {}
        self.whole: Count | None = None
        """Everything that is ticked; None while it is counted."""
        self.running: Task | None = None
        self.step = 0
        self.base = ""
        """What the query line said when the panel was opened: only those are cleaned."""
        self._asked: Query | None = None
        """What the panel itself let the gallery look at last."""
        self._asking = False
        self._ticket = 0
        self._soon = QTimer(self, singleShot=True, interval=150)
        self._soon.timeout.connect(self._look)
        self.setFixedWidth(WIDTH)
        self._build()
        self.hide()
        self.desk.opened.connect(self._elsewhere)
        self.desk.dataset_changed.connect(self._elsewhere)
        self.desk.tasks.ended.connect(lambda _: self.read() if self.isVisible() else None)

    # --- form ----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        outer = row(self)
        side = frame("right")
        outer.addWidget(side)
        whole = column(side, gap=0, margins=(0, 0, 0, 0))
        head = column(gap=2, margins=(16, 12, 8, 8))
        line = row(gap=4)
        line.addWidget(label("Cleaning", "title"))
        line.addStretch()
        away = button("", self.leave, kind="flat", icon="close", tip="Close cleaning")
        away.setFixedWidth(32)
        line.addWidget(away)
        head.addLayout(line)
        head.addWidget(
            label("What is ticked is shown, and leaves the dataset. No file is touched.", "small", wrap=True)
        )
        self.scope = label(kind="small", tone="accent", wrap=True)
        head.addWidget(self.scope)
        whole.addLayout(head)
        inner = QWidget()
        box = column(inner, gap=4, margins=(8, 4, 8, 12))
        box.addWidget(self._measures())
        self._dull(box)
        self._copies(box)
        self._sequence(box)
        box.addStretch()
        area = widgets.scroll(inner)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        whole.addWidget(area, 1)
        whole.addWidget(widgets.rule())
        whole.addLayout(self._foot())

    def _caption(self, box: Any, text: str) -> None:
        made = label(text, "caption")
        made.setContentsMargins(8, 10, 0, 2)
        box.addWidget(made)

    def _measures(self) -> QWidget:
        """Shown while pictures are not measured."""
        self.unmeasured = frame("warned")
        inside = column(self.unmeasured, gap=6, margins=(12, 10, 12, 10))
        self.unmeasured_text = label(wrap=True)
        inside.addWidget(self.unmeasured_text)
        self.measure = button("Measure and look for copies", self.find_copies, kind="primary")
        inside.addWidget(self.measure)
        self.unmeasured.hide()
        return self.unmeasured

    def _dull(self, box: Any) -> None:
        self._caption(box, "Not worth seeing")
        self.ticks: dict[str, Tick] = {}
        self.lines: dict[str, Threshold] = {}
        for name, text in _DULL:
            box.addWidget(self._tick(name, text))
            _, sign, offered = DULL[name]
            made = Threshold(offered, below=sign == "<", tip=text)
            made.moved.connect(lambda _, name=name: self._dragged(name))
            self.lines[name] = made
            held = row(margins=(24, 0, 0, 4))
            held.addWidget(made)
            box.addLayout(held)
        box.addWidget(self._tick("corrupt", "Cannot be decoded"))

    def _tick(self, name: str, text: str) -> Tick:
        made = Tick(text)
        made.clicked.connect(lambda _=False: self._changed(now=True))
        self.ticks[name] = made
        return made

    def _copies(self, box: Any) -> None:
        self._caption(box, "More than once")
        line = row(gap=8, margins=(32, 0, 8, 6))
        self.radius = QSlider(Qt.Orientation.Horizontal)
        self.radius.setRange(0, 12)
        self.radius.setValue(Wanted().near)
        say(self.radius, tip="How many of 64 bits near pictures may differ in")
        self.radius_text = label(kind="small")
        self.radius.valueChanged.connect(lambda _: self._texts())
        line.addWidget(self.radius, 1)
        line.addWidget(self.radius_text)
        for name, text in _KINDS:
            box.addWidget(self._tick(name, text))
            if name == "near":
                box.addLayout(line)
        deeds = row(gap=6, margins=(32, 2, 8, 2))
        self.again = button("Look for copies", self.find_copies, kind="choice")
        self.groups = button("Show the groups", self.show_groups, kind="choice")
        deeds.addWidget(self.again)
        deeds.addWidget(self.groups)
        deeds.addStretch()
        box.addLayout(deeds)

    def _sequence(self, box: Any) -> None:
        self._caption(box, "Frames of sequences")
        box.addWidget(self._tick("sequence", "Between kept frames"))
        line = row(gap=6, margins=(32, 2, 8, 2))
        self.rule = "every"
        self.rules: dict[str, QPushButton] = {}
        for name, text, *_ in _RULES:
            made = say(look(QPushButton(), "choice"), text)
            made.setCheckable(True)
            made.clicked.connect(lambda _=False, name=name: self.choose_rule(name))
            self.rules[name] = made
            line.addWidget(made)
        line.addStretch()
        box.addLayout(line)
        below = row(gap=8, margins=(32, 2, 8, 2))
        self.amount = QSlider(Qt.Orientation.Horizontal)
        say(self.amount, tip="How far kept frames are apart")
        self.amount.valueChanged.connect(lambda _: self._texts())
        self.amount_text = label(kind="small")
        below.addWidget(self.amount, 1)
        below.addWidget(self.amount_text)
        box.addLayout(below)
        last = row(margins=(32, 2, 8, 2))
        self.thin = button("Find the frames between", self.find_frames, kind="choice")
        last.addWidget(self.thin)
        last.addStretch()
        box.addLayout(last)
        self.choose_rule("every")

    def _foot(self) -> Any:
        foot = column(gap=6, margins=(16, 10, 16, 14))
        self.held = Tick("Also what people worked on")
        self.held.clicked.connect(lambda _=False: self._fill())
        foot.addWidget(self.held)
        self.told = label(kind="second", wrap=True)
        foot.addWidget(self.told)
        self.act = button("", self.take_out, kind="primary")
        foot.addWidget(self.act)
        self.undo = button("Undo", self.take_back)
        self.undo.hide()
        foot.addWidget(self.undo)
        return foot

    # --- open and shut -------------------------------------------------------------------------------------------

    def toggle(self) -> None:
        """Open or close the panel."""
        if self.isVisible():
            self.leave()
        else:
            self.enter()

    def enter(self) -> None:
        """Open it on what the gallery looks at."""
        if self.desk.dataset is None:
            return
        self.gallery.show_objects(False)
        self.base = listing.show(self.gallery.node, self.gallery.names)
        self.step = 0
        self._asked = self.desk.query
        self.show()
        self.gallery._mark()
        self.read()
        self._fill()

    def leave(self) -> None:
        """Close it; the gallery looks at what it looked at before."""
        self.hide()
        self._soon.stop()
        for made in self.ticks.values():
            made.setChecked(False)
        self.gallery.groups_shown(())
        self._ask(self.base, Sort())
        self.gallery._mark()
        self.gallery.grid.setFocus()

    def _elsewhere(self) -> None:
        """Another workspace or dataset: what was counted is of no use."""
        self._ticket += 1
        self.overview, self.counts, self.values, self.whole = None, {}, {}, None
        self.base, self.step = "", 0
        for made in self.ticks.values():
            made.setChecked(False)
        for line in self.lines.values():
            line.show_bars(())
        if self.isVisible():
            if self.desk.dataset is None:
                self.hide()
            else:
                self.read()

    def looked(self) -> None:
        """The gallery looks at something that the panel did not ask for: that is cleaned from now on."""
        if self._asking or not self.isVisible() or self.desk.query == self._asked:
            return
        self._asked = self.desk.query
        for made in self.ticks.values():
            made.setChecked(False)
        self.base = listing.show(self.gallery.node, self.gallery.names)
        self.read()

    def read(self) -> None:
        """What was measured and found, the histograms and the counts, anew."""
        ws, data = self.desk.ws, self.desk.dataset
        if ws is None or data is None:
            return
        self._ticket += 1
        ticket = self._ticket

        def done(found: Overview) -> None:
            if ticket == self._ticket:
                self.overview = found
                self._fill()

        self.desk.tasks.readers.submit(
            lambda: cleaning.overview(ws, data.id), done, self.desk.fault, key="cleaning overview"
        )
        self._read_values(ticket, cleaning.histograms(ws, data.id, self.base))
        self._count_rest()
        self._count()

    def _read_values(self, ticket: int, steps: Any) -> None:
        """Histograms, growing."""

        def done(found: dict[str, Values] | None) -> None:
            if ticket != self._ticket or found is None:
                return
            self.values = found
            for name, values in found.items():
                self.lines[name].show_bars(values.bars(BARS))
            self._fill()
            self._read_values(ticket, steps)

        self.desk.tasks.readers.submit(lambda: next(steps, None), done, self.desk.fault, behind=True)

    def _count_rest(self) -> None:
        """How many each reason means that no histogram tells."""
        ws, data, ticket = self.desk.ws, self.desk.dataset, self._ticket
        if ws is None or data is None:
            return
        what = [p for p in self._all_passes() if p.name not in DULL]

        def done(found: list[Count]) -> None:
            if ticket == self._ticket:
                self.counts = {c.name: c for c in found}
                self._fill()

        self.desk.tasks.readers.submit(
            lambda: cleaning.count(ws, data.name, what), done, self.desk.fault, key="cleaning counts"
        )

    def _count(self) -> None:
        """How many all that are ticked mean together."""
        ws, data = self.desk.ws, self.desk.dataset
        where = cleaning.union(self.passes())
        self.whole = None
        self._fill()
        if ws is None or data is None or not where:
            return

        def done(found: list[Count]) -> None:
            if where == cleaning.union(self.passes()) and ws is self.desk.ws:
                (self.whole,) = found
                self._fill()

        self.desk.tasks.readers.submit(
            lambda: cleaning.count(ws, data.name, [Pass("", where)]),
            done,
            self.desk.fault,
            key="cleaning union",
        )

    # --- what is ticked ------------------------------------------------------------------------------------------

    def _all_passes(self) -> tuple[Pass, ...]:
        thresholds = {name: line.value for name, line in self.lines.items()}
        kinds = [name for name, _ in _KINDS] + ["sequence"]
        return cleaning.passes(thresholds, kinds, corrupt=True, where=self.base)

    def passes(self) -> list[Pass]:
        """What would leave, by reason."""
        return [p for p in self._all_passes() if self.ticks[p.name].isChecked()]

    def _dragged(self, name: str) -> None:
        self.ticks[name].setChecked(True)
        self._changed()

    def _changed(self, *, now: bool = False) -> None:
        self._texts()
        self.whole = None
        self._fill()
        self._soon.start(0 if now else 150)

    def _look(self) -> None:
        """Show what is ticked, the worst first."""
        ticked = self.passes()
        order = Sort()
        if len(ticked) == 1:
            order = _WORST_FIRST.get(ticked[0].name, Sort("group") if ticked[0].name != "corrupt" else order)
        kinds = [p.name for p in ticked if p.name in LIKENESS]
        self.gallery.groups_shown(kinds if len(kinds) == len(ticked) else ())
        self._ask(cleaning.union(ticked) if ticked else self.base, order)
        self._count()

    def _ask(self, text: str, order: Sort) -> None:
        if self.gallery.sort != order:
            self.gallery.sort = order
            self.gallery._mark()
        self._asking = True
        try:
            self.gallery.ask(text)
        finally:
            self._asking = False
            self._asked = self.desk.query

    def show_groups(self) -> None:
        """Whole groups, the kept ones with them, side by side."""
        kinds = [name for name, _ in _KINDS if self.ticks[name].isChecked()] or [name for name, _ in _KINDS]
        scope = f" ({self.base})" if self.base else ""
        self.gallery.groups_shown(kinds)
        self._ask(f"grouped:{','.join(kinds)}{scope}", Sort("group"))

    def choose_rule(self, name: str) -> None:
        """Another rule for thinning."""
        self.rule = name
        for code, made in self.rules.items():
            made.setChecked(code == name)
        low, high, offered = next((a, b, c) for code, _, a, b, c in _RULES if code == name)
        self.amount.setRange(low, high)
        self.amount.setValue(offered)
        self._texts()

    # --- deeds ---------------------------------------------------------------------------------------------------

    def find_copies(self) -> None:
        """Measure what was not measured and look for copies and stuck cameras."""
        kinds: tuple[str, ...] = ("exact", "near", "frozen")
        if self.overview is not None and self.overview.vectors:
            kinds = (*kinds, "alike")
        self._find(Wanted(kinds, near=self.radius.value()))

    def find_frames(self) -> None:
        """Look for the frames between those that the rule keeps."""
        wanted: dict[str, Any] = {self.rule: self.amount.value()}
        self._find(Wanted((), **wanted), "sequence")

    def _find(self, wanted: Wanted, tick: str = "") -> None:
        ws, data = self.desk.ws, self.desk.dataset
        if ws is None or data is None or self.running is not None:
            return

        def done(task: Task) -> None:
            self.running = None
            if task.state == "finished" and tick and ws is self.desk.ws:
                self.ticks[tick].setChecked(True)
                self._changed(now=True)
            self._fill()

        self.running = self.desk.start(
            lambda: tr("Look for copies · {name}", name=data.name),
            lambda: cleaning.find(ws, data.name, wanted),
            done,
        )
        self.running.moved.connect(self._fill)
        self._fill()

    def take_out(self) -> None:
        """Let what is ticked leave the dataset: one step."""
        ws, data, what = self.desk.ws, self.desk.dataset, self.passes()
        if ws is None or data is None or not what or self.running is not None or not self.act.isEnabled():
            return
        held = self.held.isChecked()

        def done(task: Task) -> None:
            self.running = None
            if ws is not self.desk.ws:
                return
            if task.state == "failed":
                self.told.setText(i18n.tr_sentence(task.fault))
            elif task.state == "finished":
                n, kept = (int(str(task.result.get(k) or 0)) for k in ("removed", "kept_labelled"))
                self.step = int(str(task.result.get("step") or 0))
                said = tr("{n} taken out", n=number(n))
                self.told.setText(
                    f"{said} · {tr('{n} that people worked on stayed', n=number(kept))}" if kept else said
                )
            for made in self.ticks.values():
                made.setChecked(False)
            self._changed(now=True)
            self._fill()

        self.running = self.desk.start(
            lambda: tr("Clean · {name}", name=data.name),
            lambda: cleaning.exclude(ws, data.name, what, held=held),
            done,
        )
        self.running.moved.connect(self._fill)
        self._fill()

    def take_back(self) -> None:
        """Bring back what was taken out last."""
        if self.step:
            step, self.step = self.step, 0
            self.told.setText("")
            self.desk.undo_step(step)
            self._fill()

    def keep(self) -> None:
        """Keep the current picture of its group instead of another."""
        ws, data, asset_id = self.desk.ws, self.desk.dataset, self.gallery.asset_now()
        if ws is None or data is None or asset_id is None:
            return

        def done(_: int) -> None:
            self.gallery.grid.forget_groups()
            if self.isVisible():
                self._count_rest()
                self._count()
            self.gallery.rows.refresh()

        self.desk.tasks.writer.submit(lambda: cleaning.keep(ws, data.id, asset_id), done, self.desk.fault)

    # --- texts ---------------------------------------------------------------------------------------------------

    def retranslate(self) -> None:
        """Texts that are made of data."""
        self._texts()
        self._fill()

    def _texts(self) -> None:
        for name, line in self.lines.items():
            self.ticks[name].set_second(f"{'<' if line.below else '>'} {line.value:.2f}")
        self.radius_text.setText(tr("{n} of 64 bits", n=self.radius.value()))
        n = self.amount.value()
        said = {
            "every": tr("one in {n}", n=n),
            "apart_s": tr("{n} s apart", n=n),
            "scene": tr("{n} bits differ", n=n),
        }
        self.amount_text.setText(said[self.rule])

    def _fill(self) -> None:
        known = self.overview
        self.scope.setText(tr("Only of what the query finds: {query}", query=self.base) if self.base else "")
        self.scope.setVisible(bool(self.base))
        missing = known.unmeasured if known is not None else 0
        self.unmeasured.setVisible(missing > 0)
        if missing:
            self.unmeasured_text.setText(tr("{n} pictures are not measured yet", n=number(missing)))
        busy = self.running is not None
        for made in (self.measure, self.again, self.thin):
            made.setEnabled(not busy)
        for name, tick in self.ticks.items():
            looked = name in DULL or name == "corrupt" or (known is not None and name in known.groups)
            tick.set_count(self._number(name) if looked else None)
            tick.setEnabled(looked)
            if name in ("alike", "maybe"):
                tick.setVisible(known is not None and (known.vectors or name in known.groups))
            if known is not None and known.groups.get(name) and name != "sequence":
                tick.set_second(tr("{n} groups", n=number(known.groups[name])))
        self.groups.setEnabled(
            known is not None and any(n for k, n in known.groups.items() if k != "sequence")
        )
        self._fill_foot(busy)

    def _number(self, name: str) -> int | None:
        """How many a reason means, as far as it is known."""
        if name in self.lines:
            values, line = self.values.get(name), self.lines[name]
            return (
                values.beyond(line.value, below=line.below) if values is not None and values.known else None
            )
        count = self.counts.get(name)
        return count.pictures if count is not None else None

    def _fill_foot(self, busy: bool) -> None:
        ticked = self.passes() if self.desk.dataset is not None else []
        whole = self.whole
        stay = whole.held if whole is not None and ticked else 0
        self.held.setVisible(stay > 0)
        self.held.set_count(stay)
        n = 0 if whole is None or not ticked else whole.pictures - (0 if self.held.isChecked() else stay)
        if busy:
            task = self.running
            assert task is not None
            share = f" {round(100 * task.share)} %" if task.share is not None else ""
            self.act.setText(f"{task.caption}{share}")
        elif not ticked:
            self.act.setText(tr("Tick what should leave"))
        elif whole is None:
            self.act.setText(tr("Counting"))
        elif len(ticked) > 1 and any(p.where.startswith("duplicate:") for p in ticked):
            # What is blurred may be the one that was kept: then a copy of it stays.
            self.act.setText(tr("Take out at most {n} pictures", n=number(n)))
        else:
            self.act.setText(tr("Take out {n} pictures", n=number(n)))
        self.act.setAccessibleName(self.act.text())
        self.act.setEnabled(not busy and n > 0)
        self.undo.setVisible(self.step > 0 and not busy)
        self.told.setVisible(bool(self.told.text()) and not ticked)

"""The overview: what waits for you in a sentence, four figures, the datasets, and what is going on."""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from app.desktop import theme, widgets
from app.desktop.activity import TaskCard
from app.desktop.charts import Charts
from app.desktop.desk import Desk
from app.desktop.painted import painted
from app.desktop.panels.classes import queue, waiting
from app.desktop.said import ago, verb_text
from app.desktop.widgets import Elided, Meter, Pill, button, column, frame, label, number, row
from app.i18n import tr
from app.services import browse, labelling
from app.services.browse import DatasetRow, Query

_KEPT = ("schema", "ingest")
"""Steps that this list offers no undo for: it would pull the ground from under the rest."""


class Cover(QWidget):
    """The first picture of a dataset, or a quiet ground."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.asset_id = 0
        self.setFixedSize(132, 96)
        desk.thumbs.came.connect(self._came)

    def _came(self, asset_id: int) -> None:
        if asset_id == self.asset_id:
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            self._draw(p)

    def _draw(self, p: QPainter) -> None:
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        path = QPainterPath()
        path.addRoundedRect(QRectF(self.rect()), 5, 5)
        p.setClipPath(path)
        p.fillRect(self.rect(), QColor(theme.current().raised))
        image = self.desk.thumbs.get(self.asset_id) if self.asset_id else None
        if image is not None:
            factor = max(self.width() / image.width(), self.height() / image.height())
            w, h = self.width() / factor, self.height() / factor
            p.drawImage(
                QRectF(self.rect()), image, QRectF((image.width() - w) / 2, (image.height() - h) / 2, w, h)
            )


class DatasetCard(QFrame):
    """A dataset: cover, name, version, and how far pre-labelling and people are."""

    picked = Signal(int)

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.data: DatasetRow | None = None
        widgets.look(self, "card", hot="true")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        box = column(self, gap=12, margins=(12, 12, 16, 16))
        top = row(gap=12)
        self.cover = Cover(desk)
        top.addWidget(self.cover)
        text = column(gap=4)
        self.name = Elided("", "head")
        self.about = Elided("", "second")
        self.pill = Pill()
        text.addWidget(self.name)
        text.addWidget(self.about)
        text.addSpacing(4)
        text.addWidget(self.pill, 0, Qt.AlignmentFlag.AlignLeft)
        text.addStretch()
        top.addLayout(text, 1)
        box.addLayout(top)
        self.meters: dict[str, tuple[Meter, QLabel]] = {}
        for name, caption, tone in (("seen", "Pre-labelled", "accent"), ("done", "Labelled", "green")):
            line = row(gap=12)
            head = label(caption, "second")
            head.setFixedWidth(88)
            meter = Meter(tone)
            share = label(kind="second")
            share.setFixedWidth(44)
            share.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            line.addWidget(head)
            line.addWidget(meter, 1)
            line.addWidget(share)
            box.addLayout(line)
            self.meters[name] = (meter, share)

    def show_data(self, data: DatasetRow) -> None:
        """Figures of a dataset."""
        fresh = self.data is None or self.data.id != data.id or (data.n_assets and not self.cover.asset_id)
        self.data = data
        self.name.setText(data.name)
        self.setAccessibleName(data.name)
        self.about.setText(tr("{n} pictures · {schema}", n=number(data.n_assets), schema=data.schema_code))
        if data.last_tag:
            self.pill.set(data.last_tag, "green")
        else:
            self.pill.set(tr("no version yet"), "second")
        whole = max(1, data.n_assets)
        for name, n in (("seen", data.n_predicted + data.n_labelled), ("done", data.n_labelled)):
            meter, share = self.meters[name]
            meter.set_share(n / whole)
            share.setText(f"{round(100 * n / whole)} %")
        ws = self.desk.ws
        if fresh and ws is not None:
            query = Query(data.id)
            self.desk.ask(lambda: browse.page(ws, query, limit=1), self._first)

    def _first(self, rows: list[browse.ItemRow]) -> None:
        if rows:
            self.cover.asset_id = rows[0].asset_id
            self.cover.update()

    def mouseReleaseEvent(self, event) -> None:
        if self.data is not None and self.rect().contains(event.position().toPoint()):
            self.picked.emit(self.data.id)

    def keyPressEvent(self, event) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self.data is not None:
            self.picked.emit(self.data.id)
        else:
            super().keyPressEvent(event)


class Figure(QFrame):
    """One figure that matters."""

    def __init__(self, caption: str, tone: str = "") -> None:
        super().__init__()
        widgets.look(self, "card")
        box = column(self, gap=4, margins=(20, 14, 20, 14))
        box.addWidget(label(caption, "second"))
        self.value = label(kind="figure", tone=tone)
        box.addWidget(self.value)
        self.note = label(kind="small")
        box.addWidget(self.note)

    def tell(self, value: str, note: str) -> None:
        """The figure and what stands under it."""
        self.value.setText(value)
        self.note.setText(note)


class Home(QWidget):
    """See the module."""

    picked = Signal(int)

    def __init__(self, desk: Desk, start: dict[str, Callable[[], object]]) -> None:
        super().__init__()
        self.desk, self._start = desk, start
        self._cards: dict[int, DatasetCard] = {}
        self._tasks: list[TaskCard] = []
        self._columns = 3
        self._done: list = []
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        inner = QWidget()
        box = column(inner, gap=16, margins=(40, 28, 40, 28))
        self.sentence = label(kind="title", wrap=True)
        head = row()
        head.addWidget(self.sentence, 1)
        self.again = button("Go on labelling", self._go_on, kind="primary", icon="annotate")
        head.addWidget(self.again)
        box.addLayout(head)

        figures = row(gap=16)
        self.assets = Figure("Pictures")
        self.labelled = Figure("Labelled", "green")
        self.waiting = Figure("To confirm", "accent")
        self.objects = Figure("Objects", "blue")
        for one in (self.assets, self.labelled, self.waiting, self.objects):
            figures.addWidget(one, 1)
        box.addLayout(figures)

        self.head = row()
        self.head.addWidget(label("Datasets", "head"))
        self.head.addStretch()
        self.add = button("Add pictures…", lambda: start["pictures"](), icon="add")
        self.head.addWidget(self.add)
        box.addLayout(self.head)
        held = QWidget()
        self._grid = QGridLayout(held)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(16)
        box.addWidget(held)
        self.empty = self._empty(start)
        box.addWidget(self.empty)

        self.charts = Charts(desk)
        box.addWidget(self.charts)

        below = row(gap=16)
        steps = frame("card")
        self._steps = column(steps, gap=4, margins=(20, 16, 20, 16))
        self._steps.addWidget(label("What was done last", "head"))
        self._steps.addSpacing(4)
        self._steps_body = column(gap=0)
        self._steps.addLayout(self._steps_body)
        self._steps.addStretch()
        going = frame("card")
        self._going = column(going, gap=8, margins=(20, 16, 20, 16))
        self._going.addWidget(label("Going on", "head"))
        self._quiet = label("Nothing runs at the moment.", "second")
        self._going.addWidget(self._quiet)
        self._going.addStretch()
        for card in (steps, going):
            card.setMinimumHeight(184)
            card.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            below.addWidget(card, 1)
        self._below = [steps, going]
        box.addLayout(below)
        box.addStretch()
        self._area = widgets.scroll(inner)
        whole.addWidget(self._area)
        self._stale = False
        desk.counted.connect(self._counted)
        desk.opened.connect(self._reset)
        desk.tasks.started.connect(self._started)
        desk.tasks.ended.connect(lambda _: self._idle())

    def _empty(self, start: dict[str, Callable[[], object]]) -> QWidget:
        """An empty workspace says what to do next."""
        made = frame("card")
        box = column(made, gap=8, margins=(32, 28, 32, 28))
        box.addWidget(label("Three steps to the first dataset", "title"))
        for i, (text, why) in enumerate(
            (
                ("Add a folder of pictures", "They stay where they are and are only read."),
                (
                    "Let a model propose objects",
                    "A small demonstration model is there; add your own ONNX file any time.",
                ),
                (
                    "Confirm and correct, then freeze",
                    "Enter accepts, X rejects; a frozen version can be proved byte by byte.",
                ),
            )
        ):
            line = row(gap=12)
            mark = label(kind="figure", tone="accent")
            mark.setText(str(i + 1))
            mark.setFixedWidth(28)
            line.addWidget(mark)
            texts = column(gap=0)
            texts.addWidget(label(text, "strong"))
            texts.addWidget(label(why, "second"))
            line.addLayout(texts, 1)
            box.addLayout(line)
        box.addSpacing(8)
        foot = row()
        self.first: QPushButton = button(
            "Add pictures…", lambda: start["pictures"](), kind="primary", icon="pictures"
        )
        foot.addWidget(self.first)
        foot.addStretch()
        box.addLayout(foot)
        return made

    def _go_on(self) -> None:
        """Into the queue that matters most: what came back, then what waits to be confirmed, then what has no labels."""
        for code in ("returned", "predicted", "unlabelled", "all"):
            if waiting(self.desk, code) and (query := queue(self.desk, code)) is not None:
                self.desk.look_at(query)
                break
        self._start["annotate"]()

    def _reset(self) -> None:
        for card in self._cards.values():
            card.deleteLater()
        self._cards = {}
        self._done = []
        widgets.clear(self._steps_body)

    def resizeEvent(self, event) -> None:
        columns = max(1, min(3, (self.width() - 80 + 16) // (340 + 16)))
        if columns != self._columns:
            self._columns = columns
            self._arrange()

    def _arrange(self) -> None:
        for i, data in enumerate(self.desk.datasets):
            self._grid.addWidget(self._cards[data.id], i // self._columns, i % self._columns)
        for i in range(3):
            self._grid.setColumnStretch(i, 1 if i < self._columns else 0)

    def _counted(self) -> None:
        """Counts change with every gesture; nobody pays for a page that is not looked at."""
        if self.isVisible():
            self.retranslate()
        else:
            self._stale = True

    def showEvent(self, event) -> None:
        super().showEvent(event)
        if self._stale:
            self.retranslate()

    def retranslate(self) -> None:
        """All figures and sentences again."""
        self._stale = False
        desk, totals = self.desk, self.desk.totals
        if totals is None:
            return
        fresh = False
        for data in desk.datasets:
            card = self._cards.get(data.id)
            if card is None:
                card = self._cards[data.id] = DatasetCard(desk)
                card.picked.connect(self.picked)
                fresh = True
            card.show_data(data)
        if fresh:
            self._arrange()
        empty = not desk.datasets
        self.empty.setVisible(empty)
        self.add.setVisible(not empty)
        self.again.setVisible(not empty)
        for below in self._below:
            below.setVisible(not empty or bool(self.desk.tasks.running))
        assets = sum(d.n_assets for d in desk.datasets)
        labelled = sum(d.n_labelled for d in desk.datasets)
        waiting = sum(d.n_predicted for d in desk.datasets)
        self.assets.tell(number(assets), tr("{n} datasets", n=number(len(desk.datasets))))
        self.labelled.tell(
            number(labelled), tr("{n} % of all pictures", n=round(100 * labelled / max(1, assets)))
        )
        self.waiting.tell(number(waiting), tr("{n} predictions wait", n=number(totals.predictions)))
        self.objects.tell(number(totals.truth), tr("drawn, accepted or imported"))
        self.sentence.setText(self._sentence(assets, labelled, waiting))
        self._show_steps(self._done)
        self._read_steps()

    def _sentence(self, assets: int, labelled: int, waiting: int) -> str:
        hour = time.localtime().tm_hour
        hello = (
            tr("Good morning.") if hour < 12 else tr("Good afternoon.") if hour < 18 else tr("Good evening.")
        )
        if not assets:
            return tr("{hello} This workspace is still empty.", hello=hello)
        if waiting:
            return tr(
                "{hello} {n} pictures have predictions that wait for you.", hello=hello, n=number(waiting)
            )
        if labelled < assets:
            return tr(
                "{hello} {n} pictures are still to be labelled.", hello=hello, n=number(assets - labelled)
            )
        return tr("{hello} Every picture is labelled: time to freeze a version.", hello=hello)

    def _read_steps(self) -> None:
        ws = self.desk.ws
        if ws is not None:
            self.desk.tasks.readers.submit(
                lambda: labelling.steps(ws, limit=5), self._show_steps, self.desk.fault, key="steps"
            )

    def _show_steps(self, steps: list) -> None:
        self._done = steps
        widgets.clear(self._steps_body)
        if not steps:
            self._steps_body.addWidget(label("Nothing has been done yet.", "second"))
        for one in steps:
            line = QWidget()
            line.setFixedHeight(28)
            inside = row(line, gap=8)
            what = Elided(verb_text(one.verb, one.op))
            inside.addWidget(what, 1)
            when = label(kind="second")
            when.setText(f"{one.agent} · {ago(one.at_ms)} · r{one.step}")
            inside.addWidget(when)
            if one.stands and not one.open and one.verb not in _KEPT:
                inside.addWidget(button("Undo", lambda step=one.step: self.desk.undo_step(step), kind="link"))
            self._steps_body.addWidget(line)

    def _started(self, task) -> None:
        card = TaskCard(task, self.desk.report_asked.emit)
        self._tasks.insert(0, card)
        self._going.insertWidget(1, card)
        for old in self._tasks[3:]:
            old.hide()
            old.deleteLater()
        del self._tasks[3:]
        self._quiet.setVisible(False)
        for one in self._below:
            one.setVisible(True)

    def _idle(self) -> None:
        self._quiet.setVisible(not self._tasks)

"""The sheet that orders what waits: which models tell, how much each part counts, and the first ten as one moves a slider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QGridLayout, QSlider, QWidget
from shiboken6 import isValid

from app.desktop import widgets
from app.desktop.home import Cover
from app.desktop.overlaid import Sheet
from app.desktop.panels.worth import words
from app.desktop.widgets import Elided, Meter, button, column, label, number, row, say
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.tasks import Task
    from app.desktop.window import Window
    from app.services.worth import Latest, Parts, Row, Weights

FIRST = 10
CAPTIONS = (
    ("uncertainty", "Unsure"),
    ("disagreement", "Disagreement"),
    ("rarity", "Rare classes"),
    ("diversity", "Unlike"),
)
FACTS = {
    "uncertainty": "Scores near the threshold",
    "disagreement": "Two models found different objects",
    "rarity": "Classes with little truth so far",
    "diversity": "Unlike what is labelled and what comes before",
}
MOST = 5


def ask(window: Window) -> None:
    """Show the sheet for the dataset at hand."""
    desk = window.desk
    ws, data = desk.ws, desk.dataset
    if ws is None or data is None or data.n_assets == 0:
        window.sheets.add_pictures()
        return

    def read() -> tuple[list[str], Latest | None]:
        from app.services import onnx, worth

        names = [m.name for m in onnx.listing(ws) if m.card.task not in ("embed", "read")]
        return names, worth.latest(ws, data.id)

    def known(got: tuple[list[str], Latest | None]) -> None:
        sheet = WorthSheet(window, *got)
        window.sheets.hold(sheet)
        sheet.present(sheet.sliders["uncertainty"])
        sheet.read()

    desk.ask(read, known)


class WorthSheet(Sheet):
    """See the module. It stays while the pictures are looked at, so that weights are tried on what was found."""

    def __init__(self, window: Window, models: list[str], latest: Latest | None) -> None:
        about = tr("Pictures that wait, in the order in which labelling them teaches a model most. Nothing of the dataset is changed.")  # fmt: skip
        super().__init__(window.body, "Worth labelling first", about, "Use this order", self._use, width=940)
        self.window_, self.desk, self.latest = window, window.desk, latest
        self.ws, self.data = window.desk.ws, window.desk.dataset
        self.parts: Parts | None = None
        self.looking = False
        told = list(latest.models) if latest is not None else models[-1:]
        options = [(n, n) for n in dict.fromkeys([*told, *models])]
        self.model = self.choices("Model", options or [("", tr("None: only what pictures look like"))], told[0] if told else "", self._chosen)  # fmt: skip
        if len(options) > 1:
            self.other = self.choices("A second model", [("", tr("No other")), *options], told[1] if len(told) > 1 else "", self._chosen)  # fmt: skip
        else:
            self.other = lambda: ""
        middle = row(gap=28)
        middle.addWidget(self._sliders(latest), 3)
        middle.addWidget(self._preview(), 5)
        self.body.addLayout(middle)

    def _sliders(self, latest: Latest | None) -> QWidget:
        from app.services.worth import Weights

        held = QWidget()
        box = column(held, gap=10)
        box.addWidget(label("How much each counts", "caption"))
        by = dict(zip(FACTS, (latest.weights if latest else Weights()).all(), strict=True))
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(2)
        self.sliders: dict[str, QSlider] = {}
        for i, (code, text) in enumerate(CAPTIONS):
            note = FACTS[code]
            slider = say(QSlider(Qt.Orientation.Horizontal), spoken=text, tip=note)
            slider.setRange(0, max(MOST, by[code]))
            slider.setPageStep(1)
            slider.setValue(by[code])
            slider.setMinimumWidth(110)
            figure = label(kind="strong")
            figure.setFixedWidth(20)
            figure.setText(number(slider.value()))
            slider.valueChanged.connect(lambda v, figure=figure: figure.setText(number(v)))
            slider.valueChanged.connect(lambda _: self._rank())
            grid.addWidget(label(text), 3 * i, 0)
            grid.addWidget(slider, 3 * i, 1)
            grid.addWidget(figure, 3 * i, 2)
            grid.addWidget(label(note, "small", wrap=True), 3 * i + 1, 0, 1, 3)
            grid.setRowMinimumHeight(3 * i + 2, 8)
            self.sliders[code] = slider
        grid.setColumnStretch(1, 1)
        box.addLayout(grid)
        self.anew = button("Look anew", self._look)
        self.anew.setToolTip(tr("Go through the predictions again: after more labels, or with other models"))
        line = row()
        line.addWidget(self.anew)
        line.addStretch()
        box.addLayout(line)
        box.addStretch()
        return held

    def _preview(self) -> QWidget:
        held = QWidget()
        box = column(held, gap=6)
        self.head = label(kind="caption")
        box.addWidget(self.head)
        self.list = QWidget()
        self.lines = column(self.list, gap=6, margins=(0, 0, 8, 0))
        self.lines.setAlignment(Qt.AlignmentFlag.AlignTop)
        area = widgets.scroll(self.list)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFixedHeight(330)
        say(area, spoken="The first ten")
        box.addWidget(area)
        return held

    # --- what was found ------------------------------------------------------------------------------------------

    def weights(self) -> Weights | None:
        """As the sliders stand; None when all are 0."""
        from app.services.worth import Weights

        given = [self.sliders[code].value() for code in FACTS]
        return Weights(*given) if any(given) else None

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that are chosen."""
        return tuple(dict.fromkeys(n for n in (self.model(), self.other()) if n))

    @property
    def fresh(self) -> bool:
        """What was found is of the models that are chosen."""
        return self.latest is not None and self.latest.models == self.models

    def read(self) -> None:
        """Read the parts of the queue, then rank them."""
        ws, data = self.ws, self.data
        if ws is None or data is None:
            return

        def work() -> tuple[Parts, Latest | None]:
            from app.services import worth

            *_, whole = worth.parts(ws, data.id)
            assert isinstance(whole, worth.Parts)
            return whole, worth.latest(ws, data.id)

        def done(got: tuple[Parts, Latest | None]) -> None:
            if isValid(self):
                self.parts, self.latest = got
                self._rank()

        self.desk.tasks.readers.submit(work, done, self.desk.fault, key="worth parts")

    def _chosen(self, _: str) -> None:
        self._rank()

    def _rank(self) -> None:
        """The first ten by the sliders; the button says what it does."""
        weights = self.weights()
        usable = self.fresh and self.parts is not None and bool(len(self.parts.ids))
        say(self.verb, "Use this order" if self.fresh else "Look now")
        self.verb.setEnabled(weights is not None and not self.looking)
        self.anew.setVisible(self.fresh)
        self.anew.setEnabled(weights is not None and not self.looking)
        self.show_fault("" if weights is not None else tr("Give at least one of them some weight."))
        if self.looking:
            self.head.setText(tr("Looking at the predictions…"))
        elif not usable:
            self._show([], None)
            self.head.setText(
                tr("No picture waits to be labelled.") if self.fresh else tr("Look, and the first ten stand here.")
            )  # fmt: skip
        elif weights is not None and self.parts is not None:
            self._fill(self.parts.first(weights, FIRST), weights, len(self.parts.ids))

    def _fill(self, top: list[tuple[int, int]], weights: Weights, n: int) -> None:
        ws, data = self.ws, self.data
        if ws is None or data is None:
            return

        def read() -> dict[int, Row]:
            from app.services import worth

            return worth.rows(ws, data.id, [asset for asset, _ in top])

        def done(found: dict[int, Row]) -> None:
            if isValid(self):
                self._show([(value, found[asset]) for asset, value in top if asset in found], weights)
                self.head.setText(tr("The first of {n} pictures", n=number(n)))

        self.desk.tasks.readers.submit(read, done, self.desk.fault, key="worth first")

    def _show(self, found: list[tuple[int, Row]], weights: Weights | None) -> None:
        widgets.clear(self.lines)
        for value, one in found:
            assert weights is not None
            self.lines.addWidget(Line(self.desk, value, one, words(self.desk, one, weights)))

    # --- what is done --------------------------------------------------------------------------------------------

    def _look(self) -> None:
        ws, data, weights, models = self.ws, self.data, self.weights(), self.models
        if ws is None or data is None or weights is None:
            return

        def work() -> Any:
            from app.services import worth

            first, second = (*models, None, None)[:2]
            return worth.run(ws, worth.Ask(data.name, first, second, weights))

        def done(task: Task) -> None:
            if isValid(self):
                self.looking = False
                self.read() if task.state == "finished" else self._rank()

        self.looking = True
        self._rank()
        self.desk.start(lambda: tr("Worth labelling · {name}", name=data.name), work, done)

    def _use(self) -> None:
        ws, data, weights = self.ws, self.data, self.weights()
        if ws is None or data is None or weights is None:
            return
        if not self.fresh:
            self._look()
            return

        def work() -> Any:
            from app.services import worth

            return worth.again(ws, data.name, weights)

        window = self.window_
        self.finish()
        if self.latest is not None and self.latest.weights != weights:
            self.desk.start(
                lambda: tr("Worth labelling · {name}", name=data.name), work, lambda _: follow(window)
            )
        else:
            follow(window)


def follow(window: Window) -> None:
    """The pictures of the dataset in the order of the queue, in the gallery and from picture to picture."""
    desk = window.desk
    if desk.query is not None:
        desk.look_at(desk.query, worth=True)
        window.gallery.show_objects(False)


class Line(QWidget):
    """A picture of the preview: thumbnail, how much it is worth, why."""

    def __init__(self, desk: Any, value: int, one: Row, said: str) -> None:
        super().__init__()
        line = row(self, gap=12)
        self.cover = Cover(desk)
        self.cover.setFixedSize(60, 44)
        self.cover.asset_id = one.asset_id
        line.addWidget(self.cover)
        box = column(gap=3)
        top = row(gap=8)
        name = Elided(one.path.rpartition("/")[2])
        top.addWidget(name, 1)
        figure = label(kind="small")
        figure.setText(f"{value / 1000:.2f}")
        top.addWidget(figure)
        box.addLayout(top)
        meter = Meter(height=3)
        meter.set_share(value / 1000)
        box.addWidget(meter)
        why = Elided(said, "small")
        why.setToolTip(said.replace(" · ", "\n"))
        box.addWidget(why)
        line.addLayout(box, 1)
        self.setAccessibleName(f"{one.path}: {said}")

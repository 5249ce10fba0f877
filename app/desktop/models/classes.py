"""Which class of a model becomes which label: proposed by name and synonym, never added to the schema without being chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QLineEdit, QSizePolicy, QSlider, QWidget

from annotation import canonical
from annotation.schema import LabelSchema
from app import i18n
from app.desktop import widgets
from app.desktop.models.asking import Combo
from app.desktop.widgets import button, column, label, number, row, say
from app.i18n import tr

if TYPE_CHECKING:
    from app.services.recipebook import Recipe

MICRO = canonical.MICRO
SHOWN = 120
"""Rows that are shown at once; the search line finds the rest."""
HOW = {"name": "by name", "synonym": "synonym", "": "unknown"}


class NoWheel(QObject):
    """A wheel over a closed list scrolls what lies under it instead of choosing another value."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False


class _Line(QWidget):
    """One class: its name, what it becomes, its own threshold."""

    changed = Signal()

    def __init__(
        self, name: str, how: str, options: Sequence[tuple[str, str]], target: str, score: int | None
    ) -> None:
        super().__init__()
        self.name = name
        self._no_wheel = NoWheel(self)
        line = row(self, gap=10, margins=(0, 1, 0, 1))
        text = widgets.Elided(name)
        text.setToolTip(name)
        text.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        text.setFixedWidth(190)
        line.addWidget(text)
        self.how = label(kind="small", tone="" if how else "accent")
        self.how.setText(tr(HOW[how]))
        self.how.setFixedWidth(64)
        line.addWidget(self.how)
        self.combo = Combo()
        self.combo.setAccessibleName(tr("{name} becomes", name=name))
        for code, shown in options:
            self.combo.addItem(shown, code)
        own = self.combo.findData(target)
        if own < 0:
            self.combo.addItem(tr("New label “{name}”", name=target), target)
            own = self.combo.count() - 1
        self.combo.setCurrentIndex(own)
        self.combo.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # the wheel scrolls the table
        self.combo.installEventFilter(self._no_wheel)
        self.combo.activated.connect(lambda _: self.changed.emit())
        line.addWidget(self.combo, 1)
        self.score = QDoubleSpinBox()
        for part in (self.score, self.score.lineEdit()):
            part.setAccessibleName(tr("Lowest score of {name}", name=name))
        self.score.setRange(0.0, 1.0)
        self.score.setSingleStep(0.05)
        self.score.setSpecialValueText("–")
        self.score.setValue((score or 0) / MICRO)
        self.score.setFixedWidth(86)
        self.score.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.score.installEventFilter(self._no_wheel)
        self.score.valueChanged.connect(lambda _: self.changed.emit())
        line.addWidget(self.score)


class ClassesPage(QWidget):
    """See the module."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._names: tuple[str, ...] = ()
        self._how: dict[str, str] = {}
        self._target: dict[str, str] = {}
        self._scores: dict[str, int] = {}
        self._schema: LabelSchema | None = None
        self._own_score: int | None = None
        self.lines: dict[str, _Line] = {}
        box = column(self, gap=10)
        top = row(gap=12)
        top.addWidget(label("Lowest score", "caption"))
        self.slider = say(QSlider(Qt.Orientation.Horizontal), spoken="Lowest score")
        self.slider.setRange(5, 95)
        self.slider.valueChanged.connect(self._slid)
        top.addWidget(self.slider, 1)
        self.least = label(kind="strong")
        self.least.setFixedWidth(40)
        top.addWidget(self.least)
        box.addLayout(top)
        tools = row(gap=8)
        self.search = say(QLineEdit(), hint="Find a class")
        self.search.textChanged.connect(lambda _: self._fill())
        tools.addWidget(self.search, 1)
        self.drop = button("Leave the unknown out", lambda: self._unknown(False), kind="link")
        self.take = button("New labels for the unknown", lambda: self._unknown(True), kind="link")
        tools.addWidget(self.drop)
        tools.addWidget(self.take)
        box.addLayout(tools)
        head = row(gap=10)
        for text, width in (("Class of the model", 264), ("Label", 0), ("Own score", 98)):
            made = label(text, "small")
            if width:
                made.setFixedWidth(width)
            head.addWidget(made, 0 if width else 1)
        box.addLayout(head)
        held = QWidget()
        self._list = column(held, gap=0, margins=(0, 0, 12, 0))
        self._list.setAlignment(Qt.AlignmentFlag.AlignTop)
        box.addWidget(widgets.scroll(held), 1)
        self.more = label(kind="small")
        box.addWidget(self.more)

    # --- in and out ----------------------------------------------------------------------------------------------

    def show_model(self, card: Any, proposals: Sequence[Any], schema: LabelSchema) -> None:
        """The classes of a model; each proposal as a start, what is unknown left out until somebody chooses."""
        self._schema = schema
        self._names = tuple(card.labels)
        self._how = {p.name: p.how for p in proposals}
        self._target = {p.name: p.code or "" for p in proposals}
        self._scores = {}
        self._own_score = card.score_micro
        self.slider.setValue(round(card.score * 100))
        self._slid(self.slider.value())
        self._fill()

    def show_recipe(self, recipe: Recipe) -> None:
        """A recipe over the proposals: what it names counts."""
        named = dict(recipe.mapping)
        for name in self._names:
            if name in named:
                self._target[name] = self._resolved(named[name])
            elif recipe.others == "drop":
                self._target[name] = ""
        self._scores = {n: v for n, v in recipe.class_scores if n in self._names}
        if recipe.score_micro is not None:
            self.slider.setValue(round(recipe.score_micro / MICRO * 100))
        self._fill()
        self.changed.emit()

    def mapping(self) -> tuple[tuple[str, str], ...]:
        """(class, label code or new name; "" = left out), every class named."""
        return tuple((name, self._target.get(name, "")) for name in self._names)

    def scores(self) -> tuple[tuple[str, int], ...]:
        """(class, own threshold in millionths)."""
        return tuple((n, v) for n, v in self._scores.items() if v and self._target.get(n))

    def score_micro(self) -> int:
        """The threshold of the rest."""
        if self._own_score is not None and round(self._own_score / MICRO * 100) == self.slider.value():
            return self._own_score
        return round(self.slider.value() * MICRO / 100)

    def new_labels(self) -> list[str]:
        """Names that would be added to the schema."""
        known = {la.code for la in self._schema.labels} if self._schema else set()
        return list(dict.fromkeys(t for t in self._target.values() if t and t not in known))

    @property
    def kept(self) -> int:
        """Classes that become something."""
        return sum(1 for name in self._names if self._target.get(name))

    def said(self) -> str:
        """For the list of pages."""
        return f"{number(self.kept)} / {number(len(self._names))}" if self._names else "–"

    # --- the table -----------------------------------------------------------------------------------------------

    def _resolved(self, target: str) -> str:
        code = self._schema.resolve(target) if self._schema and target else None
        return code or target

    def _options(self) -> list[tuple[str, str]]:
        assert self._schema is not None
        language = i18n.language()
        known = [
            (la.code, f"{la.name(language)}  {la.code}" if la.name(language) != la.code else la.code)
            for la in self._schema.drawable()
        ]
        return [("", tr("Not used")), *known]

    def _fill(self) -> None:
        if self._schema is None:
            return
        widgets.clear(self._list)
        self.lines = {}
        wanted = self.search.text().strip().casefold()
        fitting = [n for n in self._names if wanted in n.casefold()]
        # What has a label first: of eighty classes three matter.
        fitting.sort(key=lambda n: not self._target.get(n))
        options = self._options()
        known = {code for code, _ in options}
        for name in fitting[:SHOWN]:
            target = self._target.get(name, "")
            own = options if name in known else [*options, (name, tr("New label “{name}”", name=name))]
            line = _Line(name, self._how.get(name, ""), own, target, self._scores.get(name))
            line.changed.connect(lambda line=line: self._chosen(line))
            self.lines[name] = line
            self._list.addWidget(line)
        self.more.setText(
            tr("{n} more: search for them", n=number(len(fitting) - SHOWN)) if len(fitting) > SHOWN else ""
        )
        self.more.setVisible(len(fitting) > SHOWN)
        self._enable()

    def _chosen(self, line: _Line) -> None:
        self._target[line.name] = str(line.combo.currentData() or "")
        self._scores[line.name] = round(line.score.value() * MICRO)
        self._enable()
        self.changed.emit()

    def _unknown(self, take: bool) -> None:
        for name in self._names:
            if not self._how.get(name):
                self._target[name] = name if take else ""
        self._fill()
        self.changed.emit()

    def _enable(self) -> None:
        unknown = [n for n in self._names if not self._how.get(n)]
        self.take.setEnabled(any(not self._target.get(n) for n in unknown))
        self.drop.setEnabled(any(self._target.get(n) for n in unknown))

    def _slid(self, value: int) -> None:
        self.least.setText(f"{value / 100:.2f}")
        self.changed.emit()

"""The label schema under a person's hand: classes, their names, shapes, rules and attributes; what a change would do.

The draft lives here only. It is checked as a schema file is; what it would do to the annotations is counted before it
becomes the next version, and annotations of retired classes can then be given their successor.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QLineEdit, QPlainTextEdit, QPushButton, QSplitter, QVBoxLayout, QWidget
from shiboken6 import isValid

from annotation import labels
from annotation.errors import InvalidFile, LamproomError
from annotation.schema import ATTRIBUTE_TYPES, KINDS, PALETTE, Attribute, Choice, Label, LabelSchema
from app import i18n
from app.desktop import theme, widgets
from app.desktop.desk import Desk
from app.desktop.panels.flow import Flow
from app.desktop.widgets import Row, button, column, frame, label, look, number, row, say
from app.i18n import tr, tr_fault
from app.services.impact import Impact

KIND_NAMES = {
    "box": "Box",
    "rotated_box": "Rotated box",
    "quad": "Quadrilateral",
    "polygon": "Polygon",
    "ellipse": "Ellipse",
    "cuboid": "Cuboid",
    "polyline": "Line",
    "points": "Points",
    "keypoints": "Skeleton",
    "mask": "Mask",
    "tag": "Tag",
    "caption": "Caption",
}
_TYPE_NAMES = {"choice": "One of several", "flag": "Yes or no", "text": "Text", "number": "Number"}
_SETTLE_MS = 250


class Swatches(QWidget):
    """Colours to choose from: those no other class has come first."""

    picked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._flow = Flow(gap=4)
        self.setLayout(self._flow)

    def show_colours(self, now: str, taken: set[str]) -> None:
        """The palette, with the class's own colour marked."""
        widgets.clear(self._flow)
        free = [c for c in PALETTE if c not in taken or c == now][:24]
        for colour in dict.fromkeys([now, *free]):
            made = _Swatch(colour, colour == now)
            made.clicked.connect(lambda _=False, colour=colour: self.picked.emit(colour))
            self._flow.addWidget(made)


class _Swatch(widgets.Painted):
    def __init__(self, colour: str, now: bool) -> None:
        super().__init__(24)
        self._colour, self._now = colour, now
        self.setFixedWidth(24)
        self.setAccessibleName(colour)
        self.setToolTip(colour)

    def draw(self, p: QPainter) -> None:
        box = self.rect().adjusted(3, 3, -3, -3)
        widgets.draw_swatch(p, box.toRectF(), self._colour)
        if self._now:
            p.setPen(QColor(theme.current().text))
            p.setBrush(Qt.BrushStyle.NoBrush)
            p.drawRoundedRect(self.rect().adjusted(1, 1, -1, -1), 5, 5)


class Editor(QWidget):
    """See the module. `changed` tells that draft or findings are others."""

    changed = Signal()

    def __init__(self, desk: Desk, schema: LabelSchema) -> None:
        super().__init__()
        self.desk, self.old, self.draft = desk, schema, schema
        self.faults: list[str] = []
        self.found: list[Impact] | None = None
        self.code: str | None = next((la.code for la in schema.labels), None)
        self._filling = False
        self._ticket = 0
        self._settle = QTimer(self, singleShot=True, interval=_SETTLE_MS)
        self._settle.timeout.connect(self._examine)
        box = column(self, gap=12)
        split = QSplitter(Qt.Orientation.Horizontal)
        split.setChildrenCollapsible(False)
        split.addWidget(self._list())
        split.addWidget(self._form())
        split.setSizes([260, 640])
        box.addWidget(split, 1)
        self._impact = frame("inset")
        self._impact.setMinimumHeight(96)
        self._said = column(self._impact, gap=4, margins=(14, 10, 14, 10))
        box.addWidget(self._impact)
        self._fill_list()
        self._show()
        self._examine()

    # --- the two sides -----------------------------------------------------------------------------------------------

    def _list(self) -> QWidget:
        held = QWidget()
        box = column(held, gap=8, margins=(0, 0, 12, 0))
        self.wanted = say(look(QLineEdit(), "find"), hint="Find a class")
        self.wanted.textChanged.connect(lambda _: self._fill_list())
        box.addWidget(self.wanted)
        inner = QWidget()
        self._rows_box = column(inner, gap=2)
        self._rows_box.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._rows: dict[str, Row] = {}
        box.addWidget(widgets.scroll(inner), 1)
        line = row(gap=8)
        line.addWidget(button("Add a class", self.add, icon="add"))
        line.addStretch()
        box.addLayout(line)
        return held

    def _form(self) -> QWidget:
        inner = QWidget()
        box = column(inner, gap=14, margins=(12, 0, 12, 0))
        self._fields: dict[str, QLineEdit] = {}
        names = row(gap=12)
        for key, text in (("name_zh", "Chinese name"), ("name_en", "English name"), ("key", "Digit key")):
            names.addLayout(self._field(key, text), 1 if key == "key" else 3)
        box.addLayout(names)
        box.addLayout(self._field("aliases", "Other names, separated by commas"))
        self.colours = Swatches()
        self.colours.picked.connect(lambda colour: self._set(color=colour))
        box.addLayout(_captioned("Colour", self.colours))
        kinds = QWidget()
        flow = Flow(gap=6)
        kinds.setLayout(flow)
        self._kinds: dict[str, QPushButton] = {}
        for kind in KIND_NAMES:
            made = say(look(QPushButton(), "choice"), KIND_NAMES[kind])
            made.setCheckable(True)
            made.clicked.connect(lambda _=False: self._set(kinds=self._checked_kinds()))
            self._kinds[kind] = made
            flow.addWidget(made)
        box.addLayout(_captioned("May be drawn as", kinds))
        rules = row(gap=12)
        self._rules: dict[str, QPlainTextEdit] = {}
        for key, text in (("rule_zh", "Rule in Chinese"), ("rule_en", "Rule in English")):
            edit = QPlainTextEdit()
            edit.setFixedHeight(92)
            edit.setAccessibleName(tr(text))
            edit.setTabChangesFocus(True)
            edit.textChanged.connect(
                lambda key=key, edit=edit: self._set(**{key: edit.toPlainText().strip()})
            )
            self._rules[key] = edit
            rules.addLayout(_captioned(text, edit))
        box.addLayout(rules)
        self._attributes = column(gap=6)
        head = column(gap=4)
        head.addWidget(label("Attributes", "caption"))
        head.addLayout(self._attributes)
        line = row(gap=8)
        line.addWidget(button("Add an attribute", self.add_attribute, icon="add"))
        line.addStretch()
        head.addLayout(line)
        box.addLayout(head)
        self._retired = row(gap=8)
        self.successor = say(QLineEdit(), hint="Its successor: name or code")
        self.successor.editingFinished.connect(self._retire)
        box.addLayout(_captioned("Retired in favour of (empty: in use)", self.successor))
        box.addStretch()
        return widgets.scroll(inner)

    def _field(self, key: str, text: str) -> QVBoxLayout:
        edit = QLineEdit()
        edit.setAccessibleName(tr(text))
        edit.textEdited.connect(lambda value, key=key: self._typed(key, value))
        self._fields[key] = edit
        return _captioned(text, edit)

    # --- list --------------------------------------------------------------------------------------------------------

    def _fill_list(self) -> None:
        widgets.clear(self._rows_box)
        self._rows = {}
        wanted = self.wanted.text().strip().casefold()
        for one in self.draft.labels:
            text = f"{one.name_zh} {one.name_en} {one.code} {' '.join(one.aliases)}".casefold()
            if wanted not in text:
                continue
            made = Row(one.name(i18n.language()), swatch="" if one.abstract else one.color, key=one.key or "")
            second = tr("group") if one.abstract else tr("retired") if one.retired_to else ""
            made.second = second or (one.name_en if i18n.language().startswith("zh") else one.name_zh)
            made.setChecked(one.code == self.code)
            made.clicked.connect(lambda _=False, code=one.code: self.choose(code))
            self._rows[one.code] = made
            self._rows_box.addWidget(made)

    def choose(self, code: str) -> None:
        """Edit another class."""
        self.code = code
        for name, made in self._rows.items():
            made.setChecked(name == code)
        self._show()

    def now(self) -> Label | None:
        """The class in hand."""
        return self.draft.label(self.code) if self.code else None

    def _show(self) -> None:
        """Fill the form from the class in hand."""
        one = self.now()
        if one is None:
            return
        self._filling = True
        for key, edit in self._fields.items():
            value = ", ".join(one.aliases) if key == "aliases" else getattr(one, key) or ""
            if edit.text() != value:
                edit.setText(value)
        for key, area in self._rules.items():
            if area.toPlainText() != getattr(one, key):
                area.setPlainText(getattr(one, key))
        for kind, made in self._kinds.items():
            made.setChecked(kind in one.kinds)
            made.setEnabled(not one.abstract)
        self.colours.show_colours(one.color, {la.color for la in self.draft.labels})
        self.successor.setText(one.retired_to or "")
        self._show_attributes(one)
        self._filling = False

    def _show_attributes(self, one: Label) -> None:
        widgets.clear(self._attributes)
        for a in one.attributes:
            self._attributes.addWidget(_AttributeLine(a, self._put_attribute, self._drop_attribute))

    # --- changes -----------------------------------------------------------------------------------------------------

    def _set(self, **values: object) -> None:
        one = self.now()
        if self._filling or one is None:
            return
        new = replace(one, **values)  # type: ignore[arg-type]
        if new == one:
            return
        self._put(tuple(new if la.code == one.code else la for la in self.draft.labels))
        if "color" in values:
            self.colours.show_colours(new.color, {la.color for la in self.draft.labels})

    def _put(self, all_labels: tuple[Label, ...]) -> None:
        self.draft = replace(self.draft, labels=all_labels)
        self._fill_list()
        self._settle.start()

    def _typed(self, key: str, value: str) -> None:
        if key == "aliases":
            self._set(
                aliases=tuple(dict.fromkeys(a.strip() for a in re.split(r"[,，、]", value) if a.strip()))
            )
        elif key == "key":
            self._set(key=value.strip()[:1] or None)
        else:
            self._set(**{key: value.strip()})

    def _checked_kinds(self) -> frozenset[str]:
        return frozenset(k for k, made in self._kinds.items() if made.isChecked()) & KINDS

    def add(self) -> None:
        """A new class at the end: class ids follow the order, so classes are only ever added."""
        taken = {la.code for la in self.draft.labels}
        n = next(i for i in range(1, 10_000) if f"class_{i}" not in taken)
        colours = {la.color for la in self.draft.labels}
        colour = next((c for c in PALETTE if c not in colours), PALETTE[0])
        made = Label(f"class_{n}", f"新类别 {n}", f"new class {n}", colour, frozenset({"box", "polygon"}))
        self.code = made.code
        self.wanted.clear()
        self._put((*self.draft.labels, made))
        self._show()
        self._fields["name_zh"].setFocus()
        self._fields["name_zh"].selectAll()

    def add_attribute(self) -> None:
        """A new attribute of the class in hand: a yes or no until it is made another."""
        one = self.now()
        if one is None or one.abstract:
            return
        taken = {a.code for la in self.draft.labels for a in la.attributes}
        n = next(i for i in range(1, 10_000) if f"attribute_{i}" not in taken)
        new = Attribute(f"attribute_{n}", f"属性 {n}", f"attribute {n}", "flag")
        self._set(attributes=(*one.attributes, new))
        self._show()

    def _put_attribute(self, new: Attribute) -> None:
        """Other facts of an attribute; one code means the same thing in every class that has it."""
        self._put(
            tuple(
                replace(la, attributes=tuple(new if a.code == new.code else a for a in la.attributes))
                for la in self.draft.labels
            )
        )

    def _drop_attribute(self, code: str) -> None:
        one = self.now()
        if one is not None:
            self._set(attributes=tuple(a for a in one.attributes if a.code != code))
            self._show()

    def _retire(self) -> None:
        one, text = self.now(), self.successor.text().strip()
        if one is None:
            return
        code = self.draft.resolve(text) if text else None
        if text and (code is None or code == one.code):
            self.faults = [tr("there is no class {name}", name=text)]
            self._tell()
            return
        self._set(retired_to=code)
        self.successor.setText(code or "")

    # --- what it would do --------------------------------------------------------------------------------------------

    def _examine(self) -> None:
        """Check the draft as a file is checked, then count on a reader what it would change."""
        self._settle.stop()
        self._ticket += 1
        ticket, ws = self._ticket, self.desk.ws
        try:
            labels.loads(labels.dumps(self.draft), self.draft.code)
            self.faults = []
        except InvalidFile as fault:
            self.faults = [tr_fault(p) for p in fault.problems[:6]]
        except LamproomError as fault:
            self.faults = [tr_fault(fault)]
        self.found = None
        self._tell()
        if self.faults or ws is None or self.draft == self.old:
            return
        draft = self.draft

        def work() -> list[Impact]:
            from app.services import impact

            return impact.impact(ws, draft)

        def done(found: list[Impact]) -> None:
            if isValid(self) and ticket == self._ticket:
                self.found = found
                self._tell()

        self.desk.tasks.readers.submit(work, done, self.desk.fault, key="impact")

    @property
    def ready(self) -> bool:
        """True when the draft may become the next version."""
        return (
            not self.faults
            and self.draft != self.old
            and self.found is not None
            and not any(i.what == "missing" for i in self.found)
        )

    def sentences(self) -> list[tuple[str, str]]:
        """(tone, sentence) of what is to be known before applying."""
        if self.faults:
            return [("red", f) for f in self.faults]
        if self.draft == self.old:
            return [("second", tr("Nothing is changed yet."))]
        if self.found is None:
            return [("second", tr("Counting what this would change…"))]
        touched = [(_TONES[i.what], self._sentence(i)) for i in self.found if i.n or i.what == "missing"]
        return touched or [("green", tr("No annotation is touched by this."))]

    def _sentence(self, i: Impact) -> str:
        name, n = self.desk.label_name(i.label), number(i.n)
        match i.what:
            case "missing":
                return tr("{label} is gone but {n} annotations use it: retire it instead", label=name, n=n)
            case "retired":
                one = self.draft.label(i.to or "")
                to = one.name(i18n.language()) if one else i.to
                return tr("{n} annotations of {label} can be forwarded to {to}", label=name, n=n, to=to)
            case "kind":
                kind = tr(KIND_NAMES.get(i.detail, i.detail))
                return tr(
                    "{n} annotations of {label} are drawn as {kind}, which it may not be",
                    label=name,
                    n=n,
                    kind=kind,
                )
            case "attribute":
                return tr(
                    "{n} annotations of {label} hold a value of {attribute} that is no more",
                    label=name,
                    n=n,
                    attribute=i.detail,
                )
            case "required":
                return tr(
                    "{n} annotations of {label} lack {attribute}, now required",
                    label=name,
                    n=n,
                    attribute=i.detail,
                )
        return tr("{label} looks or is called different on {n} annotations", label=name, n=n)

    def _tell(self) -> None:
        widgets.clear(self._said)
        for tone, text in self.sentences()[:6]:
            line = row(gap=8)
            line.addWidget(widgets.Dot(tone))
            said = label(kind="second", wrap=True)
            said.setText(text)
            line.addWidget(said, 1)
            held = QWidget()
            held.setLayout(line)
            self._said.addWidget(held)
        self._said.addStretch()
        self.changed.emit()


_TONES = {
    "missing": "red",
    "retired": "accent",
    "kind": "red",
    "attribute": "red",
    "required": "accent",
    "renamed": "second",
}


class _AttributeLine(QWidget):
    """One attribute: its names, type, choices, whether it is required; and taking it away."""

    def __init__(self, a: Attribute, put: Callable[[Attribute], None], drop: Callable[[str], None]) -> None:
        super().__init__()
        self._a, self._put = a, put
        inset = frame("inset")
        outer = column(self, gap=0)
        outer.addWidget(inset)
        box = column(inset, gap=6, margins=(10, 8, 10, 8))
        line = row(gap=6)
        for key, text in (("name_zh", "Chinese name"), ("name_en", "English name")):
            edit = QLineEdit(getattr(a, key))
            edit.setAccessibleName(tr(text))
            edit.editingFinished.connect(lambda key=key, edit=edit: self._set(**{key: edit.text().strip()}))
            line.addWidget(edit, 2)
        self.required = say(look(QPushButton(), "choice"), "Required")
        self.required.setCheckable(True)
        self.required.setChecked(a.required)
        self.required.clicked.connect(lambda on: self._set(required=on))
        line.addWidget(self.required)
        line.addWidget(button("Remove", lambda: drop(a.code), kind="link"))
        box.addLayout(line)
        second = row(gap=6)
        for kind in ATTRIBUTE_TYPES:
            made = say(look(QPushButton(), "choice"), _TYPE_NAMES[kind])
            made.setCheckable(True)
            made.setChecked(kind == a.type)
            made.clicked.connect(lambda _=False, kind=kind: self._type(kind))
            second.addWidget(made)
        second.addStretch()
        box.addLayout(second)
        if a.type == "choice":
            shown = ", ".join(f"{c.code}={c.name_zh}/{c.name_en}" for c in a.choices)
            self.choices = say(QLineEdit(shown), hint="worn=规范/worn, wrong=不规范/wrong")
            self.choices.setAccessibleName(tr("Choices: code=Chinese/English"))
            self.choices.editingFinished.connect(self._choices)
            box.addWidget(self.choices)

    def _set(self, **values: object) -> None:
        new = replace(self._a, **values)  # type: ignore[arg-type]
        if new != self._a:
            self._a = new
            self._put(new)

    def _type(self, kind: str) -> None:
        choices = (Choice("yes", "是", "yes"), Choice("no", "否", "no")) if kind == "choice" else ()
        self._set(type=kind, choices=choices, default=None)

    def _choices(self) -> None:
        found = []
        for part in re.split(r"[,，]", self.choices.text()):
            code, _, names = part.strip().partition("=")
            zh, _, en = names.partition("/")
            if code.strip():
                found.append(
                    Choice(code.strip(), zh.strip() or code.strip(), en.strip() or zh.strip() or code.strip())
                )
        default = self._a.default if any(c.code == self._a.default for c in found) else None
        self._set(choices=tuple(found), default=default)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The frame inside is drawn by the style sheet."""


def _captioned(text: str, widget: QWidget) -> QVBoxLayout:
    box = column(gap=4)
    box.addWidget(label(text, "caption"))
    box.addWidget(widget)
    return box

"""Which class of a file becomes which label: known ones as they are, the rest new unless a person decides; nothing is hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QLineEdit, QSizePolicy, QWidget

from annotation.schema import LabelSchema
from app import i18n
from app.desktop import widgets
from app.desktop.models.asking import Combo
from app.desktop.models.classes import NoWheel
from app.desktop.widgets import Elided, button, column, label, number, row, say
from app.i18n import tr

if TYPE_CHECKING:
    from app.services.imports import Class

SHOWN = 120
"""Rows that are shown at once; the search line finds the rest."""
NEW, DROP = "+", "-"
_SAID = {"name": "by name", "decided": "by you", "dropped": "by you", "new": "unknown"}


class _Line(QWidget):
    """One class: its name, how many objects, what it becomes."""

    def __init__(self, one: Class, options: Sequence[tuple[str, str]], target: str, said: str) -> None:
        super().__init__()
        self.one = one
        line = row(self, gap=10, margins=(0, 1, 0, 1))
        name = Elided(one.name)
        name.setToolTip(one.name)
        name.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        name.setFixedWidth(170)
        line.addWidget(name)
        n = label(kind="small")
        n.setText(number(one.n + one.predictions))
        n.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        n.setFixedWidth(64)
        line.addWidget(n)
        self.how = label(kind="small", tone="accent" if said == "unknown" else "")
        self.how.setText(tr(said))
        self.how.setFixedWidth(60)
        line.addWidget(self.how)
        self.combo = Combo()
        self.combo.setAccessibleName(tr("{name} becomes", name=one.name))
        for code, shown in options:
            self.combo.addItem(shown, code)
        self.combo.setCurrentIndex(max(0, self.combo.findData(target)))
        self.combo.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # the wheel scrolls the table
        self._no_wheel = NoWheel(self)
        self.combo.installEventFilter(self._no_wheel)
        line.addWidget(self.combo, 1)


class ClassTable(QWidget):
    """See the module. `changed` once a person decided something."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._classes: tuple[Class, ...] = ()
        self._schema: LabelSchema | None = None
        self._target: dict[str, str] = {}
        self.lines: dict[str, _Line] = {}
        box = column(self, gap=8)
        tools = row(gap=8)
        self.search = say(QLineEdit(), hint="Find a class")
        self.search.textChanged.connect(lambda _: self._fill())
        tools.addWidget(self.search, 1)
        self.proposed = button("Take what is proposed", self._take_proposed, kind="link")
        self.drop = button("Leave the unknown out", lambda: self._unknown(DROP), kind="link")
        self.take = button("New labels for the unknown", lambda: self._unknown(NEW), kind="link")
        for one in (self.proposed, self.drop, self.take):
            tools.addWidget(one)
        box.addLayout(tools)
        head = row(gap=10)
        for text, width in (("Class of the file", 170), ("Objects", 134), ("Label", 0)):
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
        self._fill()

    def show_classes(self, classes: Sequence[Class], schema: LabelSchema) -> None:
        """The classes of a file; what a person decided of those that stay is kept."""
        self._schema, self._classes = schema, tuple(classes)
        self._target = {c.name: self._target[c.name] for c in classes if c.name in self._target}
        self._fill()

    def forget(self) -> None:
        """Another file."""
        self._classes, self._target = (), {}
        self._fill()

    @property
    def decisions(self) -> dict[str, str | None]:
        """What a person decided otherwise than the file and the schema say: a label, or None to leave it out."""
        out: dict[str, str | None] = {}
        for one in self._classes:
            target = self._target.get(one.name)
            if target is not None and target != NEW and target != one.code:
                out[one.name] = None if target == DROP else target
        return out

    @property
    def new(self) -> list[str]:
        """Classes that become new labels."""
        return [c.name for c in self._classes if self._of(c) == NEW]

    @property
    def dropped(self) -> list[str]:
        """Classes whose objects are left out."""
        return [c.name for c in self._classes if self._of(c) == DROP]

    def _of(self, one: Class) -> str:
        return self._target.get(one.name, one.code or NEW)

    # --- the table -----------------------------------------------------------------------------------------------

    def _options(self, one: Class) -> list[tuple[str, str]]:
        assert self._schema is not None
        language = i18n.language()
        first = [] if one.how == "name" else [(NEW, tr("New label “{name}”", name=one.name))]
        known = []
        for la in self._schema.drawable():
            shown = f"{la.name(language)}  {la.code}" if la.name(language) != la.code else la.code
            if la.code == one.proposed:
                first.append((la.code, tr("{label} – proposed", label=shown)))
            else:
                known.append((la.code, shown))
        return [*first, (DROP, tr("Left out")), *known]

    def _fill(self) -> None:
        widgets.clear(self._list)
        self.lines = {}
        wanted = self.search.text().strip().casefold()
        fitting = [c for c in self._classes if wanted in c.name.casefold()]
        fitting.sort(
            key=lambda c: (c.how == "name", -c.n - c.predictions)
        )  # what a person should look at first
        for one in fitting[:SHOWN]:
            target = self._of(one)
            said = _SAID[one.how] if one.name not in self._target or target == one.code else "by you"
            line = _Line(one, self._options(one), target, said)
            line.combo.activated.connect(lambda _, line=line: self._chosen(line))
            self.lines[one.name] = line
            self._list.addWidget(line)
        rest = len(fitting) - SHOWN
        self.more.setText(tr("{n} more: search for them", n=number(rest)) if rest > 0 else "")
        self.more.setVisible(rest > 0)
        unknown = [c for c in self._classes if c.how == "new"]
        self.proposed.setVisible(any(c.proposed and self._of(c) != c.proposed for c in unknown))
        self.drop.setVisible(any(self._of(c) != DROP for c in unknown))
        self.take.setVisible(any(self._of(c) != NEW for c in unknown))

    def _chosen(self, line: _Line) -> None:
        self._target[line.one.name] = str(line.combo.currentData())
        self._fill()
        again = self.lines.get(line.one.name)
        if again is not None:
            again.combo.setFocus(Qt.FocusReason.OtherFocusReason)
        self.changed.emit()

    def _unknown(self, target: str) -> None:
        for one in self._classes:
            if one.how == "new":
                self._target[one.name] = target
        self._fill()
        self.changed.emit()

    def _take_proposed(self) -> None:
        for one in self._classes:
            if one.how == "new" and one.proposed:
                self._target[one.name] = one.proposed
        self._fill()
        self.changed.emit()

    def retranslate(self) -> None:
        """Texts that hold data."""
        self._fill()

"""The right side under the objects: attributes as buttons, history with restore, and what the checks say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QIntValidator, QPaintEvent
from PySide6.QtWidgets import QLineEdit, QPushButton, QSizePolicy, QWidget

from annotation import checks
from annotation.core import Annotation
from annotation.schema import Attribute, Label
from app import i18n
from app.desktop import actions, document, theme, widgets
from app.desktop.classing import Classing
from app.desktop.desk import Desk
from app.desktop.painted import painted
from app.desktop.panels.flow import Flow
from app.desktop.widgets import Elided, button, column, frame, label, look, row
from app.i18n import tr


class Value(QPushButton):
    """One value of an attribute, with its key in small behind the text."""

    WIDEST_PX = 150

    def __init__(self, text: str, key: str) -> None:
        cut = QFontMetrics(theme.font(12)).elidedText(text, Qt.TextElideMode.ElideRight, self.WIDEST_PX)
        super().__init__(cut)
        look(self, "choice", keyed="true" if key else "")
        self.key = key
        self.setCheckable(True)

    def sizeHint(self) -> QSize:
        size = super().sizeHint()
        return QSize(size.width() + (self._key_px() + 2 if self.key else 0), size.height())

    def _key_px(self) -> int:
        return QFontMetrics(theme.font(9, bold=True)).horizontalAdvance(self.key)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self.key:
            return
        t = theme.current()
        with painted(self) as p:
            p.setFont(theme.font(9, bold=True))
            p.setPen(QColor(t.on_accent if self.isChecked() else t.second))
            p.drawText(
                self.rect().adjusted(0, 1, -6, 0),
                Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
                self.key,
            )


class Attributes(QWidget):
    """Attributes of the selected objects of one class: one click or one key each."""

    def __init__(self, desk: Desk, classing: Classing) -> None:
        super().__init__()
        self.desk, self.classing = desk, classing
        self._shown: tuple[Any, ...] = ()
        self._values: list[Value] = []
        self.head = label(kind="head")
        self.held = label("Alt + digit", "small")
        self.pinned = button(
            "", self.pin, kind="flat", icon="pin", tip="New objects of this class start with these values"
        )
        self.pinned.setCheckable(True)
        self.pinned.setFixedWidth(32)
        self._body = QWidget()
        self._box = column(self._body, gap=8)
        box = column(self, gap=10, margins=(16, 12, 16, 12))
        top = row()
        top.addWidget(self.head)
        top.addStretch()
        top.addWidget(self.held)
        top.addWidget(self.pinned)
        box.addLayout(top)
        box.addWidget(self._body)
        for signal in (
            desk.document.selected,
            desk.document.changed,
            desk.document.opened,
            desk.schema_changed,
        ):
            signal.connect(self._look)
        desk.keys_changed.connect(self.retranslate)

    def retranslate(self) -> None:
        """Build again in the language in use."""
        self._shown = ()
        self._look()

    def nth(self, n: int) -> None:
        """Give the selected objects the n-th value of the panel, from 1."""
        if self.isVisibleTo(self.window()) and n <= len(self._values):
            self._values[n - 1].click()

    def pin(self) -> None:
        """Let new objects of this class start with the values shown; again: with the schema's."""
        one, values = self._one(), self._common()
        if one is not None:
            self.classing.pin(one.code, values)
            self._pin_state()

    def _one(self) -> Label | None:
        codes = {a.label for a in self.desk.document.chosen()}
        return self.desk.schema.label(codes.pop()) if self.desk.schema and len(codes) == 1 else None

    def _common(self) -> dict[str, Any]:
        """The values that all selected objects share."""
        found = [dict(a.attributes) for a in self.desk.document.chosen()]
        first = found[0] if found else {}
        return {k: v for k, v in first.items() if not k.startswith("@") and all(f.get(k) == v for f in found)}

    def _pin_state(self) -> None:
        one = self._one()
        pinned = self.classing.pinned(one.code) if one is not None else {}
        self.pinned.setChecked(bool(pinned) and pinned == self._common())

    def _look(self) -> None:
        chosen = self.desk.document.chosen()
        one = self._one()
        shown = (one, tuple((a.uid, tuple(sorted(a.attributes.items()))) for a in chosen[:50])) if one else ()
        if shown == self._shown and shown:
            return
        focused = (
            self._body.isAncestorOf(self.window().focusWidget()) if self.window().focusWidget() else False
        )
        self._shown = shown
        self.setVisible(one is not None and bool(one.attributes))
        if one is None or not one.attributes:
            self._values = []
            return
        self.head.setText(tr("Attributes · {label}", label=one.name(i18n.language())))
        widgets.clear(self._box)
        self._values = []
        for attribute in one.attributes:
            self._add(attribute, chosen)
        self.held.setVisible(bool(self._values))
        self._pin_state()
        if focused:
            self.setFocus()

    def _add(self, attribute: Attribute, chosen: list[Annotation]) -> None:
        zh = i18n.language().startswith("zh")
        values = {a.attributes.get(attribute.code) for a in chosen}
        value = next(iter(values)) if len(values) == 1 else None
        group = row(gap=8)
        name = attribute.name_zh if zh else attribute.name_en
        missing = attribute.required and value is None
        head = label(kind="second", tone="red" if missing else "")
        head.setText(f"{name} *" if attribute.required else name)
        head.setWordWrap(True)
        head.setFixedWidth(72)
        head.setContentsMargins(0, 4, 0, 0)
        group.addWidget(head, 0, Qt.AlignmentFlag.AlignTop)
        held = QWidget()
        if attribute.type in ("choice", "flag"):
            options: list[tuple[Any, str]] = (
                [(True, tr("Yes")), (False, tr("No"))]
                if attribute.type == "flag"
                else [(c.code, c.name_zh if zh else c.name_en) for c in attribute.choices]
            )
            line = Flow(gap=4)
            held.setLayout(line)
            for code, text in options:
                made = Value(_short(text), self._key(len(self._values) + 1))
                made.setToolTip(text)
                made.setAccessibleName(f"{name}: {text}")
                made.setChecked(value == code)
                made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
                made.clicked.connect(lambda _=False, code=code, a=attribute: self._set(a, code))
                self._values.append(made)
                line.addWidget(made)
        else:
            edit = QLineEdit("" if value is None else str(value))
            edit.setAccessibleName(name)
            if attribute.type == "number":
                edit.setValidator(QIntValidator(edit))
            edit.editingFinished.connect(lambda edit=edit, a=attribute: self._typed(a, edit.text()))
            inside = row(held)
            inside.addWidget(edit)
        group.addWidget(held, 1)
        self._box.addLayout(group)

    def _key(self, n: int) -> str:
        """The digit alone while the keys are Alt and a digit; the caption above says Alt once."""
        found = actions.keys_of(f"value.{n}") if f"value.{n}" in actions.BY_ID else ()
        return actions.shown(found[0]).removeprefix("Alt ").replace("Shift ", "⇧") if found else ""

    def _typed(self, attribute: Attribute, text: str) -> None:
        clean = text.strip()
        if attribute.type == "number":
            self._set(attribute, int(clean) if clean.lstrip("-").isdigit() else None)
        else:
            self._set(attribute, clean or None)

    def _set(self, attribute: Attribute, value: Any) -> None:
        changed = []
        for a in self.desk.document.chosen():
            if a.attributes.get(attribute.code) == value:
                continue
            new = {k: v for k, v in a.attributes.items() if k != attribute.code}
            if value is not None:
                new[attribute.code] = value
            changed.append(replace(a, attributes=new, origin="human", score=None))
        if changed:
            self.desk.document.commit(document.change(changed), "attribute")
            self.classing.used(changed[-1])


def _short(text: str) -> str:
    """A choice without the remark in brackets; the tool tip has it whole."""
    return text.split("（")[0].split(" (")[0]


class Issues(QWidget):
    """What the checks find on this picture; a click selects the object."""

    _SHOWN = 20

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.head = label(kind="head")
        self._body = QWidget()
        self._box = column(self._body, gap=4)
        box = column(self, gap=8, margins=(16, 12, 16, 12))
        box.addWidget(self.head)
        box.addWidget(self._body)
        for signal in (desk.document.changed, desk.document.opened, desk.schema_changed):
            signal.connect(self.retranslate)

    def retranslate(self) -> None:
        """Check again and show it in the language in use."""
        doc, schema = self.desk.document, self.desk.schema
        widgets.clear(self._box)
        found: list[checks.Issue] = []
        if doc.loaded and doc.asset is not None and schema is not None and len(doc.annotations) <= 2000:
            wh = (doc.asset.width_px or 0, doc.asset.height_px or 0)
            truth = tuple(a for a in doc.annotations if a.origin != "model")
            found = list(checks.check(truth, schema, wh))
        self.setVisible(bool(found))
        self.head.setText(tr("Problems {n}", n=len(found)))
        zh = i18n.language().startswith("zh")
        for issue in found[: self._SHOWN]:
            wrong = issue.severity == "error"
            line = frame("wrong" if wrong else "warned")
            inside = row(line, gap=8, margins=(10, 6, 6, 6))
            inside.addWidget(widgets.Dot("red" if wrong else "accent"))
            text = label(kind="second", wrap=True)
            text.setText(issue.message_zh if zh else issue.message_en)
            text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
            inside.addWidget(text, 1)
            if issue.uid:
                inside.addWidget(button("Show", lambda uid=issue.uid: doc.select((uid,)), kind="link"))
            self._box.addWidget(line)
        if len(found) > self._SHOWN:
            rest = Elided(tr("and {n} more", n=len(found) - self._SHOWN), "small")
            self._box.addWidget(rest)

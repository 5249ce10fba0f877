"""Which class is in hand: by digit on two pages, the last one again, by name at the pointer; and what it starts with.

A controller of the annotate place; it knows the desk and the canvas, not the window.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QObject, QPoint, QTimer

from annotation import edits
from annotation.core import Annotation, Attributes
from annotation.schema import Attribute, Label
from app.desktop import actions, document
from app.desktop.canvas.view import Canvas
from app.desktop.desk import Desk
from app.desktop.palette import Chooser, Entry, label_entry

DIGITS = "1234567890"


class Classing(QObject):
    """See the module."""

    def __init__(self, desk: Desk, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.desk, self.canvas = desk, canvas
        self._used: list[str] = []
        """Codes of the last two classes in hand, newest first."""
        self.chooser: Chooser | None = None
        desk.label_changed.connect(self._taken)
        canvas.made.connect(self._made)

    # --- which class ---------------------------------------------------------------------------------------------

    def pages(self) -> list[Label | None]:
        """The classes on the digits: 1…9, 0 those the schema gave a digit, then ten of those without one."""
        found = self.desk.labels()
        by_key = {one.key: one for one in found if one.key}
        rest = [one for one in found if not one.key]
        first = [by_key.get(digit) for digit in DIGITS]
        return [*first, *rest[:10]]

    def key(self, code: str) -> str:
        """The key drawn beside a class, "" when it has none."""
        at = next((i for i, one in enumerate(self.pages()) if one is not None and one.code == code), None)
        return "" if at is None else actions.key(f"class.{at + 1}")

    def nth(self, n: int) -> None:
        """Take the n-th class of the digits in hand, from 1; with Select in hand the selected objects get it too."""
        pages = self.pages()
        one = pages[n - 1] if n <= len(pages) else None
        if one is not None:
            self.take(one.code)

    def take(self, code: str) -> None:
        """Take a class in hand; with Select in hand the selected objects get it too."""
        self.desk.choose_label(code)
        if not self.canvas.tool.named(code) and self.canvas.tool.name == "select":
            self.relabel(code)

    def again(self) -> None:
        """The class that was in hand before this one."""
        known = {one.code for one in self.desk.labels()}
        before = next((c for c in self._used if c != self.desk.label and c in known), None)
        if before is not None:
            self.take(before)

    def relabel(self, code: str) -> None:
        """Give the selected objects another class; attributes the class does not have are dropped."""
        one = self.desk.schema.label(code) if self.desk.schema else None
        if one is None:
            return
        changed = []
        for a in self.desk.document.chosen():
            if a.label != code and a.kind in one.kinds:
                new = {**self.defaults(code), **edits.fitting(a.attributes, one)}
                changed.append(replace(a, label=code, attributes=new, origin="human", score=None))
        if changed:
            self.desk.document.commit(document.change(changed), "relabel")

    def ask(self, *, at: QPoint | None = None, drawn: bool = False) -> None:
        """Let the person choose a class by name beside the pointer; `drawn`: for the object just drawn."""
        window = self.canvas.window()
        kinds = {a.kind for a in self.desk.document.chosen()} if drawn else set()
        run = self._drawn_as if drawn else self.take
        found: list[Entry] = [
            label_entry(one, lambda code=one.code: run(code), key=self.key(one.code))
            for one in self.desk.labels()
            if kinds <= one.kinds
        ]
        if not found or self.chooser is not None:
            return
        mouse = self.canvas.mouse
        spot = at or (mouse.toPoint() if mouse is not None else self.canvas.rect().center())
        body = getattr(window, "body", window)
        made = Chooser(body, found, self.canvas.mapTo(body, spot), hint="Class…")
        self.chooser = made

        def gone() -> None:
            self.chooser = None
            self.canvas.setFocus()

        made.closed.connect(gone)
        made.present()

    def _drawn_as(self, code: str) -> None:
        self.relabel(code)
        self.desk.choose_label(code)

    def _made(self, uid: str) -> None:
        if self.desk.values.get("ask_class"):
            # After the gesture has ended: a line to type in under a pressed mouse would swallow its release.
            QTimer.singleShot(0, self, lambda: self._ask_for(uid))

    def _ask_for(self, uid: str) -> None:
        if self.desk.document.get(uid) is not None:
            self.ask(drawn=True)

    def _taken(self) -> None:
        if self.desk.label:
            self._used = [self.desk.label, *(c for c in self._used if c != self.desk.label)][:2]

    # --- what it starts with -------------------------------------------------------------------------------------

    def defaults(self, code: str) -> Attributes:
        """What a new object of a class starts with: pinned values, else those used last if so set, else the schema's."""
        one = self.desk.schema.label(code) if self.desk.schema else None
        if one is None:
            return {}
        start: dict[str, Any] = dict(one.defaults())
        for kept in (self._last(code), self.pinned(code)):
            start.update(_accepted(one, kept))
        return start

    def pinned(self, code: str) -> dict[str, Any]:
        """The values pinned to a class of this dataset; {} without."""
        return dict(self._kept("pinned").get(code, {}))

    def _last(self, code: str) -> dict[str, Any]:
        if self.desk.values.get("new_values") != "last":
            return {}
        return dict(self._kept("last").get(code, {}))

    def pin(self, code: str, values: Mapping[str, Any]) -> None:
        """Let new objects of a class start with these values; the same values again take the pin away."""
        same = self.pinned(code) == dict(values)
        self._keep("pinned", code, {} if same else dict(values))

    def used(self, annotation: Annotation) -> None:
        """Values a person has just given an object."""
        own = {k: v for k, v in annotation.attributes.items() if not k.startswith("@")}
        self._keep("last", annotation.label, own)

    def _kept(self, what: str) -> dict[str, Any]:
        data = self.desk.dataset
        return self.desk.memory.get(f"{what}:{data.uid}", {}) if data is not None else {}

    def _keep(self, what: str, code: str, values: dict[str, Any]) -> None:
        data = self.desk.dataset
        if data is None or json.loads(json.dumps(values)) != values:
            return
        kept = {k: v for k, v in self._kept(what).items() if k != code}
        if values:
            kept[code] = values
        self.desk.memory.put(f"{what}:{data.uid}", kept)


def _accepted(one: Label, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the kept values that the schema as it is today still accepts."""
    known: dict[str, Attribute] = {a.code: a for a in one.attributes}
    return {k: v for k, v in values.items() if k in known and known[k].accepts(v)}

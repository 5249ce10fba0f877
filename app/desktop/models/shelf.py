"""The models of the workspace: what each is, wants and gives; add, use, remove."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from app import i18n
from app.desktop import widgets
from app.desktop.desk import Desk
from app.desktop.models import words
from app.desktop.overlaid import Sheet
from app.desktop.said import ago
from app.desktop.widgets import Elided, Pill, Row, button, column, frame, label, number, row, rule, say
from app.i18n import tr

BODY_PX = 500
_CLASSES = 200
"""Classes that are listed by name."""

FACTS = {
    "task": "Task", "family": "Family", "input": "Input", "resize": "Pictures are", "score": "Lowest score", "iou": "Overlap",
    "producer": "Made by", "size": "Size", "licence": "Licence", "added": "Added", "sha256": "SHA-256",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """A model for the list; `card` is a ModelCard or a PairCard. task: a key of words.TASKS."""

    name: str
    sha256: str
    task: str
    family: str
    card: Any
    present: bool
    added_ms: int
    n_bytes: int


def read(ws: Any) -> list[Entry]:
    """Every model of the workspace, newest first."""
    from app.services import onnx

    found = [
        Entry(r.name, r.sha256, r.card.task, r.card.family, r.card, r.present, r.added_ms, onnx.size_bytes(r))
        for r in onnx.listing(ws)
    ]
    found += [
        Entry(
            r.name, r.sha256, "promptable", r.card.dialect, r.card, r.present, r.added_ms, onnx.size_bytes(r)
        )
        for r in onnx.pairs(ws)
    ]
    return sorted(found, key=lambda e: -e.added_ms)


class ShelfSheet(Sheet):
    """See the module. `deeds`: what the buttons do: "add", "prelabel", "prompt", "evaluate", "pack", each told the model's name."""

    def __init__(self, parent: QWidget, desk: Desk, deeds: Mapping[str, Callable[[str], object]]) -> None:
        super().__init__(
            parent,
            "Models",
            "The models of this workspace. Their files lie in it; predictions name the model that made them.",
            "Add a model…",
            self._add,
            width=max(720, min(1000, parent.width() - 48)),
        )
        say(self.cancel, "Close")
        self.desk, self.deeds = desk, deeds
        self.entries: list[Entry] = []
        self.chosen = ""
        self.rows: dict[str, Row] = {}
        self._asked = ""
        self._list, self._detail = self.list_and_detail(320, BODY_PX, gap=14)
        self._read()

    def _add(self) -> None:
        self.deeds["add"]("")

    def _read(self) -> None:
        ws = self.desk.ws
        if ws is not None:
            self.desk.ask(lambda: read(ws), self.while_open(self._came))

    def _came(self, entries: list[Entry]) -> None:
        self.entries = entries
        if self.chosen not in {e.name for e in entries}:
            self.chosen = entries[0].name if entries else ""
        self.retranslate()

    def choose(self, name: str) -> None:
        """Show a model."""
        self.chosen, self._asked = name, ""
        for known, line in self.rows.items():
            line.setChecked(known == name)
        self._show()

    def retranslate(self) -> None:
        """List and detail again."""
        focused = next((n for n, line in self.rows.items() if line.hasFocus()), "")
        widgets.clear(self._list)
        self.rows = {}
        for e in self.entries:
            line = Row(e.name, under=_under(e), count="" if e.present else tr("not here"), tone="red")
            line.setChecked(e.name == self.chosen)
            line.setAccessibleName(f"{e.name} · {_under(e)}")
            line.clicked.connect(lambda _=False, name=e.name: self.choose(name))
            self.rows[e.name] = line
            self._list.addWidget(line)
        if focused in self.rows:
            self.rows[focused].setFocus()
        self._show()

    def _show(self) -> None:
        widgets.clear(self._detail)
        entry = next((e for e in self.entries if e.name == self.chosen), None)
        if entry is None:
            self._empty()
        else:
            self._about(entry)
        self._detail.addStretch()
        widgets.repaint_icons(self)

    def _empty(self) -> None:
        self._detail.addWidget(label("No model yet", "head"))
        self._detail.addWidget(
            label("Drop an .onnx file on the window, or add one. A small demonstration detector comes with the program.", "second", wrap=True)
        )  # fmt: skip
        self._detail.addWidget(
            button("Add the demonstration model", self._demo), 0, Qt.AlignmentFlag.AlignLeft
        )

    def _about(self, e: Entry) -> None:
        head = row(gap=12)
        title = Elided(e.name, "title")
        title.setToolTip(e.name)
        head.addWidget(title, 1)
        pill = Pill()
        pill.set(tr("ready") if e.present else tr("its file is not here"), "green" if e.present else "red")
        head.addWidget(pill)
        self._detail.addLayout(head)
        verbs = row(gap=8)
        if e.task == "promptable":
            verbs.addWidget(button("Use it", lambda: self.deeds["prompt"](e.name), icon="prompt"))
        elif e.task != "embed":
            use = button("Pre-label…", lambda: self.deeds["prelabel"](e.name), icon="model")
            use.setEnabled(e.present)
            verbs.addWidget(use)
        if e.task in ("detect", "segment", "pose", "obb"):
            verbs.addWidget(
                button("Evaluate a model…", lambda: self.deeds["evaluate"](e.name), icon="verify")
            )
        send = button("Write a pack…", lambda: self.deeds["pack"](e.name), icon="export")
        send.setEnabled(e.present)
        verbs.addWidget(send)
        verbs.addStretch()
        if self._asked == e.name:
            verbs.addWidget(label("Predictions and files stay.", "small"))
            verbs.addWidget(button("Remove it", lambda: self._remove(e.name), kind="danger"))
            verbs.addWidget(button("Keep it", lambda: self._ask(""), kind="link"))
        else:
            verbs.addWidget(button("Remove…", lambda: self._ask(e.name), kind="link"))
        self._detail.addLayout(verbs)
        self._detail.addWidget(rule())
        grid = QGridLayout()
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(1, 1)
        for i, (caption, value) in enumerate(_facts(e)):
            grid.addWidget(label(caption, "second"), i, 0, Qt.AlignmentFlag.AlignTop)
            shown = QLabel(value)
            shown.setTextFormat(Qt.TextFormat.PlainText)
            shown.setWordWrap(True)
            shown.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            grid.addWidget(shown, i, 1)
        self._detail.addLayout(grid)
        names = getattr(e.card, "labels", ())
        if names:
            line = label(kind="caption")
            line.setText(tr("Classes {n}", n=number(len(names))))
            self._detail.addWidget(line)
            box = frame("inset")
            inside = column(box, margins=(12, 8, 12, 8))
            listed = QLabel(" · ".join(names[:_CLASSES]) + (" …" if len(names) > _CLASSES else ""))
            listed.setTextFormat(Qt.TextFormat.PlainText)
            listed.setWordWrap(True)
            inside.addWidget(listed)
            self._detail.addWidget(box)
        if getattr(e.card, "note", ""):
            note = label(kind="small", wrap=True)
            note.setText(i18n.tr_sentence(e.card.note))
            self._detail.addWidget(note)

    # --- deeds ---------------------------------------------------------------------------------------------------

    def _ask(self, name: str) -> None:
        self._asked = name
        self._show()

    def _remove(self, name: str) -> None:
        ws = self.desk.ws
        if ws is None:
            return

        def work() -> list[Entry]:
            from app.services import onnx

            onnx.remove(ws, name)
            return read(ws)

        self._asked = ""
        self.desk.ask(work, self.while_open(self._came))

    def _demo(self) -> None:
        ws = self.desk.ws
        if ws is None:
            return

        def work() -> list[Entry]:
            from app.services import onnx

            onnx.add_demo(ws)
            return read(ws)

        self.desk.ask(work, self.while_open(self._came))


def _under(e: Entry) -> str:
    parts = [tr(words.TASKS[e.task]), e.family]
    if labels := getattr(e.card, "labels", ()):
        parts.append(tr("{n} classes", n=number(len(labels))))
    if e.n_bytes:
        parts.append(words.size(e.n_bytes))
    return " · ".join(parts)


def _facts(e: Entry) -> list[tuple[str, str]]:
    card = e.card
    none = tr("not told")
    facts = {"task": tr(words.TASKS[e.task]), "family": e.family}
    if e.task == "promptable":
        facts["input"] = f"{card.side_px} × {card.side_px}"
    else:
        facts |= {
            "input": words.facts(card),
            "resize": f"{tr(card.resize)} · {card.colour.upper()}",
            "score": f"{card.score:.2f}",
            "iou": f"{card.iou:.2f}",
            "producer": card.producer or none,
        }
    facts |= {
        "size": words.size(e.n_bytes) if e.n_bytes else none,
        "licence": card.licence or none,
        "added": ago(e.added_ms),
        "sha256": e.sha256,
    }
    return [(FACTS[key], value) for key, value in facts.items()]

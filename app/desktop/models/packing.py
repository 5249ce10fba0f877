"""Model packs at the desk: taking one in after its key and its test, and writing one for another workspace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from annotation.errors import LamproomError
from app import i18n
from app.desktop.desk import Desk
from app.desktop.models import words
from app.desktop.overlaid import Sheet
from app.desktop.widgets import Pill, column, frame, label, number, row
from app.i18n import tr

ENDING = ".lrmodel"
TRUST = {"own": ("signed by this workspace", "green"), "trusted": ("signed by a key you trust", "green"), "unknown": ("signed by an unknown key", "accent")}  # fmt: skip


def is_pack(file: str) -> bool:
    """Whether a file is meant as a pack."""
    return Path(file).suffix.lower() == ENDING


class _PackSheet(Sheet):
    """What both directions share: work on another thread, faults in the sheet."""

    desk: Desk

    def _do(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self.verb.setEnabled(False)
        self.show_fault("")
        self.desk.ask(work, self.while_open(done), self.while_open(self._refused))

    def _refused(self, fault: BaseException) -> None:
        self.verb.setEnabled(True)
        if not isinstance(fault, LamproomError):
            raise fault
        self.show_fault(i18n.tr_fault(fault))


class TakeSheet(_PackSheet):
    """Look at a pack, compare its key, take it in. `taken` is told the model's name."""

    def __init__(self, parent: QWidget, desk: Desk, file: str, taken: Callable[[str], None]) -> None:
        super().__init__(
            parent,
            "Take in a model pack",
            "Signature, digests and the test that came with it must all hold, else nothing of it is kept.",
            "Take it in",
            self._go,
            width=640,
        )
        self.desk, self.file, self._taken = desk, Path(file), taken
        self.looked: Any = None
        self.facts = frame("inset")
        self._inside = column(self.facts, gap=8, margins=(16, 12, 16, 12))
        self.facts.hide()
        self.body.addWidget(self.facts)
        self.name = self.text_field("Name", hint="Empty: as the pack says")
        self.key = self.text_field(
            "Fingerprint of the maker's key",
            hint="As its maker told you",
            note="Ask the maker by telephone or on paper, not over the way the file came; from then on the key is trusted.",
        )
        self.key.hide()
        self._look()

    def _look(self) -> None:
        ws, file = self.desk.ws, self.file
        if ws is None:
            return

        def work() -> Any:
            from app.services import packs

            return packs.look(ws, file)

        self._do(work, self._known)

    def _known(self, looked: Any) -> None:
        self.looked = looked
        self.verb.setEnabled(True)
        manifest = looked.manifest
        said, tone = TRUST[looked.trust]
        head = row(gap=12)
        title = label(kind="head")
        title.setText(manifest.name)
        head.addWidget(title)
        head.addStretch()
        pill = Pill()
        pill.set(tr(said), tone)
        head.addWidget(pill)
        self._inside.addLayout(head)
        grid = QGridLayout()
        grid.setHorizontalSpacing(16)
        grid.setColumnStretch(1, 1)
        names = manifest.card.get("labels") or []
        lines = (
            ("Licence", manifest.licence),
            ("Size", words.size(manifest.size_bytes)),
            ("Key", looked.fingerprint),
            ("Classes", f"{number(len(names))}: {', '.join(names[:8])}" if names else "–"),
        )
        for i, (caption, value) in enumerate(lines):
            grid.addWidget(label(caption, "second"), i, 0)
            shown = QLabel(value)
            shown.setWordWrap(True)
            grid.addWidget(shown, i, 1)
        self._inside.addLayout(grid)
        self.facts.show()
        self.key.setVisible(looked.trust == "unknown")
        (self.key if looked.trust == "unknown" else self.verb).setFocus()

    def _go(self) -> None:
        ws, file = self.desk.ws, self.file
        name, trust = self.name.text().strip() or None, self.key.text().strip()
        if ws is None:
            return
        if self.looked is None:
            self._look()
            return

        def work() -> str:
            from app.services import packs

            return packs.take(ws, file, name=name, trust=trust).name

        def done(title: str) -> None:
            self.finish()
            self._taken(title)

        self._do(work, done)


class SendSheet(_PackSheet):
    """Write a model as one signed file."""

    def __init__(self, parent: QWidget, desk: Desk, model: str, licence: str) -> None:
        super().__init__(
            parent,
            "Write a model pack",
            "One signed file with weights, licence, a test picture and what the model finds in it.",
            "Write the pack",
            self._go,
            width=620,
        )
        self.desk, self.model = desk, model
        title = label(kind="head")
        title.setText(model)
        self.body.addWidget(title)
        self.folder = self.path_field("Folder", hint="For example a USB stick")
        self.licence = self.path_field(
            "Text of the licence", hint="licence.txt", files=True, folders=False, note="Left empty only for a model that came in a pack itself."
        )  # fmt: skip
        self.licence_name = self.text_field("Name of the licence", licence, hint="Apache-2.0")
        self.picture = self.path_field("Test picture", hint="Empty: a drawn scene", files=True, folders=False)
        self.folder.textChanged.connect(lambda _: self.verb.setEnabled(bool(self.folder.text().strip())))
        self.verb.setEnabled(False)

    def _go(self) -> None:
        ws, model = self.desk.ws, self.model
        target = Path(self.folder.text().strip()).expanduser() / f"{model.replace('/', '_')}{ENDING}"
        said = self.licence.text().strip(), self.picture.text().strip()
        licence, picture = (Path(text).expanduser() if text else None for text in said)
        called = self.licence_name.text().strip()
        if ws is None:
            return

        def work() -> str:
            from app.services import keys, packs

            packs.export(ws, model, target, picture=picture, licence=licence, licence_name=called)
            return keys.fingerprint(ws)

        def done(key: str) -> None:
            self.cancel.hide()
            text = tr(
                "Written: {path}. Tell the receiver the fingerprint of your key: {key}", path=target, key=key
            )
            told = label(kind="second", wrap=True)
            told.setText(text)
            told.setTextInteractionFlags(told.textInteractionFlags().TextSelectableByMouse)
            self.body.addWidget(told)
            self.become("Close", self.finish)

        self._do(work, done)

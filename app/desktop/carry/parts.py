"""Parts of the sheets about the road: folders of disks with their room, a fingerprint to compare."""

from __future__ import annotations

import shutil
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFileDialog, QLineEdit, QWidget

from app.desktop import theme, widgets
from app.desktop.models import words
from app.desktop.widgets import Elided, button, column, frame, label, row, say
from app.i18n import tr

MOST_DISKS = 32


class Fingerprint(QWidget):
    """A key's fingerprint in large letters, four groups a line, to be compared with what its owner says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        box = column(self, gap=2)
        groups = text.split(":")
        for i in range(0, len(groups), 4):
            made = label(kind="figure")
            made.setText("  ".join(groups[i : i + 4]))
            made.setFont(theme.font(26, bold=True))
            made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            box.addWidget(made)
        self.setAccessibleName(tr("Fingerprint {letters}", letters=text))


class Folders(QWidget):
    """A list of folders where disks are mounted, each with what `told` says of it; `changed` when one came or went."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[Path] = []
        self.notes: dict[Path, str] = {}
        box = column(self, gap=6)
        line = row(gap=8)
        self.edit = say(QLineEdit(), hint="Where a disk is mounted")
        self.edit.returnPressed.connect(self._typed)
        line.addWidget(self.edit, 1)
        line.addWidget(button("Add", self._typed, icon="add"))
        line.addWidget(button("Folder…", self._choose, icon="folder"))
        box.addLayout(line)
        self._list = column(gap=4)
        box.addLayout(self._list)

    def add(self, path: Path) -> None:
        """One more disk, the last."""
        path = path.expanduser()
        if path not in self.paths and len(self.paths) < MOST_DISKS:
            self.paths.append(path)
            self.retranslate()
            self.changed.emit()

    def take(self, path: Path) -> None:
        """This one no longer."""
        self.paths.remove(path)
        self.notes.pop(path, None)
        self.retranslate()
        self.changed.emit()

    def tell(self, notes: dict[Path, str]) -> None:
        """What there is to say of some of them."""
        self.notes = notes
        self.retranslate()

    def retranslate(self) -> None:
        """The list again."""
        widgets.clear(self._list)
        for i, path in enumerate(self.paths, 1):
            box = frame("inset")
            line = row(box, gap=10, margins=(12, 6, 8, 6))
            n = label(kind="strong")
            n.setText(str(i))
            line.addWidget(n)
            name = Elided(str(path))
            name.setToolTip(str(path))
            line.addWidget(name, 1)
            told = label(kind="second")
            told.setText(self.notes.get(path, ""))
            line.addWidget(told)
            gone = button("", lambda path=path: self.take(path), kind="flat", icon="close")
            gone.setAccessibleName(tr("Leave {path} out", path=path))
            line.addWidget(gone)
            self._list.addWidget(box)
        widgets.repaint_icons(self)

    def _typed(self) -> None:
        if text := self.edit.text().strip():
            self.edit.clear()
            self.add(Path(text))

    def _choose(self) -> None:
        found = QFileDialog.getExistingDirectory(self, tr("Choose a folder"), str(Path.home()))
        if found:
            self.add(Path(found))


def room(path: Path) -> str:
    """What is free on a disk, in words. Not for the interface thread: a dead mount may take its time."""
    try:
        return tr("{size} free", size=words.size(shutil.disk_usage(path).free))
    except OSError:
        return tr("not there")

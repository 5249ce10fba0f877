"""Where the desk begins without a workspace: open one, make one, or take up one of the last."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app.desktop import widgets
from app.desktop.lamp import Lamp
from app.desktop.widgets import Row, button, column, frame, label, look, row, say
from app.i18n import tr

SCHEMAS = (("coal_mine", "Coal-mine safety"), ("grotto", "Grotto heritage"))


class Start(QWidget):
    """Signals what the person wants; the window does it."""

    open_asked = Signal(str)
    create_asked = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        outer = QVBoxLayout(self)
        outer.addStretch(2)
        middle = QHBoxLayout()
        middle.addStretch()
        held = QWidget()
        held.setFixedWidth(600)
        box = column(held, gap=24)
        head = row(gap=16)
        head.addWidget(Lamp(44))
        names = column(gap=0)
        names.addWidget(label("Lamproom", "figure"))
        names.addWidget(label("From raw pictures to sealed, traceable datasets.", "second"))
        head.addLayout(names, 1)
        box.addLayout(head)

        self.fault = label(kind="second", tone="red", wrap=True)
        self.fault.hide()
        box.addWidget(self.fault)

        opened = frame("card")
        inside = column(opened, gap=12, margins=(24, 20, 24, 20))
        inside.addWidget(label("Open a workspace", "head"))
        line = row(gap=8)
        self.place = say(QLineEdit(), hint="Its folder, or a postgresql:// address")
        self.place.returnPressed.connect(self._open)
        line.addWidget(self.place, 1)
        line.addWidget(button("Folder…", lambda: self._choose(self.place), icon="folder"))
        self.open = button("Open", self._open, kind="primary")
        line.addWidget(self.open)
        inside.addLayout(line)
        self._recent = column(gap=2)
        inside.addLayout(self._recent)
        box.addWidget(opened)

        made = frame("card")
        inside = column(made, gap=12, margins=(24, 20, 24, 20))
        inside.addWidget(label("Make a new workspace", "head"))
        line = row(gap=8)
        self.new_place = say(QLineEdit(), hint="A new or empty folder")
        self.new_place.returnPressed.connect(self._create)
        line.addWidget(self.new_place, 1)
        line.addWidget(button("Folder…", lambda: self._choose(self.new_place), icon="folder"))
        self.create_button = button("Make", self._create)
        line.addWidget(self.create_button)
        inside.addLayout(line)
        kinds = row(gap=8)
        kinds.addWidget(label("Classes for", "second"))
        self._group = QButtonGroup(self)
        self._schemas: dict[QAbstractButton, str] = {}
        for i, (code, text) in enumerate(SCHEMAS):
            one = say(look(QPushButton(), "choice"), text)
            one.setCheckable(True)
            one.setChecked(i == 0)
            self._group.addButton(one)
            self._schemas[one] = code
            kinds.addWidget(one)
        kinds.addStretch()
        inside.addLayout(kinds)
        box.addWidget(made)
        middle.addWidget(held)
        middle.addStretch()
        outer.addLayout(middle)
        outer.addStretch(3)

    def show_recent(self, locations: list[str]) -> None:
        """Workspaces opened last."""
        widgets.clear(self._recent)
        for location in locations[:5]:
            made = Row(Path(location).name or location, second=location)
            made.setCheckable(False)
            made.setToolTip(location)
            made.clicked.connect(lambda _=False, location=location: self.open_asked.emit(location))
            self._recent.addWidget(made)

    def tell(self, fault: str) -> None:
        """Why it could not be done."""
        self.fault.setText(fault)
        self.fault.setVisible(bool(fault))

    def _choose(self, edit: QLineEdit) -> None:
        found = QFileDialog.getExistingDirectory(self, tr("Choose a folder"), edit.text() or str(Path.home()))
        if found:
            edit.setText(found)

    def _open(self) -> None:
        if text := self.place.text().strip():
            self.open_asked.emit(text if "://" in text else str(Path(text).expanduser()))

    def _create(self) -> None:
        checked = self._group.checkedButton()
        if (text := self.new_place.text().strip()) and checked is not None:
            place = text if "://" in text else str(Path(text).expanduser())
            self.create_asked.emit(place, self._schemas[checked])

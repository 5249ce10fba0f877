"""The one line a fault of the program gets: what, that the work is saved, and a report to copy or keep as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication, QFrame

from app.desktop import faults, widgets
from app.desktop.widgets import Dot, Elided, button, look, row, say
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.window import Window

HEIGHT_PX = 44


class FaultBar(QFrame):
    """Lies over the foot of the desk and covers no key; the newest fault is the one it shows."""

    def __init__(self, window: Window) -> None:
        super().__init__(window.body)
        look(self, "float")
        say(self, tip="A fault of the program")
        self.report = ""
        self.path = ""
        line = row(self, gap=10, margins=(16, 4, 8, 4))
        line.addWidget(Dot("red"))
        self.text = Elided("", "")
        line.addWidget(self.text, 1)
        self.copy = button("Copy the report", self._copy, icon="copy")
        self.save = button("Save the report", self._save)
        line.addWidget(self.copy)
        line.addWidget(self.save)
        line.addWidget(button("Close", self.hide, kind="flat"))
        self._body = window.body
        self._body.installEventFilter(self)

    def say(self, fault: str, report: str) -> None:
        """Show a fault."""
        self.report, self.path = report, ""
        first = fault.splitlines()[0] if fault else ""
        self._tell(tr("The program made a mistake: {fault}. Your work is saved; go on.", fault=first[:160]))
        widgets.repaint_icons(self)
        self._place()
        self.show()
        self.raise_()

    def _tell(self, text: str) -> None:
        self.text.setText(text)
        self.text.setToolTip(text)
        self.text.setAccessibleName(text)

    def _copy(self) -> None:
        QApplication.clipboard().setText(self.report)
        self._tell(tr("The report is in the clipboard. It holds no picture and no label."))

    def _save(self) -> None:
        try:
            self.path = str(faults.write(self.report))
        except OSError as error:
            self._tell(tr("the file cannot be written: {error}", error=error))
        else:
            self._tell(tr("The report is in {path}. It holds no picture and no label.", path=self.path))

    def _place(self) -> None:
        wide = min(self._body.width() - 32, 980)
        self.setGeometry(
            (self._body.width() - wide) // 2, self._body.height() - HEIGHT_PX - 12, wide, HEIGHT_PX
        )

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._body and event.type() == QEvent.Type.Resize:
            self._place()
        return False

"""Asks for the passphrase of the workspace's keys when a task needs them, on a sheet over the desk."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from PySide6.QtCore import QThread
from PySide6.QtWidgets import QLineEdit

from app.desktop.overlaid import Sheet
from app.desktop.tasks import Courier
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.window import Window
    from app.services import keys


class Asker:
    """Called on a task's thread; waits there until the sheet is answered or closed. Never on the interface's own thread."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._courier = Courier(window)
        self._over = threading.Event()
        window.desk.opened.connect(self._listen)

    def _listen(self) -> None:
        from app.services import keys

        keys.ask_by(self)

    def __call__(self, asked: keys.Asked) -> str | None:
        """The passphrase, None when the person gave up or the desk closes."""
        if QThread.currentThread() is self._window.thread():
            return None
        answer: list[str | None] = []
        ready = threading.Event()

        def give(word: str | None) -> None:
            if not answer:
                answer.append(word)
                ready.set()

        self._courier.send(lambda: self._ask(asked, give))
        while not ready.wait(0.2):
            if self._over.is_set():
                return None
        return answer[0]

    def close(self) -> None:
        """The desk closes: whoever waits is let go."""
        from app.services import keys

        keys.ask_by(None)
        self._over.set()
        self._courier.close()

    def _ask(self, asked: keys.Asked, give) -> None:
        window = self._window

        def go() -> None:
            if asked.new and first.text() != again.text():
                sheet.show_fault(tr("The two differ."))
                return
            give(first.text())
            window.sheets.close()

        title = "Seal the workspace's keys" if asked.new else "Open the workspace's keys"
        about = (
            "They sign versions and hold the secrets of hubs. Without the passphrase they are lost: keep it elsewhere too."
            if asked.new
            else "They are sealed with a passphrase."
        )
        sheet = window.sheets.hold(Sheet(window.body, title, about, "Seal" if asked.new else "Open", go))
        first = sheet.text_field("Passphrase", hint="at least eight characters" if asked.new else "")
        again = sheet.text_field("Once more") if asked.new else QLineEdit()
        for edit in (first, again):
            edit.setEchoMode(QLineEdit.EchoMode.Password)
        if asked.wrong:
            sheet.show_fault(tr("That is not the passphrase."))
        sheet.verb.setEnabled(False)
        first.textChanged.connect(lambda text: sheet.verb.setEnabled(len(text) >= (8 if asked.new else 1)))
        sheet.closed.connect(lambda: give(None))
        sheet.present(first)

"""Starts the desk: application, log, guards, window."""

from __future__ import annotations

import signal
import sys

from PySide6.QtCore import QTimer
from PySide6.QtGui import QIcon, QPixmap
from PySide6.QtWidgets import QApplication

from app import i18n
from app.desktop import keys, theme
from app.desktop.desk import Desk
from app.desktop.faults import Faults
from app.desktop.ime import Guard
from app.desktop.start import Lamp
from app.desktop.window import Window
from app.i18n import tr


def build(language: str | None = None) -> Window:
    """The window with everything behind it; needs a QApplication. The caller shows it."""
    sys.setswitchinterval(0.001)  # a worker in Python then holds a frame up for 1 ms instead of 5
    desk = Desk()
    i18n.use(language or str(desk.values.get("language") or "") or i18n.guess())
    theme.choose(str(desk.values["theme"]))
    keys.load(desk)
    window = Window(desk)
    desk.setParent(window)
    return window


def run(location: str | None = None, lang: str | None = None) -> int:
    """Open the desk, on a workspace if one is named, and return the exit code when it is closed."""
    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    app.setApplicationName("lamproom")
    app.setApplicationDisplayName("")
    app.setStyle("Fusion")
    app.setFont(theme.font(13))
    guard = Guard(app)
    app.installEventFilter(guard)
    window = build(lang)
    window.first_time = True
    send = window.desk.tasks.courier.send  # a fault may come from any thread
    faults = Faults(
        lambda line, report: send(lambda: window.tell_fault(line, report)),
        lambda: send(lambda: window.close()),
    )
    if crash := faults.install():
        window.tell_fault(tr("the desk was ended by a crash"), crash)
    app.setWindowIcon(_icon())
    window.show()
    window.activateWindow()
    if location:
        window.open_workspace(location)
    # Ctrl+C in the terminal closes the window as its button would: Python sees the signal when the timer ticks.
    signal.signal(signal.SIGINT, lambda *_: window.close())
    signal.signal(signal.SIGTERM, lambda *_: window.close())
    tick = QTimer(window)
    tick.timeout.connect(lambda: None)
    tick.start(300)
    try:
        return app.exec()
    finally:
        tick.stop()
        faults.remove()
        app.removeEventFilter(guard)


def _icon() -> QIcon:
    lamp = Lamp(64)
    picture = QPixmap(lamp.size())
    picture.fill("transparent")
    lamp.render(picture)
    return QIcon(picture)

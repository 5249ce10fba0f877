"""Starts the desk: application, log, guards, window."""

from __future__ import annotations

import logging
import signal
import sys
import types

from PySide6.QtCore import QMessageLogContext, QTimer, QtMsgType, qInstallMessageHandler
from PySide6.QtGui import QIcon, QPixmap
from PySide6.QtWidgets import QApplication

from app import i18n
from app.desktop import theme
from app.desktop.desk import Desk
from app.desktop.ime import Guard
from app.desktop.start import Lamp
from app.desktop.window import Window
from app.i18n import tr

log = logging.getLogger("lamproom.desk")
qt_log = logging.getLogger("lamproom.desk.qt")

_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


def build(language: str | None = None) -> Window:
    """The window with everything behind it; needs a QApplication. The caller shows it."""
    sys.setswitchinterval(0.001)  # a worker in Python then holds a frame up for 1 ms instead of 5
    desk = Desk()
    i18n.use(language or str(desk.values.get("language") or "") or i18n.guess())
    theme.choose(str(desk.values.get("theme") or "dark"))
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
    qInstallMessageHandler(_qt_message)
    guard = Guard(app)
    app.installEventFilter(guard)
    window = build(lang)
    sys.excepthook = lambda kind, fault, trace: _bug(window, kind, fault, trace)
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
        sys.excepthook = sys.__excepthook__
        qInstallMessageHandler(None)
        app.removeEventFilter(guard)


def _icon() -> QIcon:
    lamp = Lamp(64)
    picture = QPixmap(lamp.size())
    picture.fill("transparent")
    lamp.render(picture)
    return QIcon(picture)


def _qt_message(kind: QtMsgType, context: QMessageLogContext, text: str) -> None:
    qt_log.log(_LEVELS.get(kind, logging.WARNING), "%s: %s", getattr(context, "category", ""), text)


def _bug(
    window: Window, kind: type[BaseException], fault: BaseException, trace: types.TracebackType | None
) -> None:
    """A bug: into the log whole, into the problem list as one line. Committed work is safe, so the desk goes on."""
    if issubclass(kind, KeyboardInterrupt):
        window.close()
        return
    log.error("a bug", exc_info=(kind, fault, trace))
    window.desk.trouble(
        tr("a fault of the program: {fault}; the log has it whole", fault=f"{kind.__name__}: {fault}")
    )

"""Starts the desk: application, guards, window.

The frame is painted first and everything heavy (numpy, SQLAlchemy, cv2: more than half of the start) is imported on a
thread while it stands there, so this module and what it imports at the top must stay light.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import importlib
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtGui import QIcon, QPixmap
from PySide6.QtWidgets import QApplication

from annotation.errors import LamproomError
from app import i18n, settings
from app.desktop import theme
from app.desktop.faults import Faults
from app.desktop.ime import Guard
from app.desktop.lamp import Lamp, Waiting
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.window import Window

HEAVY = "app.desktop.window"

_M_ARENA_MAX = -8
"""mallopt(3)."""


def build(language: str | None = None) -> Window:
    """The window with everything behind it; needs a QApplication. The caller shows it."""
    with contextlib.suppress(OSError, AttributeError):  # glibc only
        # A heap for each of a dozen threads keeps what each of them once needed; two share it.
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
    from app.desktop import keys
    from app.desktop.desk import Desk
    from app.desktop.window import Window

    sys.setswitchinterval(0.001)  # a worker in Python then holds a frame up for 1 ms instead of 5
    desk = Desk()
    i18n.use(language or str(desk.values.get("language") or "") or i18n.guess())
    theme.choose(str(desk.values["theme"]))
    keys.load(desk)
    window = Window(desk)
    desk.setParent(window)
    _settle()
    return window


@functools.cache
def _settle() -> None:
    """Modules and the first window live as long as the program; walking them held frames up for 100 ms."""
    gc.freeze()


def run(
    location: str | None = None, lang: str | None = None, *, ready: Callable[[str], object] = lambda _: None
) -> int:
    """Open the desk, on a workspace if one is named, and return the exit code when it is closed.

    Args:
        location: a workspace's folder or address.
        lang: zh_CN or en; default: the setting, else the system's.
        ready: is told "frame" when the first frame is painted and "usable" when the desk answers.
    """
    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    app.setApplicationName("lamproom")
    app.setApplicationDisplayName("")
    app.setStyle("Fusion")
    app.setQuitOnLastWindowClosed(False)  # the frame goes before the desk has come
    theme.choose(_theme())
    app.setFont(theme.font(13))
    app.setWindowIcon(_icon())
    waiting = Waiting()
    waiting.show()
    _load(lambda: ready("frame"))
    guard = Guard(app)
    app.installEventFilter(guard)
    window = build(lang)
    window.first_time = True

    def end() -> None:
        window.close()

    send = window.desk.tasks.courier.send  # a fault may come from any thread
    faults = Faults(
        lambda line, report: send(lambda: window.tell_fault(line, report)),
        lambda: send(end),
    )
    if crash := faults.install():
        window.tell_fault(tr("the desk was ended by a crash"), crash)
    window.show()
    window.activateWindow()
    waiting.close()
    app.setQuitOnLastWindowClosed(True)
    if location:
        window.open_workspace(location)
    QTimer.singleShot(0, window, lambda: ready("usable"))
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


def _load(painted: Callable[[], object]) -> None:
    """Import the heavy part on a thread while the frame is painted and answers the window system.

    Raises:
        BaseException: what the import raised.
    """
    loop = QEventLoop()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            importlib.import_module(HEAVY)
        except BaseException as fault:  # raised again below, where it is caught like any other
            raised.append(fault)

    thread = threading.Thread(target=work, name="lamproom-import", daemon=True)
    look = QTimer()
    look.setInterval(5)
    look.timeout.connect(lambda: None if thread.is_alive() else loop.quit())

    def begin() -> None:
        painted()
        thread.start()
        look.start()

    QTimer.singleShot(0, loop, begin)
    loop.exec()
    look.stop()
    if raised:
        raise raised[0]


def _theme() -> str:
    try:
        return str(settings.get("theme"))
    except LamproomError:  # told later, in the problem list
        return "dark"


def _icon() -> QIcon:
    lamp = Lamp(64)
    picture = QPixmap(lamp.size())
    picture.fill("transparent")
    lamp.render(picture)
    return QIcon(picture)

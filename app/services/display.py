"""Whether a window can be opened here at all; imports nothing heavy, because every start of the desk asks it."""

from __future__ import annotations

import os
import subprocess
import sys

from annotation.errors import Unavailable

CHILD_S = 120
_QT = "import PySide6.QtWidgets; from PySide6.QtGui import QGuiApplication; QGuiApplication([])"
_QT_PACKAGES = (
    "libegl1 libgl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 "
    "libxcb-keysyms1 libxcb-shape0 libxcb-randr0"
)


def has_display() -> bool:
    """There is a screen to open a window on, or the person chose Qt's platform."""
    named = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return sys.platform in ("win32", "darwin") or any(os.environ.get(name) for name in named)


def qt_fault() -> Unavailable | None:
    """Why Qt cannot start here, or None. Tried in a child process: a missing library ends the process that asks."""
    env = dict(os.environ) if has_display() else {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", _QT],
        capture_output=True,
        text=True,
        timeout=CHILD_S,
        errors="replace",
        env=env,
    )
    if done.returncode == 0:
        return None
    lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
    said = next((line for line in lines if line.startswith("qt.qpa")), lines[-1])
    remedy = (
        f"apt-get install --no-install-recommends {_QT_PACKAGES}"
        if sys.platform == "linux"
        else "install the program again"
    )
    return Unavailable(f"Qt cannot be loaded: {said}", remedy=remedy)

"""What happens when the program itself is at fault: the work stays, one line says so, a report can be taken away.

Every way a fault can arrive ends here: an exception out of a slot, out of a thread, a message of Qt, and a crash below
Python (written by faulthandler and found at the next start). Gestures are committed before the screen says so, so
there is nothing to save: the desk goes on.
"""

from __future__ import annotations

import faulthandler
import logging
import platform
import re
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TextIO

from PySide6 import __version__ as qt_version
from PySide6.QtCore import QMessageLogContext, QtMsgType, qInstallMessageHandler

from app import log as logs

log = logging.getLogger("lamproom.desk")
qt_log = logging.getLogger("lamproom.desk.qt")

TAIL_LINES = 200
_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


class Faults:
    """Catches every fault of the process while it is installed and tells `told(line, report)`, from any thread."""

    def __init__(self, told: Callable[[str, str], None], stop: Callable[[], object]) -> None:
        self._told, self._stop = told, stop
        self._crash: TextIO | None = None

    def install(self) -> str:
        """Begin; returns what a crash of the sitting before left behind, "" when it ended well."""
        self._hooks = sys.excepthook, threading.excepthook
        sys.excepthook = self._raised
        threading.excepthook = self._in_thread
        qInstallMessageHandler(_qt_message)
        return self._watch_crashes()

    def remove(self) -> None:
        """Leave everything as it was; a crash file without a crash is taken away."""
        sys.excepthook, threading.excepthook = self._hooks
        qInstallMessageHandler(None)
        if self._crash is not None:
            faulthandler.disable()
            self._crash.close()
            self._crash = None
            _crash_file().unlink(missing_ok=True)

    def _watch_crashes(self) -> str:
        before = ""
        try:
            folder().mkdir(parents=True, exist_ok=True)
            if _crash_file().exists():
                before = _crash_file().read_text(encoding="utf-8", errors="replace").strip()
                if before:
                    _crash_file().replace(folder() / f"crash-{time.strftime('%Y%m%d-%H%M%S')}.txt")
            self._crash = _crash_file().open("w", encoding="utf-8")
            faulthandler.enable(self._crash)
        except OSError as error:
            log.warning("crashes cannot be written down: %s", error)
        return before

    def _raised(
        self, kind: type[BaseException], fault: BaseException, trace: types.TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            self._stop()
            return
        log.error("a fault of the program", exc_info=(kind, fault, trace))
        self._told(f"{kind.__name__}: {fault}", report(kind, fault, trace))

    def _in_thread(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit and args.exc_value is not None:
            self._raised(args.exc_type, args.exc_value, args.exc_traceback)


def folder() -> Path:
    """Where reports and the crash file lie."""
    return logs.folder() / "reports"


def _crash_file() -> Path:
    return folder() / "crash.txt"


def write(text: str) -> Path:
    """Put a report into a file and say which.

    Raises:
        OSError: the disk refuses.
    """
    folder().mkdir(parents=True, exist_ok=True)
    base = time.strftime("report-%Y%m%d-%H%M%S")
    names = (f"{base}{f'-{i}' if i else ''}.txt" for i in range(1000))
    target = next(p for name in names if not (p := folder() / name).exists())
    target.write_text(text, encoding="utf-8")
    return target


def report(kind: type[BaseException], fault: BaseException, trace: types.TracebackType | None) -> str:
    """A fault for those who mend the program: versions, the fault, the log's end. No picture, no label, no path of data.

    The message of the fault and the log may name files; names of people's files are cut to their ending.
    """
    # Places only: a line of source may quote what it was given.
    where = "".join(f"  {f.filename}:{f.lineno} in {f.name}\n" for f in traceback.extract_tb(trace))
    lines = [
        f"Lamproom {_version()} · {time.strftime('%Y-%m-%d %H:%M:%S')}",
        f"Python {platform.python_version()} · Qt {qt_version} · {platform.platform()}",
        "",
        _plain(f"{kind.__name__}: {fault}"),
        "",
        _own(where),
        "The log's end:",
        *(_plain(line) for line in tail()),
    ]
    return "\n".join(lines) + "\n"


def tail() -> list[str]:
    """The last lines of the log."""
    try:
        with logs.path().open(encoding="utf-8", errors="replace") as source:
            return [line.rstrip("\n") for line in source.readlines()[-TAIL_LINES:]]
    except OSError:
        return []


_SAID = re.compile(r"""'[^']*'|"[^"]*"|“[^”]*”|«[^»]*»|[^\x00-\x7f]+""")
_PATH = re.compile(r"""(?<![\w.])(?:[A-Za-z]:)?[\w.~%+-]*[/\\][^\s'",;:()]+""")


def _plain(text: str) -> str:
    """Without what may be people's data: quoted words, Chinese, folders and names of files (their ending stays)."""
    text = _PATH.sub(lambda m: "…" + Path(m[0].replace("\\", "/")).suffix, text)
    return _SAID.sub("…", text)


def _own(trace: str) -> str:
    """The stack with paths from the program's folder on."""
    root = str(Path(__file__).resolve().parents[2])
    return trace.replace(f"{root}/", "").replace(f"{root}\\", "").replace(str(Path.home()), "~")


def _version() -> str:
    try:
        return metadata.version("lamproom")
    except metadata.PackageNotFoundError:  # a checkout that was not installed
        return "(checkout)"


def _qt_message(kind: QtMsgType, context: QMessageLogContext, text: str) -> None:
    qt_log.log(_LEVELS.get(kind, logging.WARNING), "%s: %s", getattr(context, "category", ""), text)

"""A seat at the real desk for its benchmarks: a window on a workspace, a hand on mouse and keys, and a clock.

A step is timed from sending the event until nothing is left to be painted, on the interface thread: wall time, and
beside it the thread's own CPU time, because the machine's other work is not ours. Bars are printed one a line.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QObject, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from app.desktop import main, theme
from app.desktop.ime import Guard
from app.desktop.window import Window

WINDOW = (1920, 1200)
_NONE = Qt.KeyboardModifier.NoModifier


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of every step: wall clock and CPU of the interface thread."""

    wall: NDArray[np.float64]
    cpu: NDArray[np.float64]
    painted: int = 0
    """Paint events of the canvas meanwhile."""

    def at(self, percent: float) -> float:
        """Wall time that so many of a hundred steps keep to."""
        return float(np.percentile(self.wall, percent))

    def own(self, percent: float) -> float:
        """CPU time of the interface thread that so many of a hundred steps keep to."""
        return float(np.percentile(self.cpu, percent))

    def said(self) -> str:
        """Median / p95 / worst."""
        w, c = self.wall, self.cpu
        return (
            f"{np.median(w):.1f} / {np.percentile(w, 95):.1f} / {w.max():.1f} ms"
            f" (own CPU {np.median(c):.1f} / {np.percentile(c, 95):.1f} / {c.max():.1f}; {self.painted} paints in {len(w)} steps)"
        )


class _Paints(QObject):
    """Counts paint events."""

    n = 0

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        self.n += event.type() == QEvent.Type.Paint
        return False


class Seat:
    """See the module. Positions are source pixels of the open picture unless they say otherwise."""

    def __init__(self, location: Path, size: tuple[int, int] = WINDOW) -> None:
        existing = QApplication.instance()
        self.app = existing if isinstance(existing, QApplication) else QApplication(["bench"])
        self.app.setStyle("Fusion")
        self.app.setFont(theme.font(13))
        self.guard = Guard(self.app)
        self.app.installEventFilter(self.guard)
        self.paints = _Paints()
        self.window: Window = main.build("zh_CN")
        ratio = self.window.devicePixelRatioF()
        room = self.app.primaryScreen().availableSize() if ratio != 1 else None
        w, h = size if room is None else (min(size[0], room.width()), min(size[1], room.height()))
        self.window.resize(w, h)
        self.window.show()
        self.window.activateWindow()
        self.desk, self.annotate = self.window.desk, self.window.annotate
        self.doc, self.canvas = self.desk.document, self.annotate.canvas
        self.window.open_workspace(str(location))
        self.until(lambda: self.desk.dataset is not None and self.desk.schema is not None)
        self._held = Qt.MouseButton.NoButton
        self.canvas.installEventFilter(self.paints)
        self.window.go("annotate")
        self.spin()

    def close(self) -> None:
        """End it as a person does."""
        self.window.close()
        self.window.deleteLater()
        self.app.removeEventFilter(self.guard)
        self.spin()

    def spin(self) -> None:
        """Do all that waits on the interface thread, painting included: Qt would put that off to a timer of 5 ms."""
        self.app.processEvents()
        self.app.sendEvent(self.window, QEvent(QEvent.Type.UpdateRequest))
        # Without a running event loop nobody deletes what was left for later.
        self.app.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Serve events until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            self.app.processEvents()
            if time.monotonic() > end:
                raise TimeoutError("the desk did not come to rest")
            time.sleep(0.0005)

    def rest(self) -> None:
        """Until every gesture is committed, every read done, and the overlay drawn."""
        tasks = self.desk.tasks
        pools = (tasks.readers, tasks.pictures, tasks.thumbs, tasks.writer)
        self.until(lambda: self.doc.pending == 0 and self.canvas.worker.idle and all(p.idle for p in pools))
        self.spin()

    def open(self, asset_id: int) -> None:
        """Show a picture and wait until it can be worked on."""
        self.window.go("annotate")
        self.annotate.open(asset_id)
        self.until(lambda: self.ready(asset_id))
        self.canvas.setFocus()

    def ready(self, asset_id: int) -> bool:
        """The picture and its objects are there."""
        return self.doc.asset_id == asset_id and self.doc.loaded and self.canvas.mips is not None

    # --- mouse and keys ------------------------------------------------------------------------------------------

    def point(self, x: float, y: float) -> QPointF:
        """Widget pixels of a point of the picture."""
        return QPointF(*self.canvas.to_screen(x, y))

    def mouse(self, kind: QEvent.Type, at: QPointF, button=Qt.MouseButton.NoButton, keys=_NONE) -> None:
        """One mouse event at widget pixels, handled when this returns."""
        if kind == QEvent.Type.MouseButtonPress:
            self._held = button
        elif kind == QEvent.Type.MouseButtonRelease:
            self._held = Qt.MouseButton.NoButton
        where = QPointF(self.canvas.mapToGlobal(at))
        self.app.sendEvent(self.canvas, QMouseEvent(kind, at, where, button, self._held, keys))

    def move(self, at: QPointF) -> None:
        """The mouse goes to widget pixels."""
        self.mouse(QEvent.Type.MouseMove, at)

    def press(self, at: QPointF, button=Qt.MouseButton.LeftButton, keys=_NONE) -> None:
        """A button goes down."""
        self.mouse(QEvent.Type.MouseButtonPress, at, button, keys)

    def release(self, at: QPointF, button=Qt.MouseButton.LeftButton, keys=_NONE) -> None:
        """And up."""
        self.mouse(QEvent.Type.MouseButtonRelease, at, button, keys)

    def drag(self, a: QPointF, b: QPointF, steps: int = 3) -> None:
        """Press, move, release."""
        self.press(a)
        for i in range(1, steps + 1):
            self.move(a + (b - a) * (i / steps))
        self.release(b)

    def click(self, at: QPointF, keys=_NONE) -> None:
        """Press and release."""
        self.press(at, keys=keys)
        self.release(at, keys=keys)

    def wheel(self, at: QPointF, notches: float, keys=_NONE) -> None:
        """The wheel is turned."""
        where = QPointF(self.canvas.mapToGlobal(at))
        event = QWheelEvent(
            at, where, QPoint(), QPoint(0, round(120 * notches)), self._held, keys, Qt.ScrollPhase.NoScrollPhase, False
        )  # fmt: skip
        self.app.sendEvent(self.canvas, event)

    def key(self, key: Qt.Key | str, keys=_NONE, on: QWidget | None = None) -> None:
        """A key goes down and up, by way of the shortcuts."""
        QTest.keyClick(on or self.canvas, key, keys)

    # --- clock ---------------------------------------------------------------------------------------------------

    def times(self, step: Callable[[int], object], n: int) -> Times:
        """Do `step(0..n-1)`, each until nothing is left to be painted."""
        wall, cpu = [], []
        before = self.paints.n
        for i in range(n):
            t0, c0 = time.perf_counter(), time.thread_time()
            step(i)
            self.spin()
            wall.append((time.perf_counter() - t0) * 1e3)
            cpu.append((time.thread_time() - c0) * 1e3)
        return Times(np.array(wall), np.array(cpu), self.paints.n - before)


class Bars:
    """Prints bars; `met` says whether all were.

    On a machine with more to do than cores a frame waits for its turn: steps are printed with the interface thread's own
    CPU time as well, which such a machine does not change.
    """

    def __init__(self, where: str) -> None:
        self.where, self.met = where, True

    def __call__(self, name: str, measured: float, limit: float, unit: str = " ms") -> None:
        """At most `limit`."""
        good = measured <= limit
        self.met &= good
        text = f"{measured:.1f}" if measured >= 1 else f"{measured:.3f}"
        print(
            f"BAR {name} [{self.where}]: {text}{unit} vs <= {limit:g}{unit}  {'ok' if good else 'MISSED'}",
            flush=True,
        )

    def steps(self, name: str, found: Times, percent: float, limit: float) -> None:
        """So many of a hundred steps within `limit` ms, by the clock and in own CPU time."""
        which = "median" if percent == 50 else f"p{percent:.0f}"
        self(f"{name}, {which}", found.at(percent), limit)
        self(f"{name}, {which}, own CPU", found.own(percent), limit)


def where() -> str:
    """Platform and scaling of this process, as the bars name it."""
    scale = os.environ.get("QT_SCALE_FACTOR", "1")
    return f"{os.environ.get('QT_QPA_PLATFORM', 'xcb')} {round(float(scale) * 100)} %"

"""Somebody at the real desk in a real window of an X server: the process, the mouse, the keys, and what is to be seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from annotation.core import Annotation, Box
from app.services import labelling, workspace
from app.services.workspace import Workspace

TOOLS = ("Xvfb", "xdotool", "import")
WHY = f"needs {', '.join(TOOLS)} (xvfb, xdotool, imagemagick)"


def missing() -> bool:
    """Whether this machine lacks the tools for a real window."""
    return any(shutil.which(tool) is None for tool in TOOLS)


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for a condition, asking it again and again."""
    if not came(condition, seconds):
        raise AssertionError("the condition did not come true")


def came(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition comes true in time."""
    end = time.monotonic() + seconds
    # a child's end is something to wait on without a busy loop
    tick = subprocess.Popen(["sleep", str(seconds)])
    try:
        while not condition():
            if time.monotonic() > end:
                return False
            try:
                tick.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        return True
    finally:
        tick.kill()
        tick.wait()


@contextmanager
def screen() -> Iterator[str]:
    """A screen of its own; gives its name."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1440x900x24", "-nolisten", "tcp", "-noreset"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as said:
        number = said.readline().strip()
    try:
        yield f":{number}"
    finally:
        server.terminate()
        server.wait(10)


class Person:
    """Works at a desk of their own. `gestures` counts drags, clicks and key presses; `repeats` those nothing came of."""

    def __init__(self, display: str, place: Path, language: str = "en", name: str = "07") -> None:
        self.place, self.gestures, self.repeats = place, 0, 0
        self.scale = self.left = self.top = 0.0
        self.env = {
            **os.environ,
            "DISPLAY": display,
            "QT_QPA_PLATFORM": "xcb",
            "LAMPROOM_PERSON": name,
            "LAMPROOM_LANG": language,
            "LAMPROOM_WORKSPACE": str(place),
        }
        self.log = place.parent / "desk.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", "gui"], env=self.env, stdout=out, stderr=subprocess.STDOUT
            )
        until(lambda: self.window() != "")
        self.x("windowfocus", "--sync", self.window())

    def window(self) -> str:
        """The X server's number of the desk's window, "" while there is none."""
        assert self.process.poll() is None, self.log.read_text()
        found = subprocess.run(
            ["xdotool", "search", "--onlyvisible", "--name", "Lamproom|灯房"],
            env=self.env,
            capture_output=True,
            text=True,
        )
        return found.stdout.split("\n")[-2] if found.stdout else ""

    # --- mouse and keys ------------------------------------------------------------------------------------------

    def x(self, *words: object) -> None:
        """A command of xdotool."""
        subprocess.run(["xdotool", *map(str, words)], env=self.env, check=True, capture_output=True)

    def keys(self, *keys: str) -> None:
        """Press keys, one after the other."""
        self.gestures += len(keys)
        self.x("key", "--delay", 40, *keys)

    def type(self, text: str) -> None:
        """Type a text into what has the focus."""
        self.gestures += 1
        self.x("sleep", 0.3, "type", "--delay", 15, text)

    def drag(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """Drag the mouse over the screen with the left button down."""
        self.gestures += 1
        steps = [
            word
            for i in range(1, 9)
            for word in ("mousemove", x0 + (x1 - x0) * i // 8, y0 + (y1 - y0) * i // 8, "sleep", 0.02)
        ]
        self.x("mousemove", x0, y0, "sleep", 0.05, "mousedown", 1, *steps, "mouseup", 1)

    def until(self, deed: Callable[[], None], condition: Callable[[], bool], seconds: float = 6) -> None:
        """Do something and wait for what comes of it; nothing came of it: once more, as a person would."""
        for attempt in range(5):
            self.repeats += attempt > 0
            deed()
            if came(condition, seconds):
                return
        raise AssertionError(f"nothing came of it: {self.log.read_text()}")

    # --- over the picture ----------------------------------------------------------------------------------------

    def look(self, asset_id: int) -> None:
        """Find out where the picture lies on the screen, by a box that is taken back."""
        x0, y0, x1, y1 = 560, 300, 760, 480
        before = {a.uid for a in self.stored(asset_id)}

        def drawn() -> None:
            self.keys("r")
            self.drag(x0, y0, x1, y1)

        def there() -> list[Annotation]:
            return [a for a in self.stored(asset_id) if a.uid not in before]

        self.until(drawn, lambda: len(there()) == 1)
        shape = there()[0].shape
        assert isinstance(shape, Box)
        self.scale = (x1 - x0) / (shape.x1 - shape.x0)
        self.left, self.top = x0 - shape.x0 * self.scale, y0 - shape.y0 * self.scale
        self.until(lambda: self.keys("ctrl+z"), lambda: not there())

    def at(self, x: float, y: float) -> tuple[int, int]:
        """Where a place of the picture lies on the screen."""
        return round(x * self.scale + self.left), round(y * self.scale + self.top)

    def pull(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Drag over the picture, in its pixels."""
        self.drag(*self.at(x0, y0), *self.at(x1, y1))

    # --- what is to be seen --------------------------------------------------------------------------------------

    @contextmanager
    def record(self) -> Iterator[Workspace]:
        """The record, read beside the desk."""
        with workspace.open(str(self.place), person="reader") as ws:
            yield ws

    def stored(self, asset_id: int) -> list[Annotation]:
        """What the record holds of a picture."""
        with self.record() as ws:
            return list(labelling.load(ws, asset_id).annotations)

    def picture(self, file: Path) -> None:
        """A picture of the screen."""
        subprocess.run(["import", "-window", "root", str(file)], env=self.env, check=True)

    def leave(self) -> None:
        """Close the desk by its key; it ends well."""
        self.keys("ctrl+q")
        assert self.process.wait(20) == 0, self.log.read_text()

    def close(self) -> None:
        """End the desk however it stands."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

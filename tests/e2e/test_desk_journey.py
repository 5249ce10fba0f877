"""The real desk in a real window: `lamproom gui` under Xvfb, driven by mouse and keys of the X server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.services import browse, labelling, workspace
from tests.app.desktop.conftest import draw_pictures, furnish

TOOLS = ("Xvfb", "xdotool", "import")
pytestmark = [
    pytest.mark.gui,
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in TOOLS),
        reason=f"needs {', '.join(TOOLS)} (xvfb, xdotool, imagemagick)",
    ),
]


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for a condition, asking it again and again."""
    end = time.monotonic() + seconds
    tick = subprocess.Popen(
        ["sleep", str(seconds)]
    )  # a child's end is something to wait on without a busy loop
    try:
        while not condition():
            if time.monotonic() > end:
                raise AssertionError("the condition did not come true")
            try:
                tick.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
    finally:
        tick.kill()
        tick.wait()


@pytest.fixture
def screen() -> Iterator[str]:
    """A screen of its own."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1440x900x24", "-nolisten", "tcp", "-noreset"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as said:
        number = said.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait(10)


class Person:
    """Somebody at the desk: the process, the mouse and the keys."""

    def __init__(self, screen: str, place: Path, language: str = "en") -> None:
        self.place = place
        self.env = {
            **os.environ,
            "DISPLAY": screen,
            "QT_QPA_PLATFORM": "xcb",
            "LAMPROOM_PERSON": "07",
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
        assert self.process.poll() is None, self.log.read_text()
        found = subprocess.run(
            ["xdotool", "search", "--onlyvisible", "--name", "Lamproom|灯房"],
            env=self.env,
            capture_output=True,
            text=True,
        )
        return found.stdout.split("\n")[-2] if found.stdout else ""

    def x(self, *words: object) -> None:
        subprocess.run(["xdotool", *map(str, words)], env=self.env, check=True, capture_output=True)

    def keys(self, *keys: str) -> None:
        self.x("key", "--delay", 40, *keys)

    def drag(self, x0: int, y0: int, x1: int, y1: int) -> None:
        steps = [
            word
            for i in range(1, 9)
            for word in ("mousemove", x0 + (x1 - x0) * i // 8, y0 + (y1 - y0) * i // 8, "sleep", 0.02)
        ]
        self.x("mousemove", x0, y0, "sleep", 0.05, "mousedown", 1, *steps, "mouseup", 1)

    def stored(self, asset_id: int) -> list[str]:
        """Origins of what the record holds of a picture, read beside the desk."""
        with workspace.open(str(self.place), person="reader") as ws:
            return sorted(a.origin for a in labelling.load(ws, asset_id).annotations)

    def leave(self) -> None:
        self.keys("ctrl+q")
        assert self.process.wait(20) == 0, self.log.read_text()


@pytest.fixture
def person(screen: str, tmp_path: Path) -> Iterator[Person]:
    made = Person(screen, furnish(tmp_path))
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait(10)


def at_work(person: Person) -> None:
    """Go to the canvas and wait until a box can be drawn: the first drag that is committed shows it."""

    def drawn() -> bool:
        person.keys("ctrl+3", "r")
        person.drag(420, 300, 520, 420)
        return len(person.stored(1)) >= 1

    until(drawn)


def test_a_person_draws_accepts_rejects_undoes_and_leaves(person: Person) -> None:
    at_work(person)
    n = len(person.stored(1))
    person.keys("p")
    for x, y in ((600, 300), (700, 300), (700, 400)):
        person.x("mousemove", x, y, "sleep", 0.05, "click", 1, "sleep", 0.05)
    person.keys("Return")
    person.keys("5", "p")
    until(lambda: len(person.stored(1)) >= n)
    person.keys("Escape", "Escape", "ctrl+z")
    until(lambda: len(person.stored(1)) <= n)
    person.keys("v", "Escape", "d")
    person.keys("Return")

    def one_accepted() -> bool:
        person.keys("Return")
        return "human" in person.stored(2)

    until(one_accepted)
    left = len(person.stored(2))
    person.keys("x")
    until(lambda: len(person.stored(2)) == left - 1)
    person.keys("ctrl+z")
    until(lambda: len(person.stored(2)) == left)
    person.leave()


def test_a_person_adds_a_folder_of_pictures_by_keys_alone(person: Person, tmp_path: Path) -> None:
    draw_pictures(tmp_path / "more", 3, (320, 240))

    def added() -> bool:
        with workspace.open(str(person.place), person="reader") as ws:
            return any(d.name == "second" and d.n_assets == 3 for d in browse.datasets(ws))

    at_work(person)
    person.keys("ctrl+i")
    person.x("sleep", 0.5, "type", "--delay", 15, str(tmp_path / "more"))
    person.keys("Tab", "Tab", "Tab", "ctrl+a")
    person.x("type", "--delay", 15, "second")
    person.keys("Return")
    until(added)
    person.leave()

"""The real desk in a real window: `lamproom gui` under Xvfb, driven by mouse and keys of the X server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.services import browse
from tests.app.desktop.conftest import draw_pictures, furnish
from tests.support.person import Person, until

pytestmark = pytest.mark.gui


@pytest.fixture
def person(screen: str, tmp_path: Path) -> Iterator[Person]:
    made = Person(screen, furnish(tmp_path))
    yield made
    made.close()


def origins(person: Person, asset_id: int) -> list[str]:
    return sorted(a.origin for a in person.stored(asset_id))


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
    person.until(lambda: person.keys("Return"), lambda: "human" in origins(person, 2))
    left = len(person.stored(2))
    person.keys("x")
    until(lambda: len(person.stored(2)) == left - 1)
    person.keys("ctrl+z")
    until(lambda: len(person.stored(2)) == left)
    person.leave()


def test_a_person_adds_a_folder_of_pictures_by_keys_alone(person: Person, tmp_path: Path) -> None:
    draw_pictures(tmp_path / "more", 3, (320, 240))

    def added() -> bool:
        with person.record() as ws:
            return any(d.name == "second" and d.n_assets == 3 for d in browse.datasets(ws))

    at_work(person)
    person.keys("ctrl+i")
    person.type(str(tmp_path / "more"))
    person.keys("Tab", "Tab", "Tab", "ctrl+a")
    person.type("second")
    person.keys("Return")
    until(added)
    person.leave()

"""Journeys: a screen for real windows, the desk's own window for Qt's events, and in which language and theme."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app import settings
from tests.app.desktop.conftest import guard, window  # noqa: F401  (fixtures)
from tests.support import person
from tests.support.journey import Tale

LOOKS = {
    "label": (("en", "dark"), ("zh_CN", "light")),
    "correct": (("zh_CN", "dark"), ("en", "light")),
    "review": (("zh_CN", "light"), ("en", "dark")),
    "find": (("zh_CN", "dark"), ("en", "light")),
    "undo": (("en", "light"), ("zh_CN", "dark")),
    "sequence": (("zh_CN", "light"), ("en", "dark")),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each journey (test_<name>_…) in one language and theme; with --whole in two."""
    if "tale" in metafunc.fixturenames:
        name = metafunc.function.__name__.split("_")[1]
        looks = LOOKS[name] if metafunc.config.getoption("--whole") else LOOKS[name][:1]
        cases = [(name, *one) for one in looks]
        metafunc.parametrize("tale", cases, ids=["-".join(c[1:]) for c in cases], indirect=True)


@pytest.fixture
def tale(request: pytest.FixtureRequest, home: Path) -> Tale:
    """The journey's name and look; the theme is in the person's settings before the desk starts."""
    made = Tale(*request.param)
    settings.put("theme", made.theme)
    return made


@pytest.fixture
def real(request: pytest.FixtureRequest) -> Path | None:
    """The shared pictures; None, said aloud, where there are none and drawn scenes have to do."""
    try:
        return Path(request.getfixturevalue("shared"))
    except pytest.skip.Exception as absent:
        print(f"drawn scenes instead of real pictures: {absent}")
        return None


@pytest.fixture
def screen() -> Iterator[str]:
    """A screen of its own."""
    if person.missing():
        pytest.skip(person.WHY)
    with person.screen() as name:
        yield name

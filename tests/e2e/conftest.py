"""A screen for real windows, and the desk's own window for journeys by Qt's events."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.app.desktop.conftest import guard, window  # noqa: F401  (fixtures)
from tests.support import person


@pytest.fixture
def screen() -> Iterator[str]:
    """A screen of its own."""
    if person.missing():
        pytest.skip(person.WHY)
    with person.screen() as name:
        yield name

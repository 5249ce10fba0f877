"""The gallery on a slow machine: somebody writes, clicks and opens before the names or the rows are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from app.desktop.gallery.page import Gallery
from app.desktop.tasks import Pool
from app.desktop.window import Window
from app.services import listing
from app.services.listing import Names
from tests.app.desktop.conftest import Hand, open_in
from tests.app.desktop.test_gallery import gallery, rest  # noqa: F401  (a fixture)

CTRL = Qt.KeyboardModifier.ControlModifier


class Gate:
    """Keeps the names, or whatever else `shut` holds for, from being read until it is opened; no thread waits meanwhile."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.shut: Callable[[object], bool] = lambda key: key == "names"
        self.held: list[Callable[[], None]] = []
        """What was asked for."""
        self.answers: list[Callable[[Names], None]] = []
        """What an answer would be given to, oldest first."""
        submit = Pool.submit

        def kept(pool: Pool, work: Any, done: Any, error: Any, *, key: object = None, **more: Any) -> None:
            if self.shut(key):
                self.held.append(lambda: submit(pool, work, done, error, key=key, **more))
                self.answers.append(done)
            else:
                submit(pool, work, done, error, key=key, **more)

        patch.setattr(Pool, "submit", kept)

    def open(self) -> None:
        self.shut = lambda _: False
        for one in self.held:
            one()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


@pytest.fixture
def early(gate: Gate, window: Window, qtbot: QtBot, place: Path) -> tuple[Hand, Gallery]:
    """The gallery of five pictures as it is seen before any name is known."""
    hand = open_in(window, qtbot, place)
    hand.key("2", CTRL)
    qtbot.waitUntil(lambda: window.gallery.rows.complete and window.gallery.rows.count == 5)
    assert gate.held
    return hand, window.gallery


def write(made: Gallery, text: str) -> None:
    QTest.keyClick(made.grid, "/")
    QTest.keyClicks(made.line.edit, text)


# --- before the names are there ----------------------------------------------------------------------------------


def test_a_query_ended_before_its_names_are_read_is_looked_at_when_they_come(
    early: tuple[Hand, Gallery], gate: Gate
) -> None:
    hand, made = early
    write(made, "class:helmet")
    QTest.keyClick(made.line.edit, Qt.Key.Key_Return)
    assert not made.line.fault.isVisible() and made.line.edit.text() == "class:helmet"
    gate.open()
    hand.qtbot.waitUntil(lambda: made.rows.complete and made.rows.count == 1)
    hand.qtbot.waitUntil(made.grid.hasFocus)
    assert made.line._chips_row.count() == 1


def test_a_query_left_before_its_names_are_read_is_looked_at_and_the_keys_stay_where_they_are(
    early: tuple[Hand, Gallery], gate: Gate
) -> None:
    hand, made = early
    write(made, "class:helmet")
    QTest.keyClick(made.line.edit, Qt.Key.Key_Return)
    made.slider.setFocus()
    gate.open()
    hand.qtbot.waitUntil(lambda: made.rows.complete and made.rows.count == 1)
    assert made.slider.hasFocus()


def test_what_is_written_on_after_return_or_given_up_is_not_looked_at(
    early: tuple[Hand, Gallery], gate: Gate
) -> None:
    hand, made = early
    write(made, "class:helmet")
    QTest.keyClick(made.line.edit, Qt.Key.Key_Return)
    QTest.keyClicks(made.line.edit, " ")
    QTest.keyClick(made.line.edit, Qt.Key.Key_Escape)
    assert made.grid.hasFocus()
    gate.open()
    rest(hand, made)
    assert made.rows.count == 5 and made.line._chips_row.count() == 0


def test_what_cannot_be_read_with_the_names_is_said_when_they_come(
    early: tuple[Hand, Gallery], gate: Gate
) -> None:
    hand, made = early
    write(made, "class:halmet")
    QTest.keyClick(made.line.edit, Qt.Key.Key_Return)
    assert not made.line.fault.isVisible()
    gate.open()
    hand.qtbot.waitUntil(made.line.fault.isVisible)
    assert "helmet" in made.line.fault.text() and made.line.edit.text() == "class:halmet"
    assert made.line.edit.hasFocus() and made.rows.count == 5


def test_a_saved_filter_clicked_before_the_names_are_read_is_looked_at_when_they_come(
    early: tuple[Hand, Gallery], gate: Gate
) -> None:
    hand, made = early
    made.facets.asked.emit("class:helmet")
    assert not hand.desk.problems
    gate.open()
    hand.qtbot.waitUntil(lambda: made.rows.complete and made.rows.count == 1)


@pytest.mark.parametrize("pause", [False, True])
def test_names_completed_in_vain_are_offered_when_they_come(
    early: tuple[Hand, Gallery], gate: Gate, pause: bool
) -> None:
    hand, made = early
    write(made, "class:")
    assert not made.line.popup.isVisible()
    hand.qtbot.waitUntil(lambda: not pause or not made.line._typing.isActive())
    gate.open()
    hand.qtbot.waitUntil(made.line.popup.isVisible)
    assert "helmet" in [one.text for one in made.line._offered]


# --- while names are read again ----------------------------------------------------------------------------------


def test_what_is_being_written_stays_while_everything_is_read_again(hand: Hand, gallery: Gallery) -> None:  # noqa: F811
    write(gallery, "class:hel")
    gallery._renew()  # something was saved
    rest(hand, gallery)
    assert gallery.line.edit.text() == "class:hel" and gallery.line.popup.isVisible()


def test_after_a_pause_one_writes_on_where_one_was(hand: Hand, gallery: Gallery) -> None:  # noqa: F811
    write(gallery, "class:person ")
    hand.qtbot.waitUntil(lambda: gallery.rows.complete and gallery.rows.count == 1)
    rest(hand, gallery)
    QTest.keyClicks(gallery.line.edit, "score<0.5")
    assert gallery.line.edit.text() == "class:person score<0.5"
    QTest.keyClick(gallery.line.edit, Qt.Key.Key_Return)
    hand.qtbot.waitUntil(lambda: gallery.rows.complete and gallery.rows.count == 0)


def test_another_query_from_elsewhere_is_shown_in_the_open_line(hand: Hand, gallery: Gallery) -> None:  # noqa: F811
    write(gallery, "class:hel")
    gallery.facets.asked.emit("score>0.8")
    assert gallery.line.edit.text() == "score>0.8 "
    rest(hand, gallery)
    assert listing.show(gallery.node, gallery.names) == "score>0.8"


def test_a_facet_clicked_right_after_a_query_narrows_that_query(
    hand: Hand,
    gallery: Gallery,  # noqa: F811
    gate: Gate,
) -> None:
    gallery.ask("score>0.5")
    gallery.facets._toggle(listing.Term("class", ":", ("person",)))
    gate.open()
    rest(hand, gallery)
    assert listing.show(gallery.node, gallery.names) == "score>0.5 class:person"


def test_names_read_before_newer_ones_do_not_come_back(hand: Hand, gallery: Gallery, gate: Gate) -> None:  # noqa: F811
    old, new = (Names(gallery.names.schema, people=(who,)) for who in ("07", "08"))
    gallery._read_names()
    gallery._read_names()
    first, second = gate.answers
    second(new)
    first(old)
    assert gallery.names == new


# --- before the rows are there -----------------------------------------------------------------------------------


@pytest.mark.parametrize("given_up", [False, True])
def test_what_is_opened_before_its_row_is_read_is_opened_then_unless_one_went_on(
    hand: Hand,
    gallery: Gallery,  # noqa: F811
    gate: Gate,
    given_up: bool,
) -> None:
    gate.shut = lambda key: isinstance(key, tuple) and key[0] == "rows"
    gallery.show_objects(True)
    hand.qtbot.waitUntil(lambda: gallery.rows.complete and gallery.rows.count == 3)
    QTest.keyClick(gallery.grid, Qt.Key.Key_Home)
    QTest.keyClick(gallery.grid, Qt.Key.Key_Return)
    assert gallery.rows.row(0) is None
    if given_up:
        QTest.keyClick(gallery.grid, "/")
    gate.open()
    hand.qtbot.waitUntil(lambda: gallery.rows.row(0) is not None)
    if given_up:
        assert hand.window.place == "gallery"
    else:
        hand.qtbot.waitUntil(lambda: hand.ready(2) and len(hand.doc.selection) == 1)

"""A skeleton is placed point by point with the next point's name in sight, or whole in a dragged box."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from annotation.core import Keypoints
from tests.app.desktop.conftest import Hand

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
ENTER, BACK = Qt.Key.Key_Return, Qt.Key.Key_Backspace


def right(hand: Hand, x: float, y: float) -> None:
    QTest.mouseClick(
        hand.canvas, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, hand.point(x, y)
    )


@pytest.fixture
def person(hand: Hand) -> Hand:
    """The skeleton tool with the class of a person in hand."""
    hand.open(1)
    hand.key("1")
    hand.key("k")
    return hand


def figure(hand: Hand) -> Keypoints:
    (made,) = hand.stored().values()
    assert isinstance(made.shape, Keypoints)
    return made.shape


def test_points_are_clicked_in_order_and_the_next_ones_name_is_shown(person: Hand) -> None:
    assert "nose" in person.canvas.hint
    person.click(100, 50)
    assert "left eye" in person.canvas.hint and "2/17" in person.canvas.hint
    right(person, 110, 45)  # hidden
    person.key(".")  # absent
    assert "left ear" in person.canvas.hint
    person.key(BACK)
    assert "right eye" in person.canvas.hint
    person.click(92, 45)
    person.key(ENTER)
    found = figure(person)
    assert found.visibility == (2, 1, 2) + (0,) * 14
    assert [round(v) for v in found.points[:2]] == pytest.approx([100, 50], abs=1)


def test_the_last_point_ends_the_skeleton_by_itself(person: Hand) -> None:
    for i in range(17):
        person.click(60 + 15 * i, 100 + 10 * (i % 3))
    assert figure(person).visibility == (2,) * 17
    assert not person.canvas.tool.busy


def test_a_drag_lays_the_whole_skeleton_into_the_box(person: Hand) -> None:
    person.drag(100, 60, 200, 300)
    found = figure(person)
    assert found.visibility == (2,) * 17
    assert min(found.points[::2]) >= 99 and max(found.points[1::2]) <= 301


def test_one_point_is_dragged_and_its_visibility_toggled_by_button_and_key(person: Hand) -> None:
    person.drag(100, 60, 200, 300)
    before = figure(person)
    person.key("v")
    x, y = before.points[:2]
    person.drag(x, y, x + 30, y + 5)
    moved = figure(person)
    assert moved.points[0] == pytest.approx(x + 30, abs=1.5)
    assert moved.points[2:] == before.points[2:]
    x, y = moved.points[:2]
    person.move(x, y)
    right(person, x, y)
    assert figure(person).visibility[0] == 1
    person.key("k", SHIFT)
    assert figure(person).visibility[0] == 2
    person.key(Qt.Key.Key_Delete)
    assert figure(person).visibility[0] == 0
    person.key("z", CTRL)
    assert figure(person).visibility[0] == 2


def test_a_class_without_a_skeleton_is_refused_with_the_reason(person: Hand) -> None:
    bare = next(c for c in person.desk.labels() if c.skeleton is None)
    person.desk.choose_label(bare.code)
    person.click(100, 100)
    assert person.stored() == {}
    assert bare.name("en") in person.canvas.hint

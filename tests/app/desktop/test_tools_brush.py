"""The brush paints pixels: what is stored is a mask, one stroke is one change, and nothing of it is ever a polygon."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from annotation import geometry, rle
from annotation.core import Mask
from app.desktop.canvas.tools.brush import BrushTool
from tests.app.desktop.conftest import Hand

CTRL, SHIFT, ALT = (
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.AltModifier,
)
ENTER, ESC = Qt.Key.Key_Return, Qt.Key.Key_Escape


@pytest.fixture
def free(hand: Hand) -> Hand:
    """The first picture with the brush in hand, every class drawn as anything."""
    hand.open(1)
    hand.canvas.allowed = lambda _label, _kind: True
    hand.canvas.ways.brush = 20.0
    hand.key("b")
    return hand


def painted(hand: Hand) -> np.ndarray:
    """The pixels of the one stored object."""
    hand.qtbot.waitUntil(lambda: not hand.canvas.tools["brush"]._waiting)
    (made,) = hand.stored().values()
    assert isinstance(made.shape, Mask)
    return rle.decode(made.shape)


def test_a_stroke_is_stored_as_the_pixels_that_were_painted(free: Hand) -> None:
    free.drag(100, 100, 200, 100)
    found = painted(free)
    assert found.shape == (360, 480)
    wanted = np.zeros_like(found)
    cv2.line(wanted, (100, 100), (200, 100), 1, 20)
    assert np.count_nonzero(found != wanted) < 0.03 * np.count_nonzero(wanted)
    assert free.doc.selection and not free.canvas.has_live


def test_the_next_stroke_goes_into_the_same_mask_and_undo_takes_strokes_one_by_one(free: Hand) -> None:
    free.drag(100, 100, 200, 100)
    first = painted(free)
    free.drag(100, 200, 200, 200)
    both = painted(free)
    assert both.sum() > 1.8 * first.sum()
    free.key("z", CTRL)
    assert (painted(free) == first).all()
    free.key("z", CTRL)
    assert free.stored() == {}
    free.key("z", CTRL, SHIFT)
    assert (painted(free) == first).all()


def test_a_stroke_after_undo_begins_from_what_the_record_holds(free: Hand) -> None:
    free.drag(100, 100, 200, 100)
    painted(free)
    free.drag(100, 200, 200, 200)
    painted(free)
    free.key("z", CTRL)
    painted(free)
    free.drag(300, 300, 320, 300)
    found = painted(free)
    assert found[100, 150] and found[300, 310] and not found[200, 150]


def test_enter_lets_go_so_that_the_next_stroke_is_another_object(free: Hand) -> None:
    free.drag(100, 100, 200, 100)
    painted(free)
    free.key(ENTER)
    free.drag(100, 200, 200, 200)
    free.qtbot.waitUntil(lambda: len(free.stored()) == 2)


def test_another_class_in_hand_begins_another_mask(free: Hand) -> None:
    free.key("1")
    free.drag(100, 100, 200, 100)
    painted(free)
    free.key("2")
    free.drag(100, 200, 200, 200)
    free.qtbot.waitUntil(lambda: len(free.stored()) == 2)
    assert sorted(a.label for a in free.stored().values()) == ["helmet", "person"]


def test_the_eraser_takes_away_and_an_empty_mask_is_deleted(free: Hand) -> None:
    free.drag(100, 100, 200, 100)
    whole = painted(free).sum()
    free.key("b", SHIFT)
    assert free.canvas.ways.erase
    free.drag(160, 60, 160, 140)
    left = painted(free)
    assert left.sum() < whole and not left[100, 160]
    free.canvas.ways.brush = 200.0
    free.drag(80, 100, 220, 100)
    free.qtbot.waitUntil(lambda: free.stored() == {})
    free.key("z", CTRL)
    assert (painted(free) == left).all()


def test_the_right_button_swaps_brush_and_eraser(free: Hand) -> None:
    at = free.point(100, 100)
    QTest.mouseClick(free.canvas, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, at)
    assert free.canvas.ways.erase
    QTest.mouseClick(free.canvas, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, at)
    assert not free.canvas.ways.erase


def test_escape_in_a_stroke_puts_the_pixels_back(free: Hand) -> None:
    free.drag(100, 100, 200, 100)
    first = painted(free)
    free.press(100, 200)
    free.move(200, 200)
    free.key(ESC)
    free.release(200, 200)
    assert (painted(free) == first).all()
    free.drag(300, 300, 310, 300)
    found = painted(free)
    assert found[300, 305] and not found[200, 150]


def test_area_mode_fills_what_is_drawn_around_and_holes_are_filled_by_a_command(free: Hand) -> None:
    free.key("b", ALT)
    free.key("b", ALT)
    assert free.canvas.ways.brush_form == "area"
    free.press(100, 100)
    for x, y in ((200, 100), (200, 200), (100, 200), (100, 102)):
        free.move(x, y)
    free.release(100, 102)
    assert abs(int(painted(free).sum()) - 10_000) < 300
    free.key("b", SHIFT)
    free.press(130, 130)
    for x, y in ((170, 130), (170, 170), (130, 170), (130, 132)):
        free.move(x, y)
    free.release(130, 132)
    holed = painted(free)
    assert not holed[150, 150]
    free.key("f", ALT)
    assert painted(free)[150, 150]


def test_square_and_round_brushes_paint_squares_and_discs(free: Hand) -> None:
    free.canvas.ways.brush = 41.0
    free.click(100, 100)
    disc = painted(free)
    free.key(ENTER)
    free.key("b", ALT)
    free.click(300, 200)
    free.qtbot.waitUntil(lambda: len(free.stored()) == 2)
    square = next(a.shape for a in free.stored().values() if rle.decode(a.shape)[200, 300])
    assert disc.sum() == pytest.approx(np.pi * 20.5**2, rel=0.06)
    assert geometry.area(square) == pytest.approx(41**2, rel=0.06)


def test_keys_and_wheel_change_the_size_and_it_is_remembered(free: Hand) -> None:
    free.key("]")
    larger = free.canvas.ways.brush
    assert larger > 20
    free.key("[")
    assert free.canvas.ways.brush == pytest.approx(20, abs=0.5)
    at = QPointF(free.point(100, 100))
    event = QWheelEvent(
        at, QPointF(free.canvas.mapToGlobal(at.toPoint())), QPoint(), QPoint(0, 120),
        Qt.MouseButton.NoButton, CTRL, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    scale = free.canvas.scale
    QApplication.sendEvent(free.canvas, event)
    assert free.canvas.ways.brush > 20 and free.canvas.scale == scale
    assert float(free.desk.values["brush_px"]) > 0


def test_a_stroke_still_being_encoded_belongs_to_its_own_picture(free: Hand) -> None:
    brush = free.canvas.tools["brush"]
    assert isinstance(brush, BrushTool)
    hold = threading.Event()
    real = brush.run
    brush.run = lambda work, done: real(lambda: (hold.wait(10), work())[1], done)
    free.drag(100, 100, 200, 100)
    free.window.annotate.open(2)
    hold.set()
    free.qtbot.waitUntil(lambda: free.ready(2))
    free.settled()
    assert [a.kind for a in free.stored(1).values()] == ["mask"]
    assert all(a.kind != "mask" for a in free.stored(2).values())


def test_the_window_commits_a_stroke_still_being_encoded_before_it_closes(free: Hand, place) -> None:
    from app.services import labelling, workspace

    brush = free.canvas.tools["brush"]
    assert isinstance(brush, BrushTool)
    brush.run = lambda _work, _done: None  # the thread never comes to it
    free.drag(100, 100, 200, 100)
    free.window.close()
    with workspace.open(str(place)) as ws:
        assert [a.kind for a in labelling.load(ws, 1).annotations] == ["mask"]

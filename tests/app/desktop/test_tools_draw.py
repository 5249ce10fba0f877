"""Every drawing tool makes the kind it is named after, by mouse and keys, and one gesture is one change."""

from __future__ import annotations

import math

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from annotation import geometry, rows
from annotation.core import Box, Cuboid, Ellipse, Points, Polygon, Polyline, Quad, RotatedBox, Shape
from tests.app.desktop.conftest import Hand

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
ENTER, BACK, ESC = Qt.Key.Key_Return, Qt.Key.Key_Backspace, Qt.Key.Key_Escape


@pytest.fixture
def free(hand: Hand) -> Hand:
    """The first picture, with every class drawn as anything."""
    hand.open(1)
    hand.canvas.allowed = lambda _label, _kind: True
    return hand


def only(hand: Hand) -> Shape:
    """The one stored shape; it is what is shown, and one change made it."""
    (made,) = hand.stored().values()
    (shown,) = hand.doc.annotations
    assert shown.shape == made.shape == rows.snapped(made.shape)
    return made.shape


def about(found: float, wanted: float, off: float = 1.5) -> bool:
    return abs(found - wanted) <= off


def right(hand: Hand, x: float, y: float) -> None:
    at = hand.point(x, y)
    QTest.mousePress(hand.canvas, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, at)
    QTest.mouseRelease(hand.canvas, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, at)


def test_two_clicks_make_a_box_like_a_drag(free: Hand) -> None:
    free.key("r")
    free.click(50, 60)
    free.move(100, 100)
    free.click(150, 140)
    shape = only(free)
    assert isinstance(shape, Box)
    assert about(shape.x0, 50) and about(shape.y1, 140)


def test_a_click_with_ctrl_chooses_whatever_tool_is_in_hand(free: Hand) -> None:
    free.key("r")
    free.drag(50, 60, 150, 140)
    uid = free.doc.selection[0]
    free.doc.select(())
    at = free.point(100, 100)
    for tool in ("p", "l", "q", "b"):
        free.key(tool)
        free.doc.select(())
        QTest.mouseClick(free.canvas, Qt.MouseButton.LeftButton, CTRL, at)
        assert free.doc.selection == (uid,)
    assert len(free.stored()) == 1


def test_a_rotated_box_is_dragged_then_turned_and_keys_turn_it_by_degrees(free: Hand) -> None:
    free.key("t")
    free.drag(100, 100, 200, 160)
    assert free.stored() == {}
    free.key("z", SHIFT)
    free.key("z", SHIFT)
    free.key("]", CTRL)
    free.key(ENTER)
    shape = only(free)
    assert isinstance(shape, RotatedBox)
    assert about(shape.w, 100, 2) and about(shape.h, 60, 2)
    assert about(shape.degrees, 7, 0.01)
    free.key("z")
    assert about(only(free).degrees, 6, 0.01)


def test_a_rotated_box_is_made_by_three_clicks_along_an_edge(free: Hand) -> None:
    free.key("t")
    free.click(100, 100)
    free.click(200, 200)
    free.move(180, 260)
    free.click(150, 250)
    shape = only(free)
    assert isinstance(shape, RotatedBox)
    assert about(shape.degrees, 45, 1)
    assert about(shape.w, math.hypot(100, 100), 2)
    assert about(shape.h, math.hypot(50, 50), 2)


def test_the_turning_handle_turns_a_rotated_box_about_its_middle(free: Hand) -> None:
    free.key("t")
    free.drag(100, 100, 200, 160)
    free.key(ENTER)
    before = only(free)
    free.key("v")
    handles = {handle: (x, y) for handle, x, y in free.canvas.handles(before)}
    x, y = handles[(3, 0)]
    free.drag(x, y, 250, 130)
    after = only(free)
    assert isinstance(after, RotatedBox) and isinstance(before, RotatedBox)
    assert about(after.cx, before.cx, 0.01) and about(after.w, before.w, 0.01)
    assert about(after.degrees, 90, 2)


def test_four_clicks_make_a_quadrilateral_and_backspace_takes_one_back(free: Hand) -> None:
    free.key("q")
    for x, y in ((50, 50), (150, 60)):
        free.click(x, y)
    free.click(300, 300)
    free.key(BACK)
    free.click(140, 150)
    free.click(40, 140)
    shape = only(free)
    assert isinstance(shape, Quad)
    assert [round(v, -1) for v in shape.points] == [50, 50, 150, 60, 140, 150, 40, 140]


def test_an_ellipse_fills_its_box_and_shift_makes_a_circle(free: Hand) -> None:
    free.key("e")
    free.drag(50, 60, 150, 140)
    shape = only(free)
    assert isinstance(shape, Ellipse)
    assert about(shape.rx, 50) and about(shape.ry, 40) and about(shape.cx, 100)
    free.press(200, 200)
    QTest.mouseMove(free.canvas, free.point(250, 230))
    free.canvas.tool.move(260, 240, square=True)
    free.canvas.tool.release(260, 240)
    circle = free.doc.get(free.doc.selection[0]).shape
    assert isinstance(circle, Ellipse)
    assert circle.rx == circle.ry


def test_a_cuboid_is_a_front_face_and_a_depth(free: Hand) -> None:
    free.key("y")
    free.drag(100, 150, 200, 250)
    assert free.stored() == {}
    free.move(240, 260)
    free.move(230, 230)
    free.click(230, 230)
    shape = only(free)
    assert isinstance(shape, Cuboid)
    front, behind = shape.points[:8], shape.points[8:]
    off = {(round(b - a), i % 2) for i, (a, b) in enumerate(zip(front, behind, strict=True))}
    assert len(off) == 2  # the back is the front, shifted


def test_a_drag_draws_a_polygon_freehand_with_few_points(free: Hand) -> None:
    free.key("p")
    ring = [(200 + 80 * math.cos(a / 20 * math.pi), 180 + 80 * math.sin(a / 20 * math.pi)) for a in range(40)]
    free.press(*ring[0])
    for x, y in ring[1:]:
        free.move(x, y)
    free.move(ring[0][0] - 2, ring[0][1])
    free.release(ring[0][0] - 2, ring[0][1])
    shape = only(free)
    assert isinstance(shape, Polygon)
    n = len(shape.parts[0][0]) // 2
    assert 8 <= n <= 40
    assert about(geometry.area(shape), math.pi * 80 * 80, 900)


def test_a_line_mixes_clicks_and_freehand_and_backspace_takes_a_whole_piece_back(free: Hand) -> None:
    free.key("l")
    free.click(50, 50)
    free.press(100, 60)
    for i in range(1, 12):
        free.move(100 + 10 * i, 60 + (i % 3) * 6)
    free.release(210, 72)
    free.key(BACK)
    free.click(60, 200)
    free.key(ENTER)
    shape = only(free)
    assert isinstance(shape, Polyline)
    assert len(shape.points) == 6


def test_ctrl_z_in_a_gesture_takes_the_last_point_back_and_touches_no_step(free: Hand) -> None:
    free.key("r")
    free.drag(300, 250, 400, 330)
    free.settled()
    free.doc.select(())
    revision = free.doc.revision
    free.key("p")
    for x, y in ((50, 50), (150, 60), (300, 300)):
        free.click(x, y)
    free.key("z", CTRL)
    free.click(140, 150)
    free.key(ENTER)
    made = [a.shape for a in free.stored().values() if isinstance(a.shape, Polygon)]
    assert len(made) == 1 and len(made[0].parts[0][0]) == 6
    assert len(free.stored()) == 2 and free.doc.revision == revision + 1


def test_a_hole_and_a_part_are_drawn_into_the_selected_polygon(free: Hand) -> None:
    free.key("p")
    for x, y in ((50, 50), (250, 50), (250, 250), (50, 250)):
        free.click(x, y)
    free.key(ENTER)
    free.key("o", SHIFT)
    for x, y in ((100, 100), (200, 100), (200, 200), (100, 200)):
        free.click(x, y)
    free.key(ENTER)
    shape = only(free)
    assert isinstance(shape, Polygon)
    assert [len(part) for part in shape.parts] == [2]
    free.key("p", SHIFT)
    for x, y in ((300, 50), (400, 50), (400, 150)):
        free.click(x, y)
    free.key(ENTER)
    shape = only(free)
    assert isinstance(shape, Polygon)
    assert [len(part) for part in shape.parts] == [2, 1]
    free.key("z", CTRL)
    assert [len(part) for part in only(free).parts] == [2]
    free.key(ESC)
    assert free.canvas.tool.into == "new"


def test_a_click_makes_a_point_and_shift_clicks_gather_several(free: Hand) -> None:
    free.key("o")
    free.click(50, 60)
    assert isinstance(only(free), Points)
    for x in (100, 120, 140):
        free.click(x, 100, shift=True)
    free.key(ENTER)
    kinds = sorted(len(a.shape.points) for a in free.stored().values())
    assert kinds == [2, 6]


def test_the_right_button_ends_a_line(free: Hand) -> None:
    free.key("l")
    free.click(50, 60)
    free.click(150, 90)
    right(free, 200, 200)
    assert isinstance(only(free), Polyline)


@pytest.mark.parametrize("tool", ["r", "t", "e", "y", "q", "p", "l"])
def test_escape_in_any_tool_leaves_nothing_behind(free: Hand, tool: str) -> None:
    free.key(tool)
    free.drag(100, 100, 180, 160)
    if free.stored():  # the drag alone was the gesture
        free.key("z", CTRL)
        free.press(200, 200)
        free.move(260, 260)
        free.key(ESC)
        free.release(260, 260)
    else:
        free.key(ESC)
    assert free.stored() == {}
    assert not free.canvas.tool.busy


def test_points_stay_inside_the_picture_until_outside_is_allowed(free: Hand) -> None:
    free.key("r")
    free.drag(400, 300, 530, 400)
    shape = only(free)
    assert isinstance(shape, Box)
    assert (shape.x1, shape.y1) == (480, 360)
    free.key("z", CTRL)
    assert free.stored() == {}
    free.key("o", Qt.KeyboardModifier.AltModifier)
    assert free.desk.values["outside"] is True
    free.drag(400, 300, 530, 400)
    shape = only(free)
    assert isinstance(shape, Box)
    assert shape.x1 > 520 and shape.y1 > 390
    free.key("v")
    free.drag(440, 330, 300, 200)
    moved = only(free)
    assert isinstance(moved, Box)
    free.drag(300, 200, 490, 200)
    assert only(free).x1 > 560


def test_snapping_puts_points_on_a_neighbours_border(free: Hand) -> None:
    free.key("r")
    free.drag(100, 100, 200, 200)
    (first,) = free.stored().values()
    free.key("n")
    assert free.canvas.ways.snap
    free.doc.select(())
    free.key("p")
    near = 4 / free.canvas.scale
    for x, y in ((200 + near, 120), (300, 120), (300, 180), (200 + near, 180)):
        free.click(x, y)
    free.key(ENTER)
    made = next(a.shape for a in free.stored().values() if a.uid != first.uid)
    assert isinstance(made, Polygon)
    assert made.parts[0][0][0] == pytest.approx(first.shape.x1, abs=0.001)
    assert made.parts[0][0][6] == pytest.approx(first.shape.x1, abs=0.001)


def test_every_tool_says_what_comes_next(free: Hand) -> None:
    said = set()
    for name in free.canvas.tools:
        free.canvas.set_tool(name)
        said.add(free.canvas.hint)
        if name in ("box", "quad", "polygon", "polyline", "slice", "rotated_box", "cuboid"):
            free.canvas.tool.press(100, 100, add=False)
            said.add(free.canvas.hint)
            free.canvas.tool.cancel()
    assert "" not in said
    assert len(said) >= len(free.canvas.tools)


def test_a_box_and_a_polygon_are_drawn_without_a_mouse(free: Hand) -> None:
    alt = Qt.KeyboardModifier.AltModifier
    right_, down, left, put = Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Left, Qt.Key.Key_Insert
    free.move(100, 100)
    free.key("r")
    free.key(put)
    for _ in range(8):
        free.key(right_, alt, SHIFT)
        free.key(down, alt, SHIFT)
    free.key(right_, alt)
    free.key(put)
    shape = only(free)
    assert isinstance(shape, Box)
    assert (shape.x1 - shape.x0) * free.canvas.scale == pytest.approx(81, abs=0.6)
    assert (shape.y1 - shape.y0) * free.canvas.scale == pytest.approx(80, abs=0.6)
    free.key(ESC)
    free.key("p")
    for step in (right_, down, left):
        for _ in range(6):
            free.key(step, alt, SHIFT)
        free.key(put)
    free.key(ENTER)
    assert sorted(a.kind for a in free.stored().values()) == ["box", "polygon"]

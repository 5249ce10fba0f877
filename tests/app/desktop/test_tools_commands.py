"""Commands on the selection: each has a key, is one step of the record, and undo brings back what was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from annotation import geometry, marks, rows
from annotation.core import Box, Caption, Mask, Polygon, Polyline, Tag
from app.desktop.panels.shape import Ask
from tests.app.desktop.conftest import Hand

NONE, CTRL, SHIFT, ALT = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.AltModifier,
)
LEFT, RIGHT, UP, DOWN = Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Down
ENTER, ESC, TAB = Qt.Key.Key_Return, Qt.Key.Key_Escape, Qt.Key.Key_Tab


@pytest.fixture
def pair(hand: Hand) -> Hand:
    """Two boxes that overlap, the left one first, Select in hand, nothing chosen."""
    hand.open(1)
    hand.canvas.allowed = lambda _label, _kind: True
    hand.key("r")
    hand.drag(50, 60, 150, 160)
    hand.doc.select(())
    hand.drag(120, 80, 220, 140)
    hand.doc.select(())
    hand.key("v")
    hand.settled()
    return hand


def by_x(hand: Hand) -> list[str]:
    """Stored uids from left to right."""
    found = hand.stored()
    return sorted(found, key=lambda uid: geometry.bbox(found[uid].shape).x0)


def choose(hand: Hand, *uids: str) -> None:
    hand.doc.select(uids)
    hand.canvas.setFocus()


def undone(hand: Hand, act: Callable[[], object]) -> dict:
    """Do it, check that it was one step, return what is stored; then undo it and check that all is as before."""
    before, revision = hand.stored(), hand.doc.revision
    act()
    after = hand.stored()
    assert after != before
    assert hand.doc.revision == revision + 1, "one gesture, one change"
    assert {a.uid: a for a in hand.doc.annotations} == after
    assert all(a.shape == rows.snapped(a.shape) for a in after.values())
    hand.key("z", CTRL)
    assert hand.stored() == before
    hand.key("z", CTRL, SHIFT)
    assert hand.stored() == after
    return after


def test_tab_walks_the_objects_in_reading_order_and_back(pair: Hand) -> None:
    left, right = by_x(pair)
    pair.key(TAB)
    assert pair.doc.selection == (left,)
    pair.key(TAB)
    assert pair.doc.selection == (right,)
    pair.key(TAB)
    assert pair.doc.selection == (left,)
    pair.key(Qt.Key.Key_Backtab, SHIFT)
    assert pair.doc.selection == (right,)


def test_arrows_nudge_what_is_selected_by_one_or_ten_pixels(pair: Hand) -> None:
    left, _ = by_x(pair)
    choose(pair, left)
    was = pair.stored()[left].shape
    after = undone(pair, lambda: pair.key(RIGHT))
    assert after[left].shape.x0 == pytest.approx(was.x0 + 1)
    pair.key(DOWN, SHIFT)
    assert pair.stored()[left].shape.y0 == pytest.approx(was.y0 + 10)


def test_arrows_change_the_picture_when_nothing_is_selected(pair: Hand) -> None:
    pair.key(RIGHT)
    pair.qtbot.waitUntil(lambda: pair.ready(2))


def test_duplicate_puts_a_copy_beside_and_selects_it(pair: Hand) -> None:
    left, _ = by_x(pair)
    choose(pair, left)
    after = undone(pair, lambda: pair.key("d", CTRL))
    assert len(after) == 3


def test_copy_and_paste_carry_objects_with_group_and_links_to_another_picture(pair: Hand) -> None:
    left, right = by_x(pair)
    choose(pair, left, right)
    pair.key("g", SHIFT)
    pair.window.annotate.editing.apply(
        lambda old: __import__("annotation.edits").edits.link(old, left, right, "wears"), "link"
    )
    pair.settled()
    choose(pair, left, right)
    pair.key("c", CTRL)
    pair.open(3)
    pair.key("v", CTRL)
    found = list(pair.stored(3).values())
    assert len(found) == 2 and not {a.uid for a in found} & {left, right}
    assert len({marks.group(a) for a in found}) == 1 and marks.group(found[0])
    linked = next(a for a in found if marks.links(a))
    assert marks.links(linked)[0][1] in {a.uid for a in found}
    shapes_here = {a.shape for a in found}
    assert shapes_here == {a.shape for a in pair.stored(1).values()}


def test_cut_takes_away_and_paste_brings_it_back(pair: Hand) -> None:
    left, right = by_x(pair)
    shape = pair.stored()[left].shape
    choose(pair, left)
    after = undone(pair, lambda: pair.key("x", CTRL))
    assert list(after) == [right]
    pair.key("v", CTRL)
    assert shape in {a.shape for a in pair.stored().values()}


def test_everything_of_the_picture_before_is_copied_by_one_key(pair: Hand) -> None:
    pair.open(2)
    pair.qtbot.waitUntil(lambda: len(pair.window.annotate.rows) > 1)
    pair.key("v", CTRL, SHIFT)
    pair.qtbot.waitUntil(lambda: sum(a.origin == "human" for a in pair.doc.annotations) == 2)
    assert {a.shape for a in pair.stored(2).values() if a.origin == "human"} == {
        a.shape for a in pair.stored(1).values()
    }


def test_group_and_ungroup(pair: Hand) -> None:
    left, right = by_x(pair)
    choose(pair, left, right)
    after = undone(pair, lambda: pair.key("g", SHIFT))
    assert marks.group(after[left]) == marks.group(after[right]) is not None
    choose(pair, left)
    pair.key("a", CTRL, SHIFT)
    assert set(pair.doc.selection) == {left, right}
    after = undone(pair, lambda: pair.key("g", ALT))
    assert marks.group(after[left]) is None


def test_a_link_is_made_by_clicking_the_second_object_and_naming_the_relation(pair: Hand) -> None:
    left, right = by_x(pair)
    choose(pair, left)
    pair.key("r", SHIFT)
    pair.click(215, 110)
    (ask,) = pair.window.findChildren(Ask)
    ask.edit.setText("wears")
    QTest.keyClick(ask.edit, ENTER)
    assert marks.links(pair.stored()[left]) == (("wears", right),)
    assert pair.canvas.tool.name == "select"
    assert pair.desk.values["relations"] == ["wears"]
    pair.canvas.repaint()
    choose(pair, left)
    after = undone(pair, lambda: pair.key("l", ALT, SHIFT))
    assert marks.links(after[left]) == ()


def test_the_order_is_raised_and_lowered(pair: Hand) -> None:
    left, right = by_x(pair)
    choose(pair, left)
    after = undone(pair, lambda: pair.key(UP, CTRL, SHIFT))
    assert marks.order(after[left]) > marks.order(after[right])
    after = undone(pair, lambda: pair.key(DOWN, CTRL, SHIFT))
    assert marks.order(after[left]) < marks.order(after[right])


def test_a_locked_object_is_not_taken_moved_or_deleted(pair: Hand) -> None:
    left, _ = by_x(pair)
    choose(pair, left)
    pair.key("l", SHIFT)
    before = pair.stored()
    pair.key(RIGHT)
    pair.key(Qt.Key.Key_Delete)
    pair.doc.select(())
    pair.drag(60, 70, 90, 90)
    assert pair.stored() == before
    pair.key("l", ALT)
    pair.click(60, 100)
    assert pair.doc.selection == (left,)


def test_hide_others_class_and_show_all(pair: Hand) -> None:
    left, right = by_x(pair)
    choose(pair, left)
    pair.key("h", SHIFT)
    assert pair.doc.hidden == {right}
    pair.key("h", CTRL)
    choose(pair, left)
    pair.key("h")
    assert pair.doc.hidden == {left} and pair.canvas.object_at(60, 100) is None
    pair.key("h", CTRL)
    choose(pair, left)
    pair.key("h", ALT)
    assert pair.doc.hidden_labels == {pair.doc.get(left).label}
    pair.key("h", CTRL)
    assert not pair.doc.hidden and not pair.doc.hidden_labels


def test_union_subtract_intersect_and_join(pair: Hand) -> None:
    left, right = by_x(pair)
    a, b = (pair.stored()[uid].shape for uid in (left, right))
    both = geometry.area(a) + geometry.area(b)
    common = (min(a.x1, b.x1) - b.x0) * (b.y1 - b.y0)
    for key, held, wanted in (
        ("u", (CTRL,), both - common),
        ("u", (CTRL, SHIFT), geometry.area(a) - common),
        ("u", (ALT,), common),
        ("j", (CTRL,), both),
    ):
        choose(pair, left, right)
        before = pair.stored()
        pair.key(key, *held)
        after = pair.stored()
        assert geometry.area(after[left].shape) == pytest.approx(wanted, rel=0.01), (key, held)
        pair.key("z", CTRL)
        assert pair.stored() == before


def test_a_slice_makes_two_objects_of_one_and_split_parts_of_a_joined_one(pair: Hand) -> None:
    left, right = by_x(pair)
    choose(pair, left)
    pair.key("/")
    pair.drag(100, 30, 100, 200)
    found = pair.stored()
    assert len(found) == 3
    areas_ = sorted(geometry.area(a.shape) for uid, a in found.items() if uid != right)
    assert areas_ == pytest.approx([5000, 5000], rel=0.06)
    choose(pair, left, right)
    pair.key("j", CTRL)
    assert len(pair.stored()) == 2
    choose(pair, left)
    after = undone(pair, lambda: pair.key("j", CTRL, SHIFT))
    assert len(after) == 3


def test_convert_says_the_loss_before_it_happens(pair: Hand) -> None:
    left, _ = by_x(pair)
    choose(pair, left)
    pair.key("r", CTRL)
    sheet = pair.window.sheets.open
    assert sheet is not None
    buttons = {b.text(): b for b in sheet.findChildren(type(sheet.verb)) if b.isCheckable()}
    said = {}
    for name in ("Ellipse", "Polygon"):
        QTest.mouseClick(buttons[name], Qt.MouseButton.LeftButton)
        said[name] = " ".join(w.text() for w in sheet.findChildren(type(sheet.fault)))
    assert said["Ellipse"] != said["Polygon"] and "Nothing is lost." in said["Polygon"]
    QTest.mouseClick(sheet.verb, Qt.MouseButton.LeftButton)
    assert isinstance(pair.stored()[left].shape, Polygon)
    pair.key("z", CTRL)
    assert isinstance(pair.stored()[left].shape, Box)


def test_a_polygon_loses_points_by_simplify_and_holes_by_fill(pair: Hand) -> None:
    pair.key("p")
    for i in range(30):
        pair.click(250 + 6 * i, 250 + (i % 2) * 0.7)
    for x, y in ((430, 340), (250, 340)):
        pair.click(x, y)
    pair.key(ENTER)
    uid = pair.doc.selection[0]
    before = len(pair.stored()[uid].shape.parts[0][0])
    pair.key("v")
    choose(pair, uid)
    after = undone(pair, lambda: pair.key("s", SHIFT))
    assert len(after[uid].shape.parts[0][0]) < before / 2


def test_a_box_is_fitted_around_a_mask(pair: Hand) -> None:
    pair.canvas.ways.brush = 10.0
    pair.key("b")
    pair.drag(300, 250, 380, 300)
    pair.qtbot.waitUntil(lambda: any(isinstance(a.shape, Mask) for a in pair.stored().values()))
    mask = next(a for a in pair.stored().values() if isinstance(a.shape, Mask))
    pair.key("v")
    choose(pair, mask.uid)
    after = undone(pair, lambda: pair.key("f", SHIFT))
    assert geometry.bbox(mask.shape) in {a.shape for a in after.values()}


def test_vertices_are_taken_by_ctrl_and_a_rectangle_moved_together_and_deleted(pair: Hand) -> None:
    pair.key("p")
    for x, y in ((250, 200), (400, 200), (400, 300), (325, 320), (250, 300)):
        pair.click(x, y)
    pair.key(ENTER)
    pair.key("v")
    uid = pair.doc.selection[0]

    def event(kind: QEvent.Type, x: float, y: float) -> None:
        at = QPointF(pair.point(x, y))
        buttons = (
            Qt.MouseButton.NoButton if kind == QEvent.Type.MouseButtonRelease else Qt.MouseButton.LeftButton
        )
        button = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else Qt.MouseButton.LeftButton
        QApplication.sendEvent(
            pair.canvas,
            QMouseEvent(kind, at, QPointF(pair.canvas.mapToGlobal(at.toPoint())), button, buttons, CTRL),
        )

    event(QEvent.Type.MouseButtonPress, 235, 280)
    event(QEvent.Type.MouseMove, 300, 300)
    event(QEvent.Type.MouseMove, 415, 335)
    event(QEvent.Type.MouseButtonRelease, 415, 335)
    assert len(pair.canvas.tool.vertices) == 3
    assert "3 corners" in pair.canvas.hint
    old = pair.stored()[uid].shape.parts[0][0]
    pair.drag(400, 300, 410, 280)
    new = pair.stored()[uid].shape.parts[0][0]
    assert new[:4] == old[:4]
    assert [round(b - a) for a, b in zip(old[4:], new[4:], strict=True)] == pytest.approx(
        [10, -20] * 3, abs=2
    )
    pair.key(LEFT)
    assert pair.stored()[uid].shape.parts[0][0][4] == pytest.approx(new[4] - 1)
    pair.canvas.tool.take_vertices(frozenset({(0, 3)}))
    after = undone(pair, lambda: pair.key(Qt.Key.Key_Delete))
    assert len(after[uid].shape.parts[0][0]) == 8


def test_a_vertex_is_inserted_by_key_where_the_mouse_points(pair: Hand) -> None:
    pair.key("l")
    for x, y in ((250, 300), (400, 300)):
        pair.click(x, y)
    pair.key(ENTER)
    pair.key("v")
    uid = pair.doc.selection[0]
    pair.move(300, 310)
    after = undone(pair, lambda: pair.key(Qt.Key.Key_Insert))
    shape = after[uid].shape
    assert isinstance(shape, Polyline)
    assert shape.points[2:4] == pytest.approx((300, 300), abs=1.5)


def test_turning_a_box_is_refused_with_the_way_out(pair: Hand) -> None:
    left, _ = by_x(pair)
    choose(pair, left)
    before = pair.stored()
    pair.key("z")
    assert pair.stored() == before
    assert "rotated box" in pair.canvas.hint


def test_snapping_the_selection_closes_a_gap_to_its_neighbour(pair: Hand) -> None:
    pair.key("r")
    near = 4 / pair.canvas.scale
    pair.drag(220 + near, 200, 300, 140 + near)
    uid = pair.doc.selection[0]
    pair.key("v")
    choose(pair, uid)
    after = undone(pair, lambda: pair.key("n", SHIFT))
    assert any(
        getattr(after[uid].shape, side) == pytest.approx(value, abs=0.01)
        for side, value in (("x0", 220), ("y0", 140))
    ) or after[uid].shape.x0 == pytest.approx(after[by_x(pair)[1]].shape.x1)


def test_a_tag_is_toggled_by_its_class_key_and_by_its_chip(pair: Hand) -> None:
    pair.key("i")
    pair.key("2")
    tags = [a for a in pair.stored().values() if isinstance(a.shape, Tag)]
    assert [a.label for a in tags] == ["helmet"]
    pair.key("2")
    assert not [a for a in pair.stored().values() if isinstance(a.shape, Tag)]


def test_a_caption_is_typed_into_a_line_of_its_own_and_the_canvas_never_takes_an_input_method(
    pair: Hand,
) -> None:
    pair.key("i", SHIFT)
    (ask,) = pair.window.findChildren(Ask)
    assert ask.edit.testAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled)
    assert not pair.canvas.testAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled)
    ask.edit.setText("  两名工人  在支架下 ")
    QTest.keyClick(ask.edit, ENTER)
    (made,) = [a for a in pair.stored().values() if isinstance(a.shape, Caption)]
    assert made.shape.text == "两名工人 在支架下"
    pair.key("z", CTRL)
    assert not [a for a in pair.stored().values() if isinstance(a.shape, Caption)]


def test_a_menu_opens_on_the_right_button_with_a_key_on_every_line(pair: Hand) -> None:
    from app.desktop.menu import Menu

    left, _ = by_x(pair)
    at = pair.point(60, 100)
    QTest.mouseClick(pair.canvas, Qt.MouseButton.RightButton, NONE, at)
    (menu,) = pair.window.findChildren(Menu)
    assert pair.doc.selection == (left,)
    names = [line.entry.text for line in menu.lines]
    assert {"Duplicate", "Copy", "Lock or unlock", "Delete"} <= set(names)
    assert all(line.entry.key and line.accessibleName() for line in menu.lines)
    line = menu.lines[names.index("Duplicate")]
    for _ in names:
        if not line.lit:
            QTest.keyClick(menu, DOWN)
    QTest.keyClick(menu, ENTER)
    assert len(pair.stored()) == 3


def test_the_tools_row_shows_every_tool_and_keeps_the_variant_used_last(pair: Hand) -> None:
    row = pair.window.annotate.tool_row
    shown = {name for family in row.families for name, _, _ in family.variants}
    drawn = {name for name in pair.canvas.tools if name not in ("link", "remark")}
    assert drawn <= shown | {"scissors", "grabcut", "wand", "segment", "smart"}
    pair.key("e")
    pair.key("v")
    button = row.findChild(type(row._buttons["boxes"]), "tool-boxes")
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert pair.canvas.tool.name == "ellipse"
    assert "ellipse" in pair.desk.values["tools"]


@pytest.mark.parametrize("width", [1280, 1600])
def test_the_tools_row_never_cuts_a_tool_off(pair: Hand, width: int) -> None:
    pair.window.resize(width, 800)
    pair.qtbot.waitUntil(lambda: pair.window.width() == width)
    QApplication.processEvents()
    row = pair.window.annotate.tool_row
    for made in row._buttons.values():
        assert made.width() >= made.minimumSizeHint().width()
        assert made.geometry().right() <= row.width()


def test_eye_and_lock_of_a_line_in_the_list_hide_and_lock_that_object_only(pair: Hand) -> None:
    rows_ = pair.window.annotate.objects
    first = rows_._objects[0].uid
    view = rows_.viewport()
    for x, taken in ((30, lambda: pair.doc.hidden), (52, lambda: pair.doc.locked)):
        at = QPointF(view.width() - x, 22).toPoint()
        QTest.mouseClick(view, Qt.MouseButton.LeftButton, NONE, at)
        assert taken() == {first}
        assert pair.doc.selection == ()
        rows_.grab()
        QTest.mouseClick(view, Qt.MouseButton.LeftButton, NONE, at)
        assert not taken()


def test_the_list_says_kind_order_links_and_shows_the_groups_colour(pair: Hand) -> None:
    left, right = by_x(pair)
    choose(pair, left, right)
    pair.key("g", SHIFT)
    choose(pair, left)
    pair.key(UP, CTRL, SHIFT)
    pair.settled()
    rows_ = pair.window.annotate.objects
    assert rows_._objects[0].uid == left
    said = rows_._under(pair.doc.get(left))
    assert "Box" in said and "order +" in said
    grouped = {a.uid: marks.group(a) for a in pair.doc.annotations}
    assert grouped[left] == grouped[right]
    rows_.grab()

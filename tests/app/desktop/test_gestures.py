"""Every gesture on the canvas is one committed change, and the status line says so only when it is true."""

from __future__ import annotations

import threading

import pytest
from PySide6.QtCore import Qt

from annotation.core import Box, Polygon
from app.services import labelling, workspace
from tests.app.desktop.conftest import Hand

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def near(shape: object, *expected: float) -> bool:
    assert isinstance(shape, Box)
    found = (shape.x0, shape.y0, shape.x1, shape.y1)
    return all(abs(a - b) <= 1.5 for a, b in zip(found, expected, strict=True))


def test_a_drawn_box_is_committed_with_the_class_in_hand_and_its_default_attributes(hand: Hand) -> None:
    hand.open(1)
    hand.key("r")
    hand.key("2")
    hand.drag(50, 60, 150, 140)
    (made,) = hand.stored().values()
    assert near(made.shape, 50, 60, 150, 140)
    assert (made.label, made.origin) == ("helmet", "human")
    one = hand.desk.schema.label("helmet")
    assert dict(made.attributes) == dict(one.defaults())
    assert hand.doc.selection == (made.uid,)


def test_a_digit_changes_only_the_next_object_while_a_drawing_tool_is_in_hand(hand: Hand) -> None:
    hand.open(1)
    hand.key("r")
    hand.key("1")
    hand.drag(20, 20, 60, 60)
    hand.key("3")
    hand.drag(100, 100, 160, 160)
    assert sorted(a.label for a in hand.stored().values()) == ["no_helmet", "person"]


def test_a_digit_changes_the_class_of_the_selection_while_select_is_in_hand(hand: Hand) -> None:
    hand.open(1)
    hand.key("r")
    hand.key("1")
    hand.drag(20, 20, 90, 90)
    hand.key("v")
    hand.key("2")
    (made,) = hand.stored().values()
    assert made.label == "helmet"
    assert hand.window.annotate.rule.head.text().endswith(hand.desk.schema.label("helmet").name("en"))


def test_a_click_for_every_corner_and_enter_make_a_polygon(hand: Hand) -> None:
    hand.open(1)
    hand.key("5")
    hand.key("p")
    for x, y in ((50, 50), (150, 60), (140, 150), (300, 300)):
        hand.click(x, y)
    hand.key(Qt.Key.Key_Backspace)
    hand.key(Qt.Key.Key_Return)
    (made,) = hand.stored().values()
    assert isinstance(made.shape, Polygon)
    assert made.label == "large_coal"
    assert len(made.shape.parts[0][0]) == 6


def test_a_class_that_may_not_be_drawn_so_is_refused_with_the_reason(hand: Hand) -> None:
    hand.open(1)
    boxless = next((c for c in hand.desk.labels() if "box" not in c.kinds), None)
    if boxless is None:
        hand.canvas.allowed = lambda _label, kind: kind != "box"
    else:
        hand.desk.choose_label(boxless.code)
    hand.key("r")
    hand.drag(20, 20, 90, 90)
    assert hand.stored() == {}
    assert "not drawn as “Box”" in hand.canvas.hint


def test_an_object_is_moved_by_dragging_and_stays_inside_the_picture(hand: Hand) -> None:
    hand.open(1)
    hand.key("r")
    hand.drag(50, 60, 150, 140)
    hand.key("v")
    hand.drag(100, 100, 120, 130)
    (made,) = hand.stored().values()
    assert near(made.shape, 70, 90, 170, 170)
    hand.drag(100, 100, -300, 100)
    (made,) = hand.stored().values()
    assert near(made.shape, 0, 90, 100, 170)


def test_a_handle_resizes_a_box_and_turns_it_over_instead_of_inside_out(hand: Hand) -> None:
    hand.open(1)
    hand.key("r")
    hand.drag(50, 60, 150, 140)
    hand.key("v")
    hand.drag(150, 140, 200, 180)
    (made,) = hand.stored().values()
    assert near(made.shape, 50, 60, 200, 180)
    hand.drag(200, 180, 20, 30)
    (made,) = hand.stored().values()
    assert near(made.shape, 20, 30, 50, 60)


def test_vertices_are_moved_inserted_and_deleted(hand: Hand) -> None:
    hand.open(1)
    hand.key("5")
    hand.key("p")
    for x, y in ((50, 50), (150, 50), (150, 150), (50, 150)):
        hand.click(x, y)
    hand.key(Qt.Key.Key_Return)
    hand.key("v")
    hand.drag(150, 150, 200, 200)
    (made,) = hand.stored().values()
    assert [round(v) for v in made.shape.parts[0][0][4:6]] == [200, 200]
    hand.double(100, 50)
    (made,) = hand.stored().values()
    assert len(made.shape.parts[0][0]) == 10
    hand.move(100, 50)
    hand.qtbot.waitUntil(lambda: hand.canvas.hot_handle is not None)
    hand.key(Qt.Key.Key_Delete)
    (made,) = hand.stored().values()
    assert len(made.shape.parts[0][0]) == 8


def test_escape_puts_back_what_is_in_hand_and_commits_nothing(hand: Hand) -> None:
    hand.open(1)
    hand.key("r")
    hand.drag(50, 60, 150, 140)
    hand.settled()
    revision = hand.doc.revision
    hand.key("v")
    hand.press(100, 100)
    hand.move(200, 200)
    assert hand.canvas.has_live
    hand.key(Qt.Key.Key_Escape)
    hand.release(200, 200)
    (made,) = hand.stored().values()
    assert near(made.shape, 50, 60, 150, 140)
    assert hand.doc.revision == revision


def test_delete_removes_the_selection_and_undo_and_redo_walk_it(hand: Hand) -> None:
    hand.open(1)
    hand.key("r")
    hand.drag(50, 60, 150, 140)
    hand.key(Qt.Key.Key_Escape)
    hand.key("a", CTRL)
    hand.key(Qt.Key.Key_Delete)
    assert hand.stored() == {}
    hand.key("z", CTRL)
    assert len(hand.stored()) == 1
    hand.key("z", CTRL)
    assert hand.stored() == {}
    hand.key("z", CTRL, SHIFT)
    assert len(hand.stored()) == 1
    hand.key("y", CTRL)
    assert hand.stored() == {}
    assert hand.doc.annotations == ()


def test_undo_reaches_gestures_of_an_earlier_sitting(hand: Hand) -> None:
    ws = workspace.open(hand.desk.ws.location, person="07")
    page = labelling.load(ws, 1)
    labelling.save(ws, page, (labelling.Annotation("person", Box(1, 1, 50, 50)),), verb="draw box")
    ws.close()
    hand.open(1)
    assert len(hand.doc.annotations) == 1
    hand.qtbot.waitUntil(lambda: hand.doc.can_undo)
    hand.key("z", CTRL)
    assert hand.stored() == {}


def test_enter_takes_the_best_prediction_in_hand_then_accepts_it(hand: Hand) -> None:
    hand.open(2)
    hand.key(Qt.Key.Key_Return)
    assert hand.stored()[hand.doc.selection[0]].score == 0.9
    first = hand.doc.selection[0]
    hand.key(Qt.Key.Key_Return)
    stored = hand.stored()
    assert (stored[first].origin, stored[first].score) == ("human", None)
    assert sum(a.origin == "model" for a in stored.values()) == 2
    assert stored[hand.doc.selection[0]].score == 0.7


def test_x_rejects_and_the_next_prediction_is_in_hand(hand: Hand) -> None:
    hand.open(2)
    hand.key(Qt.Key.Key_Return)
    first = hand.doc.selection[0]
    hand.key("x")
    stored = hand.stored()
    assert first not in stored
    assert stored[hand.doc.selection[0]].score == 0.7


def test_shift_enter_accepts_all_above_the_score_as_one_step(hand: Hand) -> None:
    hand.open(2)
    hand.key(Qt.Key.Key_Return, SHIFT)
    assert sorted(a.origin for a in hand.stored().values()) == ["human", "human", "model"]
    hand.key("z", CTRL)
    assert [a.origin for a in hand.stored().values()] == ["model"] * 3


def test_reshaping_a_prediction_makes_it_a_persons_work(hand: Hand) -> None:
    hand.open(2)
    hand.click(340, 200)
    hand.drag(340, 200, 350, 210)
    moved = hand.stored()[hand.doc.selection[0]]
    assert (moved.origin, moved.score) == ("human", None)
    assert near(moved.shape, 310, 90, 390, 290)


def test_a_click_on_an_attribute_commits_it(hand: Hand) -> None:
    hand.open(1)
    hand.key("r")
    hand.key("1")
    hand.drag(50, 60, 150, 240)
    hand.settled()
    buttons = [
        b
        for b in hand.window.annotate.attributes.findChildren(type(hand.window.start.open))
        if b.text() == "worn properly"
    ]
    hand.qtbot.mouseClick(buttons[0], Qt.MouseButton.LeftButton)
    (made,) = hand.stored().values()
    assert made.attributes["helmet_worn"] == "proper"


def test_the_status_line_names_the_revision_only_after_the_commit(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand.open(1)
    hold, real = threading.Event(), labelling.save

    def slow(*args, **kw):
        assert hold.wait(10)
        return real(*args, **kw)

    monkeypatch.setattr(labelling, "save", slow)
    before = hand.doc.revision
    hand.key("r")
    hand.drag(50, 60, 150, 140)
    assert hand.window.saved.text() == "Saving…"
    assert len(hand.doc.annotations) == 1
    hold.set()
    hand.settled()
    assert hand.doc.revision == before + 1
    assert hand.window.saved.text() == f"Saved r{before + 1}"


def test_gestures_faster_than_the_disk_are_committed_in_order_and_none_is_lost(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand.open(1)
    hold, real = threading.Event(), labelling.save

    def slow(*args, **kw):
        assert hold.wait(10)
        return real(*args, **kw)

    monkeypatch.setattr(labelling, "save", slow)
    hand.key("r")
    for i in range(6):
        hand.drag(20 + 60 * i, 20, 60 + 60 * i, 90)
    hand.key(Qt.Key.Key_Delete)
    hand.key("z", CTRL)
    assert hand.doc.pending == 8
    hold.set()
    stored = hand.stored()
    assert len(stored) == 6
    assert {a.uid for a in hand.doc.annotations} == set(stored)


def test_who_was_slower_is_told_and_sees_what_the_record_holds(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand.open(1)
    hand.key("r")
    hand.drag(50, 60, 150, 140)
    hand.settled()
    other = workspace.open(hand.desk.ws.location, person="08")
    page = labelling.load(other, 1)
    labelling.save(other, page, (), verb="delete")
    other.close()
    hand.key("v")
    hand.drag(100, 100, 150, 150)
    hand.qtbot.waitUntil(lambda: any(t.asset_id == 1 for t in hand.desk.problems))
    hand.settled()
    hand.qtbot.waitUntil(lambda: hand.doc.annotations == ())


def test_history_brings_the_page_back_to_a_revision(hand: Hand) -> None:
    hand.open(1)
    hand.key("r")
    hand.drag(50, 60, 150, 140)
    hand.settled()
    then = hand.doc.revision
    hand.drag(200, 60, 250, 140)
    hand.key(Qt.Key.Key_Delete)
    hand.settled()
    hand.drag(200, 160, 250, 240)
    hand.settled()
    hand.window.annotate.history._restore(then)
    hand.qtbot.waitUntil(lambda: len(hand.doc.annotations) == 1)
    (made,) = hand.stored().values()
    assert near(made.shape, 50, 60, 150, 140)


def test_the_window_commits_what_is_on_its_way_before_it_closes(
    hand: Hand, place, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand.open(1)
    hold, real = threading.Event(), labelling.save

    def slow(*args, **kw):
        assert hold.wait(10)
        return real(*args, **kw)

    monkeypatch.setattr(labelling, "save", slow)
    hand.key("r")
    hand.drag(50, 60, 150, 140)
    hand.drag(200, 60, 250, 140)
    threading.Timer(0.05, hold.set).start()
    hand.window.close()
    with workspace.open(str(place)) as ws:
        assert len(labelling.load(ws, 1).annotations) == 2


def test_keys_step_through_the_pictures_and_j_finds_the_next_to_confirm(hand: Hand) -> None:
    hand.open(3)
    hand.qtbot.waitUntil(lambda: len(hand.window.annotate.rows) == 5)
    hand.key("d")
    hand.qtbot.waitUntil(lambda: hand.ready(4))
    hand.key(Qt.Key.Key_Left)
    hand.qtbot.waitUntil(lambda: hand.ready(3))
    hand.key("j")
    hand.qtbot.waitUntil(lambda: hand.ready(2))
    assert len(hand.doc.annotations) == 3


def test_a_gesture_made_while_an_undo_is_on_its_way_does_not_bring_back_what_it_takes(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand.open(1)
    hand.key("r")
    hand.drag(20, 20, 60, 90)
    hand.drag(100, 20, 160, 90)
    first = next(a.uid for a in hand.stored().values() if near(a.shape, 20, 20, 60, 90))
    hold, real = threading.Event(), labelling.undo

    def slow(*args, **kw):
        assert hold.wait(10)
        return real(*args, **kw)

    monkeypatch.setattr(labelling, "undo", slow)
    hand.key("z", CTRL)
    hand.drag(200, 20, 260, 90)
    third = hand.doc.selection[0]
    hold.set()
    assert set(hand.stored()) == {first, third}
    assert {a.uid for a in hand.doc.annotations} == {first, third}

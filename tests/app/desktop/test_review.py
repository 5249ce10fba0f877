"""Rules of review at the desk: submitting, accepting, returning, remarks, the log of steps and the recycle bin."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from annotation.errors import Unavailable
from app.desktop.canvas.tools.remark import RemarkTool
from app.desktop.log import Bin, Steps
from app.services import browse, bulk, labelling, remarks, review
from app.services.browse import Query
from tests.app.desktop.conftest import Hand

CTRL = Qt.KeyboardModifier.ControlModifier


def stands(hand: Hand) -> dict[int, tuple[str, str | None]]:
    assert hand.desk.ws is not None and hand.desk.dataset is not None
    return {
        r.asset_id: (r.review, r.assignee) for r in browse.page(hand.desk.ws, Query(hand.desk.dataset.id))
    }


def written(hand: Hand) -> None:
    """Wait until the writer has nothing left."""
    hand.qtbot.waitUntil(lambda: hand.desk.tasks.writer.idle, timeout=10_000)


def submit(hand: Hand, following: int) -> None:
    """Submit a picture whose new object lacks a required attribute: it is asked for once, then let through."""
    now = hand.doc.asset_id
    hand.key(Qt.Key.Key_Return, CTRL)
    assert hand.doc.asset_id == now
    hand.key(Qt.Key.Key_Return, CTRL)
    hand.qtbot.waitUntil(lambda: hand.doc.asset_id == following)


def draw(hand: Hand, asset: int) -> None:
    hand.open(asset)
    hand.key("r")
    hand.drag(20, 20, 90, 120)
    hand.settled()


def test_ctrl_enter_submits_the_picture_in_my_name_and_goes_on(hand: Hand, qtbot: QtBot) -> None:
    draw(hand, 1)
    qtbot.waitUntil(lambda: hand.window.annotate.route.row is not None)
    submit(hand, 2)
    written(hand)
    assert stands(hand)[1] == ("submitted", "07")


def test_after_the_last_of_all_pictures_nobody_is_taken_back_to_one_that_is_done(
    hand: Hand, qtbot: QtBot
) -> None:
    hand.open(5)
    qtbot.waitUntil(lambda: hand.window.annotate.route.row is not None)
    hand.key(Qt.Key.Key_Return, CTRL)
    written(hand)
    assert stands(hand)[5][0] == "submitted"
    assert hand.doc.asset_id == 5 and "last picture" in hand.canvas.hint


def test_a_picture_with_waiting_predictions_is_submitted_only_when_asked_twice(
    hand: Hand, qtbot: QtBot
) -> None:
    hand.open(2)
    qtbot.waitUntil(lambda: hand.window.annotate.route.row is not None)
    hand.key(Qt.Key.Key_Return, CTRL)
    written(hand)
    assert hand.doc.asset_id == 2 and stands(hand)[2][0] == "draft"
    assert "3" in hand.canvas.hint
    hand.key(Qt.Key.Key_Return, CTRL)
    qtbot.waitUntil(lambda: hand.doc.asset_id == 3)
    written(hand)
    assert stands(hand)[2][0] == "submitted"


def test_an_empty_picture_that_was_submitted_waits_no_more_to_be_labelled(hand: Hand, qtbot: QtBot) -> None:
    hand.open(1)
    qtbot.waitUntil(lambda: hand.window.annotate.route.row is not None)
    row = next(q for q in hand.window.annotate.queues.rows.items() if q[0] == "unlabelled")[1]
    qtbot.waitUntil(lambda: row.count == "4")
    hand.key(Qt.Key.Key_Return, CTRL)
    qtbot.waitUntil(lambda: row.count == "3", timeout=10_000)


def test_the_reviewer_returns_with_a_reason_and_the_author_finds_it_with_the_remark(
    hand: Hand, qtbot: QtBot
) -> None:
    draw(hand, 1)
    qtbot.waitUntil(lambda: hand.window.annotate.route.row is not None)
    submit(hand, 2)
    hand.key("4", CTRL)
    reviewing = hand.window.annotate.reviewing
    qtbot.waitUntil(lambda: hand.doc.asset_id == 1 and hand.window.annotate.route.row is not None)
    assert reviewing.mode == "review" and reviewing.bar.isVisible()
    qtbot.waitUntil(lambda: "1" in reviewing.bar.about.text())
    hand.canvas.setFocus()
    hand.key(Qt.Key.Key_Backspace, CTRL)
    assert reviewing.bar.note.hasFocus()
    reviewing.bar.note.setText("帽子漏了")
    hand.key(Qt.Key.Key_Return, on=reviewing.bar.note)
    written(hand)
    assert stands(hand)[1] == ("returned", "07")
    hand.window.go("annotate")
    queue = hand.window.annotate.queues.rows["returned"]
    qtbot.waitUntil(lambda: queue.count == "1", timeout=10_000)
    queue.click()
    hand.window.annotate.open(1)
    qtbot.waitUntil(lambda: [r.text for r in hand.window.annotate.remarks.found] == ["帽子漏了"])


def test_a_judgement_is_taken_back_from_the_bar(hand: Hand, qtbot: QtBot) -> None:
    hand.window.go("review")
    assert hand.desk.ws is not None and hand.desk.dataset is not None
    review.judge(hand.desk.ws, hand.desk.dataset.id, [1, 3], "submitted")
    hand.window.go("annotate")
    hand.window.go("review")
    qtbot.waitUntil(lambda: hand.doc.asset_id == 1 and hand.window.annotate.route.row is not None)
    hand.canvas.setFocus()
    hand.key(Qt.Key.Key_Return, CTRL)
    bar = hand.window.annotate.reviewing.bar
    qtbot.waitUntil(lambda: hand.doc.asset_id == 3 and bar.undo.isVisible())
    assert stands(hand)[1][0] == "accepted"
    bar.undo.click()
    qtbot.waitUntil(lambda: stands(hand)[1][0] == "submitted", timeout=10_000)


def test_a_remark_is_pinned_where_the_mouse_was_and_answered_and_resolved(hand: Hand, qtbot: QtBot) -> None:
    hand.open(1)
    panel = hand.window.annotate.remarks
    hand.key("m")
    assert isinstance(hand.canvas.tool, RemarkTool)
    hand.click(120, 80)
    assert panel.edit.hasFocus() and hand.canvas.tool.name == "select"
    panel.edit.setText("这里要框")
    hand.key(Qt.Key.Key_Return, on=panel.edit)
    qtbot.waitUntil(lambda: len(panel.found) == 1)
    (head,) = panel.found
    assert abs((head.x or 0) - 120) < 1.5 and abs((head.y or 0) - 80) < 1.5
    hand.click(120, 80)
    assert panel.chosen == head.uid
    panel.answer(head.uid)
    panel.edit.setText("好")
    hand.key(Qt.Key.Key_Return, on=panel.edit)
    qtbot.waitUntil(lambda: len(panel.found) == 2)
    panel.resolve(head.uid, True)
    qtbot.waitUntil(lambda: panel.threads[0].resolved)
    hand.canvas.setFocus()
    hand.key("z", CTRL)
    qtbot.waitUntil(lambda: not panel.threads[0].resolved, timeout=10_000)


def test_the_words_of_a_remark_that_could_not_be_saved_come_back(
    hand: Hand, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand.open(1)
    panel = hand.window.annotate.remarks

    def full(*_: object, **__: object) -> None:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(remarks, "add", full)
    panel.edit.setText("这里要框")
    hand.key(Qt.Key.Key_Return, on=panel.edit)
    qtbot.waitUntil(lambda: bool(hand.desk.problems))
    assert panel.edit.text() == "这里要框"


def test_escape_puts_a_pin_in_hand_away(hand: Hand) -> None:
    hand.open(1)
    panel = hand.window.annotate.remarks
    hand.key("m")
    hand.click(120, 80)
    hand.key(Qt.Key.Key_Escape, on=panel.edit)
    assert hand.canvas.hasFocus() and panel._place is None
    assert hand.desk.ws is not None and remarks.listing(hand.desk.ws, 1) == []


def test_yesterdays_bulk_change_is_undone_from_the_log(hand: Hand, qtbot: QtBot) -> None:
    assert hand.desk.ws is not None and hand.desk.dataset is not None
    ws, data = hand.desk.ws, hand.desk.dataset.id
    list(bulk.accept(ws, Query(data)))
    assert all(a.origin == "human" for a in labelling.load(ws, 2).annotations)
    hand.key(Qt.Key.Key_F8)
    steps = hand.window.findChild(Steps)
    assert steps is not None
    steps._choose("bulk")
    qtbot.waitUntil(lambda: any(s.verb == "accept" and s.stands for s in steps._rows))
    step = next(s.step for s in steps._rows if s.verb == "accept")
    steps._undo(step)
    qtbot.waitUntil(
        lambda: all(a.origin == "model" for a in labelling.load(ws, 2).annotations), timeout=10_000
    )


def test_a_step_whose_objects_changed_says_so_and_offers_to_undo_the_rest(hand: Hand, qtbot: QtBot) -> None:
    assert hand.desk.ws is not None and hand.desk.dataset is not None
    ws, data = hand.desk.ws, hand.desk.dataset.id
    list(bulk.accept(ws, Query(data)))
    page = labelling.load(ws, 2)
    labelling.save(ws, page, page.annotations[1:], verb="delete")
    hand.key(Qt.Key.Key_F8)
    steps = hand.window.findChild(Steps)
    assert steps is not None
    qtbot.waitUntil(lambda: any(s.verb == "accept" for s in steps._rows))
    step = next(s.step for s in steps._rows if s.verb == "accept")
    steps._undo(step)
    qtbot.waitUntil(
        lambda: hand.window.sheets.open is not None and hand.window.sheets.open.fault.isVisible(),
        timeout=10_000,
    )
    steps._undo(step, skip_changed=True)
    qtbot.waitUntil(
        lambda: [a.origin for a in labelling.load(ws, 2).annotations] == ["model", "model"], timeout=10_000
    )


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_what_was_deleted_comes_back_from_the_recycle_bin(hand: Hand, qtbot: QtBot, language: str) -> None:
    hand.desk.set_language(language)
    draw(hand, 1)
    (old,) = hand.stored(1).values()
    hand.key(Qt.Key.Key_Delete)
    hand.settled()
    assert hand.stored(1) == {}
    hand.key(Qt.Key.Key_Delete, CTRL, Qt.KeyboardModifier.ShiftModifier)
    found = hand.window.findChild(Bin)
    assert found is not None
    qtbot.waitUntil(lambda: len(found._rows) == 1)
    found._tick(found._rows[0].row_id)
    assert hand.window.sheets.open is not None and hand.window.sheets.open.verb.isEnabled()
    hand.window.sheets.open.verb.click()
    qtbot.waitUntil(lambda: list(hand.stored(1).values()) == [old], timeout=10_000)

"""Two workspaces one after the other at one desk: nothing of the first reaches the second."""

from __future__ import annotations

from pathlib import Path

from pytestqt.qtbot import QtBot

from app.desktop.window import Window
from app.services import labelling, workspace
from tests.app.desktop.conftest import Hand, furnish, open_in


def switch(hand: Hand, qtbot: QtBot, place: Path) -> None:
    """Open the other workspace and its second picture."""
    before = hand.desk.ws
    hand.window.open_workspace(str(place))
    qtbot.waitUntil(
        lambda: hand.desk.ws not in (None, before) and hand.desk.schema is not None, timeout=10_000
    )
    hand.open(2)


def test_a_gesture_after_a_switch_starts_from_the_page_of_the_open_workspace(
    window: Window, qtbot: QtBot, tmp_path: Path
) -> None:
    first, second = furnish(tmp_path / "one"), furnish(tmp_path / "two")
    hand = open_in(window, qtbot, first)
    hand.open(2)
    hand.doc.accept([a.uid for a in hand.doc.annotations])
    for n in range(4):
        window.annotate.set_tool("box")
        hand.drag(20 + 60 * n, 220, 60 + 60 * n, 300)
    hand.settled()
    kept = hand.stored(2)
    switch(hand, qtbot, second)
    theirs = {a.uid for a in hand.doc.annotations}
    assert len(theirs) == 3
    assert not theirs & set(kept)
    gone = hand.doc.annotations[0].uid
    hand.doc.reject([gone])
    hand.settled()
    assert {a.uid for a in hand.doc.annotations} == theirs - {gone} == set(hand.stored(2))
    with workspace.open(str(first), person="07") as ws:
        assert {a.uid: a for a in labelling.load(ws, 2).annotations} == kept


def test_the_status_line_names_a_revision_of_the_open_workspace(
    window: Window, qtbot: QtBot, tmp_path: Path
) -> None:
    first, second = furnish(tmp_path / "one"), furnish(tmp_path / "two")
    hand = open_in(window, qtbot, first)
    hand.open(2)
    for n in range(4):
        window.annotate.set_tool("box")
        hand.drag(20 + 60 * n, 220, 60 + 60 * n, 300)
    # The last gestures are still on their way when the other workspace opens.
    switch(hand, qtbot, second)
    hand.settled()
    assert hand.desk.ws is not None
    assert hand.doc.revision == labelling.load(hand.desk.ws, 2).revision
    assert len(hand.doc.annotations) == 3


def test_a_judgement_or_bulk_action_of_one_workspace_cannot_be_taken_back_in_another(
    window: Window, qtbot: QtBot, tmp_path: Path
) -> None:
    first, second = furnish(tmp_path / "one"), furnish(tmp_path / "two")
    hand = open_in(window, qtbot, first)
    hand.open(1)
    reviewing, deeds = window.annotate.reviewing, window.gallery.deeds
    reviewing._judge("accepted", "")
    qtbot.waitUntil(lambda: reviewing._last is not None)
    deeds.step, deeds.result = 3, "done"
    switch(hand, qtbot, second)
    assert reviewing._last is None and not deeds.step
    assert hand.desk.ws is not None
    before = labelling.steps(hand.desk.ws)
    reviewing.take_back()
    deeds.undo()
    hand.settled()
    assert not hand.desk.tasks.running and labelling.steps(hand.desk.ws) == before

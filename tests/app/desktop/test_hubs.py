"""Hubs at the desk: added by a form, tried and told in plain words, published to with an estimate, shown with their queue."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton

from app.desktop import actions
from app.desktop.hubs.adding import AddHubSheet
from app.desktop.hubs.publishing import PublishSheet
from app.desktop.hubs.shelf import HubsSheet
from app.services import gate, hubs, publish, versions
from tests.app.desktop.conftest import Hand
from tests.app.desktop.test_access import nameless


def opened(hand: Hand, action: str, kind: type):
    hand.window.trigger(actions.BY_ID[action])
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, kind))
    return hand.window.sheets.open


def texts(sheet) -> list[str]:
    return [w.text() for w in sheet.findChildren(QLabel) if w.isVisibleTo(sheet)]


def press(hand: Hand, sheet, text: str) -> None:
    def found() -> list[QPushButton]:
        return [b for b in sheet.findChildren(QPushButton) if b.text() == text and b.isVisibleTo(sheet)]

    hand.qtbot.waitUntil(lambda: len(found()) == 1)
    hand.qtbot.mouseClick(found()[0], Qt.MouseButton.LeftButton)


def frozen(hand: Hand) -> None:
    assert hand.desk.ws is not None
    list(versions.build(hand.desk.ws, versions.freeze(hand.desk.ws, "face", tag="v1")))


def test_a_folder_hub_is_added_tried_published_to_and_seen_in_the_queue(hand: Hand, tmp_path: Path) -> None:
    sheet = opened(hand, "hubs.add", AddHubSheet)
    assert not sheet.verb.isEnabled() and nameless(sheet) == []
    sheet.name.setText("井口")
    press(hand, sheet, "Folder")
    sheet.folder.setText(str(tmp_path / "hub"))
    press(hand, sheet, "Add it")
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, HubsSheet))
    shelf = hand.window.sheets.open
    hand.qtbot.waitUntil(lambda: list(shelf.rows) == ["井口"])
    assert nameless(shelf) == []
    press(hand, shelf, "Try what it can do")
    hand.qtbot.waitUntil(lambda: any("everything is read back" in t for t in texts(shelf)))

    frozen(hand)
    hand.window.sheets.publish("v1")
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, PublishSheet))
    sending = hand.window.sheets.open
    assert nameless(sending) == []
    hand.qtbot.waitUntil(lambda: "to send" in sending.told.text())
    assert (sending.audience(), sending.purpose()) == (gate.OUTSIDE.audience, gate.OUTSIDE.purpose)
    sending.limit.setText("100M")
    press(hand, sending, "Publish")
    hand.qtbot.waitUntil(lambda: bool(hand.desk.tasks.past), timeout=30_000)
    assert hand.desk.tasks.past[0].state == "finished", hand.desk.tasks.past[0].fault

    shelf = opened(hand, "hubs", HubsSheet)
    hand.qtbot.waitUntil(lambda: "finished" in texts(shelf))
    press(hand, shelf, "Remove…")
    press(hand, shelf, "Remove it")
    hand.qtbot.waitUntil(lambda: not shelf.rows)
    assert hubs.listing(hand.desk.ws) == [] and (tmp_path / "hub" / "lamproom-hub.json").is_file()


def test_a_store_that_cannot_be_reached_is_told_in_the_sheet(hand: Hand, monkeypatch) -> None:
    monkeypatch.setattr(hubs, "SOON_S", 0.2)
    hubs.add_s3(
        hand.desk.ws, "集团", endpoint="http://127.0.0.1:9", bucket="data-sets", access="a", secret="not-told"
    )
    shelf = opened(hand, "hubs", HubsSheet)
    hand.qtbot.waitUntil(lambda: "集团" in shelf.rows)
    press(hand, shelf, "Try what it can do")
    hand.qtbot.waitUntil(lambda: any("cannot be reached" in t for t in texts(shelf)))
    assert not any("not-told" in t for t in texts(shelf))


def test_a_publishing_that_waits_is_gone_on_with_from_the_list(hand: Hand, tmp_path: Path) -> None:
    frozen(hand)
    hubs.add_folder(hand.desk.ws, "井口", tmp_path / "hub")
    list(publish.run(hand.desk.ws, "face@v1", "井口", later=True))
    shelf = opened(hand, "hubs", HubsSheet)
    hand.qtbot.waitUntil(lambda: "waiting" in texts(shelf))
    press(hand, shelf, "Resume")
    hand.qtbot.waitUntil(lambda: bool(hand.desk.tasks.past), timeout=30_000)
    assert hand.desk.tasks.past[0].state == "finished", hand.desk.tasks.past[0].fault
    assert [q.state for q in publish.queue(hand.desk.ws)] == ["finished"]

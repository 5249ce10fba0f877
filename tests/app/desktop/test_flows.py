"""From the desk alone: model, pre-label, accept, freeze, export, publish, import; each a task started by a sheet."""

from __future__ import annotations

import json
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit, QPushButton

from app.desktop import actions
from tests.app.desktop.conftest import Hand

SHIFT, CTRL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


def run(hand: Hand, action: str) -> None:
    hand.window.trigger(actions.BY_ID[action])
    hand.qtbot.waitUntil(lambda: hand.window.sheets.open is not None)


def go(hand: Hand, **seconds: int) -> None:
    """Press the sheet's verb and wait for the task to end well."""
    sheet = hand.window.sheets.open
    hand.qtbot.waitUntil(sheet.verb.isEnabled)
    before = len(hand.desk.tasks.past)
    hand.qtbot.mouseClick(sheet.verb, Qt.MouseButton.LeftButton)
    hand.qtbot.waitUntil(lambda: len(hand.desk.tasks.past) > before, timeout=60_000)
    task = hand.desk.tasks.past[0]
    assert task.state == "finished", task.fault


def test_the_whole_line_runs_from_the_desk(hand: Hand, tmp_path: Path) -> None:
    run(hand, "prelabel")
    go(hand)
    hand.qtbot.waitUntil(lambda: hand.desk.dataset.n_predicted >= 4)

    run(hand, "review.accept")
    go(hand)
    hand.qtbot.waitUntil(lambda: hand.desk.totals.truth > 0)

    run(hand, "freeze")
    assert hand.window.sheets.open.findChild(QLineEdit).text() == "v1"
    go(hand)
    hand.qtbot.waitUntil(lambda: hand.desk.dataset.last_tag == "v1")

    run(hand, "export")
    hand.window.sheets.open.out.setText(str(tmp_path / "out"))
    go(hand)
    written = json.loads(next((tmp_path / "out").rglob("*.json")).read_text(encoding="utf-8"))
    assert written

    run(hand, "publish")
    hand.window.sheets.open.folder.setText(str(tmp_path / "hub"))
    go(hand)
    assert any((tmp_path / "hub").rglob("*"))

    hand.window.go("versions")
    hand.qtbot.waitUntil(lambda: len(hand.window.versions._rows) == 1)
    before = len(hand.desk.tasks.past)
    verify = next(b for b in hand.window.versions.findChildren(QPushButton) if b.text() == "Verify")
    hand.qtbot.mouseClick(verify, Qt.MouseButton.LeftButton)
    hand.qtbot.waitUntil(lambda: len(hand.desk.tasks.past) > before, timeout=30_000)
    assert hand.desk.tasks.past[0].state == "finished"


def test_a_bulk_accept_is_undone_from_the_overview(hand: Hand) -> None:
    run(hand, "review.accept")
    go(hand)
    hand.qtbot.waitUntil(lambda: hand.desk.totals.truth == 2)
    hand.window.go("overview")

    def undo() -> QPushButton | None:
        shown = [
            b for b in hand.window.home.findChildren(QPushButton) if b.text() == "Undo" and b.isVisible()
        ]
        return shown[0] if shown and hand.window.home._done[0].verb == "accept" else None

    hand.qtbot.waitUntil(lambda: undo() is not None)
    hand.qtbot.mouseClick(undo(), Qt.MouseButton.LeftButton)
    hand.qtbot.waitUntil(lambda: hand.desk.totals.truth == 0)


def test_a_model_that_is_no_model_is_refused_in_the_sheet(hand: Hand, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model at all")
    run(hand, "models.add")
    sheet = hand.window.sheets.open
    sheet.findChildren(QLineEdit)[0].setText(str(tmp_path / "broken.onnx"))
    hand.qtbot.mouseClick(sheet.verb, Qt.MouseButton.LeftButton)
    hand.qtbot.waitUntil(lambda: "broken.onnx" in sheet.fault.text())
    assert hand.window.sheets.open is sheet
    hand.key(Qt.Key.Key_Escape, on=sheet)
    assert hand.window.sheets.open is None


def test_a_folder_that_is_not_there_is_refused_in_the_sheet(hand: Hand, tmp_path: Path) -> None:
    run(hand, "pictures.add")
    sheet = hand.window.sheets.open
    sheet.findChildren(QLineEdit)[0].setText(str(tmp_path / "nowhere"))
    hand.qtbot.mouseClick(sheet.verb, Qt.MouseButton.LeftButton)
    assert "nowhere" in sheet.fault.text()
    assert hand.desk.tasks.running == []


def test_tab_stays_inside_a_sheet(hand: Hand) -> None:
    run(hand, "pictures.add")
    sheet = hand.window.sheets.open
    for _ in range(12):
        hand.key(Qt.Key.Key_Tab)
        assert sheet.isAncestorOf(hand.window.focusWidget())


def test_the_log_of_writes_is_folded_back_some_seconds_after_a_gesture_and_not_by_it(hand: Hand) -> None:
    record = hand.desk.ws.folder / "record.db"
    hand.open(1)
    before = record.stat().st_mtime_ns
    hand.key("r")
    hand.drag(20, 20, 90, 90)
    assert hand.stored()
    assert record.stat().st_mtime_ns == before
    assert hand.desk._rest.isActive()
    hand.desk._rest.start(0)
    hand.qtbot.waitUntil(lambda: record.stat().st_mtime_ns != before)

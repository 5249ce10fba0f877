"""From a file on a stick to a report: drop, answer, preview, map classes, run, look, take back; and a model that travels in a pack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx as onnx_format
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel

from app.desktop.models.machine import ReportSheet
from app.desktop.models.packing import SendSheet, TakeSheet
from app.desktop.models.prelabelling import PrelabelSheet
from app.desktop.models.shelf import ShelfSheet
from app.services import browse, keys, labelling, onnx, packs, schema, workspace
from models import demo
from tests.app.desktop.conftest import Hand
from tests.app.desktop.test_models import drop, models, press, previewed
from tests.app.desktop.test_models_prelabel import choose
from tests.models.toys import toy_model

LEFT = Qt.MouseButton.LeftButton
NAMES = 3


def yolox(folder: Path) -> Path:
    """A YOLOX without class names for 64 px: 84 cells, of which one sees an object of the second class (score 0.81)."""
    table = np.zeros((1, 84, 5 + NAMES), np.float32)
    table[0, :, :2] = 0.5
    table[0, 0, :2] = -0.4
    table[0, 27, 2:4] = np.log(2.5)
    table[0, 27, 4:] = (0.9, 0.05, 0.9, 0.05)
    onnx_format.save(toy_model(table), str(folder / "belt_x.onnx"))
    return folder / "belt_x.onnx"


def test_from_a_dropped_file_to_a_report_and_back(hand: Hand, tmp_path: Path) -> None:
    ws = hand.desk.ws
    assert ws is not None
    assert drop(hand, yolox(tmp_path))
    sheet = previewed(hand)
    assert sheet.found is not None and sheet.found.card.family == "yolox"
    assert [len(cell.annotations) for cell in sheet.grid.shown] == [1] * 5

    # what the file cannot tell: the names; the preview follows
    sheet.names.edit.setFocus()
    sheet.names.edit.selectAll()
    for i, name in enumerate(("crack", "hard hat", "zebra")):
        if i:
            QTest.keyClick(sheet.names.edit, Qt.Key.Key_Return)
        QTest.keyClicks(sheet.names.edit, name)
    hand.qtbot.waitUntil(
        lambda: sheet.found is not None and sheet.found.card.labels == ("crack", "hard hat", "zebra"),
        timeout=20_000,
    )
    previewed(hand)
    assert sheet.grid.shown[0].annotations[0].label == "hard hat" and models(hand) == []
    hand.qtbot.mouseClick(sheet.verb, LEFT)

    # classes: one known by a synonym, one taken as new, one left out
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, PrelabelSheet), timeout=20_000)
    asked = hand.window.sheets.open
    assert isinstance(asked, PrelabelSheet) and models(hand) == ["belt_x"]
    hand.qtbot.waitUntil(asked.verb.isEnabled, timeout=20_000)
    assert dict(asked.pages["classes"].mapping())["hard hat"] == "helmet"
    asked.show_page("classes")
    choose(asked, "zebra", "zebra")
    choose(asked, "crack", "")
    hand.qtbot.mouseClick(asked.verb, LEFT)
    hand.qtbot.waitUntil(lambda: bool(hand.desk.tasks.past), timeout=60_000)

    hand.window.toggle_activity()
    press(hand, hand.window.activity._cards[0], "Report")
    report = hand.window.sheets.open
    assert isinstance(report, ReportSheet)
    assert report.figures["predictions"].text() == "5" and "It ran on: CPU" in report.told.text()
    assert [a.label for a in labelling.load(ws, 1).annotations] == ["helmet"]
    assert schema.current(ws).resolve("zebra") == "zebra"
    press(hand, report, "Take all of it back")
    hand.qtbot.waitUntil(lambda: browse.count(ws, browse.Query(1, where="model:belt_x")) == 0, timeout=20_000)


def test_a_model_travels_in_a_pack_and_is_taken_in_only_with_its_makers_key(
    hand: Hand, tmp_path: Path
) -> None:
    ws = hand.desk.ws
    assert ws is not None
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "LICENCE").write_text("Do what you like.\n")
    with workspace.create(str(tmp_path / "maker"), person="maker") as maker:
        onnx.add(maker, demo.path(), name="demo")
        packs.export(maker, "demo", stick / "demo.lrmodel", licence=stick / "LICENCE", licence_name="MIT")
        key = keys.fingerprint(maker)
    assert drop(hand, stick / "demo.lrmodel")
    sheet = hand.window.sheets.open
    assert isinstance(sheet, TakeSheet)
    hand.qtbot.waitUntil(lambda: sheet.looked is not None, timeout=20_000)
    hand.qtbot.waitUntil(lambda: sheet.key.isVisible() and sheet.verb.isEnabled())
    hand.qtbot.mouseClick(sheet.verb, LEFT)
    hand.qtbot.waitUntil(lambda: "unknown key" in sheet.fault.text(), timeout=20_000)
    assert models(hand) == []
    QTest.keyClicks(sheet.key, key)
    hand.qtbot.mouseClick(sheet.verb, LEFT)
    hand.qtbot.waitUntil(lambda: models(hand) == ["demo"], timeout=30_000)
    hand.qtbot.waitUntil(
        lambda: isinstance(hand.window.sheets.open, ShelfSheet) and bool(hand.window.sheets.open.rows),
        timeout=20_000,
    )

    shelf = hand.window.sheets.open
    press(hand, shelf, "Write a pack…")
    send = hand.window.sheets.open
    assert isinstance(send, SendSheet)
    (tmp_path / "out").mkdir()
    QTest.keyClicks(send.folder, str(tmp_path / "out"))
    hand.qtbot.mouseClick(send.verb, LEFT)
    hand.qtbot.waitUntil(
        lambda: any("fingerprint" in w.text() for w in send.findChildren(QLabel)), timeout=30_000
    )
    assert (tmp_path / "out" / "demo.lrmodel").is_file()

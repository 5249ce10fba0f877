"""Models at the desk: the list, dropping a file, what it is and why, answering, a live threshold, and that Cancel keeps nothing."""

from __future__ import annotations

from pathlib import Path

import onnx as onnx_format
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton

from app.desktop import actions
from app.desktop.models.adding import AddSheet
from app.desktop.models.shelf import ShelfSheet
from app.services import onnx
from tests.app.desktop.conftest import Hand
from tests.app.desktop.test_access import nameless
from tests.models.toys import columns, toy_model

LEFT = Qt.MouseButton.LeftButton
TWO = columns((20, 20, 20, 20, 0.9, 0.0), (44, 40, 16, 24, 0.0, 0.4))


def write(folder: Path, name: str = "two.onnx", **options) -> Path:
    """A detector of 64 px that sees a person (0.9) and a zebra (0.4) on every picture."""
    options = {"metadata": {"names": "{0: 'person', 1: 'zebra'}"}, **options}
    onnx_format.save(toy_model(options.pop("table", TWO), **options), str(folder / name))
    return folder / name


def drop(hand: Hand, *files: Path) -> bool:
    """Drag files over the window and let go; whether they were taken."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(f)) for f in files])
    buttons, keys = LEFT, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(300, 300), Qt.DropAction.CopyAction, data, buttons, keys)
    enter.setAccepted(False)
    QApplication.sendEvent(hand.window, enter)
    if not enter.isAccepted():
        return False
    QApplication.sendEvent(
        hand.window, QDropEvent(QPointF(300, 300), Qt.DropAction.CopyAction, data, buttons, keys)
    )
    return True


def adding(hand: Hand) -> AddSheet:
    sheet = hand.window.sheets.open
    assert isinstance(sheet, AddSheet)
    return sheet


def previewed(hand: Hand) -> AddSheet:
    """Wait until the model is known and its ten pictures are there."""
    sheet = adding(hand)
    hand.qtbot.waitUntil(lambda: sheet.found is not None, timeout=20_000)
    hand.qtbot.waitUntil(lambda: not sheet.grid.busy and len(sheet.grid.shown) == 5, timeout=20_000)
    return sheet


def press(hand: Hand, root, text: str) -> None:
    def made() -> list[QPushButton]:
        return [b for b in root.findChildren(QPushButton) if b.text() == text and b.isVisibleTo(root)]

    hand.qtbot.waitUntil(lambda: bool(made()))
    hand.qtbot.mouseClick(made()[0], LEFT)


def models(hand: Hand) -> list[str]:
    assert hand.desk.ws is not None
    return [row.name for row in onnx.listing(hand.desk.ws)]


def test_a_dropped_file_is_recognised_told_why_and_tried_on_pictures_and_cancel_keeps_nothing(
    hand: Hand, tmp_path: Path
) -> None:
    assert drop(hand, write(tmp_path))
    sheet = previewed(hand)
    assert "Detects objects" in sheet.kind.text() and "2 classes" in sheet.facts.text() and sheet.why.text()
    assert all([a.label for a in cell.annotations] == ["person", "zebra"] for cell in sheet.grid.shown)
    assert "10 objects in 5 pictures" in sheet.told.text()
    assert hand.desk.ws is not None
    hand.key(Qt.Key.Key_Escape, on=sheet)
    assert hand.window.sheets.open is None and models(hand) == []
    assert list((hand.desk.ws.folder / "models").iterdir()) == []


def test_the_threshold_moves_over_what_was_found_without_another_run_and_becomes_the_models(
    hand: Hand, tmp_path: Path
) -> None:
    hand.window.sheets.add_model(str(write(tmp_path)))
    sheet = previewed(hand)
    runs = sheet._stop
    sheet.slider.setFocus()
    while sheet.slider.value() < 50:
        QTest.keyClick(sheet.slider, Qt.Key.Key_Right)
    assert sheet.grid.tally() == (5, 5, 0) and sheet._stop is runs
    assert "5 objects in 5 pictures" in sheet.told.text()
    while sheet.slider.value() < 95:
        QTest.keyClick(sheet.slider, Qt.Key.Key_Right)
    assert sheet.grid.tally() == (5, 0, 5) and "5 pictures without any" in sheet.told.text()
    sheet.slider.setValue(40)
    hand.qtbot.mouseClick(sheet.verb, LEFT)
    hand.qtbot.waitUntil(lambda: models(hand) == ["two"])
    assert onnx.show(hand.desk.ws, "two").card.score_micro == 400_000


def test_an_unknown_model_is_asked_about_answered_and_tried(hand: Hand, tmp_path: Path) -> None:
    import numpy as np

    rows = np.array([[16, 16, 32, 48], [1, 1, 2, 2]], np.float32)
    score = np.array([[0.8], [0.01]], np.float32)
    file = write(
        tmp_path,
        table=rows[None],
        extra={"s": score, "odd": np.zeros((1, 2, 3, 4, 5), np.float32)},
        metadata={},
    )
    assert drop(hand, file)
    sheet = adding(hand)
    hand.qtbot.waitUntil(lambda: sheet.unknown is not None, timeout=20_000)
    assert "Which output is what?" in sheet.kind.text() and "odd" in sheet.why.text()
    assert sheet.grid.shown == [] and sheet.grid.note and models(hand) == []
    said = sheet.form.answers
    assert {"boxes", "scores", "per_class", "unit"} <= set(said)
    hand.qtbot.mouseClick(sheet.verb, LEFT)
    previewed(hand)
    assert sheet.found.card.family == "form" and len(sheet.found.card.labels) == 1
    assert [len(cell.annotations) for cell in sheet.grid.shown] == [1] * 5
    one = sheet.grid.shown[0].annotations[0].shape
    # Another answer is another preview: corners read as middle and size.
    segments = [b for b in sheet.form.findChildren(QPushButton) if b.text() == "cxcywh"]
    hand.qtbot.mouseClick(segments[0], LEFT)
    hand.qtbot.waitUntil(lambda: not sheet.grid.busy and len(sheet.grid.shown) == 5 and bool(sheet.grid.shown[0].annotations) and sheet.grid.shown[0].annotations[0].shape != one, timeout=20_000)  # fmt: skip


def test_names_are_written_where_the_file_has_none(hand: Hand, tmp_path: Path) -> None:
    hand.window.sheets.add_model(str(write(tmp_path, metadata={})))
    sheet = previewed(hand)
    assert sheet.names.written == ("class_0", "class_1") and not sheet.names.back.isVisibleTo(sheet)
    sheet.names.edit.setPlainText("人员\n安全帽")
    hand.qtbot.waitUntil(
        lambda: sheet.found is not None and sheet.found.card.labels == ("人员", "安全帽"), timeout=20_000
    )
    previewed(hand)
    assert {a.label for cell in sheet.grid.shown for a in cell.annotations} <= {"人员", "安全帽"}
    sheet.names.edit.setPlainText("人员")
    assert "1 names for 2 classes" in sheet.names.note.text()
    hand.qtbot.waitUntil(lambda: "2 classes" in sheet.fault.text(), timeout=20_000)
    press(hand, sheet.names, "As the file says")
    hand.qtbot.waitUntil(
        lambda: sheet.found is not None and sheet.found.card.labels == ("class_0", "class_1"), timeout=20_000
    )


def test_a_picture_is_enlarged_by_click_and_by_key(hand: Hand, tmp_path: Path) -> None:
    hand.window.sheets.add_model(str(write(tmp_path)))
    sheet = previewed(hand)
    grid = sheet.grid
    hand.qtbot.mouseClick(grid, LEFT, pos=grid.cell_rect(2).center())
    assert grid.zoomed == 2
    QTest.keyClick(grid, Qt.Key.Key_Right)
    assert grid.zoomed == 3
    QTest.keyClick(grid, Qt.Key.Key_Escape)
    assert grid.zoomed is None and hand.window.sheets.open is sheet
    QTest.keyClick(grid, Qt.Key.Key_Return)
    assert grid.zoomed == 3


def test_a_hostile_file_is_refused_in_one_line_and_another_file_clears_it(hand: Hand, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x07 nothing")
    hand.window.sheets.add_model(str(tmp_path / "bad.onnx"))
    sheet = adding(hand)
    hand.qtbot.waitUntil(lambda: "bad.onnx" in sheet.fault.text(), timeout=20_000)
    sheet.path.setText(str(write(tmp_path)))
    assert not sheet.fault.text()
    hand.qtbot.mouseClick(sheet.verb, LEFT)
    previewed(hand)
    assert sheet.verb.text() == "Add the model"


def test_the_list_tells_shows_and_removes_models_by_keyboard_too(hand: Hand, tmp_path: Path) -> None:
    ws = hand.desk.ws
    onnx.add(ws, write(tmp_path))
    onnx.add_demo(ws)
    onnx.show(ws, "two").path.unlink()
    hand.window.trigger(actions.BY_ID["models"])
    sheet = hand.window.sheets.open
    assert isinstance(sheet, ShelfSheet)
    hand.qtbot.waitUntil(lambda: len(sheet.rows) == 2)
    assert nameless(sheet) == []
    sheet.rows["two"].setFocus()
    QTest.keyClick(sheet.rows["two"], Qt.Key.Key_Space)
    assert sheet.chosen == "two"

    def said() -> str:
        return " ".join(w.text() for w in sheet.findChildren(QLabel) if w.isVisibleTo(sheet))

    hand.qtbot.waitUntil(lambda: "its file is not here" in said())
    assert "person · zebra" in said() and "0.25" in said()
    press(hand, sheet, "Remove…")
    assert models(hand) == ["two", "demo"]
    hand.qtbot.waitUntil(lambda: "Predictions and files stay." in said())
    press(hand, sheet, "Remove it")
    hand.qtbot.waitUntil(lambda: list(sheet.rows) == ["demo"])
    assert models(hand) == ["demo"]


def test_an_empty_list_says_what_to_do_and_the_demonstration_model_is_one_press_away(hand: Hand) -> None:
    hand.window.trigger(actions.BY_ID["models"])
    sheet = hand.window.sheets.open
    assert isinstance(sheet, ShelfSheet)
    hand.qtbot.waitUntil(lambda: any("Drop an .onnx file" in w.text() for w in sheet.findChildren(QLabel)))
    press(hand, sheet, "Add the demonstration model")
    hand.qtbot.waitUntil(lambda: list(sheet.rows) == ["demo"])
    press(hand, sheet, "Add a model…")
    assert isinstance(hand.window.sheets.open, AddSheet)
    assert nameless(hand.window.sheets.open) == []


@pytest.mark.parametrize("theme", ("dark", "light"))
def test_the_sheet_speaks_chinese_in_both_themes(hand: Hand, tmp_path: Path, theme: str) -> None:
    hand.desk.set_language("zh_CN")
    hand.desk.set_theme(theme)
    hand.window.sheets.add_model(str(write(tmp_path)))
    sheet = previewed(hand)
    said = [
        w.text()
        for w in sheet.findChildren(QLabel)
        if w.isVisibleTo(sheet) and w.text() not in ("yolo", "two")
    ]
    assert [t for t in said if len(t) > 6 and not any("一" <= c <= "鿿" for c in t)] == []
    assert nameless(sheet) == []

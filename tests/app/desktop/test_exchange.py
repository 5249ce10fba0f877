"""Import and export at the desk: dropped, recognised, classes decided, counted before anything is written; losses and the gate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication
from PySide6.QtWidgets import QApplication, QLabel

from annotation.core import Annotation, Polygon
from app.desktop import actions
from app.desktop.exchange.exporting import ExportSheet
from app.desktop.exchange.importing import ImportedSheet, ImportSheet
from app.services import auditing, browse, gate, labelling, versions
from tests.app.desktop.conftest import Hand
from tests.app.desktop.test_access import nameless


def coco(folder: Path) -> Path:
    """A file of labels: three of the five pictures, one of another size, one unknown; a class of each kind."""
    names = [f"cam/井下 {i:03d}.png" for i in range(4)] + ["cam/井上 000.png"]
    classes = ["person", "hard hat on head", "conveyor", "dog"]
    document = {
        "images": [{"id": i, "file_name": n, "width": 640 if i == 3 else 480, "height": 360} for i, n in enumerate(names)],
        "categories": [{"id": i, "name": n} for i, n in enumerate(classes)],
        "annotations": [
            {"id": 4 * i + k, "image_id": i, "category_id": k, "bbox": [10 + 50 * k, 20, 40, 30], "area": 1200, "iscrowd": 0}
            for i in range(5)
            for k in range(4)
        ],
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "instances.json").write_text(json.dumps(document), encoding="utf-8")
    return folder / "instances.json"


def drop(hand: Hand, path: Path) -> None:
    """Drag a file over the window and let it go."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    copy, left, none = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(hand.window, QDragEnterEvent(QPoint(40, 40), copy, mime, left, none))
    QApplication.sendEvent(hand.window, QDropEvent(QPointF(40, 40), copy, mime, left, none))


def importing(hand: Hand, file: Path) -> ImportSheet:
    """The import sheet, once it has looked at the file."""
    drop(hand, file)
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, ImportSheet))
    sheet = hand.window.sheets.open
    hand.qtbot.waitUntil(lambda: sheet.found is not None, timeout=20_000)
    return sheet


def exporting(hand: Hand) -> ExportSheet:
    hand.window.trigger(actions.BY_ID["export"])
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, ExportSheet))
    sheet = hand.window.sheets.open
    weighed(hand, sheet)
    return sheet


def weighed(hand: Hand, sheet: ExportSheet) -> None:
    hand.qtbot.waitUntil(lambda: sheet.found is not None and not sheet._typing.isActive(), timeout=20_000)


def choose(sheet: ImportSheet, name: str, code: str) -> None:
    """Pick a label for a class, as a person does with the list."""
    combo = sheet.classes.lines[name].combo
    combo.setCurrentIndex(combo.findData(code))
    combo.activated.emit(combo.currentIndex())


def texts(sheet) -> str:
    return "\n".join(w.text() for w in sheet.findChildren(QLabel) if w.isVisibleTo(sheet))


def says(hand: Hand, sheet, text: str) -> None:
    """Wait until the sheet shows a text: what was just made is shown with the next event."""
    hand.qtbot.waitUntil(lambda: text in texts(sheet))


def finished(hand: Hand) -> None:
    hand.qtbot.waitUntil(lambda: bool(hand.desk.tasks.past), timeout=30_000)
    assert hand.desk.tasks.past[0].state == "finished", hand.desk.tasks.past[0].fault


def test_a_dropped_file_is_told_counted_mapped_and_imported(hand: Hand, tmp_path: Path) -> None:
    ws = hand.desk.ws
    before = browse.totals(ws)
    sheet = importing(hand, coco(tmp_path / "in"))
    assert nameless(sheet) == []
    for text in ("COCO", "images", "another size 1", "not in the dataset 1"):
        says(hand, sheet, text)
    assert sheet.classes.new == ["conveyor", "dog", "hard hat on head"] or len(sheet.classes.new) == 3
    choose(sheet, "dog", "-")
    choose(sheet, "hard hat on head", "helmet")
    assert sheet.classes.decisions == {"dog": None, "hard hat on head": "helmet"}
    assert "1 new labels" in sheet.told.text() and "1 left out" in sheet.told.text()
    sheet.turn.click()
    assert sheet.lists.text.toPlainText() == "cam/井上 000.png"
    assert sheet.lists.kinds is not None
    hand.qtbot.mouseClick(sheet.lists.kinds.button("wrong_size"), Qt.MouseButton.LeftButton)
    assert sheet.lists.text.toPlainText() == "cam/井下 003.png"
    assert browse.totals(ws) == before  # all this was only looking

    hand.qtbot.mouseClick(sheet.verb, Qt.MouseButton.LeftButton)
    finished(hand)
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, ImportedSheet))
    told = hand.window.sheets.open
    says(hand, told, "conveyor")
    assert nameless(told) == []
    assert browse.totals(ws).truth == 9
    told.lists._copy()
    assert QGuiApplication.clipboard().text() == "cam/井上 000.png"
    told._undo()
    hand.qtbot.waitUntil(lambda: browse.totals(ws).truth == 0, timeout=20_000)


def test_a_faulty_file_is_told_in_the_sheet_and_cannot_be_imported(hand: Hand, tmp_path: Path) -> None:
    file = coco(tmp_path / "in")
    file.write_text(file.read_text(encoding="utf-8").replace("[10, 20, 40, 30]", "[10, 20, NaN, 30]", 1))
    drop(hand, file)
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, ImportSheet))
    sheet = hand.window.sheets.open
    hand.qtbot.waitUntil(lambda: "instances.json" in sheet.fault.text(), timeout=20_000)
    assert not sheet.verb.isEnabled() and "nothing was written" in sheet.empty.text()
    sheet.path.setText(str(coco(tmp_path / "other")))
    hand.qtbot.waitUntil(lambda: sheet.found is not None, timeout=20_000)
    assert sheet.verb.isEnabled() and sheet.fault.text() == ""


def test_dropped_pictures_are_added_not_imported(hand: Hand, tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    drop(hand, tmp_path / "shots")
    hand.qtbot.waitUntil(lambda: hand.window.sheets.open is not None)
    assert not isinstance(hand.window.sheets.open, ImportSheet)
    assert str(tmp_path / "shots") in [
        e.text() for e in hand.window.sheets.open.findChildren(type(hand.window.sheets.open.path_field("")))
    ]


def test_escape_while_a_file_is_read_leaves_no_thread_and_no_trace(hand: Hand, tmp_path: Path) -> None:
    before = browse.totals(hand.desk.ws)
    drop(hand, coco(tmp_path / "in"))
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, ImportSheet))
    hand.key(Qt.Key.Key_Escape, on=hand.window.sheets.open)
    assert hand.window.sheets.open is None and browse.totals(hand.desk.ws) == before


def drawn(hand: Hand) -> None:
    """A polygon that YOLO boxes cannot hold, and a version."""
    ws = hand.desk.ws
    page = labelling.load(ws, 1)
    labelling.save(
        ws, page, (Annotation("person", Polygon((((10.0, 10.0, 90.0, 10.0, 50.0, 80.0),),))),), verb="draw"
    )
    list(versions.build(ws, versions.freeze(ws, "face", tag="v1")))


def pick(combo, code: str) -> None:
    combo.setCurrentIndex(combo.findData(code))
    combo.activated.emit(combo.currentIndex())


def test_losses_and_the_gate_are_read_before_the_button_can_be_pressed(hand: Hand, tmp_path: Path) -> None:
    drawn(hand)
    gate.set_tag(hand.desk.ws, "asset", "1", gate.Tag("internal"))
    sheet = exporting(hand)
    says(hand, sheet, "Nothing is lost")
    assert nameless(sheet) == []
    sheet.out.setText(str(tmp_path / "out"))
    assert sheet.verb.isEnabled() and sheet.verb.text() == "Export"
    pick(sheet.format, "yolo")
    assert not sheet.verb.isEnabled()
    weighed(hand, sheet)
    says(hand, sheet, "polygons")
    assert sheet.verb.text() == "Export without these"
    hand.qtbot.mouseClick(sheet.audience.button("public"), Qt.MouseButton.LeftButton)
    weighed(hand, sheet)
    assert sheet.refused.isVisibleTo(sheet) and not sheet.verb.isEnabled()
    sheet.override.setText("agreed with the owner")
    assert sheet.verb.isEnabled()
    hand.qtbot.mouseClick(sheet.verb, Qt.MouseButton.LeftButton)
    finished(hand)
    assert (tmp_path / "out/data.yaml").is_file()
    assert [e.verb for e in auditing.listing(hand.desk.ws)][-2:] == ["override", "export"]


def test_filters_splits_crops_and_a_version_are_counted_live(hand: Hand, tmp_path: Path) -> None:
    drawn(hand)
    sheet = exporting(hand)
    assert sheet.found is not None and (sheet.found.pictures, sheet.found.objects) == (5, 1)
    sheet.where.setText("class:person -predicted:person")
    hand.qtbot.waitUntil(lambda: sheet.found is None)
    sheet.where.setText("class:")
    hand.qtbot.waitUntil(lambda: bool(sheet.fault.text()), timeout=20_000)
    assert not sheet.verb.isEnabled()
    sheet.where.setText("")
    sheet.ratio.setText("3:1:1")
    weighed(hand, sheet)
    assert sheet.found is not None
    assert set(sheet.found.splits) == {"train", "val", "test"}
    sheet.crops.click()
    pick(sheet.source, "v1")
    weighed(hand, sheet)
    says(hand, sheet, "crops")
    assert sheet.ref == "face@v1" and sheet.found.pictures == 1
    sheet.margin.setText("wide")
    hand.qtbot.waitUntil(lambda: "margin" in sheet.fault.text())


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_pictures_of_the_manual(
    hand: Hand, tmp_path: Path, photograph: Callable[..., None], language: str
) -> None:
    drawn(hand)
    gate.set_tag(hand.desk.ws, "asset", "1", gate.Tag("internal"))
    hand.window.resize(1400, 860)
    if language == "zh_CN":
        hand.window.switch_language()
    else:
        hand.window.switch_theme()
    short = language[:2]
    sheet = importing(hand, coco(tmp_path / "in"))
    sheet.path.blockSignals(True)
    sheet.path.setText("site-7/instances.json")  # not this machine's folder
    photograph(sheet.card, f"inout-import-{short}.png")
    hand.window.sheets.close()
    out = exporting(hand)
    out.out.setText("out/yolo")
    pick(out.format, "yolo")
    weighed(hand, out)
    hand.qtbot.mouseClick(out.audience.button("partners"), Qt.MouseButton.LeftButton)
    weighed(hand, out)
    photograph(out.card, f"inout-export-{short}.png")
    if language == "en":
        hand.window.switch_theme()

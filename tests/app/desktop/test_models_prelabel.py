"""The pre-label sheet: no class enters the schema unasked, counts follow, tiles and regions are drawn, recipes kept, dry runs told."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.desktop import actions
from app.desktop.models.prelabelling import PrelabelSheet
from app.services import browse, jobs, labelling, listing, onnx, recipebook, schema
from app.services.recipebook import PLAIN, Tiling
from tests.app.desktop.conftest import Hand
from tests.app.desktop.test_access import nameless
from tests.app.desktop.test_models import press, write

LEFT = Qt.MouseButton.LeftButton
Key = Qt.Key


def opened(hand: Hand, model: str = "") -> PrelabelSheet:
    """The sheet with model, schema and counts read."""
    hand.window.sheets.prelabel(model)
    return there(hand)


def there(hand: Hand) -> PrelabelSheet:
    """The sheet that was asked for, with model, schema and counts read."""
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, PrelabelSheet), timeout=20_000)
    sheet = hand.window.sheets.open
    assert isinstance(sheet, PrelabelSheet)
    hand.qtbot.waitUntil(lambda: sheet._ready and sheet.pages["pictures"].n is not None, timeout=20_000)
    hand.qtbot.waitUntil(lambda: sheet.pages["tiles"].view.image is not None, timeout=20_000)
    return sheet


@pytest.fixture
def sheet(hand: Hand, tmp_path: Path) -> PrelabelSheet:
    """Open for a model that sees a person (0.9) and a zebra (0.4), of which the schema knows one."""
    assert hand.desk.ws is not None
    onnx.add(hand.desk.ws, write(tmp_path))
    return opened(hand, "two")


def run(hand: Hand, sheet: PrelabelSheet) -> None:
    """Press the verb and wait for the task's good end."""
    before = len(hand.desk.tasks.past)
    hand.qtbot.waitUntil(sheet.verb.isEnabled)
    hand.qtbot.mouseClick(sheet.verb, LEFT)
    hand.qtbot.waitUntil(lambda: len(hand.desk.tasks.past) > before, timeout=60_000)
    assert hand.desk.tasks.past[0].state == "finished", hand.desk.tasks.past[0].fault


def labels_of(hand: Hand, asset: int) -> list[str]:
    assert hand.desk.ws is not None
    return sorted(a.label for a in labelling.load(hand.desk.ws, asset).annotations)


def choose(sheet: PrelabelSheet, name: str, target: str) -> None:
    """Choose a label for a class with the keys."""
    combo = sheet.pages["classes"].lines[name].combo
    combo.setFocus()
    at = combo.findData(target)
    assert at >= 0
    while combo.currentIndex() != at:
        QTest.keyClick(combo, Key.Key_Down if combo.currentIndex() < at else Key.Key_Up)
    combo.activated.emit(at)


def test_a_class_the_schema_does_not_know_is_left_out_until_somebody_says_otherwise(
    hand: Hand, sheet: PrelabelSheet
) -> None:
    before = schema.versions(hand.desk.ws)
    assert dict(sheet.pages["classes"].mapping()) == {"person": "person", "zebra": ""}
    assert "1 classes kept, 1 left out" in sheet.summary.text()
    run(hand, sheet)
    assert labels_of(hand, 1) == ["person"] and schema.versions(hand.desk.ws) == before


def test_a_class_becomes_another_label_or_a_new_one_when_that_is_chosen(
    hand: Hand, sheet: PrelabelSheet
) -> None:
    sheet.show_page("classes")
    choose(sheet, "person", "helmet")
    choose(sheet, "zebra", "zebra")
    assert sheet.pages["classes"].new_labels() == ["zebra"] and "zebra" in sheet.summary.text()
    run(hand, sheet)
    assert labels_of(hand, 1) == ["helmet", "zebra"]
    assert schema.current(hand.desk.ws).resolve("zebra") == "zebra"


def test_nothing_can_begin_while_every_class_is_left_out(sheet: PrelabelSheet) -> None:
    sheet.show_page("classes")
    choose(sheet, "person", "")
    assert not sheet.verb.isEnabled() and "left out" in sheet.summary.text()


def test_thresholds_hold_for_all_and_for_one_class(hand: Hand, sheet: PrelabelSheet) -> None:
    page = sheet.pages["classes"]
    choose(sheet, "zebra", "zebra")
    page.lines["zebra"].score.setValue(0.5)
    assert page.scores() == (("zebra", 500_000),)
    run(hand, sheet)
    assert labels_of(hand, 1) == ["person"]


def test_the_count_follows_what_is_chosen_and_human_work_is_left_alone(
    hand: Hand, sheet: PrelabelSheet
) -> None:
    page = sheet.pages["pictures"]
    assert page.n == 5 and "5 pictures" in page.figure.text()
    hand.qtbot.mouseClick(page.human.button("unlabelled"), LEFT)
    hand.qtbot.waitUntil(lambda: page.n == 4)
    ws = hand.desk.ws
    one = labelling.load(ws, 2)
    labelling.accept(ws, one, [one.annotations[0].uid])
    hand.qtbot.mouseClick(page.human.button("untouched"), LEFT)
    hand.qtbot.waitUntil(lambda: page.n == 4)
    run(hand, sheet)
    assert browse.count(ws, browse.Query(1, where="model:two")) == 4


def test_a_selection_of_the_gallery_is_what_is_predicted(hand: Hand, tmp_path: Path) -> None:
    onnx.add(hand.desk.ws, write(tmp_path))
    hand.window.go("gallery")
    grid = hand.window.gallery.grid
    hand.qtbot.waitUntil(lambda: grid.rows.complete and grid.rows.ids([(0, 5)]) is not None, timeout=20_000)
    grid.selection.only(3, 5)
    sheet = opened(hand, "two")
    assert sheet.pages["pictures"].scope.value == "chosen" and sheet.pages["pictures"].n == 2
    run(hand, sheet)
    assert [labels_of(hand, i) for i in (1, 3, 4, 5)] == [[], [], ["person"], ["person"]]


def test_a_filter_says_as_text_what_it_means_as_a_query(hand: Hand) -> None:
    ws = hand.desk.ws
    for query in (
        browse.Query(1, state="predicted"), browse.Query(1, label="person", min_score=0.5), browse.Query(1, text="井下 00"),
        browse.Query(1, review="draft", where="class:helmet"), browse.Query(1, assignee=ws.person.id), browse.Query(1),
    ):  # fmt: skip
        text = listing.text_of(ws, query)
        assert browse.count(ws, browse.Query(1, where=text)) == browse.count(ws, query)


def test_tiles_are_drawn_where_the_model_will_look(sheet: PrelabelSheet, qtbot) -> None:
    page = sheet.pages["tiles"]
    sheet.show_page("tiles")
    assert page.tiling() is None and not page.view.tiles
    qtbot.mouseClick(page.on.button("on"), LEFT)
    page.side.setValue(256)
    assert page.tiling() == Tiling(256, 200_000, True)
    assert len(page.view.tiles) == len(recipebook.tiles((480, 360), Tiling(256, 200_000, True))) == 7
    assert "7 runs" in page.told.text()
    qtbot.mouseClick(page.whole.button("no"), LEFT)
    assert len(page.view.tiles) == 6 and sheet.recipe().tiling == Tiling(256, 200_000, False)


def test_a_region_is_drawn_with_the_mouse_and_decides_what_is_found(hand: Hand, sheet: PrelabelSheet) -> None:
    page = sheet.pages["regions"]
    sheet.show_page("regions")
    hand.qtbot.waitUntil(lambda: page.view.isVisible() and page.view.frame().width() > 200)
    for x, y in ((0.6, 0.6), (0.95, 0.6), (0.95, 0.95)):
        QTest.mouseClick(page.view, LEFT, pos=page.view.place(x, y).toPoint())
    QTest.keyClick(page.view, Key.Key_Return)
    [region] = page.regions()
    assert region.path == "*" and region.keep == "inside"
    assert [round(v / 1e6, 1) for v in region.rings[0]] == [0.6, 0.6, 0.9, 0.6, 0.9, 0.9] or len(
        region.rings[0]
    ) == 6
    QTest.mouseClick(page.view, LEFT, pos=page.view.place(0.2, 0.2).toPoint())
    QTest.keyClick(page.view, Key.Key_Backspace)
    assert page.view.points == []
    run(hand, sheet)
    assert labels_of(hand, 1) == []  # the person stands outside the region


def test_outside_a_region_counts_when_that_is_said_and_polygons_are_taken_back(
    hand: Hand, sheet: PrelabelSheet
) -> None:
    page = sheet.pages["regions"]
    sheet.show_page("regions")
    hand.qtbot.waitUntil(lambda: page.view.isVisible() and page.view.frame().width() > 200)
    for x, y in ((0.6, 0.6), (0.9, 0.6), (0.9, 0.9)):
        QTest.mouseClick(page.view, LEFT, pos=page.view.place(x, y).toPoint())
    QTest.mouseClick(page.view, LEFT, pos=page.view.place(0.6, 0.6).toPoint())  # the first corner closes it
    hand.qtbot.mouseClick(page.keep.button("outside"), LEFT)
    assert [r.keep for r in page.regions()] == ["outside"]
    press(hand, page, "Take the last polygon back")
    assert page.regions() == ()


def test_a_recipe_is_kept_by_name_and_loaded_whole(hand: Hand, sheet: PrelabelSheet) -> None:
    choose(sheet, "zebra", "helmet")
    hand.qtbot.mouseClick(sheet.pages["tiles"].on.button("on"), LEFT)
    hand.qtbot.mouseClick(sheet.pages["run"].track.button("on"), LEFT)
    said = sheet.recipe()
    press(hand, sheet, "Keep as a recipe…")
    sheet.keep_as.setText("night / belt")
    QTest.keyClick(sheet.keep_as, Key.Key_Return)
    hand.qtbot.waitUntil(lambda: "no name" in sheet.fault.text())
    sheet.keep_as.setText("night belt")
    QTest.keyClick(sheet.keep_as, Key.Key_Return)
    hand.qtbot.waitUntil(lambda: sheet.recipe_box.currentData() == "night belt")
    assert recipebook.load(hand.desk.ws, "night belt") == said
    sheet.finish()
    hand.qtbot.waitUntil(lambda: hand.window.sheets.open is None)
    again = opened(hand, "two")
    assert again.recipe() != said
    hand.qtbot.waitUntil(lambda: again.recipe_box.findData("night belt") > 0)
    at = again.recipe_box.findData("night belt")
    again.recipe_box.setCurrentIndex(at)
    again.recipe_box.activated.emit(at)
    assert again.recipe() == said


def test_enter_in_a_field_or_on_the_picture_begins_nothing(hand: Hand, sheet: PrelabelSheet) -> None:
    for widget in (
        sheet.pages["run"].hours,
        sheet.pages["classes"].search,
        sheet.pages["regions"].view,
        sheet.keep_as,
    ):
        widget.setFocus()
        QTest.keyClick(widget, Key.Key_Return)
    assert hand.window.sheets.open is sheet and hand.desk.tasks.running == []


def test_a_dry_run_tells_and_writes_nothing(hand: Hand, sheet: PrelabelSheet) -> None:
    before = [j.id for j in jobs.listing(hand.desk.ws)]
    press(hand, sheet, "Dry run")
    hand.qtbot.waitUntil(lambda: "pictures/s" in sheet.summary.text(), timeout=30_000)
    assert "5 pictures, 0 of them" in sheet.summary.text() and "about 5 objects" in sheet.summary.text()
    assert [j.id for j in jobs.listing(hand.desk.ws)] == before and labels_of(hand, 1) == []


def test_into_the_queue_makes_a_waiting_job_with_its_hours_and_priority(
    hand: Hand, sheet: PrelabelSheet
) -> None:
    page = sheet.pages["run"]
    sheet.show_page("run")
    hand.qtbot.mouseClick(page.when.button("queue"), LEFT)
    hand.qtbot.mouseClick(page.priority.button("10"), LEFT)
    page.hours.setFocus()
    QTest.keyClicks(page.hours, "25")
    assert not sheet.verb.isEnabled() and "22:00-06:00" in sheet.summary.text()
    page.hours.clear()
    QTest.keyClicks(page.hours, "22:00-06:00")
    run(hand, sheet)
    job = jobs.listing(hand.desk.ws)[0]
    assert (job.kind, job.state, job.priority, job.window) == ("prelabel", "waiting", 10, "22:00-06:00")
    assert labels_of(hand, 1) == []


def test_providers_are_an_order_that_a_person_sees_and_one_always_stays(
    hand: Hand, sheet: PrelabelSheet
) -> None:
    page = sheet.pages["run"]
    hand.qtbot.waitUntil(lambda: "cpu" in page._made, timeout=20_000)
    hand.qtbot.mouseClick(page._made["cpu"], LEFT)
    assert page.provider == "cpu" and "job stops" in page.told.text()
    page._came([("cpu", "ready"), ("openvino", "never")])
    hand.qtbot.mouseClick(page._made["openvino"], LEFT)
    assert page.provider == "cpu,openvino" and page._made["openvino"].text() == "2 · OPENVINO"
    assert sheet.recipe().providers == ("cpu", "openvino") and "CPU → OPENVINO" in sheet.summary.text()


@pytest.mark.parametrize("language", ("en", "zh_CN"))
def test_every_page_speaks_and_is_reachable_by_tab(hand: Hand, tmp_path: Path, language: str) -> None:
    hand.desk.set_language(language)
    onnx.add(hand.desk.ws, write(tmp_path))
    hand.window.trigger(actions.BY_ID["prelabel"])
    sheet = there(hand)  # asked for twice, a second would take the place of the first while that reads
    for code in sheet.pages:
        sheet.rows[code].setFocus()
        QTest.keyClick(sheet.rows[code], Key.Key_Space)
        assert sheet.stack.currentWidget() is sheet.pages[code]
        assert nameless(sheet) == []
    assert sheet.recipe().tiling is PLAIN.tiling
    QTest.keyClick(sheet, Key.Key_Escape)
    assert hand.window.sheets.open is None

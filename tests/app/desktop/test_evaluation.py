"""The evaluation page: asked on a sheet, kept, drawn, said to who cannot see it, and every click leads to pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx as onnx_format
import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from annotation import scenes
from annotation.core import Annotation, Box
from app import i18n
from app.desktop import actions
from app.desktop.evaluation.plots import Plot
from app.services import acceptance, evaluation, labelling, onnx, prelabel
from app.services.evaluation import Ask
from app.services.workspace import Workspace
from models import recipe as recipes
from tests.app.desktop.conftest import Hand
from tests.models.toys import columns, toy_model


def judged(ws: Workspace, folder: Path, *, two: bool = False, fresh: bool = True) -> int:
    """The demonstration detector judged on the drawn scenes, perhaps beside a toy; the number of the evaluation."""
    names = [onnx.add_demo(ws).name]
    if two:
        path = folder / "toy.onnx"
        table = columns((20, 32, 14, 30, 0.8, 0.0), (44, 30, 6, 6, 0.0, 0.6))
        onnx_format.save(toy_model(table, metadata={"names": "{0: 'person', 1: 'helmet'}"}), str(path))
        names.insert(0, onnx.add(ws, path, name="toy").name)
    for asset in (1, 3, 4, 5):
        page = labelling.load(ws, asset)
        if not page.annotations:
            drawn = [Annotation(a.label, a.shape) for a in scenes.draw(99 + asset, (480, 360)).annotations]
            labelling.save(ws, page, tuple(drawn), verb="draw")
    events: list[Any] = list(evaluation.evaluate(ws, Ask("face", tuple(names), fresh=fresh)))
    return int(events[-1].result["activity"])


@pytest.fixture
def page(hand: Hand, qtbot: QtBot, tmp_path: Path) -> Hand:
    """The page with one evaluation of one model."""
    assert hand.desk.ws is not None
    judged(hand.desk.ws, tmp_path)
    hand.window.go("evaluation")
    qtbot.waitUntil(lambda: hand.window.evaluation.accepted is not None, timeout=20_000)
    return hand


def press(plot: Plot, key: object) -> None:
    spot = next(s for s in plot.spots if s.key == key)
    QTest.mouseClick(
        plot, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, spot.box.center().toPoint()
    )


def query(hand: Hand) -> str:
    found = hand.desk.query
    return found.where if found is not None else ""


def test_the_sheet_judges_a_model_and_the_page_shows_it(hand: Hand, qtbot: QtBot, tmp_path: Path) -> None:
    assert hand.desk.ws is not None
    onnx.add_demo(hand.desk.ws)
    for asset in (1, 3):
        page = labelling.load(hand.desk.ws, asset)
        labelling.save(hand.desk.ws, page, (Annotation("person", Box(10, 10, 90, 200)),), verb="draw")
    hand.window.go("evaluation")
    shown = hand.window.evaluation
    assert shown.quiet.isVisible()
    QTest.mouseClick(shown.ask_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: hand.window.sheets.open is not None)
    sheet = hand.window.sheets.open
    assert sheet is not None
    made: list[QPushButton] = sheet.findChildren(QPushButton)
    next(b for b in made if "now" in b.text()).click()
    sheet.go()
    qtbot.waitUntil(lambda: shown.report is not None, timeout=30_000)
    assert shown.report is not None
    assert (shown.report["source"], shown.report["pictures"]["counted"]) == ("fresh", 2)
    assert shown.titles[0].text() == "demo"
    assert not shown.quiet.isVisible()


def test_a_query_that_cannot_be_read_keeps_the_sheet(hand: Hand, qtbot: QtBot) -> None:
    assert hand.desk.ws is not None
    onnx.add_demo(hand.desk.ws)
    hand.window.trigger(actions.BY_ID["evaluate"])
    qtbot.waitUntil(lambda: hand.window.sheets.open is not None)
    sheet = hand.window.sheets.open
    assert sheet is not None
    from PySide6.QtWidgets import QLineEdit

    sheet.findChildren(QLineEdit)[-1].setText("class:")
    sheet.go()
    assert sheet.fault.isVisible()
    assert "needs a value" in sheet.fault.text()


def test_every_plot_says_what_it_draws(page: Hand) -> None:
    shown = page.window.evaluation
    for plot in (shown.bars, shown.heat, shown.curves, shown.sure):
        assert plot.accessibleName()
        assert any(c.isdigit() for c in plot.accessibleDescription()), plot.name
    assert "person: AP" in shown.bars.accessibleDescription()
    assert shown.tiles["ap"]._figures[0].text().startswith("0.")


def test_a_click_on_a_class_opens_its_worst_pictures(page: Hand) -> None:
    shown = page.window.evaluation
    shown.grab()
    assert shown.report is not None
    c = next(c for c in shown.report["models"][0]["classes"] if c["worst"])
    press(shown.bars, c["label"])
    assert page.window.place == "gallery"
    assert query(page) == "picture:" + ",".join(map(str, c["worst"]))


def test_a_cell_of_the_confusion_and_a_worst_picture_lead_to_the_gallery(page: Hand) -> None:
    shown = page.window.evaluation
    shown.grab()
    assert shown.report is not None
    worst = [w["picture"] for w in shown.report["models"][0]["worst"]]
    wrong = next(s.key for s in shown.heat.spots if s.key[0] != s.key[1])  # type: ignore[index]
    press(shown.heat, wrong)
    assert page.window.place == "gallery"
    page.window.go("evaluation")
    first = shown._flow.itemAt(0).widget()
    assert first is not None
    QTest.mouseClick(first, Qt.MouseButton.LeftButton)
    assert query(page) == "picture:" + ",".join(map(str, worst))


def test_pictures_left_out_are_told_with_their_reason_and_open(page: Hand) -> None:
    shown = page.window.evaluation
    line = shown._left_box.itemAt(0).widget()
    assert line is not None
    assert line.text() == "no truth yet"  # type: ignore[attr-defined]
    QTest.mouseClick(line, Qt.MouseButton.LeftButton)
    assert query(page) == "picture:2"


def test_the_curves_follow_the_class_under_the_pointer_and_the_arrow_keys(page: Hand) -> None:
    shown = page.window.evaluation
    shown.grab()
    spot = shown.bars.spots[1]
    QTest.mouseMove(shown.bars, spot.box.center().toPoint())
    shown.bars._look(spot.key)
    name = page.desk.label_name(str(spot.key))
    assert shown._caption["curves"].text().startswith(name)
    shown.bars.setFocus()
    QTest.keyClick(shown.bars, Qt.Key.Key_Down)
    assert shown.bars.at == shown.bars.spots[2].key
    QTest.keyClick(shown.bars, Qt.Key.Key_Return)
    assert page.window.place == "gallery"
    page.window.go("evaluation")
    shown.heat.setFocus()
    QTest.keyClick(shown.heat, Qt.Key.Key_Right)
    assert shown._caption["heat"].text() == shown.heat.spots[0].said
    shown.bars._look(None)
    assert shown._caption["curves"].text().startswith("mean of all classes")


def test_thresholds_are_copied_as_a_recipe(page: Hand) -> None:
    page.window.evaluation.copy_thresholds()
    found = recipes.from_toml(QGuiApplication.clipboard().text())
    assert found.class_scores


def test_two_models_are_drawn_in_two_colours_with_their_difference(
    hand: Hand, qtbot: QtBot, tmp_path: Path
) -> None:
    assert hand.desk.ws is not None
    judged(hand.desk.ws, tmp_path, two=True)
    hand.window.go("evaluation")
    shown = hand.window.evaluation
    qtbot.waitUntil(lambda: shown.report is not None)
    assert [t.text() for t in shown.titles] == ["toy", "demo"]
    assert "demo − toy: AP +0." in shown.warned.text()
    assert len(shown.bars.rows[0].models) == 2
    assert "classes that not both models know" in shown.about.text()


def test_what_pre_labelling_saved_is_drawn_with_its_formula(hand: Hand, qtbot: QtBot, tmp_path: Path) -> None:
    ws = hand.desk.ws
    assert ws is not None
    onnx.add_demo(ws)
    list(prelabel.run(ws, "face", "demo", state="unlabelled"))
    for asset in (1, 3):
        page = labelling.load(ws, asset)
        labelling.accept(ws, page, [a.uid for a in page.annotations])
    judged(ws, tmp_path, fresh=False)
    hand.window.go("evaluation")
    shown = hand.window.evaluation
    qtbot.waitUntil(lambda: shown.accepted is not None, timeout=20_000)
    assert shown.accepted is not None
    told: Any = list(acceptance.run(ws, "face", "demo"))[-1].result  # type: ignore[union-attr]
    assert shown.accepted["total"] == told["total"]
    assert "÷" in shown.formula.text()
    assert "kept" in shown.legend.accessibleName()
    assert shown.saved.accessibleDescription()


def test_an_older_evaluation_is_shown_again(page: Hand, qtbot: QtBot, tmp_path: Path) -> None:
    assert page.desk.ws is not None
    shown = page.window.evaluation
    first = shown._activity
    second = judged(page.desk.ws, tmp_path)
    shown.read(second)
    qtbot.waitUntil(lambda: shown._activity == second)
    assert len(shown.kept) == 2
    lines = [shown._list.itemAt(i).widget() for i in range(2)]
    QTest.mouseClick(lines[1], Qt.MouseButton.LeftButton)
    assert shown._activity == first


def test_another_dataset_or_workspace_shows_nothing_of_the_old_one(page: Hand, qtbot: QtBot) -> None:
    shown = page.window.evaluation
    page.window.leave_workspace()
    qtbot.waitUntil(lambda: page.desk.ws is None)
    assert (shown.report, shown.kept) == (None, [])


def test_a_tip_tells_what_lies_under_the_pointer(page: Hand) -> None:
    shown = page.window.evaluation
    shown.grab()
    for plot in (shown.bars, shown.heat, shown.sure):
        assert plot.spots, plot.name
        assert all(s.said for s in plot.spots)
        assert plot._spot(plot.spots[0].box.center()) is plot.spots[0]
        assert plot._spot(QPointF(-5, -5)) is None


@pytest.mark.parametrize(("language", "theme"), (("en", "light"), ("zh_CN", "dark")))
def test_the_manual_shows_the_evaluation(
    hand: Hand, qtbot: QtBot, tmp_path: Path, language: str, theme: str, photograph: Callable[..., None]
) -> None:
    ws = hand.desk.ws
    assert ws is not None
    judged(ws, tmp_path)
    hand.desk.set_language(language)
    hand.desk.set_theme(theme)
    hand.window.go("evaluation")
    shown = hand.window.evaluation
    qtbot.waitUntil(lambda: shown.accepted is not None, timeout=20_000)
    assert i18n.language() == language
    ids = [w["picture"] for w in shown.report["models"][0]["worst"]] if shown.report else []
    hand.window.grab()
    qtbot.waitUntil(lambda: all(hand.desk.thumbs.get(i) for i in ids), timeout=10_000)
    photograph(hand.window, f"evaluation-{language[:2]}.png")

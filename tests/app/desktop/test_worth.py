"""Worth labelling first at the desk: the sheet with its preview, the gallery's order, and the way from picture to picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx as onnx_format
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton
from pytestqt.qtbot import QtBot

from app.desktop import actions
from app.desktop.window import Window
from app.desktop.worth import Line, WorthSheet
from app.services import ingest, onnx, prelabel, workspace, worth
from app.services.worth import Ask, Weights
from tests.app.desktop.conftest import Hand, copy_furnished, draw_pictures, open_in
from tests.models.toys import columns, toy_model

pytestmark = pytest.mark.gui
N = 8


def furnish(place: Path, *, looked: bool) -> Path:
    """Eight drawn scenes with the predictions of the demonstration detector and of a toy; perhaps their queue."""
    pictures = draw_pictures(place / "pictures", N)
    ws = workspace.create(str(place / "W"), person="07")
    path = place / "toy.onnx"
    table = columns((20, 32, 14, 30, 0.8, 0.0), (44, 30, 6, 6, 0.0, 0.6))
    onnx_format.save(toy_model(table, metadata={"names": "{0: 'person', 1: 'helmet'}"}), str(path))
    work: list[Iterator[Any]] = [
        ingest.run(ws, [pictures], dataset="face"),
        prelabel.run(ws, "face", onnx.add_demo(ws).name),
        prelabel.run(ws, "face", onnx.add(ws, path, name="toy").name),
    ]
    if looked:
        work.append(worth.run(ws, Ask("face", "demo", "toy", Weights(1, 0, 0, 0))))
    for one in work:
        for _ in one:
            pass
    ws.close()
    return place / "W"


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `furnish` makes, once; tests work on copies."""
    folder = tmp_path_factory.mktemp("ranked")
    furnish(folder, looked=True)
    return folder


@pytest.fixture
def place(ranked: Path, tmp_path: Path) -> Path:
    """What `furnish` makes, looked at by uncertainty alone."""
    return copy_furnished(ranked, tmp_path)


def order(hand: Hand) -> list[int]:
    assert hand.desk.ws is not None and hand.desk.dataset is not None
    return [row.asset_id for row in worth.queue(hand.desk.ws, hand.desk.dataset.id, 99)]


def followed(hand: Hand, qtbot: QtBot) -> list[int]:
    """Follow the queue in Annotate by its row on the left, until the first picture is open."""
    hand.window.go("annotate")
    QTest.mouseClick(hand.window.annotate.queues.worth, Qt.MouseButton.LeftButton)
    found = order(hand)
    qtbot.waitUntil(lambda: [r.asset_id for r in hand.window.annotate.rows][-1:] == found[-1:])
    return found


def sheet_of(hand: Hand, qtbot: QtBot) -> WorthSheet:
    hand.window.trigger(actions.BY_ID["worth"])
    qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, WorthSheet))
    sheet = hand.window.sheets.open
    assert isinstance(sheet, WorthSheet)
    return sheet


def first_of(sheet: WorthSheet) -> list[int]:
    return [line.cover.asset_id for line in sheet.list.findChildren(Line) if line.isVisible()]


# --- from picture to picture ------------------------------------------------------------------------------------------


def test_d_walks_the_queue_most_worth_first_and_a_quiet_line_says_why(hand: Hand, qtbot: QtBot) -> None:
    found = followed(hand, qtbot)
    assert found != sorted(found)
    place = hand.window.annotate
    hand.window.annotate.open(found[0])
    qtbot.waitUntil(lambda: hand.ready(found[0]))
    for asset in found[1:3]:
        hand.key("D")
        qtbot.waitUntil(lambda asset=asset: hand.ready(asset))
    qtbot.waitUntil(lambda: place.where.text().startswith(f"Worth labelling first · 3 of {N}"))
    qtbot.waitUntil(lambda: place.reason.isVisible() and "unsure" in place.reason.text.text())
    hand.key("A")
    qtbot.waitUntil(lambda: hand.ready(found[1]))


def test_a_picture_that_was_labelled_leaves_the_queue_and_the_count_follows(hand: Hand, qtbot: QtBot) -> None:
    found = followed(hand, qtbot)
    place = hand.window.annotate
    hand.open(found[0])
    qtbot.waitUntil(lambda: place.queues.worth.count == str(N))
    hand.doc.reject([a.uid for a in hand.doc.annotations if a.origin == "model"])
    hand.canvas.setFocus()
    hand.window.desk.choose_label("person")
    place.set_tool("box")
    hand.drag(60, 60, 160, 200)
    hand.settled()
    qtbot.waitUntil(lambda: place.queues.worth.count == str(N - 1))
    qtbot.waitUntil(lambda: "done" in place.where.text())
    hand.key("D")
    qtbot.waitUntil(lambda: hand.ready(found[1]))
    qtbot.waitUntil(lambda: f"1 of {N - 1}" in place.where.text())
    hand.key("A")
    qtbot.waitUntil(lambda: hand.doc.asset_id == found[1])  # what is done is passed over
    assert order(hand) == found[1:]


def test_the_jump_opens_what_is_most_worth_and_says_why(hand: Hand, qtbot: QtBot) -> None:
    found = order(hand)
    hand.open(found[2])
    hand.key(Qt.Key.Key_J, Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: hand.ready(found[0]))
    said = hand.window.annotate.reason
    qtbot.waitUntil(lambda: said.isVisible() and "unsure" in said.text.text())
    hand.key(Qt.Key.Key_J, Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: hand.ready(found[1]))


def test_a_number_means_the_place_in_the_queue(hand: Hand, qtbot: QtBot) -> None:
    found = followed(hand, qtbot)
    place = hand.window.annotate
    hand.open(found[0])
    place.jumps.go_to()
    made = place.jumps.chooser
    assert made is not None
    QTest.keyClicks(made.finder.edit, "3")
    qtbot.waitUntil(lambda: made.finder.list.count() > 0)
    QTest.keyClick(made.finder.edit, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: hand.ready(found[2]))


def test_another_queue_leaves_the_order(hand: Hand, qtbot: QtBot) -> None:
    followed(hand, qtbot)
    place = hand.window.annotate
    assert place.reason.isHidden() or hand.desk.worth
    QTest.mouseClick(place.queues.rows["all"], Qt.MouseButton.LeftButton)
    assert not hand.desk.worth and not place.queues.worth.isChecked()
    qtbot.waitUntil(lambda: [r.asset_id for r in place.rows] == list(range(1, N + 1)))
    assert place.reason.isHidden() and place.queues.worth.count == ""


# --- the gallery -------------------------------------------------------------------------------------------------------


def test_the_gallerys_order_is_the_way_in_annotate_too_and_a_tile_tells_why(hand: Hand, qtbot: QtBot) -> None:
    hand.window.go("gallery")
    gallery = hand.window.gallery
    gallery.sort_by("worth")
    found = order(hand)
    qtbot.waitUntil(lambda: gallery.rows.complete and gallery.rows.ids([(0, N)]) == found)
    assert hand.desk.worth and gallery.order.text() == "Worth labelling first" and gallery.weigh.isVisible()
    grid = gallery.grid
    qtbot.waitUntil(lambda: grid.rows.row(0) is not None)
    where = grid.rect_of(0).center()
    QTest.mouseMove(grid.viewport(), QPoint(where.x() + 40, where.y()))
    QTest.mouseMove(grid.viewport(), where)
    qtbot.waitUntil(lambda: "unsure" in grid.viewport().toolTip())
    QTest.mouseClick(grid.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, where)
    qtbot.waitUntil(lambda: "unsure" in gallery.state.text())
    QTest.keyClick(grid, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: hand.ready(found[0]))
    hand.key("D", on=hand.canvas)
    qtbot.waitUntil(lambda: hand.ready(found[1]))
    hand.window.go("gallery")
    gallery.sort_by("")
    assert not hand.desk.worth
    qtbot.waitUntil(lambda: gallery.rows.complete and gallery.rows.ids([(0, N)]) == list(range(1, N + 1)))


def test_a_query_keeps_the_order(hand: Hand, qtbot: QtBot) -> None:
    hand.window.go("gallery")
    gallery = hand.window.gallery
    gallery.sort_by("worth")
    found = order(hand)
    gallery.ask(f"path:00{found[0] - 1} or path:00{found[3] - 1}")
    qtbot.waitUntil(lambda: gallery.rows.complete and gallery.rows.count == 2)
    assert gallery.rows.ids([(0, 2)]) == [found[0], found[3]] and hand.desk.worth


# --- the sheet ---------------------------------------------------------------------------------------------------------


def test_a_slider_ranks_the_first_ten_at_once_and_the_button_makes_it_the_order(
    hand: Hand, qtbot: QtBot
) -> None:
    before = order(hand)
    sheet = sheet_of(hand, qtbot)
    qtbot.waitUntil(lambda: first_of(sheet) == before)
    assert sheet.models == ("demo", "toy") and sheet.verb.text() == "Use this order"
    for code, value in (("uncertainty", 0), ("disagreement", 3), ("diversity", 1)):
        slider = sheet.sliders[code]
        slider.setFocus()
        for _ in range(9):
            QTest.keyClick(slider, Qt.Key.Key_Left)
        for _ in range(value):
            QTest.keyClick(slider, Qt.Key.Key_Right)
    assert sheet.weights() == Weights(0, 3, 0, 1)
    assert sheet.parts is not None
    want = [asset for asset, _ in sheet.parts.first(Weights(0, 3, 0, 1), 10)]
    assert want != before
    qtbot.waitUntil(lambda: first_of(sheet) == want)
    QTest.mouseClick(sheet.verb, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: hand.desk.worth and order(hand) == want, timeout=20_000)
    assert hand.window.sheets.open is None
    hand.window.go("gallery")
    qtbot.waitUntil(lambda: hand.window.gallery.rows.ids([(0, N)]) == want)


def test_without_weight_nothing_can_be_used(hand: Hand, qtbot: QtBot) -> None:
    sheet = sheet_of(hand, qtbot)
    qtbot.waitUntil(lambda: bool(first_of(sheet)))
    sheet.sliders["uncertainty"].setValue(0)
    assert not sheet.verb.isEnabled() and "some weight" in sheet.fault.text()
    sheet.sliders["rarity"].setValue(1)
    assert sheet.verb.isEnabled() and not sheet.fault.isVisible()
    QTest.keyClick(sheet, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: hand.window.sheets.open is None)


def test_what_was_never_looked_at_is_looked_at_from_the_sheet(
    window: Window, qtbot: QtBot, tmp_path: Path
) -> None:
    hand = open_in(window, qtbot, furnish(tmp_path / "new", looked=False))
    sheet = sheet_of(hand, qtbot)
    qtbot.waitUntil(lambda: sheet.parts is not None)
    assert sheet.verb.text() == "Look now" and not first_of(sheet)
    demo = next(b for b in sheet.findChildren(QPushButton) if b.text() == "demo")
    QTest.mouseClick(demo, Qt.MouseButton.LeftButton)
    QTest.mouseClick(sheet.verb, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(first_of(sheet)) == N, timeout=30_000)
    assert sheet.verb.text() == "Use this order" and sheet.verb.isEnabled()


# --- how it looks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "look", "name"), [("zh_CN", "dark", "zh"), ("en", "light", "en")])
def test_the_sheet_is_photographed(
    hand: Hand, qtbot: QtBot, photograph: Callable[..., None], language: str, look: str, name: str
) -> None:
    hand.desk.set_language(language)
    hand.desk.set_theme(look)
    assert hand.desk.ws is not None
    for _ in worth.run(hand.desk.ws, Ask("face", "demo", "toy")):
        pass
    sheet = sheet_of(hand, qtbot)
    qtbot.waitUntil(lambda: len(first_of(sheet)) == N)
    qtbot.waitUntil(lambda: all(hand.desk.thumbs.peek(a) is not None for a in first_of(sheet)))
    QApplication.processEvents()
    photograph(hand.window, f"worth-sheet-{name}.png")

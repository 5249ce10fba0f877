"""Rules of seeing, in the window: looks are for the eye only, comparison, instruments, pictures that cannot be shown."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from annotation import scenes
from app.desktop.canvas.look import PLAIN, Look
from app.desktop.panels.dials import Dial
from app.desktop.window import Window
from app.services import ingest, workspace
from tests.app.desktop.conftest import Hand, open_in


def shown(hand: Hand) -> np.ndarray:
    """What the canvas paints between the words at its edges, BGRA."""
    image = hand.canvas.grab().toImage().convertToFormat(hand.canvas.mips.levels[0].format())
    whole = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.width(), 4)
    return whole[56:-56].copy()


def look_at(hand: Hand, asset_id: int) -> None:
    """Open a picture and wait until all of it is there, not only its thumbnail."""
    hand.open(asset_id)
    hand.qtbot.waitUntil(lambda: hand.canvas.mips is not None and hand.canvas.mips.whole, timeout=20_000)
    hand.qtbot.waitUntil(lambda: hand.desk.tasks.pictures.idle, timeout=20_000)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A workspace of visible and thermal pictures of the same places; the thermal ones have 16 bits."""
    folder = tmp_path / "pictures"
    for kind in ("visible", "thermal"):
        (folder / kind).mkdir(parents=True)
    for i in range(2):
        picture = scenes.draw(30 + i, (480, 360)).picture
        cv2.imwrite(str(folder / "visible" / f"{i:03d}.png"), picture)
        warm = cv2.resize(picture[:, :, 2], (240, 180)).astype(np.uint16) * 8 + 7000
        cv2.imwrite(str(folder / "thermal" / f"{i:03d}.png"), warm)
    ws = workspace.create(str(tmp_path / "W"), person="07")
    for _ in ingest.run(ws, [folder], dataset="face"):
        pass
    ws.close()
    return tmp_path / "W"


def asset_at(hand: Hand, part: str) -> int:
    hand.qtbot.waitUntil(lambda: len(hand.window.annotate.route.rows) >= 4)
    return next(r.asset_id for r in hand.window.annotate.route.rows if part in r.path)


# --- for the eye only --------------------------------------------------------------------------------------------


def test_a_look_changes_what_is_seen_and_nothing_that_tools_or_the_record_get(hand: Hand) -> None:
    look_at(hand, 1)
    before, painted = hand.canvas.image_source(), shown(hand)
    revision = hand.doc.revision
    eye = hand.window.annotate.eye
    for look in (Look(gamma=3.0, clahe=3.0), Look(colour="turbo", auto=True), Look(invert=True, denoise=2)):
        eye.show(look)
        hand.qtbot.waitUntil(lambda: not hand.desk.tasks.pictures._waiting and hand.desk.tasks.pictures.idle)
        assert np.abs(shown(hand).astype(int) - painted).max() > 40
        assert np.array_equal(hand.canvas.image_source(), before)
    source = next(p for p in sorted((Path(hand.desk.ws.folder).parent / "pictures").glob("*000.png")))
    assert np.array_equal(before, cv2.imdecode(np.fromfile(source, np.uint8), cv2.IMREAD_COLOR))
    eye.plain()
    assert np.array_equal(shown(hand), painted)
    assert hand.doc.revision == revision


def test_the_original_is_seen_while_the_key_is_held(hand: Hand) -> None:
    look_at(hand, 1)
    painted = shown(hand)
    eye = hand.window.annotate.eye
    eye.show(Look(invert=True))
    QTest.keyPress(hand.canvas, Qt.Key.Key_QuoteLeft)
    assert eye.layer.peek
    assert np.array_equal(shown(hand), painted)
    QTest.keyRelease(hand.canvas, Qt.Key.Key_QuoteLeft)
    assert not eye.layer.peek
    assert eye.on


def test_presets_have_keys_and_the_tool_row_says_which_is_on(hand: Hand) -> None:
    look_at(hand, 1)
    eye, seeing = hand.window.annotate.eye, hand.window.annotate.seeing
    assert not seeing.isChecked()
    hand.key(Qt.Key.Key_F5)
    assert eye.look == eye.presets[0].look
    assert seeing.text() == "Look · Low light 1"
    assert seeing.isChecked()
    eye.set(gamma=3.0)
    assert seeing.text() == "Look · own"
    hand.key(Qt.Key.Key_F5)
    hand.key(Qt.Key.Key_F5)
    assert hand.canvas.layer.look == PLAIN


def test_looks_and_presets_are_kept_by_dataset_and_come_back(
    window: Window, qtbot: QtBot, place: Path
) -> None:
    hand = open_in(window, qtbot, place)
    look_at(hand, 1)
    eye = window.annotate.eye
    eye.show(Look(gamma=2.2, low=0.1, high=0.5))
    assert eye.keep("  Belt  3 ")
    eye.nudge(3, -2)
    eye.finish()
    window.leave_workspace()
    qtbot.waitUntil(lambda: window.desk.ws is None)
    eye.presets, eye.look, eye.used = [], PLAIN, 0
    open_in(window, qtbot, place)
    qtbot.waitUntil(lambda: bool(eye.presets))
    assert [p.name for p in eye.presets][-1] == "Belt 3"
    assert (eye.look, eye.used, eye.on) == (Look(gamma=2.2, low=0.1, high=0.5), 4, True)
    assert eye.layer.shift == (3.0, -2.0)
    eye.drop(4)
    eye.plain()


# --- the panel ---------------------------------------------------------------------------------------------------


def test_the_panel_opens_by_its_key_and_a_dial_moves_the_picture_at_once(hand: Hand) -> None:
    look_at(hand, 1)
    panel, eye = hand.window.annotate.eye_panel, hand.window.annotate.eye
    hand.key("w")
    hand.qtbot.waitUntil(lambda: panel.width() >= 290 and panel.isVisible())
    dial = panel.findChild(Dial, "dial-gamma")
    painted = shown(hand)
    QTest.mousePress(dial, Qt.MouseButton.LeftButton, pos=QPoint(dial.width() - 60, 31))
    QTest.mouseRelease(dial, Qt.MouseButton.LeftButton, pos=QPoint(dial.width() - 60, 31))
    assert eye.look.gamma > 2
    assert np.abs(shown(hand).astype(int) - painted).max() > 20
    QTest.mouseDClick(dial, Qt.MouseButton.LeftButton, pos=QPoint(20, 31))
    assert eye.look == PLAIN
    hand.qtbot.waitUntil(lambda: panel.histogram.counts is not None)
    assert int(panel.histogram.counts.sum()) > 0
    hand.canvas.setFocus()
    hand.key("w")
    hand.qtbot.waitUntil(lambda: not panel.isVisible())


def test_dragging_the_histogram_sets_the_window_and_a_double_click_gives_all_back(hand: Hand) -> None:
    look_at(hand, 1)
    panel, eye = hand.window.annotate.eye_panel, hand.window.annotate.eye
    panel.reveal(True)
    hand.qtbot.waitUntil(lambda: panel.width() >= 290 and panel.histogram.counts is not None)
    hills = panel.histogram
    QTest.mousePress(hills, Qt.MouseButton.LeftButton, pos=QPoint(hills.width() - 7, 40))
    QTest.mouseMove(hills, QPoint(hills.width() // 2, 40))
    QTest.mouseRelease(hills, Qt.MouseButton.LeftButton, pos=QPoint(hills.width() // 2, 40))
    assert eye.look.low == 0.0
    assert 0.4 < eye.look.high < 0.6
    QTest.mouseDClick(hills, Qt.MouseButton.LeftButton, pos=QPoint(30, 40))
    assert (eye.look.low, eye.look.high) == (0.0, 1.0)


def test_every_control_of_the_panel_has_a_name_in_both_languages(hand: Hand) -> None:
    look_at(hand, 1)
    panel = hand.window.annotate.eye_panel
    panel.reveal(True)
    for language in ("zh_CN", "en"):
        hand.desk.set_language(language)
        for made in (
            *panel.findChildren(QPushButton),
            *panel.findChildren(Dial),
            panel.histogram,
            panel.name,
        ):
            assert made.accessibleName(), made


# --- comparison --------------------------------------------------------------------------------------------------


def test_a_pair_stands_side_by_side_under_one_view_and_the_same_objects(
    window: Window, qtbot: QtBot, pairs: Path
) -> None:
    hand = open_in(window, qtbot, pairs)
    window.go("annotate")
    first = asset_at(hand, "visible/000")
    look_at(hand, first)
    eye, canvas = window.annotate.eye, hand.canvas
    hand.key(Qt.Key.Key_F3)
    qtbot.waitUntil(lambda: eye.layer.partner is not None and eye.layer.partner.whole)
    assert eye.layer.split
    assert eye.layer.partner.wh == (240, 180)
    half = canvas.layer.pane_width(canvas.width())
    x, y = canvas.to_screen(200, 150)
    assert x < half
    assert canvas.layer.fold(QPointF(x + half, y), canvas.width()) == QPointF(x, y)
    window.annotate.set_tool("box")
    at = [
        QPoint(round(half + canvas.to_screen(*p)[0]), round(canvas.to_screen(*p)[1]))
        for p in ((60, 60), (160, 140))
    ]
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=at[0])
    QTest.mouseMove(canvas, at[1])
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=at[1])
    made = list(hand.stored(first).values())
    assert len(made) == 1
    assert made[0].shape.x0 == pytest.approx(60, abs=3)
    window.annotate.step(1)
    qtbot.waitUntil(lambda: hand.ready(hand.doc.asset_id or 0) and hand.doc.asset_id != first)
    qtbot.waitUntil(lambda: eye.layer.partner is not None)
    eye.compare("")
    assert not eye.layer.split


def test_the_divider_is_dragged_and_the_turns_are_held(window: Window, qtbot: QtBot, pairs: Path) -> None:
    hand = open_in(window, qtbot, pairs)
    window.go("annotate")
    look_at(hand, asset_at(hand, "visible/001"))
    eye, canvas = window.annotate.eye, hand.canvas
    plain = shown(hand)
    eye.compare("swipe")
    qtbot.waitUntil(lambda: eye.layer.comparing)
    middle = QPoint(canvas.width() // 2, canvas.height() // 2 + 60)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=middle)
    QTest.mouseMove(canvas, QPoint(canvas.width() // 4, middle.y()))
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=QPoint(canvas.width() // 4, middle.y()))
    assert eye.layer.divider == pytest.approx(0.25, abs=0.01)
    canvas.setFocus()
    QTest.keyPress(canvas, Qt.Key.Key_F4)
    assert eye.layer.mode == "blink"
    assert eye.layer.blinked
    assert np.abs(shown(hand).astype(int) - plain).max() > 30
    QTest.keyRelease(canvas, Qt.Key.Key_F4)
    assert not eye.layer.blinked
    eye.blink_by_timer(True)
    qtbot.waitUntil(lambda: eye.layer.blinked)
    eye.compare("")
    assert not eye.blinking


def test_without_a_partner_the_picture_keeps_the_canvas_and_the_panel_says_so(hand: Hand) -> None:
    look_at(hand, 1)
    eye = hand.window.annotate.eye
    eye.compare("side")
    hand.qtbot.waitUntil(lambda: bool(eye.partner_note))
    assert not eye.layer.split
    hand.window.annotate.open(2)
    hand.qtbot.waitUntil(lambda: hand.ready(2))
    eye.marked = 1
    eye.find_by("marked")
    hand.qtbot.waitUntil(lambda: eye.layer.partner is not None)
    assert eye.partner_id == 1
    assert eye.layer.split
    eye.compare("")


# --- instruments -------------------------------------------------------------------------------------------------


def test_the_loupe_says_the_true_value_of_sixteen_bits(window: Window, qtbot: QtBot, pairs: Path) -> None:
    hand = open_in(window, qtbot, pairs)
    window.go("annotate")
    look_at(hand, asset_at(hand, "thermal/000"))
    source = cv2.imdecode(
        np.fromfile(pairs.parent / "pictures" / "thermal" / "000.png", np.uint8), cv2.IMREAD_UNCHANGED
    )
    eye = window.annotate.eye
    eye.toggle("loupe", True)
    hand.move(100.5, 50.5)
    assert eye.values() == ["x 100  y 50", f"{source[50, 100]} · 16 bit"]
    shown(hand)  # painted with the loupe
    eye.toggle("loupe", False)


def test_dragging_on_the_small_map_moves_the_view(hand: Hand) -> None:
    look_at(hand, 1)
    eye, canvas = hand.window.annotate.eye, hand.canvas
    eye.toggle("map", True)
    canvas.zoom(6)
    box = eye._map()
    at = QPoint(round(box.left() + box.width() * 0.25), round(box.top() + box.height() * 0.75))
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=at)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=at)
    middle = canvas.to_source(canvas.width() / 2, canvas.height() / 2)
    assert middle == pytest.approx((120, 270), abs=6)
    assert not hand.doc.selection


def test_one_to_one_and_the_kept_view_hold_from_picture_to_picture(hand: Hand) -> None:
    look_at(hand, 1)
    eye = hand.window.annotate.eye
    eye.one_to_one()
    assert hand.canvas.scale * hand.canvas.devicePixelRatioF() == pytest.approx(1.0)
    eye.toggle("keep", True)
    hand.canvas.zoom(3)
    camera = hand.canvas.camera
    look_at(hand, 2)
    assert hand.canvas.camera == camera
    eye.toggle("keep", False)
    look_at(hand, 3)
    assert hand.canvas.camera.fitted


def test_all_instruments_are_painted_without_a_fault_at_any_zoom(hand: Hand, caplog) -> None:
    look_at(hand, 1)
    eye = hand.window.annotate.eye
    for tool in ("map", "loupe", "cross", "rulers", "grid"):
        eye.toggle(tool, True)
    for scale in (0.1, 1.0, 9.0, 40.0):
        hand.canvas.zoom(scale / hand.canvas.scale)
        for x, y in ((0, 0), (479.9, 359.9), (-5, 400)):
            hand.move(x, y)
            shown(hand)
    assert not caplog.records
    for tool in ("loupe", "cross", "rulers"):
        eye.toggle(tool, False)


# --- pictures that cannot be shown -------------------------------------------------------------------------------


def test_a_damaged_picture_is_said_on_the_canvas_and_in_the_list_and_the_next_one_opens(
    window: Window, qtbot: QtBot, place: Path
) -> None:
    damaged = sorted((place.parent / "pictures").glob("*.png"))[2]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 255
    damaged.write_bytes(data)
    hand = open_in(window, qtbot, place)
    look_at(hand, 2)
    qtbot.waitUntil(lambda: len(window.annotate.route.rows) == 5)
    hand.key("d")
    qtbot.waitUntil(lambda: hand.canvas.layer.broken is not None)
    said = hand.canvas.layer.broken
    assert said.what
    assert damaged.name in said.where
    assert said.remedy
    assert hand.canvas.picture_wh is None
    assert any(t.asset_id == 3 and damaged.name in t.what + t.where for t in hand.desk.problems)
    hand.canvas.grab()
    hand.key("d")
    qtbot.waitUntil(lambda: hand.ready(4))
    assert hand.canvas.layer.broken is None
    n = len(hand.desk.problems)
    hand.key("a")
    qtbot.waitUntil(lambda: hand.canvas.layer.broken is not None)
    assert len(hand.desk.problems) == n

"""The drawing chapter's pictures are made from the desk itself: every tool at work, in both languages and themes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from annotation import edits
from annotation.core import (
    Annotation,
    Box,
    Cuboid,
    Ellipse,
    Keypoints,
    Mask,
    Polygon,
    Polyline,
    Quad,
    RotatedBox,
)
from app.desktop.menu import Menu
from app.desktop.panels.shape import Ask
from tests.app.desktop.conftest import Hand

SHIFT, ALT = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.AltModifier
ENTER = Qt.Key.Key_Return


def drawn_by_hand(hand: Hand) -> None:
    """One of everything, each by its tool."""
    hand.open(1)
    hand.canvas.allowed = lambda _label, _kind: True
    hand.key("1")
    hand.key("r")
    hand.drag(24, 190, 84, 330)
    hand.key("k")
    hand.drag(180, 120, 262, 345)
    hand.key("2")
    hand.key("e")
    hand.drag(32, 190, 76, 214)
    hand.key("5")
    hand.key("p")
    for x, y in ((310, 250), (360, 235), (410, 262), (400, 315), (340, 325), (305, 290)):
        hand.click(x, y)
    hand.key(ENTER)
    hand.key("o", SHIFT)
    for x, y in ((340, 270), (372, 272), (368, 296), (345, 298)):
        hand.click(x, y)
    hand.key(ENTER)
    hand.key(Qt.Key.Key_Escape)
    hand.key("4")
    hand.key("t")
    hand.drag(100, 40, 190, 70)
    for _ in range(4):
        hand.key("]", Qt.KeyboardModifier.ControlModifier)
    hand.key(ENTER)
    hand.key("y")
    hand.drag(390, 150, 440, 200)
    hand.move(462, 130)
    hand.click(462, 130)
    hand.key("l")
    for x, y in ((8, 20), (70, 60), (90, 110), (150, 130)):
        hand.click(x, y)
    hand.key(ENTER)
    hand.key("q")
    for x, y in ((300, 30), (380, 22), (384, 58), (304, 68)):
        hand.click(x, y)
    hand.settled()


@pytest.mark.parametrize(("language", "look"), [("en", "light"), ("zh_CN", "dark")])
def test_the_drawing_chapter_shows_every_tool_at_work(
    hand: Hand, photograph: Callable[..., None], language: str, look: str
) -> None:
    short = language[:2]
    hand.desk.set_language(language)
    hand.desk.set_theme(look)
    drawn_by_hand(hand)
    kinds = {type(a.shape) for a in hand.stored().values()}
    assert {Box, Keypoints, Ellipse, Polygon, RotatedBox, Cuboid, Polyline, Quad} <= kinds
    hand.key("3")
    hand.key("b")
    hand.canvas.ways.brush = 26.0
    hand.drag(110, 250, 150, 300)
    hand.qtbot.waitUntil(lambda: any(isinstance(a.shape, Mask) for a in hand.stored().values()))
    hand.press(112, 300)
    hand.move(150, 262)
    photograph(hand.window, f"drawing-brush-{short}.jpg")
    hand.key(Qt.Key.Key_Escape)
    hand.release(150, 262)

    found = list(hand.stored().values())
    box = next(a for a in found if isinstance(a.shape, Box))
    ring = next(a for a in found if isinstance(a.shape, Ellipse))
    hand.window.annotate.editing.apply(lambda old: edits.link(old, ring.uid, box.uid, "worn-by"), "link")
    hand.window.annotate.editing.apply(lambda old: edits.group(old, [ring.uid, box.uid]), "group")
    hand.key("v")
    coal = next(a for a in found if isinstance(a.shape, Polygon))
    hand.doc.select((coal.uid,))
    hand.doc.lock((box.uid,))
    hand.settled()
    hand.qtbot.waitUntil(lambda: hand.canvas.worker.idle)
    photograph(hand.window, f"drawing-tools-{short}.jpg")

    at = hand.point(330, 300)
    QTest.mouseClick(hand.canvas, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, at)
    (menu,) = hand.window.findChildren(Menu)
    for _ in range(3):
        QTest.keyClick(menu, Qt.Key.Key_Down)
    photograph(hand.window, f"drawing-menu-{short}.jpg")
    menu.finish()

    hand.window.annotate.ask_convert()
    sheet = hand.window.sheets.open
    assert sheet is not None
    photograph(hand.window, f"drawing-convert-{short}.jpg")
    sheet.finish()
    hand.key("k")
    hand.key("1")
    hand.doc.select(())
    for x, y in (
        (278, 152),
        (283, 147),
        (273, 147),
        (288, 150),
        (268, 150),
        (297, 172),
        (259, 172),
        (304, 195),
    ):
        hand.click(x, y)
    hand.move(250, 200)
    photograph(hand.canvas, f"drawing-skeleton-{short}.jpg", width=900)
    hand.key(Qt.Key.Key_Escape)


def test_a_row_of_tools_opens_its_families(hand: Hand) -> None:
    hand.open(1)
    row = hand.window.annotate.tool_row
    arrow = row._buttons["boxes"]
    row._open(row.families[1], arrow)
    (menu,) = hand.window.findChildren(Menu)
    assert [line.entry.text for line in menu.lines] == [
        "Box",
        "Rotated box",
        "Quadrilateral",
        "Ellipse",
        "Cuboid",
    ]
    QTest.mouseClick(menu.lines[3], Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, QPoint(10, 10))
    assert hand.canvas.tool.name == "ellipse"
    assert not [a for a in hand.doc.annotations if isinstance(a, Annotation) and a.origin == "human"]
    assert not hand.window.findChildren(Ask)

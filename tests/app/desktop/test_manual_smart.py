"""The pictures of the manual's chapter on smart tools: drawn by the desk itself while a person works with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from annotation import scenes
from app.desktop.canvas.tools.smart import GrabCutTool, PromptTool, ScissorsTool, WandTool
from app.desktop.window import Window
from app.services import ingest, onnx, workspace
from tests.app.desktop.conftest import Hand, open_in
from tests.models import toy_pairs

N, STEP = 30, 9
Key, ALT, SHIFT = Qt.Key, Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def walk(window: Window, qtbot: QtBot, tmp_path: Path) -> Hand:
    """A camera that turns over a wide drawn scene, frame by frame."""
    folder = tmp_path / "cam 3"
    folder.mkdir()
    wide = scenes.draw(36, (1200, 420)).picture
    wide = cv2.medianBlur(cv2.convertScaleAbs(wide, alpha=1.15), 5)
    for i in range(N):
        cv2.imwrite(str(folder / f"{i + 1:06d}.png"), wide[:, i * STEP : i * STEP + 720])
    with workspace.create(str(tmp_path / "W"), person="07") as ws:
        for _ in ingest.run(ws, [folder], dataset="cam 3"):
            pass
        onnx.add_pair(ws, *toy_pairs.write(tmp_path, "sam1"), name="toy-sam")
    hand = open_in(window, qtbot, tmp_path / "W")
    hand.open(1)
    qtbot.waitUntil(lambda: len(window.annotate.sequence.frames.ids) == N)
    return hand


def people(hand: Hand) -> list[tuple[float, float, float, float]]:
    """Boxes of the people and helmets that every frame shows whole."""
    found = []
    for a in scenes.draw(36, (1200, 420)).annotations:
        b = a.shape
        if b.x0 > 330 and b.x1 < 700 and a.label in ("person", "helmet"):  # type: ignore[union-attr]
            found.append((b.x0, b.y0, b.x1, b.y1, a.label))  # type: ignore[union-attr]
    return found  # type: ignore[return-value]


def test_pictures_of_the_tools(walk: Hand, qtbot: QtBot, photograph: Callable[..., None]) -> None:
    walk.desk.set_language("zh_CN")
    walk.desk.choose_label("person")
    x0, y0, x1, y1 = max((p[:4] for p in people(walk)), key=lambda b: (b[2] - b[0]) * (b[3] - b[1]))
    walk.key(Key.Key_G)
    tool = walk.canvas.tool
    assert isinstance(tool, GrabCutTool)
    walk.drag(x0 - 8, y0 - 8, x1 + 8, y1 + 8)
    qtbot.waitUntil(lambda: tool.found[1] is not None, timeout=20_000)
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    tool.press(*middle, add=False)
    tool.move(middle[0], middle[1] + 20, square=False)
    tool.release(middle[0], middle[1] + 20)
    assert walk.window.annotate.smart._pool.wait()
    qtbot.waitUntil(lambda: walk.window.annotate.smart.working == "")
    photograph(walk.window, "smart-grabcut-zh.jpg")
    walk.key(Key.Key_Escape)
    walk.key(Key.Key_S)
    prompt = walk.canvas.tool
    assert isinstance(prompt, PromptTool)
    walk.click(*middle)
    qtbot.waitUntil(lambda: prompt.found[1] is not None, timeout=20_000)
    photograph(walk.window, "smart-prompt-zh.jpg")


def test_pictures_of_a_sequence(walk: Hand, qtbot: QtBot, photograph: Callable[..., None]) -> None:
    walk.desk.set_theme("light")
    for x0, y0, x1, y1, label in people(walk)[:4]:  # type: ignore[misc]
        walk.desk.choose_label(label)
        walk.key(Key.Key_R)
        walk.drag(x0, y0, x1, y1)
        walk.settled()
    walk.key(Key.Key_V)
    walk.doc.select([a.uid for a in walk.doc.annotations])
    walk.key(Key.Key_T, SHIFT)
    qtbot.waitUntil(lambda: bool(walk.desk.tasks.past), timeout=60_000)
    walk.open(14)
    qtbot.waitUntil(lambda: len(walk.window.annotate.sequence.tracks) >= 1)
    first = walk.doc.annotations[0]
    walk.doc.select((first.uid,))
    walk.key(Key.Key_T, ALT)
    walk.settled()
    qtbot.waitUntil(lambda: walk.desk.thumbs.get(14) is not None)
    photograph(walk.window, "smart-tracks-en.jpg")


def test_scissors_and_wand_draw(walk: Hand, qtbot: QtBot, photograph: Callable[..., None]) -> None:
    x0, y0, x1, y1 = max((p[:4] for p in people(walk)), key=lambda b: (b[2] - b[0]) * (b[3] - b[1]))
    walk.desk.choose_label("person")
    walk.key(Key.Key_X, ALT)
    tool = walk.canvas.tool
    assert isinstance(tool, ScissorsTool)
    for x, y in ((x0, (y0 + y1) / 2), ((x0 + x1) / 2, y0), (x1, (y0 + y1) / 2)):
        walk.move(x, y)
        walk.click(x, y)
        qtbot.waitUntil(lambda: tool._scissors is not None)
    walk.move((x0 + x1) / 2, y1)
    photograph(walk.window, "smart-scissors-en.jpg")
    walk.key(Key.Key_Escape)
    walk.key(Key.Key_W, ALT)
    wand = walk.canvas.tool
    assert isinstance(wand, WandTool)
    walk.click((x0 + x1) / 2, (y0 + y1) / 2)
    qtbot.waitUntil(lambda: wand.found[1] is not None)

"""The pictures of the manual's chapter on models: drawn by the desk itself while a person works with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.desktop.models.adding import AddSheet
from app.desktop.window import Window
from app.services import ingest, workspace
from models import demo
from tests.app.desktop.conftest import Hand, draw_pictures, open_in


@pytest.fixture
def scenes(window: Window, qtbot: QtBot, tmp_path: Path) -> Hand:
    """Twelve drawn scenes without any labels."""
    with workspace.create(str(tmp_path / "W"), person="07") as ws:
        for _ in ingest.run(ws, [draw_pictures(tmp_path / "cam 3", 12)], dataset="cam 3"):
            pass
    return open_in(window, qtbot, tmp_path / "W")


def test_pictures_of_adding(
    scenes: Hand, qtbot: QtBot, photograph: Callable[..., None], tmp_path: Path
) -> None:
    stick = tmp_path / "usb" / "lamproom-demo.onnx"
    stick.parent.mkdir()
    shutil.copy(demo.path(), stick)
    scenes.desk.set_language("zh_CN")
    scenes.window.sheets.add_model(str(stick))
    sheet = scenes.window.sheets.open
    assert isinstance(sheet, AddSheet)
    qtbot.waitUntil(lambda: not sheet.grid.busy and len(sheet.grid.shown) == 10, timeout=30_000)
    qtbot.waitUntil(lambda: all(scenes.desk.thumbs.peek(c.asset_id) for c in sheet.grid.shown))
    assert sheet.grid.tally()[1] > 10
    photograph(sheet.card, "models-add.jpg")

"""The manual's pictures of seeing, drawn by the desk itself: --manual writes them anew, else they must be there and small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from annotation import scenes
from app.desktop.window import Window
from app.services import browse, ingest, labelling, workspace
from app.services.browse import Query
from tests.app.desktop.conftest import open_in

WH = (1280, 720)


@pytest.fixture
def twins(tmp_path: Path) -> Path:
    """Visible scenes, labelled, and what a thermal camera may see of them."""
    folder = tmp_path / "pictures"
    for kind in ("可见光", "热像"):
        (folder / kind).mkdir(parents=True)
    drawn = [scenes.draw(30 + i, WH) for i in range(3)]
    for i, scene in enumerate(drawn):
        cv2.imencode(".jpg", scene.picture)[1].tofile(str(folder / "可见光" / f"{i:03d}.jpg"))
        warm = cv2.resize(scene.picture[:, :, 2], (640, 360)).astype(np.uint16) * 9 + 7200
        for a in scene.annotations:
            if a.label != "large_coal":
                box = [int(v / 2) for v in (a.shape.x0, a.shape.y0, a.shape.x1, a.shape.y1)]
                middle = ((box[0] + box[2]) // 2, (box[1] + box[3]) // 2)
                axes = (max(2, (box[2] - box[0]) // 2), max(2, (box[3] - box[1]) // 2))
                cv2.ellipse(warm, middle, axes, 0, 0, 360, 10_900, -1)
        cv2.imencode(".png", cv2.GaussianBlur(warm, (0, 0), 3))[1].tofile(
            str(folder / "热像" / f"{i:03d}.png")
        )
    ws = workspace.create(str(tmp_path / "W"), person="07")
    for _ in ingest.run(ws, [folder], dataset="face-3"):
        pass
    for row in browse.page(ws, Query(1)):
        if row.path.startswith("可见光"):
            page = labelling.load(ws, row.asset_id)
            labelling.save(ws, page, tuple(drawn[int(Path(row.path).stem)].annotations), verb="draw box")
    ws.close()
    return tmp_path / "W"


@pytest.mark.parametrize(("language", "theme"), (("en", "light"), ("zh_CN", "dark")))
def test_the_manual_shows_the_look_and_the_comparison(
    window: Window, qtbot: QtBot, twins: Path, language: str, theme: str, photograph: Callable[..., None]
) -> None:
    window.desk.set_language(language)
    window.desk.set_theme(theme)
    hand = open_in(window, qtbot, twins)
    window.go("annotate")
    qtbot.waitUntil(lambda: len(window.annotate.rows) == 6)
    there = {row.path.split("/")[0]: [] for row in window.annotate.rows}
    for row in window.annotate.rows:
        there[row.path.split("/")[0]].append(row.asset_id)
    eye, strip = window.annotate.eye, window.annotate.strip
    hand.open(there["可见光"][1])
    eye.use(1)
    window.annotate.eye_panel.reveal(True)
    qtbot.waitUntil(lambda: window.annotate.eye_panel.width() >= 290)
    qtbot.waitUntil(lambda: all(strip.thumbs.peek(row.asset_id) for row in window.annotate.rows))
    qtbot.waitUntil(lambda: window.annotate.eye_panel.histogram.counts is not None)
    qtbot.waitUntil(lambda: hand.desk.tasks.pictures.idle)
    short = language[:2]
    photograph(window, f"seeing-look-{short}.png")
    window.annotate.eye_panel.reveal(False)
    qtbot.waitUntil(lambda: not window.annotate.eye_panel.isVisible())
    eye.show(eye.presets[2].look, used=3)
    eye.look_on("partner")
    eye.compare("side")
    qtbot.waitUntil(lambda: eye.layer.partner is not None and eye.layer.partner.whole)
    qtbot.waitUntil(lambda: bool(eye.layer.names[1]) and hand.desk.tasks.pictures.idle)
    photograph(window, f"seeing-compare-{short}.png")
    eye.plain()

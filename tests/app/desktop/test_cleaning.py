"""The cleaning panel: what is ticked is shown, what is shown leaves by one button, and comes back by another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from annotation import scenes
from annotation.core import Annotation, Box
from app.desktop.gallery.cleaning import Cleaning
from app.desktop.gallery.threshold import Threshold
from app.desktop.window import Window
from app.services import browse, cleaning, ingest, labelling, listing, workspace
from app.services.browse import Query
from tests.app.desktop.conftest import open_in

SCENES = 8


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes with altered copies, blurred, dark, hazy and glaring ones, and a folder of frames; measured, copies found."""
    home = tmp_path_factory.mktemp("clean")
    folder = home / "face"

    def put(name: str, picture: np.ndarray, quality: int = 92) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tofile(str(path))

    for i in range(SCENES):
        p = scenes.draw(300 + i, (640, 480)).picture
        put(f"KJ-07_{i:03d}.jpg", p)
        put(f"KJ-07_{i:03d} copy.jpg", p, 30)
        if i % 2:
            put(f"KJ-07_{i:03d} small.jpg", cv2.resize(p, (320, 240), interpolation=cv2.INTER_AREA))
    for i in range(4):
        p = scenes.draw(400 + i, (640, 480)).picture
        put(f"blur_{i}.jpg", cv2.GaussianBlur(p, (0, 0), 8))
        put(f"dark_{i}.jpg", (scenes.draw(420 + i, (640, 480)).picture * 0.1).astype(np.uint8))
        put(f"dust_{i}.jpg", (scenes.draw(440 + i, (640, 480)).picture * 0.3 + 130).astype(np.uint8))
    for i in range(6):
        put(f"belt/f{i}.jpg", scenes.draw(500 + i, (640, 480)).picture)
    with workspace.create(str(home / "W"), person="07") as ws:
        for _ in ingest.run(ws, [folder], dataset="face-3"):
            pass
        for _ in cleaning.find(ws, "face-3", cleaning.Wanted(("exact", "near", "frozen"))):
            pass
    return home / "W"


@pytest.fixture
def panel(window: Window, qtbot: QtBot, drawn: Path, tmp_path: Path) -> Cleaning:
    """The panel, open on a workspace of its own."""
    import shutil

    shutil.copytree(drawn, tmp_path / "W")
    open_in(window, qtbot, tmp_path / "W")
    window.go("gallery")
    rest(window, qtbot)
    QTest.keyClick(window.gallery.grid, "C", Qt.KeyboardModifier.ShiftModifier)
    rest(window, qtbot)
    return window.gallery.cleaning


def rest(window: Window, qtbot: QtBot) -> None:
    """Everything listed, counted and drawn."""
    g, tasks = window.gallery, window.desk.tasks

    def quiet() -> bool:
        return (
            g.rows.complete and g.names.schema is not None and not g.cleaning._soon.isActive() and g.cleaning.running is None
            and g.facets.share >= 1 and g.facets._fresh and not g.facets._soon.isActive()
            and not tasks.running and tasks.readers.idle and tasks.writer.idle
        )  # fmt: skip

    for _ in range(3):
        qtbot.waitUntil(quiet, timeout=20_000)
        g.grid.viewport().repaint()
        qtbot.waitUntil(lambda: tasks.thumbs.idle, timeout=20_000)


def shown(panel: Cleaning) -> list[str]:
    rows = (panel.gallery.rows.row(i) for i in range(panel.gallery.rows.count))
    return [r.path for r in rows if isinstance(r, browse.ItemRow)]


def tick(panel: Cleaning, name: str, window: Window, qtbot: QtBot) -> None:
    panel.ticks[name].click()
    rest(window, qtbot)


def test_what_is_ticked_is_shown_worst_first_and_the_button_says_how_many(
    panel: Cleaning, window: Window, qtbot: QtBot
) -> None:
    assert panel.isVisible() and not panel.act.isEnabled()
    tick(panel, "dark", window, qtbot)
    assert [p[:4] for p in shown(panel)] == ["dark"] * 4
    assert panel.act.isEnabled() and "4" in panel.act.text()
    assert window.gallery.sort == listing.Sort("bright")
    tick(panel, "haze", window, qtbot)
    assert sorted({p[:4] for p in shown(panel)}) == ["dark", "dust"] and panel.gallery.rows.count == 8
    tick(panel, "dark", window, qtbot)
    tick(panel, "haze", window, qtbot)
    assert panel.gallery.rows.count == 38 and not panel.act.isEnabled()


def test_dragging_a_threshold_ticks_it_and_moves_what_is_shown(
    panel: Cleaning, window: Window, qtbot: QtBot
) -> None:
    line = panel.lines["blurred"]
    assert sum(line.bars) == 38
    QTest.mousePress(line, Qt.MouseButton.LeftButton, pos=QPoint(line.width() // 2, 20))
    QTest.mouseMove(line, QPoint(round(line._x(0.2)), 20))
    QTest.mouseRelease(line, Qt.MouseButton.LeftButton, pos=QPoint(round(line._x(0.2)), 20))
    rest(window, qtbot)
    assert panel.ticks["blurred"].isChecked() and line.value == pytest.approx(0.2, abs=0.015)
    assert {p[:4] for p in shown(panel)} >= {"blur"}
    few = panel.gallery.rows.count
    line.setFocus()
    for _ in range(60):
        QTest.keyClick(line, Qt.Key.Key_Right)
    rest(window, qtbot)
    assert panel.gallery.rows.count > few
    assert panel.ticks["blurred"].count == panel.gallery.rows.count


def test_one_button_takes_out_what_is_shown_and_undo_brings_it_back(
    panel: Cleaning, window: Window, qtbot: QtBot
) -> None:
    tick(panel, "near", window, qtbot)
    assert panel.gallery.rows.count == 12 and all(("copy" in p) != ("small" in p) for p in shown(panel))
    panel.act.click()
    rest(window, qtbot)
    qtbot.waitUntil(lambda: panel.gallery.rows.count == 26, timeout=10_000)
    assert panel.undo.isVisible() and "12" in panel.told.text()
    assert not panel.ticks["near"].isChecked() and panel.ticks["near"].count == 0
    panel.undo.click()
    rest(window, qtbot)
    qtbot.waitUntil(lambda: panel.gallery.rows.count == 38, timeout=10_000)
    qtbot.waitUntil(lambda: panel.ticks["near"].count == 12, timeout=10_000)


def test_what_people_worked_on_stays_unless_it_is_ticked_too(
    panel: Cleaning, window: Window, qtbot: QtBot
) -> None:
    ws = window.desk.ws
    assert ws is not None
    (dark, *_) = browse.page(ws, Query(1, where="path:dark_0"))
    labelling.save(
        ws, labelling.load(ws, dark.asset_id), (Annotation("person", Box(1, 1, 40, 90)),), verb="draw"
    )
    tick(panel, "dark", window, qtbot)
    assert panel.held.isVisible() and panel.held.count == 1 and "3" in panel.act.text()
    panel.held.click()
    assert "4" in panel.act.text()
    panel.held.click()
    panel.act.click()
    rest(window, qtbot)
    assert [r.path for r in browse.page(ws, Query(1, where="path:dark"))] == ["dark_0.jpg"]


def test_groups_stand_together_and_another_one_can_be_kept(
    panel: Cleaning, window: Window, qtbot: QtBot
) -> None:
    panel.groups.click()
    rest(window, qtbot)
    paths = shown(panel)
    assert len(paths) == 20 and [p[:9] for p in paths] == sorted(p[:9] for p in paths)
    grid = window.gallery.grid
    qtbot.waitUntil(lambda: len(grid._groups) >= 6, timeout=10_000)
    row = grid.rows.row(1)
    assert row is not None and not grid._groups[row.asset_id][0].kept
    grid.jump(1)
    QTest.keyClick(grid, "P", Qt.KeyboardModifier.ShiftModifier)
    rest(window, qtbot)
    qtbot.waitUntil(
        lambda: bool(grid._groups.get(row.asset_id)) and grid._groups[row.asset_id][0].kept, timeout=10_000
    )
    grid.jump(0)
    QTest.keyClick(grid, "G", Qt.KeyboardModifier.ShiftModifier)
    rest(window, qtbot)
    assert window.gallery.rows.count in (2, 3)


def test_frames_between_are_found_ticked_and_shown(panel: Cleaning, window: Window, qtbot: QtBot) -> None:
    assert not panel.ticks["sequence"].isEnabled()
    panel.choose_rule("every")
    panel.amount.setValue(3)
    panel.thin.click()
    qtbot.waitUntil(lambda: panel.ticks["sequence"].isChecked(), timeout=15_000)
    rest(window, qtbot)
    assert [p for p in shown(panel) if p.startswith("belt")] == [f"belt/f{i}.jpg" for i in (1, 2, 4, 5)]


def test_only_what_the_query_found_is_cleaned_and_closing_goes_back_to_it(
    panel: Cleaning, window: Window, qtbot: QtBot
) -> None:
    panel.leave()
    window.gallery.ask("path:KJ-07")
    rest(window, qtbot)
    panel.enter()
    rest(window, qtbot)
    assert panel.scope.isVisible() and panel.ticks["dark"].count == 0 and panel.ticks["near"].count == 12
    tick(panel, "near", window, qtbot)
    panel.leave()
    rest(window, qtbot)
    assert window.gallery.rows.count == 20 and not panel.isVisible()


def test_another_query_unticks_what_would_leave_and_is_cleaned_from_then_on(
    panel: Cleaning, window: Window, qtbot: QtBot
) -> None:
    tick(panel, "dark", window, qtbot)
    window.gallery.line._chips_row.itemAt(0).widget().click()
    rest(window, qtbot)
    assert not panel.passes() and not panel.act.isEnabled() and not panel.scope.isVisible()
    window.gallery.ask("path:belt")
    rest(window, qtbot)
    assert panel.scope.isVisible() and panel.ticks["dark"].count == 0
    assert window.gallery.clean.isChecked()


def test_a_threshold_tells_its_value_to_a_screen_reader(qtbot: QtBot) -> None:
    line = Threshold(0.1, below=True, tip="Blurred")
    qtbot.addWidget(line)
    line.set_value(0.25)
    assert line.accessibleName() and line.accessibleDescription() == "< 0.25"
    line.set_value(7)
    assert line.value == 1.0


@pytest.mark.parametrize(("language", "theme"), (("en", "light"), ("zh_CN", "dark")))
def test_the_manual_shows_the_panel_and_the_groups(
    panel: Cleaning, window: Window, qtbot: QtBot, language: str, theme: str, photograph: Callable[..., None]
) -> None:
    window.desk.set_language(language)
    window.desk.set_theme(theme)
    rest(window, qtbot)
    tick(panel, "haze", window, qtbot)
    tick(panel, "dark", window, qtbot)
    photograph(window, f"cleaning-panel-{language[:2]}.jpg")
    tick(panel, "haze", window, qtbot)
    tick(panel, "dark", window, qtbot)
    tick(panel, "near", window, qtbot)
    panel.groups.click()
    rest(window, qtbot)
    qtbot.waitUntil(lambda: len(window.gallery.grid._groups) >= 6, timeout=10_000)
    photograph(window, f"cleaning-groups-{language[:2]}.jpg")
    window.desk.set_language("en")

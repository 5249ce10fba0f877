"""The manual's pictures of the gallery, drawn by the desk itself: --manual writes them anew, else they must be there and small."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from pytestqt.qtbot import QtBot

from annotation import scenes
from annotation.core import Annotation
from app.desktop.gallery.page import Gallery
from app.desktop.window import Window
from app.services import ingest, labelling, listing, review, workspace
from storage import record
from storage.record import Edit
from storage.search import FIELDS, WORDS, Names, parse
from tests.app.desktop.conftest import open_in
from tests.support.gestures import gesture

ROOT = Path(__file__).resolve().parents[3]
N = 24


@pytest.fixture
def face(tmp_path: Path) -> Path:
    """Two dozen scenes with predictions, some of them accepted, submitted, returned."""
    folder = tmp_path / "综采面"
    folder.mkdir()
    drawn = [scenes.draw(100 + i, (640, 480)) for i in range(N)]
    for i, scene in enumerate(drawn):
        cv2.imencode(".jpg", scene.picture)[1].tofile(str(folder / f"KJ-07_{i:04d}.jpg"))
    ws = workspace.create(str(tmp_path / "W"), person="07")
    for _ in ingest.run(ws, [folder], dataset="face-3"):
        pass
    rng = random.Random(1)
    with ws.db.write() as conn:
        agent = record.agent(conn, "model", "drawn")
        act = record.start_activity(conn, "prelabel", agent.id, {}, model_digest=bytes(32), open_=False)
    for asset, scene in enumerate(drawn, 1):
        made = [
            Annotation(
                a.label, a.shape, {"helmet_worn": rng.choice(["proper", "none", "unknown"])} if a.label == "person" else {},
                score=rng.randrange(300, 980) / 1000, origin="model",
            )
            for a in scene.annotations
        ]  # fmt: skip
        if asset % 6 and made:
            with ws.db.write() as conn:
                numbers = record.label_ids(conn, [m.label for m in made])
            edits = [Edit(opens=labelling.content(m, asset, numbers[m.label], origin="model")) for m in made]
            gesture(ws.db, edits, agent_id=agent.id, activity_id=act, verb="prelabel")
        if asset % 3 == 0:
            page = labelling.load(ws, asset)
            labelling.accept(ws, page, [a.uid for a in page.annotations])
    review.judge(ws, 1, [3, 9], "submitted")
    review.judge(ws, 1, [9], "returned")
    listing.save(ws, 1, "低分人员", "class:person score<0.5")
    ws.close()
    return tmp_path / "W"


def rest(window: Window, qtbot: QtBot, gallery: Gallery) -> None:
    """Everything listed, counted and decoded."""
    tasks = window.desk.tasks
    qtbot.waitUntil(
        lambda: gallery.rows.complete and gallery.names.schema is not None and gallery.facets.share >= 1,
        timeout=15_000,
    )
    for _ in range(2):
        gallery.grid.viewport().repaint()
        qtbot.waitUntil(lambda: tasks.thumbs.idle and tasks.readers.idle, timeout=15_000)
    gallery.window().repaint()


@pytest.mark.parametrize(("language", "theme"), (("en", "light"), ("zh_CN", "dark")))
def test_the_manual_shows_pictures_objects_and_completion(
    window: Window, qtbot: QtBot, face: Path, language: str, theme: str, photograph: Callable[..., None]
) -> None:
    window.desk.set_language(language)
    window.desk.set_theme(theme)
    open_in(window, qtbot, face)
    window.go("gallery")
    gallery, short = window.gallery, language[:2]
    rest(window, qtbot, gallery)
    gallery.toggle_outlines()
    rest(window, qtbot, gallery)
    photograph(window, f"gallery-pictures-{short}.jpg")
    gallery.ask("class:person score:0.3..0.7")
    gallery.toggle_objects()
    rest(window, qtbot, gallery)
    gallery.grid.selection.only(0, 2)
    gallery.grid.selection.toggle(4)
    gallery.grid.chosen.emit()
    gallery.grid.viewport().repaint()
    photograph(window, f"gallery-objects-{short}.jpg")
    gallery.clear()
    gallery.line.start()
    gallery.line.edit.setText(gallery.line.edit.text() + ("佩戴:" if short == "zh" else "helmet_worn:"))
    gallery.line._offer()
    assert gallery.line.popup.isVisible()
    photograph(window, f"gallery-line-{short}.jpg")
    window.desk.set_language("en")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_manual_has_every_condition_of_the_query_language(language: str) -> None:
    text = (ROOT / f"app/manual/{language}/gallery.md").read_text(encoding="utf-8")
    for name, field in FIELDS.items():
        assert f"`{name}" in text, name
        assert f"`{field.words[0]}" in text, field.words[0]
        for code, _ in field.values:
            assert code in text, code
    assert all(word in text for word in WORDS)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_query_in_the_manual_can_be_read(language: str) -> None:
    from annotation import labels

    text = (ROOT / f"app/manual/{language}/gallery.md").read_text(encoding="utf-8")
    names = Names(labels.load("coal_mine"), people=("07", "王工"), models=("demo",))
    lines = [x for block in text.split("```")[1::2] for x in block.strip().splitlines() if x.strip()]
    assert len(lines) >= 8
    for line in lines:
        parse(line.split("  ")[0], names)

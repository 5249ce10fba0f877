"""Smart tools and sequences by mouse and keys: what is found, what is made, what can be undone and stopped."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from annotation import marks, raster, rle, scenes
from annotation.core import Annotation, Box, Mask, Polygon
from app import settings
from app.desktop.canvas.tools.smart import GrabCutTool, PromptTool, ScissorsTool, WandTool
from app.desktop.window import Window
from app.services import frames, ingest, labelling, onnx, workspace
from app.services.workspace import Workspace
from tests.app.desktop.conftest import Hand, open_in
from tests.models import toy_pairs

N, R = 12, 45
Key = Qt.Key
ALT, CTRL, SHIFT = (
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
)


def centre(i: int) -> tuple[int, int]:
    """Where the ball is on frame `i`."""
    return 120 + 18 * i, 160 + 4 * i


def draw_frame(i: int) -> np.ndarray:
    """A striped bright ball on a drawn scene."""
    picture = cv2.convertScaleAbs(scenes.draw(11, (480, 360)).picture, alpha=0.5)
    x, y = centre(i)
    cv2.circle(picture, (x, y), R, (60, 200, 235), -1)
    for k in (-24, -6, 14):
        cv2.line(picture, (x + k, y - 30), (x + k + 6, y + 30), (60, 190, 220), 3)
    cv2.circle(picture, (x - 12, y - 14), 8, (70, 215, 245), -1)
    return picture


@pytest.fixture(scope="session")
def film_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of frames 000001.png … and a pair of toy models beside it."""
    place = tmp_path_factory.mktemp("film")
    folder = place / "cam"
    folder.mkdir()
    for i in range(N):
        cv2.imwrite(str(folder / f"{i + 1:06d}.png"), draw_frame(i))
    toy_pairs.write(place, "sam2")
    toy_pairs.write(place, "sam1")
    return place


@pytest.fixture
def film(window: Window, qtbot: QtBot, tmp_path: Path, film_files: Path) -> Hand:
    """The window on a workspace with the film, first frame open."""
    with workspace.create(str(tmp_path / "W"), person="07") as ws:
        for _ in ingest.run(ws, [film_files / "cam"], dataset="film"):
            pass
    hand = open_in(window, qtbot, tmp_path / "W")
    hand.open(1)
    qtbot.waitUntil(lambda: len(window.annotate.sequence.frames.ids) == N)
    window.desk.choose_label("smoke")
    return hand


def with_pair(hand: Hand, files: Path, dialect: str = "sam2") -> None:
    assert hand.desk.ws is not None
    onnx.add_pair(
        hand.desk.ws, files / f"{dialect}.encoder.onnx", files / f"{dialect}.decoder.onnx", name=dialect
    )


def ball(i: int = 0) -> np.ndarray:
    truth = np.zeros((360, 480), np.uint8)
    cv2.circle(truth, centre(i), R, 1, -1)
    return truth


def overlap(a: Annotation, truth: np.ndarray) -> float:
    shape = a.shape if isinstance(a.shape, Mask) else raster.to_mask(a.shape, width=480, height=360)
    bits = rle.decode(shape)
    return float((bits & truth).sum() / (bits | truth).sum())


def only(hand: Hand, asset: int = 1) -> Annotation:
    found = list(hand.stored(asset).values())
    assert len(found) == 1
    return found[0]


# --- tools -------------------------------------------------------------------------------------------------------


def test_scissors_follow_the_edge_from_click_to_click(film: Hand) -> None:
    film.key(Key.Key_X, ALT)
    tool = film.canvas.tool
    assert isinstance(tool, ScissorsTool)
    x, y = centre(0)
    for dx, dy in ((R, 0), (0, -R), (-R, 0), (0, R)):
        film.move(x + dx, y + dy)
        film.click(x + dx, y + dy)
        film.qtbot.waitUntil(lambda: tool._scissors is not None)
    film.key(Key.Key_Return)
    made = only(film)
    assert isinstance(made.shape, Polygon)
    assert overlap(made, ball()) > 0.93
    assert not tool.busy


def test_scissors_take_points_back_and_escape_drops_everything(film: Hand) -> None:
    film.key(Key.Key_X, ALT)
    tool = film.canvas.tool
    assert isinstance(tool, ScissorsTool)
    x, y = centre(0)
    film.click(x + R, y)
    film.click(x, y - R)
    film.key(Key.Key_Backspace)
    assert len(tool._seeds) == 1
    film.key(Key.Key_Escape)
    assert not tool.busy and film.stored() == {}


def test_grabcut_is_cut_from_a_box_and_made_as_was_said(film: Hand) -> None:
    film.key(Key.Key_G)
    tool = film.canvas.tool
    assert isinstance(tool, GrabCutTool)
    x, y = centre(0)
    film.drag(x - 60, y - 60, x + 60, y + 60)
    film.qtbot.waitUntil(lambda: tool.found[1] is not None, timeout=10_000)
    assert "polygon" in film.canvas.hint
    film.key(Key.Key_K, ALT)
    assert "mask" in film.canvas.hint
    assert settings.load()["smart_mask"] is True
    film.key(Key.Key_Return)
    made = only(film)
    assert isinstance(made.shape, Mask)
    assert overlap(made, ball()) > 0.93
    film.key(Key.Key_Z, CTRL)
    assert film.stored() == {}


def test_grabcut_is_refined_by_strokes_and_a_stroke_is_taken_back(film: Hand) -> None:
    film.key(Key.Key_G)
    tool = film.canvas.tool
    assert isinstance(tool, GrabCutTool)
    x, y = centre(0)
    film.drag(x - 60, y - 60, x + 60, y + 60)
    film.qtbot.waitUntil(lambda: tool.found[1] is not None, timeout=10_000)
    before = tool.found[0].area
    tool.brush_px = 60
    film.canvas.modifiers = ALT
    tool.press(x - 40, y, add=False)
    tool.move(x - 40, y + 20, square=False)
    tool.release(x - 40, y + 20)
    film.qtbot.waitUntil(lambda: tool.found[0].area < before, timeout=10_000)
    film.key(Key.Key_Backspace)
    film.qtbot.waitUntil(lambda: tool.found[0].area == before, timeout=10_000)


def test_the_wand_fills_adds_takes_away_and_follows_its_tolerance(film: Hand) -> None:
    film.key(Key.Key_W, ALT)
    tool = film.canvas.tool
    assert isinstance(tool, WandTool)
    x, y = centre(0)
    tool.tolerance = 2
    film.click(x + 30, y)
    film.qtbot.waitUntil(lambda: tool.found[1] is not None)
    part = tool.found[0].area
    tool.wheel(10)
    film.qtbot.waitUntil(lambda: tool.found[0].area > part)
    whole = tool.found[0].area
    film.click(20, 340, shift=True)
    film.qtbot.waitUntil(lambda: tool.found[0].area > whole)
    film.canvas.modifiers = ALT
    tool.press(20, 340, add=False)
    film.qtbot.waitUntil(lambda: tool.found[0].area <= whole)
    film.key(Key.Key_Return)
    assert overlap(only(film), ball()) > 0.9


def test_a_class_that_is_no_mask_gets_a_polygon_and_one_that_is_neither_is_refused(film: Hand) -> None:
    film.desk.choose_label("person")
    schema = film.desk.schema
    assert schema is not None
    film.key(Key.Key_W, ALT)
    tool = film.canvas.tool
    assert isinstance(tool, WandTool)
    film.canvas.allowed = lambda _label, kind: kind == "polygon"
    tool.bench.as_mask = True
    assert tool.kind() == "polygon"
    film.canvas.allowed = lambda _label, kind: kind == "box"
    tool.tolerance = 60
    film.click(*centre(0))
    film.qtbot.waitUntil(lambda: tool.found[1] is not None)
    with film.qtbot.waitSignal(film.canvas.refused):
        film.key(Key.Key_Return)
    assert film.stored() == {}


def test_leaving_the_picture_drops_what_was_being_looked_for(film: Hand) -> None:
    film.key(Key.Key_G)
    tool = film.canvas.tool
    assert isinstance(tool, GrabCutTool)
    x, y = centre(0)
    film.drag(x - 60, y - 60, x + 60, y + 60)
    assert film.window.annotate.smart.working
    film.key(Key.Key_D)
    film.qtbot.waitUntil(lambda: film.ready(2))
    assert film.window.annotate.smart._pool.wait()
    told: list[bool] = []
    # The courier keeps the order: when this has come, so has what the pool sent.
    film.desk.tasks.courier.send(lambda: told.append(True))
    film.qtbot.waitUntil(lambda: bool(told))
    assert tool.found[1] is None and not tool.busy
    assert film.window.annotate.smart.working == ""


# --- promptable model --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["sam1", "sam2"])
def test_a_click_segments_and_enter_makes_it(film: Hand, film_files: Path, dialect: str) -> None:
    with_pair(film, film_files, dialect)
    film.key(Key.Key_S)
    tool = film.canvas.tool
    assert isinstance(tool, PromptTool)
    smart = film.window.annotate.smart
    film.qtbot.waitUntil(lambda: 1 in smart.encoded, timeout=20_000)
    film.click(*centre(0))
    film.qtbot.waitUntil(lambda: tool.found[1] is not None, timeout=20_000)
    assert smart.row is not None and smart.row.name == dialect
    first = tool.which
    film.key(Key.Key_S, ALT)
    assert tool.which == first + 1
    film.key(Key.Key_Return)
    made = only(film)
    assert overlap(made, ball()) > 0.5
    assert labelling.history(film.desk.ws, asset_id=1)[0].verb.endswith(": prompt")  # type: ignore[arg-type]


def test_prompts_are_refined_by_negative_clicks_and_a_box_and_taken_back(
    film: Hand, film_files: Path
) -> None:
    with_pair(film, film_files)
    film.key(Key.Key_S)
    tool = film.canvas.tool
    assert isinstance(tool, PromptTool)
    x, y = centre(0)
    film.drag(x - 50, y - 50, x + 50, y + 50)
    film.qtbot.waitUntil(lambda: tool.found[1] is not None, timeout=20_000)
    assert tool.box is not None
    whole = tool.found[0].area
    film.canvas.modifiers = ALT
    tool.press(x + 20, y + 20, add=False)
    tool.release(x + 20, y + 20)
    assert tool.points[-1][2] is False
    film.qtbot.waitUntil(lambda: tool.found[0].area < whole, timeout=20_000)
    film.key(Key.Key_Backspace)
    film.qtbot.waitUntil(lambda: tool.found[0].area == whole, timeout=20_000)
    film.key(Key.Key_Escape)
    assert not tool.busy and tool.found[1] is None


def test_the_next_pictures_are_encoded_ahead_and_the_status_line_says_so(
    film: Hand, film_files: Path
) -> None:
    with_pair(film, film_files)
    said: list[str] = []
    smart = film.window.annotate.smart
    smart.said.connect(said.append)
    film.key(Key.Key_S)
    film.qtbot.waitUntil(lambda: {1, 2, 3}.issubset(smart.encoded), timeout=30_000)
    assert any("ahead" in text for text in said)
    film.qtbot.waitUntil(lambda: smart._ahead_now is None, timeout=20_000)
    assert "CPU" in film.window.model.text()
    film.key(Key.Key_V)
    assert film.window.model.text() == ""


def test_encoded_pictures_are_bounded_by_memory(
    film: Hand, film_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.desktop.smart.EMBEDDINGS_BYTES", 40_000_000)
    with_pair(film, film_files)
    smart = film.window.annotate.smart
    film.key(Key.Key_S)
    film.qtbot.waitUntil(lambda: len(smart.encoded) == 2, timeout=30_000)
    film.qtbot.waitUntil(lambda: smart._ahead_now is None, timeout=20_000)
    assert sum(e.size_bytes for e in smart._kept.values()) <= 40_000_000


def test_what_was_encoded_for_another_model_or_workspace_is_thrown_away(film: Hand, film_files: Path) -> None:
    with_pair(film, film_files)
    smart = film.window.annotate.smart
    film.key(Key.Key_S)
    film.qtbot.waitUntil(lambda: 1 in smart.encoded, timeout=20_000)
    film.qtbot.waitUntil(lambda: smart._ahead_now is None and not smart.working, timeout=20_000)
    embedding, era = smart._kept[1], smart._era
    smart.use("another")
    smart._keep(1, embedding, era)  # as a worker does that was encoding meanwhile
    smart._open(film.desk.ws, era)
    assert smart.encoded == [] and smart.row is None


def test_escape_stops_an_encoding_that_is_under_way(film: Hand, film_files: Path) -> None:
    with_pair(film, film_files)
    smart = film.window.annotate.smart
    film.key(Key.Key_S)
    assert "Esc" in smart.working
    film.key(Key.Key_Escape)
    assert smart.working == ""
    assert smart._pool.wait()
    assert not film.desk.problems
    film.click(*centre(0))
    tool = film.canvas.tool
    assert isinstance(tool, PromptTool)
    film.qtbot.waitUntil(lambda: tool.found[1] is not None, timeout=20_000)


def test_without_a_model_the_click_says_what_to_add(film: Hand) -> None:
    film.key(Key.Key_S)
    film.click(*centre(0))
    film.qtbot.waitUntil(lambda: "promptable model" in film.canvas.hint)
    assert any("promptable model" in t.what for t in film.desk.problems)


def test_the_add_model_sheet_takes_a_pair(film: Hand, film_files: Path) -> None:
    film.window.sheets.add_model()
    sheet = film.window.sheets.open
    assert sheet is not None
    from PySide6.QtWidgets import QLineEdit

    fields = list[QLineEdit](sheet.card.findChildren(QLineEdit))
    fields[0].setText(str(film_files / "sam1.encoder.onnx"))
    fields[1].setText(str(film_files / "sam1.decoder.onnx"))
    fields[2].setText("my sam")
    film.qtbot.mouseClick(sheet.verb, Qt.MouseButton.LeftButton)
    film.qtbot.waitUntil(lambda: film.canvas.tool.name == "prompt", timeout=30_000)
    film.qtbot.waitUntil(lambda: 1 in film.window.annotate.smart.encoded, timeout=20_000)
    assert film.desk.ws is not None
    assert [p.name for p in onnx.pairs(film.desk.ws)] == ["my sam"]
    assert settings.load()["smart_model"] == "my sam" and not film.desk.problems


# --- copying and tracks ------------------------------------------------------------------------------------------


def draw_ball(hand: Hand, i: int = 0) -> str:
    """A box around the ball on the open frame; its uid."""
    x, y = centre(i)
    hand.desk.choose_label("person")
    hand.key(Key.Key_R)
    hand.drag(x - R, y - R, x + R, y + R)
    hand.settled()
    hand.key(Key.Key_V)
    assert len(hand.doc.selection) == 1
    return hand.doc.selection[0]


def tracks(hand: Hand) -> dict[str, frames.Track]:
    ws: Workspace | None = hand.desk.ws
    assert ws is not None
    hand.settled()
    return frames.tracked(ws, frames.sequence_of(ws, 1, 1))


def test_the_selected_object_is_copied_to_the_next_picture_and_taken_back(film: Hand) -> None:
    draw_ball(film)
    film.key(Key.Key_D, SHIFT)
    assert len(film.stored(2)) == 1
    film.qtbot.waitUntil(lambda: "Copied: 1 objects to 1 pictures" in film.canvas.hint)
    film.key(Key.Key_D, SHIFT)
    film.qtbot.waitUntil(lambda: "1 left out" in film.canvas.hint)
    film.key(Key.Key_Z, CTRL)
    assert film.stored(2) == {}
    assert len(film.stored(1)) == 1


def test_copying_forward_asks_how_far(film: Hand) -> None:
    draw_ball(film)
    film.key(Key.Key_D, CTRL, SHIFT)
    sheet = film.window.sheets.open
    assert sheet is not None
    film.qtbot.mouseClick(sheet.verb, Qt.MouseButton.LeftButton)
    film.settled()
    assert [len(film.stored(i)) for i in (2, 11, 12)] == [1, 1, 0]


def test_key_frames_fill_what_lies_between_and_a_correction_moves_it(film: Hand) -> None:
    draw_ball(film)
    film.key(Key.Key_T, ALT)
    film.qtbot.waitUntil(lambda: len(film.window.annotate.sequence.tracks) == 1)
    film.open(9)
    film.key(Key.Key_T, ALT, SHIFT)
    film.settled()
    film.qtbot.waitUntil(lambda: len(film.doc.selection) == 1)
    found = next(iter(tracks(film).values()))
    assert sorted(found) == list(range(9)) and sorted(frames.keys(found)) == [0, 8]
    x, y = centre(0)
    film.drag(x, y, x + 80, y + 40)
    found = next(iter(tracks(film).values()))
    four, nought = found[4].shape, found[0].shape
    assert isinstance(four, Box) and isinstance(nought, Box)
    assert four.x0 == pytest.approx(nought.x0 + 40, abs=1)
    film.key(Key.Key_Z, CTRL)
    found = next(iter(tracks(film).values()))
    assert isinstance(found[4].shape, Box) and found[4].shape.x0 == pytest.approx(nought.x0, abs=0.01)


def test_one_goes_from_key_to_key_with_the_object_in_hand(film: Hand) -> None:
    draw_ball(film)
    film.key(Key.Key_T, ALT)
    film.settled()
    film.open(6)
    film.key(Key.Key_T, ALT, SHIFT)
    film.settled()
    sequence = film.window.annotate.sequence
    film.qtbot.waitUntil(lambda: any(len(frames.keys(t)) == 2 for t in sequence.tracks.values()))
    film.key(Key.Key_Q, ALT)
    film.qtbot.waitUntil(lambda: film.ready(1) and len(film.doc.selection) == 1)
    film.key(Key.Key_E, ALT)
    film.qtbot.waitUntil(lambda: film.ready(6) and len(film.doc.selection) == 1)


def test_following_is_a_task_and_its_frames_stand_in_the_timeline(film: Hand) -> None:
    draw_ball(film)
    film.key(Key.Key_T, SHIFT)
    film.qtbot.waitUntil(lambda: bool(film.desk.tasks.past), timeout=30_000)
    assert film.desk.tasks.past[0].state == "finished"
    found = next(iter(tracks(film).values()))
    assert sorted(found) == list(range(N))
    for i in (4, 11):
        box, (x, y) = found[i].shape, centre(i)
        assert isinstance(box, Box)
        assert abs((box.x0 + box.x1) / 2 - x) < 4 and abs((box.y0 + box.y1) / 2 - y) < 4
    film.qtbot.waitUntil(lambda: len(film.window.annotate.sequence.tracks) == 1)
    film.key(Key.Key_Z, CTRL)
    assert tracks(film) == {}


def test_following_can_be_cancelled_and_writes_nothing(film: Hand) -> None:
    draw_ball(film)
    film.key(Key.Key_Y, SHIFT)
    film.desk.tasks.running[0].cancel()
    film.qtbot.waitUntil(lambda: bool(film.desk.tasks.past), timeout=30_000)
    assert film.desk.tasks.past[0].state in ("cancelled", "finished")
    if film.desk.tasks.past[0].state == "cancelled":
        assert tracks(film) == {}


def test_a_track_is_deleted_from_here_on_split_and_joined(film: Hand) -> None:
    draw_ball(film)
    film.key(Key.Key_T, ALT)
    film.settled()
    film.open(10)
    film.key(Key.Key_T, ALT, SHIFT)
    film.settled()
    film.open(5)
    film.qtbot.waitUntil(lambda: any(len(t) == 10 for t in film.window.annotate.sequence.tracks.values()))
    film.doc.select([a.uid for a in film.doc.annotations])
    film.window.annotate.sequence.split()
    assert [sorted(t) for t in tracks(film).values()] == [[0, 1, 2, 3], [4, 5, 6, 7, 8, 9]]
    film.open(3)
    film.doc.select([a.uid for a in film.doc.annotations])
    film.open(7)
    film.doc.select([a.uid for a in film.doc.annotations])
    film.window.annotate.sequence.merge()
    assert [sorted(t) for t in tracks(film).values()] == [list(range(10))]
    film.qtbot.waitUntil(lambda: len(film.window.annotate.sequence.tracks) == 1)
    film.key(Key.Key_Delete, SHIFT)
    assert [sorted(t) for t in tracks(film).values()] == [[0, 1, 2, 3, 4, 5]]


# --- the timeline ------------------------------------------------------------------------------------------------


def test_the_timeline_is_there_for_a_film_and_can_be_put_away(film: Hand) -> None:
    from app.desktop.panels.frames import Timeline

    timeline = film.window.annotate.findChild(Timeline)
    assert timeline is not None and timeline.isVisible()
    film.key(Key.Key_T, CTRL, SHIFT)
    assert not timeline.isVisible()
    assert settings.load()["timelines"] == ["off film"]
    film.key(Key.Key_T, CTRL, SHIFT)
    assert timeline.isVisible()
    assert not film.desk.problems


def test_pictures_that_are_no_film_have_no_timeline_until_a_track_begins(hand: Hand) -> None:
    from app.desktop.panels.frames import Timeline

    hand.open(1)
    timeline = hand.window.annotate.findChild(Timeline)
    assert timeline is not None
    hand.qtbot.waitUntil(lambda: bool(hand.window.annotate.sequence.frames.ids))
    assert not timeline.isVisible()
    hand.desk.choose_label("person")
    hand.key(Key.Key_R)
    hand.drag(300, 200, 380, 300)
    hand.key(Key.Key_T, ALT)
    hand.qtbot.waitUntil(timeline.isVisible)


def test_a_click_in_the_timeline_opens_the_frame_with_the_track_in_hand(film: Hand) -> None:
    from app.desktop.panels.frames import HEAD, Timeline

    draw_ball(film)
    film.key(Key.Key_T, ALT)
    film.settled()
    film.open(8)
    film.key(Key.Key_T, ALT, SHIFT)
    film.settled()
    timeline = film.window.annotate.findChild(Timeline)
    assert timeline is not None
    film.qtbot.waitUntil(lambda: any(len(t) == 8 for t in film.window.annotate.sequence.tracks.values()))
    x, y = timeline.x_of(3) + 2, HEAD + 8
    from PySide6.QtCore import QPoint
    from PySide6.QtTest import QTest

    QTest.mouseClick(timeline, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, QPoint(int(x), y))
    film.qtbot.waitUntil(lambda: film.ready(4) and len(film.doc.selection) == 1)
    assert marks.track(film.doc.chosen()[0]) == film.window.annotate.sequence.track
    assert not marks.is_key(film.doc.chosen()[0])


def test_a_long_sequence_shows_the_part_around_the_open_frame(film: Hand) -> None:
    from app.desktop.panels.frames import Timeline
    from app.services.frames import Frames

    timeline = film.window.annotate.findChild(Timeline)
    assert timeline is not None
    sequence = film.window.annotate.sequence
    ids = tuple(range(1, 20_001))
    sequence.frames = Frames(ids, tuple(f"{i}.png" for i in ids), True)
    film.doc.asset_id = 12_345
    first, wide = timeline.span()
    assert first < 12_344 < first + timeline.width() / wide
    assert timeline.frame_at(timeline.x_of(12_344) + 1) == 12_344
    timeline.grab()
    film.doc.asset_id = 1

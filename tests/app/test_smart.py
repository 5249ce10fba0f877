"""Copy forward, following by pixels, and promptable models, as services."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotation import geometry, marks, scenes
from annotation.core import Annotation, Box, Mask, Polygon, Tag
from annotation.errors import InvalidInput, NotFound
from app.events import Finished, Started, Warned
from app.services import frames, ingest, labelling, onnx, prelabel, smart
from app.services.workspace import Workspace
from models.promptable import Prompts
from tests.app.conftest import draw, enrol
from tests.models import toy_pairs

BOX = Annotation("person", Box(10, 10, 60, 60))


@pytest.fixture
def walk(ws: Workspace, tmp_path: Path) -> tuple[int, list[int], list[Box]]:
    """Sixteen frames of a block that moves over a drawn scene and is gone from frame 12 on; its true boxes."""
    ground = scenes.draw(3, (320, 240)).picture
    block = cv2.convertScaleAbs(scenes.draw(9, (300, 300)).picture[100:160, 100:150], alpha=1.7, beta=25)
    folder = tmp_path / "walk"
    folder.mkdir()
    truth = []
    for i in range(16):
        picture, x, y = ground.copy(), 30 + 6 * i, 60 + 2 * i
        if i < 12:
            picture[y : y + 60, x : x + 50] = block
        cv2.circle(picture, (8 + 16 * i, 232), 3, (255, 255, 255), -1)  # no two files alike
        cv2.imwrite(str(folder / f"{i:04d}.png"), picture)
        truth.append(Box(x, y, x + 50, y + 60))
    for event in ingest.run(ws, [folder], dataset="walk"):
        last = event
    assert isinstance(last, Finished)
    return 1, list(range(1, 17)), truth


def drawn(ws: Workspace, asset: int, *objects: Annotation) -> labelling.Page:
    return labelling.save(ws, labelling.load(ws, asset), objects, verb="draw")


# --- copy forward ------------------------------------------------------------------------------------------------


def test_objects_are_copied_to_the_next_pictures_in_one_step(ws: Workspace, tmp_path: Path) -> None:
    _, ids = enrol(ws, tmp_path, draw(tmp_path, 4))
    page = drawn(
        ws, ids[0], BOX, Annotation("fire", Tag()), Annotation("smoke", Mask(160, 96, (5, 10, 160 * 96 - 15)))
    )
    done = smart.copy_forward(ws, page, page.annotations, ids[1:])
    assert (done.objects, done.there, done.unfit) == (9, 0, 0)
    copies = labelling.load(ws, ids[2]).annotations
    assert [a.shape for a in sorted(copies, key=lambda a: a.label)] == [
        a.shape for a in sorted(page.annotations, key=lambda a: a.label)
    ]
    assert not {a.uid for a in copies} & {a.uid for a in page.annotations}
    assert labelling.undo(ws, done.page) is not None
    assert [labelling.load(ws, i).annotations for i in ids[1:]] == [(), (), ()]


def test_nothing_is_copied_where_it_is_already(ws: Workspace, tmp_path: Path) -> None:
    _, ids = enrol(ws, tmp_path, draw(tmp_path, 4))
    tracked = frames.begun(Annotation("helmet", Box(100, 10, 120, 30)))
    page = drawn(ws, ids[0], BOX, tracked, Annotation("fire", Tag()))
    drawn(ws, ids[1], Annotation("person", Box(14, 10, 60, 60)), Annotation("fire", Tag()))
    moved = marks.with_mark(Annotation("helmet", Box(10, 70, 30, 90)), "@track", marks.track(tracked))
    drawn(ws, ids[2], moved, Annotation("helmet", Box(10, 10, 60, 60)))
    done = smart.copy_forward(ws, page, page.annotations, ids[1:3])
    assert (done.objects, done.there) == (3, 3)
    assert sorted(a.label for a in labelling.load(ws, ids[1]).annotations) == ["fire", "helmet", "person"]
    assert sorted(a.label for a in labelling.load(ws, ids[2]).annotations) == [
        "fire",
        "helmet",
        "helmet",
        "person",
    ]
    again = smart.copy_forward(ws, done.page, page.annotations, ids[1:3])
    assert again.objects == 0 and again.page is done.page


def test_pictures_of_another_size_take_no_masks_and_nothing_outside(ws: Workspace, tmp_path: Path) -> None:
    small = tmp_path / "mixed"
    draw(small, 1)
    cv2.imwrite(str(small / "0001.jpg"), np.zeros((40, 40, 3), np.uint8))
    for _ in ingest.run(ws, [small], dataset="mixed"):
        pass
    page = drawn(
        ws,
        1,
        BOX,
        Annotation("smoke", Mask(160, 96, (5, 10, 160 * 96 - 15))),
        Annotation("person", Box(100, 50, 140, 90)),
    )
    done = smart.copy_forward(ws, page, page.annotations, [2])
    assert (done.objects, done.unfit) == (1, 2)


def test_a_copy_keeps_its_attributes_and_loses_its_links(ws: Workspace, tmp_path: Path) -> None:
    _, ids = enrol(ws, tmp_path, draw(tmp_path, 2))
    a = marks.with_links(
        Annotation("person", Box(1, 1, 9, 9), {"posture": "standing"}), [("wears", "0" * 32)]
    )
    page = drawn(ws, ids[0], a)
    smart.copy_forward(ws, page, page.annotations, [ids[1]])
    assert dict(labelling.load(ws, ids[1]).annotations[0].attributes) == {"posture": "standing"}


# --- following ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["template", "flow"])
def test_an_object_is_followed_until_it_is_gone_in_one_step(
    ws: Workspace, walk: tuple[int, list[int], list[Box]], method: str
) -> None:
    data, ids, truth = walk
    page = drawn(ws, ids[0], Annotation("person", truth[0], {"posture": "standing"}))
    events = list(smart.follow(ws, data, ids[0], [page.annotations[0].uid], method=method))  # type: ignore[arg-type]
    assert isinstance(events[0], Started)
    stopped = [e for e in events if isinstance(e, Warned)]
    assert len(stopped) == 1
    assert stopped[0].where.endswith("0012.png") and "stopped at frame 13" in stopped[0].what
    finished = events[-1]
    assert isinstance(finished, Finished) and finished.result["objects"] == 11
    found = frames.tracked(ws, frames.sequence_of(ws, data, ids[0]))
    assert len(found) == 1
    track = next(iter(found.values()))
    assert sorted(track) == list(range(12))
    assert sorted(frames.keys(track)) == [0]
    overlap = geometry.iou(
        geometry.boxes_array([track[i].shape for i in range(12)]), geometry.boxes_array(truth[:12])
    ).diagonal()
    assert overlap.min() > 0.8
    assert all(a.attributes["posture"] == "standing" and a.origin == "human" for a in track.values())
    assert labelling.history(ws, asset_id=ids[3])[0].verb == f"track: {method}"
    assert labelling.undo(ws, labelling.load(ws, ids[0])) is not None
    assert all(not labelling.load(ws, i).annotations for i in ids[1:])


def test_polygons_are_carried_and_masks_are_not_followed(
    ws: Workspace, walk: tuple[int, list[int], list[Box]]
) -> None:
    data, ids, truth = walk
    b = truth[0]
    ring = (b.x0, b.y0, b.x1, b.y0, b.x1, b.y1)
    page = drawn(
        ws,
        ids[0],
        Annotation("helmet", Polygon(((ring,),))),
        Annotation("smoke", Mask(320, 240, (5, 10, 320 * 240 - 15))),
    )
    uids = [a.uid for a in page.annotations]
    list(smart.follow(ws, data, ids[0], uids, ahead=3))
    polygon = labelling.load(ws, ids[3]).annotations
    assert len(polygon) == 1 and isinstance(polygon[0].shape, Polygon)
    mask = next(a.uid for a in page.annotations if isinstance(a.shape, Mask))
    with pytest.raises(InvalidInput, match="nothing here can be followed"):
        list(smart.follow(ws, data, ids[0], [mask]))


def test_following_ends_where_the_track_goes_on_already(
    ws: Workspace, walk: tuple[int, list[int], list[Box]]
) -> None:
    data, ids, truth = walk
    page = drawn(ws, ids[0], frames.begun(Annotation("person", truth[0])))
    track = marks.track(page.annotations[0])
    mine = frames.begun(marks.with_mark(Annotation("person", Box(1, 1, 20, 20)), "@track", track))
    drawn(ws, ids[4], mine)
    events = list(smart.follow(ws, data, ids[0], [page.annotations[0].uid]))
    assert isinstance(events[-1], Finished) and events[-1].result == {"objects": 3, "frames": 3, "stopped": 0}
    assert labelling.load(ws, ids[4]).annotations[0].shape == mine.shape


def test_what_a_person_does_while_objects_are_followed_stands(
    ws: Workspace, walk: tuple[int, list[int], list[Box]]
) -> None:
    data, ids, truth = walk
    page = drawn(
        ws, ids[0], frames.begun(Annotation("person", truth[0])), Annotation("helmet", truth[0]), BOX
    )
    plain, gone, tracked = sorted(page.annotations, key=lambda a: (a.label, marks.is_key(a)))
    work = smart.follow(ws, data, ids[0], [a.uid for a in page.annotations])
    next(work)
    next(work)
    moved = tuple(replace(a, label="vehicle", shape=Box(1, 1, 30, 30)) for a in (tracked, plain))
    drawn(ws, ids[0], *moved)
    there = drawn(ws, ids[1], marks.with_mark(Annotation("person", truth[1]), "@track", marks.track(tracked)))
    assert isinstance([*work][-1], Finished)
    now = {a.uid: a for a in labelling.load(ws, ids[0]).annotations}
    assert gone.uid not in now
    assert now[tracked.uid] == moved[0]
    assert now[plain.uid].shape == moved[1].shape and marks.is_key(now[plain.uid])
    assert there.annotations[0] in (second := labelling.load(ws, ids[1]).annotations)
    assert sorted(marks.track(a) or "" for a in second) == sorted(
        {marks.track(now[tracked.uid]) or "", marks.track(now[plain.uid]) or ""}
    )


def test_cancelled_following_writes_nothing(ws: Workspace, walk: tuple[int, list[int], list[Box]]) -> None:
    data, ids, truth = walk
    page = drawn(ws, ids[0], Annotation("person", truth[0]))
    work = smart.follow(ws, data, ids[0], [page.annotations[0].uid])
    for _ in range(5):
        next(work)
    work.close()
    assert all(not labelling.load(ws, i).annotations for i in ids[1:])
    assert marks.track(labelling.load(ws, ids[0]).annotations[0]) is None


def test_there_must_be_frames_and_a_way_to_follow(
    ws: Workspace, walk: tuple[int, list[int], list[Box]]
) -> None:
    data, ids, truth = walk
    page = drawn(ws, ids[-1], Annotation("person", truth[0]))
    with pytest.raises(InvalidInput, match="last frame"):
        list(smart.follow(ws, data, ids[-1], [page.annotations[0].uid]))
    with pytest.raises(InvalidInput, match="there is no way 'magic'"):
        list(smart.follow(ws, data, ids[-1], [], method="magic"))  # type: ignore[arg-type]


# --- promptable models -------------------------------------------------------------------------------------------


def test_a_pair_is_kept_by_its_digests_listed_and_opened(ws: Workspace, tmp_path: Path) -> None:
    encoder, decoder = toy_pairs.write(tmp_path, "sam2")
    row = onnx.add_pair(ws, encoder, decoder, name="sam")
    assert row.card.task == "promptable" and row.card.dialect == "sam2" and row.present
    assert row.encoder.name == f"{row.card.encoder_sha256}.onnx"
    assert onnx.add_pair(ws, encoder, decoder, name="sam") == row
    assert [p.name for p in onnx.pairs(ws)] == ["sam"]
    assert onnx.listing(ws) == [], "a detector's list holds detectors"
    pair = smart.open_pair(row)
    picture = np.full((90, 120, 3), 30, np.uint8)
    picture[30:60, 30:60] = 200
    found = pair.segment(pair.encode(picture), Prompts(((45, 45, True),)))
    assert found[0].region.area > 0
    row.decoder.unlink()
    with pytest.raises(InvalidInput, match="does not have the model's file"):
        smart.open_pair(onnx.pair(ws, "sam"))


def test_a_pair_is_no_detector_and_names_are_free_again_when_it_is_removed(
    ws: Workspace, tmp_path: Path
) -> None:
    encoder, decoder = toy_pairs.write(tmp_path, "edge")
    _, _ = enrol(ws, tmp_path, draw(tmp_path, 1))
    onnx.add_pair(ws, encoder, decoder, name="edge")
    with pytest.raises(NotFound):
        next(iter(prelabel.run(ws, "face-3", "edge")))
    with pytest.raises(InvalidInput, match="another model is called 'edge'"):
        onnx.add_pair(ws, *toy_pairs.write(tmp_path, "sam1"), name="edge")
    with pytest.raises(NotFound):
        onnx.remove(ws, "nothing")
    onnx.remove(ws, "edge")
    assert onnx.pairs(ws) == []
    onnx.add_demo(ws, name="edge")

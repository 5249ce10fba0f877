"""Sequences and tracks in the record: order of frames, key frames, what follows a correction, whole tracks; one step each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from annotation import marks
from annotation.core import Annotation, Box, new_uid
from annotation.errors import InvalidInput, NotFound
from app.services import frames, labelling
from app.services.labelling import Page
from app.services.workspace import Workspace
from tests.app.conftest import draw, enrol

N = 11


@pytest.fixture
def film(ws: Workspace, tmp_path: Path) -> tuple[int, list[int]]:
    """Eleven frames f8.jpg … f18.jpg in one folder, and one picture beside it."""
    folder = tmp_path / "cam"
    paths = [p.rename(p.with_name(f"f{i + 8}.jpg")) for i, p in enumerate(draw(folder / "a", N))]
    paths.sort()  # as the disk lists them: f10 before f8
    other = [p.rename(folder / "lone.jpg") for p in draw(folder, 1)]
    data, assets = enrol(ws, folder, [*paths, *other])
    by_name = dict(zip([p.name for p in paths], assets, strict=False))
    return data, [by_name[f"f{i + 8}.jpg"] for i in range(N)]


def key(box: Box, track: str, *, label: str = "person") -> Annotation:
    return frames.begun(marks.with_mark(Annotation(label, box), "@track", track))


def put(ws: Workspace, data: int, asset: int, *objects: Annotation) -> tuple[Page, tuple[int, ...]]:
    """A gesture that adds or changes objects of a picture."""
    page = labelling.load(ws, asset)
    new = {a.uid: a for a in objects}
    after = (*(new.pop(a.uid, a) for a in page.annotations), *new.values())
    return frames.save(ws, data, page, after, verb="draw")


def boxes(ws: Workspace, data: int, asset: int, track: str) -> dict[int, Box]:
    found = frames.tracked(ws, frames.sequence_of(ws, data, asset))
    out = {}
    for i, a in found.get(track, {}).items():
        assert isinstance(a.shape, Box)
        out[i] = a.shape
    return out


def test_frames_of_a_folder_come_in_natural_order(ws: Workspace, film: tuple[int, list[int]]) -> None:
    data, ids = film
    sequence = frames.sequence_of(ws, data, ids[3])
    assert list(sequence.ids) == ids
    assert [p.rpartition("/")[2] for p in sequence.paths] == [f"f{i + 8}.jpg" for i in range(N)]
    assert sequence.film
    assert sequence.at(ids[3]) == 3


def test_a_picture_of_another_folder_is_no_frame(ws: Workspace, film: tuple[int, list[int]]) -> None:
    data, ids = film
    lone = frames.sequence_of(ws, data, max(ids) + 1)
    assert lone.paths == ("lone.jpg",) and not lone.film
    with pytest.raises(NotFound):
        lone.at(ids[0])
    with pytest.raises(NotFound):
        frames.sequence_of(ws, data, 9_999)


def test_numbered_photographs_are_no_film(ws: Workspace, tmp_path: Path) -> None:
    paths = [p.rename(p.with_name(f"DSC_{i:04d}.jpg")) for i, p in enumerate(draw(tmp_path, 12))]
    data, ids = enrol(ws, tmp_path, paths)
    assert not frames.sequence_of(ws, data, ids[0]).film


def test_a_second_key_frame_fills_the_frames_between_in_one_step(
    ws: Workspace, film: tuple[int, list[int]]
) -> None:
    data, ids = film
    track = new_uid()
    put(ws, data, ids[0], key(Box(0, 0, 20, 20), track))
    page, touched = put(ws, data, ids[10], key(Box(100, 50, 120, 70), track))
    assert set(touched) == set(ids[1:])
    found = boxes(ws, data, ids[0], track)
    assert found[5] == Box(50, 25, 70, 45)
    assert sorted(found) == list(range(11))
    known = frames.tracked(ws, frames.sequence_of(ws, data, ids[0]))[track]
    assert sorted(frames.keys(known)) == [0, 10]
    assert labelling.undo(ws, page) is not None
    assert sorted(boxes(ws, data, ids[0], track)) == [0]


def test_correcting_an_interpolated_object_makes_a_key_frame_and_moves_its_neighbours(
    ws: Workspace, film: tuple[int, list[int]]
) -> None:
    data, ids = film
    track = new_uid()
    put(ws, data, ids[0], key(Box(0, 0, 20, 20), track))
    put(ws, data, ids[10], key(Box(100, 0, 120, 20), track))
    middle = next(a for a in labelling.load(ws, ids[4]).annotations if marks.track(a) == track)
    assert not marks.is_key(middle)
    page, _ = put(ws, data, ids[4], replace(middle, shape=Box(40, 40, 60, 60)))
    assert marks.is_key(page.annotations[0]) and page.annotations[0].uid == middle.uid
    found = boxes(ws, data, ids[0], track)
    assert found[2] == Box(20, 20, 40, 40)
    assert found[7] == Box(70, 20, 90, 40)
    assert labelling.undo(ws, page) is not None
    assert boxes(ws, data, ids[0], track)[2] == Box(20, 0, 40, 20)


def test_followed_frames_keep_their_own_motion_when_one_is_corrected(
    ws: Workspace, film: tuple[int, list[int]]
) -> None:
    data, ids = film
    track = new_uid()
    put(ws, data, ids[0], key(Box(0, 0, 20, 20), track))
    for i in range(1, 9):  # as tracking leaves them: a jump at frame 3, no key frames
        y = 30.0 if i >= 3 else 0.0
        a = marks.with_mark(Annotation("person", Box(i * 5, y, i * 5 + 20, y + 20)), "@track", track)
        page = labelling.load(ws, ids[i])
        labelling.save(ws, page, (*page.annotations, a), verb="track: template")
    last = labelling.load(ws, ids[8]).annotations[0]
    put(ws, data, ids[8], replace(last, shape=Box(48, 30, 68, 50)))
    found = boxes(ws, data, ids[0], track)
    assert found[8] == Box(48, 30, 68, 50)
    assert found[4] == Box(24, 30, 44, 50)
    assert found[2] == Box(12, 0, 32, 20)


def test_a_frame_whose_object_was_deleted_stays_empty(ws: Workspace, film: tuple[int, list[int]]) -> None:
    data, ids = film
    track = new_uid()
    put(ws, data, ids[0], key(Box(0, 0, 20, 20), track))
    put(ws, data, ids[10], key(Box(100, 0, 120, 20), track))
    frames.save(ws, data, labelling.load(ws, ids[5]), (), verb="delete")
    assert 5 not in boxes(ws, data, ids[0], track)
    end = labelling.load(ws, ids[10]).annotations[0]
    put(ws, data, ids[10], replace(end, shape=Box(100, 50, 120, 70)))
    found = boxes(ws, data, ids[0], track)
    assert 5 not in found and found[4] == Box(40, 20, 60, 40)


def test_a_new_class_is_the_whole_tracks(ws: Workspace, film: tuple[int, list[int]]) -> None:
    data, ids = film
    track = new_uid()
    put(ws, data, ids[0], key(Box(0, 0, 20, 20), track))
    put(ws, data, ids[3], key(Box(30, 0, 50, 20), track))
    one = labelling.load(ws, ids[1]).annotations[0]
    page, _ = put(ws, data, ids[1], replace(one, label="helmet"))
    known = frames.tracked(ws, frames.sequence_of(ws, data, ids[0]))[track]
    assert {a.label for a in known.values()} == {"helmet"}
    assert sorted(frames.keys(known)) == [0, 3], "a class alone makes no key frame"
    labelling.undo(ws, page)
    known = frames.tracked(ws, frames.sequence_of(ws, data, ids[0]))[track]
    assert {a.label for a in known.values()} == {"person"}


def test_a_track_goes_on_where_a_person_takes_it_up(ws: Workspace, film: tuple[int, list[int]]) -> None:
    data, ids = film
    track = new_uid()
    put(ws, data, ids[2], key(Box(0, 0, 20, 20), track))
    frames.proceed(ws, data, labelling.load(ws, ids[6]), track)
    found = boxes(ws, data, ids[0], track)
    assert sorted(found) == [2, 3, 4, 5, 6]
    with pytest.raises(InvalidInput, match="already"):
        frames.proceed(ws, data, labelling.load(ws, ids[6]), track)
    with pytest.raises(NotFound):
        frames.proceed(ws, data, labelling.load(ws, ids[9]), new_uid())


def test_a_key_frame_is_set_and_taken_back(ws: Workspace, film: tuple[int, list[int]]) -> None:
    data, ids = film
    page = labelling.load(ws, ids[0])
    page = labelling.save(ws, page, (Annotation("person", Box(0, 0, 20, 20)),), verb="draw")
    page, _ = frames.toggle_key(ws, data, page, [page.annotations[0].uid])
    one = page.annotations[0]
    track = marks.track(one)
    assert track and marks.is_key(one)
    with pytest.raises(InvalidInput, match="only key frame"):
        frames.toggle_key(ws, data, page, [one.uid])
    put(ws, data, ids[4], key(Box(40, 40, 60, 60), track))
    put(ws, data, ids[8], key(Box(80, 0, 100, 20), track))
    page = labelling.load(ws, ids[4])
    page, _ = frames.toggle_key(ws, data, page, [page.annotations[0].uid])
    assert not marks.is_key(page.annotations[0])
    assert boxes(ws, data, ids[0], track)[4] == Box(40, 0, 60, 20)
    assert boxes(ws, data, ids[0], track)[2] == Box(20, 0, 40, 20)


def test_deleting_onward_keeps_what_lies_before(ws: Workspace, film: tuple[int, list[int]]) -> None:
    data, ids = film
    track = new_uid()
    put(ws, data, ids[0], key(Box(0, 0, 20, 20), track))
    put(ws, data, ids[10], key(Box(100, 0, 120, 20), track))
    page, _ = frames.delete_onward(ws, data, labelling.load(ws, ids[6]), [track])
    found = boxes(ws, data, ids[0], track)
    assert sorted(found) == [0, 1, 2, 3, 4, 5]
    assert found[5] == Box(50, 0, 70, 20)
    known = frames.tracked(ws, frames.sequence_of(ws, data, ids[0]))[track]
    assert sorted(frames.keys(known)) == [0, 5]
    labelling.undo(ws, page)
    assert len(boxes(ws, data, ids[0], track)) == 11


def test_a_track_is_split_and_joined_again(ws: Workspace, film: tuple[int, list[int]]) -> None:
    data, ids = film
    track = new_uid()
    put(ws, data, ids[0], key(Box(0, 0, 20, 20), track))
    put(ws, data, ids[10], key(Box(100, 0, 120, 20), track))
    page, _ = frames.split(ws, data, labelling.load(ws, ids[5]), [track])
    known = frames.tracked(ws, frames.sequence_of(ws, data, ids[0]))
    assert [sorted(t) for t in known.values()] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 10]]
    assert [sorted(frames.keys(t)) for t in known.values()] == [[0, 4], [5, 10]]
    first, second = known
    with pytest.raises(InvalidInput, match="does not go over"):
        frames.split(ws, data, page, [second])
    frames.merge(ws, data, page, first, second)
    known = frames.tracked(ws, frames.sequence_of(ws, data, ids[0]))
    assert [sorted(t) for t in known.values()] == [list(range(11))]


def test_joining_fills_the_gap_and_refuses_what_cannot_be_one_object(
    ws: Workspace, film: tuple[int, list[int]]
) -> None:
    data, ids = film
    a, b, c = new_uid(), new_uid(), new_uid()
    put(ws, data, ids[0], key(Box(0, 0, 20, 20), a))
    put(ws, data, ids[4], key(Box(40, 0, 60, 20), b), key(Box(0, 60, 9, 69), c, label="helmet"))
    page = labelling.load(ws, ids[4])
    with pytest.raises(InvalidInput, match="different classes"):
        frames.merge(ws, data, page, a, c)
    with pytest.raises(InvalidInput, match="both tracks are on this picture"):
        frames.merge(ws, data, page, b, c)
    frames.merge(ws, data, page, a, b)
    assert boxes(ws, data, ids[0], a)[2] == Box(20, 0, 40, 20)


def test_an_object_without_a_track_is_saved_on_its_picture_alone(
    ws: Workspace, film: tuple[int, list[int]]
) -> None:
    data, ids = film
    a = Annotation("person", Box(1, 1, 9, 9))
    page, touched = put(ws, data, ids[0], a)
    assert touched == (ids[0],)
    assert page.annotations == (a,)

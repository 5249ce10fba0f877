"""Tracks: key frames stay as they are, what lies between lies between, and an absent object is not made up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation import geometry, marks, rows, tracks
from annotation.core import (
    Annotation,
    Box,
    Cuboid,
    Ellipse,
    Keypoints,
    Mask,
    Points,
    Polygon,
    Polyline,
    Quad,
    RotatedBox,
    Shape,
    Tag,
)
from annotation.errors import InvalidInput
from tests.annotation.strategies import (
    annotations,
    boxes,
    coords,
    ellipses,
    keypoints,
    patient,
    polygons,
    rotated_boxes,
)

TRACK = "ab" * 16
SQUARE = (0.0, 0.0, 10.0, 0.0, 10.0, 10.0, 0.0, 10.0)


def key(shape: Shape, **more: object) -> Annotation:
    a = Annotation("person", shape, {"unsure": True}, **more)  # type: ignore[arg-type]
    return marks.with_mark(marks.with_mark(a, "@track", TRACK), "@key", True)


def pair_of(shapes: st.SearchStrategy[Shape]) -> st.SearchStrategy[tuple[Shape, Shape]]:
    return st.tuples(shapes, shapes)


pairs: st.SearchStrategy[tuple[Shape, Shape]] = st.one_of(
    *(pair_of(s) for s in (boxes(), rotated_boxes, ellipses, polygons, keypoints(), coords(4, 4).map(Quad),
                           coords(8, 8).map(Cuboid), coords(2).map(Polyline), coords(1).map(Points)))
)  # fmt: skip
shares = st.floats(0, 1)


@patient
@given(pairs, shares)
def test_what_lies_between_is_of_the_same_kind_and_can_be_stored(pair: tuple[Shape, Shape], t: float) -> None:
    found = tracks.interpolate(*pair, t)
    assert type(found) is type(pair[0])
    rows.to_row(found)
    assert tracks.interpolate(*pair, t) == found


@patient
@given(pairs)
def test_at_the_ends_it_is_the_key_frames_own_shape(pair: tuple[Shape, Shape]) -> None:
    for t, shape in ((0.0, pair[0]), (1.0, pair[1])):
        found, want = geometry.bbox(tracks.interpolate(*pair, t)), geometry.bbox(shape)
        if t == 1.0 and not _matches(*pair):
            continue
        assert (found is None) == (want is None)
        if found is not None and want is not None:
            assert (found.x0, found.y0, found.x1, found.y1) == pytest.approx(
                (want.x0, want.y0, want.x1, want.y1), abs=1e-3, rel=1e-6
            )


def _matches(a: Shape, b: Shape) -> bool:
    match a, b:
        case Points(), Points():
            return len(a.points) == len(b.points)
        case Keypoints(), Keypoints():
            return len(a.visibility) == len(b.visibility) and all(a.visibility) and all(b.visibility)
        case Polygon(), Polygon():
            return [len(p) for p in a.parts] == [len(p) for p in b.parts]
        case _:
            return True


@patient
@given(boxes(), boxes(), shares, shares)
def test_every_side_of_a_box_goes_steadily_from_one_place_to_the_other(
    a: Box, b: Box, s: float, t: float
) -> None:
    s, t = sorted((s, t))
    early, late = tracks.interpolate(a, b, s), tracks.interpolate(a, b, t)
    assert isinstance(early, Box)
    assert isinstance(late, Box)
    for side in ("x0", "y0", "x1", "y1"):
        start, one, two, end = (getattr(box, side) for box in (a, early, late, b))
        slack = 1e-6 * max(1.0, abs(start), abs(end))
        if start <= end:
            assert start - slack <= one <= two + slack <= end + 2 * slack
        else:
            assert start + slack >= one >= two - slack >= end - 2 * slack
    assert late.x0 <= late.x1 + 1e-6


@pytest.mark.parametrize(
    ("a", "b", "half"), [(10, 50, 30), (350, 10, 0), (10, 350, 0), (0, 180, 90), (90, 280, 5), (-10, 370, 0)]
)
def test_a_turned_box_takes_the_shorter_turn(a: float, b: float, half: float) -> None:
    found = tracks.interpolate(RotatedBox(0, 0, 4, 2, a), RotatedBox(9, 0, 4, 2, b), 0.5)
    assert isinstance(found, RotatedBox)
    assert (found.degrees - half + 180) % 360 - 180 == pytest.approx(0, abs=1e-9)


def test_an_ellipse_looks_the_same_after_half_a_turn() -> None:
    found = tracks.interpolate(Ellipse(0, 0, 4, 2, 170), Ellipse(0, 0, 4, 2, 10), 0.5)
    assert isinstance(found, Ellipse)
    assert found.degrees == pytest.approx(0)


def test_a_polygon_of_as_many_points_goes_vertex_by_vertex() -> None:
    other = tuple(v + 10 for v in SQUARE)
    half = tracks.interpolate(Polygon(((SQUARE,),)), Polygon(((other,),)), 0.5)
    assert half == Polygon(((tuple(v + 5 for v in SQUARE),),))


@patient
@given(st.integers(0, 7), st.booleans(), st.floats(0.05, 0.95))
def test_a_ring_of_more_points_begun_elsewhere_or_run_backwards_does_not_twist(
    start: int, backwards: bool, t: float
) -> None:
    more = [(100.0, 50.0), (105, 50), (110, 50), (110, 55), (110, 60), (105, 60), (100, 60), (100, 55)]
    ring = more[start:] + more[:start]
    ring = ring[::-1] if backwards else ring
    found = tracks.interpolate(Polygon(((SQUARE,),)), Polygon(((tuple(c for p in ring for c in p),),)), t)
    assert geometry.area(found) == pytest.approx(100, rel=1e-6)
    box = geometry.bbox(found)
    assert box is not None
    assert (box.x0, box.y0) == (pytest.approx(100 * t), pytest.approx(50 * t))


def test_a_line_of_more_points_keeps_the_vertices_of_both() -> None:
    found = tracks.interpolate(Polyline((0, 0, 10, 0)), Polyline((0, 10, 5, 20, 10, 10)), 0.5)
    assert found == Polyline((0, 5, 5, 10, 10, 5))


def test_a_keypoint_absent_on_one_side_stays_as_before() -> None:
    a, b = Keypoints((0, 0, 4, 4, 6, 6), (2, 0, 1)), Keypoints((10, 0, 8, 8, 0, 0), (1, 2, 0))
    assert tracks.interpolate(a, b, 0.5) == Keypoints((5, 0, 4, 4, 6, 6), (2, 0, 1))


def test_what_cannot_be_matched_stays_as_before() -> None:
    mask, other = Mask(2, 2, (1, 3)), Mask(2, 2, (2, 2))
    assert tracks.interpolate(mask, other, 0.5) == mask
    one, two = Polygon(((SQUARE,),)), Polygon(((SQUARE,), (SQUARE,)))
    assert tracks.interpolate(one, two, 0.5) == one
    assert tracks.interpolate(Points((1, 1)), Points((1, 1, 2, 2)), 0.5) == Points((1, 1))


# ---------------------------------------------------------------------------------------------------------------


def test_only_the_frames_between_keys_are_filled_and_say_so() -> None:
    found = tracks.fill(
        {2: key(Box(0, 0, 10, 10)), 6: key(Box(40, 0, 50, 10)), 8: key(Box(40, 20, 50, 30))}, 100
    )
    assert sorted(found) == [3, 4, 5, 7]
    assert found[4].shape == Box(20, 0, 30, 10)
    assert found[7].shape == Box(40, 10, 50, 20)
    for a in found.values():
        assert (marks.track(a), marks.is_key(a), a.label) == (TRACK, False, "person")
        assert marks.plain(a.attributes) == {"unsure": True}
    assert len({a.uid for a in found.values()}) == 4


def test_an_absent_object_is_not_made_up() -> None:
    first, last = key(Box(0, 0, 10, 10)), key(Box(40, 0, 50, 10))
    ended = marks.with_mark(first, "@end", True)
    assert tracks.fill({0: ended, 9: last}, 10) == {}
    found = tracks.fill({0: first, 3: None, 7: last, 9: last}, 10)
    assert sorted(found) == [1, 2, 8]
    assert {found[i].shape for i in (1, 2)} == {first.shape}
    assert tracks.fill({}, 10) == tracks.fill({4: first}, 10) == tracks.fill({4: None}, 10) == {}


def test_between_a_person_and_a_model_lies_a_prediction_with_the_lower_score() -> None:
    sure, guess = key(Box(0, 0, 9, 9)), key(Box(9, 0, 18, 9), origin="model", score=0.5)
    better = replace(guess, score=0.75)
    for a, b, want in ((sure, guess, ("model", 0.5)), (guess, better, ("model", 0.5)), (sure, sure, ("human", None)), (guess, sure, ("model", 0.5))):  # fmt: skip
        (found,) = tracks.fill({0: a, 2: b}, 3).values()
        assert (found.origin, found.score) == want


def test_key_frames_that_do_not_go_together_are_refused() -> None:
    a = key(Box(0, 0, 9, 9))
    for frames in (
        {0: a, 2: key(Quad(SQUARE))}, {0: a, 2: marks.with_mark(a, "@track", "cd" * 16)}, {0: marks.with_mark(a, "@track", None)}, {-1: a}, {3: a},
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            tracks.fill(frames, 3)


@patient
@given(
    st.dictionaries(
        st.integers(0, 30), st.none() | annotations(st.just("person"), boxes() | st.just(Tag())), max_size=6
    )
)
def test_a_filled_track_never_touches_its_keys_and_is_the_same_each_time(
    frames: dict[int, Annotation | None],
) -> None:
    same = {
        i: None if a is None or isinstance(a.shape, Tag) else marks.with_mark(a, "@track", TRACK)
        for i, a in frames.items()
    }
    copy = dict(same)
    once, again = tracks.fill(same, 31), tracks.fill(same, 31)
    assert same == copy
    assert not set(once) & set(same)
    assert {i: (a.shape, a.attributes) for i, a in once.items()} == {
        i: (a.shape, a.attributes) for i, a in again.items()
    }
    for i, a in once.items():
        before = max(k for k in same if k < i)
        key_before = same[before]
        assert key_before is not None
        assert not marks.is_end(key_before)
        assert rows.snapped(a.shape) == a.shape

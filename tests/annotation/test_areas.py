"""Areas put together, cut and tidied: nothing is won or lost that was not asked for, and masks stay masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation import areas, edits, geometry, marks, raster, rle, rows
from annotation.core import (
    Annotation,
    AnnotationSet,
    Box,
    Ellipse,
    Mask,
    Points,
    Polygon,
    Polyline,
    Shape,
    Tag,
)
from annotation.errors import InvalidInput, NotFound
from tests.annotation.strategies import masks, patient

SQUARE = (0.0, 0.0, 10.0, 0.0, 10.0, 10.0, 0.0, 10.0)
HOLE = (2.0, 2.0, 8.0, 2.0, 8.0, 8.0, 2.0, 8.0)
small = st.integers(-20, 20).map(float)
rings = st.lists(st.tuples(small, small), min_size=3, max_size=8).map(
    lambda ps: tuple(c for p in ps for c in p)
)
blobs = st.lists(rings.map(lambda r: (r,)), min_size=1, max_size=2).map(lambda parts: Polygon(tuple(parts)))


def uid(n: int) -> str:
    return f"{n:032x}"


def put(*shapes: Shape) -> AnnotationSet:
    return tuple(Annotation("person", shape, uid=uid(n)) for n, shape in enumerate(shapes, 1))


def covered(shape: Shape) -> float:
    """The area that a shape covers, whatever crosses in it."""
    outline = geometry.outline(shape)
    return float(geometry.to_shapely(outline).area) if outline else geometry.area(shape)


def or_none(how: raster.Op, a: Shape, b: Shape) -> float:
    try:
        return geometry.area(areas.combined(how, a, b))
    except InvalidInput as error:
        assert "nothing would be left" in error.line
        return 0.0


@patient
@given(blobs, blobs)
def test_union_cut_and_rest_add_up(a: Polygon, b: Polygon) -> None:
    both, shared, rest = (or_none(how, a, b) for how in ("union", "intersect", "subtract"))  # type: ignore[arg-type]
    assert both + shared == pytest.approx(covered(a) + covered(b), abs=0.1)
    assert rest == pytest.approx(covered(a) - shared, abs=0.1)


@st.composite
def two_masks(draw: st.DrawFn) -> tuple[Mask, Mask]:
    first = draw(masks())
    bits = draw(st.lists(st.booleans(), min_size=first.w * first.h, max_size=first.w * first.h))
    return first, rle.encode(np.array(bits).reshape(first.h, first.w))


@patient
@given(two_masks())
def test_masks_are_put_together_pixel_by_pixel(pair: tuple[Mask, Mask]) -> None:
    a, b = (rle.decode(m) for m in pair)
    for how, want in (("union", a | b), ("subtract", a & ~b & 1), ("intersect", a & b)):
        assert (rle.decode(raster.combined(how, *pair)) == want).all()  # type: ignore[arg-type]


def test_where_a_mask_takes_part_the_result_is_a_mask() -> None:
    mask = raster.to_mask(Box(0, 0, 10, 10), width=40, height=40)
    for found in (put(mask, Box(5, 0, 15, 10)), put(Box(5, 0, 15, 10), mask)):
        (a,) = areas.union(found, [uid(1), uid(2)])
        assert isinstance(a.shape, Mask)
        assert a.uid == uid(1)
        assert geometry.area(a.shape) == 150
    assert raster.combined("union", mask) == mask
    with pytest.raises(InvalidInput, match="different sizes"):
        raster.combined("union", mask, Mask(2, 2, (0, 4)))


def test_the_first_chosen_keeps_its_name_and_the_others_go() -> None:
    found = put(Box(0, 0, 10, 10), Box(5, 0, 15, 10), Box(90, 90, 99, 99))
    (a, b) = areas.union(found, [uid(2), uid(1)])
    assert (a.uid, b.uid) == (uid(2), uid(3))
    assert geometry.area(a.shape) == 150
    (c, _) = areas.intersect(found, [uid(1), uid(2)])
    assert geometry.area(c.shape) == 50
    first, second, _ = areas.subtract(found, uid(1), [uid(2), uid(1)])
    assert geometry.area(first.shape) == 50
    assert second == found[1]


def test_what_leaves_nothing_or_has_no_area_is_refused() -> None:
    found = put(Box(0, 0, 10, 10), Box(50, 50, 60, 60), Polyline((0, 0, 9, 9)), Tag())
    for call in (
        lambda: areas.intersect(found, [uid(1), uid(2)]),
        lambda: areas.subtract(put(Box(0, 0, 1, 1), Box(-9, -9, 99, 99)), uid(1), [uid(2)]),
        lambda: areas.union(found, [uid(1), uid(1)]),
        lambda: areas.union(found, [uid(1), uid(3)]),
        lambda: areas.join(found, [uid(1), uid(4)]),
        lambda: areas.cut(found, [uid(3)], (0, 9, 9, 0)),
        lambda: areas.add_hole(found, uid(4), HOLE),
        lambda: areas.add_part(found, uid(3), HOLE),
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            call()
    with pytest.raises(NotFound):
        areas.union(found, [uid(1), uid(9)])


# ---------------------------------------------------------------------------------------------------------------


def test_areas_joined_become_parts_as_they_were_drawn_and_split_apart_again() -> None:
    far = tuple(v + 50 for v in SQUARE)
    found = put(Polygon(((SQUARE, HOLE),)), Box(50, 50, 60, 60), Points((1, 2)))
    joined = areas.join(found, [uid(1), uid(2)])
    assert joined[0].shape == Polygon(((SQUARE, HOLE), (far,)))
    after, (new,) = areas.split(joined, uid(1))
    assert edits.find(after, uid(1)).shape == Polygon(((far,),)), "the largest part keeps the name"
    assert edits.find(after, new).shape == Polygon(((SQUARE, HOLE),))


@pytest.mark.parametrize(
    ("a", "b", "want"),
    [
        ((0, 0, 5, 0), (5, 0, 9, 0), (0, 0, 5, 0, 9, 0)),
        ((0, 0, 5, 0), (9, 0, 6, 0), (0, 0, 5, 0, 6, 0, 9, 0)),
        ((5, 0, 0, 0), (6, 0, 9, 0), (0, 0, 5, 0, 6, 0, 9, 0)),
        ((5, 0, 9, 0), (0, 0, 4, 0), (0, 0, 4, 0, 5, 0, 9, 0)),
    ],
)
def test_lines_are_tied_at_their_nearer_ends(
    a: tuple[float, ...], b: tuple[float, ...], want: object
) -> None:
    (line,) = areas.join(put(Polyline(a), Polyline(b)), [uid(1), uid(2)])
    assert isinstance(line.shape, Polyline)
    assert want in (line.shape.points, areas._reversed(line.shape.points))


@patient
@given(st.lists(st.lists(st.tuples(small, small), min_size=2, max_size=4), min_size=2, max_size=4))
def test_a_joined_line_holds_every_point_of_its_lines(lines: list[list[tuple[float, float]]]) -> None:
    found = put(*(Polyline(tuple(c for p in line for c in p)) for line in lines))
    (a,) = areas.join(found, [x.uid for x in found])
    assert isinstance(a.shape, Polyline)
    assert set(geometry.pairs(a.shape.points)) == {p for line in lines for p in line}


def test_points_lie_together_and_part_again() -> None:
    found = areas.join(put(Points((1, 1, 2, 2)), Points((3, 3))), [uid(1), uid(2)])
    after, new = areas.split(found, uid(1))
    assert {a.shape for a in after} == {Points((1, 1)), Points((2, 2)), Points((3, 3))}
    assert len(new) == 2


# ---------------------------------------------------------------------------------------------------------------


@patient
@given(blobs, small, small, st.floats(0, math.pi))
def test_cutting_loses_no_area_and_the_pieces_do_not_overlap(
    a: Polygon, x: float, y: float, turn: float
) -> None:
    dx, dy = 99 * math.cos(turn), 99 * math.sin(turn)
    before = edits.add((), *put(a))
    try:
        after, new = areas.cut(before, [uid(1)], (x - dx, y - dy, x + dx, y + dy))
    except InvalidInput as error:
        assert "nothing was cut" in error.line
        return
    assert len(after) == 1 + len(new) >= 2
    for piece in after:
        assert rows.snapped(piece.shape) == piece.shape
    if len(a.parts) == 1:
        assert sum(covered(p.shape) for p in after) == pytest.approx(covered(a), abs=0.1)
        sizes = [geometry.area(p.shape) for p in after if p.uid in new]
        assert max(sizes) <= geometry.area(edits.find(after, uid(1)).shape) + 1e-6


@patient
@given(masks(side=14), st.integers(-3, 17), st.integers(-3, 17), st.floats(0, math.pi))
def test_a_cut_mask_gives_every_pixel_to_one_piece(mask: Mask, x: int, y: int, turn: float) -> None:
    dx, dy = 99 * math.cos(turn), 99 * math.sin(turn)
    try:
        after, _ = areas.cut(put(mask), [uid(1)], (x - dx, y - dy, x + dx, y + dy))
    except InvalidInput as error:
        assert "nothing was cut" in error.line
        return
    total = sum(rle.decode(a.shape).astype(int) for a in after if isinstance(a.shape, Mask))
    assert (total == rle.decode(mask)).all()


def test_a_cut_keeps_the_name_for_the_largest_piece_and_gives_the_others_fresh_ones() -> None:
    a = marks.with_mark(put(Polygon(((SQUARE,), (tuple(v + 50 for v in SQUARE),))))[0], "@track", uid(7))
    after, (new,) = areas.cut((a,), [uid(1)], (3, -5, 3, 15))
    kept, piece = edits.find(after, uid(1)), edits.find(after, new)
    assert geometry.area(kept.shape) == 70 + 100, "parts that were not cut stay with the largest piece"
    assert geometry.area(piece.shape) == 30
    assert (marks.track(kept), marks.track(piece)) == (uid(7), None)
    assert piece.label == a.label


def test_a_line_that_ends_inside_or_passes_by_cuts_nothing() -> None:
    for line in ((3, -5, 3, 5), (20, 0, 20, 10)):
        for shape in (Box(0, 0, 10, 10), raster.to_mask(Box(0, 0, 10, 10), width=20, height=20)):
            with pytest.raises(InvalidInput, match="nothing was cut"):
                areas.cut(put(shape), [uid(1)], line)
    with pytest.raises(InvalidInput, match="two points"):
        areas.cut(put(Box(0, 0, 1, 1)), [uid(1)], (1, 1))


@patient
@given(masks(side=14))
def test_the_patches_of_a_mask_are_its_pixels_each_once(mask: Mask) -> None:
    try:
        after, _ = areas.split(put(mask), uid(1))
    except InvalidInput as error:
        assert "one piece" in error.line
        return
    total = sum(rle.decode(a.shape).astype(int) for a in after if isinstance(a.shape, Mask))
    assert (total == rle.decode(mask)).all()
    with pytest.raises(InvalidInput):
        areas.split(after, after[0].uid)


def test_a_mask_of_specks_is_not_split_into_thousands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(areas, "MAX_PIECES", 3)
    with pytest.raises(InvalidInput, match="5 patches"):
        areas.split(put(rle.encode(np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]]))), uid(1))


# ---------------------------------------------------------------------------------------------------------------


def test_a_hole_inside_is_kept_as_drawn_and_filled_again() -> None:
    before = put(Polygon(((SQUARE,),)))
    after = areas.add_hole(before, uid(1), HOLE)
    assert after[0].shape == Polygon(((SQUARE, HOLE),))
    assert areas.fill_holes(after, [uid(1)]) == before
    with pytest.raises(InvalidInput, match="outside"):
        areas.add_hole(before, uid(1), tuple(v + 90 for v in HOLE))


def test_a_hole_over_the_border_is_a_bite_and_one_over_a_hole_widens_it() -> None:
    bite = areas.add_hole(put(Box(0, 0, 10, 10)), uid(1), (8, 2, 12, 2, 12, 8, 8, 8))
    assert geometry.area(bite[0].shape) == 88
    wide = areas.add_hole(put(Polygon(((SQUARE, HOLE),))), uid(1), (1, 1, 5, 1, 5, 5, 1, 5))
    assert geometry.area(wide[0].shape) == 64 - (16 - 9)
    mask = areas.add_hole(put(raster.to_mask(Box(0, 0, 10, 10), width=20, height=20)), uid(1), HOLE)
    assert isinstance(mask[0].shape, Mask)
    assert geometry.area(mask[0].shape) == 64


def test_a_part_apart_is_added_as_drawn_and_one_that_touches_is_united() -> None:
    far = tuple(v + 50 for v in SQUARE)
    found = areas.add_part(put(Polygon(((SQUARE,),))), uid(1), far)
    assert found[0].shape == Polygon(((SQUARE,), (far,)))
    near = areas.add_part(put(Polygon(((SQUARE,),))), uid(1), tuple(v + 5 for v in SQUARE))
    assert isinstance(near[0].shape, Polygon)
    assert len(near[0].shape.parts) == 1
    assert geometry.area(near[0].shape) == 175


@patient
@given(masks(side=12))
def test_a_filled_mask_holds_the_old_one_and_has_no_hole_left(mask: Mask) -> None:
    after = areas.filled(mask)
    assert isinstance(after, Mask)
    assert (rle.decode(after) >= rle.decode(mask)).all()
    assert areas.filled(after) == after
    outline = raster.to_polygon(after)
    assert outline is None or all(len(part) == 1 for part in outline.parts)


# ---------------------------------------------------------------------------------------------------------------


@patient
@given(st.one_of(blobs, rings.map(Polyline)), st.floats(0.01, 20))
def test_simplifying_adds_no_point_and_strays_no_farther_than_it_may(shape: Shape, tolerance: float) -> None:
    before = edits.add((), *put(shape))
    after, n, m = areas.simplify(before, [uid(1)], tolerance)
    assert (n, m) == (areas.points_of(before[0].shape), areas.points_of(after[0].shape))
    assert m <= n
    for x, y in geometry.pairs(edits_points(after[0].shape)):
        assert geometry.distance(shape, x, y) < 0.01, "points are taken away, never moved"
    if isinstance(shape, Polyline):
        for x, y in geometry.pairs(shape.points):
            assert geometry.distance(after[0].shape, x, y) <= tolerance + 0.01


def edits_points(shape: Shape) -> tuple[float, ...]:
    if isinstance(shape, Polygon):
        return tuple(c for part in shape.parts for ring in part for c in ring)
    assert isinstance(shape, Polyline)
    return shape.points


def test_a_circle_of_many_points_is_drawn_with_few_and_says_how_many() -> None:
    ring = geometry.ellipse_ring(Ellipse(0, 0, 500, 500))
    after, n, m = areas.simplify(put(Polygon(((ring,),)), Box(0, 0, 1, 1)), [uid(1), uid(2)], 5)
    assert n == len(ring) // 2
    assert 8 <= m < 40
    assert after[1].shape == Box(0, 0, 1, 1)

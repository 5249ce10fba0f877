"""Shapes: the record's integer form is stable; measures, clipping, hits and rasters agree with each other."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation import canonical, geometry, raster, rle, rows
from annotation.core import (
    Box,
    Caption,
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
from tests.annotation.strategies import boxes, masks, patient, polygons, shapes

SQUARE = (0.0, 0.0, 10.0, 0.0, 10.0, 10.0, 0.0, 10.0)
HOLE = (2.0, 2.0, 8.0, 2.0, 8.0, 8.0, 2.0, 8.0)


@patient
@given(shapes)
def test_a_row_read_and_written_again_is_the_same_row(shape: Shape) -> None:
    row = rows.to_row(shape)
    again = rows.from_row(*row)
    assert type(again) is type(shape)
    assert rows.to_row(again) == row
    assert rows.snapped(again) == again
    assert row[2] is None or canonical.encode(json.loads(row[2])).decode() == row[2]


@patient
@given(shapes)
def test_a_rows_box_is_the_bounding_box_in_thousandths(shape: Shape) -> None:
    _, box, _ = rows.to_row(shape)
    found = geometry.bbox(shape)
    assert (box is None) == (found is None)
    if box is not None and found is not None:
        for k, v in zip(box, (found.x0, found.y0, found.x1, found.y1), strict=True):
            assert abs(k - v * 1000) <= 7  # half a micro-degree at 500,000 px is 4.4


@pytest.mark.parametrize(
    ("shape", "row"),
    [
        (Box(0, 1.5, 2, 3), ("box", (0, 1500, 2000, 3000), None)),
        (RotatedBox(5, 5, 4, 2, 90), ("rotated_box", (4000, 3000, 6000, 7000), "[5000,5000,4000,2000,90000000]")),
        (Quad((1, 0, 2, 1, 1, 2, -1, 9)), ("quad", (-1000, 0, 2000, 9000), "[1000,0,2000,1000,1000,2000,-1000,9000]")),
        (Ellipse(5, 5, 4, 2), ("ellipse", (1000, 3000, 9000, 7000), "[5000,5000,4000,2000,0]")),
        (Cuboid((0, 0) * 7 + (3, -4)), ("cuboid", (0, -4000, 3000, 0), "[" + "0,0," * 7 + "3000,-4000]")),
        (Polyline((0, 0, 1, 1)), ("polyline", (0, 0, 1000, 1000), "[0,0,1000,1000]")),
        (Keypoints((0, 0, 1, 1), (0, 2)), ("keypoints", (1000, 1000, 1000, 1000), "[[0,0,1000,1000],[0,2]]")),
        (Mask(2, 2, (1, 1, 2)), ("mask", (0, 1000, 1000, 2000), "[2,2,[1,1,2]]")),
        (Tag(), ("tag", None, None)),
        (Caption("矿"), ("caption", None, '"矿"')),
    ],
    ids=lambda v: type(v).__name__,
)  # fmt: skip
def test_the_record_keeps_a_shape_in_this_form(shape: Shape, row: object) -> None:
    assert rows.to_row(shape) == row


@pytest.mark.parametrize(
    "shape",
    [
        Box(5, 0, 1, 1), Box(math.nan, 0, 1, 1), Box(0, 0, math.inf, 1), RotatedBox(0, 0, -1, 1, 0), RotatedBox(0, 0, 1, 1, math.nan),
        Polygon(()), Polygon(((),)), Polygon((((0, 0, 1, 1),),)), Polygon((((0, 0, 1, 1, 2),),)), Polyline((0, 0)), Points(()),
        Keypoints((0, 0), ()), Keypoints((0, 0), (3,)), Mask(2, 2, (1, 1)), Mask(2, 2, (5, -1)), Mask(0, 0, ()), Mask(2**25, 1, (2**25,)),
        Quad((0, 0) * 3), Quad((0, 0) * 5), Cuboid((0, 0) * 7), Cuboid((0, 0) * 9), Ellipse(0, 0, -1, 1), Ellipse(0, 0, 1, math.nan), Ellipse(0, 0, 1, 1, math.inf),
        Caption(""), Caption("x" * 4001), Caption("\ud800"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_shape_that_cannot_be_stored_is_refused(shape: Shape) -> None:
    with pytest.raises(InvalidInput):
        rows.to_row(shape)


@pytest.mark.parametrize(
    ("kind", "box", "text"),
    [("box", None, None), ("box", (None,) * 4, None), ("polygon", None, None), ("polygon", None, "{"), ("polygon", None, "7"),
     ("rotated_box", None, "[1]"), ("keypoints", None, "[[1,2]]"), ("mask", None, "[1]"), ("polyline", None, '["a"]'), ("orb", None, "[]"), ("ellipse", None, "[1,2]"), ("caption", None, "[]"), ("quad", None, "3")],
)  # fmt: skip
def test_a_row_nobody_wrote_is_refused(
    kind: str, box: tuple[int | None, ...] | None, text: str | None
) -> None:
    with pytest.raises(InvalidInput):
        rows.from_row(kind, box, text)


@pytest.mark.parametrize("turn", range(0, 720, 90))
def test_quarter_turns_are_exact(turn: int) -> None:
    box = geometry.bbox(RotatedBox(100, 50, 40, 20, turn))
    assert box == (Box(80, 40, 120, 60) if turn % 180 == 0 else Box(90, 30, 110, 70))


def test_a_full_turn_is_stored_as_none() -> None:
    for degrees in (0.0, 360.0, -720.0, 359.9999999, -1e-9):
        assert rows.to_row(RotatedBox(5, 5, 2, 2, degrees))[2] == "[5000,5000,2000,2000,0]"


def test_half_a_turn_of_an_ellipse_is_stored_as_none_and_a_caption_as_nfc() -> None:
    for degrees in (0.0, 180.0, -540.0, 179.9999999):
        assert rows.to_row(Ellipse(5, 5, 2, 1, degrees))[2] == "[5000,5000,2000,1000,0]"
    assert rows.to_row(Caption("e\u0301 “矿”"))[2] == '"\u00e9 “矿”"'


def measured(shape: Shape) -> Shape:
    """The shape as a polygon that the eye would trace."""
    found = geometry.outline(shape)
    assert found is not None
    return found


round_ones = st.builds(
    Ellipse, st.floats(20, 60), st.floats(20, 60), st.floats(2, 15), st.floats(2, 15), st.floats(0, 180)
)
eights = st.lists(st.tuples(st.floats(1, 79), st.floats(1, 79)), min_size=8, max_size=8, unique=True).map(
    lambda ps: tuple(c for p in ps for c in p)
)


@patient
@given(
    st.one_of(round_ones, eights.map(Cuboid), eights.map(lambda e: Quad(e[:8]))),
    st.floats(0, 80),
    st.floats(0, 80),
)
def test_measures_of_a_shape_agree_with_those_of_its_outline(shape: Shape, x: float, y: float) -> None:
    outline = measured(shape)
    box, around = geometry.bbox(shape), geometry.bbox(outline)
    assert box is not None
    assert around is not None
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx(
        (around.x0, around.y0, around.x1, around.y1), abs=0.11
    )
    assert geometry.area(shape) == pytest.approx(geometry.area(outline), rel=0.02, abs=1e-6)
    if geometry.distance(outline, x, y) > 0.2:
        assert geometry.contains(shape, x, y) == geometry.contains(outline, x, y)
    if isinstance(shape, Ellipse | Quad):
        assert geometry.distance(shape, x, y) == pytest.approx(geometry.distance(outline, x, y), abs=0.11)


def test_an_ellipse_is_measured_along_its_own_axes() -> None:
    assert geometry.bbox(Ellipse(50, 50, 20, 10)) == Box(30, 40, 70, 60)
    assert geometry.bbox(Ellipse(50, 50, 20, 10, 90)) == Box(40, 30, 60, 70)
    assert geometry.area(Ellipse(0, 0, 20, 10, 33)) == pytest.approx(math.pi * 200)
    assert geometry.contains(Ellipse(50, 50, 20, 5, 90), 50, 69)
    assert not geometry.contains(Ellipse(50, 50, 20, 5, 90), 69, 50)
    tilted = Ellipse(50, 50, 20, 2, 45)
    assert geometry.contains(tilted, 60, 60)
    assert not geometry.contains(tilted, 60, 40)
    assert not geometry.contains(Ellipse(0, 0, 0, 5), 0, 0)


def test_a_cuboid_is_its_silhouette_and_is_hit_on_its_edges() -> None:
    cube = Cuboid((*SQUARE, *(v + (4 if i % 2 == 0 else -4) for i, v in enumerate(SQUARE))))
    assert geometry.area(cube) == 100 + 2 * 40
    assert geometry.contains(cube, 12, -2)
    assert not geometry.contains(cube, 1, -3)
    assert geometry.distance(cube, 7, 0) == 0
    assert geometry.distance(cube, 5, 3) == 1, "hidden edges count too"
    flat = Cuboid((0.0, 0.0, 5.0, 0.0) * 4)
    assert geometry.outline(flat) is None
    assert geometry.area(flat) == 0
    assert geometry.clip(flat, width=3, height=3) is None


def test_what_has_no_outline_is_neither_hit_nor_measured() -> None:
    for shape in (Tag(), Caption("a")):
        assert geometry.bbox(shape) is None
        assert geometry.area(shape) == 0
        assert not geometry.hit(shape, 0, 0, radius=99)
        assert geometry.clip(shape, width=1, height=1) == shape


def test_turning_is_clockwise_on_the_screen() -> None:
    x, y = geometry.corners(RotatedBox(0, 0, 20, 0, 30))[2:4]
    assert (x, y) == pytest.approx((10 * math.cos(math.radians(30)), 5.0))


@given(st.lists(boxes(), min_size=1, max_size=6), st.lists(boxes(), min_size=1, max_size=6))
def test_overlap_is_symmetric_bounded_and_one_with_itself(a: list[Box], b: list[Box]) -> None:
    first, second = geometry.boxes_array(a), geometry.boxes_array(b)
    table = geometry.iou(first, second)
    assert table.shape == (len(a), len(b))
    assert ((table >= 0) & (table <= 1 + 1e-9)).all()
    assert np.allclose(table, geometry.iou(second, first).T)
    own = np.diag(geometry.iou(first, first))
    assert all(v == pytest.approx(1) or geometry.area(box) < 1e-3 for v, box in zip(own, a, strict=True))


def test_overlap_of_known_boxes_and_of_nothing() -> None:
    table = geometry.iou(
        geometry.boxes_array([Box(0, 0, 10, 10), Tag()]),
        geometry.boxes_array([Box(5, 0, 15, 10), Box(3, 3, 3, 3)]),
    )
    assert table.tolist() == [[pytest.approx(1 / 3), 0], [0, 0]]


def test_a_polygons_holes_count_for_area_and_hits() -> None:
    shape = Polygon(((SQUARE, HOLE),))
    assert geometry.area(shape) == 64
    assert geometry.contains(shape, 1, 1)
    assert not geometry.contains(shape, 5, 5)
    assert geometry.distance(shape, 5, 5) == 3
    assert geometry.hit(shape, 5, 5, radius=3)
    assert not geometry.hit(shape, 5, 5, radius=2.9)


def test_hits_reach_lines_points_and_seen_keypoints_only() -> None:
    assert geometry.hit(Polyline((0, 0, 10, 0)), 5, 2, radius=2)
    assert not geometry.hit(Polyline((0, 0, 10, 0)), 12.1, 0, radius=2)
    assert geometry.hit(Points((0, 0, 9, 9)), 9, 8, radius=1)
    assert not geometry.hit(Keypoints((0, 0, 9, 9), (0, 2)), 0, 0, radius=1)
    assert not geometry.hit(Tag(), 0, 0, radius=99)
    assert geometry.contains(RotatedBox(0, 0, 20, 2, 90), 0, 9)


@patient
@given(masks())
def test_a_mask_holds_exactly_the_pixels_its_array_says(mask: Mask) -> None:
    table = rle.decode(mask)
    for y in range(-1, mask.h + 1):
        for x in range(-1, mask.w + 1):
            inside = 0 <= x < mask.w and 0 <= y < mask.h and bool(table[y, x])
            assert geometry.contains(mask, x + 0.5, y + 0.5) == inside
    box = geometry.bbox(mask)
    ys, xs = np.nonzero(table)
    assert (box is None) == (len(xs) == 0)
    if box is not None:
        assert box == Box(xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


@patient
@given(masks(side=14))
def test_a_mask_outlined_and_painted_again_is_the_same_mask(mask: Mask) -> None:
    outline = raster.to_polygon(mask)
    runs = rle.normal(mask.counts, w=mask.w, h=mask.h)
    if outline is None:
        assert runs == (mask.w * mask.h,)
    else:
        assert raster.to_mask(outline, width=mask.w, height=mask.h).counts == runs
        assert geometry.area(outline) == geometry.area(mask)


def test_painting_takes_the_pixels_whose_centre_is_inside() -> None:
    painted = rle.decode(raster.to_mask(Box(0.5, 0.4, 2.5, 2.6), width=4, height=4))
    assert painted.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    ring = rle.decode(raster.to_mask(Polygon(((SQUARE, HOLE), (HOLE,))), width=10, height=10))
    assert ring.all(), "a part may fill another part's hole"
    assert raster.to_mask(RotatedBox(2, 2, 4, 2, 90), width=4, height=4) == raster.to_mask(
        Box(1, 0, 3, 4), width=4, height=4
    )
    with pytest.raises(InvalidInput):
        raster.to_mask(Tag(), width=4, height=4)
    with pytest.raises(InvalidInput):
        raster.to_mask(Box(0, 0, 1e5, 1e5), width=10**5, height=10**5)


@patient
@given(st.one_of(boxes(), polygons, shapes), st.integers(1, 5000), st.integers(1, 5000))
def test_what_is_clipped_lies_inside_the_picture(shape: Shape, width: int, height: int) -> None:
    inner = geometry.clip(shape, width=width, height=height)
    if inner is not None and not isinstance(inner, Mask) and (box := geometry.bbox(inner)) is not None:
        assert min(box.x0, box.y0) >= -1e-6
        assert box.x1 <= width + 1e-6
        assert box.y1 <= height + 1e-6
        rows.to_row(inner)


def test_clipping_keeps_what_is_inside_and_drops_what_is_not() -> None:
    assert geometry.clip(Box(-5, -5, 5, 5), width=10, height=10) == Box(0, 0, 5, 5)
    assert geometry.clip(Box(11, 0, 12, 5), width=10, height=10) is None
    inside = Polygon(((SQUARE, HOLE),))
    assert geometry.clip(inside, width=10, height=10) is inside
    half = geometry.clip(inside, width=5, height=10)
    assert half is not None
    assert geometry.area(half) == pytest.approx(32)
    turned = geometry.clip(RotatedBox(0, 0, 4, 4, 0), width=10, height=10)
    assert isinstance(turned, Polygon)
    assert geometry.area(turned) == pytest.approx(4)
    assert geometry.clip(Points((1, 1, 99, 1)), width=10, height=10) == Points((1, 1))
    assert geometry.clip(Keypoints((1, 1, 99, 1), (2, 2)), width=10, height=10) == Keypoints(
        (1, 1, 99, 1), (2, 0)
    )
    assert geometry.clip(Polyline((-5, 5, 5, 5)), width=10, height=10) == Polyline((0, 5, 5, 5))
    assert geometry.clip(Polyline((-5, 50, 5, 50)), width=10, height=10) is None
    bow_tie = Polygon((((-5, 0, 5, 10, 5, 0, -5, 10),),))
    clipped = geometry.clip(bow_tie, width=10, height=10)
    assert clipped is not None
    assert geometry.area(clipped) == pytest.approx(25)


def test_a_part_without_area_does_not_hinder_the_clipping_of_the_others() -> None:
    shape = Polygon((((0.0,) * 6,), ((-1.0, 2.0, 8.0, 2.0, 8.0, 9.0, -1.0, 9.0),)))
    found = geometry.clip(shape, width=10, height=10)
    assert isinstance(found, Polygon)
    assert geometry.area(found) == 56.0

"""Moving, turning and scaling: areas change as they must, there and back is the same, pixels are never made up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation import geometry, raster, rle, transform
from annotation.core import Box, Caption, Ellipse, Mask, Polygon, Quad, RotatedBox, Shape, Tag
from annotation.errors import InvalidInput
from tests.annotation.strategies import masks, patient, shapes

near = st.floats(-100, 100)
sides = st.floats(1, 100)
turned_ones: st.SearchStrategy[RotatedBox | Ellipse] = st.one_of(
    st.builds(RotatedBox, near, near, sides, sides, st.floats(0, 359)),
    st.builds(Ellipse, near, near, sides, sides, st.floats(0, 179)),
)
factors = st.floats(0.2, 5)


def outline_box(shape: Shape) -> tuple[float, float, float, float]:
    box = geometry.bbox(shape)
    assert box is not None
    return box.x0, box.y0, box.x1, box.y1


@patient
@given(shapes.filter(lambda s: not isinstance(s, Mask)), st.floats(-99, 99), st.floats(-99, 99))
def test_a_shape_moves_by_just_that_much(shape: Shape, dx: float, dy: float) -> None:
    before, after = geometry.bbox(shape), geometry.bbox(transform.moved(shape, dx, dy))
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        want = (before.x0 + dx, before.y0 + dy, before.x1 + dx, before.y1 + dy)
        assert (after.x0, after.y0, after.x1, after.y1) == pytest.approx(want, abs=1e-6)


@patient
@given(st.one_of(turned_ones, st.lists(st.tuples(near, near), min_size=4, max_size=4).map(lambda ps: Quad(tuple(c for p in ps for c in p)))), st.floats(-720, 720), near, near)  # fmt: skip
def test_turning_keeps_the_area_and_turning_back_the_shape(
    shape: RotatedBox | Ellipse | Quad, degrees: float, cx: float, cy: float
) -> None:
    there = transform.rotated(shape, degrees, cx, cy)
    assert geometry.area(there) == pytest.approx(geometry.area(shape), abs=1e-6, rel=1e-9)
    back = transform.rotated(there, -degrees, cx, cy)
    assert outline_box(back) == pytest.approx(outline_box(shape), abs=1e-5)


def test_turning_is_clockwise_and_turns_the_shape_itself_too() -> None:
    assert transform.rotated(RotatedBox(10, 0, 4, 2, 30), 90, 0, 0) == RotatedBox(0, 10, 4, 2, 120)
    assert transform.rotated(Ellipse(10, 0, 4, 2, 170), 90, 0, 0) == Ellipse(0, 10, 4, 2, 80)
    assert transform.rotated(Quad((0, 0, 4, 0, 4, 2, 0, 2)), 90, 0, 0) == Quad((0, 0, 0, 4, -2, 4, -2, 0))


def test_an_upright_box_takes_quarter_turns_only() -> None:
    assert transform.rotated(Box(0, 0, 4, 2), 90, 0, 0) == Box(-2, 0, 0, 4)
    with pytest.raises(InvalidInput, match="cannot be turned"):
        transform.rotated(Box(0, 0, 4, 2), 30, 0, 0)


@patient
@given(shapes.filter(lambda s: not isinstance(s, Mask)), factors, near, near)
def test_scaling_and_scaling_back_gives_the_same_place(
    shape: Shape, factor: float, cx: float, cy: float
) -> None:
    there = transform.scaled(shape, factor, factor, cx, cy)
    assert geometry.area(there) == pytest.approx(geometry.area(shape) * factor**2, rel=1e-6, abs=1e-3)
    if geometry.bbox(shape) is not None:
        back = transform.scaled(there, 1 / factor, 1 / factor, cx, cy)
        assert outline_box(back) == pytest.approx(outline_box(shape), rel=1e-6, abs=1e-3)


@patient
@given(st.builds(Ellipse, near, near, sides, sides, st.floats(0, 179)), factors, factors)
def test_an_ellipse_stretched_unevenly_is_the_ellipse_its_points_lie_on(
    shape: Ellipse, sx: float, sy: float
) -> None:
    after = transform.scaled(shape, sx, sy, 0, 0)
    assert isinstance(after, Ellipse)
    assert geometry.area(after) == pytest.approx(geometry.area(shape) * sx * sy, rel=1e-6)
    c, s = math.cos(math.radians(after.degrees)), math.sin(math.radians(after.degrees))
    for x, y in list(geometry.pairs(geometry.ellipse_ring(shape)))[:8]:
        dx, dy = x * sx - after.cx, y * sy - after.cy
        u, v = (dx * c + dy * s) / after.rx, (dy * c - dx * s) / after.ry
        assert u * u + v * v == pytest.approx(1, abs=1e-6)


def test_a_turned_box_stretched_unevenly_keeps_its_right_angles_and_its_upright_sides() -> None:
    assert transform.scaled(RotatedBox(10, 10, 4, 2, 0), 2, 3, 0, 0) == RotatedBox(20, 30, 8, 6, 0)
    after = transform.scaled(RotatedBox(0, 0, 4, 2, 90), 2, 3, 0, 0)
    assert isinstance(after, RotatedBox)
    assert (after.w, after.h, after.degrees) == pytest.approx((12, 4, 90))
    for wrong in (0, -1, math.inf, math.nan):
        with pytest.raises(InvalidInput):
            transform.scaled(Box(0, 0, 1, 1), wrong, 1, 0, 0)


def test_what_belongs_to_the_whole_picture_stays() -> None:
    for shape in (Tag(), Caption("a")):
        assert transform.moved(shape, 5, 5) == shape
        assert transform.rotated(shape, 30, 0, 0) == shape
        assert transform.scaled(shape, 2, 2, 0, 0) == shape


# ---------------------------------------------------------------------------------------------------------------
# Masks


@patient
@given(masks(), st.integers(-12, 12), st.integers(-12, 12))
def test_a_moved_mask_keeps_every_pixel_and_their_pattern(mask: Mask, dx: int, dy: int) -> None:
    after = transform.moved(mask, dx, dy)
    assert isinstance(after, Mask)
    before, now = rle.crop(mask)[0], rle.crop(after)[0]
    assert (before == now).all()
    old, new = geometry.bbox(mask), geometry.bbox(after)
    if old is not None and new is not None:
        assert new.x0 - old.x0 in (dx, -old.x0, mask.w - old.x1)
        assert new.y0 - old.y0 in (dy, -old.y0, mask.h - old.y1)


@patient
@given(masks(), st.sampled_from((0, 90, 180, 270, 360)))
def test_a_mask_turned_by_quarters_is_its_array_turned(mask: Mask, degrees: int) -> None:
    middle = max(mask.w, mask.h)
    side = 2 * middle
    wide = np.zeros((side, side), np.uint8)
    wide[: mask.h, : mask.w] = rle.decode(mask)
    after = transform.rotated(rle.encode(wide), degrees, middle, middle)
    assert isinstance(after, Mask)
    assert (rle.decode(after) == np.rot90(wide, -degrees // 90)).all()


@patient
@given(masks(), st.integers(1, 3), st.integers(1, 3))
def test_a_mask_scaled_by_whole_numbers_repeats_its_pixels(mask: Mask, sx: int, sy: int) -> None:
    table = rle.decode(mask)
    wide = np.zeros((mask.h * sy, mask.w * sx), np.uint8)
    wide[: mask.h, : mask.w] = table
    after = transform.scaled(rle.encode(wide), sx, sy, 0, 0)
    assert isinstance(after, Mask)
    assert (rle.decode(after) == np.kron(table, np.ones((sy, sx), np.uint8))).all()


def test_a_mask_turned_out_of_the_picture_is_cut_there() -> None:
    mask = raster.to_mask(Box(0, 0, 4, 4), width=10, height=10)
    assert geometry.area(transform.rotated(mask, 180, 0, 0)) == 0
    assert geometry.area(transform.rotated(mask, 90, 2, 0)) == 4
    turned = transform.rotated(raster.to_mask(Box(20, 40, 80, 60), width=100, height=100), 30, 50, 50)
    assert geometry.area(turned) == pytest.approx(1200, rel=0.02)


def test_points_are_mapped_ring_by_ring() -> None:
    shape = Polygon((((0.0, 0.0, 1.0, 0.0, 1.0, 1.0),), ((5.0, 5.0, 6.0, 5.0, 6.0, 6.0),)))
    assert transform.mapped(shape, lambda ring: ring[:2] + ring[2:]) == shape
    assert transform.mapped(Box(0, 0, 1, 1), lambda ring: ()) == Box(0, 0, 1, 1)

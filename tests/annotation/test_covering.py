"""Rules of covering: everything a shape touches is filled, nothing beyond the margin, and the proof sees one wrong pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from annotation import covering
from annotation.core import Box, Caption, Ellipse, Mask, Polygon, Polyline, Shape, Tag
from annotation.raster import to_mask

WH = (64, 48)
NUMBER = st.floats(-20, 80, allow_nan=False, width=16)


@given(st.tuples(NUMBER, NUMBER, NUMBER, NUMBER))
@example((0.0, 47.5, 1.0, 48.0))  # the rounded corner lies beyond the picture's edge
@example((63.5, 0.0, 64.0, 1.0))
@example((-1e6, 20.0, 10.0, 30.0))
@settings(max_examples=200, deadline=None)
def test_every_pixel_that_a_box_touches_is_covered(corners: tuple[float, float, float, float]) -> None:
    x0, x1 = sorted((corners[0], corners[2]))
    y0, y1 = sorted((corners[1], corners[3]))
    mask = covering.region([Box(x0, y0, x1, y1)], wh=WH, margin=0.0)
    for y in range(WH[1]):
        for x in range(WH[0]):
            if x < x1 and x + 1 > x0 and y < y1 and y + 1 > y0:
                assert mask[y, x]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 44)), min_size=3, max_size=8))
@settings(max_examples=60, deadline=None)
def test_every_pixel_of_a_polygon_is_covered_and_its_holes_too(points: list[tuple[int, int]]) -> None:
    ring = tuple(float(c) for p in points for c in p)
    shape = Polygon(((ring,),))
    inside = to_mask(shape, width=WH[0], height=WH[1])
    from annotation import rle

    mask = covering.region([shape], wh=WH, margin=0.0)
    assert not (rle.decode(inside).astype(bool) & ~mask.astype(bool)).any()
    holed = Polygon(
        (((0.0, 0.0, 40.0, 0.0, 40.0, 40.0, 0.0, 40.0), (10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0)),)
    )
    assert covering.region([holed], wh=WH, margin=0.0)[20, 20]


@given(st.tuples(NUMBER, NUMBER, NUMBER, NUMBER), st.floats(0, 0.5))
@example((0.0, 47.5, 1.0, 48.0), 0.0)
@example((63.5, 0.0, 64.0, 1.0), 0.0)
@example((0.0, 56.0, 13.0, 57.0), 0.25)
@settings(max_examples=100, deadline=None)
def test_a_polygon_of_a_box_is_covered_as_far_as_the_box(
    corners: tuple[float, float, float, float], margin: float
) -> None:
    x0, x1 = sorted((corners[0], corners[2]))
    y0, y1 = sorted((corners[1], corners[3]))
    if x0 == x1 or y0 == y1:
        return
    box = covering.region([Box(x0, y0, x1, y1)], wh=WH, margin=margin)
    drawn = covering.region([Polygon((((x0, y0, x1, y0, x1, y1, x0, y1),),))], wh=WH, margin=margin)
    ys, xs = np.nonzero(box & ~drawn)
    assert not len(xs), list(zip(xs, ys, strict=True))[:4]


@pytest.mark.parametrize(
    "shape",
    [
        Box(20, 20, 30, 30),
        Polyline((20.0, 20.0, 30.0, 30.0)),
        Ellipse(25, 25, 5, 5, 0),
        Polygon((((20.0, 20.0, 30.0, 20.0, 30.0, 30.0),),)),
    ],
)
def test_a_margin_grows_every_side_by_its_share_and_no_further(shape: Shape) -> None:
    mask = covering.region([shape], wh=WH, margin=0.5)
    ys, xs = np.nonzero(mask)
    assert (xs.min(), ys.min()) == pytest.approx((15, 15), abs=1.5)
    assert (xs.max(), ys.max()) == pytest.approx((35, 35), abs=1.5)


def test_a_mask_is_covered_and_what_has_no_place_covers_nothing() -> None:
    drawn = np.zeros((48, 64), np.uint8)
    drawn[10:20, 10:20] = 1
    from annotation import rle

    mask: Mask = rle.encode(drawn)
    assert covering.region([mask], wh=WH, margin=0.0)[10:20, 10:20].all()
    assert not covering.region([Tag(), Caption("一"), Box(100, 100, 120, 120)], wh=WH, margin=0.1).any()


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 3), (48, 64, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_covered_pixels_have_the_colour_and_all_others_stay(shape: tuple[int, ...], dtype: type) -> None:
    pixels = np.random.default_rng(1).integers(1, 200, shape).astype(dtype)
    mask = covering.region([Box(5, 5, 20, 20)], wh=WH, margin=0.1)
    out = covering.covered(pixels, mask, (255, 0, 0))
    assert covering.is_covered(out, mask, (255, 0, 0))
    assert np.array_equal(out[mask == 0], pixels[mask == 0])
    spoiled = out.copy()
    spoiled[10, 10] ^= 1
    assert not covering.is_covered(spoiled, mask, (255, 0, 0))
    assert not covering.is_covered(pixels[:40], mask, (255, 0, 0))


def test_a_jpeg_passes_the_lossy_proof_and_a_mosaic_does_not() -> None:
    pixels = np.random.default_rng(2).integers(0, 255, (128, 160, 3), dtype=np.uint8)
    mask = covering.region([Box(40, 30, 110, 100)], wh=(160, 128), margin=0.0)
    jpeg = cv2.imencode(".jpg", covering.covered(pixels, mask), [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    assert covering.is_covered(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), mask, lossy=True)
    small = cv2.resize(pixels, (16, 12), interpolation=cv2.INTER_AREA)
    mosaic = np.where(
        mask[..., None] != 0, cv2.resize(small, (160, 128), interpolation=cv2.INTER_NEAREST), pixels
    )
    assert not covering.is_covered(mosaic, mask, lossy=True)

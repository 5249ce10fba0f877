"""Conversions: what can be kept is kept exactly, and what cannot is said in words and figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation import geometry, raster, rows
from annotation.convert import Conversion, conversions, convert
from annotation.core import (
    KIND_OF,
    Box,
    Caption,
    Cuboid,
    Ellipse,
    Keypoints,
    Kind,
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
from tests.annotation.strategies import masks, patient

SQUARE = (0.0, 0.0, 10.0, 0.0, 10.0, 10.0, 0.0, 10.0)
HOLE = (2.0, 2.0, 8.0, 2.0, 8.0, 8.0, 2.0, 8.0)
WH = (60, 40)
at = st.integers(5, 25).map(float)
side = st.integers(4, 12).map(float)
turn = st.integers(-720, 720).map(float)
upright = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), at, at, side, side)
turned = st.builds(RotatedBox, at, at, side, side, turn)
round_ones = st.builds(Ellipse, at, at, side, side, turn)
flat = st.lists(st.tuples(at, at), min_size=4, max_size=8, unique=True).map(
    lambda ps: tuple(c for p in ps for c in p)
)
any_shape: st.SearchStrategy[Shape] = st.one_of(
    upright, turned, round_ones, flat.map(lambda r: Quad(r[:8])), flat.map(lambda r: Polygon(((r,),))),
    flat.map(lambda r: Polygon(((SQUARE, HOLE), (r,)))), flat.map(Polyline), flat.map(Points),
    flat.map(lambda r: Keypoints(r, (2, 0, 1, *(2,) * (len(r) // 2 - 3)))),
    upright.map(lambda b: raster.to_mask(b, width=60, height=40)), flat.map(lambda r: Cuboid((*r[:8], *(v + 3 for v in r[:8])))),
)  # fmt: skip


@patient
@given(any_shape)
def test_every_conversion_offered_gives_its_kind_and_a_shape_the_record_can_hold(shape: Shape) -> None:
    offered = conversions(shape)
    assert KIND_OF[type(shape)] not in offered
    for kind in offered:
        try:
            found = convert(shape, kind, wh=WH)
        except InvalidInput as error:
            assert "no area" in error.line
            assert geometry.bbox(shape) is not None
            continue
        assert KIND_OF[type(found.shape)] == kind
        rows.to_row(found.shape)
        assert bool(found.loss_zh) == bool(found.loss_en)


@patient
@given(any_shape)
def test_an_area_that_changes_is_always_said(shape: Shape) -> None:
    before = geometry.area(shape)
    for kind in conversions(shape):
        try:
            found = convert(shape, kind, wh=WH)
        except InvalidInput:
            continue
        after = geometry.area(found.shape)
        if before > 0 and after > 0 and abs(after / before - 1) > 0.001:
            assert f"{(after / before - 1) * 100:+.1f} %" in found.loss_en
            assert f"{(after / before - 1) * 100:+.1f} %" in found.loss_zh
        if before > 0 and after == 0:
            assert found.loss_en


@patient
@given(upright)
def test_a_box_goes_through_turned_box_quad_and_polygon_and_back_without_loss(box: Box) -> None:
    shape: Shape = box
    for kind in ("rotated_box", "quad", "polygon", "quad", "rotated_box", "box"):
        found = convert(shape, kind, wh=WH)  # type: ignore[arg-type]
        assert found.loss_en == ""
        shape = found.shape
    assert rows.snapped(shape) == rows.snapped(box)


@patient
@given(turned)
def test_a_turned_box_comes_back_from_a_quad_with_its_own_top(box: RotatedBox) -> None:
    quad = convert(box, "quad")
    again = convert(quad.shape, "rotated_box")
    assert (quad.loss_en, again.loss_en) == ("", "")
    assert isinstance(again.shape, RotatedBox)
    for a, b in zip(geometry.corners(again.shape), geometry.corners(box), strict=True):
        assert a == pytest.approx(b, abs=1e-6)


@patient
@given(round_ones)
def test_an_ellipse_comes_back_from_box_polygon_and_mask_nearly_the_same(shape: Ellipse) -> None:
    assert convert(convert(shape, "rotated_box").shape, "ellipse").shape == Ellipse(
        shape.cx, shape.cy, shape.rx, shape.ry, shape.degrees % 180
    )
    for kind in ("polygon", "mask"):
        found = convert(convert(shape, kind, wh=WH).shape, "ellipse")  # type: ignore[arg-type]
        if kind == "polygon" or not _crosses(shape):
            assert geometry.area(found.shape) == pytest.approx(geometry.area(shape), rel=0.1)


def _crosses(shape: Shape) -> bool:
    box = geometry.bbox(shape)
    return box is None or box.x0 < 0 or box.y0 < 0 or box.x1 > WH[0] or box.y1 > WH[1]


@pytest.mark.parametrize(
    ("shape", "kind", "en", "zh"),
    [
        (RotatedBox(20, 20, 10, 4, 30), "box", "the rotation of 30.0° is dropped", "丢掉 30.0° 的旋转"),
        (Ellipse(20, 20, 5, 5, 30), "box", "the area changes by +27.3 %", "面积变化 +27.3 %"),
        (Box(0, 0, 10, 10), "ellipse", "the area changes by -21.5 %", "面积变化 -21.5 %"),
        (Polygon(((SQUARE, HOLE),)), "box", "1 hole is filled", "填掉 1 个孔"),
        (Polygon(((SQUARE, HOLE), (HOLE,))), "polyline", "2 parts: only the largest is kept", "2 块只留最大的一块"),
        (Polygon(((SQUARE,),)), "points", "the area is dropped", "丢掉面积"),
        (Polyline((0, 0, 9, 0, 9, 9)), "polygon", "encloses 40 px²", "围成 40 平方像素"),
        (Polyline((0, 0, 9, 0, 9, 9)), "points", "the line between", "点之间的线"),
        (Keypoints((0, 0, 9, 0, 9, 9), (2, 0, 1)), "points", "1 absent", "1 个缺失"),
        (Points((0, 0, 9, 9)), "box", "only the box", "只留外接框"),
        (Cuboid((*SQUARE, *(v + 3 for v in SQUARE))), "quad", "the depth is dropped", "丢掉深度"),
        (Box(-5, 0, 10, 10), "mask", "outside the picture is cut off", "图片以外"),
    ],
    ids=lambda v: v if isinstance(v, str) and v.isascii() else "",
)  # fmt: skip
def test_the_loss_is_told_in_both_languages(shape: Shape, kind: Kind, en: str, zh: str) -> None:
    found = convert(shape, kind, wh=WH)
    assert en in found.loss("en"), found.loss_en
    assert zh in found.loss("zh_CN"), found.loss_zh


@patient
@given(masks(side=14).filter(lambda m: geometry.bbox(m) is not None))
def test_a_mask_never_becomes_an_outline_without_a_word(mask: Mask) -> None:
    found = convert(mask, "polygon")
    n = (
        sum(len(ring) // 2 for part in found.shape.parts for ring in part)
        if isinstance(found.shape, Polygon)
        else 0
    )
    assert f"an outline of {n} points" in found.loss_en
    assert raster.to_mask(found.shape, width=mask.w, height=mask.h) == rows.snapped(mask)


def test_a_quad_of_four_corners_begins_at_its_top_left_and_runs_clockwise() -> None:
    ring = (10.0, 10.0, 10.0, 0.0, 0.0, 0.0, 0.0, 10.0)
    assert convert(Polygon(((ring,),)), "quad") == Conversion(Quad(SQUARE), "", "")


def test_what_has_no_place_or_no_extent_becomes_nothing() -> None:
    for shape in (Tag(), Caption("a"), Mask(2, 2, (4,)), Points((1, 1)), Keypoints((0, 0), (0,))):
        assert conversions(shape) == ()
    assert conversions(Box(0, 0, 0, 9)) == ()
    assert conversions(Polyline((0, 0, 9, 0))) == ("points",)
    with pytest.raises(InvalidInput, match="cannot become"):
        convert(Tag(), "box")
    with pytest.raises(InvalidInput, match="size is unknown"):
        convert(Box(0, 0, 1, 1), "mask")

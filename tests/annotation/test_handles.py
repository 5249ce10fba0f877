"""Handles: what is opposite stays, what is taken hold of goes where the hand goes, vertices come and go."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation import geometry, handles
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
from tests.annotation.strategies import boxes, patient, shapes

SQUARE = (0.0, 0.0, 10.0, 0.0, 10.0, 10.0, 0.0, 10.0)
HOLE = (2.0, 2.0, 8.0, 2.0, 8.0, 8.0)
CUBE = Cuboid((*SQUARE, 4.0, -4.0, 14.0, -4.0, 14.0, 6.0, 4.0, 6.0))
near = st.floats(-200, 200)


def places(shape: Shape) -> dict[handles.Handle, tuple[float, float]]:
    return {handle: (x, y) for handle, x, y in handles.handles(shape)}


def area_shapes() -> st.SearchStrategy[RotatedBox | Ellipse]:
    side = st.floats(2, 200)
    return st.one_of(
        st.builds(RotatedBox, near, near, side, side, st.floats(0, 359)),
        st.builds(Ellipse, near, near, side, side, st.floats(0, 179)),
    )


@patient
@given(shapes)
def test_handles_are_told_apart_and_putting_one_where_it_is_changes_nothing(shape: Shape) -> None:
    found = handles.handles(shape, arm=24.0)
    assert len({handle for handle, _, _ in found}) == len(found)
    for handle, x, y in found[:12]:
        after = handles.with_handle(shape, handle, x, y)
        assert type(after) is type(shape)
        before, now = geometry.bbox(shape), geometry.bbox(after)
        assert before is not None
        assert now is not None
        for a, b in zip(
            (before.x0, before.y0, before.x1, before.y1), (now.x0, now.y0, now.x1, now.y1), strict=True
        ):
            assert a == pytest.approx(b, abs=1e-2)


def test_what_has_no_place_has_no_handle() -> None:
    for shape in (Tag(), Caption("a"), Mask(2, 2, (1, 3))):
        assert handles.handles(shape) == []
        with pytest.raises(InvalidInput):
            handles.with_handle(shape, (0, 0), 1, 1)


@given(boxes(), st.sampled_from([(0, 0), (1, 0), (2, 0), (0, 1), (2, 1), (0, 2), (1, 2), (2, 2)]), near, near)
def test_a_box_stays_upright_whatever_handle_goes_wherever(
    box: Box, handle: handles.Handle, x: float, y: float
) -> None:
    shape = handles.with_handle(box, handle, x, y)
    assert isinstance(shape, Box)
    assert shape.x0 <= shape.x1
    assert shape.y0 <= shape.y1


def test_a_handle_moves_its_own_sides_only() -> None:
    box = Box(0, 0, 10, 10)
    assert handles.with_handle(box, (2, 1), 20, 99) == Box(0, 0, 20, 10)
    assert handles.with_handle(box, (0, 0), 5, 6) == Box(5, 6, 10, 10)
    assert handles.with_handle(box, (1, 2), 99, -4) == Box(0, -4, 10, 0)
    with pytest.raises(InvalidInput):
        handles.with_handle(box, (1, 1), 1, 1)


@patient
@given(area_shapes(), st.sampled_from([(0, 0), (2, 0), (0, 2), (2, 2), (1, 0), (0, 1)]), near, near)
def test_the_handle_opposite_stays_when_a_turned_shape_is_resized(
    shape: RotatedBox | Ellipse, handle: handles.Handle, x: float, y: float
) -> None:
    opposite = (2 - handle[0], 2 - handle[1])
    before = places(shape)
    after = handles.with_handle(shape, handle, x, y)
    assert isinstance(after, RotatedBox | Ellipse)
    assert after.degrees == pytest.approx(shape.degrees)
    now = places(after).values()
    assert min(math.dist(before[opposite], place) for place in now) < 1e-6
    if handle[0] != 1 and handle[1] != 1:
        assert min(math.dist((x, y), place) for place in now) < 1e-6


@patient
@given(area_shapes(), st.floats(0, 359))
def test_the_turning_handle_points_at_the_hand(shape: RotatedBox | Ellipse, bearing: float) -> None:
    x = shape.cx + 500 * math.sin(math.radians(bearing))
    y = shape.cy - 500 * math.cos(math.radians(bearing))
    after = handles.with_handle(shape, handles.TURN, x, y)
    assert isinstance(after, RotatedBox | Ellipse)
    full = 360.0 if isinstance(shape, RotatedBox) else 180.0
    assert math.isclose(math.sin(math.radians((after.degrees - bearing) * 360 / full)), 0, abs_tol=1e-6)
    assert geometry.area(after) == pytest.approx(geometry.area(shape))


def test_a_corner_of_a_quad_and_a_point_go_alone() -> None:
    assert handles.with_handle(Quad(SQUARE), (0, 2), 12, 13) == Quad((0, 0, 10, 0, 12, 13, 0, 10))
    assert handles.with_handle(Points((1, 1, 2, 2)), (0, 1), 5, 6) == Points((1, 1, 5, 6))
    for wrong in ((0, 4), (0, -1), (1, 0)):
        with pytest.raises(InvalidInput):
            handles.with_handle(Quad(SQUARE), wrong, 0, 0)


def test_a_face_of_a_cuboid_goes_as_a_whole_and_its_corners_one_by_one() -> None:
    back = handles.with_handle(CUBE, handles.BACK, 19, 1)
    assert isinstance(back, Cuboid)
    assert back.points[:8] == CUBE.points[:8]
    assert back.points[8:] == tuple(v + (0 if i % 2 else 10) for i, v in enumerate(CUBE.points[8:]))
    front = handles.with_handle(CUBE, handles.FRONT, 5, 6)
    assert isinstance(front, Cuboid)
    assert front.points[8:] == CUBE.points[8:]
    assert front.points[:2] == (0.0, 1.0)
    assert places(handles.with_handle(CUBE, (1, 3), 3, 7))[(1, 3)] == (3, 7)


def test_an_absent_keypoint_has_no_handle_and_is_seen_once_put_somewhere() -> None:
    shape = Keypoints((0, 0, 5, 5), (0, 1))
    assert places(shape) == {(0, 1): (5, 5)}
    assert handles.with_handle(shape, (0, 0), 3, 3) == Keypoints((3, 3, 5, 5), (2, 1))


def test_vertices_are_numbered_by_ring_through_all_parts() -> None:
    shape = Polygon(((SQUARE, HOLE), (SQUARE,)))
    for handle in ((0, 0), (0, 3), (1, 0), (1, 2), (2, 0), (2, 3)):
        moved = handles.with_handle(shape, handle, 55, 66)
        assert places(moved)[handle] == (55, 66)
        assert {h for h, place in places(moved).items() if place != places(shape)[h]} == {handle}


@pytest.mark.parametrize(
    "shape", [Polygon(((SQUARE, HOLE), (SQUARE,))), Polyline((0, 0, 5, 5, 9, 0))], ids=str
)
def test_a_vertex_put_in_and_taken_out_leaves_the_shape_as_it_was(shape: Shape) -> None:
    for (ring, vertex), _, _ in handles.handles(shape):
        more = handles.insert_vertex(shape, (ring, vertex), 3, 4)
        assert places(more)[(ring, vertex + 1)] == (3, 4)
        assert handles.delete_vertex(more, (ring, vertex + 1)) == shape


def test_an_outline_keeps_three_vertices_and_a_hole_or_part_goes_instead() -> None:
    triangle: Shape = Polygon((((0, 0, 9, 0, 9, 9),),))
    with pytest.raises(InvalidInput, match="three"):
        handles.delete_vertex(triangle, (0, 0))
    with pytest.raises(InvalidInput, match="two"):
        handles.delete_vertex(Polyline((0, 0, 1, 1)), (0, 0))
    with pytest.raises(InvalidInput, match="only polygons and lines"):
        handles.insert_vertex(Quad(SQUARE), (0, 0), 1, 1)
    assert handles.delete_vertex(Polygon(((SQUARE, HOLE),)), (1, 1)) == Polygon(((SQUARE,),))
    two = Polygon(((SQUARE, HOLE), (HOLE,)))
    assert handles.delete_vertex(two, (2, 1)) == Polygon(((SQUARE, HOLE),))


@pytest.mark.parametrize("handle", [(0, -1), (0, 4), (1, 0), (9, 0)])
def test_a_vertex_that_is_not_there_is_refused(handle: handles.Handle) -> None:
    shape = Polygon(((SQUARE,),))
    with pytest.raises(InvalidInput, match="no vertex"):
        handles.with_handle(shape, handle, 0, 0)
    with pytest.raises(InvalidInput, match="no vertex"):
        handles.insert_vertex(shape, handle, 0, 0)
    with pytest.raises(InvalidInput, match="no vertex"):
        handles.delete_vertex(shape, handle)


def test_the_nearest_edge_is_named_by_where_it_begins() -> None:
    shape = Polygon(((SQUARE, HOLE),))
    assert handles.nearest_edge(shape, 9, 5) == ((0, 1), 10, 5, 1)
    assert handles.nearest_edge(shape, 0, 5) == ((0, 3), 0, 5, 0)
    assert handles.nearest_edge(shape, 5, 2.5) == ((1, 0), 5, 2, 0.5)
    assert handles.nearest_edge(Polyline((0, 0, 10, 0)), 5, 3) == ((0, 0), 5, 0, 3)

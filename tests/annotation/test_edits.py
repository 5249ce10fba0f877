"""Edits: pure, reversible, and never a shape that the record cannot hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation import edits, geometry, labels
from annotation.core import (
    Annotation,
    AnnotationSet,
    Box,
    Keypoints,
    Mask,
    Points,
    Polygon,
    Polyline,
    Shape,
    Tag,
)
from annotation.errors import InvalidInput, NotFound
from tests.annotation.strategies import annotations, boxes, patient, polygons, shapes

SCHEMA = labels.load("coal_mine")
SQUARE = (0.0, 0.0, 10.0, 0.0, 10.0, 10.0, 0.0, 10.0)
HOLE = (2.0, 2.0, 8.0, 2.0, 8.0, 8.0)


def uid(n: int) -> str:
    return f"{n:032x}"


def one(shape: Shape, n: int = 1, label: str = "person") -> Annotation:
    return Annotation(label, shape, uid=uid(n))


def only(found: AnnotationSet) -> Shape:
    assert len(found) == 1
    return found[0].shape


def test_a_set_stays_in_the_order_of_uids() -> None:
    found: AnnotationSet = ()
    for n in (3, 1, 2):
        found = edits.add(found, one(Box(0, 0, 1, 1), n))
    assert [a.uid for a in found] == [uid(1), uid(2), uid(3)]
    assert [a.uid for a in edits.remove(found, [uid(2)])] == [uid(1), uid(3)]


def test_an_object_is_added_once_and_must_be_there_to_be_changed() -> None:
    found = (one(Tag()),)
    with pytest.raises(InvalidInput):
        edits.add(found, one(Tag()))
    for call in (
        lambda: edits.remove(found, [uid(9)]),
        lambda: edits.replace(found, one(Tag(), 9)),
        lambda: edits.move(found, [uid(9)], 1, 1),
        lambda: edits.set_attribute(found, [uid(9)], "unsure", True),
        lambda: edits.relabel(found, [uid(9)], "person", schema=SCHEMA),
        lambda: edits.find(found, uid(9)),
    ):
        with pytest.raises(NotFound):
            call()


@patient
@given(
    st.lists(annotations(st.just("person"), shapes), max_size=4, unique_by=lambda a: a.uid),
    st.floats(-99, 99),
    st.floats(-99, 99),
)
def test_every_edit_leaves_its_argument_alone_and_gives_what_the_record_gives_back(
    found: list[Annotation], dx: float, dy: float
) -> None:
    before: AnnotationSet = ()
    for a in found:
        before = edits.add(before, a)
    copy = tuple(before)
    after = edits.move(before, [a.uid for a in before], dx, dy)
    assert before == copy
    for a in after:
        assert geometry.snapped(a.shape) == a.shape


@patient
@given(st.one_of(boxes(), polygons), st.integers(-9999, 9999), st.integers(-9999, 9999))
def test_moving_there_and_back_gives_the_same_set(shape: Shape, dx: int, dy: int) -> None:
    before = edits.add((), one(shape))
    there = edits.move(before, [uid(1)], dx / 1000, dy / 1000)
    assert edits.move(there, [uid(1), uid(1)], -dx / 1000, -dy / 1000) == before


@given(
    boxes(),
    st.sampled_from(("nw", "n", "ne", "e", "se", "s", "sw", "w")),
    st.floats(-1e5, 1e5),
    st.floats(-1e5, 1e5),
)
def test_a_box_stays_upright_whatever_handle_goes_wherever(
    box: Box, handle: edits.Handle, x: float, y: float
) -> None:
    shape = only(edits.resize_box((one(box),), uid(1), handle, x, y))
    assert isinstance(shape, Box)
    assert shape.x0 <= shape.x1
    assert shape.y0 <= shape.y1


def test_a_handle_moves_its_own_sides_only() -> None:
    found = (one(Box(0, 0, 10, 10)),)
    assert only(edits.resize_box(found, uid(1), "e", 20, 99)) == Box(0, 0, 20, 10)
    assert only(edits.resize_box(found, uid(1), "nw", 5, 6)) == Box(5, 6, 10, 10)
    assert only(edits.resize_box(found, uid(1), "s", 99, -4)) == Box(0, -4, 10, 0)
    assert only(edits.move_vertex(found, uid(1), 2, 7, 8)) == Box(0, 0, 7, 8)
    with pytest.raises(InvalidInput):
        edits.resize_box((one(Tag()),), uid(1), "e", 1, 1)


def test_vertices_are_numbered_through_parts_and_rings() -> None:
    shape = Polygon(((SQUARE, HOLE), (SQUARE,)))
    assert edits.vertices(shape) == SQUARE + HOLE + SQUARE
    found = (one(shape),)
    for index, ring in ((0, 0), (3, 0), (4, 1), (6, 1), (7, 2), (10, 2)):
        moved = only(edits.move_vertex(found, uid(1), index, 55, 66))
        assert edits.vertices(moved)[2 * index : 2 * index + 2] == (55, 66)
        assert isinstance(moved, Polygon)
        rings = [r for part in moved.parts for r in part]
        assert [i for i, (a, b) in enumerate(zip(rings, (SQUARE, HOLE, SQUARE), strict=True)) if a != b] == [
            ring
        ]


def test_a_vertex_put_in_and_taken_out_leaves_the_shape_as_it_was() -> None:
    for shape in (Polygon(((SQUARE, HOLE),)), Polyline((0, 0, 5, 5, 9, 0))):
        found = (one(shape),)
        for index in range(len(edits.vertices(shape)) // 2):
            more = edits.insert_vertex(found, uid(1), index, 3, 4)
            assert edits.vertices(only(more))[2 * index + 2 : 2 * index + 4] == (3, 4)
            assert edits.delete_vertex(more, uid(1), index + 1) == found


def test_an_outline_keeps_three_vertices_and_a_hole_goes_instead() -> None:
    triangle = (one(Polygon((((0, 0, 9, 0, 9, 9),),))),)
    with pytest.raises(InvalidInput, match="three"):
        edits.delete_vertex(triangle, uid(1), 0)
    with pytest.raises(InvalidInput, match="two"):
        edits.delete_vertex((one(Polyline((0, 0, 1, 1))),), uid(1), 0)
    assert only(edits.delete_vertex((one(Polygon(((SQUARE, HOLE),))),), uid(1), 5)) == Polygon(((SQUARE,),))


@pytest.mark.parametrize("index", [-1, 4, 99])
def test_a_vertex_that_is_not_there_is_refused(index: int) -> None:
    for shape in (Polygon(((SQUARE,),)), Box(0, 0, 1, 1)):
        with pytest.raises(InvalidInput, match="no vertex"):
            edits.move_vertex((one(shape),), uid(1), index, 0, 0)
    for edit in (edits.insert_vertex, edits.delete_vertex):
        with pytest.raises(InvalidInput):
            edit((one(Box(0, 0, 1, 1)),), uid(1), 0, *((0, 0) if edit is edits.insert_vertex else ()))  # type: ignore[operator]


def test_a_keypoint_that_is_put_somewhere_is_seen() -> None:
    found = (one(Keypoints((0, 0, 5, 5), (0, 1))),)
    assert only(edits.move_vertex(found, uid(1), 0, 3, 3)) == Keypoints((3, 3, 5, 5), (2, 1))
    assert only(edits.move_vertex((one(Points((0, 0))),), uid(1), 0, 3, 3)) == Points((3, 3))


def test_masks_and_tags_stay_where_they_are() -> None:
    for shape in (Mask(2, 2, (1, 3)), Tag()):
        assert only(edits.move((one(shape),), [uid(1)], 5, 5)) == shape


def test_another_label_keeps_what_it_knows_and_brings_its_defaults() -> None:
    a = Annotation(
        "person", Box(0, 0, 1, 1), {"unsure": True, "posture": "sitting", "occlusion": "most"}, uid=uid(1)
    )
    (b,) = edits.relabel((a,), [uid(1)], "helmet", schema=SCHEMA)
    assert b.label == "helmet"
    assert dict(b.attributes) == {
        "unsure": True,
        "occlusion": "most",
        "helmet_color": "unknown",
        "cap_lamp": "unknown",
        "truncated": False,
    }
    assert (b.uid, b.shape) == (a.uid, a.shape)
    odd = Annotation("person", Box(0, 0, 1, 1), {"occlusion": "perhaps"}, uid=uid(1))
    assert edits.relabel((odd,), [uid(1)], "helmet", schema=SCHEMA)[0].attributes["occlusion"] == "none"
    for label in ("nobody", "personnel"):
        with pytest.raises(NotFound):
            edits.relabel((a,), [uid(1)], label, schema=SCHEMA)


def test_an_attribute_is_set_and_taken_away() -> None:
    found = edits.set_attribute((one(Tag()),), [uid(1)], "unsure", True)
    assert dict(found[0].attributes) == {"unsure": True}
    assert edits.set_attribute(found, [uid(1)], "unsure", None)[0].attributes == {}

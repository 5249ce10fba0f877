"""Whatever handle of whatever shape is dragged anywhere, the shape stays one that the record can hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation import rows
from annotation.core import (
    Box,
    Cuboid,
    Ellipse,
    Keypoints,
    Points,
    Polygon,
    Polyline,
    Quad,
    RotatedBox,
    Shape,
)
from app.desktop.canvas import scene as scenes
from app.desktop.canvas import shapes

place = st.floats(-200, 800, allow_nan=False).map(lambda v: round(v, 3))
size = st.floats(2, 300).map(lambda v: round(v, 3))
turn = st.floats(0, 359.99).map(lambda v: round(v, 3))


def flat(n: int) -> st.SearchStrategy[tuple[float, ...]]:
    return st.lists(place, min_size=2 * n, max_size=2 * n).map(tuple)


ANY: st.SearchStrategy[Shape] = st.one_of(
    st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), place, place, size, size),
    st.builds(RotatedBox, place, place, size, size, turn),
    st.builds(lambda x, y, a, b, d: Ellipse(x, y, a, b, d % 180), place, place, size, size, turn),
    flat(4).map(Quad),
    flat(8).map(Cuboid),
    flat(5).map(Polyline),
    flat(3).map(Points),
    flat(3).map(lambda points: Keypoints(points, (2, 1, 0))),
    st.tuples(flat(6), flat(4)).map(lambda rings: Polygon(((rings[0], rings[1]), (rings[1],)))),
)


@settings(max_examples=150, deadline=None)
@given(ANY, st.data(), place, place)
def test_a_dragged_handle_leaves_a_shape_of_the_same_kind_that_is_stored_as_shown(
    shape: Shape, data: st.DataObject, x: float, y: float
) -> None:
    found = shapes.handles(shape, 1.0)
    assert len({handle for handle, _, _ in found}) == len(found)
    handle, _, _ = data.draw(st.sampled_from(found))
    new = shapes.with_handle(shape, handle, x, y)
    assert type(new) is type(shape)
    held = rows.snapped(new)
    assert rows.snapped(held) == held
    assert len(shapes.handles(new, 1.0)) == len(found)
    assert all(points.shape[1] == 2 for points, _ in shapes.rings(new))


@settings(max_examples=80, deadline=None)
@given(ANY, st.data(), st.floats(-50, 50), st.floats(-50, 50))
def test_handles_shifted_together_keep_their_distances_and_the_others_stay(
    shape: Shape, data: st.DataObject, dx: float, dy: float
) -> None:
    free = Polygon | Polyline | Quad | Points | Keypoints
    if not isinstance(shape, free):
        return
    before = {h: (x, y) for h, x, y in shapes.handles(shape)}
    taken = data.draw(st.sets(st.sampled_from(sorted(before)), min_size=1))
    after = {h: (x, y) for h, x, y in shapes.handles(shapes.shifted(shape, taken, dx, dy))}
    for handle, (x, y) in before.items():
        wanted = (x + dx, y + dy) if handle in taken else (x, y)
        assert after[handle] == pytest.approx(wanted, abs=1e-6)


@settings(max_examples=80, deadline=None)
@given(place, place, st.floats(1, 30))
def test_a_snapped_point_lies_on_the_outline_or_is_left_alone(x: float, y: float, reach: float) -> None:
    from annotation import geometry
    from annotation.core import Annotation

    box = Box(100, 100, 300, 250)
    scene = scenes.build((Annotation("a", box),))
    found = shapes.snap(scene, x, y, reach)
    if found is None:
        assert geometry.distance(box, x, y) > reach - 0.01
    else:
        assert geometry.distance(box, *found) < 0.01
        assert max(abs(found[0] - x), abs(found[1] - y)) <= reach + 0.01

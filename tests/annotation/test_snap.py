"""Snapping: one border without gap or overlap, bays crossed, and nothing moved that is out of reach."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation import geometry
from annotation.core import (
    Polygon,
    Polyline,
    Tag,
)
from annotation.snap import snap_border
from tests.annotation.strategies import patient

NEIGHBOUR = Polygon((((0.0, 0.0, 50.0, 0.0, 52.0, 20.0, 49.0, 30.0, 51.0, 60.0, 0.0, 60.0),),))


def overlap_and_gap(a: Polygon, b: Polygon) -> tuple[float, float]:
    """What both cover, and what lies enclosed between them."""
    import shapely

    one, two = geometry.to_shapely(a), geometry.to_shapely(b)
    both = one.union(two)
    holes = sum(shapely.Polygon(r).area for g in getattr(both, "geoms", [both]) for r in g.interiors)
    return float(one.intersection(two).area), float(holes)


def test_a_rough_outline_shares_the_neighbours_border_without_gap_or_overlap() -> None:
    rough = Polygon((((47.0, 1.0, 90.0, 0.0, 90.0, 60.0, 53.0, 59.0),),))
    assert overlap_and_gap(rough, NEIGHBOUR)[0] > 10
    found = snap_border(rough, [NEIGHBOUR], 5)
    (ring,) = found.parts[0]
    assert set(geometry.pairs(ring)) == {(50, 0), (52, 20), (49, 30), (51, 60), (90, 0), (90, 60)}
    assert overlap_and_gap(found, NEIGHBOUR) == (pytest.approx(0, abs=1e-9), 0)
    assert geometry.to_shapely(found).is_valid


def test_a_bay_is_crossed_not_followed() -> None:
    bay = Polygon(
        (((0.0, 0.0, 10.0, 0.0, 10.0, 90.0, 20.0, 90.0, 20.0, 0.0, 30.0, 0.0, 30.0, 99.0, 0.0, 99.0),),)
    )
    above = Polygon((((9.0, -1.0, 21.0, -1.0, 15.0, -30.0),),))
    assert snap_border(above, [bay], 2) == Polygon((((10.0, 0.0, 20.0, 0.0, 15.0, -30.0),),))


def test_what_is_out_of_reach_stays_and_a_ring_is_never_snapped_to_nothing() -> None:
    far = Polygon((((70.0, 0.0, 90.0, 0.0, 90.0, 60.0),),))
    assert snap_border(far, [NEIGHBOUR], 5) == far
    assert snap_border(far, [Polyline((69, 0, 69, 60)), Tag()], 5) == far
    speck = Polygon((((49.0, -1.0, 51.0, -1.0, 50.0, 1.0),),))
    assert snap_border(speck, [NEIGHBOUR], 5) == speck


@patient
@given(
    st.lists(st.tuples(st.integers(40, 80), st.integers(-20, 80)), min_size=3, max_size=8, unique=True),
    st.integers(1, 9),
)
def test_every_vertex_is_the_outlines_own_or_lies_on_the_neighbours_border(
    points: list[tuple[int, int]], reach: int
) -> None:
    ring = tuple(float(c) for p in points for c in p)
    found = snap_border(Polygon(((ring,),)), [NEIGHBOUR], reach)
    old = set(geometry.pairs(ring))
    for x, y in geometry.pairs(found.parts[0][0]):
        assert (x, y) in old or geometry.distance(NEIGHBOUR, x, y) < 1e-6

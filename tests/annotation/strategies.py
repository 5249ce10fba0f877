"""Hypothesis strategies for the values of the domain, and how long they may search."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from annotation import marks
from annotation.core import (
    Annotation,
    Box,
    Caption,
    Coords,
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

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
"""No deadline: the machine may be busy. Sixty-odd examples find what these strategies can find."""

numbers = st.floats(-5e5, 5e5, allow_nan=False)
sizes = st.floats(0, 5e5, allow_nan=False)


def coords(least: int, most: int = 12) -> st.SearchStrategy[Coords]:
    points = st.lists(st.tuples(numbers, numbers), min_size=least, max_size=most)
    return points.map(lambda found: tuple(c for point in found for c in point))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x0, y0 = draw(numbers), draw(numbers)
    return Box(x0, y0, x0 + draw(sizes), y0 + draw(sizes))


@st.composite
def keypoints(draw: st.DrawFn) -> Keypoints:
    n = draw(st.integers(1, 8))
    seen = draw(st.lists(st.sampled_from((0, 1, 2)), min_size=n, max_size=n))
    return Keypoints(draw(coords(n, n)), tuple(seen))


@st.composite
def masks(draw: st.DrawFn, side: int = 9) -> Mask:
    w, h = draw(st.integers(1, side)), draw(st.integers(1, side))
    runs = draw(st.lists(st.integers(0, w * h), max_size=12))
    counts: list[int] = []
    left = w * h
    for n in runs:
        counts.append(min(n, left))
        left -= counts[-1]
    return Mask(w, h, (*counts, left))


polygons = st.lists(
    st.lists(coords(3), min_size=1, max_size=3).map(tuple), min_size=1, max_size=3
).map(lambda parts: Polygon(tuple(parts)))  # fmt: skip

angles = st.floats(-1e4, 1e4, allow_nan=False)
rotated_boxes = st.builds(RotatedBox, numbers, numbers, sizes, sizes, angles)
ellipses = st.builds(Ellipse, numbers, numbers, sizes, sizes, angles)
text = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)

shapes: st.SearchStrategy[Shape] = st.one_of(
    boxes(),
    rotated_boxes,
    polygons,
    coords(2).map(Polyline),
    coords(1).map(Points),
    keypoints(),
    masks(),
    st.just(Tag()),
    coords(4, 4).map(Quad),
    ellipses,
    coords(8, 8).map(Cuboid),
    text.filter(bool).map(Caption),
)

keys = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True) | st.sampled_from(marks.NAMES)
values = st.one_of(text, st.integers(-(2**53) + 1, 2**53 - 1), st.booleans())
uids = st.integers(0, 2**128 - 1).map(lambda n: f"{n:032x}")


def annotations(
    labels: st.SearchStrategy[str], shape: st.SearchStrategy[Shape] = shapes
) -> st.SearchStrategy[Annotation]:
    return st.builds(
        Annotation, labels, shape, attributes=st.dictionaries(keys, values, max_size=4),
        score=st.none() | st.floats(0, 1), origin=st.sampled_from(("human", "model", "import")), uid=uids,
    )  # fmt: skip

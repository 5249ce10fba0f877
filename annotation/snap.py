"""Snapping: a point to the shapes around it, and a polygon's outline to its neighbours' so that they share a border."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import numpy as np

from annotation import geometry
from annotation.core import (
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

if TYPE_CHECKING:
    from numpy.typing import NDArray

What = Literal["", "vertex", "edge"]
DETOUR = 3.0
"""A neighbour's border is followed between two vertices when it is at most so many times as long as the straight way
(plus twice the reach); else the polygon crosses a bay there and goes straight."""


def snap_point(x: float, y: float, neighbours: Iterable[Shape], reach: float) -> tuple[float, float, What]:
    """The place that a point at (x, y) snaps to, within `reach` px: the nearest vertex of a neighbour, else the
    nearest place on an edge, else where it was (""). Masks, tags and captions have neither."""
    vertex: tuple[float, float, float] | None = None
    edge: tuple[float, float, float] | None = None
    for shape in neighbours:
        corners, lines = _parts(shape)
        for px, py in geometry.pairs(corners):
            away = float(np.hypot(px - x, py - y))
            if away <= reach and (vertex is None or away < vertex[0]):
                vertex = (away, px, py)
        if vertex is not None:
            continue
        for points, closed in lines:
            _, px, py = geometry.nearest(points, x, y, closed=closed)
            away = float(np.hypot(px - x, py - y))
            if away <= reach and (edge is None or away < edge[0]):
                edge = (away, px, py)
    if vertex is not None:
        return vertex[1], vertex[2], "vertex"
    return (edge[1], edge[2], "edge") if edge is not None else (x, y, "")


def _parts(shape: Shape) -> tuple[Coords, list[tuple[Coords, bool]]]:
    """The vertices of a shape, and its lines and rings (closed)."""
    match shape:
        case Box() | RotatedBox():
            ring = geometry.corners(shape)
            return ring, [(ring, True)]
        case Quad(points):
            return points, [(points, True)]
        case Ellipse():
            return (), [(geometry.ellipse_ring(shape), True)]
        case Polygon(parts):
            rings = [ring for part in parts for ring in part]
            return tuple(c for ring in rings for c in ring), [(ring, True) for ring in rings]
        case Polyline(points):
            return points, [(points, False)]
        case Cuboid(points):
            edges = geometry.CUBOID_EDGES
            lines = [((*points[2 * i : 2 * i + 2], *points[2 * j : 2 * j + 2]), False) for i, j in edges]
            return points, lines
        case Points(points):
            return points, []
        case Keypoints(points, visibility):
            seen = [c for i, v in enumerate(visibility) if v for c in points[2 * i : 2 * i + 2]]
            return tuple(seen), []
        case Mask() | Tag() | Caption():
            return (), []


def snap_border(polygon: Polygon, neighbours: Iterable[Shape], reach: float) -> Polygon:
    """The polygon with every vertex within `reach` px of a neighbour's border put onto it (vertices before edges),
    and the neighbour's own vertices taken over between two such vertices: then both run along one border, without a
    gap and without an overlap. A ring that would shrink to nothing stays as it was."""
    borders = [
        np.asarray(points, dtype=np.float64).reshape(-1, 2)
        for shape in neighbours
        for points, closed in _parts(shape)[1]
        if closed
    ]
    if not borders:
        return polygon
    return Polygon(tuple(tuple(_snapped(ring, borders, reach) for ring in part) for part in polygon.parts))


def _snapped(ring: Coords, borders: list[NDArray[np.float64]], reach: float) -> Coords:
    points = np.asarray(ring, dtype=np.float64).reshape(-1, 2)
    owner, place, spots = _places(points, borders, reach)
    out: list[tuple[float, float]] = []
    for i in range(len(points)):
        j = (i + 1) % len(points)
        here = (float(spots[i, 0]), float(spots[i, 1]))
        if not out or out[-1] != here:
            out.append(here)
        if owner[i] >= 0 and owner[i] == owner[j]:
            between = _walk(borders[owner[i]], float(place[i]), float(place[j]), reach)
            out += [spot for spot in between if out[-1] != spot]
    while len(out) > 1 and out[0] == out[-1]:
        out.pop()
    return tuple(c for spot in out for c in spot) if len(set(out)) >= 3 else ring


def _places(
    points: NDArray[np.float64], borders: list[NDArray[np.float64]], reach: float
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """For each point the border it snaps to (-1: none), its place there (vertex number and share of the edge after
    it), and where it then lies (n, 2)."""
    n = len(points)
    owner, place, spots = np.full(n, -1), np.zeros(n), points.copy()
    for edges in (False, True):
        best = np.full(n, np.inf)
        free = owner < 0
        for number, border in enumerate(borders):
            start, step = border, np.roll(border, -1, axis=0) - border
            share = np.zeros((n, len(border)))
            if edges:
                length = np.maximum((step**2).sum(axis=1), 1e-12)
                share = ((points[:, None] - start) * step).sum(axis=2) / length
                share = np.clip(share, 0.0, 1.0)
            spot = start + share[..., None] * step
            away = np.hypot(*np.moveaxis(points[:, None] - spot, 2, 0))
            k = away.argmin(axis=1)
            rows = np.arange(n)
            nearer = free & (away[rows, k] <= reach) & (away[rows, k] < best)
            best[nearer] = away[rows, k][nearer]
            owner[nearer] = number
            place[nearer] = ((k + share[rows, k]) % len(border))[nearer]
            spots[nearer] = spot[rows, k][nearer]
    return owner, place, spots


def _walk(border: NDArray[np.float64], a: float, b: float, reach: float) -> list[tuple[float, float]]:
    """The border's vertices between two of its places, along the shorter way; none where that is a long way round."""
    n = len(border)
    ways = []
    for start, end, turn in ((a, b, 1), (b, a, -1)):
        last = end if end >= start else end + n
        numbers = [i % n for i in range(int(np.floor(start)) + 1, int(np.ceil(last)))]
        path = np.array([_at(border, start), *border[numbers], _at(border, end)]).reshape(-1, 2)
        length = float(np.hypot(*np.diff(path, axis=0).T).sum())
        ways.append((length, numbers[::turn]))
    length, numbers = min(ways, key=lambda way: way[0])
    straight = float(np.hypot(*(_at(border, b) - _at(border, a))))
    if length > DETOUR * straight + 2 * reach:
        return []
    return [(float(x), float(y)) for x, y in border[numbers]]


def _at(border: NDArray[np.float64], place: float) -> NDArray[np.float64]:
    i = int(np.floor(place)) % len(border)
    spot: NDArray[np.float64] = border[i] + (place - np.floor(place)) * (
        border[(i + 1) % len(border)] - border[i]
    )
    return spot

"""Snapping: a polygon's outline to its neighbours', so that they share one border."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from annotation import geometry
from annotation.core import Coords, Polygon, Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

DETOUR = 3.0
"""A neighbour's border is followed between two vertices when it is at most so many times as long as the straight way
(plus twice the reach); else the polygon crosses a bay there and goes straight."""


def _borders(shape: Shape) -> list[Coords]:
    """The rings of a shape that has an area; a mask's pixels are no border to draw along."""
    outline = geometry.outline(shape)
    return [ring for part in outline.parts for ring in part] if outline is not None else []


def snap_border(polygon: Polygon, neighbours: Iterable[Shape], reach: float) -> Polygon:
    """The polygon with every vertex within `reach` px of a neighbour's border put onto it (vertices before edges),
    and the neighbour's own vertices taken over between two such vertices: then both run along one border, without a
    gap and without an overlap. A ring that would shrink to nothing stays as it was."""
    borders = [
        np.asarray(ring, dtype=np.float64).reshape(-1, 2) for shape in neighbours for ring in _borders(shape)
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

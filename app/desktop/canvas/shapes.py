"""Shapes as the canvas needs them: rings to draw, handles to grab, and a shape with one handle moved. Pure functions."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from annotation.core import Box, Keypoints, Mask, Points, Polygon, Polyline, RotatedBox, Shape

Ring = tuple[NDArray[np.float32], bool]
"""Points (n, 2) in source pixels; True when the last point is joined to the first."""
Handle = tuple[int, int]
"""For a box (column 0..2, row 0..2); for a polygon (ring, vertex)."""

_BOX_HANDLES: tuple[Handle, ...] = ((0, 0), (1, 0), (2, 0), (0, 1), (2, 1), (0, 2), (1, 2), (2, 2))


def _pairs(flat: tuple[float, ...]) -> NDArray[np.float32]:
    return np.asarray(flat, np.float32).reshape(-1, 2)


def rings(shape: Shape) -> list[Ring]:
    """Everything of the shape that is drawn; empty for a tag of the whole picture."""
    match shape:
        case Box(x0=a, y0=b, x1=c, y1=d):
            return [(np.array([[a, b], [c, b], [c, d], [a, d]], np.float32), True)]
        case RotatedBox(cx=x, cy=y, w=w, h=h, degrees=turn):
            cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
            corners = np.array([[-w, -h], [w, -h], [w, h], [-w, h]], np.float32) / 2
            return [
                (
                    (corners @ np.array([[cos, sin], [-sin, cos]], np.float32) + (x, y)).astype(np.float32),
                    True,
                )
            ]
        case Polygon(parts=parts):
            return [(_pairs(ring), True) for part in parts for ring in part]
        case Polyline(points=points):
            return [(_pairs(points), False)]
        case Points(points=points) | Keypoints(points=points):
            cross = np.array([[-3, 0], [0, -3], [3, 0], [0, 3]], np.float32)
            return [(cross + point, True) for point in _pairs(points)]
        case Mask(w=w, h=h, counts=counts):
            values = np.repeat(np.arange(len(counts), dtype=np.uint8) & 1, counts)
            found, _ = cv2.findContours(
                np.ascontiguousarray(values.reshape(w, h).T), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
            )
            return [(ring.reshape(-1, 2).astype(np.float32) + 0.5, True) for ring in found]
        case _:
            return []


def editable(shape: Shape) -> bool:
    """True for the kinds this desk can reshape: boxes and polygons."""
    return isinstance(shape, Box | Polygon)


def handles(shape: Shape) -> list[tuple[Handle, float, float]]:
    """What can be grabbed: eight places of a box, every vertex of a polygon; source pixels."""
    match shape:
        case Box(x0=a, y0=b, x1=c, y1=d):
            xs, ys = (a, (a + c) / 2, c), (b, (b + d) / 2, d)
            return [((i, j), xs[i], ys[j]) for i, j in _BOX_HANDLES]
        case Polygon(parts=parts):
            found = []
            flat = [ring for part in parts for ring in part]
            for r, ring in enumerate(flat):
                found += [((r, i // 2), ring[i], ring[i + 1]) for i in range(0, len(ring), 2)]
            return found
        case _:
            return []


def with_handle(shape: Shape, handle: Handle, x: float, y: float) -> Shape:
    """The shape with one handle at (x, y). A box pulled through itself turns over instead of going negative."""
    match shape:
        case Box(x0=a, y0=b, x1=c, y1=d):
            column, row = handle
            a, c = (x, c) if column == 0 else (a, x) if column == 2 else (a, c)
            b, d = (y, d) if row == 0 else (b, y) if row == 2 else (b, d)
            return Box(min(a, c), min(b, d), max(a, c), max(b, d))
        case Polygon():
            at = 2 * handle[1]
            return _with_ring(shape, handle[0], lambda ring: (*ring[:at], x, y, *ring[at + 2 :]))
        case _:
            return shape


def insert_vertex(shape: Polygon, ring: int, after: int, x: float, y: float) -> Polygon:
    """A new vertex on the edge that begins at vertex `after`."""
    at = 2 * (after + 1)
    return _with_ring(shape, ring, lambda flat: (*flat[:at], x, y, *flat[at:]))


def delete_vertex(shape: Polygon, ring: int, vertex: int) -> Polygon | None:
    """Without one vertex; None when the ring would have fewer than three."""
    flat = [r for part in shape.parts for r in part]
    if len(flat[ring]) <= 6:
        return None
    return _with_ring(shape, ring, lambda r: (*r[: 2 * vertex], *r[2 * vertex + 2 :]))


def _with_ring(shape: Polygon, ring: int, change) -> Polygon:
    count = 0
    parts = []
    for part in shape.parts:
        new = []
        for one in part:
            new.append(tuple(float(v) for v in change(one)) if count == ring else one)
            count += 1
        parts.append(tuple(new))
    return Polygon(tuple(parts))


def moved(shape: Shape, dx: float, dy: float) -> Shape:
    """The shape shifted by (dx, dy) source pixels; kinds the desk cannot edit stay where they are."""
    match shape:
        case Box(x0=a, y0=b, x1=c, y1=d):
            return Box(a + dx, b + dy, c + dx, d + dy)
        case Polygon(parts=parts):
            shift = (dx, dy)
            return Polygon(
                tuple(
                    tuple(tuple(v + shift[i & 1] for i, v in enumerate(ring)) for ring in part)
                    for part in parts
                )
            )
        case _:
            return shape


def bounds(shape: Shape) -> tuple[float, float, float, float] | None:
    """x0, y0, x1, y1 of everything drawn, or None for a tag."""
    if isinstance(shape, Box):
        return shape.x0, shape.y0, shape.x1, shape.y1
    parts = rings(shape)
    if not parts:
        return None
    points = np.concatenate([ring for ring, _ in parts])
    (a, b), (c, d) = points.min(0), points.max(0)
    return float(a), float(b), float(c), float(d)


def nearest_edge(shape: Polygon, x: float, y: float) -> tuple[int, int, float]:
    """(ring, vertex the edge begins at, distance in source pixels) of the edge nearest to a point."""
    best = (0, 0, math.inf)
    for r, (points, _) in enumerate(rings(shape)):
        a, b = points, np.roll(points, -1, axis=0)
        along = b - a
        length = np.maximum((along**2).sum(1), 1e-9)
        t = np.clip((((x, y) - a) * along).sum(1) / length, 0, 1)
        distance = np.hypot(*((a + along * t[:, None]) - (x, y)).T)
        i = int(distance.argmin())
        if distance[i] < best[2]:
            best = (r, i, float(distance[i]))
    return best

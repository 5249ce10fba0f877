"""What a hand can take hold of: the handles of every shape, and the shape with one of them moved.

A handle is two small numbers, equal while the shape is the same:

box, rotated box, ellipse   (column 0..2, row 0..2) of the box before turning, without the middle; `TURN` turns
polygon                     (ring, vertex), rings counted through all parts
polyline, points, keypoints (0, point); absent keypoints have none
quad                        (0, corner)
cuboid                      (0, front corner), (1, back corner), `FRONT` and `BACK` move a whole face
mask, tag, caption          none
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

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
from annotation.errors import InvalidInput

Handle = tuple[int, int]
TURN: Handle = (3, 0)
"""The handle that turns a rotated box or an ellipse, beyond the middle of its top side."""
FRONT: Handle = (2, 0)
BACK: Handle = (3, 0)
ARM_PX = 24.0

_GRID: tuple[Handle, ...] = ((0, 0), (1, 0), (2, 0), (0, 1), (2, 1), (0, 2), (1, 2), (2, 2))


def handles(shape: Shape, *, arm: float = ARM_PX) -> list[tuple[Handle, float, float]]:
    """Every handle and its place in px. arm: how far the turning handle stands off, in px of the picture."""
    match shape:
        case Box(x0, y0, x1, y1):
            xs, ys = (x0, (x0 + x1) / 2, x1), (y0, (y0 + y1) / 2, y1)
            return [((i, j), xs[i], ys[j]) for i, j in _GRID]
        case RotatedBox(cx, cy, w, h, degrees):
            flat = [c for i, j in _GRID for c in (cx + w * (i - 1) / 2, cy + h * (j - 1) / 2)]
            flat += [cx, cy - h / 2 - arm]
            places = geometry.pairs(geometry.turned(tuple(flat), degrees, cx, cy))
            return [(handle, x, y) for handle, (x, y) in zip((*_GRID, TURN), places, strict=True)]
        case Ellipse():
            return handles(_box_of(shape), arm=arm)
        case Polygon(parts):
            rings = [ring for part in parts for ring in part]
            return [
                ((r, i), x, y)
                for r, ring in enumerate(rings)
                for i, (x, y) in enumerate(geometry.pairs(ring))
            ]
        case Polyline(points) | Points(points) | Quad(points):
            return [((0, i), x, y) for i, (x, y) in enumerate(geometry.pairs(points))]
        case Keypoints(points, visibility):
            placed = enumerate(zip(geometry.pairs(points), visibility, strict=True))
            return [((0, i), x, y) for i, ((x, y), v) in placed if v]
        case Cuboid(points):
            numbered = enumerate(geometry.pairs(points))
            return [
                *((divmod(i, 4), x, y) for i, (x, y) in numbered),
                (FRONT, *_middle(points[:8])),
                (BACK, *_middle(points[8:])),
            ]
        case Mask() | Tag() | Caption():
            return []


def with_handle(shape: Shape, handle: Handle, x: float, y: float) -> Shape:
    """The shape with one handle put at (x, y). What lies opposite stays; a box pulled through itself turns over.

    A keypoint that is put somewhere is seen.

    Raises:
        InvalidInput: when the shape has no such handle.
    """
    match shape:
        case Box(x0, y0, x1, y1) if handle in _GRID:
            column, row = handle
            x0, x1 = (x, x1) if column == 0 else (x0, x) if column == 2 else (x0, x1)
            y0, y1 = (y, y1) if row == 0 else (y0, y) if row == 2 else (y0, y1)
            return Box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        case RotatedBox() if handle == TURN:
            return replace(shape, degrees=_bearing(shape.cx, shape.cy, x, y))
        case RotatedBox(cx, cy, w, h, degrees) if handle in _GRID:
            upright = Box(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
            new = with_handle(upright, handle, *geometry.turned((x, y), -degrees, cx, cy))
            assert isinstance(new, Box)
            middle = ((new.x0 + new.x1) / 2, (new.y0 + new.y1) / 2)
            nx, ny = geometry.turned(middle, degrees, cx, cy)
            return RotatedBox(nx, ny, new.x1 - new.x0, new.y1 - new.y0, degrees)
        case Ellipse():
            new = with_handle(_box_of(shape), handle, x, y)
            assert isinstance(new, RotatedBox)
            return Ellipse(new.cx, new.cy, new.w / 2, new.h / 2, new.degrees % 180.0)
        case Cuboid(points) if handle in (FRONT, BACK):
            face = points[:8] if handle == FRONT else points[8:]
            mx, my = _middle(face)
            face = tuple(v + ((y - my) if i % 2 else (x - mx)) for i, v in enumerate(face))
            return Cuboid((*face, *points[8:]) if handle == FRONT else (*points[:8], *face))
        case Cuboid(points) if handle[0] in (0, 1):
            return Cuboid(_put(points, _of(handle[1], 4) + 4 * handle[0], x, y))
        case Quad(points) if handle[0] == 0:
            return Quad(_put(points, _of(handle[1], 4), x, y))
        case Polyline(points) | Points(points) if handle[0] == 0:
            return replace(shape, points=_put(points, handle[1], x, y))
        case Keypoints(points, visibility) if handle[0] == 0:
            at = _of(handle[1], len(visibility))
            seen = tuple(v or 2 if i == at else v for i, v in enumerate(visibility))
            return Keypoints(_put(points, at, x, y), seen)
        case Polygon():
            return _with_ring(shape, handle[0], lambda ring: _put(ring, handle[1], x, y))
        case _:
            raise InvalidInput(f"there is no handle {handle} here")


def insert_vertex(shape: Shape, handle: Handle, x: float, y: float) -> Shape:
    """A polygon or line with a new vertex after the one that `handle` names; the new one is (ring, vertex + 1).

    Raises:
        InvalidInput: for other kinds, or when there is no such vertex.
    """
    at = 2 * handle[1] + 2

    def change(points: Coords) -> Coords:
        _of(handle[1], len(points) // 2)
        return (*points[:at], x, y, *points[at:])

    return _in_points(shape, handle[0], change)


def delete_vertex(shape: Shape, handle: Handle) -> Shape:
    """A polygon or line without one vertex; a hole of three vertices, or a further part, goes with it.

    Raises:
        InvalidInput: for other kinds, no such vertex, or when the last outline of three or a line of two would fall
            apart.
    """
    at = 2 * handle[1]

    def change(points: Coords) -> Coords:
        _of(handle[1], len(points) // 2)
        return (*points[:at], *points[at + 2 :])

    new = _in_points(shape, handle[0], change)
    if isinstance(new, Polyline):
        if len(new.points) < 4:
            raise InvalidInput("a line needs two vertices", remedy="delete the object")
        return new
    assert isinstance(new, Polygon)
    parts = [tuple(r for i, r in enumerate(p) if i == 0 or len(r) >= 6) for p in new.parts if len(p[0]) >= 6]
    if not parts:
        raise InvalidInput("an outline needs three vertices", remedy="delete the object")
    return Polygon(tuple(parts))


def nearest_edge(shape: Polygon | Polyline, x: float, y: float) -> tuple[Handle, float, float, float]:
    """The edge nearest to (x, y): the vertex it begins at, the place on it, and the distance, in px."""
    rings = [r for part in shape.parts for r in part] if isinstance(shape, Polygon) else [shape.points]
    found = []
    for n, ring in enumerate(rings):
        i, px, py = geometry.nearest(ring, x, y, closed=isinstance(shape, Polygon))
        found.append((math.hypot(px - x, py - y), (n, i), px, py))
    away, handle, px, py = min(found)
    return handle, px, py, away


def _box_of(shape: Ellipse) -> RotatedBox:
    return RotatedBox(shape.cx, shape.cy, 2 * shape.rx, 2 * shape.ry, shape.degrees)


def _middle(points: Coords) -> tuple[float, float]:
    n = len(points) // 2
    return sum(points[0::2]) / n, sum(points[1::2]) / n


def _bearing(cx: float, cy: float, x: float, y: float) -> float:
    """Degrees clockwise from straight up, in [0, 360)."""
    return math.degrees(math.atan2(x - cx, cy - y)) % 360.0


def _of(index: int, n: int) -> int:
    if not 0 <= index < n:
        raise InvalidInput(f"there is no vertex {index}", remedy=f"0 to {n - 1}")
    return index


def _put(points: Coords, index: int, x: float, y: float) -> Coords:
    at = 2 * _of(index, len(points) // 2)
    return (*points[:at], x, y, *points[at + 2 :])


def _in_points(shape: Shape, ring: int, change: Callable[[Coords], Coords]) -> Shape:
    match shape:
        case Polyline(points) if ring == 0:
            return Polyline(change(points))
        case Polygon():
            return _with_ring(shape, ring, change)
        case _:
            raise InvalidInput("only polygons and lines can gain or lose a vertex")


def _with_ring(shape: Polygon, ring: int, change: Callable[[Coords], Coords]) -> Polygon:
    _of(ring, sum(map(len, shape.parts)))
    parts: list[tuple[Coords, ...]] = []
    n = 0
    for part in shape.parts:
        parts.append(tuple(change(r) if n + i == ring else r for i, r in enumerate(part)))
        n += len(part)
    return Polygon(tuple(parts))

"""Measures of shapes: boxes around them, outlines, areas, clipping, hit tests. Coordinates and lengths in px."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from annotation import rle
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

SAGITTA_PX = 0.1
"""How far the polygon that stands for an ellipse may lie inside it."""
CUBOID_EDGES: tuple[tuple[int, int], ...] = (
    (0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7),
)  # fmt: skip
"""The twelve edges of a cuboid as pairs of its corners."""


def bbox(shape: Shape) -> Box | None:
    """The smallest axis-parallel box around a shape; None for tags, captions, empty masks, absent keypoints."""
    match shape:
        case Box():
            return shape
        case RotatedBox():
            return _around(corners(shape))
        case Ellipse(cx, cy, rx, ry, degrees):
            c, s = _direction(degrees)
            w, h = math.hypot(rx * c, ry * s), math.hypot(rx * s, ry * c)
            return Box(cx - w, cy - h, cx + w, cy + h)
        case Polygon(parts):
            return _around([c for part in parts for c in part[0]])
        case Polyline(points) | Points(points) | Quad(points) | Cuboid(points):
            return _around(points)
        case Keypoints(points, visibility):
            return _around([c for i, v in enumerate(visibility) if v for c in points[2 * i : 2 * i + 2]])
        case Mask(_, h, counts):
            inner = rle.extent(counts, h)
            return None if inner is None else Box(*map(float, inner))
        case Tag() | Caption():
            return None


def _around(points: Sequence[float]) -> Box | None:
    if not points:
        return None
    xs, ys = points[0::2], points[1::2]
    return Box(min(xs), min(ys), max(xs), max(ys))


def _direction(degrees: float) -> tuple[float, float]:
    """Cosine and sine; quarter turns are exact, so they do not depend on the platform's sine."""
    quarter, rest = divmod(degrees % 360.0, 90.0)
    c, s = (1.0, 0.0) if rest == 0.0 else (math.cos(math.radians(rest)), math.sin(math.radians(rest)))
    for _ in range(int(quarter)):
        c, s = -s, c
    return c, s


def turned(points: Coords, degrees: float, cx: float, cy: float) -> Coords:
    """Flat points turned clockwise on the screen around (cx, cy); quarter turns are exact."""
    c, s = _direction(degrees)
    out: list[float] = []
    for x, y in pairs(points):
        dx, dy = x - cx, y - cy
        out += (cx + dx * c - dy * s, cy + dx * s + dy * c)
    return tuple(out)


def pairs(points: Coords) -> Iterable[tuple[float, float]]:
    """Flat points one by one as (x, y)."""
    return zip(points[0::2], points[1::2], strict=True)


def corners(box: Box | RotatedBox) -> Coords:
    """The four corners (8 numbers): top left, top right, bottom right, bottom left before turning clockwise."""
    if isinstance(box, Box):
        return (box.x0, box.y0, box.x1, box.y0, box.x1, box.y1, box.x0, box.y1)
    c, s = _direction(box.degrees)
    out: list[float] = []
    for dx, dy in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)):
        x, y = dx * box.w, dy * box.h
        out += (box.cx + x * c - y * s, box.cy + x * s + y * c)
    return tuple(out)


def ellipse_ring(shape: Ellipse) -> Coords:
    """The ellipse as a ring of 24 to 360 points on it, nowhere more than `SAGITTA_PX` inside it below 700 px."""
    radius = max(shape.rx, shape.ry, 1.0)
    n = math.pi / math.acos(1.0 - min(SAGITTA_PX / radius, 1.0))
    n = min(360, max(24, 4 * math.ceil(n / 4)))
    ring: list[float] = []
    for i in range(n):
        c, s = _direction(i * 360.0 / n)
        ring += (shape.cx + shape.rx * c, shape.cy + shape.ry * s)
    return turned(tuple(ring), shape.degrees, shape.cx, shape.cy)


def hull(points: Coords) -> Coords:
    """The convex hull of flat points as an open ring, clockwise on the screen; fewer than three points when flat."""
    found = sorted(set(pairs(points)))
    if len(found) < 3:
        return tuple(c for p in found for c in p)
    ring: list[tuple[float, float]] = []
    for row in (found, found[::-1]):
        half: list[tuple[float, float]] = []
        for x, y in row:
            while len(half) >= 2 and _turns_left(half[-2], half[-1], (x, y)):
                half.pop()
            half.append((x, y))
        ring += half[:-1]
    return tuple(c for p in ring for c in p)


def _turns_left(a: tuple[float, float], b: tuple[float, float], p: tuple[float, float]) -> bool:
    return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) <= 0


def outline(shape: Shape) -> Polygon | None:
    """The polygon of a shape that has an area: an ellipse's in straight pieces, a cuboid's silhouette.

    None for a mask (`raster.to_polygon` follows its pixels), lines, points, tags, and a cuboid that is flat.
    """
    match shape:
        case Box() | RotatedBox():
            return Polygon(((corners(shape),),))
        case Ellipse():
            return Polygon(((ellipse_ring(shape),),))
        case Quad(points):
            return Polygon(((points,),))
        case Cuboid(points):
            ring = hull(points)
            return Polygon(((ring,),)) if len(ring) >= 6 else None
        case Polygon():
            return shape
        case Polyline() | Points() | Keypoints() | Mask() | Tag() | Caption():
            return None


def ring_area(ring: Coords) -> float:
    """Signed area of an open ring in px²; positive when it runs clockwise on the screen."""
    total = 0.0
    x0, y0 = ring[-2], ring[-1]
    for x1, y1 in zip(ring[0::2], ring[1::2], strict=True):
        total += x0 * y1 - x1 * y0
        x0, y0 = x1, y1
    return total / 2


def area(shape: Shape) -> float:
    """Area in px²: 0 for lines, points, tags; a polygon's holes are taken off; a cuboid's is its silhouette's."""
    match shape:
        case Box(x0, y0, x1, y1):
            return (x1 - x0) * (y1 - y0)
        case RotatedBox():
            return shape.w * shape.h
        case Ellipse():
            return math.pi * shape.rx * shape.ry
        case Polygon(parts):
            return sum(abs(ring_area(p[0])) - sum(abs(ring_area(hole)) for hole in p[1:]) for p in parts)
        case Quad(points):
            return abs(ring_area(points))
        case Cuboid(points):
            ring = hull(points)
            return abs(ring_area(ring)) if len(ring) >= 6 else 0.0
        case Mask(_, _, counts):
            return float(sum(counts[1::2]))
        case Polyline() | Points() | Keypoints() | Tag() | Caption():
            return 0.0


def boxes_array(shapes: Iterable[Shape]) -> NDArray[np.float64]:
    """Bounding boxes as float64 (n, 4) xyxy; NaN rows for shapes without one."""
    rows = [(b.x0, b.y0, b.x1, b.y1) if (b := bbox(s)) else (math.nan,) * 4 for s in shapes]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def iou(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Intersection over union of boxes (n, 4) x (m, 4) xyxy -> (n, m); 0 where the union is empty or NaN."""
    a = np.asarray(a, dtype=np.float64).reshape(-1, 4)
    b = np.asarray(b, dtype=np.float64).reshape(-1, 4)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    wh = np.clip(high - low, 0.0, None)
    inter = wh[..., 0] * wh[..., 1]
    areas_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    areas_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    union = areas_a[:, None] + areas_b[None, :] - inter
    out = np.zeros_like(inter)
    np.divide(inter, union, out=out, where=union > 0)
    return np.where(np.isnan(out), 0.0, out)


# ---------------------------------------------------------------------------------------------------------------
# Clipping


def clip(shape: Shape, *, width: float, height: float) -> Shape | None:
    """The part of a shape inside the picture, or None. Lines and points keep what lies inside; a rotated box, quad,
    ellipse or cuboid that crosses the border becomes a polygon; masks, tags and captions are inside by nature;
    hidden keypoints become absent."""
    match shape:
        case Box(x0, y0, x1, y1):
            inner = Box(max(x0, 0.0), max(y0, 0.0), min(x1, width), min(y1, height))
            return inner if inner.x0 < inner.x1 and inner.y0 < inner.y1 else None
        case RotatedBox() | Ellipse() | Quad() | Cuboid():
            box = bbox(shape)
            if box is not None and _inside((box.x0, box.y0, box.x1, box.y1), width, height):
                return shape
            drawn = outline(shape)
            return None if drawn is None else _clip_polygon(drawn, width, height)
        case Polygon(parts):
            if all(_inside(part[0], width, height) for part in parts):
                return shape
            return _clip_polygon(shape, width, height)
        case Polyline(points):
            return shape if _inside(points, width, height) else _clip_line(points, width, height)
        case Points(points):
            kept = [c for x, y in pairs(points) if 0 <= x <= width and 0 <= y <= height for c in (x, y)]
            return Points(tuple(kept)) if kept else None
        case Keypoints(points, visibility):
            seen = tuple(
                v if 0 <= x <= width and 0 <= y <= height else 0
                for (x, y), v in zip(pairs(points), visibility, strict=True)
            )
            return Keypoints(points, seen) if any(seen) else None
        case Mask() | Tag() | Caption():
            return shape


def _inside(points: Coords, width: float, height: float) -> bool:
    return min(points) >= 0 and max(points[0::2]) <= width and max(points[1::2]) <= height


def _clip_polygon(shape: Polygon, width: float, height: float) -> Polygon | None:
    import shapely

    with np.errstate(all="ignore"):  # GEOS divides by tiny numbers and goes on rightly; numpy would report it
        return from_shapely(shapely.intersection(to_shapely(shape), shapely.box(0, 0, width, height)))


def _clip_line(points: Coords, width: float, height: float) -> Polyline | None:
    import shapely

    inner = shapely.intersection(shapely.LineString(list(pairs(points))), shapely.box(0, 0, width, height))
    lines = [g for g in shapely.get_parts(inner) if g.geom_type == "LineString" and g.length > 0]
    if not lines:
        return None
    longest = max(lines, key=lambda g: float(g.length))
    return Polyline(tuple(float(v) for xy in longest.coords for v in xy[:2]))


def to_shapely(shape: Polygon) -> Any:
    """The valid shapely area that a polygon covers: its rings mended, its parts united, on the record's grid."""
    import shapely

    # GEOS refuses several parts of which one has no area, so each is mended alone, on the record's grid of 1/1000 px.
    rings = [[[(round(x, 3), round(y, 3)) for x, y in pairs(ring)] for ring in part] for part in shape.parts]
    with np.errstate(all="ignore"):
        clean = [shapely.make_valid(shapely.Polygon(part[0], part[1:])) for part in rings]
        solid = [g for part in clean for g in shapely.get_parts(shapely.get_parts(part)) if g.area > 0]
        return shapely.union_all(solid)


def from_shapely(found: Any) -> Polygon | None:
    """The polygons of a shapely geometry as one Polygon; None when it has no area."""
    import shapely

    parts: list[tuple[Coords, ...]] = []
    for piece in shapely.get_parts(found):
        if piece.geom_type.startswith("Multi") or piece.geom_type == "GeometryCollection":
            inner = from_shapely(piece)
            parts += inner.parts if inner else ()
        elif piece.geom_type == "Polygon" and piece.area > 0:
            rings = (piece.exterior, *piece.interiors)
            parts.append(tuple(tuple(float(v) for xy in ring.coords[:-1] for v in xy[:2]) for ring in rings))
    return Polygon(tuple(parts)) if parts else None


# ---------------------------------------------------------------------------------------------------------------
# Hit tests


def contains(shape: Shape, x: float, y: float) -> bool:
    """Whether the point lies in a shape that has an area (holes are outside; a mask covers whole pixels)."""
    match shape:
        case Box(x0, y0, x1, y1):
            return x0 <= x <= x1 and y0 <= y <= y1
        case RotatedBox():
            return _in_ring(corners(shape), x, y)
        case Ellipse(cx, cy, rx, ry, degrees):
            if rx <= 0 or ry <= 0:
                return False
            px, py = turned((x, y), -degrees, cx, cy)
            return ((px - cx) / rx) ** 2 + ((py - cy) / ry) ** 2 <= 1.0
        case Quad(points):
            return _in_ring(points, x, y)
        case Cuboid(points):
            ring = hull(points)
            return len(ring) >= 6 and _in_ring(ring, x, y)
        case Polygon(parts):
            return any(
                _in_ring(p[0], x, y) and not any(_in_ring(hole, x, y) for hole in p[1:]) for p in parts
            )
        case Mask(w, h, counts):
            if not (0 <= x < w and 0 <= y < h):
                return False
            at = int(x) * h + int(y)
            for i, n in enumerate(counts):
                at -= n
                if at < 0:
                    return i % 2 == 1
            return False
        case Polyline() | Points() | Keypoints() | Tag() | Caption():
            return False


def _in_ring(ring: Coords, x: float, y: float) -> bool:
    inside = False
    x0, y0 = ring[-2], ring[-1]
    for x1, y1 in pairs(ring):
        if (y0 > y) != (y1 > y) and x < (x1 - x0) * (y - y0) / (y1 - y0) + x0:
            inside = not inside
        x0, y0 = x1, y1
    return inside


def distance(shape: Shape, x: float, y: float) -> float:
    """Distance in px from a point to the outline, line, edge or nearest point of a shape; infinite for masks, tags
    and captions."""
    match shape:
        case Box() | RotatedBox():
            return _to_line(corners(shape), x, y, closed=True)
        case Ellipse():
            return _to_line(ellipse_ring(shape), x, y, closed=True)
        case Quad(points):
            return _to_line(points, x, y, closed=True)
        case Cuboid(points):
            return min(
                _to_line((*points[2 * i : 2 * i + 2], *points[2 * j : 2 * j + 2]), x, y, closed=False)
                for i, j in CUBOID_EDGES
            )
        case Polygon(parts):
            return min(_to_line(ring, x, y, closed=True) for part in parts for ring in part)
        case Polyline(points):
            return _to_line(points, x, y, closed=False)
        case Points(points):
            return min(math.hypot(px - x, py - y) for px, py in pairs(points))
        case Keypoints(points, visibility):
            near = [
                math.hypot(px - x, py - y) for (px, py), v in zip(pairs(points), visibility, strict=True) if v
            ]
            return min(near, default=math.inf)
        case Mask() | Tag() | Caption():
            return math.inf


def _to_line(points: Coords, x: float, y: float, *, closed: bool) -> float:
    at = nearest(points, x, y, closed=closed)
    return math.hypot(at[1] - x, at[2] - y)


def nearest(points: Coords, x: float, y: float, *, closed: bool) -> tuple[int, float, float]:
    """The place on a line or ring nearest to (x, y): the vertex its edge begins at, and its coordinates."""
    xs, ys = points[0::2], points[1::2]
    best = (0, xs[0], ys[0])
    least = math.inf
    for i in range(0 if closed else 1, len(xs)):
        ax, ay, dx, dy = xs[i - 1], ys[i - 1], xs[i] - xs[i - 1], ys[i] - ys[i - 1]
        length = dx * dx + dy * dy
        t = 0.0 if length == 0 else min(1.0, max(0.0, ((x - ax) * dx + (y - ay) * dy) / length))
        away = math.hypot(ax + t * dx - x, ay + t * dy - y)
        if away < least:
            least, best = away, ((i - 1) % len(xs), ax + t * dx, ay + t * dy)
    return best


def hit(shape: Shape, x: float, y: float, *, radius: float) -> bool:
    """Whether a pointer at (x, y) with that reach, all in px, touches the shape."""
    return contains(shape, x, y) or distance(shape, x, y) <= radius

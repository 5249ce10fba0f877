"""Measures of shapes, run-length masks, and the integer form in which the record keeps a shape."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from annotation import canonical, rle
from annotation.core import (
    Box,
    Coords,
    Keypoints,
    Kind,
    Mask,
    Points,
    Polygon,
    Polyline,
    RotatedBox,
    Shape,
    Tag,
)
from annotation.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

IntBox = tuple[int, int, int, int]
"""x0, y0, x1, y1 in 1/1000 px."""
TURN = 360 * canonical.MICRO
MAX_POINTS = 1_000_000
"""Points of one shape; a foreign file with more is refused."""

# ---------------------------------------------------------------------------------------------------------------
# The record's form. Box: no geometry. rotated_box: [cx,cy,w,h,microdegrees]. polygon: parts of rings of [x,y,…].
# polyline, points: [x,y,…]. keypoints: [[x,y,…],[v,…]]. mask: [w,h,[counts]] in pixels. tag: neither.


def to_row(shape: Shape) -> tuple[Kind, IntBox | None, str | None]:
    """The canonical integer form of a shape: kind, bounding box in 1/1000 px, geometry as canonical JSON.

    The bounding box is derived from the snapped coordinates, so `to_row(from_row(*to_row(s))) == to_row(s)`.

    Raises:
        InvalidInput: a coordinate that is not finite or too large, too few points, an inverted box, a broken mask.
    """
    match shape:
        case Box(x0, y0, x1, y1):
            box = (canonical.snap(x0), canonical.snap(y0), canonical.snap(x1), canonical.snap(y1))
            if box[0] > box[2] or box[1] > box[3]:
                raise InvalidInput(
                    f"a box whose corners are swapped: {shape}", remedy="x0 <= x1 and y0 <= y1"
                )
            return "box", box, None
        case RotatedBox(cx, cy, w, h, degrees):
            flat = canonical.snaps((cx, cy, w, h))
            if flat[2] < 0 or flat[3] < 0:
                raise InvalidInput(f"a rotated box of negative size: {shape}")
            if not math.isfinite(degrees):
                raise InvalidInput(f"the angle {degrees!r} cannot be stored", remedy="finite")
            flat.append(canonical.snap(degrees % 360.0, canonical.MICRO) % TURN)
            return "rotated_box", _rotated_ints(flat), _json(flat)
        case Polygon(parts):
            if not parts or not all(parts):
                raise InvalidInput("a polygon without a ring")
            rings = [[_flat(ring, 3) for ring in part] for part in parts]
            return "polygon", _extent([x for part in rings for x in part[0]]), _json(rings)
        case Polyline(points):
            flat = _flat(points, 2)
            return "polyline", _extent(flat), _json(flat)
        case Points(points):
            flat = _flat(points, 1)
            return "points", _extent(flat), _json(flat)
        case Keypoints(points, visibility):
            flat = _flat(points, 1)
            if len(visibility) * 2 != len(flat) or any(v not in (0, 1, 2) for v in visibility):
                raise InvalidInput("keypoints whose visibility does not fit", remedy="one of 0, 1, 2 a point")
            seen = [c for i, v in enumerate(visibility) if v for c in flat[2 * i : 2 * i + 2]]
            return "keypoints", _extent(seen) if seen else None, _json([flat, list(visibility)])
        case Mask(w, h, counts):
            runs = rle.normal(counts, w=w, h=h)
            inner = rle.extent(runs, h)
            ints = None if inner is None else cast(IntBox, tuple(v * canonical.PX for v in inner))
            return "mask", ints, _json([w, h, list(runs)])
        case Tag():
            return "tag", None, None


def from_row(kind: str, box: Sequence[int | None] | None, geometry: str | None) -> Shape:
    """The shape of a record row (see `to_row`); `box` may hold four None.

    Raises:
        InvalidInput: when the row is not one that `to_row` wrote.
    """
    if kind == "box":
        if box is None or len(box) != 4 or None in box:
            raise InvalidInput("a box row without coordinates")
        x0, y0, x1, y1 = cast(IntBox, tuple(box))
        return Box(x0 / canonical.PX, y0 / canonical.PX, x1 / canonical.PX, y1 / canonical.PX)
    if kind == "tag":
        return Tag()
    if geometry is None:
        raise InvalidInput(f"a {kind} row without geometry")
    try:
        return _from_json(kind, msgspec.json.decode(geometry))
    except (msgspec.DecodeError, TypeError, ValueError, IndexError) as error:
        raise InvalidInput(f"a {kind} row whose geometry cannot be read", where=geometry[:60]) from error


def _from_json(kind: str, value: Any) -> Shape:
    match kind:
        case "rotated_box":
            cx, cy, w, h, turn = value
            px = canonical.PX
            return RotatedBox(cx / px, cy / px, w / px, h / px, turn / canonical.MICRO)
        case "polygon":
            return Polygon(tuple(tuple(_floats(ring) for ring in part) for part in value))
        case "polyline":
            return Polyline(_floats(value))
        case "points":
            return Points(_floats(value))
        case "keypoints":
            return Keypoints(_floats(value[0]), tuple(value[1]))
        case "mask":
            return Mask(value[0], value[1], tuple(value[2]))
        case _:
            raise InvalidInput(f"a shape of unknown kind {kind!r}")


def snapped(shape: Shape) -> Shape:
    """The shape as it will come back from the record."""
    return from_row(*to_row(shape))


def _json(value: object) -> str:
    return canonical.encode(value).decode("ascii")


def _flat(points: Coords, least: int) -> list[int]:
    n = len(points)
    if n % 2 or n < 2 * least or n > 2 * MAX_POINTS:
        raise InvalidInput(f"{n} numbers where at least {least} points (x, y) are needed")
    return canonical.snaps(points)


def _floats(flat: Iterable[int]) -> Coords:
    return tuple(v / canonical.PX for v in flat)


def _extent(flat: Sequence[int]) -> IntBox:
    xs, ys = flat[0::2], flat[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def _rotated_ints(flat: Sequence[int]) -> IntBox:
    px = canonical.PX
    box = RotatedBox(flat[0] / px, flat[1] / px, flat[2] / px, flat[3] / px, flat[4] / canonical.MICRO)
    return _extent(canonical.snaps(corners(box)))


# ---------------------------------------------------------------------------------------------------------------
# Measures


def bbox(shape: Shape) -> Box | None:
    """The smallest axis-parallel box around a shape, in px; None for a tag, an empty mask, absent keypoints."""
    match shape:
        case Box():
            return shape
        case RotatedBox():
            return _around(corners(shape))
        case Polygon(parts):
            return _around([c for part in parts for c in part[0]])
        case Polyline(points) | Points(points):
            return _around(points)
        case Keypoints(points, visibility):
            return _around([c for i, v in enumerate(visibility) if v for c in points[2 * i : 2 * i + 2]])
        case Mask(_, h, counts):
            inner = rle.extent(counts, h)
            return None if inner is None else Box(*map(float, inner))
        case Tag():
            return None


def _around(points: Sequence[float]) -> Box | None:
    if not points:
        return None
    xs, ys = points[0::2], points[1::2]
    return Box(min(xs), min(ys), max(xs), max(ys))


def corners(box: RotatedBox) -> Coords:
    """The four corners (8 numbers): top-left, top-right, bottom-right, bottom-left before turning clockwise.

    Quarter turns are exact, so they do not depend on the platform's sine.
    """
    quarter, rest = divmod(box.degrees % 360.0, 90.0)
    c, s = math.cos(math.radians(rest)), math.sin(math.radians(rest))
    if rest == 0.0:
        c, s = 1.0, 0.0
    for _ in range(int(quarter)):
        c, s = -s, c
    out: list[float] = []
    for dx, dy in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)):
        x, y = dx * box.w, dy * box.h
        out += (box.cx + x * c - y * s, box.cy + x * s + y * c)
    return tuple(out)


def ring_area(ring: Coords) -> float:
    """Signed area of an open ring in px²; positive when it runs clockwise on the screen."""
    total = 0.0
    x0, y0 = ring[-2], ring[-1]
    for x1, y1 in zip(ring[0::2], ring[1::2], strict=True):
        total += x0 * y1 - x1 * y0
        x0, y0 = x1, y1
    return total / 2


def area(shape: Shape) -> float:
    """Area in px²: 0 for lines, points and tags; a polygon's holes are taken off."""
    match shape:
        case Box(x0, y0, x1, y1):
            return (x1 - x0) * (y1 - y0)
        case RotatedBox():
            return shape.w * shape.h
        case Polygon(parts):
            return sum(abs(ring_area(p[0])) - sum(abs(ring_area(hole)) for hole in p[1:]) for p in parts)
        case Mask(_, _, counts):
            return float(sum(counts[1::2]))
        case Polyline() | Points() | Keypoints() | Tag():
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

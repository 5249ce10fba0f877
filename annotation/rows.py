"""The integer form in which the record keeps a shape, and back.

box, tag: no geometry. rotated_box, ellipse: [cx,cy,w or rx,h or ry,microdegrees]. polygon: parts of rings of [x,y,…].
polyline, points, quad, cuboid: [x,y,…]. keypoints: [[x,y,…],[v,…]]. mask: [w,h,[counts]] in pixels. caption: its text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec

from annotation import canonical, geometry, rle
from annotation.core import (
    Box,
    Caption,
    Coords,
    Cuboid,
    Ellipse,
    Keypoints,
    Kind,
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

IntBox = tuple[int, int, int, int]
"""x0, y0, x1, y1 in 1/1000 px."""
MAX_POINTS = 1_000_000
"""Points of one shape; a foreign file with more is refused."""
MAX_TEXT = 4000
"""Characters of a caption."""
_encode = msgspec.json.Encoder().encode
_PX, _LIMIT = canonical.PX, canonical.LIMIT


def to_row(shape: Shape) -> tuple[Kind, IntBox | None, str | None]:
    """The canonical integer form of a shape: kind, bounding box in 1/1000 px, geometry as canonical JSON.

    The bounding box is derived from the snapped coordinates, so `to_row(from_row(*to_row(s))) == to_row(s)`.

    Raises:
        InvalidInput: a coordinate that is not finite or too large, too few points, an inverted box, a broken mask,
            an empty caption.
    """
    if type(shape) is Box:  # by far the most, and sound: the same as below at half the time
        x0, y0, x1, y1 = shape.x0 * _PX, shape.y0 * _PX, shape.x1 * _PX, shape.y1 * _PX
        if -_LIMIT < x0 <= x1 < _LIMIT and -_LIMIT < y0 <= y1 < _LIMIT:
            return "box", (round(x0), round(y0), round(x1), round(y1)), None
    match shape:
        case Box(x0, y0, x1, y1):
            box = (canonical.snap(x0), canonical.snap(y0), canonical.snap(x1), canonical.snap(y1))
            if box[0] > box[2] or box[1] > box[3]:
                raise InvalidInput(
                    f"a box whose corners are swapped: {shape}", remedy="x0 <= x1 and y0 <= y1"
                )
            return "box", box, None
        case RotatedBox(cx, cy, w, h, degrees):
            flat = _turned((cx, cy, w, h), degrees, 360)
            return "rotated_box", _around(_rotated(flat)), _json(flat)
        case Ellipse(cx, cy, rx, ry, degrees):
            flat = _turned((cx, cy, rx, ry), degrees, 180)
            return "ellipse", _around(_ellipse(flat)), _json(flat)
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
        case Quad(points):
            flat = _flat(points, 4, exactly=True)
            return "quad", _extent(flat), _json(flat)
        case Cuboid(points):
            flat = _flat(points, 8, exactly=True)
            return "cuboid", _extent(flat), _json(flat)
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
        case Caption(text):
            clean = canonical.nfc(text)
            if not 0 < len(clean) <= MAX_TEXT:
                raise InvalidInput(
                    f"a caption of {len(clean)} characters", remedy=f"1 to {MAX_TEXT} characters"
                )
            return "caption", None, _json(clean)


def from_row(kind: str, box: Sequence[int | None] | None, geometry: str | None) -> Shape:
    """The shape of a record row (see `to_row`); `box` may hold four None.

    Raises:
        InvalidInput: when the row is not one that `to_row` wrote.
    """
    if kind == "box":
        try:
            x0, y0, x1, y1 = cast(IntBox, box)
            return Box(x0 / _PX, y0 / _PX, x1 / _PX, y1 / _PX)
        except (TypeError, ValueError) as error:
            raise InvalidInput("a box row without coordinates") from error
    if kind == "tag":
        return Tag()
    if geometry is None:
        raise InvalidInput(f"a {kind} row without geometry")
    try:
        return _from_json(kind, msgspec.json.decode(geometry))
    except (msgspec.DecodeError, TypeError, ValueError, LookupError) as error:
        raise InvalidInput(f"a {kind} row whose geometry cannot be read", where=geometry[:60]) from error


def _from_json(kind: str, value: Any) -> Shape:
    match kind:
        case "rotated_box":
            return _rotated(value)
        case "ellipse":
            return _ellipse(value)
        case "polygon":
            return Polygon(tuple(tuple(_floats(ring) for ring in part) for part in value))
        case "polyline":
            return Polyline(_floats(value))
        case "points":
            return Points(_floats(value))
        case "quad":
            return Quad(_floats(value))
        case "cuboid":
            return Cuboid(_floats(value))
        case "keypoints":
            return Keypoints(_floats(value[0]), tuple(value[1]))
        case "mask":
            return Mask(value[0], value[1], tuple(value[2]))
        case "caption":
            if not isinstance(value, str):
                raise InvalidInput(f"a caption that is no text: {value!r:.60}")
            return Caption(value)
        case _:
            raise InvalidInput(f"a shape of unknown kind {kind!r}")


def snapped(shape: Shape) -> Shape:
    """The shape as it will come back from the record."""
    return from_row(*to_row(shape))


def _json(value: object) -> str:
    return _encode(value).decode()  # lists of snapped integers or NFC text: canonical without another check


def _flat(points: Coords, least: int, *, exactly: bool = False) -> list[int]:
    n = len(points)
    if n % 2 or n < 2 * least or n > 2 * (least if exactly else MAX_POINTS):
        if exactly:
            raise InvalidInput(f"{n} numbers where {least} points (x, y) are needed")
        raise InvalidInput(f"{n} numbers where at least {least} points (x, y) are needed")
    return canonical.snaps(points)


def _turned(numbers: Coords, degrees: float, turn: int) -> list[int]:
    """Centre, size and angle as integers, the angle in [0, turn)."""
    flat = canonical.snaps(numbers)
    if flat[2] < 0 or flat[3] < 0:
        raise InvalidInput(f"a shape of negative size: {numbers[2]:g} x {numbers[3]:g} px")
    if not math.isfinite(degrees):
        raise InvalidInput(f"the angle {degrees!r} cannot be stored", remedy="finite")
    flat.append(canonical.snap(degrees % turn, canonical.MICRO) % (turn * canonical.MICRO))
    return flat


def _floats(flat: Iterable[int]) -> Coords:
    return tuple(v / canonical.PX for v in flat)


def _rotated(flat: Sequence[int]) -> RotatedBox:
    cx, cy, w, h, turn = flat
    px = canonical.PX
    return RotatedBox(cx / px, cy / px, w / px, h / px, turn / canonical.MICRO)


def _ellipse(flat: Sequence[int]) -> Ellipse:
    cx, cy, rx, ry, turn = flat
    px = canonical.PX
    return Ellipse(cx / px, cy / px, rx / px, ry / px, turn / canonical.MICRO)


def _extent(flat: Sequence[int]) -> IntBox:
    xs, ys = flat[0::2], flat[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def _around(shape: RotatedBox | Ellipse) -> IntBox:
    box = geometry.bbox(shape)
    assert box is not None
    return _extent(canonical.snaps((box.x0, box.y0, box.x1, box.y1)))

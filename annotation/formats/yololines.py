"""One line of a YOLO label file and the shapes it stands for, both ways: boxes, polygons, poses, turned boxes.

Numbers are relative to the picture. `class cx cy w h`, `class x y x y x y …`, with kpt_shape `class cx cy w h x y [v] …`,
turned `class x y x y x y x y`; a prediction has its score as one number more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from annotation import canonical, geometry, raster
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
from annotation.errors import InvalidInput
from annotation.formats import base

MAX_NUMBERS = 2_000_000
SLACK = 0.01
"""How far outside 0..1 a number may be (rounding, objects at the border) before it is a fault."""
SQUARE_PX = 0.5
"""How far the corners of a turned box may lie off a rectangle's: further, it is a quadrilateral."""


@dataclass(frozen=True, slots=True)
class Lines:
    """What the lines of a set mean: class names by number, (points, 2 or 3) of poses, whether 8 numbers are corners."""

    names: Mapping[int, str]
    keypoints: tuple[int, int] | None = None
    turned: bool = False
    by_text: Mapping[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_text", {str(n): name for n, name in self.names.items()})


def read(words: Sequence[str], lines: Lines, size: tuple[int, int]) -> list[Annotation]:
    """The annotations of a line's words: one, or a box and a skeleton.

    Raises:
        InvalidInput: with what the line should be.
    """
    w, h = size
    if len(words) == 5 and (name := lines.by_text.get(words[0])) is not None:  # by far the most lines
        try:
            cx, cy, bw, bh = float(words[1]), float(words[2]), float(words[3]), float(words[4])
        except ValueError:
            pass
        else:
            if -SLACK <= cx <= 1.01 and -SLACK <= cy <= 1.01 and 0 < bw <= 1.01 and 0 < bh <= 1.01:
                shape = Box((cx - bw / 2) * w, (cy - bh / 2) * h, (cx + bw / 2) * w, (cy + bh / 2) * h)
                return [Annotation(name, shape, origin="import")]
    return _slowly(words, lines, w, h)


def _slowly(words: Sequence[str], lines: Lines, w: int, h: int) -> list[Annotation]:
    if len(words) > MAX_NUMBERS:
        raise InvalidInput(f"a line of {len(words)} numbers", remedy=f"at most {MAX_NUMBERS}")
    if not re.match(r"[0-9]{1,6}(\.0*)?\Z", words[0]):
        raise InvalidInput(f"the class is {base.short(words[0])}", remedy="a whole number from 0")
    name = lines.names.get(int(float(words[0])))
    if name is None:
        raise InvalidInput(f"there is no class {words[0]}", remedy="add it to names")
    numbers = [_number(word) for word in words[1:]]
    n = len(numbers)
    points, dims = lines.keypoints or (0, 0)
    pose = 4 + points * dims if lines.keypoints else -9
    scored = (n == 5 and pose != 5) or n == pose + 1 or (n >= 7 and n % 2 == 1 and n != pose)
    score = None
    if scored:
        score = numbers.pop()
        if not 0 <= score <= 1:
            raise InvalidInput(f"the score is {words[-1]}", remedy="0 to 1")
    shapes: list[Shape] = []
    if len(numbers) == pose:
        box = _box(numbers[:4], w, h)
        skeleton = _skeleton(numbers[4:], dims, w, h)
        around = geometry.bbox(skeleton) if skeleton is not None else None
        shapes = [] if around is not None and base.same(box, around) else [box]
        shapes += [skeleton] if skeleton is not None else []
    elif len(numbers) == 4:
        shapes = [_box(numbers, w, h)]
    elif len(numbers) >= 6:
        ring = [
            v * side for v, side in zip(map(_relative, numbers), (w, h) * (len(numbers) // 2), strict=True)
        ]
        if lines.turned and len(ring) == 8:
            shapes = [rectangle(tuple(ring)) or Quad(tuple(ring))]
        else:
            if len(ring) > 6 and ring[:2] == ring[-2:]:
                ring = ring[:-2]
            shapes = [Polygon(((tuple(ring),),))]
    else:
        raise InvalidInput(
            f"a line of {len(words)} numbers",
            remedy="class and 4 numbers for a box, 6 and more (even) for a polygon",
        )
    return [Annotation(name, base.sound(shape), score=score, origin="import") for shape in shapes]


def rectangle(corners: Coords, within: float = SQUARE_PX) -> RotatedBox | None:
    """The turned box whose corners these are, in their order clockwise from its own top left; None for no rectangle."""
    if not all(map(math.isfinite, corners)):
        return None
    x0, y0, x1, y1, x2, y2, x3, y3 = corners
    cx, cy = (x0 + x1 + x2 + x3) / 4, (y0 + y1 + y2 + y3) / 4
    along, down = (x1 - x0 + x2 - x3) / 2, (y1 - y0 + y2 - y3) / 2
    w = math.hypot(along, down)
    h = math.hypot((x3 - x0 + x2 - x1) / 2, (y3 - y0 + y2 - y1) / 2)
    box = RotatedBox(cx, cy, w, h, math.degrees(math.atan2(down, along)) % 360)
    if (
        w == 0
        or h == 0
        or max(abs(a - b) for a, b in zip(geometry.corners(box), corners, strict=True)) > within
    ):
        return None
    return box


def _number(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidInput(f"{base.short(word)} is no number", remedy="a finite number")
    return value


def _relative(value: float) -> float:
    if not -SLACK <= value <= 1 + SLACK:
        raise InvalidInput(
            f"{value:g} is outside the picture", remedy="numbers are relative to its size: 0 to 1"
        )
    return value


def _box(numbers: Sequence[float], w: int, h: int) -> Box:
    cx, cy, bw, bh = map(_relative, numbers)
    if bw <= 0 or bh <= 0:
        raise InvalidInput(f"a box of size {bw:g} x {bh:g}", remedy="class cx cy w h, with w and h above 0")
    return Box((cx - bw / 2) * w, (cy - bh / 2) * h, (cx + bw / 2) * w, (cy + bh / 2) * h)


def _skeleton(numbers: Sequence[float], dims: int, w: int, h: int) -> Keypoints | None:
    points: list[float] = []
    visibility: list[int] = []
    for i in range(0, len(numbers), dims):
        x, y = _relative(numbers[i]), _relative(numbers[i + 1])
        seen = numbers[i + 2] if dims == 3 else 2.0 * bool(x or y)
        if seen not in (0, 1, 2):
            raise InvalidInput(f"the visibility is {seen:g}", remedy="0, 1 or 2")
        points += (x * w, y * h)
        visibility.append(int(seen))
    return Keypoints(tuple(points), tuple(visibility)) if any(visibility) else None


# ---------------------------------------------------------------------------------------------------------------
# Writing: the numbers of a shape, relative and inside the picture, as text; "" for what is left out


def box(shape: Shape, w: int, h: int) -> str:
    """The box around a shape as `cx cy w h`."""
    around = shape if isinstance(shape, Box) else geometry.bbox(shape)
    if around is None:
        return ""
    x0, y0, x1, y1 = max(around.x0, 0.0), max(around.y0, 0.0), min(around.x1, w), min(around.y1, h)
    if min(x1 - x0, y1 - y0) < 1 / canonical.PX:
        return ""  # a sliver that the record cannot hold either
    return "%.11g %.11g %.11g %.11g" % ((x0 + x1) / 2 / w, (y0 + y1) / 2 / h, (x1 - x0) / w, (y1 - y0) / h)  # noqa: UP031 (half the time)


def polygon(shape: Shape, w: int, h: int) -> str:
    """The one outline that stands for a shape in a polygon file."""
    around = geometry.bbox(shape)
    if around is None or around.x0 == around.x1 or around.y0 == around.y1:
        return ""
    match shape:
        case Mask():
            outline: Shape | None = raster.to_polygon(shape)
        case Polygon() | RotatedBox() | Quad() | Ellipse() | Cuboid():
            outline = shape
        case Box() | Polyline() | Points() | Keypoints() | Tag() | Caption():
            outline = around
    inner = None if outline is None else geometry.clip(outline, width=w, height=h)
    if inner is None or (drawn := geometry.outline(inner)) is None:
        return ""
    if len(drawn.parts) == 1:
        ring = drawn.parts[0][0]
    else:
        ring = max((part[0] for part in drawn.parts), key=lambda ring: abs(geometry.ring_area(ring)))
    return _points(ring, w, h)


def corners(shape: Shape, w: int, h: int) -> str:
    """The four corners of a turned box, a quadrilateral, or of the smallest turned box around another shape; corners
    outside the picture are moved onto its border, for a trainer refuses the file otherwise."""
    match shape:
        case RotatedBox() | Box():
            ring = geometry.corners(shape)
        case Quad(points):
            ring = points
        case Mask():
            drawn = raster.to_polygon(shape)
            ring = () if drawn is None else smallest([c for part in drawn.parts for c in part[0]])
        case Polygon() | Ellipse() | Cuboid():
            drawn = geometry.outline(shape)
            ring = () if drawn is None else smallest([c for part in drawn.parts for c in part[0]])
        case Polyline() | Points() | Keypoints() | Tag() | Caption():
            around = geometry.bbox(shape)
            ring = () if around is None else geometry.corners(around)
    if len(ring) != 8:
        return ""
    inside = tuple(min(max(v, 0.0), side) for v, side in zip(ring, (w, h) * 4, strict=True))
    if abs(geometry.ring_area(inside)) < 1 / canonical.PX:
        return ""
    return _points(inside, w, h)


def smallest(points: Sequence[float]) -> Coords:
    """The corners of the turned rectangle of the least area around points, clockwise; () when they lie on a line."""
    ring = geometry.hull(tuple(points))
    if len(ring) < 6:
        return ()
    best: tuple[float, Coords] = (math.inf, ())
    for x0, y0, x1, y1 in zip(
        ring[0::2], ring[1::2], (*ring[2::2], ring[0]), (*ring[3::2], ring[1]), strict=True
    ):
        length = math.hypot(x1 - x0, y1 - y0)
        c, s = (x1 - x0) / length, (y1 - y0) / length
        along = [x * c + y * s for x, y in geometry.pairs(ring)]
        across = [y * c - x * s for x, y in geometry.pairs(ring)]
        a0, a1, b0, b1 = min(along), max(along), min(across), max(across)
        if (a1 - a0) * (b1 - b0) < best[0]:
            found = [(a, b) for a, b in ((a0, b0), (a1, b0), (a1, b1), (a0, b1))]
            best = ((a1 - a0) * (b1 - b0), tuple(v for a, b in found for v in (a * c - b * s, a * s + b * c)))
    return best[1]


def pose(skeleton: Keypoints | None, around: Shape, points: int, w: int, h: int) -> str:
    """A box and `points` points `x y v`, absent ones as zeros; points outside the picture become absent."""
    text = box(around, w, h)
    if not text:
        return ""
    inner = geometry.clip(skeleton, width=w, height=h) if skeleton is not None else None
    words = [text]
    if isinstance(inner, Keypoints):
        for (x, y), seen in zip(geometry.pairs(inner.points), inner.visibility, strict=True):
            words.append(f"{x / w:.11g} {y / h:.11g} {seen}" if seen else "0 0 0")
    words += ["0 0 0"] * (points + 1 - len(words))
    return " ".join(words)


def _points(ring: Coords, w: int, h: int) -> str:
    return " ".join([f"{x / w:.11g} {y / h:.11g}" for x, y in geometry.pairs(ring)])

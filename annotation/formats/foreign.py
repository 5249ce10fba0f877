"""What the formats of labelling tools share: marks from their numbers and back, numbers, masks as PNG, tallies."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from annotation import canonical, geometry, marks, raster
from annotation.core import Annotation, AttributeValue, Coords, Cuboid, Mask, Polygon, RotatedBox
from annotation.errors import InvalidFile, InvalidInput
from annotation.formats import base
from annotation.formats.base import Census, Loss, Problems, Record
from annotation.labels import LabelSchema

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PNG_PIXELS = 80_000_000
"""Of a mask given as PNG: what an inflated picture may take of memory."""
CAPTION = "caption"
"""The label of captions that have none in their format."""
ITSELF_LOSSES = (
    {
        "prediction": "predictions: written like truth",
        "score": "scores: left out",
    }
    | base.MARK_LOSSES
    | {
        "unpainted": "holes and further parts of polygons on pictures of unknown size: left out",
        "collapsed": "cuboids whose corners lie on a line: left out",
    }
)
"""What becomes of what is not a shape, in a format that holds none of it."""


# ---------------------------------------------------------------------------------------------------------------
# Reading


def uid(*parts: object) -> str:
    """A uid that is the same at every import: of a group or track that its file only gives a number."""
    return canonical.digest("\0".join(map(str, parts)).encode("utf-8", "replace"))[:16].hex()


def sound(parse: Callable[[Problems], Iterator[Record]], problems: Problems) -> Iterator[Record]:
    """The records of a file; what breaks the file itself is noted like any other fault, with the file's name."""
    try:
        yield from parse(problems)
    except InvalidFile:
        raise
    except InvalidInput as error:
        where = error.where.removeprefix(problems.where).removeprefix(": ")
        problems.add(where, error.what, error.remedy)
    except OSError as error:
        problems.add(
            "", f"cannot be read: {error.strerror}", "a name in it that no disk can hold, or a broken disk"
        )


def numbers(value: object, what: str, n: int | None = None) -> list[float]:
    """A list of finite numbers.

    Raises:
        InvalidInput: something else, or another count than `n`.
    """
    if not isinstance(value, list) or (n is not None and len(value) != n):
        raise InvalidInput(f"{what} is {base.short(value)}", remedy=f"a list of {n or 'x, y, …'} numbers")
    return [number(v, what) for v in value]


def number(value: object, what: str) -> float:
    """A finite number of JSON.

    Raises:
        InvalidInput: something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{what} is {base.short(value)}", remedy="a number")
    try:
        found = float(value)
    except OverflowError as error:
        raise InvalidInput(f"{what} holds a number that is too large") from error
    if not math.isfinite(found):
        raise InvalidInput(f"{what} is {base.short(value)}", remedy="a finite number")
    return found


def decimal(text: str | None, what: str) -> float:
    """A finite number of a text, as XML and text files hold it.

    Raises:
        InvalidInput: none, or something else.
    """
    try:
        found = float(text if text is not None else "")
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InvalidInput(f"{what} is {base.short(text)}", remedy="a finite number")
    return found


def whole(value: object, what: str) -> int:
    """A whole number of JSON or of a text, also written as 3.0.

    Raises:
        InvalidInput: something else.
    """
    found = decimal(value.strip(), what) if isinstance(value, str) else number(value, what)
    if not found.is_integer() or abs(found) >= canonical.LIMIT:
        raise InvalidInput(f"{what} is {base.short(value)}", remedy="a whole number")
    return int(found)


def score(value: object) -> float | None:
    """A score 0..1, or None.

    Raises:
        InvalidInput: something else.
    """
    if value is None:
        return None
    found = number(value, "score")
    if not 0 <= found <= 1:
        raise InvalidInput(f"score is {base.short(value)}", remedy="0 to 1")
    return found


def name(value: object, what: str) -> str:
    """A label's name: a text with something in it.

    Raises:
        InvalidInput: something else.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{what} is {base.short(value)}", remedy="a label's name")
    found = canonical.nfc(value.strip())
    if len(found) > base.MAX_TEXT:
        raise InvalidInput(f"{what} of {len(found)} characters", remedy=f"at most {base.MAX_TEXT}")
    return found


def ring(points: Sequence[float]) -> Coords:
    """An open ring: without its first point repeated at the end."""
    return tuple(points[:-2] if len(points) > 6 and points[:2] == points[-2:] else points)


def rotated(points: Coords, *, slack: float = 0.5) -> RotatedBox | None:
    """The rotated box whose corners these four points are, the first edge its width; None when they are farther than
    `slack` px (or a hundredth of the longer side) from being one."""
    p = np.asarray(points, dtype=np.float64).reshape(4, 2)
    centre = p.mean(axis=0)
    along = (p[1] - p[0] + p[2] - p[3]) / 2
    w = float(np.hypot(*along))
    across = (p[3] - p[0] + p[2] - p[1]) / 2
    degrees = math.degrees(math.atan2(along[1], along[0])) % 360.0
    box = RotatedBox(float(centre[0]), float(centre[1]), w, float(np.hypot(*across)), degrees)
    made = np.asarray(geometry.corners(box)).reshape(4, 2)
    away = float(np.abs(made - p).max())
    return box if away <= max(slack, 0.01 * max(box.w, box.h)) else None


def mask_of_png(data: bytes) -> NDArray[np.integer[Any]]:
    """The pixels (h, w) of a small grey, palette or 16-bit PNG.

    Raises:
        InvalidInput: no PNG, too large, broken, or in colour.
    """
    from PIL import Image

    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 33:
        raise InvalidInput("a mask that is no PNG", remedy="a PNG with one channel")
    w, h = struct.unpack_from(">II", data, 16)
    if not 0 < w * h <= MAX_PNG_PIXELS:
        raise InvalidInput(f"a mask of {w} x {h} px", remedy=f"at most {MAX_PNG_PIXELS} px")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            image.load()
            coloured = image.mode in ("LA", "RGBA", "RGB", "La", "PA")
            found = np.asarray(image.convert("RGBA").convert("L") if coloured else image)
    except Exception as error:  # Pillow's readers raise nearly anything on broken data
        raise InvalidInput("a mask whose PNG is broken", remedy="save it again") from error
    if found.ndim != 2:
        raise InvalidInput("a mask of several channels", remedy="a PNG with one channel")
    return found.astype(np.uint8) if found.dtype == bool else found


# ---------------------------------------------------------------------------------------------------------------
# Writing


@dataclass(slots=True)
class Numbers:
    """Running numbers for uids, from 1, as other tools name groups and tracks."""

    _known: dict[str, int] = field(default_factory=dict)

    def of(self, uid: str) -> int:
        """The number of a uid, the next one for a new uid."""
        return self._known.setdefault(uid, len(self._known) + 1)


def loss(
    records: Iterable[Record],
    schema: LabelSchema,
    table: Mapping[str, str],
    more: Callable[[Annotation, Record], Iterator[str]] | None = None,
    shared: Callable[[Record], Iterator[str]] | None = None,
) -> list[Loss]:
    """The losses of a format: of the census by its table, of traits (`more`, an annotation's; `shared`, a record's)
    that only this format knows, by the same table, and of labels that the schema does not have."""
    own = Census()
    types: dict[str, type] = {}

    def counted() -> Iterator[Record]:
        for record in records:
            if shared is not None:
                for trait in shared(record):
                    own.add(trait, record.path)
            for a in record.annotations:
                for trait in (*_common(a, record, types), *(more(a, record) if more is not None else ())):
                    own.add(trait, record.path)
            yield record

    found = base.census(counted())
    known = {trait: what for trait, what in table.items() if what}
    return base.strangers(found, schema) + found.losses(known) + own.losses(known)


def _common(a: Annotation, record: Record, types: dict[str, type]) -> Iterator[str]:
    """ "unpainted", "collapsed": areas that cannot become pixels or outlines; "blurred": a value of another type than its attribute had first."""
    if (
        isinstance(a.shape, Polygon)
        and single(a.shape) is None
        and (record.width is None or record.height is None)
    ):
        yield "unpainted"
    if isinstance(a.shape, Cuboid) and geometry.outline(a.shape) is None:
        yield "collapsed"
    if any(types.setdefault(k, type(v)) is not type(v) for k, v in marks.plain(a.attributes).items()):
        yield "blurred"


def values(a: Annotation) -> Iterator[str]:
    """The traits "number" and "truth" of an annotation: types of attributes that become text elsewhere."""
    plain = marks.plain(a.attributes).values()
    if any(isinstance(v, int) and not isinstance(v, bool) for v in plain):
        yield "number"
    if any(isinstance(v, bool) for v in plain):
        yield "truth"


def single(shape: Polygon) -> Coords | None:
    """The ring of a polygon that has one part and no hole."""
    return shape.parts[0][0] if len(shape.parts) == 1 and len(shape.parts[0]) == 1 else None


def painted(shape: Polygon, record: Record) -> Mask | None:
    """A polygon with holes or parts as pixels, None on a picture of unknown size."""
    if record.width is None or record.height is None:
        return None
    return raster.to_mask(shape, width=record.width, height=record.height)


def largest(shape: Polygon) -> Coords:
    """The outer ring of the largest part."""
    return max((part[0] for part in shape.parts), key=lambda ring: abs(geometry.ring_area(ring)))


def pairs(points: Coords) -> list[list[float]]:
    """Flat points as [[x, y], …]."""
    return [[x, y] for x, y in geometry.pairs(points)]


def placed(record: Record) -> PurePosixPath:
    """The picture's place below a folder of its split, if it has one and does not lie there already."""
    path = PurePosixPath(base.clean_path(record.path))
    there = not record.split or base.split_in(path.parts[:-1]) == record.split
    return path if there else PurePosixPath(record.split, path)


def with_value(a: Annotation, code: str, value: AttributeValue) -> Annotation:
    """The annotation with one more attribute."""
    return replace(a, attributes={**a.attributes, code: value})

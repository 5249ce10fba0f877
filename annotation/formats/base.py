"""What all formats share: records, losses, the census they are computed from, and guards against hostile files."""

from __future__ import annotations

import functools
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from annotation import canonical, geometry, marks, rows
from annotation.core import Annotation, AnnotationSet, AttributeValue, Box, Polygon, Shape
from annotation.errors import InvalidFile, InvalidInput, LamproomError
from annotation.labels import LabelSchema

MAX_PATH = 4096
MAX_SIDE = 2**24
"""Longest side of a picture in px."""
MAX_ATTRIBUTES = 64
MAX_TEXT = 4000
MAX_KEPT_PROBLEMS = 200
SNIFFED = 1 << 16
"""Bytes of a file that are looked at to recognise its format."""
SPLITS = ("", "train", "val", "test")
REVIEWS = ("", "submitted", "accepted", "returned")
"""How far a picture's labels are: "" is a draft, or nobody says."""
_SPLIT_NAMES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}

_PLAIN_PATH = re.compile(
    r"(?![.]{1,2}/)[A-Za-z0-9_.@+=()\u4e00-\u9fff-][A-Za-z0-9_.@+=()\u4e00-\u9fff -]*(?:/(?![.]{1,2}(?:/|\Z))[A-Za-z0-9_.@+=()\u4e00-\u9fff -]+)*(?<![/.])"
)
"""A path that is as clean as can be: most are."""

Sizes = Callable[[str], "tuple[int, int] | None"]
"""The (width, height) in px, after orientation, of a picture by its path in the file; None when unknown."""


@dataclass(frozen=True, slots=True)
class Record:
    """One picture and its annotations. Labels are the file's own names when read, schema codes when written.

    path: relative, forward slashes. width, height: px after orientation. split: one of `SPLITS`. review: one of `REVIEWS`.
    """

    path: str
    width: int | None
    height: int | None
    annotations: AnnotationSet
    split: str = ""
    review: str = ""


@dataclass(frozen=True, slots=True)
class Loss:
    """Something a format cannot hold: what happens to it, how many objects, and one picture that has it."""

    what: str
    n: int
    example: str


# ---------------------------------------------------------------------------------------------------------------
# Reading


class Problems:
    """Collects every fault of a file. With `keep`, faults go to that list and reading goes on; else `finish` raises."""

    def __init__(self, where: str, keep: list[LamproomError] | None = None) -> None:
        self.where = where
        self.more = 0
        self._keep = keep
        self._found: list[LamproomError] = keep if keep is not None else []

    def add(self, at: str, what: str, remedy: str = "") -> None:
        """Note one fault; `at` is the place in the file."""
        self.error(InvalidInput(what, where=f"{self.where}: {at}" if at else self.where, remedy=remedy))

    def error(self, error: LamproomError) -> None:
        """Note a fault that is an error already. Only the first `MAX_KEPT_PROBLEMS` are kept, the rest counted."""
        if len(self._found) < MAX_KEPT_PROBLEMS:
            self._found.append(error)
        else:
            self.more += 1

    def finish(self) -> None:
        """Raise InvalidFile when there were faults and nobody else keeps them."""
        if self._keep is None and self._found:
            raise InvalidFile(self._found, where=self.where, more=self.more)


def checked(
    parse: Callable[[Problems], Iterator[Record]], where: str, keep: list[LamproomError] | None
) -> Iterator[Record]:
    """All records, after all of them have been seen to be sound: nobody starts on half of a broken file.

    Parses twice instead of holding everything: flat memory. With `keep` it parses once and leaves out what is faulty.
    """
    if keep is None:
        first = Problems(where)
        for _ in parse(first):
            pass
        first.finish()
    problems = Problems(where, keep)
    yield from parse(problems)
    problems.finish()


def head(path: Path, n: int = SNIFFED) -> bytes:
    """The first bytes of a file without a byte order mark; none of what is no readable file."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(n).removeprefix(b"\xef\xbb\xbf")
    except OSError:
        return b""


def tail(path: Path, n: int = SNIFFED) -> bytes:
    """The last bytes of a file; none of what is no readable file."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - n))
            return file.read(n)
    except OSError:
        return b""


def read_text(path: Path, *, limit: int) -> str:
    """The text of a small foreign file: UTF-8 (with or without mark), else GB 18030 as Chinese tools write.

    Raises:
        InvalidInput: too large, unreadable, or neither encoding.
    """
    data = read_bytes(path, limit=limit)
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InvalidInput("neither UTF-8 nor GB 18030 text", where=path.name, remedy="save the file as UTF-8")


def read_bytes(path: Path, *, limit: int) -> bytes:
    """The bytes of a foreign file.

    Raises:
        InvalidInput: more than `limit` bytes, no regular file, or unreadable.
    """
    try:
        if not path.is_file():
            raise InvalidInput("no such file", where=str(path))
        size = path.stat().st_size
        if size > limit:
            raise InvalidInput(f"{size} bytes", where=path.name, remedy=f"at most {limit}; split it")
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", where=str(path)) from error


def parse_json(data: bytes, where: str, type: type[Any] = object) -> Any:
    """JSON as the standard has it: no NaN, no trailing text, UTF-8 with or without mark.

    Raises:
        InvalidInput: with the place in the file.
    """
    try:
        return msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"), type=Any if type is object else type)
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"not of the expected form: {error}", where=where, remedy="as the format describes it"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            f"not JSON: {error}", where=where, remedy="a truncated file, NaN, or another encoding"
        ) from error


def clean_path(text: object) -> str:
    """A foreign picture path as a relative one: NFC, forward slashes, no drive, no leading slash.

    It is only ever compared with what is known, never opened. Raises:
        InvalidInput: for `..`, control characters, emptiness, excessive length, or no text at all.
    """
    if not isinstance(text, str):
        raise InvalidInput(f"a picture path that is no text: {short(text)}")
    return _clean(text)


@functools.lru_cache(
    maxsize=1024
)  # its reader, its writer and whoever places the picture ask for the same path
def _clean(text: str) -> str:
    if _PLAIN_PATH.fullmatch(text) and len(text) <= MAX_PATH:
        return text
    path = canonical.nfc(text).replace("\\", "/")
    if len(path) > MAX_PATH or any(unicodedata.category(c) == "Cc" for c in path):
        raise InvalidInput(
            f"an unusable picture path {short(path)}", remedy="no control characters, at most 4096 characters"
        )
    parts = [p for p in re.sub(r"\A[A-Za-z]:", "", path).split("/") if p not in ("", ".")]
    if not parts or ".." in parts:
        raise InvalidInput(
            f"the picture path {short(path)} leaves its folder", remedy="paths below the dataset's folder"
        )
    return "/".join(parts)


def side(value: object, what: str) -> int | None:
    """A picture's width or height, None when the file does not say.

    Raises:
        InvalidInput: when it is no whole number from 1 to `MAX_SIDE`.
    """
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_SIDE:
        raise InvalidInput(f"{what} is {short(value)}", remedy=f"1 to {MAX_SIDE} px")
    return value


def attributes(value: object) -> Mapping[str, AttributeValue]:
    """Foreign attributes as the record can hold them: keys of [a-z0-9_], whole numbers, anything nested as its text.

    Raises:
        InvalidInput: when it is no mapping, or too large.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping) or len(value) > MAX_ATTRIBUTES:
        raise InvalidInput(f"attributes are {short(value)}", remedy=f"a mapping of at most {MAX_ATTRIBUTES}")
    out: dict[str, AttributeValue] = {}
    for key, item in value.items():
        if item is None:
            continue
        code = re.sub(r"[^a-z0-9_]+", "_", str(key).casefold()).strip("_")
        if not code:  # a Chinese key: named by its digest, so that it is the same on every machine
            code = f"x_{canonical.digest(canonical.nfc(str(key)).encode())[:4].hex()}"
        out[code[:64]] = _attribute(item)
    return out


def _attribute(item: object) -> AttributeValue:
    if isinstance(item, float) and item.is_integer() and abs(item) < canonical.LIMIT:
        return int(item)
    if isinstance(item, bool):
        return item
    if isinstance(item, int) and abs(item) < canonical.LIMIT:
        return item
    text = canonical.nfc(item) if isinstance(item, str) else msgspec.json.encode(item).decode()
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"an attribute of {len(text)} characters", remedy=f"at most {MAX_TEXT}")
    return text


def split_of(name: str) -> str:
    """The split a folder's or file's name speaks of (`instances_train2017` -> `train`), or ""."""
    for word in re.split(r"[^a-z]+", name.casefold()):
        word = _SPLIT_NAMES.get(word, word)
        if word in SPLITS[1:]:
            return word
    return ""


def split_in(folders: Iterable[str]) -> str:
    """The split that the first folder speaks of that speaks of one, or ""."""
    return next((split for folder in folders if (split := split_of(folder))), "")


def sound(shape: Shape) -> Shape:
    """The shape, if the record can hold it.

    Raises:
        InvalidInput: see `rows.to_row`.
    """
    rows.to_row(shape)
    return shape


def same(a: Box, b: Box) -> bool:
    """Whether two boxes are one, within a hundredth of a pixel."""
    return max(abs(a.x0 - b.x0), abs(a.y0 - b.y0), abs(a.x1 - b.x1), abs(a.y1 - b.y1)) < 0.01


def short(value: object) -> str:
    """A value in at most 60 characters, for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


# ---------------------------------------------------------------------------------------------------------------
# What formats lose: sentences that several say, by the trait of `census`; a format's own table says what differs

WHOLE_LOSSES = {
    "tag": "labels of the whole picture: left out",
    "caption": "captions: left out",
}
BOUNDED_LOSSES = {
    "rotated_box": "rotated boxes: only their bounding boxes are written",
    "quad": "quadrilaterals: only their bounding boxes are written",
    "ellipse": "ellipses: only their bounding boxes are written",
    "cuboid": "cuboids: only their bounding boxes are written",
    "polygon": "polygons: only their bounding boxes are written",
    "mask": "masks: only their bounding boxes are written",
    "polyline": "lines: only their bounding boxes are written",
    "points": "loose points: only their bounding boxes are written",
    "keypoints": "key points: only their bounding boxes are written",
    "unbounded": "masks and skeletons without a pixel or point: left out",
}
"""Shapes in a format of upright boxes."""
TURNED_LOSSES = {
    "box": "boxes: written as their four corners",
    "rotated_box": "rotated boxes: written as their four corners",
    "ellipse": "ellipses: only the smallest turned boxes around them are written",
    "cuboid": "cuboids: only the smallest turned boxes around them are written",
    "polygon": "polygons: only the smallest turned boxes around them are written",
    "mask": "masks: only the smallest turned boxes around them are written",
    "polyline": "lines: only their bounding boxes are written",
    "points": "loose points: only their bounding boxes are written",
    "keypoints": "key points: only their bounding boxes are written",
}
"""Shapes in a format of four corners."""
OUTLINED_LOSSES = {
    "rotated_box": "rotated boxes: written as polygons of four corners",
    "quad": "quadrilaterals: written as polygons of four corners",
    "ellipse": "ellipses: written as polygons of many corners",
    "cuboid": "cuboids: only their silhouettes are written, as polygons",
}
"""Areas in a format of polygons."""
FILLED_LOSSES = {
    "hole": "holes in polygons: filled",
    "multipart": "polygons of several parts: only the largest is written",
}
PAINTED_LOSSES = {
    "hole": "polygons with holes: written as pixel masks",
    "multipart": "polygons of several parts: written as pixel masks",
}
UNDRAWN_LOSSES = {
    "box": "boxes: left out",
    "rotated_box": "rotated boxes: left out",
    "quad": "quadrilaterals: left out",
    "ellipse": "ellipses: left out",
    "cuboid": "cuboids: left out",
    "polygon": "polygons: left out",
    "mask": "masks: left out",
    "polyline": "lines: left out",
    "points": "loose points: left out",
    "keypoints": "key points: left out",
}
"""Shapes in a format that holds none."""
SCORE_LOSSES = {
    "score": "scores: left out",
    "prediction": "predictions: written like truth",
}
MARK_LOSSES = {
    "@group": "groups: left out",
    "@track": "tracks: left out",
    "@order": "order in depth: left out",
    "@links": "links between objects: left out",
}
BARE_LOSSES = {"attributes": "attributes: left out"} | SCORE_LOSSES | MARK_LOSSES
"""All that is said of an object besides its shape, in a format that holds none of it."""


# ---------------------------------------------------------------------------------------------------------------
# Writing


@dataclass(slots=True)
class Tally:
    """How many annotations have a trait, and the first picture that has one."""

    n: int = 0
    example: str = ""


@dataclass(slots=True)
class Census:
    """What a set of records holds, as far as formats differ in it."""

    records: int = 0
    annotations: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    traits: dict[str, Tally] = field(default_factory=dict)

    def add(self, trait: str, example: str, n: int = 1) -> None:
        """Count annotations (or a record) with the trait."""
        tally = self.traits.get(trait)
        if tally is None:
            tally = self.traits[trait] = Tally()
        tally.n += n
        tally.example = tally.example or example

    def losses(self, table: Mapping[str, str]) -> list[Loss]:
        """The losses of a format whose table says what becomes of each trait."""
        return [Loss(what, t.n, t.example) for trait, what in table.items() if (t := self.traits.get(trait))]


def census(records: Iterable[Record]) -> Census:
    """Count, in one pass and flat memory. Traits: every kind; attributes, every mark, score, prediction, hole, multipart,
    flat (no width or height), else gone (wholly outside the picture) or outside (partly); sizeless (records)."""
    found = Census()
    for record in records:
        found.records += 1
        w, h = record.width, record.height
        if w is None or h is None:
            found.add("sizeless", record.path)
            w = h = 0
        found.annotations += len(record.annotations)
        found.labels.update([a.label for a in record.annotations])
        boxes = 0
        for a in record.annotations:
            shape = a.shape
            if (
                type(shape) is Box and not a.attributes and a.score is None and a.origin != "model"
                and 0 <= shape.x0 < shape.x1 <= w and 0 <= shape.y0 < shape.y1 <= h
            ):  # fmt: skip
                boxes += 1  # by far the most
                continue
            for trait in _traits(a, record):
                found.add(trait, record.path)
        if boxes:
            found.add("box", record.path, boxes)
    return found


def _traits(a: Annotation, record: Record) -> Iterator[str]:
    yield a.kind
    if marks.plain(a.attributes):
        yield "attributes"
    yield from marks.kept(a.attributes)
    if a.score is not None:
        yield "score"
    if a.origin == "model":
        yield "prediction"
    if isinstance(a.shape, Polygon):
        if any(len(part) > 1 for part in a.shape.parts):
            yield "hole"
        if len(a.shape.parts) > 1:
            yield "multipart"
    box = geometry.bbox(a.shape)
    if a.kind not in ("tag", "caption") and (box is None or box.x0 == box.x1 or box.y0 == box.y1):
        yield "flat"
    elif box is not None and record.width is not None and record.height is not None:
        if box.x1 <= 0 or box.y1 <= 0 or box.x0 >= record.width or box.y0 >= record.height:
            yield "gone"
        elif box.x0 < 0 or box.y0 < 0 or box.x1 > record.width or box.y1 > record.height:
            yield "outside"


def class_id(annotation: Annotation, ids: Mapping[str, int], path: str) -> int:
    """The class id of an annotation's label.

    Raises:
        InvalidInput: when the schema has no such label.
    """
    found = ids.get(annotation.label)
    if found is None:
        raise InvalidInput(
            f"the label {annotation.label!r} is not in the label schema",
            where=path,
            remedy="add it to the schema",
        )
    return found


def strangers(found: Census, schema: LabelSchema) -> list[Loss]:
    """Labels that the schema does not have: a writer refuses them."""
    ids = schema.class_ids()
    return [
        Loss(f"label {code!r} is not in the schema: refused", n, "")
        for code, n in found.labels.items()
        if code not in ids
    ]


def dialect(given: str, known: Sequence[str]) -> str:
    """The dialect that was asked for; none means the first.

    Raises:
        InvalidInput: when the format has no such dialect.
    """
    if given and given not in known:
        raise InvalidInput(f"there is no dialect {given!r}", remedy=f"one of {', '.join(known)}")
    return given or known[0]


def target(out: Path, relative: str) -> Path:
    """The file for a path below the staging folder `out`, its folder made.

    Raises:
        InvalidInput: when the path would leave `out`.
    """
    path = out.joinpath(*clean_path(relative).split("/"))
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def settle(file: IO[Any]) -> None:
    """Flush to the disk and close. The caller renames the staging folder when all is written."""
    file.flush()
    os.fsync(file.fileno())
    file.close()


def clipped(box: Box, width: int, height: int) -> Box | None:
    """The part of a box inside the picture, or None."""
    inner = Box(max(box.x0, 0.0), max(box.y0, 0.0), min(box.x1, float(width)), min(box.y1, float(height)))
    return inner if inner.x0 < inner.x1 and inner.y0 < inner.y1 else None

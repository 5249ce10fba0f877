"""labelme's JSON beside each picture, and what X-AnyLabeling makes of it; reading takes both, also mixed.

labelme: https://github.com/wkentaro/labelme (rectangle of two points, circle of centre and rim, oriented_rectangle from
version 6 on, mask as a PNG in the box of its two points, border included). X-AnyLabeling:
https://github.com/CVHub520/X-AnyLabeling (rectangle of four points, rotation of four corners with the direction in
radians, score, difficult, attributes, description, kie_linking of group numbers).
"""

from __future__ import annotations

import base64
import binascii
import math
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from annotation import canonical, geometry, marks, rle
from annotation.core import (
    Annotation,
    AttributeValue,
    Box,
    Caption,
    Coords,
    Cuboid,
    Ellipse,
    Mask,
    Points,
    Polygon,
    Polyline,
    Quad,
    Shape,
    Tag,
)
from annotation.errors import InvalidInput, LamproomError
from annotation.formats import base, foreign, jsonlite
from annotation.formats.base import Problems, Record, Sizes
from annotation.formats.labelme_write import DIALECTS, LINKING, losses, place, write

__all__ = ["DIALECTS", "losses", "place", "read", "sniff", "write"]

MAX_FILE = 256 * 2**20
"""A file may hold its picture; it is skipped, but must be read."""
MAX_SHAPES = 1_000_000
MAX_LOOK = 2000
"""Files, and folders, looked at to recognise a set."""

_POINTS = {
    "rectangle": (2, 4), "rotation": (4,), "oriented_rectangle": (4,), "circle": (2,), "line": (2,), "point": (1,),
    "mask": (2,), "quadrilateral": (4,), "cuboid": (8,),
}  # fmt: skip
_XANY = re.compile(rb'"(?:difficult|kie_linking|direction|score)"\s*:|"shape_type"\s*:\s*"rotation"')


class _File(msgspec.Struct):
    shapes: Any = msgspec.UNSET
    imagePath: Any = None
    imageHeight: Any = None
    imageWidth: Any = None
    flags: Any = None
    description: Any = None
    imageData: msgspec.Raw = msgspec.Raw(b"null")  # the picture itself, never decoded


def sniff(path: Path) -> str:
    """Why the path is a labelme file, or a folder that holds one; "" when it is not."""
    if path.is_dir():
        for file in islice(_files(path, look=MAX_LOOK), MAX_LOOK):
            if why := _sniff(file):
                return f"{file.name} is {why}"
        return ""
    why = _sniff(path) if path.suffix.lower() == ".json" else ""
    return f"it is {why}" if why else ""


def _sniff(file: Path) -> str:
    head = base.head(file)
    if head.lstrip()[:1] != b"{":
        return ""
    text = head + base.tail(file)
    if b'"shapes"' not in text or b'"imagePath"' not in text:
        return ""
    tool = "X-AnyLabeling" if _XANY.search(text) else "labelme"
    return f"a JSON object with shapes and imagePath, as {tool} writes"


def _files(root: Path, *, look: int = 2**60) -> Iterator[Path]:
    for n, (here, folders, files) in enumerate(os.walk(root)):
        folders.sort()
        if n >= look:
            return
        for name in sorted(files):
            if name.lower().endswith(".json"):
                yield Path(here, name)


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """One record a label file, in the order of their paths; other JSON in a folder is passed over.

    imagePath is taken from the file's folder and may leave it, but not the folder that is read. Flags of the picture
    become labels of the whole picture; flags of a shape, `difficult`, `description` and `attributes` its attributes.
    With `problems` faulty shapes are left out and listed there; without, nothing is yielded of a faulty set.

    Raises:
        InvalidFile: every fault, by file and shape. InvalidInput: no such file.
    """
    if not path.exists():
        raise InvalidInput("no such file", where=str(path))
    return base.checked(lambda found: _parse(path, sizes, found), path.name, problems)


def _parse(path: Path, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    root = path if path.is_dir() else path.parent
    seen: set[bytes] = set()
    n = 0
    for file in _files(path) if path.is_dir() else [path]:
        at = file.relative_to(root).as_posix()
        try:
            data: _File = jsonlite.load(file, limit=MAX_FILE, type=_File)
        except InvalidInput as error:
            if path.is_dir() and b'"shapes"' not in base.head(file) + base.tail(file):
                continue  # a folder may hold other JSON
            problems.add("" if file == path else at, error.what, error.remedy)
            n += 1
            continue
        if data.shapes is msgspec.UNSET and path.is_dir():
            continue
        n += 1
        inner = _Inside(problems, "" if file == path else at)
        record = _record(data, PurePosixPath(at).parent, sizes, inner)
        if record is None:
            continue
        mark = canonical.digest(record.path.encode())[:8]
        if mark in seen:
            inner.add("imagePath", f"the picture {base.short(record.path)} has two label files", "keep one")
            continue
        seen.add(mark)
        yield record
    if n == 0:
        problems.add("", "no labelme file below this folder", "JSON files with shapes and imagePath")


class _Inside:
    """Problems of one file of a folder."""

    def __init__(self, problems: Problems, at: str) -> None:
        self._problems, self._at = problems, at

    def add(self, at: str, what: str, remedy: str = "") -> None:
        self._problems.add(f"{self._at}: {at}" if self._at else at, what, remedy)


def _record(file: _File, folder: PurePosixPath, sizes: Sizes | None, problems: _Inside) -> Record | None:
    try:
        place = _place_of(file.imagePath, folder)
    except InvalidInput as error:
        problems.add("imagePath", error.what, error.remedy)
        place = ""
    width = height = None
    for key, value in (("imageWidth", file.imageWidth), ("imageHeight", file.imageHeight)):
        try:
            side = base.side(None if value == -1 else value, key)
        except InvalidInput as error:
            problems.add(key, error.what, error.remedy)
            side = None
        width, height = (side, height) if key == "imageWidth" else (width, side)
    if width is None or height is None:
        known = sizes(place) if sizes is not None and place else None
        width, height = known or (None, None)
    found = list(_picture(file, problems))
    shapes = file.shapes
    if not isinstance(shapes, list) or len(shapes) > MAX_SHAPES:
        problems.add(
            "shapes",
            "is missing" if shapes is msgspec.UNSET else f"is {base.short(shapes)}",
            f"a list of at most {MAX_SHAPES}",
        )
        return None
    groups: list[tuple[int, Annotation, list[tuple[int, int]]]] = []
    for i, row in enumerate(shapes):
        try:
            groups.append(_annotation(row, width, height))
        except InvalidInput as error:
            problems.add(f"shapes[{i}]", error.what, error.remedy)
    found += _tied(groups, place)
    return Record(place, width, height, tuple(found), base.split_in(place.split("/")[:-1])) if place else None


def _place_of(value: object, folder: PurePosixPath) -> str:
    """The picture's path below the folder that is read, from its path beside the label file."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(
            f"a picture path that is no text: {base.short(value)}", remedy="the picture's name"
        )
    text = value.replace("\\", "/")
    if not text.startswith("/") and not re.match(r"[A-Za-z]:", text):
        text = posixpath.normpath(posixpath.join(folder.as_posix(), text))
    try:
        return base.clean_path(text)
    except InvalidInput as error:
        raise InvalidInput(
            error.what,
            remedy="paths below the folder; give the folder that holds both the pictures and the labels",
        ) from error


def _picture(file: _File, problems: _Inside) -> Iterator[Annotation]:
    """Labels and the caption of the whole picture."""
    flags = file.flags if file.flags is not None else {}
    if not isinstance(flags, dict):
        problems.add("flags", f"is {base.short(flags)}", "an object of true and false")
        flags = {}
    for key, value in flags.items():
        if not isinstance(value, bool):
            problems.add(f"flags.{key:.40}", f"is {base.short(value)}", "true or false")
        elif value:
            try:
                yield Annotation(foreign.name(key, "flags"), Tag(), origin="import")
            except InvalidInput as error:
                problems.add("flags", error.what, error.remedy)
    if file.description in (None, ""):
        return
    try:
        if not isinstance(file.description, str):
            raise InvalidInput(f"is {base.short(file.description)}", remedy="a text")
        yield Annotation(foreign.CAPTION, base.sound(Caption(file.description)), origin="import")
    except InvalidInput as error:
        problems.add("description", error.what, error.remedy)


def _annotation(
    row: Any, width: int | None, height: int | None
) -> tuple[int, Annotation, list[tuple[int, int]]]:
    """A shape's group number (or -1), the annotation, and the pairs of group numbers it is linked by."""
    if not isinstance(row, dict):
        raise InvalidInput(f"a shape is {base.short(row)}", remedy="an object")
    label = foreign.name(row.get("label"), "label")
    attributes: dict[str, AttributeValue] = {}
    for key in ("attributes", "flags"):
        attributes |= base.attributes(row.get(key))
    for key in ("description", "text"):
        text = row.get(key)
        if text is not None and not isinstance(text, str):
            raise InvalidInput(f"{key} is {base.short(text)}", remedy="a text")
        if text:
            attributes |= base.attributes({key: text})
    difficult = row.get("difficult")
    if difficult not in (None, False, True, 0, 1):
        raise InvalidInput(f"difficult is {base.short(difficult)}", remedy="true or false")
    if difficult:
        attributes["difficult"] = True
    group = row.get("group_id")
    number = -1 if group is None else foreign.whole(group, "group_id")
    found = Annotation(
        label, base.sound(_shape(row, width, height)), attributes, foreign.score(row.get("score")), "import"
    )
    return number, found, _linked(row.get("kie_linking"))


def _linked(value: object) -> list[tuple[int, int]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise InvalidInput(f"kie_linking is {base.short(value)}", remedy="pairs of group numbers")
    return [(foreign.whole(a, "kie_linking"), foreign.whole(b, "kie_linking")) for a, b in value]


def _shape(row: dict[str, Any], width: int | None, height: int | None) -> Shape:
    points = row.get("points")
    if not isinstance(points, list) or not all(isinstance(p, list) and len(p) == 2 for p in points):
        raise InvalidInput(f"points are {base.short(points)}", remedy="[[x, y], …]")
    flat = tuple(foreign.number(c, "points") for point in points for c in point)
    kind = row.get("shape_type")
    kind = "polygon" if kind is None else kind
    wanted = _POINTS.get(kind) if isinstance(kind, str) else None
    if wanted and len(points) not in wanted:
        raise InvalidInput(
            f"a {kind} of {len(points)} points", remedy=f"{' or '.join(map(str, wanted))} points"
        )
    match kind:
        case "rectangle":
            return _rectangle(flat)
        case "rotation" | "oriented_rectangle":
            return foreign.rotated(_from_direction(flat, row.get("direction"))) or Quad(flat)
        case "polygon":
            return Polygon(((foreign.ring(flat),),))
        case "circle":
            radius = math.hypot(flat[2] - flat[0], flat[3] - flat[1])
            return Ellipse(flat[0], flat[1], radius, radius)
        case "line" | "linestrip":
            return Polyline(flat)
        case "point" | "points":
            return Points(flat)
        case "quadrilateral":
            return Quad(flat)
        case "cuboid":
            return Cuboid(flat)
        case "mask":
            return _mask(row.get("mask"), flat, width, height)
    raise InvalidInput(
        f"shape_type is {base.short(kind)}", remedy="one that labelme or X-AnyLabeling draws on pictures"
    )


def _rectangle(flat: Coords) -> Shape:
    xs, ys = flat[0::2], flat[1::2]
    box = Box(min(xs), min(ys), max(xs), max(ys))
    straight = all(x in (box.x0, box.x1) and y in (box.y0, box.y1) for x, y in geometry.pairs(flat))
    return box if straight else foreign.rotated(flat) or Quad(flat)


def _from_direction(flat: Coords, direction: object) -> Coords:
    """The corners beginning with the edge that points into the direction, where one is given."""
    if direction is None:
        return flat
    angle = foreign.number(direction, "direction")

    def away(k: int) -> float:
        i, j = 2 * k, 2 * ((k + 1) % 4)
        edge = math.atan2(flat[j + 1] - flat[i + 1], flat[j] - flat[i])
        return abs(math.remainder(edge - angle, math.tau))

    first = 2 * min(range(4), key=away)
    return flat[first:] + flat[:first]


def _mask(value: object, flat: Coords, width: int | None, height: int | None) -> Mask:
    if not isinstance(value, str):
        raise InvalidInput(f"mask is {base.short(value)}", remedy="a PNG in base64")
    if width is None or height is None:
        raise InvalidInput("a mask on a picture of unknown size", remedy="give imageWidth and imageHeight")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("a mask that is no base64", remedy="a PNG in base64") from error
    base.sound(Points(flat))  # before they are made whole numbers
    left, top = math.floor(min(flat[0::2])), math.floor(min(flat[1::2]))
    pixels = foreign.mask_of_png(data)
    if left >= width or top >= height or left + pixels.shape[1] <= 0 or top + pixels.shape[0] <= 0:
        raise InvalidInput("a mask that lies outside the picture", remedy="its points are its corners in px")
    return rle.encode(pixels, at=(left, top), wh=(width, height))


def _tied(found: list[tuple[int, Annotation, list[tuple[int, int]]]], place: str) -> Iterator[Annotation]:
    """Groups and links: a number that only one linked shape has is that shape's name, any other one is a group."""
    members = Counter(number for number, _, _ in found)
    pairs = list(dict.fromkeys(pair for _, _, linked in found for pair in linked))
    named = {number for pair in pairs for number in pair if members[number] == 1}
    by_number = {number: a for number, a, _ in found if number in named}
    lost = [pair for pair in pairs if not set(pair) <= set(by_number)]
    for number, a, linked in found:
        if number >= 0 and number not in named:
            a = marks.with_mark(a, "@group", foreign.uid("labelme", place, number))
        ahead = (
            [(LINKING, by_number[b].uid) for x, b in pairs if x == number and b in by_number]
            if number in named
            else []
        )
        if len(ahead) > marks.MAX_LINKS:
            ahead = []
            lost = [*lost, *[p for p in pairs if p[0] == number]]
        if ahead:
            a = marks.with_links(a, ahead)
        if kept := [list(pair) for pair in linked if pair in lost]:
            a = foreign.with_value(a, "kie_linking", msgspec.json.encode(kept).decode()[: base.MAX_TEXT])
        yield a

"""YOLO text labels with Ultralytics' data.yaml (or classes.txt): boxes, polygons and key points, mixed as found.

A line is `class cx cy w h [score]`, `class x y x y x y …` or, with kpt_shape, `class cx cy w h x y [v] …`, all
relative to the picture's size; so a size is needed: of the picture beside the labels, or from the caller.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from annotation import canonical, geometry, raster
from annotation.core import (
    Annotation,
    Box,
    Caption,
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
from annotation.errors import InvalidInput, LamproomError
from annotation.formats import base, yamlite
from annotation.formats.base import Loss, Problems, Record, Sizes
from annotation.labels import LabelSchema

DIALECTS = ("detect", "segment")
MAX_CONFIG = 4 * 2**20
MAX_FILE = 64 * 2**20
MAX_CLASSES = 100_000
MAX_NUMBERS = 2_000_000
SLACK = 0.01
"""How far outside 0..1 a number may be (rounding, objects at the border) before it is a fault."""
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_CLASS_FILES = ("classes.txt", "obj.names", "predefined_classes.txt")
_NO_LABELS = frozenset(
    {*_CLASS_FILES, "train.txt", "val.txt", "test.txt", "readme.txt", "readme.roboflow.txt", "license.txt"}
)

_LOSSES = {
    "tag": "labels of the whole picture: left out",
    "caption": "captions: left out",
    "rotated_box": "rotated boxes: only their bounding boxes are written",
    "quad": "quadrilaterals: only their bounding boxes are written",
    "ellipse": "ellipses: only their bounding boxes are written",
    "cuboid": "cuboids: only their bounding boxes are written",
    "polygon": "polygons: only their bounding boxes are written",
    "mask": "masks: only their bounding boxes are written",
    "polyline": "lines: only their bounding boxes are written",
    "points": "loose points: only their bounding boxes are written",
    "keypoints": "key points: only their bounding boxes are written",
    "attributes": "attributes: left out",
    "score": "scores: left out",
    "prediction": "predictions: written like truth",
    "@group": "groups: left out",
    "@track": "tracks: left out",
    "@order": "order in depth: left out",
    "@links": "links between objects: left out",
    "outside": "objects that cross the picture's border: cut there",
    "gone": "objects wholly outside the picture: left out",
    "flat": "objects without width or height: left out",
}
_POLYGON_LOSSES = _LOSSES | {
    "rotated_box": "rotated boxes: written as polygons of four corners",
    "quad": "quadrilaterals: written as polygons of four corners",
    "ellipse": "ellipses: written as polygons of many corners",
    "cuboid": "cuboids: only their silhouettes are written, as polygons",
    "polygon": "",
    "mask": "masks: written as polygons",
    "hole": "holes in polygons: filled",
    "multipart": "polygons of several parts: only the largest is written",
}


@dataclass(frozen=True, slots=True)
class _Config:
    root: Path
    names: Mapping[int, str]
    keypoints: tuple[int, int] | None


# ---------------------------------------------------------------------------------------------------------------
# Reading


def sniff(path: Path) -> str:
    """Why the path is a data.yaml with names, or a folder with one or with a class list; "" when it is not."""
    if not path.is_dir():
        return f"its file {path.name} lists class names" if _lists_names(path) else ""
    yamls = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])[:20]
    if found := next((file for file in yamls if _lists_names(file)), None):
        return f"its file {found.name} lists class names"
    found = next((path / name for name in _CLASS_FILES if (path / name).is_file()), None)
    return f"its file {found.name} is a list of classes" if found else ""


def _lists_names(file: Path) -> bool:
    is_yaml = file.suffix.lower() in (".yaml", ".yml")
    return is_yaml and re.search(rb"^names\s*:", base.head(file), re.MULTILINE) is not None


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """One record a label file, in the order of their paths.

    Args:
        path: the data.yaml, the class list, or the folder that holds one.
        sizes: picture size by path; asked first. The path ends in the picture's suffix only when the picture was
            found beside the labels, so match by stem. A picture that neither `sizes` nor the disk knows comes as a
            record without size and annotations, for the caller to report; without `sizes` it is a fault.
        problems: faulty lines are left out and listed here; without it, nothing is yielded of a faulty set.

    Raises:
        InvalidFile: every fault, by file and line. InvalidInput: no class names, or an unreadable data.yaml.
    """
    config = _config(path)
    return base.checked(lambda found: _parse(config, sizes, found), config.root.name, problems)


def _config(path: Path) -> _Config:
    if path.is_dir():
        candidates = [f for f in sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if _lists_names(f)]
        candidates += [path / name for name in _CLASS_FILES if (path / name).is_file()]
        if not candidates:
            raise InvalidInput(
                "no data.yaml and no classes.txt", where=str(path), remedy="add the class names"
            )
        path = candidates[0]
    text = base.read_text(path, limit=MAX_CONFIG)
    if path.suffix.lower() not in (".yaml", ".yml"):
        names = [line.strip() for line in text.splitlines()]
        while names and not names[-1]:
            names.pop()
        return _Config(path.parent, _names(names, path.name), None)
    data = yamlite.loads(text, path.name)
    keypoints = data.get("kpt_shape")
    if keypoints is not None and not (
        isinstance(keypoints, list) and len(keypoints) == 2 and type(keypoints[0]) is int
        and 0 < keypoints[0] <= 1000 and keypoints[1] in (2, 3)
    ):  # fmt: skip
        raise InvalidInput(
            f"kpt_shape is {base.short(keypoints)}", where=path.name, remedy="[points, 2 or 3]"
        )
    shape = (keypoints[0], keypoints[1]) if keypoints else None
    return _Config(path.parent, _names(data.get("names"), path.name), shape)


def _names(value: Any, where: str) -> Mapping[int, str]:
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict) or not value or len(value) > MAX_CLASSES:
        raise InvalidInput(
            f"names are {base.short(value)}", where=where, remedy="a list or a map of class names"
        )
    out: dict[int, str] = {}
    for key, name in value.items():
        if not isinstance(key, int) or not str(name).strip():
            raise InvalidInput(
                f"names: {base.short(key)}: {base.short(name)}", where=where, remedy="number: name"
            )
        out[key] = str(name).strip()
    return out


def _parse(config: _Config, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    stems: set[str] = set()
    for file in _label_files(config.root):
        inner = file.relative_to(config.root)
        at = inner.as_posix()
        try:
            place, picture = _picture(config.root, inner)
            if place in stems:
                raise InvalidInput("two label files for one picture")
            stems.add(place)
            lines = [line.split() for line in base.read_text(file, limit=MAX_FILE).splitlines()]
        except InvalidInput as error:
            problems.add(at, error.what, error.remedy)
            continue
        size = (sizes(place) if sizes is not None else None) or (_size_of(picture) if picture else None)
        if size is None and sizes is None and any(lines):
            problems.add(
                at,
                "the picture's size is unknown",
                "put the pictures beside the labels, or ingest them first",
            )
        found: list[Annotation] = []
        for n, numbers in enumerate(lines, 1):  # also without a size, so that every fault is named at once
            try:
                found += _line(numbers, config, size or (1, 1)) if numbers else ()
            except InvalidInput as error:
                problems.add(f"{at}:{n}", error.what, error.remedy)
        if size is not None:
            yield Record(place, *size, tuple(found), _split(inner))
        elif sizes is not None or not found:
            yield Record(place, None, None, (), _split(inner))
    if not stems:
        problems.add("", "no label files below this folder", "put data.yaml at the top of the set")


def _label_files(root: Path) -> Iterator[Path]:
    """Text files that are labels: those below `labels` folders where there are any, else all but known lists."""
    only = any("labels" in folders for _, folders, _ in os.walk(root))
    for here, folders, files in os.walk(root):
        folders.sort()
        if only and "labels" not in Path(here).relative_to(root).parts:
            continue
        for name in sorted(files):
            if name.lower().endswith(".txt") and name.lower() not in _NO_LABELS:
                yield Path(here, name)


def _split(inner: Path) -> str:
    return next((split for part in inner.parts[:-1] if (split := base.split_of(part))), "")


def _picture(root: Path, inner: Path) -> tuple[str, Path | None]:
    """The path of a label file's picture, and the picture if it is there."""
    parts = list(inner.parts)
    homes = [parts]
    if "labels" in parts[:-1]:
        spot = len(parts) - 2 - parts[-2::-1].index("labels")
        homes = [[*parts[:spot], "images", *parts[spot + 1 :]], parts]
    for home in homes:
        stem = root.joinpath(*home)
        for suffix in PICTURES:
            for cased in (suffix, suffix.upper()):
                picture = stem.with_name(stem.stem + cased)
                if picture.is_file():
                    return base.clean_path(picture.relative_to(root).as_posix()), picture
    return base.clean_path(PurePosixPath(*homes[0]).with_suffix("").as_posix()), None


def _size_of(picture: Path) -> tuple[int, int] | None:
    """Width and height after EXIF orientation, from the header alone; None when it is no picture."""
    from PIL import Image

    try:
        with Image.open(picture, formats=("JPEG", "PNG", "BMP", "TIFF", "WEBP")) as image:
            w, h = image.size
            turned = image.getexif().get(0x0112) in (5, 6, 7, 8)
    except Exception:  # Pillow's readers raise nearly anything on a broken header
        return None
    return (h, w) if turned else (w, h)


def _line(words: Sequence[str], config: _Config, size: tuple[int, int]) -> Iterator[Annotation]:
    if len(words) > MAX_NUMBERS:
        raise InvalidInput(f"a line of {len(words)} numbers", remedy=f"at most {MAX_NUMBERS}")
    if not re.match(r"[0-9]{1,6}(\.0*)?\Z", words[0]):
        raise InvalidInput(f"the class is {base.short(words[0])}", remedy="a whole number from 0")
    name = config.names.get(int(float(words[0])))
    if name is None:
        raise InvalidInput(f"there is no class {words[0]}", remedy="add it to names")
    numbers = [_number(word) for word in words[1:]]
    score: float | None = None
    shapes: list[Shape] = []
    w, h = size
    points, dims = config.keypoints or (0, 0)
    if config.keypoints and len(numbers) == 4 + points * dims:
        shapes = [_box(numbers[:4], w, h)]
        if (skeleton := _skeleton(numbers[4:], dims, w, h)) is not None:
            shapes.append(skeleton)
    elif len(numbers) in (4, 5):
        shapes = [_box(numbers[:4], w, h)]
        if len(numbers) == 5:
            score = numbers[4]
            if not 0 <= score <= 1:
                raise InvalidInput(f"the score is {words[5]}", remedy="0 to 1")
    elif len(numbers) >= 6 and len(numbers) % 2 == 0:
        ring = [
            v * side for v, side in zip(map(_relative, numbers), (w, h) * (len(numbers) // 2), strict=True)
        ]
        if len(ring) > 6 and ring[:2] == ring[-2:]:
            ring = ring[:-2]
        shapes = [Polygon(((tuple(ring),),))]
    else:
        raise InvalidInput(
            f"a line of {len(words)} numbers",
            remedy="class and 4 numbers for a box, 6 and more (even) for a polygon",
        )
    for shape in shapes:
        yield Annotation(name, base.sound(shape), score=score, origin="import")


def _number(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidInput(f"{base.short(word)} is no number")
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
# Writing


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """What YOLO labels cannot hold of these records, with counts."""
    polygons = base.dialect(dialect, DIALECTS) == "segment"
    found = base.census(records)
    table = {trait: what for trait, what in (_POLYGON_LOSSES if polygons else _LOSSES).items() if what}
    out = base.strangers(found, schema) + found.losses(table)
    if sizeless := found.traits.get("sizeless"):
        out.append(Loss("pictures of unknown size: refused", sizeless.n, sizeless.example))
    return out


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs in the export: `images/<split or train>/<path>`."""
    return PurePosixPath("images", record.split or "train", base.clean_path(record.path))


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """A label file for every picture, then `data.yaml`, which is returned: "detect" boxes, "segment" only polygons.

    Ultralytics reads a whole file as polygons as soon as one line is one, so the two are never mixed here. Class ids
    are the schema's. Pictures without a split count as train.

    Raises:
        InvalidInput: unknown label, unknown picture size, or two pictures that would share one label file.
    """
    polygons = base.dialect(dialect, DIALECTS) == "segment"
    ids = schema.class_ids()
    splits: set[str] = set()
    for record in records:
        if record.width is None or record.height is None:
            raise InvalidInput(
                "the picture's size is unknown", where=record.path, remedy="ingest the picture first"
            )
        splits.add(record.split or "train")
        spot = PurePosixPath("labels", *place(record).parts[1:]).with_suffix(".txt")
        file = base.target(out, spot.as_posix())
        lines = []
        for a in record.annotations:
            number = base.class_id(a, ids, record.path)
            if (numbers := _numbers(a.shape, record.width, record.height, polygons)) is not None:
                lines.append(" ".join([str(number), *map(_decimal, numbers)]))
        try:
            with file.open("x", encoding="ascii", newline="\n") as stream:
                stream.writelines(f"{line}\n" for line in lines)
                if not hasattr(os, "sync"):
                    base.settle(stream)
        except FileExistsError as error:
            raise InvalidInput(
                "two pictures that differ only in their suffix would share one label file", where=record.path,
                remedy="rename one, or export to coco or native",
            ) from error  # fmt: skip
    if hasattr(os, "sync"):
        os.sync()  # once, for a flush for each of a million small files would take hours
    config = base.target(out, "data.yaml")
    with config.open("x", encoding="utf-8", newline="\n") as stream:
        stream.write(f"# {' '.join(name.split())}: {schema.code} version {schema.version}\npath: .\n")
        for split in ("train", "val"):
            stream.write(f"{split}: images/{split if split in splits else 'train'}\n")
        if "test" in splits:
            stream.write("test: images/test\n")
        stream.write(f"nc: {len(ids)}\nnames:\n")
        stream.writelines(f"  {n}: {yamlite.quoted(code)}\n" for code, n in ids.items())
        base.settle(stream)
    return [config]


def _decimal(value: float) -> str:
    return f"{value:.12f}".rstrip("0").rstrip(".")


def _numbers(shape: Shape, w: int, h: int, polygons: bool) -> list[float] | None:
    """A shape's numbers on its line, relative and inside the picture; None for what is left out."""
    box = geometry.bbox(shape)
    if box is None or box.x0 == box.x1 or box.y0 == box.y1:
        return None
    if polygons:
        ring = _ring(shape, box, w, h)
        if ring is not None:
            return [v / side for v, side in zip(ring, (w, h) * (len(ring) // 2), strict=True)]
        return None
    inner = base.clipped(box, w, h)
    if inner is None or min(inner.x1 - inner.x0, inner.y1 - inner.y0) < 1 / canonical.PX:
        return None  # a sliver that the record cannot hold either
    return [
        (inner.x0 + inner.x1) / 2 / w,
        (inner.y0 + inner.y1) / 2 / h,
        (inner.x1 - inner.x0) / w,
        (inner.y1 - inner.y0) / h,
    ]


def _ring(shape: Shape, box: Box, w: int, h: int) -> tuple[float, ...] | None:
    """The one outline that stands for a shape in a polygon file, inside the picture."""
    match shape:
        case Mask():
            outline: Shape | None = raster.to_polygon(shape)
        case Polygon() | RotatedBox() | Quad() | Ellipse() | Cuboid():
            outline = shape
        case Box() | Polyline() | Points() | Keypoints() | Tag() | Caption():
            outline = box
    inner = None if outline is None else geometry.clip(outline, width=w, height=h)
    match inner:
        case Box(x0, y0, x1, y1):
            return (x0, y0, x1, y0, x1, y1, x0, y1)
        case None:
            return None
        case _ if (drawn := geometry.outline(inner)) is not None:
            return max((part[0] for part in drawn.parts), key=lambda ring: abs(geometry.ring_area(ring)))
        case _:
            return None

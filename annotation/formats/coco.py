"""COCO instances JSON: boxes, polygons, both kinds of run lengths, keypoints, attributes as CVAT writes them.

Reading keeps the file's bytes and small slices of it, not a tree of Python objects; writing streams.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from annotation import geometry, marks, raster, rle
from annotation.core import (
    Annotation,
    Attributes,
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
from annotation.errors import InvalidFile, InvalidInput, LamproomError
from annotation.formats import base
from annotation.formats.base import Loss, Problems, Record, Sizes
from annotation.labels import LabelSchema, Skeleton

MAX_BYTES = 4 * 2**30
DIALECTS = ("instances",)
MAX_IMAGES = 20_000_000
PLACE = "images"
"""The folder beside `annotations/` that holds the pictures; `file_name` is relative to it."""

_LOSSES = {
    "tag": "labels of the whole picture: left out",
    "caption": "captions: left out",
    "rotated_box": "rotated boxes: written as polygons of four corners",
    "quad": "quadrilaterals: written as polygons of four corners",
    "ellipse": "ellipses: written as polygons of many corners",
    "cuboid": "cuboids: only their silhouettes are written, as polygons",
    "polyline": "lines: only their bounding boxes are written",
    "points": "loose points: written as keypoints that are seen",
    "hole": "polygons with holes: written as pixel masks",
    "prediction": "predictions: written like truth, with their score",
    "@group": "groups: left out",
    "@track": "tracks: left out",
    "@order": "order in depth: left out",
    "@links": "links between objects: left out",
}


class _Document(msgspec.Struct):
    images: list[msgspec.Raw] = []
    annotations: list[msgspec.Raw] = []
    categories: list[Any] = []


class _Head(msgspec.Struct):
    image_id: Any = None
    id: Any = None


# ---------------------------------------------------------------------------------------------------------------
# Reading


def sniff(path: Path) -> str:
    """Why the path is a COCO file, or a folder that holds one; "" when it is not."""
    if path.is_dir():
        found = ((file, _marks(file)) for file in _files(path)[:20])
        return next((f"its file {file.name} is {why}" for file, why in found if why), "")
    why = _marks(path)
    return f"it is {why}" if why else ""


def _marks(file: Path) -> str:
    """What tells that a file is COCO: its start and, as tools differ in the order, its end are looked at."""
    if file.suffix.lower() != ".json":
        return ""
    text = base.head(file, base.SNIFFED // 2)
    if not text.lstrip().startswith(b"{"):
        return ""
    text += base.tail(file, base.SNIFFED // 2)
    if b'"items"' in text and b'"images"' not in text:
        return ""  # Datumaro's, which has categories and annotations too
    found = [word for word in ("images", "annotations", "categories") if f'"{word}"'.encode() in text]
    return f"a JSON object with {' and '.join(found)}" if len(found) >= 2 else ""


def _files(folder: Path) -> list[Path]:
    found = {*folder.glob("*.json"), *folder.glob("annotations/*.json")}
    return sorted(file for file in found if file.is_file())


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """One record a picture, in the file's order; a folder's files one after the other, splits by their names.

    An entry with keypoints and a box or outline of its own becomes two annotations. `iscrowd` becomes a flag.
    With `problems` faulty entries are left out and listed there; without, nothing is yielded of a faulty file.

    Raises:
        InvalidFile: every fault of the file. NotFound, InvalidInput: no file, too large, no JSON.
    """
    files = [file for file in _files(path) if _marks(file)] if path.is_dir() else [path]
    if not files:
        raise InvalidInput("no COCO file in the folder", where=str(path), remedy="give the JSON file itself")
    for file in files:
        try:
            document = base.parse_json(base.read_bytes(file, limit=MAX_BYTES), file.name, _Document)
        except InvalidInput as error:
            if problems is None:
                raise InvalidFile([error], where=file.name) from error
            problems.append(error)
            continue
        parse = partial(_parse, document, base.split_of(file.stem), sizes)
        yield from base.checked(parse, file.name, problems)


def _parse(document: _Document, split: str, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    names = _categories(document.categories, problems)
    by_image: dict[object, list[int]] = {}
    seen: set[object] = set()
    for i, raw in enumerate(document.annotations):
        head = _decode(raw, _Head)
        at = f"annotations[{i}]"
        if head is None:
            problems.add(at, "is not an object")
            continue
        for key, value in (("id", head.id), ("image_id", head.image_id)):
            if isinstance(value, bool) or not isinstance(value, int | str | None):
                problems.add(f"{at}.{key}", f"is {base.short(value)}", "a whole number")
        if isinstance(head.id, int | str) and not isinstance(head.id, bool):
            if head.id in seen:
                problems.add(f"{at}.id", f"{head.id} is there twice", "ids differ")
            seen.add(head.id)
        if isinstance(head.image_id, int | str):
            by_image.setdefault(head.image_id, []).append(i)
        else:
            problems.add(f"{at}.image_id", "is missing")
    if len(document.images) > MAX_IMAGES:
        problems.add("images", f"{len(document.images)} entries", f"at most {MAX_IMAGES}")
        return
    if not document.images and not document.annotations:
        problems.add(
            "images", "there are none", "a COCO instances file lists images, categories, annotations"
        )
    paths: set[str] = set()
    ids: set[object] = set()
    for i, raw in enumerate(document.images):
        image = _decode(raw, dict[str, Any])
        at = f"images[{i}]"
        if image is None or isinstance(image.get("id"), bool) or not isinstance(image.get("id"), int | str):
            problems.add(f"{at}.id", "is missing or no whole number")
            continue
        entries = by_image.pop(image["id"], [])
        if image["id"] in ids:
            problems.add(f"{at}.id", f"{image['id']} is there twice", "ids differ")
            continue
        ids.add(image["id"])
        try:
            place = base.clean_path(image.get("file_name"))
            width, height = base.side(image.get("width"), "width"), base.side(image.get("height"), "height")
        except InvalidInput as error:
            problems.add(at, error.what, error.remedy)
            continue
        if place in paths:
            problems.add(f"{at}.file_name", f"{place!r} is there twice", "one entry a picture")
            continue
        paths.add(place)
        if sizes is not None and width is None and (known := sizes(place)):
            width, height = known
        found = _all(document, entries, names, (width, height), problems)
        yield Record(place, width, height, found, split)
    for image_id, entries in by_image.items():
        _all(document, entries, names, (None, None), problems)
        problems.add(
            f"annotations[{entries[0]}].image_id",
            f"there is no image {base.short(image_id)}",
            f"{len(entries)} annotations without a picture",
        )


def _all(
    document: _Document,
    entries: Iterable[int],
    names: Mapping[object, str],
    wh: tuple[int | None, int | None],
    problems: Problems,
) -> tuple[Annotation, ...]:
    found: list[Annotation] = []
    for n in entries:
        try:
            row = _decode(document.annotations[n], dict[str, Any]) or {}
            found += _annotations(row, names, *wh)
        except InvalidInput as error:
            problems.add(f"annotations[{n}]", error.what, error.remedy)
    return tuple(found)


def _decode(raw: msgspec.Raw, type: Any) -> Any:
    """One entry; None when it is no object. Its JSON was checked when the file was read."""
    try:
        return msgspec.json.decode(raw, type=type)
    except (msgspec.DecodeError, RecursionError):
        return None


def _categories(rows: list[Any], problems: Problems) -> Mapping[object, str]:
    names: dict[object, str] = {}
    for i, row in enumerate(rows):
        at = f"categories[{i}]"
        if (
            not isinstance(row, dict)
            or isinstance(row.get("id"), bool)
            or not isinstance(row.get("id"), int | str)
        ):
            problems.add(at, "has no id that is a whole number")
        elif not isinstance(row.get("name"), str) or not row["name"].strip():
            problems.add(f"{at}.name", f"is {base.short(row.get('name'))}", "a text")
        elif row["id"] in names:
            problems.add(f"{at}.id", f"{row['id']} is there twice", "ids differ")
        else:
            names[row["id"]] = row["name"].strip()
    return names


def _annotations(
    row: dict[str, Any], names: Mapping[object, str], width: int | None, height: int | None
) -> Iterator[Annotation]:
    if "segments_info" in row:
        raise InvalidInput("a panoptic entry", remedy="this is no instances file")
    category = row.get("category_id")
    if isinstance(category, bool) or not isinstance(category, int | str) or category not in names:
        raise InvalidInput(
            f"category_id is {base.short(category)}, which is no category", remedy="add it to categories"
        )
    score = row.get("score")
    if score is not None and (
        isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1
    ):
        raise InvalidInput(f"score is {base.short(score)}", remedy="0 to 1")
    attributes = dict(base.attributes(row.get("attributes")))
    crowd = row.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise InvalidInput(f"iscrowd is {base.short(crowd)}", remedy="0 or 1")
    if crowd:
        attributes["iscrowd"] = True
    shapes = list(_shapes(row, width, height))
    if not shapes:
        raise InvalidInput("neither bbox nor segmentation", remedy="give one")
    for shape in shapes:
        yield Annotation(
            names[category], base.sound(shape), attributes, None if score is None else float(score), "import"
        )


def _shapes(row: dict[str, Any], width: int | None, height: int | None) -> Iterator[Shape]:
    keypoints = _keypoints(row.get("keypoints"))
    if keypoints is not None:
        yield keypoints
    segmentation = row.get("segmentation")
    if segmentation:
        yield _segmentation(segmentation, width, height)
        return
    if row.get("bbox") is None:
        return
    x, y, w, h = _numbers(row["bbox"], "bbox", 4)
    if w < 0 or h < 0:
        raise InvalidInput(
            f"bbox is {base.short(row['bbox'])}, of negative size", remedy="[x, y, width, height]"
        )
    box = Box(x, y, x + w, y + h)
    around = geometry.bbox(keypoints) if keypoints is not None else None
    if around is None or not _same(box, around):
        yield box


def _same(a: Box, b: Box) -> bool:
    return max(abs(a.x0 - b.x0), abs(a.y0 - b.y0), abs(a.x1 - b.x1), abs(a.y1 - b.y1)) < 0.01


def _numbers(value: object, what: str, n: int | None = None) -> list[float]:
    if not isinstance(value, list) or (n is not None and len(value) != n):
        raise InvalidInput(f"{what} is {base.short(value)}", remedy=f"a list of {n or 'x, y, …'} numbers")
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        raise InvalidInput(f"{what} holds something that is no number: {base.short(value)}")
    try:
        return [float(v) for v in value]
    except OverflowError as error:
        raise InvalidInput(f"{what} holds a number that is too large") from error


def _keypoints(value: object) -> Keypoints | None:
    if not value:
        return None
    flat = _numbers(value, "keypoints")
    if len(flat) % 3:
        raise InvalidInput(f"keypoints hold {len(flat)} numbers", remedy="x, y, visibility for each point")
    if not any(flat[2::3]):
        return None
    points = tuple(c for i in range(0, len(flat), 3) for c in flat[i : i + 2])
    return Keypoints(points, tuple(int(v) if v in (0, 1, 2) else -1 for v in flat[2::3]))


def _segmentation(value: object, width: int | None, height: int | None) -> Shape:
    if isinstance(value, dict):
        size, counts = value.get("size"), value.get("counts")
        if not isinstance(size, list) or len(size) != 2:
            raise InvalidInput(f"segmentation.size is {base.short(size)}", remedy="[height, width]")
        h, w = base.side(size[0], "segmentation.size"), base.side(size[1], "segmentation.size")
        if w is None or h is None:
            raise InvalidInput("segmentation.size is empty", remedy="[height, width]")
        if (width, height) not in ((None, None), (w, h)):
            raise InvalidInput(f"a mask of {w} x {h} px on a picture of {width} x {height} px")
        if isinstance(counts, str):
            counts = rle.from_text(counts)
        if not isinstance(counts, list):
            raise InvalidInput(
                f"segmentation.counts is {base.short(counts)}", remedy="run lengths or compressed text"
            )
        return Mask(w, h, rle.normal(counts, w=w, h=h))
    if not isinstance(value, list):
        raise InvalidInput(f"segmentation is {base.short(value)}", remedy="polygons or run lengths")
    rings = [value] if not isinstance(value[0], list) else value
    return Polygon(tuple((tuple(_open(_numbers(ring, "segmentation"))),) for ring in rings))


def _open(ring: list[float]) -> list[float]:
    """The ring without its first point repeated at the end."""
    return ring[:-2] if len(ring) > 6 and ring[:2] == ring[-2:] else ring


# ---------------------------------------------------------------------------------------------------------------
# Writing


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """What COCO cannot hold of these records, with counts."""
    base.dialect(dialect, DIALECTS)
    found = base.census(records)
    out = base.strangers(found, schema) + found.losses(_LOSSES)
    sizeless = found.traits.get("sizeless")
    if sizeless and "hole" in found.traits:
        out.append(Loss("holes on pictures of unknown size: lost", found.traits["hole"].n, sizeless.example))
    return out


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs in the export."""
    return PurePosixPath(PLACE, base.clean_path(record.path))


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """`annotations/instances_<split>.json` for every split that occurs ("default" for none), and nothing else.

    Category ids are the schema's class ids from 1 and the same in every export; names are the labels' codes.

    Raises:
        InvalidInput: for a label that is not in the schema.
    """
    base.dialect(dialect, DIALECTS)
    ids = schema.class_ids()
    writers: dict[str, _Writer] = {}
    try:
        for record in records:
            if record.split not in writers:
                writers[record.split] = _Writer(
                    base.target(out, f"annotations/instances_{record.split or 'default'}.json")
                )
            writers[record.split].add(record, ids)
        if not writers:
            writers[""] = _Writer(base.target(out, "annotations/instances_default.json"))
        return [writer.finish(schema, name) for _, writer in sorted(writers.items())]
    finally:
        for writer in writers.values():
            writer.close()


class _Writer:
    """One JSON file written in one pass: annotations wait in a second file until all images are down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._images = path.open("wb")
        self._spool_path = path.with_name(f"{path.name}.part")
        self._spool = self._spool_path.open("wb")
        self.n_images = self.n_annotations = 0
        self.n_keypoints: dict[int, int] = {}
        self._images.write(b'{"images":[')

    def add(self, record: Record, ids: Mapping[str, int]) -> None:
        self.n_images += 1
        image: dict[str, Any] = {"id": self.n_images, "file_name": base.clean_path(record.path)}
        if record.width is not None and record.height is not None:
            image |= {"width": record.width, "height": record.height}
        self._images.write((b",\n" if self.n_images > 1 else b"\n") + msgspec.json.encode(image))
        for a in record.annotations:
            category = base.class_id(a, ids, record.path) + 1
            body = _body(a, record)
            if body is None:
                continue
            self.n_annotations += 1
            if "keypoints" in body:
                self.n_keypoints[category] = max(
                    self.n_keypoints.get(category, 0), len(body["keypoints"]) // 3
                )
            row = {"id": self.n_annotations, "image_id": self.n_images, "category_id": category} | body
            self._spool.write((b",\n" if self.n_annotations > 1 else b"\n") + msgspec.json.encode(row))

    def finish(self, schema: LabelSchema, name: str) -> Path:
        categories = []
        for code, n in schema.class_ids().items():
            label = schema.label(code)
            assert label is not None
            row: dict[str, Any] = {"id": n + 1, "name": code, "supercategory": label.parent or ""}
            row |= {"name_zh": label.name_zh, "name_en": label.name_en}
            if points := self.n_keypoints.get(n + 1):
                row |= _template(label.skeleton, points)
            categories.append(row)
        info = {"description": name, "schema": schema.code, "schema_version": schema.version}
        self._spool.close()
        self._images.write(b'],\n"annotations":[')
        with self._spool_path.open("rb") as spool:
            shutil.copyfileobj(spool, self._images, 1 << 20)
        self._images.write(b'],\n"categories":' + msgspec.json.encode(categories))
        self._images.write(b',\n"info":' + msgspec.json.encode(info) + b',\n"licenses":[]}\n')
        base.settle(self._images)
        return self.path

    def close(self) -> None:
        """Let go of both files, whatever happened."""
        self._images.close()
        self._spool.close()
        self._spool_path.unlink(missing_ok=True)


def _body(a: Annotation, record: Record) -> dict[str, Any] | None:
    """The format's part of an annotation, None for what it cannot hold."""
    shape = a.shape
    extra: dict[str, Any] = {}
    match shape:
        case Tag() | Caption():
            return None
        case RotatedBox() | Quad() | Ellipse() | Cuboid():
            if (drawn := geometry.outline(shape)) is not None:
                shape = drawn
                extra["segmentation"] = [list(shape.parts[0][0])]
        case Polygon(parts) if any(len(part) > 1 for part in parts) and record.width and record.height:
            shape = raster.to_mask(shape, width=record.width, height=record.height)
            extra["segmentation"] = _rle(shape)
        case Polygon(parts):
            extra["segmentation"] = [list(part[0]) for part in parts]
        case Mask():
            extra["segmentation"] = _rle(shape)
        case Points(points):
            extra |= _flat_keypoints(points, (2,) * (len(points) // 2))
        case Keypoints(points, visibility):
            extra |= _flat_keypoints(points, visibility)
        case Box() | Polyline():
            pass
    box = geometry.bbox(shape) or Box(0.0, 0.0, 0.0, 0.0)
    row: dict[str, Any] = {"bbox": [box.x0, box.y0, _minus(box.x1, box.x0), _minus(box.y1, box.y0)]}
    row |= {"area": geometry.area(shape), "iscrowd": int(a.attributes.get("iscrowd") is True)} | extra
    if kept := _attributes(a.attributes):
        row["attributes"] = kept
    if a.score is not None:
        row["score"] = a.score
    return row


def _template(skeleton: Skeleton | None, points: int) -> dict[str, Any]:
    """The category's keypoint names and edges (from 1); bare numbers when the label has no template that fits."""
    if skeleton is None or len(skeleton.points) != points:
        return {"keypoints": [str(i) for i in range(points)], "skeleton": []}
    return {
        "keypoints": [code for code, _, _ in skeleton.points],
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.edges],
    }


def _minus(a: float, b: float) -> float:
    """A difference without the noise of binary fractions: coordinates are whole thousandths."""
    return round(a - b, 6)


def _attributes(attributes: Attributes) -> dict[str, Any]:
    return {k: v for k, v in marks.plain(attributes).items() if not (k == "iscrowd" and v is True)}


def _rle(mask: Mask) -> dict[str, Any]:
    return {"size": [mask.h, mask.w], "counts": rle.to_text(mask.counts)}


def _flat_keypoints(points: tuple[float, ...], visibility: tuple[int, ...]) -> dict[str, Any]:
    flat = [c for i, v in enumerate(visibility) for c in (points[2 * i], points[2 * i + 1], v)]
    return {"keypoints": flat, "num_keypoints": sum(1 for v in visibility if v)}

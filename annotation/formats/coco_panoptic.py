"""COCO panoptic: a JSON file of segments, and for each picture a PNG whose colours are their ids (R + 256 G + 65536 B)."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from annotation import geometry, raster, rle
from annotation.core import Annotation, Ellipse, Mask, Polygon, Quad, RotatedBox
from annotation.errors import InvalidInput
from annotation.formats import base, coco_index, coco_rows, coco_write, jsonblocks
from annotation.formats.base import Problems, Record
from annotation.labels import LabelSchema

MAX_PIXELS = 100_000_000
MAX_PNG = 256 * 2**20
"""Bytes of a PNG file."""
MAX_SEGMENTS = 100_000


class _Segment(msgspec.Struct, gc=False):
    id: int
    category_id: int
    iscrowd: int = 0


class _Entry(msgspec.Struct, gc=False):
    image_id: int
    file_name: str
    segments_info: list[_Segment]


class _Category(msgspec.Struct):
    id: int
    name: str


_MEMBERS: dict[str, msgspec.json.Decoder[Any]] = {
    "images": msgspec.json.Decoder(list[coco_rows.Picture]),
    "annotations": msgspec.json.Decoder(list[_Entry]),
    "categories": msgspec.json.Decoder(list[_Category]),
}


# ---------------------------------------------------------------------------------------------------------------
# Reading


def read(path: Path, split: str, problems: Problems) -> Iterator[Record]:
    """One record a picture, its segments as masks; PNG files lie in a folder beside the file, as in COCO's own layout.

    All is looked at before the first record; faults go to `problems`, and what is faulty is left out.

    Raises:
        InvalidInput: not JSON, not of this form, too large.
    """
    members: dict[str, list[Any]] = {name: [] for name in _MEMBERS}
    for block in jsonblocks.walk(path, _MEMBERS, limit=coco_index.MAX_BYTES):
        if block.key in members:
            if not block.typed:
                _demand(block.key, block.elements)
            members[block.key] += block.elements
    labels = {c.id: c.name.strip() for c in members["categories"]}
    pictures: dict[int, tuple[int, coco_rows.Picture]] = {}
    for i, picture in enumerate(members["images"]):
        try:
            base.clean_path(picture.file_name)
            base.side(picture.width, "width")
            base.side(picture.height, "height")
        except InvalidInput as error:
            problems.add(f"images[{i}]", error.what, error.remedy)
            continue
        if picture.id in pictures:
            problems.add(f"images[{i}].id", f"{picture.id} is there twice", "ids differ")
        pictures[picture.id] = (i, picture)
    found: list[tuple[int, coco_rows.Picture, Path, _Entry]] = []
    for n, entry in enumerate(members["annotations"]):
        at = f"annotations[{n}]"
        try:
            i, picture = pictures.pop(entry.image_id, (-1, None))
            if picture is None:
                raise InvalidInput(f"there is no image {entry.image_id}, or it has two entries")
            for segment in entry.segments_info:
                if segment.category_id not in labels:
                    raise InvalidInput(
                        f"category_id is {segment.category_id}, which is no category",
                        remedy="add it to categories",
                    )
            found.append((i, picture, file := _png(path, entry.file_name), entry))
            ids = _ids(file, picture)
            _demand_segments(entry, set(np.unique(ids).tolist()))
        except InvalidInput as error:
            problems.add(at, error.what, error.remedy)
            if found and found[-1][3] is entry:
                found.pop()
    found += [(i, picture, Path(), _Entry(picture.id, "", [])) for i, picture in pictures.values()]
    return _records(sorted(found, key=lambda one: one[0]), labels, split)


def _demand(key: str, elements: list[Any]) -> None:
    """Say which element is not of the form that is needed."""
    kind = {"images": coco_rows.Picture, "annotations": _Entry, "categories": _Category}[key]
    for i, element in enumerate(elements if isinstance(elements, list) else []):
        try:
            msgspec.convert(element, kind)
        except msgspec.ValidationError as error:
            raise InvalidInput(
                f"{key}[{i}]: {error}", remedy="a panoptic file's images, segments_info, categories"
            ) from error
    raise InvalidInput(f"not of the expected form: {key}")


def _demand_segments(entry: _Entry, drawn: set[int]) -> None:
    ids = [segment.id for segment in entry.segments_info]
    if len(ids) > MAX_SEGMENTS or len(set(ids)) != len(ids):
        raise InvalidInput("a segment's id is there twice", where=entry.file_name, remedy="ids differ")
    if missing := [i for i in ids if i not in drawn]:
        raise InvalidInput(f"the segment {missing[0]} is not in {base.short(entry.file_name)}")
    if stray := sorted(drawn - {0, *ids}):
        raise InvalidInput(f"{base.short(entry.file_name)} has the id {stray[0]}, which is no segment")


def _png(path: Path, name: str) -> Path:
    """The PNG file of an entry."""
    inner = base.clean_path(name)
    folders = [
        path.with_suffix(""),
        path.parent / path.stem.removeprefix("panoptic_"),
        path.parent,
        path.parent.parent / path.stem,
    ]
    for folder in folders:
        file = folder / inner
        if file.is_file() and folder.resolve() in file.resolve().parents:
            return file
    raise InvalidInput(f"the file {base.short(name)} is missing", remedy=f"put it into {path.stem}/")


def _ids(file: Path, picture: coco_rows.Picture) -> Any:
    """The segments' ids of a PNG, int32 (h, w)."""
    from PIL import Image

    if file.stat().st_size > MAX_PNG:
        raise InvalidInput(f"{file.stat().st_size} bytes", where=file.name, remedy=f"at most {MAX_PNG}")
    try:
        with Image.open(file, formats=("PNG",)) as image:
            w, h = image.size
            if w * h > MAX_PIXELS:
                raise InvalidInput(f"{w} x {h} px", where=file.name, remedy=f"at most {MAX_PIXELS} pixels")
            pixels = np.asarray(image.convert("RGB"), np.int32)
    except InvalidInput:
        raise
    except Exception as error:  # Pillow's readers raise nearly anything on a broken file
        raise InvalidInput("is no PNG that can be read", where=file.name) from error
    if (picture.width or w, picture.height or h) != (w, h):
        raise InvalidInput(
            f"{file.name} has {w} x {h} px, the picture {picture.width} x {picture.height}",
            remedy="the PNG of this very picture",
        )
    return pixels[..., 0] + 256 * pixels[..., 1] + 65536 * pixels[..., 2]


def _records(
    found: list[tuple[int, coco_rows.Picture, Path, _Entry]], labels: Mapping[int, str], split: str
) -> Iterator[Record]:
    for _, picture, file, entry in found:
        made = []
        width, height = picture.width, picture.height
        if entry.file_name:
            ids = _ids(file, picture)
            height, width = ids.shape
            masks = _masks(ids)
            for segment in entry.segments_info:
                flags = {"iscrowd": True} if segment.iscrowd else {}
                made.append(Annotation(labels[segment.category_id], masks[segment.id], flags, None, "import"))
        yield Record(base.clean_path(picture.file_name), width, height, tuple(made), split)


def _masks(ids: Any) -> dict[int, Mask]:
    """The mask of every id but 0, in one pass over the pixels: the runs of all, then those of each."""
    h, w = ids.shape
    flat = ids.T.reshape(-1)
    begins = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    ends = np.concatenate((begins[1:], [len(flat)]))
    values = flat[begins]
    order = np.argsort(values, kind="stable")
    kinds, first = np.unique(values[order], return_index=True)
    out = {}
    for value, runs in zip(kinds.tolist(), np.split(order, first[1:]), strict=True):
        if value:
            edges = np.concatenate(([0], np.stack((begins[runs], ends[runs]), 1).reshape(-1), [len(flat)]))
            counts = np.diff(edges).tolist()
            if counts[-1] == 0:
                counts.pop()
            out[value] = Mask(w, h, rle.normal(counts, w=w, h=h))
    return out


# ---------------------------------------------------------------------------------------------------------------
# Writing


def write(records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str) -> list[Path]:
    """`annotations/panoptic_<split>.json` and the folder of its PNG files, for every split.

    A segment's id is its number in the picture from 1; it is what of its object no later object covers.

    Raises:
        InvalidInput: a label that is not in the schema, a picture of unknown size, or two of one name.
    """
    ids = schema.class_ids()
    files: dict[str, _File] = {}
    try:
        for record in records:
            if record.split not in files:
                stem = f"annotations/panoptic_{record.split or 'default'}"
                files[record.split] = _File(base.target(out, f"{stem}.json"))
            files[record.split].add(record, ids)
        if not files:
            files[""] = _File(base.target(out, "annotations/panoptic_default.json"))
        return [made for _, file in sorted(files.items()) for made in file.finish(schema, name)]
    finally:
        for file in files.values():
            file.close()


class _File:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder = path.with_suffix("")
        self._folder.mkdir(exist_ok=True)
        self._file = path.open("wb")
        self._spool_path = path.with_name(f"{path.name}.part")
        self._spool = self._spool_path.open("wb")
        self._file.write(b'{"images":[')
        self._n = 0

    def add(self, record: Record, ids: Mapping[str, int]) -> None:
        if record.width is None or record.height is None:
            raise InvalidInput(
                "the picture's size is unknown", where=record.path, remedy="ingest the picture first"
            )
        self._n += 1
        comma = b",\n" if self._n > 1 else b"\n"
        image = coco_write.pictures_entry(self._n, record)
        self._file.write(comma + msgspec.json.encode(image))
        canvas = np.zeros((record.height, record.width), np.int32)
        drawn: dict[int, Annotation] = {}
        for a in record.annotations:
            base.class_id(a, ids, record.path)
            if _paint(canvas, a, len(drawn) + 1):
                drawn[len(drawn) + 1] = a
        inner = Path(image["file_name"]).with_suffix(".png").as_posix()
        target = base.target(self._folder, inner)
        if target.exists():
            raise InvalidInput(
                "two pictures that differ only in their suffix would share one file", where=record.path,
                remedy="rename one, or export to coco or native",
            )  # fmt: skip
        target.write_bytes(_encoded(canvas))
        entry = {"image_id": self._n, "file_name": inner, "segments_info": _segments(canvas, drawn, ids)}
        self._spool.write(comma + msgspec.json.encode(entry))

    def finish(self, schema: LabelSchema, name: str) -> list[Path]:
        self._spool.close()
        self._file.write(b'],\n"annotations":[')
        with self._spool_path.open("rb") as spool:
            shutil.copyfileobj(spool, self._file, 1 << 20)
        rows = [row | {"isthing": 1} for row in coco_write.categories(schema)]
        self._file.write(b'],\n"categories":' + msgspec.json.encode(rows) + coco_write.info(schema, name))
        base.settle(self._file)
        return [self.path, self._folder]

    def close(self) -> None:
        """Let go of both files, whatever happened."""
        self._file.close()
        self._spool.close()
        self._spool_path.unlink(missing_ok=True)


def _paint(canvas: Any, a: Annotation, number: int) -> bool:
    """Draw an object's area; False for what has none or lies outside."""
    h, w = canvas.shape
    shape = a.shape
    if isinstance(shape, RotatedBox | Quad | Ellipse):
        shape = geometry.outline(shape) or shape
    if isinstance(shape, Polygon):
        shape = raster.to_mask(shape, width=w, height=h)
    if not isinstance(shape, Mask) or (shape.w, shape.h) != (w, h):
        return False
    seen = rle.decode(shape).astype(bool)
    canvas[seen] = number
    return bool(seen.any())


def _segments(canvas: Any, drawn: Mapping[int, Annotation], ids: Mapping[str, int]) -> list[dict[str, Any]]:
    out = []
    for number, mask in sorted(_masks(canvas).items()):
        a = drawn[number]
        box = geometry.bbox(mask)
        assert box is not None
        out.append({
            "id": number, "category_id": ids[a.label] + 1, "area": int(geometry.area(mask)),
            "bbox": [int(box.x0), int(box.y0), int(box.x1 - box.x0), int(box.y1 - box.y0)],
            "iscrowd": int(a.attributes.get("iscrowd") is True),
        })  # fmt: skip
    return out


def _encoded(canvas: Any) -> bytes:
    """An RGB PNG of ids."""
    from io import BytesIO

    from PIL import Image

    rgb = np.stack((canvas & 255, canvas >> 8 & 255, canvas >> 16 & 255), -1).astype(np.uint8)
    made = BytesIO()
    Image.fromarray(rgb).save(made, "PNG", compress_level=zlib.Z_BEST_SPEED)
    return made.getvalue()

"""COCO files written in one pass: annotations wait in a second file until all pictures are down."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from annotation import geometry, marks, raster, rle
from annotation.core import (
    NO_ATTRIBUTES,
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
    Tag,
)
from annotation.errors import InvalidInput
from annotation.formats import base
from annotation.formats.base import Record
from annotation.labels import LabelSchema, Skeleton

_ENCODER = msgspec.json.Encoder()
HELD = 1 << 16
"""Bytes that wait in memory for each of a file's two parts."""


class _Row(msgspec.Struct, omit_defaults=True, gc=False):
    id: int
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float] | None = None
    area: float | None = None
    iscrowd: int | None = None
    segmentation: Any = None
    keypoints: list[float] | None = None
    num_keypoints: int | None = None
    attributes: Mapping[str, Any] | None = None
    score: float | None = None


class _Sentence(msgspec.Struct, gc=False):
    id: int
    image_id: int
    caption: str


def write(records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, kind: str) -> list[Path]:
    """`annotations/<kind>_<split>.json` for every split that occurs ("default" for none), and nothing else.

    Args:
        kind: "instances" or "captions".

    Raises:
        InvalidInput: for a label that is not in the schema.
    """
    ids = schema.class_ids()
    files: dict[str, _File] = {}
    try:
        for record in records:
            file = files.get(record.split)
            if file is None:
                path = base.target(out, f"annotations/{kind}_{record.split or 'default'}.json")
                file = files[record.split] = _File(path, kind)
            file.add(record, ids)
        if not files:
            files[""] = _File(base.target(out, f"annotations/{kind}_default.json"), kind)
        return [file.finish(schema, name) for _, file in sorted(files.items())]
    finally:
        for file in files.values():
            file.close()


def pictures_entry(number: int, record: Record) -> dict[str, Any]:
    """A picture as a file lists it."""
    image: dict[str, Any] = {"id": number, "file_name": base.clean_path(record.path)}
    if record.width is not None and record.height is not None:
        image |= {"width": record.width, "height": record.height}
    return image


def categories(schema: LabelSchema, keypoints: Mapping[int, int] = {}) -> list[dict[str, Any]]:
    """The schema's classes with ids from 1; `keypoints` says for an id how many points its skeletons have."""
    found = []
    for code, n in schema.class_ids().items():
        label = schema.label(code)
        if label is None:
            raise InvalidInput(f"the class {code!r} is not in the label schema")
        row: dict[str, Any] = {"id": n + 1, "name": code, "supercategory": label.parent or ""}
        row |= {"name_zh": label.name_zh, "name_en": label.name_en}
        if points := keypoints.get(n + 1):
            row |= _template(label.skeleton, points)
        found.append(row)
    return found


def info(schema: LabelSchema, name: str) -> bytes:
    """The end of a file: what it holds, and of which schema."""
    said = {"description": name, "schema": schema.code, "schema_version": schema.version}
    return b',\n"info":' + _ENCODER.encode(said) + b',\n"licenses":[]}\n'


class _File:
    def __init__(self, path: Path, kind: str) -> None:
        self.path, self._kind = path, kind
        self._file = path.open("wb")
        self._spool_path = path.with_name(f"{path.name}.part")
        self._spool = self._spool_path.open("wb")
        self._images, self._rows = bytearray(b'{"images":['), bytearray()
        self._n_images = self._n_rows = 0
        self._keypoints: dict[int, int] = {}

    def add(self, record: Record, ids: Mapping[str, int]) -> None:
        self._n_images += 1
        images, rows = self._images, self._rows
        images += b",\n" if self._n_images > 1 else b"\n"
        _ENCODER.encode_into(pictures_entry(self._n_images, record), images, -1)
        n, captions = self._n_rows, self._kind == "captions"
        for a in record.annotations:
            category = ids.get(a.label)
            if category is None:
                category = base.class_id(a, ids, record.path)
            row = (
                _sentence(a, n + 1, self._n_images)
                if captions
                else _row(a, record, n + 1, self._n_images, category + 1)
            )
            if row is None:
                continue
            n += 1
            rows += b",\n" if n > 1 else b"\n"
            _ENCODER.encode_into(row, rows, -1)
            if isinstance(row, _Row) and row.keypoints:
                points = len(row.keypoints) // 3
                self._keypoints[category + 1] = max(self._keypoints.get(category + 1, 0), points)
        self._n_rows = n
        if len(rows) > HELD or len(images) > HELD:
            self._flush()

    def _flush(self) -> None:
        self._file.write(self._images)
        self._spool.write(self._rows)
        self._images.clear()
        self._rows.clear()

    def finish(self, schema: LabelSchema, name: str) -> Path:
        self._flush()
        self._spool.close()
        self._file.write(b'],\n"annotations":[')
        with self._spool_path.open("rb") as spool:
            shutil.copyfileobj(spool, self._file, 1 << 20)
        self._file.write(b"]")
        if self._kind != "captions":
            self._file.write(b',\n"categories":' + _ENCODER.encode(categories(schema, self._keypoints)))
        self._file.write(info(schema, name))
        base.settle(self._file)
        return self.path

    def close(self) -> None:
        """Let go of both files, whatever happened."""
        self._file.close()
        self._spool.close()
        self._spool_path.unlink(missing_ok=True)


def _sentence(a: Annotation, n: int, image: int) -> _Sentence | None:
    return _Sentence(n, image, a.shape.text) if isinstance(a.shape, Caption) else None


def _row(a: Annotation, record: Record, n: int, image: int, category: int) -> _Row | None:
    """An annotation as an entry, None for what the format cannot hold."""
    shape = a.shape
    row = _Row(n, image, category)
    match shape:
        case Box(x0, y0, x1, y1):
            w, h = round(x1 - x0, 6), round(y1 - y0, 6)
            row.bbox, row.area, row.iscrowd = (x0, y0, w, h), (x1 - x0) * (y1 - y0), 0
            return row if a.attributes is NO_ATTRIBUTES and a.score is None else _qualified(row, a)
        case Tag() | Caption():
            return None
        case RotatedBox() | Quad() | Ellipse() | Cuboid():
            if (drawn := geometry.outline(shape)) is not None:
                shape = drawn
                row.segmentation = [shape.parts[0][0]]
        case Polygon(parts) if any(len(part) > 1 for part in parts) and record.width and record.height:
            shape = raster.to_mask(shape, width=record.width, height=record.height)
            row.segmentation = _rle(shape)
        case Polygon(parts):
            row.segmentation = [part[0] for part in parts]
        case Mask():
            row.segmentation = _rle(shape)
        case Points(points):
            _set_keypoints(row, points, (2,) * (len(points) // 2))
        case Keypoints(points, visibility):
            _set_keypoints(row, points, visibility)
        case Polyline():
            pass
    box = geometry.bbox(shape) or Box(0.0, 0.0, 0.0, 0.0)
    row.bbox = (box.x0, box.y0, round(box.x1 - box.x0, 6), round(box.y1 - box.y0, 6))
    row.area = geometry.area(shape)
    return _qualified(row, a)


def _qualified(row: _Row, a: Annotation) -> _Row:
    row.iscrowd = int(a.attributes.get("iscrowd") is True)
    row.attributes = _attributes(a.attributes) or None
    row.score = a.score
    return row


def _template(skeleton: Skeleton | None, points: int) -> dict[str, Any]:
    """The category's keypoint names and edges (from 1); bare numbers when the label has no template that fits."""
    if skeleton is None or len(skeleton.points) != points:
        return {"keypoints": [str(i) for i in range(points)], "skeleton": []}
    return {
        "keypoints": [code for code, _, _ in skeleton.points],
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.edges],
    }


def _attributes(attributes: Attributes) -> dict[str, Any]:
    return {k: v for k, v in marks.plain(attributes).items() if not (k == "iscrowd" and v is True)}


def _rle(mask: Mask) -> dict[str, Any]:
    return {"size": [mask.h, mask.w], "counts": rle.to_text(mask.counts)}


def _set_keypoints(row: _Row, points: tuple[float, ...], visibility: tuple[int, ...]) -> None:
    row.keypoints = [c for i, v in enumerate(visibility) for c in (points[2 * i], points[2 * i + 1], v)]
    row.num_keypoints = sum(1 for v in visibility if v)

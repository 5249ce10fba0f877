"""labelme's and X-AnyLabeling's files written: what they lose, and the shapes that stand for ours; see `labelme`."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np

from annotation import geometry, marks, rle
from annotation.core import (
    Annotation,
    AttributeValue,
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
from annotation.formats import base, foreign, pngs, sheets
from annotation.formats.base import Loss, Record
from annotation.labels import LabelSchema

DIALECTS = ("labelme", "xanylabeling")
VERSIONS = {"labelme": "6.0.0", "xanylabeling": "3.0.0"}
LINKING = "linking"
"""The name of a relation that the file only says exists."""

_LOSSES = (
    foreign.ITSELF_LOSSES
    | base.PAINTED_LOSSES
    | {
        "caption": "captions: left out",
        "quad": "quadrilaterals: written as polygons of four corners",
        "oval": "ellipses: written as polygons of many corners",
        "cuboid": "cuboids: only their silhouettes are written, as polygons",
        "keypoints": "key points: written as single points of a group, without their order",
        "several": "loose points of several: written as single points of a group",
        "text": "attributes that are no flags: left out",
        "empty": "masks without a pixel: left out",
        "sizeless": "",
        "tags": "pictures with a label of the whole picture twice: written once",
        "tag_more": "attributes, scores and groups of labels of the whole picture: left out",
        "@group": "",
        "@order": "order in depth: kept only as the order of the shapes",
    }
)
_XANY_LOSSES = _LOSSES | {
    "caption": "",
    "captions": "captions: joined to one description of the picture",
    "score": "",
    "prediction": "predictions: written like truth, with their score",
    "mask": "masks: written as polygons",
    "hole": "holes in polygons: filled",
    "multipart": "polygons of several parts: each part is a polygon of a group",
    "text": "",
    "number": "numbers among the attributes: written as text",
    "@links": "",
    "named": "names of relations: left out",
    "tied": "links of objects in groups: left out",
}


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """What the dialect cannot hold of these records, with counts."""
    xany = base.dialect(dialect, DIALECTS) == "xanylabeling"
    return foreign.loss(records, schema, _XANY_LOSSES if xany else _LOSSES, _traits, _shared)


def _traits(a: Annotation, record: Record) -> Iterator[str]:
    shape = a.shape
    if isinstance(shape, Ellipse) and shape.rx != shape.ry:
        yield "oval"
    if isinstance(shape, Points) and len(shape.points) > 2:
        yield "several"
    if isinstance(shape, Mask) and geometry.bbox(shape) is None:
        yield "empty"
    if isinstance(shape, Tag) and a.attributes:
        yield "tag_more"
    if any(not isinstance(v, bool) and not _said(k, v) for k, v in marks.plain(a.attributes).items()):
        yield "text"
    yield from foreign.values(a)
    if any(name != LINKING for name, _ in marks.links(a)):
        yield "named"
    if marks.links(a) and marks.group(a):
        yield "tied"


def _shared(record: Record) -> Iterator[str]:
    if sum(isinstance(a.shape, Caption) for a in record.annotations) > 1:
        yield "captions"
    tags = [a.label for a in record.annotations if isinstance(a.shape, Tag)]
    if len(set(tags)) < len(tags):
        yield "tags"


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs in the export: beside its label file."""
    base.dialect(dialect, DIALECTS)
    return foreign.placed(record)


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """A JSON file for every picture, beside the place of the picture; the folder is returned.

    Raises:
        InvalidInput: unknown label, or two pictures that would share one label file.
    """
    dialect = base.dialect(dialect, DIALECTS)
    ids = schema.class_ids()
    files = sheets.Sheets(out)
    for record in records:
        spot = place(record)
        for a in record.annotations:
            base.class_id(a, ids, record.path)
        data = {
            "version": VERSIONS[dialect],
            "flags": {a.label: True for a in record.annotations if isinstance(a.shape, Tag)},
            "shapes": list(_rows(record, dialect)),
            "imagePath": spot.name,
            "imageData": None,
            "imageHeight": record.height,
            "imageWidth": record.width,
        }
        if dialect == "xanylabeling":
            said = [a.shape.text for a in record.annotations if isinstance(a.shape, Caption)]
            data["description"] = "\n".join(said)[: base.MAX_TEXT]
        text = msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n"
        files.write(spot.with_suffix(".json").as_posix(), text, where=record.path)
    files.finish()
    return [out]


def _rows(record: Record, dialect: str) -> Iterator[dict[str, Any]]:
    groups = foreign.Numbers()
    named = {uid for a in record.annotations for _, uid in marks.links(a)}
    ids: dict[str, int] = {}
    drawn = sorted(record.annotations, key=marks.order)
    if dialect == "xanylabeling":
        ids = {
            a.uid: groups.of(a.uid)
            for a in drawn
            if not marks.group(a) and (a.uid in named or marks.links(a))
        }
    for a in drawn:
        parts = _drawn(a.shape, record, dialect)
        group = marks.group(a)
        if len(parts) > 1:
            group = group or a.uid
        number = ids.get(a.uid) if len(parts) == 1 else None
        if number is None and group:
            number = groups.of(group)
        for kind, points, more in parts:
            row: dict[str, Any] = {"label": a.label, "points": foreign.pairs(points), "group_id": number}
            plain = marks.plain(a.attributes)
            said = plain.get("description", "")
            row |= {"description": said if isinstance(said, str) else "", "shape_type": kind}
            row["flags"] = {
                k: v for k, v in plain.items() if isinstance(v, bool) and (k != "difficult" or not v)
            }
            if dialect == "xanylabeling":
                row |= {"score": a.score, "difficult": plain.get("difficult") is True}
                row["attributes"] = {
                    k: str(v) for k, v in plain.items() if not isinstance(v, bool) and not _said(k, v)
                }
                row["kie_linking"] = [
                    [number, ids[uid]] for _, uid in marks.links(a) if uid in ids and a.uid in ids
                ]
            elif plain.get("difficult") is True:
                row["flags"]["difficult"] = True
            yield row | more


def _said(code: str, value: AttributeValue) -> bool:
    """Whether an attribute is the description that a shape has a field for."""
    return code == "description" and isinstance(value, str)


def _drawn(shape: Shape, record: Record, dialect: str) -> list[tuple[str, Coords, dict[str, Any]]]:
    """The shapes that stand for one: type, points, and what else the file says of it."""
    xany = dialect == "xanylabeling"
    match shape:
        case Box(x0, y0, x1, y1):
            return [("rectangle", geometry.corners(shape) if xany else (x0, y0, x1, y1), {})]
        case RotatedBox(degrees=degrees):
            if xany:
                return [("rotation", geometry.corners(shape), {"direction": math.radians(degrees)})]
            return [("oriented_rectangle", geometry.corners(shape), {})]
        case Ellipse(cx, cy, rx, ry) if rx == ry and rx > 0:
            return [("circle", (cx, cy, cx + rx, cy), {})]
        case Polyline(points):
            return [("line" if len(points) == 4 else "linestrip", points, {})]
        case Points(points):
            return [("point", (x, y), {}) for x, y in geometry.pairs(points)]
        case Keypoints(points, visibility):
            return [("point", points[2 * i : 2 * i + 2], {}) for i, v in enumerate(visibility) if v]
        case Polygon() if (ring := foreign.single(shape)) is not None:
            return [("polygon", ring, {})]
        case Polygon(parts):
            made = None if xany else foreign.painted(shape, record)
            return _png(made) if made is not None else [("polygon", part[0], {}) for part in parts]
        case Mask():
            return _outlined(shape) if xany else _png(shape)
        case Quad() | Ellipse() | Cuboid():
            outline = geometry.outline(shape)
            return [("polygon", outline.parts[0][0], {})] if outline is not None else []
        case Tag() | Caption():
            return []


def _png(mask: Mask) -> list[tuple[str, Coords, dict[str, Any]]]:
    """labelme's mask: its pixels as a PNG and the first and last of them as its two points."""
    part, x0, y0 = rle.crop(mask)
    if not part.size:
        return []
    data = base64.b64encode(pngs.data(part * np.uint8(255))).decode()
    h, w = part.shape
    return [("mask", (float(x0), float(y0), float(x0 + w - 1), float(y0 + h - 1)), {"mask": data})]


def _outlined(mask: Mask) -> list[tuple[str, Coords, dict[str, Any]]]:
    from annotation import raster

    outline = raster.to_polygon(mask)
    return [] if outline is None else [("polygon", part[0], {}) for part in outline.parts]

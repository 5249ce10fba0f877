"""Label Studio's tasks written: `tasks.json` with annotations and predictions, and the labelling interface for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import msgspec

from annotation import geometry, marks
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
from annotation.errors import InvalidInput
from annotation.formats import base, foreign, labelstudio_config, labelstudio_rle
from annotation.formats.base import Loss, Record
from annotation.formats.labelstudio_config import PREFIX, control
from annotation.labels import LabelSchema

DIALECTS = ("",)
FILE = "tasks.json"
PLACE = "images"
LOCAL = "/data/local-files/?d="
"""How Label Studio names a file below its local storage."""

_LOSSES = foreign.ITSELF_LOSSES | {
    "quad": "quadrilaterals: written as polygons of four corners",
    "cuboid": "cuboids: only their silhouettes are written, as polygons",
    "keypoints": "key points: written as single points with the object's label",
    "several": "loose points of several: written as single points",
    "hole": "polygons with holes: written as brush masks",
    "multipart": "polygons of several parts: written as brush masks",
    "caption_more": "labels and attributes of captions: left out",
    "tag_more": "attributes and scores of labels of the whole picture: left out",
    "blurred": "attributes with values of several types: written as text",
    "empty": "masks without a pixel: left out",
    "huge": "masks on pictures above 80 million px: left out",
    "unsized": "objects on pictures of unknown size: refused",
    "score_human": "scores of what is no prediction: left out",
    "prediction": "",
    "score": "",
    "@links": "",
}


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """What Label Studio cannot hold of these records, with counts."""
    base.dialect(dialect, DIALECTS)
    return foreign.loss(records, schema, _LOSSES, _traits)


def _traits(a: Annotation, record: Record) -> Iterator[str]:
    shape = a.shape
    if isinstance(shape, Points) and len(shape.points) > 2:
        yield "several"
    if isinstance(shape, Caption) and (a.label != foreign.CAPTION or a.attributes):
        yield "caption_more"
    if isinstance(shape, Tag) and (a.attributes or a.score is not None):
        yield "tag_more"
    if not isinstance(shape, Tag | Caption):
        if record.width is None or record.height is None:
            yield "unsized"
        if a.score is not None and a.origin != "model":
            yield "score_human"
    if isinstance(shape, Mask):
        if geometry.bbox(shape) is None:
            yield "empty"
        if shape.w * shape.h > labelstudio_rle.MAX_PIXELS:
            yield "huge"


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs in the export: `images/<split>/<path>`."""
    base.dialect(dialect, DIALECTS)
    return PurePosixPath(PLACE, foreign.placed(record))


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """`tasks.json` and `label_config.xml`. Pictures are named below Label Studio's local storage, whose folder is this one.

    Raises:
        InvalidInput: unknown label, or an object on a picture of unknown size.
    """
    base.dialect(dialect, DIALECTS)
    writer = _Writer(schema)
    file = base.target(out, FILE)
    with file.open("xb") as stream:
        stream.write(b"[")
        for n, record in enumerate(records):
            stream.write((b",\n" if n else b"\n") + msgspec.json.encode(writer.task(record, n + 1)))
        stream.write(b"\n]\n")
        base.settle(stream)
    config = base.target(out, labelstudio_config.FILE)
    with config.open("xb") as stream:
        stream.write(writer.config())
        base.settle(stream)
    return [file, config]


class _Writer:
    """Tasks one by one, and what the labelling interface must have for them."""

    def __init__(self, schema: LabelSchema) -> None:
        self._schema, self._ids = schema, schema.class_ids()
        self._tools: set[str] = set()
        self._relations: set[str] = set()
        self._attributes: dict[str, str] = {}
        self._choices: dict[str, dict[str, None]] = {}

    def config(self) -> bytes:
        """The labelling interface for all tasks so far."""
        labels = [(code, label.color) for code in self._ids if (label := self._schema.label(code))]
        choices = {code: list(values) for code, values in self._choices.items()}
        return labelstudio_config.text(
            labels, self._tools or {"RectangleLabels"}, self._attributes, choices, self._relations
        )

    def task(self, record: Record, n: int) -> dict[str, Any]:
        """One picture's task."""
        address = LOCAL + quote(place(record).as_posix(), safe="/")
        task: dict[str, Any] = {"id": n, "data": {"image": address}}
        truth = list(self._results(record, predicted=False))
        if truth:
            task["annotations"] = [{"result": truth}]
        guessed = list(self._results(record, predicted=True))
        if guessed:
            scores = [row["score"] for row in guessed if row.get("score") is not None]
            rated = {"score": min(scores)} if len(scores) == len(guessed) else {}
            task["predictions"] = [{"model_version": "lamproom", **rated, "result": guessed}]
        return task

    def _results(self, record: Record, *, predicted: bool) -> Iterator[dict[str, Any]]:
        mine = [a for a in record.annotations if (a.origin == "model") == predicted]
        tags = [a.label for a in mine if isinstance(a.shape, Tag)]
        texts = [a.shape.text for a in mine if isinstance(a.shape, Caption)]
        for a in mine:
            base.class_id(a, self._ids, record.path)
        if tags:
            yield self._result("Choices", "tags", {"choices": tags})
        if texts:
            yield self._result("TextArea", "caption", {"text": texts})
        known = {a.uid for a in mine}
        relations: list[dict[str, Any]] = []
        for a in mine:
            if not isinstance(a.shape, Tag | Caption):
                yield from self._region(a, record)
            for relation, uid in marks.links(a):
                if uid in known:
                    self._relations.add(relation)
                    relations.append(
                        {
                            "type": "relation",
                            "from_id": a.uid,
                            "to_id": uid,
                            "direction": "right",
                            "labels": [relation],
                        }
                    )
        yield from relations

    def _result(self, tool: str, key: str, value: dict[str, Any]) -> dict[str, Any]:
        self._tools.add(tool)
        return {
            "id": key,
            "from_name": control(tool),
            "to_name": "image",
            "type": tool.lower(),
            "value": value,
        }

    def _region(self, a: Annotation, record: Record) -> Iterator[dict[str, Any]]:
        if record.width is None or record.height is None:
            raise InvalidInput(
                "the picture's size is unknown", where=record.path, remedy="ingest the picture first"
            )
        parts = list(_drawn(a.shape, record, record.width, record.height))
        for i, (tool, value) in enumerate(parts):
            key = a.uid if i == 0 else f"{a.uid}-{i}"
            size = {"original_width": record.width, "original_height": record.height, "image_rotation": 0}
            row = self._result(tool, key, value | {tool.lower(): [a.label]}) | size
            if a.score is not None and a.origin == "model":
                row["score"] = a.score
            yield row
            for code, said in marks.plain(a.attributes).items():
                kind, form, inner = self._said(code, said)
                own = {"id": key, "from_name": PREFIX + code, "to_name": "image", "type": kind}
                yield own | {"value": value | {form: inner}} | size

    def _said(self, code: str, said: AttributeValue) -> tuple[str, str, object]:
        """Type, key and value of a control's result."""
        known = {v.code: v for label in self._schema.labels for v in label.attributes}.get(code)
        kind = "flag" if isinstance(said, bool) else "number" if isinstance(said, int) else "text"
        if kind == "text" and known is not None and known.type == "choice" and known.accepts(said):
            kind = "choice"
        before = self._attributes.setdefault(code, kind)
        if kind == "choice" and before == "choice" and known is not None:
            self._choices[code] = dict.fromkeys(c.code for c in known.choices)
        elif before != kind:  # values of several types: the control takes any text
            self._attributes[code] = "text"
        if kind in ("flag", "choice"):
            return "choices", "choices", [str(said).lower() if isinstance(said, bool) else said]
        if kind == "number":
            return "number", "number", said
        return "textarea", "text", [said]


def _drawn(shape: Shape, record: Record, w: int, h: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Tool and value of what stands for a shape, in percent."""

    def points(flat: Coords, closed: bool = True) -> tuple[str, dict[str, Any]]:
        pairs = [[x * 100 / w, y * 100 / h] for x, y in geometry.pairs(flat)]
        return "PolygonLabels", {"points": pairs, "closed": closed}

    match shape:
        case Box(x0, y0, x1, y1):
            yield "RectangleLabels", _box(x0, y0, x1 - x0, y1 - y0, 0.0, w, h)
        case RotatedBox(cx, cy, width, height, degrees):
            x, y = geometry.turned((cx - width / 2, cy - height / 2), degrees, cx, cy)
            yield "RectangleLabels", _box(x, y, width, height, degrees, w, h)
        case Ellipse(cx, cy, rx, ry, degrees):
            value = {"x": cx * 100 / w, "y": cy * 100 / h, "radiusX": rx * 100 / w, "radiusY": ry * 100 / h}
            yield "EllipseLabels", value | {"rotation": degrees}
        case Polygon() if (ring := foreign.single(shape)) is not None:
            yield points(ring)
        case Polygon():
            mask = foreign.painted(shape, record)
            if mask is not None:
                yield from _drawn(mask, record, w, h)
        case Mask():
            if geometry.bbox(shape) is not None and shape.w * shape.h <= labelstudio_rle.MAX_PIXELS:
                yield "BrushLabels", {"format": "rle", "rle": labelstudio_rle.encode(shape)}
        case Quad(corners):
            yield points(corners)
        case Cuboid():
            outline = geometry.outline(shape)
            if outline is not None:
                yield points(outline.parts[0][0])
        case Polyline(line):
            yield points(line, False)
        case Points(flat):
            yield from (_point(x, y, w, h) for x, y in geometry.pairs(flat))
        case Keypoints(flat, visibility):
            seen = zip(geometry.pairs(flat), visibility, strict=True)
            yield from (_point(x, y, w, h) for (x, y), v in seen if v)
        case Tag() | Caption():
            return


def _box(x: float, y: float, width: float, height: float, degrees: float, w: int, h: int) -> dict[str, Any]:
    size = {"width": width * 100 / w, "height": height * 100 / h}
    return {"x": x * 100 / w, "y": y * 100 / h} | size | {"rotation": degrees}


def _point(x: float, y: float, w: int, h: int) -> tuple[str, dict[str, Any]]:
    return "KeyPointLabels", {"x": x * 100 / w, "y": y * 100 / h, "width": 0.5}

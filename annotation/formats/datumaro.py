"""Datumaro's JSON, both ways: annotations/<subset>.json with categories and items, pictures in images/<subset>/.

Facts from https://github.com/open-edge-platform/datumaro, versions 1.0 and before ("legacy") and 2.0. A 2D cuboid's corners
go 1 front top left, 2 and 3 back top, 4 front top right, 5 and 6 back bottom, 7 front bottom right, 8 front bottom left.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from annotation import canonical, geometry, marks, rle
from annotation.core import (
    Annotation,
    AttributeValue,
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
from annotation.formats import base, foreign, jsonlite
from annotation.formats.base import Loss, Problems, Record, Sizes
from annotation.labels import LabelSchema

DIALECTS = ("",)
PLACE = "images"
FOLDER = "annotations"
MAX_LOOK = 50
MAX_CATEGORIES = 64 * 2**20
MAX_LABELS = 100_000
_VERSIONS = ("legacy", "1.0", "2.0")
_CUBOID = (0, 3, 6, 7, 1, 2, 5, 4)
"""Where our corners (front face clockwise from its top left, then the back face) stand in theirs."""
_ASIDE = ("hash_key",)
"""Derived from the picture's pixels, not an annotation."""

_LOSSES = (
    foreign.ITSELF_LOSSES
    | base.PAINTED_LOSSES
    | {
        "rotated_box": "rotated boxes: written as polygons of four corners",
        "quad": "quadrilaterals: written as polygons of four corners",
        "oblique": "turned ellipses: written as polygons of many corners",
        "prediction": "predictions: written like truth, with their score",
        "caption_more": "labels and marks of captions: left out",
        "@key": "key frames of tracks: left out",
        "@end": "",
        "tag_order": "order in depth of labels of the whole picture: left out",
        "score": "",
        "collapsed": "",
        "@group": "",
        "@track": "",
        "@order": "",
    }
)


# ---------------------------------------------------------------------------------------------------------------
# Reading


def sniff(path: Path) -> str:
    """Why the path is Datumaro's JSON, or a folder that holds one; "" when it is not."""
    if path.is_dir():
        for file in _files(path)[:MAX_LOOK]:
            if _is_datumaro(file):
                return f"{file.name} is Datumaro's JSON: an object with categories and items"
        return ""
    found = path.suffix.lower() == ".json" and _is_datumaro(path)
    return "it is Datumaro's JSON: an object with categories and items" if found else ""


def _is_datumaro(file: Path) -> bool:
    head = base.head(file)
    if head.lstrip()[:1] != b"{" or b'"categories"' not in head:
        return False
    return b'"dm_format_version"' in head or (b'"items"' in head and b'"infos"' in head)


def _files(folder: Path) -> list[Path]:
    found = {*folder.glob("*.json"), *folder.glob(f"{FOLDER}/*.json")}
    return sorted(file for file in found if file.is_file())


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """One record an item, in the file's order; a folder's files one after the other, subsets as splits by their names.

    A `label` is a label of the whole picture, `group` and `object_id` become marks, an attribute `score` the score.
    Attributes of an item itself (`attr`) have no place in a record.
    With `problems` faulty annotations are left out and listed there; without, nothing is yielded of a faulty file.

    Raises:
        InvalidFile: every fault, by item and annotation. InvalidInput: no file, no JSON.
    """
    files = [file for file in _files(path) if _is_datumaro(file)] if path.is_dir() else [path]
    if not files:
        raise InvalidInput(
            "no Datumaro file in the folder", where=str(path), remedy="give the JSON file itself"
        )
    for file in files:
        yield from base.checked(partial(foreign.sound, partial(_mapped, file, sizes)), file.name, problems)


def _mapped(file: Path, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    with jsonlite.mapped(file) as data:
        yield from _parse(data, file, sizes, problems)


def _parse(data: jsonlite.Data, file: Path, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    spots = jsonlite.keys(data, file.name)
    if "items" not in spots:
        raise InvalidInput(
            "items are missing", where=file.name, remedy="Datumaro's JSON has categories and items"
        )
    version = _value(data, spots, "dm_format_version", file.name)
    if version is not None and version not in _VERSIONS:
        problems.add("dm_format_version", f"is {base.short(version)}", f"one of {', '.join(_VERSIONS)}")
    names, points = _categories(_value(data, spots, "categories", file.name), problems)
    seen: set[bytes] = set()
    split = base.split_of(file.stem)
    for n, body in enumerate(jsonlite.array(data, f"{file.name}: items", spots["items"][0])):
        at = f"items[{n}]"
        try:
            item = base.parse_json(body, at, dict[str, Any])
            at = f"items[{n}] {base.short(item.get('id'))}"
            place, width, height = _picture(item)
        except InvalidInput as error:
            problems.add(at, error.what, error.remedy)
            continue
        mark = canonical.digest(place.encode())[:8]
        if mark in seen:
            problems.add(at, "its picture is there twice", "one item a picture")
            continue
        seen.add(mark)
        if (width is None or height is None) and sizes is not None:
            width, height = sizes(place) or (None, None)
        found: list[Annotation] = []
        rows = item.get("annotations", [])
        if not isinstance(rows, list):
            problems.add(at, f"annotations are {base.short(rows)}", "a list")
            rows = []
        for i, row in enumerate(rows):
            try:
                if not isinstance(row, dict):
                    raise InvalidInput(f"is {base.short(row)}", remedy="an object")
                if row.get("type") not in _ASIDE:
                    found.append(_annotation(row, names, points, place, (width, height), file.name))
            except InvalidInput as error:
                problems.add(f"{at}: annotations[{i}]", error.what, error.remedy)
        yield Record(place, width, height, tuple(found), split)


def _value(data: jsonlite.Data, spots: Mapping[str, tuple[int, int]], key: str, where: str) -> Any:
    if key not in spots:
        return None
    first, last = spots[key]
    if last - first > MAX_CATEGORIES:
        raise InvalidInput(f"{key} of {last - first} bytes", where=where, remedy=f"at most {MAX_CATEGORIES}")
    return base.parse_json(data[first:last], f"{where}: {key}")


def _categories(value: Any, problems: Problems) -> tuple[list[str], dict[int, int]]:
    """Label names by their ids, and how many points the skeletons of labels have."""
    value = value if isinstance(value, dict) else {}
    rows = _inner(value, "label", "labels")
    if not isinstance(rows, list) or len(rows) > MAX_LABELS:
        problems.add("categories.label", f"labels are {base.short(rows)}", f"a list of at most {MAX_LABELS}")
        rows = []
    names: list[str] = []
    for i, row in enumerate(rows):
        try:
            names.append(foreign.name(row.get("name") if isinstance(row, dict) else row, "name"))
        except InvalidInput as error:
            problems.add(f"categories.label.labels[{i}]", error.what, error.remedy)
            names.append("")
    points: dict[int, int] = {}
    for row in _inner(value, "points", "items"):
        if (
            isinstance(row, dict)
            and isinstance(row.get("label_id"), int)
            and isinstance(row.get("labels"), list)
        ):
            points[row["label_id"]] = len(row["labels"])
    return names, points


def _inner(value: dict[str, Any], key: str, inner: str) -> Any:
    found = value.get(key)
    return (found.get(inner) or []) if isinstance(found, dict) else []


def _picture(item: dict[str, Any]) -> tuple[str, int | None, int | None]:
    """Path and size of an item's picture."""
    for key in ("point_cloud", "video", "multi_frame"):
        if item.get(key):
            raise InvalidInput(f"an item with a {key}", remedy="pictures only")
    film = item.get("video_frame")
    if isinstance(film, dict) and film.get("video_path") is not None:
        number = foreign.whole(film.get("frame_index"), "frame_index")
        path = PurePosixPath(base.clean_path(film["video_path"]))
        return f"{path.with_suffix('')}/frame_{max(number, 0):06d}.png", None, None
    image = item.get("image") or item.get("media") or {}
    if not isinstance(image, dict):
        raise InvalidInput(f"image is {base.short(image)}", remedy="an object with its path")
    place = base.clean_path(image.get("path") or item.get("id"))
    size = image.get("size")
    if size is None:
        return place, None, None
    if not isinstance(size, list) or len(size) != 2:
        raise InvalidInput(f"image.size is {base.short(size)}", remedy="[height, width]")
    return place, base.side(size[1], "image.size"), base.side(size[0], "image.size")


def _annotation(
    row: dict[str, Any], names: list[str], points: Mapping[int, int], place: str,
    wh: tuple[int | None, int | None], where: str,
) -> Annotation:  # fmt: skip
    kind, label_id = row.get("type"), row.get("label_id")
    if kind == "caption":
        label = foreign.CAPTION
    elif isinstance(label_id, int) and not isinstance(label_id, bool) and 0 <= label_id < len(names):
        label = names[label_id]
        if not label:
            raise InvalidInput(f"label_id {label_id} has no name", remedy="name it in categories")
    else:
        raise InvalidInput(
            f"label_id is {base.short(label_id)}, which is no label", remedy="add it to categories"
        )
    given = row.get("attributes") or {}
    if not isinstance(given, dict):
        raise InvalidInput(f"attributes are {base.short(given)}", remedy="an object")
    rated = given.get("score")
    score = None
    if isinstance(rated, int | float) and not isinstance(rated, bool) and 0 <= rated <= 1:
        score = float(rated)
        given = {k: v for k, v in given.items() if k != "score"}
    kept: dict[str, AttributeValue] = dict(base.attributes(given))
    if order := foreign.whole(row.get("z_order") or 0, "z_order"):
        kept["@order"] = order
    if group := foreign.whole(row.get("group") or 0, "group"):
        kept["@group"] = foreign.uid("datumaro", where, place, group)
    if (track := foreign.whole(-1 if row.get("object_id") is None else row["object_id"], "object_id")) >= 0:
        kept["@track"] = foreign.uid("datumaro", where, track)
    shape = _shape(row, kind, points.get(label_id) if isinstance(label_id, int) else None, wh)
    return Annotation(label, base.sound(shape), kept, score, "import")


def _shape(
    row: dict[str, Any], kind: object, skeleton: int | None, wh: tuple[int | None, int | None]
) -> Shape:
    match kind:
        case "label":
            return Tag()
        case "caption":
            text = row.get("caption")
            if not isinstance(text, str):
                raise InvalidInput(f"caption is {base.short(text)}", remedy="a text")
            return Caption(text)
        case "bbox":
            x, y, w, h = foreign.numbers(row.get("bbox"), "bbox", 4)
            if w < 0 or h < 0:
                raise InvalidInput(
                    f"bbox is {base.short(row['bbox'])}, of negative size", remedy="[x, y, width, height]"
                )
            return Box(x, y, x + w, y + h)
        case "mask":
            return _mask(row.get("rle"), wh)
        case "skeleton":
            return _elements(row.get("elements"))
        case "cuboid_2d":
            corners = row.get("points")
            if not isinstance(corners, list) or len(corners) != 8:
                raise InvalidInput(f"points are {base.short(corners)}", remedy="eight of [x, y]")
            pairs = [foreign.numbers(list(p) if isinstance(p, list) else p, "points", 2) for p in corners]
            return Cuboid(tuple(c for i in _CUBOID for c in pairs[i]))
        case "polygon" | "polyline" | "points" | "ellipse" | "rotated_bbox":
            return _listed(row, str(kind), skeleton)
    raise InvalidInput(f"type is {base.short(kind)}", remedy="a shape on a picture; leave out those in space")


def _listed(row: dict[str, Any], kind: str, skeleton: int | None) -> Shape:
    flat = foreign.numbers(row.get("points"), "points", {"ellipse": 4, "rotated_bbox": 5}.get(kind))
    match kind:
        case "polygon":
            return Polygon(((foreign.ring(flat),),))
        case "polyline":
            return Polyline(tuple(flat))
        case "ellipse":
            x0, y0, x1, y1 = flat
            return Ellipse((x0 + x1) / 2, (y0 + y1) / 2, abs(x1 - x0) / 2, abs(y1 - y0) / 2)
        case "rotated_bbox":
            return RotatedBox(flat[0], flat[1], flat[2], flat[3], flat[4] % 360)
    seen = row.get("visibility")
    if seen is None:
        seen = [2] * (len(flat) // 2)
    if (
        not isinstance(seen, list)
        or len(seen) * 2 != len(flat)
        or any(type(v) is not int or v not in (0, 1, 2) for v in seen)
    ):
        raise InvalidInput(f"visibility is {base.short(seen)}", remedy="0, 1 or 2 for each point")
    if skeleton == len(seen) or any(v != 2 for v in seen):
        return Keypoints(tuple(flat), tuple(seen))
    return Points(tuple(flat))


def _elements(value: object) -> Keypoints:
    """A skeleton of single points, as CVAT's Datumaro writes it."""
    if not isinstance(value, list) or not value:
        raise InvalidInput(f"elements are {base.short(value)}", remedy="a list of points")
    flat: list[float] = []
    seen: list[int] = []
    for part in value:
        part = part if isinstance(part, dict) else {}
        flat += foreign.numbers(part.get("points"), "elements", 2)
        state = part.get("visibility") or [2]
        if not isinstance(state, list) or len(state) != 1 or type(state[0]) is not int:
            raise InvalidInput(f"visibility is {base.short(state)}", remedy="0, 1 or 2")
        seen.append(state[0])
    return Keypoints(tuple(flat), tuple(seen))


def _mask(value: object, wh: tuple[int | None, int | None]) -> Mask:
    value = value if isinstance(value, dict) else {}
    size, counts = value.get("size"), value.get("counts")
    if not isinstance(size, list) or len(size) != 2:
        raise InvalidInput(f"rle.size is {base.short(size)}", remedy="[height, width]")
    h, w = base.side(size[0], "rle.size"), base.side(size[1], "rle.size")
    if w is None or h is None:
        raise InvalidInput("rle.size is empty", remedy="[height, width]")
    if wh not in ((None, None), (w, h)):
        raise InvalidInput(
            f"a mask of {w} x {h} px on a picture of {wh[0]} x {wh[1]} px", remedy="of one size"
        )
    runs = rle.from_text(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list):
        raise InvalidInput(f"rle.counts is {base.short(counts)}", remedy="run lengths or compressed text")
    return Mask(w, h, rle.normal(runs, w=w, h=h))


# ---------------------------------------------------------------------------------------------------------------
# Writing


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """What Datumaro cannot hold of these records, with counts."""
    base.dialect(dialect, DIALECTS)
    return foreign.loss(records, schema, _LOSSES, _traits)


def _traits(a: Annotation, record: Record) -> Iterator[str]:
    match a.shape:
        case Ellipse(degrees=degrees) if degrees:
            yield "oblique"
        case Caption() if a.label != foreign.CAPTION or marks.kept(a.attributes):
            yield "caption_more"
        case Tag() if marks.order(a):
            yield "tag_order"


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs in the export: `images/<split or default>/<path>`."""
    base.dialect(dialect, DIALECTS)
    return PurePosixPath(PLACE, record.split or "default", base.clean_path(record.path))


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """`annotations/<split>.json` for every split that occurs ("default" for none).

    Label ids are the schema's class ids and the same in every export.

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
                    base.target(out, f"{FOLDER}/{record.split or 'default'}.json")
                )
            writers[record.split].add(record, ids)
        if not writers:
            writers[""] = _Writer(base.target(out, f"{FOLDER}/default.json"))
        return [writer.finish(schema, name) for _, writer in sorted(writers.items())]
    finally:
        for writer in writers.values():
            writer.close()


class _Writer:
    """One subset's file: items wait in a second file until it is known which skeletons the categories must name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(f"{path.name}.part")
        self._spool = self._part.open("wb")
        self._n = self._items = 0
        self._points: dict[int, int] = {}
        self._groups, self._tracks = foreign.Numbers(), foreign.Numbers()

    def add(self, record: Record, ids: Mapping[str, int]) -> None:
        path = PurePosixPath(base.clean_path(record.path))
        image: dict[str, Any] = {"path": path.as_posix()}
        if record.width is not None and record.height is not None:
            image["size"] = [record.height, record.width]
        rows = [row for a in record.annotations if (row := self._row(a, record, ids)) is not None]
        item = {"id": path.with_suffix("").as_posix(), "annotations": rows, "image": image}
        self._spool.write((b",\n" if self._items else b"\n") + msgspec.json.encode(item))
        self._items += 1

    def _row(self, a: Annotation, record: Record, ids: Mapping[str, int]) -> dict[str, Any] | None:
        label = base.class_id(a, ids, record.path)
        body = _body(a.shape, record)
        if body is None:
            return None
        if isinstance(a.shape, Keypoints):
            self._points[label] = max(self._points.get(label, 0), len(a.shape.visibility))
        given: dict[str, Any] = dict(marks.plain(a.attributes))
        if a.score is not None:
            given["score"] = a.score
        self._n += 1
        row: dict[str, Any] = {"id": self._n, "type": body.pop("type"), "attributes": given}
        group, track = marks.group(a), marks.track(a)
        row["group"] = self._groups.of(group) if group else 0
        if track:
            row["object_id"] = self._tracks.of(track)
        if row["type"] != "caption":
            row["label_id"] = label
        if row["type"] not in ("caption", "label"):
            row["z_order"] = marks.order(a)
        return row | body

    def finish(self, schema: LabelSchema, name: str) -> Path:
        self._spool.close()
        labels = []
        for code in schema.class_ids():
            label = schema.label(code)
            assert label is not None
            labels.append(
                {"name": code, "parent": label.parent or "", "attributes": [a.code for a in label.attributes]}
            )
        categories: dict[str, Any] = {"label": {"labels": labels, "label_groups": [], "attributes": []}}
        if self._points:
            codes = list(schema.class_ids())
            rows = [_template(schema, codes[n], n, count) for n, count in sorted(self._points.items())]
            categories["points"] = {"items": rows}
        head = {
            "dm_format_version": "1.0",
            "media_type": 2,
            "infos": {"name": name},
            "categories": categories,
        }
        with self.path.open("xb") as stream:
            stream.write(msgspec.json.encode(head)[:-1] + b',\n"items":[')
            with self._part.open("rb") as spool:
                shutil.copyfileobj(spool, stream, 1 << 16)
            stream.write(b"]}\n")
            base.settle(stream)
        return self.path

    def close(self) -> None:
        """Let go of the second file, whatever happened."""
        self._spool.close()
        self._part.unlink(missing_ok=True)


def _template(schema: LabelSchema, code: str, label_id: int, count: int) -> dict[str, Any]:
    """The names and edges (from 1) of a skeleton's points; bare numbers when the label has no template that fits."""
    label = schema.label(code)
    skeleton = label.skeleton if label is not None else None
    if skeleton is None or len(skeleton.points) != count:
        return {"label_id": label_id, "labels": [str(i) for i in range(count)], "joints": [], "positions": []}
    joints = [[a + 1, b + 1] for a, b in skeleton.edges]
    return {
        "label_id": label_id,
        "labels": [p for p, _, _ in skeleton.points],
        "joints": joints,
        "positions": [],
    }


def _body(shape: Shape, record: Record) -> dict[str, Any] | None:
    """Type and geometry of a shape."""
    match shape:
        case Tag():
            return {"type": "label"}
        case Caption(text):
            return {"type": "caption", "caption": text}
        case Box(x0, y0, x1, y1):
            return {"type": "bbox", "bbox": [x0, y0, round(x1 - x0, 6), round(y1 - y0, 6)]}
        case Mask():
            return {"type": "mask", "rle": {"counts": rle.to_text(shape.counts), "size": [shape.h, shape.w]}}
        case Polygon() if (ring := foreign.single(shape)) is not None:
            return {"type": "polygon", "points": list(ring)}
        case Polygon():
            mask = foreign.painted(shape, record)
            if mask is not None:
                return _body(mask, record)
            return {"type": "polygon", "points": list(foreign.largest(shape))}
        case RotatedBox() | Quad():
            drawn = geometry.outline(shape)
            return None if drawn is None else {"type": "polygon", "points": list(drawn.parts[0][0])}
        case Ellipse(cx, cy, rx, ry, degrees):
            if degrees:
                return {"type": "polygon", "points": list(geometry.ellipse_ring(shape))}
            return {"type": "ellipse", "points": [cx - rx, cy - ry, cx + rx, cy + ry]}
        case Polyline(points):
            return {"type": "polyline", "points": list(points)}
        case Points(points):
            return {"type": "points", "points": list(points), "visibility": [2] * (len(points) // 2)}
        case Keypoints(points, visibility):
            return {"type": "points", "points": list(points), "visibility": list(visibility)}
        case Cuboid(points):
            pairs = foreign.pairs(points)
            return {"type": "cuboid_2d", "points": [pairs[_CUBOID.index(i)] for i in range(8)]}

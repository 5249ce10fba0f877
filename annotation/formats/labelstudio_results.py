"""Label Studio's results of one task: regions put together by their ids, and the pictures they lie on."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from annotation import geometry, marks
from annotation.core import (
    Annotation,
    AttributeValue,
    Box,
    Caption,
    Coords,
    Ellipse,
    Keypoints,
    Mask,
    Points,
    Polygon,
    Polyline,
    RotatedBox,
    Shape,
    Tag,
    new_uid,
)
from annotation.errors import InvalidInput
from annotation.formats import base, foreign, labelstudio_rle
from annotation.formats.base import Problems, Record, Sizes
from annotation.formats.labelstudio_config import PREFIX, Config

PART_OF = "part_of"
"""The relation of a point to the region that it was drawn in."""
MAX_PAGES = 10_000
MAX_RESULTS = 1_000_000
_REGIONS = ("rectangle", "ellipse", "polygon", "keypoint", "brush", "vector", "bitmask")
_WHOLE = ("choices", "taxonomy", "textarea", "number", "rating", "datetime", "labels")
_UID = re.compile(r"[0-9a-f]{32}\Z")
_UPLOAD = re.compile(r"/?data/upload/(?:\d+/)?(?:[0-9a-f]{8}-)?")
_PICTURE = re.compile(r"\.(?:jpe?g|png|bmp|tiff?|webp|gif|heic|jp2)(?:[?#]|\Z)", re.IGNORECASE)
_BOOLS = {"true": True, "false": False}

Add = Callable[[str, str, str], None]


def place_of(value: object) -> str:
    """A picture's path from what a task says of it: an upload, a local file, an address in a store, a path.

    Raises:
        InvalidInput: no text, or a picture that is itself in the text.
    """
    if not isinstance(value, str) or value.startswith("data:"):
        raise InvalidInput(f"the picture is {base.short(value)}", remedy="a path or an address")
    text = value.replace("\\", "/")
    if "/data/local-files/" in text:
        found = parse_qs(urlsplit(text).query).get("d", [""])[0]
        return base.clean_path(found)
    if re.match(r"[a-z][a-z0-9+.-]{1,20}://", text):
        parts = urlsplit(text)
        return base.clean_path(unquote(parts.path) if parts.scheme.startswith("http") else parts.path)
    return base.clean_path(_UPLOAD.sub("", text, count=1))


@dataclass(slots=True)
class _Region:
    """One region: the result with its geometry, its labels, and what other results of its id say."""

    at: str
    row: Mapping[str, Any]
    value: Mapping[str, Any]
    kind: str
    uid: str
    origin: Literal["import", "model"]
    score: float | None
    labels: list[str] = field(default_factory=list)
    attributes: dict[str, object] = field(default_factory=dict)
    parent: str | None = None


@dataclass(slots=True)
class Page:
    """One picture of a task and everything that is said of it."""

    place: str
    config: Config
    regions: dict[str, _Region] = field(default_factory=dict)
    whole: list[Annotation] = field(default_factory=list)
    links: list[tuple[str, str, str]] = field(default_factory=list)

    def record(self, sizes: Sizes | None, add: Add) -> Record:
        """The record; what cannot be read is added to the faults."""
        wh = self._size(sizes, add)
        made: dict[str, list[Annotation]] = {}
        skeletons: dict[str, list[_Region]] = {}
        for key, region in self.regions.items():
            try:
                parent = self.regions.get(region.parent or "")
                if (
                    parent is not None
                    and region.kind == "keypoint"
                    and set(region.labels) & set(self.config.points)
                ):
                    skeletons.setdefault(str(region.parent), []).append(region)
                    continue
                made[key] = _annotations(region, _shape(region.kind, region.row, region.value, wh))
            except InvalidInput as error:
                add(region.at, error.what, error.remedy)
        found = [*self.whole]
        for key, parts in skeletons.items():
            try:
                found += self._skeleton(self.regions[key], parts, wh)
            except InvalidInput as error:
                add(parts[0].at, error.what, error.remedy)
        self._tie(made, add)
        found += [a for group in made.values() for a in group]
        width, height = wh or (None, None)
        return Record(self.place, width, height, tuple(found), base.split_in(self.place.split("/")[:-1]))

    def _size(self, sizes: Sizes | None, add: Add) -> tuple[int, int] | None:
        found: tuple[int, int] | None = None
        for region in self.regions.values():
            try:
                w = base.side(region.row.get("original_width"), "original_width")
                h = base.side(region.row.get("original_height"), "original_height")
            except InvalidInput as error:
                add(region.at, error.what, error.remedy)
                continue
            if w is not None and h is not None:
                if found is not None and found != (w, h):
                    add(
                        region.at,
                        f"its picture is {w} x {h} px, that of others {found[0]} x {found[1]}",
                        "one size",
                    )
                found = found or (w, h)
        if found is None and sizes is not None:
            found = sizes(self.place)
        return found

    def _skeleton(
        self, parent: _Region, parts: list[_Region], wh: tuple[int, int] | None
    ) -> list[Annotation]:
        if not parent.labels:
            raise InvalidInput("key points in a region without a label", remedy="give the region a label")
        n = max(self.config.points.values()) + 1
        flat, seen = [0.0] * (2 * n), [0] * n
        for part in parts:
            shape = _shape("keypoint", part.row, part.value, wh)
            assert isinstance(shape, Points)
            i = self.config.points[next(name for name in part.labels if name in self.config.points)]
            if seen[i]:
                raise InvalidInput("a key point is there twice in one region", remedy="each once")
            flat[2 * i : 2 * i + 2], seen[i] = shape.points, 2
        shape = base.sound(Keypoints(tuple(flat), tuple(seen)))
        return [Annotation(parent.labels[0], shape, {}, parent.score, parent.origin)]

    def _tie(self, made: dict[str, list[Annotation]], add: Add) -> None:
        """Relations and parents as links."""
        ahead: dict[str, list[tuple[str, str]]] = {}
        pairs = [(a, b, name) for a, b, name in self.links]
        pairs += [(key, region.parent, PART_OF) for key, region in self.regions.items() if region.parent]
        for a, b, name in pairs:
            if a != b and made.get(a) and made.get(b):
                ahead.setdefault(a, []).append((name, made[b][0].uid))
        for key, found in ahead.items():
            try:
                made[key][0] = marks.with_links(made[key][0], found)
            except InvalidInput as error:
                add(self.regions[key].at, error.what, error.remedy)


def _annotations(region: _Region, shape: Shape) -> list[Annotation]:
    """One annotation for each label of a region; several are a group."""
    if not region.labels:
        raise InvalidInput("a region without a label", remedy="give it one, or remove it")
    attributes: dict[str, AttributeValue] = dict(base.attributes(region.attributes))
    first = Annotation(
        region.labels[0], base.sound(shape), attributes, region.score, region.origin, region.uid
    )
    if len(region.labels) == 1:
        return [first]
    group = new_uid()
    rest = [replace(first, label=name, uid=new_uid()) for name in region.labels[1:]]
    return [marks.with_mark(a, "@group", group) for a in (first, *rest)]


class Reader:
    """Takes the results of a task's annotations and predictions apart by picture."""

    def __init__(self, data: Mapping[str, Any], config: Config, at: str) -> None:
        self._data, self._config, self._at = data, config, at
        self._pages: dict[str, Page] = {}
        self._runs = 0

    def pages(self) -> dict[str, Page]:
        """Every picture of the task, also those without a result.

        Raises:
            InvalidInput: when the task names no picture.
        """
        for value in self._listed() or ([] if self._pages else [self._only("")]):
            self._page(value)
        return self._pages

    def add(
        self, results: Sequence[Any], at: str, problems: Problems, *, predicted: bool, by: str | int | None, score: object,
    ) -> None:  # fmt: skip
        """Take the results of one annotation or prediction."""
        self._runs += 1
        own: dict[str, _Region] = {}
        later: list[tuple[str, Mapping[str, Any]]] = []
        if len(results) > MAX_RESULTS:
            problems.add(at, f"{len(results)} results", f"at most {MAX_RESULTS}")
            return
        for i, row in enumerate(results):
            inner = f"{at}.result[{i}]"
            try:
                if not isinstance(row, dict):
                    raise InvalidInput(f"is {base.short(row)}", remedy="an object")
                kind = row.get("type")
                value = row.get("value")
                name = kind.removesuffix("labels") if isinstance(kind, str) else ""
                if name in _REGIONS:
                    if not isinstance(value, dict):
                        raise InvalidInput(f"value is {base.short(value)}", remedy="an object")
                    key = str(row.get("id") or f"{i}")
                    if key in own:
                        own[key].labels += _names(row, value)  # tools of one region: geometry from the first
                        continue
                    own[key] = self._region(row, value, name, key, inner, predicted, score)
                    if by is not None:
                        own[key].attributes["annotator"] = by
                    self._page(self._target(row)).regions[f"{self._runs} {key}"] = own[key]
                elif kind == "relation" or kind in _WHOLE:
                    later.append((inner, row))
                else:
                    raise InvalidInput(
                        f"type is {base.short(kind)}",
                        remedy="a result on a picture; leave out those on text, sound and video",
                    )
            except InvalidInput as error:
                problems.add(inner, error.what, error.remedy)
        for inner, row in later:
            try:
                self._further(row, own, predicted)
            except InvalidInput as error:
                problems.add(inner, error.what, error.remedy)

    def _region(
        self, row: Mapping[str, Any], value: Mapping[str, Any], kind: str, key: str, at: str, predicted: bool, score: object
    ) -> _Region:  # fmt: skip
        rated = row.get("score", value.get("score"))
        rated = foreign.score(rated if rated is not None or not predicted else score)
        parent = row.get("parentID") or None
        found = _Region(
            at, row, value, kind, key if _UID.match(key) else new_uid(), "model" if predicted else "import", rated,
            _names(row, value), parent=f"{self._runs} {parent}" if parent else None,
        )  # fmt: skip
        meta = row.get("meta")
        if isinstance(meta, dict) and meta.get("text"):
            text = meta["text"]
            found.attributes["note"] = "\n".join(map(str, text)) if isinstance(text, list) else str(text)
        return found

    def _further(self, row: Mapping[str, Any], own: Mapping[str, _Region], predicted: bool) -> None:
        """A result that is no region: of a region of the same id, or of the whole picture."""
        kind = str(row.get("type"))
        if kind == "relation":
            ends = [f"{self._runs} {row.get(key)}" for key in ("from_id", "to_id")]
            names = row.get("labels") or ["relation"]
            if not isinstance(names, list):
                raise InvalidInput(f"labels are {base.short(names)}", remedy="a list of names")
            for page in self._pages.values():
                if ends[0] in page.regions or ends[1] in page.regions:
                    for name in names:
                        code = (
                            re.sub(r"[\s>]+", "_", str(name)).strip("_")[: marks.MAX_RELATION] or "relation"
                        )
                        if row.get("direction") != "left":
                            page.links.append((ends[0], ends[1], code))
                        if row.get("direction") in ("left", "bi"):
                            page.links.append((ends[1], ends[0], code))
                    return
            raise InvalidInput("a relation between regions that are not there", remedy="from_id and to_id")
        value = row.get("value")
        if not isinstance(value, dict):
            raise InvalidInput(f"value is {base.short(value)}", remedy="an object")
        name = str(row.get("from_name") or kind)
        region = own.get(str(row.get("id")))
        if kind == "labels":
            if region is None:
                raise InvalidInput("labels of a region that is not there", remedy="one id for both")
            region.labels += _names(row, value)
        elif region is not None:
            region.attributes[name.removeprefix(PREFIX)] = self._said(kind, value, name)
        else:
            self._page(self._target(row)).whole.extend(_of_picture(kind, value, name, predicted))

    def _said(self, kind: str, value: Mapping[str, Any], name: str) -> object:
        """What a control says of a region, as an attribute."""
        if kind == "choices":
            found = _texts(value.get("choices"), "choices")
            tag, choices = self._config.controls.get(name, ("", ()))
            yesno = set(choices) == set(_BOOLS) or (not tag and name.startswith(PREFIX))
            if len(found) == 1 and yesno and found[0] in _BOOLS:
                return _BOOLS[found[0]]
            return "; ".join(found)
        if kind == "taxonomy":
            return "; ".join(_taxonomy(value.get("taxonomy")))
        if kind == "textarea":
            return "\n".join(_texts(value.get("text"), "text"))
        said = value.get(kind)
        return said if isinstance(said, str) else foreign.number(said, kind)

    # --- which picture

    def _target(self, row: Mapping[str, Any]) -> object:
        """What the task says of the picture that a result lies on."""
        to = str(row.get("to_name") or "")
        value = self._config.objects.get(to, "")
        if value.startswith("$") and isinstance(self._data.get(value[1:]), str):
            return self._data[value[1:]]
        if isinstance(self._data.get(to), str):
            return self._data[to]
        listed = self._listed()
        number = row.get("item_index")
        if number is None and (found := re.search(r"_(\d{1,6})\Z", to)):
            number = int(found[1])
        if listed and isinstance(number, int) and 0 <= number < len(listed):
            return listed[number]
        return listed[0] if len(listed) == 1 else self._only(to)

    def _listed(self) -> list[object]:
        """The pictures of a task that has a list of them."""
        for value in self._data.values():
            if isinstance(value, list) and 0 < len(value) <= MAX_PAGES:
                found = [_address(item) for item in value]
                if all(found):
                    return list(found)
        return []

    def _only(self, to: str) -> object:
        """The one value of the data that is a picture."""
        texts = {k: v for k, v in self._data.items() if isinstance(v, str)}
        named = [
            texts[k] for k in ("image", "img", "picture", "photo", "url", "ocr", "captioning") if k in texts
        ]
        shaped = [v for v in texts.values() if _PICTURE.search(v)]
        found = shaped or named or (list(texts.values()) if len(texts) == 1 and to else [])
        if not found:
            raise InvalidInput(
                f"data names no picture: {base.short(dict(self._data))}",
                remedy="image: a path or an address of a picture",
            )
        return found[0]

    def _page(self, value: object) -> Page:
        place = place_of(value)
        if place not in self._pages and len(self._pages) >= MAX_PAGES:
            raise InvalidInput(f"more than {MAX_PAGES} pictures in a task")
        return self._pages.setdefault(place, Page(place, self._config))


def _address(item: object) -> str:
    """The picture that a member of a list names, or ""."""
    if isinstance(item, dict):
        item = next(
            (item[key] for key in ("url", "image", "page", "src") if isinstance(item.get(key), str)), ""
        )
    return item if isinstance(item, str) and _PICTURE.search(item) else ""


def _names(row: Mapping[str, Any], value: Mapping[str, Any]) -> list[str]:
    key = str(row.get("type"))
    if not key.endswith("labels"):
        return []
    given = value.get(key) or []
    if not isinstance(given, list):
        raise InvalidInput(f"{key} are {base.short(given)}", remedy="a list of names")
    return [foreign.name(v, key) for v in given]


def _texts(value: object, what: str) -> list[str]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(v, str | int | float) for v in found):
        raise InvalidInput(f"{what} are {base.short(value)}", remedy="a list of texts")
    return [str(v) for v in found]


def _taxonomy(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(way, list) and way for way in value):
        raise InvalidInput(f"taxonomy is {base.short(value)}", remedy="a list of ways through the tree")
    return [" / ".join(map(str, way)) for way in value]


def _of_picture(kind: str, value: Mapping[str, Any], name: str, predicted: bool) -> list[Annotation]:
    """Labels and captions of the whole picture."""
    origin: Literal["import", "model"] = "model" if predicted else "import"
    if kind == "textarea":
        texts = _texts(value.get("text"), "text")
        return [
            Annotation(foreign.CAPTION, base.sound(Caption(text)), {}, None, origin) for text in texts if text
        ]
    if kind in ("choices", "taxonomy"):
        found = (
            _texts(value.get("choices"), "choices") if kind == "choices" else _taxonomy(value.get("taxonomy"))
        )
        return [Annotation(foreign.name(text, kind), Tag(), {}, None, origin) for text in found]
    said = value.get(kind)
    kept = base.attributes({"value": said if isinstance(said, str) else foreign.number(said, kind)})
    return [Annotation(foreign.name(name, "from_name"), Tag(), kept, None, origin)]


# ---------------------------------------------------------------------------------------------------------------
# Geometry


def _shape(kind: str, row: Mapping[str, Any], value: Mapping[str, Any], wh: tuple[int, int] | None) -> Shape:
    """The shape of a region, from percent to px."""
    if wh is None:
        raise InvalidInput("the picture's size is unknown", remedy="give original_width and original_height")
    if foreign.number(row.get("image_rotation") or 0, "image_rotation") % 360:
        raise InvalidInput(
            "a picture that was turned in the tool", remedy="turn it back there and export again"
        )
    w, h = wh

    def at(key: str, side: int) -> float:
        return foreign.number(value.get(key), key) * side / 100

    match kind:
        case "rectangle":
            return _rectangle(at("x", w), at("y", h), at("width", w), at("height", h), value)
        case "ellipse":
            degrees = foreign.number(value.get("rotation") or 0, "rotation")
            rx, ry = at("radiusX", w), at("radiusY", h)
            return Ellipse(at("x", w), at("y", h), rx, ry, 0.0 if rx == ry else degrees % 180)
        case "keypoint":
            return Points((at("x", w), at("y", h)))
        case "polygon" | "vector":
            return _polygon(value, w, h, kind)
    return _brush(value, w, h)


def _rectangle(x: float, y: float, w: float, h: float, value: Mapping[str, Any]) -> Shape:
    if w < 0 or h < 0:
        raise InvalidInput("a rectangle of negative size", remedy="width and height from 0")
    degrees = foreign.number(value.get("rotation") or 0, "rotation") % 360
    if not degrees:
        return Box(x, y, x + w, y + h)
    cx, cy = geometry.turned((x + w / 2, y + h / 2), degrees, x, y)
    return RotatedBox(cx, cy, w, h, degrees)


def _polygon(value: Mapping[str, Any], w: int, h: int, kind: str) -> Shape:
    points = value.get("points") if kind == "polygon" else value.get("vertices")
    if not isinstance(points, list):
        raise InvalidInput(f"points are {base.short(points)}", remedy="[[x, y], …]")
    flat: list[float] = []
    for point in points:
        pair = [point.get("x"), point.get("y")] if isinstance(point, dict) else point
        x, y = foreign.numbers(pair, "points", 2)
        flat += (x * w / 100, y * h / 100)
    ring: Coords = foreign.ring(flat)
    return (
        Polygon(((ring,),)) if value.get("closed", kind == "polygon") is not False else Polyline(tuple(flat))
    )


def _brush(value: Mapping[str, Any], w: int, h: int) -> Mask:
    if value.get("rle") is not None:
        return labelstudio_rle.decode(value["rle"], w=w, h=h)
    text = value.get("imageDataURL")
    if not isinstance(text, str) or not text.startswith("data:image/png;base64,"):
        raise InvalidInput("a brush without rle", remedy="export it as JSON")
    try:
        data = base64.b64decode(text.partition(",")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("imageDataURL is no base64", remedy="export it again") from error
    return labelstudio_rle.of_png(foreign.mask_of_png(data), w=w, h=h)

"""CVAT's elements for one shape, both ways: https://docs.cvat.ai/docs/other/xml_format (version 1.1).

Angles are degrees clockwise on the screen about the centre. A mask's run lengths go row by row through its own box and
begin with zeros. A skeleton is one <points> for each of its points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

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
from annotation.errors import InvalidInput
from annotation.formats import base, foreign
from annotation.formats.base import Record
from annotation.formats.xmlite import Element, written
from annotation.labels import LabelSchema

SHAPES = ("box", "polygon", "polyline", "points", "ellipse", "cuboid", "mask", "skeleton", "tag")
_CUBOID = ("xtl1", "ytl1", "xtr1", "ytr1", "xbr1", "ybr1", "xbl1", "ybl1", "xtl2", "ytl2", "xtr2", "ytr2", "xbr2", "ybr2", "xbl2", "ybl2")  # fmt: skip
"""Our order of corners: the front face clockwise from its top left, then the back face."""
_TRUE = {"1": True, "0": False, "true": True, "false": False, "True": True, "False": False}
_PEOPLE = ("manual", "file")
MAX_LABELS = 100_000
MAX_MASK = 2**27
"""Pixels of a mask's own box."""


@dataclass(slots=True)
class Specs:
    """What <meta> says of labels: the type of each attribute, and the points of each skeleton in their order."""

    types: dict[tuple[str, str], str] = field(default_factory=dict)
    points: dict[str, list[str]] = field(default_factory=dict)

    @staticmethod
    def of(meta: Element) -> Specs:
        """The labels of a <meta> element, whoever (task, project, job) holds them."""
        found = Specs()
        for n, label in enumerate(meta.iter("label")):
            if n >= MAX_LABELS:
                raise InvalidInput(f"more than {MAX_LABELS} labels", where="meta")
            name, parent = (label.findtext("name") or "").strip(), (label.findtext("parent") or "").strip()
            if parent:
                found.points.setdefault(parent, []).append(name)
            for attribute in label.iter("attribute"):
                code = (attribute.findtext("name") or "").strip()
                found.types[name, code] = (attribute.findtext("input_type") or "").strip()
        return found

    def value(self, label: str, code: str, text: str) -> AttributeValue | float:
        """An attribute's value by its type: checkboxes true or false, numbers numbers, the rest text."""
        kind = self.types.get((label, code), "")
        if kind == "checkbox":
            if text.strip() not in _TRUE:
                raise InvalidInput(f"attribute {code} is {base.short(text)}", remedy="true or false")
            return _TRUE[text.strip()]
        if kind == "number":
            return foreign.decimal(text.strip(), f"attribute {code}")
        return text


# ---------------------------------------------------------------------------------------------------------------
# Reading


def annotation(
    element: Element, label: object, specs: Specs, wh: tuple[int | None, int | None], scope: str
) -> Annotation:
    """The annotation of one element; `scope` is what group numbers are numbers in.

    Raises:
        InvalidInput: naming the attribute of the element that is at fault.
    """
    name = foreign.name(label, "label")
    given: dict[str, object] = {}
    kept: dict[str, AttributeValue] = {}
    for part in element.iterfind("attribute"):
        code = (part.get("name") or "").strip()
        if not code:
            raise InvalidInput("an attribute without a name", remedy='<attribute name="…">')
        given[code] = specs.value(name, code, part.text or "")
    shape, more = _shape(element, name, specs, wh)
    kept |= base.attributes({**given, **more})
    if flag(element, "occluded"):
        kept["occluded"] = True
    if (source := (element.get("source") or "manual").strip()) not in _PEOPLE:
        kept["source"] = canonical.nfc(source)[:64]
    if order := foreign.whole(element.get("z_order", "0"), "z_order"):
        kept["@order"] = order
    if group := foreign.whole(element.get("group_id") or "0", "group_id"):
        kept["@group"] = foreign.uid("cvat", scope, group)
    score = element.get("score")
    value = None if score is None else foreign.score(foreign.decimal(score, "score"))
    return Annotation(name, base.sound(shape), kept, value, "import")


def flag(element: Element, key: str) -> bool:
    text = element.get(key, "0").strip()
    if text not in _TRUE:
        raise InvalidInput(f"{key} is {base.short(text)}", remedy="0 or 1")
    return _TRUE[text]


def _at(element: Element, key: str) -> float:
    return foreign.decimal(element.get(key), key)


def _points(element: Element) -> tuple[float, ...]:
    text = element.get("points")
    if not text:
        raise InvalidInput(f"points is {base.short(text)}", remedy="x,y;x,y;…")
    return tuple(
        foreign.decimal(c, "points") for pair in text.strip().strip(";").split(";") for c in _pair(pair)
    )


def _pair(text: str) -> Sequence[str]:
    found = text.split(",")
    if len(found) != 2:
        raise InvalidInput(f"points hold {base.short(text)}", remedy="x,y;x,y;…")
    return found


def _shape(
    element: Element, label: str, specs: Specs, wh: tuple[int | None, int | None]
) -> tuple[Shape, Mapping[str, object]]:
    match element.tag:
        case "box":
            x0, y0, x1, y1 = (_at(element, key) for key in ("xtl", "ytl", "xbr", "ybr"))
            degrees = foreign.decimal(element.get("rotation", "0"), "rotation")
            if x1 < x0 or y1 < y0:
                raise InvalidInput("a box whose corners are swapped", remedy="xtl <= xbr and ytl <= ybr")
            if degrees % 360:
                return RotatedBox((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, degrees % 360), {}
            return Box(x0, y0, x1, y1), {}
        case "polygon":
            return Polygon(((foreign.ring(_points(element)),),)), {}
        case "polyline":
            return Polyline(_points(element)), {}
        case "points":
            return Points(_points(element)), {}
        case "ellipse":
            turn = foreign.decimal(element.get("rotation", "0"), "rotation")
            cx, cy, rx, ry = (_at(element, key) for key in ("cx", "cy", "rx", "ry"))
            return Ellipse(cx, cy, rx, ry, turn % 180), {}
        case "cuboid":
            return Cuboid(tuple(_at(element, key) for key in _CUBOID)), {}
        case "mask":
            return _mask(element, wh), {}
        case "skeleton":
            return _skeleton(element, label, specs)
        case "tag":
            return Tag(), {}
    raise InvalidInput(f"a shape <{element.tag:.40}>", remedy=f"one of {', '.join(SHAPES)}")


def _mask(element: Element, wh: tuple[int | None, int | None]) -> Mask:
    width, height = wh
    if width is None or height is None:
        raise InvalidInput(
            "a mask on a picture of unknown size", remedy="give the picture's width and height"
        )
    left, top, w, h = (
        foreign.whole(element.get(key) or "", key) for key in ("left", "top", "width", "height")
    )
    if not (
        1 <= w <= width and 1 <= h <= height and -w < left < width and -h < top < height and w * h <= MAX_MASK
    ):
        raise InvalidInput(f"a mask of {w} x {h} px at {left}, {top}", remedy="inside the picture")
    words = (element.get("rle") or "").split(",")
    if len(words) > rle.MAX_RUNS:
        raise InvalidInput(f"a mask of {len(words)} runs", remedy=f"at most {rle.MAX_RUNS}")
    runs = [foreign.whole(word, "rle") for word in words]
    if min(runs) < 0 or sum(runs) != w * h:
        raise InvalidInput(
            f"rle covers {sum(runs)} of {w * h} px", remedy="run lengths of the mask's own box"
        )
    pixels = np.repeat((np.arange(len(runs)) & 1).astype(np.uint8), runs)
    return rle.encode(pixels.reshape(h, w), at=(left, top), wh=(width, height))


def _skeleton(element: Element, label: str, specs: Specs) -> tuple[Keypoints, Mapping[str, object]]:
    found: dict[str, tuple[float, float, int]] = {}
    more: dict[str, object] = {}
    for part in element.iterfind("points"):
        name = part.get("label") or str(len(found) + 1)
        if name in found:
            raise InvalidInput(f"the point {base.short(name)} is there twice", remedy="each point once")
        numbers = _points(part)
        if len(numbers) != 2:
            raise InvalidInput(f"the point {base.short(name)} has {len(numbers)} numbers", remedy="x,y")
        seen = 0 if flag(part, "outside") else 1 if flag(part, "occluded") else 2
        found[name] = (*numbers, seen)
        for attribute in part.iterfind("attribute"):
            code = (attribute.get("name") or "").strip()
            more[f"{name}_{code}"] = specs.value(name, code, attribute.text or "")
    names = specs.points.get(label) or list(found)
    if unknown := [name for name in found if name not in names]:
        raise InvalidInput(
            f"the skeleton has no point {base.short(unknown[0])}", remedy="as its label says in meta"
        )
    rows = [found.get(name, (0.0, 0.0, 0)) for name in names]
    return Keypoints(tuple(c for x, y, _ in rows for c in (x, y)), tuple(v for _, _, v in rows)), more


# ---------------------------------------------------------------------------------------------------------------
# Writing


def px(value: float) -> str:
    """A coordinate to the record's 1/1000 px."""
    return repr(canonical.snap(value) / canonical.PX).removesuffix(".0")


@dataclass(slots=True)
class Seen:
    """What <meta> has to say of what was written: attributes by label with their types, and points of skeletons."""

    types: dict[str, dict[str, str]] = field(default_factory=dict)
    points: dict[str, int] = field(default_factory=dict)
    groups: foreign.Numbers = field(default_factory=foreign.Numbers)


def element(a: Annotation, record: Record, seen: Seen, schema: LabelSchema, extra: str = "") -> str:
    """The element of an annotation, "" for what the format cannot hold. `extra` are further XML attributes of a shape of
    a track, which has its label outside."""
    drawn = _drawn(a.shape, record, a.label, seen, schema)
    if drawn is None:
        return ""
    tag, own, inside = drawn
    plain = marks.plain(a.attributes)
    head = extra or f' label="{written(a.label)}"'
    source = plain.get("source")
    if not extra:
        kept = "manual" if a.origin != "model" else "auto"
        head += f' source="{written(source) if isinstance(source, str) else kept}"'
    head += f' occluded="{int(plain.get("occluded") is True)}"' if tag != "tag" else ""
    if (group := marks.group(a)) and not extra:
        head += f' group_id="{seen.groups.of(group)}"'
    if tag != "tag":
        head += f' z_order="{marks.order(a)}"'
    lines = [f"<{tag}{head}{own}>", *inside]
    types = seen.types.setdefault(a.label, {})
    for code, value in plain.items():
        if (code == "occluded" and value is True and tag != "tag") or (
            code == "source" and isinstance(value, str) and not extra
        ):
            continue
        types[code] = _type(value, types.get(code))
        text = str(value).lower() if isinstance(value, bool) else str(value)
        lines.append(f'<attribute name="{written(code)}">{written(text)}</attribute>')
    return "\n".join([*lines, f"</{tag}>"])


def _type(value: AttributeValue, before: str | None) -> str:
    now = "checkbox" if isinstance(value, bool) else "number" if isinstance(value, int) else "text"
    return now if before in (None, now) else "text"


def _drawn(
    shape: Shape, record: Record, label: str, seen: Seen, schema: LabelSchema
) -> tuple[str, str, list[str]] | None:
    """Tag, XML attributes and inner elements of a shape."""
    match shape:
        case Box(x0, y0, x1, y1):
            return "box", f' xtl="{px(x0)}" ytl="{px(y0)}" xbr="{px(x1)}" ybr="{px(y1)}"', []
        case RotatedBox(cx, cy, w, h, degrees):
            box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
            own = "".join(
                f' {k}="{_exact(v)}"' for k, v in zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True)
            )
            return "box", f'{own} rotation="{_exact(degrees % 360, canonical.MICRO)}"', []
        case Polygon() if (ring := foreign.single(shape)) is not None:
            return "polygon", _listed(ring), []
        case Polygon():
            mask = foreign.painted(shape, record)
            return _runs(mask) if mask is not None else ("polygon", _listed(foreign.largest(shape)), [])
        case Quad(points):
            return "polygon", _listed(points), []
        case Polyline(points):
            return "polyline", _listed(points), []
        case Points(points):
            return "points", _listed(points), []
        case Ellipse(cx, cy, rx, ry, degrees):
            own = f' cx="{px(cx)}" cy="{px(cy)}" rx="{px(rx)}" ry="{px(ry)}"'
            return "ellipse", own + (f' rotation="{_exact(degrees, canonical.MICRO)}"' if degrees else ""), []
        case Cuboid(points):
            return "cuboid", "".join(f' {k}="{px(v)}"' for k, v in zip(_CUBOID, points, strict=True)), []
        case Mask():
            return _runs(shape)
        case Keypoints(points, visibility):
            names = point_names(schema, label, len(visibility))
            seen.points[label] = max(seen.points.get(label, 0), len(visibility))
            return "skeleton", "", [
                f'<points label="{written(name)}" outside="{int(v == 0)}" occluded="{int(v == 1)}"'
                f'{_listed(points[2 * i : 2 * i + 2])}/>'
                for i, (name, v) in enumerate(zip(names, visibility, strict=True))
            ]  # fmt: skip
        case Tag():
            return "tag", "", []
        case Caption():
            return None


def point_names(schema: LabelSchema, label: str, n: int) -> list[str]:
    """The names of a skeleton's points: the schema's where it has as many, else numbers from 1."""
    known = schema.label(label)
    if known is not None and known.skeleton is not None and len(known.skeleton.points) == n:
        return [code for code, _, _ in known.skeleton.points]
    return [str(i + 1) for i in range(n)]


def _exact(value: float, scale: int = canonical.PX * 2) -> str:
    """A number that is half of whole thousandths (an edge of a box given by its centre), or an angle."""
    return repr(canonical.snap(value, scale) / scale).removesuffix(".0")


def _listed(points: Sequence[float]) -> str:
    return ' points="' + ";".join(f"{px(x)},{px(y)}" for x, y in geometry.pairs(tuple(points))) + '"'


def _runs(mask: Mask) -> tuple[str, str, list[str]] | None:
    part, x0, y0 = rle.crop(mask)
    if not part.size:
        return None
    flat = np.concatenate(([0], part.ravel(), [2]))  # begins with zeros; what ends it differs from both
    edges = np.flatnonzero(np.diff(flat))
    runs = np.diff(np.concatenate(([0], edges)))
    h, w = part.shape
    return (
        "mask",
        f' rle="{", ".join(map(str, runs.tolist()))}" left="{x0}" top="{y0}" width="{w}" height="{h}"',
        [],
    )


def labels(schema: LabelSchema, seen: Seen) -> Iterator[str]:
    """The <label> elements of <meta>: every class of the schema, with the attributes it has there or was given."""
    for code in schema.class_ids():
        label = schema.label(code)
        assert label is not None
        count = seen.points.get(code)
        yield f"<label><name>{written(code)}</name><color>{label.color}</color>"
        yield f"<type>{'skeleton' if count else 'any'}</type><attributes>"
        known = {a.code: a for a in label.attributes}
        for attribute in label.attributes:
            choices = [c.code for c in attribute.choices]
            kind = {"choice": "select", "flag": "checkbox", "number": "number"}.get(attribute.type, "text")
            given = seen.types.get(code, {}).get(attribute.code)
            if given is not None and given != {"select": "text"}.get(kind, kind):
                kind, choices = given, []  # values of another type than the schema's were written
            default = str(attribute.default).lower() if attribute.default is not None else ""
            yield _attribute(attribute.code, kind, default, choices)
        for name, kind in seen.types.get(code, {}).items():
            if name not in known:
                yield _attribute(name, kind, "", [])
        yield "</attributes></label>"
        for point in point_names(schema, code, count) if count else ():
            yield f"<label><name>{written(point)}</name><type>points</type><attributes></attributes>"
            yield f"<parent>{written(code)}</parent></label>"


def _attribute(code: str, kind: str, default: str, choices: Sequence[str]) -> str:
    values = {"checkbox": "false\ntrue", "number": "-1000000;1000000;1"}.get(kind, "\n".join(choices))
    first = default or {"checkbox": "false", "number": "0"}.get(kind, "")
    return (
        f"<attribute><name>{written(code)}</name><mutable>True</mutable><input_type>{kind}</input_type>"
        f"<default_value>{written(first)}</default_value><values>{written(values)}</values></attribute>"
    )

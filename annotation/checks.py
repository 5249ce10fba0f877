"""Validation rules: each a function from one picture's annotations to issues; CHECKS lists them, `check` runs them.

An issue is shown in the problem list and never blocks saving: work that breaks a rule is still work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from annotation import geometry, raster
from annotation.core import (
    Annotation,
    AnnotationSet,
    Box,
    Caption,
    Coords,
    Cuboid,
    Ellipse,
    Keypoints,
    Mask,
    Polygon,
    Quad,
    RotatedBox,
    Tag,
)
from annotation.labels import Label, LabelSchema

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_SIDE_PX = 3.0
DUPLICATE_IOU = 0.9
_ROWS = 128
"""Boxes compared with their neighbours at once: even thousands in one place stay below 100 MB."""
_LOOKS = 8
"""Neighbours whose true areas are compared with an area's; their boxes agree best with its own."""

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Issue:
    """A rule that an annotation breaks.

    Attributes:
        code: names the rule.
        severity: "error" is against the schema, "warning" most likely a slip, "info" only worth a look.
        uid: the object.
        place: where to look, (x, y) in px; None for an object without a place.
    """

    code: str
    severity: Severity
    uid: str
    message_zh: str
    message_en: str
    place: tuple[float, float] | None = None

    def message(self, language: str) -> str:
        """The message in "zh…" or another language (en)."""
        return self.message_zh if language.startswith("zh") else self.message_en


@dataclass(frozen=True, slots=True)
class Page:
    """What a rule sees: one picture's annotations, the schema, the picture's (width, height) in px if known."""

    annotations: AnnotationSet
    schema: LabelSchema
    wh: tuple[int, int] | None

    def names(self, a: Annotation) -> tuple[str, str]:
        """The label's zh and en name, its code if the schema does not know it."""
        label = self.schema.label(a.label)
        return (label.name_zh, label.name_en) if label else (a.label, a.label)

    def labelled(self) -> Iterator[tuple[Annotation, Label]]:
        """The annotations whose label the schema has."""
        for a in self.annotations:
            if label := self.schema.label(a.label):
                yield a, label


Check = Callable[[Page], Iterator[Issue]]
_NONE = (np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))
_AREAS = (Box, RotatedBox, Polygon, Mask, Quad, Ellipse, Cuboid)


def tiny(page: Page) -> Iterator[Issue]:
    """A shape with an area, but less than `MIN_SIDE_PX` wide or high: most often a slip of the hand."""
    for a in page.annotations:
        if isinstance(a.shape, _AREAS):
            box = geometry.bbox(a.shape)
            w, h = (box.x1 - box.x0, box.y1 - box.y0) if box else (0.0, 0.0)
            if isinstance(a.shape, RotatedBox):
                w, h = a.shape.w, a.shape.h
            if min(w, h) < MIN_SIDE_PX:
                zh, en = page.names(a)
                size = f"{w:.1f} × {h:.1f}"
                yield Issue("tiny", "warning", a.uid, f"{zh} 只有 {size} 像素", f"{en} is only {size} px")


def outside(page: Page) -> Iterator[Issue]:
    """A shape that does not touch the picture at all, or whose middle lies outside it: allowed, but worth a look."""
    if page.wh is None:
        return
    width, height = page.wh
    for a in page.annotations:
        box = geometry.bbox(a.shape)
        if box is None:
            continue
        zh, en = page.names(a)
        if box.x1 < 0 or box.y1 < 0 or box.x0 > width or box.y0 > height:
            yield Issue(
                "outside", "info", a.uid, f"{zh} 完全在图片之外", f"{en} is wholly outside the picture"
            )
        elif not (0 <= (box.x0 + box.x1) / 2 <= width and 0 <= (box.y0 + box.y1) / 2 <= height):
            yield Issue(
                "outside", "info", a.uid, f"{zh} 大半在图片之外", f"{en} is mostly outside the picture"
            )


def duplicate(page: Page) -> Iterator[Issue]:
    """Two areas or skeletons of one label and kind that cover the same place, or two equal tags of the picture; the
    later one is named, once. Boxes are compared first; other areas then by what they really cover."""
    groups: dict[tuple[str, str], list[Annotation]] = {}
    for a in page.annotations:
        if isinstance(a.shape, (*_AREAS, Keypoints, Tag)):
            groups.setdefault((a.label, a.kind), []).append(a)
    for (_, kind), members in groups.items():
        if kind == "tag":
            for a in members[1:]:
                zh, en = page.names(a)
                yield Issue("duplicate", "warning", a.uid, f"{zh} 标了两次", f"{en} is there twice")
            continue
        for n, share in _doubles(members).items():
            zh, en = page.names(members[n])
            said = f"{share * 100:.0f} %"
            yield Issue(
                "duplicate", "warning", members[n].uid,
                f"两个 {zh} 重叠 {said}，可能重复", f"two {en} overlap by {said}, perhaps one object",
            )  # fmt: skip


def _doubles(members: list[Annotation]) -> dict[int, float]:
    """The places of those that cover what an earlier one covers, with the share."""
    boxes = geometry.boxes_array(a.shape for a in members)
    found: dict[int, float] = {}
    exact = isinstance(members[0].shape, Box | Keypoints)
    looks: dict[int, int] = {}
    earlier, later, shares = _overlaps(boxes)
    for k in np.lexsort((-shares, later)):
        i, j, share = int(earlier[k]), int(later[k]), float(shares[k])
        if exact:
            found[j] = max(found.get(j, 0.0), share)
        elif looks.get(j, 0) < _LOOKS:
            looks[j] = looks.get(j, 0) + 1
            if (share := _covered(members[i], members[j])) >= DUPLICATE_IOU:
                found[j] = max(found.get(j, 0.0), share)
    return found


def _covered(a: Annotation, b: Annotation) -> float:
    """Intersection over union of what two annotations of one kind cover."""
    if isinstance(a.shape, Mask) and isinstance(b.shape, Mask):
        if (a.shape.w, a.shape.h) != (b.shape.w, b.shape.h):
            return 0.0
        shared = geometry.area(raster.combined("intersect", a.shape, b.shape))
        first, second = geometry.area(a.shape), geometry.area(b.shape)
    else:
        one, two = geometry.outline(a.shape), geometry.outline(b.shape)
        if one is None or two is None:
            return 0.0
        left, right = geometry.to_shapely(one), geometry.to_shapely(two)
        with np.errstate(all="ignore"):
            shared, first, second = left.intersection(right).area, left.area, right.area
    union = first + second - shared
    return float(shared / union) if union > 0 else 0.0


def _overlaps(
    boxes: NDArray[np.float64],
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Pairs of rows of boxes (n, 4) xyxy with an IoU of `DUPLICATE_IOU` and more: earlier row, later row, IoU.

    Such boxes begin within a ninth of a width of each other, so only near neighbours by x0 are compared: 5,000 boxes
    take milliseconds where the whole table takes half a second.
    """
    order = np.argsort(boxes[:, 0], kind="stable")
    found = boxes[order]
    reach = found[:, 0] + (found[:, 2] - found[:, 0]) * (1 / DUPLICATE_IOU - 1) + 1e-6
    last = np.searchsorted(found[:, 0], reach, side="right")
    out: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]] = []
    for start in range(0, len(found), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(found)))
        counts = np.maximum(last[rows] - rows - 1, 0)
        first = np.repeat(rows, counts)
        second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
        a, b = found[first], found[second]
        wh = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0.0, None)
        inter = wh[:, 0] * wh[:, 1]
        union = np.prod(a[:, 2:] - a[:, :2], axis=1) + np.prod(b[:, 2:] - b[:, :2], axis=1) - inter
        hit = (inter >= DUPLICATE_IOU * union) & (union > 0)
        pair = np.sort(np.stack((order[first[hit]], order[second[hit]])), axis=0)
        share = inter[hit] / union[hit]
        best = np.lexsort((-share, pair[1]))
        # Keep the best few of each later row, so that thousands in one place do not fill the memory.
        fresh = np.concatenate(([True], pair[1][best][1:] != pair[1][best][:-1]))
        begins = np.maximum.accumulate(np.where(fresh, np.arange(len(best)), 0)) if len(best) else best
        best = best[np.arange(len(best)) - begins < _LOOKS]
        out.append((pair[0][best], pair[1][best], share[best]))
    if not out:
        return _NONE
    earlier, later, shares = zip(*out, strict=True)
    return np.concatenate(earlier), np.concatenate(later), np.concatenate(shares)


def stranger(page: Page) -> Iterator[Issue]:
    """A label that the schema does not have, that is a group, or that has been retired."""
    for a in page.annotations:
        label = page.schema.label(a.label)
        if label is None or label.abstract:
            yield Issue(
                "stranger", "error", a.uid,
                f"类别 {a.label} 不在标注方案中", f"the label {a.label} is not in the label schema",
            )  # fmt: skip
        elif label.retired_to is not None:
            heir = page.schema.label(page.schema.resolve(a.label) or label.retired_to) or label
            yield Issue(
                "stranger", "warning", a.uid,
                f"类别 {label.name_zh} 已停用，请改为 {heir.name_zh}",
                f"the label {label.name_en} is retired; use {heir.name_en}",
            )  # fmt: skip


def kind(page: Page) -> Iterator[Issue]:
    """A shape of a kind that the label does not allow."""
    for a, label in page.labelled():
        if a.kind not in label.kinds and not label.abstract:
            allowed = ", ".join(sorted(label.kinds))
            yield Issue(
                "kind", "error", a.uid,
                f"{label.name_zh} 不能用 {a.kind} 标注（可用：{allowed}）",
                f"{label.name_en} cannot be drawn as {a.kind} (allowed: {allowed})",
            )  # fmt: skip


def attributes(page: Page) -> Iterator[Issue]:
    """A required attribute without a value (not asked of predictions), or a value that the schema does not allow."""
    for a, label in page.labelled():
        for attribute in label.attributes:
            value = a.attributes.get(attribute.code)
            if value is None:
                if attribute.required and a.origin != "model":
                    yield Issue(
                        "required", "error", a.uid,
                        f"{label.name_zh} 缺少必填属性 {attribute.name_zh}",
                        f"{label.name_en} lacks the required attribute {attribute.name_en}",
                    )  # fmt: skip
            elif not attribute.accepts(value):
                yield Issue(
                    "value", "error", a.uid,
                    f"{label.name_zh} 的 {attribute.name_zh} 不能是 {value}",
                    f"{attribute.name_en} of {label.name_en} cannot be {value}",
                )  # fmt: skip


def skeleton(page: Page) -> Iterator[Issue]:
    """Keypoints of another number than the label's template has, or none of them placed."""
    for a, label in page.labelled():
        if not isinstance(a.shape, Keypoints):
            continue
        n = len(a.shape.visibility)
        if label.skeleton is not None and n != (want := len(label.skeleton.points)):
            yield Issue(
                "skeleton", "error", a.uid,
                f"{label.name_zh} 有 {n} 个关键点，方案要求 {want} 个",
                f"{label.name_en} has {n} keypoints, the schema asks for {want}",
            )  # fmt: skip
        elif not any(a.shape.visibility):
            yield Issue(
                "skeleton", "warning", a.uid,
                f"{label.name_zh} 没有一个关键点可见", f"{label.name_en} has no keypoint that is placed",
            )  # fmt: skip


def blank(page: Page) -> Iterator[Issue]:
    """A caption that says nothing."""
    for a in page.annotations:
        if isinstance(a.shape, Caption) and not any(c.isalnum() for c in a.shape.text):
            zh, en = page.names(a)
            yield Issue("blank", "error", a.uid, f"{zh} 没有文字", f"{en} has no words")


def crossing(page: Page) -> Iterator[Issue]:
    """A polygon or quadrilateral whose outline crosses itself: its area means nothing."""
    found = [a for a in page.annotations if isinstance(a.shape, Polygon | Quad)]
    if not found:
        return
    import shapely

    rings: list[Coords] = []
    owner: list[int] = []
    for n, a in enumerate(found):
        outline = geometry.outline(a.shape)
        for part in outline.parts if outline else ():
            rings += part
            owner += [n] * len(part)
    points = np.concatenate([np.asarray(ring, dtype=np.float64).reshape(-1, 2) for ring in rings])
    lines = shapely.linearrings(
        points, indices=np.repeat(np.arange(len(rings)), [len(ring) // 2 for ring in rings])
    )
    crossed = np.flatnonzero(~shapely.is_simple(lines))
    for n, i in sorted({owner[i]: int(i) for i in crossed[::-1]}.items()):
        zh, en = page.names(found[n])
        yield Issue(
            "crossing", "warning", found[n].uid, f"{zh} 的轮廓自相交", f"the outline of {en} crosses itself",
            _crossing_place(lines[i]),
        )  # fmt: skip


def _crossing_place(ring: Any) -> tuple[float, float] | None:
    """Where a ring crosses itself, as GEOS says it; None when it does not say."""
    import shapely

    numbers = re.findall(r"-?[\d.]+(?:e[+-]?\d+)?", shapely.is_valid_reason(ring).partition("[")[2])
    return (float(numbers[0]), float(numbers[1])) if len(numbers) >= 2 else None


CHECKS: tuple[Check, ...] = (
    stranger, kind, attributes, skeleton, blank, tiny, duplicate, crossing, outside,
)  # fmt: skip


def check(annotations: AnnotationSet, schema: LabelSchema, wh: tuple[int, int] | None) -> list[Issue]:
    """All issues of one picture, rule by rule. wh: (width, height) in px after orientation, None if unknown."""
    page = Page(annotations, schema, wh)
    shapes = {a.uid: a.shape for a in annotations}
    found = []
    for rule in CHECKS:
        for issue in rule(page):
            box = None if issue.place else geometry.bbox(shapes[issue.uid])
            middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2) if box else None
            found.append(replace(issue, place=issue.place or middle))
    return found

"""Validation rules: each a function from one picture's annotations to issues; CHECKS lists them, `check` runs them.

An issue is shown in the problem list and never blocks saving: work that breaks a rule is still work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from annotation import geometry
from annotation.core import Annotation, AnnotationSet, Box, Coords, Mask, Polygon, RotatedBox
from annotation.labels import Label, LabelSchema

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_SIDE_PX = 3.0
DUPLICATE_IOU = 0.9
_ROWS = 128
"""Boxes compared with their neighbours at once: even thousands in one place stay below 100 MB."""

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Issue:
    """A rule that an annotation breaks. `code` names the rule, `uid` the object."""

    code: str
    severity: Severity
    uid: str
    message_zh: str
    message_en: str

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


def tiny(page: Page) -> Iterator[Issue]:
    """A shape with an area, but less than `MIN_SIDE_PX` wide or high: most often a slip of the hand."""
    for a in page.annotations:
        if isinstance(a.shape, Box | RotatedBox | Polygon | Mask):
            box = geometry.bbox(a.shape)
            w, h = (box.x1 - box.x0, box.y1 - box.y0) if box else (0.0, 0.0)
            if min(w, h) < MIN_SIDE_PX:
                zh, en = page.names(a)
                size = f"{w:.1f} × {h:.1f}"
                yield Issue("tiny", "warning", a.uid, f"{zh} 只有 {size} 像素", f"{en} is only {size} px")


def outside(page: Page) -> Iterator[Issue]:
    """A shape that does not touch the picture at all, or whose middle lies outside it."""
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
                "outside", "error", a.uid, f"{zh} 完全在图片之外", f"{en} is wholly outside the picture"
            )
        elif not (0 <= (box.x0 + box.x1) / 2 <= width and 0 <= (box.y0 + box.y1) / 2 <= height):
            yield Issue(
                "outside", "warning", a.uid, f"{zh} 大半在图片之外", f"{en} is mostly outside the picture"
            )


def duplicate(page: Page) -> Iterator[Issue]:
    """Two areas of one label and kind that cover the same place; the later one is named, once."""
    groups: dict[tuple[str, str], list[Annotation]] = {}
    for a in page.annotations:
        if isinstance(a.shape, Box | RotatedBox | Polygon | Mask):
            groups.setdefault((a.label, a.kind), []).append(a)
    for members in groups.values():
        best = _overlaps(geometry.boxes_array(a.shape for a in members))
        for n in np.flatnonzero(best):
            a = members[n]
            zh, en = page.names(a)
            share = f"{best[n] * 100:.0f} %"
            yield Issue(
                "duplicate", "warning", a.uid,
                f"两个 {zh} 重叠 {share}，可能重复", f"two {en} overlap by {share}, perhaps one object",
            )  # fmt: skip


def _overlaps(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """For every row of boxes (n, 4) xyxy the highest IoU with an earlier row, 0 where it is below `DUPLICATE_IOU`.

    Such boxes begin within a ninth of a width of each other, so only near neighbours by x0 are compared: 5,000 boxes
    take milliseconds where the whole table takes half a second.
    """
    best = np.zeros(len(boxes))
    order = np.argsort(boxes[:, 0], kind="stable")
    found = boxes[order]
    reach = found[:, 0] + (found[:, 2] - found[:, 0]) * (1 / DUPLICATE_IOU - 1) + 1e-6
    last = np.searchsorted(found[:, 0], reach, side="right")
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
        later = np.maximum(order[first[hit]], order[second[hit]])
        np.maximum.at(best, later, inter[hit] / union[hit])
    return best


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


def crossing(page: Page) -> Iterator[Issue]:
    """A polygon whose outline crosses itself: its area means nothing."""
    found = [a for a in page.annotations if isinstance(a.shape, Polygon)]
    if not found:
        return
    import shapely

    rings: list[Coords] = []
    owner: list[int] = []
    for n, a in enumerate(found):
        assert isinstance(a.shape, Polygon)
        for part in a.shape.parts:
            rings += part
            owner += [n] * len(part)
    points = np.concatenate([np.asarray(ring, dtype=np.float64).reshape(-1, 2) for ring in rings])
    lines = shapely.linearrings(
        points, indices=np.repeat(np.arange(len(rings)), [len(ring) // 2 for ring in rings])
    )
    simple = shapely.is_simple(lines)
    for n in sorted({owner[i] for i in np.flatnonzero(~simple)}):
        zh, en = page.names(found[n])
        yield Issue(
            "crossing", "warning", found[n].uid, f"{zh} 的轮廓自相交", f"the outline of {en} crosses itself"
        )


CHECKS: tuple[Check, ...] = (stranger, kind, attributes, outside, tiny, duplicate, crossing)


def check(annotations: AnnotationSet, schema: LabelSchema, wh: tuple[int, int] | None) -> list[Issue]:
    """All issues of one picture, rule by rule. wh: (width, height) in px after orientation, None if unknown."""
    page = Page(annotations, schema, wh)
    return [issue for rule in CHECKS for issue in rule(page)]

"""From what a network found to annotation values in source pixels: class mapping, thresholds, tiles joined, regions, shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from annotation import rle
from annotation.core import Annotation, AnnotationSet, Box, Keypoints, Mask, Quad, RotatedBox, Shape, Tag
from models import tiling
from models.card import ModelCard
from models.found import Found, nms
from models.recipe import MICRO, Recipe, Region
from models.session import Array

MAX_OBJECTS = 1000
"""Of one picture: a network gone wild must not flood the record."""
VISIBLE = 0.5
"""From this visibility on a key point is marked as seen, below as hidden."""
REACH_PX = 1e6
"""Points beyond it, or that are no numbers, are a network's overflow: an object with one is none."""
TRANSCRIPT = "transcript"
"""Attribute that holds what a model read."""


@dataclass(frozen=True, slots=True)
class Rules:
    """A recipe for one model, as arrays by class index.

    Attributes:
        labels: label by target index. target: int64 (classes,), -1 = dropped. least: float64 (classes,) thresholds.
        score: the lowest of them, for the head. iou: overlap that suppresses.
        merges: two classes have one target.
    """

    recipe: Recipe
    labels: tuple[str, ...]
    target: Array
    least: Array
    score: float
    iou: float
    merges: bool


def rules(card: ModelCard, recipe: Recipe) -> Rules:
    """What a recipe means for a model."""
    names = [recipe.target(name) for name in card.labels]
    labels = tuple(dict.fromkeys(name for name in names if name))
    index = {name: i for i, name in enumerate(labels)}
    whole = card.score if recipe.score_micro is None else recipe.score_micro / MICRO
    own = {name: micro / MICRO for name, micro in recipe.class_scores}
    least = np.array([own.get(name, whole) for name in card.labels], np.float64)
    target = np.array([index.get(name, -1) for name in names], np.int64)
    kept = least[target >= 0]
    return Rules(
        recipe,
        labels,
        target,
        least,
        float(kept.min()) if len(kept) else whole,
        card.iou if recipe.iou_micro is None else recipe.iou_micro / MICRO,
        len(labels) < int((target >= 0).sum()),
    )


def settled(
    parts: Sequence[Found],
    windows: Sequence[tiling.Window],
    wh: tuple[int, int],
    using: Rules,
    *,
    path: str = "",
) -> Found:
    """One picture's findings under a recipe: mapped, filtered, joined, within the region; classes are now target indices.

    Args:
        parts: what each window gave, in source pixels. windows: where each lies. path: the picture's, for regions.
    """
    mapped = [_mapped(part, using) for part in parts]
    found = tiling.merge(mapped, windows, wh, iou=using.iou)
    if using.merges and len(found) and len(parts) == 1:
        found = found.take(nms(found.boxes, found.classes, using.iou))
    region = using.recipe.region(path) if using.recipe.regions else None
    if region is not None and len(found):
        found = found.take(_within(found, region, wh))
    return found.take(np.arange(MAX_OBJECTS)) if len(found) > MAX_OBJECTS else found


def _mapped(found: Found, using: Rules) -> Found:
    if not len(found) or not len(using.target):
        return found
    classes = using.target[found.classes]
    good = (classes >= 0) & (found.scores >= using.least[found.classes])
    return replace(found, classes=classes) if good.all() else replace(found, classes=classes).take(good)


def _within(found: Found, region: Region, wh: tuple[int, int]) -> Array:
    """Whose centre lies in the region: bool (n,)."""
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    inside = np.zeros(len(found), bool)
    for ring in region.rings:
        polygon = (np.array(ring, np.float64).reshape(-1, 2) / MICRO * np.array(wh)).astype(np.float32)
        inside |= np.array(
            [cv2.pointPolygonTest(polygon, (float(x), float(y)), False) >= 0 for x, y in centres], bool
        )
    return inside if region.keep == "inside" else ~inside


def to_annotations(
    found: Found, card: ModelCard, labels: Sequence[str], wh: tuple[int, int]
) -> AnnotationSet:
    """Predictions of one picture: shapes in source pixels, upright boxes clipped to the picture.

    Args:
        found: in source pixels, classes being indices of `labels`.
    """
    out = []
    for i in range(len(found)):
        shape = _shape(found, i, card, wh)
        if shape is None:
            continue
        label = labels[int(found.classes[i])]
        attributes = {TRANSCRIPT: found.texts[i]} if found.texts is not None and found.texts[i] else {}
        out.append(
            Annotation(label, shape, attributes, score=min(1.0, float(found.scores[i])), origin="model")
        )
    return tuple(out)


def _shape(found: Found, i: int, card: ModelCard, wh: tuple[int, int]) -> Shape | None:
    w, h = wh
    if card.task == "classify":
        return Tag()
    if found.masks is not None and found.windows is not None:
        return _mask(found.masks[i], found.windows[i], found.boxes[i] if card.task == "segment" else None, wh)
    if found.quads is not None:
        quad = found.quads[i]
        if not _within_reach(quad):
            return None
        return Quad(tuple(quad.ravel().tolist())) if card.task == "read" else _rotated(quad)
    if found.points is not None:
        return _skeleton(found.points[i]) if _within_reach(found.points[i]) else None
    x0, y0, x1, y1 = np.clip(found.boxes[i], 0, (w, h, w, h)).tolist()
    # Outside the picture, or thinner than a pixel of it.
    return Box(x0, y0, x1, y1) if x1 - x0 >= 1 and y1 - y0 >= 1 else None


def _within_reach(points: Array) -> bool:
    return bool((np.abs(points) <= REACH_PX).all())  # False for what is no number, too


def _rotated(quad: Array) -> RotatedBox | None:
    (x0, y0), (x1, y1), (x2, y2), _ = quad.tolist()
    w, h = math.hypot(x1 - x0, y1 - y0), math.hypot(x2 - x1, y2 - y1)
    if w < 1 or h < 1:
        return None
    cx, cy = quad.mean(axis=0).tolist()
    return RotatedBox(cx, cy, w, h, math.degrees(math.atan2(y1 - y0, x1 - x0)) % 360.0)


def _skeleton(points: Array) -> Keypoints:
    seen = points[:, 2]
    return Keypoints(
        tuple(points[:, :2].ravel().tolist()), tuple(2 if v >= VISIBLE else 1 for v in seen.tolist())
    )


def _mask(grid: Array, window: Array, box: Array | None, wh: tuple[int, int]) -> Mask | None:
    """The mask where the grid is over 0.5, enlarged over the part of the picture that can hold it, cut to the box."""
    w, h = wh
    inside = (
        window
        if box is None
        else np.array([*np.maximum(window[:2], box[:2]), *np.minimum(window[2:], box[2:])])
    )
    # Pixels whose centre lies inside.
    x0, y0 = (max(0, math.ceil(v - 0.5)) for v in inside[:2].tolist())
    x1, y1 = min(w, math.ceil(float(inside[2]) - 0.5)), min(h, math.ceil(float(inside[3]) - 0.5))
    if x1 - x0 < 1 or y1 - y0 < 1:
        return None
    mh, mw = grid.shape
    sx, sy = (window[2] - window[0]) / mw, (window[3] - window[1]) / mh
    # The part of the grid that reaches into the box, with the neighbours that its border is mixed with.
    left, top = (max(0, math.floor(v) - 1) for v in ((x0 - window[0]) / sx, (y0 - window[1]) / sy))
    right, bottom = (math.ceil(v) + 1 for v in ((x1 - window[0]) / sx, (y1 - window[1]) / sy))
    part = grid[top:bottom, left:right].astype(np.float32)
    # Pixel centres of the picture in the grid's own pixel centres.
    matrix = np.array(
        [
            [1 / sx, 0, (x0 + 0.5 - window[0]) / sx - 0.5 - left],
            [0, 1 / sy, (y0 + 0.5 - window[1]) / sy - 0.5 - top],
        ]
    )
    soft = cv2.warpAffine(
        part,
        matrix,
        (x1 - x0, y1 - y0),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    hard = (soft > 0.5).astype(np.uint8)
    return rle.encode(hard, at=(x0, y0), wh=wh) if hard.any() else None

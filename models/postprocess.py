"""From a network's output to annotation values in source pixels: decode boxes, thresholds, NMS."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from annotation.core import Annotation, AnnotationSet, Box
from models.card import STRIDES, ModelCard
from models.preprocess import Placement
from models.session import Array

MAX_CANDIDATES = 4096
MAX_BOXES = 1000
"""Bounds of one picture: a network gone wild must not make NMS take minutes or flood the record."""


def detections(output: Array, card: ModelCard, *, score: float, iou: float) -> tuple[Array, Array, Array]:
    """Boxes of one picture in input pixels, strongest first, after per-class NMS.

    Args:
        output: (1, cells, columns), or (1, columns, cells) when the card says transposed.
        score, iou: thresholds 0..1.

    Returns:
        xyxy float64 (n, 4), scores float64 (n,), class indices int (n,).
    """
    table = output[0].T if card.transposed else output[0]
    first = 5 if card.objectness else 4
    if (
        card.objectness
    ):  # a product with factors of at most 1: cells below the threshold already cannot reach it
        candidates = np.flatnonzero(table[:, 4] >= score)
    else:
        best = table[:, first:].max(axis=1) if not card.transposed else output[0, first:].max(axis=0)
        candidates = np.flatnonzero(best >= score)
    rows = table[candidates].astype(np.float64)
    classes = rows[:, first:].argmax(axis=1) if len(rows) else np.zeros(0, np.int64)
    scores = rows[np.arange(len(rows)), first + classes]
    if card.objectness:
        scores = scores * rows[:, 4]
    boxes = rows[:, :4] if card.decoded else _from_grid(rows[:, :4], candidates, card)
    half = boxes[:, 2:] / 2
    xyxy = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
    good = (scores >= score) & np.isfinite(xyxy).all(axis=1) & (half > 0).all(axis=1)
    xyxy, scores, classes = xyxy[good], np.minimum(scores[good], 1.0), classes[good]
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    xyxy, scores, classes = xyxy[order], scores[order], classes[order]
    kept = nms(xyxy, classes, iou)[:MAX_BOXES]
    return xyxy[kept], scores[kept], classes[kept]


def nms(xyxy: Array, classes: Array, iou: float) -> Array:
    """Indices that stay: each box not overlapping a stronger one *of its class* by more than iou.

    Args:
        xyxy: (n, 4), strongest first.
        classes: (n,).
    """
    area = (xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])
    alive = np.arange(len(xyxy))
    kept = []
    while len(alive):
        top, rest = alive[0], alive[1:]
        kept.append(top)
        low = np.maximum(xyxy[top, :2], xyxy[rest, :2])
        high = np.minimum(xyxy[top, 2:], xyxy[rest, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        overlap = shared / np.maximum(area[top] + area[rest] - shared, 1e-12)
        alive = rest[(overlap <= iou) | (classes[rest] != classes[top])]
    return np.array(kept, np.int64)


def to_annotations(
    output: Array, card: ModelCard, place: Placement, *, score: float, iou: float
) -> AnnotationSet:
    """Predictions of one picture: boxes in source pixels, clipped to the picture, labels as the model calls them."""
    xyxy, scores, classes = detections(output, card, score=score, iou=iou)
    offset = np.array([place.left, place.top] * 2)
    limit = np.array(place.wh * 2)
    source = np.clip((xyxy - offset) / place.ratio, 0, limit)
    return tuple(
        Annotation(card.labels[label], Box(*box), score=float(value), origin="model")
        for box, value, label in zip(source.tolist(), scores, classes, strict=True)
        if box[2] - box[0] >= 1 and box[3] - box[1] >= 1  # outside the picture, or thinner than a pixel of it
    )


def _from_grid(raw: Array, candidates: Array, card: ModelCard) -> Array:
    """YOLOX's (dx, dy, log w, log h) at grid cells -> (cx, cy, w, h) in input pixels."""
    grid = _grid(*card.input_wh)[candidates]
    stride = grid[:, 2:]
    with np.errstate(over="ignore"):
        return np.concatenate([(raw[:, :2] + grid[:, :2]) * stride, np.exp(raw[:, 2:]) * stride], axis=1)


@lru_cache(maxsize=8)
def _grid(w: int, h: int) -> Array:
    """Cell x, cell y, stride of every cell, strides ascending, rows first: float64 (cells, 3)."""
    parts = []
    for stride in STRIDES:
        ys, xs = np.mgrid[0 : h // stride, 0 : w // stride]
        parts.append(np.stack([xs.ravel(), ys.ravel(), np.full(xs.size, stride)], axis=1))
    grid: Array = np.concatenate(parts).astype(np.float64)
    grid.flags.writeable = False
    return grid

"""YOLOX as its authors export it: one row a grid cell, (dx, dy, log w, log h, objectness, classes), offsets to the grid.

Source: Ge et al., YOLOX (arXiv 2107.08430); `--decode_in_inference` exports pixels instead and is read by heads/yolo.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from models.card import NEUTRAL, UNIT, ModelCard
from models.found import Found, nothing
from models.heads import shapes, yolo
from models.heads.look import Look, Match, boxes_apart, cells
from models.session import Array

STRIDES = (8, 16, 32)


def match(look: Look) -> Match | None:
    """(1, cells, 5 + classes) whose first column stays within a few cells: raw offsets name no place in the picture."""
    w, h = look.wh
    for out in look.outputs:
        shape = out.value.shape
        if len(shape) != 3 or shape[0] != 1 or shape[1] != cells(w, h, STRIDES) or shape[2] <= 5:
            continue
        if len(look.names) == shape[2] - 4 or boxes_apart(look, out, shape[1]):
            continue  # a score for each named class, so no objectness
        low, high = shapes.range_of(out.value[0, :, :4].T)
        if high[0] > w / 2 or (0 < high.max() <= 1 and low.min() >= 0):
            continue  # pixels; or shares, such as class scores without objectness
        n = shape[2] - 5
        return Match(
            "yolox", "detect", (("table", out.name),), n, resize="corner", colour="bgr", mean=NEUTRAL, std=UNIT,
            score_micro=300_000,
            why=(f"“{out.name}” has one row for each of the {shape[1]} grid cells and 5 + {n} columns of raw offsets",),
        )  # fmt: skip
    return None


def decode(outputs: Mapping[str, Array], card: ModelCard, *, score: float, iou: float) -> Found:
    """Boxes of one picture in input pixels, after per-class NMS.

    Args:
        outputs: "table" (cells, 5 + classes).
    """
    table = outputs["table"]
    # A product with factors of at most 1: cells below the threshold already cannot reach it.
    candidates = (table[:, 4] >= score).nonzero()[0]
    if not len(candidates):
        return nothing()
    cell = table[candidates]
    classes = cell[:, 5:].argmax(axis=1)  # the greatest share of the product, too
    best = cell[np.arange(len(cell)), 5 + classes].astype(np.float64) * cell[:, 4]
    strong = (best >= score).nonzero()[0]
    if not len(strong):
        return nothing()
    rows, grid = cell[strong, :4].astype(np.float64), _grid(*card.input_wh)[candidates[strong]]
    stride = grid[:, 2:]
    with np.errstate(over="ignore"):
        rows[:, :2] = (rows[:, :2] + grid[:, :2]) * stride
        rows[:, 2:] = np.exp(rows[:, 2:]) * stride
    return yolo.settled(rows, best[strong], classes[strong], iou=iou)[0]


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

"""The YOLO families that give pixels: one row (or column) a cell with centre, size, perhaps objectness, and class scores.

Told apart by the shape of one output, G being the cells of the grids of strides 8, 16 and 32:

    (1, 4 + classes, G)    no objectness, transposed: YOLOv8, v9, v11, v12, our demonstration detector
    (1, 3G, 5 + classes)   objectness, three anchors a cell: YOLOv5, v7
    (1, G, 5 + classes)    objectness: YOLOX exported with its decoding, YOLOv6
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.card import NEUTRAL, UNIT, ModelCard
from models.found import Found, nms
from models.heads.look import Look, Match, cells
from models.session import Array

STRIDES = (8, 16, 32)
MAX_CANDIDATES = 4096
MAX_BOXES = 1000
"""Bounds of one picture: a network gone wild must not make NMS take minutes or flood the record."""


def match(look: Look) -> Match | None:
    """One of the shapes above; class names in the metadata decide between a row a cell with and without objectness."""
    grid = cells(*look.wh, STRIDES)
    for out in look.outputs:
        shape = out.value.shape
        if len(shape) != 3 or shape[0] != 1:
            continue
        rows, columns = shape[1], shape[2]
        table = (("table", out.name),)
        if columns == grid and rows > 4:
            return Match(
                "yolo", "detect", table, rows - 4, head=(("transposed", 1),),
                why=(f"“{out.name}” has one column for each of the {grid} grid cells: 4 box numbers and {rows - 4} scores",),
            )  # fmt: skip
        if rows == 3 * grid and columns > 5:
            return Match(
                "yolo", "detect", table, columns - 5, head=(("objectness", 1),),
                why=(f"“{out.name}” has three rows for each of the {grid} grid cells, with objectness",),
            )  # fmt: skip
        if rows == grid and columns > 4 and len(look.names) == columns - 4:
            return Match(
                "yolo", "detect", table, columns - 4,
                why=(f"“{out.name}” has one row for each of the {grid} grid cells and a score for each named class",),
            )  # fmt: skip
        if rows == grid and columns > 5:
            return Match(
                "yolo", "detect", table, columns - 5, head=(("objectness", 1),), resize="corner", colour="bgr",
                mean=NEUTRAL, std=UNIT, score_micro=300_000,
                why=(f"“{out.name}” has one row for each of the {grid} grid cells, in pixels, with objectness",),
            )  # fmt: skip
    return None


def decode(outputs: Mapping[str, Array], card: ModelCard, *, score: float, iou: float) -> Found:
    """Boxes of one picture in input pixels, after per-class NMS.

    Args:
        outputs: "table" (cells, columns), or (columns, cells) when the card's head says transposed.
    """
    transposed, objectness = card.get("transposed"), card.get("objectness")
    table = outputs["table"].T if transposed else outputs["table"]
    if objectness:
        candidates = np.flatnonzero(table[:, 4] >= score)
    else:
        best = outputs["table"][4:].max(axis=0) if transposed else table[:, 4:].max(axis=1)
        candidates = np.flatnonzero(best >= score)
    rows = table[candidates].astype(np.float64)
    scores = rows[:, 5:] * rows[:, 4:5] if objectness else rows[:, 4:]
    return suppressed(rows, scores, score=score, iou=iou)[0]


def suppressed(rows: Array, scores: Array, *, score: float, iou: float) -> tuple[Found, Array]:
    """The objects of candidate rows after per-class NMS, and which rows they are.

    Args:
        rows: float64 (n, 4 or more): cx, cy, w, h in input pixels.
        scores: float64 (n, classes).
    """
    n = len(rows)
    classes = scores.argmax(axis=1) if n else np.zeros(0, np.int64)
    best = scores[np.arange(n), classes]
    half = rows[:, 2:4] / 2
    xyxy = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], axis=1)
    good = np.flatnonzero((best >= score) & np.isfinite(xyxy).all(axis=1) & (half > 0).all(axis=1))
    order = good[np.argsort(-best[good], kind="stable")[:MAX_CANDIDATES]]
    kept = order[nms(xyxy[order], classes[order], iou)[:MAX_BOXES]]
    return Found(xyxy[kept], np.minimum(best[kept], 1.0), classes[kept]), kept

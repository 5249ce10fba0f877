"""Text lines by differentiable binarisation: a map of how likely each place is text, whose islands become quadrilaterals.

Never recognised alone: its map looks like any segmentation of one class. models/reader.py takes it with the recogniser.
Source: Liao et al., Real-time Scene Text Detection with Differentiable Binarization (arXiv 1911.08947).
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from models.card import ModelCard
from models.found import Found
from models.heads.look import Look, Match
from models.session import Array

INK = 0.3
"""A place is text from this value on."""
UNCLIP = 1.6
"""Lines were trained shrunk: they grow by area x UNCLIP / perimeter."""
LEAST_PX = 3
MAX_LINES = 1000


def match(look: Look) -> Match | None:
    """Never: see above."""
    return None


def decode(outputs: Mapping[str, Array], card: ModelCard, *, score: float, iou: float) -> Found:
    """Lines of one picture in input pixels, in reading order from the top; their score is the mean of the map inside.

    Args:
        outputs: "map" (1, h, w), h and w those of the input.
    """
    soft = np.ascontiguousarray(outputs["map"].reshape(outputs["map"].shape[-2:]).astype(np.float32))
    contours, _ = cv2.findContours((soft > INK).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    quads, scores = [], []
    for contour in sorted(contours, key=cv2.contourArea, reverse=True)[:MAX_LINES]:
        box, side = _rectangle(contour)
        if side < LEAST_PX:
            continue
        value = _mean(soft, box)
        if value < score:
            continue
        wide, side = _rectangle(_grown(box))
        if side < LEAST_PX + 2:
            continue
        quads.append(wide)
        scores.append(value)
    if not quads:
        return Found(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), quads=np.zeros((0, 4, 2)))
    lines = np.array(quads, np.float64)
    order = np.lexsort((lines[:, 0, 0], lines[:, 0, 1]))
    lines = lines[order]
    boxes = np.concatenate([lines.min(axis=1), lines.max(axis=1)], axis=1)
    return Found(boxes, np.minimum(np.array(scores)[order], 1.0), np.zeros(len(lines), np.int64), quads=lines)


def _rectangle(points: Array) -> tuple[Array, float]:
    """The smallest rectangle around points, its corners from its top left clockwise, and its shorter side."""
    centre, size, angle = cv2.minAreaRect(points)
    corners = cv2.boxPoints((centre, size, angle))
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left, right = by_x[:2], by_x[2:]
    left, right = left[np.argsort(left[:, 1])], right[np.argsort(right[:, 1])]
    return np.array([left[0], right[0], right[1], left[1]], np.float32), min(size)


def _mean(soft: Array, box: Array) -> float:
    """Mean of the map inside a quadrilateral."""
    h, w = soft.shape
    x0, y0 = np.clip(np.floor(box.min(axis=0)), 0, (w - 1, h - 1)).astype(int)
    x1, y1 = np.clip(np.ceil(box.max(axis=0)), 0, (w - 1, h - 1)).astype(int)
    inside = np.zeros((y1 - y0 + 1, x1 - x0 + 1), np.uint8)
    cv2.fillPoly(inside, [np.round(box - (x0, y0)).astype(np.int32)], 1)
    return float(cv2.mean(soft[y0 : y1 + 1, x0 : x1 + 1], inside)[0])


def _grown(box: Array) -> Array:
    """A rectangle grown on every side by area x UNCLIP / perimeter: the outline's offset, whose rounded corners the smallest
    rectangle around it gives back."""
    a, b = box[1] - box[0], box[3] - box[0]
    w, h = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    reach = w * h * UNCLIP / max(2 * (w + h), 1e-6)
    along, across = a / max(w, 1e-6) * reach, b / max(h, 1e-6) * reach
    return np.array(
        [box[0] - along - across, box[1] + along - across, box[2] + along + across, box[3] - along + across],
        np.float32,
    )

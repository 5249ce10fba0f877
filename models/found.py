"""Found: what a network found in one picture, as arrays. Heads make it, tiling joins it, postprocess turns it into annotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.session import Array

BLOCK = 256
"""Boxes that NMS compares with each other at once."""


@dataclass(frozen=True, slots=True)
class Found:
    """Objects, strongest first. All coordinates are pixels of one space: the network's input, or the source picture.

    Attributes:
        boxes: float64 (n, 4) x0 y0 x1 y1, upright bounds. Of a whole-picture finding (a class, an area): of all it covers.
        scores: float64 (n,) in 0..1.
        classes: int64 (n,) index of the card's labels.
        points: float64 (n, k, 3) x, y, visibility 0..1 of key points.
        quads: float64 (n, 4, 2) corners of an oriented box or of a text line, the first being its own top left, clockwise.
        masks: float32 (n, mh, mw) 0..1 on a grid that covers `windows`; the object is where it is over 0.5 when enlarged.
        windows: float64 (n, 4) x0 y0 x1 y1 that each grid of `masks` covers.
        texts: what is written there, one for each object.
        vector: float32 (d,) embedding of the picture.
    """

    boxes: Array
    scores: Array
    classes: Array
    points: Array | None = None
    quads: Array | None = None
    masks: Array | None = None
    windows: Array | None = None
    texts: tuple[str, ...] | None = None
    vector: Array | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, keep: Array) -> Found:
        """The objects of these indices, or where this mask is true, in that order."""
        index = np.flatnonzero(keep) if keep.dtype == np.bool_ else keep
        return Found(
            self.boxes[index],
            self.scores[index],
            self.classes[index],
            _taken(self.points, index),
            _taken(self.quads, index),
            _taken(self.masks, index),
            _taken(self.windows, index),
            None if self.texts is None else tuple(self.texts[i] for i in index),
            self.vector,
        )

    def moved(self, factor: Array, shift: Array) -> Found:
        """In another space: every point p becomes p * factor + shift; both float64 (2,)."""
        factors, shifts = np.concatenate((factor, factor)), np.concatenate((shift, shift))
        points = self.points
        if points is not None:
            points = np.concatenate([points[..., :2] * factor + shift, points[..., 2:]], axis=-1)
        return replace(
            self,
            boxes=self.boxes * factors + shifts,
            points=points,
            quads=None if self.quads is None else self.quads * factor + shift,
            windows=None if self.windows is None else self.windows * factors + shifts,
        )


def nothing(vector: Array | None = None) -> Found:
    """No object."""
    return Found(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), vector=vector)


def joined(parts: Sequence[Found]) -> Found:
    """All objects of several findings of one kind in one space, strongest first; equal scores keep their order."""
    filled = [part for part in parts if len(part)]
    if len(filled) < 2:
        return filled[0] if filled else (parts[0] if parts else nothing())
    whole = Found(
        np.concatenate([part.boxes for part in filled]),
        np.concatenate([part.scores for part in filled]),
        np.concatenate([part.classes for part in filled]),
        _stacked([part.points for part in filled]),
        _stacked([part.quads for part in filled]),
        _stacked([part.masks for part in filled]),
        _stacked([part.windows for part in filled]),
        None if filled[0].texts is None else tuple(t for part in filled for t in part.texts or ()),
        filled[0].vector,
    )
    return whole.take(np.argsort(-whole.scores, kind="stable"))


def _taken(part: Array | None, index: Array) -> Array | None:
    return None if part is None else part[index]


def _stacked(parts: Sequence[Array | None]) -> Array | None:
    here = [part for part in parts if part is not None]
    return np.concatenate(here) if len(here) == len(parts) else None


def nms(xyxy: Array, classes: Array, iou: float) -> Array:
    """Indices that stay: each box not overlapping a stronger one *of its class* by more than iou.

    Args:
        xyxy: (n, 4), strongest first.
        classes: (n,).
    """
    # A block of the strongest is settled by itself, then clears all that is weaker: few large steps instead of one a box.
    n = len(xyxy)
    if n < 2:
        return np.arange(n)
    boxes = np.concatenate([xyxy, ((xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1]))[:, None]], axis=1)
    alive = np.ones(n, bool)
    kept = [np.zeros(0, np.int64)]
    for start in range(0, n, BLOCK):
        end = min(n, start + BLOCK)
        block = start + np.flatnonzero(alive[start:end])
        clear = ~_over(boxes[block], classes[block], boxes[block], classes[block], iou)
        good = np.ones(len(block), bool)
        for i in range(len(block) - 1):
            if good[i]:
                good[i + 1 :] &= clear[i, i + 1 :]
        strong = block[good]
        kept.append(strong)
        rest = end + np.flatnonzero(alive[end:])
        if len(rest):
            alive[rest] = ~_over(boxes[strong], classes[strong], boxes[rest], classes[rest], iou).any(axis=0)
    return np.concatenate(kept)


def _over(a: Array, a_class: Array, b: Array, b_class: Array, iou: float) -> Array:
    """Which of a and b are of one class and overlap by more than iou: bool (a, b). Rows are x0, y0, x1, y1, area."""
    shared = np.maximum(np.minimum(a[:, None, 2], b[:, 2]) - np.maximum(a[:, None, 0], b[:, 0]), 0)
    shared *= np.maximum(np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1]), 0)
    over: Array = shared / np.maximum(a[:, None, 4] + b[:, 4] - shared, 1e-12) > iou
    same: Array = over & (a_class[:, None] == b_class)
    return same

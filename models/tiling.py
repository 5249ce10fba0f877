"""Large pictures in overlapping tiles: where they lie, and how what was found in each becomes one finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.found import Found, joined
from models.recipe import Tiling
from models.session import Array

Window = tuple[int, int, int, int]
BORDER_PX = 3.0
"""An object that ends this near a tile's inner border may go on beyond it."""
INSIDE = 0.6
"""A cut object that lies inside another of its class by this share is a part of it."""
SEAM = 0.6
"""Two cut objects are one when their extents along the seam overlap by this share (IoU in one dimension)."""


def windows(wh: tuple[int, int], tiling: Tiling) -> list[Window]:
    """x0, y0, x1, y1 of the tiles of a picture of (w, h), rows first; evenly spread so that none is smaller than the rest.

    A picture not larger than one tile is one window; else the whole picture comes last when the tiling asks for it.
    """
    w, h = wh
    xs, ys = _starts(w, tiling), _starts(h, tiling)
    tiles = [(x, y, min(w, x + tiling.side), min(h, y + tiling.side)) for y in ys for x in xs]
    return [*tiles, (0, 0, w, h)] if len(tiles) > 1 and tiling.whole else tiles


def _starts(length: int, tiling: Tiling) -> list[int]:
    if length <= tiling.side:
        return [0]
    step = max(1, round(tiling.side * (1 - tiling.overlap_micro / 1e6)))
    n = -(-(length - tiling.side) // step) + 1
    return [round(i * (length - tiling.side) / (n - 1)) for i in range(n)]


def merge(parts: Sequence[Found], where: Sequence[Window], wh: tuple[int, int], *, iou: float) -> Found:
    """One finding of all windows', in source pixels, strongest first.

    Of objects seen twice the stronger stays (overlap over `iou`); an object cut by a tile's border gives way to another of
    its class that holds it; two halves that meet at a seam become one with the bounds of both and the better score. Masks
    and points are the stronger half's: halves of a mask are not sewn.
    """
    if len(parts) == 1:
        return parts[0]
    cuts = [_cut(part.boxes, window, wh) for part, window in zip(parts, where, strict=True)]
    filled = [i for i, part in enumerate(parts) if len(part)]
    if not filled:
        return parts[0]
    scores = np.concatenate([parts[i].scores for i in filled])
    cut = np.concatenate([cuts[i] for i in filled])[np.argsort(-scores, kind="stable")]
    every = joined(parts)
    boxes = every.boxes.copy()
    alive = np.ones(len(every), bool)
    for i in range(len(every)):
        if not alive[i]:
            continue
        # Sewing makes the box larger, so what it overlaps is looked for again until nothing changes.
        while True:
            rest = np.flatnonzero(alive & (every.classes == every.classes[i]))
            rest = rest[rest > i]
            if not len(rest):
                break
            same, over = _compared(boxes[i], cut[i], boxes[rest], cut[rest], iou)
            alive[rest[same]] = False
            if not over.any():
                break
            for j in rest[over & ~same]:
                # A side of both together is cut where the one that reaches farther is.
                farther = np.concatenate([boxes[j, :2] < boxes[i, :2], boxes[j, 2:] > boxes[i, 2:]])
                boxes[i, farther] = boxes[j, farther]
                cut[i, farther] = cut[j, farther]
                alive[j] = False
    return replace(every, boxes=boxes).take(alive)


def _cut(boxes: Array, window: Window, wh: tuple[int, int]) -> Array:
    """Which sides (left, top, right, bottom) of each box end at a border of the window that is not the picture's: bool (n, 4)."""
    inner = np.array([window[0] > 0, window[1] > 0, window[2] < wh[0], window[3] < wh[1]])
    near = np.abs(boxes - np.array(window, float)) <= BORDER_PX
    found: Array = near & inner
    return found


def _compared(box: Array, cut: Array, rest: Array, cuts: Array, iou: float) -> tuple[Array, Array]:
    """Which of the rest are the same object as `box` and go, and which are its other half: two bool (n,)."""
    low, high = np.maximum(box[:2], rest[:, :2]), np.minimum(box[2:], rest[:, 2:])
    sides = np.maximum(high - low, 0.0)
    shared = sides.prod(axis=1)
    own = float((box[2] - box[0]) * (box[3] - box[1]))
    areas = (rest[:, 2] - rest[:, 0]) * (rest[:, 3] - rest[:, 1])
    same = shared / np.maximum(own + areas - shared, 1e-12) > iou
    same |= cuts.any(axis=1) & (shared / np.maximum(areas, 1e-12) >= INSIDE)
    halves = np.zeros(len(rest), bool)
    span = np.maximum(box[2:], rest[:, 2:]) - np.minimum(box[:2], rest[:, :2])
    along = sides / np.maximum(span, 1e-12)
    touching = shared > 0
    for axis in (0, 1):
        facing = (cut[axis] & cuts[:, axis + 2]) | (cut[axis + 2] & cuts[:, axis])
        halves |= touching & facing & (along[:, 1 - axis] >= SEAM)
    # The stronger one may itself be a part of a weaker whole: the whole's bounds are taken.
    halves |= bool(cut.any()) & ~cuts.any(axis=1) & (shared / max(own, 1e-12) >= INSIDE)
    return same & ~halves, halves

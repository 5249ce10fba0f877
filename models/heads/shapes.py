"""What heads share beside boxes: prototype masks, key points, turned boxes; and looks at the values of an output."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from models.found import Found
from models.heads.look import Look, Output
from models.session import Array

MAX_MASKS = 300
"""Masks of one picture; each is a grid of up to 320 x 320 numbers."""
SPAN = 1024.0
"""Of what a mask's numbers before the sigmoid are told apart, half on each side of 0."""
ROWS = 512
"""Of the table of overlaps of turned boxes computed at once."""
EPS = 1e-7


def range_of(columns: Array) -> tuple[Array, Array]:
    """Least and greatest finite value of each column of (columns, n), as float64 (columns,); 0 where there is none."""
    if not columns.size:
        return np.zeros(len(columns)), np.zeros(len(columns))
    wide = columns.astype(np.float64)
    finite = np.isfinite(wide)
    some = finite.any(axis=1)
    low = np.where(finite, wide, np.inf).min(axis=1)
    high = np.where(finite, wide, -np.inf).max(axis=1)
    return np.where(some, low, 0.0), np.where(some, high, 0.0)


def prototypes(look: Look) -> Output | None:
    """The output (1, masks, h / s, w / s) that holds prototype masks: the only one on a grid of the input's shape."""
    w, h = look.wh
    fitting = [
        out
        for out in look.outputs
        if out.value.ndim == 4
        and out.value.dtype.kind == "f"
        and out.value.shape[1] > 1
        and any((out.value.shape[3] * s, out.value.shape[2] * s) == (w, h) for s in (2, 4, 8))
    ]
    return fitting[0] if len(fitting) == 1 else None


def masked(found: Found, coefficients: Array, protos: Array, wh: tuple[int, int]) -> Found:
    """The objects with their masks: prototypes weighted by coefficients (Bolya et al., YOLACT, arXiv 1904.02689).

    Not through a sigmoid but straight: they are enlarged as the network gave them, and 0 is where its sigmoid is 0.5.

    Args:
        found: in input pixels, strongest first.
        coefficients: (n, masks). protos: (masks, h, w), covering the input of (w, h) px.
    """
    if len(found) > MAX_MASKS:
        found, coefficients = found.take(np.arange(MAX_MASKS)), coefficients[:MAX_MASKS]
    count, h, w = protos.shape
    flat = np.asarray(protos, np.float32).reshape(count, h * w)
    grids = np.asarray(coefficients / SPAN, np.float32) @ flat
    grids += np.float32(0.5)
    np.clip(grids, 0, 1, out=grids)
    windows = np.tile(np.array([0.0, 0.0, *wh]), (len(found), 1))
    return replace(found, masks=grids.reshape(len(found), h, w), windows=windows)


def points(numbers: Array, count: int, dims: int) -> Array:
    """Key points float64 (n, count, 3) of (n, count * dims); without a visibility each counts as seen."""
    out = np.ones((len(numbers), count, 3))
    out[:, :, :dims] = numbers[:, : count * dims].reshape(len(numbers), count, dims)
    np.clip(out[:, :, 2], 0, 1, out=out[:, :, 2])
    return out


def quads(xywhr: Array) -> Array:
    """Corners float64 (n, 4, 2) of turned boxes (n, 5) cx, cy, w, h, angle in radians, clockwise from its own top left."""
    cos, sin = np.cos(xywhr[:, 4]), np.sin(xywhr[:, 4])
    across = np.stack([cos, sin], axis=1) * (xywhr[:, 2:3] / 2)
    down = np.stack([-sin, cos], axis=1) * (xywhr[:, 3:4] / 2)
    centre = xywhr[:, :2]
    return np.stack(
        [centre - across - down, centre + across - down, centre + across + down, centre - across + down],
        axis=1,
    )


def oriented(xywhr: Array, scores: Array, classes: Array) -> Found:
    """Findings of turned boxes, with their upright bounds. A turn of a half is none: the angle is brought to 0..pi/2."""
    angle = np.mod(xywhr[:, 4], math.pi)
    swap = angle >= math.pi / 2
    sides = np.where(swap[:, None], xywhr[:, [3, 2]], xywhr[:, 2:4])
    corners = quads(np.concatenate([xywhr[:, :2], sides, (angle - swap * (math.pi / 2))[:, None]], axis=1))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return Found(boxes, np.minimum(scores, 1.0), classes, quads=corners)


def turned(rows: Array, scores: Array, angles: Array, *, score: float, iou: float, most: int) -> Found:
    """Oriented boxes of candidate rows after per-class suppression by the probabilistic IoU.

    Args:
        rows: float64 (n, 4 or more): cx, cy, w, h in input pixels. scores: (n, classes). angles: (n,) radians, clockwise.
    """
    n = len(rows)
    classes = scores.argmax(axis=1) if n else np.zeros(0, np.int64)
    best = scores[np.arange(n), classes]
    xywhr = np.concatenate([rows[:, :4], angles[:, None]], axis=1)
    good = np.flatnonzero((best >= score) & np.isfinite(xywhr).all(axis=1) & (xywhr[:, 2:4] > 0).all(axis=1))
    order = good[np.argsort(-best[good], kind="stable")[:most]]
    kept = order[_unhidden(xywhr[order], classes[order], iou)]
    return oriented(xywhr[kept], best[kept], classes[kept])


def _unhidden(xywhr: Array, classes: Array, iou: float) -> Array:
    """Indices that no stronger box of their class overlaps by iou or more, be that one itself hidden or not.

    So the exporter of oriented YOLOs does it ("fast NMS" of YOLACT), and its models are measured with it.
    Only pairs that lie near enough are compared: two Gaussians of greatest variances a and b whose centres are d apart have
    a Bhattacharyya distance of d^2 / 4(a + b) and more.

    Args:
        xywhr: float64 (n, 5), strongest first.
    """
    n = len(xywhr)
    cos, sin = np.cos(xywhr[:, 4]), np.sin(xywhr[:, 4])
    w, h = xywhr[:, 2] ** 2 / 12, xywhr[:, 3] ** 2 / 12
    cov = np.stack([w * cos**2 + h * sin**2, w * sin**2 + h * cos**2, (w - h) * cos * sin], axis=1)
    reach = np.maximum(w, h)
    # An IoU of at least iou means a Hellinger distance of at most 1 - iou.
    farthest = -4 * math.log(max(1 - (1 - iou) ** 2, 1e-12)) + 1e-6
    hidden = np.zeros(n, bool)
    for start in range(1, n, ROWS):
        weaker = np.arange(start, min(n, start + ROWS))
        other = np.arange(weaker[-1])
        gap = ((xywhr[weaker, None, :2] - xywhr[None, other, :2]) ** 2).sum(axis=2)
        near = gap <= farthest * (reach[weaker, None] + reach[None, other])
        near &= (classes[weaker, None] == classes[None, other]) & (other[None] < weaker[:, None])
        i, j = np.nonzero(near)
        i = weaker[i]
        over = _probabilistic_iou(xywhr[i, :2] - xywhr[j, :2], cov[i], cov[j]) >= iou
        hidden[i[over]] = True
    return np.flatnonzero(~hidden)


def _probabilistic_iou(apart: Array, a: Array, b: Array) -> Array:
    """1 - Hellinger distance of the Gaussians of two boxes (Llerena et al., arXiv 2106.06072): float64 (n,).

    Args:
        apart: (n, 2) from one centre to the other. a, b: (n, 3) variance of x, of y, covariance.
    """
    xx, yy, xy = (a + b).T
    dx, dy = apart.T
    det = xx * yy - xy**2
    distance = 0.25 * (xx * dy**2 + yy * dx**2 - 2 * xy * dx * dy) / (det + EPS)
    own = [np.maximum(c[:, 0] * c[:, 1] - c[:, 2] ** 2, 0) for c in (a, b)]
    distance = distance + 0.5 * np.log(det / (4 * np.sqrt(own[0] * own[1]) + EPS) + EPS)
    distance = np.clip(distance, EPS, 100)
    found: Array = 1 - np.sqrt(1 - np.exp(-distance) + EPS)
    return found

"""Outputs as heads other than YOLO's give them, made of sines; tests/models/data/heads.json is of these."""

from __future__ import annotations

import numpy as np

from tests.models.yolo_tables import Array, wave

SIDE = 128


def f32(values: Array) -> Array:
    return values.astype(np.float32)


def spread(rows: int, columns: int, seed: float, low: float, high: float) -> Array:
    """(rows, columns) between low and high, without visible order."""
    return f32(np.stack([wave(rows, seed + 1.7 * i) for i in range(columns)], axis=1) * (high - low) + low)


def queries(rows: int, classes: int) -> tuple[Array, Array]:
    """Boxes (1, rows, 4) in shares and logits (1, rows, classes), of which some are strong."""
    boxes = np.concatenate([spread(rows, 2, 3, 0.1, 0.9), spread(rows, 2, 7, 0.05, 0.4)], axis=1)
    return boxes[None], (spread(rows, classes, 11, 0, 1) ** 4 * 9 - 5)[None]


def distances(stride: int, classes: int) -> tuple[Array, Array]:
    """Logits (cells, classes) and distances (cells, 32) of one stride."""
    cells = (SIDE // stride) ** 2
    return f32(spread(cells, classes, stride, 0, 1) ** 6 * 7 - 5), spread(cells, 32, 40 + stride, -2, 2)


def face_grids() -> dict[str, Array]:
    """YuNet's twelve outputs by its own names, (1, cells, columns)."""
    out = {}
    for stride in (8, 16, 32):
        n = (SIDE // stride) ** 2
        out[f"cls_{stride}"] = spread(n, 1, stride, 0, 1)[None]
        out[f"obj_{stride}"] = spread(n, 1, stride + 1, 0, 1)[None]
        out[f"bbox_{stride}"] = np.concatenate([spread(n, 2, 5, -0.5, 0.5), spread(n, 2, 6, 0, 1)], axis=1)[
            None
        ]
        out[f"kps_{stride}"] = spread(n, 10, 9, -1, 1)[None]
    return out


def areas(classes: int, w: int, h: int) -> Array:
    """(1, classes, h, w) smooth scores."""
    y, x = np.mgrid[0:h, 0:w] / max(w, h)
    maps = [np.sin(5 * x * (1 + i) + i) * 2 + np.cos(4 * y * (2 + i) - i) for i in range(classes)]
    return f32(np.stack(maps))[None]


def priors(rows: int, classes: int) -> tuple[Array, Array]:
    """Corners (1, rows, 4) in shares and logits (1, rows, 1 + classes), class 0 being nothing."""
    corner = spread(rows, 2, 21, 0, 0.7)
    boxes = np.concatenate([corner, corner + spread(rows, 2, 23, 0.05, 0.3)], axis=1)
    scores = spread(rows, 1 + classes, 31, 0, 1) ** 12 * 6
    scores[:, 0] += 1
    return boxes[None], scores[None]

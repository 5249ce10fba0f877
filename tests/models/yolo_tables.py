"""Tables as YOLO heads give them, made of sines so that anybody can make them again; tests/models/data/yolo_heads.json is of these."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.heads.look import cells

Array = np.ndarray[Any, Any]
SIDE = 128
CLASSES = 3


def wave(n: int, seed: float) -> Array:
    """n numbers in 0..1 without visible order, float64."""
    at = np.arange(1, n + 1)
    found: Array = np.mod(np.abs(np.sin(at * 12.9898 + seed) * 43758.5453), 1.0)
    return found


def dense(rows: int, *, first: int = 4, classes: int = CLASSES) -> Array:
    """(rows, first + classes): boxes of 8 to 48 px around every place; scores of which about one in five is over 0.25."""
    out = np.empty((rows, first + classes))
    for i in range(2):
        out[:, i] = wave(rows, i + 1) * SIDE
        out[:, 2 + i] = 8 + 40 * wave(rows, i + 3)
    if first == 5:
        out[:, 4] = wave(rows, 9) ** 0.5
    for c in range(classes):
        out[:, first + c] = wave(rows, 20 + c) ** 6
    return out.astype(np.float32)


def points(rows: int, count: int) -> Array:
    """(rows, 3 * count) x, y in pixels, visibility."""
    out = np.stack([wave(rows, 50 + i) * (1 if i % 3 == 2 else SIDE) for i in range(3 * count)], axis=1)
    return out.astype(np.float32)


def angles(rows: int) -> Array:
    """(rows, 1) radians from -pi / 4 to 3 pi / 4."""
    return ((wave(rows, 77) - 0.25) * np.pi)[:, None].astype(np.float32)


def coefficients(rows: int, count: int) -> Array:
    """(rows, count) around 0."""
    return np.stack([wave(rows, 100 + i) * 2 - 1 for i in range(count)], axis=1).astype(np.float32)


def prototypes(count: int) -> Array:
    """(1, count, SIDE / 4, SIDE / 4) smooth waves of a few periods."""
    y, x = np.mgrid[0 : SIDE // 4, 0 : SIDE // 4] / (SIDE // 4)
    maps = [np.sin(2 * np.pi * (x * (1 + i % 3) + y * (1 + i // 3)) + i) * 3 for i in range(count)]
    return np.stack(maps)[None].astype(np.float32)


def raw(strides: tuple[int, ...] = (8, 16, 32)) -> list[Array]:
    """One (1, 3, h, w, 5 + CLASSES) a stride, before the sigmoid."""
    out = []
    for k, stride in enumerate(strides):
        n = SIDE // stride
        values = wave(3 * n * n * (5 + CLASSES), 200 + k).reshape(1, 3, n, n, 5 + CLASSES) * 6 - 4
        out.append(values.astype(np.float32))
    return out


def cases() -> dict[str, list[Array]]:
    """Outputs by case, the batch first."""
    grid = cells(SIDE, SIDE, (8, 16, 32))
    plain = dense(grid)
    return {
        "v8 detect": [plain.T[None]],
        "v8 P2": [dense(cells(SIDE, SIDE, (4, 8, 16, 32))).T[None]],
        "v8 P6": [dense(cells(SIDE, SIDE, (8, 16, 32, 64))).T[None]],
        "v3-tiny": [dense(cells(SIDE, SIDE, (16, 32))).T[None]],
        "v8 segment": [np.concatenate([plain, coefficients(grid, 8)], axis=1).T[None], prototypes(8)],
        "v8 pose": [np.concatenate([plain[:, :5], points(grid, 5)], axis=1).T[None]],
        "v8 obb": [np.concatenate([plain, angles(grid)], axis=1).T[None]],
        "v5 detect": [dense(3 * grid, first=5)[None]],
        "v5 raw": raw(),
    }

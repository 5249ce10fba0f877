"""Semantic segmentation: a score for each class at each place, or the class itself; one mask a class that is there.

Told by its only real output (1, classes, h, w) or (1, h, w) of the input's size or an even part of it (down to 1/32).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from models.card import ModelCard
from models.found import Found, nothing
from models.heads.look import HOW_MANY, Look, Match, Output, Question, entered, number
from models.session import Array

LARGEST_PART = 32
SOFTMAX, SIGMOID, NONE, INDEX = 0, 1, 2, 3
MAX_CLASSES = 512


def match(look: Look) -> Match | None:
    """One output that is a map of the input."""
    maps = [(out, shape) for out in look.outputs if (shape := _map(out, look.wh)) is not None]
    if len(maps) != 1:
        return None
    out, (channels, h, w) = maps[0]
    if out.value.dtype.kind in "iu":
        kind, n = (
            INDEX,
            len(look.names) or number(look, "classes", max(2, int(out.value.max()) + 1)),
        )
    else:
        low, high = float(out.value.min()), float(out.value.max())
        summing = channels > 1 and bool(np.allclose(out.value[0].sum(axis=0), 1.0, atol=1e-2))
        if channels == 1:
            kind, n = (NONE if low >= 0 and high <= 1 else SIGMOID), 1
        else:
            kind, n = (NONE if summing else SOFTMAX), channels
    asks = []
    spare = -1
    if n > 1:
        named = next(
            (i for i, name in enumerate(look.names) if name.lower() in ("background", "__background__")), None
        )
        told = look.answers.get("background", "none" if named is None else str(named))
        asks.append(
            Question("background", "the number of the class that is no object (0, 1, …), or none", (), told)
        )
        spare = -1 if told == "none" else number(look, "background", named or 0, least=0, most=n - 1)
    if kind == INDEX and not look.names:
        asks.append(Question("classes", HOW_MANY, (), str(n)))
    why = (
        f"its output is a map of {w}x{h} places with a class number each"
        if kind == INDEX
        else f"its output is a map of {w}x{h} places with {n} scores each"
    )
    found = Match(
        "semantic", "semantic", (("map", out.name),), n, head=(("kind", kind), ("background", spare)), score_micro=500_000,
        why=(why,), asks=tuple(asks),
    )  # fmt: skip
    return entered(look, found, fit="stretch", scale="imagenet", asking=("fit", "range"))


def _map(out: Output, wh: tuple[int, int]) -> tuple[int, int, int] | None:
    """(channels, h, w) of a map of the whole input."""
    shape = out.value.shape
    if len(shape) not in (3, 4) or shape[0] != 1 or out.value.dtype.kind not in "fiu":
        return None
    channels = shape[1] if len(shape) == 4 else 1
    h, w = shape[-2:]
    if out.value.dtype.kind == "f" and len(shape) == 3:
        return None
    fits = (
        channels <= MAX_CLASSES
        and h > 1
        and w > 1
        and wh[0] / w == wh[1] / h
        and 1 <= wh[0] / w <= LARGEST_PART
    )
    return (channels, h, w) if fits else None


def decode(outputs: Mapping[str, Array], card: ModelCard, *, score: float, iou: float) -> Found:
    """One mask for each class that is anywhere the likeliest, its score the mean probability there.

    Args:
        outputs: "map" (classes, h, w), or (h, w) or (1, h, w) class numbers.
    """
    grid, kind, spare = outputs["map"], card.get("kind"), card.get("background", -1)
    w, h = card.input_wh
    if kind == INDEX:
        numbers = grid.reshape(grid.shape[-2:]).astype(np.int64)
        lead, likely = None, np.ones(numbers.shape)
    else:
        numbers, lead, likely = _at_input_size(grid.astype(np.float32), kind, (w, h))
    found = []
    for k in np.unique(numbers).tolist():
        if k < 0 or k == spare or k >= len(card.labels):
            continue
        here = numbers == k
        mean = float(likely[here].mean())
        if mean < score:
            continue
        ys, xs = np.nonzero(here)
        step = np.array([w / here.shape[1], h / here.shape[0]])
        box = np.concatenate([[xs.min(), ys.min()] * step, [xs.max() + 1, ys.max() + 1] * step])
        found.append((mean, k, box, here.astype(np.float32) if lead is None else lead(k)))
    if not found:
        return nothing()
    found.sort(key=lambda one: -one[0])
    return Found(
        np.array([one[2] for one in found]), np.array([min(1.0, one[0]) for one in found]),
        np.array([one[1] for one in found], np.int64), masks=np.stack([one[3] for one in found]),
        windows=np.tile(np.array([0.0, 0.0, w, h]), (len(found), 1)),
    )  # fmt: skip


def _at_input_size(
    grid: Array, kind: int, wh: tuple[int, int]
) -> tuple[Array, Callable[[int], Array], Array]:
    """Class of each place (-1 = none), the lead of a class over the best other as a grid over 0.5 where it wins, and the
    winner's probability. Scores are enlarged before they are compared: the other way borders would follow the coarse map.

    One class after the other: all of them at this size would take hundreds of megabytes.
    """
    n = len(grid)
    if n == 1:
        soft = _enlarged(grid[0], wh) if kind == NONE else _sigmoid(_enlarged(grid[0], wh))
        return np.where(soft > 0.5, 0, -1), lambda _: soft, soft
    best = _enlarged(grid[0], wh)
    second = np.full_like(best, -np.inf)
    numbers = np.zeros(best.shape, np.int64)
    total = np.ones_like(best)  # of exp(score - best)
    for k in range(1, n):
        one = _enlarged(grid[k], wh)
        wins = one > best
        total = np.where(wins, total * np.exp(best - one) + 1, total + np.exp(one - best))
        second = np.where(wins, best, np.maximum(second, one))
        numbers[wins] = k
        best = np.maximum(best, one)
    likely = best if kind == NONE else 1 / total

    def lead(k: int) -> Array:
        one = _enlarged(grid[k], wh)
        return 0.5 + np.clip(np.where(numbers == k, one - second, one - best), -0.5, 0.5).astype(np.float32)

    return numbers, lead, likely


def _enlarged(plane: Array, wh: tuple[int, int]) -> Array:
    return np.asarray(cv2.resize(plane, wh, interpolation=cv2.INTER_LINEAR), np.float32)


def _sigmoid(values: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -60, 60))), np.float32)

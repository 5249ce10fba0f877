"""How sure average precision is: the bootstrap over pictures (Efron, 1979), of one model or of the difference of two.

A picture is drawn or not as a whole, because what is on one picture hangs together. Two models are drawn with the same
pictures each time, so what makes a picture hard for both falls out of their difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from annotation.errors import InvalidInput
from annotation.evaluation import IOUS, Tally, curve, marked

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 500
FEWEST = 40
BUDGET = 1e9
"""Predictions times thresholds times draws that are gone through: some ten seconds. Above it fewer draws are made."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the bounds of 95 % of the draws; `above` = share of draws above 0.

    The draws are moved so that their mean is the figure: a picture drawn twice makes the steps of a precision curve
    higher, so that the mean of the draws lies above the figure by more than their spread when there are many pictures.
    """

    value: float
    low: float
    high: float
    above: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Intervals of AP and AP50 over all classes ("" as key) and of each class; None = not defined. draws: how many."""

    ap: dict[str, Interval | None]
    ap50: dict[str, Interval | None]
    draws: int


def spread(tallies: Sequence[Tally], *, draws: int = DRAWS, seed: int = 0) -> Spread:
    """The intervals of one model, or of the second minus the first of two that saw the same pictures in the same order.

    Raises:
        InvalidInput: the two did not.
    """
    first, last = tallies[0], tallies[-1]
    if first.classes != last.classes or first.keys != last.keys:
        raise InvalidInput("two models are compared on the same pictures and classes")
    size = max(sum(len(m.scores) for m in t.marks) for t in tallies) * len(IOUS) * len(tallies)
    n = int(min(draws, max(FEWEST, BUDGET / max(size, 1))))
    rng = np.random.default_rng(seed)
    pictures = len(first)
    samples: list[NDArray[np.float64]] = []
    told = [[_Class(t, k) for k in range(len(t.classes))] for t in tallies]
    for i in range(n + 1 if pictures else 0):
        weight = np.ones(pictures)
        if i:
            weight[:] = np.bincount(rng.integers(0, pictures, pictures), minlength=pictures)
        each = [np.array([c.precision(weight) for c in classes]).reshape(-1, 2) for classes in told]
        whole = [np.vstack([_mean(one), one]) for one in each]
        samples.append(whole[-1] - whole[0] if len(whole) > 1 else whole[0])
    table = np.array(samples).reshape(-1, len(first.classes) + 1, 2)
    names = ("", *first.classes)
    ap, ap50 = ({name: _interval(table[:, k, which]) for k, name in enumerate(names)} for which in (0, 1))
    return Spread(ap, ap50, n)


class _Class:
    """One class of a tally, sorted once."""

    def __init__(self, tally: Tally, place: int) -> None:
        self.truth, self.images, self.hits, self.outs = marked(tally, place)

    def precision(self, weight: NDArray[np.float64]) -> tuple[float, float]:
        """(AP, AP50) when each picture counts as often as `weight` says; NaN without truth."""
        given = float(weight[self.truth].sum())
        if not given:
            return float("nan"), float("nan")
        mine = weight[self.images]
        steps = [
            curve(hit, out, given, mine)[0].mean() for hit, out in zip(self.hits, self.outs, strict=True)
        ]
        return float(np.mean(steps)), float(steps[0])


def _mean(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    defined = ~np.isnan(rows[:, 0])
    return rows[defined].mean(axis=0) if defined.any() else np.full(2, np.nan)


def _interval(values: NDArray[np.float64]) -> Interval | None:
    """From the figure itself (first) and the draws."""
    if not len(values) or np.isnan(values[0]):
        return None
    drawn = values[1:][~np.isnan(values[1:])]
    if not len(drawn):
        return None
    drawn = drawn - drawn.mean() + values[0]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Interval(float(values[0]), float(low), float(high), float((drawn > 0).mean()))

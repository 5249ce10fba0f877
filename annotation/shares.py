"""How sure a share is: Wilson's interval; and figures of a stream of pictures by the Poisson bootstrap, in flat memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Z95 = 1.959963984540054
"""Quantile of the normal distribution for 95 %."""
DRAWS = 200


def wilson(hits: int, n: int) -> tuple[float, float] | None:
    """Bounds of a share hits/n at 95 % (Wilson, 1927); None without a sample.

    It never leaves 0..1 and is sound for few cases and for shares near 0 and 1, where the usual ± is not.
    """
    if n <= 0:
        return None
    p, z2 = hits / n, Z95 * Z95
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half))


class Draws:
    """Sums over pictures, and the same sums with each picture drawn Poisson(1) times, DRAWS times over.

    The bootstrap over pictures (Efron, 1979) for data that pass by once (Chamandy and others, 2012): memory is
    columns x draws whatever their number. Equal input and seed give equal figures.
    """

    def __init__(self, columns: int, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.total: NDArray[np.float64] = np.zeros(columns)
        self.drawn: NDArray[np.float64] = np.zeros((DRAWS, columns))
        self.n = 0

    def add(self, rows: NDArray[np.float64]) -> None:
        """Take the rows (pictures, columns) of some pictures."""
        if len(rows):
            weights = self._rng.poisson(1.0, (DRAWS, len(rows))).astype(np.float64)
            self.total += rows.sum(axis=0)
            self.drawn += weights @ rows
            self.n += len(rows)

    def bounds(self, figure: NDArray[np.float64]) -> tuple[float, float] | None:
        """The middle 95 % of a figure of each draw; draws that do not define it (NaN) are left out."""
        defined = figure[np.isfinite(figure)]
        if self.n < 2 or not len(defined):
            return None
        low, high = np.percentile(defined, (2.5, 97.5))
        return float(low), float(high)


def evenness(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pielou's evenness of the last axis, H / ln K with H = −Σ p ln p over the K classes that occur; 1 = all alike.

    NaN where fewer than two classes occur.
    """
    counts = np.atleast_2d(counts)
    total = counts.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = counts / total
        h = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0).sum(axis=1)
        k = (counts > 0).sum(axis=1)
        return np.where(k > 1, h / np.log(np.maximum(k, 2)), np.nan)

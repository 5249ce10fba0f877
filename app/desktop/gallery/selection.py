"""Which positions of a list are chosen: a few runs, however many they hold."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator


class Selection:
    """Runs first..end-1, in order and apart."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []

    def __len__(self) -> int:
        return sum(self._ends) - sum(self._firsts)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __contains__(self, position: object) -> bool:
        if not isinstance(position, int):
            return False
        i = bisect_right(self._firsts, position) - 1
        return i >= 0 and position < self._ends[i]

    def __iter__(self) -> Iterator[int]:
        for first, end in self.spans():
            yield from range(first, end)

    def spans(self) -> list[tuple[int, int]]:
        """The runs (first, end)."""
        return list(zip(self._firsts, self._ends, strict=True))

    def clear(self) -> None:
        """Choose nothing."""
        self._firsts, self._ends = [], []

    def only(self, first: int, end: int) -> None:
        """Choose one run."""
        self._firsts, self._ends = ([first], [end]) if end > first else ([], [])

    def add(self, first: int, end: int) -> None:
        """Choose a run too."""
        self._take(first, end)
        spans = sorted([*self.spans(), (first, end)])
        merged: list[list[int]] = []
        for a, b in spans:
            if merged and a <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], b)
            else:
                merged.append([a, b])
        self._firsts, self._ends = [a for a, _ in merged], [b for _, b in merged]

    def toggle(self, position: int) -> None:
        """Choose one position, or no longer."""
        if position in self:
            self._take(position, position + 1)
        else:
            self.add(position, position + 1)

    def _take(self, first: int, end: int) -> None:
        out = []
        for a, b in self.spans():
            out += [(x, y) for x, y in ((a, min(b, first)), (max(a, end), b)) if y > x]
        self._firsts, self._ends = [a for a, _ in out], [b for _, b in out]

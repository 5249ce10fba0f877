"""How long the rest will take, from the rate of the last minute: a slow start or a pause does not spoil the estimate."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

SPAN_S = 60.0
LEAST_S = 1.0
"""Before so much time has passed nothing is said: the first pictures tell nothing."""


class Pace:
    """Counts of what is done with their times."""

    def __init__(self, done: int = 0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque([(clock(), done)])

    def note(self, done: int) -> None:
        """So much is done now."""
        now = self._clock()
        # Not every call is kept: a hundred points a minute tell the rate.
        if len(self._seen) < 2 or now - self._seen[-2][0] >= SPAN_S / 100:
            self._seen.append((now, done))
        else:
            self._seen[-1] = (now, done)
        while len(self._seen) > 2 and now - self._seen[1][0] >= SPAN_S:
            self._seen.popleft()

    def rest(self, done: int) -> None:
        """Work paused and goes on now: the time between does not count."""
        self._seen = deque([(self._clock(), done)])

    @property
    def rate(self) -> float | None:
        """Items a second over the last minute; None while too little is known."""
        (t0, n0), (t1, n1) = self._seen[0], self._seen[-1]
        return (n1 - n0) / (t1 - t0) if t1 - t0 >= LEAST_S and n1 > n0 else None

    def left_s(self, total: int | None) -> float | None:
        """Seconds for the rest of `total` at this rate."""
        rate = self.rate
        return None if rate is None or total is None else max(0, total - self._seen[-1][1]) / rate

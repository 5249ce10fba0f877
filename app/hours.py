"""When machine work may run: hours of the day in local time, across midnight too, and the clock that is asked."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from annotation.errors import InvalidInput

DAY = 24 * 60
_SPELLED = re.compile(r"\s*(\d{1,2}):(\d{2})\s*[-–~]\s*(\d{1,2}):(\d{2})\s*\Z")


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of day and a way to wait; tests bring their own."""

    now: Callable[[], datetime]
    wait: Callable[[float], None]


CLOCK = Clock(datetime.now, time.sleep)
"""Local time. Naive on purpose: "22:00" means what the clock on the wall says, on the day the clocks change too."""


@dataclass(frozen=True, slots=True)
class Hours:
    """From `start` to `end`, minutes after midnight; end <= start goes across midnight. `end` itself is outside."""

    start: int
    end: int

    def closed_s(self, now: datetime) -> float:
        """Seconds until work may run: 0 while it may."""
        at = now.hour * 60 + now.minute + (now.second + now.microsecond / 1e6) / 60
        length = (self.end - self.start) % DAY
        if (at - self.start) % DAY < length:
            return 0.0
        return ((self.start - at) % DAY) * 60

    @property
    def opens(self) -> str:
        """The time it opens, as on a clock."""
        return f"{self.start // 60:02d}:{self.start % 60:02d}"


def parse(text: str) -> Hours | None:
    """Hours from "22:00-06:00"; None from "".

    Raises:
        InvalidInput: it is not two times of a day, or they are the same.
    """
    if not text.strip():
        return None
    found = _SPELLED.match(text)
    parts = [int(p) for p in found.groups()] if found else [99]
    if found is None or max(parts[0], parts[2]) > 24 or max(parts[1], parts[3]) > 59:
        raise InvalidInput(f"{text!r} are no hours of a day", remedy="for example 22:00-06:00")
    start, end = parts[0] * 60 + parts[1], parts[2] * 60 + parts[3]
    if max(start, end) > DAY or (start - end) % DAY == 0:
        raise InvalidInput(f"{text!r} are no hours of a day", remedy="for example 22:00-06:00")
    return Hours(start % DAY, end % DAY)

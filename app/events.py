"""What long work says while it runs, and what changed: one small vocabulary for CLI, desk and worker."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Started:
    """Work begins. `total` is the number of items, or None while it is unknown."""

    title: str
    total: int | None = None
    job: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` items; `note` in a few words (rate, bottleneck). At most about ten a second.

    left_s: seconds that the rest will take at the rate of the last minute, where the work can tell.
    work: what the result will tell in the end, as it stands: rate, busy share of each stage, bottleneck, provider.
    """

    done: int
    total: int | None = None
    note: str = ""
    left_s: float | None = None
    work: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Warned:
    """One item could not be used; the work goes on. `what` is one line, `where` names the item."""

    what: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a call changed. Panels refresh from it.

    Attributes:
        revision: the newest revision this change made (0 = the record was not changed).
        assets: ids of the assets touched, empty when `everything`.
        datasets: ids of the datasets touched.
        everything: too many to list.
    """

    revision: int = 0
    assets: tuple[int, ...] = ()
    datasets: tuple[int, ...] = ()
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """Work ended. `result` holds plain JSON values only; `problems` > 0 means done in part."""

    result: Mapping[str, object] = field(default_factory=dict)
    changes: Changes = Changes()
    problems: int = 0


Event = Started | Progress | Warned | Finished
Work = Generator[Event, None, None]
"""Long work: iterate it to run it, `.close()` it to cancel. Failure is an exception (LamproomError = the person's fault)."""

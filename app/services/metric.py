"""One figure of a quality report: its value, sample size and 95 % interval."""

from __future__ import annotations

from dataclasses import dataclass

from annotation import shares


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure.

    Attributes:
        id: names it and its formula. value: None = not known, see `why`.
        n: sample size; of: what is sampled ("pictures", "objects" …). hits: numerator of a share.
        low, high: 95 % interval by `method`: "wilson", "bootstrap" or "" (a count needs none).
        about: what of (a class, a model); "" = the whole version.
    """

    id: str
    value: float | None
    n: int
    of: str
    hits: int | None = None
    low: float | None = None
    high: float | None = None
    method: str = ""
    about: str = ""
    why: str = ""


def share(id: str, hits: int, n: int, of: str, *, about: str = "", why: str = "") -> Metric:
    """hits / n with Wilson's interval; None of nothing."""
    bounds = shares.wilson(hits, n)
    low, high = bounds or (None, None)
    return Metric(
        id,
        hits / n if n else None,
        n,
        of,
        hits,
        low,
        high,
        "wilson" if n else "",
        about,
        "" if n else why or "nothing to count",
    )

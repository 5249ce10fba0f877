"""Ranks what a person may mean by a few typed letters: names in both languages, pinyin, letters in order."""

from __future__ import annotations

from collections.abc import Sequence

from app.desktop import pinyin

OTHER, WORDS = 0.92, 0.7
"""What a hit is worth in the name of the other language, and in further words."""


def score(typed: str, names: Sequence[str], words: str = "") -> float | None:
    """How well the typed words fit, 0 to about 110; None when one of them fits nothing.

    Args:
        typed: what was typed, in any case.
        names: the name as it is shown, then its other names.
        words: more words it is found by.
    """
    total = 0.0
    parts = typed.casefold().split()
    for part in parts:
        found = [_name(part, name) * (1.0 if i == 0 else OTHER) for i, name in enumerate(names)]
        found.append(WORDS * max((_name(part, word) for word in words.split()), default=0.0))
        best = max(found, default=0.0)
        if not best:
            return None
        total += best
    whole = max(
        (_name(" ".join(parts), name) * (1.0 if i == 0 else OTHER) for i, name in enumerate(names)),
        default=0.0,
    )
    return max(total / max(1, len(parts)), whole)


def _name(part: str, name: str) -> float:
    low = name.casefold()
    if not low:
        return 0.0
    covered = 10.0 * min(1.0, len(part) / len(low))
    at = low.find(part)
    if at == 0:
        return 100.0 + covered
    if at > 0:
        return (82.0 if not low[at - 1].isalnum() else 64.0) + covered
    if part.isascii():
        if spelt := pinyin.spells(part, low):
            return max(40.0, 92.0 - 8.0 * (spelt - 1)) + covered / 2
        return _scattered(part, low)
    return 80.0 if pinyin.spells(part, low) == 1 else 60.0 if pinyin.spells(part, low) else 0.0


def _scattered(part: str, low: str) -> float:
    """Letters in their order, beginning at a word: `nxp` for "next picture". Initials of words count most."""
    if len(part) < 2:
        return 0.0
    at, initials, first = -1, 0, -1
    for letter in part:
        begin = next(
            (i for i in range(at + 1, len(low)) if low[i] == letter and (i == 0 or not low[i - 1].isalnum())),
            -1,
        )
        plain = low.find(letter, at + 1)
        if plain < 0:
            return 0.0
        if begin >= 0 and (plain != at + 1 or first < 0):
            at, initials = begin, initials + 1
        else:
            at = plain
        first = at if first < 0 else first
    if first > 0 and low[first - 1].isalnum():
        return 0.0
    spread = (at - first + 1) / len(part)
    return (
        max(0.0, 50.0 * initials / len(part) + 12.0 - spread)
        if initials * 2 >= len(part) or spread < 2
        else 0.0
    )

"""Chinese by its sound: every reading of a character, in plain letters, and whether typed letters spell a text.

The table of readings comes from pypinyin (see app/DECISIONS.md); it is loaded at the first use, 40 ms and 12 MB.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from functools import cache


@cache
def _table() -> Mapping[int, str]:
    # Its table of phrases (45 MB more) only tells which of several readings is meant; here any of them may be typed.
    os.environ.setdefault("PYPINYIN_NO_PHRASES", "1")
    os.environ.setdefault("PYPINYIN_NO_DICT_COPY", "1")
    from pypinyin.constants import PINYIN_DICT

    found: Mapping[int, str] = PINYIN_DICT
    return found


@cache
def readings(character: str) -> tuple[str, ...]:
    """Every reading of a character without tones, ü as v and as u: 重 -> ("zhong", "chong", "tong"); () when it has none."""
    if character < "\u3400":
        return ()
    found: dict[str, None] = {}
    for one in _table().get(ord(character), "").split(","):
        parts = unicodedata.normalize("NFD", one)
        for plain in (parts.replace("u\u0308", "v"), parts):  # ü is typed as v or as u
            if letters := "".join(c for c in plain if "a" <= c <= "z"):
                found[letters] = None
    return tuple(found)


@cache
def _units(text: str) -> tuple[tuple[str, ...], ...]:
    """What may be typed for each character that is no gap."""
    return tuple((*readings(c), c) for c in text.casefold() if c.isalnum())


def spells(typed: str, text: str) -> int:
    """Where the typed letters begin to spell the text: 1 at its first character, 2 at its second …; 0: nowhere.

    Each character takes a beginning of one of its readings (x, xi, xia for 下) or itself, so `xyz`, `xiayizhang` and
    `下yz` all spell 下一张. A text without a single Chinese character is not spelt.
    """
    units = _units(text)
    typed = typed.casefold()
    if not typed or not any(len(u) > 1 for u in units):
        return 0

    @cache
    def rest(at: int, unit: int) -> bool:
        if at == len(typed):
            return True
        if unit == len(units):
            return False
        for reading in units[unit]:
            for n in range(min(len(reading), len(typed) - at), 0, -1):
                if typed.startswith(reading[:n], at) and rest(at + n, unit + 1):
                    return True
        return False

    return next((start + 1 for start in range(len(units)) if rest(0, start)), 0)

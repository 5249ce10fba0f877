"""Which picture belongs to which: names by which visible and thermal, before and after are told apart. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

PAIRS = (
    ("visible", "thermal"),
    ("visible", "infrared"),
    ("visible", "ir"),
    ("vis", "ir"),
    ("vis", "tir"),
    ("rgb", "thermal"),
    ("rgb", "tir"),
    ("rgb", "ir"),
    ("rgb", "depth"),
    ("before", "after"),
    ("v", "t"),
    ("w", "t"),
    ("z", "t"),
    ("可见光", "热像"),
    ("可见光", "红外"),
    ("可见光", "热红外"),
    ("前", "后"),
)
"""Words that tell the two of a pair apart, either way round."""
ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
MOST = 400
"""Names tried for one picture."""


def candidates(path: str) -> list[str]:
    """Paths a picture's partner may have, likeliest first: a word swapped in the name, in a folder, in both, or added.

    `visible/0001.jpg` gives `thermal/0001.jpg`, `0001_V.JPG` gives `0001_T.JPG`, `0001.jpg` gives `0001_ir.png`.
    """
    place = PurePosixPath(path)
    found: dict[str, None] = {}
    for stem in _renamed(place):
        for ending in (place.suffix, *_endings(place.suffix)):
            one = f"{stem}{ending}"
            if one != path and len(found) < MOST:
                found[one] = None
    return list(found)


def _endings(suffix: str) -> Iterator[str]:
    for ending in ENDINGS:
        yield ending.upper() if suffix.isupper() else ending


def _renamed(place: PurePosixPath) -> Iterator[str]:
    """Paths without their ending."""
    folder, stem = str(place.parent), place.stem
    base = "" if folder == "." else f"{folder}/"
    for a, b in PAIRS:
        for word, other in ((a, b), (b, a)):
            name, way = _swapped(stem, word, other), _swapped(base, word, other)
            if name:
                yield base + name
            if way:
                yield way + stem
            if name and way:
                yield way + name
    for a, b in PAIRS:
        for word in (a, b):
            if not word.isascii():
                continue
            for one in (f"_{word}", f"-{word}", f"_{word.upper()}", f"-{word.upper()}"):
                if stem.endswith(one):
                    yield base + stem[: -len(one)]
                elif len(word) > 1 or one.isupper():
                    yield base + stem + one


def _swapped(text: str, word: str, other: str) -> str:
    """The text with the last `word` replaced, "" when it is not there. A Latin word must stand alone between other signs."""
    pattern = re.escape(word) if not word.isascii() else rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])"
    hits = list(re.finditer(pattern, text, re.IGNORECASE))
    if not hits:
        return ""
    hit = hits[-1]
    same = hit.group()
    new = other.upper() if same.isupper() else other.capitalize() if same[:1].isupper() else other
    return text[: hit.start()] + new + text[hit.end() :]

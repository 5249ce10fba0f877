"""Names of exported pictures: such as every system takes, and no two that one system takes for one."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from array import array
from collections.abc import Callable
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

MAX_PART = 200
"""Bytes of a part of a path in UTF-8; systems take 255, and formats add suffixes."""
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"\\|?*]')
_PLAIN = re.compile(r"[A-Za-z0-9_@+=()-][A-Za-z0-9_.@+=()-]*(?<!\.)")
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?=\.|\Z)", re.IGNORECASE)


def safe(path: str) -> str:
    """The path as Windows, too, can hold it: no forbidden characters, device names, ends in a dot or space, parts too long."""
    return "/".join(map(_part, path.split("/")))


def _part(part: str) -> str:
    if _PLAIN.fullmatch(part) and len(part) <= MAX_PART and not _DEVICES.match(part):
        return part
    made = _FORBIDDEN.sub("_", part)
    if made.endswith((".", " ")):
        made = made[:-1] + "_"
    if _DEVICES.match(made):
        made = f"_{made}"
    if len(made.encode()) > MAX_PART:
        suffix = PurePosixPath(made).suffix[:16]
        head = made.encode()[: MAX_PART - 9 - len(suffix.encode())].decode(errors="ignore")
        made = f"{head}~{_mark(part)}{suffix}"
    return made


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def folded(path: str) -> str:
    """What systems that ignore case and composition compare."""
    return path.lower() if path.isascii() else unicodedata.normalize("NFC", path.casefold())


class Names:
    """Names of an export. First `see` every key, then `of` names each: those that would meet get a mark from their key.

    Keeps 8 bytes a picture: the text of the few that meet is made anew each time.
    """

    def __init__(self, place: Callable[[str], str]) -> None:
        """Args: place: where the picture of a name would lie; two that lie at one place, but for case, meet."""
        self._place = place
        self._seen = array("q")
        self._met: NDArray[np.int64] | None = None
        self._unsafe = 0
        self.renamed = 0

    def see(self, key: str) -> None:
        """One more key."""
        name = safe(key)
        self._unsafe += name != key
        self._seen.append(hash(folded(self._place(name))))

    @property
    def meeting(self) -> int:
        """How many of the keys that were seen need another name."""
        _, counts = np.unique(np.frombuffer(self._seen, np.int64), return_counts=True)
        return self._unsafe + int(counts[counts > 1].sum())

    def of(self, key: str) -> str:
        """The name of a key that was seen; the same in every export of the same pictures."""
        if self._met is None:
            numbers, counts = np.unique(np.frombuffer(self._seen, np.int64), return_counts=True)
            self._met, self._seen = numbers[counts > 1], array("q")
        name = safe(key)
        if len(self._met):
            number = hash(folded(self._place(name)))
            i = int(np.searchsorted(self._met, number))
            if i < len(self._met) and self._met[i] == number:
                path = PurePosixPath(name)
                name = path.with_name(f"{path.stem}~{_mark(key)}{path.suffix}").as_posix()
        self.renamed += name != key
        return name

"""Frames of a sequence, for formats that number them: which number a picture has, and rows sorted by number on disk."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import PurePosixPath

import msgspec

from annotation.core import Annotation
from annotation.errors import InvalidInput
from annotation.formats import base
from annotation.formats.base import Record
from annotation.rows import from_row, to_row

MAX_FRAME = 10_000_000
"""Highest number of a frame."""
MAX_FRAMES = 1_000_000
"""Frames of one sequence (eleven hours at 25 a second), and objects that are made between key frames: a short file must
not become an endless one."""
DEFAULT = "sequence"
"""The sequence of pictures that lie in no folder."""
_DIGITS = re.compile(r"([0-9]+)\D*\Z")
_PICTURES = ("img1", "images", "data")
"""Folders inside a sequence's own that hold its pictures."""

_encode = msgspec.msgpack.Encoder().encode


def number(record: Record) -> int | None:
    """The number of a frame: the last digits of its picture's name; None when there are none."""
    found = _DIGITS.search(PurePosixPath(record.path).stem)
    value = int(found[1][-12:]) if found else MAX_FRAME + 1
    return value if value <= MAX_FRAME else None


def demand_number(record: Record) -> int:
    """The number of a frame.

    Raises:
        InvalidInput: when the picture's name holds none.
    """
    found = number(record)
    if found is None:
        raise InvalidInput(
            "the picture's name holds no frame number", where=record.path,
            remedy="export a sequence, whose pictures are named by number",
        )  # fmt: skip
    return found


def sequence(record: Record) -> str:
    """The folder of the sequence that a frame belongs to, its split in front: `train/line 3`."""
    parts = list(PurePosixPath(base.clean_path(record.path)).parts[:-1])
    if parts and parts[-1] in _PICTURES:
        parts.pop()
    if record.split and not any(base.split_of(part) == record.split for part in parts[:1]):
        parts.insert(0, record.split)
    elif len(parts) == 1 and base.split_of(parts[0]):
        parts.append(DEFAULT)
    if len(parts) == 1 and record.split:
        parts.append(DEFAULT)
    return "/".join(parts) or DEFAULT


class Spool:
    """Rows that come in one order and are wanted in another: kept on disk, given back by key and then as they came."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)  # "" is a file of its own that nobody else sees
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute("CREATE TABLE row (a, b INTEGER, body BLOB)")
        self._db.execute("BEGIN")

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add(self, a: str | int, b: int, body: bytes) -> None:
        """Keep a row under two keys."""
        self._db.execute("INSERT INTO row VALUES (?, ?, ?)", (a, b, body))

    def all(self) -> Iterator[tuple[str | int, int, bytes]]:
        """Every row by its keys, equal ones as they came."""
        found = self._db.execute("SELECT a, b, body FROM row ORDER BY a, b, rowid")
        while rows := found.fetchmany(256):  # whoever stops half way leaves no cursor in the middle of a step
            yield from rows


def pack(a: Annotation) -> bytes:
    """An annotation as bytes for a `Spool`; coordinates as the record holds them."""
    return _encode([a.label, *to_row(a.shape), dict(a.attributes), a.score, a.origin, a.uid])


def unpack(body: bytes) -> Annotation:
    """The annotation of `pack`."""
    label, kind, box, points, attributes, score, origin, uid = msgspec.msgpack.decode(body)
    return Annotation(label, from_row(kind, box, points), attributes, score, origin, uid)

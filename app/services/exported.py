"""What an export says of itself: the manifest, the digests of its files, and the table of its pictures; written and read.

`lamproom-export.json` tells what was exported and how. `lamproom-export.sha256` has the SHA-256 of every file but itself and
the manifest, as `sha256sum -c` reads it. `lamproom-export.pictures.tsv` maps every name in the labels to the record.
"""

from __future__ import annotations

import functools
import hashlib
import os
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from annotation.formats.base import Record
from storage import files

MANIFEST = "lamproom-export.json"
DIGESTS = "lamproom-export.sha256"
PICTURES = "lamproom-export.pictures.tsv"
MAX_LINE = 1 << 16
_HEAD = "name\tfile\tsplit\tkey\tblake3\n"
_PIECE = 1 << 20
_ESCAPED = {9: "\\t", 10: "\\n", 13: "\\r"}
"""A path of a source may hold them; a name of the export never does."""


class Tables:
    """The two tables of an export, written line by line as pictures are placed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pictures = (folder / PICTURES).open("w", encoding="utf-8", newline="\n")
        self._digests = (folder / DIGESTS).open("w", encoding="utf-8", newline="\n")
        self._pictures.write(_HEAD)
        self._placed = array("q")
        self.files = self.bytes = 0

    def __enter__(self) -> Tables:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._pictures.close()
        self._digests.close()

    def add(self, record: Record, key: str, blake3: str, file: str, sha256: str = "", size: int = 0) -> None:
        """A picture: its name in the labels and in the record; where it lies ("" = left out) and that file's SHA-256."""
        self._pictures.write(f"{record.path}\t{file}\t{record.split}\t{key.translate(_ESCAPED)}\t{blake3}\n")
        if file and sha256:
            self._note(file, sha256, size)

    def _note(self, file: str, sha256: str, size: int) -> None:
        self._digests.write(f"{sha256}  {file}\n")
        self._placed.append(hash(file))
        self.files += 1
        self.bytes += size

    def finish(self, leave: Callable[[str], bool]) -> Iterator[int]:
        """Hash every other file of the folder; yields how many there are so far. `leave`: what is no part of the export."""
        self._pictures.flush()
        known = np.sort(np.frombuffer(self._placed, np.int64)) if self._placed else np.zeros(0, np.int64)
        self._placed = array("q")
        for at, folders, names in os.walk(self._folder):
            folders.sort()
            for name in sorted(names):
                path = Path(at, name)
                file = path.relative_to(self._folder).as_posix()
                if file in (DIGESTS, MANIFEST) or leave(file):
                    continue
                number = hash(file)
                i = int(np.searchsorted(known, number))
                if i < len(known) and known[i] == number:
                    continue
                self._note(file, digest(path), path.stat().st_size)
                yield self.files
        files_ = (self._pictures, self._digests)
        for stream in files_:
            stream.flush()
            os.fsync(stream.fileno())


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while piece := stream.read(_PIECE):
            found.update(piece)
    return found.hexdigest()


def digests(folder: Path) -> Callable[[str], bytes | None]:
    """The BLAKE3 of the picture that a name in the labels meant, where the folder is an export of ours (or of its labels)."""
    found = next((f for f in (folder / PICTURES, folder.parent / PICTURES) if f.is_file()), None)
    if found is None:
        return lambda name: None

    @functools.cache
    def table() -> dict[str, bytes]:
        out: dict[str, bytes] = {}
        try:
            with found.open("rb") as stream:
                while line := stream.readline(MAX_LINE):
                    cells = line.rstrip(b"\n").split(b"\t")
                    if len(cells) == 5 and len(cells[4]) == 64:
                        out[cells[0].decode()] = bytes.fromhex(cells[4].decode())
        except (OSError, ValueError):  # somebody else's file, or a broken one: then there are no digests
            return {}
        return out

    return lambda name: table().get(name)


def write_manifest(folder: Path, data: bytes) -> None:
    """The manifest itself, last."""
    files.write(folder / MANIFEST, data)

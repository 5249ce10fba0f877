"""Bytes by digest on disk: objects/ab/abcdef…, written once, never changed. Staged, fsynced, renamed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3

from annotation.errors import InvalidInput, NotFound, Unavailable
from storage import files

_PIECE = 1 << 20


def path_of(folder: Path, digest: str) -> Path:
    """Where the object of this BLAKE3 digest (64 hex digits) lies below the workspace's folder, whether there or not."""
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise InvalidInput("not a BLAKE3 digest", where=digest[:80])
    return folder / "objects" / digest[:2] / digest


def put(folder: Path, data: bytes, *, with_folder: bool = True) -> str:
    """Store the bytes durably and return their digest; nothing is written when the object is there already.

    Args:
        with_folder: also flush the object's folder; False when the caller calls `settle` once for many objects.
    """
    digest = blake3(data).hexdigest()
    _put(folder, digest, data, with_folder=with_folder)
    return digest


def put_file(folder: Path, source: Path, digest: str) -> None:
    """Store a file of any size as the object of this digest, flat in memory.

    Raises:
        InvalidInput: its bytes are others. Unavailable: it cannot be read or stored.
    """

    def pieces() -> Iterator[bytes]:
        hashed = blake3()
        with open(source, "rb", opener=files.plainly) as stream:
            while piece := stream.read(_PIECE):
                hashed.update(piece)
                yield piece
        if hashed.hexdigest() != digest:
            raise InvalidInput("the bytes are others than were named", where=str(source))

    try:
        _put(folder, digest, pieces(), with_folder=True)
    except OSError as error:
        raise Unavailable(f"cannot be kept: {error.strerror or error}", where=str(source)) from error


def _put(folder: Path, digest: str, data: bytes | Iterable[bytes], *, with_folder: bool) -> None:
    target = path_of(folder, digest)
    if not _touched(folder, target):
        made = not target.parent.exists()
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write(target, data, with_folder=with_folder)
        if made and with_folder:
            files.sync_folder(target.parent.parent)


def settle(folder: Path, digests: Iterable[str]) -> None:
    """Flush the folders of objects that were put without."""
    parts = {path_of(folder, digest).parent for digest in digests}
    if parts:
        with ThreadPoolExecutor(8, "settle") as pool:  # a disk answers many flushes as fast as one
            list(pool.map(files.sync_folder, [*sorted(parts), folder / "objects"]))


@contextmanager
def _short(folder: Path, *, alone: bool) -> Iterator[None]:
    """The lock between those who rely on an object that is there already and those who drop it; held for a moment."""
    (folder / "objects").mkdir(parents=True, exist_ok=True)
    with files.locked(folder / "objects" / ".lock", alone=alone):
        yield


def _touched(folder: Path, target: Path) -> bool:
    """Whether the object is there; if so it counts as written now, so that `drop` spares it."""
    with _short(folder, alone=False):
        try:
            os.utime(target)
        except FileNotFoundError:
            return False
    return True


def drop(folder: Path, digests: Iterable[str], *, before: float) -> Iterator[tuple[str, int]]:
    """Remove objects that were neither written nor relied upon since `before` (seconds); yields (digest, bytes) of each.

    Beside writers: whoever puts an object that is there already makes it younger, under the same lock.
    """
    for digest in digests:
        target = path_of(folder, digest)
        with _short(folder, alone=True):
            try:
                found = target.stat()
                if found.st_mtime >= before:
                    continue
                target.unlink()
            except FileNotFoundError:
                continue
        yield digest, found.st_size


def listed(folder: Path) -> set[str]:
    """The digests of every object here; unfinished files are left out."""
    return {name for _, name in _files(folder) if len(name) == 64}


def leftovers(folder: Path) -> list[Path]:
    """Unfinished files that killed writers left among the objects."""
    return [where / name for where, name in _files(folder) if name.endswith(".part")]


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    objects = folder / "objects"
    for part in sorted(p.name for p in objects.iterdir()) if objects.is_dir() else ():
        if len(part) == 2:
            yield from ((objects / part, name) for name in sorted(p.name for p in (objects / part).iterdir()))


def get(folder: Path, digest: str) -> bytes:
    """The object's bytes, checked against the digest.

    Raises:
        NotFound: no such object. Unavailable: damaged on disk.
    """
    try:
        data = path_of(folder, digest).read_bytes()
    except FileNotFoundError:
        raise NotFound("the workspace does not hold this object", where=digest) from None
    if blake3(data).hexdigest() != digest:
        raise Unavailable(
            "an object of the workspace is damaged", where=digest, remedy="restore it from a backup"
        )
    return data


def holds(folder: Path, digest: str) -> bool:
    """Whether the object is there (its bytes are not checked)."""
    return path_of(folder, digest).is_file()

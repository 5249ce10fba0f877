"""The one way files are written: staged beside the target, flushed to the disk, renamed over it; and foreign ones are read."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from annotation.errors import Conflict, InvalidInput, NotFound, Unavailable


def write(
    path: Path,
    data: bytes | Iterable[bytes],
    *,
    staging: Path | None = None,
    mode: int = 0o644,
    with_folder: bool = True,
    forget: bool = False,
    flush: bool = True,
) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a part.

    Args:
        path: the target; its folder must exist.
        data: its bytes, whole or in pieces.
        staging: folder for the unfinished file, on the same file system; by default the target's own.
        mode: permission bits, narrowed by the umask.
        with_folder: also flush the folder; False when the caller does it once for many files.
        flush: False when the caller flushes many files at once before anybody relies on them.
        forget: drop what was flushed from the system's cache where it can be: whoever reads it next reads the disk.
    """
    temporary = (staging or path.parent) / f".{path.name[:60]}.{secrets.token_hex(6)}.part"
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(descriptor, "wb") as out:
            for piece in (data,) if isinstance(data, bytes) else data:
                out.write(piece)
            out.flush()
            if flush:
                os.fsync(out.fileno())
            if forget and hasattr(os, "posix_fadvise"):
                with suppress(OSError):
                    os.posix_fadvise(out.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    if with_folder:
        sync_folder(path.parent)


def read_plain(path: Path, limit: int) -> bytes:
    """A file of a folder that others may write to: no link, no pipe that is waited for, never more than `limit` bytes.

    Raises:
        NotFound, InvalidInput, Unavailable: one line each.
    """
    try:
        with open(path, "rb", opener=plainly) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InvalidInput("it is no plain file", where=str(path))
            data = file.read(limit + 1)
        if len(data) > limit:
            raise InvalidInput(f"it is larger than {limit} bytes", where=str(path))
        return data
    except FileNotFoundError as error:
        raise NotFound("it is not there", where=str(path)) from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise InvalidInput("it is no plain file", where=str(path)) from error
        raise Unavailable(f"it cannot be read: {error.strerror}", where=str(path)) from error


def plainly(path: str, flags: int) -> int:
    """An `opener` that follows no link and waits for no pipe."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


NOT_IN_NAMES = re.compile(r'[/\\:*?"<>|]+')
"""What no system, or not every one, takes in a file's name."""


def can_name(text: str) -> bool:
    """Whether a text, an ending added, can be a file's name on every system, seen as it is written."""
    return not (
        not text
        or text != text.strip(" .")
        or NOT_IN_NAMES.search(text)
        or any(unicodedata.category(c)[0] == "C" for c in text)
    )


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder durable; folders cannot be opened on Windows, where it is not needed."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below, and the folder itself: before a staged tree is renamed into place."""
    for where, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(where, name), os.O_RDWR if os.name == "nt" else os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(where))


@contextmanager
def alone(lock: Path, *, what: str) -> Iterator[None]:
    """Hold a lock file while the block runs; the system drops it when the process dies, however it dies.

    Raises:
        Conflict: `what` is under way in another process.
    """
    with lock.open("ab") as held:
        try:
            _lock(held, alone=True, wait=False)
        except OSError as error:
            raise Conflict(what, where=str(lock.parent), remedy="wait until it has ended") from error
        yield


@contextmanager
def locked(lock: Path, *, alone: bool) -> Iterator[None]:
    """Hold a lock file for a moment, waiting for it; alone, or beside others who do not hold it alone (not on Windows)."""
    with lock.open("ab") as held:
        _lock(held, alone=alone, wait=True)
        yield


def _lock(held: BinaryIO, *, alone: bool, wait: bool) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(held.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        import fcntl

        kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        fcntl.flock(held, kind if wait else kind | fcntl.LOCK_NB)

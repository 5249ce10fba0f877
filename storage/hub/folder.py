"""A hub that is a folder on any disk or share. One publisher at a time; every file is staged, flushed, renamed."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from annotation.errors import Conflict, InvalidInput, NotFound, Unavailable
from storage import files
from storage.hub import package
from storage.hub.store import PIECE, Abilities, Body, Found, Pace, Unfinished, Uploads

_PLAIN = os.O_RDONLY | sum(getattr(os, n, 0) for n in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
_KEY = re.compile(r"[^/\\\0][^\\\0]*\Z")
_LEAVES = re.compile(r"(?:^|/)(?:\.{0,2})(?:/|\Z)")
"""An empty part of a key, or one of dots alone."""
_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


class FolderStore:
    """See the module. Links, pipes and devices of a foreign folder are never opened.

    A folder checks nothing, so whoever publishes reads back what was written; what was written is dropped from the
    system's cache where it can be, so that it comes from the disk.
    """

    near = True
    threads = 4

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.where = str(folder)
        self._base = os.path.join(folder, "")  # noqa: PTH118 - strings: a path object for each of millions costs more than its stat
        self.pace = Pace()

    def path(self, key: str) -> Path:
        """The file of a key.

        Raises:
            InvalidInput: the key would leave the folder.
        """
        return Path(self._name(key))

    def _name(self, key: str) -> str:
        if not _KEY.match(key) or _LEAVES.search(key):
            raise InvalidInput("a name would leave the hub", where=ascii(key[:80]))
        return self._base + (key if os.sep == "/" else key.replace("/", os.sep))

    def stat(self, key: str) -> Found | None:
        """See Store. What is no plain file counts as none."""
        try:
            found = os.lstat(self._name(key))
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            return None
        except OSError as error:
            raise self._fault(error, key) from error
        return Found(found.st_size) if stat.S_ISREG(found.st_mode) else None

    def listing(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See Store."""
        base, _, begin = prefix.rpartition("/")
        top = self.path(base) if base else self.folder
        for where, folders, names in os.walk(top):
            folders.sort()
            inner = Path(where).relative_to(self.folder).as_posix()
            if where == str(top):
                folders[:] = [n for n in folders if n.startswith(begin)]
            for name in sorted(names):
                if where == str(top) and not name.startswith(begin):
                    continue
                with suppress(OSError):
                    found = Path(where, name).lstat()
                    if stat.S_ISREG(found.st_mode):
                        yield (name if inner == "." else f"{inner}/{name}"), found.st_size

    def get(self, key: str, first: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See Store."""
        descriptor, size = self._opened(self._name(key))
        left = size - first if length is None else min(length, size - first)
        try:
            if first:
                os.lseek(descriptor, first, os.SEEK_SET)
            while left > 0 and (piece := os.read(descriptor, min(PIECE, left))):
                left -= len(piece)
                yield piece
        finally:
            os.close(descriptor)

    def put(
        self,
        key: str,
        source: bytes | Body,
        *,
        size: int,
        sha256: str = "",
        md5: str = "",
        create_only: bool = False,
        resume: Uploads | None = None,
    ) -> None:
        """See Store."""
        path = self.path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            staging = self.folder / "staging"
            staging.mkdir(exist_ok=True)
            if create_only and path.exists():
                raise Conflict("there is something of this name already", where=key)
            files.write(path, self._paced(source, size), staging=staging, with_folder=False, forget=True)
        except OSError as error:
            raise self._fault(error, key) from error

    def _paced(self, source: bytes | Body, size: int) -> Iterator[bytes]:
        if isinstance(source, bytes):
            self.pace.take(len(source))
            yield source
            return
        at = 0
        while at < size:
            piece = source.read(at, min(PIECE, size - at))
            if not piece:
                break
            self.pace.take(len(piece))
            at += len(piece)
            yield piece
        source.proved()

    def delete(self, key: str) -> None:
        """See Store."""
        try:
            self.path(key).unlink(missing_ok=True)
        except OSError as error:
            raise self._fault(error, key) from error

    def abilities(self) -> Abilities:
        """See Store. Its lock makes writes create-only."""
        return Abilities(create_only=True, range=True, lists=True)

    def abandoned(self) -> Iterator[Unfinished]:
        """See Store: a folder has none."""
        return iter(())

    def end(self, upload: Unfinished) -> None:
        """See Store."""

    def settle(self) -> None:
        """See Store. Flushes every folder, also what a killed publisher wrote: it may have died before this."""
        for top in ("objects", "packs", "datasets"):
            if (base := self.folder / top).is_dir():
                for where, _, _ in os.walk(base, topdown=False):
                    files.sync_folder(Path(where))
        files.sync_folder(self.folder)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See Store. Whatever lies in staging then belongs to nobody and is removed."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._fault(error, "") from error
        with files.alone(self.folder / ".lamproom.lock", what="somebody is publishing to this hub"):
            staging = self.folder / "staging"
            staging.mkdir(exist_ok=True)
            for stale in staging.iterdir():
                stale.unlink()
            yield

    def close(self) -> None:
        """See Store."""

    def _opened(self, name: str) -> tuple[int, int]:
        """A plain file's descriptor and size. It is looked at after it was opened, so nothing can be put in between."""
        short = name.rpartition(os.sep)[2]
        try:
            if os.name == "nt" and Path(name).is_symlink():
                raise InvalidInput("it is not a plain file", where=short)
            descriptor = os.open(name, _PLAIN)
        except FileNotFoundError as error:
            raise NotFound("it is missing", where=short) from error
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a pipe or socket
                raise InvalidInput("it is not a plain file", where=short) from error
            raise self._fault(error, short) from error
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise InvalidInput("it is not a plain file", where=short)
        return descriptor, found.st_size

    def _fault(self, error: OSError, key: str) -> Unavailable:
        if error.errno in _FULL:
            return Unavailable(
                "the hub's disk is full", where=self.where, remedy="make room, then publish again"
            )
        return Unavailable(
            f"the hub folder cannot be used: {error.strerror or error}", where=f"{self.where}/{key}".rstrip("/"),
            remedy="is its disk or share mounted and writable?",
        )  # fmt: skip


def is_hub(folder: Path) -> bool:
    """Whether the folder says it is a hub."""
    return (folder / package.MARKER).is_file()


def object_path(hub: Path, b3: str) -> Path:
    """The file of an object, whether there or not."""
    return FolderStore(hub).path(package.object_key(b3))

"""What a hub must be able to do, whatever it is made of: objects by key, put whole or not at all, read by ranges."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from annotation.errors import LamproomError, Unavailable

PIECE = 1 << 20
"""Bytes handed on at once."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a hub was seen to do when it was asked with tiny objects.

    Attributes:
        create_only: a second write of a name is refused when asked so. checks_md5, checks_sha256: bytes that are not
            those of the given digest are refused. multipart: large objects in parts. range: a part of an object can
            be read. lists: names can be listed. round_trip_s: seconds a tiny request takes.
    """

    create_only: bool = False
    checks_md5: bool = False
    checks_sha256: bool = False
    multipart: bool = False
    range: bool = False
    lists: bool = False
    round_trip_s: float = 0.0

    @property
    def weak(self) -> bool:
        """Nobody but us looks at what arrived: everything is read back and hashed."""
        return not (self.checks_md5 or self.checks_sha256)


@dataclass(frozen=True, slots=True)
class Found:
    """An object as the hub tells of it; digests by name ("md5", "sha256"), hexadecimal, where it knows any."""

    size: int
    etag: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A multipart upload that was begun and neither completed nor ended. age_s is None when the hub does not tell."""

    key: str
    upload_id: str
    age_s: float | None


class Body(Protocol):
    """A large source: any range of it, asked for in order; `proved` raises when what was read is not what was meant."""

    @property
    def size(self) -> int:
        """Its bytes."""
        ...

    def read(self, first: int, length: int) -> bytes:
        """The bytes of a range, fewer only at the end."""
        ...

    def proved(self) -> None:
        """Called when all was read once, before the object gets its name."""
        ...


class Uploads(Protocol):
    """The memory of multipart uploads under way, so that a killed client goes on with them."""

    def known(self, key: str) -> tuple[str, int] | None:
        """(the hub's name of the upload, bytes a part)."""
        ...

    def begun(self, key: str, upload_id: str, part_bytes: int) -> None:
        """Remember one."""
        ...

    def ended(self, key: str) -> None:
        """Forget it: it was completed or ended."""
        ...


class Store(Protocol):
    """A hub. Names are keys of parts joined by '/'. Every method may be called from several threads.

    All of them raise Unavailable when the hub cannot be reached, InvalidInput when it refuses us.
    """

    where: str
    """What a person calls it, for messages."""
    near: bool
    """A question costs next to nothing: objects are asked for one by one, not by listing."""
    threads: int
    """Objects worth sending at a time."""
    pace: Pace
    """How fast, and when; set by the publisher."""

    def stat(self, key: str) -> Found | None:
        """The object, or None."""
        ...

    def listing(self, prefix: str) -> Iterator[tuple[str, int]]:
        """(key, bytes) of every object whose key begins so, in any order."""
        ...

    def get(self, key: str, first: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Bytes of an object or of a range of it, in pieces. NotFound when there is none."""
        ...

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
        """Write an object: all of it, or nothing under this name.

        Args:
            source: its bytes, or a `Body` where they are many.
            sha256, md5: of all bytes, hexadecimal, where they are known; else worked out where the hub compares them.
            create_only: Conflict when the name is taken.
        """
        ...

    def delete(self, key: str) -> None:
        """Take an object away; nothing happens when there is none."""
        ...

    def abilities(self) -> Abilities:
        """What it can do, tried once."""
        ...

    def abandoned(self) -> Iterator[Unfinished]:
        """Multipart uploads below this hub that were begun and not ended, of anybody."""
        ...

    def end(self, upload: Unfinished) -> None:
        """End one of them: its parts are freed."""
        ...

    def settle(self) -> None:
        """Make all that was put last: before the root is written."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """Hold the hub as its one publisher, where it can tell. Conflict when another one does."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Wrong(LamproomError):
    """A source does not give the bytes that were frozen: a fault of that asset, not of the hub."""


class Stopped(LamproomError):
    """The work was broken off by whoever asked for it."""


class Pace:
    """How fast bytes may go, and when: a bucket of a quarter second, and a gate that is closed outside the hours.

    One for each publishing: what was stopped stays so.

    Args:
        limit: bytes a second, 0 = as fast as it goes. closed_s: seconds until bytes may go, 0 = now.
        now, wait: a clock; `wait` is by default cut short by `stop`.
    """

    def __init__(
        self,
        limit: int = 0,
        closed_s: Callable[[], float] | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self.limit = limit
        self._closed_s = closed_s
        self._now = now
        self._over = threading.Event()
        self._wait = wait or self._over.wait
        self._lock = threading.Lock()
        self._free_at = 0.0

    @property
    def closed_s(self) -> float:
        """Seconds until bytes may go."""
        return self._closed_s() if self._closed_s else 0.0

    def stop(self) -> None:
        """Whoever waits or asks next gets Stopped."""
        self._over.set()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._over.is_set()

    def take(self, n: int) -> None:
        """Wait until n bytes may go.

        Raises:
            Stopped: `stop` was called.
        """
        while (closed := self.closed_s) > 0 and not self.stopped:
            self._wait(min(closed, 1.0))
        if self.limit and not self.stopped:
            with self._lock:
                now = self._now()
                begin = max(self._free_at, now - 0.25)
                self._free_at = begin + n / self.limit
                pause = begin - now
            if pause > 0:
                self._wait(pause)
        if self.stopped:
            raise Stopped("broken off")

    def pause(self, seconds: float) -> None:
        """Wait before another try, unless stopped.

        Raises:
            Stopped: `stop` was called.
        """
        self._wait(seconds)
        if self.stopped:
            raise Stopped("broken off")


def read(store: Store, key: str, limit: int) -> bytes:
    """A small object as a whole.

    Raises:
        NotFound: there is none. Unavailable: it is larger than `limit`.
    """
    held = bytearray()
    for piece in store.get(key, 0, limit + 1):
        held += piece
        if len(held) > limit:
            raise Unavailable(f"it is larger than {limit} bytes", where=key)
    return bytes(held)

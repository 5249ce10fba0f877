"""Where the parts of a version lie on this machine: manifest objects in the workspace, media in their sources."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from annotation.errors import LamproomError, NotFound
from app.services.workspace import Workspace
from storage import blobs, manifest, media, names, proof
from storage import versions as rows
from storage.manifest import Fact, Get, Put, Root
from storage.versions import Place, Version

FLUSHERS = 8
"""Objects written at a time."""


def getter(ws: Workspace) -> Get:
    """Manifest objects by digest."""
    return lambda digest: blobs.get(ws.folder, digest)


@contextmanager
def keeping(ws: Workspace) -> Iterator[Put]:
    """Keeps manifest objects: several are flushed at a time, because a disk answers many flushes as fast as one.

    All of them are on the disk when the block has ended without an error. One that was damaged there is healed.
    """
    kept: set[str] = set()
    flying: deque[Future[None]] = deque()

    def store(name: str, data: bytes) -> None:
        if blobs.holds(ws.folder, name):
            try:
                blobs.get(ws.folder, name)
            except LamproomError:
                blobs.path_of(ws.folder, name).unlink(missing_ok=True)
        blobs.put(ws.folder, data, with_folder=False)

    with ThreadPoolExecutor(FLUSHERS, "keeping") as pool:

        def put(data: bytes) -> str:
            name = blake3(data).hexdigest()
            if name not in kept:
                kept.add(name)
                flying.append(pool.submit(store, name, data))
                while len(flying) > 8 * FLUSHERS or (flying and flying[0].done()):
                    flying.popleft().result()
            return name

        yield put
        for future in flying:
            future.result()
    blobs.settle(ws.folder, kept)


def load(ws: Workspace, version: Version) -> tuple[Version, Root]:
    """A built version, as the record has it now, and its root.

    Raises:
        NotFound: it has not been built here.
    """
    with ws.db.read() as conn:
        now = rows.find(conn, version.dataset, version.tag)
    return now, manifest.load(blobs.get(ws.folder, now.root or ""))


def whole_root(ws: Workspace, version: Version) -> Root | None:
    """The root of a version whose manifest lies on this machine as a whole; None of any other."""
    try:
        root = manifest.load(blobs.get(ws.folder, version.root or ""))
    except LamproomError:
        return None
    here = blobs.listed(ws.folder)
    return root if all(p.b3 in here for c in root.chunks for p in (c.facts, c.labels, c.sets)) else None


class Sources:
    """The bytes of assets from their sources, or from the workspace for what lies in packed archives. For several threads."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._known: dict[str, list[Place]] = {}
        self._own: set[str] | None = None
        self._lock = threading.Lock()

    def _keeps(self, digest: str) -> bool:
        """Whether the workspace has a copy of its own; after `prepare` that costs no question to the disk."""
        return blobs.holds(self._ws.folder, digest) if self._own is None else digest in self._own

    def read(self, fact: Fact) -> Iterator[bytes]:
        """The bytes of one asset: of its own file where that can be read, else of any other that holds them.

        Raises:
            LamproomError: none of them can be read.
        """
        if self._keeps(fact.asset):
            yield blobs.get(self._ws.folder, fact.asset)
            return
        found = self.places(fact)
        problem: LamproomError = NotFound("the record does not know these bytes", where=fact.key)
        for place in found:
            try:
                data = media.read_bytes(place.location, place.path, place.disk_path)
            except LamproomError as error:
                problem = error
                continue
            if len(data) == fact.size or place is found[-1]:
                yield data
                return
        raise problem

    def copies(self, fact: Fact) -> Iterator[Callable[[], list[bytes]]]:
        """Every place that should hold these bytes."""
        if blobs.holds(self._ws.folder, fact.asset):
            yield lambda: [blobs.get(self._ws.folder, fact.asset)]
        for place in self.places(fact):
            yield lambda place=place: [media.read_bytes(place.location, place.path, place.disk_path)]  # type: ignore[misc]

    def file(self, fact: Fact) -> str:
        """The file of an asset, as the system names it."""
        return names.readable(self.raw_file(fact) or b"")

    def raw_file(self, fact: Fact) -> bytes | None:
        """The raw path of an asset's file; of a member of an archive, of that and the member's name."""
        place = next(iter(self.places(fact)), None)
        return (
            None if place is None else names.native(place.location, names.raw_of(place.path, place.disk_path))
        )

    def plain(self, fact: Fact) -> Path | None:
        """The plain file of an asset's bytes, where there is one of that size: for what is too large to be held in memory."""
        if blobs.holds(self._ws.folder, fact.asset):
            return blobs.path_of(self._ws.folder, fact.asset)
        for one in self.places(fact):
            path = media.plain_file(one.location, one.path, one.disk_path)
            if path is not None and path.stat().st_size == fact.size:
                return path
        return None

    def prepare(self, facts: Sequence[Fact]) -> None:
        """Ask the record for the places of many at once; these come next."""
        if self._own is None:
            self._own = blobs.listed(self._ws.folder)
        with self._ws.db.read() as conn:
            found = rows.places(conn, facts)
        with self._lock:
            self._known = found

    def places(self, fact: Fact) -> list[Place]:
        """Where the record knows these bytes to lie, the asset's own file first."""
        with self._lock:
            found = self._known.get(fact.asset)
        if found is None:
            with self._ws.db.read() as conn:
                found = rows.places(conn, [fact]).get(fact.asset, [])
        return found


def media_of(ws: Workspace) -> proof.ReadMedia:
    """The bytes of assets from their sources."""
    return Sources(ws).read


def picture(ws: Workspace, fact: Fact, side_px: int) -> NDArray[np.uint8]:
    """An asset decoded for looking at, BGR, its longer side at most `side_px`.

    Raises:
        LamproomError: it cannot be read or decoded.
    """
    return media.decode(b"".join(Sources(ws).read(fact)), max_side_px=side_px)


def place_of(ws: Workspace) -> Callable[[Fact], Path | None]:
    """The plain file of an asset's bytes, where there is one."""
    return Sources(ws).plain

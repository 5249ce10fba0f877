"""A version on its way into a hub of any kind: only what is missing there, media before chunks, chunks before the root.

What is there is asked once (storage/hub/holdings.py). A killed publisher is resumed by running again; the root is written
last and only once, so a version is published as a whole or not at all.
"""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from blake3 import blake3

from annotation.errors import Conflict, InvalidInput, NotFound, Unavailable
from storage import manifest, seal
from storage.hub import package as packages
from storage.hub import reading, sending, store
from storage.hub.holdings import Holdings, survey
from storage.hub.package import Package
from storage.hub.sending import Packer, Tally, Way
from storage.hub.store import Abilities, Pace, Store, Uploads, Wrong
from storage.manifest import Chunk, Fact, Get, Root
from storage.proof import Fault, ReadMedia

AHEAD = 4
"""Objects waiting for each one that is being sent."""
MOST_HELD = 256 << 20
"""Bytes of objects that are being sent or wait for it: whole ones are in memory."""
LONG_S = 0.02
"""A line is long when a tiny request takes this many seconds."""
SMALL = 1 << 18
"""Objects of this mean size are dominated by the round trip on a long line."""
STALE_S = 86_400.0
"""A multipart upload that somebody began a day ago and did not end is ended."""
_WEIGHT = 1 << 16
"""What an object costs besides its bytes, as bytes, for the remaining time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a version is sent.

    Attributes:
        pace: how fast and when. pack: small objects together; None = when the line is long and they are small.
        pack_bytes: a pack is sent at this size. pack_below: what is larger goes by itself.
        cut: large files by their content; None = where that can save anything. cut_bytes: from this size on.
        place: the plain file of an asset's bytes, where there is one. staging: a folder for packs and large members of
            archives; None = the system's. resume: the memory of multipart uploads. threads: 0 = what the hub takes.
    """

    pace: Pace = field(default_factory=Pace)
    pack: bool | None = None
    pack_bytes: int = 512 << 20
    pack_below: int = 1 << 20
    cut: bool | None = None
    cut_bytes: int = 32 << 20
    place: Callable[[Fact], Path | None] = lambda fact: None
    staging: Path | None = None
    resume: Uploads | None = None
    threads: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """Progress of a publisher.

    Attributes:
        done, total: entries of the version. objects, size: newly written, in number and bytes, of those to be written
            (of_objects, of_size). left_s: seconds left at the rate so far, None = not known yet.
        closed_s: seconds until the hours of the plan begin, 0 = it works. faults: met since the last one.
    """

    done: int
    total: int
    objects: int
    size: int
    faults: tuple[Fault, ...] = ()
    of_objects: int = 0
    of_size: int = 0
    left_s: float | None = None
    closed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Need:
    """What a hub lacks of a version: by chunk the number of media and the chunk objects; and all of it in sum."""

    media: tuple[int, ...]
    parts: tuple[tuple[str, ...], ...]
    objects: int
    size: int


def prepare(hub: Store) -> None:
    """Make the place a hub; an existing one is left as it is.

    Raises:
        InvalidInput: the place holds something else, or a hub of another format.
    """
    if reading.is_hub(hub):
        return
    if any(not key.startswith((".lamproom", "staging/")) for key, _ in hub.listing("")):
        raise InvalidInput(
            "the place is not empty and no hub", where=hub.where, remedy="name an empty or new folder"
        )
    said = packages.marker_bytes()
    with suppress(Conflict):
        hub.put(packages.MARKER, said, size=len(said), create_only=True)


def need(hub: Store, root: Root, get: Get, *, plan: Plan | None = None) -> Need:
    """What would have to be sent of a version: for an estimate before anything is.

    Raises:
        NotFound, InvalidInput: a chunk of the manifest is missing or damaged here.
    """
    with ThreadPoolExecutor((plan and plan.threads) or hub.threads) as workers:
        can = hub.abilities()
        held = survey(hub, _count(root), lists=can.lists)
        return _need(_way(hub, can, held, plan or Plan(), lambda _: (), Path(), Tally(), workers), root, get)


def publish(
    hub: Store, package: Package, get: Get, read_media: ReadMedia, plan: Plan | None = None
) -> Iterator[Sent]:
    """Write what the hub lacks, the root last. A killed run is resumed by running again.

    Args:
        get: chunk objects by digest. read_media: the bytes of an asset.

    Raises:
        Conflict: another version is published there under this tag, or another publisher is at work.
        InvalidInput: some media or chunk is not what was frozen; each was named in a `Sent`, no root was written.
        Unavailable: the hub cannot be reached, is full, or gives back other bytes than were written.
        Stopped: the pace of the plan was stopped.
    """
    plan = plan or Plan()
    hub.pace = plan.pace
    try:
        yield from _publish(hub, package, manifest.load(package.root), get, read_media, plan)
    finally:
        hub.pace = Pace()


def _publish(
    hub: Store, package: Package, root: Root, get: Get, read_media: ReadMedia, plan: Plan
) -> Iterator[Sent]:
    prepare(hub)
    with hub.alone():
        prefix = packages.version_prefix(package.dataset, package.tag)
        published = _published(hub, f"{prefix}root.json")
        if published is not None and published != package.root:
            raise Conflict(
                f"{package.dataset}@{package.tag} is published there already with another content",
                where=hub.where,
                remedy="freeze under a new tag and publish that",
            )
        can = hub.abilities()
        last = Sent(0, root.counts.assets, 0, 0)
        for last in _objects(hub, can, root, get, read_media, plan):
            yield last
        hub.settle()
        if published is not None and not reading.load(hub, package.dataset, package.tag).faults:
            return  # what was published stays, to the letter: its documents may tell less than today's would
        for name, data in packages.files_of(package, seal.public_pem(package.public)).items():
            _write(hub, can, prefix + name, data)
        if published is None:
            hub.settle()
            _write(hub, can, f"{prefix}root.json", package.root, create_only=True)
        hub.settle()
        _end_stale(hub, can)
        yield replace(last, faults=())


def _published(hub: Store, key: str) -> bytes | None:
    try:
        return store.read(hub, key, packages.MAX_ROOT_BYTES)
    except NotFound:
        return None


def _write(hub: Store, can: Abilities, key: str, data: bytes, *, create_only: bool = False) -> None:
    """A small file of the package; what is there to the letter is left as it is."""
    if not create_only and _published(hub, key) == data:
        return
    if create_only and not can.create_only and hub.stat(key) is not None:
        raise Conflict("somebody published this tag meanwhile", where=hub.where)
    hub.put(key, data, size=len(data), create_only=create_only and can.create_only)
    if _published(hub, key) != data:  # they are few and say everything: always looked at
        raise sending.not_kept(hub, key)


def _end_stale(hub: Store, can: Abilities) -> None:
    """End multipart uploads that nobody will go on with: of objects that are there, and those begun long ago."""
    if not can.multipart:
        return
    for upload in list(hub.abandoned()):
        if (upload.age_s is not None and upload.age_s > STALE_S) or hub.stat(upload.key) is not None:
            hub.end(upload)


# -- objects ---------------------------------------------------------------------------------------------------------


def _count(root: Root) -> int:
    return root.counts.assets + 3 * len(root.chunks)


def _way(hub: Store, can: Abilities, held: Holdings, plan: Plan, read_media: ReadMedia, staging: Path, tally: Tally,
         workers: ThreadPoolExecutor) -> Way:  # fmt: skip
    return Way(
        hub, can, held, read_media, plan.place, staging, tally, workers, plan.resume, plan.cut, plan.cut_bytes
    )


def _missing(way: Way, chunk: Chunk, get: Get) -> list[Fact]:
    facts = manifest.facts(chunk, get)
    away = way.held.missing([(f.asset, f.size) for f in facts], way.workers)
    return [
        f for f, gone in zip(facts, away, strict=True)
        if gone and not (sending.is_cut(way, f) and not sending.pieces_missing(way, f))
    ]  # fmt: skip


def _need(way: Way, root: Root, get: Get) -> Need:
    media: list[int] = []
    parts: list[tuple[str, ...]] = []
    objects = size = 0
    for chunk in root.chunks:
        facts = _missing(way, chunk, get)
        own = (chunk.facts, chunk.labels, chunk.sets)
        away = way.held.missing([(p.b3, p.bytes) for p in own], way.workers)
        gone = [p for p, g in zip(own, away, strict=True) if g]
        media.append(len(facts))
        parts.append(tuple(p.b3 for p in gone))
        objects += len(facts) + len(gone)
        size += sum(f.size for f in facts) + sum(p.bytes for p in gone)
    return Need(tuple(media), tuple(parts), objects, size)


def _objects(
    hub: Store, can: Abilities, root: Root, get: Get, read_media: ReadMedia, plan: Plan
) -> Iterator[Sent]:
    total, tally = root.counts.assets, Tally()
    yield Sent(0, total, 0, 0)
    workers = ThreadPoolExecutor(plan.threads or hub.threads, "hub")
    staging = tempfile.TemporaryDirectory(prefix="publish-", dir=plan.staging)
    try:
        way = _way(
            hub,
            can,
            survey(hub, _count(root), lists=can.lists),
            plan,
            read_media,
            Path(staging.name),
            tally,
            workers,
        )
        todo = _need(way, root, get)
        if not todo.objects:
            yield Sent(total, total, 0, 0)
            return
        wrong = 0
        for sent in _Course(way, root, get, plan, todo).run():
            wrong += len(sent.faults)
            yield sent
        if wrong:
            raise InvalidInput(
                f"{wrong} of {total} assets do not have the bytes that were frozen; the version was not published",
                where=root.dataset,
                remedy="put the files back (or `lamproom relink` a moved source) and publish again",
            )
        if not can.weak:
            _demand_kept(way, root, get)
    except BaseException:
        plan.pace.stop()  # or the threads would finish what they wait for
        raise
    finally:
        workers.shutdown(wait=True, cancel_futures=True)
        staging.cleanup()


def _demand_kept(way: Way, root: Root, get: Get) -> None:
    """Ask anew whether all is there: a hub that said yes and kept nothing must not get a root."""
    again = replace(way, held=survey(way.hub, _count(root), lists=way.can.lists))
    lost = _need(again, root, get)
    if lost.objects:
        raise Unavailable(
            f"the hub lost {lost.objects} objects that it had taken", where=way.hub.where,
            remedy="check its disk, then publish again: only what is missing is sent",
        )  # fmt: skip


class _Course:
    """The sending of what is missing, in the order of the manifest, several at a time."""

    def __init__(self, way: Way, root: Root, get: Get, plan: Plan, todo: Need) -> None:
        self._way, self._root, self._get, self._plan, self._todo = way, root, get, plan, todo
        self._begin = time.monotonic()
        self._paused = 0.0
        self._done = 0
        self._open: deque[tuple[Chunk, tuple[str, ...], list[tuple[Fact, Future[bytes | None]]]]] = deque()
        self._flying: dict[Future[Any], int] = {}  # and the bytes each holds in memory
        mean = todo.size / max(todo.objects, 1)
        long = way.can.round_trip_s >= LONG_S and mean <= SMALL and todo.objects > 200
        packs = plan.pack if plan.pack is not None else long
        self._packer = Packer(way, plan.pack_bytes) if packs and way.can.lists and way.can.range else None

    def run(self) -> Iterator[Sent]:
        """Everything, with progress a few times a second."""
        try:
            for chunk, n, parts in zip(self._root.chunks, self._todo.media, self._todo.parts, strict=True):
                if not n and not parts:
                    self._done += chunk.n
                    continue
                sending_: list[tuple[Fact, Future[bytes | None]]] = []
                for fact in _missing(self._way, chunk, self._get) if n else ():
                    yield from self._room(fact.size)
                    sending_.append((fact, self._begun(fact)))
                self._open.append((chunk, parts, sending_))
                while self._open and all(f.done() for _, f in self._open[0][2]):
                    yield self._ended()
            while self._open:
                yield from self._until(lambda: all(f.done() for _, f in self._open[0][2]))
                yield self._ended()
            yield from self._until(lambda: not self._flying)
            if self._packer is not None:
                self._packer.send()
            yield self._sent(())
        finally:
            if self._packer is not None:
                self._packer.close()

    def _begun(self, fact: Fact) -> Future[bytes | None]:
        way = self._way
        if self._packer is not None and fact.size <= self._plan.pack_below:
            future: Future[bytes | None] = way.workers.submit(sending.source_bytes, way, fact)
        else:
            future = way.workers.submit(lambda: sending.media(way, fact))
        self._flying[future] = min(fact.size, sending.WHOLE)
        return future

    def _room(self, size: int) -> Iterator[Sent]:
        """Wait until another object of this size may be begun."""
        most = AHEAD * (self._plan.threads or self._way.hub.threads)
        size = min(size, sending.WHOLE)
        yield from self._until(
            lambda: (
                not self._flying
                or (len(self._flying) < most and size + sum(self._flying.values()) <= MOST_HELD)
            )
        )

    def _until(self, met: Callable[[], bool]) -> Iterator[Sent]:
        """Wait, telling of progress; a fault of the hub ends the work at once."""
        while True:
            for future in [f for f in self._flying if f.done()]:
                del self._flying[future]
                error = future.exception()
                if error is not None and not isinstance(error, Wrong):
                    raise error
            if met():
                return
            if self._flying:
                before = time.monotonic()
                wait(self._flying, timeout=0.25, return_when=FIRST_COMPLETED)
                waited = time.monotonic() - before
                if waited >= 0.2:
                    if self._plan.pace.closed_s:
                        self._paused += waited
                    yield self._sent(())

    def _ended(self) -> Sent:
        """A chunk whose media are all there: its own objects follow."""
        chunk, parts, sent = self._open.popleft()
        faults: list[Fault] = []
        for fact, future in sent:
            error = future.exception()
            if isinstance(error, Wrong):
                faults.append(Fault(fact.key, error.what))
            elif error is not None:
                raise error
            elif (data := future.result()) is not None and self._packer is not None:
                self._packer.add(fact.asset, data)
        if not faults:
            for b3 in parts:
                data = self._get(b3)
                if blake3(data).hexdigest() != b3:
                    raise InvalidInput("a chunk is damaged", where=b3, remedy="build the version again")
                if self._packer is not None and len(data) <= self._plan.pack_below:
                    self._packer.add(b3, data)
                else:
                    key = packages.object_key(b3)
                    put = self._way.workers.submit(sending.put, self._way, key, data, b3)
                    self._flying[put] = len(data)
        self._done += chunk.n
        return self._sent(faults)

    def _sent(self, faults: Sequence[Fault]) -> Sent:
        tally, todo = self._way.tally, self._todo
        spent = time.monotonic() - self._begin - self._paused
        gone = tally.size + _WEIGHT * tally.objects
        left = max(todo.size - tally.size, 0) + _WEIGHT * max(todo.objects - tally.objects, 0)
        left_s = spent * left / gone if gone and spent > 1 else None
        return Sent(
            self._done, self._root.counts.assets, tally.objects, tally.size, tuple(faults),
            todo.objects, todo.size, left_s, self._plan.pace.closed_s,
        )  # fmt: skip

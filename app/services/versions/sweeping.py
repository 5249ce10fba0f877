"""Drop what nothing reaches: objects of a workspace or of a hub, and what killed work left lying. Never in doubt.

In a workspace an object goes only when no row of the record names it, no version's manifest has it, no asset is its bytes,
and nobody wrote it or relied on it since the oldest work that is under way began, and not within the last hour. Whoever puts
an object that is there already makes it younger under the lock that a removal takes (storage/blobs.py), so a build that runs
meanwhile keeps what it needs; and a kill leaves nothing half done: each removal is by itself.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from annotation.errors import Conflict, InvalidInput, LamproomError, NotFound, Unavailable
from app.events import Finished, Progress, Started, Work
from app.services.versions.building import LOCK
from app.services.versions.proving import store_of
from app.services.workspace import Workspace
from storage import blobs, files, manifest, reach
from storage.hub import package, reading
from storage.hub.folder import FolderStore
from storage.hub.store import Store, read

GRACE_S = 3_600.0
"""Nothing younger goes."""
MAX_TEXT_BYTES = 4 << 20
"""A small file of a hub, outside its objects, that may name objects."""


@dataclass(slots=True)
class _Tally:
    objects: int = 0
    object_bytes: int = 0
    leftovers: int = 0
    leftover_bytes: int = 0

    def result(self, *, deleted: bool, kept: int) -> dict[str, object]:
        return {"deleted": deleted, "objects": self.objects, "object_bytes": self.object_bytes, "leftovers": self.leftovers,
                "leftover_bytes": self.leftover_bytes, "bytes": self.object_bytes + self.leftover_bytes, "kept": kept}  # fmt: skip


def gc(ws: Workspace, *, delete: bool = False, grace_s: float = GRACE_S) -> Work:
    """Find, and with `delete` drop, what nothing in the workspace reaches.

    Raises:
        Conflict: another gc is under way.
        Unavailable: a version's manifest is damaged here, so that what it reaches cannot be known; nothing was dropped.
    """
    staging = ws.folder / "staging"
    staging.mkdir(exist_ok=True)
    with files.alone(staging / "gc.lock", what="another gc is under way"):
        before = _before(ws, staging, grace_s)  # first: what is sealed from here on was written after it
        there = blobs.listed(ws.folder)
        yield Started("gc", len(there))
        away = sorted(there - _reached(ws, there))
        yield Progress(len(there) - len(away), len(there), "reached")
        tally = _Tally()
        if delete:
            for n, (_, size) in enumerate(blobs.drop(ws.folder, away, before=before)):
                tally.objects, tally.object_bytes = tally.objects + 1, tally.object_bytes + size
                if n % 500 == 0:
                    yield Progress(len(there) - len(away) + n, len(there), "dropping")
        else:
            for digest in away:
                with suppress(FileNotFoundError):
                    found = blobs.path_of(ws.folder, digest).stat()
                    if found.st_mtime < before:
                        tally.objects, tally.object_bytes = (
                            tally.objects + 1,
                            tally.object_bytes + found.st_size,
                        )
        for path in _left(ws, staging, before):
            size = (
                sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
                if path.is_dir()
                else path.stat().st_size
            )
            tally.leftovers, tally.leftover_bytes = tally.leftovers + 1, tally.leftover_bytes + size
            if delete:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    yield Finished(tally.result(deleted=delete, kept=len(there) - tally.objects))


def _before(ws: Workspace, staging: Path, grace_s: float) -> float:
    """Seconds: what was written or relied on since then stays."""
    limits = [time.time() - grace_s]
    begun = reach.begun_ms(ws.db)
    if begun is not None:
        limits.append(begun / 1000)
    lock = staging / LOCK
    if lock.exists() and _is_held(lock):
        limits.append(lock.stat().st_mtime)
    return min(limits)


def _is_held(lock: Path) -> bool:
    try:
        with files.alone(lock, what=""):
            return False
    except Conflict:
        return True


def _reached(ws: Workspace, there: set[str]) -> set[str]:
    out = {name for name in reach.named(ws.db) if name in there}
    for ref, root in reach.versions(ws.db):
        if root not in there:  # its manifest is not on this machine
            continue
        out.add(root)
        try:
            out.update(reach.parts(manifest.load(blobs.get(ws.folder, root))))
        except LamproomError as error:
            raise Unavailable(
                f"the manifest of {ref} is damaged here: {error.what}", where=root,
                remedy=f"`lamproom verify {ref}` mends it; then run gc again",
            ) from error  # fmt: skip
    with ws.db.read() as conn:
        return out | reach.assets(conn, sorted(there - out))


def _left(ws: Workspace, staging: Path, before: float) -> Iterator[Path]:
    """Unfinished files and folders of work that was killed."""
    models = ws.folder / "models"
    found = [
        *blobs.leftovers(ws.folder),
        *models.glob(".*.part"),
        *models.glob(".*.old"),
        *(ws.folder / "thumbs").glob("*/*.part"),
    ]
    if not ((lock := staging / LOCK).exists() and _is_held(lock)):
        found += staging.glob("sort-*")
    for path in found:
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                yield path


# -- a hub -----------------------------------------------------------------------------------------------------------


def gc_hub(hub: Store | Path, *, delete: bool = False, alone: bool = False) -> Work:
    """Find, and with `delete` drop, objects and packs of a hub that no published version reaches.

    Args:
        alone: the person says that nobody publishes there now: a server cannot tell, a folder can and is locked.

    Raises:
        InvalidInput: a published version cannot be read, so that what it reaches cannot be known; or it is a server and
            `alone` was not said. Conflict: somebody publishes to the folder.
    """
    store = store_of(hub)
    if delete and not alone and not isinstance(store, FolderStore):
        raise InvalidInput(
            "a server cannot tell whether somebody is publishing", where=store.where,
            remedy="say so: --alone; or look without --delete",
        )  # fmt: skip
    if delete:
        with store.alone():
            yield from _gc_hub(store, delete=True)
    else:
        yield from _gc_hub(store, delete=False)


def _gc_hub(hub: Store, *, delete: bool) -> Work:
    sizes: dict[str, int] = {}
    texts: list[str] = []
    roots: list[str] = []
    for key, size in hub.listing(""):
        if key.startswith(("objects/", "packs/")):
            sizes[key] = size
        elif key.endswith("/root.json"):
            roots.append(key)
        elif size <= MAX_TEXT_BYTES:
            texts.append(key)
    yield Started(f"gc {hub.where}", len(sizes))
    reached: set[str] = set()
    reader = reading.Reader(hub)
    for key in roots:
        _reach(hub, reader, key, reached)
        yield Progress(0, len(sizes), key.removesuffix("/root.json"))
    for key in texts:  # a job's order, an input: whatever names an object keeps it
        with suppress(NotFound):
            reached.update(reach.texts(read(hub, key, MAX_TEXT_BYTES)))
    for key in (k for k in sizes if k.endswith(".pieces")):
        if _name(key) in reached:
            reached.update(piece.b3 for piece in _pieces(hub, key))
    away = sorted(key for key in sizes if not _keeps(hub, key, reached))
    tally = _Tally(objects=len(away), object_bytes=sum(sizes[key] for key in away))
    for n, key in enumerate(away):
        if delete:
            hub.delete(key)
        if n % 100 == 0:
            yield Progress(len(sizes) - len(away) + n, len(sizes), "dropping" if delete else "reached")
    for upload in hub.abandoned():
        tally.leftovers += 1
        if delete:
            hub.end(upload)
    if delete:
        hub.settle()
    yield Finished({"hub": hub.where, **tally.result(deleted=delete, kept=len(sizes) - len(away))})


def _reach(hub: Store, reader: reading.Reader, key: str, reached: set[str]) -> None:
    """All that a published version needs. Whatever cannot be read stops the gc: nothing is dropped in doubt."""
    try:
        root = manifest.load(read(hub, key, package.MAX_ROOT_BYTES))
        for chunk in root.chunks:
            reached.update((chunk.facts.b3, chunk.labels.b3, chunk.sets.b3))
            reached.update(fact.asset for fact in manifest.facts(chunk, reader.get))
    except (NotFound, InvalidInput) as error:
        raise InvalidInput(
            f"a published version cannot be read: {error.line}", where=f"{hub.where}/{key}",
            remedy="publish it again, or take its folder away; then run gc again",
        ) from error  # fmt: skip


def _keeps(hub: Store, key: str, reached: set[str]) -> bool:
    if key.startswith("objects/"):
        return _name(key) in reached
    name = key.removeprefix("packs/").removesuffix(".index")
    try:
        index = msgspec.json.decode(
            read(hub, f"packs/{name}.index", package.MAX_LIST_BYTES), type=package.PackIndex
        )
    except NotFound:  # a pack whose index never came, or the other way round
        return False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LamproomError):
        return True  # of a foreign hand: left alone
    return any(packed.b3 in reached for packed in index.objects)


def _name(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".pieces")


def _pieces(hub: Store, key: str) -> tuple[package.Piece, ...]:
    try:
        return msgspec.json.decode(read(hub, key, package.MAX_LIST_BYTES), type=tuple[package.Piece, ...])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            "the list of its pieces cannot be read", where=key, remedy="publish it again"
        ) from error

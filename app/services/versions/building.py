"""Build the signed manifest of a frozen version: afresh from the record, or over the chunks of an earlier one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.engine import Connection

from annotation import canonical
from annotation.errors import LamproomError, Unavailable
from app.events import Changes, Finished, Progress, Started, Warned, Work
from app.services.versions.objects import getter, keeping, whole_root
from app.services.workspace import Workspace
from storage import audit, files, keys, manifest, queries, record, seal
from storage import db as database
from storage import versions as rows
from storage.manifest import Chunk, Entry, Root, SchemaRef
from storage.versions import Member, Version

MOST_TOUCHED = 0.2
"""Share of touched assets above which a manifest is written afresh: nearly every chunk would change anyway."""
PART = 500
"""Assets of one short read while a manifest is built: crowded pictures stay flat too."""
LOCK = "build.lock"
STATEMENT = "lamproom-statement-1"


def build(ws: Workspace, version: Version) -> Work:
    """Write the manifest of a frozen version: chunk objects, root, Ed25519 signature. Interrupted, it is run again.

    Chunks of the dataset's previous version are reused where nothing changed since. The same version built again, here
    or on another machine, gives the same root.

    Raises:
        InvalidInput: two assets of the dataset have the same name.
        Conflict: another build is under way in this workspace.
        Unavailable: the record gives another root than was sealed: it was changed behind our back.
    """
    key = keys.signing_key(ws)  # asked for before the work, not after it
    with building(ws) as staging:
        with ws.db.read() as conn:
            schema, total = schema_of(conn, version)
        yield Started(f"manifest {version.ref}", total)
        previous = _previous(ws, version)
        lines: list[Chunk] = []
        if previous is not None:
            try:
                yield from _rewrite(ws, version, *previous, staging, lines)
            except (
                LamproomError
            ) as error:  # a chunk of the earlier version is damaged here: nothing of it is needed
                yield Warned(f"the manifest is written afresh: {error.what}", error.where)
                previous = None
        if previous is None:
            lines.clear()
            yield from write_whole(ws, version, staging, lines, total)
        root = manifest.root(lines, dataset=version.dataset, schema=schema)
        sealed = _seal(ws, version, key, manifest.root_bytes(root))
    reused = set(previous[1].chunks) & set(lines) if previous else set[Chunk]()
    yield Finished(
        {"version": version.ref, "revision": version.rev, "root": sealed.root, "assets": root.counts.assets,
         "annotations": root.counts.objects, "media_bytes": root.counts.size, "chunks": len(lines), "chunks_reused": len(reused),
         "key": seal.fingerprint(bytes.fromhex(sealed.public or "")), "schema": f"{schema.code}@{schema.number}"},
        Changes(datasets=(version.dataset_id,)),
    )  # fmt: skip


def write_whole(ws: Workspace, version: Version, staging: Path, lines: list[Chunk], total: int) -> Work:
    """Chunks of every entry from the record, into `lines`; the version need not be pinned. The caller holds `building`."""
    done = 0
    with manifest.Sorter(staging) as sorter:
        for n, _ in _pages(ws, version, sorter):
            done += n
            yield Progress(done, total, "reading")
        with keeping(ws) as put:
            yield from _store(manifest.write(sorter.merged(), put), lines, done, total)


def _rewrite(
    ws: Workspace, version: Version, earlier: Version, root: Root, staging: Path, lines: list[Chunk]
) -> Work:
    """Entries of touched assets only, over the chunks of an earlier version; all entries when too many were touched."""
    most = int(max(1_000, MOST_TOUCHED * root.counts.assets))
    touched = rows.touched(ws.db, earlier.rev, version.rev, predictions=version.filter.predictions, most=most)
    if touched is None:
        yield from write_whole(ws, version, staging, lines, root.counts.assets)
        return
    done, gone = 0, set[bytes]()
    with manifest.Sorter(staging) as sorter:
        for n, away in _changed_pages(ws, version, earlier.rev, sorted(touched), sorter):
            done, gone = done + n, gone | away
            yield Progress(done, len(touched), "reading")
        changed = _with_gone(sorter.merged(), gone)
        with keeping(ws) as put:
            chunks = manifest.rewrite(root, changed, getter(ws), put)
            yield from _store(chunks, lines, done, len(touched))


def _store(chunks: Iterator[Chunk], lines: list[Chunk], done: int, total: int) -> Work:
    for chunk in chunks:
        lines.append(chunk)
        if len(lines) % 20 == 0:
            yield Progress(done, total, f"{len(lines)} chunks")


def schema_of(conn: Connection, version: Version) -> tuple[SchemaRef, int]:
    """The label schema of a version as its root names it, and about how many assets there are."""
    code, number, _, digest = rows.schema_at(conn, version.schema_version_id)
    return SchemaRef(digest.hex(), code, number), queries.dataset(conn, version.dataset_id).n_assets


@contextmanager
def building(ws: Workspace) -> Iterator[Path]:
    """The folder for unfinished runs, while nobody else builds. What a killed build left there is removed.

    The lock file's time is when this build began: `gc` spares every object from then on.

    Raises:
        Conflict: another build is under way in this workspace.
    """
    staging = ws.folder / "staging"
    staging.mkdir(exist_ok=True)
    lock = staging / LOCK
    with files.alone(lock, what="another manifest is being built"):
        os.utime(lock)
        for stale in staging.glob("sort-*"):
            shutil.rmtree(stale, ignore_errors=True)
        yield staging


def _previous(ws: Workspace, version: Version) -> tuple[Version, Root] | None:
    """The nearest earlier version of the same dataset and filter whose manifest lies on this machine."""
    with ws.db.read() as conn:
        earlier = [
            v for v in rows.listing(conn, version.dataset_id)
            if v.root and v.rev <= version.rev and v.filter == version.filter and v.id != version.id
        ]  # fmt: skip
    for v in sorted(earlier, key=lambda v: -v.rev):
        root = whole_root(ws, v)
        if root is not None:
            return v, root
    return None


def _pages(ws: Workspace, version: Version, sorter: manifest.Sorter) -> Iterator[tuple[int, set[bytes]]]:
    for page in rows.member_pages(ws.db, version.dataset_id, version.rev, version.filter):
        for part in (page[i : i + PART] for i in range(0, len(page), PART)):
            sorter.add(_entries(ws, version, part))
            yield len(part), set()


def _entries(ws: Workspace, version: Version, members: list[Member]) -> list[Entry]:
    with ws.db.read() as conn:
        return list(rows.entries(conn, members, version.rev, predictions=version.filter.predictions))


def _changed_pages(
    ws: Workspace, version: Version, since: int, asset_ids: list[int], sorter: manifest.Sorter
) -> Iterator[tuple[int, set[bytes]]]:
    """Entries of touched assets into the sorter; yields the keys of those that were in at revision `since` and left."""
    for part in (asset_ids[i : i + PART] for i in range(0, len(asset_ids), PART)):
        with ws.db.read() as conn:
            chosen = rows.chosen(conn, version.dataset_id, version.rev, part, version.filter)
            # One that had left before is not looked at: another asset may have its key since then.
            out = [a for a, m in chosen.items() if m is None]
            was = rows.chosen(conn, version.dataset_id, since, out, version.filter)
            away = rows.facts(conn, [a for a in out if was[a] is not None])
        sorter.add(_entries(ws, version, [m for m in chosen.values() if m is not None]))
        yield len(part), {f.key.encode() for f in away.values()}


def _with_gone(entries: Iterable[Entry], gone: set[bytes]) -> Iterator[tuple[bytes, Entry | None]]:
    """(key, entry or None) in key order."""
    away = iter(sorted(gone))
    ahead = next(away, None)
    for item in entries:
        while ahead is not None and ahead < item.key:
            yield ahead, None
            ahead = next(away, None)
        if ahead == item.key:  # another asset of the same name took its place
            ahead = next(away, None)
        yield item.key, item
    while ahead is not None:
        yield ahead, None
        ahead = next(away, None)


def _seal(ws: Workspace, version: Version, key: Ed25519PrivateKey, data: bytes) -> Version:
    """Store the root object, sign it once, tie it to the audit log's head in a signed statement, note all in the record."""
    with keeping(ws) as put:
        digest = put(data)
    with ws.db.read() as conn:
        now = rows.find(conn, version.dataset, version.tag)
    if now.root is None:
        with ws.db.write() as conn:
            if rows.seal(conn, version.id, root=bytes.fromhex(digest), signature=key.sign(data)):
                record.link(conn, version.activity_id, "used", "key", seal.public_bytes(key).hex())
            now = rows.find(conn, version.dataset, version.tag)
    if now.root != digest:
        raise Unavailable(
            f"the record gives another content than was sealed as {version.ref}", where=digest,
            remedy="the record was changed from outside: `lamproom rebuild` names what differs; the published copy stays as it was",
        )  # fmt: skip
    if (
        now.statement is None and now.public == seal.public_bytes(key).hex()
    ):  # or sealed before there were statements
        with ws.db.write() as conn:
            seq, head = audit.head(conn)
            said = statement(version.ref, digest, seq, head, database.now_ms())
            rows.state(conn, version.id, seq, head, said.decode(), key.sign(said))
            now = rows.find(conn, version.dataset, version.tag)
    return now


def statement(ref: str, root: str, seq: int, head: bytes, at_ms: int) -> bytes:
    """Canonical bytes of what is signed beside the root: which line of the audit log it was sealed under.

    The root's own signature is over the root alone, so that any machine rebuilds what was signed.
    """
    return canonical.encode(
        {
            "at_ms": at_ms,
            "audit": {"head": head.hex(), "seq": seq},
            "format": STATEMENT,
            "root": root,
            "version": ref,
        }
    )


def sealed(ws: Workspace, version: Version) -> Work:
    """`build`, unless the whole manifest lies here already, with its statement."""
    if version.statement is None or whole_root(ws, version) is None:
        yield from build(ws, version)

"""Versions of a dataset: freeze in constant time, build the signed manifest after, verify, diff, list."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import msgspec
from blake3 import blake3
from sqlalchemy.engine import Connection

from annotation import canonical
from annotation.core import new_uid
from annotation.errors import Conflict, InvalidInput, LamproomError, NotFound, Unavailable
from app.events import Changes, Finished, Progress, Started, Warned, Work
from app.services.workspace import Workspace
from storage import blobs, files, keys, manifest, media, proof, queries, record, seal
from storage import db as database
from storage import versions as rows
from storage.hub import reading
from storage.hub.folder import FolderStore
from storage.manifest import Chunk, Entry, Fact, Get, Root, SchemaRef
from storage.proof import Checked
from storage.versions import Filter, Member, Version

__all__ = ["Diff", "Filter", "Version", "build", "diff", "find", "freeze", "listing", "media_of", "verify"]

MOST_TOUCHED = 0.2
"""Share of touched assets above which a manifest is written afresh: nearly every chunk would change anyway."""
EXAMPLES = 100
PART = 500
"""Assets of one short read while a manifest is built: crowded pictures stay flat too."""


# -- freeze ----------------------------------------------------------------------------------------------------------


def freeze(ws: Workspace, dataset: str, *, tag: str, filter: Filter | None = None) -> Version:
    """Pin a dataset as it is now. Constant time at any size; `build` writes the manifest after.

    Args:
        tag: the version's name within the dataset, for example "v1".
        filter: what enters; by default every item and only truth (no predictions).

    Raises:
        NotFound: no such dataset.
        Conflict: the tag exists, or a job is still writing to the dataset.
        InvalidInput: the dataset is empty, or the tag cannot be used.
    """
    tag = canonical.nfc(tag)
    if not 0 < len(tag) <= 64 or any(c in "@/\\" or c.isspace() or not c.isprintable() for c in tag):
        raise InvalidInput(
            "a tag is 1 to 64 characters without spaces, @, / and \\", where=tag, remedy="for example v1"
        )
    chosen = rows.parse_filter((filter or Filter()).to_json())
    with ws.db.write() as conn:
        database.freeze_lock(conn)
        data = queries.dataset(conn, dataset)
        if running := record.open_steps(conn, data.id):
            raise Conflict(
                f"a {running[0][1]} job is still writing to {data.name}", where=data.name,
                remedy="wait for it, or resume or cancel it: `lamproom jobs list`",
            )  # fmt: skip
        if any(v.tag == tag for v in rows.listing(conn, data.id)):
            raise Conflict(
                f"{data.name}@{tag} exists already", remedy="versions never change: take another tag"
            )
        if data.n_assets == 0:
            raise InvalidInput("the dataset is empty", where=data.name, remedy="ingest something first")
        uid = new_uid()
        told = {"dataset": data.name, "tag": tag, "filter": msgspec.json.decode(chosen.to_json())}
        activity = record.start_activity(conn, "freeze", ws.person.id, told, open_=False)
        record.link(conn, activity, "used", "dataset", data.name)
        record.link(conn, activity, "generated", "version", uid)
        rows.pin(
            conn, uid=uid, dataset_id=data.id, tag=tag, rev=record.newest(conn), filter=chosen, activity_id=activity,
            schema_version_id=rows.live_schema(conn, data.schema_code),
        )  # fmt: skip
        return rows.find(conn, data.name, tag)


def find(ws: Workspace, ref: str) -> Version:
    """The version `dataset@tag`.

    Raises:
        InvalidInput: not of that form. NotFound: there is none.
    """
    dataset, tag = _split(ref)
    with ws.db.read() as conn:
        return rows.find(conn, dataset, tag)


def _split(ref: str) -> tuple[str, str]:
    dataset, at, tag = ref.rpartition("@")
    if not at or not dataset or not tag:
        raise InvalidInput(
            "a version is named DATASET@TAG",
            where=ref,
            remedy="`lamproom freeze DATASET --tag TAG` makes one",
        )
    return dataset, tag


def listing(ws: Workspace, dataset: str | None = None) -> list[Version]:
    """Versions of a dataset (or of all), oldest first."""
    with ws.db.read() as conn:
        return rows.listing(conn, None if dataset is None else queries.dataset(conn, dataset).id)


# -- build -----------------------------------------------------------------------------------------------------------


def build(ws: Workspace, version: Version) -> Work:
    """Write the manifest of a frozen version: chunk objects, root, Ed25519 signature. Interrupted, it is run again.

    Chunks of the dataset's previous version are reused where nothing changed since. The same version built again, here
    or on another machine, gives the same root.

    Raises:
        InvalidInput: two assets of the dataset have the same name.
        Conflict: another build is under way in this workspace.
        Unavailable: the record gives another root than was sealed: it was changed behind our back.
    """
    staging = ws.folder / "staging"
    staging.mkdir(exist_ok=True)
    with files.alone(staging / "build.lock", what="another manifest is being built"):
        _clear(staging)
        with ws.db.read() as conn:
            code, number, _, digest = rows.schema_at(conn, version.schema_version_id)
            total = queries.dataset(conn, version.dataset_id).n_assets
        schema = SchemaRef(digest.hex(), code, number)
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
            yield from _write(ws, version, staging, lines, total)
        root = manifest.root(lines, dataset=version.dataset, schema=schema)
        sealed = _seal(ws, version, manifest.root_bytes(root))
    reused = set(previous[1].chunks) & set(lines) if previous else set[Chunk]()
    yield Finished(
        {"version": version.ref, "revision": version.rev, "root": sealed.root, "assets": root.counts.assets,
         "annotations": root.counts.objects, "media_bytes": root.counts.size, "chunks": len(lines), "chunks_reused": len(reused),
         "key": seal.fingerprint(bytes.fromhex(sealed.public or "")), "schema": f"{schema.code}@{schema.number}"},
        Changes(datasets=(version.dataset_id,)),
    )  # fmt: skip


def _write(ws: Workspace, version: Version, staging: Path, lines: list[Chunk], total: int) -> Work:
    """Every entry from the record."""
    done = 0
    with manifest.Sorter(staging) as sorter:
        for n, _ in _pages(ws, version, sorter):
            done += n
            yield Progress(done, total, "reading")
        yield from _store(manifest.write(sorter.merged(), _putter(ws)), lines, done, total)


def _rewrite(
    ws: Workspace, version: Version, earlier: Version, root: Root, staging: Path, lines: list[Chunk]
) -> Work:
    """Entries of touched assets only, over the chunks of an earlier version; all entries when too many were touched."""
    most = int(max(1_000, MOST_TOUCHED * root.counts.assets))
    touched = rows.touched(ws.db, earlier.rev, version.rev, predictions=version.filter.predictions, most=most)
    if touched is None:
        yield from _write(ws, version, staging, lines, root.counts.assets)
        return
    done, gone = 0, set[bytes]()
    with manifest.Sorter(staging) as sorter:
        for n, away in _changed_pages(ws, version, earlier.rev, sorted(touched), sorter):
            done, gone = done + n, gone | away
            yield Progress(done, len(touched), "reading")
        changed = _with_gone(sorter.merged(), gone)
        chunks = manifest.rewrite(root, changed, _getter(ws), _putter(ws))
        yield from _store(chunks, lines, done, len(touched))


def _store(chunks: Iterator[Chunk], lines: list[Chunk], done: int, total: int) -> Work:
    for chunk in chunks:
        lines.append(chunk)
        if len(lines) % 20 == 0:
            yield Progress(done, total, f"{len(lines)} chunks")


def _clear(staging: Path) -> None:
    """Remove what a killed build left; the lock says that nobody else is at work."""
    for stale in staging.glob("sort-*"):
        shutil.rmtree(stale, ignore_errors=True)


def _putter(ws: Workspace) -> Callable[[bytes], str]:
    def put(data: bytes) -> str:
        name = blake3(data).hexdigest()
        if blobs.holds(ws.folder, name):
            try:
                blobs.get(ws.folder, name)
            except LamproomError:  # damaged on disk: a build heals it
                blobs.path_of(ws.folder, name).unlink()
        return blobs.put(ws.folder, data)

    return put


def _getter(ws: Workspace) -> Get:
    return lambda digest: blobs.get(ws.folder, digest)


def _previous(ws: Workspace, version: Version) -> tuple[Version, Root] | None:
    """The nearest earlier version of the same dataset and filter whose manifest lies on this machine."""
    with ws.db.read() as conn:
        earlier = [
            v for v in rows.listing(conn, version.dataset_id)
            if v.root and v.rev <= version.rev and v.filter == version.filter and v.id != version.id
        ]  # fmt: skip
    for v in sorted(earlier, key=lambda v: -v.rev):
        root = _root_here(ws, v)
        if root is not None:
            return v, root
    return None


def _root_here(ws: Workspace, version: Version) -> Root | None:
    """The root of a version whose manifest lies on this machine as a whole."""
    try:
        root = manifest.load(blobs.get(ws.folder, version.root or ""))
    except LamproomError:
        return None
    parts = (p.b3 for c in root.chunks for p in (c.facts, c.labels, c.sets))
    return root if all(blobs.holds(ws.folder, b3) for b3 in parts) else None


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


def _seal(ws: Workspace, version: Version, data: bytes) -> Version:
    """Store the root object, sign it once, note both in the record."""
    digest = blobs.put(ws.folder, data)
    with ws.db.read() as conn:
        now = rows.find(conn, version.dataset, version.tag)
    if now.root is None:
        key = keys.signing_key(ws)
        with ws.db.write() as conn:
            if rows.seal(conn, version.id, root=bytes.fromhex(digest), signature=key.sign(data)):
                record.link(conn, version.activity_id, "used", "key", seal.public_bytes(key).hex())
            now = rows.find(conn, version.dataset, version.tag)
    if now.root != digest:
        raise Unavailable(
            f"the record gives another content than was sealed as {version.ref}", where=digest,
            remedy="the record was changed from outside: restore a backup; the published copy stays as it was",
        )  # fmt: skip
    return now


def sealed(ws: Workspace, version: Version) -> Work:
    """`build`, unless the whole manifest lies here already."""
    if _root_here(ws, version) is None:
        yield from build(ws, version)


def load(ws: Workspace, version: Version) -> tuple[Version, Root]:
    """A built version and its root.

    Raises:
        NotFound: it has not been built here.
    """
    with ws.db.read() as conn:
        now = rows.find(conn, version.dataset, version.tag)
    return now, manifest.load(blobs.get(ws.folder, now.root or ""))


# -- verify ----------------------------------------------------------------------------------------------------------


def verify(where: Workspace | Path, ref: str, *, bytes_too: bool = True) -> Work:
    """Prove a version: signature, every chunk, then every media byte. Each fault is a `Warned`.

    Args:
        where: a workspace, whose media are read from the sources; or a hub folder, which needs no workspace.
        bytes_too: False = the manifest only.

    Raises:
        NotFound: no such version there.
    """
    if isinstance(where, Path):
        yield from _verify_hub(where, ref, bytes_too)
        return
    version = find(where, ref)
    yield from (e for e in sealed(where, version) if not isinstance(e, Finished))
    version, root = load(where, version)
    data = manifest.root_bytes(root)
    head = []
    if not seal.holds(bytes.fromhex(version.public or ""), bytes.fromhex(version.signature or ""), data):
        head.append(proof.Fault(ref, "the signature of the manifest does not hold"))
    checks = proof.check(root, _getter(where), media_of(where) if bytes_too else None)
    yield from _prove(
        ref, root, head, checks, bytes_too, blake3(data).hexdigest(), bytes.fromhex(version.public or "")
    )


def _verify_hub(hub: Path, ref: str, bytes_too: bool) -> Work:
    store = FolderStore(hub)
    if not reading.is_hub(store):
        raise NotFound("there is no hub here", where=str(hub), remedy="`lamproom publish` makes one")
    published = reading.load(store, *_split(ref))
    checks = reading.verify(store, published, bytes_too=bytes_too)
    yield from _prove(ref, published.root, [], checks, bytes_too, published.digest, published.public)


def _prove(
    ref: str,
    root: Root,
    head: list[proof.Fault],
    checks: Iterator[Checked],
    bytes_too: bool,
    digest: str,
    public: bytes,
) -> Work:
    total, done, faults = root.counts.assets, 0, 0
    yield Started(f"verify {ref}", total)
    for checked in chain([Checked((), tuple(head))], checks):
        faults += len(checked.faults)
        yield from (Warned(f.what, f.where) for f in checked.faults)
        done += len(checked.facts)
        yield Progress(done, total)
    yield Finished(
        {"version": ref, "root": digest, "assets": done, "annotations": root.counts.objects, "chunks": len(root.chunks),
         "media_checked": bytes_too, "key": seal.fingerprint(public), "sound": faults == 0, "faults": faults},
        problems=faults,
    )  # fmt: skip


def media_of(ws: Workspace) -> proof.ReadMedia:
    """The bytes of assets from their sources (or from the workspace, for what lies in packed archives)."""

    def read(fact: Fact) -> Iterator[bytes]:
        if blobs.holds(ws.folder, fact.asset):
            yield blobs.get(ws.folder, fact.asset)
            return
        with ws.db.read() as conn:
            found = rows.places(conn, bytes.fromhex(fact.asset), fact.key)
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

    return read


# -- diff ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Diff:
    """How version b differs from version a.

    Attributes:
        assets_added, assets_removed, assets_changed: numbers of manifest keys; changed = labels or bytes differ.
        annotations_added, annotations_removed, annotations_changed: by uid, over all keys.
        by_label: label code -> (added, removed, changed).
        examples: (key, "added" | "removed" | "changed", annotations added, removed, changed), the first ones by key.
        chunks, chunks_equal: chunks of b, and those of them that a has too.
        steps: steps of the record between the two revisions (None when they are not of one dataset).
    """

    a: str
    b: str
    assets_added: int
    assets_removed: int
    assets_changed: int
    annotations_added: int
    annotations_removed: int
    annotations_changed: int
    by_label: dict[str, tuple[int, int, int]]
    examples: tuple[tuple[str, str, int, int, int], ...]
    chunks: int
    chunks_equal: int
    steps: int | None

    @property
    def same(self) -> bool:
        """Whether the two hold the same content."""
        return not (self.assets_added or self.assets_removed or self.assets_changed)


def diff(ws: Workspace, a: str, b: str) -> Diff:
    """Compare two versions by their manifests; equal chunks are not read. Unbuilt manifests are built first.

    Raises:
        NotFound: there is no such version.
    """
    roots: list[tuple[Version, Root]] = []
    for ref in (a, b):
        version = find(ws, ref)
        with closing(sealed(ws, version)) as work:
            for _ in work:
                pass
        roots.append(load(ws, version))
    (first, root_a), (second, root_b) = roots
    get = _getter(ws)
    kinds: Counter[str] = Counter()
    labels: dict[str, list[int]] = {}
    added = removed = changed = 0
    examples: list[tuple[str, str, int, int, int]] = []
    for d in manifest.diff(root_a, root_b, get, get):
        kind = "added" if d.before is None else "removed" if d.after is None else "changed"
        kinds[kind] += 1
        counts = _compare(d.before, d.after, labels)
        added, removed, changed = added + counts[0], removed + counts[1], changed + counts[2]
        if len(examples) < EXAMPLES:
            examples.append((d.key, kind, *counts))
    with ws.db.read() as conn:
        steps = _steps(conn, first, second)
    equal = set(root_a.chunks) & set(root_b.chunks)
    return Diff(
        first.ref, second.ref, kinds["added"], kinds["removed"], kinds["changed"], added, removed, changed,
        {k: (v[0], v[1], v[2]) for k, v in sorted(labels.items())}, tuple(examples), len(root_b.chunks), len(equal), steps,
    )  # fmt: skip


def _compare(before: Entry | None, after: Entry | None, labels: dict[str, list[int]]) -> tuple[int, int, int]:
    old, new = (
        {o["uid"]: o for o in msgspec.json.decode(e.set)} if e is not None else {} for e in (before, after)
    )
    counts = [0, 0, 0]
    for uid in old.keys() | new.keys():
        if old.get(uid) != new.get(uid):
            at = 0 if uid not in old else 1 if uid not in new else 2
            counts[at] += 1
            labels.setdefault((new.get(uid) or old[uid])["label"], [0, 0, 0])[at] += 1
    return counts[0], counts[1], counts[2]


def _steps(conn: Connection, a: Version, b: Version) -> int | None:
    if a.dataset_id != b.dataset_id:
        return None
    low, high = sorted((a.rev, b.rev))
    return int(
        conn.exec_driver_sql(
            f"SELECT count(*) FROM change WHERE rev > {low} AND rev <= {high} AND step = rev"
        ).scalar_one()
    )

"""Take in a published version from a hub: proved, trusted, brought into the record so that it rebuilds to the same root.

The media go below the workspace's `received` folder, under the codes of the sources they came from; annotations keep their
uids; the version keeps its publisher's signature. Nothing of it is believed before its digest holds, and a version that
does not rebuild to the root that was signed is not received. Interrupted, the same call goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation import canonical
from annotation.core import new_uid
from annotation.errors import Conflict, InvalidInput, Unavailable
from app.events import Changes, Event, Finished, Progress, Started, Warned, Work
from app.i18n import tr
from app.services import arrival, hubs, receipts, shuttle, versions
from app.services.versions import building
from app.services.versions import objects as kept_objects
from app.services.workspace import Workspace
from storage import audit, blobs, files, jobs, manifest, media, names, proof, record, register, seal
from storage import db as database
from storage import trust as trusts
from storage import versions as rows
from storage.hub import package, reading, store
from storage.hub.reading import Published, Reader
from storage.hub.store import Store
from storage.jobs import Job, Lease
from storage.manifest import Chunk, Entry, Fact, SchemaRef
from storage.media import Probe
from storage.record import Edit, ItemEdit
from storage.register import NewAsset
from storage.sources import needs_copy
from storage.tables import SPLITS
from storage.versions import Filter, Version

FOLDER = arrival.FOLDER
PART = 40
"""Pictures of one change."""

_labelled = msgspec.json.Decoder(manifest.Labelled).decode


Source = Mapping[str, Any]
"""Where a version is taken from, as plain values: {"hub": name or folder} or {"disks": [folder as hex, …]}."""


def source(hub: str | None, disks: Sequence[Path]) -> Source:
    """What the options of a line mean.

    Raises:
        InvalidInput: neither, or both.
    """
    if (hub is None) == (not disks):
        raise InvalidInput(
            "name either a hub or disks", remedy="--hub NAME|FOLDER, or --disk DIR for each disk"
        )
    return {"hub": hub} if hub is not None else {"disks": [os.fsencode(d.absolute()).hex() for d in disks]}


def opened(ws: Workspace, source: Source) -> Store:
    """The hub of a source. Close it when done.

    Raises:
        NotFound, InvalidInput: no such hub, or no finished disks of one set.
    """
    if "hub" in source:
        return hubs.open_hub(ws, source["hub"])
    return shuttle.together([Path(os.fsdecode(bytes.fromhex(d))) for d in source["disks"]])


@dataclass(frozen=True, slots=True)
class Offered:
    """A version as it lies at a hub, before anything of it is taken in.

    key: fingerprint of the key that signed it; standing: "own", "trusted" or "unknown"; faults: what of it does not hold.
    """

    version: str
    root: str
    assets: int
    objects: int
    size: int
    key: str
    standing: str
    faults: tuple[str, ...]


def offers(ws: Workspace, source: Source) -> list[str]:
    """`dataset@tag` of everything published there.

    Raises:
        NotFound, InvalidInput, Unavailable: no such hub, no finished disks of one set, or it cannot be reached.
    """
    with closing(opened(ws, source)) as hub:
        return hubs.versions_in(hub)


def offered(ws: Workspace, source: Source, ref: str) -> Offered:
    """What one of them is, and whose.

    Raises:
        NotFound: it is not published there. And all that `offers` raises.
    """
    dataset, _, tag = ref.rpartition("@")
    with closing(opened(ws, source)) as hub:
        found = reading.load(hub, dataset, tag)
    counts = found.root.counts
    return Offered(
        ref, found.digest, counts.assets, counts.objects, counts.size, seal.fingerprint(found.public),
        trusts.standing(ws, found.public), tuple(f"{f.what} ({f.where})" if f.where else f.what for f in found.faults),
    )  # fmt: skip


def go_on(ws: Workspace, job: Job) -> Work:
    """Do what is left of a receiving that was interrupted; its key was trusted when it began.

    Raises:
        Conflict: another process works on it.
    """
    found: Any = job.params["source"]
    if not found:
        raise InvalidInput("this job does not know where its hub was", remedy="run `lamproom receive` again")
    with closing(opened(ws, found)) as hub:
        yield from run(ws, hub, str(job.params["version"]), source=found)


def run(
    ws: Workspace, hub: Store, ref: str, *, trust: str = "", source: Source = MappingProxyType({})
) -> Work:
    """Receive `dataset@tag`.

    Args:
        hub: an opened hub of any kind. source: what it was opened from, so that the queue can go on.
        trust: the fingerprint of a key this workspace does not trust yet, as its owner told it.

    Raises:
        NotFound: it is not published there.
        InvalidInput: it is not what was signed (each fault is a `Warned`), or signed by a key that nobody here trusts.
        Conflict: the workspace holds a dataset, a source or objects of the same names that are not of this version.
    """
    dataset, _, tag = ref.rpartition("@")
    if not dataset or not tag:
        raise InvalidInput(
            "a version is named DATASET@TAG", where=ref, remedy="`lamproom hub show` lists them"
        )
    published = reading.load(hub, dataset, tag)
    if published.faults:
        yield from (Warned(f.what, f.where) for f in published.faults)
        raise InvalidInput(
            "the version is not what was signed", where=f"{hub.where} {ref}", remedy="have it published again"
        )
    _demand_trust(ws, published, ref, trust)
    params: dict[str, object] = {
        "hub": hub.where, "version": ref, "root": published.digest, "key": seal.fingerprint(published.public),
        "source": dict(source),
    }  # fmt: skip
    with ws.db.read() as conn:
        known = next((v for v in rows.listing(conn) if v.ref == ref), None)
        same = [
            j
            for j in jobs.listing(conn, open_only=True)
            if j.kind == "receive" and (j.params["version"], j.params["root"]) == (ref, published.digest)
        ]
    if known is not None and known.root == published.digest and not same:
        yield Started(f"receive {ref}", 0)
        told: dict[str, object] = {"version": ref, "root": published.digest, "assets": 0, "already": True}
        if documents_folder(
            ws, dataset, tag
        ).is_dir():  # received, not published here: killed before the receipt was left?
            told["receipt"], why = _receipt(ws, hub, published, known)
            if why:
                yield Warned(f"the receipt could not be left there: {why}", hub.where)
        yield Finished(told)
        return
    if not same:
        with ws.db.read() as conn:
            arrival.demand_room(conn, ws, published, known)
        yield from _proved(ws, hub, published, ref)
    job = same[-1] if same else _create(ws, published, params)
    yield from _take(ws, hub, published, job)


def _demand_trust(ws: Workspace, published: Published, ref: str, trust: str) -> None:
    mark = seal.fingerprint(published.public)
    if trusts.standing(ws, published.public) != "unknown":
        return
    if not trust or not trusts.same(trust, published.public):
        what = (
            f"it is signed by another key, {mark}, than the one you trust"
            if trust
            else f"nobody here trusts its key, {mark}"
        )
        raise InvalidInput(
            what, where=ref, remedy="compare it with what its publisher says, then --trust FINGERPRINT"
        )
    trusts.trust(ws, published.public)
    with ws.db.write() as conn:
        audit.append(conn, agent=ws.person.name, verb="keys trust", subject=mark, detail={"for": ref})


def _proved(ws: Workspace, hub: Store, published: Published, ref: str) -> Iterator[Event]:
    """The whole manifest, before anything is written: it is what was signed, and all of it can be taken in.

    Media are proved one by one as they come.
    """
    root, total = published.root, published.root.counts.assets
    yield Started(f"prove {ref}", total)
    reader, held = Reader(hub), dict[str, bytes]()

    def get(b3: str) -> bytes:
        held[b3] = reader.get(b3)
        return held[b3]

    folder = ws.folder / FOLDER
    folder.mkdir(exist_ok=True)
    sieve, faults, done = arrival.Sieve(folder), 0, 0
    for n, checked in enumerate(proof.check(root, get)):
        found = list(checked.faults)
        if n < len(root.chunks) and not found:
            found += sieve.look(manifest.read(root.chunks[n], held.__getitem__))
            with ws.db.read() as conn:
                arrival.demand_new(conn, sieve.uids)
        held.clear()
        faults += len(found)
        done += len(checked.facts)
        yield from (Warned(f.what, f.where) for f in found)
        yield Progress(done, total, "manifest")
    last = list(sieve.end())
    yield from (Warned(f.what, f.where or ref) for f in last)
    if faults + len(last):
        raise InvalidInput(f"{faults + len(last)} faults in the manifest; nothing was received", where=f"{hub.where} {ref}",
                           remedy="have it published again")  # fmt: skip


def _create(ws: Workspace, published: Published, params: dict[str, object]) -> Job:
    code = published.root.schema.code
    with ws.db.write() as conn:
        activity = record.start_activity(conn, "receive", ws.person.id, params)
        record.link(conn, activity, "used", "package", f"{params['version']} {published.digest}")
        record.link(conn, activity, "used", "key", published.public.hex())
        dataset_id = register.add_dataset(conn, published.dataset, code)
        record.link(conn, activity, "generated", "dataset", published.dataset)
        job_id = jobs.create(
            conn, "receive", activity_id=activity, dataset_id=dataset_id, params=params,
            total=published.root.counts.assets, shards=[(1, 2**62)],
        )  # fmt: skip
        return jobs.get(conn, job_id)


# --- taking it in ---------------------------------------------------------------------------------------------------


def _take(ws: Workspace, hub: Store, published: Published, job: Job) -> Work:
    root, ref = published.root, str(job.params["version"])
    yield Started(f"receive {ref}", root.counts.assets, str(job.id))
    reader, done = Reader(hub), job.done
    step = job.step
    with (
        jobs.held(ws.db, job.id) as lease,
        ThreadPoolExecutor(max(1, hub.threads), "lamproom-receive") as pool,
    ):
        documents = _keep_documents(ws, published)
        schema_id = _schema(ws, job, root.schema, arrival.text_of(published))
        n = 0
        for chunk in root.chunks:
            if n + chunk.n <= lease.position:  # done before
                n += chunk.n
                continue
            entries = manifest.read(chunk, reader.get)
            for part in (entries[i : i + PART] for i in range(0, len(entries), PART)):
                n += len(part)
                if n <= lease.position:
                    continue
                facts = [arrival.fact_of(e.facts) for e in part]
                try:
                    probes = list(pool.map(partial(_fetch, ws, reader), facts))
                except InvalidInput as error:
                    remedy = f"mended there, the same line goes on; else {_way_out(job)}"
                    raise InvalidInput(error.what, where=error.where, remedy=remedy) from error
                step = _commit(ws, job, lease, part, facts, probes, n, step)
                done += len(part)
                yield Progress(done, root.counts.assets, "pictures")
        yield from _sealed(ws, hub, job, published, schema_id)
    version = versions.find(ws, ref)
    receipt, fault = _receipt(ws, hub, published, version)
    if fault:
        yield Warned(f"the receipt could not be left there: {fault}", hub.where)
    yield Finished(
        {"version": ref, "root": published.digest, "assets": root.counts.assets, "annotations": root.counts.objects,
         "media_bytes": root.counts.size, "key": seal.fingerprint(published.public), "job": job.id, "already": False,
         "documents": sorted(documents), "receipt": receipt},
        Changes(version.rev, datasets=(version.dataset_id,), everything=True),
    )  # fmt: skip


def _receipt(ws: Workspace, hub: Store, published: Published, version: Version) -> tuple[str, str]:
    file, fault = receipts.leave(
        ws, hub, published, version, documents_folder(ws, version.dataset, version.tag)
    )
    return str(file), fault


def _keep_documents(ws: Workspace, published: Published) -> Mapping[str, bytes]:
    """What was published beside the data stays readable here: lineage, card, report."""
    found = published.documents
    folder = documents_folder(ws, published.dataset, published.tag)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in found.items():
        files.write(folder / name, data)
    return found


def documents_folder(ws: Workspace, dataset: str, tag: str) -> Path:
    """Where the documents of a received version lie."""
    return ws.folder / FOLDER / ".documents" / package.safe_name(f"{dataset}@{tag}")


def _schema(ws: Workspace, job: Job, ref: SchemaRef, text: str) -> int:
    """The row of the very schema version, made when it is not here."""
    with ws.db.read() as conn:
        agent_id = register.agent_of(conn, job.activity_id)
        found, _ = arrival.schema_here(conn, ref)
    if found is not None:
        return found
    with record.change(ws.db, agent_id=agent_id, activity_id=job.activity_id, verb="schema") as draft:
        found, live = arrival.schema_here(draft.conn, ref)
        if found is not None:  # of another receiving, just now
            return found
        draft.close("schema_version", live)
        return int(
            draft.conn.execute(
                sa.text(
                    "INSERT INTO schema_version (code, number, body, blake3, born) VALUES (:c, :n, :b, :d, :r) RETURNING id"
                ),
                {
                    "c": ref.code,
                    "n": ref.number,
                    "b": text,
                    "d": canonical.digest(text.encode()),
                    "r": draft.rev,
                },
            ).scalar_one()
        )


def _fetch(ws: Workspace, reader: Reader, fact: Fact) -> tuple[Probe, int]:
    """The picture's bytes in their place on the disk, proved; what they are, and their mtime in ns.

    Raises:
        InvalidInput: the hub gives other bytes, or they are no picture of the announced size.
    """
    data = arrival.bounded(reader.media(fact), fact.size, fact.key)
    try:
        probe = media.probe(data)
    except InvalidInput as error:
        raise InvalidInput(error.what, where=fact.key, remedy=error.remedy) from error
    if (probe.blake3.hex(), probe.sha256.hex(), probe.size_bytes) != (fact.asset, fact.sha256, fact.size):
        raise InvalidInput(
            "the bytes are not those that were frozen", where=fact.key, remedy="`lamproom verify --hub`"
        )
    if (probe.media_type, (probe.width_px, probe.height_px)) != (fact.media_type, fact.wh):
        raise InvalidInput("the picture has another size or type than was frozen", where=fact.key)
    code, _, path = fact.key.partition("/")
    if needs_copy(path):  # a member of an archive: its bytes lie in the workspace, as after an ingest
        blobs.put(ws.folder, data)
        return probe, 0
    target = Path(os.fsdecode(names.native(arrival.root_location(ws, code), path.encode())))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (
            target.is_file()
            and target.stat().st_size == fact.size
            and media.probe_file(target).blake3 == probe.blake3
        ):
            files.write(target, data)
        return probe, target.stat().st_mtime_ns
    except OSError as error:
        raise Unavailable(
            f"cannot be written: {error.strerror or error}", where=fact.key, remedy="free some space"
        ) from error


def _commit(
    ws: Workspace, job: Job, lease: Lease, part: Sequence[Entry], facts: Sequence[Fact],
    probes: Sequence[tuple[Probe, int]], position: int, step: int | None,
) -> int:  # fmt: skip
    dataset_id = job.dataset_id or 0
    with ws.db.read() as conn:
        agent_id = register.agent_of(conn, job.activity_id)
    with record.change(
        ws.db, agent_id=agent_id, activity_id=job.activity_id, verb="receive", dataset_id=dataset_id, step=step, durable=False
    ) as draft:  # fmt: skip
        conn = draft.conn
        roots = _roots(conn, ws, {f.key.partition("/")[0] for f in facts})
        ids = _assets(
            conn,
            [
                NewAsset(roots[f.key.partition("/")[0]], f.key.partition("/")[2], None, mtime, probe)
                for f, (probe, mtime) in zip(facts, probes, strict=True)
            ],
            job.activity_id,
        )
        splits = [_labelled(e.labels).split or "" for e in part]
        draft.enrol(
            [ItemEdit(dataset_id, i, opens=(SPLITS.index(s), 0)) for i, s in zip(ids, splits, strict=True)]
        )
        sets = [arrival.read_set(e.set, f.key) for e, f in zip(part, facts, strict=True)]
        numbers = record.label_ids(conn, sorted({o.label for objects in sets for o in objects}))
        arrival.demand_new(conn, [bytes.fromhex(o.uid) for objects in sets for o in objects])
        draft.annotate(
            [
                Edit(opens=arrival.content(o, asset_id, numbers))
                for asset_id, objects in zip(ids, sets, strict=True)
                for o in objects
            ]
        )
        jobs.advance(conn, lease, position, n=len(part), step=draft.step)
    return step or draft.step


def _assets(conn: Connection, pictures: Sequence[NewAsset], activity_id: int) -> list[int]:
    """Their ids; what a receiving that was undone left registered is not registered again."""
    held = conn.execute(
        sa.text("SELECT blake3, source_root_id, path, id FROM asset WHERE blake3 IN :d").bindparams(
            sa.bindparam("d", expanding=True)
        ),
        {"d": [p.facts.blake3 for p in pictures]},
    )
    known = {(bytes(r[0]), r[1], r[2]): int(r[3]) for r in held}
    keys = [(p.facts.blake3, p.root_id, p.path) for p in pictures]
    new = [(k, p) for k, p in zip(keys, pictures, strict=True) if k not in known]
    made = register.insert_assets(conn, [p for _, p in new], activity_id) if new else []
    known |= {k: i for (k, _), i in zip(new, made, strict=True)}
    return [known[k] for k in keys]


def _roots(conn: Connection, ws: Workspace, codes: set[str]) -> dict[str, int]:
    found = {r.code: r.id for r in register.roots(conn)}
    for code in sorted(codes - found.keys()):
        row = conn.execute(
            sa.text("INSERT INTO source_root (code, location) VALUES (:c, :l) RETURNING id"),
            {"c": code, "l": arrival.root_location(ws, code)},
        )
        found[code] = int(row.scalar_one())
    return found


# --- the same root --------------------------------------------------------------------------------------------------


def _sealed(ws: Workspace, hub: Store, job: Job, published: Published, schema_id: int) -> Iterator[Event]:
    """The record must build to the very root that was signed; then, all at once, the version is here and the job has ended.

    Raises:
        Conflict: what was received was changed here meanwhile.
    """
    signature = store.read(
        hub, f"{package.version_prefix(published.dataset, published.tag)}root.sig", 1 << 10
    )
    root, dataset_id, chosen = published.root, job.dataset_id or 0, Filter(predictions=True)
    with ws.db.read() as conn:
        rev = record.newest(conn)
    lines: list[Chunk] = []
    with building.building(ws) as staging:
        state = Version(
            0, "", dataset_id, published.dataset, published.tag, rev, schema_id, root.schema.code, root.schema.number, chosen,
            job.activity_id, "", 0, None, None, None, None, None,
        )  # fmt: skip
        yield from building.write_whole(ws, state, staging, lines, root.counts.assets)
        with kept_objects.keeping(ws) as put:
            digest = put(
                manifest.root_bytes(manifest.root(lines, dataset=published.dataset, schema=root.schema))
            )
        if digest != published.digest:
            raise Conflict(
                "what was received was changed here before it was whole", where=str(job.params["version"]),
                remedy=_way_out(job),
            )  # fmt: skip
        with ws.db.write() as conn:
            database.freeze_lock(conn)
            rows.pin(
                conn, uid=new_uid(), dataset_id=dataset_id, tag=published.tag, rev=rev, schema_version_id=schema_id,
                filter=chosen, activity_id=job.activity_id,
            )  # fmt: skip
            version = rows.find(conn, published.dataset, published.tag)
            rows.seal(conn, version.id, root=bytes.fromhex(digest), signature=signature)
            record.link(conn, job.activity_id, "generated", "version", version.uid)
            jobs.finish(conn, job.id, "finished")
            audit.append(
                conn, agent=ws.person.name, verb="receive", subject=str(job.params["version"]),
                detail={"hub": str(job.params["hub"]), "key": str(job.params["key"]), "root": published.digest},
            )  # fmt: skip


def _way_out(job: Job) -> str:
    """What is to be done with a receiving that cannot end."""
    return tr("`lamproom jobs cancel {n}`, then `lamproom undo` its step; receive it again", n=job.id)

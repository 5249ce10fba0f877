"""Publish a version to a hub: manifest, media, label schema, lineage and a card. A queued job that survives kills and restarts."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.engine import Connection

from annotation.errors import Conflict, InvalidInput, LamproomError, NotFound
from app import hours
from app.events import Event, Finished, Progress, Started, Warned, Work
from app.hours import CLOCK, Clock
from app.i18n import tr
from app.services import documents, gate, hubs, versions
from app.services.gate import Ask
from app.services.workspace import Workspace
from storage import audit, blobs, jobs, keys, manifest, names, record, seal
from storage.hub import package as packages
from storage.hub import publish as publishing
from storage.hub import reading
from storage.hub.package import Package
from storage.hub.publish import Plan, Sent
from storage.hub.reading import Published
from storage.hub.store import Pace, Store, Unfinished
from storage.hubs import Hub, UploadsOf
from storage.jobs import Job
from storage.manifest import Root
from storage.versions import Version

SAVED_S = 2.0
"""Seconds between two notes of progress in the record; the hub itself says what is there."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a version is sent. limit: bytes a second, 0 = the hub's own; window: hours as "22:00-06:00", "" = the hub's own.

    pack: small pictures together; None = when the line is long. priority: of jobs that wait the highest goes first.
    names: people's names in the documents, not only how many they were.
    """

    limit: int = 0
    window: str = ""
    pack: bool | None = None
    priority: int = 0
    names: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a publishing would send: objects and bytes that the hub lacks, of assets and bytes in all.

    rate: bytes a second of the last publishing there, 0 = none was measured; seconds: at that rate. cost: by the price of
    a GB that the hub's notes give, in `currency`.
    """

    objects: int
    size: int
    assets: int
    whole: int
    rate: float
    seconds: float | None
    cost: float | None
    currency: str


def run(
    ws: Workspace,
    ref: str,
    hub: str | Path,
    *,
    way: Way | None = None,
    ask: Ask | None = None,
    later: bool = False,
    clock: Clock = CLOCK,
) -> Work:
    """Send a version; interrupted or partly there, the same call goes on where it stopped. The root is written last.

    Args:
        ref: `dataset@tag`; its manifest is built first when it is not yet.
        hub: the name of a hub, a hub folder, or a new or empty folder that becomes one.
        ask: who is to have it and what for (default: gate.OUTSIDE): policy tags may keep it in.
        later: only queue it.

    Raises:
        NotFound: no such version, no such hub.
        Conflict: that tag is published there with another content, or somebody else is publishing there.
        InvalidInput: its policy tags keep it in; or media are missing or changed since the freeze: each is a `Warned`,
            and no root is written.
        Unavailable: the hub cannot be reached, is full, or does not keep what it takes. The job waits to be resumed.
    """
    way, ask = way or Way(), gate.checked(ask or gate.OUTSIDE)
    hours.parse(way.window)
    version, where = versions.find(ws, ref), hubs.hub_of(ws, hub)
    demand_leave(ws, version, ask)
    if not later:
        with closing(hubs.opened(ws, where, patience_s=hubs.SOON_S)) as store:
            publishing.prepare(store)  # a place that cannot be a hub leaves no job behind
    with ws.db.write() as conn:
        job = _waiting(conn, version, where) or _begin(conn, ws, version, where, way, ask)
    if later:
        yield Finished({"version": ref, "hub": where.name, "job": job.id, "queued": True})
        return
    yield from _go_on(ws, job, version, where, clock)


def go_on(ws: Workspace, job: Job, *, clock: Clock = CLOCK) -> Work:
    """Do what is left of a job that was interrupted.

    Raises:
        Conflict: another process works on it. And all that `run` raises.
    """
    version = versions.find(ws, str(job.params["version"]))
    said = Ask(**_mapping(job.params["ask"]))
    demand_leave(ws, version, said)
    yield from _go_on(ws, job, version, hubs.hub_of(ws, _hub_text(job.params)), clock)


def estimate(ws: Workspace, ref: str, hub: str | Path) -> Estimate:
    """What would have to be sent, how long and for how much, without sending anything.

    Raises:
        NotFound: no such version or hub, or its manifest has not been built. Unavailable: the hub cannot be reached.
    """
    version = versions.find(ws, ref)
    if version.root is None:
        raise NotFound("its manifest has not been written yet", where=ref, remedy="publishing writes it")
    _, root = versions.load(ws, version)
    where = hubs.hub_of(ws, hub)
    with closing(hubs.opened(ws, where, patience_s=hubs.SOON_S)) as store:
        lacks = publishing.need(store, root, lambda b3: blobs.get(ws.folder, b3))
    rate, notes = _measured(ws, where.name), _mapping(where.settings.get("notes", {}))
    price = notes.get("price_gb_micro")
    return Estimate(
        lacks.objects,
        lacks.size,
        root.counts.assets,
        root.counts.size,
        rate,
        lacks.size / rate if rate > 0 else None,
        lacks.size / 1e9 * price / 1e6 if price is not None else None,
        str(notes.get("currency", "")),
    )


def _measured(ws: Workspace, hub: str) -> float:
    """Bytes a second of the last publishing to a hub that took a while; 0 = none did."""
    with ws.db.read() as conn:
        for entry in reversed(audit.entries(conn, after=max(0, audit.head(conn)[0] - 500), limit=500)):
            seconds, sent = entry.detail.get("milliseconds", 0), entry.detail.get("bytes", 0)
            if (
                entry.verb == "publish" and entry.detail.get("hub") == hub
                and isinstance(seconds, int) and isinstance(sent, int) and seconds > 200 and sent > 1 << 20
            ):  # fmt: skip
                return sent / seconds * 1000
    return 0.0


def cancelled(ws: Workspace, job: Job) -> None:
    """End the multipart uploads of a job that was cancelled, as far as the hub can be reached."""
    hub = hubs.hub_of(ws, _hub_text(job.params))
    if not hub.id:
        return
    memory = UploadsOf(ws.db, hub.id)
    with closing(hubs.opened(ws, hub, patience_s=hubs.SOON_S)) as store:
        for key, upload_id in memory.all():
            store.end(Unfinished(key, upload_id, None))
            memory.ended(key)


@dataclass(frozen=True, slots=True)
class Queued:
    """A publishing for a list. state: as of jobs.JobRow; note: what keeps it waiting."""

    job: int
    ref: str
    hub: str
    state: str
    done: int
    total: int | None
    note: str


def queue(ws: Workspace, *, limit: int = 200) -> list[Queued]:
    """Publishings of this workspace, newest first."""
    with ws.db.read() as conn:
        found = [j for j in jobs.listing(conn, limit=limit) if j.kind == "publish"]
        out = []
        for j in found:
            said, _, note = (j.outcome or "").partition(": ")
            held = j.ended_ms is None and jobs.held_by(conn, j.id) is not None
            hub = _mapping(j.params["hub"])
            name = hub["name"] if "name" in hub else names.readable(bytes.fromhex(hub["path"]))
            out.append(
                Queued(
                    j.id,
                    str(j.params["version"]),
                    name,
                    "running" if held else said or "waiting",
                    j.done,
                    j.total,
                    note,
                )
            )
    return out


# -- the job ---------------------------------------------------------------------------------------------------------


def demand_leave(ws: Workspace, version: Version, ask: Ask) -> None:
    """The gate (app/services/gate.py), for a version. InvalidInput when its policy tags keep it in."""
    gate.demand(
        ws, version.ref, dataset_id=version.dataset_id, rev=version.rev, filter=version.filter,
        version_id=version.id, ask=ask, verb="publish",
    )  # fmt: skip


def may_leave(ws: Workspace, ref: str, ask: Ask) -> list[gate.Reason]:
    """Every reason why a version may not leave for this; [] when it may. Nothing is written and nothing sent.

    Raises:
        NotFound: no such version.
    """
    version = versions.find(ws, ref)
    return gate.check(
        ws, dataset_id=version.dataset_id, rev=version.rev, filter=version.filter, version_id=version.id,
        ask=gate.checked(ask),
    )  # fmt: skip


def _hub_params(hub: Hub) -> dict[str, object]:
    return {"name": hub.name} if hub.id else {"path": hub.settings["path"]}


def _hub_text(params: Mapping[str, object]) -> str | Path:
    said = _mapping(params["hub"])
    return str(said["name"]) if "name" in said else Path(os.fsdecode(bytes.fromhex(said["path"])))


def _said_ask(job: Job) -> dict[str, str]:
    ask = _mapping(job.params["ask"])
    return {"audience": ask["audience"], "purpose": ask["purpose"]}


def _mapping(value: object) -> dict[str, Any]:
    assert isinstance(value, dict)
    return value


def _waiting(conn: Connection, version: Version, hub: Hub) -> Job | None:
    """The job that was asked for the same and has not ended."""
    return next(
        (
            job
            for job in jobs.listing(conn, open_only=True)
            if job.kind == "publish"
            and job.params["version"] == version.ref
            and job.params["hub"] == _hub_params(hub)
        ),
        None,
    )


def _begin(conn: Connection, ws: Workspace, version: Version, hub: Hub, way: Way, ask: Ask) -> Job:
    name = hub.name if hub.id else names.readable(os.path.basename(bytes.fromhex(hub.settings["path"])))  # noqa: PTH119 - bytes
    activity = record.start_activity(conn, "publish", ws.person.id, {"version": version.ref, "hub": name})
    record.link(conn, activity, "used", "version", version.uid)
    window = way.window or str(hub.settings.get("window", ""))
    params = {
        "version": version.ref, "hub": _hub_params(hub), "ask": asdict(ask), "pack": way.pack,
        "limit": way.limit or hub.settings.get("limit", 0), "course": {"window": window}, "names": way.names,
    }  # fmt: skip
    job_id = jobs.create(
        conn, "publish", activity_id=activity, dataset_id=version.dataset_id, params=params, shards=[(1, 1)],
        priority=way.priority,
    )  # fmt: skip
    return jobs.get(conn, job_id)


def _go_on(ws: Workspace, job: Job, version: Version, hub: Hub, clock: Clock) -> Work:
    begun = time.monotonic()
    yield Started(f"publish {version.ref}", job.total, str(job.id))
    with jobs.held(ws.db, job.id) as lease, closing(hubs.opened(ws, hub)) as store:
        try:
            yield from (e for e in versions.sealed(ws, version) if not isinstance(e, Finished))
            version, root = versions.load(ws, version)
            with ws.db.write(durable=False) as conn:
                conn.execute(
                    sa.text("UPDATE job SET total = :t WHERE id = :i"), {"t": root.counts.assets, "i": job.id}
                )
            last = Sent(0, root.counts.assets, 0, 0)
            noted, at = job.done, clock.now()
            there = _there(store, version, root)
            told = yield from _told(ws, job, version, root, there)
            for last in _sent(ws, store, job, hub, version, root, told, clock):
                yield from (Warned(f.what, f.where) for f in last.faults)
                yield _progress(last)
                now = clock.now()
                if (now - at).total_seconds() >= SAVED_S:
                    with ws.db.write(durable=False) as conn:  # raises when it was cancelled meanwhile
                        jobs.advance(conn, lease, 0, n=last.done - noted)
                    noted, at = last.done, now
            if there is None or last.of_objects:
                there = reading.load(store, version.dataset, version.tag)
            published = there
        except Conflict as error:
            with ws.db.write() as conn:
                jobs.finish(conn, job.id, f"failed: {error.what}")
            raise
        except LamproomError as error:
            with ws.db.write() as conn:
                jobs.say(conn, job.id, f"incomplete: {error.line}")
            raise
        with ws.db.write() as conn:
            jobs.advance(conn, lease, 1, n=root.counts.assets - noted)
            record.link(conn, job.activity_id, "generated", "package", f"{version.ref} {published.digest}")
            audit.append(
                conn, agent=ws.person.name, verb="publish", subject=version.ref,
                detail={**_said_ask(job), "hub": hub.name, "root": published.digest, "objects": last.objects, "bytes": last.size,
                        "milliseconds": round((time.monotonic() - begun) * 1000)},
            )  # fmt: skip
            jobs.finish(conn, job.id, "finished")
    yield Finished(
        {"version": version.ref, "root": published.digest, "hub": hub.name, "assets": root.counts.assets,
         "annotations": root.counts.objects, "objects_written": last.objects, "bytes_written": last.size,
         "key": seal.fingerprint(published.public), "job": job.id},
        problems=len(published.faults),
    )  # fmt: skip


def _sent(
    ws: Workspace,
    store: Store,
    job: Job,
    hub: Hub,
    version: Version,
    root: Root,
    told: Mapping[str, bytes],
    clock: Clock,
) -> Iterator[Sent]:
    package = package_of(ws, version, root, told)
    window = hours.parse(str(_mapping(job.params["course"]).get("window", "")))
    limit, pack = job.params["limit"], job.params["pack"]
    plan = Plan(
        pace=Pace(
            limit if isinstance(limit, int) else 0,
            (lambda: window.closed_s(clock.now())) if window is not None else None,
        ),
        pack=pack if isinstance(pack, bool) else None,
        place=versions.place_of(ws),
        staging=ws.folder / "staging",
        resume=UploadsOf(ws.db, hub.id) if hub.id else None,
    )
    (ws.folder / "staging").mkdir(exist_ok=True)
    try:
        yield from publishing.publish(
            store, package, lambda b3: blobs.get(ws.folder, b3), versions.media_of(ws), plan
        )
    except NotFound as error:
        raise InvalidInput(
            f"a part of the manifest is missing: {error.line}", remedy=f"`lamproom verify {version.ref}`"
        ) from error


def _progress(sent: Sent) -> Progress:
    note = ""
    if sent.closed_s:
        note = tr("paused until its hours begin")
    elif sent.of_size:
        note = tr("{done} of {all} MB", done=round(sent.size / 1e6), all=round(sent.of_size / 1e6))
    return Progress(sent.done, sent.total, note, sent.left_s)


# -- what is sent with it --------------------------------------------------------------------------------------------


def _there(store: Store, version: Version, root: Root) -> Published | None:
    """The version as it lies in the hub, if it is this one and without fault."""
    with suppress(LamproomError):
        found = reading.load(store, version.dataset, version.tag)
        if not found.faults and found.digest == blake3(manifest.root_bytes(root)).hexdigest():
            return found
    return None


def _told(
    ws: Workspace, job: Job, version: Version, root: Root, there: Published | None
) -> Generator[Event, None, Mapping[str, bytes]]:
    """The documents: those that lie there already, to the letter, or else new ones."""
    if there is not None:
        return there.documents
    return (yield from documents.made(ws, version, root, names=bool(job.params.get("names"))))


def package_of(ws: Workspace, version: Version, root: Root, told: Mapping[str, bytes]) -> Package:
    """What is published with a version: its root, signatures and documents.

    Raises:
        InvalidInput: it was sealed with another key.
    """
    data = manifest.root_bytes(root)
    public = bytes.fromhex(version.public or "")
    key = keys.signing_key(ws)
    if seal.public_bytes(key) != public:
        raise InvalidInput(
            "the version was sealed with the key of another machine", where=version.ref,
            remedy="publish it from there, or freeze it again here under a new tag",
        )  # fmt: skip
    statement = packages.package_bytes(version.dataset, version.tag, data, told)
    return Package(
        version.dataset,
        version.tag,
        data,
        bytes.fromhex(version.signature or ""),
        public,
        told,
        key.sign(statement),
        bytes.fromhex(version.statement_signature or ""),
    )

"""Training and other work at a hub, ordered on a published version: submitted, followed, cancelled, its results collected.

Finished is what the results say, never the scheduler: a job counts when its done.json is there and every output is the file it
names. What comes back is part of the lineage: a trained model with the version it was trained on.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from annotation import canonical
from annotation.core import new_uid
from annotation.errors import Conflict, InvalidInput, LamproomError, NotFound, Unavailable
from app.events import Changes, Event, Finished, Progress, Started, Warned, Work
from app.services import evaluation, gate, hubs, imports, onnx, publish, runners, versions
from app.services.workspace import Workspace
from storage import audit, blobs, jobs, record
from storage.hub import hubjob, reading
from storage.hub.hubjob import Done, Input, Opened, Output, Resources, Spec
from storage.jobs import Job
from storage.versions import Version

__all__ = [
    "Estimate",
    "Shown",
    "State",
    "cancel",
    "collect",
    "estimate",
    "listing",
    "read_spec",
    "state",
    "submit",
]

State = Literal["written", "waiting", "running", "finished", "failed", "lost", "cancelled", "collected"]
MAX_SPEC_BYTES = 1 << 16


class _Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A job as a person writes it, in TOML."""

    command: tuple[str, ...]
    name: str
    outputs: tuple[Output, ...]
    env: dict[str, str] = {}
    image: str = ""
    models: tuple[str, ...] = ()
    purpose: Literal["training", "evaluation", "prelabelling"] = "training"
    resources: Resources = Resources()


def read_spec(file: Path) -> _Told:
    """A job's description from a TOML file.

    Raises:
        InvalidInput: it cannot be read, or says something we do not know.
    """
    try:
        data = file.read_bytes()
        if len(data) > MAX_SPEC_BYTES:
            raise InvalidInput(f"{len(data)} bytes", where=str(file), remedy=f"at most {MAX_SPEC_BYTES}")
        return msgspec.convert(tomllib.loads(data.decode("utf-8-sig")), _Told)
    except OSError as error:
        raise NotFound(f"cannot be opened: {error.strerror}", where=str(file)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise InvalidInput(
            f"not a job's description: {error}", where=str(file), remedy="the manual has an example"
        ) from error


# --- before anything is sent ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job would need. bytes, objects: still to be sent; hours None = nobody measured the line; cost None = no prices."""

    hub: str
    objects: int
    size: int
    hours: float | None
    rate: float
    job_hours: float
    cost: float | None
    currency: str
    capacity: str


def estimate(ws: Workspace, ref: str, hub: str, told: _Told) -> Estimate:
    """Bytes to send after what the hub has, hours at the rate of the last publishing there, cost by the hub's notes.

    Raises:
        NotFound: no such version or hub. Unavailable: the hub cannot be reached.
    """
    found = hubs.hub_of(ws, hub)
    lacks = publish.estimate(ws, ref, hub)
    notes: Mapping[str, Any] = found.settings.get("notes", {})
    job_hours = told.resources.minutes / 60
    cost = None
    if "price_gb_micro" in notes or "price_hour_micro" in notes:
        units = max(1, told.resources.gpus)
        cost = (
            lacks.size / 1e9 * notes.get("price_gb_micro", 0) / 1e6
            + job_hours * units * notes.get("price_hour_micro", 0) / 1e6
        )
    return Estimate(
        found.name, lacks.objects, lacks.size, lacks.seconds / 3600 if lacks.seconds is not None else None, lacks.rate, job_hours,
        cost, str(notes.get("currency", "")), str(notes.get("capacity", "")),
    )  # fmt: skip


# --- submitting -----------------------------------------------------------------------------------------------------


def submit(
    ws: Workspace, ref: str, hub: str, told: _Told, *, scratch: Path, runner: str = "slurm", options: Sequence[str] = (),
    audience: str = gate.OUTSIDE.audience, override: str = "",
) -> Work:  # fmt: skip
    """Write a job's directory and hand it to a scheduler.

    Args:
        hub: where the version is published. scratch: a folder that the cluster sees.
        runner: "slurm", or "files" = only write the files for Ray, Kubernetes and by hand.
        options: for sbatch, `--name=value`.
        audience, override: for the gate, which is asked once more: what was published for one purpose is not free for
            every other, and a tag may have come since. Pre-labels are made for training.

    Raises:
        NotFound: no such version, or it is not published there. InvalidInput: the description cannot be run, or policy
            tags keep the version from this use. Unavailable: Slurm does not take it; nothing is left in the queue.
    """
    version = versions.find(ws, ref)
    if runner not in ("slurm", "files"):
        raise InvalidInput(f"there is no runner {runner!r}", remedy="slurm or files")
    asked = runners.options(options)
    if asked and runner != "slurm":
        raise InvalidInput("options are for Slurm")
    purpose = "training" if told.purpose == "prelabelling" else told.purpose
    gate.demand(
        ws, ref, dataset_id=version.dataset_id, rev=version.rev, filter=version.filter, version_id=version.id,
        ask=gate.Ask(audience, purpose, override), verb="submit",
    )  # fmt: skip
    found = hubs.hub_of(ws, hub)
    with closing(hubs.opened(ws, found)) as store:
        published = reading.load(store, version.dataset, version.tag)
    if published.faults or published.digest != version.root:
        raise InvalidInput(
            "the hub holds another content of this version",
            where=f"{found.name} {ref}",
            remedy=f"`lamproom publish {ref}`",
        )
    where = canonical.encode({"kind": found.kind, "settings": dict(found.settings)}).decode()
    spec = Spec(
        told.command, tuple(sorted(told.env.items())), hubjob.FORMAT, told.image,
        (Input(where, published.digest, ref),), _digests(ws, told.models), told.name, told.outputs, told.purpose,
        told.resources, new_uid(),
    )  # fmt: skip
    yield Started(f"submit {told.name}", None)
    if runner == "slurm":
        runners.demand_slurm()
    folder = scratch.resolve() / f"lamproom-{spec.name}-{spec.uid[-12:]}"
    opened = hubjob.make(folder, spec, run=(*runners.program(), "hubjob", "run", "@"), options=asked)
    job = _create(ws, version, found.name, opened, runner)  # first: what Slurm has is never unknown here
    ticket = _begun(ws, job, opened) if runner == "slurm" else {}
    told_: dict[str, object] = {
        "job": job.id, "version": ref, "hub": found.name, "folder": str(folder), "runner": runner, "name": spec.name
    }  # fmt: skip
    yield Finished({**told_, **({"slurm": ticket["job"]} if ticket else {})})


def _digests(ws: Workspace, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(onnx.show(ws, name).sha256 for name in names)


def _begun(ws: Workspace, job: Job, opened: Opened) -> runners.Ticket:
    """Hand it to Slurm and remember its number there."""
    try:
        ticket = runners.begin_script(opened.folder / "job.sbatch", opened.folder)
    except LamproomError as fault:
        with ws.db.write() as conn:
            jobs.finish(conn, job.id, f"failed: {fault.what}")
        raise
    with ws.db.write() as conn:
        jobs.turn(conn, job.id, priority=job.priority, params={**job.params, "ticket": dict(ticket)})
    return ticket


def _create(ws: Workspace, version: Version, hub: str, opened: Opened, runner: str) -> Job:
    spec = opened.spec
    params: dict[str, object] = {
        "version": version.ref, "hub": hub, "folder": os.fsencode(opened.folder).hex(), "digest": opened.digest,
        "runner": runner, "ticket": {}, "name": spec.name, "purpose": spec.purpose,
    }  # fmt: skip
    with ws.db.write() as conn:
        agent = record.agent(conn, "hub", hub)
        shown = {k: params[k] for k in ("version", "hub", "runner", "name", "purpose")}
        activity = record.start_activity(
            conn, "hub job", agent.id, {**shown, "started_by": ws.person.name, "spec": opened.digest}
        )
        record.link(conn, activity, "used", "version", version.uid)
        for digest in spec.models:
            record.link(conn, activity, "used", "model", digest)
        job_id = jobs.create(
            conn,
            "hubjob",
            activity_id=activity,
            dataset_id=version.dataset_id,
            params=params,
            shards=[(1, 1)],
        )
        audit.append(
            conn, agent=ws.person.name, verb="submit", subject=version.ref,
            detail={"hub": hub, "job": job_id, "name": spec.name, "purpose": spec.purpose},
        )  # fmt: skip
        return jobs.get(conn, job_id)


# --- following ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """A job at a hub for a list. why: the last fault, "" when there was none."""

    id: int
    name: str
    version: str
    hub: str
    runner: str
    purpose: str
    state: State
    folder: str
    submitted_ms: int
    why: str = ""


def listing(ws: Workspace, *, limit: int = 100) -> list[Shown]:
    """Jobs at hubs, newest first."""
    with ws.db.read() as conn:
        found = [j for j in jobs.listing(conn, limit=10_000) if j.kind == "hubjob"][:limit]
    return [state(ws, job) for job in found]


def find(ws: Workspace, job_id: int) -> Job:
    """The job at a hub of this number; NotFound."""
    with ws.db.read() as conn:
        job = jobs.get(conn, job_id)
    if job.kind != "hubjob":
        raise NotFound(f"job {job_id} is none of a hub", remedy="`lamproom hubjob list` names them")
    return job


def _folder(job: Job) -> Path:
    return Path(os.fsdecode(bytes.fromhex(str(job.params["folder"]))))


def state(ws: Workspace, job: Job) -> Shown:
    """How a job stands: by its results, then by whether anything of it still runs."""
    p: Mapping[str, Any] = job.params
    folder = _folder(job)
    found, why = _state(job, folder)
    return Shown(
        job.id,
        p["name"],
        p["version"],
        p["hub"],
        p["runner"],
        p["purpose"],
        found,
        str(folder),
        job.started_ms,
        why,
    )


def _state(job: Job, folder: Path) -> tuple[State, str]:
    if job.outcome == "cancelled":
        return "cancelled", ""
    if job.ended_ms is not None:
        outcome, _, why = (job.outcome or "").partition(": ")
        return ("failed", why) if outcome == "failed" else ("collected", "")
    try:
        opened = hubjob.load(folder, digest=str(job.params["digest"]))
        if hubjob.done(opened) is not None:
            return "finished", ""
    except (NotFound, InvalidInput, Unavailable) as fault:
        return "lost", fault.line
    ticket: Any = job.params["ticket"]
    alive = runners.script_state(ticket) if ticket else None
    if alive in ("waiting", "running"):
        return ("running" if alive == "running" else "waiting"), ""
    if (said := hubjob.failed(folder)) is not None:
        return "failed", str(said.get("why", ""))
    if not ticket:
        return ("running" if (folder / hubjob.STARTED).is_file() else "written"), ""
    return (
        ("waiting", "") if alive is None else ("lost", "nothing of it runs any more, and it left no results")
    )


def cancel(ws: Workspace, job_id: int) -> None:
    """Stop a job and forget what it would have given.

    Raises:
        NotFound: no such job. Conflict: it has ended.
    """
    job = find(ws, job_id)
    if job.ended_ms is not None:
        raise Conflict(f"job {job_id} has ended: {job.outcome}")
    stop(job)
    with ws.db.write() as conn:
        jobs.finish(conn, job.id, "cancelled")
        audit.append(
            conn,
            agent=ws.person.name,
            verb="cancel",
            subject=str(job.params["version"]),
            detail={"job": job.id},
        )


def stop(job: Job) -> None:
    """Take a job from its scheduler, as far as one has it."""
    ticket: Any = job.params["ticket"]
    if ticket:
        runners.cancel_script(ticket)


# --- collecting -----------------------------------------------------------------------------------------------------


def collect(ws: Workspace, job_id: int, *, name: str = "", evaluate_on: str = "") -> Work:
    """Take in the results of a finished job: models into the workspace, predictions onto the version's dataset, everything
    else kept by digest; all in the lineage.

    Args:
        name: what a trained model is called here; by default the job's name.
        evaluate_on: a dataset with truth on which a model is judged at once: its evaluation closes the loop.

    Raises:
        NotFound: no such job. Conflict: it was collected or cancelled. Unavailable: its results are not there yet.
        InvalidInput: they are not what they say, or a model cannot be recognised: nothing was taken in.
    """
    job = find(ws, job_id)
    if job.ended_ms is not None:
        raise Conflict(f"job {job_id} has ended: {job.outcome}")
    opened = hubjob.load(_folder(job), digest=str(job.params["digest"]))
    done = hubjob.done(opened)
    if done is None:
        found, why = _state(job, opened.folder)
        raise Unavailable(
            f"it has no results yet, it is {found}", where=opened.spec.name, remedy=why or "wait for it"
        )
    yield Started(f"collect {opened.spec.name}", len(done.outputs))
    looked = {
        w.path: onnx.look(opened.folder / "out" / w.path) for w in done.outputs if w.kind == "model"
    }  # before anything is kept
    result: dict[str, object] = {}
    for written in (
        done.outputs
    ):  # an import that is refused leaves the job as it is; one that is repeated doubles nothing
        if written.kind == "predictions":
            imported = yield from _predictions(ws, job, opened, opened.folder / "out" / written.path)
            result = {**result, "predictions": imported}
    models: list[str] = []
    kept: dict[str, str] = {}
    for n, written in enumerate(done.outputs, 1):
        path = opened.folder / "out" / written.path
        if written.kind == "model":
            called = (name or opened.spec.name) + (f"-{len(models) + 1}" if models else "")
            models.append(onnx.keep(ws, path, looked[written.path], name=called).name)
        else:
            blobs.put_file(ws.folder, path, written.b3)
            kept[written.path] = written.b3
        yield Progress(n, len(done.outputs))
    _keep(ws, job, opened, done, models, kept)
    result |= {
        "job": job.id, "name": opened.spec.name, "version": job.params["version"], "models": models, "files": kept,
        "host": done.host, "seconds": round((done.ended_ms - done.started_ms) / 1000, 1),
    }  # fmt: skip
    problems = 0
    if evaluate_on and models:
        judged, problems = yield from _judged(ws, evaluate_on, models[0])
        result["evaluation"] = judged
    yield Finished(result, Changes(datasets=(job.dataset_id or 0,)), problems)


def _predictions(ws: Workspace, job: Job, opened: Opened, path: Path) -> Generator[Event, None, object]:
    """Predictions of any format we read, as those of a model named after the job, on the version's dataset."""
    dataset = str(job.params["version"]).rpartition("@")[0]
    wish = imports.Wish(predictions=True, model=opened.spec.name)
    told: object = None
    for event in imports.import_labels(ws, path, dataset=dataset, wish=wish):
        match event:
            case Finished():
                told = event.result["predictions"]
            case Warned() | Progress():
                yield event
    return told


def _judged(
    ws: Workspace, dataset: str, model: str
) -> Generator[Event, None, tuple[Mapping[str, object], int]]:
    told: Mapping[str, object] = {}
    problems = 0
    for event in evaluation.evaluate(ws, evaluation.Ask(dataset, (model,), fresh=True)):
        match event:
            case Finished():
                told, problems = event.result, event.problems
            case Warned() | Progress():
                yield event
    return told, problems


def _keep(
    ws: Workspace, job: Job, opened: Opened, done: Done, models: Sequence[str], kept: Mapping[str, str]
) -> None:
    rows = [onnx.show(ws, m) for m in models]
    with ws.db.write() as conn:
        for row in rows:
            record.link(conn, job.activity_id, "generated", "model", row.sha256)
        for path, b3 in kept.items():
            record.link(conn, job.activity_id, "generated", "file", f"{path} {b3}")
        jobs.finish(conn, job.id, "finished", total=len(done.outputs))
        audit.append(
            conn, agent=ws.person.name, verb="collect", subject=str(job.params["version"]),
            detail={"job": job.id, "models": [r.sha256 for r in rows], "host": done.host},
        )  # fmt: skip

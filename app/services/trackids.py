"""Track ids for predictions: objects that a model found in following frames become one track. A job, undone as one step.

Runs after pre-labelling, not inside it: shards are done out of order and on several machines, tracks need the frames in order.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation import canonical, marks
from annotation.association import Rules, Tracker
from app.events import Changes, Finished, Progress, Started, Work
from app.services import frames, labelling, onnx
from app.services.workspace import Workspace
from storage import jobs, queries, record
from storage.jobs import Job, Lease
from storage.queries import Query, Stored
from storage.record import BATCH_ROWS, Edit

PAGE = 500
FRAMES = 64


@dataclass(slots=True)
class _Tally:
    frames: int = 0
    tracks: int = 0
    objects: int = 0
    rev: int = 0
    step: int | None = None


def run(ws: Workspace, dataset: str, model: str) -> Work:
    """Give the unaccepted predictions of a model track ids, folder by folder in the natural order of the names.

    The same call after an interruption goes on with the unfinished job.

    Raises:
        NotFound: no such dataset or model. Conflict: another process works on it.
    """
    with ws.db.read() as conn:
        data = queries.dataset(conn, dataset)
    row = onnx.show(ws, model)
    with ws.db.write() as conn:
        job = _waiting(conn, data.id, row.sha256) or jobs.get(
            conn, begin(conn, data.id, data.name, row.name, row.sha256, started_by=ws.person.name)
        )
    yield from go_on(ws, job)


def _waiting(conn: Connection, dataset_id: int, sha256: str) -> Job | None:
    """The job that was asked for the same and has not ended: two would give every object another track."""
    return next(
        (
            job
            for job in jobs.listing(conn, open_only=True)
            if job.kind == "track" and job.dataset_id == dataset_id and job.params["sha256"] == sha256
        ),
        None,
    )


def begin(
    conn: Connection,
    dataset_id: int,
    dataset: str,
    model: str,
    sha256: str,
    *,
    step: int | None = None,
    started_by: str = "",
) -> int:
    """A new job, to be done by `go_on`; returns its id.

    Args:
        step: of the pre-label job whose predictions get the ids: both are undone together.
        started_by: who asked for it, if it is a step of its own: a bare `undo` of theirs takes it back.
    """
    agent = record.agent(conn, "model", f"{model} {sha256[:12]}")
    params: dict[str, object] = {"dataset": dataset, "model": model, "sha256": sha256}
    activity = record.start_activity(
        conn, "track", agent.id, {**params, "started_by": started_by}, model_digest=bytes.fromhex(sha256)
    )
    record.link(conn, activity, "used", "dataset", dataset)
    span = queries.span(conn, dataset_id)
    total = queries.count_items(conn, Query(dataset_id))
    job_id = jobs.create(
        conn, "track", activity_id=activity, dataset_id=dataset_id, params=params, total=total, shards=[span] if span else []
    )  # fmt: skip
    if step is not None:
        conn.execute(sa.text("UPDATE job SET step = :s WHERE id = :j"), {"s": step, "j": job_id})
    return job_id


def go_on(ws: Workspace, job: Job) -> Work:
    """Do what is left of a job that was interrupted. A sequence that was begun is done again, with the same ids.

    Raises:
        Conflict: another process works on it.
    """
    assert job.dataset_id is not None
    tally = _Tally()
    yield Started(f"track {job.params['dataset']}", job.total, str(job.id))
    with ws.db.read() as conn:
        agent_id = int(
            conn.execute(
                sa.text("SELECT agent_id FROM activity WHERE id = :i"), {"i": job.activity_id}
            ).scalar_one()
        )
    if _left(ws, job):
        with jobs.held(ws.db, job.id) as lease:
            for first, last, paths in _sequences(ws, job.dataset_id, lease):
                for _ in _track(ws, job, agent_id, first, paths, tally):
                    yield Progress(job.done + tally.frames, job.total)
                with ws.db.write(durable=False) as conn:
                    jobs.advance(conn, lease, last, n=len(paths))
            if _left(ws, job):  # its last pictures left the dataset meanwhile
                with ws.db.write(durable=False) as conn:
                    jobs.advance(conn, lease, lease.last, n=0)
    with ws.db.write() as conn:
        jobs.finish(conn, job.id, "finished")
    yield Finished(
        {"job": job.id, "frames": tally.frames, "tracks": tally.tracks, "objects": tally.objects},
        Changes(tally.rev, datasets=(job.dataset_id,), everything=True),
    )


def _left(ws: Workspace, job: Job) -> bool:
    """Whether a piece of the job is still to be done."""
    with ws.db.read() as conn:
        return jobs.unfinished(conn, job.id) > 0


def _sequences(
    ws: Workspace, dataset_id: int, lease: Lease
) -> Iterator[tuple[int, int, list[tuple[str, int]]]]:
    """(first id, last id, (path, id) in natural order) of each folder behind the lease's position.

    Ids follow the order in which files were found, so a folder's pictures lie together; what came later is a sequence anew.
    """
    held: list[tuple[str, int]] = []
    folder: str | None = None
    after = lease.position
    while True:
        with ws.db.read() as conn:
            ids = queries.asset_ids(conn, Query(dataset_id), after=after, until=lease.last, limit=PAGE)
            rows = queries.items_of(conn, dataset_id, ids)
        for row in rows:
            here = row.path.rpartition("/")[0]
            if held and here != folder:
                yield held[0][1], held[-1][1], _ordered(held)
                held = []
            folder = here
            held.append((row.path, row.asset_id))
        if not ids:
            break
        after = ids[-1]
    if held:
        yield held[0][1], held[-1][1], _ordered(held)


def _ordered(rows: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(rows, key=lambda r: (frames.natural(r[0]), r[1]))


def _track(
    ws: Workspace, job: Job, agent_id: int, first: int, paths: Sequence[tuple[str, int]], tally: _Tally
) -> Iterator[None]:
    """Track one sequence; yields after each part of it that was committed."""
    digest = bytes.fromhex(str(job.params["sha256"]))
    tracker, numbers = Tracker(Rules()), set[int]()
    kinds: dict[str, int] = {}
    for begin_at in range(0, len(paths), FRAMES):
        part = [asset for _, asset in paths[begin_at : begin_at + FRAMES]]
        with ws.db.read() as conn:
            pages = dict(queries.sets_at(conn, part, record.newest(conn)))
            mine = _runs(conn, {r.activity_id for rows in pages.values() for r in rows}, digest)
        edits: dict[int, list[tuple[Stored, str]]] = {}
        for asset in part:
            rows = [
                r for r in pages[asset] if r.origin == "model" and r.activity_id in mine and r.box is not None
            ]
            found = tracker.step(
                np.array([r.box for r in rows], np.float64).reshape(-1, 4),
                np.array([(r.score_micro or 0) / canonical.MICRO for r in rows], np.float64),
                [kinds.setdefault(r.label, len(kinds)) for r in rows],
            )
            numbers.update(found)
            told = [(r, _uid(job, first, n)) for r, n in zip(rows, found, strict=True)]
            changed = [(r, uid) for r, uid in told if (marks.track(labelling.value(r)) or "") != uid]
            if changed:
                edits[asset] = changed
                tally.objects += len(changed)
        _commit(ws, job, agent_id, edits, tally)
        tally.frames += len(part)
        yield
    tally.tracks += len(numbers - {0})


def _runs(conn: Connection, activities: set[int], digest: bytes) -> frozenset[int]:
    """Which of these activities are work of the model."""
    if not activities:
        return frozenset()
    rows = conn.execute(
        sa.text(
            f"SELECT id, model_digest FROM activity WHERE id IN ({','.join(map(str, sorted(activities)))})"
        )
    )
    return frozenset(r[0] for r in rows if r[1] is not None and bytes(r[1]) == digest)


def _uid(job: Job, first: int, number: int) -> str:
    """The track's uid, the same however often the sequence is done; "" = of no track."""
    return hashlib.sha256(f"{job.uid} {first} {number}".encode()).hexdigest()[:32] if number else ""


def _commit(
    ws: Workspace, job: Job, agent_id: int, edits: Mapping[int, Sequence[tuple[Stored, str]]], tally: _Tally
) -> None:
    """In changes of at most about BATCH_ROWS; each row keeps the activity that tells which provider made it."""
    group: list[int] = []
    rows = 0
    for asset in edits:
        if group and rows + len(edits[asset]) > BATCH_ROWS:
            _change(ws, job, agent_id, [one for a in group for one in edits[a]], tally)
            group, rows = [], 0
        group.append(asset)
        rows += len(edits[asset])
    if group:
        _change(ws, job, agent_id, [one for a in group for one in edits[a]], tally)


def _change(
    ws: Workspace, job: Job, agent_id: int, told: Sequence[tuple[Stored, str]], tally: _Tally
) -> None:
    with record.change(
        ws.db, agent_id=agent_id, activity_id=job.activity_id, verb="track", dataset_id=job.dataset_id,
        assets={r.asset_id for r, _ in told}, step=tally.step or job.step, durable=False,
    ) as draft:  # fmt: skip
        labels = record.label_ids(draft.conn, {r.label for r, _ in told})
        by_run: dict[int, list[Edit]] = defaultdict(list)
        for r, uid in told:
            new = marks.with_mark(labelling.value(r), "@track", uid or None)
            after = labelling.content(new, r.asset_id, labels[r.label], origin="model", from_id=r.from_id)
            by_run[r.activity_id].append(Edit(closes=r.id, opens=after))
        for run_, some in by_run.items():
            draft.annotate(some, activity_id=run_)
        tally.step = tally.step or job.step or draft.rev
        draft.conn.execute(
            sa.text("UPDATE job SET step = coalesce(step, :s) WHERE id = :j"), {"s": tally.step, "j": job.id}
        )
    tally.rev = draft.rev

"""Machine work as a person sees it: what runs, what waits to be resumed, cancel."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from annotation.errors import Conflict, InvalidInput
from app.events import Work
from app.services.workspace import Workspace
from storage import jobs, queries
from storage.jobs import Job


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job for a list. state: "running" (a living process holds it), "waiting" (resume it), or its outcome."""

    id: int
    kind: str
    dataset: str | None
    state: str
    done: int
    total: int | None
    started_ms: int
    ended_ms: int | None
    step: int | None


def listing(ws: Workspace, *, limit: int = 200) -> list[JobRow]:
    """Jobs, newest first."""
    with ws.db.read() as conn:
        names = {d.id: d.name for d in queries.datasets(conn)}
        out = []
        for j in jobs.listing(conn, limit=limit):
            state = j.outcome or ("running" if jobs.held_by(conn, j.id) else "waiting")
            out.append(
                JobRow(
                    j.id,
                    j.kind,
                    names.get(j.dataset_id or 0),
                    state,
                    j.done,
                    j.total,
                    j.started_ms,
                    j.ended_ms,
                    j.step,
                )
            )
    return out


RESUMABLE = ("prelabel", "ingest", "import", "measure", "undo")
"""Kinds of job that `resume` goes on with; others are cancelled and run again."""


def resume(ws: Workspace, job_id: int) -> Work:
    """Go on with a job that was interrupted.

    Raises:
        InvalidInput: it has ended, or its kind is finished by running the command again.
    """
    with ws.db.read() as conn:
        job = jobs.get(conn, job_id)
    if job.ended_ms is not None:
        raise InvalidInput(f"job {job_id} has ended: {job.outcome}")
    match job.kind:
        case "prelabel":
            from app.services import prelabel

            return prelabel.go_on(ws, job)
        case "ingest":
            from app.services import ingest

            return ingest.go_on(ws, job)
        case "import":
            from app.services import imports

            return imports.again(ws, job)
        case "measure":
            from app.services import measuring

            return measuring.go_on(ws, job)
        case "undo":
            from app.services import labelling

            return labelling.go_on(ws, job)
        case _:
            raise InvalidInput(f"a {job.kind} job is not resumed", where=f"job {job_id}",
                               remedy="cancel it, then run the command again")  # fmt: skip


def cancel(ws: Workspace, job_id: int) -> Job:
    """End a job that waits; what it committed stays and can be undone as one step.

    Raises:
        Conflict: a living process works on it. InvalidInput: it has ended.
    """
    with ws.db.write() as conn:
        job = jobs.get(conn, job_id)
        if job.ended_ms is not None:
            raise InvalidInput(f"job {job_id} has ended: {job.outcome}")
        if holder := jobs.held_by(conn, job_id):
            raise Conflict(
                f"process {holder.split(':')[1]} works on job {job_id}", remedy="interrupt that process first"
            )
        conn.execute(
            sa.text(
                "UPDATE shard SET fence = fence + 1, state = 0, until_ms = 0 WHERE job_id = :j AND state = 1"
            ),
            {"j": job_id},
        )
        jobs.finish(conn, job_id, "cancelled")
        return jobs.get(conn, job_id)

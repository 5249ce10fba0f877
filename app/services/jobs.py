"""Machine work as a person sees it: what runs, what waits to be resumed, cancel."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa

from annotation.errors import Conflict, InvalidInput, LamproomError
from app import hours
from app.events import Changes, Finished, Progress, Warned, Work
from app.hours import CLOCK, Clock
from app.i18n import tr
from app.services.workspace import Workspace
from storage import jobs, queries
from storage.jobs import Job


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job for a list.

    state: "running" (a living process holds it), "waiting" (resume it), "incomplete" (resume it: results are missing), or its outcome.
    note: what more there is to say, such as which shards are missing. window: its hours, "" = always.
    """

    id: int
    kind: str
    dataset: str | None
    state: str
    done: int
    total: int | None
    started_ms: int
    ended_ms: int | None
    step: int | None
    priority: int = 0
    window: str = ""
    note: str = ""


def listing(ws: Workspace, *, open_only: bool = False, limit: int = 200) -> list[JobRow]:
    """Jobs, or those alone that have not ended, newest first."""
    with ws.db.read() as conn:
        names = {d.id: d.name for d in queries.datasets(conn)}
        out = []
        for j in jobs.listing(conn, open_only=open_only, limit=limit):
            said, _, note = (j.outcome or "").partition(": ")
            state = j.outcome or "waiting"
            course: Any = j.params.get("course") or {}
            if j.ended_ms is None:
                watched = jobs.lives(str((course.get("work") or {}).get("watcher", "")))
                state = "running" if watched or jobs.held_by(conn, j.id) else said or "waiting"
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
                    j.priority,
                    str(course.get("window", "")),
                    note if j.ended_ms is None else "",
                )
            )
    return out


RESUMABLE = (
    "prelabel",
    "ingest",
    "import",
    "measure",
    "likeness",
    "clean",
    "track",
    "worth",
    "redact",
    "receive",
    "undo",
    "publish",
)
"""Kinds of job that `resume` goes on with; others are cancelled and run again."""


def resume(
    ws: Workspace, job_id: int, *, clock: Clock = CLOCK, give_way: Callable[[], bool] | None = None
) -> Work:
    """Go on with a job that was interrupted.

    Args:
        give_way: as `prelabel.go_on`.

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

            return prelabel.go_on(ws, job, clock=clock, give_way=give_way)
        case "ingest":
            from app.services import ingest

            return ingest.go_on(ws, job)
        case "import":
            from app.services import imports

            return imports.again(ws, job)
        case "measure":
            from app.services import measuring

            return measuring.go_on(ws, job)
        case "likeness":
            from app.services import cleaning

            return cleaning.find_again(ws, job)
        case "clean":
            from app.services import cleaning

            return cleaning.go_on(ws, job)
        case "track":
            from app.services import trackids

            return trackids.go_on(ws, job)
        case "worth":
            from app.services import worth

            return worth.go_on(ws, job)
        case "redact":
            from app.services import redaction

            return redaction.go_on(ws, job)
        case "publish":
            from app.services import publish

            return publish.go_on(ws, job, clock=clock)
        case "receive":
            from app.services import receive

            return receive.go_on(ws, job)
        case "undo":
            from app.services import labelling

            return labelling.go_on(ws, job)
        case "hubjob":
            raise InvalidInput("a job at a hub is not resumed from here", where=f"job {job_id}",
                               remedy=f"`lamproom hubjob follow {job_id}`, then `hubjob collect {job_id}`")  # fmt: skip
        case _:
            raise InvalidInput(f"a {job.kind} job is not resumed", where=f"job {job_id}",
                               remedy="cancel it, then run the command again")  # fmt: skip


def work_off(
    ws: Workspace, *, clock: Clock = CLOCK, on_begin: Callable[[JobRow], None] | None = None
) -> Work:
    """Do the jobs that wait, the highest priority first and of equal ones the oldest, until none is left.

    A job that arrives meanwhile with a higher priority goes first: the one at hand is put back where it stands. A job
    outside its hours lets the others go first; when all wait for theirs, so does this. A job that cannot go on is said
    and left; the others do not wait for it.

    Args:
        on_begin: told each job before it goes on.
    """
    ended: list[dict[str, object]] = []
    problems, stuck = 0, set[int]()
    while waiting := [r for r in _queue(ws) if r.id not in stuck]:
        row = next((r for r in waiting if closed_s(r, clock) == 0), None)
        if row is None:
            soonest = min(closed_s(r, clock) for r in waiting)
            yield Progress(len(ended), len(ended) + len(waiting), tr("paused: every job waits for its hours"))
            clock.wait(min(soonest, 1.0))
            continue
        if on_begin is not None:
            on_begin(row)
        give_way = partial(_another_goes_first, ws, row, frozenset(stuck), clock)
        gave_way = False
        try:
            for event in resume(ws, row.id, clock=clock, give_way=give_way):
                if isinstance(event, Finished):
                    gave_way = bool(event.result.get("gave_way"))
                    if gave_way:
                        continue
                    ended.append({**event.result, "job": row.id})
                    problems += event.problems
                else:
                    yield event
        except LamproomError as fault:
            stuck.add(row.id)
            problems += 1
            yield Warned(fault.line, f"job {row.id}")
        if not gave_way and _is_open(ws, row.id):  # another process works on the rest, or some of it failed
            stuck.add(row.id)
    yield Finished({"worked_off": ended}, Changes(everything=True), problems)


MOST_WAITING = 10_000


def _queue(ws: Workspace) -> list[JobRow]:
    """Jobs that wait and can be resumed, in the order they are to be done."""
    return sorted(interrupted(ws), key=lambda r: (-r.priority, r.id))


def interrupted(ws: Workspace) -> list[JobRow]:
    """Jobs that nobody works on and that `resume` goes on with, newest first."""
    rows = listing(ws, open_only=True, limit=MOST_WAITING)
    return [r for r in rows if r.state in ("waiting", "incomplete") and r.kind in RESUMABLE]


def _is_open(ws: Workspace, job_id: int) -> bool:
    with ws.db.read() as conn:
        return jobs.get(conn, job_id).ended_ms is None


def closed_s(row: JobRow, clock: Clock = CLOCK) -> float:
    """Seconds until a job's hours begin; 0 = it may work now."""
    window = hours.parse(row.window)
    return 0.0 if window is None else window.closed_s(clock.now())


def _another_goes_first(ws: Workspace, row: JobRow, stuck: frozenset[int], clock: Clock) -> bool:
    """A job of higher priority could go on now, or any could while this one is outside its hours."""
    least = row.priority + 1 if closed_s(row, clock) == 0 else -(2**31)
    return any(
        r.priority >= least and r.id != row.id and r.id not in stuck and closed_s(r, clock) == 0
        for r in _queue(ws)
    )


def cancel(ws: Workspace, job_id: int, *, machine_gone: bool = False) -> Job:
    """End a job that waits; what it committed stays and can be undone as one step.

    Args:
        machine_gone: a person's word that the other machine whose process holds the job is no more, which nobody can
            tell from here. Of this machine's processes nothing need be believed.

    Raises:
        Conflict: a living process works on it. InvalidInput: it has ended.
    """
    with ws.db.write() as conn:
        job = jobs.get(conn, job_id)
        if job.ended_ms is not None:
            raise InvalidInput(f"job {job_id} has ended: {job.outcome}")
        work: Any = (job.params.get("course") or {}).get("work") or {}  # type: ignore[attr-defined]
        watcher = str(work.get("watcher", ""))
        if holder := jobs.held_by(conn, job_id) or (watcher if jobs.lives(watcher) else None):
            host, pid = holder.split(":")[:2]
            if jobs.is_here(holder):
                raise Conflict(f"process {pid} works on job {job_id}", remedy="interrupt that process first")
            if not machine_gone:
                raise Conflict(
                    f"process {pid} of {host} works on job {job_id}",
                    remedy=f"interrupt it there; if that machine is gone: `lamproom jobs cancel {job_id} --machine-gone`",
                )
        conn.execute(
            sa.text(
                "UPDATE shard SET fence = fence + 1, state = 0, until_ms = 0 WHERE job_id = :j AND state = 1"
            ),
            {"j": job_id},
        )
        jobs.finish(conn, job_id, "cancelled")
        ended = jobs.get(conn, job_id)
    if job.kind == "prelabel":
        from app.services import farm

        farm.withdraw(job)
    if job.kind == "publish":
        from app.services import publish

        with suppress(
            LamproomError
        ):  # a hub that cannot be reached is tidied by whoever publishes there next
            publish.cancelled(ws, job)
    if job.kind == "hubjob":
        from app.services import hubjobs

        hubjobs.stop(job)
    return ended

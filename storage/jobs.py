"""Jobs and shards: machine work that resumes. A shard is leased with a fence; its position moves with its results.

A result and the new position are committed in one transaction, so a kill at any moment neither loses nor repeats one.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation.core import new_uid
from annotation.errors import Conflict, NotFound
from storage.db import Database, now_ms

LEASE_MS = 300_000


@dataclass(frozen=True, slots=True)
class Job:
    """A job as read.

    Attributes:
        outcome: None while it runs or waits, else "finished", "cancelled" or "failed: …". "incomplete: …" is said of a
            job beyond this machine that lacks some results: it has not ended (`ended_ms` None) and is resumed.
        priority: of jobs that wait, the highest goes first.
    """

    id: int
    uid: str
    kind: str
    activity_id: int
    dataset_id: int | None
    params: Mapping[str, object]
    step: int | None
    done: int
    total: int | None
    started_ms: int
    ended_ms: int | None
    outcome: str | None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """A shard in hand: assets with position < id <= last are still to be done."""

    shard_id: int
    job_id: int
    position: int
    last: int
    fence: int
    owner: str


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as read: assets up to `position` are done, of all up to `last`. state: a place in SHARD_STATES."""

    id: int
    position: int
    last: int
    state: int


def owner() -> str:
    """This process, so that a lease of a dead process of this machine is taken over at once."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def _started(pid: int) -> str:
    """The kernel's start time of a process, "" when there is none or no /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""


def lives(name: str) -> bool:
    """Whether an owner may still be at work; of another machine nobody can tell, so it may."""
    return bool(name) and not _is_dead(name)


def is_here(name: str) -> bool:
    """Whether an owner is a process of this machine."""
    return name.partition(":")[0] == socket.gethostname()


def _is_dead(name: str) -> bool:
    """True when the owner was a process of this machine that has ended."""
    pid, _, started = name.partition(":")[2].partition(":")
    return is_here(name) and bool(started) and pid.isdigit() and _started(int(pid)) != started


def create(
    conn: Connection,
    kind: str,
    *,
    activity_id: int,
    dataset_id: int | None,
    params: Mapping[str, object],
    total: int | None = None,
    shards: Sequence[tuple[int, int]] = (),
    priority: int = 0,
) -> int:
    """A new job with its shards, each (first, last) asset id inclusive. Returns the job's id."""  # fmt: skip
    job_id = int(
        conn.execute(
            sa.text(
                "INSERT INTO job (uid, kind, activity_id, dataset_id, params, done, total, started_ms, priority) "
                "VALUES (:u, :k, :a, :d, :p, 0, :t, :s, :y) RETURNING id"
            ),
            {"u": bytes.fromhex(new_uid()), "k": kind, "a": activity_id, "d": dataset_id, "t": total, "s": now_ms(),
             "y": priority, "p": json.dumps(params, ensure_ascii=False, sort_keys=True)},
        ).scalar_one()
    )  # fmt: skip
    _add_shards(conn, job_id, shards)
    return job_id


def _add_shards(conn: Connection, job_id: int, shards: Sequence[tuple[int, int]]) -> None:
    if shards:
        conn.execute(
            sa.text(
                "INSERT INTO shard (job_id, first, last, position, state, until_ms, fence) VALUES (:j, :f, :l, :p, 0, 0, 0)"
            ),
            [{"j": job_id, "f": f, "l": last, "p": f - 1} for f, last in shards],
        )


_JOB = "SELECT id, uid, kind, activity_id, dataset_id, params, step, done, total, started_ms, ended_ms, outcome, priority FROM job "


def _job(row: Sequence[Any]) -> Job:
    job_id, uid, kind, activity_id, dataset_id, params, *rest = row
    return Job(job_id, bytes(uid).hex(), kind, activity_id, dataset_id, json.loads(params), *rest)


def get(conn: Connection, job_id: int) -> Job:
    """The job; NotFound."""
    row = conn.execute(sa.text(_JOB + "WHERE id = :i"), {"i": job_id}).first()
    if row is None:
        raise NotFound(f"there is no job {job_id}", remedy="`lamproom jobs list` names them")
    return _job(row)


def listing(conn: Connection, *, open_only: bool = False, limit: int = 200) -> list[Job]:
    """Jobs, newest first."""
    where = "WHERE ended_ms IS NULL " if open_only else ""
    return [_job(r) for r in conn.execute(sa.text(f"{_JOB}{where}ORDER BY id DESC LIMIT :n"), {"n": limit})]


def held_by(conn: Connection, job_id: int) -> str | None:
    """The live owner of one of the job's shards, or None."""
    rows = conn.execute(
        sa.text("SELECT owner FROM shard WHERE job_id = :j AND state = 1 AND until_ms > :n"),
        {"j": job_id, "n": now_ms()},
    ).scalars()
    return next((name for name in rows if name and not _is_dead(name)), None)


_OPEN = "EXISTS (SELECT 1 FROM job WHERE id = :j AND ended_ms IS NULL)"
"""Nothing is taken of a job that was cancelled while its process paused."""


def lease(conn: Connection, job_id: int, me: str) -> Lease | None:
    """Take the first open shard, or one whose lease ran out or whose owner died. None = nothing left to take."""
    now = now_ms()
    for shard_id, name in conn.execute(
        sa.text("SELECT id, owner FROM shard WHERE job_id = :j AND state = 1 AND until_ms > :n"),
        {"j": job_id, "n": now},
    ).all():
        if name and _is_dead(name):
            conn.execute(
                sa.text("UPDATE shard SET until_ms = 0 WHERE id = :i AND owner = :o"),
                {"i": shard_id, "o": name},
            )
    skip = " FOR UPDATE SKIP LOCKED" if conn.dialect.name == "postgresql" else ""
    row = conn.execute(
        sa.text(
            "UPDATE shard SET state = 1, owner = :o, until_ms = :u, fence = fence + 1 WHERE id = ("
            f"SELECT id FROM shard WHERE job_id = :j AND state < 2 AND (state = 0 OR until_ms <= :n) AND {_OPEN} "
            f"ORDER BY id LIMIT 1{skip}) RETURNING id, job_id, position, last, fence, owner"
        ),
        {"o": me, "u": now + LEASE_MS, "j": job_id, "n": now},
    ).first()
    return Lease(*row) if row else None


def lease_piece(
    db: Database, job_id: int, me: str, end: Callable[[Connection, int, int], int | None]
) -> Lease | None:
    """Take a piece of the first open shard; the rest becomes a shard of its own. None = nothing left to take.

    So a job over millions of assets begins with one shard: nobody pages all ids before the first result. The end is
    looked for outside the transaction, because a query with many conditions may take its time.

    Args:
        end: (position, last) -> the last id of a piece that begins behind `position`; None: all of it is one piece.
    """
    while True:
        with db.read() as conn:
            seen = _open_shard(conn, job_id)
            if seen is None:
                return None
            at = end(conn, seen.position, seen.last)
        at = seen.last if at is None or not seen.position < at < seen.last else at
        with db.write(durable=False) as conn:
            row = conn.execute(
                sa.text(
                    "UPDATE shard SET state = 1, owner = :o, until_ms = :u, fence = fence + 1, last = :e "
                    f"WHERE id = :i AND fence = :f AND state < 2 AND {_OPEN} RETURNING id, job_id, position, last, fence, owner"
                ),
                {
                    "o": me,
                    "u": now_ms() + LEASE_MS,
                    "e": at,
                    "i": seen.shard_id,
                    "f": seen.fence,
                    "j": job_id,
                },
            ).first()
            if row is None:  # somebody was faster
                continue
            if at < seen.last:
                _add_shards(conn, job_id, [(at + 1, seen.last)])
            return Lease(*row)


def _open_shard(conn: Connection, job_id: int) -> Lease | None:
    """The first shard that may be taken: open, or its lease ran out, or its owner died. `owner` is who had it."""
    now = now_ms()
    rows = conn.execute(
        sa.text(
            f"SELECT id, job_id, position, last, fence, owner, state, until_ms FROM shard WHERE job_id = :j AND state < 2 AND {_OPEN} ORDER BY id"
        ),
        {"j": job_id},
    )
    for shard_id, job, position, last, fence, name, state, until in rows:
        if state == 0 or until <= now or (name and _is_dead(name)):
            return Lease(shard_id, job, position, last, fence, name or "")
    return None


@contextmanager
def held(db: Database, job_id: int) -> Iterator[Lease]:
    """Hold a job of one shard while the block runs; given back at its end, however it ends.

    Raises:
        Conflict: a living process works on it.
    """
    with db.write(durable=False) as conn:
        mine = lease(conn, job_id, owner())
    if mine is None:
        raise Conflict("another process works on this", where=f"job {job_id}", remedy="wait for it")
    try:
        yield mine
    finally:
        with db.write(durable=False) as conn:
            give_back(conn, [mine])


def advance(conn: Connection, held: Lease, position: int, *, n: int, step: int | None = None) -> None:
    """In the transaction of the results: everything up to `position` is done, `n` items more.

    Raises:
        Conflict: the shard was leased to somebody else or the job ended meanwhile; the transaction must roll back.
    """
    done = position >= held.last
    moved = conn.execute(
        sa.text(
            "UPDATE shard SET position = :p, state = :s, until_ms = :u WHERE id = :i AND fence = :f AND state = 1"
        ),
        {"p": position, "s": 2 if done else 1, "u": now_ms() + LEASE_MS, "i": held.shard_id, "f": held.fence},
    ).rowcount
    if moved != 1:
        raise Conflict(
            "another process took this piece of the job over", remedy="nothing is lost; it goes on there"
        )
    counted = conn.execute(
        sa.text(
            "UPDATE job SET done = done + :n, step = coalesce(step, :s) WHERE id = :j AND ended_ms IS NULL"
        ),
        {"n": n, "s": step, "j": held.job_id},
    ).rowcount
    if counted != 1:
        raise Conflict(
            "the job was cancelled meanwhile",
            where=f"job {held.job_id}",
            remedy="what was written before stays",
        )


def give_back(conn: Connection, leases: Sequence[Lease]) -> None:
    """Open again what was leased and not finished, so that another process need not wait for the lease to run out."""
    for lease in leases:
        conn.execute(
            sa.text("UPDATE shard SET state = 0, until_ms = 0 WHERE id = :i AND fence = :f AND state = 1"),
            {"i": lease.shard_id, "f": lease.fence},
        )


def turn(conn: Connection, job_id: int, *, priority: int, params: Mapping[str, object]) -> None:
    """Give a job that has not ended another priority and other parameters."""
    conn.execute(
        sa.text("UPDATE job SET priority = :y, params = :p WHERE id = :j AND ended_ms IS NULL"),
        {"y": priority, "p": json.dumps(params, ensure_ascii=False, sort_keys=True), "j": job_id},
    )


def shards(conn: Connection, job_id: int) -> list[Shard]:
    """The shards of a job in the order they were made."""
    rows = conn.execute(
        sa.text("SELECT id, position, last, state FROM shard WHERE job_id = :j ORDER BY id"), {"j": job_id}
    )
    return [Shard(*r) for r in rows]


def lease_shard(db: Database, job_id: int, shard_id: int, me: str) -> Lease | None:
    """Take this shard; None when a living process holds it, it is done or the job ended."""
    with db.write(durable=False) as conn:
        row = conn.execute(
            sa.text(
                f"SELECT owner, state, until_ms, fence FROM shard WHERE id = :i AND job_id = :j AND {_OPEN}"
            ),
            {"i": shard_id, "j": job_id},
        ).first()
        free = row is not None and (
            row[1] == 0 or (row[1] == 1 and (row[2] <= now_ms() or bool(row[0] and _is_dead(row[0]))))
        )
        if row is None or not free:
            return None
        taken = conn.execute(
            sa.text(
                "UPDATE shard SET state = 1, owner = :o, until_ms = :u, fence = fence + 1 WHERE id = :i AND fence = :f "
                "RETURNING id, job_id, position, last, fence, owner"
            ),
            {"o": me, "u": now_ms() + LEASE_MS, "i": shard_id, "f": row[3]},
        ).first()
        return Lease(*taken) if taken else None


def say(conn: Connection, job_id: int, outcome: str | None) -> None:
    """What stands of a job that has not ended, such as "incomplete: …"; None: nothing."""
    conn.execute(
        sa.text("UPDATE job SET outcome = :o WHERE id = :j AND ended_ms IS NULL"), {"o": outcome, "j": job_id}
    )


def unfinished(conn: Connection, job_id: int) -> int:
    """Number of shards that are not done."""
    return int(
        conn.execute(
            sa.text("SELECT count(*) FROM shard WHERE job_id = :j AND state < 2"), {"j": job_id}
        ).scalar_one()
    )


def finish(conn: Connection, job_id: int, outcome: str, *, total: int | None = None) -> None:
    """End the job and its activity.

    Args:
        total: how many items it had in the end, where some left or joined what it works on meanwhile.
    """
    now = now_ms()
    conn.execute(
        sa.text("UPDATE job SET ended_ms = :n, outcome = :o, total = coalesce(:t, total) WHERE id = :j"),
        {"n": now, "o": outcome, "t": total, "j": job_id},
    )
    conn.execute(
        sa.text("UPDATE activity SET ended_ms = :n WHERE id = (SELECT activity_id FROM job WHERE id = :j)"),
        {"n": now, "j": job_id},
    )

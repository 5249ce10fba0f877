"""Write predictions into the record: replaces this model's own unaccepted ones, leaves what is truth or was rejected.

One writer for every way they are made: by this process, by another one of this machine, on a cluster. Each process that
made some is an activity of its own, a "prelabel run" of the job, and its rows point to it.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.services import labelling
from app.services.workspace import Workspace
from models.batch import Result
from storage import history, jobs, likeness, record
from storage.db import now_ms
from storage.jobs import Job, Lease
from storage.queries import DatasetRow
from storage.record import BATCH_ROWS, HUMAN, IMPORT, MODEL, PAUSE_S, Edit

SAME_AS_REJECTED = 0.9
"""IoU from which a new box is the one that a person rejected."""
SAME_AS_TRUTH = 0.5
"""IoU from which a new box is an object that is truth already: a detector's own suppression works at about this overlap."""
RUN = "prelabel run"


@dataclass(slots=True)
class Tally:
    """What was written so far; `rev` is the newest revision."""

    predictions: int = 0
    known: int = 0
    rejected: int = 0
    problems: int = 0
    rev: int = 0


def begin_run(ws: Workspace, job: Job, facts: Mapping[str, object]) -> int:
    """A new activity for what one process does of a job; returns its id.

    It never counts as open (its end moves with its commits), so a killed process holds no freeze or undo back; the
    job's own activity does that.

    Args:
        facts: host, pid, provider that really ran, its options, runtime, plan; of a shard elsewhere also its number.
    """
    with ws.db.write(durable=False) as conn:
        agent_id, digest = conn.execute(
            sa.text("SELECT agent_id, model_digest FROM activity WHERE id = :i"), {"i": job.activity_id}
        ).one()
        run = record.start_activity(conn, RUN, agent_id, facts, model_digest=bytes(digest), open_=False)
        record.link(conn, run, "used", "activity", _uid(conn, job.activity_id))
    return run


def run_of_shard(ws: Workspace, job: Job, facts: Mapping[str, object]) -> int:
    """The activity of a shard that was done elsewhere: begun once, found again by a collector that was interrupted."""
    with ws.db.read() as conn:
        known = conn.execute(
            sa.text(
                "SELECT r.id, r.params FROM link l JOIN activity r ON r.id = l.activity_id "
                "WHERE l.entity = 'activity' AND l.ref = :u ORDER BY r.id DESC"
            ),
            {"u": _uid(conn, job.activity_id)},
        ).all()
    for run, params in known:
        if json.loads(params) == facts:
            return int(run)
    return begin_run(ws, job, facts)


def _uid(conn: Connection, activity_id: int) -> str:
    found = conn.execute(sa.text("SELECT uid FROM activity WHERE id = :i"), {"i": activity_id}).scalar_one()
    return bytes(found).hex()


class Writer:
    """Commits results shard by shard, in short changes of one step."""

    def __init__(
        self, ws: Workspace, job: Job, data: DatasetRow, digest: bytes, codes: Mapping[str, str]
    ) -> None:
        self.ws, self.job, self.data, self.digest, self.codes = ws, job, data, digest, codes
        self.run = job.activity_id
        """The activity whose rows these are."""
        self.step = job.step
        self.reached: dict[int, int] = {}  # by shard: the thread that reads ahead closes empty ones
        self.tally = Tally()
        with ws.db.write(durable=False) as conn:
            self.numbers = record.label_ids(conn, codes.values())
            self.agent_id = int(
                conn.execute(
                    sa.text("SELECT agent_id FROM activity WHERE id = :i"), {"i": job.activity_id}
                ).scalar_one()
            )

    def commit(self, lease: Lease, results: Sequence[Result], position: int) -> int:
        """One or more changes of at most about 200 rows; the last moves the shard to `position`. Returns pictures done."""
        groups: list[list[Result]] = [[]]
        rows = 0
        for result in results:
            if rows and rows + len(result.annotations) > BATCH_ROWS:
                groups.append([])
                rows = 0
            groups[-1].append(result)
            rows += len(result.annotations)
        for i, group in enumerate(groups):
            self._commit(lease, group, position if i == len(groups) - 1 else group[-1].id)
        self.reached[lease.shard_id] = position
        return len(results)

    def close(self, lease: Lease, results: Sequence[Result]) -> int:
        """The last results of a shard: it is done, also when its last pictures left the dataset meanwhile."""
        at_end = self.reached.get(lease.shard_id) == lease.last
        return self.commit(lease, results, lease.last) if results or not at_end else 0

    def _commit(self, lease: Lease, results: Sequence[Result], position: int) -> None:
        if not results:  # nothing to write but the position
            with self.ws.db.write(durable=False) as conn:
                jobs.advance(conn, lease, position, n=0)
            return
        ids = [r.id for r in results]
        with record.change(
            self.ws.db, agent_id=self.agent_id, activity_id=self.job.activity_id, verb="prelabel", dataset_id=self.data.id,
            assets=ids, step=self.step, durable=False,
        ) as draft:  # fmt: skip
            conn = draft.conn
            if self.step is None:
                self.step = self._first_step(conn, draft.rev)
            own, truth = _on_pages(conn, ids, self.digest)
            refused = history.rejected(conn, ids, self.digest)
            edits = [Edit(closes=row) for rows in own.values() for row in rows]
            for result in results:
                edits += self._predictions(result, truth.get(result.id, []), refused.get(result.id, []))
                if result.problem:
                    self.tally.problems += 1
                    conn.execute(
                        sa.text(
                            "INSERT INTO problem (asset_id, activity_id, what, at_ms) VALUES (:a, :v, :w, :t) "
                            "ON CONFLICT (asset_id, what) DO NOTHING"
                        ),
                        {"a": result.id, "v": self.run, "w": result.problem, "t": now_ms()},
                    )
            draft.annotate(edits, activity_id=self.run)
            likeness.keep_vectors(conn, self.digest, ((r.id, r.half) for r in results if r.half))
            if self.run != self.job.activity_id:
                record.end_activity(conn, self.run)  # so far
            jobs.advance(conn, lease, position, n=len(results), step=self.step)
        self.tally.rev = draft.rev
        time.sleep(PAUSE_S)  # the desk's turn

    def _first_step(self, conn: Connection, rev: int) -> int:
        """The job's one step: this change begins it, unless another process of the job was faster."""
        step = int(
            conn.execute(
                sa.text("UPDATE job SET step = coalesce(step, :r) WHERE id = :j RETURNING step"),
                {"r": rev, "j": self.job.id},
            ).scalar_one()
        )
        if step != rev:
            conn.execute(sa.text("UPDATE change SET step = :s WHERE rev = :r"), {"s": step, "r": rev})
        return step

    def _predictions(
        self, result: Result, truth: list[tuple[int, _Box]], refused: list[tuple[int, _Box]]
    ) -> list[Edit]:
        edits = []
        for a in result.annotations:
            code = self.codes.get(a.label)
            if code is None:
                continue  # a class the person did not ask for
            row = labelling.content(a, result.id, self.numbers[code], origin="model")
            if row.box and any(n == row.label_id and _iou(row.box, b) >= SAME_AS_TRUTH for n, b in truth):
                self.tally.known += 1
            elif row.box and any(
                n == row.label_id and _iou(row.box, b) >= SAME_AS_REJECTED for n, b in refused
            ):
                self.tally.rejected += 1
            else:
                edits.append(Edit(opens=row))
        self.tally.predictions += len(edits)
        return edits


_Box = tuple[int, int, int, int]


def _on_pages(
    conn: Connection, ids: Sequence[int], digest: bytes
) -> tuple[dict[int, list[int]], dict[int, list[tuple[int, _Box]]]]:
    """This model's own live predictions (rows) and the truth (label, box), by asset."""
    own: dict[int, list[int]] = defaultdict(list)
    truth: dict[int, list[tuple[int, _Box]]] = defaultdict(list)
    rows: Any = conn.execute(
        sa.text(
            "SELECT n.id, n.asset_id, n.label_id, n.x0, n.y0, n.x1, n.y1, n.origin, v.model_digest FROM annotation n "
            f"JOIN activity v ON v.id = n.activity_id WHERE n.died IS NULL AND n.asset_id IN ({','.join(map(str, ids))})"
        )
    )
    for row_id, asset_id, label_id, x0, y0, x1, y1, origin, model in rows:
        if origin in (HUMAN, IMPORT) and x0 is not None:
            truth[asset_id].append((label_id, (x0, y0, x1, y1)))
        elif origin == MODEL and model is not None and bytes(model) == digest:
            own[asset_id].append(row_id)
    return own, truth


def _iou(a: _Box, b: _Box) -> float:
    """Intersection over union of two boxes of integers."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    both = w * h
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)

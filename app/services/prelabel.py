"""Pre-label a dataset with an ONNX detector: sharded, resumable, provenance with every prediction, human work untouched.

A batch of results and the shard's new position are committed in one change: a kill loses no picture and repeats none.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation.errors import InvalidInput
from app.events import Changes, Finished, Progress, Started, Warned, Work
from app.services import labelling, onnx
from app.services import schema as schemas
from app.services.onnx import ModelRow
from app.services.workspace import Workspace
from models import batch, session
from models.batch import Plan, Result
from models.recipe import Recipe
from storage import jobs, media, queries, record
from storage.db import now_ms
from storage.jobs import Job, Lease
from storage.queries import DatasetRow, Place, Query
from storage.record import BATCH_ROWS, HUMAN, IMPORT, MODEL, PAUSE_S, Edit
from storage.tables import ITEM_STATES

SHARD_ASSETS = 2_000
COMMIT_EVERY_S = 0.5
SAME_AS_REJECTED = 0.9
"""IoU from which a new box is the one that a person rejected."""
SAME_AS_TRUTH = 0.5
"""IoU from which a new box is an object that is truth already: a detector's own suppression works at about this overlap."""


def run(
    ws: Workspace,
    dataset: str,
    model: str,
    *,
    score: float | None = None,
    iou: float | None = None,
    provider: str = "cpu",
    threads: int | None = None,
    classes: Sequence[str] | None = None,
    state: str | None = None,
    where: str = "",
    strict: bool = False,
) -> Work:
    """Predict on every picture of a dataset.

    The same call after an interruption goes on with the unfinished job. A re-run replaces this model's own unaccepted
    predictions; it never touches what a person drew or accepted, nor brings back what one rejected.

    Args:
        model: a name from `lamproom models list`.
        score, iou: thresholds 0..1; the model's own by default.
        classes: the model's class names to keep; all by default.
        state: only pictures in this state ("unlabelled" …). where: only pictures that meet this query.
        strict: refuse classes that the label schema does not know, instead of adding them.

    Raises:
        NotFound, InvalidInput, Unavailable: before anything is written.
    """  # fmt: skip
    with ws.db.read() as conn:
        data = queries.dataset(conn, dataset)
    row = onnx.show(ws, model)
    _require_file(row)
    if state is not None and state not in ITEM_STATES:
        raise InvalidInput(f"there is no state {state!r}", remedy="unlabelled, predicted or labelled")
    # Here, not when the job opens its session: a job that can never run would hold the dataset's next version back.
    session.demand(provider)
    wanted = {
        "dataset": dataset, "model": model, "sha256": row.sha256, "provider": provider, "state": state, "where": where,
        "score_micro": None if score is None else round(score * 1e6), "iou_micro": None if iou is None else round(iou * 1e6),
        "classes": sorted(classes) if classes else None,
    }  # fmt: skip
    with ws.db.read() as conn:
        same = [
            j for j in jobs.listing(conn, open_only=True) if j.kind == "prelabel" and dict(j.params) == wanted
        ]
    if same:
        yield from go_on(ws, same[-1], threads=threads)
        return
    unknown = sorted(set(classes or ()) - set(row.card.labels))
    if unknown:
        raise InvalidInput(
            f"the model has no class {', '.join(unknown)}",
            where=model,
            remedy="`lamproom models show` lists its classes",
        )
    mapped = schemas.ensure_labels(
        ws,
        data.schema_code,
        classes or row.card.labels,
        where_from=f"model {model} ({row.sha256[:12]})",
        strict=strict,
    )
    if mapped.added:
        yield Warned(
            f"{len(mapped.added)} classes of the model were unknown: schema {data.schema_code} is now version {mapped.number}",
            model,
        )
    job = _create(ws, data, row, wanted)
    yield from go_on(ws, job, threads=threads)


def _require_file(row: ModelRow) -> None:
    if not row.present:
        raise InvalidInput(
            "this machine does not have the model's file",
            where=row.name,
            remedy="`lamproom models add FILE.onnx` here",
        )


def _create(ws: Workspace, data: DatasetRow, row: ModelRow, wanted: dict[str, Any]) -> Job:
    """The job with its shards of assets by id."""
    query = Query(data.id, state=wanted["state"], where=wanted["where"], me=ws.person.id)
    bounds: list[tuple[int, int]] = []
    total, after = 0, 0
    while True:
        with ws.db.read() as conn:  # a read of its own for each page: a long one would hold the WAL back
            ids = queries.asset_ids(conn, query, after=after, limit=SHARD_ASSETS)
        if not ids:
            break
        bounds.append((ids[0], ids[-1]))
        total, after = total + len(ids), ids[-1]
    with ws.db.write() as conn:
        agent = record.agent(conn, "model", f"{row.name} {row.sha256[:12]}")
        params = {**wanted, "started_by": ws.person.name}
        activity = record.start_activity(
            conn, "prelabel", agent.id, params, model_digest=bytes.fromhex(row.sha256)
        )
        record.link(conn, activity, "used", "model", row.sha256)
        record.link(conn, activity, "used", "dataset", data.name)
        job_id = jobs.create(
            conn,
            "prelabel",
            activity_id=activity,
            dataset_id=data.id,
            params=wanted,
            total=total,
            shards=bounds,
        )
        return jobs.get(conn, job_id)


@dataclass(slots=True)
class _Tally:
    predictions: int = 0
    known: int = 0
    rejected: int = 0
    problems: int = 0
    rev: int = 0


def go_on(ws: Workspace, job: Job, *, threads: int | None = None) -> Work:
    """Do what is left of a pre-label job; several processes may work on one at once."""
    params: dict[str, Any] = dict(job.params)
    with ws.db.read() as conn:
        data = queries.dataset(conn, str(params["dataset"]))
        agent_id = int(
            conn.execute(
                sa.text("SELECT agent_id FROM activity WHERE id = :i"), {"i": job.activity_id}
            ).scalar_one()
        )
    row = next((m for m in onnx.listing(ws) if m.sha256 == params["sha256"]), None)
    if row is None:
        raise InvalidInput(
            "its model was removed", where=f"job {job.id}", remedy="add the model again, or cancel the job"
        )
    _require_file(row)
    names: Sequence[str] = params["classes"] or row.card.labels
    codes = schemas.ensure_labels(ws, data.schema_code, names, where_from=f"model {row.name}").codes
    writer = _Writer(ws, job, agent_id, data, bytes.fromhex(row.sha256), codes)
    yield Started(f"prelabel {data.name} · {row.name}", job.total, str(job.id))
    feed = _Feed(
        ws, job, Query(data.id, state=params["state"], where=params.get("where", ""), me=ws.person.id), writer
    )
    recipe = Recipe(params["score_micro"], params["iou_micro"])
    plan = None if threads is None else Plan(threads)
    done, started = job.done, time.monotonic()
    try:
        with batch.predict(feed.items(), partial(_read, ws.folder), row.path, row.card, decode=media.decode, recipe=recipe,
                           provider=params["provider"], plan=plan) as work:  # fmt: skip
            _note_provenance(ws, job, work.provenance)
            pending: list[Result] = []
            rows, last, shown = 0, time.monotonic(), 0.0
            lease: Lease | None = None
            for result in work:
                mine = feed.leases.popleft()
                if lease is not None and mine is not lease:
                    done += writer.close(lease, pending)
                    pending, rows, last = [], 0, time.monotonic()
                lease = mine
                pending.append(result)
                rows += len(result.annotations)
                if result.problem:
                    yield Warned(result.problem, feed.paths.pop(result.id, ""))
                feed.paths.pop(result.id, None)
                now = time.monotonic()
                if rows >= BATCH_ROWS or len(pending) >= BATCH_ROWS or now - last > COMMIT_EVERY_S:
                    done += writer.commit(lease, pending, result.id)
                    pending, rows, last = [], 0, time.monotonic()
                if now - shown > 0.1:
                    shown = now
                    report = work.report()
                    yield Progress(
                        done + len(pending), job.total, f"{report.pictures_per_s:.1f}/s · {report.bottleneck}"
                    )
            if lease is not None:
                done += writer.close(lease, pending)
            report = work.report()
    finally:
        feed.close()
    tally = writer.tally
    with ws.db.write() as conn:
        whole = jobs.unfinished(conn, job.id) == 0
        now_job = jobs.get(conn, job.id)
        if whole and now_job.ended_ms is None:
            jobs.finish(conn, job.id, "finished")
    yield Progress(done, job.total)
    if not whole:
        yield Warned("another process works on the rest", f"job {job.id}")
    yield Finished(
        {
            "job": job.id, "finished": whole, "dataset": data.name, "model": row.name, "pictures": report.done,
            "predictions": tally.predictions, "already_truth": tally.known, "rejected_before": tally.rejected,
            "undecodable": tally.problems, "seconds": round(time.monotonic() - started, 3),
            "pictures_per_s": round(report.pictures_per_s, 2), "bottleneck": report.bottleneck,
            "busy": {k: round(v, 3) for k, v in report.busy.items()}, **work.provenance, "step": now_job.step,
        },
        Changes(tally.rev, datasets=(data.id,), everything=True),
        problems=tally.problems + (not whole),
    )  # fmt: skip


def _read(folder: Path, place: Place) -> bytes:
    return media.read_asset(folder, place.location, place.path, place.disk_path, place.blake3)


def _note_provenance(ws: Workspace, job: Job, facts: dict[str, object]) -> None:
    """The activity keeps what really ran: runtime, provider and its options, thresholds, decode scale."""
    lock = " FOR UPDATE" if ws.db.dialect == "postgresql" else ""  # two workers of one job write here
    with ws.db.write(durable=False) as conn:
        old = json.loads(
            conn.execute(
                sa.text(f"SELECT params FROM activity WHERE id = :i{lock}"), {"i": job.activity_id}
            ).scalar_one()
        )
        runs = [r for r in old.pop("runs", []) if r != facts]
        text = json.dumps({**old, "runs": [*runs, facts]}, ensure_ascii=False, sort_keys=True)
        conn.execute(
            sa.text("UPDATE activity SET params = :p WHERE id = :i"), {"p": text, "i": job.activity_id}
        )


class _Feed:
    """Hands out pictures shard by shard; `leases` tells in the same order which lease each belongs to."""

    def __init__(self, ws: Workspace, job: Job, query: Query, writer: _Writer) -> None:
        self._ws, self._job, self._query, self._writer = ws, job, query, writer
        self._me = jobs.owner()
        self.leases: deque[Lease] = deque()
        self.paths: dict[int, str] = {}
        self._held: list[Lease] = []

    def items(self) -> Iterator[tuple[int, Place]]:
        while True:
            with self._ws.db.write(durable=False) as conn:
                lease = jobs.lease(conn, self._job.id, self._me)
            if lease is None:
                return
            self._held.append(lease)
            after, any_left = lease.position, False
            while after < lease.last:
                with self._ws.db.read() as conn:
                    ids = [
                        a
                        for a in queries.asset_ids(conn, self._query, after=after, limit=500)
                        if a <= lease.last
                    ]
                    places = queries.places(conn, ids)
                for asset_id in ids:
                    self.leases.append(lease)
                    self.paths[asset_id] = places[asset_id].path
                    any_left = True
                    yield asset_id, places[asset_id]
                after = ids[-1] if ids else lease.last
            if not any_left:  # its pictures left the dataset meanwhile
                self._writer.close(lease, [])

    def close(self) -> None:
        """Give back what was leased and not finished, so that another process need not wait for the lease to run out."""
        with self._ws.db.write(durable=False) as conn:
            for lease in self._held:
                conn.execute(
                    sa.text(
                        "UPDATE shard SET state = 0, until_ms = 0 WHERE id = :i AND fence = :f AND state = 1"
                    ),
                    {"i": lease.shard_id, "f": lease.fence},
                )


class _Writer:
    """Commits results: replaces this model's own unaccepted predictions, skips what is truth or was rejected."""

    def __init__(
        self, ws: Workspace, job: Job, agent_id: int, data: DatasetRow, digest: bytes, codes: Any
    ) -> None:
        self.ws, self.job, self.agent_id, self.data, self.digest, self.codes = (
            ws,
            job,
            agent_id,
            data,
            digest,
            codes,
        )
        self.step = job.step
        self.reached: dict[int, int] = {}  # by shard: the thread that reads ahead closes empty ones
        self.tally = _Tally()
        with ws.db.write(durable=False) as conn:
            self.numbers = record.label_ids(conn, codes.values())

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
            own, truth = _on_pages(conn, ids, self.digest)
            refused = queries.rejected(conn, ids, self.digest)
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
                        {"a": result.id, "v": self.job.activity_id, "w": result.problem, "t": now_ms()},
                    )
            draft.annotate(edits)
            jobs.advance(conn, lease, position, n=len(results), step=self.step or draft.rev)
        self.step = self.step or draft.rev
        self.tally.rev = draft.rev
        time.sleep(PAUSE_S)  # the desk's turn

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
    rows = conn.execute(
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

"""Measure the pictures of a dataset: light, sharpness, glare, haze, hashes. A job that goes on where it stopped.

A picture that cannot be decoded becomes a problem of the record, so that cleaning finds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation.errors import InvalidInput, LamproomError
from app.events import Changes, Finished, Progress, Started, Warned, Work
from app.services import browse
from app.services.workspace import Workspace
from storage import jobs, measures, queries, record
from storage.db import now_ms
from storage.jobs import Job
from storage.measures import Measured

PART = 64
THREADS = 2


def waiting(ws: Workspace, dataset_id: int) -> int:
    """How many pictures of the dataset were not measured yet."""
    with ws.db.read() as conn:
        return measures.count_missing(conn, dataset_id)


def run(ws: Workspace, dataset: str) -> Work:
    """Measure every picture that was not measured. Cancelled or killed, what was measured stays.

    Raises:
        NotFound: no such dataset.
    """
    with ws.db.read() as conn:
        data = queries.dataset(conn, dataset)
        total = measures.count_missing(conn, data.id)
    if not total:
        yield Started("measure", 0)
        yield Finished({"dataset": data.name, "measured": 0})
        return
    with ws.db.write() as conn:
        activity = record.start_activity(conn, "measure", ws.person.id, {"dataset": data.name})
        number = jobs.create(conn, "measure", activity_id=activity, dataset_id=data.id, params={"dataset": data.name},
                             total=total, shards=[(1, 2**62)])  # fmt: skip
        job = jobs.get(conn, number)
    yield from go_on(ws, job)


def go_on(ws: Workspace, job: Job) -> Work:
    """Measure what is left of a job that was interrupted."""
    assert job.dataset_id is not None
    done, bad = job.done, 0
    yield Started("measure", job.total, str(job.id))
    try:
        with jobs.held(ws.db, job.id) as lease, ThreadPoolExecutor(THREADS, "lamproom-measure") as pool:
            for part in _parts(ws, job.dataset_id):
                found: list[tuple[int, Measured]] = []
                broken: list[tuple[int, str]] = []
                for asset_id, one in zip(part, pool.map(lambda a: _one(ws, a), part), strict=True):
                    if isinstance(one, Measured):
                        found.append((asset_id, one))
                    else:
                        bad += 1
                        if isinstance(one, InvalidInput):
                            broken.append((asset_id, one.what))
                        yield Warned(one.what, one.where)
                with ws.db.write(durable=False) as conn:
                    measures.save(conn, found)
                    _remember(conn, job.activity_id, broken)
                    jobs.advance(conn, lease, 0, n=len(part))
                done += len(part)
                yield Progress(done, job.total)
    except GeneratorExit:
        _finish(ws, job.id, "cancelled")
        raise
    _finish(ws, job.id, "finished")
    yield Finished(
        {"job": job.id, "measured": done - bad, "left": bad},
        Changes(datasets=(job.dataset_id,), everything=True),
        bad,
    )


def _parts(ws: Workspace, dataset_id: int) -> Iterator[list[int]]:
    after = 0
    while True:
        with ws.db.read() as conn:
            part = measures.missing(conn, dataset_id, after=after, limit=PART)
        if not part:
            return
        yield part
        after = part[-1]


def _remember(conn: Connection, activity_id: int, broken: Sequence[tuple[int, str]]) -> None:
    """Keep what could not be decoded; a file that is only out of reach is no fault of the picture."""
    if broken:
        conn.execute(
            sa.text("INSERT INTO problem (asset_id, activity_id, what, at_ms) VALUES (:a, :v, :w, :t) ON CONFLICT (asset_id, what) DO NOTHING"),
            [{"a": a, "v": activity_id, "w": what, "t": now_ms()} for a, what in broken],
        )  # fmt: skip


def _one(ws: Workspace, asset_id: int) -> Measured | LamproomError:
    """A picture's measures; its fault when it cannot be read."""
    import cv2
    import numpy as np

    try:
        pixels = cv2.imdecode(np.frombuffer(browse.thumbnail(ws, asset_id), np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:
            return InvalidInput("the thumbnail cannot be decoded", where=str(asset_id))
        return measures.measure(pixels)
    except LamproomError as fault:
        return fault


def _finish(ws: Workspace, job_id: int, outcome: str) -> None:
    with ws.db.write() as conn:
        jobs.finish(conn, job_id, outcome)

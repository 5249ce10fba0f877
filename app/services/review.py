"""Accept or reject predictions in bulk: one step, many small changes, so that nobody at the desk waits."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.events import Changes, Finished, Progress, Started, Work
from app.services.workspace import Workspace
from storage import jobs, queries, record
from storage.queries import Query
from storage.record import BATCH_ROWS, MODEL, PAUSE_S, Content, Edit


def accept(ws: Workspace, query: Query, *, min_score: float | None = None) -> Work:
    """Make the query's predictions truth. One step: `undo_step` takes it back whole.

    Args:
        query: its label and score bounds choose predictions, the rest chooses pictures.
        min_score: only predictions of at least this score (0..1).
    """
    return _review(ws, query, "accept", min_score)


def reject(ws: Workspace, query: Query, *, min_score: float | None = None) -> Work:
    """Close the query's predictions and remember that they were rejected. One step."""
    return _review(ws, query, "reject", min_score)


def _review(ws: Workspace, query: Query, verb: str, min_score: float | None) -> Work:
    bound = query if min_score is None else replace(query, min_score=max(min_score, query.min_score or 0.0))
    bound = replace(bound, origin="model")
    rows, assets = array("q"), array("q")  # frozen now: "everything that matches" cannot grow while running
    for row, asset in _rows(ws, bound):
        rows.append(row)
        assets.append(asset)
    yield Started(verb, total=len(rows))
    if not rows:
        yield Finished({"objects": 0, "left": 0})
        return
    with ws.db.write() as conn:
        told = {"verb": verb, "objects": len(rows)}
        activity = record.start_activity(conn, "review", ws.person.id, told)
        job = jobs.create(conn, "review", activity_id=activity, dataset_id=query.dataset_id, params={"verb": verb},
                          total=len(rows), shards=[(1, 2**62)])  # fmt: skip
    done = left = 0
    step: int | None = None
    rev = 0
    try:
        with jobs.held(ws.db, job) as lease:
            for i in range(0, len(rows), BATCH_ROWS):
                part = rows[i : i + BATCH_ROWS]
                with record.change(
                    ws.db, agent_id=ws.person.id, activity_id=activity, verb=verb, dataset_id=query.dataset_id,
                    assets=assets[i : i + BATCH_ROWS], step=step, durable=False,
                ) as draft:  # fmt: skip
                    edits = _edits(draft.conn, part, verb)
                    draft.annotate(edits)
                    jobs.advance(draft.conn, lease, 0, n=len(part), step=draft.step)
                done += len(edits)
                left += len(part) - len(edits)
                step, rev = draft.step, draft.rev
                yield Progress(done + left, len(rows))
                time.sleep(PAUSE_S)
    except GeneratorExit:
        _finish(ws, job, "cancelled")
        raise
    _finish(ws, job, "finished")
    yield Finished(
        {"objects": done, "left": left, "step": step},
        Changes(rev, datasets=(query.dataset_id,), everything=True),
        left,
    )


def _finish(ws: Workspace, job: int, outcome: str) -> None:
    with ws.db.write() as conn:
        jobs.finish(conn, job, outcome)


def _rows(ws: Workspace, query: Query) -> Iterator[tuple[int, int]]:
    """(row, asset) of the live predictions that match."""
    extra = ""
    args: dict[str, object] = {}
    if query.label is not None:
        extra += " AND label_id = (SELECT id FROM label WHERE code = :l)"
        args["l"] = query.label
    if query.min_score is not None:
        extra += " AND score_micro >= :lo"
        args["lo"] = round(query.min_score * 1e6)
    if query.max_score is not None:
        extra += " AND score_micro <= :hi"
        args["hi"] = round(query.max_score * 1e6)
    after = 0
    while True:
        with ws.db.read() as conn:
            ids = queries.asset_ids(conn, query, after=after, limit=500)
            if not ids:
                return
            rows = conn.execute(
                sa.text(
                    f"SELECT id, asset_id FROM annotation WHERE asset_id IN ({','.join(map(str, ids))}) AND died IS NULL "
                    f"AND origin = {MODEL}{extra} ORDER BY asset_id, id"
                ),
                args,
            ).all()
        yield from ((r[0], r[1]) for r in rows)
        after = ids[-1]


def _edits(conn: Connection, rows: Iterable[int], verb: str) -> list[Edit]:
    """Edits of those rows that are still live."""
    live = conn.exec_driver_sql(
        "SELECT id, uid, asset_id, label_id, kind, x0, y0, x1, y1, geometry, attributes FROM annotation "
        f"WHERE died IS NULL AND id IN ({','.join(map(str, rows))})"
    ).all()
    if verb == "reject":
        return [Edit(closes=r[0]) for r in live]
    return [
        Edit(
            r[0],
            Content(bytes(r[1]), r[2], r[3], r[4], None if r[5] is None else (r[5], r[6], r[7], r[8]), r[9], r[10], None,
                    record.HUMAN, from_id=r[0]),
        )
        for r in live
    ]  # fmt: skip

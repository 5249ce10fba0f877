"""Review: predictions accepted or rejected in bulk, and the way of a picture from draft over submitted to accepted."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation import canonical
from annotation.errors import InvalidInput, NotFound
from app.events import Changes, Finished, Progress, Started, Work
from app.services import remarks
from app.services.workspace import Workspace
from storage import jobs, queries, record, register
from storage.queries import Query
from storage.record import BATCH_ROWS, MODEL, PAUSE_S, Agent, Content, Draft, Edit, ItemEdit
from storage.register import ItemKey
from storage.tables import REVIEWS


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


# --- the way of a picture ---------------------------------------------------------------------------------------------

AT_ONCE = 5000
"""Pictures that `judge` and `assign` take in one change; more is bulk work."""


def judge(ws: Workspace, dataset_id: int, asset_ids: Sequence[int], state: str, *, note: str = "") -> Changes:
    """Give pictures of a dataset a review state, as one step; a note becomes a remark on each of them.

    Submitting a picture that is with nobody puts it into the submitter's name; returned work goes back to whom it is
    with, and failing that to who worked on it last.

    Args:
        state: one of REVIEWS: draft, submitted, accepted, returned.

    Raises:
        NotFound: a picture is not in the dataset. InvalidInput: no such state, or more than AT_ONCE pictures.
    """
    if state not in REVIEWS:
        raise InvalidInput(f"there is no review state {state!r}", remedy=", ".join(REVIEWS))
    number = REVIEWS.index(state)
    with _item_change(ws, dataset_id, asset_ids, f"review: {state}") as (draft, rows):
        edits = []
        for asset_id, row in rows.items():
            author = row.assignee_id
            if author is None and state == "submitted":
                author = ws.person.id
            elif author is None and state == "returned":
                author = _last_hand(draft.conn, asset_id)
            if (row.review, row.assignee_id) != (number, author):
                edits.append(ItemEdit(dataset_id, asset_id, row.id, (row.split, number), author))
        draft.enrol(edits)
        if note.strip():
            draft.remark([], [remarks.content(ws, a, note) for a in rows])
    return Changes(revision=draft.rev, assets=tuple(rows), datasets=(dataset_id,))


def assign(ws: Workspace, dataset_id: int, asset_ids: Sequence[int], person: str | None) -> Changes:
    """Put pictures into a person's name (made known when new), or into nobody's, as one step."""
    name = canonical.nfc(person.strip()) if person is not None else None
    if name == "":
        raise InvalidInput("a person needs a name")
    with _item_change(ws, dataset_id, asset_ids, "assign") as (draft, rows):
        agent = record.agent(draft.conn, "person", name).id if name is not None else None
        draft.enrol(
            [
                ItemEdit(dataset_id, a, row.id, (row.split, row.review), agent)
                for a, row in rows.items()
                if row.assignee_id != agent
            ]
        )
    return Changes(revision=draft.rev, assets=tuple(rows), datasets=(dataset_id,))


def people(ws: Workspace) -> list[Agent]:
    """Everybody who ever acted here or was given work, by name."""
    with ws.db.read() as conn:
        rows = conn.exec_driver_sql("SELECT id, kind, name FROM agent WHERE kind = 'person' ORDER BY name")
        return [Agent(r[0], r[1], r[2]) for r in rows]


@contextmanager
def _item_change(
    ws: Workspace, dataset_id: int, asset_ids: Sequence[int], verb: str
) -> Iterator[tuple[Draft, dict[int, ItemKey]]]:
    if not asset_ids:
        raise InvalidInput("no picture was named")
    if len(asset_ids) > AT_ONCE:
        raise InvalidInput(
            f"{len(asset_ids)} pictures at once", remedy=f"at most {AT_ONCE}, or bulk work on a query"
        )
    page = asset_ids[0] if len(asset_ids) == 1 else None
    with record.change(
        ws.db, agent_id=ws.person.id, activity_id=ws.session(), verb=verb, dataset_id=dataset_id, assets=asset_ids,
        page=page,
    ) as draft:  # fmt: skip
        rows = register.item_rows(draft.conn, dataset_id, asset_ids)
        if len(rows) < len(set(asset_ids)):
            missing = min(set(asset_ids) - rows.keys())
            raise NotFound(f"picture {missing} is not in the dataset", remedy="look at the gallery again")
        yield draft, rows


def _last_hand(conn: Connection, asset_id: int) -> int | None:
    """The person who changed annotations of a picture last."""
    sql = (
        "SELECT c.agent_id FROM annotation n JOIN change c ON c.rev = n.born JOIN agent g ON g.id = c.agent_id "
        "WHERE n.asset_id = :a AND g.kind = 'person' ORDER BY n.born DESC LIMIT 1"
    )
    found = conn.execute(sa.text(sql), {"a": asset_id}).scalar()
    return None if found is None else int(found)

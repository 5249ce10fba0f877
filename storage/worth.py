"""How much labelling a picture now is worth: what the parts are computed from, and the queue in the table `worth`.

A picture waits while it holds something else than truth only and nobody has handed it in. Rows are derived: pictures that
were labelled since keep theirs until the next look, and no reading of the queue shows them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from annotation import worth
from annotation.worth import Found, Ints
from storage import queries
from storage.measures import DESCRIPTOR
from storage.queries import WAITS, Query
from storage.record import MODEL


@dataclass(frozen=True, slots=True)
class Row:
    """A picture of the queue. reason: as `app.services.worth` writes it."""

    asset_id: int
    value: int
    reason: Mapping[str, Any]
    path: str


# --- what it is computed from ---------------------------------------------------------------------------------------


def waiting(conn: Connection, query: Query, low: int, high: int) -> Ints:
    """Ids of the query's pictures low < id <= high that wait, ascending."""
    p = queries.plan(conn, query)
    join = "JOIN asset s ON s.id = i.asset_id " if p.asset else ""
    sql = (
        f"SELECT i.asset_id FROM item i {join}WHERE {p.where} AND {WAITS} AND i.asset_id > :low AND i.asset_id <= :high "
        "ORDER BY i.asset_id"
    )
    rows = conn.execute(sa.text(sql), {**p.args, "low": low, "high": high}).scalars()
    return np.fromiter(rows, np.int64)


def done(conn: Connection, dataset_id: int, low: int, high: int) -> Ints:
    """Ids of the dataset's pictures low < id <= high that do not wait, ascending."""
    sql = (
        f"SELECT i.asset_id FROM item i WHERE i.dataset_id = :d AND i.died IS NULL AND NOT {WAITS} AND i.asset_id > :low "
        "AND i.asset_id <= :high ORDER BY i.asset_id"
    )
    rows = conn.execute(sa.text(sql), {"d": dataset_id, "low": low, "high": high}).scalars()
    return np.fromiter(rows, np.int64)


def count_waiting(conn: Connection, query: Query) -> int:
    """How many pictures of the query wait."""
    p = queries.plan(conn, query)
    join = "JOIN asset s ON s.id = i.asset_id " if p.asset else ""
    sql = f"SELECT count(*) FROM item i {join}WHERE {p.where} AND {WAITS}"
    return int(conn.execute(sa.text(sql), dict(p.args)).scalar_one())


_NOWHERE = (0, 0, 1, 1)
"""The box of what lies nowhere in a picture, as a tag: the same for all, so that two models' tags are set side by side."""


def found(conn: Connection, ids: Ints, model: bytes) -> Found:
    """A model's predictions with a score on these pictures (ascending ids), undecided ones only; labels by number."""
    rows: list[tuple[int, ...]] = []
    if len(ids):
        sql = (
            "SELECT n.asset_id, n.label_id, n.score_micro, n.x0, n.y0, n.x1, n.y1 FROM annotation n "
            "JOIN activity v ON v.id = n.activity_id WHERE n.died IS NULL AND n.score_micro IS NOT NULL "
            f"AND n.origin = {MODEL} AND v.model_digest = :m AND n.asset_id >= :low AND n.asset_id <= :high ORDER BY n.asset_id, n.id"
        )
        args = {"m": model, "low": int(ids[0]), "high": int(ids[-1])}
        rows = [
            tuple(r) if r[3] is not None else (*r[:3], *_NOWHERE) for r in conn.execute(sa.text(sql), args)
        ]
    table = np.array(rows, np.int64).reshape(-1, 7)
    table = table[np.isin(table[:, 0], ids)]
    return Found(np.searchsorted(ids, table[:, 0]), table[:, 1], table[:, 2], table[:, 3:])


def truth(conn: Connection, dataset_id: int) -> dict[int, int]:
    """Label number -> true objects of it in a dataset, from the counters."""
    rows = conn.execute(
        sa.text(
            f"SELECT label_id, sum(n) FROM counter WHERE dataset_id = :d AND label_id <> 0 AND origin <> {MODEL} GROUP BY label_id"
        ),
        {"d": dataset_id},
    )
    return {int(label): int(n) for label, n in rows if n}


def predicted(conn: Connection, dataset_id: int) -> list[int]:
    """Numbers of the labels that a model predicts in a dataset now."""
    rows = conn.execute(
        sa.text(
            f"SELECT label_id FROM counter WHERE dataset_id = :d AND label_id <> 0 AND origin = {MODEL} AND n > 0 ORDER BY label_id"
        ),
        {"d": dataset_id},
    )
    return list(rows.scalars())


def codes(conn: Connection) -> dict[int, str]:
    """Label number -> code."""
    return {r[0]: r[1] for r in conn.exec_driver_sql("SELECT id, code FROM label")}


# --- what pictures look like ----------------------------------------------------------------------------------------


def embedder(conn: Connection, dataset_id: int) -> bytes | None:
    """The embedding model that saw at least half of a dataset, of several the one that saw most; None: the measures tell."""
    whole = queries.count_items(conn, Query(dataset_id))
    rows = conn.execute(
        sa.text(
            "SELECT e.model_digest, count(*) AS k FROM embedding e JOIN item i ON i.asset_id = e.asset_id "
            "WHERE i.dataset_id = :d AND i.died IS NULL GROUP BY e.model_digest ORDER BY k DESC, e.model_digest LIMIT 1"
        ),
        {"d": dataset_id},
    ).first()
    return bytes(rows[0]) if rows is not None and 2 * int(rows[1]) >= whole else None


def signs(conn: Connection, ids: Sequence[int] | Ints, model: bytes | None) -> tuple[Ints, NDArray[np.uint8]]:
    """(ascending ids of those that have one, their signs (n, 64)): by an embedding model's vectors, else by the measures."""
    have: list[int] = []
    raw: list[bytes] = []
    for at in range(0, len(ids), 500):
        some = ",".join(str(int(a)) for a in ids[at : at + 500])
        if model is None:
            sql, args = f"SELECT asset_id, descriptor FROM measure WHERE asset_id IN ({some})", {}
        else:
            sql = f"SELECT asset_id, vector FROM embedding WHERE model_digest = :m AND asset_id IN ({some})"
            args = {"m": model}
        for asset_id, data in conn.execute(sa.text(sql), args):
            have.append(asset_id)
            raw.append(bytes(data))
    width = DESCRIPTOR if model is None else max((len(r) for r in raw), default=0)
    fit = [i for i, r in enumerate(raw) if len(r) == width]
    fit.sort(key=have.__getitem__)
    whole = b"".join(raw[i] for i in fit)
    if model is None:
        out = np.frombuffer(whole, np.uint8).reshape(-1, DESCRIPTOR)
    else:
        out = worth.signs(np.frombuffer(whole, "<f2").reshape(len(fit), -1))
    return np.array([have[i] for i in fit], np.int64), out


# --- the queue -------------------------------------------------------------------------------------------------------


def replace(
    conn: Connection, dataset_id: int, low: int, high: int, rows: Iterable[tuple[int, int, str]]
) -> None:
    """The rows (asset, value, reason) of the pictures low < id <= high, in place of those that were there."""
    conn.execute(
        sa.text("DELETE FROM worth WHERE dataset_id = :d AND asset_id > :low AND asset_id <= :high"),
        {"d": dataset_id, "low": low, "high": high},
    )
    made = [{"d": dataset_id, "a": a, "v": v, "r": r} for a, v, r in rows]
    if made:
        conn.execute(
            sa.text("INSERT INTO worth (dataset_id, asset_id, value, reason) VALUES (:d, :a, :v, :r)"), made
        )


def kept(conn: Connection, dataset_id: int, low: int, high: int) -> list[tuple[int, str]]:
    """(asset, reason as text) of the pictures low < id <= high that wait still, ascending."""
    sql = (
        "SELECT w.asset_id, w.reason FROM worth w JOIN item i ON i.dataset_id = w.dataset_id AND i.asset_id = w.asset_id "
        f"AND i.died IS NULL WHERE w.dataset_id = :d AND {WAITS} AND w.asset_id > :low AND w.asset_id <= :high ORDER BY w.asset_id"
    )
    rows = conn.execute(sa.text(sql), {"d": dataset_id, "low": low, "high": high})
    return [(r[0], r[1]) for r in rows]


_QUEUE = (
    "SELECT w.asset_id, w.value, w.reason, s.path FROM worth w JOIN item i ON i.dataset_id = w.dataset_id "
    "AND i.asset_id = w.asset_id AND i.died IS NULL JOIN asset s ON s.id = w.asset_id WHERE w.dataset_id = :d "
)


def queue(conn: Connection, dataset_id: int, limit: int) -> list[Row]:
    """The first pictures of the queue, most worth first."""
    sql = f"{_QUEUE}AND {WAITS} ORDER BY w.value DESC, w.asset_id LIMIT :n"
    return [_row(r) for r in conn.execute(sa.text(sql), {"d": dataset_id, "n": limit})]


def rows_of(conn: Connection, dataset_id: int, asset_ids: Sequence[int]) -> list[Row]:
    """Rows of these pictures that wait, in no order; those without one are left out."""
    out: list[Row] = []
    for at in range(0, len(asset_ids), 500):
        some = ",".join(str(int(a)) for a in asset_ids[at : at + 500])
        out += map(
            _row,
            conn.execute(sa.text(f"{_QUEUE}AND {WAITS} AND w.asset_id IN ({some})"), {"d": dataset_id}),
        )
    return out


def _row(r: Sequence[Any]) -> Row:
    return Row(r[0], r[1], json.loads(r[2]), r[3])


def count(conn: Connection, dataset_id: int) -> int:
    """How many pictures the queue still holds."""
    sql = (
        "SELECT count(*) FROM worth w JOIN item i ON i.dataset_id = w.dataset_id AND i.asset_id = w.asset_id "
        f"AND i.died IS NULL WHERE w.dataset_id = :d AND {WAITS}"
    )
    return int(conn.execute(sa.text(sql), {"d": dataset_id}).scalar_one())

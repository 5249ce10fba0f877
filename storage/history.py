"""What happened to objects and pictures: events of a page, of a dataset's member, the recycle bin, what was rejected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.record import MODEL
from storage.tables import REVIEWS, SPLITS


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One event of an object: verb by agent at a revision; model = digest hex of the model that predicted it."""

    rev: int
    step: int
    verb: str
    op: int
    agent: str
    model: str | None
    at_ms: int
    uid: str
    label: str
    row_id: int
    alive: bool


def history(conn: Connection, *, asset_id: int, uid: str | None = None, limit: int = 100) -> list[HistoryRow]:
    """Events of a page, or of one object of it, newest first: every row's birth, and deaths that opened nothing."""
    extra = " AND n.uid = :u" if uid else ""
    args: dict[str, object] = {"a": asset_id, "n": limit}
    if uid:
        args["u"] = bytes.fromhex(uid)
    sql = (
        "SELECT c.rev, c.step, c.verb, c.op, g.name, v.model_digest, c.at_ms, e.uid, l.code, e.id, e.alive FROM ("
        f"SELECT n.born AS rev, n.uid, n.id, n.label_id, n.activity_id, n.origin, 1 AS alive FROM annotation n WHERE n.asset_id = :a{extra} "
        "UNION ALL "
        f"SELECT n.died, n.uid, n.id, n.label_id, n.activity_id, n.origin, 0 FROM annotation n WHERE n.asset_id = :a{extra} AND n.died IS NOT NULL "
        "AND NOT EXISTS (SELECT 1 FROM annotation m WHERE m.asset_id = n.asset_id AND m.uid = n.uid AND m.born = n.died)"
        ") e JOIN change c ON c.rev = e.rev JOIN agent g ON g.id = c.agent_id JOIN label l ON l.id = e.label_id "
        "LEFT JOIN activity v ON v.id = e.activity_id AND v.model_digest IS NOT NULL "
        "ORDER BY c.rev DESC, e.id DESC LIMIT :n"
    )
    return [
        HistoryRow(
            *[
                *r[:5],
                bytes(r[5]).hex() if r[5] is not None else None,
                r[6],
                bytes(r[7]).hex(),
                r[8],
                r[9],
                bool(r[10]),
            ]
        )
        for r in conn.execute(sa.text(sql), args)
    ]


@dataclass(frozen=True, slots=True)
class ItemEvent:
    """A picture got another review state, another person or another split, or joined: what it was from this revision on."""

    rev: int
    verb: str
    op: int
    agent: str
    at_ms: int
    split: str
    review: str
    assignee: str | None


def item_events(conn: Connection, asset_id: int, dataset_id: int, *, limit: int = 100) -> list[ItemEvent]:
    """What happened to a picture as a member of a dataset, newest first."""
    sql = (
        "SELECT c.rev, c.verb, c.op, g.name, c.at_ms, i.split, i.review, w.name FROM item i JOIN change c ON c.rev = i.born "
        "JOIN agent g ON g.id = c.agent_id LEFT JOIN agent w ON w.id = i.assignee_id "
        "WHERE i.asset_id = :a AND i.dataset_id = :d ORDER BY c.rev DESC LIMIT :n"
    )
    rows = conn.execute(sa.text(sql), {"a": asset_id, "d": dataset_id, "n": limit})
    return [ItemEvent(*[*r[:5], SPLITS[r[5]], REVIEWS[r[6]], r[7]]) for r in rows]


@dataclass(frozen=True, slots=True)
class Deleted:
    """An object that a person deleted and that does not live: restore it by its row. box in 1/1000 px, None without one."""

    row_id: int
    uid: str
    asset_id: int
    label: str
    rev: int
    at_ms: int
    agent: str
    box: tuple[int, int, int, int] | None


def deleted(
    conn: Connection, dataset_id: int, *, before: tuple[int, int] | None = None, limit: int = 200
) -> list[Deleted]:
    """The recycle bin: truth that was closed without a successor, newest first, below (rev, row_id) `before`."""
    # SQLite would take the index of every death; PostgreSQL finds the right one by its statistics.
    indexed = " INDEXED BY ix_annotation_deleted" if conn.dialect.name == "sqlite" else ""
    sql = (
        f"SELECT n.id, n.uid, n.asset_id, l.code, n.died, c.at_ms, g.name, n.x0, n.y0, n.x1, n.y1 FROM annotation n{indexed} "
        "JOIN change c ON c.rev = n.died JOIN agent g ON g.id = c.agent_id JOIN label l ON l.id = n.label_id "
        f"WHERE n.died IS NOT NULL AND (n.died < :b OR (n.died = :b AND n.id < :i)) AND n.died <= :b AND n.origin <> {MODEL} "
        "AND NOT EXISTS (SELECT 1 FROM annotation m WHERE m.asset_id = n.asset_id AND m.uid = n.uid AND (m.died IS NULL OR m.born >= n.died)) "
        "AND EXISTS (SELECT 1 FROM item i WHERE i.asset_id = n.asset_id AND i.dataset_id = :d) "
        "ORDER BY n.died DESC, n.id DESC LIMIT :n"
    )
    rows = conn.execute(
        sa.text(sql),
        {
            "b": before[0] if before else 2**62,
            "i": before[1] if before else 0,
            "d": dataset_id,
            "n": limit,
        },
    )
    return [
        Deleted(
            r[0],
            bytes(r[1]).hex(),
            r[2],
            r[3],
            r[4],
            r[5],
            r[6],
            None if r[7] is None else (r[7], r[8], r[9], r[10]),
        )
        for r in rows
    ]


def rejected(
    conn: Connection, asset_ids: Sequence[int], model_digest: bytes
) -> dict[int, list[tuple[int, tuple[int, int, int, int]]]]:
    """(label id, box) of this model's predictions that a person rejected and nobody brought back, by asset."""
    out: dict[int, list[tuple[int, tuple[int, int, int, int]]]] = {}
    for i in range(0, len(asset_ids), 500):
        ids = ",".join(map(str, asset_ids[i : i + 500]))
        sql = (
            "SELECT n.asset_id, n.label_id, n.x0, n.y0, n.x1, n.y1 FROM annotation n JOIN activity v ON v.id = n.activity_id "
            f"JOIN change c ON c.rev = n.died WHERE n.asset_id IN ({ids}) AND n.died IS NOT NULL AND n.origin = {MODEL} "
            "AND v.model_digest = :m AND c.verb = 'reject' AND c.op <> 1 AND n.x0 IS NOT NULL "
            "AND NOT EXISTS (SELECT 1 FROM annotation k WHERE k.asset_id = n.asset_id AND k.uid = n.uid AND k.id > n.id)"
        )
        for r in conn.execute(sa.text(sql), {"m": model_digest}):
            out.setdefault(r[0], []).append((r[1], (r[2], r[3], r[4], r[5])))
    return out

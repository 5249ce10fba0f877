"""Figures that people look at rather than read: output by day and person, scores of predictions."""

from __future__ import annotations

import time
from dataclasses import dataclass

import sqlalchemy as sa

from app.services.workspace import Workspace
from storage.record import DO, MODEL
from storage.tables import ITEM_STATES

BINS = 20
"""Bars of the score histogram: 0 to 1 in steps of 0.05."""
SAMPLE = 5000
"""Pictures whose predictions the histogram is made of: enough for its shape, and bounded at any size."""
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Output:
    """What one person made on one day (local, "2026-11-22"): objects drawn, accepted or changed, on how many pictures."""

    day: str
    person: str
    objects: int
    pictures: int


def output(ws: Workspace, dataset_id: int, *, days: int = 14, now_ms: int | None = None) -> list[Output]:
    """Output of people on a dataset over the last days, oldest first; undo and redo do not count as work."""
    now = int(time.time() * 1000) if now_ms is None else now_ms
    shift = time.localtime(now / 1000).tm_gmtoff * 1000
    today = (now + shift) // _DAY_MS
    since = (today - days + 1) * _DAY_MS - shift
    sql = (
        f"SELECT (c.at_ms + {shift}) / {_DAY_MS}, g.name, count(*), count(DISTINCT n.asset_id) "
        "FROM change c JOIN annotation n ON n.born = c.rev JOIN agent g ON g.id = c.agent_id "
        f"WHERE c.rev > :r AND c.at_ms >= :s AND c.op = {DO} AND g.kind = 'person' AND n.origin <> {MODEL} "
        "AND EXISTS (SELECT 1 FROM item i WHERE i.asset_id = n.asset_id AND i.dataset_id = :d AND i.died IS NULL) "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    )
    with ws.db.read() as conn:
        first = _revision_at(conn, since)
        rows = conn.execute(sa.text(sql), {"r": first, "s": since, "d": dataset_id}).all()
    return [Output(_day(int(r[0])), r[1], int(r[2]), int(r[3])) for r in rows]


def _day(number: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(number * _DAY_MS / 1000))


def _revision_at(conn: sa.Connection, at_ms: int) -> int:
    """The last revision before a time, by halving: revisions grow with time, and there is no index on it."""
    low, high = 0, int(conn.exec_driver_sql("SELECT coalesce(max(rev), 0) FROM change").scalar_one())
    while low < high:
        middle = (low + high + 1) // 2
        found = conn.execute(
            sa.text("SELECT at_ms FROM change WHERE rev >= :r ORDER BY rev LIMIT 1"), {"r": middle}
        ).scalar()
        if found is not None and found < at_ms:
            low = middle
        else:
            high = middle - 1
    return low


def scores(ws: Workspace, dataset_id: int) -> list[int]:
    """Waiting predictions by score, BINS bars, over the first SAMPLE pictures that have any."""
    out = [0] * BINS
    sql = (
        f"SELECT n.score_micro * {BINS} / 1000000, count(*) FROM annotation n WHERE n.died IS NULL AND n.origin = {MODEL} "
        "AND n.asset_id IN (SELECT asset_id FROM item WHERE dataset_id = :d AND state = :s AND died IS NULL "
        "ORDER BY asset_id LIMIT :n) GROUP BY 1"
    )
    with ws.db.read() as conn:
        at = {"d": dataset_id, "s": ITEM_STATES.index("predicted"), "n": SAMPLE}
        for bar, n in conn.execute(sa.text(sql), at):
            if bar is not None:
                out[min(BINS - 1, max(0, int(bar)))] += int(n)
    return out

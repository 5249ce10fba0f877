"""What a query lists, stretch by stretch of its dataset: ids with sort keys, objects, counts by facet.

Every read is one stretch of a few thousand pictures in the order of their ids, so that no read is long, everything can
be broken off between two, and what was found so far can be shown.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation.core import AttributeValue
from storage import queries, search_sql
from storage.queries import WAITS, Query
from storage.record import MODEL
from storage.search import And, Node, Term
from storage.tables import ITEM_STATES, KINDS, LIKENESS, ORIGINS, REVIEWS, SPLITS

STRETCH = 20_000
"""Pictures of one read."""


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """An object as the gallery shows it. box: x0, y0, x1, y1 in px; None for tags and captions."""

    id: int
    uid: str
    asset_id: int
    label: str
    kind: str
    box: tuple[float, float, float, float] | None
    attributes: Mapping[str, AttributeValue]
    score: float | None
    origin: str
    path: str
    width_px: int | None
    height_px: int | None
    review: str
    state: str


def stretches(conn: Connection, dataset_id: int, low: int, n: int = STRETCH) -> int | None:
    """The id of the last of the next `n` pictures after `low`; None: fewer are left."""
    sql = (
        "SELECT i.asset_id FROM item i WHERE i.dataset_id = :d AND i.died IS NULL AND i.asset_id > :low "
        f"ORDER BY i.asset_id LIMIT 1 OFFSET {n - 1}"
    )
    found = conn.execute(sa.text(sql), {"d": dataset_id, "low": low}).scalar()
    return int(found) if found is not None else None


_PICTURE_KEYS = {
    "time": "s.taken_ms",
    "path": "s.path",
    "score": f"(SELECT max(n.score_micro) FROM annotation n WHERE n.asset_id = i.asset_id AND n.died IS NULL AND n.origin = {MODEL})",
    "unsure": f"(SELECT min(abs(n.score_micro - 500000)) FROM annotation n WHERE n.asset_id = i.asset_id AND n.died IS NULL AND n.origin = {MODEL})",
    "changed": "(SELECT max(n.born) FROM annotation n WHERE n.asset_id = i.asset_id AND n.died IS NULL)",
    "area": "s.width_px * s.height_px",
    "bright": "m.brightness",
    "contrast": "m.contrast",
    "sharp": "m.sharpness",
    "glare": "m.glare",
    "haze": "m.haze",
    "group": "(SELECT min(k.group_id * 1048576 + k.rank) FROM likeness k WHERE k.dataset_id = i.dataset_id "
    f"AND k.kind IN ({', '.join(map(str, range(len(LIKENESS))))}) AND k.asset_id = i.asset_id)",
    "similar": "m.descriptor",
    "worth": f"(SELECT w.value FROM worth w WHERE w.dataset_id = i.dataset_id AND w.asset_id = i.asset_id AND {WAITS})",
}
_OBJECT_KEYS = {
    **_PICTURE_KEYS,
    "score": "n.score_micro",
    "unsure": "abs(n.score_micro - 500000)",
    "changed": "n.born",
    "area": "(n.x1 - n.x0) * (n.y1 - n.y0)",
}


def keys(
    conn: Connection, query: Query, *, objects: bool, low: int, high: int, sort: str = ""
) -> Sequence[tuple[int, Any]]:
    """(asset id or annotation row, sort key) of what matches on the pictures low < id <= high, in the order of the ids."""
    p = queries.plan(conn, query, objects=objects)
    key = (_OBJECT_KEYS if objects else _PICTURE_KEYS)[sort] if sort else "NULL"
    join = "JOIN asset s ON s.id = i.asset_id " if p.asset or "s." in key else ""
    join += "LEFT JOIN measure m ON m.asset_id = i.asset_id " if key.startswith("m.") else ""
    where, args = (
        f"{p.where} AND i.asset_id > :low AND i.asset_id <= :high",
        {**p.args, "low": low, "high": high},
    )
    if objects:
        sql = (
            f"SELECT n.id, {key} FROM item i JOIN annotation n ON n.asset_id = i.asset_id AND n.died IS NULL {join}"
            f"WHERE {where} AND n.asset_id > :low AND n.asset_id <= :high ORDER BY i.asset_id, n.id"
        )
    else:
        sql = f"SELECT i.asset_id, {key} FROM item i {join}WHERE {where} ORDER BY i.asset_id"
    return [tuple(r) for r in conn.execute(sa.text(sql), args)]


_DIGITS = re.compile(r"\d+")


def natural(path: str) -> str:
    """A path as people order it: img2 before img10, case aside."""
    return _DIGITS.sub(lambda m: f"{len(m[0].lstrip('0')):03d}{m[0].lstrip('0')}", path.casefold())


_OBJECT = (
    "SELECT n.id, n.uid, n.asset_id, l.code, n.kind, n.x0, n.y0, n.x1, n.y1, n.attributes, n.score_micro, n.origin, s.path, "
    "s.width_px, s.height_px, i.review, i.state FROM annotation n JOIN label l ON l.id = +n.label_id JOIN asset s ON s.id = +n.asset_id "
    "JOIN item i ON i.asset_id = +n.asset_id AND i.dataset_id = :d AND i.died IS NULL "
)


def _object(r: Sequence[Any]) -> ObjectRow:
    box = None if r[5] is None else (r[5] / 1000, r[6] / 1000, r[7] / 1000, r[8] / 1000)
    return ObjectRow(
        r[0], bytes(r[1]).hex(), r[2], r[3], KINDS[r[4]], box, json.loads(r[9]) if r[9] else {},
        None if r[10] is None else r[10] / 1e6, ORIGINS[r[11]], r[12], r[13], r[14], REVIEWS[r[15]], ITEM_STATES[r[16]],
    )  # fmt: skip


def objects_of(conn: Connection, dataset_id: int, rows: Sequence[int]) -> list[ObjectRow]:
    """Objects by their rows, in the order given; rows that died since are left out."""
    found: dict[int, ObjectRow] = {}
    for i in range(0, len(rows), 500):
        ids = ",".join(str(int(a)) for a in rows[i : i + 500])
        sql = f"{_OBJECT}WHERE n.died IS NULL AND n.id IN ({ids})"
        found.update((r[0], _object(r)) for r in conn.execute(sa.text(sql), {"d": dataset_id}))
    return [found[a] for a in rows if a in found]


# --- facets -------------------------------------------------------------------------------------------------------

SCORE_BARS = 20
FACETS = (
    "class",
    "state",
    "review",
    "split",
    "origin",
    "kind",
    "by",
    "attribute",
    "score",
    "month",
    "duplicate",
)


@dataclass(slots=True)
class Tally:
    """Counts by facet: (facet, value) -> n; of attributes ("attribute.CODE", value); of scores the bar's number."""

    n: Counter[tuple[str, str]] = field(default_factory=Counter)

    def of(self, facet: str) -> dict[str, int]:
        """value -> n, most first."""
        return dict(
            sorted(((v, n) for (f, v), n in self.n.items() if f == facet), key=lambda x: (-x[1], x[0]))
        )

    def attributes(self) -> tuple[str, ...]:
        """Codes of the attributes that were met, most first."""
        sums: Counter[str] = Counter()
        for (f, _), n in self.n.items():
            if f.startswith("attribute."):
                sums[f.removeprefix("attribute.")] += n
        return tuple(code for code, _ in sums.most_common())


def tally(conn: Connection, query: Query, into: Tally, *, objects: bool, low: int, high: int) -> None:
    """Add what matches on the pictures low < id <= high: pictures by what is theirs, objects by what is theirs.

    Of pictures, those objects are counted that meet the query's own conditions on objects.
    """
    p = queries.plan(conn, query)
    args: dict[str, object] = {**p.args, "low": low, "high": high}
    span = "i.asset_id > :low AND i.asset_id <= :high"
    join = "JOIN asset s ON s.id = i.asset_id "
    n = into.n
    if objects:
        p = queries.plan(conn, query, objects=True)
        args = {**p.args, "low": low, "high": high}
        inner, more = p.where, ""
    else:
        inner = p.where
        known = queries.names(conn, query.dataset_id)
        wanted = search_sql.of_objects(queries.tree(query, known))
        maker = search_sql.Maker(conn.dialect.name, known, query.me, time.time(), dict(args))
        more = f"AND {maker.one_object(wanted)}" if wanted != And(()) else ""
        args = maker.args
        month = "strftime('%Y-%m', s.taken_ms / 1000, 'unixepoch', 'localtime')" if conn.dialect.name == "sqlite" else \
            "to_char(to_timestamp(s.taken_ms / 1000), 'YYYY-MM')"  # fmt: skip
        sql = (
            f"SELECT i.state, i.review, i.split, CASE WHEN s.taken_ms IS NULL THEN NULL ELSE {month} END, count(*) FROM item i {join}"
            f"WHERE {inner} AND {span} GROUP BY 1, 2, 3, 4"
        )
        for state, review, split, taken, k in conn.execute(
            sa.text(sql), {**p.args, "low": low, "high": high}
        ):
            n["state", ITEM_STATES[state]] += k
            n["review", REVIEWS[review]] += k
            n["split", SPLITS[split] or "none"] += k
            if taken is not None:
                n["month", taken] += k
        here = f"SELECT i.dataset_id, i.asset_id FROM item i {join if 's.' in inner else ''}WHERE {inner} AND {span}"
        for kind, name in enumerate(LIKENESS):
            any_ = "SELECT 1 FROM likeness WHERE dataset_id = :d AND kind = :k LIMIT 1"
            if conn.execute(sa.text(any_), {"d": query.dataset_id, "k": kind}).first() is None:
                continue  # most datasets have none of most kinds
            sql = (
                f"SELECT count(*) FROM ({here}) i JOIN likeness y ON y.dataset_id = i.dataset_id AND y.asset_id = i.asset_id "
                f"AND y.kind = {kind} AND y.rank > 0 WHERE {search_sql.surplus((kind,))}"
            )
            if found := conn.execute(sa.text(sql), {**p.args, "low": low, "high": high}).scalar_one():
                n["duplicate", name] += found
    states = "i.state, i.review, i.split" if objects else "0, 0, 0"
    sql = (
        f"SELECT l.code, n.origin, n.kind, g.name, n.score_micro * {SCORE_BARS} / 1000001, n.attributes, {states}, count(*) "
        f"FROM item i JOIN annotation n ON n.asset_id = i.asset_id AND n.died IS NULL {join if 's.' in inner + more else ''}"
        "JOIN label l ON l.id = n.label_id JOIN activity v ON v.id = n.activity_id JOIN agent g ON g.id = v.agent_id "
        f"WHERE {inner} {more} AND {span} AND n.asset_id > :low AND n.asset_id <= :high GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9"
    )
    for code, origin, kind, who, bar, attributes, state, review, split, k in conn.execute(sa.text(sql), args):
        n["class", code] += k
        n["origin", ORIGINS[origin]] += k
        n["kind", KINDS[kind]] += k
        n["by", who] += k
        if bar is not None:
            n["score", str(int(bar))] += k
        for key, value in _pairs(attributes):
            n[f"attribute.{key}", value] += k
        if objects:
            n["state", ITEM_STATES[state]] += k
            n["review", REVIEWS[review]] += k
            n["split", SPLITS[split] or "none"] += k


@lru_cache(maxsize=4096)
def _pairs(text: str | None) -> tuple[tuple[str, str], ...]:
    """(code, value as the query language spells it) of attributes with few values."""
    if not text:
        return ()
    out = []
    for key, value in json.loads(text).items():
        if isinstance(value, bool):
            out.append((key, "yes" if value else "no"))
        elif isinstance(value, str) and not key.startswith("@") and len(value) <= 40:
            out.append((key, value))
    return tuple(out)


def without(node: Node, facet: str) -> Node:
    """The query without its own condition on a facet: so that the other values of it stay in sight."""
    name, _, key = facet.partition(".")
    name = "date" if name == "month" else name
    parts = node.of if isinstance(node, And) else (node,)
    kept = tuple(x for x in parts if not (isinstance(x, Term) and x.field == name and x.key == key))
    return kept[0] if len(kept) == 1 else And(kept)


def members(
    conn: Connection,
    query: Query,
    *,
    objects: bool,
    low: int = 0,
    high: int = 2**62,
    assets: Sequence[int] = (),
    predictions: bool = False,
) -> list[tuple[int, int]]:
    """(annotation row, asset) of what a bulk action on the query takes, on the pictures low < id <= high, by asset.

    Args:
        objects: the query chooses objects; else pictures, and of their objects those that meet its conditions on objects.
        assets: only these pictures, which need not match otherwise.
        predictions: only predictions.
    """
    known = queries.names(conn, query.dataset_id)
    node = queries.tree(query, known)
    p = queries.plan(conn, query, objects=objects)
    where, args = p.where, dict(p.args)
    if not objects:
        wanted = search_sql.of_objects(node)
        maker = search_sql.Maker(conn.dialect.name, known, query.me, time.time(), args)
        if assets:
            ids = ",".join(str(int(a)) for a in assets)
            where = f"i.dataset_id = :d AND i.died IS NULL AND i.asset_id IN ({ids})"
            maker.args = args = {"d": query.dataset_id}
        where += f" AND {maker.one_object(wanted)}"
    more = f"AND n.origin = {MODEL} " if predictions else ""
    join = "JOIN asset s ON s.id = i.asset_id " if "s." in where else ""
    sql = (
        f"SELECT n.id, n.asset_id FROM item i JOIN annotation n ON n.asset_id = i.asset_id AND n.died IS NULL {join}"
        f"WHERE {where} {more}AND i.asset_id > :low AND i.asset_id <= :high ORDER BY i.asset_id, n.id"
    )
    return [(r[0], r[1]) for r in conn.execute(sa.text(sql), {**args, "low": low, "high": high})]

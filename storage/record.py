"""The append-only record: one change is one transaction is one revision.

Rules (storage/DECISIONS.md tells why):
- Rows of annotation, item and schema_version are immutable but for `died`. Editing closes a row and opens another.
- A *step* is what a person undoes: one change, or the many changes of a bulk action.
- State at revision R: `born <= R AND (died IS NULL OR died > R)`.
- Counters and an item's derived state come from the rows that carry this revision, never from the request.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation.core import new_uid
from annotation.errors import Conflict
from storage import db as database
from storage.db import Database
from storage.tables import OPS

READING = ("publish", "hubjob")
"""Kinds of job that are about a dataset and write nothing to it: a version may be frozen beside them."""
BATCH_ROWS = 100
"""Rows of one change of a job: with it and the pause, the desk's edits wait at most some tens of milliseconds."""
PAUSE_S = 0.01
ALONE_ROWS = 1_000
"""Rows of one change of a job that is alone with the record: nobody waits for it."""
DO, UNDO, REDO = range(len(OPS))
HUMAN, MODEL, IMPORT = range(3)


@dataclass(frozen=True, slots=True)
class Agent:
    """Who acts."""

    id: int
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Content:
    """What an annotation row holds, in the record's own integers (1/1000 px; score in millionths)."""

    uid: bytes
    asset_id: int
    label_id: int
    kind: int
    box: tuple[int, int, int, int] | None
    geometry: str | None
    attributes: str | None
    score_micro: int | None
    origin: int
    from_id: int | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """Close a live annotation row, open a new one, or both."""

    closes: int | None = None
    opens: Content | None = None


@dataclass(frozen=True, slots=True)
class ItemEdit:
    """Close a live item row, open a new one, or both. `opens` is (split, review); `assignee` the person it is with."""

    dataset_id: int
    asset_id: int
    closes: int | None = None
    opens: tuple[int, int] | None = None
    assignee: int | None = None


@dataclass(frozen=True, slots=True)
class RemarkContent:
    """What a remark row holds; x, y in 1/1000 px."""

    uid: bytes
    asset_id: int
    object_uid: bytes | None
    parent: bytes | None
    x: int | None
    y: int | None
    body: str
    resolved: int
    agent_id: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Draft:
    """An open change: draw `rev` from it, add rows, leave the `with` block to commit."""

    conn: Connection
    rev: int
    step: int
    activity_id: int
    dirty: set[str] = field(default_factory=set)

    def annotate(self, edits: Sequence[Edit], *, activity_id: int | None = None) -> None:
        """Close and open annotation rows.

        Args:
            activity_id: which activity made the rows, where it is a part of the change's own: one process of a job.

        Raises:
            Conflict: a row to close is no longer live: somebody was faster; nothing of this change is written.
        """
        self.close("annotation", [e.closes for e in edits if e.closes is not None])
        rows = [
            (c.uid, c.asset_id, c.label_id, c.kind, *(c.box or (None,) * 4), c.geometry, c.attributes, c.score_micro,
             c.origin, activity_id or self.activity_id, c.from_id, self.rev)
            for e in edits
            if (c := e.opens)
        ]  # fmt: skip
        database.insert(self.conn, "annotation", _ANNOTATION_COLUMNS, rows)
        self.dirty.add("annotation")

    def enrol(self, edits: Sequence[ItemEdit]) -> None:
        """Close and open item rows: membership, split, review state, the person it is with."""
        self.close("item", [e.closes for e in edits if e.closes is not None])
        rows = [(e.dataset_id, e.asset_id, *e.opens, e.assignee, 0, 0, 0, self.rev) for e in edits if e.opens]
        database.insert(self.conn, "item", _ITEM_COLUMNS, rows)
        self.dirty.add("item")

    def remark(self, closes: Sequence[int], opens: Sequence[RemarkContent]) -> None:
        """Close and open rows of remarks."""
        self.close("remark", closes)
        rows = [(*(getattr(r, name) for name in _REMARK_COLUMNS[:-1]), self.rev) for r in opens]
        database.insert(self.conn, "remark", _REMARK_COLUMNS, rows)

    def close(self, table: str, ids: Sequence[int]) -> None:
        """Let the live rows of these ids die at this revision; Conflict unless every one of them is live."""
        for part in chunks(ids):
            sql = f"UPDATE {table} SET died = :r WHERE died IS NULL AND id IN ({','.join(map(str, part))})"
            if self.conn.execute(sa.text(sql), {"r": self.rev}).rowcount != len(part):
                raise _overtaken(self.conn, table, part)
        self.dirty.add(table)

    def copy(self, table: str, ids: Sequence[int]) -> None:
        """Open copies of old rows: same content, `same_as` = their root."""
        names = ",".join(_COPIED[table])
        for part in chunks(ids):
            self.conn.execute(
                sa.text(
                    f"INSERT INTO {table} ({names}, same_as, born) SELECT {names}, coalesce(same_as, id), :r "
                    f"FROM {table} WHERE id IN ({','.join(map(str, part))})"
                ),
                {"r": self.rev},
            )
        self.dirty.add(table)


_ANNOTATION_COLUMNS = (
    "uid", "asset_id", "label_id", "kind", "x0", "y0", "x1", "y1", "geometry", "attributes", "score_micro", "origin",
    "activity_id", "from_id", "born",
)  # fmt: skip
_ITEM_COLUMNS = (
    "dataset_id", "asset_id", "split", "review", "assignee_id", "state", "n_truth", "n_pred", "born",
)  # fmt: skip
_REMARK_COLUMNS = (
    "uid", "asset_id", "object_uid", "parent", "x", "y", "body", "resolved", "agent_id", "at_ms", "born",
)  # fmt: skip
_COPIED: Mapping[str, tuple[str, ...]] = {
    "annotation": _ANNOTATION_COLUMNS[:-1],
    "item": _ITEM_COLUMNS[:-1],
    "remark": _REMARK_COLUMNS[:-1],
    "schema_version": ("code", "number", "body", "blake3"),
}


def chunks(ids: Sequence[int], n: int = 500) -> Iterator[Sequence[int]]:
    """Runs of at most `n` ids: short IN lists, and the same few statement lengths again and again."""
    for i in range(0, len(ids), n):
        yield ids[i : i + n]


# --- agents and activities ------------------------------------------------------------------------------------------


def agent(conn: Connection, kind: str, name: str) -> Agent:
    """The agent of this kind and name, made when first met."""
    q = sa.text("SELECT id FROM agent WHERE kind = :k AND name = :n")
    at = {"k": kind, "n": name}
    found = conn.execute(q, at).scalar()
    if found is None:
        conn.execute(sa.text("INSERT INTO agent (kind, name) VALUES (:k, :n) ON CONFLICT DO NOTHING"), at)
        found = conn.execute(q, at).scalar_one()
    return Agent(found, kind, name)


def start_activity(
    conn: Connection,
    kind: str,
    agent_id: int,
    params: Mapping[str, object],
    *,
    model_digest: bytes | None = None,
    open_: bool = True,
) -> int:
    """A new activity. `open_` = its steps cannot be frozen or undone until `end_activity`."""
    now = database.now_ms()
    return int(
        conn.execute(
            sa.text(
                "INSERT INTO activity (uid, kind, agent_id, model_digest, params, started_ms, ended_ms) "
                "VALUES (:u, :k, :a, :m, :p, :s, :e) RETURNING id"
            ),
            {"u": bytes.fromhex(new_uid()), "k": kind, "a": agent_id, "m": model_digest, "s": now,
             "p": json.dumps(params, ensure_ascii=False, sort_keys=True), "e": None if open_ else now},
        ).scalar_one()
    )  # fmt: skip


def end_activity(conn: Connection, activity_id: int) -> None:
    """The activity ended now."""
    conn.execute(
        sa.text("UPDATE activity SET ended_ms = :e WHERE id = :i"), {"e": database.now_ms(), "i": activity_id}
    )


def link(conn: Connection, activity_id: int, role: str, entity: str, ref: str) -> None:
    """Remember that the activity "used" or "generated" an entity (dataset, version, model, schema, file, package)."""
    conn.execute(
        sa.text("INSERT INTO link (activity_id, role, entity, ref) VALUES (:a, :r, :e, :f)"),
        {"a": activity_id, "r": role, "e": entity, "f": ref},
    )


# --- a change -------------------------------------------------------------------------------------------------------


@contextmanager
def change(
    db: Database,
    *,
    agent_id: int,
    activity_id: int,
    verb: str,
    dataset_id: int | None = None,
    assets: Iterable[int] = (),
    page: int | None = None,
    step: int | None = None,
    op: int = DO,
    inverts: int | None = None,
    durable: bool = True,
) -> Iterator[Draft]:
    """One transaction of the record.

    Args:
        assets: ids of the assets whose annotations or items change. On PostgreSQL their rows are locked before the
            revision is drawn.
        page: the asset whose undo stack the change belongs to: a gesture's page. None for bulk and machine work.
        step: revision of the step's first change; None begins a new step.
        durable: see `Database.write`.

    Raises:
        Conflict: somebody was faster; nothing is written.
    """  # fmt: skip
    touched = sorted(set(assets))
    with db.write(durable=durable) as conn:
        database.share_lock(conn)
        if db.dialect == "postgresql":
            for part in chunks(touched, 5000):
                conn.execute(
                    sa.text("SELECT id FROM asset WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"),
                    {"ids": list(part)},
                )
            rev = int(conn.execute(sa.text("SELECT nextval('change_rev_seq')")).scalar_one())
        else:
            rev = int(conn.exec_driver_sql("SELECT coalesce(max(rev), 0) + 1 FROM change").scalar_one())
        conn.execute(
            _INSERT_CHANGE,
            {"r": rev, "s": step or rev, "o": op, "i": inverts, "v": verb, "a": activity_id, "g": agent_id,
             "d": dataset_id, "p": page, "t": database.now_ms()},
        )  # fmt: skip
        draft = Draft(conn, rev, step or rev, activity_id)
        yield draft
        if draft.dirty & {"annotation", "item"}:
            _count(conn, rev)


_INSERT_CHANGE = sa.text(
    "INSERT INTO change (rev, step, op, inverts, verb, activity_id, agent_id, dataset_id, asset_id, at_ms) "
    "VALUES (:r, :s, :o, :i, :v, :a, :g, :d, :p, :t)"
)


def _count(conn: Connection, rev: int) -> None:
    """Bring counters and item states up to date from the rows that carry this revision.

    Set by set inside the database for annotations; row by row for items that joined, left or changed split here.
    """
    deltas: dict[tuple[int, int, int, int], int] = defaultdict(int)
    touched = (
        f"SELECT asset_id, label_id, origin, 1 AS n FROM annotation WHERE born = {rev} UNION ALL "
        f"SELECT asset_id, label_id, origin, -1 FROM annotation WHERE died = {rev}"
    )
    staying = f"died IS NULL AND born <> {rev}"
    for dataset_id, label_id, origin, n in _rows(
        conn,
        "SELECT i.dataset_id, g.label_id, g.origin, sum(g.n) FROM (SELECT asset_id, label_id, origin, sum(n) AS n FROM "
        f"({touched}) u GROUP BY 1, 2, 3) g JOIN item i ON i.asset_id = g.asset_id WHERE i.{staying.replace('born', 'i.born')} "
        "GROUP BY 1, 2, 3",
    ):
        deltas[dataset_id, label_id, origin, 0] += int(n)
    moved = conn.exec_driver_sql(
        "UPDATE item SET n_truth = n_truth + g.t, n_pred = n_pred + g.p FROM (SELECT asset_id, "
        f"sum(CASE WHEN origin <> {MODEL} THEN n ELSE 0 END) AS t, sum(CASE WHEN origin = {MODEL} THEN n ELSE 0 END) AS p "
        f"FROM ({touched}) u GROUP BY asset_id) g WHERE item.asset_id = g.asset_id AND {staying}"
    ).rowcount
    if moved:
        wrong = f"asset_id IN (SELECT asset_id FROM ({touched}) u) AND {staying} AND state <> {_STATE}"
        for dataset_id, old, new, n in _rows(
            conn, f"SELECT dataset_id, state, {_STATE}, count(*) FROM item WHERE {wrong} GROUP BY 1, 2, 3"
        ):
            deltas[dataset_id, 0, 0, old] -= n
            deltas[dataset_id, 0, 0, new] += n
        conn.exec_driver_sql(f"UPDATE item SET state = {_STATE} WHERE {wrong}")
    _count_items(conn, rev, deltas)
    changed = [(*key, n) for key, n in sorted(deltas.items()) if n]
    if changed:
        _many(conn, _UPSERT_COUNTER, changed)


_STATE = "(CASE WHEN n_pred > 0 THEN 1 WHEN n_truth > 0 THEN 2 ELSE 0 END)"


def _count_items(conn: Connection, rev: int, deltas: dict[tuple[int, int, int, int], int]) -> None:
    """The part of `_count` for items born or dead at this revision."""
    left = {
        (d, a): state
        for d, a, state in _rows(conn, f"SELECT dataset_id, asset_id, state FROM item WHERE died = {rev}")
    }
    entered = _rows(
        conn, f"SELECT id, dataset_id, asset_id, state, n_truth, n_pred FROM item WHERE born = {rev}"
    )
    if not left and not entered:
        return
    fresh = {(i[1], i[2]) for i in entered}  # joined now, or a new row (split, review) of an item that stays
    assets = [a for _, a in fresh | left.keys()]
    held = _census(conn, assets, "died IS NULL")
    before = _census(conn, [a for _, a in left], f"born < {rev} AND (died IS NULL OR died >= {rev})")
    updates = []
    for item_id, dataset_id, asset_id, *kept in entered:
        now = held.get(asset_id, {})
        pred = sum(n for (_, origin), n in now.items() if origin == MODEL)
        truth = sum(now.values()) - pred
        state = 1 if pred else 2 if truth else 0
        deltas[dataset_id, 0, 0, state] += 1
        for (label_id, origin), n in now.items():
            deltas[dataset_id, label_id, origin, 0] += n
        if [state, truth, pred] != kept:
            updates.append((state, truth, pred, item_id))
    for (dataset_id, asset_id), state in left.items():  # what it held before leaves the dataset's counts
        deltas[dataset_id, 0, 0, state] -= 1
        for (label_id, origin), n in before.get(asset_id, {}).items():
            deltas[dataset_id, label_id, origin, 0] -= n
    if updates:
        _many(conn, "UPDATE item SET state = ?, n_truth = ?, n_pred = ? WHERE id = ?", updates)


_UPSERT_COUNTER = (
    "INSERT INTO counter (dataset_id, label_id, origin, state, n) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (dataset_id, label_id, origin, state) DO UPDATE SET n = counter.n + excluded.n"
)


def _many(conn: Connection, sql: str, rows: Sequence[tuple[int, ...]]) -> None:
    """executemany at the driver's own speed."""
    conn.exec_driver_sql(sql if conn.dialect.name == "sqlite" else sql.replace("?", "%s"), list(rows))


def _rows(conn: Connection, sql: str) -> list[tuple[int, ...]]:
    """Plain tuples straight from the driver: the row objects of SQLAlchemy cost more than the query here."""
    cursor = conn.connection.cursor()
    try:
        cursor.execute(sql)
        return list(cursor.fetchall())
    finally:
        cursor.close()


def _census(conn: Connection, assets: Sequence[int], when: str) -> dict[int, dict[tuple[int, int], int]]:
    """(label, origin) -> number of annotation rows that meet `when`, by asset."""
    out: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)
    for part in chunks(sorted(set(assets))):
        ids = ",".join(map(str, part))
        sql = f"SELECT asset_id, label_id, origin FROM annotation WHERE {when} AND asset_id IN ({ids})"
        for (asset_id, label_id, origin), n in Counter(_rows(conn, sql)).items():
            out[asset_id][label_id, origin] = n
    return out


def _overtaken(conn: Connection, table: str, ids: Sequence[int]) -> Conflict:
    row = conn.execute(
        sa.text(
            f"SELECT g.name, c.rev FROM {table} t JOIN change c ON c.rev = t.died JOIN agent g ON g.id = c.agent_id "
            f"WHERE t.id IN ({','.join(map(str, ids))}) AND t.died IS NOT NULL ORDER BY c.rev DESC LIMIT 1"
        )
    ).first()
    if row is None:
        return Conflict("what was to be changed does not exist", remedy="reload")
    return Conflict(f"{row[0]} changed this in r{row[1]}", remedy="look at the new state and do it again")


def label_ids(conn: Connection, codes: Iterable[str]) -> dict[str, int]:
    """Numbers of label codes, made when first met."""
    wanted = list(dict.fromkeys(codes))
    out = dict.fromkeys(wanted, 0)
    for code in sorted(wanted):  # in one order everywhere: two that make the same ones cannot deadlock
        at = {"c": code}
        found = conn.execute(sa.text("SELECT id FROM label WHERE code = :c"), at).scalar()
        if found is None:
            conn.execute(sa.text("INSERT INTO label (code) VALUES (:c) ON CONFLICT DO NOTHING"), at)
            found = conn.execute(sa.text("SELECT id FROM label WHERE code = :c"), at).scalar_one()
        out[code] = found
    return out


def newest(conn: Connection) -> int:
    """The newest revision, 0 in an empty record."""
    return int(conn.exec_driver_sql("SELECT coalesce(max(rev), 0) FROM change").scalar_one())


def open_steps(conn: Connection, dataset_id: int | None = None) -> list[tuple[int, str, int]]:
    """(activity, kind, started_ms) of activities that still run and write, or have written, to the dataset (or to any)."""
    sql = "SELECT v.id, v.kind, v.started_ms FROM activity v WHERE v.ended_ms IS NULL"
    if dataset_id is not None:
        sql += f" AND (EXISTS (SELECT 1 FROM job j WHERE j.activity_id = v.id AND j.dataset_id = :d AND j.kind NOT IN {READING}) OR EXISTS (SELECT 1 FROM change c WHERE c.activity_id = v.id AND c.dataset_id = :d))"
    return [
        (r[0], r[1], r[2])
        for r in conn.execute(sa.text(sql), {"d": dataset_id} if dataset_id is not None else {})
    ]

"""Steps: what a person undoes. One change, or the many changes of a bulk action; undo, redo and restore are steps too.

`invert` is the only mechanism behind undo, redo and undo of undo: for every object a step touched, its live row must hold
what the step left (compared by descent, `same_as`), else nothing is written; then what was before is opened again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation.errors import Conflict, InvalidInput, NotFound
from storage import jobs
from storage.db import Database
from storage.jobs import Job, Lease
from storage.record import BATCH_ROWS, DO, MODEL, PAUSE_S, REDO, UNDO, Draft, change, chunks, start_activity

_KEYS: Mapping[str, tuple[str, ...]] = {
    "annotation": ("uid",), "item": ("dataset_id", "asset_id"), "schema_version": ("code",), "remark": ("uid",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """A step as read: `stands` = no standing step inverts it; `open` = its activity still runs."""

    step: int
    op: int
    verb: str
    inverts: int | None
    agent_id: int
    agent: str
    activity_id: int
    dataset_id: int | None
    asset_id: int | None
    at_ms: int
    open: bool
    stands: bool


_STEP = (
    "SELECT c.rev, c.op, c.verb, c.inverts, c.agent_id, g.name, c.activity_id, c.dataset_id, c.asset_id, c.at_ms, "
    "v.ended_ms IS NULL FROM change c JOIN agent g ON g.id = c.agent_id JOIN activity v ON v.id = c.activity_id "
)


def _step(conn: Connection, row: Sequence[Any]) -> Step:
    *facts, running = row
    return Step(*[*facts, bool(running), _stands(conn, row[0])])


def step(conn: Connection, number: int) -> Step:
    """The step that begins at this revision, or that this revision belongs to. Raises NotFound."""
    first = conn.execute(sa.text("SELECT step FROM change WHERE rev = :r"), {"r": number}).scalar()
    if first is None:
        raise NotFound(f"there is no step r{number}", remedy="`lamproom log` lists them")
    row = conn.execute(sa.text(_STEP + "WHERE c.rev = :r"), {"r": first}).one()
    return _step(conn, row)


def steps(
    conn: Connection, *, before: int | None = None, limit: int = 50, agent_id: int | None = None
) -> list[Step]:
    """Steps, newest first, below revision `before`; of everybody, or what one agent did, redid and had models do."""
    mine, started = "", ""
    if agent_id is not None:
        name = conn.execute(sa.text("SELECT name FROM agent WHERE id = :a"), {"a": agent_id}).scalar()
        started = f'"started_by": {json.dumps(name, ensure_ascii=False)}'  # as `start_activity` writes it
        mine = f"AND c.op <> {UNDO} AND (c.agent_id = {agent_id} OR (g.kind = 'model' AND replace(v.params, :who, '') <> v.params)) "
    rows = conn.execute(
        sa.text(f"{_STEP}WHERE c.step = c.rev AND c.rev < :b {mine}ORDER BY c.rev DESC LIMIT :n"),
        {"b": before if before is not None else 2**62, "n": limit, **({"who": started} if mine else {})},
    ).all()
    return [_step(conn, r) for r in rows]


def _stands(conn: Connection, number: int) -> bool:
    """True unless a step that itself stands inverts this one."""
    rows = conn.execute(
        sa.text(
            "WITH RECURSIVE t (rev, inverts) AS ("
            "SELECT rev, inverts FROM change WHERE inverts IS NOT NULL AND inverts = :s AND rev = step UNION ALL "
            "SELECT c.rev, c.inverts FROM t JOIN change c ON c.inverts IS NOT NULL AND c.inverts = t.rev AND c.rev = c.step"
            ") SELECT rev, inverts FROM t ORDER BY rev DESC"
        ),
        {"s": number},
    )
    undone: set[int] = (
        set()
    )  # newest first: whether an inverter stands is known before what it inverts is asked
    for rev, target in rows:
        if rev not in undone:
            undone.add(target)
    return number not in undone


def tops(conn: Connection, asset_id: int, agent_id: int) -> tuple[int | None, int | None]:
    """(what undo takes back next, what redo brings back next): steps of one person on one page that stand.

    Read from the newest change backwards and only as far as needed, so it survives restarts, and the ten-thousandth
    gesture on a page costs what the first did.
    """
    done: int | None = None
    redo: int | None = None
    cleared = False  # a gesture was met: what was undone before it cannot be redone
    taken: set[int] = set()  # targets of what was met: undone, or redone under another number
    before, limit = 2**62, 32
    while True:
        rows = conn.execute(
            sa.text("SELECT step, op, inverts FROM change WHERE asset_id IS NOT NULL AND asset_id = :a AND rev < :b "
                    "AND agent_id = :g AND step = rev ORDER BY rev DESC LIMIT :n"),
            {"a": asset_id, "g": agent_id, "b": before, "n": limit},
        ).all()  # fmt: skip
        for number, op, target in rows:
            # Somebody else may have undone it from the log: then it is passed over.
            top = number not in taken and (op != UNDO or not cleared) and _stands(conn, number)
            if op != DO:
                taken.add(target)
            if op == UNDO:
                redo = number if top and redo is None else redo
                continue
            if top and done is None:
                done = number
            cleared = cleared or op == DO
            if done is not None and (cleared or redo is not None):
                return done, redo
        if len(rows) < limit:
            return done, redo
        before, limit = rows[-1][0], min(2048, limit * 4)


@dataclass(frozen=True, slots=True)
class _Effect:
    """What a step did to one object of one table."""

    table: str
    key: tuple[object, ...]
    before: int | None = None
    after: int | None = None
    before_root: int | None = None
    after_root: int | None = None
    asset_id: int | None = None


@dataclass(frozen=True, slots=True)
class Inverted:
    """What an inversion did: its own step, the revision of its last change, and objects left because they changed."""

    step: int
    rev: int
    assets: tuple[int, ...]
    objects: int
    left: int


def _effects(conn: Connection, number: int) -> list[_Effect]:
    revs = (
        "SELECT rev FROM change WHERE rev = :s UNION SELECT rev FROM change WHERE step = :s AND step <> rev"
    )
    found: dict[tuple[str, tuple[object, ...]], _Effect] = {}
    for table, columns in _KEYS.items():
        names = ", ".join(f"t.{c}" for c in columns)
        asset = "t.asset_id" if table != "schema_version" else "NULL"
        for end, other in (("died", "born"), ("born", "died")):
            rows = conn.execute(
                sa.text(
                    f"WITH s AS ({revs}) SELECT {names}, t.id, coalesce(t.same_as, t.id), {asset} FROM s "
                    f"JOIN {table} t ON t.{end} = s.rev WHERE t.{end} IS NOT NULL "
                    f"AND (t.{other} IS NULL OR t.{other} NOT IN (SELECT rev FROM s))"
                ),
                {"s": number},
            )
            for row in rows:
                key = tuple(row[: len(columns)])
                row_id, root, asset_id = row[len(columns) :]
                old = found.get((table, key), _Effect(table, key, asset_id=asset_id))
                found[table, key] = (
                    replace(old, before=row_id, before_root=root) if end == "died"
                    else replace(old, after=row_id, after_root=root)
                )  # fmt: skip
    return list(found.values())


def _live(
    conn: Connection, effects: Sequence[_Effect]
) -> dict[tuple[str, tuple[object, ...]], tuple[int, int]]:
    """(live row, its root) of the objects."""
    out: dict[tuple[str, tuple[object, ...]], tuple[int, int]] = {}
    for table, columns in _KEYS.items():
        names = ", ".join(columns)
        keys = [e.key for e in effects if e.table == table]
        for i in range(0, len(keys), 200):
            part = keys[i : i + 200]
            where = " OR ".join(
                "(" + " AND ".join(f"{c} = :k{n}_{m}" for m, c in enumerate(columns)) + ")"
                for n in range(len(part))
            )
            if len(columns) == 1:
                where = f"{columns[0]} IN ({','.join(f':k{n}_0' for n in range(len(part)))})"
            args = {f"k{n}_{m}": v for n, key in enumerate(part) for m, v in enumerate(key)}
            rows = conn.execute(
                sa.text(
                    f"SELECT {names}, id, coalesce(same_as, id) FROM {table} WHERE died IS NULL AND ({where})"
                ),
                args,
            )
            for row in rows:
                out[table, tuple(row[: len(columns)])] = (row[-2], row[-1])
    return out


def invert(
    db: Database,
    number: int,
    *,
    agent_id: int,
    activity_id: int,
    op: int | None = None,
    skip_changed: bool = False,
) -> Inverted:
    """Undo a step by a new step; the one mechanism behind undo, redo and undo of undo.

    Args:
        number: the step (any revision of it).
        op: UNDO or REDO; None = REDO when the target is itself an undo.
        skip_changed: leave objects that changed since, instead of refusing.

    Raises:
        Conflict: the step is open, already undone, or one of its objects was changed since; nothing is written.
            Of a step that needs several changes, objects that change after the check are left.
        NotFound: there is no such revision.
    """  # fmt: skip
    with db.read() as conn:
        target = step(conn, number)
        if target.open:
            raise Conflict(
                f"r{target.step} ({target.verb}) is still being written",
                remedy="finish or cancel its job first: `lamproom jobs list`",
            )
        if not target.stands:
            raise Conflict(f"r{target.step} ({target.verb}) is undone already")
        todo, changed, live = _todo(conn, target)
        if changed and not skip_changed:
            raise _changed_since(conn, changed[0], len(changed), live)
    if changed and not todo:
        raise Conflict(f"everything r{target.step} did was changed since; nothing to undo")
    op = op if op is not None else (REDO if target.op == UNDO else UNDO)
    if len(todo) <= BATCH_ROWS:
        draft, left = _turn_back(db, target, todo, agent_id=agent_id, activity_id=activity_id, op=op,
                                 strict=not skip_changed)  # fmt: skip
        return _inverted(draft.step, draft.rev, todo, len(changed), left)
    with (
        db.write() as conn
    ):  # open until its last change: no freeze in between, and a kill leaves a job to resume
        params = {"step": target.step, "op": op}
        activity_id = start_activity(conn, "undo", agent_id, params)
        job_id = jobs.create(conn, "undo", activity_id=activity_id, dataset_id=target.dataset_id, params=params,
                             total=len(todo), shards=[(1, 2**62)])  # fmt: skip
        job = jobs.get(conn, job_id)
    return _in_parts(db, job, target, todo, left=len(changed))


def go_on(db: Database, job: Job) -> Inverted:
    """Do what is left of an inversion that was killed between two of its changes; what changed since is left.

    Raises:
        Conflict: a living process works on it.
    """
    with db.read() as conn:
        target = step(conn, int(str(job.params["step"])))
        todo, changed, live = _todo(conn, target)
    left = sum(_root(live.get((e.table, e.key))) != e.before_root for e in changed)  # the others are done
    return _in_parts(db, job, target, todo, left=left)


def _in_parts(db: Database, job: Job, target: Step, todo: Sequence[_Effect], *, left: int) -> Inverted:
    """The inversion as a job of many small changes, all of one step."""
    first, rev, overtaken = job.step, job.step or 0, 0
    with db.read() as conn:
        agent_id = int(
            conn.execute(
                sa.text("SELECT agent_id FROM activity WHERE id = :i"), {"i": job.activity_id}
            ).scalar_one()
        )
    with jobs.held(db, job.id) as lease:
        for part in [todo[i : i + BATCH_ROWS] for i in range(0, len(todo), BATCH_ROWS)]:
            draft, n = _turn_back(db, target, part, agent_id=agent_id, activity_id=job.activity_id,
                                  op=int(str(job.params["op"])), step=first, lease=lease)  # fmt: skip
            first, rev, overtaken = first or draft.step, draft.rev, overtaken + n
            time.sleep(PAUSE_S)
        with db.write() as conn:
            jobs.finish(conn, job.id, "finished")
    return _inverted(first or 0, rev, todo, left, overtaken)


def _inverted(first: int, rev: int, todo: Sequence[_Effect], left: int, overtaken: int) -> Inverted:
    assets = tuple(sorted({e.asset_id for e in todo if e.asset_id is not None}))
    return Inverted(first, rev, assets, len(todo) - overtaken, left + overtaken)


def _todo(
    conn: Connection, target: Step
) -> tuple[list[_Effect], list[_Effect], Mapping[tuple[str, tuple[object, ...]], tuple[int, int]]]:
    """(what the step did and still is so, what changed since, the live rows of both)."""
    effects = sorted(_effects(conn, target.step), key=lambda e: (e.asset_id or 0, e.table))
    live = _live(conn, effects)
    changed = [e for e in effects if _root(live.get((e.table, e.key))) != e.after_root]
    joined = [e for e in effects if e.table == "item" and e.before is None]
    worked_on = _worked_on(conn, target.step, [e.asset_id for e in joined if e.asset_id is not None])
    changed += [e for e in joined if e.asset_id in worked_on and e not in changed]
    skipped = {(e.table, e.key) for e in changed}
    return [e for e in effects if (e.table, e.key) not in skipped], changed, live


def _worked_on(conn: Connection, number: int, assets: Sequence[int]) -> set[int]:
    """Those of the assets that hold truth which another step made: a picture that was labelled does not leave unasked."""
    revs = (
        f"SELECT rev FROM change WHERE rev = {number} UNION "
        f"SELECT rev FROM change WHERE step = {number} AND step <> rev"
    )
    found: set[int] = set()
    for part in chunks(assets):
        ids = ",".join(map(str, part))
        found.update(
            conn.exec_driver_sql(
                f"SELECT DISTINCT asset_id FROM annotation WHERE asset_id IN ({ids}) AND died IS NULL "
                f"AND origin <> {MODEL} AND born NOT IN ({revs})"
            ).scalars()
        )
    return found


def _turn_back(
    db: Database,
    target: Step,
    part: Sequence[_Effect],
    *,
    agent_id: int,
    activity_id: int,
    op: int,
    step: int | None = None,
    lease: Lease | None = None,
    strict: bool = False,
) -> tuple[Draft, int]:
    """One change that opens again what was before; (it, number of objects left because somebody was faster).

    strict: Conflict instead, and nothing is written.
    """
    assets = {e.asset_id for e in part if e.asset_id is not None}
    with change(db, agent_id=agent_id, activity_id=activity_id, verb=target.verb, dataset_id=target.dataset_id,
                assets=assets, page=target.asset_id, step=step, op=op, inverts=target.step) as draft:  # fmt: skip
        now = _live(draft.conn, part)
        ready = [e for e in part if _root(now.get((e.table, e.key))) == e.after_root]
        left = len(part) - len(ready)
        if left and strict:
            raise _changed_since(draft.conn, next(e for e in part if e not in ready), left, now)
        for table in _KEYS:
            mine = [e for e in ready if e.table == table]
            draft.close(table, [now[table, e.key][0] for e in mine if (table, e.key) in now])
            draft.copy(table, [e.before for e in mine if e.before is not None])
        if lease is not None:
            jobs.advance(draft.conn, lease, 0, n=len(part), step=draft.step)
    return draft, left


def _root(found: tuple[int, int] | None) -> int | None:
    return found[1] if found else None


def _changed_since(
    conn: Connection, effect: _Effect, n: int, live: Mapping[tuple[str, tuple[object, ...]], tuple[int, int]]
) -> Conflict:
    found = live.get((effect.table, effect.key))
    clause = f"c.rev = (SELECT born FROM {effect.table} WHERE id = {found[0]})" if found else (
        f"c.rev = (SELECT max(died) FROM {effect.table} WHERE " + " AND ".join(f"{c} = :k{i}" for i, c in enumerate(_KEYS[effect.table])) + ")"
    )  # fmt: skip
    if found and found[1] == effect.after_root:  # the item stands, but its picture was labelled
        clause = f"c.rev = (SELECT max(born) FROM annotation WHERE asset_id = {effect.asset_id} AND died IS NULL AND origin <> {MODEL})"
    args = {} if found else {f"k{i}": v for i, v in enumerate(effect.key)}
    row = conn.execute(
        sa.text(f"SELECT g.name, c.rev FROM change c JOIN agent g ON g.id = c.agent_id WHERE {clause}"), args
    ).first()
    who = f"{row[0]} in r{row[1]}" if row else "somebody"
    return Conflict(f"{n} of the objects were changed since by {who}; nothing was undone",
                    remedy="undo that first, or leave the changed objects as they are: `lamproom undo STEP --skip-changed`")  # fmt: skip


def restore(db: Database, row_ids: Sequence[int], *, agent_id: int, activity_id: int) -> int:
    """Open copies of dead annotation rows, as one ordinary step; an object that lives again already takes the old state.

    Returns:
        the revision.

    Raises:
        NotFound: an id is no annotation row.
    """
    with db.read() as conn:
        rows = {
            r.id: r
            for part in chunks(row_ids)
            for r in conn.exec_driver_sql(
                f"SELECT id, uid, asset_id FROM annotation WHERE id IN ({','.join(map(str, part))})"
            )
        }
    if missing := [i for i in row_ids if i not in rows]:
        raise NotFound(f"there is no annotation row {missing[0]}")
    if len({bytes(r.uid) for r in rows.values()}) < len(rows):
        raise InvalidInput("two states of one object cannot both come back", remedy="choose one of them")
    with change(
        db,
        agent_id=agent_id,
        activity_id=activity_id,
        verb="restore",
        assets={r.asset_id for r in rows.values()},
    ) as draft:
        live = _live(draft.conn, [_Effect("annotation", (bytes(r.uid),)) for r in rows.values()])
        draft.close("annotation", [row_id for row_id, _ in live.values()])
        draft.copy("annotation", list(rows))
    return draft.rev

"""What a model said about pictures, and what people made of it, read from the append-only record.

A prediction that was accepted lives on as a person's row of the same uid, a rejected one is a closed row: the rows of
an object from its birth tell both. What a later run of the same model closed, or an undo took back, was not said.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage import steps
from storage.queries import Stored
from storage.record import UNDO
from storage.tables import KINDS, ORIGINS, REVIEWS

_BY_PERSON = frozenset({"accept", "reject", "delete"})
_NOT_A_VERDICT = frozenset({"prelabel", "ingest", "import", "restore", "schema"})
"""What closes a row without a word about the object: a run of the model, or a picture that leaves the dataset."""


@dataclass(frozen=True, slots=True)
class Row:
    """An annotation row with the digest of the model that said it (of predictions), and the verb and op that closed it."""

    stored: Stored
    model: bytes | None
    verb: str | None
    op: int


@dataclass(frozen=True, slots=True)
class Said:
    """One object a model said, and what became of it.

    Attributes:
        row: the model's own words. now: the row that is there now, None when it is gone.
        verdict: "undecided", "accepted" (perhaps changed: compare `now`) or "rejected".
    """

    row: Stored
    now: Stored | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Picture:
    """All that happened to the objects of one picture up to a revision, by object, oldest row first."""

    asset_id: int
    objects: tuple[tuple[Row, ...], ...]

    def truth(self) -> list[Stored]:
        """What is truth now."""
        return [
            rows[-1].stored for rows in self.objects if _lives(rows[-1]) and rows[-1].stored.origin != "model"
        ]

    def said(self, model: bytes) -> list[Said]:
        """What a model said: every object of its own that stands, or that a person decided on."""
        out = []
        for rows in self.objects:
            mine = next((r for r in reversed(rows) if r.stored.origin == "model" and r.model == model), None)
            if mine is None:
                continue
            last = rows[-1]
            if _lives(last):
                verdict = "undecided" if last.stored.origin == "model" else "accepted"
                out.append(Said(mine.stored, last.stored, verdict))
            elif last.verb not in _NOT_A_VERDICT and last.op != UNDO:
                out.append(Said(mine.stored, None, "rejected"))
        return out

    def by_hand(self) -> list[tuple[Stored, int]]:
        """(truth now, revision it was first drawn at) of objects that no model ever said."""
        return [
            (rows[-1].stored, rows[0].stored.born)
            for rows in self.objects
            if _lives(rows[-1])
            and rows[-1].stored.origin == "human"
            and all(r.stored.origin == "human" for r in rows)
        ]

    def first_run(self, model: bytes) -> int | None:
        """Revision of the model's first row here; None when it left none."""
        born = [r.stored.born for rows in self.objects for r in rows if r.model == model]
        return min(born, default=None)

    def had_truth(self, revision: int) -> bool:
        """True when truth stood here just before a revision."""
        return any(
            r.stored.origin != "model"
            and r.stored.born < revision
            and (r.stored.died is None or r.stored.died >= revision)
            for rows in self.objects
            for r in rows
        )

    def state(self, revision: int) -> str:
        """What the picture held just before a revision, one of ITEM_STATES."""
        there = [
            r.stored.origin
            for rows in self.objects
            for r in rows
            if r.stored.born < revision and (r.stored.died is None or r.stored.died >= revision)
        ]
        return "predicted" if "model" in there else "labelled" if there else "unlabelled"

    def decided(self) -> bool:
        """True when a person accepted, rejected or deleted something here."""
        return any(r.verb in _BY_PERSON for rows in self.objects for r in rows)

    def left_open(self) -> bool:
        """True when predictions waited at the last moment a person worked on the objects here: the truth is not whole.

        What was predicted after that says nothing about the person's work; imports are taken as whole.
        """
        every = [r for rows in self.objects for r in rows]
        touched = [r.stored.born for r in every if r.stored.origin == "human"]
        touched += [r.stored.died for r in every if r.stored.died is not None and r.verb in _BY_PERSON]
        at = max(touched, default=None)
        return at is not None and any(
            r.stored.origin == "model"
            and r.stored.born < at
            and (r.stored.died is None or r.stored.died > at)
            for r in every
        )


def _lives(row: Row) -> bool:
    return row.stored.died is None


def pictures(conn: Connection, asset_ids: Sequence[int], revision: int) -> dict[int, Picture]:
    """The objects of these assets as they stood at a revision, with all they were before."""
    found: dict[int, dict[str, list[Row]]] = {a: defaultdict(list) for a in asset_ids}
    for i in range(0, len(asset_ids), 500):
        ids = ",".join(str(int(a)) for a in asset_ids[i : i + 500])
        for r in conn.exec_driver_sql(
            "SELECT n.id, n.uid, n.asset_id, l.code, n.kind, n.x0, n.y0, n.x1, n.y1, n.geometry, n.attributes, n.score_micro, "
            "n.origin, n.activity_id, n.from_id, n.born, n.died, v.model_digest, c.verb, c.op FROM annotation n "
            "JOIN label l ON l.id = n.label_id JOIN activity v ON v.id = n.activity_id LEFT JOIN change c ON c.rev = n.died "
            f"WHERE n.asset_id IN ({ids}) AND n.born <= {int(revision)} ORDER BY n.asset_id, n.id"
        ):
            row = _row(r, revision)
            found[row.stored.asset_id][row.stored.uid].append(row)
    return {a: Picture(a, tuple(tuple(rows) for rows in objects.values())) for a, objects in found.items()}


def _row(r: Sequence[Any], revision: int) -> Row:
    died = r[16] if r[16] is not None and r[16] <= revision else None
    origin = ORIGINS[r[12]]
    box = None if r[5] is None else (r[5], r[6], r[7], r[8])
    stored = Stored(
        r[0],
        bytes(r[1]).hex(),
        r[2],
        r[3],
        KINDS[r[4]],
        box,
        r[9],
        r[10],
        r[11],
        origin,
        r[13],
        r[14],
        r[15],
        died,
    )
    model = bytes(r[17]) if r[17] is not None and origin == "model" else None
    return Row(stored, model, r[18] if died is not None else None, int(r[19] or 0) if died is not None else 0)


# -- where a model ran -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ran:
    """A job that took a model through a dataset.

    Attributes:
        revision: of the record when it began to write. params: what was asked for.
        shards: (first, position) asset ids: all that belong to it from first to position were looked at.
    """

    job_id: int
    revision: int
    params: Mapping[str, Any]
    shards: tuple[tuple[int, int], ...]

    def reached(self, asset_id: int) -> bool:
        """True when the job has gone past this asset."""
        low, high = 0, len(self.shards)
        while low < high:
            middle = (low + high) // 2
            if self.shards[middle][0] <= asset_id:
                low = middle + 1
            else:
                high = middle
        return low > 0 and asset_id <= self.shards[low - 1][1]


def runs(conn: Connection, dataset_id: int, model: bytes) -> list[Ran]:
    """The jobs of a model on a dataset that stand, oldest first."""
    out = []
    for job_id, step, params, started in conn.execute(
        sa.text(
            "SELECT j.id, j.step, j.params, j.started_ms FROM job j JOIN activity v ON v.id = j.activity_id "
            "WHERE j.kind = 'prelabel' AND j.dataset_id = :d AND v.model_digest = :m ORDER BY j.id"
        ),
        {"d": dataset_id, "m": model},
    ).all():
        if step is not None and not steps.step(conn, step).stands:
            continue
        revision = step
        if revision is None:  # it found nothing to write
            sql = "SELECT coalesce(max(rev), 0) + 1 FROM change WHERE at_ms <= :t"
            revision = conn.execute(sa.text(sql), {"t": started}).scalar_one()
        shards = conn.execute(
            sa.text(
                "SELECT first, position FROM shard WHERE job_id = :j AND position >= first ORDER BY first"
            ),
            {"j": job_id},
        )
        out.append(Ran(job_id, int(revision), json.loads(params), tuple((r[0], r[1]) for r in shards)))
    return out


@dataclass(frozen=True, slots=True)
class Membership:
    """What a picture was in the dataset, row by row: (review state, born, died), oldest first."""

    rows: tuple[tuple[str, int, int | None], ...]

    @property
    def joined(self) -> int:
        """Revision at which it first entered."""
        return self.rows[0][1]

    def review(self, revision: int) -> str:
        """Its review state just before a revision; "" when it was not there."""
        return next(
            (s for s, born, died in self.rows if born < revision and (died is None or died >= revision)), ""
        )


def memberships(conn: Connection, dataset_id: int, asset_ids: Sequence[int]) -> dict[int, Membership]:
    """The memberships of these assets, of those that ever were in the dataset."""
    out: dict[int, list[tuple[str, int, int | None]]] = defaultdict(list)
    for i in range(0, len(asset_ids), 500):
        ids = ",".join(str(int(a)) for a in asset_ids[i : i + 500])
        sql = f"SELECT asset_id, review, born, died FROM item WHERE dataset_id = :d AND asset_id IN ({ids}) ORDER BY id"
        for asset_id, review, born, died in conn.execute(sa.text(sql), {"d": dataset_id}):
            out[asset_id].append((REVIEWS[review], born, died))
    return {a: Membership(tuple(rows)) for a, rows in out.items()}


def undecodable(conn: Connection, asset_ids: Iterable[int]) -> set[int]:
    """Those of the assets that a run of a model could not read."""
    ids = ",".join(str(int(a)) for a in asset_ids)
    if not ids:
        return set()
    sql = f"SELECT DISTINCT p.asset_id FROM problem p JOIN activity v ON v.id = p.activity_id WHERE p.asset_id IN ({ids}) AND v.model_digest IS NOT NULL"
    return set(conn.exec_driver_sql(sql).scalars())


# -- evaluations -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """An evaluation in the lineage: activity, who, when, and its whole report."""

    activity_id: int
    agent: str
    at_ms: int
    report: Mapping[str, Any]


def kept(conn: Connection, dataset: str | None = None, *, limit: int = 100) -> list[Kept]:
    """Evaluations, newest first, of one dataset or of all."""
    sql = "SELECT v.id, g.name, v.ended_ms, v.params FROM activity v JOIN agent g ON g.id = v.agent_id WHERE v.kind = 'evaluate'"
    args: dict[str, object] = {"n": limit}
    if dataset is not None:
        sql += " AND EXISTS (SELECT 1 FROM link k WHERE k.activity_id = v.id AND k.entity = 'dataset' AND k.role = 'used' AND k.ref = :d)"
        args["d"] = dataset
    rows = conn.execute(sa.text(sql + " ORDER BY v.id DESC LIMIT :n"), args)
    return [Kept(r[0], r[1], r[2], json.loads(r[3])) for r in rows]

"""Cleaning before labelling: find what is like each other or not worth looking at, and take it out of a dataset.

Looking writes derived rows only (storage.likeness). Taking out is a job of one step of the record: items leave the dataset,
files and labels stay where they are, `undo` brings all of it back. What a person worked on stays unless asked for.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from threading import Event as Flag
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation.errors import Conflict, InvalidInput, NotFound
from app.events import Changes, Event, Finished, Progress, Started, Work
from app.services import measuring
from app.services.workspace import Workspace
from storage import jobs, likeness, listing, measures, queries, record, search, search_sql
from storage.jobs import Job, Lease
from storage.queries import Query
from storage.record import BATCH_ROWS, PAUSE_S, ItemEdit
from storage.tables import LIKENESS as LIKENESS

T = TypeVar("T")
DULL = {
    "blurred": ("sharp", "<", 0.1),
    "dark": ("bright", "<", 0.04),
    "glare": ("glare", ">", 0.2),
    "haze": ("haze", ">", 0.3),
}
"""Faults of one picture: the measure they are told by, on which side, and the threshold that is offered first."""
FINE = 1001
"""Values that a measure can have: 0..1000."""
ROWS = 2000
"""Rows of likeness written at a time."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for.

    Attributes:
        kinds: of LIKENESS but "sequence" and "maybe"; "alike" also finds the "maybe" ones.
        near: bits of the perceptual hash that near pictures may differ in. alike: least cosine of their vectors.
        frozen: least frames of a run. against: names of datasets whose pictures are kept before this one's.
        every, apart_s, scene: thin sequences by one of them (0: do not).
    """

    kinds: tuple[str, ...] = ("exact", "near")
    near: int = likeness.RADIUS
    alike: float = likeness.LIKELY
    frozen: int = likeness.FROZEN_RUN
    against: tuple[str, ...] = ()
    every: int = 0
    apart_s: float = 0.0
    scene: int = 0

    def all_kinds(self) -> tuple[str, ...]:
        """Kinds of rows that the search writes anew."""
        more = ("maybe",) if "alike" in self.kinds else ()
        thin = ("sequence",) if self.every or self.apart_s or self.scene else ()
        return (*self.kinds, *more, *thin)


@dataclass(frozen=True, slots=True)
class Pass:
    """Pictures that leave a dataset for one reason: `name` in a word, `where` in the query language."""

    name: str
    where: str


@dataclass(frozen=True, slots=True)
class Count:
    """What a pass would take now, and how much of it stays because a person worked on it."""

    name: str
    where: str
    pictures: int
    held: int


# --- looking -------------------------------------------------------------------------------------------------------


def find(ws: Workspace, dataset: str, wanted: Wanted = Wanted()) -> Work:
    """Measure what was not measured, then look for groups; those of the same kinds are found anew.

    Raises:
        NotFound: no such dataset; no vectors of a model, where those are wanted. InvalidInput: two rules for thinning.
    """
    with ws.db.read() as conn:
        data = queries.dataset(conn, dataset)
        others = [queries.dataset(conn, name).id for name in wanted.against]
        if "alike" in wanted.kinds and not likeness.models(conn, data.id):
            raise NotFound(
                "there are no vectors of an embedding model",
                where=data.name,
                remedy="run an embedding model over the pictures first",
            )
    if sum(map(bool, (wanted.every, wanted.apart_s, wanted.scene))) > 1:
        raise InvalidInput("sequences are thinned by one rule at a time")
    if not 0 <= wanted.near <= 12:
        raise InvalidInput(
            "near pictures differ in 0 to 12 bits of 64", remedy=f"{likeness.RADIUS} is a good number"
        )
    left = 0
    for name in (*wanted.against, data.name):
        for event in measuring.run(ws, name):
            if isinstance(event, Finished):
                left = event.problems  # of the last: this dataset's own
            else:
                yield event
    with ws.db.write() as conn:
        _supersede(conn, data.id, wanted)
        params = {
            "dataset": data.name, "kinds": list(wanted.kinds), "near": wanted.near, "alike": wanted.alike, "frozen": wanted.frozen,
            "against": others, "every": wanted.every, "apart_s": wanted.apart_s, "scene": wanted.scene, "left": left,
        }  # fmt: skip
        activity = record.start_activity(conn, "likeness", ws.person.id, params)
        number = jobs.create(conn, "likeness", activity_id=activity, dataset_id=data.id, params=params,
                             total=len(wanted.all_kinds()), shards=[(1, 2**62)])  # fmt: skip
        job = jobs.get(conn, number)
    yield from find_again(ws, job)


def _supersede(conn: Connection, dataset_id: int, wanted: Wanted) -> None:
    """End searches that nobody works on and whose every kind is now found anew: nothing need wait for their end."""
    for old in _searching(conn, dataset_id):
        before = _wanted(old)
        if set(before.all_kinds()) <= set(wanted.all_kinds()) and jobs.held_by(conn, old.id) is None:
            jobs.finish(conn, old.id, "cancelled")


def _searching(conn: Connection, dataset_id: int) -> list[Job]:
    """Searches of a dataset that are not at their end."""
    found = jobs.listing(conn, open_only=True)
    return [job for job in found if job.kind == "likeness" and job.dataset_id == dataset_id]


def _wanted(job: Job) -> Wanted:
    """What a search looks for, but for the other datasets, which it knows by number."""
    p: Any = job.params
    return Wanted(
        tuple(p["kinds"]), p["near"], p["alike"], p["frozen"], (), p["every"], p["apart_s"], p["scene"]
    )


def find_again(ws: Workspace, job: Job) -> Work:
    """Look for the groups of a job, from the beginning: it takes seconds, and half of a search is worth nothing."""
    assert job.dataset_id is not None
    p: Any = job.params
    wanted = _wanted(job)
    dataset_id, kinds = job.dataset_id, wanted.all_kinds()
    yield Started("likeness", len(kinds), str(job.id))
    try:
        with jobs.held(ws.db, job.id) as lease:
            found = yield from _beside(lambda tick: _look(ws, dataset_id, list(p["against"]), wanted, tick))
            for done, kind in enumerate(kinds):
                yield Progress(done, len(kinds), kind)
                _store(ws, dataset_id, LIKENESS.index(kind), found[kind])
            with ws.db.write(durable=False) as conn:
                jobs.advance(conn, lease, lease.last, n=len(kinds) - job.done)
                said = likeness.counts(conn, dataset_id)
    except GeneratorExit:
        _finish(ws, job.id, "cancelled")
        raise
    _finish(ws, job.id, "finished")
    groups = {
        kind: {"groups": said.get(kind, (0, 0))[0], "surplus": said.get(kind, (0, 0))[1]} for kind in kinds
    }
    yield Finished(
        {"job": job.id, "dataset": p["dataset"], **groups},
        Changes(datasets=(dataset_id,), everything=True),
        int(p["left"]),
    )


def _look(
    ws: Workspace, dataset_id: int, others: Sequence[int], wanted: Wanted, tick: Callable[[], None]
) -> Mapping[str, Iterator[tuple[int, int, int]]]:
    """Rows of every kind that is wanted."""
    ordered = bool({"frozen"} & set(wanted.kinds)) or "sequence" in wanted.all_kinds()
    have = _signs(ws, [dataset_id], tick, paths=ordered)
    both, ahead = have, tuple[int, ...]()
    if others:
        # Theirs first, so that a picture of both datasets is theirs, and what is like it is kept there.
        both = _signs(ws, [*others, dataset_id], tick)
        with ws.db.read() as conn:
            ahead = tuple(_members(conn, others))
    order = both.preferred(ahead)
    out: dict[str, Iterator[tuple[int, int, int]]] = {}
    for kind in wanted.kinds:
        tick()
        if kind == "exact":
            with ws.db.read() as conn:
                out[kind] = likeness.rows(
                    have, have.preferred(), likeness.exact(conn, dataset_id, have, have.preferred())
                )
        elif kind == "near":
            out[kind] = likeness.rows(both, order, likeness.near(both, order, wanted.near, tick=tick), ahead)
        elif kind == "frozen":
            out[kind] = likeness.rows(have, have.ids.argsort(), likeness.frozen(have, wanted.frozen))
        else:
            out |= _alike(ws, dataset_id, both, order, wanted.alike, tick, ahead)
    if "sequence" in wanted.all_kinds():
        taker = likeness.thinned(have, every=wanted.every, apart_s=wanted.apart_s, scene=wanted.scene)
        out["sequence"] = likeness.rows(have, have.ids.argsort(), taker)
    return out


def _alike(
    ws: Workspace,
    dataset_id: int,
    have: likeness.Signs,
    order: Any,
    least: float,
    tick: Callable[[], None],
    ahead: Sequence[int],
) -> dict[str, Iterator[tuple[int, int, int]]]:
    """Groups by the vectors of the model that saw most of the pictures; what is left of them, more loosely, is to be asked."""
    import numpy as np

    with ws.db.read() as conn:
        digests = likeness.models(conn, dataset_id)
    if not digests:  # of a job that waited until its last picture with a vector had left
        return {"alike": iter(()), "maybe": iter(())}
    places, vectors = max((likeness.vectors(ws.db.read, have, d) for d in digests), key=lambda x: len(x[0]))
    where = np.full(len(have), -1, np.int64)
    where[places] = np.arange(len(places))
    ranked = where[order]
    ranked = ranked[ranked >= 0]
    taker = likeness.alike(vectors, ranked, least, tick=tick)
    kept = ranked[taker[ranked] == ranked]
    loose = likeness.alike(vectors, kept, min(least, likeness.ASK), tick=tick)

    def spread(small: Any) -> Any:
        out = np.arange(len(have))
        out[places] = places[small]
        return out

    return {
        "alike": likeness.rows(have, order, spread(taker), ahead),
        "maybe": likeness.rows(have, order, spread(loose), ahead),
    }


def _signs(
    ws: Workspace, datasets: Sequence[int], tick: Callable[[], None], *, paths: bool = False
) -> likeness.Signs:
    for one in likeness.signs(ws.db.read, datasets, paths=paths, looks=paths):
        tick()
        if isinstance(one, likeness.Signs):
            return one
    raise AssertionError("the last of them is the whole")


def _members(conn: Connection, datasets: Sequence[int]) -> list[int]:
    ids = ",".join(map(str, datasets))
    return list(
        conn.exec_driver_sql(
            f"SELECT DISTINCT asset_id FROM item WHERE died IS NULL AND dataset_id IN ({ids})"
        ).scalars()
    )


def _store(ws: Workspace, dataset_id: int, kind: int, found: Iterator[tuple[int, int, int]]) -> None:
    """The old rows go before the first new one comes: groups of two searches are never mixed."""
    while True:
        with ws.db.write(durable=False) as conn:
            if not likeness.forget(conn, dataset_id, kind):
                break
        time.sleep(PAUSE_S)
    while part := list(islice(found, ROWS)):
        with ws.db.write(durable=False) as conn:
            likeness.add(conn, dataset_id, kind, part)
        time.sleep(PAUSE_S)


class _Stopped(Exception):
    """The work was cancelled while it counted."""


def _beside(make: Callable[[Callable[[], None]], T]) -> Generator[Event, None, T]:
    """Compute in a thread of its own, so that closing this generator breaks it off at its next tick."""
    stop = Flag()

    def tick() -> None:
        if stop.is_set():
            raise _Stopped

    with ThreadPoolExecutor(1, "lamproom-likeness") as pool:
        running = pool.submit(make, tick)
        try:
            while not wait_for([running], timeout=0.2).done:
                yield Progress(0, None)
        finally:
            stop.set()
        return running.result()


def keep(ws: Workspace, dataset_id: int, asset_id: int) -> int:
    """Keep this picture of its groups, instead of the one chosen so far; in how many groups that changes something.

    Raises:
        NotFound: it is in no group.
    """
    with ws.db.write() as conn:
        return likeness.keep(conn, dataset_id, asset_id)


@dataclass(frozen=True, slots=True)
class Member:
    """A picture's place in a group. group: the asset it was formed around; kept: the one of the group that stays."""

    kind: str
    group: int
    kept: bool
    n: int


def membership(ws: Workspace, dataset_id: int, asset_ids: Sequence[int]) -> dict[int, tuple[Member, ...]]:
    """Groups of pictures, by asset id; those of none are left out. kept and n are of those still in the dataset."""
    if not asset_ids:
        return {}
    out: dict[int, tuple[Member, ...]] = {}
    ids = ",".join(str(int(a)) for a in asset_ids)
    there = search_sql.THERE
    same = "FROM likeness f WHERE f.dataset_id = k.dataset_id AND f.kind = k.kind AND f.group_id = k.group_id"
    sql = (
        f"SELECT k.asset_id, k.kind, k.group_id, k.rank, (SELECT min(f.rank) {same} AND f.rank <= k.rank AND {there}), "
        f"(SELECT count(*) {same}) FROM likeness k WHERE k.dataset_id = {int(dataset_id)} "
        f"AND k.kind IN ({', '.join(map(str, range(len(LIKENESS))))}) AND k.asset_id IN ({ids}) ORDER BY k.asset_id, k.kind"
    )
    with ws.db.read() as conn:
        for asset_id, kind, group, rank, first, n in conn.exec_driver_sql(sql):
            out[asset_id] = (*out.get(asset_id, ()), Member(LIKENESS[kind], group, rank == first, n))
    return out


@dataclass(frozen=True, slots=True)
class Overview:
    """What is known of a dataset before it is cleaned.

    Attributes:
        unmeasured: pictures that were not measured. groups: kind -> number of groups found, only kinds looked for.
        vectors: there are vectors of an embedding model.
    """

    unmeasured: int
    groups: Mapping[str, int]
    vectors: bool


def overview(ws: Workspace, dataset_id: int) -> Overview:
    """What was measured and found so far."""
    with ws.db.read() as conn:
        ever: set[str] = set()
        sql = "SELECT params FROM job WHERE kind = 'likeness' AND dataset_id = :d AND outcome = 'finished'"
        for text in conn.execute(sa.text(sql), {"d": dataset_id}).scalars():
            p = json.loads(text)
            ever |= set(p["kinds"]) | ({"maybe"} if "alike" in p["kinds"] else set())
            ever |= {"sequence"} if p["every"] or p["apart_s"] or p["scene"] else set()
        found = likeness.counts(conn, dataset_id)
        return Overview(
            measures.count_missing(conn, dataset_id),
            {kind: found.get(kind, (0, 0))[0] for kind in LIKENESS if kind in ever},
            bool(likeness.models(conn, dataset_id)),
        )


# --- counting -------------------------------------------------------------------------------------------------------


def passes(
    dull: Mapping[str, float],
    kinds: Sequence[str] = (),
    *,
    corrupt: bool = False,
    also: Sequence[str] = (),
    where: str = "",
) -> tuple[Pass, ...]:
    """Reasons to leave, in the order they are gone through: what is not worth seeing first, then what is there twice.

    Args:
        dull: name of DULL -> threshold. kinds: of LIKENESS. corrupt: what could not be decoded.
        also: names of datasets: what is in one of them too. where: only pictures that this is true of, too.
    """
    said = [Pass("corrupt", "has:problem")] if corrupt else []
    said += [Pass("also", search.show(search.Term("also", ":", tuple(also))))] if also else []
    for name, value in dull.items():
        column, sign, _ = DULL[name]
        said.append(Pass(name, f"{column}{sign}{value:g}"))
    said += [Pass(kind, f"duplicate:{kind}") for kind in LIKENESS if kind in kinds]
    return tuple(replace(p, where=f"{p.where} ({where})") if where.strip() else p for p in said)


def union(what: Sequence[Pass]) -> str:
    """The query of what any of the passes takes, "" for none."""
    return " or ".join(f"({p.where})" for p in what)


def count(ws: Workspace, dataset: str, what: Sequence[Pass]) -> list[Count]:
    """What each pass would take, by itself."""
    with ws.db.read() as conn:
        data = queries.dataset(conn, dataset)
    out = []
    for one in what:
        with ws.db.read() as conn:
            query = Query(data.id, where=one.where, me=ws.person.id)
            n = queries.count_items(conn, query)
            plan = queries.plan(conn, query)
            held = conn.execute(sa.text(f"SELECT count(*) FROM item i {_asset(plan)}WHERE {plan.where} AND {_HELD}"), dict(plan.args)).scalar_one()  # fmt: skip
        out.append(Count(one.name, one.where, n, int(held)))
    return out


_HELD = "(i.n_truth > 0 OR i.review <> 0 OR i.assignee_id IS NOT NULL)"
"""A person's work is on it, or it is with somebody."""


def _asset(plan: queries.Plan) -> str:
    return "JOIN asset s ON s.id = i.asset_id " if plan.asset else ""


@dataclass(frozen=True, slots=True)
class Values:
    """How often a measure has each of its FINE values; `known` pictures were measured of `whole`."""

    n: tuple[int, ...] = (0,) * FINE
    known: int = 0
    whole: int = 0

    def bars(self, many: int) -> tuple[int, ...]:
        """Counts of as many equal parts of 0..1."""
        edges = [round(i * (FINE - 1) / many) for i in range(many)] + [FINE]
        return tuple(sum(self.n[a:b]) for a, b in pairwise(edges))

    def beyond(self, value: float, *, below: bool) -> int:
        """How many lie below a threshold, or above it, as the query language compares."""
        at = value * 1000
        return sum(self.n[: math.ceil(at - 1e-6)]) if below else sum(self.n[math.floor(at + 1e-6) + 1 :])


def histograms(ws: Workspace, dataset_id: int, where: str = "") -> Iterator[dict[str, Values]]:
    """Values of the measures in DULL of what a query finds, growing stretch by stretch; closing it breaks it off."""
    columns = {"blurred": "m.sharpness", "dark": "m.brightness", "glare": "m.glare", "haze": "m.haze"}
    n = {name: [0] * FINE for name in columns}
    known = whole = low = 0
    query = Query(dataset_id, where=where, me=ws.person.id)
    while True:
        with ws.db.read() as conn:
            high = listing.stretches(conn, dataset_id, low)
            plan = queries.plan(conn, query)
            sql = (
                f"SELECT {', '.join(columns.values())} FROM item i {_asset(plan)}LEFT JOIN measure m ON m.asset_id = i.asset_id "
                f"AND m.phash IS NOT NULL WHERE {plan.where} AND i.asset_id > :low AND i.asset_id <= :high"
            )
            args = {**plan.args, "low": low, "high": 2**62 if high is None else high}
            rows = conn.execute(sa.text(sql), args).all()
        for row in rows:
            if row[0] is not None:
                known += 1
                for name, value in zip(columns, row, strict=True):
                    n[name][min(FINE - 1, value)] += 1
        whole += len(rows)
        yield {name: Values(tuple(values), known, whole) for name, values in n.items()}
        if high is None:
            return
        low = high


# --- taking out ----------------------------------------------------------------------------------------------------


def exclude(ws: Workspace, dataset: str, what: Sequence[Pass], *, held: bool = False) -> Work:
    """Let pictures leave a dataset, pass by pass: one step of the record, a job that goes on where it stopped.

    Args:
        held: those that a person worked on too.

    Raises:
        NotFound: no such dataset. InvalidInput: a pass cannot be read. Conflict: a search for groups is not at its end.
    """
    with ws.db.read() as conn:
        data = queries.dataset(conn, dataset)
        known = queries.names(conn, data.id)
        for one in what:
            search.parse(one.where, known)
        _settled(conn, data.id)
    total = sum(c.pictures - (0 if held else c.held) for c in count(ws, dataset, what))
    if not total:
        kept = 0 if held else sum(c.held for c in count(ws, dataset, what))
        yield Started("clean", 0)
        yield Finished({"dataset": data.name, "removed": 0, "kept_labelled": kept, "step": None})
        return
    with ws.db.write() as conn:
        params = {"dataset": data.name, "passes": [[p.name, p.where] for p in what], "held": held}
        activity = record.start_activity(conn, "clean", ws.person.id, params)
        number = jobs.create(conn, "clean", activity_id=activity, dataset_id=data.id, params=params, total=total,
                             shards=[(1, 2**62)] * len(what))  # fmt: skip
        record.link(conn, activity, "used", "dataset", data.name)
        job = jobs.get(conn, number)
    yield from go_on(ws, job)


def _settled(conn: Connection, dataset_id: int) -> None:
    for job in _searching(conn, dataset_id):
        raise Conflict("the search for duplicates is not at its end", where=f"job {job.id}",
                       remedy=f"wait for it, or `lamproom jobs resume {job.id}`")  # fmt: skip


@dataclass(slots=True)
class _Taken:
    """How far a cleaning is."""

    step: int | None
    done: int
    rev: int = 0
    by: dict[str, int] = field(default_factory=dict)


def go_on(ws: Workspace, job: Job) -> Work:
    """Take out what is left of a cleaning that was interrupted."""
    assert job.dataset_id is not None
    p: Any = job.params
    what = [Pass(name, where) for name, where in p["passes"]]
    held = bool(p["held"])
    taken = _Taken(job.step, job.done)
    yield Started("clean", job.total, str(job.id))
    try:
        with ws.db.read() as conn:
            shards = list(
                conn.execute(
                    sa.text("SELECT id FROM shard WHERE job_id = :j ORDER BY id"), {"j": job.id}
                ).scalars()
            )
            left = jobs.unfinished(conn, job.id)
        for _ in range(left):
            with jobs.held(ws.db, job.id) as lease:
                one = what[shards.index(lease.shard_id)]
                for _ in _pass(ws, job, lease, one, held, taken):
                    yield Progress(taken.done, job.total, one.name)
    except GeneratorExit:
        _finish(ws, job.id, "cancelled")
        raise
    _finish(ws, job.id, "finished", total=taken.done)  # two passes may have meant one picture
    kept = 0 if held else sum(c.held for c in count(ws, str(p["dataset"]), what))
    yield Finished(
        {"job": job.id, "dataset": p["dataset"], "removed": taken.done, **({"by": taken.by} if len(what) > 1 else {}),
         "kept_labelled": kept, "step": taken.step},
        Changes(taken.rev, datasets=(job.dataset_id,), everything=True),
    )  # fmt: skip


def _pass(ws: Workspace, job: Job, lease: Lease, one: Pass, held: bool, taken: _Taken) -> Iterator[None]:
    """Stretch by stretch of the ids; the position is committed with what left."""
    assert job.dataset_id is not None
    query = Query(job.dataset_id, where=one.where, me=ws.person.id)
    low = lease.position
    while True:
        with ws.db.read() as conn:
            high = listing.stretches(conn, job.dataset_id, low)
            ids = [
                a
                for a, _ in listing.keys(
                    conn, query, objects=False, low=low, high=2**62 if high is None else high
                )
            ]
        for i in range(0, len(ids), BATCH_ROWS):
            part = ids[i : i + BATCH_ROWS]
            with ws.db.read() as conn:
                ready = _ready(conn, query, part, held)
            if not ready:
                continue
            with record.change(
                ws.db, agent_id=ws.person.id, activity_id=job.activity_id, verb="clean", dataset_id=job.dataset_id,
                assets=ready, step=taken.step, durable=False,
            ) as draft:  # fmt: skip
                going = _ready(
                    draft.conn, query, list(ready), held
                )  # somebody may have begun to label one meanwhile
                draft.enrol([ItemEdit(job.dataset_id, a, closes=row) for a, row in going.items()])
                jobs.advance(draft.conn, lease, part[-1], n=len(going), step=draft.step)
            taken.step, taken.rev, taken.done = draft.step, draft.rev, taken.done + len(going)
            taken.by[one.name] = taken.by.get(one.name, 0) + len(going)
            yield
            time.sleep(PAUSE_S)
        with ws.db.write(durable=False) as conn:
            jobs.advance(conn, lease, lease.last if high is None else high, n=0)
        yield
        if high is None:
            return
        low = high


def _ready(conn: Connection, query: Query, ids: Sequence[int], held: bool) -> dict[int, int]:
    """Those of the pictures that are meant at this moment: asset id -> live item row."""
    plan = queries.plan(conn, query)
    more = "" if held else f"AND NOT {_HELD} "
    sql = (
        f"SELECT i.asset_id, i.id FROM item i {_asset(plan)}WHERE {plan.where} {more}"
        f"AND i.asset_id IN ({','.join(str(int(a)) for a in ids)}) ORDER BY i.asset_id"
    )
    return {r[0]: r[1] for r in conn.execute(sa.text(sql), dict(plan.args))}


def _finish(ws: Workspace, job_id: int, outcome: str, *, total: int | None = None) -> None:
    with ws.db.write() as conn:
        jobs.finish(conn, job_id, outcome, total=total)

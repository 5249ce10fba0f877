"""Worth labelling first: a job that orders the pictures of a dataset that wait, and says of each why.

Nothing of the record is written but derived rows (storage.worth). What the diversity is told by is chosen first and kept
with the job; then picture after picture is done in the order of ids, its row committed with the position. So a job that was
killed goes on and ends as it would have. Memory does not grow with the dataset beyond annotation.worth.SAMPLE pictures.
"""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field, replace
from threading import Event as Flag
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation import worth
from annotation.errors import Conflict, InvalidInput, NotFound
from annotation.worth import PARTS, WHOLE, Found, Ints, Weights
from app.events import Changes, Finished, Progress, Started, Warned, Work
from app.i18n import tr
from app.services import measuring, onnx
from app.services.orders import UNTOUCHED
from app.services.workspace import Workspace
from storage import jobs, listing, queries, record, verdicts
from storage import worth as table
from storage.jobs import Job
from storage.queries import DatasetRow, Query
from storage.record import PAUSE_S
from storage.verdicts import Ran
from storage.worth import Row

__all__ = [
    "PARTS", "Ask", "Latest", "Parts", "Row", "Weights", "again", "count", "go_on", "latest", "order", "parts", "queue", "rows", "run",
    "words",
]  # fmt: skip

KIND = "worth"
STRETCH = 2000
"""Pictures of one read and one commit."""
TOLD = 250
"""Thousandths from which a part is a reason; of the diversity twice as many, because something is always the farthest."""
UNSURE, RARE = 500, 500
"""Thousandths from which an object is called unsure, a class rare."""
NAMED = 2
"""Unsure objects that a reason names."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is worth labelling is told by this.

    Attributes:
        model, other: names; without `model` the only one with predictions here. The two disagree, or do not.
        weights: of the parts. threshold: score 0..1 that an object is taken from; thresholds: of single classes, by code.
        where: only pictures that meet this query.
    """

    dataset: str
    model: str | None = None
    other: str | None = None
    weights: Weights = field(default_factory=Weights)
    threshold: float = 0.5
    thresholds: Mapping[str, float] = field(default_factory=dict)
    where: str = ""


def run(ws: Workspace, ask: Ask, *, measure: bool = True) -> Work:
    """Look at every picture that waits, and order them.

    The same call after an interruption goes on with the unfinished job; another call takes its place.

    Args:
        measure: measure first what was not measured, where no embedding model tells what pictures look like.

    Raises:
        NotFound, InvalidInput: no such dataset, model or class; a query that cannot be read. Conflict: another process is at it.
    """
    with ws.db.read() as conn:
        data = queries.dataset(conn, ask.dataset)
        queries.plan(conn, Query(data.id, where=ask.where, me=ws.person.id))
        known = set(table.codes(conn).values())
        embedder = table.embedder(conn, data.id)
    for code, value in (*ask.thresholds.items(), ("", ask.threshold)):
        if not 0.0 < value < 1.0:
            raise InvalidInput(f"a threshold lies between 0 and 1, not at {value:g}", where=code)
        if code and code not in known:
            raise NotFound(f"there is no label {code!r}", remedy="`lamproom schema show` lists them")
    models = _models(ws, data, ask)
    if measure and embedder is None and ask.weights.diversity:
        for event in measuring.run(ws, data.name):
            if isinstance(event, Warned):
                yield event
            elif isinstance(event, Progress):
                yield Progress(event.done, event.total, tr("measuring"), event.left_s)
    weights = _told_by(ask.weights, len(models))
    wanted = {
        "dataset": data.name, "models": models, "weights": list(weights.all()), "threshold": _micro(ask.threshold),
        "thresholds": {k: _micro(v) for k, v in sorted(ask.thresholds.items())}, "where": ask.where,
    }  # fmt: skip
    yield from go_on(ws, _job(ws, data, wanted))


def again(ws: Workspace, dataset: str, weights: Weights) -> Work:
    """Order the queue by other weights: what was found of each picture stays, and takes no new look.

    Raises:
        NotFound: no such dataset, or nothing was looked at. Conflict: another process is at it, or a look is not at its end.
    """
    with ws.db.read() as conn:
        data = queries.dataset(conn, dataset)
        last = _last(conn, data.id)
        going = [j for j in jobs.listing(conn, open_only=True) if j.kind == KIND and j.dataset_id == data.id]
    if any(not j.params.get("kept") for j in going):
        raise Conflict(
            "a look is not at its end", where=f"job {going[0].id}", remedy="resume or cancel it first"
        )
    if last is None:
        raise NotFound("nothing was looked at here", remedy="`lamproom worth DATASET` looks")
    keep = {k: v for k, v in last.params.items() if k in _ASKED}
    yield from go_on(ws, _job(ws, data, {**keep, "weights": list(weights.all()), "kept": True}))


_ASKED = ("dataset", "models", "weights", "threshold", "thresholds", "where")


def _told_by(weights: Weights, models: int) -> Weights:
    """The weights without the parts that so few models tell nothing of."""
    said = replace(weights, disagreement=0) if models == 1 and weights.disagreement else weights
    if not models and any(said.all()[:3]):
        said = replace(Weights(0, 0, 0, 1), diversity=weights.diversity)
    return said


def _micro(share: float) -> int:
    return min(worth.MICRO - 1, max(1, round(share * worth.MICRO)))


def _models(ws: Workspace, data: DatasetRow, ask: Ask) -> list[list[str]]:
    """[name, digest] of the one or two models."""
    if ask.model is None:
        if ask.other is not None:
            raise InvalidInput("a second model needs a first one", remedy="--model")
        with ws.db.read() as conn:
            here = [
                row for row in onnx.listing(ws) if verdicts.runs(conn, data.id, bytes.fromhex(row.sha256))
            ]
        if len(here) > 1:
            raise InvalidInput(
                f"{len(here)} models predicted here", where=data.name,
                remedy="--model one of " + ", ".join(row.name for row in here),
            )  # fmt: skip
    else:
        here = [onnx.show(ws, name) for name in (ask.model, ask.other) if name is not None]
        if len({row.sha256 for row in here}) < len(here):
            raise InvalidInput("a model never disagrees with itself", where=here[0].name)
    return [[row.name, row.sha256] for row in here]


def _job(ws: Workspace, data: DatasetRow, wanted: Mapping[str, Any]) -> Job:
    """The unfinished job that was asked for the same, else a new one in place of what is unfinished."""
    with ws.db.write() as conn:
        for job in jobs.listing(conn, open_only=True):
            if job.kind != KIND or job.dataset_id != data.id:
                continue
            if {k: v for k, v in job.params.items() if k in (*_ASKED, "kept")} == wanted:
                return job
            if jobs.held_by(conn, job.id):
                raise Conflict(
                    "another process looks at this dataset", where=f"job {job.id}", remedy="wait for it"
                )
            jobs.finish(conn, job.id, "cancelled")
        query = Query(data.id, where=str(wanted["where"]), me=ws.person.id)
        total = table.count(conn, data.id) if wanted.get("kept") else table.count_waiting(conn, query)
        truth = {str(k): v for k, v in table.truth(conn, data.id).items()}
        activity = record.start_activity(conn, KIND, ws.person.id, wanted, open_=False)
        number = jobs.create(conn, KIND, activity_id=activity, dataset_id=data.id, params={**wanted, "truth": truth},
                             total=total, shards=[(1, 2**62)])  # fmt: skip
        return jobs.get(conn, number)


# --- doing it -------------------------------------------------------------------------------------------------------


def go_on(ws: Workspace, job: Job) -> Work:
    """Do what is left of a job.

    Raises:
        Conflict: another process works on it.
    """
    assert job.dataset_id is not None
    p: Any = job.params
    yield Started(f"worth {p['dataset']}", job.total, str(job.id))
    done, look = job.done, None
    with jobs.held(ws.db, job.id) as lease:
        if not p.get("kept"):
            if "spread" not in p:
                spread = yield from _beside(lambda tick: _spread(ws, job, tick))
                p = {**p, "spread": spread}
                with ws.db.write() as conn:
                    jobs.turn(conn, job.id, priority=job.priority, params=p)
            look = _Look(ws, job.dataset_id, p)
        weights = Weights(*p["weights"])
        low = lease.position
        while True:
            with ws.db.read() as conn:
                high = listing.stretches(conn, job.dataset_id, low, STRETCH)
                upto = 2**62 if high is None else high
                rows = (
                    _kept(conn, job.dataset_id, low, upto, weights)
                    if look is None
                    else look.rows(conn, low, upto)
                )
            with ws.db.write(durable=False) as conn:
                table.replace(conn, job.dataset_id, low, upto, rows)
                jobs.advance(conn, lease, lease.last if high is None else high, n=len(rows))
            done += len(rows)
            yield Progress(done, job.total)
            if high is None:
                break
            low = high
            time.sleep(PAUSE_S)
    with ws.db.write() as conn:
        jobs.finish(conn, job.id, "finished", total=done)
        left = table.count(conn, job.dataset_id)
    yield Finished(
        {"job": job.id, "dataset": p["dataset"], "models": [m[0] for m in p["models"]], "weights": dict(zip(PARTS, p["weights"], strict=True)),
         "pictures": left, **(look.told() if look is not None else {})},
        Changes(datasets=(job.dataset_id,), everything=True),
    )  # fmt: skip


class _Stopped(Exception):
    """The work was cancelled while it computed."""


def _beside(make: Callable[[Callable[[], None]], dict[str, Any]]) -> Any:
    """Compute in a thread of its own, so that closing this generator breaks it off at its next tick."""
    stop = Flag()

    def tick() -> None:
        if stop.is_set():
            raise _Stopped

    with ThreadPoolExecutor(1, "lamproom-worth") as pool:
        running = pool.submit(make, tick)
        try:
            while not wait_for([running], timeout=0.2).done:
                yield Progress(0, None, tr("looking for what is unlike the rest"))
        finally:
            stop.set()
        return running.result()


def _kept(
    conn: Connection, dataset_id: int, low: int, high: int, weights: Weights
) -> list[tuple[int, int, str]]:
    """Rows with the parts they have, by other weights."""
    found = table.kept(conn, dataset_id, low, high)
    parts = np.array([json.loads(text)["p"] for _, text in found], np.int64).reshape(-1, len(PARTS))
    return [(a, v, t) for (a, t), v in zip(found, worth.joined(parts, weights).tolist(), strict=True)]


# --- what is unlike the rest ----------------------------------------------------------------------------------------


def _spread(ws: Workspace, job: Job, tick: Callable[[], None]) -> dict[str, Any]:
    """Landmarks among what is labelled, and what is chosen one after another: asset ids and distances for the job's params."""
    assert job.dataset_id is not None
    p: Any = job.params
    query = Query(job.dataset_id, where=p["where"], me=ws.person.id)
    with ws.db.read() as conn:
        model = table.embedder(conn, job.dataset_id)
    known_ids, known = _signs(ws, query, model, tick, waits=False)
    marks = worth.spread(known, known[:0], worth.LANDMARKS, tick=tick)
    ids, signs = _signs(ws, query, model, tick, waits=True)
    chosen = worth.spread(signs, known[marks.places], worth.CENTRES, tick=tick)
    return {
        "model": model.hex() if model is not None else None,
        "landmarks": known_ids[marks.places].tolist(),
        "chosen": [ids[chosen.places].tolist(), chosen.far.tolist()],
    }


def _signs(ws: Workspace, query: Query, model: bytes | None, tick: Callable[[], None], *, waits: bool) -> Any:
    """(ids, signs) of the pictures that wait, or of all that are done; of more than SAMPLE an even share."""
    low, ids, signs = 0, [np.zeros(0, np.int64)], [np.zeros((0, worth.WIDTH), np.uint8)]
    with ws.db.read() as conn:
        step = -(-queries.count_items(conn, Query(query.dataset_id)) // worth.SAMPLE)
    while True:
        tick()
        with ws.db.read() as conn:
            high = listing.stretches(conn, query.dataset_id, low)
            upto = 2**62 if high is None else high
            mine = (
                table.waiting(conn, query, low, upto)
                if waits
                else table.done(conn, query.dataset_id, low, upto)
            )
            if step > 1:
                mine = mine[_even(mine) % step == 0]
            have, seen = table.signs(conn, mine, model)
        ids.append(have)
        signs.append(seen)
        if high is None:
            return np.concatenate(ids), np.concatenate(signs)
        low = high


def _even(ids: Ints) -> Ints:
    """Numbers that have nothing to do with the order of ids (Fibonacci hashing), so that no camera's rhythm is met."""
    mixed = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(40)).astype(np.int64)


# --- picture by picture ---------------------------------------------------------------------------------------------


class _Look:
    """Computes the rows of a stretch of pictures as a job's parameters say."""

    def __init__(self, ws: Workspace, dataset_id: int, p: Mapping[str, Any]) -> None:
        self.dataset_id, self.weights = dataset_id, Weights(*p["weights"])
        self.models = [bytes.fromhex(digest) for _, digest in p["models"]]
        self.query = Query(dataset_id, where=p["where"], me=ws.person.id)
        self.threshold, self.thresholds = int(p["threshold"]), dict(p["thresholds"])
        self.truth = {int(k): int(v) for k, v in p["truth"].items()}
        self.total = sum(self.truth.values())
        self.unlooked = self.unseen = 0
        spread: Any = p.get("spread")
        self.near = self.signs = None
        with ws.db.read() as conn:
            self.codes = table.codes(conn)
            self.rare = worth.rareness(self.truth, table.predicted(conn, dataset_id))
            self.ran = [
                tuple(r for r in verdicts.runs(conn, dataset_id, m) if _takes_all(r)) for m in self.models
            ]
            if spread is not None:
                self.signs = bytes.fromhex(spread["model"]) if spread["model"] else None
                marks = [*spread["landmarks"], *spread["chosen"][0]]
                self.near = table.signs(conn, marks, self.signs)[1]
        self.chosen = {} if spread is None else dict(zip(*spread["chosen"], strict=True))
        self.most = max(self.chosen.values(), default=1)
        self.known = bool(spread and spread["landmarks"])

    def told(self) -> dict[str, int]:
        """What could not be said of all pictures."""
        return {"not_seen_by_both": self.unlooked, "not_measured": self.unseen}

    def rows(self, conn: Connection, low: int, high: int) -> list[tuple[int, int, str]]:
        """(asset, value, reason) of the pictures low < id <= high that wait."""
        ids = table.waiting(conn, self.query, low, high)
        n = len(ids)
        found = [table.found(conn, ids, m) for m in self.models]
        parts = np.zeros((n, len(PARTS)), np.int64)
        facts: list[dict[str, Any]] = [{} for _ in range(n)]
        if found:
            parts[:, 0] = self._unsure(found[0], facts)
            parts[:, 2] = self._rare(found[0], facts)
        if len(found) > 1:
            parts[:, 1] = self._apart(conn, ids, found, facts)
        if self.near is not None:
            parts[:, 3] = self._unlike(conn, ids, facts)
        values = worth.joined(parts, self.weights).tolist()
        told = [
            json.dumps({"p": p, **fact}, ensure_ascii=False, separators=(",", ":"))
            for p, fact in zip(parts.tolist(), facts, strict=True)
        ]
        return list(zip(ids.tolist(), values, told, strict=True))

    def _unsure(self, found: Found, facts: list[dict[str, Any]]) -> Ints:
        labels, places = np.unique(found.label, return_inverse=True)
        of = [_micro_of(self.thresholds.get(self.codes[c]), self.threshold) for c in labels.tolist()]
        doubt = worth.doubts(found.score, np.array(of, np.int64)[places]) if len(found) else found.score
        for i in _strongest(found.picture, doubt, NAMED).tolist():
            if doubt[i] >= UNSURE:
                named = [self.codes[int(found.label[i])], int(found.score[i]) // WHOLE]
                facts[int(found.picture[i])].setdefault("u", []).append(named)
        return worth.folded(found.picture, doubt, len(facts))

    def _rare(self, found: Found, facts: list[dict[str, Any]]) -> Ints:
        rare = np.array([self.rare.get(c, 0) for c in found.label.tolist()], np.int64)
        for i in _strongest(found.picture, rare * found.score, 1).tolist():
            if rare[i] >= RARE:
                label = int(found.label[i])
                facts[int(found.picture[i])]["r"] = [self.codes[label], self.truth.get(label, 0), self.total]
        return worth.rarity(found, rare, len(facts))

    def _apart(self, conn: Connection, ids: Ints, found: list[Found], facts: list[dict[str, Any]]) -> Ints:
        """Pictures that one of the models did not look at are left out: it is not silent there."""
        first, second = (np.bincount(f.picture, minlength=len(ids)) > 0 for f in found)
        doubtful = np.flatnonzero(first != second)
        silent = [0 if second[i] else 1 for i in doubtful.tolist()]
        members = verdicts.memberships(conn, self.dataset_id, ids[doubtful].tolist())
        blind = np.zeros(len(ids), bool)
        for i, m in zip(doubtful.tolist(), silent, strict=True):
            asset = int(ids[i])
            joined = members[asset].joined
            blind[i] = not any(r.reached(asset) and joined <= r.revision for r in self.ran[m])
        self.unlooked += int(blind.sum())
        one, two = (f.taken(~blind[f.picture]) for f in found)
        apart = worth.disagreement(one, two, len(ids))
        sums = apart.first + apart.second + apart.classes
        for i in np.flatnonzero(sums).tolist():
            facts[i]["d"] = [int(apart.first[i]), int(apart.second[i]), int(apart.classes[i])]
        return apart.part

    def _unlike(self, conn: Connection, ids: Ints, facts: list[dict[str, Any]]) -> Ints:
        assert self.near is not None
        have, signs = table.signs(conn, ids, self.signs)
        far = np.zeros(len(ids), np.int64)
        at = np.searchsorted(ids, have)
        if len(self.near):
            far[at] = worth.nearest(signs, self.near)
        for i in np.flatnonzero(np.isin(ids, np.fromiter(self.chosen, np.int64))).tolist():
            far[i] = self.chosen[int(ids[i])]
        self.unseen += len(ids) - len(have)
        if self.known:
            for i in at.tolist():
                facts[i]["v"] = 1
        return worth.diversity(far, self.most)


def _takes_all(ran: Ran) -> bool:
    """The job took every picture that waits: not only those of a state or of a query."""
    return ran.params.get("state") is None and (ran.params.get("where") or "") in ("", UNTOUCHED)


def _micro_of(own: int | None, plain: int) -> int:
    return plain if own is None else int(own)


def _strongest(picture: Ints, part: Ints, n: int) -> Ints:
    """Places of the `n` strongest of each picture, strongest first."""
    order = np.lexsort((-part, picture))
    sorted_ = picture[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_, sorted_, side="left")
    return order[rank < n]


# --- the queue, in words --------------------------------------------------------------------------------------------


def words(reason: Mapping[str, Any], weights: Weights, named: Callable[[str], str]) -> list[str]:
    """Why a picture is worth labelling, the weightiest first.

    Args:
        reason: as the table holds it. named: the name of a label by its code.
    """
    weighed = [p * w for p, w in zip(reason["p"], weights.all(), strict=True)]
    said: list[tuple[int, str]] = []
    for part, text in enumerate(_texts(reason, named)):
        least = TOLD * (2 if PARTS[part] == "diversity" else 1)
        if text and weighed[part] and reason["p"][part] >= least:
            said.append((-weighed[part], text))
    return [text for _, text in sorted(said, key=lambda x: x[0])]


def _texts(reason: Mapping[str, Any], named: Callable[[str], str]) -> tuple[str, str, str, str]:
    """A text for each part, "" where there is nothing to say."""
    doubts = [f"{named(code)} {score / WHOLE:.2f}" for code, score in reason.get("u", ())]
    unsure = tr("{objects}: unsure", objects=tr(", ").join(doubts)) if doubts else ""
    n = sum(reason.get("d", ()))
    apart = (
        tr("the two models disagree on {n} objects", n=n)
        if n > 1
        else tr("the two models disagree on one object")
        if n
        else ""
    )
    if not n and reason["p"][1]:
        apart = tr("the two models are not equally sure")
    rare = ""
    if "r" in reason:
        code, here, total = reason["r"]
        rare = tr("{label} is rare: {n} of {total}", label=named(code), n=f"{here:,}", total=f"{total:,}")
    unlike = tr("unlike anything labelled yet") if reason.get("v") else tr("unlike the other pictures")
    return unsure, apart, rare, unlike


@dataclass(frozen=True, slots=True)
class Latest:
    """The last look at a dataset: by which models, weights, threshold and query, and when it ended."""

    models: tuple[str, ...]
    weights: Weights
    threshold: float
    where: str
    at_ms: int


def latest(ws: Workspace, dataset_id: int) -> Latest | None:
    """The last look at a dataset that came to its end; None: it was never looked at."""
    with ws.db.read() as conn:
        job = _last(conn, dataset_id)
    if job is None:
        return None
    p: Any = job.params
    return Latest(
        tuple(m[0] for m in p["models"]), Weights(*p["weights"]), p["threshold"] / worth.MICRO, p["where"], job.ended_ms or 0
    )  # fmt: skip


def _last(conn: Connection, dataset_id: int) -> Job | None:
    number = conn.execute(
        sa.text("SELECT max(id) FROM job WHERE kind = :k AND dataset_id = :d AND outcome = 'finished'"),
        {"k": KIND, "d": dataset_id},
    ).scalar()
    return jobs.get(conn, int(number)) if number is not None else None


def queue(ws: Workspace, dataset_id: int, limit: int = 20) -> list[Row]:
    """The first pictures of the queue, most worth first; what was labelled since is left out."""
    with ws.db.read() as conn:
        return table.queue(conn, dataset_id, limit)


def order(ws: Workspace, query: Query) -> array[int]:
    """Ids of a query's pictures that are in the queue, the most worth first, of equal ones the lowest id."""
    out = array("q")
    low = 0
    ids, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    query = query if query.me else replace(query, me=ws.person.id)
    while True:
        with ws.db.read() as conn:
            high = listing.stretches(conn, query.dataset_id, low)
            upto = 2**62 if high is None else high
            found = listing.keys(conn, query, objects=False, low=low, high=upto, sort=KIND)
        some = np.array([(a, v) for a, v in found if v is not None], np.int64).reshape(-1, 2)
        ids.append(some[:, 0])
        values.append(some[:, 1])
        if high is None:
            break
        low = high
    every = np.concatenate(ids)
    out.frombytes(np.ascontiguousarray(every[worth.order(every, np.concatenate(values))]).tobytes())
    return out


def rows(ws: Workspace, dataset_id: int, asset_ids: Sequence[int]) -> dict[int, Row]:
    """Rows of these pictures by asset id; of those that do not wait there is none."""
    with ws.db.read() as conn:
        return {row.asset_id: row for row in table.rows_of(conn, dataset_id, asset_ids)}


def count(ws: Workspace, dataset_id: int) -> int:
    """How many pictures the queue still holds."""
    with ws.db.read() as conn:
        return table.count(conn, dataset_id)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of every picture of a queue, for trying weights out: ids (n,), parts (n, 4) in the order of PARTS."""

    ids: Ints
    parts: Ints

    def first(self, weights: Weights, n: int) -> list[tuple[int, int]]:
        """(asset, value) of the first `n` by these weights."""
        value = worth.joined(self.parts, weights)
        top = np.argpartition(-value, min(n, len(value)) - 1)[:n] if len(value) > n else np.arange(len(value))
        least = value[top].min() if len(top) else 0
        top = np.flatnonzero(value >= least)  # all that are equal to the last, so that the lowest ids win
        return [(int(self.ids[i]), int(value[i])) for i in top[worth.order(self.ids[top], value[top])][:n]]


def parts(ws: Workspace, dataset_id: int) -> Iterator[Parts | float]:
    """The parts of a queue, stretch by stretch: shares of the way, at last the whole; closing it breaks it off."""
    low, ids, found = 0, [np.zeros(0, np.int64)], [np.zeros((0, len(PARTS)), np.int16)]
    with ws.db.read() as conn:
        total = max(1, queries.count_items(conn, Query(dataset_id)))
    seen = 0
    while True:
        with ws.db.read() as conn:
            high = listing.stretches(conn, dataset_id, low)
            here = table.kept(conn, dataset_id, low, 2**62 if high is None else high)
        ids.append(np.array([a for a, _ in here], np.int64))
        found.append(np.array([_parts_of(t) for _, t in here], np.int16).reshape(-1, len(PARTS)))
        if high is None:
            break
        low, seen = high, seen + listing.STRETCH
        yield min(1.0, seen / total)
    yield Parts(np.concatenate(ids), np.concatenate(found).astype(np.int64))


def _parts_of(text: str) -> list[int]:
    """The parts of a reason, which begins with them; a tenth of the time that reading all of it takes."""
    return [int(x) for x in text[len('{"p":[') : text.index("]")].split(",")]

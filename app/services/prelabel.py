"""Pre-label a dataset with an ONNX model: resumable, with provenance, by priority, within hours, human work untouched.

A batch of results and the shard's new position are committed in one change: a kill loses no picture and repeats none.
"""

from __future__ import annotations

import os
import platform
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from annotation.errors import InvalidInput, NotFound
from app.events import Changes, Finished, Progress, Started, Warned, Work
from app.i18n import tr
from app.services import accelerators, hours, onnx, pace, plans, predictions, trackids
from app.services import schema as schemas
from app.services.hours import CLOCK, Clock, Hours
from app.services.onnx import ModelRow
from app.services.predictions import Writer
from app.services.workspace import Workspace
from models import batch, providers
from models import recipe as recipes
from models.batch import Plan, Result
from models.providers import Choice
from models.recipe import PLAIN, Recipe
from storage import jobs, media, queries, record
from storage.jobs import Job, Lease
from storage.queries import DatasetRow, Place, Query
from storage.record import BATCH_ROWS
from storage.tables import ITEM_STATES

SHARD_ASSETS = 2_000
COMMIT_EVERY_S = 0.5
UNTOUCHED = "-has:truth review:draft"
"""The query for pictures without human work: no object that is truth, nothing submitted for review."""


@dataclass(frozen=True, slots=True)
class Course:
    """When a job runs; kept with the job, and no part of what the job is.

    Attributes:
        priority: of jobs that wait, the highest goes first.
        window: hours of the day, local time, as "22:00-06:00"; "" = always.
    """

    priority: int = 0
    window: str = ""

    def __post_init__(self) -> None:
        hours.parse(self.window)  # refused before a job is made


def course_of(job: Job) -> Course:
    """When a job runs, as it was asked for; a job of an older version always may."""
    kept: Any = job.params.get("course", {})
    return Course(job.priority, str(kept.get("window", "")))


def run(
    ws: Workspace,
    dataset: str,
    model: str,
    *,
    score: float | None = None,
    iou: float | None = None,
    classes: Sequence[str] | None = None,
    recipe: Recipe = PLAIN,
    provider: str = "cpu",
    threads: int | None = None,
    state: str | None = None,
    where: str = "",
    untouched: bool = False,
    strict: bool = False,
    course: Course = Course(),
    later: bool = False,
    clock: Clock = CLOCK,
) -> Work:
    """Predict on every picture of a dataset.

    The same call after an interruption goes on with the unfinished job. A re-run replaces this model's own unaccepted
    predictions; it never touches what a person drew or accepted, nor brings back what one rejected.

    Args:
        model: a name from `lamproom models list`.
        provider: one of `lamproom doctor`, or a list such as "cuda,cpu": the first that passes its self-test is used, and each
            that is passed over is said. Without a list nothing else is ever tried.
        recipe: how the model is used. score, iou, classes: over what it says of thresholds 0..1 and of classes to keep.
        state: only pictures in this state ("unlabelled" …). where: only pictures that meet this query.
        untouched: only pictures without human work.
        strict: refuse classes that the label schema does not know, instead of adding them.
        later: only make the job; `lamproom jobs run` does it when its turn comes.

    Raises:
        NotFound, InvalidInput, Unavailable: before anything is written.
    """  # fmt: skip
    data, row, wanted = asked(
        ws, dataset, model, recipe=recipes.narrowed(recipe, score=score, iou=iou, classes=classes), provider=provider,
        state=state, where=where, untouched=untouched,
    )  # fmt: skip
    job = _unfinished(ws, wanted)
    if job is None:
        mapped = schemas.ensure_labels(
            ws, data.schema_code, wanted_names(row, recipe_of(wanted)), where_from=f"model {model} ({row.sha256[:12]})", strict=strict
        )  # fmt: skip
        if mapped.added:
            yield Warned(
                f"{len(mapped.added)} classes of the model were unknown: schema {data.schema_code} is now version {mapped.number}",
                model,
            )
        job = _create(ws, data, row, wanted, course)
    elif course != Course():
        job = _turn(ws, job, course)
    if later:
        yield Finished({"job": job.id, "queued": True, "pictures": job.total, "priority": job.priority})
        return
    yield from go_on(ws, job, threads=threads, clock=clock)


def asked(
    ws: Workspace,
    dataset: str,
    model: str,
    *,
    recipe: Recipe,
    provider: str,
    state: str | None,
    where: str,
    untouched: bool,
) -> tuple[DatasetRow, ModelRow, dict[str, Any]]:
    """What a call asks for, checked: dataset, model and the parameters that make a job this one and no other.

    Raises:
        NotFound, InvalidInput, Unavailable: it could never run.
    """
    with ws.db.read() as conn:
        data = queries.dataset(conn, dataset)
    row = onnx.show(ws, model)
    require_file(row)
    if state is not None and state not in ITEM_STATES:
        raise InvalidInput(f"there is no state {state!r}", remedy="unlabelled, predicted or labelled")
    # Here, not when the job opens its session: a job that can never run would hold the dataset's next version back.
    provider = ",".join(accelerators.demand(provider))
    recipes.checked(recipe, where=model, labels=row.card.labels)
    if untouched:
        where = f"({where}) {UNTOUCHED}" if where.strip() else UNTOUCHED
    wanted = {
        "dataset": dataset, "model": model, "sha256": row.sha256, "provider": provider, "state": state, "where": where,
        "recipe": recipes.to_plain(recipe),
    }  # fmt: skip
    with ws.db.read() as conn:
        queries.plan(conn, query_of(ws, data, wanted))  # a query that cannot be read is told now
    return data, row, wanted


def query_of(ws: Workspace, data: DatasetRow, params: Mapping[str, Any]) -> Query:
    """The pictures that a job's parameters mean."""
    return Query(data.id, state=params["state"], where=params.get("where") or "", me=ws.person.id)


def recipe_for(
    file: Path | None,
    *,
    score: float | None = None,
    iou: float | None = None,
    classes: Sequence[str] | None = None,
) -> Recipe:
    """The recipe of a TOML file (or the plain one) with what a person said besides.

    Raises:
        NotFound, InvalidInput: the file cannot be read, or says what cannot be.
    """
    found = PLAIN
    if file is not None:
        try:
            found = recipes.from_toml(file.read_text(encoding="utf-8"), where=str(file))
        except OSError as error:
            raise NotFound(f"cannot be opened: {error.strerror}", where=str(file)) from error
        except UnicodeDecodeError as error:
            raise InvalidInput("not a text file", where=str(file)) from error
    return recipes.narrowed(found, score=score, iou=iou, classes=classes)


def recipe_of(params: Mapping[str, Any]) -> Recipe:
    """The recipe that a job keeps, also one that an older version of the product began."""
    if "recipe" in params:
        return recipes.from_plain(params["recipe"])
    old = Recipe(params.get("score_micro"), params.get("iou_micro"))
    return recipes.narrowed(old, classes=params.get("classes"))


def wanted_names(row: ModelRow, recipe: Recipe) -> list[str]:
    """What the model's classes are called in the record, those that are dropped left out."""
    return list(dict.fromkeys(n for n in map(recipe.target, row.card.labels) if n))


def require_file(row: ModelRow) -> None:
    """InvalidInput unless this machine has the model's file."""
    if not row.present:
        raise InvalidInput(
            "this machine does not have the model's file",
            where=row.name,
            remedy="`lamproom models add FILE.onnx` here",
        )


def _unfinished(ws: Workspace, wanted: Mapping[str, Any]) -> Job | None:
    """The newest job that was asked for the same and has not ended."""
    with ws.db.read() as conn:
        for job in jobs.listing(conn, open_only=True):
            if job.kind == "prelabel" and {k: v for k, v in job.params.items() if k != "course"} == wanted:
                return job
    return None


def _create(ws: Workspace, data: DatasetRow, row: ModelRow, wanted: Mapping[str, Any], course: Course) -> Job:
    """The job with one shard over all its assets; who works on it cuts pieces off."""
    with ws.db.read() as conn:
        total = queries.count_items(conn, query_of(ws, data, wanted))
        span = queries.span(conn, data.id) if total else None
    with ws.db.write() as conn:
        agent = record.agent(conn, "model", f"{row.name} {row.sha256[:12]}")
        activity = record.start_activity(
            conn,
            "prelabel",
            agent.id,
            {**wanted, "started_by": ws.person.name},
            model_digest=bytes.fromhex(row.sha256),
        )
        record.link(conn, activity, "used", "model", row.sha256)
        record.link(conn, activity, "used", "dataset", data.name)
        job_id = jobs.create(
            conn,
            "prelabel",
            activity_id=activity,
            dataset_id=data.id,
            params={**wanted, "course": _kept(course)},
            total=total,
            shards=[span] if span else [],
            priority=course.priority,
        )
        return jobs.get(conn, job_id)


def _kept(course: Course) -> dict[str, Any]:
    return {k: v for k, v in asdict(course).items() if k != "priority" and v}


def _turn(ws: Workspace, job: Job, course: Course) -> Job:
    """Give an unfinished job another priority or other hours."""
    with ws.db.write() as conn:
        jobs.turn(conn, job.id, priority=course.priority, params={**job.params, "course": _kept(course)})
        return jobs.get(conn, job.id)


# --- doing it ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Sum:
    """What the sittings of this process did together."""

    pictures: int = 0
    seconds: float = 0.0
    busy: Mapping[str, float] | None = None
    bottleneck: str = ""


def go_on(
    ws: Workspace,
    job: Job,
    *,
    threads: int | None = None,
    clock: Clock = CLOCK,
    give_way: Callable[[], bool] | None = None,
) -> Work:
    """Do what is left of a pre-label job; several processes may work on one at once.

    Outside the job's hours it pauses, says so and goes on when they begin: its pieces are given back meanwhile, and
    the model is closed.

    Args:
        give_way: asked after each commit; once True the job stops where it is and waits.
    """
    params: dict[str, Any] = dict(job.params)
    with ws.db.read() as conn:
        data = queries.dataset(conn, str(params["dataset"]))
    row = model_of(ws, job)
    names = wanted_names(row, recipe_of(params))
    codes = schemas.ensure_labels(ws, data.schema_code, names, where_from=f"model {row.name}").codes
    writer = Writer(ws, job, data, bytes.fromhex(row.sha256), codes)
    window = hours.parse(course_of(job).window)
    yield Started(f"prelabel {data.name} · {row.name}", job.total, str(job.id))
    sitting = _Sitting(ws, job, row, writer, query_of(ws, data, params), window, threads, clock, give_way)
    began = time.monotonic()
    while True:
        yield from _wait(window, clock, sitting)
        if not sitting.over:
            yield from sitting.work()
        if sitting.over:
            break
    yield from _end(ws, job, data, row, sitting, time.monotonic() - began)


def opened(
    ws: Workspace,
    row: ModelRow,
    query: Query,
    recipe: Recipe,
    wanted: str,
    items: Iterable[tuple[int, Place]],
    *,
    threads: int | None,
    left: int,
) -> tuple[Choice[batch.Run[Place]], list[Warned]]:
    """A model open on the provider, or the first good one of the list, that is wanted; and what was passed over.

    Args:
        items: not begun before the run is.
        left: pictures to come: a plan is measured only for many.

    Raises:
        InvalidInput, Unavailable: it opens nowhere.
    """

    def open_on(provider: str) -> batch.Run[Place]:
        plan = Plan(threads) if threads else plans.plan_for(ws, row, query, provider, recipe, left)
        return batch.predict(
            items, partial(read, ws.folder), row.path, row.card, decode=media.decode, recipe=recipe, provider=provider,
            plan=plan, shrink=media.shrunk, path_of=path_of,
        )  # fmt: skip

    return accelerators.choose(providers.listed(wanted), open_on)


def model_of(ws: Workspace, job: Job) -> ModelRow:
    """The model of a job, with its file here; InvalidInput."""
    row = next((m for m in onnx.listing(ws) if m.sha256 == job.params["sha256"]), None)
    if row is None:
        raise InvalidInput(
            "its model was removed", where=f"job {job.id}", remedy="add the model again, or cancel the job"
        )
    require_file(row)
    return row


def _wait(window: Hours | None, clock: Clock, sitting: _Sitting) -> Work:
    """Pause outside the hours, a second at a time, so that a person's cancel is heard."""
    while window is not None and (closed := window.closed_s(clock.now())) > 0:
        yield Progress(
            sitting.done, sitting.job.total, tr("paused until {time}, by its hours", time=window.opens)
        )
        if sitting.asked_to_give_way():
            return
        clock.wait(min(closed, 1.0))
    sitting.pace.rest(sitting.done)


class _Sitting:
    """One stretch of work with the model open; `over` once nothing is left to take or the job gave way."""

    def __init__(
        self,
        ws: Workspace,
        job: Job,
        row: ModelRow,
        writer: Writer,
        query: Query,
        window: Hours | None,
        threads: int | None,
        clock: Clock,
        give_way: Callable[[], bool] | None,
    ) -> None:
        self.ws, self.job, self.row, self.writer, self.query = ws, job, row, writer, query
        self.window, self.clock, self.give_way = window, clock, give_way
        self.recipe = recipe_of(job.params)
        self.threads = threads
        self.done = job.done
        self.pace = pace.Pace(job.done)
        self.over = self.gave_way = False
        self.sum = _Sum()
        self.facts: dict[str, Any] = {}

    def work(self) -> Work:
        wanted, left = str(self.job.params["provider"]), (self.job.total or 0) - self.done
        feed = _Feed(self.ws, self.job, self.query, self.writer)
        try:
            choice, warned = opened(
                self.ws,
                self.row,
                self.query,
                self.recipe,
                wanted,
                feed.items(),
                threads=self.threads,
                left=left,
            )
            yield from warned
            with choice.opened as work:
                facts = {**work.provenance, "passed_over": [list(one) for one in choice.skipped]}
                if facts != self.facts:  # also when the next stretch of work came onto another provider
                    self.facts = facts
                    self.writer.run = predictions.begin_run(self.ws, self.job, {**whereabouts(), **facts})
                yield from self._results(work, feed)
                report = work.report()
        finally:
            feed.close()
        self.sum.pictures += report.done
        self.sum.seconds += report.seconds
        self.sum.busy, self.sum.bottleneck = report.busy, report.bottleneck

    def _results(self, work: batch.Run[Place], feed: _Feed) -> Work:
        pending: list[Result] = []
        rows, last, shown = 0, time.monotonic(), 0.0
        lease: Lease | None = None
        for result in work:
            mine = feed.leases.popleft()
            if lease is not None and mine is not lease:
                self._add(self.writer.close(lease, pending))
                pending, rows, last = [], 0, time.monotonic()
            lease = mine
            pending.append(result)
            rows += len(result.annotations)
            path = feed.paths.pop(result.id, "")
            if result.problem:
                yield Warned(result.problem, path)
            now = time.monotonic()
            if rows >= BATCH_ROWS or len(pending) >= BATCH_ROWS or now - last > COMMIT_EVERY_S:
                self._add(self.writer.commit(lease, pending, result.id))
                pending, rows, last = [], 0, time.monotonic()
                if self._must_stop():
                    return
            if now - shown > 0.1:
                shown = now
                report = work.report()
                self.pace.note(self.done + len(pending))
                yield Progress(
                    self.done + len(pending),
                    self.job.total,
                    f"{report.pictures_per_s:.1f}/s · {report.bottleneck}",
                    self.pace.left_s(self.job.total),
                )
        if lease is not None:
            self._add(self.writer.close(lease, pending))
        self.over = True

    def _add(self, n: int) -> None:
        self.done += n

    def asked_to_give_way(self) -> bool:
        """Whether another job goes first; then this one is over for now."""
        self.gave_way = self.over = bool(self.give_way and self.give_way())
        return self.over

    def _must_stop(self) -> bool:
        closed = self.window is not None and self.window.closed_s(self.clock.now()) > 0
        return self.asked_to_give_way() or closed


def _end(ws: Workspace, job: Job, data: DatasetRow, row: ModelRow, sitting: _Sitting, seconds: float) -> Work:
    whole, following = settle(ws, job)
    tracked: Mapping[str, object] = {}
    if following is not None:
        for event in trackids.go_on(ws, following):
            if isinstance(event, Finished):
                tracked = {"tracks": event.result["tracks"]}
            else:
                yield event
    tally, done = sitting.writer.tally, sitting.sum
    with ws.db.read() as conn:
        now_job = jobs.get(conn, job.id)
    yield Progress(now_job.done, now_job.total)
    if sitting.gave_way:
        yield Warned("it waits: another job goes first", f"job {job.id}")
    elif not whole:
        yield Warned("another process works on the rest", f"job {job.id}")
    yield Finished(
        {
            "job": job.id, "finished": whole, "gave_way": sitting.gave_way, "dataset": data.name, "model": row.name, "pictures": done.pictures,
            "predictions": tally.predictions, "already_truth": tally.known, "rejected_before": tally.rejected,
            "undecodable": tally.problems, "seconds": round(seconds, 3),
            "pictures_per_s": round(done.pictures / done.seconds, 2) if done.seconds else 0.0, "bottleneck": done.bottleneck,
            "busy": {k: round(v, 3) for k, v in (done.busy or {}).items()}, **sitting.facts, **tracked, "step": now_job.step,
        },
        Changes(tally.rev, datasets=(data.id,), everything=True),
        problems=tally.problems + (not whole and not sitting.gave_way),
    )  # fmt: skip


def settle(ws: Workspace, job: Job) -> tuple[bool, Job | None]:
    """End the job when nothing of it is left; whether it is whole, and the job that now gives its predictions track ids.

    That one is made in the same transaction, so a kill between the two leaves it waiting like any other.
    """
    with ws.db.write() as conn:
        whole = jobs.unfinished(conn, job.id) == 0
        now = jobs.get(conn, job.id)
        if not whole or now.ended_ms is not None:
            return whole, None
        jobs.finish(conn, job.id, "finished", total=now.done)
        if not recipe_of(now.params).track or now.dataset_id is None:
            return True, None
        named = (str(now.params[key]) for key in ("dataset", "model", "sha256"))
        return True, jobs.get(conn, trackids.begin(conn, now.dataset_id, *named, step=now.step))


def whereabouts() -> dict[str, object]:
    """Which process this is: host and id."""
    return {"host": platform.node(), "pid": os.getpid()}


def path_of(place: Place) -> str:
    """The path that a recipe's regions go by."""
    return place.path


def read(folder: Path, place: Place) -> bytes:
    """A picture's bytes for a model."""
    return media.read_asset(folder, place.location, place.path, place.disk_path, place.blake3)


class _Feed:
    """Hands out pictures piece by piece; `leases` tells in the same order which lease each belongs to."""

    def __init__(self, ws: Workspace, job: Job, query: Query, writer: Writer) -> None:
        self._ws, self._job, self._query, self._writer = ws, job, query, writer
        self._me = jobs.owner()
        self.leases: deque[Lease] = deque()
        self.paths: dict[int, str] = {}
        self._held: list[Lease] = []

    def items(self) -> Iterator[tuple[int, Place]]:
        while (
            lease := jobs.lease_piece(self._ws.db, self._job.id, self._me, self._end_of_piece)
        ) is not None:
            self._held.append(lease)
            after, any_left = lease.position, False
            while after < lease.last:
                with (
                    self._ws.db.read() as conn
                ):  # a read of its own for each page: a long one would hold the WAL back
                    ids = queries.asset_ids(conn, self._query, after=after, until=lease.last, limit=500)
                    places = queries.places(conn, ids)
                for asset_id in ids:
                    self.leases.append(lease)
                    self.paths[asset_id] = places[asset_id].path
                    any_left = True
                    yield asset_id, places[asset_id]
                after = ids[-1] if ids else lease.last
            if not any_left:  # its pictures left the dataset meanwhile
                self._writer.close(lease, [])

    def _end_of_piece(self, conn: Connection, position: int, last: int) -> int | None:
        ids = queries.asset_ids(conn, self._query, after=position, until=last, limit=SHARD_ASSETS)
        return ids[-1] if len(ids) == SHARD_ASSETS else None

    def close(self) -> None:
        """Give back what was leased and not finished."""
        with self._ws.db.write(durable=False) as conn:
            jobs.give_back(conn, self._held)

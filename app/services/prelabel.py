"""Pre-label a dataset with an ONNX model: resumable, with provenance, by priority, within hours, human work untouched.

A batch of results and the shard's new position are committed in one change: a kill loses no picture and repeats none.
"""

from __future__ import annotations

import os
import platform
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy.engine import Connection

from app import hours
from app.events import Changes, Finished, Progress, Started, Warned, Work
from app.hours import CLOCK, Clock, Hours
from app.i18n import tr
from app.services import accelerators, batching, browse, farm, orders, pace, plans, predictions
from app.services import schema as schemas
from app.services.onnx import ModelRow
from app.services.orders import PLAINLY, Course
from app.services.predictions import Writer
from app.services.workspace import Workspace
from models import batch, providers
from models import recipe as recipes
from models.batch import Plan, Result
from models.providers import Choice
from models.recipe import PLAIN, Recipe
from storage import jobs, media, queries
from storage.jobs import Job, Lease
from storage.queries import DatasetRow, Place, Query
from storage.record import BATCH_ROWS

SHARD_ASSETS = 2_000
COMMIT_EVERY_S = 0.5


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
    course: Course = PLAINLY,
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
    data, row, wanted = orders.asked(
        ws, dataset, model, recipe=recipes.narrowed(recipe, score=score, iou=iou, classes=classes), provider=provider,
        state=state, where=where, untouched=untouched, elsewhere=course.runner.partition(":")[0] in ("slurm", "ray"),
    )  # fmt: skip
    if course.runner:
        farm.demand(course)
    job = orders.unfinished(ws, wanted)
    if job is None:
        mapped = schemas.ensure_labels(
            ws, data.schema_code, orders.wanted_names(row, orders.recipe_of(wanted)), where_from=f"model {model} ({row.sha256[:12]})", strict=strict
        )  # fmt: skip
        if mapped.added:
            yield Warned(
                f"{len(mapped.added)} classes of the model were unknown: schema {data.schema_code} is now version {mapped.number}",
                model,
            )
        if course.runner:
            job = yield from farm.prepare(ws, data, row, wanted, course)
        else:
            job = orders.create(ws, data, row, wanted, course)
    elif course != PLAINLY:
        job = orders.turn(ws, job, course)
    if later:
        yield Finished({"job": job.id, "queued": True, "pictures": job.total, "priority": job.priority})
        return
    yield from go_on(ws, job, threads=threads, clock=clock)


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
    if orders.work_of(job) is not None:
        yield from farm.go_on(ws, job, clock=clock, give_way=give_way)
        return
    params: dict[str, Any] = dict(job.params)
    with ws.db.read() as conn:
        data = queries.dataset(conn, str(params["dataset"]))
    row = orders.model_of(ws, job)
    names = orders.wanted_names(row, orders.recipe_of(params))
    codes = schemas.ensure_labels(ws, data.schema_code, names, where_from=f"model {row.name}").codes
    writer = Writer(ws, job, data, bytes.fromhex(row.sha256), codes)
    window = hours.parse(orders.course_of(job).window)
    yield Started(f"prelabel {data.name} · {row.name}", job.total, str(job.id))
    sitting = _Sitting(
        ws, job, row, writer, orders.query_of(ws, data, params), window, threads, clock, give_way
    )
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
        # A small job is over before the proof of a free batch would have paid.
        fit = batching.fitting(ws, row, provider) if left >= plans.LEAST_PICTURES else row
        plan = Plan(threads) if threads else plans.plan_for(ws, fit, query, provider, recipe, left)
        return batch.predict(
            items, partial(browse.bytes_at, ws.folder), fit.path, fit.card, decode=media.decode, recipe=recipe, provider=provider,
            plan=plan, shrink=media.shrunk, path_of=lambda place: place.path,
        )  # fmt: skip

    return accelerators.choose(providers.listed(wanted), open_on)


def _wait(window: Hours | None, clock: Clock, sitting: _Sitting) -> Work:
    """Pause outside the hours, a second at a time, so that a person's cancel is heard."""
    while window is not None and (closed := window.closed_s(clock.now())) > 0:
        yield Progress(
            sitting.done, sitting.job.total, tr("paused until {time}, by its hours", time=window.opens)
        )
        if sitting.asked_to_give_way() or sitting.cancelled():
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
        self.recipe = orders.recipe_of(job.params)
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
                self.ws, self.row, self.query, self.recipe, wanted, feed.items(), threads=self.threads, left=left
            )  # fmt: skip
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
                    {
                        "pictures_per_s": round(report.pictures_per_s, 2),
                        "busy": {k: round(v, 3) for k, v in report.busy.items()},
                        "bottleneck": report.bottleneck,
                        "provider": self.facts["provider"],
                        "passed_over": self.facts["passed_over"],
                    },
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

    def cancelled(self) -> bool:
        """Whether somebody ended the job meanwhile; then this sitting is over."""
        with self.ws.db.read() as conn:
            self.over = self.over or jobs.get(conn, self.job.id).ended_ms is not None
        return self.over

    def _must_stop(self) -> bool:
        closed = self.window is not None and self.window.closed_s(self.clock.now()) > 0
        return self.asked_to_give_way() or closed


def _end(ws: Workspace, job: Job, data: DatasetRow, row: ModelRow, sitting: _Sitting, seconds: float) -> Work:
    whole, tracked = yield from orders.wind_up(ws, job)
    tally, done = sitting.writer.tally, sitting.sum
    with ws.db.read() as conn:
        now_job = jobs.get(conn, job.id)
    yield Progress(now_job.done, now_job.total)
    if sitting.gave_way:
        yield Warned("it waits: another job goes first", f"job {job.id}")
    elif not whole and now_job.ended_ms is not None:
        yield Warned("it was cancelled meanwhile", f"job {job.id}")
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


def whereabouts() -> dict[str, object]:
    """Which process this is: host and id."""
    return {"host": platform.node(), "pid": os.getpid()}


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

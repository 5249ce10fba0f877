"""A pre-label job beyond this process: write its job directory, have its shards done, merge what comes back.

Finished is what the results say, never the scheduler: a shard counts when its results are there, complete, untouched and of
the right pictures. What is missing when nothing runs any more is named, the job stays "incomplete", and resuming it starts
only that again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from annotation.core import new_uid
from annotation.errors import Conflict, InvalidInput
from app import VERSION, hours
from app.events import Changes, Event, Finished, Progress, Started, Warned, Work
from app.hours import Clock
from app.i18n import tr
from app.services import onnx, orders, pace, predictions, runners
from app.services import schema as schemas
from app.services.onnx import ModelRow
from app.services.orders import Course
from app.services.predictions import Writer
from app.services.runners import Runner, Ticket
from app.services.workspace import Workspace
from models.batch import Result
from storage import jobs, queries
from storage.hub import jobdir
from storage.hub.jobdir import Item, Line, Opened
from storage.jobs import Job
from storage.queries import DatasetRow, Query
from storage.record import BATCH_ROWS

ASK_S = {"local": 0.25, "ray": 0.5, "slurm": 2.0}
"""How often a runner is asked what still runs."""
GRACE_S = {"local": 0.0, "ray": 0.0, "slurm": 3.0}
"""After the last task has ended its results may still be on their way through a shared file system."""
PICTURES = {"local": 1_000, "ray": 5_000, "slurm": 5_000}
"""Pictures of a shard: what a lost worker costs, against what starting one costs."""
NAMED = 20
"""Missing shards that are named; the rest is counted."""


def demand(course: Course) -> Runner:
    """The runner of a course, if this machine can start it.

    Raises:
        InvalidInput, Unavailable: it cannot run as asked.
    """
    runner = _runner(course)
    kind = course.runner.partition(":")[0]
    if kind == "slurm" and not course.scratch:
        raise InvalidInput(
            "no shared folder was named", remedy="--scratch DIR, a folder that every node sees"
        )
    if kind != "local" and course.window:
        raise InvalidInput(
            "hours are kept by workers of this machine alone",
            remedy="for Slurm give --sbatch --begin=22:00 and --sbatch --time=8:00:00",
        )
    if course.shards > runners.MOST_TASKS:
        raise InvalidInput(f"more than {runners.MOST_TASKS} shards")
    runner.demand()
    return runner


def _runner(course: Course) -> Runner:
    return runners.chosen(
        course.runner, threads=course.threads or None, given=course.options, nice=course.nice
    )


# --- making the directory ------------------------------------------------------------------------------------------


def prepare(
    ws: Workspace, data: DatasetRow, row: ModelRow, wanted: Mapping[str, Any], course: Course
) -> Generator[Event, None, Job]:
    """Write the job directory, then the job: a kill in between leaves a directory that nobody knows, and no job."""
    query, recipe = orders.query_of(ws, data, wanted), orders.recipe_of(wanted)
    with ws.db.read() as conn:
        total = queries.count_items(conn, query)
    kind = course.runner.partition(":")[0]
    n = course.shards or max(1, -(-total // PICTURES[kind]))
    each = max(1, -(-total // min(n, runners.MOST_TASKS)))
    yield Started(f"manifests of {data.name}", total)
    scratch = Path(course.scratch).resolve() if course.scratch else ws.folder / "work"
    work = new_uid()
    maker = jobdir.Maker(scratch, work)
    bounds: list[tuple[int, int]] = []
    roots: dict[bytes, int] = {}
    written = after = 0
    try:
        pieces = onnx.pieces(row)
        maker.add_model(pieces)
        while items := _page(ws, query, after, each, roots):
            maker.add_shard(items)
            bounds.append((after + 1, items[-1].id))
            after = items[-1].id
            written += len(items)
            yield Progress(written, total)
        opened = maker.finish(
            card=msgspec.Raw(row.card.to_json()), hub=str(Path(course.hub).resolve()) if course.hub else "",
            labels=tuple(orders.wanted_names(row, recipe)), model=next(iter(pieces)), product=VERSION, provider=wanted["provider"],
            recipe=msgspec.Raw(recipe.to_json()), roots=tuple(r.hex() for r in roots), store=str(ws.folder.resolve()),
            window=course.window, work=work,
        )  # fmt: skip
    except BaseException:
        maker.drop()
        raise
    kept = {"folder": str(opened.folder), "digest": opened.digest, "tickets": []}
    return orders.create(ws, data, row, wanted, course, work=kept, shards=bounds, total=written)


def _page(ws: Workspace, query: Query, after: int, n: int, roots: dict[bytes, int]) -> list[Item]:
    with ws.db.read() as conn:
        found = queries.registered(conn, queries.asset_ids(conn, query, after=after, limit=n))
    items = []
    for asset_id, place, sha256 in found:
        root = roots.setdefault(place.location, len(roots))
        disk = None if place.disk_path is None else place.disk_path.hex()
        items.append(Item(place.blake3.hex(), asset_id, place.path, root, sha256.hex(), disk))
    return items


# --- having it done ------------------------------------------------------------------------------------------------


def go_on(ws: Workspace, job: Job, *, clock: Clock, give_way: Callable[[], bool] | None = None) -> Work:
    """Start what is missing and does not run, merge what comes, until all is there or nothing runs any more.

    Workers of this machine end with this call; an array of Slurm goes on, and the next call finds it.

    Raises:
        NotFound, InvalidInput: the job directory is gone or is another one. Conflict: another process looks after it.
    """
    yield from _Farm(ws, job, clock, give_way).work()


def demand_alone(job: Job, me: str) -> None:
    """Refuse to look after a job beside another process of this machine: the first to end would take the directory away.

    Raises:
        Conflict: naming the process. Of a process of another machine nobody can tell whether it lives.
    """
    work: Any = orders.work_of(job)
    host, _, rest = str(work.get("watcher", "")).partition(":")
    if host == me.partition(":")[0] and work["watcher"] != me and jobs.lives(work["watcher"]):
        raise Conflict(
            "another process looks after it",
            where=f"job {job.id}",
            remedy=f"wait for process {rest.partition(':')[0]}",
        )


def withdraw(job: Job) -> None:
    """Stop what runs of a job and take its directory away."""
    if (work := orders.work_of(job)) is not None:
        for ticket in work["tickets"]:
            _keeper(ticket).cancel(ticket)
        jobdir.remove(Path(work["folder"]))


def _keeper(ticket: Ticket) -> Runner:
    """A runner that can ask for a ticket of an earlier process."""
    return runners.RUNNERS[ticket["runner"]](runners.Way())


class _Farm:
    """One stretch of looking after a job's workers."""

    def __init__(self, ws: Workspace, job: Job, clock: Clock, give_way: Callable[[], bool] | None) -> None:
        self.ws, self.clock, self.give_way = ws, clock, give_way
        self.course = orders.course_of(job)
        self.kind = self.course.runner.partition(":")[0]
        kept: Any = orders.work_of(job)
        self.opened: Opened = jobdir.load(Path(kept["folder"]), digest=kept["digest"])
        self.me = jobs.owner()
        demand_alone(job, self.me)
        self.job = orders.note_work(ws, job, watcher=self.me)
        with ws.db.write() as conn:
            jobs.say(conn, job.id, None)
            self.data = queries.dataset(conn, str(job.params["dataset"]))
        self.row = orders.model_of(ws, job)
        names = list(self.opened.order.labels)
        codes = schemas.ensure_labels(
            ws, self.data.schema_code, names, where_from=f"model {self.row.name}"
        ).codes
        self.writer = Writer(ws, self.job, self.data, bytes.fromhex(self.row.sha256), codes)
        self.pace = pace.Pace(job.done)
        self.missing = self._missing()
        self.failed: set[int] = set()
        self.hosts: dict[str, int] = {}
        self.mine: list[tuple[Runner, Ticket]] = []
        self.gave_way = False

    @property
    def tickets(self) -> list[Ticket]:
        work: Any = orders.work_of(self.job)
        return list(work["tickets"])

    def _missing(self) -> dict[int, jobs.Shard]:
        with self.ws.db.read() as conn:
            return {k: s for k, s in enumerate(jobs.shards(conn, self.job.id)) if s.state < 2}

    def work(self) -> Work:
        began = time.monotonic()
        yield Started(f"prelabel {self.data.name} · {self.row.name}", self.job.total, str(self.job.id))
        try:
            yield from self._look_after()
        finally:
            for runner, ticket in self.mine:
                if ticket["runner"] != "slurm":
                    runner.cancel(ticket)
            self.job = orders.note_work(self.ws, self.job, watcher="")
        yield from self._end(time.monotonic() - began)

    def _look_after(self) -> Work:
        submitted = False
        empty_since: float | None = None
        window = hours.parse(self.opened.order.window)
        while True:
            yield from self._merge()
            if not self.missing or set(self.missing) <= self.failed:
                return
            if self.give_way is not None and self.kind != "slurm" and self.give_way():
                self.gave_way = True
                return
            alive = self._alive()
            note = tr("the scheduler does not answer")
            if alive is not None:
                note = tr(
                    "{n} of {m} shards run or wait", n=len(alive & set(self.missing)), m=len(self.missing)
                )
                idle = sorted(set(self.missing) - alive - self.failed - jobdir.finished(self.opened))
                if idle and not submitted:
                    closed = window is not None and window.closed_s(self.clock.now()) > 0
                    if closed and window is not None:
                        note = tr("paused until {time}, by its hours", time=window.opens)
                    else:
                        submitted = True
                        self._submit(idle)
                elif not alive & set(self.missing):
                    empty_since = empty_since or time.monotonic()
                    if time.monotonic() - empty_since >= GRACE_S[self.kind]:
                        yield from self._merge()
                        return
                else:
                    empty_since = None
            yield self._progress(note)
            self.clock.wait(ASK_S[self.kind])

    def _submit(self, shards: Sequence[int]) -> None:
        runner = demand(self.course)
        ticket = runner.submit(self.opened.folder, shards)
        self.mine.append((runner, ticket))
        self.job = orders.note_work(self.ws, self.job, ticket=ticket)

    def _alive(self) -> set[int] | None:
        """Shards that run or wait to run; None while a scheduler does not answer."""
        out: set[int] = set()
        own = {id(t): r for r, t in self.mine}
        begun = [t for _, t in self.mine]
        for ticket in [*begun, *(t for t in self.tickets if t not in begun)]:
            alive = own.get(id(ticket)) or _keeper(ticket)
            found = alive.alive(ticket)
            if found is None:
                return None
            out |= found
        return out

    # --- what comes back -------------------------------------------------------------------------------------------

    def _merge(self) -> Work:
        for shard in sorted(jobdir.finished(self.opened) & set(self.missing) - self.failed):
            if shard not in self.missing:  # another process merged it meanwhile
                continue
            try:
                yield from self._merge_one(shard)
            except InvalidInput as fault:
                jobdir.refuse(self.opened, shard)
                self.failed.add(shard)
                yield Warned(fault.line, f"shard {shard}")

    def _merge_one(self, shard: int) -> Work:
        said = jobdir.done(self.opened, shard)
        if said is None:
            return
        found = jobdir.verified(self.opened, shard, said)
        lease = jobs.lease_shard(self.ws.db, self.job.id, self.missing[shard].id, jobs.owner())
        if lease is None:  # another process merges it
            self.missing = self._missing()
            return
        facts = {**said.facts, "shard": shard, "results": said.results}
        self.writer.run = predictions.run_of_shard(self.ws, self.job, facts)
        try:
            for results, paths in self._batches(found, lease.position, lease.last):
                self.writer.commit(lease, results, results[-1].id)
                for result in results:
                    if result.problem:
                        yield Warned(result.problem, paths[result.id])
                yield self._progress()
            self.writer.close(lease, [])
        finally:
            with self.ws.db.write(durable=False) as conn:
                jobs.give_back(conn, [lease])
        host = str(said.facts.get("host", ""))
        self.hosts[host] = self.hosts.get(host, 0) + 1
        del self.missing[shard]
        yield self._progress()

    def _progress(self, note: str = "") -> Progress:
        """Pictures whose results are there, and those that workers at it say they have done."""
        parts = self.opened.order.parts
        there = jobdir.finished(self.opened) - self.failed
        working = [k for k in self.missing if k not in there]
        done = sum(part.n for k, part in enumerate(parts) if k not in set(working))
        done += sum(jobdir.told(self.opened, working))
        self.pace.note(done)
        return Progress(done, self.job.total, note, self.pace.left_s(self.job.total))

    def _batches(
        self, found: Sequence[tuple[Item, Line]], after: int, last: int
    ) -> Iterator[tuple[list[Result], dict[int, str]]]:
        """Results behind `after` of pictures that are still in the dataset, some rows at a time."""
        with self.ws.db.read() as conn:
            members = set(
                queries.asset_ids(conn, Query(self.data.id), after=after, until=last, limit=len(found))
            )
        batch: list[Result] = []
        paths: dict[int, str] = {}
        rows = 0
        for item, line in found:
            if item.id in members:
                half = jobdir.vector_of(line)
                vector = np.frombuffer(half, "<f2").astype(np.float32) if half else None
                batch.append(Result(item.id, line.wh, jobdir.objects_of(line), line.problem, vector))
                paths[item.id] = item.path
                rows += len(line.objects)
                if rows >= BATCH_ROWS or len(batch) >= BATCH_ROWS:
                    yield batch, paths
                    batch, paths, rows = [], {}, 0
        if batch:
            yield batch, paths

    def _end(self, seconds: float) -> Work:
        whole, tracked = yield from orders.wind_up(self.ws, self.job)
        missing = sorted(self.missing)
        n = len(self.opened.order.parts)
        if not whole and not self.gave_way:
            named = ", ".join(map(str, missing[:NAMED])) + (" …" if len(missing) > NAMED else "")
            outcome = f"incomplete: {len(missing)} of {n} shards are missing: {named}"
            with self.ws.db.write() as conn:
                jobs.say(conn, self.job.id, outcome)
            for shard in missing[:NAMED]:
                yield Warned(self._reason(shard), f"shard {shard}")
        if whole:
            jobdir.remove(self.opened.folder)
        with self.ws.db.read() as conn:
            job = jobs.get(conn, self.job.id)
        yield Progress(job.done, job.total)
        tally = self.writer.tally
        yield Finished(
            {
                "job": job.id, "finished": whole, "gave_way": self.gave_way, "dataset": self.data.name, "model": self.row.name,
                "pictures": job.done, "predictions": tally.predictions, "already_truth": tally.known,
                "rejected_before": tally.rejected, "undecodable": tally.problems, "seconds": round(seconds, 3), "runner": self.course.runner,
                "shards": n, "missing": missing, "hosts": self.hosts, **tracked, "step": job.step,
            },
            Changes(tally.rev, datasets=(self.data.id,), everything=True),
            problems=tally.problems + (0 if self.gave_way else len(missing)),
        )  # fmt: skip

    def _reason(self, shard: int) -> str:
        """Why a shard has no results, as far as its worker said."""
        if shard in self.failed:
            return "its results were refused"
        said = jobdir.last_words(self.opened.folder, shard)
        return f"it ended without results: {said}" if said else "it ended without results"

"""The worker of one shard: takes pictures by manifest from disk or hub, writes results create-only. Never a database.

`lamproom worker JOBDIR --shard K` is the same on this machine, in a Slurm array and on Ray. Killed at any moment it
leaves nothing that counts; started again it does its shard anew, or finds that another one did.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from annotation.errors import Conflict, InvalidInput, LamproomError, Unavailable
from app import VERSION, hours
from app.events import Event, Finished, Progress, Started, Warned, Work
from app.hours import CLOCK, Clock, Hours
from app.i18n import tr
from models import batch, providers, selftest
from models import card as cards
from models import recipe as recipes
from models.batch import Plan
from storage.hub import jobdir, pictures
from storage.hub.jobdir import Done, Item, Opened

TELL_S = 1.0


def run(folder: Path, shards: Sequence[int], *, threads: int | None = None, clock: Clock = CLOCK) -> Work:
    """Do these shards one after the other, with the model opened once.

    Args:
        threads: side by side; by default as many as this process may use cores.

    Raises:
        NotFound, InvalidInput: this is no job directory, or one of another version of the product.
        Unavailable: the provider or a source folder is not here. Shards done before stay done.
    """
    work = jobdir.load(folder)
    if work.order.product != VERSION:
        raise InvalidInput(
            f"the job was made by version {work.order.product[:40]}, this is {VERSION}",
            where=str(folder),
            remedy="install the same version on every machine",
        )
    todo: dict[int, list[Item]] = {}
    before: list[int] = []
    faults: list[tuple[int, LamproomError]] = []
    for shard in shards:
        try:
            if jobdir.done(work, shard) is not None:
                before.append(shard)
                continue
            items = jobdir.manifest(work, shard)
            pictures.demand_sources(work, items)
            todo[shard] = items
        except LamproomError as fault:  # the other shards of this call are not to be lost with it
            faults.append((shard, fault))
    if faults and len(shards) == 1:
        raise faults[0][1]
    total = sum(map(len, todo.values()))
    yield Started(tr("shards of {job}", job=folder.name), total)
    for shard, why in faults:
        jobdir.complain(work, shard, why.line)
        yield Warned(why.line, f"shard {shard}")
    written: list[Done] = []
    done = 0
    for event in _shards(work, todo, threads, clock) if todo else ():
        if isinstance(event, Done):
            written.append(event)
            done += event.n
        elif isinstance(event, Progress):
            yield Progress(done + event.done, total, event.note)
        else:
            yield event
    yield Finished(
        {
            "shards": list(shards), "done": [d.shard for d in written], "done_before": before,
            "pictures": sum(d.n for d in written), "objects": sum(d.objects for d in written),
            "undecodable": sum(d.problems for d in written), "host": host(),
        },
        problems=len(faults),
    )  # fmt: skip


def host() -> str:
    """This machine as its cluster calls it."""
    return os.environ.get("SLURMD_NODENAME") or platform.node()


def _shards(
    work: Opened, items: dict[int, list[Item]], threads: int | None, clock: Clock
) -> Iterator[Event | Done]:
    """One run of the core over all shards, so that the model is opened and warmed up once."""
    order = work.order
    card = cards.from_json(bytes(order.card))
    recipe = recipes.from_plain(msgspec.json.decode(bytes(order.recipe)))
    window = hours.parse(order.window)
    flat = {item.id: (shard, item) for shard, some in items.items() for item in some}
    ends = {some[-1].id for some in items.values() if some}

    def open_on(provider: str) -> batch.Run[Item]:
        return batch.predict(
            _within(((i, item) for i, (_, item) in flat.items()), window, clock),
            partial(pictures.read, work),
            work.model,
            card,
            decode=pictures.decode,
            recipe=recipe,
            provider=provider,
            plan=Plan(threads) if threads else None,
            shrink=pictures.shrunk,
            path_of=lambda item: item.path,
        )

    choice = _choose(order.provider, open_on)
    for name, why in choice.skipped:
        yield Warned(f"{name} is passed over: {why}", host())
    with choice.opened as run:
        passed = [list(one) for one in choice.skipped]
        facts = {
            **run.provenance,
            "passed_over": passed,
            "host": host(),
            "pid": os.getpid(),
            "product": VERSION,
        }
        results: jobdir.Results | None = None
        started, told = now_ms(), time.monotonic()
        try:
            for result in run:
                shard, item = flat[result.id]
                if results is None:
                    results, started = jobdir.Results(work, shard), now_ms()
                    jobdir.tell(work, shard, 0)  # whatever a killed worker said
                results.add(item, result.wh, result.annotations, result.problem, result.half)
                if result.problem:
                    yield Warned(result.problem, item.path)
                if time.monotonic() - told > TELL_S:
                    told = time.monotonic()
                    jobdir.tell(work, shard, results.n)
                    yield Progress(results.n, None, f"{run.report().pictures_per_s:.1f}/s")
                if result.id in ends:
                    try:
                        yield _finish(work, shard, results, facts, started)
                    except Conflict as fault:
                        yield Warned(fault.what, fault.where)
                    results = None
        finally:
            if results is not None:
                results.close()


def _choose(wanted: str, open_on: Callable[[str], batch.Run[Item]]) -> providers.Choice[batch.Run[Item]]:
    """The provider of the job, or of an ordered list the first that passes its self-test on this machine."""
    names = providers.listed(wanted)

    def attempt(name: str) -> batch.Run[Item]:
        if len(names) > 1 and name != "cpu" and not (trial := selftest.run(name)).usable:
            raise Unavailable(f"its self-test did not pass here: {trial.reason}", where=name)
        return open_on(name)

    return providers.choose(names, attempt)


def _finish(
    work: Opened, shard: int, results: jobdir.Results, facts: dict[str, object], started: int
) -> Done:
    try:
        return results.finish(facts=facts, started_ms=started, ended_ms=now_ms())
    finally:
        results.close()


def _within(
    items: Iterator[tuple[int, Item]], window: Hours | None, clock: Clock
) -> Iterator[tuple[int, Item]]:
    """The items, none outside the hours: the worker sleeps until they begin."""
    for item in items:
        while window is not None and (closed := window.closed_s(clock.now())) > 0:
            clock.wait(min(closed, 60.0))
        yield item


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000

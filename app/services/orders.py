"""A pre-label job as it is asked for: which pictures, which model and how used, when and where; made, kept, found again."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from annotation.errors import Conflict, InvalidInput, NotFound
from app import hours
from app.events import Event, Finished
from app.services import accelerators, onnx, trackids
from app.services.onnx import ModelRow
from app.services.workspace import Workspace
from models import providers
from models import recipe as recipes
from models.recipe import PLAIN, Recipe
from storage import jobs, queries, record
from storage.jobs import Job
from storage.queries import DatasetRow, Query
from storage.tables import ITEM_STATES

UNTOUCHED = "-has:truth review:draft"
"""The query for pictures without human work: no object that is truth, nothing submitted for review."""


@dataclass(frozen=True, slots=True)
class Course:
    """When and where a job runs; kept with the job, and no part of what the job is.

    Attributes:
        priority: of jobs that wait, the highest goes first.
        window: hours of the day, local time, as "22:00-06:00"; "" = always.
        runner: "" = this process, else "local:4", "slurm", "ray" (app/services/runners.py); the rest is for those:
        shards: pieces; 0 = by the number of pictures. threads: of each worker; 0 = its share of the cores.
        scratch: a folder that every worker sees. hub: a folder hub that pictures are taken from first.
        options: for the scheduler. nice: how much workers give way to other programs.
    """

    priority: int = 0
    window: str = ""
    runner: str = ""
    shards: int = 0
    threads: int = 0
    scratch: str = ""
    hub: str = ""
    options: tuple[str, ...] = ()
    nice: int = 0

    def __post_init__(self) -> None:
        hours.parse(self.window)  # refused before a job is made


PLAINLY = Course()


def course_of(job: Job) -> Course:
    """When and where a job runs, as it was asked for; a job of an older version: always, in this process."""
    kept: Any = job.params.get("course") or {}
    said = {k: v for k, v in kept.items() if k in Course.__dataclass_fields__}
    return Course(job.priority, **{**said, "options": tuple(said.get("options", ()))})


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
    elsewhere: bool = False,
) -> tuple[DatasetRow, ModelRow, dict[str, Any]]:
    """What a call asks for, checked: dataset, model and the parameters that make a job this one and no other.

    Args:
        elsewhere: it runs on other machines, which may have providers that this one lacks.

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
    provider = ",".join(providers.listed(provider) if elsewhere else accelerators.demand(provider))
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
    base: Recipe = PLAIN,
    score: float | None = None,
    iou: float | None = None,
    classes: Sequence[str] | None = None,
) -> Recipe:
    """The recipe of a TOML file (else `base`: the plain one, or that of the pack a model came in) with what a person said besides.

    Raises:
        NotFound, InvalidInput: the file cannot be read, or says what cannot be.
    """
    found = base
    if file is not None:
        try:
            found = recipes.from_toml(file.read_text(encoding="utf-8-sig"), where=str(file))
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


def unfinished(ws: Workspace, wanted: Mapping[str, Any]) -> Job | None:
    """The newest job that was asked for the same and has not ended."""
    with ws.db.read() as conn:
        for job in jobs.listing(conn, open_only=True):
            if job.kind == "prelabel" and {k: v for k, v in job.params.items() if k != "course"} == wanted:
                return job
    return None


def create(
    ws: Workspace,
    data: DatasetRow,
    row: ModelRow,
    wanted: Mapping[str, Any],
    course: Course,
    *,
    work: Mapping[str, Any] | None = None,
    shards: Sequence[tuple[int, int]] = (),
    total: int = 0,
) -> Job:
    """The job, with one shard over all its assets; who works on it cuts pieces off.

    Args:
        work: of a job beyond this process: its directory; then also its shards and its number of pictures.
    """
    if work is None:
        with ws.db.read() as conn:
            total = queries.count_items(conn, query_of(ws, data, wanted))
            span = queries.span(conn, data.id) if total else None
        shards = [span] if span else []
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
            params={**wanted, "course": _kept(course, work)},
            total=total,
            shards=shards,
            priority=course.priority,
        )
        return jobs.get(conn, job_id)


def _kept(course: Course, work: Mapping[str, Any] | None) -> dict[str, Any]:
    plain = {k: list(v) if k == "options" else v for k, v in asdict(course).items() if k != "priority" and v}
    return {**plain, "work": dict(work)} if work is not None else plain


def work_of(job: Job) -> dict[str, Any] | None:
    """The directory of a job beyond this process and what was started of it; None for any other."""
    kept: Any = job.params.get("course") or {}
    work: dict[str, Any] | None = kept.get("work")
    return work


def note_work(
    ws: Workspace, job: Job, *, watcher: str | None = None, ticket: Mapping[str, Any] | None = None
) -> Job:
    """Keep who looks after a job beyond this process ("" = nobody any more), and one more ticket of what was started."""
    with ws.db.write() as conn:
        now = jobs.get(conn, job.id)
        work = work_of(now) or {}
        if watcher is not None:
            work = {**work, "watcher": watcher}
        if ticket is not None:
            work = {**work, "tickets": [*work.get("tickets", ()), dict(ticket)]}
        params = {**now.params, "course": _kept(course_of(now), work)}
        jobs.turn(conn, job.id, priority=now.priority, params=params)
        return jobs.get(conn, job.id)


def turn(ws: Workspace, job: Job, course: Course) -> Job:
    """Give an unfinished job another priority, other hours or, beyond this process, another runner.

    Raises:
        Conflict: it was begun in a process and shall go on beyond it; its pictures are in no manifest.
    """
    with ws.db.write() as conn:
        now = jobs.get(conn, job.id)  # who looks after it may have noted more meanwhile
        work, old = work_of(now), course_of(now)
        if course.runner and work is None:
            raise Conflict(
                "the job was begun without a runner", where=f"job {job.id}", remedy="leave --runner out, or cancel it first"
            )  # fmt: skip
        if work is not None:  # what its directory was made with stays
            course = replace(
                course, shards=old.shards, scratch=old.scratch, hub=old.hub, window=old.window, runner=course.runner or old.runner
            )  # fmt: skip
        jobs.turn(
            conn, job.id, priority=course.priority, params={**now.params, "course": _kept(course, work)}
        )
        return jobs.get(conn, job.id)


def model_of(ws: Workspace, job: Job) -> ModelRow:
    """The model of a job, with its file here; InvalidInput."""
    row = next((m for m in onnx.listing(ws) if m.sha256 == job.params["sha256"]), None)
    if row is None:
        raise InvalidInput(
            "its model was removed", where=f"job {job.id}", remedy="add the model again, or cancel the job"
        )
    require_file(row)
    return row


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


def wind_up(ws: Workspace, job: Job) -> Generator[Event, None, tuple[bool, Mapping[str, object]]]:
    """`settle`, then the track ids where the recipe asks for them; whether it is whole, and what there is to say of them."""
    whole, following = settle(ws, job)
    tracked: Mapping[str, object] = {}
    if following is not None:
        for event in trackids.go_on(ws, following):
            if isinstance(event, Finished):
                tracked = {"tracks": event.result["tracks"]}
            else:
                yield event
    return whole, tracked

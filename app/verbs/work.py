"""Verbs of machine work: prelabel here, at night, on other machines; the queue of jobs; the worker of one shard."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from annotation.canonical import MICRO
from annotation.errors import LamproomError
from app import console, i18n, settings
from app.console import Outcome
from app.i18n import tr
from app.verbs.parts import Dataset, State, Where, app, arg, jobs_app, opened, opt, verb, when


@verb(
    app,
    "prelabel",
    "Predict on every picture of a dataset; interrupted, the same line goes on where it stopped.",
)
def prelabel(
    ctx: typer.Context,
    dataset: Dataset,
    model: Annotated[str, opt("A model's name, from `lamproom models list`.", "--model")],
    score: Annotated[float | None, opt("Lowest score that is kept (default: the model's).", "--score", min=0.0, max=1.0)] = None,
    iou: Annotated[float | None, opt("Overlap above which the weaker of two boxes goes (default: the model's).", "--iou", min=0.0, max=1.0)] = None,
    recipe: Annotated[Path | None, opt("A TOML file that says more of how the model is used: classes, tiles, regions.", "--recipe")] = None,
    provider: Annotated[str | None, opt("Where it runs: a provider of `lamproom doctor`, or a list as cuda,cpu: the first that passes.", "--provider")] = None,
    classes: Annotated[list[str] | None, opt("Only this class of the model; may be repeated.", "--class")] = None,
    state: State = None,
    where: Where = "",
    only_unlabelled: Annotated[bool, opt("Only pictures without human work.", "--only-unlabelled")] = False,
    track: Annotated[bool, opt("Then give what was found in following frames track ids, folder by folder.", "--track")] = False,
    threads: Annotated[int | None, opt("Threads (default: all cores).", "--threads", min=1, max=256)] = None,
    strict: Annotated[bool, opt("Refuse classes that the label schema does not know.", "--strict")] = False,
    dry_run: Annotated[bool, opt("Only say what it would do and how long; writes nothing.", "--dry-run")] = False,
    later: Annotated[bool, opt("Only queue it; `lamproom jobs run` does it.", "--later")] = False,
    priority: Annotated[int, opt("Of jobs that wait, the highest goes first (default: 0).", "--priority", min=-1000, max=1000)] = 0,
    window: Annotated[str, opt("Only in these hours of the day, as 22:00-06:00; outside them it pauses.", "--window")] = "",
    nice: Annotated[int, opt("Give way to other programs: 0 (not at all) to 19.", "--nice", min=0, max=19)] = 0,
    runner: Annotated[str, opt("Who does it: local:4 (processes of this machine), slurm or ray; default: this process.", "--runner")] = "",
    shards: Annotated[int, opt("With --runner: pieces (default: by the number of pictures).", "--shards", min=0, max=1000)] = 0,
    scratch: Annotated[str, opt("With --runner: a folder that every worker sees.", "--scratch", metavar="DIR")] = "",
    sbatch: Annotated[list[str] | None, opt("With --runner slurm: an option for sbatch, as --partition=night; may be repeated.", "--sbatch")] = None,
    hub: Annotated[str, opt("With --runner: take pictures from this hub folder first.", "--hub", metavar="DIR")] = "",
) -> Outcome:  # fmt: skip
    from app.services import forecast, orders, packs
    from app.services import prelabel as service

    if not runner and (shards or scratch or sbatch or hub):
        raise typer.BadParameter(tr("--shards, --scratch, --sbatch and --hub go with --runner"))
    course = orders.Course(priority, window)
    if runner:
        course = orders.Course(
            priority, window, runner, shards, threads or 0, scratch, hub, tuple(sbatch or ()), nice
        )
    else:
        _settle_down(nice)
    with opened(ctx) as ws:
        using = orders.recipe_for(recipe, base=packs.recipe(ws, model), score=score, iou=iou, classes=classes)
        using = replace(using, track=using.track or track)
        asked: dict[str, Any] = {
            "recipe": using, "provider": provider or ",".join(using.providers) or str(settings.get("provider")), "state": state, "where": where, "untouched": only_unlabelled,
        }  # fmt: skip
        if dry_run:
            return console.drive(ctx.obj, forecast.run(ws, dataset, model, threads=threads, **asked))
        work = service.run(
            ws, dataset, model, threads=threads, strict=strict, course=course, later=later, **asked
        )
        return _for_people(console.drive(ctx.obj, work))


def _for_people(done: Outcome) -> Outcome:
    """A run's outcome as text: thresholds as they are given, stages by their names, without the figures of the plan.

    Of a run of this process that found nothing left to take no figures: they would all be 0.
    """
    alone = "runner" not in done.result
    if alone and done.result.get("finished") is False and done.result.get("pictures") == 0:
        return replace(done, text=tr("this run did no picture of job {job}", job=done.result["job"]))
    facts = {k: v for k, v in done.result.items() if k not in ("plan", "decode_scale")}
    for name in ("score", "iou"):
        if isinstance(micro := facts.pop(f"{name}_micro", None), int):
            facts[name] = micro / MICRO
    if isinstance(busy := facts.get("busy"), dict):
        facts["busy"] = {tr(stage): share for stage, share in busy.items()}
        facts["bottleneck"] = tr(str(facts["bottleneck"]))
    return replace(done, text=console.pairs(facts))


@verb(
    app, "worker", "Do shards of a job directory; started by `prelabel --runner`, here or on another machine."
)
def worker(
    folder: Annotated[Path, arg("The job directory.", metavar="JOBDIR")],
    shards: Annotated[list[int], opt("The number of a shard; may be repeated.", "--shard", min=0)],
    ctx: typer.Context,
    threads: Annotated[int | None, opt("Threads (default: all cores).", "--threads", min=1, max=256)] = None,
    nice: Annotated[int, opt("Give way to other programs: 0 (not at all) to 19.", "--nice", min=0, max=19)] = 0,
) -> Outcome:  # fmt: skip
    from app import worker as service

    _settle_down(nice)
    return console.drive(ctx.obj, service.run(folder, shards, threads=threads))


@verb(app, "track", "Give a model's unaccepted predictions in following frames track ids, folder by folder.")
def track(
    ctx: typer.Context,
    dataset: Dataset,
    model: Annotated[str, opt("A model's name, from `lamproom models list`.", "--model")],
) -> Outcome:
    from app.services import trackids

    with opened(ctx) as ws:
        return console.drive(ctx.obj, trackids.run(ws, dataset, model))


def _settle_down(nice: int) -> None:
    """For a process that only predicts: take less of the machine than others do, where the system knows how.

    Every core has a chain of its own; OpenCV's further threads would only wake for a resize of 0.4 ms (1 to 3 % of a picture).
    """
    import cv2

    cv2.setNumThreads(1)
    if nice and hasattr(os, "nice"):
        os.nice(nice)


# --- jobs --------------------------------------------------------------------------------------------------------


@verb(jobs_app, "list", "Machine work, newest first.")
def jobs_list(
    ctx: typer.Context, limit: Annotated[int, opt("How many.", "--limit", min=1, max=10_000)] = 50
) -> Outcome:
    from app.services import jobs

    with opened(ctx) as ws:
        rows = jobs.listing(ws, limit=limit)
    return Outcome({"jobs": [_job(r) for r in rows]}, text=console.table(_JOB, [_told(r) for r in rows]))


_JOB = ("job", "kind", "dataset", "done", "total", "state", "priority", "window", "started", "note")


def _job(row: Any) -> dict[str, object]:
    return {"job": row.id, "kind": row.kind, "dataset": row.dataset, "done": row.done, "total": row.total,
            "state": row.state, "priority": row.priority, "window": row.window, "started": when(row.started_ms), "note": row.note}  # fmt: skip


def _told(row: Any) -> list[object]:
    """A job's line for people; an outcome "failed: …" keeps its own words."""
    return [
        tr(str(v)) if k in ("kind", "state") else i18n.tr_sentence(str(v)) if k == "note" else v
        for k, v in _job(row).items()
    ]


@verb(jobs_app, "run", "Do the jobs that wait, highest priority first, until none is left.")
def jobs_run(
    ctx: typer.Context,
    nice: Annotated[int, opt("Give way to other programs: 0 (not at all) to 19.", "--nice", min=0, max=19)] = 0,
) -> Outcome:  # fmt: skip
    from app.services import jobs

    _settle_down(nice)
    with opened(ctx) as ws:
        done = console.drive(ctx.obj, jobs.work_off(ws))
    n = len(done.result.get("worked_off", ()))  # type: ignore[arg-type]
    return Outcome(
        done.result,
        done.problems,
        done.warnings,
        done.n_warnings,
        text=tr("{n} jobs went on to their end", n=n),
    )


@verb(jobs_app, "resume", "Go on with an interrupted job (default: every one that nobody works on).")
def jobs_resume(
    ctx: typer.Context, job: Annotated[int | None, arg("The job's number.", metavar="[JOB]")] = None
) -> Outcome:
    from app.services import jobs

    with opened(ctx) as ws:
        if job is not None:
            return console.drive(ctx.obj, jobs.resume(ws, job))
        # A job that pauses until its hours keeps no other waiting: it comes last.
        waiting = [row.id for row in sorted(jobs.interrupted(ws), key=lambda r: (jobs.closed_s(r) > 0, r.id))]
        done: list[Outcome] = []
        stuck: list[tuple[str, str]] = []
        for number in waiting:
            try:
                done.append(console.drive(ctx.obj, jobs.resume(ws, number)))
            except LamproomError as fault:  # the other jobs are not to wait for this one
                stuck.append((f"job {number}", fault.line))
                print(console.clean(f"job {number}: {i18n.tr_fault(fault)}"), file=sys.stderr)
    return Outcome(
        {"resumed": [dict(d.result) for d in done]},
        sum(d.problems for d in done) + len(stuck),
        (*(w for d in done for w in d.warnings), *stuck),
        sum(d.n_warnings for d in done) + len(stuck),
        text=tr("{n} jobs went on to their end", n=len(done)),
    )


@verb(jobs_app, "cancel", "End a job for good; what it has written stays and can be undone.")
def jobs_cancel(
    ctx: typer.Context,
    job: Annotated[int, arg("The job's number.")],
    machine_gone: Annotated[bool, opt("Also one that a process of another machine holds, because that machine is no more.", "--machine-gone")] = False,
) -> Outcome:  # fmt: skip
    from app.services import jobs

    with opened(ctx) as ws:
        ended = jobs.cancel(ws, job, machine_gone=machine_gone)
    return Outcome({"cancelled": ended.id, "kind": ended.kind})

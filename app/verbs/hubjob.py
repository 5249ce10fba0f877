"""Verbs of work at a hub: estimate, submit, list, follow, cancel, collect; and the runner of one job on a node."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app import console
from app.console import Outcome
from app.i18n import tr
from app.verbs.parts import Audience, Override, Reference, arg, hubjob_app, opened, opt, verb, when

Hub = Annotated[str, opt("The hub where the version is published: its name, or a folder.", "--hub")]
Spec = Annotated[Path, arg("A TOML file: name, command, outputs, resources.", metavar="SPEC")]
Number = Annotated[int, arg("The job's number, from `lamproom hubjob list`.", metavar="JOB")]


@verb(
    hubjob_app,
    "estimate",
    "What a job would need: bytes still to be sent, hours at the measured rate, cost by the hub's notes.",
)
def estimate(ctx: typer.Context, reference: Reference, spec: Spec, hub: Hub) -> Outcome:
    from app.services import hubjobs

    with opened(ctx) as ws:
        found = hubjobs.estimate(ws, reference, hub, hubjobs.read_spec(spec))
    told = {
        "hub": found.hub, "objects_to_send": found.objects, "bytes_to_send": found.size, "hours_to_send": found.hours,
        "bytes_per_second": round(found.rate) or None, "hours_of_work": found.job_hours, "cost": found.cost,
        "currency": found.currency or None, "capacity": found.capacity or None,
    }  # fmt: skip
    return Outcome(told)


@verb(
    hubjob_app,
    "submit",
    "Order work on a published version: a job's folder for Slurm, Ray and Kubernetes; Slurm is started.",
)
def submit(
    ctx: typer.Context,
    reference: Reference,
    spec: Spec,
    hub: Hub,
    scratch: Annotated[Path, opt("A folder that the cluster sees.", "--scratch", metavar="DIR")],
    runner: Annotated[
        str, opt("slurm, or files (only written, for Ray, Kubernetes or by hand).", "--runner")
    ] = "slurm",
    sbatch: Annotated[
        list[str] | None, opt("An option for sbatch, as --partition=gpu; may be repeated.", "--sbatch")
    ] = None,
    audience: Audience = "partners",
    override: Override = "",
) -> Outcome:
    from app.services import hubjobs

    with opened(ctx) as ws:
        told = hubjobs.read_spec(spec)
        work = hubjobs.submit(
            ws, reference, hub, told, scratch=scratch, runner=runner, options=tuple(sbatch or ()), audience=audience,
            override=override,
        )  # fmt: skip
        return console.drive(ctx.obj, work)


@verb(hubjob_app, "list", "Jobs at hubs and how they stand.")
def listing(ctx: typer.Context) -> Outcome:
    from app.services import hubjobs

    with opened(ctx) as ws:
        found = hubjobs.listing(ws)
    rows = [{**asdict(s), "submitted": when(s.submitted_ms)} for s in found]
    shown = [
        [s.id, s.name, s.version, s.hub, s.runner, tr(s.state), when(s.submitted_ms), s.why] for s in found
    ]
    return Outcome(
        {"jobs": rows},
        text=console.table(("job", "name", "version", "hub", "runner", "state", "time", "why"), shown),
    )


@verb(hubjob_app, "follow", "Wait until a job has results or has failed.")
def follow(
    ctx: typer.Context,
    job: Number,
    every: Annotated[float, opt("Seconds between two looks.", "--every", min=0.05)] = 5.0,
) -> Outcome:
    from app.services import hubjobs

    with opened(ctx) as ws:
        while True:
            found = hubjobs.state(ws, hubjobs.find(ws, job))
            if found.state not in ("waiting", "running"):
                break
            time.sleep(every)
    facts = asdict(found)
    shown = {
        **facts,
        "state": tr(found.state),
        "purpose": tr(found.purpose),
        "submitted": when(facts.pop("submitted_ms")),
    }
    shown.pop("submitted_ms")
    return Outcome(asdict(found), int(found.state in ("failed", "lost")), text=console.pairs(shown))


@verb(hubjob_app, "cancel", "Stop a job.")
def cancel(ctx: typer.Context, job: Number) -> Outcome:
    from app.services import hubjobs

    with opened(ctx) as ws:
        hubjobs.cancel(ws, job)
    return Outcome({"cancelled": job})


@verb(
    hubjob_app,
    "collect",
    "Take in the results of a job: models into the workspace, everything with its lineage.",
)
def collect(
    ctx: typer.Context,
    job: Number,
    name: Annotated[
        str, opt("What a trained model is called here (default: the job's name).", "--name")
    ] = "",
    evaluate_on: Annotated[
        str, opt("Judge the model at once on this dataset's truth.", "--evaluate", metavar="DATASET")
    ] = "",
) -> Outcome:
    from app.services import hubjobs

    with opened(ctx) as ws:
        return console.drive(ctx.obj, hubjobs.collect(ws, job, name=name, evaluate_on=evaluate_on))


@verb(
    hubjob_app,
    "run",
    "Do a job's folder here: the version proved, the command run, the results named. Needs no workspace.",
)
def run(ctx: typer.Context, folder: Annotated[Path, arg("The job's folder.", metavar="DIR")]) -> Outcome:
    from app.services import hubrun

    return console.drive(ctx.obj, hubrun.run(folder))

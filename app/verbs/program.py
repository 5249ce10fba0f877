"""Verbs on the program itself: doctor, demo, gui."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from annotation.errors import NotFound, Unavailable
from app import console, i18n
from app.console import Outcome
from app.i18n import tr
from app.verbs.parts import (
    app,
    arg,
    opt,
    verb,
)


@verb(app, "doctor", "Check this machine and, with -w, a workspace; says what to do about what is wrong.")
def doctor(
    ctx: typer.Context,
    migrate: Annotated[
        bool, opt("Bring a workspace of an older version up to date, after a backup.", "--migrate")
    ] = False,
) -> Outcome:
    from app.services import doctor as service

    if migrate:
        if not ctx.obj.workspace:
            raise NotFound("no workspace was named", remedy="-w DIR, or set LAMPROOM_WORKSPACE")
        return Outcome(service.migrate(ctx.obj.workspace))
    found = service.examine(ctx.obj.workspace)
    marks = {"good": "✓", "note": "·", "bad": "✗"}
    lines = [
        f"{marks[f.state]} {tr(f.name)}: {i18n.tr_sentence(f.said)}"
        + (f"  → {i18n.tr_sentence(f.remedy)}" if f.remedy else "")
        for f in found
    ]
    rows = [{"name": f.name, "state": f.state, "said": f.said, "remedy": f.remedy} for f in found]
    bad = sum(f.state == "bad" for f in found)
    return Outcome({"findings": rows}, bad, text="\n".join(lines))


@verb(
    app,
    "demo",
    "The whole line on 200 drawn scenes: ingest, pre-label, score, accept, freeze, export, publish, verify.",
)
def demo(
    ctx: typer.Context,
    folder: Annotated[
        Path | None, arg("A new folder (default: lamproom-demo here).", metavar="[DIR]")
    ] = None,
    scenes: Annotated[int, opt("How many scenes.", "--scenes", min=10, max=5000)] = 200,
    desk: Annotated[
        bool, opt("Open the desk at the end when there is a display.", "--desk/--no-desk")
    ] = True,
) -> Outcome:
    from app.services import demo as service

    outcome = console.drive(ctx.obj, service.run(folder, n_scenes=scenes))
    if outcome.problems == 0 and desk and not ctx.obj.json and _desk_opens():
        print(_demo_report(outcome.result))
        return _desk(str(outcome.result["workspace"]))
    return Outcome(
        outcome.result,
        outcome.problems,
        outcome.warnings,
        outcome.n_warnings,
        text=_demo_report(outcome.result),
    )


def _demo_report(result: Mapping[str, Any]) -> str:
    """The result as a person reads it: steps, figures per class, where things lie."""
    steps = console.table(
        ("step", "seconds", "what"), [[tr(s["step"]), s["seconds"], s["what"]] for s in result["steps"]]
    )
    labels = console.table(
        ("class", "drawn", "predicted", "precision", "recall", "average precision"),
        [
            [s["label"], s["truth"], s["predicted"], s["precision"], s["recall"], s["ap"]]
            for s in result["score"]
        ],
    )
    return "\n".join(
        [
            steps, "", tr("Against the exact labels, IoU 0.5, predictions of score {s} and more:", s=result["accept_score"]), labels, "",
            tr("Drawn scenes; demonstration; not for safety use."),
            tr("{seconds} s in all. Contact sheet: {path}", seconds=result["seconds"], path=result["contact_sheet"]),
            tr("Look at it: lamproom -w {path} gui", path=result["workspace"]),
        ]
    )  # fmt: skip


@verb(app, "gui", "Open the desk.")
def gui(ctx: typer.Context) -> Outcome:
    return _desk(ctx.obj.workspace)


def _desk_opens() -> bool:
    """There is a display, and Qt starts."""
    from app.services import display

    return display.has_display() and display.qt_fault() is None


def _desk(location: str | None) -> Outcome:
    from app.services import display

    if os.name == "nt":  # onnxruntime before Qt: the other order finds the wrong DLLs
        from app.services import prelabel  # noqa: F401
    if not display.has_display():
        raise Unavailable("there is no display", remedy="run it in a desktop session, or set DISPLAY")
    if (fault := display.qt_fault()) is not None:
        raise fault
    from app.desktop import main as desktop

    code = desktop.run(location)
    return Outcome({"closed": True}, problems=int(code != 0), text="")

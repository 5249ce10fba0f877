"""Verbs of how models are used: a preview before a model is kept, and recipes by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app import console
from app.console import Outcome
from app.verbs.intake import answered
from app.verbs.parts import arg, models_app, opened, opt, recipes_app, verb


@verb(
    models_app,
    "preview",
    "Draw what a model finds in ten pictures of a dataset; nothing is kept of the model or of what it finds.",
)
def models_preview(
    ctx: typer.Context,
    model: Annotated[str, arg("An .onnx file, or a model's name.", metavar="FILE|NAME")],
    dataset: Annotated[str, arg("The dataset's name.")],
    out: Annotated[Path, opt("A new folder for the pictures.", "--out")],
    score: Annotated[float | None, opt("Lowest score that is drawn (default: the model's).", "--score", min=0.0, max=1.0)] = None,
    recipe: Annotated[Path | None, opt("A TOML file that says more of how the model is used: classes, tiles, regions.", "--recipe")] = None,
    answer: Annotated[list[str] | None, opt("What the file cannot tell, as KEY=VALUE (labels=A,B,… or size=640x480); may be repeated.", "--answer")] = None,
) -> Outcome:  # fmt: skip
    from app.services import orders, preview

    with opened(ctx) as ws:
        using = orders.recipe_for(recipe)
        work = preview.run(ws, dataset, model, out, answers=answered(answer), recipe=using, score=score)
        return console.drive(ctx.obj, work)


@verb(recipes_app, "list", "The recipes of the workspace.")
def recipes_list(ctx: typer.Context) -> Outcome:
    from app.services import recipebook

    with opened(ctx) as ws:
        found = recipebook.listing(ws)
    rows = [{"name": k.name, "file": str(k.path), "fault": k.fault} for k in found]
    return Outcome(
        {"recipes": rows}, sum(bool(k.fault) for k in found),
        text=console.table(("name", "file", "fault"), [list(r.values()) for r in rows]),
    )  # fmt: skip


@verb(recipes_app, "show", "A recipe as TOML.")
def recipes_show(ctx: typer.Context, name: Annotated[str, arg("The recipe's name.")]) -> Outcome:
    from app.services import recipebook

    with opened(ctx) as ws:
        text, plain = recipebook.told(ws, name)
    return Outcome({"name": name, "recipe": plain}, text=text.rstrip())


@verb(recipes_app, "save", "Keep the recipe of a TOML file in the workspace under a name.")
def recipes_save(
    ctx: typer.Context,
    name: Annotated[str, arg("The recipe's name; one of that name is replaced.")],
    file: Annotated[Path, arg("The TOML file.")],
) -> Outcome:
    from app.services import recipebook

    with opened(ctx) as ws:
        return Outcome({"saved": str(recipebook.take(ws, name, file))})

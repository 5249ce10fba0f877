"""The verb export: versions and datasets for other tools."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app import console
from app.console import Outcome
from app.i18n import tr
from app.verbs.parts import (
    Audience,
    Override,
    Purpose,
    Where,
    app,
    arg,
    opened,
    opt,
    verb,
)


@verb(
    app,
    "export",
    "Write a version or a dataset for another tool; losses are listed first, and the gate is asked.",
)
def export(
    ctx: typer.Context,
    format: Annotated[str, arg("A format such as coco, yolo-segment or native.", metavar="FORMAT")],
    reference: Annotated[
        str, arg("A version DATASET@TAG, or a DATASET as it is now.", metavar="DATASET[@TAG]")
    ],
    out: Annotated[Path, arg("A new folder.")],
    pictures: Annotated[str, opt("link, copy or none.", "--pictures")] = "link",
    where: Where = "",
    classes: Annotated[
        list[str] | None, opt("Only objects of this class; pictures without one stay. May be repeated.", "--class")
    ] = None,
    splits: Annotated[
        list[str] | None, opt("Only this split (train, val or test); may be repeated.", "--split")
    ] = None,
    reviews: Annotated[list[str] | None, opt("Only this review state; may be repeated.", "--review")] = None,
    accepted_only: Annotated[bool, opt("Only pictures whose review was accepted.", "--accepted-only")] = False,
    predictions: Annotated[bool, opt("Also predictions that nobody accepted.", "--predictions")] = False,
    ratio: Annotated[str, opt("Put pictures without a split into train, val and test by these shares, such as 8:1:1.", "--ratio")] = "",
    stratified: Annotated[
        bool, opt("Every class in these shares, the rarest first.", "--stratified")
    ] = False,
    together: Annotated[
        list[str] | None,
        opt(
            "What stays together: near (duplicates, the default), camera (folder), place (source), time; may be repeated, none for nothing.",
            "--together",
        ),
    ] = None,
    seed: Annotated[int, opt("Another number, another draw.", "--seed", min=0)] = 0,
    crops: Annotated[
        float | None,
        opt("One picture per object, with this share of its longer side around it, such as 0.1.", "--crops", min=0.0, max=4.0, metavar="MARGIN"),
    ] = None,
    accept_losses: Annotated[
        bool, opt("Write although the format cannot hold everything.", "--accept-losses")
    ] = False,
    audience: Audience = "internal",
    purpose: Purpose = "",
    override: Override = "",
    dry_run: Annotated[bool, opt("Say what would be done, write nothing.", "--dry-run")] = False,
) -> Outcome:  # fmt: skip
    from annotation import splits as shares
    from app.services import export as service
    from app.services.splitting import Rule

    rule = None
    if ratio:
        groups = tuple(g for g in together or ("near",) if g != "none")
        rule = Rule(shares.ratio(ratio), "stratified" if stratified else "random", groups, seed)
    elif stratified or together:
        raise typer.BadParameter(tr("--stratified and --together need --ratio"))
    states = ("accepted",) if accepted_only else tuple(reviews or ())
    what = service.What(
        where, tuple(classes or ()), tuple(splits or ()), states, predictions or None, rule, crops
    )
    ask = service.Ask(audience, purpose, override)
    with opened(ctx) as ws:
        if dry_run:
            found = service.weigh(ws, reference, format, what, ask=ask)
            return Outcome(asdict(found), len(found.refusals))
        return console.drive(
            ctx.obj,
            service.run(
                ws, reference, format, out, what=what, ask=ask, accept_losses=accept_losses, pictures=pictures
            ),
        )

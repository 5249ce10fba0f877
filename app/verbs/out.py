"""Verbs on versions: freeze, verify, diff, export."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app import console
from app.console import Outcome
from app.verbs.parts import (
    Reference,
    app,
    arg,
    opened,
    opt,
    verb,
)


@verb(app, "freeze", "Seal a dataset as a version; takes the same moment at any size.")
def freeze(
    ctx: typer.Context,
    dataset: Annotated[str, arg("The dataset's name.", metavar="DATASET")],
    tag: Annotated[str, opt("The version's tag.", "--tag")],
    splits: Annotated[
        list[str] | None, opt("Only this split (train, val or test); may be repeated.", "--split")
    ] = None,
    reviews: Annotated[list[str] | None, opt("Only this review state; may be repeated.", "--review")] = None,
    predictions: Annotated[bool, opt("Also predictions that nobody accepted.", "--predictions")] = False,
) -> Outcome:
    from app.services import versions

    with opened(ctx) as ws:
        chosen = versions.Filter(predictions, tuple(splits or ()), tuple(reviews or ()))
        version = versions.freeze(ws, dataset, tag=tag, filter=chosen)
        return console.drive(ctx.obj, versions.build(ws, version))


@verb(app, "verify", "Check every byte of a version against its signed manifest.")
def verify(
    ctx: typer.Context,
    reference: Reference,
    hub: Annotated[
        str,
        opt(
            "Check the copy in this hub: a folder, which needs no workspace, or a name.",
            "--hub",
            metavar="HUB",
        ),
    ] = "",
    quick: Annotated[bool, opt("Check the manifest, not the media.", "--quick")] = False,
) -> Outcome:
    from app.services import versions

    if hub and Path(hub).expanduser().is_dir():
        return console.drive(ctx.obj, versions.verify(Path(hub).expanduser(), reference, bytes_too=not quick))
    with opened(ctx) as ws:
        if hub:
            from app.services import hubs

            with closing(hubs.open_hub(ws, hub)) as store:
                return console.drive(ctx.obj, versions.verify(store, reference, bytes_too=not quick))
        return console.drive(ctx.obj, versions.verify(ws, reference, bytes_too=not quick))


@verb(app, "diff", "What differs between two versions.")
def diff(ctx: typer.Context, a: Reference, b: Reference) -> Outcome:
    from app.services import versions

    with opened(ctx) as ws:
        return Outcome(asdict(versions.diff(ws, a, b)))


@verb(
    app,
    "export",
    "Write a version or a dataset for another tool; losses are listed first.",
)
def export(
    ctx: typer.Context,
    format: Annotated[str, arg("A format such as coco, yolo-segment or native.", metavar="FORMAT")],
    reference: Annotated[
        str, arg("A version DATASET@TAG, or a DATASET as it is now.", metavar="DATASET[@TAG]")
    ],
    out: Annotated[Path, arg("A new folder.")],
    pictures: Annotated[str, opt("link, copy or none.", "--pictures")] = "link",
    accept_losses: Annotated[
        bool, opt("Write although the format cannot hold everything.", "--accept-losses")
    ] = False,
) -> Outcome:
    from app.services import export as service

    with opened(ctx) as ws:
        return console.drive(
            ctx.obj, service.run(ws, reference, format, out, accept_losses=accept_losses, pictures=pictures)
        )

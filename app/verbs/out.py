"""The verb export: versions and datasets for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app import console
from app.console import Outcome
from app.verbs.parts import (
    app,
    arg,
    opened,
    opt,
    verb,
)


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

"""Verbs on annotation files of other tools, without a workspace: sniff, convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app import console, i18n
from app.console import Outcome
from app.i18n import tr
from app.verbs.parts import app, arg, opt, verb


@verb(app, "sniff", "Name the format of annotations, and why it is that one; needs no workspace.")
def sniff(path: Annotated[Path, arg("A file, folder or .zip.")]) -> Outcome:
    from app.services import convert as service

    found = service.sniff(path)
    text = tr("{format}: {why}", format=found.name, why=i18n.tr_sentence(found.why))
    return Outcome({"path": str(path), "format": found.name, "why": found.why}, text=text)


@verb(
    app,
    "convert",
    "Write annotations of one tool in another's format; needs no workspace, losses are listed first.",
)
def convert(
    ctx: typer.Context,
    source: Annotated[Path, arg("A file, folder or .zip; its format is recognised.", metavar="IN")],
    format: Annotated[str, arg("A format such as coco, yolo-segment or native.", metavar="FORMAT")],
    out: Annotated[Path, arg("A new folder.")],
    accept_losses: Annotated[
        bool, opt("Write although the format cannot hold everything.", "--accept-losses")
    ] = False,
    schema: Annotated[
        str | None,
        opt(
            "A label schema: its names and synonyms decide; without, the file's classes in their order.",
            "--schema",
        ),
    ] = None,
    strict: Annotated[bool, opt("Refuse classes that the schema does not know.", "--strict")] = False,
    pictures: Annotated[str, opt("link, copy or none (the default).", "--pictures")] = "none",
    folder: Annotated[
        Path | None, opt("The folder of the pictures; by default where the annotations lie.", "--from")
    ] = None,
    source_format: Annotated[
        str, opt("The format of the source, where it is not recognised rightly.", "--as")
    ] = "",
) -> Outcome:
    from app.services import convert as service

    work = service.run(
        source, format, out, source_format=source_format, schema=schema, strict=strict, accept_losses=accept_losses,
        pictures=pictures, folder=folder,
    )  # fmt: skip
    return console.drive(ctx.obj, work)

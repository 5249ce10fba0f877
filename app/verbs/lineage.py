"""The verb lineage: where a thing comes from and what became of it, as a tree, JSON, PROV-JSON or OpenLineage events."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from annotation.errors import InvalidInput
from app.console import Outcome
from app.i18n import tr
from app.verbs.parts import app, arg, opened, opt, verb


@verb(
    app,
    "lineage",
    "Where a thing comes from, or what became of it: pictures, objects, datasets, versions, models, packages.",
)
def lineage(
    ctx: typer.Context,
    what: Annotated[
        str,
        arg(
            "A version DATASET@TAG, a picture by number, path or digest, an object's id, a dataset, a model, or a package by its "
            "root; `model:NAME` and the like where a name could be several."
        ),
    ],
    back: Annotated[bool, opt("What it comes from; so by default.", "--back")] = False,
    forward: Annotated[bool, opt("What became of it.", "--forward")] = False,
    prov: Annotated[Path | None, opt("Write it as W3C PROV-JSON to this new file.", "--prov")] = None,
    openlineage: Annotated[
        Path | None, opt("Write it as OpenLineage events, one a line, to this new file.", "--openlineage")
    ] = None,
    names: Annotated[bool, opt("In these files also people's names.", "--names")] = False,
) -> Outcome:
    from app.services import lineage as service
    from app.services import lineagetext
    from app.services import openlineage as events

    if back and forward:
        raise InvalidInput("a lineage goes one way at a time", remedy="--back or --forward")
    for path in (prov, openlineage):
        if path is not None and path.exists():
            raise InvalidInput("there is such a file already", where=str(path), remedy="name a new one")
    with opened(ctx) as ws:
        found = service.trace(ws, what, "forward" if forward else "back")
        written = []
        if prov is not None:
            service.save(prov, service.prov(ws, found, names=names))
            written.append(str(prov))
        if openlineage is not None:
            service.save(openlineage, events.of_lineage(ws, found, names=names))
            written.append(str(openlineage))
    said = lineagetext.text(found)
    if written:
        said += "\n\n" + tr("written: {files}", files=", ".join(written))
    return Outcome({**found.to_json(), **({"written": written} if written else {})}, text=said)

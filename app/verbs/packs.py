"""Verbs of model packs: send a model out as one signed file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.console import Outcome
from app.verbs.parts import arg, models_app, opened, opt, verb


@verb(
    models_app,
    "export",
    "Write a model as one signed file (.lrmodel) that another workspace can add and test by itself.",
)
def models_export(
    ctx: typer.Context,
    name: Annotated[str, arg("The model's name.")],
    file: Annotated[Path, arg("The file to write.")],
    picture: Annotated[Path | None, opt("Test picture, sent along without its metadata (default: a drawn scene).", "--picture")] = None,
    licence: Annotated[Path | None, opt("Text file with the licence.", "--licence")] = None,
    licence_name: Annotated[str, opt("What the licence is called (default: as the model says).", "--licence-name")] = "",
    recipe: Annotated[Path | None, opt("A TOML file with thresholds, tiles and the mapping of its classes to labels.", "--recipe")] = None,
    schema: Annotated[str, opt("Code of the label schema that the mapping speaks of.", "--schema")] = "",
) -> Outcome:  # fmt: skip
    from app.services import keys, packs

    with opened(ctx) as ws:
        manifest = packs.export(
            ws, name, file, picture=picture, licence=licence, licence_name=licence_name, recipe=recipe, schema=schema
        )  # fmt: skip
        return Outcome(
            {
                "name": manifest.name, "kind": manifest.kind, "sha256": manifest.sha256, "bytes": manifest.size_bytes,
                "licence": manifest.licence, "tested": len(manifest.expected.objects) or len(manifest.expected.vector),
                "key": keys.fingerprint(ws),
            }
        )  # fmt: skip

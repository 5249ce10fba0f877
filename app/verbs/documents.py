"""The verb report: quality report and data card of a version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from annotation.errors import InvalidInput
from app import console
from app.console import Outcome
from app.verbs.parts import Reference, app, opened, opt, verb


@verb(
    app,
    "report",
    "Quality report and data card of a version, in Chinese and English, as pages to read, send and print.",
)
def report(
    ctx: typer.Context,
    reference: Reference,
    out: Annotated[Path, opt("The folder to write them into.", "--out")],
    pdf: Annotated[bool, opt("Also as PDF.", "--pdf")] = False,
    lang: Annotated[str, opt("zh, en or both; both unless said.", "--lang")] = "both",
    names: Annotated[bool, opt("With people's names.", "--names")] = False,
    about: Annotated[
        Path | None,
        opt(
            "A TOML file of what people say of the dataset: purpose, licence, citation …; kept with it.",
            "--about",
        ),
    ] = None,
) -> Outcome:
    from app.services import documents

    if lang not in ("zh", "en", "both"):
        raise InvalidInput(f"there is no language {lang!r}", remedy="zh, en or both")
    languages = ("zh", "en") if lang == "both" else (lang,)
    with opened(ctx) as ws:
        done = console.drive(
            ctx.obj, documents.report(ws, reference, out, languages=languages, names=names, about=about)
        )
    written = done.result.get("files")
    if pdf and isinstance(written, list):
        from app.desktop import printing

        made = printing.beside([out / f for f in written if f.endswith(".html")])
        return Outcome(
            {**done.result, "files": sorted([*written, *(p.name for p in made)])},
            done.problems,
            done.warnings,
            done.n_warnings,
        )
    return done

"""Verbs on keys: how they are kept, the public one to hand on, whose are trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from annotation.errors import InvalidInput
from app import console
from app.console import Outcome
from app.i18n import tr
from app.verbs.parts import app, arg, group, opened, opt, verb, when

keys_app = group("Keys: the workspace's own, how it is kept, and whose are trusted.")
app.add_typer(keys_app, name="keys")

HOW_KEPT = {
    "os": "in the system's key store",
    "passphrase": "sealed with a passphrase",
    "none": "in the clear, by choice",
    None: "nobody has chosen yet",
}


@verb(
    keys_app,
    "show",
    "The workspace's key, how keys are kept, the names of secrets, and whose keys are trusted.",
)
def show(ctx: typer.Context) -> Outcome:
    from app.services import keys

    with opened(ctx) as ws:
        shown = keys.show(ws)
    rows = [{"key": t.fingerprint, "name": t.name, "since": when(t.since_ms)} for t in shown.trusted]
    result = {
        "key": shown.fingerprint or None, "public": shown.kept.public or None, "kept": shown.kept.method,
        "secrets": list(shown.secrets), "trusted": rows,
    }  # fmt: skip
    said = [
        f"{tr('key')}: {shown.fingerprint or tr('made with the first version')}",
        f"{tr('keys kept')}: {tr(HOW_KEPT[shown.kept.method])}",
    ]
    if shown.kept.old:
        said.append(tr("the key of an earlier version still lies in the clear; the next use seals it"))
    if shown.secrets:
        said.append(f"{tr('secrets')}: {', '.join(shown.secrets)}")
    table = console.table(
        ("trusted key", "name", "since"), [[t.fingerprint, t.name, when(t.since_ms)] for t in shown.trusted]
    )
    return Outcome(result, text="\n".join([*said, "", table] if rows else said))


@verb(
    keys_app, "protect", "Choose how keys are kept: the system's store where there is one, else a passphrase."
)
def protect(
    ctx: typer.Context,
    os: Annotated[bool, opt("In the system's key store.", "--os")] = False,
    passphrase: Annotated[bool, opt("Sealed with a new passphrase (asked for, or LAMPROOM_PASSPHRASE, LAMPROOM_PASSPHRASE_FILE).", "--passphrase")] = False,
    none: Annotated[bool, opt("In the clear: whoever reads the workspace can sign in its name.", "--none")] = False,
    fresh: Annotated[bool, opt("Begin with a new key; the old one and all secrets are forgotten.", "--fresh")] = False,
) -> Outcome:  # fmt: skip
    from app.services import keys

    if os + passphrase + none > 1:
        raise InvalidInput("only one of --os, --passphrase and --none")
    method: keys.Method | None = "os" if os else "passphrase" if passphrase else "none" if none else None
    with opened(ctx) as ws:
        kept = keys.protect(ws, method, fresh=fresh)
        return Outcome(
            {"key": keys.fingerprint(ws), "kept": kept.method},
            text=f"{keys.fingerprint(ws)}\n{tr(HOW_KEPT[kept.method])}",
        )


@verb(keys_app, "export", "Write the public key (PEM) for others to trust; prints its fingerprint.")
def export(ctx: typer.Context, file: Annotated[Path, arg("The file to write.")]) -> Outcome:
    from app.services import keys

    with opened(ctx) as ws:
        return Outcome({"key": keys.export(ws, file), "file": str(file)})


@verb(keys_app, "trust", "Trust a key: packs, packages and receipts that it signed are taken.")
def trust(
    ctx: typer.Context,
    key: Annotated[
        str, arg("A fingerprint, as its owner told it, or a PEM file.", metavar="FINGERPRINT|FILE")
    ],
    name: Annotated[str, opt("What we call it.", "--name")] = "",
) -> Outcome:
    from app.services import keys

    with opened(ctx) as ws:
        one = keys.trust(ws, Path(key) if Path(key).is_file() else key, name=name)
        return Outcome({"key": one.fingerprint, "name": one.name or None})


@verb(keys_app, "forget", "Trust a key no longer; what came under it stays.")
def forget(ctx: typer.Context, key: Annotated[str, arg("Its fingerprint or name.")]) -> Outcome:
    from app.services import keys

    with opened(ctx) as ws:
        return Outcome({"forgotten": keys.forget(ws, key).fingerprint})

"""Verbs on the way between houses: receive a version, receipts, shuttle disks."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from annotation.errors import InvalidInput
from app import console
from app.console import Outcome
from app.i18n import tr
from app.verbs.parts import (
    Audience,
    Override,
    Purpose,
    Reference,
    app,
    arg,
    opened,
    opt,
    shuttle_app,
    verb,
    when,
)

Disks = Annotated[list[Path], arg("Folders where the disks are mounted.", metavar="DISK…")]
Hub = Annotated[str | None, opt("A hub by name, or a hub folder.", "--hub")]
OnDisks = Annotated[list[Path] | None, opt("A shuttle disk; may be repeated.", "--disk")]


@verb(
    app,
    "receive",
    "Take in a published version from a hub or from shuttle disks: proved, trusted, the same root as at its publisher.",
)
def receive(
    ctx: typer.Context,
    reference: Reference,
    hub: Hub = None,
    disk: OnDisks = None,
    trust: Annotated[
        str, opt("The fingerprint of the publisher's key, as the publisher told it.", "--trust")
    ] = "",
) -> Outcome:
    from app.services import receive as service

    with opened(ctx) as ws:
        source = service.source(hub, disk or [])
        with closing(service.opened(ws, source)) as store:
            return console.drive(ctx.obj, service.run(ws, store, reference, trust=trust, source=source))


@verb(
    app,
    "receipts",
    "The receipts of a version; with --hub or --disk those that receivers left there are taken in first.",
)
def receipts(
    ctx: typer.Context,
    reference: Reference,
    hub: Hub = None,
    disk: OnDisks = None,
    take: Annotated[Path | None, opt("A receipt that came as a file, its .sig beside it.", "--take")] = None,
) -> Outcome:
    from app.services import receipts as kept
    from app.services import receive as service
    from app.services.keys import mark_of

    problems = 0
    with opened(ctx) as ws:
        if take is not None:
            kept.take(ws, take)
        if hub is not None or disk:
            with closing(service.opened(ws, service.source(hub, disk or []))) as store:
                problems = console.drive(ctx.obj, kept.collect(ws, store, reference)).problems
        found = kept.kept(ws, reference)
    rows = [
        {"at": when(r.at_ms), "receiver": r.receiver, "person": r.person, "where": place, "assets": r.assets,
         "annotations": r.objects, "bytes": r.size, "root": r.root, "key": mark_of(r.public)}
        for place, r in found
    ]  # fmt: skip
    head = ("time", "receiver", "who", "where", "assets", "key")
    shown = [[r["at"], r["receiver"], r["person"], r["where"], r["assets"], r["key"]] for r in rows]
    return Outcome({"version": reference, "receipts": rows}, problems, text=console.table(head, shown))


@verb(
    shuttle_app,
    "pack",
    "Write a version to disks that are carried, each a signed BagIt bag; full disks may leave at once.",
)
def pack(
    ctx: typer.Context,
    reference: Reference,
    disks: Disks,
    seal_to: Annotated[str, opt("Seal every file to the hub's age recipient (age1…).", "--seal-to")] = "",
    since: Annotated[
        str, opt("A version that the other side has: what it holds stays at home.", "--since")
    ] = "",
    audience: Audience = "partners",
    purpose: Purpose = "training",
    override: Override = "",
    names: Annotated[bool, opt("People by name in the documents.", "--names")] = False,
) -> Outcome:
    from app.services import gate, shuttle

    ask = gate.Ask(audience, purpose, override)
    with opened(ctx) as ws:
        work = shuttle.pack(ws, reference, disks, seal_to=seal_to, since=since, ask=ask, names=names)
        return console.drive(ctx.obj, work)


@verb(
    shuttle_app,
    "check",
    "Read every byte of disks and compare it with what was packed; needs no workspace and no key.",
)
def check(ctx: typer.Context, disks: Disks) -> Outcome:
    from app.services import shuttle

    return console.drive(ctx.obj, shuttle.check(disks))


@verb(
    shuttle_app,
    "unpack",
    "Bring disks into a hub folder, in any order; the version is published there when all is there.",
)
def unpack(
    ctx: typer.Context,
    disks: Disks,
    into: Annotated[Path, opt("The hub folder.", "--into")],
    identity: Annotated[
        Path | None,
        opt("A file with the age identity that opens sealed disks (else the workspace's).", "--identity"),
    ] = None,
) -> Outcome:
    from app.services import shuttle

    text = ""
    if identity is not None:
        try:
            lines = identity.read_text(encoding="utf-8")[:65536].splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput("the identity cannot be read", where=str(identity)) from error
        text = next((line.strip() for line in lines if line.startswith("AGE-SECRET-KEY-")), "")
        if not text:
            raise InvalidInput("there is no age identity in the file", where=str(identity))
    if ctx.obj.workspace and not text:
        with opened(ctx) as ws:
            return console.drive(ctx.obj, shuttle.unpack(disks, into, ws=ws))
    return console.drive(ctx.obj, shuttle.unpack(disks, into, identity=text))


@verb(shuttle_app, "recipient", "What others seal to so that this workspace alone can open it.")
def recipient(ctx: typer.Context) -> Outcome:
    from app.services import shuttle

    with opened(ctx) as ws:
        found = shuttle.recipient(ws)
    return Outcome({"recipient": found}, text=f"{tr('recipient')}: {found}")

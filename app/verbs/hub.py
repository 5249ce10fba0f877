"""Verbs on hubs: publish there; add, list, show, remove and probe them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotation.errors import InvalidInput
from app import console
from app.console import Outcome
from app.i18n import tr
from app.verbs.parts import Audience, Override, Purpose, Reference, app, arg, group, opened, opt, verb, when

if TYPE_CHECKING:
    from app.services.publish import Estimate

hub_app = group("Hubs: where versions are sent; folders and S3-compatible stores by name.")
app.add_typer(hub_app, name="hub")

Name = Annotated[str, arg("The hub's name.", metavar="NAME")]
Where = Annotated[str, opt("A hub's name, or a folder.", "--hub", metavar="HUB")]
Limit = Annotated[str, opt("Bytes a second at most, for example 500k or 10M.", "--limit")]
Window = Annotated[
    str, opt("Only in these hours of the day, as 22:00-06:00; outside them it pauses.", "--window")
]
SECRET = "LAMPROOM_HUB_SECRET"


@verb(app, "publish", "Send a version to a hub: only what is missing there, the root last.")
def publish(
    ctx: typer.Context,
    reference: Reference,
    hub: Where,
    limit: Limit = "",
    window: Window = "",
    pack: Annotated[
        bool | None,
        opt("Send small files together (default: when the line is long).", "--pack/--no-pack"),
    ] = None,
    estimate: Annotated[bool, opt("Only say what would be sent; sends nothing.", "--estimate")] = False,
    later: Annotated[bool, opt("Only queue it; `lamproom jobs run` does it.", "--later")] = False,
    priority: Annotated[
        int, opt("Of jobs that wait, the highest goes first (default: 0).", "--priority", min=-1000, max=1000)
    ] = 0,
    audience: Audience = "partners",
    purpose: Purpose = "training",
    override: Override = "",
    names: Annotated[bool, opt("People's names in its documents, not only how many they were.", "--names")] = False,
) -> Outcome:  # fmt: skip
    from app.services import hubs
    from app.services import publish as service
    from app.services.gate import Ask

    with opened(ctx) as ws:
        if estimate:
            found = service.estimate(ws, reference, hub)
            facts = {k: v for k, v in asdict(found).items() if v is not None}
            return Outcome(facts, text=_estimated(found))
        way = service.Way(hubs.rate(limit), window, pack, priority, names)
        ask = Ask(audience, purpose, override)
        return console.drive(ctx.obj, service.run(ws, reference, hub, way=way, ask=ask, later=later))


def _estimated(found: Estimate) -> str:
    size, whole = (f"{n / 1e6:.1f} MB" for n in (found.size, found.whole))
    parts = [
        tr("{n} objects, {size} to send; the version holds {all}", n=found.objects, size=size, all=whole)
    ]
    if found.seconds:
        parts.append(
            tr(
                "about {time} at {rate} a second",
                time=_long(found.seconds),
                rate=f"{found.rate / 1e6:.1f} MB",
            )
        )
    if found.cost is not None and found.cost >= 0.01:
        parts.append(tr("cost {cost}", cost=f"{found.cost:.2f} {found.currency}".strip()))
    return "\n".join(parts)


def _long(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        return tr("{n} s", n=max(1, round(seconds)))
    return (
        tr("{n} min", n=minutes)
        if minutes < 90
        else tr("{h} h {m} min", h=minutes // 60, m=f"{minutes % 60:02d}")
    )


def _facts(told: Mapping[str, Any]) -> str:
    """A hub (hubs.to_json) as a person reads it."""
    notes = dict(told.get("notes", {}))
    currency = notes.pop("currency", "")
    for key in [k for k in notes if k.endswith("_micro")]:
        notes[key.removesuffix("_micro")] = f"{notes.pop(key) / 1e6:g} {currency}".strip()
    said = {k: v for k, v in told.items() if k not in ("notes", "endpoint", "bucket")}
    return console.pairs({**said, "kind": tr(told["kind"]), **notes})


@verb(hub_app, "add", "Name a hub: --folder DIR, or --s3 ADDRESS with --bucket and --access-key.")
def hub_add(
    ctx: typer.Context,
    name: Name,
    folder: Annotated[Path | None, opt("A folder, for example on a shared disk.", "--folder", metavar="DIR")] = None,
    s3: Annotated[str, opt("The address of an S3-compatible server, as https://s3.example.org.", "--s3", metavar="ADDRESS")] = "",
    bucket: Annotated[str, opt("With --s3: the bucket.", "--bucket")] = "",
    prefix: Annotated[str, opt("With --s3: a folder within the bucket.", "--prefix")] = "",
    region: Annotated[str, opt("With --s3: the region (default: us-east-1).", "--region")] = "us-east-1",
    virtual: Annotated[bool, opt("With --s3: the bucket is part of the host's name.", "--virtual")] = False,
    ca: Annotated[str, opt("With --s3: a PEM file of the authority that signed the server's certificate.", "--ca", metavar="FILE")] = "",
    access_key: Annotated[str, opt("With --s3: the access key; its secret is asked for, or read from LAMPROOM_HUB_SECRET.", "--access-key")] = "",
    limit: Limit = "",
    window: Window = "",
) -> Outcome:  # fmt: skip
    from app.services import hubs

    if (folder is None) == (not s3):
        raise typer.BadParameter(tr("a hub is either --folder or --s3"))
    with opened(ctx) as ws:
        if folder is not None:
            made = hubs.add_folder(ws, name, folder, limit=limit, window=window)
        else:
            made = hubs.add_s3(
                ws, name, endpoint=s3, bucket=bucket, prefix=prefix, region=region, virtual=virtual, ca=ca,
                access=access_key, secret=_secret(), limit=limit, window=window,
            )  # fmt: skip
    facts = hubs.to_json(made)
    return Outcome(facts, text=_facts(facts))


def _secret() -> str:
    """The secret half of a key pair: from the environment, else asked for without an echo; never on the command line."""
    if given := os.environ.get(SECRET):
        return given
    if not sys.stdin.isatty():
        raise InvalidInput(
            "the secret key is not given", remedy=f"put it into {SECRET}, or call this at a terminal"
        )
    return getpass(tr("Secret key: "))


@verb(hub_app, "list", "The hubs of this workspace.")
def hub_list(ctx: typer.Context) -> Outcome:
    from app.services import hubs

    with opened(ctx) as ws:
        found = hubs.listing(ws)
    rows = [[h.name, h.kind, hubs.place(h), when(h.added_ms)] for h in found]
    return Outcome(
        {"hubs": [{**hubs.to_json(h), "added": when(h.added_ms)} for h in found]},
        text=console.table(("hub", "kind", "where", "added"), rows),
    )


@verb(hub_app, "show", "A hub and what is published there.")
def hub_show(ctx: typer.Context, name: Annotated[str, arg("A hub's name, or a folder.", metavar="HUB")]) -> Outcome:  # fmt: skip
    from app.services import hubs

    with opened(ctx) as ws:
        hub = hubs.hub_of(ws, name)
        with closing(hubs.opened(ws, hub)) as store:
            refs = hubs.versions_in(store)
    facts = hubs.to_json(hub)
    return Outcome({**facts, "versions": refs}, text="\n".join([_facts(facts), *refs]))


@verb(hub_app, "remove", "Forget a hub and its secret; what was published there stays.")
def hub_remove(ctx: typer.Context, name: Name) -> Outcome:
    from app.services import hubs

    with opened(ctx) as ws:
        return Outcome({"removed": hubs.remove(ws, name).name})


@verb(hub_app, "probe", "Try with tiny objects what a hub can do; they are taken away again.")
def hub_probe(ctx: typer.Context, name: Annotated[str, arg("A hub's name, or a folder.", metavar="HUB")]) -> Outcome:  # fmt: skip
    from app.services import hubs

    with opened(ctx) as ws:
        found = hubs.probe(ws, name)
    versions = [f"{d}@{t}" for d, t in found.versions]
    lines = [found.where, *(f"· {s}" for s in found.sentences)]
    if found.unfinished:
        lines.append("· " + tr("{n} uploads were begun and not ended.", n=found.unfinished))
    if versions:
        lines.append("· " + tr("Published there: {names}", names=", ".join(versions)))
    return Outcome(hubs.probed_json(found), text="\n".join(lines))


@verb(hub_app, "note", "Keep what you know of a hub for estimates: prices, capacity, latency.")
def note(
    ctx: typer.Context,
    name: Name,
    price_gb: Annotated[float | None, opt("Price of a GB sent.", "--price-gb", min=0.0)] = None,
    price_hour: Annotated[
        float | None, opt("Price of an hour of one device.", "--price-hour", min=0.0)
    ] = None,
    currency: Annotated[str | None, opt("Of both prices.", "--currency")] = None,
    capacity: Annotated[
        str | None, opt("In your words, for example 8 x A800, full by day.", "--capacity")
    ] = None,
    latency_ms: Annotated[int | None, opt("Milliseconds of a round trip.", "--latency-ms", min=0)] = None,
) -> Outcome:
    from app.services import hubs

    with opened(ctx) as ws:
        found = hubs.note(
            ws,
            name,
            price_gb=price_gb,
            price_hour=price_hour,
            currency=currency,
            capacity=capacity,
            latency_ms=latency_ms,
        )
    facts = hubs.to_json(found)
    return Outcome(facts, text=_facts(facts))

"""Verbs on versions: freeze, verify, diff, checkout, rebuild, gc."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from app import console
from app.console import Outcome
from app.i18n import tr
from app.verbs.parts import Audience, Override, Purpose, Reference, app, arg, opened, opt, verb, when

Hub = Annotated[
    str, opt("From this hub: a folder, which needs no workspace, or a name.", "--hub", metavar="HUB")
]


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
    from app.services import keys, versions

    with opened(ctx) as ws:
        chosen = versions.Filter(predictions, tuple(splits or ()), tuple(reviews or ()))
        keys.fingerprint(ws)  # a version that could not be signed is not pinned either
        version = versions.freeze(ws, dataset, tag=tag, filter=chosen)
        return console.drive(ctx.obj, versions.build(ws, version))


@contextmanager
def hub_of(ctx: typer.Context, name: str) -> Iterator[Any]:
    """A hub folder, which needs no workspace, or the store of a named hub."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        yield folder
        return
    from app.services import hubs

    with opened(ctx) as ws, closing(hubs.open_hub(ws, name)) as store:
        yield store


@verb(
    app,
    "verify",
    "Check every byte of a version against its signed manifest; names each file and the bytes that are wrong.",
)
def verify(
    ctx: typer.Context,
    reference: Reference,
    hub: Annotated[
        str,
        opt("Check the copy in this hub: a folder, which needs no workspace, or a name.", "--hub", metavar="HUB"),
    ] = "",
    against: Annotated[
        str, opt("A second copy that tells which bytes are wrong: a hub folder, or a named hub.", "--against", metavar="HUB")
    ] = "",
    quick: Annotated[bool, opt("Check the manifest, not the media.", "--quick")] = False,
) -> Outcome:  # fmt: skip
    from app.services import versions

    with ExitStack() as stack:
        other: Any = stack.enter_context(hub_of(ctx, against)) if against else None
        where: Any = stack.enter_context(hub_of(ctx, hub) if hub else opened(ctx))
        if hub and other is None and ctx.obj.workspace:  # the sources are a second copy
            other = stack.enter_context(opened(ctx))
        return console.drive(ctx.obj, versions.verify(where, reference, bytes_too=not quick, against=other))


@verb(
    app,
    "diff",
    "What differs between two versions: classes, then pictures, then objects moved, relabelled and reshaped.",
)
def diff(
    ctx: typer.Context,
    a: Reference,
    b: Reference,
    every: Annotated[bool, opt("List every picture that differs, not the first hundred.", "--every")] = False,
    totals: Annotated[bool, opt("Also how many objects each class has in either version.", "--totals")] = False,
) -> Outcome:  # fmt: skip
    from app.services import versions

    with opened(ctx) as ws:
        found = versions.diff(ws, a, b)
        listed = list(versions.pictures(ws, a, b)) if every else list(found.examples)
        counts = (versions.totals(ws, a), versions.totals(ws, b)) if totals else None
    result = asdict(found)
    result["pictures"] = [asdict(p) for p in listed]
    result.pop("examples")
    if counts:
        result["totals"] = {
            code: [n.get(code, 0) for n in counts] for code in sorted({*counts[0], *counts[1]})
        }
    return Outcome(result, text=_diff_text(found, listed, result.get("totals")))


def _diff_text(found: Any, listed: list[Any], totals: Any) -> str:
    if found.same:
        return tr("{a} and {b} hold the same.", a=found.a, b=found.b)
    how = ", ".join(f"{n} {tr(word)}" for word, n in found.how.items())
    lines = [
        tr("pictures: {added} added, {removed} removed, {changed} changed",
           added=found.assets_added, removed=found.assets_removed, changed=found.assets_changed),
        tr("objects: {added} added, {removed} removed, {changed} changed",
           added=found.annotations_added, removed=found.annotations_removed, changed=found.annotations_changed)
        + (f" ({how})" if how else ""),
        "",
    ]  # fmt: skip
    head = ["class", "difference", "added", "removed", "moved", "reshaped", "details", "gained", "lost"]
    rows = [
        [code, f"{n.change:+d}" if n.change else "0", n.added, n.removed, n.moved, n.reshaped, n.details, n.gained, n.lost]
        for code, n in found.by_label.items()
    ]  # fmt: skip
    if rows:
        lines += [console.table(head, rows), ""]
    if totals:
        lines += [console.table(("class", "before", "after"), [[c, *n] for c, n in totals.items()]), ""]
    marks = {"added": "+", "removed": "-", "changed": "~"}
    shown = [
        [marks[p.kind], p.key, p.added, p.removed, p.changed,
         ", ".join(tr(w) for w in (*(("other bytes",) if p.media else ()), *(("other split",) if p.split else ())))]
        for p in listed
    ]  # fmt: skip
    lines.append(console.table(("", "picture", "added", "removed", "changed", "note"), shown))
    more = found.assets_added + found.assets_removed + found.assets_changed - len(listed)
    if more > 0:
        lines.append(tr("… and {n} more", n=more))
    return "\n".join(lines)


@verb(
    app,
    "checkout",
    "Take a version out: pictures at their keys, annotations, schema, root and signatures, every byte proved.",
)
def checkout(
    ctx: typer.Context,
    reference: Reference,
    out: Annotated[Path, arg("A new folder.")],
    hub: Hub = "",
    pictures: Annotated[str, opt("copy, link or none.", "--pictures")] = "copy",
    audience: Audience = "internal",
    purpose: Purpose = "",
    override: Override = "",
) -> Outcome:
    from app.services import gate, versions

    ask = gate.Ask(audience, purpose, override)
    with ExitStack() as stack:
        where: Any = stack.enter_context(hub_of(ctx, hub) if hub else opened(ctx))
        work = versions.checkout(where, reference, out, pictures=pictures, ask=ask)  # type: ignore[arg-type]
        return console.drive(ctx.obj, work)


@verb(
    app,
    "rebuild",
    "Make a version's manifest anew from sources and record alone, every byte hashed; names what differs.",
)
def rebuild(ctx: typer.Context, reference: Reference) -> Outcome:
    from app.services import versions

    with opened(ctx) as ws:
        return console.drive(ctx.obj, versions.rebuild(ws, reference))


@verb(app, "gc", "Find what nothing reaches in the workspace or a hub, and drop it with --delete.")
def gc(
    ctx: typer.Context,
    delete: Annotated[bool, opt("Drop it; without, only look.", "--delete")] = False,
    hub: Annotated[
        str, opt("In this hub: a folder, which needs no workspace, or a name.", "--hub", metavar="HUB")
    ] = "",
    alone: Annotated[bool, opt("Nobody publishes to that hub now (a server cannot tell).", "--alone")] = False,
) -> Outcome:  # fmt: skip
    from app.services import versions

    if hub:
        with hub_of(ctx, hub) as store:
            outcome = console.drive(ctx.obj, versions.gc_hub(store, delete=delete, alone=alone))
    else:
        with opened(ctx) as ws:
            outcome = console.drive(ctx.obj, versions.gc(ws, delete=delete))
    said = dict(outcome.result)
    text = tr(
        "{n} objects ({size} bytes) that nothing reaches, {left} left over by killed work; {kept} stay.",
        n=said["objects"], size=said["bytes"], left=said["leftovers"], kept=said["kept"],
    )  # fmt: skip
    text += "\n" + (tr("All of it was dropped.") if delete else tr("Nothing was dropped; --delete does it."))
    return Outcome(said, outcome.problems, outcome.warnings, outcome.n_warnings, text=text)


def log_of(ctx: typer.Context, dataset: str) -> Outcome:
    """The versions of a dataset: for the verb `log`."""
    from app.services import versions

    with opened(ctx) as ws:
        lines = versions.log(ws, dataset)
    rows = [
        {
            "version": x.version.ref, "parent": x.parent or None, "who": x.version.agent, "at": when(x.version.at_ms),
            "revision": x.version.rev, "schema": f"{x.version.schema_code}@{x.version.schema_number}", "root": x.version.root,
            "key": x.version.public, "assets": x.counts.assets if x.counts else None,
            "objects": x.counts.objects if x.counts else None, "bytes": x.counts.size if x.counts else None,
            "since_parent": None if x.since is None else {k: v for k, v in asdict(x.since).items() if k not in ("a", "b", "examples")},
            "published": [{"hub": s.hub, "who": s.agent or None, "at": when(s.at_ms), "receipt": s.receipt} for s in x.sent],
        }
        for x in lines
    ]  # fmt: skip
    shown = [
        [x.version.tag, when(x.version.at_ms), x.version.agent, x.counts.assets if x.counts else None,
         x.counts.objects if x.counts else None, since_text(x.since), ", ".join(dict.fromkeys(s.hub for s in x.sent)),
         (x.version.root or tr("not built yet"))[:12]]
        for x in lines
    ]  # fmt: skip
    head = ("version", "time", "who", "pictures", "objects", "since the one before", "published", "root")
    return Outcome({"dataset": dataset, "versions": rows}, text=console.table(head, shown))


def since_text(since: Any) -> str:
    """What changed since the version before, in a few words."""
    if since is None:
        return ""
    if since.same:
        return tr("the same")
    parts = [
        f"{sign}{n} {tr(word)}"
        for sign, n, word in (
            ("+", since.assets_added, "pictures"), ("−", since.assets_removed, "pictures"), ("+", since.annotations_added, "objects"),
            ("−", since.annotations_removed, "objects"), ("~", since.annotations_changed, "objects"),
        )
        if n
    ]  # fmt: skip
    return " ".join(parts) or f"~{since.assets_changed} {tr('pictures')}"

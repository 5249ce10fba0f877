"""Verbs on what may leave: policy tags, redaction, the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from annotation.errors import InvalidInput
from app import console
from app.console import Outcome
from app.i18n import tr
from app.verbs.parts import Where, app, arg, audit_app, opened, opt, policy_app, query_of, verb, when

if TYPE_CHECKING:
    from app.services.gate import Tag


@verb(
    policy_app,
    "set",
    "Tag a source, a picture or a version; what it had is replaced. Without options the tag is taken away.",
)
def policy_set(
    ctx: typer.Context,
    scope: Annotated[
        str, arg("source, asset, version, or pictures (all that --where meets).", metavar="SCOPE")
    ],
    name: Annotated[str, arg("A source's code, a picture, DATASET@TAG, or with pictures a DATASET.")],
    visibility: Annotated[
        str, opt("Who may see it: public, partners, internal or closed (never leaves).", "--visibility")
    ] = "public",
    purposes: Annotated[
        list[str] | None,
        opt(
            "What for: training, evaluation, research or display; may be repeated (none = anything).",
            "--purpose",
        ),
    ] = None,
    expires: Annotated[str | None, opt("The day it may no longer leave, as 2027-06-30.", "--expires")] = None,
    unpublished: Annotated[
        bool, opt("Where it was taken is not to be known: only redacted copies leave.", "--unpublished-place")
    ] = False,
    note: Annotated[str, opt("Why.", "--note")] = "",
    where: Where = "",
) -> Outcome:
    from app.services import gate

    tag = gate.Tag(
        visibility,
        tuple(purposes or ()),
        gate.day_begins(expires or ""),
        "unpublished" if unpublished else "",
        note,
    )
    with opened(ctx) as ws:
        if scope == "pictures":
            n = gate.set_pictures(ws, query_of(ws, name, where=where), tag)
        else:
            if where:
                raise InvalidInput("--where needs the scope pictures", where=where)
            n = gate.set_tag(ws, scope, name, tag)
    return Outcome({"scope": scope, "name": name, "tag": tag.to_json(), "changed": n})


@verb(policy_app, "list", "Every tag that holds, newest first.")
def policy_list(ctx: typer.Context) -> Outcome:
    from app.services import gate

    with opened(ctx) as ws:
        found, sources = gate.listing(ws), gate.sources(ws)
    rows = [
        {"scope": r.scope, "name": r.name, **_plain(r.tag), "by": r.agent, "at": when(r.at_ms)} for r in found
    ]
    shown = [
        [tr(r.scope), r.name if r.n == 1 else tr("{name} and {n} more", name=r.name, n=r.n - 1), tr(r.tag.visibility), ", ".join(tr(p) for p in r.tag.purposes),
         when(r.tag.expires_ms) if r.tag.expires_ms is not None else "", tr(r.tag.place) if r.tag.place else "", r.agent, r.tag.note]
        for r in found
    ]  # fmt: skip
    head = ("scope", "name", "visibility", "purposes", "expires", "place", "by", "note")
    return Outcome({"tags": rows, "sources": sources}, text=console.table(head, shown))


@verb(policy_app, "show", "What holds for a picture: the strictest of all tags that speak of it.")
def policy_show(
    ctx: typer.Context, picture: Annotated[str, arg("A picture by its number, path or digest.")]
) -> Outcome:
    from app.services import gate

    with opened(ctx) as ws:
        tag = gate.tag_of_named(ws, picture)
    return Outcome({"picture": picture, **_plain(tag)})


def _plain(tag: Tag) -> dict[str, object]:
    return {
        "visibility": tag.visibility, "purposes": list(tag.purposes), "place": tag.place, "note": tag.note,
        "expires": when(tag.expires_ms) if tag.expires_ms is not None else None,
    }  # fmt: skip


@verb(
    app,
    "redact",
    "Make redacted copies of a dataset's pictures in a new dataset: regions filled solid, metadata gone, proved by pixels.",
)
def redact(
    ctx: typer.Context,
    dataset: Annotated[str, arg("The dataset's name.", metavar="DATASET")],
    into: Annotated[str, opt("The new dataset.", "--into")],
    classes: Annotated[
        list[str] | None, opt("Cover objects of this class, drawn or predicted; may be repeated.", "--class")
    ] = None,
    model: Annotated[str, opt("Cover also what this model finds, such as a face detector.", "--model")] = "",
    model_classes: Annotated[
        list[str] | None, opt("Only this class of the model; may be repeated.", "--model-class")
    ] = None,
    margin: Annotated[
        float, opt("Added on every side, as a share of the longer side.", "--margin", min=0.0, max=2.0)
    ] = 0.1,
    score: Annotated[float, opt("Predictions from this score on.", "--score", min=0.0, max=1.0)] = 0.2,
    where: Where = "",
    metadata_only: Annotated[bool, opt("Cover nothing; take out metadata alone.", "--metadata-only")] = False,
    visibility: Annotated[
        str | None,
        opt(
            "Tag the copies with who may see them; else what holds for the originals holds on.",
            "--visibility",
        ),
    ] = None,
) -> Outcome:
    from app.services import gate, redaction

    recipe = redaction.Recipe(tuple(classes or ()), model, tuple(model_classes or ()), margin, score)
    tag = None if visibility is None else gate.Tag(visibility)
    with opened(ctx) as ws:
        work = redaction.run(ws, dataset, into, recipe, where=where, tag=tag, metadata_only=metadata_only)
        return console.drive(ctx.obj, work)


@verb(audit_app, "list", "The newest lines of the log.")
def audit_list(ctx: typer.Context, limit: Annotated[int, opt("How many.", "--limit", min=1)] = 50) -> Outcome:
    from app.services import auditing

    with opened(ctx) as ws:
        found = auditing.listing(ws, limit=limit)
    rows = [
        {
            "line": e.seq,
            "at": when(e.at_ms),
            "who": e.agent,
            "verb": e.verb,
            "what": e.subject,
            "detail": dict(e.detail),
        }
        for e in found
    ]
    shown = [[r["line"], r["at"], r["who"], tr(str(r["verb"])), r["what"], _told(r["detail"])] for r in rows]
    return Outcome(
        {"lines": rows}, text=console.table(("line", "time", "who", "verb", "what", "detail"), shown)
    )


def _told(detail: object) -> str:
    return ", ".join(f"{k}={v}" for k, v in detail.items()) if isinstance(detail, dict) else ""


@verb(
    audit_app,
    "verify",
    "Find lines that were changed, taken out or cut off; signed versions are the anchors.",
)
def audit_verify(ctx: typer.Context) -> Outcome:
    from app.services import auditing

    with opened(ctx) as ws:
        return console.drive(ctx.obj, auditing.verify(ws))

"""Verbs on the record: make and look at a workspace, log and undo, bulk review, jobs."""

from __future__ import annotations

from typing import Annotated

import typer

from annotation.errors import InvalidInput, NotFound
from app import console, settings
from app.console import Outcome
from app.i18n import tr
from app.verbs.parts import (
    Dataset,
    Label,
    MaxScore,
    MinScore,
    State,
    Text,
    Where,
    app,
    arg,
    opened,
    opt,
    query_of,
    review_app,
    verb,
    when,
)


@verb(app, "init", "Make a workspace: a folder, or the tables in an empty PostgreSQL database.")
def init(
    location: Annotated[str, arg("A new folder, or a postgresql:// address.", metavar="DIR|URL")],
    schema: Annotated[
        str, opt("A shipped label schema (coal_mine, grotto) or a TOML file.", "--schema")
    ] = "coal_mine",
    name: Annotated[str | None, opt("The workspace's name (default: the folder's).", "--name")] = None,
) -> Outcome:
    from app.services import workspace

    with workspace.create(
        location, schema=schema, name=name, person=str(settings.get("person")) or None
    ) as ws:
        return Outcome({"workspace": ws.location, "name": ws.name, "uid": ws.uid, "schema": schema})


@verb(app, "status", "What the workspace holds.")
def status(ctx: typer.Context) -> Outcome:
    from app.services import browse

    with opened(ctx) as ws:
        totals, rows = browse.totals(ws), browse.datasets(ws)
    keys = ("name", "schema_code", "n_assets", "n_unlabelled", "n_predicted", "n_labelled", "last_tag")
    datasets = [{key: getattr(row, key) for key in keys} for row in rows]
    result = {
        "workspace": ws.location, "name": ws.name, "revision": totals.revision, "assets": totals.assets,
        "truth": totals.truth, "predictions": totals.predictions, "datasets": datasets,
    }  # fmt: skip
    head = ("dataset", "schema", "pictures", "unlabelled", "predicted", "labelled", "last version")
    shown = console.pairs({k: v for k, v in result.items() if k != "datasets"})
    return Outcome(result, text=shown + "\n\n" + console.table(head, [list(d.values()) for d in datasets]))


@verb(
    app,
    "log",
    "Steps of everybody, newest first; of a dataset its versions: parents, who, what changed, where published.",
)
def log_(
    ctx: typer.Context,
    dataset: Annotated[str, arg("A dataset, for its versions.", metavar="[DATASET]")] = "",
    limit: Annotated[int, opt("How many.", "--limit", min=1, max=10_000)] = 20,
    asset: Annotated[int | None, opt("The history of one picture, by its id, instead.", "--asset")] = None,
) -> Outcome:
    from app.services import browse, labelling

    if dataset:
        from app.verbs.versions import log_of

        return log_of(ctx, dataset)
    with opened(ctx) as ws:
        if asset is not None:
            browse.asset(ws, asset)  # a number that is no picture is a fault, not an empty history
            events = [
                {"revision": h.rev, "at": when(h.at_ms), "who": h.agent, "verb": h.verb, "model": h.model, "label": h.label, "object": h.uid}
                for h in labelling.history(ws, asset_id=asset, limit=limit)
            ]  # fmt: skip
            head = ("revision", "time", "who", "verb", "model", "label", "object")
            return Outcome(
                {"asset": asset, "history": events},
                text=console.table(
                    head, [[tr(str(v)) if k == "verb" else v for k, v in e.items()] for e in events]
                ),
            )
        steps = [
            {"step": s.step, "at": when(s.at_ms), "who": s.agent, "verb": s.verb, "of": s.inverts,
             "state": "open" if s.open else "done" if s.stands else "undone"}
            for s in labelling.steps(ws, limit=limit)
        ]  # fmt: skip
    shown = [[s["step"], s["at"], s["who"], tr(str(s["verb"])), s["of"], tr(str(s["state"]))] for s in steps]
    return Outcome(
        {"steps": steps}, text=console.table(("step", "time", "who", "verb", "inverts", "state"), shown)
    )


@verb(app, "undo", "Undo a step (default: your own newest one that stands); undoing an undo is redo.")
def undo(
    ctx: typer.Context,
    step: Annotated[int | None, arg("The step's number, from `lamproom log`.", metavar="[STEP]")] = None,
    skip_changed: Annotated[
        bool, opt("Leave alone what was changed since, instead of refusing.", "--skip-changed")
    ] = False,
) -> Outcome:
    from app.services import labelling

    with opened(ctx) as ws:
        if step is None:
            newest = labelling.last_step(ws)
            if newest is None:
                raise NotFound("there is nothing of yours to undo", where=ws.person.name)
            step = newest.step
        changes = labelling.undo_step(ws, step, skip_changed=skip_changed)
    return Outcome({"undone": step, **console.revision(changes)})


# --- review ------------------------------------------------------------------------------------------------------


def _review(ctx: typer.Context, verb: str, dataset: str, label: str | None, state: str | None, text: str, where: str,
            min_score: float | None, max_score: float | None) -> Outcome:  # fmt: skip
    from app.services import bulk

    act = bulk.accept if verb == "accept" else bulk.reject
    with opened(ctx) as ws:
        query = query_of(
            ws,
            dataset,
            state=state,
            label=label,
            text=text,
            where=where,
            min_score=min_score,
            max_score=max_score,
        )
        return console.drive(ctx.obj, act(ws, query))


@verb(review_app, "accept", "Make the predictions that match truth.")
def review_accept(ctx: typer.Context, dataset: Dataset, label: Label = None, state: State = None, text: Text = "",
                  where: Where = "", min_score: MinScore = None, max_score: MaxScore = None) -> Outcome:  # fmt: skip
    return _review(ctx, "accept", dataset, label, state, text, where, min_score, max_score)


@verb(review_app, "reject", "Close the predictions that match; the next run does not bring them back.")
def review_reject(ctx: typer.Context, dataset: Dataset, label: Label = None, state: State = None, text: Text = "",
                  where: Where = "", min_score: MinScore = None, max_score: MaxScore = None) -> Outcome:  # fmt: skip
    return _review(ctx, "reject", dataset, label, state, text, where, min_score, max_score)


@verb(app, "find", "List the pictures or objects of a dataset that meet a query.")
def find(
    ctx: typer.Context,
    dataset: Dataset,
    where: Where = "",
    objects: Annotated[bool, opt("List objects instead of pictures.", "--objects")] = False,
    sort: Annotated[
        str,
        opt(
            "By time, path, score, unsure, changed, area, bright, contrast, sharp, glare, haze, group or worth.",
            "--sort",
        ),
    ] = "",
    down: Annotated[bool, opt("Largest first.", "--down")] = False,
    limit: Annotated[int, opt("How many are listed; all are counted.", "--limit", min=1, max=1_000_000)] = 20,
) -> Outcome:
    from app.services import listing

    with opened(ctx) as ws:
        query = query_of(ws, dataset, where=where)
        if sort and (sort == "similar" or sort not in listing.SORTS):
            raise InvalidInput(
                f"there is no order {sort!r}", remedy=", ".join(s for s in listing.SORTS if s != "similar")
            )
        view = listing.View(query, objects, listing.Sort(sort, down))
        ids = [one for part in listing.ids(ws, view) for one in part.ids]
        if objects:
            found = [
                {"object": o.uid, "picture": o.asset_id, "path": o.path, "label": o.label, "kind": o.kind, "origin": o.origin,
                 "score": o.score, "box": o.box}
                for o in listing.objects(ws, query.dataset_id, ids[:limit])
            ]  # fmt: skip
        else:
            found = [
                {"picture": r.asset_id, "path": r.path, "state": r.state, "review": r.review, "split": r.split, "truth": r.n_truth,
                 "predictions": r.n_pred}
                for r in listing.pictures(ws, query.dataset_id, ids[:limit])
            ]  # fmt: skip
    rows = [[v for k, v in f.items() if k not in ("box", "object")] for f in found]
    head = [k for k in (found[0] if found else {"picture": 0}) if k not in ("box", "object")]
    shown = console.table(head, rows)
    return Outcome(
        {"dataset": dataset, "where": where, "n": len(ids), "found": found},
        text=shown + "\n\n" + tr("{n} found", n=len(ids)),
    )


@verb(
    app,
    "measure",
    "Measure light, sharpness, glare, haze and likeness of a dataset's pictures; goes on where it stopped.",
)
def measure(
    ctx: typer.Context, dataset: Annotated[str, arg("The dataset's name.", metavar="DATASET")]
) -> Outcome:
    from app.services import measuring

    with opened(ctx) as ws:
        return console.drive(ctx.obj, measuring.run(ws, dataset))

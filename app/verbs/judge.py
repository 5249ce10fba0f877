"""Verbs that judge models: evaluate against truth, and what people made of their predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from annotation.errors import InvalidInput
from app import console, settings
from app.console import Outcome
from app.i18n import tr
from app.verbs.parts import Where, app, arg, opened, opt, verb, when

Name = Annotated[str, arg("The dataset's name.", metavar="DATASET")]
_WORST = 10
_CLASSES = 40


@verb(
    app,
    "evaluate",
    "Say how good a model is: average precision as COCO counts it, confusion, calibration, worst pictures.",
)
def evaluate(
    ctx: typer.Context,
    dataset: Annotated[str | None, arg("The dataset's name.", metavar="[DATASET]")] = None,
    model: Annotated[str | None, opt("A model's name, from `lamproom models list`.", "--model")] = None,
    other: Annotated[str | None, opt("A second model, judged on the same pictures beside the first.", "--other")] = None,
    against: Annotated[str | None, opt("What is true: accepted, labelled, a version DATASET@TAG, a saved filter or a dataset (default: accepted when some pictures are, else labelled).", "--against")] = None,
    where: Where = "",
    fresh: Annotated[bool, opt("Run the model now, into memory, instead of taking what the record says it said.", "--fresh")] = False,
    recipe: Annotated[Path | None, opt("Run it as this recipe says (with --fresh).", "--recipe")] = None,
    by: Annotated[str | None, opt("Compare by box, mask, rotated or tag (default: as the model's task says).", "--by")] = None,
    iou: Annotated[float, opt("Overlap from which a prediction is right, in confusion, calibration and thresholds: 0.5, 0.55 … 0.95.", "--iou")] = 0.5,
    score: Annotated[float | None, opt("Score from which a prediction counts in confusion and worst pictures.", "--score", min=0.0, max=1.0)] = None,
    provider: Annotated[str | None, opt("Where it runs: a provider of `lamproom doctor`, or a list as cuda,cpu: the first that passes.", "--provider")] = None,
    coco: Annotated[Path | None, opt("Write truth and predictions as COCO files into this new folder, to check the figures elsewhere.", "--coco")] = None,
    propose: Annotated[Path | None, opt("Write the best threshold of each class as a recipe into this new file.", "--propose")] = None,
    listed: Annotated[bool, opt("List the evaluations that were made; those of one dataset, or all.", "--list")] = False,
    limit: Annotated[int, opt("How many are listed.", "--limit", min=1, max=10_000)] = 50,
) -> Outcome:  # fmt: skip
    from app.services import evaluation as service
    from app.services import orders

    with opened(ctx) as ws:
        if listed:
            return _listed(service.kept(ws, dataset, limit=limit))
        if dataset is None or model is None:
            raise InvalidInput(
                "a dataset and --model are needed",
                remedy="`lamproom evaluate DATASET --model NAME`, or --list",
            )
        if recipe is not None and not fresh:
            raise InvalidInput("a recipe is for a fresh run", where=str(recipe), remedy="add --fresh")
        ask = service.Ask(
            dataset, (model,) if other is None else (model, other), against, where, fresh, cast(Any, by), iou, score,
            None if recipe is None else orders.recipe_for(recipe),
            provider or str(settings.get("provider")), coco,
        )  # fmt: skip
        done = console.drive(ctx.obj, service.evaluate(ws, ask))
    if propose is not None:
        service.write_proposal(done.result, propose)
    return Outcome(done.result, done.problems, done.warnings, done.n_warnings, text=_told(done.result))


@verb(
    app, "acceptance", "What people made of a model's predictions: kept, moved, relabelled, rejected, missed."
)
def acceptance(
    ctx: typer.Context,
    dataset: Name,
    model: Annotated[str, opt("A model's name, from `lamproom models list`.", "--model")],
    where: Where = "",
) -> Outcome:
    from app.services import acceptance as service

    with opened(ctx) as ws:
        done = console.drive(ctx.obj, service.run(ws, dataset, model, where=where))
    return Outcome(done.result, done.problems, done.warnings, done.n_warnings, text=_accepted(done.result))


# --- as text ------------------------------------------------------------------------------------------------------


def _listed(found: Sequence[Any]) -> Outcome:
    rows = [
        {"activity": one.activity_id, "at": when(one.at_ms), "who": one.agent, "dataset": one.report["dataset"], "model": m["name"],
         "against": one.report["against"]["name"], "pictures": one.report["pictures"]["counted"], "ap": m["coco"]["ap"],
         "ap50": m["coco"]["ap50"]}
        for one in found
        for m in one.report["models"]
    ]  # fmt: skip
    head = ("activity", "time", "who", "dataset", "model", "against", "pictures", "AP", "AP50")
    shown = [[tr(str(v)) if k == "against" else _figure(v) for k, v in r.items()] for r in rows]
    return Outcome({"evaluations": rows}, text=console.table(head, shown))


def _told(report: Mapping[str, Any]) -> str:
    """A report for people; --json has all of it."""
    from app.services.report import yard

    pictures = report["pictures"]
    parts = [
        tr("{n} pictures judged against {against}", n=pictures["counted"], against=yard(report)),
        *(tr("left out: {n} × {reason}", n=x["n"], reason=tr(x["reason"])) for x in pictures["left_out"]),
    ]
    if report["unasked"]:
        some = ", ".join(f"{u['label']} ({u['truth']})" for u in report["unasked"][:8])
        parts.append(tr("classes the model does not know, not judged: {classes}", classes=some))
    for m in report["models"]:
        parts += ["", _model(m)]
    if report["difference"]:
        parts += ["", _difference(report)]
    parts.append("\n" + tr("kept in the lineage as activity {n}", n=report["activity"]))
    return "\n".join(parts)


def _model(m: Mapping[str, Any]) -> str:
    coco = m["coco"]
    head = [
        f"{m['name']}  AP {_figure(coco['ap'])}  AP50 {_figure(coco['ap50'])}  AP75 {_figure(coco['ap75'])}  AR {_figure(coco['ar100'])}"
        + (f"  ECE {_figure(m['ece'])}" if m["ece"] is not None else ""),
    ]
    if m["ap"]:
        head.append(tr("AP between {low} and {high} in 95 % of {n} draws of the pictures", low=_figure(m["ap"][1]), high=_figure(m["ap"][2]), n=m["draws"]))  # fmt: skip
    if m["lowest"] is not None and m["lowest"] > 0.05:
        head.append(tr("the weakest prediction has score {score}: what was never written cannot be counted, so AP is a lower bound", score=_figure(m["lowest"])))  # fmt: skip
    rows = [
        [c["label"], c["truth"], c["said"], c["hits"], _figure(c["ap"]), _figure(c["ap50"]), _figure(c["ap75"]),
         _figure(c["best"]["score"]) if c["best"] else "", _figure(c["best"]["f1"]) if c["best"] else ""]
        for c in m["classes"][:_CLASSES]
    ]  # fmt: skip
    table = console.table(
        ("class", "truth", "predicted", "right", "AP", "AP50", "AP75", "best score", "F1"), rows
    )
    mixed = [x for x in m["confusion"] if x["true"] and x["said"] and x["true"] != x["said"]][:5]
    if mixed:
        said = ", ".join(f"{x['true']} → {x['said']} {x['n']}" for x in mixed)
        head.append(tr("taken for another class: {pairs}", pairs=said))
    worst = ", ".join(f"{w['picture']} ({w['missed']}+{w['false']})" for w in m["worst"][:_WORST])
    if worst:
        head.append(tr("worst pictures (missed + false): {pictures}", pictures=worst))
    return "\n".join([*head, table])


def _difference(report: Mapping[str, Any]) -> str:
    first, second = (m["name"] for m in report["models"])
    found = report["difference"]
    if not found["ap"]:
        return tr("no class of both has truth: nothing to compare")
    value, low, high, above = found["ap"]
    return tr("{second} − {first}: AP {value} ({low} … {high} in 95 % of {n} draws; better in {above} %)", first=first, second=second,
              value=f"{value:+.4f}", low=f"{low:+.4f}", high=f"{high:+.4f}", n=found["draws"], above=round(100 * above))  # fmt: skip


def _accepted(report: Mapping[str, Any]) -> str:
    keys = ("kept", "moved", "relabelled", "rejected", "undecided", "missed")
    rows = [
        [c["label"], *(c[k] for k in keys)]
        for c in [*report["classes"], {"label": tr("all"), **report["total"]}]
    ]
    lines = [console.table(("class", *keys), rows)]
    total = report["total"]
    if total["saved"] is not None:
        lines.append(tr("not drawn by hand: {share} % of the objects = (kept + moved + relabelled) ÷ (kept + moved + relabelled + missed)", share=round(100 * total["saved"], 1)))  # fmt: skip
    if total["untouched"] is not None:
        lines.append(tr("never touched: {share} % of the objects = kept ÷ (kept + moved + relabelled + missed)", share=round(100 * total["untouched"], 1)))  # fmt: skip
    if total["moved_iou"] is not None:
        lines.append(
            tr(
                "what was moved overlaps with where it was by {iou} on average",
                iou=_figure(total["moved_iou"]),
            )
        )
    lines.append(tr("{n} pictures on which the model ran", n=report["pictures"]))
    return "\n".join(lines)


def _figure(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else value

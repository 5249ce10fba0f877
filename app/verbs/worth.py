"""The verb that orders what waits by how much labelling it is worth, and tells the queue with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotation.errors import InvalidInput
from app import console, i18n
from app.console import Outcome
from app.i18n import tr
from app.verbs.parts import Where, app, arg, opened, opt, verb

if TYPE_CHECKING:
    from app.services.workspace import Workspace
    from app.services.worth import Row, Weights


@verb(
    app,
    "worth",
    "Order the pictures that wait by how much labelling them is worth: what a model is unsure of, what two disagree on, "
    "rare classes, pictures unlike the labelled ones.",
)
def worth(
    ctx: typer.Context,
    dataset: Annotated[str, arg("The dataset's name.", metavar="DATASET")],
    model: Annotated[str | None, opt("The model whose predictions tell (default: the only one that predicted here).", "--model")] = None,
    other: Annotated[str | None, opt("A second model, to see where the two disagree.", "--other")] = None,
    weights: Annotated[str | None, opt("How much each part counts, 0 to 100; those not named count 0 (default: uncertainty=2,disagreement=2,rarity=1,diversity=1).", "--weights", metavar="PART=N,…")] = None,
    threshold: Annotated[list[str] | None, opt("Score an object is taken from (default 0.5), or CLASS=SCORE for one class; may be repeated.", "--threshold", metavar="[CLASS=]SCORE")] = None,
    where: Where = "",
    reorder: Annotated[bool, opt("Only order the queue by other weights, without a new look.", "--reorder")] = False,
    listed: Annotated[bool, opt("Only list the queue as it is.", "--list")] = False,
    top: Annotated[int, opt("How many pictures of the queue are listed.", "--top", min=0, max=10_000)] = 20,
) -> Outcome:  # fmt: skip
    from app.services import browse
    from app.services import worth as service

    with opened(ctx) as ws:
        wanted = None if weights is None else _weights(weights)
        if listed:
            done = Outcome({})
        elif reorder:
            if wanted is None:
                raise InvalidInput("--reorder needs --weights")
            done = console.drive(ctx.obj, service.again(ws, dataset, wanted))
        else:
            plain, single = _thresholds(threshold or ())
            ask = service.Ask(dataset, model, other, wanted or service.Weights(), plain, single, where)
            done = console.drive(ctx.obj, service.run(ws, ask))
        data = browse.dataset(ws, dataset)
        last = service.latest(ws, data.id)
        named = _names(ws, data.schema_code)
        found = service.queue(ws, data.id, top)
        left = service.count(ws, data.id)
    by = last.weights if last is not None else service.Weights()
    result = {"dataset": dataset, **done.result, "left": left,
              "queue": [_plain(row, service.words(row.reason, by, named)) for row in found]}  # fmt: skip
    return Outcome(
        result, done.problems, done.warnings, done.n_warnings, text=_told(result, looked=last is not None)
    )


def _weights(text: str) -> Weights:
    """`uncertainty=2,rarity=1` as weights; what is not named counts nothing."""
    from app.services.worth import PARTS, Weights

    given = dict.fromkeys(PARTS, 0)
    for piece in filter(None, (p.strip() for p in text.replace("，", ",").split(","))):
        name, _, number = piece.partition("=")
        if name.strip() not in given or not number.strip().isdecimal():
            raise InvalidInput(
                f"a weight is PART=N, not {piece!r}", where="--weights", remedy=", ".join(PARTS)
            )
        given[name.strip()] = int(number)
    return Weights(**given)


def _thresholds(given: Sequence[str]) -> tuple[float, dict[str, float]]:
    plain, single = 0.5, {}
    for text in given:
        code, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            raise InvalidInput(
                f"a threshold is SCORE or CLASS=SCORE, not {text!r}", where="--threshold"
            ) from None
        if code:
            single[code] = value
        else:
            plain = value
    return plain, single


def _names(ws: Workspace, schema_code: str) -> Callable[[str], str]:
    """A label's name in the person's language, by its code."""
    from app.services import schema as schemas

    schema, language = schemas.current(ws, schema_code), i18n.language()

    def named(code: str) -> str:
        label = schema.label(code)
        return label.name(language) if label is not None else code

    return named


def _plain(row: Row, why: Sequence[str]) -> dict[str, Any]:
    return {
        "asset": row.asset_id,
        "path": row.path,
        "value": row.value,
        "why": list(why),
        "reason": dict(row.reason),
    }


def _told(result: dict[str, Any], *, looked: bool) -> str:
    if not looked:
        return tr("Nothing was looked at yet: `lamproom worth {dataset}` looks.", dataset=result["dataset"])
    rows = [
        [r["value"], r["path"], tr("; ").join(r["why"]) or tr("nothing stands out")] for r in result["queue"]
    ]
    parts = [tr("{n} pictures wait to be labelled.", n=result["left"])]
    if rows:
        parts += ["", console.table(("worth", "picture", "why"), rows)]
    if n := result.get("not_seen_by_both"):
        parts += ["", tr("{n} pictures were not seen by both models: there they do not disagree", n=n)]
    if n := result.get("not_measured"):
        parts += ["", tr("{n} pictures were not measured: nothing is known of what they look like", n=n)]
    return "\n".join(parts)

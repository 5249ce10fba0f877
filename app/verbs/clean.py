"""The verb that cleans a dataset before it is labelled: look, count, take out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from app import console
from app.console import Outcome
from app.i18n import tr
from app.verbs.parts import Where, app, arg, opened, opt, verb


@verb(
    app,
    "clean",
    "Take duplicates and pictures not worth labelling out of a dataset: one step, undone as one; no file is touched. "
    "Without criteria: look and tell.",
)
def clean(
    ctx: typer.Context,
    dataset: Annotated[str, arg("The dataset's name.", metavar="DATASET")],
    duplicates: Annotated[bool, opt("All but one of the same picture: equal bytes, or near by the perceptual hash.", "--duplicates")] = False,
    near: Annotated[int | None, opt("As --duplicates, with so many of 64 bits different at most (default 6).", "--near", min=0, max=12)] = None,
    alike: Annotated[float | None, opt("All but one of pictures whose vectors have this cosine at least (0.85 is a good one).", "--alike", min=0.0, max=1.0, metavar="X")] = None,
    against: Annotated[list[str] | None, opt("Another dataset: what is there too, or near it, leaves this one.", "--against", metavar="DATASET")] = None,
    blurred: Annotated[float | None, opt("Pictures less sharp than this.", "--blurred", min=0.0, max=1.0, metavar="X")] = None,
    dark: Annotated[float | None, opt("Pictures darker than this.", "--dark", min=0.0, max=1.0, metavar="X")] = None,
    glare: Annotated[float | None, opt("Pictures with a larger share blown out than this.", "--glare", min=0.0, max=1.0, metavar="X")] = None,
    haze: Annotated[float | None, opt("Pictures with more dust or fog than this.", "--haze", min=0.0, max=1.0, metavar="X")] = None,
    frozen: Annotated[bool, opt("All but the first of five and more frames of a camera that stood still.", "--frozen")] = False,
    corrupt: Annotated[bool, opt("Pictures that cannot be decoded.", "--corrupt")] = False,
    every: Annotated[int, opt("Of sequences (the pictures of a folder), one in so many.", "--every", min=0)] = 0,
    apart: Annotated[float, opt("Of sequences, one in so many seconds.", "--apart", min=0.0, metavar="SECONDS")] = 0.0,
    scene: Annotated[int, opt("Of sequences, the next one that differs in so many of 64 bits.", "--scene", min=0, max=64)] = 0,
    where: Where = "",
    labelled: Annotated[bool, opt("Pictures that a person worked on, too; otherwise they stay.", "--labelled-too")] = False,
    dry: Annotated[bool, opt("Only count what would leave.", "--dry-run")] = False,
) -> Outcome:  # fmt: skip
    from app.services import cleaning

    dull = {
        k: v
        for k, v in {"blurred": blurred, "dark": dark, "glare": glare, "haze": haze}.items()
        if v is not None
    }
    same = duplicates or near is not None or bool(against)
    thin = bool(every or apart or scene)
    asked = bool(dull or same or thin or alike is not None or frozen or corrupt)
    kinds = (("exact", "near") if same or not asked else ()) + (("alike",) if alike is not None else ())
    kinds += ("frozen",) if frozen or not asked else ()
    wanted = cleaning.Wanted(kinds, against=tuple(against or ()), every=every, apart_s=apart, scene=scene,
                             near=near if near is not None else cleaning.Wanted().near,
                             alike=alike if alike is not None else cleaning.Wanted().alike)  # fmt: skip
    with opened(ctx) as ws:
        if not asked:
            dull = {name: offered for name, (_, _, offered) in cleaning.DULL.items()}
        gone = (*kinds, *(("sequence",) if thin else ()))
        what = cleaning.passes(
            dull, gone, corrupt=corrupt or not asked, also=tuple(against or ()), where=where
        )
        looked = console.drive(ctx.obj, cleaning.find(ws, dataset, wanted))
        if "job" not in looked.result:
            return looked
        if dry or not asked:
            return _told(dataset, cleaning.count(ws, dataset, what), looked, asked=asked)
        done = console.drive(ctx.obj, cleaning.exclude(ws, dataset, what, held=labelled))
    return Outcome(done.result, looked.problems + done.problems, looked.warnings, looked.n_warnings)


def _told(dataset: str, counts: Sequence[Any], looked: Outcome, *, asked: bool) -> Outcome:
    rows = [
        {"reason": c.name, "query": c.where, "pictures": c.pictures, "kept_labelled": c.held} for c in counts
    ]
    table = console.table(
        ("reason", "query", "pictures", "kept, labelled"),
        [[tr(r["reason"]), *list(r.values())[1:]] for r in rows],
    )
    ending = (
        tr("Nothing was taken out.")
        if asked
        else tr("Nothing was taken out; `lamproom clean --help` has the criteria.")
    )
    return Outcome({"dataset": dataset, "found": rows, "removed": 0}, looked.problems, looked.warnings, looked.n_warnings,
                   text=f"{table}\n\n{ending}")  # fmt: skip


@verb(
    app,
    "split",
    "Put pictures into train, val and test: whole groups only, so that no twin crosses; one step, undone as one.",
)
def split(
    ctx: typer.Context,
    dataset: Annotated[str, arg("The dataset's name.", metavar="DATASET")],
    ratio: Annotated[str, opt("Shares of train, val and test.", "--ratio")] = "8:1:1",
    stratified: Annotated[
        bool, opt("Every class in these shares, the rarest first.", "--stratified")
    ] = False,
    together: Annotated[
        list[str] | None,
        opt(
            "What stays together: near (duplicates, the default), camera (folder), place (source), time; may be repeated, none for nothing.",
            "--together",
        ),
    ] = None,
    seed: Annotated[int, opt("Another number, another draw.", "--seed", min=0)] = 0,
    where: Where = "",
    dry_run: Annotated[bool, opt("Say what would be done, write nothing.", "--dry-run")] = False,
) -> Outcome:
    from annotation import splits
    from app.services import splitting

    groups = tuple(g for g in together or ("near",) if g != "none")
    rule = splitting.Rule(splits.ratio(ratio), "stratified" if stratified else "random", groups, seed)
    with opened(ctx) as ws:
        return console.drive(ctx.obj, splitting.run(ws, dataset, rule, where=where, dry_run=dry_run))

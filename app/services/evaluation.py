"""Is the model any good? What it says is set against truth, picture by picture; the report is kept in the lineage.

A picture counts when its truth is whole and what the model said about it is known: from the record, where it was
pre-labelled before anything was true on it, or because the model is run now, into memory. Both say how many were left
out, and why. Two models are judged on the same pictures and classes.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from annotation import canonical, rows
from annotation.core import Annotation
from annotation.errors import InvalidInput, Unavailable
from annotation.evaluation import Tally
from annotation.overlap import BYS, By, objects
from annotation.schema import LabelSchema
from app.events import Finished, Progress, Started, Warned, Work
from app.services import accelerators, browse, coco_results, labelling, onnx, orders, report, truth
from app.services import schema as schemas
from app.services.acceptance import looked_since
from app.services.onnx import ModelRow
from app.services.report import Told
from app.services.truth import Against
from app.services.workspace import Workspace
from models import batch
from models.recipe import Recipe
from storage import files, media, queries, record, verdicts
from storage.queries import DatasetRow, ItemRow, Place, Query
from storage.verdicts import Kept, Membership, Picture, Ran

__all__ = ["Ask", "Kept", "evaluate", "kept", "pictures_query", "write_proposal"]

FLOOR = 0.01
"""Score from which a model that is run now is listened to: average precision needs the weak predictions too."""
PART = 500
BY_TASK: Mapping[str, By] = {
    "detect": "box",
    "pose": "box",
    "segment": "mask",
    "semantic": "mask",
    "obb": "rotated",
    "classify": "tag",
}

NOT_RUN = "the model did not run on it"
NOT_KNOWN = (
    "a job with a query ran here and left nothing: it is not recorded whether it looked at this picture"
)
TRUTH_FIRST = "truth was there before the model ran: what agreed with it was not written"
UNDECODABLE = "the picture cannot be read"
GONE = "it left the dataset or was changed while the model was judged"
FRESH_REMEDY = "run the model now: --fresh"


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be judged.

    Attributes:
        models: one or two names. against: see `truth.against`. where: only pictures that meet this query.
        fresh: run the models now, into memory, instead of taking what the record says they said.
        by: what is compared; None: as the model's task says. iou: overlap from which a prediction is right, besides the
            mean over all. score: the working threshold (confusion, worst pictures); None: the recipe's or the model's, and
            of the record everything that is in it.
        recipe: of a fresh run. coco: a new folder for truth and predictions as COCO files.
    """

    dataset: str
    models: tuple[str, ...]
    against: str | None = None
    where: str = ""
    fresh: bool = False
    by: By | None = None
    iou: float = 0.5
    score: float | None = None
    recipe: Recipe | None = None
    provider: str = "cpu"
    coco: Path | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    """An evaluation made ready."""

    ws: Workspace
    ask: Ask
    data: DatasetRow
    yard: Against
    revision: int
    by: By
    rows: tuple[ModelRow, ...]
    ran: tuple[tuple[Ran, ...], ...]
    names: tuple[Mapping[str, list[str]], ...]
    codes: tuple[str, ...]
    places: Mapping[str, int]

    @property
    def digests(self) -> list[bytes]:
        return [bytes.fromhex(row.sha256) for row in self.rows]


def evaluate(ws: Workspace, ask: Ask) -> Work:
    """Judge one model, or two side by side. Nothing of the dataset is changed; the result is the report that is kept.

    Raises:
        NotFound, InvalidInput, Unavailable: before anything is kept.
    """
    started = time.monotonic()
    job = _ready(ws, ask)
    passed_over: list[Warned] = []
    if ask.fresh:
        provider, passed_over = accelerators.settled(ask.provider)
        job = replace(job, ask=replace(ask, provider=provider))
    title = " · ".join(row.name for row in job.rows)
    yield Started(f"evaluate {job.data.name} · {title}", job.data.n_assets)
    yield from passed_over
    counted, left_out = yield from _counted(job)
    truth.demand_some(
        len(counted), {r: n for r, (n, _) in left_out.items()},
        remedy="accept pictures in review, label some, name a version or a saved filter"
        + ("" if ask.fresh else f", or {FRESH_REMEDY}"),
    )  # fmt: skip
    if NOT_KNOWN in left_out:
        yield Warned(
            f"{left_out[NOT_KNOWN][0]} pictures are left out on which the model may have found nothing: the figures flatter it",
            FRESH_REMEDY,
        )
    spent = 0
    tallies, facts = [], []
    unasked: Counter[str] = Counter()
    lost: set[int] = set()
    for n, row in enumerate(job.rows):
        file = coco_results.Writer(ask.coco, job.codes, row.name) if ask.coco is not None else None
        try:
            tally, told, unasked = yield from _tallied(job, n, counted, lost, file, spent)
            if file is not None:
                file.done()
        finally:
            if file is not None:
                file.close()
        spent += len(counted)
        tallies.append(tally)
        facts.append(told)
    if any(t.keys != tallies[0].keys for t in tallies):
        raise Unavailable(
            "a picture could be read for one model and not for the other", remedy="run it again"
        )
    if lost:
        left_out[UNDECODABLE] = (len(lost), sorted(lost)[: report.LISTED])
    judged = tallies[0].keys
    if gone := len(counted) - len(lost) - len(judged):
        left_out[GONE] = (gone, sorted(set(counted) - lost - set(judged))[: report.LISTED])
    found = _report(job, tallies, facts, left_out, unasked, len(judged))
    found["seconds"] = round(time.monotonic() - started, 3)
    found["activity"] = _keep(job, found)
    yield Finished(found)


def kept(ws: Workspace, dataset: str | None = None, *, limit: int = 100) -> list[Kept]:
    """Evaluations of a dataset or of all, newest first, with their whole reports."""
    with ws.db.read() as conn:
        if dataset is not None:
            queries.dataset(conn, dataset)
        return verdicts.kept(conn, dataset, limit=limit)


def pictures_query(asset_ids: Sequence[int]) -> str:
    """The query that lists these pictures, as the gallery shows it."""
    return "picture:" + ",".join(str(a) for a in asset_ids[: report.LISTED])


def write_proposal(found: Mapping[str, Any], file: Path) -> None:
    """The thresholds a report proposes for its first model, as a recipe in a new file.

    Raises:
        InvalidInput: it is there already, or cannot be written.
    """
    if file.exists():
        raise InvalidInput("there is such a file already", where=str(file), remedy="name a new one")
    try:
        files.write(file, report.proposal(found).encode())
    except OSError as error:
        raise InvalidInput(
            "the file cannot be written", where=str(file), remedy="name another place"
        ) from error


# -- ready -----------------------------------------------------------------------------------------------------------


def _ready(ws: Workspace, ask: Ask) -> _Job:
    if not 1 <= len(ask.models) <= 2 or len(set(ask.models)) < len(ask.models):
        raise InvalidInput("one model is judged, or two different ones side by side")
    found = tuple(onnx.show(ws, name) for name in ask.models)
    with ws.db.read() as conn:
        data = queries.dataset(conn, ask.dataset)
        revision = record.newest(conn)
        ran = tuple(tuple(verdicts.runs(conn, data.id, bytes.fromhex(row.sha256))) for row in found)
    yard = truth.against(ws, data, ask.against)
    by = ask.by or BY_TASK.get(found[0].card.task)
    if by is None:
        raise InvalidInput(f"a model of the task {found[0].card.task} finds no objects", where=found[0].name)
    if by not in BYS:
        raise InvalidInput(f"there is no comparison by {by!r}", remedy=", ".join(BYS))
    Tally((), iou=ask.iou)  # an overlap that is none is told before anything runs
    schema = schemas.current(ws, data.schema_code)
    names = [_names(row, [ask.recipe or Recipe()] if ask.fresh else [orders.recipe_of(r.params) for r in jobs], schema)
             for row, jobs in zip(found, ran, strict=True)]  # fmt: skip
    known = [set(n) for n in names]
    codes = tuple(sorted(set.intersection(*known)))
    if not codes:
        raise InvalidInput(
            "the label schema has no class of the model's" if len(found) == 1 else "the models have no class of the schema in common",
            where=data.schema_code, remedy="name the classes in the schema as the model does, or map them with a recipe",
        )  # fmt: skip
    if ask.coco is not None and ask.coco.exists() and (not ask.coco.is_dir() or any(ask.coco.iterdir())):
        raise InvalidInput(
            "the folder for the COCO files is not empty", where=str(ask.coco), remedy="name a new one"
        )
    if ask.fresh:
        accelerators.demand(ask.provider)
        for row in found:
            if not row.present:
                raise InvalidInput(
                    "this machine does not have the model's file",
                    where=row.name,
                    remedy="`lamproom models add FILE.onnx` here",
                )
    places = {c: i for i, c in enumerate(codes)}
    return _Job(ws, ask, data, yard, revision, by, found, ran, tuple(names), codes, places)


def _names(row: ModelRow, used: Sequence[Recipe], schema: LabelSchema) -> dict[str, list[str]]:
    """Label code -> the model's own names of it, of the classes that it was asked for."""
    out: dict[str, list[str]] = {}
    for name in row.card.labels:
        codes = {c for r in used or (Recipe(),) if (t := r.target(name)) and (c := schema.resolve(t))}
        for code in codes:
            out.setdefault(code, []).append(name)
    return out


_LeftOut = dict[str, tuple[int, list[int]]]


def _counted(job: _Job) -> Generator[Any, None, tuple[array[int], _LeftOut]]:
    """The pictures that count, and why the others do not: reason -> number, the first of them."""
    counted = array("q")
    left_out: _LeftOut = {}
    query = Query(job.data.id, where=job.ask.where, me=job.ws.person.id)
    after, seen = 0, 0
    while True:
        with job.ws.db.read() as conn:
            ids = queries.asset_ids(conn, query, after=after, limit=PART)
            if not ids:
                return counted, left_out
            page = truth.page(conn, job.data, job.yard, ids, revision=job.revision, me=job.ws.person.id)
            reasons = dict(page.left_out)
            if not job.ask.fresh:
                members = verdicts.memberships(conn, job.data.id, ids)
                bad = verdicts.undecodable(conn, ids)
                for n, digest in enumerate(job.digests):
                    for asset_id, picture in page.pictures.items():
                        why = (
                            UNDECODABLE
                            if asset_id in bad
                            else _unknown(picture, digest, job.ran[n], members[asset_id])
                        )
                        if why:
                            reasons.setdefault(asset_id, why)
        for asset_id in page.items:
            if asset_id in reasons:
                n, some = left_out.setdefault(reasons[asset_id], (0, []))
                left_out[reasons[asset_id]] = (
                    n + 1,
                    some if len(some) >= report.LISTED else [*some, asset_id],
                )
            else:
                counted.append(asset_id)
        after, seen = ids[-1], seen + len(ids)
        yield Progress(seen, None, "looking for whole truth")


def _unknown(picture: Picture, digest: bytes, ran: Sequence[Ran], member: Membership) -> str:
    """Why the record does not tell what the model said about a picture; "" when it does."""
    first, doubtful = looked_since(picture, digest, ran, member)
    if first is None:
        return NOT_KNOWN if doubtful else NOT_RUN
    return TRUTH_FIRST if picture.had_truth(first) else ""


# -- picture by picture ----------------------------------------------------------------------------------------------


def _tallied(
    job: _Job, n: int, counted: array[int], lost: set[int], file: coco_results.Writer | None, before: int
) -> Generator[Any, None, tuple[Tally, Told, Counter[str]]]:
    """Everything one model said, set against the truth of the pictures that count."""
    told = Told(_working(job, job.rows[n]))
    tally = Tally(job.codes, iou=job.ask.iou, scores=told.score)
    source = (
        _fresh(job, job.rows[n], counted, lost, told)
        if job.ask.fresh
        else _recorded(job, job.digests[n], counted, lost)
    )
    shown, done = 0.0, 0
    unasked: Counter[str] = Counter()
    for item, given, found in source:
        done += 1
        if given is None:
            continue
        unasked.update(a.label for a in given if a.label not in job.places)
        _noted(told, job, found)
        wh = (item.width_px, item.height_px) if item.width_px and item.height_px else None
        tally.add(
            item.asset_id,
            objects(given, job.places, by=job.by, wh=wh),
            objects(found, job.places, by=job.by, wh=wh),
        )
        if file is not None:
            file.add(
                item,
                [a for a in given if a.label in job.places],
                [a for a in found if a.label in job.places],
                job.by,
            )
        now = time.monotonic()
        if now - shown > 0.1:
            shown = now
            yield Progress(before + done, len(counted) * len(job.rows), job.rows[n].name)
    return tally, told, unasked


def _noted(told: Told, job: _Job, found: Sequence[Annotation]) -> None:
    for a in found:
        if a.label not in job.places:
            told.others[a.label] = told.others.get(a.label, 0) + 1
        else:
            told.said += 1
            told.lowest = min(told.lowest, 1.0 if a.score is None else a.score)


_Judged = tuple[ItemRow, "list[Annotation] | None", list[Annotation]]
"""A picture, its truth (None: it cannot be judged after all), and what the model said."""


def _recorded(job: _Job, digest: bytes, counted: array[int], lost: set[int]) -> Iterator[_Judged]:
    for page in _pages(job, counted, lost):
        for asset_id, stored in page.truth.items():
            said = page.pictures[asset_id].said(digest)
            yield (
                page.items[asset_id],
                [labelling.value(s) for s in stored],
                [labelling.value(s.row) for s in said],
            )


def _pages(job: _Job, counted: array[int], lost: set[int]) -> Iterator[truth.Page]:
    """The pictures that count, page by page, each its own short read."""
    for i in range(0, len(counted), PART):
        ids = [a for a in counted[i : i + PART] if a not in lost]
        with job.ws.db.read() as conn:
            page = truth.page(conn, job.data, job.yard, ids, revision=job.revision, me=job.ws.person.id)
        yield page


def _working(job: _Job, row: ModelRow) -> float | list[float]:
    """The threshold from which a prediction counts in confusion and costs, or one for each class."""
    if job.ask.score is not None:
        return job.ask.score
    if not job.ask.fresh:
        return 0.0  # what the record holds was above the job's threshold
    recipe = job.ask.recipe or Recipe()
    usual = row.card.score if recipe.score_micro is None else recipe.score_micro / canonical.MICRO
    if not recipe.class_scores:
        return usual
    schema = schemas.current(job.ws, job.data.schema_code)
    own: dict[str, float] = {}
    for name, micro in recipe.class_scores:
        code = schema.resolve(recipe.target(name)) or ""
        own[code] = min(own.get(code, 1.0), micro / canonical.MICRO)
    return [own.get(code, usual) for code in job.codes]


def _fresh(job: _Job, row: ModelRow, counted: array[int], lost: set[int], told: Told) -> Iterator[_Judged]:
    """The model is run now. What it says is snapped as the record would, so both ways give the same figures."""
    waiting: dict[int, tuple[ItemRow, list[Annotation]]] = {}

    def items() -> Iterator[tuple[int, Place]]:
        for page in _pages(job, counted, lost):
            with job.ws.db.read() as conn:
                places = queries.places(conn, list(page.truth))
            for asset_id, stored in page.truth.items():
                waiting[asset_id] = page.items[asset_id], [labelling.value(s) for s in stored]
                yield asset_id, places[asset_id]

    schema = schemas.current(job.ws, job.data.schema_code)
    floor = round(FLOOR * canonical.MICRO)
    wanted = replace(job.ask.recipe or Recipe(), score_micro=floor, class_scores=())
    with batch.predict(
        items(), partial(browse.bytes_at, job.ws.folder), row.path, row.card, decode=media.decode, recipe=wanted,
        provider=job.ask.provider, shrink=media.shrunk, path_of=lambda place: place.path,
    ) as work:  # fmt: skip
        told.provenance = work.provenance
        for result in work:
            item, given = waiting.pop(result.id)
            if result.problem:
                lost.add(result.id)
                yield item, None, []
                continue
            yield item, given, [_as_kept(a, schema.resolve(a.label) or a.label) for a in result.annotations]


def _as_kept(a: Annotation, code: str) -> Annotation:
    score = canonical.snap(1.0 if a.score is None else a.score, canonical.MICRO) / canonical.MICRO
    return replace(a, label=code, shape=rows.snapped(a.shape), score=score, origin="model")


# -- report ----------------------------------------------------------------------------------------------------------


def _report(
    job: _Job,
    tallies: Sequence[Tally],
    facts: Sequence[Told],
    left_out: _LeftOut,
    unasked: Counter[str],
    n: int,
) -> dict[str, Any]:
    ask, yard = job.ask, job.yard
    return {
        "format": report.FORMAT,
        "dataset": job.data.name,
        "dataset_revision": job.revision,
        "schema": job.data.schema_code,
        "against": {"kind": yard.kind, "name": yard.name, "revision": yard.revision},
        "where": ask.where,
        "by": job.by,
        "iou": ask.iou,
        "source": "fresh" if ask.fresh else "record",
        "pictures": {
            "counted": n,
            "left_out": [
                {"reason": reason, "n": count, "pictures": some}
                for reason, (count, some) in sorted(left_out.items(), key=lambda x: -x[1][0])
            ],
        },
        "unasked": [{"label": code, "truth": count} for code, count in unasked.most_common()],
        "models": [
            report.model(row.name, row.sha256, row.card, tally, told, names)
            for row, tally, told, names in zip(job.rows, tallies, facts, job.names, strict=True)
        ],
        "difference": report.difference(tallies) if len(tallies) > 1 else None,
    }


def _keep(job: _Job, figures: Mapping[str, object]) -> int:
    """The activity "evaluate": it used the dataset or version and the models, and its figures are its parameters."""
    with job.ws.db.write() as conn:
        activity = record.start_activity(
            conn, "evaluate", job.ws.person.id, figures, model_digest=job.digests[0], open_=False
        )
        record.link(conn, activity, "used", "dataset", job.data.name)
        if job.yard.version is not None:
            record.link(conn, activity, "used", "version", job.yard.version.uid)
        for row in job.rows:
            record.link(conn, activity, "used", "model", row.sha256)
    return activity

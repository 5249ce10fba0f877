"""Redacted copies: regions filled solid, metadata gone, proved by pixels; derived pictures in a dataset of their own.

Sources are never touched. A copy is written below the workspace's `derived` folder, which becomes a source of its own; the
record keeps what it was made of and how (table derivation), and its truth is carried over, each object derived from the
original's. A picture that cannot be redacted for certain is left out and named, never passed on as it is.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy.engine import Connection

from annotation import canonical, covering, marks
from annotation.core import Annotation, Shape, new_uid
from annotation.errors import Conflict, InvalidInput, LamproomError, NotFound, Unavailable
from annotation.rows import from_row
from app.events import Changes, Event, Finished, Progress, Started, Warned, Work
from app.services import labelling, onnx, schema
from app.services.gate import Tag
from app.services.workspace import Workspace
from models import batch
from models import recipe as recipes
from storage import audit, files, jobs, media, names, policy, queries, record, register
from storage.jobs import Job, Lease
from storage.media import Probe
from storage.queries import Place, Query, Stored
from storage.record import Edit, ItemEdit
from storage.register import NewAsset, Root

__all__ = ["Preview", "Recipe", "go_on", "preview", "run"]

FOLDER = "derived"
QUALITY = 95
PART = 32
"""Pictures of one change: their files are on the disk before the record names them."""
THREADS = 2
MARGIN, SCORE = 0.1, 0.2
BLACK = (0, 0, 0)
_PLAIN_INFO = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "gamma", "srgb"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is covered.

    Attributes:
        classes: label codes: every object of these, by hand, imported or predicted.
        model, model_classes: a model of the workspace that looks once more, and of which of its classes (() = all).
        margin: added on every side, as a share of the longer side.
        score: predictions from this score on; low on purpose: covering too much is the lesser fault.
    """

    classes: tuple[str, ...] = ()
    model: str = ""
    model_classes: tuple[str, ...] = ()
    margin: float = MARGIN
    score: float = SCORE

    def to_json(self) -> dict[str, object]:
        """Whole numbers only, as the record keeps it."""
        return {
            "classes": list(self.classes), "model": self.model, "model_classes": list(self.model_classes),
            "margin_micro": canonical.snap(self.margin, canonical.MICRO),
            "score_micro": canonical.snap(self.score, canonical.MICRO),
        }  # fmt: skip


def _recipe(value: Any) -> Recipe:
    return Recipe(
        tuple(value["classes"]), value["model"], tuple(value["model_classes"]),
        value["margin_micro"] / canonical.MICRO, value["score_micro"] / canonical.MICRO,
    )  # fmt: skip


def run(
    ws: Workspace,
    dataset: str,
    into: str,
    recipe: Recipe,
    *,
    where: str = "",
    tag: Tag | None = None,
    metadata_only: bool = False,
) -> Work:
    """Make redacted copies of a dataset's pictures in a new dataset, with their truth, splits and review states.

    The same call after an interruption goes on with the unfinished job; undo takes all of it out again as one step.

    Args:
        into: the new dataset. where: only pictures that meet this query.
        tag: what the copies are tagged with; without one, what holds for an original holds for its copy.
        metadata_only: nothing to cover, only places, times and devices to take out.

    Raises:
        NotFound: no such dataset, class or model. InvalidInput: nothing is to be covered, or the name cannot be used.
        Conflict: the dataset exists, or another process does this very work.
    """
    name = register.check_dataset_name(into)
    with ws.db.read() as conn:
        data = queries.dataset(conn, dataset)
        taken = any(d.name == name for d in queries.datasets(conn))
    known = schema.current(ws, data.schema_code)
    codes = []
    for given in recipe.classes:
        if (code := known.resolve(given)) is None:
            raise NotFound(
                f"there is no label {given!r}",
                where=data.schema_code,
                remedy="`lamproom schema show` lists them",
            )
        codes.append(code)
    recipe = replace(recipe, classes=tuple(sorted(set(codes))))
    if recipe.model:
        recipe = replace(recipe, model=_model(ws, recipe).name)
    if not (recipe.classes or recipe.model or metadata_only):
        raise InvalidInput(
            "nothing is to be covered", remedy="name classes or a model, or say that metadata alone is to go"
        )
    if not (0 <= recipe.margin <= 2 and 0 <= recipe.score <= 1):
        raise InvalidInput("a margin is 0 to 2, a score 0 to 1")
    params: dict[str, object] = {
        "dataset": data.name, "into": name, "where": where, "recipe": recipe.to_json(),
        "tag": policy.checked(tag).to_json() if tag is not None else None,
    }  # fmt: skip
    with ws.db.read() as conn:
        same = [
            j for j in jobs.listing(conn, open_only=True) if j.kind == "redact" and dict(j.params) == params
        ]
    if taken and not same:
        raise Conflict(f"the dataset {name!r} exists already", remedy="name a new one")
    yield from go_on(ws, same[-1] if same else _create(ws, data.id, data.schema_code, params))


@dataclass(frozen=True, slots=True)
class Preview:
    """One picture before and after, uint8 (h, w, 3) BGR; `regions`: the shapes that are covered, before the margin."""

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    regions: tuple[Shape, ...]


def preview(ws: Workspace, asset_id: int, recipe: Recipe) -> Preview:
    """What a recipe makes of one picture. Nothing is written.

    Args:
        recipe: its classes are codes of the schema.

    Raises:
        NotFound: no such model. InvalidInput: the picture cannot be decoded. Unavailable: its file or the model's is gone.
    """
    with ws.db.read() as conn:
        order = _orders_of(conn, [asset_id], recipe)[0]
    shapes = order.shapes
    if recipe.model:
        row = _model(ws, recipe)
        with _predicted(ws, row, [(asset_id, order.place)], recipe) as found:
            shapes = (*shapes, *(s for result in found for s in _seen(recipe, result)))
    before = media.decode(_read(ws.folder, order.place))
    mask = covering.region(shapes, wh=(before.shape[1], before.shape[0]), margin=recipe.margin)
    return Preview(before, covering.covered(before, mask, BLACK), shapes)


def _create(ws: Workspace, source_id: int, schema_code: str, params: dict[str, object]) -> Job:
    into = str(params["into"])
    with ws.db.read() as conn:
        total = queries.count_items(conn, _query(ws, source_id, params))
    with ws.db.write() as conn:
        activity = record.start_activity(conn, "redact", ws.person.id, params)
        record.link(conn, activity, "used", "dataset", str(params["dataset"]))
        record.link(conn, activity, "generated", "dataset", into)
        dataset_id = register.add_dataset(conn, into, schema_code)
        job_id = jobs.create(
            conn, "redact", activity_id=activity, dataset_id=dataset_id, params=params, total=total, shards=[(1, 2**62)]
        )  # fmt: skip
        job = jobs.get(conn, job_id)
        register.add_root(conn, _location(ws, job))
        return job


def _location(ws: Workspace, job: Job) -> bytes:
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in str(job.params["into"]))[:40].strip(".-")
    return os.fsencode((ws.folder / FOLDER / f"{safe or 'redacted'}-{job.uid[-8:]}").resolve())


def _query(ws: Workspace, dataset_id: int, params: Any) -> Query:
    return Query(dataset_id, where=str(params["where"]), me=ws.person.id)


def _model(ws: Workspace, recipe: Recipe) -> onnx.ModelRow:
    row = onnx.show(ws, recipe.model)
    if not row.present:
        raise Unavailable(
            "this machine does not have the model's file", where=recipe.model, remedy="add it here"
        )
    if wrong := [c for c in recipe.model_classes if c not in row.card.labels]:
        raise NotFound(
            f"the model knows no class {wrong[0]!r}", where=row.name, remedy=", ".join(row.card.labels[:12])
        )
    return row


# --- the job --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Order:
    """One picture to redact: where it lies, what of it is covered."""

    asset_id: int
    place: Place
    key: str
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class _Made:
    """A copy on the disk: its path below the derived root, and what was done."""

    order: _Order
    path: str
    facts: Probe
    mtime_ns: int


@dataclass(slots=True)
class _Tally:
    left_out: int = 0
    rev: int = 0
    step: int | None = None


def go_on(ws: Workspace, job: Job) -> Work:
    """Do what is left of a redaction.

    Raises:
        Conflict: another process works on it.
    """
    recipe, tally = _recipe(job.params["recipe"]), _Tally(step=job.step)
    with ws.db.read() as conn:
        data = queries.dataset(conn, str(job.params["dataset"]))
        location = _location(ws, job)
        root = next(r for r in register.roots(conn) if r.location == location)
    yield Started(f"redact {data.name} → {job.params['into']}", job.total, str(job.id))
    done = job.done
    with jobs.held(ws.db, job.id) as lease, ThreadPoolExecutor(THREADS, "lamproom-redact") as pool:
        waiting: deque[tuple[_Order, Future[_Made | LamproomError]]] = deque()
        part: list[tuple[_Order, _Made | LamproomError]] = []
        with ExitStack() as opened:
            for order in _orders(ws, data.id, job, recipe, lease, opened):
                waiting.append((order, pool.submit(_make, ws.folder, root, recipe, order)))
                if len(waiting) >= 2 * THREADS:
                    first, future = waiting.popleft()
                    part.append((first, future.result()))
                if len(part) >= PART:
                    done += len(part)
                    yield from _commit(ws, data.id, job, lease, root, recipe, part, tally)
                    part = []
                    yield Progress(done, job.total)
            part += [(order, future.result()) for order, future in waiting]
            if part:
                yield from _commit(ws, data.id, job, lease, root, recipe, part, tally)
        with ws.db.write() as conn:
            regions = policy.regions(conn, job.activity_id)  # of earlier runs of this job too
            told = {
                "into": str(job.params["into"]), "pictures": len(regions), "covered": sum(n > 0 for n in regions),
                "regions": sum(regions),
            }  # fmt: skip
            jobs.finish(conn, job.id, "finished")
            audit.append(conn, agent=ws.person.name, verb="redact", subject=data.name, detail=told)
    yield Finished(
        {"job": job.id, "dataset": data.name, **told, "left_out": tally.left_out, "step": tally.step},
        Changes(tally.rev, datasets=(job.dataset_id or 0,), everything=True),
        problems=tally.left_out,
    )


def _orders(
    ws: Workspace, dataset_id: int, job: Job, recipe: Recipe, lease: Lease, opened: ExitStack
) -> Iterator[_Order]:
    """What is left, by asset id, with every region that is known or that the model finds."""
    pages = _pages(ws, _query(ws, dataset_id, job.params), recipe, lease.position)
    if not recipe.model:
        for page in pages:
            yield from page
        return
    row = _model(ws, recipe)
    held: deque[_Order] = deque()

    def items() -> Iterator[tuple[int, Place]]:
        for page in pages:
            held.extend(page)
            yield from ((order.asset_id, order.place) for order in page)

    found = opened.enter_context(_predicted(ws, row, items(), recipe))
    for result in found:
        order = held.popleft()
        # one it cannot read, _make cannot read either
        yield replace(order, shapes=(*order.shapes, *_seen(recipe, result)))


def _predicted(
    ws: Workspace, row: onnx.ModelRow, items: Iterable[tuple[int, Place]], recipe: Recipe
) -> batch.Run[Place]:
    return batch.predict(
        items, partial(_read, ws.folder), row.path, row.card, decode=media.decode,
        recipe=recipes.narrowed(recipes.PLAIN, score=recipe.score),
    )  # fmt: skip


def _seen(recipe: Recipe, result: batch.Result) -> list[Shape]:
    return [
        a.shape for a in result.annotations if not recipe.model_classes or a.label in recipe.model_classes
    ]


def _pages(ws: Workspace, query: Query, recipe: Recipe, after: int) -> Iterator[list[_Order]]:
    while True:
        with ws.db.read() as conn:
            ids = queries.asset_ids(conn, query, after=after, limit=PART)
            if not ids:
                return
            page = _orders_of(conn, ids, recipe)
        yield page
        after = ids[-1]


def _orders_of(conn: Connection, ids: Sequence[int], recipe: Recipe) -> list[_Order]:
    least = canonical.snap(recipe.score, canonical.MICRO)
    places = queries.places(conn, ids)
    held = dict(queries.sets_at(conn, ids, record.newest(conn)))
    keys = {p.asset_id: f"{p.root_code}/{p.path}" for p in register.pictured(conn, ids)}
    return [
        _Order(i, places[i], keys[i], tuple(
            from_row(r.kind, r.box, r.geometry) for r in held[i]
            if r.label in recipe.classes and (r.origin != "model" or (r.score_micro or 0) >= least)
        ))
        for i in ids
    ]  # fmt: skip


def _read(folder: Path, place: Place) -> bytes:
    return media.read_asset(folder, place.location, place.path, place.disk_path, place.blake3)


# --- one picture ----------------------------------------------------------------------------------------------------


def _make(folder: Path, root: Root, recipe: Recipe, order: _Order) -> _Made | LamproomError:
    """The copy, written and proved; or why there is none."""
    try:
        data = _read(folder, order.place)
        made, suffix = _redacted(data, order.shapes, recipe.margin)
        facts = media.probe(made)
        _demand_bare(made)
        inner = PurePosixPath(order.key.replace("!/", "/"))
        path = str(inner if inner.suffix.lower() in suffix else inner.with_name(inner.name + suffix[0]))
        target = Path(os.fsdecode(names.native(root.location, os.fsencode(path))))
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write(target, made)
        return _Made(order, path, facts, target.stat().st_mtime_ns)
    except LamproomError as fault:
        return fault
    except OSError as error:
        return Unavailable(f"the copy cannot be written: {error.strerror or error}", where=order.key)


def _redacted(data: bytes, shapes: Sequence[Shape], margin: float) -> tuple[bytes, tuple[str, ...]]:
    """The picture's copy and the suffixes it may have: a JPEG stays one where the proof holds, all else becomes PNG."""
    facts = media.probe(data)
    if facts.media_type == "image/jpeg":
        pixels = media.decode(data)
        mask = covering.region(shapes, wh=(pixels.shape[1], pixels.shape[0]), margin=margin)
        filled = covering.covered(pixels, mask, BLACK)
        jpeg = simplejpeg.encode_jpeg(filled, quality=QUALITY, colorspace="BGR", colorsubsampling="444")
        if covering.is_covered(media.decode(jpeg), mask, BLACK, lossy=True):
            return jpeg, (".jpg", ".jpeg", ".jpe", ".jfif")
    else:
        pixels = _whole_depth(data, facts)
        mask = covering.region(shapes, wh=(pixels.shape[1], pixels.shape[0]), margin=margin)
        filled = covering.covered(pixels, mask, BLACK)
    png = cv2.imencode(".png", filled)[1].tobytes()
    back = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if back is None or not np.array_equal(back, filled) or not covering.is_covered(back, mask, BLACK):
        raise InvalidInput("the covered regions could not be proved", remedy="report this picture")
    return png, (".png",)


def _whole_depth(data: bytes, facts: Probe) -> NDArray[Any]:
    """All bits of an upright picture of 8 or 16 bits; any other as the program shows it, with 8."""
    pixels = (
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if facts.orientation == 1 else None
    )
    fits = (
        pixels is not None
        and pixels.dtype in (np.uint8, np.uint16)
        and pixels.shape[:2] == (facts.height_px, facts.width_px)
        and (pixels.ndim == 2 or pixels.shape[2] in (3, 4))
    )
    return pixels if fits and pixels is not None else media.decode(data)


def _demand_bare(data: bytes) -> None:
    """Nothing beside the pixels: no EXIF, no place, no text, no profile."""
    with Image.open(io.BytesIO(data)) as picture:
        left = [*({"exif"} if picture.getexif() else ()), *(set(picture.info) - _PLAIN_INFO)]
    if left:
        raise InvalidInput(
            f"the copy still holds {', '.join(sorted(map(str, left)))}", remedy="report this picture"
        )


# --- writing --------------------------------------------------------------------------------------------------------


def _commit(
    ws: Workspace, source_id: int, job: Job, lease: Lease, root: Root, recipe: Recipe,
    part: Sequence[tuple[_Order, _Made | LamproomError]], tally: _Tally,
) -> Iterator[Event]:  # fmt: skip
    """Register the copies with their truth, in one change; what could not be made is told."""
    into = job.dataset_id or 0
    last = part[-1][0].asset_id
    good = [m for _, m in part if isinstance(m, _Made)]
    for order, made in part:
        if isinstance(made, LamproomError):
            tally.left_out += 1
            yield Warned(f"left out: {made.what}", order.key)
    with ws.db.read() as conn:
        agent_id = register.agent_of(conn, job.activity_id)
        known = {i for i, _ in register.by_digest(conn, [m.facts.blake3 for m in good]).values()}
    with record.change(
        ws.db, agent_id=agent_id, activity_id=job.activity_id, verb="redact", dataset_id=into,
        assets=known, step=tally.step, durable=False,
    ) as draft:  # fmt: skip
        twins = _write(draft, source_id, into, job, root, recipe, good)
        jobs.advance(draft.conn, lease, last, n=len(part), step=draft.step)
    tally.step, tally.rev = tally.step or draft.step, draft.rev
    for key in twins:
        tally.left_out += 1
        yield Warned("left out: its copy equals one that is there already", key)


def _write(
    draft: record.Draft,
    source_id: int,
    into: int,
    job: Job,
    root: Root,
    recipe: Recipe,
    good: Sequence[_Made],
) -> list[str]:
    """Returns the keys whose copies equal another's: a dataset holds every picture once."""
    conn = draft.conn
    register.lock(conn)
    known = register.by_digest(conn, [m.facts.blake3 for m in good])
    fresh: dict[bytes, _Made] = {}
    for m in good:
        if m.facts.blake3 not in known:
            fresh.setdefault(m.facts.blake3, m)
    new = [NewAsset(root.id, m.path, None, m.mtime_ns, m.facts) for m in fresh.values()]
    ids = dict(zip(fresh, register.insert_assets(conn, new, job.activity_id), strict=True))
    ids |= {digest: asset_id for digest, (asset_id, _) in known.items()}
    there = register.live_items(conn, into, ids.values())
    kept: dict[int, _Made] = {}
    twins = []
    for m in good:
        asset_id = ids[m.facts.blake3]
        if asset_id in there or asset_id in kept:
            twins.append(m.order.key)
        else:
            kept[asset_id] = m
    originals = [m.order.asset_id for m in kept.values()]
    items = register.item_rows(conn, source_id, originals)
    draft.enrol([
        ItemEdit(into, asset_id, opens=(row.split, row.review) if (row := items.get(m.order.asset_id)) else (0, 0))
        for asset_id, m in kept.items()
    ])  # fmt: skip
    copies = _derive(conn, job, recipe, kept)
    _carry(draft, originals, kept)
    if (tag := job.params["tag"]) is not None:
        # Copies alone are opened: a picture that was here before, be it the original that needed nothing, keeps its own tag.
        made = sorted({ids[digest] for digest in fresh} & kept.keys() | copies)
        agent_id = register.agent_of(conn, job.activity_id)
        policy.put(conn, "asset", made, policy.from_json(str(tag)), agent_id, spoken=True)
    return twins


def _derive(conn: Connection, job: Job, recipe: Recipe, kept: dict[int, _Made]) -> set[int]:
    """Remember what each copy was made of; one that equals its original needed nothing and is no copy.

    Returns:
        those that were copies already, of an earlier run.
    """
    have = policy.derived(conn, sorted(kept))
    told = [
        (asset_id, m.order.asset_id, job.activity_id,
         canonical.encode({**recipe.to_json(), "regions": len(m.order.shapes)}).decode())
        for asset_id, m in kept.items() if asset_id != m.order.asset_id and asset_id not in have
    ]  # fmt: skip
    policy.derive(conn, told)
    return set(have)


def _carry(draft: record.Draft, originals: Sequence[int], kept: dict[int, _Made]) -> None:
    """The originals' truth on the copies: objects of their own, each derived from the one it was."""
    conn = draft.conn
    held = dict(queries.sets_at(conn, originals, draft.rev))
    numbers = record.label_ids(conn, sorted({r.label for rows in held.values() for r in rows}))
    edits: list[Edit] = []
    for asset_id, m in kept.items():
        if asset_id == m.order.asset_id:
            continue
        truth = [r for r in held[m.order.asset_id] if r.origin != "model"]
        uids = {r.uid: new_uid() for r in truth}
        edits += [
            Edit(
                opens=labelling.content(
                    _moved(r, uids), asset_id, numbers[r.label], origin=r.origin, from_id=r.id
                )
            )
            for r in truth
        ]
    draft.annotate(edits)


def _moved(row: Stored, uids: dict[str, str]) -> Annotation:
    value = replace(labelling.value(row), uid=uids[row.uid])
    pairs = [(name, uids[uid]) for name, uid in marks.links(value) if uid in uids]
    if "@links" not in value.attributes:
        return value
    plain = {k: v for k, v in value.attributes.items() if k != "@links"}
    return marks.with_links(replace(value, attributes=MappingProxyType(plain)), pairs)

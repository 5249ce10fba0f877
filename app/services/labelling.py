"""The page at hand: load, save a gesture, accept and reject predictions, undo, redo, history, recycle bin, restore."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from sqlalchemy.engine import Connection

from annotation import canonical, sets
from annotation.core import NO_ATTRIBUTES, Annotation, AnnotationSet
from annotation.errors import InvalidInput, NotFound
from annotation.rows import from_row, to_row
from app.events import Changes, Finished, Started, Work
from app.services import schema as schemas
from app.services.workspace import Workspace
from storage import history as past
from storage import queries, record
from storage import steps as undoing
from storage.history import Deleted, HistoryRow, ItemEvent
from storage.jobs import Job
from storage.queries import Stored
from storage.record import Content, Edit
from storage.steps import Inverted, Step
from storage.tables import KINDS, ORIGINS

_KIND = {kind: i for i, kind in enumerate(KINDS)}
_ORIGIN = {origin: i for i, origin in enumerate(ORIGINS)}


@dataclass(frozen=True, slots=True)
class Page:
    """Annotations of an asset as read at a revision; `rows` maps uid to the row that holds it."""

    asset_id: int
    revision: int
    annotations: AnnotationSet
    rows: Mapping[str, int]


def value(row: Stored) -> Annotation:
    """The annotation a stored row holds."""
    return Annotation(
        row.label,
        from_row(row.kind, row.box, row.geometry),
        MappingProxyType(json.loads(row.attributes)) if row.attributes else NO_ATTRIBUTES,
        None if row.score_micro is None else row.score_micro / canonical.MICRO,
        row.origin,  # type: ignore[arg-type]
        row.uid,
    )


def content(
    a: Annotation, asset_id: int, label_id: int, *, origin: str, from_id: int | None = None, uid: str = ""
) -> Content:
    """What the record stores of an annotation: snapped integers and canonical JSON; `uid` instead of its own."""
    kind, box, shape = to_row(a.shape)
    clean = (
        {k: canonical.nfc(v) if isinstance(v, str) else v for k, v in a.attributes.items()}
        if a.attributes
        else None
    )
    return Content(
        uid=bytes.fromhex(uid or a.uid),
        asset_id=asset_id,
        label_id=label_id,
        kind=_KIND[kind],
        box=box,
        geometry=shape,
        attributes=canonical.encode(clean).decode() if clean else None,
        score_micro=canonical.snap(a.score, canonical.MICRO)
        if a.score is not None and origin == "model"
        else None,
        origin=_ORIGIN[origin],
        from_id=from_id,
    )


def load(ws: Workspace, asset_id: int, *, revision: int | None = None) -> Page:
    """The live annotations of an asset, or those of an earlier revision (then `rows` are closed rows: read only)."""
    with ws.db.read() as conn:
        newest = record.newest(conn)
        rows = (
            queries.live(conn, asset_id)
            if revision is None
            else queries.at_revision(conn, asset_id, revision)
        )
    return Page(
        asset_id,
        newest if revision is None else revision,
        tuple(map(value, rows)),
        {r.uid: r.id for r in rows},
    )


_READ_ANEW_AFTER = 5_000
"""Revisions: of an older page the whole is read again."""


def refresh(ws: Workspace, page: Page) -> Page:
    """The page as the record holds it now; costs what changed since it was read. What did not change stays the same object."""
    with ws.db.read() as conn:
        return _brought_up(conn, page, record.newest(conn))


def _brought_up(conn: Connection, page: Page, revision: int) -> Page:
    """The page at `revision`, the newest of `conn`: its rows with the news laid over, checked against the record.

    The check: as many live rows as the page now has, and none with a higher id. Rows of one asset are numbered in the
    order they are committed, so a change this connection could not see by revision (PostgreSQL draws them before
    it commits) shows in one of the two, and the page is read whole.
    """
    if revision - page.revision <= _READ_ANEW_AFTER:
        news = queries.since(conn, page.asset_id, page.revision)
        closed, rows = frozenset(news.closed), dict(page.rows)
        gone = [uid for uid, row in rows.items() if row in closed] if closed else []
        for uid in gone:
            del rows[uid]
        rows.update((r.uid, r.id) for r in news.opened)
        if len(rows) == news.count and max(rows.values(), default=0) == news.newest_id:
            gone = [uid for uid in gone if uid not in rows]
            laid = sets.laid_over(page.annotations, map(value, news.opened), gone)
            return Page(page.asset_id, revision, laid, rows)
    found = queries.live(conn, page.asset_id)
    return Page(page.asset_id, revision, tuple(map(value, found)), {r.uid: r.id for r in found})


def save(ws: Workspace, page: Page, after: AnnotationSet, *, verb: str) -> Page:
    """Commit one gesture: the difference between `page` and `after`, by uid, as one flushed change.

    A new uid is created, a missing one deleted, a changed one edited; what a person edits becomes human.

    Args:
        verb: what the person did, in the log's words: "draw", "move", "relabel", "delete", "attribute" …

    Returns:
        the page as it is now.

    Raises:
        Conflict: somebody was faster on one of the objects; nothing is written.
    """
    return _commit(ws, [(page, *_difference(page, after))], verb, page.asset_id)[0]


def save_many(
    ws: Workspace, gestures: Sequence[tuple[Page, AnnotationSet]], *, verb: str, page: int
) -> list[Page]:
    """Commit one gesture that reaches over several pictures (a track, a copy forward), as one flushed change.

    Args:
        gestures: (page as read, what it shall hold) of each picture, each picture once.
        page: id of the asset on whose undo stack the step lies: the picture the person looked at.

    Returns:
        the pages as they are now, in the order given.

    Raises:
        Conflict: somebody was faster on one of the objects; nothing is written on any picture.
    """
    if len({p.asset_id for p, _ in gestures}) < len(gestures):
        raise InvalidInput("a picture is named twice in one gesture")
    return _commit(ws, [(p, *_difference(p, after)) for p, after in gestures], verb, page)


def _difference(page: Page, after: AnnotationSet) -> tuple[list[Annotation], list[str]]:
    """(annotations that are new or changed, uids that are gone)."""
    if len({a.uid for a in after}) != len(after):
        raise InvalidInput("two objects share one uid")
    return sets.difference(page.annotations, after)


def accept(ws: Workspace, page: Page, uids: Iterable[str]) -> Page:
    """Make predictions truth: a human row of the same object, derived from the prediction, its score dropped. One step."""
    wanted = set(uids)
    chosen = [
        replace(a, origin="human", score=None)
        for a in page.annotations
        if a.uid in wanted and a.origin == "model"
    ]
    return _commit(ws, [(page, chosen, [])], "accept", page.asset_id)[0]


def reject(ws: Workspace, page: Page, uids: Iterable[str]) -> Page:
    """Close predictions and remember it, so that the model's next run does not bring them back. One step."""
    wanted = set(uids)
    gone = [a.uid for a in page.annotations if a.uid in wanted and a.origin == "model"]
    return _commit(ws, [(page, [], gone)], "reject", page.asset_id)[0]


def _commit(
    ws: Workspace, gestures: Sequence[tuple[Page, Sequence[Annotation], Sequence[str]]], verb: str, page: int
) -> list[Page]:
    """One change over (page, annotations that are new or changed, uids that are gone)."""
    if not any(changed or gone for _, changed, gone in gestures):
        return [p for p, _, _ in gestures]
    session = ws.session()
    with record.change(
        ws.db,
        agent_id=ws.person.id,
        activity_id=session,
        verb=verb,
        assets=[p.asset_id for p, _, _ in gestures],
        page=page,
    ) as draft:
        numbers = record.label_ids(draft.conn, (a.label for _, changed, _ in gestures for a in changed))
        edits = []
        for p, changed, gone in gestures:
            for a in changed:
                old = p.rows.get(a.uid)
                edits.append(Edit(old, content(a, p.asset_id, numbers[a.label], origin="human", from_id=old)))
            edits += [Edit(closes=p.rows[uid]) for uid in gone]
        draft.annotate(edits)
        return [_brought_up(draft.conn, p, draft.rev) for p, _, _ in gestures]


def undo(ws: Workspace, page: Page) -> Page | None:
    """Undo this person's last standing step on this page; None when there is none. Conflict when others changed it since."""
    return _turn(ws, page, record.UNDO)


def redo(ws: Workspace, page: Page) -> Page | None:
    """Redo this person's last undone step on this page; None when there is none."""
    return _turn(ws, page, record.REDO)


def _turn(ws: Workspace, page: Page, op: int) -> Page | None:
    with ws.db.read() as conn:
        target = undoing.tops(conn, page.asset_id, ws.person.id)[0 if op == record.UNDO else 1]
    if target is None:
        return None
    undoing.invert(ws.db, target, agent_id=ws.person.id, activity_id=ws.session(), op=op)
    return refresh(ws, page)


def can_undo(ws: Workspace, asset_id: int) -> tuple[bool, bool]:
    """(undo possible, redo possible) for this person on this page."""
    with ws.db.read() as conn:
        done, undone = undoing.tops(conn, asset_id, ws.person.id)
    return done is not None, undone is not None


def undo_step(ws: Workspace, step: int, *, skip_changed: bool = False) -> Changes:
    """Undo any step of anybody: a gesture, a bulk action, a pre-label job, a schema change, or another undo.

    Raises:
        Conflict: it is open, undone already, or its objects were changed since (unless `skip_changed`).
    """
    schemas.demand_undoable(ws, step)
    done = undoing.invert(
        ws.db, step, agent_id=ws.person.id, activity_id=ws.session(), skip_changed=skip_changed
    )
    return _changes(done)


def go_on(ws: Workspace, job: Job) -> Work:
    """Do what is left of the undo of a bulk step that was killed half-way."""
    yield Started(f"undo r{job.params['step']}", job.total, str(job.id))
    done = undoing.go_on(ws.db, job)
    yield Finished(
        {"job": job.id, "objects": done.objects, "left": done.left, "step": done.step}, _changes(done)
    )


def _changes(done: Inverted) -> Changes:
    return Changes(
        revision=done.rev, assets=done.assets[:1000], everything=len(done.assets) > 1000 or not done.assets
    )


def last_step(ws: Workspace) -> Step | None:
    """This person's newest step that stands and is no undo, pre-label jobs they started among them: what a bare `lamproom undo` undoes."""
    before: int | None = None
    while True:
        with ws.db.read() as conn:
            found = undoing.steps(conn, before=before, limit=100, agent_id=ws.person.id)
        for s in found:
            if s.stands and not s.open:
                return s
        if not found:
            return None
        before = found[-1].step


def steps(ws: Workspace, *, before: int | None = None, limit: int = 50) -> list[Step]:
    """Steps of everybody, newest first."""
    with ws.db.read() as conn:
        return undoing.steps(conn, before=before, limit=limit)


def history(ws: Workspace, *, asset_id: int, uid: str | None = None, limit: int = 100) -> list[HistoryRow]:
    """What happened on a page, or to one object of it, newest first."""
    with ws.db.read() as conn:
        return past.history(conn, asset_id=asset_id, uid=uid, limit=limit)


def item_events(ws: Workspace, asset_id: int, dataset_id: int) -> list[ItemEvent]:
    """Review, assignment and split of a picture, newest first."""
    with ws.db.read() as conn:
        return past.item_events(conn, asset_id, dataset_id)


def recycled(
    ws: Workspace, dataset_id: int, *, before: tuple[int, int] | None = None, limit: int = 200
) -> list[Deleted]:
    """The recycle bin of a dataset, newest first, below (rev, row_id) `before`."""
    with ws.db.read() as conn:
        return past.deleted(conn, dataset_id, before=before, limit=limit)


def restore(ws: Workspace, row_ids: Sequence[int]) -> Changes:
    """Bring objects back to the state of these rows, as one step."""
    if not row_ids:
        raise NotFound("nothing to restore was named")
    rev = undoing.restore(ws.db, row_ids, agent_id=ws.person.id, activity_id=ws.session())
    return Changes(revision=rev, everything=True)

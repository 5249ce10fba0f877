"""Bulk work on what is chosen or on all that matches: many small changes of one step, so that nobody at the desk waits.

Every function is Work: the number is in `Started`, `Finished` names the step that `undo` takes back whole, and what was
left alone because it changed meanwhile or does not suit. What a person changes becomes a person's, as at the desk.
"""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy.engine import Connection

from annotation import canonical
from annotation.core import AttributeValue, new_uid
from annotation.edits import fitting
from annotation.errors import InvalidInput, NotFound
from annotation.schema import Label
from app.events import Changes, Finished, Progress, Started, Work
from app.services import review, schema
from app.services.workspace import Workspace
from storage import jobs, listing, queries, record, register
from storage.queries import Query
from storage.record import BATCH_ROWS, PAUSE_S, Content, Draft, Edit, ItemEdit
from storage.tables import KINDS, REVIEWS, SPLITS

TAG = KINDS.index("tag")


@dataclass(frozen=True, slots=True)
class Pick:
    """What a bulk action is about.

    Attributes:
        query: what is looked at. objects: it lists objects, else pictures.
        ids: chosen asset ids, or annotation rows of objects; None: everything that matches.
    """

    query: Query
    objects: bool = False
    ids: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """How much a bulk action would touch."""

    pictures: int
    objects: int
    predictions: int


def size(ws: Workspace, pick: Pick) -> Size:
    """Count what is picked, for the sentence a person reads before the deed."""
    rows, assets = _objects(ws, pick)
    predictions, _ = _objects(ws, pick, predictions=True)
    n = len(set(assets)) if pick.objects else len(pictures(ws, pick))
    return Size(n, len(rows), len(predictions))


# --- on objects ---------------------------------------------------------------------------------------------------


def accept(ws: Workspace, what: Pick | Query, *, min_score: float | None = None) -> Work:
    """Make predictions truth.

    Args:
        what: a query of pictures means their predictions that meet its conditions on objects.
        min_score: only predictions of at least this score (0..1).
    """
    return _on_objects(ws, _bound(what, min_score), "accept", lambda _, row: _edited(row), predictions=True)


def reject(ws: Workspace, what: Pick | Query, *, min_score: float | None = None) -> Work:
    """Close predictions and remember that they were rejected."""
    return _on_objects(
        ws, _bound(what, min_score), "reject", lambda _, row: Edit(closes=row[0]), predictions=True
    )


def delete(ws: Workspace, pick: Pick) -> Work:
    """Delete objects; the recycle bin and undo bring them back."""
    return _on_objects(ws, pick, "delete", lambda _, row: Edit(closes=row[0]))


def relabel(ws: Workspace, pick: Pick, label: str) -> Work:
    """Give objects another class. Attributes that the class does not have go, its defaults come, as at the desk; shapes
    it cannot hold are left.

    Raises:
        NotFound, InvalidInput: no such class, or it cannot be drawn.
    """
    found = _label(ws, pick, label)
    numbers: dict[str, int] = {}

    def edit(conn: Connection, row: Any) -> Edit | None:
        if not numbers:
            numbers.update(record.label_ids(conn, [found.code]))
        if KINDS[row[4]] not in found.kinds or row[3] == numbers[found.code]:
            return None
        held = json.loads(row[10]) if row[10] else {}
        new = {**found.defaults(), **fitting(held, found)}
        return _edited(row, label_id=numbers[found.code], attributes=_attributes(new))

    return _on_objects(ws, pick, "relabel", edit)


def attribute(ws: Workspace, pick: Pick, code: str, value: AttributeValue | None) -> Work:
    """Set an attribute of objects (None: take it away); objects of classes without it are left.

    Raises:
        InvalidInput: no class has such an attribute, or it cannot hold the value.
    """
    known = _schema(ws, pick)
    having = {
        x.code for x in known.labels if (a := x.attribute(code)) and (value is None or a.accepts(value))
    }
    if not having:
        raise InvalidInput(
            f"no class has the attribute {code!r} with this value", remedy="look at the label schema"
        )
    numbers: dict[str, int] = {}

    def edit(conn: Connection, row: Any) -> Edit | None:
        if not numbers:
            numbers.update(record.label_ids(conn, having))
        held = json.loads(row[10]) if row[10] else {}
        if row[3] not in numbers.values() or held.get(code) == value:
            return None
        after = {k: v for k, v in held.items() if k != code} | ({} if value is None else {code: value})
        return _edited(row, attributes=_attributes(after))

    return _on_objects(ws, pick, "attribute", edit)


# --- on pictures --------------------------------------------------------------------------------------------------


def tag(ws: Workspace, pick: Pick, label: str) -> Work:
    """Give whole pictures a class, as a tag; those that have it are left.

    Raises:
        NotFound, InvalidInput: no such class, or it cannot be a tag.
    """
    found = _label(ws, pick, label)
    if "tag" not in found.kinds:
        raise InvalidInput(
            f"{found.code} is no class for whole pictures", remedy="the label schema says what a class is for"
        )

    def enter(draft: Draft, assets: Sequence[int]) -> int:
        number = record.label_ids(draft.conn, [found.code])[found.code]
        ids = ",".join(map(str, assets))
        have = set(
            draft.conn.exec_driver_sql(
                f"SELECT asset_id FROM annotation WHERE asset_id IN ({ids}) AND died IS NULL AND kind = {TAG} AND label_id = {number}"
            ).scalars()
        )
        draft.annotate(
            [
                Edit(opens=Content(bytes.fromhex(new_uid()), a, number, TAG, None, None, _attributes(dict(found.defaults())), None, record.HUMAN))
                for a in assets
                if a not in have
            ]
        )  # fmt: skip
        return len(assets) - len(have)

    return _on_pictures(ws, pick, "tag", enter)


def assign(ws: Workspace, pick: Pick, person: str | None) -> Work:
    """Put pictures into a person's name (made known when new), or into nobody's."""
    name = canonical.nfc(person.strip()) if person is not None else None
    if name == "":
        raise InvalidInput("a person needs a name")

    def enter(draft: Draft, assets: Sequence[int]) -> int:
        agent = record.agent(draft.conn, "person", name).id if name is not None else None
        rows = register.item_rows(draft.conn, pick.query.dataset_id, assets)
        edits = [
            ItemEdit(pick.query.dataset_id, a, row.id, (row.split, row.review), agent)
            for a, row in rows.items()
            if row.assignee_id != agent
        ]
        draft.enrol(edits)
        return len(edits)

    return _on_pictures(ws, pick, "assign", enter)


def judge(ws: Workspace, pick: Pick, state: str) -> Work:
    """Give pictures a review state: draft, submitted, accepted or returned. InvalidInput for another."""
    if state not in REVIEWS:
        raise InvalidInput(f"there is no review state {state!r}", remedy=", ".join(REVIEWS))

    def enter(draft: Draft, assets: Sequence[int]) -> int:
        edits = review.turns(draft, pick.query.dataset_id, assets, state, ws.person.id)
        draft.enrol(edits)
        return len(edits)

    return _on_pictures(ws, pick, f"review: {state}", enter)


def split(ws: Workspace, pick: Pick, chosen: Mapping[int, str], *, rule: Mapping[str, object]) -> Work:
    """Give pictures their split: asset id -> train, val, test or "" for none; those that have it are left.

    Args:
        rule: how they were chosen, for the lineage.
    """

    def enter(draft: Draft, assets: Sequence[int]) -> int:
        rows = register.item_rows(draft.conn, pick.query.dataset_id, assets)
        edits = [
            ItemEdit(pick.query.dataset_id, a, row.id, (number, row.review), row.assignee_id)
            for a, row in rows.items()
            if row.split != (number := SPLITS.index(chosen[a]))
        ]
        draft.enrol(edits)
        return len(edits)

    return _on_pictures(ws, pick, "split", enter, rule)


# --- how ----------------------------------------------------------------------------------------------------------


def _bound(what: Pick | Query, min_score: float | None) -> Pick:
    pick = what if isinstance(what, Pick) else Pick(what)
    if min_score is None:
        return pick
    return replace(pick, query=replace(pick.query, min_score=max(min_score, pick.query.min_score or 0.0)))


def _schema(ws: Workspace, pick: Pick) -> Any:
    with ws.db.read() as conn:
        data = queries.dataset(conn, pick.query.dataset_id)
    return schema.current(ws, data.schema_code)


def _label(ws: Workspace, pick: Pick, name: str) -> Label:
    known = _schema(ws, pick)
    code = known.resolve(name)
    found = known.label(code) if code is not None else None
    if found is None:
        raise NotFound(
            f"there is no label {name!r}", where=known.code, remedy="`lamproom schema show` lists them"
        )
    return found  # type: ignore[no-any-return]


def _attributes(values: dict[str, AttributeValue]) -> str | None:
    return canonical.encode(values).decode() if values else None


_ROW = "SELECT id, uid, asset_id, label_id, kind, x0, y0, x1, y1, geometry, attributes FROM annotation "


def _edited(row: Any, *, label_id: int | None = None, attributes: str | None = "") -> Edit:
    """A person's successor of a row; attributes "" = as they are."""
    box = None if row[5] is None else (row[5], row[6], row[7], row[8])
    held = row[10] if attributes == "" else attributes
    content = Content(
        bytes(row[1]),
        row[2],
        label_id or row[3],
        row[4],
        box,
        row[9],
        held,
        None,
        record.HUMAN,
        from_id=row[0],
    )
    return Edit(row[0], content)


def _objects(ws: Workspace, pick: Pick, *, predictions: bool = False) -> tuple[array[int], array[int]]:
    """(rows, their assets), frozen now: "everything that matches" cannot grow while the work runs."""
    rows, assets = array("q"), array("q")
    query = replace(pick.query, me=pick.query.me or ws.person.id)

    def take(found: Sequence[tuple[int, int]]) -> None:
        rows.extend(r for r, _ in found)
        assets.extend(a for _, a in found)

    if pick.ids is not None and pick.objects:
        only = "AND origin = 1 " if predictions else ""
        for i in range(0, len(pick.ids), 500):
            ids = ",".join(str(int(x)) for x in pick.ids[i : i + 500])
            with ws.db.read() as conn:
                take([(r[0], r[1]) for r in conn.exec_driver_sql(f"SELECT id, asset_id FROM annotation WHERE id IN ({ids}) AND died IS NULL {only}ORDER BY asset_id, id")])  # fmt: skip
    elif pick.ids is not None:
        for i in range(0, len(pick.ids), 500):
            with ws.db.read() as conn:
                take(
                    listing.members(
                        conn, query, objects=False, assets=pick.ids[i : i + 500], predictions=predictions
                    )
                )
    else:
        for low, high in _spans(ws, query.dataset_id):
            with ws.db.read() as conn:
                take(
                    listing.members(
                        conn, query, objects=pick.objects, low=low, high=high, predictions=predictions
                    )
                )
    return rows, assets


def pictures(ws: Workspace, pick: Pick) -> array[int]:
    """Asset ids of what is picked, rising."""
    if pick.objects:
        return array("q", sorted(set(_objects(ws, pick)[1])))
    if pick.ids is not None:
        return array("q", sorted(set(pick.ids)))
    out = array("q")
    query = replace(pick.query, me=pick.query.me or ws.person.id)
    for low, high in _spans(ws, query.dataset_id):
        with ws.db.read() as conn:
            out.extend(a for a, _ in listing.keys(conn, query, objects=False, low=low, high=high))
    return out


def _spans(ws: Workspace, dataset_id: int) -> Iterator[tuple[int, int]]:
    low = 0
    while True:
        with ws.db.read() as conn:
            high = listing.stretches(conn, dataset_id, low)
        yield low, 2**62 if high is None else high
        if high is None:
            return
        low = high


def _on_objects(
    ws: Workspace,
    pick: Pick,
    verb: str,
    edit: Callable[[Connection, Any], Edit | None],
    *,
    predictions: bool = False,
) -> Work:
    rows, assets = _objects(ws, pick, predictions=predictions)

    def enter(draft: Draft, part: Sequence[int]) -> int:
        live = draft.conn.exec_driver_sql(
            f"{_ROW}WHERE died IS NULL AND id IN ({','.join(map(str, part))})"
        ).all()
        edits = [made for row in live if (made := edit(draft.conn, row)) is not None]
        draft.annotate(edits)
        return len(edits)

    return _run(ws, pick, verb, rows, assets, enter, "objects")


def _on_pictures(
    ws: Workspace,
    pick: Pick,
    verb: str,
    enter: Callable[[Draft, Sequence[int]], int],
    told: Mapping[str, object] = MappingProxyType({}),
) -> Work:
    assets = pictures(ws, pick)
    return _run(ws, pick, verb, assets, assets, enter, "pictures", told)


def _run(
    ws: Workspace,
    pick: Pick,
    verb: str,
    things: array[int],
    assets: array[int],
    enter: Callable[[Draft, Sequence[int]], int],
    noun: str,
    told: Mapping[str, object] = MappingProxyType({}),
) -> Work:
    yield Started(verb, total=len(things))
    if not things:
        yield Finished({noun: 0, "left": 0})
        return
    data = pick.query.dataset_id
    with ws.db.write() as conn:
        activity = record.start_activity(
            conn, "review", ws.person.id, {**told, "verb": verb, noun: len(things)}
        )
        job = jobs.create(conn, "review", activity_id=activity, dataset_id=data, params={"verb": verb},
                          total=len(things), shards=[(1, 2**62)])  # fmt: skip
    done = seen = 0
    step: int | None = None
    rev = 0
    try:
        with jobs.held(ws.db, job) as lease:
            for i in range(0, len(things), BATCH_ROWS):
                part = things[i : i + BATCH_ROWS]
                with record.change(
                    ws.db, agent_id=ws.person.id, activity_id=activity, verb=verb, dataset_id=data,
                    assets=assets[i : i + BATCH_ROWS], step=step, durable=False,
                ) as draft:  # fmt: skip
                    done += enter(draft, part)
                    jobs.advance(draft.conn, lease, 0, n=len(part), step=draft.step)
                seen += len(part)
                step, rev = draft.step, draft.rev
                yield Progress(seen, len(things))
                time.sleep(PAUSE_S)
    except GeneratorExit:
        _finish(ws, job, "cancelled")
        raise
    _finish(ws, job, "finished")
    left = seen - done
    yield Finished(
        {noun: done, "left": left, "step": step}, Changes(rev, datasets=(data,), everything=True), left
    )


def _finish(ws: Workspace, job: int, outcome: str) -> None:
    with ws.db.write() as conn:
        jobs.finish(conn, job, outcome)

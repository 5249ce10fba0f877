"""Review: the way of a picture from draft over submitted to accepted or returned. Bulk work is in app.services.bulk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation import canonical
from annotation.errors import InvalidInput, NotFound
from app.events import Changes
from app.services import remarks
from app.services.workspace import Workspace
from storage import queries, record, register
from storage.queries import Standing
from storage.record import IMPORT, MODEL, Agent, Draft, ItemEdit
from storage.register import ItemKey
from storage.tables import REVIEWS

# --- the way of a picture ---------------------------------------------------------------------------------------------

AT_ONCE = 5000
"""Pictures that `judge` and `assign` take in one change; more is bulk work."""


def judge(ws: Workspace, dataset_id: int, asset_ids: Sequence[int], state: str, *, note: str = "") -> Changes:
    """Give pictures of a dataset a review state, as one step; a note becomes a remark on each of them.

    Submitting a picture that is with nobody puts it into the submitter's name; returned work goes back to whom it is
    with, and failing that to who worked on it last.

    Args:
        state: one of REVIEWS: draft, submitted, accepted, returned.

    Raises:
        NotFound: a picture is not in the dataset. InvalidInput: no such state, or more than AT_ONCE pictures.
    """
    if state not in REVIEWS:
        raise InvalidInput(f"there is no review state {state!r}", remedy=", ".join(REVIEWS))
    with _item_change(ws, dataset_id, asset_ids, f"review: {state}") as (draft, rows):
        edits = turns(draft, dataset_id, asset_ids, state, ws.person.id)
        draft.enrol(edits)
        if note.strip():
            draft.remark([], [remarks.content(ws, a, note) for a in rows])
    return Changes(revision=draft.rev, assets=tuple(rows), datasets=(dataset_id,))


def turns(
    draft: Draft, dataset_id: int, asset_ids: Sequence[int], state: str, agent_id: int
) -> list[ItemEdit]:
    """What gives pictures a review state when this person says so; those that have it already are left out."""
    number, edits = REVIEWS.index(state), []
    for asset_id, row in register.item_rows(draft.conn, dataset_id, asset_ids).items():
        author = row.assignee_id
        if author is None and state == "submitted":
            author = agent_id
        elif author is None and state == "returned":
            author = _last_hand(draft.conn, asset_id)
        if (row.review, row.assignee_id) != (number, author):
            edits.append(ItemEdit(dataset_id, asset_id, row.id, (row.split, number), author))
    return edits


def assign(ws: Workspace, dataset_id: int, asset_ids: Sequence[int], person: str | None) -> Changes:
    """Put pictures into a person's name (made known when new), or into nobody's, as one step."""
    name = canonical.nfc(person.strip()) if person is not None else None
    if name == "":
        raise InvalidInput("a person needs a name")
    with _item_change(ws, dataset_id, asset_ids, "assign") as (draft, rows):
        agent = record.agent(draft.conn, "person", name).id if name is not None else None
        draft.enrol(
            [
                ItemEdit(dataset_id, a, row.id, (row.split, row.review), agent)
                for a, row in rows.items()
                if row.assignee_id != agent
            ]
        )
    return Changes(revision=draft.rev, assets=tuple(rows), datasets=(dataset_id,))


def standings(ws: Workspace, dataset_id: int) -> list[Standing]:
    """Pictures of a dataset by review state, person and content: those that are with somebody or beyond draft."""
    with ws.db.read() as conn:
        return queries.standings(conn, dataset_id)


@dataclass(frozen=True, slots=True)
class Makeup:
    """What the labels of a picture are made of, in objects. kept: a prediction accepted as it was; corrected: its shape
    or attributes changed; relabelled: another class; waiting: predictions nobody has judged; rejected: those that are gone."""

    drawn: int = 0
    kept: int = 0
    corrected: int = 0
    relabelled: int = 0
    imported: int = 0
    waiting: int = 0
    rejected: int = 0


def makeup(ws: Workspace, asset_id: int) -> Makeup:
    """How the labels of a picture came about: each living object compared with the first row of it."""
    with ws.db.read() as conn:
        rows = conn.execute(
            sa.text(
                "SELECT uid, origin, label_id, kind, x0, y0, x1, y1, geometry, attributes, died FROM annotation "
                "WHERE asset_id = :a ORDER BY id"
            ),
            {"a": asset_id},
        ).all()
    first: dict[bytes, Any] = {}
    last: dict[bytes, Any] = {}
    for r in rows:
        first.setdefault(bytes(r[0]), r)
        if r[10] is None:
            last[bytes(r[0])] = r
    n: Counter[str] = Counter()
    for uid, then in first.items():
        now = last.get(uid)
        if then[1] == MODEL:
            n["rejected" if now is None else "waiting" if now[1] == MODEL else "relabelled" if now[2] != then[2] else
              "kept" if tuple(now[3:10]) == tuple(then[3:10]) else "corrected"] += 1  # fmt: skip
        elif now is not None:
            n["imported" if then[1] == IMPORT else "drawn"] += 1
    return Makeup(**n)


def people(ws: Workspace) -> list[Agent]:
    """Everybody who ever acted here or was given work, by name."""
    with ws.db.read() as conn:
        rows = conn.exec_driver_sql("SELECT id, kind, name FROM agent WHERE kind = 'person' ORDER BY name")
        return [Agent(r[0], r[1], r[2]) for r in rows]


@contextmanager
def _item_change(
    ws: Workspace, dataset_id: int, asset_ids: Sequence[int], verb: str
) -> Iterator[tuple[Draft, dict[int, ItemKey]]]:
    if not asset_ids:
        raise InvalidInput("no picture was named")
    if len(asset_ids) > AT_ONCE:
        raise InvalidInput(
            f"{len(asset_ids)} pictures at once", remedy=f"at most {AT_ONCE}, or bulk work on a query"
        )
    page = asset_ids[0] if len(asset_ids) == 1 else None
    with record.change(
        ws.db, agent_id=ws.person.id, activity_id=ws.session(), verb=verb, dataset_id=dataset_id, assets=asset_ids,
        page=page,
    ) as draft:  # fmt: skip
        rows = register.item_rows(draft.conn, dataset_id, asset_ids)
        if len(rows) < len(set(asset_ids)):
            missing = min(set(asset_ids) - rows.keys())
            raise NotFound(f"picture {missing} is not in the dataset", remedy="look at the gallery again")
        yield draft, rows


def _last_hand(conn: Connection, asset_id: int) -> int | None:
    """The person who changed annotations of a picture last."""
    sql = (
        "SELECT c.agent_id FROM annotation n JOIN change c ON c.rev = n.born JOIN agent g ON g.id = c.agent_id "
        "WHERE n.asset_id = :a AND g.kind = 'person' ORDER BY n.born DESC LIMIT 1"
    )
    found = conn.execute(sa.text(sql), {"a": asset_id}).scalar()
    return None if found is None else int(found)

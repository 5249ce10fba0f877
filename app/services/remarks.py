"""Remarks: what people say to each other on a picture, pinned to a place or an object, answered and resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation import canonical
from annotation.core import new_uid
from annotation.errors import InvalidInput, NotFound
from app.events import Changes
from app.services.workspace import Workspace
from storage import db as database
from storage import record
from storage.record import RemarkContent

LONGEST = 4000
"""Letters of one remark."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A remark as it stands.

    Attributes:
        x, y: the place in source pixels, or None. object_uid: the object it is about, or None.
        parent: uid of the remark it answers, or None.
    """

    uid: str
    asset_id: int
    x: float | None
    y: float | None
    object_uid: str | None
    parent: str | None
    text: str
    resolved: bool
    author: str
    at_ms: int


_REMARK = (
    "SELECT m.uid, m.asset_id, m.x, m.y, m.object_uid, m.parent, m.body, m.resolved, g.name, m.at_ms, m.id, m.agent_id "
    "FROM remark m JOIN agent g ON g.id = m.agent_id "
)


def _value(r: Sequence[Any]) -> Remark:
    px = canonical.PX
    return Remark(
        bytes(r[0]).hex(),
        r[1],
        None if r[2] is None else r[2] / px,
        None if r[3] is None else r[3] / px,
        bytes(r[4]).hex() if r[4] is not None else None,
        bytes(r[5]).hex() if r[5] is not None else None,
        r[6],
        bool(r[7]),
        r[8],
        r[9],
    )


def listing(ws: Workspace, asset_id: int) -> list[Remark]:
    """The remarks of a picture, oldest first, answers among them."""
    with ws.db.read() as conn:
        rows = conn.execute(
            sa.text(_REMARK + "WHERE m.asset_id = :a AND m.died IS NULL ORDER BY m.uid"), {"a": asset_id}
        )
        return [_value(r) for r in rows]


def waiting(ws: Workspace, dataset_id: int, *, after: int = 0, limit: int = 200) -> list[Remark]:
    """Remarks of a dataset that nobody has resolved, by picture (asset id above `after`)."""
    sql = (
        _REMARK
        + "WHERE m.died IS NULL AND m.resolved = 0 AND m.parent IS NULL AND m.asset_id > :a AND EXISTS "
        "(SELECT 1 FROM item i WHERE i.asset_id = m.asset_id AND i.dataset_id = :d AND i.died IS NULL) "
        "ORDER BY m.asset_id, m.uid LIMIT :n"
    )
    with ws.db.read() as conn:
        return [_value(r) for r in conn.execute(sa.text(sql), {"a": after, "d": dataset_id, "n": limit})]


def add(
    ws: Workspace,
    asset_id: int,
    text: str,
    *,
    x: float | None = None,
    y: float | None = None,
    object_uid: str | None = None,
    parent: str | None = None,
) -> Changes:
    """Say something on a picture. An answer is shown under what it answers and needs no place. An ordinary step: undoable.

    Args:
        x, y: the place in source pixels; it may lie outside the picture.

    Raises:
        InvalidInput: the text is empty or longer than LONGEST. NotFound: the remark to answer is not there.
    """
    return add_many(ws, [asset_id], text, x=x, y=y, object_uid=object_uid, parent=parent)


def add_many(
    ws: Workspace,
    assets: Sequence[int],
    text: str,
    *,
    x: float | None = None,
    y: float | None = None,
    object_uid: str | None = None,
    parent: str | None = None,
) -> Changes:
    """The same remark on several pictures, as one step."""
    body = _body(text)
    with _change(ws, "remark", assets) as draft:
        if parent is not None:
            head = _row(draft.conn, parent)
            if _value(head).parent is not None:
                raise InvalidInput("an answer cannot be answered", remedy="answer the remark itself")
            if [_value(head).asset_id] != list(assets):
                raise InvalidInput("an answer lies on the picture of what it answers")
        draft.remark(
            [], [content(ws, a, body, x=x, y=y, object_uid=object_uid, parent=parent) for a in assets]
        )
    return Changes(revision=draft.rev, assets=tuple(assets))


def content(
    ws: Workspace,
    asset_id: int,
    text: str,
    *,
    x: float | None = None,
    y: float | None = None,
    object_uid: str | None = None,
    parent: str | None = None,
) -> RemarkContent:
    """A new remark of this person, for a change that is open already."""
    return RemarkContent(
        uid=bytes.fromhex(new_uid()),
        asset_id=asset_id,
        object_uid=bytes.fromhex(object_uid) if object_uid else None,
        parent=bytes.fromhex(parent) if parent else None,
        x=None if x is None else canonical.snap(x, canonical.PX),
        y=None if y is None else canonical.snap(y, canonical.PX),
        body=_body(text),
        resolved=0,
        agent_id=ws.person.id,
        at_ms=database.now_ms(),
    )


def edit(ws: Workspace, uid: str, text: str) -> Changes:
    """Other words for a remark; who wrote it first stays its author."""
    return _turn(ws, uid, "edit remark", body=_body(text))


def resolve(ws: Workspace, uid: str, resolved: bool = True) -> Changes:
    """Call a remark settled, or open again."""
    return _turn(ws, uid, "resolve" if resolved else "reopen", resolved=int(resolved))


def delete(ws: Workspace, uid: str) -> Changes:
    """Take a remark away, with its answers; undo brings them back."""
    with ws.db.read() as conn:
        asset_id = _row(conn, uid)[1]
    with _change(ws, "delete remark", [asset_id]) as draft:
        ids = draft.conn.execute(
            sa.text(
                "SELECT id FROM remark WHERE died IS NULL AND asset_id = :a AND (uid = :u OR parent = :u)"
            ),
            {"a": asset_id, "u": bytes.fromhex(uid)},
        ).scalars()
        draft.close("remark", list(ids))
    return Changes(revision=draft.rev, assets=(asset_id,))


def _turn(
    ws: Workspace, uid: str, verb: str, *, body: str | None = None, resolved: int | None = None
) -> Changes:
    with ws.db.read() as conn:
        asset_id = _row(conn, uid)[1]
    with _change(ws, verb, [asset_id]) as draft:
        r = _row(draft.conn, uid)
        new = RemarkContent(
            bytes(r[0]), r[1], r[4], r[5], r[2], r[3], r[6] if body is None else body,
            r[7] if resolved is None else resolved, r[11], r[9],
        )  # fmt: skip
        draft.remark([r[10]], [new])
    return Changes(revision=draft.rev, assets=(asset_id,))


def _change(ws: Workspace, verb: str, assets: Sequence[int]) -> Any:
    page = assets[0] if len(assets) == 1 else None
    return record.change(
        ws.db, agent_id=ws.person.id, activity_id=ws.session(), verb=verb, assets=assets, page=page
    )


def _row(conn: Connection, uid: str) -> Any:
    found = conn.execute(
        sa.text(_REMARK + "WHERE m.died IS NULL AND m.uid = :u"), {"u": bytes.fromhex(uid)}
    ).first()
    if found is None:
        raise NotFound("this remark is not there any more", where=uid, remedy="look at the picture again")
    return found


def _body(text: str) -> str:
    clean = canonical.nfc(text.strip())
    if not clean:
        raise InvalidInput("a remark needs words")
    if len(clean) > LONGEST:
        raise InvalidInput(f"a remark of {len(clean)} letters is too long", remedy=f"at most {LONGEST}")
    return clean

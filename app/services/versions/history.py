"""The versions of a dataset one after the other: parent, who, when, how much, what changed since the one before, where sent."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from annotation.errors import LamproomError
from app.services.versions.differing import Diff, diff
from app.services.versions.pins import listing
from app.services.workspace import Workspace
from storage import blobs
from storage.manifest import Counts
from storage.versions import Version


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a version was published or handed to, by whom and when. receipt: the other side signed for it."""

    hub: str
    agent: str
    at_ms: int
    receipt: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One version. counts is None while its manifest is not here; parent "" of the first; since None where it cannot be told."""

    version: Version
    parent: str
    counts: Counts | None
    since: Diff | None
    sent: tuple[Sent, ...]


class _Head(msgspec.Struct, frozen=True):
    counts: Counts


def log(ws: Workspace, dataset: str, *, compare: bool = True) -> list[Line]:
    """The versions of a dataset, newest first. A version's parent is the one frozen before it.

    Args:
        compare: also what changed since the parent, where both manifests are here.

    Raises:
        NotFound: no such dataset.
    """
    found = listing(ws, dataset)
    out: list[Line] = []
    for n, version in enumerate(found):
        parent = found[n - 1] if n else None
        counts = _counts(ws, version)
        since = None
        if compare and parent is not None and counts is not None and _counts(ws, parent) is not None:
            since = diff(ws, parent.ref, version.ref)
        out.append(Line(version, parent.ref if parent else "", counts, since, _sent(ws, version)))
    return out[::-1]


def _counts(ws: Workspace, version: Version) -> Counts | None:
    try:
        data = blobs.get(ws.folder, version.root or "")
        return msgspec.json.decode(data, type=_Head).counts
    except (LamproomError, msgspec.MsgspecError):
        return None


def _sent(ws: Workspace, version: Version) -> tuple[Sent, ...]:
    with ws.db.read() as conn:
        published = conn.execute(
            sa.text(
                "SELECT a.params, g.name, a.started_ms FROM link k JOIN activity a ON a.id = k.activity_id "
                "JOIN agent g ON g.id = a.agent_id WHERE k.entity = 'version' AND k.ref = :u AND k.role = 'used' "
                "AND a.kind = 'publish' AND a.ended_ms IS NOT NULL ORDER BY a.id"
            ),
            {"u": version.uid},
        ).all()
        receipts = conn.execute(
            sa.text("SELECT hub, at_ms FROM receipt WHERE version_id = :i ORDER BY id"), {"i": version.id}
        ).all()
    sent = [Sent(str(msgspec.json.decode(params).get("hub", "")), who, at) for params, who, at in published]
    return (*sent, *(Sent(hub, "", at, True) for hub, at in receipts))

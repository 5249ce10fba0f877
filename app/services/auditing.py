"""The audit log for people: read it, prove it against every signed version."""

from __future__ import annotations

import msgspec

from app.events import Finished, Started, Warned, Work
from app.i18n import tr
from app.services.workspace import Workspace
from storage import audit, seal
from storage.audit import Entry, Statement

__all__ = ["Entry", "listing", "verify"]


def listing(ws: Workspace, *, limit: int = 50) -> list[Entry]:
    """The newest lines, oldest of them first."""
    with ws.db.read() as conn:
        newest, _ = audit.head(conn)
        return audit.entries(conn, after=max(0, newest - limit), limit=limit)


def verify(ws: Workspace) -> Work:
    """Prove the log: every line seals the one before, and every signed version finds the line it was sealed under.

    A version whose statement is not signed by the key it was sealed with is a fault too: an anchor nobody can trust.
    """
    with ws.db.read() as conn:
        statements = audit.statements(conn)
        newest, digest = audit.head(conn)
    yield Started("audit", newest)
    anchors: dict[int, bytes] = {}
    named: dict[str, int] = {}
    faults = 0
    for one in statements:
        what = _fault(one)
        if what is None:
            said = msgspec.json.decode(one.text)["audit"]
            anchors[said["seq"]] = bytes.fromhex(said["head"])
            named[one.ref] = said["seq"]
        else:
            faults += 1
            yield Warned(what, one.ref)
    with ws.db.read() as conn:
        found = list(audit.verify(conn, anchors))
    yield from (Warned(fault.what, tr("line {}").format(fault.seq)) for fault in found)
    faults += len(found)
    yield Finished(
        {
            "lines": newest,
            "head": digest.hex(),
            "anchors": len(anchors),
            "versions": named,
            "sound": faults == 0,
            "faults": faults,
        },
        problems=faults,
    )


def _fault(one: Statement) -> str | None:
    """Why a statement is no anchor, or None."""
    if not seal.holds(one.public, one.signature, one.text.encode()):
        return "the signature of its statement does not hold"
    try:
        said = msgspec.json.decode(one.text)
        sound = isinstance(said["audit"]["seq"], int) and len(bytes.fromhex(said["audit"]["head"])) == 32
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        return "its statement cannot be read"
    return (
        None
        if (said.get("root"), said.get("version")) == (one.root, one.ref)
        else "its statement speaks of another version"
    )

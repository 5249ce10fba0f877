"""Where a picture or a version comes from, back to source files, models, imports, persons and activities."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation import canonical
from annotation.errors import InvalidInput, NotFound
from app.services import versions
from app.services.workspace import Workspace
from storage import lineage
from storage.lineage import Edge, Lineage, Node

__all__ = ["Edge", "Lineage", "Node", "trace"]


def trace(ws: Workspace, what: str) -> Lineage:
    """All ancestors of an asset or a version.

    Args:
        what: `dataset@tag`; or an asset by number, path, `root/path`, BLAKE3 or SHA-256 digest.

    Raises:
        NotFound: there is nothing of that name. InvalidInput: several assets have that path.
    """
    with ws.db.read() as conn:
        asset_id = _asset(conn, canonical.nfc(what))
        if asset_id is not None:
            return lineage.of_asset(conn, asset_id)
    if "@" in what:
        return lineage.of_version(ws.db, versions.find(ws, what))
    raise NotFound(
        f"there is no picture {what!r}",
        remedy="name a version DATASET@TAG, or a picture by its number, path or digest",
    )


def _asset(conn: Connection, what: str) -> int | None:
    def ids(sql: str, **args: object) -> list[int]:
        return list(
            conn.execute(sa.text(f"SELECT s.id FROM asset s {sql} ORDER BY s.id LIMIT 9"), args).scalars()
        )

    if what.isdecimal() and len(what) < 19:
        found = ids("WHERE s.id = :i", i=int(what))
    elif len(what) == 64 and set(what) <= set("0123456789abcdef"):
        digest = bytes.fromhex(what)
        found = (ids("WHERE s.blake3 = :b", b=digest) or ids("WHERE s.sha256 = :b", b=digest))[:1]
    else:
        code, _, path = what.partition("/")
        join = (
            "JOIN source_root r ON r.id = s.source_root_id WHERE s.path = :w OR (r.code = :c AND s.path = :p)"
        )
        found = ids(join, w=what, c=code, p=path)
    if len(found) > 1:
        raise InvalidInput(
            f"{len(found)} pictures have that path",
            where=what,
            remedy=f"use a number: {', '.join(map(str, found))}",
        )
    return found[0] if found else None

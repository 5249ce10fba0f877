"""Where a picture or a version comes from, back to source files, models, imports, persons and activities."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation import canonical
from annotation.errors import InvalidInput, NotFound
from app.services import versions
from app.services.workspace import Workspace
from storage import lineage, register
from storage.lineage import Edge, Lineage, Node

__all__ = ["Edge", "Lineage", "Node", "asset_id_of", "trace"]


def trace(ws: Workspace, what: str) -> Lineage:
    """All ancestors of an asset or a version.

    Args:
        what: `dataset@tag`; or an asset by number, path, `root/path`, BLAKE3 or SHA-256 digest.

    Raises:
        NotFound: there is nothing of that name. InvalidInput: several assets have that path.
    """
    with ws.db.read() as conn:
        asset_id = asset_id_of(conn, what)
        if asset_id is not None:
            return lineage.of_asset(conn, asset_id)
    if "@" in what:
        return lineage.of_version(ws.db, versions.find(ws, what))
    raise NotFound(
        f"there is no picture {what!r}",
        remedy="name a version DATASET@TAG, or a picture by its number, path or digest",
    )


def asset_id_of(conn: Connection, what: str) -> int | None:
    """The asset of a number, path, `root/path` or digest; None when there is none.

    Raises:
        InvalidInput: several assets have that path.
    """

    def ids(sql: str, **args: object) -> list[int]:
        return list(
            conn.execute(sa.text(f"SELECT s.id FROM asset s {sql} ORDER BY s.id LIMIT 9"), args).scalars()
        )

    what = canonical.nfc(what)
    if what.isdecimal() and len(what) < 19:
        found = ids("WHERE s.id = :i", i=int(what))
    elif len(what) == 64 and set(what) <= set("0123456789abcdef"):
        digest = bytes.fromhex(what)
        found = (ids("WHERE s.blake3 = :b", b=digest) or ids("WHERE s.sha256 = :b", b=digest))[:1]
    else:  # by the hash of its name, which is indexed; the text is only compared
        found = []
        for root in register.roots(conn):
            inside = what.removeprefix(f"{root.code}/") if what.startswith(f"{root.code}/") else what
            for path in {what, inside}:
                where = "WHERE s.path_hash = :h AND s.source_root_id = :r AND s.path = :p"
                found += ids(where, h=register.path_hash(root.id, path), r=root.id, p=path)
    if len(found) > 1:
        raise InvalidInput(
            f"{len(found)} pictures have that path",
            where=what,
            remedy=f"use a number: {', '.join(map(str, found))}",
        )
    return found[0] if found else None

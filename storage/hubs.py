"""The hubs a workspace knows by name, and multipart uploads under way to them. No secret is in the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation import canonical
from annotation.core import new_uid
from annotation.errors import Conflict, NotFound
from storage.db import Database, now_ms


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub by name. kind: "folder", "s3" or "shuttle"; settings: what opens it, without secrets. id is 0 of a folder without a name."""

    id: int
    uid: str
    name: str
    kind: str
    settings: Mapping[str, Any]
    added_ms: int


_HUB = "SELECT id, uid, name, kind, settings, added_ms FROM hub WHERE removed_ms IS NULL "


def _hub(row: Any) -> Hub:
    return Hub(row[0], bytes(row[1]).hex(), row[2], row[3], msgspec.json.decode(row[4]), row[5])


def listing(conn: Connection) -> list[Hub]:
    """Every hub, by name."""
    return [_hub(r) for r in conn.execute(sa.text(_HUB + "ORDER BY name"))]


def known(conn: Connection, name: str) -> Hub | None:
    """The hub of this name, or None."""
    row = conn.execute(sa.text(_HUB + "AND name = :n"), {"n": canonical.nfc(name)}).first()
    return _hub(row) if row else None


def find(conn: Connection, name: str) -> Hub:
    """The hub of this name; NotFound."""
    found = known(conn, name)
    if found is None:
        raise NotFound(
            f"there is no hub {name}", remedy="`lamproom hub list` names them, `hub add` makes one"
        )
    return found


def add(conn: Connection, name: str, kind: str, settings: Mapping[str, object]) -> Hub:
    """A new hub.

    Raises:
        Conflict: there is one of this name.
    """
    if known(conn, name) is not None:
        raise Conflict(f"there is a hub {name} already", remedy="remove it first, or take another name")
    conn.execute(
        sa.text("INSERT INTO hub (uid, name, kind, settings, added_ms) VALUES (:u, :n, :k, :s, :t)"),
        {"u": bytes.fromhex(new_uid()), "n": canonical.nfc(name), "k": kind, "t": now_ms(),
         "s": canonical.encode(dict(settings)).decode()},
    )  # fmt: skip
    return find(conn, name)


def settle(conn: Connection, hub: Hub, settings: Mapping[str, object]) -> Hub:
    """The hub with other settings."""
    conn.execute(
        sa.text("UPDATE hub SET settings = :s WHERE id = :i"),
        {"s": canonical.encode(dict(settings)).decode(), "i": hub.id},
    )
    return find(conn, hub.name)


def remove(conn: Connection, hub: Hub) -> None:
    """Forget a hub; what was published there stays, and so do the lines of the record that name it."""
    conn.execute(sa.text("UPDATE hub SET removed_ms = :t WHERE id = :i"), {"t": now_ms(), "i": hub.id})
    conn.execute(sa.text("DELETE FROM upload WHERE hub_id = :i"), {"i": hub.id})


class UploadsOf:
    """Multipart uploads to one hub, kept in the record: storage/hub/store.py Uploads."""

    def __init__(self, db: Database, hub_id: int) -> None:
        self._db, self._hub = db, hub_id

    def known(self, key: str) -> tuple[str, int] | None:
        """See Uploads."""
        with self._db.read() as conn:
            row = conn.execute(
                sa.text("SELECT upload_id, part_bytes FROM upload WHERE hub_id = :h AND key = :k"),
                {"h": self._hub, "k": key},
            ).first()
        return (row[0], row[1]) if row else None

    def begun(self, key: str, upload_id: str, part_bytes: int) -> None:
        """See Uploads."""
        with self._db.write(durable=False) as conn:
            self._drop(conn, key)
            conn.execute(
                sa.text(
                    "INSERT INTO upload (hub_id, key, upload_id, part_bytes, at_ms) VALUES (:h, :k, :u, :p, :t)"
                ),
                {"h": self._hub, "k": key, "u": upload_id, "p": part_bytes, "t": now_ms()},
            )

    def ended(self, key: str) -> None:
        """See Uploads."""
        with self._db.write(durable=False) as conn:
            self._drop(conn, key)

    def all(self) -> list[tuple[str, str]]:
        """(key, upload id) of every one."""
        with self._db.read() as conn:
            rows = conn.execute(
                sa.text("SELECT key, upload_id FROM upload WHERE hub_id = :h"), {"h": self._hub}
            )
            return [(r[0], r[1]) for r in rows]

    def _drop(self, conn: Connection, key: str) -> None:
        conn.execute(sa.text("DELETE FROM upload WHERE hub_id = :h AND key = :k"), {"h": self._hub, "k": key})

"""Receipts: the receiver's signed word that a version arrived whole; written beside the version in the hub, kept by its sender."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation import canonical
from annotation.errors import InvalidInput, LamproomError
from storage import seal
from storage.hub import package, store
from storage.hub.store import Store

FORMAT = "lamproom-receipt-1"
MAX_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Receipt:
    """One receipt. `body` is its canonical JSON to the letter; the rest is what the body says.

    receiver: what the receiving workspace calls itself; person: who received it there.
    """

    version: str
    root: str
    assets: int
    objects: int
    size: int
    at_ms: int
    receiver: str
    person: str
    body: bytes
    signature: bytes
    public: bytes


def body(
    *, version: str, root: str, assets: int, objects: int, size: int, at_ms: int, receiver: str, person: str, public: bytes
) -> bytes:  # fmt: skip
    """Canonical bytes of what a receiver signs."""
    return canonical.encode(
        {"assets": assets, "at_ms": at_ms, "format": FORMAT, "key": public.hex(), "objects": objects, "person": person,
         "receiver": receiver, "root": root, "size": size, "version": version}
    )  # fmt: skip


def opened(data: bytes, signature: bytes) -> Receipt:
    """A receipt whose signature holds, by the key it names: compare that key's fingerprint.

    Raises:
        InvalidInput: it cannot be read, or the signature does not hold.
    """
    try:
        said: Any = msgspec.json.decode(data)
        public = bytes.fromhex(said["key"])
        texts = [said[k] for k in ("version", "root", "receiver", "person")]
        assets, objects, size, at_ms = counts = [said[k] for k in ("assets", "objects", "size", "at_ms")]
        sound = (
            said["format"] == FORMAT and all(isinstance(t, str) for t in texts) and all(type(n) is int and n >= 0 for n in counts)
        )  # fmt: skip
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise InvalidInput("not a receipt of this format")
    if not seal.holds(public, signature, data):
        raise InvalidInput("the signature of the receipt does not hold", where=texts[0][:80])
    return Receipt(
        texts[0], texts[1], assets, objects, size, at_ms, texts[2], texts[3], data, signature, public
    )


# --- in a hub -------------------------------------------------------------------------------------------------------


def leave(hub: Store, dataset: str, tag: str, receipt: Receipt) -> None:
    """Write it beside the version; one receiver's newest replaces the one before."""
    name = f"{_prefix(dataset, tag)}{seal.fingerprint(receipt.public).replace(':', '')}"
    hub.put(f"{name}.sig", receipt.signature, size=len(receipt.signature))
    hub.put(f"{name}.json", receipt.body, size=len(receipt.body))


def left(hub: Store, dataset: str, tag: str) -> Iterator[Receipt | LamproomError]:
    """Every receipt beside a version; a fault for one that cannot be trusted."""
    for key, _ in sorted(hub.listing(_prefix(dataset, tag))):
        if key.endswith(".json"):
            try:
                data = store.read(hub, key, MAX_BYTES)
                yield opened(data, store.read(hub, f"{key.removesuffix('.json')}.sig", 1 << 10))
            except LamproomError as fault:
                yield InvalidInput(fault.what, where=key, remedy=fault.remedy)


def _prefix(dataset: str, tag: str) -> str:
    return f"{package.version_prefix(dataset, tag)}receipts/"


# --- in the record --------------------------------------------------------------------------------------------------


def keep(conn: Connection, version_id: int, hub: str, receipt: Receipt) -> bool:
    """Remember a receipt of a version; False when it is known."""
    known = conn.execute(
        sa.text("SELECT 1 FROM receipt WHERE version_id = :v AND signature = :s"), {"v": version_id, "s": receipt.signature}
    ).first()  # fmt: skip
    if known is not None:
        return False
    conn.execute(
        sa.text("INSERT INTO receipt (version_id, hub, at_ms, body, signature, public) VALUES (:v, :h, :t, :b, :s, :p)"),
        {"v": version_id, "h": hub, "t": receipt.at_ms, "b": receipt.body, "s": receipt.signature, "p": receipt.public},
    )  # fmt: skip
    return True


def kept(conn: Connection, version_id: int) -> list[tuple[str, Receipt]]:
    """(hub, receipt) of a version, oldest first."""
    rows = conn.execute(
        sa.text("SELECT hub, body, signature FROM receipt WHERE version_id = :v ORDER BY at_ms, id"),
        {"v": version_id},
    )
    return [(r[0], opened(bytes(r[1]), bytes(r[2]))) for r in rows]

"""Receipts for people: the receiver's signed word goes back to the sender, through the hub or by hand, and is kept."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from annotation.errors import InvalidInput, LamproomError
from app.events import Finished, Started, Warned, Work
from app.services import versions
from app.services.workspace import Workspace
from storage import audit, files, keys, receipts, seal
from storage import db as database
from storage.hub.reading import Published
from storage.hub.store import Store
from storage.receipts import Receipt
from storage.versions import Version

__all__ = ["Receipt", "collect", "kept", "leave", "take"]


def leave(
    ws: Workspace, hub: Store, published: Published, version: Version, folder: Path
) -> tuple[Path, str]:
    """Sign one, keep it as a file in `folder`, leave it beside the version where the hub takes it; (file, why not or "").

    One that was signed before is left again.
    """
    receipt = _signed(folder, published.digest) or _sign(ws, published, version, folder)
    with ws.db.write() as conn:
        receipts.keep(conn, version.id, hub.where, receipt)
    try:
        receipts.leave(hub, version.dataset, version.tag, receipt)
    except LamproomError as fault:
        return folder / "receipt.json", fault.line
    return folder / "receipt.json", ""


def _signed(folder: Path, root: str) -> Receipt | None:
    """The receipt in the folder, when there is a sound one of this root."""
    with suppress(LamproomError, OSError):
        found = receipts.opened((folder / "receipt.json").read_bytes(), (folder / "receipt.sig").read_bytes())
        return found if found.root == root else None
    return None


def _sign(ws: Workspace, published: Published, version: Version, folder: Path) -> Receipt:
    counts, key = published.root.counts, keys.signing_key(ws)
    data = receipts.body(
        version=version.ref, root=published.digest, assets=counts.assets, objects=counts.objects, size=counts.size,
        at_ms=database.now_ms(), receiver=ws.name, person=ws.person.name, public=seal.public_bytes(key),
    )  # fmt: skip
    receipt = receipts.opened(data, key.sign(data))
    files.write(folder / "receipt.sig", receipt.signature)
    files.write(folder / "receipt.json", data)
    return receipt


def collect(ws: Workspace, hub: Store, ref: str) -> Work:
    """Take the receipts that receivers left beside a published version into the record.

    Raises:
        NotFound: no such version here.
    """
    version = versions.find(ws, ref)
    yield Started(f"receipts {ref}")
    found = new = faults = 0
    for one in receipts.left(hub, version.dataset, version.tag):
        if isinstance(one, LamproomError):
            faults += 1
            yield Warned(one.what, one.where)
        elif (one.version, one.root) != (ref, version.root):
            faults += 1
            yield Warned("it is the receipt of another version", f"{one.version} {one.root[:16]}")
        else:
            found += 1
            new += _keep(ws, version, hub.where, one)
    yield Finished({"version": ref, "receipts": found, "new": new, "faults": faults}, problems=faults)


def take(ws: Workspace, file: Path) -> Receipt:
    """Take in a receipt that came as a file, its signature beside it as `.sig`.

    Raises:
        NotFound: no such version here. InvalidInput: no receipt, or of another root than this version's.
    """
    try:
        data, signature = (
            file.read_bytes()[: receipts.MAX_BYTES],
            file.with_suffix(".sig").read_bytes()[:1024],
        )
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", where=str(error.filename or file)) from error
    receipt = receipts.opened(data, signature)
    version = versions.find(ws, receipt.version)
    if receipt.root != version.root:
        raise InvalidInput("it is the receipt of another content than was published", where=receipt.version)
    _keep(ws, version, receipt.receiver, receipt)
    return receipt


def _keep(ws: Workspace, version: Version, hub: str, receipt: Receipt) -> int:
    with ws.db.write() as conn:
        new = receipts.keep(conn, version.id, hub, receipt)
        if new:
            told = {
                "receiver": receipt.receiver,
                "person": receipt.person,
                "key": seal.fingerprint(receipt.public),
            }
            audit.append(conn, agent=ws.person.name, verb="receipt", subject=version.ref, detail=told)
    return int(new)


def kept(ws: Workspace, ref: str) -> list[tuple[str, Receipt]]:
    """(hub, receipt) of a version, oldest first. NotFound."""
    version = versions.find(ws, ref)
    with ws.db.read() as conn:
        return receipts.kept(conn, version.id)

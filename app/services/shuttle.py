"""Shuttle disks: pack a version on disks that are carried, check them, bring them into a hub folder on the other side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from annotation.errors import InvalidInput, NotFound, Unavailable
from app import VERSION
from app.events import Finished, Progress, Started, Warned, Work
from app.i18n import tr
from app.services import documents, gate, publish, versions
from app.services.gate import Ask
from app.services.workspace import Workspace
from storage import audit, blobs, keys, manifest, record, seal
from storage.hub import bag, disks, sealing, shuttle
from storage.hub import publish as publishing
from storage.hub.disks import Opened, Together
from storage.hub.folder import FolderStore
from storage.hub.publish import Plan, Sent
from storage.hub.shuttle import ShuttleStore

IDENTITY = "sealing-identity"
FOLDER = "shuttle"


def recipient(ws: Workspace) -> str:
    """What others seal to, so that this workspace alone can open it; its key is made on first use."""
    held = keys.secret(ws, IDENTITY)
    if held is None:
        held, _ = sealing.new_identity()
        keys.keep(ws, IDENTITY, held)
    return sealing.recipient_of(held)


def pack(
    ws: Workspace,
    ref: str,
    folders: Sequence[Path],
    *,
    seal_to: str = "",
    since: str = "",
    most: int = 0,
    ask: Ask | None = None,
    names: bool = False,
) -> Work:
    """Write a version to disks, in their order; full ones are finished and may be carried off. The same call goes on.

    Args:
        folders: where the disks are mounted; those of an earlier call need not be there again.
        seal_to: the hub's age recipient; "" = not sealed.
        since: an earlier version that the other side has: what it holds stays at home.
        most: bytes a disk may take, 0 = what fits. names: people by name in the documents.

    Raises:
        NotFound: no such version or disk. InvalidInput: policy tags keep it in, or media are not what was frozen.
        Unavailable: a disk was pulled out; what is on it counts.
    """
    ask = gate.checked(ask or gate.OUTSIDE)
    if not folders:
        raise InvalidInput("no disk was named", remedy="name the folders where disks are mounted")
    sealed_to = sealing.demand_recipient(seal_to) if seal_to else ""
    version = versions.find(ws, ref)
    publish.demand_leave(ws, version, ask)
    yield from (e for e in versions.sealed(ws, version) if not isinstance(e, Finished))
    version, root = versions.load(ws, version)
    digest = version.root or ""
    name = shuttle.set_name(ref, digest, sealed_to)
    have = _objects_of(ws, since) if since else {}
    (ws.folder / "staging").mkdir(exist_ok=True)
    store = ShuttleStore(
        folders, name=name, memory=ws.folder / FOLDER, recipient=sealed_to, most=most, have=have
    )
    yield Started(f"pack {ref}", root.counts.assets)
    key = keys.signing_key(ws)
    info = {
        "Source-Organization": ws.name,
        "Bagging-Software": f"Lamproom {VERSION}",
        "Internal-Sender-Description": ref,
    }
    last, full = Sent(0, root.counts.assets, 0, 0), ""
    told = yield from documents.made(ws, version, root, names=names)
    package = publish.package_of(ws, version, root, told)
    plan = Plan(place=versions.place_of(ws), staging=ws.folder / "staging", pack=True if sealed_to else None)
    try:
        for last in publishing.publish(
            store, package, lambda b3: blobs.get(ws.folder, b3), versions.media_of(ws), plan
        ):
            yield from (Warned(f.what, f.where) for f in last.faults)
            yield Progress(last.done, last.total, tr("{n} MB", n=round(last.size / 1e6)), last.left_s)
    except shuttle.Full as error:
        full = error.line
    store.finish(key, version=ref, root=digest, info=info)
    placed = [
        {"disk": n, "folder": str(f) if f else None, "files": count, "bytes": size}
        for n, f, count, size in store.disks
    ]
    if full:
        yield Warned(full, store.where)
    _remember(ws, version.uid, ref, digest, name, last, len(placed), sealed_to, whole=not full)
    yield Finished(
        {"version": ref, "root": digest, "set": name, "disks": placed, "whole": not full, "sealed": bool(sealed_to),
         "objects_written": last.objects, "bytes_written": last.size, "key": seal.fingerprint(seal.public_bytes(key))},
        problems=int(bool(full)),
    )  # fmt: skip


def _objects_of(ws: Workspace, ref: str) -> dict[str, int]:
    """BLAKE3 and size of everything that a version is made of."""
    version = versions.find(ws, ref)
    _, root = versions.load(ws, version)
    held: dict[str, int] = {}
    for chunk in root.chunks:
        held.update((p.b3, p.bytes) for p in (chunk.facts, chunk.labels, chunk.sets))
        held.update((f.asset, f.size) for f in manifest.facts(chunk, lambda b3: blobs.get(ws.folder, b3)))
    return held


def _remember(
    ws: Workspace, version_uid: str, ref: str, root: str, name: str, last: Sent, n_disks: int, sealed_to: str, *, whole: bool
) -> None:  # fmt: skip
    """In the log whenever disks may be carried off; in the lineage when all of the version is on them."""
    told: dict[str, object] = {
        "disks": n_disks,
        "root": root,
        "set": name,
        "sealed": bool(sealed_to),
        "bytes": last.size,
        "whole": whole,
    }
    with ws.db.write() as conn:
        if whole:
            activity = record.start_activity(
                conn, "publish", ws.person.id, {"version": ref, "hub": f"shuttle {name}", **told}, open_=False
            )
            record.link(conn, activity, "used", "version", version_uid)
            record.link(conn, activity, "generated", "package", f"{ref} {root}")
        audit.append(conn, agent=ws.person.name, verb="shuttle", subject=ref, detail=told)


# --- the other side -------------------------------------------------------------------------------------------------


def check(folders: Sequence[Path]) -> Work:
    """Read every byte of disks and compare; each fault is a `Warned`. Needs no workspace.

    Raises:
        NotFound: there is no finished bag.
    """
    found = opened(folders)
    total = sum(len(d.bag.payload) for d in found)
    yield Started("check disks", total)
    done = faults = 0
    for disk in found:
        for path, fault in bag.check(disk.bag):
            done += 1
            if fault is not None:
                faults += 1
                yield Warned(fault.what, f"{disk.bag.folder}/data/{path}")
            if done % 50 == 0:
                yield Progress(done, total)
    yield Finished(
        {"disks": [_told(d) for d in found], "files": total, "sound": faults == 0, "faults": faults},
        problems=faults,
    )


def _told(disk: Opened) -> dict[str, object]:
    about = disk.about
    return {"folder": str(disk.bag.folder), "disk": about.disk, "version": about.version, "set": about.set, "last": about.last,
            "sealed": about.sealed, "key": seal.fingerprint(bytes.fromhex(about.key)), "root": about.root}  # fmt: skip


def opened(folders: Sequence[Path]) -> list[Opened]:
    """The finished bags of shuttle sets on disks.

    Raises:
        NotFound: there is none on one of them. InvalidInput: one is not what its sender signed.
    """
    out = []
    for folder in folders:
        bags = disks.find(folder)
        if not bags:
            raise NotFound(
                "there is no finished bag here",
                where=str(folder),
                remedy="`lamproom shuttle pack` writes one",
            )
        out += [disks.opened(b) for b in bags]
    return out


def together(folders: Sequence[Path]) -> Together:
    """Unsealed disks of one set as a hub, for `receive`.

    Raises:
        InvalidInput: they are of several sets, or sealed.
    """
    found = opened(folders)
    if len({d.about.set for d in found}) != 1:
        raise InvalidInput(
            "these disks are of different sets", where=", ".join(sorted({d.about.version for d in found}))
        )
    if found[0].about.sealed:
        raise InvalidInput(
            "the disks are sealed", where=found[0].about.version,
            remedy="bring them into a hub folder first: `lamproom shuttle unpack DISK --into HUB`",
        )  # fmt: skip
    return Together(found)


def unpack(folders: Sequence[Path], into: Path, *, ws: Workspace | None = None, identity: str = "") -> Work:
    """Bring disks into a hub folder, in any order, one or several at a time; the version appears there when all is there.

    Args:
        ws: the workspace whose key opens sealed disks. identity: an age identity, instead.

    Raises:
        NotFound, InvalidInput: no bags, or sealed and no key. Unavailable: the hub's disk is full.
    """
    found = opened(folders)
    if not identity and ws is not None:
        identity = keys.secret(ws, IDENTITY) or ""
    if any(d.about.sealed for d in found) and not identity:
        raise InvalidInput(
            "the disks are sealed", remedy="-w WORKSPACE whose key they are sealed to, or --identity FILE"
        )
    hub = FolderStore(into)
    total = sum(len(d.bag.payload) for d in found)
    yield Started(f"unpack {', '.join(sorted({d.about.version for d in found}))}", total)
    done = faults = 0
    published: list[str] = []
    missing = 0
    with hub.alone():
        for disk in found:
            for path, fault in disks.unpack(disk, hub, identity=identity):
                done += 1
                if fault is not None:
                    if isinstance(fault, Unavailable):
                        raise fault
                    faults += 1
                    yield Warned(fault.what, f"{disk.bag.folder}/data/{path}")
                if done % 50 == 0:
                    yield Progress(done, total)
        for name in sorted({d.about.set for d in found}):
            ref, lacks = disks.settle(hub, name)
            published += [ref] if ref else []
            missing += lacks
    if missing and not faults:
        yield Warned(tr("{n} objects are on disks that were not checked in yet", n=missing), str(into))
    yield Finished(
        {"hub": str(into), "files": done, "published": published, "missing": missing, "faults": faults},
        problems=faults + bool(missing),
    )

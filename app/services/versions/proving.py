"""Prove a version: signature, every chunk, every media byte; each fault is named and the work goes on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from blake3 import blake3

from annotation.errors import NotFound
from app.events import Finished, Progress, Started, Warned, Work
from app.services.versions.building import sealed
from app.services.versions.objects import getter, load, media_of
from app.services.versions.pins import find, split
from app.services.workspace import Workspace
from storage import manifest, proof, seal
from storage.hub import reading
from storage.hub.folder import FolderStore
from storage.hub.store import Store
from storage.manifest import Root
from storage.proof import Checked

THREADS = 4
"""Media read at a time."""


def verify(where: Workspace | Path | Store, ref: str, *, bytes_too: bool = True) -> Work:
    """Prove a version: signature, every chunk, then every media byte. Each fault is a `Warned`.

    Args:
        where: a workspace, whose media are read from the sources; or a hub or hub folder, which needs no workspace.
        bytes_too: False = the manifest only.

    Raises:
        NotFound: no such version there.
    """
    if not isinstance(where, Workspace):
        yield from _verify_hub(FolderStore(where) if isinstance(where, Path) else where, ref, bytes_too)
        return
    version = find(where, ref)
    yield from (e for e in sealed(where, version) if not isinstance(e, Finished))
    version, root = load(where, version)
    data = manifest.root_bytes(root)
    head = []
    if not seal.holds(bytes.fromhex(version.public or ""), bytes.fromhex(version.signature or ""), data):
        head.append(proof.Fault(ref, "the signature of the manifest does not hold"))
    checks = proof.check(root, getter(where), media_of(where) if bytes_too else None, threads=THREADS)
    yield from _prove(
        ref, root, head, checks, bytes_too, blake3(data).hexdigest(), bytes.fromhex(version.public or "")
    )


def _verify_hub(hub: Store, ref: str, bytes_too: bool) -> Work:
    if not reading.is_hub(hub):
        raise NotFound("there is no hub here", where=hub.where, remedy="`lamproom publish` makes one")
    published = reading.load(hub, *split(ref))
    checks = reading.verify(hub, published, bytes_too=bytes_too)
    yield from _prove(ref, published.root, [], checks, bytes_too, published.digest, published.public)


def _prove(
    ref: str,
    root: Root,
    head: list[proof.Fault],
    checks: Iterator[Checked],
    bytes_too: bool,
    digest: str,
    public: bytes,
) -> Work:
    total, done, faults = root.counts.assets, 0, 0
    yield Started(f"verify {ref}", total)
    for checked in chain([Checked((), tuple(head))], checks):
        faults += len(checked.faults)
        yield from (Warned(f.what, f.where) for f in checked.faults)
        done += len(checked.facts)
        yield Progress(done, total)
    yield Finished(
        {"version": ref, "root": digest, "assets": done, "annotations": root.counts.objects, "chunks": len(root.chunks),
         "media_checked": bytes_too, "key": seal.fingerprint(public), "sound": faults == 0, "faults": faults},
        problems=faults,
    )  # fmt: skip

"""Prove a version: signature, every chunk, every media byte; each fault is named with its file and bytes, and work goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from blake3 import blake3

from annotation.errors import InvalidInput, NotFound
from app.events import Finished, Progress, Started, Warned, Work
from app.services.versions.building import sealed
from app.services.versions.objects import Sources, getter, load
from app.services.versions.pins import find, split
from app.services.workspace import Workspace
from storage import manifest, proof, seal
from storage.damage import Aid
from storage.hub import package, reading
from storage.hub.folder import FolderStore
from storage.hub.store import Store
from storage.manifest import Fact, Root
from storage.proof import Checked, Fault

THREADS = 4
"""Media read at a time: a read waits for the disk, and the digest leaves the interpreter free."""
KEPT_FAULTS = 1_000
"""Faults listed one by one in a result; more are only counted."""


def verify(
    where: Workspace | Store | Path,
    ref: str,
    *,
    bytes_too: bool = True,
    against: Workspace | Store | Path | None = None,
) -> Work:
    """Prove a version: signatures, every chunk, then every media byte. Each fault is a `Warned`, and the work goes on.

    The result lists what is wrong as {key, file, what, bytes}: `bytes` are [first, end) where a second copy (another file
    of the same bytes, the workspace's own, `against`) or the pieces of a hub tell which they are.

    Args:
        where: a workspace, whose media are read from the sources; or a hub, which needs no workspace.
        bytes_too: False = the manifest only.
        against: another place of the same bytes: a hub, or a workspace.

    Raises:
        NotFound: no such version there.
    """
    others = [] if against is None else [_copy_of(against)]
    if not isinstance(where, Workspace):
        yield from _verify_hub(store_of(where), ref, bytes_too, others)
        return
    version = find(where, ref)
    yield from (e for e in sealed(where, version) if not isinstance(e, Finished))
    version, root = load(where, version)
    data = manifest.root_bytes(root)
    public = bytes.fromhex(version.public or "")
    head = []
    if not seal.holds(public, bytes.fromhex(version.signature or ""), data):
        head.append(Fault(ref, "the signature of the manifest does not hold"))
    digest = blake3(data).hexdigest()
    said = (version.statement or "").encode()
    if said and not seal.holds(public, bytes.fromhex(version.statement_signature or ""), said):
        head.append(Fault(ref, "the signature of the statement does not hold"))
    elif said and (wrong := package.statement_fault(said, root=digest, ref=version.ref)):
        head.append(Fault(ref, f"the statement of the version: {wrong}"))
    sources = Sources(where)

    def copies(fact: Fact) -> Iterator[Callable[[], Iterable[bytes]]]:
        yield from sources.copies(fact)
        yield from (partial(other, fact) for other in others)

    checks = proof.check(
        root,
        getter(where),
        sources.read if bytes_too else None,
        threads=THREADS,
        aid=Aid(sources.file, copies),
        prepare=sources.prepare,
    )
    yield from _prove(ref, root, head, checks, bytes_too, digest, public)


def store_of(hub: Store | Path) -> Store:
    """A hub folder, or a store, as a store; NotFound where there is no hub."""
    store = FolderStore(hub) if isinstance(hub, Path) else hub
    if not reading.is_hub(store):
        raise NotFound("there is no hub here", where=store.where, remedy="`lamproom publish` makes one")
    return store


def _copy_of(place: Workspace | Store | Path) -> Callable[[Fact], Iterable[bytes]]:
    return Sources(place).read if isinstance(place, Workspace) else reading.media_from(store_of(place))


def _verify_hub(
    hub: Store, ref: str, bytes_too: bool, others: list[Callable[[Fact], Iterable[bytes]]]
) -> Work:
    published = reading.load(hub, *split(ref))
    checks = reading.verify(
        hub, published, bytes_too=bytes_too, copies=lambda fact: (partial(other, fact) for other in others)
    )
    yield from _prove(ref, published.root, [], checks, bytes_too, published.digest, published.public)


def _prove(
    ref: str,
    root: Root,
    head: list[Fault],
    checks: Iterator[Checked],
    bytes_too: bool,
    digest: str,
    public: bytes,
) -> Work:
    total, done, faults = root.counts.assets, 0, 0
    bad: list[dict[str, object]] = []
    yield Started(f"verify {ref}", total)
    for checked in chain([Checked((), tuple(head))], checks):
        faults += len(checked.faults)
        for f in checked.faults:
            if len(bad) < KEPT_FAULTS:
                bad.append(
                    {
                        "key": f.where,
                        "file": f.file or None,
                        "what": f.what,
                        "bytes": [list(s) for s in f.spans],
                    }
                )
            yield Warned(f.what, f.where)
        done += len(checked.facts)
        yield Progress(done, total)
    yield Finished(
        {"version": ref, "root": digest, "assets": done, "annotations": root.counts.objects, "chunks": len(root.chunks),
         "media_checked": bytes_too, "key": seal.fingerprint(public), "sound": faults == 0, "faults": faults,
         **({"bad": bad} if bad else {})},
        problems=faults,
    )  # fmt: skip


def demand_sound(faults: Iterable[Fault], ref: str) -> None:
    """Refuse a published version whose small files are not what was signed.

    Raises:
        InvalidInput: naming the first fault.
    """
    for fault in faults:
        raise InvalidInput(
            f"{fault.where}: {fault.what}", where=ref, remedy=f"`lamproom verify {ref} --hub` names all"
        )

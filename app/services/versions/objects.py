"""Where the parts of a version lie on this machine: manifest objects in the workspace, media in their sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from blake3 import blake3

from annotation.errors import LamproomError, NotFound
from app.services.workspace import Workspace
from storage import blobs, manifest, media, proof
from storage import versions as rows
from storage.manifest import Fact, Get, Root
from storage.versions import Version


def getter(ws: Workspace) -> Get:
    """Manifest objects by digest."""
    return lambda digest: blobs.get(ws.folder, digest)


def putter(ws: Workspace) -> Callable[[bytes], str]:
    """Keeps a manifest object; one that is damaged on disk is healed."""

    def put(data: bytes) -> str:
        name = blake3(data).hexdigest()
        if blobs.holds(ws.folder, name):
            try:
                blobs.get(ws.folder, name)
            except LamproomError:
                blobs.path_of(ws.folder, name).unlink(missing_ok=True)
        return blobs.put(ws.folder, data)

    return put


def load(ws: Workspace, version: Version) -> tuple[Version, Root]:
    """A built version, as the record has it now, and its root.

    Raises:
        NotFound: it has not been built here.
    """
    with ws.db.read() as conn:
        now = rows.find(conn, version.dataset, version.tag)
    return now, manifest.load(blobs.get(ws.folder, now.root or ""))


def whole_root(ws: Workspace, version: Version) -> Root | None:
    """The root of a version whose manifest lies on this machine as a whole; None of any other."""
    try:
        root = manifest.load(blobs.get(ws.folder, version.root or ""))
    except LamproomError:
        return None
    here = blobs.listed(ws.folder)
    return root if all(p.b3 in here for c in root.chunks for p in (c.facts, c.labels, c.sets)) else None


def media_of(ws: Workspace) -> proof.ReadMedia:
    """The bytes of assets from their sources (or from the workspace, for what lies in packed archives)."""

    def read(fact: Fact) -> Iterator[bytes]:
        if blobs.holds(ws.folder, fact.asset):
            yield blobs.get(ws.folder, fact.asset)
            return
        with ws.db.read() as conn:
            found = rows.places(conn, bytes.fromhex(fact.asset), fact.key)
        problem: LamproomError = NotFound("the record does not know these bytes", where=fact.key)
        for place in found:
            try:
                data = media.read_bytes(place.location, place.path, place.disk_path)
            except LamproomError as error:
                problem = error
                continue
            if len(data) == fact.size or place is found[-1]:
                yield data
                return
        raise problem

    return read


def place_of(ws: Workspace) -> Callable[[Fact], Path | None]:
    """The plain file of an asset's bytes, where there is one of that size: for what is too large to be held in memory."""

    def place(fact: Fact) -> Path | None:
        if blobs.holds(ws.folder, fact.asset):
            return blobs.path_of(ws.folder, fact.asset)
        with ws.db.read() as conn:
            found = rows.places(conn, bytes.fromhex(fact.asset), fact.key)
        for one in found:
            path = media.plain_file(one.location, one.path, one.disk_path)
            if path is not None and path.stat().st_size == fact.size:
                return path
        return None

    return place

"""Where a thing comes from and what became of it: pictures, objects, datasets, versions, models, packages, activities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation import canonical
from annotation.errors import InvalidInput, LamproomError, NotFound
from app.services import versions
from app.services.workspace import Workspace
from storage import files, headers, lineage, media, queries, register
from storage import versions as rows
from storage.lineage import Direction, Edge, Lineage, Node
from storage.versions import Version

__all__ = [
    "KINDS",
    "Direction",
    "Edge",
    "Lineage",
    "Node",
    "asset_id_of",
    "of_version",
    "prov",
    "save",
    "trace",
]

KINDS = ("picture", "object", "dataset", "version", "model", "package", "activity")
"""What a name can be said to be: `model:NAME`, `object:ID` …; without it the first that fits is taken."""


def trace(ws: Workspace, what: str, direction: Direction = "back") -> Lineage:
    """All ancestors of a thing, or all its descendants.

    Args:
        what: `dataset@tag`; a picture by number, path, `root/path`, BLAKE3 or SHA-256 digest; an object by its id (32 hex
            digits); a model by name or SHA-256; a dataset by name; a published package by its root digest or reference.
            A word of KINDS before it (`model:…`) says which of these is meant.

    Raises:
        NotFound: there is nothing of that name. InvalidInput: several assets have that path.
    """
    what = canonical.nfc(what.strip())
    kind, colon, rest = what.partition(":")
    found: Lineage | None
    if colon and kind in KINDS:
        found = _READERS[kind](ws, rest, direction)
    else:
        found = next((f for k in _ORDER if (f := _READERS[k](ws, what, direction)) is not None), None)
    if found is None:
        if "@" in what:
            versions.find(ws, what)  # tells which tags there are
        raise NotFound(
            f"there is no picture {what!r}",
            remedy="name a version DATASET@TAG, or a picture by its number, path or digest",
        )
    return found


def prov(ws: Workspace, found: Lineage, *, names: bool = True) -> bytes:
    """A lineage as PROV-JSON, with or without people's names."""
    return lineage.to_prov(found if names else lineage.without_names(found), workspace_uid=ws.uid)


def save(path: Path, data: bytes) -> None:
    """Write what was asked for to a new file.

    Raises:
        InvalidInput: it is there already, or cannot be written.
    """
    if path.exists():
        raise InvalidInput("there is such a file already", where=str(path), remedy="name a new one")
    try:
        files.write(path, data)
    except OSError as error:
        raise InvalidInput(
            "the file cannot be written", where=str(path), remedy="name another place"
        ) from error


def asset_id_of(conn: Connection, what: str) -> int | None:
    """The asset of a number, path, `root/path` or digest, also by the path of a copy left out for it; None when there is none.

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
    elif _is_digest(what):
        digest = bytes.fromhex(what)
        found = (ids("WHERE s.blake3 = :b", b=digest) or ids("WHERE s.sha256 = :b", b=digest))[:1]
    else:  # by the hash of its name, which is indexed; the text is only compared
        whole: list[int] = []
        part: list[int] = []
        for root in register.roots(conn):
            begins = what.startswith(f"{root.code}/")
            for path, held in ((what.removeprefix(f"{root.code}/"), whole), (what, part)):
                if held is whole and not begins:
                    continue
                where = "WHERE s.path_hash = :h AND s.source_root_id = :r AND s.path = :p"
                at = {"h": register.path_hash(root.id, path), "r": root.id, "p": path}
                held += ids(where, **at) or ids(
                    f"JOIN seen_file f ON f.asset_id = s.id {where.replace('s.', 'f.')}", **at
                )
        found = whole or part  # with the source's code before it a path is unique
    if len(found) > 1:
        raise InvalidInput(
            f"{len(found)} pictures have that path",
            where=what,
            remedy=f"use a number: {', '.join(map(str, found))}",
        )
    return found[0] if found else None


def _is_digest(what: str) -> bool:
    return len(what) == 64 and set(what) <= set("0123456789abcdef")


# -- one reader a kind: None = there is no such thing ------------------------------------------------------------------


def _picture(ws: Workspace, what: str, direction: Direction) -> Lineage | None:
    with ws.db.read() as conn:
        asset_id = asset_id_of(conn, what)
        if asset_id is None:
            return None
        if direction == "forward":
            return lineage.from_asset(conn, asset_id)
    cameras = _cameras(ws, asset_id)
    with ws.db.read() as conn:
        return lineage.of_asset(conn, asset_id, cameras=cameras)


def _cameras(ws: Workspace, asset_id: int) -> dict[int, dict[str, str]]:
    """What EXIF says of the cameras of an asset and of what it was derived from, of files that can be read now."""
    with ws.db.read() as conn:
        places = queries.places(conn, lineage.origins(conn, asset_id))
    out = {}
    for one, place in places.items():
        with suppress(LamproomError, OSError):
            data = media.read_asset(ws.folder, place.location, place.path, place.disk_path, place.blake3)
            out[one] = headers.camera(data)
    return out


def _object(ws: Workspace, what: str, direction: Direction) -> Lineage | None:
    uid = what.replace("-", "").lower()
    if len(uid) != 32 or not set(uid) <= set("0123456789abcdef"):
        return None
    with ws.db.read() as conn:
        if direction == "forward":
            return lineage.from_annotation(conn, uid)
        asset_id = conn.execute(
            sa.text("SELECT asset_id FROM annotation WHERE uid = :u AND died IS NULL"),
            {"u": bytes.fromhex(uid)},
        ).scalar()
    cameras = _cameras(ws, asset_id) if asset_id is not None else {}
    with ws.db.read() as conn:
        return lineage.of_annotation(conn, uid, cameras=cameras)


def _version(ws: Workspace, what: str, direction: Direction) -> Lineage | None:
    try:
        found = versions.find(ws, what)
    except (NotFound, InvalidInput):
        return None
    if direction == "back":
        return of_version(ws, found)
    with ws.db.read() as conn:
        return lineage.from_version(conn, found)


def of_version(ws: Workspace, version: Version) -> Lineage:
    """A version's ancestors; of one that was received with the lineage that was published beside it, as far as it can be read."""
    from app.services import receive  # only here: what it needs is much

    found = lineage.of_version(ws.db, version)
    path = receive.documents_folder(ws, version.dataset, version.tag) / "lineage.json"
    try:
        there = lineage.from_prov(path.read_bytes(), mark="elsewhere")
    except (OSError, InvalidInput):
        return found
    joined = lineage.merged(found, there)
    tie = Edge("wasDerivedFrom", found.subject, there.subject)
    return Lineage(found.subject, joined.nodes, (*joined.edges, tie))


def _dataset(ws: Workspace, what: str, direction: Direction) -> Lineage | None:
    with ws.db.read() as conn:
        try:
            name = queries.dataset(conn, what).name
        except NotFound:
            return None
        if direction == "forward":
            return lineage.from_dataset(conn, name)
    return lineage.of_dataset(ws.db, name)


def _model(ws: Workspace, what: str, direction: Direction) -> Lineage | None:
    with ws.db.read() as conn:
        by = "sha256 = :b" if _is_digest(what) else "name = :n AND removed_ms IS NULL"
        row = conn.execute(
            sa.text(f"SELECT sha256 FROM onnx_model WHERE {by} ORDER BY id DESC LIMIT 1"),
            {"b": bytes.fromhex(what)} if _is_digest(what) else {"n": what},
        ).scalar()
        if row is None:
            return None
        sha256 = bytes(row).hex()
        if direction == "forward":
            return lineage.from_model(conn, sha256)
        found, trained_on = lineage.of_model(conn, sha256)
    return _with_version(ws, found, trained_on)


def _package(ws: Workspace, what: str, direction: Direction) -> Lineage | None:
    with ws.db.read() as conn:
        refs = lineage.package_refs(conn, what) if _is_digest(what) else [what]
        if not refs:
            return None
        try:
            found, version = lineage.of_package(conn, refs[0])
        except NotFound:
            return None
        if direction == "forward":
            return lineage.from_package(conn, refs[0])
    return _with_version(ws, found, version)


def _activity(ws: Workspace, what: str, direction: Direction) -> Lineage | None:
    if not what.isdecimal() or len(what) > 18:
        return None
    with ws.db.read() as conn:
        found, version = lineage.of_activity(conn, int(what))
    return _with_version(ws, found, version)


def _with_version(ws: Workspace, found: Lineage, uid: str | None) -> Lineage:
    """The lineage with all that its version comes from."""
    if uid is None:
        return found
    with ws.db.read() as conn:
        version = rows.by_uid(conn, uid)
    return found if version is None else lineage.merged(found, of_version(ws, version))


_READERS: Mapping[str, Callable[[Workspace, str, Direction], Lineage | None]] = {
    "picture": _picture, "object": _object, "dataset": _dataset, "version": _version, "model": _model,
    "package": _package, "activity": _activity,
}  # fmt: skip
_ORDER = ("picture", "version", "model", "package", "object", "dataset")
"""A digest may be a picture's, a model's or a root's; a number is a picture's."""

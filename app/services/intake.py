"""Which files an ingest has to read: the walk of its sources, less what the record knows already."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotation.errors import LamproomError, NotFound, Unavailable
from app.services import relinking
from app.services.enrolment import Todo, Writer
from app.services.workspace import Workspace
from storage import blobs, names, register, sources
from storage.jobs import Job
from storage.register import Root
from storage.sources import Found

CHUNK_FILES, CHUNK_BYTES = 16, 8 << 20
LOOKUP = 500


def to_read(
    ws: Workspace, job: Job, writer: Writer, walked: list[tuple[Root, bytes]]
) -> Iterator[tuple[Root, list[Todo]]]:
    """Files to read, in small chunks; known ones only join the dataset."""
    for root, start, listing in _starts(ws, job):
        if listing is None:
            walked.append((root, start))
            listed = sources.walk(root.location, start, without=real(ws.folder))
        else:
            listed = _named(root, listing)
        for batch in _batches(listed, LOOKUP):
            ready: list[Todo] = []
            for todo in _unknown(ws, root, batch, writer):
                if todo.found.kind not in ("zip", "tar"):
                    ready.append(todo)
                    continue
                yield from _chunks(root, ready)
                ready = []
                yield from _archive(ws, root, todo, writer)
            yield from _chunks(root, ready)


def _unknown(ws: Workspace, root: Root, batch: Sequence[Found], writer: Writer) -> Iterator[Todo]:
    with ws.db.read() as conn:
        known = register.known(conn, root.id, [f.path for f in batch])
    writer.tally.files += len(batch)
    for found in batch:
        if found.kind == "other":
            writer.tally.other += 1
            continue
        entries = known.get(found.path, ())
        same = [k for k in entries if (k.size_bytes, k.mtime_ns) == (found.size_bytes, found.mtime_ns)]
        if found.kind in ("zip", "tar"):
            whole = [k for k in same if k.state == register.ARCHIVE and k.reason == writer.dataset]
            if whole and not writer.was_undone(whole[0].activity_id):
                writer.tally.known += 1
                continue
            faulty = [k for k in same if k.state == register.QUARANTINED]
            if faulty:
                writer.tally.aside_before += 1
                continue
        elif same and found.kind == "file":
            writer.known(same[0])
            continue
        elif found.kind == "fault" and any(k.reason == found.fault for k in same):
            writer.tally.aside_before += 1
            continue
        yield Todo(found, tuple(entries))


def _archive(ws: Workspace, root: Root, archive: Todo, writer: Writer) -> Iterator[tuple[Root, list[Todo]]]:
    """Members to read, then the archive itself, which is remembered as taken only after all of them."""
    closing = replace(archive, closes_archive=True)
    try:
        for batch in _batches(sources.members(root.location, archive.found), 64):
            yield from _chunks(root, list(_unknown(ws, root, batch, writer)))
    except LamproomError as error:
        lasting = not isinstance(error, NotFound | Unavailable)
        fault = replace(archive.found, kind="fault", fault=error.what, lasting=lasting)
        closing = Todo(fault, archive.stale)
    yield root, [closing]


def _chunks(root: Root, todo: Iterable[Todo]) -> Iterator[tuple[Root, list[Todo]]]:
    chunk: list[Todo] = []
    size = 0
    for one in todo:
        chunk.append(one)
        size += one.found.size_bytes
        if len(chunk) >= CHUNK_FILES or size >= CHUNK_BYTES:
            yield root, chunk
            chunk, size = [], 0
    if chunk:
        yield root, chunk


def _batches(items: Iterable[Found], n: int) -> Iterator[list[Found]]:
    """Batches of n files, or of so many as hold CHUNK_BYTES of content that came along."""
    batch: list[Found] = []
    held = 0
    for item in items:
        batch.append(item)
        held += len(item.data or b"")
        if len(batch) >= n or held >= CHUNK_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


# --- sources ------------------------------------------------------------------------------------------------------


def _starts(ws: Workspace, job: Job) -> Iterator[tuple[Root, bytes, list[bytes] | None]]:
    """(root, raw path to begin at, or the raw paths named by a list)."""
    params: dict[str, Any] = dict(job.params)
    for text in params.get("sources", ()):
        source = bytes.fromhex(text)
        folder = source if os.path.isdir(source) else os.path.dirname(source)  # noqa: PTH112, PTH120 - bytes
        if not os.path.lexists(source):
            raise NotFound("there is no such file or folder", where=readable(os.fsdecode(source)))
        root, start = _root(ws, folder)
        if folder != source:
            start = source[len(root.location) :].lstrip(b"/\\")
        yield root, start, None
    for kept in params.get("lists", ()):
        lines = blobs.get(ws.folder, kept["list"]).split(b"\n")
        base = bytes.fromhex(kept["base"])
        folders: dict[
            bytes, bytes
        ] = {}  # roots are real paths, so listed files must be: one look-up a folder
        paths: dict[bytes, None] = {}
        for line in lines:
            if line.strip() and b"\0" not in line:
                head, name = os.path.split(os.path.normpath(os.path.join(base, line.rstrip(b"\r"))))  # noqa: PTH118
                if head not in folders:
                    folders[head] = os.path.realpath(head)
                paths[os.path.join(folders[head], name)] = None  # noqa: PTH118
        yield from _by_root(ws, list(paths))


def _by_root(ws: Workspace, paths: list[bytes]) -> Iterator[tuple[Root, bytes, list[bytes] | None]]:
    """Listed files grouped by the root they lie below; what lies below none gets its nearest common folder as root."""
    with ws.db.read() as conn:
        roots = sorted(register.roots(conn), key=lambda r: -len(r.location))
    groups: dict[int, list[bytes]] = {}
    rest: list[bytes] = []
    by_id = {r.id: r for r in roots}
    for path in paths:
        home = next((r for r in roots if path.startswith(r.location.rstrip(b"/") + b"/")), None)
        if home is None:
            rest.append(path)
        else:
            groups.setdefault(home.id, []).append(path)
    if rest:
        folder = os.path.commonpath([os.path.dirname(p) for p in rest])  # noqa: PTH120
        root, _ = _root(ws, folder)
        by_id[root.id] = root
        groups.setdefault(root.id, []).extend(rest)
    for root_id, members in groups.items():
        root = by_id[root_id]
        yield root, b"", [p[len(root.location) :].lstrip(b"/\\") for p in members]


def _named(root: Root, listing: Iterable[bytes]) -> Iterator[Found]:
    for raw in listing:
        try:
            yield from sources.walk(root.location, raw)
        except LamproomError as error:
            shown = "/".join(names.readable(part) for part in raw.split(b"/"))
            yield Found(shown, None, 0, 0, "fault", error.what, lasting=False)


def _root(ws: Workspace, folder: bytes) -> tuple[Root, bytes]:
    with ws.db.read() as conn:
        found = register.root_of(conn, folder)
    if found:
        return found
    moved = relinking.recognise(ws, folder)
    if moved:
        return moved, b""
    with ws.db.write() as conn:
        return register.root_of(conn, folder) or (register.add_root(conn, folder), b"")


def real(path: Path) -> bytes:
    return os.path.realpath(os.fsencode(path))


def readable(path: Path | str) -> str:
    return names.readable(os.fsencode(path))

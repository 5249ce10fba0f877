"""Take a version out anywhere: pictures at their keys, annotations, label schema, root and signatures, every byte proved.

    OUT/images/<key>            the pictures
    OUT/annotations.jsonl       Lamproom's own format, spliced from the manifest; schema.toml beside it
    OUT/root.json, root.sig     what was signed; key.pem whose key; statement.json, statement.sig
    OUT/lamproom-checkout.json  what this folder is

Everything is staged in a folder beside OUT, which is renamed at the end. A killed checkout goes on there: what lies there
already is hashed again, never trusted.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from blake3 import blake3

from annotation import canonical
from annotation.errors import InvalidInput, LamproomError, Unavailable
from annotation.formats import native
from annotation.formats.base import Record
from app.events import Finished, Progress, Started, Warned, Work
from app.services import gate
from app.services.gate import Ask
from app.services.versions.building import sealed
from app.services.versions.objects import Sources, getter, load
from app.services.versions.pins import find, split
from app.services.versions.proving import demand_sound, store_of
from app.services.workspace import Workspace
from storage import files, manifest, proof, seal
from storage import versions as rows
from storage.hub import package, reading
from storage.hub.store import Store, read
from storage.manifest import Fact, Get, Labelled, Root

Pictures = Literal["link", "copy", "none"]
MARKER = "lamproom-checkout.json"
FORMAT = "lamproom-checkout-1"
THREADS = 4
MAX_SIGNATURE = 1 << 10
RESERVE = 64 << 20
"""Bytes left free on the target's disk."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a version is taken from. file: where an asset's own file lies, None where there is none to link to."""

    ref: str
    root: Root
    get: Get
    read: Callable[[Fact], Iterable[bytes]]
    prepare: Callable[[Sequence[Fact]], object]
    file: Callable[[Fact], Path | None]
    papers: dict[str, bytes]


def checkout(
    where: Workspace | Store | Path,
    ref: str,
    out: Path,
    *,
    pictures: Pictures = "copy",
    ask: Ask | None = None,
) -> Work:
    """Materialise a version in a new folder. Killed or cancelled, `out` does not exist; the same call goes on.

    Args:
        where: a workspace (pictures come from the sources) or a hub, which needs no workspace.
        out: a folder that does not exist or is empty.
        pictures: "copy"; "link" = symbolic links to the files, proved now (a copy where there is none to link to, as in
            archives); "none" = the labels alone.
        ask: of a workspace, for the gate; by default for people of this house, whom nothing closed or expired reaches.

    Raises:
        NotFound: no such version there. InvalidInput: `out` is not empty; the published version is not what was signed;
            policy tags keep it in.
        Conflict: another checkout to this folder is under way. Unavailable: no room, or it cannot be written.
    """
    out = out.absolute()
    if pictures not in ("link", "copy", "none"):
        raise InvalidInput(f"pictures {pictures!r} is not known", remedy="link, copy or none")
    _demand_empty(out)
    if isinstance(where, Workspace):
        version = find(where, ref)
        gate.demand(
            where, ref, dataset_id=version.dataset_id, rev=version.rev, filter=version.filter, version_id=version.id,
            ask=ask or Ask(), verb="checkout",
        )  # fmt: skip
        yield from (e for e in sealed(where, find(where, ref)) if not isinstance(e, Finished))
    source = _of_workspace(where, ref) if isinstance(where, Workspace) else _of_hub(store_of(where), ref)
    total = source.root.counts.assets
    yield Started(f"checkout {ref}", total)
    staging = out.with_name(f".{out.name}.lamproom-checkout")
    faults = 0
    try:
        with ExitStack() as held:
            staging.mkdir(parents=True, exist_ok=True)
            held.enter_context(
                files.alone(staging / ".lock", what="another checkout to this folder is under way")
            )
            _demand_same(staging, source)
            if pictures == "copy":
                _demand_room(staging, source.root)
            writer = _Writer(staging, source, pictures)
            for done in writer.run():
                yield from (Warned(what, key) for key, what in done.faults)
                faults += len(done.faults)
                yield Progress(done.done, total)
            yield Progress(total, total, "flushing")
            _settle(staging)
            _demand_empty(out)
            if out.exists():
                out.rmdir()
            if os.name == "nt":  # a folder with an open file cannot be moved there
                held.close()
            staging.rename(out)
            (out / ".lock").unlink(missing_ok=True)
        files.sync_folder(out.parent)
    except OSError as error:
        remedy = (
            "make room and check it out again: it goes on"
            if error.errno == errno.ENOSPC
            else "name a folder you may write to"
        )
        raise Unavailable(
            f"cannot be written: {error.strerror or error}", where=str(out), remedy=remedy
        ) from error
    yield Finished(
        {"version": ref, "root": blake3(source.papers["root.json"]).hexdigest(), "out": str(out), "assets": total,
         "annotations": source.root.counts.objects, "pictures": pictures, "written": writer.written, "found": writer.found,
         "linked": writer.linked, "missing_pictures": faults},
        problems=faults,
    )  # fmt: skip


def _of_workspace(ws: Workspace, ref: str) -> _Source:
    version, root = load(ws, find(ws, ref))
    with ws.db.read() as conn:
        _, _, schema, _ = rows.schema_at(conn, version.schema_version_id)
    sources = Sources(ws)
    public, data = bytes.fromhex(version.public or ""), manifest.root_bytes(root)
    signature = bytes.fromhex(version.signature or "")
    if not seal.holds(public, signature, data):
        raise InvalidInput(
            "the signature of the manifest does not hold", where=ref, remedy=f"`lamproom verify {ref}`"
        )
    papers = {
        "root.json": data,
        "root.sig": signature,
        "key.pem": seal.public_pem(public),
        native.SCHEMA: schema.encode(),
    }
    if version.statement and version.statement_signature:
        papers |= {
            "statement.json": version.statement.encode(),
            "statement.sig": bytes.fromhex(version.statement_signature),
        }

    def file(fact: Fact) -> Path | None:
        path = Path(os.fsdecode(sources.raw_file(fact) or b""))
        return path if path.is_file() else None

    return _Source(ref, root, getter(ws), sources.read, sources.prepare, file, papers)


def _of_hub(hub: Store, ref: str) -> _Source:
    published = reading.load(hub, *split(ref))
    demand_sound(published.faults, ref)
    documents = published.documents
    prefix = package.version_prefix(*split(ref))
    papers = {"root.json": manifest.root_bytes(published.root), "key.pem": seal.public_pem(published.public),
              native.SCHEMA: documents["schema.toml"], "root.sig": read(hub, f"{prefix}root.sig", MAX_SIGNATURE)}  # fmt: skip
    if "statement.json" in documents:
        papers["statement.json"] = documents["statement.json"]
        papers["statement.sig"] = read(hub, f"{prefix}statement.sig", MAX_SIGNATURE)
    reader = reading.Reader(hub)
    return _Source(ref, published.root, reader.get, reader.media, lambda _: None, lambda _: None, papers)


def _demand_empty(out: Path) -> None:
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise InvalidInput("the target is not an empty folder", where=str(out), remedy="name a new folder")


def _demand_same(staging: Path, source: _Source) -> None:
    """What a killed checkout left is of use only for the same root; anything else there is removed."""
    marker = staging / MARKER
    data = canonical.encode(
        {"format": FORMAT, "root": blake3(source.papers["root.json"]).hexdigest(), "version": source.ref}
    )
    if not marker.is_file() or marker.read_bytes() != data:
        for stale in staging.iterdir():
            if stale.name != ".lock":
                shutil.rmtree(stale) if stale.is_dir() and not stale.is_symlink() else stale.unlink()
        files.write(marker, data)


def _demand_room(staging: Path, root: Root) -> None:
    there = sum(
        p.stat().st_size for p in (staging / native.PLACE).rglob("*") if p.is_file() and not p.is_symlink()
    )
    wanted = max(0, root.counts.size - there) + RESERVE
    free = shutil.disk_usage(staging).free
    if free < wanted:
        raise Unavailable(
            f"{wanted} bytes are needed and {free} are free", where=str(staging.parent),
            remedy="make room, or link the pictures: --pictures link",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Done:
    done: int
    faults: list[tuple[str, str]]


class _Writer:
    """Writes a version into the staging folder, chunk by chunk; counts pictures written, found whole and linked."""

    def __init__(self, staging: Path, source: _Source, pictures: Pictures) -> None:
        self.written = self.found = self.linked = 0
        self._staging, self._source, self._pictures = staging, source, pictures
        self._lock = threading.Lock()
        # On a disk that ignores case two keys can mean one file: the second is a fault, not a second truth.
        self._folded: set[bytes] | None = set() if (staging / ".LOCK").exists() else None

    def run(self) -> Iterator[_Done]:
        """Every chunk, proved before anything of it is written. InvalidInput where the manifest is not what was signed."""
        source, done = self._source, 0
        for name, data in source.papers.items():
            files.write(self._staging / name, data, with_folder=False)
        part = self._staging / f".{native.FILE}.part"
        name = canonical.nfc(source.ref)
        with part.open("wb") as labels, ThreadPoolExecutor(THREADS, "checkout") as pool:
            labels.write(native.head(name, source.root.schema.code, source.root.schema.number))
            chunks = iter(source.root.chunks)
            for checked in proof.check(source.root, source.get):
                for fault in checked.faults:
                    raise InvalidInput(
                        f"the manifest is not what was signed: {fault.what}", where=fault.where,
                        remedy=f"`lamproom verify {source.ref}` names everything",
                    )  # fmt: skip
                chunk = next(chunks)
                self._labels(labels.write, chunk, checked.facts)
                faults: list[tuple[str, str]] = []
                if self._pictures != "none":
                    source.prepare(checked.facts)
                    said = pool.map(self._picture, checked.facts)
                    faults = [(f.key, what) for f, what in zip(checked.facts, said, strict=True) if what]
                done += chunk.n
                yield _Done(done, faults)
            labels.flush()
            os.fsync(labels.fileno())
        part.replace(self._staging / native.FILE)

    def _labels(self, write: Callable[[bytes], object], chunk: manifest.Chunk, facts: Sequence[Fact]) -> None:
        labels, sets = (manifest.lines(part, self._source.get) for part in (chunk.labels, chunk.sets))
        for fact, said, body in zip(facts, labels, sets, strict=True):
            split_ = msgspec.json.decode(said, type=Labelled).split
            write(native.line(fact.key, body, fact.wh, split_ or ""))

    def _picture(self, fact: Fact) -> str | None:
        """Put one picture in place; what is wrong, or None."""
        target = self._staging.joinpath(*native.place(Record(fact.key, None, None, ())).parts)
        if self._folded is not None:
            folded = blake3(fact.key.casefold().encode()).digest(16)
            with self._lock:
                twice = folded in self._folded
                self._folded.add(folded)
            if twice:
                return "another picture has the same name but for upper and lower case"
        try:
            if self._pictures == "link" and (file := self._source.file(fact)) is not None:
                if what := proof.media_fault(fact, lambda _: _pieces(file)):
                    return what
                self._link(file, target)
                return None
            if (
                target.is_file()
                and not target.is_symlink()
                and proof.media_fault(fact, lambda _: _pieces(target)) is None
            ):
                with self._lock:
                    self.found += 1
                return None
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                target.unlink()
            files.write(target, self._proved(fact), with_folder=False, flush=False)
        except LamproomError as error:
            return f"the picture is not in the checkout: {error.what}"
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise
            return f"the picture is not in the checkout: {error.strerror or error}"
        with self._lock:
            self.written += 1
        return None

    def _link(self, file: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            target.unlink()
        target.symlink_to(file)
        with self._lock:
            self.linked += 1

    def _proved(self, fact: Fact) -> Iterator[bytes]:
        identity, n = blake3(), 0
        for piece in self._source.read(fact):
            n += len(piece)
            identity.update(piece)
            yield piece
        if (
            n != fact.size or identity.hexdigest() != fact.asset
        ):  # before the rename: nothing wrong gets a name
            raise InvalidInput("the bytes are not those that were frozen")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece


def _settle(staging: Path) -> None:
    """All of it on the disk before it gets its name; one call for the whole system where there is one."""
    if hasattr(os, "sync"):
        os.sync()
    else:
        files.sync_tree(staging)

"""Shuttle disks on the other side: proved, read together as a hub, or brought into a hub folder one by one."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from blake3 import blake3

from annotation.errors import InvalidInput, LamproomError, NotFound, Unavailable
from storage import files, manifest, seal
from storage.hub import bag, package, reading, sealing, store
from storage.hub.bag import Bag
from storage.hub.folder import FolderStore
from storage.hub.holdings import Holdings, survey
from storage.hub.reading import Reader
from storage.hub.shuttle import ABOUT, FORMAT, SIGNED, About, is_payload
from storage.hub.store import PIECE, Abilities, Body, Found, Pace, Unfinished, Uploads


@dataclass(frozen=True, slots=True)
class Opened:
    """A disk that is a finished bag of a shuttle set, its statement signed by `about.key`."""

    bag: Bag
    about: About


def find(disk: Path) -> list[Path]:
    """The bags of shuttle sets on a disk (or the bag itself)."""
    if (disk / ABOUT).is_file():
        return [disk]
    return sorted(p for p in disk.glob("lamproom-*") if (p / "data").is_dir() and not p.is_symlink())


def opened(folder: Path) -> Opened:
    """A disk's bag, proved as far as its tag files go.

    Raises:
        NotFound: no finished bag. InvalidInput: damaged, or not what its sender signed.
    """
    found = bag.opened(folder)
    try:
        data = files.read_plain(folder / ABOUT, 1 << 16)
        about = msgspec.json.decode(data, type=About)
        signature = files.read_plain(folder / SIGNED, 1024)
        public = bytes.fromhex(about.key)
    except (LamproomError, ValueError) as error:
        raise InvalidInput("it does not say which set it is a disk of", where=str(folder)) from error
    if (
        about.format != FORMAT
        or not re.fullmatch(r"[0-9a-f]{16}", about.set)
        or not seal.holds(public, signature, data)
        or about.manifest != found.manifest
    ):
        raise InvalidInput(
            "the disk is not what its sender signed", where=str(folder), remedy="have it packed again"
        )
    return Opened(found, about)


class Together:
    """Several unsealed disks as one hub, to be read; see storage/hub/store.py. What is left there (receipts) lies beside the bag."""

    near = True
    threads = 2

    def __init__(self, disks: Iterable[Opened]) -> None:
        self._disks = list(disks)
        self.where = ", ".join(str(d.bag.folder) for d in self._disks)
        self.pace = Pace()
        self._stores = [FolderStore(d.bag.folder / "data") for d in self._disks]
        self._beside = [FolderStore(d.bag.folder) for d in self._disks]

    def _of(self, key: str) -> FolderStore | None:
        for disk, inner, beside in zip(self._disks, self._stores, self._beside, strict=True):
            if key in disk.bag.payload:
                return inner
            if "/receipts/" in key and beside.stat(key) is not None:
                return beside
        return None

    def stat(self, key: str) -> Found | None:
        """See Store."""
        found = self._of(key)
        return None if found is None else found.stat(key)

    def listing(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See Store."""
        for disk, inner, beside in zip(self._disks, self._stores, self._beside, strict=True):
            for key in sorted(disk.bag.payload):
                if key.startswith(prefix) and (found := inner.stat(key)) is not None:
                    yield key, found.size
            yield from ((k, n) for k, n in beside.listing(prefix) if "/receipts/" in k)

    def get(self, key: str, first: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See Store."""
        found = self._of(key)
        if found is None:
            raise NotFound("it is on none of these disks", where=key, remedy="name all disks of the set")
        yield from found.get(key, first, length)

    def put(
        self,
        key: str,
        source: bytes | Body,
        *,
        size: int,
        sha256: str = "",
        md5: str = "",
        create_only: bool = False,
        resume: Uploads | None = None,
    ) -> None:
        """See Store: receipts alone."""
        if "/receipts/" not in key:
            raise InvalidInput("a disk that was packed is not written", where=key)
        self._beside[-1].put(key, source, size=size)

    def delete(self, key: str) -> None:
        """See Store."""
        raise InvalidInput("a disk that was packed is not written", where=key)

    def abilities(self) -> Abilities:
        """See Store."""
        return Abilities(range=True, lists=True)

    def abandoned(self) -> Iterator[Unfinished]:
        """See Store."""
        return iter(())

    def end(self, upload: Unfinished) -> None:
        """See Store."""

    def settle(self) -> None:
        """See Store."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See Store."""
        yield

    def close(self) -> None:
        """See Store."""


def unpack(
    disk: Opened, hub: FolderStore, *, identity: str = ""
) -> Iterator[tuple[str, LamproomError | None]]:
    """Bring a disk's payload into a hub folder, each file proved against the bag and its own name; (path, fault or None).

    What its name does not prove (the version's own files, indexes of packs, lists of pieces) waits in `incoming/` until it can
    be proved against all the rest: see `settle`.
    """
    for path, digest in sorted(disk.bag.payload.items()):
        key = path.removesuffix(sealing.SUFFIX) if disk.about.sealed else path
        try:
            _bring(disk, path, digest, key, hub, identity)
        except LamproomError as fault:
            yield path, fault
        else:
            yield path, None


def _bring(disk: Opened, path: str, digest: str, key: str, hub: FolderStore, identity: str) -> None:
    if not is_payload(key):
        raise InvalidInput("a name that no file of a hub has", where=ascii(path[:120]))
    named_by_digest = package.is_digest(key.rpartition("/")[2])
    if key == package.MARKER:  # settle writes the hub's own
        return
    goal = hub.path(key if named_by_digest else f"incoming/{disk.about.set}/{key}")
    if goal.is_file() and named_by_digest:
        if _digest_of(goal) == key.rpartition("/")[2]:
            return
        goal.unlink()
    goal.parent.mkdir(parents=True, exist_ok=True)
    staged = goal.with_name(f".{goal.name}.part")
    hashed, named = hashlib.sha512(), blake3()

    def source() -> Iterator[bytes]:
        for piece in bag.pieces(disk.bag, path):
            hashed.update(piece)
            yield piece

    try:
        with staged.open("wb") as out:

            def write(data: bytes) -> None:
                named.update(data)
                out.write(data)

            if disk.about.sealed:
                sealing.unseal(source(), write, identity)
            else:
                for piece in source():
                    write(piece)
            out.flush()
            os.fsync(out.fileno())
        name = key.rpartition("/")[2]
        if hashed.hexdigest() != digest:
            raise InvalidInput("the bytes are not those that were packed", where=path)
        if named_by_digest and named.hexdigest() != name:
            raise InvalidInput("the object is not the one its name says", where=path)
        staged.replace(goal)
    except OSError as error:
        raise Unavailable(f"cannot be written: {error.strerror or error}", where=str(goal), remedy="make room, then check the disk in again") from error  # fmt: skip
    finally:
        staged.unlink(missing_ok=True)


def _digest_of(path: Path) -> str:
    hashed = blake3()
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            hashed.update(piece)
    return hashed.hexdigest()


def settle(hub: FolderStore, name: str) -> tuple[str, int]:
    """Give a version its place in a hub folder once all it names is there.

    Returns:
        ("d@v1", 0) when it is published there now, ("", n) while n objects are missing; n is at least 1 when the disk
        with the version's own files was not checked in yet.

    Raises:
        InvalidInput: what waits there is no version.
    """
    top = hub.path(f"incoming/{name}")
    for path in sorted([*top.glob("packs/*.index"), *top.glob("objects/*/*.pieces")]):
        _place(hub, path, path.relative_to(top).as_posix())
    roots = sorted(top.glob("datasets/*/*/root.json"))
    if not roots:
        return "", 1
    if len(roots) > 1:
        raise InvalidInput("more than one version waits there", where=str(top))
    where = roots[0].parent
    data = files.read_plain(roots[0], package.MAX_ROOT_BYTES)
    root = manifest.load(data)
    if away := _missing(hub, root):
        return "", away
    if not (where / "package.json").is_file():
        return "", 1
    try:
        said = msgspec.json.decode(files.read_plain(where / "package.json", 1 << 20), type=package.Contents)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("package.json cannot be read", where=str(where)) from error
    wanted = {"key.pem", "package.json", "package.sig", "root.sig", *(f.name for f in said.files)}
    if "statement.json" in wanted:
        wanted.add("statement.sig")
    if away := sum(not (where / name).is_file() for name in wanted if is_payload(f"datasets/d/t/{name}")):
        return "", away
    if faults := reading.load(FolderStore(top), said.dataset, said.tag).faults:
        raise InvalidInput(
            f"what waits there is no version: {faults[0].what}", where=f"{where}/{faults[0].where}"
        )
    target = hub.path(package.version_prefix(said.dataset, said.tag).rstrip("/"))
    if (target / "root.json").is_file():
        if (target / "root.json").read_bytes() != data:
            raise InvalidInput(
                "another content is published there under this tag", where=f"{said.dataset}@{said.tag}"
            )
    else:
        target.mkdir(parents=True, exist_ok=True)
        for part in (*sorted(wanted), "root.json"):
            files.write(target / part, (where / part).read_bytes())
        if not hub.path(package.MARKER).is_file():
            files.write(hub.path(package.MARKER), package.marker_bytes())
        hub.settle()
    for path in sorted(top.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    top.rmdir()
    return f"{said.dataset}@{said.tag}", 0


def _place(hub: FolderStore, waiting: Path, key: str) -> None:
    """Give an index of a pack or a list of pieces its place once it can be proved by what it speaks of.

    One that is not true would hide sound objects of other versions from whoever reads the hub.

    Raises:
        InvalidInput: it is not true; it waits no longer.
    """
    data = files.read_plain(waiting, package.MAX_LIST_BYTES)
    try:
        true = _is_true(hub, key, data)
    except NotFound:
        return  # on a disk that was not checked in yet
    except (LamproomError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        true = False
    waiting.unlink()
    if not true:
        raise InvalidInput("it does not say where its objects lie", where=key, remedy="have it packed again")
    goal = hub.path(key)
    goal.parent.mkdir(parents=True, exist_ok=True)
    files.write(goal, data)


def _is_true(hub: FolderStore, key: str, data: bytes) -> bool:
    if key.endswith(".index"):
        index = msgspec.json.decode(data, type=package.PackIndex)
        pack = key.removesuffix(".index")
        if hub.stat(pack) is None:
            raise NotFound("it is missing", where=pack)
        return index.format == package.PACK_FORMAT and all(
            o.first >= 0 <= o.bytes and blake3(b"".join(hub.get(pack, o.first, o.bytes))).hexdigest() == o.b3
            for o in index.objects
        )
    whole, reader = blake3(), Reader(hub)
    for piece in msgspec.json.decode(data, type=tuple[package.Piece, ...]):
        if len(body := reader.small(piece.b3, piece.bytes)) != piece.bytes:
            return False
        whole.update(body)
    return whole.hexdigest() == key.rpartition("/")[2].removesuffix(".pieces")


def _missing(hub: FolderStore, root: manifest.Root) -> int:
    held, get, away = survey(hub, root.counts.assets, lists=True), Reader(hub).get, 0
    for chunk in root.chunks:
        parts = [(p.b3, p.bytes) for p in (chunk.facts, chunk.labels, chunk.sets)]
        gone = held.missing(parts)
        away += sum(gone)
        if gone[0]:
            away += chunk.n  # nobody knows which they are before this is there
            continue
        facts = manifest.facts(chunk, get)
        lost = held.missing([(f.asset, f.size) for f in facts])
        away += sum(n and not _is_in_pieces(hub, held, f) for n, f in zip(lost, facts, strict=True))
    return away


def _is_in_pieces(hub: FolderStore, held: Holdings, fact: manifest.Fact) -> bool:
    if not held.is_cut(fact.asset):
        return False
    data = store.read(hub, package.pieces_key(fact.asset), package.MAX_LIST_BYTES)
    try:
        pieces = msgspec.json.decode(data, type=tuple[package.Piece, ...])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return not any(held.missing([(p.b3, p.bytes) for p in pieces]))

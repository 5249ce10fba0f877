"""Shuttle disks: a version on its way on disks that are carried. Each is a BagIt bag; together their payloads are a hub folder.

    <disk>/lamproom-<set>/          a bag (storage/hub/bag.py)
        data/objects/…, packs/…     as in a hub (storage/hub/package.py); sealed, each file ends in .age
        data/datasets/…             the version's own files, on the last disk
        lamproom-shuttle.json, .sig what set this is a disk of, signed: version, root, number, digest of the payload's manifest
        journal.jsonl               what was written so far, for going on after a kill; a copy stays with the sender

The name of the set follows from version, root and recipient, so packing again goes on. A disk that was pulled or carried off
counts with what its journal says.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import msgspec
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from annotation.errors import InvalidInput, NotFound, Unavailable
from storage import files, seal
from storage.hub import bag, package, sealing
from storage.hub.bag import Paid
from storage.hub.folder import FolderStore
from storage.hub.store import PIECE, Abilities, Body, Found, Pace, Unfinished, Uploads

FORMAT = "lamproom-shuttle-1"
ABOUT, SIGNED, JOURNAL = "lamproom-shuttle.json", "lamproom-shuttle.sig", "journal.jsonl"
RESERVE = 64 << 20
"""Bytes left free on a disk for the bag's own files."""
_PAYLOAD = re.compile(
    rf"{re.escape(package.MARKER)}\Z|objects/([0-9a-f]{{2}})/\1[0-9a-f]{{62}}(\.pieces)?\Z|packs/[0-9a-f]{{64}}(\.index)?\Z"
    r"|datasets/(?!\.)[^/\\\0]+/(?!\.)[^/\\\0]+/[a-z][a-z0-9_.-]*\Z"
)
_LINE_BYTES = 400
"""Bytes that each file of the payload costs in manifest and journal."""


class Full(Unavailable):
    """Every disk that is here took what it can."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of the journal: a key, its plain size, and the file on the disk."""

    bytes: int
    key: str
    sha512: str
    size: int


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """lamproom-shuttle.json. manifest: BLAKE3 of manifest-sha512.txt; last: the version's own files are on this disk."""

    disk: int
    format: str
    key: str
    last: bool
    manifest: str
    root: str
    sealed: bool
    set: str
    version: str


def set_name(version: str, root: str, recipient: str) -> str:
    """16 hex digits of what makes a set what it is."""
    return blake3(f"{version}\0{root}\0{recipient}".encode()).hexdigest()[:16]


def folder_of(disk: Path, name: str) -> Path:
    """Where the bag of a set lies on a disk."""
    return disk / f"lamproom-{name}"


# --- writing --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Disk:
    """One disk of the set. `folder` is None while it is not here: carried off, or not yet put in again."""

    number: int
    folder: Path | None
    rows: dict[str, Row] = field(default_factory=dict)
    full: bool = False

    def path(self, row: Row, *, sealed: bool) -> Path:
        assert self.folder is not None
        return self.folder / "data" / (row.key + (sealing.SUFFIX if sealed else ""))


class ShuttleStore:
    """A Store that spreads over the disks given, in their order; see the module and storage/hub/store.py.

    Every file is read back from its disk and compared before it counts.

    Args:
        disks: folders, the present ones. memory: where the sender keeps journals and what is read again.
        recipient: an age recipient, "" = not sealed. most: bytes of payload a disk may take, 0 = what fits.
        have: objects that the other side has already, BLAKE3 -> bytes: they stay at home.
    """

    near = True
    threads = 2

    def __init__(
        self, disks: Sequence[Path], *, name: str, memory: Path, recipient: str = "", most: int = 0,
        have: Mapping[str, int] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self.name, self.memory, self.recipient, self.most = name, memory / name, recipient, most
        self.where = ", ".join(map(str, disks))
        self.pace = Pace()
        self._have = have
        self._lock = threading.RLock()
        self.memory.mkdir(parents=True, exist_ok=True)
        self._disks = self._known(disks)
        self._where: dict[str, tuple[_Disk, Row]] = {
            k: (d, r) for d in self._disks for k, r in d.rows.items()
        }

    # -- what there is

    def _known(self, folders: Sequence[Path]) -> list[_Disk]:
        """Disks by number: those of the memory, and those given, found again by their journals."""
        found: dict[int, _Disk] = {}
        for path in sorted(self.memory.glob("disk-*.jsonl")):
            number = int(path.stem.removeprefix("disk-"))
            found[number] = _Disk(number, None, _rows(path))
        for disk in folders:
            if not disk.is_dir():
                raise NotFound("there is no such disk", where=str(disk), remedy="is it mounted?")
            folder = folder_of(disk, self.name)
            mark = folder / "disk"
            number = _number(mark) if mark.is_file() else max(found, default=0) + 1
            if not mark.is_file():
                try:
                    (folder / "data").mkdir(parents=True, exist_ok=True)
                    files.write(mark, str(number).encode())
                except OSError as error:
                    raise self._fault(error, disk) from error
            held = found.setdefault(number, _Disk(number, None))
            if held.folder is not None:
                raise InvalidInput("the same disk was named twice", where=str(disk))
            held.folder = folder
            on_disk = _rows(folder / JOURNAL)
            # Where the disk says otherwise than was remembered, neither counts: it may have been in other hands.
            both = {k: r for k, r in {**held.rows, **on_disk}.items() if held.rows.get(k, r) == r}
            held.rows = {k: r for k, r in both.items() if self._is_there(held, r)}
        return [found[n] for n in sorted(found)]

    def _is_there(self, disk: _Disk, row: Row) -> bool:
        with suppress(OSError):
            return disk.path(row, sealed=bool(self.recipient)).stat().st_size == row.bytes
        return False

    @property
    def disks(self) -> list[tuple[int, Path | None, int, int]]:
        """(number, folder or None, files, bytes) of every disk of the set."""
        return [(d.number, d.folder, len(d.rows), sum(r.bytes for r in d.rows.values())) for d in self._disks]

    def stat(self, key: str) -> Found | None:
        """See Store."""
        known = self._where.get(key)
        if known is None and (size := self._have.get(key.rpartition("/")[2])) is not None:
            return Found(size) if key.startswith("objects/") else None
        return None if known is None else Found(known[1].size)

    def listing(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See Store."""
        yield from ((k, r.size) for k, (_, r) in sorted(self._where.items()) if k.startswith(prefix))

    def get(self, key: str, first: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See Store. Of a sealed set only the version's own files can be read again, from the memory."""
        kept = self.memory / "plain" / key
        if key in self._where and kept.is_file():  # one that was killed may be remembered and on no disk
            data = kept.read_bytes()[first:]
            yield data if length is None else data[:length]
            return
        disk, row = self._where.get(key, (None, None))
        if disk is None or row is None:
            raise NotFound("it is missing", where=key)
        if disk.folder is None or self.recipient:
            raise Unavailable(
                "it is on a disk that is not here" if disk.folder is None else "it is sealed", where=key
            )
        yield from FolderStore(disk.folder / "data").get(key, first, length)

    # -- writing

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
        """See Store.

        Raises:
            Unavailable: every disk is full, or the one being written was pulled out.
        """
        if isinstance(source, bytes) and _is_remembered(key):
            kept = self.memory / "plain" / key
            kept.parent.mkdir(parents=True, exist_ok=True)
            files.write(kept, source)
        cost = size + _LINE_BYTES + (size >> 12) + 512 * bool(self.recipient)
        while True:
            disk = self._room(cost)
            try:
                if disk.folder is None or not (disk.folder / "disk").is_file():
                    # Pulled out: what is left is an empty mount point, and nothing may be written below it.
                    raise OSError(errno.ENODEV, "the disk is gone")
                row = self._write(disk, key, source, size)
                with self._lock:
                    _append(disk.folder, row)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    disk.full = True
                    continue
                raise self._fault(error, disk.folder or Path()) from error
            with self._lock:
                disk.rows[key] = row
                self._where[key] = disk, row
                _append(self.memory / f"disk-{disk.number}.jsonl", row)
            return

    def _room(self, cost: int) -> _Disk:
        with self._lock:
            for disk in self._disks:
                if disk.folder is None or disk.full:
                    continue
                try:
                    free = shutil.disk_usage(disk.folder).free - RESERVE - _LINE_BYTES * len(disk.rows)
                except OSError as error:
                    raise self._fault(error, disk.folder) from error
                if self.most:
                    free = min(free, self.most - sum(r.bytes for r in disk.rows.values()))
                if free >= cost:
                    return disk
                disk.full = True
        raise Full(
            "the disks are full", where=self.where,
            remedy="run `lamproom shuttle pack` again with the next disk; these may be carried off",
        )  # fmt: skip

    def _write(self, disk: _Disk, key: str, source: bytes | Body, size: int) -> Row:
        hashed, n = hashlib.sha512(), 0
        row = Row(0, key, "", size)
        path = disk.path(row, sealed=bool(self.recipient))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".part")
        with temporary.open("wb") as out:

            def write(data: bytes) -> None:
                nonlocal n
                hashed.update(data)
                out.write(data)
                n += len(data)

            if self.recipient:
                sealing.seal(self._plain(source, size), write, self.recipient)
            else:
                for piece in self._plain(source, size):
                    write(piece)
            out.flush()
            os.fsync(out.fileno())
            if hasattr(os, "posix_fadvise"):
                with suppress(OSError):
                    os.posix_fadvise(out.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if not isinstance(source, bytes):
            source.proved()
        back = hashlib.sha512()
        with temporary.open("rb") as stream:
            while piece := stream.read(PIECE):
                back.update(piece)
        if back.digest() != hashed.digest():
            temporary.unlink(missing_ok=True)
            raise Unavailable(
                "the disk gives back other bytes than were written",
                where=str(path),
                remedy="take another disk",
            )
        temporary.replace(path)
        return Row(n, key, hashed.hexdigest(), size)

    def _plain(self, source: bytes | Body, size: int) -> Iterator[bytes]:
        for at in range(0, size, PIECE):
            n = min(PIECE, size - at)
            self.pace.take(n)
            yield source[at : at + n] if isinstance(source, bytes) else source.read(at, n)

    def delete(self, key: str) -> None:
        """See Store."""
        with self._lock:
            known = self._where.pop(key, None)
            if known is not None and known[0].folder is not None:
                known[0].rows.pop(key, None)
                known[0].path(known[1], sealed=bool(self.recipient)).unlink(missing_ok=True)

    def finish(self, key: Ed25519PrivateKey, *, version: str, root: str, info: Mapping[str, str]) -> None:
        """Make every present disk a bag as it stands: it may be carried off. Done again when more was written.

        Raises:
            Unavailable: a disk was pulled out.
        """
        of = str(len(self._disks)) if self.is_whole() else "?"
        self._let_go()
        for disk in self._disks:
            if disk.folder is None:
                continue
            suffix = sealing.SUFFIX if self.recipient else ""
            paid = [Paid(r.key + suffix, r.bytes, r.sha512) for r in disk.rows.values()]
            manifest = bag.manifest_bytes(paid)
            about = msgspec.json.encode(
                About(disk.number, FORMAT, seal.public_bytes(key).hex(), _is_last(disk), blake3(manifest).hexdigest(), root,
                      bool(self.recipient), self.name, version)
            )  # fmt: skip
            said = {**info, "Bag-Group-Identifier": self.name, "Bag-Count": f"{disk.number} of {of}",
                    "External-Identifier": version}  # fmt: skip
            try:
                bag.finish(disk.folder, paid, said, {ABOUT: about, SIGNED: key.sign(about)})
            except OSError as error:
                raise self._fault(error, disk.folder) from error

    def _let_go(self) -> None:
        """Disks that were not needed are left as they were found."""
        for disk in [d for d in self._disks if d.folder is not None and not d.rows]:
            assert disk.folder is not None
            shutil.rmtree(disk.folder, ignore_errors=True)
            self._disks.remove(disk)

    def is_whole(self) -> bool:
        """Whether the version's root was written: nothing more will follow."""
        return any(k.startswith("datasets/") and k.endswith("/root.json") for k in self._where)

    def abilities(self) -> Abilities:
        """See Store. What is written is read back here, so nobody else has to."""
        return Abilities(create_only=True, checks_sha256=True, range=not self.recipient, lists=True)

    def abandoned(self) -> Iterator[Unfinished]:
        """See Store: there are none."""
        return iter(())

    def end(self, upload: Unfinished) -> None:
        """See Store."""

    def settle(self) -> None:
        """See Store."""
        for disk in self._disks:
            if disk.folder is not None:
                for where, _, _ in os.walk(disk.folder, topdown=False):
                    files.sync_folder(Path(where))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See Store. Half-written files belong to nobody and are removed."""
        with files.alone(self.memory / ".lock", what="somebody is packing this version"):
            for disk in self._disks:
                if disk.folder is not None:
                    for stale in (disk.folder / "data").rglob("*.part"):
                        stale.unlink()
            yield

    def close(self) -> None:
        """See Store."""

    def _fault(self, error: OSError, where: Path) -> Unavailable:
        return Unavailable(
            f"the disk cannot be written: {error.strerror or error}", where=str(where),
            remedy="put it in again and run the same command: what is on it counts",
        )  # fmt: skip


def _is_remembered(key: str) -> bool:
    """What publishing reads again though its disk may be sealed or carried off."""
    return key == package.MARKER or key.startswith("datasets/") or key.endswith((".index", ".pieces"))


def is_payload(key: str) -> bool:
    """Whether a file of this key can lie on a shuttle disk."""
    return bool(_PAYLOAD.match(key))


def _number(mark: Path) -> int:
    text = files.read_plain(mark, 64).decode("ascii", "replace").strip()
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        raise InvalidInput(
            "the number of the disk cannot be read", where=str(mark), remedy="take the folder off the disk"
        )
    return int(text)


def _is_last(disk: _Disk) -> bool:
    return any(k.endswith("/root.json") for k in disk.rows)


def _rows(path: Path) -> dict[str, Row]:
    """The lines of a journal; one cut by a kill is left out."""
    out: dict[str, Row] = {}
    with suppress(FileNotFoundError), path.open("rb") as stream:
        for line in stream:
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                row = msgspec.json.decode(line, type=Row)
                if is_payload(row.key) and re.fullmatch(r"[0-9a-f]{128}", row.sha512):
                    out[row.key] = row
    return out


def _append(where: Path | None, row: Row) -> None:
    assert where is not None
    path = where / JOURNAL if where.is_dir() else where
    with path.open("ab") as out:
        out.write(msgspec.json.encode(row) + b"\n")

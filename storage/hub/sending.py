"""One object on its way into a hub: whole, cut into pieces, or packed with others; proved before and, where need be, after."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import msgspec
from blake3 import blake3

from annotation.errors import LamproomError, NotFound, Unavailable
from storage import cdc
from storage.hub import package
from storage.hub.holdings import Holdings
from storage.hub.package import Packed, PackIndex, Piece
from storage.hub.store import PIECE, Abilities, Store, Uploads, Wrong
from storage.manifest import Fact
from storage.proof import ReadMedia

WHOLE = 16 << 20
"""What is at most this large goes in one request, from memory."""
TRIES = 3
"""Times an object is written when the hub gives back something else."""
_SETTLED = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/gif",
    "image/jp2",
    "video/",
    "audio/",
    "application/zip",
)
"""Types whose bytes change from end to end when anything changes: cutting them saves nothing."""


@dataclass(slots=True)
class Tally:
    """What was newly written, counted by several threads."""

    objects: int = 0
    size: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, size: int, n: int = 1) -> None:
        """`n` objects more, of `size` bytes together."""
        with self._lock:
            self.objects, self.size = self.objects + n, self.size + size


class Tail:
    """A large file read in order by a store, hashed on the way."""

    def __init__(self, path: Path, size: int, b3: str) -> None:
        self.size = size
        self._b3, self._hash, self._at = b3, blake3(), 0
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise Wrong(f"it cannot be read: {error.strerror or error}") from error

    def __enter__(self) -> Tail:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, first: int, length: int) -> bytes:
        """See store.Body. What is read again (a second try) is not hashed again."""
        try:
            self._file.seek(first)
            held = bytearray()
            while len(held) < length and (piece := self._file.read(length - len(held))):
                held += piece
        except OSError as error:
            raise Wrong(f"it cannot be read: {error.strerror or error}") from error
        if len(held) != min(length, self.size - first):
            raise Wrong(_CHANGED)
        if first == self._at:
            self._hash.update(held)
            self._at += len(held)
        return bytes(held)

    def proved(self) -> None:
        """See store.Body."""
        if self._at != self.size or self._hash.hexdigest() != self._b3:
            raise Wrong(_CHANGED)


_CHANGED = "the bytes are not those that were frozen"


@dataclass(frozen=True, slots=True)
class Way:
    """How objects go to one hub.

    Attributes:
        can: what the hub was seen to do. held: what it holds. place: the plain file of an asset's bytes, if there is
            one. staging: a folder for what has to lie on the disk meanwhile. cut: whether large files are cut by their
            content: None = where that can save anything.
    """

    hub: Store
    can: Abilities
    held: Holdings
    read_media: ReadMedia
    place: Callable[[Fact], Path | None]
    staging: Path
    tally: Tally
    workers: ThreadPoolExecutor
    resume: Uploads | None = None
    cut: bool | None = None
    cut_bytes: int = 32 << 20


def is_cut(way: Way, fact: Fact) -> bool:
    """Whether this asset goes in pieces."""
    if way.cut is not None:
        return way.cut and fact.size >= way.cut_bytes
    return fact.size >= way.cut_bytes and not fact.media_type.startswith(_SETTLED)


def pieces_missing(way: Way, fact: Fact) -> bool:
    """Whether a cut file is not whole in the hub: its list, or any piece of it."""
    if not way.held.is_cut(fact.asset):
        return True
    try:
        listed = msgspec.json.decode(
            b"".join(way.hub.get(package.pieces_key(fact.asset))), type=tuple[Piece, ...]
        )
    except (NotFound, msgspec.DecodeError, UnicodeDecodeError):
        return True
    if sum(p.bytes for p in listed) != fact.size or not all(package.is_digest(p.b3) for p in listed):
        return True
    return any(way.held.missing([(p.b3, p.bytes) for p in listed], way.workers))


def media(way: Way, fact: Fact) -> None:
    """Send the bytes of an asset.

    Raises:
        Wrong: they are not those that were frozen, or cannot be read.
        Unavailable: the hub does not take or keep them.
    """
    if fact.size <= WHOLE and not is_cut(way, fact):
        data = source_bytes(way, fact)
        put(way, package.object_key(fact.asset), data, fact.asset, sha256=fact.sha256)
        return
    with _on_disk(way, fact) as path, Tail(path, fact.size, fact.asset) as body:
        if is_cut(way, fact):
            _in_pieces(way, fact, body)
        else:
            put(way, package.object_key(fact.asset), body, fact.asset, sha256=fact.sha256)


def source_bytes(way: Way, fact: Fact) -> bytes:
    """The bytes of a small asset, proved."""
    held: list[bytes] = []
    n = 0
    for piece in _source(way, fact):
        n += len(piece)
        if n > fact.size:
            break
        held.append(piece)
    data = held[0] if len(held) == 1 else b"".join(held)
    if n != fact.size or blake3(data).hexdigest() != fact.asset:
        raise Wrong(_CHANGED)
    return data


def _source(way: Way, fact: Fact) -> Iterator[bytes]:
    try:
        yield from way.read_media(fact)
    except FileNotFoundError:
        raise Wrong("the file is not there") from None
    except LamproomError as error:
        raise Wrong(error.what) from error
    except OSError as error:
        raise Wrong(f"it cannot be read: {error.strerror or error}") from error


class _on_disk:
    """The plain file of a large asset: its own, or a copy beside the work that is removed again."""

    def __init__(self, way: Way, fact: Fact) -> None:
        self._way, self._fact, self._copy = way, fact, None

    _copy: IO[bytes] | None

    def __enter__(self) -> Path:
        path = self._way.place(self._fact)
        if path is not None:
            return path
        self._copy = tempfile.NamedTemporaryFile(dir=self._way.staging, prefix="spool-")
        try:
            for piece in _source(self._way, self._fact):
                self._copy.write(piece)
            self._copy.flush()
        except BaseException:
            self._copy.close()
            raise
        return Path(self._copy.name)

    def __exit__(self, *_: object) -> None:
        if self._copy is not None:
            self._copy.close()


def _in_pieces(way: Way, fact: Fact, body: Tail) -> None:
    """Pieces that are missing, then the list of all of them."""

    def read() -> Iterator[bytes]:
        for at in range(0, body.size, PIECE):
            yield body.read(at, min(PIECE, body.size - at))

    listed: list[Piece] = []
    for data in cdc.cut(read()):
        b3 = blake3(data).hexdigest()
        listed.append(Piece(b3, len(data)))
        if way.held.missing([(b3, len(data))])[0]:
            put(way, package.object_key(b3), data, b3)
    body.proved()
    said = msgspec.json.encode(listed)
    put(way, package.pieces_key(fact.asset), said, blake3(said).hexdigest())


def put(way: Way, key: str, source: bytes | Tail, b3: str, *, sha256: str = "") -> None:
    """Write one object and, where nobody else looks at what arrived, read it back.

    Raises:
        Unavailable: the hub gives back other bytes than were written, time and again.
    """
    size = len(source) if isinstance(source, bytes) else source.size
    for _ in range(TRIES):
        way.hub.put(key, source, size=size, sha256=sha256, resume=way.resume)
        if not way.can.weak or _is_kept(way.hub, key, b3):
            way.tally.add(size)
            return
        way.hub.delete(key)
    raise not_kept(way.hub, key)


def _is_kept(hub: Store, key: str, b3: str) -> bool:
    hashed = blake3()
    try:
        for piece in hub.get(key):
            hashed.update(piece)
    except NotFound:
        return False
    return hashed.hexdigest() == b3


def not_kept(hub: Store, key: str) -> Unavailable:
    """The fault of a hub that says yes and keeps something else."""
    return Unavailable(
        "the hub gives back other bytes than were written", where=f"{hub.where}: {key}",
        remedy="check its disk and the line to it; nothing was published",
    )  # fmt: skip


class Packer:
    """Small objects gathered in a file that is sent as one, with an index behind it.

    What goes into a pack depends on what is missing alone, so a killed publisher makes the same pack again and goes on
    with its upload.
    """

    def __init__(self, way: Way, most: int) -> None:
        self._way, self._most = way, most
        self._file: IO[bytes] | None = None
        self._hash, self._objects, self._at = blake3(), dict[str, Packed](), 0

    def add(self, b3: str, data: bytes) -> None:
        """One more object; a full pack is sent."""
        if b3 in self._objects:
            return
        if self._file is None:
            self._file = tempfile.NamedTemporaryFile(dir=self._way.staging, prefix="pack-")  # noqa: SIM115
        try:
            self._file.write(data)
        except OSError as error:
            raise Unavailable(
                f"a pack cannot be made: {error.strerror or error}", where=str(self._way.staging),
                remedy="make room on this disk, or publish without packs",
            ) from error  # fmt: skip
        self._hash.update(data)
        self._objects[b3] = Packed(b3, len(data), self._at)
        self._at += len(data)
        if self._at >= self._most:
            self.send()

    def send(self) -> None:
        """Send what was gathered, then its index: only with that are the objects there."""
        if self._file is None:
            return
        name, n = self._hash.hexdigest(), len(self._objects)
        key = package.pack_key(name)
        with self._file as file:
            file.flush()
            path = Path(file.name)
            way = replace(self._way, tally=Tally())
            with Tail(path, self._at, name) as body:
                put(way, key, body.read(0, self._at) if self._at <= WHOLE else body, name)
        index = msgspec.json.encode(PackIndex(package.PACK_FORMAT, tuple(self._objects.values())))
        put(way, f"{key}.index", index, blake3(index).hexdigest())
        self._way.tally.add(self._at, n)
        self._file, self._hash, self._objects, self._at = None, blake3(), {}, 0

    def close(self) -> None:
        """Drop what was gathered and not sent."""
        if self._file is not None:
            self._file.close()

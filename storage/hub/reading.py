"""Published versions as they lie in any hub: listed, loaded, read, verified. Nothing there is trusted before its digest holds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
from blake3 import blake3

from annotation.errors import InvalidInput, LamproomError, NotFound
from storage import manifest, proof, seal
from storage.damage import Aid, Copies, Span
from storage.hub import package, store
from storage.hub.holdings import Packs
from storage.hub.package import DOCUMENTS, Contents, Piece
from storage.hub.store import Store
from storage.manifest import Fact, Get, Root
from storage.proof import Checked, Fault, ReadMedia

WINDOW = 4 << 20
"""Bytes read ahead in a pack: its objects lie in the order in which they are asked for."""
WINDOWS = 8


@dataclass(frozen=True, slots=True)
class Published:
    """A version as it lies in the hub. `public` is the key that signed it: compare its fingerprint.

    documents: those that package.json lists, by name, as they lie there.
    """

    dataset: str
    tag: str
    root: Root
    digest: str
    public: bytes
    faults: tuple[Fault, ...]
    documents: Mapping[str, bytes] = field(default_factory=dict)


def is_hub(hub: Store) -> bool:
    """Whether the place says it is a hub of this format.

    Raises:
        InvalidInput: it is a hub of another format.
    """
    try:
        said = store.read(hub, package.MARKER, 4096).strip()
    except NotFound:
        return False
    if said != package.marker_bytes():
        raise InvalidInput(
            "the hub has another format", where=hub.where, remedy=f"this program writes {package.FORMAT}"
        )
    return True


def listing(hub: Store) -> list[tuple[str, str]]:
    """(dataset, tag) of every published version, by name. What cannot be read is left to `load` to name."""
    keys = {key for key, _ in hub.listing("datasets/")}
    found = []
    for key in sorted(k for k in keys if k.endswith("/package.json") and k.count("/") == 3):
        if key.replace("package.json", "root.json") not in keys:
            continue
        with suppress(LamproomError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            said = msgspec.json.decode(store.read(hub, key, 1 << 20), type=Contents)
            found.append((said.dataset, said.tag))
    return found


def load(hub: Store, dataset: str, tag: str) -> Published:
    """The root of a published version, with all faults of its small files (signatures, package, documents).

    Raises:
        NotFound: nothing is published under this name.
        InvalidInput: the root cannot be read at all.
    """
    prefix = package.version_prefix(dataset, tag)
    if hub.stat(f"{prefix}root.json") is None:
        raise NotFound(
            f"{dataset}@{tag} is not published there", where=hub.where, remedy="`lamproom publish` does it"
        )
    data = store.read(hub, f"{prefix}root.json", package.MAX_ROOT_BYTES)
    root = manifest.load(data)
    digest = blake3(data).hexdigest()
    faults: list[Fault] = []

    def text(name: str, limit: int = package.MAX_DOCUMENT_BYTES) -> bytes | None:
        try:
            return store.read(hub, prefix + name, limit)
        except LamproomError as error:
            faults.append(Fault(name, error.what))
            return None

    def demand_signed(name: str, signed: bytes) -> None:
        if not seal.holds(public, text(f"{name}.sig", 1 << 10) or b"", signed):
            faults.append(Fault(f"{name}.sig", "the signature does not hold"))

    public = b""
    try:
        public = seal.from_pem(text("key.pem", 1 << 16) or b"")
    except InvalidInput as error:
        faults.append(Fault("key.pem", error.what))
    statement = text("package.json", 1 << 20) or b""
    demand_signed("root", data)
    demand_signed("package", statement)
    try:
        said = msgspec.json.decode(statement, type=Contents)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        faults.append(Fault("package.json", "it cannot be read"))
        return Published(dataset, tag, root, digest, public, tuple(faults))
    if (said.format, said.root) != (package.PACKAGE_FORMAT, digest):
        faults.append(Fault("package.json", "it speaks of another root"))
    if (said.dataset, said.tag) != (dataset, tag) or root.dataset != dataset:
        faults.append(Fault("package.json", f"it is the package of {said.dataset[:80]}@{said.tag[:80]}"))
    listed = {f.name: f for f in said.files}
    if not set(DOCUMENTS) <= set(listed) or not all(map(package.is_document, listed)):
        faults.append(Fault("package.json", "it does not list the documents of a version"))
    bodies: dict[str, bytes] = {}
    for name in sorted({*DOCUMENTS, *filter(package.is_document, listed)}):
        body = text(name)
        if body is None:
            continue
        if name in listed:
            bodies[name] = body
        if name in listed and blake3(body).hexdigest() != listed[name].b3:
            faults.append(Fault(name, "it is not the file that was signed"))
        if name == "schema.toml" and blake3(body).hexdigest() != root.schema.blake3:
            faults.append(Fault(name, "it is not the label schema of the version"))
        if name == "statement.json":
            demand_signed("statement", body)
            if wrong := package.statement_fault(body, root=digest, ref=f"{dataset}@{tag}"):
                faults.append(Fault(name, wrong))
    return Published(dataset, tag, root, digest, public, tuple(faults), bodies)


class Reader:
    """Objects of a hub by digest, wherever they lie: by themselves, in a pack, in pieces. For several threads at once."""

    def __init__(self, hub: Store) -> None:
        self.hub = hub
        self._lock = threading.Lock()
        self._packs: Packs | None = None
        self._windows: OrderedDict[str, tuple[int, bytes]] = OrderedDict()

    def get(self, b3: str) -> bytes:
        """An object's bytes, not yet compared with its digest.

        Raises:
            NotFound: the hub does not hold it. InvalidInput: no digest, or not a plain file.
        """
        return self.small(b3, proof.MAX_PART_BYTES)

    def small(self, b3: str, limit: int) -> bytes:
        """As `get`; larger than `limit` is refused."""
        key = package.object_key(b3)
        if (data := self._packed(b3)) is not None:
            return data
        return store.read(self.hub, key, limit)

    def media(self, fact: Fact) -> Iterator[bytes]:
        """The bytes of an asset, in pieces."""
        key = package.object_key(fact.asset)
        if (data := self._packed(fact.asset)) is not None:
            yield data
            return
        try:
            yield from self.hub.get(key)
        except NotFound:
            listed = self._pieces(fact)
            if listed is None:
                raise
            for piece in listed:
                yield self.small(piece.b3, piece.bytes)

    def _pieces(self, fact: Fact) -> tuple[Piece, ...] | None:
        try:
            data = store.read(self.hub, package.pieces_key(fact.asset), package.MAX_LIST_BYTES)
        except NotFound:
            return None
        try:
            listed = msgspec.json.decode(data, type=tuple[Piece, ...])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput("the list of its pieces cannot be read", where=fact.asset) from error
        if any(p.bytes < 0 for p in listed) or sum(p.bytes for p in listed) != fact.size:
            raise InvalidInput("its pieces do not make up its size", where=fact.asset)
        return listed

    def place(self, fact: Fact) -> str:
        """The key that an asset's bytes lie under: its own object, a pack, a list of pieces."""
        found = self._find(fact.asset)
        if found is not None:
            return f"{found[0]} +{found[1]}"
        if self.hub.stat(package.object_key(fact.asset)) is None and self.hub.stat(
            package.pieces_key(fact.asset)
        ):
            return package.pieces_key(fact.asset)
        return package.object_key(fact.asset)

    def bad_pieces(self, fact: Fact) -> list[Span] | None:
        """The spans of an asset whose piece is not what its list says; None of what is not held in pieces."""
        if self._packed(fact.asset) is not None or self.hub.stat(package.object_key(fact.asset)):
            return None
        listed = self._pieces(fact)
        if listed is None:
            return None
        wrong, at = [], 0
        for piece in listed:
            try:
                good = blake3(self.small(piece.b3, piece.bytes)).hexdigest() == piece.b3
            except LamproomError:
                good = False
            if not good:
                wrong.append((at, at + piece.bytes))
            at += piece.bytes
        return wrong

    def _find(self, b3: str) -> tuple[str, int, int] | None:
        """Where a pack holds it."""
        packs = self._packs
        if packs is None:
            with self._lock:
                if self._packs is None:
                    self._packs = Packs(self.hub, lists=self.hub.near or self.hub.abilities().lists)
                packs = self._packs
        return packs.find(b3)

    def _packed(self, b3: str) -> bytes | None:
        found = self._find(b3)
        if found is None:
            return None
        key, first, size = found
        with self._lock:
            at, held = self._windows.get(key, (0, b""))
        if not (at <= first and first + size <= at + len(held)):
            held = b"".join(self.hub.get(key, first, max(size, WINDOW)))
            at = first
            with self._lock:
                self._windows[key] = at, held
                self._windows.move_to_end(key)
                while len(self._windows) > WINDOWS:
                    self._windows.popitem(last=False)
        data = held[first - at : first - at + size]
        if len(data) != size:
            raise NotFound("the pack that holds it is cut", where=b3)
        return data


def get_from(hub: Store) -> Get:
    """Objects of this hub by digest, as `manifest` wants them."""
    return Reader(hub).get


def media_from(hub: Store) -> ReadMedia:
    """The bytes of assets as they lie in this hub."""
    return Reader(hub).media


def verify(
    hub: Store, published: Published, *, bytes_too: bool = True, copies: Copies | None = None
) -> Iterator[Checked]:
    """Every fault of a published version, chunk by chunk, from the hub alone.

    Args:
        copies: other places of the same bytes (as `damage.Aid` takes them), to tell which bytes are wrong.
    """
    if published.faults:
        yield Checked((), published.faults)
    reader = Reader(hub)
    aid = Aid(
        lambda fact: f"{hub.where}/{reader.place(fact)}", copies or (lambda _: iter(())), reader.bad_pieces
    )
    yield from proof.check(
        published.root, reader.get, reader.media if bytes_too else None, threads=hub.threads, aid=aid
    )

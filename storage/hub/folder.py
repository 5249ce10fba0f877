"""A hub that is a folder: objects by digest, a root per published version written last. Needs no workspace, no database.

    lamproom-hub.json                      what this folder is
    objects/ab/abcd…                       chunks and media, each named by its BLAKE3
    datasets/<name>/<tag>/root.json        the manifest root (storage/manifest.py): a version is published when it is there
                          root.sig         Ed25519 signature over root.json, 64 bytes
                          package.json     dataset, tag, root and the digest of each file below; package.sig signs it
                          schema.toml, lineage.json, card.md, key.pem (public)
    staging/                               unfinished files of the publisher at work

Every object is written only after all it refers to, so what a killed publisher leaves is complete as far as it goes.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from blake3 import blake3

from annotation import canonical
from annotation.errors import Conflict, InvalidInput, LamproomError, NotFound, Unavailable
from storage import files, manifest, proof, seal
from storage.manifest import Fact, Get, Root
from storage.proof import Checked, Fault, ReadMedia

FORMAT = "lamproom-hub-1"
PACKAGE_FORMAT = "lamproom-package-1"
MARKER = "lamproom-hub.json"
DOCUMENTS = ("card.md", "lineage.json", "schema.toml")
MAX_ROOT_BYTES = 1 << 28
MAX_DOCUMENT_BYTES = 1 << 30
PIECE = 1 << 20

_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_FOREIGN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*%]')
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{d}{n}" for d in ("COM", "LPT") for n in range(1, 10))}


@dataclass(frozen=True, slots=True)
class Package:
    """What is published: root bytes, their signature, the key's 32 public bytes, and the documents by file name.

    `package_signature` is over `package_bytes(...)` of the same dataset, tag, root and documents.
    """

    dataset: str
    tag: str
    root: bytes
    signature: bytes
    public: bytes
    documents: Mapping[str, bytes]
    package_signature: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """Progress of a publisher: entries done of all; objects and bytes newly written; faults met in this chunk."""

    done: int
    total: int
    objects: int
    size: int
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """A version as it lies in the hub. `public` is the key that signed it: compare its fingerprint."""

    dataset: str
    tag: str
    root: Root
    digest: str
    public: bytes
    faults: tuple[Fault, ...]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    b3: str
    bytes: int
    name: str


class _Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dataset: str
    files: tuple[_File, ...]
    format: str
    root: str
    tag: str


def package_bytes(dataset: str, tag: str, root: bytes, documents: Mapping[str, bytes]) -> bytes:
    """Canonical bytes of the statement that ties dataset, tag and documents to the root."""
    listed = tuple(_File(blake3(d).hexdigest(), len(d), name) for name, d in sorted(documents.items()))
    statement = _Package(dataset, listed, PACKAGE_FORMAT, blake3(root).hexdigest(), tag)
    return msgspec.json.encode(statement)


def safe_name(text: str) -> str:
    """A file name for any name a person gives: Chinese stays, what some system forbids becomes %XX.

    It never escapes its folder. Very long names are cut and told apart by a digest.
    """
    name = _FOREIGN.sub(lambda m: f"%{ord(m[0]):02X}", unicodedata.normalize("NFC", text))
    if name.startswith(".") or name.partition(".")[0].upper() in _DEVICES:
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if name.endswith((".", " ")):
        name = f"{name[:-1]}%{ord(name[-1]):02X}"
    if len(name.encode()) > 200:
        name = f"{name.encode()[:160].decode(errors='ignore')}~{blake3(text.encode()).hexdigest()[:16]}"
    return name or "%"


def object_path(hub: Path, b3: str) -> Path:
    """Where an object lies; InvalidInput unless the name is 64 hex digits (a foreign root may say anything)."""
    if not _HEX64.match(b3):
        raise InvalidInput("an object is not named by a digest", where=ascii(b3[:80]))
    return hub / "objects" / b3[:2] / b3


def _version_folder(hub: Path, dataset: str, tag: str) -> Path:
    return hub / "datasets" / safe_name(dataset) / safe_name(tag)


# -- publishing ------------------------------------------------------------------------------------------------------


def prepare(hub: Path) -> None:
    """Make the folder a hub; an existing one is left as it is.

    Raises:
        InvalidInput: the folder holds something else, or a hub of another format.
    """
    marker = hub / MARKER
    if marker.is_file():
        if marker.read_bytes()[:4096].strip() != _marker():
            raise InvalidInput(
                "the hub has another format", where=str(hub), remedy=f"this program writes {FORMAT}"
            )
        return
    if hub.exists() and (not hub.is_dir() or any(not p.name.startswith(".lamproom") for p in hub.iterdir())):
        raise InvalidInput(
            "the folder is not empty and no hub", where=str(hub), remedy="name an empty or new folder"
        )
    hub.mkdir(parents=True, exist_ok=True)
    files.write(marker, _marker())


def _marker() -> bytes:
    return canonical.encode({"format": FORMAT})


def publish(hub: Path, package: Package, get: Get, read_media: ReadMedia) -> Iterator[Sent]:
    """Write what the hub lacks, the root last. A killed run is resumed by running again.

    Args:
        get: chunk objects by digest. read_media: the bytes of an asset.

    Raises:
        Conflict: another version is published there under this tag, or another publisher is at work.
        InvalidInput: some media or chunk is not what was frozen; each was named in a `Sent`, no root was written.
        Unavailable: the hub gives back other bytes than were written.
    """
    root = manifest.load(package.root)
    prepare(hub)
    with _alone(hub):
        folder = _version_folder(hub, package.dataset, package.tag)
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / "root.json"
        if target.exists() and target.read_bytes() != package.root:
            raise Conflict(
                f"{package.dataset}@{package.tag} is published there already with another content",
                where=str(folder),
                remedy="freeze under a new tag and publish that",
            )
        yield from _send_objects(hub, root, get, read_media)
        if target.exists() and not load(hub, package.dataset, package.tag).faults:
            return  # what was published stays, to the letter: its documents may tell less than today's would
        statement = package_bytes(package.dataset, package.tag, package.root, package.documents)
        texts = {
            **{name: package.documents[name] for name in DOCUMENTS},
            "key.pem": seal.public_pem(package.public),
            "package.json": statement,
            "package.sig": package.package_signature,
            "root.sig": package.signature,
            "root.json": package.root,
        }
        for name, data in texts.items():
            path = folder / name
            if not path.exists() or path.read_bytes() != data:
                files.write(path, data, staging=hub / "staging")
                if path.read_bytes() != data:
                    raise _not_kept(path)
        for part in (folder.parent, folder.parent.parent, hub):
            files.sync_folder(part)


def _send_objects(hub: Path, root: Root, get: Get, read_media: ReadMedia) -> Iterator[Sent]:
    done = objects = size = wrong = 0
    total = root.counts.assets
    yield Sent(0, total, 0, 0)
    for chunk in root.chunks:
        faults: list[Fault] = []
        for fact in manifest.facts(chunk, get):
            if _is_there(object_path(hub, fact.asset), fact.size):
                continue
            try:
                if what := _send_media(hub, fact, read_media):
                    faults.append(Fault(fact.key, what))
                    continue
            except InvalidInput as error:
                faults.append(Fault(fact.key, error.line))
                continue
            objects, size = objects + 1, size + fact.size
        if not faults:
            for part in (chunk.facts, chunk.labels, chunk.sets):
                path = object_path(hub, part.b3)
                if not _is_there(path, part.bytes):
                    data = get(part.b3)
                    if blake3(data).hexdigest() != part.b3:
                        raise InvalidInput(
                            "a chunk is damaged", where=part.b3, remedy="build the version again"
                        )
                    _write_object(hub, path, (data,))
                    _read_back(path, part.b3)
                    objects, size = objects + 1, size + part.bytes
        done, wrong = done + chunk.n, wrong + len(faults)
        yield Sent(done, total, objects, size, tuple(faults))
    if (
        stored := hub / "objects"
    ).is_dir():  # also what a killed publisher wrote: it may have died before this
        for folder in (*sorted(p for p in stored.iterdir() if p.is_dir()), stored):
            files.sync_folder(folder)
    if wrong:
        raise InvalidInput(
            f"{wrong} of {total} assets do not have the bytes that were frozen; the version was not published",
            where=root.dataset,
            remedy="put the files back (or `lamproom relink` a moved source) and publish again",
        )


def _is_there(path: Path, size: int) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size


def _send_media(hub: Path, fact: Fact, read_media: ReadMedia) -> str | None:
    """Copy an asset's bytes into the hub; what is wrong with them, or None."""
    path = object_path(hub, fact.asset)
    hashed, n = blake3(), 0

    def pieces() -> Iterator[bytes]:
        nonlocal n
        for piece in read_media(fact):
            n += len(piece)
            hashed.update(piece)
            yield piece
        if n != fact.size or hashed.hexdigest() != fact.asset:  # before the rename: nothing wrong gets a name
            raise InvalidInput("the bytes are not those that were frozen")

    try:
        _write_object(hub, path, pieces())
    except LamproomError as error:
        return error.what
    except FileNotFoundError:
        return "the file is not there"
    _read_back(path, fact.asset)
    return None


def _write_object(hub: Path, path: Path, pieces: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(
        path, pieces, staging=hub / "staging", with_folder=False
    )  # flushed at the end, before the root


def _read_back(path: Path, b3: str) -> None:
    """What was written is what can be read: from the disk where the system lets us drop its cache."""
    hashed = blake3()
    with path.open("rb") as file:
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := file.read(PIECE):
            hashed.update(piece)
    if hashed.hexdigest() != b3:
        path.unlink()
        raise _not_kept(path)


def _not_kept(path: Path) -> Unavailable:
    return Unavailable(
        "the hub gives back other bytes than were written", where=str(path), remedy="check its disk"
    )


@contextmanager
def _alone(hub: Path) -> Iterator[None]:
    """One publisher at a time: whatever lies in staging then belongs to nobody and is removed."""
    with files.alone(hub / ".lamproom.lock", what="somebody is publishing to this hub"):
        staging = hub / "staging"
        staging.mkdir(exist_ok=True)
        for stale in staging.iterdir():
            stale.unlink()
        yield


# -- reading and verifying -------------------------------------------------------------------------------------------


def is_hub(folder: Path) -> bool:
    """Whether the folder says it is a hub."""
    return (folder / MARKER).is_file()


def listing(hub: Path) -> list[tuple[str, str]]:
    """(dataset, tag) of every published version, by name. What cannot be read is left to `load` to name."""
    found = []
    for path in sorted((hub / "datasets").glob("*/*/package.json")):
        with suppress(LamproomError, OSError, msgspec.DecodeError):
            if (path.parent / "root.json").is_file():
                said = msgspec.json.decode(_read(path, 1 << 20), type=_Package)
                found.append((said.dataset, said.tag))
    return found


def get_from(hub: Path) -> Get:
    """Objects of this hub by digest, as `manifest` wants them."""

    def get(b3: str) -> bytes:
        return _read(object_path(hub, b3), proof.MAX_PART_BYTES)

    return get


def load(hub: Path, dataset: str, tag: str) -> Published:
    """The root of a published version, with all faults of its small files (signatures, package, documents).

    Raises:
        NotFound: nothing is published under this name.
        InvalidInput: the root cannot be read at all.
    """
    folder = _version_folder(hub, dataset, tag)
    if not (folder / "root.json").exists():
        raise NotFound(
            f"{dataset}@{tag} is not published there", where=str(hub), remedy="`lamproom publish` does it"
        )
    data = _read(folder / "root.json", MAX_ROOT_BYTES)
    root = manifest.load(data)
    faults: list[Fault] = []

    def text(name: str, limit: int = MAX_DOCUMENT_BYTES) -> bytes | None:
        try:
            return _read(folder / name, limit)
        except LamproomError as error:
            faults.append(Fault(name, error.what))
            return None

    public = b""
    try:
        public = seal.from_pem(text("key.pem", 1 << 16) or b"")
    except InvalidInput as error:
        faults.append(Fault("key.pem", error.what))
    statement = text("package.json", 1 << 20) or b""
    for name, signed in (("root", data), ("package", statement)):
        if not seal.holds(public, text(f"{name}.sig", 1 << 10) or b"", signed):
            faults.append(Fault(f"{name}.sig", "the signature does not hold"))
    try:
        said = msgspec.json.decode(statement, type=_Package)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        faults.append(Fault("package.json", "it cannot be read"))
    else:
        if (said.format, said.root) != (PACKAGE_FORMAT, blake3(data).hexdigest()):
            faults.append(Fault("package.json", "it speaks of another root"))
        if (said.dataset, said.tag) != (dataset, tag) or root.dataset != dataset:
            faults.append(Fault("package.json", f"it is the package of {said.dataset[:80]}@{said.tag[:80]}"))
        listed = {f.name: f for f in said.files}
        if set(listed) != set(DOCUMENTS):
            faults.append(Fault("package.json", "it does not list the documents of a version"))
        for name in DOCUMENTS:
            body = text(name)
            if body is None:
                continue
            if name in listed and blake3(body).hexdigest() != listed[name].b3:
                faults.append(Fault(name, "it is not the file that was signed"))
            if name == "schema.toml" and blake3(body).hexdigest() != root.schema.blake3:
                faults.append(Fault(name, "it is not the label schema of the version"))
    return Published(dataset, tag, root, blake3(data).hexdigest(), public, tuple(faults))


def verify(hub: Path, published: Published, *, bytes_too: bool = True) -> Iterator[Checked]:
    """Every fault of a published version, chunk by chunk, from the hub folder alone."""
    if published.faults:
        yield Checked((), published.faults)
    yield from proof.check(published.root, get_from(hub), media_from(hub) if bytes_too else None)


def media_from(hub: Path) -> ReadMedia:
    """The bytes of assets as they lie in this hub."""

    def read(fact: Fact) -> Iterator[bytes]:
        path = object_path(hub, fact.asset)
        _demand_file(path)
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece

    return read


def _demand_file(path: Path) -> int:
    """Size of a plain file. No link, pipe or device of a foreign hub is opened."""
    try:
        found = path.lstat()
    except OSError as error:
        raise NotFound("it is missing", where=path.name) from error
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInput("it is not a plain file", where=path.name)
    return found.st_size


def _read(path: Path, limit: int) -> bytes:
    if _demand_file(path) > limit:
        raise InvalidInput(f"it is larger than {limit} bytes", where=path.name)
    return path.read_bytes()

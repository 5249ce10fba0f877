"""Model packs (.lrmodel): a model in one signed file that can be carried on a USB stick. Writing, bounded reading, checking.

A pack is a plain zip with stored (not compressed) entries, so any tool can look into it:

    manifest.json           canonical JSON of `Manifest`: names every other entry with size and SHA-256
    signature               64 bytes: Ed25519 over b"lamproom model pack 1\\n" and the bytes of manifest.json
    licence.txt             the licence's text
    test/picture.png        the picture that the model is tried on
    SHA256/SHA256.onnx      each part (the model; a pair's encoder and decoder; a reader's boxes and text), named by its
    SHA256/NAME …           identity, and the files of weights beside it under the names it knows them by

Nothing is believed before it is checked: entries are those of the manifest and no others, sizes and digests are the
manifest's, the manifest is canonical, the signature is by the key it names. Whether that key is trusted, and what the
model gives for the picture, is asked by the caller. This module signs and verifies through functions it is given.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from annotation import canonical
from annotation.errors import Conflict, InvalidInput, Unavailable
from models import external
from models.sample import Result

SUFFIX = ".lrmodel"
SIGNED = b"lamproom model pack 1\n"
"""Before the manifest in what is signed, so that a signature means nothing elsewhere."""
MAX_MANIFEST = 8_000_000
MAX_ENTRIES = 4_400
MAX_BYTES = 16 * 1024**3
MAX_LICENCE = 2_000_000
MAX_PICTURE = 64_000_000
_MANIFEST, _SIGNATURE, _LICENCE, _PICTURE = "manifest.json", "signature", "licence.txt", "test/picture.png"
_SECTOR = 46  # fewest bytes an entry takes in a zip's directory
_REMEDY = "copy the pack again from its source"


Kind = Literal["model", "pair", "reader"]
ROLES: Mapping[Kind, tuple[str, ...]] = {
    "model": ("model",),
    "pair": ("encoder", "decoder"),
    "reader": ("boxes", "text"),
}
"""The parts of each kind of model, in this order."""


@dataclass(frozen=True, slots=True)
class File:
    """A file in the pack: its name in its folder, size in bytes, SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Part:
    """An .onnx file and its weights beside it. `files` begins with the .onnx file; `sha256` is the identity of all."""

    role: str
    sha256: str
    files: tuple[File, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a pack holds.

    Attributes:
        name: what the model is called. kind: of its card. sha256: its identity in the record.
        card: as the record keeps it; it holds size, colour order and scaling of the input, and the head.
        recipe: how it is used: thresholds, class mapping to the label schema, tiles, as `Recipe.to_json`.
        schema: code of the label schema that the mapping speaks of, "" when there is none.
        licence: what it is called; its text is an entry of the pack.
        expected: what the model gave for the test picture where the pack was made.
        runtime: what gave it.
        public: the signing key, 64 hex digits.
    """

    name: str
    kind: Kind
    sha256: str
    card: dict[str, Any]
    parts: tuple[Part, ...]
    licence: str
    licence_text: File
    picture: File
    expected: Result
    runtime: str
    public: str
    recipe: dict[str, Any] = field(default_factory=dict)
    schema: str = ""
    format: Literal["lamproom model pack"] = "lamproom model pack"
    version: Literal[1] = 1

    def to_json(self) -> bytes:
        """Canonical bytes."""
        return canonical.encode(msgspec.to_builtins(self))

    @property
    def size_bytes(self) -> int:
        """Of all files that the manifest names."""
        return sum(size for _, size, _ in _entries(self))


@dataclass(frozen=True, slots=True)
class Opened:
    """A pack whose manifest (`data`) and signature were checked; the files are checked when they are taken out."""

    path: Path
    manifest: Manifest
    signature: bytes
    data: bytes


def write(
    target: Path,
    manifest: Callable[[tuple[Part, ...], File, File], Manifest],
    parts: Mapping[str, Path],
    *,
    licence: bytes,
    picture: bytes,
    sign: Callable[[bytes], bytes],
) -> Manifest:
    """Write a pack, staged beside its place, flushed and renamed.

    Args:
        manifest: makes it of the parts, the licence's text and the picture.
        parts: role -> .onnx file.
        sign: Ed25519 over the bytes it gets.

    Raises:
        Conflict: the file is there already. Unavailable: it cannot be written.
    """
    if target.exists():
        raise Conflict("there is such a file already", where=str(target), remedy="choose another name")
    known = {role: external.identify(path) for role, path in parts.items()}
    sources: dict[str, Path | bytes] = {_LICENCE: licence, _PICTURE: picture}
    listed = []
    for role, path in parts.items():
        body = known[role]
        names = {f"{body.sha256}.onnx": path, **{name: path.parent / name for name, _ in body.files}}
        digests = {f"{body.sha256}.onnx": body.onnx_sha256, **dict(body.files)}
        sources |= {f"{body.sha256}/{name}": source for name, source in names.items()}
        files = tuple(File(name, source.stat().st_size, digests[name]) for name, source in names.items())
        listed.append(Part(role, body.sha256, files))
    made = manifest(
        tuple(listed),
        File(_LICENCE, len(licence), hashlib.sha256(licence).hexdigest()),
        File(_PICTURE, len(picture), hashlib.sha256(picture).hexdigest()),
    )
    data = made.to_json()
    manifest_of(data, where=str(target))
    first: dict[str, Path | bytes] = {_MANIFEST: data, _SIGNATURE: sign(SIGNED + data)}
    staged = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    try:
        with staged.open("xb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for name, source in {**first, **sources}.items():
                    _put(archive, name, source)
            file.flush()
            os.fsync(file.fileno())
        staged.rename(target)
    except OSError as error:
        raise Unavailable(
            f"the pack cannot be written: {error.strerror}",
            where=str(target),
            remedy="make room or choose another place",
        ) from error
    finally:
        staged.unlink(missing_ok=True)
    return made


def read(path: Path, *, verify: Callable[[bytes, bytes, bytes], bool]) -> Opened:
    """A pack's manifest, once its form and its signature are right.

    Args:
        verify: (public key, signature, data) -> whether the key signed the data.

    Raises:
        InvalidInput: no pack, damaged, cut short, changed, or not signed by the key it names.
        Unavailable: it cannot be read.
    """
    with _archive(path) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if len(set(names)) != len(names) or names[:2] != [_MANIFEST, _SIGNATURE]:
            raise _strange(path)
        if any(
            e.compress_type != zipfile.ZIP_STORED or e.flag_bits & 1 or e.file_size != e.compress_size
            for e in entries
        ):
            raise InvalidInput("it is compressed or encrypted, a pack is neither", where=str(path))
        if entries[0].file_size > MAX_MANIFEST or entries[1].file_size != 64:
            raise _strange(path)
        data, signature = _bytes(archive, entries[0], path), _bytes(archive, entries[1], path)
        manifest = manifest_of(data, where=str(path))
        if not verify(bytes.fromhex(manifest.public), signature, SIGNED + data):
            raise InvalidInput(
                "the signature is not by the key it names: the pack was changed or forged", where=str(path),
                remedy="get it again from who made it",
            )  # fmt: skip
        wanted = {name: size for name, size, _ in _entries(manifest)}
        if {e.filename: e.file_size for e in entries[2:]} != wanted:
            raise InvalidInput("it does not hold the files it names", where=str(path), remedy=_REMEDY)
    return Opened(path, manifest, signature, data)


def unpack(pack: Opened, folder: Path) -> dict[str, Path]:
    """Take a pack's files out into an empty folder, each checked against its digest: role -> .onnx file.

    Raises:
        InvalidInput: a file is not what the manifest says. Unavailable: there is too little room, or reading failed.
    """
    free = shutil.disk_usage(folder).free
    needed = 2 * pack.manifest.size_bytes  # the model is copied from there into its place
    if needed > free:
        raise Unavailable(
            f"{needed} bytes are needed, {free} are free",
            where=str(folder),
            remedy="make room",
        )
    with _archive(pack.path) as archive:
        for name, size, sha256 in _entries(pack.manifest):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            hasher, left = hashlib.sha256(), size
            try:
                with archive.open(name) as source, target.open("xb") as out:
                    while left and (block := source.read(min(external.CHUNK, left))):
                        hasher.update(block)
                        out.write(block)
                        left -= len(block)
            except (zipfile.BadZipFile, KeyError, EOFError) as error:
                raise InvalidInput(
                    f"{name} is damaged in the pack", where=str(pack.path), remedy=_REMEDY
                ) from error
            if left or hasher.hexdigest() != sha256:
                raise InvalidInput(
                    f"{name} is not what was signed: damaged or exchanged",
                    where=str(pack.path),
                    remedy=_REMEDY,
                )
    return {part.role: folder / part.sha256 / part.files[0].name for part in pack.manifest.parts}


def picture(pack: Opened) -> bytes:
    """The test picture's bytes, as signed.

    Raises:
        InvalidInput: it is not what the manifest says.
    """
    return _text(pack, pack.manifest.picture)


def licence_text(pack: Opened) -> str:
    """The licence's text, as signed."""
    return _text(pack, pack.manifest.licence_text).decode("utf-8", "replace")


def _text(pack: Opened, file: File) -> bytes:
    with _archive(pack.path) as archive:
        data = _bytes(archive, archive.getinfo(file.name), pack.path)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise InvalidInput(
            f"{file.name} is not what was signed: damaged or exchanged", where=str(pack.path), remedy=_REMEDY
        )
    return data


def _entries(manifest: Manifest) -> Iterator[tuple[str, int, str]]:
    """(name in the zip, size, digest) of everything but manifest and signature."""
    for file in (manifest.licence_text, manifest.picture):
        yield file.name, file.size, file.sha256
    for part in manifest.parts:
        for file in part.files:
            yield f"{part.sha256}/{file.name}", file.size, file.sha256


def manifest_of(data: bytes, *, where: str) -> Manifest:
    """The manifest of these bytes, if it says only what it may, in the one way it can be said; InvalidInput."""
    try:
        plain = msgspec.json.decode(data)
        version = plain.get("version") if isinstance(plain, dict) else None
        if isinstance(version, int) and version > 1:
            raise InvalidInput(
                f"a pack of version {version}; this program reads version 1",
                remedy="install a newer Lamproom",
            )
        found = msgspec.convert(plain, Manifest)
        same = found.to_json() == data
    except InvalidInput as error:
        raise InvalidInput(
            f"not a model pack: {error.what}", where=where, remedy=error.remedy or _REMEDY
        ) from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInput(f"not a model pack: {error}", where=where, remedy=_REMEDY) from error
    files = [file for part in found.parts for file in part.files]
    digests = [found.sha256, found.public, *(p.sha256 for p in found.parts), *(f.sha256 for f in files)]
    digests += [found.licence_text.sha256, found.picture.sha256]
    roles = tuple(part.role for part in found.parts)
    sound = (
        same
        and roles == ROLES[found.kind]
        and all(len(d) == 64 and not set(d) - set("0123456789abcdef") for d in digests)
        and all(file.size >= 0 for file in files)
        and (found.licence_text.name, found.picture.name) == (_LICENCE, _PICTURE)
        and 0 < found.licence_text.size <= MAX_LICENCE
        and 0 < found.picture.size <= MAX_PICTURE
        and len(files) <= MAX_ENTRIES
        and found.size_bytes <= MAX_BYTES
        and all(part.files and part.files[0].name == f"{part.sha256}.onnx" for part in found.parts)
        and bool(found.expected)
    )
    if not sound:
        raise InvalidInput("not a model pack: its manifest is not sound", where=where, remedy=_REMEDY)
    for part in found.parts:
        for file in part.files:
            external.demand_name(file.name, where=where)
        listed = tuple(sorted((file.name, file.sha256) for file in part.files[1:]))
        if external.identity(part.files[0].sha256, listed) != part.sha256:
            raise InvalidInput("not a model pack: its manifest is not sound", where=where, remedy=_REMEDY)
    return found


def _strange(path: Path) -> InvalidInput:
    return InvalidInput("not a model pack", where=str(path), remedy="choose a .lrmodel file")


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip, once its directory is known to be small: Python reads all of that at once."""
    try:
        with path.open("rb") as file:
            _demand_small(file, path)
            with zipfile.ZipFile(file) as archive:
                yield archive
    except (zipfile.BadZipFile, EOFError, NotImplementedError, UnicodeDecodeError, struct.error) as error:
        raise InvalidInput("the pack is cut short or damaged", where=str(path), remedy=_REMEDY) from error
    except OSError as error:
        raise Unavailable(f"cannot read the pack: {error.strerror}", where=str(path)) from error


def _demand_small(file: BinaryIO, path: Path) -> None:
    """Look at the end record (no comment; the 64-bit one before it when there is one) for number and size of entries."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 98))
    tail = file.read(98)
    end = tail[-22:]
    if len(end) < 22 or not end.startswith(b"PK\5\6") or end[20:] != b"\0\0":
        raise InvalidInput("the pack is cut short or damaged", where=str(path), remedy=_REMEDY)
    count, room = struct.unpack("<HL", end[10:16])
    large = tail[:56] if len(tail) == 98 and tail[56:60] == b"PK\6\7" and tail.startswith(b"PK\6\6") else b""
    if large:
        count, room = struct.unpack("<QQ", large[32:48])
    if not 5 <= count <= MAX_ENTRIES + 4 or room > count * (_SECTOR + 500 + 64):
        raise _strange(path)


def _bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> bytes:
    """A small entry, whole."""
    if entry.file_size > max(MAX_MANIFEST, MAX_PICTURE):
        raise _strange(path)
    with archive.open(entry) as source:
        return source.read(entry.file_size)


def _put(archive: zipfile.ZipFile, name: str, source: Path | bytes) -> None:
    entry = zipfile.ZipInfo(name)  # no time of its own: equal packs have equal bytes
    entry.external_attr = 0o644 << 16
    if isinstance(source, bytes):
        archive.writestr(entry, source)
        return
    entry.file_size = source.stat().st_size
    with source.open("rb") as inner, archive.open(entry, "w") as outer:
        shutil.copyfileobj(inner, outer, external.CHUNK)

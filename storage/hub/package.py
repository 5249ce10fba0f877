"""What is published with a version: the root, its signatures and documents; and the names everything has in a hub.

    lamproom-hub.json                      what this hub is
    objects/ab/abcd…                       chunks and media, each named by its BLAKE3
    objects/ab/abcd….pieces                a large file cut by its content: the list of its pieces, each an object
    packs/<BLAKE3>, packs/<BLAKE3>.index   small objects one behind the other, and where each of them begins
    datasets/<name>/<tag>/root.json        the manifest root (storage/manifest.py): a version is published when it is there
                          root.sig         Ed25519 signature over root.json, 64 bytes
                          package.json     dataset, tag, root and the digest of each file below; package.sig signs it
                          statement.json   which head of the audit log the root was sealed under; statement.sig signs it
                          schema.toml, lineage.json, card.md and other documents; key.pem (public)

Every object is written only after all it refers to, so what a killed publisher leaves is complete as far as it goes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from blake3 import blake3

from annotation import canonical
from annotation.errors import InvalidInput

FORMAT = "lamproom-hub-1"
PACKAGE_FORMAT = "lamproom-package-1"
STATEMENT_FORMAT = "lamproom-statement-1"
PACK_FORMAT = "lamproom-pack-1"
MARKER = "lamproom-hub.json"
DOCUMENTS = ("card.md", "lineage.json", "schema.toml")
"""Documents every package has; what else it holds it lists by name."""
MAX_ROOT_BYTES = 1 << 28
MAX_DOCUMENT_BYTES = 1 << 30
MAX_LIST_BYTES = 1 << 28
"""An index of a pack or a list of pieces larger than this is refused."""

_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_DOCUMENT = re.compile(r"[a-z][a-z0-9_-]{0,40}(\.[a-z][a-z0-9-]{0,20}){1,2}\Z")
_OWN = ("key.pem", "package.json", "package.sig", "root.json", "root.sig", "statement.sig")
_FOREIGN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*%]')
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{d}{n}" for d in ("COM", "LPT") for n in range(1, 10))}


@dataclass(frozen=True, slots=True)
class Package:
    """What is published: root bytes, their signature, the key's 32 public bytes, and the documents by file name.

    `package_signature` is over `package_bytes(...)` of the same dataset, tag, root and documents. A statement is a
    document "statement.json" with `statement_signature` over its bytes.
    """

    dataset: str
    tag: str
    root: bytes
    signature: bytes
    public: bytes
    documents: Mapping[str, bytes]
    package_signature: bytes
    statement_signature: bytes = b""


class Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document as package.json names it."""

    b3: str
    bytes: int
    name: str


class Contents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """package.json."""

    dataset: str
    files: tuple[Listed, ...]
    format: str
    root: str
    tag: str


class Piece(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One piece of a large file: an object and its size."""

    b3: str
    bytes: int


class Packed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One object of a pack: its bytes begin at `first`."""

    b3: str
    bytes: int
    first: int


class PackIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """packs/<b3>.index."""

    format: str
    objects: tuple[Packed, ...]


def package_bytes(dataset: str, tag: str, root: bytes, documents: Mapping[str, bytes]) -> bytes:
    """Canonical bytes of the statement that ties dataset, tag and documents to the root."""
    listed = tuple(Listed(blake3(d).hexdigest(), len(d), name) for name, d in sorted(documents.items()))
    return msgspec.json.encode(Contents(dataset, listed, PACKAGE_FORMAT, blake3(root).hexdigest(), tag))


def marker_bytes() -> bytes:
    """What says that a place is a hub."""
    return canonical.encode({"format": FORMAT})


def files_of(package: Package, key_pem: bytes) -> dict[str, bytes]:
    """Every file of the version's folder but the root, in the order they are written."""
    said = package_bytes(package.dataset, package.tag, package.root, package.documents)
    texts = {**dict(sorted(package.documents.items())), "key.pem": key_pem, "package.json": said,
             "package.sig": package.package_signature, "root.sig": package.signature}  # fmt: skip
    if "statement.json" in package.documents:
        texts["statement.sig"] = package.statement_signature
    return texts


def is_document(name: str) -> bool:
    """Whether a document may have this name: plain, and none of those the package itself uses."""
    return bool(_DOCUMENT.match(name)) and name not in _OWN


def statement_fault(data: bytes, *, root: str, ref: str) -> str | None:
    """What is wrong with statement.json of this root and version, or None."""
    try:
        said: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "it cannot be read"
    if not isinstance(said, dict) or said.get("format") != STATEMENT_FORMAT:
        return "it is not a statement of this format"
    if said.get("root") != root or said.get("version") != ref:
        return "it speaks of another root or version"
    return None


# -- names -----------------------------------------------------------------------------------------------------------


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


def object_key(b3: str) -> str:
    """Where an object lies; InvalidInput unless the name is 64 hex digits (a foreign root may say anything)."""
    if not _HEX64.match(b3):
        raise InvalidInput("an object is not named by a digest", where=ascii(b3[:80]))
    return f"objects/{b3[:2]}/{b3}"


def pieces_key(b3: str) -> str:
    """Where the list of a cut file's pieces lies."""
    return f"{object_key(b3)}.pieces"


def pack_key(b3: str) -> str:
    """Where a pack lies; its index is beside it as `.index`."""
    if not _HEX64.match(b3):
        raise InvalidInput("a pack is not named by a digest", where=ascii(b3[:80]))
    return f"packs/{b3}"


def version_prefix(dataset: str, tag: str) -> str:
    """The folder of a version, with its '/'."""
    return f"datasets/{safe_name(dataset)}/{safe_name(tag)}/"


def is_digest(text: str) -> bool:
    """Whether this is a BLAKE3 in hexadecimal."""
    return bool(_HEX64.match(text))

"""A BagIt bag (RFC 8493, SHA-512): written file by file on a disk that may be pulled out, checked byte by byte elsewhere.

    <folder>/bagit.txt, bag-info.txt, manifest-sha512.txt, tagmanifest-sha512.txt
             data/…                     the payload
             lamproom-shuttle.json      what this disk is one of (storage/hub/shuttle.py); lamproom-shuttle.sig signs it

A manifest that is half written by a pulled disk does not hold against tagmanifest-sha512.txt, which is written last.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from blake3 import blake3

from annotation.errors import InvalidInput, NotFound, Unavailable
from storage import files
from storage.hub.store import PIECE
from storage.names import readable
from storage.proof import Fault

VERSION = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
MANIFEST, TAGS, INFO = "manifest-sha512.txt", "tagmanifest-sha512.txt", "bag-info.txt"
MAX_LINES_BYTES = 1 << 30
_LINE = re.compile(r"([0-9a-fA-F]{128})\s+\*?(.+)\Z")


@dataclass(frozen=True, slots=True)
class Paid:
    """A file of the payload: its path below data/, bytes, SHA-512 (hexadecimal)."""

    path: str
    bytes: int
    sha512: str


# --- writing --------------------------------------------------------------------------------------------------------


def finish(folder: Path, payload: Iterable[Paid], info: Mapping[str, str], tags: Mapping[str, bytes]) -> None:
    """Make the payload in data/ a bag; also one that was a bag of fewer files before.

    Args:
        payload: every file of data/. info: lines of bag-info.txt beside Payload-Oxum. tags: further tag files.
    """
    paid = list(payload)
    said = {**info, "Payload-Oxum": f"{sum(p.bytes for p in paid)}.{len(paid)}"}
    texts = {
        "bagit.txt": VERSION,
        INFO: "".join(f"{k}: {' '.join(v.split())}\n" for k, v in said.items()).encode(),
        MANIFEST: manifest_bytes(paid),
        **tags,
    }
    (folder / TAGS).unlink(missing_ok=True)  # until it is there again this is no bag
    for name, data in texts.items():
        files.write(folder / name, data)
    listed = "".join(f"{hashlib.sha512(d).hexdigest()}  {n}\n" for n, d in sorted(texts.items()))
    files.write(folder / TAGS, listed.encode())


def manifest_bytes(payload: Iterable[Paid]) -> bytes:
    """The text of manifest-sha512.txt."""
    paid = sorted(payload, key=lambda p: p.path)
    return "".join(f"{p.sha512}  data/{_encoded(p.path)}\n" for p in paid).encode()


def _encoded(path: str) -> str:
    return path.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")


# --- checking -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bag:
    """A bag whose tag files are what tagmanifest-sha512.txt says.

    payload: path below data/ -> SHA-512. manifest: BLAKE3 of manifest-sha512.txt, as it was read.
    """

    folder: Path
    manifest: str
    info: Mapping[str, str]
    payload: Mapping[str, str]


def opened(folder: Path) -> Bag:
    """A bag, its tag files proved.

    Raises:
        NotFound: there is no bag, or it was not finished. InvalidInput: a tag file is not what it was.
    """
    listed = _listed(_small(folder, TAGS), f"{folder}/{TAGS}")
    for name in ("bagit.txt", MANIFEST):
        if name not in listed:
            raise InvalidInput(
                f"the bag does not vouch for {name}", where=str(folder), remedy="have it written again"
            )
    for name, digest in listed.items():
        if name != MANIFEST and hashlib.sha512(_small(folder, name)).hexdigest() != digest:
            raise InvalidInput(
                "a file of the bag is damaged", where=f"{folder}/{name}", remedy="have it written again"
            )
    payload, text = {}, _small(folder, MANIFEST)
    if hashlib.sha512(text).hexdigest() != listed[MANIFEST]:
        raise InvalidInput("a file of the bag is damaged", where=f"{folder}/{MANIFEST}")
    for name, digest in _listed(text, f"{folder}/{MANIFEST}").items():
        if not name.startswith("data/"):
            raise InvalidInput("the bag lists what is not its payload", where=ascii(name[:80]))
        payload[name.removeprefix("data/")] = digest
    info = {}
    with suppress(NotFound):
        for line in _small(folder, INFO).decode(errors="replace").splitlines():
            name, colon, value = line.partition(":")
            if colon:
                info[name.strip()] = value.strip()
    return Bag(folder, blake3(text).hexdigest(), info, payload)


def check(bag: Bag) -> Iterator[tuple[str, Fault | None]]:
    """(path, what is wrong or None) of every file of the payload, read to its end; then of what nobody listed."""
    for path, digest in sorted(bag.payload.items()):
        hashed = hashlib.sha512()
        try:
            for piece in pieces(bag, path):
                hashed.update(piece)
        except (NotFound, InvalidInput, Unavailable) as error:
            yield path, Fault(path, error.what)
            continue
        yield (
            path,
            None if hashed.hexdigest() == digest else Fault(path, "the bytes are not those that were packed"),
        )
    for where, _, names in os.walk(bag.folder / "data"):
        for name in names:
            path = (Path(where) / name).relative_to(bag.folder / "data").as_posix()
            if path not in bag.payload:
                shown = readable(os.fsencode(path))
                yield shown, Fault(shown, "a file that the bag does not list")


def pieces(bag: Bag, path: str) -> Iterator[bytes]:
    """The bytes of a file of the payload, not yet compared with its digest.

    Raises:
        NotFound, InvalidInput: it is missing, or no plain file. Unavailable: the disk does not give it.
    """
    try:
        file = bag.folder / "data" / path
        if not file.is_file() and file.exists():
            raise InvalidInput("it is not a plain file", where=path)
        if any(p.is_symlink() for p in [file, *file.parents][: path.count("/") + 2]):  # up to data/ itself
            raise InvalidInput("it is not a plain file", where=path)
        with open(file, "rb", opener=files.plainly) as stream:
            while piece := stream.read(PIECE):
                yield piece
    except FileNotFoundError as error:
        raise NotFound("it is missing", where=path) from error
    except OSError as error:
        raise Unavailable(f"the disk does not give it: {error.strerror or error}", where=path,
                          remedy="is the disk still there?") from error  # fmt: skip


def _small(folder: Path, name: str) -> bytes:
    try:
        return files.read_plain(folder / name, MAX_LINES_BYTES)
    except NotFound as error:
        raise NotFound(
            "there is no finished bag here", where=str(folder), remedy="`lamproom shuttle pack` writes one"
        ) from error


def _listed(data: bytes, where: str) -> dict[str, str]:
    out: dict[str, str] = {}
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as error:
        raise InvalidInput("it is no UTF-8 text", where=where) from error
    for n, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _LINE.match(line)
        path = unquote(found[2]).removeprefix("./") if found else ""
        if not found or {"", ".", ".."} & set(path.split("/")) or "\\" in path or "\0" in path:
            raise InvalidInput("a line that names no file of the bag", where=f"{where} line {n}")
        out[path] = found[1].lower()
    return out

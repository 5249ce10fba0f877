"""Annotations that come as a .zip: unpacked into a folder of its own while they are read, within bounds.

CVAT, Label Studio and Roboflow hand out zips. What a zip says of itself is a claim: entries are counted before its
directory is read, members are inflated against a limit, and names that lead out, links and devices are refused.
"""

from __future__ import annotations

import contextlib
import lzma
import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from annotation.errors import InvalidInput, Unavailable
from annotation.formats import base

MAX_MEMBERS = 2_000_000
MAX_DIRECTORY = 512 * 2**20
"""Bytes of a zip's directory, which is read into memory."""
MAX_BYTES = 256 * 2**30
MAX_RATIO = 200
"""A zip that unpacks to more than this many times its size, and to more than `BOMB_BYTES`, is a bomb."""
BOMB_BYTES = 256 * 2**20
KEEP_FREE = 256 * 2**20
"""Bytes of the disk that unpacking leaves free."""
_CHUNK = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_BROKEN = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError,
    struct.error, IndexError, OverflowError, MemoryError, lzma.LZMAError,
)  # fmt: skip


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Path]:
    """The path to read annotations from: a folder with what a .zip holds, gone afterwards; any other path as it is.

    A zip whose only member at the top is a folder gives that folder, as if a person had unpacked it.

    Raises:
        InvalidInput: no zip, a bomb, an encrypted, broken or hostile member, too many members.
        Unavailable: not enough room to unpack it.
    """
    if path.suffix.lower() != ".zip" or not path.is_file():
        yield path
        return
    folder = Path(tempfile.mkdtemp(prefix="lamproom-"))
    try:
        try:
            _unpack(path, folder)
        except OSError as error:
            raise Unavailable(
                f"cannot be unpacked: {error.strerror or error}", where=path.name, remedy="make room for it"
            ) from error
        inside = list(folder.iterdir())
        yield inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(path: Path, folder: Path) -> None:
    with path.open("rb") as file:
        _demand_directory(file, path.name)
        try:
            archive = zipfile.ZipFile(file)
        except _BROKEN as error:
            raise _unusable(path.name, error) from error
        with archive:
            _demand_sizes(archive, path)
            seen: set[str] = set()
            for member in archive.infolist():
                if not member.is_dir():
                    _extract(archive, member, folder, seen, path.name)


def _demand_directory(file: IO[bytes], where: str) -> None:
    """Look at the end of the zip, before its directory is read into memory."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - (1 << 16) - 22))
    end = file.read()
    at = end.rfind(b"PK\5\6")
    if at < 0 or len(end) - at < 22:
        raise _unusable(where, "it has no directory")
    count, length = struct.unpack_from("<HI", end, at + 10)
    locator = end.rfind(b"PK\6\7", 0, at)
    if (count == 0xFFFF or length == 0xFFFFFFFF) and locator >= 0 and at - locator >= 20:
        (start,) = struct.unpack_from("<Q", end, locator + 8)
        if start >= size:
            raise _unusable(where, "its directory lies outside")
        file.seek(start)
        record = file.read(56)
        if len(record) == 56:
            count, length = struct.unpack_from("<QQ", record, 32)
    file.seek(0)
    if count > MAX_MEMBERS or length > MAX_DIRECTORY:
        raise InvalidInput(f"a zip of {count} files", where=where, remedy=f"at most {MAX_MEMBERS}; split it")


def _demand_sizes(archive: zipfile.ZipFile, path: Path) -> None:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise InvalidInput(f"a zip of {len(members)} files", where=path.name, remedy=f"at most {MAX_MEMBERS}")
    total = sum(member.file_size for member in members)
    if total > MAX_BYTES or total > max(BOMB_BYTES, MAX_RATIO * path.stat().st_size):
        raise InvalidInput(
            f"a zip that unpacks to {total} bytes", where=path.name,
            remedy=f"at most {MAX_BYTES} and {MAX_RATIO} times its own size",
        )  # fmt: skip
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if total > free - KEEP_FREE:
        raise Unavailable(
            f"{total} bytes to unpack and {free} free", where=path.name,
            remedy="make room, set TMPDIR to a larger disk, or unpack it yourself",
        )  # fmt: skip


def _extract(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, seen: set[str], where: str
) -> None:
    name = _name(member)
    at = f"{where}: {base.short(name)}"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise InvalidInput("a link or a device in the zip", where=at, remedy="pack plain files only")
    if member.flag_bits & 1:
        raise InvalidInput("an encrypted file in the zip", where=at, remedy="pack it without a password")
    if member.compress_type not in _METHODS:
        raise InvalidInput(f"packed by method {member.compress_type}", where=at, remedy="pack it by deflate")
    try:
        clean = base.clean_path(name)
    except InvalidInput as error:
        raise InvalidInput(error.what, where=at, remedy=error.remedy) from error
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        raise InvalidInput("a name that leads out of the zip", where=at, remedy="pack it with relative names")
    if any(len(part.encode()) > 255 for part in PurePosixPath(clean).parts):
        raise InvalidInput("a name that is too long", where=at, remedy="at most 255 bytes a part")
    if clean.startswith("__MACOSX/"):  # what a Mac adds beside every file
        return
    if clean in seen:
        raise InvalidInput("a name that is there twice", where=at, remedy="pack it again")
    seen.add(clean)
    target = folder.joinpath(*clean.split("/"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, target.open("xb") as out:
            left = member.file_size
            while piece := source.read(min(_CHUNK, left + 1)):
                left -= len(piece)
                if left < 0:
                    raise InvalidInput(
                        "more bytes than the zip says", where=at, remedy="a damaged zip or a bomb"
                    )
                out.write(piece)
        if left:
            raise InvalidInput(
                "fewer bytes than the zip says", where=at, remedy="copy it again from its source"
            )
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidInput("a file and a folder of one name", where=at, remedy="pack it again") from error
    except _BROKEN as error:
        raise _unusable(at, error) from error


def _name(member: zipfile.ZipInfo) -> str:
    """A member's name: UTF-8 where the zip says so or it can be nothing else, else GB 18030 as Chinese Windows packs."""
    if member.flag_bits & 0x800:
        return member.orig_filename
    try:
        raw = member.orig_filename.encode("cp437")
    except UnicodeEncodeError:
        return member.orig_filename
    for encoding in ("utf-8", "gb18030"):
        with contextlib.suppress(UnicodeDecodeError):
            return raw.decode(encoding)
    return member.orig_filename


def _unusable(where: str, why: object) -> InvalidInput:
    return InvalidInput(f"not a usable zip: {why}", where=where, remedy="copy it again from its source")

"""Pictures inside zip and tar archives, read in place: nothing is ever unpacked to a folder.

zip and plain tar give any member at random; a compressed tar only in order, so ingest keeps copies of its pictures
(storage/blobs.py). The index of a zip comes from the standard library; members are inflated here against a limit, because
a size stated in an archive is a claim. The tar reader is our own: the standard one reads a hostile extended header of any
size into memory, and its stream mode gives no offsets.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Protocol

from annotation.errors import InvalidInput, NotFound

MAX_MEMBER_BYTES = 1 << 30
MAX_MEMBERS = 5_000_000
MAX_NAME_BYTES = 16_384
MAX_HEADER_BYTES = 1 << 20
"""Largest extended tar header (long names)."""
BOMB_RATIO, BOMB_BYTES = 500, 4 << 30
"""A compressed tar that unpacks to more than both is given up."""
_ZIP_RATIO = 1_100
"""Deflate cannot do more than 1,032."""
_DEFLATED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz")


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive: raw name, size, and either where it lies or why it cannot be used."""

    name: bytes
    size_bytes: int
    at: int = -1
    packed_bytes: int = 0
    method: int = 0
    crc: int | None = None
    fault: str = ""


class Source(Protocol):
    """What is needed of an open archive."""

    def read(self, n: int, /) -> bytes: ...


def kind_of(name: str) -> str | None:
    """ "zip" or "tar" by the file's name, else None. By name: an .xlsx or .npz is a zip too, and no archive of pictures."""
    low = name.lower()
    if low.endswith(".zip"):
        return "zip"
    return "tar" if low.endswith(_TARS) else None


def is_packed(name: str) -> bool:
    """Whether members can only be reached in order (a compressed tar, as its name says)."""
    return kind_of(name) == "tar" and not name.lower().endswith(".tar")


def hostile(name: bytes) -> str:
    """Why a member's name cannot be a relative path, or ""."""
    text = name.replace(b"\\", b"/")
    if b"\0" in name or len(name) > MAX_NAME_BYTES:
        return "a hostile name in the archive"
    if text.startswith(b"/") or b".." in text.split(b"/") or text[1:2] == b":":
        return "its name leads out of the archive"
    return ""


# ---- zip


def zip_index(fd: int) -> tuple[Member, ...]:
    """Members of the zip open at `fd`, folders left out. The index of an unchanged file is kept in memory.

    Raises:
        InvalidInput: no zip, cut, or its directory is damaged.
    """
    return tuple(_zip_index(handle(fd)).values())


def zip_find(fd: int, name: bytes) -> Member:
    """The member of that raw name. Raises NotFound."""
    member = _zip_index(handle(fd)).get(name)
    if member is None:
        raise NotFound("the archive no longer holds this file")
    return member


def handle(fd: int) -> _Handle:
    """The open file as a key for indexes kept in memory: it equals itself only while unchanged."""
    status = os.fstat(fd)
    return _Handle(fd, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))


class _Handle:
    """A descriptor that compares by what file it is, so that a cache of indexes never holds a file open."""

    def __init__(self, fd: int, key: tuple[int, ...]) -> None:
        self.fd, self.key = fd, key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Handle) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@functools.lru_cache(maxsize=8)
def _zip_index(key: _Handle) -> dict[bytes, Member]:
    try:
        with os.fdopen(key.fd, "rb", closefd=False) as file, zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
        ValueError,
        OSError,
        EOFError,
        struct.error,
    ) as e:
        raise InvalidInput(
            f"not a usable zip archive: {e}", remedy="copy the file again from its source"
        ) from e
    if len(infos) > MAX_MEMBERS:
        raise InvalidInput(f"the archive holds more than {MAX_MEMBERS} files")
    found: dict[bytes, Member] = {}
    for info in infos:
        if not info.is_dir():
            member = _zip_member(info)
            found.setdefault(member.name, member)
    return found


def _zip_member(info: zipfile.ZipInfo) -> Member:
    name = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437", "replace")
    fault = hostile(name)
    if info.flag_bits & 0x1:
        fault = "encrypted in the archive"
    elif info.compress_type not in _DEFLATED:
        fault = f"packed by method {info.compress_type}, which is not supported"
    elif info.file_size > MAX_MEMBER_BYTES:
        fault = f"larger than {MAX_MEMBER_BYTES >> 20} MiB"
    elif info.compress_type == zipfile.ZIP_DEFLATED and info.file_size > _ZIP_RATIO * max(
        info.compress_size, 1
    ):
        fault = "decompression bomb"
    elif info.external_attr >> 28 == 0xA:
        fault = "a symbolic link in the archive"
    return Member(
        name, info.file_size, info.header_offset, info.compress_size, info.compress_type, info.CRC, fault
    )


def zip_read(fd: int, member: Member, *, head_bytes: int = 0) -> bytes:
    """A member's content (or only its first `head_bytes`), unpacked against its stated size and checked by its CRC.

    Raises:
        InvalidInput: cut, damaged, or larger than stated.
    """
    if member.fault:
        raise InvalidInput(member.fault)
    local = _pread(fd, 30, member.at)
    if len(local) < 30 or local[:4] != b"PK\3\4":
        raise InvalidInput("damaged in the archive: no header where the directory points")
    name, extra = struct.unpack_from("<HH", local, 26)
    start = member.at + 30 + name + extra
    want = member.packed_bytes if not head_bytes else min(member.packed_bytes, 4 * head_bytes + 1024)
    packed = _pread(fd, want, start)
    if len(packed) < want:
        raise InvalidInput("cut short in the archive")
    limit = head_bytes or member.size_bytes + 1
    try:
        data = _inflate(packed, member.method, limit)
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError, IndexError, struct.error) as error:
        raise InvalidInput("damaged in the archive") from error
    if head_bytes:
        return data
    if len(data) != member.size_bytes or (member.crc is not None and zlib.crc32(data) != member.crc):
        raise InvalidInput("damaged in the archive: its checksum does not match")
    return data


def _pread(fd: int, n: int, at: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, n, at)
    os.lseek(fd, at, os.SEEK_SET)  # Windows: every caller has its own descriptor
    return os.read(fd, n)


def _inflate(packed: bytes, method: int, limit: int) -> bytes:
    """At most `limit` bytes of the content."""
    if method == zipfile.ZIP_STORED:
        return packed[:limit]
    if method == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-15).decompress(packed, limit)
    if method == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor().decompress(packed, limit)
    length = struct.unpack_from("<H", packed, 2)[0]
    prop, dictionary = struct.unpack_from("<BI", packed, 4)
    if length != 5 or dictionary > 1 << 28:
        raise ValueError("LZMA properties")
    chain = [
        {
            "id": lzma.FILTER_LZMA1,
            "lc": prop % 9,
            "lp": prop // 9 % 5,
            "pb": prop // 45,
            "dict_size": dictionary,
        }
    ]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain).decompress(packed[9:], limit)


# ---- tar


class Counted:
    """A stream that counts, skips, and gives up on a bomb."""

    def __init__(self, source: Source, packed_bytes: int) -> None:
        self.source, self.at, self.size = source, 0, packed_bytes
        self.packed = not isinstance(source, io.BufferedReader)
        self.limit = max(BOMB_BYTES, BOMB_RATIO * packed_bytes) if self.packed else packed_bytes

    def read(self, n: int) -> bytes:
        pieces = []
        while n > 0:
            try:
                piece = self.source.read(min(n, 1 << 20) if n > 1 << 26 else n)
            except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
                raise InvalidInput("the archive is cut short or damaged") from error
            if not piece:
                break
            self.at += len(piece)
            if self.at > self.limit:
                raise InvalidInput("decompression bomb")
            pieces.append(piece)
            n -= len(piece)
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]

    def skip(self, n: int) -> None:
        if (
            n > 0 and not self.packed and isinstance(self.source, io.BufferedReader)
        ):  # no need to read what is passed over
            self.source.seek(n, os.SEEK_CUR)
            self.at += n
            return
        while n > 0:
            got = len(self.read(min(n, 1 << 20)))
            if not got:
                return
            n -= got


def open_tar(fd: int) -> IO[bytes]:
    """A stream of the tar at `fd`, decompressed when its first bytes say so. Closing it leaves `fd` open."""
    file = os.fdopen(fd, "rb", closefd=False)
    head = file.peek(6)[:6]
    if head[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    if head[:3] == b"BZh":
        return bz2.BZ2File(file)
    if head == b"\xfd7zXZ\0":
        return lzma.LZMAFile(file)
    return file


def tar_members(stream: IO[bytes], packed_bytes: int) -> Iterator[tuple[Member, Counted]]:
    """Each file of a tar with the stream standing at its first byte; what the caller leaves unread is skipped.

    Raises:
        InvalidInput: no tar, cut, damaged or a bomb; members already given stay valid.
    """
    return _tar_members(Counted(stream, packed_bytes))


def _tar_members(source: Counted) -> Iterator[tuple[Member, Counted]]:
    long_name, pax = b"", {}
    seen = 0
    while True:
        block = source.read(512)
        if not any(block):
            if not seen and not block:
                raise InvalidInput("the archive is empty")
            if source.at > source.size and not source.packed:
                raise InvalidInput("the archive is cut short or damaged")
            return
        if len(block) < 512 or not _sum_matches(block):
            raise InvalidInput(
                "not a usable tar archive" if not seen else "the archive is cut short or damaged"
            )
        seen += 1
        if seen > MAX_MEMBERS:
            raise InvalidInput(f"the archive holds more than {MAX_MEMBERS} files")
        size, kind = _number(block[124:136]), block[156:157]
        if kind in b"LKxgX" and kind:
            if size > MAX_HEADER_BYTES:
                raise InvalidInput("a hostile header in the archive")
            body = source.read(size)
            source.skip(-size % 512)
            if kind == b"L":
                long_name = body.split(b"\0")[0]
            elif kind == b"x":
                pax = _pax(body)
            continue
        name = pax.get(b"path") or long_name or _short_name(block)
        if b"size" in pax and pax[b"size"].isdigit():
            size = int(pax[b"size"][:20])
        start = source.at
        if kind in (b"0", b"\0", b"7") and not name.endswith(b"/"):
            fault = hostile(name)
            if any(key.startswith(b"GNU.sparse") for key in pax):
                fault = "a sparse file in the archive"
            elif size > MAX_MEMBER_BYTES:
                fault = f"larger than {MAX_MEMBER_BYTES >> 20} MiB"
            yield Member(name, size, start, fault=fault), source
        elif kind == b"S":
            yield Member(name, size, start, fault="a sparse file in the archive"), source
        elif kind not in b"0\x007":
            size = 0 if kind in b"123456" else size  # links, devices, folders and pipes have no content
            if kind in b"12346":
                yield Member(name, 0, start, fault="a link or a device in the archive"), source
        source.skip(start + size + (-size % 512) - source.at)
        long_name, pax = b"", {}


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # base 256
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.strip(b" \0")
    if digits and not all(48 <= c < 56 for c in digits):
        raise InvalidInput("the archive is cut short or damaged")
    return int(digits or b"0", 8)


def _sum_matches(block: bytes) -> bool:
    stated = block[148:156].strip(b" \0")
    return (
        stated.isdigit()
        and int(stated, 10) >= 0
        and _octal(stated) == sum(block[:148]) + 256 + sum(block[156:])
    )


def _octal(text: bytes) -> int:
    return int(text, 8) if all(48 <= c < 56 for c in text) else -1


def _short_name(block: bytes) -> bytes:
    name = block[:100].split(b"\0")[0]
    prefix = block[345:500].split(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _pax(body: bytes) -> dict[bytes, bytes]:
    """Records `length key=value\\n`; a malformed one ends the reading."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(body):
        space = body.find(b" ", at, at + 12)
        if space < 0 or not body[at:space].isdigit():
            break
        end = at + int(body[at:space])
        key, equals, value = body[space + 1 : end - 1].partition(b"=")
        if end <= space or not equals:
            break
        found[key] = value
        at = end
    return found


@functools.lru_cache(maxsize=8)
def _tar_index(key: _Handle) -> dict[bytes, Member]:
    os.lseek(key.fd, 0, os.SEEK_SET)
    found: dict[bytes, Member] = {}
    with open_tar(key.fd) as stream:
        try:
            for member, _ in tar_members(stream, key.key[2]):
                found.setdefault(member.name, member)
        except InvalidInput:  # cut: what came before the cut can be read
            pass
    return found


def member_read(fd: int, member: Member) -> bytes:
    """Content of a member of a plain tar, by its place."""
    if member.fault:
        raise InvalidInput(member.fault)
    data = _pread(fd, member.size_bytes, member.at)
    if len(data) != member.size_bytes:
        raise InvalidInput("cut short in the archive")
    return data


def tar_read(fd: int, name: bytes, *, packed: bool) -> bytes:
    """One member's content by name. A packed tar is read from its beginning to the member: minutes, if it is large.

    Raises:
        NotFound: no member of that name. InvalidInput: cut, damaged or refused.
    """
    if not packed:
        member = _tar_index(handle(fd)).get(name)
        if member is not None:
            return member_read(fd, member)
        raise NotFound("the archive no longer holds this file")
    os.lseek(fd, 0, os.SEEK_SET)
    with open_tar(fd) as stream:
        for found, source in tar_members(stream, os.fstat(fd).st_size):
            if found.name == name and not found.fault:
                return taken(found, source)
    raise NotFound("the archive no longer holds this file")


def taken(member: Member, source: Counted) -> bytes:
    """Content of the member at which the stream of a packed tar stands."""
    data = source.read(member.size_bytes)
    if len(data) != member.size_bytes:
        raise InvalidInput("cut short in the archive")
    return data

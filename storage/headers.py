"""What the bytes of a picture file say about themselves: type by magic, size, orientation, capture time; and damage.

Structure only, nothing is decoded: a full decode of every picture would cost ten times the read. Each walker follows its
format's own frame (segments, chunks, directory) to the end mark, so a file cut anywhere is found; bytes changed inside
the coded data of a JPEG, TIFF or WebP are not, they surface when the picture is decoded. All numbers are foreign: every
offset is checked against the length, every loop is bounded.
"""

from __future__ import annotations

import datetime
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from annotation.errors import InvalidInput

MAX_PIXELS = 200_000_000
"""Larger pictures are refused from their header."""
BOMB_BYTES, BOMB_RATIO = 64 << 20, 2_000
"""Decoded size from which, and ratio of decoded to coded size above which, a picture counts as a decompression bomb."""
MAX_CHUNKS = 500_000
MAX_ENTRIES = 4_096
"""Entries read of one TIFF or EXIF directory."""

PICTURE_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".tif",
        ".tiff",
        ".bmp",
        ".dib",
        ".webp",
        ".gif",
        ".heic",
        ".heif",
        ".avif",
        ".jp2",
        ".jxl",
        ".psd",
        ".dng",
    ]
)
"""Names that promise a picture: when the content is none, that is a problem and not merely another file."""


@dataclass(frozen=True, slots=True)
class Header:
    """Facts of one picture file. width_px and height_px are as stored, *before* orientation (EXIF 1..8)."""

    media_type: str
    width_px: int
    height_px: int
    orientation: int = 1
    taken_ms: int | None = None


def sniff(head: bytes) -> str | None:
    """Media type by magic from the first 16 bytes or more; None when it is no picture known here."""
    if head[:3] == b"\xff\xd8\xff":
        return "image/jpeg"
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return "image/png"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "image/tiff"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if (
        head[:2] == b"BM" and head[6:10] == b"\0\0\0\0"
    ):  # the reserved words keep text that begins with "BM" out
        return "image/bmp"
    return None


def unsupported(head: bytes) -> str | None:
    """Name of a picture format that is recognised but not taken, from the first 16 bytes; else None."""
    if head[:4] == b"GIF8":
        return "GIF"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"):
        return "HEIC"
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        return "AVIF"
    if head[:12] == b"\0\0\0\x0cjP  \r\n\x87\n" or head[:4] == b"\xff\x4f\xff\x51":
        return "JPEG 2000"
    if head[:2] == b"\xff\x0a" or head[:12] == b"\0\0\0\x0cJXL \r\n\x87\n":
        return "JPEG XL"
    if head[:4] == b"8BPS":
        return "Photoshop"
    return None


def read(data: bytes) -> Header:
    """Header of a whole picture file held in memory, its structure checked to the end mark.

    Raises:
        InvalidInput: empty, not a picture, of a format not taken, cut, damaged, or a decompression bomb. One reason each.
    """
    if not data:
        raise InvalidInput("empty file")
    kind = sniff(data[:16])
    if kind is None:
        if not any(data[:4096]):
            raise InvalidInput(
                "not a picture: it begins with zeros", remedy="copy the file again from its source"
            )
        name = unsupported(data[:16])
        if name:
            raise InvalidInput(
                f"{name} pictures are not taken", remedy="convert to PNG, TIFF, JPEG, WebP or BMP"
            )
        raise InvalidInput("not a picture: its content is no JPEG, PNG, TIFF, BMP or WebP")
    try:
        header = _READERS[kind](data)
    except (struct.error, IndexError):  # a field reached for lies beyond the end
        raise InvalidInput(f"{_NAMES[kind]} is cut short", remedy=_COPY) from None
    _bounded(header, len(data))
    return header


_COPY = "copy the file again from its source"
_NAMES = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/tiff": "TIFF",
    "image/webp": "WebP",
    "image/bmp": "BMP",
}


def _bounded(header: Header, size: int) -> None:
    w, h = header.width_px, header.height_px
    if w <= 0 or h <= 0:
        raise InvalidInput(f"the picture has no area ({w} x {h} px)")
    if w * h > MAX_PIXELS:
        raise InvalidInput(
            f"{w} x {h} px is more than {MAX_PIXELS // 1_000_000} megapixels", remedy="cut it into tiles"
        )
    if 3 * w * h > BOMB_BYTES and 3 * w * h > BOMB_RATIO * size:
        raise InvalidInput(f"decompression bomb: {w} x {h} px out of {size} bytes")


def _jpeg(data: bytes) -> Header:
    """Walk the segments to the start of scan; the end mark must follow somewhere after it.

    Inside coded data FF is always followed by 00 or a restart mark, so the last FF D9 after the scan's header is a real
    end mark; one inside an EXIF thumbnail lies before the scan and does not count. Bytes after it are common and allowed.
    """
    pos, size = 2, len(data)
    wh = None
    orientation, taken = 1, None
    while True:
        if data[pos] != 0xFF:
            raise InvalidInput(
                "JPEG is damaged: a segment does not begin where the one before ends", remedy=_COPY
            )
        while data[pos] == 0xFF:
            pos += 1
        marker = data[pos]
        pos += 1
        if 0xD0 <= marker <= 0xD8 or marker == 0x01:
            continue
        if marker == 0xD9:
            raise InvalidInput("JPEG ends before its picture data", remedy=_COPY)
        length = data[pos] << 8 | data[pos + 1]
        if length < 2 or pos + length > size:
            raise InvalidInput("JPEG is cut short", remedy=_COPY)
        if marker == 0xDA:
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, pos + 3)
            wh = (width, height)
        elif marker == 0xE1 and data[pos + 2 : pos + 8] == b"Exif\0\0":
            orientation, taken = _exif(data[pos + 8 : pos + length])
        pos += length
    if wh is None:
        raise InvalidInput("JPEG has no frame header", remedy=_COPY)
    if data[-2:] != b"\xff\xd9" and data.rfind(b"\xff\xd9", pos + length) < 0:
        raise InvalidInput("JPEG is cut short: no end mark", remedy=_COPY)
    return Header("image/jpeg", *wh, orientation, taken)


def _png(data: bytes) -> Header:
    """Walk every chunk to IEND and check its CRC."""
    view = memoryview(data)
    width, height = struct.unpack_from(">II", data, 16)
    if data[12:16] != b"IHDR":
        raise InvalidInput("PNG does not begin with its header", remedy=_COPY)
    pos, pixels = 8, False
    orientation, taken = 1, None
    for _ in range(MAX_CHUNKS):
        length, name = struct.unpack_from(">I4s", data, pos)
        end = pos + 12 + length
        if end > len(data):
            raise InvalidInput("PNG is cut short", remedy=_COPY)
        if zlib.crc32(view[pos + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise InvalidInput("PNG is damaged: a checksum does not match", remedy=_COPY)
        if name == b"IDAT":
            pixels = True
        elif name == b"eXIf":
            orientation, taken = _exif(data[pos + 8 : end - 4])
        elif name == b"IEND":
            if not pixels:
                raise InvalidInput("PNG holds no picture data", remedy=_COPY)
            return Header("image/png", width, height, orientation, taken)
        pos = end
    raise InvalidInput(f"PNG has more than {MAX_CHUNKS} chunks")


def _webp(data: bytes) -> Header:
    """RIFF size against the length, then every chunk to the end."""
    size = int(struct.unpack_from("<I", data, 4)[0]) + 8
    if size > len(data):
        raise InvalidInput("WebP is cut short", remedy=_COPY)
    wh = None
    orientation, taken = 1, None
    pos, pixels = 12, False
    for _ in range(MAX_CHUNKS):
        if pos + 8 > size:
            break
        name, length = struct.unpack_from("<4sI", data, pos)
        body = pos + 8
        if body + length > size:
            raise InvalidInput("WebP is cut short", remedy=_COPY)
        if name == b"VP8X":
            w, h = (int.from_bytes(data[body + k : body + k + 3], "little") + 1 for k in (4, 7))
            wh = (w, h)
        elif name == b"VP8 ":
            pixels = True
            if data[body + 3 : body + 6] != b"\x9d\x01\x2a":
                raise InvalidInput("WebP is damaged: no key frame", remedy=_COPY)
            w, h = struct.unpack_from("<HH", data, body + 6)
            wh = wh or (w & 0x3FFF, h & 0x3FFF)
        elif name == b"VP8L":
            pixels = True
            if data[body] != 0x2F:
                raise InvalidInput("WebP is damaged: bad lossless mark", remedy=_COPY)
            bits = int.from_bytes(data[body + 1 : body + 5], "little")
            wh = wh or ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        elif name == b"ANMF":
            pixels = True
        elif name == b"EXIF":
            block = data[body : body + length]
            orientation, taken = _exif(block[6:] if block[:6] == b"Exif\0\0" else block)
        pos = body + length + (length & 1)
    if wh is None or not pixels:
        raise InvalidInput("WebP holds no picture data", remedy=_COPY)
    return Header("image/webp", *wh, orientation, taken)


def _bmp(data: bytes) -> Header:
    """Header and, for uncompressed rows, that all of them are there (the size field itself is often 0)."""
    offset, dib = struct.unpack_from("<II", data, 10)
    if dib == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        coding = 0
    elif 40 <= dib <= 1024:
        width, height, _, bits, coding = struct.unpack_from("<iiHHI", data, 18)
    else:
        raise InvalidInput(f"BMP has an unknown header of {dib} bytes", remedy=_COPY)
    height = abs(height)  # negative: rows from the top
    if bits not in (1, 2, 4, 8, 16, 24, 32):
        raise InvalidInput(f"BMP has {bits} bits a pixel", remedy=_COPY)
    if coding not in (0, 1, 2, 3, 6):
        raise InvalidInput(f"BMP is packed by method {coding}", remedy="convert to PNG")
    rows = (width * bits + 31) // 32 * 4 * height if coding in (0, 3, 6) else 1
    if width > 0 and offset + rows > len(data):
        raise InvalidInput("BMP is cut short", remedy=_COPY)
    return Header("image/bmp", width, height)


_TYPE_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_TYPE_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}


@dataclass(frozen=True, slots=True)
class _Directory:
    """Entries of one TIFF directory: tag -> (type, count, offset of the values)."""

    data: bytes
    order: str
    entries: dict[int, tuple[int, int, int]]

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Unsigned integers of a tag; () when absent or not integers. Raises struct.error beyond the end."""
        kind, count, at = self.entries.get(tag, (0, 0, 0))
        code = _TYPE_CODES.get(kind)
        if not code or not count:
            return ()
        if at + count * _TYPE_BYTES[kind] > len(
            self.data
        ):  # before unpacking: the count is foreign and may be huge
            raise struct.error("beyond the end")
        return struct.unpack_from(f"{self.order}{count}{code}", self.data, at)

    def number(self, tag: int, default: int) -> int:
        return (self.numbers(tag) or (default,))[0]

    def text(self, tag: int) -> str:
        kind, count, at = self.entries.get(tag, (0, 0, 0))
        return (
            self.data[at : at + min(count, 64)].split(b"\0")[0].decode("ascii", "replace")
            if kind == 2
            else ""
        )


def _directory(data: bytes, order: str, at: int, *, big: bool) -> _Directory:
    count = int(struct.unpack_from(order + ("Q" if big else "H"), data, at)[0])
    at += 8 if big else 2
    layout, inline = (order + "HHQ", 8) if big else (order + "HHI", 4)
    step = 4 + inline * 2
    if count > MAX_ENTRIES:
        raise InvalidInput(f"a directory of {count} entries")
    if at + count * step > len(data):
        raise struct.error("beyond the end")
    entries: dict[int, tuple[int, int, int]] = {}
    for place in range(at, at + count * step, step):
        tag, kind, n = struct.unpack_from(layout, data, place)
        values = place + 4 + inline
        if n * _TYPE_BYTES.get(kind, 1) > inline:
            values = int(struct.unpack_from(order + ("Q" if big else "I"), data, values)[0])
        entries[tag] = (kind, n, values)
    return _Directory(data, order, entries)


def _first_directory(data: bytes) -> _Directory:
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    at = int(struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0])
    return _directory(data, order, at, big=big)


def _tiff(data: bytes) -> Header:
    """The first directory, and that every strip or tile it names lies inside the file. Further pages are not looked at."""
    first = _first_directory(data)
    width, height = first.number(256, 0), first.number(257, 0)
    if data[8:10] == b"CR" or 50706 in first.entries or (330 in first.entries and first.number(254, 0) & 1):
        raise InvalidInput("camera raw files are not taken", remedy="develop it to TIFF or PNG")
    tiled = 324 in first.entries
    offsets = first.numbers(324 if tiled else 273)
    counts = first.numbers(325 if tiled else 279)
    if not offsets or len(offsets) != len(counts):
        raise InvalidInput("TIFF does not say where its picture data is", remedy=_COPY)
    if max(map(int.__add__, offsets, counts)) > len(data):
        raise InvalidInput("TIFF is cut short", remedy=_COPY)
    bits = first.numbers(258) or (1,)
    samples = first.number(277, 1)
    plain = first.number(259, 1) == 1
    if (
        plain
        and sum(counts) * 8 < width * height * min(bits) * min(samples, 64)
        and width * height <= MAX_PIXELS
    ):
        raise InvalidInput("TIFF holds less data than its size asks for", remedy=_COPY)
    return Header("image/tiff", width, height, *_moment(first))


def upright(data: bytes) -> bytes:
    """A TIFF that says orientation 1, same pixels: decoders differ in what they do with any other value."""
    first = _first_directory(data)
    kind, count, at = first.entries[274]
    patched = bytearray(data)
    width = _TYPE_BYTES.get(kind, 1) * count
    patched[at : at + width] = (1).to_bytes(width, "little" if first.order == "<" else "big")
    return bytes(patched)


def _exif(block: bytes) -> tuple[int, int | None]:
    """(orientation, capture time) of an EXIF block; (1, None) for anything it cannot read: EXIF damage spoils no picture."""
    try:
        if block[:4] not in (b"II*\0", b"MM\0*"):
            return 1, None
        return _moment(_first_directory(block))
    except (struct.error, IndexError, InvalidInput):
        return 1, None


def camera(data: bytes) -> dict[str, str]:
    """What EXIF says took a picture: "make", "model", "serial", "lens", those that are there; {} for what it cannot read.

    Args:
        data: a whole JPEG, PNG, WebP or TIFF file. No place is read: where a picture was taken is not for its lineage.
    """
    block = data
    if data[:4] not in (b"II*\0", b"MM\0*"):
        for mark, after in ((b"Exif\0\0", 6), (b"eXIf", 4), (b"EXIF", 8)):
            at = data.find(mark, 0, _EXIF_WITHIN)
            if at >= 0:
                block = data[at + after :][:_EXIF_BYTES]
                break
    try:
        if block[:4] not in (b"II*\0", b"MM\0*"):
            return {}
        first = _first_directory(block)
        told = {"make": first.text(271), "model": first.text(272)}
        if at := first.number(34665, 0):
            detail = _directory(first.data, first.order, at, big=False)
            told |= {"serial": detail.text(42033), "lens": detail.text(42036)}
    except (struct.error, IndexError, InvalidInput):
        return {}
    kept = {k: " ".join(v.split())[:80] for k, v in told.items()}
    return {k: v for k, v in kept.items() if v and v.isprintable()}


_EXIF_WITHIN = 1 << 20
"""EXIF of a JPEG or PNG lies within its first bytes."""
_EXIF_BYTES = 1 << 17


def _moment(first: _Directory) -> tuple[int, int | None]:
    try:
        orientation = first.number(274, 1)
        detail = first
        at = first.number(34665, 0)
        if at:
            detail = _directory(first.data, first.order, at, big=False)
        taken = _taken_ms(detail.text(36867), detail.text(36881), detail.text(37521)) or _taken_ms(
            detail.text(36868), detail.text(36882), detail.text(37522)
        )
    except (struct.error, IndexError, InvalidInput):
        return 1, None
    return (orientation if 1 <= orientation <= 8 else 1), taken


_WHEN = re.compile(r"(\d{4})[:\-/](\d\d)[:\-/](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_ZONE = re.compile(r"([+-])(\d\d):(\d\d)")


def _taken_ms(text: str, zone: str, fraction: str) -> int | None:
    """UTC milliseconds of EXIF DateTimeOriginal (or Digitized). Most cameras name no zone: then it is taken as UTC."""
    found = _WHEN.match(text)
    if not found:
        return None
    try:
        moment = datetime.datetime(*map(int, found.groups()), tzinfo=datetime.UTC)  # type: ignore[arg-type, misc]
    except ValueError:  # cameras without a clock write 0000:00:00
        return None
    ms = round(moment.timestamp() * 1000)
    offset = _ZONE.match(zone)
    if offset:
        minutes = int(offset[2]) * 60 + int(offset[3])
        ms -= (minutes if offset[1] == "+" else -minutes) * 60_000
    digits = fraction.strip()
    if digits.isascii() and digits.isdigit():
        ms += int(digits[:3].ljust(3, "0"))
    return ms


_READERS: dict[str, Callable[[bytes], Header]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/tiff": _tiff,
    "image/webp": _webp,
    "image/bmp": _bmp,
}

"""One encoding for everything that is hashed: a strict subset of RFC 8785 with integers only.

Any RFC 8785 (JCS) library writes the same bytes for these values: UTF-8, no spaces, keys `@?[a-z0-9_]+` in byte order,
integers below 2**53, no floats. See storage/DECISIONS.md for why floats never enter the record.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

import msgspec
from blake3 import blake3

from annotation.errors import InvalidInput

PX = 1000
"""Units per pixel: coordinates are stored as integers of 1/1000 px."""
MICRO = 1_000_000
"""Units per degree, metre or unit of score."""
LIMIT = 2**53

_KEY = re.compile(r"@?[a-z0-9_]+\Z")
_encode = msgspec.json.Encoder(order="deterministic").encode


def snap(value: float, scale: int = PX) -> int:
    """`round(value * scale)`, half to even, as an integer below 2**53 in magnitude.

    Idempotent: `snap(k / scale, scale) == k`. Python's round() on a double is half-to-even, as numpy's rint.

    Raises:
        InvalidInput: for NaN, infinity or a magnitude of 2**53 and more.
    """
    scaled = value * scale
    if not -LIMIT < scaled < LIMIT:  # NaN fails both comparisons
        raise InvalidInput(f"the number {value!r} cannot be stored", remedy="finite and below 9.0e12 px")
    return round(scaled)


def snaps(values: Sequence[float], scale: int = PX) -> list[int]:
    """`snap` of every value."""
    try:
        out = [round(v * scale) for v in values]
    except (ValueError, OverflowError):  # NaN, infinity: named below
        out = []
    if out and -LIMIT < min(out) <= max(out) < LIMIT:
        return out
    return [snap(v, scale) for v in values]


def nfc(text: str) -> str:
    """Text as it enters the record: NFC, without lone surrogates.

    Raises:
        InvalidInput: when the text holds a lone surrogate and cannot be written as UTF-8.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput("text that is not valid Unicode", where=ascii(text)[:80]) from error
    return unicodedata.normalize("NFC", text)


def check(value: object) -> None:
    """Raise InvalidInput unless the value lies inside the subset (null members must already be left out)."""
    match value:
        case bool() | str():
            return
        case int():
            if not -LIMIT < value < LIMIT:
                raise InvalidInput(f"integer {value} is outside ±2**53")
        case list() | tuple():
            for item in value:
                check(item)
        case Mapping():
            for key, item in value.items():
                if not isinstance(key, str) or not _KEY.match(key):
                    raise InvalidInput(f"key {key!r} is not of @?[a-z0-9_]+")
                check(item)
        case msgspec.Raw():
            return
        case _:
            raise InvalidInput(f"a {type(value).__name__} has no canonical form")


def encode(value: object) -> bytes:
    """Canonical bytes of a value made of dict, list, tuple, str, int, bool and already canonical `msgspec.Raw`."""
    check(value)
    return _encode(value)


def digest(data: bytes) -> bytes:
    """BLAKE3-256 of the bytes, 32 bytes."""
    return blake3(data).digest()

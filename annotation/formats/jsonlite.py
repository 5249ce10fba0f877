"""Foreign JSON within bounds: small files whole, large ones member by member without holding them.

UTF-8 with or without mark, else GB 18030 as Chinese tools write it. A large file is mapped and its members are found by
their brackets; only one of them is decoded at a time. About 60 MB/s for records of ordinary size.
"""

from __future__ import annotations

import codecs
import contextlib
import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotation.errors import InvalidInput
from annotation.formats import base

MAX_STREAM = 64 * 2**30
"""Of a file read member by member."""
MAX_MEMBER = 256 * 2**20
"""Of one of its members."""
MAX_FOREIGN = 512 * 2**20
"""Of a file in another encoding than UTF-8, which is held in memory."""
MAX_KEYS = 64
"""Keys of the outermost object."""

_SPACE = re.compile(rb"[ \t\r\n]*")
_MARK = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["{}\[\]]', re.DOTALL)
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_PLAIN = re.compile(rb"[-+.0-9A-Za-z]+")
_BOM = b"\xef\xbb\xbf"

Data = bytes | mmap.mmap


def load(path: Path, type: type[Any] = object, *, limit: int) -> Any:
    """The value of a small file.

    Raises:
        InvalidInput: no JSON, too large, not of the type, or in an unknown encoding.
    """
    return base.parse_json(_utf8(base.read_bytes(path, limit=limit), path.name), path.name, type)


def _utf8(data: bytes, where: str) -> bytes:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise InvalidInput("text in UTF-16", where=where, remedy="save the file as UTF-8") from None
        try:
            return data.decode("gb18030").encode()
        except UnicodeDecodeError as error:
            raise InvalidInput(
                "neither UTF-8 nor GB 18030 text", where=where, remedy="save it as UTF-8"
            ) from error
    return data


@contextlib.contextmanager
def mapped(path: Path) -> Iterator[Data]:
    """The bytes of a file as UTF-8, mapped where they are UTF-8 already.

    Raises:
        InvalidInput: no such file, too large, or in an unknown encoding.
    """
    try:
        if not path.is_file():
            raise InvalidInput("no such file", where=str(path))
        size = path.stat().st_size
        if size > MAX_STREAM:
            raise InvalidInput(f"{size} bytes", where=path.name, remedy=f"at most {MAX_STREAM}; split it")
        if size == 0:
            raise InvalidInput("an empty file", where=path.name, remedy="a truncated file")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if _is_utf8(data):
                yield data
            elif size > MAX_FOREIGN:
                raise InvalidInput("text that is not UTF-8", where=path.name, remedy="save the file as UTF-8")
            else:
                yield _utf8(data[:], path.name)
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", where=str(path)) from error


def _is_utf8(data: mmap.mmap) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(data), 1 << 16):
            decoder.decode(data[at : at + (1 << 16)])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def begin(data: Data) -> int:
    """Where the value begins, after a byte order mark and white space."""
    return _space(data, len(_BOM) if data[:3] == _BOM else 0)


def keys(data: Data, where: str) -> dict[str, tuple[int, int]]:
    """The members of the outermost object by key: where each value begins and ends. Nothing is decoded.

    Raises:
        InvalidInput: no object, truncated, a key twice, or more than `MAX_KEYS`.
    """
    at = begin(data)
    if data[at : at + 1] != b"{":
        raise _fault(where, at, "an object was expected")
    found: dict[str, tuple[int, int]] = {}
    at = _space(data, at + 1)
    while data[at : at + 1] != b"}":
        key = _STRING.match(data, at)
        if key is None:
            raise _fault(where, at, "a key was expected")
        name = base.parse_json(key[0], where, str)
        at = _space(data, key.end())
        if data[at : at + 1] != b":":
            raise _fault(where, at, "a colon was expected")
        first = _space(data, at + 1)
        last = _end(data, first, where)
        if name in found:
            raise InvalidInput(f"the key {base.short(name)} is there twice", where=where, remedy="keep one")
        if len(found) == MAX_KEYS:
            raise InvalidInput(f"more than {MAX_KEYS} keys", where=where)
        found[name] = (first, last)
        at = _next(data, last, b"}", where)
    _demand_end(data, at + 1, where)
    return found


def array(data: Data, where: str, first: int | None = None) -> Iterator[bytes]:
    """The members of the array that begins at `first` (the outermost value by default), as bytes, one at a time.

    Raises:
        InvalidInput: no array, truncated, or a member above `MAX_MEMBER`, when that place is reached.
    """
    at = begin(data) if first is None else first
    if data[at : at + 1] != b"[":
        raise _fault(where, at, "a list was expected")
    at = _space(data, at + 1)
    while data[at : at + 1] != b"]":
        last = _end(data, at, where)
        if last - at > MAX_MEMBER:
            raise InvalidInput(f"a member of {last - at} bytes", where=where, remedy=f"at most {MAX_MEMBER}")
        yield data[at:last]
        at = _next(data, last, b"]", where)
    if first is None:
        _demand_end(data, at + 1, where)


def _space(data: Data, at: int) -> int:
    found = _SPACE.match(data, at)
    assert found is not None  # it matches nothing at least
    return found.end()


def _next(data: Data, at: int, closing: bytes, where: str) -> int:
    """Where the next member begins, or the closing bracket stands."""
    at = _space(data, at)
    char = data[at : at + 1]
    if char == closing:
        return at
    if char != b",":
        raise _fault(where, at, "a comma was expected")
    at = _space(data, at + 1)
    if data[at : at + 1] == closing:
        raise _fault(where, at, "a value was expected")
    return at


def _end(data: Data, at: int, where: str) -> int:
    """Where the value that begins at a place ends. Brackets are counted; what is between them is checked when decoded."""
    char = data[at : at + 1]
    if char == b'"':
        found = _STRING.match(data, at)
    elif char in (b"{", b"["):
        depth = 0
        for mark in _MARK.finditer(data, at):
            char = mark[0][:1]
            if char == b'"':
                if len(mark[0]) == 1:
                    break  # a text without an end
            elif char in (b"{", b"["):
                depth += 1
            else:
                depth -= 1
                if depth == 0:
                    return mark.end()
        raise _fault(where, len(data), "it ends too early")
    else:
        found = _PLAIN.match(data, at)
    if found is None:
        raise _fault(where, at, "a value was expected")
    return found.end()


def _demand_end(data: Data, at: int, where: str) -> None:
    at = _space(data, at)
    if at < len(data):
        raise _fault(where, at, "something follows its end")


def _fault(where: str, at: int, why: str) -> InvalidInput:
    return InvalidInput(
        f"not JSON: {why} (byte {at})", where=where, remedy="a truncated file, NaN, or another encoding"
    )

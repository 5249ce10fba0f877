"""A large JSON object read block by block: the arrays it holds are decoded some megabytes at a time, never the whole.

A block is cut where an element seems to end, and decoded. If `[block]` is JSON, then the cut was right, for a JSON text
can be read in one way only; else the cut is found by counting brackets outside strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from annotation.errors import InvalidInput
from annotation.formats import base

BLOCK = 4 * 2**20
MAX_VALUE = 64 * 2**20
"""Bytes of one element of an array, or of one member that is no array."""
_SEEMS = re.compile(rb"\}\s*,\s*\{")
_SPACE = b" \t\r\n"
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_CLASS = np.zeros(256, np.int8)
_CLASS[[ord("{"), ord("[")]] = 1
_CLASS[[ord("}"), ord("]")]] = -1
_CLASS[ord('"')] = 2
_CLASS[ord(",")] = 3
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Block:
    """Some elements of a member that is an array, or the whole of another member (`elements` holds it alone).

    start: where the array's first element is in the file, in bytes. typed: whether the elements are of the wanted type;
    otherwise they are what JSON makes of them. is_array: False for a member that is no array.
    """

    key: str
    start: int
    elements: list[Any]
    typed: bool
    is_array: bool = True


def walk(path: Path, wanted: Mapping[str, msgspec.json.Decoder[Any]], *, limit: int) -> Iterator[Block]:
    """The members of the object in the file, in its order; an empty array gives one block without elements.

    Args:
        wanted: by member, a decoder of a list of its elements; other members are checked and given as plain values.

    Raises:
        InvalidInput: no such file, too large, not JSON, no object, or a member that is there twice.
    """
    try:
        if not path.is_file():
            raise InvalidInput("no such file", where=str(path))
        if (size := path.stat().st_size) > limit:
            raise InvalidInput(f"{size} bytes", where=path.name, remedy=f"at most {limit}; split it")
        with path.open("rb") as file:
            yield from _Text(file, path.name).members(wanted)
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", where=str(path)) from error


def array(path: Path, start: int, decoder: msgspec.json.Decoder[Any]) -> Iterator[tuple[list[Any], bool]]:
    """The elements of an array whose first element is at byte `start` of the file, and whether they are typed."""
    with path.open("rb") as file:
        file.seek(start)
        yield from _Text(file, path.name, start).elements(decoder)


class _Text:
    """A file's text from a place on: `held` has been read and not yet been used."""

    def __init__(self, file: IO[bytes], where: str, at: int = 0) -> None:
        self._file, self._where = file, where
        self.held = b""
        self.at = at
        """Where `held` begins in the file."""
        self._ended = False

    def fault(self, what: str) -> InvalidInput:
        return InvalidInput(
            f"not JSON: {what}", where=self._where, remedy="a truncated file, NaN, or another encoding"
        )

    def more(self, n: int = BLOCK) -> bool:
        """Read on; False at the end of the file."""
        if self._ended:
            return False
        data = self._file.read(n)
        self._ended = not data
        self.held += data
        return bool(data)

    def drop(self, n: int) -> None:
        self.held = self.held[n:]
        self.at += n

    def peek(self) -> bytes:
        """The next byte that is no white space; empty at the end."""
        while True:
            rest = self.held.lstrip(_SPACE)
            self.drop(len(self.held) - len(rest))
            if self.held or not self.more(1 << 16):
                return self.held[:1]

    def take(self, expected: bytes) -> None:
        if (found := self.peek()) != expected:
            said = f"{found!r}" if found else "the end of the file"
            raise self.fault(f"{said} instead of {expected.decode()!r} (byte {self.at})")
        self.drop(1)

    def members(self, wanted: Mapping[str, msgspec.json.Decoder[Any]]) -> Iterator[Block]:
        self.more(1 << 16)
        if self.held.startswith(b"\xef\xbb\xbf"):
            self.drop(3)
        if self.peek() != b"{":
            self.refuse()
        self.take(b"{")
        seen: set[str] = set()
        if self.peek() == b"}":
            self.drop(1)
        else:
            while True:
                key = self.value()
                if not isinstance(key, str):
                    raise self.fault(f"a key that is no text (byte {self.at})")
                if key in seen:
                    raise InvalidInput(f"{base.short(key)} is there twice", where=self._where)
                seen.add(key)
                self.take(b":")
                if self.peek() == b"[" and key in wanted:
                    self.take(b"[")
                    self.peek()
                    start = self.at
                    for elements, typed in self.elements(wanted[key]):
                        yield Block(key, start, elements, typed)
                else:
                    yield Block(key, self.at, [self.value()], typed=False, is_array=False)
                if self.peek() == b"}":
                    self.drop(1)
                    break
                self.take(b",")
        if self.peek():
            raise self.fault(f"text after its end (byte {self.at})")

    def refuse(self) -> None:
        """Say why this is no JSON object."""
        if len(self.held) < BLOCK:
            self.more()
        base.parse_json(self.held, self._where)
        raise InvalidInput("not of the expected form: it is no JSON object", where=self._where)

    def value(self) -> Any:
        """The next value, whole."""
        first = self.peek()
        while True:
            end = self._end(first)
            if end is not None:
                break
            if len(self.held) > MAX_VALUE:
                raise InvalidInput(
                    f"a value of more than {MAX_VALUE} bytes (byte {self.at})", where=self._where
                )
            if not self.more(max(1 << 16, len(self.held))):
                end = len(self.held)
                break
        found = base.parse_json(self.held[:end], self._where)
        self.drop(end)
        return found

    def _end(self, first: bytes) -> int | None:
        """Where the value that begins `held` ends; None when it may go on."""
        if first in (b"{", b"["):
            ends = _ends(self.held)
            return int(ends[0]) if len(ends) else None
        if first == b'"':
            found = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL).match(self.held)
        else:
            found = re.compile(rb"[^\s,:\]}]+(?=[\s,:\]}])").match(self.held)
        return found.end() if found else None

    def elements(self, decoder: msgspec.json.Decoder[Any]) -> Iterator[tuple[list[Any], bool]]:
        """The elements of the array whose inside begins here; afterwards its `]` has been taken."""
        if self.peek() == b"]":
            self.drop(1)
            yield [], True
            return
        while True:
            self.peek()
            while len(self.held) < BLOCK and self.more(BLOCK - len(self.held)):
                pass
            cut = self._seeming()
            found = self._decoded(cut, decoder) if cut else None
            if found is None:
                cut = self._counted()
                found = self._decoded(cut, decoder)
                if found is None:
                    base.parse_json(b"[" + self.held[:cut] + b"]", self._where)
                    raise self.fault(f"before byte {self.at + cut}")
            self.drop(cut)
            yield found
            if self.peek() == b"]":
                self.drop(1)
                return
            self.take(b",")
            if self.peek() == b"]":
                raise self.fault(f"a comma before ']' (byte {self.at})")

    def _seeming(self) -> int:
        """Where the last element in `held` that may end there ends; 0 when nothing looks like it."""
        at = len(self.held)
        for _ in range(64):
            at = self.held.rfind(b"}", 0, at)
            if at < 0:
                break
            if _SEEMS.match(self.held, at):
                return at + 1
        return 0

    def _counted(self) -> int:
        """Where the last element that is whole in `held` ends, by its brackets; reads on when not one is."""
        while True:
            cuts = _ends(self.held, inside=True)
            if len(cuts):
                return int(cuts[-1])
            if len(self.held) > MAX_VALUE:
                raise InvalidInput(
                    f"an element of more than {MAX_VALUE} bytes (byte {self.at})", where=self._where
                )
            if not self.more(max(BLOCK, len(self.held))):
                return len(self.held)

    def _decoded(self, cut: int, decoder: msgspec.json.Decoder[Any]) -> tuple[list[Any], bool] | None:
        text = b"[" + self.held[:cut] + b"]"
        try:
            return decoder.decode(text), True
        except msgspec.ValidationError:
            pass
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        try:
            return msgspec.json.decode(text), False
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


def _ends(text: bytes, *, inside: bool = False) -> Any:
    """Where the first value ends that `text` begins with, or (`inside`) all places where an element of an array ends
    whose inside `text` is: at a comma or the closing bracket of depth 0, the place of which is given."""
    plain = _ESCAPE.sub(b"__", text) if b"\\" in text else text
    kinds = _CLASS[np.frombuffer(plain, np.uint8)]
    places = np.flatnonzero(kinds)
    kinds = kinds[places]
    quotes = kinds == 2
    outside = (np.cumsum(quotes) % 2 == 0) & ~quotes
    places, kinds = places[outside], kinds[outside]
    steps = np.where(kinds == 3, 0, kinds)
    depth = np.cumsum(steps, dtype=np.int64)
    if not inside:
        return places[(depth == 0) & (kinds == -1)][:1] + 1
    closed = np.flatnonzero(depth < 0)
    last = closed[0] if len(closed) else len(depth)
    ends = places[:last][(depth[:last] == 0) & (kinds[:last] == 3)]
    return np.append(ends, places[last]) if len(closed) else ends

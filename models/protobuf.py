"""Protobuf's wire format, as much as ONNX files need: read field by field within a budget, write single fields.

The `onnx` package is a tool of the tests, not a dependency: it would read whole files into objects before any check.
"""

from __future__ import annotations

from collections.abc import Iterator

from annotation.errors import InvalidInput

Value = memoryview | int | None
"""Bytes of a length-delimited field, a varint, or None for fixed widths."""


def damaged() -> InvalidInput:
    """The fault of bytes that follow no rule of the format."""
    return InvalidInput("not a usable ONNX model: damaged or not ONNX", remedy="export it again")


def truncated() -> InvalidInput:
    """The fault of bytes that end too early."""
    return InvalidInput("not a usable ONNX model: truncated or not ONNX", remedy="copy or export it again")


def fields(data: memoryview, budget: list[int]) -> Iterator[tuple[int, Value]]:
    """(field number, bytes of a length-delimited field | varint | None for fixed widths) of one message.

    Args:
        budget: one number, counted down for each field: what may be read in all.

    Raises:
        InvalidInput: truncated or damaged.
    """
    for number, value, _, _ in spans(data, budget):
        yield number, value


def spans(data: memoryview, budget: list[int]) -> Iterator[tuple[int, Value, int, int]]:
    """`fields`, each with where it begins and ends, so that all others can be copied as they are."""
    at, end = 0, len(data)
    while at < end:
        budget[0] -= 1
        if budget[0] < 0:
            raise InvalidInput("not a usable ONNX model: too many parts", remedy="use a smaller model")
        begin = at
        key, at = _varint(data, at, end)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise damaged()
        match kind:
            case 0:
                value, at = _varint(data, at, end)
                yield number, value, begin, at
            case 2:
                size, at = _varint(data, at, end)
                if size > end - at:
                    raise truncated()
                at += size
                yield number, data[at - size : at], begin, at
            case 1 | 5:
                at += 8 if kind == 1 else 4
                if at > end:
                    raise truncated()
                yield number, None, begin, at
            case _:
                raise damaged()


def integers(value: Value, budget: list[int], most: int) -> list[int]:
    """The numbers of a repeated integer field, packed or one by one; negative ones are 2**63 and more. More than `most` are damage."""
    if isinstance(value, int):
        return [value]
    found: list[int] = []
    if isinstance(value, memoryview):
        at, end = 0, len(value)
        while at < end:
            budget[0] -= 1
            if budget[0] < 0:
                raise InvalidInput("not a usable ONNX model: too many parts", remedy="use a smaller model")
            one, at = _varint(value, at, end)
            found.append(one)
            if len(found) > most:
                raise damaged()
    return found


def varint(value: int) -> bytes:
    """A number below 2**64 as the format writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def piece(number: int, value: bytes | int) -> bytes:
    """One field: bytes length-delimited, a number as varint."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise truncated()

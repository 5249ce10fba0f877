"""Reads the outline of an ONNX file's bytes before any runtime sees it: truncation, nonsense, external data.

onnxruntime opens the files that an external tensor names, wherever they lie, so such a model is refused *before* it is
handed over. Own reader of the protobuf wire format: the `onnx` package is a tool of the tests, not a dependency.
"""

from __future__ import annotations

from collections.abc import Iterator

from annotation.errors import InvalidInput

MAX_DEPTH = 24
MAX_FIELDS = 4_000_000

# Message -> field number -> message inside. Field numbers are those of onnx.proto (IR version 3 and later).
_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "function": {7: "node", 11: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def check(data: memoryview, *, where: str) -> None:
    """Raise InvalidInput unless the bytes read as one self-contained ONNX model.

    Args:
        data: the whole file.
        where: its name in the message.
    """
    problem = _problem(data)
    if problem:
        raise InvalidInput(f"not a usable ONNX model: {problem}", where=where, remedy="export it again")


def _problem(data: memoryview) -> str:
    """What is wrong, or "". A function of its own: a traceback would keep its slices, and so the file's mapping, alive."""
    budget = [MAX_FIELDS]
    seen_graph = False
    try:
        for number, inner in _fields(data, budget):
            seen_graph = seen_graph or (number == 7 and isinstance(inner, memoryview))
            _descend("model", number, inner, budget, 0)
    except _Broken as broken:
        return str(broken)
    return "" if seen_graph else "it holds no graph"


class _Broken(Exception):
    """What is wrong with the bytes, in a few words."""


def _descend(
    message: str, number: int, inner: memoryview | int | None, budget: list[int], depth: int
) -> None:
    if message == "tensor":
        if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and inner == 1):
            raise _Broken("its weights lie in another file; export it as a single file")
        return
    child = _INSIDE[message].get(number)
    if child is None or not isinstance(inner, memoryview):
        return
    if depth >= MAX_DEPTH:
        raise _Broken("graphs nested too deeply")
    for sub, value in _fields(inner, budget):
        _descend(child, sub, value, budget, depth + 1)


def _fields(data: memoryview, budget: list[int]) -> Iterator[tuple[int, memoryview | int | None]]:
    """(field number, bytes of a length-delimited field | varint | None for fixed widths) of one message."""
    at, end = 0, len(data)
    while at < end:
        budget[0] -= 1
        if budget[0] < 0:
            raise _Broken("too many parts")
        key, at = _varint(data, at, end)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise _Broken("damaged or not ONNX")
        match kind:
            case 0:
                value, at = _varint(data, at, end)
                yield number, value
            case 2:
                size, at = _varint(data, at, end)
                if size > end - at:
                    raise _Broken("truncated or not ONNX")
                yield number, data[at : at + size]
                at += size
            case 1 | 5:
                at += 8 if kind == 1 else 4
                if at > end:
                    raise _Broken("truncated or not ONNX")
                yield number, None
            case _:
                raise _Broken("damaged or not ONNX")


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _Broken("truncated or not ONNX")

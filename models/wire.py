"""Reads the outline of an ONNX file's bytes before any runtime sees it: what it asks for, and what it really holds.

onnxruntime opens the files that an external tensor names, allocates what a few bytes declare, and says little about what
it cannot run; so truncation, hidden weights, declared sizes, foreign operators and names are judged here first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

from annotation.errors import InvalidInput
from models import protobuf

MAX_DEPTH = 24
MAX_FIELDS = 4_000_000
MAX_WEIGHTS = 6 * 1024**3
"""Bytes of weights that a model may declare; more than that no session of ours may hold."""
MAX_SPARSE = 256 * 1024**2
"""Bytes that sparse weights may unpack to: hardly any model has them, and a few bytes can ask for any size."""
MAX_NAMES = 20_000
"""Inputs and outputs, or different operators; real models have a few dozen."""
MAX_FILES = 4_096
"""Files of weights beside a model; some exporters write one a tensor."""
MAX_NAME = 1_024
MAX_RANK = 64
DOMAINS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"}
)
"""Operator domains that an onnxruntime without plug-ins knows."""
DEVICE_OPS = frozenset({("com.microsoft", "EPContext")})
"""Operators that hold a program of one device, often in yet another file that we cannot judge."""

# Message -> field number -> message inside. Field numbers are those of onnx.proto (IR version 3 to 13).
_INSIDE = {
    "model": {7: "graph", 8: "opset", 14: "meta", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 11: "input", 12: "output", 15: "sparse"},
    "node": {5: "attribute"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
# A message that may stand there once. Protobuf would merge two, so that each half alone looks harmless.
_ONCE = {"model": {7}, "training": {1, 2}, "attribute": {5, 6, 22}, "sparse": {1, 2}}

_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 8: 0, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128,
    16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip
_STRING = 8
# Fields of a tensor that hold elements: field number -> fewest bytes an element takes there.
_HELD = {4: 4, 5: 1, 7: 1, 10: 8, 11: 1}
_EXTERNAL = 1
"""TensorProto.DataLocation: the weights lie in another file."""


@dataclass(frozen=True, slots=True)
class Put:
    """An input or output as the file declares it: element type by ONNX's number; a free side is None."""

    name: str
    kind: int
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, slots=True)
class Outline:
    """What a file asks for.

    Attributes:
        opsets: operator domain -> the newest version asked for.
        ops: (domain, operator) of every node that is no function of the model itself.
        inputs: without those that are weights; outputs: in the file's order.
        files: file of weights beside the model, as the file names it -> bytes that it must have at least.
        weights: bytes of all weights when they are unpacked in memory.
    """

    ir: int
    opsets: dict[str, int]
    ops: frozenset[tuple[str, str]]
    inputs: tuple[Put, ...]
    outputs: tuple[Put, ...]
    files: dict[str, int]
    weights: int


def outline(data: memoryview, *, where: str) -> Outline:
    """What one ONNX model asks for.

    Args:
        data: the whole file.
        where: its name in the message.

    Raises:
        InvalidInput: truncated, no ONNX, or it asks for what must not or cannot be given; the line says what.
    """
    found = _read(data)
    if isinstance(found, Outline):
        return found
    what, remedy = found
    raise InvalidInput(what, where=where, remedy=remedy)


def _read(data: memoryview) -> Outline | tuple[str, str]:
    """The outline or what is wrong. A function of its own: a traceback would keep its slices, and so the file's mapping, alive."""
    look = _Look()
    try:
        for number, inner in protobuf.fields(data, look.budget):
            if number == 7 and isinstance(inner, memoryview):
                look.names(inner)
        look.walk("model", data, 0)
        return look.outline()
    except InvalidInput as error:
        return error.what, error.remedy


@dataclass(slots=True)
class _Look:
    """What was seen so far. It keeps names of inputs, outputs, operators and files only, each bounded."""

    budget: list[int] = field(default_factory=lambda: [MAX_FIELDS])
    ir: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    ops: set[tuple[str, str]] = field(default_factory=set)
    functions: set[tuple[str, str]] = field(default_factory=set)
    inputs: dict[str, Put] = field(default_factory=dict)
    outputs: list[Put] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    weights: int = 0

    def names(self, graph: memoryview) -> None:
        """Inputs and outputs of the main graph; older files list their weights among the inputs."""
        if self.inputs or self.outputs:
            raise protobuf.damaged()
        for number, inner in protobuf.fields(graph, self.budget):
            if number in (11, 12) and isinstance(inner, memoryview):
                put = _put(inner, self.budget)
                if number == 11:
                    self.inputs[put.name] = put
                else:
                    self.outputs.append(put)
                if len(self.inputs) + len(self.outputs) > MAX_NAMES:
                    raise InvalidInput(f"it has more than {MAX_NAMES} inputs and outputs")
        for number, inner in protobuf.fields(graph, self.budget):
            if number == 5 and isinstance(inner, memoryview):
                for sub, value in protobuf.fields(inner, self.budget):
                    if sub == 8 and isinstance(value, memoryview) and len(value) <= MAX_NAME:
                        self.inputs.pop(bytes(value).decode("utf-8", "replace"), None)

    def walk(self, message: str, data: memoryview, depth: int) -> None:
        """One message and all that matters inside it."""
        if depth >= MAX_DEPTH:
            raise InvalidInput("not a usable ONNX model: graphs nested too deeply", remedy="export it again")
        inside, once, seen = _INSIDE[message], _ONCE.get(message, set()), set()
        for number, inner in protobuf.fields(data, self.budget):
            if message == "model" and number == 1 and isinstance(inner, int):
                self.ir = inner
            child = inside.get(number)
            if child is None or not isinstance(inner, memoryview):
                continue
            if number in once and number in seen:
                raise protobuf.damaged()
            seen.add(number)
            match child:
                case "tensor":
                    self._tensor(inner)
                case "opset":
                    self._opset(inner)
                case "meta":
                    for _, text in protobuf.fields(inner, self.budget):
                        if isinstance(text, memoryview):
                            _text(text)
                case "input" | "output":
                    pass  # those of the main graph are read before
                case _:
                    if child == "node":
                        self._node(inner)
                    elif child == "function":
                        self._function(inner)
                    elif child == "sparse":
                        self._sparse(inner)
                    self.walk(child, inner, depth + 1)

    def outline(self) -> Outline:
        """The result; refuses what only the whole shows."""
        if not self.outputs and not self.ops:
            raise InvalidInput("not a usable ONNX model: it holds no graph", remedy="export it again")
        for put in self.inputs.values():
            if put.shape is not None and 0 in put.shape:
                shape = "x".join("?" if side is None else str(side) for side in put.shape)
                raise InvalidInput(
                    f"its input {put.name!r} has a side of zero ({shape})",
                    remedy="export it with a real or a free size",
                )
        ops = frozenset(self.ops - self.functions)
        for domain, op in sorted(ops):
            if domain not in DOMAINS:
                raise InvalidInput(
                    f"it needs the operator {op!r} of {domain!r}, which is not part of ONNX",
                    remedy="export it with standard operators only",
                )
            if (domain, op) in DEVICE_OPS:
                raise InvalidInput(
                    "it was compiled for one device", remedy="take the model it was compiled from"
                )
        return Outline(
            self.ir,
            dict(self.opsets),
            ops,
            tuple(self.inputs.values()),
            tuple(self.outputs),
            dict(self.files),
            self.weights,
        )

    def _opset(self, data: memoryview) -> None:
        domain, version = "", 0
        for number, inner in protobuf.fields(data, self.budget):
            if number == 1 and isinstance(inner, memoryview):
                domain = _name(inner)
            elif number == 2 and isinstance(inner, int):
                version = inner
        domain = "" if domain == "ai.onnx" else domain
        self.opsets[domain] = max(version, self.opsets.get(domain, 0))
        if len(self.opsets) > MAX_NAMES:
            raise protobuf.damaged()

    def _node(self, data: memoryview) -> None:
        op, domain = "", ""
        for number, inner in protobuf.fields(data, self.budget):
            if isinstance(inner, memoryview):
                if number == 4:
                    op = _name(inner)
                elif number == 7:
                    domain = _name(inner)
        self.ops.add(("" if domain == "ai.onnx" else domain, op))
        if len(self.ops) > MAX_NAMES:
            raise protobuf.damaged()

    def _function(self, data: memoryview) -> None:
        name, domain = "", ""
        for number, inner in protobuf.fields(data, self.budget):
            if isinstance(inner, memoryview):
                if number == 1:
                    name = _name(inner)
                elif number == 10:
                    domain = _name(inner)
        self.functions.add((domain, name))
        if len(self.functions) > MAX_NAMES:
            raise protobuf.damaged()

    def _sparse(self, data: memoryview) -> None:
        """The runtime makes sparse weights dense: what they unpack to counts, not what lies there."""
        dims: list[int] = []
        bits = 64
        for number, inner in protobuf.fields(data, self.budget):
            if number == 3:
                dims += protobuf.integers(inner, self.budget, MAX_RANK)
            elif number == 1 and isinstance(inner, memoryview):
                for sub, kind in protobuf.fields(inner, self.budget):
                    bits = _bits(kind) if sub == 2 and isinstance(kind, int) else bits
        size = (_elements(dims) * bits + 7) // 8
        if size > MAX_SPARSE:
            raise InvalidInput(
                f"sparse weights unpack to {_bytes(size)}; {_bytes(MAX_SPARSE)} at most",
                remedy="export it with plain weights",
            )
        self._count(size)

    def _tensor(self, data: memoryview) -> None:
        kind = location = 0
        dims: list[int] = []
        room = texts = 0
        raw: int | None = None
        entries: list[memoryview] = []
        for number, inner in protobuf.fields(data, self.budget):
            match number, inner:
                case 1, _:
                    dims += protobuf.integers(inner, self.budget, MAX_RANK)
                case 2, int():
                    kind = inner
                case 14, int():
                    location = inner
                case 9, memoryview():
                    raw = len(inner)
                case 13, memoryview():
                    entries.append(inner)
                    if len(entries) > 16:
                        raise protobuf.damaged()
                case 6, _:
                    texts += 1
                case 4 | 5 | 7 | 10 | 11, memoryview():
                    room += len(inner) // _HELD[number]
                case 4 | 5 | 7 | 10 | 11, _:  # one element a field, as proto2 writes them
                    room += 1
        bits, n = _bits(kind), _elements(dims)
        size = (n * bits + 7) // 8
        if location == _EXTERNAL:
            self._external(entries, size, kind)
            self._count(size)
            return
        if kind == _STRING:
            held, short = texts, n != texts
        elif raw is not None:
            held, short = raw, raw != size
        else:
            # 16 bits and less share a field of one varint an element; 4 and 2 bits lie several in one.
            each = 8 // bits if bits < 8 else 1
            halves = 2 if kind in (14, 15) else 1
            held, short = room * bits // 8, n > room * each // halves
        if short:
            raise InvalidInput(
                f"a weight of {_bytes(size)} is declared, but {_bytes(held)} of it are there",
                remedy="export it again; a file that was changed by hand or cut short looks so",
            )
        self._count(size)

    def _count(self, size: int) -> None:
        self.weights += size
        if self.weights > MAX_WEIGHTS:
            raise InvalidInput(
                f"weights of {_bytes(self.weights)} are declared; {_bytes(MAX_WEIGHTS)} at most",
                remedy="use a smaller model",
            )

    def _external(self, entries: list[memoryview], size: int, kind: int) -> None:
        found: dict[str, str] = {}
        for entry in entries:
            pair = {1: "", 2: ""}
            for number, inner in protobuf.fields(entry, self.budget):
                if number in pair and isinstance(inner, memoryview):
                    pair[number] = _name(inner)
            if pair[1] in found:
                raise protobuf.damaged()
            found[pair[1]] = pair[2]
        location = found.get("location", "")
        offset, length = _digits(found.get("offset", "0")), _digits(found.get("length", str(size)))
        if not location or kind == _STRING:
            raise protobuf.damaged()
        if length != size:
            raise InvalidInput(
                f"a weight of {_bytes(size)} is declared, but {_bytes(length)} of {location!r} are named for it",
                remedy="export it again; a file that was changed by hand or cut short looks so",
            )
        self.files[location] = max(offset + length, self.files.get(location, 0))
        if len(self.files) > MAX_FILES:
            raise InvalidInput(
                f"its weights lie in more than {MAX_FILES} files",
                remedy="export it with all weights in one file",
            )


def _put(data: memoryview, budget: list[int]) -> Put:
    """A ValueInfo: name (1), type (2) with tensor (1) with element type (1) and shape (2) with sides (1)."""
    name, kind = "", 0
    shape: list[int | None] | None = None
    for number, inner in protobuf.fields(data, budget):
        if number == 1 and isinstance(inner, memoryview):
            name = _name(inner)
        elif number == 2 and isinstance(inner, memoryview):
            for sub, tensor in protobuf.fields(inner, budget):
                if sub != 1 or not isinstance(tensor, memoryview):
                    continue
                for part, value in protobuf.fields(tensor, budget):
                    if part == 1 and isinstance(value, int):
                        kind = value
                    elif part == 2 and isinstance(value, memoryview):
                        shape = [
                            _side(side, budget)
                            for at, side in protobuf.fields(value, budget)
                            if at == 1 and isinstance(side, memoryview)
                        ]
                        if len(shape) > MAX_RANK:
                            raise protobuf.damaged()
    return Put(name, kind, None if shape is None else tuple(shape))


def _side(data: memoryview, budget: list[int]) -> int | None:
    """A fixed side; None when it is free: a name, nothing, or the negative number that some exporters write."""
    fixed: int | None = None
    for number, inner in protobuf.fields(data, budget):
        if number == 1 and isinstance(inner, int):
            fixed = inner if inner < 1 << 63 else None
        elif number == 2:
            fixed = None
    return fixed


def _bits(kind: int) -> int:
    try:
        return _BITS[kind]
    except KeyError:
        raise InvalidInput(
            f"its weights are of the unknown kind {kind}", remedy="export it with float32 or float16 weights"
        ) from None


def _elements(dims: list[int]) -> int:
    if len(dims) > MAX_RANK or any(d >= 1 << 63 for d in dims):
        raise protobuf.damaged()
    return prod(dims)


def _digits(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise protobuf.damaged()
    return int(text)


def _bytes(n: int) -> str:
    """A size for people."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{n} B"


def _name(data: memoryview) -> str:
    if len(data) > MAX_NAME:
        raise InvalidInput(f"a name in it is longer than {MAX_NAME} bytes", remedy="export it again")
    return _text(data)


def _text(data: memoryview) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("its names are not UTF-8", remedy="export it again") from None

"""A batch made free where that is provably exact: a model exported for one picture a run takes several, or it is said why not.

The file is rewritten on the wire: side 0 of inputs and outputs becomes free, the first number of every constant that shapes
a Reshape becomes -1 ("what is left") or 0 ("as it comes"). Then batches of drawn scenes and noise are run against single pictures; only a
difference of exactly 0.0 counts. The original file is never changed; weights beside it serve both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from annotation import scenes
from annotation.errors import LamproomError
from models import external, preprocess, protobuf, session, wire
from models.card import ModelCard
from models.session import Array, Bare

MAX_BYTES = 512 * 1024**2
"""Larger .onnx files are left alone: the new one is made in memory."""
SIZES = (2, 5, 16)
"""Batches that are tried; the last is the largest that anybody uses."""
_AXIS = b"batch"
_INT64 = 7
_ZERO_IS_ZERO = b"allowzero"


@dataclass(frozen=True, slots=True)
class Freed:
    """The model with a free batch, or why there is none.

    Attributes:
        path, card: to open it with; None without one. The card's digest is that of the derived file: predictions still
            name the original model.
        why: by what it was proved, or why not; a sentence.
    """

    path: Path | None
    card: ModelCard | None
    why: str


def free(path: Path, card: ModelCard, target: Path, *, provider: str = "cpu", threads: int = 1) -> Freed:
    """Write a model with a free batch and prove it, or leave nothing.

    Args:
        target: the new file; for a model with weights beside it, in the same folder. Overwritten.
        provider: where it is proved; another one may sum in another order.
    """
    made = rewritten(path, card)
    if isinstance(made, str):
        return Freed(None, None, made)
    target.write_bytes(made)
    try:
        known = external.identify(target)
        fresh = replace(card, sha256=known.sha256, files=known.files, batch=0)
        one = session.open_bare(path, card.sha256, provider=provider, threads=threads)
        many = session.open_bare(target, known.sha256, provider=provider, threads=threads)
        problem = _apart(one, many, card)
    except LamproomError as error:
        problem = f"it does not run so: {error.what}"
    if problem:
        target.unlink()
        return Freed(None, None, problem)
    return Freed(
        target, fresh, f"batches of {', '.join(map(str, SIZES))} give what single pictures give, bit for bit"
    )


def rewritten(path: Path, card: ModelCard) -> bytes | str:
    """The file's bytes with a free batch, not yet proved; or a sentence: why not."""
    if card.batch == 0:
        return "its batch is free already"
    if card.batch != 1:
        return f"it was exported for {card.batch} pictures a run"
    if card.loose:
        return "one of its outputs has no axis for the batch"
    if path.stat().st_size > MAX_BYTES:
        return "its file is too large"
    data = memoryview(path.read_bytes())
    outline = wire.outline(data, where=path.name)
    if any(put.shape is not None and put.shape[:1] not in ((1,), (None,)) for put in outline.inputs):
        return "one of its inputs has no axis for the batch"
    budget = [wire.MAX_FIELDS]
    names = {put.name for put in outline.inputs}
    return _mapped(data, budget, {7: lambda graph: _graph(graph, budget, names)})


def samples(card: ModelCard, count: int) -> Array:
    """Inputs that are all different: drawn scenes prepared as pictures are, and noise; (count, …) of the card's shape."""
    batch = np.empty(card.shape(count), card.input_dtype)
    w, h = card.input_wh
    canvas = np.empty((h, w, 3), np.uint8)
    rng = np.random.default_rng(7)
    for i in range(count):
        if i % 2:
            canvas[...] = rng.integers(0, 256, canvas.shape, np.uint8)
        else:
            preprocess.place(scenes.draw(i, (640, 480)).picture, card, canvas)
        preprocess.fill(batch[i], canvas, card)
    return batch


def _apart(one: Bare, many: Bare, card: ModelCard) -> str:
    """ "" when batches give exactly what single pictures give, else what differs."""
    names = [name for _, name in card.outputs]
    batch = samples(card, SIZES[-1])

    def run(model: Bare, part: Array) -> list[Array]:
        feeds = {card.input_name: part, **{feed.name: feed.array(len(part)) for feed in card.feeds}}
        return model.run(feeds, names)

    singles = [run(one, batch[i : i + 1]) for i in range(len(batch))]
    for k in SIZES:
        for place, got in enumerate(run(many, batch[:k])):
            want = [single[place] for single in singles[:k]]
            if any(len(w) != 1 for w in want) or got.shape != (k, *want[0].shape[1:]):
                return f"its output {names[place]!r} does not grow with the batch"
            whole = np.concatenate(want)
            if got.dtype.kind == "f" and not np.array_equal(got, whole, equal_nan=True):
                apart = float(np.nanmax(np.abs(got.astype(np.float64) - whole)))
                return f"batches of {k} differ from single pictures by up to {apart:.3g}"
            if got.dtype.kind != "f" and not np.array_equal(got, whole):
                return f"batches of {k} differ from single pictures"
    return ""


# ---------------------------------------------------------------------------------------------------------------
# Rewriting


def _mapped(
    data: memoryview, budget: list[int], change: Mapping[int, Callable[[memoryview], bytes | None]]
) -> bytes:
    """A message with some of its fields rewritten (None = left out); all others are copied as they are."""
    out = []
    for number, value, begin, end in protobuf.spans(data, budget):
        if number in change and isinstance(value, memoryview):
            new = change[number](value)
            if new is not None:
                out.append(protobuf.piece(number, new))
        else:
            out.append(bytes(data[begin:end]))
    return b"".join(out)


def _graph(data: memoryview, budget: list[int], inputs: set[str]) -> bytes:
    """The main graph; what it noted of shapes inside is left out, the runtime infers it."""
    shapes = _constants(data, budget)
    fresh: list[bytes] = []

    def node(inner: memoryview) -> bytes:
        changed, constant = _reshape(inner, budget, shapes, len(fresh))
        if constant is not None:
            fresh.append(protobuf.piece(1, constant))
        return changed

    def put(inner: memoryview) -> bytes:
        named = next(
            (bytes(v) for n, v in protobuf.fields(inner, budget) if n == 1 and isinstance(v, memoryview)), b""
        )
        return _freed(inner, budget) if named.decode() in inputs else bytes(inner)

    body = _mapped(
        data, budget,
        {1: node, 11: put, 12: lambda inner: _freed(inner, budget), 13: lambda _: None},
    )  # fmt: skip
    return b"".join(fresh) + body  # nodes stand in the order they run in: constants first


def _freed(put: memoryview, budget: list[int]) -> bytes:
    """A ValueInfo whose side 0, when it is 1, is free."""

    def shape(data: memoryview) -> bytes:
        sides = [bytes(v) for n, v in protobuf.fields(data, budget) if n == 1 and isinstance(v, memoryview)]
        if sides and [(n, v) for n, v in protobuf.fields(memoryview(sides[0]), budget) if n == 1] == [(1, 1)]:
            sides[0] = protobuf.piece(2, _AXIS)
        return b"".join(protobuf.piece(1, side) for side in sides)

    def tensor(data: memoryview) -> bytes:
        return _mapped(data, budget, {2: shape})

    return _mapped(put, budget, {2: lambda kind: _mapped(kind, budget, {1: tensor})})


def _reshape(
    node: memoryview, budget: list[int], shapes: Mapping[bytes, Sequence[int]], count: int
) -> tuple[bytes, bytes | None]:
    """A node, and when it is a Reshape to a constant shape: with one for any number of pictures, and that constant's node."""
    inputs = [bytes(v) for n, v in protobuf.fields(node, budget) if n == 1 and isinstance(v, memoryview)]
    op = next(
        (bytes(v) for n, v in protobuf.fields(node, budget) if n == 4 and isinstance(v, memoryview)), b""
    )
    shape = list(shapes.get(inputs[1], ())) if op == b"Reshape" and len(inputs) == 2 else []
    literal = bool(shape) and _attribute(node, budget, _ZERO_IS_ZERO) == 1
    if not shape or shape[0] < 1 or (literal and 0 in shape):
        return bytes(node), None
    if -1 not in shape[1:]:
        shape[0] = -1  # right for what has no batch, too
    elif shape[0] == 1:
        shape[0] = 0
    else:
        return bytes(node), None
    name = b"lamproom.free.%d" % count
    seen = [0]

    def source(value: memoryview) -> bytes:
        seen[0] += 1
        return name if seen[0] == 2 else bytes(value)

    def attribute(value: memoryview) -> bytes | None:
        named = any(
            n == 1 and isinstance(v, memoryview) and bytes(v) == _ZERO_IS_ZERO
            for n, v in protobuf.fields(value, budget)
        )
        return None if named else bytes(value)

    return _mapped(node, budget, {1: source, 5: attribute}), _constant(name, shape)


def _constant(name: bytes, values: Sequence[int]) -> bytes:
    raw = np.array(values, "<i8").tobytes()
    tensor = protobuf.piece(1, len(values)) + protobuf.piece(2, _INT64) + protobuf.piece(9, raw)
    attribute = protobuf.piece(1, b"value") + protobuf.piece(5, tensor) + protobuf.piece(20, 4)
    return protobuf.piece(2, name) + protobuf.piece(4, b"Constant") + protobuf.piece(5, attribute)


def _attribute(node: memoryview, budget: list[int], name: bytes) -> int:
    """A whole number among a node's attributes, 0 when it has none."""
    for number, inner in protobuf.fields(node, budget):
        if number == 5 and isinstance(inner, memoryview):
            parts = dict(protobuf.fields(inner, budget))
            key, value = parts.get(1), parts.get(3)
            if isinstance(key, memoryview) and bytes(key) == name and isinstance(value, int):
                return value
    return 0


def _constants(graph: memoryview, budget: list[int]) -> dict[bytes, list[int]]:
    """Short rows of whole numbers by name: initialisers and the outputs of Constant nodes."""
    found: dict[bytes, list[int]] = {}
    for number, inner in protobuf.fields(graph, budget):
        if number == 5 and isinstance(inner, memoryview):
            name = next(
                (bytes(v) for n, v in protobuf.fields(inner, budget) if n == 8 and isinstance(v, memoryview)),
                b"",
            )
            values = _row(inner, budget)
            if values:
                found[name] = values
        elif number == 1 and isinstance(inner, memoryview):
            parts = {
                n: v
                for n, v in protobuf.fields(inner, budget)
                if isinstance(v, memoryview) and n in (2, 4, 5)
            }
            if 2 in parts and 5 in parts and bytes(parts.get(4, b"")) == b"Constant":
                values = _value(parts[5], budget)
                if values:
                    found[bytes(parts[2])] = values
    return found


def _value(attribute: memoryview, budget: list[int]) -> list[int]:
    """What a Constant's attribute holds, when it is a row of whole numbers: `value` or `value_ints`."""
    row: list[int] = []
    for number, inner in protobuf.fields(attribute, budget):
        if number == 5 and isinstance(inner, memoryview):
            return _row(inner, budget)
        if number == 8:
            row += protobuf.integers(inner, budget, wire.MAX_RANK)
    return [_signed(value) for value in row]


def _row(tensor: memoryview, budget: list[int]) -> list[int]:
    """A one-dimensional int64 tensor's numbers; [] for all others and for those that lie in another file."""
    dims: list[int] = []
    values: list[int] = []
    kind = 0
    for number, inner in protobuf.fields(tensor, budget):
        if number == 1:
            dims += protobuf.integers(inner, budget, wire.MAX_RANK)
        elif number == 2 and isinstance(inner, int):
            kind = inner
            if kind != _INT64:
                return []
        elif number == 7 and (
            isinstance(inner, int) or (isinstance(inner, memoryview) and len(inner) < 10 * wire.MAX_RANK)
        ):
            values += [_signed(value) for value in protobuf.integers(inner, budget, wire.MAX_RANK * 10)]
        elif number == 9 and isinstance(inner, memoryview) and len(inner) <= 8 * wire.MAX_RANK:
            values = [int(value) for value in np.frombuffer(inner, "<i8")]
    return values if kind == _INT64 and len(dims) == 1 and dims[0] == len(values) else []


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value

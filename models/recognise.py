"""Recognise an ONNX model from the file itself: its shapes, its metadata, one trial run. Nothing is guessed from file names.

Outputs are matched by shape and values, never by name or place (one real NanoDet's names do not fit its shapes).
"""

from __future__ import annotations

import ast
import itertools
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from annotation.errors import InvalidInput
from models import session
from models.card import MAX_BATCH, MAX_LABELS, MAX_SIDE_PX, Feed, ModelCard
from models.heads import HEADS, form
from models.heads.look import Look, Match, Output, Question, demand
from models.session import Array, Tensor

MAX_LITERAL = 500_000
MAX_FEEDS = 2
"""Inputs beside the picture."""
DEFAULT_SIDE_PX = 640
DTYPES: Mapping[str, Literal["float32", "float16", "uint8"]] = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8",
}  # fmt: skip

COCO_80 = tuple(
    """person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,
bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,
snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,
knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,
dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,
vase,scissors,teddy bear,hair drier,toothbrush""".replace("\n", "").split(",")
)
"""Names of the 80 classes of COCO in the order of its detectors, for models that carry no names."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """A model that is known: its card, why it is taken for that (a sentence each), and what its file cannot tell.

    `asks` lists every question with the answer that the card now holds as its proposal.
    """

    card: ModelCard
    why: tuple[str, ...]
    asks: tuple[Question, ...]


class Unrecognised(InvalidInput):
    """The file alone will not do: no head knows the model, or a question has no proposal. `outputs` and `asks` are what a person needs to answer."""

    def __init__(
        self, outputs: Sequence[Output], asks: Sequence[Question], what: str, *, where: str, remedy: str
    ) -> None:
        self.outputs, self.asks = tuple(outputs), tuple(asks)
        super().__init__(what, where=where, remedy=remedy)


@dataclass(frozen=True, slots=True)
class _Input:
    """The picture input: its place in the file's declaration, in the terms of a card."""

    name: str
    dtype: Literal["float32", "float16", "uint8"]
    layout: Literal["nchw", "nhwc", "chw"]
    channels: int
    batch: int
    wh: tuple[int, int]
    free: bool


def recognise(
    path: Path,
    *,
    name: str | None = None,
    answers: Mapping[str, str] | None = None,
    licence: str = "",
    note: str = "",
) -> Recognised:
    """The card of an ONNX model of one file (or with weights beside it).

    Args:
        name: what people call it; by default the file's name without its ending.
        answers: to Questions, by key; unknown keys are refused.

    Raises:
        InvalidInput: broken, hostile, of no known kind, or an answer is missing or wrong (the line says what was found, so
            that the person can export it again or answer).
        Unavailable: the file cannot be read.
    """
    body = session.identify(path)
    inputs, declared, metadata, producer, inner = session.inspect(path)
    where = path.name
    said = dict(answers or {})
    picture = _picture(inputs, metadata, said, where)
    others = tuple((t.name, t.shape, t.dtype) for t in inputs if t.name != picture.name)
    feeds, results = _tried(inner, picture, others, where)
    names = _names(metadata.get("names", "") or metadata.get("character", ""), where)
    look = Look(
        where,
        picture.wh,
        not picture.free,
        tuple(
            Output(t.name, t.shape, np.asarray(value))
            for t, value in zip(declared, results, strict=True)
            if isinstance(value, np.ndarray)
        ),
        others,
        names,
        metadata,
        said,
    )
    session.demand_numbers(((out.name, out.value) for out in look.outputs), where=where)
    match = _matched(look)
    labels = _labelled(match, names, said, where)
    _demand_known(said, match)
    for q in match.asks:
        demand(look, replace(q, proposal=said.get(q.key, q.proposal)))
    w, h = picture.wh
    card = ModelCard(
        name=clean(name if name is not None else path.stem) or "model",
        family=match.family,
        sha256=body.sha256,
        files=body.files,
        labels=labels,
        input_name=picture.name,
        outputs=match.outputs,
        input_wh=(w, h),
        task=match.task,
        input_dtype=picture.dtype,
        layout=picture.layout,
        resize=match.resize,
        colour=_colour(match, picture, where),
        mean_micro=match.mean,
        std_micro=match.std,
        pad=match.pad,
        dynamic_hw=picture.free,
        batch=picture.batch,
        loose=match.loose,
        feeds=feeds,
        head=match.head,
        score_micro=match.score_micro,
        iou_micro=match.iou_micro,
        producer=clean(producer),
        licence=clean(licence or metadata.get("license", "")),
        note=clean(note or metadata.get("note", "")),
    )
    return Recognised(card, match.why, match.asks)


def _matched(look: Look) -> Match:
    """The first head that knows the model; the answer `family` names one."""
    wanted = look.answers.get("family")
    if wanted is not None and wanted not in HEADS:
        raise InvalidInput(
            f"there is no family {wanted!r}", where=look.where, remedy=f"one of {', '.join(HEADS)}"
        )
    for family, head in HEADS.items():
        if wanted in (None, family):
            found: Match | None = head.match(look)
            if found is not None:
                missing = [q.key for q in found.asks if not q.proposal]
                if missing:
                    q = next(q for q in found.asks if q.key == missing[0])
                    raise Unrecognised(
                        look.outputs, found.asks, f"its file cannot tell: {q.text}", where=look.where,
                        remedy=f"answer with --answer {q.key}=" + ("|".join(q.choices) or "VALUE"),
                    )  # fmt: skip
                return found
    shapes = "; ".join(_shape(out.value.shape) for out in look.outputs)[:200]
    if wanted is None and len(look.outputs) == 1:
        shape = look.outputs[0].value.shape
        if len(shape) == 3 and min(shape[1:]) in (4, 5) and max(shape[1:]) > 20:
            raise InvalidInput(
                f"it has no classes: all it gives is {shapes}, the boxes",
                where=look.where,
                remedy="export it with at least one class",
            )
    raise Unrecognised(
        look.outputs,
        form.questions(look),
        f"no known kind of model: for an input of {look.wh[0]}x{look.wh[1]} px it gives {shapes or 'nothing'}",
        where=look.where,
        remedy="say which output is what: `lamproom models add FILE --answer boxes=1 --dry-run` lists the questions",
    )


def _picture(
    inputs: Sequence[Tensor], metadata: Mapping[str, str], said: Mapping[str, str], where: str
) -> _Input:
    """The one input that is a picture; its size from the file, the metadata or an answer."""
    fitting = [
        t
        for t in inputs
        if t.dtype in DTYPES and (len(t.shape) == 4 or (len(t.shape) == 3 and t.shape[0] in (1, 3)))
    ]
    if len(fitting) != 1:
        found = "; ".join(f"{t.dtype} {_shape(t.shape)}" for t in inputs)[:200]
        raise InvalidInput(
            f"it has {len(fitting)} inputs that can be a picture ({found or 'no input'})",
            where=where,
            remedy="export it with one float or uint8 input (batch, 3, height, width)",
        )
    t = fitting[0]
    single = len(t.shape) == 3
    n, a, b, c = (1, *t.shape) if single else t.shape
    layout: Literal["nchw", "nhwc", "chw"]
    if single:
        layout, channels, h, w = "chw", a or 3, b, c
    elif a in (3, 1) or (a is None and c not in (3, 1)):
        layout, channels, h, w = "nchw", a or 3, b, c
    elif c in (3, 1):
        layout, channels, h, w = "nhwc", c, a, b
    else:
        raise InvalidInput(
            f"its input of shape {_shape(t.shape)} has {a} channels",
            where=where,
            remedy="export it for pictures of three channels or one",
        )
    free = h is None or w is None
    wish = _answered_size(said.get("size"), where) or _image_size(metadata)
    w, h = w or wish[0], h or wish[1]
    if not all(32 <= side <= MAX_SIDE_PX for side in (w, h)):
        raise InvalidInput(
            f"its input of {w}x{h} px is not supported", where=where, remedy=f"32 to {MAX_SIDE_PX} px a side"
        )
    if n is not None and n > MAX_BATCH:
        raise InvalidInput(
            f"it wants batches of exactly {n}", where=where, remedy="export it with batch 1 or a free batch"
        )
    return _Input(t.name, DTYPES[t.dtype], layout, channels, n or 0, (w, h), free)


def _probe(picture: _Input) -> Array:
    """A trial picture with something in it: a grey ground with a brighter patch, values 0..255 in the input's type."""
    w, h = picture.wh
    plain = np.full((h, w), 114.0)
    plain[h // 4 : h // 2, w // 4 : w // 2] = 200.0
    shape = (max(1, picture.batch), picture.channels, h, w)
    full = np.broadcast_to(plain, shape)
    turned = (
        np.moveaxis(full, 1, -1) if picture.layout == "nhwc" else full[0] if picture.layout == "chw" else full
    )
    return np.ascontiguousarray(turned).astype(picture.dtype)


def _tried(
    inner: Any, picture: _Input, others: Sequence[tuple[str, tuple[int | None, ...], str]], where: str
) -> tuple[tuple[Feed, ...], list[Array]]:
    """The trial's outputs, and what the inputs beside the picture are fed, so that boxes come in pixels of the input.

    Two whole numbers are a size, width first (RT-DETR, D-FINE). Two real numbers are a size, height first, or a scale of one
    (Paddle's models have either or both, of one shape): what gives the largest numbers is right, as a size taken for a scale
    gives shares or nothing.
    """
    ways: list[list[Feed]] = []
    for name, shape, dtype in others:
        real = tuple(1 if side is None else side for side in shape)
        if int(np.prod(real)) != 2 or dtype not in ("tensor(int64)", "tensor(int32)", "tensor(float)"):
            raise InvalidInput(
                f"it has a second input {name!r} of {dtype} {_shape(shape)}",
                where=where,
                remedy="export it with the picture as its only input",
            )
        if dtype == "tensor(float)":
            ways.append([Feed(name, "float32", real, values) for values in ((1, 1), picture.wh[::-1])])
        else:
            ways.append([Feed(name, dtype[7:-1], real, picture.wh)])
    if len(ways) > MAX_FEEDS:
        raise InvalidInput(
            f"it has {len(ways)} inputs beside the picture",
            where=where,
            remedy="export it with the picture as its only input",
        )
    probe = {picture.name: _probe(picture)}
    best: tuple[float, tuple[Feed, ...], list[Array]] | None = None
    for feeds in itertools.product(*ways):
        results = session.trial_of(
            inner, probe | {feed.name: feed.array(max(1, picture.batch)) for feed in feeds}, where=where
        )
        if best is None or _largest(results) > 2 * best[0]:
            best = (_largest(results), feeds, results)
    assert best is not None  # no inputs beside the picture are one way
    return best[1], best[2]


def _largest(results: Sequence[Any]) -> float:
    """The greatest finite real number of a trial's outputs, or 0."""
    real = [v[np.isfinite(v)] for v in results if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
    return max((float(v.max()) for v in real if v.size), default=0.0)


def _demand_known(said: Mapping[str, str], match: Match) -> None:
    known = {"family", "size", "labels", *(q.key for q in match.asks)}
    strange = sorted(set(said) - known)
    if strange:
        raise InvalidInput(
            f"nothing was asked that {strange[0]!r} answers",
            remedy=f"answers here: {', '.join(sorted(known))}",
        )


def _colour(match: Match, picture: _Input, where: str) -> Literal["bgr", "rgb", "gray"]:
    if picture.channels == 1:
        return "gray"
    if match.colour not in ("bgr", "rgb"):
        raise InvalidInput(f"there is no order of colours {match.colour!r}", where=where, remedy="bgr or rgb")
    return "bgr" if match.colour == "bgr" else "rgb"


def _labelled(match: Match, names: tuple[str, ...], said: Mapping[str, str], where: str) -> tuple[str, ...]:
    """Class names: answered, of the file, of the family, COCO's for 80, else class_0 …"""
    n = match.classes
    if n > MAX_LABELS:
        raise InvalidInput(f"it has {n} classes; {MAX_LABELS} at most", where=where)
    if n == 0:
        if match.task == "embed":
            return ()
        raise InvalidInput("it has no classes", where=where, remedy="export it with at least one class")
    told = (
        _unique([clean(part) or f"class_{i}" for i, part in enumerate(said["labels"].split(","))])
        if "labels" in said
        else ()
    )
    names = told or names
    if names and len(names) != n and len(names) > 1000:
        raise InvalidInput(
            f"it reads lines of text ({len(names)} characters) and finds none by itself", where=where,
            remedy="add it with the model that finds lines: `lamproom models add FINDER --recogniser FILE`",
        )  # fmt: skip
    if names and len(names) != n:
        raise InvalidInput(
            f"it gives {n} classes but {len(names)} names are told", where=where,
            remedy="export it again, or answer with --answer labels=A,B,…",
        )  # fmt: skip
    if names:
        return names
    return match.labels or (COCO_80 if n == len(COCO_80) else tuple(f"class_{i}" for i in range(n)))


def _names(text: str, where: str) -> tuple[str, ...]:
    """Class names from the metadata: a Python or JSON literal, a list or index -> name, or one a line; () when absent."""
    if not text.strip():
        return ()
    if "\n" in text and not text.lstrip().startswith(("{", "[")):  # Paddle's key `character`
        value: Any = text.strip("\n").split("\n")
    else:
        value = _literal(text, where)
    if isinstance(value, dict):
        try:
            by_index = {int(key): item for key, item in value.items()}
        except (TypeError, ValueError):
            by_index = {}
        if sorted(by_index) != list(range(len(value))):
            raise InvalidInput(
                "its class names are not numbered 0, 1, 2 …", where=where, remedy="export it again"
            )
        value = [by_index[i] for i in range(len(by_index))]
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise InvalidInput("its class names are not a list of texts", where=where, remedy="export it again")
    if len(value) > MAX_LABELS:
        raise InvalidInput(f"it names {len(value)} classes; {MAX_LABELS} at most", where=where)
    return _unique([clean(item) or f"class_{i}" for i, item in enumerate(value)])


def _literal(text: str, where: str) -> Any:
    """A Python or JSON literal, bounded; never evaluated."""
    if len(text) > MAX_LITERAL:
        raise InvalidInput("its class names are longer than 500 kB", where=where)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise InvalidInput("its class names cannot be read", where=where, remedy="export it again") from error


def _image_size(metadata: Mapping[str, str]) -> tuple[int, int]:
    """(w, h) for a model of free size: metadata `imgsz` as [h, w] or one side, else 640x640."""
    try:
        value = json.loads(metadata.get("imgsz", "")[:100])
    except ValueError:
        return DEFAULT_SIDE_PX, DEFAULT_SIDE_PX
    if isinstance(value, list) and len(value) == 2 and all(type(side) is int for side in value):
        return value[1], value[0]
    if type(value) is int:
        return value, value
    return DEFAULT_SIDE_PX, DEFAULT_SIDE_PX


def _answered_size(text: str | None, where: str) -> tuple[int, int] | None:
    """The answer `size`: "640" or "640x480" (w x h)."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(p.isascii() and p.isdigit() and len(p) < 6 for p in parts):
        raise InvalidInput(f"{text!r} is no size", where=where, remedy="for instance size=640x480")
    return int(parts[0]), int(parts[-1])


def _unique(names: list[str]) -> tuple[str, ...]:
    """The names, a repeated one made different by a number: two classes must not become one label silently."""
    taken = set(names)
    used: set[str] = set()
    result: list[str] = []
    for name in names:
        unique, n = name, 0
        while unique in used or (n and unique in taken):
            n += 1
            unique = f"{name}_{n}"
        used.add(unique)
        result.append(unique)
    return tuple(result)


def clean(text: str) -> str:
    """One short line of printable NFC text: foreign strings reach screens, files and the record."""
    kept = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text[:2000])
    return unicodedata.normalize("NFC", " ".join(kept.split()))[:200]


def _shape(shape: Sequence[int | None]) -> str:
    return "x".join("?" if side is None else str(side) for side in shape)

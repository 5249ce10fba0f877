"""The rest: a person says which output is what. Boxes, scores and class numbers may lie in one output or in three.

Nothing is recognised here: `match` needs the answers of `questions`, which a form at the desk or `--answer` gives.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from annotation.errors import InvalidInput
from models.card import MAX_LABELS, ModelCard, Resize
from models.found import Found, nms
from models.heads.look import COLOURS, HOW_COLOUR, HOW_RANGE, RANGES, Look, Match, Output, Question, demand
from models.session import Array

BOXES = ("xyxy", "cxcywh", "xywh", "yxyx")
UNITS = ("px", "share")
ACTIVATIONS = ("none", "sigmoid", "softmax")
FITS: tuple[Resize, ...] = ("letterbox", "corner", "stretch", "pad")
MAX_CANDIDATES = 4096
_LISTS = ("boxes", "scores", "classes")


def questions(look: Look) -> tuple[Question, ...]:
    """What must be said of a model that nothing else knows, with the likeliest answers of its outputs' shapes."""
    shapes = {i: _shape(out) for i, out in enumerate(look.outputs, 1)}
    tables = [i for i, shape in shapes.items() if shape is not None]
    fours = [i for i in tables if (shapes[i] or (0, 0))[1] == 4]
    boxes = fours[0] if fours else tables[0] if tables else 0
    others = [i for i in tables if i != boxes]
    numbers = tuple(str(i) for i in range(1, len(look.outputs) + 1))
    same = not others or not fours
    rows, columns = shapes.get(boxes) or (1, 1)
    return (
        Question("boxes", "which output holds the boxes (by number)?", numbers, str(boxes) if boxes else ""),
        Question("objects", "does each object take a row or a column?", ("rows", "columns"), "columns" if columns > 4 * rows > 16 else "rows"),
        Question("box_at", "in which column do a box's four numbers begin?", (), "0"),
        Question("box", "what are they?", BOXES, "xyxy"),
        Question("unit", "in pixels of the input, or shares of it?", UNITS, "px"),
        Question("scores", "which output holds the scores?", numbers, str(boxes if same else others[0])),
        Question("score_at", "in which column do the scores begin?", (), "4" if same else "0"),
        Question("per_class", "is there a score for each class?", ("yes", "no"), "yes"),
        Question("classes", "which output holds the class numbers, if not every class has a score?", ("none", *numbers), "none"),
        Question("class_at", "in which column?", (), "5" if same else "0"),
        Question("first_class", "the number of the first class", (), "0"),
        Question("objectness_at", "is there an objectness that multiplies the scores, and in which column of their output?", (), "none"),
        Question("activation", "how do its numbers become scores?", ACTIVATIONS, "none"),
        Question("nms", "must overlapping boxes still be removed?", ("yes", "no"), "yes"),
        Question("count", "how many classes does it have, if its outputs do not tell?", (), str(len(look.names) or 1)),
        Question("fit", "how does a picture get its input's shape?", FITS, "letterbox"),
        Question("colour", HOW_COLOUR, COLOURS, "rgb"),
        Question("range", HOW_RANGE, tuple(RANGES), "share"),
    )  # fmt: skip


def match(look: Look) -> Match | None:
    """The model as the answers say; None unless `family=form` or an output for the boxes was answered.

    Raises:
        InvalidInput: an answer cannot be.
    """
    if look.answers.get("family") != "form" and "boxes" not in look.answers:
        return None
    asks = tuple(
        Question(q.key, q.text, q.choices, look.answers.get(q.key, q.proposal)) for q in questions(look)
    )
    say = {q.key: q.proposal for q in asks}
    for q in asks:
        demand(look, q)
    turned = say["objects"] == "columns"
    outputs, loose, head, widths = [], [], [("turned", int(turned))], {}
    for role in _LISTS:
        if role == "classes" and (say["per_class"] == "yes" or say["classes"] == "none"):
            continue
        out = look.outputs[int(say[role]) - 1]
        shape = _shape(out)
        if shape is None:
            raise InvalidInput(f"output {say[role]} is no table of numbers", where=look.where)
        widths[role] = shape[0 if turned and shape[1] > 1 else 1]
        outputs.append((role, out.name))
        if not _has_batch(out):
            loose.append(role)
    for key, role in (
        ("box_at", "boxes"),
        ("score_at", "scores"),
        ("class_at", "classes"),
        ("objectness_at", "scores"),
    ):
        if role in widths:
            head.append(
                (key, _column(say[key], widths[role] - (3 if key == "box_at" else 0), key, look.where))
            )
    first = _number(say["first_class"], "first_class", look.where)
    head += [
        ("box", BOXES.index(say["box"])), ("share", UNITS.index(say["unit"])), ("first", first),
        ("activation", ACTIVATIONS.index(say["activation"])), ("nms", int(say["nms"] == "yes")), ("per_class", int(say["per_class"] == "yes")),
    ]  # fmt: skip
    behind = dict(head)["score_at"]
    n = widths["scores"] - behind if say["per_class"] == "yes" else _number(say["count"], "count", look.where)
    mean, std = RANGES[say["range"]]
    if say["colour"] == "bgr":  # a card names them in the order of the channels
        mean, std = mean[::-1], std[::-1]
    return Match(
        "form", "detect", tuple(outputs), n, resize=next(f for f in FITS if f == say["fit"]), colour=say["colour"], mean=mean, std=std,
        loose=tuple(loose), head=tuple(head), why=("as the answers say",), asks=asks,
    )  # fmt: skip


def decode(outputs: Mapping[str, Array], card: ModelCard, *, score: float, iou: float) -> Found:
    """Boxes of one picture in input pixels, after per-class NMS where the answers ask for it.

    Args:
        outputs: "boxes", "scores" and perhaps "classes", tables of one row an object (or turned), as answered.
    """
    boxes = _table(outputs, card, "boxes")[:, card.get("box_at") : card.get("box_at") + 4].astype(np.float64)
    table = _table(outputs, card, "scores").astype(np.float64)
    at = card.get("score_at")
    raw = table[:, at:] if card.get("per_class") else table[:, at : at + 1]
    match card.get("activation"):
        case 1:
            raw = 1 / (1 + np.exp(-np.clip(raw, -60, 60)))
        case 2:
            up = np.exp(raw - raw.max(axis=1, keepdims=True))
            raw = up / up.sum(axis=1, keepdims=True)
    objectness = card.get("objectness_at", -1)
    if objectness >= 0:
        raw = raw * table[:, objectness : objectness + 1]
    n = len(boxes)
    if card.get("per_class"):
        classes = raw.argmax(axis=1) if n else np.zeros(0, np.int64)
    elif "classes" in outputs:
        values = _table(outputs, card, "classes")[:, card.get("class_at")].astype(np.float64)
        classes = np.nan_to_num(values, nan=-1.0, posinf=-1.0, neginf=-1.0).astype(np.int64) - card.get(
            "first"
        )
    else:
        classes = np.zeros(n, np.int64)
    best = raw[np.arange(n), classes if card.get("per_class") else 0]
    xyxy = _corners(boxes, card)
    good = (best >= score) & np.isfinite(xyxy).all(axis=1) & (xyxy[:, 2:] > xyxy[:, :2]).all(axis=1)
    good &= (classes >= 0) & (classes < len(card.labels))
    kept = np.flatnonzero(good)
    kept = kept[np.argsort(-best[kept], kind="stable")[:MAX_CANDIDATES]]
    if card.get("nms"):
        kept = kept[nms(xyxy[kept], classes[kept], iou)]
    return Found(xyxy[kept], np.minimum(best[kept], 1.0), classes[kept].astype(np.int64))


def _corners(boxes: Array, card: ModelCard) -> Array:
    a, b = boxes[:, :2], boxes[:, 2:]
    match BOXES[card.get("box")]:
        case "cxcywh":
            xyxy = np.concatenate([a - b / 2, a + b / 2], axis=1)
        case "xywh":
            xyxy = np.concatenate([a, a + b], axis=1)
        case "yxyx":
            xyxy = boxes[:, [1, 0, 3, 2]]
        case _:
            xyxy = boxes
    return xyxy * np.array(card.input_wh * 2, np.float64) if card.get("share") else xyxy


def _table(outputs: Mapping[str, Array], card: ModelCard, role: str) -> Array:
    """A role's output as (objects, columns)."""
    value = outputs[role]
    while value.ndim > 2 and value.shape[0] == 1:
        value = value[0]
    if value.ndim == 1:
        return value.reshape(-1, 1)
    return value.T if card.get("turned") else value


def _has_batch(out: Output) -> bool:
    return out.value.ndim >= 2 and out.value.shape[0] == 1 and (out.value.ndim > 2 or out.value.shape[1] > 1)


def _shape(out: Output) -> tuple[int, int] | None:
    """(rows, columns) of an output that can be a table; a list is one column."""
    value = out.value[0] if _has_batch(out) else out.value
    while value.ndim > 2 and value.shape[0] == 1:
        value = value[0]
    if value.ndim not in (1, 2) or value.dtype.kind not in "fiu":
        return None
    return (len(value), 1) if value.ndim == 1 else (value.shape[0], value.shape[1])


def _column(text: str, width: int, key: str, where: str) -> int:
    if text == "none":
        return -1
    value = _number(text, key, where)
    if value >= width:
        raise InvalidInput(f"there is no column {value} for {key}", where=where, remedy=f"0 to {width - 1}")
    return value


def _number(text: str, key: str, where: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > MAX_LABELS:
        raise InvalidInput(f"{text!r} is no answer to {key}", where=where, remedy="a whole number from 0")
    return int(text)

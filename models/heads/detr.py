"""DETR and its kin: one row a query, boxes as centre and size in shares of the input, class scores beside them; no NMS.

Told by two outputs (1, queries, 4) and (1, queries, classes), or one (1, queries, 4 + classes), whose number of rows is no
grid of the input. With a "no object" class the scores are a softmax over it (DETR, YOLOS), else a sigmoid each (RT-DETR,
D-FINE, Deformable DETR), where every pair of query and class is a candidate.
Sources: Carion et al., DETR (arXiv 2005.12872); Zhao et al., RT-DETR (arXiv 2304.08069); Peng et al., D-FINE (arXiv 2410.13842).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.card import ModelCard
from models.found import Found
from models.heads.look import Look, Match, Output, Question, entered
from models.session import Array

MAX_QUERIES = 2000
SOFTMAX, SIGMOID, NONE = 0, 1, 2
_ACTIVATIONS = {"softmax": SOFTMAX, "sigmoid": SIGMOID, "none": NONE}


def match(look: Look) -> Match | None:
    """Boxes and scores of equally many queries; boxes are shares of the input."""
    tables = [
        out
        for out in look.outputs
        if out.value.ndim == 3 and out.value.shape[0] == 1 and out.value.dtype.kind == "f"
    ]
    for boxes in tables:
        rows = boxes.value.shape[1]
        if boxes.value.shape[2] != 4 or not 1 <= rows <= MAX_QUERIES or not _shares(boxes.value):
            continue
        others = [
            out
            for out in tables
            if out is not boxes and out.value.shape[1] == rows and out.value.shape[2] > 1
        ]
        if len(others) == 1:
            return _match(look, (("boxes", boxes.name), ("scores", others[0].name)), others[0].value[0], rows)
    for table in tables:
        rows, columns = table.value.shape[1:]
        if rows <= MAX_QUERIES and columns > 4 and _shares(table.value[..., :4]) and _is_alone(table, tables):
            return _match(look, (("table", table.name),), table.value[0, :, 4:], rows)
    return None


def _is_alone(table: Output, tables: list[Output]) -> bool:
    return all(out is table or out.value.shape[1] != table.value.shape[1] for out in tables)


def _shares(boxes: Array) -> bool:
    """Centre and size as shares of the input: what every query gives, found or not."""
    return bool(boxes.size and boxes.min() >= -1.0 and boxes.max() <= 2.0 and (boxes[..., 2:] >= 0).all())


def _match(look: Look, outputs: tuple[tuple[str, str], ...], scores: Array, rows: int) -> Match:
    n = scores.shape[1]
    probable = bool(scores.min() >= 0 and scores.max() <= 1)
    summing = probable and bool(np.allclose(scores.sum(axis=1), 1.0, atol=1e-3))
    asks = []
    if len(look.names) in (n, n - 1) and look.names:
        spare = len(look.names) == n - 1
        why = "it names " + (
            "one class fewer than it scores: the last is “no object”" if spare else "every class it scores"
        )
    elif "no_object" in look.answers:
        spare, why = look.answers["no_object"] == "yes", "as answered"
    else:
        # COCO's 91 numbers and one for nothing: DETR as published.
        spare, why = n == 92 or summing, "92 columns are COCO's 91 numbers and “no object”" if n == 92 else ""
    if not look.names:
        asks.append(
            Question("no_object", "is its last class “no object”?", ("yes", "no"), "yes" if spare else "no")
        )
    activation = SOFTMAX if spare and not probable else SIGMOID if not probable else NONE
    if "activation" in look.answers:
        activation = _ACTIVATIONS.get(look.answers["activation"], activation)
    kind = next(name for name, value in _ACTIVATIONS.items() if value == activation)
    asks.append(Question("activation", "how do its numbers become scores?", tuple(_ACTIVATIONS), kind))
    found = Match(
        "detr", "detect", outputs, n - spare, pad=0, head=(("activation", activation), ("spare", int(spare))), score_micro=500_000,
        why=(f"{rows} queries with boxes in shares of the input and {n} class scores each", *([why] if why else [])),
        asks=tuple(asks),
    )  # fmt: skip
    # DETR itself was trained on pictures less ImageNet's mean; the real-time ones on plain shares of 255.
    return entered(
        look, found, fit="stretch", scale="imagenet" if spare else "share", asking=("fit", "range")
    )


def decode(outputs: Mapping[str, Array], card: ModelCard, *, score: float, iou: float) -> Found:
    """Boxes of one picture in input pixels; `iou` is not used: the network itself gives each object once.

    Args:
        outputs: "boxes" (queries, 4) and "scores" (queries, classes), or "table" (queries, 4 + classes).
    """
    if "table" in outputs:
        boxes, raw = outputs["table"][:, :4], outputs["table"][:, 4:]
    else:
        boxes, raw = outputs["boxes"], outputs["scores"]
    raw = raw.astype(np.float64)
    spare, activation = card.get("spare"), card.get("activation")
    if activation == SOFTMAX:
        with np.errstate(invalid="ignore"):
            up = np.exp(raw - raw.max(axis=1, keepdims=True))
        scores = up / up.sum(axis=1, keepdims=True)
    elif activation == SIGMOID:
        scores = 1 / (1 + np.exp(-np.clip(raw, -60, 60)))
    else:
        scores = raw
    scores = scores[:, : scores.shape[1] - spare] if spare else scores
    if spare:  # a query is one object of its best class
        rows = np.arange(len(scores))
        classes = scores.argmax(axis=1) if scores.shape[1] else np.zeros(0, np.int64)
        best = scores[rows, classes]
    else:  # every pair of query and class, the best as many as there are queries
        flat = scores.ravel()
        top = np.argsort(-flat, kind="stable")[: len(scores)]
        rows, classes, best = top // scores.shape[1], top % scores.shape[1], flat[top]
    w, h = card.input_wh
    cxcywh = boxes[rows].astype(np.float64) * np.array([w, h, w, h], np.float64)
    half = cxcywh[:, 2:] / 2
    xyxy = np.concatenate([cxcywh[:, :2] - half, cxcywh[:, :2] + half], axis=1)
    good = np.flatnonzero((best >= score) & np.isfinite(xyxy).all(axis=1) & (half > 0).all(axis=1))
    good = good[np.argsort(-best[good], kind="stable")]
    return Found(xyxy[good], np.minimum(best[good], 1.0), classes[good].astype(np.int64))

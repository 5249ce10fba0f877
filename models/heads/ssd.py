"""SSD and what ends like it: boxes as shares of the input.

Told by one of three shapes:
    (1, 1, n, 7)                            picture, class, score, x0 y0 x1 y1: Caffe's and OpenVINO's DetectionOutput
    (1, n, 4) with (1, n) twice             finished objects with y0 x0 y1 x1, class numbers from 1: TensorFlow's export
    (1, n, 4) with (1, n, 1 + classes)      every prior with its scores, class 0 being the background, more than 2,000 of them
Source: Liu et al., SSD (arXiv 1512.02325).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.card import ModelCard
from models.found import Found, nms
from models.heads.detr import MAX_QUERIES
from models.heads.look import HOW_FIRST, HOW_MANY, Look, Match, Output, Question, entered, number
from models.session import Array

MAX_CANDIDATES = 4096
ORDERS = ("xyxy", "yxyx")
ROWS, LISTS, PRIORS = 0, 1, 2


def match(look: Look) -> Match | None:
    """One of the shapes above."""
    for out in look.outputs:
        if out.value.ndim == 4 and out.value.shape[:2] == (1, 1) and out.value.shape[3] == 7:
            return _match(look, (("rows", out.name),), ROWS, "rows of picture, class, score and four shares")
    for boxes in look.outputs:
        if (
            boxes.value.ndim != 3
            or boxes.value.shape[0] != 1
            or boxes.value.shape[2] != 4
            or not _shares(boxes.value)
        ):
            continue
        n = boxes.value.shape[1]
        lists = [o for o in look.outputs if o.value.shape == (1, n)]
        whole = [o for o in lists if _whole(o)]
        scores = [o for o in lists if o not in whole]
        if len(whole) == 1 and len(scores) == 1:
            outputs = (("boxes", boxes.name), ("classes", whole[0].name), ("scores", scores[0].name))
            return _match(
                look,
                outputs,
                LISTS,
                f"{n} finished objects with boxes in shares, whole class numbers and scores",
            )
        tables = [
            o
            for o in look.outputs
            if o.value.ndim == 3 and o.value.shape[:2] == (1, n) and o is not boxes and o.value.shape[2] > 1
        ]
        if n > MAX_QUERIES and len(tables) == 1:
            priors = (("boxes", boxes.name), ("scores", tables[0].name))
            count = tables[0].value.shape[2]
            return _match(
                look,
                priors,
                PRIORS,
                f"{n} prior boxes in shares with {count} scores each",
                count - 1,
                tables[0].value,
            )
    return None


def _match(
    look: Look,
    outputs: tuple[tuple[str, str], ...],
    kind: int,
    why: str,
    count: int = 0,
    scores: Array | None = None,
) -> Match:
    asks = []
    head = [("kind", kind)]
    order = look.answers.get("box", "yxyx" if kind == LISTS else "xyxy")
    if kind != ROWS:
        asks.append(Question("box", "in which order are a box's numbers?", ORDERS, order))
    head.append(("order", int(order == "yxyx")))
    if kind == PRIORS:
        assert scores is not None
        sums = scores[0].sum(axis=1)
        head.append(("softmax", int(not (scores.min() >= 0 and np.allclose(sums, 1, atol=1e-2)))))
    else:
        first = look.answers.get("first_class", "1")
        asks.append(
            Question(
                "first_class",
                HOW_FIRST,
                ("0", "1"),
                first,
            )
        )
        head.append(("first", int(first == "1")))
        count = len(look.names) or number(look, "classes", 90)
        if not look.names:
            asks.append(Question("classes", HOW_MANY, (), str(count)))
    found = Match(
        "ssd", "detect", outputs, count, head=tuple(head), score_micro=500_000, why=(why,), asks=tuple(asks)
    )
    return entered(
        look, found, fit="stretch", scale="byte" if kind == LISTS else "signed", asking=("range", "colour")
    )


def _shares(boxes: Array) -> bool:
    return bool(boxes.size and np.isfinite(boxes).all() and boxes.min() >= -1 and boxes.max() <= 2)


def _whole(out: Output) -> bool:
    """Class numbers, also where they are written as reals."""
    return bool(out.value.size and (out.value == np.rint(out.value)).all() and out.value.max() >= 1)


def decode(outputs: Mapping[str, Array], card: ModelCard, *, score: float, iou: float) -> Found:
    """Boxes of one picture in input pixels; only the priors need NMS.

    Args:
        outputs: "rows" (1, n, 7); or "boxes" (n, 4), "classes" (n,), "scores" (n,); or "boxes" (n, 4), "scores" (n, 1 + classes).
    """
    kind = card.get("kind")
    if kind == ROWS:
        rows = outputs["rows"].reshape(-1, 7).astype(np.float64)
        boxes, best, numbers = rows[:, 3:], rows[:, 2], rows[:, 1]
    elif kind == LISTS:
        boxes = outputs["boxes"].astype(np.float64)
        best, numbers = outputs["scores"].astype(np.float64), outputs["classes"].astype(np.float64)
    else:
        boxes, raw = outputs["boxes"].astype(np.float64), outputs["scores"].astype(np.float64)
        if card.get("softmax"):
            up = np.exp(raw - raw.max(axis=1, keepdims=True))
            raw = up / up.sum(axis=1, keepdims=True)
        # Every pair of prior and class, as its makers do: two classes may share a place.
        place, kinds = (raw[:, 1:] >= score).nonzero()
        boxes, best, numbers = boxes[place], raw[place, 1 + kinds], kinds.astype(np.float64)
    classes = np.nan_to_num(numbers, nan=-1.0, posinf=-1.0, neginf=-1.0).astype(np.int64) - card.get("first")
    xyxy = (boxes[:, [1, 0, 3, 2]] if card.get("order") else boxes) * np.array(card.input_wh * 2, np.float64)
    good = (best >= score) & np.isfinite(xyxy).all(axis=1) & (xyxy[:, 2:] > xyxy[:, :2]).all(axis=1)
    good &= (classes >= 0) & (classes < len(card.labels))
    kept = np.flatnonzero(good)
    kept = kept[np.argsort(-best[kept], kind="stable")[:MAX_CANDIDATES]]
    if kind == PRIORS:
        kept = kept[nms(xyxy[kept], classes[kept], iou)]
    return Found(xyxy[kept], np.minimum(best[kept], 1.0), classes[kept])

"""Detectors that end with finished objects: a box in input pixels, a class number and a score each; how many varies.

    (n, 4), (n,) twice                      boxes, whole numbers, scores: torchvision; with them may come masks (n, 1, h, w) of
                                            the whole input and key points (n, k, 3)
    (1, n, 4), (1, n) twice                 the same with a batch axis: RT-DETR and D-FINE as their authors export them
    (n, 6) and a count                      class, score, corners: Paddle's detectors with their NMS inside; -1 = no object

The last two have further inputs, which say in what size boxes shall be given: they are fed the input's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from models.card import ModelCard, Task
from models.found import Found
from models.heads.look import HOW_FIRST, HOW_MANY, Look, Match, Output, Question, entered, number
from models.session import Array

MAX_OBJECTS = 1000
COCO = 80


def match(look: Look) -> Match | None:
    """One of the forms above."""
    for lead in (0, 1):
        fours = [
            o for o in look.outputs
            if o.value.ndim == 2 + lead and o.value.shape[-1] == 4 and o.value.dtype.kind == "f" and o.value.shape[:lead] == (1,) * lead
        ]  # fmt: skip
        lists = [o for o in look.outputs if o.value.ndim == 1 + lead and o.value.shape[:lead] == (1,) * lead]
        for boxes in fours:
            n = boxes.value.shape[lead]
            whole = [o for o in lists if o.value.shape[lead] == n and o.value.dtype.kind in "iu"]
            real = [o for o in lists if o.value.shape[lead] == n and o.value.dtype.kind == "f"]
            if len(whole) == 1 and len(real) == 1:
                return _match(look, boxes.name, whole[0].name, real[0].name, lead)
    return _counted(look)


def _counted(look: Look) -> Match | None:
    """(n, 6) with whole numbers in the first column and shares in the second, and a whole number alone."""
    rows = [o for o in look.outputs if o.value.ndim == 2 and o.value.shape[1] == 6 and _are_rows(o.value)]
    counts = [o for o in look.outputs if o.value.size == 1 and o.value.dtype.kind in "iu"]
    if len(rows) != 1 or len(counts) != 1 or len(look.outputs) != 2:
        return None
    count, asks = _classes(look, COCO)
    found = Match(
        "ready", "detect", (("rows", rows[0].name),), count, loose=("rows",), head=(("first", 0),), score_micro=500_000,
        why=("it gives finished objects: rows of class, score and corners, and how many they are",), asks=asks,
    )  # fmt: skip
    # Of Paddle's, RT-DETR alone wants the input's size beside the scale, and takes plain shares of 255.
    scale = "share" if len(look.inputs) > 1 else "imagenet"
    return entered(look, found, fit="stretch", scale=scale, asking=("fit", "range"))


def _are_rows(value: Array) -> bool:
    kinds, shares = value[:, 0], value[:, 1]
    good = bool(((kinds == np.rint(kinds)) & (kinds >= -1)).all())
    return good and bool(((shares >= -1) & (shares <= 1.001)).all()) and value.dtype.kind == "f"


def _match(look: Look, boxes: str, classes: str, scores: str, lead: int) -> Match:
    outputs = [("boxes", boxes), ("classes", classes), ("scores", scores)]
    task: Task = "detect"
    if lead == 0:
        for out in look.outputs:
            if out.value.ndim == 4 and out.value.shape[1] == 1:
                outputs.append(("masks", out.name))
                task = "segment"
            elif _are_points(out):
                outputs.append(("points", out.name))
                task = "pose"
    first = look.answers.get("first_class", "1" if lead == 0 else "0")
    count, asks = _classes(look, 90 if lead == 0 else COCO)
    found = Match(
        "ready", task, tuple(outputs), count, loose=tuple(role for role, _ in outputs) if lead == 0 else (),
        head=(("first", int(first == "1")),), score_micro=500_000,
        why=("it gives finished objects: boxes, class numbers and scores of one length",),
        asks=(Question("first_class", HOW_FIRST, ("0", "1"), first), *asks),
    )  # fmt: skip
    # torchvision's take shares of 255 and do the rest themselves, whatever the shape.
    known = lead == 0 and not look.inputs
    return entered(look, found, fit="stretch", asking=() if known else ("fit", "range"))


def _are_points(out: Output) -> bool:
    return out.value.ndim == 3 and out.value.shape[2] == 3


def _classes(look: Look, usual: int) -> tuple[int, tuple[Question, ...]]:
    """How many classes there are: as many as names, else as answered."""
    if look.names:
        return len(look.names), ()
    count = number(look, "classes", usual)
    return count, (Question("classes", HOW_MANY, (), str(count)),)


def decode(outputs: Mapping[str, Array], card: ModelCard, *, score: float, iou: float) -> Found:
    """Objects of one picture in input pixels; `iou` is not used: the graph has its own NMS or needs none.

    Args:
        outputs: "boxes" (n, 4), "classes" (n,), "scores" (n,), perhaps "masks" (n, 1, h, w) probabilities over the whole
            input, "points" (n, k, 3) x, y, visibility; or "rows" (n, 6).
    """
    if "rows" in outputs:
        rows = outputs["rows"].astype(np.float64)
        kinds, scores, boxes = rows[:, 0], rows[:, 1], rows[:, 2:]
    else:
        boxes, scores = outputs["boxes"].astype(np.float64), outputs["scores"].astype(np.float64)
        kinds = outputs["classes"].astype(np.float64)
    classes = np.nan_to_num(kinds, nan=-1.0, posinf=-1.0, neginf=-1.0).astype(np.int64) - card.get("first")
    good = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    good &= (scores >= score) & (classes >= 0) & (classes < len(card.labels))
    kept = np.flatnonzero(good)
    kept = kept[np.argsort(-scores[kept], kind="stable")[:MAX_OBJECTS]]
    found = Found(boxes[kept], np.minimum(scores[kept], 1.0), classes[kept])
    if "masks" in outputs:
        windows = np.tile(np.array([0.0, 0.0, *card.input_wh]), (len(kept), 1))
        found = replace(found, masks=outputs["masks"][kept, 0].astype(np.float32), windows=windows)
    if "points" in outputs:
        points = outputs["points"][kept].astype(np.float64)
        points[..., 2] = np.clip(points[..., 2], 0, 1)
        found = replace(found, points=points)
    return found

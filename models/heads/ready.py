"""Detectors that end with finished objects: boxes (n, 4) in input pixels, a class number and a score each; n varies.

Told by three outputs of one length: real numbers in fours, whole numbers, and real numbers in 0..1. With them may come
masks (n, 1, h, w) of the whole input and key points (n, k, 3), as torchvision's two-stage detectors give.
With a batch axis it is the official export of RT-DETR and D-FINE, whose second input says in which size boxes shall be given.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.card import Feed, ModelCard, Task
from models.found import Found
from models.heads.look import Look, Match, Question
from models.session import Array


def match(look: Look) -> Match | None:
    """Boxes, whole numbers and scores of one length, with or without a batch axis of one."""
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
    return None


def _match(look: Look, boxes: str, classes: str, scores: str, lead: int) -> Match:
    asks: list[Question] = []
    outputs = [("boxes", boxes), ("classes", classes), ("scores", scores)]
    task: Task = "detect"
    if lead == 0:
        for out in look.outputs:
            if out.value.ndim == 4 and out.value.shape[1] == 1:
                outputs.append(("masks", out.name))
                task = "segment"
            elif out.value.ndim == 3 and out.value.shape[2] == 3 and out.name != boxes:
                outputs.append(("points", out.name))
                task = "pose"
    first = int(look.answers.get("first_class", "1" if lead == 0 else "0"))
    asks.append(
        Question(
            "first_class",
            "does its first class have the number 0 or 1 (0 being the background)?",
            ("0", "1"),
            str(first),
        )
    )
    count = len(look.names)
    if not count:
        told = look.answers.get("classes", "")
        count = int(told) if told.isascii() and told.isdigit() else 0
        asks.append(
            Question(
                "classes",
                "how many classes does it have? (its outputs do not tell)",
                (),
                told or ("90" if lead == 0 else "80"),
            )
        )
        count = count or int(asks[-1].proposal)
    feeds = []
    for name, shape, dtype in look.inputs:
        real = tuple(1 if side is None else side for side in shape)
        if dtype in ("tensor(int64)", "tensor(int32)"):
            feeds.append(Feed(name, dtype[7:-1], real, look.wh))
        else:
            feeds.append(Feed(name, "float32", real, (1,) * int(np.prod(real))))
    return Match(
        "ready", task, tuple(outputs), count, resize="stretch",
        loose=tuple(role for role, _ in outputs) if lead == 0 else (), feeds=tuple(feeds),
        head=(("first", first),), score_micro=500_000,
        why=("it gives finished objects: boxes, class numbers and scores of one length",), asks=tuple(asks),
    )  # fmt: skip


def decode(outputs: Mapping[str, Array], card: ModelCard, *, score: float, iou: float) -> Found:
    """Objects of one picture in input pixels; `iou` is not used: the graph has its own NMS or needs none.

    Args:
        outputs: "boxes" (n, 4), "classes" (n,), "scores" (n,), perhaps "masks" (n, 1, h, w) probabilities over the whole
            input, "points" (n, k, 3) x, y, visibility.
    """
    boxes, scores = outputs["boxes"].astype(np.float64), outputs["scores"].astype(np.float64)
    classes = outputs["classes"].astype(np.int64) - card.get("first")
    good = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    good &= (scores >= score) & (classes >= 0) & (classes < len(card.labels))
    kept = np.flatnonzero(good)
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    masks = outputs.get("masks")
    windows = None
    if masks is not None:
        w, h = card.input_wh
        masks = masks[kept, 0].astype(np.float32)
        windows = np.tile(np.array([0.0, 0.0, w, h]), (len(kept), 1))
    points = outputs.get("points")
    return Found(
        boxes[kept], np.minimum(scores[kept], 1.0), classes[kept],
        None if points is None else points[kept].astype(np.float64), None, masks, windows,
    )  # fmt: skip

"""One vector for the whole picture: class scores (a tag) or an embedding.

Told by one output (1, n) (perhaps with two axes of one behind), or one of each. An embedding is taken for one when it has
unit length, or has no names and its values are neither probabilities nor told to be scores; the person can say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from models.card import ModelCard
from models.found import Found, nothing
from models.heads.look import Look, Match, Output, Question, entered
from models.session import Array

MAX_TAGS = 5
"""A picture gets at most this many classes."""


def match(look: Look) -> Match | None:
    """One or two outputs, each a plain vector."""
    vectors = [out for out in look.outputs if _is_vector(out)]
    if not vectors or len(vectors) != len(look.outputs) or len(vectors) > 2:
        return None
    embedding = next((out for out in vectors if _is_unit(out)), None)
    classes = next((out for out in vectors if out is not embedding), None)
    asks = []
    if len(vectors) == 1 and not look.names:
        one = vectors[0]
        guess = (
            "embed"
            if embedding is one or not (_probable(one) or one.value.size in (1000, 1001))
            else "classify"
        )
        task = look.answers.get("task", guess)
        asks.append(
            Question(
                "task", "is its vector a score for each class, or an embedding?", ("classify", "embed"), task
            )
        )
        embedding, classes = (one, None) if task == "embed" else (None, one)
    if classes is None:
        assert embedding is not None
        return _entered(
            look,
            Match(
                "whole", "embed", (("vector", embedding.name),), 0, asks=tuple(asks),
                why=(f"its one output is a vector of {embedding.value.size} numbers without class names",),
            ),
        )  # fmt: skip
    n = classes.value.size
    outputs = [("scores", classes.name)] + ([("vector", embedding.name)] if embedding is not None else [])
    probable = _probable(classes)
    why = (
        f"it gives {n} class probabilities"
        if probable
        else f"it gives {n} class scores, which a softmax makes probabilities"
    )
    return _entered(
        look,
        Match(
            "whole", "classify", tuple(outputs), n, asks=tuple(asks), head=(("softmax", int(not probable)),), score_micro=500_000,
            why=(why,),
        ),
    )  # fmt: skip


def _entered(look: Look, found: Match) -> Match:
    """How pictures get into it: known for YOLO's classifiers by their metadata (YOLOv5, which names no task, takes
    ImageNet's mean off and shrinks pictures without smoothing), else asked."""
    known = "stride" in look.metadata
    scale = "share" if known and "task" in look.metadata else "imagenet"
    if known and "task" not in look.metadata:
        found = replace(found, head=(*found.head, ("plain", 1)))
    return entered(look, found, fit="crop", scale=scale, asking=() if known else ("fit", "range"))


def _is_vector(out: Output) -> bool:
    shape = out.value.shape
    return (
        out.value.dtype.kind == "f"
        and len(shape) in (2, 4)
        and shape[0] >= 1
        and shape[1] > 1
        and all(side == 1 for side in shape[2:])
    )


def _is_unit(out: Output) -> bool:
    return bool(abs(float(np.linalg.norm(out.value[0])) - 1.0) < 1e-2) and not _probable(out)


def _probable(out: Output) -> bool:
    values = out.value[0].ravel()
    return bool(values.min() >= 0 and abs(float(values.sum()) - 1.0) < 1e-2)


def decode(outputs: Mapping[str, Array], card: ModelCard, *, score: float, iou: float) -> Found:
    """The classes over the threshold, best first, at most MAX_TAGS, over the whole input; and the vector, unit length.

    Args:
        outputs: "scores" (classes,) and "vector" (d,), either or both, axes of one allowed behind.
    """
    vector = outputs.get("vector")
    if vector is not None:
        flat = vector.astype(np.float64).ravel()
        length = float(np.linalg.norm(flat))
        vector = (flat / length if length > 0 and np.isfinite(length) else np.zeros_like(flat)).astype(
            np.float32
        )
    if "scores" not in outputs:
        return nothing(vector)
    values = outputs["scores"].astype(np.float64).ravel()
    if card.get("softmax"):
        up = np.exp(values - values.max())
        values = up / up.sum()
    best = np.argsort(-values, kind="stable")[:MAX_TAGS]
    best = best[values[best] >= score]
    w, h = card.input_wh
    boxes = np.tile(np.array([0.0, 0.0, w, h]), (len(best), 1))
    return Found(boxes, np.minimum(values[best], 1.0), best.astype(np.int64), vector=vector)

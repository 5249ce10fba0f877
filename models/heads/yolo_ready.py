"""Detections that are ready: selected or suppressed inside the network, a row each, so nothing is suppressed again.

    (1, n, 6 + extras)      x0, y0, x1, y1, score, class: YOLOv10, v26 and whatever was exported with `nms=True`
    (1, n, 7)               cx, cy, w, h, score, class, angle: the same of oriented boxes
    (n, 7)                  picture, x0, y0, x1, y1, class, score: YOLOv7 and v6 with NMS appended for onnxruntime
    (1, n, 4), (1, n) twice, and (1,) or (1, 1) whole numbers: boxes, scores, classes and how many of them count
                            (EfficientNMS of TensorRT and what gives the same: YOLOv6, v7, v8, mmyolo)

All in input pixels. Rows that do not count are zero. How many classes there are stands in no shape: the names tell it, or a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from annotation.errors import InvalidInput
from models.card import MAX_LABELS, ModelCard, Task
from models.found import Found, nothing
from models.heads import shapes
from models.heads.look import Look, Match, Output, Question
from models.heads.yolo import MAX_BOXES, Extras, entered, keypoint_shape
from models.session import Array

MAX_ROWS = 5000
COCO = 80


def match(look: Look) -> Match | None:
    """One of the forms above."""
    found = _four(look) or _appended(look) or _rows(look)
    if found is None:
        return None
    return entered(look, found, "letterbox")


def _rows(look: Look) -> Match | None:
    """(1, n, 6 + extras), told by whole numbers in the sixth column and shares in the fifth, or by the file's task."""
    protos = shapes.prototypes(look)
    for out in look.outputs:
        value = out.value
        if value.ndim != 3 or value.dtype.kind != "f" or not 1 <= value.shape[1] <= MAX_ROWS:
            continue
        width = value.shape[2] - 6
        if width < 0 or not _fitting(value[0], score=4, kind=5):
            continue
        if not value.any() and not look.names:
            continue  # nothing found in the trial's plain picture, and nobody says what it is
        if value.any() and float(np.nanmax(value[0, :, :4])) <= 2:
            continue  # shares of the picture, not pixels
        extras = _extras(look, value[0], width, protos)
        if extras is None:
            continue
        classes, asks = _classes(look, value[0, :, 5])
        task: Task = extras.task
        four = "their boxes are centre and size" if task == "obb" else "their boxes are two corners"
        return Match(
            "yolo_ready",
            task,
            (("rows", out.name), *((("protos", extras.protos),) if extras.protos else ())),
            classes,
            head=extras.head,
            why=(
                f"“{out.name}” has {value.shape[1]} rows that are detections already, each with a score and a class",
                four,
                *extras.why,
            ),
            asks=asks,
        )
    return None


def _appended(look: Look) -> Match | None:
    """(n, 7) with the picture's number in front; n may be 0 for the trial's plain picture."""
    for out in look.outputs:
        value = out.value
        if value.ndim != 2 or value.shape[1] != 7 or value.dtype.kind != "f" or len(value) > MAX_ROWS:
            continue
        if len(value) and (not _fitting(value, score=6, kind=5) or (value[:, 0] != 0).any()):
            continue
        classes, asks = _classes(look, value[:, 5])
        return Match(
            "yolo_ready",
            "detect",
            (("rows", out.name),),
            classes,
            loose=("rows",),
            head=(("numbered", 1),),
            why=(
                f"“{out.name}” has a row of 7 for each detection: the picture's number, corners, class, score",
            ),
            asks=asks,
        )
    return None


def _four(look: Look) -> Match | None:
    """A count, boxes, scores and classes, told by their shapes; scores from classes by their types, else by their values."""
    for boxes in look.outputs:
        if boxes.value.ndim != 3 or boxes.value.shape[2] != 4 or boxes.value.dtype.kind != "f":
            continue
        n = boxes.value.shape[1]
        lists = [out for out in look.outputs if out.value.shape == boxes.value.shape[:2] and n > 1]
        counts = [
            out
            for out in look.outputs
            if out.value.shape in ((len(boxes.value),), (len(boxes.value), 1))
            and out.value.dtype.kind in "iu"
        ]
        if len(lists) != 2 or len(counts) != 1:
            continue
        whole = [out for out in lists if out.value.dtype.kind in "iu"]
        if len(whole) != 1:
            whole = [out for out in lists if (out.value == np.round(out.value)).all()]
        if len(whole) != 1:
            continue
        scores = next(out for out in lists if out is not whole[0])
        classes, asks = _classes(look, whole[0].value)
        return Match(
            "yolo_ready",
            "detect",
            (
                ("boxes", boxes.name),
                ("scores", scores.name),
                ("classes", whole[0].name),
                ("count", counts[0].name),
            ),
            classes,
            why=(f"“{boxes.name}” has {n} boxes, and there are a score and a class for each, and a count",),
            asks=asks,
        )
    return None


def _fitting(rows: Array, *, score: int, kind: int) -> bool:
    """Shares in the one column, whole numbers from 0 up in the other; -1 where a number belongs to no class."""
    shares, kinds = rows[:, score].astype(np.float64), rows[:, kind].astype(np.float64)
    return bool(
        (shares >= 0).all()
        and (shares <= 1.001).all()
        and (kinds >= -1).all()
        and (kinds < MAX_LABELS).all()
        and (kinds == np.round(kinds)).all()
    )


def _extras(look: Look, rows: Array, width: int, protos: Output | None) -> Extras | None:
    """What follows score and class in `width` numbers; None when nothing fits."""
    if width == 0:
        return Extras()
    if protos is not None and protos.value.shape[1] == width:
        return Extras(masks=width, protos=protos.name)
    told = keypoint_shape(look)
    if told is not None:
        return Extras(points=told[0], dims=told[1]) if told[0] * told[1] == width else None
    if width == 1:
        return Extras(angle=1)
    if not rows.any():
        return None
    seen = rows[:, 8::3]
    if width >= 6 and width % 3 == 0 and ((seen >= 0) & (seen <= 1.001)).all():
        return Extras(points=width // 3, dims=3)
    return Extras(points=width // 2, dims=2) if width >= 4 and width % 2 == 0 else None


def _classes(look: Look, seen: Array) -> tuple[int, tuple[Question, ...]]:
    """How many classes there are: as many as names, else as answered, else COCO's when what was seen allows it."""
    if "labels" in look.answers:
        return len(look.answers["labels"].split(",")), ()
    if look.names:
        return len(look.names), ()
    least = int(seen.max(initial=0)) + 1
    proposal = str(max(COCO, least))
    text = look.answers.get("classes", proposal)
    if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= MAX_LABELS:
        raise InvalidInput(
            f"{text[:20]!r} is no number of classes for it", where=look.where,
            remedy=f"a number from {least} to {MAX_LABELS}",
        )  # fmt: skip
    ask = Question(
        "classes", "how many classes it has (its file names none; its rows hold class numbers)", proposal=text
    )
    return int(text), (ask,)


def decode(outputs: Mapping[str, Array], card: ModelCard, *, score: float, iou: float) -> Found:
    """Detections of one picture in input pixels, those of the score asked for.

    Args:
        outputs: "rows" (n, 6 or more), and "protos" (masks, h, w) when it has masks; or "boxes" (n, 4), "scores" (n,),
            "classes" (n,), "count" (1,) or (). iou: not used, the network has suppressed already.
    """
    rows = outputs.get("rows")
    if rows is None:
        n = int(np.asarray(outputs["count"]).ravel()[0])
        parts = [outputs[role][:n].astype(np.float64) for role in ("boxes", "scores", "classes")]
        rows = np.concatenate([parts[0], parts[1][:, None], parts[2][:, None]], axis=1)
    elif card.get("numbered"):
        rows = rows[:, [1, 2, 3, 4, 6, 5]]
    # A row of zeros has no size, so that it does not count whatever score is asked for.
    good = (rows[:, 4] >= score) & np.isfinite(rows[:, :6]).all(axis=1)
    good &= (rows[:, 5] >= 0) & (rows[:, 5] < len(card.labels))
    good &= (rows[:, 2:4] > (0 if card.get("angle") else rows[:, :2])).all(axis=1)
    rows = rows[good].astype(np.float64)
    rows = rows[np.argsort(-rows[:, 4], kind="stable")[:MAX_BOXES]]
    if not len(rows):
        return nothing()
    classes = rows[:, 5].astype(np.int64)
    if card.get("angle"):
        return shapes.oriented(rows[:, [0, 1, 2, 3, 6]], rows[:, 4], classes)
    found = Found(rows[:, :4], np.minimum(rows[:, 4], 1.0), classes)
    if card.get("masks"):
        return shapes.masked(found, rows[:, 6:], outputs["protos"], card.input_wh)
    if card.get("points"):
        return replace(found, points=shapes.points(rows[:, 6:], card.get("points"), card.get("dims")))
    return found

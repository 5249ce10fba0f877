"""YOLOv5 and v7 cut off before their last step: one output a stride, raw, three anchors a cell.

    (1, 3, h / s, w / s, 5 + classes)   at every stride
    (1, 3 * (5 + classes), h / s, w / s)   the same before it is turned, as chip makers' exporters give it

Centre = (2 sigmoid - 0.5 + cell) * stride, size = (2 sigmoid)^2 * anchor. The anchors stand in no output: those of YOLOv5 on COCO
are taken and the person is asked. Source: the description of YOLOv5's head (docs.ultralytics.com/yolov5, "Architecture").
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from annotation.errors import InvalidInput
from models.card import ModelCard
from models.found import Found
from models.heads import shapes, yolo
from models.heads.look import Look, Match, Output, Question
from models.session import Array

ANCHORS = {
    3: "10,13,16,30,33,23,30,61,62,45,59,119,116,90,156,198,373,326",
    4: "19,27,44,40,38,94,96,68,86,152,180,137,140,301,303,264,238,542,436,615,739,380,925,792",
}
"""Width, height of YOLOv5's anchors in pixels by number of strides: 8, 16, 32 and 8, 16, 32, 64; smallest stride first."""
STRIDES = {3: (8, 16, 32), 4: (8, 16, 32, 64)}
MILLI = 1000


def match(look: Look) -> Match | None:
    """As many outputs as strides, each on the grid of its stride, all with one number of columns."""
    for strides in STRIDES.values():
        outs = [out for s in strides if (out := _at(look, s)) is not None]
        if len(outs) != len(strides) or len({(o.value.ndim, _columns(o)) for o in outs}) != 1:
            continue
        columns, flat = _columns(outs[0]), outs[0].value.ndim == 4
        if columns < 6 or (flat and outs[0].value.shape[1] % 3):
            continue
        low = min(float(shapes.range_of(out.value.reshape(1, -1))[0][0]) for out in outs)
        high = max(float(shapes.range_of(out.value.reshape(1, -1))[1][0]) for out in outs)
        done = low >= 0 and high <= 1  # the sigmoid is inside
        text, ask = _anchors(look, len(strides))
        head = (("strides", len(strides)), ("flat", int(flat)), ("sigmoid", int(done)))
        numbers = tuple((f"anchor_{i:02d}", value) for i, value in enumerate(text))
        found = Match(
            "yolo_anchors",
            "detect",
            tuple((f"s{s}", out.name) for s, out in zip(strides, outs, strict=True)),
            columns - 5,
            head=tuple((k, v) for k, v in head if v) + numbers,
            why=(
                f"{len(strides)} outputs on the grids of strides {', '.join(map(str, strides))} with three times 5 + {columns - 5} "
                f"numbers a cell, {'after' if done else 'before'} the sigmoid: YOLOv5 without its last step",
            ),
            asks=(ask,),
        )
        return yolo.entered(look, found, "letterbox")
    return None


def _at(look: Look, stride: int) -> Output | None:
    """The only output on the grid of this stride."""
    w, h = look.wh[0] // stride, look.wh[1] // stride
    fitting = []
    for out in look.outputs:
        shape = out.value.shape
        five = len(shape) == 5 and shape[1:4] == (3, h, w)
        if out.value.dtype.kind == "f" and (five or (len(shape) == 4 and shape[2:] == (h, w))):
            fitting.append(out)
    return fitting[0] if len(fitting) == 1 else None


def _columns(out: Output) -> int:
    shape = out.value.shape
    return int(shape[4] if out.value.ndim == 5 else shape[1] // 3)


def _anchors(look: Look, count: int) -> tuple[tuple[int, ...], Question]:
    """Anchors in thousandths of a pixel as answered, else YOLOv5's."""
    text = look.answers.get("anchors", ANCHORS[count])
    try:
        values = tuple(round(float(part) * MILLI) for part in text[:2000].split(","))
    except (ValueError, OverflowError):
        values = ()
    if len(values) != 6 * count or not all(0 < v < 10_000 * MILLI for v in values):
        raise InvalidInput(
            f"{text[:40]!r} are no anchors for it", where=look.where,
            remedy=f"{6 * count} numbers with commas: width,height of three anchors for each stride, smallest stride first",
        )  # fmt: skip
    return values, Question(
        "anchors",
        "its anchors (its file does not hold them; those of YOLOv5 on COCO are proposed)",
        proposal=text,
    )


def decode(outputs: Mapping[str, Array], card: ModelCard, *, score: float, iou: float) -> Found:
    """Boxes of one picture in input pixels, after per-class NMS.

    Args:
        outputs: "s8", "s16" …: (3, h, w, 5 + classes), or (3 * (5 + classes), h, w) when the card's head says flat.
    """
    count, columns = card.get("strides"), 5 + len(card.labels)
    sigmoid, flat = card.get("sigmoid"), card.get("flat")
    least = score if sigmoid else float(np.log(max(score, 1e-6) / max(1 - score, 1e-6)))
    parts = []
    for i, stride in enumerate(STRIDES[count]):
        raw = outputs[f"s{stride}"]
        cube = raw.reshape(3, columns, *raw.shape[1:]).transpose(0, 2, 3, 1) if flat else raw
        a, y, x = np.nonzero(cube[..., 4] >= least)
        rows = cube[a, y, x].astype(np.float64)
        if not sigmoid:
            rows = 1 / (1 + np.exp(-np.clip(rows, -60, 60)))
        anchors = np.array([card.get(f"anchor_{6 * i + j:02d}") for j in range(6)]).reshape(3, 2) / MILLI
        rows[:, :2] = (rows[:, :2] * 2 - 0.5 + np.stack([x, y], axis=1)) * stride
        rows[:, 2:4] = (rows[:, 2:4] * 2) ** 2 * anchors[a]
        parts.append(rows)
    rows = np.concatenate(parts)
    return yolo.suppressed(rows, rows[:, 5:] * rows[:, 4:5], score=score, iou=iou)[0]

"""YuNet: faces with five landmarks. Three strides of four outputs each: two scores, a box and the landmarks of every cell.

Told by four outputs of each of the three grids, with 1, 1, 4 and 10 columns. The score is the root of the product of the two
scores, so that their order does not matter. Source: Wu et al., YuNet (Machine Intelligence Research 20, 2023).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.card import NEUTRAL, UNIT, ModelCard, Task
from models.found import Found, nms
from models.heads.look import Look, Match, Question
from models.session import Array

STRIDES = (8, 16, 32)
MAX_CANDIDATES = 4096
_COLUMNS = {1: "score", 4: "box", 10: "points"}


def match(look: Look) -> Match | None:
    """Twelve outputs, four to each grid."""
    w, h = look.wh
    if len(look.outputs) != 4 * len(STRIDES):
        return None
    roles = []
    for stride in STRIDES:
        seen = 0
        for out in look.outputs:
            shape = out.value.shape
            if len(shape) != 3 or shape[0] != 1 or shape[1] != (w // stride) * (h // stride):
                continue
            kind = _COLUMNS.get(shape[2])
            if kind is None:
                return None
            if kind == "score":
                seen += 1
                kind = f"score{seen}"
            roles.append((f"{kind}/{stride}", out.name))
    wanted = {f"{kind}/{s}" for kind in ("score1", "score2", "box", "points") for s in STRIDES}
    if {role for role, _ in roles} != wanted or len(roles) != len(wanted):
        return None
    give = look.answers.get("give", "boxes")
    task: Task = "pose" if give == "landmarks" else "detect"
    return Match(
        "faces", task, tuple(roles), 1, resize="stretch" if look.fixed else "pad", colour="bgr", mean=NEUTRAL, std=UNIT, pad=0,
        head=(("multiple", 32), ("longest", 1280)), labels=("face",), score_micro=600_000, iou_micro=300_000,
        why=("four outputs for each of three grids: two scores, a box and five landmarks of every cell",),
        asks=(Question("give", "shall it give the faces' boxes or their landmarks?", ("boxes", "landmarks"), give),),
    )  # fmt: skip


def decode(outputs: Mapping[str, Array], card: ModelCard, *, score: float, iou: float) -> Found:
    """Faces of one picture in input pixels, points being right eye, left eye, nose, right and left corner of the mouth.

    Args:
        outputs: for each stride "score1/8" (cells, 1), "score2/8", "box/8" (cells, 4), "points/8" (cells, 10).
    """
    boxes, points, scores = [], [], []
    for stride in STRIDES:
        columns = card.input_wh[0] // stride
        both = np.clip(outputs[f"score1/{stride}"][:, 0], 0, 1) * np.clip(
            outputs[f"score2/{stride}"][:, 0], 0, 1
        )
        kept = np.flatnonzero(both >= score * score)
        cell = np.stack([kept % columns, kept // columns], axis=1).astype(np.float64)
        raw = outputs[f"box/{stride}"][kept].astype(np.float64)
        with np.errstate(over="ignore"):
            size = np.exp(raw[:, 2:]) * stride
        centre = (raw[:, :2] + cell) * stride
        boxes.append(np.concatenate([centre - size / 2, centre + size / 2], axis=1))
        marks = outputs[f"points/{stride}"][kept].astype(np.float64).reshape(-1, 5, 2)
        points.append((marks + cell[:, None]) * stride)
        scores.append(np.sqrt(both[kept].astype(np.float64)))
    xyxy, landmarks, best = np.concatenate(boxes), np.concatenate(points), np.concatenate(scores)
    good = np.flatnonzero(np.isfinite(xyxy).all(axis=1) & np.isfinite(landmarks).all(axis=(1, 2)))
    order = good[np.argsort(-best[good], kind="stable")[:MAX_CANDIDATES]]
    kept = order[nms(xyxy[order], np.zeros(len(order), np.int64), iou)]
    told: Array | None = (
        np.concatenate([landmarks[kept], np.ones((len(kept), 5, 1))], axis=2) if card.task == "pose" else None
    )
    return Found(xyxy[kept], best[kept], np.zeros(len(kept), np.int64), told)

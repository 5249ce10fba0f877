"""NanoDet and PicoDet: for each cell class scores and, for each of four sides, a distribution over distances (GFL).

Told by pairs of outputs with one row a cell of each stride, one with 4 x bins columns (32 as published) and one with the
classes, with or without a batch axis; or by one output (1, all cells, classes + 32) with named classes (NanoDet-Plus).
Sources: Li et al., Generalized Focal Loss (arXiv 2006.04388); Yu et al., PP-PicoDet (arXiv 2111.00902). NanoDet-Plus counts
a cell from its corner, the others from its middle.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.card import ModelCard
from models.found import Found, nms
from models.heads.look import IMAGENET_MEAN, IMAGENET_STD, Look, Match, Question, cells
from models.session import Array

SIDES = 4
BINS = 8
STRIDES = ((8, 16, 32, 64), (8, 16, 32))
MAX_CANDIDATES = 4096
_STYLES = ("picodet", "nanodet")


def match(look: Look) -> Match | None:
    """All strides' outputs in pairs, or one output for all."""
    for strides in STRIDES:
        found = _pairs(look, strides) or _whole(look, strides)
        if found is not None:
            return found
    return None


def _pairs(look: Look, strides: tuple[int, ...]) -> Match | None:
    if len(look.outputs) != 2 * len(strides):
        return None
    roles, loose, n, sure = [], [], 0, True
    for stride in strides:
        count = cells(*look.wh, (stride,))
        here = [
            o
            for o in look.outputs
            if o.value.shape in ((count, o.value.shape[-1]), (1, count, o.value.shape[-1]))
        ]
        sides = [o for o in here if o.value.shape[-1] == SIDES * BINS]
        scores = [o for o in here if o not in sides]
        if len(here) == 2 and len(sides) == 2:  # as many classes as distances: probabilities are the classes
            scores = [o for o in sides if _probable(o.value)]
            sides = [o for o in sides if o not in scores]
        if len(sides) != 1 or len(scores) != 1 or (n and scores[0].value.shape[-1] != n):
            return None
        n = scores[0].value.shape[-1]
        sure = sure and _probable(scores[0].value)
        for kind, out in (("scores", scores[0]), ("sides", sides[0])):
            roles.append((f"{kind}/{stride}", out.name))
            if out.value.ndim == 2:
                loose.append(f"{kind}/{stride}")
    why = f"for each of the strides {', '.join(map(str, strides))} px {n} scores and {SIDES} x {BINS} distances of every cell"
    return _match(look, tuple(roles), tuple(loose), n, strides, middle=1, sure=sure, why=why)


def _whole(look: Look, strides: tuple[int, ...]) -> Match | None:
    count = cells(*look.wh, strides)
    tables = [o for o in look.outputs if o.value.ndim == 3 and o.value.shape[:2] == (1, count)]
    if len(tables) != 1 or tables[0].value.shape[2] <= SIDES * BINS:
        return None
    n = tables[0].value.shape[2] - SIDES * BINS
    # 8, 16 and 32 px are YOLOX's strides as well: there only the names can tell.
    if len(look.names) != n and (
        look.names or strides != STRIDES[0] or not _probable(tables[0].value[..., :n])
    ):
        return None
    why = f"one row for each of the {count} cells: {n} scores and {SIDES} x {BINS} distances"
    table = (("table", tables[0].name),)
    sure = _probable(tables[0].value[..., :n])
    return _match(look, table, (), n, strides, middle=0, sure=sure, why=why)


def _match(
    look: Look,
    outputs: tuple[tuple[str, str], ...],
    loose: tuple[str, ...],
    n: int,
    strides: tuple[int, ...],
    *,
    middle: int,
    sure: bool,
    why: str,
) -> Match:
    style = look.answers.get("style", "picodet" if middle and len(strides) == 4 else "nanodet")
    # NanoDet takes ImageNet's figures in the order blue, green, red.
    pico = style == "picodet"
    return Match(
        "gfl", "detect", outputs, n, resize="stretch" if pico else "letterbox", colour="rgb" if pico else "bgr",
        mean=IMAGENET_MEAN if pico else (103_530_000, 116_280_000, 123_675_000),
        std=IMAGENET_STD if pico else (57_375_000, 57_120_000, 58_395_000), pad=0, loose=loose,
        head=(("strides", len(strides)), ("middle", middle), ("sigmoid", int(not sure))),
        score_micro=400_000, iou_micro=600_000 if not pico else 500_000, why=(why,),
        asks=(Question("style", "PicoDet (stretched RGB pictures) or NanoDet (padded BGR pictures)?", _STYLES, style),),
    )  # fmt: skip


def _probable(values: Array) -> bool:
    return bool(values.size and values.min() >= 0 and values.max() <= 1)


def decode(outputs: Mapping[str, Array], card: ModelCard, *, score: float, iou: float) -> Found:
    """Boxes of one picture in input pixels, after per-class NMS.

    Args:
        outputs: "scores/8" (cells, classes) and "sides/8" (cells, 4 x bins) and so on for each stride, or "table"
            (cells of all strides, classes + 4 x bins).
    """
    strides = next(s for s in STRIDES if len(s) == card.get("strides"))
    w, h = card.input_wh
    n = len(card.labels)
    begin, boxes, best, kinds = 0, [], [], []
    for stride in strides:
        columns = -(-w // stride)
        if "table" in outputs:
            count = cells(w, h, (stride,))
            table = outputs["table"][begin : begin + count]
            begin += count
            scores, sides = table[:, :n], table[:, n:]
        else:
            scores, sides = outputs[f"scores/{stride}"], outputs[f"sides/{stride}"]
        if card.get("sigmoid"):
            scores = 1 / (1 + np.exp(-np.clip(scores, -60, 60)))
        # Every pair of cell and class, as their makers do: two classes may share a place.
        kept, kind = (scores >= score).nonzero()
        bins = sides[kept].reshape(len(kept), SIDES, sides.shape[1] // SIDES).astype(np.float64)
        up = np.exp(bins - bins.max(axis=2, keepdims=True))
        reach = (up / up.sum(axis=2, keepdims=True)) @ np.arange(bins.shape[2]) * stride
        centre = (
            np.stack([kept % columns, kept // columns], axis=1) * float(stride)
            + card.get("middle") * stride / 2
        )
        boxes.append(np.concatenate([centre - reach[:, :2], centre + reach[:, 2:]], axis=1))
        best.append(scores[kept, kind].astype(np.float64))
        kinds.append(kind)
    xyxy, scores, classes = np.concatenate(boxes), np.concatenate(best), np.concatenate(kinds)
    xyxy = np.clip(xyxy, 0, (w, h, w, h))
    good = np.flatnonzero(np.isfinite(xyxy).all(axis=1) & (xyxy[:, 2:] > xyxy[:, :2]).all(axis=1))
    order = good[np.argsort(-scores[good], kind="stable")[:MAX_CANDIDATES]]
    kept = order[nms(xyxy[order], classes[order], iou)]
    return Found(xyxy[kept], np.minimum(scores[kept], 1.0), classes[kept])

"""The YOLO families that give a table of pixels: a row (or column) a cell with centre, size, perhaps objectness, class scores, extras.

Told apart by the shape of the table, G being the cells of the grids of the strides (three in most, two to five in others):

    (1, 4 + classes + extras, G)    no objectness, transposed: YOLOv8, v9, v11, v12, v26, v10 before its selection, v3u, v5u;
                                    with 3G columns YOLOv7 of those who multiply the objectness in
    (1, 3G, 5 + classes + extras)   objectness, three anchors a cell: YOLOv5, v7
    (1, G, 4) and (1, G, classes)   no objectness, apart: PP-YOLOE, YOLO-NAS, DAMO-YOLO
    (1, G, 5 + classes)             objectness: YOLOX exported with its decoding; YOLOv6 as its authors export it (always 1)

Extras: as many numbers as a second output has prototype masks (segmentation); x, y(, visibility) of key points; one angle.
Without metadata they are told by their values, for class scores lie in 0..1 and pixels and angles do not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.card import NEUTRAL, UNIT, ModelCard, Task
from models.found import Found, nms, nothing
from models.heads import look as look_
from models.heads import shapes
from models.heads.look import Look, Match, Output, Question, boxes_apart, cells
from models.session import Array

STRIDE_SETS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32), (4, 8, 16, 32, 64), (8, 16))
ANCHORS = 3
NEGATIVE = 0.01
"""From this share of negative sizes on it is doubtful that they are sizes."""
HOW_BOX = "are the first four numbers of each two corners (xyxy), or centre and size (cxcywh)?"
MAX_CANDIDATES = 4096
MAX_BOXES = 1000
"""Bounds of one picture: a network gone wild must not make NMS take minutes or flood the record."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What follows the class scores of a row.

    Attributes:
        masks: coefficients of prototype masks. points, dims: key points and numbers of each. angle: 1 for an angle.
        protos: name of the output with the prototypes.
    """

    masks: int = 0
    points: int = 0
    dims: int = 0
    angle: int = 0
    protos: str = ""

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return self.masks + self.points * self.dims + self.angle

    @property
    def task(self) -> Task:
        """What a network with these extras is for."""
        return "segment" if self.masks else "pose" if self.points else "obb" if self.angle else "detect"

    @property
    def head(self) -> tuple[tuple[str, int], ...]:
        """For the card."""
        every = (("masks", self.masks), ("points", self.points), ("dims", self.dims), ("angle", self.angle))
        return tuple((key, value) for key, value in every if value)

    @property
    def why(self) -> tuple[str, ...]:
        """For the reasons."""
        match self.task:
            case "segment":
                why = f"each holds {self.masks} coefficients for the masks of “{self.protos}”"
            case "pose":
                why = f"each holds {self.points} key points of {self.dims} numbers"
            case "obb":
                why = "each holds an angle"
            case _:
                return ()
        return (why,)


def match(look: Look) -> Match | None:
    """One of the shapes above; class names in the metadata decide between a row a cell with and without objectness."""
    found = _apart(look)
    for out in look.outputs:
        if found is None and out.value.ndim == 3 and out.value.dtype.kind == "f":
            found = _table(look, out)
    return found


def _apart(look: Look) -> Match | None:
    """Boxes (1, G, 4) in one output and class scores (1, G, classes) or (1, classes, G) in another."""
    tables = [out for out in look.outputs if out.value.ndim == 3 and out.value.dtype.kind == "f"]
    for strides in STRIDE_SETS:
        grid = cells(*look.wh, strides)
        boxes = [out for out in tables if out.value.shape[1:] == (grid, 4)]
        scores = [out for out in tables if out not in boxes and grid in out.value.shape[1:]]
        if len(boxes) != 1 or len(scores) != 1:
            continue
        high = shapes.range_of(boxes[0].value[0].T)[1]
        given = scores[0].value
        down = given.shape[1] != grid
        if high.max() <= 2 or given.min() < -0.01 or given.max() > 1.01:
            return None  # shares, or scores before their sigmoid: another family
        classes = given.shape[1] if down else given.shape[2]
        head = (("corners", _corners(boxes[0].value[0].T)), ("transposed", int(down)))
        found = Match(
            "yolo",
            "detect",
            (("boxes", boxes[0].name), ("scores", scores[0].name)),
            classes,
            head=tuple((key, value) for key, value in head if value),
            why=(
                f"“{boxes[0].name}” has a box in pixels for each of the {grid} grid cells",
                f"“{scores[0].name}” has {classes} scores for each",
            ),
        )
        return entered(look, found, "letterbox")
    return None


def _table(look: Look, out: Output) -> Match | None:
    rows, columns = out.value.shape[1:]
    for strides in STRIDE_SETS:
        grid = cells(*look.wh, strides)
        if boxes_apart(look, out, grid):
            continue
        if columns in (grid, ANCHORS * grid) and rows > 4:
            return _read(look, out, transposed=True, one=columns == grid, grid=grid)
        if rows == ANCHORS * grid and columns > 5:
            return _read(look, out, objectness=True, grid=grid)
        named = len(look.names) == columns - 4
        if rows == grid and columns > (4 if named else 5):
            return _read(look, out, objectness=not named, one=True, grid=grid)
    return None


def _read(
    look: Look,
    out: Output,
    *,
    transposed: bool = False,
    objectness: bool = False,
    one: bool = False,
    grid: int,
) -> Match | None:
    table = out.value[0] if transposed else out.value[0].T
    low, high = shapes.range_of(table)
    if one and not transposed and 0 < high[:4].max() <= 2 and low[:4].min() >= 0:
        return (
            None  # shares, not pixels: DETR's kin may have as many queries, or it is a table of scores alone
        )
    corners, asks = _corners(table), tuple[Question, ...]()
    if not corners and "stride" not in look.metadata and (table[2:4] < 0).mean() > NEGATIVE:
        # No size is negative; but neither are most corners of a trained network the wrong way round.
        ask = Question("box", HOW_BOX, ("xyxy", "cxcywh"), look.answers.get("box", "xyxy"))
        corners, asks = int(ask.proposal == "xyxy"), (ask,)
    first = 5 if objectness else 4
    extras = extras_of(look, low[first:], high[first:])
    if extras is None:
        return None
    classes = len(low) - first - extras.width
    if classes < 1:
        return None
    # YOLOX, which has its own colours and scale, learns an objectness; YOLOv6 exports a 1 in its place.
    yolox = one and objectness and not (low[4] == high[4] == 1)
    if transposed:
        why = f"“{out.name}” has {1 if one else ANCHORS} columns for each of the {grid} grid cells"
    else:
        why = f"“{out.name}” has {1 if one else ANCHORS} rows for each of the {grid} grid cells"
    reasons = [why, f"each holds a box and {classes} scores"]
    if corners:
        reasons.append("its boxes are two corners, not centre and size")
    if objectness:
        reasons.append("each holds an objectness, too")
    reasons += extras.why
    head = (
        ("transposed", int(transposed)),
        ("objectness", int(objectness)),
        ("corners", corners),
        *extras.head,
    )
    found = Match(
        "yolo",
        extras.task,
        (("table", out.name), *((("protos", extras.protos),) if extras.protos else ())),
        classes,
        head=tuple((key, value) for key, value in head if value),
        why=tuple(reasons),
        asks=asks,
    )
    if yolox:
        return replace(
            found, resize="corner", colour="bgr", mean=NEUTRAL, std=UNIT, score_micro=300_000,
            why=(*found.why, "its objectness is learned and its boxes are pixels: YOLOX with its decoding inside"),
        )  # fmt: skip
    if one and objectness:
        found = replace(found, why=(*found.why, "its objectness is 1 everywhere: YOLOv6"))
    # YOLOv7 in columns comes from one exporter, which puts the picture into the corner.
    return entered(look, found, "corner" if transposed and not one else "letterbox")


def _corners(table: Array) -> int:
    """1 when the first four of each cell are two corners: the third is over the first everywhere, at the right rim too.

    Args:
        table: (columns, cells).
    """
    wide, high = table[2] - table[0], table[3] - table[1]
    return int(bool((wide >= 0).all() and (high >= 0).all() and ((wide > 0) & (high > 0)).mean() > 0.5))


def extras_of(look: Look, low: Array, high: Array) -> Extras | None:
    """What follows the scores in a row; None when nothing fits.

    Args:
        low, high: float64 (n,) least and greatest value of each column from the scores on.
    """
    n = len(low)
    protos = shapes.prototypes(look)
    if protos is not None and protos.value.shape[1] < n:
        return Extras(masks=int(protos.value.shape[1]), protos=protos.name)
    task = look.metadata.get("task", "")
    told = keypoint_shape(look)
    if told is not None and task in ("", "pose"):
        return Extras(points=told[0], dims=told[1]) if told[0] * told[1] < n else None
    if task == "obb":
        return Extras(angle=1)
    if task in ("detect", "segment") or len(look.names) == n:
        return Extras()
    strange = np.flatnonzero((low < -0.01) | (high > 1.01))
    if not len(strange):
        return Extras()
    start = len(look.names) if 0 < len(look.names) <= strange[0] else int(strange[0])
    rest = n - start
    if rest == 1:
        return Extras(angle=1)
    for dims in (3, 2):
        # Of three numbers the last is a visibility, of two each is a place.
        if (
            rest % dims == 0
            and rest >= 2 * dims
            and (dims == 2 or not np.isin(range(start + 2, n, 3), strange).any())
        ):
            return Extras(points=rest // dims, dims=dims)
    return None


def entered(look: Look, found: Match, usual: str) -> Match:
    """The match with how pictures get into the input: known for what ultralytics exported (metadata `stride`), else asked."""
    return found if "stride" in look.metadata else look_.entered(look, found, fit=usual)


def keypoint_shape(look: Look) -> tuple[int, int] | None:
    """(points, numbers of each) of the answer or the metadata `kpt_shape`: [17, 3]."""
    try:
        value = json.loads((look.answers.get("kpt_shape") or look.metadata.get("kpt_shape", ""))[:100])
    except ValueError:
        return None
    if isinstance(value, list) and len(value) == 2 and all(type(v) is int for v in value):
        points, dims = value
        if 0 < points <= 1000 and dims in (2, 3):
            return points, dims
    return None


def decode(outputs: Mapping[str, Array], card: ModelCard, *, score: float, iou: float) -> Found:
    """Objects of one picture in input pixels, after per-class NMS.

    Args:
        outputs: "table" (cells, columns), or (columns, cells) when the card's head says transposed; "protos" (masks, h, w)
            when it has masks. Or "boxes" (cells, 4) and "scores" (cells, classes), or (classes, cells) when transposed.
    """
    if "boxes" in outputs:
        given = outputs["scores"].T if card.get("transposed") else outputs["scores"]
        candidates = np.flatnonzero(given.max(axis=1) >= score)
        rows = _centred(outputs["boxes"][candidates].astype(np.float64), card)
        return suppressed(rows, given[candidates].astype(np.float64), score=score, iou=iou)[0]
    table = outputs["table"]
    if table.dtype == np.float16:  # numpy compares halves one by one
        table = table.astype(np.float32)
    columns = table if card.get("transposed") else table.T
    objectness = card.get("objectness")
    first = 4 + objectness
    last = first + len(card.labels)
    if objectness:
        # A product with factors of at most 1: cells below the threshold already cannot reach it.
        candidates = np.flatnonzero(columns[4] >= score)
    else:
        # Half the time of the greatest of each column; what is no number is dropped with its cell below.
        candidates = np.flatnonzero((columns[first:last] >= score).any(axis=0))
    rows = _centred(columns[:, candidates].T.astype(np.float64), card)
    scores = rows[:, first:last]
    if objectness:
        scores = scores * rows[:, 4:5]
    if card.get("angle"):
        return shapes.turned(rows, scores, rows[:, last], score=score, iou=iou, most=MAX_CANDIDATES)
    found, kept = suppressed(rows, scores, score=score, iou=iou)
    extras = rows[kept, last:]
    if card.get("masks"):
        return shapes.masked(found, extras, outputs["protos"], card.input_wh)
    if card.get("points"):
        return replace(found, points=shapes.points(extras, card.get("points"), card.get("dims")))
    return found


def _centred(rows: Array, card: ModelCard) -> Array:
    """Rows that begin with centre and size, changed in place when they began with two corners."""
    if card.get("corners"):
        rows[:, 2:4] -= rows[:, :2]
        rows[:, :2] += rows[:, 2:4] / 2
    return rows


def suppressed(rows: Array, scores: Array, *, score: float, iou: float) -> tuple[Found, Array]:
    """The objects of candidate rows after per-class NMS, and which rows they are.

    Args:
        rows: float64 (n, 4 or more): cx, cy, w, h in input pixels.
        scores: float64 (n, classes).
    """
    if not len(rows):
        return nothing(), np.zeros(0, np.int64)
    classes = scores.argmax(axis=1)
    best = scores[np.arange(len(rows)), classes]
    strong = (best >= score).nonzero()[0]
    found, kept = settled(rows[strong, :4], best[strong], classes[strong], iou=iou)
    return found, strong[kept]


def settled(cxcywh: Array, best: Array, classes: Array, *, iou: float) -> tuple[Found, Array]:
    """The objects of boxes that are strong enough, after per-class NMS, and which they are.

    Args:
        cxcywh: float64 (n, 4), input pixels. best: float64 (n,) scores. classes: int64 (n,).
    """
    half = cxcywh[:, 2:] / 2
    xyxy = np.concatenate([cxcywh[:, :2] - half, cxcywh[:, :2] + half], axis=1)
    good = (np.isfinite(xyxy).all(axis=1) & (half > 0).all(axis=1)).nonzero()[0]
    order = good[(-best[good]).argsort(kind="stable")[:MAX_CANDIDATES]]
    kept = order[nms(xyxy[order], classes[order], iou)[:MAX_BOXES]]
    return Found(xyxy[kept], np.minimum(best[kept], 1.0), classes[kept]), kept

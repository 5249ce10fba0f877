"""A zoo: folders with a model and what an independent implementation found with it. Our figures beside those.

LAMPROOM_ZOO names the folder: <family>/<variant>/model.onnx and expected.json, and pictures/ that they are about:
{"settings": {"score", "iou"}, "pictures": {name: {"wh", "boxes", "scores", "classes", "points", "quads", "masks", "probs"}}}.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from annotation import rle
from models import postprocess, preprocess, session
from models.card import ModelCard
from models.found import Found
from models.heads import HEADS
from models.recognise import recognise
from models.session import Session

Array = np.ndarray[Any, Any]


@dataclass(slots=True)
class Difference:
    """What differs over all pictures of a variant.

    Attributes:
        expected: objects that the other found clearly above the threshold. missing, extra: those of them without a
            counterpart here, and the reverse. px: greatest distance of a box's side, in source pixels. score: greatest.
        points: greatest distance of a key point. corners: of an oriented box's corner. ious: of masks.
    """

    card: ModelCard
    expected: int = 0
    missing: int = 0
    extra: int = 0
    px: float = 0.0
    score: float = 0.0
    points: float = 0.0
    corners: float = 0.0
    ious: list[float] = field(default_factory=list)
    pictures: int = 0

    def line(self) -> str:
        mask = f" mask IoU {np.mean(self.ious):.3f}" if self.ious else ""
        return (
            f"{self.expected:4d} objects, missing {self.missing}, extra {self.extra}, box {self.px:.3f} px, score {self.score:.5f}"
            f", points {self.points:.3f}, corners {self.corners:.3f}{mask}"
        )


def variants(zoo: Path) -> list[Path]:
    """Folders with expected figures and a model, or a model.txt that says where it lies."""
    return sorted(p.parent for p in zoo.glob("*/*/expected.json") if model_of(p.parent).is_file())


def model_of(folder: Path) -> Path:
    """The variant's model."""
    link = folder / "model.txt"
    return Path(link.read_text().strip()) if link.is_file() else folder / "model.onnx"


def run(opened: Session, picture: Array, *, score: float, iou: float) -> Found:
    """What a picture holds, in source pixels: the whole way but for tiles and rules."""
    h, w = picture.shape[:2]
    size = preprocess.size_for(opened.card, (w, h))
    card = replace(opened.card, input_wh=size)
    canvas = np.empty((size[1], size[0], 3), np.uint8)
    batch = np.zeros(card.shape(card.batch or 1, size), card.input_dtype)
    placement = preprocess.place(picture, card, canvas)
    preprocess.fill(batch[0], canvas, card)
    outputs = opened.run(batch)[0]
    return placement.back(HEADS[card.family].decode(outputs, card, score=score, iou=iou))


def compared(
    folder: Path,
    pictures: Path,
    *,
    answers: Mapping[str, str] | None = None,
    change: Callable[[ModelCard], ModelCard] = lambda card: card,
    margin: float = 0.01,
    least: bool = False,
    most: int = 1000,
) -> Difference:
    """Run one variant over its pictures.

    Args:
        change: of the card, where the other feeds the network in a way that no answer describes.
        margin: objects so near the threshold are allowed to be on either side of it.
        most: objects of a picture, the strongest.
        least: for a model of free size, take the smallest input that holds the picture, as its own runtime does.
    """
    told = json.loads((folder / "expected.json").read_text())

    score, iou = told["settings"].get("score", 0.0), told["settings"].get("iou", 0.45)
    model = model_of(folder)
    card = change(recognise(model, answers=answers).card)
    out = Difference(card)
    for name, expected in told["pictures"].items():
        picture = cv2.imread(str(pictures / name))
        assert picture is not None, name
        mine = replace(card, input_wh=_least(card, picture)) if least and card.dynamic_hw else card
        # A classifier's scores count from the least on: random weights are sure of nothing.
        least_score = 0.0 if card.task == "classify" else score
        found = run(session.open_session(model, mine), picture, score=least_score, iou=iou)
        found = found.take(np.arange(min(most, len(found))))
        out.pictures += 1
        expected["classes"] = [_class(card, c) for c in expected.get("classes", ())]
        if "labels_png" in expected:
            _maps(out, found, cv2.imread(str(folder / expected["labels_png"]), cv2.IMREAD_UNCHANGED))
        else:
            _compare(out, found, expected, picture.shape[1::-1], score + margin)
    return out


def _class(card: ModelCard, told: int | str) -> int:
    """The index of a class that the other calls by its name, or by a number that counts the background."""
    return card.labels.index(told) if isinstance(told, str) else told - card.get("first")


def _least(card: ModelCard, picture: Array) -> tuple[int, int]:
    h, w = picture.shape[:2]
    ratio = min(card.input_wh[0] / w, card.input_wh[1] / h)
    return tuple(-(-round(side * ratio) // 32) * 32 for side in (w, h))


def _compare(
    out: Difference, found: Found, expected: Mapping[str, Any], wh: Sequence[int], floor: float
) -> None:
    if "vector" in expected:
        theirs, mine = np.array(expected["vector"]), found.vector
        assert mine is not None
        out.expected += 1
        out.score = max(out.score, float(np.abs(mine - theirs / np.linalg.norm(theirs)).max()))
        return
    if "probs" in expected:
        best = np.argsort(-np.array(expected["probs"]), kind="stable")[: len(found)]
        out.expected += 1
        out.missing += not (len(found) and found.classes[0] == best[0])
        if len(found):
            out.score = max(out.score, float(np.abs(found.scores - np.array(expected["probs"])[best]).max()))
        return
    if "boxes" not in expected:  # a mask of the whole picture for each class
        grid = np.full((wh[1], wh[0]), 255, np.uint8)
        for k, packed in enumerate(expected["masks"]):
            grid[_unpacked(packed)] = k
        _maps(out, found, grid)
        return
    quads = "quads" in expected
    theirs = np.array(expected["boxes"], float).reshape(-1, 4)
    edge = np.array([*wh, *wh], float)
    mine = found.boxes if quads else np.clip(found.boxes, 0, edge)
    theirs = theirs if quads else np.clip(theirs, 0, edge)
    pairs = list(_pairs(mine, found, theirs, expected))
    taken = {i for i, _ in pairs}
    # Boxes turned inside out, which random weights give, are no objects here.
    sizes = np.array(expected["xywhr"])[:, 2:4] if quads and len(theirs) else theirs[:, 2:] - theirs[:, :2]
    sure = (np.array(expected["scores"]) >= floor) & (sizes > 0).all(axis=1)
    out.expected += int(sure.sum())
    out.missing += int(sum(sure[j] for j in range(len(theirs)) if j not in {j for _, j in pairs}))
    for i in range(len(found)):
        # An object whose mask is empty is none, there as here.
        if i not in taken and found.scores[i] >= floor:
            one = found.take(np.array([i]))
            out.extra += len(postprocess.to_annotations(one, out.card, out.card.labels, (wh[0], wh[1])))
    for i, j in pairs:
        out.px = max(out.px, float(np.abs(mine[i] - theirs[j]).max()))
        out.score = max(out.score, abs(float(found.scores[i]) - expected["scores"][j]))
        if found.points is not None and "points" in expected:
            there = np.array(expected["points"][j])
            here = np.clip(found.points[i][:, :2], 0, wh)
            out.points = max(out.points, float(np.abs(here - np.clip(there[:, :2], 0, wh)).max()))
        if found.quads is not None and quads:
            there = np.array(expected["quads"][j])
            turns = [
                np.abs(np.roll(way, k, axis=0) - found.quads[i]).max()
                for k in range(4)
                for way in (there, there[::-1])
            ]
            out.corners = max(out.corners, float(min(turns)))
        if found.masks is not None and "masks" in expected:
            shape = postprocess.to_annotations(
                found.take(np.array([i])), out.card, out.card.labels, (wh[0], wh[1])
            )
            hard = rle.decode(shape[0].shape) if shape else np.zeros((wh[1], wh[0]), np.uint8)  # type: ignore[arg-type]
            there = _unpacked(expected["masks"][j])
            both = int((hard.astype(bool) & there).sum())
            whole = int((hard.astype(bool) | there).sum())
            out.ious.append(both / whole if whole else 1.0)


def _maps(out: Difference, found: Found, theirs: Array) -> None:
    """Areas as class numbers of every pixel: the IoU of each class that takes a hundredth of the picture or more."""
    h, w = theirs.shape
    mine = np.full((h, w), 255, np.uint8)
    for i, shape in enumerate(postprocess.to_annotations(found, out.card, out.card.labels, (w, h))):
        mine[rle.decode(shape.shape).astype(bool)] = int(found.classes[i])  # type: ignore[arg-type]
    for k in np.unique(theirs).tolist():
        here, there = mine == k, theirs == k
        if k != 255 and there.mean() >= 0.01:
            out.expected += 1
            out.missing += not here.any()
            out.ious.append(float((here & there).sum() / (here | there).sum()))


def _pairs(
    mine: Array, found: Found, theirs: Array, expected: Mapping[str, Any]
) -> Iterator[tuple[int, int]]:
    """Counterparts: of one class, the nearest in place and score, each taken once."""
    free = set(range(len(theirs)))
    for i in range(len(mine)):
        near = [
            (float(np.abs(mine[i] - theirs[j]).max() + 100 * abs(found.scores[i] - expected["scores"][j])), j)
            for j in free
            if expected["classes"][j] == found.classes[i]
        ]
        if near and min(near)[0] < 12:
            free.remove(min(near)[1])
            yield i, min(near)[1]


def _unpacked(packed: Mapping[str, Any]) -> Array:
    h, w = packed["size"]
    counts = rle.from_text(packed["counts"])
    flat = np.repeat(np.arange(len(counts)) % 2, counts).astype(bool)
    found: Array = flat.reshape(w, h).T
    return found

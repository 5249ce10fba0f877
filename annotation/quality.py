"""How well predictions fit the truth: matching of boxes, precision, recall and average precision per label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotation.core import Annotation, AnnotationSet, Box


@dataclass(frozen=True, slots=True)
class LabelScore:
    """Figures of one label over many pages at one IoU.

    Attributes:
        truth, predicted, hits: objects given, predicted, and predicted on a given one (one each at most).
        ap: area under the precision-recall curve, every point of it (as COCO, but without its 101 steps).
    """

    truth: int
    predicted: int
    hits: int
    ap: float

    @property
    def precision(self) -> float:
        """Share of the predictions that hit; 1.0 without predictions."""
        return self.hits / self.predicted if self.predicted else 1.0

    @property
    def recall(self) -> float:
        """Share of the truth that was hit; 1.0 without truth."""
        return self.hits / self.truth if self.truth else 1.0


def match(
    truth: AnnotationSet, predicted: AnnotationSet, *, iou: float = 0.5
) -> tuple[tuple[Annotation, Annotation], ...]:
    """Pairs (truth, prediction) of one label: strongest prediction first, each taking its best free truth.

    Only boxes are looked at; a prediction without a score counts as certain.
    """
    free = [a for a in truth if isinstance(a.shape, Box)]
    pairs = []
    for guess in sorted((p for p in predicted if isinstance(p.shape, Box)), key=_score, reverse=True):
        best, at = iou, -1
        for i, given in enumerate(free):
            if given.label == guess.label and (overlap := _iou(given.shape, guess.shape)) >= best:
                best, at = overlap, i
        if at >= 0:
            pairs.append((free.pop(at), guess))
    return tuple(pairs)


def score(pages: Iterable[tuple[AnnotationSet, AnnotationSet]], *, iou: float = 0.5) -> dict[str, LabelScore]:
    """Figures per label over pages of (truth, predictions); labels that occur in neither are absent."""
    given: dict[str, int] = {}
    marks: dict[str, list[tuple[float, bool]]] = {}
    for truth, predicted in pages:
        hits = {guess.uid for _, guess in match(truth, predicted, iou=iou)}
        for a in truth:
            if isinstance(a.shape, Box):
                given[a.label] = given.get(a.label, 0) + 1
        for p in predicted:
            if isinstance(p.shape, Box):
                marks.setdefault(p.label, []).append((_score(p), p.uid in hits))
    return {
        label: _label_score(given.get(label, 0), marks.get(label, [])) for label in sorted({*given, *marks})
    }


def _label_score(truth: int, marks: list[tuple[float, bool]]) -> LabelScore:
    hit = np.array([good for _, good in sorted(marks, key=lambda mark: -mark[0])], np.float64)
    hits = np.cumsum(hit)
    recall = hits / max(truth, 1)
    precision = hits / np.arange(1, len(hit) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    ap = float(np.sum(np.diff(recall, prepend=0.0) * envelope)) if truth else 0.0
    return LabelScore(truth, len(marks), int(hit.sum()), ap)


def _score(annotation: Annotation) -> float:
    return 1.0 if annotation.score is None else annotation.score


def _iou(a: Box | Any, b: Box | Any) -> float:
    w, h = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    if w <= 0 or h <= 0:
        return 0.0
    shared = w * h
    return float(shared / ((a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - shared))

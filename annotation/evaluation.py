"""How good a model is: COCO's average precision, confusion, calibration, best thresholds, worst pictures.

`Tally` takes picture after picture and keeps 30 bytes a prediction; `figures` reads it class by class. Matching, ignored
regions, size ranges, the limit of predictions and the 101 steps of recall are those of COCO's own program (pycocotools),
so its figures come out; `tests/annotation/test_evaluation.py` compares both.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from annotation import overlap
from annotation.errors import InvalidInput
from annotation.overlap import Objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
AREAS = ("all", "small", "medium", "large")
_RANGES = np.array([[0, 1e5**2], [0, 32**2], [32**2, 96**2], [96**2, 1e5**2]], np.float64)
"""Areas in px² from and to, both included."""
LIMITS = (1, 10, 100)
"""Predictions of a class on a picture that count, strongest first."""
BINS = 10
"""Stretches of the score in the calibration."""
NOTHING = -1
_NEVER = 1e-10  # as COCO: a threshold of 1 is met by 1 - 1e-10
_BITS = 16  # of one size range in a mark
_MOST_WORST = 200


class Marks:
    """What became of every prediction of one class, and where its truth is. A picture is its number in the tally.

    match, ignore: bit 16 * range + threshold says that the prediction hit there, or is not to be counted there.
    """

    __slots__ = ("crowded", "ignore", "images", "match", "missed", "ranks", "scores", "sizes", "truth")

    def __init__(self) -> None:
        self.scores = array("d")
        self.images = array("I")
        self.ranks = array("B")
        self.match = array("Q")
        self.ignore = array("Q")
        self.truth = array("I")  # picture of each object that counts
        self.sizes = array("B")  # bit r: it counts in size range r
        self.missed = array("I")  # picture of each object not found at the working threshold
        self.crowded = 0


class Tally:
    """Predictions set against truth, picture by picture."""

    def __init__(
        self, classes: Sequence[str], *, iou: float = 0.5, scores: float | Sequence[float] = 0.0
    ) -> None:
        """
        Args:
            classes: whose objects come, by their place here.
            iou: overlap from which a prediction is right, in confusion, calibration, thresholds and costs; one of IOUS.
            scores: the working threshold, or one for each class: predictions from there on count in confusion and costs.
                Average precision, calibration and best thresholds take all.
        """
        near = np.flatnonzero(np.abs(IOUS - iou) < 1e-9)
        if not len(near):
            raise InvalidInput(f"{iou:g} is no step of the overlap", remedy="0.5, 0.55 … 0.95")
        self.classes, self.at = tuple(classes), int(near[0])
        self.scores: NDArray[np.float64] = np.broadcast_to(np.asarray(scores, np.float64), len(self.classes))
        self.marks = [Marks() for _ in classes]
        self.keys = array("q")
        self.n_missed, self.n_false, self.n_hit = array("I"), array("I"), array("I")
        self.apart = array("d")  # sum of 1 - overlap over the hits of a picture
        self.confusion: Counter[tuple[int, int]] = Counter()
        """(true, said) -> how many, by place; `NOTHING` true is said where nothing is, said it is missed."""

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, key: int, truth: Objects, found: Objects) -> None:
        """One picture: everything that is on it, and everything the model said, in any order."""
        picture = len(self.keys)
        self.keys.append(key)
        order = np.lexsort(
            (-found.scores, found.labels)
        )  # by class, strongest first, equal ones as they came
        labels = found.labels[order]
        ranks = np.arange(len(order)) - np.searchsorted(labels, labels, side="left")
        for place in labels[ranks >= LIMITS[-1]].tolist():
            self.marks[place].crowded += 1
        found = found.taken(order[ranks < LIMITS[-1]])
        overlaps = overlap.iou(found, truth)
        outside = _outside(truth.areas) | truth.crowd
        match, ignore, hit = _matched(overlaps, found.labels, truth, outside, self.at)
        ignore |= ~match & _spread(_outside(found.areas))
        for place, score, rank, m, i in zip(
            found.labels.tolist(), found.scores.tolist(), ranks[ranks < LIMITS[-1]].tolist(), match.tolist(), ignore.tolist(),
            strict=True,
        ):  # fmt: skip
            marks = self.marks[place]
            marks.scores.append(score)
            marks.images.append(picture)
            marks.ranks.append(rank)
            marks.match.append(m)
            marks.ignore.append(i)
        said = (found.scores >= self.scores[found.labels]) & (
            ignore >> np.uint64(self.at) & np.uint64(1) == 0
        )
        free = ~truth.crowd
        free[hit[said & (hit >= 0)]] = False
        sizes = (~outside * _SIZE_BITS[:, None]).sum(axis=0)
        for place, size, crowd, missed in zip(
            truth.labels.tolist(), sizes.tolist(), truth.crowd.tolist(), free.tolist(), strict=True
        ):
            if crowd:
                continue
            marks = self.marks[place]
            marks.truth.append(picture)
            marks.sizes.append(size)
            if missed:
                marks.missed.append(picture)
        self._picture(truth, found, overlaps, hit, free, said)

    def _picture(self, truth: Objects, found: Objects, overlaps: NDArray[np.float64], hit: NDArray[np.int64],
                 free: NDArray[np.bool_], said: NDArray[np.bool_]) -> None:  # fmt: skip
        """Confusion and cost of a picture: first the hits of each class, then what lies on truth of another class."""
        right = np.flatnonzero(said & (hit >= 0))
        wrong = np.flatnonzero(said & (hit < 0))
        self.n_hit.append(len(right))
        self.n_false.append(len(wrong))
        self.n_missed.append(int(free.sum()))
        self.apart.append(float((1.0 - overlaps[right, hit[right]]).sum()))
        self.confusion.update((place, place) for place in found.labels[right].tolist())
        left = np.flatnonzero(free).tolist()
        for d in wrong[np.argsort(-found.scores[wrong], kind="stable")].tolist():
            best = max(left, key=lambda g: overlaps[d, g], default=-1)
            if best >= 0 and overlaps[d, best] >= IOUS[self.at]:
                left.remove(best)
                self.confusion[int(truth.labels[best]), int(found.labels[d])] += 1
            else:
                self.confusion[NOTHING, int(found.labels[d])] += 1
        self.confusion.update((place, NOTHING) for place in truth.labels[left].tolist())

    @property
    def costs(self) -> NDArray[np.float64]:
        """Cost of each picture: objects missed, predictions that are false, and how far the hits lie off (1 - overlap)."""
        cost: NDArray[np.float64] = (
            _of(self.n_missed) + _of(self.n_false).astype(np.float64) + _of(self.apart)
        )
        return cost

    def worst(self, place: int | None = None, *, most: int = _MOST_WORST) -> list[int]:
        """Places in `keys` of the pictures that cost most, of all classes or of one; none that cost nothing."""
        cost = self.costs
        if place is not None:
            marks = self.marks[place]
            cost = np.bincount(_of(marks.missed), minlength=len(self)).astype(np.float64)
            cost += np.bincount(_of(marks.images)[self.false(place)], minlength=len(self))
        order = np.argsort(-cost, kind="stable")[:most]
        return [int(i) for i in order if cost[i] > 0]

    def false(self, place: int) -> NDArray[np.bool_]:
        """Which predictions of a class are counted at the working threshold and wrong."""
        marks = self.marks[place]
        bit = np.uint64(self.at)
        one = np.uint64(1)
        wrong: NDArray[np.bool_] = ((_of(marks.match) | _of(marks.ignore)) >> bit) & one == 0
        strong: NDArray[np.bool_] = _of(marks.scores) >= self.scores[place]
        return wrong & strong


_SIZE_BITS = 1 << np.arange(len(AREAS))
_ALL = [((1 << len(IOUS)) - 1) << (_BITS * r) for r in range(len(AREAS))]
"""All thresholds of a size range."""


def _of(values: array[Any]) -> NDArray[Any]:
    """An array's memory as numpy sees it; for use within a call, as the array cannot grow meanwhile."""
    kinds = {"d": np.float64, "I": np.uint32, "B": np.uint8, "Q": np.uint64, "q": np.int64}
    return (
        np.frombuffer(values, kinds[values.typecode]) if len(values) else np.zeros(0, kinds[values.typecode])
    )


def _outside(areas: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(range, n): the area lies outside the size range."""
    return (areas[None] < _RANGES[:, :1]) | (areas[None] > _RANGES[:, 1:])


def _spread(outside: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """(range, n) as the bits of all thresholds of each range: uint64 (n,)."""
    bits: NDArray[np.uint64] = np.where(outside, np.array(_ALL, np.uint64)[:, None], np.uint64(0))
    out: NDArray[np.uint64] = np.bitwise_or.reduce(bits, axis=0)
    return out


def _matched(
    overlaps: NDArray[np.float64],
    labels: NDArray[np.int64],
    truth: Objects,
    ignored: NDArray[np.bool_],
    at: int,
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]:
    """COCO's matching on one picture, each class by itself, at all thresholds and size ranges.

    Args:
        overlaps: (d, g), predictions of a class strongest first. labels: (d,). ignored: (range, g), crowds among them.

    Returns:
        match and ignore bits (d,), and (d,) the truth each hit in the first range at threshold `at`, -1 = none.
    """
    n = len(overlaps)
    match, ignore, hits = [0] * n, [0] * n, np.full(n, -1, np.int64)
    rows, columns = np.nonzero((overlaps >= IOUS[0]) & (labels[:, None] == truth.labels[None]))
    near: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    for d, g, v in zip(rows.tolist(), columns.tolist(), overlaps[rows, columns].tolist(), strict=True):
        near[d].append((g, v))
    # Where nobody wants what another wants, what is set aside changes nothing.
    alone = len(set(columns.tolist())) == len(columns) and len(set(rows.tolist())) == len(rows)
    crowds, steps = truth.crowd.tolist(), IOUS.tolist()
    known: dict[bytes, list[list[int]]] = {}
    for r in range(len(AREAS)) if len(rows) else ():
        out = ignored[r]
        key = b"" if alone or not out.any() or out.all() else out.tobytes()
        aside = out.tolist()
        if key not in known:
            if alone:
                known[key] = [[p[0][0] if p and p[0][1] >= step else -1 for p in near] for step in steps]
            else:
                sided = [sorted(pairs, key=lambda pair: aside[pair[0]]) for pairs in near]
                known[key] = [_assigned(sided, crowds, aside, step) for step in steps]
        for t, chosen in enumerate(known[key]):
            bit = 1 << (_BITS * r + t)
            for d, g in enumerate(chosen):
                if g >= 0:
                    match[d] |= bit
                    if aside[g]:
                        ignore[d] |= bit
        if r == 0:
            hits[:] = known[key][at]
    return np.array(match, np.uint64), np.array(ignore, np.uint64), hits


def _assigned(
    near: list[list[tuple[int, float]]], crowd: list[bool], ignored: list[bool], step: float
) -> list[int]:
    """The truth that each prediction takes at a threshold, -1 = none: strongest first, the best free one, truth that counts
    before truth that is set aside; a crowd may be taken again and again."""
    taken: set[int] = set()
    out = []
    for pairs in near:
        best, at = min(step, 1 - _NEVER), -1
        for g, v in pairs:
            if g in taken and not crowd[g]:
                continue
            if at >= 0 and not ignored[at] and ignored[g]:
                break
            if v >= best:
                best, at = v, g
        if at >= 0:
            taken.add(at)
        out.append(at)
    return out


# -- figures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions of a stretch of the score: how many, their mean score, the share of them that is right."""

    n: int
    score: float
    right: float


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Figures of one class. What is not defined (no truth, no prediction) is None.

    Attributes:
        truth, said, hits: objects given; predictions and right ones at the working threshold.
        ap: mean over IOUS; ap50, ap75; small, medium, large: by size of the object. ar: mean recall at 1, 10, 100.
        curve: precision at RECALLS at the working overlap. bins: calibration; ece: expected calibration error.
        best: (score, F1, precision, recall) of the threshold with the highest F1 at the working overlap.
    """

    label: str
    truth: int
    said: int
    hits: int
    ap: float | None
    ap50: float | None
    ap75: float | None
    small: float | None
    medium: float | None
    large: float | None
    ar: tuple[float | None, float | None, float | None]
    curve: tuple[float, ...] | None
    bins: tuple[Bin, ...]
    ece: float | None
    best: tuple[float, float, float, float] | None


@dataclass(frozen=True, slots=True)
class Figures:
    """All classes, and the twelve figures of COCO over those that have truth (None = none has any).

    coco: AP, AP50, AP75, AP small, medium, large, AR at 1, 10, 100, AR small, medium, large at 100.
    """

    classes: tuple[ClassFigures, ...]
    coco: tuple[float | None, ...]
    bins: tuple[Bin, ...]
    ece: float | None


COCO_NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large")  # fmt: skip


def figures(tally: Tally) -> Figures:
    """Every figure, class by class: memory for one class at a time."""
    found, rows = [], []
    sums = np.zeros((3, BINS))
    for place, label in enumerate(tally.classes):
        one, row, bins = _class_figures(tally, place, label)
        found.append(one)
        rows.append(row)
        sums += bins
    table = np.array(rows, np.float64).reshape(-1, len(COCO_NAMES))
    defined = ~np.isnan(table)
    coco = tuple(
        float(table[defined[:, i], i].mean()) if defined[:, i].any() else None for i in range(len(COCO_NAMES))
    )
    return Figures(tuple(found), coco, _bins(sums), _ece(sums))


def _class_figures(
    tally: Tally, place: int, label: str
) -> tuple[ClassFigures, list[float], NDArray[np.float64]]:
    marks = tally.marks[place]
    scores, ranks, sizes = _of(marks.scores), _of(marks.ranks), _of(marks.sizes)
    order = np.argsort(-scores, kind="stable")
    match, ignore = _of(marks.match)[order], _of(marks.ignore)[order]
    given = [int((sizes >> r & 1).sum()) for r in range(len(AREAS))]
    precision = np.full((len(AREAS), len(IOUS), len(RECALLS)), np.nan)
    recall = np.full((len(AREAS), len(IOUS)), np.nan)
    few = np.full((2, len(IOUS)), np.nan)
    for r, n in enumerate(given):
        for t in range(len(IOUS)) if n else ():
            hit, out = _bit(match, r, t), _bit(ignore, r, t)
            precision[r, t], recall[r, t] = curve(hit, out, n)
            for i, limit in enumerate(LIMITS[:-1]) if r == 0 else ():
                near = ranks[order] < limit
                few[i, t] = curve(hit[near], out[near], n)[1]
    ap, ar = precision.mean(axis=(1, 2)), recall.mean(axis=1)
    row = [ap[0], precision[0, 0].mean(), precision[0, 5].mean(), *ap[1:], *few.mean(axis=1), ar[0], *ar[1:]]
    hit, counted = _bit(match, 0, tally.at), ~_bit(ignore, 0, tally.at)
    sums = _sums(scores[order][counted], hit[counted])
    strong = counted & (scores[order] >= tally.scores[place])
    values = [None if np.isnan(v) else float(v) for v in row]
    one = ClassFigures(
        label, given[0], int(strong.sum()), int((strong & hit).sum()),
        values[0], values[1], values[2], values[3], values[4], values[5], (values[6], values[7], values[8]),
        tuple(precision[0, tally.at].tolist()) if given[0] else None, _bins(sums), _ece(sums),
        best_threshold(scores[order][counted], hit[counted], given[0]),
    )  # fmt: skip
    return one, [float(v) for v in row], sums


def _bit(bits: NDArray[np.uint64], area: int, step: int) -> NDArray[np.bool_]:
    out: NDArray[np.bool_] = (bits >> np.uint64(_BITS * area + step)) & np.uint64(1) != 0
    return out


def marked(
    tally: Tally, place: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], list[NDArray[np.bool_]], list[NDArray[np.bool_]]]:
    """A class of all sizes, strongest first: pictures of its truth, of its predictions, and by threshold of IOUS which hit
    and which are not counted."""
    marks = tally.marks[place]
    order = np.argsort(-_of(marks.scores), kind="stable")
    match, ignore = _of(marks.match)[order], _of(marks.ignore)[order]
    steps = range(len(IOUS))
    counted = _of(marks.sizes) & 1 == 1
    return (
        _of(marks.truth)[counted],
        _of(marks.images)[order],
        [_bit(match, 0, t) for t in steps],
        [_bit(ignore, 0, t) for t in steps],
    )


def curve(
    hit: NDArray[np.bool_], out: NDArray[np.bool_], given: float, weight: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], float]:
    """Precision at RECALLS and the recall reached, of predictions strongest first.

    Args:
        hit, out: whether each is right; whether it is not counted. given: objects there are (or their summed weight).
        weight: how often each prediction counts.
    """
    count = 1.0 if weight is None else weight
    right = np.cumsum((hit & ~out) * count)
    wrong = np.cumsum((~hit & ~out) * count)
    recall = right / given
    precision = right / (wrong + right + np.spacing(1))
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, RECALLS, side="left")
    steps = np.zeros(len(RECALLS))
    inside = at < len(precision)
    steps[inside] = precision[at[inside]]
    return steps, float(recall[-1]) if len(recall) else 0.0


def best_threshold(
    scores: NDArray[np.float64], hit: NDArray[np.bool_], given: int
) -> tuple[float, float, float, float] | None:
    """(score, F1, precision, recall) of the threshold with the highest F1, the highest of equals; None without truth or hit.

    Args:
        scores: strongest first; the threshold is one of them, rounded down to a millionth, and is itself included.
    """
    if not given or not hit.any():
        return None
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))  # a threshold takes all of one score
    right = np.cumsum(hit)[last]
    f1 = 2 * right / (last + 1 + given)
    k = int(np.argmax(f1))
    score = float(np.floor(scores[last[k]] * 1e6) / 1e6)
    return score, float(f1[k]), float(right[k] / (last[k] + 1)), float(right[k] / given)


def _sums(scores: NDArray[np.float64], hit: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(3, BINS): number, sum of scores, number of right ones."""
    places = np.clip((scores * BINS).astype(np.int64), 0, BINS - 1)
    return np.stack(
        [np.bincount(places, weights=w, minlength=BINS) for w in (np.ones(len(scores)), scores, hit * 1.0)]
    )


def _bins(sums: NDArray[np.float64]) -> tuple[Bin, ...]:
    return tuple(Bin(int(n), s / n if n else 0.0, r / n if n else 0.0) for n, s, r in sums.T.tolist())


def _ece(sums: NDArray[np.float64]) -> float | None:
    """Expected calibration error: the mean distance of score and share of right ones, by number."""
    return float(np.abs(sums[1] - sums[2]).sum() / sums[0].sum()) if sums[0].sum() else None

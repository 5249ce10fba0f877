"""Worth labelling first: how much a picture teaches, by what models said of it and by what it looks like.

Four parts, each an integer of thousandths (0 nothing .. 1000 all), joined by weights that a person sets. All arithmetic
is of integers, or of floats in a fixed order of exact values, so that one input has one answer on every machine.

What several objects of a picture say is folded strongest first, u0 >= u1 >= ...: 1 - (1 - u0)(1 - u1/2)(1 - u2/4)...:
one object counts whole, each further one closes half as much of what is left. So a crowd counts more than one object,
and a hundred weak ones do not outweigh a strong one, which the sum would let them do and the maximum would not see
(Brust, Käding, Denzler, "Active Learning for Deep Object Detection", 2019, compare sum, mean and maximum).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotation.errors import InvalidInput

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

WHOLE = 1000
MICRO = 1_000_000
SAME_OBJECT = 0.5
"""IoU from which two models mean the same object."""
FOLDED = 8
"""Objects of a picture that are folded: the ninth would close less than a 256th of what is left."""
WIDTH = 64
"""Numbers of a sign, what pictures are told apart by: the bytes of a descriptor; longer vectors are projected to it."""
CENTRES = 500
"""Pictures chosen one after another for being unlike all before; the rest follow by how far they are from these."""
LANDMARKS = 500
"""Labelled pictures that stand for all of them: themselves chosen for being unlike each other."""
SAMPLE = 1_000_000
"""Pictures that centres are chosen from: 64 MB. Beyond it an even share of them is looked at."""
PARTS = ("uncertainty", "disagreement", "rarity", "diversity")


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each part counts: whole numbers 0..100, not all of them 0."""

    uncertainty: int = 2
    disagreement: int = 2
    rarity: int = 1
    diversity: int = 1

    def __post_init__(self) -> None:
        for name, value in zip(PARTS, self.all(), strict=True):
            if not 0 <= value <= 100:
                raise InvalidInput(f"a weight is 0 to 100, not {value}", where=name)
        if not any(self.all()):
            raise InvalidInput("all weights are 0", remedy="give one of them at least 1")

    def all(self) -> tuple[int, int, int, int]:
        """The weights in the order of PARTS."""
        return self.uncertainty, self.disagreement, self.rarity, self.diversity


@dataclass(frozen=True, slots=True)
class Found:
    """What models found on some pictures; all (n,).

    Attributes:
        picture: its place among the pictures, 0.. . label: number of its class. score: millionths.
        box: (n, 4) x0, y0, x1, y1 in any one unit of whole numbers; what covers the whole picture has one box for all.
    """

    picture: Ints
    label: Ints
    score: Ints
    box: Ints

    def __len__(self) -> int:
        return len(self.picture)

    def taken(self, which: NDArray[np.bool_] | Ints) -> Found:
        """Some of them."""
        return Found(self.picture[which], self.label[which], self.score[which], self.box[which])


def folded(picture: Ints, part: Ints, n: int) -> Ints:
    """Thousandths of n pictures from those of their objects: see the module. (n,)"""
    order = np.lexsort((-part, picture))
    picture, part = picture[order], part[order]
    rank = np.arange(len(picture)) - np.searchsorted(picture, picture, side="left")
    left = np.ones(n, np.float64)
    for k in range(FOLDED):
        at = rank == k
        left[picture[at]] *= 1.0 - part[at] / float(WHOLE << k)
    out: Ints = np.floor((1.0 - left) * WHOLE + 0.5).astype(np.int64)
    return out


# --- uncertainty ---------------------------------------------------------------------------------------------------


def doubts(score: Ints, threshold: Ints) -> Ints:
    """How unsure each object is: 1 - |s - t| / t below the threshold t, 1 - (s - t) / (1 - t) above. (n,) thousandths.

    The margin to the threshold, on each side as a share of the way to certainty: 1 at the threshold, 0 at scores 0 and 1.
    Of one object it orders as the entropy of a score whose 0.5 is moved to t (Lewis and Gale, "A Sequential Algorithm for
    Training Text Classifiers", 1994; Settles, "Active Learning Literature Survey", 2009), and is exact in whole numbers.

    Args:
        score, threshold: (n,) millionths, threshold of each object's class, within 1..999999.
    """
    room = np.where(score < threshold, threshold, MICRO - threshold)
    out: Ints = WHOLE - (np.abs(score - threshold) * WHOLE) // room
    return out


# --- disagreement --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Apart:
    """Where two models disagree: by picture, how many objects only the first or only the second found, how many have
    two classes, and (thousandths) all of it folded. All (n,)."""

    first: Ints
    second: Ints
    classes: Ints
    part: Ints


def disagreement(a: Found, b: Found, n: int) -> Apart:
    """Two models as a committee on n pictures (Seung, Opper, Sompolinsky, "Query by Committee", 1992).

    Objects of both are one where their IoU is at least SAME_OBJECT: those of one class first, then across classes, the
    greatest overlap first. An object of one model alone counts its score; one of two classes the higher score; one of the
    same class the difference of the scores.
    """
    of, to, alike = _pairs(a, b)
    alone_a, alone_b = np.ones(len(a), bool), np.ones(len(b), bool)
    alone_a[of], alone_b[to] = False, False
    gap = np.where(alike, np.abs(a.score[of] - b.score[to]), np.maximum(a.score[of], b.score[to]))
    picture = np.concatenate([a.picture[of], a.picture[alone_a], b.picture[alone_b]])
    part = np.concatenate([gap, a.score[alone_a], b.score[alone_b]]) * WHOLE // MICRO
    return Apart(
        np.bincount(a.picture[alone_a], minlength=n), np.bincount(b.picture[alone_b], minlength=n),
        np.bincount(a.picture[of][~alike], minlength=n), folded(picture, part, n),
    )  # fmt: skip


def _pairs(a: Found, b: Found) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """(place in a, place in b, same class) of the objects that are one, each at most once."""
    order = np.argsort(b.picture, kind="stable")
    low = np.searchsorted(b.picture[order], a.picture, side="left")
    n = np.searchsorted(b.picture[order], a.picture, side="right") - low
    i = np.repeat(np.arange(len(a)), n)
    j = order[np.repeat(low - np.append(0, np.cumsum(n)[:-1]), n) + np.arange(len(i))] if len(i) else i
    iou = _iou(a.box[i], b.box[j])
    near = iou >= SAME_OBJECT
    i, j, iou = i[near], j[near], iou[near]
    alike = a.label[i] == b.label[j]
    best = np.lexsort((j, i, -iou, ~alike))
    i, j, alike = i[best], j[best], alike[best]
    ones: list[tuple[Ints, Ints, NDArray[np.bool_]]] = []
    while len(i):  # a pair that is the first of both its objects is what the greedy way would take
        first_i, first_j = np.zeros(len(i), bool), np.zeros(len(i), bool)
        first_i[np.unique(i, return_index=True)[1]] = True
        first_j[np.unique(j, return_index=True)[1]] = True
        now = first_i & first_j
        ones.append((i[now], j[now], alike[now]))
        left = ~np.isin(i, i[now]) & ~np.isin(j, j[now])
        i, j, alike = i[left], j[left], alike[left]
    if not ones:
        return i, j, alike
    of, to, same = (np.concatenate([one[k] for one in ones]) for k in range(3))
    return of, to, same


def _iou(a: Ints, b: Ints) -> Floats:
    """Overlap of boxes (n, 4) in pairs; 0 where both are empty."""
    wide = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    high = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    both = (np.maximum(wide, 0) * np.maximum(high, 0)).astype(np.float64)
    whole = _area(a) + _area(b) - both
    out: Floats = np.divide(both, whole, out=np.zeros_like(both), where=whole > 0)
    return out


def _area(box: Ints) -> Floats:
    out: Floats = ((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])).astype(np.float64)
    return out


# --- rarity --------------------------------------------------------------------------------------------------------


def rareness(truth: Mapping[int, int], classes: Sequence[int]) -> dict[int, int]:
    """How rare each class is in the truth so far: max(0, 1 - C (n + 1) / (N + C)), thousandths by class.

    n of N true objects are of the class, C classes are known: one object is lent to each (Laplace), and a class with an even
    share of all or more is not rare. Without any truth none is. Class-balanced in the sense of Cui et al., "Class-Balanced
    Loss Based on Effective Number of Samples" (2019), for the choice of pictures instead of the loss.

    Args:
        truth: class -> true objects. classes: all that truth or a model knows.
    """
    every = sorted({*classes, *truth})
    total = sum(truth.values()) + len(every)
    return {c: max(0, WHOLE - WHOLE * len(every) * (truth.get(c, 0) + 1) // total) for c in every}


def rarity(found: Found, rare: Ints, n: int) -> Ints:
    """Rare classes a model expects on n pictures: rareness times score of each object, folded. (n,)

    Args:
        rare: (m,) rareness of each object's class, thousandths.
    """
    return folded(found.picture, rare * found.score // MICRO, n)


# --- diversity -----------------------------------------------------------------------------------------------------


def signs(vectors: NDArray[np.float16] | NDArray[np.float32]) -> NDArray[np.uint8]:
    """Unit vectors (n, d) as signs (n, WIDTH): 128 + 127 v, those longer than WIDTH projected by a fixed +-1 matrix first.

    Such projections keep distances (Johnson and Lindenstrauss, 1984; Achlioptas, "Database-friendly random projections",
    2003). Vectors are rounded to bytes before it, so that the sums are of whole numbers and exact.
    """
    v = np.rint(vectors.astype(np.float32) * np.float32(127))
    d = v.shape[1]
    if d > WIDTH:
        v = np.rint((v @ _turn(d)) / np.float32(np.sqrt(WIDTH)))  # sums below 2**24: exact in float32
    out = np.zeros((len(v), WIDTH), np.uint8)
    out[:] = 128
    out[:, : v.shape[1]] = np.clip(v + 128, 0, 255).astype(np.uint8)
    return out


def _turn(d: int) -> NDArray[np.float32]:
    """+-1, (d, WIDTH): bits of a fixed stream, the same for ever."""
    words = np.random.PCG64(20260923).random_raw(d * WIDTH // 64)
    bits = np.unpackbits(words.astype("<u8").view(np.uint8)).reshape(d, WIDTH)
    return bits.astype(np.float32) * np.float32(2) - np.float32(1)


BLOCK = 16_384


def nearest(
    signs: NDArray[np.uint8], centres: NDArray[np.uint8], *, tick: Callable[[], None] = lambda: None
) -> Ints:
    """Squared distance of every sign (n, WIDTH) to the nearest of the centres (k, WIDTH). (n,)

    By |x|² - 2 x·c + |c|² in float32: every value is a whole number below 2**24, so it is exact whatever the order of sums.
    """
    out = np.empty(len(signs), np.int64)
    there = centres.astype(np.float32)
    norms = (there * there).sum(axis=1)
    for at in range(0, len(signs), BLOCK):
        tick()
        here = signs[at : at + BLOCK].astype(np.float32)
        far = norms - 2 * (here @ there.T)
        out[at : at + BLOCK] = (far.min(axis=1) + (here * here).sum(axis=1)).astype(np.int64)
    return out


@dataclass(frozen=True, slots=True)
class Spread:
    """Places of the pictures chosen, in their order, and the squared distance of each to all that came before."""

    places: Ints
    far: Ints


def spread(
    signs: NDArray[np.uint8], known: NDArray[np.uint8], n: int, *, tick: Callable[[], None] = lambda: None
) -> Spread:
    """Choose pictures one after another, each the farthest from all before and from the known ones: greedy k-centre.

    Gonzalez, "Clustering to minimize the maximum intercluster distance" (1985), for labelling: Sener and Savarese, "Active
    Learning for Convolutional Neural Networks: A Core-Set Approach" (2018). Exact, of equal ones the first: many are chosen
    between two passes over all, as long as the farthest of a shortlist is farther than what is not on it.

    Args:
        signs: (m, WIDTH). known: (k, WIDTH); with k = 0 the picture nearest the mean begins, as far as the second.
        n: how many are chosen at most; equal ones of those chosen never are.
    """
    places: list[int] = []
    far: list[int] = []
    m = len(signs)
    if not m or n < 1:
        return Spread(np.zeros(0, np.int64), np.zeros(0, np.int64))
    if len(known):
        distance = nearest(signs, known, tick=tick)
    else:
        mean = signs.sum(axis=0, dtype=np.int64) // m
        first = int(np.argmin(nearest(signs, mean.astype(np.uint8)[None])))
        distance = nearest(signs, signs[first][None], tick=tick)
        places, far = [first], [int(distance.max())]
    while len(places) < n:
        tick()
        cut = int(np.partition(distance, max(0, m - SHORT))[max(0, m - SHORT)])
        top = np.flatnonzero(distance > cut)
        if not len(top):
            top = np.array([np.argmax(distance)])
        left, there = distance[top], signs[top].astype(np.int64)
        chosen: list[int] = []
        while len(places) < n:
            best = int(np.argmax(left))
            if left[best] <= 0 or (chosen and left[best] <= cut):
                break
            places.append(int(top[best]))
            far.append(int(left[best]))
            chosen.append(best)
            left = np.minimum(left, ((there - there[best]) ** 2).sum(axis=1))
        if not chosen:
            break
        distance = np.minimum(distance, nearest(signs, signs[top[chosen]], tick=tick))
    return Spread(np.array(places, np.int64), np.array(far, np.int64))


SHORT = 2048
"""Pictures on the shortlist of a pass."""


def diversity(far: Ints, most: int) -> Ints:
    """Squared distances as thousandths of the farthest, by their roots. (n,)"""
    out: Ints = np.floor(np.sqrt(far / max(1, most)) * WHOLE + 0.5).astype(np.int64)
    return np.clip(out, 0, WHOLE)


# --- together ------------------------------------------------------------------------------------------------------


def joined(parts: Ints, weights: Weights) -> Ints:
    """The weighted mean of the parts (n, 4) in the order of PARTS, rounded down: grows with every part. (n,) 0..1000"""
    w = np.array(weights.all(), np.int64)
    out: Ints = (parts * w).sum(axis=1) // w.sum()
    return out


def order(ids: Ints, value: Ints) -> Ints:
    """Places from the most worth to the least, of equal ones the lowest id first."""
    return np.lexsort((ids, -value))

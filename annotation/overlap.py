"""How far objects of one picture cover each other: boxes and masks as COCO counts them, turned boxes by their polygons.

Everything is float64 in the order of operations of COCO's own program, so that an overlap that is exactly a threshold
falls on the same side of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from annotation import geometry, raster
from annotation.core import Annotation, Keypoints, Mask, Shape, Tag
from annotation.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

By = Literal["box", "mask", "rotated", "tag"]
BYS: tuple[By, ...] = ("box", "mask", "rotated", "tag")
"""What is compared: the boxes around the shapes, their pixels, their convex outlines, or only that a class is there."""
CROWD = "iscrowd"
"""Attribute of COCO: a region of many; predictions on it are neither right nor wrong."""


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """A mask as half-open stretches of its pixels, column by column: starts, ends (k,), and how many ones lie before
    each stretch (k + 1,), all int64."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    before: NDArray[np.int64]

    @property
    def area(self) -> int:
        """Number of ones."""
        return int(self.before[-1])


Outline = Runs | tuple[tuple[float, float], ...] | None
"""What stands behind a box where boxes are not enough: the runs of a mask, or a convex ring, clockwise on the screen."""


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """n objects of one picture, ready to be compared.

    Attributes:
        labels: int64 (n,) places in the list of classes. boxes: float64 (n, 4) x, y, w, h. areas: float64 (n,) px².
        scores: float64 (n,), 1 for truth. crowd: bool (n,). outlines: one each, None where boxes are compared.
    """

    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    scores: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    outlines: tuple[Outline, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def taken(self, places: NDArray[np.int64]) -> Objects:
        """Some of them, in the order of `places`."""
        some = tuple(self.outlines[i] for i in places.tolist())
        return Objects(
            self.labels[places],
            self.boxes[places],
            self.areas[places],
            self.scores[places],
            self.crowd[places],
            some,
        )


def objects(
    annotations: Sequence[Annotation], places: Mapping[str, int], *, by: By, wh: tuple[int, int] | None = None
) -> Objects:
    """Those annotations whose class has a place and whose shape can be compared in this way.

    Args:
        by: "box", "mask" and "rotated" need shapes with an area, "tag" takes only labels of the whole picture.
        wh: size of the picture; needed for "mask".
    """
    labels: list[int] = []
    rows: list[tuple[float, float, float, float]] = []
    areas: list[float] = []
    scores: list[float] = []
    crowd: list[bool] = []
    outlines: list[Outline] = []
    for a in annotations:
        place = places.get(a.label)
        if place is None or (found := _measured(a.shape, by, wh)) is None:
            continue
        if by == "tag" and place in labels:  # said twice is said once
            continue
        box, area, outline = found
        if (
            by == "box" and a.origin == "model"
        ):  # as COCO: a predicted box is as large as it is, whatever its outline
            area = box[2] * box[3]
        labels.append(place)
        rows.append(box)
        areas.append(area)
        scores.append(1.0 if a.score is None else a.score)
        crowd.append(a.attributes.get(CROWD) is True)
        outlines.append(outline)
    return Objects(
        np.array(labels, np.int64), np.array(rows, np.float64).reshape(-1, 4), np.array(areas, np.float64),
        np.array(scores, np.float64), np.array(crowd, np.bool_), tuple(outlines),
    )  # fmt: skip


def _measured(
    shape: Shape, by: By, wh: tuple[int, int] | None
) -> tuple[tuple[float, float, float, float], float, Outline] | None:
    """(x y w h, area, outline) of a shape, None when it cannot be compared so."""
    if by == "tag":
        return ((0.0, 0.0, 1.0, 1.0), 1.0, None) if isinstance(shape, Tag) else None
    box = geometry.bbox(shape)
    if (
        by == "box" and isinstance(shape, Keypoints) and box is not None
    ):  # a skeleton counts as the box around it
        shape = box
    drawn = shape if isinstance(shape, Mask) else geometry.outline(shape)
    if drawn is None or box is None:
        return None
    xywh = (box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0)
    if by == "box":
        return xywh, geometry.area(shape), None
    if by == "mask":
        if wh is None:
            raise InvalidInput("masks are compared on a picture whose size is known")
        mask = raster.to_mask(shape, width=wh[0], height=wh[1])
        inner = geometry.bbox(mask)
        if inner is None:
            return None
        runs = of_mask(mask)
        return (inner.x0, inner.y0, inner.x1 - inner.x0, inner.y1 - inner.y0), float(runs.area), runs
    polygon = geometry.outline(raster.to_polygon(shape) or shape) if isinstance(shape, Mask) else drawn
    if polygon is None or isinstance(polygon, Mask):
        return None
    ring = tuple(geometry.pairs(geometry.hull(tuple(c for part in polygon.parts for c in part[0]))))
    if len(ring) < 3:
        return None
    return xywh, _ring_area(ring), ring


def of_mask(mask: Mask) -> Runs:
    """The stretches of a mask's ones."""
    runs = np.asarray(mask.counts, np.int64)
    ends = np.cumsum(runs)[1::2]
    lengths = runs[1::2]
    return Runs(ends - lengths, ends, np.concatenate(([0], np.cumsum(lengths))))


def iou(found: Objects, truth: Objects) -> NDArray[np.float64]:
    """Overlap (d, g) of every found object with every given one: intersection over union, over the found area for a crowd."""
    out = _boxes(found.boxes, truth.boxes, truth.crowd)
    if not len(found) or not len(truth) or truth.outlines[0] is None:
        return out
    for d, g in np.argwhere(out > 0).tolist():
        mine, other = found.outlines[d], truth.outlines[g]
        if isinstance(mine, Runs) and isinstance(other, Runs):
            shared, whole = float(_shared(mine, other)), mine.area + other.area
            own = float(mine.area)
        elif isinstance(mine, tuple) and isinstance(other, tuple):
            shared = _ring_area(_clipped(mine, other))
            own, whole = found.areas[d], found.areas[d] + truth.areas[g]
        else:
            raise InvalidInput("masks are compared with masks, polygons with polygons")
        union = own if truth.crowd[g] else whole - shared
        out[d, g] = shared / union if union > 0 else 0.0
    return out


def _boxes(d: NDArray[np.float64], g: NDArray[np.float64], crowd: NDArray[np.bool_]) -> NDArray[np.float64]:
    """COCO's overlap of boxes x y w h."""
    low = np.maximum(d[:, None, :2], g[None, :, :2])
    high = np.minimum((d[:, 2:] + d[:, :2])[:, None], (g[:, 2:] + g[:, :2])[None])
    wh = high - low
    shared = np.where((wh > 0).all(axis=2), wh[..., 0] * wh[..., 1], 0.0)
    own = (d[:, 2] * d[:, 3])[:, None]
    union = np.where(crowd[None], own, own + (g[:, 2] * g[:, 3])[None] - shared)
    out = np.zeros_like(shared)
    np.divide(shared, union, out=out, where=(shared > 0) & (union > 0))
    return out


def _shared(a: Runs, b: Runs) -> int:
    """Number of ones in both masks."""
    if len(a.starts) > len(b.starts):
        a, b = b, a
    return int((_ones_before(b, a.ends) - _ones_before(b, a.starts)).sum())


def _ones_before(runs: Runs, at: NDArray[np.int64]) -> NDArray[np.int64]:
    k = np.searchsorted(runs.starts, at, side="right")
    beyond = np.where(k > 0, np.maximum(0, runs.ends[np.maximum(k - 1, 0)] - at), 0)
    return runs.before[k] - beyond


Ring = Sequence[tuple[float, float]]


def _ring_area(ring: Ring) -> float:
    return abs(geometry.ring_area(tuple(c for p in ring for c in p))) if len(ring) >= 3 else 0.0


def _clipped(subject: Ring, by: Ring) -> Ring:
    """The part of a convex ring inside another (Sutherland and Hodgman, 1974); both turn the same way."""
    out = list(subject)
    for i, (bx, by_) in enumerate(by):
        ax, ay = by[i - 1]
        before, out = out, []
        for j, (x, y) in enumerate(before):
            px, py = before[j - 1]
            inside = (bx - ax) * (y - ay) - (by_ - ay) * (x - ax)
            was = (bx - ax) * (py - ay) - (by_ - ay) * (px - ax)
            if (inside > 0 > was) or (inside < 0 < was):
                share = was / (was - inside)
                out.append((px + share * (x - px), py + share * (y - py)))
            if inside >= 0:
                out.append((x, y))
        if len(out) < 3:
            return ()
    return out

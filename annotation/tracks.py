"""Tracks: one object over the frames of a sequence, given at key frames and interpolated between them.

All annotations of a track share the mark "@track". On a key frame ("@key") somebody put the object where it is; the
frames between two key frames get what lies between. The object is absent from a frame that is given as None, and after
a key frame with "@end", until the next key frame. Before the first and after the last key frame nothing is said of it.

What lies between, at the share t of the time:

box, quad, cuboid, points, keypoints   every coordinate in proportion
rotated box, ellipse                   the same, and the angle along the shorter turn
polygon, polyline of equal points      vertex by vertex
polygon, polyline of unequal points    both are given each other's vertices by their share of the length; a ring is
                                       first turned so that it begins where the other does
what cannot be matched                 the shape of the key frame before: masks, tags, captions, polygons of another
                                       number of rings, points or keypoints of another number
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from annotation import geometry, marks, rows
from annotation.core import (
    Annotation,
    Box,
    Coords,
    Cuboid,
    Ellipse,
    Keypoints,
    Points,
    Polygon,
    Polyline,
    Quad,
    RotatedBox,
    Shape,
    new_uid,
)
from annotation.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAMPLES = 64
"""Places on two rings that are compared to find where the second should begin."""


def fill(frames: Mapping[int, Annotation | None], n: int) -> dict[int, Annotation]:
    """The annotations between the key frames of one track, by frame number, with fresh uids.

    Args:
        frames: by frame number the annotation of a key frame, or None where the object is absent.
        n: how many frames the sequence has; numbers are from 0 to n - 1.

    Label, attributes and marks are those of the key frame before, without "@key", "@end" and links; of a prediction
    on either side the result is a prediction too, with the lower score.

    Raises:
        InvalidInput: for key frames of no or different tracks, of different kinds, or outside 0 to n - 1.
    """
    keys = _checked(frames, n)
    out: dict[int, Annotation] = {}
    for first, last in pairwise(keys):
        a, b = frames[first], frames[last]
        if a is None or marks.is_end(a):
            continue
        for index in range(first + 1, last):
            # Up to an absence nothing is known but the key frame before it: the object stays where it was.
            shape = a.shape if b is None else interpolate(a.shape, b.shape, (index - first) / (last - first))
            out[index] = _between(a, b, rows.snapped(shape))
    return out


def _checked(frames: Mapping[int, Annotation | None], n: int) -> list[int]:
    keys = sorted(frames)
    given = [a for a in frames.values() if a is not None]
    if keys and not 0 <= keys[0] <= keys[-1] < n:
        raise InvalidInput(f"key frames from {keys[0]} to {keys[-1]} of {n} frames")
    if given and ({marks.track(a) for a in given} != {marks.track(given[0])} or not marks.track(given[0])):
        raise InvalidInput("key frames of no or of different tracks", remedy="give them one track")
    if len({a.kind for a in given}) > 1:
        raise InvalidInput("key frames of different kinds of shape", remedy="convert them to one kind")
    return keys


def _between(a: Annotation, b: Annotation | None, shape: Shape) -> Annotation:
    for code in ("@key", "@end", "@links"):
        a = marks.with_mark(a, code, None)
    scores = [x.score for x in (a, b) if x is not None and x.origin == "model" and x.score is not None]
    origin = "model" if b is not None and b.origin == "model" else a.origin
    score = min(scores) if scores and origin == "model" else None
    return replace(a, uid=new_uid(), shape=shape, origin=origin, score=score)


def interpolate(a: Shape, b: Shape, t: float) -> Shape:
    """The shape at the share t (0..1) of the way from a to b, which are of one kind; see the table of this module."""
    match a, b:
        case Box(), Box():
            return Box(*_mix((a.x0, a.y0, a.x1, a.y1), (b.x0, b.y0, b.x1, b.y1), t))
        case RotatedBox(), RotatedBox():
            cx, cy, w, h = _mix((a.cx, a.cy, a.w, a.h), (b.cx, b.cy, b.w, b.h), t)
            return RotatedBox(cx, cy, w, h, _turn(a.degrees, b.degrees, t, 360.0))
        case Ellipse(), Ellipse():
            cx, cy, rx, ry = _mix((a.cx, a.cy, a.rx, a.ry), (b.cx, b.cy, b.rx, b.ry), t)
            return Ellipse(cx, cy, rx, ry, _turn(a.degrees, b.degrees, t, 180.0))
        case Quad(), Quad():
            return Quad(_mix(a.points, b.points, t))
        case Cuboid(), Cuboid():
            return Cuboid(_mix(a.points, b.points, t))
        case Points(), Points():
            return Points(_mix(a.points, b.points, t)) if len(a.points) == len(b.points) else a
        case Keypoints(), Keypoints():
            return _keypoints(a, b, t) if len(a.visibility) == len(b.visibility) else a
        case Polyline(), Polyline():
            return Polyline(_mix(*_matched(a.points, b.points, closed=False), t))
        case Polygon(), Polygon() if [len(p) for p in a.parts] == [len(p) for p in b.parts]:
            parts = zip(a.parts, b.parts, strict=True)
            return Polygon(
                tuple(
                    tuple(_mix(*_matched(p, q, closed=True), t) for p, q in zip(one, other, strict=True))
                    for one, other in parts
                )
            )
        case _:
            return a


def _mix(a: Coords, b: Coords, t: float) -> Coords:
    return tuple(x + (y - x) * t for x, y in zip(a, b, strict=True))


def _turn(a: float, b: float, t: float, full: float) -> float:
    """The angle at t along the shorter way round; a turn of exactly half goes clockwise."""
    way = (b - a) % full
    return (a + (way if way <= full / 2 else way - full) * t) % full


def _keypoints(a: Keypoints, b: Keypoints, t: float) -> Keypoints:
    """A point that is absent on one side stays as it is on the side before."""
    points: list[float] = []
    for i, (v, w) in enumerate(zip(a.visibility, b.visibility, strict=True)):
        here, there = a.points[2 * i : 2 * i + 2], b.points[2 * i : 2 * i + 2]
        points += _mix(here, there, t) if v and w else here
    return Keypoints(tuple(points), a.visibility)


def _matched(a: Coords, b: Coords, *, closed: bool) -> tuple[Coords, Coords]:
    """Two lines or rings with one point for each of the other."""
    if len(a) == len(b):
        return a, b
    one, other = (np.asarray(points, dtype=np.float64).reshape(-1, 2) for points in (a, b))
    if closed:
        if (geometry.ring_area(a) < 0) != (geometry.ring_area(b) < 0):
            other = other[::-1]
        other = np.roll(other, -_start(one, other), axis=0)
    shares = np.union1d(_shares(one, closed), _shares(other, closed))
    shares = shares[np.concatenate(([True], np.diff(shares) > 1e-9))]
    if closed:
        shares = shares[shares < 1 - 1e-9]
    return _sampled(one, shares, closed), _sampled(other, shares, closed)


def _shares(points: NDArray[np.float64], closed: bool) -> NDArray[np.float64]:
    """Where each vertex lies on its line, as a share of the length 0..1; even steps on a line without length."""
    path = np.concatenate((points, points[:1])) if closed else points
    steps = np.hypot(*np.diff(path, axis=0).T)
    total = steps.sum()
    if not total > 0:
        steps, total = np.ones(len(steps)), float(len(steps))
    return np.concatenate(([0.0], np.cumsum(steps)[:-1] / total, [1.0]))


def _sampled(points: NDArray[np.float64], shares: NDArray[np.float64], closed: bool) -> Coords:
    path = np.concatenate((points, points[:1])) if closed else points
    at = _shares(points, closed)
    found: Any = np.stack([np.interp(shares, at, path[:, i]) for i in (0, 1)], axis=1)
    return tuple(found.ravel().tolist())


def _start(a: NDArray[np.float64], b: NDArray[np.float64]) -> int:
    """The vertex of ring b at which it should begin to run along with ring a, both about their own centres."""
    shares = np.arange(_SAMPLES) / _SAMPLES
    fixed = np.asarray(_sampled(a - a.mean(axis=0), shares, True)).reshape(-1, 2)
    moving = np.asarray(_sampled(b - b.mean(axis=0), shares, True)).reshape(-1, 2)
    apart = [float(((fixed - np.roll(moving, -k, axis=0)) ** 2).sum()) for k in range(_SAMPLES)]
    best = int(np.argmin(apart)) / _SAMPLES
    away = np.abs(_shares(b, True)[:-1] - best)
    return int(np.argmin(np.minimum(away, 1 - away)))

"""An object followed from picture to picture by classical means: template matching, and points of optical flow.

Pure: arrays in, the object's next place and a confidence out. Who follows stops where the confidence falls, and says
why; a guess written over a hundred frames costs more than the click that starts again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from annotation.core import (
    Box,
    Cuboid,
    Ellipse,
    Keypoints,
    Points,
    Polygon,
    Polyline,
    Quad,
    RotatedBox,
    Shape,
)

Grey = NDArray[np.uint8]
"""uint8 (h, w)."""
Method = Literal["template", "flow"]
METHODS: tuple[Method, ...] = get_args(Method)

LEAST_TEMPLATE = 0.62
"""Normalised correlation below which the template is not there any more."""
LEAST_RENEWED = 0.8
"""The same for a template taken on the way: it may hold some of the background, which stays when the object goes."""
LEAST_FLOW = 0.5
"""Share of points that find back to where they came from, below which the object is lost."""
SCALES = (0.94, 0.97, 1.0, 1.03, 1.06)
SEARCH = 0.6
"""How far an object may move between two pictures, in its own sizes (and at least 24 px)."""
TEMPLATE_PX = 96
"""Longest side of the template when it is compared; larger objects are reduced."""
_POINTS = 120
_BACK_PX = 1.5
_REFRESH = 0.85


@dataclass(frozen=True, slots=True)
class Found:
    """The object's box in the next picture, and how sure: 0..1. `why` says what is wrong, "" when it may go on."""

    box: Box
    confidence: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Follower:
    """What is known of the object: where it was, and what it looks like (two templates: the first, and the last sure one)."""

    method: Method
    box: Box
    first: Grey
    last: Grey
    picture: Grey


def grey(picture: NDArray[np.uint8]) -> Grey:
    """A BGR picture (h, w, 3) for following."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def start(picture: Grey, box: Box, method: Method) -> Follower | None:
    """Begin at a box; None when too little of it lies in the picture."""
    patch = _patch(picture, box)
    return None if patch is None else Follower(method, box, patch, patch, picture)


def step(follower: Follower, picture: Grey) -> tuple[Follower, Found]:
    """Look for the object in the next picture. When `Found.why` is set the follower has not moved."""
    found = _by_template(follower, picture) if follower.method == "template" else _by_flow(follower, picture)
    if found.why:
        return follower, found
    patch = _patch(picture, found.box)
    if patch is None:
        return follower, replace(found, why="it leaves the picture")
    # A template that is renewed at every step drifts off its object; one that never is loses what turns.
    sure = follower.method == "template" and found.confidence >= _REFRESH
    last = patch if sure or follower.method == "flow" else follower.last
    return replace(follower, box=found.box, last=last, picture=picture), found


def moved(shape: Shape, old: Box, new: Box) -> Shape:
    """The shape carried along as its box went from `old` to `new`: shifted and scaled."""
    sx = (new.x1 - new.x0) / max(old.x1 - old.x0, 1e-6)
    sy = (new.y1 - new.y0) / max(old.y1 - old.y0, 1e-6)

    def flat(points: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(
            new.y0 + (v - old.y0) * sy if i % 2 else new.x0 + (v - old.x0) * sx for i, v in enumerate(points)
        )

    match shape:
        case Box(x0, y0, x1, y1):
            return Box(*flat((x0, y0, x1, y1)))
        case RotatedBox():
            cx, cy = flat((shape.cx, shape.cy))
            both = math.sqrt(sx * sy)
            return replace(shape, cx=cx, cy=cy, w=shape.w * both, h=shape.h * both)
        case Ellipse():
            cx, cy = flat((shape.cx, shape.cy))
            both = math.sqrt(sx * sy)
            return replace(shape, cx=cx, cy=cy, rx=shape.rx * both, ry=shape.ry * both)
        case Polygon(parts):
            return Polygon(tuple(tuple(flat(ring) for ring in part) for part in parts))
        case Polyline(points):
            return Polyline(flat(points))
        case Points(points):
            return Points(flat(points))
        case Keypoints(points, visibility):
            return Keypoints(flat(points), visibility)
        case Quad(points):
            return Quad(flat(points))
        case Cuboid(points):
            return Cuboid(flat(points))
        case _:
            return shape


def _patch(picture: Grey, box: Box) -> Grey | None:
    """The pixels of a box, cut at the border; None when less than half of it or under 6 px are left."""
    h, w = picture.shape
    x0, y0 = max(0, round(box.x0)), max(0, round(box.y0))
    x1, y1 = min(w, round(box.x1)), min(h, round(box.y1))
    whole = (box.x1 - box.x0) * (box.y1 - box.y0)
    if x1 - x0 < 6 or y1 - y0 < 6 or (x1 - x0) * (y1 - y0) < 0.5 * whole:
        return None
    return picture[y0:y1, x0:x1]


def _by_template(follower: Follower, picture: Grey) -> Found:
    """The best normalised correlation in a window around the last place, over a few sizes."""
    box = follower.box
    wide, high = box.x1 - box.x0, box.y1 - box.y0
    reach_x, reach_y = max(24.0, SEARCH * wide), max(24.0, SEARCH * high)
    h, w = picture.shape
    left, top = max(0, round(box.x0 - reach_x)), max(0, round(box.y0 - reach_y))
    right, bottom = min(w, round(box.x1 + reach_x)), min(h, round(box.y1 + reach_y))
    if right - left < 8 or bottom - top < 8:
        return Found(box, 0.0, "it leaves the picture")
    shrink = min(1.0, TEMPLATE_PX / max(wide, high))
    window: NDArray[Any] = picture[top:bottom, left:right]
    if shrink < 1:
        window = cv2.resize(window, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    # The first template cannot drift, so it is asked first; the last sure one only when the object has changed its looks.
    for pattern, least in ((follower.first, LEAST_TEMPLATE), (follower.last, LEAST_RENEWED)):
        value, scale, x, y = _match(pattern, window, (wide * shrink, high * shrink))
        if value >= least:
            break
    x0, y0 = left + x / shrink, top + y / shrink
    new = Box(x0, y0, x0 + wide * scale, y0 + high * scale)
    if value < least:
        return Found(new, max(0.0, value), "it does not look like itself any more")
    if not _finds_back(follower, picture, new, shrink, (left, top, right, bottom)):
        return Found(new, max(0.0, value), "what is found there was not the object before")
    return Found(new, value)


def _finds_back(
    follower: Follower, picture: Grey, new: Box, shrink: float, part: tuple[int, int, int, int]
) -> bool:
    """Whether what was found in the new picture lay at the object's place in the picture before. Background that looks
    alike does not: it was beside the object then, and is there still."""
    patch = _patch(picture, new)
    if patch is None:
        return False
    left, top, right, bottom = part
    window: NDArray[Any] = follower.picture[top:bottom, left:right]
    if shrink < 1:
        window = cv2.resize(window, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    old = follower.box
    wide, high = old.x1 - old.x0, old.y1 - old.y0
    _, scale, x, y = _match(patch, window, (wide * shrink, high * shrink))
    cx, cy = left + x / shrink + wide * scale / 2, top + y / shrink + high * scale / 2
    return (
        abs(cx - (old.x0 + old.x1) / 2) <= 0.2 * wide + 2
        and abs(cy - (old.y0 + old.y1) / 2) <= 0.2 * high + 2
    )


def _match(pattern: Grey, window: NDArray[Any], wh: tuple[float, float]) -> tuple[float, float, float, float]:
    """(correlation, scale, x, y in the window) of the best place of a pattern that was (w, h) px in the last picture."""
    best = (-1.0, 1.0, 0.0, 0.0)
    for scale in SCALES:
        size = (round(wh[0] * scale), round(wh[1] * scale))
        if min(size) < 5 or size[0] >= window.shape[1] or size[1] >= window.shape[0]:
            continue
        smaller = size[0] < pattern.shape[1]
        seen = cv2.resize(pattern, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
        scores = np.asarray(cv2.matchTemplate(window, seen, cv2.TM_CCOEFF_NORMED))
        scores = np.where(np.isfinite(scores), scores, -1.0)
        _, value, _, (column, row) = cv2.minMaxLoc(scores)
        value -= 0.1 * abs(scale - 1)  # of two equal matches the one of the same size
        if value > best[0]:
            dx, dy = _between(scores, column, row)
            best = float(value), scale, column + dx, row + dy
    return best


def _between(scores: NDArray[Any], column: int, row: int) -> tuple[float, float]:
    """Where between the pixels the peak lies, by a parabola through its neighbours."""

    def shift(a: float, b: float, c: float) -> float:
        bend = a - 2 * b + c
        return 0.0 if bend >= -1e-9 else min(0.5, max(-0.5, 0.5 * (a - c) / bend))

    h, w = scores.shape
    dx = shift(*map(float, scores[row, column - 1 : column + 2])) if 0 < column < w - 1 else 0.0
    dy = shift(*map(float, scores[row - 1 : row + 2, column])) if 0 < row < h - 1 else 0.0
    return dx, dy


def _by_flow(follower: Follower, picture: Grey) -> Found:
    """Pyramidal Lucas-Kanade with a check back to where each point came from; the medians move and scale the box."""
    box = follower.box
    h, w = follower.picture.shape
    if picture.shape != follower.picture.shape:
        return Found(box, 0.0, "the next picture has another size")
    x0, y0 = max(0, math.floor(box.x0)), max(0, math.floor(box.y0))
    x1, y1 = min(w, math.ceil(box.x1)), min(h, math.ceil(box.y1))
    area = np.zeros((h, w), np.uint8)
    inset_x, inset_y = (
        round(0.06 * (x1 - x0)),
        round(0.06 * (y1 - y0)),
    )  # the rim shows mostly what is behind it
    area[y0 + inset_y : y1 - inset_y, x0 + inset_x : x1 - inset_x] = 255
    found = cv2.goodFeaturesToTrack(follower.picture, _POINTS, 0.01, 3, mask=area)
    if found is None or len(found) < 6:
        return Found(box, 0.0, "too few points to follow: it is flat or too small")
    old = np.asarray(found, np.float32).reshape(-1, 1, 2)
    lk: Any = cv2.calcOpticalFlowPyrLK  # its stubs know no call without a first guess
    how: dict[str, Any] = {"winSize": (15, 15), "maxLevel": 4}
    new, there, _ = lk(follower.picture, picture, old, None, **how)
    back, again, _ = lk(picture, follower.picture, new, None, **how)
    a, b = old.reshape(-1, 2), np.asarray(new).reshape(-1, 2)
    away = np.abs(a - np.asarray(back).reshape(-1, 2)).max(axis=1)
    kept = (np.asarray(there).ravel() == 1) & (np.asarray(again).ravel() == 1) & (away < _BACK_PX)
    if kept.sum() >= 6:
        shift = b - a
        middle = np.median(shift[kept], axis=0)
        far = np.hypot(*(shift - middle).T)
        kept &= far < max(3.0, 0.1 * max(box.x1 - box.x0, box.y1 - box.y0))
    confidence = float(kept.mean())
    if kept.sum() < 6 or confidence < LEAST_FLOW:
        return Found(box, confidence, "its points are lost")
    a, b = a[kept], b[kept]
    dx, dy = (float(v) for v in np.median(b - a, axis=0))
    scale = 1.0
    first, second = np.triu_indices(len(a), 1)
    before = np.hypot(*(a[first] - a[second]).T)
    if (wide := before > 4).sum() >= 10:
        after = np.hypot(*(b[first] - b[second]).T)
        scale = min(1.15, max(0.87, float(np.median(after[wide] / before[wide]))))
    cx, cy = (box.x0 + box.x1) / 2 + dx, (box.y0 + box.y1) / 2 + dy
    half_w, half_h = (box.x1 - box.x0) / 2 * scale, (box.y1 - box.y0) / 2 * scale
    return Found(Box(cx - half_w, cy - half_h, cx + half_w, cy + half_h), confidence)

"""Outlines drawn by classical algorithms on a picture's pixels: scissors, GrabCut, flood fill, and edges to snap to.

Arrays in, shapes out; nothing here is learned and nothing is called intelligent that is not (the name "Intelligent
scissors" is the paper's, Mortensen and Barrett 1995). Every function works on a bounded part of the picture, so that
its time does not grow with the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from annotation import rle
from annotation.core import Box, Coords, Mask, Polygon

Picture = NDArray[np.uint8]
"""uint8 (h, w, 3) BGR."""
Bits = NDArray[np.uint8]
"""uint8 (h, w) of 0 and 1."""
Stroke = tuple[Sequence[tuple[float, float]], bool]
"""Points (x, y) in source pixels a person drew, and True for "this belongs to it"."""

SCISSORS_PX = 640
"""Side of the part that the scissors search, in pixels of the reduced picture: about 100 ms to build."""
GRABCUT_PX = 400
"""Longest side of the part GrabCut works on, reduced: 0.2 s of a core on a photograph, 0.8 s where all is dim."""
WAND_PIXELS = 30_000_000
"""Above this the wand looks at a part of that many pixels around its seed."""
OUTLINE_PIXELS = 6_000_000
"""Larger regions are outlined on a reduced array."""
SPECK = 0.01
"""Parts of an outline below this share of the largest part are dropped as noise."""


@dataclass(frozen=True, slots=True)
class Region:
    """Some pixels of a picture: the array `bits` with its top left pixel at (x, y) of the picture."""

    x: int
    y: int
    bits: Bits

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.bits))

    def trimmed(self) -> Region:
        """The same pixels in the smallest array."""
        x, y, w, h = cv2.boundingRect(self.bits)
        return Region(self.x + x, self.y + y, np.ascontiguousarray(self.bits[y : y + h, x : x + w]))


NOTHING = Region(0, 0, np.zeros((0, 0), np.uint8))


def joined(a: Region, b: Region) -> Region:
    """Pixels of either."""
    if not a.bits.size or not b.bits.size:
        return b if not a.bits.size else a
    x, y = min(a.x, b.x), min(a.y, b.y)
    w = max(a.x + a.bits.shape[1], b.x + b.bits.shape[1]) - x
    h = max(a.y + a.bits.shape[0], b.y + b.bits.shape[0]) - y
    out = np.zeros((h, w), np.uint8)
    for one in (a, b):
        top, left = one.y - y, one.x - x
        out[top : top + one.bits.shape[0], left : left + one.bits.shape[1]] |= one.bits
    return Region(x, y, out)


def without(a: Region, b: Region) -> Region:
    """Pixels of `a` that are not of `b`."""
    x0, y0 = max(a.x, b.x), max(a.y, b.y)
    x1 = min(a.x + a.bits.shape[1], b.x + b.bits.shape[1])
    y1 = min(a.y + a.bits.shape[0], b.y + b.bits.shape[0])
    if x0 >= x1 or y0 >= y1:
        return a
    out = a.bits.copy()
    out[y0 - a.y : y1 - a.y, x0 - a.x : x1 - a.x] &= (
        1 - b.bits[y0 - b.y : y1 - b.y, x0 - b.x : x1 - b.x]
    ).astype(np.uint8)
    return Region(a.x, a.y, out)


def to_mask(region: Region, wh: tuple[int, int]) -> Mask:
    """The region as the run-length mask of a picture of (w, h) px; what lies outside is cut off.

    Only the region's own array is looked at, so a small object on a large picture costs little.
    """
    return rle.encode(region.bits, at=(region.x, region.y), wh=wh)


def to_polygon(region: Region, *, tolerance_px: float = 0.8) -> Polygon | None:
    """The region's outline with holes, simplified within `tolerance_px`; None when nothing worth an outline is left.

    It runs along the pixels' edges: cv2.findContours runs through pixel centres and comes back half a pixel smaller,
    so the bits are doubled and grown by one half pixel to the right and below first.
    """
    if not region.bits.any():
        return None
    if region.bits.size > OUTLINE_PIXELS:
        return _coarse_polygon(region, tolerance_px)
    high, wide = region.bits.shape
    double = np.zeros((2 * high + 3, 2 * wide + 3), np.uint8)
    double[1 : 2 * high + 1, 1 : 2 * wide + 1] = np.repeat(np.repeat(region.bits, 2, 0), 2, 1)
    grown = cv2.dilate(double, np.ones((2, 2), np.uint8), anchor=(1, 1))
    rings, tree = cv2.findContours(grown, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if tree is None or not len(rings):
        return None
    links = np.asarray(tree).reshape(-1, 4)
    areas = [cv2.contourArea(ring) / 4 for ring in rings]
    least = max(1.0, SPECK * max(areas))

    def flat(ring: NDArray[Any]) -> Coords | None:
        thin = cv2.approxPolyDP(ring, 2 * tolerance_px, True).reshape(-1, 2)
        if len(thin) < 3 or cv2.contourArea(thin) <= 0:
            return None
        points = (thin - 1) / 2 + (region.x, region.y)
        return tuple(float(v) for v in points.ravel())

    parts: list[tuple[Coords, ...]] = []
    for i, ring in enumerate(rings):
        if links[i, 3] >= 0 or areas[i] < least:
            continue
        outer = flat(ring)
        if outer is None:
            continue
        holes, child = [], int(links[i, 2])
        while child >= 0:
            if areas[child] >= least and (hole := flat(rings[child])) is not None:
                holes.append(hole)
            child = int(links[child, 0])
        parts.append((outer, *holes))
    return Polygon(tuple(parts)) if parts else None


def _coarse_polygon(region: Region, tolerance_px: float) -> Polygon | None:
    """The outline of a very large region, from a reduced array: within a pixel of the reduction."""
    high, wide = region.bits.shape
    shrink = math.ceil(math.sqrt(region.bits.size / OUTLINE_PIXELS))
    small = (max(1, round(wide / shrink)), max(1, round(high / shrink)))
    bits = np.asarray(cv2.resize(region.bits * np.uint8(255), small, interpolation=cv2.INTER_AREA)) > 127
    found = to_polygon(Region(0, 0, bits.astype(np.uint8)), tolerance_px=tolerance_px)
    if found is None:
        return None
    fx, fy = wide / small[0], high / small[1]

    def flat(ring: Coords) -> Coords:
        return tuple(
            v * (fy if i % 2 else fx) + (region.y if i % 2 else region.x) for i, v in enumerate(ring)
        )

    return Polygon(tuple(tuple(flat(ring) for ring in part) for part in found.parts))


# ---------------------------------------------------------------------------------------------------------------
# Intelligent scissors


class Scissors:
    """The cheapest ways along edges from one seed, within a part of the picture. Build it off the interface thread.

    Args:
        picture: uint8 (h, w, 3) BGR.
        seed: (x, y) in source pixels.
        step: source pixels to one pixel of the search: 1 when the person sees every pixel, more when zoomed out.
    """

    def __init__(self, picture: Picture, seed: tuple[float, float], *, step: int = 1) -> None:
        high, wide = picture.shape[:2]
        self.seed = (min(max(seed[0], 0.0), wide - 1.0), min(max(seed[1], 0.0), high - 1.0))
        self._step = max(1, step)
        side = SCISSORS_PX * self._step
        x0 = int(min(max(0, self.seed[0] - side / 2), max(0, wide - side)))
        y0 = int(min(max(0, self.seed[1] - side / 2), max(0, high - side)))
        part: NDArray[Any] = picture[y0 : y0 + side, x0 : x0 + side]
        self._x0, self._y0 = x0, y0
        if self._step > 1:
            smaller = (max(1, part.shape[1] // self._step), max(1, part.shape[0] // self._step))
            part = cv2.resize(part, smaller, interpolation=cv2.INTER_AREA)
        self._wh = part.shape[1], part.shape[0]
        self._tool = cv2.segmentation.IntelligentScissorsMB()
        self._tool.setEdgeFeatureCannyParameters(32, 100)
        self._tool.setGradientMagnitudeMaxLimit(200)
        self._tool.applyImage(np.ascontiguousarray(part))
        self._tool.buildMap(self._inside(*self.seed)[0])

    def _inside(self, x: float, y: float) -> tuple[tuple[int, int], bool]:
        """The nearest pixel of the part, and whether (x, y) lies in it."""
        a, b = (x - self._x0) / self._step, (y - self._y0) / self._step
        w, h = self._wh
        place = (int(min(max(a, 0), w - 1)), int(min(max(b, 0), h - 1)))
        return place, -0.5 <= a <= w and -0.5 <= b <= h

    def path(self, x: float, y: float) -> Coords:
        """Points from the seed to (x, y), flat, in source pixels; straight on from the border of the part."""
        place, inside = self._inside(x, y)
        found = np.asarray(self._tool.getContour(place)).reshape(-1, 2)
        thin = (
            found if len(found) < 3 else cv2.approxPolyDP(found.astype(np.int32), 0.9, False).reshape(-1, 2)
        )
        points = (thin + 0.5) * self._step + (self._x0, self._y0)
        flat = [float(v) for v in points.ravel()]
        if len(flat) >= 2:
            flat[:2] = self.seed
            if inside:
                flat[-2:] = (x, y)
            else:
                flat += [x, y]
        return (*self.seed, x, y) if len(flat) < 4 else tuple(flat)


def snap(picture: Picture, x: float, y: float, *, reach_px: float) -> tuple[float, float]:
    """The middle of the strongest edge pixel within `reach_px` of (x, y), near ones preferred; (x, y) when all is flat."""
    high, wide = picture.shape[:2]
    reach = min(max(2, math.ceil(reach_px)), 64)
    left, top = max(0, int(x) - reach - 2), max(0, int(y) - reach - 2)
    part = picture[top : int(y) + reach + 3, left : int(x) + reach + 3]
    if min(part.shape[:2]) < 3 or not (0 <= x <= wide and 0 <= y <= high):
        return x, y
    grey = cv2.cvtColor(part, cv2.COLOR_BGR2GRAY)
    strength = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    rows, columns = np.mgrid[0 : grey.shape[0], 0 : grey.shape[1]]
    away = np.hypot(columns + left + 0.5 - x, rows + top + 0.5 - y)
    strength *= (away <= reach_px) * (1 - 0.5 * away / max(reach_px, 1e-6))
    row, column = np.unravel_index(int(strength.argmax()), strength.shape)
    if strength[row, column] < 40:  # noise of a flat wall: nothing to snap to
        return x, y
    return left + float(column) + 0.5, top + float(row) + 0.5


# ---------------------------------------------------------------------------------------------------------------
# GrabCut


def grabcut(
    picture: Picture, box: Box, strokes: Sequence[Stroke] = (), *, rounds: int = 2, brush_px: float = 6.0
) -> Region:
    """What stands out inside a box, by GrabCut (Rother 2004), refined by strokes.

    Args:
        box: drawn around the object, source pixels; everything outside is taken for background.
        strokes: lines a person drew; `brush_px` is their width in source pixels.

    Returns:
        pixels inside the box; NOTHING when the box has no room or one colour only.
    """
    high, wide = picture.shape[:2]
    x0, y0 = max(0, math.floor(box.x0)), max(0, math.floor(box.y0))
    x1, y1 = min(wide, math.ceil(box.x1)), min(high, math.ceil(box.y1))
    if x1 - x0 < 4 or y1 - y0 < 4:
        return NOTHING
    # A rim of background around the box, for the colours of what it is not.
    rim = max(8, round(0.2 * max(x1 - x0, y1 - y0)))
    left, top, right, bottom = max(0, x0 - rim), max(0, y0 - rim), min(wide, x1 + rim), min(high, y1 + rim)
    part: NDArray[Any] = picture[top:bottom, left:right]
    scale = min(1.0, GRABCUT_PX / max(part.shape[:2]))
    small = (max(4, round(part.shape[1] * scale)), max(4, round(part.shape[0] * scale)))
    work = cv2.resize(part, small, interpolation=cv2.INTER_AREA) if scale < 1 else np.ascontiguousarray(part)
    sx, sy = small[0] / part.shape[1], small[1] / part.shape[0]
    marks = np.full((small[1], small[0]), cv2.GC_BGD, np.uint8)
    a, b = round((x0 - left) * sx), round((y0 - top) * sy)
    c, d = round((x1 - left) * sx), round((y1 - top) * sy)
    marks[b:d, a:c] = cv2.GC_PR_FGD
    for points, belongs in strokes:
        line = np.array([((x - left) * sx, (y - top) * sy) for x, y in points], np.float64)
        width = max(1, round(brush_px * sx))
        value = cv2.GC_FGD if belongs else cv2.GC_BGD
        cv2.polylines(marks, [np.round(line).astype(np.int32)], False, int(value), width)
    sure = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if sure.all() or not sure.any():
        # The box is the whole picture: its rim stands in for the background that cannot be seen.
        marks[:2], marks[-2:], marks[:, :2], marks[:, -2:] = (cv2.GC_PR_BGD,) * 4
    behind, front = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(7)  # its k-means draws lots: the same box must give the same outline
    try:
        cv2.grabCut(work, marks, (0, 0, 1, 1), behind, front, rounds, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # one colour only: there is no model to be made of it
        return NOTHING
    found = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    if scale < 1:
        whole = (part.shape[1], part.shape[0])
        found = np.asarray(cv2.resize(found, whole, interpolation=cv2.INTER_LINEAR))
    bits = (found > 0.5).astype(np.uint8)
    return Region(left, top, bits).trimmed() if bits.any() else NOTHING


# ---------------------------------------------------------------------------------------------------------------
# Magic wand


def wand(
    picture: Picture, x: float, y: float, *, tolerance: int, contiguous: bool = True, fill_px: int = 0
) -> Region:
    """Pixels whose colour is within `tolerance` (0..255, each channel) of the one under (x, y): a flood fill.

    Args:
        picture: the source's pixels, never the look on the screen.
        contiguous: only those joined to the seed; else all of that colour.
        fill_px: close gaps and holes up to this many pixels wide, which noise leaves.
    """
    high, wide = picture.shape[:2]
    column, row = int(x), int(y)
    if not (0 <= column < wide and 0 <= row < high):
        return NOTHING
    left = top = 0
    if high * wide > WAND_PIXELS:
        side = int(math.sqrt(WAND_PIXELS))
        left, top = max(0, min(column - side // 2, wide - side)), max(0, min(row - side // 2, high - side))
        picture = picture[top : top + side, left : left + side]
        column, row = column - left, row - top
    value = int(min(max(tolerance, 0), 255))
    if contiguous:
        bits = np.zeros((picture.shape[0] + 2, picture.shape[1] + 2), np.uint8)
        how = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (1 << 8)
        work = np.ascontiguousarray(picture)
        _, _, _, (a, b, w, h) = cv2.floodFill(
            work, bits, (column, row), (0, 0, 0), (value,) * 3, (value,) * 3, how
        )
        found = bits[1 + b : 1 + b + h, 1 + a : 1 + a + w]
        region = Region(left + a, top + b, np.ascontiguousarray(found))
    else:
        seed = picture[row, column].astype(np.int32)
        low = tuple(int(v) for v in np.clip(seed - value, 0, 255))
        up = tuple(int(v) for v in np.clip(seed + value, 0, 255))
        region = Region(left, top, (cv2.inRange(picture, low, up) > 0).astype(np.uint8)).trimmed()
    if fill_px > 0:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (fill_px | 1, fill_px | 1))
        room = cv2.copyMakeBorder(region.bits, fill_px, fill_px, fill_px, fill_px, cv2.BORDER_CONSTANT)
        closed = np.asarray(cv2.morphologyEx(room, cv2.MORPH_CLOSE, kernel), np.uint8)
        region = Region(region.x - fill_px, region.y - fill_px, closed).trimmed()
    return region

"""Regions of a picture covered with one solid colour, and the proof by pixels that they are.

A mosaic or blur is no redaction: detectors still find faces behind it. Everything a shape touches is filled, with a margin.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from annotation import geometry, rle
from annotation.core import Box, Mask, Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 16
"""Pixels of a JPEG's coding block with subsampled colour: ringing reaches no further."""
NEAR = 12
"""Levels of 255 that a lossy coder may move a pixel deep inside a region."""
FAR = 30_000
"""Pixels from a window beyond which a polygon's corners are not drawn: the raster counts in small integers."""
RINGING = 96
"""The same at the region's rim, where the block also holds the picture beside it."""


def region(shapes: Iterable[Shape], *, wh: tuple[int, int], margin: float) -> NDArray[np.uint8]:
    """What is covered: uint8 (h, w), 1 = covered. Shapes without a place (tags, captions) cover nothing.

    Args:
        wh: the picture's (width, height) in px.
        margin: what is added on every side, as a share of the shape's longer side; at least one pixel.
    """
    w, h = wh
    out = np.zeros((h, w), np.uint8)
    for shape in shapes:
        box = geometry.bbox(shape)
        if box is None:
            continue
        grow = max(1, math.ceil(margin * min(max(box.x1 - box.x0, box.y1 - box.y0), max(wh))))
        if isinstance(shape, Box):
            left, top = max(math.floor(box.x0) - grow, 0), max(math.floor(box.y0) - grow, 0)
            out[top : max(math.ceil(box.y1) + grow, 0), left : max(math.ceil(box.x1) + grow, 0)] = 1
            continue
        # A window that reaches past the picture: what rounding puts on the far side of its edge still grows back into it.
        grow += 1  # for the rounding of corners
        rim = grow + 2
        x0, y0 = max(math.floor(box.x0), 0) - rim, max(math.floor(box.y0), 0) - rim
        x1, y1 = min(math.ceil(box.x1), w) + rim, min(math.ceil(box.y1), h) + rim
        left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, w), min(y1, h)
        if left >= right or top >= bottom:  # wholly outside, its margin too
            continue
        part = _drawn(shape, x0, y0, x1, y1)
        grown = _grown(part, grow)
        out[top:bottom, left:right] |= grown[top - y0 : bottom - y0, left - x0 : right - x0]
    return out


def _grown(part: NDArray[np.uint8], n: int) -> NDArray[np.uint8]:
    """Everything within n pixels of a set one, by running sums: a kernel of thousands of pixels would take minutes."""
    for axis in (0, 1):
        rim = [(0, 0), (0, 0)]
        rim[axis] = (n + 1, n)
        sums = np.pad(part, rim).cumsum(axis, dtype=np.int32)
        last, first = (
            (sums[2 * n + 1 :], sums[: -2 * n - 1])
            if axis == 0
            else (sums[:, 2 * n + 1 :], sums[:, : -2 * n - 1])
        )
        part = (last > first).astype(np.uint8)
    return part


def _drawn(shape: Shape, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
    """A shape in a window, uint8 (y1 - y0, x1 - x0), to the next whole pixel."""
    part = np.zeros((y1 - y0, x1 - x0), np.uint8)
    if isinstance(shape, Mask):
        whole = rle.decode(shape)
        left, top = max(x0, 0), max(y0, 0)
        inner = whole[top:y1, left:x1]
        part[top - y0 : top - y0 + inner.shape[0], left - x0 : left - x0 + inner.shape[1]] = inner
        return part
    drawn = geometry.outline(shape)
    rings = (
        [] if drawn is None else [np.asarray(r[0], np.float64).reshape(-1, 2) - (x0, y0) for r in drawn.parts]
    )
    if drawn is None or any(np.abs(ring).max() > FAR for ring in rings):
        box = geometry.bbox(
            shape
        )  # lines and points: all they span; what reaches far outside: its box, which covers more
        assert box is not None
        left, top = max(math.floor(box.x0), x0) - x0, max(math.floor(box.y0), y0) - y0
        part[
            top : max(min(math.ceil(box.y1), y1) - y0, top + 1),
            left : max(min(math.ceil(box.x1), x1) - x0, left + 1),
        ] = 1
        return part
    for ring in rings:  # holes are covered too: what lies in one is as private as what is around it
        cv2.fillPoly(part, [np.round(ring).astype(np.int32)], 1)
    return part


def covered(
    pixels: NDArray[Any], mask: NDArray[np.uint8], colour: tuple[int, int, int] = (0, 0, 0)
) -> NDArray[Any]:
    """A copy of the picture, (h, w) or (h, w, c) of any depth, with the mask's pixels in the colour (BGR, 0..255; scaled for 16 bit)."""
    out = pixels.copy()
    scale = 257 if out.dtype == np.uint16 else 1
    value: Any = np.asarray(colour, np.int64) * scale
    if out.ndim == 2:
        value = int(value.mean())
    elif out.shape[2] == 4:
        value = np.append(value, np.iinfo(out.dtype).max if np.issubdtype(out.dtype, np.integer) else 1)
    out[mask != 0] = value
    return out


def is_covered(
    pixels: NDArray[Any],
    mask: NDArray[np.uint8],
    colour: tuple[int, int, int] = (0, 0, 0),
    *,
    lossy: bool = False,
) -> bool:
    """Whether every pixel of the mask has the colour in the picture as it was read back.

    Args:
        lossy: as a JPEG may have it: NEAR levels off deep inside, RINGING at the rim.
    """
    if pixels.shape[:2] != mask.shape:
        return False
    wanted = covered(np.zeros_like(pixels), mask, colour)
    inside = mask != 0
    if not lossy:
        return bool(np.array_equal(pixels[inside], wanted[inside]))
    off = np.abs(pixels.astype(np.int64) - wanted.astype(np.int64))
    off = off if off.ndim == 2 else off.max(axis=2)
    deep = cv2.erode(mask, np.ones((2 * BLOCK + 1, 2 * BLOCK + 1), np.uint8), borderValue=1) != 0
    return bool(off[inside].max(initial=0) <= RINGING and off[deep].max(initial=0) <= NEAR)

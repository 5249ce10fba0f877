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
from annotation.core import Mask, Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 16
"""Pixels of a JPEG's coding block with subsampled colour: ringing reaches no further."""
NEAR = 12
"""Levels of 255 that a lossy coder may move a pixel deep inside a region."""
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
        grow = max(1, math.ceil(margin * max(box.x1 - box.x0, box.y1 - box.y0)))
        x0, y0 = max(0, math.floor(box.x0) - grow), max(0, math.floor(box.y0) - grow)
        x1, y1 = min(w, math.ceil(box.x1) + grow), min(h, math.ceil(box.y1) + grow)
        if x0 >= x1 or y0 >= y1:  # wholly outside
            continue
        drawn = None if isinstance(shape, Mask) else geometry.outline(shape)
        part = np.zeros((y1 - y0, x1 - x0), np.uint8)
        if isinstance(shape, Mask):
            part |= rle.decode(shape)[y0:y1, x0:x1]
        elif drawn is None:  # lines and points: all they span
            part[:] = 1
        else:
            for (
                rings
            ) in drawn.parts:  # holes are covered too: what lies in one is as private as what is around it
                points = np.asarray(rings[0], np.float64).reshape(-1, 2) - (x0, y0)
                cv2.fillPoly(part, [np.round(points).astype(np.int32)], 1)
        kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * grow + 1, 2 * grow + 1))
        out[y0:y1, x0:x1] |= np.asarray(cv2.dilate(part, kernel), np.uint8)
    return out


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

"""Shapes and pixels: a shape as a run-length mask, a mask's outline along its pixels' edges, masks put together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from annotation import geometry, rle
from annotation.core import KIND_OF, Coords, Mask, Polygon, Shape
from annotation.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

Op = Literal["union", "subtract", "intersect"]


def to_mask(shape: Shape, *, width: int, height: int) -> Mask:
    """Raster of a shape with an area: a pixel belongs to it when its centre does.

    Raises:
        InvalidInput: for other kinds, or a shape that covers more than `rle.MAX_DECODED` pixels of the picture.
    """
    if isinstance(shape, Mask):
        return shape
    drawn = geometry.outline(shape)
    if drawn is None:
        raise InvalidInput(f"a {KIND_OF[type(shape)]} has no area to make a mask of")
    box = geometry.bbox(shape)
    assert box is not None
    x0, y0 = max(0, math.floor(box.x0)), max(0, math.floor(box.y0))
    w, h = min(width, math.ceil(box.x1)) - x0, min(height, math.ceil(box.y1)) - y0
    if w <= 0 or h <= 0:
        return rle.encode(np.zeros((0, 0), dtype=np.uint8), wh=(width, height))
    if w * h > rle.MAX_DECODED:
        raise InvalidInput(f"a shape of {w} x {h} px is too large for a mask")
    out = np.zeros((h, w), dtype=np.uint8)
    for rings in drawn.parts:  # parts may overlap, holes are taken off their own part only
        out |= _raster(rings, x0, y0, w, h)
    return rle.encode(out, at=(x0, y0), wh=(width, height))


def _raster(rings: Sequence[Coords], x0: int, y0: int, w: int, h: int) -> NDArray[np.uint8]:
    """Even-odd scan lines through the pixel centres: exact, where cv2.fillPoly also paints every pixel it touches."""
    out = np.zeros((h, w), dtype=np.uint8)
    edges = []
    for ring in rings:
        points = np.asarray(ring, dtype=np.float64).reshape(-1, 2) - (x0, y0)
        edges.append(np.concatenate((points, np.roll(points, -1, axis=0)), axis=1))
    table = np.concatenate(edges)
    ys = np.concatenate((table[:, 1], table[:, 3]))
    for row in range(max(0, math.floor(ys.min() - 0.5)), min(h, math.ceil(ys.max() + 0.5))):
        y = row + 0.5
        crossing = table[(table[:, 1] <= y) != (table[:, 3] <= y)]
        xs = np.sort(
            crossing[:, 0]
            + (y - crossing[:, 1]) / (crossing[:, 3] - crossing[:, 1]) * (crossing[:, 2] - crossing[:, 0])
        )
        for left, right in zip(xs[0::2], xs[1::2], strict=True):
            out[row, max(0, math.ceil(left - 0.5)) : max(0, math.ceil(right - 0.5))] ^= 1
    return out


def combined(how: Op, first: Mask, *others: Mask) -> Mask:
    """Masks of one picture put together: "union" of all, "subtract" the others from the first, "intersect" all.

    Raises:
        InvalidInput: for masks of pictures of different sizes.
    """
    if any((m.w, m.h) != (first.w, first.h) for m in others):
        raise InvalidInput("masks of pictures of different sizes", remedy="masks of one picture")
    boxes = [b for m in (first, *others) if (b := rle.extent(m.counts, m.h))]
    if not boxes:
        return first
    x0, y0 = min(b[0] for b in boxes), min(b[1] for b in boxes)
    x1, y1 = max(b[2] for b in boxes), max(b[3] for b in boxes)
    out = _window(first, x0, y0, x1, y1)
    for mask in others:
        other = _window(mask, x0, y0, x1, y1)
        if how == "union":
            out |= other
        elif how == "subtract":
            out &= other ^ 1
        else:
            out &= other
    return rle.encode(out, at=(x0, y0), wh=(first.w, first.h))


def _window(mask: Mask, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
    out = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
    part, left, top = rle.crop(mask)
    out[top - y0 : top - y0 + part.shape[0], left - x0 : left - x0 + part.shape[1]] = part
    return out


def moved(mask: Mask, dx: int, dy: int) -> Mask:
    """The mask shifted by whole pixels, at most to the picture's border: no pixel of it is lost."""
    part, x0, y0 = rle.crop(mask)
    if not part.size:
        return mask
    x = min(max(0, x0 + dx), mask.w - part.shape[1])
    y = min(max(0, y0 + dy), mask.h - part.shape[0])
    return mask if (x, y) == (x0, y0) else rle.encode(part, at=(x, y), wh=(mask.w, mask.h))


def warped(mask: Mask, matrix: NDArray[np.float64], centre: tuple[float, float]) -> Mask:
    """The mask put through a linear map (2, 2) around a centre, pixel by pixel to the nearest, cut at the border."""
    part, left, top = rle.crop(mask)
    if not part.size:
        return mask
    around = np.array(centre)
    edge = np.array([(left, top), (left, top + part.shape[0])] * 2, dtype=np.float64)
    edge[2:, 0] += part.shape[1]
    reach = (edge - around) @ matrix.T + around
    x0, y0 = np.maximum(0, np.floor(reach.min(axis=0))).astype(int).tolist()
    x1, y1 = np.minimum((mask.w, mask.h), np.ceil(reach.max(axis=0))).astype(int).tolist()
    if x0 >= x1 or y0 >= y1:
        return rle.encode(np.zeros((0, 0), dtype=np.uint8), wh=(mask.w, mask.h))
    inverse = np.linalg.inv(matrix)
    out = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
    xs = np.arange(x0, x1) + 0.5 - around[0]
    for row in range(y0, y1):  # row by row: memory for one row of coordinates, not for the picture
        dy = row + 0.5 - around[1]
        sx = np.floor(inverse[0, 0] * xs + inverse[0, 1] * dy + around[0] + 1e-9).astype(int) - left
        sy = np.floor(inverse[1, 0] * xs + inverse[1, 1] * dy + around[1] + 1e-9).astype(int) - top
        inside = (sx >= 0) & (sy >= 0) & (sx < part.shape[1]) & (sy < part.shape[0])
        out[row - y0, inside] = part[sy[inside], sx[inside]]
    return rle.encode(out, at=(x0, y0), wh=(mask.w, mask.h))


def to_polygon(mask: Mask) -> Polygon | None:
    """Outlines of a mask along its pixels' edges, holes included; None for an empty mask.

    Exact: `to_mask(to_polygon(m)) == m`. cv2.findContours runs through pixel centres and loses half a pixel.
    """
    import shapely

    inner = rle.extent(mask.counts, mask.h)
    if inner is None:
        return None
    strips = []
    at = 0
    for i, n in enumerate(mask.counts):
        if i % 2 and n:
            start, end = at, at + n
            while start < end:
                column, top = divmod(start, mask.h)
                bottom = min(mask.h, top + end - start)
                strips.append((column, top, column + 1, bottom))
                start += bottom - top
        at += n
    found = np.asarray(strips, dtype=np.float64)
    union = shapely.union_all(shapely.box(found[:, 0], found[:, 1], found[:, 2], found[:, 3]))
    return geometry.from_shapely(shapely.simplify(union, 0.0))

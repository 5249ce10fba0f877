"""Run-length masks: canonical runs, COCO's compressed text, arrays. Runs go column by column and begin with zeros."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from annotation.core import Mask
from annotation.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_SIDE = 2**24
"""Longest side of a mask in px; run lengths stay far below 2**53."""
MAX_RUNS = 4_000_000
MAX_DECODED = 2**29
"""Pixels that a mask may have to be drawn into an array (512 MB); larger ones stay runs."""


def normal(counts: Sequence[int], *, w: int, h: int) -> tuple[int, ...]:
    """The one list of runs of a mask: no empty run but perhaps the first, all pixels covered.

    Raises:
        InvalidInput: when the runs are no integers >= 0 or do not add up to w * h.
    """
    for side in (w, h):
        if isinstance(side, bool) or not isinstance(side, int) or not 0 < side <= MAX_SIDE:
            raise InvalidInput(f"a mask of size {w!r} x {h!r}", remedy=f"1 to {MAX_SIDE} px a side")
    if len(counts) > MAX_RUNS:
        raise InvalidInput(f"a mask of {len(counts)} runs", remedy=f"at most {MAX_RUNS}")
    out: list[int] = []
    for i, n in enumerate(counts):
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise InvalidInput(f"a mask with the run length {n!r}", remedy="integers from 0")
        if n == 0 and out:
            continue
        if out and len(out) % 2 != i % 2:  # the run before was empty: this one continues the last kept
            out[-1] += n
        else:
            out.append(n)
    if sum(out) != w * h:
        raise InvalidInput(f"a mask whose runs cover {sum(out)} of {w * h} pixels", remedy="all of them")
    return tuple(out)


def extent(counts: Sequence[int], h: int) -> tuple[int, int, int, int] | None:
    """The bounding box x0, y0, x1, y1 of the ones in px (x1, y1 exclusive), or None when there are none."""
    runs = np.asarray(counts, dtype=np.int64)
    ends = np.cumsum(runs)[1::2]
    begins, ends = (ends - runs[1::2])[runs[1::2] > 0], ends[runs[1::2] > 0] - 1
    if not len(ends):
        return None
    first, top = np.divmod(begins, h)
    last, bottom = np.divmod(ends, h)
    if (last > first).any():  # a run over a column's end touches top and bottom
        return int(first[0]), 0, int(last[-1]) + 1, h
    return int(first[0]), int(top.min()), int(last[-1]) + 1, int(bottom.max()) + 1


def encode(mask: NDArray[Any], *, at: tuple[int, int] = (0, 0), wh: tuple[int, int] | None = None) -> Mask:
    """The mask of an array (h, w), any dtype; everything but 0 is one.

    Args:
        at: where the array's top left pixel (x, y) lies on the picture; what falls outside is cut off.
        wh: the picture's (width, height), the array's own by default.

    Takes time for the array, not for the picture: give the box that was painted (24 MP: 8 ms for a box of 2.4 MP).
    """
    w, h = wh or (mask.shape[1], mask.shape[0])
    for side in (w, h):
        if not 0 < side <= MAX_SIDE:
            raise InvalidInput(f"a mask of size {w!r} x {h!r}", remedy=f"1 to {MAX_SIDE} px a side")
    x0, y0 = at
    part = mask[max(0, -y0) : max(0, h - y0), max(0, -x0) : max(0, w - x0)]
    left, top = max(0, x0), max(0, y0)
    rows, columns = part.shape
    # Columns one below the other, a zero between any two: every run then has its begin and end as an edge.
    flat = np.zeros(columns * (rows + 1) + 1, dtype=bool)
    np.not_equal(part.T, 0, out=flat[1:].reshape(columns, rows + 1)[:, :rows])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    column, row = np.divmod(edges, rows + 1)
    places = (column + left) * h + row + top
    if rows == h and len(places) > 2:  # a run that goes on at the top of the next column is one run
        meets = np.flatnonzero(places[1:-1:2] == places[2::2])
        places = np.delete(places, np.concatenate((2 * meets + 1, 2 * meets + 2)))
    counts = np.diff(np.concatenate(([0], places, [w * h])))
    if counts[-1] == 0:
        counts = counts[:-1]
    return Mask(w, h, tuple(counts.tolist()))


def decode(mask: Mask) -> NDArray[np.uint8]:
    """The mask as uint8 (h, w) of 0 and 1.

    Raises:
        InvalidInput: above `MAX_DECODED` pixels, or when the runs do not fit the size.
    """
    if mask.w * mask.h > MAX_DECODED:
        raise InvalidInput(f"a mask of {mask.w} x {mask.h} px is too large to draw")
    out = np.zeros((mask.h, mask.w), dtype=np.uint8)
    part, x0, y0 = crop(mask)
    out[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = part
    return out


def crop(mask: Mask) -> tuple[NDArray[np.uint8], int, int]:
    """The box of a mask's ones as uint8 (h, w) of 0 and 1, and its top left pixel x0, y0; 0 x 0 when empty.

    Raises:
        InvalidInput: above `MAX_DECODED` pixels in the columns of the box, or when the runs do not fit the size.
    """
    runs = normal(mask.counts, w=mask.w, h=mask.h)
    box = extent(runs, mask.h)
    if box is None:
        return np.zeros((0, 0), dtype=np.uint8), 0, 0
    x0, y0, x1, y1 = box
    if (x1 - x0) * mask.h > MAX_DECODED:
        raise InvalidInput(f"a mask of {x1 - x0} x {mask.h} px is too large to draw")
    lengths = np.asarray(runs, dtype=np.int64)
    lengths[0] -= x0 * mask.h  # the first run holds all columns before the box
    if len(lengths) % 2:
        lengths[-1] = (x1 - x0) * mask.h - lengths[:-1].sum()
    else:
        lengths = np.append(lengths, (x1 - x0) * mask.h - lengths.sum())
    flat = np.repeat(np.arange(len(lengths), dtype=np.uint8) & 1, lengths)
    return np.ascontiguousarray(flat.reshape(x1 - x0, mask.h).T[y0:y1]), x0, y0


def to_text(counts: Iterable[int]) -> str:
    """COCO's compressed text: from the fourth run on the difference to the run before the last, 5 bits a character."""
    runs = list(counts)
    out: list[str] = []
    for i, n in enumerate(runs):
        value = n - runs[i - 2] if i > 2 else n
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            out.append(chr(48 + (bits | 0x20 if more else bits)))
    return "".join(out)


def from_text(text: str) -> list[int]:
    """The runs of COCO's compressed text.

    Raises:
        InvalidInput: when the text is none, or too long.
    """
    if len(text) > 4 * MAX_RUNS:
        raise InvalidInput(f"a compressed mask of {len(text)} characters", remedy=f"at most {4 * MAX_RUNS}")
    runs: list[int] = []
    value = shift = 0
    for char in text:
        bits = ord(char) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise InvalidInput(
                f"a compressed mask with the character {char!r}", remedy="COCO's compressed run lengths"
            )
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise InvalidInput("a compressed mask that ends in the middle of a number")
    return runs

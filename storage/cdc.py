"""Large files cut by their content, so that a change costs the pieces it touches and not all that follow.

FastCDC: a gear hash over a sliding window, normalised chunking (a stricter mask before the wanted size, a looser one
after it), no cut below the least size. Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for
Data Deduplication", USENIX ATC 2016. Here the hash has 32 bits, hence a window of 32 bytes, and is worked out for a whole
block at once: the hash of 2w bytes is that of the last w plus that of the w before, shifted by w.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

LEAST = 1 << 18
WANTED = 1 << 20
MOST = 1 << 22
WINDOW = 32
_BITS = 20
"""2 to this = WANTED."""
_STRICT = np.uint32(0xFFFFFFFF << (32 - _BITS - 2) & 0xFFFFFFFF)
_LOOSE = np.uint32(0xFFFFFFFF << (32 - _BITS + 2) & 0xFFFFFFFF)
"""The high bits of the hash depend on the most bytes of the window."""
_BLOCK = 1 << 16
"""Hashes worked out at once: what fits the processor's cache."""


def _gear() -> NDArray[np.uint32]:
    """256 fixed numbers that look random: splitmix64 of 1 … 256, the high half. Never change them: all pieces would."""
    mask, out = (1 << 64) - 1, []
    for i in range(1, 257):
        z = i * 0x9E3779B97F4A7C15 & mask
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        out.append((z ^ z >> 31) >> 32)
    return np.array(out, np.uint32)


GEAR = _gear()


def hashes(data: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """The gear hash at each byte: sum over k < 32 of GEAR[data[i - k]] * 2**k, mod 2**32."""
    out = GEAR[data]
    width = 1
    while width < WINDOW:
        out[width:] += out[:-width] << np.uint32(width)
        width *= 2
    return out


def cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The file in pieces of LEAST to MOST bytes (the last may be shorter), cut where its content says.

    Args:
        pieces: the file's bytes, however they come.
    """
    held = bytearray()
    marks: list[tuple[NDArray[np.int64], NDArray[np.bool_]]] = []
    scanned = 0
    for more in pieces:
        held += more
        while len(held) >= MOST:
            scanned = _scan(held, scanned, marks)
            n = _first_cut(marks, len(held))
            yield bytes(held[:n])
            del held[:n]
            marks = [(at - n, strict) for at, strict in marks if len(at) and at[-1] >= n]
            scanned -= n
    while held:
        scanned = _scan(held, scanned, marks)
        n = _first_cut(marks, len(held))
        yield bytes(held[:n])
        del held[:n]
        marks = [(at - n, strict) for at, strict in marks if len(at) and at[-1] >= n]
        scanned -= n


def _scan(held: bytearray, scanned: int, marks: list[tuple[NDArray[np.int64], NDArray[np.bool_]]]) -> int:
    """Note where a cut may be (the number of bytes before it, and whether the strict mask holds) behind `scanned`."""
    data = np.frombuffer(held, np.uint8)
    for begin in range(scanned, len(data), _BLOCK):
        before = min(begin, WINDOW - 1)
        found = hashes(data[begin - before : begin + _BLOCK])[before:]
        at = np.flatnonzero((found & _LOOSE) == 0)
        if len(at):
            marks.append((at + begin + 1, (found[at] & _STRICT) == 0))
    end = len(data)
    del data  # or the buffer cannot be shortened
    return end


def _first_cut(marks: list[tuple[NDArray[np.int64], NDArray[np.bool_]]], size: int) -> int:
    for at, strict in marks:
        good = (at >= LEAST) & (strict | (at >= WANTED)) & (at <= MOST)
        if good.any():
            return int(at[int(np.argmax(good))])
    return min(size, MOST)

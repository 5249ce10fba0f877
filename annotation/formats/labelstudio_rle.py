"""Label Studio's brush: run lengths of the picture's RGBA bytes in a stream of bits, both ways.

The form is that of https://github.com/thi-ng/umbrella (rle-pack): 32 bits count of bytes, 5 bits word size - 1, four times
4 bits size - 1 of a run's length; then runs: 1 bit "all the same", 2 bits which size, the length - 1, and one word or, when
they differ, that many. The mask is the fourth byte of each pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from annotation import rle
from annotation.core import Mask
from annotation.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BYTES = 16_000_000
MAX_PIXELS = 80_000_000
_SIZES = (3, 4, 8, 16)
_LONGEST = 1 << 16


def decode(value: object, *, w: int, h: int) -> Mask:
    """The mask of a picture of (w, h).

    Raises:
        InvalidInput: no bytes, too large, truncated, or of another size.
    """
    if not isinstance(value, list) or len(value) > MAX_BYTES:
        raise InvalidInput("rle is no list of bytes", remedy=f"at most {MAX_BYTES} numbers from 0 to 255")
    if w * h > MAX_PIXELS:
        raise InvalidInput(f"a brush mask of {w} x {h} px", remedy=f"at most {MAX_PIXELS} px")
    try:
        data = bytes(value)
    except (TypeError, ValueError) as error:
        raise InvalidInput("rle is no list of bytes", remedy="numbers from 0 to 255") from error
    return rle.encode(_unpacked(data, 4 * w * h)[3::4].reshape(h, w))


def _unpacked(data: bytes, size: int) -> NDArray[np.uint8]:
    end = 8 * len(data)
    data += b"\0" * 8
    at = 0

    def read(n: int) -> int:
        nonlocal at
        first = at >> 3
        found = int.from_bytes(data[first : first + 5], "big") >> (40 - (at & 7) - n) & ((1 << n) - 1)
        at += n
        return found

    count = read(32)
    if count != size:
        raise InvalidInput(f"rle covers {count} of {size} bytes", remedy="four for each pixel of the picture")
    word = read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    if word != 8:
        raise InvalidInput(f"rle has words of {word} bits", remedy="8")
    out = np.zeros(size, dtype=np.uint8)
    i = 0
    while i < size:
        if at >= end:
            raise InvalidInput("rle is cut short", remedy="export it again")
        same = read(1)
        j = min(size, i + 1 + read(sizes[read(2)]))
        if same:
            if value := read(8):
                out[i:j] = value
        else:
            if at + 8 * (j - i) > end:
                raise InvalidInput("rle is cut short", remedy="export it again")
            bits = int.from_bytes(data[at >> 3 : (at >> 3) + j - i + 1], "big") >> (8 - (at & 7))
            out[i:j] = np.frombuffer((bits & ((1 << 8 * (j - i)) - 1)).to_bytes(j - i, "big"), np.uint8)
            at += 8 * (j - i)
        i = j
    if at > end:
        raise InvalidInput("rle is cut short", remedy="export it again")
    return out


def encode(mask: Mask) -> list[int]:
    """The bytes of a mask: all four channels 255 where it is set."""
    pixels = rle.decode(mask).ravel()
    edges = np.flatnonzero(np.diff(pixels)) + 1
    starts = np.concatenate(([0], edges))
    lengths = np.diff(np.concatenate((starts, [len(pixels)]))) * 4
    bits = _Bits()
    bits.add(4 * len(pixels), 32)
    bits.add(7, 5)
    for size in _SIZES:
        bits.add(size - 1, 4)
    for first, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        value = 255 if pixels[first] else 0
        left = length
        while left:
            n = min(left, _LONGEST)
            which = next(k for k, size in enumerate(_SIZES) if n <= 1 << size)
            bits.add(1, 1)
            bits.add(which, 2)
            bits.add(n - 1, _SIZES[which])
            bits.add(value, 8)
            left -= n
    return list(bits.done())


class _Bits:
    """Bits put together to bytes."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._held = self._n = 0

    def add(self, value: int, n: int) -> None:
        self._held = self._held << n | value
        self._n += n
        while self._n >= 8:
            self._n -= 8
            self._out.append(self._held >> self._n & 255)
        self._held &= (1 << self._n) - 1

    def done(self) -> bytes:
        if self._n:
            self.add(0, 8 - self._n)
        return bytes(self._out)


def of_png(pixels: NDArray[Any], *, w: int, h: int) -> Mask:
    """The mask of a bitmask's picture, which must be as large as the picture itself."""
    if pixels.shape != (h, w):
        raise InvalidInput(f"a mask of {pixels.shape[1]} x {pixels.shape[0]} px on a picture of {w} x {h} px")
    return rle.encode(pixels)

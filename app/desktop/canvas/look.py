"""How a picture is shown to the eye: window, tone, local contrast, noise, one channel, false colour. Pure functions.

Nothing here is written anywhere or given to a model: darkness halves a detector's finds, and brightening the picture
before the detector does not bring them back (measured for the design), while for people it does.

Order: window on the true samples, noise, local contrast, tone, false colour. Window, tone and false colour are tables and
are applied to what is in view; noise and local contrast look at neighbours and are worked out for the whole picture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CHANNELS = ("", "red", "green", "blue", "luma")
COLOURS: Mapping[str, int] = {
    "": -1,
    "inferno": cv2.COLORMAP_INFERNO,
    "turbo": cv2.COLORMAP_TURBO,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "hot": cv2.COLORMAP_HOT,
    "bone": cv2.COLORMAP_BONE,
    "jet": cv2.COLORMAP_JET,
}
"""False colours by name."""
AUTO_SHARE = 0.005
"""Share of the samples that the automatic window lets go at each end."""
_BINS = 4096


@dataclass(frozen=True, slots=True)
class Look:
    """What is done for the eye. The default does nothing.

    Attributes:
        gamma: 0.2..5; above 1 lifts the dark parts.
        brightness: -1..1, added. contrast: 0.2..5, about the middle.
        clahe: clip limit of the local contrast, 0 (none)..8. denoise: 0 (none)..3.
        low, high: window, as shares 0..1 of the samples' range. auto: the window comes from the picture's own samples.
        channel: one of CHANNELS. colour: one of COLOURS.
    """

    gamma: float = 1.0
    brightness: float = 0.0
    contrast: float = 1.0
    clahe: float = 0.0
    denoise: int = 0
    low: float = 0.0
    high: float = 1.0
    auto: bool = False
    channel: str = ""
    colour: str = ""
    invert: bool = False

    @property
    def plain(self) -> bool:
        """True when nothing is done."""
        return self == PLAIN

    @property
    def slow(self) -> bool:
        """True when neighbours matter, so that the whole picture must be worked out."""
        return self.clahe > 0 or self.denoise > 0

    @property
    def windowed(self) -> bool:
        """True when the window is not the samples' whole range."""
        return self.auto or self.low > 0.0 or self.high < 1.0


PLAIN = Look()
BOUNDS: Mapping[str, tuple[float, float]] = {
    "gamma": (0.2, 5.0),
    "brightness": (-1.0, 1.0),
    "contrast": (0.2, 5.0),
    "clahe": (0.0, 8.0),
    "denoise": (0, 3),
    "low": (0.0, 1.0),
    "high": (0.0, 1.0),
}


def to_text(look: Look) -> str:
    """What differs from the plain look, as JSON."""
    changed = {f.name: getattr(look, f.name) for f in fields(Look)}
    return json.dumps({k: v for k, v in changed.items() if v != getattr(PLAIN, k)}, sort_keys=True)


def from_text(text: str) -> Look:
    """A look from its JSON; what is unknown or of a wrong kind is left out, what is out of bounds is drawn in."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return PLAIN
    kept: dict[str, Any] = {}
    for name, value in found.items() if isinstance(found, dict) else ():
        if name in BOUNDS and isinstance(value, int | float) and value == value:
            low, high = BOUNDS[name]
            drawn = min(max(value, low), high)
            kept[name] = int(drawn) if name == "denoise" else float(drawn)
        elif (
            (name in ("auto", "invert") and isinstance(value, bool))
            or (name == "channel" and value in CHANNELS)
            or (name == "colour" and isinstance(value, str) and value in COLOURS)
        ):
            kept[name] = value
    look = replace(PLAIN, **kept)
    return look if look.low < look.high else replace(look, low=0.0, high=1.0)


def reach(deep: NDArray[Any] | None) -> tuple[float, float]:
    """Least and greatest value that the samples' kind can hold; of floats, those that occur."""
    if deep is None:
        return 0.0, 255.0
    if deep.dtype == np.uint16:
        return 0.0, 65535.0
    return float(deep.min()), max(float(deep.max()), float(deep.min()) + 1e-6)


def histogram(
    bgra: NDArray[np.uint8], deep: NDArray[Any] | None, span: tuple[float, float], bins: int = 256
) -> NDArray[np.int64]:
    """Counts of the samples' brightness over `span`, int64 (bins,)."""
    gray: NDArray[Any]
    if deep is None:
        gray = _gray(bgra)
    else:
        gray = deep if deep.ndim == 2 else deep.mean(axis=2)
    return np.asarray(np.histogram(gray, bins, span)[0], np.int64)


def auto_window(
    bgra: NDArray[np.uint8], deep: NDArray[Any] | None, span: tuple[float, float]
) -> tuple[float, float]:
    """The window, in shares of `span`, that leaves AUTO_SHARE of the samples outside at each end."""
    sums = np.cumsum(histogram(bgra, deep, span, _BINS))
    total = int(sums[-1])
    if not total:
        return 0.0, 1.0
    low = int(np.searchsorted(sums, total * AUTO_SHARE, "right"))
    high = int(np.searchsorted(sums, total * (1 - AUTO_SHARE), "left")) + 1
    return low / _BINS, max(high, low + 1) / _BINS


def used_window(deep: NDArray[Any] | None) -> tuple[float, float]:
    """The window, in shares, that the plain picture shows: the smallest depth of 10 to 16 bits that holds the samples."""
    if deep is None or deep.dtype != np.uint16:
        return 0.0, 1.0
    top = int(deep.max())
    return 0.0, next((v for v in (255, 1023, 4095, 16383) if top <= v), 65535) / 65535


def apply(
    look: Look,
    bgra: NDArray[np.uint8],
    deep: NDArray[Any] | None = None,
    *,
    window: tuple[float, float] = (0.0, 1.0),
    span: tuple[float, float] = (0.0, 255.0),
    slow: bool = True,
) -> NDArray[np.uint8]:
    """The picture, or a region of it, as the look shows it: BGRA uint8 (h, w, 4), a new array.

    Args:
        bgra: (h, w, 4). deep: the same region's true samples, uint16 or float32.
        window: in shares of `span`, the values that become black and white.
        slow: False leaves noise and local contrast out.
    """
    slow = slow and look.slow
    part: NDArray[Any]
    part, opened = _opened(look, bgra, deep, window, span)
    low, high = (0.0, 1.0) if opened else window
    if slow:
        if (low, high) != (0.0, 1.0):
            part = cv2.LUT(part, _wide(_window(low, high), part))
            low, high = 0.0, 1.0
        part = _contrasted(_denoised(np.asarray(part, np.uint8), look.denoise), look.clahe)
    table = tone(look, low, high)
    if part.ndim == 3:
        return np.asarray(cv2.LUT(part, _wide(table, part)), np.uint8)
    return np.take(_colours(look.colour, table.tobytes()), part).view(np.uint8).reshape(*part.shape, 4)


def tone(look: Look, low: float = 0.0, high: float = 1.0) -> NDArray[np.uint8]:
    """The table of 256 from an 8-bit sample to what is shown."""
    x = np.clip((np.arange(256) / 255 - low) / max(high - low, 1e-6), 0, 1)
    x = np.clip((x - 0.5) * look.contrast + 0.5 + look.brightness, 0, 1) ** (1 / look.gamma)
    table = np.asarray(np.rint(255 * x), np.uint8)
    return 255 - table if look.invert else table


def _opened(
    look: Look,
    bgra: NDArray[np.uint8],
    deep: NDArray[Any] | None,
    window: tuple[float, float],
    span: tuple[float, float],
) -> tuple[NDArray[np.uint8], bool]:
    """8-bit samples, (h, w) or BGRA, and whether the window is applied already."""
    if deep is not None:
        low, high = (span[0] + share * (span[1] - span[0]) for share in window)
        scaled = _scaled(deep, low, high)
        if scaled.ndim == 3:
            scaled = np.asarray(cv2.cvtColor(scaled, cv2.COLOR_BGR2BGRA), np.uint8)
        part, opened = scaled, True
    else:
        part, opened = bgra, False
    if part.ndim == 3 and (look.channel or look.colour):
        at = {"blue": 0, "green": 1, "red": 2}.get(look.channel)
        part = _gray(part) if at is None else np.ascontiguousarray(part[:, :, at])
    return part, opened


def _scaled(deep: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    if deep.dtype == np.uint16:
        return np.asarray(cv2.LUT(deep, _deep_table(low, high)), np.uint8)
    scaled = (deep.astype(np.float32) - low) * (255.0 / max(high - low, 1e-12))
    return np.asarray(np.clip(scaled, 0, 255), np.uint8)


@lru_cache(maxsize=4)
def _deep_table(low: float, high: float) -> NDArray[np.uint8]:
    x = (np.arange(65536, dtype=np.float32) - low) * (255.0 / max(high - low, 1.0))
    return np.asarray(np.clip(np.rint(x), 0, 255), np.uint8)


def _window(low: float, high: float) -> NDArray[np.uint8]:
    return tone(PLAIN, low, high)


def _wide(table: NDArray[np.uint8], part: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A table for the picture's channels; the fourth stays as it is, since a QImage wants it full."""
    if part.ndim == 2:
        return table
    same = np.arange(256, dtype=np.uint8)
    return np.dstack([table, table, table, same])


@lru_cache(maxsize=16)
def _colours(name: str, table: bytes) -> NDArray[np.uint32]:
    """BGRA as one uint32 for each of 256 gray values."""
    gray = np.frombuffer(table, np.uint8)
    if COLOURS[name] < 0:
        bgr = np.repeat(gray[:, None], 3, axis=1)
    else:
        bgr = cv2.applyColorMap(gray[None, :], COLOURS[name])[0]
    full = np.full((256, 1), 255, np.uint8)
    return np.ascontiguousarray(np.hstack([bgr, full])).view(np.uint32).ravel()


def sample_colour(name: str, share: float) -> tuple[int, int, int]:
    """R, G, B that a false colour gives to a brightness of 0..1."""
    value = int(_colours(name, bytes(range(256)))[round(255 * share)])
    return (value >> 16) & 255, (value >> 8) & 255, value & 255


def _gray(bgra: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2GRAY), np.uint8)


def _denoised(part: NDArray[np.uint8], strength: int) -> NDArray[np.uint8]:
    if strength <= 0:
        return part
    if strength == 1:
        return np.asarray(cv2.medianBlur(part, 3), np.uint8)
    reach_px, sigma = (5, 30.0) if strength == 2 else (7, 60.0)
    if part.ndim == 2:
        return np.asarray(cv2.bilateralFilter(part, reach_px, sigma, reach_px), np.uint8)
    found = cv2.bilateralFilter(cv2.cvtColor(part, cv2.COLOR_BGRA2BGR), reach_px, sigma, reach_px)
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2BGRA), np.uint8)


def _contrasted(part: NDArray[np.uint8], limit: float) -> NDArray[np.uint8]:
    if limit <= 0:
        return part
    equal = cv2.createCLAHE(limit, (8, 8))
    if part.ndim == 2:
        return np.asarray(equal.apply(part), np.uint8)
    y = cv2.cvtColor(cv2.cvtColor(part, cv2.COLOR_BGRA2BGR), cv2.COLOR_BGR2YCrCb)
    y[:, :, 0] = equal.apply(np.ascontiguousarray(y[:, :, 0]))
    return np.asarray(cv2.cvtColor(cv2.cvtColor(y, cv2.COLOR_YCrCb2BGR), cv2.COLOR_BGR2BGRA), np.uint8)

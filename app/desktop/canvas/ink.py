"""Words on the overlay: a tag beside each object, moved apart and shortened so that none hides an object; class signs.

Text is the dearest thing on the canvas, so its pixels are kept. Runs on the overlay's thread: a QPainter on a QImage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter

from app.desktop import theme
from app.desktop.canvas.scene import LOOSE, SKELETON

if TYPE_CHECKING:
    from app.desktop.canvas.overlay import Request, Style

TAGGED_AT_MOST, _SIGNED_AT_MOST = 160, 600
SMALL_PX, _SIGN_PX = 24.0, 32.0
_DOT_PX = 6.0
_MAY_HIDE = 0.15
"""A tag is shortened before it covers more than this share of another object."""
_KEPT = 1500


@dataclass(frozen=True, slots=True)
class Tagged:
    """Ink placed on the buffer."""

    uid: str
    x: int
    y: int
    ink: NDArray[np.uint8]

    @property
    def rect(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 on the buffer."""
        return self.x, self.y, self.x + self.ink.shape[1], self.y + self.ink.shape[0]


_inks: dict[tuple[str, str, float, bool], NDArray[np.uint8]] = {}


def tag_ink(text: str, colour: str, ratio: float, *, sign: bool = False) -> NDArray[np.uint8]:
    """A tag's pixels, premultiplied BGRA; `sign` = a small round one for a letter or two."""
    key = (text, colour, ratio, sign)
    if (known := _inks.get(key)) is not None:
        return known
    if len(_inks) > _KEPT:
        _inks.clear()
    face = theme.font(9 if sign else 12, bold=True)
    high = 14 if sign else 18
    wide = max(high, QFontMetrics(face).horizontalAdvance(text) + (6 if sign else 10))
    image = QImage(round(wide * ratio), round(high * ratio), QImage.Format.Format_ARGB32_Premultiplied)
    image.setDevicePixelRatio(ratio)
    image.fill(0)
    p = QPainter(image)
    p.setRenderHint(QPainter.RenderHint.Antialiasing)
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(QColor(colour))
    radius = high / 2 if sign else 3
    p.drawRoundedRect(QRect(0, 0, wide, high), radius, radius)
    p.setPen(QColor(theme.ink_on(colour)))
    p.setFont(face)
    p.drawText(QRect(0, 0, wide, high), Qt.AlignmentFlag.AlignCenter, text)
    p.end()
    pixels = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)
    _inks[key] = pixels[:, : image.width()].copy()
    return _inks[key]


def blend(buffer: NDArray[np.uint8], ink: NDArray[np.uint8], x: int, y: int) -> None:
    """Lay premultiplied ink over the buffer, clipped."""
    x0, y0 = max(0, x), max(0, y)
    x1, y1 = min(buffer.shape[1], x + ink.shape[1]), min(buffer.shape[0], y + ink.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = ink[y0 - y : y1 - y, x0 - x : x1 - x]
    under = buffer[y0:y1, x0:x1]
    rest = (255 - part[:, :, 3:4]).astype(np.uint16)
    under[:] = part + ((under * rest + 127) // 255).astype(np.uint8)


def tag_text(label: str, score: float | None, style: Style) -> str:
    """What a tag says: the label's name and, for a prediction, its score."""
    name = style.names.get(label, label)
    return name if score is None else f"{name} {score:.2f}"


def sign_text(label: str, style: Style) -> str:
    """The class in one letter: its key, else the beginning of its name. The second sign beside the colour."""
    return style.keys.get(label) or style.names.get(label, label)[:1].upper()


def place(r: Request) -> list[Tagged]:
    """Tags beside their objects, moved apart; where nothing is free the tag is shortened, at last only a sign is left."""
    scene = r.scene
    if not r.tags or not len(scene.boxes):
        return []
    at = scene.boxes * np.float32(r.scale) + np.array((r.ox, r.oy, r.ox, r.oy), np.float32)
    dots = (scene.forms == LOOSE) | (scene.forms == SKELETON)
    at[dots] += np.array((-1, -1, 1, 1), np.float32) * np.float32(_DOT_PX * r.ratio)
    size = np.maximum(at[:, 2] - at[:, 0], at[:, 3] - at[:, 1])
    with np.errstate(invalid="ignore"):
        seen = np.flatnonzero(
            (size >= SMALL_PX * r.ratio)
            & (at[:, 2] >= 0)
            & (at[:, 0] <= r.wh[0])
            & (at[:, 3] >= 0)
            & (at[:, 1] <= r.wh[1])
        )
    shown = [i for i in seen.tolist() if r.style.shows(scene.annotations[i])]
    named = shown
    if len(named) > TAGGED_AT_MOST:
        named = [i for i in shown if scene.annotations[i].uid in r.selected]
    if len(named) > TAGGED_AT_MOST:
        named = []
    named = sorted(named, key=lambda i: (scene.annotations[i].uid not in r.selected, float(at[i, 1])))
    placed = _tags(r, at, named, at[seen])
    if len(shown) <= _SIGNED_AT_MOST:
        done = {tag.uid for tag in placed}
        for i in shown:
            a = scene.annotations[i]
            if a.uid not in done and size[i] >= _SIGN_PX * r.ratio and scene.rings[i]:
                ring = scene.rings[i][0][0]
                x, y = ring[int((ring[:, 0] + ring[:, 1]).argmin())] * r.scale + (r.ox, r.oy)
                ink = tag_ink(sign_text(a.label, r.style), r.style.colour(a.label), r.ratio, sign=True)
                placed.append(Tagged(a.uid, round(x - ink.shape[1] / 2), round(y - ink.shape[0] / 2), ink))
    return placed


def _tags(r: Request, at: NDArray[np.float32], named: list[int], others: NDArray[np.float32]) -> list[Tagged]:
    scene, gap = r.scene, 2 * r.ratio
    taken = np.empty((len(named), 4), np.float32)
    placed: list[Tagged] = []
    for i in named:
        a = scene.annotations[i]
        x0, y0, x1, y1 = (float(v) for v in at[i])
        full = tag_text(a.label, a.score, r.style)
        best: tuple[float, float, NDArray[np.float32], NDArray[np.uint8]] | None = None
        for text in dict.fromkeys((full, r.style.names.get(a.label, a.label), full[:2])):
            ink = tag_ink(text, r.style.colour(a.label), r.ratio)
            high, wide = ink.shape[:2]
            spots = np.array(
                [
                    (x0 - 1, y0 - high - gap), (x1 - wide + 1, y0 - high - gap),
                    (x0 - 1, y1 + gap), (x1 - wide + 1, y1 + gap),
                    (x1 + gap, y0), (x0 - wide - gap, y0), (x0 - 1, y0 - 2 * high - 2 * gap),
                ],
                np.float32,
            )  # fmt: skip
            boxes = np.concatenate((spots, spots + np.array((wide, high), np.float32)), 1)
            free = ~(covered(boxes, taken[: len(placed)]) > 0).any(1)
            if not free.any():
                continue
            areas = np.maximum(1.0, (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1]))
            hides = (covered(boxes, others) / areas).sum(1)
            cost = np.where(free, hides * 40 + np.arange(len(spots)), np.inf)
            k = int(cost.argmin())
            if best is None or cost[k] < best[0]:
                best = float(cost[k]), float(hides[k]), boxes[k], ink
            if best[1] <= _MAY_HIDE:
                break
        if best is not None:
            taken[len(placed)] = best[2]
            placed.append(Tagged(a.uid, round(float(best[2][0])), round(float(best[2][1])), best[3]))
    return placed


def covered(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, m): the area in px that box i of `a` (n, 4) and box j of `b` (m, 4) share."""
    wide = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    high = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    return np.asarray(np.maximum(wide, 0) * np.maximum(high, 0), np.float32)

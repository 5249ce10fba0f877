"""The picture of all settled objects, drawn by cv2 into premultiplied BGRA on a thread of its own.

cv2 lets the interface run meanwhile, QPainter's strokes do not. Only the newest request is kept. The buffer is larger
than the view by a margin, so that panning blits; one owner at a time: the worker makes it, the view then patches it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter

from annotation.core import Annotation
from app.desktop import theme
from app.desktop.canvas.scene import Scene
from app.desktop.tasks import Courier

MARGIN = (400, 250)
_SHIFT = 4
_DASH, _GAP = 5.0, 6.0
_FILLED_AT_MOST, _FINE_AT_MOST, _CASED_AT_MOST, _TAGGED_AT_MOST = 3000, 600, 200, 160
_SMALL_PX, _DOT_PX = 24.0, 3.0
_MAY_HIDE = 0.15
"""A tag is shortened before it covers more than this share of another object."""
_FAR = float(2**25)


@dataclass(frozen=True, slots=True)
class Style:
    """How labels look: code -> colour "#rrggbb" and code -> name in the language in use."""

    colours: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    """Uids that are not drawn."""
    hidden_labels: frozenset[str] = frozenset()
    fallback: str = "#98a1ac"

    def colour(self, code: str) -> str:
        """A label's colour."""
        return self.colours.get(code, self.fallback)

    def shows(self, a: Annotation) -> bool:
        """False for what is hidden, itself or with its class."""
        return a.uid not in self.hidden and a.label not in self.hidden_labels


@dataclass(frozen=True, slots=True)
class Request:
    """What to draw: scale and offset in device pixels (screen = source * scale + offset), size of the buffer."""

    scene: Scene
    style: Style
    scale: float
    ox: float
    oy: float
    wh: tuple[int, int]
    selected: frozenset[str] = frozenset()
    ratio: float = 1.0
    tags: bool = True


@dataclass(frozen=True, slots=True)
class Tagged:
    """A tag placed on the buffer."""

    uid: str
    x: int
    y: int
    ink: NDArray[np.uint8]


@dataclass(slots=True)
class Overlay:
    """A finished drawing. The image looks at the buffer."""

    request: Request
    buffer: NDArray[np.uint8]
    image: QImage
    tags: list[Tagged]


def _bgra(colour: str, alpha: float) -> tuple[float, float, float, float]:
    """Premultiplied BGRA, 0..255."""
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return b * alpha, g * alpha, r * alpha, 255 * alpha


def _fixed(points: NDArray[np.float32], scale: float, ox: float, oy: float) -> NDArray[np.int32]:
    """Source pixels to cv2's fixed point (1/16 px), kept well inside int32."""
    at = points * np.float32(scale) + np.array((ox, oy), np.float32)
    return np.clip(np.rint(at * (1 << _SHIFT)), -_FAR, _FAR).astype(np.int32)


def _dashes(
    points: NDArray[np.float32], closed: bool, wh: tuple[int, int], unit: float
) -> NDArray[np.float32]:
    """Pieces (n, 2, 2) of a dashed outline in buffer pixels, only those inside the buffer."""
    a = points
    b = np.roll(points, -1, axis=0)
    if not closed:
        a, b = a[:-1], b[:-1]
    along = b - a
    length = np.hypot(along[:, 0], along[:, 1])
    keep = length > 0.01
    a, along, length = a[keep], along[keep], length[keep]
    if not len(a):
        return np.empty((0, 2, 2), np.float32)
    enter, leave = np.zeros(len(a)), np.ones(len(a))
    with np.errstate(divide="ignore", invalid="ignore"):
        for axis in (0, 1):
            t0, t1 = -a[:, axis] / along[:, axis], (wh[axis] - a[:, axis]) / along[:, axis]
            low, high = np.fmin(t0, t1), np.fmax(t0, t1)
            still = along[:, axis] == 0
            outside = still & ((a[:, axis] < 0) | (a[:, axis] > wh[axis]))
            enter = np.where(still, enter, np.maximum(enter, low))
            leave = np.where(outside, -1.0, np.where(still, leave, np.minimum(leave, high)))
    period = (_DASH + _GAP) * unit
    first = np.floor(enter * length / period)
    count = np.where(leave > enter, np.ceil(leave * length / period) - first, 0).astype(np.int64)
    total = int(count.sum())
    if not total:
        return np.empty((0, 2, 2), np.float32)
    edge = np.repeat(np.arange(len(a)), count)
    step = np.arange(total) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    begin = step * period / length[edge]
    end = np.minimum(begin + _DASH * unit / length[edge], 1.0)
    p0 = a[edge] + along[edge] * begin[:, None]
    p1 = a[edge] + along[edge] * end[:, None]
    return np.stack((p0, p1), 1).astype(np.float32)


_inks: dict[tuple[str, str, float], NDArray[np.uint8]] = {}


def tag_ink(text: str, colour: str, ratio: float) -> NDArray[np.uint8]:
    """A tag's pixels, premultiplied BGRA; cached, because text is the dearest thing on the canvas."""
    key = (text, colour, ratio)
    if (known := _inks.get(key)) is not None:
        return known
    if len(_inks) > 4000:
        _inks.clear()
    face = theme.font(12, bold=True)
    wide, high = QFontMetrics(face).horizontalAdvance(text) + 10, 18
    image = QImage(round(wide * ratio), round(high * ratio), QImage.Format.Format_ARGB32_Premultiplied)
    image.setDevicePixelRatio(ratio)
    image.fill(0)
    p = QPainter(image)
    p.setRenderHint(QPainter.RenderHint.Antialiasing)
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(QColor(colour))
    p.drawRoundedRect(QRect(0, 0, wide, high), 3, 3)
    p.setPen(QColor(theme.ink_on(colour)))
    p.setFont(face)
    p.drawText(QRect(0, 0, wide, high), Qt.AlignmentFlag.AlignCenter, text)
    p.end()
    pixels = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)
    _inks[key] = pixels[:, : image.width()].copy()
    return _inks[key]


def _blend(buffer: NDArray[np.uint8], ink: NDArray[np.uint8], x: int, y: int) -> None:
    """Lay premultiplied ink over the buffer, clipped."""
    x0, y0 = max(0, x), max(0, y)
    x1, y1 = min(buffer.shape[1], x + ink.shape[1]), min(buffer.shape[0], y + ink.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = ink[y0 - y : y1 - y, x0 - x : x1 - x]
    under = buffer[y0:y1, x0:x1]
    rest = (255 - part[:, :, 3:4]).astype(np.uint16)
    under[:] = part + ((under * rest + 127) // 255).astype(np.uint8)


def _draw(r: Request, wh: tuple[int, int], ox: float, oy: float) -> NDArray[np.uint8]:
    """Fills, then outlines, of what lies in a buffer of (w, h) whose corner is at (ox, oy)."""
    w, h = wh
    buffer = np.zeros((h, w, 4), np.uint8)
    scene = r.scene
    if not len(scene.boxes):
        return buffer
    at = scene.boxes * np.float32(r.scale) + np.array((ox, oy, ox, oy), np.float32)
    with np.errstate(invalid="ignore"):
        seen = np.flatnonzero((at[:, 2] >= -4) & (at[:, 0] <= w + 4) & (at[:, 3] >= -4) & (at[:, 1] <= h + 4))
    if r.style.hidden or r.style.hidden_labels:
        seen = np.array([i for i in seen.tolist() if r.style.shows(scene.annotations[i])], np.int64)
    if not len(seen):
        return buffer
    size = np.maximum(at[seen, 2] - at[seen, 0], at[seen, 3] - at[seen, 1])
    order = seen[
        np.argsort(-scene.areas[seen], kind="stable")
    ]  # a fill overwrites: large first, small on top
    large = set(seen[size >= _SMALL_PX].tolist())
    tiny = set(seen[size < _DOT_PX].tolist())
    thick = max(1, round((2 if len(seen) <= _FINE_AT_MOST else 1) * r.ratio))
    rings: dict[int, list[NDArray[np.int32]]] = {}
    for i in order.tolist():
        if i in tiny:
            continue
        step = 2 if i not in large and scene.rings[i] and len(scene.rings[i][0][0]) > 8 else 1
        rings[i] = [_fixed(points[::step], r.scale, ox, oy) for points, _ in scene.rings[i]]
    selected = {scene.places[uid] for uid in r.selected if uid in scene.places}
    if len(large) <= _FILLED_AT_MOST:
        for i in order.tolist():
            if i in large and all(closed for _, closed in scene.rings[i]):
                share = 0.20 if i in selected else 0.08 if scene.predicted[i] else 0.14
                cv2.fillPoly(
                    buffer,
                    rings[i],
                    _bgra(r.style.colour(scene.annotations[i].label), share),
                    cv2.LINE_8,
                    _SHIFT,
                )
    plain: dict[tuple[str, bool], list[NDArray[np.int32]]] = {}
    dashed: dict[str, list[NDArray[np.int32]]] = {}
    unit = np.float32(r.ratio)
    for i in order.tolist():
        colour = r.style.colour(scene.annotations[i].label)
        if i in tiny:
            x, y = int(at[i, 0]), int(at[i, 1])
            if 0 <= x < w and 0 <= y < h:
                buffer[y, x] = _bgra(colour, 1.0)
            continue
        for (points, closed), fixed in zip(scene.rings[i], rings[i], strict=True):
            if scene.predicted[i] and (i in large or len(seen) <= _FINE_AT_MOST):
                fine = unit if i in large else unit * np.float32(0.6)
                pieces = _dashes(
                    points * np.float32(r.scale) + np.array((ox, oy), np.float32), closed, wh, float(fine)
                )
                dashed.setdefault(colour, []).extend(
                    _fixed(pieces.reshape(-1, 2), 1.0, 0, 0).reshape(-1, 2, 2)
                )
            else:
                plain.setdefault((colour, closed), []).append(fixed)
    cased: dict[bool, list[NDArray[np.int32]]] = {}
    for i in selected if len(selected) <= _CASED_AT_MOST else ():
        for (_, closed), fixed in zip(scene.rings[i], rings.get(i, ()), strict=False):
            cased.setdefault(closed, []).append(fixed)
    line = cv2.LINE_AA
    for closed, lines in cased.items():  # a dark casing keeps the selection readable on any picture
        cv2.polylines(buffer, lines, closed, _bgra("#14161a", 0.75), thick + round(3 * r.ratio), line, _SHIFT)
    for (colour, closed), lines in plain.items():
        cv2.polylines(buffer, lines, closed, _bgra(colour, 1.0), thick, line, _SHIFT)
    for colour, lines in dashed.items():
        if lines:
            cv2.polylines(buffer, lines, False, _bgra(colour, 1.0), thick, line, _SHIFT)
    return buffer


def tag_text(annotation_label: str, score: float | None, style: Style) -> str:
    """What a tag says: the label's name and, for a prediction, its score."""
    name = style.names.get(annotation_label, annotation_label)
    return name if score is None else f"{name} {score:.2f}"


def _place(r: Request) -> list[Tagged]:
    """Tags beside their objects, moved apart; where nothing is free the tag is shortened, at last left out."""
    scene = r.scene
    if not r.tags or not len(scene.boxes):
        return []
    at = scene.boxes * np.float32(r.scale) + np.array((r.ox, r.oy, r.ox, r.oy), np.float32)
    size = np.maximum(at[:, 2] - at[:, 0], at[:, 3] - at[:, 1])
    with np.errstate(invalid="ignore"):
        seen = np.flatnonzero(
            (size >= _SMALL_PX * r.ratio)
            & (at[:, 2] >= 0)
            & (at[:, 0] <= r.wh[0])
            & (at[:, 3] >= 0)
            & (at[:, 1] <= r.wh[1])
        )
    if len(seen) > _TAGGED_AT_MOST:
        seen = np.array([i for i in seen if scene.annotations[i].uid in r.selected], np.int64)
    if len(seen) > _TAGGED_AT_MOST:
        return []
    chosen = [i for i in seen.tolist() if r.style.shows(scene.annotations[i])]
    chosen.sort(key=lambda i: (scene.annotations[i].uid not in r.selected, at[i, 1]))
    taken: list[tuple[float, float, float, float]] = []
    placed: list[Tagged] = []
    others = at[seen]
    gap = 2 * r.ratio
    for i in chosen:
        annotation = scene.annotations[i]
        x0, y0, x1, y1 = (float(v) for v in at[i])
        full = tag_text(annotation.label, annotation.score, r.style)
        best: tuple[float, float, tuple[float, float, float, float], NDArray[np.uint8]] | None = None
        for text in dict.fromkeys((full, r.style.names.get(annotation.label, annotation.label), full[:2])):
            ink = tag_ink(text, r.style.colour(annotation.label), r.ratio)
            high, wide = ink.shape[:2]
            spots = (
                (x0 - 1, y0 - high - gap), (x1 - wide + 1, y0 - high - gap),
                (x0 - 1, y1 + gap), (x1 - wide + 1, y1 + gap),
                (x1 + gap, y0), (x0 - wide - gap, y0), (x0 - 1, y0 - 2 * high - 2 * gap),
            )  # fmt: skip
            for rank, (x, y) in enumerate(spots):
                spot = (x, y, x + wide, y + high)
                if any(_overlap(spot, other) > 0 for other in taken):
                    continue
                hides = _hidden(spot, others)
                if best is None or hides * 40 + rank < best[0]:
                    best = hides * 40 + rank, hides, spot, ink
            if best is not None and best[1] <= _MAY_HIDE:
                break
        if best is not None:
            _, _, spot, ink = best
            taken.append(spot)
            placed.append(Tagged(annotation.uid, round(spot[0]), round(spot[1]), ink))
    return placed


def _hidden(spot: tuple[float, float, float, float], others: NDArray[np.float32]) -> float:
    """How many objects, in shares of their area, a tag at this place would cover."""
    wide = np.minimum(others[:, 2], spot[2]) - np.maximum(others[:, 0], spot[0])
    high = np.minimum(others[:, 3], spot[3]) - np.maximum(others[:, 1], spot[1])
    area = np.maximum(1.0, (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1]))
    return float((np.maximum(wide, 0) * np.maximum(high, 0) / area).sum())


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return max(0.0, float(min(a[2], b[2]) - max(a[0], b[0]))) * max(
        0.0, float(min(a[3], b[3]) - max(a[1], b[1]))
    )


def render(request: Request) -> Overlay:
    """Draw everything a request asks for."""
    buffer = _draw(request, request.wh, request.ox, request.oy)
    tags = _place(request)
    for tag in tags:
        _blend(buffer, tag.ink, tag.x, tag.y)
    w, h = request.wh
    image = QImage(buffer.data, w, h, 4 * w, QImage.Format.Format_ARGB32_Premultiplied)
    image.setDevicePixelRatio(request.ratio)
    return Overlay(request, buffer, image, tags)


def patch(overlay: Overlay, scene: Scene, uids: set[str], *, hidden: frozenset[str] = frozenset()) -> None:
    """Redraw in place only the rectangles of some objects (0.6 to 2 ms), so that a gesture shows at once."""
    old = overlay.request
    new = replace(old, scene=scene, style=replace(old.style, hidden=hidden))
    rects: list[tuple[int, int, int, int]] = []
    grow = round(8 * old.ratio)
    for source in (old.scene, scene):
        for uid in uids:
            if (at := source.places.get(uid)) is not None and not np.isnan(source.boxes[at, 0]):
                x0, y0, x1, y1 = source.boxes[at] * old.scale + (old.ox, old.oy, old.ox, old.oy)
                rects.append((int(x0) - grow, int(y0) - grow, int(x1) + grow, int(y1) + grow))
    rects += [(t.x, t.y, t.x + t.ink.shape[1], t.y + t.ink.shape[0]) for t in overlay.tags if t.uid in uids]
    overlay.tags = [tag for tag in overlay.tags if tag.uid not in uids]
    w, h = old.wh
    for x0, y0, x1, y1 in rects:
        x0, y0, x1, y1 = max(0, x0), max(0, y0), min(w, x1), min(h, y1)
        if x0 >= x1 or y0 >= y1:
            continue
        piece = _draw(new, (x1 - x0, y1 - y0), old.ox - x0, old.oy - y0)
        for tag in overlay.tags:
            _blend(piece, tag.ink, tag.x - x0, tag.y - y0)
        overlay.buffer[y0:y1, x0:x1] = piece
    overlay.request = new


class Worker:
    """The thread that draws; it keeps only the newest request."""

    def __init__(self, courier: Courier, done: Callable[[Overlay], None]) -> None:
        self._courier, self._done = courier, done
        self._lock = threading.Condition()
        self._request: Request | None = None
        self._closing = False
        self._busy = False
        self._thread = threading.Thread(target=self._work, name="lamproom-overlay", daemon=True)
        self._thread.start()

    def ask(self, request: Request) -> None:
        """Draw this next; an older request that has not begun is forgotten."""
        with self._lock:
            self._request = request
            self._lock.notify()

    @property
    def idle(self) -> bool:
        """True when nothing is asked and nothing is being drawn."""
        with self._lock:
            return self._request is None and not self._busy

    def close(self) -> bool:
        """End the thread; False when it did not end in time."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        self._thread.join(5.0)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._lock:
                while self._request is None and not self._closing:
                    self._lock.wait()
                if self._closing:
                    return
                request, self._request, self._busy = self._request, None, True
            assert request is not None
            try:
                made = render(request)
                self._courier.send(lambda made=made: self._done(made))  # type: ignore[misc]
            except Exception as fault:
                self._courier.send(lambda fault=fault: _raise(fault))  # type: ignore[misc]
            finally:
                with self._lock:
                    self._busy = False


def _raise(fault: Exception) -> None:
    raise fault

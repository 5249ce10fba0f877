"""The picture of all settled objects, drawn by cv2 into premultiplied BGRA on a thread of its own.

cv2 lets the interface run meanwhile, QPainter's strokes do not. Only the newest request is kept. The buffer is larger
than the view by a margin, so that panning blits; one owner at a time: the worker makes it, the view then patches it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QImage

from annotation.core import Annotation
from app.desktop.canvas import drawing, ink
from app.desktop.canvas.scene import Scene
from app.desktop.tasks import Courier

MARGIN = (400, 250)
"""Device pixels around the view, so that pushing it shifts what is drawn already."""
_ROOM_PX = 10
"""How far what is drawn of an object reaches beyond its bounding box."""
_SEAM_PX = 3


@dataclass(frozen=True, slots=True)
class Style:
    """How labels look: code -> colour "#rrggbb" and code -> name in the language in use."""

    colours: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    """Uids that are not drawn."""
    hidden_labels: frozenset[str] = frozenset()
    keys: Mapping[str, str] = field(default_factory=dict)
    """code -> the key that takes the class in hand: its sign where there is no room for the name."""
    edges: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    """code -> the edges of its skeleton, pairs of point numbers."""
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


@dataclass(slots=True)
class Overlay:
    """A finished drawing. The image looks at the buffer."""

    request: Request
    buffer: NDArray[np.uint8]
    image: QImage
    tags: list[ink.Tagged]


def render(request: Request) -> Overlay:
    """Draw everything a request asks for."""
    buffer = drawing.draw(request, request.wh, request.ox, request.oy)
    tags = ink.place(request)
    for tag in tags:
        ink.blend(buffer, tag.ink, tag.x, tag.y)
    w, h = request.wh
    image = QImage(buffer.data, w, h, 4 * w, QImage.Format.Format_ARGB32_Premultiplied)
    image.setDevicePixelRatio(request.ratio)
    return Overlay(request, buffer, image, tags)


def patch(overlay: Overlay, scene: Scene, uids: set[str], *, hidden: frozenset[str] = frozenset()) -> None:
    """Redraw in place only the rectangles of some objects (0.6 to 2 ms), so that a gesture shows at once."""
    old = overlay.request
    new = replace(old, scene=scene, style=replace(old.style, hidden=hidden))
    rects: list[tuple[int, int, int, int]] = []
    grow = round(_ROOM_PX * old.ratio)
    for source in (old.scene, scene):
        for uid in uids:
            if (at := source.places.get(uid)) is not None and not np.isnan(source.boxes[at, 0]):
                x0, y0, x1, y1 = source.boxes[at] * old.scale + (old.ox, old.oy, old.ox, old.oy)
                rects.append((int(x0) - grow, int(y0) - grow, int(x1) + grow, int(y1) + grow))
    rects += [tag.rect for tag in overlay.tags if tag.uid in uids]
    overlay.tags = [tag for tag in overlay.tags if tag.uid not in uids]
    w, h = old.wh
    for x0, y0, x1, y1 in rects:
        x0, y0, x1, y1 = max(0, x0), max(0, y0), min(w, x1), min(h, y1)
        if x0 >= x1 or y0 >= y1:
            continue
        # cv2 smooths a line less at the border of the buffer: drawn a little larger and cut, or a seam is seen.
        cut = slice(_SEAM_PX, -_SEAM_PX)
        wide = (x1 - x0 + 2 * _SEAM_PX, y1 - y0 + 2 * _SEAM_PX)
        piece = drawing.draw(new, wide, old.ox - x0 + _SEAM_PX, old.oy - y0 + _SEAM_PX)[cut, cut]
        for tag in overlay.tags:
            ink.blend(piece, tag.ink, tag.x - x0, tag.y - y0)
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

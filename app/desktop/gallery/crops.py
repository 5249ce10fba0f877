"""Objects cut out of their pictures, a little of the surroundings with them; kept by bytes, newest request first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PySide6.QtCore import QObject, QRectF, Signal
from PySide6.QtGui import QImage

from app.desktop.canvas.pictures import to_image
from app.desktop.tasks import Pool
from app.services.listing import ObjectRow

BUDGET_BYTES = 96_000_000
SIDE_PX = 360
"""Longer side of a crop."""
_ENOUGH_PX = 120
"""An object of this size on the thumbnail is cut from it: its picture need not be decoded."""
_AROUND = 0.25
_THUMB_PX = 320


@dataclass(frozen=True, slots=True)
class Crop:
    """A cut-out, and where the object lies on it in 0..1 of its sides; None: the whole picture is meant."""

    image: QImage
    box: QRectF | None


def region(o: ObjectRow, wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of what is cut out of a picture of this size, in its pixels: 4 : 3, inside it, at least 48 px wide."""
    w, h = wh
    if o.box is None:
        return 0, 0, w, h
    x0, y0, x1, y1 = o.box
    side = max((x1 - x0) * (1 + 2 * _AROUND), (y1 - y0) * (1 + 2 * _AROUND) * 4 / 3, 48.0)
    cw, ch = min(float(w), side), min(float(h), side * 3 / 4)
    cx = min(max((x0 + x1) / 2, cw / 2), w - cw / 2)
    cy = min(max((y0 + y1) / 2, ch / 2), h - ch / 2)
    left, top = max(0, int(cx - cw / 2)), max(0, int(cy - ch / 2))
    return left, top, min(w, left + max(1, round(cw))), min(h, top + max(1, round(ch)))


class Crops(QObject):
    """`get` answers at once with what there is; `came` tells when more is there. Interface thread only.

    Args:
        thumb: asset id -> JPEG bytes. picture: asset id -> BGR (h, w, 3), the whole picture.
    """

    came = Signal(int)

    def __init__(
        self,
        pool: Pool,
        thumb: Callable[[int], bytes],
        picture: Callable[[int], Any],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._pool, self._thumb, self._picture = pool, thumb, picture
        self._kept: OrderedDict[int, Crop] = OrderedDict()
        self._bytes = 0
        self._asked: set[int] = set()
        self._failed: set[int] = set()
        self._era = 0
        self._last: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, o: ObjectRow) -> Crop | None:
        """The cut-out, or None and it is asked for."""
        if (found := self._kept.get(o.id)) is not None:
            self._kept.move_to_end(o.id)
            return found
        if o.id not in self._asked and o.id not in self._failed:
            self._asked.add(o.id)
            self._pool.submit(
                lambda era=self._era: self._cut(era, o),
                lambda crop, era=self._era: self._took(era, o.id, crop),
                lambda _fault, era=self._era: self._lost(era, o.id),
                key=("crop", o.id),
            )
        return None

    def failed(self, row_id: int) -> bool:
        """True when the picture has no pixels to show."""
        return row_id in self._failed

    def keep_only(self, wanted: Collection[int]) -> None:
        """Throw away requests that left the screen."""
        chosen, dropped = set(wanted), set[int]()

        def keep(key: object) -> bool:
            if isinstance(key, tuple) and key[0] == "crop" and key[1] not in chosen:
                dropped.add(key[1])
                return False
            return True

        self._pool.drop(keep)
        self._asked -= dropped

    def forget(self) -> None:
        """Another workspace, or other objects; what is still being cut belongs to the old ones."""
        self._era += 1
        self._kept.clear()
        self._asked.clear()
        self._failed.clear()
        self._bytes = 0
        with self._lock:
            self._last.clear()

    def _cut(self, era: int, o: ObjectRow) -> Crop:
        """On a worker: from the thumbnail when the object is large enough on it, else from the picture."""
        w, h = o.width_px or 0, o.height_px or 0
        thumb_share = min(1.0, _THUMB_PX / max(w, h, 1))
        across = max(o.box[2] - o.box[0], o.box[3] - o.box[1]) if o.box else float("inf")
        if across * thumb_share >= _ENOUGH_PX:
            pixels: Any = cv2.imdecode(np.frombuffer(self._thumb(o.asset_id), np.uint8), cv2.IMREAD_COLOR)
        else:
            pixels = self._whole(era, o.asset_id)
        ph, pw = pixels.shape[:2]
        share_x, share_y = pw / (w or pw), ph / (h or ph)
        x0, y0, x1, y1 = region(o, (w or pw, h or ph))
        left, top = int(x0 * share_x), int(y0 * share_y)
        right, bottom = max(left + 1, round(x1 * share_x)), max(top + 1, round(y1 * share_y))
        part = pixels[top:bottom, left:right]
        scale = SIDE_PX / max(part.shape[:2])
        if scale < 1:
            size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
            part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        box = None
        if o.box is not None:
            cw, ch = x1 - x0, y1 - y0
            box = QRectF(
                (o.box[0] - x0) / cw,
                (o.box[1] - y0) / ch,
                (o.box[2] - o.box[0]) / cw,
                (o.box[3] - o.box[1]) / ch,
            )
        return Crop(to_image(np.ascontiguousarray(part)), box)

    def _whole(self, era: int, asset_id: int) -> Any:
        """The decoded picture; the last few are kept, because objects of one picture are asked for together."""
        with self._lock:
            if era == self._era and (kept := self._last.get(asset_id)) is not None:
                return kept
        made = self._picture(asset_id)
        with self._lock:
            if era != self._era:
                return made  # of a workspace that was left: the same number is another picture here
            self._last[asset_id] = made
            while len(self._last) > 3 or (
                sum(p.nbytes for p in self._last.values()) > 80_000_000 and len(self._last) > 1
            ):
                self._last.popitem(last=False)
        return made

    def _took(self, era: int, row_id: int, crop: Crop) -> None:
        if era != self._era:
            return
        self._asked.discard(row_id)
        self._kept[row_id] = crop
        self._bytes += crop.image.sizeInBytes()
        while self._bytes > BUDGET_BYTES and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._bytes -= old.image.sizeInBytes()
        self.came.emit(row_id)

    def _lost(self, era: int, row_id: int) -> None:
        if era == self._era:
            self._asked.discard(row_id)
            self._failed.add(row_id)
            self.came.emit(row_id)

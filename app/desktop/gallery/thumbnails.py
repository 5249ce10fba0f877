"""Thumbnails at hand: decoded on two threads, newest request first, kept by bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection

import cv2
import numpy as np
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from annotation.errors import InvalidInput
from app.desktop.canvas.pictures import to_image
from app.desktop.tasks import Pool

BUDGET_BYTES = 128_000_000


def decode(data: bytes) -> QImage:
    """JPEG bytes to RGB32; cv2 decodes without holding the interpreter, Qt would hold it for the whole call."""
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise InvalidInput("the thumbnail cannot be decoded")
    return to_image(bgr)


class Thumbnails(QObject):
    """`get` answers at once with what there is; `came` tells when more is there. Interface thread only."""

    came = Signal(int)

    def __init__(self, pool: Pool, read: Callable[[int], bytes], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool, self._read = pool, read
        self._kept: OrderedDict[int, QImage] = OrderedDict()
        self._bytes = 0
        self._asked: set[int] = set()
        self._failed: set[int] = set()
        self._era = 0

    def peek(self, asset_id: int) -> QImage | None:
        """The thumbnail if it is here; asks for nothing."""
        return self._kept.get(asset_id)

    def get(self, asset_id: int) -> QImage | None:
        """The thumbnail, or None and it is asked for."""
        if (image := self._kept.get(asset_id)) is not None:
            self._kept.move_to_end(asset_id)
            return image
        if asset_id not in self._asked and asset_id not in self._failed:
            self._asked.add(asset_id)
            self._pool.submit(
                lambda: decode(self._read(asset_id)),
                lambda image, era=self._era: self._took(era, asset_id, image),
                lambda _fault, era=self._era: self._lost(era, asset_id),
                key=("thumb", asset_id),
            )
        return None

    def failed(self, asset_id: int) -> bool:
        """True when the picture has none: its file is gone or broken."""
        return asset_id in self._failed

    def keep_only(self, wanted: Collection[int]) -> None:
        """Throw away requests that left the screen."""
        chosen = set(wanted)
        dropped: set[int] = set()

        def keep(key: object) -> bool:
            if isinstance(key, tuple) and key[0] == "thumb" and key[1] not in chosen:
                dropped.add(key[1])
                return False
            return True

        self._pool.drop(keep)
        self._asked -= dropped

    def forget(self) -> None:
        """Another workspace; what is still being read belongs to the old one."""
        self._era += 1
        self._kept.clear()
        self._asked.clear()
        self._failed.clear()
        self._bytes = 0

    def _took(self, era: int, asset_id: int, image: QImage) -> None:
        if era != self._era:
            return
        self._asked.discard(asset_id)
        self._kept[asset_id] = image
        self._bytes += image.sizeInBytes()
        while self._bytes > BUDGET_BYTES and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._bytes -= old.sizeInBytes()
        self.came.emit(asset_id)

    def _lost(self, era: int, asset_id: int) -> None:
        if era != self._era:
            return
        self._asked.discard(asset_id)
        self._failed.add(asset_id)
        self.came.emit(asset_id)

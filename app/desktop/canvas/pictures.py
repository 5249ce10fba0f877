"""Decoded pictures with their mip levels: kept by bytes, read ahead in the direction of travel."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QImage

from app.desktop.tasks import Pool

BUDGET_BYTES = 300_000_000
_SMALLEST_PX = 600


@dataclass(frozen=True, slots=True)
class Mips:
    """One picture: images at 1, 1/2, 1/4 … of its size in source pixels (`wh`), RGB32."""

    wh: tuple[int, int]
    levels: tuple[QImage, ...]

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        return sum(level.sizeInBytes() for level in self.levels)

    def level(self, scale: float) -> tuple[QImage, float]:
        """The level drawn with a factor of at most 1 where there is one, and its size relative to the source."""
        best, at = self.levels[0], 1.0
        share = 1.0
        for image in self.levels:
            if share < scale:
                break
            best, at = image, share
            share /= 2
        return best, at


def to_image(bgr: NDArray[Any]) -> QImage:
    """BGR (h, w, 3) to RGB32; BGR888 would be scaled four times slower. The image keeps the array alive."""
    bgra = np.ascontiguousarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2BGRA))
    h, w = bgra.shape[:2]
    return QImage(bgra.data, w, h, 4 * w, QImage.Format.Format_RGB32)


def mips(bgr: NDArray[np.uint8]) -> Mips:
    """All levels of a picture; run on a worker thread."""
    levels = [to_image(bgr)]
    part: NDArray[Any] = bgr
    while max(part.shape[:2]) > _SMALLEST_PX:
        part = cv2.resize(
            part, (max(1, part.shape[1] // 2), max(1, part.shape[0] // 2)), interpolation=cv2.INTER_AREA
        )
        levels.append(to_image(part))
    return Mips((bgr.shape[1], bgr.shape[0]), tuple(levels))


class Pictures:
    """The pictures at hand. Interface thread only; decoding runs on the pool."""

    def __init__(self, pool: Pool, read: Callable[[int], NDArray[np.uint8]]) -> None:
        self._pool, self._read = pool, read
        self._kept: OrderedDict[int, Mips] = OrderedDict()
        self._asked: dict[int, list[tuple[Callable[[Mips], None], Callable[[BaseException], None]]]] = {}
        self._wanted: set[int] = set()
        self._era = 0

    def get(self, asset_id: int) -> Mips | None:
        """The picture when it is decoded already."""
        found = self._kept.get(asset_id)
        if found is not None:
            self._kept.move_to_end(asset_id)
        return found

    def array(self, asset_id: int) -> NDArray[np.uint8] | None:
        """The source's pixels for tools and models, BGR uint8 (h, w, 3), a copy; None while it is not decoded."""
        found = self.get(asset_id)
        if found is None:
            return None
        image = found.levels[0]
        pixels = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.width(), 4)
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR), np.uint8)

    def ask(
        self, asset_id: int, done: Callable[[Mips], None], error: Callable[[BaseException], None]
    ) -> None:
        """Call `done` with the picture, now or when it is decoded."""
        if (found := self.get(asset_id)) is not None:
            done(found)
            return
        self._wanted.add(asset_id)
        if asset_id in self._asked:
            self._asked[asset_id].append((done, error))
            return
        self._asked[asset_id] = [(done, error)]
        self._pool.submit(
            lambda: mips(self._read(asset_id)) if asset_id in self._wanted else None,
            lambda made, era=self._era: self._came(era, asset_id, made),
            lambda fault, era=self._era: self._failed(era, asset_id, fault),
            key=("picture", asset_id),
        )

    def read_ahead(self, now: int, neighbours: Iterable[int]) -> None:
        """Decode what comes next; what is neither here nor next is no longer wanted. First neighbour = most wanted."""
        near = list(neighbours)
        self._wanted = {now, *near}
        for asset_id in reversed(near):  # the pool takes the newest request first
            self.ask(asset_id, lambda _: None, lambda _: None)

    def forget(self) -> None:
        """Another workspace: nothing is kept."""
        self._era += 1  # what is still being decoded belongs to the old one
        self._kept.clear()
        self._wanted.clear()
        self._asked.clear()

    def _came(self, era: int, asset_id: int, made: Mips | None) -> None:
        if era != self._era:
            return
        waiting = self._asked.pop(asset_id, [])
        if made is None:  # left behind before its turn came; asked again meanwhile?
            if asset_id in self._wanted:
                for done, error in waiting:
                    self.ask(asset_id, done, error)
            return
        self._kept[asset_id] = made
        total = sum(one.size_bytes for one in self._kept.values())
        while total > BUDGET_BYTES and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            total -= old.size_bytes
        for done, _ in waiting:
            done(made)

    def _failed(self, era: int, asset_id: int, fault: BaseException) -> None:
        if era != self._era:
            return
        for _, error in self._asked.pop(asset_id, []):
            error(fault)

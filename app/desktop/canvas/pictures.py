"""Decoded pictures with their mip levels: kept by bytes, read ahead in the direction of travel.

A large picture comes twice: first reduced, as the decoder can give it quickly, then whole. Only the picture being looked
at is decoded whole; its large neighbours wait reduced, because one of 24 megapixels takes 128 MB.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QImage

from app.desktop.tasks import Pool
from app.services.browse import Glance

BUDGET_BYTES = 300_000_000
_SMALLEST_PX = 600


class Decoded(Protocol):
    """What a reader gives: see storage.media.Picture."""

    @property
    def screen(self) -> NDArray[np.uint8]: ...
    @property
    def deep(self) -> NDArray[Any] | None: ...
    @property
    def kind(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Mips:
    """One picture: images each half the size of the one before, RGB32.

    Attributes:
        wh: size of the source in pixels.
        share: size of the first level relative to the source: 1 for a whole picture, less for a first look.
        deep: the true samples of every level where they are not of 8 bits: uint16 or float32, (h, w) or (h, w, 3) BGR.
        kind: what the samples are (storage.media.Kind); None for a first look.
    """

    wh: tuple[int, int]
    levels: tuple[QImage, ...]
    share: float = 1.0
    deep: tuple[NDArray[Any], ...] = ()
    kind: Any = None

    @property
    def whole(self) -> bool:
        """True when every pixel of the source is here."""
        return self.share == 1.0

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        return sum(level.sizeInBytes() for level in self.levels) + sum(part.nbytes for part in self.deep)

    def index(self, scale: float) -> int:
        """The level drawn with a factor of at most 1 where there is one."""
        share, best = self.share, 0
        for i in range(len(self.levels)):
            if share < scale:
                break
            best = i
            share /= 2
        return best

    def pixels(self, at: int) -> NDArray[np.uint8]:
        """A level as BGRA uint8 (h, w, 4), not to be written to."""
        image = self.levels[at]
        found = np.frombuffer(image.constBits(), np.uint8)
        return found.reshape(image.height(), image.width(), 4)

    def value(self, x: int, y: int) -> tuple[float, ...] | None:
        """The true sample at a source pixel: one value for gray, else R, G, B; None outside or before it is whole."""
        w, h = self.wh
        if not self.whole or not (0 <= x < w and 0 <= y < h):
            return None
        if self.deep:
            found = np.atleast_1d(self.deep[0][y, x])
            return tuple(float(v) for v in found[::-1])
        rgb = self.levels[0].pixel(x, y)
        parts = ((rgb >> 16) & 255, (rgb >> 8) & 255, rgb & 255)
        gray = self.kind is not None and self.kind.colour == "gray"
        return (float(parts[0]),) if gray else tuple(float(v) for v in parts)


def to_image(pixels: NDArray[Any]) -> QImage:
    """BGR (h, w, 3) or BGRA (h, w, 4) to RGB32; BGR888 would be scaled four times slower. The image keeps the array."""
    bgra = np.ascontiguousarray(pixels if pixels.shape[2] == 4 else cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA))
    h, w = bgra.shape[:2]
    return QImage(bgra.data, w, h, 4 * w, QImage.Format.Format_RGB32)


def of_picture(picture: Decoded) -> Mips:
    """All levels of a decoded picture with its true samples; run on a worker thread."""
    h, w = picture.screen.shape[:2]
    deep: list[NDArray[Any]] = []
    if picture.deep is not None:
        deep.append(picture.deep)
        while max(deep[-1].shape[:2]) > _SMALLEST_PX:
            deep.append(_half(deep[-1]))
    return Mips((w, h), _levels(picture.screen), 1.0, tuple(deep), picture.kind)


def of_glance(glance: Glance) -> Mips:
    """The levels of a first look, whole or reduced; run on a worker thread."""
    if glance.whole is not None:
        return of_picture(glance.whole)
    assert glance.small is not None
    share = max(glance.small.shape[:2]) / max(glance.wh)
    return Mips(glance.wh, _levels(glance.small), share)


def _half(part: NDArray[Any]) -> NDArray[Any]:
    size = (max(1, part.shape[1] // 2), max(1, part.shape[0] // 2))
    return cv2.resize(part, size, interpolation=cv2.INTER_AREA)


def _levels(part: NDArray[Any]) -> tuple[QImage, ...]:
    if part.shape[2] == 3:
        part = cv2.cvtColor(part, cv2.COLOR_BGR2BGRA)
    levels = [to_image(part)]
    while max(part.shape[:2]) > _SMALLEST_PX:
        part = _half(part)
        levels.append(to_image(part))
    return tuple(levels)


Done = Callable[[Mips], None]
Failed = Callable[[BaseException], None]


class Pictures:
    """The pictures at hand. Interface thread only; decoding runs on the pool."""

    def __init__(
        self,
        pool: Pool,
        look: Callable[[int, int], Glance],
        whole: Callable[[int, bytes], Decoded],
        *,
        budget_bytes: int = BUDGET_BYTES,
    ) -> None:
        """`look(asset_id, least_px)` gives the first look, `whole(asset_id, data)` all of it."""
        self._pool, self._look, self._whole = pool, look, whole
        self.budget_bytes = budget_bytes
        self.least_px = 1000
        """Side below which a first look would be too coarse for the canvas."""
        self._kept: OrderedDict[int, Mips] = OrderedDict()
        self._bytes = 0
        self._asked: dict[int, list[tuple[Done, Failed]]] = {}
        self._following: dict[int, list[tuple[Done, Failed]]] = {}  # who gets the whole after the first look
        self._wanted: set[int] = set()
        self._looked: tuple[int, ...] = ()  # the picture looked at, and the one compared with it
        self._near: tuple[int, ...] = ()
        self._large = False  # the last picture came as a reduced first look
        self._finishing: int | None = None  # one whole at a time: the other thread is for first looks
        self._data: tuple[int, bytes] = (0, b"")
        self._era = 0

    def get(self, asset_id: int) -> Mips | None:
        """The picture when it is decoded already, perhaps only its first look."""
        found = self._kept.get(asset_id)
        if found is not None:
            self._kept.move_to_end(asset_id)
        return found

    def array(self, asset_id: int) -> NDArray[np.uint8] | None:
        """The source's pixels for tools and models, BGR uint8 (h, w, 3), a copy; None while it is not decoded whole."""
        found = self.get(asset_id)
        if found is None or not found.whole:
            return None
        return np.asarray(cv2.cvtColor(found.pixels(0), cv2.COLOR_BGRA2BGR), np.uint8)

    def ask(self, asset_id: int, done: Done, error: Failed, *, beside: bool = False) -> None:
        """Look at a picture: `done` with it now or when it is decoded, and again when more than a first look is there.

        `beside`: it is compared with the one asked for before, which stays looked at.
        """
        self._looked = (*self._looked[:1], asset_id) if beside else (asset_id,)
        self._wanted.add(asset_id)
        found = self.get(asset_id)
        if found is None or not found.whole:
            self._following.setdefault(asset_id, []).append((done, error))
        if found is not None:
            done(found)
            self._finish()
        else:
            self._first(asset_id, done, error)

    def read_ahead(self, now: int, neighbours: Iterable[int]) -> None:
        """Decode what comes next, most wanted first; what is neither here nor next is no longer wanted."""
        self._near = tuple(neighbours)
        self._wanted = {now, *self._looked, *self._near}
        self._leave()
        self._go_ahead()

    def _go_ahead(self) -> None:
        """Begin what comes next, nearest first, once what is looked at is there.

        Two at a time, of large pictures one: whoever jumps elsewhere must not wait for both threads.
        """
        if any(i in self._asked for i in self._looked):
            return
        room = (1 if self._large else 2) - len(self._asked)
        for asset_id in self._near:
            if room <= 0:
                return
            if asset_id not in self._kept and asset_id not in self._asked:
                self._first(asset_id, _nothing, _nothing)
                room -= 1

    def forget(self) -> None:
        """Another workspace: nothing is kept."""
        self._era += 1  # what is still being decoded belongs to the old one
        self._kept.clear()
        self._bytes = 0
        self._wanted.clear()
        self._near = ()
        self._asked.clear()
        self._following.clear()
        self._looked, self._finishing = (), None
        self._data = (0, b"")

    # --- first looks ---------------------------------------------------------------------------------------------

    def _first(self, asset_id: int, done: Done, error: Failed) -> None:
        if asset_id in self._asked:
            self._asked[asset_id].append((done, error))
            return
        self._asked[asset_id] = [(done, error)]
        least = self.least_px

        def work() -> tuple[Mips, bytes]:
            seen = self._look(asset_id, least)
            return of_glance(seen), seen.data

        self._pool.submit(
            work,
            lambda made, era=self._era: self._came(era, asset_id, *made),
            lambda fault, era=self._era: self._failed(era, asset_id, fault),
            key=("picture", asset_id),
        )

    def _leave(self) -> None:
        """Throw away requests that were left behind before their turn came."""
        gone: set[int] = set()

        def keep(key: object) -> bool:
            if isinstance(key, tuple) and key[0] == "picture" and key[1] not in self._wanted:
                gone.add(key[1])
                return False
            return True

        self._pool.drop(keep)
        for asset_id in gone:
            self._asked.pop(asset_id, None)
        for asset_id in set(self._following) - self._wanted:
            del self._following[asset_id]

    def _came(self, era: int, asset_id: int, made: Mips, data: bytes) -> None:
        if era != self._era:
            return
        self._keep(asset_id, made)
        self._large = not made.whole
        for done, _ in self._asked.pop(asset_id, []):
            done(made)
        if made.whole:
            self._following.pop(asset_id, None)
        elif asset_id in self._looked:
            self._data = (asset_id, data)
        self._go_ahead()
        self._finish()

    def _failed(self, era: int, asset_id: int, fault: BaseException) -> None:
        if era != self._era:
            return
        self._following.pop(asset_id, None)
        waiting = self._asked.pop(asset_id, [])
        self._near = tuple(i for i in self._near if i != asset_id)  # it is not tried again and again
        self._go_ahead()
        for _, error in waiting:
            error(fault)

    # --- the whole picture ---------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Decode what is looked at whole, unless it is, or another still is being decoded."""
        seen = ((i, self._kept.get(i)) for i in self._looked)
        now = next((i for i, found in seen if found is not None and not found.whole), None)
        if now is None or self._finishing is not None:
            return
        self._finishing = now
        data = self._data[1] if self._data[0] == now else b""
        self._data = (0, b"")
        self._pool.submit(
            lambda: of_picture(self._whole(now, data)),
            lambda made, era=self._era: self._finished(era, now, made),
            lambda fault, era=self._era: self._unfinished(era, now, fault),
            key=("whole", now),
        )

    def _finished(self, era: int, asset_id: int, made: Mips) -> None:
        if era != self._era:
            return
        self._finishing = None
        self._keep(asset_id, made)
        for done, _ in self._following.pop(asset_id, []):
            done(made)
        self._finish()

    def _unfinished(self, era: int, asset_id: int, fault: BaseException) -> None:
        if era != self._era:
            return
        self._finishing = None
        self._looked = tuple(i for i in self._looked if i != asset_id)  # asked for again, it is tried again
        for _, error in self._following.pop(asset_id, []):
            error(fault)
        self._finish()

    def _keep(self, asset_id: int, made: Mips) -> None:
        if (old := self._kept.pop(asset_id, None)) is not None:
            self._bytes -= old.size_bytes
        self._kept[asset_id] = made
        self._bytes += made.size_bytes
        spare = [i for i in self._kept if i not in self._wanted]
        spare += [i for i in self._kept if i in self._wanted and i not in (*self._looked, asset_id)]
        for i in spare:
            if self._bytes <= self.budget_bytes:
                break
            self._bytes -= self._kept.pop(i).size_bytes


def _nothing(_: object) -> None:
    """Read ahead: nobody waits."""

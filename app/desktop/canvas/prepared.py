"""Looks worked out: at once for what is in view where tables do, in the background for the whole picture where not.

Noise and local contrast of a region alone would change while the picture is moved, so they are worked out for a whole mip
level on a worker and kept by (picture, level, look). Until they are there the picture is shown with what tables can do,
or with the last look worked out, so that a slider moves the picture while the hand still does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from PySide6.QtGui import QImage

from app.desktop.canvas import look as looks
from app.desktop.canvas.look import Look
from app.desktop.canvas.pictures import Mips, to_image
from app.desktop.tasks import Pool

BUDGET_BYTES = 150_000_000
_WHOLE_PX = 9_000_000
"""Levels up to this many pixels are worked out whole for looks of tables too, so that moving costs nothing."""

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels of a level."""


class Prepared:
    """Interface thread only; `changed` is called when a better image is there."""

    def __init__(self, changed: Callable[[], object]) -> None:
        self.pool: Pool | None = None
        """Without one everything is worked out at once."""
        self._changed = changed
        self._kept: OrderedDict[tuple[int, int, Look], tuple[Mips, QImage]] = OrderedDict()
        self._asked: set[tuple[int, int, Look]] = set()
        self._newest: dict[int, tuple[int, int, Look]] = {}
        self._last: tuple[Any, QImage] | None = None
        self._windows: OrderedDict[tuple[int, bool], tuple[Mips, Any]] = OrderedDict()

    def region(self, mips: Mips, level: int, look: Look, box: Box) -> tuple[QImage, Box]:
        """An image that shows `box` of a level as the look wants it, and the box in that image's own pixels."""
        if look.plain:
            return mips.levels[level], box
        key = (id(mips), level, look)
        if (found := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return found[1], box
        size = mips.levels[level].width() * mips.levels[level].height()
        if look.slow or size <= _WHOLE_PX:
            self._request(key, mips)
            if key in self._kept:
                return self._kept[key][1], box
        if look.slow and (stale := self._stale(mips, level, look)) is not None:
            fx, fy = (
                stale.width() / mips.levels[level].width(),
                stale.height() / mips.levels[level].height(),
            )
            return stale, (int(box[0] * fx), int(box[1] * fy), int(box[2] * fx) + 1, int(box[3] * fy) + 1)
        return self._inline(mips, level, look, box)

    def ahead(self, mips: Mips, scale: float, look: Look) -> None:
        """Work out the look of a picture that comes next, at the level it will be seen at."""
        if look.slow and self.pool is not None:
            self._request((id(mips), mips.index(scale), look), mips)

    def window(self, mips: Mips, look: Look) -> tuple[tuple[float, float], tuple[float, float]]:
        """(window in shares, span in the samples' units) of a picture under a look."""
        key = (id(mips), look.auto)
        if key not in self._windows:
            deep = mips.deep[0] if mips.deep else None
            span = looks.reach(deep)
            if look.auto:
                small = mips.deep[-1] if mips.deep else None
                found = looks.auto_window(mips.pixels(len(mips.levels) - 1), small, span)
            else:
                found = looks.used_window(deep)
            self._windows[key] = (mips, (found, span))
            while len(self._windows) > 8:
                self._windows.popitem(last=False)
        shown, span = self._windows[key][1]
        return ((look.low, look.high) if look.windowed and not look.auto else shown), span

    def forget(self) -> None:
        """Another workspace: nothing is kept."""
        self._kept.clear()
        self._asked.clear()
        self._newest.clear()
        self._windows.clear()
        self._last = None

    def _inline(self, mips: Mips, level: int, look: Look, box: Box) -> tuple[QImage, Box]:
        a, b, c, d = box
        here: Box = (0, 0, c - a, d - b)
        known = (id(mips), level, look, box)
        if self._last is not None and self._last[0] == known:
            return self._last[1], here
        window, span = self.window(mips, look)
        deep = mips.deep[level][b:d, a:c] if mips.deep else None
        made = looks.apply(look, mips.pixels(level)[b:d, a:c], deep, window=window, span=span, slow=False)
        self._last = (known, to_image(made))
        return self._last[1], here

    def _stale(self, mips: Mips, level: int, look: Look) -> QImage | None:
        """The nearest thing to the look that is worked out: another level of it, else the last one of this picture."""
        of_picture = [(key, image) for key, (_, image) in self._kept.items() if key[0] == id(mips)]
        same = [image for key, image in of_picture if key[2] == look]
        if same:
            return same[-1]
        return next((image for key, image in reversed(of_picture) if key[1] == level and key[2].slow), None)

    def _request(self, key: tuple[int, int, Look], mips: Mips) -> None:
        if key in self._asked or key in self._kept:
            return
        _, level, look = key
        window, span = self.window(mips, look)

        def work() -> QImage:
            deep = mips.deep[level] if mips.deep else None
            return to_image(looks.apply(look, mips.pixels(level), deep, window=window, span=span))

        if self.pool is None:
            self._came(key, mips, work())
            return
        self._asked.add(key)
        self._newest[id(mips)] = key

        def current() -> QImage | None:
            return work() if self._newest.get(id(mips)) == key else None

        def failed(fault: BaseException) -> None:
            self._asked.discard(key)
            raise fault

        self.pool.submit(current, lambda made: self._came(key, mips, made), failed)

    def _came(self, key: tuple[int, int, Look], mips: Mips, made: QImage | None) -> None:
        self._asked.discard(key)
        if self._newest.get(id(mips)) == key:
            del self._newest[id(mips)]
        if made is None:
            return
        self._kept[key] = (mips, made)
        total = sum(image.sizeInBytes() for _, image in self._kept.values())
        while total > BUDGET_BYTES and len(self._kept) > 1:
            _, (_, old) = self._kept.popitem(last=False)
            total -= old.sizeInBytes()
        if self.pool is not None:
            self._changed()

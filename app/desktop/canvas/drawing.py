"""Fills, outlines, dots and skeletons of settled objects into a premultiplied BGRA buffer, by cv2.

Fills first, then all outlines: a fill overwrites, it does not blend with the fill under it, so what is lower or larger
goes first. cv2 works in fixed point (1/16 px) and lets the interface run meanwhile.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from annotation import marks, rle
from annotation.core import Keypoints, Mask
from annotation.errors import LamproomError
from app.desktop.canvas.ink import SMALL_PX
from app.desktop.canvas.scene import CUBE, LINE, LOOSE, RASTER, SKELETON, Scene

if TYPE_CHECKING:
    from app.desktop.canvas.overlay import Request

_SHIFT = 4
_DASH, _GAP = 5.0, 6.0
_FILLED_AT_MOST, _FINE_AT_MOST, _CASED_AT_MOST, _GROUPS_AT_MOST = 3000, 600, 200, 40
_DOT_PX = 3.0
_FAR = float(2**25)
_PIXELS_FROM = 4.0
"""From this scale on a mask is filled pixel by pixel; below, its outline is as good and costs less."""
_DARK, _GRAY = "#14161a", "#c9ced6"
_LINE = cv2.LINE_AA


def bgra(colour: str, alpha: float) -> tuple[float, float, float, float]:
    """Premultiplied BGRA, 0..255."""
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return b * alpha, g * alpha, r * alpha, 255 * alpha


def _fixed(points: NDArray[np.float32], scale: float, ox: float, oy: float) -> NDArray[np.int32]:
    """Source pixels to cv2's fixed point, kept well inside int32."""
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


def draw(r: Request, wh: tuple[int, int], ox: float, oy: float) -> NDArray[np.uint8]:
    """What lies in a buffer of (w, h) device pixels whose corner is at (ox, oy)."""
    w, h = wh
    buffer = np.zeros((h, w, 4), np.uint8)
    scene = r.scene
    if not len(scene.boxes):
        return buffer
    at = scene.boxes * np.float32(r.scale) + np.array((ox, oy, ox, oy), np.float32)
    room = 12 * r.ratio
    with np.errstate(invalid="ignore"):
        seen = np.flatnonzero(
            (at[:, 2] >= -room) & (at[:, 0] <= w + room) & (at[:, 3] >= -room) & (at[:, 1] <= h + room)
        )
    if r.style.hidden or r.style.hidden_labels:
        seen = np.array([i for i in seen.tolist() if r.style.shows(scene.annotations[i])], np.int64)
    if len(seen):
        _Sheet(r, buffer, at, seen, ox, oy).all()
    return buffer


class _Sheet:
    """One drawing under way."""

    def __init__(
        self, r: Request, buffer: NDArray[np.uint8], at: NDArray[np.float32], seen: NDArray[np.int64], ox: float, oy: float
    ) -> None:  # fmt: skip
        self.r, self.buffer, self.at, self.ox, self.oy = r, buffer, at, ox, oy
        self.scene: Scene = r.scene
        self.crowd = len(seen)
        scene = self.scene
        order = seen[np.lexsort((-scene.areas[seen], scene.orders[seen]))]
        size = np.maximum(at[order, 2] - at[order, 0], at[order, 3] - at[order, 1])
        forms = scene.forms[order]
        sized = (forms != LOOSE) & (forms != SKELETON)
        self.tiny = order[sized & (size < _DOT_PX)]
        self.order: list[int] = order[~sized | (size >= _DOT_PX)].tolist()
        self.large = set(order[size >= SMALL_PX].tolist())
        self.joints: list[int] = order[~sized].tolist()
        fine = self.crowd <= _FINE_AT_MOST
        self.thick = max(1, round((2 if fine else 1) * r.ratio))
        # Smoothed lines of two pixels cost four times unsmoothed ones; on a dense screen a crowd does not show it.
        self.line = cv2.LINE_AA if fine or self.thick == 1 else cv2.LINE_8
        self.selected = {scene.places[uid] for uid in r.selected if uid in scene.places}
        self._inks = {a: r.style.colour(a) for a in {scene.annotations[i].label for i in seen.tolist()}}
        self._project()

    def colour(self, i: int) -> str:
        return self._inks[self.scene.annotations[i].label]

    def _project(self) -> None:
        """All rings in view to the buffer's fixed point in one go: calls for each would cost ten times the drawing."""
        flat, owners = [], []
        for i in self.order:
            fine = i in self.large
            for points, closed in self.scene.rings[i]:
                flat.append(points if fine or len(points) <= 8 else points[::2])
                owners.append((i, closed))
        self.rings: dict[int, list[tuple[NDArray[np.int32], bool]]] = defaultdict(list)
        if not flat:
            return
        fixed = _fixed(np.concatenate(flat), self.r.scale, self.ox, self.oy)
        end = 0
        for points, (i, closed) in zip(flat, owners, strict=True):
            start, end = end, end + len(points)
            self.rings[i].append((fixed[start:end], closed))

    def all(self) -> None:
        """Everything, in its order."""
        self._specks()
        if len(self.large) <= _FILLED_AT_MOST:
            self._fills()
        self._groups()
        self._casings()
        self._outlines()
        self._ends()
        self._joints()

    def _specks(self) -> None:
        """What is smaller than 3 px is one pixel."""
        h, w = self.buffer.shape[:2]
        if not len(self.tiny):
            return
        xy = self.at[self.tiny, :2].astype(np.int64)
        there = (xy[:, 0] >= 0) & (xy[:, 0] < w) & (xy[:, 1] >= 0) & (xy[:, 1] < h)
        inks = {c: bgra(c, 1.0) for c in {self.colour(i) for i in self.tiny.tolist()}}
        ink = np.array([inks[self.colour(i)] for i in self.tiny[there].tolist()], np.uint8).reshape(-1, 4)
        self.buffer[xy[there, 1], xy[there, 0]] = ink

    def _fills(self) -> None:
        forms = self.scene.forms
        for i in self.order:
            if forms[i] in (LINE, LOOSE, SKELETON) or (i not in self.large and forms[i] != RASTER):
                continue
            share = 0.20 if i in self.selected else 0.08 if self.scene.predicted[i] else 0.14
            ink = bgra(self.colour(i), share + 0.16 if forms[i] == RASTER else share)
            if forms[i] == RASTER and self.r.scale >= _PIXELS_FROM * self.r.ratio:
                self._pixels(i, ink)
                continue
            rings = [ring for ring, closed in self.rings[i] if closed]
            cv2.fillPoly(self.buffer, rings[:1] if forms[i] == CUBE else rings, ink, cv2.LINE_8, _SHIFT)

    def _pixels(self, i: int, ink: tuple[float, ...]) -> None:
        """A mask pixel by pixel."""
        mask = self.scene.annotations[i].shape
        assert isinstance(mask, Mask)
        try:
            crop, x0, y0 = rle.crop(mask)
        except LamproomError:
            return  # too large to be drawn so
        h, w = self.buffer.shape[:2]
        k = self.r.scale
        a, b = max(0, int(-self.ox / k) - x0), max(0, int(-self.oy / k) - y0)
        c, d = int((w - self.ox) / k) + 2 - x0, int((h - self.oy) / k) + 2 - y0
        part = crop[b : max(b, d), a : max(a, c)]
        if not part.size:
            return
        # Whole source pixels on the buffer: the border of each is a rounded multiple of the scale.
        xs = np.rint((np.arange(part.shape[1] + 1) + x0 + a) * k + self.ox).astype(np.int64).clip(0, w)
        ys = np.rint((np.arange(part.shape[0] + 1) + y0 + b) * k + self.oy).astype(np.int64).clip(0, h)
        there = np.repeat(np.repeat(part, np.diff(ys), 0), np.diff(xs), 1).astype(bool)
        self.buffer[ys[0] : ys[-1], xs[0] : xs[-1]][there] = np.array(ink, np.uint8)

    def _groups(self) -> None:
        """A thin dotted frame round the members of a group; brighter when one of them is selected."""
        members: dict[str, list[int]] = defaultdict(list)
        for a in self.scene.grouped:
            if (at := self.scene.places.get(a.uid)) is not None and self.r.style.shows(a):
                members[marks.group(a) or ""].append(at)
        members.pop("", None)
        h, w = self.buffer.shape[:2]
        for found in list(members.values())[:_GROUPS_AT_MOST]:
            if len(found) < 2:
                continue
            box = self.at[found]
            air = 6 * self.r.ratio
            x0, y0 = box[:, :2].min(0) - air
            x1, y1 = box[:, 2:].max(0) + air
            frame = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)
            lit = bool(self.selected & set(found))
            pieces = _fixed(_dashes(frame, True, (w, h), 0.5 * self.r.ratio).reshape(-1, 2), 1.0, 0, 0)
            thin = max(1, round(self.r.ratio))
            for ink, wide in ((bgra(_DARK, 0.5), thin + 2), (bgra(_GRAY, 0.95 if lit else 0.55), thin)):
                cv2.polylines(self.buffer, list(pieces.reshape(-1, 2, 2)), False, ink, wide, _LINE, _SHIFT)

    def _casings(self) -> None:
        """A dark casing keeps the selection readable on any picture."""
        if len(self.selected) > _CASED_AT_MOST:
            return
        cased: dict[bool, list[NDArray[np.int32]]] = defaultdict(list)
        for i in self.selected:
            for ring, closed in self.rings.get(i, ()):
                cased[closed].append(ring)
        for closed, lines in cased.items():
            wide = self.thick + round(3 * self.r.ratio)
            cv2.polylines(self.buffer, lines, closed, bgra(_DARK, 0.75), wide, _LINE, _SHIFT)

    def _outlines(self) -> None:
        """Lines of one look together: solid for truth, dashed for a prediction, thin and pale for a cuboid's far side."""
        scene, ratio = self.scene, self.r.ratio
        h, w = self.buffer.shape[:2]
        plain: dict[tuple[str, bool, float, int], list[NDArray[np.int32]]] = defaultdict(list)
        for i in self.order:
            colour, cube = self.colour(i), scene.forms[i] == CUBE
            dashed = scene.predicted[i] and (i in self.large or self.crowd <= _FINE_AT_MOST)
            for n, (ring, closed) in enumerate(self.rings[i]):
                if len(ring) < 2:
                    continue
                look = (0.7, max(1, self.thick - round(ratio))) if cube and n else (1.0, self.thick)
                if dashed:
                    unit = ratio if i in self.large else 0.6 * ratio
                    pieces = _dashes(ring.astype(np.float32) / np.float32(1 << _SHIFT), closed, (w, h), unit)
                    plain[colour, False, *look].extend(
                        _fixed(pieces.reshape(-1, 2), 1, 0, 0).reshape(-1, 2, 2)
                    )
                else:
                    plain[colour, closed, *look].append(ring)
        for (colour, closed, alpha, wide), lines in sorted(plain.items(), key=lambda look: look[0]):
            if lines:  # in one order whatever is in view, or a mended corner would not fit the rest
                cv2.polylines(self.buffer, lines, closed, bgra(colour, alpha), wide, self.line, _SHIFT)

    def _ends(self) -> None:
        """A line begins with a dot and ends with a ring, so that its direction is seen."""
        for i in self.order:
            if self.scene.forms[i] == LINE and i in self.large:
                ring = self.rings[i][0][0]
                self._dot(ring[0], self.colour(i), 3.5, seen=True)
                self._dot(ring[-1], self.colour(i), 3.5, seen=False)

    def _joints(self) -> None:
        """Loose points and skeletons: edges, then a dot for what is seen and a ring for what is hidden."""
        r = self.r
        for i in self.joints:
            a, colour = self.scene.annotations[i], self.colour(i)
            radius = 3.0 if self.crowd > _FINE_AT_MOST else 4.5 if i in self.selected else 4.0
            if not isinstance(a.shape, Keypoints):
                for ring, _ in self.rings[i]:
                    self._dot(ring[0], colour, radius, seen=True)
                continue
            points = _fixed(np.asarray(a.shape.points, np.float32).reshape(-1, 2), r.scale, self.ox, self.oy)
            seen = a.shape.visibility
            lines = [
                points[[j, k]] for j, k in r.style.edges.get(a.label, ())
                if j < len(seen) and k < len(seen) and seen[j] and seen[k]
            ]  # fmt: skip
            if lines and self.scene.predicted[i]:
                h, w = self.buffer.shape[:2]
                dashes = [
                    _dashes(one.astype(np.float32) / np.float32(1 << _SHIFT), False, (w, h), r.ratio)
                    for one in lines
                ]
                lines = list(_fixed(np.concatenate(dashes).reshape(-1, 2), 1, 0, 0).reshape(-1, 2, 2))
            if lines:
                cv2.polylines(self.buffer, lines, False, bgra(_DARK, 0.6), self.thick + 2, _LINE, _SHIFT)
                cv2.polylines(self.buffer, lines, False, bgra(colour, 1.0), self.thick, _LINE, _SHIFT)
            for point, v in zip(points, seen, strict=True):
                if v:
                    self._dot(point, colour, radius, seen=v == 2)

    def _dot(self, at: NDArray[np.int32], colour: str, radius: float, *, seen: bool) -> None:
        """A dot with a dark rim; hollow for what is hidden behind something."""
        ratio, unit = self.r.ratio, 1 << _SHIFT
        x, y = int(at[0]), int(at[1])
        if not (-_FAR < x < _FAR and -_FAR < y < _FAR):
            return
        rim, body = round((radius + 1.2) * ratio * unit), round(radius * ratio * unit)
        cv2.circle(self.buffer, (x, y), rim, bgra(_DARK, 0.8), -1, _LINE, _SHIFT)
        cv2.circle(self.buffer, (x, y), body, bgra(colour, 1.0), -1, _LINE, _SHIFT)
        if not seen:
            cv2.circle(self.buffer, (x, y), round(body * 0.55), bgra(_DARK, 1.0), -1, _LINE, _SHIFT)

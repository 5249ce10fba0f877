"""The objects of one picture as flat arrays, and the hit tests on them.

Frozen annotations stay the truth; the arrays are a cache for drawing. What did not change is the same object in the next
set, so a new scene costs what changed and a few passes at C speed (5 ms over 20,000).
Hit tests are numpy over all bounding boxes: 0.07 ms at 20,000, and nothing to keep in step (canvas figures: a tree is
faster still but must be rebuilt at every change).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, is_
from typing import overload

import cv2
import numpy as np
from numpy.typing import NDArray

from annotation import marks
from annotation.core import Annotation, AnnotationSet, Caption, Cuboid, Keypoints, Mask, Points, Polyline, Tag
from app.desktop.canvas import shapes
from app.desktop.canvas.shapes import Ring

AREA, LINE, LOOSE, SKELETON, CUBE, RASTER, PAGE = range(7)
"""How an object is drawn: a filled outline, an open line, loose points, a skeleton, a cuboid, a mask, nowhere."""
_FORMS = {
    Polyline: LINE,
    Points: LOOSE,
    Keypoints: SKELETON,
    Cuboid: CUBE,
    Mask: RASTER,
    Tag: PAGE,
    Caption: PAGE,
}
_EMPTY_BOX = (np.nan, np.nan, np.nan, np.nan)
_uid = attrgetter("uid")
_counter = 0


class MaskRings(Sequence[Ring]):
    """The outlines of a mask, traced when first asked for: 30 ms on a large picture, which no gesture waits for."""

    __slots__ = ("_found", "_mask")

    def __init__(self, mask: Mask) -> None:
        self._mask: Mask = mask
        self._found: tuple[Ring, ...] | None = None

    def _rings(self) -> tuple[Ring, ...]:
        if self._found is None:  # two threads may both trace it: the same result twice
            self._found = tuple(shapes.rings(self._mask))
        return self._found

    def __len__(self) -> int:
        return len(self._rings())

    def __iter__(self) -> Iterator[Ring]:
        return iter(self._rings())

    @overload
    def __getitem__(self, at: int) -> Ring: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Ring]: ...
    def __getitem__(self, at: int | slice) -> Ring | Sequence[Ring]:
        return self._rings()[at]


Rings = Sequence[Ring]


@dataclass(frozen=True, slots=True)
class Scene:
    """All objects of one picture.

    Attributes:
        serial: grows with every scene; a picture drawn for an older one is stale.
        boxes: (n, 4) float32 xyxy, NaN for what has no place.
        forms: (n) uint8, AREA to PAGE. orders: (n) int64, what is higher is on top.
        rings: for every object its rings.
        places: uid -> index.
    """

    serial: int
    annotations: AnnotationSet
    boxes: NDArray[np.float32]
    rings: tuple[Rings, ...]
    predicted: NDArray[np.bool_]
    forms: NDArray[np.uint8]
    orders: NDArray[np.int64]
    areas: NDArray[np.float32]
    """Area of every bounding box."""
    places: dict[str, int] = field(default_factory=dict)
    linked: tuple[Annotation, ...] = ()
    """Those that a link begins at."""
    grouped: tuple[Annotation, ...] = ()
    """Members of groups."""
    pages: tuple[Annotation, ...] = ()
    """Those that belong to the whole picture."""

    def get(self, uid: str) -> Annotation | None:
        """The annotation, or None when it is not there any more."""
        at = self.places.get(uid)
        return None if at is None else self.annotations[at]


def _rings_of(a: Annotation) -> Rings:
    return MaskRings(a.shape) if isinstance(a.shape, Mask) else tuple(shapes.rings(a.shape))


def _box_of(a: Annotation, rings: Rings) -> tuple[float, ...]:
    if isinstance(a.shape, Mask):
        return shapes.bounds(a.shape) or _EMPTY_BOX
    if not rings:
        return _EMPTY_BOX
    points = np.concatenate([ring for ring, _ in rings]) if len(rings) > 1 else rings[0][0]
    return (*points.min(0).tolist(), *points.max(0).tolist())


def build(annotations: AnnotationSet, old: Scene | None = None) -> Scene:
    """Arrays for a set of annotations; `old` lends what is unchanged."""
    global _counter
    n = len(annotations)
    if old is None or not old.annotations:
        stale, kept, lent = list(range(n)), None, None
    else:
        if annotations is old.annotations:
            return old
        olds = old.annotations
        if n == len(olds):
            stale = [i for i, same in enumerate(map(is_, annotations, olds)) if not same]
            kept = None if all(annotations[i].uid == olds[i].uid for i in stale) else old
        else:
            stale, kept = [], old
        if kept is not None:
            at = list(map(old.places.get, map(_uid, annotations)))
            stale = [i for i, k in enumerate(at) if k is None or olds[k] is not annotations[i]]
            lent = np.array([0 if k is None else k for k in at], np.int64)
        else:
            lent = None
    _counter += 1
    if old is None or not old.annotations:
        rings: list[Rings] = [()] * n
        boxes = np.empty((n, 4), np.float32)
        predicted, forms, orders = np.zeros(n, bool), np.zeros(n, np.uint8), np.zeros(n, np.int64)
    elif lent is None:
        rings = list(old.rings)
        boxes, predicted, forms, orders = (
            old.boxes.copy(), old.predicted.copy(), old.forms.copy(), old.orders.copy(),
        )  # fmt: skip
    else:
        lender = old.rings
        rings = [lender[k] for k in lent.tolist()]
        boxes, predicted, forms, orders = (
            old.boxes[lent], old.predicted[lent], old.forms[lent], old.orders[lent],
        )  # fmt: skip
    for i in stale:
        a = annotations[i]
        before = None if old is None else old.get(a.uid)
        if old is None or before is None or before.shape != a.shape:
            rings[i] = _rings_of(a)
            boxes[i] = _box_of(a, rings[i])
            forms[i] = _FORMS.get(type(a.shape), AREA)
        predicted[i] = a.origin == "model"
        orders[i] = marks.order(a)
    places = (
        old.places
        if old is not None and lent is None and old.annotations
        else dict(zip(map(_uid, annotations), range(n), strict=True))
    )
    fresh = [annotations[i] for i in stale]
    marked = old is None or bool(old.linked or old.grouped) or any(a.attributes for a in fresh)
    pages = old is None or bool(old.pages) or bool((forms == PAGE).any())
    return Scene(
        _counter,
        annotations,
        boxes,
        tuple(rings),
        predicted,
        forms,
        orders,
        (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
        places,
        tuple(a for a in annotations if "@links" in a.attributes) if marked else (),
        tuple(a for a in annotations if "@group" in a.attributes) if marked else (),
        tuple(annotations[i] for i in np.flatnonzero(forms == PAGE).tolist()) if pages else (),
    )


EMPTY = build(())


def hit(
    scene: Scene,
    x: float,
    y: float,
    reach: float,
    *,
    prefer: Collection[str] = (),
    taboo: Callable[[Annotation], bool] = lambda _: False,
) -> str | None:
    """Uid of the object at a point: the topmost, then the smallest, that contains it or whose outline is within `reach`
    source pixels.

    A selected object (`prefer`) wins over others of its kind of hit, so that what is in hand stays in hand. What
    `taboo` names is not there.
    """
    if not len(scene.boxes):
        return None
    b = scene.boxes
    near = np.flatnonzero(
        (b[:, 0] - reach <= x) & (b[:, 2] + reach >= x) & (b[:, 1] - reach <= y) & (b[:, 3] + reach >= y)
    )
    best: tuple[bool, int, float, str] | None = None
    for i in near.tolist():
        a = scene.annotations[i]
        rank = (a.uid not in prefer, -int(scene.orders[i]), float(scene.areas[i]), a.uid)
        if (best is None or rank < best) and not taboo(a) and _touches(scene, i, x, y, reach):
            best = rank
    return best[3] if best else None


def _touches(scene: Scene, i: int, x: float, y: float, reach: float) -> bool:
    """Inside of the object (a hole is outside), or near its outline."""
    at = (float(x), float(y))
    closed_round = 0
    for ring, closed in scene.rings[i]:
        away = float(cv2.pointPolygonTest(ring.reshape(-1, 1, 2), at, True)) if closed else _to_line(ring, at)
        if abs(away) <= reach:
            return True
        closed_round += closed and away > 0
    return closed_round > 0 if scene.forms[i] == CUBE else closed_round % 2 == 1


def _to_line(line: NDArray[np.float32], at: tuple[float, float]) -> float:
    """Distance of a point to an open line (n, 2), which may be one point."""
    a, b = line[:-1], line[1:]
    if not len(a):
        return float(np.hypot(*(line[0] - at)))
    along = b - a
    t = np.clip(((at - a) * along).sum(1) / np.maximum((along**2).sum(1), 1e-9), 0, 1)
    return float(np.hypot(*((a + along * t[:, None]) - at).T).min())


def inside(scene: Scene, x0: float, y0: float, x1: float, y1: float) -> list[str]:
    """Uids of the objects whose bounding box lies in a rectangle."""
    b = scene.boxes
    if not len(b):
        return []
    found = np.flatnonzero((b[:, 0] >= x0) & (b[:, 1] >= y0) & (b[:, 2] <= x1) & (b[:, 3] <= y1))
    return [scene.annotations[i].uid for i in found]

"""The objects of one picture as flat arrays, and the hit tests on them.

Frozen annotations stay the truth; the arrays are a cache for drawing, rebuilt with what did not change reused.
Hit tests are numpy over all bounding boxes: 0.07 ms at 20,000, and nothing to keep in step (canvas figures: a tree is
faster still but must be rebuilt at every change).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from annotation.core import Annotation, AnnotationSet
from app.desktop.canvas import shapes

_EMPTY_BOX = (np.nan, np.nan, np.nan, np.nan)
_counter = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """All objects of one picture.

    Attributes:
        serial: grows with every scene; a picture drawn for an older one is stale.
        boxes: (n, 4) float32 xyxy, NaN for what has no place.
        rings: for every object its rings.
        places: uid -> index.
    """

    serial: int
    annotations: AnnotationSet
    boxes: NDArray[np.float32]
    rings: tuple[tuple[shapes.Ring, ...], ...]
    predicted: NDArray[np.bool_]
    places: dict[str, int] = field(default_factory=dict)
    linked: tuple[Annotation, ...] = ()
    """Those that a link begins at."""

    @property
    def areas(self) -> NDArray[np.float32]:
        """Area of every bounding box."""
        return (self.boxes[:, 2] - self.boxes[:, 0]) * (self.boxes[:, 3] - self.boxes[:, 1])

    def get(self, uid: str) -> Annotation | None:
        """The annotation, or None when it is not there any more."""
        at = self.places.get(uid)
        return None if at is None else self.annotations[at]


def build(annotations: AnnotationSet, old: Scene | None = None) -> Scene:
    """Arrays for a set of annotations; `old` lends what is unchanged."""
    global _counter
    _counter += 1
    boxes = np.empty((len(annotations), 4), np.float32)
    rings: list[tuple[shapes.Ring, ...]] = []
    places = {}
    for i, annotation in enumerate(annotations):
        places[annotation.uid] = i
        at = None if old is None else old.places.get(annotation.uid)
        if old is not None and at is not None and old.annotations[at].shape == annotation.shape:
            rings.append(old.rings[at])
            boxes[i] = old.boxes[at]
            continue
        drawn = tuple(shapes.rings(annotation.shape))
        rings.append(drawn)
        if drawn:
            points = np.concatenate([ring for ring, _ in drawn]) if len(drawn) > 1 else drawn[0][0]
            boxes[i, :2], boxes[i, 2:] = points.min(0), points.max(0)
        else:
            boxes[i] = _EMPTY_BOX
    predicted = np.fromiter((a.origin == "model" for a in annotations), bool, len(annotations))
    linked = tuple(a for a in annotations if "@links" in a.attributes)
    return Scene(_counter, annotations, boxes, tuple(rings), predicted, places, linked)


EMPTY = build(())


def differences(old: Scene, new: Scene) -> set[str]:
    """Uids that are new, gone or changed."""
    gone = old.places.keys() - new.places.keys()
    return set(gone) | {
        a.uid for a in new.annotations if (at := old.places.get(a.uid)) is None or old.annotations[at] != a
    }


def hit(
    scene: Scene,
    x: float,
    y: float,
    reach: float,
    *,
    prefer: Collection[str] = (),
    taboo: Callable[[Annotation], bool] = lambda _: False,
) -> str | None:
    """Uid of the object at a point: the smallest that contains it or whose outline is within `reach` source pixels.

    A selected object (`prefer`) wins over others of its kind of hit, so that what is in hand stays in hand. What
    `taboo` names is not there.
    """
    if not len(scene.boxes):
        return None
    b = scene.boxes
    near = np.flatnonzero(
        (b[:, 0] - reach <= x) & (b[:, 2] + reach >= x) & (b[:, 1] - reach <= y) & (b[:, 3] + reach >= y)
    )
    best: tuple[float, float, str] | None = None
    areas = scene.areas
    for i in near:
        inside = max(_distance(ring, closed, x, y) for ring, closed in scene.rings[i])
        if inside < -reach or taboo(scene.annotations[i]):
            continue
        uid = scene.annotations[i].uid
        rank = (0.0 if uid in prefer else 1.0, float(areas[i]), uid)
        if best is None or rank < best:
            best = rank
    return best[2] if best else None


def _distance(ring: NDArray[np.float32], closed: bool, x: float, y: float) -> float:
    """Signed distance to the outline: positive inside."""
    value = float(cv2.pointPolygonTest(ring.reshape(-1, 1, 2), (float(x), float(y)), True))
    return value if closed else -abs(value)


def inside(scene: Scene, x0: float, y0: float, x1: float, y1: float) -> list[str]:
    """Uids of the objects whose bounding box lies in a rectangle."""
    b = scene.boxes
    if not len(b):
        return []
    found = np.flatnonzero((b[:, 0] >= x0) & (b[:, 1] >= y0) & (b[:, 2] <= x1) & (b[:, 3] <= y1))
    return [scene.annotations[i].uid for i in found]

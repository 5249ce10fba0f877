"""Shapes as the canvas needs them: rings to draw, handles to grab, what is near a point. Pure functions.

What a shape *is* after a change is `annotation`'s business (handles, transform); here it is only made drawable.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from annotation import geometry, rle, transform
from annotation import handles as grips
from annotation import snap as snapping
from annotation.core import (
    Box,
    Caption,
    Coords,
    Cuboid,
    Ellipse,
    Keypoints,
    Mask,
    Points,
    Polygon,
    Polyline,
    Quad,
    RotatedBox,
    Shape,
    Tag,
)
from annotation.errors import InvalidInput

if TYPE_CHECKING:
    from app.desktop.canvas.scene import Scene

Ring = tuple[NDArray[np.float32], bool]
"""Points (n, 2) in source pixels; True when the last point is joined to the first."""
Handle = grips.Handle

ARM_PX = 24.0
"""The turning handle stands this far off on the screen."""
_ROUND = np.linspace(0.0, 2.0 * math.pi, 64, endpoint=False)
_DEPTHS = ((0, 4), (1, 5), (2, 6), (3, 7))


def _pairs(flat: Coords) -> NDArray[np.float32]:
    return np.asarray(flat, np.float32).reshape(-1, 2)


def rings(shape: Shape) -> list[Ring]:
    """Everything of the shape that is drawn; empty for what belongs to the whole picture. A loose point is a line of
    one point: it has a place and no size."""
    match shape:
        case Box(x0=a, y0=b, x1=c, y1=d):
            return [(np.array([[a, b], [c, b], [c, d], [a, d]], np.float32), True)]
        case RotatedBox():
            return [(_pairs(geometry.corners(shape)), True)]
        case Polygon(parts=parts):
            return [(_pairs(ring), True) for part in parts for ring in part]
        case Polyline(points=points):
            return [(_pairs(points), False)]
        case Quad(points=points):
            return [(_pairs(points), True)]
        case Ellipse(cx=x, cy=y, rx=rx, ry=ry, degrees=turn):
            cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
            round_ = np.stack((np.cos(_ROUND) * rx, np.sin(_ROUND) * ry), 1)
            return [((round_ @ np.array([[cos, sin], [-sin, cos]]) + (x, y)).astype(np.float32), True)]
        case Cuboid(points=points):
            at = _pairs(points)
            return [(at[:4], True), (at[4:], True), *((at[list(pair)], False) for pair in _DEPTHS)]
        case Points(points=points):
            return [(point.reshape(1, 2), False) for point in _pairs(points)]
        case Keypoints(points=points, visibility=visibility):
            return [(p.reshape(1, 2), False) for p, v in zip(_pairs(points), visibility, strict=True) if v]
        case Mask():
            return _mask_rings(shape)
        case Tag() | Caption():
            return []


def _mask_rings(mask: Mask) -> list[Ring]:
    """Outlines through the middles of a mask's border pixels."""
    pixels, x0, y0 = rle.crop(mask)
    if not pixels.size:
        return []
    lines, _ = cv2.findContours(pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    middles = np.array((x0 + 0.5, y0 + 0.5), np.float32)
    return [(line.reshape(-1, 2).astype(np.float32) + middles, True) for line in lines]


def editable(shape: Shape) -> bool:
    """True for what can be moved with the mouse: all that has a place."""
    return not isinstance(shape, Tag | Caption)


def handles(shape: Shape, scale: float = 1.0) -> list[tuple[Handle, float, float]]:
    """What can be grabbed, in source pixels; `scale` = screen pixels a source pixel."""
    return grips.handles(shape, arm=ARM_PX / scale)


def with_handle(shape: Shape, handle: Handle, x: float, y: float) -> Shape:
    """The shape with one handle at (x, y)."""
    return grips.with_handle(shape, handle, x, y)


def insert_vertex(shape: Shape, handle: Handle, x: float, y: float) -> Shape:
    """A new vertex on the edge that begins at a vertex."""
    return grips.insert_vertex(shape, handle, x, y)


def delete_vertices(shape: Shape, taken: Collection[Handle]) -> Shape | None:
    """Without some vertices; a keypoint becomes absent. None when too few would be left, or the kind has none to spare."""
    gone = {at for _, at in taken}
    if isinstance(shape, Keypoints):
        seen = tuple(0 if i in gone else v for i, v in enumerate(shape.visibility))
        return Keypoints(shape.points, seen) if any(seen) else None
    if isinstance(shape, Points):
        left = tuple(v for i, v in enumerate(shape.points) if i // 2 not in gone)
        return Points(left) if left else None
    try:
        for handle in sorted(taken, reverse=True):
            shape = grips.delete_vertex(shape, handle)
    except InvalidInput:
        return None
    return shape


def shifted(shape: Shape, taken: Collection[Handle], dx: float, dy: float) -> Shape:
    """The shape with some of its handles shifted together."""
    for handle, x, y in grips.handles(shape):
        if handle in taken:
            shape = grips.with_handle(shape, handle, x + dx, y + dy)
    return shape


def moved(shape: Shape, dx: float, dy: float) -> Shape:
    """The shape shifted by (dx, dy) source pixels; what belongs to the whole picture stays."""
    return transform.moved(shape, dx, dy)


def bounds(shape: Shape) -> tuple[float, float, float, float] | None:
    """x0, y0, x1, y1 of everything drawn, or None for what has no place."""
    if isinstance(shape, Box):
        return shape.x0, shape.y0, shape.x1, shape.y1
    if isinstance(shape, Mask):
        box = geometry.bbox(shape)
        return None if box is None else (box.x0, box.y0, box.x1, box.y1)
    parts = rings(shape)
    if not parts:
        return None
    points = np.concatenate([ring for ring, _ in parts])
    (a, b), (c, d) = points.min(0), points.max(0)
    return float(a), float(b), float(c), float(d)


def middle(shape: Shape) -> tuple[float, float] | None:
    """Where a link to the shape ends: the middle of its bounding box."""
    box = bounds(shape)
    return None if box is None else ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)


def nearest_edge(shape: Polygon | Polyline, x: float, y: float) -> tuple[Handle, float]:
    """(vertex the edge begins at, distance in source pixels) of the edge nearest to a point."""
    handle, _, _, away = grips.nearest_edge(shape, x, y)
    return handle, away


def foot(shape: Polygon | Polyline, x: float, y: float) -> tuple[float, float]:
    """The place on the outline nearest to a point."""
    _, fx, fy, _ = grips.nearest_edge(shape, x, y)
    return fx, fy


def _near(scene: Scene, box: tuple[float, float, float, float], reach: float) -> list[int]:
    """Places of the objects whose bounding box comes within `reach` of a box, so that what follows costs the same on a
    crowded picture."""
    b = scene.boxes
    if not len(b):
        return []
    x0, y0, x1, y1 = box
    with np.errstate(invalid="ignore"):
        near = (
            (b[:, 0] - reach <= x1)
            & (b[:, 2] + reach >= x0)
            & (b[:, 1] - reach <= y1)
            & (b[:, 3] + reach >= y0)
        )
    return [int(i) for i in np.flatnonzero(near)]


def snap(
    scene: Scene, x: float, y: float, reach: float, *, without: Collection[str] = ()
) -> tuple[float, float] | None:
    """The place on a neighbour's outline within `reach` source pixels: a vertex before an edge; None when none is near."""
    here = np.array((x, y), np.float32)
    vertex: tuple[float, tuple[float, float]] | None = None
    edge: tuple[float, tuple[float, float]] | None = None
    for i in _near(scene, (x, y, x, y), reach):
        if scene.annotations[i].uid in without or isinstance(scene.annotations[i].shape, Mask):
            continue
        for points, closed in scene.rings[i]:
            away = np.hypot(*(points - here).T)
            k = int(away.argmin())
            if away[k] <= reach and (vertex is None or away[k] < vertex[0]):
                vertex = float(away[k]), (float(points[k, 0]), float(points[k, 1]))
            if len(points) < 2:
                continue
            a, c = (points, np.roll(points, -1, axis=0)) if closed else (points[:-1], points[1:])
            along = c - a
            t = np.clip(((here - a) * along).sum(1) / np.maximum((along**2).sum(1), 1e-9), 0, 1)
            feet = a + along * t[:, None]
            far = np.hypot(*(feet - here).T)
            k = int(far.argmin())
            if far[k] <= reach and (edge is None or far[k] < edge[0]):
                edge = float(far[k]), (float(feet[k, 0]), float(feet[k, 1]))
    found = vertex or edge
    return found[1] if found else None


def snapped_border(scene: Scene, shape: Shape, reach: float, *, without: Collection[str] = ()) -> Shape:
    """The shape with its border on its neighbours' borders where they are near: polygons share the border, other
    kinds have their handles put on it."""
    box = bounds(shape)
    if box is None or isinstance(shape, RotatedBox | Ellipse | Mask):
        return shape
    if isinstance(shape, Polygon):
        around = (scene.annotations[i] for i in _near(scene, box, reach))
        return snapping.snap_border(shape, [a.shape for a in around if a.uid not in without], reach)
    for handle, x, y in handles(shape):
        found = snap(scene, x, y, reach, without=without)
        if found is not None:
            shape = with_handle(shape, handle, *found)
    return shape

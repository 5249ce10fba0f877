"""Shapes moved, turned and scaled. Pure functions on one shape; coordinates in px, angles clockwise on the screen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from annotation import geometry, raster
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


def moved(shape: Shape, dx: float, dy: float) -> Shape:
    """The shape shifted by (dx, dy). A mask goes by whole pixels and stops at the picture's border, so that nothing
    of it is lost; tags and captions belong to the whole picture and stay."""
    match shape:
        case Box(x0, y0, x1, y1):
            return Box(x0 + dx, y0 + dy, x1 + dx, y1 + dy)
        case RotatedBox() | Ellipse():
            return replace(shape, cx=shape.cx + dx, cy=shape.cy + dy)
        case Mask():
            return raster.moved(shape, round(dx), round(dy))
        case _:
            return mapped(
                shape, lambda points: tuple(v + (dy if i % 2 else dx) for i, v in enumerate(points))
            )


def rotated(shape: Shape, degrees: float, cx: float, cy: float) -> Shape:
    """The shape turned by degrees around (cx, cy). A mask is resampled (quarter turns are exact) and cut at the
    picture's border; tags and captions stay.

    Raises:
        InvalidInput: for an axis-parallel box and anything but quarter turns.
    """
    match shape:
        case Box():
            if degrees % 90.0:
                raise InvalidInput(
                    "an axis-parallel box cannot be turned", remedy="convert it to a rotated box first"
                )
            ring = geometry.turned(geometry.corners(shape), degrees, cx, cy)
            return Box(min(ring[0::2]), min(ring[1::2]), max(ring[0::2]), max(ring[1::2]))
        case RotatedBox() | Ellipse():
            nx, ny = geometry.turned((shape.cx, shape.cy), degrees, cx, cy)
            full = 180.0 if isinstance(shape, Ellipse) else 360.0
            return replace(shape, cx=nx, cy=ny, degrees=(shape.degrees + degrees) % full)
        case Mask():
            c, s = geometry.turned((1.0, 0.0), degrees, 0.0, 0.0)
            return raster.warped(shape, np.array([[c, -s], [s, c]]), (cx, cy))
        case _:
            return mapped(shape, lambda points: geometry.turned(points, degrees, cx, cy))


def scaled(shape: Shape, sx: float, sy: float, cx: float, cy: float) -> Shape:
    """The shape stretched by (sx, sy) away from (cx, cy). A turned box keeps its right angles: its own sides are
    stretched. A mask is resampled and cut at the picture's border; tags and captions stay.

    Raises:
        InvalidInput: when a factor is not above 0.
    """
    if not (0 < sx < math.inf and 0 < sy < math.inf):
        raise InvalidInput(f"a shape cannot be scaled by {sx:g} x {sy:g}", remedy="factors above 0")

    def stretched(points: Coords) -> Coords:
        return tuple(cy + (v - cy) * sy if i % 2 else cx + (v - cx) * sx for i, v in enumerate(points))

    match shape:
        case Box(x0, y0, x1, y1):
            return Box(*stretched((x0, y0, x1, y1)))
        case RotatedBox():
            nx, ny = stretched((shape.cx, shape.cy))
            if sx == sy:
                return RotatedBox(nx, ny, shape.w * sx, shape.h * sy, shape.degrees)
            c, s = geometry.turned((1.0, 0.0), shape.degrees, 0.0, 0.0)
            w, h = shape.w * math.hypot(c * sx, s * sy), shape.h * math.hypot(s * sx, c * sy)
            return RotatedBox(nx, ny, w, h, math.degrees(math.atan2(s * sy, c * sx)) % 360.0)
        case Ellipse():
            nx, ny = stretched((shape.cx, shape.cy))
            if sx == sy:
                return Ellipse(nx, ny, shape.rx * sx, shape.ry * sy, shape.degrees)
            return _stretched_ellipse(shape, sx, sy, nx, ny)
        case Mask():
            return raster.warped(shape, np.array([[sx, 0.0], [0.0, sy]]), (cx, cy))
        case _:
            return mapped(shape, stretched)


def _stretched_ellipse(shape: Ellipse, sx: float, sy: float, cx: float, cy: float) -> Ellipse:
    """An ellipse stretched along the picture's axes is an ellipse again; its axes come from the singular values."""
    if shape.degrees % 90.0 == 0.0:
        along = (sx, sy) if shape.degrees % 180.0 == 0.0 else (sy, sx)
        return Ellipse(cx, cy, shape.rx * along[0], shape.ry * along[1], shape.degrees)
    c, s = geometry.turned((1.0, 0.0), shape.degrees, 0.0, 0.0)
    axes = np.array([[sx * c * shape.rx, -sx * s * shape.ry], [sy * s * shape.rx, sy * c * shape.ry]])
    u, size, _ = np.linalg.svd(axes)
    long_is_x = shape.rx >= shape.ry  # the longer axis stays the one it was
    column = u[:, 0] if long_is_x else u[:, 1]
    rx, ry = (size[0], size[1]) if long_is_x else (size[1], size[0])
    turn = math.degrees(math.atan2(float(column[1]), float(column[0]))) % 180.0
    return Ellipse(cx, cy, float(rx), float(ry), turn)


def mapped(shape: Shape, change: Callable[[Coords], Coords]) -> Shape:
    """A shape made of points with every point list put through `change`; boxes, ellipses, masks and what has no
    place come back as they are."""
    match shape:
        case Polygon(parts):
            return Polygon(tuple(tuple(change(ring) for ring in part) for part in parts))
        case Polyline(points) | Points(points) | Quad(points) | Cuboid(points):
            return replace(shape, points=change(points))
        case Keypoints(points, visibility):
            return Keypoints(change(points), visibility)
        case Box() | RotatedBox() | Ellipse() | Mask() | Tag() | Caption():
            return shape

"""A shape as another kind of shape, with what is lost said in words and figures before anybody does it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from annotation import geometry, raster, rle
from annotation.core import (
    KIND_OF,
    Box,
    Caption,
    Coords,
    Cuboid,
    Ellipse,
    Keypoints,
    Kind,
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

_AREAS: tuple[Kind, ...] = ("box", "rotated_box", "quad", "polygon", "ellipse", "mask")
_LEAST_SHARE = 0.0005
"""Changes of area below this share are not worth a word."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """The new shape, and what it loses against the old one: "" when nothing."""

    shape: Shape
    loss_zh: str
    loss_en: str

    def loss(self, language: str) -> str:
        """The loss in "zh…" or another language (en)."""
        return self.loss_zh if language.startswith("zh") else self.loss_en


def conversions(shape: Shape) -> tuple[Kind, ...]:
    """The kinds that this shape can become."""
    box = geometry.bbox(shape)
    if box is None:
        return ()
    flat = box.x0 == box.x1 or box.y0 == box.y1
    found: tuple[Kind, ...]
    match shape:
        case Box() | RotatedBox() | Quad() | Ellipse() | Mask():
            found = _AREAS
        case Polygon():
            found = (*_AREAS, "polyline", "points")
        case Cuboid():
            found = ("box", "quad", "polygon", "mask")
        case Polyline(points):
            found = ("box", "rotated_box", "polygon", "points") if len(points) >= 6 else ("box", "points")
        case Points(points):
            found = ("box", "polyline", "polygon") if len(points) >= 6 else ("box", "polyline")
            found = found if len(points) >= 4 else ()
        case Keypoints():
            found = ("box", "points")
        case Tag() | Caption():
            found = ()
    lines = ("polyline", "points")
    return tuple(k for k in found if k != KIND_OF[type(shape)] and not (flat and k not in lines))


def convert(shape: Shape, kind: Kind, *, wh: tuple[int, int] | None = None) -> Conversion:
    """The shape as another kind. wh: the picture's (width, height) in px, needed for a mask.

    Raises:
        InvalidInput: for a kind that `conversions` does not name, a mask without `wh`, or a shape without extent.
    """
    if kind not in conversions(shape):
        raise InvalidInput(
            f"a {KIND_OF[type(shape)]} cannot become a {kind}", remedy=", ".join(conversions(shape)) or "none"
        )
    new = _new(shape, kind, wh)
    losses = list(_losses(shape, new, wh))
    return Conversion(new, "；".join(zh for zh, _ in losses), "; ".join(en for _, en in losses))


def _new(shape: Shape, kind: Kind, wh: tuple[int, int] | None) -> Shape:
    match kind:
        case "box":
            box = geometry.bbox(shape)
            assert box is not None
            return box
        case "mask":
            if wh is None:
                raise InvalidInput("the picture's size is unknown", remedy="ingest the picture first")
            return raster.to_mask(shape, width=wh[0], height=wh[1])
        case "rotated_box":
            return _rotated_box(shape)
        case "quad":
            return _quad(shape)
        case "ellipse":
            return _ellipse(shape)
        case "polygon":
            return _polygon(shape)
        case "polyline":
            ring = _longest_ring(shape) if isinstance(shape, Polygon) else _points(shape)
            return Polyline((*ring, *ring[:2]) if isinstance(shape, Polygon) else ring)
        case "points":
            return Points(_points(shape))
        case _:
            raise AssertionError(kind)


def _points(shape: Shape) -> Coords:
    """All points a shape is drawn with; absent keypoints left out."""
    match shape:
        case Polygon(parts):
            return tuple(c for part in parts for ring in part for c in ring)
        case Polyline(points) | Points(points) | Quad(points) | Cuboid(points):
            return points
        case Keypoints(points, visibility):
            return tuple(c for i, v in enumerate(visibility) if v for c in points[2 * i : 2 * i + 2])
        case _:
            drawn = raster.to_polygon(shape) if isinstance(shape, Mask) else geometry.outline(shape)
            return _points(drawn) if drawn is not None else ()


def _longest_ring(shape: Polygon) -> Coords:
    return max((part[0] for part in shape.parts), key=lambda ring: abs(geometry.ring_area(ring)))


def _polygon(shape: Shape) -> Polygon:
    found = raster.to_polygon(shape) if isinstance(shape, Mask) else geometry.outline(shape)
    if found is None:
        found = Polygon(((_closed(_points(shape)),),))
    return found


def _closed(points: Coords) -> Coords:
    """A line as a ring: a last point on the first is dropped."""
    return points[:-2] if len(points) > 6 and points[:2] == points[-2:] else points


def _rotated_box(shape: Shape) -> RotatedBox:
    match shape:
        case Box(x0, y0, x1, y1):
            return RotatedBox((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, 0.0)
        case RotatedBox():
            return shape
        case Ellipse():
            return RotatedBox(shape.cx, shape.cy, 2 * shape.rx, 2 * shape.ry, shape.degrees)
        case Quad(points):
            side = math.degrees(math.atan2(points[3] - points[1], points[2] - points[0]))
            return _smallest_box(points, side)
        case _:
            return _smallest_box(_points(shape), 0.0)


def _smallest_box(points: Coords, towards: float) -> RotatedBox:
    """The rotated box of least area around points; of its four directions the one nearest to `towards` degrees.

    One of its sides lies on a side of the convex hull, so each of those is tried.
    """
    ring = np.asarray(geometry.hull(points), dtype=np.float64).reshape(-1, 2)
    if len(ring) < 3:
        ring = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    sides = np.roll(ring, -1, axis=0) - ring
    sides = sides[np.hypot(sides[:, 0], sides[:, 1]) > 0]
    turns = np.arctan2(sides[:, 1], sides[:, 0])
    c, s = np.cos(turns), np.sin(turns)
    along = np.outer(c, ring[:, 0]) + np.outer(s, ring[:, 1])
    across = np.outer(c, ring[:, 1]) - np.outer(s, ring[:, 0])
    w, h = np.ptp(along, axis=1), np.ptp(across, axis=1)
    n = int(np.argmin(w * h))
    u, v = (along[n].min() + along[n].max()) / 2, (across[n].min() + across[n].max()) / 2
    cx, cy = float(u * c[n] - v * s[n]), float(u * s[n] + v * c[n])
    turn = math.degrees(float(turns[n]))
    quarter = round((towards - turn) / 90.0)
    size = (float(w[n]), float(h[n]))
    width, height = size if quarter % 2 == 0 else size[::-1]
    return RotatedBox(cx, cy, width, height, (turn + 90.0 * quarter) % 360.0)


def _quad(shape: Shape) -> Quad:
    match shape:
        case Box() | RotatedBox():
            return Quad(geometry.corners(shape))
        case Cuboid(points):
            return Quad(points[:8])
        case Polygon(((ring,),)) if len(ring) == 8:
            found = list(geometry.pairs(ring))
            if geometry.ring_area(ring) < 0:
                found.reverse()
            first = min(range(4), key=lambda i: (sum(found[i]), found[i]))
            return Quad(tuple(c for p in (*found[first:], *found[:first]) for c in p))
        case _:
            return Quad(geometry.corners(_rotated_box(shape)))


def _ellipse(shape: Shape) -> Ellipse:
    match shape:
        case Box() | RotatedBox() | Quad():
            box = _rotated_box(shape)
            return Ellipse(box.cx, box.cy, box.w / 2, box.h / 2, box.degrees % 180.0)
        case _:
            return _moments(shape)


def _moments(shape: Shape) -> Ellipse:
    """The ellipse of the same centre and second moments: of a disc that disc, of anything else its best likeness."""
    if isinstance(shape, Mask):
        part, x0, y0 = rle.crop(shape)
        ys, xs = np.nonzero(part)
        mx, my = xs.mean() + 0.5, ys.mean() + 0.5
        cxx, cyy = ((xs + 0.5 - mx) ** 2).mean() + 1 / 12, ((ys + 0.5 - my) ** 2).mean() + 1 / 12
        cxy = ((xs + 0.5 - mx) * (ys + 0.5 - my)).mean()
        mx, my = mx + x0, my + y0
    else:
        area = geometry.to_shapely(_polygon(shape))
        if not area.area > 0:
            raise InvalidInput("the shape has no area", remedy="delete it")
        cx, cy = area.centroid.x, area.centroid.y
        total = np.zeros(6)
        for part in getattr(area, "geoms", [area]):
            total += _ring_moments(part.exterior, cx, cy)
            for hole in part.interiors:
                total -= _ring_moments(hole, cx, cy)
        a, sx, sy, sxx, syy, sxy = total
        mx, my = cx + sx / a, cy + sy / a
        cxx, cyy, cxy = sxx / a - (sx / a) ** 2, syy / a - (sy / a) ** 2, sxy / a - sx * sy / a**2
    values, axes = np.linalg.eigh(np.array([[cxx, cxy], [cxy, cyy]]))
    rx, ry = (2 * math.sqrt(max(float(v), 0.0)) for v in values[::-1])
    turn = math.degrees(math.atan2(float(axes[1, 1]), float(axes[0, 1]))) % 180.0
    return Ellipse(float(mx), float(my), rx, ry, turn)


def _ring_moments(ring: object, cx: float, cy: float) -> np.ndarray:
    """Area and moments (x, y, xx, yy, xy) of a ring about (cx, cy), positive whichever way it runs."""
    points = np.asarray(ring.coords)[:, :2] - (cx, cy)  # type: ignore[attr-defined]
    x0, y0, x1, y1 = points[:-1, 0], points[:-1, 1], points[1:, 0], points[1:, 1]
    k = x0 * y1 - x1 * y0
    found = np.array([
        k.sum() / 2, (k * (x0 + x1)).sum() / 6, (k * (y0 + y1)).sum() / 6,
        (k * (x0 * x0 + x0 * x1 + x1 * x1)).sum() / 12, (k * (y0 * y0 + y0 * y1 + y1 * y1)).sum() / 12,
        (k * (x0 * y1 + 2 * x0 * y0 + 2 * x1 * y1 + x1 * y0)).sum() / 24,
    ])  # fmt: skip
    return found if found[0] >= 0 else -found


# ---------------------------------------------------------------------------------------------------------------
# What is lost


def _losses(old: Shape, new: Shape, wh: tuple[int, int] | None) -> Iterable[tuple[str, str]]:
    """What the new shape does not have of the old one, as (zh, en), most telling first."""
    match old, new:
        case RotatedBox() | Ellipse() as turned, Box() if turned.degrees % 90.0 and not _round(turned):
            yield f"丢掉 {turned.degrees:.1f}° 的旋转", f"the rotation of {turned.degrees:.1f}° is dropped"
        case Cuboid(), _:
            yield "丢掉深度", "the depth is dropped"
        case Mask(), Polygon():
            n = len(_points(new)) // 2
            yield (
                f"像素掩膜变成 {n} 个点的轮廓",
                f"the mask of pixels becomes an outline of {n} points",
            )
        case ((Polyline() | Points()), Polygon()):
            area = geometry.area(new)
            yield f"线被闭合，围成 {area:.0f} 平方像素", f"the line is closed and encloses {area:.0f} px²"
        case Polygon(), (Polyline() | Points()):
            yield "丢掉面积，只留线或点", "the area is dropped, only line or points are left"
        case Polyline(), Points():
            yield "丢掉点之间的线", "the line between the points is dropped"
        case Keypoints(_, visibility), Points():
            absent = visibility.count(0)
            yield (
                f"丢掉各点的名称和可见性，{absent} 个缺失的点不再保留",
                f"names and visibility of the points are dropped, and {absent} absent points",
            )
        case ((Polyline() | Points() | Keypoints()), (Box() | RotatedBox())):
            yield "只留外接框", "only the box around it is left"
    if isinstance(old, Polygon) and not isinstance(new, Mask | Points):
        holes = sum(len(part) - 1 for part in old.parts)
        if holes:
            yield f"填掉 {holes} 个孔", f"{holes} {'hole is' if holes == 1 else 'holes are'} filled"
        if len(old.parts) > 1:
            kept = (
                ("只留最大的一块", "only the largest is kept")
                if isinstance(new, Polyline)
                else ("合为一块", "become one")
            )
            yield f"{len(old.parts)} 块{kept[0]}", f"{len(old.parts)} parts: {kept[1]}"
    if isinstance(new, Mask) and wh is not None and not isinstance(old, Mask):
        yield "边缘按像素取整", "the border follows the pixels"
        box = geometry.bbox(old)
        if box is not None and (box.x0 < 0 or box.y0 < 0 or box.x1 > wh[0] or box.y1 > wh[1]):
            yield "图片以外的部分被切掉", "what lies outside the picture is cut off"
    before, after = geometry.area(old), geometry.area(new)
    if before > 0 and after > 0:
        share = (after - before) / before
        if abs(share) >= _LEAST_SHARE:
            yield f"面积变化 {share * 100:+.1f} %", f"the area changes by {share * 100:+.1f} %"
        if not isinstance(new, Mask) and (common := _common(old, new)) < 1 - _LEAST_SHARE:
            yield (
                f"新旧形状重合 {common * 100:.1f} %",
                f"old and new shape agree to {common * 100:.1f} %",
            )


def _round(shape: RotatedBox | Ellipse) -> bool:
    return isinstance(shape, Ellipse) and shape.rx == shape.ry


def _common(old: Shape, new: Shape) -> float:
    """Intersection over union of two areas."""
    a, b = geometry.to_shapely(_polygon(old)), geometry.to_shapely(_polygon(new))
    with np.errstate(all="ignore"):
        shared = a.intersection(b).area
    both = a.area + b.area - shared
    return float(shared / both) if both > 0 else 0.0

"""What joins, cuts and tidies areas and lines: pure edits of a set, computed by shapely on the record's grid.

Masks stay masks: where one takes part, the others are painted on its pixels and the result is a mask. Everything else
that has an area becomes a polygon; whether the label allows one is the caller's question.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from annotation import edits, geometry, marks, raster, rle
from annotation.core import (
    KIND_OF,
    Annotation,
    AnnotationSet,
    Coords,
    Mask,
    Points,
    Polygon,
    Polyline,
    Shape,
    new_uid,
)
from annotation.errors import InvalidInput
from annotation.raster import Op

GRID = 0.001
"""Px of the grid that results lie on, as the record keeps them."""
MAX_PIECES = 1000
"""Objects that one mask may be split into."""


# ---------------------------------------------------------------------------------------------------------------
# Several objects into one


def union(annotations: AnnotationSet, uids: Sequence[str]) -> AnnotationSet:
    """The set with these objects as one area; the first keeps its name and attributes, the others go.

    Raises:
        InvalidInput: for fewer than two, or one that has no area.
    """
    return _merged(annotations, uids, "union")


def intersect(annotations: AnnotationSet, uids: Sequence[str]) -> AnnotationSet:
    """The set with the first of these objects cut down to what all of them cover; the others go.

    Raises:
        InvalidInput: for fewer than two, one that has no area, or when they share nothing.
    """
    return _merged(annotations, uids, "intersect")


def subtract(annotations: AnnotationSet, uid: str, others: Iterable[str]) -> AnnotationSet:
    """The set with what the others cover taken away from an object; the others stay as they are.

    Raises:
        InvalidInput: for one that has no area, or when nothing would be left.
    """
    cutters = [edits.find(annotations, other).shape for other in others if other != uid]
    return edits.reshape(annotations, [uid], lambda shape: combined("subtract", shape, *cutters))


def _merged(annotations: AnnotationSet, uids: Sequence[str], how: Op) -> AnnotationSet:
    first, *rest = _two(uids)
    others = [edits.find(annotations, uid).shape for uid in rest]
    left = edits.reshape(annotations, [first], lambda shape: combined(how, shape, *others))
    return edits.remove(left, rest)


def _two(uids: Sequence[str]) -> list[str]:
    found = list(dict.fromkeys(uids))
    if len(found) < 2:
        raise InvalidInput("one object alone", remedy="choose two or more")
    return found


def combined(how: Op, first: Shape, *others: Shape) -> Polygon | Mask:
    """Areas put together: the "union" of all, the first with the others "subtract"ed, what all "intersect".

    Raises:
        InvalidInput: when one has no area, or nothing is left.
    """
    mask = next((s for s in (first, *others) if isinstance(s, Mask)), None)
    found: Polygon | Mask | None
    if mask is not None:
        painted = [raster.to_mask(s, width=mask.w, height=mask.h) for s in (first, *others)]
        found = raster.combined(how, *painted)
        if not geometry.area(found):
            found = None
    else:
        import shapely

        areas = [geometry.to_shapely(_outline(s)) for s in (first, *others)]
        with np.errstate(all="ignore"):
            if how == "intersect":
                result = areas[0]
                for area in areas[1:]:
                    result = shapely.intersection(result, area, grid_size=GRID)
            elif how == "subtract":
                rest = shapely.union_all(areas[1:], grid_size=GRID)
                result = shapely.difference(areas[0], rest, grid_size=GRID)
            else:
                result = shapely.union_all(areas, grid_size=GRID)
            found = geometry.from_shapely(result)
    if found is None:
        raise InvalidInput("nothing would be left", remedy="delete the object instead")
    return found


def _outline(shape: Shape) -> Polygon:
    found = geometry.outline(shape)
    if found is None:
        raise InvalidInput(f"a {KIND_OF[type(shape)]} has no area", remedy="choose areas only")
    return found


def join(annotations: AnnotationSet, uids: Sequence[str]) -> AnnotationSet:
    """The set with these objects as one, nothing of them changed: areas become parts of one polygon (masks one mask),
    lines are tied end to end, each next one by its nearer end, points lie together. The first keeps its name.

    Raises:
        InvalidInput: for fewer than two, or kinds that do not go together.
    """
    first, *rest = _two(uids)
    others = [edits.find(annotations, uid).shape for uid in rest]
    joined = edits.reshape(annotations, [first], lambda shape: _joined([shape, *others]))
    return edits.remove(joined, rest)


def _joined(shapes: Sequence[Shape]) -> Shape:
    if all(isinstance(s, Points) for s in shapes):
        return Points(tuple(c for s in shapes if isinstance(s, Points) for c in s.points))
    if all(isinstance(s, Polyline) for s in shapes):
        line, *rest = (s.points for s in shapes if isinstance(s, Polyline))
        for other in rest:
            line = _tied(line, other)
        return Polyline(line)
    if any(isinstance(s, Mask) for s in shapes):
        return combined("union", *shapes)
    return Polygon(tuple(part for s in shapes for part in _outline(s).parts))


def _tied(line: Coords, other: Coords) -> Coords:
    """Two lines as one, joined where their ends are nearest; a point that both have is there once."""
    ways = [
        (np.hypot(a[-2] - b[0], a[-1] - b[1]), n, a, b)
        for n, (a, b) in enumerate(
            (
                (line, other),
                (line, _reversed(other)),
                (_reversed(line), other),
                (_reversed(line), _reversed(other)),
            )
        )
    ]
    gap, n, a, b = min(ways, key=lambda way: (way[0], way[1]))
    tied = (*a, *(b[2:] if gap == 0 else b))
    return _reversed(tied) if n == 3 else tied


def _reversed(points: Coords) -> Coords:
    return tuple(c for xy in list(geometry.pairs(points))[::-1] for c in xy)


# ---------------------------------------------------------------------------------------------------------------
# One object into several


def cut(
    annotations: AnnotationSet, uids: Iterable[str], line: Coords
) -> tuple[AnnotationSet, tuple[str, ...]]:
    """The set with these areas cut along a line into separate objects, and the uids of the new ones.

    The largest piece, with all parts that the line does not cross, keeps the object's uid. Objects that the line does
    not part are left alone.

    Raises:
        InvalidInput: when the line has fewer than two points, an object has no area, or nothing was cut.
    """
    if len(line) < 4:
        raise InvalidInput("a cut needs two points", remedy="draw a line across the object")
    new: list[Annotation] = []
    kept: dict[str, Shape] = {}
    for uid in uids:
        a = edits.find(annotations, uid)
        pieces = (
            _cut_mask(a.shape, line) if isinstance(a.shape, Mask) else _cut_polygon(_outline(a.shape), line)
        )
        if len(pieces) > 1:
            kept[uid] = pieces[0]
            new += [_sister(a, piece) for piece in pieces[1:]]
    if not new:
        raise InvalidInput("nothing was cut", remedy="draw the line right across the object")
    return _with_sisters(annotations, kept, new)


def _with_sisters(
    annotations: AnnotationSet, kept: dict[str, Shape], new: list[Annotation]
) -> tuple[AnnotationSet, tuple[str, ...]]:
    after = edits.change(annotations, kept, lambda a: replace(a, shape=kept[a.uid]))
    return edits.add(after, *new), tuple(a.uid for a in new)


def _sister(a: Annotation, shape: Shape) -> Annotation:
    """A new object like another: a person's work, and of no track, for a track has one object a picture."""
    for code in ("@track", "@key", "@end"):
        a = marks.with_mark(a, code, None)
    return replace(a, uid=new_uid(), shape=shape, origin="human", score=None)


def _cut_polygon(shape: Polygon, line: Coords) -> list[Polygon]:
    """The pieces, largest first; it holds the parts that were not cut."""
    whole: list[tuple[Coords, ...]] = []
    pieces: list[Polygon] = []
    for part in shape.parts:
        found = [
            p for g in _cells(geometry.to_shapely(Polygon((part,))), line) if (p := geometry.from_shapely(g))
        ]
        if len(found) > 1:
            pieces += found
        else:
            whole.append(part)
    pieces.sort(key=geometry.area, reverse=True)
    if pieces:
        pieces[0] = Polygon((*pieces[0].parts, *whole))
    return pieces


def _cells(area: Any, line: Coords) -> list[Any]:
    """The faces into which a line cuts a valid area."""
    import shapely

    with np.errstate(all="ignore"):
        edges = shapely.union(
            shapely.boundary(area), shapely.LineString(list(geometry.pairs(line))), grid_size=GRID
        )
        faces = shapely.get_parts(shapely.polygonize(list(shapely.get_parts(edges))))
        inside = shapely.contains(area, shapely.point_on_surface(faces)) if len(faces) else []
    return [face for face, ok in zip(faces, inside, strict=True) if ok]


def _cut_mask(mask: Mask, line: Coords) -> list[Mask]:
    """The pieces, largest first: every pixel goes to the side its centre lies on."""
    import shapely

    box = geometry.bbox(mask)
    if box is None:
        return [mask]
    around = shapely.box(box.x0 - 1, box.y0 - 1, box.x1 + 1, box.y1 + 1)
    pieces: list[Mask] = []
    left = mask
    for face in _cells(around, line)[:-1]:
        side = geometry.from_shapely(face)
        if side is not None:
            painted = raster.to_mask(side, width=mask.w, height=mask.h)
            piece, rest = _some("intersect", left, painted), _some("subtract", left, painted)
            if piece is not None:
                pieces.append(piece)
            if rest is None:
                return sorted(pieces, key=geometry.area, reverse=True)
            left = rest
    return sorted([*pieces, left], key=geometry.area, reverse=True)


def _some(how: Op, first: Mask, *others: Mask) -> Mask | None:
    """`raster.combined`, None when no pixel is left."""
    found = raster.combined(how, first, *others)
    return found if geometry.area(found) else None


def split(annotations: AnnotationSet, uid: str) -> tuple[AnnotationSet, tuple[str, ...]]:
    """The set with an object's parts as objects of their own, and the uids of the new ones; the largest part keeps
    the uid. Parts are those of a polygon, the connected patches of a mask, single points.

    Raises:
        InvalidInput: when the object is in one piece, or in more than `MAX_PIECES`.
    """
    a = edits.find(annotations, uid)
    pieces: list[Shape]
    match a.shape:
        case Polygon(parts):
            pieces = sorted((Polygon((part,)) for part in parts), key=geometry.area, reverse=True)
        case Points(points):
            pieces = [Points(point) for point in geometry.pairs(points)]
        case Mask():
            pieces = list(_patches(a.shape))
        case _:
            pieces = []
    if len(pieces) < 2:
        raise InvalidInput("the object is in one piece", where=uid)
    return _with_sisters(annotations, {uid: pieces[0]}, [_sister(a, piece) for piece in pieces[1:]])


def _patches(mask: Mask) -> list[Mask]:
    """The connected patches of a mask (pixels that share an edge), largest first."""
    import cv2

    part, x0, y0 = rle.crop(mask)
    if not part.size:
        return []
    n, found, boxes, _ = cv2.connectedComponentsWithStats(part, connectivity=4, ltype=cv2.CV_32S)
    if n - 1 > MAX_PIECES:
        raise InvalidInput(f"a mask of {n - 1} patches", remedy=f"at most {MAX_PIECES}: erase specks first")
    patches = []
    for i, (x, y, w, h) in enumerate(boxes[1:, :4].tolist(), 1):
        bits = found[y : y + h, x : x + w] == i
        patches.append(rle.encode(bits, at=(x0 + x, y0 + y), wh=(mask.w, mask.h)))
    return sorted(patches, key=geometry.area, reverse=True)


# ---------------------------------------------------------------------------------------------------------------
# Rings


def add_hole(annotations: AnnotationSet, uid: str, ring: Coords) -> AnnotationSet:
    """The set with a ring cut out of an object. Inside one part it becomes a hole as drawn, else the area is cut.

    Raises:
        InvalidInput: when the object has no area, the ring lies outside it, or nothing would be left.
    """

    def edit(shape: Shape) -> Shape:
        if isinstance(shape, Mask):
            return combined("subtract", shape, Polygon(((ring,),)))
        import shapely

        drawn = _outline(shape)
        hole = geometry.to_shapely(Polygon(((ring,),)))
        areas = [geometry.to_shapely(Polygon((part,))) for part in drawn.parts]
        if not any(shapely.intersects(area, hole) for area in areas):
            raise InvalidInput("the hole lies outside the object", remedy="draw it inside")
        inside = [shapely.contains_properly(area, hole) for area in areas]
        touched = [shapely.intersects(area, hole) for area in areas]
        if shapely.get_num_geometries(hole) == 1 and sum(inside) == sum(touched) == 1:
            at = inside.index(True)
            parts = list(drawn.parts)
            parts[at] = (*parts[at], ring)
            return Polygon(tuple(parts))
        return combined("subtract", drawn, Polygon(((ring,),)))

    return edits.reshape(annotations, [uid], edit)


def add_part(annotations: AnnotationSet, uid: str, ring: Coords) -> AnnotationSet:
    """The set with a ring added to an object: a further part as drawn where it is apart, else united with it.

    Raises:
        InvalidInput: when the object has no area.
    """

    def edit(shape: Shape) -> Shape:
        if isinstance(shape, Mask):
            return combined("union", shape, Polygon(((ring,),)))
        import shapely

        drawn, more = _outline(shape), Polygon(((ring,),))
        if shapely.intersects(geometry.to_shapely(drawn), geometry.to_shapely(more)):
            return combined("union", drawn, more)
        return Polygon((*drawn.parts, (ring,)))

    return edits.reshape(annotations, [uid], edit)


def fill_holes(annotations: AnnotationSet, uids: Iterable[str]) -> AnnotationSet:
    """The set with the holes of these polygons and masks filled; other kinds have none."""
    return edits.reshape(annotations, uids, filled)


def filled(shape: Shape) -> Shape:
    """The shape without holes."""
    if isinstance(shape, Mask):
        outline = raster.to_polygon(shape)
        if outline is None or all(len(part) == 1 for part in outline.parts):
            return shape
        return raster.to_mask(filled(outline), width=shape.w, height=shape.h)
    if isinstance(shape, Polygon) and any(len(part) > 1 for part in shape.parts):
        return Polygon(tuple((part[0],) for part in shape.parts))
    return shape


# ---------------------------------------------------------------------------------------------------------------
# Fewer points, rounder corners


def points_of(shape: Shape) -> int:
    """How many points a polygon or line is drawn with; 0 for other kinds."""
    match shape:
        case Polygon(parts):
            return sum(len(ring) // 2 for part in parts for ring in part)
        case Polyline(points):
            return len(points) // 2
        case _:
            return 0


def simplify(
    annotations: AnnotationSet, uids: Iterable[str], tolerance: float
) -> tuple[AnnotationSet, int, int]:
    """The set with these polygons and lines drawn with fewer points, nowhere off by more than `tolerance` px, and the
    number of their points before and after."""
    wanted = frozenset(uids)
    after = edits.reshape(annotations, wanted, lambda shape: simplified(shape, tolerance))
    counts = [sum(points_of(a.shape) for a in found if a.uid in wanted) for found in (annotations, after)]
    return after, counts[0], counts[1]


def simplified(shape: Shape, tolerance: float) -> Shape:
    """The polygon or line with fewer points (Douglas-Peucker); rings that would cross each other keep more."""
    import shapely

    if not tolerance > 0:
        return shape
    if isinstance(shape, Polyline):
        line = shapely.simplify(shapely.LineString(list(geometry.pairs(shape.points))), tolerance)
        points = tuple(float(v) for xy in line.coords for v in xy)
        return Polyline(points) if 4 <= len(points) < len(shape.points) else shape
    if not isinstance(shape, Polygon):
        return shape
    parts = []
    for part in shape.parts:
        rings = [list(geometry.pairs(ring)) for ring in part]
        area = shapely.Polygon(rings[0], rings[1:])
        found = None
        if shapely.is_valid(area):
            found = geometry.from_shapely(shapely.simplify(area, tolerance, preserve_topology=True))
        parts.append(found.parts[0] if found is not None and len(found.parts) == 1 else part)
    return Polygon(tuple(parts))

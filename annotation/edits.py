"""Pure edits: AnnotationSet in, AnnotationSet out. Boxes and polygons; every result is as the record will hold it.

Nothing is changed in place, so before and after are the undo step. Faults are NotFound (no such uid) and
InvalidInput (an edit that would leave no shape).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace as _with
from types import MappingProxyType
from typing import Literal

from annotation import geometry
from annotation.core import (
    Annotation,
    AnnotationSet,
    AttributeValue,
    Box,
    Coords,
    Keypoints,
    Mask,
    Points,
    Polygon,
    Polyline,
    RotatedBox,
    Shape,
    Tag,
)
from annotation.errors import InvalidInput, NotFound
from annotation.labels import LabelSchema

Handle = Literal["nw", "n", "ne", "e", "se", "s", "sw", "w"]
"""A handle of a box by its compass point; corners clockwise from nw are its vertices 0 to 3."""
_CORNERS: tuple[Handle, ...] = ("nw", "ne", "se", "sw")


def find(annotations: AnnotationSet, uid: str) -> Annotation:
    """The annotation of that uid.

    Raises:
        NotFound: when there is none.
    """
    for a in annotations:
        if a.uid == uid:
            return a
    raise NotFound("no such object on this picture", where=uid, remedy="reload the picture")


def add(annotations: AnnotationSet, new: Annotation) -> AnnotationSet:
    """The set with one more annotation, in the order of uids.

    Raises:
        InvalidInput: when the uid is there already, or the shape cannot be stored.
    """
    if any(a.uid == new.uid for a in annotations):
        raise InvalidInput("an object with this uid is there already", where=new.uid)
    return tuple(sorted((*annotations, _with(new, shape=geometry.snapped(new.shape))), key=lambda a: a.uid))


def remove(annotations: AnnotationSet, uids: Iterable[str]) -> AnnotationSet:
    """The set without these annotations; each must be there."""
    gone = _known(annotations, uids)
    return tuple(a for a in annotations if a.uid not in gone)


def replace(annotations: AnnotationSet, new: Annotation) -> AnnotationSet:
    """The set with the annotation of the same uid exchanged."""
    return _each(annotations, [new.uid], lambda _: new)


def _known(annotations: AnnotationSet, uids: Iterable[str]) -> frozenset[str]:
    """The uids as a set; NotFound names the first that is not there."""
    wanted = frozenset(uids)
    if missing := wanted - {a.uid for a in annotations}:
        find((), min(missing))
    return wanted


def _each(
    annotations: AnnotationSet, uids: Iterable[str], change: Callable[[Annotation], Annotation]
) -> AnnotationSet:
    """The set with these annotations changed, in one pass; shapes that changed are snapped."""
    wanted = _known(annotations, uids)
    out = []
    for old in annotations:
        new = change(old) if old.uid in wanted else old
        out.append(new if new.shape is old.shape else _with(new, shape=geometry.snapped(new.shape)))
    return tuple(out)


def _reshape(annotations: AnnotationSet, uid: str, change: Callable[[Shape], Shape]) -> AnnotationSet:
    return _each(annotations, [uid], lambda old: _with(old, shape=change(old.shape)))


def move(annotations: AnnotationSet, uids: Iterable[str], dx: float, dy: float) -> AnnotationSet:
    """The set with these annotations shifted by (dx, dy) px. A mask or tag stays: it belongs to the whole picture."""
    return _each(annotations, uids, lambda old: _with(old, shape=moved(old.shape, dx, dy)))


def moved(shape: Shape, dx: float, dy: float) -> Shape:
    """The shape shifted by (dx, dy) px."""
    match shape:
        case Box(x0, y0, x1, y1):
            return Box(x0 + dx, y0 + dy, x1 + dx, y1 + dy)
        case RotatedBox():
            return _with(shape, cx=shape.cx + dx, cy=shape.cy + dy)
        case Polygon(parts):
            return Polygon(tuple(tuple(_shift(ring, dx, dy) for ring in part) for part in parts))
        case Polyline(points):
            return Polyline(_shift(points, dx, dy))
        case Points(points):
            return Points(_shift(points, dx, dy))
        case Keypoints(points, visibility):
            return Keypoints(_shift(points, dx, dy), visibility)
        case Mask() | Tag():
            return shape


def _shift(points: Coords, dx: float, dy: float) -> Coords:
    return tuple(v + (dy if i % 2 else dx) for i, v in enumerate(points))


def vertices(shape: Shape) -> Coords:
    """All points a person can take hold of, flat; their places are the vertex numbers used here.

    Box: its corners clockwise from the top left. Polygon: ring after ring. Masks, tags and rotated boxes: none.
    """
    match shape:
        case Box(x0, y0, x1, y1):
            return (x0, y0, x1, y0, x1, y1, x0, y1)
        case Polygon(parts):
            return tuple(c for part in parts for ring in part for c in ring)
        case Polyline(points) | Points(points) | Keypoints(points, _):
            return points
        case RotatedBox() | Mask() | Tag():
            return ()


def move_vertex(annotations: AnnotationSet, uid: str, index: int, x: float, y: float) -> AnnotationSet:
    """The set with one vertex put at (x, y); a box's corner resizes it."""

    def change(shape: Shape) -> Shape:
        if isinstance(shape, Box):
            _in_range(index, 4)
            return resized(shape, _CORNERS[index], x, y)
        return _edit_points(shape, index, lambda points, i: (*points[: 2 * i], x, y, *points[2 * i + 2 :]))

    return _reshape(annotations, uid, change)


def insert_vertex(annotations: AnnotationSet, uid: str, index: int, x: float, y: float) -> AnnotationSet:
    """The set with a vertex put into a polygon's ring or a line after vertex `index`; the new one is `index + 1`."""

    def change(shape: Shape) -> Shape:
        if not isinstance(shape, Polygon | Polyline):
            raise InvalidInput("only polygons and lines can be given another vertex")
        return _edit_points(
            shape, index, lambda points, i: (*points[: 2 * i + 2], x, y, *points[2 * i + 2 :])
        )

    return _reshape(annotations, uid, change)


def delete_vertex(annotations: AnnotationSet, uid: str, index: int) -> AnnotationSet:
    """The set with a vertex taken from a polygon's ring or a line; a hole of three vertices goes with it.

    Raises:
        InvalidInput: when an outline of three or a line of two vertices would fall apart.
    """

    def change(shape: Shape) -> Shape:
        if not isinstance(shape, Polygon | Polyline):
            raise InvalidInput("only polygons and lines can lose a vertex")
        return _edit_points(shape, index, lambda points, i: (*points[: 2 * i], *points[2 * i + 2 :]))

    return _reshape(annotations, uid, change)


def _in_range(index: int, n: int) -> None:
    if not 0 <= index < n:
        raise InvalidInput(f"there is no vertex {index}", remedy=f"0 to {n - 1}")


def _edit_points(shape: Shape, index: int, edit: Callable[[Coords, int], Coords]) -> Shape:
    """The shape with `edit` applied to the point list that holds vertex `index`, with the vertex's place there."""
    _in_range(index, len(vertices(shape)) // 2)
    if isinstance(shape, Polyline | Points):
        points = edit(shape.points, index)
        if isinstance(shape, Polyline) and len(points) < 4:
            raise InvalidInput("a line needs two vertices", remedy="delete the object")
        return _with(shape, points=points)
    if isinstance(shape, Keypoints):
        points = edit(shape.points, index)
        seen = tuple(v or 2 if i == index else v for i, v in enumerate(shape.visibility))
        return Keypoints(points, seen)
    assert isinstance(shape, Polygon)
    parts: list[tuple[Coords, ...]] = []
    for part in shape.parts:
        rings: list[Coords] = []
        for ring in part:
            n = len(ring) // 2
            new = edit(ring, index) if 0 <= index < n else ring
            index -= n
            if len(new) >= 6:
                rings.append(new)
            elif not rings:
                raise InvalidInput("an outline needs three vertices", remedy="delete the object")
        parts.append(tuple(rings))
    return Polygon(tuple(parts))


def resize_box(annotations: AnnotationSet, uid: str, handle: Handle, x: float, y: float) -> AnnotationSet:
    """The set with one handle of a box put at (x, y); drawn over the opposite side, the box turns inside out.

    Raises:
        InvalidInput: when the object is no box.
    """

    def change(shape: Shape) -> Shape:
        if not isinstance(shape, Box):
            raise InvalidInput("only boxes have handles")
        return resized(shape, handle, x, y)

    return _reshape(annotations, uid, change)


def resized(box: Box, handle: Handle, x: float, y: float) -> Box:
    """The box with one handle at (x, y), corners in order again."""
    x0, y0, x1, y1 = box.x0, box.y0, box.x1, box.y1
    if "w" in handle:
        x0 = x
    if "e" in handle:
        x1 = x
    if "n" in handle:
        y0 = y
    if "s" in handle:
        y1 = y
    return Box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def relabel(
    annotations: AnnotationSet, uids: Iterable[str], label: str, *, schema: LabelSchema
) -> AnnotationSet:
    """The set with these annotations under another label; attributes that it knows are kept, its defaults added.

    Raises:
        NotFound: when the schema has no such label that can be drawn.
    """
    target = schema.label(label)
    if target is None or target.abstract:
        raise NotFound("no such label", where=label, remedy="choose a label of the schema")
    known = {a.code: a for a in target.attributes}

    def change(old: Annotation) -> Annotation:
        kept = {k: v for k, v in old.attributes.items() if k in known and known[k].accepts(v)}
        return _with(old, label=label, attributes=MappingProxyType({**target.defaults(), **kept}))

    return _each(annotations, uids, change)


def set_attribute(
    annotations: AnnotationSet, uids: Iterable[str], code: str, value: AttributeValue | None
) -> AnnotationSet:
    """The set with an attribute of these annotations set, or taken away with None."""

    def change(old: Annotation) -> Annotation:
        attributes = {k: v for k, v in old.attributes.items() if k != code}
        if value is not None:
            attributes[code] = value
        return _with(old, attributes=MappingProxyType(attributes))

    return _each(annotations, uids, change)

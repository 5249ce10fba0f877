"""Pure edits of a set: AnnotationSet in, AnnotationSet out; every result is as the record will hold it.

Nothing is changed in place, so before and after are the undo step. Faults are NotFound (no such uid) and
InvalidInput (an edit that would leave no shape). What joins and cuts areas is in `areas`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace as _with
from types import MappingProxyType
from typing import Literal

from annotation import geometry, handles, marks, rows, sets, transform
from annotation.core import Annotation, AnnotationSet, Attributes, AttributeValue, Shape, new_uid
from annotation.errors import InvalidInput, NotFound
from annotation.handles import Handle
from annotation.labels import Label, LabelSchema

Place = Literal["top", "raise", "lower", "bottom"]


def find(annotations: AnnotationSet, uid: str) -> Annotation:
    """The annotation of that uid in a set in the order of uids.

    Raises:
        NotFound: when there is none.
    """
    if (found := sets.find(annotations, uid)) is not None:
        return found
    raise NotFound("no such object on this picture", where=uid, remedy="reload the picture")


def add(annotations: AnnotationSet, *new: Annotation) -> AnnotationSet:
    """The set with more annotations, in the order of uids.

    Raises:
        InvalidInput: when a uid is there already, or a shape cannot be stored.
    """
    uids = {a.uid for a in annotations}
    for a in new:
        if a.uid in uids:
            raise InvalidInput("an object with this uid is there already", where=a.uid)
        uids.add(a.uid)
    return sets.laid_over(annotations, (_with(a, shape=rows.snapped(a.shape)) for a in new))


def remove(annotations: AnnotationSet, uids: Iterable[str]) -> AnnotationSet:
    """The set without these annotations, and without the links to them; each must be there."""
    gone = _known(annotations, uids)
    return tuple(_unlinked(a, gone) for a in annotations if a.uid not in gone)


def _unlinked(a: Annotation, gone: frozenset[str]) -> Annotation:
    found = marks.links(a)
    left = [(name, uid) for name, uid in found if uid not in gone]
    return marks.with_links(a, left) if len(left) < len(found) else a


def replace(annotations: AnnotationSet, new: Annotation) -> AnnotationSet:
    """The set with the annotation of the same uid exchanged."""
    return change(annotations, [new.uid], lambda _: new)


def _known(annotations: AnnotationSet, uids: Iterable[str]) -> frozenset[str]:
    """The uids as a set; NotFound names the first that is not there."""
    wanted = frozenset(uids)
    if missing := wanted - {a.uid for a in annotations}:
        find((), min(missing))
    return wanted


def change(
    annotations: AnnotationSet, uids: Iterable[str], edit: Callable[[Annotation], Annotation]
) -> AnnotationSet:
    """The set with `edit` applied to these annotations, in one pass; shapes that changed are snapped."""
    wanted = _known(annotations, uids)
    out = []
    for old in annotations:
        new = edit(old) if old.uid in wanted else old
        out.append(new if new.shape is old.shape else _with(new, shape=rows.snapped(new.shape)))
    return tuple(out)


def reshape(annotations: AnnotationSet, uids: Iterable[str], edit: Callable[[Shape], Shape]) -> AnnotationSet:
    """The set with `edit` applied to these annotations' shapes; the shapes are snapped."""
    return change(annotations, uids, lambda old: _with(old, shape=edit(old.shape)))


# ---------------------------------------------------------------------------------------------------------------
# Place and form


def move(annotations: AnnotationSet, uids: Iterable[str], dx: float, dy: float) -> AnnotationSet:
    """The set with these annotations shifted by (dx, dy) px (see `transform.moved`)."""
    return reshape(annotations, uids, lambda shape: transform.moved(shape, dx, dy))


def rotate(
    annotations: AnnotationSet, uids: Iterable[str], degrees: float, centre: tuple[float, float] | None = None
) -> AnnotationSet:
    """The set with these annotations turned around a centre, by default the middle of all of them.

    Raises:
        InvalidInput: for an axis-parallel box and anything but quarter turns.
    """
    wanted = tuple(uids)
    cx, cy = centre or middle(annotations, wanted)
    return reshape(annotations, wanted, lambda shape: transform.rotated(shape, degrees, cx, cy))


def scale(
    annotations: AnnotationSet,
    uids: Iterable[str],
    sx: float,
    sy: float,
    centre: tuple[float, float] | None = None,
) -> AnnotationSet:
    """The set with these annotations stretched away from a centre, by default the middle of all of them."""
    wanted = tuple(uids)
    cx, cy = centre or middle(annotations, wanted)
    return reshape(annotations, wanted, lambda shape: transform.scaled(shape, sx, sy, cx, cy))


def middle(annotations: AnnotationSet, uids: Iterable[str]) -> tuple[float, float]:
    """The middle of the box around these annotations, in px; (0, 0) when none of them has a place."""
    wanted = _known(annotations, uids)
    boxes = [box for a in annotations if a.uid in wanted and (box := geometry.bbox(a.shape))]
    if not boxes:
        return 0.0, 0.0
    x = min(b.x0 for b in boxes) + max(b.x1 for b in boxes)
    return x / 2, (min(b.y0 for b in boxes) + max(b.y1 for b in boxes)) / 2


def insert_vertex(annotations: AnnotationSet, uid: str, handle: Handle, x: float, y: float) -> AnnotationSet:
    """The set with a vertex put into a polygon's ring or a line after the one that `handle` names."""
    return reshape(annotations, [uid], lambda shape: handles.insert_vertex(shape, handle, x, y))


def delete_vertex(annotations: AnnotationSet, uid: str, handle: Handle) -> AnnotationSet:
    """The set with a vertex taken from a polygon's ring or a line; a hole or further part of three goes with it."""
    return reshape(annotations, [uid], lambda shape: handles.delete_vertex(shape, handle))


# ---------------------------------------------------------------------------------------------------------------
# Labels, attributes, marks


def fitting(held: Attributes, label: Label) -> dict[str, AttributeValue]:
    """What is left of an annotation's attributes under another label: marks, and values that the label knows."""
    known = {a.code: a for a in label.attributes}
    kept = {k: v for k, v in held.items() if k in known and known[k].accepts(v)}
    return {**kept, **marks.kept(held)}


def relabel(
    annotations: AnnotationSet, uids: Iterable[str], label: str, *, schema: LabelSchema
) -> AnnotationSet:
    """The set with these annotations under another label; marks and attributes that it knows are kept, its defaults
    added.

    Raises:
        NotFound: when the schema has no such label that can be drawn.
    """
    target = schema.label(label)
    if target is None or target.abstract:
        raise NotFound("no such label", where=label, remedy="choose a label of the schema")

    def edit(old: Annotation) -> Annotation:
        attributes = {**target.defaults(), **fitting(old.attributes, target)}
        return _with(old, label=label, attributes=MappingProxyType(attributes))

    return change(annotations, uids, edit)


def group(annotations: AnnotationSet, uids: Iterable[str]) -> AnnotationSet:
    """The set with these annotations as the members of one new group.

    Raises:
        InvalidInput: for fewer than two.
    """
    wanted = _known(annotations, uids)
    if len(wanted) < 2:
        raise InvalidInput("a group needs two objects", remedy="choose more")
    name = new_uid()
    return change(annotations, wanted, lambda a: marks.with_mark(a, "@group", name))


def ungroup(annotations: AnnotationSet, uids: Iterable[str]) -> AnnotationSet:
    """The set with the groups of these annotations dissolved, for all their members."""
    wanted = _known(annotations, uids)
    names = {marks.group(a) for a in annotations if a.uid in wanted} - {None}
    members = [a.uid for a in annotations if marks.group(a) in names]
    return change(annotations, members, lambda a: marks.with_mark(a, "@group", None))


def members(annotations: AnnotationSet, uids: Iterable[str]) -> frozenset[str]:
    """These uids and those of everything grouped with them."""
    wanted = _known(annotations, uids)
    names = {marks.group(a) for a in annotations if a.uid in wanted} - {None}
    return wanted | {a.uid for a in annotations if marks.group(a) in names}


def link(annotations: AnnotationSet, uid: str, to: str, relation: str) -> AnnotationSet:
    """The set with a relation from one annotation to another.

    Raises:
        InvalidInput: to itself, too many links, or a name that cannot be one (see `marks.with_links`).
    """
    _known(annotations, [to])
    if uid == to:
        raise InvalidInput("an object cannot be linked to itself", remedy="choose another")
    return change(annotations, [uid], lambda a: marks.with_links(a, (*marks.links(a), (relation, to))))


def unlink(annotations: AnnotationSet, uid: str, to: str, relation: str | None = None) -> AnnotationSet:
    """The set without the relations from one annotation to another, or without that one relation."""

    def edit(a: Annotation) -> Annotation:
        found = marks.links(a)
        return marks.with_links(a, (x for x in found if x[1] != to or relation not in (None, x[0])))

    return change(annotations, [uid], edit)


def reorder(annotations: AnnotationSet, uids: Iterable[str], place: Place) -> AnnotationSet:
    """The set with these annotations drawn higher or lower ("@order"), keeping their order among themselves.

    "raise" and "lower" go past the next object that is not one of them; "top" and "bottom" past all.
    """
    wanted = _known(annotations, uids)
    stack = sorted(annotations, key=lambda a: (marks.order(a), a.uid))
    chosen = [a for a in stack if a.uid in wanted]
    others = [a for a in stack if a.uid not in wanted]
    if not chosen or not others:
        return annotations
    if place in ("top", "bottom"):
        at = len(others) if place == "top" else 0
    elif place == "raise":
        highest = stack.index(chosen[-1])
        at = min(len(others), sum(1 for a in stack[:highest] if a.uid not in wanted) + 1)
    else:
        at = max(0, sum(1 for a in stack[: stack.index(chosen[0])] if a.uid not in wanted) - 1)
    levels = _levels([*others[:at], *chosen, *others[at:]], wanted)
    changed = [a.uid for a in annotations if levels[a.uid] != marks.order(a)]
    return change(annotations, changed, lambda a: marks.with_mark(a, "@order", levels[a.uid]))


def _levels(stack: list[Annotation], wanted: frozenset[str]) -> dict[str, int]:
    """An order for every uid that draws them in this sequence, leaving as many of the others as can be as they are."""
    levels: dict[str, int] = {}
    below: tuple[int, str] | None = None
    first = next(i for i, a in enumerate(stack) if a.uid in wanted)
    floor = [a for a in stack[first:] if a.uid not in wanted]
    if floor and first == 0:  # nothing below: go under the lowest instead of lifting everything above
        lowest = marks.order(floor[0])
        chosen = [a for a in stack if a.uid in wanted]
        levels = {a.uid: lowest - len(chosen) + i for i, a in enumerate(chosen)}
        return levels | {a.uid: marks.order(a) for a in floor}
    for a in stack:
        level = marks.order(a)
        if a.uid in wanted and below is not None:
            level = below[0]
        if below is not None and (level, a.uid) <= below:
            level = below[0] if a.uid > below[1] else below[0] + 1
        levels[a.uid] = level
        below = (level, a.uid)
    return levels


def duplicate(
    annotations: AnnotationSet, uids: Iterable[str], dx: float, dy: float
) -> tuple[AnnotationSet, tuple[str, ...]]:
    """The set with copies of these annotations shifted by (dx, dy) px, and the copies' uids in the set's order.

    Copies are a person's work: no score, of no track. Groups and links among them become their own.
    """
    wanted = _known(annotations, uids)
    originals = [a for a in annotations if a.uid in wanted]
    names = {a.uid: new_uid() for a in originals}
    groups: dict[str, str] = {}
    copies = []
    for a in originals:
        copy = _with(a, uid=names[a.uid], origin="human", score=None, shape=transform.moved(a.shape, dx, dy))
        for code in ("@track", "@key", "@end"):
            copy = marks.with_mark(copy, code, None)
        if name := marks.group(a):
            copy = marks.with_mark(copy, "@group", groups.setdefault(name, new_uid()))
        if found := marks.links(a):
            copy = marks.with_links(copy, [(r, names.get(to, to)) for r, to in found])
        copies.append(copy)
    return add(annotations, *copies), tuple(a.uid for a in copies)

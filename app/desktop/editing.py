"""Commands on the selection: nudge, duplicate, copy and paste, group, link, order, lock, hide, cut and join, convert.

Each is one step of the record. What a shape or a set is afterwards is computed by `annotation` (edits, areas, convert,
marks); here it is asked for, committed, and a refusal is said in the hint line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QCursor, QMouseEvent
from PySide6.QtWidgets import QApplication

from annotation import areas, edits, geometry, marks, rows
from annotation.core import (
    Annotation,
    AnnotationSet,
    Box,
    Caption,
    Coords,
    Keypoints,
    Polygon,
    Polyline,
    Shape,
    Tag,
    new_uid,
)
from annotation.errors import LamproomError
from annotation.schema import Skeleton
from app import i18n
from app.desktop import document
from app.desktop.canvas import shapes
from app.desktop.canvas.tools.base import SNAP_PX
from app.desktop.canvas.tools.brush import BrushTool
from app.desktop.canvas.tools.lines import LinkTool, PolygonTool, SliceTool
from app.desktop.canvas.tools.select import Select
from app.desktop.canvas.tools.skeleton import SkeletonTool
from app.desktop.canvas.tools.whole import TagTool
from app.desktop.copies import Copies
from app.desktop.desk import Desk
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas

T = TypeVar("T")
FORMS = ("round", "square", "area")


class Editing:
    """See the module. `tell` says a line to the person, `tell("")` lets the hint come back."""

    def __init__(self, desk: Desk, canvas: Canvas) -> None:
        self.desk, self.canvas, self.doc = desk, canvas, desk.document
        self.tell: Callable[[str], object] = lambda _text: None
        self.ask_relation: Callable[[Callable[[str], object]], object] = lambda _done: None
        """Asks for the name of a relation."""
        self.copies: Copies = Copies(self)
        ways = canvas.ways
        ways.outside, ways.snap = bool(desk.values["outside"]), bool(desk.values["snap"])
        ways.brush, ways.brush_form = float(str(desk.values["brush_px"])), str(desk.values["brush_form"])
        self._tool("slice", SliceTool).cut = self._cut
        self._tool("link", LinkTool).linked = self._linked
        self._tool("polygon", PolygonTool).add_ring = self._add_ring
        self._tool("keypoints", SkeletonTool).template = self.skeleton
        self._tool("tag", TagTool).toggle = self.toggle_tag
        pool = desk.tasks.readers
        self._tool("brush", BrushTool).run = lambda work, done: pool.submit(work, done, desk.fault)

    def _tool(self, name: str, kind: type[T]) -> T:
        found = self.canvas.tools[name]
        assert isinstance(found, kind)
        return found

    # --- one step ------------------------------------------------------------------------------------------------

    def chosen(self) -> list[Annotation]:
        """The selected objects that may be changed: none that is locked."""
        return [a for a in self.doc.chosen() if a.uid not in self.doc.locked]

    def uids(self) -> list[str]:
        """Their uids, in the order they were chosen."""
        free = {a.uid for a in self.chosen()}
        return [uid for uid in self.doc.selection if uid in free]

    def apply(self, edit: Callable[[AnnotationSet], AnnotationSet], verb: str) -> bool:
        """Commit what `edit` makes of the page as one step; False, and the reason in the hint line, when it refuses."""
        if not self.doc.loaded:
            return False
        try:
            after = edit(self.doc.annotations)
        except LamproomError as fault:
            self.tell(i18n.tr_fault(fault))
            return False
        before = {a.uid: a for a in self.doc.annotations}
        there = {a.uid for a in after}
        gone = [uid for uid in before if uid not in there]
        changed, new = [], []
        for a in after:
            if a.uid not in before:
                new.append(a)
            elif before[a.uid] != a:
                changed.append(replace(a, origin="human", score=None))
        if not (gone or changed or new):
            return False

        def commit(old: AnnotationSet) -> AnnotationSet:
            # The edit itself is not run again on the writer: its new uids would be others there.
            return document.put(*new)(document.change(changed)(document.drop(gone)(old)))

        self.doc.commit(commit, verb)
        return True

    def reshape(self, change: Callable[[Shape], Shape], verb: str, uids: Iterable[str] | None = None) -> bool:
        """Change the shapes of the selected objects as one step."""
        wanted = list(self.uids() if uids is None else uids)
        return bool(wanted) and self.apply(lambda old: edits.reshape(old, wanted, change), verb)

    # --- choosing ------------------------------------------------------------------------------------------------

    def step_object(self, by: int) -> bool:
        """Take the next object in reading order in hand; False when there is none."""
        _w, h = self.canvas.picture_wh or (1, 1)
        line = max(1.0, h / 16)
        placed = []
        for a in self.doc.annotations:
            if self.doc.is_hidden(a):
                continue
            at = shapes.middle(a.shape) or (0.0, -line)
            placed.append((int(at[1] // line), at[0], a.uid))
        if not placed:
            return False
        order = [uid for _, _, uid in sorted(placed)]
        now = self.doc.selection[-1] if self.doc.selection else None
        at_ = (order.index(now) + by) % len(order) if now in order else (0 if by > 0 else -1)
        self.doc.select((order[at_],))
        found = self.doc.get(order[at_])
        if found is not None and (box := shapes.bounds(found.shape)) is not None:
            self.canvas.show_box(*box)
        return True

    def choose_group(self) -> None:
        """Everything grouped with the selected objects."""
        self.doc.select(sorted(edits.members(self.doc.annotations, self.doc.selection)))

    # --- moving --------------------------------------------------------------------------------------------------

    def nudge(self, dx: float, dy: float) -> bool:
        """Shift the selected objects, or the vertices in hand, by source pixels; False when nothing is selected."""
        chosen = [a for a in self.chosen() if shapes.editable(a.shape)]
        if not chosen:
            return bool(self.doc.selection)
        tool = self.canvas.tool
        taken = tool.vertices if isinstance(tool, Select) else frozenset()
        if taken and len(chosen) == 1:
            self.reshape(lambda shape: shapes.shifted(shape, taken, dx, dy), "reshape")
            return True
        dx, dy = self.canvas.limit_shift(chosen, dx, dy)
        self.apply(lambda old: edits.move(old, [a.uid for a in chosen], dx, dy), "move")
        return True

    def turn(self, degrees: float) -> None:
        """Turn the gesture in hand, else the selected objects that can be turned, each around its own middle."""
        if self.canvas.tool.turn(degrees):
            return
        chosen = self.chosen()
        boxes = [a for a in chosen if isinstance(a.shape, Box)]
        turned = [a.uid for a in chosen if not isinstance(a.shape, Box | Tag | Caption)]
        if boxes and not turned:
            self.tell(tr("A box cannot be turned: convert it to a rotated box first"))

        def edit(old: AnnotationSet) -> AnnotationSet:
            for uid in turned:
                old = edits.rotate(old, [uid], degrees)
            return old

        self.apply(edit, "turn")

    def insert_vertex(self) -> None:
        """A vertex on the edge of the selected polygon or line nearest to the mouse, else in its longest edge."""
        one = self.canvas.one_chosen()
        if one is None or one not in self.chosen() or not isinstance(one.shape, Polygon | Polyline):
            self.tell(tr("Choose one polygon or line first"))
            return
        mouse = self.canvas.mouse
        at = self.canvas.to_source(mouse.x(), mouse.y()) if mouse is not None else shapes.middle(one.shape)
        assert at is not None
        handle, _ = shapes.nearest_edge(one.shape, *at)
        x, y = shapes.foot(one.shape, *at)
        self.reshape(lambda shape: shapes.insert_vertex(shape, handle, x, y), "reshape")

    def step_pointer(self, dx: int, dy: int) -> None:
        """Move the pointer over the canvas by screen pixels: drawing without a mouse."""
        canvas = self.canvas
        now = canvas.mouse or QPointF(canvas.rect().center())
        at = QPointF(
            min(max(now.x() + dx, 0.0), canvas.width() - 1.0),
            min(max(now.y() + dy, 0.0), canvas.height() - 1.0),
        )
        where = canvas.mapToGlobal(at.toPoint())
        QCursor.setPos(where)
        none = Qt.MouseButton.NoButton
        move = QMouseEvent(
            QEvent.Type.MouseMove, at, QPointF(where), none, none, Qt.KeyboardModifier.NoModifier
        )
        QApplication.sendEvent(canvas, move)

    def click_pointer(self) -> None:
        """What a click at the pointer does with a drawing tool; with Select in hand a vertex is inserted there."""
        tool = self.canvas.tool
        if isinstance(tool, Select):
            self.insert_vertex()
        elif self.canvas.picture_wh is not None:
            mouse = self.canvas.mouse or QPointF(self.canvas.rect().center())
            x, y = self.canvas.to_source(mouse.x(), mouse.y())
            tool.press(x, y, add=False)
            tool.release(x, y)

    def snap_selected(self) -> None:
        """The vertices of the selected objects go to a neighbour's border where one is near."""
        reach = SNAP_PX / self.canvas.scale
        mine = set(self.uids())

        def pull(shape: Shape) -> Shape:
            return shapes.snapped_border(self.canvas.scene, shape, reach, without=mine)

        if not self.reshape(pull, "snap"):
            self.tell(tr("No neighbour's border is near enough"))

    # --- groups, links, order ------------------------------------------------------------------------------------

    def group(self) -> None:
        """The selected objects become one group."""
        self.apply(lambda old: edits.group(old, self.uids()), "group")

    def ungroup(self) -> None:
        """The groups of the selected objects are dissolved."""
        self.apply(lambda old: edits.ungroup(old, self.uids()), "ungroup")

    def _linked(self, uid: str, to: str) -> None:
        def named(relation: str) -> None:
            if self.apply(lambda old: edits.link(old, uid, to, relation.strip().replace(" ", "-")), "link"):
                found = [relation, *(r for r in self.relations() if r != relation)]
                self.desk.put_setting("relations", found[:8])
            self.canvas.set_tool("select")

        self.ask_relation(named)

    def relations(self) -> list[str]:
        """Names of relations used last, newest first."""
        found = self.desk.values.get("relations")
        return [str(r) for r in found] if isinstance(found, list) else []

    def unlink(self) -> None:
        """The links between the selected objects go; of a single one all that begin at it."""
        wanted = set(self.uids())

        def edit(old: AnnotationSet) -> AnnotationSet:
            def without(a: Annotation) -> Annotation:
                kept = [(r, to) for r, to in marks.links(a) if len(wanted) > 1 and to not in wanted]
                return marks.with_links(a, kept)

            return edits.change(old, wanted, without)

        self.apply(edit, "unlink")

    def order(self, place: edits.Place) -> None:
        """Draw the selected objects higher or lower: "raise", "lower", "top", "bottom"."""
        self.apply(lambda old: edits.reorder(old, self.uids(), place), "order")

    # --- lock and hide -------------------------------------------------------------------------------------------

    def lock(self) -> None:
        """Lock the selected objects; when all are locked, unlock them."""
        chosen = self.doc.selection
        self.doc.lock(chosen, not set(chosen) <= self.doc.locked)

    def unlock_all(self) -> None:
        """Nothing is locked any more."""
        self.doc.lock(self.doc.locked, False)

    def hide(self) -> None:
        """Hide the selected objects."""
        self.doc.hide(self.doc.selection)

    def hide_others(self) -> None:
        """Hide all but the selected objects; again shows them."""
        others = [a.uid for a in self.doc.annotations if a.uid not in self.doc.selection]
        self.doc.hide(others, not set(others) <= self.doc.hidden)

    def hide_class(self) -> None:
        """Hide the classes of the selected objects, else the class in hand; again shows them."""
        codes = {a.label for a in self.doc.chosen()} or ({self.canvas.label} if self.canvas.label else set())
        self.doc.hide_labels(codes, not codes <= self.doc.hidden_labels)

    # --- areas ---------------------------------------------------------------------------------------------------

    def union(self) -> None:
        """The selected areas become one; the first chosen keeps its class and attributes."""
        self.apply(lambda old: areas.union(old, self.uids()), "union")

    def intersect(self) -> None:
        """What all selected areas cover."""
        self.apply(lambda old: areas.intersect(old, self.uids()), "intersect")

    def subtract(self) -> None:
        """The other selected areas are taken from the first chosen."""
        first, *others = self.uids() or [""]
        if not others:
            self.tell(tr("Choose the object to keep, then with Shift what is taken from it"))
            return
        self.apply(lambda old: areas.subtract(old, first, others), "subtract")

    def join(self) -> None:
        """The selected objects become one object of several parts; lines are tied end to end."""
        self.apply(lambda old: areas.join(old, self.uids()), "join")

    def split(self) -> None:
        """The parts of the selected object become objects."""
        new: list[str] = []

        def edit(old: AnnotationSet) -> AnnotationSet:
            for uid in self.uids():
                old, made = areas.split(old, uid)
                new.extend(made)
            return old

        before = self.uids()
        if self.apply(edit, "split"):
            self.doc.select([*before, *new])

    def fill_holes(self) -> None:
        """Fill the holes of the selected areas."""
        if not self.apply(lambda old: areas.fill_holes(old, self.uids()), "fill holes"):
            self.tell(tr("There is no hole in what is selected"))

    def simplify(self) -> None:
        """The selected outlines with fewer points, nowhere off by more than a screen pixel."""
        before = sum(areas.points_of(a.shape) for a in self.chosen())
        tolerance = 1.0 / self.canvas.scale
        if self.apply(lambda old: areas.simplify(old, self.uids(), tolerance)[0], "simplify"):
            after = sum(areas.points_of(a.shape) for a in self.chosen())
            self.tell(tr("{a} points became {b}", a=before, b=after))

    def fit_box(self) -> None:
        """A box for every selected area becomes tight: boxes around the mask or polygon that overlaps them most; other
        areas get a new box of the class in hand."""
        chosen = self.chosen()
        boxes = [a for a in chosen if isinstance(a.shape, Box)]
        outlined = [a for a in chosen if not isinstance(a.shape, Box) and geometry.bbox(a.shape)]
        if len(boxes) == 1 and outlined:
            around = [b for a in outlined if (b := geometry.bbox(a.shape))]
            tight = Box(
                min(b.x0 for b in around),
                min(b.y0 for b in around),
                max(b.x1 for b in around),
                max(b.y1 for b in around),
            )
            self.reshape(lambda _shape: tight, "fit box", [boxes[0].uid])
            return
        if not outlined:
            self.tell(tr("Choose a mask or polygon, with or without the box that shall fit it"))
            return
        new = [
            replace(a, uid=new_uid(), shape=box, origin="human", score=None)
            for a in outlined
            if (box := geometry.bbox(a.shape)) and self.canvas.allowed(a.label, "box")
        ]
        if not new:
            self.canvas.refused.emit("box")
        elif self.apply(lambda old: edits.add(old, *new), "fit box"):
            self.doc.select([a.uid for a in new])

    def _cut(self, line: list[tuple[float, float]]) -> None:
        flat = tuple(v for point in line for v in point)
        wanted = self.uids() or [
            a.uid for a in self.doc.annotations if not self.doc.out_of_reach(a) and geometry.area(a.shape) > 0
        ]
        new: list[str] = []

        def edit(old: AnnotationSet) -> AnnotationSet:
            after, made = areas.cut(old, wanted, flat)
            new.extend(made)
            return after

        if self.apply(edit, "slice"):
            self.canvas.set_tool("select")
            self.doc.select([*(u for u in wanted if u in self.doc.selection), *new])

    def _add_ring(self, into: str, uid: str, ring: Coords) -> None:
        how = areas.add_hole if into == "hole" else areas.add_part
        self.apply(lambda old: how(old, uid, ring), f"add {into}")

    # --- whole picture -------------------------------------------------------------------------------------------

    def toggle_tag(self, code: str) -> None:
        """Put a tag of a class on the picture, or take it away."""
        there = [a.uid for a in self.doc.annotations if isinstance(a.shape, Tag) and a.label == code]
        if there:
            self.apply(lambda old: edits.remove(old, there), "untag")
        elif not self.canvas.allowed(code, "tag"):
            self.canvas.refused.emit("tag")
        else:
            made = Annotation(code, Tag(), dict(self.canvas.defaults(code)))
            self.apply(lambda old: edits.add(old, made), "tag")

    def caption_in_hand(self) -> Annotation | None:
        """The selected caption, else the picture's first."""
        found = [a for a in self.doc.chosen() if isinstance(a.shape, Caption)]
        found += [a for a in self.doc.annotations if isinstance(a.shape, Caption)]
        return found[0] if found else None

    def caption_class(self) -> str | None:
        """The class a new caption gets: the one in hand, else the first that may be one."""
        codes = [self.canvas.label or "", *(label.code for label in self.desk.labels())]
        return next((c for c in codes if c and self.canvas.allowed(c, "caption")), None)

    def write_caption(self, text: str) -> None:
        """Set the picture's caption; an empty text takes it away."""
        old_one, text = self.caption_in_hand(), " ".join(text.split())
        if old_one is not None:
            if text:
                self.reshape(lambda _shape: Caption(text), "caption", [old_one.uid])
            else:
                self.apply(lambda old: edits.remove(old, [old_one.uid]), "caption")
        elif text and (code := self.caption_class()) is not None:
            made = Annotation(code, rows.snapped(Caption(text)), dict(self.canvas.defaults(code)))
            self.apply(lambda old: edits.add(old, made), "caption")

    # --- skeletons -----------------------------------------------------------------------------------------------

    def skeleton(self, code: str) -> Skeleton | None:
        """The skeleton of a class."""
        one = self.desk.schema.label(code) if self.desk.schema else None
        return one.skeleton if one is not None else None

    def toggle_seen(self) -> None:
        """The keypoint under the mouse, or those in hand: seen becomes hidden, hidden becomes seen."""
        one = self.canvas.one_chosen()
        select = self._tool("select", Select)
        if one is None or not isinstance(one.shape, Keypoints) or one not in self.chosen():
            self.tell(tr("Choose one skeleton and point at one of its points"))
            return
        select.toggle_seen(one, {at for _, at in self.canvas.vertices()})

    # --- ways ----------------------------------------------------------------------------------------------------

    def toggle_outside(self) -> None:
        """Points may lie outside the picture, or not."""
        ways = self.canvas.ways
        ways.outside = not ways.outside
        self.desk.put_setting("outside", ways.outside)
        self.tell(
            tr("Points may lie outside the picture") if ways.outside else tr("Points stay inside the picture")
        )

    def toggle_snap(self) -> None:
        """Points go to a neighbour's border, or not."""
        ways = self.canvas.ways
        ways.snap = not ways.snap
        self.desk.put_setting("snap", ways.snap)
        self.tell(
            tr("Points go to the border of a neighbour")
            if ways.snap
            else tr("Points stay where they are put")
        )

    def size(self, step: float) -> bool:
        """The brush, larger or smaller; False when what is in hand has no size."""
        if not self.canvas.tool.wheel(step):
            return False
        self.desk.put_setting("brush_px", round(self.canvas.ways.brush, 1))
        return True

    def next_form(self) -> None:
        """Round, square, area."""
        ways = self.canvas.ways
        ways.brush_form = FORMS[(FORMS.index(ways.brush_form) + 1) % len(FORMS)]
        self.desk.put_setting("brush_form", ways.brush_form)
        self.canvas.set_tool("brush")
        self.canvas.tool.stepped()

    def erase(self) -> None:
        """Brush to eraser and back."""
        brush = self._tool("brush", BrushTool)
        if self.canvas.tool is brush:
            brush.swap()
        else:
            self.canvas.ways.erase = True
            self.canvas.set_tool("brush")

    def draw_into(self, into: str) -> None:
        """The polygon tool with the next outline as a hole or part of the selected area."""
        self.canvas.set_tool("polygon")
        self._tool("polygon", PolygonTool).set_into(into)

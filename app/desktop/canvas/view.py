"""The canvas: picture from a mip level, overlay of the settled objects, and what lives under the mouse.

A plain opaque widget. QGraphicsView was refused: with 5,000 objects a pan costs it 100 ms, this 5 (measured for the
design). Paint code must not be able to raise, because an exception in a paint event ends the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QEvent, QPointF, QRect, Qt, QTimer, Signal
from PySide6.QtGui import (
    QCursor,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QNativeGestureEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from annotation import rows
from annotation.core import KIND_OF, NO_ATTRIBUTES, Annotation, Attributes, Box, Mask, Shape
from app.desktop import document
from app.desktop.canvas import camera as cameras
from app.desktop.canvas import chips, live, painting, shapes, tools
from app.desktop.canvas import scene as scenes
from app.desktop.canvas.camera import Camera
from app.desktop.canvas.ground import DENSE_FROM, Ground
from app.desktop.canvas.layer import Broken, Layer
from app.desktop.canvas.overlay import Style, Worker
from app.desktop.canvas.pictures import Mips
from app.desktop.canvas.scene import Scene
from app.desktop.canvas.settled import Settled, Stand
from app.desktop.document import Document
from app.desktop.painted import painted
from app.desktop.tasks import Courier

_LEFT, _MIDDLE, _RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton, Qt.MouseButton.RightButton
_SHIFT, _CTRL, _ALT = (
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.AltModifier,
)


_STILL_MS = 120
"""A view that has not moved so long rests."""


class Canvas(QWidget):
    """Shows a document on its picture and turns mouse and keys into commits.

    For tools and controllers: `document`, `scene`, `camera`, `layers` (painters over the overlay and under the tool),
    `tools` by name, `modifiers` of the last mouse event, `mouse` in widget pixels, `image_source`.
    """

    pointer = Signal(float, float)
    """Mouse position in source pixels; NaN when it left."""
    zoomed = Signal(float)
    tool_changed = Signal(str)
    refused = Signal(str)
    """The kind of a shape that the class in hand is not drawn as."""
    made = Signal(str)
    """Uid of an object that was just drawn."""

    stepped = Signal()
    """The tool in hand went a step on: the hint may say something else."""
    menu_asked = Signal(QPointF)
    """The right button was pressed and no tool had a use for it."""

    def __init__(self, doc: Document, courier: Courier) -> None:
        super().__init__()
        self.document = doc
        self.camera = Camera()
        self.hint = self.note = ""
        self.label: str | None = None
        self.allowed: Callable[[str, str], bool] = lambda _label, _kind: True
        """(label, kind) -> may it be drawn."""
        self.defaults: Callable[[str], Attributes] = lambda _label: NO_ATTRIBUTES
        """The attributes a new object of a class starts with."""
        self.image_source: Callable[[], Any] = lambda: None
        """The pixels of the open picture, BGR uint8 (h, w, 3), or None while there are none."""
        self.layers: list[Callable[[QPainter], None]] = []
        """Painted over the settled objects and under the tool, in screen pixels; one that raises is taken out."""
        self.instruments: list[Callable[[QPainter], None]] = []
        """Painted over everything, once for all panes: map, loupe, rulers."""
        self.layer = Layer(self.renew)
        """The picture layer: look, comparison, what is said of a broken picture."""
        self.crosshair = False
        """Lines through the mouse whatever the tool."""
        self.keep_view = False
        """The next picture of the same size is shown where this one stands."""
        self.mips: Mips | None = None
        self.thumb: QImage | None = None
        self.live: dict[str, Annotation] = {}
        self.hovered: str | None = None
        self.hot_handle: shapes.Handle | None = None
        self.mouse: QPointF | None = None
        self.modifiers = Qt.KeyboardModifier.NoModifier
        self._wh: tuple[int, int] | None = None
        self._grip: QPointF | None = None
        self._space = False
        self.motion: str | None = None
        """"push" or "zoom" while the view moves."""
        self.ground = Ground()
        self._still = QTimer(self, singleShot=True, interval=_STILL_MS)
        self._still.timeout.connect(self._rested)
        self.settled = Settled(courier, self._stand, self.renew)
        self.ways = tools.Ways()
        """How the tools draw: outside, snapping, brush."""
        self.tools = {name: make(self) for name, make in tools.TOOLS.items()}
        self.tool: tools.Tool = self.tools["select"]
        self.setMouseTracking(True)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(320, 240)
        doc.leaving.connect(lambda: self.tool.finish())
        doc.opened.connect(self._opened)
        doc.changed.connect(self._changed)
        doc.selected.connect(self._selected)
        doc.veiled.connect(self._veiled)

    # --- what is shown -------------------------------------------------------------------------------------------

    @property
    def scene(self) -> Scene:
        """The objects of the picture, as arrays."""
        return self.settled.scene

    @property
    def worker(self) -> Worker:
        """The thread that draws the settled objects."""
        return self.settled.worker

    @property
    def panning(self) -> bool:
        """The picture is being pushed by the mouse."""
        return self._grip is not None

    def set_style(self, style: Style) -> None:
        """Other colours or names."""
        self.settled.style = style
        self.settled.ask()
        self.update()

    def set_note(self, text: str) -> None:
        """What stands in the middle while there is no picture."""
        self.note = text
        self.renew()

    def set_placeholder(self, thumb: QImage | None, wh: tuple[int, int] | None) -> None:
        """A thumbnail to show until the picture is decoded, and the picture's size if it is known."""
        self.thumb, self.mips, self.layer.broken = thumb, None, None
        self._sized(wh or self._wh)
        self.renew()

    def set_picture(self, picture: Mips | None) -> None:
        """The decoded picture."""
        self.mips, self.layer.broken = picture, None
        if picture is not None:
            self.thumb, self.note = None, ""
            self._sized(picture.wh)
        self.renew()

    def set_broken(self, broken: Broken) -> None:
        """Say why the picture cannot be shown."""
        self.thumb = self.mips = None
        self.layer.broken = broken
        self.renew()

    def _sized(self, wh: tuple[int, int] | None) -> None:
        """A picture of this size is shown; the view stays when it is kept and still makes sense."""
        same, self._wh = wh == self._wh, wh
        if not (same and (self.keep_view or self._opened_at == self.document.asset_id)) or self.camera.fitted:
            self.fit()
        self._opened_at = self.document.asset_id

    _opened_at: int | None = None
    """The picture whose view this is."""

    @property
    def picture_wh(self) -> tuple[int, int] | None:
        """Size of the picture in source pixels; None while nothing is shown."""
        return self._wh if self.mips or self.thumb else None

    def set_tool(self, name: str) -> None:
        """Take another tool in hand."""
        if name == self.tool.name:
            return
        self.tool.cancel()
        self.tool = self.tools[name]
        self.tool.taken()
        self.set_cursor()
        self.tool_changed.emit(name)
        self.update()

    # --- view ----------------------------------------------------------------------------------------------------

    @property
    def scale(self) -> float:
        """Widget pixels a source pixel."""
        return self.camera.scale

    def to_screen(self, x: float, y: float) -> tuple[float, float]:
        """Source pixels to widget pixels."""
        return self.camera.to_screen(x, y)

    def to_source(self, x: float, y: float) -> tuple[float, float]:
        """Widget pixels to source pixels."""
        return self.camera.to_source(x, y)

    def inside(self, x: float, y: float) -> tuple[float, float]:
        """The nearest point of the picture."""
        w, h = self._wh or (0, 0)
        return min(max(x, 0.0), float(w)), min(max(y, 0.0), float(h))

    def fit(self) -> None:
        """The whole picture in view."""
        if self._wh and self.width() and self.height():
            self.look_from(cameras.fit(self._wh, self._view))

    def zoom(self, factor: float, at: QPointF | None = None) -> None:
        """Zoom, keeping the point under `at` (default: the middle) where it is."""
        if self._wh:
            at = at or QPointF(self._view[0] / 2, self._view[1] / 2)
            self.look_from(cameras.zoom(self.camera, factor, (at.x(), at.y()), self._wh, self._view))

    def pan(self, dx: float, dy: float) -> None:
        """Move the picture by widget pixels."""
        if self._wh:
            self.look_from(cameras.pan(self.camera, dx, dy, self._wh, self._view))

    def show_box(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Bring a rectangle of the picture into view, if it is not."""
        self.look_from(cameras.into_view(self.camera, (x0, y0, x1, y1), self._view))

    def zoom_to(self, uids: Iterable[str]) -> None:
        """These objects in the middle, filling half of the view."""
        found = [b for uid in uids if (a := self.document.get(uid)) and (b := shapes.bounds(a.shape))]
        if found:
            x0, y0 = min(b[0] for b in found), min(b[1] for b in found)
            x1, y1 = max(b[2] for b in found), max(b[3] for b in found)
            self.look_from(cameras.onto((x0, y0, x1, y1), self._view))

    def look_from(self, camera: Camera) -> None:
        """See the picture so."""
        if camera == self.camera:
            return
        if self.devicePixelRatioF() >= DENSE_FROM:
            self.motion = "push" if camera.scale == self.camera.scale else "zoom"
            self._still.start()
        self.camera = camera
        self.zoomed.emit(camera.scale)
        self.settled.follow()
        self.update()

    def renew(self) -> None:
        """Picture or settled objects look different now."""
        self.ground.drop()
        self.update()

    def _rested(self) -> None:
        """The view moves no more: sharp again."""
        self.motion = None
        self.ground.rest()
        self.settled.follow()
        self.update()

    @property
    def _view(self) -> tuple[int, int]:
        return self.layer.pane_width(self.width()), self.height()

    def update(self, *area: Any) -> None:
        """Paint soon; with two panes both change, wherever the area lies."""
        if self.layer.split:
            super().update()
        else:
            super().update(*area)

    def _place(self, event: QMouseEvent | QWheelEvent) -> QPointF:
        return self.layer.fold(event.position(), self.width())

    def _stand(self) -> Stand:
        doc = self.document
        return Stand(
            self.camera,
            self._view,
            1.0 if self.motion == "zoom" else self.devicePixelRatioF(),
            frozenset(doc.selection),
            doc.hidden.union(self.live),
            doc.hidden_labels,
        )

    # --- gestures ------------------------------------------------------------------------------------------------

    @property
    def has_live(self) -> bool:
        """Something is being moved or reshaped."""
        return bool(self.live)

    def object_at(self, x: float, y: float) -> str | None:
        """Uid of the object at a point of the picture that can be taken in hand: neither hidden nor locked."""
        doc = self.document
        return scenes.hit(self.scene, x, y, 4.0 / self.scale, prefer=doc.selection, taboo=doc.out_of_reach)

    def objects_in(self, x0: float, y0: float, x1: float, y1: float) -> list[str]:
        """Uids of the objects in reach whose bounding box lies in a rectangle of the picture."""
        return [
            uid
            for uid in scenes.inside(self.scene, x0, y0, x1, y1)
            if not self.document.out_of_reach(self.scene.annotations[self.scene.places[uid]])
        ]

    def one_chosen(self) -> Annotation | None:
        """The selected object when it is the only one."""
        doc = self.document
        return doc.get(doc.selection[0]) if len(doc.selection) == 1 else None

    def handle_at(self, x: float, y: float) -> tuple[Annotation, shapes.Handle] | None:
        """The handle of the one selected object under a point."""
        one = self.one_chosen()
        if one is None or self.document.out_of_reach(one):
            return None
        reach = tools.REACH_PX / self.scale
        best: tuple[float, shapes.Handle] | None = None
        for handle, hx, hy in self.handles(one.shape):
            far = max(abs(hx - x), abs(hy - y))
            if far <= reach and (best is None or far < best[0]):
                best = far, handle
        return (one, best[1]) if best else None

    def handles(self, shape: Shape) -> list[tuple[shapes.Handle, float, float]]:
        """Handles that can be told apart at this zoom: the middles of short sides are left out."""
        found = shapes.handles(shape, self.scale)
        box = shapes.bounds(shape)
        if not isinstance(shape, Box) or box is None:
            return found
        narrow, low = (box[2] - box[0]) * self.scale < 28, (box[3] - box[1]) * self.scale < 28
        return [h for h in found if not ((h[0][0] == 1 and narrow) or (h[0][1] == 1 and low))]

    def limit_shift(self, moving: Sequence[Annotation], dx: float, dy: float) -> tuple[float, float]:
        """A shift that keeps what lies inside the picture inside it, unless objects may lie outside."""
        if self.ways.outside:
            return dx, dy
        w, h = self._wh or (0, 0)
        found = [b for a in moving if (b := shapes.bounds(a.shape))]
        x0, y0 = min(b[0] for b in found), min(b[1] for b in found)
        x1, y1 = max(b[2] for b in found), max(b[3] for b in found)
        dx = min(max(dx, min(0.0, -x0)), max(0.0, w - x1))
        dy = min(max(dy, min(0.0, -y0)), max(0.0, h - y1))
        return dx, dy

    def show_live(self, annotations: Sequence[Annotation]) -> None:
        """Show changed annotations under the mouse instead of the settled ones."""
        new = {a.uid: a for a in annotations}
        fresh = set(new) - set(self.live)
        dirty = self.rect_of(self.live.values())
        self.live = new
        if fresh:
            self.settled.redraw(fresh)
            dirty = dirty.united(self.rect())
        self.update(dirty.united(self.rect_of(self.live.values())))

    def commit_live(self, verb: str) -> None:
        """Make what is under the mouse the gesture's result."""
        changed = [a for a in self.live.values() if self.scene.get(a.uid) != a]
        if not changed:
            self.drop_live()
            return
        self.live = {}
        self.document.commit(document.change([replace(a, origin="human", score=None) for a in changed]), verb)

    def drop_live(self) -> None:
        """Put back what was under the mouse."""
        if not self.live:
            return
        uids = set(self.live)
        self.live = {}
        self.settled.redraw(uids)
        self.settled.ask()
        self.update()

    def make(
        self, shape: Shape, *, verb: str | None = None, attributes: Attributes | None = None
    ) -> Annotation | None:
        """A new object of the class in hand, selected; None when the class is not drawn so (`refused` is told)."""
        kind = KIND_OF[type(shape)]
        if self.label is None or not self.allowed(self.label, kind):
            self.refused.emit(kind)
            return None
        start = {**self.defaults(self.label), **(attributes or {})}
        # What is shown is what the record will hold; a mask is whole numbers already.
        made = Annotation(self.label, shape if isinstance(shape, Mask) else rows.snapped(shape), start)
        self.document.commit(document.put(made), verb or f"draw {kind}")
        self.document.select((made.uid,))
        self.made.emit(made.uid)
        return made

    def delete(self) -> None:
        """Delete the vertices in hand or under the mouse, else the selected objects (predictions are rejected)."""
        one = self.one_chosen()
        if one is not None and (taken := self.vertices()):
            shape = shapes.delete_vertices(one.shape, taken)
            if shape is not None:
                self.hot_handle = None
                changed = replace(one, shape=shape, origin="human", score=None)
                self.document.commit(document.change([changed]), "reshape")
                return
        chosen = [a for a in self.document.chosen() if a.uid not in self.document.locked]
        models = [a.uid for a in chosen if a.origin == "model"]
        if models:
            self.document.reject(models)
        self.document.commit(document.drop([a.uid for a in chosen if a.origin != "model"]), "delete")

    def vertices(self) -> frozenset[shapes.Handle]:
        """The vertices in hand of the one selected object, else the one under the mouse."""
        taken = self.tool.vertices if isinstance(self.tool, tools.Select) else frozenset()
        return taken or (frozenset() if self.hot_handle is None else frozenset({self.hot_handle}))

    def label_colour(self) -> str:
        """Colour of the class in hand."""
        return self.settled.style.colour(self.label or "")

    def paint_shape(
        self, p: QPainter, shape: Shape, colour: str, *, fill: bool = True, dashed: bool = False
    ) -> None:
        """A shape in hand or under the mouse."""
        painting.outline(self, p, shape, colour, fill=fill, dashed=dashed)

    def paint_line(self, p: QPainter, points: Sequence[tuple[float, float]]) -> None:
        """A helping line in hand: thin and dashed, through points of the picture."""
        live.guide(p, [QPointF(*self.to_screen(x, y)) for x, y in points])

    def rect_of(self, annotations: Iterable[Annotation]) -> QRect:
        """The part of the view these annotations, their casing and handles stand on."""
        area = QRect()
        for a in annotations:
            if (b := shapes.bounds(a.shape)) is not None:
                x0, y0 = self.to_screen(b[0], b[1])
                x1, y1 = self.to_screen(b[2], b[3])
                area = area.united(QRect(int(x0) - 12, int(y0) - 12, int(x1 - x0) + 25, int(y1 - y0) + 25))
        return area

    # --- document ------------------------------------------------------------------------------------------------

    def _opened(self) -> None:
        self.tool.cancel()
        self.live, self.hovered = {}, None
        self.settled.clear()
        self.renew()

    def _changed(self) -> None:
        if any(self.document.get(uid) is None for uid in self.live):
            self.tool.cancel()
        self.settled.settle(self.document.annotations)
        self.tool.settled()
        if self.hovered is not None and self.hovered not in self.scene.places:
            self.hovered = None
        self.update()

    def _selected(self) -> None:
        self.hot_handle = None
        self.tool.settled()
        self.settled.ask()
        self.update()

    def _veiled(self) -> None:
        found = self.scene.get(self.hovered) if self.hovered else None
        if found is not None and self.document.out_of_reach(found):
            self.hovered = None
        self.settled.ask()
        self.update()

    # --- events --------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            self._paint(p, event.rect())

    def _paint(self, p: QPainter, dirty: QRect) -> None:
        painting.paint(self, p, dirty)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        at, self.modifiers = self._place(event), event.modifiers()
        x, y = self.to_source(at.x(), at.y())
        if event.button() == _MIDDLE or (self._space and event.button() == _LEFT):
            self._grip = at
            self.set_cursor()
        elif event.button() == _LEFT and self.picture_wh:
            if not self.tool.busy and (chip := chips.at(self, event.position())) is not None:
                self.document.select((chip,))
            else:
                self.tool.press(x, y, add=bool(self.modifiers & _SHIFT))
        elif event.button() == _RIGHT and self.picture_wh:
            if not self.tool.right(x, y):
                self.menu_asked.emit(at)
        else:
            event.ignore()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        at, self.modifiers = self._place(event), event.modifiers()
        self.mouse = at
        if self._grip is not None:
            # Whole device pixels: what stands there is then shifted instead of drawn again.
            ratio = self.devicePixelRatioF()
            dx = round((at.x() - self._grip.x()) * ratio) / ratio
            dy = round((at.y() - self._grip.y()) * ratio) / ratio
            self._grip += QPointF(dx, dy)
            self.pan(dx, dy)
            return
        if not self.picture_wh:
            return
        x, y = self.to_source(at.x(), at.y())
        self.pointer.emit(x, y)
        self.tool.move(x, y, square=bool(self.modifiers & _SHIFT))
        if not event.buttons():
            self._hover(x, y)
        if self.tool.crosshair or self.crosshair:
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self.modifiers = event.modifiers()
        if self._grip is not None and event.button() in (_MIDDLE, _LEFT):
            self._grip = None
            self.set_cursor()
        elif event.button() == _LEFT and self.picture_wh:
            at = self._place(event)
            self.tool.release(*self.to_source(at.x(), at.y()))

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.modifiers = event.modifiers()
        if event.button() == _LEFT and self.picture_wh:
            at = self._place(event)
            self.tool.double(*self.to_source(at.x(), at.y()))

    def wheelEvent(self, event: QWheelEvent) -> None:
        """The wheel zooms at the cursor, two fingers on a touchpad pan; with Ctrl or Alt the tool is asked first."""
        event.accept()
        self.modifiers = event.modifiers()
        angle = event.angleDelta()
        turn = angle.y() or angle.x()  # Alt turns the wheel sideways on some platforms
        if self.modifiers & (_CTRL | _ALT) and turn and self.tool.wheel(turn / 120):
            return
        fine = event.pixelDelta()
        # Only touchpads tell phases; a plain wheel's pixel figures cannot be relied on under X11.
        if not fine.isNull() and event.phase() != Qt.ScrollPhase.NoScrollPhase and not self.modifiers & _CTRL:
            self.pan(fine.x(), fine.y())
        elif turn:
            self.zoom(1.2 ** (turn / 120), self._place(event))

    def event(self, event: QEvent) -> bool:
        """Two fingers drawn apart zoom, where the platform tells."""
        if (
            isinstance(event, QNativeGestureEvent)
            and event.gestureType() == Qt.NativeGestureType.ZoomNativeGesture
        ):
            self.zoom(1.0 + event.value(), event.position())
            return True
        return super().event(event)

    def leaveEvent(self, event: QEvent) -> None:
        self.mouse, self.hovered = None, None
        self.pointer.emit(float("nan"), float("nan"))
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        if key == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._space = True
            self.set_cursor()
        elif not (key == Qt.Key.Key_Backspace and self.tool.back()):
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._space = False
            self.set_cursor()
        else:
            super().keyReleaseEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        if self.camera.fitted:
            self.fit()
        else:
            QTimer.singleShot(0, self, self.settled.ask)

    def focusOutEvent(self, event) -> None:
        self._space = False
        self.set_cursor()
        super().focusOutEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.PaletteChange:
            self.renew()
        super().changeEvent(event)

    def _hover(self, x: float, y: float) -> None:
        found = self.handle_at(x, y)
        handle = found[1] if found else None
        quiet = handle is not None or self.tool.busy or not self.tool.hover
        uid = None if quiet else self.object_at(x, y)
        if handle != self.hot_handle:
            self.hot_handle = handle
            self.set_cursor()
            self.update(self.rect_of(self.document.chosen()))
        if uid != self.hovered:
            old, self.hovered = self.hovered, uid
            shown = [a for u in (old, uid) if u and (a := self.scene.get(u))]
            self.update(self.rect_of(shown))

    def set_cursor(self) -> None:
        """The cursor of what the next press would do."""
        if self._grip is not None:
            shape = Qt.CursorShape.ClosedHandCursor
        elif self._space:
            shape = Qt.CursorShape.OpenHandCursor
        elif self.hot_handle is not None:
            shape = Qt.CursorShape.SizeAllCursor
        else:
            shape = self.tool.cursor
        self.setCursor(QCursor(shape))

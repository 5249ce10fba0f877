"""The canvas: picture from a mip level, overlay of the settled objects, and what lives under the mouse.

A plain opaque widget. QGraphicsView was refused: with 5,000 objects a pan costs it 100 ms, this 5 (measured for the
design). Paint code must not be able to raise, because an exception in a paint event ends the process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QCursor,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPolygonF,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from annotation.core import NO_ATTRIBUTES, Annotation, AnnotationSet, Attributes, Box, Polygon, Shape
from app.desktop import document, theme
from app.desktop.canvas import live, shapes, tools
from app.desktop.canvas import overlay as overlays
from app.desktop.canvas import scene as scenes
from app.desktop.canvas.overlay import MARGIN, Overlay, Request, Style, Worker
from app.desktop.canvas.pictures import Mips
from app.desktop.document import Document
from app.desktop.tasks import Courier

log = logging.getLogger(__name__)

LARGEST = 64.0
_FIT_PX = 24
_PATCH_AT_MOST = 20


class Canvas(QWidget):
    """Shows a document on its picture and turns mouse and keys into commits."""

    pointer = Signal(float, float)
    """Mouse position in source pixels; NaN when it left."""
    zoomed = Signal(float)
    tool_changed = Signal(str)
    refused = Signal(str)
    """Why a shape could not be made, a finished sentence."""

    def __init__(self, doc: Document, courier: Courier) -> None:
        super().__init__()
        self.document = doc
        self.scene = scenes.EMPTY
        self.scale, self._ox, self._oy = 1.0, 0.0, 0.0
        self.hint = ""
        self.label: str | None = None
        self.allowed: Callable[[str, str], bool] = lambda _label, _kind: True
        """(label, kind) -> may it be drawn."""
        self.defaults: Callable[[str], Attributes] = lambda _label: NO_ATTRIBUTES
        """The attributes a new object of a class starts with."""
        self._style = Style()
        self._mips: Mips | None = None
        self._thumb: QImage | None = None
        self._wh: tuple[int, int] | None = None
        self._note = ""
        self._overlay: Overlay | None = None
        self._live: dict[str, Annotation] = {}
        self._hover: str | None = None
        self._hot_handle: shapes.Handle | None = None
        self._mouse: QPointF | None = None
        self._panning: QPointF | None = None
        self._space = False
        self._fitted = True
        self._tools = {name: make(self) for name, make in tools.TOOLS.items()}
        self.tool = self._tools["select"]
        self.worker = Worker(courier, self._drawn)
        self.setMouseTracking(True)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(320, 240)
        doc.opened.connect(self._opened)
        doc.changed.connect(self._changed)
        doc.selected.connect(self._selected)

    # --- what is shown -------------------------------------------------------------------------------------------

    def set_style(self, style: Style) -> None:
        """Other colours or names."""
        self._style = style
        self._ask()
        self.update()

    def set_note(self, text: str) -> None:
        """What stands in the middle while there is no picture."""
        self._note = text
        self.update()

    def set_placeholder(self, thumb: QImage | None, wh: tuple[int, int] | None) -> None:
        """A thumbnail to show until the picture is decoded, and the picture's size if it is known."""
        self._thumb, self._mips = thumb, None
        if wh and wh != self._wh:
            self._wh = wh
        if self._wh:
            self.fit()
        self.update()

    def set_picture(self, picture: Mips | None) -> None:
        """The decoded picture."""
        fresh = picture is not None and picture.wh != self._wh
        self._mips = picture
        if picture is not None:
            self._wh, self._thumb, self._note = picture.wh, None, ""
        if fresh or self._fitted:
            self.fit()
        self.update()

    @property
    def picture_wh(self) -> tuple[int, int] | None:
        """Size of the picture in source pixels."""
        return self._wh if self._mips or self._thumb else None

    def set_tool(self, name: str) -> None:
        """Take another tool in hand."""
        if name == self.tool.name:
            return
        self.tool.cancel()
        self.tool = self._tools[name]
        self._set_cursor()
        self.tool_changed.emit(name)
        self.update()

    # --- view ----------------------------------------------------------------------------------------------------

    def to_screen(self, x: float, y: float) -> tuple[float, float]:
        """Source pixels to widget pixels."""
        return x * self.scale + self._ox, y * self.scale + self._oy

    def to_source(self, x: float, y: float) -> tuple[float, float]:
        """Widget pixels to source pixels."""
        return (x - self._ox) / self.scale, (y - self._oy) / self.scale

    def inside(self, x: float, y: float) -> tuple[float, float]:
        """The nearest point of the picture."""
        w, h = self._wh or (0, 0)
        return min(max(x, 0.0), float(w)), min(max(y, 0.0), float(h))

    def fit(self) -> None:
        """The whole picture in view."""
        if not self._wh or not self.width() or not self.height():
            return
        w, h = self._wh
        room = (max(1, self.width() - 2 * _FIT_PX), max(1, self.height() - 2 * _FIT_PX))
        self.scale = min(room[0] / w, room[1] / h, LARGEST)
        self._ox, self._oy = (self.width() - w * self.scale) / 2, (self.height() - h * self.scale) / 2
        self._fitted = True
        self._viewed()

    def zoom(self, factor: float, at: QPointF | None = None) -> None:
        """Zoom, keeping the point under `at` (default: the middle) where it is."""
        if not self._wh:
            return
        at = at or QPointF(self.width() / 2, self.height() / 2)
        x, y = self.to_source(at.x(), at.y())
        least = min(self.width() / self._wh[0], self.height() / self._wh[1], 1.0) / 4
        self.scale = min(max(self.scale * factor, least), LARGEST)
        self._ox, self._oy = at.x() - x * self.scale, at.y() - y * self.scale
        self._fitted = False
        self._viewed()

    def pan(self, dx: float, dy: float) -> None:
        """Move the picture by widget pixels; a strip of it always stays in view."""
        if not self._wh:
            return
        w, h = self._wh[0] * self.scale, self._wh[1] * self.scale
        keep = 48.0
        self._ox = min(max(self._ox + dx, keep - w), self.width() - keep)
        self._oy = min(max(self._oy + dy, keep - h), self.height() - keep)
        self._fitted = False
        self._viewed()

    def show_box(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Bring a rectangle of the picture into view, if it is not."""
        a, b = self.to_screen(x0, y0)
        c, d = self.to_screen(x1, y1)
        if a >= 0 and b >= 0 and c <= self.width() and d <= self.height():
            return
        self._ox += self.width() / 2 - (a + c) / 2
        self._oy += self.height() / 2 - (b + d) / 2
        self._fitted = False
        self._viewed()

    def _viewed(self) -> None:
        self.zoomed.emit(self.scale)
        if self._stale():
            self._ask()
        self.update()

    # --- gestures ------------------------------------------------------------------------------------------------

    @property
    def has_live(self) -> bool:
        """Something is being moved or reshaped."""
        return bool(self._live)

    def object_at(self, x: float, y: float) -> str | None:
        """Uid of the object at a point of the picture."""
        return scenes.hit(self.scene, x, y, 4.0 / self.scale, prefer=self.document.selection)

    def handle_at(self, x: float, y: float) -> tuple[Annotation, shapes.Handle] | None:
        """The handle of the one selected object under a point."""
        chosen = self.document.chosen()
        if len(chosen) != 1:
            return None
        reach = tools.REACH_PX / self.scale
        best: tuple[float, shapes.Handle] | None = None
        for handle, hx, hy in self._handles(chosen[0].shape):
            far = max(abs(hx - x), abs(hy - y))
            if far <= reach and (best is None or far < best[0]):
                best = far, handle
        return (chosen[0], best[1]) if best else None

    def limit_shift(self, moving: Sequence[Annotation], dx: float, dy: float) -> tuple[float, float]:
        """A shift that keeps what lies inside the picture inside it."""
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
        fresh = set(new) - set(self._live)
        dirty = self._rect_of(self._live.values())
        self._live = new
        if fresh and self._overlay is not None:
            overlays.patch(self._overlay, self.scene, fresh, hidden=frozenset(new))
            dirty = dirty.united(self.rect())
        self.update(dirty.united(self._rect_of(self._live.values())))

    def commit_live(self, verb: str) -> None:
        """Make what is under the mouse the gesture's result."""
        changed = [a for a in self._live.values() if self.scene.get(a.uid) != a]
        if not changed:
            self.drop_live()
            return
        self._live = {}
        self.document.commit(document.change([replace(a, origin="human", score=None) for a in changed]), verb)

    def drop_live(self) -> None:
        """Put back what was under the mouse."""
        if not self._live:
            return
        uids = set(self._live)
        self._live = {}
        if self._overlay is not None:
            overlays.patch(self._overlay, self.scene, uids)
        self._ask()
        self.update()

    def make(self, shape: Shape) -> None:
        """A new object of the class in hand, selected."""
        kind = tools.kind_of(shape)
        if self.label is None or not self.allowed(self.label, kind):
            self.refused.emit(kind)
            return
        made = Annotation(self.label, shape, self.defaults(self.label))
        self.document.commit(document.put(made), f"draw {kind}")
        self.document.select((made.uid,))

    def delete(self) -> None:
        """Delete the vertex under the mouse, else the selected objects (predictions are rejected)."""
        chosen = self.document.chosen()
        if len(chosen) == 1 and self._hot_handle is not None and isinstance(chosen[0].shape, Polygon):
            shape = shapes.delete_vertex(chosen[0].shape, *self._hot_handle)
            if shape is not None:
                self._hot_handle = None
                self.document.commit(document.change([replace(chosen[0], shape=shape)]), "reshape")
                return
        models = [a.uid for a in chosen if a.origin == "model"]
        if models:
            self.document.reject(models)
        self.document.commit(document.drop([a.uid for a in chosen if a.origin != "model"]), "delete")

    def label_colour(self) -> str:
        """Colour of the class in hand."""
        return self._style.colour(self.label or "")

    # --- document ------------------------------------------------------------------------------------------------

    def _opened(self) -> None:
        self.tool.cancel()
        self._live, self._hover, self._overlay = {}, None, None
        self.scene = scenes.EMPTY
        self.update()

    def _changed(self) -> None:
        if not self._live:
            self._settle(self.document.annotations)
            return
        gone = [uid for uid in self._live if self.document.get(uid) is None]
        if gone:
            self.tool.cancel()
        self._settle(self.document.annotations)

    def _settle(self, annotations: AnnotationSet) -> None:
        old, self.scene = self.scene, scenes.build(annotations, self.scene)
        changed = scenes.differences(old, self.scene)
        if (
            self._overlay is not None
            and self._overlay.request.scene is old
            and len(changed) <= _PATCH_AT_MOST
        ):
            overlays.patch(self._overlay, self.scene, changed, hidden=frozenset(self._live))
        if self._hover is not None and self._hover not in self.scene.places:
            self._hover = None
        self._ask()
        self.update()

    def _selected(self) -> None:
        self._hot_handle = None
        self._ask()
        self.update()

    # --- overlay -------------------------------------------------------------------------------------------------

    def _stale(self) -> bool:
        """True when the overlay does not fit the view well enough."""
        if self._overlay is None:
            return bool(self.scene.annotations)
        r, ratio = self._overlay.request, self.devicePixelRatioF()
        if r.scale != self.scale * ratio or r.ratio != ratio:
            return True
        dx, dy = self._ox * ratio - r.ox + MARGIN[0] * ratio, self._oy * ratio - r.oy + MARGIN[1] * ratio
        return abs(dx) > 0.6 * MARGIN[0] * ratio or abs(dy) > 0.6 * MARGIN[1] * ratio

    def _ask(self) -> None:
        ratio = self.devicePixelRatioF()
        self.worker.ask(
            Request(
                self.scene,
                replace(self._style, hidden=frozenset(self._live)),
                self.scale * ratio,
                (self._ox + MARGIN[0]) * ratio,
                (self._oy + MARGIN[1]) * ratio,
                (
                    round((self.width() + 2 * MARGIN[0]) * ratio),
                    round((self.height() + 2 * MARGIN[1]) * ratio),
                ),
                frozenset(self.document.selection),
                ratio,
            )
        )

    def _drawn(self, made: Overlay) -> None:
        if made.request.scene is not self.scene:
            return  # a newer request is on its way
        if made.request.style.hidden != frozenset(self._live):
            overlays.patch(
                made,
                self.scene,
                set(made.request.style.hidden) ^ set(self._live),
                hidden=frozenset(self._live),
            )
        self._overlay = made
        if self._stale():
            self._ask()
        self.update()

    # --- painting ------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        p = QPainter(self)
        try:
            self._paint(p, event.rect())
        except Exception:  # see the module: better an unpainted corner than a dead process
            log.exception("painting the canvas")
        finally:
            p.end()

    def _paint(self, p: QPainter, dirty: QRect) -> None:
        t = theme.current()
        p.fillRect(dirty, QColor(t.well))
        if self._wh is None or (self._mips is None and self._thumb is None):
            p.setFont(theme.font(13))
            p.setPen(QColor(t.second))
            p.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self._note)
            return
        self._paint_picture(p)
        self._paint_overlay(p)
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._hover and self._hover not in self._live and (found := self.scene.get(self._hover)):
            dashed = found.origin == "model"
            self.paint_shape(p, found.shape, self._style.colour(found.label), fill=False, dashed=dashed)
        for annotation in self._live.values():
            self.paint_shape(p, annotation.shape, self._style.colour(annotation.label))
        chosen = self.document.chosen()
        if len(chosen) == 1:
            shown = self._live.get(chosen[0].uid, chosen[0])
            for handle, x, y in self._handles(shown.shape):
                live.handle(p, *self.to_screen(x, y), hot=handle == self._hot_handle)
        self.tool.paint(p)
        if self.tool.crosshair and self._mouse is not None and not self._panning:
            live.crosshair(p, self.size(), self._mouse)
        if not self._fitted:
            self._paint_map(p)
        if self.hint:
            live.hint(p, self.width(), self.hint)

    def _paint_picture(self, p: QPainter) -> None:
        assert self._wh is not None
        w, h = self._wh
        if self._mips is None:
            assert self._thumb is not None
            p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            p.drawImage(QRectF(self._ox, self._oy, w * self.scale, h * self.scale), self._thumb)
            return
        image, _ = self._mips.level(self.scale * self.devicePixelRatioF())
        x0, y0 = self.to_source(0, 0)
        x1, y1 = self.to_source(self.width(), self.height())
        fx, fy = image.width() / w, image.height() / h
        a, b = max(0, int(x0 * fx) - 1), max(0, int(y0 * fy) - 1)
        c, d = min(image.width(), int(x1 * fx) + 2), min(image.height(), int(y1 * fy) + 2)
        if a >= c or b >= d:
            return
        left, top = self.to_screen(a / fx, b / fy)
        right, bottom = self.to_screen(c / fx, d / fy)
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, self.scale < 8)
        p.drawImage(QRectF(left, top, right - left, bottom - top), image, QRectF(a, b, c - a, d - b))

    def _paint_overlay(self, p: QPainter) -> None:
        made = self._overlay
        if made is None:
            return
        r, ratio = made.request, self.devicePixelRatioF()
        if r.scale == self.scale * ratio:
            p.drawImage(
                QPointF(round(self._ox * ratio - r.ox) / ratio, round(self._oy * ratio - r.oy) / ratio),
                made.image,
            )
            return
        factor = self.scale / r.scale
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        p.drawImage(
            QRectF(self._ox - r.ox * factor, self._oy - r.oy * factor, r.wh[0] * factor, r.wh[1] * factor),
            made.image,
        )

    def paint_shape(
        self, p: QPainter, shape: Shape, colour: str, *, fill: bool = True, dashed: bool = False
    ) -> None:
        """A shape in hand or under the mouse."""
        for ring, closed in shapes.rings(shape):
            line = QPolygonF([QPointF(*self.to_screen(float(x), float(y))) for x, y in ring])
            live.outline(p, line, colour, closed=closed, fill=fill, dashed=dashed)

    def _paint_map(self, p: QPainter) -> None:
        """The whole picture in a corner, with what is in view."""
        if self._mips is not None and self._wh is not None:
            seen = (
                *self.inside(*self.to_source(0, 0)),
                *self.inside(*self.to_source(self.width(), self.height())),
            )
            live.small_map(p, self.size(), self._mips.levels[-1], self._wh, seen)

    def _handles(self, shape: Shape) -> list[tuple[shapes.Handle, float, float]]:
        """Handles that can be told apart at this zoom: the middles of short sides are left out."""
        found = shapes.handles(shape)
        box = shapes.bounds(shape)
        if not isinstance(shape, Box) or box is None:
            return found
        narrow, low = (box[2] - box[0]) * self.scale < 28, (box[3] - box[1]) * self.scale < 28
        return [h for h in found if not ((h[0][0] == 1 and narrow) or (h[0][1] == 1 and low))]

    def _rect_of(self, annotations: Iterable[Annotation]) -> QRect:
        area = QRect()
        for a in annotations:
            if (b := shapes.bounds(a.shape)) is not None:
                x0, y0 = self.to_screen(b[0], b[1])
                x1, y1 = self.to_screen(b[2], b[3])
                area = area.united(QRect(int(x0) - 12, int(y0) - 12, int(x1 - x0) + 25, int(y1 - y0) + 25))
        return area

    # --- mouse and keys ------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        at = event.position()
        if event.button() == Qt.MouseButton.MiddleButton or (
            self._space and event.button() == Qt.MouseButton.LeftButton
        ):
            self._panning = at
            self._set_cursor()
        elif event.button() == Qt.MouseButton.LeftButton and self.picture_wh:
            add = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self.tool.press(*self.to_source(at.x(), at.y()), add=add)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        at = event.position()
        self._mouse = at
        if self._panning is not None:
            self.pan(at.x() - self._panning.x(), at.y() - self._panning.y())
            self._panning = at
            return
        if not self.picture_wh:
            return
        x, y = self.to_source(at.x(), at.y())
        self.pointer.emit(x, y)
        self.tool.move(x, y, square=bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        if not event.buttons():
            self._hovered(x, y)
        if self.tool.crosshair:
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._panning is not None and event.button() in (
            Qt.MouseButton.MiddleButton,
            Qt.MouseButton.LeftButton,
        ):
            self._panning = None
            self._set_cursor()
        elif event.button() == Qt.MouseButton.LeftButton and self.picture_wh:
            self.tool.release(*self.to_source(event.position().x(), event.position().y()))

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self.picture_wh:
            self.tool.double(*self.to_source(event.position().x(), event.position().y()))

    def wheelEvent(self, event: QWheelEvent) -> None:
        turn = event.angleDelta().y() or event.angleDelta().x()
        if turn:
            self.zoom(1.2 ** (turn / 120), event.position())
        event.accept()

    def leaveEvent(self, event: QEvent) -> None:
        self._mouse, self._hover = None, None
        self.pointer.emit(float("nan"), float("nan"))
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        if key == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._space = True
            self._set_cursor()
        elif not (key == Qt.Key.Key_Backspace and self.tool.back()):
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._space = False
            self._set_cursor()
        else:
            super().keyReleaseEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        if self._fitted:
            self.fit()
        else:
            QTimer.singleShot(0, self, self._ask)

    def focusOutEvent(self, event) -> None:
        self._space = False
        self._set_cursor()
        super().focusOutEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.PaletteChange:
            self.update()
        super().changeEvent(event)

    def _hovered(self, x: float, y: float) -> None:
        found = self.handle_at(x, y)
        handle = found[1] if found else None
        uid = None if handle is not None or self.tool.busy else self.object_at(x, y)
        if handle != self._hot_handle:
            self._hot_handle = handle
            self._set_cursor()
            self.update(self._rect_of(self.document.chosen()))
        if uid != self._hover:
            old, self._hover = self._hover, uid
            shown = [a for u in (old, uid) if u and (a := self.scene.get(u))]
            self.update(self._rect_of(shown))

    def _set_cursor(self) -> None:
        if self._panning is not None:
            shape = Qt.CursorShape.ClosedHandCursor
        elif self._space:
            shape = Qt.CursorShape.OpenHandCursor
        elif self._hot_handle is not None:
            shape = Qt.CursorShape.SizeAllCursor
        else:
            shape = self.tool.cursor
        self.setCursor(QCursor(shape))

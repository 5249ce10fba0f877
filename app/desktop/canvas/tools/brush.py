"""The brush: a raster mask painted at full resolution, with eraser, sizes, and an area mode that fills an outline.

A stroke is drawn into the pixels of the whole picture by cv2; on the screen only the stroke's own rectangle is sampled
again, so that a step costs the same on any picture. On release the box that holds the mask is copied and encoded on a
reader thread, then committed: one stroke, one change. The mask is never turned into a polygon.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPen

from annotation import rle
from annotation.core import Annotation, Mask, Tag
from app.desktop import document, theme
from app.desktop.canvas.tools.base import Point, Tool
from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas

LEAST, LARGEST = 1.0, 4000.0
"""Diameters of the brush in source pixels."""
_SHARE = 0.5
"""How strongly a mask in hand covers the picture."""

Extent = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole pixels, the last two exclusive."""


class Stroke:
    """A finished stroke on its way to the record: the mask's box as painted, encoded once, by whoever comes first."""

    def __init__(
        self, target: Annotation, fresh: bool, part: NDArray[np.uint8], at: Extent, wh: tuple[int, int]
    ) -> None:
        self.target, self.fresh, self.done = target, fresh, False
        self._part, self._at, self._wh = part, at, wh
        self._lock = threading.Lock()
        self._mask: Mask | None = None

    def mask(self) -> Mask:
        """The run lengths; any thread."""
        with self._lock:
            if self._mask is None:
                self._mask = rle.encode(self._part, at=self._at[:2], wh=self._wh)
            return self._mask


def unrolled(mask: Mask) -> tuple[NDArray[np.uint8], Extent | None]:
    """The pixels (h, w) of a mask, 0 and 1, and the box of its ones; any thread."""
    pixels = np.zeros((mask.h, mask.w), np.uint8)
    part, x0, y0 = rle.crop(mask)
    pixels[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = part
    return pixels, ((x0, y0, x0 + part.shape[1], y0 + part.shape[0]) if part.size else None)


class BrushTool(Tool):
    """Paints into the selected mask, else begins a new one; Enter lets go of it, so that the next stroke is another."""

    name = "brush"
    cursor = Qt.CursorShape.BlankCursor
    hover = False

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.run: Callable[[Callable[[], Any], Callable[[Any], None]], None] = lambda work, done: done(work())
        """(work, done): does `work` off the interface thread, then `done`; set by the desk."""
        self._pixels: NDArray[np.uint8] | None = None
        self._target: Annotation | None = None
        self._known: Mask | None = None
        """What the record holds of the pixels, as far as this tool knows."""
        self._extent: Extent | None = None
        self._last: Point | None = None
        self._outline: list[Point] = []
        self._waiting: list[Stroke] = []
        self._view: NDArray[np.uint8] | None = None
        self._seen: tuple[Any, ...] = ()
        self._drawn_label: str | None = None
        self._committing = False
        self._ready: tuple[Mask, NDArray[np.uint8], Extent | None] | None = None
        """The pixels of the mask that is selected, unrolled before the first touch."""
        self._asked: Mask | None = None

    @property
    def busy(self) -> bool:
        return self._last is not None

    # --- gesture -------------------------------------------------------------------------------------------------

    def press(self, x: float, y: float, *, add: bool) -> None:
        if self.canvas.picture_wh is None or self.picks(x, y) or not self._take():
            return
        self._last = (x, y)
        self._outline = [(x, y)]
        if self.canvas.ways.brush_form != "area":
            self._paint_to(x, y)
        self.stepped()

    def move(self, x: float, y: float, *, square: bool) -> None:
        ring = self._ring_rect()
        if self._last is not None:
            if self.canvas.ways.brush_form == "area":
                if self.far((x, y), self._outline[-1], 1.5):
                    self._outline.append((x, y))
                self.canvas.update()
            else:
                self._paint_to(x, y)
        self._mouse = (x, y)
        self.canvas.update(ring.united(self._ring_rect()))

    def release(self, x: float, y: float) -> None:
        if self._last is None:
            return
        if self.canvas.ways.brush_form == "area":
            self._fill_outline()
        self._last, self._outline = None, []
        self._keep()
        self.stepped()

    def right(self, x: float, y: float) -> bool:
        """A right drag would be a menu elsewhere; here the right button swaps brush and eraser."""
        self.swap()
        return True

    def wheel(self, step: float) -> bool:
        ways = self.canvas.ways
        ring = self._ring_rect()
        factor = 1.15**step
        new = ways.brush * factor
        ways.brush = min(
            max(new if abs(new - ways.brush) >= 1 else ways.brush + (1 if step > 0 else -1), LEAST), LARGEST
        )
        self.canvas.update(ring.united(self._ring_rect()))
        self.canvas.stepped.emit()
        return True

    def swap(self) -> None:
        """Brush to eraser and back."""
        self.canvas.ways.erase = not self.canvas.ways.erase
        self.stepped()

    def enter(self) -> bool:
        if self._target is None and not self._chosen_mask():
            return False
        self.finish()
        self._drop()
        self.canvas.document.select(())
        return True

    def back(self) -> bool:
        """Ctrl+Z in a stroke takes it back; afterwards the record's own undo does, behind every stroke on its way."""
        if self._last is not None:
            return self.cancel()
        self.finish()
        return False

    def cancel(self) -> bool:
        if self._last is None:
            self.finish()
            self._drop()
            return super().cancel()
        self._last, self._outline = None, []
        self.finish()  # strokes before this one stay
        self._drop()  # the next one begins from what the record holds
        self.stepped()
        return True

    def finish(self) -> None:
        for stroke in list(self._waiting):
            self._commit(stroke)

    def taken(self) -> None:
        self._unroll_ahead()

    def settled(self) -> None:
        """Undo, a click in the list or another picture may have changed the mask: begin from what is there now."""
        if self._last is None and not self._waiting and not self._committing and self.canvas.tool is self:
            one = self._chosen_mask()
            if one is None or self._known is None or one.shape != self._known:
                self._drop()
            self._unroll_ahead()

    def _unroll_ahead(self) -> None:
        """Unroll the selected mask on a thread, so that the first touch does not wait for it."""
        one = self._chosen_mask()
        mask = one.shape if one is not None else None
        if not isinstance(mask, Mask) or mask == self._known or mask is self._asked:
            return
        self._asked = mask

        def done(found: tuple[NDArray[np.uint8], Extent | None]) -> None:
            if self._asked is mask:
                self._ready = (mask, *found)

        self.run(lambda: unrolled(mask), done)

    def fill_holes(self) -> bool:
        """Fill the holes of the mask in hand; False when there is none."""
        if self.canvas.picture_wh is None or self._chosen_mask() is None or not self._take():
            return False
        assert self._pixels is not None
        if self._extent is None:
            return False
        x0, y0, x1, y1 = self._extent
        part = self._pixels[y0:y1, x0:x1]
        lines, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(part, lines, -1, 1, cv2.FILLED)
        self._view = None
        self._keep()
        self.stepped()
        return True

    # --- pixels --------------------------------------------------------------------------------------------------

    def _chosen_mask(self) -> Annotation | None:
        one = self.canvas.one_chosen()
        if one is None or not isinstance(one.shape, Mask) or self.canvas.document.out_of_reach(one):
            return None
        return one if (one.shape.w, one.shape.h) == self.canvas.picture_wh else None

    def _take(self) -> bool:
        """Take the mask that the next stroke paints into in hand; False when the class is not drawn as a mask."""
        canvas = self.canvas
        assert canvas.picture_wh is not None
        w, h = canvas.picture_wh
        if self._waiting:
            return True
        one = self._chosen_mask()
        other_class = one is not None and canvas.label != self._drawn_label and one.label == self._drawn_label
        if one is not None and not other_class:
            assert isinstance(one.shape, Mask)
            if self._known != one.shape or self._pixels is None:
                ahead = self._ready if self._ready is not None and self._ready[0] == one.shape else None
                self._pixels, self._extent = ahead[1:] if ahead is not None else unrolled(one.shape)
                self._ready, self._asked, self._known, self._view = None, None, one.shape, None
            self._target = one
            canvas.show_live([replace(one, shape=Tag())])  # out of the drawing: the tool paints it
        else:
            if canvas.ways.erase or canvas.label is None:
                return False
            if not canvas.allowed(canvas.label, "mask"):
                canvas.refused.emit("mask")
                return False
            self._pixels, self._extent, self._known = np.zeros((h, w), np.uint8), None, None
            self._target = Annotation(canvas.label, Mask(w, h, (w * h,)), dict(canvas.defaults(canvas.label)))
            self._view = None
        self._drawn_label = canvas.label
        return True

    def _drop(self) -> None:
        self._pixels = self._target = self._known = self._extent = self._view = None
        self.canvas.drop_live()
        self.canvas.update()

    def _paint_to(self, x: float, y: float) -> None:
        """One step of the stroke, into the pixels and onto the screen."""
        assert self._pixels is not None and self._last is not None
        ways, a, b = self.canvas.ways, self._last, (x, y)
        self._last = b
        value, wide = 0 if ways.erase else 1, max(1, round(ways.brush))
        radius = wide / 2 + 1.5
        box = self._clipped(
            min(a[0], b[0]) - radius,
            min(a[1], b[1]) - radius,
            max(a[0], b[0]) + radius,
            max(a[1], b[1]) + radius,
        )
        if box is None:
            return
        x0, y0, x1, y1 = box
        part = self._pixels[y0:y1, x0:x1]
        if ways.brush_form == "square":
            half = wide / 2
            swept = np.array(
                [(px + sx, py + sy) for px, py in (a, b) for sx in (-half, half) for sy in (-half, half)]
            )
            hull = cv2.convexHull(np.floor(swept - (x0, y0)).astype(np.int32))
            cv2.fillConvexPoly(part, hull, value)
        else:
            from_, to = (int(a[0]) - x0, int(a[1]) - y0), (int(b[0]) - x0, int(b[1]) - y0)
            cv2.line(part, from_, to, value, wide)
        self._grown(box)
        self._resample(box)

    def _fill_outline(self) -> None:
        """Area mode: what the outline encloses is filled, or taken away."""
        assert self._pixels is not None
        if len(self._outline) < 3:
            return
        ring = np.array(self._outline, np.float64)
        box = self._clipped(*(ring.min(0) - 1), *(ring.max(0) + 2))
        if box is None:
            return
        x0, y0, x1, y1 = box
        at = np.rint((ring - 0.5 - (x0, y0)) * 16).astype(np.int32)
        cv2.fillPoly(self._pixels[y0:y1, x0:x1], [at], 0 if self.canvas.ways.erase else 1, cv2.LINE_8, 4)
        self._grown(box)
        self._resample(box)

    def _clipped(self, x0: float, y0: float, x1: float, y1: float) -> Extent | None:
        assert self._pixels is not None
        h, w = self._pixels.shape
        box = max(0, int(x0)), max(0, int(y0)), min(w, int(x1) + 1), min(h, int(y1) + 1)
        return box if box[0] < box[2] and box[1] < box[3] else None

    def _grown(self, box: Extent) -> None:
        e = self._extent
        if not self.canvas.ways.erase:
            joined = (
                (min(e[0], box[0]), min(e[1], box[1]), max(e[2], box[2]), max(e[3], box[3])) if e else box
            )
            self._extent = joined

    # --- to the record -------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Send the stroke to the record; a stroke that changed nothing is none."""
        target, pixels, extent = self._target, self._pixels, self._extent
        if target is None or pixels is None or extent is None:
            return
        x0, y0, x1, y1 = extent
        fresh = self._known is None and not self._waiting
        h, w = pixels.shape
        stroke = Stroke(target, fresh, pixels[y0:y1, x0:x1].copy(), extent, (w, h))
        self._waiting.append(stroke)
        self.run(stroke.mask, lambda _mask: self._encoded(stroke))

    def _encoded(self, stroke: Stroke) -> None:
        while self._waiting and not stroke.done:  # threads may end in another order than strokes were drawn
            self._commit(self._waiting[0])

    def _commit(self, stroke: Stroke) -> None:
        if stroke.done:
            return
        stroke.done = True
        self._waiting.remove(stroke)
        mask, doc = stroke.mask(), self.canvas.document
        empty = len(mask.counts) < 2
        new = replace(stroke.target, shape=mask, origin="human", score=None)
        self._known, self._committing = mask, True
        if empty:
            doc.commit(document.drop([new.uid]), "erase")
            self._known = None
        elif stroke.fresh:
            doc.commit(document.put(new), "draw mask")
            doc.select((new.uid,))
            self.canvas.made.emit(new.uid)
        else:
            verb = "erase" if self.canvas.ways.erase else "paint"
            doc.commit(document.change([new]), verb)
        self._committing = False
        if not self._waiting and self._last is None:
            self.canvas.drop_live()
        self._target = None if empty else new
        self.canvas.update()

    # --- on the screen -------------------------------------------------------------------------------------------

    _mouse: Point | None = None

    def _colour(self) -> int:
        """The mask's colour as one premultiplied pixel."""
        label = self._target.label if self._target is not None else self.canvas.label or ""
        c = QColor(self.canvas.settled.style.colour(label))
        r, g, b = (round(v * _SHARE) for v in (c.red(), c.green(), c.blue()))
        return round(255 * _SHARE) << 24 | r << 16 | g << 8 | b

    def _fit_view(self) -> NDArray[np.uint8] | None:
        """The view's picture of the mask (h, w, 4), sampled anew after the view or the mask has changed."""
        canvas = self.canvas
        ratio = canvas.devicePixelRatioF()
        seen = (canvas.camera, canvas.size(), ratio)
        if self._pixels is None:
            return None
        if self._view is None or seen != self._seen:
            w, h = round(canvas.width() * ratio), round(canvas.height() * ratio)
            self._view, self._seen = np.zeros((h, w, 4), np.uint8), seen
            if self._extent is not None:
                self._sample(self._on_screen(self._extent, ratio))
        return self._view

    def _on_screen(self, box: Extent, ratio: float) -> Extent:
        """A box of source pixels in device pixels of the view, clipped."""
        a, b = self.canvas.to_screen(box[0], box[1])
        c, d = self.canvas.to_screen(box[2], box[3])
        w, h = round(self.canvas.width() * ratio), round(self.canvas.height() * ratio)
        return (
            min(max(0, int(a * ratio) - 1), w),
            min(max(0, int(b * ratio) - 1), h),
            min(max(0, int(c * ratio) + 2), w),
            min(max(0, int(d * ratio) + 2), h),
        )

    def _sample(self, at: Extent) -> None:
        """Sample a rectangle of the view from the pixels."""
        assert self._pixels is not None and self._view is not None
        x0, y0, x1, y1 = at
        if x0 >= x1 or y0 >= y1:
            return
        ratio = self.canvas.devicePixelRatioF()
        step = 1 / (self.canvas.scale * ratio)
        sx, sy = self.canvas.to_source((x0 + 0.5) / ratio, (y0 + 0.5) / ratio)
        # warpAffine looks at pixel centres: the middle of source pixel i is i, not i + 0.5.
        back = np.array([[step, 0.0, sx - 0.5], [0.0, step, sy - 0.5]])
        found = cv2.warpAffine(
            self._pixels, back, (x1 - x0, y1 - y0), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        )
        self._view.view(np.uint32)[y0:y1, x0:x1, 0] = found * np.uint32(self._colour())

    def _resample(self, box: Extent) -> None:
        """Only the stroke's rectangle changes on the screen."""
        if self._fit_view() is None:
            return
        ratio = self.canvas.devicePixelRatioF()
        x0, y0, x1, y1 = at = self._on_screen(box, ratio)
        self._sample(at)
        self.canvas.update(
            QRect(
                int(x0 / ratio) - 1,
                int(y0 / ratio) - 1,
                int((x1 - x0) / ratio) + 3,
                int((y1 - y0) / ratio) + 3,
            )
        )

    def _ring_rect(self) -> QRect:
        mouse = self.canvas.mouse
        if mouse is None:
            return QRect()
        r = self.canvas.ways.brush * self.canvas.scale / 2 + 4
        return QRectF(mouse.x() - r, mouse.y() - r, 2 * r, 2 * r).toAlignedRect()

    def paint(self, p: QPainter) -> None:
        if (self._last is not None or self._waiting or self.canvas.has_live) and (
            view := self._fit_view()
        ) is not None:
            h, w = view.shape[:2]
            image = QImage(view.data, w, h, 4 * w, QImage.Format.Format_ARGB32_Premultiplied)
            image.setDevicePixelRatio(self.canvas.devicePixelRatioF())
            p.drawImage(0, 0, image)
        if len(self._outline) > 1:
            self.canvas.paint_line(p, [*self._outline, self._outline[0]])
        if (mouse := self.canvas.mouse) is not None and not self.canvas.panning:
            self._paint_ring(p, mouse)

    def _paint_ring(self, p: QPainter, mouse: QPointF) -> None:
        """The size of the brush: a light line in a dark one, dashed for the eraser."""
        ways = self.canvas.ways
        r = max(2.0, ways.brush * self.canvas.scale / 2)
        box = QRectF(mouse.x() - r, mouse.y() - r, 2 * r, 2 * r)
        p.setBrush(Qt.BrushStyle.NoBrush)
        light = theme.DARK.red if ways.erase else "#ffffff"
        for colour, wide in ((QColor(20, 22, 26, 170), 3.0), (QColor(light), 1.2)):
            pen = QPen(colour, wide)
            if ways.erase and wide < 2:
                pen.setDashPattern([4, 3])
            p.setPen(pen)
            if ways.brush_form == "area":
                p.drawLine(QPointF(mouse.x() - 7, mouse.y()), QPointF(mouse.x() + 7, mouse.y()))
                p.drawLine(QPointF(mouse.x(), mouse.y() - 7), QPointF(mouse.x(), mouse.y() + 7))
            elif ways.brush_form == "square":
                p.drawRect(box)
            else:
                p.drawEllipse(box)

    def hint(self, label: str) -> str:
        ways = self.canvas.ways
        verb = tr("Erase") if ways.erase else tr("Paint")
        form = {"round": tr("round"), "square": tr("square"), "area": tr("area")}[ways.brush_form]
        return tr(
            "{verb} {label} · {form} {px} px · [ ] size · right click brush or eraser · Enter lets go",
            verb=verb,
            label=label,
            form=form,
            px=round(ways.brush),
        )

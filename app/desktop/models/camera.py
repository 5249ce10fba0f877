"""A picture in a sheet with what a recipe does to it: the tiles it is cut into, the regions that count, drawn with the mouse."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from annotation import canonical
from app.desktop import theme
from app.desktop.painted import painted
from app.i18n import tr

MICRO = canonical.MICRO
Ring = tuple[int, ...]
"""Flat x, y in millionths of the picture's width and height."""
NEAR_PX = 9
"""Of the first corner: a click there closes the polygon."""


class CameraView(QWidget):
    """One picture, fitted. With `drawing`, clicks set corners; `drawn` once a polygon is closed."""

    drawn = Signal(object)

    def __init__(self, *, drawing: bool = False) -> None:
        super().__init__()
        self.image: QImage | None = None
        self.wh = (0, 0)
        self.tiles: Sequence[tuple[int, int, int, int]] = ()
        self.rings: tuple[Ring, ...] = ()
        self.inside = True
        self.drawing = drawing
        self.points: list[tuple[float, float]] = []
        self._hover: QPointF | None = None
        self.note = ""
        self.setMinimumSize(320, 240)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(tr("Picture"))
        if drawing:
            self.setMouseTracking(True)
            self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            self.setCursor(Qt.CursorShape.CrossCursor)

    def show_picture(self, image: QImage | None, wh: tuple[int, int], note: str = "") -> None:
        """Another picture, of (w, h) px whatever the image's size; note: why there is none."""
        self.image, self.wh, self.note = image, wh, note
        self.points = []
        self.update()

    # --- places --------------------------------------------------------------------------------------------------

    def frame(self) -> QRectF:
        """Where the picture lies."""
        w, h = self.wh
        if not w or not h:
            return QRectF(self.rect())
        scale = min(self.width() / w, self.height() / h)
        return QRectF((self.width() - w * scale) / 2, (self.height() - h * scale) / 2, w * scale, h * scale)

    def place(self, x: float, y: float) -> QPointF:
        """On the screen, from shares of the picture."""
        f = self.frame()
        return QPointF(f.x() + x * f.width(), f.y() + y * f.height())

    def share(self, at: QPointF) -> tuple[float, float]:
        """Shares of the picture, from the screen; kept inside."""
        f = self.frame()
        x, y = (at.x() - f.x()) / max(1.0, f.width()), (at.y() - f.y()) / max(1.0, f.height())
        return min(1.0, max(0.0, x)), min(1.0, max(0.0, y))

    # --- drawing -------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            self._draw(p)

    def _draw(self, p: QPainter) -> None:
        t = theme.current()
        f = self.frame()
        path = QPainterPath()
        path.addRoundedRect(f, 6, 6)
        p.save()
        p.setClipPath(path)
        p.fillRect(f, QColor(t.well))
        if self.image is not None:
            p.drawImage(f, self.image)
        self._tiles(p, f)
        self._rings(p, f)
        p.restore()
        if self.image is None:
            p.setFont(theme.font(12))
            p.setPen(QColor(t.second))
            p.drawText(f, int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap), self.note)
        self._in_hand(p)

    def _tiles(self, p: QPainter, f: QRectF) -> None:
        t = theme.current()
        if not self.tiles or not self.wh[0]:
            return
        sx, sy = f.width() / self.wh[0], f.height() / self.wh[1]
        for i, (x0, y0, x1, y1) in enumerate(self.tiles):
            box = QRectF(f.x() + x0 * sx, f.y() + y0 * sy, (x1 - x0) * sx, (y1 - y0) * sy).adjusted(
                1.5, 1.5, -1.5, -1.5
            )
            whole = (x0, y0, x1, y1) == (0, 0, *self.wh) and len(self.tiles) > 1
            colour = QColor(t.blue if whole else t.accent)
            pen = QPen(colour, 1.5)
            if whole:
                pen.setDashPattern([5, 3])
            p.setPen(pen)
            tint = QColor(colour)
            tint.setAlpha(0 if whole else 26 if (i % 2) else 44)
            p.setBrush(tint)
            p.drawRect(box)

    def _rings(self, p: QPainter, f: QRectF) -> None:
        t = theme.current()
        if not self.rings:
            return
        area = QPainterPath()
        for ring in self.rings:
            area.addPolygon(self._polygon(ring))
            area.closeSubpath()
        dark = QPainterPath()
        dark.addRect(f)
        p.fillPath(dark.subtracted(area) if self.inside else area, QColor(10, 11, 14, 150))
        colour = QColor(t.green if self.inside else t.red)
        p.setPen(QPen(colour, 2))
        p.setBrush(Qt.BrushStyle.NoBrush)
        p.drawPath(area)

    def _polygon(self, ring: Ring) -> QPolygonF:
        return QPolygonF(
            [self.place(x / MICRO, y / MICRO) for x, y in zip(ring[::2], ring[1::2], strict=True)]
        )

    def _in_hand(self, p: QPainter) -> None:
        if not self.points:
            return
        t = theme.current()
        places = [self.place(x, y) for x, y in self.points]
        line = [*places, self._hover] if self._hover is not None else places
        p.setPen(QPen(QColor(t.accent), 2))
        p.drawPolyline(QPolygonF(line))
        p.setBrush(QColor("#ffffff"))
        for i, at in enumerate(places):
            p.drawEllipse(at, 5 if i == 0 else 3.5, 5 if i == 0 else 3.5)

    # --- hands ---------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if not self.drawing or self.image is None:
            super().mousePressEvent(event)
            return
        self.setFocus()
        if event.button() == Qt.MouseButton.RightButton:
            self._close()
            return
        at = event.position()
        if len(self.points) >= 3:
            first = self.place(*self.points[0]) - at
            if first.manhattanLength() <= NEAR_PX:
                self._close()
                return
        self.points.append(self.share(at))
        self.update()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if self.drawing:
            self._close()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self.drawing:
            self._hover = event.position()
            self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        if self.drawing and key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._close()
        elif self.drawing and key in (Qt.Key.Key_Backspace, Qt.Key.Key_Delete) and self.points:
            self.points.pop()
            self.update()
        elif self.drawing and key == Qt.Key.Key_Escape and self.points:
            self.points = []
            self.update()
        else:
            super().keyPressEvent(event)

    def _close(self) -> None:
        """A polygon of what was set, if it is one."""
        if len(self.points) >= 3:
            ring = tuple(round(v * MICRO) for point in self.points for v in point)
            self.points = []
            self.drawn.emit(ring)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(520, 320)

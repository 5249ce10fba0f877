"""Picture and settled objects put together once and moved, while the view is pushed or zoomed on a dense screen.

At 200 % a frame has four times the pixels. While pushing, what stands there is shifted and only the strip that comes into
view is drawn; while zooming, all is drawn at widget pixels and blown up; when the view rests it is drawn sharp again.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPoint, QRect, QRectF
from PySide6.QtGui import QColor, QImage, QPainter, QPixmap, QRegion

from app.desktop import theme
from app.desktop.canvas.camera import Camera

DENSE_FROM = 1.3
"""Below, drawing straight onto the screen costs less than any of this."""

Compose = Callable[[QPainter, float], None]
"""Draws picture and objects in widget pixels; with the device pixels a widget pixel."""


class Ground:
    """See the module. It does not know when it is out of date: `drop` says so."""

    def __init__(self) -> None:
        self._held: QPixmap | None = None
        self._at = Camera()
        self._small: QImage | None = None

    def drop(self) -> None:
        """What was put together holds no more."""
        self._held = None

    def rest(self) -> None:
        """The view rests: give the memory back."""
        self._held = self._small = None

    def pushed(
        self, p: QPainter, camera: Camera, view: tuple[int, int], ratio: float, compose: Compose
    ) -> None:
        """Paint it shifted to where the camera is now."""
        held, size = self._held, (round(view[0] * ratio), round(view[1] * ratio))
        dx, dy = (camera.ox - self._at.ox) * ratio, (camera.oy - self._at.oy) * ratio
        whole = abs(dx - round(dx)) < 0.02 and abs(dy - round(dy)) < 0.02
        fits = held is not None and (held.width(), held.height()) == size and held.devicePixelRatio() == ratio
        everything = QRegion(0, 0, *size)
        if held is None or not fits or not whole or camera.scale != self._at.scale:
            held = QPixmap(*size)
            held.setDevicePixelRatio(ratio)
            bare = everything
        else:
            held.scroll(round(dx), round(dy), QRect(QPoint(0, 0), held.size()))
            bare = everything - everything.translated(round(dx), round(dy))
        if not bare.isEmpty():
            inner = QPainter(held)
            # One widget pixel more on every side: device pixels do not end at the borders of widget pixels.
            for part in bare:  # type: ignore[attr-defined]  # its stubs do not say that it can be walked
                area = QRectF(
                    part.x() / ratio - 1,
                    part.y() / ratio - 1,
                    part.width() / ratio + 2,
                    part.height() / ratio + 2,
                )
                inner.save()
                inner.setClipRect(area)
                inner.fillRect(area, QColor(theme.current().well))
                compose(inner, ratio)
                inner.restore()
            inner.end()
        self._held, self._at = held, camera
        p.drawPixmap(0, 0, held)

    def zoomed(self, p: QPainter, view: tuple[int, int], compose: Compose) -> None:
        """Paint it at widget pixels, blown up."""
        if self._small is None or (self._small.width(), self._small.height()) != view:
            self._small = QImage(*view, QImage.Format.Format_RGB32)
        inner = QPainter(self._small)
        inner.fillRect(QRect(0, 0, *view), QColor(theme.current().well))
        compose(inner, 1.0)
        inner.end()
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        p.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)
        p.drawImage(QRectF(0, 0, *view), self._small)
        p.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceOver)

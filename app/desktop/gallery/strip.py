"""The film strip under the canvas: the pictures before and after this one, each with its state."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRect, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from app.desktop import theme
from app.desktop.gallery.grid import STATE_TEXT, TONES
from app.desktop.gallery.thumbnails import Thumbnails
from app.desktop.painted import painted
from app.i18n import tr
from app.services.browse import ItemRow

CELL, GAP, EDGE, HIGH = 112, 8, 12, 76


class Strip(QWidget):
    """A row of cells with the current picture in the middle, as far as there are others on both sides."""

    picked = Signal(int)

    def __init__(self, thumbs: Thumbnails) -> None:
        super().__init__()
        self.thumbs = thumbs
        self._rows: list[ItemRow] = []
        self._current = 0
        self.setFixedHeight(HIGH + 28)
        self.setMouseTracking(True)
        self.setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, False)
        thumbs.came.connect(self._came)

    def show_rows(self, rows: list[ItemRow], current: int) -> None:
        """Rows in order, and the asset id of the current one."""
        self._rows, self._current = rows, current
        self.update()

    @property
    def _first(self) -> int:
        fit = max(1, (self.width() - 2 * EDGE + GAP) // (CELL + GAP))
        at = next((i for i, row in enumerate(self._rows) if row.asset_id == self._current), 0)
        return max(0, min(at - fit // 2, len(self._rows) - fit))

    def _rect(self, i: int) -> QRect:
        return QRect(EDGE + (i - self._first) * (CELL + GAP), 2, CELL, HIGH)

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            self._paint(p)

    def _paint(self, p: QPainter) -> None:
        t = theme.current()
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        for i in range(self._first, len(self._rows)):
            box, row = self._rect(i), self._rows[i]
            if box.left() > self.width():
                break
            path = QPainterPath()
            path.addRoundedRect(QRectF(box), 4, 4)
            p.save()
            p.setClipPath(path)
            p.fillRect(box, QColor(t.raised))
            if (image := self.thumbs.get(row.asset_id)) is not None:
                factor = max(box.width() / image.width(), box.height() / image.height())
                w, h = box.width() / factor, box.height() / factor
                p.drawImage(
                    QRectF(box), image, QRectF((image.width() - w) / 2, (image.height() - h) / 2, w, h)
                )
            p.restore()
            now = row.asset_id == self._current
            if now:
                p.setPen(QPen(QColor(t.accent), 2))
                p.setBrush(Qt.BrushStyle.NoBrush)
                p.drawRoundedRect(QRectF(box).adjusted(-1, -1, 1, 1), 5, 5)
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(getattr(t, TONES[row.state])))
            p.drawEllipse(QRectF(box.left() + 4, box.bottom() + 10, 7, 7))
            p.setFont(theme.font(11, bold=now))
            p.setPen(QColor(t.text if now else t.second))
            text = QFontMetrics(p.font()).elidedText(
                tr(STATE_TEXT[row.state]), Qt.TextElideMode.ElideRight, CELL - 20
            )
            p.drawText(
                QRect(box.left() + 17, box.bottom() + 4, CELL - 20, 18), Qt.AlignmentFlag.AlignVCenter, text
            )

    def _at(self, at: QPoint) -> ItemRow | None:
        for i in range(self._first, len(self._rows)):
            if self._rect(i).contains(at):
                return self._rows[i]
        return None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if (row := self._at(event.position().toPoint())) is not None:
            self.picked.emit(row.asset_id)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        row = self._at(event.position().toPoint())
        self.setCursor(Qt.CursorShape.PointingHandCursor if row else Qt.CursorShape.ArrowCursor)
        self.setToolTip(row.path if row else "")

    def wheelEvent(self, event: QWheelEvent) -> None:
        at = next((i for i, row in enumerate(self._rows) if row.asset_id == self._current), -1)
        step = -1 if event.angleDelta().y() > 0 else 1
        if at >= 0 and 0 <= at + step < len(self._rows):
            self.picked.emit(self._rows[at + step].asset_id)
        event.accept()

    def _came(self, asset_id: int) -> None:
        if any(row.asset_id == asset_id for row in self._rows):
            self.update()

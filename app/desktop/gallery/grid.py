"""The grid of pictures: own scroll area, because Qt's list lays 1.5 million items out for 23 seconds and this opens at once.

Only the cells in view are painted, from rows and thumbnails that are there; the rest is a quiet empty cell in its place.
"""

from __future__ import annotations

import logging

from PySide6.QtCore import QPoint, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QAbstractScrollArea, QFrame

from app.desktop import theme
from app.desktop.gallery.rows import Rows
from app.desktop.gallery.thumbnails import Thumbnails
from app.desktop.widgets import number
from app.i18n import tr
from app.services.browse import ItemRow

log = logging.getLogger(__name__)

GAP, EDGE = 12, 16
CAPTION_PX = 48
TONES = {"unlabelled": "second", "predicted": "accent", "labelled": "green"}
STATE_TEXT = {"unlabelled": "Unlabelled", "predicted": "To confirm", "labelled": "Labelled"}


class Grid(QAbstractScrollArea):
    """Shows `rows`; `opened` when a picture is to be annotated, `chosen` when the selection changed."""

    opened = Signal(int)
    chosen = Signal()

    def __init__(self, rows: Rows, thumbs: Thumbnails) -> None:
        super().__init__()
        self.rows, self.thumbs = rows, thumbs
        self.side = 208
        self.current = -1
        self.selection: set[int] = set()
        self.note = ""
        self._hot = -1
        self._anchor = -1
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.viewport().setMouseTracking(True)
        self.viewport().setAutoFillBackground(False)
        self.setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, False)
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, False)
        rows.came.connect(self.viewport().update)
        rows.counted.connect(self._counted)
        thumbs.came.connect(self._thumb_came)

    # --- geometry ------------------------------------------------------------------------------------------------

    @property
    def columns(self) -> int:
        """Cells across."""
        return max(1, (self.viewport().width() - 2 * EDGE + GAP) // (self.side + GAP))

    @property
    def _cell(self) -> QSize:
        room = self.viewport().width() - 2 * EDGE + GAP
        wide = max(80, room // self.columns - GAP)
        return QSize(wide, (wide - 12) * 3 // 4 + CAPTION_PX + 8)

    def rect_of(self, position: int) -> QRect:
        """Where a picture's cell is, in viewport pixels."""
        cell = self._cell
        line, column = divmod(position, self.columns)
        x = EDGE + column * (cell.width() + GAP)
        y = EDGE + line * (cell.height() + GAP) - self.verticalScrollBar().value()
        return QRect(QPoint(x, y), cell)

    def position_at(self, at: QPoint) -> int:
        """The picture under a point, or -1."""
        cell = self._cell
        column, inside = divmod(at.x() - EDGE, cell.width() + GAP)
        line, below = divmod(at.y() - EDGE + self.verticalScrollBar().value(), cell.height() + GAP)
        position = line * self.columns + column
        fine = 0 <= column < self.columns and inside < cell.width() and below < cell.height() and line >= 0
        return position if fine and 0 <= position < self.rows.count else -1

    def visible(self) -> range:
        """Positions in view."""
        step = self._cell.height() + GAP
        top = self.verticalScrollBar().value()
        first = max(0, (top - EDGE) // step) * self.columns
        last = ((top + self.viewport().height() - EDGE) // step + 1) * self.columns
        return range(first, min(self.rows.count, last))

    def go_to(self, position: int) -> None:
        """Make a picture current and bring it into view."""
        if not 0 <= position < self.rows.count:
            return
        self.current = position
        step = self._cell.height() + GAP
        top = position // self.columns * step
        bar = self.verticalScrollBar()
        if top < bar.value():
            bar.setValue(top)
        elif top + step + EDGE > bar.value() + self.viewport().height():
            bar.setValue(top + step + EDGE - self.viewport().height())
        self.viewport().update()

    def set_side(self, side: int) -> None:
        """Larger or smaller cells; what is in view stays in view."""
        first = self.visible().start
        self.side = min(max(side, 120), 420)
        self._range()
        self.go_to(self.current if self.current >= 0 else first)

    def chosen_ids(self) -> list[int]:
        """Asset ids of the selected pictures at hand."""
        return [row.asset_id for p in sorted(self.selection) if (row := self.rows.row(p)) is not None]

    def clear_selection(self) -> None:
        """Choose nothing."""
        if self.selection:
            self.selection = set()
            self.chosen.emit()
            self.viewport().update()

    def _counted(self) -> None:
        if not self.rows.known:
            self.current, self._anchor = -1, -1
            self.clear_selection()
            self.verticalScrollBar().setValue(0)
        self._range()
        self.viewport().update()

    def _range(self) -> None:
        lines = -(-self.rows.count // self.columns)
        step = self._cell.height() + GAP
        bar = self.verticalScrollBar()
        bar.setRange(0, max(0, lines * step - GAP + 2 * EDGE - self.viewport().height()))
        bar.setPageStep(max(1, self.viewport().height() // step * step))
        bar.setSingleStep(step)

    # --- painting ------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        p = QPainter(self.viewport())
        try:
            self._paint(p, event.rect())
        except Exception:
            log.exception("painting the gallery")
        finally:
            p.end()

    def _paint(self, p: QPainter, dirty: QRect) -> None:
        t = theme.current()
        p.fillRect(dirty, QColor(t.background))
        if not self.rows.count:
            if self.rows.known:
                p.setFont(theme.font(13))
                p.setPen(QColor(t.second))
                box = self.viewport().rect().adjusted(64, 0, -64, 0)
                p.drawText(box, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.note)
            return
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        wanted: list[int] = []
        for position in self.visible():
            box = self.rect_of(position)
            row = self.rows.row(position)
            if row is not None:
                wanted.append(row.asset_id)
            if box.intersects(dirty):
                self._paint_cell(p, box, position, row)
        self.thumbs.keep_only(wanted)

    def _paint_cell(self, p: QPainter, box: QRect, position: int, row: ItemRow | None) -> None:
        t = theme.current()
        selected, current = position in self.selection, position == self.current and self.hasFocus()
        edge = t.blue if selected else t.accent if current else t.second if position == self._hot else t.line
        p.setPen(QPen(QColor(edge), 2 if selected or current else 1))
        p.setBrush(QColor(t.panel))
        p.drawRoundedRect(QRectF(box).adjusted(1, 1, -1, -1), 8, 8)
        frame = QRect(box.x() + 6, box.y() + 6, box.width() - 12, box.height() - CAPTION_PX - 8)
        image = self.thumbs.get(row.asset_id) if row is not None else None
        path = QPainterPath()
        path.addRoundedRect(QRectF(frame), 5, 5)
        p.save()
        p.setClipPath(path)
        p.fillRect(frame, QColor(t.raised))
        if image is not None:
            factor = max(frame.width() / image.width(), frame.height() / image.height())
            if factor > 1.6 * min(frame.width() / image.width(), frame.height() / image.height()):
                factor = min(frame.width() / image.width(), frame.height() / image.height())
            w, h = frame.width() / factor, frame.height() / factor
            if w <= image.width() and h <= image.height():
                p.drawImage(
                    QRectF(frame), image, QRectF((image.width() - w) / 2, (image.height() - h) / 2, w, h)
                )
            else:
                w, h = image.width() * factor, image.height() * factor
                p.drawImage(
                    QRectF(frame.center().x() - w / 2, frame.center().y() - h / 2, w, h),
                    image,
                    QRectF(image.rect()),
                )
        elif row is not None and self.thumbs.failed(row.asset_id):
            p.setFont(theme.font(12))
            p.setPen(QColor(t.red))
            p.drawText(frame, Qt.AlignmentFlag.AlignCenter, tr("Not readable"))
        p.restore()
        if row is None:
            return
        left, right, top = box.x() + 12, box.right() - 12, box.bottom() - CAPTION_PX + 4
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(QColor(getattr(t, TONES[row.state])))
        p.drawEllipse(QRectF(right - 8, top + 17, 8, 8))
        room = right - 20 - left
        p.setFont(theme.font(13, bold=True))
        p.setPen(QColor(t.text))
        name = row.path.rsplit("/", 1)[-1]
        text = QFontMetrics(p.font()).elidedText(name, Qt.TextElideMode.ElideMiddle, room)
        p.drawText(QRect(left, top, room, 20), Qt.AlignmentFlag.AlignVCenter, text)
        p.setFont(theme.font(11))
        p.setPen(QColor(t.second))
        p.drawText(QRect(left, top + 20, room, 18), Qt.AlignmentFlag.AlignVCenter, summary(row))

    def _thumb_came(self, asset_id: int) -> None:
        for position in self.visible():
            row = self.rows.row(position)
            if row is not None and row.asset_id == asset_id:
                self.viewport().update(self.rect_of(position))
                return

    # --- mouse and keys ------------------------------------------------------------------------------------------

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        self.viewport().scroll(0, dy)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._range()

    def wheelEvent(self, event: QWheelEvent) -> None:
        turn = event.angleDelta().y()
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.set_side(self.side + (16 if turn > 0 else -16))
        else:
            bar = self.verticalScrollBar()
            bar.setValue(bar.value() - round(turn / 120 * (self._cell.height() + GAP) * 0.6))
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        hot = self.position_at(event.position().toPoint())
        if hot != self._hot:
            old, self._hot = self._hot, hot
            for position in (old, hot):
                if position >= 0:
                    self.viewport().update(self.rect_of(position))

    def leaveEvent(self, event) -> None:
        self._hot = -1
        self.viewport().update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        position = self.position_at(event.position().toPoint())
        if position < 0:
            self.clear_selection()
            return
        keys = event.modifiers()
        if keys & Qt.KeyboardModifier.ShiftModifier and self._anchor >= 0:
            self.selection = set(range(min(self._anchor, position), max(self._anchor, position) + 1))
        elif keys & Qt.KeyboardModifier.ControlModifier:
            self.selection ^= {position}
            self._anchor = position
        else:
            self.selection = {position}
            self._anchor = position
        self.current = position
        self.chosen.emit()
        self.viewport().update()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        position = self.position_at(event.position().toPoint())
        if position >= 0 and (row := self.rows.row(position)) is not None:
            self.opened.emit(row.asset_id)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        at, columns = max(0, self.current), self.columns
        page = max(1, self.viewport().height() // (self._cell.height() + GAP)) * columns
        steps = {
            Qt.Key.Key_Right: 1,
            Qt.Key.Key_Left: -1,
            Qt.Key.Key_Down: columns,
            Qt.Key.Key_Up: -columns,
            Qt.Key.Key_PageDown: page,
            Qt.Key.Key_PageUp: -page,
            Qt.Key.Key_End: self.rows.count,
            Qt.Key.Key_Home: -self.rows.count,
        }
        key = Qt.Key(event.key())
        if key in steps and self.rows.count:
            new = at if self.current < 0 else min(max(at + steps[key], 0), self.rows.count - 1)
            if event.modifiers() & Qt.KeyboardModifier.ShiftModifier and self._anchor >= 0:
                self.selection = set(range(min(self._anchor, new), max(self._anchor, new) + 1))
            else:
                self.selection, self._anchor = {new}, new
            self.go_to(new)
            self.chosen.emit()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current >= 0:
            if (row := self.rows.row(self.current)) is not None:
                self.opened.emit(row.asset_id)
        else:
            super().keyPressEvent(event)


def summary(row: ItemRow) -> str:
    """What a picture holds, in a few words."""
    if row.n_truth and row.n_pred:
        return tr("{truth} objects · {pred} to confirm", truth=number(row.n_truth), pred=number(row.n_pred))
    if row.n_pred:
        return tr("{pred} to confirm", pred=number(row.n_pred))
    if row.n_truth:
        return tr("{truth} objects", truth=number(row.n_truth))
    return tr("nothing yet")

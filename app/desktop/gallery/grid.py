"""The grid: own scroll area, because Qt's list lays 1.5 million items out for 23 seconds and this opens at once.

Only the cells in view are painted, from rows and pixels that are there; the rest is a quiet empty cell in its place.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from PySide6.QtCore import QPoint, QRect, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QAccessible,
    QAccessibleEvent,
    QColor,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QAbstractScrollArea, QFrame, QLabel

from app.desktop import theme
from app.desktop.gallery import cells
from app.desktop.gallery.cells import CAPTION_PX, STATE_TEXT, TONES, Look, Outline
from app.desktop.gallery.crops import Crops
from app.desktop.gallery.rows import Rows
from app.desktop.gallery.selection import Selection
from app.desktop.gallery.thumbnails import Thumbnails
from app.desktop.painted import painted
from app.desktop.widgets import look, number
from app.i18n import tr
from app.services.browse import ItemRow
from app.services.cleaning import Member
from app.services.listing import ObjectRow

__all__ = ["STATE_TEXT", "TONES", "Grid"]

GAP, EDGE = 12, 16
LEAST, MOST = 120, 420
_KEPT_OUTLINES = 3000
_KEPT_GROUPS = 20_000


class Grid(QAbstractScrollArea):
    """Shows `rows`; `opened` (asset, object uid or "") when one is to be annotated, `chosen` when the selection changed."""

    opened = Signal(int, str)
    chosen = Signal()
    moved = Signal()
    """Another cell is current."""

    def __init__(self, rows: Rows, thumbs: Thumbnails, crops: Crops) -> None:
        super().__init__()
        self.rows, self.thumbs, self.crops = rows, thumbs, crops
        self.side = 208
        self.current = -1
        self.selection = Selection()
        self.note = ""
        self.looks = Look()
        self.seen: frozenset[int] = frozenset()
        """Pictures in view."""
        self.outlines_of: Callable[[int, Callable[[list[Outline]], None]], None] | None = None
        """Asks for the objects of a picture, when they are to be drawn over thumbnails."""
        self.groups_of: (
            Callable[[Sequence[int], Callable[[dict[int, tuple[Member, ...]]], None]], None] | None
        ) = None
        """Asks which groups of like pictures some pictures are in, when that is to be shown."""
        self.explain: Callable[[int, Callable[[str], None]], None] | None = None
        """Asks what there is to say of a picture, for its tooltip."""
        self._groups: dict[int, tuple[Member, ...]] = {}
        self._groups_asked: set[int] = set()
        self._groups_ticket = 0
        self.slowest_ms = 0.0
        """The longest paint so far."""
        self._outlines: OrderedDict[int, list[Outline]] = OrderedDict()
        self._outlines_asked: set[int] = set()
        self._hot = -1
        self._anchor = -1
        self._all = False
        self._opening = -1
        """What is to be opened as soon as its row is read."""
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.viewport().setMouseTracking(True)
        self.viewport().setAutoFillBackground(False)
        self.setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, False)
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, False)
        self._bubble = look(QLabel(self), "bubble")
        self._bubble.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._bubble.hide()
        self._rest = QTimer(self, singleShot=True, interval=900)
        self._rest.timeout.connect(self._bubble.hide)
        rows.came.connect(self._came)
        rows.counted.connect(self._counted)
        thumbs.came.connect(self._pixels_came)
        crops.came.connect(self._pixels_came)
        self.retranslate()

    def retranslate(self) -> None:
        """The name a screen reader says."""
        self.setAccessibleName(tr("Pictures"))
        self._speak()

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

    @property
    def _step(self) -> int:
        return self._cell.height() + GAP

    def rect_of(self, position: int) -> QRect:
        """Where a cell is, in viewport pixels."""
        cell = self._cell
        line, column = divmod(position, self.columns)
        x = EDGE + column * (cell.width() + GAP)
        y = EDGE + line * (cell.height() + GAP) - self.verticalScrollBar().value()
        return QRect(QPoint(x, y), cell)

    def position_at(self, at: QPoint) -> int:
        """The cell under a point, or -1."""
        cell = self._cell
        column, inside = divmod(at.x() - EDGE, cell.width() + GAP)
        line, below = divmod(at.y() - EDGE + self.verticalScrollBar().value(), cell.height() + GAP)
        position = line * self.columns + column
        fine = 0 <= column < self.columns and inside < cell.width() and below < cell.height() and line >= 0
        return position if fine and 0 <= position < self.rows.count else -1

    def visible(self) -> range:
        """Positions in view."""
        step = self._step
        top = self.verticalScrollBar().value()
        first = max(0, (top - EDGE) // step) * self.columns
        last = ((top + self.viewport().height() - EDGE) // step + 1) * self.columns
        return range(min(first, self.rows.count), min(self.rows.count, last))

    def go_to(self, position: int) -> None:
        """Make a cell current and bring it into view."""
        if not 0 <= position < self.rows.count:
            return
        self.current = position
        step = self._step
        top = position // self.columns * step
        bar = self.verticalScrollBar()
        if top < bar.value():
            bar.setValue(top)
        elif top + step + EDGE > bar.value() + self.viewport().height():
            bar.setValue(top + step + EDGE - self.viewport().height())
        self.viewport().update()
        self._speak()
        self.moved.emit()

    def jump(self, position: int) -> None:
        """Choose a cell alone and bring it to the middle."""
        if 0 <= position < self.rows.count:
            self.selection.only(position, position + 1)
            self._anchor = position
            middle = position // self.columns * self._step - (self.viewport().height() - self._step) // 2
            self.verticalScrollBar().setValue(middle)
            self.go_to(position)
            self.chosen.emit()

    def set_side(self, side: int) -> None:
        """Larger or smaller cells; what is in view stays in view."""
        first = self.visible().start
        self.side = min(max(side, LEAST), MOST)
        self._range()
        top = first // self.columns * self._step
        self.verticalScrollBar().setValue(top)
        self.viewport().update()

    # --- choosing ------------------------------------------------------------------------------------------------

    def chosen_rows(self) -> list[ItemRow | ObjectRow]:
        """The chosen rows that are at hand, at most a thousand."""
        out: list[ItemRow | ObjectRow] = []
        for position in self.selection:
            if (row := self.rows.row(position)) is not None:
                out.append(row)
            if len(out) >= 1000:
                break
        return out

    @property
    def everything(self) -> bool:
        """True when all that matches was asked for, and not one by one."""
        return self._all and self.selection.spans() == [(0, self.rows.count)]

    def choose_all(self) -> None:
        """Choose all that matches."""
        self.selection.only(0, self.rows.count)
        self._all = self.rows.count > 0
        self.chosen.emit()
        self.viewport().update()

    def clear_selection(self) -> None:
        """Choose nothing."""
        self._all = False
        if self.selection:
            self.selection.clear()
            self.chosen.emit()
            self.viewport().update()

    def row_now(self) -> ItemRow | ObjectRow | None:
        """The current cell's row."""
        return self.rows.row(self.current) if self.current >= 0 else None

    def _open(self, position: int) -> None:
        row = self.rows.row(position)
        self._opening = position if row is None else -1
        if isinstance(row, ObjectRow):
            self.opened.emit(row.asset_id, row.uid)
        elif row is not None:
            self.opened.emit(row.asset_id, "")

    def _came(self) -> None:
        self.viewport().update()
        if self.hasFocus():
            self._speak()
            if self._opening >= 0:
                self._open(self._opening)

    def _counted(self) -> None:
        if not self.rows.known:
            self.current, self._anchor, self._opening = -1, -1, -1
            self._outlines.clear()
            self.clear_selection()
            self.verticalScrollBar().setValue(0)
        elif any(end > self.rows.count for _, end in self.selection.spans()):
            self.clear_selection()
        self.current = min(self.current, self.rows.count - 1)
        self._range()
        self.viewport().update()

    def _range(self) -> None:
        lines = -(-self.rows.count // self.columns)
        step = self._step
        bar = self.verticalScrollBar()
        bar.setRange(0, max(0, lines * step - GAP + 2 * EDGE - self.viewport().height()))
        bar.setPageStep(max(1, self.viewport().height() // step * step))
        bar.setSingleStep(step)

    # --- painting ------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        began = time.perf_counter()
        with painted(self) as p:
            self._paint(p, event.rect())
        self.slowest_ms = max(self.slowest_ms, 1000 * (time.perf_counter() - began))

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
        pictures: list[int] = []
        objects: list[int] = []
        focus = self.hasFocus()
        for position in self.visible():
            box = self.rect_of(position)
            row = self.rows.row(position)
            if isinstance(row, ObjectRow):
                objects.append(row.id)
            elif row is not None:
                pictures.append(row.asset_id)
            if box.intersects(dirty):
                self._paint_cell(p, box, position, row, focus)
        self.seen = frozenset(pictures)
        self._outlines_asked &= self.seen
        self._ask_groups()
        self.thumbs.keep_only(pictures)
        self.crops.keep_only(objects)

    def _paint_cell(
        self, p: QPainter, box: QRect, position: int, row: ItemRow | ObjectRow | None, focus: bool
    ) -> None:
        selected = position in self.selection
        own = self.looks
        how = Look(
            selected,
            focus and position == self.current,
            position == self._hot,
            own.colour,
            own.name,
            own.value,
        )
        cells.paint_ground(p, box, how)
        if row is None:
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(theme.current().raised))
            p.drawRoundedRect(cells.frame_of(box), 5, 5)
        elif isinstance(row, ObjectRow):
            crop = self.crops.get(row)
            cells.paint_object(p, box, row, crop, failed=self.crops.failed(row.id), look=how)
        else:
            image = self.thumbs.get(row.asset_id)
            failed = self.thumbs.failed(row.asset_id)
            cells.paint_picture(
                p, box, row, image, failed=failed, look=how, outlines=self._lines(row.asset_id),
                groups=self._groups.get(row.asset_id, ()),
            )  # fmt: skip
        if selected and row is not None:
            cells.paint_check(p, box)

    def _lines(self, asset_id: int) -> list[Outline]:
        """The objects drawn over a picture, when they are wanted and here."""
        if self.outlines_of is None:
            return []
        if asset_id not in self._outlines and asset_id not in self._outlines_asked:
            self._outlines_asked.add(asset_id)

            def came(found: list[Outline]) -> None:
                self._outlines_asked.discard(asset_id)
                self._outlines[asset_id] = found
                while len(self._outlines) > _KEPT_OUTLINES:
                    self._outlines.popitem(last=False)
                self._pixels_came(asset_id)

            self.outlines_of(asset_id, came)
        return self._outlines.get(asset_id, [])

    def _ask_groups(self) -> None:
        """Ask for the groups of what is in view, all at once."""
        rows = (self.rows.row(position) for position in self.visible())
        wanted = [r.asset_id for r in rows if isinstance(r, ItemRow)]
        wanted = [a for a in wanted if a not in self._groups and a not in self._groups_asked]
        if self.groups_of is None or not wanted:
            return
        ticket = self._groups_ticket
        self._groups_asked.update(wanted)

        def came(found: dict[int, tuple[Member, ...]]) -> None:
            if ticket == self._groups_ticket:
                if len(self._groups) > _KEPT_GROUPS:
                    self._groups.clear()
                self._groups.update({a: found.get(a, ()) for a in wanted})
                self._groups_asked.difference_update(wanted)
                self.viewport().update()

        self.groups_of(wanted, came)

    def forget_groups(self) -> None:
        """Groups may have changed."""
        self._groups_ticket += 1
        self._groups.clear()
        self._groups_asked.clear()
        self.viewport().update()

    def forget_outlines(self) -> None:
        """Objects may have changed."""
        self._outlines.clear()
        self._outlines_asked.clear()
        self.viewport().update()

    def _pixels_came(self, row_id: int) -> None:
        for position in self.visible():
            row = self.rows.row(position)
            if row is not None and row_id == (row.id if isinstance(row, ObjectRow) else row.asset_id):
                self.viewport().update(self.rect_of(position))
                return

    def _speak(self) -> None:
        """Tell a screen reader where we are."""
        row = self.row_now()
        if row is None:
            self.setAccessibleDescription("")
            return
        place = tr("{n} of {total}", n=number(self.current + 1), total=number(self.rows.count))
        text = f"{cells.spoken(row, self.looks)}, {place}"
        if self.current in self.selection:
            text += ", " + tr("chosen")
        if text != self.accessibleDescription():
            self.setAccessibleDescription(text)
            if QAccessible.isActive():
                QAccessible.updateAccessibility(QAccessibleEvent(self, QAccessible.Event.DescriptionChanged))

    # --- mouse and keys ------------------------------------------------------------------------------------------

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        self.viewport().scroll(0, dy)
        if self.verticalScrollBar().maximum() > 20 * self._step:
            self._say_place()

    def _say_place(self) -> None:
        """The bubble beside the scroll bar: where one is, while scrolling."""
        shown = self.visible()
        if not len(shown):
            return
        first = shown.start
        row = self.rows.row(first)
        parts = [tr("{n} of {total}", n=number(first + 1), total=number(self.rows.count))]
        if row is not None:
            parts.append(row.path.rsplit("/", 1)[-1])
        self._bubble.setText("  ·  ".join(parts))
        self._bubble.adjustSize()
        bar = self.verticalScrollBar()
        share = bar.value() / max(1, bar.maximum())
        y = round(share * (self.height() - self._bubble.height() - 16)) + 8
        self._bubble.move(self.width() - bar.width() - self._bubble.width() - 12, y)
        self._bubble.show()
        self._bubble.raise_()
        self._rest.start()

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._range()

    def wheelEvent(self, event: QWheelEvent) -> None:
        turn = event.angleDelta().y()
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.set_side(self.side + (16 if turn > 0 else -16))
        else:
            bar = self.verticalScrollBar()
            bar.setValue(bar.value() - round(turn / 120 * self._step * 0.6))
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        at = event.position().toPoint()
        hot = self.position_at(at)
        if (
            event.buttons() & Qt.MouseButton.LeftButton
            and hot >= 0
            and self._anchor >= 0
            and hot != self._hot
        ):
            self._run_to(hot)
        if hot != self._hot:
            old, self._hot = self._hot, hot
            for position in (old, hot):
                if position >= 0:
                    self.viewport().update(self.rect_of(position))
            row = self.rows.row(hot) if hot >= 0 else None
            self.viewport().setToolTip(row.path if row is not None else "")
            if self.explain is not None and isinstance(row, ItemRow):
                self.explain(row.asset_id, lambda said: self._explained(row, said))

    def _explained(self, row: ItemRow, said: str) -> None:
        if said and self._hot >= 0 and self.rows.row(self._hot) == row:
            self.viewport().setToolTip(f"{row.path}\n{said}")

    def leaveEvent(self, event) -> None:
        self._hot = -1
        self.viewport().update()

    def focusInEvent(self, event) -> None:
        super().focusInEvent(event)
        self._speak()
        self.viewport().update()

    def focusOutEvent(self, event) -> None:
        self._opening = -1  # somebody went on to something else
        super().focusOutEvent(event)
        self.viewport().update()

    def _run_to(self, position: int) -> None:
        self.selection.only(min(self._anchor, position), max(self._anchor, position) + 1)
        self.current = position
        self.chosen.emit()
        self.viewport().update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            return
        position = self.position_at(event.position().toPoint())
        self._all, self._opening = False, -1
        if position < 0:
            self.clear_selection()
            return
        keys = event.modifiers()
        if keys & Qt.KeyboardModifier.ShiftModifier and self._anchor >= 0:
            first, end = min(self._anchor, position), max(self._anchor, position) + 1
            if keys & Qt.KeyboardModifier.ControlModifier:
                self.selection.add(first, end)
            else:
                self.selection.only(first, end)
        elif keys & Qt.KeyboardModifier.ControlModifier:
            self.selection.toggle(position)
            self._anchor = position
        else:
            self.selection.only(position, position + 1)
            self._anchor = position
        self.current = position
        self._speak()
        self.chosen.emit()
        self.moved.emit()
        self.viewport().update()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        position = self.position_at(event.position().toPoint())
        if position >= 0:
            self._open(position)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        self._opening = -1
        at, columns = max(0, self.current), self.columns
        page = max(1, self.viewport().height() // self._step) * columns
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
        held = event.modifiers()
        if key in steps and self.rows.count:
            self._all = False
            new = at if self.current < 0 else min(max(at + steps[key], 0), self.rows.count - 1)
            if held & Qt.KeyboardModifier.ShiftModifier and self._anchor >= 0:
                self.selection.only(min(self._anchor, new), max(self._anchor, new) + 1)
            elif not held & Qt.KeyboardModifier.ControlModifier:
                self.selection.only(new, new + 1)
                self._anchor = new
            self.go_to(new)
            self.chosen.emit()
        elif key == Qt.Key.Key_Space and self.current >= 0:
            self.selection.toggle(self.current)
            self._anchor = self.current
            self._speak()
            self.chosen.emit()
            self.viewport().update()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current >= 0:
            self._open(self.current)
        else:
            super().keyPressEvent(event)

"""Ten pictures with what a model found in them; a threshold moves over what was found, without another run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPoint, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QHelpEvent,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from annotation import geometry
from annotation.core import Annotation
from annotation.schema import PALETTE
from app.desktop import theme, widgets
from app.desktop.gallery.thumbnails import Thumbnails
from app.desktop.painted import painted
from app.desktop.widgets import number
from app.i18n import tr, tr_sentence

if TYPE_CHECKING:
    from app.services.preview import Shown

COLUMNS, CELLS = 4, 10
GAP = 8
CAPTION_PX = 22
_DRAWN = 300
"""Objects of one cell that are drawn at most."""


class PreviewGrid(QWidget):
    """Cells keep their place while pictures come; one can be looked at large with a click or Enter."""

    tallied = Signal()

    def __init__(self, thumbs: Thumbnails, large: Callable[[int, Callable[[QImage], None]], None]) -> None:
        """Args: large: reads a picture for the enlarged look and gives it to the callback."""
        super().__init__()
        self._thumbs, self._read_large = thumbs, large
        self._cells: list[Shown | None] = [None] * CELLS
        self._asked: list[int] = []
        self._stale: set[int] = set()
        self._labels: dict[str, int] = {}
        self.least = 0.25
        self.current = 0
        self.zoomed: int | None = None
        self._large: tuple[int, QImage] | None = None
        self._busy = False
        self.note = ""
        """What is said instead of pictures: why there are none."""
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(420, 300)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMouseTracking(True)
        thumbs.came.connect(self._came)
        self._speak()

    # --- what is shown -------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Another preview is being prepared: what is shown is of the last one."""
        self._busy, self.note = True, ""
        self._stale = set(self._asked)
        self.update()

    def begin(self, asset_ids: Sequence[int], labels: Sequence[str]) -> None:
        """Another preview begins on these pictures; what the last one found stays until it is replaced."""
        if list(asset_ids) != self._asked:
            self._asked = list(asset_ids)
            self._cells = [None] * len(self._asked)
            self.current, self.zoomed = 0, None
        self._labels = {name: i for i, name in enumerate(labels)}
        self.hold()

    def put(self, shown: Shown) -> None:
        """A picture came."""
        if shown.asset_id in self._asked:
            self._cells[self._asked.index(shown.asset_id)] = shown
            self._stale.discard(shown.asset_id)
            self.tallied.emit()
            self.update()

    def end(self, note: str = "") -> None:
        """The preview has ended, or cannot be: why not."""
        self._busy, self.note = False, note
        if note:
            self._cells = [None] * len(self._cells)
            self.zoomed = None
        self._speak()
        self.tallied.emit()
        self.update()

    def set_least(self, score: float) -> None:
        """Draw what has at least this score."""
        self.least = score
        self._speak()
        self.tallied.emit()
        self.update()

    @property
    def busy(self) -> bool:
        """Pictures are still to come."""
        return self._busy

    @property
    def shown(self) -> list[Shown]:
        """What came."""
        return [cell for cell in self._cells if cell is not None]

    def kept(self, cell: Shown) -> list[Annotation]:
        """What of a picture lies over the threshold."""
        return [a for a in cell.annotations if (a.score or 0.0) >= self.least]

    def tally(self) -> tuple[int, int, int]:
        """(pictures, objects over the threshold, pictures with none)."""
        counts = [len(self.kept(cell)) for cell in self.shown if cell.problem is None]
        return len(counts), sum(counts), counts.count(0)

    def _speak(self) -> None:
        pictures, objects, _ = self.tally()
        self.setAccessibleName(
            tr("Preview: {objects} objects in {pictures} pictures", objects=objects, pictures=pictures)
        )

    # --- places --------------------------------------------------------------------------------------------------

    def cell_rect(self, i: int) -> QRect:
        """Where a picture is drawn."""
        rows = -(-len(self._cells) // COLUMNS) or 1
        w = (self.width() - GAP * (COLUMNS - 1)) // COLUMNS
        h = (self.height() - GAP * (rows - 1)) // rows
        return QRect((i % COLUMNS) * (w + GAP), (i // COLUMNS) * (h + GAP), w, h)

    def _at(self, place: QPoint) -> int | None:
        return next((i for i in range(len(self._cells)) if self.cell_rect(i).contains(place)), None)

    # --- drawing -------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            self._draw(p)

    def _draw(self, p: QPainter) -> None:
        t = theme.current()
        if self.zoomed is not None and self.zoomed < len(self._cells):
            self._picture(p, self.rect(), self.zoomed, large=True)
            return
        for i in range(len(self._cells)):
            self._picture(p, self.cell_rect(i), i, large=False)
        self._legend(p)
        if self.note:
            box = QRectF(self.rect()).adjusted(60, 0, -60, 0)
            p.setFont(theme.font(13))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            room = p.boundingRect(box, int(flags), self.note).adjusted(-20, -12, 20, 12)
            p.setPen(QPen(QColor(t.line), 1))
            p.setBrush(QColor(t.panel))
            p.drawRoundedRect(room, 8, 8)
            p.setPen(QColor(t.text))
            p.drawText(box, int(flags), self.note)

    def _legend(self, p: QPainter) -> None:
        """What was found, by class, in the room that the last row leaves."""
        n = len(self._cells)
        if n % COLUMNS == 0 or self.note:
            return
        t = theme.current()
        first, last = self.cell_rect(n), self.cell_rect(-(-n // COLUMNS) * COLUMNS - 1)
        box = first.united(last).adjusted(8, 2, 0, -CAPTION_PX)
        counts = Counter(a.label for cell in self.shown for a in self.kept(cell))
        lines = counts.most_common(max(1, box.height() // 22))
        for i, (name, found) in enumerate(lines):
            at = QRect(box.x(), box.y() + i * 22, min(box.width(), 260), 22)
            widgets.draw_swatch(p, QRectF(at.x(), at.y() + 5, 12, 12), self.colour(name))
            p.setFont(theme.font(12))
            p.setPen(QColor(t.second))
            p.drawText(at, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), number(found))
            p.setPen(QColor(t.text))
            room = at.adjusted(20, 0, -44, 0)
            text = QFontMetrics(p.font()).elidedText(name, Qt.TextElideMode.ElideRight, room.width())
            p.drawText(room, int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), text)

    def _picture(self, p: QPainter, box: QRect, i: int, *, large: bool) -> None:
        t = theme.current()
        cell = self._cells[i]
        frame = box.adjusted(0, 0, 0, -CAPTION_PX)
        p.save()
        path = QPainterPath()
        path.addRoundedRect(QRectF(frame), 6, 6)
        p.setClipPath(path)
        p.fillRect(frame, QColor(t.well))
        asset = self._asked[i] if i < len(self._asked) else 0
        image = self._thumbs.get(asset) if asset else None
        if large and self._large is not None and self._large[0] == asset:
            image = self._large[1]
        if image is not None and not self.note:
            scale = min(frame.width() / image.width(), frame.height() / image.height())
            w, h = image.width() * scale, image.height() * scale
            target = QRectF(frame.x() + (frame.width() - w) / 2, frame.y() + (frame.height() - h) / 2, w, h)
            p.drawImage(target, image)
            if cell is not None and cell.problem is None and cell.wh[0]:
                taken: list[QRectF] = []
                for one in self.kept(cell)[:_DRAWN]:
                    self._object(p, target, cell, one, taken, large=large)
        if cell is not None and cell.problem is not None:
            p.setFont(theme.font(12))
            p.setPen(QColor(t.red))
            p.drawText(
                frame.adjusted(8, 8, -8, -8),
                int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap),
                tr_sentence(cell.problem),
            )
        if asset in self._stale and self._busy:
            p.fillRect(frame, QColor(20, 22, 26, 110) if image is not None else QColor(t.raised))
        p.restore()
        if i == self.current and self.hasFocus() and not large:
            p.setPen(QPen(QColor(t.accent), 2))
            p.setBrush(Qt.BrushStyle.NoBrush)
            p.drawRoundedRect(QRectF(frame).adjusted(1, 1, -1, -1), 6, 6)
        self._caption(p, QRect(box.x(), frame.bottom() + 1, box.width(), CAPTION_PX), cell, asset)

    def _caption(self, p: QPainter, box: QRect, cell: Shown | None, asset: int) -> None:
        t = theme.current()
        if cell is None or self.note:
            return
        p.setFont(theme.font(11, bold=True))
        said = number(len(self.kept(cell))) if cell.problem is None else "—"
        wide = QFontMetrics(p.font()).horizontalAdvance(said)
        p.setPen(QColor(t.text if self.kept(cell) else t.second))
        p.drawText(
            box.adjusted(2, 0, -4, 0), int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), said
        )
        p.setFont(theme.font(11))
        p.setPen(QColor(t.second))
        name = cell.path.rsplit("/", 1)[-1]
        room = box.adjusted(2, 0, -wide - 12, 0)
        text = QFontMetrics(p.font()).elidedText(name, Qt.TextElideMode.ElideMiddle, room.width())
        p.drawText(room, int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), text)

    def colour(self, name: str) -> str:
        """A class's colour here: by its place among the model's classes."""
        return PALETTE[self._labels.get(name, 0) % len(PALETTE)]

    def _object(
        self, p: QPainter, target: QRectF, cell: Shown, one: Annotation, taken: list[QRectF], *, large: bool
    ) -> None:
        box = geometry.bbox(one.shape)
        colour = QColor(self.colour(one.label))
        said = f"{one.label} {one.score or 0:.2f}"
        p.setFont(theme.font(12 if large else 10, bold=True))
        metrics = QFontMetrics(p.font())
        if box is None:  # of the whole picture
            at = QRectF(target.x() + 6, target.y() + 6, 0, 0)
        else:
            sx, sy = target.width() / cell.wh[0], target.height() / cell.wh[1]
            at = QRectF(
                target.x() + box.x0 * sx,
                target.y() + box.y0 * sy,
                (box.x1 - box.x0) * sx,
                (box.y1 - box.y0) * sy,
            )
            pen = QPen(colour, 2 if large else 1.5)
            pen.setDashPattern([4, 2.5])  # a prediction is dashed
            p.setPen(pen)
            p.setBrush(Qt.BrushStyle.NoBrush)
            p.drawRect(at)
        if not large and box is not None and at.width() < 22:
            return
        wide, high = metrics.horizontalAdvance(said) + 8, metrics.height() + 1
        room = wide if large or box is None else min(wide, max(26, round(at.width())))
        if room < wide:
            said = f"{one.score or 0:.2f}"
            room = min(room, metrics.horizontalAdvance(said) + 8)
        top = at.y() - high if at.y() - high >= target.y() else at.y()
        tag = QRectF(at.x(), top, room, high)
        while any(tag.intersects(other) for other in taken):  # tags move apart
            tag.translate(0, high)
        if tag.bottom() > target.bottom():
            return
        taken.append(tag)
        p.fillRect(tag, colour)
        p.setPen(QColor(theme.ink_on(colour.name())))
        p.drawText(tag, Qt.AlignmentFlag.AlignCenter, said)

    def _came(self, asset_id: int) -> None:
        if asset_id in self._asked:
            self.update()

    # --- hands ---------------------------------------------------------------------------------------------------

    def enlarge(self, i: int | None) -> None:
        """Look at one picture large, or at all again."""
        self.zoomed = i
        self._large = None
        if i is not None and i < len(self._asked):
            asset = self._asked[i]

            def came(image: QImage) -> None:
                if self.zoomed is not None and self._asked[self.zoomed] == asset:
                    self._large = (asset, image)
                    self.update()

            self._read_large(asset, came)
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.setFocus()
        if self.zoomed is not None:
            self.enlarge(None)
            return
        i = self._at(event.position().toPoint())
        if i is not None and not self.note:
            self.current = i
            self.enlarge(i)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {
            Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Up: -COLUMNS, Qt.Key.Key_Down: COLUMNS,
        }.get(Qt.Key(event.key()))  # fmt: skip
        if step is not None:
            self.current = max(0, min(len(self._cells) - 1, self.current + step))
            self.enlarge(self.current if self.zoomed is not None else None)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.enlarge(None if self.zoomed is not None else self.current)
        elif event.key() == Qt.Key.Key_Escape and self.zoomed is not None:
            self.enlarge(None)
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            i = self._at(event.pos())
            cell = self._cells[i] if i is not None else None
            QToolTip.showText(event.globalPos(), cell.path if cell is not None else "", self)
            return True
        return super().event(event)

    def sizeHint(self) -> QSize:
        return QSize(680, 440)

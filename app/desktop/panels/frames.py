"""The timeline: one row a track over the frames of a sequence, diamonds for key frames, a line for where we are."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from annotation import marks
from app.desktop import theme
from app.desktop.actions import keymap
from app.desktop.desk import Desk
from app.desktop.painted import painted
from app.desktop.sequence import Reel
from app.desktop.widgets import draw_swatch, number, say
from app.i18n import tr

HEAD, ROW, NAMES, EDGE = 20, 20, 132, 12
ROWS = 5
"""Rows in view; more are reached by the wheel."""
LEAST_PX = 4.0
"""Narrowest frame; longer sequences show the part around the open one."""


class Timeline(QWidget):
    """Click a frame to open it; click a track's name to take it in hand."""

    def __init__(self, desk: Desk, sequence: Reel) -> None:
        super().__init__()
        self.desk, self.sequence = desk, sequence
        self._top = 0
        self._hot: int | None = None
        self.setMouseTracking(True)
        self.setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, False)
        say(self, tip="Timeline of the frames")
        sequence.changed.connect(self._changed)
        desk.schema_changed.connect(self.update)
        desk.document.selected.connect(self.update)
        self._changed()

    def _changed(self) -> None:
        n = len(self.sequence.tracks)
        self._top = max(0, min(self._top, n - ROWS))
        self.setFixedHeight(HEAD + ROW * max(1, min(n, ROWS)) + 6)
        self.setVisible(self.sequence.wanted)
        self.update()

    # --- geometry ------------------------------------------------------------------------------------------------

    def span(self) -> tuple[int, float]:
        """(first frame in view, pixels a frame)."""
        n = max(1, len(self.sequence.frames.ids))
        room = max(1, self.width() - NAMES - 2 * EDGE)
        wide = room / n
        if wide >= LEAST_PX:
            return 0, min(wide, 28.0)
        fit = int(room / LEAST_PX)
        here = self.sequence.here or 0
        return max(0, min(here - fit // 2, n - fit)), LEAST_PX

    def x_of(self, frame: int) -> float:
        """Left edge of a frame on the widget."""
        first, wide = self.span()
        return EDGE + NAMES + (frame - first) * wide

    def frame_at(self, x: float) -> int | None:
        """The frame under a place, or None."""
        first, wide = self.span()
        frame = int((x - EDGE - NAMES) // wide) + first
        return frame if x >= EDGE + NAMES and 0 <= frame < len(self.sequence.frames.ids) else None

    def track_at(self, y: float) -> str | None:
        """The track of the row under a place, or None."""
        row = int((y - HEAD) // ROW) + self._top
        tracks = list(self.sequence.tracks)
        return tracks[row] if y >= HEAD and 0 <= row < len(tracks) else None

    # --- painting ------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint(p)

    def _paint(self, p: QPainter) -> None:
        t = theme.current()
        n = len(self.sequence.frames.ids)
        if not n:
            return
        first, wide = self.span()
        last = min(n, first + int((self.width() - NAMES - 2 * EDGE) / wide) + 1)
        self._ruler(p, first, last, wide)
        tracks = list(self.sequence.tracks.items())
        if not tracks:
            p.setFont(theme.font(12))
            p.setPen(QColor(t.second))
            box = QRect(EDGE, HEAD, self.width() - 2 * EDGE, ROW)
            text = tr(
                "No tracks yet: select an object and press {key}, or {follow} to follow it",
                key=keymap.key("track.key"),
                follow=keymap.key("track.follow"),
            )
            p.drawText(box, Qt.AlignmentFlag.AlignVCenter, text)
        for row, (track, objects) in enumerate(tracks[self._top : self._top + ROWS]):
            name = f"{self._top + row + 1}  {self.desk.label_name(next(iter(objects.values())).label)}"
            self._row(p, HEAD + row * ROW, track, name, objects, first, last, wide)
        here = self.sequence.here
        if tracks and here is not None and first <= here < last:
            x = self.x_of(here) + wide / 2
            p.setPen(QPen(QColor(t.accent), 1.5))
            p.drawLine(QPointF(x, HEAD - 6), QPointF(x, self.height() - 4))
            p.setBrush(QColor(t.accent))
            p.setPen(Qt.PenStyle.NoPen)
            p.drawPolygon(
                QPolygonF([QPointF(x - 5, HEAD - 9), QPointF(x + 5, HEAD - 9), QPointF(x, HEAD - 3)])
            )

    def _ruler(self, p: QPainter, first: int, last: int, wide: float) -> None:
        t = theme.current()
        p.setFont(theme.font(10))
        p.setPen(QColor(t.second))
        count = len(self.sequence.frames.ids)
        here = self.sequence.here
        head = tr("Frame {i} of {n}", i=number((here or 0) + 1), n=number(count))
        p.drawText(QRect(EDGE, 0, NAMES - 8, HEAD), Qt.AlignmentFlag.AlignVCenter, head)
        step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000) if s * wide >= 44)
        for frame in range(first - first % step, last, step):
            if frame < first:
                continue
            x = self.x_of(frame)
            if here is not None and abs(x - self.x_of(here)) < 20:
                continue
            box = QRectF(x, 0, 44, HEAD - 4)
            p.drawText(box, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, number(frame + 1))

    def _row(
        self, p: QPainter, y: int, track: str, name: str, objects, first: int, last: int, wide: float
    ) -> None:
        t = theme.current()
        held = track == self.sequence.track
        if held:
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(t.raised))
            p.drawRoundedRect(QRectF(EDGE - 4, y + 1, self.width() - 2 * EDGE + 8, ROW - 2), 4, 4)
        label = next(iter(objects.values())).label
        colour = self.desk.style().colour(label)
        draw_swatch(p, QRectF(EDGE, y + ROW / 2 - 5, 10, 10), colour)
        p.setFont(theme.font(11, bold=held))
        p.setPen(QColor(t.text if held else t.second))
        shown = QFontMetrics(p.font()).elidedText(name, Qt.TextElideMode.ElideRight, NAMES - 26)
        p.drawText(QRect(EDGE + 16, y, NAMES - 24, ROW), Qt.AlignmentFlag.AlignVCenter, shown)
        middle = y + ROW / 2
        faint = theme.contrast(colour, t.panel) < 1.6  # it would vanish on the panel
        for start, end in _runs(objects, first, last):
            bar = QRectF(self.x_of(start), middle - 3, (end - start + 1) * wide, 6)
            soft = QColor(t.second if faint else colour)
            soft.setAlphaF(0.35 if faint else 0.45)
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(soft)
            p.drawRoundedRect(bar, 3, 3)
        side = min(5.0, max(3.0, wide / 2 + 1))
        for frame, a in objects.items():
            if first <= frame < last and marks.is_key(a):
                x = self.x_of(frame) + wide / 2
                p.setPen(QPen(QColor(t.second if faint else t.panel), 1))
                p.setBrush(QColor(colour))
                p.drawPolygon(
                    QPolygonF(
                        [
                            QPointF(x - side, middle),
                            QPointF(x, middle - side - 1),
                            QPointF(x + side, middle),
                            QPointF(x, middle + side + 1),
                        ]
                    )
                )

    # --- mouse ---------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        at = event.position()
        frame, track = self.frame_at(at.x()), self.track_at(at.y())
        if frame is not None:
            there = track is not None and frame in self.sequence.tracks[track]
            self.sequence.go(frame, track if there else None)
        elif track is not None:
            objects = self.sequence.tracks[track]
            here = self.sequence.here or 0
            self.sequence.go(min(objects, key=lambda i: (abs(i - here), i)), track)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        frame = self.frame_at(event.position().x())
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        if frame != self._hot:
            self._hot = frame
            self.setToolTip("" if frame is None else f"{frame + 1} · {self.sequence.frames.paths[frame]}")

    def wheelEvent(self, event: QWheelEvent) -> None:
        step = -1 if event.angleDelta().y() > 0 else 1
        self._top = max(0, min(self._top + step, len(self.sequence.tracks) - ROWS))
        self.update()
        event.accept()


def _runs(objects, first: int, last: int) -> list[tuple[int, int]]:
    """Stretches of frames without a gap, in view."""
    out: list[tuple[int, int]] = []
    for i in sorted(i for i in objects if first <= i < last):
        if out and out[-1][1] == i - 1:
            out[-1] = (out[-1][0], i)
        else:
            out.append((i, i))
    return out

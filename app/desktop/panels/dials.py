"""The eye panel's own controls: a captioned dial that goes back by a double click, and a histogram with a window."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF, QWheelEvent
from PySide6.QtWidgets import QAbstractSlider, QSizePolicy, QWidget

from app.desktop import theme
from app.desktop.painted import painted
from app.desktop.widgets import say

STEPS = 1000
_ARROWS = (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Home, Qt.Key.Key_End)
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class Dial(QAbstractSlider):
    """A caption, a value and a line to drag along. A double click goes back to the neutral value."""

    moved = Signal(float)
    """The person chose a value."""

    def __init__(
        self,
        caption: str,
        low: float,
        high: float,
        neutral: float,
        *,
        ratio: bool = False,
        whole: bool = False,
    ) -> None:
        """`ratio`: equal steps multiply, e.g. gamma. `whole`: only whole numbers."""
        super().__init__()
        self._low, self._high, self.neutral, self._ratio, self._whole = low, high, neutral, ratio, whole
        say(self, caption)
        self.setAccessibleDescription("")
        self.setRange(0, STEPS)
        self.setSingleStep(STEPS // 50 if not whole else round(STEPS / (high - low)))
        self.setPageStep(STEPS // 10)
        self.setFixedHeight(42)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, False)
        self._quiet = False
        self.show_value(neutral)
        self.valueChanged.connect(self._changed)

    def show_value(self, value: float) -> None:
        """Show a value; nothing is told."""
        self._quiet = True
        self.setValue(self._step(value))
        self._quiet = False
        self.update()

    @property
    def amount(self) -> float:
        """The value."""
        share = self.value() / STEPS
        if self._ratio:
            found = self._low * (self._high / self._low) ** share
        else:
            found = self._low + (self._high - self._low) * share
        if self.value() == self._step(self.neutral):
            return self.neutral
        return float(round(found)) if self._whole else round(found, 2)

    def _step(self, value: float) -> int:
        value = min(max(value, self._low), self._high)
        if self._ratio:
            share = math.log(value / self._low) / math.log(self._high / self._low)
        else:
            share = (value - self._low) / (self._high - self._low)
        return round(share * STEPS)

    def _changed(self) -> None:
        self.update()
        if not self._quiet:
            self.moved.emit(self.amount)

    def _said(self) -> str:
        return f"{self.amount:.0f}" if self._whole else f"{self.amount:.2f}"

    # --- mouse and keys ------------------------------------------------------------------------------------------

    def _to(self, x: float) -> None:
        share = (x - 8) / max(1, self.width() - 16)
        step = round(min(max(share, 0.0), 1.0) * STEPS)
        at = self._step(self.neutral)
        if abs(step - at) <= 12:  # the neutral value holds the hand a little
            step = at
        if self._whole:
            unit = STEPS / (self._high - self._low)
            step = round(round(step / unit) * unit)
        self.setValue(step)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._to(event.position().x())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._to(event.position().x())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.setValue(self._step(self.neutral))

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()  # the panel scrolls; a wheel that changed values on its way would be a trap

    def event(self, event: QEvent) -> bool:
        if (
            event.type() == QEvent.Type.ShortcutOverride
            and isinstance(event, QKeyEvent)
            and event.key() in _ARROWS
        ):
            event.accept()  # with the focus here the arrows are the dial's
            return True
        return super().event(event)

    # --- painting ------------------------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        return QSize(200, 42)

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            self._paint(p)

    def _paint(self, p: QPainter) -> None:
        t = theme.current()
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        changed = self.value() != self._step(self.neutral)
        box = QRectF(0, 0, self.width(), 22)
        p.setFont(theme.font(12))
        p.setPen(QColor(t.text))
        p.drawText(box, int(_LEFT), self.accessibleName())
        p.setFont(theme.font(12, bold=changed))
        p.setPen(QColor(t.accent if changed else t.second))
        p.drawText(box, int(_RIGHT), self._said())
        left, right, y = 8.0, self.width() - 8.0, 31.0
        at = left + (right - left) * self.value() / STEPS
        rest = left + (right - left) * self._step(self.neutral) / STEPS
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(QColor(t.line))
        p.drawRoundedRect(QRectF(left, y - 2, right - left, 4), 2, 2)
        p.setBrush(QColor(t.accent))
        p.drawRoundedRect(QRectF(min(at, rest), y - 2, abs(at - rest), 4), 2, 2)
        p.setBrush(QColor(t.second))
        p.drawRoundedRect(QRectF(rest - 1, y - 5, 2, 10), 1, 1)
        p.setBrush(QColor(t.text if changed else t.second))
        p.setPen(QPen(QColor(t.panel), 2))
        p.drawEllipse(QPointF(at, y), 7, 7)
        if self.hasFocus():
            p.setBrush(Qt.BrushStyle.NoBrush)
            p.setPen(QPen(QColor(t.accent), 1.5))
            p.drawEllipse(QPointF(at, y), 10, 10)


class Histogram(QWidget):
    """The picture's samples as hills, and the window on them: drag an end, drag between the ends, double-click for all."""

    moved = Signal(float, float)
    """The person chose a window, in shares of the span."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: NDArray[np.int64] | None = None
        self.span = (0.0, 255.0)
        self.window_at = (0.0, 1.0)
        self.zoomed = (0.0, 1.0)
        """The part of the span that is drawn: 16-bit pictures often use a corner of it."""
        self._grip = ""
        self._from = 0.0
        self.setFixedHeight(104)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        say(self, tip="Window: values below the left end are black, above the right end white")

    def show_samples(self, counts: NDArray[np.int64] | None, span: tuple[float, float]) -> None:
        """Counts over the span, int64 (bins,)."""
        self.counts, self.span = counts, span
        used = np.flatnonzero(counts) if counts is not None else np.zeros(0, np.int64)
        n = 1 if counts is None else len(counts)
        self.zoomed = (0.0, 1.0)
        if len(used) and span[1] > 255:
            low, high = float(used[0]) / n, float(used[-1] + 1) / n
            air = 0.15 * (high - low)
            self.zoomed = (max(0.0, low - air), min(1.0, high + air))
        self.update()

    def show_window(self, low: float, high: float) -> None:
        """The window in force, in shares."""
        self.window_at = (low, high)
        self.update()

    def _x(self, share: float) -> float:
        low, high = self.zoomed
        return 6 + (self.width() - 12) * (share - low) / (high - low)

    def _share(self, x: float) -> float:
        low, high = self.zoomed
        return low + (x - 6) / max(1, self.width() - 12) * (high - low)

    def _near(self, x: float) -> str:
        low = max(4.0, self._x(self.window_at[0]))
        high = min(self.width() - 4.0, self._x(self.window_at[1]))
        if min(abs(x - low), abs(x - high)) <= 8:
            return "low" if abs(x - low) <= abs(x - high) else "high"
        return "both" if low < x < high else ""

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            x = event.position().x()
            self._grip = self._near(x) or ("low" if x < self._x(self.window_at[0]) else "high")
            self._from = self._share(x)
            if self._grip != "both":
                self._drag(x)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        x = event.position().x()
        if self._grip:
            self._drag(x)
        else:
            near = self._near(x)
            split, hand = Qt.CursorShape.SplitHCursor, Qt.CursorShape.OpenHandCursor
            self.setCursor(split if near in ("low", "high") else hand)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._grip = ""

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self._grip = ""
        self.moved.emit(0.0, 1.0)

    def _drag(self, x: float) -> None:
        low, high = self.window_at
        share = min(max(self._share(x), 0.0), 1.0)
        least = 2.0 / max(256.0, self.span[1] - self.span[0])
        if self._grip == "low":
            low = min(share, high - least)
        elif self._grip == "high":
            high = max(share, low + least)
        else:
            by = min(max(share - self._from, -low), 1.0 - high)
            low, high, self._from = low + by, high + by, self._from + by
        self.moved.emit(max(low, 0.0), min(high, 1.0))

    def sizeHint(self) -> QSize:
        return QSize(240, 104)

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            self._paint(p)

    def _paint(self, p: QPainter) -> None:
        t = theme.current()
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        ground = QRectF(0, 0, self.width(), 82)
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(QColor(t.background))
        p.drawRoundedRect(ground, 6, 6)
        low, high = self.window_at
        xl, xh = self._x(low), self._x(high)
        if self.counts is not None and self.counts.max() > 0:
            n = len(self.counts)
            heights = np.sqrt(self.counts / self.counts.max())
            line = [QPointF(self._x(i / n), 78 - 66 * float(v)) for i, v in enumerate(heights)]
            shape = QPolygonF([QPointF(line[0].x(), 78), *line, QPointF(line[-1].x(), 78)])
            p.save()
            p.setClipRect(ground.adjusted(2, 2, -2, -2))
            p.setBrush(QColor(theme.mix(t.background, t.second, 0.45)))
            p.drawPolygon(shape)
            p.setClipRect(QRectF(xl, 2, xh - xl, 78), Qt.ClipOperation.IntersectClip)
            p.setBrush(QColor(theme.mix(t.background, t.accent, 0.8)))
            p.drawPolygon(shape)
            p.restore()
        for x, end in ((xl, "low"), (xh, "high")):
            x = min(max(x, 4.0), self.width() - 4.0)
            p.setBrush(QColor(t.accent))
            p.drawRect(QRectF(x - 0.75, 4, 1.5, 74))
            grip = QRectF(x - 4, 34, 8, 18)
            p.setBrush(QColor(t.text if self._grip == end else t.accent))
            p.drawRoundedRect(grip, 3, 3)
        p.setFont(theme.font(11))
        p.setPen(QColor(t.second))
        ends = [self.span[0] + share * (self.span[1] - self.span[0]) for share in self.window_at]
        below = QRectF(0, 84, self.width(), 18)
        p.drawText(below, int(_LEFT), _value(ends[0], self.span))
        p.drawText(below, int(_RIGHT), _value(ends[1], self.span))


def _value(value: float, span: tuple[float, float]) -> str:
    return f"{value:.0f}" if span[1] - span[0] >= 100 else f"{value:.4g}"

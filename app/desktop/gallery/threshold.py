"""A tick with its count, and a histogram with a threshold to drag: what lies beyond it is meant."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.desktop import icons, theme, widgets
from app.desktop.painted import painted
from app.desktop.widgets import Painted, number

_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_STEP = 0.01
_EDGE = 8


class Tick(Painted):
    """A box to tick, what it is, a word about it, and how many pictures it means."""

    def __init__(self, text: str) -> None:
        super().__init__(30)
        self.setCheckable(True)
        self.second = ""
        self.count: int | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        widgets.say(self, text)
        self.toggled.connect(lambda _: self._speak())

    def set_count(self, n: int | None) -> None:
        """None: not known yet."""
        self.count = n
        self._speak()
        self.update()

    def set_second(self, text: str) -> None:
        """A word behind the name."""
        self.second = text
        self._speak()
        self.update()

    def _speak(self) -> None:
        said = [self.second, number(self.count) if self.count is not None else ""]
        self.setAccessibleDescription(", ".join(x for x in said if x))

    def retranslate(self) -> None:
        """What a screen reader hears."""
        self._speak()

    def sizeHint(self) -> QSize:
        return QSize(200, 30)

    def draw(self, p: QPainter) -> None:
        t = theme.current()
        box = self.rect()
        if self._hot and self.isEnabled():
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(theme.mix(t.panel, t.raised, 0.6)))
            p.drawRoundedRect(box, theme.RADIUS, theme.RADIUS)
        on, live = self.isChecked(), self.isEnabled()
        mark = QRectF(8.5, box.height() / 2 - 8 + 0.5, 15, 15)
        p.setPen(QPen(QColor(t.accent if on else t.second if live else t.line), 1))
        p.setBrush(QColor(t.accent) if on else QColor(t.raised))
        p.drawRoundedRect(mark, 4, 4)
        if on:
            p.drawPixmap(round(mark.x()) + 2, round(mark.y()) + 2, icons.pixmap("check", t.on_accent, 12))
        left, right = 32, box.width() - 8
        if self.count is not None:
            p.setFont(theme.font(12, bold=on))
            said = number(self.count)
            wide = QFontMetrics(p.font()).horizontalAdvance(said)
            p.setPen(QColor(t.text if on else t.second))
            p.drawText(QRect(right - wide - 2, 0, wide + 2, box.height()), _RIGHT, said)
            right -= wide + 10
        p.setFont(theme.font(13, bold=on))
        metrics = QFontMetrics(p.font())
        p.setPen(QColor(t.text if live else t.second))
        text = metrics.elidedText(self.text(), Qt.TextElideMode.ElideRight, max(0, right - left))
        p.drawText(QRect(left, 0, right - left, box.height()), _LEFT, text)
        left += metrics.horizontalAdvance(text) + 8
        if self.second and right - left > 24:
            p.setFont(theme.font(12))
            p.setPen(QColor(t.second))
            rest = QFontMetrics(p.font()).elidedText(self.second, Qt.TextElideMode.ElideRight, right - left)
            p.drawText(QRect(left, 0, right - left, box.height()), _LEFT, rest)


class Threshold(QWidget):
    """Counts over 0..1 as bars and a line to drag; `below`: what lies under the line is meant, else what lies over it."""

    moved = Signal(float)
    """While it is dragged or moved by a key."""

    def __init__(self, value: float, *, below: bool, tip: str) -> None:
        super().__init__()
        self.value, self.below = value, below
        self.bars: tuple[int, ...] = ()
        self._held = False
        self.setFixedHeight(52)
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.SplitHCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, False)
        widgets.say(self, tip=tip)
        self._speak()

    def show_bars(self, bars: Sequence[int]) -> None:
        """Other counts."""
        self.bars = tuple(bars)
        self.update()

    def set_value(self, value: float) -> None:
        """Move the line, 0..1."""
        value = min(1.0, max(0.0, round(value / _STEP) * _STEP))
        if value != self.value:
            self.value = value
            self._speak()
            self.update()
            self.moved.emit(value)

    def _speak(self) -> None:
        self.setAccessibleDescription(f"{'<' if self.below else '>'} {self.value:.2f}")

    def _x(self, value: float) -> float:
        return _EDGE + value * (self.width() - 2 * _EDGE)

    def _at(self, x: float) -> float:
        return (x - _EDGE) / max(1, self.width() - 2 * _EDGE)

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint(p)

    def _paint(self, p: QPainter) -> None:
        t = theme.current()
        foot, room = 44.0, 36.0
        split = self._x(self.value)
        first, last = (self._x(0), split) if self.below else (split, self._x(1))
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(QColor(theme.mix(t.panel, t.accent, 0.12)))
        p.drawRoundedRect(QRectF(first, 4, max(0.0, last - first), foot - 4), 3, 3)
        most = max((*self.bars, 1)) ** 0.5
        wide = (self._x(1) - self._x(0)) / max(1, len(self.bars))
        for i, n in enumerate(self.bars):
            if not n:
                continue
            high = max(2.0, room * n**0.5 / most)  # roots: a few are seen beside a hundred thousand
            middle = (i + 0.5) / len(self.bars)
            meant = middle < self.value if self.below else middle > self.value
            p.setBrush(QColor(t.accent if meant else theme.mix(t.panel, t.second, 0.5)))
            p.drawRoundedRect(
                QRectF(self._x(0) + i * wide + 0.5, foot - high, max(1.0, wide - 1), high), 1, 1
            )
        p.setPen(QPen(QColor(t.line), 1))
        p.drawLine(QPointF(self._x(0), foot + 0.5), QPointF(self._x(1), foot + 0.5))
        ink = QColor(t.text if self._held or self.hasFocus() else t.accent)
        p.setPen(QPen(ink, 2))
        p.drawLine(QPointF(split, 4), QPointF(split, foot))
        p.setPen(QPen(QColor(t.panel), 1.5))
        p.setBrush(ink)
        p.drawEllipse(QPointF(split, foot), 5.5, 5.5)

    # --- hand ----------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._held = True
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        self.set_value(self._at(event.position().x()))
        self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._held:
            self.set_value(self._at(event.position().x()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._held = False
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the line by a hundredth, with Shift by a tenth."""
        far = 0.1 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else _STEP
        if event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Down):
            self.set_value(self.value - far)
        elif event.key() in (Qt.Key.Key_Right, Qt.Key.Key_Up):
            self.set_value(self.value + far)
        else:
            super().keyPressEvent(event)

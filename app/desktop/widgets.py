"""The few widgets the desk is made of, each drawn from the theme's tokens, and texts that follow the language.

`say` gives a widget a text that is looked up again when the language changes; widgets whose text is data call `tr`
in their own `retranslate`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from PySide6.QtCore import QEvent, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QEnterEvent, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QAbstractButton,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app.desktop import icons, theme
from app.desktop.painted import painted
from app.i18n import tr

W = TypeVar("W", bound=QWidget)
_TEXT, _TIP, _HINT, _SPOKEN = "lr_text", "lr_tip", "lr_hint", "lr_spoken"


def say(widget: W, text: str = "", *, tip: str = "", hint: str = "", spoken: str = "") -> W:
    """Give a widget an English text, tool tip, placeholder or accessible name that follows the language. Returns the widget."""
    for name, value in ((_TEXT, text), (_TIP, tip), (_HINT, hint), (_SPOKEN, spoken)):
        if value:
            widget.setProperty(name, value)
    _apply(widget)
    return widget


def _apply(widget: QWidget) -> None:
    text, tip, hint = widget.property(_TEXT), widget.property(_TIP), widget.property(_HINT)
    if text and hasattr(widget, "setText"):
        widget.setText(tr(text))
    if tip:
        widget.setToolTip(tr(tip))
        widget.setAccessibleName(tr(tip))
    if text:
        widget.setAccessibleName(tr(text))
    if hint and isinstance(widget, QLineEdit):
        widget.setPlaceholderText(tr(hint))
        widget.setAccessibleName(tr(hint))
    if spoken := widget.property(_SPOKEN):
        widget.setAccessibleName(tr(spoken))


def retranslate(root: QWidget) -> None:
    """Look every text under `root` up again, then let widgets with texts of their own do theirs."""
    found = (root, *root.findChildren(QWidget))
    for widget in found:  # all of them first: a parent's own texts may stand on its children
        _apply(widget)
    for widget in found:
        own = getattr(widget, "retranslate", None)
        if callable(own):
            own()
        QWidget.update(widget)


def look(widget: W, name: str, **more: str) -> W:
    """Choose a look of the style sheet; `more` are further dynamic properties, e.g. tone="red". Returns the widget."""
    widget.setProperty("look", name)
    for key, value in more.items():
        widget.setProperty(key, value)
    return widget


def label(text: str = "", kind: str = "", *, tone: str = "", wrap: bool = False) -> QLabel:
    """A label with a translated text."""
    made = look(QLabel(), kind, tone=tone)
    made.setWordWrap(wrap)
    made.setTextFormat(Qt.TextFormat.PlainText)
    return say(made, text) if text else made


def button(
    text: str, run: Callable[[], object], *, kind: str = "", icon: str = "", tip: str = ""
) -> QPushButton:
    """A push button with a translated text."""
    made = look(QPushButton(), kind)
    made.clicked.connect(lambda _checked=False: run())
    made.setCursor(Qt.CursorShape.PointingHandCursor)
    if icon:
        made.setProperty("lr_icon", icon)
        _paint_icon(made)
    return say(made, text, tip=tip)


def _paint_icon(made: QPushButton) -> None:
    t = theme.current()
    kind = made.property("look")
    colour = t.on_accent if kind == "primary" else t.red if kind == "danger" else t.text
    made.setIcon(icons.icon(made.property("lr_icon"), colour))
    made.setIconSize(QSize(16, 16))


def repaint_icons(root: QWidget) -> None:
    """Draw every button's icon in the theme's colours."""
    found = list[QPushButton](root.findChildren(QPushButton))
    for made in found:
        if made.property("lr_icon"):
            _paint_icon(made)


def frame(kind: str) -> QFrame:
    """A frame with a look."""
    return look(QFrame(), kind)


def rule() -> QFrame:
    """A thin line across."""
    return frame("rule")


def column(
    parent: QWidget | None = None, *, gap: int = 8, margins: Sequence[int] = (0, 0, 0, 0)
) -> QVBoxLayout:
    """A vertical layout on the grid."""
    box = QVBoxLayout(parent) if parent is not None else QVBoxLayout()
    box.setSpacing(gap)
    box.setContentsMargins(*margins)
    return box


def row(parent: QWidget | None = None, *, gap: int = 8, margins: Sequence[int] = (0, 0, 0, 0)) -> QHBoxLayout:
    """A horizontal layout on the grid."""
    box = QHBoxLayout(parent) if parent is not None else QHBoxLayout()
    box.setSpacing(gap)
    box.setContentsMargins(*margins)
    return box


def clear(layout: QLayout) -> None:
    """Remove and delete everything in a layout."""
    while (item := layout.takeAt(0)) is not None:
        widget, inner = item.widget(), item.layout()
        if widget:
            widget.hide()
            widget.deleteLater()
        elif inner:
            clear(inner)


def scroll(inner: QWidget) -> QScrollArea:
    """An area that scrolls up and down only."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setWidget(inner)
    area.viewport().setAutoFillBackground(False)
    inner.setAutoFillBackground(False)
    return area


def number(value: int) -> str:
    """1234567 as `1 234 567` with thin spaces that do not break."""
    return f"{value:,}".replace(",", "\u202f")


def draw_key(p: QPainter, box: QRect, text: str, *, lit: bool = False) -> None:
    """A key cap with its letter."""
    t = theme.current()
    p.setPen(QPen(QColor(t.line if not lit else t.accent), 1))
    p.setBrush(QColor(t.background if not lit else theme.mix(t.panel, t.accent, 0.25)))
    p.drawRoundedRect(QRectF(box).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
    p.setFont(theme.font(10, bold=True))
    p.setPen(QColor(t.second if not lit else t.accent))
    p.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def draw_swatch(p: QPainter, box: QRectF, colour: str) -> None:
    """A class's colour, with an edge where it would vanish on the panel."""
    t = theme.current()
    faint = theme.contrast(colour, t.panel) < 1.6
    p.setPen(QPen(QColor(t.second), 1) if faint else Qt.PenStyle.NoPen)
    p.setBrush(QColor(colour))
    p.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5) if faint else box, 3, 3)


class Painted(QAbstractButton):
    """Base of the buttons drawn by hand: hover, focus ring and height; `draw` may not raise."""

    def __init__(self, height: int) -> None:
        super().__init__()
        self._height, self._hot = height, False
        self.setFixedHeight(height)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, False)

    def enterEvent(self, event: QEnterEvent) -> None:
        self._hot = True
        self.update()
        super().enterEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        self._hot = False
        self.update()
        super().leaveEvent(event)

    def sizeHint(self) -> QSize:
        return QSize(120, self._height)

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            self.draw(p)
            if self.hasFocus():
                p.setPen(QPen(QColor(theme.current().accent), 1))
                p.setBrush(Qt.BrushStyle.NoBrush)
                p.drawRoundedRect(
                    QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), theme.RADIUS, theme.RADIUS
                )

    def draw(self, p: QPainter) -> None:
        """Paint the button."""
        raise NotImplementedError


class Row(Painted):
    """A line of a side list: swatch, text, second text, count, key. Checked = where you are."""

    second_clicked = Signal()

    def __init__(
        self,
        text: str = "",
        *,
        second: str = "",
        count: str = "",
        tone: str = "",
        swatch: str = "",
        key: str = "",
        under: str = "",
        height: int = 32,
        bar: bool = True,
    ) -> None:
        super().__init__(height if not under else 44)
        self.second, self.count, self.tone, self.swatch, self.key = second, count, tone, swatch, key
        self.under, self.bar = under, bar
        self.dashed = False
        self.setText(text)
        self.setAccessibleName(text)
        self.setCheckable(True)

    def draw(self, p: QPainter) -> None:
        t = theme.current()
        box = self.rect().adjusted(0, 1, 0, -1)
        if self.isChecked() or self._hot:
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(t.raised if self.isChecked() else theme.mix(t.panel, t.raised, 0.6)))
            p.drawRoundedRect(box, theme.RADIUS, theme.RADIUS)
        if self.isChecked() and self.bar:
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(t.accent))
            p.drawRoundedRect(QRect(0, box.top() + 7, 3, box.height() - 14), 1.5, 1.5)
        left, right, middle = 12, box.width() - 8, box.center().y()
        if self.swatch:
            mark = QRectF(left, middle - 6, 12, 12)
            if self.dashed:
                p.setBrush(Qt.BrushStyle.NoBrush)
                pen = QPen(QColor(self.swatch), 2)
                pen.setDashPattern([1.5, 1.2])
                p.setPen(pen)
                p.drawRoundedRect(mark.adjusted(1, 1, -1, -1), 2, 2)
            else:
                draw_swatch(p, mark, self.swatch)
            left += 24
        if self.key:
            wide = max(18, QFontMetrics(theme.font(10, bold=True)).horizontalAdvance(self.key) + 10)
            cap = QRect(right - wide, middle - 9, wide, 18)
            draw_key(p, cap, self.key, lit=self.isChecked())
            right = cap.left() - 8
        if self.count:
            p.setFont(theme.font(12))
            width = QFontMetrics(p.font()).horizontalAdvance(self.count)
            tone = getattr(t, self.tone) if self.tone else t.second
            p.setPen(QColor(tone))
            p.drawText(QRect(right - width - 2, box.top(), width + 2, box.height()), _RIGHT, self.count)
            right -= width + 10
        p.setFont(theme.font(13, bold=self.isChecked()))
        metrics = QFontMetrics(p.font())
        p.setPen(QColor(t.text if self.isEnabled() else t.second))
        text = metrics.elidedText(self.text(), Qt.TextElideMode.ElideMiddle, max(0, right - left))
        if self.under:
            p.drawText(QRect(left, box.top() + 3, right - left, 20), _LEFT, text)
            p.setFont(theme.font(11))
            p.setPen(QColor(t.second))
            below = QFontMetrics(p.font()).elidedText(
                self.under, Qt.TextElideMode.ElideRight, max(0, right - left)
            )
            p.drawText(QRect(left, box.top() + 21, right - left, 18), _LEFT, below)
            return
        p.drawText(QRect(left, box.top(), right - left, box.height()), _LEFT, text)
        left += metrics.horizontalAdvance(text) + 8
        if self.second and right - left > 24:
            p.setFont(theme.font(12))
            p.setPen(QColor(t.second))
            rest = QFontMetrics(p.font()).elidedText(self.second, Qt.TextElideMode.ElideRight, right - left)
            p.drawText(QRect(left, box.top(), right - left, box.height()), _LEFT, rest)


_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class Tool(Painted):
    """A tool of the top row with its key drawn on it."""

    def __init__(self, text: str, key: str, icon: str = "", *, action: str = "") -> None:
        super().__init__(32)
        self.key, self.icon_name, self.action_id = key, icon, action
        self.named = True
        """False where there is room for icon and key only."""
        self.keyed = True
        """False where there is room for the icon only; the tool tip names the key."""
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        say(self, text)

    def sizeHint(self) -> QSize:
        if not self.named and self.icon_name:
            return QSize(self.short_width(), 32)
        width = QFontMetrics(theme.font(13, bold=True)).horizontalAdvance(self.text())
        return QSize(10 + (22 if self.icon_name else 0) + width + 8 + self._cap_px() + 8, 32)

    def short_width(self) -> int:
        """Width without the name."""
        return 10 + 22 + self._cap_px() + 8 if self.keyed else 36

    def _cap_px(self) -> int:
        return max(18, QFontMetrics(theme.font(10, bold=True)).horizontalAdvance(self.key) + 10)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def draw(self, p: QPainter) -> None:
        t = theme.current()
        box = self.rect()
        on = self.isChecked()
        if on or self._hot:
            p.setPen(QPen(QColor(t.accent), 1) if on else Qt.PenStyle.NoPen)
            p.setBrush(QColor(theme.mix(t.panel, t.accent, 0.18) if on else t.raised))
            p.drawRoundedRect(QRectF(box).adjusted(0.5, 0.5, -0.5, -0.5), theme.RADIUS, theme.RADIUS)
        colour = t.accent if on else t.text if self.isEnabled() else theme.mix(t.second, t.panel, 0.45)
        left = 10
        if self.icon_name:
            p.drawPixmap(left, 8, icons.pixmap(self.icon_name, colour, 16))
            left += 22
        if self.named or not self.icon_name:
            p.setFont(theme.font(13, bold=True))
            p.setPen(QColor(colour))
            width = QFontMetrics(p.font()).horizontalAdvance(self.text())
            p.drawText(QRect(left, 0, width + 2, box.height()), _LEFT, self.text())
            left += width + 8
        if self.keyed or self.named:
            draw_key(p, QRect(left, 7, self._cap_px(), 18), self.key, lit=on)


class Meter(QWidget):
    """A thin progress bar. None = still unknown: a soft full bar."""

    def __init__(self, tone: str = "accent", height: int = 8) -> None:
        super().__init__()
        self.tone, self._share = tone, 0.0  # type: str, float | None
        self.setFixedHeight(height)
        self.setMinimumWidth(48)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_share(self, share: float | None) -> None:
        """0..1, or None."""
        if share != self._share:
            self._share = share
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        t = theme.current()
        with painted(self) as p:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            p.setPen(Qt.PenStyle.NoPen)
            radius = self.height() / 2
            p.setBrush(QColor(t.raised))
            p.drawRoundedRect(self.rect(), radius, radius)
            colour = QColor(getattr(t, self.tone))
            if self._share is None:
                colour.setAlphaF(0.35)
            share = 1.0 if self._share is None else max(0.0, min(1.0, self._share))
            if share > 0:
                p.setBrush(colour)
                p.drawRoundedRect(
                    QRectF(0, 0, max(self.height(), share * self.width()), self.height()), radius, radius
                )


class Dot(QWidget):
    """A small round sign: green saved, accent working, red wrong."""

    def __init__(self, tone: str = "green", side: int = 8) -> None:
        super().__init__()
        self._tone = tone
        self.setFixedSize(side, side)

    def set_tone(self, tone: str) -> None:
        """Name of a colour role."""
        if tone != self._tone:
            self._tone = tone
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(getattr(theme.current(), self._tone)))
            p.drawEllipse(self.rect())


class Pill(QLabel):
    """A short state in a rounded tint."""

    def __init__(self, text: str = "", tone: str = "second") -> None:
        super().__init__(text)
        self._tone = tone
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.setContentsMargins(10, 0, 10, 0)
        self.setFixedHeight(20)

    def set(self, text: str, tone: str) -> None:
        """Text and colour role."""
        self._tone = tone
        self.setText(text)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(QFontMetrics(theme.font(11, bold=True)).horizontalAdvance(self.text()) + 20, 20)

    def paintEvent(self, event: QPaintEvent) -> None:
        t = theme.current()
        with painted(self) as p:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            colour = getattr(t, self._tone)
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(theme.mix(t.panel, colour, 0.16)))
            p.drawRoundedRect(self.rect(), 10, 10)
            p.setFont(theme.font(11, bold=True))
            p.setPen(QColor(colour))
            p.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self.text())


class Elided(QLabel):
    """A one-line label that shortens its text in the middle instead of widening its column."""

    def __init__(self, text: str = "", kind: str = "") -> None:
        super().__init__(text)
        look(self, kind)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def paintEvent(self, event: QPaintEvent) -> None:
        with painted(self) as p:
            text = QFontMetrics(self.font()).elidedText(
                self.text(), Qt.TextElideMode.ElideMiddle, self.width()
            )
            p.setFont(self.font())
            p.setPen(self.palette().color(self.foregroundRole()))
            p.drawText(self.rect(), int(_LEFT), text)

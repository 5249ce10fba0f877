"""The desk's menu: lines with icon, name and key, opened at a place, driven by mouse or arrows and Enter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QWidget

from app.desktop import icons, theme
from app.desktop.widgets import Painted, column, draw_key, frame, rule


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a menu. An empty text is a rule between groups."""

    text: str
    key: str = ""
    run: Callable[[], object] = lambda: None
    icon: str = ""
    checked: bool = False
    danger: bool = False


RULE = Entry("")


class _Line(Painted):
    def __init__(self, entry: Entry) -> None:
        super().__init__(30)
        self.entry = entry
        self.lit = False
        self.setText(entry.text)
        self.setAccessibleName(f"{entry.text} {entry.key}".strip())
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def cap_px(self) -> int:
        face = theme.font(10, bold=True)
        return QFontMetrics(face).horizontalAdvance(self.entry.key) + 10 if self.entry.key else 0

    def sizeHint(self) -> QSize:
        text = QFontMetrics(theme.font(13)).horizontalAdvance(self.entry.text)
        return QSize(36 + text + 24 + self.cap_px() + 12, 30)

    def draw(self, p: QPainter) -> None:
        t, box = theme.current(), self.rect()
        if self.lit:
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(t.raised))
            p.drawRoundedRect(box.adjusted(0, 1, 0, -1), theme.RADIUS, theme.RADIUS)
        colour = t.red if self.entry.danger else t.accent if self.entry.checked else t.text
        name = self.entry.icon or ("check" if self.entry.checked else "")
        if name:
            p.drawPixmap(
                10,
                7,
                icons.pixmap(
                    name, colour if self.entry.danger else t.second if not self.entry.checked else colour, 16
                ),
            )
        p.setFont(theme.font(13, bold=self.entry.checked))
        p.setPen(QPen(QColor(colour)))
        p.drawText(
            QRect(36, 0, box.width() - 36, box.height()), Qt.AlignmentFlag.AlignVCenter, self.entry.text
        )
        if self.entry.key:
            wide = self.cap_px()
            draw_key(p, QRect(box.width() - wide - 10, 6, wide, 18), self.entry.key)


class Menu(QWidget):
    """Opens once over its parent, runs at most one entry, and is gone. A click beside it closes it.

    No window of its own: a popup window lets the shortcuts of the page under it through, and cannot be drawn on every
    platform.
    """

    closed = Signal()

    def __init__(self, parent: QWidget, entries: Sequence[Entry]) -> None:
        super().__init__(parent)
        self.setGeometry(parent.rect())
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.card = frame("float")
        self.card.setParent(self)
        inside = column(self.card, gap=0, margins=(6, 6, 6, 6))
        self.lines: list[_Line] = []
        for entry in entries:
            if not entry.text:
                inside.addSpacing(4)
                inside.addWidget(rule())
                inside.addSpacing(4)
                continue
            line = _Line(entry)
            line.clicked.connect(lambda _=False, line=line: self._run(line))
            line.installEventFilter(self)
            self.lines.append(line)
            inside.addWidget(line)
        self._at = -1

    def open_at(self, where: QPoint) -> None:
        """Show the menu with its corner at a place of the parent, moved to stay inside."""
        self.card.adjustSize()
        card = self.card
        x = max(4, min(where.x(), self.width() - card.width() - 4))
        y = max(4, min(where.y(), self.height() - card.height() - 4))
        card.move(x, y)
        self.show()
        self.raise_()
        self.setFocus(Qt.FocusReason.PopupFocusReason)

    def finish(self) -> None:
        """Close it."""
        self.hide()
        self.closed.emit()
        self.deleteLater()

    def event(self, event: QEvent) -> bool:
        """Keys belong to the menu while it is open, not to the shortcuts of the window."""
        if event.type() == QEvent.Type.ShortcutOverride:
            event.accept()
            return True
        return super().event(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Enter and watched in self.lines:
            self._light(self.lines.index(watched))  # type: ignore[arg-type]
        return False

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if not self.card.geometry().contains(event.position().toPoint()):
            self.finish()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, n = event.key(), len(self.lines)
        if key in (Qt.Key.Key_Down, Qt.Key.Key_Tab) and n:
            self._light((self._at + 1) % n)
        elif key in (Qt.Key.Key_Up, Qt.Key.Key_Backtab) and n:
            self._light((self._at - 1) % n)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and 0 <= self._at < n:
            self._run(self.lines[self._at])
        elif key in (Qt.Key.Key_Escape, Qt.Key.Key_Menu):
            self.finish()

    def focusNextPrevChild(self, forward: bool) -> bool:
        return False

    def _light(self, at: int) -> None:
        self._at = at
        for i, line in enumerate(self.lines):
            line.lit = i == at
            line.update()

    def _run(self, line: _Line) -> None:
        self.finish()
        line.entry.run()

"""Keeps shortcuts silent while an input method composes, and Return and Escape with the line edit that has them."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QInputMethodEvent, QKeyEvent
from PySide6.QtWidgets import QLineEdit

_OWN = frozenset((Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape, Qt.Key.Key_Tab))


class Guard(QObject):
    """An event filter for the whole application. It sees every event, so it must stay tiny."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.composing = False

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if kind == QEvent.Type.InputMethod and isinstance(event, QInputMethodEvent):
            self.composing = bool(event.preeditString())
        elif kind == QEvent.Type.FocusOut:
            self.composing = False
        elif kind == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            if self.composing:
                event.accept()
                return True
            if isinstance(watched, QLineEdit) and event.key() in _OWN:
                event.accept()
                return True
        return False

"""Keeps shortcuts silent while an input method composes, and while a line is typed in all keys but those with Ctrl."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QInputMethodEvent, QKeyEvent
from PySide6.QtWidgets import QAbstractSpinBox, QLineEdit, QPlainTextEdit, QTextEdit

_TYPED = (QLineEdit, QPlainTextEdit, QTextEdit, QAbstractSpinBox)
_CTRL, _ALT, _META = (
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.MetaModifier,
)


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
            if isinstance(watched, _TYPED):
                held = event.modifiers()
                # Ctrl and Alt together are AltGr on many boards: a letter, not a command.
                if not held & (_CTRL | _META) or (held & _CTRL and held & _ALT):
                    event.accept()
                    return True
        return False

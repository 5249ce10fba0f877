"""What every tool has: reshaping what is selected, and the calls the canvas makes.

A tool gets positions in source pixels, keeps only the gesture in hand, shows it through `canvas.show_live`, and ends it
with one commit. Escape puts everything back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QPainter

from annotation.core import Annotation
from app.desktop.canvas import shapes

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas

START_PX = 4.0
"""The mouse must travel this far on the screen before a press becomes a drag."""
REACH_PX = 6.0


class Tool:
    """Base: reshaping what is selected, which every tool can do."""

    name = ""
    cursor = Qt.CursorShape.ArrowCursor
    crosshair = False
    hover = True
    """Objects under the mouse light up."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self._at: tuple[float, float] | None = None
        self._handle: shapes.Handle | None = None
        self._held: Annotation | None = None

    @property
    def busy(self) -> bool:
        """A gesture is in hand."""
        return self._at is not None

    def press(self, x: float, y: float, *, add: bool) -> None:
        """The left button went down at (x, y); `add` = with Shift."""

    def move(self, x: float, y: float, *, square: bool) -> None:
        """The mouse moved; `square` = with Shift."""
        if self._handle is not None and self._held is not None:
            x, y = self.canvas.inside(x, y)
            shape = shapes.with_handle(self._held.shape, self._handle, x, y)
            self.canvas.show_live([replace(self._held, shape=shape)])

    def release(self, x: float, y: float) -> None:
        """The left button went up."""
        if self._handle is not None:
            self.canvas.commit_live("reshape")
        self.cancel()

    def double(self, x: float, y: float) -> None:
        """A double click."""

    def right(self, x: float, y: float) -> bool:
        """The right button went down at (x, y); True when the tool used it."""
        return False

    def wheel(self, step: float) -> bool:
        """The wheel was turned by so many notches with Ctrl or Alt held; True when the tool used it."""
        return False

    def enter(self) -> bool:
        """Return was pressed; True when the tool used it."""
        return False

    def back(self) -> bool:
        """Backspace was pressed; True when the tool used it."""
        return False

    def cancel(self) -> bool:
        """Escape: put everything back. True when there was something."""
        had = self.busy
        self._at = self._handle = self._held = None
        self.canvas.drop_live()
        return had

    def paint(self, p: QPainter) -> None:
        """Draw the gesture in hand, in screen pixels."""

    def _grab(self, x: float, y: float) -> bool:
        """Take the handle of the selected object under the mouse."""
        found = self.canvas.handle_at(x, y)
        if found is None:
            return False
        self._held, self._handle = found
        self._at = (x, y)
        return True

"""The tool that pins a remark."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt

from app.desktop.canvas.tools.base import Tool

if TYPE_CHECKING:
    from app.desktop.canvas.view import Canvas


class RemarkTool(Tool):
    """A click pins a remark, on the object under the mouse if there is one; then words are asked for."""

    name = "remark"
    cursor = Qt.CursorShape.PointingHandCursor

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self.placed: Callable[[float, float, str | None], None] = _nobody
        """Told the place in source pixels and the object under it."""

    def press(self, x: float, y: float, *, add: bool) -> None:
        uid = self.canvas.object_at(x, y)
        self.canvas.set_tool("select")
        self.placed(x, y, uid)

    def move(self, x: float, y: float, *, square: bool) -> None:
        """Nothing is dragged."""


def _nobody(x: float, y: float, uid: str | None) -> None:
    """Before a panel listens."""

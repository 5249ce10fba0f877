"""The tool for what belongs to the whole picture: tags, put on and taken away by the classes' keys."""

from __future__ import annotations

from collections.abc import Callable

from app.desktop.canvas.tools.base import Tool
from app.i18n import tr


class TagTool(Tool):
    """A class key or a chip toggles the picture's tag of that class; Enter that of the class in hand."""

    name = "tag"

    def __init__(self, canvas) -> None:
        super().__init__(canvas)
        self.toggle: Callable[[str], object] = lambda _code: None
        """Set by the editing commands."""

    def press(self, x: float, y: float, *, add: bool) -> None:
        self.choose_at(x, y)

    def named(self, code: str) -> bool:
        self.toggle(code)
        return True

    def enter(self) -> bool:
        if self.canvas.label is None:
            return False
        self.toggle(self.canvas.label)
        return True

    def hint(self, label: str) -> str:
        return tr(
            "A class key puts its tag on the picture or takes it away · Enter {label} · Esc ends", label=label
        )

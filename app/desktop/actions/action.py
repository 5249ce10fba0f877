"""One row of the table of actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.i18n import tr

if TYPE_CHECKING:
    from app.desktop.window import Window


@dataclass(frozen=True, slots=True)
class Action:
    """One action. `place`: "any", or the place whose keys these are; `keys`: the defaults, the first is shown."""

    id: str
    text: str
    run: Callable[[Window], object]
    keys: tuple[str, ...] = ()
    place: str = "any"
    words: str = ""
    """More words the palette finds it by."""
    repeat: bool = False
    """A held key runs it again and again."""
    when: Callable[[Window], bool] | None = None
    """Whether it can be done now; None = whenever a workspace is open."""
    n: int = 0
    """Fills `{n}` in the text, for rows of which there is one for each digit."""
    listed: bool = True
    """Shown in the palette."""
    free: bool = False
    """Can be done without a workspace."""

    @property
    def name(self) -> str:
        """The text in the language in use."""
        return tr(self.text, n=self.n) if self.n else tr(self.text)

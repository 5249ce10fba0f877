"""What the menu of the canvas holds, chosen from ACTIONS by what is selected."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtWidgets import QWidget

from app.desktop import actions
from app.desktop.menu import RULE, Entry

if TYPE_CHECKING:
    from app.desktop.window import Window

SELECTED = (
    ("class.ask",),
    ("duplicate", "copy", "cut", "paste"),
    ("group", "ungroup", "tool.link", "unlink"),
    ("union", "subtract", "intersect", "join", "split", "fill.holes"),
    ("convert", "fit.box", "simplify", "keypoint.seen", "polygon.hole"),
    ("order.top", "order.bottom", "lock", "hide", "hide.others"),
    ("delete",),
)
PICTURE = (
    ("paste", "copy.previous", "select.all"),
    ("show.all", "unlock.all", "hide.class"),
    ("snap", "outside"),
    ("caption", "tool.tag", "fit"),
)
"""Groups of action ids for a click on objects, and for one beside them."""

ICONS = {
    "duplicate": "copy",
    "copy": "copy",
    "cut": "cut",
    "paste": "paste",
    "copy.previous": "paste",
    "group": "group",
    "tool.link": "link",
    "union": "union",
    "subtract": "subtract",
    "intersect": "intersect",
    "join": "join",
    "convert": "convert",
    "fit.box": "box",
    "order.top": "raise",
    "order.bottom": "lower",
    "lock": "lock",
    "hide": "hidden",
    "show.all": "eye",
    "unlock.all": "unlock",
    "delete": "delete",
    "snap": "magnet",
    "caption": "caption",
    "tool.tag": "tag",
    "fit": "fit",
}


def entries(window: QWidget, selected: bool) -> list[Entry]:
    """Lines of the menu: only what can be done now, with its key."""
    desk = cast("Window", window)
    ways = desk.annotate.canvas.ways
    on = {"snap": ways.snap, "outside": ways.outside}
    found: list[Entry] = []
    for group in SELECTED if selected else PICTURE:
        lines = []
        for name in group:
            action = actions.BY_ID[name]
            if desk.can(action):
                run = lambda action=action: desk.trigger(action)  # noqa: E731
                lines.append(
                    Entry(
                        action.name,
                        actions.key(name),
                        run,
                        ICONS.get(name, ""),
                        on.get(name, False),
                        name == "delete",
                    )
                )
        if lines:
            found += [RULE, *lines] if found else lines
    return found

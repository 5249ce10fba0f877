"""The drawing tools, one key each."""

from __future__ import annotations

from app.desktop.actions.action import Action

ROWS: tuple[Action, ...] = (
    Action("tool.select", "Select", lambda w: w.annotate.set_tool("select"), ("V",), "annotate"),
    Action("tool.box", "Box", lambda w: w.annotate.set_tool("box"), ("R",), "annotate", "rectangle"),
    Action("tool.polygon", "Polygon", lambda w: w.annotate.set_tool("polygon"), ("P",), "annotate"),
    Action("cancel", "Put back", lambda w: w.annotate.cancel(), ("Escape",), "annotate", listed=False),
)  # fmt: skip

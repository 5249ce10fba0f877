"""What the mouse does on the canvas: one small class a tool, one file a family. `TOOLS` names them all."""

from __future__ import annotations

from annotation.core import Polygon, Shape
from app.desktop.canvas.tools.base import REACH_PX, START_PX, Tool
from app.desktop.canvas.tools.boxes import BoxTool
from app.desktop.canvas.tools.lines import PolygonTool
from app.desktop.canvas.tools.select import Select

__all__ = ["REACH_PX", "START_PX", "TOOLS", "Tool", "kind_of"]

TOOLS: dict[str, type[Tool]] = {"select": Select, "box": BoxTool, "polygon": PolygonTool}


def kind_of(shape: Shape) -> str:
    """The kind of a shape a tool can draw."""
    return "polygon" if isinstance(shape, Polygon) else "box"

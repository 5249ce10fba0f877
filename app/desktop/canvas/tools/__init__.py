"""What the mouse does on the canvas: one small class a tool, one file a family. `TOOLS` names them all."""

from __future__ import annotations

from app.desktop.canvas.tools.base import REACH_PX, START_PX, Clicked, Tool, Ways
from app.desktop.canvas.tools.boxes import BoxTool, CuboidTool, EllipseTool, RotatedBoxTool
from app.desktop.canvas.tools.brush import BrushTool
from app.desktop.canvas.tools.lines import LineTool, LinkTool, PointsTool, PolygonTool, QuadTool, SliceTool
from app.desktop.canvas.tools.remark import RemarkTool
from app.desktop.canvas.tools.select import Select
from app.desktop.canvas.tools.skeleton import SkeletonTool
from app.desktop.canvas.tools.smart import GrabCutTool, PromptTool, ScissorsTool, WandTool
from app.desktop.canvas.tools.whole import TagTool

__all__ = ["REACH_PX", "START_PX", "TOOLS", "Clicked", "Select", "Tool", "Ways"]

TOOLS: dict[str, type[Tool]] = {
    made.name: made
    for made in (
        Select,
        BoxTool,
        RotatedBoxTool,
        QuadTool,
        EllipseTool,
        CuboidTool,
        PolygonTool,
        LineTool,
        PointsTool,
        SkeletonTool,
        BrushTool,
        TagTool,
        SliceTool,
        LinkTool,
        RemarkTool,
        ScissorsTool,
        GrabCutTool,
        WandTool,
        PromptTool,
    )
}
"""By name; a tool that draws bears the name of the kind it draws, but for the brush, which draws masks."""

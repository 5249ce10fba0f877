"""Smart tools, and sequences of frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.desktop.actions.action import Action

if TYPE_CHECKING:
    from app.desktop.window import Window


def _chosen(w: Window) -> bool:
    return bool(w.desk.document.selection)


def _tracked(w: Window) -> bool:
    return bool(w.annotate.sequence.chosen_tracks())


def _holds(name: str) -> Callable[[Window], bool]:
    return lambda w: bool(w.annotate.canvas.tool.name == name)


ROWS: tuple[Action, ...] = (
    Action("tool.scissors", "Intelligent scissors", lambda w: w.annotate.set_tool("scissors"), ("Alt+X",), "annotate", "magnetic lasso livewire edge 智能剪刀"),
    Action("tool.grabcut", "GrabCut", lambda w: w.annotate.set_tool("grabcut"), ("G",), "annotate", "foreground cut out 前景"),
    Action("tool.wand", "Magic wand (flood fill)", lambda w: w.annotate.set_tool("wand"), ("Alt+W",), "annotate", "colour tolerance 魔棒"),
    Action("tool.prompt", "Segment by prompts", lambda w: w.annotate.set_tool("prompt"), ("S",), "annotate", "sam segment anything mask 分割 提示"),
    Action("smart.kind", "Smart tools make masks or polygons", lambda w: w.annotate.smart.toggle_mask(), ("Alt+K",), "annotate", "result 掩膜 多边形"),
    Action("wand.contiguous", "Wand: joined pixels or all of the colour", lambda w: w.annotate.smart.toggle_contiguous(), ("Alt+Shift+W",), "annotate", "contiguous"),
    Action("prompt.next", "Next mask the model offers", lambda w: w.annotate.smart.cycle(), ("Alt+S",), "annotate", "candidate cycle", when=_holds("prompt")),
    Action("prompt.model", "Choose the promptable model…", lambda w: w.sheets.choose_promptable(), (), "annotate", "sam 模型"),
    Action("copy.next", "Copy to the next picture", lambda w: w.annotate.sequence.copy_forward(1), ("Shift+D",), "annotate", "propagate 复制到下一张"),
    Action("copy.forward", "Copy to the next pictures…", lambda w: w.sheets.copy_forward(), ("Ctrl+Shift+D",), "annotate", "propagate 复制到后续"),
    Action("track.key", "Key frame: set or take back", lambda w: w.annotate.sequence.toggle_key(), ("Alt+T",), "annotate", "track keyframe 关键帧 轨迹"),
    Action("track.proceed", "The track goes on here", lambda w: w.annotate.sequence.proceed(), ("Alt+Shift+T",), "annotate", "continue keyframe 继续"),
    Action("track.key.previous", "Previous key frame", lambda w: w.annotate.sequence.go_key(-1), ("Alt+Q",), "annotate", "上一关键帧", repeat=True),
    Action("track.key.next", "Next key frame", lambda w: w.annotate.sequence.go_key(1), ("Alt+E",), "annotate", "下一关键帧", repeat=True),
    Action("track.follow", "Track by template", lambda w: w.annotate.sequence.follow("template"), ("Shift+T",), "annotate", "follow object forward 跟踪", when=_chosen),
    Action("track.follow.flow", "Track by optical flow", lambda w: w.annotate.sequence.follow("flow"), ("Shift+Y",), "annotate", "lucas kanade 光流", when=_chosen),
    Action("track.delete", "Delete the track from here on", lambda w: w.annotate.sequence.delete_onward(), ("Shift+Del",), "annotate", "track end 删除轨迹", when=_tracked),
    Action("track.split", "Split the track here", lambda w: w.annotate.sequence.split(), (), "annotate", "拆分轨迹", when=_tracked),
    Action("track.merge", "Join with the track in hand before", lambda w: w.annotate.sequence.merge(), (), "annotate", "merge tracks 合并轨迹", when=_tracked),
    Action("timeline", "Show or hide the timeline", lambda w: w.annotate.sequence.toggle(), ("Ctrl+Shift+T",), "annotate", "frames 时间线 帧"),
)  # fmt: skip

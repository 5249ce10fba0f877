"""ACTIONS: everything a person can do, once: its name, key, place and what it runs.

Shortcuts, tool row, buttons' keys and the command palette are drawn from this one table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.desktop.window import Window


@dataclass(frozen=True, slots=True)
class Action:
    """One action. `place`: "any", or the place whose keys these are; `keys`: the first is shown."""

    id: str
    text: str
    run: Callable[[Window], object]
    keys: tuple[str, ...] = ()
    place: str = "any"
    words: str = ""
    """More words the palette finds it by."""


ACTIONS: tuple[Action, ...] = (
    Action("place.overview", "Overview", lambda w: w.go("overview"), ("Ctrl+1",), words="home 总览"),
    Action("place.gallery", "Gallery", lambda w: w.go("gallery"), ("Ctrl+2",), words="pictures 图库"),
    Action("place.annotate", "Annotate", lambda w: w.go("annotate"), ("Ctrl+3",), words="draw 标注"),
    Action("place.versions", "Versions", lambda w: w.go("versions"), ("Ctrl+4",), words="freeze 版本"),
    Action("palette", "Find an action", lambda w: w.show_palette(), ("Ctrl+K",), words="search command"),
    Action("pictures.add", "Add pictures…", lambda w: w.sheets.add_pictures(), ("Ctrl+I",), words="ingest import folder 图片"),
    Action("labels.import", "Import labels…", lambda w: w.sheets.import_labels(), ("Ctrl+Shift+I",), words="coco yolo"),
    Action("prelabel", "Pre-label…", lambda w: w.sheets.prelabel(), ("Ctrl+P",), words="model onnx 预标注"),
    Action("models.add", "Add a model…", lambda w: w.sheets.add_model(), words="onnx 模型"),
    Action("review.accept", "Accept predictions of the dataset…", lambda w: w.sheets.accept_all(), words="bulk 接受"),
    Action("freeze", "Freeze a version…", lambda w: w.sheets.freeze(), ("Ctrl+Shift+F",), words="tag 冻结"),
    Action("export", "Export…", lambda w: w.sheets.export(), ("Ctrl+E",), words="coco yolo 导出"),
    Action("publish", "Publish to a folder hub…", lambda w: w.sheets.publish(), words="hub 汇聚"),
    Action("activity", "Tasks and problems", lambda w: w.toggle_activity(), ("Ctrl+T",), words="progress errors 任务 问题"),
    Action("theme", "Dark or light", lambda w: w.switch_theme(), ("Ctrl+Shift+L",), words="theme colour 主题"),
    Action("language", "中 / EN", lambda w: w.switch_language(), ("Ctrl+L",), words="language chinese english 语言"),
    Action("workspace.open", "Open another workspace…", lambda w: w.leave_workspace(), ("Ctrl+O",), words="工作区"),
    Action("quit", "Quit", lambda w: w.close(), ("Ctrl+Q",), words="exit 退出"),
    Action("tool.select", "Select", lambda w: w.annotate.set_tool("select"), ("V",), "annotate"),
    Action("tool.box", "Box", lambda w: w.annotate.set_tool("box"), ("R",), "annotate", "rectangle"),
    Action("tool.polygon", "Polygon", lambda w: w.annotate.set_tool("polygon"), ("P",), "annotate"),
    Action("accept", "Accept", lambda w: w.annotate.accept(), ("Return", "Enter"), "annotate"),
    Action("reject", "Reject", lambda w: w.annotate.reject(), ("X",), "annotate"),
    Action("accept.above", "Accept all above the score", lambda w: w.annotate.accept_above(), ("Shift+Return", "Shift+Enter"), "annotate"),
    Action("delete", "Delete", lambda w: w.annotate.delete(), ("Del", "Backspace"), "annotate"),
    Action("undo", "Undo", lambda w: w.annotate.undo(), ("Ctrl+Z",), "annotate"),
    Action("redo", "Redo", lambda w: w.annotate.redo(), ("Ctrl+Shift+Z", "Ctrl+Y"), "annotate"),
    Action("select.all", "Select all", lambda w: w.annotate.select_all(), ("Ctrl+A",), "annotate"),
    Action("next", "Next picture", lambda w: w.annotate.step(1), ("D", "Right"), "annotate"),
    Action("previous", "Previous picture", lambda w: w.annotate.step(-1), ("A", "Left"), "annotate"),
    Action("next.predicted", "Next picture to confirm", lambda w: w.annotate.next_predicted(), ("J",), "annotate"),
    Action("fit", "Whole picture", lambda w: w.annotate.canvas.fit(), ("F",), "annotate"),
    Action("zoom.in", "Zoom in", lambda w: w.annotate.canvas.zoom(1.25), ("+", "="), "annotate"),
    Action("zoom.out", "Zoom out", lambda w: w.annotate.canvas.zoom(0.8), ("-",), "annotate"),
    Action("cancel", "Put back", lambda w: w.annotate.cancel(), ("Escape",), "annotate"),
)  # fmt: skip

BY_ID = {action.id: action for action in ACTIONS}


def key(action_id: str) -> str:
    """The key shown for an action, "" when it has none."""
    keys = BY_ID[action_id].keys
    return shown(keys[0]) if keys else ""


def shown(keys: str) -> str:
    """A key as it is drawn."""
    return (
        keys.replace("Ctrl+", "Ctrl ")
        .replace("Shift+", "Shift ")
        .replace("Return", "Enter")
        .replace("Escape", "Esc")
    )

"""What is done to objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.desktop.actions.action import Action

if TYPE_CHECKING:
    from app.desktop.window import Window


def _some(least: int = 1) -> Callable[[Window], bool]:
    return lambda w: len(w.annotate.desk.document.selection) >= least


def _kinds(*kinds: str) -> Callable[[Window], bool]:
    return lambda w: any(a.kind in kinds for a in w.annotate.desk.document.chosen())


def _nudge(name: str, dx: int, dy: int, near: str, far: str) -> tuple[Action, Action]:
    return (
        Action(f"nudge.{name.lower()}", near, lambda w: w.annotate.arrow(dx, dy), (name,), "annotate", repeat=True, listed=False),
        Action(f"nudge.{name.lower()}.far", far, lambda w: w.annotate.arrow(10 * dx, 10 * dy), (f"Shift+{name}",), "annotate", repeat=True, listed=False),
    )  # fmt: skip


_AREAS = ("box", "rotated_box", "quad", "ellipse", "polygon", "mask", "cuboid")

ROWS: tuple[Action, ...] = (
    Action("accept", "Accept", lambda w: w.annotate.accept(), ("Return", "Enter"), "annotate"),
    Action("reject", "Reject", lambda w: w.annotate.reject(), ("X",), "annotate"),
    Action("accept.above", "Accept all above the score", lambda w: w.annotate.accept_above(), ("Shift+Return", "Shift+Enter"), "annotate"),
    Action("delete", "Delete", lambda w: w.annotate.delete(), ("Del", "Backspace"), "annotate"),
    Action("undo", "Undo", lambda w: w.annotate.undo(), ("Ctrl+Z",), "annotate", repeat=True),
    Action("redo", "Redo", lambda w: w.annotate.redo(), ("Ctrl+Shift+Z", "Ctrl+Y"), "annotate", repeat=True),
    Action("select.all", "Select all", lambda w: w.annotate.select_all(), ("Ctrl+A",), "annotate"),
    Action("object.next", "Next object", lambda w: w.annotate.tab(1), ("Tab",), "annotate", repeat=True),
    Action("object.previous", "Previous object", lambda w: w.annotate.tab(-1), ("Shift+Tab",), "annotate", repeat=True),
    *_nudge("Left", -1, 0, "Nudge left, else the picture before", "Nudge left by 10 pixels"),
    *_nudge("Right", 1, 0, "Nudge right, else the next picture", "Nudge right by 10 pixels"),
    *_nudge("Up", 0, -1, "Nudge up", "Nudge up by 10 pixels"),
    *_nudge("Down", 0, 1, "Nudge down", "Nudge down by 10 pixels"),
    Action("duplicate", "Duplicate", lambda w: w.annotate.editing.copies.duplicate(), ("Ctrl+D",), "annotate", "clone 复制一份", when=_some()),
    Action("copy", "Copy", lambda w: w.annotate.editing.copies.copy(), ("Ctrl+C",), "annotate", when=_some()),
    Action("cut", "Cut", lambda w: w.annotate.editing.copies.cut(), ("Ctrl+X",), "annotate", when=_some()),
    Action("paste", "Paste", lambda w: w.annotate.editing.copies.paste(), ("Ctrl+V",), "annotate"),
    Action("copy.previous", "Copy all from the picture before", lambda w: w.annotate.editing.copies.copy_previous(), ("Ctrl+Shift+V",), "annotate", "propagate"),
    Action("group", "Group", lambda w: w.annotate.editing.group(), ("Shift+G",), "annotate", "分组", when=_some(2)),
    Action("ungroup", "Ungroup", lambda w: w.annotate.editing.ungroup(), ("Alt+G",), "annotate", when=_some()),
    Action("group.select", "Select the group", lambda w: w.annotate.editing.choose_group(), ("Ctrl+Shift+A",), "annotate", when=_some()),
    Action("unlink", "Remove links", lambda w: w.annotate.editing.unlink(), ("Alt+Shift+L",), "annotate", "relation", when=_some()),
    Action("order.raise", "One step up", lambda w: w.annotate.editing.order("raise"), ("Ctrl+Up",), "annotate", "order z front", when=_some()),
    Action("order.lower", "One step down", lambda w: w.annotate.editing.order("lower"), ("Ctrl+Down",), "annotate", "order z back", when=_some()),
    Action("order.top", "To the top", lambda w: w.annotate.editing.order("top"), ("Ctrl+Shift+Up",), "annotate", "order z front", when=_some()),
    Action("order.bottom", "To the bottom", lambda w: w.annotate.editing.order("bottom"), ("Ctrl+Shift+Down",), "annotate", "order z back", when=_some()),
    Action("lock", "Lock or unlock", lambda w: w.annotate.editing.lock(), ("Shift+L",), "annotate", "锁", when=_some()),
    Action("unlock.all", "Unlock all", lambda w: w.annotate.editing.unlock_all(), ("Alt+L",), "annotate"),
    Action("hide", "Hide", lambda w: w.annotate.editing.hide(), ("H",), "annotate", "隐藏", when=_some()),
    Action("hide.others", "Hide the others", lambda w: w.annotate.editing.hide_others(), ("Shift+H",), "annotate", when=_some()),
    Action("hide.class", "Hide the class", lambda w: w.annotate.editing.hide_class(), ("Alt+H",), "annotate"),
    Action("show.all", "Show all", lambda w: w.annotate.desk.document.show_all(), ("Ctrl+H",), "annotate", "unhide"),
    Action("union", "Union", lambda w: w.annotate.editing.union(), ("Ctrl+U",), "annotate", "merge 合并", when=_some(2)),
    Action("subtract", "Subtract", lambda w: w.annotate.editing.subtract(), ("Ctrl+Shift+U",), "annotate", "difference 相减", when=_some(2)),
    Action("intersect", "Intersect", lambda w: w.annotate.editing.intersect(), ("Alt+U",), "annotate", "common 相交", when=_some(2)),
    Action("join", "Join", lambda w: w.annotate.editing.join(), ("Ctrl+J",), "annotate", "merge parts lines 连接", when=_some(2)),
    Action("split", "Split parts", lambda w: w.annotate.editing.split(), ("Ctrl+Shift+J",), "annotate", "explode 拆分", when=_kinds("polygon", "mask", "points")),
    Action("convert", "Convert to another kind…", lambda w: w.annotate.ask_convert(), ("Ctrl+R",), "annotate", "change shape 转换", when=_some()),
    Action("simplify", "Simplify", lambda w: w.annotate.editing.simplify(), ("Shift+S",), "annotate", "fewer points 简化", when=_kinds("polygon", "polyline")),
    Action("fill.holes", "Fill holes", lambda w: w.annotate.editing.fill_holes(), ("Alt+F",), "annotate", "填洞", when=_kinds("polygon", "mask")),
    Action("fit.box", "Fit a box", lambda w: w.annotate.editing.fit_box(), ("Shift+F",), "annotate", "tight bounding mask 贴合", when=_kinds(*_AREAS)),
    Action("snap.selected", "Snap to the neighbour's border", lambda w: w.annotate.editing.snap_selected(), ("Shift+N",), "annotate", "吸附", when=_some()),
    Action("vertex.insert", "Insert a vertex", lambda w: w.annotate.editing.insert_vertex(), (), "annotate", "corner 顶点", when=_kinds("polygon", "polyline")),
    Action("keypoint.seen", "Keypoint seen or hidden", lambda w: w.annotate.editing.toggle_seen(), ("Shift+K",), "annotate", "visibility occluded 可见", when=_kinds("keypoints")),
    Action("menu", "Menu", lambda w: w.annotate.open_menu(), ("Menu", "Shift+F10"), "annotate", listed=False),
)  # fmt: skip

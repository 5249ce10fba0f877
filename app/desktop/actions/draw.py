"""The drawing tools, one key each, and how they draw."""

from __future__ import annotations

from app.desktop.actions.action import Action


def _tool(name: str, text: str, key: str, words: str = "") -> Action:
    return Action(f"tool.{name}", text, lambda w: w.annotate.set_tool(name), (key,), "annotate", words)


def _pointer(name: str, dx: int, dy: int, near: str, far: str) -> tuple[Action, Action]:
    return (
        Action(f"pointer.{name.lower()}", near, lambda w: w.annotate.editing.step_pointer(dx, dy), (f"Alt+{name}",), "annotate", repeat=True, listed=False),
        Action(f"pointer.{name.lower()}.far", far, lambda w: w.annotate.editing.step_pointer(10 * dx, 10 * dy), (f"Alt+Shift+{name}",), "annotate", repeat=True, listed=False),
    )  # fmt: skip


ROWS: tuple[Action, ...] = (
    _tool("select", "Select", "V", "move edit 选择"),
    _tool("box", "Box", "R", "rectangle 矩形 框"),
    _tool("rotated_box", "Rotated box", "T", "oriented obb 旋转框"),
    _tool("quad", "Quadrilateral", "Q", "four corners plate 四边形"),
    _tool("ellipse", "Ellipse", "E", "circle 圆 椭圆"),
    _tool("cuboid", "Cuboid", "Y", "3d 长方体"),
    _tool("polygon", "Polygon", "P", "outline freehand lasso 多边形"),
    Action("polygon.part", "Another part", lambda w: w.annotate.editing.draw_into("part"), ("Shift+P",), "annotate", "multipart polygon 部分"),
    Action("polygon.hole", "Hole in the polygon", lambda w: w.annotate.editing.draw_into("hole"), ("Shift+O",), "annotate", "洞"),
    _tool("polyline", "Polyline", "L", "line curve 折线"),
    _tool("keypoints", "Skeleton", "K", "keypoints pose 关键点 骨架"),
    _tool("points", "Point", "O", "dot 点"),
    Action("skip", "This point is absent", lambda w: w.annotate.canvas.tool.skip(), (".",), "annotate", "skeleton keypoint skip", listed=False),
    _tool("brush", "Brush", "B", "mask paint 画笔 掩膜"),
    Action("brush.erase", "Brush or eraser", lambda w: w.annotate.editing.erase(), ("Shift+B",), "annotate", "erase 橡皮"),
    Action("brush.form", "Form of the brush", lambda w: w.annotate.editing.next_form(), ("Alt+B",), "annotate", "round square area fill 形状"),
    _tool("tag", "Picture tags", "I", "classification image whole 整图 标签"),
    Action("caption", "Caption", lambda w: w.annotate.ask_caption(), ("Shift+I",), "annotate", "text sentence description 描述"),
    _tool("slice", "Slice", "/", "cut knife 切"),
    _tool("link", "Link", "Shift+R", "relation arrow 关系"),
    Action("smaller", "Smaller brush, or turn left", lambda w: w.annotate.smaller(), ("[",), "annotate", "size rotate", repeat=True),
    Action("larger", "Larger brush, or turn right", lambda w: w.annotate.larger(), ("]",), "annotate", "size rotate", repeat=True),
    Action("turn.left", "Turn left by 1°", lambda w: w.annotate.editing.turn(-1), ("Z",), "annotate", "rotate", repeat=True),
    Action("turn.right", "Turn right by 1°", lambda w: w.annotate.editing.turn(1), ("Shift+Z",), "annotate", "rotate", repeat=True),
    Action("turn.left.more", "Turn left by 5°", lambda w: w.annotate.editing.turn(-5), ("Ctrl+[",), "annotate", "rotate", repeat=True),
    Action("turn.right.more", "Turn right by 5°", lambda w: w.annotate.editing.turn(5), ("Ctrl+]",), "annotate", "rotate", repeat=True),
    *_pointer("Left", -1, 0, "Pointer left", "Pointer left by 10"),
    *_pointer("Right", 1, 0, "Pointer right", "Pointer right by 10"),
    *_pointer("Up", 0, -1, "Pointer up", "Pointer up by 10"),
    *_pointer("Down", 0, 1, "Pointer down", "Pointer down by 10"),
    Action("pointer.click", "Put a point at the pointer", lambda w: w.annotate.editing.click_pointer(), ("Ins",), "annotate", "keyboard draw vertex insert 键盘"),
    Action("outside", "Allow points outside the picture", lambda w: w.annotate.editing.toggle_outside(), ("Alt+O",), "annotate", "truncated clamp 图外"),
    Action("snap", "Snap to neighbours", lambda w: w.annotate.editing.toggle_snap(), ("N",), "annotate", "border magnet 吸附"),
    Action("cancel", "Put back", lambda w: w.annotate.cancel(), ("Escape",), "annotate", listed=False),
)  # fmt: skip

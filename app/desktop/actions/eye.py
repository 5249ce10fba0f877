"""How the picture is shown; for the eye only."""

from __future__ import annotations

from app.desktop.actions.action import Action

_PRESET_KEYS = ("F5", "F6", "F7", "F9")


def _preset(key: str, n: int) -> Action:
    return Action(
        f"eye.preset.{n}",
        "Preset {n} of the look",
        lambda w: w.annotate.eye.use(n),
        (key,),
        "annotate",
        "look enhance low light dust thermal 显示增强 预设",
        n=n,
    )


ROWS: tuple[Action, ...] = (
    Action("eye.panel", "Look…", lambda w: w.annotate.eye_panel.reveal(), ("W",), "annotate", "enhance gamma contrast histogram window level 显示增强"),
    Action("eye.switch", "Look on or off", lambda w: w.annotate.eye.switch(), ("Shift+W",), "annotate", "enhance 显示增强"),
    Action("eye.auto", "Automatic window", lambda w: w.annotate.eye.auto(), ("Shift+A",), "annotate", "stretch levels percentile 自动拉伸"),
    Action("eye.peek", "The original while held", lambda w: w.annotate.eye.hold("peek"), ("`",), "annotate", "peek 原图"),
    *(_preset(key, n) for n, key in enumerate(_PRESET_KEYS, 1)),
    Action("compare.mode", "Compare: off, side by side, divider, in turns", lambda w: w.annotate.eye.next_mode(), ("F3",), "annotate", "thermal visible before after swipe blink 对比 双光"),
    Action("compare.blink", "The other picture while held", lambda w: w.annotate.eye.hold("blink"), ("F4",), "annotate", "blink flicker 闪烁"),
    Action("compare.timer", "Take turns by itself", lambda w: w.annotate.eye.blink_by_timer(not w.annotate.eye.blinking), ("Shift+F4",), "annotate", "blink timer 自动闪烁"),
    Action("compare.mark", "Compare others with this picture", lambda w: w.annotate.eye.mark(), ("Shift+F3",), "annotate", "partner reference 参照"),
    Action("compare.left", "Other picture left", lambda w: w.annotate.eye.nudge(-1, 0), ("Ctrl+Alt+Left",), "annotate", "shift register", repeat=True, listed=False),
    Action("compare.right", "Other picture right", lambda w: w.annotate.eye.nudge(1, 0), ("Ctrl+Alt+Right",), "annotate", "shift register", repeat=True, listed=False),
    Action("compare.up", "Other picture up", lambda w: w.annotate.eye.nudge(0, -1), ("Ctrl+Alt+Up",), "annotate", "shift register", repeat=True, listed=False),
    Action("compare.down", "Other picture down", lambda w: w.annotate.eye.nudge(0, 1), ("Ctrl+Alt+Down",), "annotate", "shift register", repeat=True, listed=False),
    Action("compare.unshift", "Other picture back in its place", lambda w: w.annotate.eye.unshift(), ("Ctrl+Alt+Home",), "annotate", "shift register"),
    Action("eye.map", "Small map", lambda w: w.annotate.eye.toggle("map"), ("Shift+M",), "annotate", "minimap overview 缩略图"),
    Action("eye.loupe", "Loupe", lambda w: w.annotate.eye.toggle("loupe"), ("Shift+E",), "annotate", "magnifier pixel value 放大镜 像素值"),
    Action("eye.cross", "Cross-hair", lambda w: w.annotate.eye.toggle("cross"), ("Shift+X",), "annotate", "lines 十字线"),
    Action("eye.rulers", "Rulers", lambda w: w.annotate.eye.toggle("rulers"), ("Shift+Q",), "annotate", "标尺"),
    Action("eye.grid", "Pixel grid", lambda w: w.annotate.eye.toggle("grid"), words="像素网格", place="annotate"),
    Action("eye.keep", "Keep the view", lambda w: w.annotate.eye.toggle("keep"), ("Shift+V",), "annotate", "zoom next picture 保持视图"),
    Action("zoom.object", "Zoom to the object", lambda w: w.annotate.eye.zoom_to_object(), ("Ctrl+F",), "annotate", "selection 放大到对象"),
    Action("zoom.one", "One to one", lambda w: w.annotate.eye.one_to_one(), ("Ctrl+0",), "annotate", "100 % actual pixels 原始大小"),
)  # fmt: skip

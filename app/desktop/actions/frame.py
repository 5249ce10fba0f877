"""What can be done in every place of the desk."""

from __future__ import annotations

from app.desktop.actions.action import Action

ROWS: tuple[Action, ...] = (
    Action("place.overview", "Overview", lambda w: w.go("overview"), ("Ctrl+1",), words="home 总览"),
    Action("place.gallery", "Gallery", lambda w: w.go("gallery"), ("Ctrl+2",), words="pictures 图库"),
    Action("place.annotate", "Annotate", lambda w: w.go("annotate"), ("Ctrl+3",), words="draw 标注"),
    Action("place.review", "Review", lambda w: w.go("review"), ("Ctrl+4",), words="judge accept return 质检"),
    Action("place.versions", "Versions", lambda w: w.go("versions"), ("Ctrl+5",), words="freeze 版本"),
    Action("palette", "Find an action", lambda w: w.show_palette(), ("Ctrl+K",), words="search command", listed=False),
    Action("pictures.add", "Add pictures…", lambda w: w.sheets.add_pictures(), ("Ctrl+I",), words="ingest import folder 图片"),
    Action("labels.import", "Import labels…", lambda w: w.sheets.import_labels(), ("Ctrl+Shift+I",), words="coco yolo voc cvat labelme zip 导入"),
    Action("prelabel", "Pre-label…", lambda w: w.sheets.prelabel(), ("Ctrl+P",), words="model onnx 预标注"),
    Action("models", "Models…", lambda w: w.sheets.models(), ("Ctrl+M",), words="onnx list licence 模型 列表"),
    Action("models.add", "Add a model…", lambda w: w.sheets.add_model(), words="onnx 模型"),
    Action("jobs", "Machine work…", lambda w: w.sheets.jobs(), ("F12",), words="jobs queue resume pause report undo 任务 队列 继续"),
    Action("freeze", "Freeze a version…", lambda w: w.sheets.freeze(), ("Ctrl+Shift+F",), words="tag 冻结"),
    Action("export", "Export…", lambda w: w.sheets.export(), ("Ctrl+E",), words="coco yolo voc cvat split crop losses 导出 划分 裁剪"),
    Action("publish", "Publish to a hub…", lambda w: w.sheets.publish(), words="send s3 hub 汇聚 枢纽"),
    Action("hubs", "Hubs…", lambda w: w.sheets.hubs(), words="s3 bucket folder probe 枢纽 存储"),
    Action("hubs.add", "Add a hub…", lambda w: w.sheets.add_hub(), words="s3 bucket folder 枢纽"),
    Action("activity", "Tasks and problems", lambda w: w.toggle_activity(), ("Ctrl+T",), words="progress errors 任务 问题", free=True),
    Action("theme", "Dark or light", lambda w: w.switch_theme(), ("Ctrl+Shift+L",), words="theme colour 主题", free=True),
    Action("language", "中 / EN", lambda w: w.switch_language(), ("Ctrl+L",), words="language chinese english 语言", free=True),
    Action("panel.left", "Left panel", lambda w: w.layout_.toggle("left"), ("Ctrl+B",), "annotate", "side hide show 侧栏"),
    Action("panel.right", "Right panel", lambda w: w.layout_.toggle("right"), ("Ctrl+Shift+B",), "annotate", "side hide show 侧栏"),
    Action("focus", "Only the picture", lambda w: w.layout_.focus_mode(), ("F10",), "annotate", "focus mode 专注"),
    Action("fullscreen", "Full screen", lambda w: w.layout_.full_screen(), ("F11",), words="全屏", free=True),
    Action("go.on", "Go on where I was", lambda w: w.layout_.go_on(), ("Ctrl+Shift+O",), words="continue resume 继续", when=lambda w: w.layout_.was() is not None),
    Action("settings", "Settings…", lambda w: w.show_settings(), ("Ctrl+,", "F2"), words="preferences options 设置", free=True),
    Action("accelerators", "Accelerators…", lambda w: w.show_accelerators(), words="gpu cuda tensorrt directml openvino ascend provider doctor 加速 显卡 昇腾 后端 自检", free=True),
    Action("keys", "Change keys…", lambda w: w.show_keys(), ("Ctrl+Shift+K",), words="keymap shortcuts 快捷键", free=True),
    Action("help", "Keys of this place", lambda w: w.show_help(), ("F1", "?"), words="help shortcuts 帮助 快捷键", free=True),
    Action("manual", "Manual", lambda w: w.show_manual(), ("Shift+F1",), words="help 帮助 手册", free=True),
    Action("tour", "First steps again", lambda w: w.show_tour(), words="tour introduction 引导", when=lambda w: w.tour is None),
    Action("workspace.open", "Open another workspace…", lambda w: w.leave_workspace(), ("Ctrl+O",), words="工作区"),
    Action("quit", "Quit", lambda w: w.close(), ("Ctrl+Q",), words="exit 退出", free=True),
)  # fmt: skip

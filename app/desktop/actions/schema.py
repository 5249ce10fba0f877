"""The classes and their rules."""

from __future__ import annotations

from app.desktop.actions.action import Action

ROWS: tuple[Action, ...] = (
    Action("schema.edit", "Label schema…", lambda w: w.sheets.edit_schema(), ("Ctrl+Shift+S",), words="classes attributes rules edit 类别 规范 模式"),
    Action("example.good", "Show as a good example of the rule", lambda w: w.annotate.rule.add_example(True), (), "annotate", "right 正例"),
    Action("example.bad", "Show as a bad example of the rule", lambda w: w.annotate.rule.add_example(False), (), "annotate", "wrong 反例"),
)  # fmt: skip

"""Accepting, returning, assigning, and remarks."""

from __future__ import annotations

from app.desktop.actions.action import Action

ROWS: tuple[Action, ...] = (
    Action("review.accept", "Accept predictions of the dataset…", lambda w: w.sheets.accept_all(), words="bulk 接受"),
    Action("picture.done", "Submit or accept the picture", lambda w: w.annotate.reviewing.done(), ("Ctrl+Return", "Ctrl+Enter"), "annotate", "提交 通过"),
    Action("picture.return", "Return the picture…", lambda w: w.annotate.reviewing.ask_why(), ("Ctrl+Backspace",), "annotate", "退回"),
    Action("picture.draft", "Take the picture back to draft", lambda w: w.annotate.reviewing.reopen(), (), "annotate", "reopen 草稿"),
    Action("remark", "Pin a remark", lambda w: w.annotate.set_tool("remark"), ("M",), "annotate", "comment note 批注"),
    Action("log", "Everything that was done…", lambda w: w.sheets.log(), ("F8",), words="history steps undo bulk 历史 撤销"),
    Action("recycle", "Recycle bin…", lambda w: w.sheets.recycle_bin(), ("Ctrl+Shift+Del",), words="deleted restore 回收站"),
)  # fmt: skip

"""What is done to objects."""

from __future__ import annotations

from app.desktop.actions.action import Action

ROWS: tuple[Action, ...] = (
    Action("accept", "Accept", lambda w: w.annotate.accept(), ("Return", "Enter"), "annotate"),
    Action("reject", "Reject", lambda w: w.annotate.reject(), ("X",), "annotate"),
    Action("accept.above", "Accept all above the score", lambda w: w.annotate.accept_above(), ("Shift+Return", "Shift+Enter"), "annotate"),
    Action("delete", "Delete", lambda w: w.annotate.delete(), ("Del", "Backspace"), "annotate"),
    Action("undo", "Undo", lambda w: w.annotate.undo(), ("Ctrl+Z",), "annotate", repeat=True),
    Action("redo", "Redo", lambda w: w.annotate.redo(), ("Ctrl+Shift+Z", "Ctrl+Y"), "annotate", repeat=True),
    Action("select.all", "Select all", lambda w: w.annotate.select_all(), ("Ctrl+A",), "annotate"),
)  # fmt: skip

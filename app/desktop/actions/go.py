"""From picture to picture, and how a picture is held in view."""

from __future__ import annotations

from app.desktop.actions.action import Action

ROWS: tuple[Action, ...] = (
    Action("next", "Next picture", lambda w: w.annotate.step(1), ("D",), "annotate", repeat=True),
    Action("previous", "Previous picture", lambda w: w.annotate.step(-1), ("A",), "annotate", repeat=True),
    Action("next.predicted", "Next picture to confirm", lambda w: w.annotate.jumps.predicted(), ("J",), "annotate"),
    Action("previous.predicted", "Previous picture to confirm", lambda w: w.annotate.jumps.predicted(-1), ("Shift+J",), "annotate"),
    Action("next.unlabelled", "Next picture to label", lambda w: w.annotate.jumps.unlabelled(), ("U",), "annotate"),
    Action("previous.unlabelled", "Previous picture to label", lambda w: w.annotate.jumps.unlabelled(-1), ("Shift+U",), "annotate"),
    Action("next.worth", "Next picture worth labelling", lambda w: w.annotate.jumps.worth(), ("Alt+J",), "annotate", "active learning uncertain 价值 先标"),
    Action("next.returned", "Next picture returned to me", lambda w: w.annotate.jumps.returned(), ("Alt+R",), "annotate", "review"),
    Action("previous.returned", "Previous picture returned to me", lambda w: w.annotate.jumps.returned(-1), ("Alt+Shift+R",), "annotate", "review"),
    Action("next.class", "Next picture with this class", lambda w: w.annotate.jumps.same_class(), ("Alt+C",), "annotate", "same label"),
    Action("previous.class", "Previous picture with this class", lambda w: w.annotate.jumps.same_class(-1), ("Alt+Shift+C",), "annotate", "same label"),
    Action("next.problem", "Next picture with a problem", lambda w: w.annotate.jumps.problem(), ("Alt+P",), "annotate", "fault error"),
    Action("previous.problem", "Previous picture with a problem", lambda w: w.annotate.jumps.problem(-1), ("Alt+Shift+P",), "annotate", "fault error"),
    Action("next.remark", "Next picture with an open remark", lambda w: w.annotate.jumps.remark(), ("Alt+M",), "annotate", "comment"),
    Action("goto", "Go to a picture by number or name…", lambda w: w.go_to_picture(), ("Ctrl+G",), words="jump number 跳转"),
    Action("fit", "Whole picture", lambda w: w.annotate.canvas.fit(), ("F",), "annotate"),
    Action("zoom.in", "Zoom in", lambda w: w.annotate.canvas.zoom(1.25), ("+", "="), "annotate", repeat=True),
    Action("zoom.out", "Zoom out", lambda w: w.annotate.canvas.zoom(0.8), ("-",), "annotate", repeat=True),
)  # fmt: skip

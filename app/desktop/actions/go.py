"""From picture to picture, and how a picture is held in view."""

from __future__ import annotations

from app.desktop.actions.action import Action

ROWS: tuple[Action, ...] = (
    Action("next", "Next picture", lambda w: w.annotate.step(1), ("D", "Right"), "annotate", repeat=True),
    Action("previous", "Previous picture", lambda w: w.annotate.step(-1), ("A", "Left"), "annotate", repeat=True),
    Action("next.predicted", "Next picture to confirm", lambda w: w.annotate.next_predicted(), ("J",), "annotate"),
    Action("fit", "Whole picture", lambda w: w.annotate.canvas.fit(), ("F",), "annotate"),
    Action("zoom.in", "Zoom in", lambda w: w.annotate.canvas.zoom(1.25), ("+", "="), "annotate", repeat=True),
    Action("zoom.out", "Zoom out", lambda w: w.annotate.canvas.zoom(0.8), ("-",), "annotate", repeat=True),
)  # fmt: skip

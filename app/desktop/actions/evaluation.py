"""Judging models."""

from __future__ import annotations

from app.desktop.actions.action import Action
from app.desktop.evaluation import form

ROWS: tuple[Action, ...] = (
    Action("place.evaluation", "Evaluation", lambda w: w.go("evaluation"), ("Ctrl+6",), words="model quality metrics map ap 评估 模型 精度"),
    Action("evaluate", "Evaluate a model…", lambda w: form.ask(w), ("Ctrl+Shift+E",), words="ap map precision recall confusion 评估 精度 召回"),
    Action("evaluation.worst", "Worst pictures in the gallery", lambda w: w.evaluation.open_worst(), (), words="errors worst 最差",
           when=lambda w: w.evaluation.report is not None),
)  # fmt: skip

"""Accepting, returning, assigning, and remarks."""

from __future__ import annotations

from app.desktop.actions.action import Action

ROWS: tuple[Action, ...] = (
    Action("review.accept", "Accept predictions of the dataset…", lambda w: w.sheets.accept_all(), words="bulk 接受"),
)  # fmt: skip

"""Smart tools, and sequences of frames."""

from __future__ import annotations

from app.desktop.actions.action import Action

ROWS: tuple[Action, ...] = ()

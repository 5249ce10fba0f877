"""How the picture is shown; for the eye only."""

from __future__ import annotations

from app.desktop.actions.action import Action

ROWS: tuple[Action, ...] = ()

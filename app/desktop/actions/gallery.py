"""What can be done in the gallery."""

from __future__ import annotations

from app.desktop.actions.action import Action

ROWS: tuple[Action, ...] = ()

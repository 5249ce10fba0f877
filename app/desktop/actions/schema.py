"""The classes and their rules."""

from __future__ import annotations

from app.desktop.actions.action import Action

ROWS: tuple[Action, ...] = ()

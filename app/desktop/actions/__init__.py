"""ACTIONS: everything a person can do, once: its name, keys, place and what it runs.

Shortcuts, tool row, buttons' keys, menus, help, keymap sheet and command palette are drawn from this one table. It is
written in sections, one file each; a section's rows keep their order everywhere.
"""

from __future__ import annotations

from app.desktop.actions import (
    classes,
    draw,
    edit,
    evaluation,
    eye,
    frame,
    gallery,
    go,
    keymap,
    leaving,
    lineage,
    review,
    schema,
    smart,
    versions,
)
from app.desktop.actions.action import Action
from app.desktop.actions.keymap import key, keys_of, shown

__all__ = ["ACTIONS", "BY_ID", "SECTIONS", "Action", "key", "keys_of", "shown"]

SECTIONS: tuple[tuple[str, str, tuple[Action, ...]], ...] = (
    ("frame", "The desk", frame.ROWS),
    ("go", "From picture to picture", go.ROWS),
    ("draw", "Drawing", draw.ROWS),
    ("classes", "Classes and attributes", classes.ROWS),
    ("edit", "Changing", edit.ROWS),
    ("smart", "Smart tools and sequences", smart.ROWS),
    ("eye", "Seeing", eye.ROWS),
    ("gallery", "Gallery", gallery.ROWS),
    ("review", "Review", review.ROWS),
    ("schema", "Label schema", schema.ROWS),
    ("evaluation", "Evaluation", evaluation.ROWS),
    ("versions", "Versions", versions.ROWS),
    ("lineage", "Lineage and documents", lineage.ROWS),
    ("leaving", "What may leave, and the road", leaving.ROWS),
)
"""Name, caption, rows; a new row goes into its section's file."""

ACTIONS: tuple[Action, ...] = tuple(row for _, _, rows in SECTIONS for row in rows)

BY_ID = {action.id: action for action in ACTIONS}

keymap.learn({action.id: action.keys for action in ACTIONS})

"""The keys in force: the defaults of ACTIONS, and over them what the person changed."""

from __future__ import annotations

from collections.abc import Mapping

_defaults: dict[str, tuple[str, ...]] = {}
_changed: dict[str, tuple[str, ...]] = {}


def learn(defaults: Mapping[str, tuple[str, ...]]) -> None:
    """The table's own keys: action id to keys."""
    _defaults.clear()
    _defaults.update(defaults)


def keys_of(action_id: str) -> tuple[str, ...]:
    """The keys of an action, the shown one first."""
    return _changed.get(action_id, _defaults[action_id])


def key(action_id: str) -> str:
    """The key shown for an action, "" when it has none."""
    keys = keys_of(action_id)
    return shown(keys[0]) if keys else ""


def shown(keys: str) -> str:
    """A key as it is drawn."""
    return (
        keys.replace("Ctrl+", "Ctrl ")
        .replace("Shift+", "Shift ")
        .replace("Alt+", "Alt ")
        .replace("Return", "Enter")
        .replace("Escape", "Esc")
    )


def changed() -> dict[str, tuple[str, ...]]:
    """What the person changed: action id to keys."""
    return dict(_changed)


def use(changes: Mapping[str, tuple[str, ...]]) -> None:
    """Put other keys in force for some actions; ids that are no action's and keys equal to the defaults are left out."""
    _changed.clear()
    _changed.update({i: keys for i, keys in changes.items() if i in _defaults and keys != _defaults[i]})

"""The keys a person may change: what is kept of them, which ones collide, key sets of other tools, files to carry them.

Only differences from ACTIONS are kept, in the setting `keys`, one line an action: "tool.box=B", two keys with a space
between them, no key as "tool.box=".
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping

from PySide6.QtGui import QKeySequence

from annotation.errors import InvalidInput
from app.desktop import actions
from app.desktop.actions import Action, keymap
from app.desktop.desk import Desk
from app.i18n import tr

Keys = Mapping[str, tuple[str, ...]]

# What the other tools document: CVAT's default key map (cvat-ui, shortcuts) and X-AnyLabeling's `shortcuts` of its
# configuration. Only actions that both have are named; everything else keeps Lamproom's keys unless a key is taken.
PRESETS: dict[str, tuple[str, Keys]] = {
    "lamproom": ("Lamproom", {}),
    "cvat": (
        "CVAT-like",
        {
            "next": ("F", "Right"),
            "previous": ("D", "Left"),
            "help": ("F1",),
            "settings": ("F2",),
            "lock": ("L",),
            "hide": ("H",),
            "delete": ("Del", "Shift+Del"),
            "order.lower": ("-",),
            "order.raise": ("+", "="),
            "copy": ("Ctrl+C",),
            "paste": ("Ctrl+V",),
            "copy.forward": ("Ctrl+B",),
            "track.key": ("K",),
            "track.key.next": ("R",),
            "track.key.previous": ("E",),
            "object.next": ("Tab",),
            "object.previous": ("Shift+Tab",),
            "join": ("M",),
            "group": ("G",),
            "ungroup": ("Shift+G",),
            "goto": ("`",),
            "undo": ("Ctrl+Z",),
            "redo": ("Ctrl+Shift+Z", "Ctrl+Y"),
            "cancel": ("Escape",),
        },
    ),
    "x-anylabeling": (
        "X-AnyLabeling-like",
        {
            "next": ("D",),
            "previous": ("A",),
            "next.unlabelled": ("Ctrl+Shift+D",),
            "previous.unlabelled": ("Ctrl+Shift+A",),
            "tool.polygon": ("P", "Ctrl+N"),
            "tool.box": ("R", "Ctrl+R"),
            "tool.rotated_box": ("O",),
            "tool.select": ("Ctrl+J",),
            "delete": ("Del", "Backspace"),
            "duplicate": ("Ctrl+D",),
            "copy": ("Ctrl+C",),
            "paste": ("Ctrl+V",),
            "undo": ("Ctrl+Z",),
            "fit": ("Ctrl+F",),
            "zoom.in": ("Ctrl++", "Ctrl+="),
            "zoom.out": ("Ctrl+-",),
            "group": ("G",),
            "ungroup": ("U",),
            "hide": ("S",),
            "show.all": ("W",),
            "prelabel": ("Ctrl+M",),
            "pictures.add": ("Ctrl+U",),
        },
    ),
}


def normal(key: str) -> str:
    """A key as it is kept ("ctrl+k" -> "Ctrl+K"), "" when Qt knows none of that name."""
    found = QKeySequence.fromString(key, QKeySequence.SequenceFormat.PortableText)
    if found.count() != 1 or found.isEmpty() or "\ufffd" in found.toString() or not found.toString():
        return ""
    return found.toString(QKeySequence.SequenceFormat.PortableText)


def meets(one: Action, other: Action) -> bool:
    """Whether the keys of two actions can be heard in the same place."""
    return one.place == other.place or "any" in (one.place, other.place)


def holders(action: Action, key: str) -> list[Action]:
    """The other actions that have this key where `action` is heard."""
    wanted = normal(key)
    return [
        other
        for other in actions.ACTIONS
        if other.id != action.id and meets(action, other) and wanted in map(normal, actions.keys_of(other.id))
    ]


def read(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The setting's lines as action id to keys; what is not understood is left out."""
    found = {}
    for line in lines:
        action_id, sign, keys = line.partition("=")
        if sign and action_id in actions.BY_ID:
            found[action_id] = tuple(keys.split())
    return found


def lines(changes: Keys) -> list[str]:
    """Action id to keys as the setting's lines."""
    return [f"{action_id}={' '.join(keys)}" for action_id, keys in sorted(changes.items())]


def load(desk: Desk) -> None:
    """Put the kept keys in force."""
    kept = desk.values.get("keys")
    keymap.use(read(map(str, kept)) if isinstance(kept, list) else {})


def apply(desk: Desk, changes: Keys) -> None:
    """Put keys in force, keep them and tell everyone who draws one."""
    keymap.use(changes)
    desk.put_setting("keys", lines(keymap.changed()))
    desk.keys_changed.emit()


def put(desk: Desk, action: Action, keys: tuple[str, ...], *, take: bool = False) -> None:
    """Give an action other keys; with `take` the actions that had one of them lose it."""
    changes = keymap.changed()
    if take:
        for key in keys:
            for other in holders(action, key):
                rest = changes.get(other.id, actions.keys_of(other.id))
                changes[other.id] = tuple(k for k in rest if normal(k) != normal(key))
    changes[action.id] = keys
    apply(desk, changes)


def reset(desk: Desk, action: Action) -> None:
    """The action's own keys again; another that has one of them now loses it."""
    put(desk, action, action.keys, take=True)


def preset(name: str) -> dict[str, tuple[str, ...]]:
    """A key set as changes of the defaults: its own keys win, whoever else had one of them loses it."""
    wanted = {i: keys for i, keys in PRESETS[name][1].items() if i in actions.BY_ID}
    changes = dict(wanted)
    for action in actions.ACTIONS:
        if action.id in wanted:
            continue
        taken = {normal(k) for i, keys in wanted.items() if meets(actions.BY_ID[i], action) for k in keys}
        if any(normal(k) in taken for k in action.keys):
            changes[action.id] = tuple(k for k in action.keys if normal(k) not in taken)
    return changes


def to_toml(changes: Keys) -> str:
    """The changed keys as a file to carry to another desk."""
    rows = [
        f"{json.dumps(i)} = {json.dumps(list(keys), ensure_ascii=False)}"
        for i, keys in sorted(changes.items())
    ]
    return "\n".join(
        ["# Keys of Lamproom that differ from its own; see the manual, chapter Keys.", "[keys]", *rows, ""]
    )


def from_toml(text: str, *, where: str = "") -> dict[str, tuple[str, ...]]:
    """Changed keys from such a file.

    Raises:
        InvalidInput: no TOML, no table `keys`, an unknown action, a key that Qt does not know, or two actions of one
            place with the same key.
    """
    remedy = tr("export the keys of a desk to see what such a file looks like")
    try:
        table = tomllib.loads(text).get("keys")
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"not readable as TOML: {error}", where=where, remedy=remedy) from error
    if not isinstance(table, dict):
        raise InvalidInput("the file has no table of keys", where=where, remedy=remedy)
    found: dict[str, tuple[str, ...]] = {}
    for action_id, keys in table.items():
        if action_id not in actions.BY_ID:
            raise InvalidInput(f"there is no action {action_id}", where=where, remedy=remedy)
        if not isinstance(keys, list) or not all(isinstance(k, str) and normal(k) for k in keys):
            raise InvalidInput(f"the keys of {action_id} are not understood", where=where, remedy=remedy)
        found[action_id] = tuple(normal(k) for k in keys)
    everything = {a.id: found.get(a.id, a.keys) for a in actions.ACTIONS}
    if clash := collisions(everything):
        one, other, key = clash[0]
        raise InvalidInput(f"{one} and {other} both have the key {key}", where=where, remedy=remedy)
    return found


def collisions(everything: Keys) -> list[tuple[str, str, str]]:
    """Pairs of actions that would be heard at once, with the key; `everything` holds every action's keys."""
    held: dict[str, list[Action]] = {}
    found = []
    for action in actions.ACTIONS:
        for key in dict.fromkeys(normal(k) for k in everything[action.id]):
            found += [(o.id, action.id, key) for o in held.get(key, ()) if meets(o, action)]
            held.setdefault(key, []).append(action)
    return found


def line(*action_ids: str) -> str:
    """What some actions' keys do, for a hint: "Enter accept · X reject"; actions without a key are left out."""
    said = [(actions.key(i), actions.BY_ID[i].name) for i in action_ids if i in actions.BY_ID]
    return " · ".join(f"{key} {name}" for key, name in said if key)

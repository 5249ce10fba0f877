"""The table of settings, and the TOML file that holds only what the person changed."""

from __future__ import annotations

import json
import os
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from annotation.errors import InvalidInput

Value = str | int | float | bool | list[str]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. The type of `default` is the type of every value; `choices` or `lo`..`hi` bound it."""

    key: str
    default: Value
    caption: str
    choices: tuple[str, ...] = ()
    lo: float | None = None
    hi: float | None = None


SETTINGS: Mapping[str, Setting] = {
    s.key: s
    for s in (
        Setting("language", "", "Language (empty: that of the system)", choices=("", "zh_CN", "en")),
        Setting("person", "", "Name written beside your work (empty: the login name)"),
        Setting("theme", "dark", "Colours of the desk", choices=("dark", "light", "system")),
        Setting("text_percent", 100, "Size of the desk's text in per cent", lo=90, hi=150),
        Setting("calm", False, "Without movement: nothing fades or slides"),
        Setting("provider", "cpu", "Where models run"),
        Setting("score", 0.25, "Lowest score of a prediction that is kept", lo=0.0, hi=1.0),
        Setting("accept_score", 0.6, "Lowest score of accept-all-above", lo=0.0, hi=1.0),
        Setting("thumbnail_px", 160, "Side of a picture in the gallery", lo=64, hi=512),
        Setting("picture_cache_mb", 512, "Memory for decoded pictures", lo=64, hi=65_536),
        Setting("ask_class", False, "Ask for the class after every drawn object"),
        Setting(
            "new_values",
            "schema",
            "What the attributes of a new object start with",
            choices=("schema", "last"),
        ),
        Setting("keys", [], "Keys that differ from the desk's own, each as action=key key"),
        Setting("recent", [], "Workspaces opened last"),
        Setting("outside", False, "Points may lie outside the picture"),
        Setting("snap", False, "Points go to a neighbour's border"),
        Setting("brush_px", 24.0, "Diameter of the brush in pixels of the picture", lo=1.0, hi=4000.0),
        Setting("brush_form", "round", "Form of the brush", choices=("round", "square", "area")),
        Setting("relations", [], "Relations used last"),
        Setting("tools", [], "Tools used last"),
        Setting("smart_mask", False, "Smart tools make masks, else polygons"),
        Setting("smart_model", "", "The promptable model used last"),
        Setting("timelines", [], "Datasets whose timeline was shown or hidden, each as on NAME or off NAME"),
        Setting("eyes", [], "How the pictures of each dataset are seen"),
        Setting("eye_tools", ["grid", "map"], "What is laid over the picture for finding one's way"),
    )
}


def file() -> Path:
    """The person's settings file; absent while nothing was changed."""
    return Path(platformdirs.user_config_dir("lamproom", appauthor=False)) / "settings.toml"


def load() -> dict[str, Value]:
    """Every setting with its value. Keys of a newer version are ignored.

    Raises:
        InvalidInput: the file is no TOML or holds a value that the table refuses.
    """
    values = {key: setting.default for key, setting in SETTINGS.items()}
    for key, value in _overrides().items():
        if key in SETTINGS:
            values[key] = check(key, value)
    return values


def get(key: str) -> Value:
    """The value of one setting."""
    return load()[key]


def put(key: str, value: Value) -> None:
    """Change one setting; a value equal to the default is forgotten."""
    changed = _overrides()
    if check(key, value) == SETTINGS[key].default:
        changed.pop(key, None)
    else:
        changed[key] = value
    _write(changed)


def check(key: str, value: object) -> Value:
    """The value, if the table allows it.

    Raises:
        InvalidInput: for an unknown key, a wrong type or a value out of bounds.
    """
    if key not in SETTINGS:
        raise InvalidInput("there is no such setting", where=key)
    setting = SETTINGS[key]
    if isinstance(setting.default, float) and type(value) is int:
        value = float(value)
    if isinstance(value, list):
        right = isinstance(setting.default, list) and all(isinstance(v, str) for v in value)
    else:
        right = isinstance(value, str | int | float | bool) and type(value) is type(setting.default)
    if not right:
        raise InvalidInput(
            f"{value!r} is not of the right type", where=key, remedy=f"e.g. {setting.default!r}"
        )
    if setting.choices and value not in setting.choices:
        raise InvalidInput(
            f"{value!r} is not allowed", where=key, remedy=f"one of {', '.join(setting.choices)}"
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = setting.lo, setting.hi
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            raise InvalidInput(f"{value!r} is out of bounds", where=key, remedy=f"between {low} and {high}")
    return value  # type: ignore[return-value]


def _overrides() -> dict[str, Value]:
    try:
        return dict(tomllib.loads(file().read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, or numbers without end
        raise InvalidInput(
            f"not readable as TOML: {error}", where=str(file()), remedy="correct or remove the file"
        ) from error


def _write(values: Mapping[str, Value]) -> None:
    # JSON's strings, numbers, booleans and lists of strings are TOML's too, once DEL is escaped.
    text = "".join(
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in sorted(values.items())
    )
    target = file()
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, staged = tempfile.mkstemp(dir=target.parent, prefix=".settings-")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(text.replace("\x7f", "\\u007f").encode())
            out.flush()
            os.fsync(out.fileno())
        Path(staged).replace(target)
    except BaseException:
        Path(staged).unlink(missing_ok=True)
        raise

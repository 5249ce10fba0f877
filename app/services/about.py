"""What people say of a dataset beside what the record knows: purpose, licence, citation … kept with it, put into its data card."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import sqlalchemy as sa

from annotation import canonical
from annotation.errors import InvalidInput
from app.services.workspace import Workspace
from storage import queries

FIELDS = (
    "purpose",
    "collection",
    "limits",
    "sensitive",
    "licence",
    "citation",
    "publisher",
    "contact",
    "url",
)
"""Texts a person may give; purpose, collection, limits and sensitive also as `[zh]` and `[en]` tables."""
_TWICE = FIELDS[:4]
MAX_TEXT = 4_000

About = Mapping[str, Mapping[str, str]]
"""Language ("zh", "en" or "" for both) -> field -> text."""


def get(ws: Workspace, dataset: str) -> About:
    """What is kept; {} when nothing was said."""
    with ws.db.read() as conn:
        kept = conn.execute(sa.text("SELECT value FROM meta WHERE key = :k"), {"k": _key(dataset)}).scalar()
    return msgspec.json.decode(kept, type=dict[str, dict[str, str]]) if kept else {}


def put(ws: Workspace, dataset: str, file: Path) -> About:
    """Keep what a TOML file says of a dataset, instead of what was kept.

    Raises:
        NotFound: no such dataset. InvalidInput: the file cannot be read, or says something we have no field for.
    """
    about = read(file)
    with ws.db.write() as conn:
        name = queries.dataset(conn, dataset).name
        conn.execute(
            sa.text(
                "INSERT INTO meta (key, value) VALUES (:k, :v) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            ),
            {
                "k": _key(name),
                "v": canonical.encode({k or "all": dict(v) for k, v in about.items()}).decode(),
            },
        )
    return get(ws, name)


def _key(dataset: str) -> str:
    return f"about:{dataset}"


def read(file: Path) -> About:
    """What a TOML file says; see `put`."""
    try:
        if file.stat().st_size > 1 << 20:
            raise InvalidInput("the file is too large", where=str(file), remedy="at most 1 MB of text")
        given = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidInput("the file cannot be read", where=str(file), remedy="name another one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"not TOML: {error}", where=str(file)) from None
    out: dict[str, dict[str, str]] = {"": {}, "zh": {}, "en": {}}
    for key, value in given.items():
        tables = {key: value} if key in ("zh", "en") and isinstance(value, dict) else {"": {key: value}}
        for language, texts in tables.items():
            for field, text in texts.items():
                if field not in (FIELDS if not language else _TWICE):
                    raise InvalidInput(
                        f"there is no field {field!r}", where=str(file), remedy=", ".join(FIELDS)
                    )
                if not isinstance(text, str) or len(text) > MAX_TEXT:
                    raise InvalidInput(
                        f"{field} is no text of at most {MAX_TEXT} characters", where=str(file)
                    )
                out[language][field] = canonical.nfc(text.strip())
    return {k: v for k, v in out.items() if v}


def said(about: About, field: str, language: str = "") -> str:
    """A field in a language ("zh_CN", "en"): what was said in it, else for both, else in the other one; "" when nothing was."""
    first = "zh" if language.startswith("zh") else "en"
    for part in (first, "all", "", "en", "zh"):
        if text := about.get(part, {}).get(field):
            return text
    return ""

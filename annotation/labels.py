"""Label schemas: load a shipped or own one, write it as canonical text, grow it by names met in foreign files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from pathlib import Path

from annotation import canonical, schema_text, schema_toml
from annotation.errors import InvalidInput, NotFound
from annotation.schema import (
    CODE,
    MAX_LABELS,
    MAX_NAME,
    PALETTE,
    Attribute,
    Choice,
    Label,
    LabelSchema,
    Skeleton,
    Source,
    fold,
    names_of,
)

__all__ = [
    "BUILTIN",
    "Attribute",
    "Choice",
    "Label",
    "LabelSchema",
    "Skeleton",
    "Source",
    "clean_name",
    "dumps",
    "extend",
    "fold",
    "load",
    "loads",
]

BUILTIN = ("coal_mine", "grotto")
"""The schemas that come with the product."""
MAX_BYTES = 4_000_000


def load(name_or_path: str | Path) -> LabelSchema:
    """A shipped schema by name, or a TOML file by path.

    Raises:
        NotFound: neither a shipped name nor a file.
        InvalidFile: with every fault of the file.
    """
    text = str(name_or_path)
    if text in BUILTIN:
        body = resources.files("annotation").joinpath("schemas", f"{text}.toml").read_text(encoding="utf-8")
        return loads(body, f"{text}.toml")
    path = Path(name_or_path)
    if not path.is_file():
        raise NotFound(
            "no such label schema", where=text, remedy=f"a TOML file, or one of {', '.join(BUILTIN)}"
        )
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInput("too large for a label schema", where=text, remedy=f"at most {MAX_BYTES} bytes")
    try:
        body = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"not UTF-8 at byte {error.start}", where=text, remedy="save the file as UTF-8"
        ) from error
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", where=text) from error
    return loads(body, path.name)


@lru_cache(maxsize=16)
@lru_cache(maxsize=8)
def loads(text: str, where: str) -> LabelSchema:
    """The schema of a TOML text; `where` names it in errors. The last texts' values are kept: parsing takes 50 ms and more.

    Raises:
        InvalidFile: with every fault: file, key and remedy.
    """
    return schema_toml.read(text, where)


def dumps(schema: LabelSchema) -> str:
    """Canonical TOML: the same schema gives the same text on any machine, and `loads` gives the schema back.

    Raises:
        InvalidInput: when two labels use one attribute code with different meanings.
    """
    return schema_text.write(schema)


def extend(schema: LabelSchema, new_names: Iterable[str], where_from: str) -> LabelSchema:
    """The next version of the schema with a label for every name it does not know; itself when it knows them all.

    Codes come from the names alone, so two bases that import the same file get the same codes.

    Raises:
        InvalidInput: for an empty name, or when there would be too many labels.
    """
    labels = list(schema.labels)
    codes = {label.code for label in labels}
    used = {label.color for label in labels}
    known = {name for name, _ in names_of(labels)}
    note = _printable(canonical.nfc(where_from))[:MAX_NAME].strip()
    for name in new_names:
        shown = clean_name(name)
        if fold(shown) in known:
            continue
        color = next((c for c in PALETTE if c not in used), None) or _spare_color(shown, used)
        label = Label(
            code=_new_code(shown, codes, known), name_zh=shown, name_en=shown, color=color,
            rule_zh=f"来自“{note}”的类别，规则待补。", rule_en=f"A class met in “{note}”; its rule is still to be written.",
            source=Source(note=note),
        )  # fmt: skip
        labels.append(label)
        if len(labels) > MAX_LABELS:
            raise InvalidInput(
                f"{len(labels)} labels",
                where=where_from,
                remedy=f"at most {MAX_LABELS}: is this a list of classes?",
            )
        codes.add(label.code)
        used.add(color)
        known |= {n for n, _ in names_of([label])}
    if len(labels) == len(schema.labels):
        return schema
    return replace(schema, version=schema.version + 1, labels=tuple(labels))


def clean_name(name: str) -> str:
    """A foreign class name as it may enter a schema: NFC, one line, at most `MAX_NAME` characters.

    Raises:
        InvalidInput: when nothing readable is left.
    """
    text = _printable(canonical.nfc(name))[:MAX_NAME].strip()
    if not fold(text):
        raise InvalidInput(
            "a class without a readable name", where=ascii(name)[:80], remedy="name it in the file"
        )
    return text


def _printable(text: str) -> str:
    """The text on one line, without control and invisible characters."""
    return " ".join("".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text).split())


def _new_code(name: str, taken: set[str], known: set[str]) -> str:
    """A code that no label has and that is no other label's name either."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    slug = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:48]
    mark = canonical.digest(fold(name).encode())[:4].hex()
    if not plain.isascii() or not CODE.match(slug):
        slug = f"x_{mark}"
    elif slug in taken or (fold(slug) in known):
        slug = f"{slug}_{mark}"
    n = 2
    code = slug
    while code in taken or fold(code) in known:
        code = f"{slug}_{n}"
        n += 1
    return code


def _spare_color(name: str, used: set[str]) -> str:
    """A light colour drawn from the name's digest, once the palette is spent."""
    seed = canonical.digest(name.encode())
    n = 0
    while True:
        color = "#" + "".join(f"{96 + (seed[(n + i) % 32] + n) % 160:02x}" for i in range(3))
        if color not in used:
            return color
        n += 1

"""Which label each class of a foreign file means: by name, by what a person decided, or a new one; proposals for the rest."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from annotation.errors import InvalidInput
from annotation.formats import base
from annotation.labels import LabelSchema
from annotation.schema import MAX_NAME, fold
from app.services import matching
from app.services import schema as schemas
from app.services.workspace import Workspace

MAX_MAP = 4_000_000
"""Bytes of a file that maps classes."""
Classes = Mapping[str, str | None]
"""A class of the file (or its name in another spelling) -> the label it means, or None: its objects are left out."""


@dataclass(frozen=True, slots=True)
class Class:
    """A class of a file and what becomes of it.

    Attributes:
        n, predictions: its objects that are truth, and those that are predictions.
        how: "name" (the schema knows it), "decided" (the person said so), "dropped", or "new".
        code: the label it becomes; None when it is dropped or new.
        proposed: of a new one, the label that it may mean by a common synonym; a person decides.
    """

    name: str
    n: int
    predictions: int
    how: str
    code: str | None = None
    proposed: str | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """Every class of a file with its label (None: dropped), and the schema that has all of them."""

    codes: Mapping[str, str | None]
    added: tuple[str, ...]
    number: int


def read_map(path: Path) -> dict[str, str | None]:
    """A person's file of classes: TOML or JSON, foreign name = "label" or false.

    Raises:
        InvalidInput: it cannot be read, or says something else.
    """
    if path.suffix.lower() == ".json":
        value = base.parse_json(base.read_bytes(path, limit=MAX_MAP), path.name)
    else:
        try:
            value = tomllib.loads(base.read_text(path, limit=MAX_MAP))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise InvalidInput(
                f"not TOML: {error}", where=path.name, remedy='lines like hat = "helmet", or rope = false'
            ) from error
    if not isinstance(value, Mapping):
        raise InvalidInput(
            "no mapping of classes", where=path.name, remedy='{"hat": "helmet", "rope": false}'
        )
    out: dict[str, str | None] = {}
    for name, code in value.items():
        if code is not False and not (isinstance(code, str) and 0 < len(code) <= MAX_NAME):
            raise InvalidInput(
                f"the class {base.short(name)} becomes {base.short(code)}", where=path.name,
                remedy="a label's code or name in quotes, or false to leave its objects out",
            )  # fmt: skip
        out[str(name)] = None if code is False else str(code)
    return out


def decided(schema: LabelSchema, classes: Classes) -> dict[str, str | None]:
    """A person's decisions by folded name, each label by its code.

    Raises:
        InvalidInput: a label that the schema does not have, or one class decided in two ways.
    """
    out: dict[str, str | None] = {}
    for name, wanted in classes.items():
        code = schema.resolve(wanted) if wanted is not None else None
        if wanted is not None and code is None:
            raise InvalidInput(
                f"the label schema has no label {base.short(wanted)}", where=name,
                remedy=f"one of {', '.join(label.code for label in schema.drawable()[:12])} …",
            )  # fmt: skip
        key = fold(name)
        if out.get(key, code) != code:
            raise InvalidInput("the class is decided in two ways", where=name, remedy="keep one line of it")
        out[key] = code
    return out


def table(
    schema: LabelSchema, truth: Mapping[str, int], guessed: Mapping[str, int], classes: Classes
) -> list[Class]:
    """What would become of each class of a file, the most frequent first.

    Args:
        truth, guessed: objects of each class that are truth, and that are predictions.
    """
    said = decided(schema, classes)
    out = []
    names = sorted({*truth, *guessed}, key=lambda n: (-truth.get(n, 0) - guessed.get(n, 0), n))
    for name, proposal in zip(names, matching.propose(names, schema), strict=True):
        counts = truth.get(name, 0), guessed.get(name, 0)
        key = fold(name)
        if key in said:
            code = said[key]
            out.append(Class(name, *counts, "decided" if code else "dropped", code))
        elif (code := schemas.meant(schema, name)) is not None:
            out.append(Class(name, *counts, "name", code))
        else:
            out.append(Class(name, *counts, "new", None, proposal.code))
    return out


def settle(
    ws: Workspace, schema_code: str, names: Iterable[str], classes: Classes, *, where_from: str, strict: bool
) -> Settled:
    """Give every class of a file its label; unknown ones become labels of a new schema version.

    Raises:
        InvalidInput: strict, and a class is unknown; a decision that cannot be. Nothing is written.
    """
    said = decided(schemas.current(ws, schema_code), classes)
    wanted = list(names)
    left = [name for name in wanted if fold(name) not in said]
    mapped = schemas.ensure_labels(ws, schema_code, left, where_from=where_from, strict=strict)
    codes = {name: said[fold(name)] if fold(name) in said else mapped.codes[name] for name in wanted}
    return Settled(codes, mapped.added, mapped.number)

"""Every text of the desk that a person reads, found in its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "app/desktop"
FIRST = {
    "tr", "label", "button", "Tool", "Figure", "_caption", "field", "text_field", "path_field", "choices", "share",
    "_head", "_choice", "_ask_line",
}  # fmt: skip
SECOND = {"say", "Action", "_dial", "_tool"}
NAMED = {"spoken", "tip", "hint", "note"}
TABLES = {
    "KINDS",
    "SECTIONS",
    "SORTS",
    "DONE",
    "CAPTIONS",
    "REVIEW_TEXT",
    "_VALUE_TEXT",
    "_SECTIONS",
    "VERBS",
    "QUEUES",
    "STATE_TEXT",
    "ORIGIN_TEXT",
    "SCHEMAS",
    "_ORIGINS",
    "SIGNS",
    "TASKS",
    "FACTS",
    "PAGES",
    "HOW",
    "STAGES",
    "FIGURES",
}
CODES = {"unlabelled", "predicted", "labelled", "box", "polygon", "mask", "tag"}


def strings(node: ast.AST) -> Iterator[str]:
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and any(c.isalpha() for c in node.value)
    ):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from strings(node.body)
        yield from strings(node.orelse)


def in_call(node: ast.Call) -> Iterator[str]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    wanted = node.args[:1] if name in FIRST else node.args[1:2] if name in SECOND else []
    wanted = node.args[:3] if name == "_sheet" else node.args[1:4] if name == "Sheet" else wanted
    for argument in [*wanted, *(k.value for k in node.keywords if k.arg in NAMED)]:
        yield from strings(argument)


def in_table(node: ast.expr) -> Iterator[str]:
    values = node.values if isinstance(node, ast.Dict) else [e.elts[1] for e in getattr(node, "elts", [])]
    for value in values:
        yield from strings(value)


def spoken(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from in_call(node)
        elif isinstance(node, ast.Assign) and any(getattr(t, "id", "") in TABLES for t in node.targets):
            yield from in_table(node.value)
        elif (
            isinstance(node, ast.Dict)
            and node.keys
            and all(getattr(k, "value", None) in CODES for k in node.keys)
        ):
            yield from (s for v in node.values for s in strings(v) if s[0].isupper())
        elif isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple | ast.Call):
            # A loop over a literal table: what begins with a capital is a text, the rest are names.
            for inner in ast.walk(node.iter):
                yield from (s for s in strings(inner) if s[0].isupper())


def texts() -> dict[str, str]:
    """Text -> file."""
    found: dict[str, str] = {}
    for path in sorted(FOLDER.rglob("*.py")):
        for one in spoken(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(one, str(path.relative_to(FOLDER)))
    return found

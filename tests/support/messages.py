"""What the program says to people, read from its source: every text that the catalogues must hold.

usage: python tests/support/messages.py    prints the entries that zh_CN lacks, ready to be filled in.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAULTS = {"LamproomError", "Misread", "InvalidInput", "InvalidFile", "NotFound", "Conflict", "Unavailable"}
FIRST = {"tr", "group", "opt", "arg", "Warned", "Started", "Loss", "tr_sentence", "say", "_reached"}
"""Calls whose first argument is shown."""
THIRD = {"verb", "Finding"}
"""Calls whose third and later arguments are shown."""
SPOKEN = {"fault", "problem", "remedy", "why"}
"""Keywords and names that hold a sentence; tables whose name ends in _LOSSES hold nothing else, and so
do names that begin with HOW_."""


def text(node: ast.expr | None) -> Iterator[str]:
    """The texts an expression can be, each `{}` a part that is only known at run time."""
    match node:
        case ast.Constant(value=str(value)):
            yield value
        case ast.JoinedStr(values=values):
            yield "".join(
                v.value if isinstance(v, ast.Constant) and isinstance(v.value, str) else "{}" for v in values
            )
        case ast.IfExp(body=body, orelse=orelse):
            yield from text(body)
            yield from text(orelse)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from (a + b for a in text(left) or ("{}",) for b in text(right))
        case ast.BoolOp(values=values) | ast.Tuple(elts=values):
            for value in values:
                yield from text(value)


def called(node: ast.Call) -> str:
    return (
        node.func.id
        if isinstance(node.func, ast.Name)
        else node.func.attr
        if isinstance(node.func, ast.Attribute)
        else ""
    )


def shown(call: ast.Call) -> Iterator[ast.expr]:
    """The arguments of a call that a person reads."""
    name = called(call)
    if name in FAULTS:
        yield from call.args[:1]
        yield from (k.value for k in call.keywords if k.arg == "remedy")
    elif name in FIRST:
        yield from call.args[:1]
    elif name in THIRD:
        yield from call.args[2:]
    elif name == "table" and call.args and isinstance(call.args[0], ast.Tuple):
        yield from call.args[0].elts
    elif name == "add" and len(call.args) >= 2:  # the problem lists of format readers: add(at, what, remedy)
        yield from call.args[1:]
    elif name in ("Fault", "Question"):  # (where, what), (key, text)
        yield from call.args[1:2]
    elif name == "Known":  # a provider's known fault: (said, remedy, source)
        yield from call.args[:2]
    yield from (k.value for k in call.keywords if k.arg in SPOKEN)


def kept(node: ast.AST) -> Iterator[ast.expr]:
    """What a person reads of an assignment."""
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = {t.id for t in targets if isinstance(t, ast.Name)}
        if names & SPOKEN or any(n.startswith("HOW_") for n in names):
            yield node.value
        if any(n.endswith("_LOSSES") for n in names):
            yield from (
                value
                for table in ast.walk(node.value)
                if isinstance(table, ast.Dict)
                for value in table.values
            )


def wanted(folders: tuple[str, ...] = ("annotation", "models", "storage", "app")) -> dict[str, str]:
    """Every text to translate, with the place of its first use."""
    found: dict[str, str] = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.parent.name in ("versions", "migrations") or path.name == "train.py":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                for argument in shown(node) if isinstance(node, ast.Call) else kept(node):
                    for one in text(argument):
                        if speaks(one):
                            found.setdefault(one, f"{path.relative_to(ROOT)}:{argument.lineno}")
    return found


def speaks(one: str) -> bool:
    """Words, not a code, a path or a pattern of parts alone."""
    return any(c.isalpha() for c in one.replace("{}", "")) and not one.startswith(("/", "--"))


def main() -> int:
    sys.path.insert(0, str(ROOT))
    from app import i18n

    known = i18n.catalogue("zh_CN")
    for one, where in wanted().items():
        if one not in known:
            escaped = one.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            print(f'#: {where}\nmsgid "{escaped}"\nmsgstr ""\n')
    return 0


if __name__ == "__main__":
    sys.exit(main())

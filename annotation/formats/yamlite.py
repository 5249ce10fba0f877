"""The little YAML that YOLO's data.yaml is written in: scalars, flow and block lists, block maps of one level.

Not a YAML reader: no anchors, tags or documents, so nothing can be expanded or executed. What it does not understand
under a key is kept as text, for nobody here needs it (`download: |` scripts and the like).
"""

from __future__ import annotations

import re
from typing import Any

from annotation.errors import InvalidInput

MAX_LINES = 20_000
_KEY = re.compile(r"""(?P<key>"[^"]*"|'[^']*'|[^\s:#\[\]{},'"][^:#\[\]{},]*?)\s*:(?:\s+(?P<rest>.*))?\Z""")
_INT = re.compile(r"[-+]?[0-9]{1,15}\Z")


def loads(text: str, where: str) -> dict[str, Any]:
    """The top-level keys; values are str, int, list, or dict (int or str keys).

    Raises:
        InvalidInput: naming the line.
    """
    lines = [
        (n, raw)
        for n, raw in enumerate(text.splitlines(), 1)
        if (bare := _bare(raw).strip()) and bare != "---"
    ]
    if len(lines) > MAX_LINES:
        raise InvalidInput(f"{len(lines)} lines", where=where, remedy=f"at most {MAX_LINES}")
    out: dict[str, Any] = {}
    at = 0
    while at < len(lines):
        n, raw = lines[at]
        line = _bare(raw)
        found = _KEY.match(line.rstrip())
        if line[:1].isspace() or not found:
            raise InvalidInput(f"line {n} is no `key: value`", where=where, remedy="correct the line")
        key = str(_scalar(found["key"].strip(), where))
        rest = (found["rest"] or "").strip()
        at += 1
        block = []
        while at < len(lines) and (
            lines[at][1][:1].isspace() or lines[at][1].startswith(("- ", "-\t", "]", "}"))
        ):
            block.append(lines[at])
            at += 1
        if key in out:
            raise InvalidInput(f"line {n}: the key {key!r} is there twice", where=where, remedy="remove one")
        if rest[:1] in ("|", ">"):
            out[key] = "\n".join(raw for _, raw in block)
        elif rest[:1] in ("[", "{"):
            out[key] = _flow(" ".join([rest, *(_bare(raw).strip() for _, raw in block)]), where, n)
        elif rest or not block:
            out[key] = _scalar(rest, where)
        else:
            out[key] = _block(block, where)
    return out


def _bare(line: str) -> str:
    """The line without its comment; a # inside quotes or inside a word is none."""
    quote = ""
    for i, c in enumerate(line):
        if quote:
            quote = "" if c == quote else quote
        elif c in "'\"" and (i == 0 or line[i - 1] in " \t[{,:"):
            quote = c
        elif c == "#" and (i == 0 or line[i - 1].isspace()):
            return line[:i]
    return line


def _scalar(text: str, where: str) -> str | int:
    if text[:1] in ("&", "*", "!") and len(text) > 1:
        raise InvalidInput(
            f"an anchor, alias or tag is not read: {text[:40]!r}",
            where=where,
            remedy="write the value out, or quote it",
        )
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        inner = text[1:-1]
        if text[0] == "'":
            return inner.replace("''", "'")
        return re.sub(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", _escape, inner)
    return int(text) if _INT.match(text) else text


def _escape(found: re.Match[str]) -> str:
    code = found[1]
    if len(code) > 1:
        return chr(int(code[1:], 16))
    return {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}.get(code, code)


def _block(lines: list[tuple[int, str]], where: str) -> Any:
    if all(_bare(raw).strip().startswith("-") for _, raw in lines):
        return [_scalar(_bare(raw).strip()[1:].strip(), where) for _, raw in lines]
    out: dict[str | int, Any] = {}
    depth = len(lines[0][1]) - len(lines[0][1].lstrip())
    for n, raw in lines:
        found = _KEY.match(_bare(raw).strip())
        if len(raw) - len(raw.lstrip()) > depth:
            continue  # below a key of the block: deeper than anything we read
        if not found:
            raise InvalidInput(
                f"line {n} is neither `- item` nor `key: value`", where=where, remedy="correct the line"
            )
        out[_scalar(found["key"].strip(), where)] = _scalar((found["rest"] or "").strip(), where)
    return out


def _flow(text: str, where: str, line: int) -> Any:
    """A flow list or map of scalars: `[a, 'b', 3]`, `{0: a, 1: b}`."""
    close = {"[": "]", "{": "}"}[text[0]]
    items: list[str] = []
    item, quote = "", ""
    for at, c in enumerate(text[1:], 1):
        if quote:
            quote = "" if c == quote else quote
        elif c in "'\"" and not item.rpartition(":")[2].strip():
            quote = c
        elif c in ",]}":
            if item.strip():
                items.append(item.strip())
            item = ""
            if c == close:
                if text[at + 1 :].strip():
                    break
                return _map(items, where, line) if close == "}" else [_scalar(i, where) for i in items]
            continue
        elif c in "[{":
            break
        item += c
    raise InvalidInput(
        f"line {line}: a list or map that is not closed, or nested", where=where, remedy="correct the line"
    )


def _map(items: list[str], where: str, line: int) -> dict[str | int, Any]:
    out: dict[str | int, Any] = {}
    for item in items:
        found = _KEY.match(item)
        if not found:
            raise InvalidInput(
                f"line {line}: {item[:40]!r} is no `key: value`", where=where, remedy="correct the line"
            )
        out[_scalar(found["key"].strip(), where)] = _scalar((found["rest"] or "").strip(), where)
    return out


def quoted(text: str) -> str:
    """A text as a YAML scalar that every YAML reader reads back."""
    return "'" + text.replace("'", "''") + "'"

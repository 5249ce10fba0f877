"""A label schema written as canonical TOML: one schema, one text, on any machine."""

from __future__ import annotations

from annotation.core import AttributeValue
from annotation.errors import InvalidInput
from annotation.schema import Attribute, Example, Label, LabelSchema, Skeleton


def write(schema: LabelSchema) -> str:
    """Canonical TOML: the same schema gives the same text on any machine, and `schema_toml.read` gives the schema back.

    Raises:
        InvalidInput: when two labels use one attribute code with different meanings.
    """
    pool: dict[str, Attribute] = {}
    for label in schema.labels:
        for attribute in label.attributes:
            if pool.setdefault(attribute.code, attribute) != attribute:
                raise InvalidInput(
                    "one attribute code with two meanings",
                    where=f"{label.code}.{attribute.code}",
                    remedy="rename one",
                )
    out = [f"code = {_q(schema.code)}", f"version = {schema.version}"]
    out += [
        f"title_zh = {_q(schema.title_zh)}",
        f"title_en = {_q(schema.title_en)}",
        f"source = {_q(schema.source)}",
    ]
    for code in sorted(pool):
        out += ["", "[[attributes]]", *_attribute_lines(pool[code])]
    for label in schema.labels:
        out += ["", "[[labels]]", *_label_lines(label)]
    return "\n".join(out) + "\n"


def _attribute_lines(a: Attribute) -> list[str]:
    lines = [
        f"code = {_q(a.code)}",
        f"name_zh = {_q(a.name_zh)}",
        f"name_en = {_q(a.name_en)}",
        f"type = {_q(a.type)}",
    ]
    if a.choices:
        rows = (
            f"{{ code = {_q(c.code)}, name_zh = {_q(c.name_zh)}, name_en = {_q(c.name_en)} }}"
            for c in a.choices
        )
        lines.append(f"choices = [{', '.join(rows)}]")
    if a.default is not None:
        lines.append(f"default = {_value(a.default)}")
    if a.required:
        lines.append("required = true")
    return lines


def _label_lines(label: Label) -> list[str]:
    lines = [f"code = {_q(label.code)}", f"name_zh = {_q(label.name_zh)}", f"name_en = {_q(label.name_en)}"]
    if label.parent:
        lines.append(f"parent = {_q(label.parent)}")
    if label.abstract:
        lines.append("abstract = true")
    lines.append(f"color = {_q(label.color)}")
    if label.key:
        lines.append(f"key = {_q(label.key)}")
    if label.kinds:
        lines.append(f"kinds = [{', '.join(map(_q, sorted(label.kinds)))}]")
    if label.aliases:
        lines.append(f"aliases = [{', '.join(map(_q, label.aliases))}]")
    if label.attributes:
        lines.append(f"attributes = [{', '.join(_q(a.code) for a in label.attributes)}]")
    if label.skeleton is not None:
        lines += _skeleton_lines(label.skeleton)
    if label.retired_to:
        lines.append(f"retired_to = {_q(label.retired_to)}")
    lines += [f"{k} = {_q(v)}" for k, v in (("rule_zh", label.rule_zh), ("rule_en", label.rule_en)) if v]
    s = label.source
    pairs = [
        (k, v)
        for k, v in (("standard", s.standard), ("clause", s.clause), ("term", s.term), ("note", s.note))
        if v
    ]
    if pairs:
        lines.append(f"source = {{ {', '.join(f'{k} = {_q(v)}' for k, v in pairs)} }}")
    if label.examples:
        lines.append(f"examples = [{', '.join(map(_example, label.examples))}]")
    return lines


def _example(e: Example) -> str:
    notes = "".join(f", {k} = {_q(v)}" for k, v in (("note_zh", e.note_zh), ("note_en", e.note_en)) if v)
    return (
        f"{{ good = {_value(e.good)}, blake3 = {_q(e.blake3)}, box = [{', '.join(map(str, e.box))}]{notes} }}"
    )


def _skeleton_lines(skeleton: Skeleton) -> list[str]:
    rows = (
        f"{{ code = {_q(code)}, name_zh = {_q(zh)}, name_en = {_q(en)} }}" for code, zh, en in skeleton.points
    )
    lines = [f"skeleton.points = [{', '.join(rows)}]"]
    for key, pairs in (("edges", skeleton.edges), ("swaps", skeleton.swaps)):
        if pairs:
            found = (f"[{', '.join(_q(skeleton.points[i][0]) for i in pair)}]" for pair in pairs)
            lines.append(f"skeleton.{key} = [{', '.join(found)}]")
    return lines


def _value(value: AttributeValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _q(value) if isinstance(value, str) else str(value)


def _q(text: str) -> str:
    """A TOML basic string."""
    out = []
    for c in text:
        if c in '"\\':
            out.append(f"\\{c}")
        elif c == "\n":
            out.append("\\n")
        elif ord(c) < 0x20 or ord(c) == 0x7F:
            out.append(f"\\u{ord(c):04x}")
        else:
            out.append(c)
    return f'"{"".join(out)}"'

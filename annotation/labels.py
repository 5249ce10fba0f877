"""Label schemas: what may be drawn, in zh and en, with rules; read from TOML, checked, written canonically.

A schema is data. Class ids of exports follow the order of its labels, so labels are only ever appended or retired.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from annotation import canonical
from annotation.core import KIND_OF, AttributeValue
from annotation.errors import InvalidFile, InvalidInput, LamproomError, NotFound

KINDS = frozenset(KIND_OF.values())
ATTRIBUTE_TYPES = ("choice", "flag", "text", "number")
BUILTIN = ("coal_mine", "grotto")
"""The schemas that come with the product."""
UNCONFIRMED = ("条款待基地核对", "clause to be confirmed by the base")

MAX_BYTES = 4_000_000
MAX_LABELS = 4096
MAX_NAME = 120
MAX_TEXT = 4000
_KEPT_PROBLEMS = 200

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_COLOR = re.compile(r"#[0-9a-f]{6}\Z")

PALETTE: tuple[str, ...] = (
    "#58a6e6", "#f5b342", "#e8625a", "#8a30ff", "#f6ffed", "#935478", "#a5ff9c", "#545dc9",
    "#ffc9f6", "#ff81a5", "#6f66a5", "#307830", "#eded30", "#db42ff", "#a5c98a", "#b75d66",
    "#ae9330", "#c0c066", "#c981b7", "#c9ff78", "#30ffb7", "#ff54db", "#6f9c8a", "#54d2c0",
    "#c93030", "#93a578", "#c0c0ff", "#5d81ff", "#d230ae", "#429c54", "#d2ffff", "#93e45d",
    "#8aedc9", "#dbf65d", "#e4a5db", "#f681ff", "#a578c9", "#66c930", "#9339e4", "#668193",
    "#d2a56f", "#ffc9a5", "#d25d9c", "#b739db", "#78b74b", "#78664b", "#e4d281", "#ae8139",
    "#9c5466", "#5db7a5", "#a5e4db", "#c9ae93", "#b7ff8a", "#54edf6", "#c9db30", "#fff6d2",
    "#c97881", "#ae6f42", "#8a5d93", "#6fa5c0", "#db816f", "#ae81f6", "#f6a5c0", "#4bed81",
    "#a55dc9", "#7866e4", "#9ca5ff", "#f6ff30", "#ed9c54", "#c08ae4", "#c93054", "#81c0db",
    "#9c42ff", "#81f64b", "#42c08a", "#4b6fb7", "#c05478", "#935d30", "#f69330", "#9cd2ae",
    "#c03078", "#30a566", "#c066ae", "#e4ffb7", "#6fe49c", "#5d8a42", "#ae5d8a", "#ff6fc9",
    "#8adbdb", "#c066e4", "#f6a5f6", "#e47830", "#c9939c", "#ffdbd2", "#c930b7", "#edc054",
)  # fmt: skip
"""Colours for labels without one. Each next colour is the farthest from those before it, as seen with normal,
red-blind, green-blind and blue-blind eyes, at 3:1 and more against the dark desk."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a choice attribute."""

    code: str
    name_zh: str
    name_en: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """A typed attribute. A code means the same wherever it is used in the schema.

    type: "choice" (value: a choice's code), "flag" (bool), "text" (str) or "number" (int).
    default: the value a new annotation gets, or None for none.
    required: an annotation without a value is an issue.
    """

    code: str
    name_zh: str
    name_en: str
    type: str
    choices: tuple[Choice, ...] = ()
    default: AttributeValue | None = None
    required: bool = False

    def accepts(self, value: object) -> bool:
        """Whether the value is one that this attribute can hold."""
        match self.type:
            case "choice":
                return isinstance(value, str) and any(c.code == value for c in self.choices)
            case "flag":
                return isinstance(value, bool)
            case "number":
                return isinstance(value, int) and not isinstance(value, bool) and abs(value) < canonical.LIMIT
            case _:
                return isinstance(value, str)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a label comes from: a standard's number, its clause ("" = not yet confirmed), its own term, or a note."""

    standard: str = ""
    clause: str = ""
    term: str = ""
    note: str = ""

    def line(self, language: str = "zh") -> str:
        """One line for a person, honest about a clause nobody has checked."""
        clause = self.clause or (UNCONFIRMED[0 if language.startswith("zh") else 1] if self.standard else "")
        return " · ".join(part for part in (self.standard, clause, self.term, self.note) if part)

    def __str__(self) -> str:
        return self.line()


@dataclass(frozen=True, slots=True)
class Label:
    """A class of objects. `abstract`: a group that cannot be drawn. `retired_to`: the successor of a retired label."""

    code: str
    name_zh: str
    name_en: str
    color: str
    kinds: frozenset[str] = KINDS
    parent: str | None = None
    key: str | None = None
    attributes: tuple[Attribute, ...] = ()
    rule_zh: str = ""
    rule_en: str = ""
    source: Source = Source()
    retired_to: str | None = None
    abstract: bool = False
    aliases: tuple[str, ...] = ()

    def name(self, language: str) -> str:
        """The name in "zh…" or another language (en)."""
        return self.name_zh if language.startswith("zh") else self.name_en

    def rule(self, language: str) -> str:
        """The rule text in "zh…" or another language (en)."""
        return self.rule_zh if language.startswith("zh") else self.rule_en

    def attribute(self, code: str) -> Attribute | None:
        """The attribute of that code, or None."""
        return next((a for a in self.attributes if a.code == code), None)

    def defaults(self) -> Mapping[str, AttributeValue]:
        """The attributes a new annotation of this label starts with."""
        return MappingProxyType({a.code: a.default for a in self.attributes if a.default is not None})


@dataclass(frozen=True, slots=True)
class LabelSchema:
    """A versioned set of labels in the order of their class ids. Build it with `load` or `loads`, which check it."""

    code: str
    version: int
    title_zh: str
    title_en: str
    labels: tuple[Label, ...]
    source: str = ""
    _by_code: Mapping[str, Label] = field(init=False, repr=False, compare=False)
    _by_name: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_code = {label.code: label for label in self.labels}
        by_name: dict[str, str] = {}
        for name, label in _names(self.labels):
            by_name.setdefault(name, label.code)
        object.__setattr__(self, "_by_code", MappingProxyType(by_code))
        object.__setattr__(self, "_by_name", MappingProxyType(by_name))

    def label(self, code: str) -> Label | None:
        """The label of that code, or None."""
        return self._by_code.get(code)

    def resolve(self, name: str) -> str | None:
        """The code meant by a code, a zh or en name or an alias, in any case and spacing; a retired label's
        successor. None for an unknown name or a group."""
        code = self._by_name.get(fold(name))
        while code is not None and (successor := self._by_code[code].retired_to):
            code = successor
        return code

    def drawable(self) -> tuple[Label, ...]:
        """The labels that can be drawn today: no groups, none retired."""
        return tuple(label for label in self.labels if not label.abstract and label.retired_to is None)

    def class_ids(self) -> Mapping[str, int]:
        """Code -> class id from 0 in exports: every label but groups, in order; retired ones keep theirs."""
        return {label.code: i for i, label in enumerate(la for la in self.labels if not la.abstract)}


def fold(name: str) -> str:
    """A name as it is compared: compatibility form, lower case, without spaces, hyphens and underscores."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in text if c not in "-_·" and not c.isspace())


def _names(labels: Iterable[Label]) -> list[tuple[str, Label]]:
    """Every folded name of what can be drawn, codes first: a code always means itself."""
    real = [label for label in labels if not label.abstract]
    found = [(fold(label.code), label) for label in real]
    found += [(fold(n), label) for label in real for n in (label.name_zh, label.name_en, *label.aliases) if n]
    return found


# ---------------------------------------------------------------------------------------------------------------
# Reading


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
    return loads(body, path.name)


def loads(text: str, where: str) -> LabelSchema:
    """The schema of a TOML text; `where` names it in errors.

    Raises:
        InvalidFile: with every fault: file, key and remedy.
    """
    try:
        data = tomllib.loads(text.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidFile(
            [InvalidInput(f"not TOML: {error}", where=where, remedy="correct the line")], where=where
        ) from error
    reader = _Reader(where)
    schema = reader.schema(data)
    reader.finish()
    return schema


class _Reader:
    """Takes values out of parsed TOML and collects every fault, so that a person sees them all at once."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.problems: list[LamproomError] = []
        self.more = 0

    def fault(self, key: str, what: str, remedy: str) -> None:
        if len(self.problems) >= _KEPT_PROBLEMS:
            self.more += 1
        else:
            self.problems.append(InvalidInput(what, where=f"{self.where}: {key}", remedy=remedy))

    def finish(self) -> None:
        if self.problems:
            raise InvalidFile(self.problems, where=self.where, more=self.more)

    def text(
        self, table: dict[str, Any], key: str, at: str, *, limit: int = MAX_NAME, need: bool = False
    ) -> str:
        value = table.get(key, "")
        if not isinstance(value, str):
            self.fault(f"{at}{key}", f"is {_short(value)}, not text", 'write it in "quotes"')
            return ""
        value = unicodedata.normalize("NFC", value).strip()
        if need and not value:
            self.fault(f"{at}{key}", "is missing" if key not in table else "is empty", "give it a text")
        if len(value) > limit:
            self.fault(f"{at}{key}", f"has {len(value)} characters", f"at most {limit}")
        if any(unicodedata.category(c) in ("Cc", "Cs") and c != "\n" for c in value):
            self.fault(f"{at}{key}", "holds control characters", "remove them")
        return value

    def flag(self, table: dict[str, Any], key: str, at: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            self.fault(f"{at}{key}", f"is {_short(value)}", "true or false")
            return False
        return value

    def strings(self, table: dict[str, Any], key: str, at: str) -> tuple[str, ...]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            self.fault(f"{at}{key}", f"is {_short(value)}", 'a list of texts: ["a", "b"]')
            return ()
        if any(not v.strip() or len(v) > MAX_NAME for v in value):
            self.fault(f"{at}{key}", "holds an empty or overlong text", f"1 to {MAX_NAME} characters each")
        return tuple(unicodedata.normalize("NFC", v).strip() for v in value)

    def tables(self, table: dict[str, Any], key: str, at: str) -> list[dict[str, Any]]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
            self.fault(f"{at}{key}", f"is {_short(value)}", f"write [[{key}]] tables")
            return []
        return value

    def code(self, table: dict[str, Any], at: str) -> str:
        value = table.get("code", "")
        if not isinstance(value, str) or not _CODE.match(value):
            self.fault(
                f"{at}code",
                f"is {_short(value)}",
                "a lower-case letter, then letters, digits and _ (at most 64)",
            )
            return ""
        return value

    def unknown(self, table: dict[str, Any], known: frozenset[str], at: str) -> None:
        for key in table:
            if key not in known:
                self.fault(f"{at}{key}", "is not a key known here", f"one of {', '.join(sorted(known))}")

    def schema(self, data: dict[str, Any]) -> LabelSchema:
        self.unknown(data, _SCHEMA_KEYS, "")
        version = data.get("version", 1)
        if not isinstance(version, int) or isinstance(version, bool) or not 0 < version < canonical.LIMIT:
            self.fault("version", f"is {_short(version)}", "a whole number from 1")
            version = 1
        pool: dict[str, Attribute] = {}
        for i, table in enumerate(self.tables(data, "attributes", "")):
            attribute = self.attribute(table, f"attributes.{_tag(table, i)}.")
            if attribute.code in pool:
                self.fault(
                    f"attributes.{attribute.code}",
                    "is defined twice",
                    "one code, one meaning: rename one of them",
                )
            pool[attribute.code] = attribute
        tables = self.tables(data, "labels", "")
        if not tables:
            self.fault("labels", "there are none", "add at least one [[labels]] table")
        if len(tables) > MAX_LABELS:
            self.fault("labels", f"there are {len(tables)}", f"at most {MAX_LABELS}")
        labels = [self.label(t, f"labels.{_tag(t, i)}.", i, pool) for i, t in enumerate(tables[:MAX_LABELS])]
        self.together(labels)
        return LabelSchema(
            code=self.code(data, ""),
            version=version,
            title_zh=self.text(data, "title_zh", "", need=True),
            title_en=self.text(data, "title_en", "", need=True),
            labels=tuple(labels) if not self.problems else (),
            source=self.text(data, "source", "", limit=MAX_TEXT),
        )

    def attribute(self, table: dict[str, Any], at: str) -> Attribute:
        self.unknown(table, _ATTRIBUTE_KEYS, at)
        kind = table.get("type")
        if kind not in ATTRIBUTE_TYPES:
            self.fault(f"{at}type", f"is {_short(kind)}", f"one of {', '.join(ATTRIBUTE_TYPES)}")
            kind = "text"
        choices: list[Choice] = []
        for i, row in enumerate(self.tables(table, "choices", at)):
            spot = f"{at}choices.{_tag(row, i)}."
            self.unknown(row, _CHOICE_KEYS, spot)
            code = row.get("code")
            if not isinstance(code, str) or not re.match(r"[a-z0-9_]{1,64}\Z", code):
                self.fault(f"{spot}code", f"is {_short(code)}", "lower-case letters, digits and _")
                code = f"choice_{i}"
            choices.append(
                Choice(
                    code,
                    self.text(row, "name_zh", spot, need=True),
                    self.text(row, "name_en", spot, need=True),
                )
            )
        if len({c.code for c in choices}) < len(choices):
            self.fault(f"{at}choices", "two choices have the same code", "codes differ within an attribute")
        if (kind == "choice") != bool(choices):
            self.fault(
                f"{at}choices",
                "only a choice attribute has choices, and it needs some",
                "correct type or choices",
            )
        found = Attribute(
            code=self.code(table, at),
            name_zh=self.text(table, "name_zh", at, need=True),
            name_en=self.text(table, "name_en", at, need=True),
            type=kind,
            choices=tuple(choices),
            default=table.get("default"),
            required=self.flag(table, "required", at),
        )
        if found.default is not None and not found.accepts(found.default):
            self.fault(
                f"{at}default",
                f"is {_short(found.default)}, which a {kind} cannot hold",
                "give a possible value, or none",
            )
        return found

    def label(self, table: dict[str, Any], at: str, place: int, pool: dict[str, Attribute]) -> Label:
        self.unknown(table, _LABEL_KEYS, at)
        abstract = self.flag(table, "abstract", at)
        kinds = frozenset(self.strings(table, "kinds", at))
        for kind in sorted(kinds - KINDS):
            self.fault(f"{at}kinds", f"{kind!r} is no kind of shape", f"of {', '.join(sorted(KINDS))}")
        if abstract and kinds:
            self.fault(f"{at}kinds", "a group cannot be drawn", "remove kinds, or abstract = true")
        if not abstract and not kinds:
            self.fault(f"{at}kinds", "is missing", 'say what may be drawn, for example ["box"]')
        color = table.get("color", PALETTE[place % len(PALETTE)])
        if not isinstance(color, str) or not _COLOR.match(color.lower()):
            self.fault(f"{at}color", f"is {_short(color)}", 'like "#f5b342"')
            color = PALETTE[0]
        key = table.get("key")
        if key is not None and (not isinstance(key, str) or len(key) != 1 or key not in "0123456789"):
            self.fault(f"{at}key", f"is {_short(key)}", 'one digit in quotes: "1"')
            key = None
        attributes: list[Attribute] = []
        for code in self.strings(table, "attributes", at):
            if code not in pool:
                self.fault(
                    f"{at}attributes",
                    f"{code!r} is not defined",
                    f"add it to [[attributes]], or one of {', '.join(pool)}",
                )
            elif pool[code] in attributes:
                self.fault(f"{at}attributes", f"{code!r} is there twice", "remove one")
            else:
                attributes.append(pool[code])
        return Label(
            code=self.code(table, at),
            name_zh=self.text(table, "name_zh", at, need=True),
            name_en=self.text(table, "name_en", at, need=True),
            color=color.lower(),
            kinds=kinds,
            parent=self.text(table, "parent", at) or None,
            key=key,
            attributes=tuple(attributes),
            rule_zh=self.text(table, "rule_zh", at, limit=MAX_TEXT),
            rule_en=self.text(table, "rule_en", at, limit=MAX_TEXT),
            source=self.source(table, at),
            retired_to=self.text(table, "retired_to", at) or None,
            abstract=abstract,
            aliases=self.strings(table, "aliases", at),
        )

    def source(self, table: dict[str, Any], at: str) -> Source:
        value = table.get("source", {})
        if not isinstance(value, dict):
            self.fault(
                f"{at}source",
                f"is {_short(value)}",
                'like { standard = "GB/T 15236-2008", clause = "", term = "…" }',
            )
            return Source()
        self.unknown(value, _SOURCE_KEYS, f"{at}source.")
        return Source(
            **{k: self.text(value, k, f"{at}source.") for k in ("standard", "clause", "term", "note")}
        )

    def together(self, labels: list[Label]) -> None:
        """What can only be seen with all labels at hand: equal codes, keys and names; parents and successors."""
        by_code: dict[str, Label] = {}
        keys: dict[str, str] = {}
        colors: dict[str, str] = {}
        for label in labels:
            at = f"labels.{label.code}."
            if label.code in by_code:
                self.fault(f"{at}code", "is there twice", "codes are never shared or reused")
            by_code.setdefault(label.code, label)
            if label.key is not None and keys.setdefault(label.key, label.code) != label.code:
                self.fault(
                    f"{at}key",
                    f"{label.key!r} belongs to {keys[label.key]} already",
                    "give each key to one label",
                )
            if not label.abstract and colors.setdefault(label.color, label.code) != label.code:
                self.fault(
                    f"{at}color",
                    f"{label.color} is the colour of {colors[label.color]} too",
                    "choose another",
                )
        names: dict[str, str] = {}
        for name, label in _names(labels):
            if names.setdefault(name, label.code) != label.code:
                self.fault(
                    f"labels.{label.code}.aliases",
                    f"the name {name!r} means {names[name]} already",
                    "one name, one label",
                )
        for label in labels:
            for key, target in (("parent", label.parent), ("retired_to", label.retired_to)):
                if target is None:
                    continue
                if target not in by_code:
                    self.fault(
                        f"labels.{label.code}.{key}", f"there is no label {target!r}", "a code of this file"
                    )
                elif _circular(label, key, by_code):
                    self.fault(f"labels.{label.code}.{key}", "leads back to itself", "break the circle")
                elif key == "retired_to" and by_code[target].abstract:
                    self.fault(
                        f"labels.{label.code}.{key}",
                        f"{target!r} is a group",
                        "forward to a label that can be drawn",
                    )


_SCHEMA_KEYS = frozenset({"code", "version", "title_zh", "title_en", "source", "attributes", "labels"})
_CHOICE_KEYS = frozenset({"code", "name_zh", "name_en"})
_ATTRIBUTE_KEYS = _CHOICE_KEYS | {"type", "choices", "default", "required"}
_SOURCE_KEYS = frozenset({"standard", "clause", "term", "note"})
_LABEL_KEYS = _CHOICE_KEYS | {
    "parent", "color", "key", "kinds", "attributes", "rule_zh", "rule_en", "source", "retired_to", "abstract", "aliases",
}  # fmt: skip


def _tag(table: dict[str, Any], place: int) -> str:
    code = table.get("code")
    return code if isinstance(code, str) and _CODE.match(code) else f"{place + 1}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _circular(label: Label, key: str, by_code: Mapping[str, Label]) -> bool:
    seen = set()
    at: Label | None = label
    while at is not None:
        if at.code in seen:
            return at.code == label.code
        seen.add(at.code)
        at = by_code.get(getattr(at, key) or "")
    return False


# ---------------------------------------------------------------------------------------------------------------
# Writing and growing


def dumps(schema: LabelSchema) -> str:
    """Canonical TOML: the same schema gives the same text on any machine, and `loads` gives the schema back.

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


def extend(schema: LabelSchema, new_names: Iterable[str], where_from: str) -> LabelSchema:
    """The next version of the schema with a label for every name it does not know; itself when it knows them all.

    Codes come from the names alone, so two bases that import the same file get the same codes.

    Raises:
        InvalidInput: for an empty name, or when there would be too many labels.
    """
    labels = list(schema.labels)
    codes = {label.code for label in labels}
    used = {label.color for label in labels}
    known = {name for name, _ in _names(labels)}
    for name in new_names:
        shown = clean_name(name)
        if fold(shown) in known:
            continue
        color = next((c for c in PALETTE if c not in used), None) or _spare_color(shown, used)
        label = Label(
            code=_new_code(shown, codes), name_zh=shown, name_en=shown, color=color,
            rule_zh=f"来自“{where_from}”的类别，规则待补。"[:MAX_TEXT],
            rule_en=f"A class met in “{where_from}”; its rule is still to be written."[:MAX_TEXT],
            source=Source(note=clean_name(where_from)),
        )  # fmt: skip
        labels.append(label)
        codes.add(label.code)
        used.add(color)
        known |= {n for n, _ in _names([label])}
    if len(labels) == len(schema.labels):
        return schema
    if len(labels) > MAX_LABELS:
        raise InvalidInput(
            f"{len(labels)} labels",
            where=where_from,
            remedy=f"at most {MAX_LABELS}: is this a list of classes?",
        )
    return replace(schema, version=schema.version + 1, labels=tuple(labels))


def clean_name(name: str) -> str:
    """A foreign class name as it may enter a schema: NFC, one line, at most `MAX_NAME` characters.

    Raises:
        InvalidInput: when nothing readable is left.
    """
    text = "".join(
        " " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Zs") else c for c in canonical.nfc(name)
    )
    text = " ".join(text.split())[:MAX_NAME].strip()
    if not fold(text):
        raise InvalidInput(
            "a class without a readable name", where=ascii(name)[:80], remedy="name it in the file"
        )
    return text


def _new_code(name: str, taken: set[str]) -> str:
    plain = unicodedata.normalize("NFKC", name).casefold()
    slug = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:48]
    mark = canonical.digest(fold(name).encode())[:4].hex()
    if not plain.isascii() or not _CODE.match(slug):
        slug = f"x_{mark}"
    elif slug in taken:
        slug = f"{slug}_{mark}"
    n = 2
    code = slug
    while code in taken:
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

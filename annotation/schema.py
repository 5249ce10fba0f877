"""The values of a label schema: labels, attributes, where they come from, and how a name is looked up.

A schema is data. Class ids of exports follow the order of its labels, so labels are only ever appended or retired.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from annotation import canonical
from annotation.core import KIND_OF, AttributeValue

KINDS = frozenset(KIND_OF.values())
CODE = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
"""What codes of schemas, labels and attributes look like."""
ATTRIBUTE_TYPES = ("choice", "flag", "text", "number")
UNCONFIRMED = ("条款待基地核对", "clause to be confirmed by the base")

MAX_LABELS = 4096
MAX_NAME = 120
MAX_TEXT = 4000
MAX_KEYPOINTS = 200
MAX_EXAMPLES = 12


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
class Skeleton:
    """The template of a label's keypoints.

    Attributes:
        points: (code, zh name, en name) in the order in which `Keypoints` holds them.
        edges: pairs of points joined by a line, by their places.
        swaps: pairs of points that change places when the picture is mirrored (left and right), by their places.
    """

    points: tuple[tuple[str, str, str], ...]
    edges: tuple[tuple[int, int], ...] = ()
    swaps: tuple[tuple[int, int], ...] = ()

    def name(self, place: int, language: str) -> str:
        """The name of a point in "zh…" or another language (en)."""
        return self.points[place][1 if language.startswith("zh") else 2]


@dataclass(frozen=True, slots=True)
class Example:
    """A picture that shows the rule: how an object should be drawn, or should not.

    Attributes:
        blake3: digest of the picture's bytes, 64 hex digits; any workspace that holds the picture can show it.
        box: the part to show, xyxy in whole source pixels; it may reach over the picture's border.
    """

    good: bool
    blake3: str
    box: tuple[int, int, int, int]
    note_zh: str = ""
    note_en: str = ""

    def note(self, language: str) -> str:
        """What is to be seen, in "zh…" or another language (en)."""
        return self.note_zh if language.startswith("zh") else self.note_en


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
    skeleton: Skeleton | None = None
    examples: tuple[Example, ...] = ()

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
        for name, label in names_of(self.labels):
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


def names_of(labels: Iterable[Label]) -> list[tuple[str, Label]]:
    """Every folded name of what can be drawn, codes first: a code always means itself."""
    real = [label for label in labels if not label.abstract]
    found = [(fold(label.code), label) for label in real]
    found += [(fold(n), label) for label in real for n in (label.name_zh, label.name_en, *label.aliases) if n]
    return found

"""A label schema read from TOML, with every fault named by its key."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from typing import Any

from annotation import canonical
from annotation.errors import InvalidFile, InvalidInput, LamproomError
from annotation.schema import (
    ATTRIBUTE_TYPES,
    CODE,
    KINDS,
    MAX_EXAMPLES,
    MAX_KEYPOINTS,
    MAX_LABELS,
    MAX_NAME,
    MAX_TEXT,
    PALETTE,
    Attribute,
    Choice,
    Example,
    Label,
    LabelSchema,
    Skeleton,
    Source,
    names_of,
)

_KEPT_PROBLEMS = 200
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_EXAMPLE_KEYS = frozenset({"good", "blake3", "box", "note_zh", "note_en"})
_COLOR = re.compile(r"#[0-9a-f]{6}\Z")


def read(text: str, where: str) -> LabelSchema:
    """The schema of a TOML text; `where` names it in errors.

    Raises:
        InvalidFile: with every fault: file, key and remedy.
    """
    try:
        data = tomllib.loads(text.replace("\r\n", "\n"))
    except (ValueError, RecursionError) as error:  # also a number of more digits than Python reads
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
        text = unicodedata.normalize("NFC", value).strip()
        if need and not text:
            self.fault(f"{at}{key}", "is missing" if key not in table else "is empty", "give it a text")
        if len(text) > limit:
            self.fault(f"{at}{key}", f"has {len(text)} characters", f"at most {limit}")
        if any(unicodedata.category(c) in ("Cc", "Cs") and c != "\n" for c in text):
            self.fault(f"{at}{key}", "holds control characters", "remove them")
        return text

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
        if not isinstance(value, str) or not CODE.match(value):
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
        default = table.get("default")
        if isinstance(default, str):
            default = unicodedata.normalize("NFC", default)
        found = Attribute(
            code=self.code(table, at),
            name_zh=self.text(table, "name_zh", at, need=True),
            name_en=self.text(table, "name_en", at, need=True),
            type=kind,
            choices=tuple(choices),
            default=default,
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
            skeleton=self.skeleton(table, at, kinds) if "skeleton" in table else None,
            examples=self.examples(table, at),
        )

    def examples(self, table: dict[str, Any], at: str) -> tuple[Example, ...]:
        found = []
        rows = self.tables(table, "examples", at)
        if len(rows) > MAX_EXAMPLES:
            self.fault(f"{at}examples", f"there are {len(rows)}", f"at most {MAX_EXAMPLES}")
        for i, row in enumerate(rows[:MAX_EXAMPLES]):
            spot = f"{at}examples.{i + 1}."
            self.unknown(row, _EXAMPLE_KEYS, spot)
            digest, box = row.get("blake3"), row.get("box")
            if not isinstance(digest, str) or not _DIGEST.match(digest):
                self.fault(f"{spot}blake3", f"is {_short(digest)}", "the picture's digest, 64 hex digits")
                continue
            if (
                not isinstance(box, list)
                or len(box) != 4
                or not all(
                    isinstance(v, int) and not isinstance(v, bool) and abs(v) < canonical.LIMIT for v in box
                )
                or not (box[0] < box[2] and box[1] < box[3])
            ):
                self.fault(
                    f"{spot}box",
                    f"is {_short(box)}",
                    "x0, y0, x1, y1 in whole pixels, like [10, 20, 200, 90]",
                )
                continue
            found.append(
                Example(
                    self.flag(row, "good", spot), digest, (box[0], box[1], box[2], box[3]),
                    self.text(row, "note_zh", spot), self.text(row, "note_en", spot),
                )
            )  # fmt: skip
        return tuple(found)

    def skeleton(self, table: dict[str, Any], at: str, kinds: frozenset[str]) -> Skeleton:
        if "keypoints" not in kinds:
            self.fault(f"{at}skeleton", "the label cannot be drawn as keypoints", 'add "keypoints" to kinds')
        value = table["skeleton"]
        if not isinstance(value, dict):
            self.fault(
                f"{at}skeleton", f"is {_short(value)}", "skeleton.points, skeleton.edges, skeleton.swaps"
            )
            return Skeleton(())
        at = f"{at}skeleton."
        self.unknown(value, _SKELETON_KEYS, at)
        points: list[tuple[str, str, str]] = []
        for i, row in enumerate(self.tables(value, "points", at)):
            spot = f"{at}points.{_tag(row, i)}."
            self.unknown(row, _CHOICE_KEYS, spot)
            names = [self.text(row, key, spot, need=True) for key in ("name_zh", "name_en")]
            points.append((self.code(row, spot), names[0], names[1]))
        places = {code: i for i, (code, _, _) in enumerate(points)}
        if not 0 < len(points) <= MAX_KEYPOINTS:
            self.fault(f"{at}points", f"there are {len(points)}", f"1 to {MAX_KEYPOINTS}")
        if len(places) < len(points):
            self.fault(f"{at}points", "two points have the same code", "codes differ within a skeleton")
        edges, swaps = (self.pairs(value, key, at, places) for key in ("edges", "swaps"))
        if len({place for pair in swaps for place in pair}) < 2 * len(swaps):
            self.fault(f"{at}swaps", "a point is in two pairs", "each point changes places with one other")
        return Skeleton(tuple(points), edges, swaps)

    def pairs(
        self, table: dict[str, Any], key: str, at: str, places: Mapping[str, int]
    ) -> tuple[tuple[int, int], ...]:
        """Pairs of point codes as pairs of places, each pair once."""
        value = table.get(key, [])
        if not isinstance(value, list):
            self.fault(f"{at}{key}", f"is {_short(value)}", 'a list of pairs: [["nose", "left_eye"]]')
            return ()
        found: list[tuple[int, int]] = []
        for pair in value:
            if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(c, str) for c in pair):
                self.fault(f"{at}{key}", f"holds {_short(pair)}", 'pairs of codes: ["nose", "left_eye"]')
                continue
            a, b = (places.get(code, -1) for code in pair)
            if min(a, b) < 0:
                self.fault(f"{at}{key}", f"{_short(pair)} names a point that is not there", "codes of points")
            elif a == b or (a, b) in found or (b, a) in found:
                self.fault(
                    f"{at}{key}", f"{_short(pair)} is no new pair", "two different points, each pair once"
                )
            else:
                found.append((a, b))
        return tuple(found)

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
        for name, label in names_of(labels):
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
_SKELETON_KEYS = frozenset({"points", "edges", "swaps"})
_LABEL_KEYS = _CHOICE_KEYS | {
    "parent", "color", "key", "kinds", "attributes", "rule_zh", "rule_en", "source", "retired_to", "abstract", "aliases",
    "skeleton", "examples",
}  # fmt: skip


def _tag(table: dict[str, Any], place: int) -> str:
    code = table.get("code")
    return code if isinstance(code, str) and CODE.match(code) else f"{place + 1}"


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

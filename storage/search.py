"""The query language: a line of text to a frozen tree and back; `search_sql` turns the tree into SQL, `suggest` completes it.

    class:helmet score<0.5 -origin:human (state:predicted or review:returned) "belt 3"

Words side by side must all hold, `or` and brackets choose, `-` denies, a word alone is searched in every text. Every
condition and value has Chinese words too (类:安全帽), and full-width signs as an input method writes them count as the
plain ones. One line, no precedence beyond that: what cannot be remembered is not used.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from annotation.schema import Attribute, fold
from storage.search_words import (
    AND,
    ANY,
    BY_WORD,
    COLON,
    EVERYTHING,
    FIELDS,
    ME,
    NOBODY,
    NOT,
    OR,
    QUOTES,
    SIGNS,
    SPACE,
    STOP,
    UNSURE,
    WORDS,
    And,
    Field,
    Misread,
    Names,
    Node,
    Not,
    Or,
    Term,
    Word,
    conjuncts,
    example,
    is_object,
    join,
    toggled,
)

__all__ = [
    "ANY",
    "EVERYTHING",
    "FIELDS",
    "ME",
    "NOBODY",
    "And",
    "Field",
    "Misread",
    "Names",
    "Node",
    "Not",
    "Or",
    "Term",
    "Word",
    "conjuncts",
    "example",
    "fold",
    "is_object",
    "join",
    "parse",
    "show",
    "toggled",
]

MOST_CHARS, MOST_TERMS, DEEPEST = 4000, 200, 40
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?\Z")


def parse(text: str, names: Names | None = None) -> Node:
    """The tree of a query. An empty text is EVERYTHING.

    Raises:
        Misread: with the place and a remedy, one line.
    """
    if len(text) > MOST_CHARS:
        raise Misread("the query is too long", MOST_CHARS, f"at most {MOST_CHARS} characters")
    return _Reader(text, names or Names()).whole()


class _Reader:
    """Reads from left to right, one look ahead."""

    def __init__(self, text: str, names: Names) -> None:
        self.text, self.names, self.at, self.terms = text, names, 0, 0
        self.attributes = names.attributes()

    # --- structure -----------------------------------------------------------------------------------------------

    def whole(self) -> Node:
        node = self._any(0)
        if self.at < len(self.text):
            raise Misread("a closing bracket without an opening one", self.at, "take it away, or quote it")
        return node

    def _space(self) -> None:
        while self.at < len(self.text) and (self._now in SPACE or self._now.isspace()):
            self.at += 1

    @property
    def _now(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def _word_ahead(self) -> str:
        """The bare word ahead, lower case, "" when something else is."""
        end = self.at
        while end < len(self.text) and self.text[end] not in STOP and not self.text[end].isspace():
            end += 1
        return (
            ""
            if end < len(self.text) and self.text[end] in COLON + SIGNS
            else self.text[self.at : end].casefold()
        )

    def _any(self, depth: int) -> Node:
        if depth > DEEPEST:
            raise Misread("too many brackets", self.at, f"at most {DEEPEST} inside each other")
        start = self.at
        options: list[Node] = []
        while True:
            one = self._all(depth)
            self._space()
            more = self._word_ahead() in OR and bool(self._now)
            if one is None:
                if options or more:
                    raise Misread(
                        "nothing stands beside `or`",
                        self.at,
                        "put a condition on both sides, or quote the word",
                    )
                if depth and self._now in ("", ")", "）"):
                    raise Misread("the brackets are empty", start, "put a condition in them")
                return EVERYTHING
            options += one.of if isinstance(one, Or) else (one,)
            if not more:
                options = list(dict.fromkeys(options))
                return options[0] if len(options) == 1 else Or(tuple(options))
            self.at += len(self._word_ahead())

    def _all(self, depth: int) -> Node | None:
        parts: list[Node] = []
        while True:
            self._space()
            if self._now in ("", ")", "）"):
                break
            word = self._word_ahead()
            if word in OR:
                break
            if word in AND and parts:
                self.at += len(word)
                continue
            one = self._one(depth)
            parts += one.of if isinstance(one, And) else (one,)
        if not parts:
            return None
        return join(parts)

    def _one(self, depth: int) -> Node:
        if depth > DEEPEST:
            raise Misread("too many brackets", self.at, f"at most {DEEPEST} inside each other")
        self.terms += 1
        if self.terms > MOST_TERMS:
            raise Misread("too many conditions", self.at, f"at most {MOST_TERMS}")
        denied = self._now in "-－" or self._word_ahead() in NOT
        if denied:
            start = self.at
            self.at += 1 if self._now in "-－" else len(self._word_ahead())
            self._space()
            if self._now in ("", ")", "）") or self._word_ahead() in OR:
                raise Misread("nothing stands behind `-`", start, "put a condition behind it, or quote it")
            inner = self._one(depth + 1)
            return inner.of if isinstance(inner, Not) else Not(inner)
        if self._now in "(（":
            start = self.at
            self.at += 1
            inner = self._any(depth + 1)
            if self._now not in (")", "）"):
                raise Misread("a bracket is not closed", start, "close it with )")
            self.at += 1
            return inner
        return self._term()

    # --- conditions ----------------------------------------------------------------------------------------------

    def _term(self) -> Node:
        start = self.at
        if self._now in QUOTES:
            return Word(self._quoted())
        while self._now and self._now not in STOP and not self._now.isspace():
            self.at += 1
        name = self.text[start : self.at]
        if not self._now or self._now not in COLON + SIGNS:
            return Word(name)
        if not name:
            raise Misread(
                f"nothing stands before `{self._now}`", start, "write a condition before it, or quote it"
            )
        return self._condition(name, start)

    def _condition(self, name: str, start: int) -> Node:
        field = BY_WORD.get(fold(name)) if not name.startswith(".") else None
        attribute = None if field else self._attribute(name.removeprefix("."), start)
        op = self._op()
        where = self.at
        if field == "count":
            return self._count(op, where)
        raw = self._values()
        kind = FIELDS[field].type if field else "attribute"
        if not raw and kind != "attribute":
            raise Misread(f"{name} needs a value", where, f"for example {example(field or '')}")
        if attribute is not None:
            return self._attribute_term(attribute, op, raw, where)
        assert field is not None
        if kind == "ids":
            if op != ":" or any(not v.isascii() or not v.isdigit() or len(v) > 18 for v, _ in raw):
                raise Misread("picture needs numbers of pictures", where, f"for example {example(field)}")
            return Term(field, ":", tuple(dict.fromkeys(str(int(v)) for v, _ in raw)))
        if kind in ("number", "date"):
            read = self._number if kind == "number" else self._date
            return self._ranged(field, "", op, raw, where, read)
        if op != ":":
            raise Misread(f"{name} cannot be compared", where - 1, f"for example {example(field)}")
        return Term(field, ":", tuple(dict.fromkeys(self._value(field, v, at) for v, at in raw)))

    def _op(self) -> str:
        sign = self._now
        self.at += 1
        if sign in COLON:
            if self._now in ("<", ">", "＜", "＞", "≤", "≥") and self._now:
                return self._op()
            return ":"
        plain = {"＜": "<", "＞": ">", "≤": "<=", "≥": ">="}.get(sign, sign)
        if plain in "<>" and self._now and self._now in "=＝":
            self.at += 1
            plain += "="
        return plain

    def _quoted(self) -> str:
        start = self.at
        self.at += 1
        out = []
        while self._now and self._now not in QUOTES:
            if self._now == "\\" and self.at + 1 < len(self.text):
                self.at += 1
            out.append(self._now)
            self.at += 1
        if not self._now:
            raise Misread("a quotation is not closed", start, 'close it with "')
        self.at += 1
        found = "".join(out)
        if not found.strip():
            raise Misread("the quotation is empty", start, "put text in it, or take it away")
        return found

    def _values(self, stop: str = "") -> list[tuple[str, int]]:
        """(text, place) of the values separated by commas; an unquoted one also ends at a sign of `stop`."""
        out: list[tuple[str, int]] = []
        while True:
            start = self.at
            if self._now and self._now in QUOTES:
                out.append((self._quoted(), start))
            else:
                while (
                    self._now
                    and not self._now.isspace()
                    and self._now not in SPACE + QUOTES + SIGNS + "()（）,，" + stop
                ):
                    self.at += 1
                if self.at > start:
                    out.append((self.text[start : self.at], start))
            if not (self._now and self._now in ",，"):
                return out
            self.at += 1

    def _count(self, op: str, where: int) -> Term:
        """`count>=3`, `count:2..4`, and of one class `count:person>=3`, `count:person=2..4`."""
        key = ""
        if op == ":":
            raw = self._values(stop="=＝")
            if not self._now or self._now not in SIGNS + "=＝":
                return self._ranged("count", "", ":", raw, where, self._number)
            if len(raw) != 1:
                raise Misread("count counts one class", where, f"for example {example('count')}")
            key = self._class(*raw[0])
            op = self._op()
        where = self.at
        return self._ranged("count", key, op, self._values(), where, self._number)

    def _ranged(
        self,
        field: str,
        key: str,
        op: str,
        raw: Sequence[tuple[str, int]],
        where: int,
        read: Callable[[str, int], str],
    ) -> Term:
        if len(raw) != 1:
            raise Misread(f"{field} needs one value or a range", where, f"for example {example(field)}")
        text, at = raw[0]
        if ".." in text:
            low, high = text.split("..", 1)
            if op != ":" or not (low or high):
                raise Misread("a range is written a..b after a colon", at, f"for example {example(field)}")
            return Term(field, "..", (low and read(low, at), high and read(high, at + len(low) + 2)), key)
        return Term(field, op, (read(text, at),), key)

    def _number(self, text: str, at: int) -> str:
        found = _plain_number(text)
        if found is None:
            raise Misread(f"{text!r} is no number", at, "for example 0.5")
        return found

    def _date(self, text: str, at: int) -> str:
        for code in ("today", "yesterday"):
            if text.casefold() == code or text in WORDS[code]:
                return code
        if not _DATE.match(text) or not text[:4] > "1000":
            raise Misread(f"{text!r} is no date", at, "2026, 2026-11, 2026-11-22, today or yesterday")
        year, month, day = (*map(int, text.split("-")), 1, 1)[:3]
        if (
            day
            > (
                31,
                29 if year % 4 == 0 and (year % 100 or year % 400 == 0) else 28,
                31,
                30,
                31,
                30,
                31,
                31,
                30,
                31,
                30,
                31,
            )[month - 1]
        ):
            raise Misread(f"{text!r} is no date", at, "2026, 2026-11, 2026-11-22, today or yesterday")
        return text

    def _value(self, field: str, text: str, at: int) -> str:
        f = FIELDS[field]
        wanted = fold(text)
        match f.type:
            case "class":
                return self._class(text, at)
            case "choice":
                for code, words in f.values:
                    if wanted in (fold(code), *map(fold, words)):
                        return code
                raise Misread(f"{field} cannot be {text!r}", at, ", ".join(code for code, _ in f.values))
            case "person":
                for code in (ME, NOBODY) if field == "assigned" else (ME,):
                    if wanted in (code, *map(fold, WORDS[code])):
                        return code
                return self._known(text, at, self.names.people, "person")
            case "model":
                return self._known(text, at, self.names.models, "model")
        if field == "remark":
            for code in ("open", "closed"):
                if wanted in (code, *map(fold, WORDS[code])):
                    return code
        if field in ("track", "group", "text", "remark") and wanted in (ANY, *map(fold, WORDS[ANY])):
            return ANY
        return text

    def _known(self, text: str, at: int, known: Sequence[str], what: str) -> str:
        for one in known:
            if fold(one) == fold(text):
                return one
        raise Misread(f"there is no {what} {text!r}", at, _near(text, known))

    def _class(self, text: str, at: int) -> str:
        words = self.names.class_words()
        code = _one_of(text, words)
        if code is None:
            raise Misread(
                f"there is no class {text!r}",
                at,
                _near(text, [w for c, ws in words.items() for w in (c, *ws)]),
            )
        return code

    def _attribute(self, name: str, at: int) -> Attribute:
        words = {code: (a.name_zh, a.name_en) for code, a in self.attributes.items()}
        code = _one_of(name, words)
        if code is None:
            known = [
                *FIELDS,
                *(w for f in FIELDS.values() for w in f.words),
                *words,
                *(w for ws in words.values() for w in ws),
            ]
            raise Misread(
                f"there is no condition {name!r}",
                at,
                _near(name, known, 'put text with a sign in it in "quotes"'),
            )
        return self.attributes[code]

    def _attribute_term(self, a: Attribute, op: str, raw: Sequence[tuple[str, int]], where: int) -> Term:
        if not raw:
            raise Misread(f"{a.code} needs a value", where, _choices(a))
        if (
            len(raw) == 1
            and op == ":"
            and fold(raw[0][0]) in (ANY, *map(fold, WORDS[ANY]))
            and not a.accepts(ANY)
        ):
            return Term("attribute", ":", (ANY,), a.code)
        if a.type == "number":
            return self._ranged("attribute", a.code, op, raw, where, self._number)
        if op != ":":
            raise Misread(f"{a.code} cannot be compared", where - 1, _choices(a))
        return Term(
            "attribute", ":", tuple(dict.fromkeys(self._attribute_value(a, v, at) for v, at in raw)), a.code
        )

    def _attribute_value(self, a: Attribute, text: str, at: int) -> str:
        wanted = fold(text)
        if a.type == "flag":
            for code in ("yes", "no"):
                if wanted in (code, *map(fold, WORDS[code])):
                    return code
        elif a.type == "choice":
            found = _one_of(text, {c.code: (c.name_zh, c.name_en) for c in a.choices})
            if found is None and text.casefold() in UNSURE and a.accepts("unknown"):
                found = "unknown"
            if found is not None:
                return found
        else:
            return text
        raise Misread(f"{a.code} cannot be {text!r}", at, _choices(a))


def _plain_number(text: str) -> str | None:
    """A finite decimal in its shortest plain spelling, None for anything else."""
    if not re.fullmatch(r"-?\d{0,15}(\.\d{0,6})?%?", text, re.ASCII) or not any(c.isdigit() for c in text):
        return None
    try:
        value = Decimal(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    except InvalidOperation:
        return None
    plain = f"{value:f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain in ("-0", "") else plain


def _one_of(text: str, words: Mapping[str, tuple[str, ...]]) -> str | None:
    """The code meant by a code, a whole name, the part of a name before its brackets, or a part that fits only one."""
    if text in words:
        return text
    wanted = fold(text)
    if not wanted:
        return None
    whole = [c for c, ws in words.items() if wanted in (fold(c), *map(fold, ws))]
    if whole:
        return whole[0]
    cut = [c for c, ws in words.items() if any(fold(re.split(r"[(（，,]", w)[0]) == wanted for w in ws)]
    if len(cut) == 1:
        return cut[0]
    part = [c for c, ws in words.items() if any(fold(w).startswith(wanted) for w in (c, *ws))] or [
        c for c, ws in words.items() if any(wanted in fold(w) for w in (c, *ws))
    ]
    return part[0] if len(part) == 1 else None


def _near(text: str, known: Iterable[str], otherwise: str = "") -> str:
    """What was perhaps meant."""
    found = [w for w in dict.fromkeys(known) if w]
    inside = [w for w in found if fold(text) and fold(text) in fold(w)][:4]
    close = inside or difflib.get_close_matches(text, found, 3, 0.5)
    return f"perhaps {', '.join(close)}" if close else otherwise or "Tab shows what there is"


def _choices(a: Attribute) -> str:
    match a.type:
        case "choice":
            return ", ".join(c.code for c in a.choices)
        case "flag":
            return "yes, no"
        case "number":
            return f"for example {a.code}>10"
    return f'for example {a.code}:"text"'


def show(node: Node, names: Names | None = None, language: str = "en") -> str:
    """The text that `parse` reads back as this very tree; in zh with Chinese words where they mean the same."""
    zh = language.startswith("zh")
    return _Writer(names or Names(), zh).whole(node)


class _Writer:
    def __init__(self, names: Names, zh: bool) -> None:
        self.names, self.zh = names, zh
        self.attributes = names.attributes()

    def whole(self, node: Node) -> str:
        if isinstance(node, And):
            return " ".join(self.part(x) for x in node.of)
        return (
            (" 或 " if self.zh else " or ").join(map(self.option, node.of))
            if isinstance(node, Or)
            else self.part(node)
        )

    def option(self, node: Node) -> str:
        return self.whole(node) if isinstance(node, And) else self.part(node)

    def part(self, node: Node) -> str:
        match node:
            case Word(text=text):
                plain = (
                    text.casefold() not in (*OR, *AND, *NOT)
                    and text[:1] not in "-－"
                    and not set(text) & set(STOP)
                )
                return text if plain and not any(c.isspace() for c in text) else _quote(text)
            case Not(of=inner):
                return f"-{self.part(inner)}"
            case Term():
                return self.term(node)
        return f"({self.whole(node)})"

    def term(self, t: Term) -> str:
        if t.field == "attribute":
            return self.attribute(t)
        f = FIELDS[t.field]
        name = f.words[0] if self.zh and BY_WORD[fold(f.words[0])] == t.field else t.field
        if t.field == "count":
            head = f"{name}:{self.value('class', t.key)}" if t.key else name
            if t.op in (":", ".."):
                return f"{head}{'=' if t.key else ':'}{_range(t)}"
            return f"{head}{t.op}{t.values[0]}"
        if t.op == "..":
            return f"{name}:{_range(t)}"
        return f"{name}{t.op}{','.join(self.value(t.field, v) for v in t.values)}"

    def attribute(self, t: Term) -> str:
        a = self.attributes.get(t.key)
        name = t.key if fold(t.key) not in BY_WORD else f".{t.key}"
        if a is not None and self.zh and not set(a.name_zh) & set(STOP + ",，.") and fold(a.name_zh) not in BY_WORD \
                and _one_of(a.name_zh, {c: (x.name_zh, x.name_en) for c, x in self.attributes.items()}) == t.key:  # fmt: skip
            name = a.name_zh
        if t.op == "..":
            return f"{name}:{_range(t)}"
        values = t.values
        if a is not None and self.zh and a.type == "choice":
            words = {c.code: (c.name_zh, c.name_en) for c in a.choices}
            values = tuple(
                w if (w := words.get(v, (v,))[0]) and _one_of(w, words) == v and fold(w) != ANY else v
                for v in values
            )
        elif a is not None and self.zh and a.type == "flag":
            values = tuple(WORDS.get(v, (v,))[0] for v in values)
        return f"{name}{t.op}{','.join(map(_bare, values))}"

    def value(self, field: str, value: str) -> str:
        f = FIELDS[field]
        if field == "class":
            words = self.names.class_words()
            name = next(iter(words.get(value, ())), "") if self.zh else ""
            return _bare(name if name and _one_of(name, words) == value else value)
        if f.type == "choice" and self.zh:
            value = dict(f.values)[value][0]
        elif (self.zh and f.type in ("person", "date") and value in WORDS) or (
            self.zh and field in ("remark", "track", "group", "text") and value in ("open", "closed", ANY)
        ):
            value = WORDS[value][0]
        return _bare(value)


def _range(t: Term) -> str:
    return "..".join(t.values) if t.op == ".." else t.values[0]


def _bare(text: str) -> str:
    return (
        _quote(text) if set(text) & set(STOP + ",，") or any(c.isspace() for c in text) or not text else text
    )


def _quote(text: str) -> str:
    return '"' + re.sub(r'(["“”＂\\])', r"\\\1", text) + '"'

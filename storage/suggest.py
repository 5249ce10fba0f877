"""Completion of the query language: what can stand at the cursor, with how many there are of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from annotation.schema import fold
from storage import search
from storage.search import FIELDS, Names, Term
from storage.search_words import BY_WORD, COLON, QUOTES, SIGNS, SPACE, UNSURE, WORDS

MOST = 12
_ENDS = SPACE + "()（）"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Text that takes the place of start..end. hint: what it means in other words; n: how many there are, None unknown."""

    text: str
    start: int
    end: int
    hint: str = ""
    n: int | None = None


def complete(
    text: str,
    cursor: int,
    names: Names,
    counts: Mapping[tuple[str, str], int] | None = None,
    *,
    language: str = "en",
) -> list[Suggestion]:
    """What can stand at the cursor, likeliest first.

    Args:
        counts: (facet, value) -> n as `storage.listing.Tally` keeps them.
    """
    counts = counts or {}
    start = _start(text, cursor)
    end = cursor
    while end < len(text) and text[end] not in _ENDS + QUOTES:
        end += 1
    while start < cursor and text[start] in "-－":
        start += 1
    typed = text[start:cursor]
    cut = next((i for i, c in enumerate(typed) if c in COLON + SIGNS), -1)
    if cut < 0:
        found = _heads(typed, names, counts, language) if typed else _first(names, language)
        return [Suggestion(t, start, end, hint, n) for t, hint, n in found[:MOST]]
    from_ = cut + 1 + max(typed[cut + 1 :].rfind(","), typed[cut + 1 :].rfind("，")) + 1
    found = _values(typed[:cut], typed[from_:].lstrip('"“'), names, counts, language)
    return [Suggestion(t, start + from_, end, hint, n) for t, hint, n in found[:MOST]]


def _start(text: str, cursor: int) -> int:
    """Where the condition at the cursor begins: quotations hide spaces."""
    start, quoted = 0, False
    for i, c in enumerate(text[:cursor]):
        if c in QUOTES:
            quoted = not quoted
        elif not quoted and (c in _ENDS or c.isspace()):
            start = i + 1
    return start


_Found = list[tuple[str, str, int | None]]


def _first(names: Names, language: str) -> _Found:
    """An empty line: what is asked most."""
    asked = (
        "class",
        "state",
        "score",
        "review",
        "assigned",
        "origin",
        "by",
        "changed",
        "has",
        "remark",
        "count",
        "path",
    )
    return [(f"{_field(name, language)}:", search.example(name), None) for name in asked]


def _field(name: str, language: str) -> str:
    word = FIELDS[name].words[0]
    return word if language.startswith("zh") and BY_WORD.get(fold(word)) == name else name


def _heads(typed: str, names: Names, counts: Mapping[tuple[str, str], int], language: str) -> _Found:
    """Conditions and classes that begin like what is typed."""
    wanted = fold(typed)
    out: list[tuple[int, str, str, int | None]] = []
    for name, f in FIELDS.items():
        if (rank := _rank(wanted, (name, *f.words))) is not None:
            out.append((rank, f"{_field(name, language)}:", search.example(name), None))
    for code, a in names.attributes().items():
        if (rank := _rank(wanted, (code, a.name_zh, a.name_en))) is not None:
            shown = search.show(Term("attribute", ":", ("any",), code), names, language)
            out.append(
                (
                    rank + 1,
                    shown[: shown.index(":") + 1],
                    a.name_en if language.startswith("zh") else a.name_zh,
                    None,
                )
            )
    for code, words in names.class_words().items():
        if (rank := _rank(wanted, (code, *words))) is not None:
            n = counts.get(("class", code))
            out.append(
                (
                    rank + (0 if n else 2),
                    search.show(Term("class", ":", (code,)), names, language),
                    _other(code, words, language),
                    n,
                )
            )
    return [(t, hint, n) for _, t, hint, n in sorted(out, key=lambda x: (x[0], -(x[3] or 0), x[1]))]


def _rank(wanted: str, words: tuple[str, ...]) -> int | None:
    """0: begins so, 1: holds it, None: neither."""
    folded = [fold(w) for w in words]
    if any(w.startswith(wanted) for w in folded):
        return 0
    return 1 if any(wanted in w for w in folded) else None


def _other(code: str, words: tuple[str, ...], language: str) -> str:
    """The name in the other language, else the code."""
    if len(words) > 1:
        return words[1] if language.startswith("zh") else words[0]
    return code


def _values(
    head: str, typed: str, names: Names, counts: Mapping[tuple[str, str], int], language: str
) -> _Found:
    """Values of a condition."""
    wanted = fold(typed)
    field = BY_WORD.get(fold(head))
    rows: list[tuple[str, tuple[str, ...], str, str, int | None]] = []  # value, words, shown, hint, n
    if field is None:
        try:
            term = search.parse(f"{head}:any", names)
        except search.Misread:
            return []
        if not isinstance(term, Term) or term.field != "attribute":
            return []
        a = names.attributes()[term.key]
        pairs: list[tuple[str, tuple[str, ...]]]
        pairs = [(c.code, (c.name_zh, c.name_en)) for c in a.choices] if a.type == "choice" else []
        pairs += [("yes", WORDS["yes"]), ("no", WORDS["no"])] if a.type == "flag" else []
        for code, spoken in pairs:
            more = UNSURE if code == "unknown" else ()
            shown = search.show(Term("attribute", ":", (code,), a.code), names, language)
            hint = (spoken[1] if language.startswith("zh") else spoken[0]) if a.type == "choice" else ""
            rows.append(
                (
                    code,
                    (*spoken, *more),
                    shown[shown.index(":") + 1 :],
                    hint,
                    counts.get((f"attribute.{a.code}", code), 0 if counts else None),
                )
            )
    elif FIELDS[field].type == "class" or field == "count":
        for code, words in names.class_words().items():
            shown = search.show(Term("class", ":", (code,)), names, language)
            n = counts.get(("class", code), 0 if counts and field == "class" else None)
            rows.append((code, words, shown[shown.index(":") + 1 :], _other(code, words, language), n))
    else:
        f = FIELDS[field]
        pairs = [(c, w) for c, w in f.values]
        if f.type == "person":
            pairs = [(c, WORDS[c]) for c in (("me", "none") if field == "assigned" else ("me",))] + [
                (p, ()) for p in names.people
            ]
        elif f.type == "model":
            pairs = [(m, ()) for m in names.models]
        elif f.type == "date":
            pairs = [(c, WORDS[c]) for c in ("today", "yesterday")]
        elif field == "remark":
            pairs = [(c, WORDS[c]) for c in ("open", "closed")]
        elif field in ("track", "group", "text"):
            pairs = [("any", WORDS["any"])]
        for code, words in pairs:
            shown = search.show(Term(field, ":", (code,)), names, language)
            n = counts.get(
                (field, code), 0 if counts and f.type == "choice" and field not in ("has",) else None
            )
            rows.append(
                (
                    code,
                    words,
                    shown[shown.index(":") + 1 :],
                    words[0] if words and not language.startswith("zh") else code,
                    n,
                )
            )
    found = [(rank, r) for r in rows if (rank := _rank(wanted, (r[0], *r[1]))) is not None]
    found.sort(key=lambda x: (x[0], -(x[1][4] or 0)))
    return [(r[2], r[3] if r[3] != r[2] else "", r[4]) for _, r in found]

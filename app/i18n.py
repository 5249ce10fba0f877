"""The program's two languages, zh_CN and en: one catalogue of `.po` files, read at run time, switched live.

The English text is the key, so English needs no catalogue. Errors of the lower packages are finished English sentences;
`tr_fault` finds the pattern they were made from (`the file {} is empty`) and fills its translation. See app/DECISIONS.md.
"""

from __future__ import annotations

import ast
import locale
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from annotation.errors import LamproomError

LANGUAGES = ("zh_CN", "en")
LEAST = 6
"""Letters a pattern must have beside its gaps: less would match by chance."""
_FOLDER = Path(__file__).parent / "locale"
_current = "en"


def guess(environ: Mapping[str, str] = os.environ) -> str:
    """The language of the environment: LAMPROOM_LANG, then the usual variables of POSIX; Windows is asked itself."""
    for name in ("LAMPROOM_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environ.get(name, ""):
            return "zh_CN" if value.lower().startswith("zh") else "en"
    if os.name == "nt":
        return "zh_CN" if (locale.getlocale()[0] or "").startswith(("zh", "Chinese")) else "en"
    return "en"


def use(language: str) -> None:
    """Switch every later `tr` to a language of LANGUAGES.

    Raises:
        ValueError: for any other language.
    """
    global _current
    if language not in LANGUAGES:
        raise ValueError(language)
    _current = language


def language() -> str:
    """The language in use."""
    return _current


def tr(text: str, **values: object) -> str:
    """The text in the current language, its `{fields}` filled in."""
    found = catalogue(_current).get(text, text)
    return found.format(**values) if values else found


def words(language: str) -> Callable[..., str]:
    """`tr` for one language whatever the one in use: a document in Chinese is written at an English desk too."""

    def say(text: str, **values: object) -> str:
        found = catalogue(language).get(text, text)
        return found.format(**values) if values else found

    return say


def tr_fault(fault: LamproomError) -> str:
    """The one line of a fault, `where: what (remedy)`, in the current language."""
    if _current == "en":
        return fault.line
    what, remedy = tr_sentence(fault.what), tr_sentence(fault.remedy)
    line = f"{fault.where}：{what}" if fault.where else what
    return " ".join((f"{line}（{remedy}）" if remedy else line).splitlines())


def tr_sentence(text: str) -> str:
    """A finished English sentence in the current language: by itself, else by the longest pattern that made it."""
    known = catalogue(_current)
    if text in known or not text:
        return known.get(text, text)
    if "; " in text:  # a list of sentences, as that of an export's losses
        parts = text.split("; ")
        said = [tr_sentence(part) for part in parts]
        if all(one != part for one, part in zip(said, parts, strict=True)):
            return "；".join(said)
    for pattern, translation in _patterns(_current):
        if found := pattern.fullmatch(text):
            # A part may itself be a sentence of ours ("line 3: the number 1e999 cannot be stored").
            return translation.format(
                *(tr_sentence(part) if " " in part else part for part in found.groups())
            )
    what, bracket, remedy = text.removesuffix(")").partition(" (")
    if (
        bracket and text.endswith(")") and (known_what := tr_sentence(what)) != what
    ):  # a fault's line within a sentence
        return f"{known_what}（{tr_sentence(remedy)}）"
    return text


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Every translation of a language: English text to its translation."""
    entries: dict[str, str] = {}
    for path in sorted((_FOLDER / language).glob("*.po")):
        entries.update((key, text) for key, text in read_po(path.read_text(encoding="utf-8")) if text)
    return entries


@cache
def _patterns(language: str) -> list[tuple[re.Pattern[str], str]]:
    made = []
    for key, translation in catalogue(language).items():
        parts = key.split("{}")
        if len(parts) > 1 and (sum(map(len, parts)) >= LEAST or "×" in key):
            made.append(
                (
                    (sum(map(len, parts)), len(key)),
                    re.compile("(.*?)".join(map(re.escape, parts)), re.DOTALL),
                    translation,
                )
            )
    made.sort(key=lambda entry: entry[0], reverse=True)
    return [(pattern, translation) for _, pattern, translation in made]


def read_po(text: str) -> Iterator[tuple[str, str]]:
    """(msgid, msgstr) of every entry but the header; the subset of the format without plurals and contexts."""
    field, entry = "", {"msgid": "", "msgstr": ""}
    for raw in [*text.splitlines(), 'msgid ""']:
        line = raw.strip()
        for name in ("msgid", "msgstr"):
            if line.startswith(f"{name} "):
                if name == "msgid":
                    if entry["msgid"]:
                        yield entry["msgid"], entry["msgstr"]
                    entry = {"msgid": "", "msgstr": ""}
                field, line = name, line[len(name) + 1 :]
        if field and line.startswith('"'):
            # A PO string has C's escapes, of which Python's literals hold every one that editors write.
            entry[field] += ast.literal_eval(line)

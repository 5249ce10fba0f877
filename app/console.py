"""How commands speak: one result on stdout, progress and warnings on stderr, faults as one line, exit codes 0, 1, 2, 3."""

from __future__ import annotations

import json
import sys
import time
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TextIO

from annotation.errors import LamproomError
from app.events import Changes, Finished, Progress, Started, Warned, Work
from app.i18n import tr, tr_fault, tr_sentence

DONE, FAULT, USAGE, PARTLY = 0, 1, 2, 3
INTERRUPTED = 130
KEPT_WARNINGS = 1000
"""Warnings listed one by one in a result; more are only counted."""


@dataclass(slots=True)
class Call:
    """What holds for the whole command line."""

    workspace: str | None = None
    json: bool = False
    debug: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command has to say.

    Attributes:
        result: plain JSON values; the whole of it under --json.
        problems: what could not be done; more than none = exit code 3.
        warnings: (where, what), the first KEPT_WARNINGS of them.
        n_warnings: how many there were.
        text: what a person reads instead of the result's keys and values.
    """

    result: Mapping[str, object]
    problems: int = 0
    warnings: tuple[tuple[str, str], ...] = ()
    n_warnings: int = 0
    text: str | None = None


def drive(call: Call, work: Work) -> Outcome:
    """Run work to its end, showing how far it is on stderr. Cancelled by Ctrl-C, it is closed properly and can be resumed."""
    warnings: list[tuple[str, str]] = []
    n_warnings = 0
    finished: Finished | None = None
    with _Meter(sys.stderr) as meter:
        try:
            for event in work:
                match event:
                    case Started():
                        meter.start(event)
                    case Progress():
                        meter.show(event)
                    case Warned():
                        n_warnings += 1
                        if n_warnings <= KEPT_WARNINGS:
                            warnings.append((event.where, event.what))
                            meter.say(_warning(event.where, event.what))
                    case Finished():
                        finished = event
        finally:
            work.close()
    if n_warnings > KEPT_WARNINGS:
        print(tr("… and {n} more", n=n_warnings - KEPT_WARNINGS), file=sys.stderr)
    if finished is None:
        return Outcome({"finished": False}, 1, tuple(warnings), n_warnings)
    result = {**finished.result, **revision(finished.changes)}
    return Outcome(result, finished.problems, tuple(warnings), n_warnings)


def revision(changes: Changes) -> dict[str, object]:
    """The revision a call made, for its result; nothing when the record was not changed."""
    return {"revision": changes.revision} if changes.revision else {}


def deliver(call: Call, verb: str, outcome: Outcome) -> int:
    """Print an outcome and return its exit code."""
    code = PARTLY if outcome.problems else DONE
    if call.json:
        warnings = [{"where": where, "what": what} for where, what in outcome.warnings]
        extra = {"warnings_total": outcome.n_warnings} if outcome.n_warnings > len(warnings) else {}
        _json(
            {
                "verb": verb,
                "exit": code,
                **outcome.result,
                "problems": outcome.problems,
                "warnings": warnings,
                **extra,
            }
        )
        return code
    print(clean(outcome.text) if outcome.text is not None else pairs(outcome.result))
    if outcome.problems:
        print(tr("done in part: {n} problems, listed above", n=outcome.problems), file=sys.stderr)
    return code


def refuse(call: Call, fault: LamproomError) -> int:
    """Print a fault of the person's: one line on stderr, an object on stdout under --json."""
    print(clean(tr_fault(fault)).replace("\n", " "), file=sys.stderr)
    if call.json:
        # A fault of many parts (a broken import) lists them for programs too.
        parts = [str(p) for p in getattr(fault, "problems", ())][:KEPT_WARNINGS]
        _json(
            {
                "exit": FAULT,
                "error": {
                    "kind": type(fault).__name__, "what": fault.what, "where": fault.where, "remedy": fault.remedy,
                    "line": fault.line, **({"problems": parts} if parts else {}),
                },
            }
        )  # fmt: skip
    return FAULT


def interrupted(call: Call) -> int:
    """Say that Ctrl-C ended the command, and how its work goes on."""
    line = tr("interrupted; `lamproom jobs resume` goes on with the work")
    print(line, file=sys.stderr)
    if call.json:
        error = {
            "kind": "Interrupted",
            "what": "interrupted",
            "where": "",
            "remedy": "`lamproom jobs resume`",
            "line": line,
        }
        _json({"exit": INTERRUPTED, "error": error})
    return INTERRUPTED


def bug(call: Call, error: BaseException, log_file: object) -> int:
    """Say in one line that the program itself failed, and where the traceback lies."""
    said = " ".join(str(error).split())[:200]
    line = tr(
        "an error of the program itself: {kind}: {said}; details in {file}",
        kind=type(error).__name__,
        said=said,
        file=log_file,
    )
    print(clean(line), file=sys.stderr)
    if call.json:
        _json(
            {
                "exit": FAULT,
                "error": {
                    "kind": type(error).__name__,
                    "what": said,
                    "where": str(log_file),
                    "remedy": "",
                    "line": line,
                },
            }
        )
    return FAULT


def _json(value: Mapping[str, object]) -> None:
    print(json.dumps(value, ensure_ascii=False, default=str))


def _warning(where: str, what: str) -> str:
    return clean(f"{where}: {tr_sentence(what)}" if where else tr_sentence(what)).replace("\n", " ")


# --- text --------------------------------------------------------------------------------------------------------


def clean(text: str) -> str:
    """Text without control characters: a file's name must not steer the terminal."""
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf") else f"\\x{ord(c):02x}" for c in text
    )


def width(text: str) -> int:
    """Columns a text takes on a terminal: Chinese characters take two."""
    return sum(
        2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns; numbers to the right."""
    lines = [[clean(tr(h)) for h in head], *[[_cell(c) for c in row] for row in rows]]
    wide = [max(width(line[i]) for line in lines) for i in range(len(head))]
    right = [
        bool(rows) and all(isinstance(r[i], int | float) and not isinstance(r[i], bool) for r in rows)
        for i in range(len(head))
    ]
    out = []
    for line in lines:
        cells = [
            (" " * (w - width(c)) + c) if r else (c + " " * (w - width(c)))
            for c, w, r in zip(line, wide, right, strict=True)
        ]
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)


def pairs(result: Mapping[str, object]) -> str:
    """One `name: value` a line."""
    return "\n".join(
        f"{tr(key.replace('_', ' '))}: {_said(key, value)}"
        for key, value in result.items()
        if value is not None
    )


MOST_LISTED = 24
"""Parts of a value a person reads in a line; under --json all of them are there."""


def _said(key: str, value: object) -> str:
    """A value as a person reads it: sentences in the person's language, classes with what became of them, long lists cut."""
    if key == "why" and isinstance(value, str):
        return clean(tr_sentence(value))
    if isinstance(value, Mapping | list | tuple) and (more := len(value) - MOST_LISTED) > 0:
        some = dict(list(value.items())[:MOST_LISTED]) if isinstance(value, Mapping) else value[:MOST_LISTED]
        return f"{_said(key, some)} {tr('… and {n} more', n=more)}"
    if key == "classes" and isinstance(value, Mapping) and all(isinstance(v, str) for v in value.values()):
        return ", ".join(_cell(k) if k == v else f"{_cell(k)} → {_cell(v)}" for k, v in value.items())
    if (
        isinstance(value, list | tuple)
        and value
        and all(isinstance(v, Mapping) and "what" in v for v in value)
    ):
        return "; ".join(_fault(v) for v in value)
    return _cell(value)


def _fault(told: Mapping[str, object]) -> str:
    """A loss or a fault of a list: where, how many, what."""
    where = told.get("where") or told.get("key") or told.get("example") or ""
    many = f"{told['n']} × " if "n" in told else ""
    what = clean(many + tr_sentence(str(told["what"])))
    return f"{what} ({_cell(where)})" if where else what


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return tr("yes") if value else tr("no")
        case float():
            return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
        case Mapping():
            return ", ".join(f"{_cell(k)} {_cell(v)}" for k, v in value.items())
        case list() | tuple():
            return ", ".join(_cell(v) for v in value)
        case _:
            return clean(str(value)).replace("\n", " ")


def remaining(seconds: float | None) -> str:
    """How long the rest will take, as `2 h 05 min left`; "" when nobody can say."""
    if seconds is None:
        return ""
    if seconds < 90:
        return tr("{n} s left", n=max(1, round(seconds)))
    if seconds < 5400:
        return tr("{n} min left", n=round(seconds / 60))
    minutes = round(seconds / 60)
    return tr("{h} h {m} min left", h=minutes // 60, m=f"{minutes % 60:02d}")


class _Meter:
    """Progress on stderr: a bar on a terminal, else a line every few seconds and nothing about short work."""

    EVERY_S = 5.0

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._bar: _Bar | None = None
        self._title = ""
        self._total: int | None = None
        self._said = time.monotonic()

    def __enter__(self) -> _Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self, event: Started) -> None:
        self._title, self._total = clean(tr_sentence(event.title)), event.total
        if self._out.isatty():
            if self._bar is not None:
                self._bar.stop()
            self._bar = _Bar(self._title, event.total)

    def show(self, event: Progress) -> None:
        total = self._total if event.total is None else event.total
        note = " · ".join(n for n in (remaining(event.left_s), event.note) if n)
        if self._bar is not None:
            self._bar.show(event.done, total, note)
        elif time.monotonic() - self._said >= self.EVERY_S:
            of = f"{event.done}/{total}" if total is not None else str(event.done)
            self.say(f"{self._title} {of} {note}".rstrip())

    def say(self, line: str) -> None:
        self._said = time.monotonic()
        if self._bar is not None:
            self._bar.say(line)
        else:
            print(line, file=self._out, flush=True)


class _Bar:
    """A rich progress bar; rich is loaded only where there is a terminal."""

    def __init__(self, title: str, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
                   TextColumn("{task.fields[note]}", markup=False))  # fmt: skip
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(title, total=total, note="")
        self._bar.start()

    def show(self, done: int, total: int | None, note: str) -> None:
        self._bar.update(self._task, completed=done, total=total, note=note)

    def say(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False)

    def stop(self) -> None:
        self._bar.stop()

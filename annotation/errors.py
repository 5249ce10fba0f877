"""Faults a person can act upon. Everything else is a bug and is not caught."""

from __future__ import annotations

from collections.abc import Sequence


class LamproomError(Exception):
    """A fault with one clear line: what happened, where, and the remedy.

    Args:
        what: what is wrong, a short sentence without a full stop.
        where: the item it concerns (file, key, picture, address), or "".
        remedy: what the person can do, or "".
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        super().__init__(self.line)

    @property
    def line(self) -> str:
        """The one line shown to a person: `where: what (remedy)`."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        text = f"{text} ({self.remedy})" if self.remedy else text
        return " ".join(text.splitlines())


class InvalidInput(LamproomError):
    """A foreign file or an argument cannot be used as it is."""


class NotFound(LamproomError):
    """Something named by the person does not exist."""


class Conflict(LamproomError):
    """Somebody or something was faster; nothing was written."""


class Unavailable(LamproomError):
    """A server, device or file that was there is not reachable now."""


class InvalidFile(InvalidInput):
    """A file with one or more faults, all of them collected before it is refused.

    Args:
        problems: one error a fault, in the order of the file; the first ones only when there are very many.
        where: the file.
        more: how many further faults were counted but not kept.
    """

    def __init__(self, problems: Sequence[LamproomError], *, where: str, more: int = 0) -> None:
        self.problems = tuple(problems)
        self.more = more
        first = self.problems[0]
        n = len(self.problems) + more
        what = first.what if n == 1 else f"{n} problems, the first: {first.what}"
        super().__init__(what, where=first.where or where, remedy=first.remedy)

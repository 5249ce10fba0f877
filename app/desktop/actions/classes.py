"""Classes and attribute values by the digits."""

from __future__ import annotations

from app.desktop.actions.action import Action

_DIGITS = "1234567890"


def _class(digit: str) -> Action:
    return Action(
        f"class.{digit}",
        "Class {n}",
        lambda w: w.annotate.choose_class(digit),
        (digit,),
        "annotate",
        n=int(digit) or 10,
        listed=False,
    )


ROWS: tuple[Action, ...] = tuple(_class(digit) for digit in _DIGITS)

"""Classes and attribute values by the digits, and classes by name."""

from __future__ import annotations

from app.desktop.actions.action import Action

_DIGITS = "1234567890"
PAGES = tuple((f"{held}{digit}", 10 * page + i + 1) for page, held in enumerate(("", "Shift+")) for i, digit in enumerate(_DIGITS))  # fmt: skip


def _class(key: str, n: int) -> Action:
    return Action(
        f"class.{n}",
        "Class {n}",
        lambda w: w.annotate.classing.nth(n),
        (key,),
        "annotate",
        n=n,
        listed=False,
    )


def _value(key: str, n: int) -> Action:
    return Action(
        f"value.{n}",
        "Attribute value {n}",
        lambda w: w.annotate.attributes.nth(n),
        (f"Alt+{key}",),
        "annotate",
        n=n,
        listed=False,
    )


ROWS: tuple[Action, ...] = (
    Action("class.ask", "Choose a class by name…", lambda w: w.annotate.classing.ask(), ("C",), "annotate", "label 类别"),
    Action("class.again", "The class before this one", lambda w: w.annotate.classing.again(), ("Shift+C",), "annotate", "last repeat label 上一个类别"),
    Action("class.pin", "Pin these values to the class", lambda w: w.annotate.attributes.pin(), ("Alt+D",), "annotate", "default attributes 默认属性"),
    *(_class(key, n) for key, n in PAGES),
    *(_value(key, n) for key, n in PAGES),
)  # fmt: skip

"""Marks: attributes whose code begins with "@" belong to the program, not to the label schema.

"@group"  hex uid shared by the members of a group
"@track"  hex uid of a track: one object over many frames
"@key"    True on a key frame of a track; without it the shape is interpolated or tracked
"@end"    True on the last key frame before the object leaves the view
"@order"  whole number: what is higher is drawn on top; none means 0
"@links"  "relation>uid relation>uid …": relations to other objects of the picture, at most `MAX_LINKS`

They live in `Annotation.attributes`, survive a change of label, and no check or attribute panel looks at them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

from annotation import canonical
from annotation.core import Annotation, Attributes, AttributeValue
from annotation.errors import InvalidInput

NAMES = ("@group", "@track", "@key", "@end", "@order", "@links")
MAX_LINKS = 32
MAX_RELATION = 40
"""Characters of a relation's name."""

_UID = re.compile(r"[0-9a-f]{32}\Z")
_RELATION = re.compile(rf"[^\s>]{{1,{MAX_RELATION}}}\Z")


def group(a: Annotation) -> str | None:
    """The group's uid, or None."""
    return _text(a, "@group")


def track(a: Annotation) -> str | None:
    """The track's uid, or None."""
    return _text(a, "@track")


def is_key(a: Annotation) -> bool:
    """Whether a person or model put the object here itself, on a key frame of its track."""
    return a.attributes.get("@key") is True


def is_end(a: Annotation) -> bool:
    """Whether the track's object is gone after this key frame."""
    return a.attributes.get("@end") is True


def order(a: Annotation) -> int:
    """The place in depth; higher is on top."""
    value = a.attributes.get("@order", 0)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def links(a: Annotation) -> tuple[tuple[str, str], ...]:
    """Relations to other objects as (relation, uid), in their order; what is no relation is passed over."""
    found = (part.rpartition(">") for part in (_text(a, "@links") or "").split())
    return tuple((name, uid) for name, _, uid in found if _UID.match(uid) and _RELATION.match(name))


def plain(attributes: Attributes) -> dict[str, AttributeValue]:
    """The attributes that the label schema speaks of: all but the marks."""
    return {k: v for k, v in attributes.items() if not k.startswith("@")}


def kept(attributes: Attributes) -> dict[str, AttributeValue]:
    """The marks alone."""
    return {k: v for k, v in attributes.items() if k.startswith("@")}


def with_mark(a: Annotation, code: str, value: AttributeValue | None) -> Annotation:
    """The annotation with a mark set, or taken away with None; False and the order 0 are taken away too.

    Raises:
        InvalidInput: for an unknown mark, or a value that it cannot hold.
    """
    sound = value is None or {
        "@group": isinstance(value, str) and bool(_UID.match(value)),
        "@track": isinstance(value, str) and bool(_UID.match(value)),
        "@key": isinstance(value, bool),
        "@end": isinstance(value, bool),
        "@order": isinstance(value, int) and not isinstance(value, bool) and abs(value) < canonical.LIMIT,
        "@links": isinstance(value, str),
    }.get(code, False)
    if not sound:
        raise InvalidInput(f"the mark {code} cannot be {value!r:.60}", where=a.uid)
    attributes = {k: v for k, v in a.attributes.items() if k != code}
    if value is not None and value is not False and value != "" and (code != "@order" or value != 0):
        attributes[code] = value
    return replace(a, attributes=MappingProxyType(attributes))


def with_links(a: Annotation, pairs: Iterable[tuple[str, str]]) -> Annotation:
    """The annotation with these relations (relation, uid) and no others; doubles are written once.

    Raises:
        InvalidInput: for more than `MAX_LINKS`, or a relation's name that is empty, long, or has spaces or ">" in it.
    """
    found = list(dict.fromkeys((canonical.nfc(name), uid) for name, uid in pairs))
    for name, uid in found:
        if not _RELATION.match(name) or not _UID.match(uid):
            raise InvalidInput(
                f"{name!r:.60} is no name of a relation",
                remedy=f"1 to {MAX_RELATION} characters without spaces and >",
            )
    if len(found) > MAX_LINKS:
        raise InvalidInput(f"{len(found)} links of one object", remedy=f"at most {MAX_LINKS}")
    return with_mark(a, "@links", " ".join(f"{name}>{uid}" for name, uid in found))


def _text(a: Annotation, code: str) -> str | None:
    value = a.attributes.get(code)
    return value if isinstance(value, str) else None

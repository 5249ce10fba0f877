"""What happened to an object between two versions: moved, relabelled, reshaped, or other details; from manifest lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

How = Literal["moved", "relabelled", "reshaped", "details"]
HOW: tuple[How, ...] = ("moved", "relabelled", "reshaped", "details")
SNAP = 1
"""Each coordinate was snapped by itself, so a move may differ by this many 1/1000 px from point to point."""

Object = Mapping[str, Any]
"""An object as its set has it: bbox, kind, label, points, …; see storage/manifest.py."""

objects_of = msgspec.json.Decoder(list[dict[str, Any]]).decode


def how(old: Object, new: Object) -> tuple[How, ...]:
    """Everything that is different, in the order of HOW; () of equal ones."""
    out: list[How] = []
    shape = _shape(old, new)
    if shape == "moved":
        out.append("moved")
    if old["label"] != new["label"]:
        out.append("relabelled")
    if shape == "reshaped":
        out.append("reshaped")
    if any(old.get(k) != new.get(k) for k in ("attributes", "origin", "score")):
        out.append("details")
    return tuple(out)


def _shape(old: Object, new: Object) -> str:
    if old["kind"] != new["kind"]:
        return "reshaped"
    if old.get("bbox") == new.get("bbox") and old.get("points") == new.get("points"):
        return ""
    if old["kind"] in ("mask", "caption", "tag") or not old.get("bbox") or not new.get("bbox"):
        return "reshaped"
    a, b = old["bbox"], new["bbox"]
    dx, dy = b[0] - a[0], b[1] - a[1]
    if not (_near(b[2] - a[2], dx) and _near(b[3] - a[3], dy)):
        return "reshaped"
    if old.get("points") is None:
        return "moved"
    return "moved" if _translated(old["kind"], old["points"], new["points"], dx, dy) else "reshaped"


def _translated(kind: str, a: Any, b: Any, dx: int, dy: int) -> bool:
    if kind in ("rotated_box", "ellipse"):  # [cx, cy, w, h, degrees]: only the middle may differ
        return _near(b[0] - a[0], dx) and _near(b[1] - a[1], dy) and list(a[2:]) == list(b[2:])
    if kind == "keypoints":
        return a[1] == b[1] and _moved(a[0], b[0], dx, dy)
    left, right = list(_rings(a)), list(_rings(b))
    return len(left) == len(right) and all(_moved(p, q, dx, dy) for p, q in zip(left, right, strict=True))


def _rings(value: Any) -> Iterator[list[int]]:
    """Every flat list of x, y, … in a geometry."""
    if value and isinstance(value[0], list):
        for inner in value:
            yield from _rings(inner)
    else:
        yield value


def _moved(a: list[int], b: list[int], dx: int, dy: int) -> bool:
    return len(a) == len(b) and all(
        _near(q - p, dy if i % 2 else dx) for i, (p, q) in enumerate(zip(a, b, strict=True))
    )


def _near(a: int, b: int) -> bool:
    return abs(a - b) <= SNAP

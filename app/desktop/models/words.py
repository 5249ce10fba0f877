"""How models are told to a person: tasks, sizes, shapes, states."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.desktop.widgets import number
from app.i18n import tr

TASKS = {
    "detect": "Detects objects",
    "segment": "Outlines objects",
    "pose": "Finds key points",
    "obb": "Finds oriented boxes",
    "classify": "Sorts whole pictures",
    "semantic": "Labels every pixel",
    "embed": "Compares pictures",
    "read": "Reads text",
    "promptable": "Segments by prompts",
}
NOT_DRAWN = ("embed", "read")
"""Tasks whose findings are no shapes on a picture by themselves."""


def facts(card: Any) -> str:
    """Input, batch and classes of a card in a line."""
    w, h = card.input_wh
    parts = [
        f"{w} × {h}" + (" " + tr("(free)") if card.dynamic_hw else ""),
        tr("any batch") if card.batch == 0 else tr("batch {n}", n=card.batch),
        card.input_dtype,
    ]
    if card.labels:
        parts.append(tr("{n} classes", n=number(len(card.labels))))
    return " · ".join(parts)


def output(i: int, out: Any) -> str:
    """A model's output for a person who must say what it is: number, name, shape, range of values."""
    shape = "×".join(str(side) for side in out.value.shape)
    line = f"{i} · {out.name} · {shape}"
    if out.value.size and out.value.dtype.kind in "fiu":
        low, high = float(np.min(out.value)), float(np.max(out.value))
        line += f" · {low:.4g} … {high:.4g}"
    return line


def size(n_bytes: int) -> str:
    """Bytes as kB, MB or GB."""
    for unit, least in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= least:
            return f"{n_bytes / least:.1f} {unit}"
    return f"{n_bytes / 1e3:.0f} kB"


def duration(seconds: float) -> str:
    """A time in one unit."""
    if seconds < 90:
        return tr("{n} s", n=max(1, round(seconds)))
    if seconds < 5400:
        return tr("{n} min", n=round(seconds / 60))
    return tr("{n} h", n=f"{seconds / 3600:.1f}")

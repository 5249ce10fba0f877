"""Which bytes of a damaged asset are wrong: by a second copy that proves right, or by the pieces its hub holds it in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from annotation.errors import LamproomError
from storage.manifest import Fact

Span = tuple[int, int]
"""First byte and the one after the last."""
BLOCK = 1 << 20
JOINED = 16
"""Wrong bytes nearer to each other than this are one span: damage leaves some bytes right by chance."""
MOST = 10_000
"""Spans kept of one asset."""


Copies = Callable[[Fact], Iterator[Callable[[], Iterable[bytes]]]]
"""Other places that should hold an asset's bytes, tried in order; each raises like any reader."""


@dataclass(frozen=True, slots=True)
class Aid:
    """What helps to say more of a fault than that there is one.

    Attributes:
        file: the file that an asset's bytes lie in, "" when nobody can say.
        copies: other places of the same bytes.
        pieces: the spans whose piece does not prove right, None where the asset is not held in pieces.
    """

    file: Callable[[Fact], str]
    copies: Copies
    pieces: Callable[[Fact], list[Span] | None] = lambda _: None


def spans(fact: Fact, read: Callable[[Fact], Iterable[bytes]], aid: Aid) -> list[Span]:
    """The wrong bytes of an asset, as far as anything tells; a missing end counts as wrong. Never raises for foreign data."""
    try:
        if (found := aid.pieces(fact)) is not None:
            return found
        for copy in aid.copies(fact):
            try:
                if _proves(fact, copy()):
                    return differing(read(fact), copy())
            except (LamproomError, OSError):
                continue
    except (LamproomError, OSError):
        pass
    return []


def _proves(fact: Fact, pieces: Iterable[bytes]) -> bool:
    identity, n = blake3(), 0
    for piece in pieces:
        n += len(piece)
        if n > fact.size:
            return False
        identity.update(piece)
    return n == fact.size and identity.hexdigest() == fact.asset


def differing(bad: Iterable[bytes], good: Iterable[bytes]) -> list[Span]:
    """Where two streams differ. What only one of them has is one span at the end."""
    out: list[Span] = []
    left, right = _blocks(bad), _blocks(good)
    at = 0
    while True:
        a, b = next(left, b""), next(right, b"")
        if not a and not b:
            return out
        n = min(len(a), len(b))
        wrong = np.flatnonzero(np.frombuffer(a, np.uint8, n) != np.frombuffer(b, np.uint8, n))
        if len(wrong):
            breaks = np.flatnonzero(np.diff(wrong) > JOINED)
            firsts = wrong[np.concatenate(([0], breaks + 1))]
            lasts = wrong[np.concatenate((breaks, [len(wrong) - 1]))]
            for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
                _add(out, at + first, at + last + 1)
        if len(a) != len(b):
            rest = sum(map(len, left)) + sum(map(len, right))
            _add(out, at + n, at + max(len(a), len(b)) + rest)
            return out
        at += n


def _add(out: list[Span], first: int, end: int) -> None:
    if out and (first - out[-1][1] < JOINED or len(out) >= MOST):
        out[-1] = (out[-1][0], end)
    else:
        out.append((first, end))


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks of one size, the last one shorter."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= BLOCK:
            yield bytes(held[:BLOCK])
            del held[:BLOCK]
    if held:
        yield bytes(held)


def said(found: list[Span], *, most: int = 8) -> str:
    """Spans for a person: first-last, counted from 0."""
    text = ", ".join(str(a) if b == a + 1 else f"{a}-{b - 1}" for a, b in found[:most])
    return text if len(found) <= most else f"{text}, … ({len(found)})"

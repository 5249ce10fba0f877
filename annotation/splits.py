"""Which pictures train, which validate, which test: by chance or by class, and whole groups only, so that no twin crosses.

Stratified by the pictures of each class, as Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data" (ECML PKDD 2011):
the rarest class first, each group to the split that lacks it most. Chance comes from a digest of the seed and the group's
first name, so the same pictures fall the same way on any machine, in any order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from blake3 import blake3

from annotation.errors import InvalidInput

How = Literal["random", "stratified"]
NAMES = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture to be put into a split.

    Attributes:
        key: its name, unique and the same on every machine.
        groups: what it shares with others ("near 17", "folder a/b"): who shares one goes the same way.
        labels: number of objects of each class.
    """

    key: str
    groups: tuple[str, ...] = ()
    labels: Mapping[str, int] | None = None


def ratio(text: str) -> tuple[float, float, float]:
    """Shares of train, val and test from "8:1:1" or "80:20".

    Raises:
        InvalidInput: not two or three numbers from 0, not all of them 0.
    """
    try:
        parts = [float(p) for p in text.replace("/", ":").replace(",", ":").split(":")]
    except ValueError:
        parts = []
    total = sum(parts) if all(0 <= p < 1e9 for p in parts) else 0
    if len(parts) not in (2, 3) or not total:
        raise InvalidInput(f"{text!r} is no ratio", remedy="as 8:1:1 for train, val and test")
    a, b, c = [*parts, 0.0][:3]
    return a / total, b / total, c / total


def joined(candidates: Sequence[Candidate]) -> list[list[int]]:
    """Places of the candidates, those that share a group together, directly or through others (union-find)."""
    parent = list(range(len(candidates)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[str, int] = {}
    for i, candidate in enumerate(candidates):
        for group in candidate.groups:
            a, b = find(first.setdefault(group, i)), find(i)
            parent[max(a, b)] = min(a, b)
    out: dict[int, list[int]] = defaultdict(list)
    for i in range(len(candidates)):
        out[find(i)].append(i)
    return list(out.values())


def assign(
    candidates: Sequence[Candidate], shares: tuple[float, float, float], *, how: How = "random", seed: int = 0
) -> list[str]:
    """The split of each candidate, in the order given. Whole groups; sizes as near to the shares as groups allow."""
    members = joined(candidates)
    marks = [
        blake3(f"{seed}\0{min(candidates[i].key for i in group)}".encode()).digest(8) for group in members
    ]
    order = sorted(range(len(members)), key=lambda g: (-len(members[g]), marks[g]))
    chosen = (
        _stratified(candidates, members, order, shares)
        if how == "stratified"
        else _by_size(members, order, shares)
    )
    out = [""] * len(candidates)
    for group, split in zip(members, chosen, strict=True):
        for i in group:
            out[i] = NAMES[split]
    return out


def _by_size(members: Sequence[Sequence[int]], order: Iterable[int], shares: Sequence[float]) -> list[int]:
    total = sum(map(len, members))
    lacking = [share * total for share in shares]
    out = [0] * len(members)
    for g in order:
        out[g] = split = max((s for s in range(3) if shares[s]), key=lambda s: lacking[s])
        lacking[split] -= len(members[g])
    return out


def _stratified(
    candidates: Sequence[Candidate],
    members: Sequence[Sequence[int]],
    order: Sequence[int],
    shares: Sequence[float],
) -> list[int]:
    counts: list[dict[str, int]] = []
    of: dict[str, list[int]] = defaultdict(list)
    totals: dict[str, int] = defaultdict(int)
    for group in members:
        held: dict[str, int] = defaultdict(int)
        for i in group:
            for label, n in (candidates[i].labels or {}).items():
                held[label] += (
                    n > 0
                )  # pictures that hold it: a crowd in one must not pull all others to the other splits
        counts.append(held)
    for g in order:
        for label, n in counts[g].items():
            of[label].append(g)
            totals[label] += n
    lacking = [share * sum(map(len, members)) for share in shares]
    wanted = {label: [share * n for share in shares] for label, n in totals.items()}
    live = [s for s in range(3) if shares[s]]
    out = [-1] * len(members)

    def put(g: int, split: int) -> None:
        out[g] = split
        lacking[split] -= len(members[g])
        for label, n in counts[g].items():
            wanted[label][split] -= n

    for label in sorted(totals, key=lambda x: (totals[x], x)):
        for g in sorted(of[label], key=lambda g: -counts[g][label]):
            if out[g] < 0:
                put(g, max(live, key=lambda s: (wanted[label][s], lacking[s])))
    for g in order:
        if out[g] < 0:  # pictures without any object
            put(g, max(live, key=lambda s: lacking[s]))
    return out

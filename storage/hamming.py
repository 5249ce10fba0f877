"""Near codes of 64 bits, exactly and at any size: every pair within a Hamming radius, and groups around one to keep.

Pigeonhole over blocks (Manku, Jain, Das Sarma, "Detecting near-duplicates for web crawling", 2007): codes cut into m blocks
that differ in at most r bits agree in at least m - r whole blocks, so pairs are looked for only among codes that agree in
some m - r of the blocks. m is chosen by what sampled codes would cost. DECISIONS.md tells what was refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint64]
Index = NDArray[np.int64]
Tick = Callable[[], None]

MOST_RADIUS = 16
THREADS = 2
_SMALL = 3000
"""Below it every pair is looked at."""
_EDGES = 5_000_000
"""Pairs held at a time: some 200 MB with what they cost to sort. What would have more is done in generations, each smaller."""
_SAMPLE = 32_768
_SORT_NS, _PAIR_NS, _BRUTE_NS = 60.0, 9.0, 1.6
"""What a code costs a table, a candidate costs, a pair of two whole sets costs; measured, only their proportions matter."""
_TILE = 1 << 18
_WIDE = 96
"""Codes of one key from which on they are compared as a square and not by shifting."""


def stars(codes: Codes, radii: Sequence[int], *, tick: Tick = lambda: None, edges: int = _EDGES) -> Index:
    """The one to keep for every code, by index; a code that is kept names itself.

    Codes come in the order of preference. The first not yet taken is kept and takes all not yet taken that are near it, and
    so on: what is taken is always near what is kept for it, which a closure over neighbours of neighbours does not give.

    Args:
        codes: uint64 (n, w): w hashes of one thing. radii: w; near means within every radius.
        tick: called now and then, may raise to break off. edges: most pairs held at a time.
    """
    n = len(codes)
    out = np.arange(n, dtype=np.int64)
    if not n:
        return out
    first, inverse = _distinct(codes)
    kept = _distinct_stars(codes[first], radii, tick, edges)
    return first[kept][inverse]


def pairs(codes: Codes, radii: Sequence[int], *, tick: Tick = lambda: None) -> tuple[Index, Index]:
    """Every pair i < j of near codes, in the order of i, then j. codes, radii: as of `stars`."""
    found = _join(_prepared(codes, radii), tick, None)
    assert found is not None
    a, b = found
    order = np.lexsort((b, a))
    return a[order], b[order]


def distance(a: Codes, b: Codes) -> NDArray[np.uint8]:
    """Number of bits that differ."""
    out: NDArray[np.uint8] = np.bitwise_count(a ^ b)
    return out


# --- groups -------------------------------------------------------------------------------------------------------


def _distinct(codes: Codes) -> tuple[Index, Index]:
    """(index of the first of each distinct code, ascending; for every code the number of its first)."""
    order = np.lexsort(tuple(codes[:, c] for c in reversed(range(codes.shape[1]))))
    ranked = codes[order]
    new = np.ones(len(codes), bool)
    new[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    starts = np.flatnonzero(new)
    number = np.cumsum(new) - 1
    lowest = np.minimum.reduceat(order, starts)  # lexsort is stable, but say it
    by_age = np.argsort(lowest, kind="stable")
    rank = np.empty(len(starts), np.int64)
    rank[by_age] = np.arange(len(starts))
    inverse = np.empty(len(codes), np.int64)
    inverse[order] = rank[number]
    return lowest[by_age], inverse


def _distinct_stars(codes: Codes, radii: Sequence[int], tick: Tick, edges: int) -> Index:
    """`stars` of codes that are all different, generation by generation in the order of preference."""
    n = len(codes)
    taker = np.full(n, -1, np.int64)
    left = np.arange(n)
    while len(left):
        tick()
        size = _generation(codes[left], radii, edges)
        while True:
            own = left[:size]
            found = _join(_prepared(codes[own], radii), tick, edges * 2 if size > _SMALL else None)
            if found is not None:
                break
            size = max(_SMALL, size // 3)  # denser than the sample said
        taker[own] = own[_resolved(len(own), *found)]
        left = left[size:]
        if len(left):
            kept = own[taker[own] == own]
            _take(codes, radii, kept, left, taker, tick)
            left = left[taker[left] < 0]
    return taker


def _generation(codes: Codes, radii: Sequence[int], edges: int) -> int:
    """How many of the next codes have no more pairs among them than can be held, by a sample."""
    n = len(codes)
    if n <= _SMALL:
        return n
    rng = np.random.default_rng(n)
    some, more = codes[rng.integers(0, n, 256)], codes[rng.integers(0, n, min(n, 100_000))]
    hits = sum(int(_near(some[i : i + 2, None], more[None], radii).sum()) for i in range(0, 256, 2))
    share = max(0.0, hits / (256 * len(more)) - 1 / n)  # without the chance of meeting itself
    return n if share * n * n / 2 <= edges else max(_SMALL, int((2 * edges / share) ** 0.5))


def _near(a: Codes, b: Codes, radii: Sequence[int]) -> NDArray[np.bool_]:
    """Whether a[..., w] and b[..., w] are within every radius."""
    out: NDArray[np.bool_] = distance(a[..., 0], b[..., 0]) <= radii[0]
    for c in range(1, len(radii)):
        out &= distance(a[..., c], b[..., c]) <= radii[c]
    return out


def _resolved(n: int, a: Index, b: Index) -> Index:
    """Who is kept for whom, from all near pairs a < b."""
    taker = np.arange(n)
    if not len(a):
        return taker
    order = np.lexsort((b, a))
    a, b = a[order], b[order]
    heads, starts = np.unique(a, return_index=True)
    ends = np.append(starts[1:], len(a)).tolist()
    taken = np.zeros(n, bool)
    for head, start, end in zip(heads.tolist(), starts.tolist(), ends, strict=True):
        if not taken[head]:
            mine = b[start:end]
            mine = mine[~taken[mine]]
            taken[mine] = True
            taker[mine] = head
    return taker


def _take(codes: Codes, radii: Sequence[int], kept: Index, rest: Index, taker: Index, tick: Tick) -> None:
    """Let `kept`, in their order, take what is near them of `rest`."""
    plan = _plan(codes[kept], codes[rest], radii)
    if plan is None:
        for i in range(0, len(kept), 64):
            tick()
            some = kept[i : i + 64]
            step = max(1, _TILE // len(some))
            for j in range(0, len(rest), step):
                part = rest[j : j + step]
                near = _near(codes[some][:, None], codes[part][None], radii)
                hit = near.any(axis=0)
                taker[part[hit]] = some[near[:, hit].argmax(axis=0)]
            rest = rest[taker[rest] < 0]
        return
    mine, theirs = plan.bits(codes[kept]), plan.bits(codes[rest])
    best = np.full(len(rest), len(kept), np.int64)
    for blocks in plan.tables():
        tick()
        keys = plan.key(theirs, blocks)
        order = np.argsort(keys)
        keys = keys[order]
        wanted = plan.key(mine, blocks)
        low, high = np.searchsorted(keys, wanted, "left"), np.searchsorted(keys, wanted, "right")
        for whose, place in _expanded(low, high):
            theirs_at = order[place]
            fine = _near(codes[kept[whose]], codes[rest[theirs_at]], radii)
            np.minimum.at(best, theirs_at[fine], whose[fine])
    hit = best < len(kept)
    taker[rest[hit]] = kept[best[hit]]


def _expanded(low: Index, high: Index, most: int = 1 << 20) -> Iterator[tuple[Index, Index]]:
    """(i, place) for every place low[i] <= place < high[i], in parts of about `most`."""
    counts = high - low
    ends = np.cumsum(counts)
    i = 0
    while i < len(low):
        base = ends[i - 1] if i else 0
        j = max(i + 1, int(np.searchsorted(ends, base + most, "right")))
        n = counts[i:j]
        whose = np.repeat(np.arange(i, j), n)
        within = np.arange(len(whose)) - np.repeat(np.cumsum(n) - n, n)
        if len(whose):
            yield whose, low[whose] + within
        i = j


# --- tables -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which hash is cut (`column`), the order its bits are taken in, where its blocks begin, how many must agree."""

    column: int
    order: tuple[int, ...]
    starts: tuple[int, ...]
    agree: int

    def tables(self) -> Iterator[tuple[int, ...]]:
        return combinations(range(len(self.starts) - 1), self.agree)

    def bits(self, codes: Codes) -> Codes:
        """The cut hash with its bits in the plan's order: distances stay, blocks lie side by side."""
        return _permuted(codes[:, self.column], self.order)

    def key(self, bits: Codes, blocks: Sequence[int]) -> Codes:
        """The bits of some blocks, close together."""
        out = np.zeros(len(bits), np.uint64)
        for b in blocks:
            start, n = self.starts[b], self.starts[b + 1] - self.starts[b]
            out <<= np.uint64(n)
            out |= (bits >> np.uint64(start)) & np.uint64((1 << n) - 1)
        return out

    def is_first(self, x: Codes, blocks: Sequence[int]) -> NDArray[np.bool_]:
        """Whether these blocks are the first ones in which two codes agree, by their difference: each pair is told once."""
        seen = np.zeros(len(x), np.int64)
        out = np.ones(len(x), bool)
        for b in range(blocks[-1] + 1):
            mask = ((1 << self.starts[b + 1]) - 1) ^ ((1 << self.starts[b]) - 1)
            same = (x & np.uint64(mask)) == 0
            if b not in blocks:
                out &= ~same
            seen += same
        return out


def _permuted(column: Codes, order: Sequence[int]) -> Codes:
    out = np.zeros(len(column), np.uint64)
    for new, old in enumerate(order):
        out |= ((column >> np.uint64(old)) & np.uint64(1)) << np.uint64(new)
    return out


def _plan(a: Codes, b: Codes, radii: Sequence[int], *, own: bool = False) -> _Plan | None:
    """The cheapest way to look for near pairs between two sets (own: within one); None: compare everything."""
    whole = float(len(a)) * len(b) / (2 if own else 1)
    best, least = None, whole * _BRUTE_NS * len(radii)
    if min(len(a), len(b)) < 64 or whole < _SMALL**2:
        return None
    rng = np.random.default_rng(len(a))
    some = a[rng.integers(0, len(a), _SAMPLE)] if len(a) > _SAMPLE else a
    more = b[rng.integers(0, len(b), _SAMPLE)] if len(b) > _SAMPLE else b
    scale = whole / (float(len(some)) * len(more))
    for column, radius in enumerate(radii):
        share = np.array(
            [float(((more[:, column] >> np.uint64(i)) & np.uint64(1)).mean()) for i in range(64)]
        )
        ranked = np.argsort(np.abs(share - 0.5), kind="stable")  # the bits that tell most first
        for m in range(radius + 1, 25):
            agree = m - radius
            tables = comb(m, agree)
            if tables > 4000:
                break
            fixed = (tables * (len(a) + len(b)) / (2 if own else 1)) * _SORT_NS
            if fixed >= least:
                continue
            # Bits are dealt like cards, so that no block is left with those that hardly ever differ.
            order = tuple(int(x) for part in range(m) for x in ranked[part::m])
            starts = tuple(int(x) for x in np.cumsum([0, *(len(ranked[part::m]) for part in range(m))]))
            plan = _Plan(column, order, starts, agree)
            x, y = plan.bits(some), plan.bits(more)
            tried = list(plan.tables())
            tried = tried[:: max(1, len(tried) // 6)]
            met = sum(_meetings(plan.key(x, t), plan.key(y, t)) for t in tried) / len(tried)
            if own:
                met = max(0.0, met - len(more) ** 2 / len(b))  # a sample with repetition meets itself
            cost = fixed + met * scale * tables * _PAIR_NS
            if cost < least:
                best, least = plan, cost
    return best


def _meetings(a: Codes, b: Codes) -> float:
    """How many pairs of equal keys there are between two sets."""
    left, n = np.unique(a, return_counts=True)
    right, m = np.unique(b, return_counts=True)
    _, i, j = np.intersect1d(left, right, assume_unique=True, return_indices=True)
    return float((n[i].astype(np.float64) * m[j]).sum())


@dataclass(frozen=True, slots=True)
class _Prepared:
    codes: Codes
    radii: tuple[int, ...]
    plan: _Plan | None
    bits: Codes


def _prepared(codes: Codes, radii: Sequence[int]) -> _Prepared:
    if not all(0 <= r <= MOST_RADIUS for r in radii[:1]):
        raise ValueError(f"a radius of 0 to {MOST_RADIUS}")
    plan = _plan(codes, codes, radii, own=True)
    return _Prepared(codes, tuple(radii), plan, plan.bits(codes) if plan else codes[:0, 0])


def _join(what: _Prepared, tick: Tick, most: int | None) -> tuple[Index, Index] | None:
    """Every near pair a < b once; None when there are more than `most`."""
    found: list[tuple[Index, Index]] = []
    total = 0
    if what.plan is None:
        parts: Iterator[tuple[Index, Index]] = _all_pairs(what)
        for part in parts:
            tick()
            found.append(part)
            total += len(part[0])
            if most is not None and total > most:
                return None
    else:
        tables = list(what.plan.tables())
        with ThreadPoolExecutor(THREADS, "lamproom-near") as pool:
            waiting = [pool.submit(_table, what, blocks, most) for blocks in tables]
            try:
                for one in waiting:
                    part_or_none = one.result()
                    tick()
                    if part_or_none is None:
                        return None
                    found.append(part_or_none)
                    total += len(part_or_none[0])
                    if most is not None and total > most:
                        return None
            finally:
                for one in waiting:
                    one.cancel()
    none = np.zeros(0, np.int64)
    a = np.concatenate([p[0] for p in found]) if found else none
    b = np.concatenate([p[1] for p in found]) if found else none
    return np.minimum(a, b), np.maximum(a, b)


def _all_pairs(what: _Prepared) -> Iterator[tuple[Index, Index]]:
    n = len(what.codes)
    step = max(1, _TILE // max(1, n))
    for i in range(0, n, step):
        near = _near(what.codes[i : i + step, None], what.codes[None, i:], what.radii)
        a, b = np.nonzero(near)
        above = b > a
        yield a[above] + i, b[above] + i


def _table(what: _Prepared, blocks: Sequence[int], most: int | None) -> tuple[Index, Index] | None:
    """Near pairs that agree in these blocks and in no earlier ones."""
    plan = what.plan
    assert plan is not None
    n = len(what.codes)
    width = sum(plan.starts[b + 1] - plan.starts[b] for b in blocks)
    low = n.bit_length()
    keys = plan.key(what.bits, blocks)
    if width + low <= 64:  # one sort of plain numbers is several times faster than a sort of their places
        packed = (keys << np.uint64(low)) | np.arange(n, dtype=np.uint64)
        packed.sort()
        order = (packed & np.uint64((1 << low) - 1)).astype(np.int64)
        keys = packed >> np.uint64(low)
    else:
        order = np.argsort(keys)
        keys = keys[order]
    bits = what.bits[order]
    found: list[tuple[Index, Index]] = []
    total = 0
    for i, j in _candidates(keys, bits, what.radii[plan.column]):
        fine = plan.is_first(bits[i] ^ bits[j], blocks)
        a, b = order[i[fine]], order[j[fine]]
        if len(what.radii) > 1:
            near = _near(what.codes[a], what.codes[b], what.radii)
            a, b = a[near], b[near]
        if len(a):
            found.append((a, b))
            total += len(a)
            if most is not None and total > most:
                return None
    none: list[Any] = [np.zeros(0, np.int64)]
    return np.concatenate([a for a, _ in found] or none), np.concatenate([b for _, b in found] or none)


def _candidates(keys: Codes, bits: Codes, radius: int) -> Iterator[tuple[Index, Index]]:
    """Places i < j of equal keys (sorted) whose bits are within the radius."""
    n = len(keys)
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    ends = np.append(starts[1:], n)
    size = ends - starts
    for start, end in zip(starts[size > _WIDE].tolist(), ends[size > _WIDE].tolist(), strict=True):
        own = bits[start:end]
        step = max(1, _TILE // len(own))
        for i in range(0, len(own), step):
            a, b = np.nonzero(distance(own[i : i + step, None], own[None, i:]) <= radius)
            above = b > a
            if above.any():
                yield a[above] + (start + i), b[above] + (start + i)
    narrow = (size > 1) & (size <= _WIDE)
    first = np.repeat(starts[narrow], size[narrow])
    last = np.repeat(ends[narrow], size[narrow])
    if not len(first):
        return
    run = size[narrow]
    place = first + np.arange(len(first)) - np.repeat(np.cumsum(run) - run, run)
    for i in range(0, len(place), _TILE):
        at, end = place[i : i + _TILE], last[i : i + _TILE]
        d = 1
        while True:
            more = at + d < end
            at, end = at[more], end[more]
            if not len(at):
                break
            near = distance(bits[at], bits[at + d]) <= radius
            if near.any():
                yield at[near], at[near] + d
            d += 1

"""Pictures of a dataset that are like each other: what is known of each, groups around the one to keep, their rows.

A picture to keep comes first by: it is in a dataset that is compared against; it holds a person's work; more pixels;
sharpness and bytes together (blur and compression both cost); registered earlier. Everything in a group is like the one that is kept, not only like a neighbour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from annotation.errors import NotFound
from storage import hamming, listing
from storage.tables import LIKENESS

EXACT, NEAR, ALIKE, MAYBE, FROZEN, SEQUENCE = range(len(LIKENESS))
RADIUS = 6
"""Bits of the perceptual hash that near pictures may differ in: JPEG 30, half the size and +40 of light stay within."""
SECOND = 2
"""The difference hash may differ in so many times as many bits: two hashes that agree are hardly ever chance."""
LIKELY, ASK = 0.85, 0.78
"""Cosine of two vectors from which on they are likely of the same picture, or a person is asked."""
FROZEN_BITS, FROZEN_SHARE, FROZEN_CELLS = 2, 3, 16
"""How little frames of a camera that stands still may differ: bits of both hashes, 1/1000 of light, contrast and sharpness,
and in sum the bytes of the descriptor. Grain alone moves a living picture by more."""
FROZEN_RUN = 5

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known of n pictures, in the order of their ids; all int64 (n,) unless said. taken: -1 = unknown.

    held: a person's work is on it. codes: uint64 (n, 2), pHash and difference hash. descriptors: uint8 (n, 64).
    paths: of the pictures, with the source's code before them; empty unless asked for.
    """

    ids: Ids
    held: NDArray[np.bool_]
    pixels: Ids
    bytes: Ids
    taken: Ids
    light: Ids
    contrast: Ids
    sharp: Ids
    codes: NDArray[np.uint64]
    descriptors: NDArray[np.uint8]
    paths: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def preferred(self, first: Sequence[int] = ()) -> Ids:
        """Places in the order of preference. first: ids that come before all others."""
        ahead = np.isin(self.ids, np.fromiter(first, np.int64)) if len(first) else np.zeros(len(self), bool)
        # Sharpness twice: compression by half is less harm than blur by half, and its ringing looks a little sharper.
        quality = np.log2(self.bytes + 1.0) + 2 * np.log2(self.sharp + 20.0)
        return np.lexsort((self.ids, -quality, -self.pixels, ~self.held, ~ahead))


_SIGNS = (
    "SELECT i.asset_id, CASE WHEN i.n_truth > 0 OR i.review <> 0 OR i.assignee_id IS NOT NULL THEN 1 ELSE 0 END, "
    "coalesce(s.width_px, 0) * coalesce(s.height_px, 0), s.size_bytes, coalesce(s.taken_ms, -1), m.brightness, m.contrast, "
    "m.sharpness, m.phash, m.dhash, m.descriptor, {path} FROM item i JOIN asset s ON s.id = i.asset_id {root}"
    "JOIN measure m ON m.asset_id = i.asset_id WHERE i.dataset_id = :d AND i.died IS NULL AND m.phash IS NOT NULL "
    "AND i.asset_id > :low AND i.asset_id <= :high ORDER BY i.asset_id"
)


def signs(
    read: Callable[[], Any], dataset_ids: Sequence[int], *, paths: bool = False, looks: bool = False
) -> Iterator[Signs | float]:
    """What was measured of the pictures of some datasets, by short reads: shares of the way, at last the whole.

    Args:
        read: gives a connection, as `Database.read`. dataset_ids: a picture of several is of the first.
        paths, looks: read paths and descriptors too.
    """
    numbers: list[NDArray[np.int64]] = []
    hashes: list[NDArray[np.int64]] = []
    seen = np.zeros(0, np.int64)
    named: list[str] = []
    looked: list[bytes] = []
    root = "JOIN source_root r ON r.id = s.source_root_id " if paths else ""
    sql = sa.text(_SIGNS.format(path="r.code || '/' || s.path" if paths else "NULL", root=root))
    for n, dataset_id in enumerate(dataset_ids):
        low, first = 0, len(numbers)
        while True:
            with read() as conn:
                high = listing.stretches(conn, dataset_id, low)
                rows = conn.execute(
                    sql, {"d": dataset_id, "low": low, "high": 2**62 if high is None else high}
                ).all()
            if n:
                known = np.isin(np.array([r[0] for r in rows], np.int64), seen)
                rows = [r for r, k in zip(rows, known.tolist(), strict=True) if not k]
            if rows:
                numbers.append(np.array([r[:8] for r in rows], np.int64))
                hashes.append(np.array([r[8:10] for r in rows], np.int64))
                if looks:
                    looked.append(b"".join(bytes(r[10]) for r in rows))
                if paths:
                    named += [r[11] for r in rows]
            if high is None:
                break
            low = high
            yield (n + 0.5) / len(dataset_ids)
        if len(numbers) > first:
            seen = np.concatenate([seen, *(part[:, 0] for part in numbers[first:])])
    whole = np.concatenate(numbers) if numbers else np.zeros((0, 8), np.int64)
    codes = np.concatenate(hashes) if hashes else np.zeros((0, 2), np.int64)
    cells = np.frombuffer(b"".join(looked), np.uint8).reshape(-1, 64)
    if len(dataset_ids) > 1:
        by_id = np.argsort(whole[:, 0])
        whole, codes, cells = whole[by_id], codes[by_id], cells[by_id] if looks else cells
        named = [named[i] for i in by_id.tolist()] if paths else named
    column = [np.ascontiguousarray(whole[:, c]) for c in range(8)]
    yield Signs(
        column[0], column[1] == 1, column[2], column[3], column[4], column[5], column[6], column[7],
        np.ascontiguousarray(codes).view(np.uint64), cells, named,
    )  # fmt: skip


# --- groups: who is kept for whom, as places (n,) ------------------------------------------------------------------


def near(have: Signs, order: Ids, radius: int = RADIUS, *, tick: Callable[[], None] = lambda: None) -> Ids:
    """Near pictures by both hashes; `order`: places in the order of preference."""
    kept = hamming.stars(have.codes[order], (radius, SECOND * radius), tick=tick)
    out = np.empty(len(order), np.int64)
    out[order] = order[kept]
    return out


def alike(
    vectors: NDArray[np.float16], order: Ids, least: float, *, tick: Callable[[], None] = lambda: None
) -> Ids:
    """Pictures whose vectors (n, d), of unit length, have a cosine of at least `least`."""
    n = len(vectors)
    taker = np.arange(n)
    left = order
    while len(left):
        tick()
        own, left = left[:1024], left[1024:]
        mine = vectors[own].astype(np.float32)
        like = mine @ mine.T >= least
        kept: list[int] = []
        taken = np.zeros(len(own), bool)
        for i in range(len(own)):
            if not taken[i]:
                kept.append(i)
                fresh = like[i] & ~taken
                fresh[: i + 1] = False
                taken |= fresh
                taker[own[fresh]] = own[i]
        mine = mine[kept]
        going = np.zeros(len(left), bool)
        for j in range(0, len(left), 8192):
            tick()
            part = left[j : j + 8192]
            close = mine @ vectors[part].astype(np.float32).T >= least
            hit = close.any(axis=0)
            taker[part[hit]] = own[kept][close[:, hit].argmax(axis=0)]
            going[j : j + 8192] = hit
        left = left[~going]
    return taker


def in_sequence(have: Signs) -> list[Ids]:
    """Places by folder, each in the order people give frames: img2 before img10."""
    folders: dict[str, list[int]] = {}
    for place, path in enumerate(have.paths):
        folders.setdefault(path.rpartition("/")[0], []).append(place)
    keys = [listing.natural(path) for path in have.paths]
    return [np.array(sorted(places, key=keys.__getitem__), np.int64) for _, places in sorted(folders.items())]


def frozen(have: Signs, least: int = FROZEN_RUN) -> Ids:
    """Runs of at least `least` frames of one folder that all show what the first of them shows."""
    taker = np.arange(len(have))
    for places in in_sequence(have):
        n = len(places)
        steady = _still(have, places[:-1], places[1:]) if n > 1 else np.zeros(0, bool)
        at = 0
        while at < n - 1:
            if not steady[at]:
                at += 1
                continue
            stop = at + 1 + int(np.argmin(np.append(steady[at:], False)))  # neighbours agree up to here
            same = _still(have, np.repeat(places[at], stop - at - 1), places[at + 1 : stop])
            end = at + 1 + int(np.argmin(np.append(same, False)))  # and all agree with the first
            if end - at >= least:
                taker[places[at:end]] = places[at]
            at = end
    return taker


def _still(have: Signs, a: Ids, b: Ids) -> NDArray[np.bool_]:
    far = hamming.distance(have.codes[a], have.codes[b]).max(axis=1, initial=0) > FROZEN_BITS
    for numbers in (have.light, have.contrast, have.sharp):
        far |= np.abs(numbers[a] - numbers[b]) > FROZEN_SHARE
    cells = np.abs(have.descriptors[a].astype(np.int16) - have.descriptors[b].astype(np.int16)).sum(axis=1)
    out: NDArray[np.bool_] = ~far & (cells <= FROZEN_CELLS)
    return out


def thinned(have: Signs, *, every: int = 0, apart_s: float = 0.0, scene: int = 0) -> Ids:
    """Sequences with only some frames kept, by exactly one rule; each frame is kept for by the last one kept before it.

    Args:
        every: one in so many. apart_s: one in so many seconds by the time it was taken; without a time all are kept.
        scene: the next one whose perceptual hash differs in at least so many bits.
    """
    taker = np.arange(len(have))
    for places in in_sequence(have):
        if every:
            taker[places] = places[np.arange(len(places)) // every * every]
            continue
        if apart_s:
            places = places[have.taken[places] >= 0]
            places = places[np.argsort(have.taken[places], kind="stable")]
        values = (have.taken[places] if apart_s else have.codes[places, 0]).tolist()
        kept = 0
        for i, value in enumerate(values):
            moved = (
                value - values[kept] >= apart_s * 1000
                if apart_s
                else (value ^ values[kept]).bit_count() >= scene
            )
            kept = i if moved else kept
            taker[places[i]] = places[kept]
    return taker


def exact(conn: Connection, dataset_id: int, have: Signs, order: Ids) -> Ids:
    """Pictures of equal bytes that are registered more than once (ingest registers the same bytes once)."""
    sql = (
        "SELECT s.blake3, s.id FROM asset s JOIN item i ON i.asset_id = s.id AND i.dataset_id = :d AND i.died IS NULL "
        "WHERE s.blake3 IN (SELECT blake3 FROM asset GROUP BY blake3 HAVING count(*) > 1)"
    )
    twins: dict[bytes, list[int]] = {}
    for digest, asset_id in conn.execute(sa.text(sql), {"d": dataset_id}):
        twins.setdefault(bytes(digest), []).append(asset_id)
    taker = np.arange(len(have))
    if not len(have):
        return taker
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    for ids in twins.values():
        places = np.searchsorted(have.ids, np.array(sorted(ids), np.int64))
        places = places[(places < len(have)) & np.isin(have.ids[np.minimum(places, len(have) - 1)], ids)]
        if len(places) > 1:
            taker[places] = places[rank[places].argmin()]
    return taker


# --- rows ----------------------------------------------------------------------------------------------------------


def rows(have: Signs, order: Ids, taker: Ids, ahead: Sequence[int] = ()) -> Iterator[tuple[int, int, int]]:
    """(asset, group, rank) of every group of two and more: its group is the asset first kept, ranks follow `order`.

    ahead: ids of the datasets compared against; their ranks are below 0 and 0 is nobody's, so that all of ours may go.
    """
    theirs = set(ahead)
    turned = taker[order]
    sizes = np.bincount(taker, minlength=len(taker))
    member = sizes[turned] > 1
    places, heads = order[member], turned[member]
    by_head = np.argsort(heads, kind="stable")
    places, heads = places[by_head], heads[by_head]
    starts = np.flatnonzero(np.append(True, heads[1:] != heads[:-1])) if len(heads) else heads
    for start, end in pairwise([*starts.tolist(), len(heads)]):
        head = int(heads[start])
        ids = [int(x) for x in have.ids[places[start:end]] if x != have.ids[head]]
        mine = [x for x in (int(have.ids[head]), *ids) if x not in theirs]
        others = [x for x in (int(have.ids[head]), *ids) if x in theirs]
        if mine:
            for rank, one in [*((-1 - i, x) for i, x in enumerate(others)), *enumerate(mine, bool(others))]:
                yield one, int(have.ids[head]), rank


def forget(conn: Connection, dataset_id: int, kind: int, n: int = 5000) -> int:
    """Remove at most `n` rows of a kind; how many it were."""
    sql = (
        "DELETE FROM likeness WHERE dataset_id = :d AND kind = :k AND asset_id IN "
        "(SELECT asset_id FROM likeness WHERE dataset_id = :d AND kind = :k LIMIT :n)"
    )
    return int(conn.execute(sa.text(sql), {"d": dataset_id, "k": kind, "n": n}).rowcount)


def add(conn: Connection, dataset_id: int, kind: int, found: Iterable[tuple[int, int, int]]) -> None:
    """Put rows (asset, group, rank) of a kind in."""
    made = [{"d": dataset_id, "k": kind, "a": a, "g": g, "r": r} for a, g, r in found]
    if made:
        conn.execute(
            sa.text(
                "INSERT INTO likeness (dataset_id, kind, asset_id, group_id, rank) VALUES (:d, :k, :a, :g, :r)"
            ),
            made,
        )


def keep(conn: Connection, dataset_id: int, asset_id: int) -> int:
    """Let a picture be the one that is kept, in each of its groups; in how many it was not yet.

    Raises:
        NotFound: it is in no group.
    """
    at = {"d": dataset_id, "a": asset_id}
    mine = conn.execute(
        sa.text("SELECT kind, group_id, rank FROM likeness WHERE dataset_id = :d AND asset_id = :a"), at
    ).all()
    if not mine:
        raise NotFound("this picture is in no group", remedy="look for duplicates first")
    moved = 0
    for kind, group, rank in mine:
        if rank:
            where = {"d": dataset_id, "k": kind, "g": group, "r": rank, "a": asset_id}
            conn.execute(
                sa.text("UPDATE likeness SET rank = :r WHERE dataset_id = :d AND kind = :k AND group_id = :g AND rank = 0"), where)  # fmt: skip
            conn.execute(
                sa.text("UPDATE likeness SET rank = 0 WHERE dataset_id = :d AND kind = :k AND asset_id = :a"), where)  # fmt: skip
            moved += 1
    return moved


def counts(conn: Connection, dataset_id: int) -> dict[str, tuple[int, int]]:
    """Kind -> (groups, pictures beyond the kept ones) as they were found."""
    sql = "SELECT kind, sum(CASE WHEN rank = 0 THEN 1 ELSE 0 END), sum(CASE WHEN rank > 0 THEN 1 ELSE 0 END) FROM likeness WHERE dataset_id = :d GROUP BY kind"
    return {LIKENESS[k]: (int(g), int(n)) for k, g, n in conn.execute(sa.text(sql), {"d": dataset_id})}


def vectors(read: Callable[[], Any], have: Signs, digest: bytes) -> tuple[Ids, NDArray[np.float16]]:
    """(places of the pictures that have one, their vectors (m, d)) by an embedding model."""
    places: list[int] = []
    found: list[bytes] = []
    for i in range(0, len(have), 2000):
        part = have.ids[i : i + 2000]
        with read() as conn:
            for asset_id, vector in conn.execute(
                sa.text("SELECT asset_id, vector FROM embedding WHERE model_digest = :m AND asset_id BETWEEN :a AND :b ORDER BY asset_id"),
                {"m": digest, "a": int(part[0]), "b": int(part[-1])},
            ):  # fmt: skip
                at = int(np.searchsorted(part, asset_id))
                if at < len(part) and part[at] == asset_id:
                    places.append(i + at)
                    found.append(bytes(vector))
    width = len(found[0]) if found else 0
    fit = [len(v) == width for v in found]  # vectors of one model are of one length
    kept = np.array([p for p, f in zip(places, fit, strict=True) if f], np.int64)
    whole = np.frombuffer(b"".join(v for v, f in zip(found, fit, strict=True) if f), "<f2").reshape(
        len(kept), width // 2
    )
    return kept, whole


def keep_vectors(conn: Connection, digest: bytes, found: Iterable[tuple[int, bytes]]) -> None:
    """Keep (asset id, float16 little-endian) by an embedding model; what was there is replaced. Derived: no change of the record."""
    rows = [{"a": asset_id, "m": digest, "v": vector} for asset_id, vector in found]
    if rows:
        conn.execute(
            sa.text(
                "INSERT INTO embedding (asset_id, model_digest, vector) VALUES (:a, :m, :v) "
                "ON CONFLICT (model_digest, asset_id) DO UPDATE SET vector = excluded.vector"
            ),
            rows,
        )


def models(conn: Connection, dataset_id: int) -> list[bytes]:
    """Digests of the models that there are vectors of, of pictures of this dataset."""
    every = [bytes(r) for r in conn.execute(sa.text("SELECT DISTINCT model_digest FROM embedding")).scalars()]
    here = sa.text(
        "SELECT 1 FROM item i JOIN embedding e ON e.model_digest = :m AND e.asset_id = i.asset_id "
        "WHERE i.dataset_id = :d AND i.died IS NULL LIMIT 1"
    )
    return [m for m in every if conn.execute(here, {"m": m, "d": dataset_id}).first() is not None]

"""Grouping of near-duplicate hashes: a million, five million, and the sets that make an index explode.

usage: bench_prelabel_near.py [--million N]    Seconds are of the wall on two threads; CPU seconds stand beside them.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from numpy.typing import NDArray

from storage import hamming, likeness

RADII = (likeness.RADIUS, likeness.SECOND * likeness.RADIUS)
Codes = NDArray[np.uint64]


def turned(codes: Codes, bits: int, rng: np.random.Generator) -> Codes:
    """Every code with up to `bits` of its bits turned."""
    for _ in range(bits):
        codes = codes ^ (np.uint64(1) << rng.integers(0, 64, codes.shape, dtype=np.uint64))
    return codes


def sets(n: int) -> dict[str, Codes]:
    """Pairs of hashes (n, 2): what a dataset may hold, and what only a broken camera makes."""
    rng = np.random.default_rng(1)
    scenes = rng.integers(0, 2**64, (n * 4 // 5, 2), dtype=np.uint64)
    copies = scenes[rng.integers(0, len(scenes), n - len(scenes))]
    walk = np.bitwise_xor.accumulate(np.uint64(1) << rng.integers(0, 64, (n, 2), dtype=np.uint64), axis=0)
    return {
        "scenes and copies": turned(np.concatenate([scenes, copies]), 2, rng)[rng.permutation(n)],
        "all equal": np.zeros((n, 2), np.uint64),
        "black frames with noise": turned(np.zeros((n, 2), np.uint64), 4, rng),
        "one endless slow pan": walk,
    }


def bar(name: str, measured: float, wanted: float) -> bool:
    fine = measured <= wanted
    print(f"BAR {name}: {measured:.2f} (wanted <= {wanted}) {'ok' if fine else 'MISSED'}", flush=True)
    return fine


def timed(codes: Codes) -> tuple[float, float, NDArray[np.int64]]:
    """(seconds, CPU seconds, who is kept for whom)."""
    wall, cpu = time.perf_counter(), time.process_time()
    kept = hamming.stars(codes, RADII)
    return time.perf_counter() - wall, time.process_time() - cpu, kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", type=int, default=1_000_000, help="codes of the first bar")
    args, _ = parser.parse_known_args()
    n, fine = args.million, True
    print(f"near duplicates, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, codes in sets(n).items():
        seconds, cpu, kept = timed(codes)
        near = all((hamming.distance(codes[:, c], codes[kept, c]) <= r).all() for c, r in enumerate(RADII))
        print(
            f"  {name}: {len(codes)} codes, {np.unique(kept).size} kept, {seconds:.1f} s ({cpu:.1f} s of CPU)"
        )
        fine &= bar(f"near-duplicate grouping of {n} hashes s, {name}", seconds, 30) and near
    large = sets(5 * n)["scenes and copies"]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, cpu, kept = timed(large)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"  {len(large)} codes, {np.unique(kept).size} kept, {seconds:.1f} s ({cpu:.1f} s of CPU), {peak:.0f} MB more at most"
    )
    fine &= bar(f"near-duplicate grouping of {5 * n} hashes s", seconds, 90)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())

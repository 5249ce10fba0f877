"""Verifying a hub beside plain BLAKE3 over the same files. A section of bench_hub.py, runnable alone.

usage: hub_verify.py [--files N] [--bytes N] [--rounds N]

The floor reads each file as a whole and hashes it, one after the other; verify does that and reads manifest, signatures
and documents besides. Both from the page cache, in turns; the fastest round of each counts.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from bench_record import bar
from blake3 import blake3

from storage.hub import package as packages
from storage.hub.folder import FolderStore
from tests.storage.hub.sets import made


def main(arguments: list[str] | None = None) -> int:
    """Run and print one line a bar; 0 = all held."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=4_000)
    parser.add_argument("--bytes", type=int, default=70_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(arguments)
    base = Path(tempfile.mkdtemp(prefix="lr-verify-"))
    try:
        chance = random.Random(1)
        media = [
            (f"{i:05d}.jpg", chance.randbytes(args.bytes // 2 + chance.randrange(args.bytes)))
            for i in range(args.files)
        ]
        version, hub = made(media), FolderStore(base / "hub")
        version.send(hub)
        paths = [hub.path(packages.object_key(b3)) for b3 in version.media]
        size = sum(p.stat().st_size for p in paths)
        floor, us = [], []
        for _ in range(args.rounds):
            begun = time.perf_counter()
            for path in paths:
                assert blake3(path.read_bytes()).hexdigest() == path.name
            floor.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            assert version.faults(hub) == []
            us.append(time.perf_counter() - begun)
        rate = size / 1e6 / min(us)
        print(
            f"{args.files} files, {size / 1e6:.0f} MB: BLAKE3 alone {size / 1e6 / min(floor):.0f} MB/s, verify {rate:.0f} MB/s",
            flush=True,
        )
        share = min(floor) / min(us)
        return 0 if bar("verify over plain BLAKE3", share, ">= 0.7", share >= 0.7) else 1
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())

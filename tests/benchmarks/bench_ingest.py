"""Ingest: rate against one process that reads and BLAKE3-hashes the same files; second run over 20,000 unchanged files.

usage: bench_ingest.py [--files N] [--known N]    Draws its pictures in a temporary folder; about 400 kB a file.

The bar is measured as pictures arrive: from the disk, not from memory. Both sides start with the files out of the page
cache. With everything in memory the single reader is faster than two cores can compute SHA-256, which ingest must also
do; that rate is printed too, with the limit that the digests alone set on this machine.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
from blake3 import blake3

from annotation import scenes
from app.events import Finished
from app.services import ingest, workspace

RATE_BAR, AGAIN_BAR_S = 0.7, 1.5
ROUNDS = 3


def with_comment(jpeg: bytes, text: bytes) -> bytes:
    """The same picture as other bytes."""
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + jpeg[2:]


def draw(folder: Path, n: int, wh: tuple[int, int], *, kinds: int, quality: int) -> list[Path]:
    """n JPEGs of `kinds` drawn scenes in folders of 500, each with bytes of its own."""
    coded = []
    for seed in range(kinds):
        picture = cv2.resize(scenes.draw(seed).picture, wh, interpolation=cv2.INTER_CUBIC)
        coded.append(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())
    out = []
    for i in range(n):
        path = folder / f"工作面-{i // 500:03d}" / f"KJ_{i:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(with_comment(coded[i % kinds], b"%d" % i))
        out.append(path)
    os.sync()
    return out


def forget(paths: list[Path]) -> None:
    """Put the files out of the page cache."""
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def read_and_hash(paths: list[Path]) -> None:
    for path in paths:
        blake3(path.read_bytes()).digest()


def both_digests(paths: list[Path], threads: int) -> None:
    """The least any ingest must do, with no parsing and no record."""

    def work(mine: list[Path]) -> None:
        for path in mine:
            data = path.read_bytes()
            blake3(data).digest()
            hashlib.sha256(data).digest()

    running = [threading.Thread(target=work, args=(paths[i::threads],)) for i in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def run_ingest(folder: Path, home: Path, expected: int) -> float:
    """Seconds of one ingest of the folder into a fresh workspace."""
    with tempfile.TemporaryDirectory(dir=home) as place, workspace.create(f"{place}/W") as ws:
        return run_once(ws, folder, "new", expected)


def run_once(ws: workspace.Workspace, folder: Path, key: str, expected: int) -> float:
    began = time.perf_counter()
    for event in ingest.run(ws, [folder], dataset="bench"):
        if isinstance(event, Finished):
            assert event.result[key] == expected, event.result
    return time.perf_counter() - began


def bar(name: str, measured: float, required: float, *, at_least: bool, unit: str = "") -> bool:
    good = measured >= required if at_least else measured <= required
    sign = ">=" if at_least else "<="
    print(
        f"BAR {name}: {measured:.2f}{unit} vs {sign} {required}{unit}  {'ok' if good else 'MISSED'}",
        flush=True,
    )
    return good


def main() -> int:
    """Draw, measure, print; 0 when every bar is met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--known", type=int, default=20_000)
    args = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory(prefix="lamproom-bench-") as name:
        home = Path(name)
        large = draw(home / "large", args.files, (1920, 1080), kinds=24, quality=90)
        mean = statistics.mean(p.stat().st_size for p in large)
        print(
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {len(large)} JPEGs 1920 x 1080, mean {mean / 1e3:.0f} kB"
        )
        ratios: dict[str, list[float]] = {"disk": [], "memory": []}
        limits, rates = [], []
        for _ in range(ROUNDS):
            forget(large)
            plain = timed(lambda: read_and_hash(large))
            forget(large)
            ours = run_ingest(home / "large", home, len(large))
            ratios["disk"].append(plain / ours)
            rates.append(len(large) / ours)
            plain = timed(lambda: read_and_hash(large))
            ours = run_ingest(home / "large", home, len(large))
            ratios["memory"].append(plain / ours)
            limits.append(plain / timed(lambda: both_digests(large, os.cpu_count() or 1)))
        print(
            f"from disk: {statistics.median(rates):.0f} pictures/s, {statistics.median(rates) * mean / 1e6:.0f} MB/s"
        )
        print(
            f"from memory: ratio {statistics.median(ratios['memory']):.2f}; both digests alone, on every core, "
            f"reach {statistics.median(limits):.2f}"
        )
        good &= bar(
            "ingest vs read+BLAKE3 of one process, from disk",
            statistics.median(ratios["disk"]),
            RATE_BAR,
            at_least=True,
        )
        draw(home / "small", args.known, (160, 90), kinds=8, quality=60)
        with workspace.create(str(home / "W")) as ws:
            first = run_once(ws, home / "small", "new", args.known)
            again = [run_once(ws, home / "small", "known", args.known) for _ in range(ROUNDS)]
        print(f"{args.known} small files: first run {first:.1f} s ({args.known / first:.0f}/s)")
        good &= bar(
            f"second run over {args.known} unchanged files",
            statistics.median(again),
            AGAIN_BAR_S,
            at_least=False,
            unit=" s",
        )
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())

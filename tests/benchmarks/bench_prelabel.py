"""Pre-labelling end to end (1080p JPEGs on disk to rows committed) against the machine's own limit, a plain loop and other tools.

usage: bench_prelabel.py [PART…] [--pictures N] [--rounds N] [--assets N] [--soak N] [--quick]
PART: rate, peers, start, shards, soak; without one all but soak (`-- --soak` adds it: 20,000 pictures).

L = cores / (CPU s of bare session.run + CPU s of the fastest full decode, per picture). Two networks: YOLOX-Nano (of the shared
data) and one of YOLOv8n's shape with random weights (yolov8n.onnx of LAMPROOM_PEERS, else written here). In each round the limit,
the plain loop and the product take turns, so that what other programs do hits all of them. Where others take cores the share of L
is told by CPU time and the time the product's threads were blocked, instead of by the clock; both are printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import onnxruntime as ort
import peers
import prelabel_model
import prelabel_parts as parts
import prelabel_peers
import prelabel_scale
from prelabel_parts import Measured

from models.batch import usable_cores

PARTS = ("rate", "peers", "start", "shards", "soak")
PLAIN = 150
"""Pictures of one turn of the plain loop: its rate does not depend on their number."""
SHARES = {"yolox": 0.85, "yolov8n": 0.92}
LEAST_PLAIN, LEAST_XANY, LEAST_ULTRALYTICS, MOST_POST = 2.0, 2.0, 1.5, 0.05


def bar(name: str, measured: float, wanted: float, *, most: bool = False, unit: str = "") -> bool:
    """Print one bar's line."""
    fine = measured <= wanted if most else measured >= wanted
    print(
        f"BAR {name}: {measured:.3g}{unit} (wanted {'<=' if most else '>='} {wanted:g}{unit}) {'ok' if fine else 'MISSED'}",
        flush=True,
    )
    return fine


def models(folder: Path) -> dict[str, Path]:
    """Key -> file of the networks."""
    found = {}
    if shared := parts.shared():
        found["yolox"] = shared / "models" / "yolox_nano.onnx"
    else:
        print("NOT MEASURED: YOLOX-Nano, the shared data is not here")
    given = peers.scratch_folder() / "yolov8n.onnx"
    if given.is_file():
        shaped = given
        print(f"  yolov8n: {given.name} of the peers' folder")
    else:
        shaped = folder / "yolov8n-shaped.onnx"
        n, ops = prelabel_model.write(shaped, parts.photographs(8))
        print(f"  yolov8n: written here, {n / 1e6:.2f} M parameters, {ops:.2f} G operations")
    return found | {"yolov8n": shaped}


def rates(folder: Path, key: str, model: Path, n: int, rounds: int) -> tuple[list[bool], Measured]:
    """Rounds of one network; its bars, and the best measured round of the product."""
    pictures = folder / f"pictures-{n}"
    paths = parts.write_pictures(pictures, n) if not pictures.exists() else sorted(pictures.rglob("*.jpg"))
    data = [path.read_bytes() for path in paths[: parts.DRAWN]]
    prepared = folder / f"prepared-{key}"
    known, plan = parts.prepare(prepared, model, pictures)
    print(
        f"  {key}: {model.name}, {known} JPEGs of {parts.WH[0]}x{parts.WH[1]}, {sum(map(len, data)) / len(data) / 1e3:.0f} kB; {plan}"
    )
    bare, loop = parts.Bare(model), parts.PlainLoop(model)
    seen: list[tuple[parts.Limit, float, Measured]] = []
    for i in range(rounds):
        before = bare.limit(data)
        plain = loop.rate(paths[:PLAIN], folder / "plain")
        found = parts.product(prepared, folder / f"round-{key}-{i}", n)
        plain = (plain + loop.rate(paths[PLAIN : 2 * PLAIN], folder / "plain")) / 2
        limit = parts.mean([before, bare.limit(data)])
        seen.append((limit, plain, found))
        core = f", {1e3 * found.core_s:.2f} ms of a core" if found.core_s else ""
        busy = " ".join(f"{stage} {share:.1%}" for stage, share in found.result["busy"].items())
        print(
            f"  {key} {i + 1}: limit {limit.rate:.1f}/s (run {1e3 * limit.run_s:.2f} + decode {1e3 * limit.decode_s:.2f} ms, {limit.decoder}); "
            f"plain loop {plain:.1f}/s; product {found.rate:.1f}/s ({1e3 * found.cpu_s:.2f} ms CPU{core} a picture, start {found.start_s:.2f} s, "
            f"{found.result['predictions']} predictions, {busy}); others took {found.foreign:.2f} cores; "
            f"of L by the clock {found.rate / limit.rate:.2f}, by time of a core {found.of(limit):.2f}",
            flush=True,
        )
    limit, _, best = min(seen, key=lambda r: r[2].foreign)
    if best.foreign >= 0.05:
        print(
            f"  others took {best.foreign:.2f} cores in the quietest round: shares of L are by time of a core"
        )
    share = best.of(limit)
    ratio = statistics.median(found.rate / rate for _, rate, found in seen)
    fine = [
        bar(f"{key} / limit L", share, SHARES[key]),
        bar(f"{key} / plain loop", ratio, LEAST_PLAIN)
        if key == "yolox"
        else bool(print(f"  {key} / plain loop: {ratio:.2f}")) or True,
        bar(
            f"{key} post-processing of a picture's time",
            100 * best.post,
            100 * MOST_POST,
            most=True,
            unit=" %",
        ),
    ]
    return fine, best


def main() -> int:
    """Measure and print; 0 when every bar is met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], help="; ".join(PARTS))
    parser.add_argument("--pictures", type=int, default=3000, help="for YOLOX-Nano; a third for the other")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--assets", type=int, default=5_000_000, help="of the workspace in which a job starts"
    )
    parser.add_argument(
        "--soak",
        type=int,
        nargs="?",
        const=20_000,
        default=0,
        help="pictures of the run whose memory is watched",
    )
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    given = parser.parse_args()
    wanted = set(given.part) or {"rate", "peers", "start", "shards"}
    soak = given.soak or (20_000 if "soak" in wanted else 0)
    if given.quick:
        given.pictures, given.rounds, given.assets, soak = 400, 1, 20_000, min(soak, 1_000)
    print(f"pre-label: {usable_cores()} cores, onnxruntime {ort.__version__}, OpenCV {cv2.__version__}")
    fine: list[bool] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")  # plans are measured here, and kept nowhere else
        files = models(folder)
        light = next(iter(files.values()))
        if "rate" in wanted:
            for key, model in files.items():
                n = given.pictures if key == "yolox" else max(300, given.pictures // 3)
                fine += rates(folder, key, model, n, given.rounds)[0]
        if "peers" in wanted:
            for name, ratio in prelabel_peers.compare(folder, files, quick=given.quick):
                fine.append(bar(name, ratio, LEAST_ULTRALYTICS if "ultralytics" in name else LEAST_XANY))
        if "shards" in wanted:
            fine.append(
                bar(
                    "sharding's extra CPU",
                    100 * prelabel_scale.shards(folder, light, quick=given.quick),
                    3,
                    most=True,
                    unit=" %",
                )
            )
        if "start" in wanted:
            for name, seconds in prelabel_scale.start(folder, light, given.assets):
                fine.append(bar(name, seconds, 1.5, most=True, unit=" s"))
        if soak:
            flat, top = prelabel_scale.soak(folder, light, soak)
            fine += [
                bar(f"memory's span over {soak:,} pictures", 100 * flat, 5, most=True, unit=" %"),
                bar("memory at most", top, 800, most=True, unit=" MB"),
            ]
    print(f"{time.monotonic() - began:.0f} s")
    return 0 if all(fine) else 1


if __name__ == "__main__":
    raise SystemExit(main())

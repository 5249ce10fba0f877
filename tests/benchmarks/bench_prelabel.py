"""Pre-labelling end to end (1080p JPEGs on disk to rows committed) against the machine's own limit and the plain loop.

usage: bench_prelabel.py [--pictures N] [--rounds N]    Needs the shared YOLOX-Nano; without it the demonstration detector.

L = cores / (CPU s of bare session.run + CPU s of the fastest full decode, per picture). Every round measures L, the plain
loop and the product in turn; the round that other processes disturbed least counts, and all are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
import onnxruntime as ort
import simplejpeg

from annotation import scenes
from app.events import Finished, Work
from app.services import ingest, onnx, prelabel, workspace
from models import card as cards
from models import demo, postprocess, preprocess
from models.batch import usable_cores
from models.card import ModelCard

WH = (1920, 1080)
DRAWN = 48
PLAIN_SHARE = 4
"""The plain loop does one picture in four: its rate does not depend on their number."""


@dataclass(frozen=True, slots=True)
class Round:
    """Rates in pictures a second; foreign = cores taken by other processes during the product's run."""

    limit: float
    product: float
    plain: float
    foreign: float
    note: str


def shared_model() -> Path | None:
    """YOLOX-Nano of the shared test models, or None."""
    folder = Path(os.environ.get("LAMPROOM_SHARED") or Path(__file__).resolve().parents[3] / "shared")
    path = folder / "models" / "yolox_nano.onnx"
    return path if path.is_file() else None


def write_pictures(folder: Path, n: int) -> list[Path]:
    """n JPEGs of 1080p and different bytes: real photographs where there are any, else drawn scenes."""
    shared = shared_model()
    photos = (
        sorted((shared.parents[1] / "data" / "people-headwear-yolo").rglob("*.jpg"))[:DRAWN] if shared else []
    )
    encoded = []
    for i in range(min(DRAWN, n)):
        if photos:
            source: Any = cv2.imread(str(photos[i % len(photos)]))
            picture = cv2.resize(source, WH, interpolation=cv2.INTER_CUBIC)
            noise = np.random.default_rng(i).integers(-6, 7, picture.shape, np.int16)
            picture = cv2.add(picture, noise, dtype=cv2.CV_8U)  # detail, which scaling up does not make
        else:
            picture = scenes.draw(i, WH).picture
        encoded.append(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    paths = []
    for i in range(n):
        data, note = encoded[i % len(encoded)], f"picture {i}".encode()
        comment = b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note  # other bytes, the same picture
        path = folder / f"{i // 500:03d}" / f"{i:06d}.jpg"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(data[:2] + comment + data[2:])
        paths.append(path)
    return paths


def cpu_per_call(call: Callable[[int], object], n: int) -> float:
    """CPU seconds of this process per call, after one call to warm up."""
    call(0)
    start = time.process_time()
    for i in range(n):
        call(i)
    return (time.process_time() - start) / n


def limit(model: Path, card: ModelCard, data: Sequence[bytes]) -> tuple[float, str]:
    """L in pictures a second, and its parts."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    w, h = card.input_wh
    blob = np.random.default_rng(0).random((1, 3, h, w), np.float32) * 255 / card.divisor
    run = cpu_per_call(lambda _: session.run(None, {card.input_name: blob}), 60)
    decoders: dict[str, Callable[[bytes], object]] = {
        "simplejpeg": lambda d: simplejpeg.decode_jpeg(d, "BGR"),
        "simplejpeg fast": lambda d: simplejpeg.decode_jpeg(d, "BGR", fastdct=True, fastupsample=True),
        "opencv": lambda d: cv2.imdecode(np.frombuffer(d, np.uint8), cv2.IMREAD_COLOR),
    }
    spent = {
        name: cpu_per_call(lambda i, f=f: f(data[i % len(data)]), len(data)) for name, f in decoders.items()
    }
    fastest = min(spent, key=lambda name: spent[name])
    note = f"run {1e3 * run:.2f} ms, decode {1e3 * spent[fastest]:.2f} ms ({fastest})"
    return usable_cores() / (run + spent[fastest]), note


def plain_loop(model: Path, card: ModelCard, paths: Sequence[Path], out: Path) -> float:
    """What a person writes first: imread, letterbox, run, NMS, one JSON file a picture. Pictures a second."""
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    w, h = card.input_wh
    out.mkdir()
    start = time.perf_counter()
    for path in paths:
        picture: Any = cv2.imread(str(path))
        canvas, blob = np.empty((h, w, 3), np.uint8), np.empty((1, 3, h, w), np.float32)
        place = preprocess.letterbox(picture, card, canvas)
        preprocess.fill(blob, canvas, card)
        outputs = session.run(None, {card.input_name: blob})
        found = postprocess.to_annotations(
            np.asarray(outputs[0]), card, place, score=card.score, iou=card.iou
        )
        rows = [{"label": a.label, "score": a.score, "box": str(a.shape)} for a in found]
        (out / f"{path.stem}.json").write_text(json.dumps(rows), encoding="utf-8")
    return len(paths) / (time.perf_counter() - start)


def finish(work: Work) -> dict[str, Any]:
    """The result of a piece of work."""
    return next(dict(event.result) for event in work if isinstance(event, Finished))


def busy_seconds() -> float | None:
    """CPU seconds of the whole machine since it started, where the system tells."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq = (int(f) for f in fields[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def product(model: Path, pictures: Path, n: int, home: Path) -> tuple[float, float, str]:
    """Pictures a second of the service, from its call to the last row committed; foreign cores; a note."""
    ws = workspace.create(str(home))
    try:
        registered = finish(ingest.run(ws, [pictures], dataset="bench"))
        onnx.add(ws, model, name="bench")
        all_before, own_before, start = busy_seconds(), time.process_time(), time.perf_counter()
        result = finish(prelabel.run(ws, "bench", "bench"))
        seconds = time.perf_counter() - start
        own = time.process_time() - own_before
        all_after = busy_seconds()
    finally:
        ws.close()
    if result["pictures"] != n or result["undecodable"]:
        raise SystemExit(f"not all pictures were done: {registered} {result}")
    foreign = max(0.0, all_after - all_before - own) / seconds if all_after and all_before else 0.0
    busy = " ".join(f"{stage} {share:.0%}" for stage, share in result["busy"].items())
    note = f"{result['predictions']} predictions, {1e3 * own / n:.2f} ms of CPU a picture, busy: {busy}"
    return n / seconds, foreign, note


def bar(name: str, measured: float, wanted: float) -> bool:
    """Print one bar's line."""
    fine = measured >= wanted
    print(f"BAR {name}: {measured:.2f} (wanted {wanted}) {'ok' if fine else 'MISSED'}", flush=True)
    return fine


def main() -> int:
    """Measure and print; 0 when both bars are met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    model = shared_model() or demo.path()
    card = cards.recognise(model)
    print(
        f"pre-label: {model.name}, {options.pictures} JPEGs of {WH[0]}x{WH[1]}, {usable_cores()} cores, onnxruntime {ort.__version__}"
    )
    rounds = []
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        paths = write_pictures(folder / "pictures", options.pictures)
        data = [path.read_bytes() for path in paths[:DRAWN]]
        print(f"  mean file {sum(map(len, data)) / len(data) / 1e3:.0f} kB")
        for i in range(options.rounds):
            most, parts = limit(model, card, data)
            plain = plain_loop(model, card, paths[::PLAIN_SHARE], folder / f"plain-{i}")
            rate, foreign, note = product(model, folder / "pictures", options.pictures, folder / f"ws-{i}")
            rounds.append(Round(most, rate, plain, foreign, note))
            print(
                f"  round {i + 1}: limit {most:.1f}/s ({parts}); plain loop {plain:.1f}/s; product {rate:.1f}/s; others took {foreign:.2f} cores; {note}",
                flush=True,
            )
    best = min(rounds, key=lambda r: r.foreign)
    left = 1 - best.foreign / usable_cores()
    print(
        f"  of L on the cores that other processes left: {best.product / (best.limit * max(left, 0.01)):.2f}"
    )
    fine = bar("pre-label end to end / limit L", best.product / best.limit, 0.75)
    return 0 if bar("pre-label end to end / plain loop", best.product / best.plain, 1.5) and fine else 1


if __name__ == "__main__":
    raise SystemExit(main())

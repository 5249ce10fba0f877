"""Formats: a COCO file into YOLO and VOC, into the record and out of a frozen version. A section of bench_hub.py.

usage: hub_formats.py [--pictures N] [--keep DIR] [--only convert|record|memory]

By default 100,000 pictures with 1,000,000 boxes and 100,000 polygons. Every measurement is a process of its own; what is
timed is the work without the start of the interpreter and the imports. The floor is orjson's parse of the file and the
shortest loop that writes the same files; it, and datumaro, run in the environment LAMPROOM_PEERS/formats. Before each the
system's buffers are written out, so that nobody pays for another's files. Disk: 3 GB.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import msgspec
from bench_record import bar

ROOT = Path(__file__).resolve().parents[2]
WH = (1920, 1080)
CLASSES, BOXES, CORNERS = 10, 10, 12
FLOOR_MOST, PEER_LEAST, MEMORY_MB, FLAT = 1.6, 2.0, 400, 1.5

FLOOR = """
import json, os, resource, sys, time
import orjson
source, kind, out = sys.argv[1:4]
begun = time.perf_counter()
d = orjson.loads(open(source, "rb").read())
parsed = time.perf_counter()
by = {}
for a in d["annotations"]:
    by.setdefault(a["image_id"], []).append(a)
names = {c["id"]: c["name"] for c in d["categories"]}
made = set()
for im in d["images"]:
    p = f"{out}/{im['file_name'][:-4]}"
    folder = p.rpartition("/")[0]
    if folder not in made:
        os.makedirs(folder, exist_ok=True)
        made.add(folder)
    W, H = im["width"], im["height"]
    if kind == "yolo":
        text = []
        for a in by.get(im["id"], ()):
            x, y, w, h = a["bbox"]
            text.append(f"{a['category_id'] - 1} {(x + w / 2) / W:.6f} {(y + h / 2) / H:.6f} {w / W:.6f} {h / H:.6f}\\n")
        with open(p + ".txt", "w") as o:
            o.write("".join(text))
    else:
        text = [f"<annotation><filename>{im['file_name']}</filename><size><width>{W}</width><height>{H}</height><depth>3</depth></size>"]
        for a in by.get(im["id"], ()):
            x, y, w, h = a["bbox"]
            text.append(f"<object><name>{names[a['category_id']]}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>")
        text.append("</annotation>")
        with open(p + ".xml", "w") as o:
            o.write("".join(text))
print(json.dumps({"work": time.perf_counter() - begun, "parse": parsed - begun, "cpu": time.process_time(),
                  "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""

DATUMARO = """
import json, logging, resource, sys, time
import datumaro
logging.disable(logging.CRITICAL)
source, kind, out = sys.argv[1:4]
begun, cpu = time.perf_counter(), time.process_time()
datumaro.Dataset.import_from(source, "coco_instances").export(out, kind, save_media=False)
print(json.dumps({"work": time.perf_counter() - begun, "cpu": time.process_time() - cpu,
                  "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def peer() -> Path | None:
    """The interpreter of the peers' environment, None where there is none."""
    base = Path(os.environ.get("LAMPROOM_PEERS") or ROOT / ".cache" / "peers") / "formats"
    found = [p for p in (base / "bin" / "python", base / "Scripts" / "python.exe") if p.exists()]
    return found[0] if found else None


def place(i: int) -> str:
    """The path of a picture of the set, as bench_record names its assets."""
    return f"综采面/{i // 6000:04d}/KJ-07_{i:08d}.jpg"


def make(folder: Path, n: int) -> Path:
    """A COCO set of `n` pictures, the same at every call; its folder."""
    file = folder / "annotations" / "instances_train.json"
    if file.exists():
        return folder
    file.parent.mkdir(parents=True)
    (folder / "images" / "train").mkdir(parents=True)  # datumaro wants it
    rng = random.Random(5)
    with file.open("wb") as out:
        out.write(b'{"info":{},"licenses":[],"categories":')
        out.write(
            msgspec.json.encode(
                [{"id": i + 1, "name": f"class_{i}", "supercategory": ""} for i in range(CLASSES)]
            )
        )
        for key in ("images", "annotations"):
            out.write(f',"{key}":['.encode())
            for i in range(n):
                rows = [{"id": i + 1, "file_name": place(i), "width": WH[0], "height": WH[1]}]
                if key == "annotations":
                    rows = list(entries(rng, i))
                text = msgspec.json.encode(rows)[1:-1]
                out.write((b"," if i else b"") + text)
            out.write(b"]")
        out.write(b"}")
    return folder


def entries(rng: random.Random, i: int):
    """The entries of a picture: boxes, and one polygon."""
    first = i * (BOXES + 1) + 1
    for k in range(BOXES):
        x, y = round(rng.uniform(0, 1700), 2), round(rng.uniform(0, 900), 2)
        w, h = round(rng.uniform(8, 200), 2), round(rng.uniform(8, 170), 2)
        yield {
            "id": first + k, "image_id": i + 1, "category_id": rng.randrange(CLASSES) + 1, "segmentation": [],
            "bbox": [x, y, w, h], "area": round(w * h, 2), "iscrowd": 0,
        }  # fmt: skip
    cx, cy = rng.uniform(200, 1700), rng.uniform(200, 880)
    ring = []
    for k in range(CORNERS):
        r, turn = rng.uniform(40, 120), k * 2 * math.pi / CORNERS
        ring += [round(cx + r * math.cos(turn), 2), round(cy + r * math.sin(turn), 2)]
    xs, ys = ring[::2], ring[1::2]
    yield {
        "id": first + BOXES, "image_id": i + 1, "category_id": rng.randrange(CLASSES) + 1, "segmentation": [ring],
        "bbox": [min(xs), min(ys), round(max(xs) - min(xs), 2), round(max(ys) - min(ys), 2)], "area": 20000.0,
        "iscrowd": 0,
    }  # fmt: skip


def ran(line: list[str | Path]) -> dict[str, float]:
    """The figures that a process prints last."""
    if hasattr(os, "sync"):
        os.sync()
    done = subprocess.run(
        line,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LAMPROOM_KEYS": "plain"},
    )
    if done.returncode:
        raise SystemExit(f"{line[1:4]} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def ours(what: str, *rest: str | Path) -> dict[str, float]:
    """One of our measurements, in a process of its own."""
    return ran([sys.executable, Path(__file__), "--child", what, *rest])


def child(what: str, rest: list[str]) -> None:
    """A measurement of ours; prints its figures."""
    import resource
    import time

    from app.services import convert, export, imports, versions, workspace

    begun, cpu = time.perf_counter(), time.process_time()
    if what == "convert":
        list(convert.run(Path(rest[0]), rest[1], Path(rest[2]), accept_losses=True))
    else:
        with workspace.open(rest[0], person="bench") as ws:
            begun, cpu = time.perf_counter(), time.process_time()
            if what == "import":
                list(imports.import_labels(ws, Path(rest[1]), dataset="face-3", wish=imports.Wish("coco")))
            elif what == "freeze":
                list(versions.build(ws, versions.freeze(ws, "face-3", tag="v1")))
            else:
                list(export.run(ws, "face-3@v1", rest[1], Path(rest[2]), accept_losses=True, pictures="none"))
    figures = {
        "work": time.perf_counter() - begun, "cpu": time.process_time() - cpu,
        "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip
    print(json.dumps(figures))


def said(name: str, figures: dict[str, float]) -> None:
    """One line of a measurement."""
    print(
        f"  {name:34} {figures['work']:7.1f} s   CPU {figures['cpu']:7.1f} s   {figures['mb']:6.0f} MB",
        flush=True,
    )


def conversions(base: Path, source: Path, python: Path | None, theirs: dict[str, dict[str, float]]) -> bool:
    """COCO to YOLO and VOC: ours, the floor, datumaro."""
    fine = True
    file = source / "annotations" / "instances_train.json"
    for kind in ("yolo", "voc"):
        out = base / "out"
        mine = ours("convert", source, kind, out)
        said(f"COCO to {kind}: lamproom", mine)
        shutil.rmtree(out)
        if python is None:
            continue
        floor = ran([python, "-c", FLOOR, file, kind, out])
        said(f"COCO to {kind}: floor", floor)
        shutil.rmtree(out)
        theirs[kind] = ran([python, "-W", "ignore", "-c", DATUMARO, source, kind, out])
        said(f"COCO to {kind}: datumaro", theirs[kind])
        shutil.rmtree(out)
        ratio = mine["work"] / floor["work"]
        fine &= bar(f"COCO to {kind} against the floor", ratio, f"<= {FLOOR_MOST}", ratio <= FLOOR_MOST)
        ratio = theirs[kind]["work"] / mine["work"]
        fine &= bar(
            f"COCO to {kind} against datumaro", ratio, f">= {PEER_LEAST:.0f} times", ratio >= PEER_LEAST
        )
        fine &= bar(f"COCO to {kind}: peak memory", mine["mb"], f"<= {MEMORY_MB} MB", mine["mb"] <= MEMORY_MB)
    return fine


def by_record(base: Path, source: Path, n: int, theirs: dict[str, dict[str, float]]) -> bool:
    """Into the record, frozen, and out again; datumaro's conversion is what both stand beside."""
    from bench_record import build

    ws, _, _ = build(base / "ws", n, every=10**9)
    ws.close()
    fine = True
    for what, rest, kind in (
        ("import", (source,), "yolo"), ("freeze", (), ""), ("export", ("coco", base / "coco"), "voc"),
        ("export", ("yolo", base / "yolo"), "yolo"), ("export", ("voc", base / "voc"), "voc"),
    ):  # fmt: skip
        figures = ours(what, base / "ws", *rest)
        name = f"{what} {rest[0]}" if what == "export" else what
        said(f"record: {name}", figures)
        if kind in theirs:
            ratio = theirs[kind]["work"] / figures["work"]
            fine &= bar(
                f"{name} against datumaro's conversion",
                ratio,
                f">= {PEER_LEAST:.0f} times",
                ratio >= PEER_LEAST,
            )
            fine &= bar(
                f"{name}: peak memory", figures["mb"], f"<= {MEMORY_MB} MB", figures["mb"] <= MEMORY_MB
            )
    return fine


def flat(base: Path, n: int) -> bool:
    """The peak of a conversion of a tenth and of the whole."""
    peaks = []
    for size in (n // 10, n):
        figures = ours("convert", make(base / f"set{size}", size), "yolo", base / "flat")
        said(f"{size:,} pictures to YOLO", figures)
        shutil.rmtree(base / "flat")
        peaks.append(figures["mb"])
    ratio = peaks[1] / peaks[0]
    return bar("peak memory, ten times the pictures", ratio, f"<= {FLAT} times", ratio <= FLAT)


def main() -> int:
    """Everything, or a part; 1 when a bar is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", choices=("convert", "record", "memory"))
    parser.add_argument("--child", nargs="+")
    given = parser.parse_args()
    if given.child:
        child(given.child[0], given.child[1:])
        return 0
    python = peer()
    if python is None:
        print(
            "no environment of the peers 'formats' (./dev peers formats): neither floor nor datumaro is measured"
        )
    fine = python is not None
    with tempfile.TemporaryDirectory(prefix="lr-formats-") as scratch:
        base = given.keep or Path(scratch)
        source = make(base / f"set{given.pictures}", given.pictures)
        theirs: dict[str, dict[str, float]] = {}
        if given.only in (None, "convert"):
            fine &= conversions(base, source, python, theirs)
        elif given.only == "record" and python is not None:
            for kind in ("yolo", "voc"):
                theirs[kind] = ran([python, "-W", "ignore", "-c", DATUMARO, source, kind, base / "out"])
                said(f"COCO to {kind}: datumaro", theirs[kind])
                shutil.rmtree(base / "out")
        if given.only in (None, "record"):
            fine &= by_record(base, source, given.pictures, theirs)
        if given.only in (None, "memory"):
            fine &= flat(base, given.pictures)
    return int(not fine)


if __name__ == "__main__":
    sys.exit(main())

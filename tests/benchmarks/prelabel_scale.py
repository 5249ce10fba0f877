"""Pre-labelling at scale: how soon a job starts among millions of assets, what shards cost, memory over a long run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))

import bench_record
import cv2
import numpy as np
import onnx as onnx_format
import prelabel_parts as parts
import toys

from app.events import Finished, Progress
from app.services import farm, jobs, onnx, orders, plans, prelabel, workspace
from models.recipe import PLAIN
from storage import queries
from storage.queries import Query

# --- start ---------------------------------------------------------------------------------------------------------

REAL = 64
"""Assets that have a picture, so that the job really begins."""


def start(folder: Path, model: Path, assets: int) -> Iterator[tuple[str, float]]:
    """(what, seconds) from the call to the first picture's result in a workspace of so many assets."""
    began = time.monotonic()
    ws, _, _ = bench_record.build(folder / "many", assets, every=3)
    pictures = folder / "first"
    picture = cv2.imencode(".jpg", parts.photographs(1)[0])[1].tobytes()
    with ws.db.write() as conn:
        conn.exec_driver_sql("UPDATE source_root SET location = ?", (os.fsencode(pictures),))
        paths = [r[0] for r in conn.exec_driver_sql(f"SELECT path FROM asset ORDER BY id LIMIT {REAL}")]
    for path in paths:
        (pictures / path).parent.mkdir(parents=True, exist_ok=True)
        (pictures / path).write_bytes(picture)
    row = onnx.add(ws, model, name="bench")
    with ws.db.read() as conn:
        data = queries.dataset(conn, "face-3")
    plans.measure(ws, row, Query(data.id), "cpu", PLAIN)
    print(
        f"  {assets:,} assets, a third of them with a prediction and a person's box, made in {time.monotonic() - began:.0f} s",
        flush=True,
    )
    for name, wanted in (
        ("all pictures", {}),
        ("pictures with predictions", {"state": "predicted"}),
        ("pictures without human work", {"untouched": True}),
    ):
        ws.close()
        ws = workspace.open(str(folder / "many"))
        began = time.perf_counter()
        work = prelabel.run(ws, "face-3", "bench", **wanted)
        seconds = 0.0
        for event in work:
            if isinstance(event, Progress) and event.done:
                seconds = time.perf_counter() - began
                break
        work.close()
        job = next(j for j in jobs.listing(ws) if j.ended_ms is None)
        jobs.cancel(ws, job.id)
        yield f"start of a job, {name} of {assets:,}", seconds
    ws.close()


# --- shards --------------------------------------------------------------------------------------------------------

TINY, PER_SHARD, OBJECTS = 3000, 500, 3


def shards(folder: Path, model: Path, *, quick: bool = False) -> float:
    """Extra CPU of a picture done in shards, as a share of a picture of 1080p through the given network.

    Found with a network and pictures of a few kilobytes, where it is not lost in the noise: manifests, results written,
    verified and merged, against the same job in one process; and a worker's start, once for each shard as a cluster does.
    """
    n = 1000 if quick else TINY
    pictures = folder / "tiny"
    for i in range(n):
        path = pictures / f"{i // 500:03d}" / f"{i:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shade = np.full((48, 64, 3), (i % 251, i // 251, 90), np.uint8)
        path.write_bytes(cv2.imencode(".png", shade)[1].tobytes())
    file = folder / "tiny.onnx"
    boxes = [(10.0 + 16 * k, 20.0, 12.0, 14.0, 0.9, 0.1) for k in range(OBJECTS)]
    onnx_format.save(
        toys.toy_model(toys.columns(*boxes), metadata={"names": str({0: "a", 1: "b"})}), str(file)
    )
    prepared = folder / "tiny-prepared"
    parts.prepare(prepared, file, pictures)
    plain: list[float] = []
    cut: list[float] = []
    for i in range(1 if quick else 3):
        plain.append(_cpu(prepared, folder / f"tiny-{i}a", orders.PLAINLY, n))
        course = orders.Course(runner="local:2", shards=n // PER_SHARD)
        cut.append(_cpu(prepared, folder / f"tiny-{i}b", course, n))
    begin = _start_cpu(file, folder)
    whole = parts.Bare(model).limit([cv2.imencode(".jpg", parts.photographs(1)[0])[1].tobytes()])
    picture = whole.run_s + whole.decode_s
    extra = (min(cut) - 2 * begin - min(plain)) / n
    size = farm.PICTURES["slurm"]
    print(
        f"  a picture in one process {1e3 * min(plain) / n:.3f} ms of CPU, in shards {1e3 * extra:+.3f} ms; a worker's start {begin:.2f} s, "
        f"{100 * begin / (size * picture):.1f} % of a cluster's shard of {size:,} pictures; a picture of 1080p {1e3 * picture:.1f} ms",
        flush=True,
    )
    return (extra + begin / size) / picture


def _start_cpu(file: Path, folder: Path) -> float:
    """CPU seconds of a worker that has one picture to do."""
    one = folder / "one"
    one.mkdir()
    (one / "0.png").write_bytes(cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes())
    parts.prepare(folder / "one-prepared", file, one)
    before = os.times()
    _cpu(folder / "one-prepared", folder / "one-a", orders.Course(runner="local:1"), 1)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _cpu(prepared: Path, home: Path, course: orders.Course, n: int) -> float:
    """CPU seconds of a job, its workers included."""
    shutil.copytree(prepared, home)
    ws = workspace.open(str(home))
    try:
        before = os.times()
        result = parts.finish(prelabel.run(ws, "bench", "bench", course=course))
        after = os.times()
    finally:
        ws.close()
        shutil.rmtree(home)
    if result["pictures"] != n or not result["finished"]:
        raise SystemExit(f"not all pictures were done: {result}")
    return sum(after[:4]) - sum(before[:4])


# --- memory --------------------------------------------------------------------------------------------------------

WARM = 0.1
"""Share of the run after which memory must be flat: caches and pools are full by then."""


def soak(folder: Path, model: Path, n: int) -> tuple[float, float]:
    """(half the span of the memory over its middle, most in MB) of a job of n pictures in a process of its own."""
    pictures = folder / "soak"
    parts.write_pictures(pictures, n, quality=70, noise=0)
    parts.prepare(folder / "soak-prepared", model, pictures)
    out = folder / "soak.json"
    subprocess.run([sys.executable, __file__, str(folder / "soak-prepared"), str(out)], check=True)
    said = json.loads(out.read_text())
    points = [mb for done, mb in said["points"] if done >= n * WARM]
    span = (max(points) - min(points)) / (max(points) + min(points))
    told = ", ".join(f"{done}: {mb:.0f}" for done, mb in said["points"][:: max(1, len(said["points"]) // 12)])
    print(
        f"  memory in MB by pictures done: {told}; at most {said['top']:.0f}; {said['rate']:.1f}/s",
        flush=True,
    )
    return span, float(said["top"])


def _watched(home: Path, out: Path) -> None:
    """In a process of its own: the job, and its resident memory by pictures done."""
    ws = workspace.open(str(home))
    page = os.sysconf("SC_PAGE_SIZE")
    points: list[tuple[int, float]] = []
    result = {}
    for event in prelabel.run(ws, "bench", "bench"):
        if isinstance(event, Progress) and event.done and (not points or event.done >= points[-1][0] + 50):
            resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            points.append((event.done, resident * page / 1e6))
        elif isinstance(event, Finished):
            result = dict(event.result)
    ws.close()
    # getrusage would tell the parent's peak, which a child inherits.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    top = int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    out.write_text(json.dumps({"points": points, "top": top, "rate": result["pictures_per_s"]}))


if __name__ == "__main__":
    _watched(Path(sys.argv[1]), Path(sys.argv[2]))

"""What the pre-label bars are measured with: pictures, the machine's limit, the loop a person writes first, the product.

Nothing of the product is used for the limit and the plain loop but the size of the network's input.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import simplejpeg

from annotation import scenes
from app.events import Finished, Work
from app.services import ingest, onnx, plans, prelabel, workspace
from models.batch import usable_cores
from models.recipe import PLAIN
from storage import queries
from storage.queries import Query

Array = np.ndarray[Any, Any]
WH = (1920, 1080)
DRAWN = 48
"""Different pictures; the others repeat them with another comment, that is other bytes."""
SAMPLE_S = 0.25
RUNS = 24
"""Bare runs of one measurement of the limit, twice a round."""


def shared() -> Path | None:
    """The folder of shared test data, or None."""
    folder = Path(os.environ.get("LAMPROOM_SHARED") or Path(__file__).resolve().parents[3] / "shared")
    return folder if (folder / "models" / "yolox_nano.onnx").is_file() else None


def photographs(n: int) -> list[Array]:
    """n pictures of 1080p, BGR: real photographs where there are any, else drawn scenes."""
    folder = shared()
    photos = sorted((folder / "data" / "people-headwear-yolo").rglob("*.jpg")) if folder else []
    found = []
    for i in range(n):
        source: Any = cv2.imread(str(photos[i % len(photos)])) if photos else scenes.draw(i, WH).picture
        found.append(np.asarray(cv2.resize(source, WH, interpolation=cv2.INTER_CUBIC)))
    return found


def write_pictures(folder: Path, n: int, *, quality: int = 85, noise: int = 6) -> list[Path]:
    """n JPEGs of 1080p and different bytes.

    Args:
        noise: strength of the detail that scaling up does not make; with 6 at quality 85 a file has about 320 kB.
    """
    encoded = []
    for i, picture in enumerate(photographs(min(DRAWN, n))):
        if noise:
            grain = np.random.default_rng(i).integers(-noise, noise + 1, picture.shape, np.int16)
            picture = cv2.add(picture, grain, dtype=cv2.CV_8U)
        encoded.append(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())
    paths = []
    for i in range(n):
        data, note = encoded[i % len(encoded)], f"picture {i}".encode()
        comment = b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note
        path = folder / f"{i // 500:03d}" / f"{i:06d}.jpg"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(data[:2] + comment + data[2:])
        paths.append(path)
    return paths


# --- the limit -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limit:
    """CPU seconds a picture of a bare session.run and of the fastest full decode, and that decoder's name."""

    run_s: float
    decode_s: float
    decoder: str

    @property
    def rate(self) -> float:
        """L, pictures a second on all cores."""
        return usable_cores() / (self.run_s + self.decode_s)


def cpu_per_call(call: Callable[[int], object], n: int) -> float:
    """CPU seconds of this process per call, after one call to warm up."""
    call(0)
    start = time.process_time()
    for i in range(n):
        call(i)
    return (time.process_time() - start) / n


DECODERS: dict[str, Callable[[bytes], object]] = {
    "simplejpeg": lambda d: simplejpeg.decode_jpeg(d, "BGR"),
    "simplejpeg fast": lambda d: simplejpeg.decode_jpeg(d, "BGR", fastdct=True, fastupsample=True),
    "opencv": lambda d: cv2.imdecode(np.frombuffer(d, np.uint8), cv2.IMREAD_COLOR),
}


class Bare:
    """The network alone, one thread."""

    def __init__(self, model: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        first = self._session.get_inputs()[0]
        blob = np.random.default_rng(0).random(first.shape, np.float32)
        if "yolox" in model.name:
            blob *= 255
        self._feeds = {first.name: blob}

    def limit(self, data: Sequence[bytes]) -> Limit:
        """Measure now."""
        run = cpu_per_call(lambda _: self._session.run(None, self._feeds), RUNS)
        spent = {}
        for name, decode in DECODERS.items():
            spent[name] = cpu_per_call(lambda i, decode=decode: decode(data[i % len(data)]), len(data))  # type: ignore[misc]
        fastest = min(spent, key=lambda name: spent[name])
        return Limit(run, spent[fastest], fastest)


def mean(limits: Sequence[Limit]) -> Limit:
    """One limit of several measurements."""
    n = len(limits)
    return Limit(sum(m.run_s for m in limits) / n, sum(m.decode_s for m in limits) / n, limits[0].decoder)


# --- the plain loop ------------------------------------------------------------------------------------------------


class PlainLoop:
    """What a person writes first: imread, letterbox, run, NMS, one JSON file a picture. The session is onnxruntime's default."""

    def __init__(self, model: Path, *, score: float = 0.3, iou: float = 0.45) -> None:
        self._session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        first = self._session.get_inputs()[0]
        self._name, self._side = first.name, int(first.shape[2])
        self._raw = "yolox" in model.name
        self._score, self._iou = score, iou
        parts = []
        for stride in (8, 16, 32):
            ys, xs = np.mgrid[0 : self._side // stride, 0 : self._side // stride]
            parts.append(np.stack([xs.ravel(), ys.ravel(), np.full(xs.size, stride)], axis=1))
        self._grid = np.concatenate(parts).astype(np.float32)

    def rate(self, paths: Sequence[Path], out: Path) -> float:
        """Pictures a second."""
        out.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        for path in paths:
            found = self._one(path)
            (out / f"{path.stem}.json").write_text(json.dumps(found), encoding="utf-8")
        return len(paths) / (time.perf_counter() - start)

    def _one(self, path: Path) -> list[dict[str, Any]]:
        picture: Any = cv2.imread(str(path))
        h, w = picture.shape[:2]
        side = self._side
        ratio = min(side / w, side / h)
        small = cv2.resize(picture, (round(w * ratio), round(h * ratio)))
        canvas = np.full((side, side, 3), 114, np.uint8)
        top = left = 0
        if not self._raw:
            top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
        canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
        if self._raw:
            blob: Array = canvas.transpose(2, 0, 1)[None].astype(np.float32)
        else:
            blob = np.ascontiguousarray(canvas[:, :, ::-1].transpose(2, 0, 1)[None], np.float32) / 255
        table = self._session.run(None, {self._name: blob})[0][0]
        if self._raw:
            table[:, :2] = (table[:, :2] + self._grid[:, :2]) * self._grid[:, 2:]
            table[:, 2:4] = np.exp(table[:, 2:4]) * self._grid[:, 2:]
            boxes, scores = table[:, :4], table[:, 4:5] * table[:, 5:]
        else:
            boxes, scores = table[:4].T, table[4:].T
        classes = scores.argmax(axis=1)
        best = scores[np.arange(len(scores)), classes]
        keep = best >= self._score
        boxes, best, classes = boxes[keep], best[keep], classes[keep]
        corner = boxes.copy()
        corner[:, :2] -= boxes[:, 2:] / 2
        kept = cv2.dnn.NMSBoxesBatched(
            corner.tolist(), best.tolist(), classes.tolist(), self._score, self._iou
        )
        corner[:, :2] -= (left, top)
        return [
            {"label": int(classes[i]), "score": float(best[i]), "box": (corner[i] / ratio).tolist()}
            for i in kept
        ]


# --- the product ---------------------------------------------------------------------------------------------------


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


class Idle:
    """Seconds for which threads of this process did nothing although a core was to be had: what other programs cannot distort.

    The system tells for each thread how long it ran and how long it stood in the queue for a core; the rest it was blocked:
    by a lock, an empty queue, the disk.
    """

    def __init__(self) -> None:
        self._first: dict[int, tuple[float, float, float, str]] = {}
        self._last: dict[int, tuple[float, float, float, str]] = {}
        self._due = 0.0
        self.known = Path("/proc/self/schedstat").exists()

    def note(self) -> None:
        """Look at all threads, at most four times a second."""
        now = time.perf_counter()
        if not self.known or now < self._due:
            return
        self._due = now + SAMPLE_S
        for thread in threading.enumerate():
            task = thread.native_id or 0
            try:
                ran, queued, _ = Path(f"/proc/self/task/{task}/schedstat").read_text(encoding="ascii").split()
            except (OSError, ValueError):  # it ended
                continue
            seen = (now, int(ran) / 1e9, int(queued) / 1e9, thread.name)
            self._first.setdefault(task, seen)
            self._last[task] = seen

    def queued(self, prefix: str) -> float:
        """Seconds for which the threads of a name stood in the queue for a core."""
        return sum(
            queued - self._first[task][2]
            for task, (_, _, queued, name) in self._last.items()
            if name.startswith(prefix)
        )

    def blocked(self, prefix: str) -> tuple[float, float]:
        """(blocked, observed) seconds of the threads of a name, together."""
        blocked = observed = 0.0
        for task, (t1, ran1, queued1, name) in self._last.items():
            t0, ran0, queued0, _ = self._first[task]
            if name.startswith(prefix):
                observed += t1 - t0
                blocked += max(0.0, (t1 - t0) - (ran1 - ran0) - (queued1 - queued0))
        return blocked, observed


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of the service.

    Attributes:
        rate: pictures a second, from the call to the last row committed.
        foreign: cores that other processes took meanwhile.
        cpu_s: CPU seconds of this process a picture.
        core_s: seconds of a core that a picture needs, found without the clock on the wall: CPU, and for how long the chains
            were blocked; before they run, all cores for as long as the start takes. None where the system does not tell.
        start_s: until the chains ran.
        post: share of post-processing in a picture's time.
        result: what the service says.
    """

    rate: float
    foreign: float
    cpu_s: float
    core_s: float | None
    start_s: float
    post: float
    result: dict[str, Any]

    @property
    def running_rate(self) -> float:
        """Pictures a second once the job had started, as the other tools are timed."""
        n = int(self.result["pictures"])
        return n / (n / self.rate - self.start_s)

    def of(self, limit: Limit) -> float:
        """Share of the limit: by the clock on a quiet machine, else by seconds of a core."""
        if self.core_s is None or self.foreign < 0.05:
            return self.rate / limit.rate
        return (limit.run_s + limit.decode_s) / self.core_s


def prepare(home: Path, model: Path, pictures: Path) -> tuple[int, str]:
    """A workspace with the pictures and the model, and this machine's plan for it. (pictures, plan)."""
    ws = workspace.create(str(home))
    try:
        finish(ingest.run(ws, [pictures], dataset="bench"))
        row = onnx.add(ws, model, name="bench")
        with ws.db.read() as conn:
            data = queries.dataset(conn, "bench")
            known = queries.count_items(conn, Query(data.id))
        found = plans.measure(ws, row, Query(data.id), "cpu", PLAIN)
    finally:
        ws.close()
    tried = ", ".join(
        f"{p.chains}x{p.threads}" + (f" s{p.sessions}" if p.sessions > 1 else "") + (f" b{p.batch}" if p.batch > 1 else "") + f" {rate:.0f}/s"
        for p, rate in found.tried
    )  # fmt: skip
    return known, f"plan {found.plan} of {tried}"


def product(prepared: Path, home: Path, n: int) -> Measured:
    """The service on a copy of a prepared workspace, with OpenCV as a process that only predicts has it."""
    shutil.copytree(prepared, home)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    ws = workspace.open(str(home))
    idle, started, queued = Idle(), 0.0, 0.0
    try:
        idle.note()
        all_before, own_before, start = busy_seconds(), time.process_time(), time.perf_counter()
        result: dict[str, Any] = {}
        for event in prelabel.run(ws, "bench", "bench"):
            if isinstance(event, Finished):
                result = dict(event.result)
                break
            idle.note()
            if not started and idle.blocked("predict")[1] > 0:
                started, queued = time.perf_counter() - start - SAMPLE_S, idle.queued("MainThread")
        seconds = time.perf_counter() - start
        own = time.process_time() - own_before
        all_after = busy_seconds()
    finally:
        cv2.setNumThreads(threads)
        ws.close()
        shutil.rmtree(home)
    if result["pictures"] != n or result["undecodable"]:
        raise SystemExit(f"not all pictures were done: {result}")
    foreign = max(0.0, all_after - all_before - own) / seconds if all_after and all_before else 0.0
    busy = dict(result["busy"])
    work = sum(share for stage, share in busy.items() if stage != "wait")
    core_s = None
    if idle.known:
        blocked, observed = idle.blocked("predict")
        ran = seconds - started
        # All cores but one stand still while the job starts.
        core_s = (
            own + max(0.0, started - queued) * (usable_cores() - 1) + blocked / max(observed, 1e-9) * usable_cores() * ran
        ) / n  # fmt: skip
    return Measured(
        n / seconds, foreign, own / n, core_s, max(0.0, started), busy["boxes"] / max(work, 1e-9), result
    )

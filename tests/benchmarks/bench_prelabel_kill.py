"""10,000 pictures by shards, workers and their keeper killed at 30 random moments: the result is an undisturbed run's.

usage: bench_prelabel_kill.py [--pictures N] [--kills N] [--seed N]

Every kill is kill -9 of one worker or, one time in five, of the process that looks after them and merges. What is compared
is all that the live predictions say: picture, class, shape, box to 1/1000 px, score to a millionth, and their number.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2

from annotation import scenes
from app.services import ingest, jobs, onnx, orders, workspace
from app.services.runners import _born

DRAWN = 200
WH = (320, 180)
SHARDS = 100


def draw(folder: Path, n: int) -> None:
    """`n` different small pictures from `DRAWN` scenes: the last bytes of a JPEG are a comment that no decoder reads."""
    folder.mkdir(parents=True)
    kinds = [
        cv2.imencode(".jpg", scenes.draw(900_000 + i, WH).picture)[1].tobytes() for i in range(min(n, DRAWN))
    ]
    for i in range(n):
        note = f"picture {i}".encode()
        comment = b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note
        data = kinds[i % len(kinds)]
        (folder / f"{i:05d}.jpg").write_bytes(data[:2] + comment + data[2:])


def ready(home: Path, pictures: Path) -> None:
    """A workspace with the demonstration detector and the pictures registered."""
    with workspace.create(str(home)) as ws:
        onnx.add_demo(ws)
        for _ in ingest.run(ws, [pictures], dataset="d"):
            pass


def digest(home: Path) -> tuple[str, int, int]:
    """Digest of all that the live predictions say, their number, and the number of rows ever written."""
    with workspace.open(str(home)) as ws, ws.db.read() as conn:
        rows = conn.exec_driver_sql(
            "SELECT s.path, l.code, n.kind, n.x0, n.y0, n.x1, n.y1, n.geometry, n.score_micro, n.origin FROM annotation n "
            "JOIN asset s ON s.id = n.asset_id JOIN label l ON l.id = n.label_id WHERE n.died IS NULL "
            "ORDER BY 1, 2, 4, 5, 6, 7, 9"
        ).all()
        ever = int(conn.exec_driver_sql("SELECT count(*) FROM annotation").scalar_one())
    return hashlib.sha256(repr([tuple(r) for r in rows]).encode()).hexdigest(), len(rows), ever


def begin(home: Path, scratch: Path) -> subprocess.Popen[bytes]:
    """The same line again and again: it begins the job or goes on with it."""
    line = [
        "-w",
        str(home),
        "prelabel",
        "--dataset",
        "d",
        "--model",
        "demo",
        "--runner",
        "local:2",
        "--threads",
        "1",
    ]
    line += ["--shards", str(SHARDS), "--scratch", str(scratch)]
    return subprocess.Popen(
        [sys.executable, "-m", "app", *line], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )  # fmt: skip


def workers(home: Path) -> list[int]:
    """Ids of the workers that live."""
    with workspace.open(str(home)) as ws, ws.db.read() as conn:
        open_ones = [j for j in jobs.jobs.listing(conn, open_only=True) if j.kind == "prelabel"]
    work = orders.work_of(open_ones[0]) if open_ones else None
    found = [p for t in (work or {}).get("tickets", ()) for p in t["processes"]]
    return [pid for pid, born, _ in found if born and _born(pid) == born]


def finished_shards(scratch: Path) -> int:
    """How many shards have said that they are done."""
    return sum(len(list((d / "out").glob("[0-9]*.done.json"))) for d in scratch.glob("lamproom-*"))


def main() -> int:
    ask = argparse.ArgumentParser()
    ask.add_argument("--pictures", type=int, default=10_000)
    ask.add_argument("--kills", type=int, default=30)
    ask.add_argument("--seed", type=int, default=4)
    said = ask.parse_args()
    rng = random.Random(said.seed)
    with tempfile.TemporaryDirectory(prefix="bench-kill-") as name:
        base = Path(name)
        draw(base / "pictures", said.pictures)
        ready(base / "whole", base / "pictures")
        ready(base / "killed", base / "pictures")
        start = time.monotonic()
        if begin(base / "whole", base / "s1").wait():
            print("the undisturbed run did not end well")
            return 1
        whole_s = time.monotonic() - start
        expected = digest(base / "whole")
        kills = keepers = starts = 0
        start = time.monotonic()
        while True:
            keeper = begin(base / "killed", base / "s2")
            starts += 1
            begun = time.monotonic()
            moment = rng.uniform(0.3, max(2.0, 1.6 * whole_s / said.kills))
            while keeper.poll() is None:
                if kills < said.kills and time.monotonic() - begun > moment:
                    alive = workers(base / "killed")
                    if rng.random() < 0.2 or not alive:
                        keeper.send_signal(signal.SIGKILL)
                        kills, keepers = kills + 1, keepers + 1
                        keeper.wait()
                        break
                    os.kill(rng.choice(alive), signal.SIGKILL)
                    kills += 1
                    begun, moment = time.monotonic(), rng.uniform(0.1, max(1.0, 1.6 * whole_s / said.kills))
                try:
                    keeper.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
            if keeper.returncode == 0:
                break
            for pid in workers(base / "killed") if keeper.returncode == -9 and rng.random() < 0.5 else ():
                os.kill(
                    pid, signal.SIGKILL
                )  # half of the killed keepers take their workers with them, as a lost machine does
        seconds = time.monotonic() - start
        found = digest(base / "killed")
        left = [p.name for p in (base / "s2").iterdir()]
        with workspace.open(str(base / "killed")) as ws, ws.db.read() as conn:
            runs = int(
                conn.exec_driver_sql("SELECT count(*) FROM activity WHERE kind = 'prelabel run'").scalar_one()
            )
        same = found == expected
        print(
            f"{said.pictures} pictures, {expected[1]} predictions, {SHARDS} shards; undisturbed {whole_s:.1f} s; "
            f"{kills} kills ({keepers} of the keeper), {starts} starts, {seconds:.1f} s"
        )
        print(
            f"undisturbed {expected[0][:16]} {expected[1]} rows; killed {found[0][:16]} {found[1]} rows, {found[2]} ever written"
        )
        print(f"activities of shards: {runs} (bar {SHARDS}); left in the shared folder: {left or 'nothing'}")
        good = same and kills == said.kills and runs == SHARDS and not left and found[2] == expected[1]
        print("bit for bit the same" if good else "MISSED")
        return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

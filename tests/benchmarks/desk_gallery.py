"""The gallery at 1.5 million pictures with a prediction each: open, fling, jump, filter, sort, count, by object; memory.

usage: desk_gallery.py [--pictures N] [--keep DIR] [--show]

The workspace is that of desk_pictures, with objects. The real window is driven; a step is what a person's wheel or
scroll bar asks for, and lasts until nothing is left to be painted: wall time, and the interface thread's own CPU time.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from annotation.core import new_uid
from app.services import workspace
from app.services.workspace import Workspace
from storage import record
from storage.record import Content, Edit
from tests.benchmarks import desk_pictures

CHUNK = 5_000
BLOCK_MS, MEMORY_MB, FIRST_MS = 50.0, 600.0, 1000.0
LABELS = ("person", "helmet", "large_coal", "smoke")


def predict(ws: Workspace, n: int) -> None:
    """One prediction a picture, through the record's own code."""
    with ws.db.write() as conn:
        agent = record.agent(conn, "model", "drawn")
        act = record.start_activity(conn, "prelabel", agent.id, {}, model_digest=bytes(32), open_=False)
        numbers = record.label_ids(conn, LABELS)
    codes = list(numbers)
    rng = random.Random(4)
    step = None
    for first in range(1, n + 1, CHUNK):
        ids = range(first, min(first + CHUNK, n + 1))
        edits = []
        for a in ids:
            x, y = rng.randrange(1_600_000), rng.randrange(700_000)
            worn = rng.choice(["proper", "none", "unknown"])
            edits.append(Edit(opens=Content(
                bytes.fromhex(new_uid()), a, numbers[codes[a % 4]], 0, (x, y, x + 200_000, y + 300_000), None,
                f'{{"helmet_worn":"{worn}"}}' if a % 4 == 0 else None, rng.randrange(10**6), record.MODEL,
            )))  # fmt: skip
        with record.change(
            ws.db, agent_id=agent.id, activity_id=act, verb="prelabel", dataset_id=1, assets=ids, step=step, durable=False
        ) as draft:  # fmt: skip
            draft.annotate(edits)
        step = draft.step


def resident_mb() -> float:
    """Memory of this process now, what the mapped record shares with the page cache not counted."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kb = {x.split(":")[0]: int(x.split()[1]) for x in lines if x.startswith(("RssAnon", "RssShmem"))}
    return sum(kb.values()) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1_500_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    if not args.show:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    base = args.keep or Path(tempfile.mkdtemp(prefix="lamproom-gallery-"))
    os.environ["XDG_CONFIG_HOME"] = str(base / "config")
    from tests.benchmarks import seat

    bars = seat.Bars(f"{seat.where()}, load {os.getloadavg()[0]:.1f}")
    try:
        files = desk_pictures.draw_files(base / "files")
        for n in (100_000, args.pictures):
            place = base / f"G{n}"
            if not place.exists():
                desk_pictures.furnish(base / f"G{n}.part", base / "files", files, n)
                ws = workspace.open(str(base / f"G{n}.part"))
                predict(ws, n)
                ws.close()
                (base / f"G{n}.part").rename(place)
        first_row(base / "G100000", bars)
        flings(base / f"G{args.pictures}", bars)
    finally:
        if args.keep is None:
            shutil.rmtree(base, ignore_errors=True)
    return 0 if bars.met else 1


def first_row(place: Path, bars) -> None:
    """From asking for the workspace to the first row of its gallery painted."""
    from tests.benchmarks.seat import Seat

    at = Seat(place)
    gallery = at.window.gallery
    at.window.leave_workspace()
    at.until(lambda: at.desk.ws is None)
    at.rest()
    start = time.perf_counter()
    at.window.open_workspace(str(place))
    at.until(lambda: at.desk.dataset is not None)
    at.window.go("gallery")
    at.until(lambda: gallery.rows.known and gallery.rows.row(0) is not None)
    at.spin()
    bars(
        "first row of 100,000 pictures, from opening the workspace",
        1000 * (time.perf_counter() - start),
        FIRST_MS,
    )
    at.close()


def flings(place: Path, bars) -> None:
    """Everything a hand does to 1.5 million cells."""
    from tests.benchmarks.seat import Seat

    at = Seat(place)
    gallery, grid, desk = at.window.gallery, at.window.gallery.grid, at.desk
    bar = grid.verticalScrollBar()
    at.window.go("gallery")
    at.until(lambda: gallery.rows.known and gallery.rows.row(0) is not None)
    at.rest()
    empty = resident_mb()
    rng = random.Random(8)

    def measure(name: str, step, n: int = 400) -> None:
        times = at.times(step, n)
        print(f"  {name}: {times.said()}", flush=True)
        bars(f"gallery {name}, interface thread's own CPU at worst", float(times.cpu.max()), BLOCK_MS)
        bars(f"gallery {name}, wall at worst", float(times.wall.max()), BLOCK_MS)

    def wheel(_: int) -> None:
        bar.setValue(bar.value() + round(grid._step * 1.8))
        time.sleep(0.004)

    def jump(_: int) -> None:
        bar.setValue(rng.randrange(bar.maximum()))
        time.sleep(0.004)

    counting = desk.tasks.readers
    print(f"{gallery.rows.count:,} pictures; facets counted meanwhile: {not counting.idle}")
    measure("flung by the wheel", wheel)
    measure("dragged anywhere", jump)
    at.until(lambda: gallery.facets.share >= 1, 600)
    gallery.toggle_outlines()
    measure("flung with the objects drawn", wheel)
    gallery.toggle_outlines()

    def looked(name: str, ask) -> None:
        start = time.perf_counter()
        ask()
        at.until(
            lambda: gallery.rows.known and (gallery.rows.row(0) is not None or gallery.rows.complete), 120
        )
        at.spin()
        seen = 1000 * (time.perf_counter() - start)
        at.until(lambda: gallery.rows.complete, 600)
        whole = 1000 * (time.perf_counter() - start)
        print(
            f"  {name}: first rows {seen:.0f} ms, all {gallery.rows.count:,} listed {whole:.0f} ms",
            flush=True,
        )

    at.window.go("annotate")  # so that facets are not counted beside it
    at.rest()
    looked("class:helmet score<0.5", lambda: gallery.ask("class:helmet score<0.5"))
    looked("a text that two pictures have", lambda: gallery.ask("KJ-07_0012345"))
    looked("two Chinese characters", lambda: gallery.ask("采面"))
    looked("helmet_worn:none", lambda: gallery.ask("helmet_worn:none"))
    looked("all again", lambda: gallery.ask(""))
    looked("ordered by path", lambda: gallery.sort_by("path"))
    looked("ordered by score", lambda: gallery.sort_by("score"))
    looked("as added", lambda: gallery.sort_by(""))
    at.window.go("gallery")
    gallery.toggle_objects()
    at.until(lambda: gallery.rows.known and gallery.rows.row(0) is not None)
    measure("by object, flung while it is listed", wheel)
    measure("by object, dragged anywhere", jump)
    start = time.perf_counter()
    at.until(lambda: gallery.rows.complete and gallery.facets.share >= 1, 600)
    print(
        f"  listed and counted after {time.perf_counter() - start:.1f} s more; {gallery.rows.count:,} objects"
    )
    print(f"  memory: {empty:.0f} MB at the start, now {resident_mb():.0f} MB")
    bars("gallery memory", resident_mb(), MEMORY_MB, " MB")
    at.close()


if __name__ == "__main__":
    sys.exit(main())

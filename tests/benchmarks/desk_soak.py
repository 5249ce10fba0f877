"""Part of bench_desk: an hour of scripted work at full speed through the real window: memory, threads, every gesture kept.

usage: desk_soak.py [--gestures 20000] [--keep FOLDER]    With --keep a run that was stopped goes on where it was.

Draws boxes and polygons, moves, reshapes, relabels, deletes, undoes and redoes, steps through the pictures and zooms, as
fast as the desk takes it. Memory is what the process holds for itself (RssAnon): pages of the record's file that the
system maps are not ours.
"""

from __future__ import annotations

import argparse
import collections
import gc
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import sqlalchemy as sa
from PySide6.QtCore import QPointF, Qt

from annotation import scenes
from annotation.core import Box
from app.services import ingest, workspace
from tests.benchmarks.seat import Bars, Seat, where

PICTURES, WH = 60, (1920, 1080)
WARM = 2_000
STOPS = (1_000, 2_000, 5_000, 10_000, 20_000)
GROWTH_BAR = 10.0
BACKLOG = 12
CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
DECK = (
    ["box"] * 24 + ["polygon"] * 8 + ["move"] * 20 + ["reshape"] * 12 + ["relabel"] * 8 + ["delete"] * 9 + ["undo"] * 7
    + ["redo"] * 4 + ["zoom"] * 4 + ["next"] * 4
)  # fmt: skip


def memory() -> tuple[float, float]:
    """(private, all resident) memory of this process in MB."""
    found = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("RssAnon", "VmRSS"):
            found[name] = int(rest.split()[0]) / 1e3
    return found["RssAnon"], found["VmRSS"]


def furnish(home: Path) -> Path:
    """Sixty pictures in a workspace, unless they are there from a run before."""
    if (home / "W").exists():
        return home / "W"
    folder = home / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(PICTURES):
        picture = cv2.resize(scenes.draw(i, (480, 270)).picture, WH, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{i:03d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    with workspace.create(str(home / "W"), person="07") as ws:
        for _ in ingest.run(ws, [folder], dataset="soak"):
            pass
    return home / "W"


def changes(place: Path) -> int:
    """Changes in the record that a person made on a page: one a gesture."""
    with workspace.open(str(place)) as ws, ws.db.read() as conn:
        return int(
            conn.execute(sa.text("SELECT count(*) FROM change WHERE asset_id IS NOT NULL")).scalar_one()
        )


class Work:
    """The scripted person."""

    def __init__(self, seat: Seat, seed: int) -> None:
        self.seat, self.dice = seat, random.Random(seed)
        self.made = 0
        """Changes that were shown on the screen."""
        self.done: collections.Counter[str] = collections.Counter()
        self.forward = True

    def gesture(self) -> None:
        """One gesture; what it shows must be in the record."""
        seat, doc = self.seat, self.seat.doc
        seat.until(lambda: doc.pending < BACKLOG)
        what = self.dice.choice(DECK)
        if what in ("move", "reshape", "relabel", "delete") and not doc.annotations:
            what = "box"
        if what == "box" and len(doc.annotations) > 40:
            what = "delete"
        before = doc.annotations
        getattr(self, what)()
        seat.spin()
        self.done[what] += 1
        if what not in ("undo", "redo", "next", "zoom"):
            self.made += doc.annotations != before

    def _spot(self) -> QPointF:
        canvas, dice = self.seat.canvas, self.dice
        x, y = canvas.inside(
            *canvas.to_source(dice.uniform(60, canvas.width() - 60), dice.uniform(60, canvas.height() - 60))
        )
        return self.seat.point(x, y)

    def box(self) -> None:
        seat, dice = self.seat, self.dice
        seat.key("r")
        a = self._spot()
        seat.drag(a, a + QPointF(dice.uniform(20, 160), dice.uniform(20, 120)))

    def polygon(self) -> None:
        seat, dice = self.seat, self.dice
        seat.key("p")
        a = self._spot()
        for dx, dy in ((0, 0), (80, 10), (90, 70), (40, 100), (-20, 60)):
            seat.click(a + QPointF(dx * dice.uniform(0.6, 1.2), dy * dice.uniform(0.6, 1.2)))
            seat.move(a)
        seat.key(Qt.Key.Key_Return)

    def _take(self) -> Box | None:
        """Choose an object that is a box and lies in view; its box."""
        seat, doc = self.seat, self.seat.doc
        seat.key("v")
        found = [a for a in doc.annotations if isinstance(a.shape, Box)]
        if not found:
            return None
        one = self.dice.choice(found)
        assert isinstance(one.shape, Box)
        doc.select((one.uid,))
        seat.canvas.show_box(one.shape.x0, one.shape.y0, one.shape.x1, one.shape.y1)
        return one.shape

    def move(self) -> None:
        if (box := self._take()) is not None:
            a = self.seat.point((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
            self.seat.drag(a, a + QPointF(self.dice.uniform(-60, 60), self.dice.uniform(-40, 40)))

    def reshape(self) -> None:
        if (box := self._take()) is not None:
            a = self.seat.point(box.x1, box.y1)
            self.seat.move(a)
            self.seat.drag(a, a + QPointF(self.dice.uniform(-20, 60), self.dice.uniform(-20, 40)))

    def relabel(self) -> None:
        if self._take() is not None:
            self.seat.key(self.dice.choice("123456"))

    def delete(self) -> None:
        if self._take() is not None:
            self.seat.key(Qt.Key.Key_Delete)

    def _turn(self, possible: str, *keys: Qt.KeyboardModifier) -> None:
        doc = self.seat.doc
        self.seat.key(Qt.Key.Key_Escape)
        self.seat.until(lambda: doc.pending == 0)
        if getattr(doc, possible):
            held = keys[0]
            for more in keys[1:]:
                held |= more
            self.seat.key("z", held)
            assert doc.pending == 1
            self.made += 1
            self.seat.until(lambda: doc.pending == 0)

    def undo(self) -> None:
        self._turn("can_undo", CTRL)

    def redo(self) -> None:
        self._turn("can_redo", CTRL, SHIFT)

    def zoom(self) -> None:
        notches = 1 if self.dice.random() < 0.5 else -1
        for _ in range(3):
            self.seat.wheel(self._spot(), notches)
            self.seat.spin()
        if self.dice.random() < 0.3:
            self.seat.canvas.fit()

    def next(self) -> None:
        seat, doc = self.seat, self.seat.doc
        now = doc.asset_id
        if self.dice.random() < 0.1:
            self.forward = not self.forward
        seat.key("d" if self.forward else "a")
        if doc.asset_id == now:
            self.forward = not self.forward
            seat.key("d" if self.forward else "a")
        seat.until(lambda: doc.asset_id is not None and seat.ready(doc.asset_id))


def main(argv: Sequence[str] | None = None) -> int:
    """Work, and look at memory, threads and record at every stop; 0 when every bar is met."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--gestures", type=int, default=20_000)
    asked.add_argument("--keep", type=Path)
    asked.add_argument("--seed", type=int, default=7)
    given = asked.parse_args(argv)
    bars = Bars(where())
    with tempfile.TemporaryDirectory(prefix="lamproom-soak-") as scratch:
        home = given.keep or Path(scratch)
        os.environ["XDG_CONFIG_HOME"] = scratch
        os.environ["LAMPROOM_PERSON"] = "07"
        place = furnish(home)
        kept = home / "soak.json"
        first = json.loads(kept.read_text()) if kept.exists() else {"gestures": 0, "changes": 0}
        before = changes(place)
        lost = first["changes"] - before
        if first["gestures"]:
            print(
                f"going on after {first['gestures']:,} gestures, {before:,} changes in the record", flush=True
            )
        seat = Seat(place, (1600, 1000))
        seat.open(1)
        seat.doc.faulted.connect(lambda line, asset: print(f"refused on picture {asset}: {line}", flush=True))
        work = Work(seat, given.seed + first["gestures"])
        for asset_id in [
            *range(1, PICTURES + 1)
        ] * 2:  # what is kept of pictures is full before anything is compared
            seat.open(asset_id)
            seat.rest()
        base: tuple[float, int] | None = None
        worst = 0.0
        began = time.monotonic()
        for n in range(1, given.gestures + 1):
            work.gesture()
            if n in STOPS or n == given.gestures or n % 2_500 == 0:
                seat.rest()
                gc.collect()
                own, resident = memory()
                threads = sum(1 for _ in Path("/proc/self/task").iterdir())
                print(
                    f"{n:,} gestures, {n / (time.monotonic() - began):.1f} a second: own memory {own:.0f} MB "
                    f"(resident {resident:.0f}), {threads} threads, {work.made:,} changes shown, load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
                if base is None and n >= min(WARM, given.gestures // 2):
                    base = own, threads
                elif base is not None:
                    worst = max(worst, own)
                kept.write_text(
                    json.dumps({"gestures": first["gestures"] + n, "changes": before + work.made})
                )
        assert base is not None
        print("done: " + ", ".join(f"{k} {v:,}" for k, v in work.done.most_common()))
        threads = sum(1 for _ in Path("/proc/self/task").iterdir())
        seat.close()
        left = [t.name for t in threading.enumerate() if t.name.startswith("lamproom")]
        bars(
            "soak: growth of own memory after the warm-up",
            max(0.0, (worst / base[0] - 1) * 100),
            GROWTH_BAR,
            " %",
        )
        bars("soak: threads more than after the warm-up", max(0, threads - base[1]), 0, "")
        bars("soak: threads of the desk after it is closed", len(left), 0, "")
        found = changes(place) - before
        bars("soak: changes shown but not in the record", abs(work.made - found) + max(0, lost), 0, "")
        print(f"{work.made:,} changes shown, {found:,} in the record")
    return 0 if bars.met else 1


if __name__ == "__main__":
    sys.exit(main())

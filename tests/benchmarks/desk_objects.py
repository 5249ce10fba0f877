"""Part of bench_desk: pictures with 1,000, 5,000 and 20,000 polygons in the real window, on the platform it is started on.

usage: desk_objects.py [--peers FILE]    FILE: peers' figures as peers.py writes them, for the bar beside them.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
from PySide6.QtCore import QPointF, Qt

from annotation import scenes
from annotation.core import Annotation, Polygon
from app.services import ingest, labelling, workspace
from tests.benchmarks import peers
from tests.benchmarks.seat import Bars, Seat, Times, where

LARGE = (6000, 4000)
COUNTS = (5_000, 20_000)
CLASSES = ("large_coal", "conveyor_belt", "person", "gangue")
MIDDLE = Qt.MouseButton.MiddleButton


def polygons(n: int, wh: tuple[int, int], corners: int = 20) -> list[Polygon]:
    """`n` polygons of 12 to 120 px across, anywhere on the picture; the same at every call."""
    rng = np.random.default_rng(n)
    turn = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    size = 6 * 10 ** rng.uniform(0, 1, n)
    at = rng.uniform(0, 1, (n, 2)) * wh
    reach = size[:, None] * rng.uniform(0.7, 1.0, (n, corners))
    points = np.stack((at[:, :1] + reach * np.cos(turn), at[:, 1:] + reach * np.sin(turn)), 2).round(3)
    return [Polygon(((tuple(flat),),)) for flat in points.reshape(n, -1).tolist()]


def furnish(home: Path) -> Path:
    """A workspace: one picture for each count, and the peers' own crowded picture."""
    folder = home / "pictures"
    folder.mkdir()
    base = cv2.resize(scenes.draw(3, (1500, 1000)).picture, LARGE, interpolation=cv2.INTER_CUBIC)
    for i, n in enumerate(COUNTS):
        cv2.imwrite(str(folder / f"{i}-{n}.jpg"), np.roll(base, i, 0), [cv2.IMWRITE_JPEG_QUALITY, 90])
    cv2.imwrite(str(folder / "9-crowd.jpg"), scenes.draw(3, (peers.SIDE, peers.SIDE)).picture)
    crowd = [Polygon(((tuple(v for xy in ring for v in xy),),)) for ring in peers.crowd()]
    with workspace.create(str(home / "W"), person="07") as ws:
        for _ in ingest.run(ws, [folder], dataset="crowd"):
            pass
        for asset, shapes in enumerate([*(polygons(n, LARGE) for n in COUNTS), crowd], 1):
            found = tuple(Annotation(CLASSES[i % len(CLASSES)], s) for i, s in enumerate(shapes))
            labelling.save(ws, labelling.load(ws, asset), found, verb="draw polygon")
    return home / "W"


def hover(seat: Seat, n: int = 150) -> Times:
    """The mouse over the canvas in steps of 8 px, zigzag."""
    w, h = seat.canvas.width(), seat.canvas.height()
    span = w - 200
    seat.move(QPointF(100, 100))
    seat.rest()

    def step(i: int) -> None:
        along = 8.0 * i
        seat.move(QPointF(100 + along % span, h * 0.4 + 40 * (along // span)))

    return seat.times(step, n)


def pan(seat: Seat, n: int = 120) -> Times:
    """The picture pushed about with the middle button, 12 px a step, back and forth over more than the margin."""
    middle = QPointF(seat.canvas.width() / 2, seat.canvas.height() / 2)
    seat.press(middle, MIDDLE)
    seat.rest()
    at = [middle]

    def step(i: int) -> None:
        back = (i // 60) % 2
        at[0] = at[0] + QPointF(-12 if back else 12, -7 if back else 7)
        seat.move(at[0])

    found = seat.times(step, n)
    seat.release(at[0], MIDDLE)
    return found


def zoom(seat: Seat, n: int = 40) -> Times:
    """Ten notches in, ten out, again."""
    at = QPointF(seat.canvas.width() * 0.45, seat.canvas.height() * 0.55)
    seat.rest()
    return seat.times(lambda i: seat.wheel(at, 1 if (i // 10) % 2 == 0 else -1), n)


def vertex_drag(seat: Seat, n: int = 100) -> tuple[Times, Times, float]:
    """A vertex of a polygon in the middle pulled about: the steps, the drop, and ms from the drop to "saved"."""
    seat.annotate.set_tool("select")
    middle = QPointF(seat.canvas.width() / 2, seat.canvas.height() / 2)
    x, y = seat.canvas.to_source(middle.x(), middle.y())
    near = min(
        seat.doc.annotations, key=lambda a: abs(a.shape.parts[0][0][0] - x) + abs(a.shape.parts[0][0][1] - y)
    )
    seat.doc.select((near.uid,))
    seat.rest()
    ring = near.shape.parts[0][0]
    start = seat.point(ring[0], ring[1])
    seat.move(start)
    seat.press(start)

    def step(i: int) -> None:
        turn = i / 8
        seat.move(start + QPointF(4 * turn * math.cos(turn), 4 * turn * math.sin(turn)))

    steps = seat.times(step, n)
    drop = seat.times(lambda _: seat.release(start + QPointF(30, 20)), 1)
    began = time.perf_counter()
    seat.until(lambda: seat.doc.pending == 0)
    saved = (time.perf_counter() - began) * 1e3 + float(drop.wall[0])
    seat.rest()
    return steps, drop, saved


def bulk(seat: Seat) -> dict[str, Times]:
    """Select all, hover and pan so, recolour a class, hide a class, show it again."""
    found = {}
    everything = [a.uid for a in seat.doc.annotations]
    found["select all"] = seat.times(lambda _: seat.annotate.select_all(), 1)
    seat.rest()
    found["pan with all selected"] = pan(seat, 60)
    found["hover with all selected"] = hover(seat, 60)
    assert len(seat.doc.selection) == len(everything)
    seat.doc.select(())
    seat.rest()
    style = seat.desk.style()
    colours = {**style.colours, CLASSES[0]: "#ff00ff"}
    other = type(style)(colours, style.names)
    found["recolour a class"] = seat.times(lambda _: seat.canvas.set_style(other), 1)
    found["pan while it is drawn"] = pan(seat, 20)
    seat.canvas.set_style(style)
    seat.rest()
    found["hide a class"] = seat.times(lambda _: seat.doc.hide_labels([CLASSES[1]]), 1)
    seat.rest()
    found["show it again"] = seat.times(lambda _: seat.doc.show_all(), 1)
    seat.rest()
    return found


def commits(seat: Seat, n: int = 12) -> tuple[float, float]:
    """(median ms of the writer for one small gesture, median ms of the interface thread for it)."""
    taken: list[float] = []
    real = labelling.save

    def timed(*args, **more):
        began = time.perf_counter()
        try:
            return real(*args, **more)
        finally:
            taken.append((time.perf_counter() - began) * 1e3)

    labelling.save = timed
    try:
        seat.annotate.set_tool("box")
        own = []
        for i in range(n):
            a = QPointF(200 + 30 * i, 160)
            seat.press(a)
            seat.move(a + QPointF(24, 20))
            own.append(float(seat.times(lambda _, a=a: seat.release(a + QPointF(24, 20)), 1).wall[0]))
            seat.rest()
    finally:
        labelling.save = real
        seat.annotate.set_tool("select")
    assert len(taken) == n, (len(taken), n)
    return float(np.median(taken)), float(np.median(own))


def load(seat: Seat, asset_id: int) -> float:
    """Seconds from the key to the picture with all its objects on the screen."""
    began = time.perf_counter()
    seat.annotate.open(asset_id)
    seat.until(lambda: seat.ready(asset_id) and seat.canvas.settled.drawn)
    seat.spin()
    return time.perf_counter() - began


def measure(seat: Seat, asset_id: int, n: int, bars: Bars, *, full: bool) -> None:
    """All figures of one picture."""
    name = f"{n:,} polygons"
    taken = load(seat, asset_id)
    if full:
        bars(f"{name}: load", taken, 1.0, " s")
    else:
        print(f"{name}: loaded in {taken:.2f} s")
    seat.rest()
    gc.collect()
    over = hover(seat)
    print(f"{name}: hover {over.said()}")
    bars.steps(f"{name}: hover step", over, 95, 16 if full else 33)
    moved = pan(seat)
    zoomed = zoom(seat)
    seat.canvas.fit()
    seat.rest()
    print(f"{name}: pan {moved.said()}; zoom {zoomed.said()}")
    steps, drop, saved = vertex_drag(seat)
    print(f"{name}: vertex drag {steps.said()}; drop {drop.wall[0]:.1f} ms, saved after {saved:.0f} ms")
    writer, own = commits(seat)
    print(
        f"{name}: a drawn box costs the interface {own:.1f} ms, the writer {writer:.1f} ms (with the flush to disk)"
    )
    for what, found in bulk(seat).items():
        print(f"{name}: {what} {found.said()}")
    if full:
        bars.steps(f"{name}: vertex drag step", steps, 95, 16)
        for what, found in (("pan", moved), ("zoom", zoomed)):
            bars.steps(f"{name}: {what} frame", found, 50, 16)
            bars.steps(f"{name}: {what} frame", found, 95, 33)


def beside_peers(seat: Seat, asset_id: int, bars: Bars, figures: dict | None) -> None:
    """Hover over the peers' own picture, beside what it costs them."""
    load(seat, asset_id)
    seat.rest()
    seat.canvas.fit()
    found = hover(seat)
    print(f"{peers.CROWD:,} polygons: hover {found.said()}")
    if figures is None:
        return
    for tool, by_platform in figures["figures"].items():
        mine = by_platform.get(os.environ["QT_QPA_PLATFORM"], {})
        if "hover_ms" in mine:
            theirs = mine["hover_ms"]["mean"]
            bars(
                f"{peers.CROWD:,} polygons: hover, mean, of {tool}'s {theirs:.0f} ms",
                float(found.wall.mean()) / theirs,
                1 / 50,
                " of theirs",
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Furnish, sit down, measure, print; 0 when every bar is met."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--peers", type=Path)
    given = asked.parse_args(argv)
    figures = json.loads(given.peers.read_text()) if given.peers and given.peers.exists() else None
    bars = Bars(where())
    with tempfile.TemporaryDirectory(prefix="lamproom-bench-") as name:
        os.environ["XDG_CONFIG_HOME"] = name
        os.environ["LAMPROOM_PERSON"] = "07"
        seat = Seat(furnish(Path(name)))
        size = seat.canvas.size() * seat.canvas.devicePixelRatioF()
        print(
            f"-- {where()}: canvas {size.width()} x {size.height()} device px, load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
        try:
            beside_peers(seat, 3, bars, figures)
            measure(seat, 1, COUNTS[0], bars, full=True)
            measure(seat, 2, COUNTS[1], bars, full=False)
        finally:
            seat.close()
    print(f"load {os.getloadavg()[0]:.1f}")
    return 0 if bars.met else 1


if __name__ == "__main__":
    sys.exit(main())

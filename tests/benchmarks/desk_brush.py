"""Part of bench_desk: the brush on a 24-megapixel picture, at every size, from the mouse step to its pixels.

usage: desk_brush.py    or from bench_desk: `measure(seat, asset_id, bars)` on an open seat.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
from PySide6.QtCore import QPointF, Qt

from annotation import scenes
from annotation.core import Mask
from app.desktop.canvas.tools.brush import BrushTool
from app.services import ingest, workspace
from tests.benchmarks.seat import Bars, Seat, Times, where

WH = (6000, 4000)
SCREEN_PX = (5, 20, 60, 120, 400, 800)
"""Diameters of the brush on the screen."""
BAR_MS = 16.0


def furnish(home: Path) -> Path:
    """A workspace with one picture of 24 megapixels."""
    folder = home / "pictures"
    folder.mkdir()
    picture = cv2.resize(scenes.draw(3, (1500, 1000)).picture, WH, interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(folder / "large.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
    with workspace.create(str(home / "W"), person="07") as ws:
        for _ in ingest.run(ws, [folder], dataset="large"):
            pass
    return home / "W"


def stroke(seat: Seat, diameter_screen_px: float, form: str = "round", steps: int = 100) -> Times:
    """One stroke of 12 px a step, zigzag over the view, on the picture that is open; put back with Escape."""
    canvas = seat.canvas
    canvas.set_tool("brush")
    seat.doc.select(())
    canvas.ways.brush, canvas.ways.brush_form = diameter_screen_px / canvas.scale, form
    w, h = canvas.width(), canvas.height()
    seat.press(QPointF(w * 0.2, h * 0.4))
    seat.spin()
    span = w * 0.6

    def step(i: int) -> None:
        along = 12.0 * i
        seat.move(QPointF(w * 0.2 + along % span, h * 0.4 + 50 * (along // span) + 8 * (i % 3)))

    found = seat.times(step, steps)
    seat.key(Qt.Key.Key_Escape)
    seat.release(QPointF(w * 0.5, h * 0.5))
    return found


def measure(seat: Seat, asset_id: int, bars: Bars) -> None:
    """Steps of strokes at every size, whole picture in view and at one to one; the release and the encoding after it."""
    seat.open(asset_id)
    seat.annotate.canvas.allowed = lambda _label, _kind: True
    seat.rest()
    canvas = seat.canvas
    for name, look in (("whole picture", canvas.fit), ("1:1", lambda: canvas.zoom(1 / canvas.scale))):
        look()
        seat.rest()
        for px in SCREEN_PX:
            for form in ("round", "square") if px == 60 else ("round",):
                found = stroke(seat, px, form)
                print(f"brush {px:4d} px {form}, {name}: {found.said()}")
                bars(f"brush step p95, {px} px {form}, {name}", found.at(95), BAR_MS)
    canvas.fit()
    canvas.set_tool("brush")
    canvas.ways.brush, canvas.ways.brush_form = 200 / canvas.scale, "round"
    w, h = canvas.width(), canvas.height()
    seat.press(QPointF(w * 0.2, h * 0.4))
    for i in range(40):
        seat.move(QPointF(w * 0.2 + 12 * i, h * 0.4 + (40 if i % 2 else 0)))
    let_go = seat.times(lambda _: seat.release(QPointF(w * 0.6, h * 0.4)), 1)
    seat.rest()
    brush = canvas.tools["brush"]
    assert isinstance(brush, BrushTool) and not brush._waiting
    (made,) = [a for a in seat.doc.annotations if isinstance(a.shape, Mask)]
    print(f"release of a stroke: {let_go.said()}; {len(made.shape.counts)} runs")
    bars("brush release, interface thread", let_go.at(50), BAR_MS)
    again = seat.times(lambda _: (seat.press(QPointF(w * 0.3, h * 0.7)), seat.spin()), 1)
    print(f"first touch of the next stroke: {again.said()}")
    seat.release(QPointF(w * 0.3, h * 0.7))
    seat.rest()


def main() -> int:
    """Furnish, sit down, measure, print; 0 when every bar is met."""
    bars = Bars(where())
    with tempfile.TemporaryDirectory(prefix="lamproom-bench-") as name:
        os.environ["XDG_CONFIG_HOME"] = name
        os.environ["LAMPROOM_PERSON"] = "07"
        seat = Seat(furnish(Path(name)))
        size = seat.canvas.size() * seat.canvas.devicePixelRatioF()
        print(
            f"-- {where()}: canvas {size.width()} x {size.height()} device px, load {os.getloadavg()[0]:.1f}"
        )
        try:
            measure(seat, 1, bars)
        finally:
            seat.close()
    return 0 if bars.met else 1


if __name__ == "__main__":
    sys.exit(main())

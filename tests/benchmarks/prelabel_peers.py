"""X-AnyLabeling and ultralytics on the same pictures and files as the product, each in its own interpreter, in turns with it.

Environments: those of peers.py; `ultralytics` (with torch for the CPU) is looked for in the same folder and never installed.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
import peers
import prelabel_parts as parts

PICTURES, TURNS = 240, 3
SCORE, IOU, SIDE = 0.3, 0.45, 640


def compare(folder: Path, models: dict[str, Path], *, quick: bool = False) -> Iterator[tuple[str, float]]:
    """(name of the bar, product's rate over the tool's) for each tool that is here."""
    if "LAMPROOM_PEERS" not in os.environ:
        print("NOT MEASURED: other tools, LAMPROOM_PEERS is not set", file=sys.stderr, flush=True)
        return
    scratch = peers.scratch_folder()
    n, turns = (60, 1) if quick else (PICTURES, TURNS)
    pictures = folder / "peers"
    parts.write_pictures(pictures / "nested", n)
    flat = folder / "peers-flat"
    flat.mkdir()
    for path in (pictures / "nested").rglob("*.jpg"):
        os.link(path, flat / path.name)
    prepared = {}
    for key, model in models.items():
        prepared[key] = folder / f"peers-{key}"
        parts.prepare(prepared[key], model, pictures)
    python = scratch / "x-anylabeling" / "bin" / "python"
    if python.exists() and "yolox" in models:
        config = _config(folder, models["yolox"])

        def xany() -> dict[str, Any]:
            for old in flat.glob("*.json"):
                old.unlink()
            plan = {
                "name": "prelabel",
                "what": "prelabel",
                "folder": str(flat),
                "config": str(config),
                "limit_s": 300,
            }
            said = peers.drive(scratch, "x-anylabeling", python, "offscreen", plan)
            if "error" not in said and len(list(flat.glob("*.json"))) != n:
                said["error"] = f"it wrote {len(list(flat.glob('*.json')))} files for {n} pictures"
            return said

        yield from _turns("X-AnyLabeling, YOLOX-Nano", prepared["yolox"], folder, n, turns, xany)
    else:
        print(
            "NOT MEASURED: X-AnyLabeling: no environment (python tests/benchmarks/peers.py makes it), or no YOLOX-Nano",
            file=sys.stderr,
            flush=True,
        )
    python = scratch / "ultralytics" / "bin" / "python"
    if python.exists():

        def ultra() -> dict[str, Any]:
            for old in flat.glob("*.json"):
                old.unlink()
            plan = {
                "name": "predict", "folder": str(flat), "model": str(models["yolov8n"]), "score": SCORE, "iou": IOU, "side": SIDE,
                "limit_s": 600,
            }  # fmt: skip
            return peers.drive(scratch, "ultralytics", python, "offscreen", plan)

        yield from _turns("ultralytics, YOLOv8n's shape", prepared["yolov8n"], folder, n, turns, ultra)
    else:
        print(
            "NOT MEASURED: ultralytics, no environment of that name in LAMPROOM_PEERS",
            file=sys.stderr,
            flush=True,
        )


def _turns(
    name: str, prepared: Path, folder: Path, n: int, turns: int, peer: Callable[[], dict[str, Any]]
) -> Iterator[tuple[str, float]]:
    ratios = []
    for i in range(turns):
        before = parts.product(prepared, folder / f"turn-{i}a", n).running_rate
        said = peer()
        if "error" in said:
            print(f"NOT MEASURED: {name}: {said['error']}", file=sys.stderr, flush=True)
            return
        ours = (before + parts.product(prepared, folder / f"turn-{i}b", n).running_rate) / 2
        ratios.append(ours / said["pictures_per_s"])
        print(
            f"  {name} {said.get('version', '')}: {said['pictures_per_s']:.1f}/s, product {ours:.1f}/s, {ratios[-1]:.2f} times",
            flush=True,
        )
    yield f"product / {name}", statistics.median(ratios)


def _config(folder: Path, model: Path) -> Path:
    """X-AnyLabeling's description of a custom model."""
    proto = onnx.load(str(model), load_external_data=False)
    classes: Sequence[str] = [
        f"class {i}" for i in range(proto.graph.output[0].type.tensor_type.shape.dim[2].dim_value - 5)
    ]
    lines = [
        "type: yolox", "name: bench-yolox", "provider: bench", "display_name: bench", f"model_path: {model}", "p6: false",
        f"iou_threshold: {IOU}", f"conf_threshold: {SCORE}", "classes:", *(f"  - {c}" for c in classes),
    ]  # fmt: skip
    path = folder / "yolox.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path

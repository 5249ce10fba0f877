"""Drawn truth and predictions for the evaluation, the same for ever, and the figures pycocotools gives for them.

Run as a program where pycocotools is installed, it writes tests/annotation/golden_coco.json:
    python -m tests.support.judged
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation import geometry, raster, rle
from annotation.core import Annotation, Box, Mask, Polygon

GOLDEN = Path(__file__).resolve().parent.parent / "annotation" / "golden_coco.json"
CLASSES = ("person", "helmet", "vest")
WH = (320, 240)
CASES = tuple((by, seed) for by in ("box", "mask") for seed in range(6))


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: what is on it and what a model said."""

    truth: tuple[Annotation, ...]
    found: tuple[Annotation, ...]


def pictures(by: str, seed: int) -> list[Picture]:
    """Pictures with near and far hits, doubles, wrong classes, equal scores, crowds, empty ones; seed 5 is crowded."""
    rng = random.Random(f"{by} {seed}")
    out = []
    for _ in range(1 if seed == 5 else 24):
        truth, found = [], []
        for _ in range(rng.choice((0, 1, 2, 3, 6)) if seed != 5 else 60):
            label = rng.choice(CLASSES[:2]) if seed == 1 else rng.choice(CLASSES)
            box = _box(rng, large=seed == 2)
            crowd = {"iscrowd": True} if seed in (3, 4) and rng.random() < 0.2 else {}
            truth.append(Annotation(label, _shape(rng, box, by), crowd))
            for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
                far = rng.choice((0.0, 0.02, 0.05, 0.1, 0.2, 0.4))
                said = label if rng.random() < 0.85 else rng.choice(CLASSES)
                found.append(_said(rng, said, _moved(rng, box, far), by))
        loose = rng.choice((0, 0, 1, 2, 5)) if seed != 5 else 400
        found += [_said(rng, rng.choice(CLASSES), _box(rng), by) for _ in range(loose)]
        out.append(Picture(tuple(truth), tuple(found)))
    return out


def _said(rng: random.Random, label: str, box: Box, by: str) -> Annotation:
    score = rng.choice((round(rng.random(), 6), round(rng.random(), 1)))  # tenths: many equal ones
    return Annotation(label, _shape(rng, box, by), score=score, origin="model")


def _box(rng: random.Random, *, large: bool = False) -> Box:
    w, h = ((rng.uniform(90, 200), rng.uniform(90, 200)) if large or rng.random() < 0.15
            else (rng.uniform(4, 90), rng.uniform(4, 90)))  # fmt: skip
    x, y = rng.uniform(0, WH[0] - w), rng.uniform(0, WH[1] - h)
    if rng.random() < 0.3:  # whole pixels, so that overlaps are often exactly a threshold
        x, y, w, h = (float(round(v)) for v in (x, y, w, h))
    return Box(x, y, x + w, y + h)


def _moved(rng: random.Random, box: Box, far: float) -> Box:
    w, h = box.x1 - box.x0, box.y1 - box.y0
    x0, y0 = box.x0 + rng.uniform(-far, far) * w, box.y0 + rng.uniform(-far, far) * h
    return Box(x0, y0, x0 + w * (1 + rng.uniform(-far, far)), y0 + h * (1 + rng.uniform(-far, far)))


def _shape(rng: random.Random, box: Box, by: str) -> Box | Mask:
    if by == "box":
        return box
    x0, y0, x1, y1 = box.x0, box.y0, box.x1, box.y1
    cut = rng.uniform(0.1, 0.4)
    ring = (x0 + (x1 - x0) * cut, y0, x1, y0, x1, y1 - (y1 - y0) * cut, x0 + (x1 - x0) / 2, y1, x0, y1, x0, y0 + (y1 - y0) * cut)  # fmt: skip
    return raster.to_mask(Polygon(((ring,),)), width=WH[0], height=WH[1])


# -- pycocotools -----------------------------------------------------------------------------------------------------


def as_coco(data: list[Picture], by: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(ground truth, results) in COCO's JSON; ids from 1, because its program takes 0 for none."""
    given, said = [], []
    for i, picture in enumerate(data, 1):
        for a in picture.truth:
            crowd = int(a.attributes.get("iscrowd") is True)
            given.append({"id": len(given) + 1, "image_id": i, "category_id": 1 + CLASSES.index(a.label), "iscrowd": crowd,
                          "area": geometry.area(a.shape), **_geometry(a, by)})  # fmt: skip
        said += [
            {"image_id": i, "category_id": 1 + CLASSES.index(a.label), "score": a.score, **_geometry(a, by)}
            for a in picture.found
        ]
    images = [{"id": i, "width": WH[0], "height": WH[1]} for i in range(1, len(data) + 1)]
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES, 1)]
    return {"images": images, "categories": categories, "annotations": given}, said


def _geometry(a: Annotation, by: str) -> dict[str, Any]:
    box = geometry.bbox(a.shape) or Box(0, 0, 0, 0)
    out: dict[str, Any] = {"bbox": [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0]}
    if isinstance(a.shape, Mask):
        out = {"segmentation": {"size": [a.shape.h, a.shape.w], "counts": rle.to_text(a.shape.counts)}}
    return out


def by_pycocotools(truth: dict[str, Any], said: list[dict[str, Any]], by: str) -> dict[str, Any]:
    """The twelve figures, and AP and the precision at IoU 0.5 for every class (-1 becomes None)."""
    import contextlib
    import io

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes(said), "bbox" if by == "box" else "segm")
        run.evaluate()
        run.accumulate()
        run.summarize()
    precision = run.eval["precision"]  # thresholds, recalls, classes, areas, limits
    every = {}
    for k, category in enumerate(truth["categories"]):
        one = precision[:, :, k, 0, -1]
        defined = one[0, 0] > -1
        every[category["name"]] = {
            "ap": float(one.mean()) if defined else None,
            "curve50": [round(float(v), 9) for v in one[0]] if defined else None,
        }
    return {"coco": [None if v == -1 else float(v) for v in run.stats], "classes": every}


def main() -> int:
    """Write the golden figures."""
    out = {f"{by} {seed}": by_pycocotools(*as_coco(pictures(by, seed), by), by) for by, seed in CASES}
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in out.items())
    GOLDEN.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Every model of a zoo against what its own framework found with it on real pictures. LAMPROOM_ZOO names the zoo's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.models import zoo

ZOO = Path(os.environ.get("LAMPROOM_ZOO", ""))
FOUND = zoo.variants(ZOO) if os.environ.get("LAMPROOM_ZOO") else []
OURS = ("yolo", "yolo_ready", "yolo_anchors", "yolox")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far the figures may lie apart: pixels of the source picture, scores, share of a mask."""

    px: float = 0.1
    score: float = 1e-3
    corners: float = 1.0
    iou: float = 0.92
    extra: int = 0


LOOSER = {
    # 16-bit weights: on this file onnxruntime's own levels of optimisation are 1.5 px and 0.006 of score apart.
    "yolov8/detect-half": Bounds(px=2, score=0.01),
    # Their oriented boxes keep right angles where the two sides of a picture are scaled by a hair's breadth differently.
    "yolov8/obb": Bounds(px=1), "yolov8/obb-nms": Bounds(px=1),
    "yolo11/obb": Bounds(px=1), "yolo26/obb-e2e": Bounds(px=1),
    # YOLOX divides by the ratio that it asked for, we by the one that whole pixels allowed: half a pixel of the input.
    "yolox/nano-real": Bounds(px=1.6),
    # One of its boxes is turned inside out, and hides another there.
    "yolo26/obb": Bounds(px=1, extra=1),
    # YOLOv5 takes off a padding that it did not round: up to half a pixel of the input, 4 of these pictures each. Its masks go
    # through the sigmoid before they are enlarged, and their padding is cut on the prototypes' whole pixels, a fourth of the input's.
    "yolov5/detect": Bounds(px=3.2), "yolov5/seg": Bounds(px=3.2, iou=0.65),
}  # fmt: skip
MOST = 300
"""The frameworks give this many objects of a picture."""


@pytest.mark.skipif(not FOUND, reason="no zoo (set LAMPROOM_ZOO to a folder of models with expected.json)")
@pytest.mark.parametrize("folder", FOUND, ids=[f"{p.parent.name}/{p.name}" for p in FOUND])
def test_the_zoos_figures_are_ours(folder: Path) -> None:
    which = f"{folder.parent.name}/{folder.name}"
    if which.startswith("ppyolo") or "yolo" not in which or which in STRANGERS:
        pytest.skip(STRANGERS.get(which, "of another kind"))
    found = zoo.compared(folder, ZOO / "pictures", least=True, most=MOST)
    bounds = LOOSER.get(which, Bounds())
    if found.card.family not in OURS:
        pytest.skip(f"a model of {found.card.family}")
    print(which, found.line())
    assert found.expected > 0
    assert found.missing == 0, found.line()
    assert found.extra <= bounds.extra, found.line()
    assert found.px <= bounds.px, found.line()
    assert found.points <= bounds.px, found.line()
    assert found.corners <= bounds.corners, found.line()
    assert found.score <= bounds.score, found.line()
    if found.ious:
        assert sum(found.ious) / len(found.ious) >= bounds.iou, found.line()


STRANGERS = {
    "yolox/n": "its random weights give no numbers",
    "yolov7/t": "its runtime shrinks pictures with another filter, and random weights show it",
}

"""Every model of a zoo against what its own framework found with it on real pictures. LAMPROOM_ZOO names the zoo's folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from annotation.errors import InvalidInput
from models.recognise import recognise
from tests.models import zoo

ZOO = Path(os.environ.get("LAMPROOM_ZOO", ""))
FOUND = zoo.variants(ZOO) if os.environ.get("LAMPROOM_ZOO") else []


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


ANSWERS: Mapping[str, Mapping[str, str]] = {
    # How its maker fed it, which no file tells; the rest is as proposed.
    "transformers/deformable-detr": {"range": "imagenet"},
    "torchvision/ssd300": {"classes": "20"},
    # Random weights find its background class, too.
    "torchvision/retinanet": {"classes": "21", "first_class": "0"},
    "timm/mobilenetv3": {"fit": "stretch"}, "timm/embedding": {"fit": "stretch"},
    "smp/unet-binary": {"size": "256"},
}  # fmt: skip
LOOSER |= {
    # Levels of onnxruntime's optimisation against torch itself.
    "torchvision/ssdlite320": Bounds(px=0.02),
    # Its masks reach to the whole pixels of the input around a box, ours end at the box: cut alike they are the same (IoU 1.000).
    "torchvision/maskrcnn": Bounds(iou=0.9),
    # Pixels of Pillow's filter are off by one in 20,000.
    "yolov8/cls": Bounds(score=0.02), "yolo11/cls": Bounds(score=0.02),
    # See yolox/nano-real.
    "real/yolox_nano": Bounds(px=1.6),
    # One picture is 1333 px wide: OpenCV takes it as it is, and here the longest side is 1280.
    "real/yunet": Bounds(px=2, score=0.01),
}  # fmt: skip
EMPTY = ("torchvision/fasterrcnn-mobile",)
"""Whose random weights find nothing."""


@pytest.mark.skipif(not FOUND, reason="no zoo (set LAMPROOM_ZOO to a folder of models with expected.json)")
@pytest.mark.parametrize("folder", FOUND, ids=[f"{p.parent.name}/{p.name}" for p in FOUND])
def test_the_zoos_figures_are_ours(folder: Path) -> None:
    which = f"{folder.parent.name}/{folder.name}"
    if which in STRANGERS:
        pytest.skip(STRANGERS[which])
    # The package that made layout_cdla's figures feeds it blue first, its makers red first.
    change = (
        (lambda card: replace(card, colour="bgr")) if which == "real/layout_cdla" else (lambda card: card)
    )
    found = zoo.compared(
        folder,
        ZOO / "pictures",
        answers=ANSWERS.get(which),
        change=change,
        least=which.startswith("yolo"),
        most=MOST,
    )
    bounds = LOOSER.get(which, Bounds())
    print(which, found.card.family, found.line())
    assert found.expected > 0 or which in EMPTY
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
    "torchvision/keypointrcnn": "refused: it does not run where nobody is",
    "picodet/s": "its random scores are 0 or 1, so that its order is chance",
    "ppyoloe/s": "its random scores are all alike, so that its order is chance",
    "rtmdet/t": "its random corners are the wrong way round as often as not: asked",
    "efficientdet/d0": "its random boxes reach 1e20, and its scores are all 1",
    "real/ppocr": "a pipeline of two models, see test_reader.py",
}
"""What cannot be compared, and why."""


@pytest.mark.skipif(not FOUND, reason="no zoo (set LAMPROOM_ZOO to a folder of models with expected.json)")
def test_a_network_that_fails_where_nobody_is_is_refused() -> None:
    model = ZOO / "torchvision" / "keypointrcnn" / "model.onnx"
    if not model.is_file():
        pytest.skip("not in this zoo")
    with pytest.raises(InvalidInput, match="does not run"):
        recognise(model)

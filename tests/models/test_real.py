"""A real detector on real pictures, where the shared test data are present."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotation import quality
from annotation.core import Annotation, Box, Keypoints
from models import batch
from models.recognise import COCO_80, recognise
from storage import media


def test_yolox_nano_is_recognised_from_its_file(shared: Path) -> None:
    found = recognise(shared / "models" / "yolox_nano.onnx").card
    assert (found.family, found.input_wh, found.resize, found.colour) == (
        "yolox",
        (416, 416),
        "corner",
        "bgr",
    )
    assert found.labels == COCO_80
    assert (found.dynamic_hw, found.batch, found.name) == (False, 1, "yolox_nano")


def test_yunet_finds_the_faces_that_opencvs_own_reader_finds(shared: Path) -> None:
    model = shared / "models" / "yunet_n_dynamic.onnx"
    pictures = sorted((shared / "data" / "people-headwear-yolo").rglob("*.jpg"))[::4]
    boxes = recognise(model).card
    assert (boxes.family, boxes.task, boxes.resize, boxes.labels) == ("faces", "detect", "pad", ("face",))
    marks = recognise(model, answers={"give": "landmarks"}).card
    items = list(enumerate(pictures))
    both = [
        batch.predict(items, Path.read_bytes, model, card, decode=media.decode) for card in (boxes, marks)
    ]
    total = 0
    for one, other in zip(*both, strict=True):
        picture = media.decode(pictures[one.id].read_bytes())
        reader = cv2.FaceDetectorYN.create(str(model), "", one.wh, boxes.score, boxes.iou, 5000)
        _, rows = reader.detect(picture)
        want = [] if rows is None else sorted(rows.tolist(), key=lambda r: -r[14])
        assert len(one.annotations) == len(other.annotations) == len(want)
        total += len(want)
        for a, b, row in zip(one.annotations, other.annotations, want, strict=True):
            assert isinstance(a.shape, Box)
            assert isinstance(b.shape, Keypoints)
            x, y, w, h = row[:4]
            corners = np.clip([x, y, x + w, y + h], 0, [*one.wh, *one.wh])
            assert [a.shape.x0, a.shape.y0, a.shape.x1, a.shape.y1] == pytest.approx(
                corners.tolist(), abs=0.01
            )
            assert list(b.shape.points) == pytest.approx(row[4:14], abs=0.01)
            assert a.score == pytest.approx(row[14], abs=1e-4)
    print(f"{total} faces on {len(pictures)} pictures, the same as OpenCV's")
    assert total > 10


def test_yolox_nano_finds_the_worker_on_nearly_every_frame(shared: Path) -> None:
    folder = shared / "data" / "video-worker-zone"
    told = json.loads((folder / "instances.json").read_text(encoding="utf-8"))
    person = next(c["id"] for c in told["categories"] if c["name"] == "person")
    truth: dict[int, tuple[Annotation, ...]] = {image["id"]: () for image in told["images"]}
    for row in told["annotations"]:
        if row["category_id"] == person:
            x, y, w, h = row["bbox"]
            truth[row["image_id"]] += (Annotation("person", Box(x, y, x + w, y + h)),)
    files = [(image["id"], next(folder.rglob(Path(image["file_name"]).name))) for image in told["images"]]
    model = shared / "models" / "yolox_nano.onnx"
    run = batch.predict(files, Path.read_bytes, model, recognise(model).card, decode=media.decode)
    pages = [(truth[r.id], tuple(a for a in r.annotations if a.label == "person")) for r in run]
    found = quality.score(pages)["person"]
    print(f"person recall at IoU 0.5: {found.recall:.3f} of {found.truth}, precision {found.precision:.3f}")
    assert found.truth >= 50
    assert found.recall > 0.85

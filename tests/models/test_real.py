"""A real detector on real pictures, where the shared test data are present."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annotation import quality
from annotation.core import Annotation, Box
from annotation.errors import InvalidInput
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


def test_a_face_detector_with_twelve_outputs_is_refused_by_what_it_gives(shared: Path) -> None:
    with pytest.raises(InvalidInput, match="no known kind of model"):
        recognise(shared / "models" / "yunet_n_dynamic.onnx")


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

"""Files that other tools wrote: each is read with the counts that are in it, or refused by item, field and remedy."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from annotation import formats, geometry, marks
from annotation.core import Box, Keypoints, Mask, RotatedBox
from annotation.errors import LamproomError
from annotation.formats import FORMATS, Record, mot

READ = {
    "labelme/bbox_detection": ("labelme", 2, {"box": 6}),
    "labelme/classification": ("labelme", 1, {"tag": 1}),
    "labelme/instance_segmentation/data_annotated": ("labelme", 2, {"polygon": 15}),
    "labelme/primitives": ("labelme", 1, {"box": 2, "ellipse": 1, "polygon": 1, "polyline": 2, "points": 1, "mask": 1}),
    "labelme/tutorial": ("labelme", 1, {"polygon": 4}),
    "labelme/video_annotation": ("labelme", 2, {"polygon": 6}),
    "handwritten/xanylabeling": ("labelme", 1, {"box": 1, "polygon": 1, "polyline": 1, "points": 1, "rotated_box": 1}),
    "datumaro/cvat_dataset/for_images/export_project": ("cvat", 6, {"box": 3, "polyline": 3, "polygon": 3, "points": 3}),
    "datumaro/cvat_dataset/for_video": ("cvat", 4, {"box": 1, "points": 1, "polyline": 1}),
    "datumaro/datumaro_dataset/legacy": ("datumaro", 4, {"tag": 7}),
    "label-studio/test_export_coco": ("labelstudio", 1, {"box": 1, "polygon": 1, "points": 2}),
    "label-studio/test_export_json_min/data.json": ("labelstudio", 1, {"polygon": 1}),
    "label-studio/test_export_json_min/data_repeater.json": ("labelstudio", 3, {"box": 1}),
    "label-studio/test_export_yolo/data.json": ("labelstudio", 2, {"box": 6}),
    "label-studio/test_export_yolo/data_keypoints.json": ("labelstudio", 1, {"box": 1, "keypoints": 1}),
    "label-studio/test_export_yolo/data_obb.json": ("labelstudio", 3, {"rotated_box": 25}),
    "label-studio/test_export_yolo/data_polygons.json": ("labelstudio", 1, {"polygon": 1}),
    "datumaro/mot_dataset": ("mot", 1, {"box": 1}),
    "datumaro/mots_dataset": ("mot", 3, {"mask": 5}),
    "handwritten/mot-zero-based": ("mot", 2, {"box": 3}),
}  # fmt: skip
REFUSED = {
    "datumaro/cvat_dataset/for_images/export_task/train.xml": ("cvat", "image 'img0.jpg': polyline[1]: 2 problems, the first: label"),
    "label-studio/test_export_json_min/chat_data.json": ("labelstudio", "result[0]: 5 problems, the first: type is 'chatmessage'"),
    "handwritten/malformed/path-escape.labelme.json": ("labelme", "imagePath: the picture path '../../../../etc/hostname' leaves"),
}  # fmt: skip


@pytest.mark.parametrize("place", READ)
def test_a_file_of_another_tool_is_recognised_and_read(place: str, shared: Path) -> None:
    name, pictures, kinds = READ[place]
    path = shared / "data/formats" / place
    guess = formats.guess(path)
    assert guess.name == name, guess
    assert guess.why
    found: list[Record] = list(FORMATS[name].read(path))
    assert len(found) == pictures
    assert Counter(a.kind for r in found for a in r.annotations) == kinds
    assert all(a.origin == "import" for r in found for a in r.annotations)


@pytest.mark.parametrize("place", REFUSED)
def test_a_faulty_file_is_refused_by_item_field_and_remedy(place: str, shared: Path) -> None:
    name, words = REFUSED[place]
    with pytest.raises(LamproomError) as caught:
        list(FORMATS[name].read(shared / "data/formats" / place))
    assert words in caught.value.line
    assert caught.value.remedy


def test_every_malformed_file_is_refused_or_unknown_to_every_format_of_tools(shared: Path) -> None:
    for file in sorted((shared / "data/formats/handwritten/malformed").iterdir()):
        for name in ("labelme", "cvat", "datumaro", "labelstudio", "mot"):
            with pytest.raises(LamproomError) as caught:
                list(FORMATS[name].read(file))
            assert "\n" not in caught.value.line


def test_the_real_sequence_is_read_as_its_coco_twin_says(shared: Path) -> None:
    home = shared / "data/video-worker-zone"
    found = list(mot.read(home))
    twin = {Path(r.path).name: r for r in FORMATS["coco"].read(home / "instances.json")}
    assert len(found) == 71
    assert {a.label for r in found for a in r.annotations} == {"person", "helmet", "vest"}
    assert len({marks.track(a) for r in found for a in r.annotations}) == 3
    for record in found:
        other = twin[Path(record.path).name]
        assert (record.width, record.height) == (other.width, other.height) == (480, 270)
        ours = sorted((a.label, str(geometry.bbox(a.shape))) for a in record.annotations)
        assert ours == sorted((a.label, str(geometry.bbox(a.shape))) for a in other.annotations)


def test_values_of_real_files_are_what_their_tools_show(shared: Path) -> None:
    data = shared / "data/formats"
    (record,) = FORMATS["labelme"].read(data / "labelme/primitives")
    mask = next(a.shape for a in record.annotations if isinstance(a.shape, Mask))
    assert (mask.w, mask.h) == (560, 450)
    assert geometry.bbox(mask) == Box(417, 305, 517, 405)
    (record,) = FORMATS["labelme"].read(data / "handwritten/xanylabeling")
    turned = next(a.shape for a in record.annotations if isinstance(a.shape, RotatedBox))
    assert turned.degrees == pytest.approx(14.0, abs=0.5)
    (record,) = FORMATS["labelstudio"].read(data / "label-studio/test_export_yolo/data_keypoints.json")
    points = next(a.shape for a in record.annotations if isinstance(a.shape, Keypoints))
    assert len(points.visibility) == 17
    assert points.points[:2] == pytest.approx((139.2, 68.366), abs=0.01)
    found = list(FORMATS["cvat"].read(data / "datumaro/cvat_dataset/for_images/export_project"))
    first = found[0].annotations[0]
    assert dict(first.attributes) == {
        "a1": True,
        "a2": "v3",
        "a3": "0003",
        "a4": "2.4",
        "occluded": True,
        "@order": 1,
    }
    assert [r.split for r in found] == ["test", "test", "train", "train", "val", "val"]

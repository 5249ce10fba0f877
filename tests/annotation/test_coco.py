"""COCO: foreign files of several tools, every fault of a broken one, masks and keypoints there and back."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation import geometry, labels, rle, rows
from annotation.core import (
    Annotation,
    Box,
    Caption,
    Cuboid,
    Ellipse,
    Keypoints,
    Mask,
    Points,
    Polygon,
    Polyline,
    Quad,
    RotatedBox,
)
from annotation.errors import InvalidFile, InvalidInput, LamproomError
from annotation.formats import Record, base, coco
from tests.annotation.strategies import patient

SCHEMA = labels.load("coal_mine")
GOOD: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}],
    "categories": [{"id": 1, "name": "person"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40.5], "area": 1215, "iscrowd": 0},
        {
            "id": 2,
            "image_id": 1,
            "category_id": 1,
            "segmentation": [[1, 1, 9, 1, 9, 9]],
            "attributes": {"occluded": True},
        },
    ],
}


def put(tmp_path: Path, data: object) -> Path:
    file = tmp_path / "instances_val.json"
    file.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return file


def faults(file: Path) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        list(coco.read(file))
    assert all("\n" not in p.line for p in caught.value.problems)
    return [p.line for p in caught.value.problems]


def body(shape: Any) -> dict[str, Any]:
    return GOOD | {"annotations": [{"id": 1, "image_id": 1, "category_id": 1} | shape]}


def test_the_worker_frames_are_read_whole(shared: Path) -> None:
    records = list(coco.read(shared / "data/video-worker-zone/instances.json"))
    found = base.census(records)
    assert (found.records, found.annotations) == (71, 213)
    assert found.labels == {"person": 71, "helmet": 71, "vest": 71}
    assert records[0].path == "img1/000001.jpg"
    assert {a.origin for r in records for a in r.annotations} == {"import"}
    assert {a.attributes["track_id"] for a in records[0].annotations} <= {1, 2, 3}


def test_masks_of_both_kinds_have_the_area_and_box_the_file_says(shared: Path) -> None:
    file = shared / "data/formats/handwritten/coco-rle/instances.json"
    rows = json.loads(file.read_text())["annotations"]
    (record,) = coco.read(file)
    for a, row in zip(record.annotations, rows, strict=True):
        assert isinstance(a.shape, Mask)
        assert geometry.area(a.shape) == row["area"]
        x, y, w, h = row["bbox"]
        assert geometry.bbox(a.shape) == Box(x, y, x + w, y + h)
        assert ("iscrowd" in a.attributes) == bool(row["iscrowd"])


def test_files_of_another_tool_are_read_and_a_png_of_another_size_refused_by_name(shared: Path) -> None:
    root = shared / "data/formats/datumaro/coco_dataset"
    kinds = [a.kind for r in coco.read(root / "coco_instances") for a in r.annotations]
    assert sorted(kinds) == ["box", "mask", "polygon"]
    assert {r.split for r in coco.read(root / "coco_instances")} == {"train", "val"}
    points = [
        a.shape
        for r in coco.read(root / "coco_person_keypoints")
        for a in r.annotations
        if a.kind == "keypoints"
    ]
    assert points
    with pytest.raises(
        InvalidFile, match=r"annotations\[0\]: a.png has 5 x 5 px, the picture 10 x 5 \(the PNG"
    ):
        list(coco.read(root / "coco_panoptic"))


@pytest.mark.parametrize("name", ["nan", "orphan", "truncated"])
def test_broken_files_are_refused_before_the_first_record(shared: Path, name: str) -> None:
    file = shared / f"data/formats/handwritten/malformed/{name}.coco.json"
    lines = faults(file)
    assert all(line.startswith(file.name) for line in lines)
    if name == "orphan":
        assert len(lines) == 4, lines


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (body({"bbox": [0, 0, -5, 5]}), "negative"),
        (body({"bbox": [0, 0, 5]}), "bbox"),
        (body({"bbox": "0 0 5 5"}), "bbox"),
        (body({"bbox": [0, 0, True, 5]}), "no number"),
        (body({"bbox": [0, 0, 1e308, 1e308]}), "cannot be stored"),
        (body({}), "neither"),
        (body({"bbox": [0, 0, 5, 5], "category_id": 9}), "category_id is 9"),
        (body({"bbox": [0, 0, 5, 5], "category_id": [1]}), "category_id is [1]"),
        (body({"bbox": [0, 0, 5, 5], "image_id": {}}), "image_id"),
        (body({"bbox": [0, 0, 5, 5], "image_id": 5}), "no image 5"),
        (body({"bbox": [0, 0, 5, 5], "id": 1.5}), "id"),
        (body({"bbox": [0, 0, 5, 5], "score": 3}), "score is 3"),
        (body({"bbox": [0, 0, 5, 5], "iscrowd": 2}), "iscrowd"),
        (body({"bbox": [0, 0, 5, 5], "attributes": [1]}), "attributes"),
        (body({"segmentation": [[1, 1, 2, 2]]}), "at least 3"),
        (body({"segmentation": [[1, 1, 2, 2, 3]]}), "numbers"),
        (body({"segmentation": [1, 1, "x", 2, 3, 3]}), "no number"),
        (body({"segmentation": "abc"}), "segmentation"),
        (body({"segmentation": {"size": [80, 100], "counts": [8001]}}), "cover 8001"),
        (body({"segmentation": {"size": [9, 9], "counts": [81]}}), "a mask of 9 x 9"),
        (body({"segmentation": {"size": [80, 100], "counts": "~~~"}}), "compressed"),
        (body({"segmentation": {"size": [80, 100], "counts": None}}), "counts"),
        (body({"segmentation": {"size": [0, 0], "counts": []}}), "size"),
        (body({"segmentation": {"size": "80x100", "counts": []}}), "size"),
        (body({"keypoints": [1, 2], "bbox": [0, 0, 5, 5]}), "keypoints"),
        (body({"keypoints": [1, 2, 7], "bbox": [0, 0, 5, 5]}), "visibility"),
        (GOOD | {"images": [{"id": 1, "file_name": "../../etc/passwd"}]}, "leaves its folder"),
        (GOOD | {"images": [{"id": 1, "file_name": 7}]}, "no text"),
        (GOOD | {"images": [{"id": 1, "file_name": "a.jpg", "width": -4, "height": 2}]}, "width"),
        (GOOD | {"images": [{"id": 1, "file_name": "a.jpg", "width": 1e30, "height": 2}]}, "width"),
        (GOOD | {"images": GOOD["images"] * 2}, "there twice"),
        (GOOD | {"images": [*GOOD["images"], {"id": 2, "file_name": "./a.jpg"}]}, "there twice"),
        (GOOD | {"images": [{"file_name": "a.jpg"}]}, "id"),
        (GOOD | {"images": [3]}, "id"),
        (GOOD | {"images": {}}, "expected form"),
        (GOOD | {"categories": [{"id": 1, "name": " "}]}, "name"),
        (GOOD | {"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "there twice"),
        (GOOD | {"categories": ["person"]}, "categories[0]"),
        (GOOD | {"annotations": ["x"]}, "not an object"),
        (GOOD | {"annotations": GOOD["annotations"][:1] * 2}, "there twice"),
        ({}, "there are none"),
        ([], "expected form"),
        (b"", "JSON"),
        (b'{"images": [' + b"[" * 100_000, "JSON"),
        (b'{"images": []} {', "JSON"),
        ('{"images":[],"类":"'.encode("gb18030"), "JSON"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_place(tmp_path: Path, data: object, says: str) -> None:
    lines = faults(put(tmp_path, data))
    assert any(says in line for line in lines), lines


def test_all_faults_are_told_at_once_and_nothing_is_yielded(tmp_path: Path) -> None:
    data = copy.deepcopy(GOOD)
    data["annotations"] += [{"id": n, "image_id": 1, "category_id": 1, "bbox": [0]} for n in range(10, 300)]
    with pytest.raises(InvalidFile) as caught:
        next(coco.read(put(tmp_path, data)))
    assert len(caught.value.problems) + caught.value.more == 290
    assert "290 problems" in caught.value.line


def test_with_a_list_for_problems_the_sound_rest_is_read(tmp_path: Path) -> None:
    data = copy.deepcopy(GOOD)
    data["annotations"].append({"id": 9, "image_id": 1, "category_id": 1, "bbox": [0]})
    problems: list[LamproomError] = []
    (record,) = coco.read(put(tmp_path, data), problems=problems)
    assert [a.kind for a in record.annotations] == ["box", "polygon"]
    assert [p.where for p in problems] == ["instances_val.json: annotations[2]"]


def test_a_file_with_mark_and_without_optional_members_is_read(tmp_path: Path) -> None:
    data = {"images": [{"id": "x", "file_name": "a.jpg"}], "annotations": [], "categories": []}
    (record,) = coco.read(put(tmp_path, b"\xef\xbb\xbf" + json.dumps(data).encode()))
    assert record == Record("a.jpg", None, None, (), "val")
    (sized,) = coco.read(tmp_path / "instances_val.json", sizes=lambda path: (7, 9))
    assert (sized.width, sized.height) == (7, 9)


def test_shapes_come_back_as_they_are_or_as_the_losses_say(tmp_path: Path) -> None:
    ring, hole = (
        (10.0, 10.0, 50.0, 10.0, 50.0, 50.0, 10.0, 50.0),
        (20.0, 20.0, 30.0, 20.0, 30.0, 30.0, 20.0, 30.0),
    )
    two = Polygon(((ring,), ((60.0, 60.0, 70.0, 60.0, 70.0, 70.0),)))
    kept = [
        Box(1.0, 2.0, 30.5, 40.125), Box(-5.0, -5.0, 10.0, 10.0), two, Mask(100, 80, (80, 80, 7840)), Mask(100, 80, (8000,)),
        Keypoints((1.0, 2.0, 3.0, 4.0, 0.0, 0.0), (2, 1, 0)),
    ]  # fmt: skip
    changed = [
        RotatedBox(50, 50, 20, 10, 90),
        Polyline((0, 0, 20, 10)),
        Points((1, 2)),
        Polygon(((ring, hole),)),
    ]
    record = Record(
        "a.jpg",
        100,
        80,
        tuple(Annotation("person", s, {"iscrowd": True, "unsure": False}, 0.25) for s in kept + changed),
    )
    (path,) = coco.write([record], tmp_path, schema=SCHEMA, name="t")
    (got,) = coco.read(path)
    assert [a.shape for a in got.annotations[: len(kept)]] == kept
    assert {(tuple(sorted(a.attributes.items())), a.score) for a in got.annotations} == {
        ((("iscrowd", True), ("unsure", False)), 0.25)
    }
    turned, line, point, ringed = (a.shape for a in got.annotations[len(kept) :])
    assert geometry.bbox(turned) == Box(45, 40, 55, 60)
    assert isinstance(turned, Polygon)
    assert line == Box(0, 0, 20, 10)
    assert point == Keypoints((1, 2), (2,))
    assert isinstance(ringed, Mask)
    assert geometry.area(ringed) == 1500
    assert not rle.decode(ringed)[25, 25]


def test_kinds_that_coco_does_not_know_become_outlines_and_marks_stay_behind(tmp_path: Path) -> None:
    corners = (10.0, 10.0, 30.0, 12.0, 28.0, 40.0, 8.0, 38.0)
    shapes = (Quad(corners), Ellipse(50, 40, 20, 10, 30), Cuboid((*corners, *(v + 5 for v in corners))))
    found = [
        Annotation("person", shape, {"@order": 3, "@group": "a" * 32, "unsure": True}) for shape in shapes
    ]
    record = Record("a.jpg", 100, 80, (*found, Annotation("scene_description", Caption("一句话"))))
    lost = {loss.what.split(":")[0]: loss.n for loss in coco.losses([record], SCHEMA)}
    assert lost == {
        "captions": 1, "quadrilaterals": 1, "ellipses": 1, "cuboids": 1, "groups": 3, "order in depth": 3,
    }  # fmt: skip
    (path,) = coco.write([record], tmp_path, schema=SCHEMA, name="t")
    (got,) = coco.read(path)
    assert len(got.annotations) == 3
    for a, b in zip(got.annotations, found, strict=True):
        assert isinstance(a.shape, Polygon)
        assert geometry.area(a.shape) == pytest.approx(geometry.area(b.shape), rel=0.02)
        assert dict(a.attributes) == {"unsure": True}


def test_a_category_names_the_points_of_its_template_and_their_edges(tmp_path: Path) -> None:
    full = Annotation("person", Keypoints((5.0, 5.0) * 17, (2,) * 17))
    (path,) = coco.write([Record("a.jpg", 100, 80, (full,))], tmp_path, schema=SCHEMA, name="t")
    person = next(c for c in json.loads(path.read_text())["categories"] if c["name"] == "person")
    assert person["keypoints"][:2] == ["nose", "left_eye"]
    assert person["skeleton"][:2] == [[16, 14], [14, 12]]
    assert len(person["skeleton"]) == 19


def test_an_entry_with_keypoints_and_a_box_of_its_own_becomes_two_annotations(tmp_path: Path) -> None:
    (record,) = coco.read(put(tmp_path, body({"bbox": [0, 0, 50, 50], "keypoints": [10, 10, 2, 0, 0, 0]})))
    assert [a.shape for a in record.annotations] == [Keypoints((10, 10, 0, 0), (2, 0)), Box(0, 0, 50, 50)]
    (alone,) = coco.read(put(tmp_path, body({"bbox": [10, 10, 0, 0], "keypoints": [10, 10, 2, 0, 0, 0]})))
    assert [a.kind for a in alone.annotations] == ["keypoints"]


def test_what_is_written_is_plain_json_with_numbers_that_fit(tmp_path: Path) -> None:
    record = Record(
        "a.jpg",
        100,
        80,
        (
            Annotation("person", Box(0.1, 0.2, 0.3, 0.7)),
            Annotation("person", Keypoints((1, 2, 3, 4), (2, 2))),
        ),
        "train",
    )
    (path,) = coco.write([record], tmp_path, schema=SCHEMA, name="面 3")
    assert path == tmp_path / "annotations/instances_train.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["annotations"][0]["bbox"] == [0.1, 0.2, 0.2, 0.5]
    assert [c["id"] for c in data["categories"]] == list(range(1, len(data["categories"]) + 1))
    person = data["categories"][0]
    assert (person["name"], person["name_zh"], person["keypoints"]) == ("person", "人员", ["0", "1"])
    assert data["info"]["description"] == "面 3"


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "size", "counts", "bbox", "name"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A sound file with a few values anywhere in it exchanged, taken out, or the bytes cut."""
    data = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(1, 3))):
        at: Any = data
        while True:
            key = (
                draw(st.sampled_from(sorted(at)))
                if isinstance(at, dict) and at
                else draw(st.integers(0, len(at) - 1))
                if at
                else None
            )
            if key is None:
                break
            if isinstance(at[key], dict | list) and at[key] and draw(st.integers(0, 4)):
                at = at[key]
                continue
            if draw(st.booleans()) or isinstance(at, list):
                at[key] = draw(junk)
            else:
                del at[key]
            break
    text = json.dumps(data).encode("utf-8", "surrogatepass")
    return text[: draw(st.integers(0, len(text)))] if draw(st.integers(0, 5)) == 0 else text


@patient
@given(broken() | st.binary(max_size=80))
def test_any_damage_is_a_named_problem_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.json"
    file.write_bytes(data)
    coco.sniff(file)
    try:
        records = list(coco.read(file))
    except InvalidInput as error:
        assert error.line.startswith("fuzz.json")
        assert len(error.line) < 600
        return
    for record in records:
        for a in record.annotations:
            rows.to_row(a.shape)
    known = labels.extend(SCHEMA, {a.label for r in records for a in r.annotations}, "fuzz")
    assert known.version in (1, 2)


def test_an_array_of_a_painted_mask_survives(tmp_path: Path) -> None:
    table = (np.add.outer(np.arange(80), np.arange(100)) % 7 == 0).astype(np.uint8)
    record = Record("a.jpg", 100, 80, (Annotation("smoke", rle.encode(table)),))
    (path,) = coco.write([record], tmp_path, schema=SCHEMA, name="t")
    (got,) = coco.read(path)
    shape = got.annotations[0].shape
    assert isinstance(shape, Mask)
    assert (rle.decode(shape) == table).all()

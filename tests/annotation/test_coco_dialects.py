"""COCO's other files: panoptic and captions both ways, entries in any order, blocks, and what other tools make of ours."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from annotation import formats, geometry, labels, rle
from annotation.core import Annotation, Box, Caption, Ellipse, Keypoints, Mask, Polygon, RotatedBox
from annotation.errors import InvalidFile, InvalidInput
from annotation.formats import Record, coco, jsonblocks
from tests.annotation.strategies import patient
from tests.support.peers import ask, peer

SCHEMA = labels.load("coal_mine")
WH = (64, 48)


def mask(x0: int, y0: int, x1: int, y1: int) -> Mask:
    table = np.zeros((WH[1], WH[0]), np.uint8)
    table[y0:y1, x0:x1] = 1
    return rle.encode(table)


def written(tmp_path: Path, records: list[Record], dialect: str = "") -> Path:
    coco.write(records, tmp_path, schema=SCHEMA, name="t", dialect=dialect)
    return tmp_path


# --- panoptic


def test_areas_of_a_panoptic_picture_come_back_pixel_for_pixel(tmp_path: Path) -> None:
    found = (
        Annotation("person", mask(2, 3, 20, 30)),
        Annotation("large_coal", Polygon(((((30.0, 10.0, 50.0, 10.0, 50.0, 40.0, 30.0, 40.0)),),))),
        Annotation("person", mask(0, 40, 64, 48), {"iscrowd": True}),
    )
    out = written(tmp_path, [Record("face 3/面 1.jpg", *WH, found, "val")], "panoptic")
    (got,) = coco.read(out)
    assert (got.path, got.width, got.height, got.split) == ("face 3/面 1.jpg", *WH, "val")
    assert [(a.label, a.shape) for a in got.annotations] == [
        ("person", mask(2, 3, 20, 30)), ("large_coal", mask(30, 10, 50, 40)), ("person", mask(0, 40, 64, 48)),
    ]  # fmt: skip
    assert [bool(a.attributes.get("iscrowd")) for a in got.annotations] == [False, False, True]
    data = json.loads((out / "annotations/panoptic_val.json").read_text())
    assert [s["area"] for s in data["annotations"][0]["segments_info"]] == [18 * 27, 20 * 30, 64 * 8]
    assert data["annotations"][0]["segments_info"][0]["bbox"] == [2, 3, 18, 27]


def test_a_later_object_covers_an_earlier_one_and_what_is_covered_is_not_written(tmp_path: Path) -> None:
    found = (
        Annotation("person", mask(0, 0, 10, 10)), Annotation("smoke", mask(5, 5, 20, 20)),
        Annotation("fire", mask(6, 6, 8, 8)), Annotation("fire", mask(6, 6, 9, 9)),
        Annotation("person", Box(1, 1, 9, 9)), Annotation("fire", Ellipse(50, 30, 5, 4)), Annotation("fire", RotatedBox(30, 40, 8, 4, 0)),
    )  # fmt: skip
    (got,) = coco.read(written(tmp_path, [Record("a.jpg", *WH, found)], "panoptic"))
    assert [a.label for a in got.annotations] == ["person", "smoke", "fire", "fire", "fire"]
    assert geometry.area(got.annotations[0].shape) == 75
    lost = {
        loss.what.split(":")[0]: loss.n
        for loss in coco.losses([Record("a.jpg", *WH, found)], SCHEMA, "panoptic")
    }
    assert lost == {"boxes": 1, "rotated boxes": 1, "ellipses": 1, "masks": 4}


def test_a_picture_without_size_is_a_loss_and_refused_by_panoptic(tmp_path: Path) -> None:
    record = Record("a.jpg", None, None, ())
    assert [loss.what for loss in coco.losses([record], SCHEMA, "panoptic")] == [
        "pictures of unknown size: refused"
    ]
    with pytest.raises(InvalidInput, match="size"):
        written(tmp_path, [record], "panoptic")
    with pytest.raises(InvalidInput, match="share one file"):
        written(tmp_path, [Record("a.jpg", *WH, ()), Record("a.png", *WH, ())], "panoptic")
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d, png: png.unlink(), "is missing"),
        (lambda d, png: png.write_bytes(b"no picture"), "no PNG"),
        (lambda d, png: Image.new("RGB", (5, 5)).save(png), "5 x 5 px, the picture 64 x 48"),
        (lambda d, png: Image.new("RGB", WH, (9, 0, 0)).save(png), "the segment 1 is not in"),
        (lambda d, png: d["annotations"][0]["segments_info"].clear(), "which is no segment"),
        (
            lambda d, png: d["annotations"][0]["segments_info"][0].update(category_id=999),
            "category_id is 999",
        ),
        (lambda d, png: d["annotations"][0].update(file_name="../../a.png"), "leaves its folder"),
        (lambda d, png: d["annotations"][0].update(image_id=7), "no image 7"),
        (lambda d, png: d["annotations"].append(d["annotations"][0]), "two entries"),
        (lambda d, png: d["annotations"][0].update(segments_info=[{"id": "x"}]), "annotations[0]"),
        (lambda d, png: d["images"][0].update(width="x"), "images[0]"),
    ],
)
def test_a_fault_of_a_panoptic_set_is_named(tmp_path: Path, change: Any, says: str) -> None:
    written(tmp_path, [Record("a.jpg", *WH, (Annotation("person", mask(2, 3, 20, 30)),))], "panoptic")
    file = tmp_path / "annotations/panoptic_default.json"
    data = json.loads(file.read_text())
    change(data, tmp_path / "annotations/panoptic_default/a.png")
    file.write_text(json.dumps(data))
    with pytest.raises(InvalidFile) as caught:
        list(coco.read(tmp_path))
    assert any(says in problem.line for problem in caught.value.problems), caught.value.line


# --- captions


def test_captions_keep_their_sentences(tmp_path: Path) -> None:
    found = (
        Annotation("scene_description", Caption("两名工人 at the belt")),
        Annotation("person", Box(1, 1, 5, 5)),
    )
    records = [Record("a.jpg", *WH, found, "train"), Record("b.jpg", *WH, (), "train")]
    out = written(tmp_path, records, "captions")
    got = list(coco.read(out))
    assert [(r.path, [a.shape for a in r.annotations]) for r in got] == [
        ("a.jpg", [Caption("两名工人 at the belt")]), ("b.jpg", []),
    ]  # fmt: skip
    assert got[0].annotations[0].label == "caption"
    assert formats.guess(out).name == "coco"
    assert coco.classes(out) == ["caption"]
    assert {loss.what for loss in coco.losses(records, SCHEMA, "captions")} == {
        "captions: only their sentence is written, not their label", "boxes: left out",
    }  # fmt: skip


# --- order and blocks


def instances(n: int, seed: int | None = None) -> dict[str, Any]:
    entries = [
        {"id": 3 * i + k, "image_id": f"p{i}" if i % 7 == 3 else i, "category_id": 1 + k % 2, "bbox": [k, k, 5 + i % 9, 7.5]}
        for i in range(n) for k in range(3)
    ]  # fmt: skip
    if seed is not None:
        random.Random(seed).shuffle(entries)
    return {
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "annotations": entries,
        "images": [
            {"id": f"p{i}" if i % 7 == 3 else i, "file_name": f"{i}.jpg", "note": "}, {[" * (i % 3)}
            for i in range(n)
        ],
    }


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("block", [64, 1000, 1 << 22])
def test_entries_of_any_order_and_any_block_size_give_the_same_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shuffled: bool, block: int
) -> None:
    monkeypatch.setattr(jsonblocks, "BLOCK", block)
    monkeypatch.setattr(coco.coco_index, "PART_BYTES", 700)
    file = tmp_path / "a.json"
    file.write_text(json.dumps(instances(30, 4 if shuffled else None), indent=1 if block == 64 else None))
    records = list(coco.read(file))
    assert [r.path for r in records] == [f"{i}.jpg" for i in range(30)]
    for i, record in enumerate(records):
        boxes = sorted(
            (a.label, a.shape.x0, a.shape.x1) for a in record.annotations if isinstance(a.shape, Box)
        )
        assert boxes == sorted(("ab"[k % 2], float(k), float(k + 5 + i % 9)) for k in range(3))


@patient
@given(
    st.dictionaries(
        st.sampled_from(["x", "info", "images", "z"]),
        st.recursive(
            st.none() | st.integers(-5, 5) | st.text('a"\\{}[],: \n', max_size=6),
            lambda inner: (
                st.lists(inner, max_size=4) | st.dictionaries(st.text("a}{", max_size=2), inner, max_size=3)
            ),
            max_leaves=10,
        ),
    ),
    st.integers(1, 40),
    st.sampled_from([None, 2]),
)
def test_any_object_is_read_member_by_member_as_json_reads_it(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any], block: int, indent: int | None
) -> None:
    file = tmp_path_factory.getbasetemp() / "walk.json"
    file.write_text(json.dumps(value, indent=indent, ensure_ascii=False), encoding="utf-8")
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonblocks, "BLOCK", block)
        for one in jsonblocks.walk(file, {"images": msgspec.json.Decoder(list[Any])}, limit=1 << 20):
            if one.is_array:
                found.setdefault(one.key, []).extend(one.elements)
            else:
                found[one.key] = one.elements[0]
    assert found == value


def test_what_is_cut_off_or_followed_by_more_is_no_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonblocks, "BLOCK", 50)
    text = json.dumps(instances(4))
    file = tmp_path / "a.json"
    for broken in (
        *(text[:n] for n in range(1, len(text), 23)),
        text + "{",
        text.replace("}, {", "},, {", 1),
        text.replace('"bbox"', "bbox", 1),
    ):
        file.write_text(broken)
        with pytest.raises(InvalidFile, match="JSON"):
            list(coco.read(file))


# --- other tools


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # its compiled part against numpy 2
def test_pycocotools_reads_what_we_write(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    from pycocotools import mask as masks
    from pycocotools.coco import COCO

    painted = mask(5, 6, 30, 40)
    found = (
        Annotation("person", Box(1, 2, 30.5, 40)), Annotation("smoke", painted),
        Annotation("person", Keypoints((1.0, 2.0, 3.0, 4.0), (2, 1))), Annotation("fire", Polygon(((((1.0, 1.0, 20.0, 1.0, 20.0, 20.0)),),))),
    )  # fmt: skip
    (path,) = coco.write([Record("a.jpg", *WH, found)], tmp_path, schema=SCHEMA, name="t")
    read = COCO(str(path))
    rows = read.loadAnns(read.getAnnIds(imgIds=[1]))
    assert [read.cats[r["category_id"]]["name"] for r in rows] == [a.label for a in found]
    assert (masks.decode(rows[1]["segmentation"]) == rle.decode(painted)).all()
    assert read.annToMask(rows[3]).sum() > 150
    (back,) = coco.read(path)
    packed = masks.encode(np.asfortranarray(rle.decode(painted)))
    data = json.loads(path.read_text())
    data["annotations"][1]["segmentation"] = {"size": packed["size"], "counts": packed["counts"].decode()}
    path.write_text(json.dumps(data))
    (again,) = coco.read(path)
    assert [a.shape for a in again.annotations] == [a.shape for a in back.annotations]


DATUMARO = """
import json, logging, sys
logging.disable(logging.CRITICAL)
import datumaro
found = datumaro.Dataset.import_from(sys.argv[1], sys.argv[2])
names = found.categories()[datumaro.AnnotationType.label]
print(json.dumps({item.id: sorted([names[a.label].name, a.type.name] for a in item.annotations) for item in found}))
"""
SUPERVISION = """
import json, sys
import supervision as sv
found = sv.DetectionDataset.from_coco(images_directory_path=sys.argv[1] + "/images", annotations_path=sys.argv[1] + "/annotations/instances_train.json")
print(json.dumps([found.classes, [[d.xyxy.tolist(), d.class_id.tolist()] for _, _, d in found]]))
"""


def test_datumaro_and_supervision_read_what_we_write(tmp_path: Path) -> None:
    python = peer("formats")
    found = (
        Annotation("person", Box(1, 2, 30, 40)), Annotation("fire", Polygon((((1.0, 1.0, 20.0, 1.0, 20.0, 20.0),),))),
    )  # fmt: skip
    out = written(tmp_path, [Record("a.jpg", *WH, found, "train")])
    for folder in (out / "images/train", out / "images"):
        folder.mkdir(exist_ok=True, parents=True)
        Image.new("RGB", WH).save(folder / "a.jpg")
    assert ask(python, DATUMARO, out, "coco_instances") == {
        "a": [["fire", "bbox"], ["fire", "polygon"], ["person", "bbox"]]  # it makes a box of each bbox member
    }
    classes, rows = ask(python, SUPERVISION, out)
    assert classes[:1] == ["person"]
    assert rows[0][0][0] == [1, 2, 30, 40]
    assert [classes[i] for i in rows[0][1]] == ["person", "fire"]

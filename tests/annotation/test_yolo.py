"""YOLO: mixed real files, every layout of folders, the little YAML, every faulty line by file and number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation import geometry, labels, rows
from annotation.core import Annotation, Box, Caption, Cuboid, Ellipse, Keypoints, Mask, Polygon, Quad
from annotation.errors import InvalidFile, InvalidInput, LamproomError
from annotation.formats import Record, base, yamlite, yolo
from tests.annotation.strategies import patient

SCHEMA = labels.load("coal_mine")


def put(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, data in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return root


def picture(root: Path, name: str, w: int, h: int, orientation: int = 1) -> None:
    from PIL import Image

    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (w, h)).save(file, exif=exif)


def sized(_: str) -> tuple[int, int]:
    return 480, 270


def faults(root: Path) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        list(yolo.read(root, sizes=sized))
    return [p.line for p in caught.value.problems]


def test_a_real_set_that_mixes_boxes_and_polygons_is_read_whole(shared: Path) -> None:
    found = base.census(yolo.read(shared / "data/people-headwear-yolo"))
    assert (found.records, found.annotations) == (70, 198)
    assert found.traits["polygon"].n == 156
    assert found.labels == {"person": 98, "no_hard_hat": 79, "no_head_wear": 19, "hard_hat": 2}


def test_sets_of_other_tools_are_read(shared: Path) -> None:
    for name, kinds in (("yolo-seg", ["polygon", "polygon"]), ("yolo-pose", ["box", "keypoints"])):
        (record,) = yolo.read(shared / "data/formats/handwritten" / name, sizes=sized)
        assert [a.kind for a in record.annotations] == kinds
    (pose,) = yolo.read(shared / "data/formats/handwritten/yolo-pose", sizes=sized)
    assert pose.annotations[1].shape == Keypoints((240, 54, 216, 81, 0, 0), (2, 1, 0))
    (seg,) = yolo.read(shared / "data/formats/handwritten/yolo-seg", sizes=sized)
    assert seg.annotations[0].label == "裂隙"
    root = shared / "data/formats/datumaro/yolo_dataset"
    for name in ("annotations", "labels", "strict"):
        assert sum(len(r.annotations) for r in yolo.read(root / name, sizes=sized)) >= 2


def test_malformed_lines_are_named_with_file_and_number(shared: Path, tmp_path: Path) -> None:
    broken = shared / "data/formats/handwritten/malformed"
    put(
        tmp_path,
        {"data.yaml": "names: [a, b]\n", "labels/a.txt": (broken / "yolo-out-of-range.txt").read_bytes()},
    )
    lines = faults(tmp_path)
    assert [line.split(": ")[1] for line in lines] == [f"labels/a.txt:{n}" for n in (1, 2, 3, 5)]
    put(tmp_path, {"labels/a.txt": (broken / "bom-crlf.yolo.txt").read_bytes()})
    (record,) = yolo.read(tmp_path, sizes=sized)
    assert [a.label for a in record.annotations] == ["a", "b"]
    classes = tmp_path / "gbk"
    put(classes, {"classes.txt": (broken / "gbk.classes.txt").read_bytes(), "a.txt": "2 0.5 0.5 0.1 0.1\n"})
    (record,) = yolo.read(classes, sizes=sized)
    assert record.annotations[0].label == "输送带"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("7 0.5 0.5 0.1 0.1", "no class 7"), ("-1 0.5 0.5 0.1 0.1", "the class is"), ("1.5 0.5 0.5 0.1 0.1", "the class is"),
        ("0 0.5 0.5 0.1", "4 numbers"), ("0", "1 numbers"), ("0 0.5 0.5", "3 numbers"), ("0 0.5 0.5 0.1 0.1 7", "score"),
        ("0 nan 0.5 0.1 0.1", "no number"), ("0 inf 0.5 0.1 0.1", "no number"), ("0 1e999 0.5 0.1 0.1", "no number"), ("0 x 0.5 0.1 0.1", "no number"),
        ("0 1.2 0.5 0.3 0.3", "outside"), ("0 0.5 0.5 -0.1 0.1", "outside"), ("0 240 135 60 60", "outside"), ("0 0.5 0.5 0 0.1", "size 0"),
        ("0 0.1 0.1 0.2 0.2 0.3 5", "outside"), ("0x0 0.5 0.5 0.1 0.1", "the class is"), ("٣ 0.5 0.5 0.1 0.1", "the class is"),
    ],
)  # fmt: skip
def test_a_faulty_line_is_refused(tmp_path: Path, line: str, says: str) -> None:
    put(tmp_path, {"data.yaml": "names: [a, b]\n", "labels/a.txt": f"0 0.5 0.5 0.1 0.1\n{line}\n"})
    (found,) = faults(tmp_path)
    assert "labels/a.txt:2" in found
    assert says in found


def test_a_skeleton_with_a_strange_visibility_is_refused(tmp_path: Path) -> None:
    put(
        tmp_path,
        {"data.yaml": "kpt_shape: [1, 3]\nnames: [a]\n", "labels/a.txt": "0 0.5 0.5 0.1 0.1 0.5 0.5 7\n"},
    )
    assert "visibility" in faults(tmp_path)[0]


def test_with_a_list_for_problems_the_sound_lines_are_read(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "data.yaml": "names: [a]\n",
            "labels/a.txt": "0 0.5 0.5 0.1 0.1\nx\n",
            "labels/b.txt": b"\xff\xfe\xff\x00",
        },
    )
    problems: list[LamproomError] = []
    (record,) = yolo.read(tmp_path, sizes=sized, problems=problems)
    assert len(record.annotations) == 1
    assert len(problems) == 2


def test_pictures_give_their_size_after_orientation_and_their_suffix(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "data.yaml": "names: [a]\n",
            "labels/train/x.y.txt": "0 0.5 0.5 1 1\n",
            "labels/val/b.txt": "0 0.5 0.5 1 1\n",
        },
    )
    picture(tmp_path, "images/train/x.y.JPG", 40, 20, orientation=6)
    picture(tmp_path, "images/val/b.png", 40, 20)
    a, b = yolo.read(tmp_path)
    assert (a.path, a.width, a.height, a.split) == ("images/train/x.y.JPG", 20, 40, "train")
    assert (b.path, b.width, b.height, b.split) == ("images/val/b.png", 40, 20, "val")
    assert b.annotations[0].shape == Box(0, 0, 40, 20)


@pytest.mark.parametrize(
    "layout", [("labels/train/a.txt", "images/train/a.jpg"), ("train/labels/a.txt", "train/images/a.jpg"), ("a.txt", "a.jpg"), ("labels/a.txt", "images/a.jpg")]
)  # fmt: skip
def test_every_usual_layout_is_found(tmp_path: Path, layout: tuple[str, str]) -> None:
    put(tmp_path, {"data.yaml": "names: [a]\n", layout[0]: "0 0.5 0.5 1 1\n", "README.roboflow.txt": "hello"})
    picture(tmp_path, layout[1], 8, 8)
    (record,) = yolo.read(tmp_path / "data.yaml")
    assert record.path == layout[1]
    assert len(record.annotations) == 1


def test_no_size_no_labels_no_names_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"classes\.txt"):
        list(yolo.read(tmp_path))
    put(tmp_path, {"data.yaml": "names: [a]\n"})
    assert "no label files" in faults(tmp_path)[0]
    put(tmp_path, {"labels/a.txt": "0 0.5 0.5 0.1 0.1\nx\n", "images/a.jpg": b"no picture"})
    with pytest.raises(InvalidFile) as caught:
        list(yolo.read(tmp_path))
    assert ["size is unknown" in p.line for p in caught.value.problems] == [True, False]
    put(tmp_path, {"labels/a.txt": ""})
    assert list(yolo.read(tmp_path)) == [Record("images/a.jpg", None, None, ())]


def test_a_picture_the_caller_does_not_know_comes_without_size_for_it_to_report(tmp_path: Path) -> None:
    put(
        tmp_path,
        {"data.yaml": "names: [a]\n", "labels/a.txt": "0 0.5 0.5 1 1\n", "labels/b.txt": "0 0.5 0.5 1 1\n"},
    )
    a, b = yolo.read(tmp_path, sizes=lambda path: (8, 8) if path == "images/a" else None)
    assert (a.width, len(a.annotations)) == (8, 1)
    assert b == Record("images/b", None, None, ())
    put(tmp_path, {"labels/b.txt": "0 0.5 0.5 1\n"})
    with pytest.raises(InvalidFile, match=r"labels/b\.txt:1"):
        list(yolo.read(tmp_path, sizes=lambda path: None))


def test_two_pictures_with_one_stem_are_refused_not_overwritten(tmp_path: Path) -> None:
    pair = [Record("a.jpg", 8, 8, (Annotation("person", Box(1, 1, 5, 5)),)), Record("a.png", 8, 8, ())]
    with pytest.raises(InvalidInput, match="share one label file"):
        yolo.write(pair, tmp_path, schema=SCHEMA, name="t")


def test_a_picture_of_unknown_size_is_a_loss_and_refused(tmp_path: Path) -> None:
    record = Record("a.jpg", None, None, (Annotation("person", Box(1, 1, 5, 5)),))
    assert any("unknown size" in loss.what for loss in yolo.losses([record], SCHEMA))
    with pytest.raises(InvalidInput, match="size"):
        yolo.write([record], tmp_path, schema=SCHEMA, name="t")


def test_a_file_never_mixes_boxes_and_polygons(tmp_path: Path) -> None:
    ring = (10.0, 10.0, 50.0, 10.0, 50.0, 50.0)
    found = (
        Annotation("person", Box(1, 1, 5, 5)), Annotation("large_coal", Polygon(((ring,),))),
        Annotation("fire", Mask(100, 80, (80, 80, 7840))), Annotation("fire", Box(-9, -9, 5, 5)), Annotation("fire", Box(-9, -9, -5, -5)),
    )  # fmt: skip
    record = Record("a.jpg", 100, 80, found)
    for polygons, numbers, n in ((False, {5}, 4), (True, {7, 9}, 4)):
        out = tmp_path / str(polygons)
        out.mkdir()
        yolo.write([record], out, schema=SCHEMA, name="t", dialect="segment" if polygons else "detect")
        lines = (out / "labels/train/a.txt").read_text().splitlines()
        assert {len(line.split()) for line in lines} == numbers
        assert len(lines) == n
        (got,) = yolo.read(out, sizes=lambda _: (100, 80))
        want = [a for a in found if geometry.clip(a.shape, width=100, height=80) is not None]
        for a, b in zip(got.annotations, want, strict=True):
            inner = geometry.clip(b.shape, width=100, height=80)
            assert inner is not None
            assert np.allclose(geometry.boxes_array([a.shape]), geometry.boxes_array([inner]), atol=0.01)


def test_the_config_is_what_ultralytics_expects(tmp_path: Path) -> None:
    yolo.write([Record("a.jpg", 8, 8, (), "test")], tmp_path, schema=SCHEMA, name="face 3\nx: y")
    data = yamlite.loads((tmp_path / "data.yaml").read_text(), "data.yaml")
    assert data["path"] == "."
    assert (data["train"], data["val"], data["test"]) == ("images/train", "images/train", "images/test")
    assert data["nc"] == len(data["names"]) == len(SCHEMA.class_ids())
    assert data["names"][0] == "person"
    assert yolo.place(Record("f/a.jpg", 8, 8, (), "test")).as_posix() == "images/test/f/a.jpg"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("names: [a, 'b c', \"d\"]", ["a", "b c", "d"]), ("names: ['it''s', a#b] # c", ["it's", "a#b"]), ("names:\n- a\n- b", ["a", "b"]),
        ("names:\n  - a\n  -  'b: c'\n", ["a", "b: c"]), ("names:\n  0: a\n  1: b # x", {0: "a", 1: "b"}), ("names: {0: a, 1: 'b, c'}", {0: "a", 1: "b, c"}),
        ("names: [a,\n  b,\n  c\n]", ["a", "b", "c"]), ("names: 3", 3), ("names: '3'", "3"), ('names: "a\\u88c2\\tb"', "a裂\tb"), ("names: [裂隙, x]", ["裂隙", "x"]),
        ("'names': x", "x"), ("names: http://a/b", "http://a/b"), ("names: # nothing", ""), ("names: |\n  import os\n  os.x", "  import os\n  os.x"),
    ],
)  # fmt: skip
def test_the_little_yaml_reads_what_data_files_hold(text: str, value: object) -> None:
    assert yamlite.loads(f"# c\n---\nnc: 2\n{text}\ntrain: x\n", "t") == {
        "nc": 2,
        "names": value,
        "train": "x",
    }


@pytest.mark.parametrize(
    "text",
    [
        "names [a]",
        "  names: x",
        "names: [a",
        "names: [[a]]",
        "names: {a}",
        "a: 1\na: 2",
        "names:\n  a\n",
        "names: [a] b",
        "&x",
    ],
)
def test_what_the_little_yaml_cannot_read_is_named_by_line(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"t: line \d"):
        yamlite.loads(text, "t")


@given(st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=30))
def test_a_quoted_name_is_read_back(name: str) -> None:
    assert yamlite.loads(f"names:\n  0: {yamlite.quoted(name)}\n", "t") == {"names": {0: name}}


@pytest.mark.parametrize(
    "names",
    [
        "names: 3",
        "names: []",
        "names: {a: b}",
        "nc: 2",
        "names: ['']",
        "kpt_shape: [0, 3]\nnames: [a]",
        "kpt_shape: x\nnames: [a]",
    ],
)
def test_class_names_that_are_none_are_refused(tmp_path: Path, names: str) -> None:
    put(tmp_path, {"data.yaml": names})
    with pytest.raises(InvalidInput, match="data"):
        list(yolo.read(tmp_path / "data.yaml"))


words = st.one_of(
    st.integers(-3, 9).map(str),
    st.floats().map(str),
    st.sampled_from(["0", "0.5", "0.25", "nan", "é", "\x00", "1e5"]),
    st.text(max_size=4),
)
texts = st.lists(st.lists(words, max_size=9).map(" ".join), max_size=5).map("\n".join)


@patient
@given(
    texts.map(lambda t: t.encode("utf-8", "surrogatepass")) | st.binary(max_size=60),
    st.sampled_from(["names: [a, b]\n", "names:\n- a\nkpt_shape: [1, 2]\n"]),
)
def test_any_label_file_is_a_named_problem_or_sound(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, config: str
) -> None:
    root = put(tmp_path_factory.getbasetemp() / "fuzz-yolo", {"data.yaml": config, "labels/a.txt": data})
    try:
        records = list(yolo.read(root, sizes=sized))
    except InvalidFile as error:
        assert all("labels/a.txt" in p.line for p in error.problems)
        return
    for a in records[0].annotations:
        rows.to_row(a.shape)


@given(st.text("abn:ames[]{},'\"#|- \n\t0123", max_size=60) | st.text(max_size=60))
def test_any_text_is_read_by_the_little_yaml_or_refused(text: str) -> None:
    try:
        assert isinstance(yamlite.loads(text, "t"), dict)
    except InvalidInput as error:
        assert error.where == "t"


def test_kinds_that_yolo_does_not_know_are_boxes_or_outlines_and_captions_stay_behind(tmp_path: Path) -> None:
    corners = (10.0, 10.0, 30.0, 12.0, 28.0, 40.0, 8.0, 38.0)
    shapes = (Quad(corners), Ellipse(50, 40, 20, 10, 30), Cuboid((*corners, *(v + 5 for v in corners))))
    found = (
        *(Annotation("person", shape) for shape in shapes),
        Annotation("scene_description", Caption("x")),
    )
    record = Record("a.jpg", 100, 80, found)
    for polygons in (False, True):
        lost = {loss.what for loss in yolo.losses([record], SCHEMA, "segment" if polygons else "detect")}
        assert "captions: left out" in lost
        assert len(lost) == 4
        out = tmp_path / str(polygons)
        out.mkdir()
        yolo.write([record], out, schema=SCHEMA, name="t", dialect="segment" if polygons else "detect")
        (got,) = yolo.read(out, sizes=lambda _: (100, 80))
        assert [a.kind for a in got.annotations] == ["polygon" if polygons else "box"] * 3
        for a, shape in zip(got.annotations, shapes, strict=True):
            box, want = geometry.bbox(a.shape), geometry.bbox(shape)
            assert box is not None
            assert want is not None
            assert (box.x0, box.y1) == pytest.approx((want.x0, want.y1), abs=0.2)

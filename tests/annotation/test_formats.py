"""What all formats promise: recognised, stable, streaming, losses told before writing, nothing of a broken file."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation import canonical, formats, geometry, labels, rows
from annotation.core import Annotation, Box, Polygon, RotatedBox, Tag
from annotation.errors import InvalidFile, InvalidInput
from annotation.formats import FORMATS, Record, base, coco, native, yolo
from tests.annotation.strategies import annotations, boxes, patient

SCHEMA = labels.load("coal_mine")
NAMES = sorted(FORMATS)
BOXED = [name for name in NAMES if name not in ("icdar", "masks", "wider")]
"""Formats of boxes and their labels: not those of areas, or of one class."""
WH = (640, 480)


def records(n: int, per: int = 3) -> Iterator[Record]:
    for i in range(n):
        found = tuple(Annotation("person", Box(k, k, k + 20.5, k + 40)) for k in range(per))
        yield Record(f"face 3/面-{i:06d}.jpg", *WH, found, base.SPLITS[i % 4])


def _number(record: Record) -> int:
    """The number in a picture's name: formats of sequences keep nothing else of it."""
    return int("".join(c for c in PurePosixPath(record.path).stem if c.isdecimal()))


def everything(path: Path, name: str) -> list[Record]:
    return list(FORMATS[name].read(path, sizes=lambda _: WH))


@pytest.mark.parametrize("name", NAMES)
def test_a_format_recognises_what_it_wrote_and_no_other_does(name: str, tmp_path: Path) -> None:
    written = FORMATS[name].write(records(5), tmp_path, schema=SCHEMA, name="t")
    assert all(path.exists() and tmp_path in (path, *path.parents) for path in written)
    assert formats.guess(tmp_path).name == name
    assert formats.guess(written[0]).name == name
    assert [n for n in NAMES if FORMATS[n].sniff(tmp_path)] == [name]
    assert not list(tmp_path.rglob("*.part"))


def test_what_no_format_knows_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1, 2]")
    for path in (tmp_path, tmp_path / "a.json", tmp_path / "missing"):
        with pytest.raises(InvalidInput, match="coco"):
            formats.guess(path)


@pytest.mark.parametrize("name", BOXED)
def test_boxes_and_splits_survive_every_format(name: str, tmp_path: Path) -> None:
    given_records = list(records(8))
    FORMATS[name].write(iter(given_records), tmp_path, schema=SCHEMA, name="t")
    found = {_number(r): r for r in everything(tmp_path, name) if r.annotations}
    assert len(found) == 8
    for want in given_records:
        got = found[_number(want)]
        assert got.split == (want.split or ("train" if name == "yolo" else ""))
        assert [a.label for a in got.annotations] == ["person"] * 3
        for a, b in zip(got.annotations, want.annotations, strict=True):
            assert (
                geometry.iou(geometry.boxes_array([a.shape]), geometry.boxes_array([b.shape]))[0, 0] > 0.9999
            )


@pytest.mark.parametrize("name", NAMES)
def test_the_same_records_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    once = list(records(6))
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        FORMATS[name].write(iter(once), folder, schema=SCHEMA, name="t")
    trees = [{f.relative_to(d): f.read_bytes() for f in sorted(d.rglob("*")) if f.is_file()} for d in folders]
    assert trees[0] == trees[1]
    assert trees[0]


@pytest.mark.parametrize("name", BOXED)
def test_class_ids_do_not_depend_on_what_is_written_nor_on_new_classes(name: str, tmp_path: Path) -> None:
    grown = labels.extend(SCHEMA, ["traffic light"], "t")
    ids = []
    for n, (schema, code) in enumerate([(SCHEMA, "person"), (grown, "large_coal"), (grown, "traffic_light")]):
        folder = tmp_path / str(n)
        folder.mkdir()
        record = Record("a1.jpg", *WH, (Annotation(code, Box(1, 1, 9, 9)),))
        FORMATS[name].write([record], folder, schema=schema, name="t")
        assert everything(folder, name)[0].annotations[0].label == code
        if name == "coco":
            data = json.loads((folder / "annotations/instances_default.json").read_text())
            ids.append({c["name"]: c["id"] for c in data["categories"]})
        elif name == "yolo":
            ids.append({c: i for i, c in yolo._config(folder).lines.names.items()})
    assert all(first.items() <= second.items() for first, second in itertools.pairwise(ids))


@pytest.mark.parametrize("name", NAMES)
def test_a_label_outside_the_schema_is_a_loss_and_refused(name: str, tmp_path: Path) -> None:
    record = Record("a1.jpg", *WH, (Annotation("ufo", Box(1, 1, 9, 9)),))
    assert [loss.n for loss in FORMATS[name].losses([record], SCHEMA) if "'ufo'" in loss.what] == [1]
    with pytest.raises(InvalidInput, match="ufo"):
        FORMATS[name].write([record], tmp_path, schema=SCHEMA, name="t")
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "path", ["../a.jpg", "/../../etc/x", "a/../../b.jpg", "a\x00.jpg", "", "C:\\..\\x.jpg"]
)
def test_a_path_that_leaves_the_export_is_refused(name: str, path: str, tmp_path: Path) -> None:
    inner = tmp_path / "in"
    inner.mkdir()
    with pytest.raises(InvalidInput):
        FORMATS[name].write([Record(path, *WH, ())], inner, schema=SCHEMA, name="t")
    with pytest.raises(InvalidInput):
        FORMATS[name].place(Record(path, *WH, ()))
    assert list(tmp_path.iterdir()) == [inner]


@pytest.mark.parametrize("name", ["coco", "native"])  # YOLO has a small file for each picture
def test_writing_and_reading_need_memory_for_a_few_records_only(name: str, tmp_path: Path) -> None:
    """A list of these records would take 10 MB, their COCO tree 20."""
    tracemalloc.start()
    try:
        FORMATS[name].write(records(1500, per=10), tmp_path, schema=SCHEMA, name="t")
        written = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        n = sum(len(r.annotations) for r in FORMATS[name].read(tmp_path))
        read = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n == 15_000
    assert written < 2e6
    assert read < 8e6


@pytest.mark.parametrize("name", [n for n in NAMES if n != "labelme"])  # one file a picture and nothing else
def test_an_empty_dataset_is_written_and_recognised(name: str, tmp_path: Path) -> None:
    FORMATS[name].write([], tmp_path, schema=SCHEMA, name="t")
    assert formats.guess(tmp_path).name == name


def test_losses_count_what_each_format_cannot_hold() -> None:
    ring = (0.0, 0.0, 90.0, 0.0, 90.0, 90.0, 0.0, 90.0)
    hole = (20.0, 20.0, 40.0, 20.0, 40.0, 40.0)
    found = (
        Annotation("smoke", Tag()), Annotation("person", RotatedBox(50, 50, 20, 10, 30)), Annotation("person", Box(-9, 5, 20, 30)),
        Annotation("person", Box(700, 5, 800, 30)), Annotation("person", Box(5, 5, 5, 30)), Annotation("large_coal", Polygon(((ring, hole),))),
        Annotation("person", Box(5, 5, 50, 50), {"unsure": True}, 0.5, "model"),
    )  # fmt: skip
    record = Record("a.jpg", *WH, found)
    assert native.losses([record], SCHEMA) == []
    assert {loss.what.split(":")[0] for loss in coco.losses([record], SCHEMA)} == {
        "labels of the whole picture", "rotated boxes", "polygons with holes", "predictions",
    }  # fmt: skip
    lost = {loss.what.split(":")[0]: loss.n for loss in yolo.losses([record], SCHEMA)}
    assert lost == {
        "labels of the whole picture": 1, "rotated boxes": 1, "polygons": 1, "attributes": 1, "scores": 1, "predictions": 1,
        "objects that cross the picture's border": 1, "objects wholly outside the picture": 1, "objects without width or height": 1,
    }  # fmt: skip
    assert {loss.example for loss in yolo.losses([record], SCHEMA)} == {"a.jpg"}
    drawn = {loss.what.split(":")[0] for loss in yolo.losses([record], SCHEMA, "segment")}
    assert "polygons" not in drawn
    assert "holes in polygons" in drawn


@patient
@given(st.lists(annotations(st.just("person")), max_size=5, unique_by=lambda a: a.uid))
def test_the_native_format_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, found: list[Annotation]
) -> None:
    out = tmp_path_factory.mktemp("native")
    record = Record("窟 20/a.jpg", 640, 480, tuple(found), "val")
    native.write([record], out, schema=SCHEMA, name="t")
    (got,) = native.read(out)
    assert native.schema(out) == SCHEMA
    assert (got.path, got.width, got.height, got.split) == (record.path, 640, 480, "val")
    for a, b in zip(got.annotations, found, strict=True):
        assert (a.uid, a.label, a.origin) == (b.uid, b.label, b.origin)
        assert {
            k: v if not isinstance(v, str) else canonical.nfc(v) for k, v in b.attributes.items()
        } == a.attributes
        assert rows.to_row(a.shape) == rows.to_row(b.shape)
        assert (a.score is None) == (b.score is None)
        assert a.score is None or b.score is None or abs(a.score - b.score) <= 5e-7
    lines = (out / native.FILE).read_bytes()
    again = tmp_path_factory.mktemp("again")
    native.write([got], again, schema=SCHEMA, name="t")
    assert (again / native.FILE).read_bytes() == lines


inside = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.integers(0, 300), st.integers(0, 200), st.integers(1, 300), st.integers(1, 200),
)  # fmt: skip


@patient
@given(st.lists(st.tuples(st.sampled_from(["person", "helmet", "large_coal"]), inside), max_size=6))
def test_boxes_inside_the_picture_come_back_to_a_hundredth_of_a_pixel(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[str, Box]]
) -> None:
    record = Record("a.jpg", *WH, tuple(Annotation(label, box) for label, box in found))
    for name in ("coco", "yolo"):
        out = tmp_path_factory.mktemp(name)
        FORMATS[name].write([record], out, schema=SCHEMA, name="t")
        (got,) = everything(out, name)
        assert [a.label for a in got.annotations] == [label for label, _ in found]
        for a, (_, b) in zip(got.annotations, found, strict=True):
            assert isinstance(a.shape, Box)
            assert (
                max(
                    abs(p - q)
                    for p, q in zip(
                        (a.shape.x0, a.shape.y0, a.shape.x1, a.shape.y1),
                        (b.x0, b.y0, b.x1, b.y1),
                        strict=True,
                    )
                )
                < 0.01
            )


@patient
@given(st.lists(annotations(st.just("fire")), max_size=6), st.booleans())
def test_any_annotation_is_written_by_every_format_and_can_be_read_again(
    tmp_path_factory: pytest.TempPathFactory, found: list[Annotation], polygons: bool
) -> None:
    record = Record("a.jpg", *WH, tuple(found))
    for name in ("coco", "yolo"):
        out = tmp_path_factory.mktemp(name)
        extra = {"dialect": "segment"} if polygons and name == "yolo" else {}
        FORMATS[name].write([record], out, schema=SCHEMA, name="t", **extra)
        try:
            assert len(everything(out, name)) == 1
        except InvalidFile as error:  # a mask drawn on a picture of another size is kept and then noticed
            assert name == "coco"
            assert "a mask of" in error.line


@pytest.mark.parametrize(
    ("name", "split"),
    [("instances_train2017", "train"), ("val", "val"), ("valid", "val"), ("Validation-Set", "val"), ("test", "test"), ("testing", "test"), ("", ""), ("trained", ""), ("latest", "")],
)  # fmt: skip
def test_a_split_is_read_from_whole_words(name: str, split: str) -> None:
    assert base.split_of(name) == split


@given(st.text(max_size=60))
def test_a_clean_path_stays_below_its_folder(text: str) -> None:
    try:
        path = base.clean_path(text)
    except InvalidInput as error:
        assert "\n" not in error.line
        return
    assert not path.startswith("/")
    assert ".." not in path.split("/")
    assert base.clean_path(path) == path


@pytest.mark.parametrize(
    ("text", "path"),
    [("./a/b.jpg", "a/b.jpg"), ("D:\\data\\a.jpg", "data/a.jpg"), ("/data//a.jpg", "data/a.jpg"), ("e\u0301.jpg", "\u00e9.jpg")],
)  # fmt: skip
def test_foreign_paths_become_relative_nfc_and_slashed(text: str, path: str) -> None:
    assert base.clean_path(text) == path


def test_foreign_attributes_are_kept_in_the_records_form() -> None:
    given_ = {
        "Track ID": 3,
        "颜色": "黄",
        "conf": 0.25,
        "n": 2.0,
        "on": True,
        "none": None,
        "nested": {"a": [1]},
    }
    found = dict(base.attributes(given_))
    assert found == {
        "track_id": 3,
        next(k for k in found if k.startswith("x_")): "黄",
        "conf": "0.25",
        "n": 2,
        "on": True,
        "nested": '{"a":[1]}',
    }
    for bad in ([], {str(i): i for i in range(99)}, {"a": "x" * 5000}):
        with pytest.raises(InvalidInput):
            base.attributes(bad)


@given(boxes())
def test_a_clipped_box_is_inside_or_none(box: Box) -> None:
    inner = base.clipped(box, *WH)
    assert inner is None or (0 <= inner.x0 < inner.x1 <= 640 and 0 <= inner.y0 < inner.y1 <= 480)

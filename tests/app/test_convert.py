"""Conversion without a workspace: recognised, told, whole or not at all, classes in order, pictures beside."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from annotation import formats, labels
from annotation.core import Annotation, Box
from annotation.errors import InvalidFile, InvalidInput, NotFound
from annotation.formats import Record, coco, jsonblocks
from app import cli
from app.events import Finished, Warned
from app.services import convert

CLASSES = ["truck", "人", "unused", "car"]


def coco_file(folder: Path, *, shuffled: bool = False) -> Path:
    """Three pictures with a box or two each, and a polygon; "unused" has no object."""
    entries: list[dict[str, Any]] = [
        {"id": 1, "image_id": 1, "category_id": 30, "bbox": [1, 2, 30, 20]},
        {"id": 2, "image_id": 1, "category_id": 10, "bbox": [5, 5, 10.5, 10.25]},
        {"id": 3, "image_id": 2, "category_id": 40, "segmentation": [[1, 1, 40, 1, 40, 30]]},
        {"id": 4, "image_id": 3, "category_id": 10, "bbox": [0, 0, 64, 48]},
    ]
    if shuffled:
        random.Random(1).shuffle(entries)
    data = {
        "images": [{"id": i, "file_name": f"a/{i}.jpg", "width": 64, "height": 48} for i in (1, 2, 3)],
        "annotations": entries,
        "categories": [{"id": n, "name": name} for n, name in zip((10, 30, 20, 40), CLASSES, strict=True)],
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "instances_train.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    return file


def run(*args: Any, **options: Any) -> tuple[dict[str, Any], list[Warned]]:
    events = list(convert.run(*args, **options))
    (last,) = (e for e in events if isinstance(e, Finished))
    return dict(last.result), [e for e in events if isinstance(e, Warned)]


def test_classes_keep_their_names_and_order_and_unused_ones_their_number(tmp_path: Path) -> None:
    run(coco_file(tmp_path / "in"), "yolo", tmp_path / "out", accept_losses=True)
    text = (tmp_path / "out/data.yaml").read_text(encoding="utf-8")
    assert [text.index(name) for name in CLASSES] == sorted(text.index(name) for name in CLASSES)
    lines = (tmp_path / "out/labels/train/a/1.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["1", "0"]


def test_entries_in_any_order_come_with_their_pictures(tmp_path: Path) -> None:
    kept = []
    for shuffled in (False, True):
        file = coco_file(tmp_path / str(shuffled), shuffled=shuffled)
        kept.append({r.path: {str((a.label, a.shape)) for a in r.annotations} for r in coco.read(file)})
    assert kept[0] == kept[1]


def test_losses_are_told_and_nothing_is_left_unless_they_are_accepted(tmp_path: Path) -> None:
    file = coco_file(tmp_path / "in")
    with pytest.raises(InvalidInput, match=r"cannot hold everything.*polygons"):
        run(file, "yolo", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    result, warned = run(file, "yolo", tmp_path / "out", accept_losses=True)
    assert [w.what for w in warned] == ["1 × polygons: only their bounding boxes are written"]
    assert [loss["n"] for loss in result["losses"]] == [1]
    assert json.loads((tmp_path / "out/lamproom-convert.json").read_text())["losses"] == result["losses"]


def test_a_faulty_source_leaves_nothing_behind(tmp_path: Path) -> None:
    file = coco_file(tmp_path / "in")
    file.write_text(
        file.read_text(encoding="utf-8").replace('"image_id": 3', '"image_id": 9'), encoding="utf-8"
    )
    with pytest.raises(InvalidFile, match="there is no image 9"):
        run(file, "yolo", tmp_path / "out", accept_losses=True)
    with pytest.raises(InvalidInput, match="no known format"):
        (tmp_path / "none").mkdir()
        run(tmp_path / "none", "yolo", tmp_path / "out")
    with pytest.raises(NotFound):
        run(tmp_path / "missing", "yolo", tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    with pytest.raises(InvalidInput, match="not an empty folder"):
        run(file, "yolo", tmp_path / "full")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full", "in", "none"]


def test_a_conversion_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    work = convert.run(coco_file(tmp_path / "in"), "native", tmp_path / "out")
    next(work)
    next(work)
    next(work)
    work.close()
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_schema_maps_names_and_synonyms_and_strict_refuses_the_rest(tmp_path: Path) -> None:
    file = coco_file(tmp_path / "in")
    with pytest.raises(InvalidInput, match="classes unknown"):
        run(file, "coco", tmp_path / "out", schema="coal_mine", strict=True)
    result, _ = run(file, "coco", tmp_path / "out", schema="coal_mine")
    assert result["classes"]["人"] == "person"
    found = {a.label for r in coco.read(tmp_path / "out") for a in r.annotations}
    assert "person" in found
    assert "人" not in found


def test_pictures_are_linked_or_copied_to_where_the_format_wants_them(tmp_path: Path) -> None:
    file = coco_file(tmp_path / "in")
    for place in ("a/1.jpg", "elsewhere/2.jpg"):
        (tmp_path / "pictures" / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48)).save(tmp_path / "pictures" / place)
    for how in ("link", "copy"):
        out = tmp_path / how
        result, warned = run(
            file, "yolo", out, accept_losses=True, pictures=how, folder=tmp_path / "pictures"
        )
        assert result["missing_pictures"] == 1
        assert [w.where for w in warned][-1] == "a/3.jpg"
        placed = [out / "images/train/a/1.jpg", out / "images/train/a/2.jpg"]
        assert [p.is_symlink() for p in placed] == [how == "link"] * 2
        assert all(p.stat().st_size for p in placed)


@pytest.mark.parametrize("target", ["coco", "native", "datumaro"])
def test_what_is_converted_and_converted_back_has_the_same_objects(tmp_path: Path, target: str) -> None:
    file = coco_file(tmp_path / "in")
    run(file, target, tmp_path / "there", accept_losses=True)
    run(tmp_path / "there", "coco", tmp_path / "back", accept_losses=True, folder=None)
    assert formats.guess(tmp_path / "back").name == "coco"
    counts = [
        {r.path: sorted(str(a.shape) for a in r.annotations) for r in coco.read(path)}
        for path in (file, tmp_path / "back")
    ]
    assert counts[0] == counts[1]


def test_the_verbs_need_no_workspace_and_end_with_the_right_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = coco_file(tmp_path / "in")
    assert cli.main(["sniff", str(file)]) == 0
    assert capsys.readouterr().out.startswith("coco: it is a JSON object with images, annotations")
    assert cli.main(["convert", str(file), "native", str(tmp_path / "out")]) == 0
    assert cli.main(["--json", "convert", str(file), "yolo", str(tmp_path / "no")]) == 1
    capsys.readouterr()
    assert cli.main(["sniff", str(tmp_path)]) == 1
    assert "no known format" in capsys.readouterr().err


def test_memory_does_not_grow_with_the_number_of_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def records(n: int) -> Iterator[Record]:
        for i in range(n):
            found = tuple(Annotation("person", Box(k, k, k + 2, k + 4)) for k in range(8))
            yield Record(f"{i:06d}.jpg", 64, 48, found)

    monkeypatch.setattr(jsonblocks, "BLOCK", 1 << 15)
    monkeypatch.setattr(convert, "PART", 20)
    peaks = []
    for n in (10, 150, 600):  # the first warms up what is made once
        folder = tmp_path / str(n)
        folder.mkdir()
        coco.write(records(n), folder, schema=labels.load("coal_mine"), name="t")
        tracemalloc.start()
        try:
            run(folder, "yolo", tmp_path / f"out{n}", accept_losses=True)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[2] < 2 * peaks[1], peaks


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_manual_has_a_line_for_every_format(language: str) -> None:
    text = (Path(cli.__file__).parent / "manual" / language / "formats.md").read_text(encoding="utf-8")
    assert [name for name in formats.names() if f"`{name}`" not in text] == []

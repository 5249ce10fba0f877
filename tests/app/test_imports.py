"""Rules of importing foreign annotations: which picture, which class, nothing doubled, all or nothing of a faulty file."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from annotation.core import Box, Polygon
from annotation.errors import InvalidInput, NotFound
from app.events import Finished, Progress, Warned
from app.services import browse, imports, ingest, jobs, labelling
from app.services import schema as schemas
from app.services.imports import Wish
from app.services.workspace import Workspace
from storage.queries import Query

BOTH = pytest.mark.parametrize(
    "ws", ["folder", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


def add(ws: Workspace, root: Path, names: list[str], *, wh: tuple[int, int] = (80, 60)) -> dict[str, int]:
    """Draw and ingest pictures; asset id by path."""
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        out = io.BytesIO()
        pixels = np.random.default_rng([i, len(name)]).integers(0, 256, (wh[1], wh[0], 3), np.uint8)
        Image.fromarray(pixels).save(out, "PNG" if name.endswith("png") else "JPEG")
        (root / name).write_bytes(out.getvalue())
    list(ingest.run(ws, [root], dataset="face-3"))
    return {i.path: i.asset_id for i in browse.page(ws, Query(browse.dataset(ws, "face-3").id), limit=1000)}


def coco(path: Path, images: list[dict[str, Any]], boxes: list[tuple[int, str, list[float]]]) -> Path:
    names = sorted({name for _, name, _ in boxes})
    document = {
        "images": [{"id": i, "width": 80, "height": 60, **image} for i, image in enumerate(images)],
        "categories": [{"id": i, "name": n} for i, n in enumerate(names)],
        "annotations": [
            {
                "id": i,
                "image_id": image,
                "category_id": names.index(name),
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            for i, (image, name, box) in enumerate(boxes)
        ],
    }
    path.write_text(json.dumps(document))
    return path


def run(ws: Workspace, form: str, path: Path, **kw: Any) -> tuple[dict[str, Any], list[Warned]]:
    events = list(imports.import_labels(ws, path, dataset="face-3", wish=Wish(form, **kw)))
    assert isinstance(events[-1], Finished)
    return dict(events[-1].result), [e for e in events if isinstance(e, Warned)]


@BOTH
def test_a_coco_file_becomes_truth_of_origin_import_in_one_undoable_step(
    ws: Workspace, tmp_path: Path
) -> None:
    ids = add(ws, tmp_path / "src", ["a/x.jpg", "a/y.jpg"])
    file = coco(
        tmp_path / "c.json",
        [{"file_name": "a/x.jpg"}, {"file_name": "a/y.jpg"}],
        [(0, "personnel", [1, 2, 10, 20]), (1, "personnel", [5, 5, 6, 7]), (1, "矿工帽子", [0, 0, 4, 4])],
    )
    result, warned = run(ws, "coco", file)
    assert (result["matched"], result["annotations"], result["identical"]) == (2, 3, 0)
    assert result["new_classes"] == ["矿工帽子"]
    assert "version 2" in warned[0].what
    first = labelling.load(ws, ids["a/x.jpg"]).annotations
    assert [(a.label, a.shape, a.origin, a.score) for a in first] == [
        ("person", Box(1, 2, 11, 22), "import", None)
    ]
    assert schemas.current(ws).resolve("矿工帽子") == result["classes"]["矿工帽子"]
    assert browse.dataset(ws, "face-3").n_labelled == 2
    labelling.undo_step(ws, result["step"])
    assert labelling.load(ws, ids["a/x.jpg"]).annotations == ()
    assert browse.dataset(ws, "face-3").n_labelled == 0


def test_the_same_file_again_adds_nothing_and_writes_no_revision(ws: Workspace, tmp_path: Path) -> None:
    add(ws, tmp_path / "src", ["x.jpg"])
    file = coco(tmp_path / "c.json", [{"file_name": "x.jpg"}], [(0, "personnel", [1, 2, 10, 20])] * 2)
    first, _ = run(ws, "coco", file)
    assert (first["annotations"], first["identical"]) == (1, 1)
    before = browse.totals(ws).revision
    again, _ = run(ws, "coco", file)
    assert (again["annotations"], again["identical"]) == (0, 2)
    assert browse.totals(ws).revision == before


def test_pictures_are_found_by_the_longest_common_end_of_their_paths(ws: Workspace, tmp_path: Path) -> None:
    ids = add(ws, tmp_path / "src", ["cam1/0001.jpg", "cam2/0001.jpg", "only.jpg", "deep/er/z.jpg", "z.jpg"])
    names = ["D:\\work\\cam2\\0001.jpg", "0001.jpg", "elsewhere/ONLY.JPG", "z.jpg", "nowhere.jpg", "only.png"]
    file = coco(
        tmp_path / "c.json",
        [{"file_name": n} for n in names],
        [(i, "personnel", [i, 1, 9, 9]) for i in range(len(names))],
    )
    result, warned = run(ws, "coco", file)
    held = {p: [a.shape.x0 for a in labelling.load(ws, i).annotations] for p, i in ids.items()}  # type: ignore[union-attr]
    assert held == {
        "cam1/0001.jpg": [],
        "cam2/0001.jpg": [0],
        "only.jpg": [2],
        "deep/er/z.jpg": [],
        "z.jpg": [3],
    }
    assert (result["matched"], result["unmatched"], result["ambiguous"]) == (3, 2, 1)
    reasons = {w.where: w.what for w in warned}
    assert "several" in reasons["0001.jpg"]
    assert "no picture" in reasons["nowhere.jpg"]


def test_labels_of_a_duplicate_reach_the_one_asset(ws: Workspace, tmp_path: Path) -> None:
    ids = add(ws, tmp_path / "src", ["a/one.jpg"])
    (tmp_path / "src" / "b").mkdir()
    (tmp_path / "src" / "b" / "two.jpg").write_bytes((tmp_path / "src" / "a" / "one.jpg").read_bytes())
    list(ingest.run(ws, [tmp_path / "src"], dataset="face-3"))
    file = coco(tmp_path / "c.json", [{"file_name": "b/two.jpg"}], [(0, "personnel", [1, 2, 10, 20])])
    assert run(ws, "coco", file)[0]["annotations"] == 1
    assert len(labelling.load(ws, ids["a/one.jpg"]).annotations) == 1


def test_a_picture_of_another_size_is_not_labelled(ws: Workspace, tmp_path: Path) -> None:
    add(ws, tmp_path / "src", ["x.jpg"])
    file = coco(
        tmp_path / "c.json", [{"file_name": "x.jpg", "width": 800}], [(0, "personnel", [1, 2, 10, 20])]
    )
    result, warned = run(ws, "coco", file)
    assert (result["wrong_size"], result["annotations"]) == (1, 0)
    assert "800 x 60" in warned[-1].what


def test_yolo_labels_take_their_size_from_the_record_and_may_mix_boxes_and_polygons(
    ws: Workspace, tmp_path: Path
) -> None:
    ids = add(ws, tmp_path / "src", ["images/train/x.jpg"])
    labels = tmp_path / "y" / "labels" / "train"
    labels.mkdir(parents=True)
    (tmp_path / "y" / "data.yaml").write_text("names: [personnel, helmet]\n")
    (labels / "x.txt").write_text("0 0.5 0.5 0.5 0.5\n1 0.1 0.1 0.9 0.1 0.9 0.9\n")
    result, _ = run(ws, "yolo", tmp_path / "y")
    assert (result["matched"], result["annotations"], result["splits"]) == (1, 2, 1)
    shapes = [a.shape for a in labelling.load(ws, ids["images/train/x.jpg"]).annotations]
    assert {type(s) for s in shapes} == {Box, Polygon}
    assert Box(20, 15, 60, 45) in shapes
    assert browse.page(ws, Query(browse.dataset(ws, "face-3").id))[0].split == "train"


def test_a_split_that_is_set_is_not_overwritten(ws: Workspace, tmp_path: Path) -> None:
    add(ws, tmp_path / "src", ["x.jpg"])
    for split in ("train", "val"):
        run(
            ws,
            "coco",
            coco(tmp_path / f"{split}.json", [{"file_name": "x.jpg"}], [(0, "personnel", [1, 2, 10, 20])]),
        )
        assert browse.page(ws, Query(browse.dataset(ws, "face-3").id))[0].split == "train"


def test_a_faulty_file_names_its_faults_and_writes_nothing(ws: Workspace, tmp_path: Path) -> None:
    add(ws, tmp_path / "src", ["x.jpg"])
    file = coco(
        tmp_path / "c.json",
        [{"file_name": "x.jpg"}],
        [(0, "new class", [1, 2, 10, 20]), (7, "b", [1, 1, 1, 1])],
    )
    before = browse.totals(ws).revision
    with pytest.raises(InvalidInput):
        run(ws, "coco", file)
    assert browse.totals(ws).revision == before
    assert jobs.listing(ws)[0].kind == "ingest"


def test_strict_refuses_unknown_classes_before_anything_is_written(ws: Workspace, tmp_path: Path) -> None:
    add(ws, tmp_path / "src", ["x.jpg"])
    file = coco(tmp_path / "c.json", [{"file_name": "x.jpg"}], [(0, "new class", [1, 2, 10, 20])])
    before = browse.totals(ws).revision
    with pytest.raises(InvalidInput, match="new class"):
        run(ws, "coco", file, strict=True)
    assert browse.totals(ws).revision == before


def test_unknown_formats_files_and_datasets_are_refused(ws: Workspace, tmp_path: Path) -> None:
    add(ws, tmp_path / "src", ["x.jpg"])
    with pytest.raises(InvalidInput, match="format"):
        run(ws, "excel", tmp_path)
    with pytest.raises(NotFound):
        run(ws, "coco", tmp_path / "nowhere.json")
    with pytest.raises(NotFound, match="dataset"):
        list(imports.import_labels(ws, tmp_path, dataset="nowhere", wish=Wish("coco")))


def test_an_interrupted_import_goes_on_in_the_same_step_and_doubles_nothing(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.import_write.ROWS", 3)
    names = [f"{i:02d}.jpg" for i in range(20)]
    add(ws, tmp_path / "src", names)
    images = [{"file_name": n} for n in names] + [{"file_name": "missing.jpg"}]
    file = coco(tmp_path / "c.json", images, [(i, "personnel", [i, 1, 9, 9]) for i in range(20)])
    raw = json.loads(file.read_text())
    raw["images"].insert(10, raw["images"].pop())  # the warning comes half way
    file.write_text(json.dumps(raw))
    work = imports.import_labels(ws, file, dataset="face-3", wish=Wish("coco"))
    for event in work:
        if isinstance(event, Warned):
            break
    work.close()
    part = browse.totals(ws).truth
    assert 0 < part < 20
    waiting = [j for j in jobs.listing(ws) if j.state == "waiting"]
    assert [j.kind for j in waiting] == ["import"]
    events = list(jobs.resume(ws, waiting[0].id))
    assert dict(events[-1].result)["annotations"] == 20 - part  # type: ignore[union-attr]
    assert browse.totals(ws).truth == 20
    with ws.db.read() as conn:
        assert (
            conn.execute(sa.text("SELECT count(DISTINCT step) FROM change WHERE verb = 'import'")).scalar()
            == 1
        )


def test_real_sets_go_in(ws: Workspace, shared: Path) -> None:
    list(
        ingest.run(
            ws,
            [shared / "data" / "video-worker-zone", shared / "data" / "people-headwear-yolo"],
            dataset="face-3",
        )
    )
    worker, _ = run(ws, "coco", shared / "data" / "video-worker-zone" / "instances.json")
    assert (worker["matched"], worker["unmatched"]) == (71, 0)
    people, _ = run(ws, "yolo", shared / "data" / "people-headwear-yolo")
    assert (people["matched"], people["unmatched"], people["annotations"]) == (70, 0, 198)


def test_a_file_whose_name_is_no_utf8_is_imported_and_its_job_resumed(ws: Workspace, tmp_path: Path) -> None:
    ids = add(ws, tmp_path / "p", ["a.jpg"])
    named = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xb1\xed.json"))  # 表 in GBK
    coco(named, [{"file_name": "a.jpg"}], [(0, "person", [1, 1, 9, 9]), (0, "strange", [1, 1, 9, 9])])
    work = imports.import_labels(ws, named, dataset="face-3", wish=Wish("coco"))
    for event in work:
        if isinstance(event, Progress) and event.total is not None:
            break
    work.close()
    (job,) = [j for j in jobs.listing(ws) if j.state == "waiting"]
    last = list(jobs.resume(ws, job.id))[-1]
    assert isinstance(last, Finished) and last.problems == 0
    assert len(labelling.load(ws, ids["a.jpg"]).annotations) == 2

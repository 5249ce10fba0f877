"""What we write for labelling tools, their own programs and datumaro read: as many pictures and objects, in the same places."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation import geometry, labels, marks, rle
from annotation.core import (
    Annotation,
    Box,
    Caption,
    Cuboid,
    Ellipse,
    Keypoints,
    Points,
    Polygon,
    Polyline,
    RotatedBox,
    Tag,
)
from annotation.formats import Record, cvat, datumaro, labelme, labelstudio, mot
from tests.support.peers import ask, peer

SCHEMA = labels.load("coal_mine")
W, H = 64, 48
RING = (10.0, 10.0, 30.0, 12.0, 28.0, 40.0, 9.0, 38.0)
MASK = rle.encode(np.ones((4, 9), dtype=np.uint8), at=(30, 30), wh=(W, H))
UID = "0123456789abcdef0123456789abcdef"

DATUMARO = """
import json, sys
from datumaro import Dataset
found = Dataset.import_from(sys.argv[1], sys.argv[2])
names = [label.name for label in found.categories()[next(iter(found.categories()))].items]
rows = []
for item in found:
    for a in item.annotations:
        label = getattr(a, "label", None)
        box = [round(float(v), 2) for v in a.get_bbox()] if hasattr(a, "get_bbox") else None
        rows.append([str(item.id), a.type.name, None if label is None else names[label], box])
print(json.dumps({"items": sorted(str(i.id) for i in found), "rows": sorted(rows, key=str), "subsets": sorted(found.subsets())}))
"""
LABELME = """
import json, sys
from pathlib import Path
from labelme._label_file import LabelFile
rows = {}
for file in sorted(Path(sys.argv[1]).rglob("*.json")):
    found = LabelFile(str(file))
    rows[file.name] = [
        [s["label"], s["shape_type"], s["points"], s["group_id"], None if s["mask"] is None else int(s["mask"].sum())]
        for s in found.shapes
    ] + [found.flags]
print(json.dumps(rows))
"""

LABELSTUDIO = """
import json, sys
import numpy as np
from pathlib import Path
from label_studio_sdk.converter import brush
from label_studio_sdk.label_interface import LabelInterface
home = Path(sys.argv[1])
interface = LabelInterface((home / "label_config.xml").read_text())
tasks = json.loads((home / "tasks.json").read_text())
good = [interface.validate_task({"data": task["data"]}) for task in tasks]
for task in tasks:
    good += [interface.validate_annotation(a) for a in task.get("annotations", [])]
    good += [interface.validate_prediction(p) for p in task.get("predictions", [])]
masks = []
for task in tasks:
    for row in [r for run in task["annotations"] for r in run["result"] if r["type"] == "brushlabels"]:
        rgba = np.reshape(brush.decode_rle(row["value"]["rle"]), (row["original_height"], row["original_width"], 4))
        masks.append(np.argwhere(rgba[:, :, 3] > 0).tolist())
print(json.dumps({"good": good, "masks": masks}))
"""


def set_of(module: Any, dialect: str, found: list[Record], out: Path) -> Path:
    out.mkdir(exist_ok=True)
    module.write(found, out, schema=SCHEMA, name="t", dialect=dialect)
    for record in found:
        picture = out.joinpath(*module.place(record, dialect).parts)
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (W, H)).save(picture)
    return out


def bbox(a: Annotation) -> list[float]:
    box = geometry.bbox(a.shape)
    assert box is not None
    return [round(v, 2) for v in (box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0)]


def shapes() -> tuple[Annotation, ...]:
    return tuple(
        Annotation("person", shape, {"state": "x"})
        for shape in (Box(1.5, 2.0, 20.0, 30.0), Polygon(((RING,),)), Polyline(RING), Points(RING), Tag())
    )


@pytest.mark.parametrize("splits", [("train", "val"), ("", "")])
def test_datumaro_reads_our_cvat_images(splits: tuple[str, str], tmp_path: Path) -> None:
    found = [Record(f"a{n}.png", W, H, shapes(), split) for n, split in enumerate(splits)]
    got = ask(peer("formats"), DATUMARO, set_of(cvat, "images", found, tmp_path / "set"), "cvat")
    assert len(got["items"]) == 2
    kinds = Counter(row[1] for row in got["rows"])
    assert kinds == {"bbox": 2, "polygon": 2, "polyline": 2, "points": 2, "label": 2}
    assert {row[2] for row in got["rows"]} == {"person"}
    assert [row[3] for row in got["rows"] if row[1] == "bbox"] == [bbox(shapes()[0])] * 2


def test_datumaro_reads_our_cvat_video(tmp_path: Path) -> None:
    found = [
        Record(
            f"clip/{n:06d}.png",
            W,
            H,
            (Annotation("person", Box(n, 1, n + 9, 20), {"@track": UID, "@key": True}),),
        )
        for n in range(1, 5)
    ]
    out = set_of(cvat, "video", found, tmp_path / "set")
    got = ask(peer("formats"), DATUMARO, out / "clip", "cvat")
    boxes = [row[3] for row in got["rows"] if row[1] == "bbox"]
    assert boxes == [bbox(r.annotations[0]) for r in found]


def test_datumaro_reads_our_datumaro_json(tmp_path: Path) -> None:
    skeleton = Annotation("person", Keypoints(RING, (2, 1, 0, 2)))
    more = (
        skeleton, Annotation("person", MASK), Annotation("person", Ellipse(20.0, 20.0, 9.0, 5.0)),
        Annotation("person", Cuboid(RING * 2)), Annotation("person", Caption("a sentence")), Annotation("person", RotatedBox(30, 20, 9, 5, 30)),
    )  # fmt: skip
    found = [Record(f"a{n}.png", W, H, shapes() + more, split) for n, split in ((1, "train"), (2, "val"))]
    got = ask(peer("formats"), DATUMARO, set_of(datumaro, "", found, tmp_path / "set"), "datumaro")
    assert got["subsets"] == ["train", "val"]
    assert Counter(row[1] for row in got["rows"]) == {
        "bbox": 2, "polygon": 4, "polyline": 2, "points": 4, "label": 2, "mask": 2, "ellipse": 2, "cuboid_2d": 2, "caption": 2,
    }  # fmt: skip
    for a, kind in ((shapes()[0], "bbox"), (more[2], "ellipse")):
        assert {str(row[3]) for row in got["rows"] if row[1] == kind} == {str(bbox(a))}


def sequence() -> list[Record]:
    return [
        Record(
            f"clip/{n:06d}.png", W, H, (Annotation("person", Box(n, 1, n + 9, 20), {"@track": UID}),), "train"
        )
        for n in range(1, 5)
    ]


def test_datumaro_reads_our_mot(tmp_path: Path) -> None:
    out = set_of(mot, "mot", sequence(), tmp_path / "set")
    got = ask(peer("formats"), DATUMARO, out / "train/clip", "mot_seq")
    assert got["items"] == ["1", "2", "3", "4"]
    assert [row[2:] for row in got["rows"]] == [["person", bbox(r.annotations[0])] for r in sequence()]


def test_datumaro_reads_our_mots(tmp_path: Path) -> None:
    out = set_of(mot, "mots", sequence(), tmp_path / "set")
    got = ask(peer("formats"), DATUMARO, out, "mots")
    assert len(got["items"]) == 4
    assert [row[1:3] for row in got["rows"]] == [["mask", "person"]] * 4
    assert [row[3] for row in got["rows"]] == [bbox(r.annotations[0]) for r in sequence()]


@pytest.mark.parametrize("dialect", labelme.DIALECTS)
def test_labelme_reads_both_dialects_of_its_files(dialect: str, tmp_path: Path) -> None:
    python = peer("labelme")
    grouped = Annotation("person", Ellipse(20, 20, 5, 5), {"@group": UID})
    given = (
        *shapes(),
        Annotation("person", MASK),
        Annotation("person", RotatedBox(30, 20, 9, 5, 30)),
        grouped,
    )
    out = set_of(labelme, dialect, [Record("a1.png", W, H, given)], tmp_path / "set")
    rows = ask(python, LABELME, out)["a1.json"]
    flags = rows.pop()
    assert flags == {"person": True}
    assert {row[0] for row in rows} == {"person"}
    kinds = Counter(row[1] for row in rows)
    assert kinds == {"rectangle": 1, "linestrip": 1, "point": 4, "circle": 1} | (
        {"polygon": 1, "mask": 1, "oriented_rectangle": 1}
        if dialect == "labelme"
        else {"polygon": 2, "rotation": 1}
    )
    assert [row[4] for row in rows if row[1] == "mask"] == ([36] if dialect == "labelme" else [])
    assert len([row for row in rows if row[3] is not None]) == 5  # the circle, and the four points as a group


def test_label_studio_accepts_our_interface_tasks_and_predictions(tmp_path: Path) -> None:
    python = peer("labelstudio")
    more = (
        Annotation("person", MASK, {"state": "x", "n": 3, "on": True}), Annotation("person", RotatedBox(30, 20, 9, 5, 30)),
        Annotation("person", Caption("a sentence")), Annotation("person", Ellipse(20, 20, 5, 9)),
        Annotation("helmet", Box(1, 1, 9, 9), {"on": False}, 0.5, "model"),
    )  # fmt: skip
    linked = marks.with_links(Annotation("person", Box(3, 3, 9, 9)), [("wears", more[0].uid)])
    found = [Record(f"a{n}.png", W, H, (*shapes(), *more, linked), "train") for n in (1, 2)]
    got = ask(python, LABELSTUDIO, set_of(labelstudio, "", found, tmp_path / "set"))
    assert got["good"] == [True] * 6
    pixels = np.argwhere(rle.decode(MASK)).tolist()
    assert got["masks"] == [pixels] * 2

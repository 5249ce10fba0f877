"""What foreign tools read of the boxes, corners and masks that we write: the same numbers, the same places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from annotation import formats, geometry, labels, rle
from annotation.core import Annotation, Box, Polygon, Quad, RotatedBox
from annotation.formats import Record
from tests.support.peers import ask, peer

SCHEMA = labels.extend(labels.load("coal_mine"), ["face", "text"], "t")
W, H = 160, 120

READERS = """
import json, sys
from pathlib import Path
def boxes(dataset):
    found = {}
    names = next((v for k, v in dataset.categories().items() if k.name == "label"), None)
    for item in dataset:
        rows = []
        for a in item.annotations:
            if hasattr(a, "get_bbox"):
                x, y, w, h = a.get_bbox()
                rows.append([names[a.label].name if names and a.label is not None else "", *map(float, (x, y, x + w, y + h))])
        found[item.id.split("/")[-1]] = sorted(rows, key=str)
    return found
import datumaro as dm
out = {}
for arg in sys.argv[1:]:
    name, format, path = arg.split("=", 2)
    if format == "supervision-yolo":
        import supervision as sv
        root = Path(path)
        found = {}
        obb = name == "yolo-obb"
        data = sv.DetectionDataset.from_yolo(str(root / "images/train"), str(root / "labels/train"), str(root / "data.yaml"), is_obb=obb)
        for file, _, d in data:
            found[Path(file).stem] = sorted([[data.classes[c], *map(float, b)] for c, b in zip(d.class_id, d.xyxy)], key=str)
    elif format == "supervision-voc":
        import supervision as sv
        root = Path(path)
        data = sv.DetectionDataset.from_pascal_voc(str(root / "JPEGImages"), str(root / "Annotations"))
        found = {Path(f).stem: sorted([[data.classes[c], *map(float, b)] for c, b in zip(d.class_id, d.xyxy)], key=str) for f, _, d in data}
    else:
        found = boxes(dm.Dataset.import_from(path, format))
    out[arg.rpartition("=")[0]] = found
print(json.dumps(out))
"""


def records(folder: str = "") -> list[Record]:
    out = []
    for i in range(4):
        found = [
            Annotation("person", Box(10.5 * i, 8, 10.5 * i + 40.25, 60)),
            Annotation("face", Box(90, 20, 150, 100.5)),
        ]
        out.append(Record(f"{folder}a{i}.jpg", W, H, tuple(found[: i + 1]), "train"))
    return out


def turned(shape: Any) -> list[Record]:
    return [Record(f"a{i}.jpg", W, H, (Annotation("person", shape),), "train") for i in range(3)]


def areas() -> list[Record]:
    import numpy as np

    found = [
        Annotation(code, rle.encode(np.ones((20, 30)), at=(x, 40), wh=(W, H)))
        for code, x in (("person", 5), ("face", 60))
    ]
    return [Record(f"a{i}.jpg", W, H, tuple(found), "train") for i in range(2)]


RING = Polygon((((20.0, 20.0, 80.0, 30.0, 75.0, 60.0, 30.0, 70.0),),))
QUAD = Quad((20.0, 20.0, 80.0, 30.0, 75.0, 60.0, 15.0, 50.0))
CASES: list[tuple[str, str, list[Record], float]] = [
    ("yolo", "yolo", records(), 0.05),
    ("yolo", "supervision-yolo", records(), 0.05),
    ("yolo-obb", "supervision-yolo", turned(RotatedBox(70, 60, 50, 20, 30)), 0.5),
    ("yolo-segment", "supervision-yolo", turned(RING), 1.5),
    ("voc", "voc", records(), 0.05),
    ("voc", "supervision-voc", records(), 1.5),
    ("voc-masks", "voc_segmentation", areas(), 1.0),
    ("dota", "dota", turned(QUAD), 0.05),
    ("kitti", "kitti_detection", records(), 0.05),
    ("wider", "wider_face", records("0--mine/"), 0.05),
    ("icdar", "icdar_text_localization", turned(QUAD), 0.05),
    ("icdar-2013", "icdar_text_localization", records(), 0.05),
]  # fmt: skip


def test_foreign_readers_find_what_we_wrote(tmp_path: Path) -> None:
    python = peer("formats")
    args = []
    for k, (name, reader, found, _) in enumerate(CASES):
        module, dialect = formats.target(name)
        out = tmp_path / str(k)
        out.mkdir()
        module.write(iter(found), out, schema=SCHEMA, name="t", dialect=dialect)
        for record in found:
            file = out.joinpath(*module.place(record, dialect).parts)
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (W, H)).save(file)
        args.append(f"{name}={reader}={out}")
    told = ask(python, READERS, *args)
    for name, reader, found, within in CASES:
        got = told[f"{name}={reader}"]
        single = name.startswith(("wider", "icdar"))
        for record in found:
            want = [
                (a.label, *(b.x0, b.y0, b.x1, b.y1))
                for a in record.annotations
                if (b := geometry.bbox(a.shape))
            ]
            rows = got[Path(record.path).stem]
            assert len(rows) == len(want), (name, reader, rows)
            for row, box in zip(
                sorted(rows, key=lambda r: r[1:]), sorted(want, key=lambda r: r[1:]), strict=True
            ):
                assert single or row[0] == box[0], (name, reader)
                assert row[1:] == pytest.approx(box[1:], abs=within), (name, reader)

"""A small record of the whole line, made through the services: two people, a model, copies, cleaning, review, an evaluation."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from annotation import scenes
from annotation.core import Box
from app.events import Finished, Work
from app.services import (
    browse,
    bulk,
    cleaning,
    evaluation,
    export,
    ingest,
    labelling,
    onnx,
    prelabel,
    publish,
    review,
    versions,
    workspace,
)
from app.services.workspace import Workspace
from models.recipe import Recipe, Region
from storage import record
from storage.record import ItemEdit

DATASET, TAG = "巷道 faces", "v1"
REF = f"{DATASET}@{TAG}"
EXIF = bytes.fromhex(
    "45786966000049492a0008000000"  # Exif, little endian, the first directory at 8
    "0300" "0f0102000a00000032000000" "10010200080000003c000000" "1201030001000000" "01000000" "00000000"
) + b"KBA Mining" + b"KBA-12\0\0"  # fmt: skip
"""An EXIF block: make "KBA Mining", model "KBA-12", upright."""


@dataclass(frozen=True, slots=True)
class Whole:
    """The record and where its parts lie."""

    ws: Workspace
    folder: Path
    hub: Path
    coco: Path
    native: Path
    assets: tuple[int, ...]


def run(work: Work) -> Finished:
    """Run work to its end."""
    last = None
    for event in work:
        last = event
    assert isinstance(last, Finished), last
    return last


def build(folder: Path, n: int = 10, *, published: bool = True, url: str = "") -> Whole:
    """Scenes of which one is there twice and one nearly twice, labelled, judged, frozen as v1, exported and published."""
    source = folder / "cam-1"
    source.mkdir(parents=True)
    for i in range(n):
        scene = scenes.draw(7_100_000 + i, (480, 270))
        data = cv2.imencode(".jpg", scene.picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        if i == 0:
            data = data[:2] + b"\xff\xe1" + (len(EXIF) + 2).to_bytes(2, "big") + EXIF + data[2:]
        (source / f"{i:03d}.jpg").write_bytes(data)
    shutil.copy(source / "000.jpg", source / "copy-of-000.jpg")
    near = cv2.imread(str(source / "001.jpg"))
    cv2.imwrite(str(source / "near-001.jpg"), np.clip(near.astype(int) + 1, 0, 255).astype(np.uint8))
    ws = workspace.create(url or str(folder / "W"), schema="coal_mine", person="李明", name="base")
    run(ingest.run(ws, [source], dataset=DATASET))
    model = onnx.add_demo(ws)
    run(cleaning.find(ws, DATASET))
    data = browse.dataset(ws, DATASET)
    run(cleaning.exclude(ws, DATASET, cleaning.passes({}, ["near"])))
    recipe = Recipe(regions=(Region("*", ((0, 0, 1_000_000, 0, 1_000_000, 1_000_000, 0, 1_000_000),)),))
    run(prelabel.run(ws, DATASET, model.name, recipe=recipe, score=0.3))
    run(bulk.accept(ws, browse.Query(data.id), min_score=0.5))
    assets = tuple(row.asset_id for row in browse.page(ws, browse.Query(data.id), limit=100))
    page = labelling.load(ws, assets[2])
    labelling.save(
        ws,
        page,
        (
            *page.annotations,
            replace(page.annotations[0], uid="ab" * 16, origin="human", score=None, shape=Box(5, 5, 60, 80)),
        ),
        verb="draw",
    )
    review.judge(ws, data.id, assets, "submitted")
    split(ws, data.id, assets)
    ws.close()
    ws = workspace.open(url or str(folder / "W"), person="王芳")
    first = labelling.load(ws, assets[1])
    mine = next(a for a in first.annotations if a.origin == "human")
    moved = replace(mine, shape=Box(1, 2, 30, 40))
    labelling.save(
        ws, first, tuple(moved if a.uid == mine.uid else a for a in first.annotations), verb="move"
    )
    review.judge(ws, data.id, assets[:-1], "accepted")
    review.judge(ws, data.id, assets[-1:], "returned")
    run(versions.build(ws, versions.freeze(ws, DATASET, tag=TAG)))
    if published:
        run(evaluation.evaluate(ws, evaluation.Ask(DATASET, (model.name,), against=REF, fresh=True)))
        run(export.run(ws, REF, "coco", folder / "coco", accept_losses=True))
        run(export.run(ws, REF, "native", folder / "native", accept_losses=True))
        run(publish.run(ws, REF, folder / "hub"))
    return Whole(ws, folder, folder / "hub", folder / "coco", folder / "native", assets)


def split(ws: Workspace, dataset_id: int, assets: tuple[int, ...]) -> None:
    """Every fourth picture into the test split, the others into train."""
    from storage import register

    with ws.db.read() as conn:
        rows = register.item_rows(conn, dataset_id, assets)
    with record.change(ws.db, agent_id=ws.person.id, activity_id=ws.session(), verb="split", dataset_id=dataset_id,
                       assets=assets) as draft:  # fmt: skip
        draft.enrol(
            [
                ItemEdit(
                    dataset_id,
                    a,
                    closes=rows[a].id,
                    opens=(3 if i % 4 == 3 else 1, rows[a].review),
                    assignee=rows[a].assignee_id,
                )
                for i, a in enumerate(assets)
            ]
        )

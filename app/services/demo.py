"""The whole line on drawn scenes, from pictures to a published version that proves itself: the demonstration for people and for tests."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from annotation import quality, scenes
from annotation.core import AnnotationSet, Box
from annotation.errors import InvalidInput
from app.events import Event, Finished, Progress, Started, Work
from app.i18n import tr
from app.services import (
    browse,
    bulk,
    export,
    ingest,
    keys,
    labelling,
    onnx,
    prelabel,
    publish,
    versions,
    workspace,
)
from app.services.workspace import Workspace
from storage import files

DATASET, TAG = "drawn-scenes", "v1"
FIRST_SEED = 7_000_000
"""Far from the seeds that the detector was trained and chosen on."""
ACCEPT_SCORE = 0.5
SHEET = (4, 3)
"""Columns and rows of the contact sheet."""
_TILE = (480, 270)
_COLOURS = {
    "person": (233, 166, 90),
    "helmet": (60, 180, 242),
    "no_helmet": (95, 102, 229),
    "large_coal": (224, 139, 181),
}


@dataclass(slots=True)
class _Steps:
    """What was done, how long it took, and one figure of each."""

    rows: list[dict[str, object]] = field(default_factory=list)

    @contextmanager
    def timed(self, name: str) -> Iterator[dict[str, object]]:
        row: dict[str, object] = {"step": name, "seconds": 0.0, "what": ""}
        start = time.monotonic()
        yield row
        row["seconds"] = round(time.monotonic() - start, 2)
        self.rows.append(row)


def run(folder: Path | None = None, *, n_scenes: int = 200) -> Work:
    """Draw scenes, ingest, pre-label, score, accept, freeze, verify, export, publish, verify the hub.

    Args:
        folder: a folder that is absent or empty; by default `lamproom-demo` here, numbered where that is taken.

    Raises:
        InvalidInput: the folder is not empty.
    """
    home = _home(folder)
    steps, began = _Steps(), time.monotonic()
    with steps.timed("draw") as row:
        truth = yield from _draw(home / "scenes", n_scenes)
        row["what"] = tr("{n} scenes, {m} objects", n=len(truth), m=sum(len(s) for s in truth.values()))
    with workspace.create(str(home / "workspace"), schema="coal_mine", name="demo") as ws:
        # Drawn scenes: their key protects nothing, and the demonstration must run where nobody can be asked.
        keys.protect(ws, "none")
        with steps.timed("ingest") as row:
            done = yield from _inner(ingest.run(ws, [home / "scenes"], dataset=DATASET))
            row["what"] = tr("{n} pictures", n=browse.dataset(ws, DATASET).n_assets)
            problems = done.problems
        with steps.timed("prelabel") as row:
            model = onnx.add_demo(ws)
            done = yield from _inner(prelabel.run(ws, DATASET, model.name))
            row["what"] = tr("{n} predictions", n=browse.totals(ws).predictions)
            problems += done.problems
        with steps.timed("score"):
            data = browse.dataset(ws, DATASET)
            pages = _pages(ws, data.id)
            scored = _scored(truth, pages)
        with steps.timed("accept") as row:
            yield from _inner(bulk.accept(ws, browse.Query(data.id), min_score=ACCEPT_SCORE))
            row["what"] = tr(
                "{n} objects of score {s} and more are truth", n=browse.totals(ws).truth, s=ACCEPT_SCORE
            )
        reference = f"{DATASET}@{TAG}"
        with steps.timed("freeze") as row:
            version = versions.freeze(ws, DATASET, tag=TAG)
            row["what"] = reference
            yield from _inner(versions.build(ws, version))
        with steps.timed("verify") as row:
            done = yield from _inner(versions.verify(ws, reference))
            row["what"] = _verdict(done)
            problems += done.problems
        for format in ("coco", "yolo"):
            with steps.timed(f"export {format}") as row:
                yield from _inner(export.run(ws, reference, format, home / format, accept_losses=True))
                row["what"] = str(home / format)
        with steps.timed("publish") as row:
            yield from _inner(publish.run(ws, reference, home / "hub"))
            row["what"] = str(home / "hub")
        sheet = home / "contact-sheet.png"
        files.write(sheet, _contact_sheet(ws, pages))
        located = ws.location
    with steps.timed("verify hub") as row:
        done = yield from _inner(versions.verify(home / "hub", reference))
        row["what"] = _verdict(done)
        problems += done.problems
    yield Finished(
        {
            "folder": str(home), "workspace": located, "version": reference, "scenes": n_scenes, "steps": steps.rows,
            "score": scored, "accept_score": ACCEPT_SCORE, "contact_sheet": str(sheet), "seconds": round(time.monotonic() - began, 1),
        },
        problems=problems,
    )  # fmt: skip


def _home(folder: Path | None) -> Path:
    if folder is not None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InvalidInput("the folder is not empty", where=str(folder), remedy="name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        return folder.resolve()
    number = 1
    while True:
        home = Path("lamproom-demo" if number == 1 else f"lamproom-demo-{number}").resolve()
        try:
            home.mkdir()
        except FileExistsError:
            number += 1
        else:
            return home


def _inner(work: Work) -> Generator[Event, None, Finished]:
    """Work inside work: its events, and its end as a value."""
    end = Finished()
    for event in work:
        if isinstance(event, Finished):
            end = event
        else:
            yield event
    return end


def _draw(folder: Path, n: int) -> Generator[Event, None, dict[str, AnnotationSet]]:
    folder.mkdir()
    yield Started("draw scenes", n)
    truth: dict[str, AnnotationSet] = {}
    for i in range(n):
        scene = scenes.draw(FIRST_SEED + i)
        name = f"scene-{i:04d}.jpg"
        _, data = cv2.imencode(".jpg", scene.picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
        (folder / name).write_bytes(data.tobytes())
        truth[name] = scene.annotations
        if i % 10 == 9:
            yield Progress(i + 1, n)
    return truth


def _pages(ws: Workspace, dataset_id: int) -> dict[str, tuple[int, AnnotationSet]]:
    """Of every picture: its asset and what the model predicted, by file name."""
    pages: dict[str, tuple[int, AnnotationSet]] = {}
    after = 0
    while rows := browse.page(ws, browse.Query(dataset_id), after=after):
        for row in rows:
            pages[row.path.rpartition("/")[2]] = (row.asset_id, labelling.load(ws, row.asset_id).annotations)
        after = rows[-1].asset_id
    return pages


def _scored(
    truth: Mapping[str, AnnotationSet], pages: Mapping[str, tuple[int, AnnotationSet]]
) -> list[dict[str, object]]:
    """Per class: precision and recall of what will be accepted, average precision over every score."""
    every = [(truth[name], predicted) for name, (_, predicted) in pages.items()]
    sure = [(given, tuple(a for a in found if (a.score or 0.0) >= ACCEPT_SCORE)) for given, found in every]
    all_scores, figures = quality.score(every), quality.score(sure)
    return [
        {
            "label": label, "truth": f.truth, "predicted": f.predicted, "precision": round(f.precision, 3),
            "recall": round(f.recall, 3), "ap": round(all_scores[label].ap, 3),
        }
        for label, f in figures.items()
    ]  # fmt: skip


def _verdict(done: Finished) -> str:
    return tr("every byte agrees") if done.problems == 0 else tr("{n} problems", n=done.problems)


def _contact_sheet(ws: Workspace, pages: Mapping[str, tuple[int, AnnotationSet]]) -> bytes:
    """PNG of some scenes: what is truth now is drawn whole, what is still a prediction is drawn thin."""
    columns, rows = SHEET
    w, h = _TILE
    sheet = np.full((rows * h, columns * w, 3), 26, np.uint8)
    chosen: Sequence[str] = sorted(pages)[:: max(1, len(pages) // (columns * rows))][: columns * rows]
    for i, name in enumerate(chosen):
        asset_id = pages[name][0]
        picture = browse.picture(ws, asset_id)
        scale = min(w / picture.shape[1], h / picture.shape[0])
        tile = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for a in labelling.load(ws, asset_id).annotations:
            if isinstance(a.shape, Box):
                corners = [round(v * scale) for v in (a.shape.x0, a.shape.y0, a.shape.x1, a.shape.y1)]
                cv2.rectangle(
                    tile,
                    corners[:2],
                    corners[2:],
                    _COLOURS.get(a.label, (200, 200, 200)),
                    2 if a.origin == "human" else 1,
                )
        top, left = divmod(i, columns)
        sheet[top * h : top * h + tile.shape[0], left * w : left * w + tile.shape[1]] = tile
    return cv2.imencode(".png", sheet)[1].tobytes()

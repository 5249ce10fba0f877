"""Track ids: one object over the frames is one track, in the names' order, resumed with the same ids, undone with its job."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from annotation import marks
from annotation.core import Annotation
from app.events import Finished, Progress, Work
from app.services import browse, ingest, jobs, labelling, onnx, prelabel, trackids, workspace
from app.services.workspace import Workspace
from models.recipe import Recipe
from tests.models.toys import columns, grey_png, toy_model

FRAMES = 30


def finish(work: Work) -> dict[str, object]:
    return next(dict(e.result) for e in work if isinstance(e, Finished))


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    """Two cameras; on each a lamp that moves right by 1.5 px a frame, the grey of a frame being its place."""
    table, slope = columns((4, 32, 20, 20, 0.9)), columns()
    slope[0, 0, 0] = 255 / 8
    (tmp_path / "m.onnx").write_bytes(
        toy_model(table, slope=slope, metadata={"names": "['lamp', 'belt']"}).SerializeToString()
    )
    for camera in ("cam1", "cam2"):
        (tmp_path / "in" / camera).mkdir(parents=True)
        for i in range(
            FRAMES
        ):  # names without leading zeros: 10 comes before 2 in the order of their letters
            note = f"{camera} {i}".encode()
            (tmp_path / "in" / camera / f"{i}.png").write_bytes(grey_png(8 * i) + note)
    with workspace.create(str(tmp_path / "W"), person="07") as found:
        list(ingest.run(found, [tmp_path / "in"], dataset="d"))
        onnx.add(found, tmp_path / "m.onnx", name="m")
        yield found


def lamps(ws: Workspace) -> dict[str, list[Annotation]]:
    [data] = browse.datasets(ws)
    rows = browse.page(ws, browse.Query(data.id), after=0, limit=500)
    return {r.path.split("in/")[-1]: list(labelling.load(ws, r.asset_id).annotations) for r in rows}


def ids(ws: Workspace, camera: str) -> list[str | None]:
    return [marks.track(a) for i in range(FRAMES) for a in lamps(ws)[f"{camera}/{i}.png"]]


def test_prelabelling_with_tracks_gives_each_camera_a_track_of_its_own(ws: Workspace) -> None:
    result = finish(prelabel.run(ws, "d", "m", recipe=Recipe(track=True)))
    assert result["tracks"] == 2
    one, two = ids(ws, "cam1"), ids(ws, "cam2")
    assert len(one) == len(two) == FRAMES
    assert len(set(one)) == len(set(two)) == 1
    assert None not in one
    assert set(one).isdisjoint(two)
    for found in lamps(ws).values():
        assert [(a.origin, a.label, a.score) for a in found] == [("model", "lamp", pytest.approx(0.9))]


def test_every_row_still_names_the_run_that_made_it(ws: Workspace) -> None:
    finish(prelabel.run(ws, "d", "m", recipe=Recipe(track=True)))
    with ws.db.read() as conn:
        rows = conn.execute(
            sa.text("SELECT DISTINCT v.kind, v.params FROM annotation n JOIN activity v ON v.id = n.activity_id WHERE n.died IS NULL")
        ).all()  # fmt: skip
    assert [kind for kind, _ in rows] == ["prelabel run"]
    assert json.loads(rows[0][1])["provider"] == "cpu"


def test_predictions_and_their_tracks_are_undone_as_one_step(ws: Workspace) -> None:
    step = finish(prelabel.run(ws, "d", "m", recipe=Recipe(track=True)))["step"]
    assert isinstance(step, int)
    labelling.undo_step(ws, step)
    assert all(found == [] for found in lamps(ws).values())


def test_tracking_again_changes_nothing_but_the_ids_and_a_rerun_replaces_the_predictions(
    ws: Workspace,
) -> None:
    finish(prelabel.run(ws, "d", "m"))
    assert set(ids(ws, "cam1")) == {None}
    finish(trackids.run(ws, "d", "m"))
    first = ids(ws, "cam1")
    finish(trackids.run(ws, "d", "m"))
    assert set(ids(ws, "cam1")) != set(first)
    finish(prelabel.run(ws, "d", "m", score=0.5))
    assert ids(ws, "cam1") == [None] * FRAMES


def test_what_a_person_accepted_is_left_alone(ws: Workspace) -> None:
    finish(prelabel.run(ws, "d", "m"))
    [data] = browse.datasets(ws)
    row = browse.page(ws, browse.Query(data.id), after=0, limit=1)[0]
    page = labelling.load(ws, row.asset_id)
    labelling.accept(ws, page, [a.uid for a in page.annotations])
    before = labelling.load(ws, row.asset_id).annotations
    finish(trackids.run(ws, "d", "m"))
    assert labelling.load(ws, row.asset_id).annotations == before


def test_an_interrupted_job_goes_on_with_the_same_ids(ws: Workspace) -> None:
    finish(prelabel.run(ws, "d", "m"))
    work = trackids.run(ws, "d", "m")
    for event in work:
        if isinstance(event, Progress):
            work.close()  # type: ignore[attr-defined]
            break
    half = [t for t in (*ids(ws, "cam1"), *ids(ws, "cam2")) if t]
    assert half
    [job] = [j for j in jobs.listing(ws) if j.kind == "track"]
    finish(jobs.resume(ws, job.id))
    assert set(half) <= {*ids(ws, "cam1"), *ids(ws, "cam2")}
    assert len({*ids(ws, "cam1")}) == len({*ids(ws, "cam2")}) == 1


def test_a_worker_crossing_a_hall_is_one_track(tmp_path: Path, shared: Path) -> None:
    with workspace.create(str(tmp_path / "W"), person="07") as ws:
        list(ingest.run(ws, [shared / "data" / "video-worker-zone"], dataset="d"))
        onnx.add(ws, shared / "models" / "yolox_nano.onnx", name="yolox")
        finish(prelabel.run(ws, "d", "yolox", classes=["person"], recipe=Recipe(track=True)))
        found = [marks.track(a) for page in lamps(ws).values() for a in page]
    assert len(found) > 60
    assert len(set(found)) == 1
    assert np.all([t is not None for t in found])

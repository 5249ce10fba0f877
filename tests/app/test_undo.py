"""Rules of undoing steps that are no gesture on a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation.errors import Conflict
from app.events import Finished
from app.services import browse, jobs, labelling, schema, versions
from app.services.workspace import Workspace
from storage import record, steps
from tests.app.sealed import many, sealed


def test_the_first_version_of_the_workspaces_schema_cannot_be_undone(ws: Workspace) -> None:
    found = labelling.last_step(ws)
    assert found is not None and found.verb == "schema"
    with pytest.raises(Conflict, match="needs its label schema"):
        labelling.undo_step(ws, found.step)
    assert schema.current(ws).label("person") is not None


def test_a_schema_change_is_undone_only_while_nothing_uses_its_labels(ws: Workspace, tmp_path: Path) -> None:
    world = sealed(ws, tmp_path / "p")
    mapped = schema.ensure_labels(ws, "coal_mine", ["drill_rig"], where_from="test")
    change = labelling.steps(ws)[0].step
    world.box(world.assets[0], label=mapped.codes["drill_rig"])
    with pytest.raises(Conflict, match="labels in use are missing"):
        labelling.undo_step(ws, change)
    world.erase(world.assets[0])
    labelling.undo_step(ws, change)
    assert schema.current(ws).label(mapped.codes["drill_rig"]) is None


def test_a_killed_bulk_undo_is_a_job_that_resumes(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = many(ws, record.BATCH_ROWS + 20)
    joined = labelling.steps(ws)[0].step
    with monkeypatch.context() as patch:
        patch.setattr(steps.jobs, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            labelling.undo_step(ws, joined)
    with pytest.raises(Conflict, match="undo job is still writing"):
        versions.freeze(ws, "large", tag="v1")
    (job,) = [j for j in jobs.listing(ws) if j.state == "waiting"]
    last = list(jobs.resume(ws, job.id))[-1]
    assert isinstance(last, Finished) and last.result["left"] == 0
    assert browse.dataset(ws, world.data).n_assets == 0
    assert not [j for j in jobs.listing(ws) if j.state == "waiting"]

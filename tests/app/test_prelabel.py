"""Pre-labelling a dataset: provenance, re-runs that touch no human work, resumption after kill -9, two workers at once."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import threading
from pathlib import Path

import onnx as onnx_format
import pytest
import sqlalchemy as sa

from annotation.core import Annotation, Box
from annotation.errors import Conflict, InvalidInput, Unavailable
from app import cli
from app.events import Event, Finished, Progress, Started, Warned
from app.services import (
    browse,
    jobs,
    labelling,
    lineage,
    onnx,
    orders,
    predictions,
    prelabel,
    schema,
    versions,
    workspace,
)
from app.services.predictions import Writer
from app.services.workspace import Workspace
from models.batch import Result
from storage import jobs as storage_jobs
from storage import queries
from storage.jobs import Job
from tests.app.conftest import draw, enrol
from tests.models.toys import columns, toy_model

TWO = columns((16, 16, 16, 16, 0.9, 0.0), (48, 32, 16, 24, 0.0, 0.7))


@pytest.fixture
def model(ws: Workspace, tmp_path: Path) -> str:
    """A detector that sees one person (score 0.9) and one helmet (0.7) on every picture."""
    path = tmp_path / "two.onnx"
    onnx_format.save(toy_model(TWO, metadata={"names": "{0: 'person', 1: 'helmet'}"}), str(path))
    return onnx.add(ws, path, name="two").name


def finish(work: object) -> Finished:
    """Run it to the end."""
    events: list[Event] = list(work)  # type: ignore[call-overload]
    assert isinstance(events[-1], Finished)
    return events[-1]


def rows_ever(ws: Workspace) -> int:
    with ws.db.read() as conn:
        return int(conn.exec_driver_sql("SELECT count(*) FROM annotation").scalar_one())


def test_every_prediction_tells_the_model_runtime_provider_thresholds_and_job(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    data, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 3), dataset="d")
    done = finish(prelabel.run(ws, "d", model, score=0.5))
    assert (done.result["pictures"], done.result["predictions"], done.result["finished"]) == (3, 6, True)
    page = labelling.load(ws, assets[0])
    assert sorted((a.label, a.origin, a.score) for a in page.annotations) == [
        ("helmet", "model", 0.7),
        ("person", "model", 0.9),
    ]
    with ws.db.read() as conn:
        kind, digest, params, ended = conn.execute(
            sa.text(
                "SELECT v.kind, v.model_digest, v.params, v.ended_ms FROM annotation n JOIN activity v ON v.id = n.activity_id LIMIT 1"
            )
        ).one()
    ran = json.loads(params)
    assert (kind, bytes(digest).hex(), ended is not None) == (
        "prelabel run",
        onnx.show(ws, model).sha256,
        True,
    )
    assert ran["score_micro"] == 500_000
    assert {"host", "pid", "runtime", "provider", "options", "iou_micro", "decode_scale"} <= ran.keys()
    assert browse.dataset(ws, "d").n_predicted == 3
    assert [j.state for j in jobs.listing(ws)] == ["finished"]
    assert browse.facets(ws, data)[0].n_model == 3


def test_a_second_run_replaces_only_this_models_own_unaccepted_predictions(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    _, (asset, *_) = enrol(ws, tmp_path, draw(tmp_path / "p", 1), dataset="d")
    finish(prelabel.run(ws, "d", model))
    page = labelling.load(ws, asset)
    by_label = {a.label: a for a in page.annotations}
    page = labelling.accept(ws, page, [by_label["person"].uid])
    page = labelling.reject(ws, page, [by_label["helmet"].uid])
    drawn = Annotation("smoke", Box(0, 0, 20, 20))
    page = labelling.save(ws, page, (*page.annotations, drawn), verb="draw")
    done = finish(prelabel.run(ws, "d", model))
    assert (done.result["predictions"], done.result["already_truth"], done.result["rejected_before"]) == (
        0,
        1,
        1,
    )
    assert labelling.load(ws, asset).annotations == page.annotations
    labelling.undo(ws, labelling.load(ws, asset))
    page = labelling.load(ws, asset)
    page = labelling.undo(ws, page) or page  # the rejection is taken back: the prediction lives again
    finish(prelabel.run(ws, "d", model))
    assert sorted(a.label for a in labelling.load(ws, asset).annotations) == ["helmet", "person"]


def test_a_run_again_does_not_double_predictions(ws: Workspace, model: str, tmp_path: Path) -> None:
    _, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 2), dataset="d")
    finish(prelabel.run(ws, "d", model))
    finish(prelabel.run(ws, "d", model))
    assert [len(labelling.load(ws, a).annotations) for a in assets] == [2, 2]


def test_a_picture_that_cannot_be_decoded_is_a_problem_and_the_rest_is_done(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    paths = draw(tmp_path / "p", 3)
    paths[1].write_bytes(b"\xff\xd8 no picture")
    _, assets = enrol(ws, tmp_path, paths, dataset="d")
    events = list(prelabel.run(ws, "d", model))
    assert [type(e) for e in events if isinstance(e, Warned)] == [Warned]
    assert isinstance(events[-1], Finished)
    assert events[-1].problems == 1
    assert [len(labelling.load(ws, a).annotations) for a in assets] == [2, 0, 2]
    (problem,) = browse.problems(ws)
    assert problem.asset_id == assets[1]
    assert "0001.jpg" in problem.where


def test_undo_of_a_prelabel_job_takes_every_prediction_back_but_what_was_accepted(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    _, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 4), dataset="d")
    step = int(str(finish(prelabel.run(ws, "d", model)).result["step"]))
    page = labelling.load(ws, assets[0])
    labelling.accept(ws, page, [page.annotations[0].uid])
    with pytest.raises(Conflict, match="1 of the objects were changed"):
        labelling.undo_step(ws, step)
    labelling.undo_step(ws, step, skip_changed=True)
    assert [len(labelling.load(ws, a).annotations) for a in assets] == [1, 0, 0, 0]


def test_a_bare_undo_takes_back_the_pre_labelling_that_the_person_started_and_not_that_of_another(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "p", 2), dataset="d")
    step = finish(prelabel.run(ws, "d", model)).result["step"]
    newest = labelling.last_step(ws)
    assert newest is not None and newest.step == step and newest.verb == "prelabel"
    with workspace.open(str(ws.location), person="somebody else") as other:
        assert labelling.last_step(other) is None
    labelling.undo_step(ws, newest.step)
    before = labelling.last_step(ws)
    assert before is not None and before.verb != "prelabel"


def test_unknown_classes_become_a_schema_version_and_strict_or_a_filter_keeps_them_out(
    ws: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    onnx_format.save(toy_model(TWO, metadata={"names": "{0: 'person', 1: 'teapot'}"}), str(path))
    onnx.add(ws, path, name="m")
    enrol(ws, tmp_path, draw(tmp_path / "p", 1), dataset="d")
    with pytest.raises(InvalidInput, match="teapot"):
        list(prelabel.run(ws, "d", "m", strict=True))
    assert jobs.listing(ws) == []
    finish(prelabel.run(ws, "d", "m", classes=["person"]))
    assert schema.current(ws).resolve("teapot") is None
    warned = [e for e in prelabel.run(ws, "d", "m") if isinstance(e, Warned)]
    assert "version 2" in warned[0].what
    with pytest.raises(InvalidInput, match="no class kettle"):
        list(prelabel.run(ws, "d", "m", classes=["kettle"]))


def test_a_cancelled_job_waits_resumes_and_ends_with_every_picture_once(
    ws: Workspace, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prelabel, "SHARD_ASSETS", 7)
    monkeypatch.setattr(prelabel, "COMMIT_EVERY_S", 0)
    _, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 30), dataset="d")
    work = prelabel.run(ws, "d", model)
    for event in work:
        if getattr(event, "done", 0) >= 5:
            break
    work.close()
    (row,) = jobs.listing(ws)
    assert row.state == "waiting"
    assert 0 < row.done < 30
    done = finish(jobs.resume(ws, row.id))
    assert done.result["finished"] is True
    assert done.result["pictures"] == 30 - row.done
    assert rows_ever(ws) == 60
    assert [len(labelling.load(ws, a).annotations) for a in assets] == [2] * 30


def test_a_cancelled_job_can_be_ended_and_its_part_undone(
    ws: Workspace, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prelabel, "COMMIT_EVERY_S", 0)
    _, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 20), dataset="d")
    work = prelabel.run(ws, "d", model)
    for event in work:
        if getattr(event, "done", 0) >= 3:
            break
    work.close()
    (row,) = jobs.listing(ws)
    assert row.step
    with pytest.raises(Conflict, match="still being written"):
        labelling.undo_step(ws, row.step)
    jobs.cancel(ws, row.id)
    labelling.undo_step(ws, row.step)
    assert not any(labelling.load(ws, a).annotations for a in assets)


def test_two_workers_share_a_job_and_no_picture_is_done_twice(
    ws: Workspace, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prelabel, "SHARD_ASSETS", 4)
    _, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 24), dataset="d")
    work = prelabel.run(ws, "d", model, threads=1)
    next(work)
    second = threading.Thread(target=lambda: list(prelabel.run(ws, "d", model, threads=1)))
    second.start()
    list(work)
    second.join()
    assert rows_ever(ws) == 2 * len(assets)
    assert [j.state for j in jobs.listing(ws)] == ["finished"]


CHILD = """
import sys
from app.services import predictions, prelabel, workspace
prelabel.SHARD_ASSETS, prelabel.COMMIT_EVERY_S, predictions.PAUSE_S = 9, 0, 0.02
ws = workspace.open(sys.argv[1])
list(prelabel.run(ws, "d", "two", threads=2))
"""


def test_kill_9_at_random_moments_loses_no_picture_and_does_none_twice(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    _, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 60), dataset="d")
    rng = random.Random(3)
    for n in range(6):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(ws.folder)], stdout=subprocess.DEVNULL)
        target = n * 8 + rng.randint(1, 7)
        while not (listed := jobs.listing(ws)) or listed[0].done < target:
            with contextlib.suppress(subprocess.TimeoutExpired):  # asked again soon, not all the time
                pytest.fail(f"the child ended by itself: {child.wait(0.002)}")
        child.kill()
        child.wait()
    done = finish(prelabel.run(ws, "d", model))
    assert done.result["finished"] is True
    assert [len(labelling.load(ws, a).annotations) for a in assets] == [2] * 60
    assert rows_ever(ws) == 120
    assert len(jobs.listing(ws)) == 1


def test_the_same_file_under_another_name_is_listed_and_another_file_under_the_same_name_is_refused(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.onnx"
    onnx_format.save(toy_model(columns(), metadata={"names": "{0: 'a', 1: 'b'}"}), str(other))
    with pytest.raises(InvalidInput, match="another model is called"):
        onnx.add(ws, other, name="two")
    assert onnx.add(ws, tmp_path / "two.onnx", name="zwei").sha256 == onnx.show(ws, "two").sha256
    onnx.remove(ws, "two")
    assert [m.name for m in onnx.listing(ws)] == ["zwei"]


def test_only_pictures_of_the_state_asked_for_are_predicted(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    _, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 4), dataset="d")
    page = labelling.load(ws, assets[1])
    labelling.save(ws, page, (Annotation("person", Box(1, 1, 9, 9)),), verb="draw")
    done = finish(prelabel.run(ws, "d", model, state="unlabelled"))
    assert (done.result["pictures"], done.result["finished"]) == (3, True)
    assert [len(labelling.load(ws, a).annotations) for a in assets] == [2, 1, 2, 2]


def test_a_provider_that_is_not_here_is_refused_before_a_job_is_made(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "p", 1), dataset="d")
    with pytest.raises(Unavailable, match="no such provider"):
        finish(prelabel.run(ws, "d", model, provider="cann"))
    assert jobs.listing(ws) == []
    versions.freeze(ws, "d", tag="v1")


def prelabel_job(ws: Workspace, model: str) -> Job:
    """A job over dataset d that nobody has begun."""
    (done,) = prelabel.run(ws, "d", model, later=True)
    assert isinstance(done, Finished) and done.result["queued"] is True
    with ws.db.read() as conn:
        return storage_jobs.get(conn, int(str(done.result["job"])))


def test_a_shard_closed_by_the_reader_ahead_does_not_unsettle_the_one_at_work(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    """Commit of a piece's last result, then an empty piece met while reading ahead, then the end of the first."""
    _, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 4), dataset="d")
    job = prelabel_job(ws, model)
    with ws.db.read() as conn:
        data = queries.dataset(conn, "d")
    writer = Writer(ws, job, data, bytes.fromhex(onnx.show(ws, model).sha256), {})
    first, second = (
        storage_jobs.lease_piece(ws.db, job.id, "me", lambda _c, position, _l: position + 2) for _ in range(2)
    )
    assert first is not None and second is not None
    results = [Result(a, (160, 96), (), None) for a in assets[:2]]
    writer.commit(first, results, first.last)
    writer.close(second, [])
    assert writer.close(first, []) == 0
    with ws.db.read() as conn:
        assert storage_jobs.unfinished(conn, job.id) == 0


@pytest.mark.parametrize(
    "ws", ["folder", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
def test_a_model_is_added_once_used_and_removed_on_both_kinds_of_workspace(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    assert onnx.add(ws, tmp_path / "two.onnx", name="two").name == model
    assert [m.name for m in onnx.listing(ws)] == ["two"]
    enrol(ws, tmp_path, draw(tmp_path / "p", 2), dataset="d")
    assert finish(prelabel.run(ws, "d", model)).result["predictions"] == 4
    onnx.remove(ws, model)
    assert onnx.listing(ws) == []


@pytest.mark.parametrize("wrong", [{"state": "nonsense"}, {"provider": "nonsense"}])
def test_a_job_that_could_never_run_is_refused_before_it_begins(
    ws: Workspace, model: str, tmp_path: Path, wrong: dict[str, str]
) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "p", 1), dataset="d")
    with pytest.raises(InvalidInput, match="nonsense"):
        list(prelabel.run(ws, "d", model, **wrong))  # type: ignore[arg-type]
    assert jobs.listing(ws) == []


def test_work_that_another_process_still_does_is_reported_as_done_in_part(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "p", 2), dataset="d")
    first = prelabel.run(ws, "d", model)
    while not isinstance(next(first), Progress):  # it holds the only shard
        pass
    *_, warned, ended = prelabel.run(ws, "d", model)
    assert isinstance(warned, Warned) and isinstance(ended, Finished)
    assert (ended.result["finished"], ended.problems) == (False, 1)
    assert finish(first).problems == 0


def test_one_job_that_cannot_go_on_does_not_keep_the_others_waiting(
    ws: Workspace, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "p", 2), dataset="d")
    for name in (onnx.add_demo(ws).name, model):
        begun = prelabel.run(ws, "d", name)
        while not isinstance(next(begun), Started):
            pass
        begun.close()
    onnx.remove(ws, "demo")
    capsys.readouterr()
    assert cli.main(["-w", ws.location, "jobs", "resume", "--json"]) == 3
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert [(r["model"], r["finished"]) for r in result["resumed"]] == [("two", True)]
    assert [w["where"] for w in result["warnings"]] == ["job 1"]
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "ws", ["folder", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
def test_what_two_workers_of_one_job_ran_with_is_both_kept(ws: Workspace, model: str, tmp_path: Path) -> None:
    """Each is an activity of its own that its rows point to, linked to the job's; all of it is one step."""
    _, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 2), dataset="d")
    job = prelabel_job(ws, model)
    with ws.db.read() as conn:
        data = queries.dataset(conn, "d")
        (first, last) = assets
    pieces = []
    for end in (first, last):
        piece = storage_jobs.lease_piece(ws.db, job.id, f"other:{end}:1", lambda _c, _p, _l, end=end: end)
        assert piece is not None
        pieces.append(piece)
    for host, piece in zip(("north", "south"), pieces, strict=True):
        writer = Writer(ws, job, data, bytes.fromhex(onnx.show(ws, model).sha256), {"person": "person"})
        writer.run = predictions.begin_run(ws, job, {"host": host, "provider": "cpu"})
        seen = (Annotation("person", Box(1, 1, 9, 9), score=0.5, origin="model"),)
        writer.close(piece, [Result(piece.last, (160, 96), seen, None)])
    assert orders.settle(ws, job)[0]
    with ws.db.read() as conn:
        made = [
            (json.loads(r[0])["host"], r[1], r[2])
            for r in conn.exec_driver_sql(
                "SELECT v.params, v.kind, c.step FROM annotation n JOIN activity v ON v.id = n.activity_id "
                "JOIN change c ON c.rev = n.born ORDER BY n.id"
            )
        ]
        step = storage_jobs.get(conn, job.id).step
    assert made == [("north", "prelabel run", step), ("south", "prelabel run", step)]
    for asset, host in zip(assets, ("north", "south"), strict=True):
        found = lineage.trace(ws, str(asset))
        (mine,) = found.of_type("prelabel run")
        (whole,) = found.of_type("prelabel")
        assert mine.facts["params"]["host"] == host  # type: ignore[index]
        assert [r["host"] for r in whole.facts["runs"]] == ["north", "south"]  # type: ignore[attr-defined]
        assert ("wasInformedBy", mine.id, whole.id) in {(e.relation, e.source, e.target) for e in found.edges}
    version = versions.freeze(ws, "d", tag="v1", filter=versions.Filter(predictions=True))
    told = lineage.trace(ws, version.ref)
    assert {n.facts["params"]["host"] for n in told.of_type("prelabel run")} == {"north", "south"}  # type: ignore[index]
    labelling.undo_step(ws, int(step or 0))
    assert not any(labelling.load(ws, a).annotations for a in assets)

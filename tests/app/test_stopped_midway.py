"""Machine work that meets what changed meanwhile: pictures that joined, a cancel during a pause, another collector."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import sqlalchemy as sa

from annotation.errors import Conflict, InvalidInput, Unavailable
from app import cli, worker
from app.events import Finished, Progress, Warned, Work
from app.hours import CLOCK
from app.services import (
    batching,
    cleaning,
    coco_results,
    evaluation,
    farm,
    ingest,
    jobs,
    labelling,
    onnx,
    orders,
    prelabel,
    publish,
    runners,
    trackids,
    versions,
)
from app.services.orders import Course
from app.services.workspace import Workspace
from models import recipe as recipes
from storage import jobs as shards
from storage import likeness, record
from storage.db import now_ms
from storage.hub import folder as hubs
from storage.hub import jobdir
from tests.app.conftest import draw, enrol
from tests.app.test_hours import Wall
from tests.models.toys import columns, toy_model


@pytest.fixture
def model(ws: Workspace, tmp_path: Path) -> str:
    """A detector of two boxes on any picture."""
    table = columns((16, 16, 16, 16, 0.5, 0.0), (48, 32, 16, 24, 0.0, 0.4))
    path = tmp_path / "m.onnx"
    path.write_bytes(toy_model(table, metadata={"names": "{0: 'person', 1: 'helmet'}"}).SerializeToString())
    return onnx.add(ws, path, name="m").name


def finish(work: Work) -> dict[str, object]:
    return next(dict(e.result) for e in work if isinstance(e, Finished))


def live(ws: Workspace) -> int:
    with ws.db.read() as conn:
        return int(conn.exec_driver_sql("SELECT count(*) FROM annotation WHERE died IS NULL").scalar_one())


def test_tracks_are_of_the_pictures_that_were_there_when_the_job_was_made(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "a", 2), dataset="d")
    list(prelabel.run(ws, "d", model))
    row = onnx.show(ws, model)
    with ws.db.write() as conn:
        job = shards.get(conn, trackids.begin(conn, 1, "d", row.name, row.sha256))
    for late in ("b", "c"):  # folders of their own, that is sequences of their own
        list(ingest.run(ws, [different(tmp_path / late)], dataset="d"))
    assert finish(trackids.go_on(ws, job))["frames"] == 2
    assert jobs.listing(ws)[0].state == "finished"


def different(folder: Path) -> Path:
    """A folder of two pictures that no other folder has."""
    for path in draw(folder, 2):
        path.write_bytes(path.read_bytes() + folder.name.encode())
    return folder


def test_tracking_again_after_a_kill_goes_on_with_the_job_that_waits(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "a", 2), dataset="d")
    list(prelabel.run(ws, "d", model))
    work = trackids.run(ws, "d", model)
    next(work)
    work.close()
    finish(trackids.run(ws, "d", model))
    assert [(r.kind, r.state) for r in jobs.listing(ws)] == [("track", "finished"), ("prelabel", "finished")]


def test_a_job_cancelled_while_it_pauses_for_its_hours_does_nothing_more(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "p", 3), dataset="d")
    wall = Wall("21:55:00")
    warned: list[str] = []
    result: Mapping[str, object] = {}
    for event in prelabel.run(ws, "d", model, course=Course(window="22:00-06:00"), clock=wall.clock):
        if isinstance(event, Progress) and "22:00" in event.note:
            (row,) = jobs.listing(ws)
            if row.state == "waiting":
                jobs.cancel(ws, row.id)
        if isinstance(event, Warned):
            warned.append(event.what)
        if isinstance(event, Finished):
            result = event.result
    assert (live(ws), result["finished"]) == (0, False)
    assert [row.state for row in jobs.listing(ws)] == ["cancelled"]
    assert warned[-1] == "it was cancelled meanwhile"


@pytest.mark.parametrize(
    "ws", ["folder", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
def test_nothing_of_a_cancelled_job_is_leased_and_nothing_leased_of_it_counts(ws: Workspace) -> None:
    with ws.db.write() as conn:
        activity = record.start_activity(conn, "prelabel", ws.person.id, {})
        number = shards.create(
            conn, "prelabel", activity_id=activity, dataset_id=None, params={}, shards=[(1, 5), (6, 9)]
        )
        mine = shards.lease(conn, number, "elsewhere:1:1")
        assert mine is not None
        shards.finish(conn, number, "cancelled")
        assert shards.lease(conn, number, "me") is None
    assert shards.lease_piece(ws.db, number, "me", lambda *_: None) is None
    assert shards.lease_shard(ws.db, number, mine.shard_id + 1, "me") is None
    with pytest.raises(Conflict, match="cancelled"), ws.db.write() as conn:
        shards.advance(conn, mine, 5, n=5)
    with ws.db.read() as conn:
        assert (shards.get(conn, number).done, shards.unfinished(conn, number)) == (0, 2)


def test_the_queue_finds_a_job_that_waits_behind_hundreds_that_ended(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "p", 2), dataset="d")
    finish(prelabel.run(ws, "d", model, later=True))
    with ws.db.write() as conn:
        activity = record.start_activity(conn, "export", ws.person.id, {}, open_=False)
        for _ in range(201):
            number = shards.create(conn, "export", activity_id=activity, dataset_id=None, params={})
            shards.finish(conn, number, "finished")
    list(jobs.work_off(ws))
    assert live(ws) == 4


def test_a_job_that_comes_back_without_an_end_is_not_begun_over_and_over(
    ws: Workspace, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "p", 2), dataset="d")
    finish(prelabel.run(ws, "d", model, later=True))
    begun: list[int] = []

    def resume(ws: Workspace, job_id: int, **_: object) -> Work:
        begun.append(job_id)
        assert len(begun) < 3
        yield Finished({})

    monkeypatch.setattr(jobs, "resume", resume)
    list(jobs.work_off(ws))
    assert begun == [the_job(ws).id]


# --- job directories -------------------------------------------------------------------------------------------------


@pytest.fixture
def begun(ws: Workspace, model: str, tmp_path: Path) -> jobdir.Opened:
    """A job of four shards by workers of this machine, none begun."""
    draw(tmp_path / "p", 8)
    list(ingest.run(ws, [tmp_path / "p"], dataset="d"))
    course = Course(runner="local:2", shards=4, threads=1, scratch=str(tmp_path / "s"))
    finish(prelabel.run(ws, "d", model, course=course, later=True))
    work = orders.work_of(the_job(ws))
    assert work is not None
    return jobdir.load(Path(work["folder"]), digest=work["digest"])


def the_job(ws: Workspace) -> shards.Job:
    with ws.db.read() as conn:
        return shards.listing(conn)[0]


def set_shard(ws: Workspace, number: int, state: int, owner: str = "") -> None:
    with ws.db.write() as conn:
        found = shards.shards(conn, the_job(ws).id)[number]
        conn.execute(
            sa.text(
                "UPDATE shard SET state = :s, position = CASE WHEN :s = 2 THEN last ELSE position END, owner = :o, "
                "until_ms = :u WHERE id = :i"
            ),
            {"s": state, "o": owner, "u": now_ms() + 60_000, "i": found.id},
        )


def test_shards_that_another_collector_merged_or_is_merging_are_left_to_it(
    ws: Workspace, begun: jobdir.Opened
) -> None:
    finish(worker.run(begun.folder, [0, 1, 2, 3]))
    job = the_job(ws)
    collector = farm._Farm(ws, job, CLOCK, None)
    set_shard(ws, 0, 1, "elsewhere:1:1")
    set_shard(ws, 1, 2)
    list(collector._merge())
    assert sorted(collector.missing) == [0]
    assert live(ws) == 8  # of the two that were left


def test_a_job_beyond_this_process_is_looked_after_by_one_process_of_a_machine(
    ws: Workspace, begun: jobdir.Opened
) -> None:
    job = the_job(ws)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        host = shards.owner().partition(":")[0]
        orders.note_work(ws, job, watcher=f"{host}:{other.pid}:{shards._started(other.pid)}")
        with pytest.raises(Conflict, match="another process looks after it"):
            list(jobs.resume(ws, job.id))
        assert jobs.listing(ws)[0].state == "running"
    finally:
        other.communicate(b"\n")
    assert finish(jobs.resume(ws, job.id))["finished"] is True


def test_a_job_that_a_machine_held_which_is_gone_ends_on_a_persons_word_and_a_living_ones_never(
    ws: Workspace, begun: jobdir.Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    job = the_job(ws)
    line = ["-w", ws.location, "jobs", "cancel", str(job.id)]
    orders.note_work(ws, job, watcher=shards.owner())
    with pytest.raises(Conflict, match=f"process {os.getpid()} works on job"):
        jobs.cancel(ws, job.id, machine_gone=True)
    orders.note_work(ws, job, watcher="elsewhere:77:1")
    assert cli.main(line) == 1
    assert "process 77 of elsewhere" in (said := capsys.readouterr().err) and "--machine-gone" in said
    assert cli.main([*line, "--machine-gone"]) == 0
    assert jobs.listing(ws)[0].state == "cancelled"
    assert not begun.folder.exists()


def test_a_run_that_comes_too_late_for_a_job_says_so_without_figures(
    ws: Workspace, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "p", 3)
    finish(ingest.run(ws, [tmp_path / "p"], dataset="late"))
    first = prelabel.run(ws, "late", model, later=True)
    finish(first)
    job = the_job(ws)
    set_shard(ws, 0, 1, "elsewhere:1:1")
    line = ["-w", ws.location, "prelabel", "--dataset", "late", "--model", model]
    assert cli.main(line) == 3
    said = capsys.readouterr()
    assert said.out.strip() == f"this run did no picture of job {job.id}"
    assert "another process works on the rest" in said.err
    assert cli.main([*line, "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["predictions"] == 0


def test_what_two_processes_note_of_a_job_is_kept_of_both(ws: Workspace, begun: jobdir.Opened) -> None:
    stale = the_job(ws)
    orders.note_work(ws, stale, ticket={"runner": "slurm", "job": 1, "shards": [0]})
    orders.note_work(ws, stale, ticket={"runner": "slurm", "job": 2, "shards": [1]})
    orders.turn(ws, stale, Course(priority=3))
    work = orders.work_of(the_job(ws))
    assert work is not None and [t["job"] for t in work["tickets"]] == [1, 2]


def test_damaged_results_do_not_stand_in_the_way_of_the_next_worker(
    ws: Workspace, begun: jobdir.Opened
) -> None:
    finish(worker.run(begun.folder, [0, 1, 2, 3]))
    (path,) = (begun.folder / "out").glob("0001-*.jsonl")
    path.write_bytes(path.read_bytes()[:-9])  # as a disk or a network may leave it
    assert finish(jobs.resume(ws, the_job(ws).id))["missing"] == [1]
    assert finish(jobs.resume(ws, the_job(ws).id))["finished"] is True
    assert live(ws) == 16


def test_what_is_no_plain_file_in_a_job_directory_is_refused_and_never_waited_for(
    begun: jobdir.Opened, tmp_path: Path
) -> None:
    os.mkfifo(begun.folder / "out" / "0000.done.json")
    with pytest.raises(InvalidInput, match="no plain file"):
        jobdir.done(begun, 0)
    (tmp_path / "long").write_bytes(b"{}")
    (begun.folder / "out" / "0001.done.json").symlink_to(tmp_path / "long")
    with pytest.raises(InvalidInput, match="no plain file"):
        jobdir.done(begun, 1)
    os.mkfifo(begun.folder / "state" / "0000.json")
    assert list(jobdir.told(begun, [0])) == [0]
    os.mkfifo(begun.folder / "log" / "0000.txt")
    assert jobdir.last_words(begun.folder, 0) == ""


def test_a_shard_of_which_one_picture_lies_nowhere_fails_and_marks_none_as_broken(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    draw(tmp_path / "p", 4)
    list(ingest.run(ws, [tmp_path / "p"], dataset="d"))
    version = versions.freeze(ws, "d", tag="v1")
    list(versions.build(ws, version))
    list(publish.run(ws, version.ref, tmp_path / "hub"))
    course = Course(runner="local:1", shards=1, scratch=str(tmp_path / "s"), hub=str(tmp_path / "hub"))
    finish(prelabel.run(ws, "d", model, course=course, later=True))
    work = jobdir.load(Path(str((orders.work_of(the_job(ws)) or {})["folder"])))
    hubs.object_path(tmp_path / "hub", jobdir.manifest(work, 0)[1].asset).unlink()
    (tmp_path / "p").rename(tmp_path / "elsewhere")
    with pytest.raises(Unavailable, match="does not have the source folder"):
        list(worker.run(work.folder, [0]))
    (tmp_path / "elsewhere").rename(tmp_path / "p")
    assert finish(jobs.resume(ws, the_job(ws).id))["undecodable"] == 0


def test_an_array_on_another_cluster_is_asked_for_and_cancelled_there(
    begun: jobdir.Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    north = 'case " $* " in *" --clusters=north "*) ;; *) echo "error: Invalid job id specified" >&2; exit 1;; esac'
    tools = {
        "sbatch": 'echo "77;north"',
        "squeue": f'{north}\necho "CLUSTER: north"; echo 0; echo 3',
        "scancel": f'{north}\necho "$*" > {tmp_path}/cancelled',
    }
    (tmp_path / "bin").mkdir()
    for name, said in tools.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{said}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    runner = runners.chosen("slurm", given=["--clusters=north"])
    ticket = runner.submit(begun.folder, [0, 3])
    assert runner.alive(json.loads(json.dumps(ticket))) == {0, 3}
    runner.cancel(ticket)
    assert "77" in (tmp_path / "cancelled").read_text()


def test_a_shared_folder_with_a_percent_sign_keeps_the_workers_words(
    ws: Workspace, begun: jobdir.Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = begun.folder.rename(tmp_path / "100%done")
    asked: list[tuple[str, ...]] = []

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        asked.append(words)
        return subprocess.CompletedProcess(words, 0, "5\n", "")

    monkeypatch.setattr(runners, "_asked", ask)
    runners.chosen("slurm").submit(moved, [0])
    assert f"--output={tmp_path}/100%%done/log/%4a.txt" in asked[0]


# --- what is measured or judged meanwhile ----------------------------------------------------------------------------


def test_equal_files_of_which_none_was_measured_are_no_groups(ws: Workspace, tmp_path: Path) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "p", 2), dataset="d")
    with ws.db.write() as conn:
        conn.exec_driver_sql("UPDATE asset SET blake3 = (SELECT blake3 FROM asset WHERE id = 1)")
    *_, none = likeness.signs(ws.db.read, [1])
    assert isinstance(none, likeness.Signs) and len(none) == 0
    with ws.db.read() as conn:
        assert likeness.exact(conn, 1, none, none.preferred()).tolist() == []


def test_a_derived_model_that_was_changed_on_the_disk_is_made_and_proved_anew(ws: Workspace) -> None:
    model = onnx.add_demo(ws)
    first = batching.freed(ws, model)
    assert first.path is not None and first.card is not None
    whole = first.path.read_bytes()
    first.path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    again = batching.freed(ws, model)
    assert again.path is not None and again.path.read_bytes() == whole
    assert again.card == first.card


@pytest.mark.parametrize("region", ["5", "true", "'cam3'", "[3]"])
def test_a_region_that_is_none_is_told_in_one_line(region: str) -> None:
    with pytest.raises(InvalidInput, match="region"):
        recipes.from_toml(f"region = {region}")


def test_a_picture_that_leaves_the_dataset_while_a_model_is_judged_is_not_counted(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    _, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 3), dataset="d")
    finish(prelabel.run(ws, "d", model))
    for asset in assets:
        page = labelling.load(ws, asset)
        labelling.accept(ws, page, [a.uid for a in page.annotations])
    work = evaluation.evaluate(ws, evaluation.Ask("d", (model,)))
    while not isinstance(next(work), Progress):
        pass
    list(cleaning.exclude(ws, "d", [cleaning.Pass("one", f"picture:{assets[1]}")], held=True))
    pictures = finish(work)["pictures"]
    assert isinstance(pictures, dict) and pictures["counted"] == 2
    assert [(x["reason"], x["n"], x["pictures"]) for x in pictures["left_out"]] == [
        (evaluation.GONE, 1, [assets[1]])
    ]


def test_predictions_of_two_models_of_like_names_leave_as_two_coco_files(tmp_path: Path) -> None:
    for name in ("a/b", "a_b"):
        out = coco_results.Writer(tmp_path, ["person"], name)
        out.done()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a_b-2.json", "a_b.json", "truth.json"]


def test_a_cleaning_job_ends_at_what_really_left(ws: Workspace, tmp_path: Path) -> None:
    _, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 3), dataset="d")
    twice = [cleaning.Pass(name, f"picture:{assets[0]}") for name in ("one", "other")]
    assert finish(cleaning.exclude(ws, "d", twice))["removed"] == 1
    (row,) = (r for r in jobs.listing(ws) if r.kind == "clean")
    assert (row.done, row.total) == (1, 1)

"""Pre-labelling beyond one process: shards by workers that never see the database, verified, merged once, resumed, undone."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import onnx as onnx_format
import pytest
from blake3 import blake3

from annotation.errors import Conflict, InvalidInput, NotFound, Unavailable
from app import cli, worker
from app.events import Event, Finished, Progress, Warned
from app.hours import Clock
from app.services import (
    farm,
    ingest,
    jobs,
    labelling,
    lineage,
    onnx,
    orders,
    prelabel,
    publish,
    runners,
    versions,
)
from app.services.orders import Course
from app.services.workspace import Workspace
from storage.hub import jobdir, pictures
from tests.app.conftest import draw
from tests.models.toys import columns, toy_model

SLOPE = columns((0.1, 0.0, 0.05, 0.02, 0.001, 0.0), (0.0, 0.07, 0.0, 0.0, 0.0, 0.002))
TABLE = columns((16, 16, 16, 16, 0.5, 0.0), (48, 32, 16, 24, 0.0, 0.4))


@pytest.fixture
def model(ws: Workspace, tmp_path: Path) -> str:
    """A detector whose boxes and scores depend on the picture's mean, so that no two pictures give the same."""
    path = tmp_path / "m.onnx"
    proto = toy_model(TABLE, slope=SLOPE, metadata={"names": "{0: 'person', 1: 'helmet'}"})
    onnx_format.save(proto, str(path))
    return onnx.add(ws, path, name="m").name


@pytest.fixture
def data(ws: Workspace, tmp_path: Path) -> list[int]:
    """Dataset d of 24 pictures, one of them broken after it was registered; their ids."""
    return registered(ws, tmp_path / "p", 24)


def registered(ws: Workspace, folder: Path, n: int) -> list[int]:
    draw(folder, n)
    list(ingest.run(ws, [folder], dataset="d"))
    with ws.db.read() as conn:
        return list(conn.exec_driver_sql("SELECT id FROM asset ORDER BY id").scalars())


def course(tmp_path: Path, **kw: object) -> Course:
    told: dict[str, object] = {"runner": "local:1", "shards": 4, "threads": 1, "scratch": str(tmp_path / "s")}
    return Course(**{**told, **kw})  # type: ignore[arg-type]


def finish(work: Iterator[Event]) -> tuple[Finished, list[Event]]:
    events = list(work)
    assert isinstance(events[-1], Finished)
    return events[-1], events


def content(ws: Workspace) -> list[tuple[object, ...]]:
    """Everything that the live predictions say: to the last 1/1000 px, in the order of pictures."""
    with ws.db.read() as conn:
        rows = conn.exec_driver_sql(
            "SELECT asset_id, label_id, kind, x0, y0, x1, y1, geometry, score_micro, origin FROM annotation "
            "WHERE died IS NULL ORDER BY 1, 2, 4, 5, 6, 7, 9"
        )
        return [tuple(r) for r in rows]


def the_job(ws: Workspace) -> jobs.Job:
    with ws.db.read() as conn:
        return jobs.jobs.listing(conn)[0]


def opened(ws: Workspace) -> jobdir.Opened:
    work = orders.work_of(the_job(ws))
    assert work is not None
    return jobdir.load(Path(work["folder"]), digest=work["digest"])


def begin(ws: Workspace, tmp_path: Path, **kw: object) -> jobdir.Opened:
    """A job whose directory is written and that nobody has begun."""
    finish(prelabel.run(ws, "d", "m", course=course(tmp_path, **kw), later=True))
    return opened(ws)


# --- the whole way ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ws", ["folder", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
def test_shards_by_processes_give_what_one_process_gives_and_one_step_undoes_it(
    ws: Workspace, model: str, data: list[int], tmp_path: Path
) -> None:
    finish(prelabel.run(ws, "d", model))
    alone = content(ws)
    assert len(alone) == 48
    labelling.undo_step(ws, the_job(ws).step or 0)
    assert content(ws) == []
    done, events = finish(prelabel.run(ws, "d", model, course=course(tmp_path, runner="local:2")))
    assert (done.result["finished"], done.result["shards"], done.result["missing"]) == (True, 4, [])
    assert content(ws) == alone
    told = [e.done for e in events if isinstance(e, Progress) and e.total == 24]
    assert told[-1] == 24 and max(told) == 24
    assert list((tmp_path / "s").iterdir()) == []  # the directory is taken away
    job = the_job(ws)
    assert (job.outcome, job.done, job.total) == ("finished", 24, 24)
    labelling.undo_step(ws, job.step or 0)
    assert content(ws) == []


def test_every_shard_is_an_activity_that_names_its_host_and_what_ran_there(
    ws: Workspace, model: str, data: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = begin(ws, tmp_path)
    for shard, node in enumerate(("north", "south", "south", "east")):
        monkeypatch.setenv("SLURMD_NODENAME", node)
        finish(worker.run(work.folder, [shard]))
    finish(jobs.resume(ws, the_job(ws).id))
    found = lineage.trace(ws, str(data[0]))
    (whole,) = found.of_type("prelabel")
    runs = whole.facts["runs"]
    assert [(r["shard"], r["host"]) for r in runs] == [(0, "north"), (1, "south"), (2, "south"), (3, "east")]  # type: ignore[attr-defined]
    (mine,) = found.of_type("prelabel run")
    told = mine.facts["params"]
    assert {"host", "pid", "provider", "runtime", "options", "plan", "shard", "results"} <= set(told)  # type: ignore[call-overload]
    assert mine.title == "prelabel run · north"
    version = versions.freeze(ws, "d", tag="v", filter=versions.Filter(predictions=True))
    titles = {n.title for n in lineage.trace(ws, version.ref).of_type("prelabel run")}
    assert titles == {f"prelabel run · {host}" for host in ("north", "south", "east")}


def test_the_command_line_sends_shards_out_and_lineage_names_their_hosts(
    ws: Workspace, model: str, data: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [
        "-w",
        ws.location,
        "prelabel",
        "--dataset",
        "d",
        "--model",
        model,
        "--runner",
        "local:2",
        "--shards",
        "3",
    ]
    assert cli.main([*line, "--scratch", str(tmp_path / "s"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["finished"], told["shards"], told["pictures"]) == (True, 3, 24)
    assert sum(told["hosts"].values()) == 3
    assert cli.main(["-w", ws.location, "lineage", str(data[0])]) == 0
    assert next(iter(told["hosts"])) in capsys.readouterr().out


def test_a_worker_imports_no_database_and_no_desk(
    ws: Workspace, model: str, data: list[int], tmp_path: Path
) -> None:
    work = begin(ws, tmp_path)
    code = (
        "import sys\nfrom app.__main__ import main\n"
        "assert main(['worker', sys.argv[1], '--shard', '0', '--json']) == 0\n"
        "print('LOADED', *[m for m in ('sqlmodel', 'sqlalchemy', 'sqlite3', 'alembic', 'psycopg', 'PySide6', 'app.services') "
        "if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(work.folder)], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "LOADED"
    assert json.loads(done.stdout)["pictures"] == 6
    assert jobdir.done(work, 0) is not None


def test_a_picture_that_cannot_be_used_is_a_problem_of_its_own_shard(
    ws: Workspace, model: str, data: list[int], tmp_path: Path
) -> None:
    (tmp_path / "p" / "0003.jpg").write_bytes(b"\xff\xd8 another file")
    (tmp_path / "p" / "0004.jpg").unlink()
    done, events = finish(prelabel.run(ws, "d", model, course=course(tmp_path)))
    assert (done.result["finished"], done.problems) == (True, 2)
    warned = {e.where: e.what for e in events if isinstance(e, Warned)}
    assert warned["0003.jpg"] == "the file is not the one that was registered"
    assert "the file is not there" in warned["0004.jpg"]
    assert len(content(ws)) == 44


def test_a_machine_without_the_source_folder_fails_the_shard_and_marks_no_picture_as_broken(
    ws: Workspace, model: str, data: list[int], tmp_path: Path
) -> None:
    (tmp_path / "p").rename(tmp_path / "elsewhere")
    done, events = finish(prelabel.run(ws, "d", model, course=course(tmp_path)))
    assert (done.result["finished"], done.result["missing"]) == (False, [0, 1, 2, 3])
    assert any(isinstance(e, Warned) and "does not have the source folder" in e.what for e in events)
    assert content(ws) == []
    with ws.db.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM problem").scalar_one() == 0
    (tmp_path / "elsewhere").rename(tmp_path / "p")
    done, _ = finish(jobs.resume(ws, the_job(ws).id))
    assert done.result["finished"] is True and len(content(ws)) == 48


def test_workers_take_pictures_from_a_hub_by_digest_when_the_disk_is_not_there(
    ws: Workspace, model: str, data: list[int], tmp_path: Path
) -> None:
    version = versions.freeze(ws, "d", tag="v1")
    list(versions.build(ws, version))
    list(publish.run(ws, version.ref, tmp_path / "hub"))
    (tmp_path / "p").rename(tmp_path / "elsewhere")
    done, _ = finish(prelabel.run(ws, "d", model, course=course(tmp_path, hub=str(tmp_path / "hub"))))
    assert (done.result["finished"], done.problems, len(content(ws))) == (True, 0, 48)


def test_members_of_archives_are_read_by_workers_too(ws: Workspace, model: str, tmp_path: Path) -> None:
    import tarfile
    import zipfile

    paths = draw(tmp_path / "x", 6)
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "a.zip", "w") as z:
        for p in paths[:3]:
            z.write(p, p.name)
    with tarfile.open(tmp_path / "in" / "b.tar.gz", "w:gz") as t:  # packed: the workspace keeps copies
        for p in paths[3:]:
            t.add(p, p.name)
    list(ingest.run(ws, [tmp_path / "in"], dataset="d"))
    done, _ = finish(prelabel.run(ws, "d", model, course=course(tmp_path, shards=2)))
    assert (done.result["pictures"], done.problems, len(content(ws))) == (6, 0, 12)


# --- kills, losses, forgeries ------------------------------------------------------------------------------------------


def test_workers_killed_at_random_moments_cost_their_shards_only_and_the_result_is_the_same(
    ws: Workspace, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    rounds = 4 if whole else 2
    registered(ws, tmp_path / "p", 60)
    finish(prelabel.run(ws, "d", model))
    undisturbed = content(ws)
    labelling.undo_step(ws, the_job(ws).step or 0)
    out = begin(ws, tmp_path, shards=12 if whole else 6, runner="local:2").folder / "out"
    monkeypatch.setitem(farm.ASK_S, "local", 0.005)
    rng = random.Random(7)
    kills = 0
    for n in range(20):
        target = len(jobdir.finished(opened(ws))) + rng.choice((0, 1, 2))
        events: list[Event] = []
        for event in jobs.resume(ws, the_job(ws).id):
            events.append(event)
            tickets = (orders.work_of(the_job(ws)) or {})["tickets"]
            if n < rounds and len(tickets) > n and len(list(out.glob("[0-9]*.done.json"))) >= target:
                for pid, _, _ in tickets[n]["processes"]:
                    if runners._born(pid):
                        os.kill(pid, 9)
                        kills += 1
        assert isinstance(events[-1], Finished)
        if events[-1].result["finished"]:
            break
        assert "incomplete" in str(the_job(ws).outcome)
    assert n >= rounds // 2 and kills >= rounds - 1
    assert content(ws) == undisturbed
    assert list((tmp_path / "s").iterdir()) == []
    with ws.db.read() as conn:  # nothing was written twice: no row of the second job has died
        assert conn.exec_driver_sql("SELECT count(*) FROM annotation").scalar_one() == 2 * len(undisturbed)


def test_a_killed_collector_merges_the_rest_and_nothing_twice(
    ws: Workspace, model: str, data: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(farm, "BATCH_ROWS", 4)
    work = begin(ws, tmp_path)
    finish(worker.run(work.folder, [0, 1, 2, 3]))
    going = jobs.resume(ws, the_job(ws).id)
    for event in going:
        if isinstance(event, Progress) and 0 < the_job(ws).done < 6:
            break
    going.close()  # in the middle of a shard
    assert 0 < the_job(ws).done < 24
    done, _ = finish(jobs.resume(ws, the_job(ws).id))
    assert done.result["finished"] is True
    with ws.db.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*), count(DISTINCT asset_id) FROM annotation").one() == (
            48,
            24,
        )
        assert (
            conn.exec_driver_sql("SELECT count(*) FROM activity WHERE kind = 'prelabel run'").scalar_one()
            == 4
        )


def test_a_shard_that_cannot_be_done_leaves_the_job_incomplete_and_resuming_starts_only_that(
    ws: Workspace, model: str, data: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = begin(ws, tmp_path)
    broken = work.folder / "manifest-0002.jsonl"
    kept = broken.read_bytes()
    broken.write_bytes(kept.replace(b"0012.jpg", b"0013.jpg"))
    done, events = finish(jobs.resume(ws, the_job(ws).id))
    assert (done.result["missing"], done.problems, the_job(ws).done) == ([2], 1, 18)
    (warned,) = (e for e in events if isinstance(e, Warned))
    assert warned.where == "shard 2" and "the manifest is not the one of this job" in warned.what
    row = jobs.listing(ws)[0]
    assert (row.state, row.note) == ("incomplete", "1 of 4 shards are missing: 2")
    assert cli.main(["-w", ws.location, "jobs", "list"]) == 0
    assert "incomplete" in (said := capsys.readouterr().out) and "missing: 2" in said
    with pytest.raises(Conflict):
        versions.freeze(ws, "d", tag="too-soon")
    broken.write_bytes(kept)
    before = {p.name: p.stat().st_mtime_ns for p in (work.folder / "out").iterdir()}
    assert cli.main(["-w", ws.location, "jobs", "resume", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["resumed"][0]
    assert (told["finished"], told["hosts"] and sum(told["hosts"].values())) == (True, 1)
    assert len(before) == 6 and len(content(ws)) == 48
    assert jobs.listing(ws)[0].state == "finished"


def forged(work: jobdir.Opened, number: int, lines: list[bytes], **said: object) -> None:
    """Results of a shard with a matching digest, as somebody who knows the format would write them."""
    body = b"".join(line + b"\n" for line in lines)
    digest = blake3(body).hexdigest()
    for old in (work.folder / "out").glob(f"{number:04d}*"):
        old.unlink()
    (work.folder / "out" / f"{number:04d}-{digest}.jsonl").write_bytes(body)
    told = {
        "ended_ms": 1, "facts": {}, "format": jobdir.FORMAT, "job": work.digest, "n": len(lines), "objects": 0,
        "problems": 0, "results": digest, "shard": number, "started_ms": 1, **said,
    }  # fmt: skip
    (work.folder / "out" / f"{number:04d}.done.json").write_text(json.dumps(told))


def genuine(work: jobdir.Opened, shard: int) -> list[bytes]:
    (path,) = (work.folder / "out").glob(f"{shard:04d}-*.jsonl")
    return path.read_bytes().split(b"\n")[:-1]


FORGERIES = {
    "short": (lambda lines: lines[:-1], {}, "5 results for 6 pictures"),
    "foreign picture": (lambda lines: [lines[1], lines[0], *lines[2:]], {}, "a result of another picture"),
    "other class": (lambda lines: [x.replace(b'"person"', b'"teapot"') for x in lines], {}, "not asked for: 'teapot'"),
    "no shape": (lambda lines: [x.replace(b'"box"', b'"blob"') for x in lines], {}, "blob"),
    "score of 7": (lambda lines: [x.replace(b'"score":', b'"score":7') for x in lines], {}, "score of 0 to 1"),
    "another job": (lambda lines: lines, {"job": "0" * 64}, "results are of another job"),
    "another shard": (lambda lines: lines, {"shard": 3}, "results are of another job"),
    "more said than done": (lambda lines: lines, {"n": 7}, "6 results for 6 pictures"),
    "no digest": (lambda lines: lines, {"results": "../../secret"}, "no digest"),
    "unknown field": (lambda lines: [x.replace(b'"wh":', b'"who":') for x in lines], {}, "cannot be read"),
    "nonsense": (lambda lines: [b"\xff{" for _ in lines], {}, "cannot be read"),
}  # fmt: skip


def test_foreign_short_and_tampered_results_are_refused_each_with_its_line(
    ws: Workspace, model: str, data: list[int], tmp_path: Path
) -> None:
    work = begin(ws, tmp_path)
    finish(worker.run(work.folder, [1]))
    lines = genuine(work, 1)
    for change, told, line in FORGERIES.values():
        forged(work, 1, change(lines), **told)  # type: ignore[operator]
        with pytest.raises(InvalidInput, match=re.escape(line)):
            said = jobdir.done(work, 1)
            assert said is not None
            jobdir.verified(work, 1, said)


def test_nothing_of_refused_results_is_written_and_the_shard_is_done_anew(
    ws: Workspace, model: str, data: list[int], tmp_path: Path
) -> None:
    work = begin(ws, tmp_path)
    finish(worker.run(work.folder, [0, 1, 2, 3]))
    forged(work, 1, genuine(work, 1)[:-1])
    done, events = finish(jobs.resume(ws, the_job(ws).id))
    assert {e.what for e in events if isinstance(e, Warned)} >= {"its results were refused"}
    assert any(isinstance(e, Warned) and "5 results for 6 pictures" in e.what for e in events)
    assert (done.result["missing"], len(content(ws))) == ([1], 36)
    done, _ = finish(jobs.resume(ws, the_job(ws).id))
    assert done.result["finished"] is True and len(content(ws)) == 48


def test_results_changed_after_they_were_written_are_refused(
    ws: Workspace, model: str, data: list[int], tmp_path: Path
) -> None:
    work = begin(ws, tmp_path)
    finish(worker.run(work.folder, [0, 1, 2, 3]))
    (path,) = (work.folder / "out").glob("0001-*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"person"', b'"helmet"'))
    done, events = finish(jobs.resume(ws, the_job(ws).id))
    assert any(isinstance(e, Warned) and "changed after they were written" in e.what for e in events)
    assert done.result["missing"] == [1]


def test_another_job_directory_in_its_place_is_not_taken_for_it(
    ws: Workspace, model: str, data: list[int], tmp_path: Path
) -> None:
    work = begin(ws, tmp_path)
    path = work.folder / "job.json"
    path.write_bytes(path.read_bytes().replace(b'"cpu"', b'"gpu"'))
    with pytest.raises(InvalidInput, match="not the directory of this job"):
        finish(jobs.resume(ws, the_job(ws).id))
    path.unlink()
    with pytest.raises(NotFound):
        finish(jobs.resume(ws, the_job(ws).id))
    jobs.cancel(ws, the_job(ws).id)
    assert content(ws) == []


# --- the worker itself -------------------------------------------------------------------------------------------------


def test_a_second_worker_of_a_shard_finds_it_done_and_ends_and_a_slower_one_changes_nothing(
    ws: Workspace, model: str, data: list[int], tmp_path: Path
) -> None:
    work = begin(ws, tmp_path)
    slow = worker.run(work.folder, [0])
    next(slow)  # it has looked and found nothing done
    finish(worker.run(work.folder, [0]))
    out = {p.name: p.read_bytes() for p in (work.folder / "out").iterdir()}
    done, events = finish(slow)
    assert any(isinstance(e, Warned) and "another worker did this shard" in e.what for e in events)
    assert {p.name: p.read_bytes() for p in (work.folder / "out").iterdir()} == out
    done, _ = finish(worker.run(work.folder, [0]))
    assert (done.result["done"], done.result["done_before"]) == ([], [0])


def test_results_of_a_killed_worker_do_not_stand_in_the_way_of_the_next(
    ws: Workspace, model: str, data: list[int], tmp_path: Path
) -> None:
    work = begin(ws, tmp_path)
    finish(worker.run(work.folder, [0]))
    said = work.folder / "out" / "0000.done.json"
    first = genuine(work, 0)
    said.unlink()  # killed between the results and the word that they are there
    (work.folder / "out" / ".0000.dead.part").write_bytes(b"half a line")
    finish(worker.run(work.folder, [0]))
    assert genuine(work, 0) == first and said.exists()


def test_a_file_system_without_links_keeps_results_create_only_too(
    ws: Workspace, model: str, data: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", link)
    work = begin(ws, tmp_path)
    slow = worker.run(work.folder, [0])
    next(slow)
    finish(worker.run(work.folder, [0]))
    before = (work.folder / "out" / "0000.done.json").read_bytes()
    finish(slow)
    assert (work.folder / "out" / "0000.done.json").read_bytes() == before
    assert len(list((work.folder / "out").iterdir())) == 2


def test_a_worker_of_another_version_and_a_strange_directory_are_refused_in_one_line(
    ws: Workspace, model: str, data: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    work = begin(ws, tmp_path)
    monkeypatch.setattr(worker, "VERSION", "9.9")
    with pytest.raises(InvalidInput, match="made by version"):
        list(worker.run(work.folder, [0]))
    monkeypatch.undo()
    for line in (["worker", str(tmp_path), "--shard", "0"], ["worker", str(work.folder), "--shard", "4"]):
        assert cli.main(line) == 1
        assert "Traceback" not in (said := capsys.readouterr().err) and len(said.splitlines()) == 1
    (tmp_path / "job.json").write_text('{"format":"other"}')
    assert cli.main(["worker", str(tmp_path), "--shard", "0"]) == 1


def test_a_damaged_order_of_a_job_is_refused_in_one_line(
    ws: Workspace, model: str, data: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = begin(ws, tmp_path).folder / "job.json"
    whole = order.read_bytes()
    plain = json.loads(whole)
    wrong = (
        {"roots": ["zz"]}, {"roots": []}, {"roots": ["00"]}, {"model": "\0"}, {"model": "../../m.onnx"}, {"model": "/m.onnx"},
        {"hub": "\0"}, {"store": "\0"}, {"card": {**plain["card"], "outputs": []}}, {"card": {**plain["card"], "pad": -1}},
        {"card": {**plain["card"], "pad": 10**30}},
    )  # fmt: skip
    for damaged in (whole[:-20], b"", *(json.dumps({**plain, **part}).encode() for part in wrong)):
        order.write_bytes(damaged)
        assert cli.main(["worker", str(order.parent), "--shard", "0"]) == 1
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1 and "error of the program" not in said, (damaged, said)


def test_a_hub_with_wrong_bytes_is_not_believed(
    ws: Workspace, model: str, data: list[int], tmp_path: Path
) -> None:
    version = versions.freeze(ws, "d", tag="v1")
    list(versions.build(ws, version))
    list(publish.run(ws, version.ref, tmp_path / "hub"))
    work = begin(ws, tmp_path, hub=str(tmp_path / "hub"))
    item = jobdir.manifest(work, 0)[0]
    stored = tmp_path / "hub" / "objects" / item.asset[:2] / item.asset
    stored.chmod(0o644)
    stored.write_bytes(b"something else")
    assert blake3(pictures.read(work, item)).hexdigest() == item.asset  # the disk has the true ones


def around_now(begin_h: int) -> str:
    """Hours that hold the present time of day, begun so many hours ago."""
    now = datetime.now()
    return f"{now - timedelta(hours=begin_h):%H:%M}-{now + timedelta(hours=6):%H:%M}"


def test_a_worker_sleeps_outside_its_hours_and_goes_on_in_them(
    ws: Workspace, model: str, data: list[int], tmp_path: Path
) -> None:
    work = begin(ws, tmp_path, window="22:00-06:00")
    at = [datetime(2026, 3, 1, 21, 57)]
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        at[0] += timedelta(seconds=seconds)

    done, _ = finish(worker.run(work.folder, [0], clock=Clock(lambda: at[0], wait)))
    assert (done.result["pictures"], sum(waited)) == (6, 180)


def test_no_worker_is_started_outside_the_hours_and_all_are_when_they_begin(
    ws: Workspace, model: str, data: list[int], tmp_path: Path
) -> None:
    at = [datetime.now() - timedelta(hours=1, minutes=3)]
    early: list[int] = []

    def wait(seconds: float) -> None:
        at[0] += timedelta(seconds=20)
        early.append(len((orders.work_of(the_job(ws)) or {})["tickets"]))

    asked = course(tmp_path, window=around_now(1))
    done, events = finish(prelabel.run(ws, "d", model, course=asked, clock=Clock(lambda: at[0], wait)))
    assert done.result["finished"] is True
    assert early[:2] == [0, 0] and 1 in early
    assert any(isinstance(e, Progress) and e.note.startswith("paused until") for e in events)


# --- asking for it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "more", "said"),
    [
        ("cloud", {}, "no runner 'cloud'"),
        ("local:0", {}, "no runner"),
        ("local:2;rm", {}, "no runner"),
        ("slurm:x", {}, "options go to --sbatch"),
        ("slurm", {"options": ("--wrap=rm -rf /",)}, "not given the option"),
        ("slurm", {"options": ("--output=/etc/passwd",)}, "not given the option"),
        ("slurm", {"options": ("--partition=x; reboot",)}, "not given the option"),
        ("slurm", {"options": ("partition=x",)}, "not given the option"),
        ("slurm", {"options": ("--time=`date`",)}, "not given the option"),
        ("slurm", {"scratch": ""}, "no shared folder"),
        ("ray", {"window": "22:00-06:00"}, "hours are kept"),
    ],
)
def test_a_runner_or_an_option_that_is_none_is_refused_before_anything_is_written(
    ws: Workspace, model: str, data: list[int], tmp_path: Path, spec: str, more: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said.replace("(", r"\(")):
        list(prelabel.run(ws, "d", model, course=course(tmp_path, runner=spec, **more)))
    assert [j.kind for j in jobs.listing(ws)] == ["ingest"]
    assert not (tmp_path / "s").exists()


def test_options_of_a_cluster_pass_as_they_are() -> None:
    good = (
        "--partition=night",
        "--time=8:00:00",
        "--mem=8G",
        "--gres=gpu:a100:1",
        "--exclusive",
        "--constraint=(a&b)|c",
    )
    assert runners.options(good) == good


def test_a_machine_without_slurm_says_so(
    ws: Workspace, model: str, data: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="there is no sbatch here"):
        list(prelabel.run(ws, "d", model, course=course(tmp_path, runner="slurm")))


def test_a_cancelled_job_stops_its_workers_and_takes_its_directory_away(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    registered(ws, tmp_path / "p", 60)
    work = prelabel.run(ws, "d", model, course=course(tmp_path, shards=30, runner="local:2"))
    tickets = []
    for _ in work:
        if (kept := orders.work_of(the_job(ws)) if jobs.listing(ws) else None) and kept["tickets"]:
            tickets = kept["tickets"]
            break
    with pytest.raises(Conflict, match="works on job"):
        jobs.cancel(ws, the_job(ws).id)
    work.close()
    assert all(not runners._born(pid) for pid, _, _ in tickets[0]["processes"])
    jobs.cancel(ws, the_job(ws).id)
    assert list((tmp_path / "s").iterdir()) == []
    assert jobs.listing(ws)[0].state == "cancelled"


def test_a_job_begun_without_a_runner_is_not_handed_to_one_and_one_with_a_runner_may_change_it(
    ws: Workspace, model: str, data: list[int], tmp_path: Path
) -> None:
    finish(prelabel.run(ws, "d", model, later=True))
    with pytest.raises(Conflict, match="begun without a runner"):
        list(prelabel.run(ws, "d", model, course=course(tmp_path)))
    jobs.cancel(ws, the_job(ws).id)
    begin(ws, tmp_path)
    finish(prelabel.run(ws, "d", model, course=course(tmp_path, runner="local:2", priority=4), later=True))
    assert (orders.course_of(the_job(ws)).runner, the_job(ws).priority) == ("local:2", 4)
    done, _ = finish(prelabel.run(ws, "d", model))
    assert (done.result["finished"], done.result["shards"]) == (True, 4)


def test_a_rerun_by_shards_replaces_only_this_models_own_predictions(
    ws: Workspace, model: str, data: list[int], tmp_path: Path
) -> None:
    finish(prelabel.run(ws, "d", model))
    page = labelling.load(ws, data[0])
    by = {a.label: a for a in page.annotations}
    page = labelling.accept(ws, page, [by["person"].uid])
    labelling.reject(ws, page, [by["helmet"].uid])
    done, _ = finish(prelabel.run(ws, "d", model, course=course(tmp_path)))
    assert (done.result["predictions"], done.result["already_truth"], done.result["rejected_before"]) == (
        46,
        1,
        1,
    )
    assert len(content(ws)) == 47

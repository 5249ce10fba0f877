"""Pre-labelling on a real Slurm on loopback and on a real Ray: incomplete until every result is there, then whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import onnx as onnx_format
import pytest

from annotation.errors import Unavailable
from app import cli
from app.events import Event, Finished, Progress, Warned
from app.services import farm, ingest, jobs, lineage, onnx, orders, prelabel, runners
from app.services.orders import Course
from app.services.workspace import Workspace
from storage.hub import jobdir
from tests.app.conftest import draw
from tests.models.toys import columns, toy_model
from tests.support import slurm
from tests.support.slurm import Slurm

SLOPE = columns((0.1, 0.0, 0.05, 0.02, 0.001, 0.0), (0.0, 0.07, 0.0, 0.0, 0.0, 0.002))
TABLE = columns((16, 16, 16, 16, 0.5, 0.0), (48, 32, 16, 24, 0.0, 0.4))
N = 12


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    """Slurm on loopback; skipped loudly where its packages are missing or it cannot start."""
    if missing := slurm.missing():
        pytest.skip(
            f"no Slurm here ({', '.join(missing)}; Debian packages slurmctld slurmd slurm-client munge)"
        )
    with slurm.running() as found:
        yield found


@pytest.fixture
def on_cluster(cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    monkeypatch.setitem(farm.ASK_S, "slurm", 0.2)
    monkeypatch.setitem(farm.GRACE_S, "slurm", 0.5)
    return cluster


@pytest.fixture
def data(ws: Workspace, tmp_path: Path) -> list[int]:
    """Dataset d of some pictures and model m."""
    path = tmp_path / "m.onnx"
    onnx_format.save(
        toy_model(TABLE, slope=SLOPE, metadata={"names": "{0: 'person', 1: 'helmet'}"}), str(path)
    )
    onnx.add(ws, path, name="m")
    draw(tmp_path / "p", N)
    list(ingest.run(ws, [tmp_path / "p"], dataset="d"))
    with ws.db.read() as conn:
        return list(conn.exec_driver_sql("SELECT id FROM asset ORDER BY id").scalars())


def finish(work: Iterator[Event]) -> tuple[Finished, list[Event]]:
    events = list(work)
    assert isinstance(events[-1], Finished)
    return events[-1], events


def content(ws: Workspace) -> list[tuple[object, ...]]:
    with ws.db.read() as conn:
        sql = "SELECT asset_id, label_id, x0, y0, x1, y1, score_micro FROM annotation WHERE died IS NULL ORDER BY 1, 2"
        return [tuple(r) for r in conn.exec_driver_sql(sql)]


def course(tmp_path: Path, runner: str, **kw: object) -> Course:
    told: dict[str, object] = {"shards": 3, "threads": 1, "scratch": str(tmp_path / "shared folder")}
    return Course(runner=runner, **{**told, **kw})  # type: ignore[arg-type]


def the_job(ws: Workspace) -> jobs.Job:
    with ws.db.read() as conn:
        return jobs.jobs.listing(conn)[0]


def opened(ws: Workspace) -> jobdir.Opened:
    work = orders.work_of(the_job(ws))
    assert work is not None
    return jobdir.load(Path(work["folder"]), digest=work["digest"])


# --- Slurm -----------------------------------------------------------------------------------------------------------


def test_a_slurm_array_with_one_shard_that_fails_is_incomplete_and_resuming_runs_only_that_one(
    ws: Workspace, data: list[int], tmp_path: Path, on_cluster: Slurm, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(prelabel.run(ws, "d", "m", course=course(tmp_path, "slurm", options=("--time=5",)), later=True))
    work = opened(ws)
    manifest = work.folder / "manifest-0001.jsonl"
    kept = manifest.read_bytes()
    manifest.write_bytes(kept + b"\n")  # this shard cannot be done
    done, events = finish(jobs.resume(ws, the_job(ws).id))
    assert (done.result["finished"], done.result["missing"], done.problems) == (False, [1], 1)
    assert [e.where for e in events if isinstance(e, Warned)] == ["shard 1"]
    assert jobs.listing(ws)[0].state == "incomplete"
    manifest.write_bytes(kept)
    assert cli.main(["-w", ws.location, "jobs", "resume", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["resumed"][0]
    assert (told["finished"], told["hosts"]) == (True, {on_cluster.node: 1})
    arrays = [t["shards"] for t in (orders.work_of(the_job(ws)) or {})["tickets"]]
    assert arrays == [[0, 1, 2], [1]]
    assert len(content(ws)) == 2 * N
    (whole,) = lineage.trace(ws, str(data[0])).of_type("prelabel")
    runs = whole.facts["runs"]
    assert sorted((r["shard"], r["host"]) for r in runs) == [(n, on_cluster.node) for n in range(3)]  # type: ignore[attr-defined]


def test_results_of_a_slurm_array_are_those_of_one_process(
    ws: Workspace, data: list[int], tmp_path: Path, on_cluster: Slurm
) -> None:
    finish(prelabel.run(ws, "d", "m"))
    alone = content(ws)
    done, _ = finish(prelabel.run(ws, "d", "m", course=course(tmp_path, "slurm")))
    assert done.result["finished"] is True and content(ws) == alone


def test_a_submitter_that_goes_away_finds_its_array_again_and_submits_nothing_twice(
    ws: Workspace, data: list[int], tmp_path: Path, on_cluster: Slurm
) -> None:
    work = prelabel.run(ws, "d", "m", course=course(tmp_path, "slurm", options=("--hold",)))
    for event in work:
        if isinstance(event, Progress) and (orders.work_of(the_job(ws)) or {}).get("tickets"):
            break
    work.close()
    (ticket,) = (orders.work_of(the_job(ws)) or {})["tickets"]
    assert runners.Slurm(runners.Way()).alive(ticket) == {0, 1, 2}
    on_cluster.ask("scontrol", "release", str(ticket["job"]))
    done, _ = finish(jobs.resume(ws, the_job(ws).id))
    assert done.result["finished"] is True
    assert len((orders.work_of(the_job(ws)) or {})["tickets"]) == 1


def test_cancelling_the_job_takes_its_array_out_of_the_queue(
    ws: Workspace, data: list[int], tmp_path: Path, on_cluster: Slurm
) -> None:
    work = prelabel.run(ws, "d", "m", course=course(tmp_path, "slurm", options=("--hold",)))
    for event in work:
        if isinstance(event, Progress) and (orders.work_of(the_job(ws)) or {}).get("tickets"):
            break
    work.close()
    (ticket,) = (orders.work_of(the_job(ws)) or {})["tickets"]
    jobs.cancel(ws, the_job(ws).id)
    assert runners.Slurm(runners.Way()).alive(ticket) == set()
    assert list((tmp_path / "shared folder").iterdir()) == []


def test_an_option_that_slurm_itself_refuses_is_said_in_one_line_and_the_job_waits(
    ws: Workspace, data: list[int], tmp_path: Path, on_cluster: Slurm
) -> None:
    with pytest.raises(Unavailable, match=r"Slurm did not take the job: .*partition"):
        list(prelabel.run(ws, "d", "m", course=course(tmp_path, "slurm", options=("--partition=nowhere",))))
    assert jobs.listing(ws)[0].state == "waiting"
    done, _ = finish(prelabel.run(ws, "d", "m", course=course(tmp_path, "local:1")))
    assert done.result["finished"] is True


# --- Ray -------------------------------------------------------------------------------------------------------------

RAY = """
import sys
from app.services import prelabel, workspace
from app.services.orders import Course
ws = workspace.open(sys.argv[1])
*_, done = prelabel.run(ws, "d", "m", course=Course(runner="ray", shards=3, threads=1, scratch=sys.argv[2]))
print(done.result["finished"], done.result["shards"], sum(done.result["hosts"].values()), done.problems)
"""


def test_shards_on_a_real_ray_give_what_one_process_gives(
    ws: Workspace, data: list[int], tmp_path: Path
) -> None:
    """In a process of its own: Ray leaves threads and sockets in whoever starts it."""
    pytest.importorskip(
        "ray", reason='Ray is not installed (pip install "lamproom[ray]"): its runner was not tested'
    )
    finish(prelabel.run(ws, "d", "m"))
    alone = content(ws)
    env = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, "-c", RAY, ws.location, str(tmp_path / "s")], capture_output=True, text=True, env=env, timeout=180, check=False
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["True 3 3 0"], done.stderr[-2000:]
    assert content(ws) == alone


def test_a_machine_without_ray_says_what_to_install(
    ws: Workspace, data: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(Unavailable, match=r"Ray is not installed .*lamproom\[ray\]"):
        list(prelabel.run(ws, "d", "m", course=course(tmp_path, "ray")))

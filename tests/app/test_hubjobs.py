"""Rules of work at a hub: what was ordered runs on proved data, finished is counted from results, a model knows its training set."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import onnx as onnx_format
import pytest

from annotation.errors import Conflict, InvalidInput, NotFound, Unavailable
from app import cli
from app.services import (
    auditing,
    gate,
    hubjobs,
    hubrun,
    hubs,
    lineage,
    onnx,
    publish,
    runners,
    versions,
    workspace,
)
from app.services import jobs as queue
from app.services.gate import Tag
from app.services.workspace import Workspace
from storage.hub import hubjob
from tests.app.sealed import Sealed, run, sealed
from tests.models.toys import columns, toy_model
from tests.support import slurm
from tests.support.slurm import Slurm

TABLE = columns((16, 16, 16, 16, 0.5, 0.0), (48, 32, 16, 24, 0.0, 0.4))
TRAIN = """
import json, pathlib, shutil, sys
data, out, ready = map(pathlib.Path, sys.argv[1:4])
lines = (data / "annotations.jsonl").read_text().splitlines()
shutil.copy(ready, out / "model.onnx")
(out / "metrics.json").write_text(json.dumps({"pictures": len(lines) - 1}))
"""


@pytest.fixture
def world(ws: Workspace, tmp_path: Path) -> Sealed:
    w = sealed(ws, tmp_path / "2号面", n=4)
    w.box(w.assets[0])
    versions.freeze(ws, "face-3", tag="v1")
    run(publish.run(ws, "face-3@v1", tmp_path / "hub"))
    return w


@pytest.fixture
def hub(tmp_path: Path) -> str:
    return str(tmp_path / "hub")


def spec(tmp_path: Path, program: str = TRAIN, **kw: object) -> hubjobs._Told:
    """A job that "trains": its model is a toy that was made before."""
    ready = tmp_path / "ready.onnx"
    if not ready.exists():
        onnx_format.save(toy_model(TABLE, metadata={"names": "{0: 'person', 1: 'helmet'}"}), str(ready))
    said: dict[str, object] = {
        "name": "train-helmet",
        "command": [sys.executable, "-c", program, "{data}", "{out}", str(ready)],
        "outputs": [
            {"path": "model.onnx", "kind": "model"},
            {"path": "metrics.json", "kind": "metrics", "required": False},
        ],
        "resources": {"cpus": 1, "memory_mb": 64, "minutes": 2},
        **kw,
    }
    return msgspec.convert(said, hubjobs._Told)


def submitted(
    w: Sealed, hub: str, tmp_path: Path, told: hubjobs._Told, runner: str = "files"
) -> tuple[int, Path]:
    (tmp_path / "scratch").mkdir(exist_ok=True)
    done, _ = run(hubjobs.submit(w.ws, "face-3@v1", hub, told, scratch=tmp_path / "scratch", runner=runner))
    return int(str(done.result["job"])), Path(str(done.result["folder"]))


def state(w: Sealed, job: int) -> str:
    return hubjobs.state(w.ws, hubjobs.find(w.ws, job)).state


def test_a_trained_model_comes_back_with_the_version_it_was_trained_on(
    world: Sealed, hub: str, tmp_path: Path
) -> None:
    job, folder = submitted(world, hub, tmp_path, spec(tmp_path))
    assert state(world, job) == "written"
    with pytest.raises(Unavailable, match="no results yet"):
        run(hubjobs.collect(world.ws, job))
    run(hubrun.run(folder))
    assert state(world, job) == "finished"
    assert json.loads((folder / "out" / "metrics.json").read_text()) == {"pictures": 4}
    done, _ = run(hubjobs.collect(world.ws, job, name="helmet-2"))
    assert done.result["models"] == ["helmet-2"] and list(done.result["files"]) == ["metrics.json"]  # type: ignore[call-overload]
    assert state(world, job) == "collected"
    row = onnx.show(world.ws, "helmet-2")
    told = (
        lineage.trace(world.ws, "face-3@v1", direction="forward")
        if "direction" in lineage.trace.__code__.co_varnames
        else None
    )
    with world.ws.db.read() as conn:
        linked = set(
            conn.exec_driver_sql(
                "SELECT l.role, l.entity, l.ref FROM link l JOIN activity a ON a.id = l.activity_id WHERE a.kind = 'hub job'"
            ).all()
        )
    version = versions.find(world.ws, "face-3@v1")
    assert {("used", "version", version.uid), ("generated", "model", row.sha256)} <= {
        tuple(r) for r in linked
    }
    assert told is None or told.nodes
    assert [e.verb for e in auditing.listing(world.ws)][-2:] == ["submit", "collect"]
    with pytest.raises(Conflict, match="has ended"):
        run(hubjobs.collect(world.ws, job))


def test_predictions_of_a_hub_become_predictions_here_and_the_new_model_is_judged(
    world: Sealed, hub: str, tmp_path: Path
) -> None:
    program = (
        "import json, pathlib, shutil, sys\n"
        "data, out, ready = map(pathlib.Path, sys.argv[1:4])\n"
        "shutil.copy(ready, out / 'model.onnx')\n"
        "lines = [json.loads(x) for x in (data / 'annotations.jsonl').read_text().splitlines()][1:]\n"
        "images = [{'id': i, 'file_name': x['path'], 'width': x['width'], 'height': x['height']} for i, x in enumerate(lines)]\n"
        "found = [{'id': 1, 'image_id': 0, 'category_id': 1, 'bbox': [5, 5, 20, 20], 'score': 0.75}]\n"
        "coco = {'images': images, 'annotations': found, 'categories': [{'id': 1, 'name': 'helmet'}]}\n"
        "(out / 'predictions.json').write_text(json.dumps(coco))\n"
    )
    told = spec(
        tmp_path, program,
        outputs=[{"path": "model.onnx", "kind": "model"}, {"path": "predictions.json", "kind": "predictions"}],
    )  # fmt: skip
    job, folder = submitted(world, hub, tmp_path, told)
    run(hubrun.run(folder))
    done, _ = run(hubjobs.collect(world.ws, job, name="new", evaluate_on="face-3"))
    assert done.result["predictions"] == 1 and done.result["models"] == ["new"]
    assert done.result["evaluation"]
    with world.ws.db.read() as conn:
        rows = (
            conn.exec_driver_sql("SELECT score_micro FROM annotation WHERE died IS NULL AND origin = 1")
            .scalars()
            .all()
        )
    assert rows == [750_000]


def test_finished_is_counted_from_results_not_from_what_is_said(
    world: Sealed, hub: str, tmp_path: Path
) -> None:
    job, folder = submitted(world, hub, tmp_path, spec(tmp_path))
    run(hubrun.run(folder))
    done = json.loads((folder / hubjob.DONE).read_text())
    for spoil in ("b3", "lacking", "job"):
        said = json.loads(json.dumps(done))
        match spoil:
            case "b3":
                said["outputs"][0]["b3"] = "0" * 64
            case "lacking":
                said["outputs"] = [o for o in said["outputs"] if o["kind"] != "model"]
            case "job":
                said["job"] = "0" * 64
        (folder / hubjob.DONE).write_text(json.dumps(said))
        assert state(world, job) == "lost", spoil
        with pytest.raises(InvalidInput):
            run(hubjobs.collect(world.ws, job))
    (folder / hubjob.DONE).write_text(json.dumps(done))
    (folder / "out" / "model.onnx").write_bytes(b"another")
    with pytest.raises(InvalidInput, match="not the file"):
        run(hubjobs.collect(world.ws, job))
    assert [m.name for m in onnx.listing(world.ws)] == [] if hasattr(onnx, "listing") else True


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit(3)", "ended with 3"),
        ("pass", "did not write model.onnx"),
        (
            "import pathlib, sys; (pathlib.Path(sys.argv[2]) / 'model.onnx').symlink_to('/etc/hostname')",
            "did not write",
        ),
    ],
)
def test_a_command_that_fails_leaves_its_reason_and_no_results(
    world: Sealed, hub: str, tmp_path: Path, program: str, why: str
) -> None:
    job, folder = submitted(world, hub, tmp_path, spec(tmp_path, program))
    with pytest.raises(Unavailable, match=why):
        run(hubrun.run(folder))
    found = hubjobs.state(world.ws, hubjobs.find(world.ws, job))
    assert found.state == "failed" and why in found.why
    assert not (folder / hubjob.DONE).exists() and not (folder / "out").exists()


def test_a_model_that_cannot_be_recognised_is_not_collected(world: Sealed, hub: str, tmp_path: Path) -> None:
    program = "import pathlib, sys; (pathlib.Path(sys.argv[2]) / 'model.onnx').write_bytes(b'no model')"
    job, folder = submitted(world, hub, tmp_path, spec(tmp_path, program))
    run(hubrun.run(folder))
    with pytest.raises(InvalidInput):
        run(hubjobs.collect(world.ws, job))
    assert state(world, job) == "finished"


def test_a_job_runs_on_the_very_version_it_was_ordered_for(world: Sealed, hub: str, tmp_path: Path) -> None:
    job, folder = submitted(world, hub, tmp_path, spec(tmp_path))
    data = next(
        p
        for p in (tmp_path / "hub" / "objects").rglob("*")
        if p.is_file() and p.read_bytes()[:3] == b"\xff\xd8\xff"
    )
    good = data.read_bytes()
    data.chmod(0o644)
    data.write_bytes(good[:-1] + b"?")
    with pytest.raises((InvalidInput, Unavailable)):
        run(hubrun.run(folder))
    assert state(world, job) == "failed"
    data.write_bytes(good)
    run(hubrun.run(folder))
    assert state(world, job) == "finished"
    again, _ = run(hubrun.run(folder))
    assert again.result["already"] is True


def test_a_runner_killed_midway_is_run_again(world: Sealed, hub: str, tmp_path: Path) -> None:
    flag = tmp_path / "begun"
    program = f"import pathlib, time\npathlib.Path({str(flag)!r}).touch()\ntime.sleep(60) if not pathlib.Path({str(flag)!r} + '2').exists() else None\n{TRAIN}"
    job, folder = submitted(world, hub, tmp_path, spec(tmp_path, program))
    child = subprocess.Popen([*runners.program(), "hubjob", "run", str(folder)], env=runners.environment(),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
    while not flag.exists():
        with suppress(subprocess.TimeoutExpired):
            child.wait(0.05)
        assert child.poll() is None
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert state(world, job) == "running"  # nobody can tell by its files; there are no results
    Path(f"{flag}2").touch()
    run(hubrun.run(folder))
    assert state(world, job) == "finished"


def test_a_job_at_a_hub_holds_up_neither_freezing_nor_the_queue(
    world: Sealed, hub: str, tmp_path: Path
) -> None:
    job, _ = submitted(world, hub, tmp_path, spec(tmp_path))
    versions.freeze(world.ws, "face-3", tag="v2")
    with pytest.raises(InvalidInput, match="not resumed from here"):
        queue.resume(world.ws, job)
    queue.cancel(world.ws, job)
    assert state(world, job) == "cancelled"


def test_what_was_not_published_there_cannot_be_ordered(world: Sealed, tmp_path: Path, hub: str) -> None:
    (tmp_path / "s").mkdir()
    versions.freeze(world.ws, "face-3", tag="v2")
    run(versions.build(world.ws, versions.find(world.ws, "face-3@v2")))
    with pytest.raises(NotFound):
        run(
            hubjobs.submit(world.ws, "face-3@v2", hub, spec(tmp_path), scratch=tmp_path / "s", runner="files")
        )
    assert list((tmp_path / "s").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"command": []}, "command"),
        ({"name": "../x"}, "name"),
        ({"outputs": [{"path": "../x", "kind": "model"}]}, "path"),
        ({"outputs": [{"path": "x", "kind": "file", "required": False}]}, "expected"),
        ({"resources": {"cpus": 0}}, "resources"),
        ({"env": {"A B": "x"}}, "environment"),
        ({"image": "a b"}, "image"),
    ],
)
def test_an_order_that_cannot_be_run_is_refused_before_anything_is_written(
    world: Sealed, hub: str, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    (tmp_path / "scratch").mkdir()
    with pytest.raises(InvalidInput, match=said):
        submitted(world, hub, tmp_path, spec(tmp_path, **change))
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_order_is_written_for_ray_and_kueue_too(world: Sealed, hub: str, tmp_path: Path) -> None:
    told = spec(
        tmp_path,
        image="registry.local/train:1",
        resources={"cpus": 4, "gpus": 2, "memory_mb": 2048, "minutes": 30},
    )
    _, folder = submitted(world, hub, tmp_path, told)
    ray = json.loads((folder / "ray-job.json").read_text())
    assert (ray["entrypoint_num_cpus"], ray["entrypoint_num_gpus"], ray["entrypoint_memory"]) == (
        4,
        2,
        2048 << 20,
    )
    assert ray["entrypoint"].startswith("lamproom hubjob run ") and ray["metadata"]["version"] == "face-3@v1"
    kueue = json.loads((folder / "kueue-job.json").read_text())
    assert kueue["kind"] == "Job" and kueue["spec"]["suspend"] is True
    assert kueue["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "LOCAL_QUEUE"}
    (container,) = kueue["spec"]["template"]["spec"]["containers"]
    assert (
        container["image"] == "registry.local/train:1"
        and container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    )
    script = (folder / "job.sbatch").read_text()
    assert (
        "#SBATCH --gres=gpu:2" in script
        and "#SBATCH --time=30" in script
        and "--container-image=registry.local/train:1" in script
    )


def test_the_estimate_counts_what_the_hub_lacks_and_what_people_noted(
    world: Sealed, tmp_path: Path, hub: str
) -> None:
    hubs.add_folder(world.ws, "datong", Path(hub))
    hubs.note(world.ws, "datong", price_gb=0.5, price_hour=12.0, currency="CNY", capacity="8 x A800")
    told = spec(tmp_path, resources={"cpus": 1, "gpus": 2, "memory_mb": 64, "minutes": 90})
    found = hubjobs.estimate(world.ws, "face-3@v1", "datong", told)
    assert (found.objects, found.size, found.capacity, found.currency) == (0, 0, "8 x A800", "CNY")
    assert found.cost == pytest.approx(1.5 * 2 * 12.0) and found.hours is None
    fresh = hubjobs.estimate(world.ws, "face-3@v1", str(tmp_path / "empty"), told)
    assert fresh.objects == 4 + 3 and fresh.size > 50_000 and fresh.cost is None


@pytest.mark.parametrize("spoil", ["pipe", "link", "linked folder", "huge", "failed is a link"])
def test_what_a_stranger_puts_into_a_jobs_folder_is_named_and_neither_followed_nor_waited_for(
    world: Sealed, hub: str, tmp_path: Path, spoil: str
) -> None:
    job, folder = submitted(world, hub, tmp_path, spec(tmp_path))
    other, _ = submitted(world, hub, tmp_path, spec(tmp_path))
    run(hubrun.run(folder))
    match spoil:
        case "pipe":
            (folder / hubjob.DONE).unlink()
            os.mkfifo(folder / hubjob.DONE)
        case "link":
            (folder / hubjob.SPEC).rename(folder / "elsewhere")
            (folder / hubjob.SPEC).symlink_to(folder / "elsewhere")
        case "linked folder":
            (folder / "out").rename(tmp_path / "elsewhere")
            (folder / "out").symlink_to(tmp_path / "elsewhere")
        case "huge":
            with (folder / hubjob.DONE).open("r+b") as file:
                file.truncate(1 << 40)
        case _:
            (folder / hubjob.DONE).unlink()
            (folder / hubjob.FAILED).symlink_to("/etc/hostname")
    states = {s.id: s.state for s in hubjobs.listing(world.ws)}
    assert states == {job: "failed" if spoil == "failed is a link" else "lost", other: "written"}
    with pytest.raises((InvalidInput, Unavailable)):
        run(hubjobs.collect(world.ws, job))


def test_an_output_that_changes_while_it_is_collected_is_not_kept_under_another_name(
    world: Sealed, hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, folder = submitted(world, hub, tmp_path, spec(tmp_path))
    run(hubrun.run(folder))
    keep = onnx.keep

    def slow(*args: object, **kw: object) -> object:
        (folder / "out" / "metrics.json").write_text('{"pictures": 5}')
        return keep(*args, **kw)  # type: ignore[arg-type]

    monkeypatch.setattr(hubjobs.onnx, "keep", slow)
    with pytest.raises(InvalidInput, match="others than were named"):
        run(hubjobs.collect(world.ws, job))
    assert hubjobs.find(world.ws, job).ended_ms is None


def test_what_was_published_for_one_purpose_is_not_ordered_for_another(
    world: Sealed, hub: str, tmp_path: Path
) -> None:
    gate.set_tag(world.ws, "version", "face-3@v1", Tag(purposes=("evaluation",)))
    with pytest.raises(InvalidInput, match="may be used for evaluation, and this is for training"):
        submitted(world, hub, tmp_path, spec(tmp_path))
    assert list((tmp_path / "scratch").iterdir()) == []
    submitted(world, hub, tmp_path, spec(tmp_path, purpose="evaluation"))
    line = [
        "-w",
        str(world.ws.folder),
        "hubjob",
        "submit",
        "face-3@v1",
        str(tmp_path / "job.toml"),
        "--hub",
        hub,
    ]
    (tmp_path / "job.toml").write_text(
        'name = "train"\ncommand = ["true"]\n[[outputs]]\nkind = "file"\npath = "x"\n'
    )
    line += ["--scratch", str(tmp_path / "scratch"), "--runner", "files"]
    assert cli.main(line) == 1
    assert cli.main([*line, "--override", "agreed by the mine, letter 14"]) == 0
    assert [e.verb for e in auditing.listing(world.ws)][-2:] == ["override", "submit"]


def test_a_job_that_slurm_does_not_take_is_failed_and_one_it_takes_is_never_unknown(
    world: Sealed, hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(script: Path, folder: Path) -> dict[str, object]:
        assert [s.state for s in hubjobs.listing(world.ws)] == [
            "written"
        ]  # whoever is killed here left a job to find
        raise Unavailable("Slurm did not take the job: no such partition")

    monkeypatch.setattr(runners, "demand_slurm", lambda: None)
    monkeypatch.setattr(runners, "begin_script", refuse)
    with pytest.raises(Unavailable, match="no such partition"):
        submitted(world, hub, tmp_path, spec(tmp_path), runner="slurm")
    (shown,) = hubjobs.listing(world.ws)
    assert shown.state == "failed" and "no such partition" in shown.why


def test_neither_another_order_nor_another_content_of_the_version_is_run(
    world: Sealed, hub: str, tmp_path: Path
) -> None:
    job, folder = submitted(world, hub, tmp_path, spec(tmp_path))
    with workspace.create(str(tmp_path / "O"), person="B") as other:
        sealed(other, tmp_path / "x" / "2号面", n=2)
        versions.freeze(other, "face-3", tag="v1")
        run(publish.run(other, "face-3@v1", tmp_path / "theirs"))
    mine = Path(hub)
    mine.rename(tmp_path / "kept")
    (tmp_path / "theirs").rename(mine)
    with pytest.raises(InvalidInput, match="another content"):
        run(hubrun.run(folder))
    with pytest.raises(InvalidInput, match="another content"):
        submitted(world, hub, tmp_path, spec(tmp_path))
    assert state(world, job) == "failed"
    said = json.loads((folder / hubjob.SPEC).read_bytes())
    (folder / hubjob.SPEC).write_text(json.dumps({**said, "command": ["true"]}))
    assert state(world, job) == "lost"


# --- a real Slurm ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    if missing := slurm.missing():
        pytest.skip(
            f"no Slurm here ({', '.join(missing)}; Debian packages slurmctld slurmd slurm-client munge)"
        )
    with slurm.running() as found:
        yield found


def test_slurm_runs_a_job_to_its_model_and_the_verbs_follow_it(
    cluster: Slurm,
    world: Sealed,
    hub: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    spec(tmp_path)  # the toy
    order = tmp_path / "job.toml"
    order.write_text(
        f"name = 'train-helmet'\ncommand = [{json.dumps(sys.executable)}, '-c', {json.dumps(TRAIN)}, '{{data}}', '{{out}}', "
        f"{json.dumps(str(tmp_path / 'ready.onnx'))}]\n[resources]\nmemory_mb = 64\nminutes = 5\n"
        "[[outputs]]\npath = 'model.onnx'\nkind = 'model'\n[[outputs]]\npath = 'metrics.json'\nkind = 'metrics'\n"
    )
    (tmp_path / "scratch").mkdir()
    line = ["-w", str(world.ws.folder), "--json", "hubjob"]
    submit = [*line, "submit", "face-3@v1", str(order), "--hub", hub, "--scratch", str(tmp_path / "scratch")]
    assert cli.main(submit) == 0, capsys.readouterr().err
    told = json.loads(capsys.readouterr().out)
    job = str(told["job"] if "job" in told else told["result"]["job"])
    assert cli.main([*line, "follow", job, "--every", "0.2"]) == 0, capsys.readouterr().out
    assert '"finished"' in capsys.readouterr().out
    assert cli.main([*line, "collect", job, "--name", "from-slurm"]) == 0
    assert onnx.show(world.ws, "from-slurm").present
    assert cli.main([*line, "list"]) == 0 and '"collected"' in capsys.readouterr().out


def test_a_job_of_slurm_is_cancelled_and_a_lost_one_is_told(
    cluster: Slurm, world: Sealed, hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    flag = tmp_path / "begun"
    sleeper = f"import pathlib, time; pathlib.Path({str(flag)!r}).touch(); time.sleep(120)"
    job, folder = submitted(world, hub, tmp_path, spec(tmp_path, sleeper), "slurm")
    while not flag.exists():
        assert state(world, job) in ("waiting", "running")
    hubjobs.cancel(world.ws, job)
    assert state(world, job) == "cancelled"
    with pytest.raises(Conflict):
        hubjobs.cancel(world.ws, job)
    flag.unlink()
    other, folder = submitted(world, hub, tmp_path, spec(tmp_path, sleeper), "slurm")
    while not flag.exists():
        assert state(world, other) in ("waiting", "running")
    ticket = hubjobs.find(world.ws, other).params["ticket"]
    runners.cancel_script(ticket)  # type: ignore[arg-type]  # behind our back
    while state(world, other) in ("running", "waiting"):
        pass
    assert state(world, other) in ("lost", "failed") and not (folder / hubjob.DONE).exists()

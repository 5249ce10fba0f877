"""Pre-labelling elsewhere than on the CPU: an ordered list is said and recorded, and a lost device leaves the job whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import onnx as onnx_format
import pytest
import sqlalchemy as sa

from annotation import scenes
from annotation.errors import InvalidInput, Unavailable
from app.events import Event, Finished, Warned
from app.services import accelerators, forecast, jobs, labelling, onnx, prelabel
from app.services.workspace import Workspace
from models import demo, runtime, selftest, session
from models.recipe import Recipe, from_toml
from models.selftest import Trial
from storage import jobs as storage_jobs
from tests.app.conftest import draw, enrol
from tests.models.test_selftest import PEERS
from tests.models.toys import columns, toy_model

TWO = columns((16, 16, 16, 16, 0.9, 0.0), (48, 32, 16, 24, 0.0, 0.7))
Break = Callable[[int], None]


@pytest.fixture
def model(ws: Workspace, tmp_path: Path) -> str:
    path = tmp_path / "two.onnx"
    onnx_format.save(toy_model(TWO, metadata={"names": "{0: 'person', 1: 'helmet'}"}), str(path))
    return onnx.add(ws, path, name="two").name


class Device:
    """A device of the test's own: the CPU under the name cuda, lost after some runs."""

    def __init__(self) -> None:
        self.left = 1_000_000
        self.passes = True
        self.tests = 0

    def session(self, inner: Any) -> Any:
        device = self

        class Inner:
            def run(self, *arguments: Any) -> Any:
                device.left -= 1
                if device.left < 0:
                    raise RuntimeError(
                        "[ONNXRuntimeError] : 1 : FAIL : CUDA failure 719: unspecified launch failure"
                    )
                return inner.run(*arguments)

            def __getattr__(self, name: str) -> Any:
                return getattr(inner, name)

        return Inner()


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    found = Device()
    prepare, opening, installed, build = runtime.prepare, session._open, runtime.installed, runtime.build

    def prepared(wanted: str, *, threads: int = 1) -> runtime.Way:
        if wanted == "cuda":
            return runtime.Way("cuda", "CPUExecutionProvider", {"device_id": "0", "use_tf32": "0"}, False)
        return prepare(wanted, threads=threads)

    def opened(path: Path, way: runtime.Way, **more: Any) -> Any:
        inner = opening(path, way, **more)
        return found.session(inner) if way.wanted == "cuda" else inner

    def run(name: str, **_: object) -> Trial:
        found.tests += 1
        if found.passes:
            return Trial(name, "passed", build="onnxruntime-gpu 1.0", machine=selftest.machine())
        return Trial(name, "missing", build="onnxruntime-gpu 1.0", missing=("libcublasLt.so.13",))

    monkeypatch.setattr(runtime, "prepare", prepared)
    monkeypatch.setattr(session, "_open", opened)
    monkeypatch.setattr(runtime, "installed", lambda: (*installed(), "cuda"))
    monkeypatch.setattr(
        runtime, "build", lambda wanted="cpu": "onnxruntime-gpu 1.0" if wanted == "cuda" else build(wanted)
    )
    monkeypatch.setattr(selftest, "run", run)
    monkeypatch.setattr(prelabel, "COMMIT_EVERY_S", 0.0)
    return found


def finish(work: object) -> tuple[dict[str, Any], list[Warned]]:
    events: list[Event] = list(work)  # type: ignore[call-overload]
    assert isinstance(events[-1], Finished)
    return dict(events[-1].result), [e for e in events if isinstance(e, Warned)]


def ran(ws: Workspace) -> list[dict[str, Any]]:
    """What each prediction row's activity says it ran on, oldest first."""
    with ws.db.read() as conn:
        rows = conn.execute(
            sa.text(
                "SELECT DISTINCT v.id, v.params FROM annotation n JOIN activity v ON v.id = n.activity_id ORDER BY v.id"
            )
        ).all()
    return [json.loads(params) for _, params in rows]


def test_a_device_lost_in_the_middle_stops_the_job_which_keeps_what_is_done_and_resumes(
    ws: Workspace, model: str, tmp_path: Path, device: Device
) -> None:
    _, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 8), dataset="d")
    device.left = 1 + 4  # the trial run of opening, then four pictures
    with pytest.raises(Unavailable, match="cuda: the provider failed while it worked: CUDA failure 719"):
        list(prelabel.run(ws, "d", model, provider="cuda", threads=1))
    found = [len(labelling.load(ws, a).annotations) for a in assets]
    done = sum(n > 0 for n in found)
    assert found == [2] * done + [0] * (8 - done)  # no picture half written
    assert 1 <= done <= 4
    (job,) = jobs.listing(ws)
    assert (job.state, job.done) == ("waiting", done)
    with ws.db.read() as conn:
        leased = conn.execute(sa.text("SELECT count(*) FROM shard WHERE state = 1")).scalar_one()
    assert leased == 0  # another may take the rest at once
    with pytest.raises(Unavailable):  # still gone: nothing changes
        list(prelabel.run(ws, "d", model, provider="cuda", threads=1))
    device.left = 1_000_000
    result, _ = finish(prelabel.run(ws, "d", model, provider="cuda", threads=1))
    assert result["finished"]
    assert result["pictures"] == 8 - done
    assert [len(labelling.load(ws, a).annotations) for a in assets] == [2] * 8
    assert [j.id for j in jobs.listing(ws)] == [job.id]


def test_a_lost_device_is_never_replaced_by_the_cpu_in_the_middle_even_with_a_list(
    ws: Workspace, model: str, tmp_path: Path, device: Device
) -> None:
    _, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 6), dataset="d")
    device.left = 1 + 3
    with pytest.raises(Unavailable):
        list(prelabel.run(ws, "d", model, provider="cuda,cpu", threads=1))
    done = sum(len(labelling.load(ws, a).annotations) > 0 for a in assets)
    assert done < 6
    assert {r["provider"] for r in ran(ws)} <= {"cuda"}
    result, warned = finish(
        prelabel.run(ws, "d", model, provider="cuda,cpu", threads=1)
    )  # it does not open any more
    assert result["provider"] == "cpu"
    assert [w.what for w in warned] == [
        "cuda is passed over: the provider does not take the model: the model does not run: CUDA failure 719: unspecified "
        "launch failure (`lamproom doctor` tests the provider; the cpu runs every model)"
    ]
    assert [len(labelling.load(ws, a).annotations) for a in assets] == [2] * 6
    assert [r["provider"] for r in ran(ws)][-1] == "cpu"


def test_each_prediction_names_what_really_ran_and_what_was_passed_over(
    ws: Workspace, model: str, tmp_path: Path, device: Device
) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "p", 3), dataset="d")
    device.passes = False
    result, warned = finish(prelabel.run(ws, "d", model, provider="cuda, cpu"))
    assert result["provider"] == "cpu"
    assert len(warned) == 1
    assert warned[0].what.startswith("cuda is passed over: shared libraries are missing: libcublasLt.so.13")
    (facts,) = ran(ws)
    assert facts["provider"] == "cpu"
    assert facts["passed_over"][0][0] == "cuda"
    assert "libcublasLt.so.13" in facts["passed_over"][0][1]
    device.passes = True
    result, warned = finish(prelabel.run(ws, "d", model, provider="cuda,cpu"))
    assert (result["provider"], warned) == ("cuda", [])
    facts = ran(ws)[-1]
    assert (facts["provider"], facts["runtime"], facts["passed_over"]) == ("cuda", "onnxruntime-gpu 1.0", [])
    assert facts["options"]["use_tf32"] == "0"


def test_without_a_list_nothing_else_is_tried(
    ws: Workspace, model: str, tmp_path: Path, device: Device
) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "p", 1), dataset="d")
    device.left = 0
    with pytest.raises(Unavailable, match="cuda: the provider does not take the model"):
        list(prelabel.run(ws, "d", model, provider="cuda"))
    assert device.tests == 0
    assert ran(ws) == []


def test_a_list_of_which_nothing_is_installed_is_refused_before_a_job_is_made(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "p", 1), dataset="d")
    with pytest.raises(Unavailable, match="none of the providers will do"):
        list(prelabel.run(ws, "d", model, provider="cann,coreml"))
    with pytest.raises(InvalidInput, match="unknown provider"):
        list(prelabel.run(ws, "d", model, provider="cann,gpu,cpu"))
    with ws.db.read() as conn:
        assert storage_jobs.listing(conn) == []


def test_a_dry_run_says_what_would_be_passed_over(
    ws: Workspace, model: str, tmp_path: Path, device: Device
) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "p", 2), dataset="d")
    device.passes = False
    _, warned = finish(
        forecast.run(
            ws, "d", model, provider="cuda,cpu", recipe=Recipe(), state=None, where="", untouched=False
        )
    )
    assert [w.what.partition(":")[0] for w in warned] == ["cuda is passed over"]


def test_a_recipe_names_providers_and_an_unknown_one_is_refused() -> None:
    assert from_toml('providers = ["cuda:1", "cpu"]').providers == ("cuda:1", "cpu")
    with pytest.raises(InvalidInput, match="unknown provider"):
        from_toml('providers = ["gpu"]')


def test_a_list_is_taken_from_a_recipe_on_the_command_line(ws: Workspace, model: str, tmp_path: Path) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "p", 2), dataset="d")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('providers = ["coreml", "cpu"]\n')
    done = lamproom(ws, "prelabel", "--dataset", "d", "--model", model, "--recipe", str(recipe))
    assert done["provider"] == "cpu"
    assert done["passed_over"][0][0] == "coreml"


def lamproom(ws: Workspace, *arguments: str, first: str = "") -> dict[str, Any]:
    """The program's own answer as JSON, run in a process of its own."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in (first, *sys.path) if p)}
    done = subprocess.run(
        [sys.executable, "-m", "app", "-w", ws.location, "--json", *arguments],
        capture_output=True, text=True, env=env, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_openvino_prelabels_as_the_cpu_does_and_says_that_it_ran(ws: Workspace, tmp_path: Path) -> None:
    site = PEERS / "onnxruntime-openvino"
    if not site.is_dir():
        pytest.skip("no onnxruntime-openvino (pip install --target it below LAMPROOM_PEERS/providers)")
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for i, path in enumerate(paths):
        cv2.imwrite(str(path), scenes.draw(i).picture)
    _, assets = enrol(ws, tmp_path, paths, dataset="d")
    name = onnx.add(ws, demo.path(), name="demo").name
    boxes: dict[str, list[Any]] = {}
    for wanted, first in (("cpu", ""), ("cuda,openvino,cpu", str(site))):
        done = lamproom(ws, "prelabel", "--dataset", "d", "--model", name, "--provider", wanted, first=first)
        boxes[done["provider"]] = [
            (asset, a.label, a.shape.x0, a.shape.y0, a.shape.x1, a.shape.y1, a.score)  # type: ignore[union-attr]
            for asset in assets
            for a in labelling.load(ws, asset).annotations
        ]
    assert done["passed_over"][0][0] == "cuda"
    assert done["runtime"].startswith("onnxruntime-openvino")
    assert ran(ws)[-1]["provider"] == "openvino"
    assert len(boxes["openvino"]) == len(boxes["cpu"]) > 10
    for one, other in zip(sorted(boxes["cpu"]), sorted(boxes["openvino"]), strict=True):
        assert one[:2] == other[:2]
        assert one[2:6] == pytest.approx(other[2:6], abs=0.01)
        assert one[6] == pytest.approx(other[6], abs=1e-4)
    assert accelerators.file().is_file()


def test_on_a_device_a_large_job_runs_the_free_batch_that_was_proved_and_its_rows_name_the_original(
    ws: Workspace, tmp_path: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx.add(ws, demo.path(), name="drawn")
    enrol(ws, tmp_path, draw(tmp_path / "p", 6), dataset="d")
    monkeypatch.setattr(prelabel.plans, "LEAST_PICTURES", 1)
    monkeypatch.setattr(prelabel.plans.calibrate, "LEAST_S", 0.01)
    done, _ = finish(prelabel.run(ws, "d", "drawn", provider="cuda", score=0.05))
    row = onnx.show(ws, "drawn")
    assert done["file"] != row.sha256
    assert row.path.with_name(f"{row.sha256}.{done['file']}.onnx").is_file()
    assert done["predictions"]
    with ws.db.read() as conn:
        digests = conn.execute(
            sa.text(
                "SELECT DISTINCT v.model_digest FROM annotation n JOIN activity v ON v.id = n.activity_id"
            )
        ).scalars()
        assert [bytes(d).hex() for d in digests] == [row.sha256]

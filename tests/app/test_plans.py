"""Measured plans are kept per model, provider and machine, and a damaged cache only costs a measuring."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.services import browse, ingest, onnx, plans, workspace
from app.services.workspace import Workspace
from models import calibrate
from models.batch import Plan
from models.recipe import PLAIN, Recipe, Tiling
from storage.queries import Query
from tests.models.toys import columns, grey_png, toy_model


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Workspace, str, Query]]:
    monkeypatch.setattr(calibrate, "LEAST_S", 0.01)
    (tmp_path / "m.onnx").write_bytes(toy_model(columns((4, 32, 8, 8, 0.9))).SerializeToString())
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(6):
        (pictures / f"{i}.png").write_bytes(grey_png(40 * i))
    ws = workspace.create(str(tmp_path / "W"))
    list(ingest.run(ws, [pictures], dataset="d"))
    onnx.add(ws, tmp_path / "m.onnx", name="m")
    [data] = browse.datasets(ws)
    yield ws, "m", Query(data.id)
    ws.close()


def test_a_measured_plan_is_kept_and_used_again(
    model: tuple[Workspace, str, Query], monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, name, query = model
    row = onnx.show(ws, name)
    assert plans.kept(row, "cpu", PLAIN) is None
    first = plans.plan_for(ws, row, query, "cpu", PLAIN, 1_000_000)
    found = plans.kept(row, "cpu", PLAIN)
    assert found is not None
    assert found.plan == first
    monkeypatch.setattr(calibrate, "calibrate", lambda *a, **k: pytest.fail("measured again"))
    assert plans.plan_for(ws, row, query, "cpu", PLAIN, 1_000_000) == first
    assert plans.kept(row, "cuda", PLAIN) is None
    assert plans.kept(row, "cpu", Recipe(tiling=Tiling())) is None


def test_pictures_that_are_gone_or_undecodable_are_left_out_of_the_measuring(
    model: tuple[Workspace, str, Query], tmp_path: Path
) -> None:
    ws, name, query = model
    (tmp_path / "pictures" / "0.png").unlink()
    (tmp_path / "pictures" / "1.png").write_bytes(b"no picture any more")
    assert plans.measure(ws, onnx.show(ws, name), query, "cpu", PLAIN).tried


def test_a_small_job_is_not_measured(
    model: tuple[Workspace, str, Query], monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, name, query = model
    monkeypatch.setattr(calibrate, "calibrate", lambda *a, **k: pytest.fail("measured"))
    assert plans.plan_for(ws, onnx.show(ws, name), query, "cpu", PLAIN, 5).chains >= 1


@pytest.mark.parametrize("damage", [b"", b"[1]", b"{", b"\xff", b'{"x": 3}'])
def test_a_damaged_cache_is_measured_anew(model: tuple[Workspace, str, Query], damage: bytes) -> None:
    ws, name, query = model
    row = onnx.show(ws, name)
    plans.file().parent.mkdir(parents=True)
    plans.file().write_bytes(damage)
    assert plans.kept(row, "cpu", PLAIN) is None
    assert isinstance(plans.plan_for(ws, row, query, "cpu", PLAIN, 1000), Plan)
    assert plans.kept(row, "cpu", PLAIN) is not None
    plans.forget()
    assert plans.kept(row, "cpu", PLAIN) is None

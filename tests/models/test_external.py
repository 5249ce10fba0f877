"""Weights in files beside the model: what belongs to it, and what a model may not reach for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from annotation.errors import InvalidInput, LamproomError
from models import external, session
from tests.models import hostile
from tests.models.hostile import WEIGHTS, outside
from tests.models.toys import SIDE, columns, toy_model


def test_a_single_file_is_known_by_its_own_digest_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(toy_model(columns()).SerializeToString())
    body = external.identify(path)
    assert (body.sha256, body.files) == (body.onnx_sha256, ())
    assert body.size_bytes == path.stat().st_size


def test_weights_beside_the_file_belong_to_its_identity_by_name_and_digest(tmp_path: Path) -> None:
    first = external.identify(outside(tmp_path / "a"))
    assert [name for name, _ in first.files] == [WEIGHTS]
    assert first.sha256 not in (first.onnx_sha256, first.files[0][1])
    assert external.identify(outside(tmp_path / "b")) == first
    other = outside(tmp_path / "c")
    weights = other.parent / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    changed = external.identify(other)
    assert changed.onnx_sha256 == first.onnx_sha256
    assert changed.sha256 != first.sha256
    assert external.identify(outside(tmp_path / "d", location="w2.bin")).sha256 != first.sha256


@pytest.mark.parametrize(
    "location", [WEIGHTS, "deep/er/weights.bin", "./weights.bin", "模型 权重.data", ".hidden"]
)
def test_a_model_with_weights_beside_it_runs_and_is_copied_as_a_whole(tmp_path: Path, location: str) -> None:
    path = outside(tmp_path / "from", location=location)
    body = session.identify(path)
    (tmp_path / "to").mkdir()
    copied = external.copy(path, body, tmp_path / "to", name="other.onnx")
    shutil.rmtree(path.parent)
    assert session.identify(copied) == body
    *_, inner = session.inspect(copied)
    (out,) = session.trial_of(inner, {"images": np.zeros((1, 3, SIDE, SIDE), np.float32)}, where="")
    assert out[0, :5, 0].tolist() == [1, 2, 3, 4, 0.5]


def test_one_file_a_weight_and_files_of_the_onnx_package_are_read(tmp_path: Path) -> None:
    model = toy_model(columns((1, 2, 3, 4, 0.5)))
    path = tmp_path / "m.onnx"
    onnx.save(model, str(path), save_as_external_data=True, all_tensors_to_one_file=False, size_threshold=0)
    body = external.identify(path)
    assert len(body.files) == 2
    *_, inner = session.inspect(path)
    assert session.trial_of(inner, {"images": np.zeros((1, 3, SIDE, SIDE), np.float32)}, where="")


@pytest.mark.parametrize(
    "location",
    [
        "../weights.bin", "a/../../weights.bin", "/etc/hostname", "..", ".", "", "a//b", "a/", "C:\\w.bin", "a\\b", "c:w",
        "*/_ORT_MEM_ADDR_/*", "nul", "NUL.bin", "a\nb", "w.bin ", "w.", "x" * 401, "a/b/c/d/e/f/g/h/i", "~/../x",
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused_before_the_runtime_sees_it(
    tmp_path: Path, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.ort, "InferenceSession", lambda *a, **k: pytest.fail("the runtime saw it"))
    (tmp_path / WEIGHTS).write_bytes(bytes(9999))
    path = outside(tmp_path / "in", entries={"location": location})
    with pytest.raises(InvalidInput, match=r"outside its folder|damaged") as refused:
        session.identify(path)
    assert "\n" not in refused.value.line


def test_missing_weights_are_refused_with_their_name(tmp_path: Path) -> None:
    path = outside(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(InvalidInput, match=r"its weights 'weights\.bin' are missing \(put it beside"):
        external.identify(path)


def test_weights_that_were_cut_short_are_refused_with_both_sizes(tmp_path: Path) -> None:
    path = outside(tmp_path)
    whole = (tmp_path / WEIGHTS).stat().st_size
    os.truncate(tmp_path / WEIGHTS, whole - 1)
    with pytest.raises(InvalidInput, match=f"cut short: {whole} bytes are needed, {whole - 1} are there"):
        external.identify(path)


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ({"offset": str(4 * columns().size + 4)}, "cut short"),
        ({"offset": str(10**17)}, "cut short"),
        ({"offset": "-4"}, "damaged"),
        ({"offset": "１２"}, "damaged"),
        ({"offset": "9" * 30}, "damaged"),
        ({"length": "8"}, "is declared, but 8 B"),
        ({"length": str(10**13)}, r"but 10000\.0 GB"),
    ],
)
def test_places_past_the_end_or_of_another_length_are_refused(
    tmp_path: Path, entries: dict[str, str], complaint: str
) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        external.identify(outside(tmp_path, entries=entries))


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("whole", [False, True])
def test_links_are_refused_for_the_file_and_for_a_folder_above_it(tmp_path: Path, whole: bool) -> None:
    path = outside(tmp_path / "in", location="part/weights.bin")
    away = tmp_path / "away"
    if whole:
        (path.parent / "part").rename(away)
        (path.parent / "part").symlink_to(away)
    else:
        (path.parent / "part/weights.bin").rename(away)
        (path.parent / "part/weights.bin").symlink_to(away)
    with pytest.raises(InvalidInput, match="are a link"):
        external.identify(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_weights_that_are_a_folder_or_a_pipe_are_refused_and_never_waited_for(tmp_path: Path) -> None:
    path = outside(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    (tmp_path / WEIGHTS).mkdir()
    with pytest.raises(InvalidInput, match="are no file"):
        external.identify(path)
    (tmp_path / WEIGHTS).rmdir()
    os.mkfifo(tmp_path / WEIGHTS)
    with pytest.raises(InvalidInput, match="are no file"):
        external.identify(path)


def test_two_files_that_are_one_on_another_system_are_refused(tmp_path: Path) -> None:
    model = toy_model(columns())
    for tensor, name in zip(model.graph.initializer, ("W.bin", "w.bin"), strict=True):
        (tmp_path / name).write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=name)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidInput, match="two of its files are called"):
        external.identify(path)


def test_ten_gigabytes_declared_in_a_file_with_holes_are_refused_unread(tmp_path: Path) -> None:
    model = hostile.declared([2_500_000_000])
    tensor = model.graph.initializer[-1]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=WEIGHTS)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with (tmp_path / WEIGHTS).open("wb") as file:
        file.truncate(10**10)
    with pytest.raises(LamproomError, match=r"weights of 10\.0 GB are declared; 6\.4 GB at most"):
        external.identify(path)

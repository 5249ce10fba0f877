"""What was found of a provider is kept, becomes stale with a new runtime, and decides what an ordered list takes."""

from __future__ import annotations

import dataclasses
import json

import pytest

from annotation.errors import Unavailable
from app.services import accelerators, doctor
from models import selftest, session
from models.selftest import Trial

GOOD = Trial(
    "cuda",
    "passed",
    build="onnxruntime-gpu 1.31.1",
    machine=selftest.machine(),
    bits=23,
    apart=3e-7,
    ms=1.5,
    cpu_ms=9.0,
    date=1_700_000_000,
)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is installed, as the test says it."""
    found = {"cpu": "onnxruntime-gpu 1.31.1", "cuda": "onnxruntime-gpu 1.31.1"}
    monkeypatch.setattr(selftest, "installed", lambda **_: found)
    monkeypatch.setattr(session, "demand", lambda name: None)
    monkeypatch.setattr(session, "runtime", lambda name="cpu": found.get(name.partition(":")[0], ""))
    return found


def state(name: str) -> str:
    return next(a.state for a in accelerators.listing() if a.name == name)


def test_a_provider_never_ran_here_until_its_test_passed(
    here: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state("cuda") == "never"
    assert state("cann") == "absent"
    monkeypatch.setattr(selftest, "run", lambda name, **_: GOOD)
    accelerators.test("cuda")
    assert state("cuda") == "ready"
    kept = json.loads(accelerators.file().read_text())["trials"][0]
    assert {"provider", "build", "machine", "device", "driver", "model", "apart", "date"} <= set(kept)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("rounded", "note"),
        ("differs", "fault"),
        ("missing", "fault"),
        ("crashed", "fault"),
        ("late", "fault"),
    ],
)
def test_a_test_that_did_not_pass_is_kept_too(here: dict[str, str], verdict: str, expected: str) -> None:
    accelerators._keep(dataclasses.replace(GOOD, verdict=verdict))
    assert state("cuda") == expected


def test_a_new_runtime_makes_what_was_found_stale(here: dict[str, str]) -> None:
    accelerators._keep(GOOD)
    assert state("cuda") == "ready"
    here["cuda"] = "onnxruntime-gpu 1.32.0"
    assert state("cuda") == "stale"
    del here["cuda"]
    assert state("cuda") == "absent"


def test_a_file_that_cannot_be_read_is_as_good_as_none(here: dict[str, str]) -> None:
    accelerators._keep(GOOD)
    for text in ("", "{", "[]", '{"form": 1, "trials": [{"verdict": 1}]}', '{"form": 99, "trials": []}'):
        accelerators.file().write_text(text)
        assert state("cuda") == "never"
    accelerators._keep(GOOD)
    assert state("cuda") == "ready"
    assert list(accelerators.file().parent.glob(".providers-*")) == []


def test_a_runtime_that_cannot_be_loaded_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> dict[str, str]:
        raise OSError("libfoo.so: cannot open shared object file")

    monkeypatch.setattr(selftest, "installed", broken)
    with pytest.raises(Unavailable, match="libfoo"):
        accelerators.listing()
    assert [f.state for f in doctor.examine() if f.name == "providers"] == ["bad"]


def test_every_verdict_is_a_sentence_and_every_fault_has_a_remedy() -> None:
    for verdict in ("passed", "rounded", "differs", "other", "missing", "failed", "crashed", "late"):
        for name in ("cpu", "cuda", "tensorrt", "openvino", "cann", "qnn"):
            missing = ("libcublasLt.so.13", "libcuda.so.1") if verdict == "missing" else ()
            said, remedy = accelerators.sentence(Trial(name, verdict, reason="x", missing=missing))  # type: ignore[arg-type]
            assert said
            assert bool(remedy) == (verdict not in ("passed", "rounded")), (verdict, name)


def test_missing_libraries_are_named_with_what_brings_them() -> None:
    said, remedy = accelerators.sentence(
        Trial("tensorrt", "missing", missing=("libcuda.so.1", "libcudnn.so.9", "libnvinfer.so.10"))
    )
    assert said == "shared libraries are missing: libcuda.so.1, libcudnn.so.9, libnvinfer.so.10"
    assert "NVIDIA's driver" in remedy
    assert "'onnxruntime-gpu[cuda,cudnn]'" in remedy
    assert "TensorRT 10" in remedy
    _, remedy = accelerators.sentence(Trial("cann", "missing", missing=("libascendcl.so",)))
    assert "set_env.sh" in remedy


def test_a_list_takes_the_first_that_passes_and_says_of_each_other_why(
    here: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tested: list[str] = []

    def run(name: str, **_: object) -> Trial:
        tested.append(name)
        return Trial(name, "missing", missing=("libcublasLt.so.13",), build=here[name])

    monkeypatch.setattr(selftest, "run", run)
    choice, warned = accelerators.choose(("cuda", "cpu"), lambda name: f"session on {name}")
    assert (choice.name, choice.opened) == ("cpu", "session on cpu")
    assert tested == ["cuda"]
    assert len(warned) == 1
    assert warned[0].what.startswith("cuda is passed over: shared libraries are missing: libcublasLt.so.13 (")
    assert warned[0].where == "cpu"


def test_a_test_that_passed_with_this_runtime_is_not_repeated(
    here: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tested: list[str] = []

    def run(name: str, **_: object) -> Trial:
        tested.append(name)
        return dataclasses.replace(GOOD, build=here[name])

    monkeypatch.setattr(selftest, "run", run)
    for _ in range(3):
        choice, warned = accelerators.choose(("cuda", "cpu"), str.upper)
        assert (choice.opened, warned) == ("CUDA", [])
    assert tested == ["cuda"]
    here["cuda"] = "onnxruntime-gpu 1.32.0"
    accelerators.choose(("cuda", "cpu"), str.upper)
    assert tested == ["cuda", "cuda"]


def test_one_name_alone_is_neither_tested_nor_replaced(
    here: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "run", lambda *_, **__: pytest.fail("tested"))

    def refuse(name: str) -> str:
        raise Unavailable("the device is gone", where=name)

    with pytest.raises(Unavailable, match="cuda: the device is gone"):
        accelerators.choose(("cuda",), refuse)


def test_a_model_that_the_first_provider_does_not_take_goes_to_the_next(here: dict[str, str]) -> None:
    accelerators._keep(GOOD)

    def open_on(name: str) -> str:
        if name == "cuda":
            raise Unavailable("the provider does not take the model", where=name)
        return name

    choice, warned = accelerators.choose(("cuda", "cpu"), open_on)
    assert choice.name == "cpu"
    assert "does not take the model" in warned[0].what


def test_work_without_a_model_of_its_own_settles_on_the_first_that_passes(
    here: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        selftest, "run", lambda name, **_: Trial(name, "crashed", reason="SIGSEGV", build=here[name])
    )
    name, warned = accelerators.settled("cuda,cpu")
    assert name == "cpu"
    assert "its process died: SIGSEGV" in warned[0].what
    assert accelerators.settled("cpu") == ("cpu", [])


def test_a_stored_order_that_cannot_be_read_is_the_cpu() -> None:
    assert accelerators.order("cuda:1,cpu") == ("cuda:1", "cpu")
    assert accelerators.order("gpu") == ("cpu",)
    assert accelerators.title("cuda:1") == "NVIDIA CUDA 1"


def test_what_another_machine_of_the_same_home_found_does_not_count_here(here: dict[str, str]) -> None:
    accelerators._keep(dataclasses.replace(GOOD, machine="node07 · another processor"))
    assert state("cuda") == "never"
    accelerators._keep(GOOD)
    assert state("cuda") == "ready"
    assert len(json.loads(accelerators.file().read_text())["trials"]) == 2

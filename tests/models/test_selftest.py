"""The self-test of a provider: it tells passed from differing, rounding, missing, crashing and late, and never raises."""

from __future__ import annotations

import dataclasses
import os
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from annotation.errors import InvalidInput
from models import demo, selftest
from models.selftest import Trial
from tests.models import probes

PEERS = Path(os.environ.get("LAMPROOM_PEERS") or Path(__file__).parents[2] / ".cache" / "peers") / "providers"


def peer(distribution: str) -> list[str]:
    """Where a child finds a real build of the runtime, unpacked by `pip install --target` into the peers' folder."""
    folder = PEERS / distribution
    if not folder.is_dir():
        pytest.skip(f"no {distribution} (pip install --target it below LAMPROOM_PEERS/providers)")
    return [str(folder), *sys.path]


def fake(tmp_path: Path, body: str) -> list[str]:
    """A drawn package folder whose onnxruntime does what `body` says when it is imported."""
    package = tmp_path / "site" / "onnxruntime"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(textwrap.dedent(body))
    return [str(tmp_path / "site"), *sys.path]


def test_the_cpu_passes_in_full_precision_and_keeps_every_fact() -> None:
    trial = selftest.run("cpu")
    assert trial.verdict == "passed"
    assert trial.usable
    assert (trial.bits, trial.apart, trial.share) == (23, 0.0, 1.0)
    assert trial.places >= 10
    assert trial.ms > 0
    assert trial.build.startswith("onnxruntime")
    assert len(trial.model) == 64
    assert trial.date > 1_700_000_000
    assert selftest.from_json(selftest.to_json(trial)) == trial


def test_the_probe_is_what_its_maker_makes() -> None:
    assert demo.path().with_name("probe.onnx").read_bytes() == probes.make()


def test_the_probe_counts_the_bits_that_are_kept() -> None:
    class Rounds:
        """A provider that keeps `bits` after the point, as bfloat16 keeps 7, float16 and TF32 ten."""

        def __init__(self, bits: int) -> None:
            self.bits = bits

        def run(self, feeds: dict[str, np.ndarray], outputs: tuple[str, ...]) -> list[np.ndarray]:
            x = feeds["x"].astype(np.float64)
            kept = (np.round(x * 2.0**self.bits) / 2.0**self.bits).astype(np.float32)
            return [kept, kept[0].reshape(32, 64).T]

    assert [selftest._bits(Rounds(bits)) for bits in (7, 10, 23)] == [7, 10, 23]


def detections(*scores: float) -> np.ndarray:
    out = np.zeros((1, 8, 12), np.float32)
    for i, score in enumerate(scores):
        out[0, :4, i] = 10 * i, 10 * i, 20, 20
        out[0, 4 + i % 4, i] = score
    return out


def test_other_boxes_other_classes_and_numbers_that_are_none_do_not_pass() -> None:
    facts = {"provider": "cuda", "bits": 23, "share": 1.0}
    expected = detections(0.9, 0.8, 0.1)
    assert selftest._judge(dict(facts), expected, expected.copy()).verdict == "passed"
    assert selftest._judge({**facts, "bits": 10}, expected, expected.copy()).verdict == "rounded"
    for change in ("score", "moved", "class", "nan", "shape"):
        found = expected.copy()
        if change == "score":
            found[0, 4, 0] -= 0.02
        elif change == "moved":
            found[0, 2, 1] += 1
        elif change == "class":
            found[0, [4, 6], 0] = found[0, [6, 4], 0]
        elif change == "nan":
            found[0, 4, 5] = np.nan
        else:
            found = found[:, :, :-1]
        trial = selftest._judge(dict(facts), expected, found)
        assert trial.verdict == "differs", change
        assert not trial.usable


def test_a_provider_that_took_no_node_did_not_run() -> None:
    expected = detections(0.9)
    trial = selftest._judge({"provider": "qnn", "bits": 23, "share": 0.0}, expected, expected.copy())
    assert trial.verdict == "other"


def test_a_provider_that_is_not_installed_failed_with_the_reason() -> None:
    trial = selftest.run("coreml")
    assert trial.verdict == "failed"
    assert "no such provider" in trial.reason


def test_an_unknown_name_is_refused_before_a_child_is_begun() -> None:
    with pytest.raises(InvalidInput):
        selftest.run("gpu")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_process_that_dies_is_a_crash_with_its_signal_and_the_stage(tmp_path: Path) -> None:
    paths = fake(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    trial = selftest.run("cuda", paths=paths)
    assert trial.verdict == "crashed"
    assert trial.reason == "SIGSEGV while loading onnxruntime"
    with pytest.raises(OSError, match="SIGSEGV"):
        selftest.installed(paths=paths)


def test_no_answer_in_time_is_late_and_the_child_is_gone(tmp_path: Path) -> None:
    paths = fake(tmp_path, "import threading; threading.Event().wait()")
    trial = selftest.run("cuda", seconds=1.5, paths=paths)
    assert (trial.verdict, trial.usable) == ("late", False)


def test_a_runtime_that_cannot_be_loaded_names_the_missing_library(tmp_path: Path) -> None:
    paths = fake(
        tmp_path, "raise ImportError('libcudart.so.13: cannot open shared object file: No such file')"
    )
    trial = selftest.run("cuda", paths=paths)
    assert trial.verdict == "missing"
    assert trial.missing == ("libcudart.so.13",)


def test_a_module_left_empty_is_told_and_not_a_traceback(tmp_path: Path) -> None:
    paths = fake(tmp_path, "")
    trial = selftest.run("cuda", paths=paths)
    assert trial.verdict == "failed"
    assert "its module is empty" in trial.reason
    with pytest.raises(OSError, match="its module is empty"):
        selftest.installed(paths=paths)


def test_what_a_provider_prints_does_not_spoil_the_answer(tmp_path: Path) -> None:
    paths = fake(tmp_path, "print('{\"provider\": \"noise\"}'); raise ImportError('plain fault')")
    trial = selftest.run("cuda", paths=paths)
    assert trial.provider == "cuda"
    assert "plain fault" in trial.reason


def test_a_trial_of_a_newer_version_is_read_and_a_broken_one_refused() -> None:
    values = selftest.to_json(Trial("cpu", "passed", build="onnxruntime 1.31.1"))
    assert selftest.from_json({**values, "later": 1}).build == "onnxruntime 1.31.1"
    with pytest.raises((KeyError, TypeError, ValueError)):
        selftest.from_json({"verdict": "passed"})


# --- real builds, where they are kept -----------------------------------------------------------------------------


def test_openvino_on_this_processor_agrees_with_the_cpu_in_full_precision() -> None:
    paths = peer("onnxruntime-openvino")
    assert "openvino" in selftest.installed(paths=paths)
    trial = selftest.run("openvino", paths=paths)
    assert trial.verdict == "passed", trial
    assert trial.bits == 23
    assert trial.apart < 1e-5
    assert trial.share > 0.9
    assert trial.build.startswith("onnxruntime-openvino")


def test_without_its_device_openvino_does_not_pretend() -> None:
    trial = selftest.run("openvino:GPU.7", paths=peer("onnxruntime-openvino"))
    assert trial.verdict == "other"
    assert "GPU.7" in trial.reason or "GPU" in trial.reason


def test_the_plugin_is_found_and_runs_or_says_that_it_has_no_device() -> None:
    paths = peer("onnxruntime-ep-openvino")
    build = selftest.installed(paths=paths)["openvino"]
    assert " + onnxruntime-ep-openvino " in build
    trial = selftest.run("openvino", paths=paths)
    assert trial.build == build
    if trial.verdict != "passed":  # not on Intel's processors: microsoft/onnxruntime pull 31981
        assert trial.verdict == "failed"
        assert trial.reason == "the plug-in finds no device here that it can use"


def test_cuda_without_its_libraries_names_every_one_of_them() -> None:
    paths = peer("onnxruntime-gpu")
    trial = selftest.run("cuda", paths=paths)
    if trial.verdict == "passed":
        return
    assert trial.verdict == "missing"
    assert "libcublasLt.so.13" in trial.missing
    assert dataclasses.replace(trial, missing=()).options["use_tf32"] == "0"

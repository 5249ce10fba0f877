"""Providers as data: every row can be used, options pin full precision, and an ordered list is the only fallback."""

from __future__ import annotations

import json

import pytest

from annotation.errors import InvalidInput, Unavailable
from models import providers
from models.providers import PROVIDERS


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_row_names_what_brings_it_where_its_options_stand_and_fills_them_in(name: str) -> None:
    row = PROVIDERS[name]
    assert row.real.endswith("ExecutionProvider")
    assert row.packages
    assert all(package.platforms for package in row.packages)
    assert row.page.startswith("https://onnxruntime.ai/docs/")
    for plugin in (False, True):
        filled = providers.options(name, threads=3, plugin=plugin)
        assert all(
            isinstance(v, str) and "{threads}" not in v and "{device}" not in v for v in filled.values()
        )
    for known in row.known:
        assert known.said
        assert known.remedy
        assert known.source
    assert set(row.libraries) | set(row.files) <= {"linux", "win32", "darwin"}


def test_the_options_pin_float32() -> None:
    assert providers.options("cuda")["use_tf32"] == "0"
    assert {providers.options("tensorrt")[f"trt_{kind}_enable"] for kind in ("fp16", "bf16", "int8")} == {"0"}
    assert PROVIDERS["tensorrt"].environment == {"NVIDIA_TF32_OVERRIDE": "0"}
    for plugin in (False, True):
        config = json.loads(providers.options("openvino", threads=2, plugin=plugin)["load_config"])
        assert config["CPU"] == {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "2"}
        assert config["GPU"] == {"INFERENCE_PRECISION_HINT": "f32"}
    assert providers.options("cann")["precision_mode"] == "must_keep_origin_dtype"
    assert providers.options("migraphx")["migraphx_fp16_enable"] == "0"
    assert providers.options("coreml")["ModelFormat"] == "MLProgram"
    assert providers.options("qnn")["enable_htp_fp16_precision"] == "0"


def test_a_device_may_be_named_where_there_are_several() -> None:
    assert providers.options("cuda:1")["device_id"] == "1"
    assert providers.options("openvino:GPU.1")["device_type"] == "GPU.1"
    assert providers.split("openvino") == ("openvino", "CPU")
    assert "device_type" not in providers.options("openvino:GPU", plugin=True)
    for wrong in ("cpu:0", "cuda:", "cuda:0;rm", "gpu"):
        with pytest.raises(InvalidInput):
            providers.split(wrong)


def test_a_list_is_read_in_its_order_and_an_unknown_name_is_refused() -> None:
    assert providers.listed(" cuda:1, openvino ,cpu,cuda:1,") == ("cuda:1", "openvino", "cpu")
    with pytest.raises(InvalidInput, match="use one of cpu, cuda"):
        providers.listed("cuda,gpu")
    with pytest.raises(InvalidInput, match="no provider is named"):
        providers.listed(" , ")


def opens(*good: str):
    tried: list[str] = []

    def attempt(name: str) -> str:
        tried.append(name)
        if name not in good:
            raise Unavailable(f"no {name} here", where=name, remedy="buy one")
        return f"session on {name}"

    attempt.tried = tried  # type: ignore[attr-defined]
    return attempt


def test_the_first_of_a_list_that_opens_is_taken_and_each_before_it_keeps_its_reason() -> None:
    attempt = opens("openvino", "cpu")
    choice = providers.choose(("cuda", "tensorrt", "openvino", "cpu"), attempt)
    assert (choice.name, choice.opened) == ("openvino", "session on openvino")
    assert choice.skipped == (("cuda", "no cuda here (buy one)"), ("tensorrt", "no tensorrt here (buy one)"))
    assert attempt.tried == ["cuda", "tensorrt", "openvino"]


def test_without_a_list_there_is_no_fallback() -> None:
    attempt = opens("cpu")
    with pytest.raises(Unavailable, match="no cuda here"):
        providers.choose(("cuda",), attempt)
    assert attempt.tried == ["cuda"]


def test_a_list_of_which_nothing_opens_says_why_of_each() -> None:
    with pytest.raises(Unavailable, match=r"cuda: no cuda here.*directml: no directml here"):
        providers.choose(("cuda", "directml"), opens())


def test_a_bug_in_opening_is_no_reason_to_take_the_next() -> None:
    def attempt(name: str) -> str:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        providers.choose(("cuda", "cpu"), attempt)


def test_what_computes_on_the_processor_is_told_from_devices() -> None:
    assert providers.on_processor("openvino")
    assert not any(providers.on_processor(name) for name in ("cpu", "openvino:GPU", "cuda", "cann"))

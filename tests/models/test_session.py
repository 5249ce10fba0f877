"""Opening a model: the file must be the card's, and what was asked for must be what runs."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from annotation.errors import InvalidInput, Unavailable
from models import providers, runtime, session
from models.recognise import recognise
from tests.models.toys import CELLS, SIDE, columns

Toy = Callable[..., Path]


def test_a_session_says_what_runs(toy: Toy) -> None:
    path = toy(columns((1, 2, 3, 4, 0.5)))
    opened = session.open_session(path, recognise(path).card, threads=2)
    assert opened.provider == "cpu"
    assert opened.runtime.startswith("onnxruntime ")
    assert opened.options == {"threads": "2"}
    result = opened.run(np.zeros((1, 3, SIDE, SIDE), np.float32))
    assert [{k: v.shape for k, v in one.items()} for one in result] == [{"table": (6, CELLS)}]
    assert result[0]["table"][:5, 0].tolist() == [1, 2, 3, 4, 0.5]


def test_another_file_than_the_cards_is_refused(toy: Toy) -> None:
    known = recognise(toy(columns())).card
    other = toy(columns((1, 1, 1, 1, 1)), file="other.onnx")
    with pytest.raises(InvalidInput, match="not the file this card was made for"):
        session.open_session(other, known)


def test_an_unknown_provider_is_refused_with_the_known_ones(toy: Toy) -> None:
    path = toy(columns())
    with pytest.raises(InvalidInput, match="cpu, cuda"):
        session.open_session(path, recognise(path).card, provider="gpu")


def test_a_provider_that_is_not_installed_is_an_error_and_not_the_cpu_in_silence() -> None:
    with pytest.raises(Unavailable, match="here: cpu"):
        providers.pick("cuda", ["CPUExecutionProvider"])


def test_a_provider_that_did_not_start_is_an_error(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    path = toy(columns())
    known = recognise(path).card
    really = session.ort.InferenceSession

    def quiet(file: str, settings: object, **_: object) -> object:
        return really(file, settings, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(runtime, "built_in", lambda: ("CUDAExecutionProvider",))
    monkeypatch.setattr(session.ort, "InferenceSession", quiet)
    with pytest.raises(Unavailable, match="CPUExecutionProvider would run instead"):
        session.open_session(path, known, provider="cuda")


def test_the_installed_runtime_lists_the_cpu() -> None:
    assert "cpu" in session.available()


class Lost:
    """A session whose device is lost at the second run."""

    def __init__(self, inner: object) -> None:
        self.inner, self.runs = inner, 0

    def run(self, *arguments: object) -> object:
        self.runs += 1
        if self.runs > 1:
            raise RuntimeError(
                "[ONNXRuntimeError] : 1 : FAIL : 887A0005 The GPU device instance has been suspended"
            )
        return self.inner.run(*arguments)  # type: ignore[attr-defined]


def test_a_device_lost_in_the_middle_is_unavailable_and_a_model_that_fails_on_the_cpu_is_not(
    toy: Toy,
) -> None:
    path = toy(columns())
    opened = session.open_session(path, recognise(path).card)
    batch = np.zeros((1, 3, SIDE, SIDE), np.float32)
    for provider, kind, said in (
        ("cuda", Unavailable, "cuda: the provider failed while it worked: 887A0005 The GPU device"),
        ("cpu", InvalidInput, "the model does not run: 887A0005 The GPU device"),
    ):
        lost = dataclasses.replace(opened, provider=provider, _inner=Lost(opened._inner))
        lost.run(batch)
        with pytest.raises(kind, match=said):
            lost.run(batch)
    bare = session.open_bare(path, recognise(path).card.sha256)
    lone = dataclasses.replace(bare, provider="directml:1", _inner=Lost(bare._inner))
    lone.run({"images": batch}, bare.outputs)
    with pytest.raises(Unavailable, match="directml:1"):
        lone.run({"images": batch}, bare.outputs)


def test_a_provider_that_bears_one_run_at_a_time_gets_one(toy: Toy) -> None:
    path = toy(columns())
    opened = session.open_session(path, recognise(path).card)
    inside: list[int] = []
    most: list[int] = []

    class Slow:
        def run(self, *arguments: object) -> object:
            inside.append(1)
            most.append(len(inside))
            found = opened._inner.run(*arguments)
            inside.pop()
            return found

    one = dataclasses.replace(opened, provider="directml", _inner=Slow())
    batch = np.zeros((1, 3, SIDE, SIDE), np.float32)
    threads = [threading.Thread(target=lambda: [one.run(batch) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 200


def test_a_session_says_which_part_of_the_model_its_provider_took(toy: Toy) -> None:
    path = toy(columns())
    bare = session.open_bare(path, recognise(path).card.sha256)
    assert session.share(bare) == 1.0
    assert session.share(dataclasses.replace(bare, provider="cuda")) == 0.0

"""Opening a model: the file must be the card's, and what was asked for must be what runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from annotation.errors import InvalidInput, Unavailable
from models import providers, session
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

    monkeypatch.setattr(session.ort, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(session.ort, "InferenceSession", quiet)
    with pytest.raises(Unavailable, match="CPUExecutionProvider would run instead"):
        session.open_session(path, known, provider="cuda")


def test_the_installed_runtime_lists_the_cpu() -> None:
    assert "cpu" in session.available()

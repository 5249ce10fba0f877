"""Fixtures that write toy detectors to files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.models.toys import Array, columns, toy_model


@pytest.fixture
def toy(tmp_path: Path) -> Callable[..., Path]:
    """Writes `toy_model(...)` to a file."""

    def make(table: Array, *, file: str = "toy.onnx", **options: Any) -> Path:
        path = tmp_path / file
        path.write_bytes(toy_model(table, **options).SerializeToString())
        return path

    return make


@pytest.fixture
def brightness(toy: Callable[..., Path]) -> Path:
    """A detector whose one box begins at x = the picture's grey / 8, so that a result tells its picture."""
    table, slope = columns((4, 32, 8, 8, 0.9)), columns()
    slope[0, 0, 0] = 255 / 8
    return toy(table, slope=slope, metadata={"names": "{0: 'lamp', 1: 'belt'}"})

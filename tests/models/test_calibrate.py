"""The measured plan: the simplest unless another is really faster, and on a CPU never one that changes a result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from annotation.core import AnnotationSet
from models import calibrate
from models.batch import Plan
from models.recognise import recognise
from tests.models.test_batch import decode
from tests.models.toys import columns, grey_png


def measured(
    monkeypatch: pytest.MonkeyPatch, path: Path, rates: Callable[[Plan], tuple[float, list[AnnotationSet]]]
) -> calibrate.Calibration:
    monkeypatch.setattr(calibrate, "_tried", lambda *args: rates(args[-1]))
    return calibrate.calibrate(path, recognise(path).card, [grey_png(9)], decode=decode, cores=2)


def test_every_candidate_is_really_run(brightness: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "LEAST_S", 0.01)
    found = calibrate.calibrate(
        brightness, recognise(brightness).card, [grey_png(9), grey_png(200)], decode=decode, cores=2
    )
    assert [plan for plan, _ in found.tried] == calibrate.candidates(recognise(brightness).card, "cpu", 2)
    assert all(rate > 0 for _, rate in found.tried)
    assert (found.plan, found.rate) in found.tried


def test_a_plan_that_is_hardly_faster_is_not_worth_it(
    brightness: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simple = measured(monkeypatch, brightness, lambda plan: (100.0 if plan == Plan(2) else 102.0, 0.1, []))
    assert simple.plan == Plan(2)
    faster = measured(monkeypatch, brightness, lambda plan: (150.0 if plan.sessions == 2 else 100.0, 0.1, []))
    assert (faster.plan, faster.rate) == (Plan(2, sessions=2), 150.0)


def test_on_a_processor_a_plan_that_seems_faster_but_costs_more_of_it_is_not_taken(
    brightness: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = measured(
        monkeypatch, brightness, lambda plan: (100.0 * plan.threads, 0.1 + 0.02 * (plan.threads - 1), [])
    )
    assert found.plan == Plan(2)
    assert dict(found.tried)[Plan(1, threads=2)] == 200.0


def test_the_best_turn_of_each_plan_counts(brightness: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = iter([10.0, 100.0, 100.0] + [120.0, 20.0, 100.0] * 2)
    found = measured(monkeypatch, brightness, lambda plan: (next(turns), 0.1, []))
    assert (found.plan, found.rate) == (Plan(2), 120.0)


def test_on_a_cpu_a_faster_plan_that_finds_something_else_is_not_taken(
    brightness: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = measured(monkeypatch, brightness, lambda plan: (plan.threads * 100.0, 0.1, [()] * plan.threads))
    assert found.plan == Plan(2)
    assert dict(found.tried)[Plan(1, threads=2)] == 0.0


def test_batches_are_tried_only_where_the_model_takes_any_number(toy: Callable[..., Path]) -> None:
    fixed, free = (
        recognise(toy(columns(), per_picture=free, file=f"{free}.onnx")).card for free in (False, True)
    )
    assert {p.batch for p in calibrate.candidates(fixed, "cpu", 4)} == {1}
    assert {p.batch for p in calibrate.candidates(free, "cpu", 4)} == {1, 4}
    assert {p.batch for p in calibrate.candidates(free, "cuda", 4)} == {1, 4, 8, 16}


def test_one_core_has_nothing_to_choose(brightness: Path) -> None:
    found = calibrate.calibrate(brightness, recognise(brightness).card, [grey_png(9)], decode=decode, cores=1)
    assert (found.plan, found.tried) == (Plan(1), ())

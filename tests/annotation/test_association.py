"""Tracks: the assignment is the best there is, and objects keep their number through crossings, gaps and weak detections."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.association import Rules, Tracker, assign


@settings(max_examples=150)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5), st.floats(0.1, 1.2))
def test_no_other_choice_of_pairs_costs_less(seed: int, n: int, m: int, limit: float) -> None:
    cost = np.random.default_rng(seed).random((n, m))
    pairs = assign(cost, limit)
    assert len({r for r, _ in pairs}) == len({c for _, c in pairs}) == len(pairs)
    assert all(cost[p] <= limit for p in pairs)

    def total(chosen: list[tuple[int, int]]) -> float:
        return sum(cost[p] for p in chosen) + limit * (n - len(chosen))

    best = limit * n
    for k in range(1, min(n, m) + 1):
        for rows in itertools.combinations(range(n), k):
            for columns in itertools.permutations(range(m), k):
                chosen = list(zip(rows, columns, strict=True))
                if all(cost[p] <= limit for p in chosen):
                    best = min(best, total(chosen))
    assert total(pairs) == pytest.approx(best)


def box(x: float, y: float, w: float = 40, h: float = 80) -> list[float]:
    return [x, y, x + w, y + h]


def follow(frames: list[list[tuple[list[float], float, int]]], rules: Rules | None = None) -> list[list[int]]:
    tracker = Tracker(rules or Rules())
    return [
        tracker.step(
            np.array([b for b, _, _ in f], float).reshape(-1, 4), np.array([s for _, s, _ in f], float), [k for _, _, k in f]
        )
        for f in frames
    ]  # fmt: skip


def test_an_object_that_moves_keeps_its_number() -> None:
    frames = [[(box(10 + 9 * t, 50), 0.9, 0)] for t in range(30)]
    assert follow(frames) == [[1]] * 30


def test_two_that_cross_keep_their_numbers() -> None:
    frames = [[(box(8 * t, 50), 0.9, 0), (box(400 - 8 * t, 70), 0.9, 0)] for t in range(50)]
    assert follow(frames) == [[1, 2]] * 50


def test_a_weak_detection_goes_on_with_its_track_but_begins_none() -> None:
    frames = [
        [(box(10 + 5 * t, 50), 0.9 if t % 3 else 0.2, 0), (box(300, 300), 0.3, 0)] for t in range(1, 20)
    ]
    assert {tuple(f) for f in follow(frames)} == {(1, 0)}


def test_after_a_gap_it_is_found_again_and_after_a_long_one_it_is_new() -> None:
    def frames(gap: int) -> list[list[tuple[list[float], float, int]]]:
        return [[] if 10 <= t < 10 + gap else [(box(10 + 4 * t, 50), 0.9, 0)] for t in range(70)]

    assert follow(frames(8))[-1] == [1]
    assert follow(frames(40))[-1] == [2]


def test_a_person_does_not_become_a_truck() -> None:
    frames = [[(box(10, 50), 0.9, 0)]] * 5 + [[(box(10, 50), 0.9, 1)]] * 5
    found = follow(frames)
    assert found[4] == [1]
    assert found[-1] == [2]


def test_the_same_frames_give_the_same_numbers() -> None:
    rng = np.random.default_rng(1)
    frames = [
        [(box(*rng.uniform(0, 300, 2)), float(rng.random()), int(rng.integers(3))) for _ in range(12)]
        for _ in range(40)
    ]
    assert follow(frames) == follow(frames)

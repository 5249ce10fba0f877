"""Worth labelling first: each part by its rule, the fold, the weights, and that one input has one order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from annotation import worth
from annotation.errors import InvalidInput
from annotation.worth import Found, Weights


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def found(*rows: tuple[int, int, float, tuple[int, int, int, int]]) -> Found:
    """Objects as (picture, label, score 0..1, box)."""
    return Found(
        ints(*(r[0] for r in rows)), ints(*(r[1] for r in rows)), ints(*(round(r[2] * 1e6) for r in rows)),
        np.array([r[3] for r in rows], np.int64).reshape(-1, 4),
    )  # fmt: skip


A, B = (0, 0, 10, 10), (100, 100, 110, 110)


def test_doubt_is_whole_at_the_threshold_and_gone_at_certainty_on_both_sides() -> None:
    score = ints(0, 250_000, 500_000, 750_000, 1_000_000)
    assert worth.doubts(score, np.full(5, 500_000)).tolist() == [0, 500, 1000, 500, 0]
    assert worth.doubts(ints(300_000, 150_000, 650_000), np.full(3, 300_000)).tolist() == [1000, 500, 500]


def test_one_object_counts_whole_and_each_further_one_closes_half_as_much() -> None:
    assert worth.folded(ints(0, 1, 1, 2, 2, 2), ints(600, 600, 600, 600, 600, 600), 4).tolist() == [
        600, 720, 762, 0,
    ]  # fmt: skip


def test_a_hundred_weak_objects_do_not_outweigh_a_strong_one() -> None:
    many, one = worth.folded(np.repeat(ints(0, 1), [100, 1]), np.repeat(ints(300, 700), [100, 1]), 2).tolist()
    assert many < one


def test_models_that_say_the_same_do_not_disagree() -> None:
    a = found((0, 1, 0.9, A), (0, 2, 0.6, B))
    apart = worth.disagreement(a, a, 1)
    assert (apart.first[0], apart.second[0], apart.classes[0], apart.part[0]) == (0, 0, 0, 0)


def test_disagreement_is_of_objects_alone_of_classes_and_of_scores() -> None:
    a = found((0, 1, 0.9, A), (1, 1, 0.8, A), (2, 1, 0.9, A))
    b = found((1, 2, 0.6, A), (2, 1, 0.5, A), (3, 1, 0.7, B))
    apart = worth.disagreement(a, b, 5)
    assert apart.first.tolist() == [1, 0, 0, 0, 0]
    assert apart.second.tolist() == [0, 0, 0, 1, 0]
    assert apart.classes.tolist() == [0, 1, 0, 0, 0]
    assert apart.part.tolist() == [900, 800, 400, 700, 0]


def test_objects_of_one_class_are_matched_before_those_of_two() -> None:
    a = found((0, 1, 0.9, (0, 0, 100, 100)), (0, 2, 0.9, (0, 0, 100, 90)))
    b = found((0, 2, 0.9, (0, 0, 100, 100)), (0, 1, 0.9, (0, 0, 100, 90)))
    apart = worth.disagreement(a, b, 1)
    assert (apart.classes[0], apart.part[0]) == (0, 0)


def test_each_object_is_matched_at_most_once_the_nearest_first() -> None:
    a = found((0, 1, 0.9, (0, 0, 100, 100)))
    b = found((0, 1, 0.5, (0, 0, 100, 80)), (0, 1, 0.9, (0, 0, 100, 100)))
    apart = worth.disagreement(a, b, 1)
    assert (apart.second[0], apart.part[0]) == (1, 500)


boxes = st.tuples(
    st.integers(0, 1), st.integers(0, 2), st.floats(0, 1), st.integers(0, 6), st.integers(0, 6), st.integers(1, 6), st.integers(1, 6)
).map(lambda t: (t[0], t[1], t[2], (t[3], t[4], t[3] + t[5], t[4] + t[6])))  # fmt: skip


@given(st.lists(boxes, max_size=8), st.lists(boxes, max_size=8))
@settings(max_examples=60, deadline=None)
def test_disagreement_is_the_greedy_matching_of_each_picture_and_has_no_first_model(
    a: list[tuple[int, int, float, tuple[int, int, int, int]]],
    b: list[tuple[int, int, float, tuple[int, int, int, int]]],
) -> None:
    one, two = found(*a), found(*b)
    there, back = worth.disagreement(one, two, 2), worth.disagreement(two, one, 2)
    alone, classes = [0, 0], [0, 0]
    for p in (0, 1):
        mine = [i for i in range(len(a)) if a[i][0] == p]
        theirs = [j for j in range(len(b)) if b[j][0] == p]
        pairs = sorted(
            (a[i][1] != b[j][1], -iou(a[i][3], b[j][3]), i, j)
            for i in mine
            for j in theirs
            if iou(a[i][3], b[j][3]) >= 0.5
        )
        used: set[tuple[str, int]] = set()
        for differ, _, i, j in pairs:
            if not {("a", i), ("b", j)} & used:
                used |= {("a", i), ("b", j)}
                classes[p] += differ
        alone[p] = len(mine) + len(theirs) - len(used)
    assert (there.first + there.second).tolist() == alone
    assert there.classes.tolist() == classes
    if len({(x[1], x[3]) for x in a + b}) == len(a + b):  # of equal boxes it may be another one that is alone
        assert (there.first.tolist(), there.second.tolist()) == (back.second.tolist(), back.first.tolist())


def iou(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, w) * max(0, h)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def test_a_class_with_an_even_share_is_not_rare_and_one_of_a_few_is() -> None:
    rare = worth.rareness({1: 3988, 2: 12}, [1, 2])
    assert rare == {1: 0, 2: 994}
    assert worth.rareness({1: 50, 2: 50}, []) == {1: 0, 2: 0}
    assert worth.rareness({}, [1, 2, 3]) == {1: 0, 2: 0, 3: 0}
    assert worth.rareness({1: 100}, [2])[2] > worth.rareness({1: 10}, [2])[2]


def test_a_rare_class_counts_by_how_sure_the_model_is_of_it() -> None:
    here = found((0, 2, 0.9, A), (1, 2, 0.3, A), (2, 1, 0.9, A))
    assert worth.rarity(here, ints(1000, 1000, 0), 3).tolist() == [900, 300, 0]


# --- diversity -------------------------------------------------------------------------------------------------------


def naive(signs: NDArray[np.uint8], known: NDArray[np.uint8], n: int) -> tuple[list[int], list[int]]:
    """Farthest-first as the papers write it."""
    wide = signs.astype(np.int64)
    if len(known):
        far = ((wide[:, None] - known.astype(np.int64)[None]) ** 2).sum(axis=2).min(axis=1)
        places, radii = [], []
    else:
        mean = (wide.sum(axis=0) // len(wide)).astype(np.int64)
        first = int(((wide - mean) ** 2).sum(axis=1).argmin())
        far = ((wide - wide[first]) ** 2).sum(axis=1)
        places, radii = [first], [int(far.max())]
    while len(places) < n and far.max() > 0:
        at = int(far.argmax())
        places.append(at)
        radii.append(int(far[at]))
        far = np.minimum(far, ((wide - wide[at]) ** 2).sum(axis=1))
    return places, radii


@pytest.mark.parametrize("short", [2, 7, 2048])
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(0, 4), st.integers(2, 255))
@settings(max_examples=15, deadline=None)
def test_many_chosen_between_two_passes_are_those_chosen_one_by_one(
    short: int, seed: int, m: int, known: int, grey: int
) -> None:
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, grey, (m, worth.WIDTH)).astype(np.uint8)
    signs[m // 2 :] = signs[: m - m // 2]  # half of them twice
    before = worth.SHORT
    worth.SHORT = short
    try:
        got = worth.spread(signs, signs[:known], 40)
    finally:
        worth.SHORT = before
    assert (got.places.tolist(), got.far.tolist()) == naive(signs, signs[:known], 40)


def test_distances_are_exact_whatever_the_block() -> None:
    rng = np.random.default_rng(3)
    a = rng.integers(0, 256, (worth.BLOCK + 9, worth.WIDTH)).astype(np.uint8)
    got = worth.nearest(a, a[5:8])
    want = ((a.astype(np.int64)[:, None] - a[5:8].astype(np.int64)[None]) ** 2).sum(axis=2).min(axis=1)
    assert (got == want).all()


def test_long_vectors_keep_their_distances_in_signs() -> None:
    rng = np.random.default_rng(1)
    v = rng.normal(size=(60, 512))
    v[30:] = v[:30] + rng.normal(size=(30, 512)) * 0.2  # each of the second half is near one of the first
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    s = worth.signs(v.astype(np.float16)).astype(np.int64)
    far = ((s[:, None] - s[None]) ** 2).sum(axis=2)
    np.fill_diagonal(far, far.max())
    assert far[30:].argmin(axis=1).tolist() == list(range(30))


def test_signs_are_the_same_for_ever() -> None:
    v = np.sin(np.arange(128, dtype=np.float32))[None]
    assert worth.signs((v / np.linalg.norm(v)).astype(np.float16))[0, :8].tolist() == [
        175, 130, 133, 126, 127, 125, 139, 144,
    ]  # fmt: skip


# --- together --------------------------------------------------------------------------------------------------------

parts = st.lists(st.tuples(*[st.integers(0, 1000)] * 4), min_size=1, max_size=30)
weights = st.tuples(*[st.integers(0, 100)] * 4).filter(any)


@given(parts, weights)
def test_worth_is_0_to_1000_and_its_order_one_and_the_same(
    rows: list[tuple[int, ...]], by: tuple[int, ...]
) -> None:
    table, w = np.array(rows, np.int64), Weights(*by)
    value = worth.joined(table, w)
    assert value.min() >= 0 and value.max() <= 1000
    ids = np.arange(len(rows)) * 7 + 3
    order = worth.order(ids, value)
    shuffled = np.random.default_rng(len(rows)).permutation(len(rows))
    assert (ids[shuffled][worth.order(ids[shuffled], value[shuffled])] == ids[order]).all()
    assert worth.joined(np.minimum(table + 10, 1000), w).tolist() >= value.tolist()


@given(parts, weights, st.integers(0, 3), st.integers(1, 50))
def test_who_has_more_of_a_part_never_falls_behind_when_its_weight_grows(
    rows: list[tuple[int, ...]], by: tuple[int, ...], part: int, more: int
) -> None:
    table = np.array(rows, np.int64)
    heavier = tuple(min(100, w + more * (i == part)) for i, w in enumerate(by))
    exact = (table * np.array(by)).sum(axis=1)
    after = worth.joined(table, Weights(*heavier))
    ahead = (exact[:, None] >= exact[None]) & (table[:, part][:, None] >= table[:, part][None])
    assert (after[:, None] >= after[None])[ahead].all()


@pytest.mark.parametrize("wrong", [(0, 0, 0, 0), (-1, 1, 1, 1), (101, 1, 1, 1)])
def test_weights_that_say_nothing_are_refused(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(InvalidInput):
        Weights(*wrong)

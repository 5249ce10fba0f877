"""Rules of splits: groups never cross, sizes follow the ratio, classes too when asked, chance is the same everywhere."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation import splits
from annotation.errors import InvalidInput
from annotation.splits import Candidate

SHARES = (0.8, 0.1, 0.1)

pictures = st.lists(
    st.tuples(
        st.lists(st.integers(0, 12), max_size=2), st.dictionaries(st.sampled_from("abc"), st.integers(1, 5))
    ),
    max_size=40,
)


def made(found: list[tuple[list[int], dict[str, int]]]) -> list[Candidate]:
    return [Candidate(f"k{i}", tuple(map(str, groups)), labels) for i, (groups, labels) in enumerate(found)]


@pytest.mark.parametrize("how", ["random", "stratified"])
@given(found=pictures, seed=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_who_shares_a_group_goes_the_same_way_and_everybody_goes_somewhere(
    how: splits.How, found: list[tuple[list[int], dict[str, int]]], seed: int
) -> None:
    candidates = made(found)
    chosen = splits.assign(candidates, SHARES, how=how, seed=seed)
    assert set(chosen) <= set(splits.NAMES)
    of: dict[str, set[str]] = {}
    for candidate, split in zip(candidates, chosen, strict=True):
        for group in candidate.groups:
            of.setdefault(group, set()).add(split)
    assert all(len(seen) == 1 for seen in of.values())


@given(found=pictures, seed=st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_the_order_in_which_pictures_come_changes_nothing(
    found: list[tuple[list[int], dict[str, int]]], seed: int
) -> None:
    candidates = made(found)
    for how in ("random", "stratified"):
        one = dict(
            zip(
                (c.key for c in candidates),
                splits.assign(candidates, SHARES, how=how, seed=seed),
                strict=True,
            )
        )  # type: ignore[arg-type]
        back = splits.assign(candidates[::-1], SHARES, how=how, seed=seed)  # type: ignore[arg-type]
        assert one == dict(zip((c.key for c in candidates[::-1]), back, strict=True))


@pytest.mark.parametrize("how", ["random", "stratified"])
def test_single_pictures_are_cut_to_the_very_ratio(how: splits.How) -> None:
    chosen = Counter(splits.assign([Candidate(f"{i:04d}") for i in range(1000)], SHARES, how=how))
    assert chosen == {"train": 800, "val": 100, "test": 100}
    halves = Counter(splits.assign([Candidate(f"{i}") for i in range(10)], splits.ratio("1:1"), how=how))
    assert halves == {"train": 5, "val": 5}


def test_another_seed_is_another_draw() -> None:
    candidates = [Candidate(f"{i:04d}") for i in range(200)]
    a, b = (splits.assign(candidates, SHARES, seed=s) for s in (0, 1))
    assert a != b and a == splits.assign(candidates, SHARES, seed=0)


def test_stratified_gives_a_rare_class_to_every_split_where_chance_does_not() -> None:
    """20 of 1,000 pictures hold the rare class, in pairs that stay together."""
    candidates = [
        Candidate(f"{i:04d}", (f"g{i // 2}",), {"rare": 1, "plain": 2} if i < 20 else {"plain": 3})
        for i in range(1000)
    ]
    chosen = splits.assign(candidates, SHARES, how="stratified")
    rare = Counter(s for c, s in zip(candidates, chosen, strict=True) if c.labels and "rare" in c.labels)
    assert rare == {"train": 16, "val": 2, "test": 2}
    sizes = Counter(chosen)
    assert abs(sizes["train"] - 800) <= 2 and abs(sizes["val"] - 100) <= 2


@pytest.mark.parametrize("text", ["", "8", "0:0:0", "a:b", "1:2:3:4", "-1:2", "nan:1", "inf:1"])
def test_what_is_no_ratio_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="no ratio"):
        splits.ratio(text)


def test_ratios_are_read_as_people_write_them() -> None:
    assert (
        splits.ratio("8:1:1")
        == splits.ratio("80/10/10")
        == splits.ratio("0.8,0.1,0.1")
        == pytest.approx(SHARES)
    )
    assert splits.ratio("4:1") == pytest.approx((0.8, 0.2, 0.0))

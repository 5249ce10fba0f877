"""Near codes: the join finds exactly what comparing every pair finds, and what is taken is near what is kept for it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from storage import hamming


def drawn(n: int, bases: int, flips: int, seed: int, width: int = 1) -> NDArray[np.uint64]:
    """Codes around a few bases, each with some bits turned; many are near, some are equal."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2**64, (max(1, bases), width), dtype=np.uint64)[rng.integers(0, max(1, bases), n)]
    for _ in range(flips):
        turned = np.uint64(1) << rng.integers(0, 64, (n, width), dtype=np.uint64)
        codes = np.where(rng.random((n, width)) < 0.6, codes ^ turned, codes)
    return codes


def near(codes: NDArray[np.uint64], radii: tuple[int, ...]) -> NDArray[np.bool_]:
    """Every pair compared."""
    return np.logical_and.reduce(
        [np.bitwise_count(codes[:, c][:, None] ^ codes[:, c][None]) <= r for c, r in enumerate(radii)]
    )


def kept(codes: NDArray[np.uint64], radii: tuple[int, ...]) -> list[int]:
    """The rule itself: the first not yet taken is kept and takes what is near it."""
    close, out = near(codes, radii), [-1] * len(codes)
    for i in range(len(codes)):
        if out[i] < 0:
            for j in range(i, len(codes)):
                if out[j] < 0 and close[i, j]:
                    out[j] = i
    return out


@pytest.fixture(params=["all pairs", "tables"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Both ways to look, for sets of any size."""
    if request.param == "tables":
        monkeypatch.setattr(hamming, "_SMALL", 8)
        monkeypatch.setattr(hamming, "_SORT_NS", 1e-6)
        monkeypatch.setattr(hamming, "_PAIR_NS", 1e-6)
        monkeypatch.setattr(hamming, "_WIDE", 5)
        monkeypatch.setattr(hamming, "_TILE", 64)
    yield request.param


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 260), st.integers(1, 90), st.integers(0, 9), st.integers(0, 2**32), st.sampled_from([(0,), (3,), (6,), (4, 8), (10,)]))  # fmt: skip
def test_the_join_finds_exactly_the_near_pairs(
    n: int, bases: int, flips: int, seed: int, radii: tuple[int, ...]
) -> None:
    codes = drawn(n, bases, flips, seed, len(radii))
    wanted = np.nonzero(np.triu(near(codes, radii), 1)) if n else (np.zeros(0), np.zeros(0))
    for way in ("all pairs", "tables"):
        with pytest.MonkeyPatch.context() as patch:
            if way == "tables":
                patch.setattr(hamming, "_SMALL", 8)
                patch.setattr(hamming, "_SORT_NS", 1e-6)
                patch.setattr(hamming, "_WIDE", 5)
                patch.setattr(hamming, "_TILE", 64)
            a, b = hamming.pairs(codes, radii)
        assert a.tolist() == wanted[0].tolist() and b.tolist() == wanted[1].tolist()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 260), st.integers(1, 90), st.integers(0, 9), st.integers(0, 2**32), st.sampled_from([(0,), (3,), (6,), (4, 8), (10,)]), st.sampled_from([40, 10**6]))  # fmt: skip
def test_what_is_taken_is_near_what_is_kept_however_few_pairs_are_held(
    n: int, bases: int, flips: int, seed: int, radii: tuple[int, ...], edges: int
) -> None:
    codes = drawn(n, bases, flips, seed, len(radii))
    for small in (8, 3000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hamming, "_SMALL", small)
            patch.setattr(hamming, "_SORT_NS", 1e-6)
            patch.setattr(hamming, "_WIDE", 5)
            patch.setattr(hamming, "_TILE", 64)
            assert hamming.stars(codes, radii, edges=edges).tolist() == kept(codes, radii)


def test_tables_are_really_used_where_the_test_above_wants_them(way: str) -> None:
    codes = drawn(200, 60, 3, 1)
    assert (hamming._plan(codes, codes, (6,), own=True) is None) == (way == "all pairs")


def test_a_few_hundred_thousand_equal_or_hardly_different_codes_do_not_explode() -> None:
    equal = np.zeros((300_000, 1), np.uint64)
    assert set(hamming.stars(equal, (6,)).tolist()) == {0}
    rng = np.random.default_rng(2)
    ball = np.zeros((100_000, 1), np.uint64)
    for _ in range(3):
        ball ^= np.uint64(1) << rng.integers(0, 64, ball.shape, dtype=np.uint64)
    found = hamming.stars(ball, (6,))
    assert len(set(found.tolist())) < 10
    assert (np.bitwise_count(ball[:, 0] ^ ball[found, 0]) <= 6).all()


def test_an_empty_set_has_no_groups_and_a_radius_beyond_reason_is_refused() -> None:
    assert hamming.stars(np.zeros((0, 1), np.uint64), (6,)).tolist() == []
    with pytest.raises(ValueError, match="radius"):
        hamming.pairs(np.zeros((3, 1), np.uint64), (40,))


def test_a_tick_that_raises_breaks_the_work_off() -> None:
    def stop() -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        hamming.stars(drawn(5000, 900, 3, 1), (6,), tick=stop)

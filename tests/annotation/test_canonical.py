"""The one encoding: equal to RFC 8785 by another hand, closed against floats and strange keys; snap is stable."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from annotation import canonical
from annotation.errors import InvalidInput
from tests.annotation.strategies import keys, patient, text

integers = st.integers(-(2**53) + 1, 2**53 - 1)
trees = st.recursive(
    st.one_of(st.booleans(), integers, text),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(keys, inner, max_size=5)),
    max_leaves=25,
)


@patient
@given(trees)
def test_bytes_equal_those_of_an_rfc8785_library(value: object) -> None:
    assert canonical.encode(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@patient
@given(trees)
def test_raw_values_splice_in_unchanged(value: object) -> None:
    assert canonical.encode([msgspec.Raw(canonical.encode(value))]) == canonical.encode([value])


@pytest.mark.parametrize(
    "value",
    [1.5, float("nan"), None, {"A": 1}, {"schlüssel": 1}, {"": 1}, {"a\n": 1}, {1: 2}, 2**53, -(2**53), b"x", {"a": [1.0]}, ...],
    ids=repr,
)  # fmt: skip
def test_what_lies_outside_the_subset_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput):
        canonical.encode(value)


@given(st.integers(-(2**50), 2**50))
def test_snap_gives_back_the_integer_it_was_read_from(k: int) -> None:
    assert canonical.snap(k / canonical.PX) == k


@given(st.floats(-1e9, 1e9))
def test_snap_is_idempotent_and_rounds_half_to_even_as_numpy(value: float) -> None:
    k = canonical.snap(value)
    assert canonical.snap(k / canonical.PX) == k
    assert k == int(np.rint(value * canonical.PX))


@pytest.mark.parametrize(("value", "k"), [(0.0005, 0), (0.0015, 2), (0.0025, 2), (-0.0005, 0), (-0.0015, -2)])
def test_halves_go_to_the_even_neighbour(value: float, k: int) -> None:
    assert canonical.snap(value) == k


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2.0**53, 1e300])
def test_a_number_that_cannot_be_stored_is_refused(value: float) -> None:
    with pytest.raises(InvalidInput):
        canonical.snap(value)


@given(st.text())
def test_text_enters_as_nfc_or_is_refused_for_a_lone_surrogate(value: str) -> None:
    if any("\ud800" <= c <= "\udfff" for c in value):
        with pytest.raises(InvalidInput):
            canonical.nfc(value)
    else:
        assert canonical.nfc(canonical.nfc(value)) == canonical.nfc(value)


def test_a_digest_is_32_bytes_of_blake3() -> None:
    assert canonical.digest(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"

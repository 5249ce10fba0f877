"""Rules of cutting by content: the pieces are the file, a change costs the pieces it touches, the hash is the paper's."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import cdc


def gear_hash(data: bytes, at: int) -> int:
    """The definition: h = (h << 1) + GEAR[byte], over the window that ends at `at`."""
    h = 0
    for byte in data[max(0, at - cdc.WINDOW + 1) : at + 1]:
        h = (h << 1) + int(cdc.GEAR[byte]) & 0xFFFFFFFF
    return h


def test_the_hash_of_a_whole_block_is_the_one_of_the_definition_at_every_byte() -> None:
    data = random.Random(1).randbytes(300)
    found = cdc.hashes(np.frombuffer(data, np.uint8))
    assert [int(h) for h in found] == [gear_hash(data, i) for i in range(300)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 64 to 1,024 bytes, 256 wanted, so that small data has many."""
    monkeypatch.setattr(cdc, "LEAST", 64)
    monkeypatch.setattr(cdc, "WANTED", 256)
    monkeypatch.setattr(cdc, "MOST", 1024)
    monkeypatch.setattr(cdc, "_STRICT", np.uint32(0xFFC00000))
    monkeypatch.setattr(cdc, "_LOOSE", np.uint32(0xFC000000))


@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=6_000), step=st.integers(1, 2_000))
def test_the_pieces_are_the_file_however_it_is_read(data: bytes, step: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("LEAST", 64),
            ("WANTED", 256),
            ("MOST", 1024),
            ("_STRICT", np.uint32(0xFFC00000)),
            ("_LOOSE", np.uint32(0xFC000000)),
        ):
            patch.setattr(cdc, name, value)
        pieces = list(cdc.cut(data[i : i + step] for i in range(0, len(data), step)))
        assert b"".join(pieces) == data
        assert pieces == list(cdc.cut([data]))
        assert all(64 <= len(p) <= 1024 for p in pieces[:-1]) and all(pieces)


def test_pieces_are_about_as_large_as_wanted(small: None) -> None:
    pieces = list(cdc.cut([random.Random(2).randbytes(400_000)]))
    assert 180 < sum(map(len, pieces)) / len(pieces) < 400


@pytest.mark.parametrize("edit", ["insert", "remove", "change"])
def test_a_change_in_the_middle_costs_few_pieces(small: None, edit: str) -> None:
    data = random.Random(3).randbytes(200_000)
    middle = {
        "insert": b"new" + data[100_000:],
        "remove": data[100_037:],
        "change": b"x" * 50 + data[100_050:],
    }[edit]
    before = set(cdc.cut([data]))
    after = list(cdc.cut([data[:100_000] + middle]))
    assert sum(p not in before for p in after) <= 4


def test_a_file_of_one_value_is_cut_at_the_most(small: None) -> None:
    assert {len(p) for p in list(cdc.cut([bytes(10_240)]))} == {1024}


def test_the_numbers_of_the_gear_never_change() -> None:
    assert [int(g) for g in cdc.GEAR[:3]] == [0xE220A839, 0x6E789E6A, 0x06C45D18]
    assert len(set(cdc.GEAR.tolist())) == 256

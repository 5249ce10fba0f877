"""Run lengths: one form for one mask, COCO's text read and written as its own tools do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation import rle
from annotation.core import Mask
from annotation.errors import InvalidInput
from tests.annotation.strategies import masks, patient


@patient
@given(masks())
def test_all_run_lists_of_one_mask_have_one_normal_form(mask: Mask) -> None:
    runs = rle.normal(mask.counts, w=mask.w, h=mask.h)
    assert sum(runs) == mask.w * mask.h
    assert 0 not in runs[1:]
    assert rle.normal(runs, w=mask.w, h=mask.h) == runs
    assert rle.encode(rle.decode(mask)).counts == runs


@given(st.lists(st.integers(0, 2**40), max_size=30))
def test_compressed_text_gives_its_runs_back(runs: list[int]) -> None:
    text = rle.to_text(runs)
    assert all(48 <= ord(c) < 112 for c in text)
    assert rle.from_text(text) == runs


@given(st.text(max_size=40))
def test_any_other_text_is_refused_or_read_as_integers(text: str) -> None:
    try:
        assert all(isinstance(n, int) for n in rle.from_text(text))
    except InvalidInput as error:
        assert "compressed" in error.line


def test_masks_written_by_another_tool_have_the_area_and_box_it_says(shared: Path) -> None:
    data = json.loads((shared / "data/formats/handwritten/coco-rle/instances.json").read_text())
    seen = set()
    for row in data["annotations"]:
        h, w = row["segmentation"]["size"]
        counts = row["segmentation"]["counts"]
        seen.add(type(counts))
        if isinstance(counts, str):
            assert rle.to_text(rle.from_text(counts)) == counts
            counts = rle.from_text(counts)
        x, y, bw, bh = row["bbox"]
        assert rle.extent(counts, h) == (x, y, x + bw, y + bh)
        assert int(rle.decode(Mask(w, h, tuple(counts))).sum()) == row["area"]
    assert seen == {str, list}


def test_a_mask_too_large_to_draw_stays_runs() -> None:
    huge = Mask(2**20, 2**20, (2**40,))
    assert rle.normal(huge.counts, w=huge.w, h=huge.h) == (2**40,)
    with pytest.raises(InvalidInput):
        rle.decode(huge)


@pytest.mark.parametrize("counts", [(True, 3), (1.0, 3), ("4",), (4, 4), (2, -1, 3), ()])
def test_runs_that_are_none_are_refused(counts: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput):
        rle.normal(counts, w=2, h=2)


def test_any_dtype_counts_as_zero_or_not() -> None:
    assert rle.encode(np.array([[0.0, 0.5], [7, 0]])) == Mask(2, 2, (1, 2, 1))


@patient
@given(masks(), st.integers(-4, 12), st.integers(-4, 12), st.integers(1, 12), st.integers(1, 12))
def test_a_painted_box_is_encoded_as_the_whole_picture_would_be(
    mask: Mask, x: int, y: int, w: int, h: int
) -> None:
    part = rle.decode(mask)
    wide = np.zeros((h + 40, w + 40), np.uint8)
    wide[y + 20 : y + 20 + mask.h, x + 20 : x + 20 + mask.w] = part
    whole = np.ascontiguousarray(wide[20 : 20 + h, 20 : 20 + w])
    assert rle.encode(part, at=(x, y), wh=(w, h)) == rle.encode(whole)


@patient
@given(masks())
def test_the_box_of_a_mask_holds_all_its_ones_and_nothing_around(mask: Mask) -> None:
    part, x, y = rle.crop(mask)
    assert rle.encode(part, at=(x, y), wh=(mask.w, mask.h)).counts == rle.normal(
        mask.counts, w=mask.w, h=mask.h
    )
    if part.size:
        assert part[0].any() and part[-1].any() and part[:, 0].any() and part[:, -1].any()
        assert rle.extent(mask.counts, mask.h) == (x, y, x + part.shape[1], y + part.shape[0])
    else:
        assert rle.extent(mask.counts, mask.h) is None


def test_a_small_blob_on_a_huge_picture_needs_no_memory_for_the_picture() -> None:
    side = 2**20
    mask = rle.encode(np.ones((3, 2)), at=(side - 2, side - 3), wh=(side, side))
    assert rle.extent(mask.counts, side) == (side - 2, side - 3, side, side)
    assert sum(mask.counts) == side * side
    with pytest.raises(InvalidInput):
        rle.encode(np.ones((2, 2)), wh=(2**25, 1))

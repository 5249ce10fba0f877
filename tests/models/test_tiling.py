"""Tiles cover the picture, and what was cut at their borders is found once, whole."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import tiling
from models.found import Found
from models.recipe import Tiling


def found(*rows: tuple[float, ...]) -> Found:
    """Rows of x0, y0, x1, y1, score, class."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Found(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def whole(objects: np.ndarray, wh: tuple[int, int], plan: Tiling, rng: np.random.Generator) -> Found:
    """What a perfect detector sees through the tiles: every object cut at the tile's borders, then merged."""
    where = tiling.windows(wh, plan)
    parts = []
    for window in where:
        rows = []
        for x0, y0, x1, y1, kind in objects:
            cut = (max(x0, window[0]), max(y0, window[1]), min(x1, window[2]), min(y1, window[3]))
            if cut[2] - cut[0] > 4 and cut[3] - cut[1] > 4:
                rows.append((*cut, rng.uniform(0.5, 1.0), kind))
        rows.sort(key=lambda r: -r[4])
        parts.append(found(*rows))
    return tiling.merge(parts, where, wh, iou=0.5)


@given(
    w=st.integers(1, 9000),
    h=st.integers(1, 9000),
    side=st.integers(64, 3000),
    overlap=st.integers(0, 800_000),
)
def test_tiles_cover_every_pixel_with_at_least_the_overlap_asked_for(
    w: int, h: int, side: int, overlap: int
) -> None:
    if max(w, h) / side > 40:
        return
    tiles = tiling.windows((w, h), Tiling(side, overlap, whole=False))
    xs = sorted({(t[0], t[2]) for t in tiles})
    ys = sorted({(t[1], t[3]) for t in tiles})
    assert len(tiles) == len(xs) * len(ys) == len(set(tiles))
    for spans, length in ((xs, w), (ys, h)):
        assert spans[0][0] == 0
        assert spans[-1][1] == length
        assert all(b - a == min(side, length) for a, b in spans)
        assert all(one[1] - two[0] >= overlap / 1e6 * side - 2 for one, two in itertools.pairwise(spans))


def test_a_picture_no_larger_than_a_tile_is_one_window() -> None:
    assert tiling.windows((1280, 700), Tiling(1280)) == [(0, 0, 1280, 700)]


def test_the_whole_picture_comes_last_when_asked_for() -> None:
    assert tiling.windows((2000, 700), Tiling(1280))[-1] == (0, 0, 2000, 700)


@pytest.mark.parametrize("seed", range(30))
def test_objects_no_larger_than_the_overlap_are_found_once_and_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wh, plan = (3000, 2000), Tiling(800, 250_000, whole=False)
    grid = [(x, y) for x in range(20, 2700, 330) for y in range(20, 1700, 330)]
    objects = []
    for x, y in grid:
        x0, y0 = x + rng.uniform(0, 100), y + rng.uniform(0, 100)
        objects.append((x0, y0, x0 + rng.uniform(20, 190), y0 + rng.uniform(20, 190), rng.integers(2)))
    got = whole(np.array(objects), wh, plan, rng)
    assert len(got) == len(objects)
    want = np.array(objects)[:, :4]
    for box in got.boxes:
        assert np.abs(want - box).max(axis=1).min() < 1e-6
    assert (np.diff(got.scores) <= 0).all()


@pytest.mark.parametrize("seed", range(30))
def test_halves_of_an_object_larger_than_the_overlap_are_sewn_together(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.uniform(50, 300)
    object_ = np.array([(rng.uniform(100, 500), y, rng.uniform(1000, 1400), y + rng.uniform(80, 300), 0)])
    got = whole(object_, (1500, 700), Tiling(800, 200_000, whole=False), rng)
    assert len(got) == 1
    assert got.boxes[0] == pytest.approx(object_[0, :4])


def test_neighbours_of_one_class_stay_two() -> None:
    objects = np.array([(100, 100, 200, 300, 0), (205, 100, 300, 300, 0), (100, 310, 200, 400, 0)])
    got = whole(objects, (2000, 700), Tiling(800, 200_000), np.random.default_rng(1))
    assert len(got) == 3


def test_a_part_gives_way_to_the_whole_object_also_when_the_part_is_surer() -> None:
    part, full = found((700, 100, 800, 200, 0.9, 0)), found((690, 100, 900, 200, 0.6, 0))
    got = tiling.merge([part, full], [(0, 0, 800, 700), (600, 0, 1400, 700)], (1400, 700), iou=0.5)
    assert got.boxes.tolist() == [[690, 100, 900, 200]]
    assert got.scores.tolist() == [0.9]

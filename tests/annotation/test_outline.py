"""Classical outlines: each against a shape whose true pixels are known, and within its bounds of time and size."""

from __future__ import annotations

import time

import numpy as np
import pytest

from annotation import geometry, outline, raster, rle
from annotation.core import Box, Polygon
from annotation.outline import NOTHING, Region, Scissors


def disc(
    wh: tuple[int, int] = (400, 300), *, r: int = 80, noise: float = 4.0
) -> tuple[np.ndarray, np.ndarray]:
    """A noisy picture of a bright disc on dark ground, and the disc's pixels."""
    w, h = wh
    rows, columns = np.mgrid[0:h, 0:w]
    inside = np.hypot(columns + 0.5 - w / 2, rows + 0.5 - h / 2) <= r
    picture = np.where(inside[..., None], (150, 180, 200), (50, 45, 40)).astype(np.float64)
    picture += np.random.default_rng(3).normal(0, noise, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8), inside.astype(np.uint8)


def overlap(region: Region, truth: np.ndarray) -> float:
    mask = rle.decode(outline.to_mask(region, (truth.shape[1], truth.shape[0])))
    return float((mask & truth).sum() / (mask | truth).sum())


def test_scissors_follow_the_edge_between_two_clicks() -> None:
    picture, _ = disc()
    path = np.array(Scissors(picture, (280, 150)).path(120, 150)).reshape(-1, 2)
    away = np.hypot(path[:, 0] - 200, path[:, 1] - 150)
    assert len(path) > 10
    assert np.abs(away - 80).max() < 3
    assert tuple(path[0]) == (280, 150)
    assert tuple(path[-1]) == (120, 150)


def test_a_step_of_the_live_path_fits_into_a_frame() -> None:
    picture, _ = disc((1600, 1200), r=300)
    scissors = Scissors(picture, (1100, 600))
    spent = []
    for x in range(900, 1100, 10):
        start = time.perf_counter()
        scissors.path(x, 700)
        spent.append(time.perf_counter() - start)
    assert np.median(spent) < 0.016


def test_scissors_on_a_large_picture_search_a_part_only_and_go_straight_beyond_it() -> None:
    picture = np.full((2000, 3000, 3), 90, np.uint8)
    path = Scissors(picture, (1500, 1000)).path(100, 100)
    assert path[:2] == (1500, 1000)
    assert path[-2:] == (100, 100)
    corner = np.array(path[2:-2]).reshape(-1, 2)
    assert corner.min() >= 1000 - outline.SCISSORS_PX / 2


def test_zoomed_out_scissors_follow_an_edge_longer_than_the_search() -> None:
    picture, _ = disc((2400, 1800), r=700)
    path = np.array(Scissors(picture, (1900, 900), step=4).path(500, 900)).reshape(-1, 2)
    assert np.abs(np.hypot(path[:, 0] - 1200, path[:, 1] - 900) - 700).max() < 10


def test_snap_goes_to_the_edge_and_stays_put_where_all_is_flat() -> None:
    picture, _ = disc(noise=1)
    x, y = outline.snap(picture, 276, 150, reach_px=8)
    assert abs(x - 280) <= 1.5 and abs(y - 150) <= 6
    assert outline.snap(picture, 200, 150, reach_px=8) == (200, 150)
    assert outline.snap(picture, -5, 150, reach_px=8) == (-5, 150)


def test_grabcut_finds_the_object_in_the_box() -> None:
    picture, truth = disc()
    assert overlap(outline.grabcut(picture, Box(105, 55, 295, 245)), truth) > 0.97


def test_grabcut_of_a_large_box_works_on_a_reduced_picture() -> None:
    picture, truth = disc((2400, 1800), r=600)
    start = time.perf_counter()
    found = outline.grabcut(picture, Box(550, 250, 1850, 1550))
    assert time.perf_counter() - start < 5
    assert overlap(found, truth) > 0.97


def test_strokes_take_away_and_add() -> None:
    picture, truth = disc()
    picture[130:170, 60:140] = (150, 180, 200)  # a handle of the same colour, which belongs to something else
    box = Box(50, 50, 300, 250)
    before = outline.grabcut(picture, box)
    after = outline.grabcut(picture, box, [([(70, 150), (110, 150)], False)], brush_px=40)
    assert overlap(after, truth) > overlap(before, truth)
    dark = [([(190, 60), (210, 60)], True)]
    grown = outline.grabcut(picture, box, dark)
    bits = rle.decode(outline.to_mask(grown, (400, 300)))
    assert bits[60, 195:205].all()


def test_grabcut_gives_the_same_outline_every_time_and_nothing_for_no_room() -> None:
    picture, _ = disc()
    box = Box(105, 55, 295, 245)
    first, again = outline.grabcut(picture, box), outline.grabcut(picture, box)
    assert (first.x, first.y) == (again.x, again.y) and np.array_equal(first.bits, again.bits)
    assert outline.grabcut(picture, Box(10, 10, 12, 12)) is NOTHING
    assert outline.grabcut(picture, Box(-50, -50, -10, -10)) is NOTHING


def test_grabcut_of_the_whole_picture_and_of_one_colour_do_not_raise() -> None:
    picture, truth = disc()
    assert overlap(outline.grabcut(picture, Box(0, 0, 400, 300)), truth) > 0.5
    outline.grabcut(np.full((60, 60, 3), 9, np.uint8), Box(10, 10, 50, 50))


def test_the_wand_takes_what_is_joined_and_of_the_colour() -> None:
    picture, truth = disc(noise=2)
    assert overlap(outline.wand(picture, 200, 150, tolerance=20, fill_px=3), truth) > 0.99
    assert outline.wand(picture, 200, 150, tolerance=0).area < 2_000
    assert outline.wand(picture, 900, 150, tolerance=20) is NOTHING


def test_the_wand_can_take_every_pixel_of_the_colour() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[10:20, 10:20] = picture[60:80, 60:80] = 200
    assert outline.wand(picture, 15, 15, tolerance=5).area == 100
    assert outline.wand(picture, 15, 15, tolerance=5, contiguous=False).area == 500


def test_regions_join_and_take_away() -> None:
    a = Region(2, 2, np.ones((4, 4), np.uint8))
    b = Region(4, 4, np.ones((4, 4), np.uint8))
    assert outline.joined(a, b).area == 28
    assert outline.without(a, b).area == 12
    assert outline.without(a, Region(50, 50, np.ones((2, 2), np.uint8))) is a
    assert outline.joined(NOTHING, a) is a


@pytest.mark.parametrize("seed", range(6))
def test_a_region_and_its_mask_hold_the_same_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits = (rng.random((11, 9)) < 0.5).astype(np.uint8)
    whole = np.zeros((20, 15), np.uint8)
    x, y = int(rng.integers(-4, 12)), int(rng.integers(-6, 16))
    for row in range(11):
        for column in range(9):
            if 0 <= y + row < 20 and 0 <= x + column < 15:
                whole[y + row, x + column] = bits[row, column]
    mask = outline.to_mask(Region(x, y, bits), (15, 20))
    assert mask == rle.encode(whole)


def test_a_region_as_high_as_the_picture_keeps_its_runs_canonical() -> None:
    whole = np.ones((6, 4), np.uint8)
    assert outline.to_mask(Region(0, 0, whole), (4, 6)) == rle.encode(whole)


def test_an_outline_runs_along_the_pixels_edges() -> None:
    polygon = outline.to_polygon(Region(10, 20, np.ones((5, 8), np.uint8)))
    assert polygon is not None
    assert geometry.bbox(polygon) == Box(10, 20, 18, 25)
    assert geometry.area(polygon) == 40


def test_an_outline_keeps_holes_drops_specks_and_stays_close() -> None:
    _, truth = disc()
    truth[140:160, 190:210] = 0
    truth[2, 2] = 1
    polygon = outline.to_polygon(Region(0, 0, truth))
    assert isinstance(polygon, Polygon)
    assert len(polygon.parts) == 1 and len(polygon.parts[0]) == 2
    drawn = rle.decode(raster.to_mask(polygon, width=400, height=300))
    assert (drawn & truth).sum() / (drawn | truth).sum() > 0.98
    assert sum(len(r) // 2 for r in polygon.parts[0]) < 100
    assert outline.to_polygon(Region(0, 0, np.zeros((5, 5), np.uint8))) is None


def test_a_very_large_region_is_outlined_in_bounded_time() -> None:
    _, truth = disc((4000, 3000), r=1200)
    start = time.perf_counter()
    polygon = outline.to_polygon(Region(100, 50, truth))
    assert time.perf_counter() - start < 2
    assert polygon is not None
    assert geometry.area(polygon) == pytest.approx(float(truth.sum()), rel=0.005)
    box = geometry.bbox(polygon)
    assert (
        box is not None
        and box.x0 == pytest.approx(100 + 800, abs=3)
        and box.y1 == pytest.approx(50 + 2700, abs=3)
    )


def test_a_lone_pixel_is_still_an_outline() -> None:
    bits = np.zeros((3, 3), np.uint8)
    bits[1, 1] = 1
    polygon = outline.to_polygon(Region(0, 0, bits), tolerance_px=0.1)
    assert polygon is not None and geometry.area(polygon) == pytest.approx(1)


def test_the_source_picture_is_never_changed() -> None:
    picture, _ = disc()
    before = picture.copy()
    outline.wand(picture, 200, 150, tolerance=20)
    outline.grabcut(picture, Box(105, 55, 295, 245))
    Scissors(picture, (280, 150)).path(120, 150)
    assert np.array_equal(picture, before)

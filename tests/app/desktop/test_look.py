"""Rules of the looks: pure functions on arrays, and what is worked out when."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from app.desktop.canvas import compare, instruments
from app.desktop.canvas import look as looks
from app.desktop.canvas.look import PLAIN, Look
from app.desktop.canvas.pictures import Mips, of_picture
from app.desktop.canvas.prepared import Prepared
from storage.media import Kind, Picture


def noise(h: int = 60, w: int = 80) -> np.ndarray:
    bgr = np.random.default_rng(5).integers(0, 256, (h, w, 3), np.uint8)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2BGRA)


def mips(screen: np.ndarray) -> Mips:
    return of_picture(Picture(screen, None, Kind(8, "colour", False, False)))


def deep(h: int = 60, w: int = 80) -> np.ndarray:
    return np.linspace(7000, 9000, h * w).reshape(h, w).astype(np.uint16)


def test_the_plain_look_changes_nothing() -> None:
    assert np.array_equal(looks.apply(PLAIN, noise()), noise())


@pytest.mark.parametrize(
    "look",
    (
        Look(gamma=2.5),
        Look(brightness=-0.3),
        Look(contrast=3.0),
        Look(clahe=3.0, denoise=2),
        Look(channel="red"),
        Look(colour="inferno", invert=True),
        Look(low=0.2, high=0.6),
        Look(denoise=3, colour="turbo"),
    ),
)
def test_no_look_writes_into_the_picture_and_all_stay_opaque(look: Look) -> None:
    source = noise()
    kept = source.copy()
    made = looks.apply(look, source, window=(look.low, look.high))
    assert np.array_equal(source, kept)
    assert made.shape == source.shape
    assert (made[:, :, 3] == 255).all()
    assert not np.array_equal(made, source)


def test_darkening_never_folds_dark_into_bright() -> None:
    table = looks.tone(Look(brightness=-0.6))
    assert (np.diff(table.astype(int)) >= 0).all()
    assert table[0] == 0


@pytest.mark.parametrize("look", (Look(), Look(gamma=3.0), Look(contrast=4.0, brightness=0.2)))
def test_tone_is_monotonous_and_negative_turns_it_round(look: Look) -> None:
    table = looks.tone(look).astype(int)
    assert (np.diff(table) >= 0).all()
    assert (looks.tone(replace(look, invert=True)).astype(int) == 255 - table).all()


def test_the_window_of_sixteen_bits_spreads_a_corner_of_the_range() -> None:
    span = looks.reach(deep())
    low, high = looks.auto_window(noise(), deep(), span)
    assert 6900 <= low * 65535 <= 7100
    assert 8900 <= high * 65535 <= 9100
    made = looks.apply(Look(auto=True), noise(), deep(), window=(low, high), span=span)
    assert made[0, 0, 0] < 5
    assert made[-1, -1, 0] > 250
    assert (made[:, :, 0] == made[:, :, 2]).all()


def test_false_colour_gives_each_brightness_one_colour() -> None:
    gray = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 4, axis=2)
    gray[:, :, 3] = 255
    made = looks.apply(Look(colour="inferno"), np.ascontiguousarray(gray))
    wanted = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None, :], cv2.COLORMAP_INFERNO)
    assert np.array_equal(made[:, :, :3], wanted)
    r, g, b = looks.sample_colour("inferno", 1.0)
    assert (b, g, r) == tuple(wanted[0, 255])


@pytest.mark.parametrize(
    "text", ("", "[]", "null", '{"gamma": "x", "clahe": NaN, "what": 1, "colour": [1]}', "[" * 9000)
)
def test_a_look_that_cannot_be_read_is_the_plain_one(text: str) -> None:
    assert looks.from_text(text) == PLAIN


def test_a_look_goes_through_text_and_is_drawn_into_bounds() -> None:
    look = Look(gamma=2.0, clahe=3.5, denoise=2, low=0.1, high=0.4, channel="red", colour="hot", invert=True)
    assert looks.from_text(looks.to_text(look)) == look
    assert looks.to_text(PLAIN) == "{}"
    assert looks.from_text('{"gamma": 99, "low": 0.8, "high": 0.2}') == Look(gamma=5.0)


# --- when it is worked out ---------------------------------------------------------------------------------------


class Waiting:
    """A pool whose work is done when the test says so."""

    def __init__(self) -> None:
        self.jobs: list = []

    def submit(self, work, done, error, *, key=None) -> None:
        self.jobs.append((work, done))

    def run(self) -> None:
        jobs, self.jobs = self.jobs, []
        for work, done in jobs:
            done(work())


def test_a_slow_look_is_worked_out_for_the_whole_level_once_and_replaces_the_quick_one() -> None:
    told: list[int] = []
    prepared, pool = Prepared(lambda: told.append(1)), Waiting()
    prepared.pool = pool  # type: ignore[assignment]
    picture, look = mips(noise()), Look(clahe=3.0)
    image, box = prepared.region(picture, 0, look, (10, 10, 50, 40))
    assert (image.width(), image.height(), box) == (40, 30, (0, 0, 40, 30))
    prepared.region(picture, 0, look, (10, 10, 50, 40))
    assert len(pool.jobs) == 1
    pool.run()
    assert told
    image, box = prepared.region(picture, 0, look, (10, 10, 50, 40))
    assert (image.width(), box) == (80, (10, 10, 50, 40))
    wanted = looks.apply(look, noise())
    assert image.pixel(20, 20) == int(wanted[20, 20].copy().view(np.uint32)[0])
    assert not pool.jobs


def test_only_the_newest_of_several_looks_is_worked_out() -> None:
    prepared, pool = Prepared(lambda: None), Waiting()
    prepared.pool = pool  # type: ignore[assignment]
    picture = mips(noise())
    for limit in (1.0, 2.0, 3.0):
        prepared.region(picture, 0, Look(clahe=limit), (0, 0, 80, 60))
    pool.run()
    assert [key[2].clahe for key in prepared._kept] == [3.0]


# --- partners, instruments, values -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    (
        ("visible/0001.jpg", "thermal/0001.jpg"),
        ("a/RGB/0001.jpg", "a/IR/0001.jpg"),
        ("DJI_0042_V.JPG", "DJI_0042_T.JPG"),
        ("井下/可见光/3.png", "井下/红外/3.tif"),
        ("wall_before.jpg", "wall_after.jpg"),
        ("0001.jpg", "0001_ir.png"),
        ("0001_T.jpg", "0001.jpg"),
    ),
)
def test_a_partner_is_found_by_its_name_from_either_side(one: str, other: str) -> None:
    assert other in compare.candidates(one)


def test_words_inside_other_words_make_no_partner() -> None:
    found = compare.candidates("stairs/0001.jpg")
    assert not any("stvis" in path or "starrgb" in path for path in found)
    assert len(compare.candidates("a" * 50 + "_v/rgb/before.png")) <= compare.MOST


@pytest.mark.parametrize(("scale", "step"), ((64.0, 1), (16.0, 5), (1.0, 100), (0.05, 2000)))
def test_ruler_steps_are_one_two_or_five(scale: float, step: int) -> None:
    assert instruments.tick_step(scale) == step


def test_a_place_on_the_map_is_a_place_on_the_picture() -> None:
    box = instruments.map_rect((1000, 800), (4000, 2000))
    assert instruments.on_map(box, (4000, 2000), box.center()) == pytest.approx((2000, 1000))


def test_true_values_come_from_the_samples_as_stored() -> None:
    screen = noise()
    made = of_picture(Picture(screen, deep(), Kind(16, "gray", False, False)))
    assert made.value(0, 0) == (7000.0,)
    assert made.value(79, 59) == (9000.0,)
    assert made.value(80, 0) is None
    plain = of_picture(Picture(screen, None, Kind(8, "colour", False, False)))
    assert plain.value(3, 4) == tuple(float(v) for v in screen[4, 3, 2::-1])


def test_the_mip_level_chosen_is_never_stretched_when_a_larger_one_is_there() -> None:
    made = mips(np.zeros((1500, 2400, 4), np.uint8))
    assert [level.width() for level in made.levels] == [2400, 1200, 600]
    for scale, width in (
        (2.0, 2400),
        (1.0, 2400),
        (0.6, 2400),
        (0.5, 1200),
        (0.3, 1200),
        (0.25, 600),
        (0.01, 600),
    ):
        assert made.levels[made.index(scale)].width() == width

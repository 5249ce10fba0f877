"""The letterbox keeps the picture's shape, and its placement maps boxes back to where they came from."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from models import preprocess
from models.card import ModelCard
from models.found import Found

CARD = ModelCard("m", "yolo", "0" * 64, ("a",), "in", (("table", "out"),), (64, 64))


def letterboxed(wh: tuple[int, int], card: ModelCard) -> tuple[np.ndarray, preprocess.Placement]:
    canvas = np.full((card.input_wh[1], card.input_wh[0], 3), 7, np.uint8)
    picture = np.full((wh[1], wh[0], 3), 200, np.uint8)
    return canvas, preprocess.place(picture, card, canvas)


@pytest.mark.parametrize("wh", [(128, 64), (64, 128), (64, 64), (1000, 3), (3, 1000), (1, 1), (33, 65)])
@pytest.mark.parametrize("centred", [True, False])
def test_the_picture_lies_where_the_placement_says_and_the_rest_is_padding(
    wh: tuple[int, int], centred: bool
) -> None:
    canvas, place = letterboxed(wh, replace(CARD, resize="letterbox" if centred else "corner"))
    ys, xs = np.nonzero((canvas == 200).all(axis=2))
    assert set(np.unique(canvas)) <= {114, 200}
    assert (xs.min(), ys.min()) == (place.left, place.top)
    assert abs((xs.max() + 1 - place.left) / place.ratio[0] - wh[0]) <= 1 / place.ratio[0]
    assert abs((ys.max() + 1 - place.top) / place.ratio[1] - wh[1]) <= 1 / place.ratio[1]
    assert place.wh == wh
    if not centred:
        assert (place.left, place.top) == (0, 0)


def test_a_canvas_used_before_holds_nothing_of_the_picture_before() -> None:
    canvas, _ = letterboxed((64, 64), CARD)
    preprocess.place(np.zeros((64, 16, 3), np.uint8), CARD, canvas)
    assert not (canvas == 200).any()


@pytest.mark.parametrize(
    ("colour", "divisor", "expected"),
    [("bgr", 1, (10, 20, 30)), ("rgb", 1, (30, 20, 10)), ("rgb", 255, (30 / 255, 20 / 255, 10 / 255))],
)
def test_channels_and_range_are_the_cards(colour: str, divisor: int, expected: tuple[float, ...]) -> None:
    card = replace(CARD, colour=colour, std_micro=(divisor * 1_000_000,) * 3)
    canvas = np.empty((64, 64, 3), np.uint8)
    canvas[:] = (10, 20, 30)
    for dtype in (np.float32, np.float16):
        blob = np.empty((1, 3, 64, 64), dtype)
        preprocess.fill(blob[0], canvas, card)
        assert np.allclose(blob[0, :, 5, 9], expected, atol=1e-3)


def test_the_middle_square_is_resized_as_opencv_does_it_and_mapped_back() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (60, 101, 3), np.uint8)
    card = ModelCard(
        "m",
        "whole",
        "0" * 64,
        ("a",),
        "in",
        (),
        (32, 32),
        resize="crop",
        head=(("plain", 1),),
        task="classify",
    )
    canvas = np.empty((32, 32, 3), np.uint8)
    placement = preprocess.place(picture, card, canvas)
    np.testing.assert_array_equal(canvas, cv2.resize(picture[:, 20:80], (32, 32)))
    whole = Found(np.array([[0.0, 0, 32, 32]]), np.ones(1), np.zeros(1, np.int64))
    assert placement.back(whole).boxes.tolist() == [[20, 0, 80, 60]]

"""Promptable segmentation: pairs are recognised from their files, and every kind of prompt changes the mask."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from annotation import outline, rle
from annotation.core import Box
from annotation.errors import InvalidInput
from models import promptable, session
from models.promptable import Pair, Prompts
from tests.models import toy_pairs
from tests.models.toys import columns

DIALECTS = ("sam1", "hwc", "edge", "sam2", "efficient")


def scene(wh: tuple[int, int] = (480, 320)) -> np.ndarray:
    """Dark ground with a red block left and a red and a blue one right."""
    w, h = wh
    picture = np.full((h, w, 3), 40, np.uint8)
    picture[h // 4 : h // 2, w // 8 : w // 3] = (30, 30, 220)
    picture[h // 4 : h // 2, w * 5 // 8 : w * 7 // 8] = (30, 30, 220)
    picture[h * 5 // 8 : h * 7 // 8, w * 5 // 8 : w * 7 // 8] = (220, 60, 30)
    return picture


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    """An open toy pair of a dialect, each made once."""
    made: dict[str, Pair] = {}

    def make(dialect: str) -> Pair:
        if dialect not in made:
            encoder, decoder = toy_pairs.write(tmp_path_factory.mktemp(dialect), dialect)
            card = promptable.recognise(encoder, decoder)
            made[dialect] = promptable.open_pair(encoder, decoder, card)
        return made[dialect]

    return make


def bits(region: outline.Region, picture: np.ndarray) -> np.ndarray:
    return rle.decode(outline.to_mask(region, (picture.shape[1], picture.shape[0])))


def iou(region: outline.Region, picture: np.ndarray, rows: slice, columns: slice) -> float:
    mask, truth = bits(region, picture), np.zeros(picture.shape[:2], np.uint8)
    truth[rows, columns] = 1
    return float((mask & truth).sum() / (mask | truth).sum())


LEFT = (slice(80, 160), slice(60, 160))
BLUE = (slice(200, 280), slice(300, 420))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_is_told_by_its_inputs(dialect: str, opened: Callable[[str], Pair]) -> None:
    card = opened(dialect).card
    assert card.dialect == ("sam1" if dialect == "hwc" else dialect)
    assert (card.hwc, card.side_px) == (dialect == "hwc", 1024)
    assert bool(card.mask) == (dialect in ("sam1", "hwc", "sam2"))
    assert card.why
    assert promptable.from_json(card.to_json()) == card


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("wh", [(480, 320), (320, 480), (2000, 500)])
def test_a_point_gives_the_object_under_it_in_source_pixels(
    dialect: str, wh: tuple[int, int], opened: Callable[[str], Pair]
) -> None:
    pair, (w, h) = opened(dialect), wh
    picture = scene(wh)
    best = pair.segment(pair.encode(picture), Prompts(((w * 0.75, h * 0.75, True),)))
    region = next(c.region for c in best if abs(c.score - 0.95) < 1e-6)
    # The toys see cells of 16 px of the input, so an object's rim is soft.
    cell = max(wh) / 64
    share = iou(region, picture, slice(h * 5 // 8, h * 7 // 8), slice(w * 5 // 8, w * 7 // 8))
    room = (w / 4) * (h / 4)
    assert share > room / ((w / 4 + 2 * cell) * (h / 4 + 2 * cell)) - 0.1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_negative_point_takes_away_and_a_second_one_adds(
    dialect: str, opened: Callable[[str], Pair]
) -> None:
    pair, picture = opened(dialect), scene()
    seen = pair.encode(picture)

    def area(*points: tuple[float, float, bool]) -> int:
        found = pair.segment(seen, Prompts(points))
        return next(c.region.area for c in found if abs(c.score - 0.95) < 1e-6)

    one = area((110, 120, True))
    assert area((110, 120, True), (360, 240, True)) > 1.6 * one
    assert area((110, 120, True), (110, 121, False)) < 0.1 * one


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_box_gives_what_is_in_it(dialect: str, opened: Callable[[str], Pair]) -> None:
    pair, picture = opened(dialect), scene()
    found = pair.segment(pair.encode(picture), Prompts(box=Box(200, 100, 300, 200)))
    region = next(c.region for c in found if abs(c.score - 0.95) < 1e-6)
    assert iou(region, picture, slice(100, 200), slice(200, 300)) > 0.9


def test_the_likeliest_comes_first_and_sams_first_mask_is_for_several_prompts(
    opened: Callable[[str], Pair],
) -> None:
    picture = scene()
    two = opened("sam2")
    found = two.segment(two.encode(picture), Prompts(((110, 120, True),)))
    assert [round(c.score, 2) for c in found] == [0.95, 0.9, 0.7]
    one = opened("sam1")
    seen = one.encode(picture)
    single = one.segment(seen, Prompts(((110, 120, True),)))
    assert [round(c.score, 2) for c in single] == [0.9, 0.7, 0.4, 0.95]
    several = one.segment(seen, Prompts(((110, 120, True), (112, 122, True))))
    assert [round(c.score, 2) for c in several] == [0.95, 0.9, 0.7, 0.4]


@pytest.mark.parametrize("dialect", ["sam1", "sam2"])
def test_the_mask_before_is_fed_back(dialect: str, opened: Callable[[str], Pair]) -> None:
    pair = opened(dialect)
    seen = pair.encode(scene())
    prompts = Prompts(((110, 120, True),))
    first = pair.segment(seen, prompts)[0]
    assert first.low is not None and first.low.shape == (1, 1, 256, 256)
    erased = pair.segment(seen, prompts, before=np.full_like(first.low, -30))
    assert erased[0].region.area == 0
    assert pair.segment(seen, prompts, before=first.low)[0].region.area > 0


def test_a_dialect_without_mask_input_gives_nothing_to_feed_back(opened: Callable[[str], Pair]) -> None:
    pair = opened("edge")
    assert pair.segment(pair.encode(scene()), Prompts(((110, 120, True),)))[0].low is None


def test_nothing_is_answered_without_a_positive_prompt(opened: Callable[[str], Pair]) -> None:
    pair = opened("edge")
    seen = pair.encode(scene())
    with pytest.raises(InvalidInput, match="nothing was pointed at"):
        pair.segment(seen, Prompts(((10, 10, False),)))


def test_encoding_can_be_stopped_before_and_from_another_thread(opened: Callable[[str], Pair]) -> None:
    pair = opened("sam2")
    stop = session.Stop()
    stop.set()
    with pytest.raises(session.Stopped):
        pair.encode(scene(), stop=stop)
    late = session.Stop()
    threading.Thread(target=late.set).start()
    try:
        pair.encode(scene((2000, 1500)), stop=late)
    except session.Stopped:
        pass
    assert late.is_set
    assert pair.encode(scene()).size_bytes > 4_000_000  # the session is still good


def test_halves_of_different_models_are_refused_with_both_shapes(tmp_path: Path) -> None:
    encoder, _ = toy_pairs.write(tmp_path, "sam1")
    other = tmp_path / "other.onnx"
    other.write_bytes(toy_pairs.decoder("sam1", channels=128))
    with pytest.raises(InvalidInput, match="of shape 1x128x64x64, the encoder gives 1x256x64x64"):
        promptable.recognise(encoder, other)


def test_swapped_files_are_named(tmp_path: Path) -> None:
    encoder, decoder = toy_pairs.write(tmp_path, "sam1")
    with pytest.raises(InvalidInput, match="this is the decoder"):
        promptable.recognise(decoder, encoder)


def test_a_detector_is_no_half_of_a_pair(tmp_path: Path, toy: Callable[..., Path]) -> None:
    encoder, decoder = toy_pairs.write(tmp_path, "sam1")
    detector = toy(columns())
    with pytest.raises(InvalidInput, match="no known decoder: its inputs are images"):
        promptable.recognise(encoder, detector)
    with pytest.raises(InvalidInput, match="the encoder gives"):
        promptable.recognise(detector, decoder)


def test_a_file_that_is_not_the_cards_is_refused(tmp_path: Path) -> None:
    encoder, decoder = toy_pairs.write(tmp_path, "edge")
    card = promptable.recognise(encoder, decoder)
    with pytest.raises(InvalidInput, match="not the file this card was made for"):
        promptable.open_pair(decoder, encoder, card)


def test_a_pairs_identity_is_both_files(tmp_path: Path) -> None:
    card = promptable.recognise(*toy_pairs.write(tmp_path, "sam1"), name="mine")
    other = promptable.recognise(*toy_pairs.write(tmp_path, "hwc"), name="mine")
    assert card.decoder_sha256 == other.decoder_sha256
    assert card.sha256 != other.sha256
    assert len(card.sha256) == 64

"""Drawn scenes: the same for a seed, with exact boxes that lie in the picture."""

from __future__ import annotations

import numpy as np
import pytest

from annotation import scenes
from annotation.core import Box


def test_a_seed_always_gives_the_same_scene_and_another_seed_another() -> None:
    first, again, other = scenes.draw(7), scenes.draw(7), scenes.draw(8)
    assert np.array_equal(first.picture, again.picture)
    assert first.annotations == again.annotations
    assert not np.array_equal(first.picture, other.picture)


@pytest.mark.parametrize("wh", [(960, 540), (64, 64), (333, 777)])
def test_every_box_lies_in_the_picture_and_is_worth_drawing(wh: tuple[int, int]) -> None:
    for seed in range(12):
        scene = scenes.draw(seed, wh)
        assert (scene.picture.shape, scene.picture.dtype) == ((wh[1], wh[0], 3), np.uint8)
        for a in scene.annotations:
            assert isinstance(a.shape, Box)
            assert 0 <= a.shape.x0 <= a.shape.x1 - 4 <= wh[0] - 4
            assert 0 <= a.shape.y0 <= a.shape.y1 - 4 <= wh[1] - 4
            assert (a.label in scenes.LABELS, a.origin) == (True, "human")


def test_every_label_occurs_and_nearly_every_person_has_a_head() -> None:
    labels = [a.label for seed in range(60) for a in scenes.draw(seed).annotations]
    counts = {label: labels.count(label) for label in scenes.LABELS}
    assert min(counts.values()) >= 20
    assert counts["helmet"] + counts["no_helmet"] >= 0.9 * counts["person"]


def test_a_head_lies_on_its_person() -> None:
    for seed in range(40):
        boxes = [(a.label, a.shape) for a in scenes.draw(seed).annotations]
        people = [b for label, b in boxes if label == "person" and isinstance(b, Box)]
        for label, head in boxes:
            if label in ("helmet", "no_helmet") and isinstance(head, Box):
                assert any(
                    p.x0 <= head.x0 and head.x1 <= p.x1 and p.y0 <= head.y0 and head.y1 <= p.y1
                    for p in people
                )


def test_a_pasted_patch_changes_exactly_the_pixels_of_its_box() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        picture = np.full((400, 400, 3), 201, np.uint8)
        patch, masks, _ = scenes._person(rng, 180.0, bool(seed % 2))
        box = scenes._paste(picture, patch, masks["person"], 100, 100, [])
        assert box is not None
        ys, xs = np.nonzero((picture != 201).any(axis=2))
        assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == box


def test_a_person_stands_in_no_other_persons_way() -> None:
    taken = [(0, 0, 100, 100)]
    patch, mask = np.zeros((80, 80, 3), np.uint8), np.full((80, 80), 255, np.uint8)
    assert scenes._paste(np.zeros((200, 200, 3), np.uint8), patch, mask, 10, 10, taken) is None
    assert scenes._paste(np.zeros((200, 200, 3), np.uint8), patch, mask, 110, 10, taken) == (110, 10, 190, 90)

"""The demonstration detector: small, honest about what it is, and able on drawn scenes it never saw."""

from __future__ import annotations

import tomllib

import cv2
import numpy as np

from annotation import quality, scenes
from models import batch, demo
from models.recipe import Recipe
from models.session import Array

SEED = 2_000_000
"""Neither trained on nor used for the figures of card.toml."""


def decode(data: bytes) -> Array:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


def test_it_is_under_a_megabyte_and_says_what_it_is() -> None:
    card = demo.card()
    assert demo.path().stat().st_size < 1_000_000
    assert (card.name, card.family, card.labels) == ("demo", "yolo", scenes.LABELS)
    assert card.note == "drawn scenes; demonstration; not for safety use"
    assert card.licence == "Apache-2.0"


def test_its_figures_are_those_of_this_very_file() -> None:
    told = tomllib.loads(demo.path().with_name("card.toml").read_text(encoding="utf-8"))
    assert told["sha256"] == demo.card().sha256
    assert told["size_bytes"] == demo.path().stat().st_size
    assert (told["note"], set(told["labels"])) == (demo.card().note, set(scenes.LABELS))


def test_it_finds_most_of_what_is_drawn_on_scenes_it_never_saw() -> None:
    drawn = {i: scenes.draw(SEED + i) for i in range(60)}

    def read(i: int) -> bytes:
        return cv2.imencode(".jpg", drawn[i].picture, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()

    results = batch.predict(
        [(i, i) for i in drawn],
        read,
        demo.path(),
        demo.card(),
        decode=decode,
        recipe=Recipe(score_micro=50_000),
    )
    scores = quality.score((drawn[r.id].annotations, r.annotations) for r in results)
    assert sum(scores[label].ap for label in scenes.LABELS) / len(scenes.LABELS) > 0.8

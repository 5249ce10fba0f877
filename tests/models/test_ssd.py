"""SSD in its three shapes, against values worked out by hand (OpenCV 5's DetectionModel does not take such a graph)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models import batch
from models.heads import HEADS
from models.recognise import recognise
from tests.models.test_batch import decode
from tests.models.toys import grey_png

Toy = Callable[..., Path]


def read(path: Path, wh: tuple[int, int] = (128, 32), **answers: str) -> list[tuple[str, float, list[float]]]:
    card = recognise(path, answers=answers).card
    assert card.family == "ssd"
    [result] = batch.predict([(0, 0)], lambda _: grey_png(9, wh), path, card, decode=decode)
    return [
        (
            a.label,
            round(a.score or 0, 4),
            [round(v, 2) for v in (a.shape.x0, a.shape.y0, a.shape.x1, a.shape.y1)],
        )  # type: ignore[union-attr]
        for a in result.annotations
    ]


def test_rows_of_seven_are_picture_class_score_and_shares(toy: Toy) -> None:
    rows = np.zeros((1, 1, 5, 7), np.float32)
    rows[0, 0, 0] = (0, 2, 0.9, 0.25, 0.5, 0.75, 1.0)
    rows[0, 0, 1] = (0, 1, 0.6, 0.5, 0.0, 0.625, 0.5)
    rows[0, 0, 2] = (0, 1, 0.3, 0.5, 0.0, 0.625, 0.5)  # too weak
    names = {"names": "['lamp', 'belt']"}
    got = read(toy(rows, metadata=names))
    assert got == [("belt", 0.9, [32, 16, 96, 32]), ("lamp", 0.6, [64, 0, 80, 16])]


def test_tensorflows_lists_are_y_first_and_numbered_from_one(toy: Toy) -> None:
    boxes = np.array([[[0.5, 0.25, 1.0, 0.75], [0, 0.5, 0.5, 0.625], [0, 0, 0, 0]]], np.float32)
    extra = {
        "c": np.array([[2, 1, 1]], np.float32),
        "s": np.array([[0.9, 0.6, 0.0]], np.float32),
        "n": np.array([2.0]),
    }
    path = toy(boxes, extra=extra)
    assert read(path, classes="2", labels="lamp,belt") == [
        ("belt", 0.9, [32, 16, 96, 32]), ("lamp", 0.6, [64, 0, 80, 16]),
    ]  # fmt: skip
    assert read(path, classes="2", box="xyxy")[0][2] == [64, 8, 128, 24]
    assert [q.key for q in recognise(path).asks] == ["box", "first_class", "classes", "range", "colour"]


@pytest.mark.parametrize("logits", [False, True])
def test_priors_are_suppressed_and_their_first_class_is_the_background(toy: Toy, logits: bool) -> None:
    n = 2500
    boxes = np.tile(np.array([0.25, 0.5, 0.75, 1.0], np.float32), (1, n, 1))
    shares = np.tile(np.array([0.9, 0.05, 0.05], np.float32), (1, n, 1))
    shares[0, 7], shares[0, 8], shares[0, 9] = (0.1, 0.1, 0.8), (0.2, 0.1, 0.7), (0.05, 0.9, 0.05)
    got = read(toy(boxes, extra={"s": np.log(shares) + 3 if logits else shares}))
    assert got == [("class_0", 0.9, [32, 16, 96, 32]), ("class_1", 0.8, [32, 16, 96, 32])]


def test_a_score_or_class_number_that_is_none_makes_no_box() -> None:
    from models.card import ModelCard

    card = ModelCard("m", "ssd", "0" * 64, ("a",), "in", (), (64, 64), head=(("kind", 1), ("first", 1)))
    outputs = {
        "boxes": np.tile(np.array([0.0, 0, 1, 1]), (4, 1)),
        "classes": np.array([np.nan, np.inf, 7.0, 1.0]),
        "scores": np.array([0.9, 0.9, 0.9, np.nan]),
    }
    assert len(HEADS["ssd"].decode(outputs, card, score=0.1, iou=0.5)) == 0

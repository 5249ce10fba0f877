"""The generic form: what a person says of the outputs is what is read, and an answer that cannot be is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from annotation.errors import InvalidInput
from models import batch
from models.recognise import Unrecognised, recognise
from tests.models.test_batch import decode
from tests.models.toys import columns, grey_png

Toy = Callable[..., Path]


def boxes(path: Path, **answers: str) -> list[tuple[str, float, list[float]]]:
    card = recognise(path, answers={"fit": "stretch", **answers}).card
    [result] = batch.predict([(0, 0)], lambda _: grey_png(9), path, card, decode=decode)
    return [
        (
            a.label,
            round(a.score or 0, 4),
            [round(v, 3) for v in (a.shape.x0, a.shape.y0, a.shape.x1, a.shape.y1)],
        )  # type: ignore[union-attr]
        for a in result.annotations
    ]


@pytest.fixture
def three(toy: Toy) -> Path:
    """Boxes as shares y x y x, scores as logits, class numbers from 1, each in an output of its own."""
    rows = np.array([[0.25, 0.125, 0.5, 0.375], [0, 0, 0.1, 0.1], [0.26, 0.125, 0.5, 0.375]], np.float32)
    return toy(
        rows[None],
        extra={
            "a": np.array([[0.0], [-9.0], [-1.0]], np.float32),
            "b": np.array([[2.0], [1.0], [2.0]], np.float32),
            "strange": np.zeros((1, 2, 3, 4, 5), np.float32),
        },
    )


SAID = {
    "boxes": "4", "box": "yxyx", "unit": "share", "scores": "1", "score_at": "0", "per_class": "no", "classes": "2",
    "class_at": "0", "first_class": "1", "activation": "sigmoid", "count": "2", "labels": "lamp,belt",
}  # fmt: skip


def test_three_outputs_are_read_as_told(three: Path) -> None:
    assert boxes(three, **SAID) == [("belt", 0.5, [8, 16, 24, 32])]
    assert [score for _, score, _ in boxes(three, **SAID, nms="no")] == [0.5, 0.2689]


def test_one_table_with_objectness_is_read_as_told(toy: Toy) -> None:
    table = np.zeros((1, 5, 8), np.float32)
    table[0, 1] = (0.5, 7, 9, 10, 10, 20, 0.2, 0.8)
    path = toy(table, extra={"strange": np.zeros((1, 2, 3, 4, 5), np.float32)})
    told = {"boxes": "2", "box_at": "2", "box": "xywh", "scores": "2", "score_at": "6", "objectness_at": "0"}
    # The columns: objectness, nothing, x, y, w, h, two classes.
    assert boxes(path, **told) == [("class_1", 0.4, [9, 10, 19, 30])]


def test_an_unknown_model_is_refused_with_its_outputs_and_the_questions(three: Path) -> None:
    with pytest.raises(Unrecognised) as refused:
        recognise(three)
    assert len(refused.value.outputs) == 4
    asked = {q.key: q for q in refused.value.asks}
    assert asked["boxes"].proposal == "4"
    assert all(q.proposal in q.choices for q in asked.values() if q.choices)


@pytest.mark.parametrize(
    ("key", "value"),
    [("boxes", "9"), ("box", "polar"), ("box_at", "3"), ("box_at", "x"), ("scores", "3"), ("activation", "relu"),
     ("count", "-1"), ("count", "1" * 9), ("range", "odd"), ("first_class", "one"), ("shoe", "43")],
)  # fmt: skip
def test_an_answer_that_cannot_be_is_refused(three: Path, key: str, value: str) -> None:
    with pytest.raises(InvalidInput):
        recognise(three, answers={**SAID, key: value})


def test_a_known_model_can_be_read_by_the_form_when_told_so(toy: Toy) -> None:
    path = toy(columns((20, 30, 10, 8, 0.3, 0.8)))
    told = {"family": "form", "box": "cxcywh"}
    assert boxes(path, **told) == [("class_1", 0.8, [15, 26, 25, 34])]
    assert recognise(path, answers=told).card.family == "form"

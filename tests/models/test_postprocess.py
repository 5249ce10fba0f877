"""Boxes out of each family's numbers, against values worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from annotation.core import AnnotationSet, Box
from annotation.rows import to_row
from models import postprocess
from models.card import ModelCard
from models.found import Found
from models.heads import HEADS
from models.preprocess import Placement
from models.recipe import Recipe
from tests.models.toys import CELLS, columns, rows

V8 = ModelCard(
    "m", "yolo", "0" * 64, ("a", "b"), "in", (("table", "out"),), (64, 64), head=(("transposed", 1),)
)
V5 = replace(V8, head=(("objectness", 1),))
YOLOX = replace(V8, family="yolox", head=())
SAME = Placement((1.0, 1.0), 0, 0, (0, 0), (64, 64), (64, 64))
HALF = Placement((0.5, 0.5), 0, 16, (0, 0), (128, 64), (128, 64))  # 128x64 px in an input of 64x64


def annotated(
    output: np.ndarray, card: ModelCard, place: Placement, score: float, iou: float
) -> AnnotationSet:
    using = postprocess.rules(card, Recipe(score_micro=round(score * 1e6), iou_micro=round(iou * 1e6)))
    found = HEADS[card.family].decode({"table": output[0]}, card, score=using.score, iou=using.iou)
    whole = postprocess.settled([place.back(found)], [(0, 0, *place.wh)], place.wh, using)
    return postprocess.to_annotations(whole, card, using.labels, place.wh)


def boxes_of(output: np.ndarray, card: ModelCard, place: Placement = SAME, **options: float) -> list[tuple]:
    found = annotated(output, card, place, **{"score": 0.25, "iou": 0.45, **options})
    assert all(a.origin == "model" for a in found)
    return [(a.label, round(a.score or 0, 4), a.shape) for a in found]


def test_yolov8_gives_centre_and_size_and_the_best_class() -> None:
    table = columns((20, 30, 10, 8, 0.3, 0.8), (50, 50, 4, 4, 0.1, 0.2))
    assert boxes_of(table, V8) == [("b", 0.8, Box(15, 26, 25, 34))]


def test_rows_give_the_same_as_columns() -> None:
    table = columns((20, 30, 10, 8, 0.3, 0.8), (40, 50, 4, 4, 0.6, 0.2))
    turned = np.ascontiguousarray(table.transpose(0, 2, 1))
    assert boxes_of(turned, replace(V8, head=())) == boxes_of(table, V8)


def test_yolov5_multiplies_objectness_and_class() -> None:
    table = rows(7, anchors=3)
    table[0, 5] = (20, 30, 10, 8, 0.9, 0.5, 0.1)
    table[0, 6] = (50, 50, 4, 4, 0.4, 0.5, 0.1)  # 0.2 in all: below the threshold
    assert boxes_of(table, V5) == [("a", 0.45, Box(15, 26, 25, 34))]


@pytest.mark.parametrize(
    ("cell", "x", "y", "stride"), [(8 * 2 + 3, 3, 2, 8), (64 + 4 * 1 + 2, 2, 1, 16), (83, 1, 1, 32)]
)
def test_yolox_offsets_are_from_the_cell_of_its_stride(cell: int, x: int, y: int, stride: int) -> None:
    table = rows(7)
    table[0, cell] = (0.5, 0.25, math.log(0.5), math.log(0.25), 0.9, 0.1, 1.0)
    cx, cy, w, h = (x + 0.5) * stride, (y + 0.25) * stride, 0.5 * stride, 0.25 * stride
    [(label, score, box)] = boxes_of(table, YOLOX)
    assert (label, score) == ("b", 0.9)
    assert [box.x0, box.y0, box.x1, box.y1] == pytest.approx(
        [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], abs=1e-4
    )


def test_boxes_are_mapped_back_to_source_pixels_and_cut_at_the_picture() -> None:
    table = columns((10, 32, 8, 8, 0.9), (62, 20, 10, 20, 0.8))
    assert boxes_of(table, V8, HALF) == [("a", 0.9, Box(12, 24, 28, 40)), ("a", 0.8, Box(114, 0, 128, 28))]


def test_a_box_in_the_padding_is_dropped() -> None:
    assert boxes_of(columns((32, 6, 8, 8, 0.9)), V8, HALF) == []


def test_the_weaker_of_two_overlapping_boxes_of_a_class_goes() -> None:
    table = columns((20, 20, 10, 10, 0.7), (21, 20, 10, 10, 0.9), (40, 40, 10, 10, 0.5))
    assert [score for _, score, _ in boxes_of(table, V8)] == [0.9, 0.5]
    assert len(boxes_of(table, V8, iou=0.9)) == 3


def test_boxes_of_two_classes_do_not_hide_each_other() -> None:
    table = columns((20, 20, 10, 10, 0.7, 0), (20, 20, 10, 10, 0, 0.9))
    assert [label for label, _, _ in boxes_of(table, V8)] == ["b", "a"]


def test_the_threshold_is_inclusive() -> None:
    assert len(boxes_of(columns((20, 20, 10, 10, 0.5)), V8, score=0.5)) == 1
    assert boxes_of(columns((20, 20, 10, 10, 0.5)), V8, score=0.51) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(4))
def test_numbers_that_are_none_make_no_box(bad: float, place: int) -> None:
    values = [20.0, 20, 10, 10, 0.9]
    values[place] = bad
    assert boxes_of(columns(tuple(values)), V8) == []


def test_yolox_sizes_beyond_all_bounds_make_no_box() -> None:
    table = rows(7)
    table[0, 0] = (0, 0, 5000, 5000, 1, 1, 0)
    assert boxes_of(table, YOLOX) == []


def test_negative_sizes_and_nan_scores_make_no_box() -> None:
    assert boxes_of(columns((20, 20, -10, 10, 0.9), (20, 20, 10, 10, math.nan)), V8) == []


def test_a_score_above_one_is_one() -> None:
    assert boxes_of(columns((20, 20, 10, 10, 1.7)), V8)[0][1] == 1.0


def test_a_network_gone_wild_is_bounded() -> None:
    card = replace(V8, input_wh=(2048, 2048), head=())
    rng = np.random.default_rng(0)
    wild = rng.random((1, 80_000, 6)).astype(np.float32)
    wild[..., :2] *= 2048
    wild[..., 2:4] += 1
    wide = replace(SAME, part=(2048, 2048), wh=(2048, 2048))
    assert len(annotated(wild, card, wide, score=0.0, iou=1.0)) <= postprocess.MAX_OBJECTS


def test_an_empty_output_gives_no_boxes() -> None:
    assert boxes_of(np.zeros((1, 6, CELLS), np.float32), V8) == []
    assert boxes_of(rows(7), YOLOX) == []


@pytest.mark.parametrize("far", [math.nan, math.inf, 1e20])
@pytest.mark.parametrize("task", ["pose", "obb", "read"])
def test_an_object_whose_points_are_no_numbers_or_lie_beyond_all_reach_is_none(task: str, far: float) -> None:
    good = np.array([[10.0, 10], [30, 10], [30, 20], [10, 20]])
    both = np.stack([good, good])
    both[0, 1, 0] = far
    seen = np.concatenate([both, np.ones((2, 4, 1))], axis=2)
    found = Found(
        np.tile([[10.0, 10, 30, 20]], (2, 1)), np.array([0.9, 0.8]), np.zeros(2, np.int64),
        points=seen if task == "pose" else None, quads=None if task == "pose" else both,
    )  # fmt: skip
    kept = postprocess.to_annotations(found, replace(V8, task=task), ("a",), (64, 64))
    assert [a.score for a in kept] == [0.8]
    assert to_row(kept[0].shape)

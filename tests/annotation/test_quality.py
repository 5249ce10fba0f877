"""Matching and figures of boxes, against cases counted by hand."""

from __future__ import annotations

import pytest

from annotation import quality
from annotation.core import Annotation, Box, Tag


def given(label: str, *xyxy: float) -> Annotation:
    return Annotation(label, Box(*xyxy))


def guess(label: str, score: float, *xyxy: float) -> Annotation:
    return Annotation(label, Box(*xyxy), score=score, origin="model")


A, B = given("person", 0, 0, 10, 10), given("person", 20, 0, 30, 10)


def test_each_truth_is_matched_once_by_the_strongest_prediction() -> None:
    weak, strong = guess("person", 0.4, 0, 0, 10, 10), guess("person", 0.9, 0, 0, 10, 9)
    assert quality.match((A,), (weak, strong)) == ((A, strong),)


def test_a_prediction_takes_the_truth_it_fits_best() -> None:
    near = given("person", 2, 0, 12, 10)
    hit = guess("person", 0.9, 2, 0, 12, 10)
    assert quality.match((A, near), (hit,)) == ((near, hit),)


def test_another_label_or_too_small_an_overlap_is_no_match() -> None:
    assert quality.match((A,), (guess("helmet", 0.9, 0, 0, 10, 10),)) == ()
    assert quality.match((A,), (guess("person", 0.9, 5, 0, 15, 10),)) == ()
    assert len(quality.match((A,), (guess("person", 0.9, 5, 0, 15, 10),), iou=0.3)) == 1


def test_average_precision_is_the_area_under_the_curve() -> None:
    pages = [
        ((A, B), (guess("person", 0.9, 0, 0, 10, 10), guess("person", 0.8, 50, 50, 60, 60))),
        ((A,), (guess("person", 0.7, 0, 0, 10, 10),)),
    ]
    found = quality.score(pages)["person"]
    assert (found.truth, found.predicted, found.hits) == (3, 3, 2)
    assert found.ap == pytest.approx(1 / 3 * 1 + 1 / 3 * (2 / 3))
    assert found.recall == pytest.approx(2 / 3)
    assert found.precision == pytest.approx(2 / 3)


def test_labels_met_on_one_side_only_score_nothing() -> None:
    found = quality.score([((A,), (guess("coal", 0.9, 0, 0, 1, 1),))])
    assert (found["person"].ap, found["person"].recall, found["coal"].ap, found["coal"].precision) == (
        0,
        0,
        0,
        0,
    )


def test_shapes_without_a_box_are_left_out() -> None:
    assert quality.score([((Annotation("smoke", Tag()),), ())]) == {}

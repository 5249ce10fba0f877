"""Evaluation: COCO's figures to the last digit, and confusion, calibration, thresholds and intervals against plain counting."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation import evaluation, overlap, raster, resample, rle
from annotation.core import Annotation, Box, Ellipse, Keypoints, Polygon, Quad, RotatedBox, Shape, Tag
from annotation.errors import InvalidInput
from annotation.evaluation import IOUS, NOTHING, Tally
from annotation.overlap import By
from tests.support import judged

PLACES = {code: i for i, code in enumerate(judged.CLASSES)}


def tallied(data: list[judged.Picture], by: By = "box", **how: float) -> Tally:
    tally = Tally(judged.CLASSES, **how)
    for key, p in enumerate(data):
        tally.add(
            key,
            overlap.objects(p.truth, PLACES, by=by, wh=judged.WH),
            overlap.objects(p.found, PLACES, by=by, wh=judged.WH),
        )
    return tally


def one(truth: list[Annotation], found: list[Annotation]) -> list[judged.Picture]:
    return [judged.Picture(tuple(truth), tuple(found))]


def box(label: str, x: float, y: float, w: float, h: float, score: float | None = None) -> Annotation:
    return Annotation(
        label, Box(x, y, x + w, y + h), score=score, origin="human" if score is None else "model"
    )


# -- COCO ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("by", "seed"), judged.CASES)
def test_every_figure_is_that_of_pycocotools(by: By, seed: int) -> None:
    golden = json.loads(judged.GOLDEN.read_text())[f"{by} {seed}"]
    found = evaluation.figures(tallied(judged.pictures(by, seed), by))
    assert found.coco == pytest.approx(golden["coco"], abs=1e-6)
    for c in found.classes:
        assert c.ap == pytest.approx(golden["classes"][c.label]["ap"], abs=1e-6)
        assert c.curve == pytest.approx(golden["classes"][c.label]["curve50"], abs=1e-6)


@pytest.mark.parametrize(("by", "seed"), [("box", 17), ("mask", 18)])
def test_pycocotools_itself_agrees_where_it_is_installed(by: By, seed: int) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is not installed: the golden figures stand for it")
    data = judged.pictures(by, seed)
    golden = judged.by_pycocotools(*judged.as_coco(data, by), by)
    assert evaluation.figures(tallied(data, by)).coco == pytest.approx(golden["coco"], abs=1e-9)


def test_persons_found_in_a_real_video_have_the_figures_of_pycocotools() -> None:
    real = json.loads((Path(__file__).parent / "worker_zone.json").read_text())
    tally = Tally(("person",))
    for key, p in enumerate(real["pictures"]):
        truth = [box("person", *b) for b in p["truth"]]
        found = [box("person", *b) for b in p["found"]]
        tally.add(key, *(overlap.objects(a, {"person": 0}, by="box") for a in (truth, found)))
    assert evaluation.figures(tally).coco == pytest.approx(real["pycocotools"], abs=1e-6)


def plain_ap(data: list[judged.Picture], label: str, iou: float) -> float | None:
    """Average precision of one class at one overlap without crowds and sizes, written down as it is defined."""
    marks: list[tuple[float, bool]] = []
    total = 0
    for p in data:
        free = [a.shape for a in p.truth if a.label == label]
        total += len(free)
        guesses = sorted((a for a in p.found if a.label == label), key=lambda a: -(a.score or 0))[:100]
        for a in guesses:
            near = [(plain_iou(a.shape, g), -i) for i, g in enumerate(free) if plain_iou(a.shape, g) >= iou]
            if near:  # of equal ones the last, as COCO's program
                _, at = max(near, key=lambda x: (x[0], -x[1]))
                free[-at] = None  # type: ignore[call-overload]
            marks.append((a.score or 0, bool(near)))
    if not total:
        return None
    marks.sort(key=lambda m: -m[0])
    points, hits = [], 0
    for n, (_, hit) in enumerate(marks, 1):
        hits += hit
        points.append((hits / total, hits / n))
    steps = [max((p for r, p in points if r >= k), default=0.0) for k in np.linspace(0, 1, 101)]
    return sum(steps) / 101


def plain_iou(a: Shape | None, b: Shape | None) -> float:
    if not isinstance(a, Box) or not isinstance(b, Box):
        return 0.0
    w, h = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    shared = w * h if w > 0 and h > 0 else 0.0
    return shared / ((a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - shared)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(100, 10_000), step=st.integers(0, 9))
def test_average_precision_is_what_its_definition_says(seed: int, step: int) -> None:
    data = judged.pictures("box", seed)
    found = evaluation.figures(tallied(data, iou=float(IOUS[step])))
    for c in found.classes:
        plain = plain_ap(data, c.label, float(IOUS[step]))
        mean = None if c.curve is None else float(np.mean(c.curve))
        assert mean == (None if plain is None else pytest.approx(plain, abs=1e-6))


def test_a_class_without_truth_has_no_precision_and_a_class_never_said_has_none_at_all() -> None:
    found = evaluation.figures(tallied(one([box("person", 0, 0, 50, 50)], [box("vest", 0, 0, 50, 50, 0.9)])))
    person, _, vest = found.classes
    assert (person.ap, person.said, person.best) == (0.0, 0, None)
    assert (vest.ap, vest.said, vest.best) == (None, 1, None)
    assert found.coco[0] == 0.0  # the mean is over classes with truth


def test_predictions_beyond_a_hundred_of_a_class_on_a_picture_are_counted_as_left_aside() -> None:
    found = [box("person", i, 0, 5, 5, 0.5) for i in range(130)]
    tally = tallied(one([box("person", 0, 0, 5, 5)], found))
    assert (tally.marks[0].crowded, len(tally.marks[0].scores)) == (30, 100)


@pytest.mark.parametrize("rival", [False, True])
def test_an_overlap_that_is_exactly_the_threshold_is_right(rival: bool) -> None:
    found = [box("person", 0, 0, 10, 5, 0.9)] + ([box("person", 0, 5, 10, 5, 0.8)] if rival else [])
    person = evaluation.figures(tallied(one([box("person", 0, 0, 10, 10)], found))).classes[0]
    assert (person.ap50, person.hits) == (pytest.approx(1.0), 1)


# -- overlap ---------------------------------------------------------------------------------------------------------


def test_the_overlap_of_masks_is_that_of_their_pixels() -> None:
    rng = np.random.default_rng(4)
    masks = [rle.encode(rng.random((23, 31)) < share) for share in (0.0, 0.2, 0.5, 0.9, 1.0)]
    shapes = [Annotation("person", m) for m in masks]
    got = overlap.iou(*(overlap.objects(shapes, PLACES, by="mask", wh=(31, 23)) for _ in range(2)))
    drawn = [rle.decode(m) for m in masks if sum(m.counts[1::2])]
    want = [[(a & b).sum() / (a | b).sum() for b in drawn] for a in drawn]
    assert got == pytest.approx(np.array(want))


turned_boxes = st.builds(
    RotatedBox, *[st.floats(10, 90)] * 2, *[st.floats(1, 60)] * 2, st.floats(0, 359.9)
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(turned_boxes, turned_boxes)
def test_the_overlap_of_turned_boxes_is_that_of_their_polygons(a: RotatedBox, b: RotatedBox) -> None:
    import shapely

    from annotation import geometry

    rings = [shapely.Polygon(list(geometry.pairs(geometry.corners(s)))) for s in (a, b)]
    want = rings[0].intersection(rings[1]).area / rings[0].union(rings[1]).area
    pair = [overlap.objects([Annotation("person", s)], PLACES, by="rotated") for s in (a, b)]
    assert overlap.iou(*pair)[0, 0] == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        (Box(1, 1, 9, 9), {"box", "mask", "rotated"}),
        (RotatedBox(5, 5, 4, 4, 30), {"box", "mask", "rotated"}),
        (Polygon((((1, 1, 9, 1, 9, 9),),)), {"box", "mask", "rotated"}),
        (Ellipse(5, 5, 3, 2), {"box", "mask", "rotated"}),
        (Quad((1, 1, 9, 1, 9, 9, 1, 9)), {"box", "mask", "rotated"}),
        (raster.to_mask(Box(1, 1, 9, 9), width=12, height=12), {"box", "mask", "rotated"}),
        (Keypoints((1, 1, 9, 9), (2, 2)), {"box"}),
        (Tag(), {"tag"}),
    ],
)
def test_shapes_are_compared_where_they_can_be(shape: Shape, fits: set[str]) -> None:
    for by in overlap.BYS:
        found = overlap.objects([Annotation("person", shape)], PLACES, by=by, wh=(12, 12))
        assert len(found) == (by in fits), by
        if len(found):
            assert overlap.iou(found, found)[0, 0] == pytest.approx(1.0)


def test_a_class_of_the_whole_picture_counts_once_however_often_it_is_said() -> None:
    found = overlap.objects([Annotation("person", Tag()), Annotation("person", Tag())], PLACES, by="tag")
    assert len(found) == 1


# -- beside COCO -----------------------------------------------------------------------------------------------------


def test_an_overlap_that_is_no_step_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no step of the overlap"):
        Tally(judged.CLASSES, iou=0.52)


def test_confusion_tells_hits_swapped_classes_false_and_missed_ones() -> None:
    truth = [box("person", 0, 0, 40, 40), box("helmet", 100, 0, 40, 40), box("vest", 200, 0, 40, 40)]
    found = [
        box("person", 2, 0, 40, 40, 0.9),  # right
        box("person", 100, 0, 40, 40, 0.8),  # a helmet is there
        box("vest", 0, 150, 40, 40, 0.7),  # nothing is there
        box("vest", 200, 0, 40, 40, 0.2),  # right, but below the working threshold
    ]
    tally = tallied(one(truth, found), scores=0.5)
    assert tally.confusion == Counter({(0, 0): 1, (1, 0): 1, (NOTHING, 2): 1, (2, NOTHING): 1})
    assert (tally.n_hit[0], tally.n_false[0], tally.n_missed[0]) == (1, 2, 2)
    assert tally.apart[0] == pytest.approx(1 - 38 / 42)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), score=st.sampled_from((0.0, 0.3, 0.8)))
def test_rows_of_the_confusion_add_up_to_the_truth_and_columns_to_what_was_said(
    seed: int, score: float
) -> None:
    tally = tallied(judged.pictures("box", seed), scores=score)
    found = evaluation.figures(tally)
    for place, c in enumerate(found.classes):
        assert sum(n for (true, _), n in tally.confusion.items() if true == place) == c.truth
        assert sum(n for (_, said), n in tally.confusion.items() if said == place) == c.said
        assert tally.confusion[place, place] == c.hits


def test_predictions_on_a_crowd_are_neither_right_nor_wrong() -> None:
    crowd = Annotation("person", Box(0, 0, 100, 100), {"iscrowd": True})
    tally = tallied(one([crowd, box("person", 200, 0, 20, 20)], [box("person", 10, 10, 20, 20, 0.9)]))
    assert tally.confusion == Counter({(0, NOTHING): 1})
    assert evaluation.figures(tally).classes[0].truth == 1


def test_a_threshold_may_be_set_for_each_class() -> None:
    found = [box("person", 0, 0, 40, 40, 0.4), box("helmet", 100, 0, 40, 40, 0.4)]
    truth = [box("person", 0, 0, 40, 40), box("helmet", 100, 0, 40, 40)]
    tally = Tally(judged.CLASSES, scores=[0.5, 0.3, 0.0])
    tally.add(1, *(overlap.objects(a, PLACES, by="box") for a in (truth, found)))
    assert tally.confusion == Counter({(0, NOTHING): 1, (1, 1): 1})


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from((0.1, 0.2, 0.35, 0.5, 0.9)), st.booleans()), max_size=12),
    st.integers(1, 9),
)
def test_the_best_threshold_has_the_highest_f1_of_all(marks: list[tuple[float, bool]], truth: int) -> None:
    marks = sorted(marks, key=lambda m: -m[0])
    hits = 0
    marks = [(s, h and (hits := hits + 1) <= truth) for s, h in marks]
    got = evaluation.best_threshold(
        np.array([s for s, _ in marks]), np.array([h for _, h in marks], bool), truth
    )
    every = {
        s: 2 * sum(h for x, h in marks if x >= s) / (sum(x >= s for x, _ in marks) + truth) for s, _ in marks
    }
    best = max(every.values(), default=0.0)
    if not best:
        assert got is None
        return
    assert got is not None
    assert got[1] == pytest.approx(best)
    assert got[0] == pytest.approx(max(s for s, f in every.items() if math.isclose(f, best)))


def test_calibration_compares_the_score_with_the_share_that_is_right() -> None:
    truth = [box("person", 100 * i, 0, 40, 40) for i in range(3)]
    found = [box("person", 100 * i, 0, 40, 40, 0.75) for i in range(3)] + [
        box("person", 0, 150, 40, 40, 0.75)
    ]
    c = evaluation.figures(tallied(one(truth, found))).classes[0]
    assert c.ece == pytest.approx(0.0)
    assert (c.bins[7].n, c.bins[7].score, c.bins[7].right) == (4, pytest.approx(0.75), pytest.approx(0.75))
    sure = [box("person", 0, 150, 40, 40, 1.0)]
    assert evaluation.figures(tallied(one(truth, sure))).ece == pytest.approx(1.0)


def test_the_worst_pictures_are_those_that_miss_and_invent_most() -> None:
    good = judged.Picture((box("person", 0, 0, 40, 40),), (box("person", 0, 0, 40, 40, 0.9),))
    near = judged.Picture((box("person", 0, 0, 40, 40),), (box("person", 8, 0, 40, 40, 0.9),))
    bad = judged.Picture((box("person", 0, 0, 40, 40),), (box("helmet", 0, 0, 40, 40, 0.9),))
    tally = tallied([good, near, bad, good])
    assert tally.worst() == [2, 1]
    assert tally.worst(0) == [2]
    assert tally.worst(1) == [2]
    assert tally.worst(2) == []


# -- how sure --------------------------------------------------------------------------------------------------------


def test_a_model_against_itself_differs_by_nothing() -> None:
    data = judged.pictures("box", 0)
    found = resample.spread([tallied(data), tallied(data)], draws=50)
    assert found.ap[""] is not None
    assert (found.ap[""].value, found.ap[""].low, found.ap[""].high) == (0.0, 0.0, 0.0)


def test_the_interval_holds_the_figure_and_narrows_with_more_pictures() -> None:
    few = judged.pictures("box", 0)
    many = [p for seed in (0, 1, 3, 7, 8, 9, 10, 11) for p in judged.pictures("box", seed)]
    spreads = [resample.spread([tallied(data)], draws=120).ap["person"] for data in (few, many)]
    widths = []
    for data, found in zip((few, many), spreads, strict=True):
        assert found is not None
        assert found.low <= found.value <= found.high
        assert found.value == pytest.approx(evaluation.figures(tallied(data)).classes[0].ap)
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] * 0.7


def test_the_interval_of_many_classes_holds_the_figure_too() -> None:
    """Drawn twice, a picture makes the steps of a curve higher: unmoved, all draws lie above the figure."""
    rng = random.Random(5)
    names = tuple(f"c{i}" for i in range(40))
    places = {name: i for i, name in enumerate(names)}
    tally = Tally(names)
    for key in range(1500):
        truth = [box(rng.choice(names), 0, 0, 40, 40)]
        found = [
            box(truth[0].label, 0, 0, 40, 40, rng.random()),
            box(rng.choice(names), 200, 0, 40, 40, rng.random()),
        ]
        tally.add(key, *(overlap.objects(a, places, by="box") for a in (truth, found)))
    got = resample.spread([tally], draws=40).ap50[""]
    assert got is not None
    assert got.low < got.value < got.high


def test_of_two_models_the_better_one_is_told_with_its_certainty() -> None:
    data = judged.pictures("box", 0)
    perfect = [
        judged.Picture(
            p.truth, tuple(Annotation(a.label, a.shape, score=0.9, origin="model") for a in p.truth)
        )
        for p in data
    ]
    found = resample.spread([tallied(data), tallied(perfect)], draws=60).ap[""]
    assert found is not None
    assert found.value > 0.5
    assert (found.low > 0, found.above) == (True, 1.0)


def test_models_that_saw_other_pictures_are_not_compared() -> None:
    data = judged.pictures("box", 0)
    with pytest.raises(InvalidInput, match="same pictures"):
        resample.spread([tallied(data), tallied(data[1:])])


# -- size ------------------------------------------------------------------------------------------------------------


def test_a_prediction_costs_about_thirty_bytes_of_memory() -> None:
    rng = random.Random(1)
    data = [
        judged.Picture((), tuple(box("person", rng.uniform(0, 200), 0, 20, 20, 0.5) for _ in range(50)))
        for _ in range(200)
    ]
    marks = tallied(data).marks[0]
    columns = (marks.scores, marks.images, marks.ranks, marks.match, marks.ignore)
    assert len(marks.scores) == 10_000
    assert sum(len(c) * c.itemsize for c in columns) <= 30 * 10_000


def test_an_empty_tally_has_no_figures_and_no_interval() -> None:
    tally = Tally(judged.CLASSES)
    found = evaluation.figures(tally)
    assert found.coco == (None,) * 12
    assert found.ece is None
    assert resample.spread([tally]).ap[""] is None

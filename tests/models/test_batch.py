"""The pipeline: results in order, a bad picture is a problem and no end, everything stops when told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotation.core import Box
from annotation.errors import InvalidInput
from models import batch
from models.batch import Plan, Result, Run
from models.recipe import Recipe, Region
from models.recognise import recognise
from models.session import Array
from tests.models.toys import columns, grey_png


def decode(data: bytes) -> Array:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise InvalidInput("a damaged picture")
    return picture


def predict(
    items: object, model: Path, *, read: Callable[[int], bytes] = grey_png, **options: object
) -> Run[int]:
    return batch.predict(items, read, model, recognise(model).card, **{"decode": decode, **options})  # type: ignore[arg-type]


def place(result: Result) -> float:
    """Where the one box of the brightness toy begins."""
    [found] = result.annotations
    assert isinstance(found.shape, Box)
    assert found.label == "lamp"
    return found.shape.x0


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items_and_belong_to_them(brightness: Path, threads: int) -> None:
    values = [int(v) for v in np.random.default_rng(1).integers(0, 256, 200)]
    results = list(predict(list(enumerate(values)), brightness, plan=Plan(threads)))
    assert [r.id for r in results] == list(range(200))
    assert [place(r) for r in results] == pytest.approx([v / 8 for v in values], abs=1e-3)
    assert {r.wh for r in results} == {(64, 64)}


def test_a_slow_first_picture_does_not_lose_its_place(brightness: Path) -> None:
    others = threading.Semaphore(0)

    def read(ref: int) -> bytes:
        if ref == 0:
            for _ in range(5):
                assert others.acquire(timeout=20)
        else:
            others.release()
        return grey_png(ref)

    results = list(predict([(i, i) for i in range(9)], brightness, read=read, plan=Plan(2)))
    assert [r.id for r in results] == list(range(9))


def test_a_picture_that_cannot_be_read_or_decoded_is_a_problem_and_the_rest_goes_on(brightness: Path) -> None:
    def read(ref: int) -> bytes:
        if ref == 1:
            raise FileNotFoundError(2, "No such file or directory")
        if ref == 2:
            return b"no picture"
        return grey_png(ref)

    run = predict([(i, i) for i in range(5)], brightness, read=read)
    results = list(run)
    assert [r.problem for r in results] == [
        None, "cannot read the file: No such file or directory", "a damaged picture", None, None,
    ]  # fmt: skip
    assert (results[1].wh, results[1].annotations) == ((0, 0), ())
    assert (run.report().done, run.report().problems) == (5, 2)


def test_a_bug_in_reading_is_raised_to_the_caller_and_everything_stops(brightness: Path) -> None:
    def read(ref: int) -> bytes:
        if ref == 3:
            raise ZeroDivisionError("a bug")
        return grey_png(ref)

    run = predict([(i, i) for i in range(50)], brightness, read=read)
    seen = []
    with pytest.raises(ZeroDivisionError):
        seen.extend(result.id for result in run)
    assert seen == [0, 1, 2]
    assert_ended()


def test_a_fault_of_the_item_source_is_raised_and_everything_stops(brightness: Path) -> None:
    def items() -> Iterator[tuple[int, int]]:
        yield 0, 0
        raise RuntimeError("the database is gone")

    with pytest.raises(RuntimeError):
        list(predict(items(), brightness))
    assert_ended()


def test_items_are_pulled_in_the_callers_thread_and_only_a_window_ahead(brightness: Path) -> None:
    pulled = []

    def items() -> Iterator[tuple[int, int]]:
        for i in range(1000):
            assert threading.current_thread() is threading.main_thread()
            pulled.append(i)
            yield i, i % 256

    with predict(items(), brightness) as run:
        assert pulled == []
        for n, _ in zip(range(1, 20), run, strict=False):
            assert len(pulled) < n + batch.WINDOW + 1


def test_cancelling_ends_the_iteration_and_the_threads(brightness: Path) -> None:
    cancel = threading.Event()
    seen = []
    for result in predict(((i, i % 256) for i in range(500)), brightness, cancel=cancel):
        seen.append(result.id)
        if len(seen) == 7:
            cancel.set()
    assert seen == list(range(7))
    assert_ended()


def test_closing_in_the_middle_ends_the_threads_and_may_be_repeated(brightness: Path) -> None:
    run = predict(((i, i % 256) for i in range(10**9)), brightness)
    assert next(run).id == 0
    run.close()
    run.close()
    assert_ended()
    assert next(iter(run), None) is None


def test_a_run_never_iterated_starts_no_thread(brightness: Path) -> None:
    with predict([(0, 0)], brightness) as run:
        assert_ended()
    assert run.report().done == 0


def test_no_items_give_no_results(brightness: Path) -> None:
    assert list(predict([], brightness)) == []


def test_thresholds_are_the_cards_unless_given(brightness: Path) -> None:
    assert [
        len(r.annotations) for r in predict([(0, 0)], brightness, recipe=Recipe(score_micro=950_000))
    ] == [0]
    assert [len(r.annotations) for r in predict([(0, 0)], brightness)] == [1]
    for wrong in (Recipe(score_micro=1_500_000), Recipe(iou_micro=-1), Recipe(class_scores=(("lamp", -1),))):
        with pytest.raises(InvalidInput, match="not between 0 and 1"):
            predict([], brightness, recipe=wrong)


def test_a_recipe_drops_renames_and_merges_classes_and_raises_their_thresholds(brightness: Path) -> None:
    def labels(recipe: Recipe) -> list[str]:
        [result] = predict([(0, 0)], brightness, recipe=recipe)
        return [a.label for a in result.annotations]

    assert labels(Recipe(mapping=(("lamp", "cap_lamp"),))) == ["cap_lamp"]
    assert labels(Recipe(mapping=(("lamp", "any"), ("belt", "any")))) == ["any"]
    assert labels(Recipe(mapping=(("lamp", ""),))) == []
    assert labels(Recipe(mapping=(("belt", "belt"),), others="drop")) == []
    assert labels(Recipe(class_scores=(("lamp", 950_000),))) == []
    assert labels(Recipe(score_micro=950_000, class_scores=(("lamp", 100_000),))) == ["lamp"]
    with pytest.raises(InvalidInput, match="no class coat"):
        labels(Recipe(mapping=(("coat", "x"),)))


@pytest.mark.parametrize(
    "plan", [Plan(1, batch=4), Plan(3, batch=4), Plan(2, sessions=2), Plan(1, threads=2)]
)
def test_no_plan_changes_what_is_found_nor_its_order(
    toy: Callable[..., Path], brightness: Path, plan: Plan
) -> None:
    table, slope = columns((4, 32, 8, 8, 0.9)), columns()
    slope[0, 0, 0] = 255 / 8
    free = toy(table, slope=slope, metadata={"names": "['lamp', 'belt']"}, per_picture=True, file="free.onnx")
    values = [int(v) for v in np.random.default_rng(1).integers(0, 256, 50)]
    results = list(predict(list(enumerate(values)), free, plan=plan))
    assert [(r.id, place(r)) for r in results] == [
        (i, pytest.approx(v / 8, abs=1e-3)) for i, v in enumerate(values)
    ]


def test_a_region_keeps_what_lies_in_it(brightness: Path) -> None:
    left = Recipe(regions=(Region("cam1/*", ((0, 0, 500_000, 0, 500_000, 1_000_000, 0, 1_000_000),)),))
    paths = {0: "cam1/a.png", 200: "cam1/b.png", 201: "cam2/a.png"}  # the lamp lies at grey / 8 of 64
    found = predict([(v, v) for v in paths], brightness, recipe=left, path_of=paths.__getitem__)
    assert [(r.id, len(r.annotations)) for r in found] == [(0, 1), (200, 1), (201, 1)]
    outside = replace(left, regions=(replace(left.regions[0], keep="outside"),))
    found = predict([(v, v) for v in paths], brightness, recipe=outside, path_of=paths.__getitem__)
    assert [(r.id, len(r.annotations)) for r in found] == [(0, 0), (200, 0), (201, 1)]


def test_the_report_accounts_for_all_of_the_threads_time(brightness: Path) -> None:
    run = predict([(i, i % 256) for i in range(80)], brightness, plan=Plan(2))
    list(run)
    report = run.report()
    assert (report.done, report.problems, report.threads) == (80, 0, 2)
    assert set(report.busy) == {"read", "decode", "prepare", "run", "boxes", "wait"}
    assert sum(report.busy.values()) == pytest.approx(1, abs=0.02)
    assert report.bottleneck in report.busy
    assert report.pictures_per_s == pytest.approx(80 / report.seconds)


def test_provenance_names_runtime_provider_options_and_thresholds(brightness: Path) -> None:
    facts = predict([], brightness, recipe=Recipe(500_000, 600_000)).provenance
    assert str(facts.pop("runtime")).startswith("onnxruntime ")
    assert facts.pop("file") == recognise(brightness).card.sha256
    assert facts.pop("plan") == [batch.usable_cores(), 1, 1, 1]
    assert facts == {
        "provider": "cpu",
        "options": {"threads": "1"},
        "score_micro": 500_000,
        "iou_micro": 600_000,
        "decode_scale": 1,
    }


def test_a_network_without_findings_gives_empty_results(toy: Callable[..., Path]) -> None:
    assert [r.annotations for r in predict([(0, 0), (1, 9)], toy(columns()))] == [(), ()]


def assert_ended() -> None:
    assert [t.name for t in threading.enumerate() if t.name.startswith("predict-")] == []


def test_reduced_decoding_is_used_only_when_the_recipe_asks_and_boxes_stay_in_source_pixels(
    brightness: Path,
) -> None:
    sizes = []

    def shrink(data: bytes, least: int) -> tuple[Array, tuple[int, int]] | None:
        picture = decode(data)
        sizes.append(least)
        return picture[::4, ::4].copy(), (picture.shape[1], picture.shape[0])

    large = grey_png(128, (256, 256))
    for reduced in (False, True):
        [result] = predict(
            [(0, 0)], brightness, read=lambda _: large, recipe=Recipe(reduced=reduced), shrink=shrink
        )
        assert result.wh == (256, 256)
        assert place(result) == pytest.approx(128 / 8 * 4, abs=1e-2)
    assert sizes == [64]

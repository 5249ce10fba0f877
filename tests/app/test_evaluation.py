"""Evaluating a model: what it said is read back from the record, only whole truth counts, and the report is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx as onnx_format
import pytest

from annotation.core import Annotation, Box
from annotation.errors import InvalidInput, LamproomError, NotFound
from app import cli
from app.events import Event, Finished, Warned
from app.services import (
    acceptance,
    evaluation,
    labelling,
    listing,
    onnx,
    orders,
    prelabel,
    report,
    review,
    truth,
    versions,
)
from app.services.evaluation import Ask
from app.services.workspace import Workspace
from models import recipe as recipes
from models.recipe import Recipe
from tests.app.conftest import draw, enrol
from tests.models.toys import columns, toy_model

# On a picture of 160 x 80 letterboxed into 64 x 64: scale 0.4, 16 px above.
WH = (160, 80)
PERSON, HELMET = Box(20.0, 20.0, 60.0, 60.0), Box(100.0, 25.0, 140.0, 65.0)
TWO = columns((16, 32, 16, 16, 0.9, 0.0), (48, 34, 16, 16, 0.0, 0.7))
WEAK = columns((16, 32, 16, 16, 0.6, 0.0))


def model(ws: Workspace, folder: Path, name: str, table: Any) -> str:
    path = folder / f"{name}.onnx"
    onnx_format.save(toy_model(table, metadata={"names": "{0: 'person', 1: 'helmet'}"}), str(path))
    return onnx.add(ws, path, name=name).name


@pytest.fixture
def two(ws: Workspace, tmp_path: Path) -> str:
    """A model that sees one person (0.9) and one helmet (0.7) on every picture, always in the same place."""
    return model(ws, tmp_path, "two", TWO)


@pytest.fixture
def assets(ws: Workspace, tmp_path: Path) -> list[int]:
    """Four pictures in dataset d."""
    return enrol(ws, tmp_path, draw(tmp_path / "p", 4, wh=WH), dataset="d")[1]


def finish(work: Any) -> dict[str, Any]:
    events: list[Event] = list(work)
    assert isinstance(events[-1], Finished)
    return dict(events[-1].result)


def judged(ws: Workspace, *models: str, **how: Any) -> dict[str, Any]:
    return finish(evaluation.evaluate(ws, Ask("d", models or ("two",), **how)))


def put(ws: Workspace, asset: int, *objects: tuple[str, Box]) -> list[str]:
    """Draw objects by hand."""
    page = labelling.load(ws, asset)
    drawn = [Annotation(label, shape) for label, shape in objects]
    labelling.save(ws, page, (*page.annotations, *drawn), verb="draw")
    return [a.uid for a in drawn]


def of(ws: Workspace, asset: int, label: str) -> Annotation:
    return next(a for a in labelling.load(ws, asset).annotations if a.label == label)


def accept(ws: Workspace, asset: int, *labels: str) -> None:
    labelling.accept(ws, labelling.load(ws, asset), [of(ws, asset, label).uid for label in labels])


def reject(ws: Workspace, asset: int, *labels: str) -> None:
    labelling.reject(ws, labelling.load(ws, asset), [of(ws, asset, label).uid for label in labels])


def move(ws: Workspace, asset: int, label: str, shape: Box, to: str | None = None) -> None:
    page = labelling.load(ws, asset)
    old = of(ws, asset, label)
    new = Annotation(to or label, shape, uid=old.uid)
    labelling.save(ws, page, tuple(new if a.uid == old.uid else a for a in page.annotations), verb="move")


def classes(report: dict[str, Any], place: int = 0) -> dict[str, dict[str, Any]]:
    return {c["label"]: c for c in report["models"][place]["classes"]}


def left_out(report: dict[str, Any]) -> dict[str, int]:
    return {x["reason"]: x["n"] for x in report["pictures"]["left_out"]}


# -- what the model said ---------------------------------------------------------------------------------------------


def test_the_toy_sees_what_the_tests_think_it_sees(ws: Workspace, two: str, assets: list[int]) -> None:
    finish(prelabel.run(ws, "d", two))
    assert (of(ws, assets[0], "person").shape, of(ws, assets[0], "helmet").shape) == (PERSON, HELMET)


def test_what_people_did_with_predictions_does_not_change_what_the_model_said(
    ws: Workspace, two: str, assets: list[int]
) -> None:
    finish(prelabel.run(ws, "d", two))
    a, b, c, d = assets
    accept(ws, a, "person", "helmet")
    accept(ws, b, "person")
    reject(ws, b, "helmet")  # false
    move(ws, c, "person", Box(20.0, 20.0, 60.0, 40.0))  # half as high: hits no more at 0.55
    accept(ws, c, "helmet")
    accept(ws, d, "person", "helmet")
    put(ws, d, ("helmet", Box(0, 0, 20, 20)))  # missed
    found = classes(judged(ws))
    assert {k: (found["person"][k], found["helmet"][k]) for k in ("truth", "said")} == {
        "truth": (4, 4),
        "said": (4, 4),
    }
    assert (found["person"]["ap50"], found["helmet"]["hits"]) == (1.0, 3)
    assert found["person"]["ap75"] < 1.0
    assert judged(ws, fresh=True)["models"][0]["coco"] == judged(ws)["models"][0]["coco"]


def test_a_second_run_and_undone_verdicts_are_no_second_word(
    ws: Workspace, two: str, assets: list[int]
) -> None:
    finish(prelabel.run(ws, "d", two))
    for asset in assets:
        accept(ws, asset, "person", "helmet")
    first = judged(ws)["models"][0]["coco"]
    page = labelling.load(ws, assets[0])
    reject_me = of(ws, assets[0], "person").uid
    page = labelling.save(ws, page, tuple(a for a in page.annotations if a.uid != reject_me), verb="delete")
    assert judged(ws)["models"][0]["coco"] != first  # false now
    labelling.undo(ws, page)
    finish(prelabel.run(ws, "d", two))
    assert judged(ws)["models"][0]["coco"] == first
    assert classes(judged(ws))["person"]["said"] == 4


def test_predictions_that_a_later_run_replaced_are_said_once(
    ws: Workspace, two: str, assets: list[int]
) -> None:
    finish(prelabel.run(ws, "d", two))
    finish(prelabel.run(ws, "d", two))
    for asset in assets:
        accept(ws, asset, "person", "helmet")
    found = classes(judged(ws))
    assert (found["person"]["said"], found["person"]["hits"]) == (4, 4)
    assert finish(acceptance.run(ws, "d", two))["total"]["rejected"] == 0


def test_pictures_with_truth_before_the_run_are_left_out_of_the_record_and_counted_when_it_runs_now(
    ws: Workspace, two: str, assets: list[int]
) -> None:
    for asset in assets:
        put(ws, asset, ("person", PERSON))
    finish(prelabel.run(ws, "d", two))  # what agrees with truth is not written
    with pytest.raises(InvalidInput, match="no picture can be judged") as told:
        judged(ws)
    assert evaluation.TRUTH_FIRST in told.value.where
    assert "--fresh" in told.value.remedy
    found = judged(ws, fresh=True)
    assert (found["pictures"]["counted"], classes(found)["person"]["ap"]) == (4, 1.0)
    assert classes(found)["helmet"]["said"] == 4  # all false: no helmet is true


def test_a_picture_on_which_the_model_found_nothing_counts_where_the_job_took_every_picture(
    ws: Workspace, tmp_path: Path, assets: list[int]
) -> None:
    model(ws, tmp_path, "blind", columns((16, 32, 16, 16, 0.01, 0.0)))
    finish(prelabel.run(ws, "d", "blind"))
    put(ws, assets[0], ("person", PERSON))
    report = judged(ws, "blind")
    assert report["pictures"]["counted"] == 1
    assert left_out(report) == {truth.NOTHING_SAID: 3}
    assert classes(report)["person"]["ap"] == 0.0


def test_of_a_job_with_a_query_what_left_nothing_is_left_out_and_said_to_flatter(
    ws: Workspace, tmp_path: Path, two: str, assets: list[int]
) -> None:
    model(ws, tmp_path, "blind", columns((16, 32, 16, 16, 0.01, 0.0)))
    finish(prelabel.run(ws, "d", "blind", where="path:000"))
    finish(prelabel.run(ws, "d", two, where="path:0001"))
    for asset in assets:
        put(ws, asset, ("helmet", HELMET))
    with pytest.raises(InvalidInput, match="no picture can be judged"):
        judged(ws, "blind")
    accept(ws, assets[1], "person", "helmet")
    events = list(evaluation.evaluate(ws, Ask("d", ("two",))))
    assert [e.where for e in events if isinstance(e, Warned)] == [evaluation.FRESH_REMEDY]
    report: Any = events[-1].result  # type: ignore[union-attr]
    assert left_out(report) == {evaluation.NOT_KNOWN: 3}


def test_pictures_without_human_work_are_a_query_the_record_can_answer_for_the_past(
    ws: Workspace, tmp_path: Path, assets: list[int]
) -> None:
    model(ws, tmp_path, "blind", columns((16, 32, 16, 16, 0.01, 0.0)))
    put(ws, assets[0], ("person", PERSON))
    finish(prelabel.run(ws, "d", "blind", untouched=True))
    for asset in assets[1:]:
        put(ws, asset, ("person", PERSON))
    report = judged(ws, "blind")
    assert (report["pictures"]["counted"], left_out(report)) == (3, {evaluation.NOT_RUN: 1})


def test_a_run_that_was_undone_did_not_happen(ws: Workspace, two: str, assets: list[int]) -> None:
    step = finish(prelabel.run(ws, "d", two))["step"]
    labelling.undo_step(ws, int(step))
    put(ws, assets[0], ("person", PERSON))
    with pytest.raises(InvalidInput, match="no picture can be judged"):
        judged(ws)


def test_a_picture_that_cannot_be_read_is_left_out_of_both_ways(
    ws: Workspace, two: str, tmp_path: Path
) -> None:
    paths = draw(tmp_path / "q", 3, wh=WH)
    paths[1].write_bytes(b"\xff\xd8 no picture")
    _, assets = enrol(ws, tmp_path, paths, dataset="d")
    finish(prelabel.run(ws, "d", two))
    for asset in assets:
        put(ws, asset, ("person", Box(0, 0, 9, 9)))
        page = labelling.load(ws, asset)
        labelling.accept(ws, page, [a.uid for a in page.annotations])
    for fresh in (False, True):
        report = judged(ws, fresh=fresh)
        assert (report["pictures"]["counted"], left_out(report)) == (2, {evaluation.UNDECODABLE: 1})


# -- what is true ----------------------------------------------------------------------------------------------------


def test_a_picture_with_undecided_predictions_is_not_whole_but_later_predictions_do_not_spoil_it(
    ws: Workspace, two: str, assets: list[int], tmp_path: Path
) -> None:
    finish(prelabel.run(ws, "d", two))
    accept(ws, assets[0], "person", "helmet")
    accept(ws, assets[1], "person")  # the helmet still waits
    model(ws, tmp_path, "weak", WEAK)
    finish(prelabel.run(ws, "d", "weak"))  # nobody looked since
    report = judged(ws)
    assert report["against"]["kind"] == "labelled"
    assert report["pictures"]["counted"] == 1
    assert left_out(report) == {truth.LEFT_OPEN: 1, truth.NOTHING_SAID: 2}


def test_pictures_an_inspector_accepted_are_the_yardstick_as_soon_as_there_are_some(
    ws: Workspace, two: str, assets: list[int]
) -> None:
    finish(prelabel.run(ws, "d", two))
    for asset in assets[:3]:
        accept(ws, asset, "person", "helmet")
    reject(ws, assets[3], "person", "helmet")  # nothing is there: that is an answer too
    assert judged(ws)["pictures"]["counted"] == 4
    data = listing.Query(1).dataset_id
    review.judge(ws, data, [assets[0]], "accepted")
    report = judged(ws)
    assert (report["against"]["kind"], report["pictures"]["counted"]) == ("accepted", 1)
    assert left_out(report) == {truth.NOT_ACCEPTED: 3}
    assert judged(ws, against="labelled")["pictures"]["counted"] == 4


def test_gold_is_a_version_a_saved_filter_or_a_dataset(
    ws: Workspace, two: str, assets: list[int], tmp_path: Path
) -> None:
    finish(prelabel.run(ws, "d", two))
    for asset in assets:
        accept(ws, asset, "person", "helmet")
    versions.freeze(ws, "d", tag="gold")
    move(ws, assets[0], "person", Box(120, 0, 150, 20))  # after the version
    listing.save(ws, 1, "gold", "path:0001")
    assert classes(judged(ws))["person"]["hits"] == 3
    frozen = judged(ws, against="d@gold")
    assert (classes(frozen)["person"]["hits"], frozen["against"]["kind"]) == (4, "version")
    saved = judged(ws, against="gold")
    assert (saved["against"]["kind"], saved["pictures"]["counted"], left_out(saved)) == (
        "filter",
        1,
        {truth.NOT_GOLD: 3},
    )
    enrol(ws, tmp_path / "r", draw(tmp_path / "r", 1, wh=WH), dataset="other")
    with pytest.raises(InvalidInput, match="no picture can be judged"):
        judged(ws, against="other")
    with pytest.raises(NotFound, match="nothing called 'silver'") as told:
        judged(ws, against="silver")
    assert all(word in told.value.remedy for word in ("accepted", "labelled", "gold", "other"))


def test_only_pictures_of_the_query_are_asked_for(ws: Workspace, two: str, assets: list[int]) -> None:
    for asset in assets:
        put(ws, asset, ("person", PERSON))
    assert judged(ws, fresh=True, where="path:0001")["pictures"]["counted"] == 1


# -- the report ------------------------------------------------------------------------------------------------------


def test_classes_the_model_does_not_know_are_told_and_not_held_against_it(
    ws: Workspace, two: str, assets: list[int]
) -> None:
    for asset in assets:
        put(ws, asset, ("person", PERSON), ("smoke", Box(0, 0, 30, 30)))
    report = judged(ws, fresh=True)
    assert report["unasked"] == [{"label": "smoke", "truth": 4}]
    assert report["models"][0]["coco"]["ap"] == 1.0


def test_a_fresh_run_hears_weak_predictions_and_counts_them_from_its_own_threshold(
    ws: Workspace, tmp_path: Path, assets: list[int]
) -> None:
    model(ws, tmp_path, "shy", columns((16, 32, 16, 16, 0.1, 0.0)))
    for asset in assets:
        put(ws, asset, ("person", PERSON))
    found = judged(ws, "shy", fresh=True)
    person = classes(found)["person"]
    assert (person["ap"], person["said"], person["best"]["score"]) == (1.0, 0, pytest.approx(0.1, abs=1e-4))
    assert classes(judged(ws, "shy", fresh=True, score=0.05))["person"]["said"] == 4
    recipe = Recipe(class_scores=(("person", 50_000),))
    assert classes(judged(ws, "shy", fresh=True, recipe=recipe))["person"]["said"] == 4


def test_a_recipe_says_what_a_models_class_means(ws: Workspace, two: str, assets: list[int]) -> None:
    for asset in assets:
        put(ws, asset, ("smoke", PERSON))
    mapped = judged(ws, fresh=True, recipe=Recipe(mapping=(("person", "smoke"),), others="drop"))
    assert {c: f["ap"] for c, f in classes(mapped).items()} == {"smoke": 1.0}
    assert classes(mapped)["smoke"]["names"] == ["person"]


def test_two_models_are_judged_on_the_same_pictures_with_their_difference(
    ws: Workspace, two: str, assets: list[int], tmp_path: Path
) -> None:
    model(ws, tmp_path, "weak", WEAK)
    finish(prelabel.run(ws, "d", two))
    finish(prelabel.run(ws, "d", "weak", where="path:0000,0001"))
    for asset in assets:
        page = labelling.load(ws, asset)
        mine = [a.uid for a in page.annotations if a.score != 0.6]
        page = labelling.accept(ws, page, mine)
        labelling.reject(ws, page, [a.uid for a in page.annotations if a.origin == "model"])
    report = judged(ws, "two", "weak")
    assert report["pictures"]["counted"] == 2
    assert [m["name"] for m in report["models"]] == ["two", "weak"]
    value, low, high, above = report["difference"]["ap"]
    assert (value, low, high, above) == (-0.5, -0.5, -0.5, 0.0)  # no helmet, on any picture
    assert {c["label"]: c["ap"][0] for c in report["difference"]["classes"]} == {
        "helmet": -1.0,
        "person": 0.0,
    }


def test_the_worst_pictures_open_as_a_query(ws: Workspace, two: str, assets: list[int]) -> None:
    for asset in assets[:2]:
        put(ws, asset, ("person", PERSON), ("helmet", HELMET))
    put(ws, assets[2], ("person", Box(0, 0, 9, 9)))
    report = judged(ws, fresh=True)["models"][0]
    assert [(w["picture"], w["missed"], w["false"]) for w in report["worst"]] == [(assets[2], 1, 2)]
    query = evaluation.pictures_query([w["picture"] for w in report["worst"]])
    found = [i for part in listing.ids(ws, listing.View(listing.Query(1, where=query))) for i in part.ids]
    assert found == [assets[2]]


def test_the_report_is_kept_in_the_lineage_with_what_it_used(
    ws: Workspace, two: str, assets: list[int], tmp_path: Path
) -> None:
    model(ws, tmp_path, "weak", WEAK)
    for asset in assets:
        put(ws, asset, ("person", PERSON))
    versions.freeze(ws, "d", tag="v1")
    first = judged(ws, fresh=True, against="d@v1")
    second = judged(ws, "two", "weak", fresh=True)
    newest, oldest = evaluation.kept(ws, "d")
    assert (newest.activity_id, oldest.activity_id) == (second["activity"], first["activity"])
    assert oldest.report["models"][0]["coco"] == first["models"][0]["coco"]
    assert evaluation.kept(ws) == evaluation.kept(ws, "d")
    with ws.db.read() as conn:
        links = conn.exec_driver_sql(
            f"SELECT entity, ref FROM link WHERE activity_id = {first['activity']} AND role = 'used'"
        ).all()
    assert {(e, r) for e, r in links} == {
        ("dataset", "d"), ("version", versions.find(ws, "d@v1").uid), ("model", onnx.show(ws, two).sha256),
    }  # fmt: skip


def test_the_proposed_thresholds_are_a_recipe(
    ws: Workspace, two: str, assets: list[int], tmp_path: Path
) -> None:
    for asset in assets:
        put(ws, asset, ("person", PERSON))
    evaluation.write_proposal(judged(ws, fresh=True), tmp_path / "best.toml")
    found = orders.recipe_for(tmp_path / "best.toml")
    assert found.class_scores == (("person", 899_999),) or found.class_scores == (("person", 900_000),)
    with pytest.raises(InvalidInput, match="such a file already"):
        evaluation.write_proposal(judged(ws, fresh=True), tmp_path / "best.toml")


def test_thresholds_of_classes_with_odd_names_are_a_recipe_too() -> None:
    names = ["a\x7fb", 'say "no"', "back\\slash", "two\nlines", "\x85\u2028", "\x00"]
    best = {"score": 0.25, "f1": 0.5, "precision": 0.5, "recall": 0.5}
    one = {
        "name": "m\x7f\n[map]",
        "classes": [{"best": best, "names": names}, {"best": None, "names": ["x"]}],
    }
    found = report.proposal({"iou": 0.5, "dataset": "d", "dataset_revision": 3, "models": [one]})
    assert dict(recipes.from_toml(found).class_scores) == dict.fromkeys(names, 250_000)
    assert recipes.from_toml(found).mapping == ()


def test_truth_and_predictions_leave_as_coco_files(
    ws: Workspace, two: str, assets: list[int], tmp_path: Path
) -> None:
    for asset in assets:
        put(ws, asset, ("person", PERSON))
    judged(ws, fresh=True, coco=tmp_path / "out")
    given = json.loads((tmp_path / "out" / "truth.json").read_text())
    said = json.loads((tmp_path / "out" / "two.json").read_text())
    assert (len(given["images"]), len(given["annotations"]), len(said)) == (4, 4, 8)
    assert given["annotations"][0]["bbox"] == [20.0, 20.0, 40.0, 40.0]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["truth.json", "two.json"]
    with pytest.raises(InvalidInput, match="not empty"):
        judged(ws, fresh=True, coco=tmp_path / "out")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"models": ("two", "two")}, "two different ones"),
        ({"models": ("nobody",)}, "there is no model"),
        ({"iou": 0.52}, "no step of the overlap"),
        ({"by": "colour"}, "no comparison by"),
        ({"where": "class:"}, "needs a value"),
        ({"against": "d@v9"}, "has no version"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_anything_is_kept(
    ws: Workspace, two: str, assets: list[int], how: dict[str, Any], said: str
) -> None:
    put(ws, assets[0], ("person", PERSON))
    with pytest.raises(LamproomError, match=said):
        finish(evaluation.evaluate(ws, Ask("d", **{"models": ("two",), "fresh": True, **how})))
    assert evaluation.kept(ws) == []


@pytest.mark.parametrize("ws", ["postgresql"], indirect=True)
def test_the_record_answers_the_same_on_a_server(ws: Workspace, two: str, assets: list[int]) -> None:
    finish(prelabel.run(ws, "d", two))
    for asset in assets:
        accept(ws, asset, "person")
        reject(ws, asset, "helmet")
    report = judged(ws)
    assert (report["pictures"]["counted"], classes(report)["person"]["ap"]) == (4, 1.0)
    told = finish(acceptance.run(ws, "d", two))
    assert (told["total"]["kept"], told["total"]["rejected"]) == (4, 4)
    assert evaluation.kept(ws, "d")[0].report["models"][0]["name"] == "two"


# -- acceptance ------------------------------------------------------------------------------------------------------


def test_acceptance_tells_what_became_of_every_prediction(ws: Workspace, two: str, assets: list[int]) -> None:
    put(ws, assets[0], ("helmet", Box(0, 0, 9, 9)))  # before the model ran: not missed by it
    finish(prelabel.run(ws, "d", two))
    a, b, c, d = assets
    accept(ws, a, "person")
    move(ws, b, "person", Box(20.0, 20.0, 60.0, 40.0))
    move(ws, c, "person", PERSON, to="smoke")
    reject(ws, d, "person")
    put(ws, d, ("person", Box(0, 0, 30, 30)))
    accept(ws, a, "helmet")
    page = labelling.load(ws, a)
    gone = of(ws, a, "helmet")  # the drawn one or the accepted one: take the accepted
    gone = (
        next(x for x in page.annotations if x.label == "helmet" and x.shape == HELMET)
        if gone.shape != HELMET
        else gone
    )
    labelling.save(ws, page, tuple(x for x in page.annotations if x.uid != gone.uid), verb="delete")
    told = finish(acceptance.run(ws, "d", two))
    found = {c["label"]: c for c in told["classes"]}
    keys = ("kept", "moved", "relabelled", "rejected", "undecided", "missed")
    assert [found["person"][k] for k in keys] == [1, 1, 1, 1, 0, 1]
    assert [found["helmet"][k] for k in keys] == [0, 0, 0, 1, 3, 0]  # accepted and thrown away is rejected
    assert found["person"]["moved_iou"] == pytest.approx(0.5)
    assert (found["person"]["saved"], found["person"]["untouched"]) == (
        pytest.approx(3 / 4),
        pytest.approx(1 / 4),
    )
    assert found["person"]["precision"] == pytest.approx(3 / 4)
    assert told["relabelled_to"] == [{"from": "person", "to": "smoke", "n": 1}]
    assert told["pictures"] == 4


def test_acceptance_of_a_model_that_never_ran_divides_by_nothing(
    ws: Workspace, two: str, assets: list[int]
) -> None:
    put(ws, assets[0], ("person", PERSON))
    told = finish(acceptance.run(ws, "d", two))
    assert (told["pictures"], told["classes"], told["total"]["saved"]) == (0, [], None)


# -- the command line ------------------------------------------------------------------------------------------------


def test_the_line_prints_figures_and_lists_what_was_made(
    ws: Workspace,
    two: str,
    assets: list[int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAMPROOM_LANG", "en")
    for asset in assets:
        put(ws, asset, ("person", PERSON), ("smoke", Box(0, 0, 30, 30)))
    at = ["-w", str(ws.folder)]
    assert cli.main([*at, "evaluate", "d", "--model", "two", "--fresh"]) == 0
    said = capsys.readouterr().out
    assert "4 pictures judged against truth of labelled pictures" in said
    assert "AP 1.0000" in said
    assert "smoke (4)" in said
    assert cli.main([*at, "evaluate", "d", "--model", "two", "--fresh", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["coco"]["ap"] == 1.0
    assert cli.main([*at, "evaluate", "--list", "--json"]) == 0
    assert [e["ap"] for e in json.loads(capsys.readouterr().out)["evaluations"]] == [1.0, 1.0]
    assert cli.main([*at, "acceptance", "d", "--model", "two"]) == 0
    assert "0 pictures on which the model ran" in capsys.readouterr().out
    assert cli.main([*at, "evaluate", "d"]) == 1
    assert "--model" in capsys.readouterr().err


def test_yolox_on_the_worker_video_is_as_good_as_pycocotools_says(ws: Workspace, shared: Path) -> None:
    """AP of person 0.811304384474474, AP50 0.980058569, AP75 0.926118983: pycocotools 2.0.11 on the same boxes."""
    from app.services import imports, ingest

    video = shared / "data" / "video-worker-zone"
    onnx.add(ws, shared / "models" / "yolox_nano.onnx", name="nano")
    list(ingest.run(ws, [video], dataset="d"))
    list(imports.import_labels(ws, video / "instances.json", dataset="d", wish=imports.Wish("coco")))
    report = judged(ws, "nano", fresh=True)
    assert report["pictures"]["counted"] == 71
    (person,) = report["models"][0]["classes"]
    want = {"ap": 0.811304384474474, "ap50": 0.9800585692372054, "ap75": 0.9261189830168227}
    assert {k: person[k] for k in want} == pytest.approx(want, abs=5e-3)  # other processors round other boxes

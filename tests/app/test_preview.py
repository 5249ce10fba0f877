"""A preview keeps nothing and shows what a job would find; recipes by name; classes proposed by name and synonym."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import cv2
import onnx as onnx_format
import pytest

from annotation.core import Box
from annotation.errors import Conflict, InvalidInput, NotFound
from app import cli
from app.events import Finished
from app.services import matching, onnx, prelabel, preview, recipebook, schema
from app.services.workspace import Workspace
from models import recipe as recipes
from models.recipe import PLAIN, Recipe, Region, Tiling
from models.recognise import Unrecognised
from storage.queries import Query
from tests.app.conftest import draw, enrol
from tests.models.toys import columns, toy_model

TWO = columns((16, 16, 16, 16, 0.9, 0.0), (48, 32, 16, 24, 0.0, 0.1))
FULL = Recipe(
    300_000, 450_000, (("person", 500_000), ("a \"b\"\\", 1)), (("truck", "车"), ("x = [", "")), "drop", Tiling(1024, 250_000, False),
    (Region("cam3/*", ((100_000, 200_000, 900_000, 200_000, 500_000, 1_000_000),), "outside"),), True, True, ("cuda", "cpu"),
)  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A detector that sees a person (0.9) and, weakly, a helmet (0.1) on every picture."""
    path = tmp_path / "two.onnx"
    onnx_format.save(toy_model(TWO, metadata={"names": "{0: 'person', 1: 'helmet'}"}), str(path))
    return path


def counts(ws: Workspace) -> list[int]:
    with ws.db.read() as conn:
        return [
            int(conn.exec_driver_sql(f"SELECT count(*) FROM {t}").scalar_one())
            for t in ("annotation", "job", "onnx_model", "schema_version", "activity")
        ]


def test_a_preview_is_spread_over_the_dataset_and_finds_what_a_job_finds_down_to_its_floor_and_keeps_nothing(
    ws: Workspace, file: Path, tmp_path: Path
) -> None:
    data, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 35), dataset="d")
    before, models = counts(ws), sorted((ws.folder / "models").iterdir())
    pictures = preview.spread(ws, Query(data))
    ids = [i for i, _ in pictures]
    assert len(ids) == preview.PICTURES and ids == sorted(set(ids))
    assert ids[0] <= assets[3] and ids[-1] >= assets[-8]
    shown = list(preview.predict(ws, pictures, file, onnx.look(file).card))
    assert [s.asset_id for s in shown] == ids
    assert all(
        [(a.label, round(a.score or 0, 3)) for a in s.annotations] == [("person", 0.9), ("helmet", 0.1)]
        for s in shown
    )
    assert counts(ws) == before and sorted((ws.folder / "models").iterdir()) == models

    onnx.add(ws, file, name="two")
    for _ in prelabel.run(ws, "d", "two"):
        pass
    from app.services import labelling

    [kept] = labelling.load(ws, ids[0]).annotations
    one, other = kept.shape, shown[0].annotations[0].shape
    assert isinstance(one, Box) and isinstance(other, Box)
    assert (one.x0, one.y0, one.x1, one.y1) == pytest.approx(
        (other.x0, other.y0, other.x1, other.y1), abs=1e-3
    )


def test_few_pictures_and_ids_with_gaps_are_all_shown(ws: Workspace, tmp_path: Path) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "a", 2), dataset="a")
    enrol(ws, tmp_path / "b", draw(tmp_path / "b", 30), dataset="other")
    more, assets = enrol(ws, tmp_path / "c", draw(tmp_path / "c", 4), dataset="c")
    assert [i for i, _ in preview.spread(ws, Query(more))] == assets
    assert preview.spread(ws, Query(9999)) == []


def test_a_cancelled_preview_ends(ws: Workspace, file: Path, tmp_path: Path) -> None:
    data, _ = enrol(ws, tmp_path, draw(tmp_path / "p", 8), dataset="d")
    stop = threading.Event()
    work = preview.predict(ws, preview.spread(ws, Query(data)), file, onnx.look(file).card, cancel=stop)
    next(work)
    stop.set()
    assert len(list(work)) < 8


def test_ten_jpegs_with_boxes_are_written_and_a_bad_picture_is_told(
    ws: Workspace, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = draw(tmp_path / "p", 12)
    paths[0].write_bytes(b"\xff\xd8 no picture")
    enrol(ws, tmp_path, paths, dataset="d")
    ws.settle()
    out = tmp_path / "out"
    line = ["--json", "-w", str(ws.folder), "models", "preview", str(file), "d", "--out", str(out)]
    assert cli.main(line) == 3  # done in part
    told = json.loads(capsys.readouterr().out)
    written = sorted(out.glob("*.jpg"))
    assert len(written) == 9 and [p.name for p in written] == [p["file"] for p in told["pictures"]]
    assert all(p["objects"] == 1 for p in told["pictures"])  # the weak one lies below the model's threshold
    stem = told["pictures"][0]["picture"]
    before, after = cv2.imread(str(tmp_path / stem)), cv2.imread(str(written[0]))
    assert before.shape == after.shape
    assert (
        abs(after[40, 24].astype(int) - before[40, 24]).max() > 40
        or abs(after[24, 8:24].astype(int) - before[24, 8:24]).max() > 40
    )
    assert cli.main(line) == 1  # the folder is there


def test_a_preview_of_what_is_no_model_or_no_dataset_is_refused_and_leaves_no_folder(
    ws: Workspace, file: Path, tmp_path: Path
) -> None:
    enrol(ws, tmp_path, draw(tmp_path / "p", 1), dataset="d")
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    for dataset, model, fault in (
        ("d", "broken.onnx", InvalidInput),
        ("d", "nobody", NotFound),
        ("e", "two.onnx", NotFound),
    ):
        with pytest.raises(fault):
            list(preview.run(ws, dataset, str(tmp_path / model), tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    assert isinstance(list(preview.run(ws, "d", str(file), tmp_path / "out"))[-1], Finished)
    with pytest.raises(Conflict):
        list(preview.run(ws, "d", str(file), tmp_path / "out"))


def test_a_question_without_a_proposal_is_asked_with_its_choices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    from models import recognise
    from models.heads import yolo
    from models.heads.look import Question

    real = yolo.match

    def asking(look):
        found = real(look)
        return found and replace(found, asks=(Question("order", "which way round?", ("a", "b")),))

    monkeypatch.setattr(yolo, "match", asking)
    with pytest.raises(Unrecognised) as caught:
        recognise.recognise(file)
    assert [q.choices for q in caught.value.asks] == [("a", "b")]
    assert "which way round?" in caught.value.line and "order" in caught.value.line


# --- recipes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", (PLAIN, FULL, Recipe(score_micro=0), Recipe(mapping=(("人", "\u007f\n"),))))
def test_a_recipe_written_as_toml_is_read_back_as_it_was(one: Recipe) -> None:
    assert recipes.from_toml(recipes.to_toml(one)) == one


def test_recipes_are_kept_by_name_and_a_broken_one_is_listed_with_its_fault(
    ws: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recipebook.save(ws, "夜班 belt", FULL)
    assert recipebook.load(ws, "夜班 belt") == FULL
    recipebook.save(ws, "夜班 belt", PLAIN)
    assert recipebook.load(ws, "夜班 belt") == PLAIN and path.parent == ws.folder / "recipes"
    (path.parent / "bad.toml").write_text("score = 3000")
    assert [(k.name, k.recipe is None) for k in recipebook.listing(ws)] == [
        ("bad", True),
        ("夜班 belt", False),
    ]
    with pytest.raises(NotFound):
        recipebook.load(ws, "nobody")
    for name in ("", "..", "../x", "a/b", ".hidden", "x" * 81, "a\nb"):
        with pytest.raises(InvalidInput):
            recipebook.save(ws, name, PLAIN)
    mine = tmp_path / "mine.toml"
    mine.write_text(recipes.to_toml(FULL), encoding="utf-8")
    on = ("-w", str(ws.folder), "recipes")
    assert cli.main([*on, "save", "tiles", str(mine)]) == 0
    capsys.readouterr()
    assert cli.main([*on, "show", "tiles"]) == 0
    assert recipes.from_toml(capsys.readouterr().out) == FULL
    assert cli.main([*on, "list", "--json"]) == 3
    assert [r["name"] for r in json.loads(capsys.readouterr().out)["recipes"]] == [
        "bad",
        "tiles",
        "夜班 belt",
    ]


# --- classes -----------------------------------------------------------------------------------------------------


def test_classes_are_proposed_by_name_then_by_synonym_and_never_by_parts(ws: Workspace) -> None:
    now = schema.current(ws)
    said = {
        p.name: (p.code, p.how)
        for p in matching.propose(
            ["Person", "人员", "hard hat", "安全帽", "worker", "zebra", "person_2"], now
        )
    }
    assert said["Person"] == ("person", "name") and said["人员"][0] == "person"
    assert said["hard hat"][0] == "helmet" and said["安全帽"][0] == "helmet" and said["worker"][0] == "person"
    assert said["zebra"] == (None, "") and said["person_2"] == (None, "")
    assert all(now.resolve(code) == code for code, _ in said.values() if code)


def test_no_synonym_stands_in_two_groups() -> None:
    from annotation.schema import fold

    words = [fold(w) for group in matching.SYNONYMS for w in group]
    assert len(words) == len(set(words))

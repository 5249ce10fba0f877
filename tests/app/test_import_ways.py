"""Rules of import: the format is found out, classes and pictures are mapped and told, predictions stay predictions, nothing doubles."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from annotation import marks
from annotation.core import Annotation, Box
from annotation.errors import InvalidFile, InvalidInput, NotFound
from annotation.formats import native
from annotation.formats.base import Record
from app.events import Finished, Warned
from app.services import auditing, browse, bulk, export, imports, ingest, labelling
from app.services import schema as schemas
from app.services.imports import Interrupted, Wish
from app.services.workspace import Workspace
from storage.queries import Query
from tests.app.test_imports import add, coco


def taken(ws: Workspace, path: Path, wish: Wish = Wish(), **kw: Any) -> dict[str, Any]:  # noqa: B008
    last = list(imports.import_labels(ws, path, dataset="face-3", wish=wish, **kw))[-1]
    assert isinstance(last, Finished)
    return dict(last.result)


def objects(ws: Workspace, asset: int) -> list[tuple[str, str]]:
    return [(a.label, a.origin) for a in labelling.load(ws, asset).annotations]


def lossless(folder: Path, records: list[Record]) -> Path:
    folder.mkdir()
    native.write(iter(records), folder, schema=MINE, name="x")
    return folder


@pytest.fixture(autouse=True)
def _schema(ws: Workspace) -> None:
    global MINE
    MINE = schemas.current(ws)


MINE: Any = None


def test_the_format_is_found_out_and_the_reason_told(ws: Workspace, tmp_path: Path) -> None:
    add(ws, tmp_path / "src", ["a.jpg"])
    done = taken(ws, coco(tmp_path / "c.json", [{"file_name": "a.jpg"}], [(0, "person", [1, 1, 9, 9])]))
    assert (done["format"], done["annotations"]) == ("coco", 1) and "images" in done["why"]
    (tmp_path / "letter.txt").write_text("dear all")
    with pytest.raises(InvalidInput, match=r"letter\.txt.*no known format.*one of native"):
        taken(ws, tmp_path / "letter.txt")
    with pytest.raises(InvalidInput, match=r"'cocoa' is not known"):
        taken(ws, tmp_path / "c.json", Wish("cocoa"))


def test_a_zip_is_imported_as_what_it_holds_and_faults_name_the_zip(ws: Workspace, tmp_path: Path) -> None:
    ids = add(ws, tmp_path / "src", ["a.jpg"])
    file = coco(tmp_path / "c.json", [{"file_name": "a.jpg"}], [(0, "person", [1, 1, 9, 9])])
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(file, "annotations/instances_train.json")
    assert taken(ws, tmp_path / "set.zip")["annotations"] == 1
    assert objects(ws, ids["a.jpg"]) == [("person", "import")]
    with zipfile.ZipFile(tmp_path / "nothing.zip", "w") as archive:
        archive.writestr("letter.txt", "dear all")
    with pytest.raises(InvalidInput, match=r"nothing\.zip.*no known format"):
        taken(ws, tmp_path / "nothing.zip")
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr("../../escape.json", "{}")
    with pytest.raises(InvalidInput, match="leaves its folder"):
        taken(ws, tmp_path / "out.zip")


def test_a_look_tells_what_an_import_then_does_and_writes_nothing(ws: Workspace, tmp_path: Path) -> None:
    add(ws, tmp_path / "src", ["a.jpg", "b.jpg"])
    file = coco(
        tmp_path / "c.json",
        [{"file_name": "a.jpg"}, {"file_name": "b.jpg", "width": 81}, {"file_name": "c.jpg"}],
        [(0, "people", [1, 1, 9, 9]), (0, "hardhat", [1, 1, 5, 5]), (2, "rope end", [0, 0, 4, 4])],
    )
    before = browse.totals(ws)
    found = imports.look(ws, file, dataset="face-3", wish=Wish(classes={"hardhat": None}))
    assert browse.totals(ws) == before and schemas.current(ws) == MINE
    assert [(c.name, c.n, c.how, c.code) for c in found.classes] == [
        ("hardhat", 1, "dropped", None), ("people", 1, "name", "person"), ("rope end", 1, "new", None)
    ]  # fmt: skip
    done = taken(ws, file, Wish(classes={"hardhat": None}))
    assert (found.pictures, found.matched, found.objects) == (3, 1, 2)
    assert (done["matched"], done["unmatched"], done["wrong_size"]) == (1, 1, 1)
    assert found.lists == done["lists"] == {"wrong_size": ["b.jpg"], "unmatched": ["c.jpg"]}
    with pytest.raises(Interrupted):
        imports.TOLD_EVERY_S, was = 0.0, imports.TOLD_EVERY_S
        try:
            imports.look(ws, file, dataset="face-3", told=lambda n: False)
        finally:
            imports.TOLD_EVERY_S = was


def test_a_map_decides_classes_and_what_is_false_stays_out(ws: Workspace, tmp_path: Path) -> None:
    ids = add(ws, tmp_path / "src", ["a.jpg"])
    names = ("帽", "Rope", "dog")
    file = coco(
        tmp_path / "c.json", [{"file_name": "a.jpg"}], [(0, n, [i, 1, 9, 9]) for i, n in enumerate(names)]
    )
    (tmp_path / "m.toml").write_text('"帽" = "helmet"\nrope = false\n', encoding="utf-8")
    (tmp_path / "m.json").write_text('{"帽": "helmet", "ROPE": false}', encoding="utf-8")
    assert imports.read_map(tmp_path / "m.toml") == {"帽": "helmet", "rope": None}
    done = taken(ws, file, Wish(classes=imports.read_map(tmp_path / "m.json")))
    assert (done["annotations"], done["dropped"], done["new_classes"]) == (2, 1, ["dog"])
    assert objects(ws, ids["a.jpg"]) == [("helmet", "import"), ("dog", "import")]


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("m.toml", "a = ", "not TOML"),
        ("m.toml", "a = 3", "becomes 3"),
        ("m.toml", "a = true", "becomes True"),
        ("m.json", "[1]", "no mapping"),
        ("m.json", '{"a": NaN}', "not JSON"),
        ("m.json", '{"a": ""}', "becomes ''"),
        ("m.toml", 'x = "no such label"', "has no label 'no such label'"),
        ("m.toml", 'x = "helmet"\nX = "person"', "decided in two ways"),
    ],
)
def test_a_map_that_says_something_else_is_refused_by_line(
    ws: Workspace, tmp_path: Path, name: str, text: str, what: str
) -> None:
    add(ws, tmp_path / "src", ["a.jpg"])
    file = coco(tmp_path / "c.json", [{"file_name": "a.jpg"}], [(0, "x", [1, 1, 9, 9])])
    (tmp_path / name).write_text(text)
    before = browse.totals(ws)
    with pytest.raises(InvalidInput, match=what):
        taken(ws, file, Wish(classes=imports.read_map(tmp_path / name)))
    assert browse.totals(ws) == before and schemas.current(ws) == MINE


def test_strict_asks_only_for_classes_that_nobody_decided(ws: Workspace, tmp_path: Path) -> None:
    add(ws, tmp_path / "src", ["a.jpg"])
    file = coco(tmp_path / "c.json", [{"file_name": "a.jpg"}], [(0, "dog", [1, 1, 9, 9])])
    with pytest.raises(InvalidInput, match="unknown to the label schema"):
        taken(ws, file, Wish(strict=True))
    assert taken(ws, file, Wish(strict=True, classes={"dog": "person"}))["annotations"] == 1


def test_of_pictures_with_one_name_the_size_tells_which_it_is(ws: Workspace, tmp_path: Path) -> None:
    add(ws, tmp_path / "src", ["a/x.jpg"])
    ids = add(ws, tmp_path / "src", ["b/x.jpg"], wh=(64, 48))
    file = coco(
        tmp_path / "c.json",
        [{"file_name": "x.jpg", "width": 64, "height": 48}],
        [(0, "person", [1, 1, 9, 9])],
    )
    done = taken(ws, file)
    assert (done["by_path"], done["by_size"], done["ambiguous"]) == (0, 1, 0)
    assert objects(ws, ids["b/x.jpg"]) == [("person", "import")] and objects(ws, ids["a/x.jpg"]) == []


def test_a_folder_that_names_a_picture_is_not_overruled_by_a_size(ws: Workspace, tmp_path: Path) -> None:
    add(ws, tmp_path / "src", ["a/x.jpg"])
    add(ws, tmp_path / "src", ["b/x.jpg"], wh=(64, 48))
    file = coco(
        tmp_path / "c.json",
        [{"file_name": "a/x.jpg", "width": 64, "height": 48}],
        [(0, "person", [1, 1, 9, 9])],
    )
    assert taken(ws, file)["wrong_size"] == 1


@pytest.mark.parametrize("where", ["beside", "named", "renamed"])
def test_a_picture_without_its_name_is_known_by_the_bytes_of_the_files_copy(
    ws: Workspace, tmp_path: Path, where: str
) -> None:
    ids = add(ws, tmp_path / "src", ["kept.jpg", "other.jpg"])
    own = tmp_path / "own"
    (own / "img").mkdir(parents=True)
    copied = {"beside": own / "img/0001.jpg", "named": tmp_path / "media/deep/0001.jpg"}.get(
        where, tmp_path / "media/0001.png"
    )
    copied.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(tmp_path / "src/kept.jpg", copied)
    file = coco(own / "c.json", [{"file_name": "img/0001.jpg"}], [(0, "person", [1, 1, 9, 9])])
    wish = Wish() if where == "beside" else Wish(pictures=tmp_path / "media")
    done = taken(ws, file, wish)
    assert (done["by_digest"], done["unmatched"]) == (1, 0)
    assert objects(ws, ids["kept.jpg"]) == [("person", "import")]


def test_an_export_of_ours_finds_its_pictures_again_though_every_name_changed(
    ws: Workspace, tmp_path: Path
) -> None:
    ids = add(ws, tmp_path / "src", ["a.jpg"])
    page = labelling.load(ws, ids["a.jpg"])
    labelling.save(ws, page, (Annotation("person", Box(1, 2, 30, 40)),), verb="draw")
    list(export.run(ws, "face-3", "coco", tmp_path / "out", pictures="none"))
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "src/a.jpg", tmp_path / "elsewhere/renamed.jpg")
    from app.services import workspace

    with workspace.create(str(tmp_path / "W2"), person="08") as other:
        list(ingest.run(other, [tmp_path / "elsewhere"], dataset="face-3"))
        done = taken(other, tmp_path / "out")
        assert (done["by_digest"], done["annotations"], done["unmatched"]) == (1, 1, 0)


def test_predictions_of_a_file_are_left_out_or_kept_as_a_models_own_and_can_be_accepted(
    ws: Workspace, tmp_path: Path
) -> None:
    ids = add(ws, tmp_path / "src", ["a.jpg"])
    boxes = [Annotation("person", Box(i * 10, 1, i * 10 + 8, 9), score=0.8, origin="model") for i in range(3)]
    file = lossless(tmp_path / "in", [Record("a.jpg", 80, 60, tuple(boxes))])
    assert taken(ws, file)["predictions_left_out"] == 3 and objects(ws, ids["a.jpg"]) == []
    wish = Wish(predictions=True, model="yolo of the mine")
    assert taken(ws, file, wish)["predictions"] == 3
    page = labelling.load(ws, ids["a.jpg"])
    assert {(a.origin, a.score) for a in page.annotations} == {("model", 0.8)}
    labelling.reject(ws, page, [page.annotations[0].uid])
    list(bulk.accept(ws, Query(browse.dataset(ws, "face-3").id)))
    with ws.db.read() as conn:
        agents = conn.exec_driver_sql("SELECT kind, name FROM agent WHERE kind = 'model'").all()
    assert [tuple(a) for a in agents] == [("model", "yolo of the mine")]
    again = taken(ws, file, wish)  # neither the rejected one nor the accepted ones come back
    assert (again["predictions"], again["identical"]) == (0, 3)
    assert len(objects(ws, ids["a.jpg"])) == 2


def test_tracks_groups_links_splits_and_reviews_arrive(ws: Workspace, tmp_path: Path) -> None:
    ids = add(ws, tmp_path / "src", ["a.jpg", "b.jpg"])
    first, second = Annotation("person", Box(1, 1, 9, 9)), Annotation("helmet", Box(2, 2, 5, 5))
    group, track = "0" * 31 + "1", "0" * 31 + "2"
    second = marks.with_links(second, [("worn-by", first.uid)])
    both = tuple(
        marks.with_mark(marks.with_mark(a, "@group", group), "@track", track) for a in (first, second)
    )
    records = [Record("a.jpg", 80, 60, both, "val", "accepted"), Record("b.jpg", 80, 60, (), "test")]
    done = taken(ws, lossless(tmp_path / "in", records))
    assert (done["splits"], done["reviews"]) == (2, 1)
    helmet, person = sorted(labelling.load(ws, ids["a.jpg"]).annotations, key=lambda a: a.label)
    assert marks.links(helmet) == (("worn-by", person.uid),) and person.uid != first.uid
    assert {marks.group(a) for a in (helmet, person)} == {group} and marks.track(person) == track
    items = {i.path: (i.split, i.review) for i in browse.page(ws, Query(browse.dataset(ws, "face-3").id))}
    assert items == {"a.jpg": ("val", "accepted"), "b.jpg": ("test", "draft")}
    more = replace(second, shape=Box(30, 30, 40, 40), uid="0" * 31 + "9")
    taken(ws, lossless(tmp_path / "more", [Record("a.jpg", 80, 60, (first, more))]))
    added = next(a for a in labelling.load(ws, ids["a.jpg"]).annotations if a.shape == more.shape)
    assert marks.links(added) == (("worn-by", person.uid),)  # the one that is there, not a second one


def test_what_matched_nothing_is_written_as_a_table_on_wish(ws: Workspace, tmp_path: Path) -> None:
    add(ws, tmp_path / "src", ["a/x.jpg", "b/x.jpg"])
    images = [{"file_name": n} for n in ("x.jpg", "=cmd()", "无.jpg")]
    file = coco(tmp_path / "c.json", images, [(i, "person", [1, 1, 9, 9]) for i in range(3)])
    done = taken(ws, file, report=tmp_path / "list.csv")
    assert (done["ambiguous"], done["unmatched"]) == (1, 2)
    with (tmp_path / "list.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(r["path"], r["what"]) for r in rows] == [
        ("x.jpg", "ambiguous"), ("'=cmd()", "unmatched"), ("无.jpg", "unmatched")
    ]  # fmt: skip
    assert "a/x.jpg" in rows[0]["why"]
    truth = browse.totals(ws)
    for nowhere in (tmp_path, tmp_path / "none" / "list.csv"):
        with pytest.raises(InvalidInput, match="no file can be written"):
            taken(ws, file, report=nowhere)
    assert browse.totals(ws) == truth


def test_an_import_is_in_the_audit_log_and_undone_as_one_step(ws: Workspace, tmp_path: Path) -> None:
    ids = add(ws, tmp_path / "src", [f"{i}.jpg" for i in range(4)])
    file = coco(
        tmp_path / "c.json",
        [{"file_name": f"{i}.jpg"} for i in range(4)],
        [(i, "person", [1, 1, 9, 9]) for i in range(4)],
    )
    done = taken(ws, file)
    line = auditing.listing(ws)[-1]
    assert (line.verb, line.subject, line.detail["annotations"]) == ("import", "face-3", 4)
    labelling.undo_step(ws, done["step"])
    assert all(objects(ws, i) == [] for i in ids.values())
    assert taken(ws, file)["annotations"] == 4


def test_a_faulty_file_is_refused_with_every_fault_and_leaves_no_trace(ws: Workspace, tmp_path: Path) -> None:
    add(ws, tmp_path / "src", ["a.jpg", "b.jpg"])
    boxes = [(0, "dog", [1.0, 1.0, 9.0, 9.0]), (1, "cat", [1.0, 1.0, -4.0, 9.0])]
    file = coco(tmp_path / "c.json", [{"file_name": "a.jpg"}, {"file_name": "b.jpg"}], boxes)
    before, states = browse.totals(ws), counters(ws)
    with pytest.raises(InvalidFile, match=r"annotations\[1\].*negative size"):
        taken(ws, file)
    assert browse.totals(ws) == before and counters(ws) == states and schemas.current(ws) == MINE


def counters(ws: Workspace) -> list[int]:
    """Rows of every table that an import could have touched."""
    tables = (
        "annotation",
        "change",
        "item",
        "job",
        "activity",
        "link",
        "schema_version",
        "label",
        "audit",
        "counter",
        "agent",
    )
    with ws.db.read() as conn:
        return [int(conn.exec_driver_sql(f"SELECT count(*) FROM {t}").scalar_one()) for t in tables]


_CHILD = """
import sys
from pathlib import Path
from app.services import imports, import_write, workspace
import_write.BATCH_ROWS = 5
with workspace.open(sys.argv[1]) as ws:
    for event in imports.import_labels(ws, Path(sys.argv[2]), dataset="face-3"):
        print(type(event).__name__, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_an_import_killed_at_any_moment_is_gone_on_with_and_ends_the_same(
    ws: Workspace, tmp_path: Path
) -> None:
    names = [f"{i:03d}.jpg" for i in range(40)]
    add(ws, tmp_path / "src", [names[0]])
    pixels = np.random.default_rng(1)
    for name in names[1:]:
        cv2.imwrite(str(tmp_path / "src" / name), pixels.integers(0, 255, (60, 80, 3), np.uint8))
    list(ingest.run(ws, [tmp_path / "src"], dataset="face-3"))
    images = [{"file_name": n if i % 4 else f"missing {n}"} for i, n in enumerate(names)]
    file = coco(
        tmp_path / "c.json", images, [(i, "person", [k, 1, 9, 9]) for i in range(40) for k in range(4)]
    )
    for lines in (5, 9):
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, ws.location, str(file)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for _ in range(lines):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    done = taken(ws, file)
    assert (done["matched"], done["unmatched"]) == (30, 10)
    assert browse.totals(ws).truth == 120
    with ws.db.read() as conn:
        steps = conn.exec_driver_sql(
            "SELECT count(DISTINCT step) FROM change WHERE verb = 'import'"
        ).scalar_one()
        doubles = conn.exec_driver_sql(
            "SELECT count(*) FROM (SELECT 1 FROM annotation WHERE died IS NULL GROUP BY asset_id, x0 HAVING count(*) > 1) AS d"
        ).scalar_one()
    assert (steps, doubles) == (1, 0)


def test_the_verb_takes_a_path_alone_a_format_before_it_and_a_dry_run(
    cli: Callable[..., Any], ws: Workspace, tmp_path: Path
) -> None:
    add(ws, tmp_path / "src", ["a.jpg"])
    file = coco(tmp_path / "c.json", [{"file_name": "a.jpg"}], [(0, "hardhat", [1, 1, 9, 9])])
    code, looked = cli("import", str(file), "--dataset", "face-3", "--dry-run")
    assert (code, looked["format"], looked["matched"]) == (0, "coco", 1)
    assert browse.totals(ws).truth == 0
    assert cli("import", str(file), "--dataset", "face-3")[1]["annotations"] == 1
    assert cli("import", "coco", str(file), "--dataset", "face-3")[1]["identical"] == 1
    assert cli("import", "a", "b", "c", "--dataset", "face-3")[0] == 2
    with pytest.raises(NotFound):
        taken(ws, tmp_path / "nowhere.json")


@pytest.fixture
def cli(ws: Workspace, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    from app import cli as line

    def call(*argv: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = line.main(["-w", ws.location, *argv, "--json"])
        out = capsys.readouterr().out
        return code, json.loads(out) if out.strip() else {}

    return call


def test_warnings_say_why_a_picture_was_not_found(ws: Workspace, tmp_path: Path) -> None:
    add(ws, tmp_path / "src", ["a.jpg"])
    file = coco(tmp_path / "c.json", [{"file_name": "a.jpg", "width": 81}], [(0, "person", [1, 1, 9, 9])])
    said = [e for e in imports.import_labels(ws, file, dataset="face-3") if isinstance(e, Warned)]
    assert [(w.what, w.where) for w in said] == [
        ("the file says 81 x 60 px, the picture is a.jpg 80 x 60", "a.jpg")
    ]


def test_a_class_whose_name_can_be_none_here_gets_the_one_it_was_given(ws: Workspace, tmp_path: Path) -> None:
    ids = add(ws, tmp_path / "src", ["a.jpg"])
    odd = ("tape\u0000red", "x" * 400, "tape red")
    file = coco(
        tmp_path / "c.json", [{"file_name": "a.jpg"}], [(0, n, [i, 1, 9, 9]) for i, n in enumerate(odd)]
    )
    assert taken(ws, file)["annotations"] == 3
    first, _, third = objects(ws, ids["a.jpg"])
    assert first == third
    assert taken(ws, file)["new_classes"] == []


def test_the_lineage_of_a_foreign_prediction_names_its_model_and_the_file(
    cli: Callable[..., Any], ws: Workspace, tmp_path: Path
) -> None:
    add(ws, tmp_path / "src", ["a.jpg"])
    found = Annotation("person", Box(1, 1, 9, 9), score=0.5, origin="model")
    file = lossless(tmp_path / "theirs", [Record("a.jpg", 80, 60, (found,))])
    taken(ws, file, Wish(predictions=True, model="net of the peer"))
    told = json.dumps(cli("lineage", "1")[1], ensure_ascii=False)
    assert "net of the peer" in told and "theirs" in told


def test_a_look_counts_what_carries_a_score(ws: Workspace, tmp_path: Path) -> None:
    add(ws, tmp_path / "src", ["a.jpg"])
    file = coco(
        tmp_path / "c.json", [{"file_name": "a.jpg"}], [(0, "person", [i, 1, 9, 9]) for i in range(3)]
    )
    raw = json.loads(file.read_text())
    raw["annotations"][0]["score"] = 0.5
    file.write_text(json.dumps(raw))
    found = imports.look(ws, file, dataset="face-3")
    assert (found.objects, found.scored) == (3, 1)
    assert taken(ws, file, Wish(predictions=True))["predictions"] == 1

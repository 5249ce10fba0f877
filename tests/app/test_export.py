"""Rules of export: losses before a byte, truth only, staged and renamed, sources untouched, the same from one version."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from annotation.core import Annotation, Box, Polygon
from annotation.errors import Conflict, InvalidInput, NotFound, Unavailable
from annotation.formats import coco, native, yolo
from app.events import Progress, Warned
from app.services import export, export_what, exported, labelling, versions
from app.services.export import What
from app.services.versions import Filter
from app.services.workspace import Workspace
from storage import record
from tests.app.sealed import Sealed, run, sealed


@pytest.fixture
def world(ws: Workspace, tmp_path: Path) -> Sealed:
    w = sealed(ws, tmp_path / "source")
    for asset in w.assets[:5]:
        w.box(asset)
    w.join(w.assets[0], split=1)
    w.join(w.assets[1], split=2)
    return w


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_coco_of_a_version_holds_its_pictures_boxes_and_splits(world: Sealed, tmp_path: Path) -> None:
    versions.freeze(world.ws, "face-3", tag="v1")
    world.erase(world.assets[3])
    out = tmp_path / "导出 out"
    done, _ = run(export.run(world.ws, "face-3@v1", "coco", out))
    assert (done.result["assets"], done.result["objects"], done.problems) == (8, 5, 0)
    records = {r.path: r for r in coco.read(out)}
    assert len(records) == 8
    assert records["source/0000.jpg"].split == "train" and records["source/0001.jpg"].split == "val"
    assert records["source/0003.jpg"].annotations[0].shape == Box(10, 10, 40, 50)
    assert not (out / ".lock").exists() and [p.name for p in tmp_path.glob(".*part")] == []


def test_pictures_lie_where_the_format_looks_for_them_as_links_or_copies(
    world: Sealed, tmp_path: Path
) -> None:
    run(export.run(world.ws, "face-3", "yolo", tmp_path / "linked"))
    run(export.run(world.ws, "face-3", "yolo", tmp_path / "copied", pictures="copy"))
    run(export.run(world.ws, "face-3", "yolo", tmp_path / "bare", pictures="none"))
    for out in ("linked", "copied"):
        picture = tmp_path / out / "images" / "val" / "source" / "0001.jpg"
        assert picture.read_bytes() == world.paths[1].read_bytes()
        assert picture.is_symlink() == (out == "linked")
        assert [r.split for r in yolo.read(tmp_path / out)].count("val") == 1
    assert not (tmp_path / "bare" / "images").exists()


@pytest.mark.parametrize("pictures", ["link", "copy"])
def test_sources_are_neither_written_nor_hard_linked(
    world: Sealed, tmp_path: Path, pictures: export.Pictures
) -> None:
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in world.paths}
    run(export.run(world.ws, "face-3", "coco", tmp_path / "out", pictures=pictures))
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in world.paths} == before
    assert {p.stat().st_nlink for p in world.paths} == {1}


def test_losses_are_listed_and_refused_before_anything_is_written(world: Sealed, tmp_path: Path) -> None:
    page = labelling.load(world.ws, world.assets[6])
    triangle = Annotation(
        "person", Polygon((((0.0, 0.0, 50.0, 0.0, 0.0, 50.0),),)), attributes={"helmet": "worn"}
    )
    labelling.save(world.ws, page, (triangle,), verb="draw")
    found = export.losses(world.ws, "face-3", "yolo")
    assert {x.n for x in found} == {1} and {x.example for x in found} == {"source/0006.jpg"}
    assert len(found) == 2
    out = tmp_path / "out"
    warned: list[Warned] = []
    with pytest.raises(InvalidInput, match=r"polygons.*attributes|attributes.*polygons"):
        for event in export.run(world.ws, "face-3", "yolo", out):
            warned += [event] if isinstance(event, Warned) else []
    assert len(warned) == 2
    assert not out.exists() and not list(tmp_path.glob(".out*"))
    run(export.run(world.ws, "face-3", "yolo", out, accept_losses=True))
    told = json.loads((out / export.REPORT).read_text())
    assert len(told["losses"]) == 2
    assert export.losses(world.ws, "face-3", "native") == []


def test_predictions_stay_out_unless_asked_for_or_frozen_in(world: Sealed, tmp_path: Path) -> None:
    ws = world.ws
    world.box(world.assets[7], origin="model", score=0.75)
    versions.freeze(ws, "face-3", tag="truth")
    versions.freeze(ws, "face-3", tag="all", filter=Filter(predictions=True))

    def objects(name: str, ref: str, predictions: bool | None = None) -> int:
        what = What(predictions=predictions)
        run(export.run(ws, ref, "native", tmp_path / name, pictures="none", what=what))
        return sum(len(r.annotations) for r in native.read(tmp_path / name))

    assert objects("a", "face-3") == 5
    assert objects("b", "face-3", predictions=True) == 6
    assert objects("c", "face-3@truth") == 5
    assert objects("d", "face-3@all") == 6
    assert objects("e", "face-3@all", predictions=False) == 5
    with pytest.raises(InvalidInput, match="without predictions"):
        next(export.run(ws, "face-3@truth", "native", tmp_path / "f", what=What(predictions=True)))


def test_one_version_exports_to_the_same_bytes_whatever_happens_after(world: Sealed, tmp_path: Path) -> None:
    versions.freeze(world.ws, "face-3", tag="v1")
    for format in ("coco", "yolo", "native"):
        run(export.run(world.ws, "face-3@v1", format, tmp_path / f"{format}1", pictures="copy"))
    world.box(world.assets[2], 70)
    world.leave(world.assets[4])
    for format in ("coco", "yolo", "native"):
        run(export.run(world.ws, "face-3@v1", format, tmp_path / f"{format}2", pictures="copy"))
        assert tree(tmp_path / f"{format}1") == tree(tmp_path / f"{format}2")


def test_a_folder_that_holds_something_is_refused_and_left_alone(world: Sealed, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".lock").write_text("mine")
    with pytest.raises(InvalidInput, match="not an empty folder"):
        next(export.run(world.ws, "face-3", "coco", out))
    assert tree(out) == {".lock": b"mine"}
    (out / ".lock").unlink()
    run(export.run(world.ws, "face-3", "coco", out))
    assert list(coco.read(out))


def test_what_does_not_exist_is_refused_by_name(world: Sealed, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="coco"):
        next(export.run(world.ws, "face-3", "cocoa", tmp_path / "x"))
    with pytest.raises(NotFound, match="no version 'v9'"):
        next(export.run(world.ws, "face-3@v9", "coco", tmp_path / "x"))
    with pytest.raises(NotFound, match="no dataset"):
        next(export.run(world.ws, "nothing", "coco", tmp_path / "x"))
    with pytest.raises(InvalidInput, match="link, copy or none"):
        next(export.run(world.ws, "face-3", "coco", tmp_path / "x", pictures="move"))


def test_cancelling_at_any_event_leaves_nothing_and_no_thread(world: Sealed, tmp_path: Path) -> None:
    n = len(list(export.run(world.ws, "face-3", "yolo", tmp_path / "whole", pictures="copy")))
    for stop in range(n - 1):
        out = tmp_path / f"out{stop}"
        work = export.run(world.ws, "face-3", "yolo", out, pictures="copy")
        for _ in range(stop):
            next(work)
        work.close()
        assert not out.exists() and not list(tmp_path.glob(".out*"))


def test_a_missing_picture_is_named_and_the_rest_is_exported(world: Sealed, tmp_path: Path) -> None:
    world.paths[2].unlink()
    world.paths[3].write_bytes(b"changed")
    done, warned = run(export.run(world.ws, "face-3", "coco", tmp_path / "out"))
    assert [w.where for w in warned] == ["source/0002.jpg", "source/0003.jpg"] and done.problems == 2
    assert len(list(coco.read(tmp_path / "out"))) == 8


def test_an_export_of_an_export_under_way_is_refused(world: Sealed, tmp_path: Path) -> None:
    first = export.run(world.ws, "face-3", "coco", tmp_path / "out")
    for event in first:
        if isinstance(event, Progress) and event.note == "labels and pictures":
            break
    with pytest.raises(Conflict, match="under way"):
        list(export.run(world.ws, "face-3", "coco", tmp_path / "out"))
    run(first)
    assert list(coco.read(tmp_path / "out"))


def test_a_place_that_cannot_be_written_is_one_line(world: Sealed, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(Unavailable, match="cannot be written"):
        list(export.run(world.ws, "face-3", "coco", tmp_path / "file" / "out"))


def test_pictures_turned_by_exif_are_pointed_out(world: Sealed, tmp_path: Path) -> None:
    with world.ws.db.write() as conn:
        conn.exec_driver_sql(f"UPDATE asset SET orientation = 6 WHERE id = {world.assets[0]}")
    _, warned = run(export.run(world.ws, "face-3", "coco", tmp_path / "out"))
    assert ["1 pictures are turned by EXIF" in w.what for w in warned] == [True]


_CHILD = """
import sys
import threading
from pathlib import Path
from app.services import export, workspace
with workspace.open(sys.argv[1]) as ws:
    for event in export.run(ws, "face-3", "yolo", Path(sys.argv[2]), pictures="copy"):
        print(type(event).__name__, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_an_export_killed_at_any_moment_shows_nothing_and_the_next_one_starts_clean(
    world: Sealed, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for lines in (1, 3, 6, 9):
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, world.ws.location, str(out)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for _ in range(lines):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        if out.exists():  # it was faster than the kill: then it is whole
            assert len(list(yolo.read(out))) == 8
            shutil.rmtree(out)
    run(export.run(world.ws, "face-3", "yolo", out, pictures="copy"))
    assert len(list(yolo.read(out))) == 8
    assert {p.name for p in tmp_path.iterdir() if "out" in p.name} == {"out"}


def test_what_a_killed_export_left_does_not_enter_the_next_one(world: Sealed, tmp_path: Path) -> None:
    left = tmp_path / ".out.lamproom-part"
    (left / "labels").mkdir(parents=True)
    for name in (".lock", "half.json", "labels/stale.txt"):
        (left / name).write_text("x")
    run(export.run(world.ws, "face-3", "coco", tmp_path / "out", pictures="none"))
    assert set(tree(tmp_path / "out")) == {
        export.REPORT, exported.DIGESTS, exported.PICTURES, *(f"annotations/instances_{s}.json" for s in ("default", "train", "val"))
    }  # fmt: skip


def test_records_are_the_same_when_read_in_many_parts(
    world: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions.freeze(world.ws, "face-3", tag="v1")
    run(export.run(world.ws, "face-3@v1", "native", tmp_path / "one", pictures="none"))
    monkeypatch.setattr(export_what, "PART", 3)
    monkeypatch.setattr(export_what.rows, "PAGE", 4)
    run(export.run(world.ws, "face-3@v1", "native", tmp_path / "many", pictures="none"))
    assert tree(tmp_path / "one") == tree(tmp_path / "many")


def test_a_label_the_schema_does_not_know_is_refused_even_when_losses_are_accepted(
    world: Sealed, tmp_path: Path
) -> None:
    page = labelling.load(world.ws, world.assets[0])
    labelling.save(world.ws, page, (replace(page.annotations[0], label="belt"),), verb="relabel")
    with pytest.raises(InvalidInput, match="not in the label schema"):
        list(export.run(world.ws, "face-3", "coco", tmp_path / "x", accept_losses=True))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("ws", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
def test_an_export_of_now_waits_for_a_change_whose_smaller_revision_is_not_committed(
    world: Sealed, tmp_path: Path
) -> None:
    ws, drawn = world.ws, []
    with record.change(
        ws.db, agent_id=ws.person.id, activity_id=ws.session(), verb="item", assets=[world.assets[7]]
    ) as late:
        world.box(world.assets[6])
        thread = threading.Thread(
            target=lambda: drawn.append(run(export.run(ws, "face-3", "coco", tmp_path / "out"))[0])
        )
        thread.start()
        thread.join(0.5)
        waited = thread.is_alive()
        with ws.db.read() as conn:
            number = conn.exec_driver_sql("SELECT id FROM label WHERE code = 'person'").scalar_one()
        late.annotate(
            [
                record.Edit(
                    opens=labelling.content(
                        Annotation("person", Box(1, 1, 9, 9)), world.assets[7], number, origin="human"
                    )
                )
            ]
        )
    thread.join(20)
    assert waited and drawn[0].result["objects"] == 7

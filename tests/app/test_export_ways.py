"""Rules of export: what leaves is asked for, counted, named safely, put into splits or crops, digested, let out by the gate, gone on with."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from annotation import labels
from annotation.core import Annotation, Box, Mask, Polygon, Tag
from annotation.errors import InvalidInput, NotFound
from annotation.formats import coco, native, yolo
from annotation.formats.base import Record
from app.events import Warned
from app.services import (
    auditing,
    browse,
    export,
    export_crops,
    export_names,
    exported,
    gate,
    imports,
    ingest,
    labelling,
)
from app.services import schema as schemas
from app.services.export import Ask, What
from app.services.splitting import Rule
from app.services.workspace import Workspace
from tests.app.sealed import Sealed, run, sealed


@pytest.fixture
def world(ws: Workspace, tmp_path: Path) -> Sealed:
    w = sealed(ws, tmp_path / "source")
    for asset in w.assets[:5]:
        w.box(asset)
    w.join(w.assets[0], split=1)
    return w


def paths(folder: Path) -> list[str]:
    return [r.path for r in native.read(folder)]


def told(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / export.REPORT).read_text(encoding="utf-8")))


def test_a_query_splits_reviews_and_classes_narrow_what_leaves(world: Sealed, tmp_path: Path) -> None:
    ws, ref = world.ws, "face-3"
    page = labelling.load(ws, world.assets[1])
    labelling.save(ws, page, (*page.annotations, Annotation("helmet", Box(1, 1, 5, 5))), verb="draw")

    def kept(name: str, **kw: Any) -> tuple[int, int]:
        done, _ = run(export.run(ws, ref, "native", tmp_path / name, what=What(**kw), pictures="none"))
        found = export.weigh(ws, ref, "native", What(**kw))
        assert (found.pictures, found.objects) == (done.result["assets"], done.result["objects"])
        return found.pictures, found.objects

    assert kept("all") == (8, 6)
    assert kept("query", where="class:helmet") == (1, 2)
    assert kept("class", classes=("安全帽",)) == (8, 1)
    assert kept("split", splits=("train",)) == (1, 1)
    assert kept("none", reviews=("accepted",)) == (0, 0)
    assert told(tmp_path / "query")["filter"] == {"where": "class:helmet"}
    for kw, what in (
        ({"classes": ("no such",)}, NotFound),
        ({"splits": ("dev",)}, InvalidInput),
        ({"where": "class:"}, InvalidInput),
    ):
        with pytest.raises(what):
            run(export.run(ws, ref, "native", tmp_path / "x", what=What(**kw)))  # type: ignore[arg-type]
    assert not (tmp_path / "x").exists()


def test_pictures_without_a_split_get_one_on_the_way_and_the_record_stays(
    world: Sealed, tmp_path: Path
) -> None:
    what = What(rule=Rule((0.5, 0.25, 0.25), groups=(), seed=3))
    run(export.run(world.ws, "face-3", "coco", tmp_path / "a", what=what, pictures="none"))
    run(export.run(world.ws, "face-3", "coco", tmp_path / "b", what=what, pictures="none"))
    splits = {r.path: r.split for r in coco.read(tmp_path / "a")}
    assert splits == {r.path: r.split for r in coco.read(tmp_path / "b")}
    assert set(splits.values()) == {"train", "val", "test"} and splits["source/0000.jpg"] == "train"
    manifest = told(tmp_path / "a")
    assert manifest["rule"] == {"shares": [0.5, 0.25, 0.25], "how": "random", "together": [], "seed": 3}
    assert sum(manifest["splits"].values()) == 8
    assert browse.dataset(world.ws, "face-3").n_assets == 8
    assert {r.split for r in native_of(world.ws, tmp_path / "c")} == {"train", ""}
    near = What(rule=Rule((0.5, 0.25, 0.25)))
    _, warned = run(export.run(world.ws, "face-3", "coco", tmp_path / "d", what=near, pictures="none"))
    assert any("near duplicates" in w.what for w in warned)
    assert not export.weigh(world.ws, "face-3", "coco", near).looked


def native_of(ws: Workspace, out: Path) -> list[Record]:
    run(export.run(ws, "face-3", "native", out, pictures="none"))
    return list(native.read(out))


def test_crops_hold_the_pixels_and_the_labels_cut_to_them(world: Sealed, tmp_path: Path) -> None:
    ws = world.ws
    run(export.run(ws, "face-3", "coco", tmp_path / "crops", what=What(margin=0.25), pictures="copy"))
    records = {r.path: r for r in coco.read(tmp_path / "crops")}
    assert len(records) == 5
    one = records["source/0000_000.jpg"]
    (box,) = (a.shape for a in one.annotations)
    assert (one.width, one.height, box) == (50, 60, Box(10, 10, 40, 50))  # 10,10,40,50 with 10 px around it
    pixels = cv2.imread(str(tmp_path / "crops/images/source/0000_000.jpg"))
    whole = browse.picture(ws, world.assets[0])
    assert np.abs(pixels.astype(int) - whole[0:60, 0:50].astype(int)).mean() < 4

    run(
        export.run(
            ws, "face-3", "yolo-classify", tmp_path / "classes", what=What(margin=0.0), pictures="copy"
        )
    )
    assert (tmp_path / "classes/train/person/source/0000_000.jpg").is_file()
    assert len(list((tmp_path / "classes").rglob("*.jpg"))) == 5


def test_a_crop_keeps_what_of_every_shape_lies_in_it() -> None:
    pixels = np.zeros((40, 60), np.uint8)
    pixels[10:30, 20:50] = 1
    from annotation import rle

    box, mask = Annotation("a", Box(10, 10, 30, 30)), Annotation("b", rle.encode(pixels))
    poly = Annotation("c", Polygon((((0.0, 0.0, 20.0, 0.0, 20.0, 20.0, 0.0, 20.0),),)))
    far, tag = Annotation("d", Box(50, 35, 59, 39)), Annotation("e", Tag())
    record = Record("x/y.png", 60, 40, (box, mask, poly, far, tag))
    cut = list(export_crops.cut(record, 0.0, whole_label=False))
    assert [r.path for r, _ in cut] == [f"x/y_{i:03d}.png" for i in range(4)]
    first, window = cut[0]
    assert window == (10, 10, 30, 30) and (first.width, first.height) == (20, 20)
    shapes = {a.label: a.shape for a in first.annotations}
    assert set(shapes) == {"a", "b", "c"} and shapes["a"] == Box(0, 0, 20, 20)
    assert isinstance(shapes["b"], Mask) and int(rle.decode(shapes["b"]).sum()) == 20 * 10
    for bad in (-0.1, 5.0, float("nan")):
        with pytest.raises(InvalidInput, match="margin"):
            export_crops.checked(bad)


def test_class_ids_come_from_the_schema_and_a_retired_class_moves_nobody(
    world: Sealed, tmp_path: Path
) -> None:
    ws = world.ws
    run(export.run(ws, "face-3", "yolo", tmp_path / "before", pictures="none"))
    ids = told(tmp_path / "before")["class_ids"]
    now = schemas.current(ws)
    first = now.drawable()[0]
    retired = replace(
        now, version=now.version + 1,
        labels=tuple(replace(la, retired_to="person") if la.code == first.code != "person" else la for la in now.labels),
    )  # fmt: skip
    schemas.apply(ws, labels.extend(retired, ["brand new"], "test"))
    run(export.run(ws, "face-3", "yolo", tmp_path / "after", pictures="none"))
    after = told(tmp_path / "after")["class_ids"]
    assert {k: v for k, v in after.items() if k in ids} == ids and len(after) == len(ids) + 1
    assert sorted(after.values()) == list(range(len(after)))


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("src/plain name.jpg", "src/plain name.jpg"),
        ("src/井下 001.jpg", "src/井下 001.jpg"),
        ('src/a<b>:"|?*.jpg', "src/a_b______.jpg"),
        ("src/CON.jpg", "src/_CON.jpg"),
        ("aux/lpt1", "_aux/_lpt1"),
        ("src/dot./x .jpg", "src/dot_/x .jpg"),
        ("src/tail .", "src/tail _"),
        ("console/com.jpg", "console/com.jpg"),
        ("src/a\\b\n.jpg", "src/a_b_.jpg"),
    ],
)
def test_names_are_such_as_every_system_takes(key: str, name: str) -> None:
    assert export_names.safe(key) == name
    assert export_names.safe(name) == name


def test_a_name_that_is_too_long_is_cut_and_stays_one_of_its_own() -> None:
    long = [f"src/{'长' * 90}{i}.jpg" for i in range(2)]
    a, b = map(export_names.safe, long)
    assert a != b and all(len(part.encode()) <= 200 for part in a.split("/")) and a.endswith(".jpg")


def test_pictures_whose_names_meet_are_told_apart_and_mapped_in_the_table(
    ws: Workspace, tmp_path: Path
) -> None:
    names = ("a/x.jpg", "a/X.JPG", "a/x.png", "b/x.jpg", "q?.jpg")
    for i, name in enumerate(names):
        (tmp_path / "s" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "s" / name), np.full((20, 30, 3), 40 * i, np.uint8))
    list(ingest.run(ws, [tmp_path / "s"], dataset="face-3"))
    run(export.run(ws, "face-3", "yolo", tmp_path / "yolo", pictures="copy"))
    written = [
        p.relative_to(tmp_path / "yolo/images/train").as_posix()
        for p in (tmp_path / "yolo/images").rglob("*.*")
    ]
    assert len({w.casefold().rpartition(".")[0] for w in written}) == 5
    table = [
        line.split("\t")
        for line in (tmp_path / "yolo" / exported.PICTURES).read_text(encoding="utf-8").splitlines()
    ]
    assert table[0] == ["name", "file", "split", "key", "blake3"]
    keys = {row[3]: row[0] for row in table[1:]}
    assert set(keys) == {f"s/{n}" for n in names} and set(keys.values()) == set(written)
    assert keys["s/b/x.jpg"] == "s/b/x.jpg" and keys["s/q?.jpg"] == "s/q_.jpg"
    assert told(tmp_path / "yolo")["renamed"] == 4 == export.weigh(ws, "face-3", "yolo").renamed
    run(
        export.run(ws, "face-3", "coco", tmp_path / "coco", pictures="none")
    )  # one file of labels: only case meets
    assert told(tmp_path / "coco")["renamed"] == 3


@pytest.mark.skipif(os.name == "nt", reason="such names")
def test_a_source_with_tabs_and_lines_in_its_name_keeps_the_table_whole(
    ws: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "s").mkdir()
    cv2.imwrite(str(tmp_path / "plain.png"), np.full((20, 30, 3), 9, np.uint8))
    shutil.copy(tmp_path / "plain.png", tmp_path / "s" / "a\tb\nc.png")
    list(ingest.run(ws, [tmp_path / "s"], dataset="face-3"))
    run(export.run(ws, "face-3", "coco", tmp_path / "out", pictures="copy"))
    lines = (tmp_path / "out" / exported.PICTURES).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 and all(len(line.split("\t")) == 5 for line in lines)
    assert len(list((tmp_path / "out/images").rglob("*.png"))) == 1


def test_every_written_file_has_its_digest_and_the_manifest_has_theirs(world: Sealed, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(export.run(world.ws, "face-3", "yolo", out, pictures="link"))
    lines = (out / exported.DIGESTS).read_text(encoding="utf-8").splitlines()
    said = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    there = {p.relative_to(out).as_posix(): p for p in out.rglob("*") if p.is_file()}
    assert set(said) == set(there) - {export.REPORT, exported.DIGESTS}
    assert all(hashlib.sha256(there[n].read_bytes()).hexdigest() == d for n, d in said.items())
    digests = told(out)["digests"]
    assert digests["sha256"] == hashlib.sha256((out / exported.DIGESTS).read_bytes()).hexdigest()
    assert digests["files"] == len(said) and digests["bytes"] == sum(there[n].stat().st_size for n in said)
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "-c", "--quiet", exported.DIGESTS], cwd=out, check=True)


def test_the_gate_refuses_before_a_byte_and_lets_out_what_a_person_answers_for(
    world: Sealed, tmp_path: Path
) -> None:
    ws, out = world.ws, tmp_path / "out"
    gate.set_tag(ws, "asset", str(world.assets[2]), gate.Tag("internal"))
    with pytest.raises(InvalidInput, match="policy tags"):
        run(export.run(ws, "face-3", "coco", out, ask=Ask("public")))
    assert not out.exists() and not list(tmp_path.glob(".*part"))
    found = export.weigh(ws, "face-3", "coco", ask=Ask("public"))
    assert [(r.n, r.example) for r in found.refusals] == [(1, "source/0002.jpg")]
    run(
        export.run(
            ws, "face-3", "coco", out, ask=Ask("public"), what=What(where=f"-picture:{world.assets[2]}")
        )
    )
    assert told(out)["assets"] == 7
    said = auditing.listing(ws)[-1]
    assert (said.verb, said.detail["audience"], said.detail["assets"]) == ("export", "public", 7)
    _, warned = run(
        export.run(
            ws, "face-3", "coco", tmp_path / "all", ask=Ask("public", "", "the owner agreed in writing")
        )
    )
    assert any("a person answers" in w.what for w in warned)
    verbs = [e.verb for e in auditing.listing(ws)]
    assert verbs[-2:] == ["override", "export"]
    with pytest.raises(InvalidInput, match="audience"):
        run(export.run(ws, "face-3", "coco", tmp_path / "x", ask=Ask("nobody")))


_CHILD = """
import sys, time
from pathlib import Path
from app.services import export, workspace
plain = export._copy
def slow(*given):
    plain(*given)
    print("copied", flush=True)
    if sys.stdin.readline() == "":
        time.sleep(60)
export._copy = slow
with workspace.open(sys.argv[1]) as ws:
    for _ in export.run(ws, "face-3", "yolo", Path(sys.argv[2]), pictures="copy"):
        pass
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_an_export_that_was_killed_takes_over_the_copies_it_had_made(world: Sealed, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def killed_after(n: int) -> None:
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, world.ws.location, str(out)],
            stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None and child.stdin is not None
        for _ in range(n):
            assert child.stdout.readline() == "copied\n"
            child.stdin.write("on\n")
            child.stdin.flush()
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        child.stdin.close()

    killed_after(3)
    (staging,) = tmp_path.glob(".*part")
    spoilt = next(p for p in staging.rglob("0001.jpg"))
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"!")  # as a disk that lost power leaves it
    killed_after(2)
    done, _ = run(export.run(world.ws, "face-3", "yolo", out, pictures="copy"))
    assert done.result["taken_over"] >= 3 and done.problems == 0
    assert len(list(yolo.read(out))) == 8 and not list(out.rglob(".*"))
    copied = {p.name: p.read_bytes() for p in (out / "images").rglob("*.jpg")}
    assert copied == {p.name: p.read_bytes() for p in (tmp_path / "source").rglob("*.jpg")}


def test_another_export_to_the_same_folder_takes_over_nothing(world: Sealed, tmp_path: Path) -> None:
    left = tmp_path / ".out.lamproom-part"
    (left / "images/train/source").mkdir(parents=True)
    (left / ".same").write_text("something else")
    shutil.copy(tmp_path / "source/0000.jpg", left / "images/train/source/0000.jpg")
    done, _ = run(export.run(world.ws, "face-3", "yolo", tmp_path / "out", pictures="copy"))
    assert done.result["taken_over"] == 0


def test_what_is_exported_and_imported_again_is_the_same(world: Sealed, tmp_path: Path) -> None:
    ws = world.ws
    for format in ("native", "coco", "yolo", "voc", "cvat", "labelme", "datumaro", "labelstudio"):
        run(export.run(ws, "face-3", format, tmp_path / format, accept_losses=True, pictures="none"))
        last = list(imports.import_labels(ws, tmp_path / format, dataset="face-3"))[-1]
        done = dict(last.result)  # type: ignore[union-attr]
        assert (done["format"], done["matched"], done["annotations"], done["identical"]) == (
            format,
            8,
            0,
            5,
        ), format


def test_a_version_filtered_by_a_query_says_whose_labels_answered(world: Sealed, tmp_path: Path) -> None:
    from app.services import versions

    versions.freeze(world.ws, "face-3", tag="v1")
    what = What(where="class:person")
    done, warned = run(export.run(world.ws, "face-3@v1", "coco", tmp_path / "o", what=what, pictures="none"))
    assert done.result["assets"] == 5 and any("of today" in w.what for w in warned)


def test_the_verb_has_every_way(
    cli: Callable[..., tuple[int, dict[str, Any]]], world: Sealed, tmp_path: Path
) -> None:
    gate.set_tag(world.ws, "asset", str(world.assets[2]), gate.Tag("internal"))
    out = str(tmp_path / "o")
    code, found = cli("export", "yolo", "face-3", out, "--dry-run", "--audience", "public")
    assert (code, found["pictures"], len(found["refusals"])) == (3, 8, 1)
    assert cli("export", "yolo", "face-3", out, "--audience", "public")[0] == 1
    assert cli("export", "yolo", "face-3", out, "--stratified")[0] == 2
    argv = ["--class", "person", "--ratio", "8:1:1", "--together", "none", "--pictures", "none"]
    code, done = cli(
        "export", "yolo", "face-3", out, *argv, "--audience", "public", "--override", "agreed with the owner"
    )
    assert (code, done["objects"], done["rule"]["together"]) == (0, 5, [])
    assert (
        cli("export", "yolo-classify", "face-3", str(tmp_path / "c"), "--crops", "0.1")[1]["pictures_written"]
        == 5
    )


@pytest.fixture
def cli(
    ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, dict[str, Any]]]]:
    from app import cli as line

    def call(*argv: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = line.main(["-w", ws.location, *argv, "--json"])
        out = capsys.readouterr().out
        return code, json.loads(out) if out.strip() else {}

    yield call


def test_a_picture_that_is_gone_is_told_and_left_out_of_the_digests(world: Sealed, tmp_path: Path) -> None:
    (tmp_path / "source/0003.jpg").unlink()
    done, warned = run(export.run(world.ws, "face-3", "coco", tmp_path / "o", pictures="copy"))
    assert done.problems == 1 and isinstance(warned[0], Warned)
    assert "0003" not in (tmp_path / "o" / exported.DIGESTS).read_text()

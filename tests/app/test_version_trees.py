"""Rules of versions taken out, rebuilt and swept: every byte proved, faults named with file and bytes, kills lose nothing."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from annotation.errors import Conflict, InvalidInput, Unavailable
from app import cli
from app.services import ingest, labelling, publish, versions, workspace
from app.services.imports import Wish, import_labels
from app.services.versions import checkouts
from app.services.workspace import Workspace
from storage import blobs, manifest, seal
from storage.hub.folder import FolderStore
from tests.app.conftest import draw
from tests.app.sealed import Sealed, many, run, sealed

OLD_S = 86_400.0


@pytest.fixture
def world(ws: Workspace, tmp_path: Path) -> Sealed:
    """Eight pictures that were ingested, five with a box; version v1 built."""
    folder = tmp_path / "face2"
    paths = draw(folder, 8)
    list(ingest.run(ws, [folder], dataset="face-3"))
    with ws.db.read() as conn:
        assets = list(conn.exec_driver_sql("SELECT id FROM asset ORDER BY path").scalars())
        data = int(conn.exec_driver_sql("SELECT id FROM dataset").scalar_one())
    w = Sealed(ws, folder, data, assets, paths)
    for asset in assets[:5]:
        w.box(asset)
    freeze(w, "v1")
    return w


def freeze(w: Sealed, tag: str, dataset: str = "face-3") -> str:
    return str(run(versions.build(w.ws, versions.freeze(w.ws, dataset, tag=tag)))[0].result["root"])


def age(folder: Path) -> None:
    """Everything below was written yesterday."""
    then = time.time() - OLD_S
    for path in (folder / "objects").glob("*/*"):
        os.utime(path, (then, then))


def tree(folder: Path) -> dict[str, str]:
    """Every file below and its digest."""
    return {
        p.relative_to(folder).as_posix(): blake3(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


# -- checkout --------------------------------------------------------------------------------------------------------


def test_a_checkout_holds_pictures_labels_schema_and_what_was_signed(world: Sealed, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done, warned = run(versions.checkout(world.ws, "face-3@v1", out))
    assert warned == [] and (done.result["assets"], done.result["annotations"], done.result["written"]) == (
        8,
        5,
        8,
    )
    for path in world.paths:
        assert (out / "images" / "face2" / path.name).read_bytes() == path.read_bytes()
    public = seal.from_pem((out / "key.pem").read_bytes())
    for name in ("root", "statement"):
        assert seal.holds(public, (out / f"{name}.sig").read_bytes(), (out / f"{name}.json").read_bytes())
    assert json.loads((out / "statement.json").read_bytes())["root"] == done.result["root"]
    assert not list(tmp_path.glob(".out*"))
    with pytest.raises(InvalidInput, match="not an empty folder"):
        run(versions.checkout(world.ws, "face-3@v1", out))


def test_a_checkout_ingested_elsewhere_has_the_same_facts_and_labels(world: Sealed, tmp_path: Path) -> None:
    r = random.Random(3)
    for step in range(6):  # random edits
        world.box(r.choice(world.assets), r.randrange(90), label=r.choice(("person", "helmet")))
        if step == 3:
            world.erase(r.choice(world.assets))
    freeze(world, "v2")
    run(versions.checkout(world.ws, "face-3@v2", tmp_path / "out"))
    other = workspace.create(str(tmp_path / "other"))
    with other:
        list(ingest.run(other, [tmp_path / "out" / "images"], dataset="again"))
        list(import_labels(other, tmp_path / "out", dataset="again", wish=Wish("native")))
        list(versions.build(other, versions.freeze(other, "again", tag="v")))
        sides = []
        for ws, ref in ((world.ws, "face-3@v2"), (other, "again@v")):
            _, root = versions.load(ws, versions.find(ws, ref))
            found = {}
            for chunk in root.chunks:
                for entry in manifest.read(chunk, lambda b3, ws=ws: blobs.get(ws.folder, b3)):  # type: ignore[misc]
                    fact = json.loads(entry.facts)
                    fact.pop("key")
                    labels = json.loads(entry.set)
                    for one in labels:
                        one.pop("origin")
                        one.pop("uid")
                    found[fact["asset"]] = (fact, sorted(labels, key=str))
            sides.append(found)
        assert sides[0] == sides[1]


def test_a_checkout_needs_only_the_hub(world: Sealed, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    run(publish.run(world.ws, "face-3@v1", hub))
    run(versions.checkout(world.ws, "face-3@v1", tmp_path / "a"))
    world.ws.close()
    shutil.rmtree(world.source)
    run(versions.checkout(hub, "face-3@v1", tmp_path / "b"))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_pictures_are_linked_or_left_out_on_request_and_links_are_proved(
    world: Sealed, tmp_path: Path
) -> None:
    world.paths[3].write_bytes(b"other")
    done, warned = run(versions.checkout(world.ws, "face-3@v1", tmp_path / "links", pictures="link"))
    assert (done.result["linked"], done.problems) == (7, 1)
    assert [w.where for w in warned] == ["face2/0003.jpg"]
    assert (tmp_path / "links" / "images" / "face2" / "0000.jpg").is_symlink()
    run(versions.checkout(world.ws, "face-3@v1", tmp_path / "bare", pictures="none"))
    assert not (tmp_path / "bare" / "images").exists()


def test_a_full_disk_is_told_before_and_a_second_checkout_to_one_folder_is_refused(
    world: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = versions.checkout(world.ws, "face-3@v1", tmp_path / "out")
    for event in work:
        if getattr(event, "done", None):
            break
    with pytest.raises(Conflict):
        run(versions.checkout(world.ws, "face-3@v1", tmp_path / "out"))
    work.close()
    monkeypatch.setattr(checkouts.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 10))  # type: ignore[attr-defined]
    with pytest.raises(Unavailable, match="bytes are needed"):
        run(versions.checkout(world.ws, "face-3@v1", tmp_path / "out"))


def test_a_manifest_that_was_changed_is_never_checked_out(world: Sealed, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    run(publish.run(world.ws, "face-3@v1", hub))
    _, root = versions.load(world.ws, versions.find(world.ws, "face-3@v1"))
    part = FolderStore(hub).path(f"objects/{root.chunks[0].sets.b3[:2]}/{root.chunks[0].sets.b3}")
    part.write_bytes(part.read_bytes().replace(b"person", b"helmet"))
    with pytest.raises(InvalidInput, match="not what was signed"):
        run(versions.checkout(hub, "face-3@v1", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


# -- verify ----------------------------------------------------------------------------------------------------------


def test_verify_names_every_wrong_byte_where_a_second_copy_tells(world: Sealed, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    run(publish.run(world.ws, "face-3@v1", hub))
    data = bytearray(world.paths[2].read_bytes())
    for at in (100, 101, 900):
        data[at] ^= 0xFF
    world.paths[2].write_bytes(data)
    whole = world.paths[5].read_bytes()
    world.paths[5].write_bytes(whole[:500])
    world.paths[6].unlink()
    done, warned = run(versions.verify(world.ws, "face-3@v1"))
    assert done.problems == 3 and not any(b["bytes"] for b in done.result["bad"])  # type: ignore[attr-defined]
    done, warned = run(versions.verify(world.ws, "face-3@v1", against=hub))
    bad = {Path(b["key"]).name: b for b in done.result["bad"]}  # type: ignore[attr-defined]
    assert bad["0002.jpg"]["bytes"] == [[100, 102], [900, 901]]
    assert bad["0002.jpg"]["file"] == str(world.paths[2])
    assert bad["0005.jpg"]["bytes"] == [[500, len(whole)]]
    assert bad["0006.jpg"]["bytes"] == []
    assert any("100-101, 900" in w.what for w in warned)
    done, warned = run(versions.verify(hub, "face-3@v1", against=world.ws))
    assert done.result["sound"]


def test_a_statement_that_was_changed_is_found(world: Sealed) -> None:
    with world.ws.db.write() as conn:
        conn.exec_driver_sql(
            "UPDATE dataset_version SET statement = replace(statement, 'seq\":1', 'seq\":7')"
        )
    done, warned = run(versions.verify(world.ws, "face-3@v1", bytes_too=False))
    assert done.problems == 1 and "statement" in warned[0].what


# -- rebuild ---------------------------------------------------------------------------------------------------------


def test_rebuild_reads_sources_and_record_alone_and_gives_the_identical_root(world: Sealed) -> None:
    sealed_root = versions.find(world.ws, "face-3@v1").root
    world.box(world.assets[6])  # later work
    for part in (world.ws.folder / "objects").glob("*/*"):
        part.write_bytes(b"not asked")
    done, warned = run(versions.rebuild(world.ws, "face-3@v1"))
    assert warned == [] and done.result["same"] and done.result["root"] == sealed_root


def test_rebuild_names_the_source_and_the_label_that_differ(world: Sealed) -> None:
    world.paths[1].write_bytes(world.paths[7].read_bytes())
    done, warned = run(versions.rebuild(world.ws, "face-3@v1"))
    assert not done.result["same"] and {w.where for w in warned} == {"face2/0001.jpg"}
    shutil.copyfile(world.paths[7], world.paths[1])
    with world.ws.db.write() as conn:  # behind our back
        conn.exec_driver_sql(f"UPDATE annotation SET x1 = x1 + 1000 WHERE asset_id = {world.assets[3]}")
    done, warned = run(versions.rebuild(world.ws, "face-3@v1"))
    assert {w.where: w.what for w in warned}["face2/0003.jpg"].startswith(
        "the record gives other annotations"
    )


def test_incremental_full_and_rebuilt_roots_are_one_over_random_edits(ws: Workspace, tmp_path: Path) -> None:
    w = sealed(ws, tmp_path / "s", 30)
    r = random.Random(11)
    freeze(w, "v0")
    for step in range(1, 4):
        for _ in range(6):
            asset = r.choice(w.assets)
            match r.randrange(3):
                case 0:
                    w.box(asset, r.randrange(90))
                case 1:
                    w.erase(asset)
                case _:
                    w.join(asset, split=r.randrange(4))
        incremental = freeze(w, f"v{step}")
        done, warned = run(versions.rebuild(ws, f"face-3@v{step}"))
        assert warned == [] and done.result["root"] == incremental
        shutil.rmtree(ws.folder / "objects")
        (ws.folder / "objects").mkdir()
        assert run(versions.build(ws, versions.find(ws, f"face-3@v{step}")))[0].result["root"] == incremental


# -- gc --------------------------------------------------------------------------------------------------------------


def swept(ws: Workspace, **how: object) -> dict[str, object]:
    return dict(run(versions.gc(ws, **how))[0].result)  # type: ignore[arg-type]


def test_gc_drops_only_what_nothing_reaches_and_looks_first(world: Sealed, tmp_path: Path) -> None:
    ws = world.ws
    orphan = blobs.put(ws.folder, b"nobody names me")
    listed = blobs.put(ws.folder, b"a list that a job names")
    with ws.db.write() as conn:
        conn.exec_driver_sql(f'UPDATE job SET params = \'{{"list": "{listed}"}}\'')
    left = ws.folder / "objects" / orphan[:2] / ".x.part"
    left.write_bytes(b"123")
    assert swept(ws)["objects"] == 0, "what is young may belong to work under way"
    age(ws.folder)
    looked = swept(ws)
    assert (looked["objects"], looked["object_bytes"], looked["leftovers"], looked["deleted"]) == (
        1,
        15,
        1,
        False,
    )
    assert blobs.holds(ws.folder, orphan)
    assert swept(ws, delete=True)["objects"] == 1
    assert not blobs.holds(ws.folder, orphan) and blobs.holds(ws.folder, listed) and not left.exists()
    assert run(versions.verify(ws, "face-3@v1"))[0].result["sound"]
    assert labelling.undo(ws, labelling.load(ws, world.assets[0])) is not None


def test_gc_keeps_the_members_of_packed_archives_and_stops_at_a_damaged_root(
    ws: Workspace, tmp_path: Path
) -> None:
    draw(tmp_path / "in", 3)
    subprocess.run(["tar", "-C", tmp_path, "-czf", tmp_path / "p.tar.gz", "in"], check=True)
    list(ingest.run(ws, [tmp_path / "p.tar.gz"], dataset="d"))
    version = versions.freeze(ws, "d", tag="v")
    list(versions.build(ws, version))
    age(ws.folder)
    assert swept(ws, delete=True)["objects"] == 0
    done, warned = run(versions.rebuild(ws, "d@v"))
    assert warned == [] and done.result["same"]
    path = blobs.path_of(ws.folder, versions.find(ws, "d@v").root or "")
    path.write_bytes(b"{}")
    with pytest.raises(Unavailable, match="damaged"):
        swept(ws, delete=True)
    run(versions.verify(ws, "d@v"))  # mends it
    assert swept(ws, delete=True)["objects"] == 0


def test_what_a_running_build_writes_or_relies_on_stays(ws: Workspace) -> None:
    w = many(ws, 1_500)
    first = versions.freeze(ws, "large", tag="v1")
    list(versions.build(ws, first))
    with ws.db.write() as conn:  # as if the build had been killed before its seal: all of it is nobody's
        for column in ("root", "signature", "statement", "statement_signature"):
            conn.exec_driver_sql(f"UPDATE dataset_version SET {column} = NULL")
    age(ws.folder)
    work = versions.build(ws, first)
    for n, _ in enumerate(work):
        if n == 2:
            swept(ws, delete=True, grace_s=0)
    assert run(versions.verify(ws, "large@v1", bytes_too=False))[0].result["sound"]
    assert w.assets


def test_an_object_that_is_relied_on_again_is_spared(ws: Workspace) -> None:
    name = blobs.put(ws.folder, b"old")
    age(ws.folder)
    limit = time.time() - 60
    blobs.put(ws.folder, b"old")
    assert list(blobs.drop(ws.folder, [name], before=limit)) == []
    age(ws.folder)
    assert list(blobs.drop(ws.folder, [name], before=limit)) == [(name, 3)]


def test_gc_of_a_hub_keeps_every_published_version(world: Sealed, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    run(publish.run(world.ws, "face-3@v1", hub))
    world.erase(world.assets[0])
    freeze(world, "v2")
    run(publish.run(world.ws, "face-3@v2", hub))
    orphan = hub / "objects" / "ab" / ("ab" + "0" * 62)
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"12345")
    assert run(versions.gc_hub(hub))[0].result["objects"] == 1 and orphan.exists()
    run(versions.gc_hub(hub, delete=True))
    assert not orphan.exists()
    shutil.rmtree(hub / "datasets" / "face-3" / "v1")
    assert int(str(run(versions.gc_hub(hub, delete=True))[0].result["objects"])) > 0
    assert run(versions.verify(hub, "face-3@v2"))[0].result["sound"]
    (hub / "datasets" / "face-3" / "v2" / "root.json").write_bytes(b"{}")
    with pytest.raises(InvalidInput, match="cannot be read"):
        run(versions.gc_hub(hub, delete=True))


# -- log and diff ----------------------------------------------------------------------------------------------------


def test_the_log_tells_parents_counts_changes_and_where_a_version_went(world: Sealed, tmp_path: Path) -> None:
    world.box(world.assets[6], label="helmet")
    freeze(world, "v2")
    run(publish.run(world.ws, "face-3@v2", tmp_path / "井口 hub"))
    versions.freeze(world.ws, "face-3", tag="v3")
    newest, second, first = versions.log(world.ws, "face-3")
    assert (newest.counts, newest.since, newest.parent) == (None, None, "face-3@v2")
    assert second.counts and (second.counts.assets, second.counts.objects) == (8, 6)
    assert second.since and second.since.annotations_added == 1 and second.parent == "face-3@v1"
    assert [s.hub for s in second.sent] == ["井口 hub"] and first.parent == ""


def test_a_difference_is_kept_and_never_stale(world: Sealed) -> None:
    world.box(world.assets[6])
    freeze(world, "v2")
    first = versions.diff(world.ws, "face-3@v1", "face-3@v2")
    assert versions.diff(world.ws, "face-3@v1", "face-3@v2") == first
    (kept,) = (world.ws.folder / "cache").glob("diff-*")
    kept.write_bytes(b"{")
    assert versions.diff(world.ws, "face-3@v1", "face-3@v2") == first
    assert versions.totals(world.ws, "face-3@v2") == {"person": 6}


def test_the_pair_of_a_picture_tells_what_happened_to_each_object(world: Sealed) -> None:
    from dataclasses import replace

    from annotation.core import Box

    asset = world.assets[0]
    world.box(asset, 60)
    world.box(asset, 90)
    freeze(world, "v2")
    page = labelling.load(world.ws, asset)
    a, b, c = page.annotations
    labelling.save(
        world.ws,
        page,
        (
            replace(a, shape=Box(14, 12, 44, 52)),
            replace(b, shape=Box(60, 10, 99, 50)),
            replace(c, label="helmet"),
        ),
        verb="edit",
    )
    world.box(asset, 5, label="smoke")
    freeze(world, "v3")
    pair = versions.pair(world.ws, "face-3@v2", "face-3@v3", "face2/0000.jpg")
    by_uid = {o.uid: o for o in pair.changed}
    assert (by_uid[a.uid].how, by_uid[b.uid].how, by_uid[c.uid].how) == (
        ("moved",),
        ("reshaped",),
        ("relabelled",),
    )
    assert sum(o.before is None for o in pair.changed) == 1 and pair.same == ()
    assert [p.key for p in versions.pictures(world.ws, "face-3@v2", "face-3@v3")] == ["face2/0000.jpg"]


def test_the_command_line_does_all_of_it(
    world: Sealed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*line: str) -> dict[str, object]:
        assert cli.main(["-w", world.ws.location, "--json", *line]) == 0, capsys.readouterr()
        return dict(json.loads(capsys.readouterr().out))

    world.box(world.assets[6])
    freeze(world, "v2")
    listed = said("log", "face-3")["versions"]
    assert [v["version"] for v in listed] == ["face-3@v2", "face-3@v1"]  # type: ignore[union-attr, index]
    found = said("diff", "face-3@v1", "face-3@v2", "--totals", "--every")
    assert found["totals"] == {"person": [5, 6]} and len(found["pictures"]) == 1  # type: ignore[arg-type]
    assert said("checkout", "face-3@v2", str(tmp_path / "o"))["written"] == 8
    assert said("rebuild", "face-3@v2")["same"] is True
    assert said("gc")["deleted"] is False
    for line in (("log", "face-3"), ("diff", "face-3@v1", "face-3@v2"), ("gc",)):
        assert cli.main(["-w", world.ws.location, *line]) == 0
        assert capsys.readouterr().out


# -- kills -----------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys, threading
from pathlib import Path
from app.services import versions, workspace
what, place, after = sys.argv[1], sys.argv[2], float(sys.argv[3])
with workspace.open(place) as ws:
    if after >= 0:
        threading.Timer(after, os.kill, (os.getpid(), signal.SIGKILL)).start()
    if what == "build":
        work = versions.build(ws, versions.find(ws, sys.argv[4]))
    elif what == "checkout":
        work = versions.checkout(ws, sys.argv[4], Path(sys.argv[5]))
    else:
        work = versions.gc(ws, delete=True)
    for event in work:
        pass
os._exit(0)
"""


def kills(whole: bool) -> Iterator[float]:
    yield from ([0.01 * i for i in range(1, 21)] if whole else [0.01, 0.05])


def child(*words: str) -> int:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", KILLED, *words], env=environment, timeout=120, check=False
    ).returncode


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_kills_of_build_checkout_and_gc_leave_every_version_whole(
    ws: Workspace, tmp_path: Path, whole: bool
) -> None:
    w = sealed(ws, tmp_path / "s", 40)
    for asset in w.assets[:9]:
        w.box(asset)
    freeze(w, "v1")
    w.erase(w.assets[2])
    versions.freeze(ws, "face-3", tag="v2")
    killed = 0
    for after in kills(whole):
        killed += child("build", ws.location, str(after), "face-3@v2") == -signal.SIGKILL
        age(ws.folder)
        killed += child("gc", ws.location, str(after)) == -signal.SIGKILL
        killed += (
            child("checkout", ws.location, str(after), "face-3@v1", str(tmp_path / "out")) == -signal.SIGKILL
        )
        assert not (tmp_path / "out").exists() or killed
        assert run(versions.verify(ws, "face-3@v1"))[0].result["sound"]
    assert killed
    if not (tmp_path / "out").exists():
        run(versions.checkout(ws, "face-3@v1", tmp_path / "out"))
    for path in w.paths:
        assert (tmp_path / "out" / "images" / "s" / path.name).read_bytes() == path.read_bytes()
    run(versions.build(ws, versions.find(ws, "face-3@v2")))
    swept(ws, delete=True, grace_s=0)
    for tag in ("v1", "v2"):
        assert run(versions.verify(ws, f"face-3@{tag}"))[0].result["sound"]

"""Rules of ingest: what goes in, what is put aside, what a second run does, what a kill leaves."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from annotation.core import Annotation, Box
from annotation.errors import Conflict, InvalidInput, NotFound
from app.events import Finished, Warned
from app.services import browse, ingest, jobs, labelling
from app.services.workspace import Workspace
from storage import media, names, record
from storage.queries import Query

BOTH = pytest.mark.parametrize(
    "ws", ["folder", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


def picture(seed: int, *, form: str = "JPEG", wh: tuple[int, int] = (48, 32)) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (wh[1], wh[0], 3), np.uint8)
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def fill(folder: Path, n: int, *, first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + n):
        (folder / f"{i:03d}.jpg").write_bytes(picture(i))
    return folder


def run(
    ws: Workspace, *paths: Path, dataset: str = "face-3", **kw: Any
) -> tuple[dict[str, Any], list[Warned]]:
    events = list(ingest.run(ws, list(paths), dataset=dataset, **kw))
    assert isinstance(events[-1], Finished)
    result = dict(events[-1].result)
    assert events[-1].problems == result["quarantined"] + result["unreadable"] + result["kept"]
    return result, [e for e in events if isinstance(e, Warned)]


def paths_of(ws: Workspace, dataset: str = "face-3") -> list[str]:
    return [i.path for i in browse.page(ws, Query(browse.dataset(ws, dataset).id), limit=100_000)]


def counts(ws: Workspace) -> tuple[int, ...]:
    with ws.db.read() as conn:
        tables = ("asset", "seen_file", "item", "change")
        return tuple(int(conn.execute(sa.text(f"SELECT count(*) FROM {t}")).scalar_one()) for t in tables)


class Reads:
    """Counts files opened for their content."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        real = names.open_file

        def counted(root: bytes, raw: bytes, shown: str) -> Any:
            self.paths.append(shown)
            return real(root, raw, shown)

        monkeypatch.setattr(names, "open_file", counted)


@BOTH
def test_every_format_goes_in_with_its_facts_and_can_be_read_again(ws: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "掘进 工作面" / "深" / "er"
    folder.mkdir(parents=True)
    forms = {"a.jpg": "JPEG", "b.png": "PNG", "c.tif": "TIFF", "d.bmp": "BMP", "带 空格.webp": "WEBP"}
    for i, (name, form) in enumerate(forms.items()):
        (folder / name).write_bytes(picture(i, form=form))
    result, warned = run(ws, tmp_path / "掘进 工作面")
    assert (result["new"], result["joined"], warned) == (5, 5, [])
    assert sorted(paths_of(ws)) == sorted(f"深/er/{n}" for n in forms)
    for item in browse.page(ws, Query(browse.dataset(ws, "face-3").id)):
        facts = browse.asset(ws, item.asset_id)
        assert facts.root_code == "掘进-工作面"
        assert facts.media_type.startswith("image/")
        assert browse.picture(ws, item.asset_id).shape == (32, 48, 3)
    assert browse.dataset(ws, "face-3").n_assets == 5


@BOTH
def test_a_second_run_reads_no_file_content_and_writes_no_revision(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "src", 12)
    (folder / "twin.jpg").write_bytes(picture(0))
    (folder / "broken.jpg").write_bytes(picture(0)[:200])
    (folder / "noise.bin").write_bytes(b"\1\2\3" * 50)
    with zipfile.ZipFile(folder / "more.zip", "w") as z:
        z.writestr("in/x.jpg", picture(77))
    run(ws, folder)
    before = counts(ws)
    reads = Reads(monkeypatch)
    result, warned = run(ws, folder)
    assert reads.paths == []
    assert counts(ws) == before
    assert (result["new"], result["joined"], result["known"], warned) == (0, 0, 14, [])
    assert result["quarantined_before"] == 1


@BOTH
def test_exact_duplicates_are_registered_once_and_reported(ws: Workspace, tmp_path: Path) -> None:
    folder = fill(tmp_path / "src", 3)
    (folder / "z").mkdir()
    shutil.copy(folder / "001.jpg", folder / "z" / "again.jpg")
    result, _ = run(ws, folder)
    assert (result["new"], result["duplicates"]) == (3, 1)
    assert result["lists"]["duplicates"] == [["src/z/again.jpg", "001.jpg"]]
    assert len(paths_of(ws)) == 3


def test_the_same_name_in_two_folders_is_two_assets(ws: Workspace, tmp_path: Path) -> None:
    for i, name in enumerate(("a", "b")):
        fill(tmp_path / "src" / name, 1)
        (tmp_path / "src" / name / "000.jpg").write_bytes(picture(i))
    run(ws, tmp_path / "src")
    assert paths_of(ws) == ["a/000.jpg", "b/000.jpg"]


def test_faulty_files_are_put_aside_with_a_reason_and_the_rest_goes_in(ws: Workspace, tmp_path: Path) -> None:
    folder = fill(tmp_path / "src", 2)
    whole = picture(9)
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "page.jpg").write_bytes(b"<html>404</html>")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (folder / "label.txt").write_text("0 0.5 0.5 0.1 0.1")
    (folder / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(99))
    result, warned = run(ws, folder)
    assert (result["new"], result["quarantined"], result["ignored"], result["other"]) == (2, 4, 1, 1)
    reasons = {w.where.rpartition("/")[2]: w.what for w in warned}
    assert "cut short" in reasons["cut.jpg"]
    assert "empty" in reasons["empty.png"]
    assert "not a picture" in reasons["page.jpg"]
    assert "HEIC" in reasons["phone.heic"]
    assert len(browse.problems(ws)) == 4


def test_a_repaired_file_goes_in_and_a_removed_one_is_no_problem_any_more(
    ws: Workspace, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "src", 1)
    (folder / "cut.jpg").write_bytes(picture(9)[:300])
    (folder / "gone.jpg").write_bytes(b"")
    run(ws, folder)
    (folder / "cut.jpg").write_bytes(picture(9))
    (folder / "gone.jpg").unlink()
    result, _ = run(ws, folder)
    assert (result["new"], result["quarantined"]) == (1, 0)
    assert browse.problems(ws) == []


@BOTH
def test_a_changed_file_is_a_new_asset_that_takes_the_old_ones_place(ws: Workspace, tmp_path: Path) -> None:
    folder = fill(tmp_path / "src", 2)
    run(ws, folder)
    (folder / "000.jpg").write_bytes(picture(500, wh=(64, 32)))
    result, warned = run(ws, folder)
    assert (result["new"], result["changed"], result["kept"], warned) == (1, 1, 0, [])
    assert result["lists"]["changed"] == [["src/000.jpg"]]
    assert sorted(paths_of(ws)) == ["000.jpg", "001.jpg"]
    assert {i.width_px for i in browse.page(ws, Query(browse.dataset(ws, "face-3").id))} == {48, 64}


def test_a_changed_file_never_takes_the_place_of_a_labelled_one(ws: Workspace, tmp_path: Path) -> None:
    folder = fill(tmp_path / "src", 1)
    run(ws, folder)
    asset = browse.page(ws, Query(browse.dataset(ws, "face-3").id))[0].asset_id
    labelling.save(ws, labelling.load(ws, asset), (Annotation("personnel", Box(1, 1, 9, 9)),), verb="draw")
    (folder / "000.jpg").write_bytes(picture(500, wh=(64, 32)))
    for _ in range(2):  # the second time the new state is known
        before = counts(ws)
        result, warned = run(ws, folder)
        assert (result["kept"], len(warned)) == (1, 1)
        assert [i.asset_id for i in browse.page(ws, Query(browse.dataset(ws, "face-3").id))] == [asset]
        assert len(labelling.load(ws, asset).annotations) == 1
    assert counts(ws) == before


def test_a_file_that_was_only_touched_is_read_once_and_stays_the_same_asset(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "src", 2)
    run(ws, folder)
    os.utime(folder / "000.jpg", (1, 1))
    result, _ = run(ws, folder)
    assert (result["new"], result["touched"], result["duplicates"]) == (0, 1, 0)
    reads = Reads(monkeypatch)
    run(ws, folder)
    assert reads.paths == []


def test_a_known_picture_joins_a_second_dataset_without_being_read(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "src", 3)
    with zipfile.ZipFile(folder / "more.zip", "w") as z:
        z.writestr("x.jpg", picture(77))
    run(ws, folder, dataset="one")
    reads = Reads(monkeypatch)
    result, _ = run(ws, folder, dataset="two")
    assert set(reads.paths) <= {"more.zip"}  # its directory
    assert (result["new"], result["joined"]) == (0, 4)
    assert paths_of(ws, "two") == paths_of(ws, "one")


def test_an_undone_ingest_can_be_done_again(ws: Workspace, tmp_path: Path) -> None:
    folder = fill(tmp_path / "src", 3)
    with zipfile.ZipFile(folder / "more.zip", "w") as z:
        z.writestr("x.jpg", picture(77))
    result, _ = run(ws, folder)
    labelling.undo_step(ws, result["step"])
    assert paths_of(ws) == []
    again, _ = run(ws, folder)
    assert (again["new"], again["joined"]) == (0, 4)
    assert len(paths_of(ws)) == 4


@pytest.mark.parametrize("name", ("a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz"))
def test_members_of_archives_go_in_and_can_be_read_at_random(
    ws: Workspace, tmp_path: Path, name: str
) -> None:
    folder = fill(tmp_path / "src", 1)
    inner = {
        "深/一.jpg": picture(1),
        "x.png": picture(2, form="PNG"),
        "note.txt": b"hello",
        "cut.jpg": picture(3)[:99],
    }
    pack(folder / name, inner)
    result, warned = run(ws, folder)
    assert (result["new"], result["archives"], len(warned)) == (3, 1, 1)
    rows = {i.path: i.asset_id for i in browse.page(ws, Query(browse.dataset(ws, "face-3").id))}
    assert set(rows) == {"000.jpg", f"{name}!/深/一.jpg", f"{name}!/x.png"}
    with ws.db.read() as conn:
        for row in conn.execute(sa.text("SELECT path, disk_path FROM asset WHERE path LIKE '%!/%'")):
            data = media.read_bytes(os.fsencode(folder), row.path, row.disk_path)
            assert data == inner[row.path.partition("!/")[2]]
    again, _ = run(ws, folder)
    assert (again["new"], again["quarantined_before"]) == (0, 0)


def pack(path: Path, inner: dict[str, bytes]) -> None:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
            for member, data in inner.items():
                z.writestr(member, data)
        return
    mode = {".gz": "w:gz", ".tgz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as t:  # type: ignore[call-overload]
        for member, data in inner.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))


def test_pictures_of_a_packed_tar_are_copied_so_that_they_can_be_read_at_once(
    ws: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    pack(folder / "a.tar.gz", {"x.jpg": picture(1)})
    run(ws, folder)
    item = browse.page(ws, Query(browse.dataset(ws, "face-3").id))[0]
    (folder / "a.tar.gz").unlink()
    assert browse.read_bytes(ws, item.asset_id) == picture(1)


def test_a_file_list_takes_what_it_names_and_reports_what_is_not_there(ws: Workspace, tmp_path: Path) -> None:
    fill(tmp_path / "src" / "a", 3)
    fill(tmp_path / "src" / "b", 3, first=10)
    listing = tmp_path / "list.txt"
    listing.write_bytes(
        b"\xef\xbb\xbfsrc/a/000.jpg\r\n"
        + os.fsencode(tmp_path / "src/b/011.jpg")
        + b"\n\nsrc/a/missing.jpg\nsrc/a/000.jpg\n"
    )
    result, warned = run(ws, listing, file_list=True)
    assert (result["new"], result["unreadable"]) == (2, 1)
    assert "missing.jpg" in warned[0].where
    assert sorted(paths_of(ws)) == ["a/000.jpg", "b/011.jpg"]
    again, _ = run(ws, listing, file_list=True)
    assert (again["new"], again["known"]) == (0, 2)


def test_a_folder_below_a_known_root_belongs_to_that_root(ws: Workspace, tmp_path: Path) -> None:
    fill(tmp_path / "src" / "a", 2)
    run(ws, tmp_path / "src")
    result, _ = run(ws, tmp_path / "src" / "a", dataset="only-a")
    assert (result["new"], result["known"], result["joined"]) == (0, 2, 2)
    one, _ = run(ws, tmp_path / "src" / "a" / "001.jpg", dataset="only-one")
    assert (one["known"], one["joined"]) == (1, 1)


def test_nothing_is_written_to_the_sources(ws: Workspace, tmp_path: Path) -> None:
    folder = fill(tmp_path / "src", 4)
    pack(folder / "a.zip", {"x.jpg": picture(50)})

    def state() -> dict[str, tuple[int, int]]:
        return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in [folder, *folder.rglob("*")]}

    before = state()
    run(ws, folder)
    assert state() == before


def test_a_workspace_inside_its_source_is_left_out(ws: Workspace, tmp_path: Path) -> None:
    fill(tmp_path / "src", 2)
    fill(ws.folder / "thumbs", 3, first=50)
    result, _ = run(ws, tmp_path)
    assert result["new"] == 2


def test_missing_sources_and_bad_names_are_refused_before_anything_is_written(
    ws: Workspace, tmp_path: Path
) -> None:
    before = counts(ws)
    with pytest.raises(NotFound):
        run(ws, tmp_path / "nowhere")
    for name in ("", "a/b", "a@b", "../x", " a", "x\n", "C:"):
        with pytest.raises(InvalidInput):
            run(ws, tmp_path, dataset=name)
    with pytest.raises(InvalidInput):
        run(ws, dataset="d")
    assert counts(ws) == before
    assert browse.datasets(ws) == []


def test_a_cancelled_ingest_goes_on_where_it_stopped(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows in ("BATCH_ROWS", "ALONE_ROWS"):
        monkeypatch.setattr(f"app.services.enrolment.{rows}", 5)
    folder = fill(tmp_path / "src", 60)
    monkeypatch.setattr("app.services.ingest.WINDOW", 1)
    monkeypatch.setattr("app.services.ingest.SHOW_EVERY_S", 0)
    monkeypatch.setattr("app.services.intake.CHUNK_FILES", 2)
    work = ingest.run(ws, [folder], dataset="face-3")
    for event in work:
        if getattr(event, "done", 0) and len(paths_of(ws)) >= 5:
            break
    work.close()
    part = len(paths_of(ws))
    assert 5 <= part < 60
    waiting = [j for j in jobs.listing(ws) if j.state == "waiting"]
    assert [j.kind for j in waiting] == ["ingest"]
    events = list(jobs.resume(ws, waiting[0].id))
    assert dict(events[-1].result)["new"] == 60 - part  # type: ignore[union-attr]
    assert len(paths_of(ws)) == 60
    with ws.db.read() as conn:  # one step, though two runs wrote it
        assert (
            conn.execute(sa.text("SELECT count(DISTINCT step) FROM change WHERE verb = 'ingest'")).scalar()
            == 1
        )


def test_one_ingest_is_not_done_twice_at_once(ws: Workspace, tmp_path: Path) -> None:
    folder = fill(tmp_path / "src", 30)
    first = ingest.run(ws, [folder], dataset="face-3")
    next(first)
    with pytest.raises(Conflict):
        list(ingest.run(ws, [folder], dataset="face-3"))
    list(first)
    assert len(paths_of(ws)) == 30


KILLED = """
import os, signal, sys, threading
from pathlib import Path
from app.services import enrolment, ingest, workspace
enrolment.BATCH_ROWS = enrolment.ALONE_ROWS = 4
if float(sys.argv[3]) >= 0:
    threading.Timer(float(sys.argv[3]), os.kill, (os.getpid(), signal.SIGKILL)).start()
with workspace.open(sys.argv[1]) as ws:
    for event in ingest.run(ws, [Path(sys.argv[2])], dataset="face-3"):
        pass
os._exit(0)
"""


def test_a_kill_at_any_moment_loses_nothing_and_doubles_nothing(ws: Workspace, tmp_path: Path) -> None:
    folder = fill(tmp_path / "src", 150)
    pack(folder / "a.zip", {f"{i}.jpg": picture(1000 + i) for i in range(60)})
    pack(folder / "b.tar.gz", {f"{i}.jpg": picture(2000 + i) for i in range(60)})
    shutil.copy(folder / "001.jpg", folder / "twin.jpg")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def child(after_s: float) -> int:
        command = [sys.executable, "-c", KILLED, ws.location, str(folder), str(after_s)]
        return subprocess.run(command, env=environment, timeout=120, check=False).returncode

    killed = 0
    for i in range(8):
        began = time.monotonic()
        code = child(0.03 + 0.05 * i)
        assert time.monotonic() - began < 60
        killed += code == -signal.SIGKILL
        with ws.db.read() as conn:
            rows = conn.execute(
                sa.text("SELECT count(*), count(DISTINCT path), count(DISTINCT blake3) FROM asset")
            ).one()
            items = conn.execute(sa.text("SELECT count(*) FROM item WHERE died IS NULL")).scalar_one()
            state = conn.execute(
                sa.text("SELECT coalesce(sum(n), 0) FROM counter WHERE label_id = 0")
            ).scalar_one()
        assert rows[0] == rows[1] == rows[2] == items == state
        if code == 0:
            break
    assert child(-1) == 0
    assert killed
    assert len(paths_of(ws)) == 270
    assert [j for j in jobs.listing(ws) if j.state == "waiting"] == []
    again, _ = run(ws, folder)
    assert (again["new"], again["duplicates"]) == (0, 0)


@BOTH
def test_a_changed_file_waits_for_the_person_who_is_labelling_its_older_state(
    ws: Workspace, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "p", 1)
    run(ws, folder)
    with ws.db.write() as conn:
        (asset,) = conn.exec_driver_sql("SELECT id FROM asset").scalars()
        number = record.label_ids(conn, ["person"])["person"]
    (folder / "000.jpg").write_bytes(picture(77))
    done: list[dict[str, Any]] = []
    drawn = labelling.content(Annotation("person", Box(1, 1, 9, 9)), asset, number, origin="human")
    session = ws.session()
    with record.change(
        ws.db, agent_id=ws.person.id, activity_id=session, verb="draw", assets=[asset], page=asset
    ) as draft:
        thread = threading.Thread(target=lambda: done.append(run(ws, folder)[0]))
        thread.start()
        thread.join(0.7)
        draft.annotate([record.Edit(opens=drawn)])
    thread.join(20)
    assert done[0]["kept"] == 1
    assert [i.asset_id for i in browse.page(ws, Query(browse.dataset(ws, "face-3").id))] == [asset]


def test_a_source_without_one_picture_is_not_passed_over_in_silence(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("0001.jpg\n")
    said = [e for e in ingest.run(ws, [tmp_path / "list.txt"], dataset="d") if isinstance(e, Warned)]
    assert [w.what for w in said] == ["no picture was found; a list of files is read with --list"]

"""kill -9 at random moments of ingest, prelabel, edit and export: nothing acknowledged is lost, every job resumes.

A few moments each in the suite, 50 with --whole. The killed program is a process of its own; the moment is drawn from the
time that an undisturbed run takes.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest

from annotation import scenes
from app import cli
from app.services import browse, labelling, onnx, versions, workspace
from tests.support import hostile
from tests.support.sound import sound

MOMENTS, WHOLE = 3, 50
FILES = 1500
SCENES = 40


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "moment" in metafunc.fixturenames:
        metafunc.parametrize("moment", range(WHOLE if metafunc.config.getoption("--whole") else MOMENTS))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: its output, and whether it was killed or had finished before its moment."""

    out: str
    killed: bool
    seconds: float


def start(*line: str, until_s: float | None = None) -> Ended:
    """Run the program as a process; kill -9 it after `until_s`."""
    began = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, *line], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )  # fmt: skip
    killed = False
    try:
        out, _ = child.communicate(timeout=until_s)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        killed = True
        out, _ = child.communicate()
    return Ended(out, killed, time.monotonic() - began)


def moment_in(seconds: float, seed: str) -> float:
    """A moment of a run, not before the interpreter is up."""
    return random.Random(seed).uniform(0.2, 1.0) * seconds


# --- ingest ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for i in range(FILES):
        at = folder / f"{i // 100:03d}" / f"{i:05d}.jpg"
        at.parent.mkdir(exist_ok=True)
        at.write_bytes(hostile.picture(random.Random(i)))
    return folder


@pytest.fixture(scope="module")
def ingest_s(files: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    home = str(tmp_path_factory.mktemp("undisturbed") / "w")
    workspace.create(home).close()
    return start("-m", "app", "-w", home, "ingest", str(files), "--dataset", "d").seconds


def test_a_killed_ingest_resumes_to_every_file_once(
    moment: int, files: Path, ingest_s: float, tmp_path: Path
) -> None:
    home = str(tmp_path / "w")
    workspace.create(home).close()
    start(
        "-m",
        "app",
        "-w",
        home,
        "ingest",
        str(files),
        "--dataset",
        "d",
        until_s=moment_in(ingest_s, f"ingest {moment}"),
    )
    with workspace.open(home) as ws:
        sound(ws)
        before = browse.totals(ws).assets
    assert cli.main(["-w", home, "ingest", str(files), "--dataset", "d", "--json"]) == 0
    with workspace.open(home) as ws:
        sound(ws)
        with ws.db.read() as conn:
            digests = conn.exec_driver_sql("SELECT blake3 FROM asset").scalars().all()
        assert len(digests) == len({bytes(d) for d in digests}) == FILES >= before
        assert browse.dataset(ws, "d").n_assets == FILES


# --- prelabel ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(SCENES):
        cv2.imwrite(str(folder / f"{i:03d}.jpg"), scenes.draw(500_000 + i, (640, 360)).picture)
    return folder


def ready(home: str, pictures: Path) -> None:
    with workspace.create(home) as ws:
        onnx.add_demo(ws)
    assert cli.main(["-w", home, "ingest", str(pictures), "--dataset", "d", "--json"]) == 0


def found(home: str) -> Counter[tuple[str, str]]:
    """How many predictions of each label every picture has."""
    with workspace.open(home) as ws:
        sound(ws)
        rows = browse.page(ws, browse.Query(browse.dataset(ws, "d").id), limit=10_000)
        return Counter(
            (row.path, a.label) for row in rows for a in labelling.load(ws, row.asset_id).annotations
        )


PRELABEL = ("prelabel", "--dataset", "d", "--model", "demo")


@pytest.fixture(scope="module")
def undisturbed(
    pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Counter[tuple[str, str]], float]:
    home = str(tmp_path_factory.mktemp("undisturbed") / "w")
    ready(home, pictures)
    seconds = start("-m", "app", "-w", home, *PRELABEL).seconds
    return found(home), seconds


def test_a_killed_prelabel_resumes_to_every_picture_once(
    moment: int, pictures: Path, undisturbed: tuple[Counter[tuple[str, str]], float], tmp_path: Path
) -> None:
    expected, seconds = undisturbed
    assert sum(expected.values()) > SCENES
    home = str(tmp_path / "w")
    ready(home, pictures)
    start("-m", "app", "-w", home, *PRELABEL, until_s=moment_in(seconds, f"prelabel {moment}"))
    held = found(home)
    assert held <= expected
    assert cli.main(["-w", home, *PRELABEL, "--json"]) == 0
    assert found(home) == expected


# --- edit --------------------------------------------------------------------------------------------------------

EDITOR = """
import sys
from annotation.core import Annotation, Box
from app.services import browse, labelling, workspace
ws = workspace.open(sys.argv[1])
page = labelling.load(ws, browse.page(ws, browse.Query(1))[0].asset_id)
for i in range(100_000):
    drawn = Annotation(shape=Box(1.0 + i % 50, 2.0, 90.0, 80.0), label="person")
    page = labelling.save(ws, page, (*page.annotations[-20:], drawn), verb="draw")
    print(page.revision, drawn.uid, flush=True)
"""


def test_a_killed_editor_loses_no_gesture_that_was_called_saved(
    moment: int, tmp_path: Path, files: Path
) -> None:
    home = str(tmp_path / "w")
    workspace.create(home).close()
    assert cli.main(["-w", home, "ingest", str(files / "000"), "--dataset", "d", "--json"]) == 0
    ended = start("-c", EDITOR, home, until_s=random.Random(f"edit {moment}").uniform(1.0, 4.0))
    assert ended.killed, ended.out
    lines = [
        line.split() for line in ended.out.splitlines() if line.count(" ") == 1 and ended.out.endswith("\n")
    ] or [line.split() for line in ended.out.splitlines()[:-1]]
    with workspace.open(home) as ws:
        sound(ws)
        asset_id = browse.page(ws, browse.Query(1))[0].asset_id
        for revision, uid in lines[-5:]:  # what was on the page when it was called saved
            assert uid in {a.uid for a in labelling.load(ws, asset_id, revision=int(revision)).annotations}
        if lines:
            newest = browse.totals(ws).revision
            assert int(lines[-1][0]) <= newest <= int(lines[-1][0]) + 1
        page = labelling.load(ws, asset_id)
        for _ in range(min(3, len(lines))):  # the undo stack survives too
            undone = labelling.undo(ws, page)
            assert undone is not None
            page = undone


# --- export ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sealed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str], float]:
    """A workspace with version d@v1, the digests of its export, and how long that takes."""
    base = tmp_path_factory.mktemp("sealed")
    home = str(base / "w")
    ready(home, pictures)
    assert cli.main(["-w", home, *PRELABEL, "--json"]) == 0
    assert cli.main(["-w", home, "review", "accept", "--dataset", "d", "--json"]) == 0
    assert cli.main(["-w", home, "freeze", "d", "--tag", "v1", "--json"]) == 0
    with workspace.open(home) as ws:
        assert [v.ref for v in versions.listing(ws)] == ["d@v1"]
    seconds = start("-m", "app", "-w", home, *EXPORT, str(base / "out")).seconds
    return home, contents(base / "out"), seconds


EXPORT = ("export", "coco", "d@v1", "--pictures", "copy", "--accept-losses")


def contents(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_a_killed_export_leaves_all_or_nothing_and_the_next_one_is_whole(
    moment: int, sealed: tuple[str, dict[str, str], float], tmp_path: Path
) -> None:
    home, expected, seconds = sealed
    assert len(expected) > SCENES
    out = tmp_path / "exports" / "out"
    out.parent.mkdir()
    start("-m", "app", "-w", home, *EXPORT, str(out), until_s=moment_in(seconds, f"export {moment}"))
    if out.exists():
        assert contents(out) == expected
    else:
        assert cli.main(["-w", home, *EXPORT, str(out), "--json"]) == 0
        assert contents(out) == expected
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    with workspace.open(home) as ws:
        sound(ws)

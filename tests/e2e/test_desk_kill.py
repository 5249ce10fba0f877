"""kill -9 at random moments of work at the desk: what the status line had called saved is in the record, exactly.

One workspace from beginning to end: every desk goes on where the killed one before it stopped. A few kills in the suite,
200 with --whole. The moment is uniform over a run; a quarter of a run is its start, however long a busy machine takes for
that, the rest begins when the first picture can be worked on.
"""

from __future__ import annotations

import os
import random
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from annotation.core import Box
from app.services import browse, ingest, labelling, workspace
from app.services.workspace import Workspace
from tests.app.desktop.conftest import draw_pictures, predict
from tests.e2e.desk_worker import WEIGHTS, digest
from tests.support.sound import sound

pytestmark = pytest.mark.gui
KILLS, WHOLE = 6, 200
PICTURES = 8
START, WORK_S = 0.25, 3.0
WORKER = Path(__file__).with_name("desk_worker.py")


@dataclass(frozen=True, slots=True)
class Shown:
    """What stood on the screen beside "Saved r`rev`": a picture and the digest of its annotations, "-" for none."""

    rev: int
    asset_id: int
    digest: str
    verb: str


@dataclass(frozen=True, slots=True)
class Run:
    """A desk from its start to its kill: what it showed, what it said on stderr, and how long until it was at work."""

    shown: tuple[Shown, ...]
    said: str
    start_s: float | None
    ended: bool


def run(place: Path, seed: int, *, start_s: float = 60.0, work_s: float = 0.0) -> Run:
    """Work at the desk; kill it after `start_s`, or, once a picture can be worked on before that, `work_s` later."""
    log = place.parent / "desk.log"
    with log.open("wb") as err:
        child = subprocess.Popen(
            [sys.executable, str(WORKER), str(place), str(seed)],
            env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "LAMPROOM_PERSON": "07"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, start_new_session=True,
        )  # fmt: skip
    assert child.stdout is not None
    began, started, got, ended = time.monotonic(), None, b"", False
    end = began + start_s
    with selectors.DefaultSelector() as wait:
        wait.register(child.stdout, selectors.EVENT_READ)
        while (left := end - time.monotonic()) > 0:
            if wait.select(left):
                part = os.read(child.stdout.fileno(), 65536)
                if not part:
                    ended = True
                    break
                got += part
                if started is None and any(s.digest != "-" for s in _shown(got)):
                    started = time.monotonic()
                    end = started + work_s
    os.killpg(child.pid, signal.SIGKILL)
    got += child.stdout.read()
    child.wait(10)
    child.stdout.close()
    return Run(_shown(got), log.read_text(errors="replace"), started and started - began, ended)


def _shown(got: bytes) -> tuple[Shown, ...]:
    found = []
    for line in got[: got.rfind(b"\n") + 1].decode().splitlines():
        word, rev, asset_id, seen, verb = line.split()
        assert word == "saved"
        found.append(Shown(int(rev), int(asset_id), seen, verb))
    return tuple(found)


def furnish(place: Path) -> Path:
    """A workspace of a few pictures, all with predictions."""
    pictures = draw_pictures(place / "pictures", PICTURES)
    with workspace.create(str(place / "W"), person="07") as ws:
        for _ in ingest.run(ws, [pictures], dataset="face"):
            pass
        more_predictions(ws)
    return place / "W"


def more_predictions(ws: Workspace) -> None:
    """Every picture without a prediction gets some: there is always something to accept and to reject."""
    for asset_id in range(1, PICTURES + 1):
        if not any(a.origin == "model" for a in labelling.load(ws, asset_id).annotations):
            boxes = [Box(20.0 + 60 * i, 40.0, 70.0 + 60 * i, 120.0) for i in range(6)]
            predict(ws, asset_id, tuple(("helmet", box, 0.9 - 0.1 * i) for i, box in enumerate(boxes)))


def untrue(ws: Workspace, shown: list[Shown]) -> list[str]:
    """States that stood on the screen as saved and are not what the record holds at that revision."""
    kept: dict[tuple[int, int], str] = {}
    wrong = []
    for s in shown:
        if s.digest == "-":
            continue
        at = (s.asset_id, s.rev)
        if at not in kept:
            kept[at] = digest(labelling.load(ws, s.asset_id, revision=s.rev).annotations)
        if kept[at] != s.digest:
            wrong.append(f"picture {s.asset_id} at r{s.rev}, shown after {s.verb}")
    return wrong


def undo_works(ws: Workspace, asset_id: int) -> None:
    """One step back and forth again leads to the same page."""
    page = labelling.load(ws, asset_id)
    back = labelling.undo(ws, page)
    if back is not None:
        assert digest(back.annotations) != digest(page.annotations)
        again = labelling.redo(ws, back)
        assert again is not None
        assert digest(again.annotations) == digest(page.annotations)


def test_nothing_the_status_line_called_saved_is_lost_by_a_kill(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    kills = WHOLE if pytestconfig.getoption("--whole") else KILLS
    rng = random.Random("kill")
    place = furnish(tmp_path)
    usual = run(place, 0, work_s=WORK_S)
    assert usual.start_s is not None, usual.said
    everything, at_work = list(usual.shown), 0
    for n in range(1, kills + 1):
        moment = rng.random()
        if moment < START:
            done = run(place, n, start_s=usual.start_s * moment / START)
        else:
            done = run(place, n, work_s=WORK_S * (moment - START) / (1 - START))
            assert done.start_s is not None, done.said
        told = f"kill {n}, {moment:.0%} into the run"
        assert not done.ended, f"{told}: the desk ended by itself: {done.said}"
        assert "Traceback" not in done.said, f"{told}: {done.said}"
        at_work += done.start_s is not None
        everything += done.shown
        with workspace.open(str(place), person="07") as ws:
            sound(ws)
            newest = browse.totals(ws).revision
            assert newest >= max((s.rev for s in everything), default=0), told
            assert untrue(ws, list(done.shown)) == [], told
            undo_works(ws, next((s.asset_id for s in reversed(done.shown) if s.asset_id), 1))
            more_predictions(ws)
    with workspace.open(str(place), person="07") as ws:
        assert untrue(ws, everything) == []  # no later kill touched what an earlier one had left
        newest = browse.totals(ws).revision
    verbs = Counter(s.verb for s in everything)
    print(
        f"{kills} kills, {at_work} of them at work; {len(everything)} states called saved, r{newest}; {dict(verbs)}"
    )
    assert len(everything) > 5 * kills
    assert set(WEIGHTS) <= set(verbs) or kills < WHOLE

"""The road at the desk: a version received by a key that was compared, receipts, disks packed and unpacked, work at a hub."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from app.desktop.carry import jobs
from app.desktop.carry.jobs import JobsAtHubsSheet, SubmitSheet
from app.desktop.carry.parts import Fingerprint
from app.desktop.carry.receiving import FOLDER, ReceiptsSheet, ReceiveSheet
from app.desktop.carry.shuttle import ShuttleSheet
from app.services import gate, hubjobs, hubrun, hubs, ingest, publish, receipts, shuttle, versions, workspace
from tests.app.desktop.conftest import Hand, draw_pictures
from tests.app.desktop.test_access import nameless
from tests.app.desktop.test_hubs import press
from tests.app.desktop.test_leaving import ended, opened, texts

SPEC = """
name = "train-helmet"
command = [{program}, "-c", "import pathlib, sys; pathlib.Path(sys.argv[1], 'metrics.json').write_text('1')", "{{out}}"]
[[outputs]]
path = "metrics.json"
kind = "metrics"
[resources]
cpus = 1
memory_mb = 64
minutes = 120
"""


def frozen(hand: Hand) -> None:
    assert hand.desk.ws is not None
    list(versions.build(hand.desk.ws, versions.freeze(hand.desk.ws, "face", tag="v1")))
    hand.desk.refresh()
    hand.qtbot.waitUntil(lambda: hand.desk.dataset is not None and hand.desk.dataset.last_tag == "v1")


def test_a_version_is_received_once_its_key_was_compared_and_its_dataset_opens(
    hand: Hand, tmp_path: Path
) -> None:
    with workspace.create(str(tmp_path / "sender"), person="张工") as ws:
        list(ingest.run(ws, [draw_pictures(tmp_path / "theirs", 2, (96, 72))], dataset="gallery-7"))
        list(publish.run(ws, versions.freeze(ws, "gallery-7", tag="v1").ref, tmp_path / "hub"))
    sheet = opened(hand, "receive", ReceiveSheet)
    assert nameless(sheet) == []
    sheet.where.button(FOLDER).click()
    sheet.folder.setText(str(tmp_path / "hub"))
    hand.qtbot.waitUntil(lambda: sheet.compared is not None)
    assert nameless(sheet) == []
    assert sheet.found is not None and (sheet.found.version, sheet.found.assets) == ("gallery-7@v1", 2)
    (mark,) = sheet.findChildren(Fingerprint)
    assert sheet.found.key in mark.accessibleName() and not sheet.verb.isEnabled()
    sheet.compared.click()
    assert sheet.verb.isEnabled()
    sheet.go()
    ended(hand)
    hand.qtbot.waitUntil(lambda: hand.desk.dataset is not None and hand.desk.dataset.name == "gallery-7")
    assert hand.window.place == "gallery"

    hand.window.sheets.hubs()
    press(hand, hand.window.sheets.open, "Receipts…")
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, ReceiptsSheet))
    list_ = hand.window.sheets.open
    hand.qtbot.waitUntil(lambda: "gallery-7@v1" in texts(list_))
    assert nameless(list_) == [] and receipts.kept(hand.desk.ws, "gallery-7@v1") != []
    hand.qtbot.waitUntil(lambda: "2 pictures, 0 objects" in texts(list_))


def test_a_version_goes_over_disks_into_a_hub_folder(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = partial(shuttle.pack, most=1_200_000)
    monkeypatch.setattr(shuttle, "pack", small)
    frozen(hand)
    sheet = opened(hand, "shuttle", ShuttleSheet)
    assert nameless(sheet) == [] and not sheet.verb.isEnabled()
    a, b = (tmp_path / name for name in "ab")
    for disk in (a, b):
        disk.mkdir()
    sheet.disks.edit.setText(str(a))
    sheet.disks.edit.returnPressed.emit()
    assert sheet.disks.paths == [a]
    hand.qtbot.waitUntil(lambda: "free" in texts(sheet.disks))
    sheet.go()
    ended(hand)
    hand.qtbot.waitUntil(lambda: "full and finished: carry them off" in texts(sheet))
    hand.qtbot.waitUntil(lambda: "face@v1, disk 1" in texts(sheet.disks))
    assert sheet.verb.text() == "Pack on"
    sheet.disks.take(a)
    sheet.disks.add(b)
    sheet.go()
    ended(hand, 2)
    hand.qtbot.waitUntil(lambda: "All of it is on 2 disks" in texts(sheet))
    sheet.mode.button("unpack").click()
    sheet.into.setText(str(tmp_path / "hub"))
    sheet.go()
    ended(hand, 3)
    hand.qtbot.waitUntil(lambda: "put in the next disk" in texts(sheet))
    sheet.disks.take(b)
    sheet.disks.add(a)
    sheet.go()
    ended(hand, 4)
    hand.qtbot.waitUntil(lambda: "Published there now: face@v1" in texts(sheet))


def ordered(hand: Hand, tmp_path: Path) -> None:
    frozen(hand)
    ws = hand.desk.ws
    assert ws is not None
    hubs.add_folder(ws, "大同", tmp_path / "hub")
    hubs.note(ws, "大同", price_hour=12.0, currency="CNY", capacity="8 x A800")
    list(publish.run(ws, "face@v1", "大同"))
    (tmp_path / "job.toml").write_text(SPEC.format(program=repr(sys.executable)), encoding="utf-8")
    (tmp_path / "scratch").mkdir()


def test_work_is_ordered_with_an_estimate_followed_and_collected(hand: Hand, tmp_path: Path) -> None:
    ordered(hand, tmp_path)
    sheet = opened(hand, "hubjobs.submit", SubmitSheet)
    assert nameless(sheet) == [] and not sheet.verb.isEnabled()
    (tmp_path / "bad.toml").write_text("name = 3", encoding="utf-8")
    sheet.file.setText(str(tmp_path / "bad.toml"))
    hand.qtbot.waitUntil(lambda: "not a job's description" in sheet.fault.text())
    sheet.file.setText(str(tmp_path / "job.toml"))
    sheet.scratch.setText(str(tmp_path / "scratch"))
    sheet.runner.button("files").click()
    hand.qtbot.waitUntil(lambda: "24.00 CNY · 8 x A800" in sheet.needs.text())
    assert "train-helmet" in sheet.content.toPlainText() and "holds all of it" in sheet.needs.text()
    hand.qtbot.waitUntil(sheet.verb.isEnabled)
    gate.set_tag(hand.desk.ws, "asset", "2", gate.Tag(purposes=("display",)))
    sheet.version.activated.emit(0)
    hand.qtbot.waitUntil(lambda: [r.n for r in sheet.gate.reasons] == [1])
    sheet.go()
    hand.qtbot.waitUntil(lambda: "its policy tags keep it in" in sheet.fault.text())
    sheet.reason.setText("agreed with the owner, letter 14")
    sheet.go()
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, JobsAtHubsSheet), timeout=20_000)
    shelf = hand.window.sheets.open
    hand.qtbot.waitUntil(lambda: [j.state for j in shelf.jobs] == ["written"])
    list(hubrun.run(Path(shelf.jobs[0].folder)))
    shelf.follow()
    hand.qtbot.waitUntil(lambda: [j.state for j in shelf.jobs] == ["finished"])
    assert nameless(shelf) == []
    press(hand, shelf, "Collect the results")
    hand.qtbot.waitUntil(lambda: [j.state for j in shelf.jobs] == ["collected"], timeout=20_000)
    assert [j.state for j in hubjobs.listing(hand.desk.ws)] == ["collected"]


def test_a_job_that_waits_is_cancelled_from_the_list(hand: Hand, tmp_path: Path) -> None:
    ordered(hand, tmp_path)
    told = hubjobs.read_spec(tmp_path / "job.toml")
    list(hubjobs.submit(hand.desk.ws, "face@v1", "大同", told, scratch=tmp_path / "scratch", runner="files"))
    shelf = opened(hand, "hubjobs", JobsAtHubsSheet)
    hand.qtbot.waitUntil(lambda: [j.state for j in shelf.jobs] == ["written"])
    press(hand, shelf, "Cancel the job")
    hand.qtbot.waitUntil(lambda: [j.state for j in shelf.jobs] == ["cancelled"])


@pytest.mark.parametrize(("language", "theme"), (("en", "light"), ("zh_CN", "dark")))
def test_the_manual_shows_how_work_is_ordered(
    tmp_path: Path,
    language: str,
    theme: str,
    photograph: Callable[..., None],
    request: pytest.FixtureRequest,
) -> None:
    if not request.config.getoption("--manual"):
        photograph(None, f"hubjobs-{language[:2]}.png")  # there, and small; no window is made for that
        return
    hand: Hand = request.getfixturevalue("hand")
    ordered(hand, tmp_path)
    hand.desk.set_language(language)
    hand.desk.set_theme(theme)
    jobs.submit(hand.window)
    hand.qtbot.waitUntil(lambda: isinstance(hand.window.sheets.open, SubmitSheet))
    sheet = hand.window.sheets.open
    told = """name = "train-helmet"
purpose = "training"
command = ["python", "train.py", "--data", "{data}", "--out", "{out}"]

[resources]
gpus = 1
minutes = 240

[[outputs]]
path = "model.onnx"
kind = "model"
"""
    (tmp_path / "job.toml").write_text(told, encoding="utf-8")
    sheet.file.setText(str(tmp_path / "job.toml"))
    hand.qtbot.waitUntil(lambda: "CNY" in sheet.needs.text())
    for edit, shown in ((sheet.file, "train.toml"), (sheet.scratch, "/shared/jobs")):
        edit.blockSignals(True)
        edit.setText(shown)
    sheet._check()
    photograph(sheet.card, f"hubjobs-{language[:2]}.png")

"""How machine work goes: stages and bottleneck, pause and resume without loss, the report, undo as one step, the list of jobs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton

from app.desktop import actions
from app.desktop.models.machine import JobsSheet, ReportSheet
from app.desktop.models.stages import StageBar
from app.desktop.tasks import Task
from app.services import browse, jobs, onnx, orders, prelabel
from tests.app.desktop.conftest import Hand
from tests.app.desktop.test_access import nameless
from tests.app.desktop.test_models import press, write


def begin(hand: Hand, **asked) -> Task:
    """A pre-label job as a task."""
    ws = hand.desk.ws
    assert ws is not None
    if not onnx.listing(ws):
        onnx.add(ws, write(Path(ws.folder).parent, metadata={"names": "{0: 'person', 1: 'helmet'}"}))
    return hand.desk.start(lambda: "Pre-label", lambda: prelabel.run(ws, "face", "two", **asked))


def ended(hand: Hand, task: Task) -> None:
    hand.qtbot.waitUntil(lambda: not task.alive, timeout=60_000)


def predicted(hand: Hand) -> int:
    assert hand.desk.ws is not None
    return browse.count(hand.desk.ws, browse.Query(1, where="model:two"))


def report(hand: Hand, task: Task) -> ReportSheet:
    hand.window.sheets.report(task)
    sheet = hand.window.sheets.open
    assert isinstance(sheet, ReportSheet)
    return sheet


def test_the_report_names_rate_stages_bottleneck_provider_and_problems(hand: Hand) -> None:
    task = begin(hand)
    ended(hand, task)
    hand.window.toggle_activity()
    card = hand.window.activity._cards[0]
    press(hand, card, "Report")
    sheet = hand.window.sheets.open
    assert isinstance(sheet, ReportSheet)
    assert sheet.figures["pictures"].text() == "5 / 5" and sheet.figures["predictions"].text() == "10"
    assert float(sheet.figures["rate"].text()) > 0
    assert (
        set(sheet.stages.busy) <= {"read", "decode", "prepare", "run", "boxes", "wait"}
        and "%" in sheet.stages.accessibleName()
    )
    assert "It ran on: CPU" in sheet.told.text() and "Bottleneck: " in sheet.told.text()
    assert nameless(sheet) == []


def test_all_of_a_jobs_predictions_are_taken_back_as_one_step_from_its_report(hand: Hand) -> None:
    task = begin(hand)
    ended(hand, task)
    assert predicted(hand) == 5
    sheet = report(hand, task)
    press(hand, sheet, "Take all of it back")
    hand.qtbot.waitUntil(lambda: predicted(hand) == 0, timeout=20_000)
    assert not sheet.undo.isVisibleTo(sheet)


def test_a_paused_job_goes_on_where_it_stopped(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, reached, never = threading.Event(), threading.Event(), threading.Event()
    real = browse.bytes_at

    def slowly(folder, place):
        if place.path.endswith("003.png"):
            reached.set()
            gate.wait(20)
            never.wait(0.2)  # news is told ten times a second at most
        if place.path.endswith("004.png"):
            never.wait(0.5)  # the stop is heard before this one is there
        return real(folder, place)

    monkeypatch.setattr(browse, "bytes_at", slowly)
    monkeypatch.setattr(prelabel, "COMMIT_EVERY_S", 0.0)
    task = begin(hand, threads=1)
    sheet = report(hand, task)
    hand.qtbot.waitUntil(reached.is_set, timeout=20_000)
    hand.qtbot.waitUntil(lambda: sheet.pause.isVisibleTo(sheet))
    press(hand, sheet, "Pause")
    gate.set()
    ended(hand, task)
    assert task.state == "cancelled" and predicted(hand) < 5
    assert jobs.listing(hand.desk.ws)[0].state == "waiting"
    hand.qtbot.waitUntil(lambda: sheet.go_on.isVisibleTo(sheet))
    press(hand, sheet, "Resume")
    assert sheet.task is not task
    ended(hand, sheet.task)
    assert predicted(hand) == 5 and [j.state for j in jobs.listing(hand.desk.ws) if j.kind == "prelabel"] == [
        "finished"
    ]
    assert sheet.figures["pictures"].text() == "5 / 5"


def test_the_list_of_jobs_resumes_ends_and_takes_back(hand: Hand) -> None:
    ended(hand, begin(hand))
    for score in (0.5, 0.95):
        ended(hand, begin(hand, later=True, score=score, course=orders.Course(5, "")))
    hand.window.trigger(actions.BY_ID["jobs"])
    sheet = hand.window.sheets.open
    assert isinstance(sheet, JobsSheet)
    hand.qtbot.waitUntil(lambda: len(sheet.rows) == 4 and sheet.verb.isEnabled(), timeout=20_000)
    assert nameless(sheet) == []
    hand.qtbot.waitUntil(
        lambda: any("priority 5" in w.text() for w in sheet.findChildren(QLabel) if w.isVisibleTo(sheet))
    )
    press(hand, sheet, "End it for good")  # the newest
    hand.qtbot.waitUntil(
        lambda: [r.state for r in sheet.rows] == ["cancelled", "waiting", "finished", "finished"]
    )
    hand.qtbot.waitUntil(
        lambda: any(b.text() == "Resume" and b.isVisibleTo(sheet) for b in sheet.findChildren(QPushButton))
    )
    press(hand, sheet, "Resume")
    follow = hand.window.sheets.open
    assert isinstance(follow, ReportSheet)
    ended(hand, follow.task)
    hand.qtbot.waitUntil(lambda: follow.figures["predictions"].text() == "5")


def test_do_what_waits_works_the_queue_off(hand: Hand) -> None:
    ended(hand, begin(hand, later=True))
    assert predicted(hand) == 0
    hand.window.sheets.jobs()
    sheet = hand.window.sheets.open
    assert isinstance(sheet, JobsSheet)
    hand.qtbot.waitUntil(sheet.verb.isEnabled)
    hand.qtbot.mouseClick(sheet.verb, Qt.MouseButton.LeftButton)
    follow = hand.window.sheets.open
    assert isinstance(follow, ReportSheet)
    ended(hand, follow.task)
    assert predicted(hand) == 5


def test_the_bar_of_stages_hides_without_figures_and_says_them_otherwise(qtbot) -> None:
    bar = StageBar()
    qtbot.addWidget(bar)
    bar.show_busy(None)
    assert bar.isHidden()
    bar.show_busy({"decode": 0.6, "run": 0.3, "wait": 0.001, "strange": 0.1})
    assert not bar.isHidden() and "60 %" in bar.accessibleName()
    bar.resize(300, 46)
    bar.grab()

"""The program at fault: out of a slot, a thread, a paint; the work stays, one line says so, the report holds no data."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path

import pytest
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from app import log as logs
from app.desktop import faults
from app.desktop.faults import Faults
from tests.app.desktop.conftest import Hand


@pytest.fixture
def caught(qapp, capsys):
    """Faults as `main.run` installs them; what was told."""
    told: list[tuple[str, str]] = []
    made = Faults(lambda line, report: told.append((line, report)), lambda: told.append(("stop", "")))
    before = made.install()
    yield made, told, before
    made.remove()


def fail() -> None:
    raise ValueError("cannot use '安全帽' of /data/secret/井下 001.png")


def test_a_fault_in_a_thread_is_told_and_the_process_goes_on(caught) -> None:
    _, told, _ = caught
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert told[0][0].startswith("ValueError")


def test_a_fault_in_a_slot_reaches_the_window_which_stays_usable(hand: Hand, caught, monkeypatch) -> None:
    _, told, _ = caught
    hand.open(1)
    # pytest-qt puts its own hook over ours while a test runs; a slot's exception is given to ours by hand.
    try:
        fail()
    except ValueError as fault:
        sys.excepthook(type(fault), fault, fault.__traceback__)
    hand.window.tell_fault(*told[0])
    assert hand.window._bar.isVisible()
    assert "Your work is saved" in hand.window._bar.text.text()
    hand.key("r")
    hand.drag(50, 60, 150, 140)
    assert len(hand.stored()) == 1
    hand.window._bar._copy()
    assert "ValueError" in QApplication.clipboard().text()
    hand.window._bar._save()
    assert "ValueError" in Path(hand.window._bar.path).read_text(encoding="utf-8")


def test_a_fault_of_a_timer_of_qt_is_caught_by_the_same_hook(caught, qtbot) -> None:
    with qtbot.captureExceptions() as exceptions:
        QTimer.singleShot(0, fail)
        qtbot.waitUntil(lambda: bool(exceptions))
    assert exceptions[0][0] is ValueError


def test_the_report_holds_no_label_no_path_and_no_chinese(caught) -> None:
    _, told, _ = caught
    logs.start()
    logging.getLogger("lamproom.desk").error("reading %s of 'helmet'", "/data/secret/井下 001.png")
    try:
        fail()
    except ValueError as fault:
        sys.excepthook(type(fault), fault, fault.__traceback__)
    logs.stop()
    report = told[0][1]
    assert "reading" in report  # the log's end is there
    for private in ("安全帽", "helmet", "secret", "井下", str(Path.home())):
        assert private not in report, private
    assert "test_faults.py" in report  # the stack is there
    assert "Python 3" in report


def test_a_crash_is_told_at_the_next_start_and_a_clean_end_leaves_nothing(qapp) -> None:
    crash = faults.folder() / "crash.txt"
    crash.parent.mkdir(parents=True)
    crash.write_text("Fatal Python error: Segmentation fault\n")
    made = Faults(lambda *_: None, lambda: None)
    assert "Segmentation fault" in made.install()
    made.remove()
    assert not crash.exists()
    assert [p.name[:6] for p in faults.folder().iterdir()] == ["crash-"]
    assert made.install() == ""
    made.remove()


def test_ctrl_c_closes_and_is_no_fault(caught) -> None:
    _, told, _ = caught
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert told == [("stop", "")]

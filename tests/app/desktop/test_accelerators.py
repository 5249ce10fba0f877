"""The list of accelerators: each provider with its true state, its test, what it lacks, and the order jobs try them in."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from annotation.errors import Unavailable
from app.desktop.accelerators import SIGNS, Accelerators
from app.desktop.widgets import Pill
from app.desktop.window import Window
from app.services import accelerators, doctor
from app.services.doctor import Finding
from models.providers import PROVIDERS
from models.selftest import Trial
from tests.app.desktop.conftest import Hand

W = TypeVar("W", bound=QWidget)
NOW = 1_795_000_000
BUILD = "onnxruntime-gpu 1.31.1"
GOOD = Trial(
    "cpu",
    "passed",
    build=BUILD,
    bits=23,
    apart=0.0,
    ms=3.1,
    cpu_ms=3.1,
    device="Intel(R) Xeon(R) Silver 4410Y",
    date=NOW,
)
MISSING = Trial(
    "cuda",
    "missing",
    build=BUILD,
    missing=("libcublasLt.so.13", "libcudnn.so.9"),
    device="NVIDIA L4",
    driver="580.95",
    date=NOW,
)


class Machine:
    """Stands for this computer: what is installed and what a test finds."""

    def __init__(self) -> None:
        self.here = {"cpu": BUILD, "cuda": BUILD, "tensorrt": BUILD}
        self.kept = {"cpu": GOOD, "cuda": MISSING}
        self.finds: dict[str, Trial] = {}
        self.hold = threading.Event()
        self.hold.set()
        self.began = threading.Event()
        self.tested: list[str] = []
        self.finding = Finding("onnxruntime", "good", BUILD)

    def listing(self) -> list[accelerators.Accelerator]:
        return [accelerators.stand(name, self.here, self.kept) for name in PROVIDERS]

    def test(self, name: str, **_: object) -> Trial:
        self.began.set()
        assert self.hold.wait(10)
        self.tested.append(name)
        found = self.finds.get(name, dataclasses.replace(GOOD, provider=name, date=NOW + 60))
        self.kept[name] = found
        return found


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine()
    monkeypatch.setattr(accelerators, "listing", found.listing)
    monkeypatch.setattr(accelerators, "test", found.test)
    monkeypatch.setattr(accelerators.sys, "executable", "python3")
    monkeypatch.setattr(accelerators, "platform", lambda: "linux-x86_64")
    monkeypatch.setattr(doctor, "runtime", lambda: found.finding)
    return found


@pytest.fixture
def sheet(hand: Hand, machine: Machine, qtbot: QtBot) -> Iterator[Accelerators]:
    hand.window.show_accelerators()
    found = hand.window.findChild(Accelerators)
    assert isinstance(found, Accelerators)
    qtbot.waitUntil(lambda: bool(found._rows))
    yield found
    found.finish()


def shown(sheet: Accelerators, kind: type[W]) -> list[W]:
    """What is on the sheet now; rows that were just made are laid out first."""
    for _ in range(3):
        QApplication.processEvents()
    return [one for one in sheet.card.findChildren(kind) if one.isVisible()]


def pressed(sheet: Accelerators, name: str) -> None:
    button = next(b for b in shown(sheet, QPushButton) if b.accessibleName() == name)
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def texts_of(sheet: Accelerators) -> list[str]:
    return [one.text() for one in shown(sheet, QLabel)]


def pills(sheet: Accelerators) -> list[str]:
    return [one.text() for one in shown(sheet, Pill)]


def test_every_provider_stands_there_with_its_true_state(sheet: Accelerators, hand: Hand) -> None:
    hand.desk.set_language("en")
    said = texts_of(sheet)
    for row in PROVIDERS.values():
        assert any(row.title in text for text in said), row.title
    assert pills(sheet)[:4] == [BUILD, "Runs here", "Does not run", "Never run on this hardware"]
    assert any("libcublasLt.so.13, libcudnn.so.9" in text for text in said)
    assert any("onnxruntime-gpu[cuda,cudnn]" in text for text in said)
    assert any("NVIDIA L4 · 580.95" in text for text in said)
    assert any("DirectML" in text and "Core ML" in text for text in said)


def test_a_test_runs_beside_the_desk_and_its_finding_replaces_the_state(
    sheet: Accelerators, hand: Hand, machine: Machine, qtbot: QtBot
) -> None:
    hand.desk.set_language("en")
    machine.hold.clear()
    pressed(sheet, "Test NVIDIA TensorRT")
    assert "Being tested…" in pills(sheet)
    pressed(sheet, "Use NVIDIA TensorRT")  # the desk is not blocked meanwhile
    machine.hold.set()
    qtbot.waitUntil(lambda: machine.tested == ["tensorrt"] and not sheet._waiting)
    assert pills(sheet).count("Runs here") == 2


def test_all_installed_ones_are_tested_one_after_the_other(
    sheet: Accelerators, machine: Machine, qtbot: QtBot
) -> None:
    sheet.test_all()
    sheet.test("cpu")  # a second press does not test twice
    qtbot.waitUntil(lambda: not sheet._waiting)
    assert machine.tested == ["cpu", "cuda", "tensorrt"]


def test_the_order_is_chosen_here_said_and_kept(sheet: Accelerators, hand: Hand, qtbot: QtBot) -> None:
    hand.desk.set_language("en")
    assert sheet.order.text() == "Jobs run on CPU"
    assert "Nothing else is ever tried" in sheet.about.text()
    pressed(sheet, "Use NVIDIA CUDA")
    pressed(sheet, "Use CPU")
    pressed(sheet, "Use CPU")
    assert hand.desk.values["provider"] == "cuda,cpu"
    assert sheet.order.text() == "Jobs run on NVIDIA CUDA → CPU"
    assert "passed over is said and recorded" in sheet.about.text()
    assert "CUDA → CPU" in hand.window.provider.text()
    pressed(sheet, "Use NVIDIA CUDA")
    pressed(sheet, "Use CPU")  # the last one stays
    assert hand.desk.values["provider"] == "cpu"


def test_known_faults_open_with_their_remedies(sheet: Accelerators, hand: Hand) -> None:
    hand.desk.set_language("en")
    known = PROVIDERS["cuda"].known[0]
    assert known.said not in texts_of(sheet)
    pressed(sheet, "Known faults of NVIDIA CUDA")
    assert known.said[1:] in [text[1:] for text in texts_of(sheet)]
    assert any(known.remedy in text for text in texts_of(sheet))


def test_two_builds_in_one_folder_are_told_with_the_commands_to_copy(
    hand: Hand, machine: Machine, qtbot: QtBot
) -> None:
    hand.desk.set_language("en")
    machine.finding = Finding(
        "onnxruntime", "bad", "several builds share one folder: onnxruntime 1.31.1, onnxruntime-gpu 1.31.0; what lies there is onnxruntime 1.31.1",
        "run: python -m pip uninstall -y onnxruntime onnxruntime-gpu (without a network add --no-index --find-links FOLDER)",
    )  # fmt: skip
    hand.window.show_accelerators()
    sheet = hand.window.findChild(Accelerators)
    assert isinstance(sheet, Accelerators)
    qtbot.waitUntil(lambda: sheet.banner.isVisible())
    pressed(sheet, "Copy")
    assert "uninstall -y onnxruntime onnxruntime-gpu" in QApplication.clipboard().text()
    sheet.finish()


def test_a_runtime_that_does_not_load_is_a_listed_problem_and_the_banner_says_why(
    hand: Hand, machine: Machine, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    def broken() -> list[accelerators.Accelerator]:
        raise Unavailable("onnxruntime cannot be loaded: its module is empty")

    monkeypatch.setattr(accelerators, "listing", broken)
    machine.finding = Finding(
        "onnxruntime", "bad", "half removed: onnxruntime 1.31.1 is listed, but its module is empty", "run: x"
    )
    hand.window.show_accelerators()
    sheet = hand.window.findChild(Accelerators)
    assert isinstance(sheet, Accelerators)
    qtbot.waitUntil(lambda: sheet.banner.isVisible())
    assert not sheet.all.isEnabled()
    sheet.finish()


def test_it_is_closed_with_escape_while_a_test_runs_and_nothing_breaks(
    sheet: Accelerators, hand: Hand, machine: Machine, qtbot: QtBot
) -> None:
    machine.hold.clear()
    sheet.test("cuda")
    qtbot.waitUntil(machine.began.is_set)
    hand.key(Qt.Key.Key_Escape, on=sheet)
    assert sheet._gone
    machine.hold.set()
    qtbot.waitUntil(lambda: machine.tested == ["cuda"])
    qtbot.waitUntil(lambda: not any(t.name.startswith("lamproom-selftest") for t in threading.enumerate()))


def test_every_button_has_a_name_and_is_reached_by_tab(sheet: Accelerators) -> None:
    buttons = shown(sheet, QPushButton)
    assert len(buttons) > 8
    assert all(b.accessibleName() for b in buttons)
    assert all(b.focusPolicy() & Qt.FocusPolicy.TabFocus for b in buttons if b.isEnabled())
    assert set(SIGNS) == {"ready", "note", "fault", "stale", "never", "absent"}


def test_pictures_of_the_accelerators(
    sheet: Accelerators, hand: Hand, machine: Machine, qtbot: QtBot, photograph: Callable[..., None]
) -> None:
    window: Window = hand.window
    hand.desk.set_language("zh_CN")
    hand.desk.put_setting("provider", "cuda,cpu")
    machine.here["openvino"] = "onnxruntime-gpu 1.31.1 + onnxruntime-ep-openvino 1.8.1"
    machine.kept["openvino"] = dataclasses.replace(
        GOOD, provider="openvino", build=machine.here["openvino"], apart=4.8e-7, ms=2.5, cpu_ms=2.8
    )
    sheet._read()
    qtbot.waitUntil(lambda: sum(r.state == "ready" for r in sheet._rows) == 2)
    photograph(window, "accelerators-zh.png")
    hand.desk.set_language("en")
    hand.desk.set_theme("light")
    pressed(sheet, "Known faults of NVIDIA CUDA")
    photograph(window, "accelerators-en.png")

"""Rules of the self-check: it names what is wrong and the remedy, and never fails itself."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from annotation.errors import LamproomError
from app import cli, settings
from app.services import accelerators, display, doctor, workspace
from models import selftest, session


def states(found: list[doctor.Finding]) -> dict[str, str]:
    return {f.name: f.state for f in found}


def test_this_machine_and_a_fresh_workspace_are_in_order(tmp_path: Path) -> None:
    workspace.create(str(tmp_path / "w")).close()
    found = doctor.examine(str(tmp_path / "w"))
    assert [f for f in found if f.state == "bad"] == []
    assert {
        "python",
        "onnxruntime",
        "opencv",
        "provider cpu",
        "settings",
        "disk",
        "workspace",
        "record",
    } <= set(states(found))


def test_a_workspace_that_is_not_there_is_a_finding(tmp_path: Path) -> None:
    assert states(doctor.examine(str(tmp_path / "none")))["workspace"] == "bad"


def test_a_damaged_record_is_a_finding_and_the_exit_code_is_3(tmp_path: Path) -> None:
    workspace.create(str(tmp_path / "w")).close()
    record = tmp_path / "w/record.db"
    data = bytearray(record.read_bytes())
    data[8192 * 3 : 8192 * 6] = b"\xaa" * (8192 * 3)
    record.write_bytes(data)
    assert "bad" in states(doctor.examine(str(tmp_path / "w"))).values()
    assert cli.main(["-w", str(tmp_path / "w"), "doctor", "--json"]) == 3


def test_two_builds_of_one_library_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor.importlib.metadata.version
    monkeypatch.setattr(
        doctor.importlib.metadata, "version", lambda name: "1.0" if name == "opencv-python" else real(name)
    )
    finding = next(f for f in doctor._libraries() if f.name == "opencv")
    assert finding.state == "bad"
    assert "opencv-python 1.0" in finding.said


def test_every_installed_provider_is_tested_and_what_was_found_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        selftest, "installed", lambda **_: {"cpu": session.runtime(), "cuda": session.runtime()}
    )
    found = {f.name: f for f in doctor._providers()}
    assert {name: f.state for name, f in found.items()} == {"provider cpu": "good", "provider cuda": "bad"}
    assert "no such provider" in found["provider cuda"].said
    assert found["provider cuda"].remedy
    assert [a.state for a in accelerators.listing() if a.name == "cpu"] == ["ready"]


def test_qt_that_does_not_load_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "_QT", "raise ImportError('libEGL.so.1: cannot open shared object file')")
    fault = display.qt_fault()
    assert fault is not None
    assert "libEGL.so.1" in fault.what


def test_the_desk_without_a_display_is_a_fault_not_a_crash(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert cli.main(["gui"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_broken_settings_are_a_finding_and_stop_no_other_check() -> None:
    settings.file().parent.mkdir(parents=True)
    settings.file().write_text("theme = 3\n")
    found = states(doctor.examine())
    assert found["settings"] == "bad"
    assert found["disk"] in ("good", "note")


def test_migrate_backs_the_record_up_before_it_touches_it(tmp_path: Path) -> None:
    workspace.create(str(tmp_path / "w")).close()
    result = doctor.migrate(str(tmp_path / "w"))
    copy = sqlite3.connect(str(result["backup"]))
    try:
        assert copy.execute("SELECT count(*) FROM meta").fetchone()[0] > 0
    finally:
        copy.close()
    with pytest.raises(LamproomError):
        doctor.migrate(str(tmp_path / "none"))

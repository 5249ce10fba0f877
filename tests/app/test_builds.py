"""Builds that share one folder are found in drawn package folders, and the printed commands really mend one."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shlex
import shutil
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.services import builds, doctor

CAPI = "onnxruntime/capi"
FILES = (
    "onnxruntime/__init__.py",
    f"{CAPI}/build_and_package_info.py",
    f"{CAPI}/onnxruntime_pybind11_state.so",
)


def install(
    site: Path, name: str, version: str, files: Sequence[str] = FILES, *, record: bool = True
) -> None:
    """Lay a distribution down as pip does: its files over whatever lies there, and its list of them."""
    for file in files:
        path = site / file
        path.parent.mkdir(parents=True, exist_ok=True)
        text = (
            f"package_name = '{name}'\n__version__ = '{version}'\n" if path.stem.startswith("build_") else "x"
        )
        path.write_text(text)
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "INSTALLER").write_text("pip\n")
    if record:
        own = [f"{info.name}/{n}" for n in ("METADATA", "INSTALLER", "RECORD")]
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in (*files, *own)))


def remove(site: Path, name: str) -> None:
    """What `pip uninstall` does: the files of its list, then the list."""
    info = next(site.glob(f"{name.replace('-', '_')}-*.dist-info"))
    for line in (info / "RECORD").read_text().splitlines():
        (site / line.split(",")[0]).unlink(missing_ok=True)
    shutil.rmtree(info, ignore_errors=True)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    return folder


def test_one_build_is_in_order_and_needs_no_repair(site: Path) -> None:
    install(site, "onnxruntime", "1.31.1")
    install(site, "onnxruntime-ep-openvino", "1.8.1", ["onnxruntime_ep_openvino/__init__.py"])
    found = builds.look(paths=[str(site)])
    assert (found.state, found.owners) == ("one", (("onnxruntime", "1.31.1"),))
    assert found.repair() == ()


def test_two_builds_in_one_folder_are_told_with_what_really_lies_there(site: Path) -> None:
    install(site, "onnxruntime-gpu", "1.31.0")
    install(site, "onnxruntime", "1.31.1")  # installed last: it wins, and pip says nothing
    found = builds.look(paths=[str(site)])
    assert found.state == "several"
    assert found.owners == (("onnxruntime", "1.31.1"), ("onnxruntime-gpu", "1.31.0"))
    assert found.present == ("onnxruntime", "1.31.1")
    assert found.keep == ("onnxruntime-gpu", "1.31.0")  # somebody added it on purpose
    assert found.repair("/venv/bin/python", pip=True) == (
        "/venv/bin/python -m pip uninstall -y onnxruntime onnxruntime-gpu",
        "/venv/bin/python -m pip install --force-reinstall --no-deps onnxruntime-gpu==1.31.0",
    )
    assert found.repair("/venv/bin/python", pip=False)[0].startswith(
        "uv pip uninstall --python /venv/bin/python "
    )


def test_three_builds_keep_the_one_that_lies_there(site: Path) -> None:
    for name in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"):
        install(site, name, "1.24.1")
    found = builds.look(paths=[str(site)])
    assert found.keep == ("onnxruntime-openvino", "1.24.1")


def test_a_half_removed_build_is_told_and_its_leftovers_go_too(site: Path) -> None:
    install(site, "onnxruntime", "1.31.1", (*FILES, "onnxruntime/tools/only_here.py"))
    install(site, "onnxruntime-openvino", "1.24.1")
    remove(site, "onnxruntime-openvino")  # takes the shared files of the other along
    found = builds.look(paths=[str(site)])
    assert found.state == "empty"
    assert found.owners == (("onnxruntime", "1.31.1"),)
    assert found.folder == site / "onnxruntime"
    commands = found.repair("python", pip=True)
    assert len(commands) == 3
    assert str(site / "onnxruntime") in commands[1]
    assert commands[2].endswith("onnxruntime==1.31.1")


@pytest.mark.parametrize("lists_what_is_gone", [True, False])
def test_a_listed_build_without_any_file_is_half_removed(
    site: Path, lists_what_is_gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not lists_what_is_gone:  # Python from 3.12 on, and importlib_metadata wherever it was imported
        monkeypatch.setattr(importlib.metadata.Distribution, "files", [])
    install(site, "onnxruntime", "1.31.1")
    shutil.rmtree(site / "onnxruntime")
    assert builds.look(paths=[str(site)]).state == "empty"


def test_a_compiled_module_that_is_gone_is_half_removed(site: Path) -> None:
    install(site, "onnxruntime", "1.31.1")
    (site / FILES[2]).unlink()
    assert builds.look(paths=[str(site)]).state == "empty"


def test_files_that_nobody_owns_are_told(site: Path) -> None:
    install(site, "onnxruntime", "1.31.1")
    shutil.rmtree(next(site.glob("*.dist-info")))
    found = builds.look(paths=[str(site)])
    assert found.state == "orphan"
    assert any(command.startswith(("rm -r ", "rmdir ")) for command in found.repair())


def test_nothing_installed_is_nothing(site: Path) -> None:
    found = builds.look(paths=[str(site)])
    assert (found.state, found.folder, found.owners) == ("none", None, ())


def test_a_build_in_another_folder_of_the_path_is_not_mixed_in(site: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    install(site, "onnxruntime-gpu", "1.31.1")
    install(other, "onnxruntime", "1.31.1")
    assert builds.look(paths=[str(site), str(other)]).owners == (("onnxruntime-gpu", "1.31.1"),)


def test_a_distribution_without_its_list_of_files_counts_by_its_name(site: Path) -> None:
    install(site, "onnxruntime", "1.31.1")
    install(site, "onnxruntime-gpu", "1.31.1", record=False)
    install(site, "onnxruntime-ep-openvino", "1.8.1", ["onnxruntime_ep_openvino/__init__.py"], record=False)
    assert [name for name, _ in builds.look(paths=[str(site)]).owners] == ["onnxruntime", "onnxruntime-gpu"]


def test_this_very_environment_has_one_build() -> None:
    found = builds.look()
    assert found.state == "one"
    assert found.present == found.owners[0]


def test_each_state_is_a_finding_with_its_commands(site: Path) -> None:
    install(site, "onnxruntime-gpu", "1.31.0")
    install(site, "onnxruntime", "1.31.1")
    finding = doctor._onnxruntime(builds.look(paths=[str(site)]))
    assert finding.state == "bad"
    assert "onnxruntime-gpu 1.31.0" in finding.said
    assert "what lies there is onnxruntime 1.31.1" in finding.said
    assert "uninstall -y onnxruntime onnxruntime-gpu && " in finding.remedy
    assert "--no-index" in finding.remedy
    remove(site, "onnxruntime")
    finding = doctor._onnxruntime(builds.look(paths=[str(site)]))
    assert "its module is empty" in finding.said
    shutil.rmtree(next(site.glob("*.dist-info")))
    assert doctor._onnxruntime(builds.look(paths=[str(site)])).state == "bad"


def test_the_printed_removal_really_leaves_nothing_behind(tmp_path: Path) -> None:
    """pip itself, in an environment of the test's own; only the reinstall needs packages, so it is left out."""
    if (pip := importlib.util.find_spec("pip")) is None or pip.origin is None:
        pytest.skip("no pip in this environment")
    shutil.copytree(Path(pip.origin).parent, tmp_path / "tools" / "pip")
    venv.create(tmp_path / "env", with_pip=False)
    python = next(p for p in (tmp_path / "env/bin/python", tmp_path / "env/Scripts/python.exe") if p.exists())
    site = next(p for p in (tmp_path / "env").rglob("site-packages") if p.is_dir())
    install(site, "onnxruntime", "1.31.1", (*FILES, "onnxruntime/tools/only_here.py"))
    install(site, "onnxruntime-openvino", "1.24.1")
    remove(site, "onnxruntime-openvino")
    for command in builds.look(paths=[str(site)]).repair(str(python), pip=True)[:-1]:
        words = shlex.split(command)
        assert words[0] in (str(python), "rm", "rmdir")  # never another environment's pip
        tools = {"PYTHONPATH": str(tmp_path / "tools"), "PATH": os.environ["PATH"]}
        subprocess.run(words, check=True, capture_output=True, cwd=tmp_path, env=tools)
    assert builds.look(paths=[str(site)]).state == "none"
    assert list(site.glob("onnxruntime*")) == []

"""The whole line through the command line: on drawn scenes everywhere, on the real pictures of the shared data where they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from annotation import quality
from annotation.core import AnnotationSet
from app import cli
from app.services import browse, labelling, workspace
from storage import sources

Captured = pytest.CaptureFixture[str]
PERSON_RECALL = 0.85
"""On the worker frames at IoU 0.5 with YOLOX-Nano; 0.97 was measured."""


def said(capsys: Captured, *line: str, code: int = 0) -> dict[str, object]:
    capsys.readouterr()
    assert cli.main([*line, "--json"]) == code, capsys.readouterr().err
    result: dict[str, object] = json.loads(capsys.readouterr().out)
    return result


def test_the_demo_ends_with_a_proved_hub_and_a_contact_sheet(tmp_path: Path, capsys: Captured) -> None:
    result = said(capsys, "demo", str(tmp_path / "demo"), "--scenes", "24", "--no-desk")
    steps = [step["step"] for step in result["steps"]]  # type: ignore[attr-defined]
    assert steps == [
        "draw",
        "ingest",
        "prelabel",
        "score",
        "accept",
        "freeze",
        "verify",
        "export coco",
        "export yolo",
        "publish",
        "verify hub",
    ]
    person = next(s for s in result["score"] if s["label"] == "person")  # type: ignore[attr-defined]
    assert person["precision"] > 0.8
    assert person["recall"] > 0.8
    assert Path(str(result["contact_sheet"])).read_bytes().startswith(b"\x89PNG")
    # The hub proves itself without the workspace and the pictures.
    (tmp_path / "demo/workspace").rename(tmp_path / "gone")
    (tmp_path / "demo/scenes").rename(tmp_path / "gone too")
    proof = said(capsys, "verify", str(result["version"]), "--hub", str(tmp_path / "demo/hub"))
    assert (proof["sound"], proof["assets"], proof["media_checked"]) == (True, 24, True)


def test_a_published_byte_that_changed_is_named_and_ends_with_3(tmp_path: Path, capsys: Captured) -> None:
    said(capsys, "demo", str(tmp_path / "demo"), "--scenes", "10", "--no-desk")
    objects = [p for p in (tmp_path / "demo/hub").rglob("*") if p.is_file() and p.stat().st_size > 10_000]
    victim = max(objects, key=lambda p: p.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.chmod(0o644)
    victim.write_bytes(data)
    proof = said(capsys, "verify", "drawn-scenes@v1", "--hub", str(tmp_path / "demo/hub"), code=3)
    assert (proof["sound"], proof["problems"]) == (False, 1)
    assert len(proof["warnings"]) == 1  # type: ignore[arg-type]


def test_the_demo_needs_none_of_qts_libraries(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['PySide6'] = None\n"
        "from app.__main__ import main\n"
        f"raise SystemExit(main(['demo', {str(tmp_path / 'd')!r}, '--scenes', '10', '--no-desk', '--json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "DISPLAY": ""}
    )
    assert done.returncode == 0, done.stderr


def test_the_demo_does_not_write_over_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lamproom-demo").mkdir()
    (tmp_path / "lamproom-demo/mine.txt").write_text("x")
    result = said(capsys, "demo", "--scenes", "10", "--no-desk")
    assert result["folder"] == str(tmp_path / "lamproom-demo-2")
    assert [p.name for p in (tmp_path / "lamproom-demo").iterdir()] == ["mine.txt"]


def pages(ws: workspace.Workspace, dataset: str, *origins: str) -> dict[str, AnnotationSet]:
    data = browse.dataset(ws, dataset)
    rows = browse.page(ws, browse.Query(data.id), limit=10_000)
    return {
        row.path: tuple(a for a in labelling.load(ws, row.asset_id).annotations if a.origin in origins)
        for row in rows
    }


def test_real_pictures_become_a_proved_dataset(shared: Path, tmp_path: Path, capsys: Captured) -> None:
    home, frames = str(tmp_path / "w"), shared / "data/video-worker-zone"
    on = ("-w", home)
    said(capsys, "init", home, "--schema", "coal_mine")
    taken = said(
        capsys, *on, "ingest", str(frames), str(shared / "data/people-headwear-yolo"), "--dataset", "face-3"
    )
    assert (taken["new"], taken["problems"]) == (141, 0)
    said(capsys, *on, "models", "add", str(shared / "models/yolox_nano.onnx"), "--name", "yolox")
    done = said(capsys, *on, "prelabel", "--dataset", "face-3", "--model", "yolox", "--class", "person")
    assert (done["pictures"], done["finished"]) == (141, True)
    with workspace.open(home) as ws:
        found = pages(ws, "face-3", "model")
    assert (
        said(capsys, *on, "import", "coco", str(frames / "instances.json"), "--dataset", "face-3")["matched"]
        == 71
    )
    with workspace.open(home) as ws:
        given = pages(ws, "face-3", "import")
    scored = quality.score((given[path], found[path]) for path in given if path.startswith("img1/"))["person"]
    with capsys.disabled():
        print(
            f"worker frames, person at IoU 0.5: recall {scored.recall:.3f}, precision {scored.precision:.3f} of {scored.truth}"
        )
    assert scored.recall >= PERSON_RECALL
    said(capsys, *on, "import", "yolo", str(shared / "data/people-headwear-yolo"), "--dataset", "face-3")
    said(capsys, *on, "review", "accept", "--dataset", "face-3", "--min-score", "0.6")
    said(capsys, *on, "freeze", "face-3", "--tag", "v1")
    assert said(capsys, *on, "export", "yolo", "face-3@v1", str(tmp_path / "yolo"), code=1)["error"]
    assert not (tmp_path / "yolo").exists()
    said(capsys, *on, "export", "yolo", "face-3@v1", str(tmp_path / "yolo"), "--accept-losses")
    said(capsys, *on, "export", "coco", "face-3@v1", str(tmp_path / "coco"))
    said(capsys, *on, "publish", "face-3@v1", "--hub", str(tmp_path / "hub"))
    assert said(capsys, "verify", "face-3@v1", "--hub", str(tmp_path / "hub"))["sound"] is True
    assert said(capsys, *on, "verify", "face-3@v1")["sound"] is True
    assert said(capsys, *on, "ingest", str(frames), "--dataset", "face-3")["new"] == 0


def test_a_second_ingest_reads_no_file(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(capsys, "demo", str(tmp_path / "demo"), "--scenes", "10", "--no-desk")
    opened: list[object] = []
    monkeypatch.setattr(sources, "read_bytes", lambda *a, **k: opened.append(a))
    again = said(
        capsys,
        "-w",
        str(tmp_path / "demo/workspace"),
        "ingest",
        str(tmp_path / "demo/scenes"),
        "--dataset",
        "drawn-scenes",
    )
    assert (again["new"], again["known"], again["bytes"], opened) == (0, 10, 0, [])

"""Hostile inputs through the command line: a named problem each, no crash, no partial state. `--whole` runs all 2,000."""

from __future__ import annotations

import hashlib
import json
import os
import random
import stat
from pathlib import Path

import pytest

from annotation import labels
from app import cli
from app.services import browse, workspace
from tests.support import hostile

SAMPLE = 8
"""Without --whole, one in so many."""
BATCH = 50
GOOD = 3
MEMORY_KB = 700_000
"""What the whole process may have grown by: bombs inflate to gigabytes."""


def numbers(kind: str, config: pytest.Config) -> range:
    return range(0, hostile.COUNTS[kind], 1 if config.getoption("--whole") else SAMPLE)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "chosen" in metafunc.fixturenames:
        kinds = (
            hostile.FILES
            if metafunc.function.__name__.startswith("test_ingest")
            else tuple(k for k in hostile.COUNTS if k not in hostile.FILES)
        )
        cases = []
        for kind in kinds:
            every = numbers(kind, metafunc.config)
            cases += [(kind, every[i : i + BATCH]) for i in range(0, len(every), BATCH)]
        metafunc.parametrize("chosen", cases, ids=[f"{kind}-{part[0]}" for kind, part in cases])


def tree(folder: Path) -> dict[bytes, tuple[int, str]]:
    """Every entry under a folder without following links: mode and digest of its bytes."""
    found = {}
    for base, folders, files in os.walk(folder):
        for name in folders + files:
            path = Path(base, name)
            facts = path.lstat()
            data = path.read_bytes() if stat.S_ISREG(facts.st_mode) else b""
            found[os.fsencode(path.relative_to(folder))] = (facts.st_mode, hashlib.sha256(data).hexdigest())
    return found


def run(capsys: pytest.CaptureFixture[str], *line: str) -> tuple[int, dict[str, object], str]:
    """(exit code, the JSON object, stderr) of one command line."""
    code = cli.main([*line, "--json"])
    said = capsys.readouterr()
    assert "an error of the program itself" not in said.err, said.err
    assert "Traceback" not in said.err
    return code, json.loads(said.out), said.err


def grown_kb() -> int:
    resource = pytest.importorskip("resource")
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def test_ingest_names_every_hostile_file_and_takes_the_good_ones(
    chosen: tuple[str, range],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind, part = chosen
    source, home = tmp_path / "source", tmp_path / "w"
    source.mkdir()
    cases = [hostile.draw(kind, n, source) for n in part]
    for i in range(GOOD):
        (source / f"good-{i}.jpg").write_bytes(hostile.picture(random.Random(f"good {i}")))
    odd = hostile.oddities(source)
    before = tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    workspace.create(str(home)).close()
    held = grown_kb()
    code, result, _err = run(capsys, "-w", str(home), "ingest", str(source), "--dataset", "d")
    assert code in (0, 3)
    assert grown_kb() - held < MEMORY_KB
    after = tree(tmp_path)
    assert {k: v for k, v in after.items() if not k.startswith(b"w/") and k != b"w"} == before
    assert not [k for k in after if b".part" in k]
    with workspace.open(str(home)) as ws:
        data = browse.dataset(ws, "d")
        paths = [row.path for row in browse.page(ws, browse.Query(data.id), limit=10_000)]
        problems = [(p.where, p.what) for p in browse.problems(ws, limit=10_000)]
    assert sum(p.startswith("good-") for p in paths) == GOOD
    named = {where for where, _ in problems} | {str(w["where"]) for w in result["warnings"]}  # type: ignore[attr-defined]
    silent = []
    for case in cases:
        if kind == "name":
            continue
        told = any(case.path.name in where for where in named)
        taken = any(case.path.name in path for path in paths)
        right = {hostile.NAMED: told, hostile.TAKEN: taken, hostile.EITHER: told or taken}[case.wish]
        if not right:
            silent.append((case.path.name, case.what, case.wish))
    assert not silent, "\n".join(map(str, silent))
    if kind == "name":  # whatever a file is called, its picture goes in
        assert len(paths) == GOOD + len(cases)
    assert all(what for _, what in problems)
    assert not [p for p in paths if Path(p).name in {o.name for o in odd}]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one picture, `good.jpg`, in dataset d."""
    base = tmp_path_factory.mktemp("hostile")
    (base / "source").mkdir()
    (base / "source/good.jpg").write_bytes(hostile.picture(random.Random("good")))
    workspace.create(str(base / "w")).close()
    assert cli.main(["-w", str(base / "w"), "ingest", str(base / "source"), "--dataset", "d", "--json"]) == 0
    return base / "w"


def state(home: Path) -> tuple[int, int, int, set[bytes]]:
    with workspace.open(str(home)) as ws:
        totals = browse.totals(ws)
    files = {k for k in tree(home) if not k.startswith(b"record.db")}
    return totals.revision, totals.truth, totals.assets, files


def test_a_verb_refuses_its_hostile_file_in_one_line_and_leaves_nothing(
    chosen: tuple[str, range],
    ready: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind, part = chosen
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    wrong = []
    for number in part:
        case = hostile.draw(kind, number, tmp_path)
        line = {
            "onnx": ["models", "add", str(case.path)],
            "schema": ["schema", "apply", str(case.path)],
            "coco": ["import", "coco", str(case.path), "--dataset", "d"],
            "yolo": ["import", "yolo", str(case.path), "--dataset", "d"],
            "native": ["import", "native", str(case.path), "--dataset", "d"],
        }[kind]
        before = state(ready)
        code, result, err = run(capsys, "-w", str(ready), *line)
        # "1: refused" says so in one line that names the file; "3: in part" lists what it left out.
        refused = (
            code == 1
            and state(ready) == before
            and len(err.strip().splitlines()) == 1
            and (case.path.name in err or (kind == "yolo" and "data.yaml" in err))
        )
        partly = code == 3 and bool(result["warnings"])
        whole = code == 0 and kind == "onnx"  # flipped bytes of a name leave a model whole
        if not (refused or partly or whole):
            wrong.append((case.path.name, code, err.strip()[:300]))
    assert not wrong, "\n".join(map(str, wrong))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", labels.BUILTIN)
def test_a_schema_that_is_cut_anywhere_is_refused_or_still_a_schema(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = labels.dumps(labels.load(name)).encode()
    rng = random.Random(name)
    file = tmp_path / "cut.toml"
    for _ in range(40):
        file.write_bytes(text[: rng.randrange(len(text))])
        code, _, err = run(capsys, "schema", "check", str(file))
        assert code == 0 or (code == 1 and "cut.toml" in err and len(err.splitlines()) == 1)

"""Rules of the command line: exit codes, one JSON object on stdout, one line on stderr, both languages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from annotation.errors import InvalidInput
from app import cli, console, i18n, log, settings
from app.console import Call, Outcome
from app.events import Finished, Progress, Started, Warned, Work

VERBS = (
    "init", "ingest", "schema", "models", "prelabel", "import", "export", "review", "freeze", "verify", "diff", "log", "undo", "lineage",
    "publish", "jobs", "doctor", "demo", "gui",
)  # fmt: skip
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(i18n, "_current", "en")
    return home


@pytest.fixture
def place(tmp_path: Path) -> str:
    """A fresh workspace."""
    where = str(tmp_path / "w")
    assert cli.main(["init", where, "--json"]) == 0
    return where


def words(group: typer.main.TyperGroup, *before: str) -> list[tuple[str, ...]]:
    out = []
    for name, command in group.commands.items():
        out.append((*before, name))
        if hasattr(command, "commands"):
            out += words(command, *before, name)
    return out


EVERY = words(typer.main.get_command(cli.app))  # type: ignore[arg-type]


def test_every_verb_of_the_contract_exists() -> None:
    assert set(VERBS) <= {w[0] for w in EVERY}


@pytest.mark.parametrize("line", EVERY, ids=" ".join)
def test_every_verb_has_a_help_that_exits_with_0(line: tuple[str, ...], capsys: Captured) -> None:
    assert cli.main([*line, "--help"]) == 0
    assert f"lamproom {' '.join(line)}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [["nonsense"], ["ingest"], ["ingest", "x"], ["log", "--limit", "many"], ["undo", "x"], ["models", "nonsense"], ["--nonsense"],
     ["prelabel", "--dataset", "d", "--model", "m", "--score", "2"], ["models", "add"], [],
     *(["models", "add", *more, "--answer", "size=64x64"] for more in (["--demo"], ["m.lrmodel"], ["m.onnx", "--decoder", "d.onnx"], ["m.onnx", "--recogniser", "r.onnx"]))],
)  # fmt: skip
def test_a_line_that_cannot_be_read_exits_with_2_and_says_nothing_on_stdout(
    line: list[str], capsys: Captured
) -> None:
    assert cli.main(line) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err
    assert "Traceback" not in said.err


def test_a_fault_exits_with_1_and_one_line_of_what_where_remedy(tmp_path: Path, capsys: Captured) -> None:
    assert cli.main(["-w", str(tmp_path / "none"), "status"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith(f"{tmp_path / 'none'}: ")
    assert "lamproom init" in line


def test_a_fault_under_json_is_one_object_with_its_parts(tmp_path: Path, capsys: Captured) -> None:
    assert cli.main(["-w", str(tmp_path / "none"), "status", "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["kind"] == "NotFound"
    assert error["where"] == str(tmp_path / "none")
    assert error["what"]
    assert error["remedy"]


@pytest.mark.parametrize("as_json", [False, True])
def test_an_unexpected_error_is_one_line_and_its_traceback_is_in_the_log(
    as_json: bool, place: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.services import browse

    def broken(_ws: object) -> None:
        raise RuntimeError("two\nlines \x1b[31m")

    monkeypatch.setattr(browse, "totals", broken)
    capsys.readouterr()
    assert cli.main(["-w", place, "status", *["--json"][:as_json]]) == 1
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert "RuntimeError" in line
    assert str(log.path()) in line
    assert "\x1b" not in line
    assert "Traceback" in log.path().read_text(encoding="utf-8")
    assert (json.loads(said.out)["error"]["kind"] == "RuntimeError") if as_json else said.out == ""


@pytest.mark.parametrize(
    "line",
    [["-w", "W", "--json", "status"], ["--json", "status", "-w", "W"], ["status", "--json", "--workspace", "W"], ["status", "--workspace=W", "--json"]],
)  # fmt: skip
def test_global_options_may_stand_anywhere(line: list[str], place: str, capsys: Captured) -> None:
    capsys.readouterr()
    assert cli.main([place if w == "W" else w.replace("=W", f"={place}") for w in line]) == 0
    assert json.loads(capsys.readouterr().out)["workspace"] == place


def test_the_workspace_of_the_environment_yields_to_the_one_of_the_line(
    place: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()
    monkeypatch.setenv("LAMPROOM_WORKSPACE", "nowhere")
    assert cli.main(["status", "-w", place]) == 0
    monkeypatch.setenv("LAMPROOM_WORKSPACE", place)
    assert cli.main(["status"]) == 0
    monkeypatch.delenv("LAMPROOM_WORKSPACE")
    assert cli.main(["status"]) == 1
    assert "LAMPROOM_WORKSPACE" in capsys.readouterr().err


def test_what_follows_a_double_dash_is_never_an_option() -> None:
    assert cli._hoisted(["ingest", "--json", "--", "--json", "-w"]) == [
        "--json",
        "ingest",
        "--",
        "--json",
        "-w",
    ]


def test_init_refuses_a_folder_that_holds_something_and_leaves_it_alone(
    tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "mine.txt").write_text("x")
    assert cli.main(["init", str(tmp_path)]) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_schema_is_applied_logged_and_undone(place: str, tmp_path: Path, capsys: Captured) -> None:
    capsys.readouterr()
    assert cli.main(["schema", "show", "grotto", "--json"]) == 0
    file = tmp_path / "mine.toml"
    file.write_text(json.loads(capsys.readouterr().out)["toml"], encoding="utf-8")
    assert cli.main(["-w", place, "schema", "apply", str(file), "--json"]) == 0
    applied = json.loads(capsys.readouterr().out)
    assert (applied["code"], applied["version"]) == ("grotto", 1)
    assert cli.main(["-w", place, "log", "--json"]) == 0
    step = json.loads(capsys.readouterr().out)["steps"][0]
    assert (step["step"], step["state"]) == (applied["revision"], "done")
    assert cli.main(["-w", place, "undo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["undone"] == step["step"]
    assert cli.main(["-w", place, "schema", "list", "--json"]) == 0
    assert [v["code"] for v in json.loads(capsys.readouterr().out)["versions"] if v["current"]] == [
        "coal_mine"
    ]


def test_undo_of_a_step_that_is_not_there_is_a_fault(place: str, capsys: Captured) -> None:
    assert cli.main(["-w", place, "undo", "4711"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


# --- how work is shown -------------------------------------------------------------------------------------------


def work(n_warnings: int, problems: int, *, raises: BaseException | None = None) -> Work:
    yield Started("some work", 10)
    for i in range(n_warnings):
        yield Warned(f"bad {i}", f"file\n{i}")
    yield Progress(10, 10)
    if raises is not None:
        raise raises
    yield Finished({"made": 3}, problems=problems)


def test_work_done_in_part_exits_with_3_and_lists_what_was_left(capsys: Captured) -> None:
    outcome = console.drive(Call(json=True), work(2, 2))
    assert console.deliver(Call(json=True), "ingest", outcome) == 3
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert (result["verb"], result["exit"], result["made"], result["problems"]) == ("ingest", 3, 3, 2)
    assert result["warnings"] == [
        {"where": "file\n0", "what": "bad 0"},
        {"where": "file\n1", "what": "bad 1"},
    ]
    assert said.err.splitlines() == ["file 0: bad 0", "file 1: bad 1"]


def test_a_warning_alone_does_not_make_the_work_partial() -> None:
    assert console.deliver(Call(), "x", console.drive(Call(), work(1, 0))) == 0


def test_more_warnings_than_a_person_reads_are_counted(capsys: Captured) -> None:
    outcome = console.drive(Call(), work(console.KEPT_WARNINGS + 5, 7))
    assert (len(outcome.warnings), outcome.n_warnings) == (console.KEPT_WARNINGS, console.KEPT_WARNINGS + 5)
    assert "5" in capsys.readouterr().err.splitlines()[-1]


def test_interrupted_work_is_closed_so_that_it_gives_back_what_it_holds() -> None:
    closed = []

    def held() -> Work:
        try:
            yield Started("x")
            raise KeyboardInterrupt
        finally:
            closed.append(True)

    with pytest.raises(KeyboardInterrupt):
        console.drive(Call(), held())
    assert closed


def test_a_fault_of_many_parts_lists_them_for_programs(capsys: Captured) -> None:
    fault = InvalidInput("many", where="a.json")
    fault.problems = ["a.json: line 1", "a.json: line 2"]  # type: ignore[attr-defined]
    assert console.refuse(Call(json=True), fault) == 1
    assert json.loads(capsys.readouterr().out)["error"]["problems"] == ["a.json: line 1", "a.json: line 2"]


def test_a_name_cannot_steer_the_terminal_and_json_takes_bytes_that_are_no_text(tmp_path: Path) -> None:
    bad = os.fsdecode(b"\xff\x1b[2J\xe2\x80\xae.jpg")
    code = f"import sys; sys.argv = ['x']; from app import cli; raise SystemExit(cli.main(['-w', {bad!r}, 'status', '--json']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=tmp_path)
    assert done.returncode == 1
    assert b"\x1b" not in done.stdout + done.stderr
    assert json.loads(done.stdout)["error"]["where"] == bad


def test_columns_line_up_with_chinese_text() -> None:
    text = console.table(("name", "n"), [["灯房", 5], ["ab", 1234]])
    assert len({console.width(line) for line in text.splitlines()}) == 1


def test_a_reader_that_leaves_early_gets_no_traceback(tmp_path: Path) -> None:
    code = "import sys; from app import cli; sys.exit(cli.main(['schema', 'show']))"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    said = child.stderr.read()
    child.stderr.close()
    assert child.wait() == 1
    assert said == b""


@pytest.mark.parametrize(
    ("lang", "word"), [("zh_CN.UTF-8", "用法："), ("en_GB.UTF-8", "Usage:"), ("C", "Usage:")]
)
def test_help_speaks_the_language_of_the_environment(lang: str, word: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app", "ingest", "--help"], capture_output=True, check=True, env={**os.environ, "LANG": lang, "PYTHONUTF8": "1"}
    )  # fmt: skip
    assert word in done.stdout.decode()


def test_deliver_prints_key_and_value_for_people(capsys: Captured) -> None:
    assert console.deliver(Call(), "x", Outcome({"made_here": 3, "left": None, "fine": True})) == 0
    assert capsys.readouterr().out == "made here: 3\nfine: yes\n"


def test_the_history_of_a_picture_that_is_not_there_is_a_fault(place: str, capsys: Captured) -> None:
    assert cli.main(["-w", place, "log", "--asset", "99"]) == 1
    assert "99" in capsys.readouterr().err


def test_an_unknown_step_is_called_a_step(place: str, capsys: Captured) -> None:
    assert cli.main(["-w", place, "undo", "99"]) == 1
    assert "there is no step r99" in capsys.readouterr().err


def test_an_interrupted_command_says_how_its_work_goes_on(
    place: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("app.services.browse.totals", stopped)
    capsys.readouterr()
    assert cli.main(["-w", place, "status", "--json"]) == console.INTERRUPTED
    said = capsys.readouterr()
    assert "jobs resume" in said.err
    assert json.loads(said.out)["exit"] == console.INTERRUPTED


def test_an_interrupt_while_the_program_loads_gives_no_traceback() -> None:
    code = (
        "import sys, app.__main__ as m\n"
        "class Stop:\n    def find_spec(self, *_):\n        raise KeyboardInterrupt\n"
        "sys.modules.pop('app.cli', None); sys.meta_path.insert(0, Stop())\n"
        "sys.exit(m.main(['status']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert (done.returncode, done.stderr) == (130, b"")


def test_the_log_the_jobs_and_lineage_speak_the_language_of_the_person_and_json_stays_the_same(
    place: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.app.conftest import draw

    draw(tmp_path / "p", 1)
    assert cli.main(["-w", place, "ingest", str(tmp_path / "p"), "--dataset", "d"]) == 0
    assert cli.main(["-w", place, "freeze", "d", "--tag", "v1"]) == 0
    monkeypatch.setattr(i18n, "_current", "zh_CN")
    capsys.readouterr()
    for line, words in (
        (["log"], ("入库", "类别表")),
        (["jobs", "list"], ("入库", "已完成")),
        (["lineage", "d@v1"], ("类别表", "源自", "入库")),
    ):
        assert cli.main(["-w", place, *line]) == 0
        said = capsys.readouterr().out
        assert all(word in said for word in words)
    assert cli.main(["-w", place, "log", "--json"]) == 0
    assert {s["verb"] for s in json.loads(capsys.readouterr().out)["steps"]} == {"ingest", "schema"}


def test_resume_without_a_number_goes_on_with_every_kind_that_can(
    place: str, tmp_path: Path, capsys: Captured
) -> None:
    from app.services import workspace
    from storage import jobs as shards
    from storage import record
    from tests.app.conftest import draw

    (tmp_path / "t").mkdir()
    draw(tmp_path / "t", 1)
    with workspace.open(place) as ws, ws.db.write() as conn:
        activity = record.start_activity(conn, "import", ws.person.id, {})
        shards.create(
            conn, "import", activity_id=activity, dataset_id=None, total=0, shards=[(1, 1)],
            params={"format": "coco", "path": os.fsencode(tmp_path / "gone.json").hex(), "dataset": "d", "strict": False},
        )  # fmt: skip
    assert (
        cli.main(["-w", place, "jobs", "resume", "--json"]) == 3
    )  # tried, and said to be stuck: its file is gone
    assert "gone.json" in capsys.readouterr().out


def test_the_whole_help_speaks_the_language_that_the_person_chose(home: Path) -> None:
    settings.put("language", "zh_CN")
    line = [sys.executable, "-m", "app", "prelabel", "--help"]
    wanted = {k: v for k, v in os.environ.items() if k != "LAMPROOM_LANG"} | {
        "LC_ALL": "C.UTF-8",
        "PYTHONUTF8": "1",
    }
    said = subprocess.run(line, env=wanted, capture_output=True, encoding="utf-8", check=True).stdout
    assert "数据集名称" in said and "The dataset's name" not in said and "Predict on" not in said


def test_a_person_reads_sentences_classes_and_losses_in_words_and_no_endless_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(i18n, "_current", "zh_CN")
    loss = {"what": "polygons: only their bounding boxes are written", "n": 2, "example": "a.jpg"}
    read = console.pairs({
        "why": "its file data.yaml lists class names", "classes": {"vest": "reflective_vest", "person": "person"},
        "losses": [loss], "class_ids": {f"c{i}": i for i in range(100)},
    }).splitlines()  # fmt: skip
    assert read[0].endswith("其文件 data.yaml 列出类别名称")
    assert read[1].endswith("vest → reflective_vest, person")
    assert read[2].endswith("2 × 多边形：只写外接框 (a.jpg)")
    assert "c23 23" in read[3] and "c24" not in read[3] and "76" in read[3]

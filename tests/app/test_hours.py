"""Rules of when machine work runs: hours across midnight, pauses that are said, priorities, remaining time. No test sleeps."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import onnx as onnx_format
import pytest

from annotation.errors import InvalidInput
from app import cli, console, hours, i18n
from app.events import Event, Finished, Progress, Started, Warned
from app.hours import Clock
from app.services import forecast, jobs, labelling, onnx, pace, prelabel, schema
from app.services.orders import Course
from app.services.workspace import Workspace
from models.recipe import PLAIN
from tests.app.conftest import draw, enrol
from tests.models.toys import columns, toy_model


@pytest.fixture
def model(ws: Workspace, tmp_path: Path) -> str:
    path = tmp_path / "m.onnx"
    table = columns((16, 16, 16, 16, 0.9, 0.0), (48, 32, 16, 24, 0.0, 0.7))
    onnx_format.save(toy_model(table, metadata={"names": "{0: 'person', 1: 'teapot'}"}), str(path))
    return onnx.add(ws, path, name="m").name


class Wall:
    """A clock on the wall that only moves when somebody waits or a test turns it."""

    def __init__(self, at: str) -> None:
        self.at = datetime.fromisoformat(f"2026-03-01T{at}")
        self.waited = 0.0

    def wait(self, seconds: float) -> None:
        self.waited += seconds
        self.at += timedelta(seconds=max(seconds, 60))

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.at, self.wait)


@pytest.mark.parametrize(
    ("text", "at", "closed_min"),
    [
        ("22:00-06:00", "21:59:00", 1),
        ("22:00-06:00", "22:00:00", 0),
        ("22:00-06:00", "00:30:00", 0),
        ("22:00-06:00", "05:59:59", 0),
        ("22:00-06:00", "06:00:00", 16 * 60),
        ("12:00-13:30", "13:30:00", 22 * 60 + 30),
        ("12:00–13:30", "12:45:00", 0),
        ("00:00-24:00", "00:00:00", None),
        ("18:00-24:00", "23:59:59", 0),
    ],
)
def test_hours_of_the_day_open_and_close_across_midnight_too(
    text: str, at: str, closed_min: float | None
) -> None:
    if closed_min is None:
        with pytest.raises(InvalidInput, match="no hours"):
            hours.parse(text)
        return
    window = hours.parse(text)
    assert window is not None
    assert window.closed_s(Wall(at).at) == pytest.approx(closed_min * 60)


@pytest.mark.parametrize("text", ["nights", "25:00-06:00", "22:60-06:00", "08:00-08:00", "22:00"])
def test_what_is_no_hours_of_a_day_is_refused_before_a_job_is_made(text: str) -> None:
    with pytest.raises(InvalidInput, match="for example 22:00-06:00"):
        Course(window=text)


def test_a_job_outside_its_hours_pauses_says_until_when_and_goes_on(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    _, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 3), dataset="d")
    wall = Wall("21:55:00")
    events = list(prelabel.run(ws, "d", model, course=Course(window="22:00-06:00"), clock=wall.clock))
    paused = [e for e in events if isinstance(e, Progress) and "22:00" in e.note]
    assert len(paused) == 5 and wall.waited == 5  # a second at a time: a cancel is heard
    assert isinstance(events[-1], Finished) and events[-1].result["finished"] is True
    assert [len(labelling.load(ws, a).annotations) for a in assets] == [2, 2, 2]


def test_a_job_whose_hours_end_stops_there_gives_its_piece_back_and_goes_on_the_next_night(
    ws: Workspace, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prelabel, "COMMIT_EVERY_S", 0)
    enrol(ws, tmp_path, draw(tmp_path / "p", 12), dataset="d")
    wall = Wall("05:50:00")
    work = prelabel.run(ws, "d", model, course=Course(window="22:00-06:00"), clock=wall.clock)
    states = []
    for event in work:
        if isinstance(event, Progress) and 0 < event.done < 12 and wall.at.hour == 5:
            wall.at = wall.at.replace(hour=6, minute=0)  # the night is over
        if isinstance(event, Progress) and "22:00" in event.note:
            states.append(jobs.listing(ws)[0].state)
    assert states and set(states) == {"waiting"}  # nobody holds it while it pauses
    assert isinstance(event, Finished) and event.result["pictures"] == 12
    with ws.db.read() as conn:
        rows = conn.exec_driver_sql("SELECT count(*), count(DISTINCT asset_id) FROM annotation").one()
        runs = conn.exec_driver_sql("SELECT count(*) FROM activity WHERE kind = 'prelabel run'").scalar_one()
    assert tuple(rows) == (24, 12) and runs == 1  # one process, one activity


def queued(ws: Workspace, dataset: str, model: str, **course: object) -> int:
    (done,) = (
        e
        for e in prelabel.run(ws, dataset, model, later=True, course=Course(**course))
        if isinstance(e, Finished)
    )  # type: ignore[arg-type]
    return int(str(done.result["job"]))


def datasets(ws: Workspace, folder: Path, *names: str) -> None:
    for name in names:
        enrol(ws, folder / name, draw(folder / name / "p", 4), dataset=name)


def begun(events: list[Event]) -> list[str]:
    return [e.job or "" for e in events if isinstance(e, Started)]


def test_the_queue_is_worked_off_by_priority_and_of_equal_ones_the_oldest_first(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    datasets(ws, tmp_path, "a", "b", "c")
    first, second = queued(ws, "a", model), queued(ws, "b", model)
    urgent = queued(ws, "c", model, priority=5)
    assert {j.state for j in jobs.listing(ws)} == {"waiting"}
    events = list(jobs.work_off(ws))
    assert begun(events) == [str(urgent), str(first), str(second)]
    assert {j.state for j in jobs.listing(ws)} == {"finished"}
    assert isinstance(events[-1], Finished) and events[-1].problems == 0


def test_a_job_gives_way_to_one_of_higher_priority_that_arrives_and_is_taken_up_again(
    ws: Workspace, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prelabel, "COMMIT_EVERY_S", 0)
    datasets(ws, tmp_path, "a", "b")
    slow = queued(ws, "a", model)
    events: list[Event] = []
    urgent = 0
    for event in jobs.work_off(ws):
        events.append(event)
        if isinstance(event, Started) and not urgent:
            urgent = queued(ws, "b", model, priority=1)
    assert begun(events) == [str(slow), str(urgent), str(slow)]
    assert {j.state for j in jobs.listing(ws)} == {"finished"}
    assert all(len(labelling.load(ws, a).annotations) == 2 for a in range(1, 9))


def test_a_job_outside_its_hours_does_not_keep_the_others_waiting(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    datasets(ws, tmp_path, "a", "b")
    night, day = queued(ws, "a", model, priority=9, window="22:00-06:00"), queued(ws, "b", model)
    wall = Wall("12:00:00")
    events = list(jobs.work_off(ws, clock=wall.clock))
    assert begun(events) == [str(day), str(night)]
    assert any(isinstance(e, Progress) and "hours" in e.note for e in events)
    assert wall.at.hour >= 22


def test_a_job_that_is_cancelled_while_it_pauses_ends_and_says_so(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    datasets(ws, tmp_path, "a")
    work = prelabel.run(ws, "a", model, course=Course(0, "22:00-06:00"), clock=Wall("12:00").clock)
    told = next(e.note for e in work if isinstance(e, Progress) and e.note)
    assert "22:00" in told
    (row,) = jobs.listing(ws)
    jobs.cancel(ws, row.id)
    events = list(work)
    assert [e.what for e in events if isinstance(e, Warned)] == ["it was cancelled meanwhile"]
    assert isinstance(events[-1], Finished) and events[-1].result["predictions"] == 0


def test_resume_goes_on_with_a_job_that_may_work_now_before_one_that_pauses(
    ws: Workspace, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets(ws, tmp_path, "a", "b")
    for name, window in (("a", "22:00-06:00"), ("b", "")):
        list(prelabel.run(ws, name, model, course=Course(0, window), later=True))
    begun: list[str | None] = []

    def begin(_: Workspace, job: int) -> list[Event]:
        begun.append(next(r.dataset for r in jobs.listing(ws) if r.id == job))
        return [Finished({})]

    monkeypatch.setattr(jobs, "closed_s", lambda row: 60.0 if row.window else 0.0)
    monkeypatch.setattr(jobs, "resume", lambda ws, job: (e for e in begin(ws, job)))
    assert cli.main(["-w", ws.location, "jobs", "resume"]) == 0
    assert begun == ["b", "a"]


def test_the_same_call_with_another_priority_or_other_hours_changes_the_job_and_makes_no_second(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    datasets(ws, tmp_path, "a")
    assert queued(ws, "a", model) == queued(ws, "a", model, priority=3, window="01:00-02:00")
    (row,) = jobs.listing(ws)
    assert (row.priority, row.window, row.state) == (3, "01:00-02:00", "waiting")


def test_the_rest_is_told_by_the_rate_of_the_last_minute_and_pauses_do_not_count() -> None:
    now = 0.0
    meter = pace.Pace(0, clock=lambda: now)
    assert meter.left_s(1000) is None
    for second in range(1, 101):  # one a second, then ten a second
        now = float(second)
        meter.note(second)
    for second in range(1, 61):
        now = 100.0 + second
        meter.note(100 + 10 * second)
    assert meter.left_s(1000) == pytest.approx(300 / 10, rel=0.1)
    now += 8 * 3600
    meter.rest(700)
    assert meter.left_s(1000) is None
    now += 2
    meter.note(720)
    assert meter.left_s(1000) == pytest.approx(28, rel=0.01)


def test_progress_of_a_job_carries_the_remaining_time_to_the_bar(
    ws: Workspace, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "LEAST_S", 0.0)
    monkeypatch.setattr(prelabel, "COMMIT_EVERY_S", 0)
    enrol(ws, tmp_path, draw(tmp_path / "p", 30), dataset="d")
    told = [e for e in prelabel.run(ws, "d", model) if isinstance(e, Progress) and e.left_s is not None]
    assert told and all(0 <= e.left_s < 600 for e in told if e.left_s is not None)
    assert [console.remaining(s) for s in (None, 5, 600, 7500)] == [
        "",
        "5 s left",
        "10 min left",
        "2 h 05 min left",
    ]
    i18n.use("zh_CN")
    assert console.remaining(7500) == "还需 2 小时 05 分"
    i18n.use("en")


# --- dry run -------------------------------------------------------------------------------------------------------


def record_of(ws: Workspace) -> list[object]:
    with ws.db.read() as conn:
        tables = conn.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).scalars()
        return [tuple(conn.exec_driver_sql(f"SELECT * FROM {t}").all()) for t in list(tables)]


def test_a_dry_run_tells_counts_rate_hours_and_classes_and_writes_nothing(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    _, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 6), dataset="d")
    list(prelabel.run(ws, "d", model, classes=["person"]))
    page = labelling.load(ws, assets[0])
    labelling.accept(ws, page, [page.annotations[0].uid])
    before, folder = record_of(ws), sorted(ws.folder.rglob("*"))
    *_, done = forecast.run(
        ws, "d", model, recipe=PLAIN, provider="cpu", state=None, where="", untouched=False
    )
    assert isinstance(done, Finished)
    told = done.result
    assert (told["pictures"], told["with_human_work"], told["predictions_replaced"]) == (6, 1, 5)
    assert (told["classes_added"], told["objects_expected"], told["undecodable"]) == (["teapot"], 12, 0)
    assert float(str(told["pictures_per_s"])) > 0
    assert record_of(ws) == before and sorted(ws.folder.rglob("*")) == folder
    assert schema.current(ws).resolve("teapot") is None


def test_only_pictures_without_human_work_leaves_alone_what_a_person_drew_or_submitted(
    ws: Workspace, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, assets = enrol(ws, tmp_path, draw(tmp_path / "p", 4), dataset="d")
    list(prelabel.run(ws, "d", model, classes=["person"]))
    page = labelling.load(ws, assets[2])
    labelling.accept(ws, page, [a.uid for a in page.annotations])
    capsys.readouterr()
    line = ["-w", ws.location, "prelabel", "--dataset", "d", "--model", model, "--only-unlabelled"]
    assert cli.main([*line, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "pictures: 3" in said and "classes added: teapot" in said
    assert cli.main(line) == 0
    assert [len(labelling.load(ws, a).annotations) for a in assets] == [2, 2, 1, 2]


def test_a_picture_that_cannot_be_read_is_told_in_the_dry_run_too(
    ws: Workspace, model: str, tmp_path: Path
) -> None:
    paths = draw(tmp_path / "p", 2)
    enrol(ws, tmp_path, paths, dataset="d")
    paths[1].unlink()
    events = list(
        forecast.run(ws, "d", model, recipe=PLAIN, provider="cpu", state=None, where="", untouched=False)
    )
    assert [e.where for e in events if isinstance(e, Warned)] == ["p/0001.jpg"]
    assert isinstance(events[-1], Finished) and events[-1].result["undecodable"] == 1


def test_queueing_and_working_off_from_the_command_line(
    ws: Workspace, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    datasets(ws, tmp_path, "a", "b")
    for name, priority in (("a", "0"), ("b", "7")):
        line = ["prelabel", "--dataset", name, "--model", model, "--later", "--priority", priority]
        assert cli.main(["-w", ws.location, *line]) == 0
    assert "queued: yes" in capsys.readouterr().out
    assert cli.main(["-w", ws.location, "jobs", "run"]) == 0
    assert "2 jobs went on to their end" in capsys.readouterr().out
    assert cli.main(["-w", ws.location, "jobs", "list"]) == 0
    assert capsys.readouterr().out.count("finished") == 2


def test_a_run_is_told_to_people_with_its_thresholds_as_they_are_given(
    ws: Workspace, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    datasets(ws, tmp_path, "a")
    line = ["-w", ws.location, "prelabel", "--dataset", "a", "--model", model, "--score", "0.35"]
    assert cli.main([*line, "--shards", "2"]) == 2
    assert "go with --runner" in capsys.readouterr().err
    assert cli.main(line) == 0
    said = capsys.readouterr().out
    assert "score: 0.35\n" in said and "micro" not in said and "plan" not in said

"""Rules of hubs by name and of publishing as a job: no secret in the record, a queue that survives, a cancel that tidies."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from annotation.errors import Conflict, InvalidInput, NotFound, Unavailable
from app.hours import Clock
from app.services import hubs, jobs, publish, versions
from app.services.workspace import Workspace
from storage import audit, files
from storage.hubs import UploadsOf
from tests.app.sealed import Sealed, run, sealed


@pytest.fixture
def world(ws: Workspace, tmp_path: Path) -> Sealed:
    w = sealed(ws, tmp_path / "2号面")
    w.box(w.assets[0])
    versions.freeze(ws, "face-3", tag="v1")
    return w


def store(ws: Workspace, **kw: object) -> hubs.Hub:
    asked = {
        "endpoint": "http://127.0.0.1:9",
        "bucket": "data-sets",
        "access": "AK",
        "secret": "very secret words",
        **kw,
    }
    return hubs.add_s3(ws, "集团", **asked)  # type: ignore[arg-type]


def test_a_secret_is_nowhere_in_the_record_and_nowhere_in_what_is_shown(world: Sealed) -> None:
    hub = store(world.ws, limit="10M", window="22:00-06:00")
    with world.ws.db.read() as conn:
        rows = [conn.execute(sa.text(f"SELECT * FROM {t}")).all() for t in ("hub", "audit", "activity")]
    told = str(rows) + str(hubs.to_json(hub)) + str(hub)
    assert "very secret" not in told and "集团" in told
    shown = hubs.to_json(hubs.find(world.ws, "集团"))
    assert (shown["limit"], shown["window"], shown["where"]) == (
        10_000_000,
        "22:00-06:00",
        "http://127.0.0.1:9/data-sets",
    )
    with closing(hubs.open_hub(world.ws, "集团")) as opened:
        assert opened.where.endswith("/data-sets")


@pytest.mark.parametrize(
    "wrong",
    [{"bucket": "../x"}, {"bucket": "A"}, {"endpoint": "ftp://x"}, {"endpoint": "http://x/y"}, {"endpoint": "x"}, {"secret": ""},
     {"limit": "fast"}, {"window": "25:00-26:00"}, {"limit": "12"}],
)  # fmt: skip
def test_a_store_that_cannot_be_is_refused_and_nothing_is_kept(world: Sealed, wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        store(world.ws, **wrong)
    assert hubs.listing(world.ws) == []


def test_a_name_is_given_once_and_free_again_after_it_was_removed(world: Sealed, tmp_path: Path) -> None:
    hubs.add_folder(world.ws, "井口", tmp_path / "one")
    with pytest.raises(Conflict):
        hubs.add_folder(world.ws, "井口", tmp_path / "two")
    hubs.remove(world.ws, "井口")
    hubs.add_folder(world.ws, "井口", tmp_path / "two")
    with pytest.raises(NotFound):
        hubs.remove(world.ws, "没有")
    with world.ws.db.read() as conn:
        assert [e.verb for e in audit.entries(conn) if e.verb.startswith("hub")] == [
            "hub add",
            "hub remove",
            "hub add",
        ]


def test_a_word_that_is_no_hub_makes_no_folder(
    world: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match="no hub grop"):
        run(publish.run(world.ws, "face-3@v1", "grop"))
    assert not (tmp_path / "grop").exists() and publish.queue(world.ws) == []
    done, _ = run(publish.run(world.ws, "face-3@v1", "./group"))
    assert done.problems == 0 and (tmp_path / "group" / "lamproom-hub.json").is_file()


def test_a_queued_publishing_is_done_by_the_queue_and_only_once(world: Sealed, tmp_path: Path) -> None:
    hubs.add_folder(world.ws, "井口", tmp_path / "hub")
    for _ in range(2):
        queued, _ = run(publish.run(world.ws, "face-3@v1", "井口", later=True))
    (waiting,) = publish.queue(world.ws)
    assert (waiting.job, waiting.state, waiting.hub) == (queued.result["job"], "waiting", "井口")
    run(jobs.work_off(world.ws))
    (done,) = publish.queue(world.ws)
    assert (done.state, done.done, done.total) == ("finished", 8, 8)
    assert run(versions.verify(tmp_path / "hub", "face-3@v1"))[0].result["sound"]
    with world.ws.db.read() as conn:
        (line,) = [e for e in audit.entries(conn) if e.verb == "publish"]
    assert line.subject == "face-3@v1" and line.detail["hub"] == "井口"


def test_a_publishing_that_failed_waits_with_its_reason_and_goes_on(
    world: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = files.write, 12

    def write(path: Path, data: object, **kw: object) -> None:
        nonlocal left
        if path.is_relative_to(tmp_path / "hub"):
            left -= 1
            if left < 0:
                raise OSError(28, "No space left on device")
        real(path, data, **kw)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", write)
        with pytest.raises(Unavailable, match="disk is full"):
            run(publish.run(world.ws, "face-3@v1", tmp_path / "hub"))
    (waiting,) = publish.queue(world.ws)
    assert waiting.state == "incomplete" and "disk is full" in waiting.note
    done, _ = run(jobs.resume(world.ws, waiting.job))
    assert done.result["job"] == waiting.job
    assert publish.queue(world.ws)[0].state == "finished"
    assert run(versions.verify(tmp_path / "hub", "face-3@v1"))[0].result["sound"]


def test_an_estimate_says_what_is_missing_and_sends_nothing(world: Sealed, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has not been written"):
        publish.estimate(world.ws, "face-3@v1", tmp_path / "hub")
    run(versions.build(world.ws, versions.find(world.ws, "face-3@v1")))
    before = publish.estimate(world.ws, "face-3@v1", tmp_path / "hub")
    assert before.objects > 8 and before.size > before.whole > 0 and before.seconds is before.cost is None
    assert not (tmp_path / "hub").exists()
    run(publish.run(world.ws, "face-3@v1", tmp_path / "hub"))
    after = publish.estimate(world.ws, "face-3@v1", tmp_path / "hub")
    assert (after.objects, after.size) == (0, 0)


def test_an_estimate_tells_hours_at_the_measured_rate_and_the_cost_by_the_hubs_price(
    world: Sealed, tmp_path: Path
) -> None:
    run(versions.build(world.ws, versions.find(world.ws, "face-3@v1")))
    hubs.add_folder(world.ws, "井口", tmp_path / "hub")
    hubs.note(world.ws, "井口", price_gb=2.5, currency="CNY")
    with world.ws.db.write() as conn:
        told = {"hub": "井口", "milliseconds": 4000, "bytes": 8_000_000}
        audit.append(conn, agent="a", verb="publish", subject="face-3@v0", detail=told)
    found = publish.estimate(world.ws, "face-3@v1", "井口")
    assert (found.rate, found.seconds) == (2e6, found.size / 2e6)
    assert found.cost == pytest.approx(found.size / 1e9 * 2.5) and found.currency == "CNY"


def test_a_hub_that_keeps_hours_is_waited_for(world: Sealed, tmp_path: Path) -> None:
    hubs.add_folder(world.ws, "夜间", tmp_path / "hub", window="22:00-06:00")
    clock = Clock(lambda: datetime(2026, 1, 1, 23, 0), lambda s: None)
    run(publish.run(world.ws, "face-3@v1", "夜间", clock=clock))
    assert publish.queue(world.ws)[0].state == "finished"
    with world.ws.db.read() as conn:
        assert conn.execute(sa.text("SELECT params FROM job")).scalar_one().count("22:00-06:00") == 1


def test_uploads_under_way_are_remembered_by_hub_and_key(world: Sealed, tmp_path: Path) -> None:
    one = UploadsOf(world.ws.db, hubs.add_folder(world.ws, "一", tmp_path / "1").id)
    other = UploadsOf(world.ws.db, hubs.add_folder(world.ws, "二", tmp_path / "2").id)
    one.begun("k", "u1", 5)
    one.begun("k", "u2", 6)
    assert one.known("k") == ("u2", 6) and other.known("k") is None and one.all() == [("k", "u2")]
    one.ended("k")
    assert one.known("k") is None

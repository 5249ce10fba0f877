"""Rules of making and closing a workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation.errors import Conflict, InvalidInput, Unavailable
from app.events import Progress
from app.services import bulk, jobs, workspace
from app.services.workspace import Workspace
from storage import record
from storage.db import Database
from storage.queries import Query
from tests.app.sealed import sealed


class Killed(BaseException):
    """Stands for kill -9."""


def test_a_workspace_whose_making_was_killed_says_so_and_is_never_half_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(record, "change", dying)
        with pytest.raises(Killed):
            workspace.create(str(tmp_path / "W"))
    with pytest.raises(InvalidInput, match="not made completely"):
        workspace.open(str(tmp_path / "W"))


def test_closing_lets_go_of_the_record_even_when_the_sitting_cannot_be_ended(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws.session()
    closed: list[bool] = []

    def held(self: Database, **_: object) -> None:
        raise Unavailable("another program holds the record")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", held)
        patch.setattr(Database, "close", lambda self: closed.append(True))
        with pytest.raises(Unavailable):
            ws.close()
    assert closed == [True]


def test_a_review_at_work_is_running_and_cannot_be_cancelled_from_elsewhere(
    ws: Workspace, tmp_path: Path
) -> None:
    world = sealed(ws, tmp_path / "p")
    for asset in world.assets[:2]:
        world.box(asset, origin="model")
    work = bulk.accept(ws, Query(world.data))
    while not isinstance(next(work), Progress):
        pass
    (job,) = jobs.listing(ws)
    assert job.state == "running"
    with pytest.raises(Conflict, match="works on job"):
        jobs.cancel(ws, job.id)
    list(work)
    assert jobs.listing(ws)[0].state == "finished"


def test_a_workspace_killed_before_its_first_table_is_told_to_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(_: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # a kill cleans nothing up
        patch.setattr("storage.db.migrate", dying)
        with pytest.raises(Killed):
            workspace.create(str(tmp_path / "W"))
    with pytest.raises(InvalidInput, match="not made completely"):
        workspace.open(str(tmp_path / "W"))

"""Rules of undo beyond one gesture: bulk inversions are jobs, long chains stay cheap, one person's stack skips what others undid."""

from __future__ import annotations

from typing import Any

import pytest

from annotation.errors import Conflict
from storage import jobs, record, steps
from storage.record import Edit
from tests.storage.conftest import World

N = 2 * record.BATCH_ROWS + 5


class Killed(BaseException):
    """Stands for kill -9."""


def killed_undo(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[int, jobs.Job]:
    """A step of N objects whose undo died after its first change: (the step, the undo's job)."""
    step = world.apply(*(Edit(opens=world.content(world.assets[0], box=i)) for i in range(N)))
    real, calls = steps._turn_back, []

    def dying(*args: Any, **kw: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        return real(*args, **kw)

    with monkeypatch.context() as patch:
        patch.setattr(steps, "_turn_back", dying)
        with pytest.raises(Killed):
            world.undo(step)
    with world.db.read() as conn:
        (job,) = jobs.listing(conn, open_only=True)
    return step, job


def test_a_bulk_undo_that_was_killed_stays_open_so_that_no_freeze_pins_its_half(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job = killed_undo(world, monkeypatch)
    assert (job.kind, job.done, job.total) == ("undo", record.BATCH_ROWS, N)
    with world.db.read() as conn:
        assert steps.step(conn, job.step or 0).open
        assert [kind for _, kind, _ in record.open_steps(conn)] == ["undo"]


def test_a_bulk_undo_that_was_killed_goes_on_to_its_end_as_one_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, job = killed_undo(world, monkeypatch)
    kept = sorted(world.live(world.assets[0]))[-1]  # somebody edits one that is still to be undone
    world.apply(
        Edit(world.live(world.assets[0])[kept][0], world.content(world.assets[0], uid=kept, box=999)), who="B"
    )
    done = steps.go_on(world.db, job)
    assert (list(world.live(world.assets[0])), done.step, done.left) == ([kept], job.step, 1)
    with world.db.read() as conn:
        assert not record.open_steps(conn)
        assert not steps.step(conn, step).stands
    world.undo(done.step)
    assert len(world.live(world.assets[0])) == N


def test_a_step_undone_and_redone_a_thousand_times_can_still_be_listed(world: World) -> None:
    last = first = world.apply(Edit(opens=world.content(world.assets[0])))
    with world.db.write() as conn:
        for rev in range(first + 1, first + 1202):
            conn.exec_driver_sql(
                "INSERT INTO change (rev, step, op, inverts, verb, activity_id, agent_id, at_ms) "
                f"SELECT {rev}, {rev}, 1, {last}, 'draw', activity_id, agent_id, 0 FROM change WHERE rev = {first}"
            )
            last = rev
    with world.db.read() as conn:
        assert not steps.step(conn, first).stands
        assert steps.step(conn, first + 1).stands


def test_undo_on_a_page_passes_over_a_step_that_somebody_else_undid(world: World) -> None:
    asset = world.assets[0]
    below = world.apply(Edit(opens=world.content(asset)))
    top = world.apply(Edit(opens=world.content(asset)))
    world.undo(top, who="B")
    with world.db.read() as conn:
        assert steps.tops(conn, asset, world.agents["A"].id) == (below, None)


def test_an_undo_of_what_changed_since_is_refused_and_writes_nothing(world: World) -> None:
    asset = world.assets[0]
    step = world.apply(*(Edit(opens=world.content(asset, box=i)) for i in range(N)))
    uid, (row, *_) = next(iter(world.live(asset).items()))
    world.apply(Edit(row, world.content(asset, uid=uid, box=77)), who="B")
    with pytest.raises(Conflict, match="B in r"):
        world.undo(step)
    assert len(world.live(asset)) == N

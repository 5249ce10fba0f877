"""Shards: leased once, fenced, resumed after a death, and never done twice."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from annotation.errors import Conflict, NotFound
from storage import jobs, record
from tests.storage.conftest import World


def make(world: World, shards: list[tuple[int, int]]) -> int:
    with world.db.write() as conn:
        activity = record.start_activity(conn, "prelabel", world.agents["A"].id, {})
        return jobs.create(
            conn,
            "prelabel",
            activity_id=activity,
            dataset_id=world.dataset,
            params={"x": 1},
            total=10,
            shards=shards,
        )


def test_every_shard_is_leased_exactly_once_from_eight_threads(world: World) -> None:
    job = make(world, [(i, i) for i in range(1, 101)])
    taken: list[int] = []

    def work(n: int) -> None:
        while True:
            with world.db.write() as conn:
                lease = jobs.lease(conn, job, f"elsewhere:{n}:1")
            if lease is None:
                return
            taken.append(lease.shard_id)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(taken) == len(set(taken)) == 100


def test_a_result_with_an_old_fence_is_refused(world: World) -> None:
    job = make(world, [(1, 10)])
    with world.db.write() as conn:
        old = jobs.lease(conn, job, "elsewhere:1:1")
        conn.exec_driver_sql("UPDATE shard SET until_ms = 0")
        new = jobs.lease(conn, job, "elsewhere:2:1")
    assert old and new and new.fence > old.fence
    with pytest.raises(Conflict, match="took this piece"), world.db.write() as conn:
        jobs.advance(conn, old, 5, n=5)
    with world.db.write() as conn:
        jobs.advance(conn, new, 10, n=10, step=7)
        assert jobs.unfinished(conn, job) == 0
        assert (jobs.get(conn, job).done, jobs.get(conn, job).step) == (10, 7)


def test_a_lease_of_a_dead_process_of_this_machine_is_taken_over_at_once_from_its_position(
    world: World,
) -> None:
    job = make(world, [(1, 10)])
    child = subprocess.run(
        [sys.executable, "-c", "from storage import jobs; print(jobs.owner())"],
        capture_output=True,
        text=True,
        check=True,
    )
    with world.db.write() as conn:
        first = jobs.lease(conn, job, child.stdout.strip())
        assert first
        jobs.advance(conn, first, 4, n=4)
        second = jobs.lease(conn, job, jobs.owner())
        assert second and second.position == 4
        assert jobs.held_by(conn, job) == jobs.owner()
        assert jobs.lease(conn, job, "elsewhere:1:1") is None  # a living owner keeps it


def test_an_unknown_job_is_named(world: World) -> None:
    with pytest.raises(NotFound, match="no job 99"), world.db.read() as conn:
        jobs.get(conn, 99)

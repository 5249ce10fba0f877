"""Several writers at once: what a freeze pins never changes, what was acknowledged survives kill -9."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from annotation.core import new_uid
from annotation.errors import Conflict, InvalidInput, NotFound, Unavailable
from storage import db as database
from storage import record
from storage.record import Edit
from tests.storage.conftest import World, counters_of, counters_recounted


def test_what_a_freeze_pins_never_gains_a_smaller_revision(world: World) -> None:
    stop = threading.Event()
    errors: list[BaseException] = []
    written = threading.Semaphore(0)

    def write(n: int) -> None:
        rng = random.Random(n)
        try:
            while not stop.is_set():
                page = rng.choice(world.assets)
                live = world.live(page)
                try:
                    if live and rng.random() < 0.5:
                        uid, (row, _, box) = rng.choice(list(live.items()))
                        world.apply(Edit(row, world.content(page, uid=uid, box=box + 1)), who="AB"[n % 2])
                    else:
                        world.apply(Edit(opens=world.content(page, uid=new_uid())), who="AB"[n % 2])
                except Conflict:
                    pass
                written.release()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    pins: list[tuple[int, dict[str, tuple[int, int]]]] = []
    for _ in range(12):
        for _ in range(8):
            written.acquire(timeout=30)
        with world.db.write() as conn:
            database.freeze_lock(conn)
            rev = record.newest(conn)
        pins.append((rev, world.state_at(rev)))
    stop.set()
    for t in threads:
        t.join()
    assert not errors
    assert pins[-1][0] > pins[0][0]
    for rev, state in pins:
        assert world.state_at(rev) == state
    assert counters_of(world) == counters_recounted(world)


WRITER = """
import random, sys
from annotation.core import new_uid
from storage import db, record
from storage.record import Content, Edit
from tests.support.gestures import gesture
base, seed = db.open_database(sys.argv[1]), int(sys.argv[2])
with base.read() as conn:
    page = conn.exec_driver_sql("SELECT min(id) FROM asset").scalar_one()
    label = conn.exec_driver_sql("SELECT min(id) FROM label").scalar_one()
    agent = conn.exec_driver_sql("SELECT min(id) FROM agent").scalar_one()
    act = conn.exec_driver_sql("SELECT min(id) FROM activity").scalar_one()
while True:
    uids = [new_uid() for _ in range(random.Random(seed).choice([1, 40]))]
    edits = [Edit(opens=Content(bytes.fromhex(u), page, label, 0, (0, 0, 1, 1), None, None, None, 0)) for u in uids]
    rev = gesture(base, edits, agent_id=agent, activity_id=act, verb="draw")
    print(rev, *uids, flush=True)
"""


def test_kill_9_of_a_writer_loses_nothing_acknowledged_and_leaves_no_half_change(world: World) -> None:
    rng = random.Random(5)
    acknowledged: dict[int, list[str]] = {}
    for n in range(10):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, world.address, str(n)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout
        for _ in range(rng.randint(1, 12)):
            rev, *uids = child.stdout.readline().split()
            acknowledged[int(rev)] = uids
        child.kill()
        for line in child.communicate()[0].splitlines():
            rev, *uids = line.split()
            acknowledged[int(rev)] = uids
    for rev, uids in acknowledged.items():
        assert set(uids) <= set(world.state_at(rev))
    with world.db.read() as conn:
        sizes = conn.exec_driver_sql("SELECT born, count(*) FROM annotation GROUP BY born").all()
    assert {n for _, n in sizes} <= {1, 40}
    assert counters_of(world) == counters_recounted(world)
    if world.db.dialect == "sqlite":
        with world.db.read() as conn:
            assert conn.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


@pytest.mark.parametrize("address", ["sqlite"], indirect=True)
def test_a_durable_edit_is_flushed_and_a_jobs_batch_is_not_waited_for(world: World) -> None:
    with world.db.write() as conn:
        assert conn.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert conn.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar() == 0
    with world.db.write(durable=False) as conn:
        assert conn.exec_driver_sql("PRAGMA synchronous").scalar() == 1
    with world.db.read() as conn, pytest.raises(sa.exc.OperationalError, match="readonly"):
        conn.exec_driver_sql("INSERT INTO meta VALUES ('x', 'y')")


@pytest.mark.parametrize("address", ["sqlite"], indirect=True)
def test_a_backup_opens_and_holds_the_same_state(world: World, tmp_path: Path) -> None:
    rev = world.apply(Edit(opens=world.content(world.assets[0])))
    database.backup(world.db, tmp_path / "copy.db")
    copy = database.open_database(str(tmp_path / "copy.db"))
    with copy.read() as conn:
        assert record.newest(conn) == rev
    copy.close()
    assert not list(tmp_path.glob("*.part"))


def test_a_record_is_made_only_where_there_is_none(world: World) -> None:
    with pytest.raises(InvalidInput, match="a record already"):
        database.create_database(world.address)


def test_what_is_no_record_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no record here"):
        database.open_database(str(tmp_path / "none.db"))
    (tmp_path / "bad.db").write_bytes(os.urandom(8192))
    with pytest.raises(InvalidInput, match="damaged"):
        database.open_database(str(tmp_path / "bad.db"))
    with pytest.raises(Unavailable):
        database.open_database("postgresql://nobody@127.0.0.1:1/none")


@pytest.mark.parametrize("address", ["sqlite"], indirect=True)
def test_a_record_of_another_version_is_refused_with_the_remedy(world: World) -> None:
    with world.db.write() as conn:
        conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(InvalidInput, match="version 9999"):
        database.open_database(world.address)


@pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'")
def test_the_migration_chain_makes_exactly_the_tables_that_are_declared(world: World) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from storage.tables import Record

    with world.db.writer.connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": False})
        differences = [d for d in compare_metadata(context, Record.metadata) if "xid" not in str(d)]
        conn.rollback()
    assert differences == []


@pytest.mark.parametrize("address", ["sqlite"], indirect=True)
def test_a_row_that_names_a_missing_row_is_found(world: World) -> None:
    world.apply(Edit(opens=world.content(world.assets[0])))
    assert database.fault(world.db) == ""
    with world.db.write() as conn:
        conn.exec_driver_sql("UPDATE annotation SET label_id = 99")
    assert "names a row of label" in database.fault(world.db)

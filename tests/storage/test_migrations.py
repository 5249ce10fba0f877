"""Workspaces that an older version of the program wrote come up to date with everything in them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation.errors import InvalidInput
from storage import db as database

OLDER = ("0001", "0002", "0003")


def write_as(address: str, revision: str) -> None:
    """A record as the program of `revision` left it: a dataset with a picture in it, a job, and (0002) a measure."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    db = database._engines(address)
    try:
        with db.writer.connect() as conn:
            config.attributes["connection"] = conn
            command.upgrade(config, revision)
        with db.write() as conn:
            fill(conn, revision)
    finally:
        db.close()


def fill(conn: Connection, revision: str) -> None:
    uid, digest = bytes(16), bytes(32)
    for sql in (
        "INSERT INTO agent (id, kind, name) VALUES (1, 'person', 'A')",
        "INSERT INTO activity (id, uid, kind, agent_id, params, started_ms, ended_ms) VALUES (1, :u, 'ingest', 1, '{}', 1, 2)",
        "INSERT INTO source_root (id, code, location) VALUES (1, 'r', :u)",
        "INSERT INTO asset (id, uid, kind, blake3, sha256, size_bytes, orientation, media_type, source_root_id, path, path_hash, mtime_ns, activity_id) "
        "VALUES (7, :u, 0, :d, :d, 1, 1, 'image/jpeg', 1, 'a.jpg', 1, 1, 1)",
        "INSERT INTO dataset (id, uid, name, schema_code, created_ms) VALUES (1, :u, 'd', 's', 1)",
        "INSERT INTO item (dataset_id, asset_id, split, review, state, n_truth, n_pred, born) VALUES (1, 7, 0, 0, 0, 0, 0, 1)",
        "INSERT INTO job (id, uid, kind, activity_id, dataset_id, params, done, started_ms) VALUES (3, :u, 'prelabel', 1, 1, '{}', 5, 1)",
    ):
        conn.execute(sa.text(sql), {k: v for k, v in {"u": uid, "d": digest}.items() if f":{k}" in sql})
    if revision != "0001":
        conn.execute(
            sa.text(
                "INSERT INTO measure (asset_id, brightness, contrast, sharpness, dhash, descriptor) VALUES (7, 1, 2, 3, 4, :d)"
            ),
            {"d": digest},
        )


@pytest.mark.parametrize("revision", OLDER)
def test_an_older_record_comes_up_to_date_with_everything_in_it(address: str, revision: str) -> None:
    write_as(address, revision)
    with pytest.raises(InvalidInput, match=f"version {revision}"):
        database.open_database(address)
    database.migrate(address)
    db = database.open_database(address)
    try:
        with db.read() as conn:
            assert conn.exec_driver_sql("SELECT id, done, priority FROM job").all() == [(3, 5, 0)]
            assert conn.exec_driver_sql("SELECT dataset_id, asset_id FROM item").all() == [(1, 7)]
            old = [] if revision == "0001" else [(7, 3, None, None, None)]
            assert (
                conn.exec_driver_sql("SELECT asset_id, sharpness, phash, glare, haze FROM measure").all()
                == old
            )
    finally:
        db.close()


@pytest.mark.parametrize("revision", OLDER)
@pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'")
def test_a_migrated_record_has_exactly_the_tables_that_are_declared(address: str, revision: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from storage.tables import Record

    write_as(address, revision)
    database.migrate(address)
    db = database.open_database(address)
    try:
        with db.writer.connect() as conn:
            context = MigrationContext.configure(
                conn, opts={"compare_type": True, "compare_server_default": True}
            )
            differences = [d for d in compare_metadata(context, Record.metadata) if "xid" not in str(d)]
            conn.rollback()
        assert differences == []
    finally:
        db.close()


def test_a_migration_that_breaks_off_leaves_the_older_record_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic.operations import Operations

    address = str(tmp_path / "record.db")
    write_as(address, "0003")

    def dying(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Operations, "execute", dying)
        with pytest.raises(OSError, match="full"):
            database.migrate(address)
    raw = sqlite3.connect(address)
    try:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("0003",)]
        assert raw.execute("SELECT count(*) FROM sqlite_master WHERE name = 'audit'").fetchone() == (0,)
    finally:
        raw.close()
    database.migrate(address)
    database.open_database(address).close()

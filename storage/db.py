"""The database: one engine to read, one to write, for a SQLite file (WAL) or a PostgreSQL address.

SQLite rules, measured in the design: writers take BEGIN IMMEDIATE in driver autocommit and poll for the lock every
millisecond (SQLite's own busy wait sleeps up to 100 ms and is unfair); readers are `query_only`; an edit at the desk is
flushed (synchronous FULL) before it is called saved and never checkpoints; jobs are NORMAL and do.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool

from annotation.errors import InvalidInput, NotFound, Unavailable
from storage.presence import Presence

HEAD = "0004"
"""The Alembic revision this code reads and writes."""
PAGE_BYTES = 8192
WRITE_PATIENCE_S = 10.0
_RECORD_LOCK = 0x4C616D70  # "Lamp": the advisory lock that PostgreSQL writers share and a freeze takes alone


@dataclass(frozen=True, slots=True)
class Database:
    """An open record. `dialect` is "sqlite" or "postgresql"; `url` has no password."""

    dialect: str
    url: str
    reader: Engine
    writer: Engine
    presence: Presence | None = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A short read of one consistent state. No read may outlive a page: it would hold the WAL back."""
        with _translated(self.url), self.reader.connect() as conn, conn.begin():
            yield conn

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """One short transaction; committed and (if durable) flushed when the block ends, rolled back if it raises.

        Args:
            durable: True for a person's edit (SQLite synchronous FULL, no checkpoint); False for a job's batch, whose
                frames become durable with the next flush and which checkpoints.

        Raises:
            Unavailable: when the write lock cannot be had within 10 s.
        """
        with _translated(self.url), self.writer.connect() as conn:
            if self.dialect == "sqlite":
                _set_durable(conn, durable)
            with conn.begin():
                yield conn

    def alone(self) -> bool:
        """Whether nobody else has this record open, so that a job need not make way; never so on PostgreSQL."""
        return self.presence is not None and self.presence.alone()

    def checkpoint(self) -> None:
        """Fold SQLite's WAL back into the file as far as readers allow; nothing on PostgreSQL."""
        if self.dialect == "sqlite":
            raw = self.writer.raw_connection()
            try:
                raw.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            finally:
                raw.close()

    def close(self) -> None:
        """Close every pooled connection. The last one of a SQLite file checkpoints it."""
        self.reader.dispose()
        self.writer.dispose()
        if self.presence is not None:
            self.presence.close()


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Faults of the server or the disk become one clear line; faults of ours stay what they are."""
    try:
        yield
    except OperationalError as error:
        text = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else "no answer"
        if "locked" in text or "busy" in text:
            raise Unavailable(
                "another program holds the record for more than 10 s",
                where=where,
                remedy="wait for it or end it, then try again",
            ) from error
        if "full" in text:
            raise Unavailable(
                "the disk is full", where=where, remedy="free some space; nothing saved was lost"
            ) from error
        raise Unavailable(f"the record does not answer: {text}", where=where) from error
    except DBAPIError as error:
        text = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else ""
        if "malformed" in text or "not a database" in text:
            raise InvalidInput(
                "the file is damaged or no record of ours", where=where, remedy="restore the last backup"
            ) from error
        raise


def _set_durable(conn: Connection, durable: bool) -> None:
    if conn.info.get("durable") is durable:
        return
    raw: sqlite3.Connection = conn.connection.driver_connection  # type: ignore[assignment]
    raw.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
    raw.execute(f"PRAGMA wal_autocheckpoint={0 if durable else 1000}")
    conn.info["durable"] = durable


def _begin_immediate(conn: Connection) -> None:
    raw: sqlite3.Connection = conn.connection.driver_connection  # type: ignore[assignment]
    deadline = time.monotonic() + WRITE_PATIENCE_S
    while True:
        try:
            raw.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.001)


def _sqlite_engine(path: Path, *, writer: bool) -> Engine:
    engine = sa.create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=8,
        max_overflow=8,
        connect_args={
            "isolation_level": None,
            "check_same_thread": False,
            "timeout": 10.0,
            "cached_statements": 256,
        },
    )

    @event.listens_for(engine, "connect")
    def _connect(raw: sqlite3.Connection, _record: object) -> None:
        raw.execute("PRAGMA busy_timeout=10000")  # first: another process may be closing its WAL
        raw.execute(f"PRAGMA mmap_size={256 << 20}")
        # Each of eight readers keeps its own: what they share is the mapped file and the system's page cache.
        raw.execute(f"PRAGMA cache_size=-{(64 if writer else 8) << 10}")
        raw.execute("PRAGMA temp_store=MEMORY")
        raw.execute("PRAGMA trusted_schema=OFF")
        if writer:
            raw.execute("PRAGMA busy_timeout=0")  # _begin_immediate polls instead
        else:
            raw.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        if writer:
            _begin_immediate(conn)
        else:
            conn.connection.driver_connection.execute("BEGIN")  # type: ignore[union-attr]

    return engine


def _postgres_engines(url: sa.URL) -> tuple[Engine, Engine]:
    url = url.set(drivername="postgresql+psycopg")
    args: dict[str, Any] = {"connect_timeout": 10, "application_name": "lamproom"}
    reader = sa.create_engine(
        url,
        isolation_level="REPEATABLE READ",
        pool_pre_ping=True,
        connect_args=args,
        execution_options={"postgresql_readonly": True},
    )
    return reader, sa.create_engine(
        url, isolation_level="READ COMMITTED", pool_pre_ping=True, connect_args=args
    )


def is_address(location: str) -> bool:
    """True for a PostgreSQL address, False for a folder."""
    return location.startswith(("postgresql://", "postgres://"))


def _engines(location: str, *, seated: bool = False) -> Database:
    if is_address(location):
        try:
            url = sa.make_url(location.replace("postgres://", "postgresql://", 1))
        except (sa.exc.ArgumentError, ValueError) as error:
            raise InvalidInput(
                "this is no PostgreSQL address", remedy="postgresql://person@host/database"
            ) from error
        reader, writer = _postgres_engines(url)
        return Database("postgresql", url.render_as_string(hide_password=True), reader, writer)
    path = Path(location)
    return Database(
        "sqlite",
        str(path),
        _sqlite_engine(path, writer=False),
        _sqlite_engine(path, writer=True),
        Presence(path, seated=seated),
    )


def create_database(location: str) -> Database:
    """Make an empty record with every table, by the migration chain.

    Args:
        location: path of a SQLite file that must not exist, or a postgresql:// address of a database without our tables.

    Raises:
        InvalidInput: there is a record already. Unavailable: the server does not answer.
    """
    if not is_address(location):
        path = Path(location)
        if path.exists():
            raise InvalidInput("there is a record already", where=str(path), remedy="open it instead")
        raw = sqlite3.connect(path)
        try:
            raw.execute(f"PRAGMA page_size={PAGE_BYTES}")
            raw.execute("PRAGMA journal_mode=WAL")
            raw.execute("VACUUM")
        finally:
            raw.close()
    elif _stamp(db := _engines(location)) is not None:
        db.close()
        raise InvalidInput("there is a record already", where=db.url, remedy="open it instead")
    else:
        db.close()
    migrate(location)
    return open_database(location)


def open_database(location: str, *, seated: bool = False) -> Database:
    """Open an existing record.

    Args:
        seated: a person works in this process: jobs, its own too, make way for them.

    Raises:
        NotFound: there is none. InvalidInput: written by another version of the program, or damaged.
        Unavailable: the server does not answer.
    """
    if not is_address(location) and not Path(location).is_file():
        raise NotFound("there is no record here", where=location, remedy="lamproom init makes one")
    db = _engines(location, seated=seated)
    try:
        stamp = _stamp(db)
        if stamp is None:
            raise NotFound("there is no record here", where=db.url, remedy="lamproom init makes one")
        if stamp != HEAD:
            raise InvalidInput(
                f"the record is of version {stamp}, this program reads {HEAD}",
                where=db.url,
                remedy="use the program that wrote it, or back up and run `lamproom doctor --migrate`",
            )
    except BaseException:
        db.close()
        raise
    return db


def _stamp(db: Database) -> str | None:
    with db.read() as conn:
        if not sa.inspect(conn).has_table("alembic_version"):
            return None
        return conn.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def migrate(location: str) -> None:
    """Bring a record to HEAD by the one Alembic chain. Every other process must be out, and a backup made."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    db = _engines(location)
    try:
        with _translated(db.url), db.writer.connect() as conn:
            config.attributes["connection"] = conn
            command.upgrade(config, "head")
    finally:
        db.close()


def backup(db: Database, target: Path) -> None:
    """Copy a SQLite record in one step (portions would restart at every commit), staged and renamed.

    Raises:
        InvalidInput: the record is on a PostgreSQL server, whose own pg_dump is the tool.
    """
    if db.dialect != "sqlite":
        raise InvalidInput("a record on a server is backed up there", where=db.url, remedy="use pg_dump")
    copy_file(Path(db.url), target)


def copy_file(record: Path, target: Path) -> None:
    """`backup` of a record's file that this version of the program may not be able to open."""
    staged = target.with_name(target.name + ".part")
    staged.unlink(missing_ok=True)
    source, copy = sqlite3.connect(record), sqlite3.connect(staged)
    try:
        source.backup(copy, pages=-1)
    finally:
        copy.close()
        source.close()
    with staged.open("rb") as file:
        os.fsync(file.fileno())
    staged.replace(target)


def fault(db: Database) -> str:
    """What SQLite's own checks find wrong with the file or its references, "" when it is whole; a server checks itself."""
    if db.dialect != "sqlite":
        return ""
    with db.read() as conn:
        said = str(conn.exec_driver_sql("PRAGMA quick_check(1)").scalar())
        orphan = conn.exec_driver_sql("PRAGMA foreign_key_check").first()
    if orphan is not None:
        return f"row {orphan[1]} of {orphan[0]} names a row of {orphan[2]} that does not exist"
    return "" if said == "ok" else said


def insert(conn: Connection, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Insert tuples at the driver's own speed: executemany on SQLite, COPY on PostgreSQL (executemany below 32 rows)."""
    if not rows:
        return
    names = ",".join(columns)
    if conn.dialect.name == "sqlite":
        marks = ",".join("?" * len(columns))
        conn.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({marks})", [tuple(r) for r in rows])
        return
    if len(rows) < 32:
        marks = ",".join(["%s"] * len(columns))
        conn.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({marks})", [tuple(r) for r in rows])
        return
    with (
        conn.connection.driver_connection.cursor() as cursor,  # type: ignore[union-attr]
        cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(row)


def share_lock(conn: Connection) -> None:
    """First statement of every change on PostgreSQL: writers share the lock that a freeze takes alone."""
    if conn.dialect.name == "postgresql":
        conn.execute(sa.text("SELECT pg_advisory_xact_lock_shared(:k)"), {"k": _RECORD_LOCK})


def freeze_lock(conn: Connection) -> None:
    """Wait until no change is under way and keep others out until the transaction ends.

    SQLite's write lock says it already. On PostgreSQL revisions may commit out of order without it.
    """
    if conn.dialect.name == "postgresql":
        conn.execute(sa.text("SELECT pg_advisory_xact_lock(:k)"), {"k": _RECORD_LOCK})


def now_ms() -> int:
    """UTC milliseconds."""
    return time.time_ns() // 1_000_000

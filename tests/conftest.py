"""What every test stands on: an isolated home, no network, no leftovers; shared data and a real PostgreSQL where there are any."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app import i18n
from storage import db as database

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

PROJECT = Path(__file__).resolve().parent.parent
LOOPBACK = ("127.", "::1", "localhost")
ROOM = 8 << 30
"""Bytes that have to be free in memory before temporary folders go there; the suite needs about a fifth of it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--headed", action="store_true", help="show real windows instead of Qt's offscreen platform"
    )
    parser.addoption(
        "--manual", action="store_true", help="draw the manual's pictures and its table of keys anew"
    )
    parser.addoption(
        "--whole",
        action="store_true",
        help="2,000 hostile inputs, 50 kills of each kind and 200 of the desk, every journey in full, not samples",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--headed"):
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    os.environ["NO_COLOR"] = "1"
    # Texts that are made while modules load: not in the language of the developer's own settings.
    os.environ["LAMPROOM_LANG"] = "en"
    # Temporary folders in memory where it has room: thousands of small records wait for no disk. --basetemp names another place.
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))
    # Some machines forbid compiled files: every child process would then compile two thousand modules anew, for 2 s.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # A child process of a test finds the checkout however it was started.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH", "")]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Skips are loud: what this machine did not test stands by itself above the closing line."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        if isinstance(report.longrepr, tuple):
            reasons[report.longrepr[2]] = reasons.get(report.longrepr[2], 0) + 1
    if reasons:
        terminalreporter.section("NOT TESTED HERE", sep="!", red=True, bold=True)
        for reason, n in sorted(reasons.items()):
            terminalreporter.line(f"{n} x {reason.removeprefix('Skipped: ')}", red=True)


# --- isolation ---------------------------------------------------------------------------------------------------


def _settle(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("HOME", str(folder))
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        patch.setenv(f"XDG_{name}_HOME", str(folder / name.lower()))
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    patch.setenv("XDG_RUNTIME_DIR", str(runtime))
    for name in [n for n in os.environ if n.startswith("LAMPROOM_") and n != "LAMPROOM_SHARED"]:
        patch.delenv(name)
    patch.setenv("LAMPROOM_KEYS", "plain")  # no test reaches the developer's own key store
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES"):
        patch.delenv(name, raising=False)
    patch.setenv("LANG", "C.UTF-8")


@pytest.fixture(autouse=True, scope="session")
def _session_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home for what fixtures of wider scope do."""
    with pytest.MonkeyPatch.context() as patch:
        _settle(tmp_path_factory.mktemp("session-home"), patch)
        yield


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for every test, in English; nothing of the developer's settings is read, nothing is left there."""
    folder = tmp_path_factory.mktemp("home")
    _settle(folder, monkeypatch)
    # The language is the one thing that a test may leave behind in its process.
    monkeypatch.setattr(i18n, "_current", "en")
    return folder


@pytest.fixture
def qtbot(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> QtBot:
    """A busy machine is no failure: what is waited for may take 20 s, not 5. It costs nothing when it comes at once."""
    monkeypatch.setattr(qtbot, "waitUntil", partial(qtbot.waitUntil, timeout=20_000))
    return qtbot


def _is_local(address: object) -> bool:
    return not isinstance(address, tuple) or str(address[0]).startswith(LOOPBACK)


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Every connection that leaves this machine is an error."""
    real = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex")}
    real_lookup = socket.getaddrinfo

    def guard(name: str):  # type: ignore[no-untyped-def]
        def call(self: socket.socket, address: object, *rest: object):  # type: ignore[no-untyped-def]
            if not _is_local(address):
                raise AssertionError(f"a test reached for the network: {address!r}")
            return real[name](self, address, *rest)

        return call

    def lookup(host, *args, **kw):  # type: ignore[no-untyped-def]
        if host is not None and not str(host).startswith(LOOPBACK):
            raise AssertionError(f"a test looked up {host!r}")
        return real_lookup(host, *args, **kw)

    with pytest.MonkeyPatch.context() as patch:
        for name in real:
            patch.setattr(socket.socket, name, guard(name))
        patch.setattr(socket, "getaddrinfo", lookup)
        yield


def _threads() -> set[threading.Thread]:
    # A Qt pool thread that once ran Python stays listed as a dummy after its end; Qt's pool is asked itself, below.
    return {t for t in threading.enumerate() if not isinstance(t, threading._DummyThread) and t.is_alive()}


@pytest.fixture(autouse=True)
def _no_leftovers(home: Path) -> Iterator[None]:
    """A thread, Qt pool task or child process that outlives its test by ten seconds fails it."""
    before = _threads()
    yield
    deadline = time.monotonic() + 10
    for thread in _threads() - before:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = sorted(t.name for t in _threads() - before)
    if (core := sys.modules.get("PySide6.QtCore")) is not None:
        pool = core.QThreadPool.globalInstance()
        if pool is not None and not pool.waitForDone(max(1, int(1000 * (deadline - time.monotonic())))):
            left.append(f"{pool.activeThreadCount()} tasks of the Qt thread pool")
    if (processes := sys.modules.get("multiprocessing")) is not None:
        left += [p.name for p in processes.active_children()]
    assert not left, f"left running: {', '.join(left)}"


# --- data --------------------------------------------------------------------------------------------------------


@pytest.fixture
def whole(request: pytest.FixtureRequest) -> bool:
    """Whether full counts are wanted."""
    return bool(request.config.getoption("--whole"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared test data (`data/`, `models/`): LAMPROOM_SHARED, or `shared` beside the checkout."""
    folder = Path(os.environ.get("LAMPROOM_SHARED") or PROJECT.parent / "shared")
    if not (folder / "data").is_dir():
        pytest.skip("no shared test data (set LAMPROOM_SHARED to the folder that holds data/ and models/)")
    return folder


@pytest.fixture(autouse=True, scope="session")
def _one_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An empty SQLite record goes through the migrations once; the next ones of this process are copies of it.

    A record that has tables, one on a server and one of a child process take the real chain.
    """
    real = database.migrate
    made = tmp_path_factory.mktemp("record") / "empty.db"

    def migrate(location: str) -> None:
        if database.is_address(location):
            real(location)
            return
        with contextlib.closing(sqlite3.connect(location)) as target:
            empty = target.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
            if empty and made.exists():
                target.execute("PRAGMA synchronous=OFF")
                with contextlib.closing(sqlite3.connect(made)) as source:
                    source.backup(target)
                return
        real(location)
        if empty:
            database.copy_file(Path(location), made)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "migrate", migrate)
        yield


# --- PostgreSQL --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server of this session on loopback, without passwords and without fsync: fast, and gone at the end."""

    port: int

    def url(self, database: str) -> str:
        return f"postgresql://lamproom@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str) -> None:
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def create(self) -> str:
        """The address of a new, empty database."""
        name = f"t{uuid.uuid4().hex[:16]}"
        self.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'"
        )
        return self.url(name)

    def drop(self, url: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run_as() -> dict[str, object]:
    """PostgreSQL refuses to run as root: the user its package made, or nobody."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return {}
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL of Debian's packages; skipped loudly where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if not found:
        pytest.skip("no PostgreSQL server (Debian package postgresql): the record was tested on SQLite alone")
    programs = found[-1].parent
    # Not pytest's own folder: its parents are closed to the user the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="lr-pg-"))
    who = _run_as()
    if who:
        os.chown(folder, who["user"], who["group"])  # type: ignore[arg-type]
    quiet = {
        "stdin": subprocess.DEVNULL,
        "cwd": folder,
        "env": {"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        **who,
    }
    server = None
    try:
        subprocess.run(
            [programs / "initdb", "-D", folder / "db", "-U", "lamproom", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"],
            check=True, stdout=subprocess.DEVNULL, **quiet,  # type: ignore[call-overload]
        )  # fmt: skip
        for _attempt in range(5):  # the port was free a moment ago; somebody may have been faster
            port = _free_port()
            settings = {
                "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off",
                "full_page_writes": "off", "shared_buffers": "64MB", "max_connections": "60", "autovacuum": "off",
            }  # fmt: skip
            flags = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
            with (folder / "log").open("ab") as log:
                server = subprocess.Popen(
                    [programs / "postgres", "-D", folder / "db", *flags], stdout=log, stderr=log, **quiet
                )  # type: ignore[call-overload]
            if _answers(server, port):
                break
        else:
            raise RuntimeError(
                f"PostgreSQL does not start: {(folder / 'log').read_text(errors='replace')[-2000:]}"
            )
        yield Postgres(port)
    finally:
        if server is not None and server.poll() is None:
            server.send_signal(2)  # fast shutdown: open sessions are cut
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(server: subprocess.Popen[bytes], port: int) -> bool:
    """True once the server takes a connection, False when it has ended instead."""
    import psycopg

    until = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < until:
        try:
            psycopg.connect(f"postgresql://lamproom@127.0.0.1:{port}/postgres", connect_timeout=5).close()
        except psycopg.OperationalError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.05)
        else:
            return True
    return False


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def workspace_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a workspace can be made: a folder that is not there yet, then a new and empty PostgreSQL database."""
    if request.param == "sqlite":
        yield str(tmp_path / "workspace")
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.create()
    yield url
    server.drop(url)

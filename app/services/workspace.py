"""The Workspace: an open record, its local folder and the person at work. The one long-lived object, passed, never global."""

from __future__ import annotations

import getpass
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
import sqlalchemy as sa

from annotation import canonical, labels
from annotation.core import new_uid
from annotation.errors import InvalidInput, NotFound
from storage import db as database
from storage import record
from storage.db import Database
from storage.record import Agent

RECORD_FILE = "record.db"
FOLDERS = ("objects", "thumbs", "models", "keys", "logs")


@dataclass(frozen=True, slots=True)
class Workspace:
    """An open workspace.

    Attributes:
        location: the folder, or the postgresql:// address without its password.
        folder: where this machine keeps the workspace's objects, thumbnails, models and keys.
        person: who acts at this machine.
    """

    location: str
    folder: Path
    db: Database
    person: Agent
    uid: str
    name: str
    _session: list[int] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def session(self) -> int:
        """The activity that this sitting's gestures belong to; begun with the first gesture."""
        with self._lock:
            if not self._session:
                with self.db.write() as conn:
                    self._session.append(record.start_activity(conn, "edit", self.person.id, {}, open_=False))
            return self._session[0]

    def settle(self) -> None:
        """Fold SQLite's log of writes back into the file, without making anybody wait: a person's edits never do."""
        self.db.checkpoint()

    def close(self) -> None:
        """End the sitting and close the record."""
        try:
            with self._lock:
                if self._session:
                    with self.db.write() as conn:
                        record.end_activity(conn, self._session.pop())
        finally:
            self.db.close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def create(
    location: str,
    *,
    schema: str = "coal_mine",
    name: str | None = None,
    person: str | None = None,
    seated: bool = False,
) -> Workspace:
    """Make a workspace: a folder, or the tables in an empty PostgreSQL database.

    Args:
        location: a folder that does not exist or is empty, or a postgresql:// address.
        schema: a shipped label schema, or the path of a TOML file.

    Raises:
        InvalidInput: the folder is not empty, or the schema is faulty. Nothing is left behind.
    """
    loaded = labels.load(schema)
    if database.is_address(location):
        target = location
        title = name or location.rsplit("/", 1)[-1].partition("?")[0]
    else:
        folder = Path(location)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            known = (folder / RECORD_FILE).exists()
            raise InvalidInput(
                "there is a workspace already" if known else "the folder is not empty",
                where=str(folder), remedy="open it" if known else "name a new folder",
            )  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        target, title = str(folder / RECORD_FILE), name or folder.resolve().name
    try:
        db = database.create_database(target)
    except BaseException:
        if not database.is_address(location):
            for leftover in Path(location).glob(RECORD_FILE + "*"):
                leftover.unlink()
        raise
    try:
        with db.write() as conn:
            me = record.agent(conn, "person", person or _person())
            activity = record.start_activity(conn, "schema", me.id, {"schema": loaded.code}, open_=False)
        with record.change(db, agent_id=me.id, activity_id=activity, verb="schema") as draft:
            body = labels.dumps(loaded)
            draft.conn.execute(
                sa.text(
                    "INSERT INTO schema_version (code, number, body, blake3, born) VALUES (:c, 1, :b, :d, :r)"
                ),
                {"c": loaded.code, "b": body, "d": canonical.digest(body.encode()), "r": draft.rev},
            )
            record.link(draft.conn, activity, "generated", "schema", f"{loaded.code}@1")
            # With the schema: a workspace that has a uid is whole.
            facts = {"uid": new_uid(), "name": canonical.nfc(title), "created_ms": str(database.now_ms())}
            draft.conn.execute(
                sa.text("INSERT INTO meta (key, value) VALUES (:k, :v)"),
                [{"k": k, "v": v} for k, v in facts.items()],
            )
    finally:
        db.close()
    return open(location, person=person, seated=seated)


def open(location: str, *, person: str | None = None, seated: bool = False) -> Workspace:
    """Open a workspace.

    Args:
        location: its folder or postgresql:// address.
        person: who acts; default LAMPROOM_PERSON or the machine's account.
        seated: they sit at a desk in this process: jobs make way for their edits.

    Raises:
        NotFound: there is none. InvalidInput: of another version. Unavailable: the server does not answer.
    """
    if database.is_address(location):
        db = database.open_database(location, seated=seated)
        shown, folder = db.url, None
    else:
        folder = Path(location)
        if not (folder / RECORD_FILE).is_file():
            raise NotFound(
                "there is no workspace here", where=str(folder), remedy="`lamproom init DIR` makes one"
            )
        shown = str(folder)
        try:
            db = database.open_database(str(folder / RECORD_FILE), seated=seated)
        except NotFound as error:  # killed before the first table
            raise _half_made(shown) from error
    try:
        with db.read() as conn:
            facts: dict[str, str] = {r[0]: r[1] for r in conn.execute(sa.text("SELECT key, value FROM meta"))}
            who = person or _person()
            found = conn.execute(
                sa.text("SELECT id FROM agent WHERE kind = 'person' AND name = :n"), {"n": who}
            ).scalar()
        if "uid" not in facts:
            raise _half_made(shown)
        me = Agent(found, "person", who) if found is not None else None
        if me is None:
            with db.write() as conn:
                me = record.agent(conn, "person", who)
        if folder is None:
            folder = platformdirs.user_data_path("lamproom", appauthor=False) / "workspaces" / facts["uid"]
        for sub in FOLDERS:
            (folder / sub).mkdir(parents=True, exist_ok=True)
    except BaseException:
        db.close()
        raise
    return Workspace(shown, folder, db, me, facts["uid"], facts["name"])


def _half_made(shown: str) -> InvalidInput:
    return InvalidInput(
        "the workspace was not made completely", where=shown, remedy="remove it and run `lamproom init` again"
    )


def _person() -> str:
    name = os.environ.get("LAMPROOM_PERSON", "").strip()
    if name:
        return canonical.nfc(name)
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in a container
        return f"uid-{os.getuid()}" if hasattr(os, "getuid") else "person"

"""Foreign records into the record of a dataset: in changes of one step, what is there already left as it is."""

from __future__ import annotations

import csv
import hashlib
import io
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation import marks
from annotation.core import Annotation, new_uids
from annotation.errors import InvalidInput, Unavailable
from annotation.formats.base import REVIEWS, Record
from app.events import Event, Warned
from app.services import labelling
from app.services.import_pictures import Match
from app.services.workspace import Workspace
from storage import files, jobs, record, register
from storage.jobs import Job, Lease
from storage.queries import DatasetRow
from storage.record import PAUSE_S, Edit, ItemEdit
from storage.register import ShapeKey
from storage.tables import SPLITS

ROWS = 2_000
"""Of one change. They are made before it begins, so that the desk's edits wait for their insertion alone, some 20 ms."""
LISTED = 200
WARNED = 50
"""Pictures warned of one by one; the rest is in the counts and lists."""
FOREIGN_RUN = "foreign predictions"
"""The activity whose rows are predictions that came in a file."""
_WHY = {
    "unmatched": "no picture of this name in the dataset",
    "ambiguous": "several pictures fit: {}",
    "wrong_size": "the file says {} x {} px, the picture is {}",
}


@dataclass(slots=True)
class Tally:
    """What became of the records so far. lists: the first `LISTED` paths of each kind that matched nothing."""

    pictures: int = 0
    by: Counter[str] = field(default_factory=Counter)
    added: int = 0
    identical: int = 0
    dropped: int = 0
    predictions: int = 0
    predictions_left_out: int = 0
    splits: int = 0
    reviews: int = 0
    lists: dict[str, list[str]] = field(default_factory=dict)

    @property
    def matched(self) -> int:
        """Pictures that were found."""
        return self.by["path"] + self.by["size"] + self.by["digest"]

    def note(self, found: Record, match: Match) -> bool:
        """Count a record by how its picture was found; True while few enough were not found to warn of each."""
        self.pictures += 1
        self.by[match.how] += 1
        if match.picture is not None:
            return False
        noted = self.lists.setdefault(match.how, [])
        if len(noted) < LISTED:
            noted.append(found.path)
        return len(noted) <= WARNED


def why(found: Record, match: Match) -> str:
    """Why a record has no picture, in one sentence."""
    text = _WHY[match.how]
    if match.how == "ambiguous":
        return text.format(", ".join(match.candidates[:3]))
    return text.format(found.width, found.height, *match.candidates)


class Report:
    """Every record without a picture as a table for people (CSV, UTF-8 with mark); nothing when no file was asked for."""

    def __init__(self, path: Path | None) -> None:
        """Raises InvalidInput when no file can be there: told before the work, not after it."""
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise InvalidInput(
                "no file can be written there", where=str(path), remedy="a new file in a folder that is there"
            )
        self._path = path
        self._bytes = tempfile.TemporaryFile()  # noqa: SIM115
        self._text = io.TextIOWrapper(self._bytes, encoding="utf-8-sig", errors="replace", newline="")
        self._rows = csv.writer(self._text)
        self._rows.writerow(("path", "what", "why"))

    def __enter__(self) -> Report:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._text.close()

    def add(self, found: Record, match: Match) -> None:
        """One more line."""
        if self._path is not None:
            self._rows.writerow((_cell(found.path), match.how, _cell(why(found, match))))

    def write(self) -> None:
        """Put the file where it was asked for, replacing an older one.

        Raises:
            Unavailable: it cannot be written there.
        """
        if self._path is None:
            return
        self._text.flush()
        self._bytes.seek(0)
        try:
            files.write(self._path, iter(lambda: self._bytes.read(1 << 20), b""))
        except OSError as error:
            raise Unavailable(
                f"the list cannot be written: {error.strerror or error}", where=str(self._path),
                remedy="name a file in a folder that you may write to",
            ) from error  # fmt: skip


def _cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text


class Writer:
    """Commits records in changes of about ROWS objects, all in one step."""

    def __init__(
        self, ws: Workspace, data: DatasetRow, job: Job, lease: Lease, codes: Mapping[str, str | None], model: str
    ) -> None:  # fmt: skip
        """Args: codes: of each class its label, None where its objects are left out. model: whose the predictions are; ""
        leaves them out."""
        self._ws, self._data, self._job, self._lease = ws, data, job, lease
        self.step, self.rev = job.step, 0
        self.tally = Tally()
        self._pending: list[tuple[int, Record]] = []
        self._objects = 0
        with ws.db.write() as conn:
            self._agent_id = register.agent_of(conn, job.activity_id)
            numbers = record.label_ids(conn, sorted({code for code in codes.values() if code}))
            self._digest = model_digest(model)
            self._run = _run_of(conn, job, model, self._digest) if model else None
        self._numbers = {name: numbers[code] if code else None for name, code in codes.items()}

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if kind is None:
            self._commit()

    def add(self, found: Record, match: Match) -> Iterator[Event]:
        """Take a record in, or say why it has no picture."""
        if self.tally.note(found, match):
            yield Warned(why(found, match), found.path)
        if match.picture is None:
            return
        self._pending.append((match.picture.asset_id, found))
        self._objects += len(found.annotations)
        if self._objects >= ROWS or len(self._pending) >= ROWS:
            self._commit()
            if not self._ws.db.alone():
                time.sleep(PAUSE_S)

    def _commit(self) -> None:
        """Write what is at hand, in one change."""
        pending, self._pending, self._objects = self._pending, [], 0
        if not pending:
            return
        assets = sorted({asset_id for asset_id, _ in pending})
        with (
            self._ws.db.read() as conn
        ):  # usually decides that nothing is new, so that no empty change is written
            seen = record.newest(conn)
            made = _edits(self, conn, assets, pending)
        if made.is_empty:
            with self._ws.db.write(durable=False) as conn:
                jobs.advance(conn, self._lease, 0, n=len(pending))
        else:
            with record.change(
                self._ws.db, agent_id=self._agent_id, activity_id=self._job.activity_id, verb="import",
                dataset_id=self._data.id, assets=assets, step=self.step, durable=False,
            ) as draft:  # fmt: skip
                if draft.rev != seen + 1:  # somebody wrote meanwhile
                    made = _edits(self, draft.conn, assets, pending)
                draft.enrol(made.items)
                draft.annotate(made.truth)
                if made.predictions:
                    draft.annotate(made.predictions, activity_id=self._run)
                    if self._run is not None:
                        record.end_activity(draft.conn, self._run)  # so far
                jobs.advance(draft.conn, self._lease, 0, n=len(pending), step=draft.step)
            self.step, self.rev = self.step or draft.step, draft.rev
        for name, n in made.counts.items():
            setattr(self.tally, name, getattr(self.tally, name) + n)


@dataclass(slots=True)
class _Made:
    """What a batch changes."""

    truth: list[Edit] = field(default_factory=list)
    predictions: list[Edit] = field(default_factory=list)
    items: list[ItemEdit] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def is_empty(self) -> bool:
        return not (self.truth or self.predictions or self.items)


def _edits(
    writer: Writer, conn: Connection, assets: list[int], pending: Sequence[tuple[int, Record]]
) -> _Made:
    """What of some records is new to the record, as it is in this transaction."""
    held = register.truth_shapes(conn, assets)
    guessed = register.predicted_shapes(conn, assets, writer._digest) if writer._run is not None else {}
    rows = register.item_rows(conn, writer._data.id, assets)
    made, taken = _Made(), set[int]()
    for asset_id, found in pending:
        row = rows.get(asset_id)
        if row is None:  # it left the dataset meanwhile
            continue
        _objects(writer, asset_id, found.annotations, held, guessed, made)
        split = SPLITS.index(found.split) if found.split in SPLITS and row.split == 0 else 0
        review = REVIEWS.index(found.review) if row.review == 0 else 0
        if (split or review) and asset_id not in taken:  # what is set already is a person's decision
            taken.add(asset_id)
            made.counts["splits"] += bool(split)
            made.counts["reviews"] += bool(review)
            opens = (split or row.split, review or row.review)
            made.items.append(ItemEdit(writer._data.id, asset_id, row.id, opens, row.assignee_id))
    return made


def _objects(
    writer: Writer, asset_id: int, annotations: Sequence[Annotation], held: dict[ShapeKey, bytes],
    guessed: dict[ShapeKey, bytes], made: _Made,
) -> None:  # fmt: skip
    """The objects of one picture. Each gets a uid of its own: one of the file may be in the record with another fate."""
    counts = made.counts
    uids = dict(zip((a.uid for a in annotations), sorted(new_uids(len(annotations))), strict=True))
    linked = any("@links" in a.attributes for a in annotations)
    if linked:
        for a in annotations:  # a link means the object that is there already, where there is one
            number = writer._numbers[a.label]
            if number is not None and (
                known := held.get(_key(labelling.content(a, asset_id, number, origin="import")))
            ):
                uids[a.uid] = known.hex()
    for a in annotations:
        # What carries a score was found by a model, whatever the format can say of it; without a run it is what the file says.
        predicted = a.origin == "model" or (writer._run is not None and a.score is not None)
        if predicted and writer._run is None:
            counts["predictions_left_out"] += 1
            continue
        number = writer._numbers[a.label]
        if number is None:
            counts["dropped"] += 1
            continue
        if linked:
            a = marks.with_links(a, ((name, uids[to]) for name, to in marks.links(a) if to in uids))
        content = labelling.content(
            a, asset_id, number, origin="model" if predicted else "import", uid=uids[a.uid]
        )
        key = _key(content)
        if key in held or (predicted and key in guessed):
            counts["identical"] += 1
            continue
        (guessed if predicted else held)[key] = content.uid
        counts["predictions" if predicted else "added"] += 1
        (made.predictions if predicted else made.truth).append(Edit(opens=content))


def _key(c: record.Content) -> ShapeKey:
    return (c.asset_id, c.label_id, c.kind, c.box, c.geometry)


# --- predictions of a file -------------------------------------------------------------------------------------------


def model_digest(name: str) -> bytes:
    """What stands for a model that only its name is known of: a rejection is remembered by it as by a model's digest."""
    return hashlib.sha256(b"lamproom foreign model\0" + name.encode()).digest()


def _run_of(conn: Connection, job: Job, model: str, digest: bytes) -> int:
    """The activity of the predictions of an import, an agent's of its own; found again by an import that goes on."""
    agent = record.agent(conn, "model", model)
    uid = bytes(
        conn.execute(sa.text("SELECT uid FROM activity WHERE id = :i"), {"i": job.activity_id}).scalar_one()
    )
    known: Any = conn.execute(
        sa.text(
            "SELECT r.id FROM link l JOIN activity r ON r.id = l.activity_id WHERE l.entity = 'activity' "
            "AND l.ref = :u AND r.kind = :k"
        ),
        {"u": uid.hex(), "k": FOREIGN_RUN},
    ).scalar()
    if known is not None:
        return int(known)
    run = record.start_activity(
        conn, FOREIGN_RUN, agent.id, {"model": model}, model_digest=digest, open_=False
    )
    record.link(conn, run, "used", "activity", uid.hex())
    return run

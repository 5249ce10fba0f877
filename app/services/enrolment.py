"""Write what an ingest has read: assets, membership, duplicates, problems; short changes of one step, and what is reported."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from app.events import Event, Warned
from app.services.workspace import Workspace
from storage import jobs, names, record, register
from storage.jobs import Job, Lease
from storage.media import Probe
from storage.record import ALONE_ROWS, BATCH_ROWS, PAUSE_S, Draft, Edit, ItemEdit
from storage.register import Known, NewAsset, Rival, Root, Seen
from storage.sources import Found

LOOKUP = 500
COMMIT_EVERY_S = 0.5
LISTED = 200
"""Names a report lists of each kind; the counts are complete."""


@dataclass(frozen=True, slots=True)
class Todo:
    """A file that the record does not know as it is; `stale` = what it knows of the path."""

    found: Found
    stale: tuple[Known, ...] = ()
    closes_archive: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """A file that was read: its facts, or why it has none. ignored = no picture, and it never said so."""

    root: Root
    todo: Todo
    facts: Probe | None = None
    mtime_ns: int = 0
    fault: str = ""
    ignored: bool = False
    lasting: bool = True


@dataclass(slots=True)
class Tally:
    files: int = 0
    new: int = 0
    joined: int = 0
    known: int = 0
    other: int = 0
    ignored: int = 0
    archives: int = 0
    bytes: int = 0
    touched: int = 0
    duplicates: int = 0
    changed: int = 0
    aside: int = 0
    aside_before: int = 0
    unreadable: int = 0
    kept: int = 0
    rev: int = 0
    started: float = field(default_factory=time.monotonic)
    listed: dict[str, list[list[str]]] = field(default_factory=dict)

    def note(self, kind: str, *words: str) -> None:
        noted = self.listed.setdefault(kind, [])
        if len(noted) < LISTED:
            noted.append(list(words))

    def rate(self) -> str:
        seconds = max(time.monotonic() - self.started, 1e-6)
        return f"{self.files / seconds:.0f}/s · {self.bytes / seconds / 1e6:.0f} MB/s"

    @property
    def n_problems(self) -> int:
        return self.aside + self.unreadable + self.kept

    def report(self) -> dict[str, object]:
        return {
            "files": self.files, "new": self.new, "joined": self.joined, "known": self.known, "touched": self.touched,
            "duplicates": self.duplicates, "changed": self.changed, "quarantined": self.aside,
            "quarantined_before": self.aside_before, "unreadable": self.unreadable, "kept": self.kept,
            "ignored": self.ignored, "other": self.other, "archives": self.archives, "bytes": self.bytes,
            "seconds": round(time.monotonic() - self.started, 3),
            "lists": {kind: list(noted) for kind, noted in self.listed.items()},
        }  # fmt: skip


class Writer:
    """Commits what was read, at most BATCH_ROWS files a change, and everything of one ingest in one step."""

    def __init__(self, ws: Workspace, job: Job, lease: Lease) -> None:
        self._ws, self._job, self._lease = ws, job, lease
        self.dataset = str(job.params["dataset"])
        self.dataset_id = job.dataset_id or 0
        self.step = job.step
        self.tally = Tally()
        with ws.db.read() as conn:
            self._agent_id = register.agent_of(conn, job.activity_id)
        self._done: deque[Done] = deque()
        self._join: list[int] = []
        self._undone: dict[int, bool] = {}
        self._last = time.monotonic()

    def add(self, done: Iterable[Done]) -> None:
        self._done.extend(done)

    def known(self, entry: Known) -> None:
        """A file that is as the record knows it."""
        if entry.state == register.QUARANTINED:
            self.tally.aside_before += 1
        elif entry.asset_id is None:
            self.tally.other += 1
        else:
            self.tally.known += 1
            self._join.append(entry.asset_id)

    def was_undone(self, activity_id: int) -> bool:
        if activity_id not in self._undone:
            with self._ws.db.read() as conn:
                self._undone[activity_id] = register.was_undone(conn, activity_id)
        return self._undone[activity_id]

    @property
    def is_due(self) -> bool:
        return (
            len(self._done) >= self._rows
            or len(self._join) >= LOOKUP
            or (bool(self._done) and time.monotonic() - self._last > COMMIT_EVERY_S)
        )

    def commit(self) -> Iterator[Event]:
        """Write what is at hand; yields what a person should know of it."""
        yield from self._commit_known()
        while self._done:
            part = [self._done.popleft() for _ in range(min(self._rows, len(self._done)))]
            yield from self._commit(part)
            self._make_way()
        self._last = time.monotonic()

    @property
    def _rows(self) -> int:
        return ALONE_ROWS if self._ws.db.alone() else BATCH_ROWS

    def _make_way(self) -> None:
        """The turn of whoever else works with the record."""
        if not self._ws.db.alone():
            time.sleep(PAUSE_S)

    def _commit_known(self) -> Iterator[Event]:
        """Known pictures that are not in this dataset join it; usually they all are, and nothing is written."""
        while self._join:
            part, self._join = self._join[:LOOKUP], self._join[LOOKUP:]
            with self._ws.db.read() as conn:
                outside = self._outside(conn, part)
                older = register.rivals(conn, self.dataset_id, outside)
            kept = {r.joining: r for r in older if r.n_truth}
            yield from [self._kept(r) for r in kept.values()]
            outside = [a for a in outside if a not in kept]
            for i in range(0, len(outside), rows := self._rows):
                batch = outside[i : i + rows]
                joining = set(batch)
                with self._change({*batch, *(r.asset_id for r in older if r.joining in joining)}) as draft:
                    messages = self._enrol(draft, batch)
                    jobs.advance(draft.conn, self._lease, 0, n=len(batch), step=draft.step)
                self._committed(draft)
                yield from messages
                self._make_way()

    def _change(self, assets: Iterable[int]) -> Any:
        return record.change(
            self._ws.db, agent_id=self._agent_id, activity_id=self._job.activity_id, verb="ingest",
            dataset_id=self.dataset_id, assets=assets, step=self.step, durable=False,
        )  # fmt: skip

    def _committed(self, draft: Draft) -> None:
        self.step = self.step or draft.step
        self.tally.rev = draft.rev

    def _commit(self, part: list[Done]) -> Iterator[Event]:
        digests = [d.facts.blake3 for d in part if d.facts]
        with self._ws.db.read() as conn:
            places = register.by_digest(conn, digests)
            ids = [asset_id for asset_id, _ in places.values()]
            before = self._outside(conn, ids)
        if not before and len(places) == len(set(digests)):  # nothing for the record itself: no revision
            with self._ws.db.write(durable=False) as conn:
                messages = self._aside(conn, part, {}, places)
                jobs.advance(conn, self._lease, 0, n=len(part))
            yield from messages
            return
        # An older state of a file may leave the dataset: a person at work on it is waited for, then seen.
        older = {k.asset_id for d in part for k in d.todo.stale if k.state is None and k.asset_id is not None}
        with self._change({*before, *older}) as draft:
            messages = self._register(draft, part)
            jobs.advance(draft.conn, self._lease, 0, n=len(part), step=draft.step)
        self._committed(draft)
        yield from messages

    def _register(self, draft: Draft, part: list[Done]) -> list[Warned]:
        conn = draft.conn
        register.lock(conn)
        places = register.by_digest(conn, [d.facts.blake3 for d in part if d.facts])
        fresh: dict[bytes, Done] = {}
        for done in part:
            if done.facts and done.facts.blake3 not in places:
                fresh.setdefault(done.facts.blake3, done)
        ids = register.insert_assets(
            conn,
            [
                NewAsset(d.root.id, d.todo.found.path, d.todo.found.disk_path, d.mtime_ns, d.facts)
                for d in fresh.values()
                if d.facts
            ],
            draft.activity_id,
        )
        for (digest, done), asset_id in zip(fresh.items(), ids, strict=True):
            places[digest] = (asset_id, done.todo.found.path)
            self.tally.new += 1
        messages = self._aside(conn, part, {digest: fresh.get(digest) for digest in places}, places)
        wanted = sorted({places[d.facts.blake3][0] for d in part if d.facts})
        return messages + self._enrol(draft, self._outside(conn, wanted))

    def _outside(self, conn: sa.Connection, assets: Iterable[int]) -> list[int]:
        """Those that are not in the dataset and were not cleaned out of it: what a person threw out stays out."""
        outside = set(assets) - register.live_items(conn, self.dataset_id, assets)
        return sorted(outside - register.cleaned(conn, self.dataset_id, outside))

    def _aside(
        self,
        conn: sa.Connection,
        part: list[Done],
        fresh: dict[bytes, Done | None],
        places: dict[bytes, tuple[int, str]],
    ) -> list[Warned]:
        """Remember duplicates, archives, ignored and quarantined files; forget what is out of date; say what matters."""
        rows: list[Seen] = []
        touched: list[tuple[int, int, bytes | None]] = []
        stale: list[int] = []
        messages: list[Warned] = []
        for done in part:
            found, tally = done.todo.found, self.tally
            where = f"{done.root.code}/{found.path}"
            base = Seen(done.root.id, found.path, found.size_bytes, done.mtime_ns, register.IGNORED)
            if done.lasting:
                stale += [
                    k.row_id
                    for k in done.todo.stale
                    if k.state is not None and not (k.state == register.ARCHIVE and k.reason != self.dataset)
                ]
            if done.facts:
                tally.bytes += done.facts.size_bytes
                asset_id, first = places[done.facts.blake3]
                mine = [k for k in done.todo.stale if k.state is None]
                if fresh.get(done.facts.blake3) is done:
                    if mine:
                        tally.changed += 1
                        tally.note("changed", where)
                elif any(k.asset_id == asset_id for k in mine):
                    tally.touched += 1
                    touched.append((asset_id, done.mtime_ns, found.disk_path))
                else:
                    tally.duplicates += 1
                    tally.note("duplicates", where, first)
                    rows.append(
                        replace(
                            base,
                            size_bytes=done.facts.size_bytes,
                            state=register.DUPLICATE,
                            asset_id=asset_id,
                        )
                    )
            elif done.todo.closes_archive:
                tally.archives += 1
                rows.append(replace(base, state=register.ARCHIVE, reason=self.dataset))
            elif done.ignored:
                tally.ignored += 1
                rows.append(replace(base, reason=done.fault))
            elif done.lasting:
                tally.aside += 1
                tally.note("quarantined", where, done.fault)
                rows.append(replace(base, state=register.QUARANTINED, reason=done.fault))
                messages.append(Warned(done.fault, where))
            else:
                tally.unreadable += 1
                tally.note("unreadable", where, done.fault)
                messages.append(Warned(done.fault, where))
        register.forget_seen(conn, stale)
        register.insert_seen(conn, rows, self._job.activity_id)
        register.touch(conn, touched)
        return messages

    def _enrol(self, draft: Draft, joining: Sequence[int]) -> list[Warned]:
        """Put assets into the dataset. An older state of the same file leaves it, unless it holds a person's work."""
        messages = []
        leaving: dict[int, ItemEdit] = {}
        kept: set[int] = set()
        emptied: list[int] = []
        for rival in register.rivals(draft.conn, self.dataset_id, joining):
            if rival.n_truth:
                kept.add(rival.joining)
                messages.append(self._kept(rival))
                continue
            leaving[rival.item_id] = ItemEdit(self.dataset_id, rival.asset_id, closes=rival.item_id)
            if not rival.shared:
                emptied.append(rival.asset_id)
        entering = [ItemEdit(self.dataset_id, a, opens=(0, 0)) for a in joining if a not in kept]
        self.tally.joined += len(joining) - len(kept)
        draft.enrol([*leaving.values(), *entering])
        draft.annotate([Edit(closes=row) for row in register.live_annotations(draft.conn, emptied)])
        return messages

    def _kept(self, rival: Rival) -> Warned:
        self.tally.kept += 1
        self.tally.note("kept", rival.path)
        return Warned(
            "changed on disk after it was labelled: the labelled state stays in the dataset", rival.path
        )

    def forget_gone(self, root: Root, start: bytes) -> None:
        """After a whole walk: what was quarantined below `start` and is no longer there is no problem any more."""
        prefix = "/".join(names.readable(p) for p in start.split(b"/")) if start else ""
        after = 0
        while True:
            with self._ws.db.read() as conn:
                rows = register.put_aside(conn, root.id, after=after)
            if not rows:
                return
            after = rows[-1][0]
            gone = []
            for row_id, path in rows:
                inside = not prefix or path == prefix or path.startswith(prefix + "/")
                outer = path.partition("!/")[0]
                # A name that is shown with escapes cannot be looked for by its text: such a row stays.
                if (
                    inside
                    and "\\" not in outer
                    and not os.path.lexists(names.native(root.location, outer.encode()))
                ):
                    gone.append(row_id)
            if gone:
                with self._ws.db.write(durable=False) as conn:
                    register.forget_seen(conn, gone)

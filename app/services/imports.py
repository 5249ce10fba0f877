"""Foreign annotations into a dataset: classes mapped, pictures matched by path, one undoable step, nothing doubled."""

from __future__ import annotations

import functools
import os
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from annotation.core import new_uid
from annotation.errors import InvalidInput, NotFound
from annotation.formats import FORMATS
from annotation.formats.base import Record
from annotation.formats.sheets import PICTURES
from app.events import Changes, Event, Finished, Progress, Started, Warned, Work
from app.services import labelling
from app.services import schema as schemas
from app.services.workspace import Workspace
from storage import jobs, names, queries, record, register
from storage.jobs import Job, Lease
from storage.queries import DatasetRow
from storage.record import BATCH_ROWS, PAUSE_S, Content, Edit, ItemEdit
from storage.register import Pictured
from storage.tables import SPLITS

LISTED = 200
WARNED = 50
"""Pictures warned of one by one; the rest is in the counts and lists."""


def import_labels(ws: Workspace, format: str, path: Path, *, dataset: str, strict: bool = False) -> Work:
    """Take annotations of another tool into a dataset, as truth of origin "import".

    A picture of the file is found by its path: the asset that shares the longest run of trailing parts with it, if it is
    the only one. An object that the picture holds already (same label, same shape) is skipped, so the same file can be
    imported again. Predictions in the file are left out: they are not truth.

    Args:
        format: a name of annotation.formats.FORMATS.
        path: the file or folder.
        strict: refuse classes that the label schema does not know, instead of adding them.

    Raises:
        InvalidFile: the file is faulty; every fault is named and nothing is written.
        NotFound, InvalidInput: no such dataset, format, class (strict). Conflict: the same import runs elsewhere.
    """
    module = FORMATS.get(format)
    if module is None:
        raise InvalidInput(f"there is no format {format!r}", remedy=f"one of {', '.join(FORMATS)}")
    if not path.exists():
        raise NotFound("there is no such file or folder", where=str(path))
    with ws.db.read() as conn:
        data = queries.dataset(conn, dataset)
    yield Started(f"import {format} · {_shown(path)} → {data.name}")
    pictures = _Pictures(ws, data.id)
    classes: Counter[str] = Counter()
    total = 0
    for found in module.read(
        path, sizes=pictures.size
    ):  # a faulty file is refused here, before anything is written
        total += 1
        classes.update(a.label for a in found.annotations)
    mapped = schemas.ensure_labels(
        ws, data.schema_code, classes, where_from=f"{format} {_shown(path)}", strict=strict
    )
    if mapped.added:
        yield Warned(
            f"{len(mapped.added)} classes were unknown: schema {data.schema_code} is now version {mapped.number}",
            ", ".join(mapped.added[:8]),
        )
    job = _job(ws, data, format, path, total, strict=strict)
    with jobs.held(ws.db, job.id) as lease:
        writer = _Writer(ws, data, job, lease, pictures, mapped.codes)
        shown = 0.0
        for n, found in enumerate(module.read(path, sizes=pictures.size), 1):
            yield from writer.add(found)
            now = time.monotonic()
            if now - shown > 0.1:
                shown = now
                yield Progress(n, total)
        writer.commit()
        with ws.db.write() as conn:
            jobs.finish(conn, job.id, "finished")
    tally = writer.tally
    yield Progress(total, total)
    yield Finished(
        {
            "job": job.id, "dataset": data.name, "format": format, "pictures": total, "matched": tally.matched,
            "unmatched": tally.unmatched, "ambiguous": tally.ambiguous, "wrong_size": tally.wrong_size,
            "annotations": tally.added, "identical": tally.identical, "predictions_left_out": tally.predictions,
            "splits": tally.splits, "classes": dict(mapped.codes), "new_classes": list(mapped.added),
            "schema": f"{data.schema_code}@{mapped.number}", "lists": tally.lists, "step": writer.step,
        },
        Changes(writer.rev, datasets=(data.id,), everything=writer.rev > 0),
        problems=tally.unmatched + tally.ambiguous + tally.wrong_size,
    )  # fmt: skip


def again(ws: Workspace, job: Job) -> Work:
    """Do what is left of an import that was interrupted: the whole file again, which doubles nothing."""
    p: dict[str, Any] = dict(job.params)
    path = Path(os.fsdecode(bytes.fromhex(p["path"])))
    return import_labels(ws, p["format"], path, dataset=p["dataset"], strict=p["strict"])


def _shown(path: Path) -> str:
    """The file's name as text; its bytes may be GBK or none at all."""
    return names.readable(os.fsencode(path.name))


def _job(ws: Workspace, data: DatasetRow, format: str, path: Path, total: int, *, strict: bool) -> Job:
    """The unfinished job of this very import, or a new one."""
    params: dict[str, object] = {
        "format": format, "path": os.fsencode(path.resolve()).hex(), "file": _shown(path), "dataset": data.name,
        "strict": strict,
    }  # fmt: skip
    with ws.db.read() as conn:
        for job in jobs.listing(conn, open_only=True):
            if job.kind == "import" and dict(job.params) == params:
                return job
    with ws.db.write() as conn:
        activity = record.start_activity(conn, "import", ws.person.id, params)
        record.link(conn, activity, "used", "file", _shown(path))
        record.link(conn, activity, "used", "dataset", data.name)
        job_id = jobs.create(
            conn, "import", activity_id=activity, dataset_id=data.id, params=params, total=total, shards=[(1, 2**62)]
        )  # fmt: skip
        return jobs.get(conn, job_id)


# --- which picture --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Match:
    """The asset a path means, or why none: 0 or several candidates."""

    picture: Pictured | None
    candidates: tuple[str, ...] = ()


def _stem(path: str) -> str:
    """The last part without a picture's suffix, case folded: what candidates are found by."""
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return (name[:dot] if dot > 0 and name[dot:].lower() in PICTURES else name).casefold()


class _Pictures:
    """The dataset's pictures by the hash of their stem: 16 bytes a picture, the text is asked when it is needed."""

    def __init__(self, ws: Workspace, dataset_id: int) -> None:
        self._ws, self._dataset_id = ws, dataset_id
        hashes, ids = array("q"), array("q")
        self._twins: dict[int, list[str]] = {}
        after = 0
        while True:
            with ws.db.read() as conn:
                rows = register.item_paths(conn, dataset_id, after=after)
            for asset_id, path in rows:
                hashes.append(hash(_stem(path)))
                ids.append(asset_id)
            if not rows:
                break
            after = rows[-1][0]
        after = 0
        while True:  # an exact duplicate has one asset and several paths
            with ws.db.read() as conn:
                twins = register.duplicates(conn, dataset_id, after=after)
            for _, asset_id, path in twins:
                hashes.append(hash(_stem(path)))
                ids.append(asset_id)
                self._twins.setdefault(asset_id, []).append(path)
            if not twins:
                break
            after = twins[-1][0]
        keys = np.frombuffer(hashes, np.int64) if hashes else np.zeros(0, np.int64)
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._ids = np.frombuffer(ids, np.int64)[order] if ids else np.zeros(0, np.int64)
        self.find = functools.lru_cache(maxsize=50_000)(self._find)

    def size(self, path: str) -> tuple[int, int] | None:
        """(width, height) in px after orientation of the picture a path of the file means."""
        found = self.find(path).picture
        return (found.width_px, found.height_px) if found else None

    def _find(self, path: str) -> _Match:
        key = hash(_stem(path))
        first, last = np.searchsorted(self._keys, key, "left"), np.searchsorted(self._keys, key, "right")
        ids = sorted({int(i) for i in self._ids[first:last]})
        if not ids:
            return _Match(None)
        with self._ws.db.read() as conn:
            candidates = register.pictured(conn, ids)
        best: dict[int, Pictured] = {}
        most = 0
        for c in candidates:
            for known in (c.path, f"{c.root_code}/{c.path}", *self._twins.get(c.asset_id, ())):
                shared = _shared(path, known.replace("!/", "/"))
                if shared > most:
                    best, most = {}, shared
                if shared and shared == most:
                    best[c.asset_id] = c
        if len(best) == 1:
            return _Match(next(iter(best.values())))
        return _Match(None, tuple(c.path for c in best.values()))


def _shared(foreign: str, known: str) -> int:
    """Number of equal trailing parts; 0 when the names differ. A name without a picture's suffix equals any with one.

    A whole path counts one more than its parts: `a/x.jpg` means the picture at `a/x.jpg`, not the one at `b/a/x.jpg`.
    """
    left, right = foreign.split("/")[::-1], known.split("/")[::-1]
    bare = PurePosixPath(left[0]).suffix.lower() not in PICTURES
    same = left[0].casefold() == right[0].casefold() or (bare and left[0] == PurePosixPath(right[0]).stem)
    if not same:
        return 0
    n = 1
    while n < min(len(left), len(right)) and left[n] == right[n]:
        n += 1
    return 2 * n + (n == len(left) == len(right))


# --- writing --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tally:
    matched: int = 0
    unmatched: int = 0
    ambiguous: int = 0
    wrong_size: int = 0
    added: int = 0
    identical: int = 0
    predictions: int = 0
    splits: int = 0
    lists: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, text: str) -> bool:
        """Keep the name; True while few enough were kept to warn of each."""
        noted = self.lists.setdefault(kind, [])
        if len(noted) < LISTED:
            noted.append(text)
        return len(noted) <= WARNED


class _Writer:
    """Commits records in changes of about BATCH_ROWS objects, all in one step."""

    def __init__(
        self,
        ws: Workspace,
        data: DatasetRow,
        job: Job,
        lease: Lease,
        pictures: _Pictures,
        codes: Mapping[str, str],
    ) -> None:
        self._ws, self._data, self._job, self._lease, self._pictures, self._codes = (
            ws,
            data,
            job,
            lease,
            pictures,
            codes,
        )
        self.step, self.rev = job.step, 0
        self.tally = _Tally()
        self._pending: list[tuple[int, Record]] = []
        self._objects = 0
        with ws.db.read() as conn:
            self._agent_id = register.agent_of(conn, job.activity_id)
        with ws.db.write() as conn:
            self._numbers = record.label_ids(conn, sorted(set(codes.values())))

    def add(self, found: Record) -> Iterator[Event]:
        match = self._pictures.find(found.path)
        picture = match.picture
        tally = self.tally
        if picture is None:
            kind = "ambiguous" if match.candidates else "unmatched"
            setattr(tally, kind, getattr(tally, kind) + 1)
            if tally.note(kind, found.path):
                yield Warned(
                    f"several pictures fit: {', '.join(match.candidates[:3])}" if match.candidates
                    else "no picture of this name in the dataset",
                    found.path,
                )  # fmt: skip
            return
        wh = (picture.width_px, picture.height_px)
        if found.width and found.height and (found.width, found.height) != wh:
            tally.wrong_size += 1
            if tally.note("wrong_size", found.path):
                yield Warned(
                    f"the file says {found.width} x {found.height} px, the picture has {wh[0]} x {wh[1]}",
                    found.path,
                )
            return
        tally.matched += 1
        self._pending.append((picture.asset_id, found))
        self._objects += len(found.annotations)
        if self._objects >= BATCH_ROWS or len(self._pending) >= BATCH_ROWS:
            self.commit()
            time.sleep(PAUSE_S)

    def commit(self) -> None:
        """Write what is at hand, in one change."""
        pending, self._pending, self._objects = self._pending, [], 0
        if not pending:
            return
        assets = sorted({asset_id for asset_id, _ in pending})
        with (
            self._ws.db.read() as conn
        ):  # usually decides that nothing is new, so that no empty change is written
            edits, items, counts = self._edits(conn, assets, pending)
        if not edits and not items:
            self._count(counts)
            with self._ws.db.write(durable=False) as conn:
                jobs.advance(conn, self._lease, 0, n=len(pending))
            return
        with record.change(
            self._ws.db, agent_id=self._agent_id, activity_id=self._job.activity_id, verb="import",
            dataset_id=self._data.id, assets=assets, step=self.step, durable=False,
        ) as draft:  # fmt: skip
            edits, items, counts = self._edits(draft.conn, assets, pending)
            draft.enrol(items)
            draft.annotate(edits)
            jobs.advance(draft.conn, self._lease, 0, n=len(pending), step=draft.step)
        self._count(counts)
        self.step, self.rev = self.step or draft.step, draft.rev

    def _count(self, counts: Counter[str]) -> None:
        for name, n in counts.items():
            setattr(self.tally, name, getattr(self.tally, name) + n)

    def _edits(
        self, conn: Any, assets: list[int], pending: list[tuple[int, Record]]
    ) -> tuple[list[Edit], list[ItemEdit], Counter[str]]:
        held = register.truth_shapes(conn, assets)
        rows = register.item_rows(conn, self._data.id, assets)
        edits: list[Edit] = []
        items: dict[int, ItemEdit] = {}
        counts: Counter[str] = Counter()
        for asset_id, found in pending:
            row = rows.get(asset_id)
            if row is None:  # it left the dataset meanwhile
                continue
            for a in found.annotations:
                if a.origin == "model":
                    counts["predictions"] += 1
                    continue
                number = self._numbers[self._codes[a.label]]
                content = labelling.content(replace(a, uid=new_uid()), asset_id, number, origin="import")
                key = _key(content)
                if key in held:
                    counts["identical"] += 1
                    continue
                held.add(key)
                counts["added"] += 1
                edits.append(Edit(opens=content))
            split = SPLITS.index(found.split) if found.split in SPLITS else 0
            if (
                split and row.split == 0 and asset_id not in items
            ):  # a split that is set already is a person's decision
                counts["splits"] += 1
                items[asset_id] = ItemEdit(
                    self._data.id,
                    asset_id,
                    closes=row.id,
                    opens=(split, row.review),
                    assignee=row.assignee_id,
                )
        return edits, list(items.values()), counts


def _key(c: Content) -> tuple[object, ...]:
    return (c.asset_id, c.label_id, c.kind, c.box, c.geometry)


__all__ = ["again", "import_labels"]

"""A source root that has moved: find its files again by size and digest, then change where the root lies. Paths stay."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from blake3 import blake3

from annotation.errors import InvalidInput, LamproomError, NotFound
from app.events import Changes, Event, Finished, Progress, Started, Warned, Work
from app.services.workspace import Workspace
from storage import media, names, record, register, sources
from storage.record import BATCH_ROWS, PAUSE_S
from storage.register import Copy, Root

WARNED = 50
LISTED = 200
THREADS = 4
SAMPLE = 32


def relink(ws: Workspace, root_code: str, new_location: Path, *, sample: int | None = None) -> Work:
    """Tell where the folder of a source lies now.

    Every file's size is compared, and its BLAKE3 digest; with `sample` only that of about so many files, evenly spread.
    A file that is not at its path is looked for by size and digest anywhere below the new folder. The recorded paths never
    change: they are in manifests; where a file lies otherwise is kept beside its path.

    Raises:
        NotFound: no such source or folder.
        InvalidInput: fewer files fit than do not: nothing is changed.
    """
    folder = os.path.realpath(os.fsencode(new_location))
    if not os.path.isdir(folder):  # noqa: PTH112 - bytes
        raise NotFound("there is no such folder", where=str(new_location))
    with ws.db.read() as conn:
        known = register.roots(conn)
        root = next((r for r in known if r.code == root_code), None)
        if root is None:
            raise NotFound(
                f"there is no source {root_code!r}",
                remedy=f"one of {', '.join(r.code for r in known) or 'none yet'}",
            )
        total = register.count_assets(conn, root.id)
    yield Started(f"relink {root_code} → {names.readable(folder)}", total)
    check = _Check(ws, replace(root, location=folder), every=max(1, total // sample) if sample else 1)
    yield from check.in_place(total)
    yield from check.elsewhere()
    tally = check.tally
    if total and tally.fits + tally.moved <= tally.differ + len(check.missing):
        raise InvalidInput(
            f"{tally.fits + tally.moved} of {total} files fit, {tally.differ} differ, {len(check.missing)} are not there",
            where=names.readable(folder), remedy="name the folder that holds the source's files",
        )  # fmt: skip
    for copy in check.missing.values():
        if tally.note("missing", copy.path):
            yield Warned("not found below the new folder", f"{root_code}/{copy.path}")
    with ws.db.write() as conn:
        activity = record.start_activity(
            conn, "relink", ws.person.id,
            {"root": root_code, "from": names.readable(root.location), "to": names.readable(folder)}, open_=False,
        )  # fmt: skip
        record.link(conn, activity, "used", "file", names.readable(folder))
        register.move_root(conn, root.id, folder)
    for i in range(0, len(check.touched), BATCH_ROWS):
        with ws.db.write(durable=False) as conn:
            register.touch(conn, check.touched[i : i + BATCH_ROWS])
        time.sleep(PAUSE_S)
    yield Finished(
        {
            "root": root_code, "location": names.readable(folder), "files": total, "fit": tally.fits,
            "by_digest": tally.digests, "moved": tally.moved, "differ": tally.differ, "missing": len(check.missing),
            "lists": tally.lists,
        },
        Changes(everything=True),
        problems=tally.differ + len(check.missing),
    )  # fmt: skip


class _Tally:
    def __init__(self) -> None:
        self.fits = self.digests = self.moved = self.differ = 0
        self.lists: dict[str, list[str]] = {}

    def note(self, kind: str, text: str) -> bool:
        noted = self.lists.setdefault(kind, [])
        if len(noted) < LISTED:
            noted.append(text)
        return len(noted) <= WARNED


@dataclass(frozen=True, slots=True)
class _Verdict:
    copy: Copy
    what: str  # "fits", "differs", "missing"
    mtime_ns: int = 0
    hashed: bool = False


class _Check:
    """Looks for every asset of a root below its new folder."""

    def __init__(self, ws: Workspace, root: Root, *, every: int) -> None:
        self._ws, self._root, self._every = ws, root, every
        self.tally = _Tally()
        self.missing: dict[int, Copy] = {}
        self.touched: list[tuple[int, int, bytes | None]] = []

    def in_place(self, total: int) -> Iterator[Event]:
        """Every asset at its own path."""
        after = done = 0
        shown = time.monotonic()
        with ThreadPoolExecutor(THREADS, thread_name_prefix="relink") as pool:
            while True:
                with self._ws.db.read() as conn:
                    rows = register.copies(conn, self._root.id, after=after, limit=500)
                if not rows:
                    return
                after = rows[-1].asset_id
                wanted = [(done + i) % self._every == 0 for i in range(len(rows))]
                for verdict in pool.map(self.judge, rows, wanted):
                    copy = verdict.copy
                    self.tally.digests += verdict.hashed
                    if verdict.what == "fits":
                        self.tally.fits += 1
                        if verdict.mtime_ns != copy.mtime_ns and verdict.hashed:
                            self.touched.append((copy.asset_id, verdict.mtime_ns, copy.disk_path))
                    elif verdict.what == "differs":
                        self.tally.differ += 1
                        if self.tally.note("differ", copy.path):
                            yield Warned("another content than recorded", f"{self._root.code}/{copy.path}")
                    else:
                        self.missing[copy.asset_id] = copy
                    done += 1
                    now = time.monotonic()
                    if now - shown > 0.1:
                        shown = now
                        yield Progress(done, total)

    def judge(self, copy: Copy, by_digest: bool = True) -> _Verdict:
        """Whether the asset's file is at its path."""
        try:
            raw = names.raw_of(copy.path, copy.disk_path)
            outer = sources.split(copy.path, copy.disk_path)[0] if names.MEMBER in copy.path else raw
            status = os.stat(names.native(self._root.location, outer))  # noqa: PTH116
            if not stat.S_ISREG(status.st_mode):
                return _Verdict(copy, "missing")
            if outer is raw and status.st_size != copy.size_bytes:
                return _Verdict(copy, "differs")
            if not by_digest:
                return _Verdict(copy, "fits", status.st_mtime_ns)
            data = media.read_bytes(self._root.location, copy.path, copy.disk_path)
        except (OSError, LamproomError):
            return _Verdict(copy, "missing")
        same = blake3(data).digest() == copy.blake3
        return _Verdict(copy, "fits" if same else "differs", status.st_mtime_ns, True)

    def elsewhere(self) -> Iterator[Event]:
        """What is not at its path: by size and digest among all files below the new folder."""
        loose = {i: c for i, c in self.missing.items() if names.MEMBER not in c.path}
        by_size: dict[int, dict[bytes, Copy]] = {}
        for copy in loose.values():
            by_size.setdefault(copy.size_bytes, {})[copy.blake3] = copy
        if not by_size:
            return
        for found in sources.walk(self._root.location):
            wanted = by_size.get(found.size_bytes)
            if not wanted or found.kind != "file":
                continue
            try:
                data, status = sources.load(self._root.location, found)
            except LamproomError:
                continue
            digest = blake3(data).digest()
            if digest not in wanted:
                continue
            copy = wanted.pop(digest)
            del self.missing[copy.asset_id]
            self.tally.moved += 1
            raw = names.raw_of(found.path, found.disk_path)
            self.touched.append((copy.asset_id, status.st_mtime_ns, raw))
            if self.tally.note("moved", f"{copy.path} → {found.path}"):
                yield Progress(self.tally.fits + self.tally.moved)


def recognise(ws: Workspace, folder: bytes) -> Root | None:
    """The source that has moved to this folder, if its old folder is gone and nine in ten of a sample of its files are
    here with the same bytes; its location is then changed.
    """
    with ws.db.read() as conn:
        lost = [r for r in register.roots(conn) if not os.path.isdir(r.location)]  # noqa: PTH112
        samples = {r.id: register.sample(conn, r.id, SAMPLE) for r in lost}
    for root in lost:
        check = _Check(ws, replace(root, location=folder), every=1)
        copies = samples[root.id]
        first = copies[:4]  # most folders are no moved source: four files tell
        if not first or not any(check.judge(c).what == "fits" for c in first):
            continue
        fits = sum(check.judge(c).what == "fits" for c in copies)
        if fits * 10 >= len(copies) * 9:
            with ws.db.write() as conn:
                activity = record.start_activity(
                    conn, "relink", ws.person.id,
                    {"root": root.code, "from": names.readable(root.location), "to": names.readable(folder)}, open_=False,
                )  # fmt: skip
                record.link(conn, activity, "used", "file", names.readable(folder))
                register.move_root(conn, root.id, folder)
            return replace(root, location=folder)
    return None


__all__ = ["recognise", "relink"]

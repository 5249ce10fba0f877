"""Register pictures of folders, file lists and archives: read once, hashed twice, known files skipped, sources untouched.

The walk and every write happen in the caller's thread; threads read and hash (both digests and the read leave the
interpreter free). Results are taken in the order of the walk, so what is committed is always a prefix of it: after a kill
the next run skips that prefix by path, size and time, and goes on. Nothing needs to be remembered beside the record.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotation.errors import InvalidInput, NotFound, Unavailable
from app.events import Changes, Event, Finished, Progress, Started, Warned, Work
from app.services import intake
from app.services import schema as schemas
from app.services.enrolment import Done, Todo, Writer
from app.services.relinking import relink
from app.services.workspace import Workspace
from storage import blobs, jobs, media, record, register, sources
from storage.jobs import Job
from storage.register import Root
from storage.sources import NotPicture

READERS = 4
"""Threads that read and hash: more than two cores, because a read waits for the disk."""
WINDOW = 4
"""Chunks under way a thread."""
SHOW_EVERY_S = 0.1
MAX_LIST_BYTES = 512 << 20


def run(ws: Workspace, sources: Sequence[Path], *, dataset: str, file_list: bool = False) -> Work:
    """Register every picture below the sources and put it into the dataset, which is made when it does not exist.

    The same call after an interruption goes on with the unfinished job.

    Args:
        sources: folders, pictures or archives; with `file_list` text files of one path a line (relative ones are relative
            to the list's folder), "-" = standard input.

    Raises:
        NotFound, InvalidInput: before anything is written. Conflict: another process does this very ingest.
    """
    name = register.check_dataset_name(dataset)
    if not sources:
        raise InvalidInput("nothing to ingest", remedy="name a folder, a file or an archive")
    params: dict[str, Any] = {"dataset": name}
    if file_list:
        params["lists"] = [_keep_list(ws, path) for path in sources]
    else:
        for path in sources:
            if not os.path.lexists(path):
                raise NotFound("there is no such file or folder", where=str(path))
        params["sources"] = [intake.real(path).hex() for path in sources]
        params["shown"] = [intake.readable(path) for path in sources]
    with ws.db.read() as conn:
        same = [
            j for j in jobs.listing(conn, open_only=True) if j.kind == "ingest" and dict(j.params) == params
        ]
    yield from go_on(ws, same[-1] if same else _create(ws, name, params))


def _create(ws: Workspace, name: str, params: dict[str, Any]) -> Job:
    code = schemas.default_code(ws)
    with ws.db.write() as conn:
        activity = record.start_activity(conn, "ingest", ws.person.id, params)
        dataset_id = register.add_dataset(conn, name, code)
        record.link(conn, activity, "generated", "dataset", name)
        job_id = jobs.create(
            conn, "ingest", activity_id=activity, dataset_id=dataset_id, params=params, shards=[(1, 2**62)]
        )  # one piece: whoever holds it is at work
        return jobs.get(conn, job_id)


def go_on(ws: Workspace, job: Job) -> Work:
    """Do what is left of an ingest job.

    Raises:
        Conflict: a living process works on it.
    """
    params: dict[str, Any] = dict(job.params)
    title = ", ".join(params.get("shown", ())) or "file list"
    with jobs.held(ws.db, job.id) as lease:
        writer = Writer(ws, job, lease)
        yield Started(f"ingest {job.params['dataset']} · {title}", None, str(job.id))
        with _Readers(ws.folder) as readers:
            yield from _flow(ws, job, writer, readers)
        with ws.db.write() as conn:
            jobs.finish(conn, job.id, "finished")
    ws.db.checkpoint()
    tally = writer.tally
    if tally.files == tally.other:
        yield Warned("no picture was found; a list of files is read with --list", title)
    yield Progress(tally.files, tally.files)
    yield Finished(
        {"job": job.id, "dataset": job.params["dataset"], **tally.report(), "step": writer.step},
        Changes(tally.rev, datasets=(job.dataset_id or 0,), everything=tally.rev > 0),
        problems=tally.n_problems,
    )


def _flow(ws: Workspace, job: Job, writer: Writer, readers: _Readers) -> Iterator[Event]:
    shown = 0.0
    tally = writer.tally
    walked: list[tuple[Root, bytes]] = []
    for root, found in intake.to_read(ws, job, writer, walked):
        readers.give(root, found)
        while (done := readers.take(wait=readers.is_full)) is not None:
            writer.add(done)
        if writer.is_due:
            yield from writer.commit()
        now = time.monotonic()
        if now - shown >= SHOW_EVERY_S:
            shown = now
            yield Progress(tally.files, None, tally.rate())
    while (done := readers.take(wait=True)) is not None:
        writer.add(done)
        if writer.is_due:
            yield from writer.commit()
            yield Progress(tally.files, None, tally.rate())
    yield from writer.commit()
    for root, start in walked:
        writer.forget_gone(root, start)


# --- file lists --------------------------------------------------------------------------------------------------
def _keep_list(ws: Workspace, path: Path) -> dict[str, str]:
    """Copy a file list into the workspace, so that an interrupted job still has it (standard input is gone by then)."""
    if str(path) == "-":
        data, base = sys.stdin.buffer.read(MAX_LIST_BYTES + 1), os.fsencode(Path.cwd())
    else:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_LIST_BYTES + 1)
        except OSError as error:
            raise NotFound(f"the list cannot be read: {error.strerror}", where=str(path)) from error
        base = os.path.dirname(intake.real(path))  # noqa: PTH120
    if len(data) > MAX_LIST_BYTES:
        raise InvalidInput(f"the list is larger than {MAX_LIST_BYTES >> 20} MiB", where=str(path))
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise InvalidInput("the list names no file", where=str(path))
    return {"list": blobs.put(ws.folder, data), "base": base.hex()}


# --- reading ------------------------------------------------------------------------------------------------------


def _read(folder: Path, root: Root, chunk: Sequence[Todo]) -> list[Done]:
    return [_read_one(folder, root, todo) for todo in chunk]


def _read_one(folder: Path, root: Root, todo: Todo) -> Done:
    found = todo.found
    if todo.closes_archive:
        return Done(root, todo, None, found.mtime_ns)
    if found.kind == "fault":
        return Done(root, _light(todo), None, found.mtime_ns, found.fault, lasting=found.lasting)
    try:
        data, status = sources.load(root.location, found)
        facts = media.probe(data)
        if found.data is not None and media.needs_copy(found.path):
            blobs.put(folder, data)
        return Done(root, _light(todo), facts, status.st_mtime_ns)
    except NotPicture as error:
        return Done(root, _light(todo), None, found.mtime_ns, error.what, ignored=True)
    except (NotFound, Unavailable) as error:
        return Done(root, _light(todo), None, found.mtime_ns, error.what, lasting=False)
    except InvalidInput as error:
        remedy = f" ({error.remedy})" if error.remedy else ""
        return Done(root, _light(todo), None, found.mtime_ns, error.what + remedy)
    except (OSError, MemoryError) as error:
        return Done(root, _light(todo), None, found.mtime_ns, f"cannot be read: {error}", lasting=False)


def _light(todo: Todo) -> Todo:
    """The same without the content that came along: it must not wait in memory for the writer."""
    return todo if todo.found.data is None else replace(todo, found=replace(todo.found, data=None))


class _Readers:
    """Threads that read chunks; results come back in the order given."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="ingest")
        self._queue: deque[Future[list[Done]]] = deque()

    def __enter__(self) -> _Readers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def is_full(self) -> bool:
        return len(self._queue) >= READERS * WINDOW

    def give(self, root: Root, chunk: list[Todo]) -> None:
        self._queue.append(self._pool.submit(_read, self._folder, root, chunk))

    def take(self, *, wait: bool) -> list[Done] | None:
        """The oldest chunk's results; None when there is none, or it is not ready and `wait` is False."""
        if not self._queue or not (wait or self._queue[0].done()):
            return None
        return self._queue.popleft().result()


__all__ = ["go_on", "relink", "run"]

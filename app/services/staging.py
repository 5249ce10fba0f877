"""A folder that exists whole or not at all: written beside its place under another name, then renamed; and writers in threads."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from annotation.errors import InvalidInput, Unavailable
from annotation.formats import Loss, Record
from annotation.labels import LabelSchema
from storage import files

PICTURES = ("link", "copy", "none")
_LOCK = ".lock"
_SAME = ".same"
_ASIDE = ".aside-"


def demand_empty(out: Path) -> None:
    """Refuse a target that holds something.

    Raises:
        InvalidInput: it is no empty folder.
    """
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise InvalidInput("the target is not an empty folder", where=str(out), remedy="name a new folder")


@contextmanager
def staged(out: Path, *, what: str, same: str = "") -> Iterator[Path]:
    """A folder to write to that becomes `out` when the block ends; after a failure or a kill `out` does not exist.

    Args:
        what: what is said when somebody else is at it.
        same: what is written, in words of the caller's. What a killed process that wrote the same left is kept aside, see
            `left_of`; otherwise it is removed.

    Raises:
        InvalidInput: `out` is not empty. Conflict: another process writes to it. Unavailable: the disk is full or
            forbidden.
    """
    demand_empty(out)
    staging = out.with_name(f".{out.name}.lamproom-part")
    with _translated(out), ExitStack() as held:
        staging.mkdir(parents=True, exist_ok=True)
        held.enter_context(files.alone(staging / _LOCK, what=what))
        try:
            _clear(staging, same)
            yield staging
            for old in _asides(staging):
                shutil.rmtree(old)
            (staging / _SAME).unlink(missing_ok=True)
            _flush(staging)
            demand_empty(out)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        if out.exists():
            out.rmdir()
        if os.name == "nt":  # a folder with an open file cannot be moved there
            held.close()
        staging.rename(out)
        (out / _LOCK).unlink()
    files.sync_folder(out.parent)


@contextmanager
def _translated(out: Path) -> Iterator[None]:
    """A full or forbidden disk is the person's to mend: one line instead of a traceback."""
    try:
        yield
    except OSError as error:
        remedy = (
            "free some space and export again"
            if error.errno == errno.ENOSPC
            else "name a folder you may write to"
        )
        raise Unavailable(
            f"cannot be written: {error.strerror or error}", where=str(out), remedy=remedy
        ) from error


def _clear(staging: Path, same: str) -> None:
    """Remove, or put aside, what a killed process left; the lock says that nobody else is at work."""
    mark = staging / _SAME
    keep = bool(same) and mark.is_file() and mark.read_text(encoding="utf-8") == same
    stale = [path for path in staging.iterdir() if path.name not in (_LOCK, _SAME)]
    if keep:
        aside = staging / f"{_ASIDE}{len(_asides(staging))}"
        fresh = [path for path in stale if not path.name.startswith(_ASIDE)]
        if fresh:
            aside.mkdir()
        for path in fresh:
            path.rename(aside / path.name)
        return
    for path in stale:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    mark.unlink(missing_ok=True)
    if same:
        files.write(mark, same.encode())


def _asides(staging: Path) -> list[Path]:
    return sorted(path for path in staging.iterdir() if path.name.startswith(_ASIDE))


def left_of(staging: Path) -> Callable[[str], Iterator[Path]]:
    """Finds files that processes which were killed had written at a place (relative, forward slashes), the oldest first."""
    asides = _asides(staging)
    return lambda place: (path for aside in asides if (path := aside / place).is_file())


def is_own(file: str) -> bool:
    """Whether a file of the staging folder is no part of what is written there."""
    return file in (_LOCK, _SAME) or file.startswith(_ASIDE)


def _flush(staging: Path) -> None:
    """All of it on the disk before it gets its name; one call for the whole system where there is one."""
    if hasattr(os, "sync"):
        os.sync()
    else:
        files.sync_tree(staging)


def add_losses(
    found: dict[str, Loss], module: ModuleType, records: Sequence[Record], schema: LabelSchema, dialect: str
) -> None:
    """Add up in `found` what a format loses of some records."""
    for loss in module.losses(records, schema, dialect):
        old = found.get(loss.what)
        found[loss.what] = loss if old is None else replace(old, n=old.n + loss.n)


class _Cancelled(Exception):
    """Ends the writing thread when the work is closed."""


def written(
    write: Callable[[Iterator[Record]], list[Path]], records: Iterable[Record], title: str, paths: list[Path]
) -> Iterator[None]:
    """Let a format pull the records in a thread of its own; yields about ten times a second until it is done.

    `paths` is filled with what it wrote. What it raises is raised here; closing this generator ends the thread.
    """
    stop = threading.Event()
    failed: list[BaseException] = []

    def watched() -> Iterator[Record]:
        for record in records:
            if stop.is_set():
                raise _Cancelled
            yield record

    def work() -> None:
        try:
            paths.extend(write(watched()))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, name=title, daemon=True)
    thresholds = gc.get_threshold()
    # Records are made and dropped by the million and hold no cycles: looking for some takes a tenth of the time.
    gc.set_threshold(50_000, *thresholds[1:])
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.1)
            yield
    finally:
        stop.set()
        thread.join()
        gc.set_threshold(*thresholds)
    if failed:
        raise failed[0]

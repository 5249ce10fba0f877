"""Write a version, or a dataset as it is now, for other tools: losses first, staged beside the target, then renamed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType

from blake3 import blake3

from annotation import formats, labels
from annotation.errors import InvalidInput, LamproomError, NotFound, Unavailable
from annotation.formats import Loss, Record
from annotation.labels import LabelSchema
from app.events import Changes, Finished, Progress, Started, Warned, Work
from app.services import labelling, versions
from app.services.workspace import Workspace
from storage import db as database
from storage import files, names, queries, record
from storage import versions as rows
from storage.manifest import Fact
from storage.versions import Filter, Member

PICTURES = ("link", "copy", "none")
REPORT = "lamproom-export.json"
PART = 250
"""Assets whose annotations are in memory at once, each part its own short read: crowded pictures stay flat too."""


@dataclass(frozen=True, slots=True)
class _Source:
    """What is exported: a dataset at a revision, with the label schema of then."""

    ref: str
    dataset_id: int
    name: str
    rev: int
    filter: Filter
    schema: LabelSchema
    root: str | None
    version_uid: str | None
    total: int


def losses(ws: Workspace, ref: str, format: str, *, predictions: bool | None = None) -> list[Loss]:
    """What the format cannot hold of `dataset@tag` or of the dataset as it is now; nothing is written.

    Args:
        format, predictions: as for `run`.

    Raises:
        NotFound: no such dataset or version. InvalidInput: no such format.
    """
    (module, dialect), source = formats.target(format), _source(ws, ref, predictions)
    found: dict[str, Loss] = {}
    for _ in _weigh(ws, source, module, dialect, found):
        pass
    return list(found.values())


def run(
    ws: Workspace,
    ref: str,
    format: str,
    out: Path,
    *,
    accept_losses: bool = False,
    pictures: str = "link",
    predictions: bool | None = None,
) -> Work:
    """Export `dataset@tag`, or a dataset as it is now, into a new folder. Killed or cancelled, `out` does not exist.

    Every loss is a `Warned` before anything is written.

    Args:
        format: one of `annotation.formats.names()`, such as coco or yolo-segment.
        out: a folder that does not exist or is empty.
        accept_losses: write although the format cannot hold everything.
        pictures: "link" = symbolic links to the sources (a copy where there is none to link: archives, systems
            without links), "copy", or "none".
        predictions: also predictions that nobody has accepted; by default only where the version was frozen with them.

    Raises:
        NotFound: no such dataset or version.
        InvalidInput: `out` is not empty; no such format; losses were not accepted, nothing was written.
        Conflict: another export to the same folder is under way.
    """
    (module, dialect), source = formats.target(format), _source(ws, ref, predictions)
    if pictures not in PICTURES:
        raise InvalidInput(f"pictures {pictures!r} is not known", remedy="link, copy or none")
    out = out.absolute()
    _demand_empty(out)
    yield Started(f"export {ref} · {format}", source.total)
    found: dict[str, Loss] = {}
    for done in _weigh(ws, source, module, dialect, found):
        yield Progress(done, source.total, "looking for losses")
    yield from (Warned(f"{loss.n} × {loss.what}", loss.example) for loss in found.values())
    if found and not accept_losses:
        raise InvalidInput(
            f"{format} cannot hold everything of {ref}: {'; '.join(f'{x.n} × {x.what}' for x in found.values())}",
            where=str(out), remedy="accept the losses, or export to native, which holds all",
        )  # fmt: skip
    staging, counts, faults = out.with_name(f".{out.name}.lamproom-part"), _Counts(), 0
    with _translated(out), ExitStack() as held:
        staging.mkdir(parents=True, exist_ok=True)
        held.enter_context(files.alone(staging / ".lock", what="another export to this folder is under way"))
        try:
            _clear(staging)
            yield from _write(ws, source, module, dialect, staging, counts)
            if pictures != "none":
                for done, fault in _place_pictures(
                    ws, source, module, dialect, staging, link=pictures == "link"
                ):
                    if fault is not None:
                        faults += 1
                        yield fault
                    yield Progress(done, counts.assets, "pictures")
            told = _report(source, format, found, counts, pictures)
            files.write(staging / REPORT, json.dumps(told, ensure_ascii=False, indent=1).encode() + b"\n")
            _flush(staging)
            _demand_empty(out)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        if out.exists():
            out.rmdir()
        if os.name == "nt":  # a folder with an open file cannot be moved there
            held.close()
        staging.rename(out)
        (out / ".lock").unlink()
    files.sync_folder(out.parent)
    if counts.turned:
        yield Warned(
            f"{counts.turned} pictures are turned by EXIF: coordinates are of the upright picture", ref
        )
    _remember(ws, source, format, out, told)
    yield Finished({**told, "out": str(out), "missing_pictures": faults}, Changes(), problems=faults)


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


def _source(ws: Workspace, ref: str, predictions: bool | None) -> _Source:
    with ws.db.read() as conn:
        version = None
        try:
            data = queries.dataset(conn, ref)
        except NotFound:
            if "@" not in ref:
                raise
            dataset, _, tag = ref.rpartition("@")
            version = rows.find(conn, dataset, tag)
            data = queries.dataset(conn, version.dataset_id)
        if version is None:  # revisions commit out of order: without it, one below ours could still join
            database.freeze_lock(conn)
        rev = version.rev if version else record.newest(conn)
        chosen = version.filter if version else Filter()
        schema_id = version.schema_version_id if version else rows.live_schema(conn, data.schema_code)
        code, number, body, _ = rows.schema_at(conn, schema_id)
    if predictions and version and not chosen.predictions:
        raise InvalidInput(
            "the version was frozen without predictions", where=ref, remedy="export the dataset as it is now"
        )
    if predictions is not None:
        chosen = replace(chosen, predictions=predictions)
    schema = labels.loads(body, f"{code}@{number}")
    root, uid = (version.root, version.uid) if version else (None, None)
    return _Source(ref, data.id, data.name, rev, chosen, schema, root, uid, data.n_assets)


def _demand_empty(out: Path) -> None:
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise InvalidInput("the target is not an empty folder", where=str(out), remedy="name a new folder")


def _clear(staging: Path) -> None:
    """Remove what a killed export left; the lock says that nobody else is at work."""
    for stale in staging.iterdir():
        if stale.name != ".lock":
            shutil.rmtree(stale) if stale.is_dir() and not stale.is_symlink() else stale.unlink()


# -- reading ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Counts:
    """What has been written so far."""

    assets: int = 0
    annotations: int = 0
    turned: int = 0
    files: tuple[str, ...] = ()


def _parts(ws: Workspace, source: _Source) -> Iterator[list[Member]]:
    for page in rows.member_pages(ws.db, source.dataset_id, source.rev, source.filter):
        yield from (page[i : i + PART] for i in range(0, len(page), PART))


def _records(
    ws: Workspace, source: _Source, part: Sequence[Member], counts: _Counts | None = None
) -> list[Record]:
    """The records of some members at the revision; a record's path is its manifest key: the same in every export."""
    with ws.db.read() as conn:
        facts = rows.facts(conn, [m.asset_id for m in part])
        sets = dict(queries.sets_at(conn, [m.asset_id for m in part], source.rev))
        turned = rows.turned(conn, [m.asset_id for m in part]) if counts is not None else 0
    out = []
    for m in part:
        fact = facts[m.asset_id]
        kept = tuple(
            labelling.value(r) for r in sets[m.asset_id] if source.filter.predictions or r.origin != "model"
        )
        w, h = fact.wh or (None, None)
        out.append(Record(fact.key, w, h, kept, m.split))
        if counts is not None:
            counts.annotations += len(kept)
    if counts is not None:
        counts.assets += len(out)
        counts.turned += turned
    return out


def _weigh(
    ws: Workspace, source: _Source, module: ModuleType, dialect: str, found: dict[str, Loss]
) -> Iterator[int]:
    """Add up the losses of all parts in `found`; yields how many assets have been looked at."""
    done = 0
    for part in _parts(ws, source):
        for loss in module.losses(_records(ws, source, part), source.schema, dialect):
            old = found.get(loss.what)
            found[loss.what] = loss if old is None else replace(old, n=old.n + loss.n)
        done += len(part)
        yield done


# -- writing ---------------------------------------------------------------------------------------------------------


class _Cancelled(Exception):
    """Ends the writing thread when the work is closed."""


def _write(
    ws: Workspace,
    source: _Source,
    module: ModuleType,
    dialect: str,
    staging: Path,
    counts: _Counts,
) -> Iterator[Progress]:
    """Let the format pull the records in a thread of its own, so that this generator can tell how far it is."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def records() -> Iterator[Record]:
        for part in _parts(ws, source):
            for item in _records(ws, source, part, counts):
                if stop.is_set():
                    raise _Cancelled
                yield item

    def work(write: Callable[..., list[Path]]) -> None:
        try:
            paths = write(records(), staging, schema=source.schema, name=source.ref, dialect=dialect)
            counts.files = tuple(p.relative_to(staging).as_posix() for p in paths)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=partial(work, module.write), name=f"export {source.ref}", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.1)
            yield Progress(counts.assets, source.total, "labels")
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


def _place_pictures(
    ws: Workspace, source: _Source, module: ModuleType, dialect: str, staging: Path, *, link: bool
) -> Iterator[tuple[int, Warned | None]]:
    """Link or copy every picture to where the format wants it. Never a hard link: it would let others write to a source."""
    read = versions.media_of(ws)
    done = 0
    for part in _parts(ws, source):
        ids = [m.asset_id for m in part]
        with ws.db.read() as conn:
            facts, places = rows.facts(conn, ids), queries.places(conn, ids)
        for m in part:
            fact, place = facts[m.asset_id], places[m.asset_id]
            w, h = fact.wh or (None, None)
            target = staging.joinpath(*module.place(Record(fact.key, w, h, (), m.split), dialect).parts)
            done += 1
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                if not (link and _link(place.location, place.path, place.disk_path, fact.size, target)):
                    _copy(read, fact, target)
            except (LamproomError, OSError) as error:
                said = error.what if isinstance(error, LamproomError) else error.strerror or str(error)
                yield done, Warned(f"the picture is not in the export: {said}", fact.key)
        yield done, None


def _link(location: bytes, path: str, disk_path: bytes | None, size: int, target: Path) -> bool:
    """A symbolic link to the source file, when it is a file of its own and this system lets us."""
    source = Path(os.fsdecode(names.native(location, names.raw_of(path, disk_path))))
    try:
        if not source.is_file() or source.stat().st_size != size:
            return False
        target.symlink_to(source)
    except (OSError, NotImplementedError):
        return False
    return True


def _copy(read: Callable[[Fact], Iterable[bytes]], fact: Fact, target: Path) -> None:
    data = b"".join(read(fact))
    if blake3(data).hexdigest() != fact.asset:
        raise InvalidInput("its bytes changed since it was ingested", where=fact.key)
    target.write_bytes(data)


def _flush(staging: Path) -> None:
    """All of it on the disk before it gets its name; one call for the whole system where there is one."""
    if hasattr(os, "sync"):
        os.sync()
    else:
        files.sync_tree(staging)


def _report(
    source: _Source, format: str, found: Mapping[str, Loss], counts: _Counts, pictures: str
) -> dict[str, object]:
    """What was exported, for people and for lineage: it goes with the files."""
    return {
        "format": format, "from": source.ref, "revision": source.rev, "root": source.root,
        "schema": f"{source.schema.code}@{source.schema.version}", "assets": counts.assets, "objects": counts.annotations,
        "predictions": source.filter.predictions, "pictures": pictures, "files": list(counts.files),
        "losses": [{"what": x.what, "n": x.n, "example": x.example} for x in found.values()],
    }  # fmt: skip


def _remember(ws: Workspace, source: _Source, format: str, out: Path, told: Mapping[str, object]) -> None:
    with ws.db.write() as conn:
        shown = names.readable(os.fsencode(out.name))
        params = {"from": source.ref, "format": format, "out": shown, "losses": told["losses"]}
        activity = record.start_activity(conn, "export", ws.person.id, params, open_=False)
        if source.version_uid:
            record.link(conn, activity, "used", "version", source.version_uid)
        else:
            record.link(conn, activity, "used", "dataset", source.name)
        record.link(conn, activity, "generated", "package", f"{source.ref} {format} {shown}")

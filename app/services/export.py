"""Write a version, or a dataset as it is now, for other tools: losses first, staged beside the target, then renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType

from blake3 import blake3

from annotation import formats, labels
from annotation.errors import InvalidInput, LamproomError, NotFound
from annotation.formats import Loss, Record
from annotation.labels import LabelSchema
from app.events import Changes, Finished, Progress, Started, Warned, Work
from app.services import croissant, labelling, staging, versions
from app.services.workspace import Workspace
from storage import db as database
from storage import files, names, queries, record
from storage import versions as rows
from storage.manifest import Fact
from storage.versions import Filter, Member

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
    if pictures not in staging.PICTURES:
        raise InvalidInput(f"pictures {pictures!r} is not known", remedy="link, copy or none")
    out = out.absolute()
    staging.demand_empty(out)
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
    counts, faults = _Counts(), 0
    with staging.staged(out, what="another export to this folder is under way") as folder:
        yield from _write(ws, source, module, dialect, folder, counts)
        if pictures != "none":
            for done, fault in _place_pictures(ws, source, module, dialect, folder, link=pictures == "link"):
                if fault is not None:
                    faults += 1
                    yield fault
                yield Progress(done, counts.assets, "pictures")
        if format == "native":
            croissant.beside(ws, folder, ref, source.name, source.version_uid, source.schema)
        told = _report(source, format, found, counts, pictures)
        files.write(folder / REPORT, json.dumps(told, ensure_ascii=False, indent=1).encode() + b"\n")
    if counts.turned:
        yield Warned(
            f"{counts.turned} pictures are turned by EXIF: coordinates are of the upright picture", ref
        )
    _remember(ws, source, format, out, told)
    yield Finished({**told, "out": str(out), "missing_pictures": faults}, Changes(), problems=faults)


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
        staging.add_losses(found, module, _records(ws, source, part), source.schema, dialect)
        done += len(part)
        yield done


# -- writing ---------------------------------------------------------------------------------------------------------


def _write(
    ws: Workspace,
    source: _Source,
    module: ModuleType,
    dialect: str,
    folder: Path,
    counts: _Counts,
) -> Iterator[Progress]:
    """Let the format pull the records, and tell how far it is."""
    records = (item for part in _parts(ws, source) for item in _records(ws, source, part, counts))
    write = partial(module.write, out=folder, schema=source.schema, name=source.ref, dialect=dialect)
    paths: list[Path] = []
    for _ in staging.written(write, records, f"export {source.ref}", paths):
        yield Progress(counts.assets, source.total, "labels")
    counts.files = tuple(p.relative_to(folder).as_posix() for p in paths)


def _place_pictures(
    ws: Workspace, source: _Source, module: ModuleType, dialect: str, folder: Path, *, link: bool
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
            target = folder.joinpath(*module.place(Record(fact.key, w, h, (), m.split), dialect).parts)
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

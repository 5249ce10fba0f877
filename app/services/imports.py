"""Foreign annotations into a dataset: the format found, classes and pictures mapped, one undoable step, nothing doubled.

`look` tells what an import would do, `import_labels` does it. Both read the whole file once before anything else: a faulty
one is refused with every fault named, and the record is as it was.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from annotation import canonical, formats
from annotation.errors import InvalidFile, InvalidInput, LamproomError, NotFound
from annotation.formats import Record
from app.events import Changes, Finished, Progress, Started, Warned, Work
from app.services import exported, import_classes
from app.services import schema as schemas
from app.services.import_classes import Class, Classes, read_map
from app.services.import_pictures import Pictures
from app.services.import_write import Report, Tally, Writer
from app.services.workspace import Workspace
from storage import audit, jobs, names, queries, record
from storage.jobs import Job
from storage.queries import DatasetRow

TOLD_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Wish:
    """How a file is taken in.

    Attributes:
        format: a name of annotation.formats.FORMATS; "": found out.
        strict: refuse classes that the label schema does not know, instead of adding them.
        classes: what a person decided of some classes: a label, or None to leave their objects out.
        predictions: keep predictions of the file, and whatever carries a score, as predictions; otherwise predictions are
            left out: they are not truth.
        model: what their model is called; "": by the file.
        pictures: a folder where the file's own pictures lie; those that no name leads to are known by their bytes.
    """

    format: str = ""
    strict: bool = False
    classes: Classes = field(default_factory=dict)
    predictions: bool = False
    model: str = ""
    pictures: Path | None = None


PLAIN = Wish()


@dataclass(frozen=True, slots=True)
class Look:
    """What an import would do; nothing was written.

    Attributes:
        format, why: what the file is and by what it was known.
        classes: what becomes of each class.
        pictures: records of the file. by: of those how many by "path", "size" or "digest", and how many without a picture
            ("unmatched", "ambiguous", "wrong_size"). lists: the first of these.
        objects, predictions: of the records that have a picture. scored: of these objects those with a score, which become
            predictions when predictions are kept.
    """

    format: str
    why: str
    classes: tuple[Class, ...]
    pictures: int
    by: Mapping[str, int]
    objects: int
    predictions: int
    scored: int
    lists: Mapping[str, list[str]]

    @property
    def matched(self) -> int:
        """Records that have a picture in the dataset."""
        return sum(self.by.get(how, 0) for how in ("path", "size", "digest"))


def look(
    ws: Workspace,
    path: Path,
    *,
    dataset: str,
    wish: Wish = PLAIN,
    told: Callable[[int], bool] = lambda n: True,
) -> Look:
    """Read a file and say what an import would do.

    Args:
        told: called about ten times a second with the number of pictures read; False ends it.

    Raises:
        InvalidFile, InvalidInput, NotFound: as `import_labels`. Interrupted: `told` said so.
    """
    _demand(path)
    with ws.db.read() as conn:
        data = queries.dataset(conn, dataset)
    with _source(path, wish.format) as source:
        pictures = _pictures(ws, data, source, wish)
        tally = Tally()
        seen = _Seen()
        shown = time.monotonic()
        for found in pictures.ahead(_sound(source, pictures)):
            match = pictures.match(found)
            tally.note(found, match)
            seen.add(found, here=match.picture is not None)
            if (now := time.monotonic()) - shown > TOLD_EVERY_S:
                shown = now
                if not told(tally.pictures):
                    raise Interrupted("it was called off", where=_shown(path))
    classes = import_classes.table(
        schemas.current(ws, data.schema_code), seen.truth, seen.guessed, wish.classes
    )
    return Look(
        source.name, source.why, tuple(classes), tally.pictures, dict(tally.by), seen.objects, seen.predictions, seen.scored, tally.lists,
    )  # fmt: skip


class Interrupted(LamproomError):
    """A look was called off."""


def import_labels(
    ws: Workspace, path: Path, *, dataset: str, wish: Wish = PLAIN, report: Path | None = None
) -> Work:
    """Take annotations of another tool into a dataset, as truth of origin "import".

    A picture is found by its path (the asset that shares the longest run of trailing parts, if it is the only one), else
    by name and size, else by the bytes of the file's own copy. An object that the picture holds already (same label, same
    shape) is skipped, so the same file can be imported again, and an import that was killed goes on when it is repeated.

    Args:
        path: the file or folder; a .zip is read as what it holds.
        report: a table (CSV) to write of every record without a picture.

    Raises:
        InvalidFile: the file is faulty; every fault is named and nothing is written.
        NotFound, InvalidInput: no such dataset, file, format, class (strict), label. Conflict: the same import runs elsewhere.
    """
    _demand(path)
    with ws.db.read() as conn:
        data = queries.dataset(conn, dataset)
    with _source(path, wish.format) as source, Report(report) as table:
        yield Started(f"import {source.name} · {_shown(path)} → {data.name}")
        pictures = _pictures(ws, data, source, wish)
        seen = _Seen()
        shown = 0.0
        for found in _sound(source, pictures):  # a faulty file is refused here, before anything is written
            seen.add(found, here=True)
            if (now := time.monotonic()) - shown > TOLD_EVERY_S:
                shown = now
                yield Progress(seen.records, None, "reading")
        wanted = {*seen.truth, *seen.guessed} if wish.predictions else set(seen.truth)
        settled = import_classes.settle(
            ws, data.schema_code, sorted(wanted), wish.classes, where_from=f"{source.name} {_shown(path)}", strict=wish.strict
        )  # fmt: skip
        if settled.added:
            yield Warned(
                f"{len(settled.added)} classes were unknown: schema {data.schema_code} is now version {settled.number}",
                ", ".join(settled.added[:8]),
            )
        model = _model(path, wish) if wish.predictions else ""
        codes = {name: settled.codes.get(name) for name in (*seen.truth, *seen.guessed)}
        job = _job(ws, data, source.name, path, wish, report, seen.records)
        with jobs.held(ws.db, job.id) as lease:
            yield Progress(0, seen.records)
            with Writer(ws, data, job, lease, codes, model) as writer:
                for found in pictures.ahead(_sound(source, pictures)):
                    match = pictures.match(found)
                    yield from writer.add(found, match)
                    if match.picture is None:
                        table.add(found, match)
                    if (now := time.monotonic()) - shown > TOLD_EVERY_S:
                        shown = now
                        yield Progress(writer.tally.pictures, seen.records)
            table.write()
            told = _told(writer.tally)
            with ws.db.write() as conn:
                detail = {
                    "file": _shown(path),
                    "format": source.name,
                    **{k: told[k] for k in ("matched", "annotations")},
                }
                audit.append(conn, agent=ws.person.name, verb="import", subject=data.name, detail=detail)
                jobs.finish(conn, job.id, "finished")
    tally = writer.tally
    yield Progress(seen.records, seen.records)
    yield Finished(
        {
            "job": job.id, "dataset": data.name, "format": source.name, "why": source.why, **told,
            "classes": dict(settled.codes), "new_classes": list(settled.added), "model": model,
            "schema": f"{data.schema_code}@{settled.number}", "lists": tally.lists, "step": writer.step,
        },
        Changes(writer.rev, datasets=(data.id,), everything=writer.rev > 0),
        problems=tally.pictures - tally.matched,
    )  # fmt: skip


def _told(tally: Tally) -> dict[str, int]:
    """The counts of an import, for its result."""
    without = {how: tally.by[how] for how in ("unmatched", "ambiguous", "wrong_size")}
    return {
        "pictures": tally.pictures, "matched": tally.matched, "by_path": tally.by["path"], "by_size": tally.by["size"],
        "by_digest": tally.by["digest"], **without, "annotations": tally.added, "identical": tally.identical,
        "dropped": tally.dropped, "predictions": tally.predictions, "predictions_left_out": tally.predictions_left_out,
        "splits": tally.splits, "reviews": tally.reviews,
    }  # fmt: skip


def again(ws: Workspace, job: Job) -> Work:
    """Do what is left of an import that was interrupted: the whole file again, which doubles nothing."""
    p: dict[str, Any] = dict(job.params)
    wish = Wish(
        p["format"], p["strict"], p.get("classes", {}), p.get("predictions", False), p.get("model", ""), _path(p.get("pictures"))
    )  # fmt: skip
    file = _path(p["path"])
    assert file is not None
    return import_labels(ws, file, dataset=p["dataset"], wish=wish, report=_path(p.get("report")))


def _path(text: str | None) -> Path | None:
    return Path(os.fsdecode(bytes.fromhex(text))) if text else None


def _text(path: Path | None) -> str:
    return os.fsencode(path.resolve()).hex() if path is not None else ""


def _shown(path: Path) -> str:
    """The file's name as text; its bytes may be GBK or none at all."""
    return names.readable(os.fsencode(path.name or str(path.resolve())))


def _model(path: Path, wish: Wish) -> str:
    name = canonical.nfc(wish.model.strip() or _shown(path))
    if len(name) > 200 or not name.isprintable():
        raise InvalidInput("no name for a model", where=canonical.nfc(name)[:80], remedy="--model NAME")
    return name


def _job(
    ws: Workspace, data: DatasetRow, format: str, path: Path, wish: Wish, report: Path | None, total: int
) -> Job:
    """The unfinished job of this very import, or a new one."""
    params: dict[str, object] = {
        "format": format, "path": _text(path), "file": _shown(path), "dataset": data.name, "strict": wish.strict,
        "classes": dict(wish.classes), "predictions": wish.predictions, "model": wish.model,
        "pictures": _text(wish.pictures), "report": _text(report),
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


# --- the file -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    """What is read: the format's name and module, why it is that one, and the path (of a zip: where it was unpacked)."""

    name: str
    module: ModuleType
    why: str
    path: Path
    shown: str


def _demand(path: Path) -> None:
    if not path.exists():
        raise NotFound("there is no such file or folder", where=names.readable(os.fsencode(path)))


@contextmanager
def _source(path: Path, format: str) -> Iterator[_Source]:
    module = formats.target(format)[0] if format else None
    with formats.opened(path) as inside:
        if module is not None:
            name, why = next(n for n, m in formats.FORMATS.items() if m is module), "named by a person"
        else:
            try:
                found = formats.guess(inside)
            except InvalidInput as error:  # it speaks of where the zip was unpacked
                raise InvalidInput(error.what, where=_shown(path), remedy=error.remedy) from error
            name, why, module = found.name, found.why, formats.FORMATS[found.name]
        yield _Source(name, module, why, inside, _shown(path))


def _pictures(ws: Workspace, data: DatasetRow, source: _Source, wish: Wish) -> Pictures:
    if wish.pictures is not None and not wish.pictures.is_dir():
        raise NotFound("there is no such folder", where=str(wish.pictures))
    folder = source.path if source.path.is_dir() else source.path.parent
    return Pictures(ws, data.id, beside=folder, folder=wish.pictures, digest_of=exported.digests(folder))


def _sound(source: _Source, pictures: Pictures) -> Iterator[Record]:
    """Every record of a file, read once. One that is faulty is refused at its end, as a whole, with every fault."""
    kept: list[LamproomError] = []
    yield from source.module.read(source.path, sizes=pictures.size, problems=kept)
    if kept:
        for _ in source.module.read(source.path, sizes=pictures.size):  # says how many they are
            pass
        raise InvalidFile(kept, where=source.shown)


@dataclass(slots=True)
class _Seen:
    """What a file holds: objects by class."""

    records: int = 0
    objects: int = 0
    predictions: int = 0
    scored: int = 0
    truth: Counter[str] = field(default_factory=Counter)
    guessed: Counter[str] = field(default_factory=Counter)

    def add(self, found: Record, *, here: bool) -> None:
        """One more record; `here`: it has a picture."""
        self.records += 1
        for a in found.annotations:
            if a.origin == "model":
                self.guessed[a.label] += 1
                self.predictions += here
            else:
                self.truth[a.label] += 1
                self.objects += here
                self.scored += here and a.score is not None


__all__ = ["Class", "Classes", "Interrupted", "Look", "Wish", "again", "import_labels", "look", "read_map"]

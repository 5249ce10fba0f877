"""Write a version, or a dataset as it is now, for other tools: losses and the gate first, staged beside the target, then renamed.

An export that was killed goes on when it is repeated: copies it had made are taken over after a look at their bytes.
"""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from blake3 import blake3

from annotation import formats
from annotation.errors import InvalidInput, LamproomError
from annotation.formats import Loss, Record
from annotation.formats.base import clean_path
from app.events import Changes, Finished, Progress, Started, Warned, Work
from app.services import browse, croissant, export_crops, export_what, exported, gate, staging, versions
from app.services.export_crops import Window
from app.services.export_names import Names
from app.services.export_what import Item, Source, What
from app.services.gate import Ask, Reason
from app.services.workspace import Workspace
from storage import audit, files, names, queries, record
from storage.manifest import Fact

__all__ = ["REPORT", "Ask", "Found", "What", "losses", "run", "weigh"]

REPORT = exported.MANIFEST
ALL, INTERNAL = What(), Ask()
_WHOLE_FOLDERS = frozenset({"yolo", "voc", "dota", "kitti", "masks", "icdar", "labelme", "wider"})
"""Formats with a file of labels for each picture, named as it is but for the suffix: `a.jpg` and `a.png` would share it."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an export would do; nothing was written.

    Attributes:
        pictures, objects: how many leave (of crops: how many are cut). splits: pictures by split.
        losses: what the format cannot hold, with counts and one picture each.
        renamed: pictures that need another name. looked: near duplicates were looked for where splits ask for them.
        refusals: why the gate keeps it in.
    """

    pictures: int
    objects: int
    splits: Mapping[str, int]
    losses: tuple[Loss, ...]
    renamed: int
    looked: bool
    refusals: tuple[Reason, ...]


def losses(ws: Workspace, ref: str, format: str, what: What = ALL) -> list[Loss]:
    """What the format cannot hold of `dataset@tag` or of the dataset as it is now; nothing is written.

    Args:
        format, what: as for `run`.

    Raises:
        NotFound: no such dataset or version. InvalidInput: no such format.
    """
    return list(weigh(ws, ref, format, what).losses)


def weigh(
    ws: Workspace,
    ref: str,
    format: str,
    what: What = ALL,
    *,
    ask: Ask | None = None,
    told: Callable[[int], bool] = lambda n: True,
) -> Found:
    """Count what an export would do, lose and be refused for; nothing is written.

    Args:
        ask: for whom it is and what for; None: the gate is not asked.
        told: called now and then with the number of pictures read; False ends it early, with what was counted so far.

    Raises:
        NotFound, InvalidInput: as `run`.
    """
    order = _ordered(ws, ref, format, what)
    weighed = _Weighed(order)
    for done in weighed.all(ws):
        if not told(done):
            break
    reasons = export_what.refusals(ws, order.source, ask) if ask is not None else []
    return weighed.found(tuple(reasons))


def run(
    ws: Workspace,
    ref: str,
    format: str,
    out: Path,
    *,
    what: What = ALL,
    ask: Ask = INTERNAL,
    accept_losses: bool = False,
    pictures: str = "link",
) -> Work:
    """Export `dataset@tag`, or a dataset as it is now, into a new folder. Killed or cancelled, `out` does not exist.

    Every loss is a `Warned` before anything is written; so is what the gate lets through for a person's answer.

    Args:
        format: one of `annotation.formats.names()`, such as coco or yolo-segment.
        out: a folder that does not exist or is empty.
        what: which pictures and objects; splits; crops.
        ask: for whom it is and what for; the gate refuses what may not leave.
        accept_losses: write although the format cannot hold everything.
        pictures: "link" = symbolic links to the sources (a copy where there is none to link: archives, systems
            without links, crops), "copy", or "none".

    Raises:
        NotFound: no such dataset, version or label.
        InvalidInput: `out` is not empty; no such format; losses were not accepted, the gate refused: nothing was written.
        Conflict: another export to the same folder is under way.
    """
    if pictures not in staging.PICTURES:
        raise InvalidInput(f"pictures {pictures!r} is not known", remedy="link, copy or none")
    gate.checked(ask)
    order = _ordered(ws, ref, format, what)
    source = order.source
    out = out.absolute()
    staging.demand_empty(out)
    yield Started(f"export {ref} · {format}", source.total)
    if source.ids is not None and source.version_uid:
        yield Warned("the query is answered by the labels of today, not by those of the version", what.where)
    if not source.looked:
        yield Warned(
            "near duplicates were not looked for in this dataset; `lamproom clean` finds them", source.name
        )
    weighed = _Weighed(order)
    for done in weighed.all(ws):
        yield Progress(done, source.total, "looking for losses")
    found = weighed.losses
    yield from (Warned(f"{loss.n} × {loss.what}", loss.example) for loss in found.values())
    if found and not accept_losses:
        raise InvalidInput(
            f"{format} cannot hold everything of {ref}: {'; '.join(f'{x.n} × {x.what}' for x in found.values())}",
            where=str(out), remedy="accept the losses (--accept-losses), or export to native, which holds all",
        )  # fmt: skip
    for reason in export_what.demand(ws, source, ask):
        yield Warned(f"{reason.n} × {reason.what}: let through, as a person answers for it", reason.example)
    same = json.dumps([source.ref, source.rev, source.root, format, asdict(what), pictures], sort_keys=True)
    with staging.staged(out, what="another export to this folder is under way", same=same) as folder:
        with exported.Tables(folder) as tables:
            placing = _Placing(ws, order, folder, tables, pictures)
            yield from placing.write(weighed.pictures)
            if format == "native":
                croissant.beside(ws, folder, ref, source.name, source.version_uid, source.schema)
            yield from (Progress(n, None, "digests") for n in tables.finish(staging.is_own) if n % 1000 == 0)
        told = _report(order, placing, tables, tuple(found.values()), ask)
        text = json.dumps(told, ensure_ascii=False, indent=1).encode() + b"\n"
        files.write(folder / REPORT, text)
        _remember(ws, order, out, told, ask)
    if placing.turned:
        yield Warned(
            f"{placing.turned} pictures are turned by EXIF: coordinates are of the upright picture", ref
        )
    yield Finished(
        {
            **{k: v for k, v in told.items() if k != "class_ids"},
            "out": str(out),
            "missing_pictures": placing.faults,
            "taken_over": placing.taken_over,
        },
        Changes(),
        problems=placing.faults,
    )


# --- what is written ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Order:
    """One export: of what, in which format, under which names."""

    source: Source
    format: str
    module: ModuleType
    dialect: str
    names: Names

    def records(self, item: Item, *, named: bool) -> Iterator[tuple[Record, Window | None]]:
        """The record of a picture as it is written, or one for each crop of it. `named`: under the name of the export."""
        path = self.names.of(item.fact.key) if named else item.fact.key
        whole = item.record if path == item.record.path else replace(item.record, path=path)
        if self.source.what.margin is None:
            yield whole, None
        else:
            yield from export_crops.cut(
                whole, self.source.what.margin, whole_label=self.dialect == "classify"
            )


def _ordered(ws: Workspace, ref: str, format: str, what: What) -> _Order:
    module, dialect = formats.target(format)
    if what.margin is not None:
        export_crops.checked(what.margin)
    source = export_what.find(ws, ref, what)
    code = next(name for name, m in formats.FORMATS.items() if m is module)
    by_stem = code in _WHOLE_FOLDERS or what.margin is not None

    def place(name: str) -> str:
        # Splits differ from picture to picture and classes too: names are unique without them.
        return name.rpartition(".")[0] if by_stem and "." in name.rpartition("/")[2] else name

    return _Order(source, format, module, dialect, Names(place))


class _Weighed:
    """Adds up what an export would write and lose."""

    def __init__(self, order: _Order) -> None:
        self._order = order
        self.losses: dict[str, Loss] = {}
        self.pictures = self.objects = 0
        self._splits: Counter[str] = Counter()
        self._keys = 0
        self._renamed = 0

    def all(self, ws: Workspace) -> Iterator[int]:
        """Read everything; yields how many pictures were looked at."""
        order = self._order
        for part in export_what.parts(ws, order.source):
            items, _ = export_what.items(ws, order.source, part)
            written = []
            for item in items:
                order.names.see(item.fact.key)
                for one, _ in order.records(item, named=False):
                    written.append(one)
                    self._splits[one.split] += 1
                    self.objects += len(one.annotations)
            self.pictures += len(written)
            staging.add_losses(self.losses, order.module, written, order.source.schema, order.dialect)
            self._keys += len(items)
            yield self._keys

    def found(self, reasons: tuple[Reason, ...]) -> Found:
        """The sums."""
        return Found(
            self.pictures, self.objects, dict(self._splits), tuple(self.losses.values()), self._order.names.meeting, self._order.source.looked, reasons
        )  # fmt: skip


@dataclass(slots=True)
class _Placing:
    """Writes labels and pictures in one pass: the format pulls the records, each picture is placed as its record goes by."""

    ws: Workspace
    order: _Order
    folder: Path
    tables: exported.Tables
    pictures: str
    assets: int = 0
    written: int = 0
    objects: int = 0
    turned: int = 0
    faults: int = 0
    taken_over: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    paths: tuple[str, ...] = ()
    _said: deque[Warned] = field(default_factory=deque)

    def write(self, total: int) -> Iterator[Progress | Warned]:
        """Do it, telling how far it is."""
        order = self.order
        pull = partial(
            order.module.write, out=self.folder, schema=order.source.schema, name=order.source.ref, dialect=order.dialect
        )  # fmt: skip
        made: list[Path] = []
        for _ in staging.written(pull, self._records(), f"export {order.source.ref}", made):
            while self._said:
                yield self._said.popleft()
            yield Progress(self.written, total, "labels and pictures")
        yield from self._said
        self.paths = tuple(p.relative_to(self.folder).as_posix() for p in made)

    def _records(self) -> Iterator[Record]:
        order = self.order
        media, left = versions.media_of(self.ws), staging.left_of(self.folder)
        for part in export_what.parts(self.ws, order.source):
            items, turned = export_what.items(self.ws, order.source, part)
            with self.ws.db.read() as conn:
                places = queries.places(conn, [m.asset_id for m in part]) if self.pictures == "link" else {}
            self.turned += turned
            self.assets += len(items)
            for item in items:
                pixels = None
                for one, window in order.records(item, named=True):
                    file = ""
                    try:
                        if self.pictures == "none":
                            self.tables.add(one, item.fact.key, item.fact.asset, "")
                        elif window is None:
                            file = self._whole(item, one, places.get(item.asset_id), media, left)
                            self.tables.add(
                                one, item.fact.key, item.fact.asset, file, item.fact.sha256, item.fact.size
                            )
                        else:
                            if pixels is None:
                                pixels = browse.picture(self.ws, item.asset_id)
                            file = self._place(one)
                            data = export_crops.encode(pixels, window, one.path)
                            (self.folder / file).write_bytes(data)
                            self.tables.add(one, item.fact.key, item.fact.asset, file)
                    except (LamproomError, OSError) as error:
                        said = (
                            error.what if isinstance(error, LamproomError) else error.strerror or str(error)
                        )
                        self.faults += 1
                        self._said.append(Warned(f"the picture is not in the export: {said}", item.fact.key))
                        self.tables.add(one, item.fact.key, item.fact.asset, "")
                    self.written += 1
                    self.objects += len(one.annotations)
                    self.splits[one.split] += 1
                    yield one

    def _place(self, one: Record) -> str:
        file = str(self.order.module.place(one, self.order.dialect))
        (self.folder / clean_path(file)).parent.mkdir(parents=True, exist_ok=True)
        return file

    def _whole(
        self, item: Item, one: Record, place: Any, media: Callable[[Fact], Iterable[bytes]], left: Callable[[str], Iterator[Path]]
    ) -> str:  # fmt: skip
        """Link or copy a picture. Never a hard link: it would let others write to a source."""
        file = self._place(one)
        target = self.folder / file
        if place is not None and _link(place.location, place.path, place.disk_path, item.fact.size, target):
            return file
        for old in left(file):
            if _is_copy(old, item.fact):
                old.rename(target)
                self.taken_over += 1
                return file
        _copy(media, item.fact, target)
        return file


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


def _is_copy(old: Path, fact: Fact) -> bool:
    """Whether a file that a killed export left is the whole picture."""
    if old.is_symlink() or old.stat().st_size != fact.size:
        return False
    return blake3(old.read_bytes()).hexdigest() == fact.asset


def _copy(read: Callable[[Fact], Iterable[bytes]], fact: Fact, target: Path) -> None:
    data = b"".join(read(fact))
    if blake3(data).hexdigest() != fact.asset:
        raise InvalidInput("its bytes changed since it was ingested", where=fact.key)
    target.write_bytes(data)


# --- what is said of it ---------------------------------------------------------------------------------------------


def _report(
    order: _Order, placing: _Placing, tables: exported.Tables, found: tuple[Loss, ...], ask: Ask
) -> dict[str, object]:
    """What was exported, for people and for lineage: it goes with the files."""
    source, what = order.source, order.source.what
    asked: dict[str, object] = {
        "where": what.where, "classes": sorted(source.codes or ()), "splits": list(source.filter.splits),
        "reviews": list(source.filter.reviews), "crops": what.margin,
    }  # fmt: skip
    rule = what.rule
    told: dict[str, object] = {
        "format": order.format, "from": source.ref, "revision": source.rev, "root": source.root,
        "schema": f"{source.schema.code}@{source.schema.version}", "class_ids": dict(source.schema.class_ids()),
        "assets": placing.assets, "pictures_written": placing.written, "objects": placing.objects,
        "predictions": source.filter.predictions, "pictures": placing.pictures, "files": list(placing.paths),
        "filter": {k: v for k, v in asked.items() if v not in ("", [], None)},
        "splits": {k or "none": n for k, n in sorted(placing.splits.items())},
        "losses": [{"what": x.what, "n": x.n, "example": x.example} for x in found],
        "renamed": order.names.renamed, "for": ask.audience, "purpose": ask.purpose,
        "digests": {"file": exported.DIGESTS, "sha256": exported.digest(placing.folder / exported.DIGESTS),
                    "files": tables.files, "bytes": tables.bytes},
        "names": exported.PICTURES,
    }  # fmt: skip
    if rule is not None:
        told["rule"] = {
            "shares": list(rule.shares),
            "how": rule.how,
            "together": list(rule.groups),
            "seed": rule.seed,
        }
    return told


def _remember(ws: Workspace, order: _Order, out: Path, told: Mapping[str, object], ask: Ask) -> None:
    """Lineage, and a line in the audit log: who let what leave, for whom. Before the folder gets its name."""
    source = order.source
    with ws.db.write() as conn:
        shown = names.readable(os.fsencode(out.name))
        params = {
            "from": source.ref,
            "format": order.format,
            "out": shown,
            "losses": told["losses"],
            "filter": told["filter"],
        }
        activity = record.start_activity(conn, "export", ws.person.id, params, open_=False)
        if source.version_uid:
            record.link(conn, activity, "used", "version", source.version_uid)
        else:
            record.link(conn, activity, "used", "dataset", source.name)
        record.link(conn, activity, "generated", "package", f"{source.ref} {order.format} {shown}")
        detail = {
            "audience": ask.audience, "purpose": ask.purpose, "format": order.format, "out": shown, "revision": source.rev,
            "root": source.root or "", "assets": told["assets"], "objects": told["objects"], "pictures": told["pictures"],
            "digests": told["digests"]["sha256"],  # type: ignore[index]
        }  # fmt: skip
        audit.append(conn, agent=ws.person.name, verb="export", subject=source.ref, detail=detail)

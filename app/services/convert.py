"""One format into another without a workspace: read, losses told, written beside the target, renamed."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from types import ModuleType

from annotation import formats, labels
from annotation.core import Annotation
from annotation.errors import InvalidInput, NotFound
from annotation.formats import Guess, Loss, Record, base
from annotation.labels import Label, LabelSchema
from annotation.schema import PALETTE
from app.events import Finished, Progress, Started, Warned, Work
from app.services import staging
from storage import files

REPORT = "lamproom-convert.json"
PART = 500
"""Records whose losses are counted together."""
WARNED = 50
"""Pictures warned of one by one."""


_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def sniff(path: Path) -> Guess:
    """The format a path (or what a .zip holds) is in, and why.

    Raises:
        NotFound: there is nothing. InvalidInput: no format recognises it.
    """
    if not path.exists():
        raise NotFound("there is no such file or folder", where=str(path))
    with formats.opened(path) as inside:
        return formats.guess(inside)


@dataclass(slots=True)
class _Run:
    """One conversion under way."""

    module: ModuleType
    dialect: str
    schema: LabelSchema
    codes: Mapping[str, str]
    sizes: base.Sizes | None
    losses: dict[str, Loss] = field(default_factory=dict)
    pictures: int = 0
    objects: int = 0
    missing: list[str] = field(default_factory=list)
    n_missing: int = 0


def run(
    source: Path,
    target: str,
    out: Path,
    *,
    source_format: str = "",
    schema: Path | str | None = None,
    strict: bool = False,
    accept_losses: bool = False,
    pictures: str = "none",
    folder: Path | None = None,
) -> Work:
    """Convert annotations into a new folder. Killed, cancelled or refused, `out` does not exist.

    Every loss is a `Warned` before `out` appears; without `accept_losses` they are counted before a byte is written.

    Args:
        source: a file, folder or .zip; its format is recognised unless `source_format` names it.
        target: one of `annotation.formats.names()`.
        schema: a label schema whose names and synonyms the classes are mapped to, what it does not know being added;
            None makes one of the file's classes, in their order.
        strict: refuse classes that the schema does not know.
        pictures: "link", "copy" or "none"; they are looked for in `folder`, by default where the annotations lie.

    Raises:
        NotFound: no such path. InvalidFile: the source is faulty, each fault named. InvalidInput: no such format, unknown
            classes (strict), losses that are not accepted, `out` holds something.
    """
    module, dialect = formats.target(target)
    if pictures not in staging.PICTURES:
        raise InvalidInput(f"pictures {pictures!r} is not known", remedy="link, copy or none")
    if not source.exists():
        raise NotFound("there is no such file or folder", where=str(source))
    if folder is not None and not folder.is_dir():
        raise NotFound("there is no such folder of pictures", where=str(folder))
    out = out.absolute()
    staging.demand_empty(out)
    began = time.monotonic()
    with ExitStack() as held:
        inside = held.enter_context(formats.opened(source))
        found = Guess(source_format, "it was said") if source_format else formats.guess(inside)
        reader, _ = formats.target(found.name)
        yield Started(f"convert {source.name} · {found.name} → {target}")
        home = folder or (inside if inside.is_dir() else inside.parent)
        store = _Pictures(home) if pictures != "none" or folder is not None else None
        sizes = store.size if store is not None else None
        yield Progress(0, None, "looking for classes")
        names = _classes(reader, inside, sizes)
        own = reader.schema(inside) if reader is formats.FORMATS["native"] and schema is None else None
        chosen, codes = _schema(names, own or schema, source.name, module, strict=strict)
        run_ = _Run(module, dialect, chosen, codes, sizes)
        if not accept_losses:
            for part in _parts(reader, inside, run_):
                staging.add_losses(run_.losses, module, part, chosen, dialect)
                run_.pictures += len(part)
                yield Progress(run_.pictures, None, "looking for losses")
            yield from _told(run_)
            if run_.losses:
                raise InvalidInput(
                    f"{target} cannot hold everything of {source.name}: "
                    f"{'; '.join(f'{x.n} × {x.what}' for x in run_.losses.values())}",
                    where=str(out), remedy="accept the losses (--accept-losses), or convert to native, which holds all",
                )  # fmt: skip
        total = run_.pictures or None
        run_.pictures = 0
        with staging.staged(out, what="another conversion to this folder is under way") as stage:
            records = _counted(reader, inside, run_, weigh=accept_losses)
            if store is not None and pictures != "none":
                records = _with_pictures(
                    records,
                    run_,
                    store,
                    stage,
                    link=pictures == "link" and (folder is not None or inside == source),
                )
            paths: list[Path] = []
            write = partial(module.write, out=stage, schema=chosen, name=source.name, dialect=dialect)
            for _ in staging.written(write, records, f"convert {source.name}", paths):
                yield Progress(run_.pictures, total, "labels")
            if accept_losses:
                yield from _told(run_)
            told = {
                "from": source.name, "source_format": found.name, "format": target, "pictures": run_.pictures,
                "objects": run_.objects, "classes": dict(codes), "pictures_placed": pictures,
                "files": [p.relative_to(stage).as_posix() for p in paths],
                "losses": [{"what": x.what, "n": x.n, "example": x.example} for x in run_.losses.values()],
            }  # fmt: skip
            files.write(stage / REPORT, json.dumps(told, ensure_ascii=False, indent=1).encode() + b"\n")
    yield from (Warned("the picture is not in the export: it was not found", path) for path in run_.missing)
    yield Finished(
        {**told, "why": found.why, "out": str(out), "missing_pictures": run_.n_missing,
         "seconds": round(time.monotonic() - began, 2)},
        problems=run_.n_missing,
    )  # fmt: skip


def _told(run_: _Run) -> Iterator[Warned]:
    yield from (Warned(f"{loss.n} × {loss.what}", loss.example) for loss in run_.losses.values())


# --- classes --------------------------------------------------------------------------------------------------------


def _classes(reader: ModuleType, path: Path, sizes: base.Sizes | None) -> list[str]:
    """The file's classes in its own order; those of formats that have no list, in the order they are met."""
    if (listed := getattr(reader, "classes", None)) is not None:
        return list(listed(path))
    return list(
        dict.fromkeys(a.label for record in reader.read(path, sizes=sizes) for a in record.annotations)
    )


def _schema(
    names: list[str],
    given: LabelSchema | Path | str | None,
    where_from: str,
    module: ModuleType,
    *,
    strict: bool,
) -> tuple[LabelSchema, Mapping[str, str]]:
    """The schema to write by, and the code in it of each class of the file."""
    if given is None and module is not formats.FORMATS["native"]:
        made = tuple(Label(name, name, name, PALETTE[i % len(PALETTE)]) for i, name in enumerate(names))
        return LabelSchema("classes", 1, where_from, where_from, made), {name: name for name in names}
    if given is None:
        given = LabelSchema("classes", 0, where_from, where_from, ())
    schema = given if isinstance(given, LabelSchema) else labels.load(given)
    unknown = [name for name in names if schema.resolve(name) is None]
    if unknown and strict:
        raise InvalidInput(
            f"classes unknown to the label schema {schema.code}: {', '.join(unknown[:8])}"
            + (" …" if len(unknown) > 8 else ""),
            where=where_from, remedy="add them to the schema, or leave --strict out",
        )  # fmt: skip
    grown = labels.extend(schema, unknown, where_from)
    return grown, {name: code for name in names if (code := grown.resolve(name)) is not None}


# --- records --------------------------------------------------------------------------------------------------------


def _parts(reader: ModuleType, path: Path, run_: _Run) -> Iterator[list[Record]]:
    records = reader.read(path, sizes=run_.sizes)
    if any(name != code for name, code in run_.codes.items()):
        records = (_relabelled(record, run_.codes) for record in records)
    while part := list(itertools.islice(records, PART)):
        yield part


def _relabelled(record: Record, codes: Mapping[str, str]) -> Record:
    found = tuple(
        Annotation(codes.get(a.label, a.label), a.shape, a.attributes, a.score, a.origin, a.uid)
        for a in record.annotations
    )
    return Record(record.path, record.width, record.height, found, record.split)


def _counted(reader: ModuleType, path: Path, run_: _Run, *, weigh: bool) -> Iterator[Record]:
    for part in _parts(reader, path, run_):
        if weigh:
            staging.add_losses(run_.losses, run_.module, part, run_.schema, run_.dialect)
        for record in part:
            run_.pictures += 1
            run_.objects += len(record.annotations)
            yield record


# --- pictures -------------------------------------------------------------------------------------------------------


class _Pictures:
    """The pictures of a folder, by their path in it or, where there is but one of it, their name without suffix."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_stem: dict[str, Path | None] | None = None

    def find(self, path: str) -> Path | None:
        """The file that a picture's path means."""
        for home in (self._folder, self._folder / "images"):
            if (file := home.joinpath(*path.split("/"))).is_file() and file.suffix:
                return file
        if self._by_stem is None:
            self._by_stem = {}
            for here, _, names in os.walk(self._folder):
                for name in names:
                    if name.lower().endswith(_SUFFIXES):
                        stem = PurePosixPath(name).stem
                        self._by_stem[stem] = None if stem in self._by_stem else Path(here, name)
        name = path.rpartition("/")[2]
        stem = PurePosixPath(name).stem if name.lower().endswith(_SUFFIXES) else name
        return self._by_stem.get(stem)

    def size(self, path: str) -> tuple[int, int] | None:
        """(width, height) in px, as a person sees the picture; None when there is none."""
        from PIL import Image

        file = self.find(path)
        if file is None:
            return None
        try:
            with Image.open(file, formats=("JPEG", "PNG", "BMP", "TIFF", "WEBP")) as image:
                w, h = image.size
                turned = image.getexif().get(0x0112) in (5, 6, 7, 8)
        except Exception:  # Pillow's readers raise nearly anything on a broken header
            return None
        return (h, w) if turned else (w, h)


def _with_pictures(
    records: Iterable[Record], run_: _Run, store: _Pictures, stage: Path, *, link: bool
) -> Iterator[Record]:
    """The records, each with its picture put where the format wants it. Never a hard link: others could write to it."""
    for record in records:
        file = store.find(record.path)
        if file is None:
            run_.n_missing += 1
            if run_.n_missing <= WARNED:
                run_.missing.append(record.path)
        else:
            spot = run_.module.place(record, run_.dialect)
            target = stage.joinpath(*spot.parts)
            if not target.suffix:
                target = target.with_name(target.name + file.suffix)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                if not link:
                    raise OSError("copies are wanted")
                target.symlink_to(file.resolve())
            except (OSError, NotImplementedError):
                shutil.copyfile(file, target)
        yield record

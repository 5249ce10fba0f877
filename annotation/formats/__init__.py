"""Annotation formats: one module each with the same few functions; FORMATS names them.

sniff(path) -> str                                         # "" or one sentence why the path is of the format; cheap
read(path, *, sizes=None, problems=None) -> Iterator[Record]   # sound as a whole, or InvalidFile with every fault
DIALECTS: tuple[str, ...]                                  # what it can write, the first by default; ("",) for one way
losses(records, schema, dialect="") -> list[Loss]          # what writing would lose, before a byte is written
place(record, dialect="") -> PurePosixPath                 # where the record's picture belongs in the export
write(records, out, *, schema, name, dialect="") -> list[Path]   # streams into the staging folder `out`

Reading takes every dialect by itself. `write` returns the files it wrote, or the folders of files that it wrote one of
for each picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType

from annotation.errors import InvalidInput
from annotation.formats import (
    coco,
    cvat,
    datumaro,
    dota,
    icdar,
    kitti,
    labelme,
    labelstudio,
    masks,
    mot,
    native,
    table,
    voc,
    wider,
    yolo,
)
from annotation.formats.archive import opened
from annotation.formats.base import Loss, Record

__all__ = ["FORMATS", "Guess", "Loss", "Record", "guess", "names", "opened", "target"]

FORMATS: Mapping[str, ModuleType] = MappingProxyType(
    {
        "native": native,
        "datumaro": datumaro,
        "coco": coco,
        "cvat": cvat,
        "labelme": labelme,
        "labelstudio": labelstudio,
        "voc": voc,
        "masks": masks,
        "mot": mot,
        "dota": dota,
        "kitti": kitti,
        "wider": wider,
        "icdar": icdar,
        "table": table,
        "yolo": yolo,
    }
)
"""In the order in which `guess` asks them: the more particular a format's marks, the earlier."""


@dataclass(frozen=True, slots=True)
class Guess:
    """The format a path is in, and one English sentence why."""

    name: str
    why: str


def guess(path: Path) -> Guess:
    """The format that a path is in: the first that recognises it.

    Raises:
        InvalidInput: when none does.
    """
    for name, module in FORMATS.items():
        if why := module.sniff(path):
            return Guess(name, why)
    raise InvalidInput(
        "annotations of no known format", where=str(path), remedy=f"one of {', '.join(FORMATS)}"
    )


def names() -> list[str]:
    """Every name that can be written: a format's own for its first dialect, `coco-panoptic` for the others."""
    return [
        name if n == 0 else f"{name}-{dialect}"
        for name, module in FORMATS.items()
        for n, dialect in enumerate(module.DIALECTS)
    ]


def target(text: str) -> tuple[ModuleType, str]:
    """The module and dialect of a name: `yolo`, `yolo-obb`, `coco-instances`.

    Raises:
        InvalidInput: for a name that is none.
    """
    name, _, dialect = text.partition("-")
    module = FORMATS.get(name)
    if module is not None and not dialect and not text.endswith("-"):
        return module, str(module.DIALECTS[0])
    if module is not None and dialect in module.DIALECTS and dialect:
        return module, dialect
    raise InvalidInput(f"the format {text!r} is not known", remedy=f"one of {', '.join(names())}")

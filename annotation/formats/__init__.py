"""Annotation formats: one module each with `sniff`, `read`, `losses`, `place` and `write`; FORMATS names them.

sniff(path) -> bool                                        # cheap: is the path of this format?
read(path, *, sizes=None, problems=None) -> Iterator[Record]   # sound as a whole, or InvalidFile with every fault
losses(records, schema) -> list[Loss]                      # what writing would lose, before a byte is written
place(record) -> PurePosixPath                             # where the record's picture belongs in the export
write(records, out, *, schema, name) -> list[Path]         # streams into the staging folder `out`
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType

from annotation.errors import InvalidInput
from annotation.formats import coco, native, yolo
from annotation.formats.base import Loss, Record

__all__ = ["FORMATS", "Loss", "Record", "guess"]

FORMATS: Mapping[str, ModuleType] = MappingProxyType({"native": native, "coco": coco, "yolo": yolo})


def guess(path: Path) -> str:
    """The name of the format that a path is in.

    Raises:
        InvalidInput: when none recognises it.
    """
    for name, module in FORMATS.items():
        if module.sniff(path):
            return name
    raise InvalidInput(
        "annotations of no known format", where=str(path), remedy=f"one of {', '.join(FORMATS)}"
    )

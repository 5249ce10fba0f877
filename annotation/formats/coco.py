"""COCO JSON: boxes, polygons, both kinds of run lengths, keypoints, attributes as CVAT writes them, panoptic, captions.

https://cocodataset.org/#format-data. Reading goes over a file block by block, twice (coco_index); writing streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from annotation.errors import InvalidInput, LamproomError
from annotation.formats import base, coco_index, coco_panoptic, coco_write
from annotation.formats.base import Loss, Problems, Record, Sizes
from annotation.labels import LabelSchema

DIALECTS = ("instances", "panoptic", "captions")
PLACE = "images"
"""The folder beside `annotations/` that holds the pictures; `file_name` is relative to it."""

_ITSELF = {
    "prediction": "predictions: written like truth, with their score",
} | base.MARK_LOSSES
_BARE = _ITSELF | base.BARE_LOSSES
_LOSSES = {
    "instances": base.WHOLE_LOSSES
    | base.OUTLINED_LOSSES
    | {
        "polyline": "lines: only their bounding boxes are written",
        "points": "loose points: written as keypoints that are seen",
        "hole": "polygons with holes: written as pixel masks",
    }
    | _ITSELF,
    "panoptic": base.WHOLE_LOSSES
    | base.UNDRAWN_LOSSES
    | {
        "box": "boxes: left out, a panoptic picture holds areas of pixels",
        "rotated_box": "rotated boxes: written as areas of pixels",
        "quad": "quadrilaterals: written as areas of pixels",
        "ellipse": "ellipses: written as areas of pixels",
        "polygon": "polygons: written as areas of pixels, a later object covers an earlier one",
        "mask": "masks: a later object covers an earlier one",
    }
    | _BARE,
    "captions": {
        "caption": "captions: only their sentence is written, not their label",
        "tag": "labels of the whole picture: left out",
    }
    | base.UNDRAWN_LOSSES
    | _BARE,
}


# ---------------------------------------------------------------------------------------------------------------
# Reading


def sniff(path: Path) -> str:
    """Why the path is a COCO file, or a folder that holds one; "" when it is not."""
    if path.is_dir():
        found = ((file, _marks(file)) for file in _files(path)[:20])
        return next((f"its file {file.name} is a JSON object with {why}" for file, why in found if why), "")
    why = _marks(path)
    return f"it is a JSON object with {why}" if why else ""


def _marks(file: Path) -> str:
    """What tells that a file is COCO: its start and, as tools differ in the order, its end are looked at."""
    if file.suffix.lower() != ".json":
        return ""
    text = base.head(file, base.SNIFFED // 2)
    if not text.lstrip().startswith(b"{"):
        return ""
    text += base.tail(file, base.SNIFFED // 2)
    if b'"items"' in text and b'"images"' not in text:
        return ""  # Datumaro's, which has categories and annotations too
    found = [word for word in ("images", "annotations", "categories") if f'"{word}"'.encode() in text]
    return ", ".join(found) if len(found) >= 2 else ""


def _files(folder: Path) -> list[Path]:
    found = {*folder.glob("*.json"), *folder.glob("annotations/*.json")}
    return sorted(file for file in found if file.is_file())


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """One record a picture, in the file's order; a folder's files one after the other, splits by their names.

    An entry with keypoints and a box or outline of its own becomes two annotations, `iscrowd` a flag, a segment of a
    panoptic picture a mask, a sentence a caption of the label "caption".
    With `problems` faulty entries are left out and listed there; without, nothing is yielded of faulty files.

    Raises:
        InvalidFile: every fault of a file. InvalidInput: no file.
    """
    files = [file for file in _files(path) if _marks(file)] if path.is_dir() else [path]
    if not files:
        raise InvalidInput("no COCO file in the folder", where=str(path), remedy="give the JSON file itself")
    found: list[Iterator[Record]] = []
    for file in files:
        noted = Problems(file.name, problems)
        split = base.split_of(file.stem)
        try:
            found.append(_looked_at(file, split, sizes, noted))
        except InvalidInput as error:
            noted.error(error)
        noted.finish()
    for one in found:
        yield from one


def _looked_at(file: Path, split: str, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    try:
        index = coco_index.build(file, sizes, problems)
    except coco_index.Panoptic:
        return coco_panoptic.read(file, split, problems)
    return coco_index.records(index, split, sizes)


def classes(path: Path) -> list[str]:
    """The names of the categories in the order of the file, or files.

    Raises:
        InvalidInput: no such file, not JSON.
    """
    found: dict[str, None] = {}
    for file in _files(path) if path.is_dir() else [path]:
        if not path.is_dir() or _marks(file):
            found |= dict.fromkeys(coco_index.classes(file))
    return list(found)


# ---------------------------------------------------------------------------------------------------------------
# Writing


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """What COCO cannot hold of these records, with counts."""
    kind = base.dialect(dialect, DIALECTS)
    found = base.census(records)
    out = base.strangers(found, schema) + found.losses(_LOSSES[kind])
    sizeless = found.traits.get("sizeless")
    if sizeless and kind == "panoptic":
        out.append(Loss("pictures of unknown size: refused", sizeless.n, sizeless.example))
    elif sizeless and kind == "instances" and "hole" in found.traits:
        out.append(Loss("holes on pictures of unknown size: lost", found.traits["hole"].n, sizeless.example))
    return out


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs in the export."""
    return PurePosixPath(PLACE, base.clean_path(record.path))


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """`annotations/<dialect>_<split>.json` for every split that occurs ("default" for none).

    "panoptic" also writes a folder of PNG files of the same name beside each. Category ids are the schema's class ids
    from 1 and the same in every export; names are the labels' codes.

    Raises:
        InvalidInput: for a label that is not in the schema; panoptic: a picture of unknown size.
    """
    kind = base.dialect(dialect, DIALECTS)
    if kind == "panoptic":
        return coco_panoptic.write(records, out, schema=schema, name=name)
    return coco_write.write(records, out, schema=schema, name=name, kind=kind)

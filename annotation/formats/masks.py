"""Label pictures: a PNG a picture whose pixels are classes ("index", "palette"), or instances with their classes beside.

Written: `masks/<stem>.png` of class index + 1 (8 bits, 16 with more than 254 classes); "palette" with Pascal VOC's colours;
"instance" as `instances/<stem>.png` of 16 bits, numbered from 1, and the classes in `masks`. Read: these, the usual other
names of those folders, and instance pictures alone whose values are class x 1000 + number (Cityscapes).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from annotation.core import Annotation, Mask
from annotation.errors import InvalidInput, LamproomError
from annotation.formats import base, pngs, sheets
from annotation.formats.base import Loss, Problems, Record, Sizes
from annotation.labels import LabelSchema

DIALECTS = ("index", "palette", "instance")
CLASSES = (
    "masks",
    "classes",
    "semantic",
    "SegmentationClass",
    "labels",
    "annotations",
    "mask",
    "label",
    "gt",
)
INSTANCES = ("instances", "instance", "SegmentationObject")
PACKED = 1000
"""Cityscapes: class x 1000 + number; below it a class without instances."""
MAX_INSTANCES = 65_535
_INDEX_LOSSES = pngs.AREA_LOSSES | {
    "joined": "objects of one class: read back as one area",
    "mask": "",
}
_INSTANCE_LOSSES = pngs.AREA_LOSSES | {"mask": "", "crowd": "areas after the 65535th of a picture: refused"}


@dataclass(frozen=True, slots=True)
class _Layout:
    """A folder of label pictures below the root ("" or with a slash), and of instances; either may be missing."""

    classes: str | None
    instances: str | None


def sniff(path: Path) -> str:
    """Why a folder holds label pictures: PNGs in a folder named so, with a label map above."""
    path = _root(path)
    if not path.is_dir():
        return ""
    for layout in _layouts(path):
        named = any((path / name).is_file() for name in pngs.MAPS)
        at = path / (layout.instances or layout.classes or "")
        if named and _some_pngs(at):
            return f"its folder {at.name} holds label pictures, and there is a list of their classes"
    return (
        "it lists classes of label pictures"
        if (path / "labelmap.txt").is_file() and not (path / "ImageSets").is_dir()
        else ""
    )


def _root(path: Path) -> Path:
    """The folder that holds the list of classes: above a folder of label pictures, or the list's own."""
    if path.name == "labelmap.txt" or (
        path.name in CLASSES + INSTANCES and any((path.parent / n).is_file() for n in pngs.MAPS)
    ):
        return path.parent
    return path


def _some_pngs(folder: Path) -> bool:
    return any(sheets.some(f, ".png") for f in sheets.folders(folder, 2))


def _layouts(root: Path) -> Iterator[_Layout]:
    names = {f.name: f for f in sheets.some(root, folders=True)}
    classes = next((n for n in CLASSES if n in names), None)
    instances = next((n for n in INSTANCES if n in names), None)
    if classes or instances:
        yield _Layout(f"{classes}/" if classes else None, f"{instances}/" if instances else None)


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """A record a label picture: a mask for each class, or for each instance and for what has a class alone.

    Raises:
        InvalidFile: every fault, by file and value. InvalidInput: no list of classes.
    """
    root = _root(path)
    return base.checked(lambda found: _parse(root, sizes, found), root.name, problems)


def _parse(root: Path, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    try:
        known = pngs.load_map(root)
    except InvalidInput as error:
        problems.error(error)
        return
    if known is None:
        problems.add("", "no list of classes", "add labelmap.txt: name:red,green,blue:: a line")
        return
    pictures = sheets.Pictures(root, sizes)
    n = 0
    for layout in _layouts(root):
        main = layout.classes or layout.instances or ""
        for at in sheets.walk(root / main, ".png"):
            n += 1
            yield from _record(root, layout, sheets.stem(at), known, pictures, problems)
    if not n and not (root / "labelmap.txt").is_file():
        problems.add("", "no label pictures below this folder", "PNGs in masks or instances")


def _record(
    root: Path,
    layout: _Layout,
    stem: str,
    known: pngs.LabelMap,
    pictures: sheets.Pictures,
    problems: Problems,
) -> Iterator[Record]:
    at = f"{layout.classes or layout.instances}{stem}.png"
    try:
        split = base.split_in(stem.split("/")[:-1])
        inner = (
            stem.partition("/")[2]
            if base.split_of(stem.partition("/")[0]) or stem.startswith("default/")
            else stem
        )
        found = pictures.first(
            f"{home}{tail}" for home in ("images/", "JPEGImages/", "") for tail in (stem, inner)
        )
        place = base.clean_path(found or inner)
        areas, (w, h) = _areas(root, layout, stem, known, at)
        actual = pictures.size(place, found)
        if actual is not None and actual != (w, h):
            raise InvalidInput(
                f"a mask of {w} x {h} px on a picture of {actual[0]} x {actual[1]} px",
                remedy="masks of the picture's size",
            )
    except InvalidInput as error:
        problems.add(error.where or at, error.what, error.remedy)
        return
    yield Record(place, w, h, tuple(areas), split)


def _areas(
    root: Path, layout: _Layout, stem: str, known: pngs.LabelMap, at: str
) -> tuple[list[Annotation], tuple[int, int]]:
    classes = pngs.read(root / f"{layout.classes}{stem}.png", at) if layout.classes else None
    if layout.instances is not None and (file := root / f"{layout.instances}{stem}.png").is_file():
        numbers = pngs.read(file, f"{layout.instances}{stem}.png")
        if classes is None:
            return list(_packed(numbers, known, at)), numbers.size
        found = pngs.instances(classes, numbers, known, at)
        lost = [n for n, name, _ in found if name is None]
        if lost:
            raise InvalidInput(
                f"instance {lost[0]} has no class", where=at, remedy="a class at the same pixels"
            )
        return [_area(name, mask) for _, name, mask in found if name is not None], numbers.size
    if classes is None:
        raise InvalidInput("no label picture", where=at, remedy="a PNG of classes or instances")
    runs = pngs.regions(classes.values, at)
    names = {value: pngs.class_of(value, classes, known, at) for value in runs}
    return [
        _area(name, Mask(*classes.size, runs[v])) for v, name in names.items() if name is not None
    ], classes.size


def _packed(numbers: pngs.Picture, known: pngs.LabelMap, at: str) -> Iterator[Annotation]:
    for value, runs in pngs.regions(numbers.values, at).items():
        name = pngs.class_of(value // PACKED if value >= PACKED else value, numbers, known, at)
        if name is not None:
            yield _area(name, Mask(*numbers.size, runs))


def _area(name: str, mask: Mask) -> Annotation:
    return Annotation(name, base.sound(mask), origin="import")


# ---------------------------------------------------------------------------------------------------------------


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """What label pictures cannot hold of these records, with counts."""
    dialect = base.dialect(dialect, DIALECTS)

    def pictures(record: Record) -> Iterator[str]:
        yield from pngs.area_traits(record)
        found = [a.label for a in record.annotations if a.kind in pngs.AREAS]
        yield from ["joined"] * (len(found) - len(set(found)))
        yield from ["crowd"] * max(0, len(found) - MAX_INSTANCES)

    return sheets.losses(
        records, schema, _INSTANCE_LOSSES if dialect == "instance" else _INDEX_LOSSES, pictures=pictures
    )


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs in the export."""
    return PurePosixPath("images", record.split or "default", base.clean_path(record.path))


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """`masks/<split>/<stem>.png` ("default" for no split), for "instance" also `instances/…`; and `labelmap.txt`.

    Raises:
        InvalidInput: for a label that is not in the schema, two pictures of one stem, a picture of unknown size, more
            classes or objects than a PNG can tell apart.
    """
    dialect = base.dialect(dialect, DIALECTS)
    ids = schema.class_ids()
    if len(ids) > (254 if dialect == "palette" else MAX_INSTANCES):
        raise InvalidInput(
            f"{len(ids)} classes in a palette", where=schema.code, remedy="export to masks: 16 bits"
        )
    files = sheets.Sheets(out)
    for record in records:
        for a in record.annotations:
            base.class_id(a, ids, record.path)
        stem = f"{record.split or 'default'}/{sheets.stem(base.clean_path(record.path))}"
        classes = pngs.blank(record, wide=len(ids) > 254)
        areas = pngs.ordered(record.annotations)
        if dialect == "instance" and len(areas) > MAX_INSTANCES:
            raise InvalidInput(f"{len(areas)} areas", where=record.path, remedy=f"at most {MAX_INSTANCES}")
        numbers = pngs.blank(record, wide=True) if dialect == "instance" else None
        for n, a in enumerate(areas, 1):
            pngs.paint(a.shape, (classes, ids[a.label] + 1), *([(numbers, n)] if numbers is not None else ()))
        files.write(f"masks/{stem}.png", pngs.data(classes, palette=dialect == "palette"))
        if numbers is not None:
            files.write(f"instances/{stem}.png", pngs.data(numbers))
    files.write("labelmap.txt", pngs.map_text(ids).encode())
    files.finish()
    return [f for f in (out / "masks", out / "instances", out / "labelmap.txt") if f.exists()]

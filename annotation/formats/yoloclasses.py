"""Pictures sorted into folders by class, as Ultralytics classifies: `train/<class>/…`; and PaddleClas' lists beside them.

`train_list.txt` has `train/<class>/a.jpg 3` a line, `label_list.txt` `3 <class>`; so labels travel without pictures too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from annotation.core import Annotation, Tag
from annotation.errors import InvalidInput, LamproomError
from annotation.formats import base, sheets
from annotation.formats.base import Loss, Problems, Record, Sizes
from annotation.labels import LabelSchema

CLASSES = "label_list.txt"
LISTS = {"train_list.txt": "train", "val_list.txt": "val", "test_list.txt": "test"}
UNKNOWN = "unlabelled"
"""The folder of pictures without a class, which no trainer looks into."""
MAX_LIST = 2**30
_SPLITS = ("train", "val", "valid", "validation", "test")
_NO_CLASSES = frozenset(
    {"images", "labels", "annotations", "imagesets", "jpegimages", "masks", "labeltxt", "image_2", "label_2"}
)

_LOSSES = (
    {"second": "more than one label of a picture: only the first is written"}
    | base.UNDRAWN_LOSSES
    | {"caption": "captions: left out"}
    | base.BARE_LOSSES
    | {"unlabelled": "pictures without a label of their own: put into a folder apart"}
)


def sniff(path: Path) -> str:
    """Why a folder holds pictures by class; "" when it does not."""
    if (path / CLASSES).is_file():
        return f"its file {CLASSES} lists the classes of its pictures"
    splits = [f for f in sheets.some(path, folders=True) if f.name.lower() in _SPLITS]
    for split in splits:
        inner = sheets.some(split, folders=True)
        if not inner or any(f.name.lower() in _NO_CLASSES for f in inner):
            return ""
        if any(sheets.some(split, suffix) for suffix in (".txt", ".xml", ".json", *sheets.PICTURES)):
            return ""
        if not any(sheets.some(f, suffix) for f in inner[:8] for suffix in sheets.PICTURES):
            return ""
        if any(sheets.some(f, suffix) for f in inner[:8] for suffix in (".txt", ".xml", ".json")):
            return ""
    return f"its folder {splits[0].name} holds pictures in folders by class" if splits else ""


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """A record a picture, its class as the label of the whole picture; those of `unlabelled` have none."""
    listed = (path / CLASSES).is_file()
    return base.checked(
        lambda found: (_lists if listed else _folders)(path, sizes, found), path.name, problems
    )


def _folders(root: Path, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    pictures = sheets.Pictures(root, sizes)
    for split in sorted([*sheets.some(root, folders=True)]):
        which = base.split_of(split.name) if split.name.lower() in _SPLITS else ""
        if not which and split.name != UNKNOWN:
            continue
        for at in sheets.walk(split, "", keep=lambda name: name.lower().endswith(sheets.PICTURES)):
            label, slash, _ = at.partition("/")
            try:
                place = base.clean_path(f"{split.name}/{at}")
                if which and not slash:
                    raise InvalidInput("a picture beside the folders of classes", remedy="move it into one")
            except InvalidInput as error:
                problems.add(f"{split.name}/{at}", error.what, error.remedy)
                continue
            found = (Annotation(label, Tag(), origin="import"),) if which else ()
            w, h = pictures.size(place, place) or (None, None)
            yield Record(place, w, h, found, which)


def _lists(root: Path, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    pictures = sheets.Pictures(root, sizes)
    names: dict[str, str] = {}
    try:
        for n, line in enumerate(base.read_text(root / CLASSES, limit=2**24).splitlines(), 1):
            number, _, name = line.strip().partition(" ")
            if line.strip() and (not number.isdecimal() or not name.strip() or number in names):
                problems.add(
                    f"{CLASSES}:{n}", f"is {base.short(line)}", "number, space, name; each number once"
                )
            names[number] = name.strip()
    except InvalidInput as error:
        problems.error(error)
        return
    once = sheets.Once("the picture")
    for file, split in [*LISTS.items(), ("unlabelled_list.txt", "")]:
        if not (root / file).is_file():
            continue
        try:
            lines = base.read_text(root / file, limit=MAX_LIST).splitlines()
        except InvalidInput as error:
            problems.error(error)
            continue
        for n, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield _listed(line, names, pictures, once, split, apart=file.startswith(UNKNOWN))
            except InvalidInput as error:
                problems.add(f"{file}:{n}", error.what, error.remedy)


def _listed(
    line: str,
    names: Mapping[str, str],
    pictures: sheets.Pictures,
    once: sheets.Once,
    split: str,
    *,
    apart: bool,
) -> Record:
    text, _, number = ("", "", "") if apart else line.strip().rpartition(" ")
    place = base.clean_path(line.strip() if apart else text)
    if not apart and number not in names:
        raise InvalidInput(
            f"the class is {base.short(number)}", remedy=f"a number of {CLASSES} at the end of the line"
        )
    once.add(place)
    w, h = pictures.size(place, place if pictures.there(place) else None) or (None, None)
    found = () if apart else (Annotation(names[number], Tag(), origin="import"),)
    return Record(place, w, h, found, split)


def losses(records: Iterable[Record], schema: LabelSchema) -> list[Loss]:
    """What folders by class cannot hold."""

    def pictures(record: Record) -> Iterator[str]:
        n = sum(a.kind == "tag" for a in record.annotations)
        if n != 1:
            yield "second" if n else "unlabelled"

    return sheets.losses(records, schema, _LOSSES, pictures=pictures)


def place(record: Record) -> PurePosixPath:
    """`<split or train>/<class>/<path>`, the class being the first label of the whole picture."""
    label = next((a.label for a in record.annotations if isinstance(a.shape, Tag)), None)
    if label is None:
        return PurePosixPath(UNKNOWN, base.clean_path(record.path))
    return PurePosixPath(record.split or "train", label, base.clean_path(record.path))


def write(records: Iterable[Record], out: Path, *, schema: LabelSchema) -> list[Path]:
    """The lists of pictures by split, and the list of classes; the pictures are placed by the caller.

    Raises:
        InvalidInput: for a label that is not in the schema.
    """
    ids = schema.class_ids()
    lists = sheets.Lists(out)
    try:
        for record in records:
            for a in record.annotations:
                base.class_id(a, ids, record.path)
            first = next((a for a in record.annotations if isinstance(a.shape, Tag)), None)
            if first is None:
                lists.add("unlabelled_list.txt", os.fspath(place(record)))
            else:
                lists.add(f"{record.split or 'train'}_list.txt", f"{place(record)} {ids[first.label]}")
        for code, n in ids.items():
            lists.add(CLASSES, f"{n} {code}")
        return lists.finish()
    finally:
        lists.close()

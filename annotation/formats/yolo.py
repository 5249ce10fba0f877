"""YOLO text labels with Ultralytics' data.yaml, darknet's obj.data or a class list, and folders of pictures by class.

Lines are in `yololines`; all numbers are relative to the picture's size, so a size is needed: of the picture beside the
labels, or from the caller. Classification has no lines: see `yoloclasses`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.core import Annotation
from annotation.errors import InvalidInput, LamproomError
from annotation.formats import base, sheets, yamlite, yoloclasses, yololines
from annotation.formats.base import Problems, Record, Sizes
from annotation.formats.yololines import Lines
from annotation.formats.yolowrite import DIALECTS, losses, place, write

__all__ = ["DIALECTS", "losses", "place", "read", "sniff", "write"]

MAX_CONFIG = 4 * 2**20
MAX_CLASSES = 100_000
MAX_LIST = 2**30
"""Bytes of a list of pictures."""
PROBED = 40
"""Label files that are looked at to tell turned boxes from polygons of four points."""
OBLIQUE = 0.002
"""How far numbers may lie from those of a parallelogram, or must from those of an upright box."""
_CLASS_FILES = ("classes.txt", "obj.names", "predefined_classes.txt")
_NO_LABELS = frozenset(
    {*_CLASS_FILES, "train.txt", "val.txt", "valid.txt", "test.txt", "readme.txt", "readme.dataset.txt",
     "readme.roboflow.txt", "license.txt", "requirements.txt"}
)  # fmt: skip
_LABEL_FOLDERS = ("labels", "Labels", "annotations", "Annotations")
_PICTURE_FOLDERS = ("images", "Images", "JPEGImages")
_SPLIT_KEYS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, slots=True)
class _Config:
    """A set: where it is, what its lines mean, which folders and lists say the split of a picture.

    folders: (folder below the root, split), the longest first. listed: hash of a picture's stem -> split.
    beside: labels lie beside the pictures, there is no `labels` folder.
    """

    root: Path
    lines: Lines
    folders: tuple[tuple[str, str], ...] = ()
    lists: tuple[tuple[Path, str], ...] = ()
    beside: bool = False


# ---------------------------------------------------------------------------------------------------------------
# Recognising


def sniff(path: Path) -> str:
    """Why the path is a data.yaml or obj.data, or a folder with one, with a class list or with folders by class."""
    if not path.is_dir():
        return f"its file {path.name} lists class names" if _lists_names(path) else ""
    if found := next(iter(_configs(path)), None):
        names = "lists class names" if found.name not in _CLASS_FILES else "is a list of classes"
        return f"its file {found.name} {names}"
    return yoloclasses.sniff(path)


def _lists_names(file: Path) -> bool:
    suffix = file.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return re.search(rb"^names\s*:", base.head(file), re.MULTILINE) is not None
    return suffix == ".data" and re.search(rb"^names\s*=", base.head(file), re.MULTILINE) is not None


def _configs(folder: Path) -> Iterator[Path]:
    """The files of a folder that can say what its labels mean, the best first."""
    for suffix in (".yaml", ".yml", ".data"):
        yield from (file for file in sheets.some(folder, suffix) if _lists_names(file))
    yield from (folder / name for name in _CLASS_FILES if (folder / name).is_file())


# ---------------------------------------------------------------------------------------------------------------
# Reading


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """One record a label file, in the order of their paths, then one a picture without: a background.

    Args:
        path: the data.yaml, obj.data or class list, or the folder that holds one; or a folder of folders by class.
        sizes: picture size by path; asked first. The path ends in the picture's suffix only when the picture was
            found beside the labels, so match by stem. A picture that neither `sizes` nor the disk knows comes as a
            record without size and annotations, for the caller to report; without `sizes` it is a fault.
        problems: faulty lines are left out and listed here; without it, nothing is yielded of a faulty set.

    Raises:
        InvalidFile: every fault, by file and line. InvalidInput: no class names, or an unreadable data.yaml.
    """
    if path.is_dir() and next(iter(_configs(path)), None) is None and yoloclasses.sniff(path):
        return yoloclasses.read(path, sizes=sizes, problems=problems)
    config = _config(path)
    return base.checked(lambda found: _parse(config, sizes, found), config.root.name, problems)


def classes(path: Path) -> list[str]:
    """The class names in the order of their numbers.

    Raises:
        InvalidInput: no class names, or an unreadable data.yaml.
    """
    return [name for _, name in sorted(_config(path).lines.names.items())]


def _config(path: Path) -> _Config:
    if path.is_dir():
        found = next(iter(_configs(path)), None)
        if found is None:
            raise InvalidInput(
                "no data.yaml and no classes.txt", where=str(path), remedy="add the class names"
            )
        path = found
    root, where = path.parent, path.name
    text = base.read_text(path, limit=MAX_CONFIG)
    suffix = path.suffix.lower()
    if suffix not in (".yaml", ".yml", ".data"):
        return _with_layout(root, Lines(_listed_names(text, where)), {}, task="")
    if suffix == ".data":
        data: dict[str, Any] = {}
        for line in text.splitlines():
            key, equals, value = line.partition("=")
            if equals:
                data[key.strip()] = value.strip()
        names = _below(root, str(data.get("names", "")), Path.is_file)
        if names is None:
            raise InvalidInput(
                f"names are {base.short(data.get('names'))}", where=where, remedy="the class list beside it"
            )
        lines = Lines(_listed_names(base.read_text(names, limit=MAX_CONFIG), names.name))
        return _with_layout(root, lines, data, task="detect")
    data = yamlite.loads(text, where)
    keypoints = data.get("kpt_shape")
    if keypoints is not None and not (
        isinstance(keypoints, list) and len(keypoints) == 2 and type(keypoints[0]) is int
        and 0 < keypoints[0] <= 1000 and keypoints[1] in (2, 3)
    ):  # fmt: skip
        raise InvalidInput(f"kpt_shape is {base.short(keypoints)}", where=where, remedy="[points, 2 or 3]")
    shape = (keypoints[0], keypoints[1]) if keypoints else None
    return _with_layout(
        root, Lines(_names(data.get("names"), where), shape), data, task=str(data.get("task", ""))
    )


def _listed_names(text: str, where: str) -> Mapping[int, str]:
    names = [line.strip() for line in text.splitlines()]
    while names and not names[-1]:
        names.pop()
    return _names(names, where)


def _names(value: Any, where: str) -> Mapping[int, str]:
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict) or not value or len(value) > MAX_CLASSES:
        raise InvalidInput(
            f"names are {base.short(value)}", where=where, remedy="a list or a map of class names"
        )
    out: dict[int, str] = {}
    for key, name in value.items():
        if not isinstance(key, int) or not str(name).strip():
            raise InvalidInput(
                f"names: {base.short(key)}: {base.short(name)}", where=where, remedy="number: name"
            )
        out[key] = str(name).strip()
    return out


def _with_layout(root: Path, lines: Lines, data: Mapping[str, Any], *, task: str) -> _Config:
    """The set below a folder: nothing outside it is read, whatever the file says."""
    beside = not any("labels" in found for _, found, _ in os.walk(root))
    top = data.get("path")
    within = (_below(root, top, Path.is_dir) if isinstance(top, str) and top else None) or root
    places: dict[str, set[str]] = {}
    lists: list[tuple[Path, str]] = []
    for key, split in _SPLIT_KEYS.items():
        value = data.get(key)
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str) or not item:
                continue
            found = _below(within, item, _has_sheets) or _below(root, item, _has_sheets)
            if found is not None and not found.is_file():
                places.setdefault(found.relative_to(root).as_posix(), set()).add(split)
            elif found is not None and found.suffix.lower() == ".txt":
                lists.append((found, split))
    ordered = sorted(places, key=len, reverse=True)
    folders = tuple((p, next(iter(places[p])) if len(places[p]) == 1 else "") for p in ordered)
    if task == "obb" or (not task and lines.keypoints is None and _turned(root, beside)):
        lines = Lines(lines.names, lines.keypoints, turned=True)
    return _Config(root, lines, folders, tuple(lists), beside)


def _has_sheets(path: Path) -> bool:
    """Whether a path is there, or the folder of labels for a folder of pictures that are not."""
    if path.exists():
        return True
    parts = list(path.parts)
    for spot in range(len(parts) - 1, -1, -1):
        if parts[spot] in _PICTURE_FOLDERS:
            return any(Path(*parts[:spot], other, *parts[spot + 1 :]).is_dir() for other in _LABEL_FOLDERS)
    return False


def _below(root: Path, text: str, is_one: Callable[[Path], bool]) -> Path | None:
    """What a path of another machine means here: its longest tail that is there below the root. Never above it."""
    try:
        parts = base.clean_path(text.replace("..", ".")).split("/")
    except InvalidInput:
        return root if text.strip() in (".", "./") and is_one(root) else None
    for n in range(len(parts)):
        found = root.joinpath(*parts[n:])
        try:
            if is_one(found):
                return found
        except OSError:  # no file can have such a name
            continue
    return None


def _turned(root: Path, beside: bool) -> bool:
    """Whether the first label files hold turned boxes: nothing but eight numbers, all parallelograms (a rectangle's
    numbers are, relative to a picture that is no square), one not upright."""
    seen = turned = False
    for n, at in enumerate(_label_files(root, beside)):
        if n == PROBED:
            break
        head = base.head(root / at)
        lines = head.decode("utf-8", "replace").splitlines()
        for line in lines[:-1] if len(head) == base.SNIFFED else lines:
            words = line.split()
            if not words:
                continue
            try:
                x0, y0, x1, y1, x2, y2, x3, y3 = map(float, words[1:])
            except ValueError:
                return False
            if not (abs(x0 + x2 - x1 - x3) < OBLIQUE and abs(y0 + y2 - y1 - y3) < OBLIQUE):
                return False
            seen = True
            turned = turned or min(abs(x1 - x0), abs(y1 - y0)) > OBLIQUE
    return seen and turned


def _label_files(root: Path, beside: bool) -> Iterator[str]:
    """Text files that are labels: those below `labels` folders where there are any, else all but known lists."""
    for at in sheets.walk(root, ".txt", keep=lambda name: name.lower() not in _NO_LABELS):
        if beside or "labels" in at.split("/")[:-1]:
            yield at


def _parse(config: _Config, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    pictures = sheets.Pictures(config.root, sizes)
    listed = _listed(config, pictures, problems)
    skipped = {file.relative_to(config.root).as_posix() for file, _ in config.lists}
    lines, root = config.lines, config.root
    n = 0
    for at in _label_files(root, config.beside):
        if at in skipped:
            continue
        n += 1
        stem = at[:-4]
        try:
            homes = _homes(stem)
            place = pictures.first(homes)
            known = base.clean_path(place or homes[0])
            rows = base.read_text(root / at, limit=sheets.MAX_SHEET).splitlines()
        except InvalidInput as error:
            problems.add(at, error.what, error.remedy)
            continue
        size = pictures.size(known, place)
        if size is None and sizes is None and any(row.strip() for row in rows):
            problems.add(
                at,
                "the picture's size is unknown",
                "put the pictures beside the labels, or ingest them first",
            )
        found: list[Annotation] = []
        for number, row in enumerate(rows, 1):  # also without a size, so that every fault is named at once
            try:
                if words := row.split():
                    found += yololines.read(words, lines, size or (1, 1))
            except InvalidInput as error:
                problems.add(f"{at}:{number}", error.what, error.remedy)
        split = _split(config, listed, known)
        if size is not None:
            yield Record(known, *size, tuple(found), split)
        elif sizes is not None or not found:
            yield Record(known, None, None, (), split)
    for at in _unlabelled(config, pictures, problems):
        n += 1
        w, h = pictures.size(at, at) or (None, None)
        yield Record(at, w, h, (), _split(config, listed, at))
    if not n:
        problems.add("", "no label files below this folder", "put data.yaml at the top of the set")


def _homes(stem: str) -> list[str]:
    """Where the picture of a label file may be, the likeliest first: the last folder of labels on its way is one of
    pictures there."""
    parts = stem.split("/")
    for spot in range(len(parts) - 2, -1, -1):
        if parts[spot] in _LABEL_FOLDERS:
            others = (
                ("images", "Images", "JPEGImages")
                if parts[spot] == "labels"
                else ("Images", "images", "JPEGImages")
            )
            return ["/".join([*parts[:spot], other, *parts[spot + 1 :]]) for other in others] + [stem]
    return [stem]


def _split(config: _Config, listed: Mapping[int, str], place: str) -> str:
    if listed and (split := listed.get(hash(sheets.stem(place)))) is not None:
        return split
    for folder, split in config.folders:
        if place.startswith(f"{folder}/"):
            return split
    return base.split_in(place.split("/")[:-1])


def _listed(config: _Config, pictures: sheets.Pictures, problems: Problems) -> dict[int, str]:
    """The split of each picture that a list names; in two lists it has none."""
    found: dict[int, str] = {}
    for file, split in config.lists:
        for at in _named(config, file, pictures, problems):
            mark = hash(sheets.stem(at))
            found[mark] = split if found.get(mark, split) == split else ""
    return found


def _named(config: _Config, file: Path, pictures: sheets.Pictures, problems: Problems) -> Iterator[str]:
    """The pictures of a list by their paths below the root, as far as they or their labels are there."""
    where = file.relative_to(config.root).as_posix()
    try:
        rows = base.read_text(file, limit=MAX_LIST).splitlines()
    except InvalidInput as error:
        problems.add(where, error.what, error.remedy)
        return
    skip = 0  # the parts that another machine had in front are the same on every line
    for n, row in enumerate(rows, 1):
        if not row.strip():
            continue
        try:
            parts = base.clean_path(row.strip()).split("/")
        except InvalidInput as error:
            problems.add(f"{where}:{n}", error.what, error.remedy)
            continue
        for k in (skip, *range(len(parts))):
            place = "/".join(parts[k:])
            if place and (pictures.there(place) or _labelled(place, pictures)):
                skip = k
                break
        else:
            place = "/".join(parts)
        yield place


def _labelled(place: str, pictures: sheets.Pictures) -> bool:
    """Whether a picture has a label file: beside it, or in a folder of labels instead of the one of pictures."""
    stem = sheets.stem(place)
    if pictures.there(f"{stem}.txt"):
        return True
    parts = stem.split("/")
    for spot in range(len(parts) - 2, -1, -1):
        if parts[spot] in _PICTURE_FOLDERS:
            return any(
                pictures.there("/".join([*parts[:spot], other, *parts[spot + 1 :]]) + ".txt")
                for other in _LABEL_FOLDERS
            )
    return False


def _unlabelled(config: _Config, pictures: sheets.Pictures, problems: Problems) -> Iterator[str]:
    """Pictures of the set that have no label file, which says that nothing is on them."""
    if config.lists:
        for file, _ in config.lists:
            for place in _named(config, file, pictures, Problems("")):
                if not _labelled(place, pictures):
                    yield place
        return
    for suffix in sheets.PICTURES:
        for at in sheets.walk(config.root, suffix):
            inside = config.beside or "images" in at.split("/")[:-1]
            if not inside or _labelled(at, pictures):
                continue
            try:
                yield base.clean_path(at)
            except InvalidInput as error:
                problems.add(base.short(at), error.what, error.remedy)

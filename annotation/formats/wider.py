"""WIDER FACE's lists: a picture's path, its number of faces, then a face a line (Yang et al. 2016).

    0--Parade/0_Parade_marchingband_1_849.jpg
    1
    449 330 122 149 0 0 0 0 0 0

The ten numbers are x, y, w, h in px, blur, expression, illumination, invalid, occlusion, pose; those above 0 become
attributes. There is one class: face.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from annotation import geometry, marks
from annotation.core import Annotation, AttributeValue, Box
from annotation.errors import InvalidInput, LamproomError
from annotation.formats import base, sheets
from annotation.formats.base import Loss, Problems, Record, Sizes
from annotation.labels import LabelSchema

DIALECTS = ("",)
CLASS = "face"
FOLDER = "wider_face_split"
COLUMNS = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")
MAX_FILE = 2 * 2**30
MAX_FACES = 100_000
_LISTS = re.compile(r"wider_face_([a-z]+)_bbx_gt\.txt\Z")
_LOSSES = (
    base.WHOLE_LOSSES
    | {"other": "labels other than face: the format has one class, these become faces"}
    | base.BOUNDED_LOSSES
    | {"described": "attributes that are no columns of WIDER FACE: left out"}
    | base.SCORE_LOSSES
    | base.MARK_LOSSES
)


def sniff(path: Path) -> str:
    """Why a path is a list of WIDER FACE, or a folder with one."""
    if not path.is_dir():
        return "it lists pictures, numbers of faces and faces, as WIDER FACE does" if _is_wider(path) else ""
    found = next(
        (
            f
            for folder in sheets.folders(path, 1)
            for f in sheets.some(folder, ".txt")
            if _LISTS.match(f.name)
        ),
        None,
    )
    return f"its file {found.name} is named as WIDER FACE's lists are" if found is not None else ""


def _is_wider(file: Path) -> bool:
    lines = (
        base.head(file).decode("utf-8", "replace").splitlines()[:3] if file.suffix.lower() == ".txt" else []
    )
    return (
        len(lines) == 3
        and lines[0].strip().lower().endswith(sheets.PICTURES)
        and lines[1].strip().isdigit()
        and len(lines[2].split()) in (4, 5, 10, 11)
    )


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """A record a picture, in the order of the lists; the split is in a list's name.

    Raises:
        InvalidFile: every fault, by list and line.
    """
    root = path if path.is_dir() else path.parent
    files = [path] if path.is_file() else [
        f for folder in sheets.folders(path, 1) for f in sheets.some(folder, ".txt") if _LISTS.match(f.name)
    ]  # fmt: skip
    if root.name == FOLDER:
        root = root.parent
    return base.checked(lambda found: _parse(root, files, sizes, found), path.name, problems)


def _parse(root: Path, files: list[Path], sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    pictures = sheets.Pictures(root, sizes)
    once = sheets.Once("the picture")
    for file in files:
        named = _LISTS.match(file.name)
        part = named[1] if named else "train"
        try:
            yield from _list(
                file, f"WIDER_{part}/images/", base.split_of(part) if named else "", pictures, once, problems
            )
        except InvalidInput as error:
            problems.add(file.name, error.what, error.remedy)
    if not files:
        problems.add("", "no list of pictures and faces", f"a folder that holds {FOLDER}")


def _list(
    file: Path, home: str, split: str, pictures: sheets.Pictures, once: sheets.Once, problems: Problems
) -> Iterator[Record]:
    lines = enumerate(_lines(file), 1)
    for n, line in lines:
        if not line.strip():
            continue
        at = f"{file.name}:{n}"
        try:
            inner = base.clean_path(line.strip())
            once.add(f"{split}/{inner}")
        except InvalidInput as error:
            problems.add(at, error.what, error.remedy)
            inner = ""
        n, line = next(lines, (n + 1, ""))
        count = line.strip()
        if not (count.isascii() and count.isdigit()) or int(count[:9]) > MAX_FACES:
            problems.add(
                f"{file.name}:{n}", f"the number of faces is {base.short(count)}", f"0 to {MAX_FACES}"
            )
            return  # what follows cannot be told apart
        faces: list[Annotation] = []
        for face in range(max(1, int(count))):  # without a face there is one line of zeros, in most files
            n, line = next(lines, (n + 1, ""))
            words = line.split()
            if count == "0" or int(count) == 0:
                if words and not all(word == "0" for word in words):
                    problems.add(
                        f"{file.name}:{n}", "a face where there should be none", "0 0 0 0 0 0 0 0 0 0"
                    )
                continue
            try:
                faces.append(_face(words))
            except InvalidInput as error:
                problems.add(f"{file.name}:{n}", f"face {face + 1}: {error.what}", error.remedy)
        if inner:
            found = f"{home}{inner}" if pictures.there(f"{home}{inner}") else None
            w, h = pictures.size(found or inner, found) or (None, None)
            yield Record(found or inner, w, h, tuple(faces), split)


def _lines(file: Path) -> Iterator[str]:
    """The lines of a list; those of a large one are not held."""
    if (size := file.stat().st_size) > MAX_FILE:
        raise InvalidInput(f"{size} bytes", where=file.name, remedy=f"at most {MAX_FILE}; split it")
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline=None) as stream:
        while line := stream.readline(base.MAX_PATH * 4):
            try:
                yield line.encode("utf-8", "surrogateescape").decode()
            except UnicodeDecodeError:
                yield line.encode("utf-8", "surrogateescape").decode("gb18030", "replace")


def _face(words: list[str]) -> Annotation:
    name = CLASS
    if len(words) in (5, 11):  # a class of its own at the end, as datumaro writes it
        *words, name = words
    if len(words) not in (4, 10):
        raise InvalidInput(f"a line of {len(words)} numbers", remedy="x y w h and six attributes")
    x, y, w, h, *levels = sheets.floats(words, "a column")
    if w < 0 or h < 0:
        raise InvalidInput(f"a box of size {w:g} x {h:g}", remedy="x y w h, with w and h from 0")
    found: dict[str, AttributeValue] = {}
    for key, level in zip(COLUMNS, levels, strict=False):
        if not level.is_integer() or not 0 <= level < 1000:
            raise InvalidInput(f"{key} is {level:g}", remedy="a small whole number")
        if level:
            found[key] = int(level)
    return Annotation(name, base.sound(Box(x, y, x + w, y + h)), found, origin="import")


# ---------------------------------------------------------------------------------------------------------------


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """What WIDER FACE cannot hold of these records, with counts."""
    base.dialect(dialect, DIALECTS)
    face = schema.resolve(CLASS)

    def traits(a: Annotation, record: Record) -> Iterator[str]:
        if a.label != face:
            yield "other"
        if a.attributes and any(not _column(k, v) for k, v in marks.plain(a.attributes).items()):
            yield "described"
        if a.kind in ("mask", "keypoints") and geometry.bbox(a.shape) is None:
            yield "unbounded"

    return sheets.losses(records, schema, _LOSSES, traits)


def _column(key: str, value: AttributeValue) -> bool:
    return key in COLUMNS and isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1000


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs in the export."""
    return PurePosixPath(f"WIDER_{record.split or 'default'}", "images", base.clean_path(record.path))


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """`wider_face_split/wider_face_<split>_bbx_gt.txt` for every split ("default" for none).

    Raises:
        InvalidInput: for a label that is not in the schema.
    """
    base.dialect(dialect, DIALECTS)
    ids = schema.class_ids()
    lists = sheets.Lists(out)
    n = 0
    try:
        for record in records:
            n += 1
            lines = []
            for a in record.annotations:
                base.class_id(a, ids, record.path)
                if (box := geometry.bbox(a.shape)) is not None:
                    lines.append(_line(box, a.attributes))
            lines = [base.clean_path(record.path), str(len(lines)), *(lines or ["0 0 0 0 0 0 0 0 0 0"])]
            lists.add(f"{FOLDER}/wider_face_{record.split or 'default'}_bbx_gt.txt", "\n".join(lines))
        if not n:
            base.target(out, f"{FOLDER}/wider_face_default_bbx_gt.txt").touch()
            return [out / FOLDER / "wider_face_default_bbx_gt.txt"]
        return lists.finish()
    finally:
        lists.close()


def _line(box: Box, attributes: Mapping[str, AttributeValue]) -> str:
    numbers = (box.x0, box.y0, round(box.x1 - box.x0, 6), round(box.y1 - box.y0, 6))
    levels = (value if _column(key, value := attributes.get(key, 0)) else 0 for key in COLUMNS)
    return " ".join([*map(sheets.number, numbers), *map(str, levels)])

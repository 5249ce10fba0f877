"""KITTI: `label_2/<picture>.txt`, a line an object: type, truncation, occlusion, angle, 2D box, then the 3D box (Geiger
et al. 2012, object development kit).

    type truncated occluded alpha left top right bottom height width length x y z rotation_y [score]

What is not at its default becomes an attribute: `truncated` and the 3D columns as their text (they are no whole
numbers), `occluded` as a number, and those attributes are written again. DontCare regions are objects of that class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from annotation import geometry, labels, marks
from annotation.core import Annotation, AttributeValue, Box
from annotation.errors import InvalidInput, LamproomError
from annotation.formats import base, sheets
from annotation.formats.base import Loss, Problems, Record, Sizes
from annotation.labels import LabelSchema

DIALECTS = ("",)
DONT_CARE = "DontCare"
_GROUPS = (
    ("truncated", 1, 2, (0.0, -1.0)),
    ("occluded", 2, 3, (0.0, -1.0)),
    ("alpha", 3, 4, (-10.0, -1.0)),
    ("dimensions", 8, 11, (-1.0,)),
    ("location", 11, 14, (-1000.0, -1.0)),
    ("rotation_y", 14, 15, (-10.0, -1.0)),
)
"""Attribute, its columns, and the values that say nothing; all columns of it at one of them: no attribute."""
_SPLITS = {"train": "training", "val": "validation", "test": "testing", "": "default"}
_LOSSES = (
    base.WHOLE_LOSSES
    | base.BOUNDED_LOSSES
    | {
        "described": "attributes that are no columns of KITTI: left out",
        "prediction": "predictions: written like truth, with their score",
    }
    | base.MARK_LOSSES
)


def sniff(path: Path) -> str:
    """Why a path is a KITTI label file, or a folder with some, or with tracklets."""
    if not path.is_dir():
        if path.name == "tracklet_labels.xml":
            return "it holds tracklets of KITTI's raw data"
        return "its lines have KITTI's 15 columns" if _is_kitti(path) else ""
    for folder in sheets.folders(path):
        files = sheets.some(folder, ".txt")[:4] if folder.name.startswith("label") else []
        if any(map(_is_kitti, files)) or (
            folder.name == "label_2" and all(not base.head(f).strip() for f in files)
        ):
            return f"its folder {folder.name} holds lines of KITTI's 15 columns"
        if (folder / "tracklet_labels.xml").is_file():
            return "its file tracklet_labels.xml holds tracklets of KITTI's raw data"
    return ""


def _is_kitti(file: Path) -> bool:
    lines = (
        base.head(file).decode("utf-8", "replace").splitlines()[:4] if file.suffix.lower() == ".txt" else []
    )
    words = next((line.split() for line in lines if line.strip()), [])
    if len(words) not in (15, 16):
        return False
    try:
        sheets.floats(words[1:], "")
    except InvalidInput:
        return not words[0].replace(".", "").replace("-", "").isdigit()
    return not words[0].replace(".", "").replace("-", "").isdigit()


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """A record a label file.

    Raises:
        InvalidFile: every fault, by file and line. InvalidInput: tracklets, which hold no boxes of pictures.
    """
    if path.is_file() and path.name != "tracklet_labels.xml":
        pictures = sheets.Pictures(path.parent, sizes)
        return base.checked(
            lambda found: _sheet(path.name, pictures, path.parent, found), path.name, problems
        )
    return base.checked(lambda found: _parse(path, sizes, found), path.name, problems)


def _parse(root: Path, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    pictures = sheets.Pictures(root, sizes)
    n = 0
    for at in sheets.walk(root, ".txt") if root.is_dir() else ():
        if root.name.startswith("label") or any(part.startswith("label") for part in at.split("/")[:-1]):
            n += 1
            yield from _sheet(at, pictures, root, problems)
    if not n:
        raw = root.name == "tracklet_labels.xml" or any(
            (f / "tracklet_labels.xml").is_file() for f in sheets.folders(root)
        )
        if raw:
            problems.add(
                "tracklet_labels.xml",
                "boxes in a point cloud, none on pictures",
                "give the set's 2D labels, label_2",
            )
        else:
            problems.add("", "no label files below this folder", "a folder that holds label_2")


def _sheet(at: str, pictures: sheets.Pictures, root: Path, problems: Problems) -> Iterator[Record]:
    parts = at[:-4].split("/")
    spot = next((n for n, part in enumerate(parts[:-1]) if part.startswith("label")), None)
    homes = [parts]
    if spot is not None:
        after = parts[spot].removeprefix("label")
        homes = [
            [*parts[:spot], folder, *parts[spot + 1 :]] for folder in (f"image{after}", "images", "image")
        ]
    try:
        found = pictures.first("/".join(home) for home in homes)
        place = base.clean_path(found or "/".join(homes[0]))
        lines = base.read_text(root / at, limit=sheets.MAX_SHEET).splitlines()
    except InvalidInput as error:
        problems.add(at, error.what, error.remedy)
        return
    objects: list[Annotation] = []
    for n, line in enumerate(lines, 1):
        try:
            if words := line.split():
                objects.append(_object(words))
        except InvalidInput as error:
            problems.add(f"{at}:{n}", error.what, error.remedy)
    w, h = pictures.size(place, found) or (None, None)
    split = base.split_in(parts[:-1])
    yield Record(place, w, h, tuple(objects), split)


def _object(words: list[str]) -> Annotation:
    if len(words) not in (15, 16):
        raise InvalidInput(
            f"a line of {len(words)} columns", remedy="type and 14 numbers, and a score if any"
        )
    numbers = [0.0, *sheets.floats(words[1:], "a column")]
    score = numbers[15] if len(words) == 16 else None
    if score is not None and not 0 <= score <= 1:
        raise InvalidInput(f"the score is {words[15]}", remedy="0 to 1")
    x0, y0, x1, y1 = numbers[4:8]
    if x0 > x1 or y0 > y1:
        raise InvalidInput(
            f"a box whose corners are swapped: {x0:g}, {y0:g}, {x1:g}, {y1:g}", remedy="left top right bottom"
        )
    found: dict[str, AttributeValue] = {}
    for key, first, last, silent in _GROUPS:
        values = numbers[first:last]
        if any(all(v == s for v in values) for s in silent):
            continue
        if key == "occluded":
            if not values[0].is_integer():
                raise InvalidInput(f"the occlusion is {words[2]}", remedy="0 to 3")
            found[key] = int(values[0])
        else:
            found[key] = " ".join(words[first:last])
    return Annotation(words[0], base.sound(Box(x0, y0, x1, y1)), found, score, "import")


# ---------------------------------------------------------------------------------------------------------------


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """What KITTI cannot hold of these records, with counts."""
    base.dialect(dialect, DIALECTS)
    return sheets.losses(records, schema, _LOSSES, _traits)


def _traits(a: Annotation, record: Record) -> Iterator[str]:
    if a.attributes and any(_columns(k, v) is None for k, v in marks.plain(a.attributes).items()):
        yield "described"
    if a.kind in ("mask", "keypoints") and geometry.bbox(a.shape) is None:
        yield "unbounded"


def _columns(key: str, value: AttributeValue) -> str | None:
    """The columns of an attribute as they were read; None when it is none of KITTI's, or would not come back."""
    group = next((g for g in _GROUPS if g[0] == key), None)
    if group is None or isinstance(value, bool):
        return None
    words = str(value).split()
    if (
        " ".join(words) != str(value)
        or len(words) != group[2] - group[1]
        or (key == "occluded") != isinstance(value, int)
    ):
        return None
    try:
        numbers = sheets.floats(words, key)
    except InvalidInput:
        return None
    return None if any(all(v == s for v in numbers) for s in group[3]) else str(value)


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs in the export."""
    return PurePosixPath(_SPLITS[record.split], "image_2", base.clean_path(record.path))


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """`training|validation|testing|default/label_2/<stem>.txt` for every picture.

    Raises:
        InvalidInput: for a label that is not in the schema, or two pictures of one stem.
    """
    base.dialect(dialect, DIALECTS)
    types = _types(schema)
    files = sheets.Sheets(out)
    folders: set[str] = set()
    for record in records:
        folder = _SPLITS[record.split]
        folders.add(folder)
        lines: list[str] = []
        for a in record.annotations:
            if a.label not in types:
                base.class_id(a, {}, record.path)
            box = a.shape if isinstance(a.shape, Box) else geometry.bbox(a.shape)
            if box is not None:
                lines.append(_line(types[a.label], box, a))
        files.write(
            f"{folder}/label_2/{sheets.stem(base.clean_path(record.path))}.txt", "".join(lines).encode()
        )
    files.finish()
    for folder in folders or {"default"}:
        (out / folder / "label_2").mkdir(parents=True, exist_ok=True)
    return [out / folder for folder in sorted(folders or {"default"})]


def _types(schema: LabelSchema) -> Mapping[str, str]:
    """The type of each label: its code, but the devkit's own word for what is not to be counted."""
    return {code: DONT_CARE if labels.fold(code) == "dontcare" else code for code in schema.class_ids()}


def _line(kind: str, box: Box, a: Annotation) -> str:
    found = {k: text for k, v in a.attributes.items() if (text := _columns(k, v)) is not None}
    care = kind != DONT_CARE
    score = f" {a.score:.6g}" if a.score is not None else ""
    return (
        f"{kind} {found.get('truncated', '0' if care else '-1')} {found.get('occluded', '0' if care else '-1')} "
        f"{found.get('alpha', '-10')} {box.x0:.12g} {box.y0:.12g} {box.x1:.12g} {box.y1:.12g} "
        f"{found.get('dimensions', '-1 -1 -1')} {found.get('location', '-1000 -1000 -1000')} "
        f"{found.get('rotation_y', '-10')}{score}\n"
    )

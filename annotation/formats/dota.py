"""DOTA: `labelTxt/<picture>.txt` with four corners in px, the category and the difficulty a line (Xia et al. 2018).

The lines `imagesource:…` and `gsd:…` (metres a pixel) at the top become attributes of every object, as text. Corners may
be negative: objects cut by a tile's border. The same in versions 1.0, 1.5 and 2.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from annotation import geometry, marks
from annotation.core import Annotation, AttributeValue, Box, Polygon, Quad, RotatedBox, Shape
from annotation.errors import InvalidInput, LamproomError
from annotation.formats import base, sheets, yololines
from annotation.formats.base import Loss, Problems, Record, Sizes
from annotation.labels import LabelSchema

DIALECTS = ("",)
FOLDERS = ("labelTxt", "labelTxt-v1.5", "labelTxt-v1.0", "labelTxt-v2.0")
HEADERS = ("imagesource", "gsd")
_LOSSES = (
    base.WHOLE_LOSSES
    | base.TURNED_LOSSES
    | {
        "flat": "objects without width or height: left out",
        "described": "attributes other than difficult, imagesource and gsd: left out",
        "disagreeing": "imagesource and gsd that differ from the first object's: left out",
    }
    | base.SCORE_LOSSES
    | base.MARK_LOSSES
)


def sniff(path: Path) -> str:
    """Why a path is a DOTA label file, or a folder with one in `labelTxt`."""
    if not path.is_dir():
        return "its lines are four corners, a category and a difficulty, as in DOTA" if _is_dota(path) else ""
    for folder in sheets.folders(path):
        if folder.name.startswith("labelTxt") and all(map(_may_be, sheets.some(folder, ".txt")[:4])):
            return f"its folder {folder.name} holds corners and categories, as in DOTA"
    return ""


def _may_be(file: Path) -> bool:
    return _is_dota(file) or not base.head(file).strip()


def _is_dota(file: Path) -> bool:
    if file.suffix.lower() != ".txt":
        return False
    for line in base.head(file).decode("utf-8", "replace").splitlines()[:3]:
        words = line.split()
        if not words or line.partition(":")[0] in HEADERS:
            continue
        try:
            sheets.floats(words[:8], "")
        except InvalidInput:
            return False
        return len(words) >= 9 and not words[8].replace(".", "").replace("-", "").isdigit()
    return False


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """A record a label file. Every object is a quadrilateral, its first corner the object's own top left.

    Raises:
        InvalidFile: every fault, by file and line.
    """
    if path.is_file():
        root = path.parent
        return base.checked(
            lambda found: _sheet(path.name, path.name, sheets.Pictures(root, sizes), root, found),
            path.name,
            problems,
        )
    return base.checked(lambda found: _parse(path, sizes, found), path.name, problems)


def _parse(root: Path, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    pictures = sheets.Pictures(root, sizes)
    only = root.name.startswith("labelTxt")
    n = 0
    for at in sheets.walk(root, ".txt"):
        if only or any(part.startswith("labelTxt") for part in at.split("/")[:-1]):
            n += 1
            yield from _sheet(at, at, pictures, root, problems)
    if not n:
        problems.add("", "no label files below this folder", "a folder that holds labelTxt")


def _sheet(
    at: str, shown: str, pictures: sheets.Pictures, root: Path, problems: Problems
) -> Iterator[Record]:
    parts = at[:-4].split("/")
    spot = next((n for n, part in enumerate(parts[:-1]) if part.startswith("labelTxt")), None)
    homes = (
        [parts]
        if spot is None
        else [[*parts[:spot], "images", *parts[spot + 1 :]], [*parts[:spot], *parts[spot + 1 :]]]
    )
    try:
        found = pictures.first("/".join(home) for home in homes)
        place = base.clean_path(found or "/".join(homes[0]))
        lines = base.read_text(root / at, limit=sheets.MAX_SHEET).splitlines()
    except InvalidInput as error:
        problems.add(shown, error.what, error.remedy)
        return
    head: dict[str, AttributeValue] = {}
    objects: list[Annotation] = []
    for n, line in enumerate(lines, 1):
        key, colon, value = line.partition(":")
        try:
            if colon and key.strip() in HEADERS:
                if value.strip() not in ("", "None", "null"):
                    head[key.strip()] = value.strip()[: base.MAX_TEXT]
            elif words := line.split():
                objects.append(_object(words, head))
        except InvalidInput as error:
            problems.add(f"{shown}:{n}", error.what, error.remedy)
    w, h = pictures.size(place, found) or (None, None)
    split = base.split_in(parts[:-1])
    yield Record(place, w, h, tuple(objects), split)


def _object(words: list[str], head: Mapping[str, AttributeValue]) -> Annotation:
    if len(words) < 9:
        raise InvalidInput(
            f"a line of {len(words)} words", remedy="x1 y1 x2 y2 x3 y3 x4 y4 category difficult"
        )
    points = sheets.floats(words[:8], "a corner")
    level = words[-1] if len(words) > 9 else "0"
    if not level.isascii() or not level.isdigit() or len(level) > 6:
        raise InvalidInput(f"the difficulty is {base.short(level)}", remedy="a whole number: 0 or 1")
    name = " ".join(words[8:-1] if len(words) > 9 else words[8:])
    difficult: dict[str, AttributeValue] = (
        {} if int(level) == 0 else {"difficult": int(level) == 1 or int(level)}
    )
    return Annotation(name, base.sound(Quad(tuple(points))), {**difficult, **head}, origin="import")


# ---------------------------------------------------------------------------------------------------------------


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """What DOTA cannot hold of these records, with counts."""
    base.dialect(dialect, DIALECTS)
    return sheets.losses(records, schema, _LOSSES, _traits)


def _traits(a: Annotation, record: Record) -> Iterator[str]:
    if a.attributes:
        plain = marks.plain(a.attributes)
        first = marks.plain(record.annotations[0].attributes)
        if any(not _holds(k, v) for k, v in plain.items()):
            yield "described"
        elif any(plain.get(k) != first.get(k) for k in HEADERS):
            yield "disagreeing"


def _holds(key: str, value: AttributeValue) -> bool:
    if key == "difficult":
        return value is True or (
            isinstance(value, int) and not isinstance(value, bool) and 2 <= value < 10**6
        )
    held = isinstance(value, str) and value.split() == [value] and value not in ("None", "null")
    return key in HEADERS and held


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs in the export."""
    return PurePosixPath(record.split or "default", "images", base.clean_path(record.path))


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """`<split>/labelTxt/<stem>.txt` for every picture ("default" for no split).

    Raises:
        InvalidInput: for a label that is not in the schema, or two pictures of one stem.
    """
    base.dialect(dialect, DIALECTS)
    ids = schema.class_ids()
    files = sheets.Sheets(out)
    splits: set[str] = set()
    for record in records:
        splits.add(record.split or "default")
        lines: list[str] = []
        for a in record.annotations:
            base.class_id(a, ids, record.path)
            ring = corners(a.shape)
            if not ring:
                continue
            if not lines:
                held = {k: v for k in HEADERS if (v := a.attributes.get(k)) is not None and _holds(k, v)}
                lines += [f"{k}:{v}\n" for k, v in held.items()]
            level = a.attributes.get("difficult", 0)
            level = int(level) if _holds("difficult", level) else 0
            lines.append(" ".join(map(sheets.number, ring)) + f" {a.label} {level}\n")
        files.write(
            f"{record.split or 'default'}/labelTxt/{sheets.stem(base.clean_path(record.path))}.txt",
            "".join(lines).encode(),
        )
    files.finish()
    for split in splits or {"default"}:
        (out / split / "labelTxt").mkdir(parents=True, exist_ok=True)
    return [out / split for split in sorted(splits or {"default"})]


def corners(shape: Shape) -> tuple[float, ...]:
    """Four corners in px; () for what has none."""
    box = geometry.bbox(shape)
    if box is None or box.x0 == box.x1 or box.y0 == box.y1:
        return ()
    match shape:
        case Quad(points):
            return points
        case Box() | RotatedBox():
            return geometry.corners(shape)
        case _ if (drawn := _outline(shape)) is not None:
            return yololines.smallest([c for part in drawn.parts for c in part[0]])
        case _:
            return geometry.corners(box)


def _outline(shape: Shape) -> Polygon | None:
    from annotation import raster
    from annotation.core import Mask

    return raster.to_polygon(shape) if isinstance(shape, Mask) else geometry.outline(shape)

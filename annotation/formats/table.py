"""CSV tables, a row an object: ours, which holds everything, and boxes under the usual names of columns.

Ours: path, width, height, split, label, kind, x0, y0, x1, y1 (the box around it, px), score, origin, uid, shape (the record's
integers as JSON, for what is no box), attributes (JSON). A picture without objects has a row with its first columns only.
Read too: any delimiter of , ; tab |, UTF-8 with or without mark, UTF-16, GB 18030; no header (`path,x0,y0,x1,y1,label`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from annotation import canonical, geometry, rows
from annotation.core import Annotation, AttributeValue, Box, Shape
from annotation.errors import InvalidInput, LamproomError
from annotation.formats import base, sheets
from annotation.formats.base import Loss, Problems, Record, Sizes
from annotation.labels import LabelSchema

DIALECTS = ("full", "boxes")
FILE = "annotations.csv"
MAX_FILE = 64 * 2**30
MAX_FIELD = 2**25
MAX_SCATTERED = 500_000
"""Rows of a table whose pictures' rows lie apart: these are sorted in memory."""
_FULL = (
    "path", "width", "height", "split", "label", "kind", "x0", "y0", "x1", "y1", "score", "origin", "uid", "shape",
    "attributes",
)  # fmt: skip
_BOXES = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax", "split")
_ORIGINS = ("human", "model", "import")
_UID = re.compile(r"[0-9a-f]{32}\Z")
_NAMES: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "filepath", "image", "imagename", "imagepath", "imagefile", "imageid", "img",
             "imgpath", "imgname", "picture", "frame", "图片", "图像", "文件名", "图片名", "路径"),
    "label": ("label", "class", "classname", "category", "categoryname", "labelname", "name", "object", "类别", "标签", "类名"),
    "x0": ("xmin", "x0", "left", "bboxxmin", "x1", "x左"),
    "y0": ("ymin", "y0", "top", "bboxymin", "y1"),
    "x1": ("xmax", "x2", "right", "bboxxmax"),
    "y1": ("ymax", "y2", "bottom", "bboxymax"),
    "x": ("x", "bboxx", "boxx"),
    "y": ("y", "bboxy", "boxy"),
    "w": ("w", "boxwidth", "bboxwidth", "bboxw", "boxw"),
    "h": ("h", "boxheight", "bboxheight", "bboxh", "boxh"),
    "bbox": ("bbox", "box"),
    "width": ("imagewidth", "imgwidth", "imgw", "width", "宽", "图宽"),
    "height": ("imageheight", "imgheight", "imgh", "height", "高", "图高"),
    "score": ("score", "confidence", "conf", "probability", "置信度"),
    "split": ("split", "subset", "set", "划分"),
}  # fmt: skip
_BOX_LOSSES = base.WHOLE_LOSSES | base.BOUNDED_LOSSES | base.BARE_LOSSES


# ---------------------------------------------------------------------------------------------------------------
# Recognising


@dataclass(frozen=True, slots=True)
class _Table:
    """How a table is read: its file, text, delimiter, place of each column; `relative`: 0 to 1 (Open Images)."""

    file: Path
    encoding: str
    delimiter: str
    places: Mapping[str, int]
    headed: bool
    relative: bool

    @property
    def full(self) -> bool:
        """Whether it is one of ours with every column."""
        return "kind" in self.places and "shape" in self.places


def sniff(path: Path) -> str:
    """Why a path is a table of boxes, or a folder with exactly that; "" when it is not."""
    for file in [path] if path.is_file() else sheets.some(path, ".csv")[:8]:
        if file.suffix.lower() not in (".csv", ".tsv"):
            continue
        head = base.head(file)
        for encoding in ("utf-16",) if head[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8", "gb18030"):
            first = head.decode(encoding, "replace").splitlines()[:1]
            table = _columns(file, encoding, first[0]) if first else None
            if table is not None and table.full:
                return f"its file {file.name} has the columns of Lamproom's own table"
            if table is not None:
                return f"its file {file.name} has columns for a picture, a class and a box"
    return ""


def _columns(file: Path, encoding: str, first: str) -> _Table | None:
    """The columns by the first line; None when they are none of boxes."""
    delimiter = max(",;\t|", key=first.count)
    try:
        names = next(csv.reader([first], delimiter=delimiter), [])
    except csv.Error:
        return None
    if {"path", "label", "kind", "shape"} <= set(names):
        return _Table(
            file, encoding, delimiter, {n: k for k, n in enumerate(names) if n in _FULL}, True, False
        )
    folded = [re.sub(r"[\s_./-]+", "", name.strip().casefold()) for name in names]
    places: dict[str, int] = {}
    for meaning, spellings in _NAMES.items():
        found = next((s for s in spellings if s in folded), None)
        if found is not None:
            places[meaning] = folded.index(found)
    if "x1" not in places and {"x0", "y0"} <= set(folded) and {"x1", "y1"} <= set(folded):
        places |= {name: folded.index(name) for name in ("x0", "y0", "x1", "y1")}
    if (
        "x1" not in places
        and {"x", "y", "width", "height"} <= places.keys()
        and not {"w", "h"} & places.keys()
    ):
        places |= {"w": places.pop("width"), "h": places.pop("height")}
    boxed = (
        {"x0", "y0", "x1", "y1"} <= places.keys() or {"x", "y", "w", "h"} <= places.keys() or "bbox" in places
    )
    if {"path", "label"} <= places.keys() and boxed:
        relative = {"imageid", "labelname", "xmin"} <= set(folded)
        return _Table(file, encoding, delimiter, places, True, relative)
    if len(names) == 6 and names[0].lower().endswith(sheets.PICTURES):
        try:
            if any(names[1:5]):
                sheets.floats(names[1:5], "")
        except InvalidInput:
            return None
        plain = {"path": 0, "x0": 1, "y0": 2, "x1": 3, "y1": 4, "label": 5}
        return _Table(file, encoding, delimiter, plain, False, False)
    return None


# ---------------------------------------------------------------------------------------------------------------
# Reading


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """A record a picture, its rows put together; in the order of the table unless a picture's rows lie apart.

    Raises:
        InvalidFile: every fault, by line and column. InvalidInput: no columns of boxes.
    """
    file = path
    if path.is_dir():
        file = next((f for f in sheets.some(path, ".csv") if sniff(f)), path / FILE)
    table = _open(file)
    csv.field_size_limit(MAX_FIELD)  # one of ours holds masks as JSON
    scattered = _scattered(table)
    return base.checked(lambda found: _parse(table, scattered, sizes, found), file.name, problems)


def _open(file: Path) -> _Table:
    if not file.is_file():
        raise InvalidInput("no such file", where=str(file))
    if (size := file.stat().st_size) > MAX_FILE:
        raise InvalidInput(f"{size} bytes", where=file.name, remedy=f"at most {MAX_FILE}; split it")
    encoding = sheets.encoding(file)
    with file.open(encoding=encoding, newline="") as stream:
        first = stream.readline(1 << 16)
    table = _columns(file, encoding, first.rstrip("\r\n"))
    if table is None:
        raise InvalidInput(
            f"the columns are {base.short(first.strip())}", where=file.name,
            remedy="a picture, a class, and xmin, ymin, xmax, ymax or x, y, w, h",
        )  # fmt: skip
    return table


def _rows(table: _Table) -> Iterator[tuple[int, list[str]]]:
    """Rows with their line numbers, without empty ones.

    Raises:
        InvalidInput: where the text is no CSV.
    """
    with table.file.open(encoding=table.encoding, newline="") as stream:
        reader = csv.reader(stream, delimiter=table.delimiter)
        try:
            for n, row in enumerate(reader):
                if (n or not table.headed) and any(row):
                    yield reader.line_num, row
        except (csv.Error, UnicodeDecodeError) as error:
            raise InvalidInput(
                f"no table: {base.short(str(error))}",
                where=f"line {reader.line_num}",
                remedy="quotes that close, one encoding",
            ) from error


def _scattered(table: _Table) -> bool:
    """Whether the rows of a picture lie apart anywhere."""
    seen: set[int] = set()
    last = None
    at = table.places["path"]
    try:
        for _, row in _rows(table):
            mark = hash(row[at]) if at < len(row) else 0
            if mark != last:
                if mark in seen:
                    return True
                seen.add(mark)
                last = mark
    except InvalidInput:
        pass  # named when it is parsed
    return False


def _groups(table: _Table, scattered: bool) -> Iterator[tuple[str, list[tuple[int, list[str]]]]]:
    """The rows of each picture together."""
    at = table.places["path"]
    if not scattered:
        held: list[tuple[int, list[str]]] = []
        for n, row in _rows(table):
            if held and _cell(row, at) != _cell(held[0][1], at):
                yield _cell(held[0][1], at), held
                held = []
            held.append((n, row))
        if held:
            yield _cell(held[0][1], at), held
        return
    groups: dict[str, list[tuple[int, list[str]]]] = {}
    for count, (n, row) in enumerate(_rows(table)):
        if count == MAX_SCATTERED:
            raise InvalidInput(
                "the rows of a picture lie apart", where=f"line {n}", remedy="sort the table by its pictures"
            )
        groups.setdefault(_cell(row, at), []).append((n, row))
    yield from groups.items()


def _cell(row: Sequence[str], at: int) -> str:
    return row[at].strip() if at < len(row) else ""


def _parse(table: _Table, scattered: bool, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    pictures = sheets.Pictures(table.file.parent, sizes)
    once = sheets.Once("the picture")
    try:
        for text, held in _groups(table, scattered):
            try:
                found, place = _place(text, pictures)
                once.add(place)
            except InvalidInput as error:
                problems.add(f"line {held[0][0]}", error.what, error.remedy)
                continue
            yield from _record(table, place, found, held, pictures, problems)
    except InvalidInput as error:
        problems.add(error.where, error.what, error.remedy)


def _place(text: str, pictures: sheets.Pictures) -> tuple[str | None, str]:
    place = base.clean_path(text)
    for candidate in (place, f"images/{place}"):
        if pictures.there(candidate):
            return candidate, candidate
    if "." not in place.rpartition("/")[2]:
        found = pictures.first((place, f"images/{place}"))
        return found, base.clean_path(found or place)
    return None, place


def _record(
    table: _Table, place: str, found: str | None, held: list[tuple[int, list[str]]], pictures: sheets.Pictures,
    problems: Problems,
) -> Iterator[Record]:  # fmt: skip
    wh: tuple[int | None, int | None] = (None, None)
    split = ""
    objects: list[Annotation] = []
    for k, (n, row) in enumerate(held):
        cell = _Cells(table.places, row)
        try:
            if k == 0:
                wh = (_side(cell("width"), "width"), _side(cell("height"), "height"))
                if None in wh:
                    wh = pictures.size(place, found) or (None, None)
                split = _split(cell("split"))
            if table.full:
                objects += _full(cell)
            elif (box := _box(cell, wh if table.relative else None)) is not None:
                name = cell("label")
                if not name:
                    raise InvalidInput("has no class", remedy="fill the column of classes")
                score = sheets.floats([cell("score")], "score")[0] if cell("score") else None
                if score is not None and not 0 <= score <= 1:
                    raise InvalidInput(f"score is {cell('score')}", remedy="0 to 1")
                objects.append(Annotation(name, base.sound(box), score=score, origin="import"))
        except InvalidInput as error:
            problems.add(f"line {n}", error.what, error.remedy)
    yield Record(place, *wh, tuple(objects), split)


class _Cells:
    """The cells of a row by what they mean."""

    def __init__(self, places: Mapping[str, int], row: list[str]) -> None:
        self._places, self._row = places, row

    def __call__(self, meaning: str) -> str:
        at = self._places.get(meaning)
        return self._row[at].strip() if at is not None and at < len(self._row) else ""

    def raw(self, meaning: str) -> str:
        """A cell with its spaces."""
        at = self._places.get(meaning)
        return self._row[at] if at is not None and at < len(self._row) else ""


def _side(text: str, what: str) -> int | None:
    return base.side(sheets.floats([text], what)[0], what) if text not in ("", "0") else None


def _split(text: str) -> str:
    split = base.split_of(text)
    if text and not split and text.casefold() not in ("none", "default", "nan"):
        raise InvalidInput(f"split is {base.short(text)}", remedy="train, val, test, or none")
    return split


def _box(cell: _Cells, relative: tuple[int | None, int | None] | None) -> Shape | None:
    """The box of a row; None when all its cells are empty."""
    corners = [cell(name) for name in ("x0", "y0", "x1", "y1")]
    sides = [cell(name) for name in ("x", "y", "w", "h")]
    if text := cell("bbox"):
        sides = re.split(r"[,;\s]+", text.strip("[](){} \t"))
        if len(sides) != 4:
            raise InvalidInput(f"bbox is {base.short(text)}", remedy="[x, y, width, height]")
        corners = []
    if not any(corners) and not any(sides):
        return None
    if any(corners):
        x0, y0, x1, y1 = sheets.floats(corners, "a corner")
    else:
        x0, y0, w, h = sheets.floats(sides, "a side")
        x1, y1 = x0 + w, y0 + h
    if x0 > x1 or y0 > y1:
        raise InvalidInput(
            f"a box whose corners are swapped: {x0:g}, {y0:g}, {x1:g}, {y1:g}",
            remedy="left, top, right, bottom",
        )
    if relative is not None:
        w_, h_ = relative
        if w_ is None or h_ is None:
            raise InvalidInput(
                "the picture's size is unknown",
                remedy="put the pictures beside the labels, or ingest them first",
            )
        if max(x1, y1) > 1.01:
            raise InvalidInput(
                f"{max(x1, y1):g} is outside the picture", remedy="numbers are relative to its size: 0 to 1"
            )
        return Box(x0 * w_, y0 * h_, x1 * w_, y1 * h_)
    return Box(x0, y0, x1, y1)


def _full(cell: _Cells) -> Iterator[Annotation]:
    kind, label = cell("kind"), cell("label")
    if not kind and not label:
        return
    if not label:
        raise InvalidInput("has no label", remedy="a label's code")
    box = None
    if kind == "box":
        numbers = sheets.floats([cell(name) for name in ("x0", "y0", "x1", "y1")], "a corner")
        box = canonical.snaps(numbers)
    try:
        shape = base.sound(rows.from_row(kind, box, cell.raw("shape") or None))
    except InvalidInput as error:
        raise InvalidInput(
            error.what, remedy=error.remedy or "kind, corners and shape as they were written"
        ) from error
    attributes: Mapping[str, AttributeValue] = {}
    if text := cell.raw("attributes"):
        value = base.parse_json(text.encode("utf-8", "surrogatepass"), "attributes")
        try:
            canonical.check(value)
        except InvalidInput as error:
            raise InvalidInput(error.what, remedy="codes with texts, whole numbers and flags") from error
        if not isinstance(value, dict) or any(isinstance(v, dict | list) for v in value.values()):
            raise InvalidInput(f"attributes are {base.short(value)}", remedy="a flat object")
        attributes = value
    score = sheets.floats([cell("score")], "score")[0] if cell("score") else None
    if score is not None and not 0 <= score <= 1:
        raise InvalidInput(f"score is {cell('score')}", remedy="0 to 1")
    origin, uid = cell("origin") or "import", cell("uid")
    if origin not in _ORIGINS:
        raise InvalidInput(f"origin is {base.short(origin)}", remedy=f"one of {', '.join(_ORIGINS)}")
    if uid and not _UID.match(uid):
        raise InvalidInput(f"uid is {base.short(uid)}", remedy="32 hex digits")
    found = Annotation(canonical.nfc(label), shape, attributes, score, origin)  # type: ignore[arg-type]
    yield Annotation(found.label, found.shape, attributes, score, found.origin, uid) if uid else found


# ---------------------------------------------------------------------------------------------------------------
# Writing


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """None for the full table but labels that the schema does not have; with "boxes" all but boxes and labels."""
    if base.dialect(dialect, DIALECTS) == "full":
        return base.strangers(base.census(records), schema)
    return sheets.losses(records, schema, _BOX_LOSSES, _traits)


def _traits(a: Annotation, record: Record) -> Iterator[str]:
    if a.kind in ("mask", "keypoints") and geometry.bbox(a.shape) is None:
        yield "unbounded"


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs in the export."""
    return PurePosixPath("images", base.clean_path(record.path))


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """`annotations.csv`: UTF-8 with a byte order mark, for a spreadsheet shows Chinese only then; line ends as RFC 4180.

    Raises:
        InvalidInput: for a label that is not in the schema, or a number that the record cannot hold.
    """
    full = base.dialect(dialect, DIALECTS) == "full"
    ids = schema.class_ids()
    file = base.target(out, FILE)
    line: Callable[[Annotation], list[str]] = _full_row if full else _box_row
    with file.open("x", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(_FULL if full else _BOXES)
        for record in records:
            path = base.clean_path(record.path)
            side = ["" if v is None else str(v) for v in (record.width, record.height)]
            found = []
            for a in record.annotations:
                base.class_id(a, ids, path)
                if cells := line(a):
                    found.append(cells)
            for cells in found or [[""] * (11 if full else 5)]:
                writer.writerow(
                    [path, *side, record.split, *cells] if full else [path, *side, *cells, record.split]
                )
        base.settle(stream)
    return [file]


def _box_row(a: Annotation) -> list[str]:
    box = geometry.bbox(a.shape)
    return [a.label, *map(sheets.number, (box.x0, box.y0, box.x1, box.y1))] if box is not None else []


def _full_row(a: Annotation) -> list[str]:
    kind, box, shape = rows.to_row(a.shape)
    corners = [""] * 4 if box is None else [sheets.number(v / canonical.PX) for v in box]
    kept = {k: canonical.nfc(v) if isinstance(v, str) else v for k, v in a.attributes.items()}
    attributes = canonical.encode(kept).decode() if kept else ""
    score = "" if a.score is None else f"{canonical.snap(a.score, canonical.MICRO) / canonical.MICRO:.6g}"
    return [a.label, kind, *corners, score, a.origin, a.uid, shape or "", attributes]

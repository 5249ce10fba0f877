"""Text on pictures: ICDAR's `gt_<picture>.txt` of 2013, 2015 and 2017, PPOCRLabel's Label.txt, lists for recognition.

2013 `x0 y0 x1 y1 "text"`, or with commas; 2015 `x1,y1,x2,y2,x3,y3,x4,y4,text`; 2017 with the script first; `###` is illegible.
PPOCRLabel: `picture<tab>[{"transcription", "points", "difficult", "key_cls"}]`. Recognition: `picture<tab>text` or
`picture, "text"`, a picture a word. ICDAR 2013's `<picture>_GT.txt` of single characters is read, with its colours.
The text is the attribute `transcript`, the class `text` (characters: `character`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from annotation import canonical, geometry, marks
from annotation.core import (
    Annotation,
    Attributes,
    AttributeValue,
    Box,
    Mask,
    Polygon,
    Quad,
    Shape,
    Tag,
    new_uid,
)
from annotation.errors import InvalidInput, LamproomError
from annotation.formats import base, dota, pngs, sheets
from annotation.formats.base import Loss, Problems, Record, Sizes
from annotation.labels import LabelSchema

DIALECTS = ("2015", "2013", "2017", "ppocr", "recognition")
CLASS = "text"
CHARACTER = "character"
TEXT = "transcript"
ILLEGIBLE = "illegible"
SCRIPTS = frozenset(
    {"Arabic", "Latin", "Chinese", "Japanese", "Korean", "Bangla", "Hindi", "Symbols", "Mixed", "None"}
)
MAX_LINE = 64 * 2**20
_IGNORED = "###"
_TEXT_LOSSES = (
    base.WHOLE_LOSSES
    | {"other": "labels other than text: the format has one class, theirs are lost"}
    | base.TURNED_LOSSES
    | {
        "flat": "objects without width or height: left out",
        "described": "attributes other than the text: left out",
        "broken": "line breaks in texts: written as spaces",
    }
    | base.SCORE_LOSSES
    | base.MARK_LOSSES
)
_BOX_LOSSES = _TEXT_LOSSES | base.BOUNDED_LOSSES | {"box": ""}
_PPOCR_LOSSES = (
    _TEXT_LOSSES
    | base.FILLED_LOSSES
    | {
        "other": "",
        "polygon": "",
        "four": "polygons of four corners: read back as quadrilaterals",
        "broken": "",
    }
)
_WORD_LOSSES = (
    _TEXT_LOSSES
    | base.UNDRAWN_LOSSES
    | {
        "tag": "",
        "flat": "",
        "wordless": "pictures without a text of their own: left out",
        "words": "more than one text of a picture: only the first is written",
    }
)


# ---------------------------------------------------------------------------------------------------------------
# Recognising


def sniff(path: Path) -> str:
    """Why a path holds texts on pictures."""
    if not path.is_dir():
        return _WHY.get(_kind(path), "")
    for folder in sheets.folders(path):
        for file in sheets.some(folder, ".txt"):
            kind = _kind(file)
            if kind == "gt":
                first = base.head(file).decode("utf-8", "replace").lstrip().partition("\n")[0]
                if first and not _cells(first.rstrip("\r"))[0]:
                    continue
            if why := _WHY.get(kind, ""):
                return f"its file {file.name}: {why}"
    return ""


_WHY = {
    "ppocr": "it lists pictures with transcriptions, as PPOCRLabel does",
    "gt": "its lines are corners and texts, as in ICDAR",
    "characters": "its lines are colours, boxes and characters, as in ICDAR 2013",
    "words": "it lists pictures of words and their texts",
}


def _kind(file: Path) -> str:
    """What a text file holds, by its name and first lines; "" for what is none of it."""
    name = file.name.lower()
    if not name.endswith(".txt"):
        return ""
    lines = [line for line in base.head(file).decode("utf-8", "replace").split("\n")[:3] if line.strip()]
    first = lines[0].strip() if lines else ""
    if "\t[" in first and (name == "label.txt" or '"transcription"' in first):
        return "ppocr"
    if name.startswith("gt_"):
        return "gt"
    if name.endswith("_gt.txt") and len(first.split()) >= 10:
        return "characters"
    listed = name == "gt.txt" or name.startswith(("rec_gt", "rec."))
    picture = re.split(r"\t|, ", first)[0].lower().endswith(sheets.PICTURES)
    return "words" if listed and (picture or not first) else ""


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """A record a picture.

    Raises:
        InvalidFile: every fault, by file and line.
    """
    return base.checked(lambda found: _parse(path, sizes, found), path.name, problems)


def _parse(path: Path, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    root = path if path.is_dir() else path.parent
    pictures = sheets.Pictures(root, sizes)
    once = sheets.Once("the picture")
    n = 0
    for at in sheets.walk(root, ".txt") if path.is_dir() else [path.name]:
        kind = _kind(root / at) or ("gt" if path.is_file() else "")
        if not kind:
            continue
        n += 1
        try:
            if kind in ("ppocr", "words"):
                yield from (_label_file if kind == "ppocr" else _word_list)(
                    root, at, pictures, once, problems
                )
            else:
                yield from (_sheet if kind == "gt" else _characters)(root, at, pictures, problems)
        except InvalidInput as error:
            problems.add(at, error.what, error.remedy)
    if not n:
        problems.add("", "no texts below this folder", "gt_<picture>.txt, Label.txt or gt.txt")


# ---------------------------------------------------------------------------------------------------------------
# Texts with their places


def _sheet(root: Path, at: str, pictures: sheets.Pictures, problems: Problems) -> Iterator[Record]:
    folder, _, name = at[:-4].rpartition("/")
    name = name[3:] if name.lower().startswith("gt_") else name
    parts = folder.split("/") if folder else []
    homes = [f"{'/'.join([*parts[:n], 'images', *parts[n:]])}/{name}" for n in range(len(parts), -1, -1)]
    found = pictures.first([*homes, "/".join([*parts, name])])
    place = base.clean_path(found or "/".join([*parts, name]))
    lines = [line.rstrip("\r") for line in base.read_text(root / at, limit=sheets.MAX_SHEET).split("\n")]
    cells = [(n, _cells(line)) for n, line in enumerate(lines, 1) if line.strip()]
    scripts = bool(cells) and all(rest.partition(",")[0] in SCRIPTS and "," in rest for _, (_, rest) in cells)
    objects: list[Annotation] = []
    for n, (numbers, rest) in cells:
        try:
            objects.append(_object(numbers, rest, scripts=scripts))
        except InvalidInput as error:
            problems.add(f"{at}:{n}", error.what, error.remedy)
    w, h = pictures.size(place, found) or (None, None)
    split = base.split_in(parts)
    if not found and parts and (base.split_of(parts[0]) or parts[0] == "default"):
        place = base.clean_path("/".join([*parts[1:], name]))
    yield Record(place, w, h, tuple(objects), split)


_NUMBER = r"\s*[-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?\s*"
_COMMAS = re.compile(rf"({_NUMBER}(?:,{_NUMBER}){{7}})(?:,(.*))?\Z", re.DOTALL)
_FOUR = re.compile(rf"({_NUMBER}(?:,{_NUMBER}){{3}})(?:,(.*))?\Z", re.DOTALL)
_SPACES = re.compile(r'((?:[-+0-9.eE]+\s+){4}|(?:[-+0-9.eE]+\s+){8})"(.*)"\s*\Z', re.DOTALL)


def _cells(line: str) -> tuple[list[str], str]:
    """The numbers at the start of a line, and the text after them."""
    line = line.lstrip("\ufeff")
    found = _COMMAS.match(line) or _FOUR.match(line)
    if found:
        return found[1].split(","), found[2] or ""
    if found := _SPACES.match(line):
        return found[1].split(), f'"{found[2]}"'
    return [], line


def _object(numbers: list[str], rest: str, *, scripts: bool) -> Annotation:
    if not numbers:
        raise InvalidInput(
            f"the line is {base.short(rest)}", remedy="4 or 8 numbers, then the text, with commas between"
        )
    values = sheets.floats(numbers, "a corner")
    shape: Shape = Quad(tuple(values))
    if len(values) == 4:
        x0, y0, x1, y1 = values
        if x0 > x1 or y0 > y1:
            raise InvalidInput(
                f"a box whose corners are swapped: {x0:g}, {y0:g}, {x1:g}, {y1:g}",
                remedy="left, top, right, bottom",
            )
        shape = Box(x0, y0, x1, y1)
    found: dict[str, AttributeValue] = {}
    if scripts:
        script, _, rest = rest.partition(",")
        if script != "None":
            found["script"] = script
    if rest.lstrip()[:1] == '"' and rest.rstrip()[-1:] == '"' and len(rest.strip()) > 1:
        rest = rest.strip()[1:-1]
    if rest == _IGNORED:
        found[ILLEGIBLE] = True
    elif rest:
        found[TEXT] = _checked(rest)
    return Annotation(CLASS, base.sound(shape), found, origin="import")


def _checked(text: str) -> str:
    if len(text) > base.MAX_TEXT:
        raise InvalidInput(f"a text of {len(text)} characters", remedy=f"at most {base.MAX_TEXT}")
    return canonical.nfc(text)


def _characters(root: Path, at: str, pictures: sheets.Pictures, problems: Problems) -> Iterator[Record]:
    """Single characters by their colour in `<picture>_GT.bmp`; a blank line ends a word, # begins one not to be counted."""
    stem = at[:-7]
    folder, _, name = stem.rpartition("/")
    found = pictures.first([f"{folder}/images/{name}".lstrip("/"), stem])
    place = base.clean_path(found or stem)
    drawn: dict[int, tuple[int, ...]] = {}
    size: tuple[int, int] | None = None
    bitmap = root / f"{at[:-4]}.bmp"
    if bitmap.is_file():
        picture = pngs.read(bitmap, f"{at[:-4]}.bmp")
        drawn, size = pngs.regions(picture.values, f"{at[:-4]}.bmp"), picture.size
    objects: list[Annotation] = []
    group = new_uid()
    for n, line in enumerate(base.read_text(root / at, limit=sheets.MAX_SHEET).split("\n"), 1):
        if not line.strip():
            group = new_uid()
            continue
        ignored = line.lstrip().startswith("#")
        match = re.match(r'\s*#?\s*((?:[-+0-9.]+\s+){9})"?(.*?)"?\s*\Z', line)
        try:
            if match is None:
                raise InvalidInput(
                    f"the line is {base.short(line)}", remedy='r g b x y x0 y0 x1 y1 "character"'
                )
            r, g, b, _, _, x0, y0, x1, y1 = sheets.floats(match[1].split(), "a column")
            if not all(v.is_integer() and 0 <= v <= 255 for v in (r, g, b)) or x0 > x1 or y0 > y1:
                raise InvalidInput(
                    "a colour or box that is none", remedy="0 to 255; left, top, right, bottom"
                )
            runs = drawn.get(int(r) | int(g) << 8 | int(b) << 16)
            shape: Shape = Mask(*size, runs) if runs and size else Box(x0, y0, x1, y1)
            found_: dict[str, AttributeValue] = {"@group": group}
            found_ |= {ILLEGIBLE: True} if ignored else {}
            found_ |= {TEXT: _checked(match[2])} if match[2] else {}
            objects.append(Annotation(CHARACTER, base.sound(shape), found_, origin="import"))
        except InvalidInput as error:
            problems.add(f"{at}:{n}", error.what, error.remedy)
    w, h = pictures.size(place, found) or size or (None, None)
    split = base.split_in(folder.split("/"))
    yield Record(place, w, h, tuple(objects), split)


# ---------------------------------------------------------------------------------------------------------------
# Lists of pictures


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a list, one at a time; GB 18030 where a line is not UTF-8."""
    with file.open("rb") as stream:
        for n in range(1, 2**40):
            line = stream.readline(MAX_LINE + 1)
            if not line:
                return
            if len(line) > MAX_LINE:
                raise InvalidInput(f"line {n} is too long", remedy=f"at most {MAX_LINE} bytes")
            data = line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
            try:
                text = data.decode()
            except UnicodeDecodeError:
                text = data.decode("gb18030", "replace")
            if text.strip():
                yield n, text


def _place(at: str, text: str, pictures: sheets.Pictures) -> tuple[str, str | None]:
    """A listed picture's path, and the picture if it is there: PPOCRLabel puts the folder's own name before it."""
    folder = at.rpartition("/")[0]
    inner = base.clean_path(text)
    tail = inner.partition("/")[2] or inner
    for candidate in (inner, tail):
        for home in (f"{folder}/" if folder else "", f"{folder}/images/".lstrip("/")):
            if pictures.there(f"{home}{candidate}"):
                return f"{home}{candidate}", f"{home}{candidate}"
    own = folder.rpartition("/")[2]
    return (tail if own and inner.startswith(f"{own}/") else inner), None


def _label_file(
    root: Path, at: str, pictures: sheets.Pictures, once: sheets.Once, problems: Problems
) -> Iterator[Record]:
    split = base.split_in(at.split("/")[:-1])
    for n, line in _lines(root / at):
        path, tab, body = line.partition("\t")
        try:
            if not tab:
                raise InvalidInput(f"the line is {base.short(line)}", remedy="picture, tab, a list of texts")
            place, found = _place(at, path, pictures)
            once.add(f"{split}/{place}")
            rows = base.parse_json(body.encode(), "the list")
            if not isinstance(rows, list):
                raise InvalidInput(f"the texts are {base.short(rows)}", remedy="a list")
        except InvalidInput as error:
            problems.add(f"{at}:{n}", error.what, error.remedy)
            continue
        objects = []
        for k, row in enumerate(rows):
            try:
                objects.append(_ppocr(row))
            except InvalidInput as error:
                problems.add(f"{at}:{n}: [{k}]", error.what, error.remedy)
        w, h = pictures.size(place, found) or (None, None)
        yield Record(place, w, h, tuple(objects), split)


def _ppocr(row: Any) -> Annotation:
    if not isinstance(row, dict):
        raise InvalidInput(f"a text is {base.short(row)}", remedy='{"transcription", "points", "difficult"}')
    points = row.get("points")
    flat = [c for p in points if isinstance(p, list) for c in p] if isinstance(points, list) else []
    sound = isinstance(points, list) and len(flat) == 2 * len(points) and len(flat) >= 6
    if not sound or not all(isinstance(c, int | float) and not isinstance(c, bool) for c in flat):
        raise InvalidInput(f"points are {base.short(points)}", remedy="at least three [x, y]")
    text, difficult, kind = row.get("transcription"), row.get("difficult", False), row.get("key_cls")
    if not isinstance(text, str | None):
        raise InvalidInput(f"transcription is {base.short(text)}", remedy="a text")
    found: dict[str, AttributeValue] = {TEXT: _checked(text)} if text and text != _IGNORED else {}
    found |= {ILLEGIBLE: True} if text == _IGNORED else {}
    found |= {"difficult": True} if difficult is True else {}
    name = kind.strip() if isinstance(kind, str) and kind.strip() not in ("", "None") else CLASS
    try:
        ring = tuple(float(c) for c in flat)
    except OverflowError as error:
        raise InvalidInput("points hold a number that is too large") from error
    shape: Shape = Quad(ring) if len(ring) == 8 else Polygon(((ring,),))
    return Annotation(name, base.sound(shape), found, origin="import")


def _word_list(
    root: Path, at: str, pictures: sheets.Pictures, once: sheets.Once, problems: Problems
) -> Iterator[Record]:
    split = base.split_of(at.rpartition("/")[2]) or base.split_in(at.split("/"))
    for n, line in _lines(root / at):
        path, tab, text = line.partition("\t")
        if not tab:
            path, _, text = line.partition(", ")
            if text[:1] == '"' and text.rstrip()[-1:] == '"' and len(text.rstrip()) > 1:
                text = text.rstrip()[1:-1].replace('\\"', '"')
        try:
            place, found = _place(at, path, pictures)
            once.add(f"{split}/{place}")
            attributes: dict[str, AttributeValue] = {ILLEGIBLE: True} if text == _IGNORED else {}
            if text and text != _IGNORED:
                attributes = {TEXT: _checked(text)}
        except InvalidInput as error:
            problems.add(f"{at}:{n}", error.what, error.remedy)
            continue
        w, h = pictures.size(place, found) or (None, None)
        yield Record(place, w, h, (Annotation(CLASS, Tag(), attributes, origin="import"),), split)


# ---------------------------------------------------------------------------------------------------------------
# Writing


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """What these files cannot hold of these records, with counts."""
    dialect = base.dialect(dialect, DIALECTS)
    own = schema.resolve(CLASS)
    known = {TEXT, ILLEGIBLE} | (
        {"difficult"} if dialect == "ppocr" else {"script"} if dialect == "2017" else set()
    )

    def traits(a: Annotation, record: Record) -> Iterator[str]:
        if a.label != own:
            yield "other"
        plain = marks.plain(a.attributes)
        if (
            any(k not in known or not _comes_back(k, v) for k, v in plain.items())
            or {TEXT, ILLEGIBLE} <= plain.keys()
        ):
            yield "described"
        if re.search(r"[\r\n]", str(plain.get(TEXT, ""))):
            yield "broken"
        if isinstance(a.shape, Polygon) and len(a.shape.parts[0][0]) == 8:
            yield "four"

    def pictures(record: Record) -> Iterator[str]:
        n = sum(isinstance(a.shape, Tag) and TEXT in a.attributes for a in record.annotations)
        if n != 1 and dialect == "recognition":
            yield "words" if n else "wordless"

    table = {"2013": _BOX_LOSSES, "ppocr": _PPOCR_LOSSES, "recognition": _WORD_LOSSES}.get(
        dialect, _TEXT_LOSSES
    )
    return sheets.losses(records, schema, table, traits, pictures)


def _comes_back(key: str, value: AttributeValue) -> bool:
    if key == TEXT:
        return isinstance(value, str) and value not in ("", _IGNORED)
    return value in SCRIPTS - {"None"} if key == "script" else value is True


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs in the export."""
    path, split = base.clean_path(record.path), record.split or "default"
    if base.dialect(dialect, DIALECTS) in ("ppocr", "recognition"):
        return PurePosixPath(split, path)
    return PurePosixPath(split, "images", path)


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """`<split>/gt_<stem>.txt` for every picture ("default" for no split); PPOCRLabel's `<split>/Label.txt` and
    `fileState.txt`; or `rec_gt_<split>.txt`.

    Raises:
        InvalidInput: for a label that is not in the schema, or two pictures of one stem.
    """
    dialect = base.dialect(dialect, DIALECTS)
    ids = schema.class_ids()
    own = schema.resolve(CLASS)
    files, lists = sheets.Sheets(out), sheets.Lists(out)
    try:
        for record in records:
            for a in record.annotations:
                base.class_id(a, ids, record.path)
            split, path = record.split or "default", base.clean_path(record.path)
            if dialect == "ppocr":
                rows = [row for a in record.annotations if (row := _row(a, own)) is not None]
                lists.add(f"{split}/Label.txt", f"{split}/{path}\t{msgspec.json.encode(rows).decode()}")
                if rows:
                    lists.add(f"{split}/fileState.txt", f"{split}/{path}\t1")
            elif dialect == "recognition":
                word = next((a for a in record.annotations if isinstance(a.shape, Tag)), None)
                if word is not None:
                    lists.add(f"rec_gt_{split}.txt", f"{split}/{path}\t{_text(word.attributes)}")
            else:
                folder, slash, last = sheets.stem(path).rpartition("/")
                lines = [line for a in record.annotations if (line := _line(a, dialect))]
                files.write(f"{split}/{folder}{slash}gt_{last}.txt", "".join(lines).encode())
        written = lists.finish()
        if not written and not any(out.iterdir()):
            files.write("default/gt.txt", b"")
        files.finish()
        return sorted({*written, *(f for f in out.iterdir() if f.is_dir())})
    finally:
        lists.close()


def _text(attributes: Attributes) -> str:
    """The text as it stands in a line."""
    text = attributes.get(TEXT)
    if isinstance(text, str) and text:
        return re.sub(r"[\r\n]+", " ", text)
    return _IGNORED if attributes.get(ILLEGIBLE) is True else ""


def _line(a: Annotation, dialect: str) -> str:
    box = geometry.bbox(a.shape)
    if box is None or box.x0 == box.x1 or box.y0 == box.y1:
        return ""
    text = _text(a.attributes)
    if dialect == "2013":
        corners = (box.x0, box.y0, box.x1, box.y1)
        return f'{" ".join(map(sheets.number, corners))} "{text}"\n'
    ring = dota.corners(a.shape)
    if not ring:
        return ""
    quoted = text[:1] in ('"', " ") or text[-1:] in ('"', " ") or text.partition(",")[0] in SCRIPTS
    text = f'"{text}"' if quoted and text else text
    if dialect == "2017":
        script = a.attributes.get("script")
        text = f"{script if script in SCRIPTS else 'None'},{text}"
    return f"{','.join(map(sheets.number, ring))},{text}\n"


def _row(a: Annotation, own: str | None) -> Mapping[str, Any] | None:
    shape = a.shape
    if isinstance(shape, Polygon):
        flat = max((part[0] for part in shape.parts), key=lambda ring: abs(geometry.ring_area(ring)))
    elif not (flat := dota.corners(shape)):
        return None
    text = a.attributes.get(TEXT)
    text = text if isinstance(text, str) and text else _text(a.attributes)
    row = {
        "transcription": text, "points": [list(p) for p in geometry.pairs(flat)],
        "difficult": a.attributes.get("difficult") is True,
    }  # fmt: skip
    return row if a.label == own else {**row, "key_cls": a.label}

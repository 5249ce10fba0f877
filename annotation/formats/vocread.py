"""Reading Pascal VOC: XML files, lists of splits, masks of classes and instances; see `voc`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from annotation import geometry, marks
from annotation.core import Annotation, AttributeValue, Box, Mask, Polygon, RotatedBox, Shape
from annotation.errors import InvalidInput, LamproomError
from annotation.formats import base, pngs, sheets, xmlite
from annotation.formats.base import Problems, Record, Sizes
from annotation.formats.xmlite import Element

PART_OF = "part_of"
"""The relation of a part (head, hand) to its object."""
FLAGS = ("truncated", "difficult", "occluded")
_HOMES = ("JPEGImages", "images", "Images", "imgs")
_SETS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
_KNOWN = frozenset(
    {*FLAGS, "name", "pose", "bndbox", "robndbox", "polygon", "part", "actions", "attributes", "type"}
)


@dataclass(frozen=True, slots=True)
class _Set:
    """One set: its folder below what was given ("" or with a slash), its XML files' folder, its splits, its classes."""

    root: Path
    inner: str
    sheets: str
    splits: Mapping[int, str]
    listed: tuple[Path, ...]
    classes: pngs.LabelMap | None
    masks: bool = True


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """A record an XML file, in the order of their paths, then one for each picture that has only masks or a split.

    An object that has an instance mask with the same box becomes the mask; with another box, both, in one group.
    Parts are boxes of their own with a link to their object.

    Raises:
        InvalidFile: every fault, by file and object.
    """
    if path.is_file():
        root = path.parent
        return base.checked(lambda found: _file(root, path.name, sizes, found), path.name, problems)
    if path.name in ("Annotations", "SegmentationClass", "ImageSets"):
        path = path.parent
    return base.checked(lambda found: _parse(path, sizes, found), path.name, problems)


def _file(root: Path, name: str, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    here = _Set(root, "", "", {}, (), None, masks=False)
    yield from _record(here, name, sheets.Pictures(root, sizes), problems, sheets.Once("the picture"))


def _parse(root: Path, sizes: Sizes | None, problems: Problems) -> Iterator[Record]:
    pictures = sheets.Pictures(root, sizes)
    once = sheets.Once("the picture")
    n = 0
    for here in _sets(root, problems):
        top = root / here.inner
        for at in sheets.walk(top / here.sheets if here.sheets else top, ".xml"):
            n += 1
            yield from _record(here, at, pictures, problems, once)
        for stem in _sheetless(here, problems):
            n += 1
            yield from _without(here, stem, pictures, problems, once)
    if not n:
        problems.add("", "no annotations below this folder", "a folder with Annotations, or with XML files")


def _sets(root: Path, problems: Problems) -> Iterator[_Set]:
    """The folder itself, or each folder in it that has the layout of Pascal's kit."""
    marks_of = ("Annotations", "SegmentationClass", "ImageSets")
    tops = [f for f in sheets.folders(root) if any((f / name).is_dir() for name in marks_of)]
    for top in tops or [root]:
        inner = "" if top == root else f"{top.relative_to(root).as_posix()}/"
        splits: dict[int, str] = {}
        listed: list[Path] = []
        for folder in ("Main", "Segmentation", "Layout", "Action"):
            for file in sheets.some(top / "ImageSets" / folder, ".txt"):
                split = base.split_of(file.stem) if file.stem.casefold() in _SETS else ""
                if split or file.stem in ("default", "trainval"):
                    listed.append(file)
                for stem in _stems(file, problems) if split else ():
                    mark = hash(stem)
                    splits[mark] = split if splits.get(mark, split) == split else ""
        try:
            classes = pngs.load_map(top)
        except InvalidInput as error:
            problems.error(error)
            classes = None
        folder = "Annotations" if (top / "Annotations").is_dir() else ""
        masks = (top / "SegmentationClass").is_dir()
        yield _Set(root, inner, folder, splits, tuple(listed), classes, masks)


def _stems(file: Path, problems: Problems) -> Iterator[str]:
    """Names of pictures in a list; a -1, 0 or 1 after a name says whether a class is on it and is not needed here."""
    try:
        lines = base.read_text(file, limit=2**30).splitlines()
    except InvalidInput as error:
        problems.error(error)
        return
    for n, line in enumerate(lines, 1):
        text = line.strip()
        if text.startswith('"') and '"' in text[1:]:
            text = text[1 : text.index('"', 1)]
        elif text.rpartition(" ")[2] in ("-1", "0", "1") and " " in text:
            text = text.rpartition(" ")[0].strip()
        if not text:
            continue
        try:
            yield base.clean_path(text)
        except InvalidInput as error:
            problems.add(f"{file.name}:{n}", error.what, error.remedy)


def _sheetless(here: _Set, problems: Problems) -> Iterator[str]:
    """Stems of pictures that have masks, or stand in a list, and no XML."""
    top = here.root / here.inner
    seen: set[int] = set()

    def fresh(stem: str) -> bool:
        if hash(stem) in seen or sheets.is_file(top / here.sheets / f"{stem}.xml"):
            return False
        seen.add(hash(stem))
        return True

    if (top / "SegmentationClass").is_dir():
        for at in sheets.walk(top / "SegmentationClass", ".png"):
            if fresh(sheets.stem(at)):
                yield sheets.stem(at)
    for file in here.listed:
        for stem in _stems(file, Problems("")):
            if fresh(stem):
                yield stem


def _without(
    here: _Set, stem: str, pictures: sheets.Pictures, problems: Problems, once: sheets.Once
) -> Iterator[Record]:
    found = pictures.first(f"{here.inner}{home}/{stem}" for home in _HOMES)
    try:
        place = base.clean_path(found or f"{here.inner}{stem}")
        once.add(place)
        w, h = pictures.size(place, found) or (None, None)
        areas, (w, h) = _masks(here, stem, [], w, h)
    except InvalidInput as error:
        problems.add(error.where or stem, error.what, error.remedy)
        return
    yield Record(
        place, w, h, tuple(areas), here.splits.get(hash(stem), base.split_in(here.inner.split("/")[:-1]))
    )


def _record(
    here: _Set, at: str, pictures: sheets.Pictures, problems: Problems, once: sheets.Once
) -> Iterator[Record]:
    shown = f"{here.inner}{here.sheets}{'/' if here.sheets else ''}{at}"
    try:
        document = xmlite.parse(base.read_bytes(here.root / shown, limit=xmlite.MAX_BYTES), shown)
        if document.tag != "annotation":
            raise InvalidInput(f"the outermost element is {base.short(document.tag)}", remedy="<annotation>")
        stem = at[:-4]
        place, found = _picture(here, stem, document.findtext("filename") or "", pictures)
        once.add(place)
        w, h = _size(document)
    except InvalidInput as error:
        problems.add(
            (error.where or shown).removeprefix(problems.where).lstrip(":"), error.what, error.remedy
        )
        return
    if w is None or h is None:
        w, h = pictures.size(place, found) or (None, None)
    objects: list[Annotation] = []
    parts: list[Annotation] = []
    for n, element in enumerate(document.findall("object"), 1):
        try:
            objects += _object(element)
            parts += _parts(element, objects[-1])
        except InvalidInput as error:
            at = "" if shown == problems.where else f"{shown}: "
            problems.add(f"{at}object {n}{error.where}", error.what, error.remedy)
    try:
        if here.masks:
            objects, _ = _masks(here, stem, objects, w, h)
    except InvalidInput as error:
        problems.add(error.where or shown, error.what, error.remedy)
    split = here.splits.get(hash(stem)) if here.splits else None
    yield Record(
        place, w, h, (*objects, *parts), base.split_in(shown.split("/")[:-1]) if split is None else split
    )


def _picture(here: _Set, stem: str, name: str, pictures: sheets.Pictures) -> tuple[str, str | None]:
    """The path of an XML file's picture, and the picture if it is there: by its name, else by the file's own stem."""
    folder, _, _ = stem.rpartition("/")
    folder = f"{folder}/" if folder else ""
    name = base.clean_path(name).rpartition("/")[2] if name.strip() else ""
    homes = [f"{here.inner}{home}/" for home in _HOMES] + [
        here.inner + (f"{here.sheets}/" if here.sheets else "")
    ]
    if not here.sheets and (last := stem.rfind("annotations/")) >= 0:
        homes = [f"{here.inner}{stem[:last]}images/"]
        folder = folder[last + 12 :]
    if name:
        for home in homes:
            if pictures.there(place := f"{home}{folder}{name}"):
                return base.clean_path(place), place
    found = pictures.first(f"{home}{folder}{stem.rpartition('/')[2]}" for home in homes)
    return base.clean_path(found or f"{here.inner}{folder}{name or stem.rpartition('/')[2]}"), found


def _size(document: Element) -> tuple[int | None, int | None]:
    """Width and height; (None, None) when the file does not say, or says 0 as a tool without the picture does."""
    size = document.find("size")
    if size is None:
        return None, None
    found = []
    for tag in ("width", "height"):
        text = (size.findtext(tag) or "0").strip()
        (value,) = sheets.floats([text or "0"], f"size.{tag}")
        found.append(None if value == 0 else base.side(value, f"size.{tag}"))
    return (found[0], found[1]) if None not in found else (None, None)


def _object(element: Element) -> list[Annotation]:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise InvalidInput("has no name", where=".name", remedy="the class's name")
    shapes: list[Shape] = []
    box = element.find("bndbox")
    if box is not None:
        shapes.append(_box(box))
    if (turned := element.find("robndbox")) is not None:
        cx, cy, w, h, angle = _numbers(turned, "robndbox", ("cx", "cy", "w", "h", "angle"))
        shapes = [RotatedBox(cx, cy, w, h, math.degrees(angle) % 360)]
    if (ring := element.find("polygon")) is not None and len(ring) >= 6:
        shapes = _polygon(ring, shapes)
    if not shapes:
        raise InvalidInput("has no bndbox", where=".bndbox", remedy="xmin, ymin, xmax, ymax")
    attributes = _attributes(element)
    return [Annotation(name, base.sound(shape), attributes, origin="import") for shape in shapes]


def _numbers(element: Element, what: str, tags: Iterable[str]) -> list[float]:
    found = []
    for tag in tags:
        text = element.findtext(tag)
        if text is None or not text.strip():
            raise InvalidInput("is missing", where=f".{what}.{tag}", remedy="a number of px")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InvalidInput(
                f"is {base.short(text.strip())}", where=f".{what}.{tag}", remedy="a number of px"
            )
        found.append(value)
    return found


def _box(element: Element) -> Box:
    x0, y0, x1, y1 = _numbers(element, "bndbox", ("xmin", "ymin", "xmax", "ymax"))
    if x0 > x1 or y0 > y1:
        raise InvalidInput(
            f"a box whose corners are swapped: {x0:g}, {y0:g}, {x1:g}, {y1:g}", where=".bndbox",
            remedy="xmin <= xmax and ymin <= ymax",
        )  # fmt: skip
    return Box(x0, y0, x1, y1)


def _polygon(element: Element, shapes: list[Shape]) -> list[Shape]:
    """Roboflow's x1, y1, x2, y2 …, beside the box around them."""
    n = len(element) // 2
    points = _numbers(element, "polygon", [f"{axis}{i}" for i in range(1, n + 1) for axis in "xy"])
    if len(points) > 6 and points[:2] == points[-2:]:
        points = points[:-2]
    drawn = Polygon(((tuple(points),),))
    around = geometry.bbox(drawn)
    return [drawn] if not shapes or _near(shapes[0], around) else [*shapes, drawn]


def _near(shape: Shape, other: Box | None, within: float = 2.0) -> bool:
    box = geometry.bbox(shape)
    if box is None or other is None:
        return False
    pairs = ((box.x0, other.x0), (box.y0, other.y0), (box.x1, other.x1), (box.y1, other.y1))
    return max(abs(a - b) for a, b in pairs) <= within


def _attributes(element: Element) -> Mapping[str, AttributeValue]:
    found: dict[str, object] = {}
    pose = (element.findtext("pose") or "").strip()
    if pose and pose.casefold() != "unspecified":
        found["pose"] = pose
    for child in element:
        text = (child.text or "").strip()
        if child.tag in FLAGS:
            if text not in ("", "0"):
                found[child.tag] = True if text == "1" else typed(text)
        elif child.tag == "actions":
            found |= {action.tag: (action.text or "").strip() not in ("", "0") for action in child}
        elif child.tag == "attributes":
            for item in child:
                found[item.findtext("name") or item.tag] = typed(item.findtext("value") or "")
        elif child.tag not in _KNOWN and not len(child) and text:
            found[child.tag] = typed(text)
    return base.attributes(found) if found else {}


def typed(text: str) -> AttributeValue:
    """A text as a flag, a whole number or itself."""
    if text in ("true", "True", "false", "False"):
        return text in ("true", "True")
    if text.isascii() and (text[1:] if text[:1] == "-" else text).isdigit() and str(int(text[:18])) == text:
        return int(text)
    return text


def _parts(element: Element, parent: Annotation) -> Iterator[Annotation]:
    for n, part in enumerate(element.findall("part"), 1):
        name, box = (part.findtext("name") or "").strip(), part.find("bndbox")
        if not name or box is None:
            raise InvalidInput("has no name or no bndbox", where=f".part {n}", remedy="give both")
        found = Annotation(name, base.sound(_box(box)), origin="import")
        yield marks.with_links(found, [(PART_OF, parent.uid)])


# ---------------------------------------------------------------------------------------------------------------
# Masks


def _masks(
    here: _Set, stem: str, objects: list[Annotation], w: int | None, h: int | None
) -> tuple[list[Annotation], tuple[int | None, int | None]]:
    """The objects with the areas of the picture's PNGs among them, and its size."""
    top = here.root / here.inner
    files = [top / folder / f"{stem}.png" for folder in ("SegmentationClass", "SegmentationObject")]
    if not sheets.is_file(files[0]):
        return objects, (w, h)
    where = f"{here.inner}SegmentationClass/{stem}.png"
    classes = pngs.read(files[0], where)
    if (w, h) not in ((None, None), classes.size):
        raise InvalidInput(
            f"a mask of {classes.size[0]} x {classes.size[1]} px on a picture of {w} x {h} px", where=where,
            remedy="masks of the picture's size",
        )  # fmt: skip
    known = here.classes or pngs.named(pngs.VOC_NAMES)
    if sheets.is_file(files[1]):
        found = pngs.instances(classes, pngs.read(files[1], where), known, where)
    else:
        runs = pngs.regions(classes.values, where)
        found = [
            (0, pngs.class_of(v, classes, known, where), Mask(*classes.size, r)) for v, r in runs.items()
        ]
    out: list[Annotation] = list(objects)
    for number, name, mask in found:
        same = objects[number - 1] if 0 < number <= len(objects) else None
        if name is None and same is not None:
            name = same.label
        if name is None:
            continue
        if same is None or same.label.casefold() != name.casefold():
            out.append(Annotation(name, base.sound(mask), origin="import"))
        elif _near(same.shape, geometry.bbox(mask)):
            out[number - 1] = replace(same, shape=base.sound(mask))
        else:
            group = same.uid
            out[number - 1] = marks.with_mark(same, "@group", group)
            out.append(marks.with_mark(Annotation(name, base.sound(mask), origin="import"), "@group", group))
    return out, classes.size

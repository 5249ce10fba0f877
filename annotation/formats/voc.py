"""Pascal VOC: an XML of boxes and parts a picture, ImageSets for splits, palette PNGs of classes and instances.

Coordinates are taken and written as they stand, in px from 0: Pascal's own count from 1 and include the last pixel, but
LabelImg, CVAT, labelme and Roboflow do not, and no file says which it is. Attributes stand as CVAT writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from annotation import geometry, marks
from annotation.core import Annotation, Box, Mask
from annotation.errors import InvalidInput
from annotation.formats import base, pngs, sheets, vocread, xmlite
from annotation.formats.base import Loss, Record
from annotation.formats.vocread import read
from annotation.labels import LabelSchema

__all__ = ["DIALECTS", "losses", "place", "read", "sniff", "write"]

DIALECTS = ("boxes", "masks")
MAX_OBJECTS = 254
"""Objects of a picture that an instance PNG with a palette can tell apart."""

_LOSSES = (
    base.WHOLE_LOSSES
    | base.BOUNDED_LOSSES
    | base.SCORE_LOSSES
    | base.MARK_LOSSES
    | {
        "@links": "",
        "linked": "links between objects, but for parts: left out",
        "described_part": "attributes of parts: left out",
        "typed": "texts that look like numbers or flags: read back as such",
        "unwritable": "characters that XML cannot hold: replaced",
    }
)
_MASK_LOSSES = _LOSSES | {
    k: pngs.AREA_LOSSES[k] for k in ("rotated_box", "quad", "ellipse", "cuboid", "polygon", "overlap", "outside", "sizeless")
} | {
    "mask": "",
    "crowd": "areas after the 254th object of a picture: only their bounding boxes are written",
}  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------
# Recognising


def sniff(path: Path) -> str:
    """Why a path is an annotation file of Pascal VOC, or a folder of some, or one of palette masks."""
    if not path.is_dir():
        return "its outermost element is Pascal VOC's <annotation>" if _is_voc(path) else ""
    for folder in sheets.folders(path):
        xmls = sheets.some(folder, ".xml")
        if xmls and _is_voc(xmls[0]):
            return f"its file {xmls[0].name} is an <annotation> of Pascal VOC"
        if folder.name == "SegmentationClass" and sheets.some(folder, ".png"):
            return "its folder SegmentationClass holds masks of Pascal VOC"
        if folder.name == "ImageSets" and (folder / "Main").is_dir():
            return "its folder ImageSets lists the splits of Pascal VOC"
    return ""


def _is_voc(file: Path) -> bool:
    """LabelMe's old XML has the same outermost element and polygons of <pt>."""
    if file.suffix.lower() != ".xml" or xmlite.root(file) != "annotation":
        return False
    head = base.head(file).replace(b"\0", b"")
    return b"<pt>" not in head and b"<imagesize>" not in head


# ---------------------------------------------------------------------------------------------------------------
# Writing


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """What Pascal VOC cannot hold of these records, with counts."""
    masks = base.dialect(dialect, DIALECTS) == "masks"
    table = {k: what for k, what in (_MASK_LOSSES if masks else _LOSSES).items() if what}
    return sheets.losses(records, schema, table, _traits, _picture_traits if masks else None)


def _traits(a: Annotation, record: Record) -> Iterator[str]:
    if a.kind in ("mask", "keypoints") and geometry.bbox(a.shape) is None:
        yield "unbounded"
    if not a.attributes:
        return
    links = marks.links(a)
    plain = marks.plain(a.attributes)
    if links:
        part = _parent(a, {b.uid: b for b in record.annotations}) is not None
        if not part or len(links) > 1:
            yield "linked"
        if part and plain:
            yield "described_part"
    for value in plain.values():
        if isinstance(value, str) and value != vocread.typed(value):
            yield "typed"
        if isinstance(value, str) and xmlite.unwritable(value):
            yield "unwritable"


def _picture_traits(record: Record) -> Iterator[str]:
    yield from pngs.area_traits(record)
    if len(record.annotations) > MAX_OBJECTS:
        yield from ["crowd"] * sum(a.kind in pngs.AREAS for a in record.annotations[MAX_OBJECTS:])


def _parent(a: Annotation, by_uid: Mapping[str, Annotation]) -> Annotation | None:
    """The object that a box is a part of, if VOC can say so: parts have no parts."""
    for relation, uid in marks.links(a):
        parent = by_uid.get(uid)
        if (
            relation != vocread.PART_OF
            or parent is None
            or parent.uid == a.uid
            or geometry.bbox(parent.shape) is None
        ):
            continue
        if not any(r == vocread.PART_OF and u in by_uid for r, u in marks.links(parent)):
            return parent
    return None


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs in the export."""
    return PurePosixPath("JPEGImages", base.clean_path(record.path))


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """`Annotations/<stem>.xml` for every picture, `ImageSets/Main/<split>.txt` ("default" for none) and `labelmap.txt`;
    with "masks" also `SegmentationClass`, `SegmentationObject` and `ImageSets/Segmentation` for pictures with areas.

    The number of an instance is its object's place in the XML, from 1.

    Raises:
        InvalidInput: for a label that is not in the schema, two pictures of one stem; with masks, more classes than a
            palette has, or a picture of unknown size.
    """
    masks = base.dialect(dialect, DIALECTS) == "masks"
    ids = schema.class_ids()
    if masks and len(ids) > MAX_OBJECTS:
        raise InvalidInput(
            f"{len(ids)} classes in a palette", where=schema.code, remedy="export to masks: 16 bits"
        )
    folder = xmlite.written(" ".join(name.split()))
    files, lists = sheets.Sheets(out), sheets.Lists(out)
    try:
        for record in records:
            path = base.clean_path(record.path)
            stem = sheets.stem(path)
            objects = [a for a in record.annotations if a.label in ids or base.class_id(a, ids, path)]
            painted = masks and any(a.kind in pngs.AREAS for a in objects)
            if painted:
                objects = _paint(record, objects, ids, stem, files)
            body = _document(record, path, objects, folder, segmented=painted)
            files.write(f"Annotations/{stem}.xml", body.encode())
            line = f'"{stem}"' if " " in stem else stem
            lists.add(f"ImageSets/Main/{record.split or 'default'}.txt", line)
            if painted:
                lists.add(f"ImageSets/Segmentation/{record.split or 'default'}.txt", line)
        files.write("labelmap.txt", pngs.map_text(ids).encode())
        files.finish()
        (out / "Annotations").mkdir(exist_ok=True)
        (out / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
        lists.finish()
    finally:
        lists.close()
    return [out / "Annotations", out / "ImageSets", out / "labelmap.txt"] + (
        [f for f in (out / "SegmentationClass", out / "SegmentationObject") if f.is_dir()]
    )


_OBJECT = (
    "<object><name>%s</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
    "<bndbox><xmin>%.12g</xmin><ymin>%.12g</ymin><xmax>%.12g</xmax><ymax>%.12g</ymax></bndbox></object>\n"
)


def _document(record: Record, path: str, objects: list[Annotation], database: str, *, segmented: bool) -> str:
    folder, _, file = path.rpartition("/")
    lines = [
        f"<annotation>\n<folder>{xmlite.written(folder)}</folder><filename>{xmlite.written(file)}</filename>\n"
        f"<source><database>{database}</database></source>\n"
    ]
    if record.width is not None and record.height is not None:
        lines.append(
            f"<size><width>{record.width}</width><height>{record.height}</height><depth>3</depth></size>\n"
        )
    lines.append(f"<segmented>{int(segmented)}</segmented>\n")
    if any(a.attributes for a in objects):
        lines += _described(objects)
    else:
        for a in objects:
            box = a.shape if isinstance(a.shape, Box) else geometry.bbox(a.shape)
            if box is not None:
                lines.append(_OBJECT % (a.label, box.x0, box.y0, box.x1, box.y1))
    lines.append("</annotation>\n")
    return "".join(lines)


def _described(objects: list[Annotation]) -> Iterator[str]:
    """Objects with attributes and parts."""
    by_uid = {a.uid: a for a in objects}
    parts: dict[str, list[Annotation]] = {}
    for a in objects:
        if (parent := _parent(a, by_uid)) is not None:
            parts.setdefault(parent.uid, []).append(a)
    below = {a.uid for found in parts.values() for a in found}
    for a in objects:
        box = geometry.bbox(a.shape)
        if box is None or a.uid in below:
            continue
        plain = marks.plain(a.attributes)
        pose = plain.pop("pose", "Unspecified")
        if not isinstance(pose, str) or pose.strip() != pose or pose.casefold() in ("", "unspecified"):
            plain, pose = plain | ({"pose": pose} if pose != "Unspecified" else {}), "Unspecified"
        flags = {tag: plain.get(tag) is True for tag in vocread.FLAGS}
        plain = {key: value for key, value in plain.items() if not flags.get(key)}
        yield f"<object><name>{a.label}</name><pose>{xmlite.written(pose)}</pose>"
        for tag, value in flags.items():
            yield f"<{tag}>{int(value)}</{tag}>" if value or tag != "occluded" else ""
        yield _bndbox(box)
        if plain:
            yield "<attributes>"
            for key, held in plain.items():
                text = xmlite.written(held if isinstance(held, str) else str(held))
                yield f"<attribute><name>{key}</name><value>{text}</value></attribute>"
            yield "</attributes>"
        for part in parts.get(a.uid, ()):
            if (inner := geometry.bbox(part.shape)) is not None:
                yield f"<part><name>{part.label}</name>{_bndbox(inner)}</part>"
        yield "</object>\n"


def _bndbox(box: Box) -> str:
    return (
        f"<bndbox><xmin>{box.x0:.12g}</xmin><ymin>{box.y0:.12g}</ymin>"
        f"<xmax>{box.x1:.12g}</xmax><ymax>{box.y1:.12g}</ymax></bndbox>"
    )


def _paint(
    record: Record, objects: list[Annotation], ids: Mapping[str, int], stem: str, files: sheets.Sheets
) -> list[Annotation]:
    """Write the two PNGs; the objects, areas as boxes of what is to be seen of them, so that reading finds them one."""
    classes, numbers = pngs.blank(record, wide=False), pngs.blank(record, wide=False)
    by_uid = {a.uid: a for a in objects}
    held = [a for a in objects if geometry.bbox(a.shape) is not None and _parent(a, by_uid) is None]
    number = {a.uid: n for n, a in enumerate(held, 1)}
    for a in pngs.ordered(objects):
        if (n := number.get(a.uid, 0)) and n <= MAX_OBJECTS:
            pngs.paint(a.shape, (classes, ids[a.label] + 1), (numbers, n))
    files.write(f"SegmentationClass/{stem}.png", pngs.data(classes, palette=True))
    files.write(f"SegmentationObject/{stem}.png", pngs.data(numbers, palette=True))
    runs = pngs.regions(numbers, record.path)
    seen = {n: geometry.bbox(Mask(numbers.shape[1], numbers.shape[0], r)) for n, r in runs.items() if n}
    return [replace(a, shape=box) if (box := seen.get(number.get(a.uid, 0))) else a for a in objects]

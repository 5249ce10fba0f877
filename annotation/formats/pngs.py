"""Label pictures: PNGs whose pixels are classes or instances, their label maps, and shapes as such pixels, both ways.

A label map is `labelmap.txt` as CVAT writes it for Pascal VOC (`name:r,g,b:parts:actions` a line, in the order of the
pixel values), or a list of names, a line each.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annotation import geometry, marks, raster, rle
from annotation.core import Annotation, Mask, Shape
from annotation.errors import InvalidInput
from annotation.formats import base
from annotation.formats.base import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PIXELS = 89_000_000
"""Of a label picture: what Pillow opens without a warning; 89 MB a channel."""
MAX_FILE = 2**30
MAX_EDGES = 8_000_000
"""Places where a value changes along the columns: a picture of noise is no label picture."""
MAX_VALUES = 65_536
VOID = 255
"""The border between objects in Pascal VOC: no object's."""
AREAS = frozenset({"polygon", "mask", "rotated_box", "quad", "ellipse", "cuboid"})
"""Kinds of shapes that are painted."""
MAPS = ("labelmap.txt", "class_names.txt", "classes.txt", "labels.txt", "label_names.txt")
_BACKGROUND = frozenset({"background", "_background_", "__background__", "unlabeled", "背景", ""})
_IGNORED = frozenset({"__ignore__", "ignored", "ignore", "void", "ignore_label"})
VOC_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

AREA_LOSSES = (
    base.WHOLE_LOSSES
    | {
        "box": "boxes: left out",
        "polyline": "lines: left out",
        "points": "loose points: left out",
        "keypoints": "key points: left out",
        "polygon": "polygons: written as pixels",
        "rotated_box": "rotated boxes: written as pixels",
        "quad": "quadrilaterals: written as pixels",
        "ellipse": "ellipses: written as pixels",
        "cuboid": "cuboids: only their silhouettes are written, as pixels",
    }
    | base.BARE_LOSSES
    | {
        "@order": "order in depth: written as what covers what",
        "overlap": "areas that may overlap: a pixel is written for the topmost alone",
        "outside": "objects that cross the picture's border: cut there",
        "gone": "objects wholly outside the picture: left out",
        "sizeless": "pictures of unknown size: refused",
    }
)


@cache
def colours() -> tuple[tuple[int, int, int], ...]:
    """Pascal VOC's 256 colours (Everingham et al., VOC devkit): the bits of the index spread over r, g, b."""
    out = []
    for index in range(256):
        r = g = b = 0
        for bit in range(8):
            r |= (index >> (3 * bit) & 1) << (7 - bit)
            g |= (index >> (3 * bit + 1) & 1) << (7 - bit)
            b |= (index >> (3 * bit + 2) & 1) << (7 - bit)
        out.append((r, g, b))
    return tuple(out)


# ---------------------------------------------------------------------------------------------------------------
# Label maps


@dataclass(frozen=True, slots=True)
class LabelMap:
    """Class names by pixel value and by colour; None for what is no object."""

    by_value: Mapping[int, str | None]
    by_colour: Mapping[tuple[int, int, int], str | None] = field(default_factory=dict)


def named(names: Sequence[str]) -> LabelMap:
    """The map of names in the order of their values, in Pascal VOC's colours."""
    found = [None if name.casefold() in _BACKGROUND | _IGNORED else name for name in names]
    by_value = dict(enumerate(found))
    return LabelMap(by_value, {colours()[n]: name for n, name in by_value.items() if n < 255})


def load_map(folder: Path) -> LabelMap | None:
    """The label map in a folder; None without one.

    Raises:
        InvalidInput: naming the line.
    """
    file = next((folder / name for name in MAPS if (folder / name).is_file()), None)
    if file is None:
        return None
    lines = [line.strip() for line in base.read_text(file, limit=2**22).splitlines()]
    rows = [(n, line) for n, line in enumerate(lines, 1) if line and not line.startswith("#")]
    if len(rows) > MAX_VALUES:
        raise InvalidInput(f"{len(rows)} classes", where=file.name, remedy=f"at most {MAX_VALUES}")
    if file.name != "labelmap.txt" and not any(":" in line for _, line in rows[:1]):
        names = [line for _, line in rows]
        if names and names[0].casefold() in _IGNORED:  # labelme numbers from -1
            names.pop(0)
        return named(names)
    values: dict[int, str | None] = {}
    by_colour: dict[tuple[int, int, int], str | None] = {}
    for value, (n, line) in enumerate(rows):
        found = re.match(r"(.*?)\s*:\s*(?:(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3}))?\s*(?::.*)?\Z", line)
        if found is None or any(int(c) > 255 for c in found.groups()[1:] if c):
            raise InvalidInput(
                f"is {base.short(line)}", where=f"{file.name}:{n}", remedy="name:red,green,blue:parts:actions"
            )
        name = None if found[1].casefold() in _BACKGROUND | _IGNORED else found[1]
        values[value] = name
        if found[2]:
            colour = (int(found[2]), int(found[3]), int(found[4]))
            if colour in by_colour:
                raise InvalidInput(
                    f"the colour {colour} is there twice",
                    where=f"{file.name}:{n}",
                    remedy="a colour for each class",
                )
            by_colour[colour] = name
    return LabelMap(values, by_colour)


def map_text(names: Iterable[str]) -> str:
    """`labelmap.txt` of classes whose pixel values begin at 1; 0 is the background."""
    rows = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
    for value, name in enumerate(names, 1):
        r, g, b = colours()[value] if value < 256 else (value & 255, value >> 8, 255)
        rows.append(f"{name}:{r},{g},{b}::")
    return "\n".join(rows) + "\n"


# ---------------------------------------------------------------------------------------------------------------
# Reading


@dataclass(frozen=True, slots=True)
class Picture:
    """A label picture: values (h, w) of uint8, uint16 or uint32, and the colour of each value where it has any."""

    values: NDArray[Any]
    colours: Mapping[int, tuple[int, int, int]] | None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px."""
        return int(self.values.shape[1]), int(self.values.shape[0])


def read(path: Path, where: str) -> Picture:
    """A PNG or BMP as values: a palette's indices, grey of 8 or 16 bits, or colours as r + 256 g + 65536 b.

    Raises:
        InvalidInput: too large, or no such picture.
    """
    from PIL import Image

    if path.suffix.lower() == ".png":
        head = base.head(path, 26)
        if len(head) < 26 or head[:8] != b"\x89PNG\r\n\x1a\n":
            raise InvalidInput("is no PNG", where=where, remedy="a PNG of classes or instances")
        w, h = struct.unpack(">II", head[16:24])
        _demand(w, h, where)
    if path.stat().st_size > MAX_FILE:
        raise InvalidInput(f"{path.stat().st_size} bytes", where=where, remedy=f"at most {MAX_FILE}")
    try:
        with Image.open(path, formats=("PNG", "BMP")) as image:
            _demand(*image.size, where)
            mode = image.mode
            if mode not in ("1", "L", "P", "I", "I;16", "I;16B", "RGB", "RGBA"):
                raise InvalidInput(
                    f"a picture of the kind {mode}", where=where, remedy="palette, grey or RGB"
                )
            palette = None
            if mode == "P":
                flat = image.getpalette("RGB") or []
                palette = {n: tuple(flat[3 * n : 3 * n + 3]) for n in range(len(flat) // 3)}
            found = np.asarray(image.convert("RGB") if mode == "RGBA" else image)
    except InvalidInput:
        raise
    except Exception as error:  # Pillow's readers raise nearly anything on a broken file
        raise InvalidInput(
            f"cannot be read as a picture: {base.short(str(error))}", where=where, remedy="a whole PNG"
        ) from error
    if found.ndim == 3:
        wide = found.astype(np.uint32)
        values = wide[..., 0] | wide[..., 1] << 8 | wide[..., 2] << 16
        return Picture(values, _Coloured())
    if mode == "1":
        return Picture(found.astype(np.uint8), None)
    if found.dtype == np.int32 and (found.min() < 0 or found.max() >= MAX_VALUES):
        raise InvalidInput("values of more than 16 bits", where=where, remedy="0 to 65535")
    return Picture(found.astype(np.uint16) if found.dtype.itemsize > 1 else found, palette)  # type: ignore[arg-type]


class _Coloured(Mapping[int, tuple[int, int, int]]):
    """Every value of an RGB picture has its own colour."""

    def __getitem__(self, value: int) -> tuple[int, int, int]:
        return value & 255, value >> 8 & 255, value >> 16

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 1 << 24


def _demand(w: int, h: int, where: str) -> None:
    if not (0 < w <= base.MAX_SIDE and 0 < h <= base.MAX_SIDE and w * h <= MAX_PIXELS):
        raise InvalidInput(
            f"a label picture of {w} x {h} px", where=where, remedy=f"at most {MAX_PIXELS} pixels"
        )


def regions(values: NDArray[Any], where: str) -> dict[int, tuple[int, ...]]:
    """The run lengths (COCO's, by columns) of every value of an array (h, w).

    Raises:
        InvalidInput: for a picture of noise.
    """
    flat = np.ascontiguousarray(values.T).reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if len(edges) > MAX_EDGES:
        raise InvalidInput(
            "changes its value too often", where=where, remedy="a picture of areas, not a photograph"
        )
    starts = np.concatenate(([0], edges))
    ends = np.append(edges, flat.size)
    found = flat[starts]
    order = np.argsort(found, kind="stable")
    kinds, first = np.unique(found[order], return_index=True)
    if len(kinds) > MAX_VALUES:
        raise InvalidInput(f"has {len(kinds)} values", where=where, remedy=f"at most {MAX_VALUES}")
    out: dict[int, tuple[int, ...]] = {}
    for value, part in zip(kinds.tolist(), np.split(order, first[1:]), strict=True):
        begins, stops = starts[part], ends[part]
        counts = np.empty(2 * len(part) + 1, dtype=np.int64)
        counts[0] = begins[0]
        counts[2:-1:2] = begins[1:] - stops[:-1]
        counts[1::2] = stops - begins
        counts[-1] = flat.size - stops[-1]
        out[value] = tuple(counts.tolist() if counts[-1] else counts[:-1].tolist())
    return out


def class_of(value: int, picture: Picture, known: LabelMap, where: str) -> str | None:
    """The class of a pixel value, by its colour where the map has colours, else by the value; None for no object.

    Raises:
        InvalidInput: for a value that the map does not know.
    """
    colour = picture.colours.get(value) if picture.colours is not None else None
    if colour is not None and colour in known.by_colour:
        return known.by_colour[colour]
    coloured = isinstance(picture.colours, _Coloured)
    if not coloured and value in known.by_value:
        return known.by_value[value]
    if (value == VOID and not coloured) or colour in ((0, 0, 0), (224, 224, 192)):
        return None
    what = f"the colour {colour}" if coloured else f"the value {value}"
    raise InvalidInput(f"{what} is no class", where=where, remedy="add it to labelmap.txt")


def instance_of(value: int, picture: Picture) -> int:
    """The number of an instance: the place of its colour among Pascal VOC's, else the value; 0 for none."""
    if isinstance(picture.colours, _Coloured):
        colour = picture.colours[value]
        value = _places().get(colour, value)
    return 0 if value == VOID and picture.values.dtype.itemsize != 2 else value


@cache
def _places() -> Mapping[tuple[int, int, int], int]:
    return {colour: n for n, colour in enumerate(colours())}


def instances(
    classes: Picture | None, numbers: Picture, known: LabelMap, where: str
) -> list[tuple[int, str | None, Mask]]:
    """What an instance picture shows: (number, class, mask), the class from the class picture at the same pixels; what
    has a class and no number comes as number 0, a mask for each class. The class is None without a class picture, or
    where that has none.

    Raises:
        InvalidInput: sizes that differ, an instance on two classes, values that are no class.
    """
    w, h = numbers.size
    if classes is None:
        found = regions(numbers.values, where).items()
        return [(n, None, Mask(w, h, runs)) for v, runs in found if (n := instance_of(v, numbers))]
    if classes.size != numbers.size:
        raise InvalidInput(
            f"instances of {w} x {h} px, classes of {classes.size[0]} x {classes.size[1]} px", where=where,
            remedy="pictures of one size",
        )  # fmt: skip
    both = numbers.values.astype(np.uint64) << np.uint64(32) | classes.values.astype(np.uint64)
    out: list[tuple[int, str | None, Mask]] = []
    seen: dict[int, str | None] = {}
    for value, runs in regions(both, where).items():
        number = instance_of(value >> 32, numbers)
        name = class_of(value & 0xFFFFFFFF, classes, known, where)
        if number == 0 and name is None:
            continue
        if number and number in seen:
            raise InvalidInput(
                f"instance {number} lies on {seen[number] or 'background'} and {name or 'background'}", where=where,
                remedy="one class for each instance",
            )  # fmt: skip
        seen[number] = name
        out.append((number, name, Mask(w, h, runs)))
    return out


# ---------------------------------------------------------------------------------------------------------------
# Writing


def area_traits(record: Record) -> Iterable[str]:
    """ "overlap" for every area whose box meets that of another."""
    boxes = [b for a in record.annotations if a.kind in AREAS and (b := geometry.bbox(a.shape))]
    if len(boxes) < 2:
        return []
    table = geometry.boxes_array(boxes)
    n = 0
    for i, (x0, y0, x1, y1) in enumerate(table.tolist()):
        meets = (table[:, 0] < x1) & (table[:, 2] > x0) & (table[:, 1] < y1) & (table[:, 3] > y0)
        meets[i] = False
        n += bool(meets.any())
    return ["overlap"] * n


def ordered(annotations: Iterable[Annotation]) -> list[Annotation]:
    """The areas of a picture from the lowest to the topmost."""
    return sorted((a for a in annotations if a.kind in AREAS), key=marks.order)


def paint(shape: Shape, *layers: tuple[NDArray[Any], int]) -> None:
    """Set the pixels of an area to a value in each of some arrays of the picture's size."""
    h, w = layers[0][0].shape
    mask = shape if isinstance(shape, Mask) else raster.to_mask(shape, width=w, height=h)
    part, x0, y0 = rle.crop(mask)
    inside = part != 0
    for out, value in layers:
        out[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]][inside] = value


def blank(record: Record, *, wide: bool) -> NDArray[Any]:
    """Zeros of a record's size: 16 bits when `wide`, else 8.

    Raises:
        InvalidInput: unknown size, or too large.
    """
    w, h = record.width, record.height
    if w is None or h is None:
        raise InvalidInput(
            "the picture's size is unknown", where=record.path, remedy="ingest the picture first"
        )
    _demand(w, h, record.path)
    for a in record.annotations:
        if isinstance(a.shape, Mask) and (a.shape.w, a.shape.h) != (w, h):
            raise InvalidInput(
                f"a mask of {a.shape.w} x {a.shape.h} px on a picture of {w} x {h} px", where=record.path,
                remedy="masks of the picture's size",
            )  # fmt: skip
    return np.zeros((h, w), dtype=np.uint16 if wide else np.uint8)


def data(values: NDArray[Any], *, palette: bool = False) -> bytes:
    """A PNG of 8 or 16 bits grey, or with Pascal VOC's palette."""
    import io

    from PIL import Image

    out = io.BytesIO()
    image = Image.fromarray(values)
    if palette:
        image = image.convert("L")
        image.putpalette([c for colour in colours() for c in colour])
    image.save(out, "PNG", compress_level=3)
    return out.getvalue()

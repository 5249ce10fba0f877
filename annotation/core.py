"""The frozen values of the domain: shapes, Annotation, AnnotationSet.

Coordinates are floats in source pixels, origin top-left of the picture *after* EXIF orientation, x right, y down.
Points may lie outside the picture (a truncated object). Flat tuples `x, y, x, y, …` keep values small and hashable.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Coords = tuple[float, ...]
"""Flat points: x0, y0, x1, y1, …"""
AttributeValue = str | int | bool
Attributes = Mapping[str, AttributeValue]
Origin = Literal["human", "model", "import"]
Kind = Literal[
    "box", "rotated_box", "polygon", "polyline", "points", "keypoints", "mask", "tag",
    "quad", "ellipse", "cuboid", "caption",
]  # fmt: skip

NO_ATTRIBUTES: Attributes = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Box:
    """Axis-parallel box, xyxy, x0 <= x1 and y0 <= y1."""

    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class RotatedBox:
    """Box of (w, h) around (cx, cy), turned clockwise on screen by degrees in [0, 360)."""

    cx: float
    cy: float
    w: float
    h: float
    degrees: float


@dataclass(frozen=True, slots=True)
class Polygon:
    """One or more parts; each part is its outer ring followed by its holes; rings are open (last != first)."""

    parts: tuple[tuple[Coords, ...], ...]


@dataclass(frozen=True, slots=True)
class Polyline:
    """An open line of at least two points."""

    points: Coords


@dataclass(frozen=True, slots=True)
class Points:
    """One or more loose points."""

    points: Coords


@dataclass(frozen=True, slots=True)
class Keypoints:
    """A skeleton: points (2n) in the template's order, visibility (n) 0 absent, 1 hidden, 2 seen (COCO)."""

    points: Coords
    visibility: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Mask:
    """A raster mask of the whole picture (w, h): COCO run lengths, column by column, beginning with zeros."""

    w: int
    h: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tag:
    """A label of the whole picture."""


@dataclass(frozen=True, slots=True)
class Quad:
    """Four corners in order (8 numbers), the first being the object's own top left: text lines, plates, DOTA."""

    points: Coords


@dataclass(frozen=True, slots=True)
class Ellipse:
    """Half axes (rx, ry) around (cx, cy), turned clockwise on screen by degrees in [0, 180). A circle has rx == ry."""

    cx: float
    cy: float
    rx: float
    ry: float
    degrees: float = 0.0


@dataclass(frozen=True, slots=True)
class Cuboid:
    """A cuboid as seen on the picture: four corners of the front face clockwise from its top left, then the same
    four of the back face (16 numbers)."""

    points: Coords


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence about the whole picture, NFC, not empty."""

    text: str


Shape = (
    Box
    | RotatedBox
    | Polygon
    | Polyline
    | Points
    | Keypoints
    | Mask
    | Tag
    | Quad
    | Ellipse
    | Cuboid
    | Caption
)
KIND_OF: Mapping[type[Shape], Kind] = MappingProxyType(
    {
        Box: "box",
        RotatedBox: "rotated_box",
        Polygon: "polygon",
        Polyline: "polyline",
        Points: "points",
        Keypoints: "keypoints",
        Mask: "mask",
        Tag: "tag",
        Quad: "quad",
        Ellipse: "ellipse",
        Cuboid: "cuboid",
        Caption: "caption",
    }
)


def new_uid() -> str:
    """A UUIDv7 (RFC 9562) as 32 hex digits: 48 bits of milliseconds, then randomness; sorts by time."""
    head = (time.time_ns() // 1_000_000) << 80
    tail = int.from_bytes(os.urandom(10), "big")
    value = head | (0x7 << 76) | (tail & 0x0FFF << 64) | (0b10 << 62) | (tail & (1 << 62) - 1)
    return f"{value:032x}"


def new_uids(n: int) -> list[str]:
    """As many new uids as `new_uid` would make one by one, at a fraction of the time; not in order among themselves."""
    head = f"{time.time_ns() // 1_000_000:012x}7"
    text = os.urandom(10 * n).hex()
    return [
        f"{head}{text[i : i + 3]}{_VARIANT[text[i + 3]]}{text[i + 4 : i + 19]}" for i in range(0, 20 * n, 20)
    ]


_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


@dataclass(frozen=True, slots=True)
class Annotation:
    """One object on one asset, or a prediction of one.

    Attributes:
        uid: the object, stable through every edit; 32 hex digits.
        label: the label's code in the label schema.
        shape: where it is.
        attributes: by attribute code.
        score: 0..1 for predictions, else None.
        origin: who made it. "model" means prediction: not yet truth.
    """

    label: str
    shape: Shape
    attributes: Attributes = field(default_factory=lambda: NO_ATTRIBUTES)
    score: float | None = None
    origin: Origin = "human"
    uid: str = field(default_factory=new_uid)

    @property
    def kind(self) -> Kind:
        """The shape's kind, as the record and the label schema name it."""
        return KIND_OF[type(self.shape)]


AnnotationSet = tuple[Annotation, ...]
"""All annotations of one asset at one revision, in the order of their uid."""

"""One entry of a COCO file and the annotations it stands for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from annotation import geometry, rle
from annotation.core import Annotation, Box, Caption, Keypoints, Mask, Polygon, Shape
from annotation.errors import InvalidInput
from annotation.formats import base
from annotation.rows import MAX_POINTS

CAPTION = "caption"
"""The label of a caption: the format gives it none."""
FAR = 1e12
"""Coordinates nearer than this need no closer look."""


class Runs(msgspec.Struct, gc=False):
    """A mask: counts are run lengths or their compressed text."""

    size: list[int]
    counts: str | list[int]


class Entry(msgspec.Struct, gc=False):
    """An entry as nearly all files have it; others are read as plain dictionaries."""

    image_id: int
    category_id: int | None = None
    id: int | None = None
    bbox: tuple[float, float, float, float] | None = None
    segmentation: list[list[float]] | Runs | None = None
    iscrowd: Literal[0, 1] = 0
    score: float | None = None
    keypoints: list[float] | None = None
    attributes: dict[str, Any] | None = None
    segments_info: msgspec.Raw | None = None
    caption: str | None = None


class Picture(msgspec.Struct, gc=False):
    """A picture as nearly all files list it."""

    id: int
    file_name: str
    width: int | None = None
    height: int | None = None


ENTRIES = msgspec.json.Decoder(list[Entry])
PICTURES = msgspec.json.Decoder(list[Picture])


def not_plain(rows: list[Entry]) -> list[int]:
    """The places of entries that are not boxes or polygons which are sound without a closer look."""
    found = []
    for n, row in enumerate(rows):
        if (
            row.score is None
            and not row.keypoints
            and row.caption is None
            and row.segments_info is None
            and not row.attributes
        ):
            if not row.segmentation:
                if (box := row.bbox) is not None:
                    x, y, w, h = box
                    if 0 <= w < FAR and 0 <= h < FAR and -FAR < x < FAR and -FAR < y < FAR:
                        continue
            elif type(row.segmentation) is list and all(map(_is_plain_ring, row.segmentation)):
                continue
        found.append(n)
    return found


def _is_plain_ring(ring: list[float]) -> bool:
    n = len(ring)
    return 6 <= n <= MAX_POINTS and not n & 1 and min(ring) > -FAR and max(ring) < FAR


def plain_shape(row: Entry) -> Shape | None:
    """The shape of an entry that has no more to it and is known to be sound; None for others."""
    if row.score is not None or row.iscrowd or row.keypoints or row.caption is not None or row.attributes:
        return None
    found = row.segmentation
    if found:
        if type(found) is not list:
            return None
        if len(found) == 1:
            return Polygon(((tuple(_open(found[0])),),))
        return Polygon(tuple([(tuple(_open(ring)),) for ring in found]))
    if row.bbox is None:
        return None
    x, y, w, h = row.bbox
    return Box(x, y, x + w, y + h)


def as_dict(row: Entry) -> dict[str, Any]:
    """The entry as JSON has it."""
    out = {k: v for k, v in msgspec.structs.asdict(row).items() if v is not None}
    if isinstance(row.segmentation, Runs):
        out["segmentation"] = msgspec.structs.asdict(row.segmentation)
    if row.bbox is not None:
        out["bbox"] = list(row.bbox)
    return out


def to_annotations(row: dict[str, Any], label: str) -> Iterator[Annotation]:
    """The annotations of an entry: a caption, or key points and a box or outline of its own; `iscrowd` becomes a flag.

    Raises:
        InvalidInput: what is wrong with it.
    """
    if row.get("segments_info") is not None:
        raise InvalidInput("a panoptic entry among others", remedy="a file holds either kind")
    if isinstance(row.get("caption"), str):
        yield Annotation(label, base.sound(Caption(row["caption"].strip())), origin="import")
        return
    score = row.get("score")
    if score is not None and (
        isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1
    ):
        raise InvalidInput(f"score is {base.short(score)}", remedy="0 to 1")
    attributes = dict(base.attributes(row.get("attributes")))
    crowd = row.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise InvalidInput(f"iscrowd is {base.short(crowd)}", remedy="0 or 1")
    if crowd:
        attributes["iscrowd"] = True
    shapes = list(_shapes(row))
    if not shapes:
        raise InvalidInput("neither bbox nor segmentation", remedy="give one")
    for shape in shapes:
        yield Annotation(
            label, base.sound(shape), attributes, None if score is None else float(score), "import"
        )


def _shapes(row: dict[str, Any]) -> Iterator[Shape]:
    keypoints = _keypoints(row.get("keypoints"))
    if keypoints is not None:
        yield keypoints
    segmentation = row.get("segmentation")
    if segmentation:
        yield _segmentation(segmentation)
        return
    if row.get("bbox") is None:
        return
    x, y, w, h = _numbers(row["bbox"], "bbox", 4)
    if w < 0 or h < 0:
        raise InvalidInput(
            f"bbox is {base.short(row['bbox'])}, of negative size", remedy="[x, y, width, height]"
        )
    box = Box(x, y, x + w, y + h)
    around = geometry.bbox(keypoints) if keypoints is not None else None
    if around is None or not base.same(box, around):
        yield box


def _numbers(value: object, what: str, n: int | None = None) -> list[float]:
    if not isinstance(value, list) or (n is not None and len(value) != n):
        raise InvalidInput(f"{what} is {base.short(value)}", remedy=f"a list of {n or 'x, y, …'} numbers")
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        raise InvalidInput(f"{what} holds something that is no number: {base.short(value)}")
    try:
        return [float(v) for v in value]
    except OverflowError as error:
        raise InvalidInput(f"{what} holds a number that is too large") from error


def _keypoints(value: object) -> Keypoints | None:
    if not value:
        return None
    flat = _numbers(value, "keypoints")
    if len(flat) % 3:
        raise InvalidInput(f"keypoints hold {len(flat)} numbers", remedy="x, y, visibility for each point")
    if not any(flat[2::3]):
        return None
    points = tuple(c for i in range(0, len(flat), 3) for c in flat[i : i + 2])
    return Keypoints(points, tuple(int(v) if v in (0, 1, 2) else -1 for v in flat[2::3]))


def _segmentation(value: object) -> Shape:
    if isinstance(value, dict):
        size, counts = value.get("size"), value.get("counts")
        if not isinstance(size, list) or len(size) != 2:
            raise InvalidInput(f"segmentation.size is {base.short(size)}", remedy="[height, width]")
        h, w = base.side(size[0], "segmentation.size"), base.side(size[1], "segmentation.size")
        if w is None or h is None:
            raise InvalidInput("segmentation.size is empty", remedy="[height, width]")
        if isinstance(counts, str):
            counts = rle.from_text(counts)
        if not isinstance(counts, list):
            raise InvalidInput(
                f"segmentation.counts is {base.short(counts)}", remedy="run lengths or compressed text"
            )
        return Mask(w, h, rle.normal(counts, w=w, h=h))
    if not isinstance(value, list):
        raise InvalidInput(f"segmentation is {base.short(value)}", remedy="polygons or run lengths")
    rings = [value] if not isinstance(value[0], list) else value
    return Polygon(tuple((tuple(_open(_numbers(ring, "segmentation"))),) for ring in rings))


def _open(ring: list[float]) -> list[float]:
    """The ring without its first point repeated at the end."""
    return ring[:-2] if len(ring) > 6 and ring[:2] == ring[-2:] else ring

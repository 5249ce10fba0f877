"""One picture per object: its rectangle with a margin, the labels cut to it, the pixels cut out of the upright picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil, floor
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from annotation import geometry, rle, transform
from annotation.core import Annotation, Box, Caption, Mask, Tag
from annotation.errors import InvalidInput
from annotation.formats import Record

JPEG_QUALITY = 95
MAX_MARGIN = 4.0
_JPEG = (".jpg", ".jpeg")
Window = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole px of the upright picture."""


def checked(margin: float) -> float:
    """The margin, if one can be cut with it: 0 to `MAX_MARGIN` of the object's longer side.

    Raises:
        InvalidInput: it is not.
    """
    if not 0.0 <= margin <= MAX_MARGIN:
        raise InvalidInput(f"a margin of {margin}", remedy=f"0 to {MAX_MARGIN:g} of the object's longer side")
    return margin


def cut(record: Record, margin: float, *, whole_label: bool) -> Iterator[tuple[Record, Window]]:
    """A record and a window of the picture for each object that has a place in it, in the order of the objects.

    Args:
        whole_label: the crop is labelled as a whole with its object's class (classification); else the labels are cut to it.
    """
    w, h = record.width, record.height
    if w is None or h is None:
        return
    for n, a in enumerate(record.annotations):
        box = geometry.bbox(a.shape) if not isinstance(a.shape, Tag | Caption) else None
        window = _window(box, w, h, margin) if box is not None else None
        if window is None:
            continue
        if whole_label:
            kept: tuple[Annotation, ...] = (replace(a, shape=Tag(), attributes={}),)
        else:
            kept = tuple(c for c in (_inside(b, window) for b in record.annotations) if c is not None)
        x0, y0, x1, y1 = window
        yield Record(_name(record.path, n), x1 - x0, y1 - y0, kept, record.split, record.review), window


def _name(path: str, n: int) -> str:
    whole = PurePosixPath(path)
    suffix = whole.suffix if whole.suffix.lower() in _JPEG else ".png"
    return whole.with_name(f"{whole.stem}_{n:03d}{suffix}").as_posix()


def _window(box: Box, w: int, h: int, margin: float) -> Window | None:
    around = margin * max(box.x1 - box.x0, box.y1 - box.y0)
    x0, y0 = max(0, floor(box.x0 - around)), max(0, floor(box.y0 - around))
    x1, y1 = min(w, ceil(box.x1 + around)), min(h, ceil(box.y1 + around))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _inside(a: Annotation, window: Window) -> Annotation | None:
    """What of an object lies in the window, in its coordinates; labels of the whole picture are not of its part."""
    x0, y0, x1, y1 = window
    if isinstance(a.shape, Tag | Caption):
        return None
    if isinstance(a.shape, Mask):
        part = rle.decode(a.shape)[y0:y1, x0:x1]
        return replace(a, shape=rle.encode(part)) if part.any() else None
    shape = geometry.clip(transform.moved(a.shape, -x0, -y0), width=x1 - x0, height=y1 - y0)
    return replace(a, shape=shape) if shape is not None else None


def encode(picture: NDArray[np.uint8], window: Window, name: str) -> bytes:
    """The bytes of a crop: JPEG where the source was one, else PNG; without metadata.

    Args:
        picture: uint8 (h, w, 3) BGR, upright.

    Raises:
        InvalidInput: the window is not in the picture.
    """
    import cv2

    x0, y0, x1, y1 = window
    part = picture[y0:y1, x0:x1]
    if part.shape[:2] != (y1 - y0, x1 - x0):
        raise InvalidInput("the picture has another size than the record says", where=name)
    if name.lower().endswith(_JPEG):
        done, data = cv2.imencode(".jpg", part, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    else:
        done, data = cv2.imencode(".png", part)
    if not done:
        raise InvalidInput("the crop cannot be written", where=name)
    return bytes(data.tobytes())

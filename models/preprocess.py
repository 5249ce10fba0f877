"""From a file's bytes to a network's input: decode at full scale, turn upright, letterbox; and the map back."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from annotation.errors import InvalidInput
from models.card import ModelCard
from models.session import Array

MAX_PIXELS = 200_000_000
MAX_BYTES = 1024**3
DECODE_SCALE = 1
"""Always full scale: decoding smaller is faster and loses boxes (59 of 962 confident ones in a trial). Recorded."""

_TURNS = {
    3: cv2.ROTATE_180,
    4: cv2.ROTATE_180,
    5: cv2.ROTATE_90_CLOCKWISE,
    6: cv2.ROTATE_90_CLOCKWISE,
    7: cv2.ROTATE_90_COUNTERCLOCKWISE,
    8: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
_MIRRORED = (2, 4, 5, 7)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture lies in the input: input px = source px * ratio + (left, top)."""

    ratio: float
    left: float
    top: float
    wh: tuple[int, int]


def decode(data: bytes) -> Array:
    """The picture upright (EXIF orientation applied), uint8 (h, w, 3) BGR, at full scale.

    Raises:
        InvalidInput: not a picture, damaged, or more than 200 megapixels.
    """
    if len(data) > MAX_BYTES:
        raise InvalidInput("a picture file of more than 1 GB")
    if data[:3] == b"\xff\xd8\xff":
        picture = _jpeg(data)
        return picture if picture is not None else _other(data)
    return _other(data)


def letterbox(picture: Array, card: ModelCard, canvas: Array) -> Placement:
    """Scale the picture into the canvas (h, w, 3), keeping its shape and padding with the card's grey.

    Args:
        picture: uint8 (h, w, 3) BGR.
        canvas: uint8 of the input's size, overwritten; reused from picture to picture.
    """
    height, width = picture.shape[:2]
    w, h = card.input_wh
    ratio = min(w / width, h / height)
    new_w, new_h = max(1, min(w, round(width * ratio))), max(1, min(h, round(height * ratio)))
    left, top = ((w - new_w) // 2, (h - new_h) // 2) if card.centred else (0, 0)
    canvas[:top] = canvas[top + new_h :] = canvas[:, :left] = canvas[:, left + new_w :] = card.pad
    inside = canvas[top : top + new_h, left : left + new_w]
    if (new_w, new_h) == (width, height):
        inside[...] = picture
    else:
        inside[...] = cv2.resize(picture, (new_w, new_h), interpolation=cv2.INTER_LINEAR)
    return Placement(ratio, left, top, (width, height))


def fill(batch: Array, canvas: Array, card: ModelCard) -> None:
    """Write the canvas (h, w, 3) BGR into the batch (1, 3, h, w), in the card's channel order and range."""
    planes = cv2.split(canvas)
    for channel, plane in enumerate(planes if card.colour == "bgr" else reversed(planes)):
        if card.divisor == 1:
            batch[0, channel] = plane
        else:
            np.multiply(plane, np.float32(1 / card.divisor), out=batch[0, channel], casting="same_kind")


def _jpeg(data: bytes) -> Array | None:
    """simplejpeg is twice as fast as OpenCV; None hands an odd file (CMYK, stray bytes) on to OpenCV."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        _bound(width, height)
        if colours == "CMYK":
            return None
        picture = simplejpeg.decode_jpeg(data, "BGR")
    except ValueError as error:
        if "premature" in str(error).lower():
            raise InvalidInput("a truncated picture") from error
        return None
    return _upright(picture, jpeg_orientation(data))


def _other(data: bytes) -> Array:
    orientation = _header(data)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        picture: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise InvalidInput("a damaged picture") from error
    if picture is None:
        raise InvalidInput("a damaged picture or an unknown kind of picture")
    return _upright(picture, orientation)


def _header(data: bytes) -> int:
    """EXIF orientation by the header alone, after its size is found bearable: a bomb must not be unpacked first."""
    try:
        with Image.open(io.BytesIO(data)) as header:
            _bound(*header.size)
            # OpenCV turns TIFF upright by itself, whatever its flags say.
            value = 1 if header.format == "TIFF" else header.getexif().get(0x0112, 1)
    except InvalidInput:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidInput("a picture of more than 200 megapixels") from error
    except Exception as error:  # Pillow's parsers raise anything on damaged headers
        raise InvalidInput("not a picture") from error
    return value if value in range(1, 9) else 1


def _bound(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise InvalidInput(f"a picture of {width}x{height} px, more than 200 megapixels")


def _upright(picture: Array, orientation: int) -> Array:
    if orientation in _TURNS:
        picture = cv2.rotate(picture, _TURNS[orientation])
    if orientation in _MIRRORED:
        picture = cv2.flip(picture, 1)
    return picture


def jpeg_orientation(data: bytes) -> int:
    """EXIF orientation (1..8) of a JPEG by walking its segments; 1 where there is none or it is nonsense."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA or size < 2:
            break
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return _tiff_orientation(data[at + 10 : at + 2 + size])
        at += 2 + size
    return 1


def _tiff_orientation(tiff: bytes) -> int:
    if tiff[:2] not in (b"II", b"MM"):
        return 1
    order: Literal["little", "big"] = "little" if tiff[:2] == b"II" else "big"

    def number(at: int, n: int) -> int:
        return int.from_bytes(tiff[at : at + n], order)

    start = number(4, 4)
    for i in range(min(number(start, 2), 512)):
        at = start + 2 + 12 * i
        if number(at, 2) == 0x0112:
            value = number(at + 8, 2)
            return value if 1 <= value <= 8 else 1
    return 1

"""Probe and decode pictures: from one read of a file come both digests, type, size, orientation and capture time.

Paths, walking and archives: storage/sources.py; what the formats' headers hold: storage/headers.py.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from blake3 import blake3
from numpy.typing import NDArray
from PIL import Image

from annotation.errors import InvalidInput, LamproomError
from storage import blobs, headers
from storage.sources import needs_copy, read_bytes, walk

# What it says of damaged files goes to stderr past every log; our own faults name them.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

__all__ = [
    "Probe",
    "decode",
    "needs_copy",
    "orient",
    "probe",
    "probe_file",
    "read_asset",
    "read_bytes",
    "walk",
]


@dataclass(frozen=True, slots=True)
class Probe:
    """Facts of one picture. width_px, height_px are after orientation; taken_ms is UTC (no zone in EXIF: taken as UTC)."""

    media_type: str
    size_bytes: int
    blake3: bytes
    sha256: bytes
    width_px: int
    height_px: int
    orientation: int
    taken_ms: int | None


def probe(data: bytes) -> Probe:
    """All facts of a picture file held in memory. Nothing is decoded; both digests leave other threads running.

    Raises:
        InvalidInput: empty, no picture, of a format not taken, cut, damaged or a decompression bomb.
    """
    header = headers.read(data)
    w, h = header.width_px, header.height_px
    if header.orientation >= 5:  # turned by a quarter
        w, h = h, w
    return Probe(
        header.media_type,
        len(data),
        blake3(data).digest(),
        hashlib.sha256(data).digest(),
        w,
        h,
        header.orientation,
        header.taken_ms,
    )


def probe_file(path: Path) -> Probe:
    """`probe` of a file on disk."""
    try:
        return probe(path.read_bytes())
    except LamproomError as error:
        raise type(error)(error.what, where=str(path), remedy=error.remedy) from error


def decode(data: bytes, *, max_side_px: int | None = None) -> NDArray[np.uint8]:
    """The picture as BGR uint8, (h, w, 3), orientation applied.

    More than 8 bits a sample are scaled to 8 by the smallest of 10, 12, 14, 16 bits that holds the largest value, so a
    12-bit camera in a 16-bit file is not black; floats are stretched from their least to their greatest. Transparency is
    dropped. With `max_side_px` the longer side is at most that; a JPEG is then decoded at a reduced scale, which is fast
    and good for looking, not for models.

    Raises:
        InvalidInput: the picture cannot be decoded in full.
    """
    header = headers.read(data)
    picture = None
    if header.media_type == "image/jpeg":
        picture = _jpeg(data, header, max_side_px)
    else:
        if header.media_type == "image/tiff" and header.orientation != 1:
            data = headers.upright(data)
        picture = _opencv(data)
    if picture is None:
        picture = _pillow(data, header.media_type)
    return orient(_fitted(picture, max_side_px), header.orientation)


def read_asset(folder: Path, location: bytes, path: str, disk_path: bytes | None, digest: bytes) -> bytes:
    """Bytes of an asset: from the workspace's own copy where ingest made one (members of packed tars), else `read_bytes`.

    Args:
        folder: the workspace's folder. digest: the asset's BLAKE3.
    """
    if needs_copy(path) and blobs.holds(folder, digest.hex()):
        return blobs.get(folder, digest.hex())
    return read_bytes(location, path, disk_path)


def orient(picture: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn and mirror stored pixels, (h, w) or (h, w, c), as EXIF orientation 1..8 asks."""
    match orientation:
        case 2:
            turned = picture[:, ::-1]
        case 3:
            turned = picture[::-1, ::-1]
        case 4:
            turned = picture[::-1]
        case 5:
            turned = picture.swapaxes(0, 1)
        case 6:
            turned = picture.swapaxes(0, 1)[:, ::-1]
        case 7:
            turned = picture.swapaxes(0, 1)[::-1, ::-1]
        case 8:
            turned = picture.swapaxes(0, 1)[::-1]
        case _:
            turned = picture
    return np.ascontiguousarray(turned)


def _jpeg(data: bytes, header: headers.Header, max_side_px: int | None) -> NDArray[np.uint8] | None:
    least = (0, 0)
    longer = max(header.width_px, header.height_px)
    if max_side_px and longer > max_side_px:
        least = (header.height_px * max_side_px // longer, header.width_px * max_side_px // longer)
    for strict in (True, False):
        try:
            picture: NDArray[np.uint8] = simplejpeg.decode_jpeg(
                data, "BGR", min_height=least[0], min_width=least[1], strict=strict
            )
            return picture
        except ValueError as error:
            text = str(error)
            if (
                strict and "extraneous" in text
            ):  # padding between segments, as some cameras write it: nothing is lost
                continue
            if "premature" in text.lower() or "corrupt" in text.lower():
                raise InvalidInput(
                    "JPEG is damaged inside its picture data", remedy="copy the file again"
                ) from error
            return None  # CMYK, 12 bits, arithmetic coding: the slower decoder judges
    return None


def _opencv(data: bytes) -> NDArray[np.uint8] | None:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    return None if picture is None else _eight_bits(picture)


def _pillow(data: bytes, media_type: str) -> NDArray[np.uint8]:
    form = {
        "image/jpeg": "JPEG",
        "image/png": "PNG",
        "image/tiff": "TIFF",
        "image/webp": "WEBP",
        "image/bmp": "BMP",
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata: our own header check has judged the file
            with Image.open(io.BytesIO(data), formats=[form[media_type]]) as image:
                image.load()
                if image.mode.startswith(("I", "F")):
                    return np.repeat(_eight_bits(np.asarray(image))[:, :, None], 3, axis=2)
                return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
    except Exception as error:  # Pillow's decoders raise many kinds on foreign bytes, SyntaxError among them
        raise InvalidInput(
            f"the {form[media_type]} cannot be decoded: its data is damaged or of a rare kind",
            remedy="open it in a viewer, or copy it again from its source",
        ) from error


def _eight_bits(picture: NDArray[np.generic]) -> NDArray[np.uint8]:
    if picture.dtype == np.uint8:
        return picture.view(np.uint8)
    values = picture.astype(np.float32)
    if np.issubdtype(picture.dtype, np.floating):
        values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
        low, high = float(values.min()), float(values.max())
    else:
        low, top = 0.0, int(picture.max())
        high = float(next((v for v in (255, 1023, 4095, 16383, 65535) if top <= v), top))
    scaled = (values - low) * (255.0 / max(high - low, 1e-12))
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def _fitted(picture: NDArray[np.uint8], max_side_px: int | None) -> NDArray[np.uint8]:
    h, w = picture.shape[:2]
    if not max_side_px or max(h, w) <= max_side_px:
        return picture
    scale = max_side_px / max(h, w)
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)

"""Probe and decode pictures: from one read of a file come both digests, type, size, orientation and capture time.

Paths, walking and archives: storage/sources.py; what the formats' headers hold: storage/headers.py.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import simplejpeg
from blake3 import blake3
from numpy.typing import NDArray
from PIL import Image

from annotation.errors import InvalidInput, LamproomError
from storage import blobs, headers
from storage.sources import needs_copy, plain_file, read_bytes, walk

Sample = TypeVar("Sample", bound=np.generic)

# What it says of damaged files goes to stderr past every log; our own faults name them.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

__all__ = [
    "Kind",
    "Picture",
    "Probe",
    "decode",
    "needs_copy",
    "orient",
    "picture",
    "plain_file",
    "preview",
    "probe",
    "probe_file",
    "read_asset",
    "read_bytes",
    "shrunk",
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
    found = _jpeg(data, header, max_side_px) if header.media_type == "image/jpeg" else None
    if found is None:
        found = _three(_eight_bits(_raw(data, header)))
    return orient(_fitted(found, max_side_px), header.orientation)


@dataclass(frozen=True, slots=True)
class Kind:
    """What the samples of a picture are. bits: 8, 16 or 32 a sample (32: floats). profile: a colour profile is embedded; it
    is not applied, colours are shown as stored."""

    bits: int
    colour: str
    """"gray", "colour", "palette" or "cmyk"."""
    alpha: bool
    profile: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture for the eye, upright.

    Attributes:
        screen: BGRA uint8 (h, w, 4), alpha 255 throughout: the rows `decode` gives, ready for a screen.
        deep: the samples as stored where they are not of 8 bits: uint16 or float32, (h, w) gray or (h, w, 3) BGR.
    """

    screen: NDArray[np.uint8]
    deep: NDArray[Any] | None
    kind: Kind


def picture(data: bytes) -> Picture:
    """The picture for a screen beside its true samples, from one decode.

    Raises:
        InvalidInput: the picture cannot be decoded in full.
    """
    header = headers.read(data)
    if header.media_type == "image/jpeg" and (bgra := _jpeg(data, header, None, "BGRA")) is not None:
        return Picture(orient(bgra, header.orientation), None, _kind(data, header.media_type, 8))
    raw = _raw(data, header)
    wide = _three(_eight_bits(raw))
    screen = np.asarray(cv2.cvtColor(wide, cv2.COLOR_BGR2BGRA), np.uint8)
    deep = None if raw.dtype == np.uint8 else orient(raw, header.orientation)
    return Picture(
        orient(screen, header.orientation), deep, _kind(data, header.media_type, 8 * raw.dtype.itemsize)
    )


def preview(data: bytes, least_px: int) -> tuple[NDArray[np.uint8], tuple[int, int]] | None:
    """A quick smaller picture, for the first look at a large one: BGRA uint8, and the whole picture's (w, h), both upright.

    None where no faster way than the whole decode is known, i.e. for all but JPEG, or where the longer side would fall
    below `least_px`. The scale is 1/2, 1/4 or 1/8: others cost the decoder nearly as much as the whole.

    Raises:
        InvalidInput: the picture is damaged.
    """
    return _smaller(data, least_px, "BGRA", quick=True)


def shrunk(data: bytes, least_px: int) -> tuple[NDArray[np.uint8], tuple[int, int]] | None:
    """A picture decoded at 1/2, 1/4 or 1/8 for a model, BGR, and the whole picture's (w, h), both upright.

    None for all but JPEG, or where the longer side would fall below `least_px`. About three times as fast as the whole, and
    not the same pixels: 6 % of one detector's boxes changed, so it is used only where a person asked for it.

    Raises:
        InvalidInput: the picture is damaged.
    """
    return _smaller(data, least_px, "BGR", quick=False)


def _smaller(
    data: bytes, least_px: int, colours: str, *, quick: bool
) -> tuple[NDArray[np.uint8], tuple[int, int]] | None:
    header = headers.read(data)
    w, h = header.width_px, header.height_px
    factor = next((f for f in (8, 4, 2) if max(w, h) >= f * least_px), 0)
    if header.media_type != "image/jpeg" or not factor:
        return None
    small = _jpeg(data, header, -(-max(w, h) // factor), colours, quick=quick)
    if small is None:
        return None
    return orient(small, header.orientation), (h, w) if header.orientation >= 5 else (w, h)


def read_asset(folder: Path, location: bytes, path: str, disk_path: bytes | None, digest: bytes) -> bytes:
    """Bytes of an asset: from the workspace's own copy where ingest made one (members of packed tars), else `read_bytes`.

    Args:
        folder: the workspace's folder. digest: the asset's BLAKE3.
    """
    if needs_copy(path) and blobs.holds(folder, digest.hex()):
        return blobs.get(folder, digest.hex())
    return read_bytes(location, path, disk_path)


def orient(picture: NDArray[Sample], orientation: int) -> NDArray[Sample]:
    """Turn and mirror stored pixels, (h, w) or (h, w, c) of any kind, as EXIF orientation 1..8 asks."""
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


def _jpeg(
    data: bytes, header: headers.Header, max_side_px: int | None, colours: str = "BGR", *, quick: bool = False
) -> NDArray[np.uint8] | None:
    least = (0, 0)
    longer = max(header.width_px, header.height_px)
    if max_side_px and longer > max_side_px:
        least = (header.height_px * max_side_px // longer, header.width_px * max_side_px // longer)
    for strict in (True, False):
        try:
            picture: NDArray[np.uint8] = simplejpeg.decode_jpeg(
                data,
                colours,
                fastdct=quick,
                fastupsample=quick,
                min_height=least[0],
                min_width=least[1],
                strict=strict,
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


def _raw(data: bytes, header: headers.Header) -> NDArray[Any]:
    """Samples as stored, not turned: uint8, uint16 or float32, (h, w) or (h, w, 3)."""
    if header.media_type == "image/tiff" and header.orientation != 1:
        data = headers.upright(data)
    found = None if header.media_type == "image/jpeg" else _opencv(data)
    if found is None:
        found = _pillow(data, header.media_type)
    if found.dtype in (np.uint8, np.uint16):
        return found
    return np.nan_to_num(np.asarray(found, np.float32), posinf=0.0, neginf=0.0)


def _opencv(data: bytes) -> NDArray[Any] | None:
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None


_PILLOW = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/tiff": "TIFF",
    "image/webp": "WEBP",
    "image/bmp": "BMP",
}


def _pillow(data: bytes, media_type: str) -> NDArray[Any]:
    form = _PILLOW[media_type]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata: our own header check has judged the file
            with Image.open(io.BytesIO(data), formats=[form]) as image:
                image.load()
                if image.mode.startswith(("I", "F", "L")):
                    return np.asarray(image.convert("L") if image.mode.startswith("L") else image)
                return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
    except Exception as error:  # Pillow's decoders raise many kinds on foreign bytes, SyntaxError among them
        raise InvalidInput(
            f"the {form} cannot be decoded: its data is damaged or of a rare kind",
            remedy="open it in a viewer, or copy it again from its source",
        ) from error


_COLOURS = {"1": "gray", "L": "gray", "LA": "gray", "I": "gray", "F": "gray", "P": "palette", "CMYK": "cmyk"}


def _kind(data: bytes, media_type: str, bits: int) -> Kind:
    """From the file's head, without decoding; what cannot be read counts as plain colour."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[_PILLOW[media_type]]) as image:
                mode = image.mode.split(";")[0]
                return Kind(
                    bits,
                    _COLOURS.get(mode, "colour"),
                    mode in ("LA", "RGBA", "PA") or "transparency" in image.info,
                    "icc_profile" in image.info,
                )
    except Exception:  # of many kinds, as above; the decoder has already judged the file
        return Kind(bits, "colour", False, False)


def _three(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Gray (h, w) as BGR (h, w, 3)."""
    return picture if picture.ndim == 3 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8)


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

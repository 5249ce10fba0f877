"""What a picture looks like in a few numbers: light, sharpness, glare, haze, two hashes, a small descriptor.

Measured from a picture of thumbnail size, so that a million take hours and not days; kept in the table `measure`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

SIDE_PX = 256
"""Longer side of what is measured: sharpness means the same for every picture only at one size."""
_SHARP_HALF = 0.12
"""Variance of the Laplacian, as a share of the variance of the light, at which sharpness is 0.5. A share, because both
fall together in the dark: a clear picture underground is not a blurred one."""
_FLAT = 3.0
"""Standard deviation of the light (0..255) below which a picture shows nothing but noise."""
_BLOWN = 250
"""All three colours at least so bright: nothing can be seen there."""
_VEIL_PX = 9
"""Side of the neighbourhood of the dark channel."""
DESCRIPTOR = 64
"""Bytes of a descriptor: 4 x 4 cells of mean L, a, b, then 16 bins of edge direction."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of one picture.

    Attributes:
        brightness, contrast, sharpness: 1/1000 (0..1000).
        dhash, phash: 64 bits, signed. descriptor: DESCRIPTOR bytes.
        glare: share of the picture that is blown out, 1/1000. haze: how much of the light is a veil, 1/1000.
    """

    brightness: int
    contrast: int
    sharpness: int
    dhash: int
    descriptor: bytes
    phash: int
    glare: int
    haze: int


def measure(picture: Any) -> Measured:
    """Measure a BGR uint8 picture (h, w, 3), scaled to SIDE_PX first.

    dhash: signs of horizontal differences on 9 x 8. phash: the 64 lowest frequencies but the constant ones of a cosine
    transform on 32 x 32, above or below their median (Zauner, "Implementation and benchmarking of perceptual image hash
    functions", 2010). haze: 10th percentile of the dark channel (He, Sun, Tang, "Single image haze removal using dark
    channel prior", 2009) over the 99th of the light: where there is no veil, something in a picture is dark.
    """
    import cv2
    import numpy as np

    h, w = picture.shape[:2]
    scale = SIDE_PX / max(h, w)
    small = cv2.resize(
        picture, (max(8, round(w * scale)), max(8, round(h * scale))), interpolation=cv2.INTER_AREA
    )
    gray = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    mean, deviation = (float(x[0, 0]) for x in cv2.meanStdDev(gray))
    variance = float(cv2.Laplacian(gray, cv2.CV_64F).var())
    colours = cv2.cvtColor(
        cv2.resize(small, (4, 4), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2LAB
    ).reshape(-1)
    dx, dy = cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)
    length, angle = cv2.cartToPolar(dx, dy, angleInDegrees=True)
    edges = np.histogram(angle, bins=16, range=(0, 360), weights=length)[0] / (gray.size * 64.0)
    texture = np.clip(np.rint(edges * 255 * 4), 0, 255).astype(np.uint8)
    if deviation < _FLAT:  # hashes of noise would be chance: such pictures are as near as they are bright
        dhash = phash = _signed(np.arange(64) < round(mean / 255 * 64))
    else:
        cells = cv2.resize(gray, (9, 8), interpolation=cv2.INTER_AREA)
        dhash = _signed(cells[:, 1:] > cells[:, :-1])
        waves = cv2.dct(cv2.resize(gray, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32))
        low = waves[1:9, 1:9]
        phash = _signed(low > np.median(low))
    least, most = small.min(axis=2), small.max(axis=2)
    dark = cv2.erode(least, np.ones((_VEIL_PX, _VEIL_PX), np.uint8))
    light = max(32.0, float(np.percentile(most, 99)))
    return Measured(
        brightness=round(mean / 255 * 1000),
        contrast=min(1000, round(deviation / 127.5 * 1000)),
        sharpness=round(variance / (variance + _SHARP_HALF * deviation**2 + 1) * 1000),
        dhash=dhash,
        descriptor=colours.astype(np.uint8).tobytes() + texture.tobytes(),
        phash=phash,
        glare=round(float((least >= _BLOWN).mean()) * 1000),
        haze=min(1000, round(float(np.percentile(dark, 10)) / light * 1000)),
    )


def _signed(bits: Any) -> int:
    """64 bits as the signed integer that a database holds."""
    import numpy as np

    return int.from_bytes(np.packbits(bits.reshape(-1)).tobytes(), "big", signed=True)


_KNOWN = "EXISTS (SELECT 1 FROM measure m WHERE m.asset_id = i.asset_id AND m.phash IS NOT NULL)"
"""A row of before there were phash, glare and haze is measured again."""


def missing(conn: Connection, dataset_id: int, *, after: int = 0, limit: int = 200) -> list[int]:
    """The next pictures of a dataset behind asset `after` that were not measured."""
    sql = (
        "SELECT i.asset_id FROM item i WHERE i.dataset_id = :d AND i.died IS NULL AND i.asset_id > :a "
        f"AND NOT {_KNOWN} ORDER BY i.asset_id LIMIT :n"
    )
    return list(conn.execute(sa.text(sql), {"d": dataset_id, "a": after, "n": limit}).scalars())


def count_missing(conn: Connection, dataset_id: int) -> int:
    """How many pictures of a dataset were not measured."""
    sql = f"SELECT count(*) FROM item i WHERE i.dataset_id = :d AND i.died IS NULL AND NOT {_KNOWN}"
    return int(conn.execute(sa.text(sql), {"d": dataset_id}).scalar_one())


def save(conn: Connection, found: Iterable[tuple[int, Measured]]) -> None:
    """Keep measures by asset id, in place of older ones."""
    rows = [
        {"a": a, "b": m.brightness, "c": m.contrast, "s": m.sharpness, "h": m.dhash, "d": m.descriptor,
         "p": m.phash, "g": m.glare, "z": m.haze}
        for a, m in found
    ]  # fmt: skip
    if rows:
        conn.execute(
            sa.text(
                "INSERT INTO measure (asset_id, brightness, contrast, sharpness, dhash, descriptor, phash, glare, haze) "
                "VALUES (:a, :b, :c, :s, :h, :d, :p, :g, :z) ON CONFLICT (asset_id) DO UPDATE SET "
                "brightness = excluded.brightness, contrast = excluded.contrast, sharpness = excluded.sharpness, "
                "dhash = excluded.dhash, descriptor = excluded.descriptor, phash = excluded.phash, "
                "glare = excluded.glare, haze = excluded.haze"
            ),
            rows,
        )


def descriptor(conn: Connection, asset_id: int) -> bytes | None:
    """A picture's descriptor, None when it was not measured."""
    found = conn.execute(
        sa.text("SELECT descriptor FROM measure WHERE asset_id = :a"), {"a": asset_id}
    ).scalar()
    return None if found is None else bytes(found)


def distances(descriptors: Sequence[bytes | None], to: bytes) -> Any:
    """Distance of each descriptor to one: int64 (n), -1 where there is none."""
    import numpy as np

    known = np.array([d is not None for d in descriptors], bool)
    out = np.full(len(descriptors), -1, np.int64)
    if known.any():
        whole = np.frombuffer(b"".join(bytes(d) for d in descriptors if d is not None), np.uint8).reshape(
            -1, DESCRIPTOR
        )
        out[known] = np.abs(whole.astype(np.int16) - np.frombuffer(to, np.uint8).astype(np.int16)).sum(axis=1)
    return out

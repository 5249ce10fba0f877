"""What a picture looks like in a few numbers: brightness, contrast, sharpness, a difference hash, a small descriptor.

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
_SHARP_HALF = 300.0
"""Variance of the Laplacian at which sharpness is 0.5: a clear photograph at SIDE_PX lies above, a blurred one far below."""
DESCRIPTOR = 64
"""Bytes of a descriptor: 4 x 4 cells of mean L, a, b, then 16 bins of edge direction."""


@dataclass(frozen=True, slots=True)
class Measured:
    """brightness, contrast, sharpness in 1/1000 (0..1000); dhash 64 bits, signed; descriptor DESCRIPTOR bytes."""

    brightness: int
    contrast: int
    sharpness: int
    dhash: int
    descriptor: bytes


def measure(picture: Any) -> Measured:
    """Measure a BGR uint8 picture (h, w, 3), scaled to SIDE_PX first."""
    import cv2
    import numpy as np

    h, w = picture.shape[:2]
    scale = SIDE_PX / max(h, w)
    small = cv2.resize(
        picture, (max(8, round(w * scale)), max(8, round(h * scale))), interpolation=cv2.INTER_AREA
    )
    gray = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    mean, deviation = cv2.meanStdDev(gray)
    variance = float(cv2.Laplacian(gray, cv2.CV_64F).var())
    cells = cv2.resize(gray, (9, 8), interpolation=cv2.INTER_AREA)
    bits = np.packbits((cells[:, 1:] > cells[:, :-1]).reshape(-1)).tobytes()
    colours = cv2.cvtColor(
        cv2.resize(small, (4, 4), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2LAB
    ).reshape(-1)
    dx, dy = cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)
    length, angle = cv2.cartToPolar(dx, dy, angleInDegrees=True)
    edges = np.histogram(angle, bins=16, range=(0, 360), weights=length)[0] / (gray.size * 64.0)
    texture = np.clip(np.rint(edges * 255 * 4), 0, 255).astype(np.uint8)
    return Measured(
        brightness=round(float(mean[0, 0]) / 255 * 1000),
        contrast=min(1000, round(float(deviation[0, 0]) / 127.5 * 1000)),
        sharpness=round(variance / (variance + _SHARP_HALF) * 1000),
        dhash=int.from_bytes(bits, "big", signed=True),
        descriptor=colours.astype(np.uint8).tobytes() + texture.tobytes(),
    )


def missing(conn: Connection, dataset_id: int, *, after: int = 0, limit: int = 200) -> list[int]:
    """The next pictures of a dataset behind asset `after` that were not measured."""
    sql = (
        "SELECT i.asset_id FROM item i WHERE i.dataset_id = :d AND i.died IS NULL AND i.asset_id > :a "
        "AND NOT EXISTS (SELECT 1 FROM measure m WHERE m.asset_id = i.asset_id) ORDER BY i.asset_id LIMIT :n"
    )
    return list(conn.execute(sa.text(sql), {"d": dataset_id, "a": after, "n": limit}).scalars())


def count_missing(conn: Connection, dataset_id: int) -> int:
    """How many pictures of a dataset were not measured."""
    sql = (
        "SELECT count(*) FROM item i WHERE i.dataset_id = :d AND i.died IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM measure m WHERE m.asset_id = i.asset_id)"
    )
    return int(conn.execute(sa.text(sql), {"d": dataset_id}).scalar_one())


def save(conn: Connection, found: Iterable[tuple[int, Measured]]) -> None:
    """Keep measures by asset id; a second measuring changes nothing."""
    rows = [
        {"a": a, "b": m.brightness, "c": m.contrast, "s": m.sharpness, "h": m.dhash, "d": m.descriptor}
        for a, m in found
    ]
    if rows:
        conn.execute(
            sa.text(
                "INSERT INTO measure (asset_id, brightness, contrast, sharpness, dhash, descriptor) "
                "VALUES (:a, :b, :c, :s, :h, :d) ON CONFLICT (asset_id) DO NOTHING"
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

"""A small workspace of drawn pictures: on a folder, and where it matters on PostgreSQL too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import sqlalchemy as sa

from annotation.core import new_uid
from app.services import workspace
from app.services.workspace import Workspace
from storage import record
from storage.record import ItemEdit


@pytest.fixture(params=["folder"])
def ws(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workspace]:
    """An empty workspace of the coal mine schema. Parametrise indirectly with "postgresql" for a server."""
    url = request.getfixturevalue("postgres").create() if request.param == "postgresql" else None
    opened = workspace.create(url or str(tmp_path / "W"), person="安全员")
    yield opened
    opened.close()
    if url:
        request.getfixturevalue("postgres").drop(url)


def draw(folder: Path, n: int, *, wh: tuple[int, int] = (160, 96)) -> list[Path]:
    """`n` different small JPEGs."""
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for i in range(n):
        rng = np.random.default_rng(i)
        picture = rng.integers(0, 255, (wh[1], wh[0], 3), dtype=np.uint8)
        cv2.rectangle(picture, (10 + i % 20, 10), (60, 60), (0, 200, 255), -1)
        path = folder / f"{i:04d}.jpg"
        cv2.imwrite(str(path), picture)
        out.append(path)
    return out


def enrol(
    ws: Workspace, folder: Path, paths: list[Path], *, dataset: str = "face-3"
) -> tuple[int, list[int]]:
    """Register pictures straight in the tables, for tests that are not about ingest. Returns (dataset, assets)."""
    with ws.db.write() as conn:
        activity = record.start_activity(conn, "ingest", ws.person.id, {}, open_=False)
        root = conn.execute(
            sa.text("INSERT INTO source_root (code, location) VALUES (:c, :l) RETURNING id"),
            {"c": folder.name, "l": os.fsencode(folder.resolve())},
        ).scalar_one()
        data = conn.execute(
            sa.text(
                "INSERT INTO dataset (uid, name, schema_code, created_ms) VALUES (:u, :n, 'coal_mine', 0) RETURNING id"
            ),
            {"u": bytes.fromhex(new_uid()), "n": dataset},
        ).scalar_one()
        assets = [
            conn.execute(
                sa.text(
                    "INSERT INTO asset (uid, kind, blake3, sha256, size_bytes, width_px, height_px, orientation, media_type, "
                    "source_root_id, path, path_hash, mtime_ns, activity_id) VALUES (:u, 0, :b, :b, 9, 160, 96, 1, 'image/jpeg', "
                    ":r, :p, :h, 0, :a) RETURNING id"
                ),
                {
                    "u": bytes.fromhex(new_uid()),
                    "b": os.urandom(32),
                    "r": root,
                    "p": p.relative_to(folder).as_posix(),
                    "h": i,
                    "a": activity,
                },
            ).scalar_one()
            for i, p in enumerate(paths)
        ]
    with record.change(
        ws.db, agent_id=ws.person.id, activity_id=activity, verb="ingest", dataset_id=data, assets=assets
    ) as draft:
        draft.enrol([ItemEdit(data, a, opens=(0, 0)) for a in assets])
    return data, assets

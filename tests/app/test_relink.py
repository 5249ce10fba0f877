"""Rules of moved sources: found again by digest, paths never change, a wrong folder changes nothing."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from annotation.errors import InvalidInput, NotFound
from app.events import Finished
from app.services import browse, ingest
from app.services.workspace import Workspace
from storage import names
from storage.queries import Query


def picture(seed: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)).save(out, "JPEG")
    return out.getvalue()


def made(folder: Path, n: int = 6) -> Path:
    (folder / "子").mkdir(parents=True)
    for i in range(n):
        (folder / "子" / f"{i}.jpg").write_bytes(picture(i))
    with zipfile.ZipFile(folder / "a.zip", "w") as z:
        z.writestr("in.jpg", picture(100))
    with tarfile.open(folder / "b.tar", "w") as t:
        info = tarfile.TarInfo("in.jpg")
        info.size = len(picture(101))
        t.addfile(info, io.BytesIO(picture(101)))
    return folder


def relink(ws: Workspace, code: str, folder: Path, **kw: Any) -> dict[str, Any]:
    events = list(ingest.relink(ws, code, folder, **kw))
    assert isinstance(events[-1], Finished)
    return dict(events[-1].result)


def pictures(ws: Workspace) -> dict[str, int]:
    return {i.path: i.asset_id for i in browse.page(ws, Query(browse.dataset(ws, "d").id))}


@pytest.mark.parametrize(
    "ws", ["folder", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
def test_a_moved_source_is_found_again_by_digest_and_paths_stay(ws: Workspace, tmp_path: Path) -> None:
    list(ingest.run(ws, [made(tmp_path / "old")], dataset="d"))
    before = pictures(ws)
    shutil.move(tmp_path / "old", tmp_path / "新 盘")
    with pytest.raises(NotFound):
        browse.picture(ws, before["子/0.jpg"])
    result = relink(ws, "old", tmp_path / "新 盘")
    assert (result["files"], result["fit"], result["by_digest"], result["missing"]) == (8, 8, 8, 0)
    assert pictures(ws) == before
    for asset_id in before.values():
        assert browse.picture(ws, asset_id).shape == (24, 32, 3)


def test_files_renamed_inside_the_new_folder_are_found_by_digest(ws: Workspace, tmp_path: Path) -> None:
    list(ingest.run(ws, [made(tmp_path / "old")], dataset="d"))
    before = pictures(ws)
    shutil.move(tmp_path / "old", tmp_path / "new")
    (tmp_path / "new" / "子" / "0.jpg").rename(tmp_path / "new" / "别处.jpg")
    (tmp_path / "new" / "子" / "1.jpg").unlink()
    result = relink(ws, "old", tmp_path / "new")
    assert (result["fit"], result["moved"], result["missing"]) == (6, 1, 1)
    assert result["lists"]["missing"] == ["子/1.jpg"]
    assert pictures(ws) == before
    assert browse.picture(ws, before["子/0.jpg"]).shape == (24, 32, 3)


def test_a_folder_of_other_content_changes_nothing(ws: Workspace, tmp_path: Path) -> None:
    list(ingest.run(ws, [made(tmp_path / "old")], dataset="d"))
    other = tmp_path / "other" / "子"
    other.mkdir(parents=True)
    for i in range(6):
        data = bytearray(picture(i))
        data[-5] ^= 1  # same names, same sizes
        (other / f"{i}.jpg").write_bytes(data)
    with pytest.raises(InvalidInput, match="differ"):
        relink(ws, "old", tmp_path / "other")
    with ws.db.read() as conn:
        assert bytes(conn.execute(sa.text("SELECT location FROM source_root")).scalar_one()) == os.fsencode(
            tmp_path / "old"
        )
    with pytest.raises(NotFound):
        relink(ws, "unknown", tmp_path)
    with pytest.raises(NotFound):
        relink(ws, "old", tmp_path / "nowhere")


def test_a_sample_reads_few_files(ws: Workspace, tmp_path: Path) -> None:
    list(ingest.run(ws, [made(tmp_path / "old", 40)], dataset="d"))
    shutil.move(tmp_path / "old", tmp_path / "new")
    result = relink(ws, "old", tmp_path / "new", sample=5)
    assert result["fit"] == 42
    assert 5 <= result["by_digest"] <= 7


def test_ingest_of_a_moved_source_links_it_again_and_reads_only_a_sample(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(ingest.run(ws, [made(tmp_path / "old", 80)], dataset="d"))
    before = pictures(ws)
    shutil.move(tmp_path / "old", tmp_path / "new")  # keeps the files' times
    read: list[str] = []
    real = names.open_file
    monkeypatch.setattr(
        names, "open_file", lambda root, raw, shown: (read.append(shown), real(root, raw, shown))[1]
    )
    *_, last = ingest.run(ws, [tmp_path / "new"], dataset="d")
    assert isinstance(last, Finished)
    assert (last.result["new"], last.result["duplicates"], last.result["known"]) == (0, 0, 82)
    assert len(read) < 45
    assert pictures(ws) == before
    assert browse.picture(ws, before["子/0.jpg"]).shape == (24, 32, 3)


def test_ingest_of_another_folder_does_not_take_a_lost_source_over(ws: Workspace, tmp_path: Path) -> None:
    list(ingest.run(ws, [made(tmp_path / "old")], dataset="d"))
    shutil.rmtree(tmp_path / "old")
    (tmp_path / "new" / "子").mkdir(parents=True)
    for i in range(6):  # one of them is the same file
        (tmp_path / "new" / "子" / f"{i}.jpg").write_bytes(picture(50 + i) if i else picture(0))
    *_, last = ingest.run(ws, [tmp_path / "new"], dataset="d")
    assert isinstance(last, Finished)
    assert (last.result["new"], last.result["duplicates"]) == (5, 1)
    with ws.db.read() as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM source_root")).scalar() == 2

"""Look around: datasets, pages of pictures, counts, facets, neighbours, thumbnails, pictures, problems."""

from __future__ import annotations

import contextlib
import os
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from annotation.errors import InvalidInput
from app.services.workspace import Workspace
from storage import media, queries, record, register
from storage.queries import AssetRow, DatasetRow, ItemRow, LabelCount, Place
from storage.queries import Query as Query  # callers build queries without importing storage
from storage.tables import SEEN

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ANCHOR_EVERY = 1000
_LARGE_BYTES = 1_500_000
"""JPEGs below this decode whole in the time of one frame or two: a reduced look first would only cost."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of the whole workspace, from the counters."""

    assets: int
    datasets: int
    truth: int
    predictions: int
    revision: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that needs a person: a file that was put aside or a picture that cannot be used.

    asset_id is None for a file that is no asset; its id is then negative, so that ids never collide.
    """

    id: int
    what: str
    where: str
    asset_id: int | None
    kind: str


def datasets(ws: Workspace) -> list[DatasetRow]:
    """Every dataset with its counts, oldest first."""
    with ws.db.read() as conn:
        return queries.datasets(conn)


def dataset(ws: Workspace, name_or_id: str | int) -> DatasetRow:
    """The dataset of this name or id; NotFound."""
    with ws.db.read() as conn:
        return queries.dataset(conn, name_or_id)


def _mine(ws: Workspace, query: Query) -> Query:
    """The query with the person who asks, for `by:me` and `assigned:me`."""
    return query if query.me or not query.where else replace(query, me=ws.person.id)


def page(
    ws: Workspace, query: Query, *, after: int = 0, limit: int = 200, backwards: bool = False
) -> list[ItemRow]:
    """Pictures of the query after asset id `after`, ascending; backwards: before it, nearest first."""
    with ws.db.read() as conn:
        return queries.items(conn, _mine(ws, query), after=after, limit=limit, backwards=backwards)


def count(ws: Workspace, query: Query) -> int:
    """Number of pictures of the query."""
    with ws.db.read() as conn:
        return queries.count_items(conn, _mine(ws, query))


def anchors(ws: Workspace, query: Query, every: int = ANCHOR_EVERY) -> list[int]:
    """Asset id of every `every`-th picture; position k * every comes right after anchor k - 1."""
    with ws.db.read() as conn:
        return queries.anchors(conn, _mine(ws, query), every)


def rows_at(
    ws: Workspace, query: Query, marks: Sequence[int], first: int, n: int, *, every: int = ANCHOR_EVERY
) -> list[ItemRow]:
    """Pictures number `first` to `first + n - 1` (from 0), by an anchor and a keyset page of at most `every` + n rows."""
    block = min(first // every, len(marks))
    skip = first - block * every
    rows = page(ws, query, after=marks[block - 1] if block else 0, limit=skip + n)
    return rows[skip:]


def ids_at(
    ws: Workspace, query: Query, marks: Sequence[int], first: int, n: int, *, every: int = ANCHOR_EVERY
) -> list[int]:
    """Asset ids number `first` to `first + n - 1` (from 0) of the query, by its anchors."""
    block = min(first // every, len(marks))
    skip = first - block * every
    with ws.db.read() as conn:
        found = queries.asset_ids(
            conn, _mine(ws, query), after=marks[block - 1] if block else 0, limit=skip + n
        )
    return found[skip:]


def position(ws: Workspace, query: Query, asset_id: int, marks: Sequence[int] = ()) -> int:
    """Number of pictures of the query before this one; with its `anchors` only those behind the nearest are counted."""
    block = bisect_left(marks, asset_id)
    with ws.db.read() as conn:
        counted = queries.position(conn, _mine(ws, query), asset_id, after=marks[block - 1] if block else 0)
    return block * ANCHOR_EVERY + counted


def facets(ws: Workspace, dataset_id: int) -> list[LabelCount]:
    """Live annotations of a dataset by label and origin, from the counters."""
    with ws.db.read() as conn:
        return queries.facets(conn, dataset_id)


def asset(ws: Workspace, asset_id: int) -> AssetRow:
    """An asset's facts; NotFound."""
    with ws.db.read() as conn:
        return queries.asset(conn, asset_id)


def read_bytes(ws: Workspace, asset_id: int) -> bytes:
    """The source bytes of an asset; Unavailable when the file is gone."""
    with ws.db.read() as conn:
        place = queries.places(conn, [asset_id]).get(asset_id)
        if place is None:
            queries.asset(conn, asset_id)
            raise AssertionError("an asset always has a place")
    return bytes_at(ws.folder, place)


def bytes_at(folder: Path, place: Place) -> bytes:
    """The source bytes that lie at a place; Unavailable when the file is gone. folder: the workspace's."""
    return media.read_asset(folder, place.location, place.path, place.disk_path, place.blake3)


def picture(ws: Workspace, asset_id: int, *, max_side_px: int | None = None) -> NDArray[np.uint8]:
    """The decoded picture, uint8 (h, w, 3) BGR, upright; with `max_side_px` possibly smaller, for the eye only.

    Raises:
        InvalidInput: it cannot be decoded. Unavailable: the file is gone.
    """
    return media.decode(read_bytes(ws, asset_id), max_side_px=max_side_px)


@dataclass(frozen=True, slots=True)
class Glance:
    """The first look at a picture: it whole, or of a large JPEG a reduced one and its bytes, to be decoded behind it."""

    whole: media.Picture | None
    small: NDArray[np.uint8] | None
    """BGRA (h, w, 4)."""
    wh: tuple[int, int]
    """Of the whole picture, upright."""
    data: bytes


def glance(ws: Workspace, asset_id: int, *, least_px: int) -> Glance:
    """What can be shown of a picture soonest: nothing smaller than `least_px` on the longer side.

    Raises:
        InvalidInput: it cannot be decoded. Unavailable: the file is gone. Both name the file.
    """
    data = read_bytes(ws, asset_id)
    with _naming(ws, asset_id):
        small = media.preview(data, least_px) if len(data) >= _LARGE_BYTES else None
        if small is not None:
            return Glance(None, small[0], small[1], data)
        made = media.picture(data)
    return Glance(made, None, (made.screen.shape[1], made.screen.shape[0]), b"")


def whole(ws: Workspace, asset_id: int, data: bytes = b"") -> media.Picture:
    """The whole picture for the eye with its true samples; `data` spares a second reading. Faults as in `glance`."""
    data = data or read_bytes(ws, asset_id)
    with _naming(ws, asset_id):
        return media.picture(data)


def partners(ws: Workspace, asset_id: int, paths: Sequence[str]) -> list[int]:
    """Pictures of the same folder of sources that lie at one of these paths, in the order of the paths."""
    with ws.db.read() as conn:
        root = conn.execute(
            sa.text("SELECT source_root_id FROM asset WHERE id = :a"), {"a": asset_id}
        ).scalar_one()
        known = register.known(conn, int(root), paths)
    found = (one.asset_id for path in paths for one in known.get(path, ()))
    return [i for i in dict.fromkeys(found) if i is not None and i != asset_id]


@contextlib.contextmanager
def _naming(ws: Workspace, asset_id: int) -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(error.what, where=source(ws, asset_id), remedy=error.remedy) from error


def thumbnail(ws: Workspace, asset_id: int, *, side_px: int = 320) -> bytes:
    """A JPEG of at most `side_px`, made once and kept in thumbs/ by the content's digest."""
    import cv2

    row = asset(ws, asset_id)
    kept = ws.folder / "thumbs" / row.blake3[:2] / f"{row.blake3}-{side_px}.jpg"
    try:
        return kept.read_bytes()
    except FileNotFoundError:
        pass
    whole: Any = picture(ws, asset_id, max_side_px=side_px * 2)
    h, w = whole.shape[:2]
    scale = side_px / max(h, w)
    if scale < 1:
        whole = cv2.resize(
            whole, (max(1, round(w * scale)), max(1, round(h * scale))), interpolation=cv2.INTER_AREA
        )
    fine, data = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, 82])
    if not fine:
        raise InvalidInput("no thumbnail can be made", where=row.path)
    kept.parent.mkdir(exist_ok=True)
    staged = kept.with_name(
        f"{kept.name}.{os.getpid()}.part"
    )  # a cache: not flushed, but never seen half written
    staged.write_bytes(data.tobytes())
    staged.replace(kept)
    return data.tobytes()


def paths(ws: Workspace, asset_ids: Collection[int]) -> dict[int, str]:
    """Paths of assets, by id; those that are not there are left out."""
    with ws.db.read() as conn:
        return {i: place.path for i, place in queries.places(conn, list(asset_ids)).items()}


def source(ws: Workspace, asset_id: int) -> str:
    """Where the asset's file lies on this machine, for a person to read."""
    with ws.db.read() as conn:
        place = queries.places(conn, [asset_id])[asset_id]
    return str(Path(os.fsdecode(place.location)) / place.path)


def problems(ws: Workspace, *, after: int = 0, limit: int = 200) -> list[Problem]:
    """Pictures that some work could not use, then files put aside on ingest; newest first within each."""
    with ws.db.read() as conn:
        used = conn.execute(
            sa.text(
                "SELECT p.id, p.what, s.path, p.asset_id FROM problem p JOIN asset s ON s.id = p.asset_id "
                "ORDER BY p.id DESC LIMIT :n OFFSET :o"
            ),
            {"n": limit, "o": after},
        ).all()
        aside = conn.execute(
            sa.text(
                "SELECT f.id, f.reason, r.code, f.path FROM seen_file f JOIN source_root r ON r.id = f.source_root_id "
                "WHERE f.state = :q ORDER BY f.id DESC LIMIT :n OFFSET :o"
            ),
            {"q": SEEN.index("quarantined"), "n": limit, "o": after},
        ).all()
    out = [Problem(r[0], r[1], r[2], r[3], "picture") for r in used]
    return (out + [Problem(-r[0], r[1] or "", f"{r[2]}/{r[3]}", None, "file") for r in aside])[:limit]


def totals(ws: Workspace) -> Totals:
    """Counts of the whole workspace."""
    with ws.db.read() as conn:
        assets = conn.exec_driver_sql("SELECT coalesce(max(id), 0) FROM asset").scalar_one()
        n = conn.exec_driver_sql("SELECT count(*) FROM dataset").scalar_one()
        truth, predictions = conn.exec_driver_sql(
            f"SELECT coalesce(sum(CASE WHEN origin <> {record.MODEL} THEN n END), 0), "
            f"coalesce(sum(CASE WHEN origin = {record.MODEL} THEN n END), 0) FROM counter WHERE label_id <> 0"
        ).one()
        return Totals(int(assets), int(n), int(truth), int(predictions), record.newest(conn))

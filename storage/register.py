"""Bulk registration of source files: which are known, which bytes are known, roots, datasets, inserts.

The caller owns the transaction. Everything is asked in batches of paths or digests; nothing here grows with the record.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.engine import Connection

from annotation.core import new_uid
from annotation.errors import InvalidInput
from storage import db as database
from storage.media import Probe
from storage.names import readable
from storage.tables import MEDIA, ORIGINS, SEEN

ARCHIVE, DUPLICATE = SEEN.index("archive"), SEEN.index("duplicate")
QUARANTINED, IGNORED = SEEN.index("quarantined"), SEEN.index("ignored")
_INGEST_LOCK = 0x4C616D71
_BATCH = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Root:
    """A source root; location is the raw absolute path of the folder on this machine."""

    id: int
    code: str
    location: bytes


@dataclass(frozen=True, slots=True)
class Known:
    """What the record knows of a path. state None = an asset of its own, else of SEEN; dataset: for an archive."""

    row_id: int
    path: str
    size_bytes: int
    mtime_ns: int
    disk_path: bytes | None
    state: int | None
    asset_id: int | None
    reason: str | None
    activity_id: int


@dataclass(frozen=True, slots=True)
class NewAsset:
    """A picture to register."""

    root_id: int
    path: str
    disk_path: bytes | None
    mtime_ns: int
    facts: Probe


@dataclass(frozen=True, slots=True)
class Seen:
    """A file to remember that is no asset of its own."""

    root_id: int
    path: str
    size_bytes: int
    mtime_ns: int
    state: int
    asset_id: int | None = None
    reason: str | None = None


def path_hash(root_id: int, path: str) -> int:
    """Signed 64 bits of (root, path): a third of the index that the text would need."""
    digest = blake3(b"%d\0" % root_id + path.encode()).digest(length=8)
    return int.from_bytes(digest, "big", signed=True)


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for i in range(0, len(values), _BATCH):
        yield values[i : i + _BATCH]


def lock(conn: Connection) -> None:
    """Let one ingest at a time look up digests and register them, so that a duplicate is registered once.

    SQLite's write lock says it already.
    """
    if conn.dialect.name == "postgresql":
        conn.execute(sa.text("SELECT pg_advisory_xact_lock(:k)"), {"k": _INGEST_LOCK})


# --- roots and datasets ---------------------------------------------------------------------------------------------


def roots(conn: Connection) -> list[Root]:
    """Every source root."""
    rows = conn.exec_driver_sql("SELECT id, code, location FROM source_root ORDER BY id")
    return [Root(r[0], r[1], bytes(r[2])) for r in rows]


def root_of(conn: Connection, folder: bytes) -> tuple[Root, bytes] | None:
    """The root that is this folder or the nearest one above it, and the raw path from it to the folder."""
    found = None
    for root in roots(conn):
        base = root.location.rstrip(b"/\\") + os.sep.encode()
        inside = folder == root.location or folder.startswith(base)
        if inside and (found is None or len(root.location) > len(found.location)):
            found = root
    if found is None:
        return None
    return found, folder[len(found.location) :].strip(b"/\\").replace(os.sep.encode(), b"/")


def add_root(conn: Connection, folder: bytes) -> Root:
    """A new root; its code comes from the folder's name, is unique, and never changes."""
    name = readable(os.path.basename(folder.rstrip(b"/\\")))  # noqa: PTH119 - bytes
    base = re.sub(r"[^\w.\-]+", "-", unicodedata.normalize("NFC", name)).strip("-.")[:60] or "source"
    taken = {r.code for r in roots(conn)}
    code, n = base, 1
    while code in taken:
        n += 1
        code = f"{base}-{n}"
    root_id = conn.execute(
        sa.text("INSERT INTO source_root (code, location) VALUES (:c, :l) RETURNING id"),
        {"c": code, "l": folder},
    ).scalar_one()
    return Root(int(root_id), code, folder)


def move_root(conn: Connection, root_id: int, folder: bytes) -> None:
    """The root's files lie elsewhere now."""
    conn.execute(sa.text("UPDATE source_root SET location = :l WHERE id = :i"), {"l": folder, "i": root_id})


_NAME = re.compile(r"[^\x00-\x1f\x7f/\\@:*?\"<>|]{1,80}\Z")


def check_dataset_name(name: str) -> str:
    """The name in NFC. Raises InvalidInput for one that could not stand in a path or before `@tag`."""
    clean = unicodedata.normalize("NFC", name)
    if not _NAME.match(clean) or clean != clean.strip() or clean.startswith((".", "-")):
        raise InvalidInput(
            f"{name!r} is no name for a dataset", remedy='1 to 80 characters, none of / \\ @ : * ? " < > |'
        )
    return clean


def add_dataset(conn: Connection, name: str, schema_code: str) -> int:
    """The id of the dataset of this name, made when it does not exist."""
    at = {"n": check_dataset_name(name)}
    query = sa.text("SELECT id FROM dataset WHERE name = :n")
    found = conn.execute(query, at).scalar()
    if found is None:
        conn.execute(
            sa.text("INSERT INTO dataset (uid, name, schema_code, created_ms) VALUES (:u, :n, :s, :t) ON CONFLICT DO NOTHING"),
            {**at, "u": bytes.fromhex(new_uid()), "s": schema_code, "t": database.now_ms()},
        )  # fmt: skip
        found = conn.execute(query, at).scalar_one()
    return int(found)


# --- what is known --------------------------------------------------------------------------------------------------


def known(conn: Connection, root_id: int, paths: Iterable[str]) -> dict[str, list[Known]]:
    """Everything the record knows of these paths of a root, assets first, newest first."""
    wanted = {p: path_hash(root_id, p) for p in paths}
    out: dict[str, list[Known]] = {}
    for part in _parts(sorted(set(wanted.values()))):
        ids = ",".join(map(str, part))
        for row in conn.exec_driver_sql(
            "SELECT id, path, size_bytes, mtime_ns, disk_path, NULL, id, NULL, activity_id FROM asset "
            f"WHERE path_hash IN ({ids}) AND source_root_id = {root_id} ORDER BY id DESC"
        ).all():  # one by one they cost twice as much
            _remember(out, wanted, row)
        for row in conn.exec_driver_sql(
            "SELECT id, path, size_bytes, mtime_ns, NULL, state, asset_id, reason, activity_id FROM seen_file "
            f"WHERE path_hash IN ({ids}) AND source_root_id = {root_id} ORDER BY id DESC"
        ).all():  # one by one they cost twice as much
            _remember(out, wanted, row)
    return out


def _remember(out: dict[str, list[Known]], wanted: dict[str, int], row: Sequence[object]) -> None:
    path = row[1]
    if path in wanted:  # the hash is a filter, the text decides
        out.setdefault(str(path), []).append(Known(*row))  # type: ignore[arg-type]


def by_digest(conn: Connection, digests: Iterable[bytes]) -> dict[bytes, tuple[int, str]]:
    """BLAKE3 -> (asset id, path) of the first asset with these bytes."""
    out: dict[bytes, tuple[int, str]] = {}
    statement = sa.text("SELECT blake3, id, path FROM asset WHERE blake3 IN :d ORDER BY id DESC").bindparams(
        sa.bindparam("d", expanding=True)
    )
    for part in _parts(sorted(set(digests))):
        for digest, asset_id, path in conn.execute(statement, {"d": list(part)}):
            out[bytes(digest)] = (asset_id, path)
    return out


def live_items(conn: Connection, dataset_id: int, asset_ids: Iterable[int]) -> set[int]:
    """Which of these assets are in the dataset."""
    out: set[int] = set()
    for part in _parts(sorted(set(asset_ids))):
        out.update(
            conn.exec_driver_sql(
                f"SELECT asset_id FROM item WHERE dataset_id = {dataset_id} AND died IS NULL "
                f"AND asset_id IN ({','.join(map(str, part))})"
            ).scalars()
        )
    return out


def cleaned(conn: Connection, dataset_id: int, asset_ids: Iterable[int]) -> set[int]:
    """Which of these assets were cleaned out of the dataset, and nothing has brought back since."""
    out: set[int] = set()
    for part in _parts(sorted(set(asset_ids))):
        out.update(
            conn.exec_driver_sql(
                "SELECT i.asset_id FROM item i JOIN change c ON c.rev = i.died AND c.verb = 'clean' "
                f"WHERE i.dataset_id = {dataset_id} AND i.asset_id IN ({','.join(map(str, part))}) AND i.died = "
                "(SELECT max(x.died) FROM item x WHERE x.dataset_id = i.dataset_id AND x.asset_id = i.asset_id) "
                "AND NOT EXISTS (SELECT 1 FROM item x WHERE x.dataset_id = i.dataset_id AND x.asset_id = i.asset_id AND x.died IS NULL)"
            ).scalars()
        )
    return out


@dataclass(frozen=True, slots=True)
class Rival:
    """A live item of the dataset whose asset has the same path as a joining one: an older state of the same file."""

    joining: int
    item_id: int
    asset_id: int
    path: str
    n_truth: int
    shared: bool


def rivals(conn: Connection, dataset_id: int, asset_ids: Iterable[int]) -> list[Rival]:
    """Older states, in the dataset, of the files these assets came from. shared = it is in other datasets too."""
    out: list[Rival] = []
    for part in _parts(sorted(set(asset_ids))):
        # In two steps: in one, the planner begins with every item of the dataset. Nearly always the first finds nothing.
        older: dict[int, list[int]] = {}
        for joining, other in conn.exec_driver_sql(
            "SELECT a.id, o.id FROM asset a JOIN asset o ON o.path_hash = a.path_hash AND o.source_root_id = a.source_root_id "
            f"AND o.path = a.path AND o.id <> a.id WHERE a.id IN ({','.join(map(str, part))})"
        ):
            older.setdefault(other, []).append(joining)
        if older:
            rows = conn.exec_driver_sql(
                "SELECT i.asset_id, i.id, o.path, i.n_truth, EXISTS (SELECT 1 FROM item x WHERE x.asset_id = o.id "
                f"AND x.died IS NULL AND x.dataset_id <> {dataset_id}) FROM item i JOIN asset o ON o.id = i.asset_id "
                f"WHERE i.dataset_id = {dataset_id} AND i.died IS NULL AND i.asset_id IN ({','.join(map(str, older))})"
            ).all()
            out += [
                Rival(joining, r[1], r[0], r[2], r[3], bool(r[4])) for r in rows for joining in older[r[0]]
            ]
    return out


def live_annotations(conn: Connection, asset_ids: Iterable[int]) -> list[int]:
    """Row ids of the live annotations of these assets."""
    out: list[int] = []
    for part in _parts(sorted(set(asset_ids))):
        ids = ",".join(map(str, part))
        out += conn.exec_driver_sql(
            f"SELECT id FROM annotation WHERE died IS NULL AND asset_id IN ({ids})"
        ).scalars()
    return out


def was_undone(conn: Connection, activity_id: int) -> bool:
    """Whether somebody undid a step of this activity."""
    sql = "SELECT 1 FROM change c JOIN change u ON u.inverts IS NOT NULL AND u.inverts = c.step WHERE c.activity_id = :a LIMIT 1"
    return conn.execute(sa.text(sql), {"a": activity_id}).first() is not None


# --- writing --------------------------------------------------------------------------------------------------------

_ASSET = (
    "uid", "kind", "blake3", "sha256", "size_bytes", "width_px", "height_px", "orientation", "media_type", "taken_ms",
    "source_root_id", "path", "path_hash", "disk_path", "mtime_ns", "activity_id",
)  # fmt: skip
_SEEN = (
    "source_root_id",
    "path",
    "path_hash",
    "size_bytes",
    "mtime_ns",
    "state",
    "asset_id",
    "reason",
    "activity_id",
)


def insert_assets(conn: Connection, assets: Sequence[NewAsset], activity_id: int) -> list[int]:
    """Register pictures; their ids in the order given."""
    uids = [bytes.fromhex(new_uid()) for _ in assets]
    image = MEDIA.index("image")
    rows = [
        (uid, image, a.facts.blake3, a.facts.sha256, a.facts.size_bytes, a.facts.width_px, a.facts.height_px,
         a.facts.orientation, a.facts.media_type, a.facts.taken_ms, a.root_id, a.path, path_hash(a.root_id, a.path),
         a.disk_path, a.mtime_ns, activity_id)
        for uid, a in zip(uids, assets, strict=True)
    ]  # fmt: skip
    database.insert(conn, "asset", _ASSET, rows)
    found: dict[bytes, int] = {}
    statement = sa.text("SELECT uid, id FROM asset WHERE uid IN :u").bindparams(
        sa.bindparam("u", expanding=True)
    )
    for part in _parts(uids):
        found.update((bytes(uid), asset_id) for uid, asset_id in conn.execute(statement, {"u": list(part)}))
    return [found[uid] for uid in uids]


def insert_seen(conn: Connection, rows: Sequence[Seen], activity_id: int) -> None:
    """Remember files that are no assets of their own."""
    database.insert(
        conn,
        "seen_file",
        _SEEN,
        [
            (
                s.root_id,
                s.path,
                path_hash(s.root_id, s.path),
                s.size_bytes,
                s.mtime_ns,
                s.state,
                s.asset_id,
                s.reason,
                activity_id,
            )
            for s in rows
        ],
    )


def forget_seen(conn: Connection, row_ids: Iterable[int]) -> None:
    """Drop what was remembered of files that have changed or are gone."""
    for part in _parts(sorted(set(row_ids))):
        conn.exec_driver_sql(f"DELETE FROM seen_file WHERE id IN ({','.join(map(str, part))})")


def touch(conn: Connection, moved: Sequence[tuple[int, int, bytes | None]]) -> None:
    """(asset id, mtime_ns, disk_path): where and when the same bytes lie on the disk now."""
    if moved:
        conn.execute(
            sa.text("UPDATE asset SET mtime_ns = :m, disk_path = :d WHERE id = :i"),
            [{"i": i, "m": m, "d": d} for i, m, d in moved],
        )


def put_aside(conn: Connection, root_id: int, *, after: int, limit: int = 1000) -> list[tuple[int, str]]:
    """(row id, path) of quarantined files of a root, by row id."""
    rows = conn.execute(
        sa.text(
            "SELECT id, path FROM seen_file WHERE state = :s AND source_root_id = :r AND id > :a ORDER BY id LIMIT :n"
        ),
        {"s": QUARANTINED, "r": root_id, "a": after, "n": limit},
    )
    return [(r[0], r[1]) for r in rows]


@dataclass(frozen=True, slots=True)
class Copy:
    """An asset as its file should be found again."""

    asset_id: int
    path: str
    disk_path: bytes | None
    size_bytes: int
    mtime_ns: int
    blake3: bytes


def copies(conn: Connection, root_id: int, *, after: int, limit: int = 1000) -> list[Copy]:
    """Assets of a root by id after `after`."""
    rows = conn.execute(
        sa.text(
            "SELECT id, path, disk_path, size_bytes, mtime_ns, blake3 FROM asset WHERE source_root_id = :r AND id > :a ORDER BY id LIMIT :n"
        ),
        {"r": root_id, "a": after, "n": limit},
    )
    return [Copy(r[0], r[1], None if r[2] is None else bytes(r[2]), r[3], r[4], bytes(r[5])) for r in rows]


def sample(conn: Connection, root_id: int, n: int) -> list[Copy]:
    """About n assets of a root, spread over the range of ids where it has any: the table is walked once at most."""
    ends = [
        conn.execute(
            sa.text(f"SELECT id FROM asset WHERE source_root_id = :r ORDER BY id {order} LIMIT 1"),
            {"r": root_id},
        ).scalar()
        for order in ("ASC", "DESC")
    ]
    first, last = ends
    if first is None or last is None:
        return []
    found = [
        c for k in range(n) for c in copies(conn, root_id, after=first - 1 + (last - first) * k // n, limit=1)
    ]
    return list({c.asset_id: c for c in found}.values())


def count_assets(conn: Connection, root_id: int) -> int:
    """Number of assets of a root."""
    return int(
        conn.execute(
            sa.text("SELECT count(*) FROM asset WHERE source_root_id = :r"), {"r": root_id}
        ).scalar_one()
    )


# --- matching foreign annotations -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pictured:
    """A picture as foreign annotations speak of it."""

    asset_id: int
    root_code: str
    path: str
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class ItemKey:
    """A live item row: its id, its split and review as numbers, and the agent it is with."""

    id: int
    split: int
    review: int
    assignee_id: int | None


def agent_of(conn: Connection, activity_id: int) -> int:
    """Who an activity belongs to."""
    return int(
        conn.execute(sa.text("SELECT agent_id FROM activity WHERE id = :i"), {"i": activity_id}).scalar_one()
    )


def item_paths(
    conn: Connection, dataset_id: int, *, after: int, limit: int = 20_000
) -> list[tuple[int, str]]:
    """(asset id, path) of a dataset's pictures by asset id after `after`."""
    rows = conn.execute(
        sa.text(
            "SELECT i.asset_id, s.path FROM item i JOIN asset s ON s.id = i.asset_id WHERE i.dataset_id = :d "
            "AND i.died IS NULL AND i.asset_id > :a ORDER BY i.asset_id LIMIT :n"
        ),
        {"d": dataset_id, "a": after, "n": limit},
    )
    return [(r[0], r[1]) for r in rows]


def duplicates(
    conn: Connection, dataset_id: int, *, after: int, limit: int = 20_000
) -> list[tuple[int, int, str]]:
    """(row id, asset id, path) of exact duplicates of a dataset's pictures, by row id."""
    rows = conn.execute(
        sa.text(
            "SELECT f.id, f.asset_id, f.path FROM seen_file f JOIN item i ON i.asset_id = f.asset_id AND i.dataset_id = :d "
            "AND i.died IS NULL WHERE f.state = :s AND f.id > :a ORDER BY f.id LIMIT :n"
        ),
        {"d": dataset_id, "s": DUPLICATE, "a": after, "n": limit},
    )
    return [(r[0], r[1], r[2]) for r in rows]


def pictured(conn: Connection, asset_ids: Sequence[int]) -> list[Pictured]:
    """Paths and sizes of these assets."""
    out: list[Pictured] = []
    for part in _parts(asset_ids):
        rows = conn.exec_driver_sql(
            "SELECT s.id, r.code, s.path, s.width_px, s.height_px FROM asset s JOIN source_root r ON r.id = s.source_root_id "
            f"WHERE s.id IN ({','.join(map(str, part))})"
        )
        out.extend(Pictured(r[0], r[1], r[2], r[3] or 0, r[4] or 0) for r in rows)
    return out


def item_rows(conn: Connection, dataset_id: int, asset_ids: Iterable[int]) -> dict[int, ItemKey]:
    """Live item rows by asset id."""
    out: dict[int, ItemKey] = {}
    for part in _parts(sorted(set(asset_ids))):
        rows = conn.exec_driver_sql(
            f"SELECT asset_id, id, split, review, assignee_id FROM item WHERE dataset_id = {dataset_id} AND died IS NULL "
            f"AND asset_id IN ({','.join(map(str, part))})"
        )
        out.update((r[0], ItemKey(*r[1:])) for r in rows)
    return out


ShapeKey = tuple[object, ...]
"""(asset, label, kind, box, geometry): what makes two objects the same."""


def truth_shapes(conn: Connection, asset_ids: Iterable[int]) -> dict[ShapeKey, bytes]:
    """Live annotations that are no predictions: what they are -> their uid."""
    return _shapes(conn, asset_ids, f"n.died IS NULL AND n.origin <> {ORIGINS.index('model')}", {})


def predicted_shapes(
    conn: Connection, asset_ids: Iterable[int], model_digest: bytes
) -> dict[ShapeKey, bytes]:
    """Predictions of a model that live, were rejected or became truth: what they were -> their uid."""
    where = (
        f"n.origin = {ORIGINS.index('model')} AND n.activity_id IN (SELECT id FROM activity WHERE model_digest = :m) "
        "AND (n.died IS NULL OR n.died IN (SELECT rev FROM change WHERE verb = 'reject' AND op <> 1) OR EXISTS "
        "(SELECT 1 FROM annotation k WHERE k.asset_id = n.asset_id AND k.uid = n.uid AND k.died IS NULL))"
    )
    return _shapes(conn, asset_ids, where, {"m": model_digest})


def _shapes(
    conn: Connection, asset_ids: Iterable[int], where: str, given: Mapping[str, object]
) -> dict[ShapeKey, bytes]:
    out: dict[ShapeKey, bytes] = {}
    for part in _parts(sorted(set(asset_ids))):
        rows = conn.execute(
            sa.text(
                "SELECT n.asset_id, n.label_id, n.kind, n.x0, n.y0, n.x1, n.y1, n.geometry, n.uid FROM annotation n "
                f"WHERE {where} AND n.asset_id IN ({','.join(map(str, part))})"
            ),
            given,
        )
        for r in rows:
            out[r[0], r[1], r[2], None if r[3] is None else (r[3], r[4], r[5], r[6]), r[7]] = bytes(r[8])
    return out

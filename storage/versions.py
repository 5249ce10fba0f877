"""Frozen versions in the record: the pin, and every read of a dataset as it was at a revision.

State at a revision cannot change, so each page is its own short read and no snapshot is held (design, §2).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation import canonical
from annotation.errors import InvalidInput, NotFound
from storage import db as database
from storage import manifest
from storage.db import Database
from storage.manifest import Entry, Fact, Object
from storage.record import MODEL
from storage.tables import KINDS, ORIGINS, REVIEWS, SPLITS

T = TypeVar("T")

PAGE = 5_000
"""Assets read at once: about 20 MB of rows at 20 objects a picture."""
_PART = 500


@dataclass(frozen=True, slots=True)
class Filter:
    """What of a dataset enters a version; everything here is versioned in the record.

    Attributes:
        predictions: also predictions that nobody has accepted. A version is truth unless asked otherwise.
        splits, reviews: only items in one of these; () = all.
    """

    predictions: bool = False
    splits: tuple[str, ...] = ()
    reviews: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Canonical JSON, as stored: equal filters are equal text."""
        value: dict[str, object] = {}
        if self.predictions:
            value["predictions"] = True
        if self.splits:
            value["splits"] = sorted(set(self.splits))
        if self.reviews:
            value["reviews"] = sorted(set(self.reviews))
        return canonical.encode(value).decode()


def parse_filter(text: str) -> Filter:
    """A filter from its JSON.

    Raises:
        InvalidInput: an unknown key or value.
    """
    value = json.loads(text)
    out = Filter(
        bool(value.get("predictions")), tuple(value.get("splits", ())), tuple(value.get("reviews", ()))
    )
    for key, given, known in (("split", out.splits, SPLITS), ("review state", out.reviews, REVIEWS)):
        if wrong := [g for g in given if g not in known]:
            raise InvalidInput(
                f"{key} {wrong[0]!r} is not known", remedy=f"one of {', '.join(filter(None, known))}"
            )
    return out


@dataclass(frozen=True, slots=True)
class Version:
    """A frozen version. root, signature and public (hex) are None until its manifest has been built.

    statement: canonical JSON that ties the root to the audit log's head; its signature (hex) is by the same key.
    """

    id: int
    uid: str
    dataset_id: int
    dataset: str
    tag: str
    rev: int
    schema_version_id: int
    schema_code: str
    schema_number: int
    filter: Filter
    activity_id: int
    agent: str
    at_ms: int
    root: str | None
    signature: str | None
    public: str | None
    statement: str | None
    statement_signature: str | None

    @property
    def ref(self) -> str:
        """`dataset@tag`."""
        return f"{self.dataset}@{self.tag}"


_VERSION = (
    "SELECT v.id, v.uid, v.dataset_id, d.name, v.tag, v.rev, v.schema_version_id, s.code, s.number, v.filter, "
    "v.activity_id, g.name, v.at_ms, v.root, v.signature, "
    "(SELECT max(k.ref) FROM link k WHERE k.activity_id = v.activity_id AND k.entity = 'key'), "
    "v.statement, v.statement_signature "
    "FROM dataset_version v JOIN dataset d ON d.id = v.dataset_id JOIN schema_version s ON s.id = v.schema_version_id "
    "JOIN activity a ON a.id = v.activity_id JOIN agent g ON g.id = a.agent_id "
)


def _version(r: Sequence[Any]) -> Version:
    uid, root, signature, stated = (
        bytes(x).hex() if x is not None else None for x in (r[1], r[13], r[14], r[17])
    )
    assert uid is not None
    return Version(
        r[0], uid, r[2], r[3], r[4], r[5], r[6], r[7], r[8], parse_filter(r[9]), r[10], r[11], r[12], root, signature, r[15],
        r[16], stated,
    )  # fmt: skip


def find(conn: Connection, dataset: str, tag: str) -> Version:
    """The version of this tag.

    Raises:
        NotFound: no such dataset or tag; names the tags there are.
    """
    row = conn.execute(
        sa.text(_VERSION + "WHERE d.name = :d AND v.tag = :t"), {"d": dataset, "t": tag}
    ).first()
    if row is not None:
        return _version(row)
    if conn.execute(sa.text("SELECT 1 FROM dataset WHERE name = :d"), {"d": dataset}).first() is None:
        raise NotFound(f"there is no dataset {dataset!r}", remedy="name one that was ingested")
    tags = conn.execute(
        sa.text("SELECT tag FROM dataset_version v JOIN dataset d ON d.id = v.dataset_id WHERE d.name = :d ORDER BY v.id"),
        {"d": dataset},
    ).scalars().all()  # fmt: skip
    raise NotFound(
        f"{dataset} has no version {tag!r}",
        remedy=f"it has {', '.join(tags[-8:])}"
        if tags
        else f"`lamproom freeze {dataset} --tag {tag}` makes it",
    )


def by_uid(conn: Connection, uid: str) -> Version | None:
    """The version of a uid (hex); None when there is none."""
    row = conn.execute(sa.text(f"{_VERSION}WHERE v.uid = :u"), {"u": bytes.fromhex(uid)}).first()
    return None if row is None else _version(row)


def listing(conn: Connection, dataset_id: int | None = None) -> list[Version]:
    """Versions of a dataset (or of all), oldest first."""
    where = "" if dataset_id is None else "WHERE v.dataset_id = :d "
    rows = conn.execute(
        sa.text(f"{_VERSION}{where}ORDER BY v.id"), {} if dataset_id is None else {"d": dataset_id}
    )
    return [_version(r) for r in rows]


def pin(conn: Connection, *, uid: str, dataset_id: int, tag: str, rev: int, schema_version_id: int, filter: Filter,
        activity_id: int) -> None:  # fmt: skip
    """Write the version row. The caller holds the freeze lock."""
    conn.execute(
        sa.text(
            "INSERT INTO dataset_version (uid, dataset_id, tag, rev, schema_version_id, filter, activity_id, at_ms) "
            "VALUES (:u, :d, :t, :r, :s, :f, :a, :m)"
        ),
        {"u": bytes.fromhex(uid), "d": dataset_id, "t": tag, "r": rev, "s": schema_version_id, "f": filter.to_json(),
         "a": activity_id, "m": database.now_ms()},
    )  # fmt: skip


def seal(conn: Connection, version_id: int, *, root: bytes, signature: bytes) -> bool:
    """Note root and signature, once. False when the version was sealed already."""
    done = conn.execute(
        sa.text("UPDATE dataset_version SET root = :r, signature = :s WHERE id = :i AND root IS NULL"),
        {"r": root, "s": signature, "i": version_id},
    )
    return done.rowcount == 1


def state(conn: Connection, version_id: int, seq: int, head: bytes, statement: str, signature: bytes) -> bool:
    """Note the signed statement, once. False when there was one."""
    done = conn.execute(
        sa.text(
            "UPDATE dataset_version SET audit_seq = :q, audit_head = :h, statement = :t, statement_signature = :s "
            "WHERE id = :i AND statement IS NULL"
        ),
        {"q": seq, "h": head, "t": statement, "s": signature, "i": version_id},
    )
    return done.rowcount == 1


# -- state at a revision ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Member:
    """An asset of a dataset at a revision."""

    asset_id: int
    split: str
    review: str


def members(
    conn: Connection, dataset_id: int, rev: int, *, after: int, limit: int = PAGE
) -> tuple[list[Member], int | None]:
    """The next members by asset id, and the asset id to go on after (None = that was all)."""
    live = conn.execute(
        sa.text(
            "SELECT asset_id, split, review, born FROM item WHERE dataset_id = :d AND died IS NULL AND asset_id > :a "
            "ORDER BY asset_id LIMIT :n"
        ),
        {"d": dataset_id, "a": after, "n": limit},
    ).all()  # fmt: skip
    upto = live[-1][0] if len(live) == limit else None
    # `+died`: the range of asset ids is the way in; by (died) every page would read all rows that died since.
    gone = conn.execute(
        sa.text(
            "SELECT asset_id, split, review FROM item WHERE asset_id > :a AND asset_id <= :u AND dataset_id = :d "
            "AND born <= :r AND +died > :r ORDER BY asset_id LIMIT :n"
        ),
        {"a": after, "u": upto if upto is not None else 2**62, "d": dataset_id, "r": rev, "n": limit},
    ).all()  # fmt: skip
    if len(gone) == limit:  # a whole dataset may have left since
        upto = gone[-1][0]
        live = [row for row in live if row[0] <= upto]
    rows = [(a, s, v) for a, s, v, born in live if born <= rev] + [(r[0], r[1], r[2]) for r in gone]
    return [Member(a, SPLITS[s], REVIEWS[v]) for a, s, v in sorted(rows)], upto


def member_pages(
    db: Database, dataset_id: int, rev: int, filter: Filter, *, limit: int = PAGE
) -> Iterator[list[Member]]:
    """All members that pass the filter, page by page, each its own short read."""
    after: int | None = 0
    while after is not None:
        with db.read() as conn:
            page, after = members(conn, dataset_id, rev, after=after, limit=limit)
        yield [m for m in page if _passes(m, filter)]


def _passes(member: Member, filter: Filter) -> bool:
    return (not filter.splits or member.split in filter.splits) and (
        not filter.reviews or member.review in filter.reviews
    )


def chosen(
    conn: Connection, dataset_id: int, rev: int, asset_ids: Sequence[int], filter: Filter
) -> dict[int, Member | None]:
    """Of these assets, those that ever were in the dataset: their membership at the revision, None = not in it."""
    out: dict[int, Member | None] = {}
    for part in _parts(asset_ids):
        rows = conn.execute(
            sa.text(
                "SELECT asset_id, split, review, born <= :r AND (died IS NULL OR died > :r) FROM item "
                f"WHERE dataset_id = :d AND asset_id IN ({','.join(map(str, part))})"
            ),
            {"d": dataset_id, "r": rev},
        )  # fmt: skip
        for asset_id, split, review, now in rows:
            member = Member(asset_id, SPLITS[split], REVIEWS[review])
            if now and _passes(member, filter):
                out[asset_id] = member
            else:
                out.setdefault(asset_id, None)
    return out


def entries(conn: Connection, members: Sequence[Member], rev: int, *, predictions: bool) -> Iterator[Entry]:
    """The manifest entries of these members at the revision."""
    for part in _parts(members):
        ids = ",".join(str(m.asset_id) for m in part)
        objects: dict[int, list[Object]] = {m.asset_id: [] for m in part}
        for row in conn.exec_driver_sql(
            "SELECT n.asset_id, n.uid, l.code, n.kind, n.x0, n.y0, n.x1, n.y1, n.geometry, n.attributes, n.score_micro, "
            f"n.origin FROM annotation n JOIN label l ON l.id = n.label_id WHERE n.asset_id IN ({ids}) "
            f"AND n.born <= {rev} AND (n.died IS NULL OR n.died > {rev})"
        ):
            if predictions or row[11] != MODEL:
                objects[row[0]].append(_object(row))
        facts = {r[0]: r for r in conn.exec_driver_sql(_FACTS + f"WHERE s.id IN ({ids})")}
        for m in part:
            yield manifest.entry(_fact(facts[m.asset_id]), objects[m.asset_id], m.split)


_FACTS = (
    "SELECT s.id, s.blake3, r.code, s.path, s.media_type, s.sha256, s.size_bytes, s.width_px, s.height_px "
    "FROM asset s JOIN source_root r ON r.id = s.source_root_id "
)


def _fact(r: Sequence[Any]) -> Fact:
    wh = None if r[7] is None or r[8] is None else (r[7], r[8])
    return Fact(bytes(r[1]).hex(), f"{r[2]}/{r[3]}", r[4], bytes(r[5]).hex(), r[6], wh)


def _object(r: Sequence[Any]) -> Object:
    return Object(
        attributes=msgspec.Raw(r[9].encode()) if r[9] else None,
        bbox=None if r[4] is None else (r[4], r[5], r[6], r[7]),
        kind=KINDS[r[3]],
        label=r[2],
        origin=ORIGINS[r[11]],
        points=msgspec.Raw(r[8].encode()) if r[8] else None,
        score=r[10],
        uid=bytes(r[1]).hex(),
    )


def facts(conn: Connection, asset_ids: Sequence[int]) -> dict[int, Fact]:
    """Manifest facts of each asset: key, digests, size."""
    out: dict[int, Fact] = {}
    for part in _parts(asset_ids):
        for r in conn.exec_driver_sql(_FACTS + f"WHERE s.id IN ({','.join(map(str, part))})"):
            out[r[0]] = _fact(r)
    return out


def turned(conn: Connection, asset_ids: Sequence[int]) -> int:
    """How many of these assets are stored turned or mirrored (EXIF orientation 2 to 8)."""
    sql = "SELECT count(*) FROM asset WHERE orientation > 1 AND id IN ({})"
    parts = _parts(asset_ids)
    return sum(int(conn.exec_driver_sql(sql.format(",".join(map(str, p)))).scalar_one()) for p in parts)


def touched(db: Database, low: int, high: int, *, predictions: bool, most: int) -> set[int] | None:
    """Assets whose annotations or items were born or died in revisions low < r <= high; None when more than `most`."""
    out: set[int] = set()
    origin = "" if predictions else f" AND origin <> {MODEL}"
    window = 2_000
    for start in range(low, high, window):
        end = min(start + window, high)
        with db.read() as conn:
            for table, extra in (("annotation", origin), ("item", "")):
                for column in ("born", "died"):
                    rows = conn.exec_driver_sql(
                        f"SELECT DISTINCT asset_id FROM {table} WHERE {column} > {start} AND {column} <= {end}{extra}"
                    )
                    out.update(rows.scalars())
        if len(out) > most:
            return None
    return out


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of a BLAKE3 digest lie: root folder, path inside, raw name where it differs."""

    location: bytes
    path: str
    disk_path: bytes | None


def places(conn: Connection, facts: Sequence[Fact]) -> dict[str, list[Place]]:
    """BLAKE3 -> every file known to hold these bytes, that of the fact's own key first; at most 8."""
    out: dict[str, list[Place]] = {}
    for part in _parts(facts):
        own = {f.asset: f.key for f in part}
        found: dict[str, list[tuple[bool, int, Place]]] = {}
        query = sa.text(
            "SELECT s.id, s.blake3, r.location, s.path, s.disk_path, r.code FROM asset s "
            "JOIN source_root r ON r.id = s.source_root_id WHERE s.blake3 IN :b"
        ).bindparams(sa.bindparam("b", expanding=True))
        for r in conn.execute(query, {"b": [bytes.fromhex(b3) for b3 in own]}).all():
            b3 = bytes(r[1]).hex()
            place = Place(bytes(r[2]), r[3], bytes(r[4]) if r[4] is not None else None)
            found.setdefault(b3, []).append((f"{r[5]}/{r[3]}" != own[b3], r[0], place))
        for b3, listed in found.items():
            out[b3] = [place for _, _, place in sorted(listed, key=lambda t: t[:2])[:8]]
    return out


def schema_at(conn: Connection, version_id: int) -> tuple[str, int, str, bytes]:
    """(code, number, canonical TOML, its BLAKE3) of a schema version."""
    row = conn.execute(
        sa.text("SELECT code, number, body, blake3 FROM schema_version WHERE id = :i"), {"i": version_id}
    ).one()
    return row[0], row[1], row[2], bytes(row[3])


def live_schema(conn: Connection, code: str) -> int:
    """Row of the current version of a schema."""
    return int(
        conn.execute(
            sa.text("SELECT id FROM schema_version WHERE code = :c AND died IS NULL"), {"c": code}
        ).scalar_one()
    )


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for i in range(0, len(items), _PART):
        yield items[i : i + _PART]

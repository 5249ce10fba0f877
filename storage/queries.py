"""Reads: keyset pages and small look-ups. They return frozen rows, never live objects, and never use OFFSET beyond an anchor."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation import schema_toml
from annotation.errors import NotFound
from storage import search, search_sql
from storage.tables import ITEM_STATES, KINDS, ORIGINS, REVIEWS, SPLITS


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A dataset with its counts."""

    id: int
    uid: str
    name: str
    schema_code: str
    n_assets: int
    n_unlabelled: int
    n_predicted: int
    n_labelled: int
    last_tag: str | None


@dataclass(frozen=True, slots=True)
class AssetRow:
    """An asset's facts. wh are after orientation; digests are hex."""

    id: int
    uid: str
    path: str
    root_code: str
    media_type: str
    width_px: int | None
    height_px: int | None
    orientation: int
    size_bytes: int
    blake3: str
    sha256: str
    taken_ms: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an asset's bytes lie: root folder, path inside, raw name where it differs."""

    location: bytes
    path: str
    disk_path: bytes | None
    blake3: bytes


@dataclass(frozen=True, slots=True)
class ItemRow:
    """A picture of a dataset as the gallery shows it."""

    asset_id: int
    path: str
    width_px: int | None
    height_px: int | None
    state: str
    split: str
    review: str
    assignee: str | None
    n_truth: int
    n_pred: int


@dataclass(frozen=True, slots=True)
class Stored:
    """An annotation row as read, in the record's own integers; kind and origin by name, label by code."""

    id: int
    uid: str
    asset_id: int
    label: str
    kind: str
    box: tuple[int, int, int, int] | None
    geometry: str | None
    attributes: str | None
    score_micro: int | None
    origin: str
    activity_id: int
    from_id: int | None
    born: int
    died: int | None


@dataclass(frozen=True, slots=True)
class LabelCount:
    """Live annotations of a label in a dataset, by origin."""

    label: str
    n_human: int
    n_model: int
    n_import: int


@dataclass(frozen=True, slots=True)
class Query:
    """Which pictures of a dataset, or which objects on them: the one value that says what is meant, everywhere.

    Attributes:
        where: the query language (storage.search). The rest says the same for callers that have codes, not text:
        state: one of ITEM_STATES. review: one of REVIEWS. assignee: agent id of the person it is with.
        label: code of a label that a live annotation has. origin: of that annotation. text: a part of the path.
        min_score, max_score: of a prediction, 0..1.
        me: agent id of who asks, for `by:me` and `assigned:me`.
    """

    dataset_id: int
    state: str | None = None
    label: str | None = None
    origin: str | None = None
    text: str = ""
    review: str | None = None
    assignee: int | None = None
    min_score: float | None = None
    max_score: float | None = None
    where: str = ""
    me: int = 0


@dataclass(frozen=True, slots=True)
class Sort:
    """An order. by: "" (as added) or one of SORTS; down: largest first; like: the asset that `similar` compares with.

    What has no value comes last, and equal ones in the order they were added.
    """

    by: str = ""
    down: bool = False
    like: int | None = None


SORTS = (
    "time",
    "path",
    "score",
    "unsure",
    "changed",
    "area",
    "bright",
    "contrast",
    "sharp",
    "glare",
    "haze",
    "group",
    "similar",
    "worth",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """A query made ready for the database: the condition on i (and n of objects), its parameters, the joins it needs."""

    where: str
    args: Mapping[str, object]
    asset: bool
    plain: bool
    """Only dataset and state: counts come from the counters, pages from one index."""


WAITS = f"(i.state <> {ITEM_STATES.index('labelled')} AND i.review NOT IN ({REVIEWS.index('submitted')}, {REVIEWS.index('accepted')}))"
"""The picture i has no finished truth: it holds something else than truth only, and nobody has handed it in."""

_NAMES: OrderedDict[tuple[object, ...], search.Names] = OrderedDict()


def names(conn: Connection, dataset_id: int) -> search.Names:
    """What the words of the query language mean in a dataset."""
    schema = conn.execute(
        sa.text(
            "SELECT v.blake3, v.body FROM dataset d JOIN schema_version v ON v.code = d.schema_code AND v.died IS NULL WHERE d.id = :d"
        ),
        {"d": dataset_id},
    ).first()
    labels = tuple(conn.exec_driver_sql("SELECT code FROM label ORDER BY id LIMIT 5000").scalars())
    people = tuple(conn.exec_driver_sql("SELECT DISTINCT name FROM agent ORDER BY name LIMIT 1000").scalars())
    models = tuple(
        conn.exec_driver_sql("SELECT DISTINCT name FROM onnx_model ORDER BY name LIMIT 1000").scalars()
    )
    key = (bytes(schema[0]) if schema else None, labels, people, models)
    if (kept := _NAMES.get(key)) is None:
        known = schema_toml.read(schema[1], "record") if schema else None
        kept = _NAMES[key] = search.Names(known, labels, people, models)
        while len(_NAMES) > 8:
            _NAMES.popitem(last=False)
    return kept


def tree(query: Query, known: search.Names) -> search.Node:
    """The whole query as one tree: `where` and the single fields, which mean one and the same object where they can.

    Raises:
        Misread: the text of `where` cannot be read.
    """
    parts: list[search.Node] = [search.parse(query.where, known)]
    terms = (
        ("state", query.state),
        ("review", query.review),
        ("class", query.label),
        ("origin", query.origin),
    )
    parts += [search.Term(field, ":", (value,)) for field, value in terms if value is not None]
    if query.text:
        parts.append(search.Term("path", ":", (query.text,)))
    if query.min_score is not None or query.max_score is not None:
        low, high = (f"{x:.6f}" if x is not None else "" for x in (query.min_score, query.max_score))
        parts.append(search.Term("score", "..", (low, high)))
    return search.join(parts)


def plan(conn: Connection, query: Query, *, objects: bool = False) -> Plan:
    """Read a query for this database.

    Raises:
        Misread: the text of `where` cannot be read.
    """
    known = names(conn, query.dataset_id) if query.where or query.label else search.Names()
    rest: list[search.Node] = []
    said = ["i.dataset_id = :d", "i.died IS NULL"]
    args: dict[str, object] = {"d": query.dataset_id}
    plain = True
    assignee = query.assignee
    for part in search.conjuncts(tree(query, known)):
        # A single state, review or "mine" goes to its column as the indices spell it.
        match part:
            case search.Term("state", ":", (state,)) if "s" not in args:
                args["s"] = ITEM_STATES.index(state)
                said.append("i.state = :s")
            case search.Term("review", ":", (review,)) if "v" not in args:
                args["v"] = REVIEWS.index(review)
                said.append("i.review = :v")
                if review != REVIEWS[0]:
                    said.append(_IN_REVIEW)
                plain = False
            case search.Term("assigned", ":", (search.ME,)) if assignee is None and query.me:
                assignee = query.me
            case _:
                rest.append(part)
    if assignee is not None:
        args["w"] = assignee
        said += ["i.assignee_id = :w", _IN_REVIEW]
        plain = False
    asset = False
    if rest:
        maker = search_sql.Maker(conn.dialect.name, known, query.me, time.time(), args)
        node = search.join(rest)
        more = maker.one_object(node) if objects else maker.picture(node)
        said.append(more)
        asset, plain = "s." in more, False
    return Plan(" AND ".join(said), args, asset, plain and not objects)


_IN_REVIEW = "(i.review <> 0 OR i.assignee_id IS NOT NULL)"  # as the index of review states says it

_ITEMS = "SELECT i.asset_id, s.path, s.width_px, s.height_px, i.state, i.split, i.review, g.name, i.n_truth, i.n_pred FROM item i JOIN asset s ON s.id = i.asset_id LEFT JOIN agent g ON g.id = i.assignee_id "


_JOIN = "JOIN asset s ON s.id = i.asset_id "


def _item(r: Sequence[Any]) -> ItemRow:
    return ItemRow(*[*r[:4], ITEM_STATES[r[4]], SPLITS[r[5]], REVIEWS[r[6]], *r[7:]])


def items(
    conn: Connection, query: Query, *, after: int = 0, limit: int = 200, backwards: bool = False
) -> list[ItemRow]:
    """The next pictures by asset id after `after` (backwards: before it, nearest first)."""
    p = plan(conn, query)
    sign, order = ("<", "DESC") if backwards else (">", "ASC")
    sql = f"{_ITEMS}WHERE {p.where} AND i.asset_id {sign} :after ORDER BY i.asset_id {order} LIMIT :n"
    return [_item(r) for r in conn.execute(sa.text(sql), {**p.args, "after": after, "n": limit})]


def items_of(conn: Connection, dataset_id: int, asset_ids: Sequence[int]) -> list[ItemRow]:
    """Pictures of the dataset by their ids, in the order given; those that left it are left out."""
    found: dict[int, ItemRow] = {}
    for i in range(0, len(asset_ids), 500):
        ids = ",".join(str(int(a)) for a in asset_ids[i : i + 500])
        sql = f"{_ITEMS}WHERE i.dataset_id = :d AND i.died IS NULL AND i.asset_id IN ({ids})"
        found.update((r[0], _item(r)) for r in conn.execute(sa.text(sql), {"d": dataset_id}))
    return [found[a] for a in asset_ids if a in found]


def asset_ids(
    conn: Connection, query: Query, *, after: int = 0, until: int = 2**62, limit: int = 20_000
) -> list[int]:
    """The next asset ids of the query behind `after`, none beyond `until`."""
    p = plan(conn, query)
    sql = (
        f"SELECT i.asset_id FROM item i {_JOIN if p.asset else ''}WHERE {p.where} AND i.asset_id > :after "
        "AND i.asset_id <= :until ORDER BY i.asset_id LIMIT :n"
    )
    return list(conn.execute(sa.text(sql), {**p.args, "after": after, "until": until, "n": limit}).scalars())


def span(conn: Connection, dataset_id: int) -> tuple[int, int] | None:
    """The lowest and the highest asset id of a dataset, from its index; None when it is empty."""
    low, high = (
        conn.execute(
            sa.text(f"SELECT asset_id FROM item WHERE dataset_id = :d AND died IS NULL ORDER BY asset_id {way} LIMIT 1"),
            {"d": dataset_id},
        ).scalar()
        for way in ("ASC", "DESC")
    )  # fmt: skip
    return None if low is None or high is None else (int(low), int(high))


def is_plain(conn: Connection, query: Query) -> bool:
    """True when the query is one of dataset and state: counted from the counters, paged in one index."""
    return plan(conn, query).plain


def count_items(conn: Connection, query: Query) -> int:
    """Number of pictures: from the counters when the query is plain, else counted."""
    p = plan(conn, query)
    if p.plain:
        sql = "SELECT coalesce(sum(n), 0) FROM counter WHERE dataset_id = :d AND label_id = 0"
        if "s" in p.args:
            sql += " AND state = :s"
        return int(conn.execute(sa.text(sql), dict(p.args)).scalar_one())
    sql = f"SELECT count(*) FROM item i {_JOIN if p.asset else ''}WHERE {p.where}"
    return int(conn.execute(sa.text(sql), dict(p.args)).scalar_one())


def anchors(conn: Connection, query: Query, every: int = 1000) -> list[int]:
    """Asset id of every `every`-th picture, found by skipping along the index: position k*every is after anchor k-1."""
    p = plan(conn, query)
    statement = sa.text(
        f"SELECT i.asset_id FROM item i {_JOIN if p.asset else ''}WHERE {p.where} AND i.asset_id > :after ORDER BY i.asset_id LIMIT 1 OFFSET {every - 1}"
    )
    out: list[int] = []
    after: int | None = 0
    while (after := conn.execute(statement, {**p.args, "after": after}).scalar()) is not None:
        out.append(after)
    return out


def position(conn: Connection, query: Query, asset_id: int, *, after: int = 0) -> int:
    """Number of pictures of the query before this asset and behind asset `after`."""
    p = plan(conn, query)
    sql = f"SELECT count(*) FROM item i {_JOIN if p.asset else ''}WHERE {p.where} AND i.asset_id > :after AND i.asset_id < :a"
    return int(conn.execute(sa.text(sql), {**p.args, "a": asset_id, "after": after}).scalar_one())


_DATASET = (
    "SELECT d.id, d.uid, d.name, d.schema_code, "
    "(SELECT coalesce(sum(n), 0) FROM counter c WHERE c.dataset_id = d.id AND c.label_id = 0), "
    "(SELECT coalesce(sum(n), 0) FROM counter c WHERE c.dataset_id = d.id AND c.label_id = 0 AND c.state = 0), "
    "(SELECT coalesce(sum(n), 0) FROM counter c WHERE c.dataset_id = d.id AND c.label_id = 0 AND c.state = 1), "
    "(SELECT coalesce(sum(n), 0) FROM counter c WHERE c.dataset_id = d.id AND c.label_id = 0 AND c.state = 2), "
    "(SELECT tag FROM dataset_version v WHERE v.dataset_id = d.id ORDER BY v.id DESC LIMIT 1) FROM dataset d "
)


def _dataset(r: Sequence[Any]) -> DatasetRow:
    return DatasetRow(r[0], bytes(r[1]).hex(), r[2], r[3], int(r[4]), int(r[5]), int(r[6]), int(r[7]), r[8])


def datasets(conn: Connection) -> list[DatasetRow]:
    """Every dataset, oldest first."""
    return [_dataset(r) for r in conn.execute(sa.text(_DATASET + "ORDER BY d.id"))]


def dataset(conn: Connection, name_or_id: str | int) -> DatasetRow:
    """The dataset of this name or id; NotFound."""
    column = "id" if isinstance(name_or_id, int) else "name"
    row = conn.execute(sa.text(f"{_DATASET}WHERE d.{column} = :x"), {"x": name_or_id}).first()
    if row is None:
        raise NotFound(
            f"there is no dataset {name_or_id!r}", remedy="`lamproom ingest DIR --dataset NAME` makes one"
        )
    return _dataset(row)


_ASSET = (
    "SELECT s.id, s.uid, s.path, r.code, s.media_type, s.width_px, s.height_px, s.orientation, s.size_bytes, s.blake3, "
    "s.sha256, s.taken_ms FROM asset s JOIN source_root r ON r.id = s.source_root_id "
)


def asset(conn: Connection, asset_id: int) -> AssetRow:
    """The asset; NotFound."""
    r = conn.execute(sa.text(_ASSET + "WHERE s.id = :a"), {"a": asset_id}).first()
    if r is None:
        raise NotFound(f"there is no picture with the number {asset_id}")
    return AssetRow(*[r[0], bytes(r[1]).hex(), *r[2:9], bytes(r[9]).hex(), bytes(r[10]).hex(), r[11]])


def places(conn: Connection, asset_ids: Sequence[int]) -> dict[int, Place]:
    """Where the bytes of these assets lie, by asset id."""
    out: dict[int, Place] = {}
    for i in range(0, len(asset_ids), 500):
        ids = ",".join(map(str, asset_ids[i : i + 500]))
        rows = conn.exec_driver_sql(
            "SELECT s.id, r.location, s.path, s.disk_path, s.blake3 FROM asset s JOIN source_root r ON r.id = s.source_root_id "
            f"WHERE s.id IN ({ids})"
        )
        for a, location, path, disk, b3 in rows:
            out[a] = Place(bytes(location), path, bytes(disk) if disk is not None else None, bytes(b3))
    return out


def registered(conn: Connection, asset_ids: Sequence[int]) -> list[tuple[int, Place, bytes]]:
    """(asset id, where its bytes lie, SHA-256) of these assets, by id."""
    out = []
    for i in range(0, len(asset_ids), 500):
        ids = ",".join(map(str, asset_ids[i : i + 500]))
        rows = conn.exec_driver_sql(
            "SELECT s.id, r.location, s.path, s.disk_path, s.blake3, s.sha256 FROM asset s "
            f"JOIN source_root r ON r.id = s.source_root_id WHERE s.id IN ({ids}) ORDER BY s.id"
        )
        for a, location, path, disk, b3, sha256 in rows:
            place = Place(bytes(location), path, bytes(disk) if disk is not None else None, bytes(b3))
            out.append((a, place, bytes(sha256)))
    return out


_STORED = (
    "SELECT n.id, n.uid, n.asset_id, l.code, n.kind, n.x0, n.y0, n.x1, n.y1, n.geometry, n.attributes, n.score_micro, "
    "n.origin, n.activity_id, n.from_id, n.born, n.died FROM annotation n JOIN label l ON l.id = n.label_id "
)


def _stored(r: Sequence[Any]) -> Stored:
    (
        at,
        uid,
        asset,
        label,
        kind,
        x0,
        y0,
        x1,
        y1,
        shape,
        attributes,
        score,
        origin,
        activity,
        made_from,
        born,
        died,
    ) = r
    return Stored(
        at, uid.hex(), asset, label, KINDS[kind], None if x0 is None else (x0, y0, x1, y1), shape, attributes, score,
        ORIGINS[origin], activity, made_from, born, died,
    )  # fmt: skip


def live(conn: Connection, asset_id: int) -> list[Stored]:
    """Live annotations of an asset, by uid."""
    rows = conn.execute(
        sa.text(_STORED + "WHERE n.asset_id = :a AND n.died IS NULL ORDER BY n.uid"), {"a": asset_id}
    )
    return [_stored(r) for r in rows]


def marked(conn: Connection, lowest: int, highest: int, code: str) -> list[Stored]:
    """Live annotations on assets `lowest` to `highest` that have an attribute of this code, in the order of their rows."""
    sql = (
        _STORED
        + "WHERE n.asset_id BETWEEN :lo AND :hi AND n.died IS NULL AND n.attributes LIKE :m ORDER BY n.id"
    )
    args = {"lo": lowest, "hi": highest, "m": f'%"{code}":%'}
    return [_stored(r) for r in conn.execute(sa.text(sql), args)]


@dataclass(frozen=True, slots=True)
class News:
    """What became of an asset's annotations after a revision.

    Attributes:
        opened: rows opened since and live. closed: ids of rows closed since.
        count, newest_id: how many rows are live now, and the highest id of them (0 without any).
    """

    opened: list[Stored]
    closed: list[int]
    count: int
    newest_id: int


def since(conn: Connection, asset_id: int, rev: int) -> News:
    """The news of an asset after a revision; costs what changed, not what is there (count and newest id come from one
    index)."""
    at = {"a": asset_id, "r": rev}
    # `+` keeps SQLite off the index by asset, which would read every live row.
    opened = conn.execute(
        sa.text(_STORED + "WHERE n.born > :r AND +n.asset_id = :a AND n.died IS NULL ORDER BY n.uid"), at
    )
    closed = conn.execute(sa.text("SELECT id FROM annotation WHERE asset_id = :a AND died > :r"), at)
    count, newest = conn.execute(
        sa.text("SELECT count(*), coalesce(max(id), 0) FROM annotation WHERE asset_id = :a AND died IS NULL"),
        at,
    ).one()
    return News([_stored(r) for r in opened], [r[0] for r in closed], count, newest)


def at_revision(conn: Connection, asset_id: int, rev: int) -> list[Stored]:
    """Annotations of an asset as they were at a revision, by uid."""
    sql = (
        _STORED + "WHERE n.asset_id = :a AND n.born <= :r AND (n.died IS NULL OR n.died > :r) ORDER BY n.uid"
    )
    return [_stored(r) for r in conn.execute(sa.text(sql), {"a": asset_id, "r": rev})]


def sets_at(conn: Connection, asset_ids: Sequence[int], rev: int) -> Iterator[tuple[int, list[Stored]]]:
    """(asset id, annotations at a revision by uid) for every asset given, in ascending order of id, empty ones too."""
    for i in range(0, len(asset_ids), 500):
        part = sorted(asset_ids[i : i + 500])
        sql = (
            f"{_STORED}WHERE n.asset_id IN ({','.join(map(str, part))}) AND n.born <= {rev} "
            f"AND (n.died IS NULL OR n.died > {rev}) ORDER BY n.asset_id, n.uid"
        )
        found: dict[int, list[Stored]] = {a: [] for a in part}
        with conn.exec_driver_sql(sql) as rows:
            cursor: Any = rows.cursor  # the driver's own rows: half the time for very many
            for r in cursor.fetchall():
                found[r[2]].append(_stored(r))
        yield from found.items()


def facets(conn: Connection, dataset_id: int) -> list[LabelCount]:
    """Live annotations by label and origin, most first."""
    rows = conn.execute(
        sa.text(
            "SELECT l.code, c.origin, c.n FROM counter c JOIN label l ON l.id = c.label_id "
            "WHERE c.dataset_id = :d AND c.label_id <> 0 AND c.n > 0"
        ),
        {"d": dataset_id},
    )
    by_label: dict[str, list[int]] = {}
    for code, origin, n in rows:
        by_label.setdefault(code, [0] * len(ORIGINS))[origin] += n
    return sorted(
        (LabelCount(c, *n) for c, n in by_label.items()),
        key=lambda x: (-(x.n_human + x.n_model + x.n_import), x.label),
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """How many pictures are in a review state, with whom, holding what (one of ITEM_STATES)."""

    review: str
    assignee_id: int | None
    assignee: str | None
    state: str
    n: int


def standings(conn: Connection, dataset_id: int) -> list[Standing]:
    """Pictures by review state, person and content: those that are with somebody or beyond draft."""
    sql = (
        "SELECT i.review, i.assignee_id, g.name, i.state, count(*) FROM item i LEFT JOIN agent g ON g.id = i.assignee_id "
        "WHERE i.dataset_id = :d AND i.died IS NULL AND (i.review <> 0 OR i.assignee_id IS NOT NULL) "
        "GROUP BY i.review, i.assignee_id, g.name, i.state"
    )
    return [
        Standing(REVIEWS[r[0]], r[1], r[2], ITEM_STATES[r[3]], r[4])
        for r in conn.execute(sa.text(sql), {"d": dataset_id})
    ]

"""Where a dataset or one of its versions comes from: counted by source, activity, model and hand, read page by page.

The source files one by one are the manifest's facts; here they are counted, so memory stays flat at any size.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage import queries, record, versions
from storage.db import Database
from storage.lineage import activities
from storage.lineage.graph import MAX_LINKS, Graph, Lineage, time_text
from storage.record import MODEL
from storage.tables import OPS, SEEN
from storage.versions import Filter, Version

SESSIONS = 20
"""Activities of one kind and person above which they are told as one: a year of work is hundreds of sittings."""
_PART = 500


@dataclass(slots=True)
class _Counts:
    """What a dataset is made of. Keys are ids: (activity, root code), activity, (activity, earlier activity), (agent, verb)."""

    assets: Counter[tuple[int, str]] = field(default_factory=Counter)
    rows: Counter[int] = field(default_factory=Counter)
    ancestors: Counter[tuple[int, int]] = field(default_factory=Counter)
    hands: Counter[tuple[int, str]] = field(default_factory=Counter)
    reviews: Counter[tuple[int, str]] = field(default_factory=Counter)
    times: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)
    """First and last moment of a hand or a review, UTC ms."""

    def seen(self, agent_id: int, verb: str, first: int, last: int) -> None:
        low, high = self.times.get((agent_id, verb), (first, last))
        self.times[agent_id, verb] = min(low, first), max(high, last)


def of_version(db: Database, version: Version, *, root: str | None = None) -> Lineage:
    """A version: dataset, schema, and how many assets and annotations each activity, model, import and person gave.

    What was judged with it (evaluations) is told beside what it was made from.
    """
    graph = Graph()
    me = add_version(graph, version, root=root)
    dataset = graph.node(f"dataset.{version.dataset_id}", "entity", "dataset", version.dataset)
    graph.edge("used", f"activity.{version.activity_id}", dataset)
    graph.edge("wasDerivedFrom", me, dataset)
    schema = f"schema.{version.schema_code}@{version.schema_number}"
    graph.node(schema, "entity", "schema", f"{version.schema_code}@{version.schema_number}")
    graph.edge("wasDerivedFrom", me, schema)
    wanted = {version.activity_id} | _members(
        db, graph, dataset, version.dataset_id, version.rev, version.filter
    )
    with db.read() as conn:
        wanted |= activities.makers(conn, graph, "schema", schema.removeprefix("schema."), schema)
        _cleaned(conn, graph, dataset, version.dataset_id, version.dataset, version.rev)
        activities.add(conn, graph, _own(graph, wanted))
        _judged(conn, graph, me, version)
    return graph.done(me)


def of_dataset(db: Database, dataset: str) -> Lineage:
    """A dataset as it is now.

    Raises:
        NotFound: there is none of that name.
    """
    with db.read() as conn:
        data, rev = queries.dataset(conn, dataset), record.newest(conn)
    graph = Graph()
    me = graph.node(f"dataset.{data.id}", "entity", "dataset", data.name, revision=rev, assets=data.n_assets)
    wanted = _members(db, graph, me, data.id, rev, Filter(predictions=True))
    with db.read() as conn:
        number = conn.execute(
            sa.text("SELECT number FROM schema_version WHERE code = :c AND died IS NULL"),
            {"c": data.schema_code},
        ).scalar()
        if number is not None:
            name = f"{data.schema_code}@{number}"
            schema = graph.node(f"schema.{name}", "entity", "schema", name)
            graph.edge("wasDerivedFrom", me, schema)
            wanted |= activities.makers(conn, graph, "schema", name, schema)
        wanted |= activities.makers(conn, graph, "dataset", data.name, me)
        _cleaned(conn, graph, me, data.id, data.name, rev)
        activities.add(conn, graph, _own(graph, wanted))
    return graph.done(me)


def add_version(graph: Graph, version: Version, *, root: str | None = None) -> str:
    """The node of a version, with the edge to its freeze."""
    me = graph.node(f"version.{version.uid}", "entity", "version", version.ref, revision=version.rev, tag=version.tag,
                    filter=json.loads(version.filter.to_json()), root=root or version.root, at=time_text(version.at_ms))  # fmt: skip
    graph.edge("wasGeneratedBy", me, f"activity.{version.activity_id}")
    return me


def _members(db: Database, graph: Graph, me: str, dataset_id: int, rev: int, filter: Filter) -> set[int]:
    """Count what a dataset held at a revision, draw it, and return the activities that are still to be told."""
    counts = _Counts()
    for page in versions.member_pages(db, dataset_id, rev, filter):
        for i in range(0, len(page), _PART):
            with db.read() as conn:
                ids = ",".join(str(m.asset_id) for m in page[i : i + _PART])
                if ids:
                    _count_part(conn, ids, dataset_id, rev, filter, counts)
    merged = _Merged(
        db,
        graph,
        {a for a, _ in counts.assets} | set(counts.rows) | {a for pair in counts.ancestors for a in pair},
    )
    for (activity, code), n in sorted(counts.assets.items()):
        source = graph.node(f"source.{code}", "entity", "source", code)
        graph.edge("used", merged.node(activity), source, n)
        graph.edge("wasDerivedFrom", me, source, n)
        graph.edge("wasGeneratedBy", me, merged.node(activity), n)
    for activity, n in sorted(counts.rows.items()):
        graph.edge("wasInfluencedBy", me, merged.node(activity), n)
    for (activity, earlier), n in sorted(counts.ancestors.items()):
        if merged.node(activity) != merged.node(earlier):
            graph.edge("wasInformedBy", merged.node(activity), merged.node(earlier), n)
    _hands(db, graph, me, counts)
    return merged.alone


def _count_part(
    conn: Connection, ids: str, dataset_id: int, rev: int, filter: Filter, counts: _Counts
) -> None:
    for activity, code, n in conn.exec_driver_sql(
        "SELECT s.activity_id, r.code, count(*) FROM asset s JOIN source_root r ON r.id = s.source_root_id "
        f"WHERE s.id IN ({ids}) GROUP BY 1, 2"
    ):
        counts.assets[activity, code] += n
    lives = f"n.asset_id IN ({ids}) AND n.born <= {rev} AND (n.died IS NULL OR n.died > {rev})"
    lives += "" if filter.predictions else f" AND n.origin <> {MODEL}"
    for activity, agent, verb, n, first, last in conn.exec_driver_sql(
        "SELECT n.activity_id, c.agent_id, c.verb, count(*), min(c.at_ms), max(c.at_ms) FROM annotation n "
        f"JOIN change c ON c.rev = n.born WHERE {lives} GROUP BY 1, 2, 3"
    ):
        counts.rows[activity] += n
        counts.hands[agent, verb] += n
        counts.seen(agent, verb, first, last)
    for agent, verb, n, first, last in conn.exec_driver_sql(
        "SELECT c.agent_id, c.verb, count(*), min(c.at_ms), max(c.at_ms) FROM item i JOIN change c ON c.rev = i.born "
        f"WHERE i.asset_id IN ({ids}) AND i.dataset_id = {dataset_id} AND i.born <= {rev} AND i.review > 0 GROUP BY 1, 2"
    ):
        counts.reviews[agent, verb] += n
        counts.seen(agent, verb, first, last)
    # Up the chain of what each row was edited, accepted or copied from; a row has two parents at most.
    for activity, earlier, n in conn.exec_driver_sql(
        "WITH RECURSIVE up(child, parent) AS ("
        f"SELECT n.activity_id, n.from_id FROM annotation n WHERE {lives} AND n.from_id IS NOT NULL "
        f"UNION ALL SELECT n.activity_id, n.same_as FROM annotation n WHERE {lives} AND n.same_as IS NOT NULL "
        "UNION ALL SELECT p.activity_id, CASE WHEN k.w = 0 THEN p.from_id ELSE p.same_as END FROM up "
        "JOIN annotation p ON p.id = up.parent CROSS JOIN (SELECT 0 AS w UNION ALL SELECT 1) k "
        "WHERE CASE WHEN k.w = 0 THEN p.from_id ELSE p.same_as END IS NOT NULL) "
        "SELECT up.child, p.activity_id, count(*) FROM up JOIN annotation p ON p.id = up.parent "
        "WHERE p.activity_id <> up.child GROUP BY 1, 2"
    ):
        counts.ancestors[activity, earlier] += n


class _Merged:
    """Which node stands for an activity: its own, or that of many sittings of one person."""

    def __init__(self, db: Database, graph: Graph, ids: set[int]) -> None:
        self.alone = set(ids)
        self._nodes: dict[int, str] = {}
        groups: dict[tuple[str, int], list[tuple[int, int, int]]] = {}
        with db.read() as conn:
            for part in record.chunks(sorted(ids)):
                for r in conn.exec_driver_sql(
                    f"SELECT id, kind, agent_id, started_ms, ended_ms FROM activity WHERE id IN ({','.join(map(str, part))}) "
                    "AND kind IN ('edit', 'review')"
                ):
                    groups.setdefault((r[1], r[2]), []).append((r[0], r[3], r[4] or r[3]))
            for (kind, agent), found in groups.items():
                if len(found) <= SESSIONS:
                    continue
                this = graph.node(f"activities.{kind}.{agent}", "activity", kind, kind, n=len(found),
                                  started=time_text(min(f[1] for f in found)), ended=time_text(max(f[2] for f in found)))  # fmt: skip
                graph.edge("wasAssociatedWith", this, activities.agent(conn, graph, agent))
                self._nodes |= {f[0]: this for f in found}
                self.alone -= {f[0] for f in found}

    def node(self, activity: int) -> str:
        """The node's id."""
        return self._nodes.get(activity, f"activity.{activity}")


def _hands(db: Database, graph: Graph, me: str, counts: _Counts) -> None:
    """Who did what how often: objects by the verb that made them as they are, pictures by the verb of their review."""
    with db.read() as conn:
        for what, found in (("objects", counts.hands), ("pictures", counts.reviews)):
            for (agent, verb), n in sorted(found.items()):
                first, last = counts.times[agent, verb]
                this = graph.node(f"hand.{agent}.{what}.{verb.replace(' ', '_')}", "activity", "revisions", verb, verb=verb,
                                  what=what, n=n, started=time_text(first), ended=time_text(last))  # fmt: skip
                graph.edge("wasInfluencedBy", me, this, n)
                graph.edge("wasAssociatedWith", this, activities.agent(conn, graph, agent))


def _own(graph: Graph, ids: Iterable[int]) -> set[int]:
    return {i for i in ids if f"activity.{i}" not in graph.nodes}


def _cleaned(conn: Connection, graph: Graph, me: str, dataset_id: int, dataset: str, rev: int) -> None:
    """What was left out: files of equal bytes at ingest, pictures that cleaning took out up to a revision."""
    made: set[int] = set()
    for activity, done in conn.execute(
        sa.text(
            "SELECT j.activity_id, j.done FROM job j WHERE j.kind = 'clean' AND j.dataset_id = :d AND j.step <= :r "
            "AND NOT EXISTS (SELECT 1 FROM change c WHERE c.inverts = j.step AND c.op = :u AND c.rev <= :r "
            "AND NOT EXISTS (SELECT 1 FROM change b WHERE b.inverts = c.step AND b.rev <= :r)) ORDER BY j.id LIMIT :n"
        ),
        {"d": dataset_id, "r": rev, "n": MAX_LINKS, "u": OPS.index("undo")},
    ):
        graph.edge("wasInfluencedBy", me, f"activity.{activity}", done)
        made.add(activity)
    activities.add(conn, graph, made)
    for activity in conn.execute(
        sa.text("SELECT activity_id FROM link WHERE entity = 'dataset' AND ref = :d AND role = 'generated' LIMIT :n"),
        {"d": dataset, "n": MAX_LINKS},
    ).scalars().all():  # fmt: skip
        n = conn.execute(
            sa.text("SELECT count(*) FROM seen_file WHERE state = :s AND activity_id = :a"),
            {"s": SEEN.index("duplicate"), "a": activity},
        ).scalar_one()
        if n:
            node = graph.node(f"copies.activity.{activity}", "entity", "copies", f"{n}", kind="exact", n=n)
            graph.edge("wasDerivedFrom", me, node, n)
            graph.edge("used", f"activity.{activity}", node, n)
            activities.add(conn, graph, _own(graph, [activity]))


def _judged(conn: Connection, graph: Graph, me: str, version: Version) -> None:
    """Evaluations against the version, and those on its dataset from before it was frozen, newest first."""
    found = conn.execute(
        sa.text(
            "SELECT DISTINCT a.id FROM link k JOIN activity a ON a.id = k.activity_id WHERE a.kind = 'evaluate' AND k.role = 'used' "
            "AND ((k.entity = 'version' AND k.ref = :v) OR (k.entity = 'dataset' AND k.ref = :d AND a.id < :f)) "
            "ORDER BY a.id DESC LIMIT :n"
        ),
        {"v": version.uid, "d": version.dataset, "f": version.activity_id, "n": MAX_LINKS},
    ).scalars().all()  # fmt: skip
    for activity in found:
        with_version = conn.execute(
            sa.text("SELECT count(*) FROM link WHERE activity_id = :a AND entity = 'version' AND ref = :v"),
            {"a": activity, "v": version.uid},
        ).scalar_one()
        graph.edge("used", f"activity.{activity}", me if with_version else f"dataset.{version.dataset_id}")
    activities.add(conn, graph, _own(graph, found))

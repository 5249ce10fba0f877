"""What became of something: the datasets, versions, exports, packages, evaluations, jobs and models that hold or used it."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation.errors import NotFound
from storage import queries, versions
from storage.lineage import activities, sets
from storage.lineage.graph import MAX_LINKS, Graph, Lineage, time_text
from storage.lineage.pictures import add_asset
from storage.record import MODEL
from storage.tables import REVIEWS, SPLITS
from storage.versions import Version

MAX_NODES = 2_000
"""Descendants that are told; further ones are only counted at the node they hang on."""


def from_asset(conn: Connection, asset_id: int) -> Lineage:
    """The datasets and versions that hold a picture, what was derived from it, and what became of all those."""
    graph = Graph()
    me = add_asset(conn, graph, asset_id)
    _only(graph, me)
    _pictures_derived(conn, graph, me, asset_id)
    for one in _versions_of(conn, asset_id):
        this = sets.add_version(graph, one)
        graph.edge("wasDerivedFrom", this, me)
        _onward(conn, graph, "version", one.uid, this)
    for name, split, review in conn.execute(
        sa.text(
            "SELECT d.name, i.split, i.review FROM item i JOIN dataset d ON d.id = i.dataset_id "
            "WHERE i.asset_id = :a AND i.died IS NULL ORDER BY d.id"
        ),
        {"a": asset_id},
    ).all():
        data = queries.dataset(conn, name)
        this = graph.node(
            f"dataset.{data.id}",
            "entity",
            "dataset",
            name,
            split=SPLITS[split] or None,
            review=REVIEWS[review],
        )
        graph.edge("hadMember", this, me)
        for activity in _users(conn, graph, "dataset", name, this, kinds=("export",)):
            _made(conn, graph, activity)
    return graph.done(me, "forward")


def _pictures_derived(conn: Connection, graph: Graph, me: str, asset_id: int) -> None:
    found = conn.execute(
        sa.text("SELECT asset_id FROM derivation WHERE from_id = :a ORDER BY asset_id LIMIT :n"),
        {"a": asset_id, "n": MAX_LINKS},
    ).scalars().all()  # fmt: skip
    for child in found:
        this = add_asset(conn, graph, child)
        for one in _versions_of(conn, child):
            node = sets.add_version(graph, one)
            graph.edge("wasDerivedFrom", node, this)
            _onward(conn, graph, "version", one.uid, node)
        graph.edge("wasDerivedFrom", this, me)


def _only(graph: Graph, me: str) -> None:
    """Keep the picture alone: what it came from is the other direction."""
    graph.nodes = {me: graph.nodes[me]}
    graph.edges = {}


def _versions_of(conn: Connection, asset_id: int) -> list[Version]:
    """The versions whose manifest names the asset, oldest first."""
    out: list[Version] = []
    for dataset_id in conn.execute(
        sa.text("SELECT DISTINCT dataset_id FROM item WHERE asset_id = :a"), {"a": asset_id}
    ).scalars().all():  # fmt: skip
        out += (
            one
            for one in versions.listing(conn, dataset_id)
            if versions.chosen(conn, dataset_id, one.rev, [asset_id], one.filter).get(asset_id) is not None
        )
    return sorted(out, key=lambda v: v.id)


def from_annotation(conn: Connection, uid: str) -> Lineage:
    """The versions that hold an object, each with the state it has there.

    Raises:
        NotFound: no living object has that uid.
    """
    now = conn.execute(
        sa.text("SELECT id, asset_id FROM annotation WHERE uid = :u AND died IS NULL"),
        {"u": bytes.fromhex(uid)},
    ).first()
    if now is None:
        raise NotFound(
            f"no living object has the id {uid}",
            remedy="the lineage of its picture tells also what was deleted",
        )
    graph = Graph()
    rows = conn.execute(
        sa.text(
            "SELECT n.id, n.born, n.died, n.origin, l.code FROM annotation n JOIN label l ON l.id = n.label_id "
            "WHERE n.asset_id = :a AND n.uid = :u ORDER BY n.id"
        ),
        {"a": now[1], "u": bytes.fromhex(uid)},
    ).all()
    me = graph.node(f"annotation.{now[0]}", "entity", "annotation", rows[-1][4], uid=uid)
    for one in _versions_of(conn, now[1]):
        held = [r for r in rows if r[1] <= one.rev and (r[2] is None or r[2] > one.rev)]
        if held and (one.filter.predictions or held[0][3] != MODEL):
            this = sets.add_version(graph, one)
            graph.tell(this, object_row=held[0][0], object_as_now=held[0][0] == now[0])
            graph.edge("wasDerivedFrom", this, me)
            _onward(conn, graph, "version", one.uid, this)
    return graph.done(me, "forward")


def from_dataset(conn: Connection, dataset: str) -> Lineage:
    """The versions of a dataset, its exports and evaluations, and what became of them."""
    data = queries.dataset(conn, dataset)
    graph = Graph()
    me = graph.node(f"dataset.{data.id}", "entity", "dataset", data.name, assets=data.n_assets)
    for one in versions.listing(conn, data.id)[-MAX_LINKS:]:
        this = sets.add_version(graph, one)
        graph.edge("wasDerivedFrom", this, me)
        _onward(conn, graph, "version", one.uid, this)
    for activity in _users(conn, graph, "dataset", data.name, me, kinds=("export", "evaluate")):
        _made(conn, graph, activity)
    return graph.done(me, "forward")


def from_version(conn: Connection, version: Version) -> Lineage:
    """What a version went into: exports, packages, receipts, evaluations, jobs and the models they made."""
    graph = Graph()
    me = sets.add_version(graph, version)
    _onward(conn, graph, "version", version.uid, me)
    for hub, at in conn.execute(
        sa.text("SELECT hub, at_ms FROM receipt WHERE version_id = :v ORDER BY id LIMIT :n"),
        {"v": version.id, "n": MAX_LINKS},
    ).all():
        this = graph.node(f"receipt.{version.uid}.{at}", "entity", "receipt", hub, hub=hub, at=time_text(at))
        graph.edge("wasDerivedFrom", this, me)
    return graph.done(me, "forward")


def from_model(conn: Connection, sha256: str) -> Lineage:
    """The jobs a model ran in, the datasets and versions that hold what it said, and its evaluations."""
    graph = Graph()
    me = activities.model(conn, graph, bytes.fromhex(sha256))
    _onward(conn, graph, "model", sha256, me)
    return graph.done(me, "forward")


def from_package(conn: Connection, ref: str) -> Lineage:
    """What became of an exported folder or a published package, as far as the record knows."""
    graph = Graph()
    me = add_package(graph, ref)
    _onward(conn, graph, "package", ref, me)
    return graph.done(me, "forward")


def add_package(graph: Graph, ref: str) -> str:
    """The node of an export or a published package."""
    name, _, rest = ref.partition(" ")
    return graph.node(f"package.{ref}", "entity", "package", ref, of=name, what=rest or None)


def _onward(conn: Connection, graph: Graph, entity: str, ref: str, node: str) -> None:
    """All that used an entity, what that made, and so on."""
    for activity in _users(conn, graph, entity, ref, node):
        _made(conn, graph, activity)
        if entity == "model":
            _influenced(conn, graph, activity)


def _users(
    conn: Connection, graph: Graph, entity: str, ref: str, node: str, *, kinds: tuple[str, ...] = ()
) -> list[int]:
    """Activities that used an entity, newest last, put into the graph; those that are new there."""
    what = f"AND a.kind IN ({','.join(repr(k) for k in kinds)}) " if kinds else "AND a.kind <> 'freeze' "
    sql = (
        "FROM link k JOIN activity a ON a.id = k.activity_id WHERE k.role = 'used' AND k.entity = :e AND k.ref = :r "
        + what
    )
    found = (
        conn.execute(
            sa.text(f"SELECT DISTINCT a.id {sql}ORDER BY a.id LIMIT :n"),
            {"e": entity, "r": ref, "n": MAX_LINKS},
        )
        .scalars()
        .all()
    )
    if len(found) == MAX_LINKS:
        total = conn.execute(
            sa.text(f"SELECT count(DISTINCT a.id) {sql}"), {"e": entity, "r": ref}
        ).scalar_one()
        graph.tell(node, uses=total, uses_told=MAX_LINKS)
    fresh = [a for a in found if f"activity.{a}" not in graph.nodes]
    if len(graph.nodes) + len(fresh) > MAX_NODES:
        graph.tell(node, uses=len(found), uses_told=0)
        return []
    held = set(graph.nodes)
    activities.add(conn, graph, fresh)
    for other in set(graph.nodes) - held:  # what else it used is no descendant
        if graph.nodes[other].kind == "entity":
            del graph.nodes[other]
    for activity in found:
        graph.edge("used", f"activity.{activity}", node)
    return fresh


def _made(conn: Connection, graph: Graph, activity: int) -> None:
    """What an activity made, and what became of that."""
    for entity, ref in conn.execute(
        sa.text(
            "SELECT entity, ref FROM link WHERE activity_id = :a AND role = 'generated' ORDER BY id LIMIT :n"
        ),
        {"a": activity, "n": MAX_LINKS},
    ).all():
        if entity == "model":
            this = activities.model(conn, graph, bytes.fromhex(ref))
        elif entity == "package":
            this = add_package(graph, ref)
            _at_hub(graph, this, graph.nodes[f"activity.{activity}"].facts.get("params"))
        else:
            this = graph.node(f"{entity}.{ref}", "entity", entity, ref)
        new = not any(k[1] == this for k in graph.edges)
        graph.edge("wasGeneratedBy", this, f"activity.{activity}")
        if new:
            _onward(conn, graph, entity, ref, this)


def _at_hub(graph: Graph, package: str, params: object) -> None:
    """The hub that a package lies at, where its publishing names one."""
    hub = params.get("hub") if isinstance(params, Mapping) else None
    if isinstance(hub, str) and hub:
        graph.edge("wasAttributedTo", package, graph.node(f"hub.{hub}", "agent", "hub", hub))


def _influenced(conn: Connection, graph: Graph, activity: int) -> None:
    """The dataset a job of a model wrote to, and the versions that came after it."""
    for dataset_id, step, done in conn.execute(
        sa.text(
            "SELECT dataset_id, step, done FROM job WHERE activity_id = :a AND step IS NOT NULL AND dataset_id IS NOT NULL"
        ),
        {"a": activity},
    ).all():
        data = queries.dataset(conn, int(dataset_id))
        this = graph.node(f"dataset.{data.id}", "entity", "dataset", data.name)
        graph.edge("wasInfluencedBy", this, f"activity.{activity}", done)
        for one in versions.listing(conn, data.id)[-MAX_LINKS:]:
            if one.rev >= step:
                node = sets.add_version(graph, one)
                graph.edge("wasDerivedFrom", node, this)
                _onward(conn, graph, "version", one.uid, node)


def of_model(conn: Connection, sha256: str) -> tuple[Lineage, str | None]:
    """A model back to what made it, and the uid of the version it was trained on (None = it came from outside)."""
    graph = Graph()
    me = activities.model(conn, graph, bytes.fromhex(sha256))
    made = activities.makers(conn, graph, "model", sha256, me)
    return _with_version(conn, graph, me, made)


def of_package(conn: Connection, ref: str) -> tuple[Lineage, str | None]:
    """An export or a published package back to its version.

    Raises:
        NotFound: the record knows no such package.
    """
    graph = Graph()
    me = add_package(graph, ref)
    made = activities.makers(conn, graph, "package", ref, me)
    if not made:
        raise NotFound(
            f"the record knows no package {ref!r}",
            remedy="`lamproom lineage DATASET@TAG --forward` names them",
        )
    found = _with_version(conn, graph, me, made)
    for activity in made:
        _at_hub(graph, me, graph.nodes[f"activity.{activity}"].facts.get("params"))
    return graph.done(me), found[1]


def of_activity(conn: Connection, activity_id: int) -> tuple[Lineage, str | None]:
    """One activity with what it used.

    Raises:
        NotFound: there is none of that number.
    """
    if conn.execute(sa.text("SELECT 1 FROM activity WHERE id = :i"), {"i": activity_id}).first() is None:
        raise NotFound(f"there is no activity with the number {activity_id}")
    graph = Graph()
    return _with_version(conn, graph, f"activity.{activity_id}", {activity_id})


def _with_version(conn: Connection, graph: Graph, me: str, made: set[int]) -> tuple[Lineage, str | None]:
    activities.add(conn, graph, made)
    trained = None
    for activity in sorted(made):
        for entity, ref in conn.execute(
            sa.text(
                "SELECT entity, ref FROM link WHERE activity_id = :a AND role = 'used' AND entity IN ('version', 'dataset') ORDER BY id"
            ),
            {"a": activity},
        ).all():
            if entity == "version":
                row = versions.by_uid(conn, ref)
                if row is None:
                    continue
                this = sets.add_version(graph, row)
                trained = trained or ref
            else:
                data = queries.dataset(conn, ref)
                this = graph.node(f"dataset.{data.id}", "entity", "dataset", data.name)
            graph.edge("used", f"activity.{activity}", this)
    return graph.done(me), trained


def merged(first: Lineage, then: Lineage) -> Lineage:
    """One lineage with all that the other knows too."""
    nodes = {n.id: n for n in (*then.nodes, *first.nodes)}
    order = [n.id for n in first.nodes] + [
        n.id for n in then.nodes if n.id not in {m.id for m in first.nodes}
    ]
    edges = {(e.relation, e.source, e.target): e for e in (*first.edges, *then.edges)}
    return Lineage(first.subject, tuple(nodes[i] for i in order), tuple(edges.values()), first.direction)


def package_refs(conn: Connection, digest: str) -> list[str]:
    """Packages whose reference ends in a digest: published versions by their root."""
    rows = conn.execute(
        sa.text(
            "SELECT DISTINCT k.ref FROM link k JOIN dataset_version v ON v.root = :b JOIN dataset d ON d.id = v.dataset_id "
            "WHERE k.entity = 'package' AND k.ref = d.name || '@' || v.tag || ' ' || :h"
        ),
        {"b": bytes.fromhex(digest), "h": digest},
    )
    return list(rows.scalars())

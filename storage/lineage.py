"""Lineage read from the record: what an asset or a version was made from, by which activity, by whom (W3C PROV).

Nodes are entities (file, asset, annotation, model, schema, dataset, version, package), activities and agents. Edges point
back in time, with PROV's names. `to_prov` writes PROV-JSON for others; nothing here names a folder of this machine.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

import msgspec
import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.engine import Connection

from annotation.errors import NotFound
from storage import names, seal, versions
from storage.db import Database
from storage.record import MODEL
from storage.tables import KINDS, ORIGINS
from storage.versions import Version

Facts = Mapping[str, object]
MAX_LINKS = 200
"""Links of one activity that are listed; their number is always given."""


@dataclass(frozen=True, slots=True)
class Node:
    """Something that was, was done, or acted. kind: "entity", "activity" or "agent"; type: what sort of it."""

    id: str
    kind: str
    type: str
    title: str
    facts: Facts = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Edge:
    """`source` relation `target`, in PROV's words; n = how many annotations or assets it stands for."""

    relation: str
    source: str
    target: str
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """All ancestors of `subject` (a node's id), nodes first met first."""

    subject: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def of_type(self, *types: str) -> list[Node]:
        """Nodes of these types: "file", "model", "ingest", "person" …"""
        return [n for n in self.nodes if n.type in types]

    def to_json(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "subject": self.subject,
            "nodes": [{"id": n.id, "kind": n.kind, "type": n.type, "title": n.title, **({"facts": dict(n.facts)} if n.facts else {})}
                      for n in self.nodes],
            "edges": [{"relation": e.relation, "source": e.source, "target": e.target, **({"n": e.n} if e.n is not None else {})}
                      for e in self.edges],
        }  # fmt: skip


class _Graph:
    """Nodes and edges while they are collected; each once."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: dict[tuple[str, str, str], int | None] = {}

    def node(self, id: str, kind: str, type: str, title: str, **facts: object) -> str:
        if id not in self.nodes:
            kept = MappingProxyType({k: v for k, v in facts.items() if v is not None})
            self.nodes[id] = Node(id, kind, type, title, kept)
        return id

    def edge(self, relation: str, source: str, target: str, n: int | None = None) -> None:
        old = self.edges.get((relation, source, target))
        self.edges[relation, source, target] = n if old is None else old + (n or 0)

    def done(self, subject: str) -> Lineage:
        return Lineage(
            subject, tuple(self.nodes.values()), tuple(Edge(*key, n) for key, n in self.edges.items())
        )


def of_asset(conn: Connection, asset_id: int) -> Lineage:
    """An asset: its source file, how it came in, and every live annotation back to the model, import or hand it began with.

    Raises:
        NotFound: there is no such asset.
    """
    graph = _Graph()
    row = conn.execute(
        sa.text(
            "SELECT s.blake3, s.sha256, r.code, s.path, s.size_bytes, s.media_type, s.activity_id FROM asset s "
            "JOIN source_root r ON r.id = s.source_root_id WHERE s.id = :a"
        ),
        {"a": asset_id},
    ).first()
    if row is None:
        raise NotFound(f"there is no picture with the number {asset_id}")
    b3 = bytes(row[0]).hex()
    me = graph.node(f"asset.{b3}", "entity", "asset", f"{row[2]}/{row[3]}", asset_id=asset_id, blake3=b3,
                    sha256=bytes(row[1]).hex(), size_bytes=row[4], media_type=row[5])  # fmt: skip
    file = graph.node(f"file.{b3}", "entity", "file", f"{row[2]}/{row[3]}", root=row[2], path=row[3])
    graph.edge("wasDerivedFrom", me, file)
    activities = {row[6]}
    graph.edge("wasGeneratedBy", me, f"activity.{row[6]}")
    graph.edge("used", f"activity.{row[6]}", file)
    seen: set[int] = set()
    wanted = list(
        conn.execute(sa.text("SELECT id FROM annotation WHERE asset_id = :a AND died IS NULL ORDER BY uid"), {"a": asset_id})
        .scalars().all()
    )  # fmt: skip
    for row_id in wanted:
        graph.edge("wasDerivedFrom", f"annotation.{row_id}", me)
    while wanted:
        seen.update(wanted)
        above: list[int] = []
        for r in conn.exec_driver_sql(
            "SELECT n.id, n.uid, l.code, n.kind, n.origin, n.activity_id, n.from_id, n.same_as, n.score_micro, c.rev, c.verb, "
            "g.name, c.at_ms FROM annotation n JOIN label l ON l.id = n.label_id JOIN change c ON c.rev = n.born "
            f"JOIN agent g ON g.id = c.agent_id WHERE n.id IN ({','.join(map(str, wanted))}) ORDER BY n.id"
        ):
            this = graph.node(
                f"annotation.{r[0]}", "entity", "annotation", f"{r[2]} {KINDS[r[3]]}", uid=bytes(r[1]).hex(), label=r[2],
                origin=ORIGINS[r[4]], revision=r[9], verb=r[10], by=r[11], at=_time(r[12]),
                score=None if r[8] is None or r[4] != MODEL else r[8] / 1e6,
            )  # fmt: skip
            graph.edge("wasGeneratedBy", this, f"activity.{r[5]}")
            activities.add(r[5])
            for parent in {r[6], r[7]} - {None}:
                graph.edge("wasDerivedFrom", this, f"annotation.{parent}")
                if parent not in seen:
                    above.append(parent)
        wanted = sorted(set(above))
    _activities(conn, graph, activities)
    return graph.done(me)


def of_version(db: Database, version: Version, *, root: str | None = None) -> Lineage:
    """A version: dataset, schema, and how many assets and annotations each activity, model, import and person gave.

    Reads page by page. The source files one by one are the manifest's facts; here they are counted by source root.
    """
    graph = _Graph()
    me = graph.node(f"version.{version.uid}", "entity", "version", version.ref, revision=version.rev, tag=version.tag,
                    filter=json.loads(version.filter.to_json()), root=root or version.root, at=_time(version.at_ms))  # fmt: skip
    graph.edge("wasGeneratedBy", me, f"activity.{version.activity_id}")
    data = graph.node(f"dataset.{version.dataset_id}", "entity", "dataset", version.dataset)
    graph.edge("used", f"activity.{version.activity_id}", data)
    graph.edge("wasDerivedFrom", me, data)
    schema = f"schema.{version.schema_code}@{version.schema_number}"
    graph.node(schema, "entity", "schema", f"{version.schema_code}@{version.schema_number}")
    graph.edge("wasDerivedFrom", me, schema)
    assets: dict[tuple[int, str], int] = defaultdict(int)
    rows: dict[int, int] = defaultdict(int)
    ancestors: dict[tuple[int, int], int] = defaultdict(int)
    for page in versions.member_pages(db, version.dataset_id, version.rev, version.filter):
        with db.read() as conn:
            for i in range(0, len(page), 500):
                ids = ",".join(str(m.asset_id) for m in page[i : i + 500])
                _count_part(conn, ids, version, assets, rows, ancestors)
    for (activity, code), n in assets.items():
        root_id = graph.node(f"source.{code}", "entity", "source", code)
        graph.edge("used", f"activity.{activity}", root_id, n)
        graph.edge("wasDerivedFrom", data, root_id, n)
        graph.edge("wasGeneratedBy", data, f"activity.{activity}", n)
    for activity, n in rows.items():
        graph.edge("wasInfluencedBy", data, f"activity.{activity}", n)
    for (activity, earlier), n in ancestors.items():
        graph.edge("wasInformedBy", f"activity.{activity}", f"activity.{earlier}", n)
    wanted = (
        {version.activity_id} | {a for a, _ in assets} | set(rows) | {a for pair in ancestors for a in pair}
    )
    with db.read() as conn:
        made = conn.execute(
            sa.text("SELECT activity_id FROM link WHERE entity = 'schema' AND ref = :r AND role = 'generated'"),
            {"r": schema.removeprefix("schema.")},
        ).scalars().all()  # fmt: skip
        for activity in made:
            graph.edge("wasGeneratedBy", schema, f"activity.{activity}")
        _activities(conn, graph, wanted | set(made))
    return graph.done(me)


def _count_part(
    conn: Connection,
    ids: str,
    version: Version,
    assets: dict[tuple[int, str], int],
    rows: dict[int, int],
    ancestors: dict[tuple[int, int], int],
) -> None:
    if not ids:
        return
    for activity, code, n in conn.exec_driver_sql(
        "SELECT s.activity_id, r.code, count(*) FROM asset s JOIN source_root r ON r.id = s.source_root_id "
        f"WHERE s.id IN ({ids}) GROUP BY 1, 2"
    ):
        assets[activity, code] += n
    wanted = [
        (r[0], r[1], r[2], r[3])
        for r in conn.exec_driver_sql(
            f"SELECT id, activity_id, from_id, same_as FROM annotation WHERE asset_id IN ({ids}) AND born <= {version.rev} "
            f"AND (died IS NULL OR died > {version.rev})"
            + ("" if version.filter.predictions else f" AND origin <> {MODEL}")
        )
    ]
    for _, activity, _, _ in wanted:
        rows[activity] += 1
    while wanted:  # up the chain of what each row was edited, accepted or copied from
        child = {
            parent: activity for _, activity, *parents in wanted for parent in parents if parent is not None
        }
        wanted = []
        for part in (sorted(child)[i : i + 500] for i in range(0, len(child), 500)):
            for r in conn.exec_driver_sql(
                f"SELECT id, activity_id, from_id, same_as FROM annotation WHERE id IN ({','.join(map(str, part))})"
            ):
                wanted.append((r[0], r[1], r[2], r[3]))
                if r[1] != child[r[0]]:
                    ancestors[child[r[0]], r[1]] += 1


def _activities(conn: Connection, graph: _Graph, ids: Iterable[int]) -> None:
    """Nodes of activities with their agents, models and links, and of those they are a part of."""
    wanted = sorted(set(ids), reverse=True)
    seen = set(wanted)
    while wanted:
        activity_id = wanted.pop()
        r = conn.execute(
            sa.text(
                "SELECT a.uid, a.kind, g.id, g.kind, g.name, a.model_digest, a.params, a.started_ms, a.ended_ms "
                "FROM activity a JOIN agent g ON g.id = a.agent_id WHERE a.id = :i"
            ),
            {"i": activity_id},
        ).one()
        params = {k: v for k, v in json.loads(r[6]).items() if v is not None}
        if isinstance(params.get("sources"), list):  # raw names are kept as hex
            params["sources"] = [_readable(s) for s in params["sources"]]
        title = f"{r[1]} · {params['host']}" if isinstance(params.get("host"), str) else r[1]
        this = graph.node(f"activity.{activity_id}", "activity", r[1], title, uid=bytes(r[0]).hex(), started=_time(r[7]),
                          ended=None if r[8] is None else _time(r[8]), params=params or None,
                          **_runs(conn, bytes(r[0])))  # fmt: skip
        graph.node(f"agent.{r[2]}", "agent", r[3], r[4])
        graph.edge("wasAssociatedWith", this, f"agent.{r[2]}")
        if r[5] is not None:
            graph.edge("used", this, _model(conn, graph, bytes(r[5])))
        links = conn.execute(
            sa.text("SELECT role, entity, ref FROM link WHERE activity_id = :i ORDER BY id LIMIT :n"),
            {"i": activity_id, "n": MAX_LINKS},
        ).all()  # fmt: skip
        for role, entity, ref in links:
            if entity == "activity":  # one process of a job: of the job
                whole = conn.execute(
                    sa.text("SELECT id FROM activity WHERE uid = :u"), {"u": bytes.fromhex(ref)}
                ).scalar_one()
                graph.edge("wasInformedBy", this, f"activity.{whole}")
                if whole not in seen:
                    seen.add(whole)
                    wanted.append(whole)
            elif role == "used" and entity not in (
                "dataset",
                "model",
            ):  # those two have nodes of their own already
                title = seal.fingerprint(bytes.fromhex(ref)) if entity == "key" else ref
                graph.edge("used", this, graph.node(f"{entity}.{ref}", "entity", entity, title))


def _runs(conn: Connection, uid: bytes) -> dict[str, object]:
    """Which processes did an activity, where and with what; nothing when it was one."""
    rows = conn.execute(
        sa.text(
            "SELECT a.params FROM link l JOIN activity a ON a.id = l.activity_id "
            "WHERE l.entity = 'activity' AND l.ref = :u ORDER BY a.id"
        ),
        {"u": uid.hex()},
    ).scalars().all()  # fmt: skip
    if not rows:
        return {}
    told = [json.loads(r) for r in rows[:MAX_LINKS]]
    kept = [{k: t[k] for k in ("shard", "host", "provider", "runtime") if t.get(k) is not None} for t in told]
    return {"runs": kept, "n_runs": len(rows)}


def _readable(source: object) -> object:
    try:
        return names.readable(bytes.fromhex(str(source)))
    except ValueError:
        return source


def _model(conn: Connection, graph: _Graph, sha256: bytes) -> str:
    row = conn.execute(
        sa.text("SELECT name, card FROM onnx_model WHERE sha256 = :s ORDER BY id DESC LIMIT 1"), {"s": sha256}
    ).first()
    card = json.loads(row[1]) if row else {}
    told = {k: card[k] for k in ("task", "family", "licence", "producer", "note") if card.get(k)}
    digest = sha256.hex()
    return graph.node(
        f"model.{digest}", "entity", "model", row[0] if row else digest[:16], sha256=digest, **told
    )


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# -- PROV-JSON -------------------------------------------------------------------------------------------------------

_ENDS: Mapping[str, tuple[str, str]] = {
    "used": ("prov:activity", "prov:entity"),
    "wasGeneratedBy": ("prov:entity", "prov:activity"),
    "wasAssociatedWith": ("prov:activity", "prov:agent"),
    "wasDerivedFrom": ("prov:generatedEntity", "prov:usedEntity"),
    "wasInfluencedBy": ("prov:influencee", "prov:influencer"),
    "wasInformedBy": ("prov:informed", "prov:informant"),
}


def to_prov(lineage: Lineage, *, workspace_uid: str) -> bytes:
    """The lineage as a PROV-JSON document (W3C submission of 2013), stable for equal lineage.

    Args:
        workspace_uid: tells ids of one workspace from those of another.
    """
    local = {n.id: f"lr:{_local(n)}" for n in lineage.nodes}
    document: dict[str, dict[str, object]] = {
        "prefix": {"lr": f"urn:lamproom:{workspace_uid}:", "xsd": "http://www.w3.org/2001/XMLSchema#"},
        "entity": {}, "activity": {}, "agent": {},
    }  # fmt: skip
    for node in lineage.nodes:
        told: dict[str, object] = {"prov:type": f"lr:{node.type}", "prov:label": _public(node.title)}
        for key, value in node.facts.items():
            told[_TIMES.get(key, f"lr:{key}") if node.kind == "activity" else f"lr:{key}"] = _plain(value)
        if node.type in ("person", "software"):
            told["prov:type"] = "prov:Person" if node.type == "person" else "prov:SoftwareAgent"
        document[node.kind][local[node.id]] = told
    counts: dict[str, int] = defaultdict(int)
    for edge in lineage.edges:
        ends = _ENDS[edge.relation]
        counts[edge.relation] += 1
        told = {ends[0]: local[edge.source], ends[1]: local[edge.target]}
        if edge.n is not None:
            told["lr:count"] = edge.n
        document.setdefault(edge.relation, {})[f"_:{edge.relation}{counts[edge.relation]}"] = told
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


_TIMES = {"started": "prov:startTime", "ended": "prov:endTime"}


def _plain(value: object) -> object:
    """An attribute value of PROV-JSON is a literal; anything nested is given as JSON text."""
    value = _public(value)
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return value


def _public(value: object) -> object:
    """The value without folders of this machine: an absolute path is its last part. What is published is read by strangers."""
    match value:
        case str() if _ABSOLUTE.match(value):
            return re.split(r"[/\\\\]", value.rstrip("/\\"))[-1]
        case Mapping():
            return {k: _public(v) for k, v in value.items()}
        case list() | tuple():
            return [_public(v) for v in value]
        case _:
            return value


_ABSOLUTE = re.compile(r"/|\\\\|[A-Za-z]:[/\\]|file:|postgres(ql)?:")


def _local(node: Node) -> str:
    """A local name any PROV reader takes: the id where it is plain, else its type and a digest."""
    if re.fullmatch(r"[A-Za-z0-9._-]{1,120}", node.id):
        return node.id
    return f"{node.type}.{blake3(node.id.encode()).hexdigest()[:24]}"

"""A lineage as W3C PROV-JSON, for others: no folder of this machine, and no person's name unless it is asked for."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from blake3 import blake3

from annotation.errors import InvalidInput
from storage.lineage.graph import Edge, Lineage, Node

ENDS: Mapping[str, tuple[str, str]] = {
    "used": ("prov:activity", "prov:entity"),
    "wasGeneratedBy": ("prov:entity", "prov:activity"),
    "wasInvalidatedBy": ("prov:entity", "prov:activity"),
    "wasAssociatedWith": ("prov:activity", "prov:agent"),
    "wasAttributedTo": ("prov:entity", "prov:agent"),
    "wasDerivedFrom": ("prov:generatedEntity", "prov:usedEntity"),
    "wasInfluencedBy": ("prov:influencee", "prov:influencer"),
    "wasInformedBy": ("prov:informed", "prov:informant"),
    "hadMember": ("prov:collection", "prov:entity"),
}
"""Names of the two ends of each relation: `source`, `target`."""
_PEOPLE = frozenset({"by", "started_by", "assignee", "person", "reviewer"})
"""Facts and parameters that name a person."""
MAX_BYTES = 64 << 20
MAX_NODES = 20_000
"""What is read of a foreign lineage; ours of a version have some dozens of nodes."""
_NESTED = frozenset({"params", "runs", "wh", "files", "others", "filter"})
_TIMES = {"started": "prov:startTime", "ended": "prov:endTime"}
_AGENTS = {"person": "prov:Person", "software": "prov:SoftwareAgent"}


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
        told: dict[str, object] = {"prov:type": f"lr:{node.type}", "prov:label": public(node.title)}
        for key, value in node.facts.items():
            told[_TIMES.get(key, f"lr:{key}") if node.kind == "activity" else f"lr:{key}"] = _plain(value)
        if node.type in _AGENTS:
            told["prov:type"] = {"$": _AGENTS[node.type], "type": "prov:QUALIFIED_NAME"}
        document[node.kind][local[node.id]] = told
    counts: dict[str, int] = defaultdict(int)
    for edge in lineage.edges:
        ends = ENDS[edge.relation]
        counts[edge.relation] += 1
        told = {ends[0]: local[edge.source], ends[1]: local[edge.target]}
        if edge.n is not None and edge.relation != "hadMember":  # PROV lets a membership have no attributes
            told["lr:count"] = edge.n
        document.setdefault(edge.relation, {})[f"_:{edge.relation}{counts[edge.relation]}"] = told
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def from_prov(data: bytes, *, mark: str) -> Lineage:
    """A lineage from PROV-JSON that `to_prov` wrote, perhaps in another workspace; its subject is the first entity.

    Args:
        data: foreign: bounded, and nothing in it is taken for more than text. mark: put before every id, so that ids of
            two workspaces stay apart.

    Raises:
        InvalidInput: it is none, or too large.
    """
    if len(data) > MAX_BYTES:
        raise InvalidInput("the lineage is too large", remedy=f"at most {MAX_BYTES >> 20} MB are read")
    try:
        document = msgspec.json.decode(data, type=dict[str, dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"no PROV-JSON: {str(error)[:200]}") from None
    nodes: dict[str, Node] = {}
    for kind in ("entity", "activity", "agent"):
        for name, told in document.get(kind, {}).items():
            if len(nodes) >= MAX_NODES or not isinstance(told, dict):
                raise InvalidInput("the lineage is too large or no PROV-JSON of ours")
            nodes[name] = _node(f"{mark}.{name}", kind, told)
    edges = []
    for relation, ends in ENDS.items():
        for told in document.get(relation, {}).values():
            source, target = (told.get(end) if isinstance(told, dict) else None for end in ends)
            if isinstance(source, str) and isinstance(target, str) and source in nodes and target in nodes:
                n = told.get("lr:count")
                edges.append(
                    Edge(relation, nodes[source].id, nodes[target].id, n if isinstance(n, int) else None)
                )
    if not document.get("entity") or len(edges) > MAX_NODES * 20:
        raise InvalidInput("the lineage is too large or no PROV-JSON of ours")
    return Lineage(next(iter(nodes.values())).id, tuple(nodes.values()), tuple(edges))


def _node(id: str, kind: str, told: Mapping[str, object]) -> Node:
    said = told.get("prov:type")
    type = said.get("$") if isinstance(said, Mapping) else said
    type = {v: k for k, v in _AGENTS.items()}.get(str(type), str(type).removeprefix("lr:"))[:60]
    back = {v: k for k, v in _TIMES.items()}
    facts: dict[str, object] = {}
    for key, value in told.items():
        name = back.get(key, key.removeprefix("lr:"))
        if not key.startswith("prov:") or key in back:
            facts[name] = (
                _unfolded(value)
                if name in _NESTED
                else value
                if isinstance(value, str | int | float)
                else str(value)
            )
    return Node(id, kind, type, str(told.get("prov:label", ""))[:400], facts)


def _unfolded(value: object) -> object:
    """What `_plain` gave as JSON text."""
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def without_names(lineage: Lineage) -> Lineage:
    """The same with every person called "person 1", "person 2" …, in the order in which they entered the record."""
    people = sorted((n for n in lineage.nodes if n.type == "person"), key=lambda n: (len(n.id), n.id))
    alias = {n.title: f"person {i}" for i, n in enumerate(people, 1)}

    def hidden(value: object, key: str = "") -> object:
        match value:
            case str() if key in _PEOPLE:
                return alias.get(value, "a person")
            case Mapping():
                return {k: hidden(v, str(k)) for k, v in value.items()}
            case list() | tuple():
                return [hidden(v, key) for v in value]
            case _:
                return value

    nodes = tuple(
        Node(n.id, n.kind, n.type, alias[n.title] if n.type == "person" else n.title,
             {k: hidden(v, k) for k, v in n.facts.items()})
        for n in lineage.nodes
    )  # fmt: skip
    edges = tuple(Edge(e.relation, e.source, e.target, e.n) for e in lineage.edges)
    return Lineage(lineage.subject, nodes, edges, lineage.direction)


def _plain(value: object) -> object:
    """An attribute value of PROV-JSON is a literal; anything nested is given as JSON text."""
    value = public(value)
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return value


def public(value: object) -> object:
    """The value without folders of this machine: an absolute path is its last part. What is published is read by strangers."""
    match value:
        case str() if _ABSOLUTE.match(value):
            return re.split(r"[/\\\\]", value.rstrip("/\\"))[-1]
        case Mapping():
            return {k: public(v) for k, v in value.items()}
        case list() | tuple():
            return [public(v) for v in value]
        case _:
            return value


_ABSOLUTE = re.compile(r"/|\\\\|[A-Za-z]:[/\\]|file:|postgres(ql)?:")


def _local(node: Node) -> str:
    """A local name any PROV reader takes: the id where it is plain, else its type and a digest."""
    if re.fullmatch(r"[A-Za-z0-9._-]{1,120}", node.id):
        return node.id
    return f"{node.type}.{blake3(node.id.encode()).hexdigest()[:24]}"

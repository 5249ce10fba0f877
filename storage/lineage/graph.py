"""The graph of a lineage: nodes, edges that point back in time with the words of W3C PROV, and how it is collected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

Facts = Mapping[str, object]
Direction = Literal["back", "forward"]
MAX_LINKS = 200
"""Links of one activity, members of one group, uses of one thing that are listed; their number is always given."""


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
    """All ancestors ("back") or descendants ("forward") of `subject` (a node's id), nodes first met first.

    Edges point back in time either way: a descendant's edge leads to what it was made from.
    """

    subject: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    direction: Direction = "back"

    def of_type(self, *types: str) -> list[Node]:
        """Nodes of these types: "file", "model", "ingest", "person" …"""
        return [n for n in self.nodes if n.type in types]

    def to_json(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "subject": self.subject,
            "direction": self.direction,
            "nodes": [{"id": n.id, "kind": n.kind, "type": n.type, "title": n.title, **({"facts": dict(n.facts)} if n.facts else {})}
                      for n in self.nodes],
            "edges": [{"relation": e.relation, "source": e.source, "target": e.target, **({"n": e.n} if e.n is not None else {})}
                      for e in self.edges],
        }  # fmt: skip


class Graph:
    """Nodes and edges while they are collected; each once."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: dict[tuple[str, str, str], int | None] = {}

    def node(self, id: str, kind: str, type: str, title: str, /, **facts: object) -> str:
        """Put a node in, unless it is there; its id. Facts that are None are left out."""
        if id not in self.nodes:
            kept = MappingProxyType({k: v for k, v in facts.items() if v is not None})
            self.nodes[id] = Node(id, kind, type, title, kept)
        return id

    def tell(self, id: str, /, **facts: object) -> None:
        """Add facts to a node that is there."""
        old = self.nodes[id]
        kept = MappingProxyType({**old.facts, **{k: v for k, v in facts.items() if v is not None}})
        self.nodes[id] = Node(old.id, old.kind, old.type, old.title, kept)

    def edge(self, relation: str, source: str, target: str, n: int | None = None) -> None:
        """Put an edge in; the numbers of equal edges are added up."""
        old = self.edges.get((relation, source, target))
        self.edges[relation, source, target] = n if old is None else old + (n or 0)

    def done(self, subject: str, direction: Direction = "back") -> Lineage:
        """The lineage of a node; edges to what was not told are left out."""
        edges = tuple(
            Edge(*key, n) for key, n in self.edges.items() if key[1] in self.nodes and key[2] in self.nodes
        )
        return Lineage(subject, tuple(self.nodes.values()), edges, direction)


def time_text(ms: int) -> str:
    """UTC milliseconds as ISO 8601."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""A lineage in words: each node as one line, the whole as an indented tree; in the language in use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.i18n import tr
from storage.lineage import Edge, Lineage, Node
from storage.lineage.graph import time_text

FAN = 8
"""Nodes of one type under one relation that are listed; the others are counted."""
BACK = {
    "wasDerivedFrom": "derived from", "wasGeneratedBy": "made by", "used": "uses", "wasInformedBy": "part of",
    "wasAssociatedWith": "done by", "wasAttributedTo": "belongs to", "wasInfluencedBy": "shaped by",
    "wasInvalidatedBy": "ended by", "hadMember": "holds",
}  # fmt: skip
"""What an edge is called read from its source."""
FORWARD = {
    "wasDerivedFrom": "went into", "wasGeneratedBy": "gave", "used": "used by", "wasInformedBy": "had as a part",
    "wasAssociatedWith": "did", "wasAttributedTo": "of", "wasInfluencedBy": "shaped", "wasInvalidatedBy": "ended",
    "hadMember": "is in",
}  # fmt: skip
"""What an edge is called read from its target."""
_ORDER = ("wasDerivedFrom", "wasAttributedTo", "wasGeneratedBy", "wasInfluencedBy", "hadMember", "wasInvalidatedBy", "used",
          "wasInformedBy", "wasAssociatedWith")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Branch:
    """One line of the tree.

    Attributes:
        node: None = `hidden` more of the same sort follow that are not listed.
        relation: how it hangs on the line above, in words; "" for the subject. n: how many things the edge stands for.
        again: told above already, with all below it.
    """

    depth: int
    node: Node | None
    relation: str = ""
    n: int | None = None
    again: bool = False
    hidden: int = 0
    type: str = ""


def neighbours(found: Lineage) -> Mapping[str, list[tuple[str, Edge, str]]]:
    """Node id -> (word, edge, the other node's id) as the tree goes on from it.

    Who acted stands in the line of what they did. What hangs on the subject from the other side (its objects, what judged it)
    comes after what it is made of.
    """
    kinds = {n.id: n for n in found.nodes}
    out: dict[str, list[tuple[str, Edge, str]]] = defaultdict(list)
    forward = found.direction == "forward"
    for e in found.edges:
        if e.relation == "wasAssociatedWith" and kinds[e.target].type in ("person", "software", "model"):
            continue
        if not forward or kinds[e.target].kind == "agent":
            out[e.source].append((BACK[e.relation], e, e.target))
        else:
            out[e.target].append((FORWARD[e.relation], e, e.source))
    for links in out.values():
        links.sort(key=lambda x: _ORDER.index(x[1].relation))
    if not forward:
        reached, todo = {found.subject}, [found.subject]
        while todo:
            for _, _, other in out.get(todo.pop(), ()):
                if other not in reached:
                    reached.add(other)
                    todo.append(other)
        below = {e.target for e in found.edges if e.source not in reached}  # told under the newer ones
        beside = [
            (FORWARD[e.relation] if e.relation != "wasDerivedFrom" else "has on it", e, e.source)
            for e in found.edges
            if e.target in reached and e.source not in reached and e.source not in below
        ]
        held = {e.source: e.target for _, e, _ in reversed(beside)}
        for word, e, other in beside:
            if held[other] == e.target:
                out[e.target].append((word, e, other))
    return out


def tree(found: Lineage, *, fan: int = FAN) -> Iterator[Branch]:
    """The lines of a lineage from its subject on, each node with all below it once."""
    nodes, links = {n.id: n for n in found.nodes}, neighbours(found)
    seen: set[str] = set()

    def below(id: str, depth: int, above: str) -> Iterator[Branch]:
        groups: dict[tuple[str, str], list[tuple[Edge, str]]] = {}
        for word, e, other in links.get(id, ()):
            if other in (above, found.subject):
                continue
            groups.setdefault((word, nodes[other].type), []).append((e, other))
        for (word, type), members in groups.items():
            for e, other in members[:fan]:
                again = other in seen
                seen.add(other)
                yield Branch(depth, nodes[other], word, e.n, again)
                if not again and depth < 40:
                    yield from below(other, depth + 1, id)
            if len(members) > fan:
                seen.update(o for _, o in members[fan:])
                yield Branch(depth, None, word, hidden=len(members) - fan, type=type)

    seen.add(found.subject)
    yield Branch(0, nodes[found.subject])
    yield from below(found.subject, 1, "")


def text(found: Lineage) -> str:
    """The tree as lines of text."""
    agents = actors(found)
    rows = list(tree(found))
    last = _last(rows)
    lines, open_ = [], [False] * 64
    for i, row in enumerate(rows):
        if row.depth:
            stem = "".join("│  " if open_[d] else "   " for d in range(1, row.depth))
            lines.append(f"{stem}{'└─ ' if last[i] else '├─ '}{line(row, agents)}")
            open_[row.depth] = not last[i]
        else:
            lines.append(line(row, agents))
    if len(rows) == 1:
        lines.append(
            f"   {tr('nothing was made of it yet') if found.direction == 'forward' else tr('nothing more is known')}"
        )
    return "\n".join(lines)


def _last(rows: list[Branch]) -> list[bool]:
    """Which rows have no later sister."""
    out, open_ = [False] * len(rows), [False] * 64
    for i in range(len(rows) - 1, -1, -1):
        depth = rows[i].depth
        out[i] = not open_[depth]
        open_[depth] = True
        open_[depth + 1 :] = [False] * (63 - depth)
    return out


def line(row: Branch, agents: Mapping[str, list[str]]) -> str:
    """One row in words."""
    relation = tr(row.relation) + " " if row.relation else ""
    if row.node is None:
        return f"{relation}… " + tr("{n} more: {type}", n=row.hidden, type=kind(row.type))
    parts = [
        f"{kind(row.node.type)} {title(row.node)}".strip(),
        *(["↑"] if row.again else details(row.node, agents)),
    ]
    if row.n is not None and not row.again:
        parts.insert(1, f"× {row.n}")
    return relation + " · ".join(p for p in parts if p)


def actors(found: Lineage) -> dict[str, list[str]]:
    """Who did each activity: node id -> names."""
    titles = {n.id: n.title for n in found.nodes if n.type in ("person", "software")}
    out: dict[str, list[str]] = defaultdict(list)
    for e in found.edges:
        if e.relation == "wasAssociatedWith" and e.target in titles:
            out[e.source].append(titles[e.target])
    return out


def kind(type: str) -> str:
    """What sort of node it is, in words."""
    return tr(_TYPES.get(type, type))


_TYPES = {
    "asset": "picture", "annotation": "object", "prelabel run": "run of the model", "foreign predictions": "predictions of a file", "likeness": "group of like pictures",
    "copies": "copies left out", "revision": "change", "revisions": "changes", "edit": "sitting", "source": "source folder",
    "key": "signing key",
}  # fmt: skip


def title(node: Node) -> str:
    """The node's name as people know it."""
    if node.type in ("revision", "revisions"):
        said = tr(str(node.facts.get("verb", node.title)))
        return f"{said} r{node.facts['revision']}" if "revision" in node.facts else said
    if node.kind == "activity":
        return node.title.partition(" · ")[2]  # the host it ran on
    if node.type == "likeness":
        return tr("{kind}, {n} pictures", kind=tr(str(node.facts["kind"])), n=node.facts["n"])
    if node.type == "annotation":
        label, _, shape = node.title.rpartition(" ")
        return f"{label} · {tr(shape)}" if label else node.title
    if node.type == "copies" and "files" not in node.facts:
        return ""
    return node.title


def details(node: Node, agents: Mapping[str, list[str]]) -> list[str]:
    """What a person wants to know of a node beside its name, short."""
    f: Any = node.facts
    out: list[str] = []
    out += agents.get(node.id, [])
    if node.type == "annotation":
        out += [tr(str(f.get("verb", "")))] if f.get("verb") else []
        if f.get("score") is not None:
            out.append(tr("score {score}", score=f"{f['score']:.2f}"))
        if f.get("closed"):
            out.append(tr("ended by {verb}", verb=tr(str(f["closed"]))))
    if "runs" in f:
        ran = sorted({str(r["provider"]) for r in f["runs"] if r.get("provider")})
        out += [tr("on {providers}", providers=", ".join(ran))] if ran else []
    params = f.get("params")
    if isinstance(params, Mapping):
        ran_on = params.get("provider")
        if node.type == "prelabel run" and ran_on:
            out.append(tr("on {providers}", providers=ran_on))
        if node.type == "evaluate":
            out += _judged(params)
        if node.type in ("export", "publish", "hub job"):
            out += [str(params[k]) for k in ("name", "format", "out", "hub", "runner") if params.get(k)]
    for key in ("review", "split", "assignee", "dataset", "known_by"):
        if f.get(key) and node.type != "likeness":
            out.append(tr(str(f[key])) if key in ("review", "known_by") else str(f[key]))
    if node.type == "likeness":
        out.append(tr("{n} taken out", n=f["removed"]))
    if f.get("wh"):
        out.append(f"{f['wh'][0]} × {f['wh'][1]}")
    if f.get("sha256"):
        out.append(f"SHA-256 {str(f['sha256'])[:16]}…")
    if f.get("root") and node.type == "version":
        out.append(f"BLAKE3 {str(f['root'])[:16]}…")
    when = f.get("started") or f.get("at") or f.get("taken")
    if isinstance(when, str):
        out.append(when[:16].replace("T", " "))
    return out


def _judged(params: Mapping[str, Any]) -> list[str]:
    out = []
    for m in params.get("models") or ():
        ap = m.get("ap")
        if ap:
            out.append(f"{m['name']} AP {ap[0]:.3f} [{max(0.0, ap[1]):.3f}, {min(1.0, ap[2]):.3f}]")
    if params.get("pictures") is not None:
        out.append(tr("{n} pictures", n=params["pictures"]))
    return out


def day(ms: int) -> str:
    """A day, UTC."""
    return time_text(ms)[:10]

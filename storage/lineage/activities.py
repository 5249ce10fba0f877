"""Activities in a lineage: who did them, with which model, where, on what, and of which larger work they are a part."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage import names, seal
from storage.lineage.graph import MAX_LINKS, Graph, time_text

_OWN_NODE = frozenset({"dataset", "model", "version"})
"""Entities that have a node of their own wherever they matter; a link to one is no file."""


def add(conn: Connection, graph: Graph, ids: Iterable[int], *, only: Collection[str] = ()) -> None:
    """Nodes of activities with their agents, models and links, and of those they are a part of.

    Args:
        only: kinds of activities that are told; () = all.
    """
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
        if only and r[1] not in only:
            continue
        told = facts(r[1], json.loads(r[6]))
        title = f"{r[1]} · {told['host']}" if isinstance(told.get("host"), str) else r[1]
        this = graph.node(f"activity.{activity_id}", "activity", r[1], title, uid=bytes(r[0]).hex(), started=time_text(r[7]),
                          ended=None if r[8] is None else time_text(r[8]), params=told or None,
                          **_runs(conn, bytes(r[0])))  # fmt: skip
        graph.node(f"agent.{r[2]}", "agent", r[3], r[4])
        graph.edge("wasAssociatedWith", this, f"agent.{r[2]}")
        if r[5] is not None:
            graph.edge("used", this, model(conn, graph, bytes(r[5])))
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
            elif role == "used" and entity == "model":
                graph.edge("used", this, model(conn, graph, bytes.fromhex(ref)))
            elif role == "used" and entity not in _OWN_NODE:
                title = seal.fingerprint(bytes.fromhex(ref)) if entity == "key" else ref
                graph.edge("used", this, graph.node(f"{entity}.{ref}", "entity", entity, title))


def facts(kind: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked of an activity, for people: raw names are made readable, a whole report is its few figures."""
    if kind == "evaluate" and "models" in params:
        return _judged(params)
    told = {k: v for k, v in params.items() if v is not None}
    if isinstance(told.get("sources"), list):  # raw names are kept as hex
        told["sources"] = [_readable(s) for s in told["sources"]]
    return told


def _judged(report: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation's figures: what was judged against what, on how many pictures; AP and AP50 with 95 % intervals."""
    against = report.get("against") or {}
    return {
        "dataset": report.get("dataset"), "dataset_revision": report.get("dataset_revision"),
        "against": f"{against.get('kind', '')} {against.get('name') or ''}".strip(), "source": report.get("source"),
        "iou": report.get("iou"), "pictures": (report.get("pictures") or {}).get("counted"),
        "models": [{"name": m.get("name"), "sha256": m.get("sha256"), "ap": m.get("ap"), "ap50": m.get("ap50")}
                   for m in report["models"]],
    }  # fmt: skip


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


def model(conn: Connection, graph: Graph, sha256: bytes) -> str:
    """The node of a model: its name here, its digest and what its card tells."""
    digest = sha256.hex()
    if f"model.{digest}" in graph.nodes:
        return f"model.{digest}"
    row = conn.execute(
        sa.text("SELECT name, card, added_ms FROM onnx_model WHERE sha256 = :s ORDER BY id DESC LIMIT 1"),
        {"s": sha256},
    ).first()
    card = json.loads(row[1]) if row else {}
    told = {k: card[k] for k in ("task", "family", "licence", "producer", "note") if card.get(k)}
    if row:
        told["added"] = time_text(row[2])
    name = row[0] if row else _called(conn, sha256) or digest[:16]
    return graph.node(f"model.{digest}", "entity", "model", name, sha256=digest, **told)


def _called(conn: Connection, sha256: bytes) -> str | None:
    """What a model that was never here is called: by whose name its predictions came in."""
    found = conn.execute(
        sa.text(
            "SELECT g.name FROM activity v JOIN agent g ON g.id = v.agent_id WHERE v.model_digest = :s "
            "AND g.kind = 'model' ORDER BY v.id LIMIT 1"
        ),
        {"s": sha256},
    ).scalar()
    return None if found is None else str(found)


def agent(conn: Connection, graph: Graph, agent_id: int) -> str:
    """The node of who acted."""
    if f"agent.{agent_id}" not in graph.nodes:
        kind, name = conn.execute(
            sa.text("SELECT kind, name FROM agent WHERE id = :i"), {"i": agent_id}
        ).one()
        graph.node(f"agent.{agent_id}", "agent", kind, name)
    return f"agent.{agent_id}"


def makers(conn: Connection, graph: Graph, entity: str, ref: str, node: str) -> set[int]:
    """Edges from an entity to the activities that made it; their ids."""
    found = conn.execute(
        sa.text("SELECT activity_id FROM link WHERE entity = :e AND ref = :r AND role = 'generated' ORDER BY id LIMIT :n"),
        {"e": entity, "r": ref, "n": MAX_LINKS},
    ).scalars().all()  # fmt: skip
    for activity_id in found:
        graph.edge("wasGeneratedBy", node, f"activity.{activity_id}")
    return set(found)

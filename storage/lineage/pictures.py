"""Where a picture or one of its objects comes from: file, camera, ingest, copies, models, every hand that touched it, review."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.engine import Connection

from annotation.errors import NotFound
from storage.lineage import activities
from storage.lineage.graph import MAX_LINKS, Graph, Lineage, time_text
from storage.record import MODEL
from storage.tables import KINDS, LIKENESS, OPS, ORIGINS, REVIEWS, SEEN, SPLITS

MAX_ROWS = 2_000
"""Versions of objects of one picture that are told one by one, the newest; their number is always given."""

Cameras = Mapping[int, Mapping[str, str]]
"""Asset id -> what EXIF says of its camera: make, model, serial, lens; {} when it says nothing."""


def origins(conn: Connection, asset_id: int) -> list[int]:
    """The asset, what it was derived from, and so on."""
    out = [asset_id]
    while len(out) < MAX_LINKS:
        above = conn.execute(
            sa.text("SELECT from_id FROM derivation WHERE asset_id = :a"), {"a": out[-1]}
        ).scalar()
        if above is None or above in out:
            break
        out.append(above)
    return out


def of_asset(conn: Connection, asset_id: int, *, cameras: Cameras = MappingProxyType({})) -> Lineage:
    """An asset: its file, camera and ingest, the copies left out for it, its reviews, and every version of its objects.

    Args:
        cameras: what EXIF says, of the asset and of what it was derived from; the caller reads the files.

    Raises:
        NotFound: there is no such asset.
    """
    graph = Graph()
    me = add_asset(conn, graph, asset_id, cameras)
    rows = conn.execute(
        sa.text("SELECT id FROM annotation WHERE asset_id = :a ORDER BY (died IS NOT NULL), id DESC LIMIT :n"),
        {"a": asset_id, "n": MAX_ROWS},
    ).scalars().all()  # fmt: skip
    if len(rows) == MAX_ROWS:
        total = conn.execute(
            sa.text("SELECT count(*) FROM annotation WHERE asset_id = :a"), {"a": asset_id}
        ).scalar_one()
        graph.tell(me, object_versions=total, object_versions_told=MAX_ROWS)
    _objects(conn, graph, me, sorted(rows))
    _membership(conn, graph, asset_id, me)
    _recipe_regions(graph, me)
    return graph.done(me)


def of_annotation(conn: Connection, uid: str, *, cameras: Cameras = MappingProxyType({})) -> Lineage:
    """An object that lives: all its versions with who made and who closed each, and the picture it is on.

    Raises:
        NotFound: no living object has that uid.
    """
    row = conn.execute(
        sa.text("SELECT id, asset_id FROM annotation WHERE uid = :u AND died IS NULL"),
        {"u": bytes.fromhex(uid)},
    ).first()
    if row is None:
        raise NotFound(
            f"no living object has the id {uid}",
            remedy="the lineage of its picture tells also what was deleted",
        )
    graph = Graph()
    subject = f"annotation.{row[0]}"
    ids = (
        conn.execute(
            sa.text("SELECT id FROM annotation WHERE asset_id = :a AND uid = :u ORDER BY id"),
            {"a": row[1], "u": bytes.fromhex(uid)},
        )
        .scalars()
        .all()
    )
    me = add_asset(conn, graph, row[1], cameras)
    _objects(conn, graph, me, list(ids))
    _recipe_regions(graph, me)
    return graph.done(subject)


def add_asset(conn: Connection, graph: Graph, asset_id: int, cameras: Cameras = MappingProxyType({})) -> str:
    """The node of an asset with its file, camera, ingest, copies and what it was derived from."""
    row = conn.execute(
        sa.text(
            "SELECT s.blake3, s.sha256, r.code, s.path, s.size_bytes, s.media_type, s.activity_id, s.taken_ms, "
            "s.width_px, s.height_px FROM asset s JOIN source_root r ON r.id = s.source_root_id WHERE s.id = :a"
        ),
        {"a": asset_id},
    ).first()
    if row is None:
        raise NotFound(f"there is no picture with the number {asset_id}")
    b3, key = bytes(row[0]).hex(), f"{row[2]}/{row[3]}"
    me = graph.node(f"asset.{b3}", "entity", "asset", key, asset_id=asset_id, blake3=b3, sha256=bytes(row[1]).hex(),
                    size_bytes=row[4], media_type=row[5], wh=None if row[8] is None else [row[8], row[9]])  # fmt: skip
    file = graph.node(f"file.{b3}", "entity", "file", key, root=row[2], path=row[3],
                      taken=None if row[7] is None else time_text(row[7]))  # fmt: skip
    graph.edge("wasDerivedFrom", me, file)
    graph.edge("wasGeneratedBy", me, f"activity.{row[6]}")
    graph.edge("used", f"activity.{row[6]}", file)
    made = {row[6]}
    if camera := cameras.get(asset_id):
        name = " ".join(camera[k] for k in ("make", "model") if camera.get(k)) or camera.get(
            "serial", "camera"
        )
        mark = blake3(json.dumps(dict(camera), sort_keys=True).encode()).hexdigest()[:16]
        graph.node(f"camera.{mark}", "agent", "camera", name, known_by="EXIF", **camera)
        graph.edge("wasAttributedTo", file, f"camera.{mark}")
    origin = conn.execute(
        sa.text("SELECT from_id, activity_id, recipe FROM derivation WHERE asset_id = :a"), {"a": asset_id}
    ).first()
    if origin is not None:
        earlier = add_asset(conn, graph, origin[0], cameras)
        graph.edge("wasDerivedFrom", me, earlier)
        graph.edge("wasGeneratedBy", me, f"activity.{origin[1]}")
        graph.tell(me, recipe=origin[2])
        made.add(origin[1])
    activities.add(conn, graph, made)
    _copies(conn, graph, asset_id, me)
    return me


def _copies(conn: Connection, graph: Graph, asset_id: int, me: str) -> None:
    """Files of equal bytes that were left out for it, and the groups of like pictures that cleaning knows."""
    n = conn.execute(
        sa.text("SELECT count(*) FROM seen_file WHERE asset_id = :a AND state = :s"),
        {"a": asset_id, "s": SEEN.index("duplicate")},
    ).scalar_one()
    if n:
        told = conn.execute(
            sa.text(
                "SELECT r.code, f.path, f.activity_id FROM seen_file f JOIN source_root r ON r.id = f.source_root_id "
                "WHERE f.asset_id = :a AND f.state = :s ORDER BY f.id LIMIT :n"
            ),
            {"a": asset_id, "s": SEEN.index("duplicate"), "n": MAX_LINKS},
        ).all()
        node = graph.node(f"copies.{asset_id}", "entity", "copies", f"{n} × {told[0][0]}/{told[0][1]}" if n > 1 else f"{told[0][0]}/{told[0][1]}",
                          kind="exact", n=n, files=[f"{c}/{p}" for c, p, _ in told])  # fmt: skip
        graph.edge("wasDerivedFrom", me, node, n)
        for _, _, activity_id in told:
            graph.edge("used", f"activity.{activity_id}", node, 1)
        activities.add(conn, graph, {a for _, _, a in told})
    groups = conn.execute(
        sa.text(
            "SELECT d.id, d.name, l.kind, l.group_id, l.rank FROM dataset d JOIN likeness l ON l.dataset_id = d.id "
            f"AND l.kind IN ({','.join(map(str, range(len(LIKENESS))))}) AND l.asset_id = :a "
            "WHERE d.id IN (SELECT dataset_id FROM item WHERE asset_id = :a) ORDER BY d.id, l.kind"
        ),
        {"a": asset_id},
    ).all()
    for dataset_id, dataset, kind, group, rank in groups:
        _group(conn, graph, me, (dataset_id, dataset, kind, group, rank), asset_id)


def _group(
    conn: Connection, graph: Graph, me: str, one: tuple[int, str, int, int, int], asset_id: int
) -> None:
    dataset_id, dataset, kind, group, rank = one
    at = {"d": dataset_id, "k": kind, "g": group}
    where = "l.dataset_id = :d AND l.kind = :k AND l.group_id = :g"
    n = conn.execute(sa.text(f"SELECT count(*) FROM likeness l WHERE {where}"), at).scalar_one()
    others = conn.execute(
        sa.text(
            "SELECT s.id, r.code, s.path, l.rank, (SELECT c.activity_id FROM item i JOIN change c ON c.rev = i.died "
            "WHERE i.dataset_id = :d AND i.asset_id = s.id AND c.verb = 'clean' AND c.op <> :u ORDER BY i.id DESC LIMIT 1) "
            f"FROM likeness l JOIN asset s ON s.id = l.asset_id JOIN source_root r ON r.id = s.source_root_id WHERE {where} "
            "AND s.id <> :a ORDER BY l.rank LIMIT :n"
        ),
        {**at, "a": asset_id, "n": MAX_LINKS, "u": OPS.index("undo")},
    ).all()  # fmt: skip
    removed = [r for r in others if r[4] is not None]
    what = LIKENESS[kind]
    title = f"{what} · {n}"
    node = graph.node(f"likeness.{dataset_id}.{what}.{group}", "entity", "likeness", title, dataset=dataset, kind=what, n=n,
                      kept=rank <= 0, removed=len(removed),
                      others=[{"path": f"{r[1]}/{r[2]}", "asset_id": r[0], "removed": r[4] is not None} for r in others])  # fmt: skip
    graph.edge("wasInfluencedBy", me, node, n)
    for activity_id in sorted({r[4] for r in removed}):
        graph.edge(
            "wasInfluencedBy", node, f"activity.{activity_id}", sum(r[4] == activity_id for r in removed)
        )
    activities.add(conn, graph, {r[4] for r in removed})


_ROWS = (
    "SELECT n.id, n.uid, l.code, n.kind, n.origin, n.activity_id, n.from_id, n.same_as, n.score_micro, c.rev, c.verb, "
    "g.name, c.at_ms, c.agent_id, c.activity_id, c.op, n.died, e.verb, e.op, e.agent_id, e.at_ms, e.activity_id "
    "FROM annotation n JOIN label l ON l.id = n.label_id JOIN change c ON c.rev = n.born "
    "JOIN agent g ON g.id = c.agent_id LEFT JOIN change e ON e.rev = n.died "
)


def _objects(conn: Connection, graph: Graph, me: str, ids: list[int]) -> None:
    """Every version of the objects with these rows, what they were edited, accepted or copied from, and the hands."""
    made: set[int] = set()
    seen: set[int] = set()
    wanted = ids
    while wanted:
        seen.update(wanted)
        above: set[int] = set()
        for i in range(0, len(wanted), 500):
            part = ",".join(map(str, wanted[i : i + 500]))
            for r in conn.exec_driver_sql(f"{_ROWS}WHERE n.id IN ({part}) ORDER BY n.id"):
                _row(conn, graph, me, r, made)
                above |= {p for p in (r[6], r[7]) if p is not None and p not in seen}
        wanted = sorted(above)
    activities.add(conn, graph, made)


def _row(conn: Connection, graph: Graph, me: str, r: Any, made: set[int]) -> None:
    this = graph.node(
        f"annotation.{r[0]}", "entity", "annotation", f"{r[2]} {KINDS[r[3]]}", uid=bytes(r[1]).hex(), label=r[2],
        origin=ORIGINS[r[4]], revision=r[9], verb=r[10], by=r[11], at=time_text(r[12]),
        score=None if r[8] is None or r[4] != MODEL else r[8] / 1e6, closed=r[17], closed_revision=r[16],
    )  # fmt: skip
    graph.edge("wasDerivedFrom", this, me)
    graph.edge("wasGeneratedBy", this, _change(conn, graph, r[9], r[10], r[15], r[13], r[12]))
    graph.edge("wasInformedBy", f"revision.{r[9]}", f"activity.{r[5]}")
    graph.edge("wasInformedBy", f"revision.{r[9]}", f"activity.{r[14]}")
    made |= {r[5], r[14]}
    if r[17] is not None:
        graph.edge("wasInvalidatedBy", this, _change(conn, graph, r[16], r[17], r[18], r[19], r[20]))
        graph.edge("wasInformedBy", f"revision.{r[16]}", f"activity.{r[21]}")
        made.add(r[21])
    for parent in {r[6], r[7]} - {None}:
        graph.edge("wasDerivedFrom", this, f"annotation.{parent}")


def _change(conn: Connection, graph: Graph, rev: int, verb: str, op: int, agent_id: int, at_ms: int) -> str:
    """The node of one revision: a hand, what it did, when."""
    this = f"revision.{rev}"
    if this not in graph.nodes:
        title = f"{verb} r{rev}" if op == 0 else f"{OPS[op]} {verb} r{rev}"
        graph.node(this, "activity", "revision", title, revision=rev, verb=verb, op=OPS[op], started=time_text(at_ms),
                   ended=time_text(at_ms))  # fmt: skip
        graph.edge("wasAssociatedWith", this, activities.agent(conn, graph, agent_id))
    return this


def _membership(conn: Connection, graph: Graph, asset_id: int, me: str) -> None:
    """What people decided about the picture: joined, assigned, submitted, accepted, returned, taken out."""
    rows = conn.execute(
        sa.text(
            "SELECT d.name, i.split, i.review, w.name, c.rev, c.verb, c.op, c.agent_id, c.at_ms, c.activity_id, "
            "e.rev, e.verb, e.op, e.agent_id, e.at_ms, e.activity_id, "
            "(SELECT count(*) FROM item k WHERE k.dataset_id = i.dataset_id AND k.asset_id = i.asset_id AND k.born = i.died) "
            "FROM item i JOIN dataset d ON d.id = i.dataset_id JOIN change c ON c.rev = i.born "
            "LEFT JOIN change e ON e.rev = i.died LEFT JOIN agent w ON w.id = i.assignee_id "
            "WHERE i.asset_id = :a ORDER BY i.id LIMIT :n"
        ),
        {"a": asset_id, "n": MAX_ROWS},
    ).all()
    made: set[int] = set()
    for r in rows:
        this = _change(conn, graph, r[4], r[5], r[6], r[7], r[8])
        graph.tell(this, dataset=r[0], review=REVIEWS[r[2]], split=SPLITS[r[1]] or None, assignee=r[3])
        graph.edge("wasInfluencedBy", me, this)
        graph.edge("wasInformedBy", this, f"activity.{r[9]}")
        made.add(r[9])
        if r[10] is not None and not r[16]:  # it left, and nothing followed
            gone = _change(conn, graph, r[10], r[11], r[12], r[13], r[14])
            graph.tell(gone, left=r[0])
            graph.edge("wasInfluencedBy", me, gone)
            graph.edge("wasInformedBy", gone, f"activity.{r[15]}")
            made.add(r[15])
    activities.add(conn, graph, made)


def _recipe_regions(graph: Graph, me: str) -> None:
    """A fixed camera that a recipe has a region for: the pattern of paths is the camera, as far as the record knows it."""
    path = str(graph.nodes[me].title).partition("/")[2]
    for node in list(graph.nodes.values()):
        params = node.facts.get("params")
        recipe = params.get("recipe") if isinstance(params, Mapping) else None
        for region in recipe.get("regions", ()) if isinstance(recipe, Mapping) else ():
            if fnmatchcase(path, str(region.get("path", ""))):
                mark = blake3(str(region["path"]).encode()).hexdigest()[:16]
                this = graph.node(f"camera.{mark}", "agent", "camera", str(region["path"]), known_by="region of a recipe",
                                  path=region["path"], keep=region.get("keep"))  # fmt: skip
                graph.edge("wasAttributedTo", f"file.{me.removeprefix('asset.')}", this)
                break

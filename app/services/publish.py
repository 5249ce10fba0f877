"""Publish a version to a hub folder: manifest, media, label schema, lineage and a card; only what is missing is written."""

from __future__ import annotations

import os
from pathlib import Path

from blake3 import blake3

from annotation.errors import InvalidInput, NotFound
from app.events import Finished, Progress, Started, Warned, Work
from app.services import versions
from app.services.workspace import Workspace
from storage import blobs, keys, lineage, manifest, names, record, seal
from storage import versions as rows
from storage.hub import package as packages
from storage.hub import publish as publishing
from storage.hub import reading
from storage.hub.folder import FolderStore
from storage.hub.package import Package
from storage.hub.publish import Sent
from storage.manifest import Root
from storage.versions import Version


def run(ws: Workspace, ref: str, hub: Path) -> Work:
    """Send a version; interrupted or partly there, it goes on where it stopped. The root is written last.

    Args:
        ref: `dataset@tag`; its manifest is built first when it is not yet.
        hub: a hub folder, or a new or empty folder that becomes one.

    Raises:
        NotFound: no such version.
        Conflict: that tag is published there with another content, or somebody else is publishing there.
        InvalidInput: media are missing or changed since the freeze: each is a `Warned`, and no root is written.
    """
    version = versions.find(ws, ref)
    store = FolderStore(hub)
    publishing.prepare(store)
    yield from (e for e in versions.sealed(ws, version) if not isinstance(e, Finished))
    version, root = versions.load(ws, version)
    yield Started(f"publish {ref}", root.counts.assets)
    package = _package(ws, version, root)
    last = Sent(0, 0, 0, 0)
    try:
        for last in publishing.publish(
            store, package, lambda b3: blobs.get(ws.folder, b3), versions.media_of(ws)
        ):
            yield from (Warned(f.what, f.where) for f in last.faults)
            yield Progress(last.done, last.total)
    except NotFound as error:
        raise InvalidInput(
            f"a part of the manifest is missing: {error.line}", remedy=f"`lamproom verify {ref}`"
        ) from error
    published = reading.load(store, version.dataset, version.tag)
    with ws.db.write() as conn:
        told = {
            "version": ref,
            "hub": names.readable(os.fsencode(hub.name)),
            "objects": last.objects,
            "bytes": last.size,
        }
        activity = record.start_activity(conn, "publish", ws.person.id, told, open_=False)
        record.link(conn, activity, "used", "version", version.uid)
        record.link(conn, activity, "generated", "package", f"{ref} {published.digest}")
    yield Finished(
        {"version": ref, "root": published.digest, "hub": str(hub), "assets": root.counts.assets,
         "annotations": root.counts.objects, "objects_written": last.objects, "bytes_written": last.size,
         "key": seal.fingerprint(published.public)},
        problems=len(published.faults),
    )  # fmt: skip


def _package(ws: Workspace, version: Version, root: Root) -> Package:
    data = manifest.root_bytes(root)
    with ws.db.read() as conn:
        _, _, schema, _ = rows.schema_at(conn, version.schema_version_id)
    origin = lineage.of_version(ws.db, version)
    public = bytes.fromhex(version.public or "")
    documents = {
        "schema.toml": schema.encode(),
        "lineage.json": lineage.to_prov(origin, workspace_uid=ws.uid),
        "card.md": _card(version, root, blake3(data).hexdigest(), public, origin).encode(),
    }
    documents["statement.json"] = (version.statement or "").encode()
    key = keys.signing_key(ws)
    if seal.public_bytes(key) != public:
        raise InvalidInput(
            "the version was sealed with the key of another machine", where=version.ref,
            remedy="publish it from there, or freeze it again here under a new tag",
        )  # fmt: skip
    statement = packages.package_bytes(version.dataset, version.tag, data, documents)
    return Package(
        version.dataset,
        version.tag,
        data,
        bytes.fromhex(version.signature or ""),
        public,
        documents,
        key.sign(statement),
        bytes.fromhex(version.statement_signature or ""),
    )


def _card(version: Version, root: Root, digest: str, public: bytes, origin: lineage.Lineage) -> str:
    """What a data user reads first, in Chinese and English. Nothing in it depends on when or where it was published."""
    models = [
        f"{m.title} (sha256 {str(m.facts.get('sha256'))[:16]}…)"
        for m in origin.of_type("model")
        if m.kind == "entity"
    ]
    people = sorted({p.title for p in origin.of_type("person")})
    lines = [
        f"# {version.ref}",
        "",
        "| 项目 item | 值 value |",
        "|---|---|",
        f"| 图像 assets | {root.counts.assets} |",
        f"| 标注 annotations | {root.counts.objects} |",
        f"| 媒体字节 media bytes | {root.counts.size} |",
        f"| 标签体系 label schema | {root.schema.code}@{root.schema.number} (schema.toml) |",
        f"| 根摘要 root BLAKE3 | `{digest}` |",
        f"| 公钥指纹 key | `{seal.fingerprint(public)}` |",
        f"| 未经人工确认的预测 unaccepted predictions | {'含 included' if version.filter.predictions else '不含 none'} |",
        f"| 模型 models | {'; '.join(models) or '—'} |",
        f"| 人员 people | {', '.join(people) or '—'} |",
        "",
        "校验 Verify: `lamproom verify --hub HUB " + version.ref + "`，或 or "
        "`openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in root.json -sigfile root.sig`",
        "",
        "坐标为 1/1000 像素的整数，原点在校正方向后图像的左上角。"
        "Coordinates are integers of 1/1000 px, origin top-left after EXIF orientation.",
        "root.json 列出各块；每块的 facts、labels、sets 三个对象逐行对应同一图像。"
        "root.json lists the chunks; line i of a chunk's facts, labels and sets objects is the same picture. "
        "Objects lie in objects/ab/abcd… by their BLAKE3.",
        "",
    ]
    return "\n".join(lines)

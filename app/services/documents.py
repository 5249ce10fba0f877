"""The documents of a version: lineage, events, Croissant, quality report and data card; equal for equal records.

They name no folder of this machine, and no person unless that is asked for.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import sqlalchemy as sa
from blake3 import blake3

from annotation import labels
from annotation.errors import InvalidInput
from app.events import Event, Finished, Progress, Started, Work
from app.services import about as abouts
from app.services import croissant, datacard, openlineage, quality, qualityreport, versions
from app.services import lineage as lineages
from app.services.quality import Quality
from app.services.workspace import Workspace
from storage import blobs, files, lineage, manifest, policy, seal
from storage import versions as rows
from storage.lineage import Lineage
from storage.manifest import Root
from storage.policy import Tag
from storage.tables import SCOPES
from storage.versions import Version

LANGUAGES: Mapping[str, str] = {"zh": "zh_CN", "en": "en"}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a version: what its documents are written from."""

    facts: datacard.Facts
    root: Root
    quality: Quality
    origin: Lineage
    schema_text: str

    def report(self, language: str) -> bytes:
        """The quality report as HTML; language "zh" or "en"."""
        f = self.facts
        return qualityreport.html(self.quality, f.version, f.schema, language=LANGUAGES[language])

    def card(self, language: str, *, names: bool = False) -> bytes:
        """The data card as HTML."""
        return datacard.html(self.facts, language=LANGUAGES[language], names=names)


def known(ws: Workspace, version: Version, root: Root) -> Generator[Event, None, Known]:
    """Gather all of it: the lineage, the figures, what people said, the policy."""
    with ws.db.read() as conn:
        code, number, text, _ = rows.schema_at(conn, version.schema_version_id)
    schema = labels.loads(text, f"{code}@{number}")
    origin = lineages.of_version(ws, version)
    found: Quality | None = None
    for event in quality.measure(ws, version, schema):
        if isinstance(event, Finished):
            found = event.result["quality"]  # type: ignore[assignment]
        elif isinstance(event, Progress):
            yield Progress(event.done, event.total, "quality")
    assert found is not None
    data = manifest.root_bytes(root)
    facts = datacard.Facts(
        version, schema, found, origin, abouts.get(ws, version.dataset), _tag(ws, version), blake3(data).hexdigest(),
        seal.fingerprint(bytes.fromhex(version.public or "")), root.counts.size, _media_types(ws, root),
    )  # fmt: skip
    return Known(facts, root, found, origin, text)


def _tag(ws: Workspace, version: Version) -> Tag:
    """The strictest of the tags of the version and of all the sources its pictures come from."""
    with ws.db.read() as conn:
        tags = [
            policy.from_json(t)
            for t in conn.execute(
                sa.text(
                    "SELECT p.tag FROM policy p WHERE p.ended_ms IS NULL AND (p.scope = :v AND p.ref_id = :i OR p.scope = :s AND "
                    "p.ref_id IN (SELECT DISTINCT s.source_root_id FROM item m JOIN asset s ON s.id = m.asset_id WHERE m.dataset_id = :d))"
                ),
                {
                    "v": SCOPES.index("version"),
                    "i": version.id,
                    "s": SCOPES.index("source"),
                    "d": version.dataset_id,
                },
            ).scalars()
        ]
    return policy.strictest(tags)


def _media_types(ws: Workspace, root: Root) -> dict[str, int]:
    out: dict[str, int] = {}
    for chunk in root.chunks:
        for fact in manifest.facts(chunk, lambda b3: blobs.get(ws.folder, b3)):
            out[fact.media_type] = out.get(fact.media_type, 0) + 1
    return out


def made(
    ws: Workspace, version: Version, root: Root, *, names: bool = False
) -> Generator[Event, None, dict[str, bytes]]:
    """All documents of a package, by file name.

    Args:
        names: with people's names in lineage, events and card.
    """
    all_ = yield from known(ws, version, root)
    told = all_.origin if names else lineage.without_names(all_.origin)
    out = {
        "schema.toml": all_.schema_text.encode(),
        "lineage.json": lineage.to_prov(told, workspace_uid=ws.uid),
        "openlineage.jsonl": openlineage.of_lineage(ws, all_.origin, names=names),
        "card.md": markdown(all_.facts, root, names=names).encode(),
    }
    if version.statement:
        out["statement.json"] = version.statement.encode()
    for language in LANGUAGES:
        out[f"report.{language}.html"] = all_.report(language)
        out[f"card.{language}.html"] = all_.card(language, names=names)
    lines = croissant.records(root, lambda b3: blobs.get(ws.folder, b3))
    if lines is not None:
        out[croissant.RECORDS] = lines
    described = {**out, "root.json": manifest.root_bytes(root)}
    out[croissant.FILE] = croissant.of_package(
        version, root, all_.facts.schema, told, all_.facts.about, described
    )
    return out


def markdown(facts: datacard.Facts, root: Root, *, names: bool = False) -> str:
    """What a data user reads first, in Chinese and English, as plain text. Nothing in it depends on when it was published."""
    version, origin = facts.version, facts.origin
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
        f"| 根摘要 root BLAKE3 | `{facts.digest}` |",
        f"| 公钥指纹 key | `{facts.key}` |",
        f"| 未经人工确认的预测 unaccepted predictions | {'含 included' if version.filter.predictions else '不含 none'} |",
        f"| 模型 models | {'; '.join(models) or '—'} |",
        f"| 人员 people | {', '.join(people) if names else len(people)} |",
        "",
        "数据卡 data card: card.zh.html, card.en.html；质量报告 quality report: report.zh.html, report.en.html；"
        "谱系 lineage: lineage.json (W3C PROV), openlineage.jsonl；croissant.json (Croissant 1.1)",
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


def report(
    ws: Workspace,
    ref: str,
    out: Path,
    *,
    languages: tuple[str, ...] = ("zh", "en"),
    names: bool = False,
    about: Path | None = None,
) -> Work:
    """Write the quality report and the data card of a version into a folder, with the figures as JSON.

    Args:
        out: a folder; files of these names in it are written anew.
        about: a TOML file of what people say of the dataset (`about.FIELDS`); it is kept with the dataset.

    Raises:
        NotFound: no such version. InvalidInput: the folder cannot be written, or the file says what we do not know.
    """
    version = versions.find(ws, ref)
    if about is not None:
        abouts.put(ws, version.dataset, about)
    yield from (e for e in versions.sealed(ws, version) if not isinstance(e, Finished))
    version, root = versions.load(ws, version)
    yield Started(f"report {ref}", root.counts.assets)
    all_ = yield from known(ws, version, root)
    texts = {
        "quality.json": msgspec.json.format(msgspec.json.encode(all_.quality.to_json()), indent=1) + b"\n"
    }
    for language in languages:
        texts[f"report.{language}.html"] = all_.report(language)
        texts[f"card.{language}.html"] = all_.card(language, names=names)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, data in texts.items():
            files.write(out / name, data)
    except OSError as error:
        raise InvalidInput(
            "the folder cannot be written", where=str(out), remedy="name another place"
        ) from error
    yield Finished({"version": ref, "out": str(out), "files": sorted(texts)})

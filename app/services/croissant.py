"""A version as Croissant 1.1 (mlcommons.org/croissant): JSON-LD beside files that its own reader can open without a network.

Two layouts are described: the package at a hub, whose `records.jsonl` holds a line a picture, and the folder of a native export.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from annotation.formats import native
from annotation.labels import LabelSchema
from app.services import about as abouts
from app.services import lineagetext
from app.services.about import About
from app.services.workspace import Workspace
from storage import files, manifest
from storage import versions as rows
from storage.lineage import Lineage
from storage.manifest import Fact, Get, Labelled, Root
from storage.versions import Version

FILE = "croissant.json"
RECORDS = "records.jsonl"
RECORDS_BYTES = 16 << 20
"""Versions whose lines take more have no records.jsonl in their package: the chunk objects hold the same, at any size."""
_CONTEXT: Mapping[str, object] = {
    "@language": "en", "@vocab": "https://schema.org/", "arrayShape": "cr:arrayShape", "citeAs": "cr:citeAs", "column": "cr:column",
    "conformsTo": "dct:conformsTo", "containedIn": "cr:containedIn", "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"}, "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract", "field": "cr:field",
    "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject", "fileSet": "cr:fileSet", "format": "cr:format",
    "includes": "cr:includes", "isArray": "cr:isArray", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath",
    "key": "cr:key", "md5": "cr:md5", "name": {"@container": "@language"}, "parentField": "cr:parentField", "path": "cr:path",
    "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated",
    "replace": "cr:replace", "samplingRate": "cr:samplingRate", "sc": "https://schema.org/", "separator": "cr:separator",
    "source": "cr:source", "subField": "cr:subField", "transform": "cr:transform",
}  # fmt: skip
_PICTURE = (
    ("path", "sc:Text", "source code and path of the picture"), ("width", "sc:Integer", "px, after EXIF orientation"),
    ("height", "sc:Integer", "px, after EXIF orientation"), ("split", "sc:Text", "train, val, test or none"),
)  # fmt: skip
_BYTES = (
    ("sha256", "sc:Text", "SHA-256 of the picture's bytes"), ("blake3", "sc:Text", "BLAKE3 of the picture's bytes"),
    ("object", "sc:Text", "where these bytes lie in the hub"), ("size", "sc:Integer", "bytes"),
    ("type", "sc:Text", "media type"),
)  # fmt: skip
_OBJECT = (
    ("uid", "sc:Text", "the object, stable through every version"), ("label", "sc:Text", "code of the class"),
    ("kind", "sc:Text", "kind of shape"), ("bbox", "sc:Integer", "x0, y0, x1, y1 in 1/1000 px, origin top left"),
    ("origin", "sc:Text", "human, model or import"), ("score", "sc:Integer", "millionths, of predictions"),
)  # fmt: skip


def records(root: Root, get: Get, *, most: int = RECORDS_BYTES) -> bytes | None:
    """A canonical JSON line a picture, in the order of the manifest; None when they take more than `most` bytes.

    Args:
        get: chunk objects by digest.
    """
    out: list[bytes] = []
    size = 0
    for chunk in root.chunks:
        for line in _lines(chunk, get):
            size += len(line)
            if size > most:
                return None
            out.append(line)
    return b"".join(out)


def _lines(chunk: manifest.Chunk, get: Get) -> Iterator[bytes]:
    for entry in manifest.read(chunk, get):
        fact = msgspec.json.decode(entry.facts, type=Fact)
        told = msgspec.json.decode(entry.labels, type=Labelled)
        line: dict[str, object] = {
            "annotations": msgspec.Raw(entry.set), "blake3": fact.asset, **({"height": fact.wh[1]} if fact.wh else {}),
            "object": f"objects/{fact.asset[:2]}/{fact.asset}", "path": fact.key, "sha256": fact.sha256, "size": fact.size,
            **({"split": told.split} if told.split else {}), "type": fact.media_type, **({"width": fact.wh[0]} if fact.wh else {}),
        }  # fmt: skip
        yield msgspec.json.encode(line) + b"\n"


def of_package(
    version: Version,
    root: Root,
    schema: LabelSchema,
    origin: Lineage,
    about: About,
    documents: Mapping[str, bytes],
) -> bytes:
    """The description of a published package. documents: the other files beside it, by name."""
    listed = [
        _file(name, data, _TYPES.get(name.rpartition(".")[2], "text/plain"))
        for name, data in sorted(documents.items())
    ]
    sets = [_classes(schema)]
    if RECORDS in documents:
        sets.append(_pictures(RECORDS, (*_PICTURE, *_BYTES)))
    return _document(version.ref, version, schema, origin, about, listed, sets, root)


def of_export(
    folder: Path,
    ref: str,
    version: Version | None,
    schema: LabelSchema,
    about: About,
    origin: Lineage | None = None,
) -> bytes:
    """The description of a folder that a native export wrote: its annotations and its pictures."""
    path = folder / native.FILE
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    listed: list[dict[str, object]] = [
        {"@type": "cr:FileObject", "@id": native.FILE, "name": native.FILE, "contentUrl": native.FILE,
         "encodingFormat": "application/jsonlines", "sha256": digest.hexdigest(), "contentSize": f"{path.stat().st_size} B",
         "description": "a line a picture; the first line names the format and fills none of the fields"},
    ]  # fmt: skip
    if (folder / native.PLACE).is_dir():
        listed.append({"@type": "cr:FileSet", "@id": native.PLACE, "name": native.PLACE, "encodingFormat": "image/jpeg",
                      "includes": f"{native.PLACE}/*", "description": "the pictures, at the path of their record"})  # fmt: skip
    return _document(
        ref,
        version,
        schema,
        origin,
        about,
        listed,
        [_classes(schema), _pictures(native.FILE, _PICTURE)],
        None,
    )


def beside(
    ws: Workspace, folder: Path, ref: str, dataset: str, version_uid: str | None, schema: LabelSchema
) -> None:
    """Write the description into a folder that a native export has just written."""
    version = None
    if version_uid is not None:
        with ws.db.read() as conn:
            version = rows.by_uid(conn, version_uid)
    files.write(folder / FILE, of_export(folder, ref, version, schema, abouts.get(ws, dataset)))


_TYPES = {
    "json": "application/json",
    "jsonl": "application/jsonlines",
    "html": "text/html",
    "md": "text/markdown",
    "toml": "application/toml",
}


def _file(name: str, data: bytes, kind: str) -> dict[str, object]:
    return {"@type": "cr:FileObject", "@id": name, "name": name, "contentUrl": name, "encodingFormat": kind,
            "contentSize": f"{len(data)} B", "sha256": hashlib.sha256(data).hexdigest()}  # fmt: skip


def _pictures(file: str, fields: Sequence[tuple[str, str, str]]) -> dict[str, object]:
    def column(name: str) -> dict[str, object]:
        return {"fileObject": {"@id": file}, "extract": {"column": name}}

    made: list[dict[str, object]] = [
        {
            "@type": "cr:Field",
            "@id": f"pictures/{n}",
            "name": n,
            "description": about,
            "dataType": kind,
            "source": column(n),
        }
        for n, kind, about in fields
    ]
    made.append(
        {"@type": "cr:Field", "@id": "pictures/annotations", "name": "annotations", "description": "the objects of the picture",
         "repeated": True, "subField": [
             {"@type": "cr:Field", "@id": f"pictures/annotations/{n}", "name": n, "description": about, "dataType": kind,
              "source": {**column("annotations"), "transform": {"jsonPath": f"$.{n}"}}}
             for n, kind, about in _OBJECT
         ]}
    )  # fmt: skip
    return {"@type": "cr:RecordSet", "@id": "pictures", "name": "pictures", "description": "a record a picture",
            "key": {"@id": "pictures/path"}, "field": made}  # fmt: skip


def _classes(schema: LabelSchema) -> dict[str, object]:
    fields = [
        {"@type": "cr:Field", "@id": f"classes/{n}", "name": n, "description": about, "dataType": "sc:Text"}
        for n, about in (
            ("code", "what records name the class by"),
            ("zh", "its Chinese name"),
            ("en", "its English name"),
        )
    ]
    return {"@type": "cr:RecordSet", "@id": "classes", "name": "classes", "description": "the classes of the label schema",
            "key": {"@id": "classes/code"}, "field": fields,
            "data": [{"classes/code": c.code, "classes/zh": c.name_zh, "classes/en": c.name_en} for c in schema.labels]}  # fmt: skip


def _document(
    ref: str, version: Version | None, schema: LabelSchema, origin: Lineage | None, about: About,
    listed: Sequence[Mapping[str, object]], sets: Sequence[Mapping[str, object]], root: Root | None,
) -> bytes:  # fmt: skip
    said = {lang: abouts.said(about, "purpose", lang) for lang in ("en", "zh")}
    what = f"{ref}: labelled pictures, label schema {schema.code}@{schema.version}"
    counts = f", {root.counts.assets} pictures, {root.counts.objects} objects" if root else ""
    doc: dict[str, object] = {
        "@context": _CONTEXT, "@type": "sc:Dataset", "conformsTo": "http://mlcommons.org/croissant/1.1", "name": ref,
        "description": {"en": f"{what}{counts}. {said['en']}".strip(),
                        "zh": f"{ref}：带标注的图像，标签体系 {schema.code}@{schema.version}。{said['zh']}".strip()},
        "inLanguage": ["zh", "en"], "isLiveDataset": False,
    }  # fmt: skip
    if version is not None:
        doc["version"] = _semver(version)
        doc["datePublished"] = lineagetext.day(version.at_ms)
        doc["identifier"] = f"urn:blake3:{version.root}" if version.root else ref
        cited = abouts.said(about, "citation")
        doc["citeAs"] = (
            cited or f"@misc{{{version.uid[:12]}, title={{{ref}}}, note={{BLAKE3 {version.root or ''}}}}}"
        )
    for field, key in (("licence", "license"), ("url", "url")):
        if text := abouts.said(about, field):
            doc[key] = text
    if text := abouts.said(about, "publisher"):
        doc["publisher"] = doc["creator"] = {"@type": "sc:Organization", "name": text}
    doc |= _responsible(origin, about)
    doc["distribution"] = list(listed)
    doc["recordSet"] = list(sets)
    return msgspec.json.format(msgspec.json.encode(doc), indent=1) + b"\n"


def _semver(version: Version) -> str:
    """MAJOR.MINOR.PATCH, as Croissant asks: of a tag such as v1 or 2.1, else the revision as the patch."""
    found = re.fullmatch(r"v?(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?", version.tag)
    return ".".join(str(int(n or 0)) for n in found.groups()) if found else f"0.0.{version.rev}"


def _responsible(origin: Lineage | None, about: About) -> dict[str, object]:
    """Fields of Croissant RAI 1.0 that are known."""
    out: dict[str, object] = {}
    if origin is not None:
        models = [
            f"{n.title} (SHA-256 {n.facts.get('sha256')})"
            for n in origin.of_type("model")
            if n.kind == "entity"
        ]
        if models:
            out["rai:machineAnnotationTools"] = models
        people = len(origin.of_type("person"))
        out["rai:dataAnnotationProtocol"] = [
            f"Labelled to the rules of the label schema (schema.toml) by {people} people"
            + (", who judged what models proposed." if models else ".")
        ]
        out["rai:dataAnnotationPlatform"] = ["Lamproom"]
        out["rai:dataPreprocessingProtocol"] = [
            "Files of equal bytes are registered once; copies and faulty pictures may be taken out: lineage.json tells each step."
        ]
    for field, key in (("collection", "rai:dataCollection"), ("limits", "rai:dataLimitations"), ("purpose", "rai:dataUseCases"),
                       ("sensitive", "rai:personalSensitiveInformation")):  # fmt: skip
        if text := abouts.said(about, field, "en"):
            out[key] = text if key == "rai:dataCollection" else [text]
    return out

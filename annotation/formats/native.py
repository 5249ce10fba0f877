"""Lamproom's own format, lossless: `annotations.jsonl`, one canonical line a picture, and `schema.toml` beside it.

Numbers are the record's integers (1/1000 px, micro-degrees, micro-score); a line is RFC 8785 bytes. The first line is
`{"format":"lamproom","name":…,"schema":…,"schema_version":…,"version":1}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from annotation import canonical, labels, rows
from annotation.core import Annotation
from annotation.errors import InvalidInput, LamproomError
from annotation.formats import base
from annotation.formats.base import Loss, Problems, Record, Sizes
from annotation.labels import LabelSchema

FILE = "annotations.jsonl"
SCHEMA = "schema.toml"
VERSION = 1
MAX_LINE = 64 * 2**20
PLACE = "images"
DIALECTS = ("",)
_UID = re.compile(r"[0-9a-f]{32}\Z")
_ORIGINS = ("human", "model", "import")


def sniff(path: Path) -> str:
    """Why the path is an `annotations.jsonl` of ours, or a folder that holds one; "" when it is not."""
    first = base.head(path / FILE if path.is_dir() else path, 4096).partition(b"\n")[0]
    return "its first line says that it is Lamproom's own format" if b'"format":"lamproom"' in first else ""


def read(
    path: Path, *, sizes: Sizes | None = None, problems: list[LamproomError] | None = None
) -> Iterator[Record]:
    """The records as they were written: uids, origins and scores too; labels are schema codes.

    With `problems` faulty lines are left out and listed there; without, nothing is yielded of a faulty file.

    Raises:
        InvalidFile: every fault, by line. InvalidInput: no such file, or not of this format.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise InvalidInput("no such file", where=str(file))
    return base.checked(lambda found: _parse(file, found), file.name, problems)


def schema(path: Path) -> LabelSchema:
    """The label schema written beside the annotations.

    Raises:
        NotFound, InvalidFile: when it is missing or faulty.
    """
    return labels.load((path if path.is_dir() else path.parent) / SCHEMA)


def _parse(file: Path, problems: Problems) -> Iterator[Record]:
    uids: set[bytes] = set()
    paths: set[bytes] = set()
    with file.open("rb") as stream:
        for n in range(1, 2**40):
            line = stream.readline(MAX_LINE + 1)
            if not line and n > 1:
                break
            at = f"line {n}"
            if len(line) > MAX_LINE:
                problems.add(at, "is too long", f"at most {MAX_LINE} bytes")
                return
            try:
                value = base.parse_json(line.rstrip(b"\n"), at, dict[str, Any])
                if n == 1:
                    _header(value)
                    continue
                record = _record(value)
                _once(paths, record.path, "the picture")
                for a in record.annotations:
                    _once(uids, a.uid, "the uid")
            except InvalidInput as error:
                problems.add(at, error.what, error.remedy)
                if n == 1:
                    return
                continue
            yield record


def _once(seen: set[bytes], text: str, what: str) -> None:
    """Refuse what is there twice; 8 bytes of a digest each keep millions of them small."""
    mark = canonical.digest(text.encode())[:8]
    if mark in seen:
        raise InvalidInput(f"{what} {text} is there twice", remedy="one line a picture, one uid an object")
    seen.add(mark)


def _header(value: dict[str, Any]) -> None:
    if value.get("format") != "lamproom":
        raise InvalidInput(
            "not a file of Lamproom's own format", remedy='its first line has "format":"lamproom"'
        )
    if value.get("version") != VERSION:
        raise InvalidInput(
            f"version {base.short(value.get('version'))} of the format",
            remedy=f"this program reads version {VERSION}",
        )


def _record(value: dict[str, Any]) -> Record:
    split = value.get("split", "")
    if split not in base.SPLITS:
        raise InvalidInput(f"split is {base.short(split)}", remedy="train, val, test, or none")
    review = value.get("review", "")
    if review not in base.REVIEWS:
        raise InvalidInput(f"review is {base.short(review)}", remedy="submitted, accepted, returned, or none")
    found = value.get("annotations", [])
    if not isinstance(found, list):
        raise InvalidInput(f"annotations are {base.short(found)}", remedy="a list")
    width, height = base.side(value.get("width"), "width"), base.side(value.get("height"), "height")
    path, shown = base.clean_path(value.get("path")), tuple(map(_annotation, found))
    return Record(path, width, height, shown, split, review)


def _annotation(row: Any) -> Annotation:
    if not isinstance(row, dict):
        raise InvalidInput(f"an annotation is {base.short(row)}", remedy="an object")
    label, uid, origin, kind = row.get("label"), row.get("uid"), row.get("origin"), row.get("kind")
    if not isinstance(label, str) or not label:
        raise InvalidInput(f"label is {base.short(label)}", remedy="a label's code")
    if not isinstance(uid, str) or not _UID.match(uid):
        raise InvalidInput(f"uid is {base.short(uid)}", remedy="32 hex digits")
    if origin not in _ORIGINS:
        raise InvalidInput(f"origin is {base.short(origin)}", remedy=f"one of {', '.join(_ORIGINS)}")
    if not isinstance(kind, str):
        raise InvalidInput(f"kind is {base.short(kind)}")
    box = row.get("bbox")
    if box is not None and not (isinstance(box, list) and len(box) == 4 and all(type(v) is int for v in box)):
        raise InvalidInput(f"bbox is {base.short(box)}", remedy="[x0, y0, x1, y1] in 1/1000 px")
    points = row.get("points")
    canonical.check([box or [], points if points is not None else []])
    shape = rows.from_row(kind, box, None if points is None else msgspec.json.encode(points).decode())
    score = row.get("score")
    if score is not None and (type(score) is not int or not 0 <= score <= canonical.MICRO):
        raise InvalidInput(f"score is {base.short(score)}", remedy=f"0 to {canonical.MICRO}")
    attributes = row.get("attributes", {})
    canonical.check(attributes)
    if not isinstance(attributes, dict) or any(isinstance(v, dict | list) for v in attributes.values()):
        raise InvalidInput(f"attributes are {base.short(attributes)}", remedy="a flat object")
    return Annotation(
        canonical.nfc(label), base.sound(shape), attributes,
        None if score is None else score / canonical.MICRO, origin, uid,
    )  # fmt: skip


def losses(records: Iterable[Record], schema: LabelSchema, dialect: str = "") -> list[Loss]:
    """None but labels that the schema does not have, which are refused."""
    base.dialect(dialect, DIALECTS)
    return base.strangers(base.census(records), schema)


def place(record: Record, dialect: str = "") -> PurePosixPath:
    """Where the record's picture belongs in the export."""
    return PurePosixPath(PLACE, base.clean_path(record.path))


def write(
    records: Iterable[Record], out: Path, *, schema: LabelSchema, name: str, dialect: str = ""
) -> list[Path]:
    """`annotations.jsonl` and `schema.toml`; the same records in the same order give the same bytes.

    Raises:
        InvalidInput: for a label that is not in the schema, or a number that the record cannot hold.
    """
    base.dialect(dialect, DIALECTS)
    ids = schema.class_ids()
    file = base.target(out, FILE)
    with file.open("wb") as stream:
        stream.write(head(name, schema.code, schema.version))
        for record in records:
            for a in record.annotations:
                base.class_id(a, ids, record.path)
            stream.write(canonical.encode(_line(record)) + b"\n")
        base.settle(stream)
    other = base.target(out, SCHEMA)
    with other.open("wb") as stream:
        stream.write(labels.dumps(schema).encode())
        base.settle(stream)
    return [file, other]


def head(name: str, schema: str, schema_version: int) -> bytes:
    """The first line of `annotations.jsonl`."""
    said = {
        "format": "lamproom",
        "name": canonical.nfc(name),
        "schema": schema,
        "schema_version": schema_version,
        "version": VERSION,
    }
    return canonical.encode(said) + b"\n"


def line(path: str, annotations: bytes, wh: tuple[int, int] | None, split: str = "") -> bytes:
    """A picture's line around the canonical bytes of its AnnotationSet (a manifest's), which are this format's own."""
    said: dict[str, object] = {"path": base.clean_path(path), "annotations": msgspec.Raw(annotations)}
    if wh is not None:
        said |= {"width": wh[0], "height": wh[1]}
    if split:
        said["split"] = split
    return canonical.encode(said) + b"\n"


def _line(record: Record) -> dict[str, object]:
    line: dict[str, object] = {
        "path": base.clean_path(record.path),
        "annotations": [_row(a) for a in record.annotations],
    }
    if record.width is not None and record.height is not None:
        line |= {"width": record.width, "height": record.height}
    if record.split:
        line["split"] = record.split
    if record.review:
        line["review"] = record.review
    return line


def _row(a: Annotation) -> dict[str, object]:
    kind, box, points = rows.to_row(a.shape)
    row: dict[str, object] = {"uid": a.uid, "label": a.label, "kind": kind, "origin": a.origin}
    if box is not None:
        row["bbox"] = list(box)
    if points is not None:
        row["points"] = msgspec.Raw(points.encode())
    if a.attributes:
        row["attributes"] = {
            k: canonical.nfc(v) if isinstance(v, str) else v for k, v in a.attributes.items()
        }
    if a.score is not None:
        row["score"] = canonical.snap(a.score, canonical.MICRO)
    return row

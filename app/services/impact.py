"""What a new version of a label schema does to what is there: counted before it is applied, and carried out after it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation.errors import InvalidInput
from annotation.schema import Label, LabelSchema
from app.events import Changes, Finished, Progress, Started, Work
from app.services import bulk, schema
from app.services.bulk import Pick
from app.services.workspace import Workspace
from storage import queries
from storage.queries import Query
from storage.tables import KINDS


@dataclass(frozen=True, slots=True)
class Impact:
    """One consequence for live annotations.

    what: "retired" (to = the successor they can be forwarded to), "missing" (the label is gone: refused), "kind" (its
    shapes of that kind may no longer be drawn), "attribute" (values that no longer hold), "required" (a value is
    missing now), "renamed" (names or colour only: nothing is changed).
    """

    label: str
    what: str
    n: int
    detail: str = ""
    to: str | None = None


def impact(ws: Workspace, new: LabelSchema) -> list[Impact]:
    """The consequences of making `new` the current version of its code, gravest first. Reads only."""
    old = schema.current(ws, new.code)
    with ws.db.read() as conn:
        used = dict(_used(conn, new.code))
        found: list[Impact] = []
        for before in old.labels:
            n, after = used.get(before.code, 0), new.label(before.code)
            if after is None:
                if n:
                    found.append(Impact(before.code, "missing", n))
            elif after.retired_to and not before.retired_to:
                found.append(Impact(before.code, "retired", n, to=after.retired_to))
            elif n:
                found += _within(conn, new.code, before, after)
            if after is not None and (before.name_zh, before.name_en, before.color) != (
                after.name_zh,
                after.name_en,
                after.color,
            ):
                found.append(Impact(before.code, "renamed", n))
    order = ("missing", "retired", "kind", "attribute", "required", "renamed")
    return sorted(found, key=lambda i: (order.index(i.what), -i.n, i.label))


def _within(conn: Connection, code: str, before: Label, after: Label) -> Iterator[Impact]:
    """Consequences for the annotations of a label that stays."""
    if gone := before.kinds - after.kinds:
        for kind, n in _tally(conn, code, before.code, "kind"):
            if KINDS[int(str(kind))] in gone:
                yield Impact(before.code, "kind", n, KINDS[int(str(kind))])
    if before.attributes == after.attributes:
        return
    lost: dict[str, int] = {}
    bare: dict[str, int] = {}
    for text, n in _tally(conn, code, before.code, "attributes"):
        held = json.loads(str(text)) if text else {}
        for key, value in held.items():
            known = after.attribute(key)
            if not key.startswith("@") and (known is None or not known.accepts(value)):
                lost[key] = lost.get(key, 0) + n
        for a in after.attributes:
            was = before.attribute(a.code)
            if a.required and a.code not in held and (was is None or not was.required):
                bare[a.code] = bare.get(a.code, 0) + n
    yield from (Impact(before.code, "attribute", n, key) for key, n in lost.items())
    yield from (Impact(before.code, "required", n, key) for key, n in bare.items())


def _used(conn: Connection, code: str) -> list[tuple[str, int]]:
    """Live annotations of the schema's datasets by label."""
    sql = (
        "SELECT l.code, sum(c.n) FROM counter c JOIN label l ON l.id = c.label_id JOIN dataset d ON d.id = c.dataset_id "
        "WHERE c.n > 0 AND d.schema_code = :c GROUP BY l.code"
    )
    return [(r[0], int(r[1])) for r in conn.execute(sa.text(sql), {"c": code})]


def _tally(conn: Connection, code: str, label: str, column: str) -> list[tuple[str | int | None, int]]:
    """Live annotations of a label by one of their columns; of datasets of this schema only."""
    sql = (
        f"SELECT n.{column}, count(*) FROM annotation n WHERE n.died IS NULL "
        "AND n.label_id = (SELECT id FROM label WHERE code = :l) AND EXISTS (SELECT 1 FROM item i JOIN dataset d "
        "ON d.id = i.dataset_id WHERE i.asset_id = n.asset_id AND i.died IS NULL AND d.schema_code = :c) "
        f"GROUP BY n.{column}"
    )
    return [(r[0], int(r[1])) for r in conn.execute(sa.text(sql), {"l": label, "c": code})]


def waiting(ws: Workspace, code: str) -> list[tuple[str, str, int]]:
    """(retired label, successor, live annotations that still carry it) of a schema."""
    now = schema.current(ws, code)
    with ws.db.read() as conn:
        used = dict(_used(conn, code))
    out = []
    for label in now.labels:
        successor = now.resolve(label.code)
        if label.retired_to and successor and used.get(label.code):
            out.append((label.code, successor, used[label.code]))
    return out


def forward(ws: Workspace, code: str) -> Work:
    """Give annotations of retired labels their successor: one undoable step for each dataset and label.

    Shapes and attributes the successor does not know stay with the old label and are counted in "left".

    Raises:
        InvalidInput: nothing waits.
    """
    pairs = waiting(ws, code)
    if not pairs:
        raise InvalidInput("no annotation carries a retired label", where=code)
    total = sum(n for _, _, n in pairs)
    yield Started("forward", total)
    with ws.db.read() as conn:
        datasets = [d for d in queries.datasets(conn) if d.schema_code == code]
    done = left = rev = 0
    steps: list[object] = []
    for old, successor, _ in pairs:
        for data in datasets:
            for event in bulk.relabel(ws, Pick(Query(data.id, label=old), objects=True), successor):
                match event:
                    case Progress(done=n):
                        yield Progress(min(total, done + n), total)
                    case Finished(result=result, changes=changes):
                        done += int(str(result["objects"]))
                        left += int(str(result["left"]))
                        rev = max(rev, changes.revision)
                        steps += [result["step"]] if result.get("step") else []
    yield Finished({"objects": done, "left": left, "steps": steps}, Changes(rev, everything=True), left)

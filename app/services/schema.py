"""Label schemas of a workspace: the current version, new versions, and classes met on import or in a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from annotation import canonical, labels
from annotation.errors import Conflict, InvalidInput, NotFound
from annotation.labels import LabelSchema
from annotation.schema import MAX_EXAMPLES, Example
from app.events import Changes
from app.services import browse
from app.services.workspace import Workspace
from storage import record

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SchemaRow:
    """One version of a label schema in the workspace."""

    id: int
    code: str
    number: int
    digest: str
    born: int
    died: int | None
    n_labels: int


@dataclass(frozen=True, slots=True)
class Mapped:
    """Foreign class names and the label codes they got; `added` names became new labels in a new schema version."""

    codes: Mapping[str, str]
    added: tuple[str, ...]
    schema: LabelSchema
    number: int


def _live(conn: Connection, code: str | None) -> tuple[int, str, int, str]:
    where = "AND code = :c" if code else ""
    row = conn.execute(
        sa.text(
            f"SELECT id, code, number, body FROM schema_version WHERE died IS NULL {where} ORDER BY id LIMIT 1"
        ),
        {"c": code},
    ).first()
    if row is None:
        raise NotFound(f"there is no label schema {code!r}", remedy="`lamproom schema list` names them")
    return row[0], row[1], row[2], row[3]


def current(ws: Workspace, code: str | None = None) -> LabelSchema:
    """The current version of a schema; the workspace's first when no code is given."""
    with ws.db.read() as conn:
        _, found, number, body = _live(conn, code or _first(conn))
    return labels.loads(body, f"{found}@{number}")


def _first(conn: Connection) -> str:
    """Code of the schema the workspace was made with."""
    return str(conn.exec_driver_sql("SELECT code FROM schema_version ORDER BY id LIMIT 1").scalar_one())


def default_code(ws: Workspace) -> str:
    """Code of the schema that new datasets get."""
    with ws.db.read() as conn:
        return _first(conn)


def versions(ws: Workspace) -> list[SchemaRow]:
    """Every version of every schema, oldest first."""
    with ws.db.read() as conn:
        rows = conn.exec_driver_sql(
            "SELECT id, code, number, blake3, born, died, body FROM schema_version ORDER BY id"
        ).all()
    return [
        SchemaRow(r[0], r[1], r[2], bytes(r[3]).hex(), r[4], r[5], len(labels.loads(r[6], r[1]).labels))
        for r in rows
    ]


def at(ws: Workspace, version_id: int) -> LabelSchema:
    """A schema version by its row; NotFound."""
    with ws.db.read() as conn:
        row = conn.execute(
            sa.text("SELECT code, number, body FROM schema_version WHERE id = :i"), {"i": version_id}
        ).first()
    if row is None:
        raise NotFound(f"there is no schema version {version_id}")
    return labels.loads(row[2], f"{row[0]}@{row[1]}")


def apply(ws: Workspace, schema: LabelSchema, *, base: LabelSchema | None = None) -> Changes:
    """Make this the current version of its code (a new code adds a schema to the workspace). An ordinary step: undoable.

    Args:
        base: the version that `schema` was made from; None: it replaces whatever is current, as a file does.

    Raises:
        Conflict: `base` is not current any more; what the newer version holds is not lost by it.
        InvalidInput: a label that live annotations use is missing and not retired to a successor.
    """
    body = labels.dumps(schema)
    with ws.db.read() as conn:
        row = conn.execute(
            sa.text("SELECT id, body FROM schema_version WHERE died IS NULL AND code = :c"),
            {"c": schema.code},
        ).first()
        used = _used(conn, schema.code)
    if row is not None and row[1] == body:
        return Changes()
    if base is not None and (row is None or labels.loads(row[1], schema.code) != base):
        raise Conflict(
            "the label schema was changed meanwhile",
            where=schema.code,
            remedy="open it again and repeat the change",
        )
    lost = sorted(code for code in used if schema.label(code) is None)
    if row is not None and lost:
        raise InvalidInput(
            f"labels in use are missing: {', '.join(lost[:8])}",
            where=schema.code,
            remedy="keep them with retired_to = their successor",
        )
    with record.change(ws.db, agent_id=ws.person.id, activity_id=ws.session(), verb="schema") as draft:
        if row is not None:
            draft.close("schema_version", [row[0]])
        number = _next_number(draft.conn, schema.code)
        _insert(draft, schema.code, number, body)
    return Changes(revision=draft.rev, everything=True)


def demand_undoable(ws: Workspace, step: int) -> None:
    """Refuse to undo a step whose schema versions are needed as they are.

    Raises:
        Conflict: live annotations use labels that the earlier version lacks, or a dataset would be without its schema.
    """
    with ws.db.read() as conn:
        revs = "(SELECT rev FROM change WHERE step = (SELECT step FROM change WHERE rev = :s))"
        after = conn.execute(
            sa.text(f"SELECT code FROM schema_version WHERE died IS NULL AND born IN {revs}"), {"s": step}
        ).scalars().all()  # fmt: skip
        before = {
            r[0]: r[1]
            for r in conn.execute(
                sa.text(f"SELECT code, body FROM schema_version WHERE died IN {revs}"), {"s": step}
            )
        }
        for code in after:
            if code not in before:
                taken = conn.execute(
                    sa.text("SELECT 1 FROM dataset WHERE schema_code = :c LIMIT 1"), {"c": code}
                ).first()
                if taken is not None or code == _first(conn):
                    raise Conflict("the workspace needs its label schema", where=code)
                continue
            schema = labels.loads(before[code], code)
            if lost := sorted(c for c in _used(conn, code) if schema.label(c) is None):
                raise Conflict(
                    f"labels in use are missing in the earlier version: {', '.join(lost[:8])}",
                    where=code,
                    remedy="undo the annotations that use them first",
                )


def _used(conn: Connection, code: str) -> Sequence[str]:
    """Codes of the labels that live annotations of this schema's datasets have."""
    return conn.execute(
        sa.text(
            "SELECT DISTINCT l.code FROM counter c JOIN label l ON l.id = c.label_id JOIN dataset d ON d.id = c.dataset_id "
            "WHERE c.n > 0 AND d.schema_code = :c"
        ),
        {"c": code},
    ).scalars().all()  # fmt: skip


def _next_number(conn: Connection, code: str) -> int:
    return int(
        conn.execute(
            sa.text("SELECT coalesce(max(number), 0) + 1 FROM schema_version WHERE code = :c"), {"c": code}
        ).scalar_one()
    )


def _insert(draft: record.Draft, code: str, number: int, body: str) -> None:
    draft.conn.execute(
        sa.text("INSERT INTO schema_version (code, number, body, blake3, born) VALUES (:c, :n, :b, :d, :r)"),
        {"c": code, "n": number, "b": body, "d": canonical.digest(body.encode()), "r": draft.rev},
    )
    record.link(draft.conn, draft.activity_id, "generated", "schema", f"{code}@{number}")


def ensure_labels(
    ws: Workspace, code: str, names: Iterable[str], *, where_from: str, strict: bool = False
) -> Mapped:
    """Label codes for class names met on import or in a model; unknown ones become labels of a new schema version.

    Args:
        code: the schema's code (a dataset's `schema_code`).
        where_from: what is written as the source of new labels, for example the file's name.

    Raises:
        InvalidInput: strict, and a name is unknown: nothing is written.
    """
    wanted = list(dict.fromkeys(names))
    with ws.db.read() as conn:
        row_id, _, number, body = _live(conn, code)
    schema = labels.loads(body, f"{code}@{number}")
    unknown = tuple(n for n in wanted if meant(schema, n) is None)
    if unknown and strict:
        raise InvalidInput(
            f"classes unknown to the label schema {code}: {', '.join(unknown[:8])}" + (" …" if len(unknown) > 8 else ""),
            where=where_from, remedy="add them to the schema, or leave --strict out",
        )  # fmt: skip
    if unknown:
        schema = labels.extend(schema, unknown, where_from)
        with record.change(ws.db, agent_id=ws.person.id, activity_id=ws.session(), verb="schema") as draft:
            draft.close("schema_version", [row_id])
            number = _next_number(draft.conn, code)
            _insert(draft, code, number, labels.dumps(schema))
    found = {n: c for n in wanted if (c := meant(schema, n)) is not None}
    return Mapped(found, unknown, schema, number)


def meant(schema: LabelSchema, name: str) -> str | None:
    """The code of a foreign class: by its name, or by what of it can be a name here (no control characters, not as long)."""
    return schema.resolve(name) or schema.resolve(labels.clean_name(name))


def add_example(ws: Workspace, code: str, label: str, example: Example) -> Changes:
    """Show one more picture beside the rule of a label: a new version of the schema, undoable.

    Raises:
        NotFound: no such label. InvalidInput: it has as many examples as there may be.
    """
    now = current(ws, code)
    found = now.label(label)
    if found is None:
        raise NotFound(f"there is no label {label!r}", where=code)
    if example in found.examples:
        return Changes()
    if len(found.examples) >= MAX_EXAMPLES:
        raise InvalidInput("the label has as many examples as there may be", where=label, remedy="remove one")
    new = replace(found, examples=(*found.examples, example))
    draft = replace(now, labels=tuple(new if la.code == label else la for la in now.labels))
    return apply(ws, draft, base=now)


def example_picture(ws: Workspace, example: Example, *, side_px: int = 240) -> NDArray[np.uint8] | None:
    """The part of the picture an example shows, uint8 (h, w, 3) BGR of at most `side_px`; None when it is not here.

    Raises:
        InvalidInput: the picture cannot be decoded. Unavailable: its file is gone.
    """
    import cv2

    with ws.db.read() as conn:
        asset = conn.execute(
            sa.text("SELECT id FROM asset WHERE blake3 = :b LIMIT 1"), {"b": bytes.fromhex(example.blake3)}
        ).scalar()
    if asset is None:
        return None
    whole = browse.picture(ws, int(asset))
    h, w = whole.shape[:2]
    x0, y0, x1, y1 = example.box
    part = whole[max(0, y0) : min(h, y1), max(0, x0) : min(w, x1)]
    if not part.size:
        return None
    scale = side_px / max(part.shape[:2])
    wh = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    return np.ascontiguousarray(
        cv2.resize(part, wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    )

"""Which objects a record reaches: parts of its versions, media it keeps copies of, and whatever any row names by digest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.db import Database
from storage.manifest import Root
from storage.tables import Record

_HEX = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_ROWS = frozenset(
    (
        "asset",
        "item",
        "annotation",
        "change",
        "counter",
        "measure",
        "likeness",
        "embedding",
        "worth",
        "seen_file",
    )
)
"""Tables of a row a picture or an object: asked by digest below, or naming none."""
_PAGE = 2_000
TEXTS = (sa.String, sa.LargeBinary, sa.types.TypeDecorator)
"""Types of columns that can hold a digest; the tables' texts are decorated."""


def named(db: Database) -> Iterator[str]:
    """Every digest that stands in a text or as 32 bytes anywhere but in the large tables: roots, lists of jobs, links, …"""
    for table in Record.metadata.sorted_tables:
        if table.name in _ROWS:
            continue
        wanted = [c for c in table.columns if isinstance(c.type, TEXTS)]
        if not wanted:
            continue
        order = list(table.primary_key.columns)
        last: tuple[object, ...] | None = None
        while True:
            query = sa.select(*order, *wanted).order_by(*order).limit(_PAGE)
            if last is not None:
                query = query.where(
                    sa.tuple_(*order) > sa.tuple_(*last) if len(order) > 1 else order[0] > last[0]
                )
            with db.read() as conn:
                rows = conn.execute(query).all()
            for row in rows:
                yield from _digests(row[len(order) :])
            if len(rows) < _PAGE:
                break
            last = tuple(rows[-1][: len(order)])


def _digests(values: Sequence[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield from _HEX.findall(value)
        elif isinstance(value, bytes | memoryview) and len(value) == 32:
            yield bytes(value).hex()


def texts(data: bytes) -> list[str]:
    """Every digest in a small foreign text."""
    return _HEX.findall(data.decode("utf-8", "replace"))


def assets(conn: Connection, digests: Sequence[str]) -> set[str]:
    """Of these digests, those that are an asset's bytes."""
    out: set[str] = set()
    query = sa.text("SELECT blake3 FROM asset WHERE blake3 IN :b").bindparams(
        sa.bindparam("b", expanding=True)
    )
    for i in range(0, len(digests), 500):
        wanted = [bytes.fromhex(d) for d in digests[i : i + 500]]
        out.update(bytes(b).hex() for b in conn.execute(query, {"b": wanted}).scalars())
    return out


def parts(root: Root) -> Iterator[str]:
    """The manifest objects of a version."""
    for chunk in root.chunks:
        yield from (chunk.facts.b3, chunk.labels.b3, chunk.sets.b3)


def versions(db: Database) -> list[tuple[str, str]]:
    """(dataset@tag, digest of the root) of every sealed version."""
    with db.read() as conn:
        rows = conn.execute(
            sa.text(
                "SELECT d.name, v.tag, v.root FROM dataset_version v JOIN dataset d ON d.id = v.dataset_id WHERE v.root IS NOT NULL"
            )
        )
        return [(f"{name}@{tag}", bytes(root).hex()) for name, tag, root in rows]


def begun_ms(db: Database) -> int | None:
    """When the oldest piece of work began that has not ended: what it wrote may not be named anywhere yet."""
    with db.read() as conn:
        found = conn.execute(
            sa.text("SELECT min(a.started_ms) FROM activity a WHERE a.ended_ms IS NULL")
        ).scalar()
    return None if found is None else int(found)

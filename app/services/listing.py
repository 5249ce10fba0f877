"""What is looked for: views of pictures or objects in an order, counts by facet, completion, saved filters.

Long readings are generators of small ones: every step is one short read, and closing the generator breaks it off.
"""

from __future__ import annotations

import contextlib
import ctypes
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from annotation import canonical
from annotation.errors import InvalidInput, NotFound
from app.services.workspace import Workspace
from storage import db as database
from storage import listing, measures, queries
from storage.listing import SCORE_BARS as SCORE_BARS
from storage.listing import ObjectRow as ObjectRow
from storage.listing import Tally as Tally
from storage.queries import SORTS as SORTS
from storage.queries import ItemRow, Query
from storage.queries import Sort as Sort
from storage.search import EVERYTHING as EVERYTHING
from storage.search import FIELDS as FIELDS
from storage.search import Misread as Misread
from storage.search import Names as Names
from storage.search import Node as Node
from storage.search import Term as Term
from storage.search import conjuncts as conjuncts
from storage.search import join as join
from storage.search import parse as parse
from storage.search import show as show
from storage.search import toggled as toggled
from storage.suggest import Suggestion as Suggestion
from storage.suggest import complete as complete

MOST_IDS = 20_000_000
"""Ids of one listing: 160 MB. Beyond it the rest is not listed, and the count says so."""


@dataclass(frozen=True, slots=True)
class View:
    """A query, whether it lists objects or pictures, and in which order."""

    query: Query
    objects: bool = False
    sort: Sort = field(default_factory=Sort)


def mine(ws: Workspace, query: Query) -> Query:
    """The query with the person who asks."""
    return query if query.me else replace(query, me=ws.person.id)


def names(ws: Workspace, dataset_id: int) -> Names:
    """What the words of the query language mean in a dataset."""
    with ws.db.read() as conn:
        return queries.names(conn, dataset_id)


def text_of(ws: Workspace, query: Query) -> str:
    """A query as the line a person would write; "" means every picture.

    Raises:
        Misread: its own line cannot be read.
    """
    known = names(ws, query.dataset_id)
    node = queries.tree(query, known)
    if query.assignee is not None:
        with ws.db.read() as conn:
            name = conn.execute(
                sa.text("SELECT name FROM agent WHERE id = :i"), {"i": query.assignee}
            ).scalar()
        node = join(
            [node, Term("assigned", ":", ("me" if query.assignee == ws.person.id else str(name or ""),))]
        )
    return show(node, known)


def is_plain(ws: Workspace, view: View) -> bool:
    """True when a view needs no list: its count is in the counters, its pages in one index."""
    if view.objects or view.sort != Sort():
        return False
    with ws.db.read() as conn:
        return queries.is_plain(conn, mine(ws, view.query))


@dataclass(frozen=True, slots=True)
class Part:
    """Some more ids of a listing, in its order. share: how much of the dataset was gone through, 0..1."""

    ids: array[int]
    share: float
    last: bool


def ids(ws: Workspace, view: View) -> Iterator[Part]:
    """Every id of a view: asset ids, or annotation rows of objects.

    As added, they come as they are found; in another order, empty parts tell how far it is and the last holds all.

    Raises:
        Misread: the query cannot be read. NotFound: what `similar` compares with was not measured.
    """
    query, by = mine(ws, view.query), view.sort.by
    to = None
    if by == "similar":
        with ws.db.read() as conn:
            to = measures.descriptor(conn, view.sort.like or 0)
        if to is None:
            raise NotFound("this picture was not measured", remedy="measure the dataset first")
    try:
        yield from _listed(ws, query, view, to)
    finally:
        give_back()


def give_back() -> None:
    """Hand what a long listing has freed back to the system: glibc keeps it, and a sort of 1.5 million paths frees 300 MB."""
    with contextlib.suppress(OSError, AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)


def _listed(ws: Workspace, query: Query, view: View, to: bytes | None) -> Iterator[Part]:
    by = view.sort.by
    keyed = array("q")
    found: list[Any] = []
    total = 0
    for low, high, share in _spans(ws, query.dataset_id):
        with ws.db.read() as conn:
            rows = listing.keys(conn, query, objects=view.objects, low=low, high=high, sort=by)
        total += len(rows)
        last = share >= 1.0 or total >= MOST_IDS
        if not by and not view.sort.down:
            yield Part(array("q", [r for r, _ in rows]), share, last)
        elif not by:
            keyed.extend(r for r, _ in rows)
            yield Part(keyed[::-1] if last else array("q"), share, last)
        else:
            keyed.extend(r for r, _ in rows)
            found.append(_keys(by, [k for _, k in rows], to))
            yield Part(_ordered(keyed, found, view.sort) if last else array("q"), share, last)
        if last:
            return


def _spans(ws: Workspace, dataset_id: int) -> Iterator[tuple[int, int, float]]:
    """(low, high, share behind it) of the stretches of a dataset; the first is short, so that something is seen at once."""
    low, seen, n = 0, 0, 2000
    with ws.db.read() as conn:
        total = max(1, queries.count_items(conn, Query(dataset_id)))
    while True:
        with ws.db.read() as conn:
            high = listing.stretches(conn, dataset_id, low, n)
        seen += n
        yield low, 2**62 if high is None else high, 1.0 if high is None else min(0.999, seen / total)
        if high is None:
            return
        low, n = high, listing.STRETCH


def _keys(by: str, values: Sequence[Any], to: bytes | None) -> Any:
    """Sort keys of one stretch, compact: strings for paths, else int64 with NONE for no value."""
    import numpy as np

    if by == "path":
        return [listing.natural(v) for v in values]
    if by == "similar":
        assert to is not None
        return measures.distances(values, to)
    return np.array([-1 if v is None else int(v) for v in values], np.int64)


def _ordered(keyed: array[int], found: list[Any], sort: Sort) -> array[int]:
    import numpy as np

    if sort.by == "path":
        flat = [k for part in found for k in part]
        return array(
            "q", [keyed[i] for i in sorted(range(len(flat)), key=flat.__getitem__, reverse=sort.down)]
        )
    whole = np.frombuffer(keyed, np.int64) if len(keyed) else np.zeros(0, np.int64)
    keys = np.concatenate(found) if found else np.zeros(0, np.int64)
    known = np.flatnonzero(keys != -1)
    part = keys[known]
    order = known[np.argsort(-part if sort.down else part, kind="stable")]
    rest = np.flatnonzero(keys == -1)
    out = array("q")
    out.frombytes(whole[np.concatenate([order, rest])].astype(np.int64).tobytes())
    return out


def pictures(ws: Workspace, dataset_id: int, asset_ids: Sequence[int]) -> list[ItemRow]:
    """Pictures of a dataset by id, in the order given; those that left it are left out."""
    with ws.db.read() as conn:
        return queries.items_of(conn, dataset_id, asset_ids)


def objects(ws: Workspace, dataset_id: int, rows: Sequence[int]) -> list[ObjectRow]:
    """Objects by annotation row, in the order given; those that changed since are left out."""
    with ws.db.read() as conn:
        return listing.objects_of(conn, dataset_id, rows)


def boxes(ws: Workspace, asset_id: int) -> list[tuple[str, tuple[float, float, float, float], bool]]:
    """(label, x0 y0 x1 y1 in px, is a prediction) of a picture's live objects, for drawing over its thumbnail."""
    with ws.db.read() as conn:
        rows = queries.live(conn, asset_id)
    return [
        (r.label, (r.box[0] / 1000, r.box[1] / 1000, r.box[2] / 1000, r.box[3] / 1000), r.origin == "model")
        for r in rows
        if r.box
    ]


# --- facets -------------------------------------------------------------------------------------------------------


def tally(ws: Workspace, view: View) -> Iterator[tuple[Tally, float]]:
    """Counts by facet of what matches, growing: (the same tally, share of the dataset gone through).

    A facet that the query itself has a condition on is counted without that condition, so that its other values stay
    in sight.
    """
    query = mine(ws, view.query)
    known = names(ws, query.dataset_id)
    node = parse(query.where, known)
    own = {f"attribute.{x.key}" if x.field == "attribute" else {"date": "month"}.get(x.field, x.field)
           for x in conjuncts(node) if isinstance(x, Term)}  # fmt: skip
    own &= {f for f in own if f in listing.FACETS or f.startswith("attribute.")}
    others = {f: replace(query, where=show(listing.without(node, f), known)) for f in own}
    out = Tally()
    for low, high, share in _spans(ws, query.dataset_id):
        with ws.db.read() as conn:
            whole = Tally()
            listing.tally(conn, query, whole, objects=view.objects, low=low, high=high)
        for key, n in whole.n.items():
            if key[0] not in own:
                out.n[key] += n
        for facet, other in others.items():
            with ws.db.read() as conn:
                alone = Tally()
                listing.tally(conn, other, alone, objects=view.objects, low=low, high=high)
            for key, n in alone.n.items():
                if key[0] == facet:
                    out.n[key] += n
        yield out, share


# --- saved filters ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Saved:
    """A query under a name, shared in the workspace."""

    name: str
    text: str
    who: str


def saved(ws: Workspace, dataset_id: int) -> list[Saved]:
    """The dataset's saved filters by name."""
    with ws.db.read() as conn:
        rows = conn.execute(
            sa.text("SELECT q.name, q.body, g.name FROM saved_query q JOIN agent g ON g.id = q.agent_id WHERE q.dataset_id = :d ORDER BY q.name"),
            {"d": dataset_id},
        )  # fmt: skip
        return [Saved(*r) for r in rows]


def save(ws: Workspace, dataset_id: int, name: str, text: str) -> None:
    """Keep a filter under a name; one of that name is replaced.

    Raises:
        InvalidInput: it has no name, or the text is no query.
    """
    clean = canonical.nfc(" ".join(name.split()))
    if not 0 < len(clean) <= 80:
        raise InvalidInput("a filter needs a name of at most 80 characters")
    with ws.db.write() as conn:
        parse(text, queries.names(conn, dataset_id))
        conn.execute(
            sa.text("INSERT INTO saved_query (dataset_id, name, body, agent_id, at_ms) VALUES (:d, :n, :b, :a, :t) "
                    "ON CONFLICT (dataset_id, name) DO UPDATE SET body = excluded.body, agent_id = excluded.agent_id, at_ms = excluded.at_ms"),
            {"d": dataset_id, "n": clean, "b": text.strip(), "a": ws.person.id, "t": database.now_ms()},
        )  # fmt: skip


def forget(ws: Workspace, dataset_id: int, name: str) -> None:
    """Throw a saved filter away."""
    with ws.db.write() as conn:
        conn.execute(
            sa.text("DELETE FROM saved_query WHERE dataset_id = :d AND name = :n"),
            {"d": dataset_id, "n": name},
        )


__all__ = [
    "EVERYTHING", "FIELDS", "MOST_IDS", "SCORE_BARS", "SORTS", "Misread", "Names", "Node", "ObjectRow", "Part", "Query",
    "Saved", "Sort", "Suggestion", "Tally", "Term", "View", "boxes", "complete", "conjuncts", "forget", "ids", "is_plain",
    "join", "mine", "names", "objects", "parse", "pictures", "save", "saved", "show", "tally", "toggled",
]  # fmt: skip

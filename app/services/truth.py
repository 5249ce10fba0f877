"""What a model is judged against: which pictures count because their truth is whole, and what is true on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from annotation.errors import InvalidInput, NotFound
from app.services import listing
from app.services.workspace import Workspace
from storage import queries, record, verdicts
from storage import versions as version_rows
from storage.queries import DatasetRow, ItemRow, Query, Stored
from storage.verdicts import Picture
from storage.versions import Filter, Version

WORDS = ("accepted", "labelled")
NOT_ACCEPTED = "not accepted by an inspector"
NOTHING_SAID = "no truth yet"
LEFT_OPEN = "a person left predictions undecided"
NOT_GOLD = "not of the gold pictures"


@dataclass(frozen=True, slots=True)
class Against:
    """A yardstick.

    Attributes:
        kind: "accepted" (pictures that an inspector accepted), "labelled" (pictures with truth on which nobody left a
            prediction undecided), or gold: "version" (truth as frozen), "filter" (a saved filter), "dataset" (its pictures).
        name: as it was given. revision: of the truth.
    """

    kind: str
    name: str
    revision: int
    dataset_id: int
    filter: str = ""
    version: Version | None = None


def against(ws: Workspace, data: DatasetRow, word: str | None) -> Against:
    """The yardstick of this name.

    Args:
        word: accepted, labelled, DATASET@TAG, the name of a saved filter of the dataset or of a dataset. None: accepted
            when an inspector accepted a picture, else labelled.

    Raises:
        NotFound: there is none of this name.
    """
    saved = {s.name: s.text for s in listing.saved(ws, data.id)}
    with ws.db.read() as conn:
        newest = record.newest(conn)
        if word is None:
            some = queries.asset_ids(conn, Query(data.id, review="accepted"), limit=1)
            word = "accepted" if some else "labelled"
        if word in WORDS:
            return Against(word, word, newest, data.id)
        if "@" in word:
            dataset, _, tag = word.rpartition("@")
            found = version_rows.find(conn, dataset, tag)
            return Against("version", word, found.rev, found.dataset_id, version=found)
        if word in saved:
            return Against("filter", word, newest, data.id, filter=saved[word])
        others = {d.name: d.id for d in queries.datasets(conn)}
    if word in others and word != data.name:
        return Against("dataset", word, newest, others[word])
    known = [*WORDS, *saved, *(name for name in others if name != data.name)]
    raise NotFound(
        f"there is nothing called {word!r} to judge against", where=data.name,
        remedy=f"{', '.join(known[:12])}, or a version DATASET@TAG",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """Some pictures of the dataset: those that count, with their objects and truth, and why the others do not."""

    items: dict[int, ItemRow]
    pictures: dict[int, Picture]
    truth: dict[int, list[Stored]]
    left_out: dict[int, str]


def page(
    conn: Connection, data: DatasetRow, yard: Against, ids: Sequence[int], *, revision: int, me: int = 0
) -> Page:
    """The pictures of these ids, in ascending order, judged at a revision."""
    items = {i.asset_id: i for i in queries.items_of(conn, data.id, ids)}
    seen = verdicts.pictures(conn, list(items), revision)
    out: dict[int, str] = {}
    truth: dict[int, list[Stored]] = {}
    counts = _counts(conn, yard, list(items), me)
    then = seen if yard.revision == revision else verdicts.pictures(conn, list(items), yard.revision)
    for asset_id, item in items.items():
        reason = counts(item, seen[asset_id])
        if reason:
            out[asset_id] = reason
        else:
            truth[asset_id] = then[asset_id].truth()
    return Page(items, seen, truth, out)


def _counts(conn: Connection, yard: Against, ids: list[int], me: int) -> Callable[[ItemRow, Picture], str]:
    """A function that says why a picture does not count, "" when it does."""
    match yard.kind:
        case "accepted":
            return lambda item, _: "" if item.review == "accepted" else NOT_ACCEPTED
        case "labelled":
            return lambda _, seen: _labelled(seen)
        case "version":
            assert yard.version is not None
            chosen = version_rows.chosen(
                conn, yard.dataset_id, yard.revision, ids, _members(yard.version.filter)
            )
            inside = {a for a, m in chosen.items() if m is not None}
        case "dataset":
            inside = {i.asset_id for i in queries.items_of(conn, yard.dataset_id, ids)}
        case _:
            inside = _meeting(conn, yard, ids, me)
    return lambda item, _: "" if item.asset_id in inside else NOT_GOLD


def _members(filter: Filter) -> Filter:
    return Filter(splits=filter.splits, reviews=filter.reviews)


def _labelled(seen: Picture) -> str:
    if seen.left_open():
        return LEFT_OPEN
    return "" if seen.truth() or seen.decided() else NOTHING_SAID


def _meeting(conn: Connection, yard: Against, ids: list[int], me: int) -> set[int]:
    """Those of the ids that meet the saved filter."""
    wanted = set(ids)
    query = Query(yard.dataset_id, where=yard.filter, me=me)
    out: set[int] = set()
    after, last = (min(ids) - 1, max(ids)) if ids else (0, 0)
    while after < last:
        found = queries.asset_ids(conn, query, after=after, limit=5_000)
        out |= wanted.intersection(found)
        after = found[-1] if found else last
    return out


def demand_some(n: int, left_out: dict[str, int], *, remedy: str) -> None:
    """Refuse to judge on nothing.

    Raises:
        InvalidInput: no picture counts; says why.
    """
    if not n:
        told = "; ".join(
            f"{count} {reason}" for reason, count in sorted(left_out.items(), key=lambda x: -x[1])
        )
        raise InvalidInput("no picture can be judged", where=told or "the dataset is empty", remedy=remedy)

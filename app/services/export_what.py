"""What is exported: a version or a dataset as it is now, by filters, put into splits on the way; read part by part."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from annotation import labels
from annotation.errors import InvalidInput, NotFound
from annotation.formats import Record
from annotation.labels import LabelSchema
from app.services import gate, labelling, splitting
from app.services.splitting import Rule
from app.services.workspace import Workspace
from storage import db as database
from storage import queries, record
from storage import versions as rows
from storage.manifest import Fact
from storage.queries import Query
from storage.tables import REVIEWS, SPLITS
from storage.versions import Filter, Member

PART = 250
"""Assets whose annotations are in memory at once, each part its own short read: crowded pictures stay flat too."""


@dataclass(frozen=True, slots=True)
class What:
    """Which part of a dataset is exported.

    Attributes:
        where: only pictures that meet this query now, also of a version.
        classes: only objects of these labels (codes or names); pictures without one stay, as background. () = all.
        splits, reviews: only pictures in one of these; () = all.
        predictions: also predictions that nobody has accepted; None: only where the version was frozen with them.
        rule: how pictures that have no split in the record are put into one; None: they stay without.
        margin: cut one picture per object, with this share of its longer side around it; None: whole pictures.
    """

    where: str = ""
    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    reviews: tuple[str, ...] = ()
    predictions: bool | None = None
    rule: Rule | None = None
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What is exported: a dataset at a revision, with the label schema of then.

    Attributes:
        codes: the labels whose objects are wanted; None = all. ids: the pictures that met the query, sorted; None = all.
        splits: asset id -> split of those that were put into one on the way. looked: near duplicates were looked for, or
            need not be.
    """

    ref: str
    dataset_id: int
    name: str
    rev: int
    filter: Filter
    schema: LabelSchema
    root: str | None
    version_id: int | None
    version_uid: str | None
    total: int
    what: What
    codes: frozenset[str] | None = None
    ids: NDArray[np.int64] | None = None
    splits: Mapping[int, str] | None = None
    looked: bool = True

    def has(self, asset_id: int) -> bool:
        """Whether a picture that passes the filter met the query, too."""
        if self.ids is None:
            return True
        i = int(np.searchsorted(self.ids, asset_id))
        return i < len(self.ids) and int(self.ids[i]) == asset_id


@dataclass(frozen=True, slots=True)
class Item:
    """A picture as it is exported. The record's path is its key in the record, `root/path`."""

    asset_id: int
    fact: Fact
    record: Record


def find(ws: Workspace, ref: str, what: What) -> Source:
    """The source of `dataset@tag`, or of the dataset as it is now.

    Raises:
        NotFound: no such dataset, version or label. InvalidInput: a query, split or review state that is none; predictions
            of a version without.
    """
    with ws.db.read() as conn:
        version = None
        try:
            data = queries.dataset(conn, ref)
        except NotFound:
            if "@" not in ref:
                raise
            dataset, _, tag = ref.rpartition("@")
            version = rows.find(conn, dataset, tag)
            data = queries.dataset(conn, version.dataset_id)
        if version is None:  # revisions commit out of order: without it, one below ours could still join
            database.freeze_lock(conn)
        rev = version.rev if version else record.newest(conn)
        chosen = version.filter if version else Filter()
        schema_id = version.schema_version_id if version else rows.live_schema(conn, data.schema_code)
        code, number, body, _ = rows.schema_at(conn, schema_id)
    if what.predictions and version and not chosen.predictions:
        raise InvalidInput(
            "the version was frozen without predictions", where=ref, remedy="export the dataset as it is now"
        )
    schema = labels.loads(body, f"{code}@{number}")
    source = Source(
        ref, data.id, data.name, rev, _narrowed(chosen, what), schema, version.root if version else None,
        version.id if version else None, version.uid if version else None, data.n_assets, what, _codes(schema, what.classes),
    )  # fmt: skip
    if what.where.strip():
        source = replace(source, ids=_meeting(ws, Query(data.id, where=what.where, me=ws.person.id)))
    if what.rule is not None:
        made = _planned(ws, source, what.rule)
        source = replace(source, splits=made.splits, looked=made.looked)
    return source


def _narrowed(chosen: Filter, what: What) -> Filter:
    """What a version holds, and of that what is asked for."""
    for word, given, known in (("split", what.splits, SPLITS), ("review state", what.reviews, REVIEWS)):
        if wrong := [g for g in given if g not in known]:
            raise InvalidInput(
                f"{word} {wrong[0]!r} is not known", remedy=f"one of {', '.join(filter(None, known))}"
            )
    both = []
    for held, wanted in ((chosen.splits, what.splits), (chosen.reviews, what.reviews)):
        kept = tuple(w for w in wanted if w in held) if held and wanted else held or wanted
        if held and wanted and not kept:
            raise InvalidInput(
                f"the version was frozen with {', '.join(held)} only", where=", ".join(wanted), remedy="ask for these"
            )  # fmt: skip
        both.append(kept)
    predictions = chosen.predictions if what.predictions is None else what.predictions
    return Filter(predictions, both[0], both[1])


def _codes(schema: LabelSchema, classes: Sequence[str]) -> frozenset[str] | None:
    """Codes of the labels that are wanted: as they are named, not what a retired one became since."""
    found = set()
    for name in classes:
        code = name if schema.label(name) is not None else schema.resolve(name)
        if code is None:
            raise NotFound(
                f"there is no label {name!r}", where=schema.code, remedy="`lamproom schema show` lists them"
            )
        found.add(code)
    return frozenset(found) or None


def _meeting(ws: Workspace, query: Query) -> NDArray[np.int64]:
    """Every asset id that meets a query, sorted."""
    found, after = array("q"), 0
    while True:
        with ws.db.read() as conn:
            part = queries.asset_ids(conn, query, after=after)
        if not part:
            return np.frombuffer(found, np.int64) if found else np.zeros(0, np.int64)
        found.extend(part)
        after = part[-1]


def _planned(ws: Workspace, source: Source, rule: Rule) -> splitting.Plan:
    """The split of every picture that has none in the record."""
    bare = {m.asset_id for page in _pages(ws, source) for m in page if not m.split}
    return splitting.plan(
        ws, source.dataset_id, rule, rev=source.rev, filter=source.filter, wanted=bare.__contains__
    )


def demand(ws: Workspace, source: Source, ask: gate.Ask) -> list[gate.Reason]:
    """Pass the gate, as `gate.demand`."""
    return gate.demand(
        ws, source.ref, dataset_id=source.dataset_id, rev=source.rev, filter=source.filter, version_id=source.version_id,
        ask=ask, verb="export", wanted=source.has,
    )  # fmt: skip


def refusals(ws: Workspace, source: Source, ask: gate.Ask) -> list[gate.Reason]:
    """Why the gate would not let it pass, [] when it would. The override in `ask` is not looked at.

    Raises:
        InvalidInput: an audience or a purpose that is none.
    """
    return gate.check(
        ws, dataset_id=source.dataset_id, rev=source.rev, filter=source.filter, version_id=source.version_id,
        ask=gate.checked(replace(ask, override="")), wanted=source.has,
    )  # fmt: skip


# --- reading ---------------------------------------------------------------------------------------------------------


def _pages(ws: Workspace, source: Source) -> Iterator[list[Member]]:
    for page in rows.member_pages(ws.db, source.dataset_id, source.rev, source.filter):
        yield page if source.ids is None else [m for m in page if source.has(m.asset_id)]


def parts(ws: Workspace, source: Source) -> Iterator[list[Member]]:
    """The pictures that are wanted, `PART` at a time."""
    for page in _pages(ws, source):
        yield from (page[i : i + PART] for i in range(0, len(page), PART))


def items(ws: Workspace, source: Source, part: Sequence[Member]) -> tuple[list[Item], int]:
    """The pictures of a part with their objects at the revision; and how many of them are turned by EXIF."""
    ids = [m.asset_id for m in part]
    with ws.db.read() as conn:
        facts = rows.facts(conn, ids)
        sets = dict(queries.sets_at(conn, ids, source.rev))
        turned = rows.turned(conn, ids)
    out = []
    codes, predictions, splits = source.codes, source.filter.predictions, source.splits or {}
    for m in part:
        fact = facts[m.asset_id]
        kept = tuple(
            labelling.value(r)
            for r in sets[m.asset_id]
            if (predictions or r.origin != "model") and (codes is None or r.label in codes)
        )
        w, h = fact.wh or (None, None)
        review = m.review if m.review != REVIEWS[0] else ""
        split = m.split or splits.get(m.asset_id, "")
        out.append(Item(m.asset_id, fact, Record(fact.key, w, h, kept, split, review)))
    return out, turned

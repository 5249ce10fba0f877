"""Put the pictures of a dataset into train, val and test: whole groups of near duplicates, cameras, places or stretches of time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.engine import Connection

from annotation import splits
from annotation.errors import InvalidInput
from annotation.splits import Candidate, How
from app.events import Finished, Progress, Started, Warned, Work
from app.services import bulk
from app.services.bulk import Pick
from app.services.workspace import Workspace
from storage import queries, record
from storage import versions as rows
from storage.queries import Query
from storage.tables import LIKENESS, ORIGINS
from storage.versions import Filter, Member

GROUPS = ("near", "camera", "place", "time")
GAP_S = 600
"""Seconds without a picture that end a stretch of time."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How pictures are put into splits.

    Attributes:
        shares: of train, val and test; their sum is 1.
        groups: of GROUPS. near: what cleaning found alike; camera: one folder; place: one source; time: pictures of a
            folder with less than GAP_S between them (without a time: the whole folder).
    """

    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    how: How = "random"
    groups: tuple[str, ...] = ("near",)
    seed: int = 0


def checked(rule: Rule) -> Rule:
    """The rule, if it names what we know.

    Raises:
        InvalidInput: it does not.
    """
    for what, given, known in (
        ("way", (rule.how,), ("random", "stratified")),
        ("group", rule.groups, GROUPS),
    ):
        if wrong := [g for g in given if g not in known]:
            raise InvalidInput(f"the {what} {wrong[0]!r} is not known", remedy=f"one of {', '.join(known)}")
    return rule


@dataclass(frozen=True, slots=True)
class Plan:
    """Which split each picture goes to, and what came of the rule.

    Attributes:
        splits: asset id -> train, val or test.
        groups: number of groups; the largest has `largest` pictures.
        labels: class code -> objects in train, val and test.
        looked: whether near duplicates were ever looked for in this dataset.
    """

    splits: Mapping[int, str]
    groups: int
    largest: int
    labels: Mapping[str, tuple[int, int, int]]
    looked: bool

    def counts(self) -> dict[str, int]:
        """Pictures of each split."""
        held = Counter(self.splits.values())
        return {name: held[name] for name in splits.NAMES}


def plan(
    ws: Workspace,
    dataset_id: int,
    rule: Rule,
    *,
    rev: int,
    filter: Filter,
    wanted: Callable[[int], bool] | None = None,
    counted: bool = False,
) -> Plan:
    """What a rule makes of a dataset's state at a revision. Nothing is written.

    Args:
        wanted: asset id -> whether it takes part; by default all that pass the filter.
        counted: objects of each class are counted for a rule that does not need them, too.
    """
    checked(rule)
    with ws.db.read() as conn:
        near = _near(conn, dataset_id) if "near" in rule.groups else {}
        looked = "near" not in rule.groups or bool(near) or _was_looked(conn, dataset_id)
    known = _Known()
    for page in rows.member_pages(ws.db, dataset_id, rev, filter):
        members = [m for m in page if wanted is None or wanted(m.asset_id)]
        for part in (members[i : i + 500] for i in range(0, len(members), 500)):
            with ws.db.read() as conn:
                known.add(conn, part, rev, with_labels=counted or rule.how == "stratified")
    times = known.stretches() if "time" in rule.groups else {}
    candidates = [
        Candidate(key, tuple(_groups(rule.groups, asset_id, key, near, times)), known.labels.get(asset_id))
        for asset_id, key in known.keys.items()
    ]
    chosen = splits.assign(candidates, rule.shares, how=rule.how, seed=rule.seed)
    groups = splits.joined(candidates)
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for candidate, split in zip(candidates, chosen, strict=True):
        for label, n in (candidate.labels or {}).items():
            totals[label][splits.NAMES.index(split)] += n
    return Plan(
        dict(zip(known.keys, chosen, strict=True)), len(groups), max(map(len, groups), default=0),
        {k: (v[0], v[1], v[2]) for k, v in sorted(totals.items())}, looked,
    )  # fmt: skip


def run(ws: Workspace, dataset: str, rule: Rule, *, where: str = "", dry_run: bool = False) -> Work:
    """Write the splits of a rule into the record, as one step that undo takes back.

    Args:
        where: only pictures that meet this query take part; the others keep their split.

    Raises:
        NotFound: no such dataset. InvalidInput: a rule or a query that cannot be read.
    """
    checked(rule)
    with ws.db.read() as conn:
        data = queries.dataset(conn, dataset)
        rev = record.newest(conn)
    query = Query(data.id, where=where, me=ws.person.id)
    ids = None if not where else set(bulk.pictures(ws, Pick(query)))
    yield Started(f"split {data.name}")
    made = plan(
        ws, data.id, rule, rev=rev, filter=Filter(), wanted=None if ids is None else ids.__contains__, counted=dry_run
    )  # fmt: skip
    if not made.looked:
        yield Warned(
            "near duplicates were not looked for in this dataset; `lamproom clean` finds them", data.name
        )
    told: dict[str, object] = {
        "dataset": data.name, "splits": made.counts(), "groups": made.groups, "largest_group": made.largest,
        "classes": {k: list(v) for k, v in made.labels.items()}, "rule": _told(rule),
    }  # fmt: skip
    if dry_run:
        yield Finished({**told, "written": False})
        return
    last: Finished | None = None
    for event in bulk.split(ws, Pick(query, ids=sorted(made.splits)), made.splits, rule=_told(rule)):
        match event:
            case Finished():
                last = event
            case Progress():
                yield event
    assert last is not None
    yield Finished({**told, "written": True, **last.result}, last.changes)


def _told(rule: Rule) -> dict[str, object]:
    return {
        "shares": ":".join(f"{s:g}" for s in rule.shares), "how": rule.how, "groups": list(rule.groups), "seed": rule.seed
    }  # fmt: skip


def _near(conn: Connection, dataset_id: int) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for kind, asset_id, group in conn.exec_driver_sql(
        f"SELECT kind, asset_id, group_id FROM likeness WHERE dataset_id = {dataset_id}"
    ):
        found[asset_id].append(f"{LIKENESS[kind]} {group}")
    return found


def _was_looked(conn: Connection, dataset_id: int) -> bool:
    sql = f"SELECT 1 FROM job WHERE kind = 'likeness' AND outcome = 'finished' AND dataset_id = {dataset_id} LIMIT 1"
    return conn.exec_driver_sql(sql).first() is not None


def _groups(
    wanted: Sequence[str],
    asset_id: int,
    key: str,
    near: Mapping[int, Sequence[str]],
    times: Mapping[int, str],
) -> Iterator[str]:
    if "near" in wanted:
        yield from near.get(asset_id, ())
    if "camera" in wanted:
        yield f"camera {key.rpartition('/')[0]}"
    if "place" in wanted:
        yield f"place {key.partition('/')[0]}"
    if "time" in wanted:
        yield times[asset_id]


@dataclass(slots=True)
class _Known:
    """What the rule needs of each picture, gathered page by page."""

    keys: dict[int, str] = field(default_factory=dict)
    taken: dict[int, int] = field(default_factory=dict)
    labels: dict[int, dict[str, int]] = field(default_factory=dict)

    def add(self, conn: Connection, part: Sequence[Member], rev: int, *, with_labels: bool) -> None:
        ids = ",".join(str(m.asset_id) for m in part)
        for asset_id, code, path, taken in conn.exec_driver_sql(
            "SELECT s.id, r.code, s.path, s.taken_ms FROM asset s JOIN source_root r ON r.id = s.source_root_id "
            f"WHERE s.id IN ({ids}) ORDER BY s.id"
        ):
            self.keys[asset_id] = f"{code}/{path}"
            if taken is not None:
                self.taken[asset_id] = taken
        if with_labels:
            for asset_id, label, n in conn.exec_driver_sql(
                "SELECT n.asset_id, l.code, count(*) FROM annotation n JOIN label l ON l.id = n.label_id "
                f"WHERE n.asset_id IN ({ids}) AND n.born <= {rev} AND (n.died IS NULL OR n.died > {rev}) "
                f"AND n.origin <> {ORIGINS.index('model')} GROUP BY 1, 2"
            ):
                self.labels.setdefault(asset_id, {})[label] = n

    def stretches(self) -> dict[int, str]:
        """The stretch of time of each picture: of its folder, without a gap of GAP_S."""
        folders: dict[str, list[int]] = defaultdict(list)
        for asset_id, key in self.keys.items():
            folders[key.rpartition("/")[0]].append(asset_id)
        out: dict[int, str] = {}
        for folder, ids in folders.items():
            last, n = None, 0
            for asset_id in sorted(ids, key=lambda i: self.taken.get(i, -1)):
                at = self.taken.get(asset_id)
                if at is not None and (last is None or at - last > 1000 * GAP_S):
                    n += 1
                last = at if at is not None else last
                out[asset_id] = f"time {n} {folder}"
        return out

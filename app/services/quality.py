"""What is known of the quality of a frozen version: each figure with its formula, sample size and 95 % interval.

Read from the record as it stood when the version was frozen, page by page; equal records give equal figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.engine import Connection

from annotation import checks, shares
from annotation.labels import LabelSchema
from annotation.shares import Draws
from app.events import Finished, Progress, Started, Work
from app.services import labelling
from app.services.acceptance import Acceptance, looked_since
from app.services.cleaning import DULL
from app.services.leakage import Leakage
from app.services.metric import Metric, share
from app.services.workspace import Workspace
from storage import queries, verdicts
from storage import versions as rows
from storage.manifest import Fact
from storage.tables import OPS, REVIEWS, SEEN, SPLITS
from storage.verdicts import Picture
from storage.versions import Member, Version

FORMAT = "lamproom-quality-1"
CHECKED = 5_000
"""Pictures whose objects are put to the rules of the problem list; of larger versions a sample by digest, named as such."""
PART = 500
SIDES = (32, 96)
"""Sides in px between small, medium and large boxes, as COCO has them: by area, 32² and 96²."""


@dataclass(frozen=True, slots=True)
class Quality:
    """All figures of a version, with what its charts are drawn from."""

    version: str
    root: str | None
    revision: int
    metrics: tuple[Metric, ...]
    classes: tuple[dict[str, Any], ...] = ()
    splits: Mapping[str, int] = field(default_factory=dict)
    reviews: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    models: tuple[dict[str, Any], ...] = ()
    evaluations: tuple[dict[str, Any], ...] = ()
    issues: Mapping[str, int] = field(default_factory=dict)
    folders: int = 0

    def metric(self, id: str, about: str = "") -> Metric:
        """The figure of that name; KeyError."""
        return next(m for m in self.metrics if m.id == id and m.about == about)

    def to_json(self) -> dict[str, object]:
        """Plain JSON values."""
        return {"format": FORMAT, **asdict(self)}


def measure(ws: Workspace, version: Version, schema: LabelSchema) -> Work:
    """Work out all figures; the last event's result is the `Quality` under "quality"."""
    seed = int.from_bytes(blake3(f"{version.dataset} r{version.rev}".encode()).digest(8), "big")
    with ws.db.read() as conn:
        total = queries.dataset(conn, version.dataset_id).n_assets
        models = _models(conn, version)
    tally = _Tally(version, schema, seed, models, total)
    yield Started(f"quality {version.ref}", total)
    for page in rows.member_pages(ws.db, version.dataset_id, version.rev, version.filter):
        for i in range(0, len(page), PART):
            part = page[i : i + PART]
            if part:
                with ws.db.read() as conn:
                    tally.add(conn, part)
                yield Progress(tally.pictures, total)
    with ws.db.read() as conn:
        found = tally.told(conn)
    yield Finished({"quality": found})


@dataclass(frozen=True, slots=True)
class _Model:
    name: str
    digest: bytes
    ran: tuple[verdicts.Ran, ...]
    acceptance: Acceptance


def _models(conn: Connection, version: Version) -> tuple[tuple[str, bytes, tuple[verdicts.Ran, ...]], ...]:
    """Models that ran on the dataset before the version was frozen."""
    digests = conn.execute(
        sa.text(
            "SELECT DISTINCT v.model_digest FROM job j JOIN activity v ON v.id = j.activity_id "
            "WHERE j.kind = 'prelabel' AND j.dataset_id = :d AND (j.step IS NULL OR j.step <= :r) AND v.model_digest IS NOT NULL "
            "AND v.id < :f"
        ),
        {"d": version.dataset_id, "r": version.rev, "f": version.activity_id},
    ).scalars().all()  # fmt: skip
    out = []
    for digest in sorted(bytes(d) for d in digests):
        name = conn.execute(
            sa.text("SELECT name FROM onnx_model WHERE sha256 = :s ORDER BY id DESC LIMIT 1"), {"s": digest}
        ).scalar()
        ran = tuple(r for r in verdicts.runs(conn, version.dataset_id, digest) if r.revision <= version.rev)
        out.append((str(name or digest.hex()[:12]), digest, ran))
    return tuple(out)


class _Tally:
    """Counts that grow with every page."""

    def __init__(
        self, version: Version, schema: LabelSchema, seed: int,
        models: Sequence[tuple[str, bytes, tuple[verdicts.Ran, ...]]], total: int,
    ) -> None:  # fmt: skip
        self.version, self.schema = version, schema
        self.models = [_Model(name, digest, ran, Acceptance(schema)) for name, digest, ran in models]
        self.codes = [label.code for label in schema.labels]
        self.places = {c: i for i, c in enumerate(self.codes)}
        self.pictures = self.labelled = self.objects = 0
        self.draws = Draws(
            len(self.codes) + 2, seed
        )  # objects of each class, all objects, sum of their relative sides
        self.with_class: Counter[str] = Counter()
        self.by_class: Counter[str] = Counter()
        self.by_split: dict[str, Counter[str]] = {}
        self.origin: Counter[str] = Counter()
        self.splits: Counter[str] = Counter()
        self.reviews: Counter[str] = Counter()
        self.sizes: dict[str, list[int]] = {}
        self.agreed = Agreement()
        self.decisions: Counter[str] = Counter()
        self.firsts: Counter[str] = Counter()
        self.dull: Counter[str] = Counter()
        self.measured = 0
        self.unread: set[int] = set()
        self.remarked = 0
        self.issues: Counter[str] = Counter()
        self.with_issue: Counter[str] = Counter()
        self.checked = self.checked_objects = 0
        self.keep_every = total <= CHECKED
        self.threshold = min(1.0, CHECKED / max(1, total)) * 2**32
        self.leakage = Leakage()

    def add(self, conn: Connection, part: Sequence[Member]) -> None:
        """Count a page."""
        ids = [m.asset_id for m in part]
        rev = self.version.rev
        pictures = verdicts.pictures(conn, ids, rev)
        members = verdicts.memberships(conn, self.version.dataset_id, ids)
        facts = rows.facts(conn, ids)
        table = np.zeros((len(part), len(self.codes) + 2))
        for k, m in enumerate(part):
            self._picture(m, pictures[m.asset_id], facts[m.asset_id], table[k])
            for model in self.models:
                since = looked_since(pictures[m.asset_id], model.digest, model.ran, members[m.asset_id])[0]
                model.acceptance.add(
                    pictures[m.asset_id], model.digest, since, facts[m.asset_id].wh or (None, None)
                )
        self.draws.add(table)
        self.agreed.add(conn, self.version, ids)
        self._reviews(conn, ids)
        self._looks(conn, ids)
        self.leakage.add(conn, self.version.dataset_id, part)

    def _picture(self, m: Member, picture: Picture, fact: Fact, row: Any) -> None:
        truth = picture.truth()
        self.pictures += 1
        self.labelled += bool(truth)
        self.splits[m.split] += 1
        self.reviews[m.review] += 1
        self.objects += len(truth)
        self.with_class.update({t.label for t in truth})
        self.by_class.update(t.label for t in truth)
        self.by_split.setdefault(m.split, Counter()).update(t.label for t in truth)
        for t in truth:
            self.origin[t.origin] += 1
            if t.label in self.places:
                row[self.places[t.label]] += 1
            row[-2] += 1
            if t.box is not None:
                w, h = (t.box[2] - t.box[0]) / 1000, (t.box[3] - t.box[1]) / 1000
                size = self.sizes.setdefault(t.label, [0, 0, 0])
                size[sum(w * h >= side * side for side in SIDES)] += 1
                if fact.wh and w > 0 and h > 0:
                    row[-1] += float(np.sqrt(w * h / (fact.wh[0] * fact.wh[1])))
        if self.keep_every or int(fact.asset[:8], 16) < self.threshold:
            self.checked += 1
            self.checked_objects += len(truth)
            found = checks.check(tuple(labelling.value(t) for t in truth), self.schema, fact.wh)
            self.issues.update(i.code for i in found)
            self.with_issue.update({i.code for i in found})

    def _reviews(self, conn: Connection, ids: Sequence[int]) -> None:
        first: set[int] = set()
        sql = (
            "SELECT i.asset_id, i.review, c.op FROM item i JOIN change c ON c.rev = i.born "
            f"WHERE i.asset_id IN ({','.join(map(str, ids))}) AND i.dataset_id = :d AND i.born <= :r AND i.review >= :a "
            "AND c.verb LIKE :v ORDER BY i.id"
        )
        at = {
            "d": self.version.dataset_id,
            "r": self.version.rev,
            "a": REVIEWS.index("accepted"),
            "v": "review%",
        }
        for asset_id, review, op in conn.execute(sa.text(sql), at):
            if OPS[op] == "do":
                self.decisions[REVIEWS[review]] += 1
                if asset_id not in first:
                    first.add(asset_id)
                    self.firsts[REVIEWS[review]] += 1

    def _looks(self, conn: Connection, ids: Sequence[int]) -> None:
        listed = ",".join(map(str, ids))
        columns = {"blurred": "sharpness", "dark": "brightness", "glare": "glare", "haze": "haze"}
        for r in conn.exec_driver_sql(
            f"SELECT {', '.join(columns[name] for name in DULL)} FROM measure WHERE phash IS NOT NULL AND asset_id IN ({listed})"
        ):
            self.measured += 1
            for value, (name, (_, sign, limit)) in zip(r, DULL.items(), strict=True):
                self.dull[name] += value / 1000 < limit if sign == "<" else value / 1000 > limit
        self.unread |= set(
            conn.exec_driver_sql(
                f"SELECT DISTINCT asset_id FROM problem WHERE asset_id IN ({listed})"
            ).scalars()
        )
        self.remarked += conn.exec_driver_sql(
            f"SELECT count(DISTINCT asset_id) FROM remark WHERE asset_id IN ({listed}) AND parent IS NULL AND resolved = 0 "
            f"AND born <= {self.version.rev} AND (died IS NULL OR died > {self.version.rev})"
        ).scalar_one()

    # -- telling -----------------------------------------------------------------------------------------------------

    def told(self, conn: Connection) -> Quality:
        """All figures."""
        evaluations = _evaluations(conn, self.version)
        out = [*self._whole(), *self.agreed.metrics(), *self._models(), *_judged(evaluations), *self._balance(),
               *self.leakage.metrics(conn, self.version.dataset_id), *self._seen(conn)]  # fmt: skip
        return Quality(
            self.version.ref, self.version.root, self.version.rev, tuple(out), self._classes(),
            {s or "none": self.splits[s] for s in SPLITS if self.splits[s]},
            {r: self.reviews[r] for r in REVIEWS if self.reviews[r]},
            {c: tuple(self.sizes[c]) for c in self._order() if c in self.sizes},
            tuple({"name": m.name, "sha256": m.digest.hex(), **m.acceptance.told()} for m in self.models),
            evaluations, dict(self.issues.most_common()), self.leakage.folders,
        )  # fmt: skip

    def _order(self) -> list[str]:
        return sorted(self.by_class, key=lambda c: (-self.by_class[c], c))

    def _classes(self) -> tuple[dict[str, Any], ...]:
        return tuple(
            {"label": c, "objects": self.by_class[c], "pictures": self.with_class[c],
             "splits": {s or "none": n[c] for s, n in sorted(self.by_split.items()) if n[c]}}
            for c in self._order()
        )  # fmt: skip

    def _whole(self) -> Iterator[Metric]:
        yield Metric("pictures", self.pictures, self.pictures, "pictures")
        yield Metric("objects", self.objects, self.objects, "objects")
        yield share("labelled", self.labelled, self.pictures, "pictures")
        yield share("accepted", self.reviews["accepted"], self.pictures, "pictures")
        decided = self.decisions["accepted"] + self.decisions["returned"]
        yield share(
            "returned",
            self.decisions["returned"],
            decided,
            "decisions",
            why="no picture was accepted or returned in review",
        )
        yield share(
            "first_pass",
            self.firsts["accepted"],
            sum(self.firsts.values()),
            "pictures",
            why="no picture was accepted or returned in review",
        )
        yield share("human", self.origin["human"], self.objects, "objects")

    def _models(self) -> Iterator[Metric]:
        for m in self.models:
            told = m.acceptance.told()
            for about, f in [
                (m.name, told["total"]),
                *((f"{m.name} · {c['label']}", c) for c in told["classes"]),
            ]:
                good = f["kept"] + f["moved"] + f["relabelled"]
                yield share(
                    "model_accepted",
                    good,
                    good + f["rejected"],
                    "predictions",
                    about=about,
                    why="nobody decided on its predictions",
                )
                yield share(
                    "model_untouched",
                    f["kept"],
                    good + f["rejected"],
                    "predictions",
                    about=about,
                    why="nobody decided on its predictions",
                )

    def _balance(self) -> Iterator[Metric]:
        counts = self.draws.total[:-2]
        value = float(shares.evenness(counts)[0])
        low, high = self.draws.bounds(shares.evenness(self.draws.drawn[:, :-2])) or (None, None)
        if np.isfinite(value):
            yield Metric("evenness", value, self.objects, "objects", None, low, high, "bootstrap")
        else:
            yield Metric("evenness", None, self.objects, "objects", why="fewer than two classes occur")
        for i, (id, of) in enumerate((("objects_per_picture", "pictures"), ("relative_side", "objects"))):
            top, below = ((-2, None), (-1, -2))[i]
            n = self.pictures if below is None else self.objects
            if not n:
                yield Metric(id, None, 0, of, why="nothing to count")
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                drawn = self.draws.drawn[:, top] / (
                    self.draws.n if below is None else self.draws.drawn[:, below]
                )
            low, high = self.draws.bounds(drawn) or (None, None)
            yield Metric(id, float(self.draws.total[top] / n), n, of, None, low, high, "bootstrap")
        small = sum(s[0] for s in self.sizes.values())
        boxes = sum(sum(s) for s in self.sizes.values())
        yield share("small", small, boxes, "objects", why="no object has a box")

    def _seen(self, conn: Connection) -> Iterator[Metric]:
        why = "not measured: look for duplicates or faults of pictures first"
        for name in DULL:
            yield share(name, self.dull[name], self.measured, "pictures", why=why)
        exact = conn.execute(
            sa.text(
                "SELECT count(*) FROM seen_file WHERE state = :s AND activity_id IN "
                "(SELECT activity_id FROM link WHERE entity = 'dataset' AND ref = :d AND role = 'generated')"
            ),
            {"s": SEEN.index("duplicate"), "d": self.version.dataset},
        ).scalar_one()
        yield Metric("copies", exact, exact + self.pictures, "files")
        removed = conn.execute(
            sa.text(
                "SELECT count(DISTINCT i.asset_id) FROM item i JOIN change c ON c.rev = i.died WHERE i.dataset_id = :d "
                "AND c.verb = 'clean' AND c.op <> 1 AND i.died <= :r AND NOT EXISTS (SELECT 1 FROM item k WHERE "
                "k.dataset_id = :d AND k.asset_id = i.asset_id AND k.born >= i.died AND k.born <= :r)"
            ),
            {"d": self.version.dataset_id, "r": self.version.rev},
        ).scalar_one()
        yield Metric("cleaned", removed, removed + self.pictures, "pictures")
        yield share("required_missing", self.with_issue["required"], self.checked, "pictures")
        faulty = sum(n for code, n in self.issues.items() if code not in ("outside",))
        yield Metric("issues", faulty, self.checked_objects, "objects")
        yield share("unreadable", len(self.unread), self.pictures, "pictures")
        yield Metric("remarks", self.remarked, self.pictures, "pictures")


class Agreement:
    """How far a second person left what a first one drew or accepted: object by object.

    An object counts when a person made it as it was, and another person then changed or deleted it, or accepted its picture
    in review and left it. Made again by undo, nothing is said by it.
    """

    def __init__(self) -> None:
        self.same = self.changed = self.other_class = self.gone = 0

    def add(self, conn: Connection, version: Version, ids: Sequence[int]) -> None:
        """Count the objects of some pictures."""
        listed, rev = ",".join(map(str, ids)), version.rev
        judged: dict[int, list[tuple[int, int]]] = {}
        for asset_id, born, agent in conn.exec_driver_sql(
            f"SELECT i.asset_id, c.rev, c.agent_id FROM item i JOIN change c ON c.rev = i.born WHERE i.asset_id IN ({listed}) "
            f"AND i.dataset_id = {version.dataset_id} AND i.review = {REVIEWS.index('accepted')} AND i.born <= {rev}"
        ):
            judged.setdefault(asset_id, []).append((born, agent))
        known = conn.exec_driver_sql(
            "SELECT n.asset_id, n.uid, n.label_id, n.born, n.died, c.agent_id, c.op, e.agent_id, e.op, g.kind FROM annotation n "
            "JOIN change c ON c.rev = n.born JOIN agent h ON h.id = c.agent_id LEFT JOIN change e ON e.rev = n.died "
            f"LEFT JOIN agent g ON g.id = e.agent_id WHERE n.asset_id IN ({listed}) AND n.born <= {rev} AND n.origin = 0 "
            "AND h.kind = 'person' ORDER BY n.id"
        ).all()
        after = {(a, bytes(uid), born): label for a, uid, label, born, *_ in known}
        for asset_id, uid, label, born, died, maker, op, closer, closing, kind in known:
            if op:
                continue
            if died is not None and died <= rev:
                if closing or kind != "person" or closer == maker:
                    continue
                now = after.get((asset_id, bytes(uid), died))
                if now is None:
                    self.gone += 1
                elif now != label:
                    self.other_class += 1
                else:
                    self.changed += 1
            elif any(at > born and who != maker for at, who in judged.get(asset_id, ())):
                self.same += 1

    def metrics(self) -> Iterator[Metric]:
        """Left exactly as it was; kept with its class."""
        n = self.same + self.changed + self.other_class + self.gone
        why = "no object was seen by two people"
        yield share("agreement", self.same, n, "objects", why=why)
        yield share("class_agreement", self.same + self.changed, n, "objects", why=why)


def _evaluations(conn: Connection, version: Version) -> tuple[dict[str, Any], ...]:
    """Evaluations against this version, and those on its dataset from before it was frozen, newest first."""
    out = []
    for k in verdicts.kept(conn, version.dataset, limit=50):
        against = k.report.get("against") or {}
        mine = against.get("kind") == "version" and against.get("name") in (version.ref, version.tag)
        if not mine and k.activity_id > version.activity_id:
            continue
        out.append(
            {"activity": k.activity_id, "against": dict(against), "pictures": k.report["pictures"]["counted"], "by": k.report["by"],
             "source": k.report["source"],
             "models": [{"name": m["name"], "sha256": m["sha256"], "ap": m["ap"], "ap50": m["ap50"], "draws": m["draws"],
                         "truth": sum(c["truth"] for c in m["classes"])} for m in k.report["models"]]}
        )  # fmt: skip
    return tuple(out)


def _judged(evaluations: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    for e in evaluations:
        for m in e["models"]:
            for id in ("ap", "ap50"):
                if m[id]:
                    value, low, high = m[id][:3]
                    yield Metric(id, value, e["pictures"], "pictures", None, max(0.0, low), min(1.0, high), "bootstrap",
                                 f"{m['name']} · #{e['activity']}")  # fmt: skip
    if not evaluations:
        yield Metric("ap", None, 0, "pictures", why="no model was judged against it")

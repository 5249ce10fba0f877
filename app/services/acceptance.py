"""What people made of a model's predictions, by class: what was kept, moved, relabelled, rejected, and drawn by hand.

The record remembers all of it: an accepted prediction is a person's row of the same object, a rejected one a closed row.
No minutes are invented: what pre-labelling saved is told as objects that nobody had to draw.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from annotation import overlap
from annotation.core import Ellipse, Mask, Polygon, Quad, RotatedBox, Shape
from annotation.overlap import By
from annotation.schema import LabelSchema
from app.events import Finished, Progress, Started, Work
from app.services import labelling, onnx
from app.services import schema as schemas
from app.services.orders import UNTOUCHED
from app.services.workspace import Workspace
from storage import queries, record, verdicts
from storage.queries import Query
from storage.verdicts import Membership, Picture, Ran, Said

COUNTS = ("kept", "moved", "relabelled", "rejected", "undecided", "missed")
PART = 500


def run(ws: Workspace, dataset: str, model: str, *, where: str = "") -> Work:
    """Count a model's predictions on a dataset by what became of them.

    kept: truth as it was said. moved: its shape was changed. relabelled: its class was changed (and perhaps its shape).
    rejected: thrown away, at once or after it was accepted. undecided: nobody said anything yet. missed: drawn by hand on a
    picture after the model ran there; objects of another model, of an import, or drawn before are not counted.

    Raises:
        NotFound: no such dataset or model.
    """
    row = onnx.show(ws, model)
    digest = bytes.fromhex(row.sha256)
    with ws.db.read() as conn:
        data = queries.dataset(conn, dataset)
        revision = record.newest(conn)
        ran = verdicts.runs(conn, data.id, digest)
    schema = schemas.current(ws, data.schema_code)
    query = Query(data.id, where=where, me=ws.person.id)
    yield Started(f"acceptance {data.name} · {row.name}", data.n_assets)
    tally = Acceptance(schema)
    after, seen, shown = 0, 0, 0.0
    while True:
        with ws.db.read() as conn:
            ids = queries.asset_ids(conn, query, after=after, limit=PART)
            pictures = verdicts.pictures(conn, ids, revision)
            sizes = {i.asset_id: (i.width_px, i.height_px) for i in queries.items_of(conn, data.id, ids)}
            members = verdicts.memberships(conn, data.id, ids)
        if not ids:
            break
        for asset_id, picture in pictures.items():
            tally.add(
                picture, digest, looked_since(picture, digest, ran, members[asset_id])[0], sizes[asset_id]
            )
        after, seen = ids[-1], seen + len(ids)
        now = time.monotonic()
        if now - shown > 0.1:
            shown = now
            yield Progress(seen, None)
    yield Finished(
        {
            "dataset": data.name,
            "model": row.name,
            "sha256": row.sha256,
            "where": where,
            "pictures": tally.pictures,
            **tally.told(),
        }
    )


def looked_since(
    picture: Picture, model: bytes, ran: Sequence[Ran], member: Membership
) -> tuple[int | None, bool]:
    """(revision at which a model first looked at a picture, None when it is not known to have; whether that is doubtful).

    A row of the model tells it. Where it found nothing, its jobs do: those that were to take every picture, every one in a
    state or without human work, which the record can tell for the past. Which pictures met another query then, it cannot.
    """
    since = [picture.first_run(model)] if picture.said(model) else []
    doubtful = False
    for job in ran:
        if not job.reached(picture.asset_id) or member.joined > job.revision:
            continue
        state, where = job.params.get("state"), job.params.get("where") or ""
        if state is not None and picture.state(job.revision) != state:
            continue
        if where == UNTOUCHED:
            if not picture.had_truth(job.revision) and member.review(job.revision + 1) == "draft":
                since.append(job.revision)
        elif where:
            doubtful = True
        else:
            since.append(job.revision)
    return min((r for r in since if r is not None), default=None), doubtful


class Acceptance:
    """What became of one model's predictions, counted by class while pictures are added."""

    def __init__(self, schema: LabelSchema) -> None:
        self.schema = schema
        self.pictures = 0
        self.counts: dict[str, Counter[str]] = {}
        self.overlaps: dict[str, list[float]] = {}  # sum, number
        self.turned: Counter[tuple[str, str]] = Counter()

    def add(
        self, picture: Picture, digest: bytes, since: int | None, wh: tuple[int | None, int | None]
    ) -> None:
        """Count a picture that a model with this digest first looked at in revision `since`; None = never."""
        if since is None:
            return
        self.pictures += 1
        for said in picture.said(digest):
            code = self._now(said.row.label)
            self._one(code)[self._verdict(said, code, wh)] += 1
        for drawn, born in picture.by_hand():
            if born > since:
                self._one(drawn.label)["missed"] += 1

    def _one(self, code: str) -> Counter[str]:
        return self.counts.setdefault(code, Counter())

    def _now(self, code: str) -> str:
        """What the schema calls the class today: forwarding a retired class is no person's judgement."""
        for _ in range(20):
            label = self.schema.label(code)
            if label is None or label.retired_to is None:
                break
            code = label.retired_to
        return code

    def _verdict(self, said: Said, code: str, wh: tuple[int | None, int | None]) -> str:
        if said.verdict != "accepted" or said.now is None:
            return said.verdict
        if self._now(said.now.label) != code:
            self.turned[code, self._now(said.now.label)] += 1
            return "relabelled"
        same = (said.row.kind, said.row.box, said.row.geometry) == (
            said.now.kind,
            said.now.box,
            said.now.geometry,
        )
        if same:
            return "kept"
        found = self.overlaps.setdefault(code, [0.0, 0])
        found[0] += _overlap(said, wh)
        found[1] += 1
        return "moved"

    def told(self) -> dict[str, Any]:
        """The counts of each class and of all, and what they come to."""
        classes = [
            {"label": code, **_figures(counts, self.overlaps.get(code))}
            for code, counts in sorted(self.counts.items(), key=lambda x: (-sum(x[1].values()), x[0]))
        ]
        total: Counter[str] = Counter()
        for counts in self.counts.values():
            total.update(counts)
        both = [sum(v) for v in zip(*self.overlaps.values(), strict=True)] or None
        turned = [{"from": a, "to": b, "n": n} for (a, b), n in self.turned.most_common(50)]
        return {"classes": classes, "total": _figures(total, both), "relabelled_to": turned}


def _figures(counts: Counter[str], overlaps: Sequence[float] | None) -> dict[str, Any]:
    """The counts with what they come to. saved: share of the objects that nobody drew; untouched: that nobody changed either;
    precision: share of the decided predictions that were of use; None where there is nothing to divide by."""
    kept, changed = counts["kept"], counts["moved"] + counts["relabelled"]
    objects, decided = kept + changed + counts["missed"], kept + changed + counts["rejected"]
    return {
        **{key: counts[key] for key in COUNTS},
        "moved_iou": overlaps[0] / overlaps[1] if overlaps and overlaps[1] else None,
        "saved": (kept + changed) / objects if objects else None,
        "untouched": kept / objects if objects else None,
        "precision": (kept + changed) / decided if decided else None,
    }


def _overlap(said: Said, wh: tuple[int | None, int | None]) -> float:
    """How far the object still covers what the model said: masks by pixels, turned shapes by polygons, else boxes."""
    assert said.now is not None
    pair = [labelling.value(row) for row in (said.row, said.now)]
    by = _by([a.shape for a in pair])
    size = (wh[0], wh[1]) if wh[0] and wh[1] else None
    if by == "mask" and size is None:
        by = "box"
    before, after = (overlap.objects([a], {a.label: 0}, by=by, wh=size) for a in pair)
    return float(overlap.iou(before, after)[0, 0]) if len(before) and len(after) else 0.0


def _by(shapes: Sequence[Shape]) -> By:
    if any(isinstance(s, Mask | Polygon | Ellipse) for s in shapes):
        return "mask"
    return "rotated" if any(isinstance(s, RotatedBox | Quad) for s in shapes) else "box"

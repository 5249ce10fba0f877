"""What a pre-label job would do, before it does it: counts, rate on this machine, hours, classes. Writes nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.events import Finished, Progress, Started, Warned, Work
from app.services import orders, prelabel, preview
from app.services import schema as schemas
from app.services.onnx import ModelRow
from app.services.workspace import Workspace
from models.recipe import Recipe
from storage import queries
from storage.queries import DatasetRow, Query
from storage.record import MODEL

SAMPLE = 24
"""Pictures that are predicted to learn the rate, drawn evenly from the whole."""
ENOUGH_S = 6.0
"""After so long the rate is known well enough, whatever number of pictures it was."""
WARM = 4
"""The first pictures warm the machine up and are not timed."""


def run(ws: Workspace, dataset: str, model: str, *, threads: int | None = None, **asked: Any) -> Work:
    """The figures of `prelabel.run` with the same arguments; nothing is written to the record.

    Finished.result holds: pictures, with_human_work, replaced (this model's own predictions that would go), classes (model
    class, what it is called, and whether the schema lacks it), rate and hours on this machine, objects (estimated).

    Raises:
        NotFound, InvalidInput, Unavailable: as the job itself would.
    """
    data, row, wanted = orders.asked(ws, dataset, model, **asked)
    query, recipe = orders.query_of(ws, data, wanted), orders.recipe_of(wanted)
    yield Started(f"dry run: prelabel {data.name} · {row.name}")
    with ws.db.read() as conn:
        total = queries.count_items(conn, query)
        human = _with_human_work(conn, data, query)
        replaced = _own(conn, query, bytes.fromhex(row.sha256))
    yield Progress(0, min(SAMPLE, total))
    classes = _classes(ws, data, row, recipe)
    sample = [place for _, place in preview.spread(ws, query, SAMPLE)]
    times: list[float] = []
    objects = problems = 0
    if sample:
        choice, warned = prelabel.opened(
            ws, row, query, recipe, wanted["provider"], enumerate(sample), threads=threads, left=total
        )
        yield from warned
        with choice.opened as work:
            began = time.perf_counter()
            for result in work:
                times.append(time.perf_counter())
                objects += len(result.annotations)
                if result.problem:
                    problems += 1
                    yield Warned(result.problem, sample[result.id].path)
                yield Progress(len(times), len(sample))
                if times[-1] - began > ENOUGH_S:
                    break
        objects = round(objects / len(times) * total)
    rate = _rate(times, began) if times else 0.0
    yield Finished(
        {
            "dry_run": True, "dataset": data.name, "model": row.name, "pictures": total, "with_human_work": human,
            "predictions_replaced": replaced, "objects_expected": objects,
            "pictures_per_s": round(rate, 2), "hours": round(total / rate / 3600, 2) if rate else 0.0,
            "classes_added": [c["name"] for c in classes if c["added"]],
            "classes_mapped": {c["model"]: c["name"] for c in classes if c["name"] != c["model"] and not c["added"]},
            "classes_dropped": [label for label in row.card.labels if not recipe.target(label)],
            "measured_on": len(times), "undecodable": problems,
        }
    )  # fmt: skip


def _with_human_work(conn: Connection, data: DatasetRow, query: Query) -> int:
    """Pictures of the query that hold truth or went to review: what they hold stays as it is."""
    without = Query(
        data.id,
        state=query.state,
        where=f"({query.where}) {orders.UNTOUCHED}" if query.where.strip() else orders.UNTOUCHED,
        me=query.me,
    )
    return queries.count_items(conn, query) - queries.count_items(conn, without)


def _own(conn: Connection, query: Query, digest: bytes) -> int:
    """Live predictions of this model on the pictures of the query: a new run replaces them."""
    plan = queries.plan(conn, query)
    join = "JOIN asset s ON s.id = i.asset_id " if plan.asset else ""
    sql = (
        f"SELECT count(*) FROM annotation n JOIN item i ON i.asset_id = n.asset_id {join}WHERE n.died IS NULL AND n.origin = {MODEL} "
        f"AND n.activity_id IN (SELECT v.id FROM activity v WHERE v.model_digest = :digest) AND {plan.where}"
    )
    return int(conn.execute(sa.text(sql), {**plan.args, "digest": digest}).scalar_one())


def _classes(ws: Workspace, data: DatasetRow, row: ModelRow, recipe: Recipe) -> list[dict[str, Any]]:
    """Each class that is kept: the model's word, the label it becomes, and whether the schema would get it anew."""
    schema = schemas.current(ws, data.schema_code)
    out = []
    for label in row.card.labels:
        if name := recipe.target(label):
            code = schema.resolve(name)
            out.append({"model": label, "name": code or name, "added": code is None})
    return out


def _rate(times: Sequence[float], began: float) -> float:
    """Pictures a second, without the first ones, which open the buffers and warm the machine up."""
    first = min(WARM, len(times) - 1)
    start = times[first - 1] if first else began
    return (len(times) - first) / max(times[-1] - start, 1e-9)

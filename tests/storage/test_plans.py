"""Every hot read comes in by an index: a scan of a big table is a fault that small tests would never notice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage import db as database
from storage import history, jobs, listing, queries, steps
from storage.queries import Query

BIG = {"annotation", "item", "asset", "change", "seen_file"}
LABELLED = Query(1, label="person", origin="model", min_score=0.5)
HOT: dict[str, Callable[[Connection], object]] = {
    "live": lambda c: queries.live(c, 1),
    "at_revision": lambda c: queries.at_revision(c, 1, 1),
    "sets_at": lambda c: list(queries.sets_at(c, [1, 2], 1)),
    "history": lambda c: history.history(c, asset_id=1),
    "history of an object": lambda c: history.history(c, asset_id=1, uid="00" * 16),
    "items": lambda c: queries.items(c, Query(1), after=5),
    "items backwards": lambda c: queries.items(c, Query(1), after=5, backwards=True),
    "items by state": lambda c: queries.items(c, Query(1, state="predicted"), after=5),
    "items by label": lambda c: queries.items(c, LABELLED, after=5),
    "anchors": lambda c: queries.anchors(c, Query(1, state="predicted")),
    "items of ids": lambda c: queries.items_of(c, 1, list(range(1, 201))),
    "objects of rows": lambda c: listing.objects_of(c, 1, list(range(1, 201))),
    "a stretch of pictures": lambda c: listing.keys(
        c, Query(1, where="kind:box score<0.5"), objects=False, low=0, high=9
    ),
    "a stretch of objects": lambda c: listing.keys(
        c, Query(1, where="kind:box"), objects=True, low=0, high=9, sort="path"
    ),
    "facets of a stretch": lambda c: listing.tally(
        c, Query(1, where="score<0.5"), listing.Tally(), objects=False, low=0, high=9
    ),
    "facets of a stretch of objects": lambda c: listing.tally(
        c, Query(1), listing.Tally(), objects=True, low=0, high=9
    ),
    "members of a stretch": lambda c: listing.members(
        c, Query(1, where="score<0.5"), objects=False, low=0, high=9
    ),
    "members of pictures": lambda c: listing.members(c, Query(1), objects=False, assets=[1, 2, 3]),
    "asset_ids": lambda c: queries.asset_ids(c, Query(1)),
    "count": lambda c: queries.count_items(c, Query(1)),
    "places": lambda c: queries.places(c, [1]),
    "rejected": lambda c: history.rejected(c, [1, 2], bytes(32)),
    "recycle bin": lambda c: history.deleted(c, 1),
    "facets": lambda c: queries.facets(c, 1),
    "tops of undo and redo": lambda c: steps.tops(c, 1, 1),
    "steps": lambda c: steps.steps(c),
    "effects of a step": lambda c: steps._effects(c, 1),
    "live of objects": lambda c: steps._live(
        c, [steps._Effect("annotation", (bytes(16),)), steps._Effect("item", (1, 1))]
    ),
    "open jobs": lambda c: jobs.listing(c, open_only=True),
}


@pytest.mark.parametrize("name", HOT)
def test_no_hot_read_scans_a_big_table(tmp_path: Path, name: str) -> None:
    db = database.create_database(str(tmp_path / "r.db"))
    seen: list[tuple[str, object]] = []
    with db.read() as conn:

        @sa.event.listens_for(conn, "before_cursor_execute")
        def note(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
            seen.append((statement, parameters))

        HOT[name](conn)
        sa.event.remove(conn, "before_cursor_execute", note)
        assert seen
        for statement, parameters in seen:
            plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()  # type: ignore[arg-type]
            names = dict(_aliases(statement))
            for *_, step in plan:
                words = step.split()
                if words[0] == "SCAN" and names.get(words[1], words[1]) in BIG and "INDEX" not in step:
                    ordered = (
                        "rowid" in statement
                        or "ORDER BY c.rev DESC LIMIT" in statement
                        or "change c" in statement
                    )
                    assert ordered and "LIMIT" in statement, f"{name}: {step}\n{statement}"
    db.close()


def _aliases(statement: str) -> list[tuple[str, str]]:
    words = statement.replace("(", " ").replace(",", " ").split()
    return [(words[i + 2], words[i + 1]) for i in range(len(words) - 2) if words[i] in ("FROM", "JOIN")]


def test_the_plan_check_would_notice_a_scan(tmp_path: Path) -> None:
    db = database.create_database(str(tmp_path / "r.db"))
    with db.read() as conn:
        bad = "SELECT id FROM annotation WHERE coalesce(died, 0) = 0 AND kind = 1"
        plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {bad}").all()
    db.close()
    assert any(row[-1].startswith("SCAN annotation") for row in plan)


def test_objects_by_their_rows_are_found_by_their_keys(tmp_path: Path) -> None:
    """With many rows the planner once preferred every object of every class: minutes at 1.5 million."""
    db = database.create_database(str(tmp_path / "r.db"))
    with db.read() as conn:
        for n in (1, 200, 500):
            ids = ",".join(map(str, range(n)))
            sql = f"{listing._OBJECT}WHERE n.died IS NULL AND n.id IN ({ids})"
            plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql.replace(':d', '1')}").all()
            assert plan[0][-1].startswith("SEARCH n USING INTEGER PRIMARY KEY"), plan
    db.close()


def test_the_recycle_bin_does_not_walk_the_predictions_that_every_run_replaces(tmp_path: Path) -> None:
    db = database.create_database(str(tmp_path / "r.db"))
    with db.read() as conn:
        seen: list[str] = []

        @sa.event.listens_for(conn, "before_cursor_execute")
        def note(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
            plan = conn.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            seen.extend(row[3] for row in plan)

        history.deleted(conn, 1)
    db.close()
    assert any("USING INDEX ix_annotation_deleted" in step for step in seen), seen
    assert not any("ORDER BY" in step for step in seen), seen

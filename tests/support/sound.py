"""Whether a workspace is sound after whatever happened to it."""

from __future__ import annotations

from app.services import browse
from app.services.workspace import Workspace
from storage import db as database


def sound(ws: Workspace) -> None:
    """The file is sound, and what the writer counts agrees with the rows."""
    assert database.fault(ws.db) == ""
    for data in browse.datasets(ws):
        with ws.db.read() as conn:
            items = (
                conn.exec_driver_sql(
                    f"SELECT asset_id FROM item WHERE died IS NULL AND dataset_id = {data.id}"
                )
                .scalars()
                .all()
            )
            counted = conn.exec_driver_sql(
                "SELECT origin, count(*) FROM annotation WHERE died IS NULL AND asset_id IN "
                f"(SELECT asset_id FROM item WHERE died IS NULL AND dataset_id = {data.id}) GROUP BY origin"
            ).all()
        assert len(items) == len(set(items)) == data.n_assets
        facets = browse.facets(ws, data.id)
        kept = {
            0: sum(f.n_human for f in facets),
            1: sum(f.n_model for f in facets),
            2: sum(f.n_import for f in facets),
        }
        assert {o: n for o, n in kept.items() if n} == dict(counted)

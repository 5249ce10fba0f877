"""One gesture straight on the record, for tests that need rows rather than a page."""

from __future__ import annotations

from collections.abc import Sequence

from storage.db import Database
from storage.record import Edit, change, chunks


def gesture(
    db: Database,
    edits: Sequence[Edit],
    *,
    agent_id: int,
    activity_id: int,
    verb: str,
    dataset_id: int | None = None,
    durable: bool = True,
) -> int:
    """The edits in one change, of the page they lie on. Returns its revision."""  # fmt: skip
    assets = {e.opens.asset_id for e in edits if e.opens}
    closing = [e.closes for e in edits if e.closes is not None and e.opens is None]
    if closing:
        with db.read() as conn:
            for part in chunks(closing):
                sql = f"SELECT DISTINCT asset_id FROM annotation WHERE id IN ({','.join(map(str, part))})"
                assets |= set(conn.exec_driver_sql(sql).scalars())
    with change(db, agent_id=agent_id, activity_id=activity_id, verb=verb, dataset_id=dataset_id, assets=assets,
                page=next(iter(assets)) if len(assets) == 1 else None, durable=durable) as draft:  # fmt: skip
        draft.annotate(edits)
    return draft.rev

"""The record under test: the same suite on a SQLite file and on a real PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from annotation.core import new_uid
from storage import db as database
from storage import record, steps
from storage.db import Database
from storage.record import Agent, Content, Edit, ItemEdit
from tests.support.gestures import gesture


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where an empty record can be made."""
    if request.param == "sqlite":
        yield str(tmp_path / "record.db")
        return
    server = request.getfixturevalue("postgres")
    url = server.create()
    yield url
    server.drop(url)


@dataclass
class World:
    """A record with assets and agents, and short words for what tests do to it."""

    db: Database
    address: str
    agents: dict[str, Agent] = field(default_factory=dict)
    activity: int = 0
    dataset: int = 0
    assets: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def reopen(self) -> None:
        self.db.close()
        self.db = database.open_database(self.address)

    def content(
        self,
        asset: int,
        *,
        uid: str | None = None,
        label: int = 0,
        box: int = 0,
        origin: int = 0,
        **kw: object,
    ) -> Content:
        corners = (box, box, box + 1000, box + 2000)
        return Content(
            bytes.fromhex(uid or new_uid()),
            asset,
            self.labels[label],
            0,
            corners,
            None,
            None,
            None,
            origin,
            **kw,
        )  # type: ignore[arg-type]

    def apply(self, *edits: Edit, who: str = "A", verb: str = "draw") -> int:
        return gesture(self.db, edits, agent_id=self.agents[who].id, activity_id=self.activity, verb=verb)

    def undo(self, step: int, who: str = "A", **kw: object) -> steps.Inverted:
        return steps.invert(self.db, step, agent_id=self.agents[who].id, activity_id=self.activity, **kw)  # type: ignore[arg-type]

    def live(self, asset: int) -> dict[str, tuple[int, int, int]]:
        """uid -> (row, label, x0)."""
        with self.db.read() as conn:
            rows = conn.execute(
                sa.text("SELECT uid, id, label_id, x0 FROM annotation WHERE asset_id = :a AND died IS NULL"),
                {"a": asset},
            )
            return {bytes(r[0]).hex(): (r[1], r[2], r[3]) for r in rows}

    def state_at(self, rev: int) -> dict[str, tuple[int, int]]:
        """uid -> (label, x0) of everything at a revision."""
        with self.db.read() as conn:
            rows = conn.execute(
                sa.text(
                    "SELECT uid, label_id, x0 FROM annotation WHERE born <= :r AND (died IS NULL OR died > :r)"
                ),
                {"r": rev},
            )
            return {bytes(r[0]).hex(): (r[1], r[2]) for r in rows}


@pytest.fixture
def world(address: str) -> Iterator[World]:
    """Two people, three pages in one dataset, three labels."""
    w = World(database.create_database(address), address)
    with w.db.write() as conn:
        for name in ("A", "B"):
            w.agents[name] = record.agent(conn, "person", name)
        w.activity = record.start_activity(conn, "edit", w.agents["A"].id, {}, open_=False)
        w.labels = list(record.label_ids(conn, ["person", "helmet", "coal"]).values())
        root = conn.execute(
            sa.text("INSERT INTO source_root (code, location) VALUES ('r', :l) RETURNING id"),
            {"l": os.fsencode("/nowhere")},
        ).scalar_one()
        w.dataset = conn.execute(
            sa.text(
                "INSERT INTO dataset (uid, name, schema_code, created_ms) VALUES (:u, 'face', 'coal_mine', 0) RETURNING id"
            ),
            {"u": bytes(16)},
        ).scalar_one()
        for i in range(3):
            w.assets.append(
                conn.execute(
                    sa.text(
                        "INSERT INTO asset (uid, kind, blake3, sha256, size_bytes, width_px, height_px, orientation, media_type, "
                        "source_root_id, path, path_hash, mtime_ns, activity_id) VALUES (:u, 0, :b, :b, 9, 100, 100, 1, 'image/png', "
                        ":r, :p, :h, 0, :a) RETURNING id"
                    ),
                    {
                        "u": bytes.fromhex(new_uid()),
                        "b": bytes([i]) * 32,
                        "r": root,
                        "p": f"{i}.png",
                        "h": i,
                        "a": w.activity,
                    },
                ).scalar_one()
            )
    with record.change(
        w.db,
        agent_id=w.agents["A"].id,
        activity_id=w.activity,
        verb="ingest",
        dataset_id=w.dataset,
        assets=w.assets,
    ) as draft:
        draft.enrol([ItemEdit(w.dataset, a, opens=(0, 0)) for a in w.assets])
    yield w
    w.db.close()


def counters_of(w: World) -> dict[tuple[int, ...], int]:
    """The counters that are not zero."""
    with w.db.read() as conn:
        rows = conn.exec_driver_sql("SELECT dataset_id, label_id, origin, state, n FROM counter WHERE n <> 0")
        return {tuple(r[:4]): r[4] for r in rows}


def counters_recounted(w: World) -> dict[tuple[int, ...], int]:
    """What the counters must say, counted from the rows; and the items' derived columns are checked on the way."""
    out: dict[tuple[int, ...], int] = {}
    with w.db.read() as conn:
        rows = conn.exec_driver_sql(
            "SELECT i.dataset_id, n.label_id, n.origin, 0, count(*) FROM annotation n JOIN item i ON i.asset_id = n.asset_id "
            "AND i.died IS NULL WHERE n.died IS NULL GROUP BY 1, 2, 3"
        )
        out.update({tuple(r[:4]): r[4] for r in rows})
        items = conn.exec_driver_sql(
            "SELECT i.dataset_id, i.state, i.n_truth, i.n_pred, "
            "(SELECT count(*) FROM annotation n WHERE n.asset_id = i.asset_id AND n.died IS NULL AND n.origin <> 1), "
            "(SELECT count(*) FROM annotation n WHERE n.asset_id = i.asset_id AND n.died IS NULL AND n.origin = 1) "
            "FROM item i WHERE i.died IS NULL"
        ).all()
    for dataset, state, n_truth, n_pred, truth, pred in items:
        assert (n_truth, n_pred) == (truth, pred)
        assert state == (1 if pred else 2 if truth else 0)
        key = (dataset, 0, 0, state)
        out[key] = out.get(key, 0) + 1
    return out

"""Whether what a model is tested on lies close to what it is trained on: by copies, by folder, by time."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.services.metric import Metric, share
from storage.tables import LIKENESS
from storage.versions import Member

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAR_S = 60
"""Pictures of one folder taken within so many seconds of each other are taken to show the same."""
_KINDS = ("exact", "near", "alike")
_SPLITS = ("", "train", "val", "test")


class Leakage:
    """Splits, folders, moments and groups of the pictures: some bytes a picture, so five millions take about 130 MB."""

    def __init__(self) -> None:
        self._ids, self._split, self._folder, self._taken = array("q"), array("b"), array("i"), array("q")
        self._folders: dict[tuple[int, str], int] = {}

    @property
    def folders(self) -> int:
        """How many folders the pictures come from."""
        return len(self._folders)

    def add(self, conn: Connection, dataset_id: int, part: Sequence[Member]) -> None:
        """Take some pictures."""
        splits = {m.asset_id: _SPLITS.index(m.split) for m in part}
        for asset_id, root, path, taken in conn.exec_driver_sql(
            f"SELECT id, source_root_id, path, taken_ms FROM asset WHERE id IN ({','.join(map(str, splits))}) ORDER BY id"
        ):
            folder = (root, path.rpartition("/")[0])
            self._ids.append(asset_id)
            self._split.append(splits[asset_id])
            self._folder.append(self._folders.setdefault(folder, len(self._folders)))
            self._taken.append(-1 if taken is None else taken)

    def metrics(self, conn: Connection, dataset_id: int) -> Iterator[Metric]:
        """Shares of the pictures of val and test that have a like picture in train."""
        split = np.frombuffer(self._split, np.int8) if self._split else np.empty(0, np.int8)
        held = split >= _SPLITS.index("val")
        trained = split == _SPLITS.index("train")
        n = int(held.sum())
        if not n or not trained.any():
            for id in ("leak_copies", "leak_folder", "leak_time"):
                yield share(
                    id, 0, 0, "pictures", why="the version has no pictures to train on and others to test on"
                )
            return
        searched = conn.execute(
            sa.text(
                "SELECT 1 FROM job WHERE kind = 'likeness' AND dataset_id = :d AND outcome = 'finished' LIMIT 1"
            ),
            {"d": dataset_id},
        ).first()
        if searched is None:
            yield share("leak_copies", 0, 0, "pictures", why="duplicates were not looked for")
        else:
            yield share("leak_copies", self._copies(conn, dataset_id, held, trained), n, "pictures")
        folder = np.frombuffer(self._folder, np.int32)
        both = np.isin(folder[held], np.unique(folder[trained]))
        yield share("leak_folder", int(both.sum()), n, "pictures")
        taken = np.frombuffer(self._taken, np.int64)
        known = held & (taken >= 0)
        yield share(
            "leak_time", self._moments(folder, taken, known, trained & (taken >= 0)), int(known.sum()), "pictures",
            why="the pictures do not say when they were taken",
        )  # fmt: skip

    def _copies(
        self, conn: Connection, dataset_id: int, held: NDArray[np.bool_], trained: NDArray[np.bool_]
    ) -> int:
        """Pictures of val and test in a group with one of train."""
        ids = np.frombuffer(self._ids, np.int64)
        order = np.argsort(ids, kind="stable")
        sides = held.astype(np.int8) + 2 * trained.astype(np.int8)
        leaked: set[int] = set()
        for kind in _KINDS:
            group = None
            members: list[int] = []
            split: set[int] = set()
            cursor = conn.execute(
                sa.text(
                    "SELECT group_id, asset_id FROM likeness WHERE dataset_id = :d AND kind = :k ORDER BY group_id, rank"
                ),
                {"d": dataset_id, "k": LIKENESS.index(kind)},
                execution_options={"stream_results": True, "yield_per": 5000},
            )
            for number, asset_id in cursor:
                if number != group:
                    if 2 in split:
                        leaked.update(members)
                    group, members, split = number, [], set()
                place = int(np.searchsorted(ids, asset_id, sorter=order))
                if place < len(ids) and ids[order[place]] == asset_id:
                    side = int(sides[order[place]])
                    split.add(side)
                    if side == 1:
                        members.append(asset_id)
            if 2 in split:
                leaked.update(members)
        return len(leaked)

    @staticmethod
    def _moments(
        folder: NDArray[np.int32],
        taken: NDArray[np.int64],
        held: NDArray[np.bool_],
        trained: NDArray[np.bool_],
    ) -> int:
        """Pictures of val and test within NEAR_S of one of train of the same folder."""
        # Folder and second in one number: a difference this small is one of time alone.
        keys = (folder.astype(np.int64) << 34) + np.clip(taken // 1000, 0, (1 << 34) - 1)
        of, mine = np.sort(keys[trained]), keys[held]
        if not len(of):
            return 0
        at = np.searchsorted(of, mine)
        before = np.abs(mine - of[np.maximum(at - 1, 0)])
        after = np.abs(of[np.minimum(at, len(of) - 1)] - mine)
        return int((np.minimum(before, after) <= NEAR_S).sum())

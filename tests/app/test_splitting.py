"""Rules of splitting a dataset: near duplicates, cameras and stretches of time stay together; one step; queries narrow it."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from annotation.errors import InvalidInput, NotFound
from app import cli
from app.services import labelling, splitting
from app.services.splitting import Rule
from app.services.workspace import Workspace
from storage import register
from tests.app.sealed import Sealed, run, sealed

HALF = (0.5, 0.5, 0.0)


@pytest.fixture
def world(ws: Workspace, tmp_path: Path) -> Sealed:
    return sealed(ws, tmp_path / "2号面", n=12)


def held(w: Sealed) -> dict[int, int]:
    with w.ws.db.read() as conn:
        return {a: r.split for a, r in register.item_rows(conn, w.data, w.assets).items()}


def alike(w: Sealed, *groups: list[int]) -> None:
    with w.ws.db.write() as conn:
        for kind, group in enumerate(groups):
            for rank, i in enumerate(group):
                conn.execute(
                    sa.text(
                        "INSERT INTO likeness (dataset_id, kind, asset_id, group_id, rank) VALUES (:d, :k, :a, :g, :r)"
                    ),
                    {"d": w.data, "k": kind, "a": w.assets[i], "g": w.assets[group[0]], "r": rank},
                )


def test_near_duplicates_do_not_cross_even_through_a_third(world: Sealed) -> None:
    alike(world, [0, 1, 2], [2, 3, 4])  # exact, and near through the third
    for seed in range(6):
        run(splitting.run(world.ws, "face-3", Rule(HALF, seed=seed)))
        splits = held(world)
        assert len({splits[world.assets[i]] for i in range(5)}) == 1
        assert sorted(splits.values()) == [1] * 6 + [2] * 6


def test_splits_are_one_step_that_undo_takes_back_and_a_second_run_changes_nothing(world: Sealed) -> None:
    done, warned = run(splitting.run(world.ws, "face-3", Rule()))
    assert done.result["splits"] == {"train": 10, "val": 1, "test": 1} and done.result["pictures"] == 12
    assert [w.what[:15] for w in warned] == ["near duplicates"]
    again, _ = run(splitting.run(world.ws, "face-3", Rule()))
    assert again.result["pictures"] == 0
    labelling.undo_step(world.ws, int(str(done.result["step"])))
    assert set(held(world).values()) == {0}


def test_a_stretch_of_time_and_a_camera_stay_together(world: Sealed) -> None:
    with world.ws.db.write() as conn:
        for i, asset in enumerate(
            world.assets
        ):  # three stretches: 4 pictures a minute apart, then two hours of nothing
            at = (i // 4) * 7_200_000 + (i % 4) * 60_000
            conn.execute(sa.text("UPDATE asset SET taken_ms = :t WHERE id = :i"), {"t": at, "i": asset})
    done, _ = run(splitting.run(world.ws, "face-3", Rule((0.67, 0.33, 0), groups=("time",))))
    splits = held(world)
    assert done.result["groups"] == 3 and done.result["largest_group"] == 4
    assert all(len({splits[a] for a in world.assets[i : i + 4]}) == 1 for i in (0, 4, 8))
    done, _ = run(splitting.run(world.ws, "face-3", Rule(groups=("camera",)), dry_run=True))
    assert done.result["groups"] == 1 and done.result["written"] is False and held(world) == splits


def test_a_rare_class_is_in_every_split_when_asked(world: Sealed) -> None:
    for i in (0, 1):
        world.box(world.assets[i], label="helmet")
    for i in range(2, 12):
        world.box(world.assets[i])
    done, _ = run(splitting.run(world.ws, "face-3", Rule(HALF, how="stratified")))
    assert done.result["classes"]["helmet"] == [1, 1, 0]  # type: ignore[index]


def test_only_what_the_query_meets_gets_another_split(world: Sealed) -> None:
    done, _ = run(splitting.run(world.ws, "face-3", Rule((0, 0, 1.0)), where="path:0003"))
    assert done.result["pictures"] == 1 and sorted(held(world).values()) == [0] * 11 + [3]


def test_unknown_words_are_refused(world: Sealed) -> None:
    with pytest.raises(InvalidInput, match="group"):
        run(splitting.run(world.ws, "face-3", Rule(groups=("colour",))))
    with pytest.raises(NotFound):
        run(splitting.run(world.ws, "nowhere", Rule()))


def test_the_verb_splits_and_says_how(world: Sealed, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["-w", str(world.ws.folder), "--json", "split", "face-3", "--ratio", "6:3:3", "--together", "none"]
    assert cli.main([*line, "--dry-run"]) == 0
    assert '"train": 6' in capsys.readouterr().out and set(held(world).values()) == {0}
    assert cli.main([*line, "--stratified"]) == 0
    assert sorted(held(world).values()) == [1] * 6 + [2] * 3 + [3] * 3
    assert cli.main(["-w", str(world.ws.folder), "split", "face-3", "--ratio", "x"]) == 1

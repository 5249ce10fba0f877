"""The record's rules: gestures, undo and redo of anything, bulk steps, counters, items; against an independent model."""

from __future__ import annotations

import random

import pytest
import sqlalchemy as sa

from annotation.core import new_uid
from annotation.errors import Conflict, NotFound
from storage import record, steps
from storage.record import Edit, ItemEdit
from tests.storage.conftest import World, counters_of, counters_recounted


def test_an_edit_closes_the_old_row_and_opens_a_new_one_of_the_same_object(world: World) -> None:
    page = world.assets[0]
    uid = new_uid()
    first = world.apply(Edit(opens=world.content(page, uid=uid, box=1)))
    row = world.live(page)[uid][0]
    second = world.apply(Edit(row, world.content(page, uid=uid, box=2, from_id=row)))
    assert world.live(page)[uid][2] == 2
    assert world.state_at(first)[uid][1] == 1
    assert world.state_at(second)[uid][1] == 2
    assert uid not in world.state_at(first - 1)


def test_a_gesture_on_a_row_that_somebody_else_closed_writes_nothing_and_names_them(world: World) -> None:
    page = world.assets[0]
    uid = new_uid()
    world.apply(Edit(opens=world.content(page, uid=uid)))
    row = world.live(page)[uid][0]
    world.apply(Edit(row, world.content(page, uid=uid, box=5)), who="B")
    before = world.live(page)
    with pytest.raises(Conflict, match=r"B changed this in r\d+"):
        world.apply(Edit(row, world.content(page, uid=uid, box=9)), Edit(opens=world.content(page)))
    assert world.live(page) == before
    with world.db.read() as conn:
        revs = conn.exec_driver_sql("SELECT count(*), max(rev) FROM change").one()
    assert (
        revs[0] == 3 or world.db.dialect == "postgresql"
    )  # a server's sequence may skip numbers, never rows
    assert revs[0] == 3


def test_the_example_of_the_design_undo_undo_redo_redo_and_a_refusal(world: World) -> None:
    page, uid = world.assets[0], new_uid()
    draw = world.apply(Edit(opens=world.content(page, uid=uid, box=1)))
    row = world.live(page)[uid][0]
    move = world.apply(Edit(row, world.content(page, uid=uid, box=2)))
    u1 = world.undo(move)
    assert world.live(page)[uid][2] == 1
    u2 = world.undo(draw)
    assert uid not in world.live(page)
    redo1 = world.undo(u2.step)
    assert world.live(page)[uid][2] == 1
    redo2 = world.undo(u1.step)
    assert world.live(page)[uid][2] == 2
    row = world.live(page)[uid][0]
    by_b = world.apply(Edit(row, world.content(page, uid=uid, box=2, label=1)), who="B", verb="relabel")
    with pytest.raises(Conflict, match=f"B in r{by_b}"):
        world.undo(redo2.step)
    assert world.live(page)[uid][1] == world.labels[1]
    with world.db.read() as conn:
        ops = (
            conn.execute(
                sa.text("SELECT op FROM change WHERE rev IN (:a, :b)"), {"a": redo1.step, "b": redo2.step}
            )
            .scalars()
            .all()
        )
    assert ops == [record.REDO, record.REDO]


def test_a_step_that_stands_undone_cannot_be_undone_again_until_it_is_redone(world: World) -> None:
    step = world.apply(Edit(opens=world.content(world.assets[0])))
    undone = world.undo(step)
    with pytest.raises(Conflict, match="undone already"):
        world.undo(step)
    world.undo(undone.step)
    world.undo(step)
    assert not world.live(world.assets[0])


def test_the_undo_stack_of_a_person_survives_a_restart_and_is_their_own(world: World) -> None:
    page = world.assets[0]
    mine = [world.apply(Edit(opens=world.content(page, box=i))) for i in range(3)]
    theirs = world.apply(Edit(opens=world.content(page, box=9)), who="B")
    undone = world.undo(mine[2])
    world.reopen()
    with world.db.read() as conn:
        assert steps.tops(conn, page, world.agents["A"].id) == (mine[1], undone.step)
        assert steps.tops(conn, page, world.agents["B"].id) == (theirs, None)
    world.apply(Edit(opens=world.content(page, box=4)))
    with world.db.read() as conn:
        assert steps.tops(conn, page, world.agents["A"].id)[1] is None  # a new gesture empties redo


def bulk(world: World, pages: list[int], *, who: str = "A", running: bool = False) -> int:
    """A bulk step of one change a page: a new object on each."""
    with world.db.write() as conn:
        activity = record.start_activity(conn, "review", world.agents[who].id, {})
    step: int | None = None
    for page in pages:
        with record.change(world.db, agent_id=world.agents[who].id, activity_id=activity, verb="bulk", dataset_id=world.dataset,
                           assets=[page], step=step) as draft:  # fmt: skip
            draft.annotate([Edit(opens=world.content(page))])
        step = step or draft.rev
    assert step is not None
    if not running:
        with world.db.write() as conn:
            record.end_activity(conn, activity)
    return step


def test_a_bulk_step_is_undone_and_redone_whole(world: World) -> None:
    step = bulk(world, world.assets)
    undone = world.undo(step)
    assert undone.objects == 3
    assert not any(world.live(p) for p in world.assets)
    world.undo(undone.step)
    assert all(len(world.live(p)) == 1 for p in world.assets)


def test_an_open_step_cannot_be_undone(world: World) -> None:
    step = bulk(world, world.assets, running=True)
    with pytest.raises(Conflict, match="still being written"):
        world.undo(step)


def test_undo_of_a_bulk_step_refuses_when_one_object_was_changed_and_can_leave_it(world: World) -> None:
    step = bulk(world, world.assets)
    ((uid, (row, *_)),) = world.live(world.assets[1]).items()
    world.apply(Edit(row, world.content(world.assets[1], uid=uid, box=7)), who="B")
    with pytest.raises(Conflict, match="1 of the objects were changed since by B"):
        world.undo(step)
    assert len(world.live(world.assets[0])) == 1  # nothing was undone
    done = world.undo(step, skip_changed=True)
    assert (done.objects, done.left) == (2, 1)
    assert [len(world.live(p)) for p in world.assets] == [0, 1, 0]


def test_a_bulk_step_larger_than_a_change_is_inverted_in_changes_of_at_most_200_objects(world: World) -> None:
    edits = [Edit(opens=world.content(world.assets[i % 3], box=i)) for i in range(450)]
    step = world.apply(*edits)
    undone = world.undo(step)
    with world.db.read() as conn:
        sizes = conn.execute(
            sa.text("SELECT count(*) FROM annotation n JOIN change c ON c.rev = n.died WHERE c.step = :s GROUP BY c.rev"), {"s": undone.step}
        ).scalars().all()  # fmt: skip
    assert sum(sizes) == 450
    assert max(sizes) <= record.BATCH_ROWS
    assert counters_of(world) == counters_recounted(world)


def test_restore_opens_the_content_of_any_old_row_again(world: World) -> None:
    page, uid = world.assets[0], new_uid()
    world.apply(Edit(opens=world.content(page, uid=uid, box=1)))
    old = world.live(page)[uid][0]
    world.apply(Edit(old, world.content(page, uid=uid, box=2)))
    world.apply(Edit(closes=world.live(page)[uid][0]), verb="delete")
    rev = steps.restore(world.db, [old], agent_id=world.agents["B"].id, activity_id=world.activity)
    assert world.live(page)[uid][2] == 1
    world.undo(rev, who="B")
    assert uid not in world.live(page)
    with pytest.raises(NotFound):
        steps.restore(world.db, [10**9], agent_id=world.agents["B"].id, activity_id=world.activity)


def test_leaving_a_dataset_with_its_objects_and_undoing_it_brings_both_back(world: World) -> None:
    page = world.assets[0]
    world.apply(Edit(opens=world.content(page)), Edit(opens=world.content(page, origin=1)))
    before = counters_of(world)
    with world.db.read() as conn:
        item = conn.execute(
            sa.text("SELECT id FROM item WHERE asset_id = :a AND died IS NULL"), {"a": page}
        ).scalar_one()
    rows = [r[0] for r in world.live(page).values()]
    with record.change(
        world.db,
        agent_id=world.agents["A"].id,
        activity_id=world.activity,
        verb="remove",
        dataset_id=world.dataset,
        assets=[page],
    ) as draft:
        draft.enrol([ItemEdit(world.dataset, page, closes=item)])
        draft.annotate([Edit(closes=r) for r in rows])
    assert counters_of(world) == counters_recounted(world)
    assert counters_of(world) == {(world.dataset, 0, 0, 0): 2}
    world.undo(draft.rev)
    assert counters_of(world) == counters_recounted(world) == before


def test_a_split_change_is_versioned_and_undone_like_anything_else(world: World) -> None:
    page = world.assets[0]
    world.apply(Edit(opens=world.content(page)))
    with world.db.read() as conn:
        item = conn.execute(
            sa.text("SELECT id FROM item WHERE asset_id = :a AND died IS NULL"), {"a": page}
        ).scalar_one()
    with record.change(
        world.db,
        agent_id=world.agents["A"].id,
        activity_id=world.activity,
        verb="split",
        dataset_id=world.dataset,
        assets=[page],
    ) as draft:
        draft.enrol([ItemEdit(world.dataset, page, item, (2, 0))])
    split = "SELECT split FROM item WHERE asset_id = :a AND born <= :r AND (died IS NULL OR died > :r)"

    def at(rev: int) -> int:
        with world.db.read() as conn:
            return int(conn.execute(sa.text(split), {"a": page, "r": rev}).scalar_one())

    assert (at(draft.rev - 1), at(draft.rev)) == (0, 2)
    assert counters_of(world) == counters_recounted(world)
    undone = world.undo(draft.rev)
    assert at(undone.rev) == 0
    assert counters_of(world) == counters_recounted(world)


def test_an_interval_that_ends_before_it_begins_is_refused_by_the_database(world: World) -> None:
    page = world.assets[0]
    rev = world.apply(Edit(opens=world.content(page)))
    with pytest.raises(sa.exc.IntegrityError), world.db.write() as conn:
        conn.execute(
            sa.text("UPDATE annotation SET died = :r WHERE asset_id = :a"), {"r": rev - 1, "a": page}
        )
    with pytest.raises(sa.exc.IntegrityError), world.db.write() as conn:
        conn.execute(sa.text("UPDATE annotation SET died = :r WHERE asset_id = :a"), {"r": rev, "a": page})


def test_two_live_rows_of_one_object_are_refused_by_the_database(world: World) -> None:
    content = world.content(world.assets[0])
    world.apply(Edit(opens=content))
    with pytest.raises(sa.exc.IntegrityError):
        world.apply(Edit(opens=content))


class Model:
    """An independent model: the state is a plain dict, every revision's state is kept, undo works on contents."""

    def __init__(self) -> None:
        self.state: dict[str, tuple[int, tuple[int, int]]] = {}  # uid -> (page, (label, box))
        self.at: dict[int, dict[str, tuple[int, int]]] = {}
        self.steps: dict[
            int, tuple[int | None, dict[str, tuple[object, object]]]
        ] = {}  # step -> (inverts, uid -> before/after)

    def commit(
        self, rev: int, step: int, inverts: int | None, new: dict[str, tuple[int, tuple[int, int]]]
    ) -> None:
        effect = dict(self.steps.get(step, (None, {}))[1])
        for uid in self.state.keys() | new.keys():
            if self.state.get(uid) != new.get(uid):
                effect[uid] = (effect.get(uid, (self.state.get(uid), None))[0], new.get(uid))
        self.steps[step] = (inverts, effect)
        self.state = new
        self.at[rev] = {u: v for u, (_, v) in new.items()}

    def stands(self, step: int) -> bool:
        return not any(i == step and self.stands(s) for s, (i, _) in self.steps.items())


@pytest.mark.parametrize("seed", range(3))
def test_random_work_of_two_people_with_undo_bulk_steps_and_restarts_equals_an_independent_model(
    world: World, seed: int
) -> None:
    rng = random.Random(seed)
    model, counter = Model(), 0
    refused = undone = 0
    for _ in range(90):
        who = rng.choice("AB")
        page = rng.choice(world.assets)
        alive = [u for u, (p, _) in model.state.items() if p == page]
        action = rng.choices(["draw", "move", "delete", "bulk", "undo", "restart"], [4, 4, 2, 1, 8, 0.5])[0]
        counter += 1
        new = dict(model.state)
        if action == "restart":
            world.reopen()
            continue
        if action == "draw":
            uid = new_uid()
            rev = world.apply(Edit(opens=world.content(page, uid=uid, box=counter)), who=who)
            new[uid] = (page, (world.labels[0], counter))
            model.commit(rev, rev, None, new)
        elif action in ("move", "delete") and alive:
            uid = rng.choice(alive)
            row = world.live(page)[uid][0]
            opens = (
                world.content(page, uid=uid, box=counter, label=1, from_id=row) if action == "move" else None
            )
            rev = world.apply(Edit(row, opens), who=who, verb=action)
            new.pop(uid)
            if opens:
                new[uid] = (page, (world.labels[1], counter))
            model.commit(rev, rev, None, new)
        elif action == "bulk":
            step = bulk(world, world.assets, who=who)
            with world.db.read() as conn:
                revs = (
                    conn.execute(sa.text("SELECT rev FROM change WHERE step = :s ORDER BY rev"), {"s": step})
                    .scalars()
                    .all()
                )
            for rev, p in zip(revs, world.assets, strict=True):
                new = dict(model.state)
                uid = next(u for u in world.live(p) if u in world.state_at(rev) and u not in new)
                new[uid] = (p, (world.labels[0], 0))
                model.commit(rev, step, None, new)
        elif action == "undo" and model.steps:
            target = rng.choice(list(model.steps))
            effect = model.steps[target][1]
            legal = model.stands(target) and all(
                model.state.get(u) == after for u, (_, after) in effect.items()
            )
            same_content_by_others = False
            try:
                done = world.undo(target, who=who)
            except Conflict:
                refused += 1
                # The record compares rows by descent, the model by content: only equal content of other descent may differ.
                same_content_by_others = legal
                assert not same_content_by_others
                continue
            undone += 1
            assert legal
            for u, (before, _) in effect.items():
                new.pop(u, None)
                if before is not None:
                    new[u] = before  # type: ignore[assignment]
            model.commit(done.rev, done.step, target, new)
    for rev, state in model.at.items():
        assert world.state_at(rev) == state, f"r{rev}"
    assert counters_of(world) == counters_recounted(world)
    assert undone > 5
    assert refused > 5

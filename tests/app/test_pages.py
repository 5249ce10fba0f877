"""A page brought up to date by what changed is the page read whole, whoever changed what; undo finds its step from behind."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from annotation.core import Annotation, Box
from annotation.errors import Conflict
from app.services import labelling, workspace
from app.services.workspace import Workspace
from storage import queries
from tests.app.conftest import draw, enrol

both = pytest.mark.parametrize(
    "ws", ["folder", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


def box(dice: random.Random) -> Box:
    x, y = dice.uniform(-20, 100), dice.uniform(-20, 80)
    return Box(x, y, x + dice.uniform(1, 50), y + dice.uniform(1, 50))


def edited(page: labelling.Page, dice: random.Random) -> tuple[Annotation, ...]:
    found = {a.uid: a for a in page.annotations}
    for _ in range(dice.randint(1, 3)):
        what = dice.random()
        if what < 0.4 or not found:
            made = Annotation(dice.choice(("person", "helmet")), box(dice))
            found[made.uid] = made
        elif what < 0.7:
            uid = dice.choice(sorted(found))
            found[uid] = replace(found[uid], shape=box(dice))
        else:
            del found[dice.choice(sorted(found))]
    return tuple(found.values())


@both
def test_two_people_on_one_page_each_hold_after_a_gesture_what_the_record_holds(
    ws: Workspace, tmp_path: Path
) -> None:
    _, (asset, *_) = enrol(ws, tmp_path, draw(tmp_path, 1))
    dice = random.Random(4)
    pages = {"mine": labelling.load(ws, asset), "theirs": labelling.load(ws, asset)}
    overtaken = 0
    for _ in range(60):
        who = dice.choice(("mine", "theirs"))
        try:
            what = dice.random()
            if what < 0.2:
                pages[who] = labelling.undo(ws, pages[who]) or labelling.refresh(ws, pages[who])
            elif what < 0.3:
                pages[who] = labelling.redo(ws, pages[who]) or labelling.refresh(ws, pages[who])
            else:
                after = edited(pages[who], dice)
                pages[who] = labelling.save(ws, pages[who], after, verb="draw")
        except Conflict:
            overtaken += 1
            pages[who] = labelling.refresh(ws, pages[who])
        whole = labelling.load(ws, asset)
        assert pages[who].annotations == whole.annotations
        assert dict(pages[who].rows) == dict(whole.rows)
        assert pages[who].revision <= whole.revision
    assert overtaken


@both
def test_what_a_gesture_leaves_alone_stays_the_same_object(ws: Workspace, tmp_path: Path) -> None:
    _, (asset, *_) = enrol(ws, tmp_path, draw(tmp_path, 1))
    drawn = tuple(Annotation("person", Box(i, i, i + 5, i + 5)) for i in range(20))
    page = labelling.save(ws, labelling.load(ws, asset), drawn, verb="draw")
    moved = replace(page.annotations[3], shape=Box(50, 50, 60, 60))
    after = labelling.save(ws, page, (*page.annotations[:3], moved, *page.annotations[4:]), verb="move")
    assert after.annotations[3] == moved
    assert all(
        a is b for i, (a, b) in enumerate(zip(page.annotations, after.annotations, strict=True)) if i != 3
    )


def test_a_gesture_does_not_read_the_page_again(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (asset, *_) = enrol(ws, tmp_path, draw(tmp_path, 1))
    page = labelling.save(
        ws, labelling.load(ws, asset), (Annotation("person", Box(1, 1, 5, 5)),), verb="draw"
    )

    def whole(*_: object) -> None:
        raise AssertionError("the whole page was read")

    monkeypatch.setattr(queries, "live", whole)
    page = labelling.save(ws, page, (*page.annotations, Annotation("helmet", Box(2, 2, 9, 9))), verb="draw")
    page = labelling.undo(ws, page) or page
    assert len(page.annotations) == 1
    assert labelling.save(ws, page, (), verb="delete").annotations == ()


def test_a_page_that_does_not_agree_with_the_record_is_read_whole(ws: Workspace, tmp_path: Path) -> None:
    """PostgreSQL draws a revision before it commits: a change below the page's revision may come later."""
    _, (asset, *_) = enrol(ws, tmp_path, draw(tmp_path, 1))
    old = labelling.load(ws, asset)
    labelling.save(ws, old, (Annotation("person", Box(1, 1, 5, 5)),), verb="draw")
    unseen = replace(
        old, revision=labelling.load(ws, asset).revision
    )  # as if it had been read after that change
    page = labelling.save(ws, unseen, (Annotation("helmet", Box(2, 2, 9, 9)),), verb="draw")
    assert page.annotations == labelling.load(ws, asset).annotations
    assert len(page.annotations) == 2


def test_undo_and_redo_walk_like_a_pair_of_stacks_however_long_the_walk(
    ws: Workspace, tmp_path: Path
) -> None:
    _, (asset, *_) = enrol(ws, tmp_path, draw(tmp_path, 1))
    dice = random.Random(9)
    done: list[frozenset[str]] = []
    redo: list[frozenset[str]] = []
    page = labelling.load(ws, asset)
    now: frozenset[str] = frozenset()
    for _ in range(150):
        what = dice.random()
        if what < 0.45:
            made = Annotation("person", box(dice))
            page = labelling.save(ws, page, (*page.annotations, made), verb="draw")
            done.append(now)
            redo, now = [], now | {made.uid}
        elif what < 0.8:
            turned = labelling.undo(ws, page)
            assert (turned is None) == (not done)
            if turned is not None:
                redo.append(now)
                page, now = turned, done.pop()
        else:
            turned = labelling.redo(ws, page)
            assert (turned is None) == (not redo)
            if turned is not None:
                done.append(now)
                page, now = turned, redo.pop()
        assert {a.uid for a in page.annotations} == now
        assert labelling.can_undo(ws, asset) == (bool(done), bool(redo))


def test_undo_goes_on_after_a_restart_on_every_picture(tmp_path: Path) -> None:
    place = str(tmp_path / "W")
    with workspace.create(place, person="07") as ws:
        _, (one, two, *_) = enrol(ws, tmp_path, draw(tmp_path, 2))
        for asset in (one, two, one):
            page = labelling.load(ws, asset)
            drawn = (*page.annotations, Annotation("person", Box(asset, 1, asset + 5, 9)))
            labelling.save(ws, page, drawn, verb="draw")
    with workspace.open(place, person="07") as ws:
        for asset, left in ((two, 0), (one, 1), (one, 0)):
            page = labelling.undo(ws, labelling.load(ws, asset))
            assert page is not None
            assert len(page.annotations) == left
        assert labelling.can_undo(ws, one) == (False, True)

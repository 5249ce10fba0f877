"""Rules of the way of a picture (draft, submitted, accepted, returned), of whom it is with, and of remarks."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation.core import Annotation, Box
from annotation.errors import Conflict, InvalidInput, NotFound
from app.services import browse, labelling, remarks, review, workspace
from app.services.browse import Query
from app.services.workspace import Workspace
from tests.app.conftest import draw, enrol

both = pytest.mark.parametrize("ws", ["folder", "postgresql"], indirect=True)


def pictures(ws: Workspace, tmp_path: Path, n: int = 4) -> tuple[int, list[int]]:
    folder = tmp_path / "p"
    return enrol(ws, folder, draw(folder, n))


def label(ws: Workspace, asset: int) -> None:
    page = labelling.load(ws, asset)
    labelling.save(ws, page, (Annotation("person", Box(5, 5, 50, 50)),), verb="draw box")


def where(ws: Workspace, data: int) -> dict[int, tuple[str, str | None]]:
    return {r.asset_id: (r.review, r.assignee) for r in browse.page(ws, Query(data))}


@both
def test_returned_work_is_found_by_its_author_without_being_assigned(ws: Workspace, tmp_path: Path) -> None:
    data, (a, b, *_) = pictures(ws, tmp_path)
    review.judge(ws, data, [a, b], "submitted")
    boss = workspace.open(ws.location if "://" in ws.location else str(ws.folder), person="审核员")
    try:
        review.judge(boss, data, [a], "returned", note="帽带没有框住")
        review.judge(boss, data, [b], "accepted")
        mine = browse.page(ws, Query(data, review="returned", assignee=ws.person.id))
        assert [r.asset_id for r in mine] == [a]
        assert browse.count(ws, Query(data, review="returned", assignee=boss.person.id)) == 0
        (told,) = remarks.listing(ws, a)
        assert (told.text, told.author, told.resolved) == ("帽带没有框住", "审核员", False)
        assert where(ws, data)[b] == ("accepted", "安全员")
    finally:
        boss.close()


@both
def test_a_picture_returned_without_being_submitted_goes_to_whom_worked_on_it_last(
    ws: Workspace, tmp_path: Path
) -> None:
    data, (a, b, *_) = pictures(ws, tmp_path)
    label(ws, a)
    boss = workspace.open(ws.location if "://" in ws.location else str(ws.folder), person="审核员")
    try:
        review.judge(boss, data, [a, b], "returned")
    finally:
        boss.close()
    assert where(ws, data)[a] == ("returned", "安全员")
    assert where(ws, data)[b] == ("returned", None)


@both
def test_a_judgement_is_one_step_and_its_undo_brings_back_states_and_takes_its_remarks(
    ws: Workspace, tmp_path: Path
) -> None:
    data, assets = pictures(ws, tmp_path)
    review.assign(ws, data, assets[:2], "小王")
    before = where(ws, data)
    done = review.judge(ws, data, assets, "returned", note="again")
    labelling.undo_step(ws, done.revision or 0)
    assert where(ws, data) == before
    assert all(remarks.listing(ws, a) == [] for a in assets)


def test_a_review_state_does_not_lose_the_split_nor_the_counts(ws: Workspace, tmp_path: Path) -> None:
    data, (a, *_) = pictures(ws, tmp_path)
    label(ws, a)
    review.judge(ws, data, [a], "submitted")
    (row,) = browse.page(ws, Query(data, review="submitted"))
    assert (row.n_truth, row.state) == (1, "labelled")
    assert browse.dataset(ws, data).n_labelled == 1


def test_judging_needs_pictures_of_the_dataset_and_a_known_state(ws: Workspace, tmp_path: Path) -> None:
    data, (a, *_) = pictures(ws, tmp_path)
    with pytest.raises(NotFound):
        review.judge(ws, data, [a, 9999], "accepted")
    with pytest.raises(InvalidInput):
        review.judge(ws, data, [a], "perfect")
    with pytest.raises(InvalidInput):
        review.judge(ws, data, [], "accepted")
    assert where(ws, data)[a] == ("draft", None)


@both
def test_a_remark_is_answered_resolved_edited_and_all_of_it_can_be_undone(
    ws: Workspace, tmp_path: Path
) -> None:
    data, (a, *_) = pictures(ws, tmp_path)
    remarks.add(ws, a, "  这里漏了安全帽 ", x=12.3456, y=-4.0)
    (head,) = remarks.listing(ws, a)
    assert (head.text, head.x, head.y, head.author) == ("这里漏了安全帽", 12.346, -4.0, "安全员")
    remarks.add(ws, a, "done", parent=head.uid)
    answer = remarks.listing(ws, a)[1]
    assert answer.parent == head.uid
    with pytest.raises(InvalidInput, match="cannot be answered"):
        remarks.add(ws, a, "no", parent=answer.uid)
    with pytest.raises(InvalidInput, match="lies on the picture"):
        remarks.add(ws, a + 1, "elsewhere", parent=head.uid)
    assert [r.uid for r in remarks.waiting(ws, data)] == [head.uid]
    solved = remarks.resolve(ws, head.uid)
    assert remarks.waiting(ws, data) == []
    labelling.undo_step(ws, solved.revision or 0)
    assert [r.uid for r in remarks.waiting(ws, data)] == [head.uid]
    remarks.edit(ws, head.uid, "另一句")
    gone = remarks.delete(ws, head.uid)
    assert remarks.listing(ws, a) == []
    labelling.undo_step(ws, gone.revision or 0)
    assert [r.text for r in remarks.listing(ws, a)] == ["另一句", "done"]
    with pytest.raises(InvalidInput):
        remarks.add(ws, a, "   ")
    with pytest.raises(NotFound):
        remarks.resolve(ws, "0" * 32)


@both
def test_a_gesture_over_several_pictures_is_one_step_on_the_page_it_was_made(
    ws: Workspace, tmp_path: Path
) -> None:
    _, assets = pictures(ws, tmp_path)
    pages = [labelling.load(ws, a) for a in assets]
    new = [(p, (Annotation("person", Box(1, 1, 9, 9 + i)),)) for i, p in enumerate(pages)]
    done = labelling.save_many(ws, new, verb="copy forward", page=assets[1])
    assert [len(p.annotations) for p in done] == [1] * 4 and len({p.revision for p in done}) == 1
    assert labelling.can_undo(ws, assets[1]) == (True, False)
    assert labelling.can_undo(ws, assets[0]) == (False, False)
    back = labelling.undo(ws, done[1])
    assert back is not None and all(labelling.load(ws, a).annotations == () for a in assets)


def test_a_gesture_over_several_pictures_is_refused_whole_when_one_of_them_was_changed(
    ws: Workspace, tmp_path: Path
) -> None:
    _, assets = pictures(ws, tmp_path)
    for a in assets:
        label(ws, a)
    stale = [labelling.load(ws, a) for a in assets]
    labelling.save(ws, stale[2], (), verb="delete")
    with pytest.raises(Conflict):
        labelling.save_many(ws, [(p, ()) for p in stale], verb="delete track", page=assets[0])
    assert [len(labelling.load(ws, a).annotations) for a in assets] == [1, 1, 0, 1]


def test_pictures_that_were_labelled_do_not_leave_by_the_undo_of_their_ingest(
    ws: Workspace, tmp_path: Path
) -> None:
    data, (a, *_) = pictures(ws, tmp_path)
    ingest = labelling.steps(ws)[0].step
    label(ws, a)
    with pytest.raises(Conflict, match="1 of the objects were changed since by 安全员"):
        labelling.undo_step(ws, ingest)
    labelling.undo_step(ws, ingest, skip_changed=True)
    assert [r.asset_id for r in browse.page(ws, Query(data))] == [a]


def test_two_states_of_one_object_are_not_restored_at_once(ws: Workspace, tmp_path: Path) -> None:
    _, (a, *_) = pictures(ws, tmp_path)
    label(ws, a)
    page = labelling.load(ws, a)
    moved = tuple(Annotation(o.label, Box(7, 7, 60, 60), uid=o.uid) for o in page.annotations)
    labelling.save(ws, page, moved, verb="move")
    rows = [h.row_id for h in labelling.history(ws, asset_id=a)]
    with pytest.raises(InvalidInput, match="two states"):
        labelling.restore(ws, rows)

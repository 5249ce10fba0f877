"""The page at hand: gestures, predictions, undo across restarts, recycle bin; on a folder and on a server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from annotation.core import Annotation, Box, Mask, Points, Polygon, Tag
from annotation.errors import Conflict, InvalidInput, NotFound
from app.events import Finished
from app.services import browse, bulk, labelling, schema, workspace
from app.services.workspace import Workspace
from storage import record
from storage.queries import Query
from storage.record import Edit
from tests.app.conftest import draw, enrol
from tests.support.gestures import gesture

both = pytest.mark.parametrize(
    "ws", ["folder", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


def predict(ws: Workspace, asset: int, *labels: tuple[str, float]) -> None:
    """Predictions as a pre-label job leaves them."""
    with ws.db.write() as conn:
        agent = record.agent(conn, "model", "m 0")
        act = record.start_activity(conn, "prelabel", agent.id, {}, model_digest=bytes(32), open_=False)
        numbers = record.label_ids(conn, [name for name, _ in labels])
    edits = [
        Edit(
            opens=labelling.content(
                Annotation(name, Box(i * 10, 0, i * 10 + 5, 9), score=s, origin="model"),
                asset,
                numbers[name],
                origin="model",
            )
        )
        for i, (name, s) in enumerate(labels)
    ]
    gesture(ws.db, edits, agent_id=agent.id, activity_id=act, verb="prelabel")


@both
def test_every_kind_of_shape_is_saved_and_read_back_equal(ws: Workspace, tmp_path: Path) -> None:
    _, (asset, *_) = enrol(ws, tmp_path, draw(tmp_path, 1))
    drawn = (
        Annotation("person", Box(1.5, 2.25, 30, 40), {"posture": "standing", "seen": True, "n": 3}),
        Annotation(
            "helmet", Polygon((((0, 0, 10, 0, 10, 10), (2, 2, 3, 2, 3, 3)), ((20, 20, 30, 20, 25, 29),)))
        ),
        Annotation("smoke", Mask(160, 96, (5, 10, 160 * 96 - 15))),
        Annotation("water", Points((1, 2, 3.5, 4))),
        Annotation("fire", Tag()),
        Annotation("person", Box(-12.125, -3, 8, 120)),
    )
    page = labelling.save(ws, labelling.load(ws, asset), drawn, verb="draw")
    assert page.annotations == labelling.load(ws, asset).annotations
    by_uid = {a.uid: a for a in page.annotations}
    for a in drawn:
        assert by_uid[a.uid].shape == a.shape
        assert dict(by_uid[a.uid].attributes) == dict(a.attributes)


@both
def test_undo_and_redo_walk_a_persons_gestures_on_the_page_across_a_restart(
    ws: Workspace, tmp_path: Path
) -> None:
    _, (asset, *_) = enrol(ws, tmp_path, draw(tmp_path, 1))
    page = labelling.load(ws, asset)
    a = Annotation("person", Box(0, 0, 10, 10))
    page = labelling.save(ws, page, (a,), verb="draw")
    page = labelling.save(ws, page, (replace(a, shape=Box(5, 5, 20, 20)),), verb="move")
    page = labelling.save(ws, page, (), verb="delete")
    page = labelling.undo(ws, page) or page
    assert page.annotations[0].shape == Box(5, 5, 20, 20)
    address = (
        str(ws.folder)
        if ws.db.dialect == "sqlite"
        else ws.db.writer.url.render_as_string(hide_password=False)
    )
    with workspace.open(address.replace("+psycopg", ""), person="安全员") as again:
        page = labelling.undo(again, page) or page
        assert page.annotations[0].shape == Box(0, 0, 10, 10)
        page = labelling.undo(again, page) or page
        assert page.annotations == ()
        assert labelling.undo(again, page) is None
        assert labelling.can_undo(again, asset) == (False, True)
        for expected in (Box(0, 0, 10, 10), Box(5, 5, 20, 20)):
            page = labelling.redo(again, page) or page
            assert page.annotations[0].shape == expected
        page = labelling.redo(again, page) or page
        assert page.annotations == ()
        assert labelling.redo(again, page) is None


def test_a_second_window_that_was_slower_is_told_and_writes_nothing(ws: Workspace, tmp_path: Path) -> None:
    _, (asset, *_) = enrol(ws, tmp_path, draw(tmp_path, 1))
    a = Annotation("person", Box(0, 0, 10, 10))
    page = labelling.save(ws, labelling.load(ws, asset), (a,), verb="draw")
    labelling.save(ws, page, (replace(a, label="helmet"),), verb="relabel")
    with pytest.raises(Conflict, match="安全员 changed this"):
        labelling.save(ws, page, (), verb="delete")
    assert labelling.load(ws, asset).annotations[0].label == "helmet"


def test_accepting_makes_truth_of_the_same_object_and_rejecting_closes_it(
    ws: Workspace, tmp_path: Path
) -> None:
    data, (asset, *_) = enrol(ws, tmp_path, draw(tmp_path, 1))
    predict(ws, asset, ("person", 0.9), ("helmet", 0.4))
    page = labelling.load(ws, asset)
    person = next(a for a in page.annotations if a.label == "person")
    helmet = next(a for a in page.annotations if a.label == "helmet")
    assert (person.origin, person.score) == ("model", 0.9)
    page = labelling.accept(ws, page, [person.uid])
    page = labelling.reject(ws, page, [helmet.uid])
    (left,) = page.annotations
    assert (left.uid, left.origin, left.score, left.shape) == (person.uid, "human", None, person.shape)
    events = labelling.history(ws, asset_id=asset, uid=person.uid)
    assert [e.verb for e in events] == ["accept", "prelabel"]
    assert browse.dataset(ws, "face-3").n_labelled == 1
    assert labelling.recycled(ws, data) == []  # a rejected prediction was never work
    page = labelling.undo(ws, page) or page
    assert {a.uid for a in page.annotations} == {person.uid, helmet.uid}


def test_editing_a_prediction_makes_it_a_persons_work(ws: Workspace, tmp_path: Path) -> None:
    _, (asset, *_) = enrol(ws, tmp_path, draw(tmp_path, 1))
    predict(ws, asset, ("person", 0.9))
    page = labelling.load(ws, asset)
    page = labelling.save(ws, page, (replace(page.annotations[0], shape=Box(1, 1, 7, 7)),), verb="resize")
    assert (page.annotations[0].origin, page.annotations[0].score) == ("human", None)


def test_a_deleted_object_lies_in_the_recycle_bin_until_it_is_restored(ws: Workspace, tmp_path: Path) -> None:
    data, (asset, *_) = enrol(ws, tmp_path, draw(tmp_path, 1))
    a = Annotation("person", Box(0, 0, 10, 10))
    page = labelling.save(ws, labelling.load(ws, asset), (a,), verb="draw")
    labelling.save(ws, page, (), verb="delete")
    (lost,) = labelling.recycled(ws, data)
    assert (lost.uid, lost.label, lost.agent) == (a.uid, "person", "安全员")
    labelling.restore(ws, [lost.row_id])
    assert labelling.load(ws, asset).annotations[0].uid == a.uid
    assert labelling.recycled(ws, data) == []
    with pytest.raises(NotFound):
        labelling.restore(ws, [])


def test_an_earlier_revision_of_a_page_is_shown_as_it_was(ws: Workspace, tmp_path: Path) -> None:
    _, (asset, *_) = enrol(ws, tmp_path, draw(tmp_path, 1))
    a = Annotation("person", Box(0, 0, 10, 10))
    first = labelling.save(ws, labelling.load(ws, asset), (a,), verb="draw")
    labelling.save(ws, first, (replace(a, label="helmet"),), verb="relabel")
    assert labelling.load(ws, asset, revision=first.revision).annotations[0].label == "person"


@both
def test_bulk_accept_is_one_step_that_undo_takes_back_whole(ws: Workspace, tmp_path: Path) -> None:
    data, assets = enrol(ws, tmp_path, draw(tmp_path, 5))
    for asset in assets:
        predict(ws, asset, ("person", 0.9), ("person", 0.3), ("helmet", 0.9))
    *_, done = bulk.accept(ws, Query(data, label="person"), min_score=0.5)
    assert isinstance(done, Finished)
    assert done.result["objects"] == 5
    (count, *_) = [c for c in browse.facets(ws, data) if c.label == "person"]
    assert (count.n_human, count.n_model) == (5, 5)
    last = labelling.last_step(ws)
    assert last is not None
    assert last.step == done.result["step"]
    labelling.undo_step(ws, last.step)
    (count, *_) = [c for c in browse.facets(ws, data) if c.label == "person"]
    assert (count.n_human, count.n_model) == (0, 10)


def test_pages_anchors_and_positions_agree_with_the_whole_list(ws: Workspace, tmp_path: Path) -> None:
    data, assets = enrol(ws, tmp_path, draw(tmp_path, 23))
    for asset in assets[::3]:
        predict(ws, asset, ("person", 0.9))
    for query in (
        Query(data),
        Query(data, state="predicted"),
        Query(data, text="000"),
        Query(data, label="person", origin="model"),
    ):
        whole = [r.asset_id for r in browse.page(ws, query, limit=1000)]
        marks = browse.anchors(ws, query, every=4)
        assert browse.count(ws, query) == len(whole)
        for first in range(0, len(whole) + 2, 3):
            assert [r.asset_id for r in browse.rows_at(ws, query, marks, first, 5, every=4)] == whole[
                first : first + 5
            ]
        for i, asset in enumerate(whole):
            assert browse.position(ws, query, asset) == i
        back = [r.asset_id for r in browse.page(ws, query, after=whole[-1], backwards=True, limit=3)]
        assert back == whole[-2:-5:-1]


def test_new_schema_versions_are_undoable_and_strict_refuses_unknown_classes(ws: Workspace) -> None:
    known = schema.ensure_labels(ws, "coal_mine", ["person", "人员"], where_from="x")
    assert set(known.codes.values()) == {"person"}
    assert known.added == ()
    with pytest.raises(InvalidInput, match="怪物"):
        schema.ensure_labels(ws, "coal_mine", ["怪物"], where_from="x", strict=True)
    grown = schema.ensure_labels(ws, "coal_mine", ["怪物", "toaster"], where_from="m.onnx")
    assert grown.number == 2
    assert schema.ensure_labels(ws, "coal_mine", ["怪物"], where_from="x").added == ()
    last = labelling.last_step(ws)
    assert last is not None
    labelling.undo_step(ws, last.step)
    assert schema.current(ws).resolve("怪物") is None


def test_a_schema_that_drops_a_label_in_use_is_refused(ws: Workspace, tmp_path: Path) -> None:
    _, (asset, *_) = enrol(ws, tmp_path, draw(tmp_path, 1))
    labelling.save(ws, labelling.load(ws, asset), (Annotation("helmet", Box(0, 0, 1, 1)),), verb="draw")
    now = schema.current(ws)
    without = replace(now, labels=tuple(x for x in now.labels if x.code != "helmet" and x.parent != "helmet"))
    with pytest.raises(InvalidInput, match="in use are missing: helmet"):
        schema.apply(ws, without)


def test_a_thumbnail_is_made_once_and_kept_by_content(ws: Workspace, tmp_path: Path) -> None:
    paths = draw(tmp_path, 1, wh=(1200, 600))
    _, (asset, *_) = enrol(ws, tmp_path, paths)
    first = browse.thumbnail(ws, asset, side_px=200)
    assert first[:2] == b"\xff\xd8"
    paths[0].unlink()
    assert browse.thumbnail(ws, asset, side_px=200) == first
    with pytest.raises((NotFound, OSError)) as caught:
        browse.picture(ws, asset)
    assert "0000.jpg" in str(caught.value)


def test_a_workspace_is_made_only_in_an_empty_folder_and_found_only_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(InvalidInput, match="not empty"):
        workspace.create(str(tmp_path / "full"))
    with pytest.raises(NotFound, match="no workspace here"):
        workspace.open(str(tmp_path / "full"))
    with pytest.raises((InvalidInput, NotFound)):
        workspace.create(str(tmp_path / "new"), schema="no_such_schema")
    assert not (tmp_path / "new").exists()

"""Bulk work: one step each, over what is chosen or all that matches; what does not suit is left and counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from annotation.core import Annotation, Box, Tag
from annotation.errors import InvalidInput, NotFound
from app.events import Finished, Started
from app.services import browse, bulk, jobs, labelling, measuring, review, schema
from app.services.bulk import Pick
from app.services.workspace import Workspace
from storage import listing, queries, record
from storage.queries import Query
from storage.record import Edit
from tests.app.conftest import draw, enrol
from tests.support.gestures import gesture

both = pytest.mark.parametrize(
    "ws", ["folder", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


@dataclass
class Face:
    """A dataset of pictures, three predictions and one human box on each but the last."""

    ws: Workspace
    data: int
    assets: list[int]

    def shown(self, i: int) -> list[tuple[str, str, dict[str, Any]]]:
        found = labelling.load(self.ws, self.assets[i]).annotations
        return sorted(((a.label, a.origin, dict(a.attributes)) for a in found), key=repr)

    def all(self) -> list[object]:
        return [self.shown(i) for i in range(len(self.assets))]

    def rows(self, where: str) -> list[int]:
        with self.ws.db.read() as conn:
            return [
                r
                for r, _ in listing.keys(conn, Query(self.data, where=where), objects=True, low=0, high=2**62)
            ]


@pytest.fixture
def face(ws: Workspace, tmp_path: Path) -> Face:
    data, assets = enrol(ws, tmp_path / "p", draw(tmp_path / "p", 6))
    with ws.db.write() as conn:
        agent = record.agent(conn, "model", "drawn")
        act = record.start_activity(conn, "prelabel", agent.id, {}, model_digest=bytes(32), open_=False)
        numbers = record.label_ids(conn, ["person", "helmet"])
    for asset in assets[:-1]:
        made = [
            Annotation("person", Box(1, 1, 20, 40), score=0.9, origin="model"),
            Annotation("person", Box(30, 1, 50, 40), score=0.4, origin="model"),
            Annotation("helmet", Box(5, 1, 15, 9), {"helmet_worn": "unknown"}, score=0.6, origin="model"),
        ]
        gesture(ws.db, [Edit(opens=labelling.content(a, asset, numbers[a.label], origin="model")) for a in made],
                agent_id=agent.id, activity_id=act, verb="prelabel")  # fmt: skip
        page = labelling.load(ws, asset)
        labelling.save(
            ws,
            page,
            (
                *page.annotations,
                Annotation("person", Box(60, 5, 80, 50), {"helmet_worn": "none", "unsure": False}),
            ),
            verb="draw",
        )
    return Face(ws, data, assets)


def run(work: Any) -> Finished:
    events = list(work)
    assert isinstance(events[0], Started) and isinstance(events[-1], Finished)
    return events[-1]


@both
def test_each_bulk_action_is_one_step_and_its_undo_restores_everything(face: Face) -> None:
    ws, q = face.ws, Query(face.data)
    deeds = [
        lambda: bulk.accept(ws, Pick(Query(face.data, where="class:person score>0.5"))),
        lambda: bulk.reject(ws, Pick(Query(face.data, where="score<0.5"), objects=True)),
        lambda: bulk.relabel(ws, Pick(Query(face.data, where="origin:human"), objects=True), "no_helmet"),
        lambda: bulk.attribute(
            ws, Pick(Query(face.data, where="helmet_worn:none"), objects=True), "helmet_worn", "proper"
        ),
        lambda: bulk.delete(ws, Pick(q, objects=True, ids=face.rows("class:helmet"))),
        lambda: bulk.tag(ws, Pick(q), "smoke"),
    ]
    for deed in deeds:
        before = face.all()
        done = run(deed())
        assert face.all() != before
        labelling.undo_step(ws, int(str(done.result["step"])))
        assert face.all() == before


@both
def test_accepting_by_a_query_takes_only_the_objects_that_meet_it(face: Face) -> None:
    done = run(bulk.accept(face.ws, Query(face.data, where="class:person score>=0.5")))
    assert done.result["objects"] == 5
    assert [(x, o) for x, o, _ in face.shown(0)] == [
        ("helmet", "model"),
        ("person", "human"),
        ("person", "human"),
        ("person", "model"),
    ]


def test_chosen_pictures_and_chosen_objects_bound_the_work(face: Face) -> None:
    q = Query(face.data)
    assert run(bulk.accept(face.ws, Pick(q, ids=face.assets[:2]))).result["objects"] == 6
    rows = face.rows("class:helmet")
    assert run(bulk.reject(face.ws, Pick(q, objects=True, ids=rows))).result == {
        "objects": 3,
        "left": 0,
        "step": labelling.last_step(face.ws).step,
    }  # type: ignore[union-attr]


def test_the_number_said_before_is_the_number_done(face: Face) -> None:
    pick = Pick(Query(face.data, where="class:person score>=0.5"))
    told = bulk.size(face.ws, pick)
    assert (told.pictures, told.predictions) == (5, 5)
    assert run(bulk.accept(face.ws, pick)).result["objects"] == told.predictions


def test_relabelling_keeps_what_the_new_class_can_hold_and_makes_it_a_persons(face: Face) -> None:
    run(bulk.relabel(face.ws, Pick(Query(face.data, where="helmet_worn:none"), objects=True), "安全帽"))
    assert ("helmet", "human", {}) in [
        (x, o, {k: v for k, v in a.items() if k == "helmet_worn"}) for x, o, a in face.shown(0)
    ]
    done = run(bulk.relabel(face.ws, Pick(Query(face.data), objects=True), "helmet"))
    assert done.result["left"] == 10  # those that are helmets already
    with pytest.raises(NotFound):
        bulk.relabel(face.ws, Pick(Query(face.data)), "nonsense")


def test_relabelling_gives_the_defaults_of_the_new_class_as_the_desk_does(face: Face) -> None:
    known = schema.current(face.ws)
    one = next(x for x in known.labels if x.defaults() and "box" in x.kinds and not x.abstract)
    left = [a for x, _, a in face.shown(0) if x == one.code]
    run(bulk.relabel(face.ws, Pick(Query(face.data), objects=True), one.code))
    given = [a for x, _, a in face.shown(0) if x == one.code and a not in left]
    assert given and all(set(one.defaults()) <= set(a) for a in given)


def test_an_attribute_is_set_only_where_the_class_has_it(face: Face) -> None:
    done = run(bulk.attribute(face.ws, Pick(Query(face.data), objects=True), "helmet_worn", "proper"))
    assert done.result["objects"] == 15 and done.problems == 5
    with pytest.raises(InvalidInput):
        bulk.attribute(face.ws, Pick(Query(face.data), objects=True), "helmet_worn", "purple")


def test_pictures_are_tagged_once(face: Face) -> None:
    assert run(bulk.tag(face.ws, Pick(Query(face.data)), "smoke")).result["pictures"] == 6
    assert run(bulk.tag(face.ws, Pick(Query(face.data)), "smoke")).result == {
        "pictures": 0,
        "left": 6,
        "step": labelling.steps(face.ws)[0].step,
    }
    assert [a.shape for a in labelling.load(face.ws, face.assets[-1]).annotations] == [Tag()]


@both
def test_pictures_go_to_a_person_and_through_review_in_one_step_each(face: Face) -> None:
    some = Query(face.data, where="has:object")
    done = run(bulk.assign(face.ws, Pick(some), "王工"))
    assert done.result["pictures"] == 5
    submitted = run(bulk.judge(face.ws, Pick(some), "submitted"))
    row = browse.page(face.ws, Query(face.data))[0]
    assert (row.review, row.assignee) == ("submitted", "王工")
    assert browse.count(face.ws, Query(face.data, where="assigned:王工 review:submitted")) == 5
    for step in (submitted, done):
        labelling.undo_step(face.ws, int(str(step.result["step"])))
    row = browse.page(face.ws, Query(face.data))[0]
    assert (row.review, row.assignee) == ("draft", None)
    assert review.people(face.ws)


def test_a_cancelled_bulk_action_can_be_undone_as_one_step(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH_ROWS", 4)
    before = face.all()
    work = bulk.accept(face.ws, Query(face.data))
    for _ in range(3):
        next(work)
    work.close()
    step = labelling.steps(face.ws)[0]
    assert face.all() != before and not step.open
    labelling.undo_step(face.ws, step.step)
    assert face.all() == before


@both
def test_measures_are_made_once_and_sort_and_filter_the_pictures(face: Face) -> None:
    ws = face.ws
    import cv2
    import numpy as np

    folder = Path(browse.source(ws, face.assets[0])).parent
    cv2.imwrite(
        str(folder / "0001.jpg"), np.full((96, 160, 3), 3, np.uint8)
    )  # one dark picture without an edge
    with ws.db.write() as conn:  # the drawn tables do not know the bytes
        for place in folder.iterdir():
            from blake3 import blake3

            conn.exec_driver_sql(
                f"UPDATE asset SET size_bytes = {place.stat().st_size} WHERE path = '{place.name}'"
            )
            conn.execute(
                queries.sa.text("UPDATE asset SET blake3 = :b WHERE path = :p"),
                {"b": blake3(place.read_bytes()).digest(), "p": place.name},
            )
    assert measuring.waiting(ws, face.data) == 6
    work = measuring.run(ws, "face-3")
    assert run(work).result["measured"] == 6
    assert run(measuring.run(ws, "face-3")).result["measured"] == 0
    dark = browse.page(ws, Query(face.data, where="bright<0.1 sharp<0.1"))
    assert [r.path for r in dark] == ["0001.jpg"]
    with ws.db.read() as conn:
        keyed = listing.keys(conn, Query(face.data), objects=False, low=0, high=2**62, sort="bright")
    assert min(keyed, key=lambda k: k[1])[0] == dark[0].asset_id


def test_a_killed_measuring_is_resumed_where_it_stopped(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "PART", 2)
    monkeypatch.setattr(measuring, "_one", lambda ws, a: _measured())
    monkeypatch.setattr(measuring, "_finish", lambda *a: None)  # as a kill: the job stays open
    work = measuring.run(face.ws, "face-3")
    next(work), next(work)
    work.close()
    monkeypatch.undo()
    monkeypatch.setattr(measuring, "_one", lambda ws, a: _measured())
    assert measuring.waiting(face.ws, face.data) == 4
    (job,) = [j for j in jobs.listing(face.ws) if j.kind == "measure"]
    assert job.state == "waiting"
    assert run(jobs.resume(face.ws, job.id)).result["measured"] == 6
    assert measuring.waiting(face.ws, face.data) == 0


def _measured() -> Any:
    import numpy as np

    from storage import measures

    return measures.measure(np.zeros((30, 40, 3), np.uint8))

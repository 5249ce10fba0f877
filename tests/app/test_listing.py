"""Views in every order, facets that add up, filters that are shared."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import sqlalchemy as sa

from annotation.core import Annotation, Box
from annotation.errors import InvalidInput, NotFound
from app.services import browse, labelling, listing
from app.services.listing import Sort, View
from app.services.workspace import Workspace
from storage import listing as stretches
from storage import measures, record
from storage.queries import Query
from storage.record import Edit
from tests.app.conftest import draw, enrol
from tests.support.gestures import gesture

both = pytest.mark.parametrize(
    "ws", ["folder", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


def furnish(ws: Workspace, folder: Path, n: int = 30) -> tuple[int, list[int]]:
    """Pictures with zero to two predictions, some human boxes, dates and measures."""
    rng = random.Random(3)
    data, assets = enrol(ws, folder, draw(folder, n))
    with ws.db.write() as conn:
        agent = record.agent(conn, "model", "drawn")
        act = record.start_activity(conn, "prelabel", agent.id, {}, model_digest=bytes(32), open_=False)
        numbers = record.label_ids(conn, ["person", "helmet"])
        for i, a in enumerate(assets):
            conn.execute(sa.text("UPDATE asset SET path = :p, taken_ms = :t WHERE id = :a"),
                         {"p": f"面 {n - i}/img{i}.jpg", "t": None if i % 7 == 0 else 1_790_000_000_000 + rng.randrange(10**10), "a": a})  # fmt: skip
            if i % 3:
                m = measures.Measured(
                    rng.randrange(1000),
                    rng.randrange(1000),
                    rng.randrange(1000),
                    0,
                    rng.randbytes(measures.DESCRIPTOR),
                    0,
                    rng.randrange(1000),
                    rng.randrange(1000),
                )
                measures.save(conn, [(a, m)])
    for i, a in enumerate(assets):
        made = [
            Annotation(
                rng.choice(["person", "helmet"]),
                Box(1, 1, 5 + 10 * k, 9),
                score=rng.randrange(1, 999) / 1000,
                origin="model",
            )
            for k in range(i % 3)
        ]
        if made:
            gesture(ws.db, [Edit(opens=labelling.content(x, a, numbers[x.label], origin="model")) for x in made],
                    agent_id=agent.id, activity_id=act, verb="prelabel")  # fmt: skip
        if i % 4 == 0:
            page = labelling.load(ws, a)
            labelling.save(
                ws,
                page,
                (*page.annotations, Annotation("person", Box(2, 2, 50, 60), {"helmet_worn": "none"})),
                verb="draw",
            )
    return data, assets


def ids(ws: Workspace, view: View) -> list[int]:
    return [one for part in listing.ids(ws, view) for one in part.ids]


@both
@pytest.mark.parametrize("objects", [False, True])
def test_every_order_lists_the_same_things_with_what_has_no_value_last(
    ws: Workspace, tmp_path: Path, objects: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretches, "STRETCH", 4)
    data, assets = furnish(ws, tmp_path / "p")
    whole = sorted(ids(ws, View(Query(data), objects)))
    assert whole == sorted(assets) or objects
    with ws.db.read() as conn:
        for by in listing.SORTS:
            for down in (False, True):
                got = ids(ws, View(Query(data), objects, Sort(by, down, like=assets[1])))
                assert sorted(got) == whole, by
                keys = dict(stretches.keys(conn, Query(data), objects=objects, low=0, high=2**62, sort=by))
                if by == "similar":
                    assert by == "similar" and (
                        objects or got[0 if not down else got.index(assets[1])] == assets[1]
                    )
                    continue
                values = [stretches.natural(v) if isinstance(v := keys[g], str) else v for g in got]
                known = [v for v in values if v is not None]
                assert values == known + [None] * (len(values) - len(known)), by
                assert known == sorted(known, reverse=down), by


def test_paths_are_ordered_as_people_count() -> None:
    names = ["b/img10.jpg", "b/img2.jpg", "a/img1.jpg", "B/img007.jpg", "b/img.jpg"]
    assert sorted(names, key=stretches.natural) == [
        "a/img1.jpg",
        "b/img.jpg",
        "b/img2.jpg",
        "B/img007.jpg",
        "b/img10.jpg",
    ]


def test_rows_come_in_the_order_asked_for_and_without_the_dead(ws: Workspace, tmp_path: Path) -> None:
    data, assets = furnish(ws, tmp_path / "p", 8)
    asked = [assets[5], assets[1], assets[7], 999_999]
    assert [r.asset_id for r in listing.pictures(ws, data, asked)] == asked[:3]
    rows = ids(ws, View(Query(data), objects=True))[::-1]
    assert [o.id for o in listing.objects(ws, data, rows)] == rows
    o = listing.objects(ws, data, rows)[0]
    assert o.box is not None and o.path and o.label in ("person", "helmet")


@both
def test_facets_count_what_a_click_would_find(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretches, "STRETCH", 7)
    data, _ = furnish(ws, tmp_path / "p")
    for where in (
        "",
        "class:person",
        "state:predicted class:helmet",
        "origin:human",
        "helmet_worn:none",
        "-class:helmet",
    ):
        for objects in (False, True):
            *_, (tally, share) = listing.tally(ws, View(Query(data, where=where), objects))
            assert share == 1.0
            known = listing.names(ws, data)
            for (facet, value), n in tally.n.items():
                if facet in ("score", "month"):
                    continue
                name, _, key = facet.partition(".")
                if facet == "by" and value not in known.people:
                    continue
                term = listing.Term(name, ":", (value,), key)
                node = listing.parse(where, known)
                clicked = node if term in listing.conjuncts(node) else listing.toggled(node, term)
                query = Query(data, where=listing.show(clicked, known))
                if objects or facet in ("state", "review", "split"):
                    assert len(ids(ws, View(query, objects))) == n, (where, facet, value)
                elif not where:
                    assert len(ids(ws, View(query, objects=True))) == n, (where, facet, value)


def test_objects_changed_today_are_counted_by_facet(ws: Workspace, tmp_path: Path) -> None:
    data, _ = furnish(ws, tmp_path / "p", 6)
    plain, today = (
        [*listing.tally(ws, View(Query(data, where=where)))][-1][0].of("class")
        for where in ("", "changed:today")
    )
    assert plain and today == plain


def test_a_plain_view_needs_no_list(ws: Workspace, tmp_path: Path) -> None:
    data, _ = furnish(ws, tmp_path / "p", 6)
    assert listing.is_plain(ws, View(Query(data))) and listing.is_plain(
        ws, View(Query(data, where="state:predicted"))
    )
    for view in (
        View(Query(data), objects=True),
        View(Query(data), sort=Sort("path")),
        View(Query(data, where="class:person")),
    ):
        assert not listing.is_plain(ws, view)
    assert browse.count(ws, Query(data, where="state:predicted")) == browse.count(
        ws, Query(data, state="predicted")
    )


@both
def test_filters_are_saved_under_a_name_for_everybody(ws: Workspace, tmp_path: Path) -> None:
    data, _ = furnish(ws, tmp_path / "p", 3)
    listing.save(ws, data, " 待 复核 ", "class:helmet score<0.5")
    listing.save(ws, data, "待 复核", "class:helmet score<0.4")
    assert [(s.name, s.text, s.who) for s in listing.saved(ws, data)] == [
        ("待 复核", "class:helmet score<0.4", ws.person.name)
    ]
    with pytest.raises(InvalidInput):
        listing.save(ws, data, "x", "class:(")
    with pytest.raises(InvalidInput):
        listing.save(ws, data, " ", "")
    listing.forget(ws, data, "待 复核")
    assert listing.saved(ws, data) == []


def test_similar_to_an_unmeasured_picture_says_what_to_do(ws: Workspace, tmp_path: Path) -> None:
    data, assets = furnish(ws, tmp_path / "p", 3)
    with pytest.raises(NotFound, match="measure"):
        ids(ws, View(Query(data), sort=Sort("similar", like=assets[0])))
